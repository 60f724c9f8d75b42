package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// asyncEvent is an accepted asynchronous invocation; it is in the store from
// before its 202 until it succeeded or was given up.
type asyncEvent struct {
	ID       string
	Function string
	Payload  []byte
	Accepted time.Time
	Due      time.Time
	Attempts int // that ended in a function error
}

// Conditions under which an event is given up, as in destination records.
const (
	retriesExhausted = "RetriesExhausted"
	ageExceeded      = "EventAgeExceeded"
	zeroReserved     = "ZeroReservedConcurrency" // no executions are reserved: nothing is tried
	succeeded        = "Success"
)

func (l *Lambda) enqueue(f *function, id string, payload []byte) error {
	now := l.o.Clock.Now()
	ev := asyncEvent{ID: id, Function: f.name(), Payload: payload, Accepted: now, Due: now}
	if err := l.queue.Put(ev.ID, ev); err != nil {
		return err
	}
	l.schedule(ev)
	return nil
}

// Resume takes up the asynchronous invocations that an earlier run left. Call
// it once, when the services that functions and destinations need are there.
func (l *Lambda) Resume(context.Context) error {
	var left []asyncEvent
	err := l.queue.Scan("", func(_ string, ev asyncEvent) bool {
		left = append(left, ev)
		return true
	})
	if err != nil {
		return fmt.Errorf("resume asynchronous invocations: %w", err)
	}
	for _, ev := range left {
		l.schedule(ev)
	}
	return nil
}

func (l *Lambda) schedule(ev asyncEvent) {
	wait := ev.Due.Sub(l.o.Clock.Now())
	if wait <= 0 {
		l.goRun("asynchronous invocation of "+ev.Function, func(ctx context.Context) { l.attempt(ctx, ev) })
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	if _, waiting := l.timers[ev.ID]; waiting {
		return
	}
	l.timers[ev.ID] = l.o.Clock.AfterFunc(wait, func() {
		l.mu.Lock()
		delete(l.timers, ev.ID)
		l.mu.Unlock()
		l.goRun("asynchronous invocation of "+ev.Function, func(ctx context.Context) { l.attempt(ctx, ev) })
	})
}

func (l *Lambda) attempt(ctx context.Context, ev asyncEvent) {
	log := l.o.Log.With("function", ev.Function, "request_id", ev.ID)
	f, err := l.load(ev.Function)
	if err != nil {
		if !wire.HasCode(err, "ResourceNotFoundException") {
			log.Error("asynchronous invocation not read", "error", err)
			return
		}
		log.Error("asynchronous invocation dropped: its function is gone")
		l.forget(ev)
		return
	}
	if l.o.Clock.Now().Sub(ev.Accepted) > f.Async.age() {
		l.giveUp(ctx, &f, ev, ageExceeded, result{})
		return
	}
	if f.Reserved != nil && *f.Reserved == 0 {
		l.giveUp(ctx, &f, ev, zeroReserved, result{})
		return
	}
	res, err := l.run(ctx, &f, request{id: ev.ID, payload: ev.Payload})
	if l.ctx.Err() != nil {
		return // stopped with us: it stays in the store and runs again
	}
	switch {
	case err != nil: // throttled, or Lambda itself failed: not the function's fault, so no attempt
		log.Warn("asynchronous invocation not started", "error", err)
		l.again(ctx, &f, ev, time.Second, result{})
	case !res.failed:
		l.deliver(ctx, &f, ev, f.Async.onSuccess(), succeeded, res)
		l.forget(ev)
	default:
		ev.Attempts++
		log.Warn("asynchronous invocation failed", "attempt", ev.Attempts, "error", string(clip(res.payload, 500)))
		if ev.Attempts > f.Async.retries() {
			l.giveUp(ctx, &f, ev, retriesExhausted, res)
			return
		}
		l.again(ctx, &f, ev, l.o.AsyncRetryWaits[min(ev.Attempts, len(l.o.AsyncRetryWaits))-1], res)
	}
}

func (l *Lambda) again(ctx context.Context, f *function, ev asyncEvent, wait time.Duration, res result) {
	ev.Due = l.o.Clock.Now().Add(wait)
	if ev.Due.Sub(ev.Accepted) > f.Async.age() {
		l.giveUp(ctx, f, ev, ageExceeded, res)
		return
	}
	if err := l.queue.Put(ev.ID, ev); err != nil {
		l.o.Log.Error("retry of asynchronous invocation not stored", "function", ev.Function, "request_id", ev.ID, "error", err)
	}
	l.schedule(ev)
}

func (l *Lambda) forget(ev asyncEvent) {
	if err := l.queue.Delete(ev.ID); err != nil {
		l.o.Log.Error("asynchronous invocation not removed from the queue", "function", ev.Function, "request_id", ev.ID, "error", err)
	}
}

// giveUp sends the event to the dead-letter queue and the failure destination.
func (l *Lambda) giveUp(ctx context.Context, f *function, ev asyncEvent, condition string, res result) {
	l.o.Log.Error("asynchronous invocation given up", "function", ev.Function, "request_id", ev.ID, "condition", condition, "attempts", ev.Attempts)
	if c := f.Config.DeadLetterConfig; c != nil && aws.ToString(c.TargetArn) != "" {
		l.tryHard(ctx, ev, "dead-letter queue", *c.TargetArn, func(ctx context.Context) error {
			return l.deadLetter(ctx, *c.TargetArn, ev, condition, res)
		}, f)
	}
	l.deliver(ctx, f, ev, f.Async.onFailure(), condition, res)
	if l.ctx.Err() == nil {
		l.forget(ev)
	}
}

func (l *Lambda) deliver(ctx context.Context, f *function, ev asyncEvent, target, condition string, res result) {
	if target == "" {
		return
	}
	l.tryHard(ctx, ev, "destination", target, func(ctx context.Context) error {
		record, err := l.record(f, ev, condition, res)
		if err != nil {
			return err
		}
		return l.send(ctx, f, target, record, condition == succeeded)
	}, f)
}

// tryHard sends with the function's role, three times at most: an outcome that
// cannot be delivered is lost on AWS as well, but here with a loud line.
func (l *Lambda) tryHard(ctx context.Context, ev asyncEvent, what, target string, send func(context.Context) error, f *function) {
	if l.o.Call == nil {
		l.o.Log.Error("asynchronous outcome not delivered: no other services", "function", ev.Function, "request_id", ev.ID, "to", target)
		return
	}
	role := aws.ToString(f.Config.Role)
	ctx = wire.WithCaller(ctx, wire.Caller{Account: l.o.Account, RoleARN: role,
		ARN: "arn:aws:sts::" + l.o.Account + ":assumed-role/" + role[strings.LastIndex(role, "/")+1:] + "/" + f.name()})
	var err error
	for try := range 3 {
		if try > 0 {
			if clock.Sleep(ctx, l.o.Clock, l.o.AsyncRetryWaits[0]) != nil {
				return
			}
		}
		if err = send(ctx); err == nil || l.ctx.Err() != nil {
			return
		}
	}
	l.o.Log.Error("asynchronous outcome lost", "function", ev.Function, "request_id", ev.ID, "kind", what, "to", target, "error", err)
}

func (l *Lambda) deadLetter(ctx context.Context, target string, ev asyncEvent, condition string, res result) error {
	message := condition
	var failure struct{ ErrorMessage string }
	if json.Unmarshal(res.payload, &failure) == nil && failure.ErrorMessage != "" {
		message = failure.ErrorMessage
	}
	attribute := func(kind, v string) map[string]string { return map[string]string{"DataType": kind, "StringValue": v} }
	attributes := map[string]any{
		"RequestID": attribute("String", ev.ID), "ErrorCode": attribute("Number", "200"), "ErrorMessage": attribute("String", string(clip([]byte(message), 1024))),
	}
	if serviceOf(target) == "sns" {
		return l.call(ctx, "sns", "Publish", map[string]any{"TopicArn": target, "Message": string(ev.Payload), "MessageAttributes": attributes})
	}
	return l.sendToQueue(ctx, target, string(ev.Payload), attributes)
}

// record is the JSON that a destination gets.
func (l *Lambda) record(f *function, ev asyncEvent, condition string, res result) ([]byte, error) {
	r := map[string]any{
		"version": "1.0", "timestamp": l.o.Clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"requestContext": map[string]any{
			"requestId": ev.ID, "functionArn": *latestARN(f), "condition": condition, "approximateInvokeCount": max(ev.Attempts, 1),
		},
		"requestPayload": json.RawMessage(ev.Payload),
	}
	switch count := r["requestContext"].(map[string]any); condition {
	case succeeded:
		count["approximateInvokeCount"] = ev.Attempts + 1
	case zeroReserved:
		count["approximateInvokeCount"] = ev.Attempts
	}
	if res.payload != nil {
		response := map[string]any{"statusCode": 200, "executedVersion": latest}
		if res.failed {
			response["functionError"] = "Unhandled"
		}
		r["responseContext"] = response
		r["responsePayload"] = nil
		if json.Valid(res.payload) {
			r["responsePayload"] = json.RawMessage(res.payload)
		}
	}
	return json.Marshal(r)
}

func (l *Lambda) send(ctx context.Context, f *function, target string, record []byte, success bool) error {
	switch serviceOf(target) {
	case "sqs":
		return l.sendToQueue(ctx, target, string(record), nil)
	case "sns":
		return l.call(ctx, "sns", "Publish", map[string]any{"TopicArn": target, "Message": string(record)})
	case "lambda":
		return l.call(ctx, "lambda", "Invoke", map[string]any{"FunctionName": target, "InvocationType": "Event", "Payload": record})
	case "events":
		kind := "Lambda Function Invocation Result - Failure"
		if success {
			kind = "Lambda Function Invocation Result - Success"
		}
		out, err := l.callJSON(ctx, "events", "PutEvents", map[string]any{"Entries": []any{map[string]any{
			"Source": "lambda", "DetailType": kind, "Detail": string(record), "EventBusName": target, "Resources": []string{target, *latestARN(f)},
		}}})
		if err != nil {
			return err
		}
		var answer struct{ FailedEntryCount int }
		if err := json.Unmarshal(out, &answer); err != nil {
			return fmt.Errorf("read answer of PutEvents: %w", err)
		}
		if answer.FailedEntryCount > 0 {
			return fmt.Errorf("put event on %s: %s", target, out)
		}
		return nil
	}
	return fmt.Errorf("send to %s: not a target", target)
}

func (l *Lambda) sendToQueue(ctx context.Context, arn, body string, attributes map[string]any) error {
	parts := strings.SplitN(arn, ":", 6)
	out, err := l.callJSON(ctx, "sqs", "GetQueueUrl", map[string]any{"QueueName": parts[5], "QueueOwnerAWSAccountId": parts[4]})
	if err != nil {
		return err
	}
	var queue struct{ QueueUrl string } //nolint:revive // the API's name
	if err := json.Unmarshal(out, &queue); err != nil || queue.QueueUrl == "" {
		return errors.Join(fmt.Errorf("find queue %s: %s", arn, out), err)
	}
	in := map[string]any{"QueueUrl": queue.QueueUrl, "MessageBody": body}
	if attributes != nil {
		in["MessageAttributes"] = attributes
	}
	return l.call(ctx, "sqs", "SendMessage", in)
}

func (l *Lambda) call(ctx context.Context, svc, operation string, in any) error {
	_, err := l.callJSON(ctx, svc, operation, in)
	return err
}

func (l *Lambda) callJSON(ctx context.Context, svc, operation string, in any) ([]byte, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode %s:%s: %w", svc, operation, err)
	}
	return l.o.Call(ctx, svc, operation, raw)
}

func serviceOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[2]
}

func clip(b []byte, n int) []byte { return b[:min(len(b), n)] }
