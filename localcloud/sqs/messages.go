package sqs

import (
	"context"
	"crypto/md5" //nolint:gosec // SQS's checksum
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// keep writes messages and, with gone, the end of others, in one go; needs s.mu.
func (s *SQS) keep(changed, gone []*message) error {
	if len(changed)+len(gone) == 0 {
		return nil
	}
	writes := map[string]place{}
	for _, m := range changed {
		if m.place == "" {
			if n := len(s.free); n > 0 {
				m.place, s.free = s.free[n-1], s.free[:n-1]
			} else {
				m.place = fmt.Sprintf("%010d", s.places)
				s.places++
			}
		}
		writes[m.place] = place{m}
	}
	for _, m := range gone {
		writes[m.place] = place{}
	}
	if err := s.messages.PutAll(writes); err != nil {
		return err
	}
	for _, m := range gone {
		s.free = append(s.free, m.place)
	}
	return nil
}

// drop removes messages from a queue; needs s.mu.
func (s *SQS) drop(q *queue, gone []*message) error {
	if err := s.keep(nil, gone); err != nil {
		return err
	}
	q.remove(gone)
	return nil
}

func (q *queue) remove(gone []*message) {
	if len(gone) == 0 {
		return
	}
	out := map[*message]bool{}
	for _, m := range gone {
		out[m] = true
	}
	kept := make([]*message, 0, len(q.messages))
	for _, m := range q.messages {
		if !out[m] {
			kept = append(kept, m)
		}
	}
	q.messages = kept
}

// wake lets all that wait for messages look again; needs s.mu.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// expire drops what is older than the queue keeps; needs s.mu.
func (s *SQS) expire(q *queue) error {
	limit := s.o.Clock.Now().Add(-time.Duration(q.number("MessageRetentionPeriod")) * time.Second)
	var gone []*message
	for _, m := range q.messages {
		if m.Sent.Before(limit) {
			gone = append(gone, m)
		}
	}
	return s.drop(q, gone)
}

func (s *SQS) sendMessage(ctx context.Context, in *awssqs.SendMessageInput) (*awssqs.SendMessageOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if err := s.permit(ctx, q, "SendMessage"); err != nil {
		return nil, err
	}
	m, err := s.newMessage(ctx, q, "", &types.SendMessageBatchRequestEntry{MessageBody: in.MessageBody, DelaySeconds: in.DelaySeconds, MessageAttributes: in.MessageAttributes,
		MessageDeduplicationId: in.MessageDeduplicationId, MessageGroupId: in.MessageGroupId, MessageSystemAttributes: in.MessageSystemAttributes})
	if err != nil {
		return nil, err
	}
	if err := s.enqueue(q, []*message{m}); err != nil {
		return nil, err
	}
	return &awssqs.SendMessageOutput{MessageId: &m.ID, MD5OfMessageBody: aws.String(md5Hex(m.Body)), MD5OfMessageAttributes: md5OfAttributes(m.Attributes), MD5OfMessageSystemAttributes: m.md5OfSystem()}, nil
}

func (s *SQS) enqueue(q *queue, all []*message) error {
	if err := s.keep(all, nil); err != nil {
		return err
	}
	q.messages = append(q.messages, all...)
	q.wake()
	return nil
}

const invalidCharacters = "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"

// unsendable reports a character that no text of a message may have.
func unsendable(r rune) bool {
	return r == utf8.RuneError || r < 0x20 && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF
}

var (
	attributeName = regexp.MustCompile(`^[\pL\pN_-]+([.][\pL\pN_-]+)*$`)
	amazonsName   = regexp.MustCompile(`(?i)^(aws|amazon)[.]`)
)

// newMessage checks an entry and makes its message; at is where the request has it.
func (s *SQS) newMessage(ctx context.Context, q *queue, at string, e *types.SendMessageBatchRequestEntry) (*message, error) {
	body := aws.ToString(e.MessageBody)
	if body == "" {
		return nil, wire.Errorf("MissingParameter", "The request must contain the parameter MessageBody.")
	}
	if e.MessageDeduplicationId != nil {
		return nil, wire.Errorf("InvalidParameterValue", "Value %s for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", *e.MessageDeduplicationId)
	}
	if strings.ContainsFunc(body, unsendable) {
		return nil, wire.Errorf("InvalidMessageContents", invalidCharacters)
	}
	if err := checkAttributes(e.MessageAttributes); err != nil {
		return nil, err
	}
	if limit := q.number("MaximumMessageSize"); entrySize(e) > limit {
		what := map[bool]string{true: "are invalid", false: "cannot be validated"}[at == ""] // so AWS has it for one, and for an entry
		return nil, wire.Errorf("InvalidParameterValue", "One or more parameters %s. Reason: Message must be shorter than %d bytes.", what, limit)
	}
	delay := int(e.DelaySeconds)
	if delay < 0 || delay > 900 {
		return nil, wire.Errorf("InvalidParameterValue", "Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", delay)
	}
	if delay == 0 && !wire.Given(ctx, at+"delaySeconds") {
		delay = q.number("DelaySeconds")
	}
	trace := ""
	for name, v := range e.MessageSystemAttributes {
		if name != "AWSTraceHeader" {
			return nil, wire.Errorf("InvalidParameterValue", "Value %s for parameter MessageSystemAttributes is invalid.", name)
		}
		trace = aws.ToString(v.StringValue)
	}
	now := s.o.Clock.Now()
	s.seq++
	c := wire.CallerFrom(ctx)
	sender := c.UserID
	if sender == "" {
		sender = s.o.Account
	}
	return &message{Queue: q.Name, Seq: s.seq, ID: uuid.NewString(), Body: body, Attributes: e.MessageAttributes, Trace: trace, Group: aws.ToString(e.MessageGroupId), Sender: sender,
		Sent: now, Visible: now.Add(time.Duration(delay) * time.Second)}, nil
}

func entrySize(e *types.SendMessageBatchRequestEntry) int {
	n := len(aws.ToString(e.MessageBody))
	for name, v := range e.MessageAttributes {
		n += len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
	}
	return n
}

func checkAttributes(attributes map[string]types.MessageAttributeValue) error {
	if len(attributes) > 10 {
		return wire.Errorf("InvalidParameterValue", "Number of message attributes [%d] exceeds the allowed maximum [10].", len(attributes))
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		v := attributes[name]
		if len(name) > 256 || !attributeName.MatchString(name) || amazonsName.MatchString(name) {
			return wire.Errorf("InvalidParameterValue", "Invalid message (user) attribute name '%s': at most 256 letters, digits, underscores, hyphens, and periods between them; those that begin with AWS. or Amazon. are reserved.", name)
		}
		if strings.ContainsFunc(aws.ToString(v.StringValue), unsendable) {
			return wire.Errorf("InvalidParameterValue", "Message (user) attribute '%s': %s", name, invalidCharacters)
		}
		kind, _, _ := strings.Cut(aws.ToString(v.DataType), ".")
		switch kind {
		case "String", "Number":
			if aws.ToString(v.StringValue) == "" {
				return wire.Errorf("InvalidParameterValue", "Message (user) attribute '%s' must contain a non-empty value of type 'String'.", name)
			}
			if _, err := strconv.ParseFloat(*v.StringValue, 64); kind == "Number" && err != nil {
				return wire.Errorf("InvalidParameterValue", "Can't cast the value of message (user) attribute '%s' to a number.", name)
			}
		case "Binary":
			if len(v.BinaryValue) == 0 {
				return wire.Errorf("InvalidParameterValue", "Message (user) attribute '%s' must contain a non-empty value of type 'Binary'.", name)
			}
		default:
			return wire.Errorf("InvalidParameterValue", "The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", name)
		}
	}
	return nil
}

func (s *SQS) receiveMessage(ctx context.Context, in *awssqs.ReceiveMessageInput) (*awssqs.ReceiveMessageOutput, error) {
	n := int(in.MaxNumberOfMessages)
	if n == 0 && !wire.Given(ctx, "maxNumberOfMessages") {
		n = 1
	}
	if n < 1 || n > 10 {
		return nil, wire.Errorf("InvalidParameterValue", "Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", n)
	}
	if in.WaitTimeSeconds < 0 || in.WaitTimeSeconds > 20 {
		return nil, wire.Errorf("InvalidParameterValue", "Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", in.WaitTimeSeconds)
	}
	if in.VisibilityTimeout < 0 || in.VisibilityTimeout > 43_200 {
		return nil, wire.Errorf("InvalidParameterValue", "Value %d for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.", in.VisibilityTimeout)
	}
	var end time.Time
	for {
		s.mu.Lock()
		out, p, err := s.receive(ctx, in, n, &end)
		s.mu.Unlock()
		if err != nil || len(out.Messages) > 0 || p.wait <= 0 {
			return out, err
		}
		if !s.await(ctx, p) {
			return out, nil
		}
	}
}

// poll is what a receiver waits for: a change of the queue, or time to pass.
type poll struct {
	changed <-chan struct{}
	wait    time.Duration // 0 when the receiver's wait is over
	delayed time.Duration // until a delayed message comes, or the wait is over before it; 0 without one
}

// await waits for what p tells; false when there is no use in looking again.
func (s *SQS) await(ctx context.Context, p poll) bool {
	resume := clock.Rest(ctx)
	defer resume()
	passed := make(chan struct{})
	due := sync.OnceFunc(func() {
		resume()
		close(passed)
	})
	if p.delayed > 0 {
		defer s.o.Clock.AfterFunc(p.delayed, due)()
	}
	if p.delayed != p.wait {
		// The end of the wait, or of the time that another receiver has for a message.
		defer clock.Lazy(s.o.Clock, p.wait, due)()
	}
	select {
	case <-p.changed:
		return true
	case <-passed:
		return true
	case <-ctx.Done():
	case <-s.done:
	}
	return false
}

// receive takes what is visible; needs s.mu. With nothing there, the poll says
// what to wait for.
func (s *SQS) receive(ctx context.Context, in *awssqs.ReceiveMessageInput, n int, end *time.Time) (*awssqs.ReceiveMessageOutput, poll, error) {
	out := &awssqs.ReceiveMessageOutput{}
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return out, poll{}, err
	}
	if err := s.permit(ctx, q, "ReceiveMessage"); err != nil {
		return out, poll{}, err
	}
	if err := s.expire(q); err != nil {
		return out, poll{}, err
	}
	now := s.o.Clock.Now()
	if end.IsZero() {
		wait := int(in.WaitTimeSeconds)
		if wait == 0 && !wire.Given(ctx, "waitTimeSeconds") {
			wait = q.number("ReceiveMessageWaitTimeSeconds")
		}
		*end = now.Add(time.Duration(wait) * time.Second)
	}
	timeout := int(in.VisibilityTimeout)
	if timeout == 0 && !wire.Given(ctx, "visibilityTimeout") {
		timeout = q.number("VisibilityTimeout")
	}
	taken, next, delayed, err := s.take(q, n, timeout, now)
	if err != nil {
		return out, poll{}, err
	}
	for _, m := range taken {
		out.Messages = append(out.Messages, s.shown(m, in))
	}
	p := poll{changed: q.changed, wait: end.Sub(now)}
	if !delayed.IsZero() {
		p.delayed = min(p.wait, delayed.Sub(now))
	}
	if !next.IsZero() {
		p.wait = min(p.wait, next.Sub(now))
	}
	return out, p, nil
}

// take makes visible messages invisible to others, and sends those that were
// received too often to the dead-letter queue. next is when another becomes
// visible, and delayed when one does that nobody has received yet.
func (s *SQS) take(q *queue, n, timeout int, now time.Time) (taken []*message, next, delayed time.Time, err error) {
	policy, most, err := parseRedrive(q.Attributes["RedrivePolicy"])
	if err != nil {
		return nil, next, delayed, err
	}
	deadQueue := s.byName[policy.Target[strings.LastIndexByte(policy.Target, ':')+1:]]
	var dead []*message
	for _, m := range q.messages {
		if m.Visible.After(now) {
			if next.IsZero() || m.Visible.Before(next) {
				next = m.Visible
			}
			if m.Receives == 0 && (delayed.IsZero() || m.Visible.Before(delayed)) {
				delayed = m.Visible
			}
			continue
		}
		if deadQueue != nil && deadQueue != q && m.Receives >= most {
			dead = append(dead, m)
			continue
		}
		if len(taken) == n {
			break
		}
		taken = append(taken, m)
	}
	for _, m := range taken {
		if m.Receives++; m.Receives == 1 {
			m.FirstReceived = now
		}
		m.Visible, m.Receipt = now.Add(time.Duration(timeout)*time.Second), uuid.NewString()
	}
	for _, m := range dead {
		s.seq++
		m.Queue, m.Seq, m.Visible, m.Receipt, m.Source = deadQueue.Name, s.seq, now, "", s.arn(q.Name)
	}
	if err := s.keep(append(dead, taken...), nil); err != nil {
		return nil, next, delayed, err
	}
	if len(dead) > 0 {
		q.remove(dead)
		deadQueue.messages = append(deadQueue.messages, dead...)
		deadQueue.wake()
	}
	return taken, next, delayed, nil
}

// shown is a message as its receiver asked for it.
func (s *SQS) shown(m *message, in *awssqs.ReceiveMessageInput) types.Message {
	out := types.Message{MessageId: aws.String(m.ID), Body: aws.String(m.Body), MD5OfBody: aws.String(md5Hex(m.Body)), ReceiptHandle: aws.String(m.handle())}
	system := map[string]string{
		"SenderId": m.Sender, "SentTimestamp": strconv.FormatInt(m.Sent.UnixMilli(), 10),
		"ApproximateReceiveCount": strconv.Itoa(m.Receives), "ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.FirstReceived.UnixMilli(), 10),
	}
	if m.Trace != "" {
		system["AWSTraceHeader"] = m.Trace
	}
	if m.Group != "" {
		system["MessageGroupId"] = m.Group
	}
	if m.Source != "" {
		system["DeadLetterQueueSourceArn"] = m.Source
	}
	asked := map[string]bool{}
	//lint:ignore SA1019 older clients still ask this way, and AWS still answers
	for _, a := range in.AttributeNames {
		asked[string(a)] = true
	}
	for _, a := range in.MessageSystemAttributeNames {
		asked[string(a)] = true
	}
	for k, v := range system {
		if asked[k] || asked["All"] {
			if out.Attributes == nil {
				out.Attributes = map[string]string{}
			}
			out.Attributes[k] = v
		}
	}
	for k, v := range m.Attributes {
		if attributeAsked(in.MessageAttributeNames, k) {
			if out.MessageAttributes == nil {
				out.MessageAttributes = map[string]types.MessageAttributeValue{}
			}
			out.MessageAttributes[k] = v
		}
	}
	out.MD5OfMessageAttributes = md5OfAttributes(out.MessageAttributes)
	return out
}

func attributeAsked(names []string, name string) bool {
	for _, n := range names {
		prefix, wild := strings.CutSuffix(n, ".*")
		if n == "All" || n == "*" || n == name || wild && strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// handle is the receipt of the latest receive.
func (m *message) handle() string {
	return base64.StdEncoding.EncodeToString([]byte(m.Queue + "/" + m.ID + "/" + m.Receipt))
}

// receipt finds the message of a receipt handle: nil when it is gone, or another
// receiver has it since.
func (q *queue) receipt(handle *string, now time.Time) (*message, error) {
	m, latest, err := q.received(handle)
	if m != nil && !latest && m.Visible.After(now) {
		m = nil
	}
	return m, err
}

// received finds the message of any receipt handle that was given for it, and
// whether it is the latest one; nil when it is gone.
func (q *queue) received(handle *string) (m *message, latest bool, err error) {
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(handle))
	parts := strings.Split(string(raw), "/")
	if err != nil || len(parts) != 3 || parts[0] != q.Name {
		return nil, false, wire.Errorf("ReceiptHandleIsInvalid", "The input receipt handle %q is not a valid receipt handle.", aws.ToString(handle))
	}
	for _, m := range q.messages {
		if m.ID == parts[1] {
			return m, m.Receipt == parts[2], nil
		}
	}
	return nil, false, nil
}

func (s *SQS) deleteMessage(ctx context.Context, in *awssqs.DeleteMessageInput) (*awssqs.DeleteMessageOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if err := s.permit(ctx, q, "DeleteMessage"); err != nil {
		return nil, err
	}
	m, err := q.receipt(in.ReceiptHandle, s.o.Clock.Now())
	if err != nil || m == nil {
		return &awssqs.DeleteMessageOutput{}, err
	}
	return &awssqs.DeleteMessageOutput{}, s.drop(q, []*message{m})
}

func (s *SQS) changeVisibility(ctx context.Context, in *awssqs.ChangeMessageVisibilityInput) (*awssqs.ChangeMessageVisibilityOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if err := s.permit(ctx, q, "ChangeMessageVisibility"); err != nil {
		return nil, err
	}
	return &awssqs.ChangeMessageVisibilityOutput{}, s.setVisibility(q, in.ReceiptHandle, in.VisibilityTimeout)
}

func (s *SQS) setVisibility(q *queue, handle *string, timeout int32) error {
	if timeout < 0 || timeout > 43_200 {
		return wire.Errorf("InvalidParameterValue", "Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", timeout)
	}
	now := s.o.Clock.Now()
	m, _, err := q.received(handle)
	if err != nil {
		return err
	}
	if m == nil {
		return wire.Errorf("InvalidParameterValue", "Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", aws.ToString(handle))
	}
	m.Visible = now.Add(time.Duration(timeout) * time.Second)
	if err := s.keep([]*message{m}, nil); err != nil {
		return err
	}
	q.wake()
	return nil
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // SQS's checksum
	return hex.EncodeToString(sum[:])
}

// md5OfSystem is the checksum of the system attributes that a message was sent with.
func (m *message) md5OfSystem() *string {
	if m.Trace == "" {
		return nil
	}
	return md5OfAttributes(map[string]types.MessageAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: &m.Trace}})
}

// md5OfAttributes is SQS's checksum over message attributes: by name, each
// name, type and value with its length, and a byte for the transport type.
func md5OfAttributes(attributes map[string]types.MessageAttributeValue) *string {
	if len(attributes) == 0 {
		return nil
	}
	var b []byte
	add := func(v []byte) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(v))) //nolint:gosec // bounded by the message size
		b = append(b, v...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		v := attributes[name]
		add([]byte(name))
		add([]byte(aws.ToString(v.DataType)))
		if strings.HasPrefix(aws.ToString(v.DataType), "Binary") {
			b = append(b, 2)
			add(v.BinaryValue)
			continue
		}
		b = append(b, 1)
		add([]byte(aws.ToString(v.StringValue)))
	}
	return aws.String(md5Hex(string(b)))
}
