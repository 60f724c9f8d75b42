package eventbridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Retries back off from firstRetry, doubling, to longestRetry: 185 of them fit
// into the 24 hours that AWS keeps trying.
const (
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
)

// send begins deliveries and returns when they are on disk. The first attempt
// does not wait for that: at least once allows it, and it is faster.
func (s *EventBridge) send(all []*delivery) error {
	if s.o.Faults != nil {
		all = s.faulty(all)
	}
	if len(all) == 0 {
		return nil
	}
	kept := s.queue.add(all)
	for _, d := range all {
		s.later(d, d.Due.Sub(s.o.Clock.Now()))
	}
	return <-kept
}

// later makes an attempt after a while.
func (s *EventBridge) later(d *delivery, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if wait <= 0 {
		s.began()
		_, release := clock.Hold(s.ctx, s.o.Clock, "event for rule "+d.Rule)
		go func() {
			defer release()
			defer s.ended()
			s.attempt(d)
			s.release(d)
		}()
		return
	}
	s.timers[d] = s.o.Clock.AfterFunc(wait, func() {
		s.mu.Lock()
		delete(s.timers, d)
		s.mu.Unlock()
		s.later(d, 0)
	})
}

// attempt tries to deliver, and settles what follows.
func (s *EventBridge) attempt(d *delivery) {
	code, err := s.deliver(d)
	if err == nil {
		s.queue.remove(d)
		return
	}
	if s.ctx.Err() != nil {
		return // the cloud is closing: the delivery stays kept as it is
	}
	d.Attempts++
	d.Code, d.Message = code, err.Error()
	log := s.o.Log.With("rule", d.Rule, "target", *d.Target.Arn, "code", code, "attempt", d.Attempts, "error", err)
	if !retryable[code] {
		log.Error("event not delivered")
		s.bury(d, "")
		return
	}
	retries, age := maxRetries, time.Duration(maxAge)*time.Second
	if p := d.Target.RetryPolicy; p != nil {
		if p.MaximumRetryAttempts != nil {
			retries = int(*p.MaximumRetryAttempts)
		}
		if p.MaximumEventAgeInSeconds != nil {
			age = time.Duration(*p.MaximumEventAgeInSeconds) * time.Second
		}
	}
	wait := s.backoff(d.Attempts)
	d.Due = s.o.Clock.Now().Add(wait)
	switch {
	case d.Attempts > retries:
		log.Error("event not delivered, no attempts left")
		s.bury(d, "MaximumRetryAttempts")
	case d.Due.Sub(d.Received) > age:
		log.Error("event not delivered, too old")
		s.bury(d, "MaximumEventAgeInSeconds")
	default:
		log.Warn("event delivery failed, will be retried", "wait", wait.String())
		s.queue.update(d)
		s.later(d, wait)
	}
}

func (s *EventBridge) backoff(attempts int) time.Duration {
	wait := longestRetry
	if attempts < 10 {
		wait = min(firstRetry<<(attempts-1), longestRetry)
	}
	return wait/2 + time.Duration(s.o.Jitter()*float64(wait/2))
}

// The codes of failures, as the dead-letter queue tells them.
const (
	codePermissions = "NO_PERMISSIONS"
	codeNoResource  = "NO_RESOURCE"
	codeThrottled   = "THROTTLING"
	codeTimeout     = "TIMEOUT"
	codeInternal    = "INTERNAL_ERROR"
	codeClient      = "SDK_CLIENT_ERROR"
	codeInvalidJSON = "INVALID_JSON"
)

var retryable = map[string]bool{codeThrottled: true, codeTimeout: true, codeInternal: true}

// classify turns a target's error into a code.
func classify(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return codeTimeout
	}
	var e *wire.Error
	if !errors.As(err, &e) {
		return codeInternal
	}
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(e.Code, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("AccessDenied", "AuthorizationError", "NotAuthorized", "Unauthorized"):
		return codePermissions
	case has("NotFound", "DoesNotExist", "NonExistent"):
		return codeNoResource
	case has("Throttl", "TooManyRequests", "LimitExceeded", "RequestLimit"):
		return codeThrottled
	case e.HTTPStatus() >= 500:
		return codeInternal
	}
	return codeClient
}

// deliver calls the target.
func (s *EventBridge) deliver(d *delivery) (code string, err error) {
	input, err := d.input()
	if err != nil {
		if errors.Is(err, errInvalidJSON) {
			return codeInvalidJSON, err
		}
		return codeClient, err
	}
	if err := s.call(s.as(d), d, input); err != nil {
		return classify(err), err
	}
	return "", nil
}

// as is the caller of a target: its role, or EventBridge on behalf of the rule.
func (s *EventBridge) as(d *delivery) context.Context {
	if role := aws.ToString(d.Target.RoleArn); role != "" {
		name := role[strings.LastIndexByte(role, '/')+1:]
		session := "arn:aws:sts::" + s.o.Account + ":assumed-role/" + name + "/" + strings.ReplaceAll(d.ID, "-", "")
		return wire.WithCaller(s.ctx, wire.Caller{Account: s.o.Account, ARN: session, RoleARN: role})
	}
	return s.asService(d)
}

// asService is EventBridge itself; its ARN is the rule's: aws:SourceArn.
func (s *EventBridge) asService(d *delivery) context.Context {
	return wire.WithCaller(s.ctx, wire.Caller{Account: s.o.Account, ARN: d.RuleARN, Service: Service})
}

func (s *EventBridge) call(ctx context.Context, d *delivery, input []byte) error {
	arn := *d.Target.Arn
	switch kindOf(arn) {
	case "lambda":
		_, err := s.request(ctx, "lambda", "Invoke", map[string]any{"FunctionName": arn, "InvocationType": "Event", "Payload": input})
		return err
	case "states":
		return s.startExecution(ctx, d, arn, input)
	case "sqs":
		body := map[string]any{"QueueUrl": queueURL(arn), "MessageBody": string(input)}
		if p := d.Target.SqsParameters; p != nil && p.MessageGroupId != nil {
			body["MessageGroupId"] = *p.MessageGroupId
		}
		_, err := s.request(ctx, "sqs", "SendMessage", body)
		return err
	case "sns":
		_, err := s.request(ctx, "sns", "Publish", map[string]any{"TopicArn": arn, "Message": string(input)})
		return err
	case "logs":
		return s.putLog(ctx, d, arn, input)
	case "events":
		return s.forward(ctx, arn, input)
	}
	return wire.Errorf("ValidationException", "the local cloud does not support the target %s", arn)
}

func (s *EventBridge) request(ctx context.Context, service, operation string, body any) ([]byte, error) {
	if s.o.Call == nil {
		return nil, fmt.Errorf("call %s:%s: no other service", service, operation)
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s:%s: %w", service, operation, err)
	}
	return s.o.Call(ctx, service, operation, raw)
}

// startExecution names the execution after the delivery, so that a repeated
// attempt finds the execution of the first.
func (s *EventBridge) startExecution(ctx context.Context, d *delivery, arn string, input []byte) error {
	_, err := s.request(ctx, "states", "StartExecution", map[string]any{"stateMachineArn": arn, "name": d.ID, "input": string(input)})
	if wire.HasCode(err, "ExecutionAlreadyExists") {
		return nil
	}
	return err
}

// queueURL is a URL for a queue's ARN; SQS looks only at its path.
func queueURL(arn string) string {
	p := strings.SplitN(arn, ":", 6)
	return "https://sqs." + p[3] + ".amazonaws.com/" + p[4] + "/" + p[5]
}

// putLog writes an event into the log group, in a stream named after the rule.
func (s *EventBridge) putLog(ctx context.Context, d *delivery, arn string, input []byte) error {
	group := strings.TrimSuffix(strings.SplitN(arn, ":log-group:", 2)[1], ":*")
	stream := d.Rule
	at, text := s.o.Clock.Now().UnixMilli(), string(input)
	var own struct {
		Timestamp *int64
		Message   *string
	}
	// A transformer may say the time and the message itself.
	if d.Target.InputTransformer != nil && json.Unmarshal(input, &own) == nil && own.Timestamp != nil && own.Message != nil {
		at, text = *own.Timestamp, *own.Message
	}
	put := func() error {
		_, err := s.request(ctx, "logs", "PutLogEvents", map[string]any{"logGroupName": group, "logStreamName": stream,
			"logEvents": []map[string]any{{"timestamp": at, "message": text}}})
		return err
	}
	err := put()
	if !wire.HasCode(err, "ResourceNotFoundException") {
		return err
	}
	_, err = s.request(ctx, "logs", "CreateLogStream", map[string]any{"logGroupName": group, "logStreamName": stream})
	if err != nil && !wire.HasCode(err, "ResourceAlreadyExistsException") {
		return err
	}
	return put()
}

// forward puts the event on another bus of this account.
func (s *EventBridge) forward(ctx context.Context, arn string, input []byte) error {
	if wire.CallerFrom(ctx).RoleARN != "" && s.o.Authorize != nil {
		if err := s.o.Authorize(ctx, "events:PutEvents", arn); err != nil {
			return err
		}
	}
	var e event
	if err := json.Unmarshal(input, &e); err != nil || e.Source == "" {
		return wire.Errorf("InvalidArgument", "an event bus takes only whole events")
	}
	_, name, _ := strings.Cut(arn, ":event-bus/")
	s.mu.RLock()
	b, err := s.findBus(name)
	var to []*delivery
	if err == nil {
		to, err = s.route(b, input)
	}
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	return s.send(to)
}

// bury sends what could not be delivered to the dead-letter queue.
func (s *EventBridge) bury(d *delivery, exhausted string) {
	defer s.queue.remove(d)
	dlq := d.Target.DeadLetterConfig
	if dlq == nil || aws.ToString(dlq.Arn) == "" {
		s.o.Log.Error("event lost: its target has no dead-letter queue", "rule", d.Rule, "target", *d.Target.Arn)
		return
	}
	attributes := map[string]any{}
	for _, a := range []struct{ name, kind, value string }{
		{"RULE_ARN", "String", d.RuleARN},
		{"TARGET_ARN", "String", *d.Target.Arn},
		{"ERROR_CODE", "String", d.Code},
		{"ERROR_MESSAGE", "String", d.Message},
		{"EXHAUSTED_RETRY_CONDITION", "String", exhausted},
		{"RETRY_ATTEMPTS", "Number", strconv.Itoa(d.Attempts - 1)},
	} {
		if a.value != "" {
			attributes[a.name] = map[string]any{"DataType": a.kind, "StringValue": a.value}
		}
	}
	_, err := s.request(s.asService(d), "sqs", "SendMessage", map[string]any{"QueueUrl": queueURL(*dlq.Arn), "MessageBody": string(d.Event), "MessageAttributes": attributes})
	if err != nil {
		s.o.Log.Error("event lost: its dead-letter queue did not take it", "rule", d.Rule, "target", *d.Target.Arn, "queue", *dlq.Arn, "error", err)
	}
}
