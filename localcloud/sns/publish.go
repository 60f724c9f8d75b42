package sns

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxMessage is the size of a message with its attributes, in bytes.
const maxMessage = 262_144

var (
	subjectForm = regexp.MustCompile(`^[\x21-\x7e][\x20-\x7e]{0,99}$`)
	batchIDForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
)

// notification is what a subscriber gets.
type notification struct {
	Type              string               `json:"Type"`
	MessageID         string               `json:"MessageId"`
	TopicARN          string               `json:"TopicArn"`
	Subject           *string              `json:"Subject,omitempty"`
	Message           string               `json:"Message"`
	Timestamp         string               `json:"Timestamp"`
	SignatureVersion  string               `json:"SignatureVersion"`
	Signature         string               `json:"Signature"`
	SigningCertURL    string               `json:"SigningCertURL"`
	UnsubscribeURL    string               `json:"UnsubscribeURL"`
	MessageAttributes map[string]attribute `json:"MessageAttributes,omitempty"`
}

type attribute struct {
	Type  string `json:"Type"`
	Value string `json:"Value"`
}

func topicOf(in *awssns.PublishInput) *string {
	if in.TopicArn != nil {
		return in.TopicArn
	}
	return in.TargetArn
}

func (s *SNS) publish(ctx context.Context, in *awssns.PublishInput) (*awssns.PublishOutput, error) {
	if in.PhoneNumber != nil {
		return nil, invalid("the local cloud sends no text messages to phones: PhoneNumber")
	}
	id, err := s.send(ctx, topicOf(in), &types.PublishBatchRequestEntry{Message: in.Message, MessageAttributes: in.MessageAttributes, MessageStructure: in.MessageStructure,
		Subject: in.Subject, MessageDeduplicationId: in.MessageDeduplicationId, MessageGroupId: in.MessageGroupId})
	if in.TopicArn == nil && wire.HasCode(err, "NotFound") {
		err = invalid("TargetArn Reason: No endpoint found for the target arn specified")
	}
	if err != nil {
		return nil, err
	}
	return &awssns.PublishOutput{MessageId: &id}, nil
}

func (s *SNS) publishBatch(ctx context.Context, in *awssns.PublishBatchInput) (*awssns.PublishBatchOutput, error) {
	if len(in.PublishBatchRequestEntries) == 0 {
		return nil, wire.Errorf("EmptyBatchRequest", "The batch request doesn't contain any entries.")
	}
	if len(in.PublishBatchRequestEntries) > 10 {
		return nil, wire.Errorf("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.")
	}
	seen, size := map[string]bool{}, 0
	for i := range in.PublishBatchRequestEntries {
		e := &in.PublishBatchRequestEntries[i]
		id := aws.ToString(e.Id)
		if len(id) > 80 {
			return nil, wire.Errorf("InvalidBatchEntryId", "The Id of a batch entry in the batch request is too long: %s", id)
		}
		if !batchIDForm.MatchString(id) {
			return nil, wire.Errorf("InvalidBatchEntryId", "The Id of a batch entry in the batch request contains an impermissible character: %s", id)
		}
		if seen[id] {
			return nil, wire.Errorf("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.")
		}
		seen[id] = true
		size += entrySize(e)
	}
	if size > maxMessage {
		return nil, wire.Errorf("BatchRequestTooLong", "The length of all the messages put together is more than the limit.")
	}
	out := &awssns.PublishBatchOutput{Successful: []types.PublishBatchResultEntry{}, Failed: []types.BatchResultErrorEntry{}}
	for _, e := range in.PublishBatchRequestEntries { // one wrong attribute and nothing is published
		if err := checkAttributes(e.MessageAttributes); err != nil {
			return nil, err
		}
	}
	for i := range in.PublishBatchRequestEntries {
		e := &in.PublishBatchRequestEntries[i]
		id, err := s.send(ctx, in.TopicArn, e)
		if wire.HasCode(err, "NotFound") || wire.HasCode(err, "AuthorizationError") {
			return nil, err
		}
		if err != nil {
			w := wire.AsError(err)
			out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: e.Id, Code: aws.String(w.Code), Message: aws.String(w.Message), SenderFault: w.HTTPStatus() < 500})
			continue
		}
		out.Successful = append(out.Successful, types.PublishBatchResultEntry{Id: e.Id, MessageId: &id})
	}
	return out, nil
}

func entrySize(e *types.PublishBatchRequestEntry) int {
	n := len(aws.ToString(e.Message))
	for name, v := range e.MessageAttributes {
		n += len(name) + len(aws.ToString(v.DataType)) + len(aws.ToString(v.StringValue)) + len(v.BinaryValue)
	}
	return n
}

// check refuses what AWS refuses of a message; texts are by protocol, with "default".
func check(e *types.PublishBatchRequestEntry) (texts map[string]string, err error) {
	text := aws.ToString(e.Message)
	switch {
	case text == "":
		return nil, invalid("Empty message")
	case entrySize(e) > maxMessage:
		return nil, invalid("Message too long")
	case e.Subject != nil && !subjectForm.MatchString(*e.Subject):
		return nil, invalid("Subject")
	case e.MessageDeduplicationId != nil:
		return nil, invalid("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type")
	}
	if err := checkAttributes(e.MessageAttributes); err != nil {
		return nil, err
	}
	texts = map[string]string{"default": text}
	if e.MessageStructure == nil {
		return texts, nil
	}
	if *e.MessageStructure != "json" {
		return nil, invalid("MessageStructure")
	}
	var parts map[string]any
	if json.Unmarshal([]byte(text), &parts) != nil {
		return nil, invalid("Message Structure - JSON message body failed to parse")
	}
	if _, ok := parts["default"].(string); !ok {
		return nil, invalid("Message Structure - No default entry in JSON message body")
	}
	for protocol, part := range parts {
		if t, ok := part.(string); ok {
			texts[protocol] = t
		}
	}
	return texts, nil
}

// send hands a message to the topic's subscribers.
func (s *SNS) send(ctx context.Context, arn *string, e *types.PublishBatchRequestEntry) (id string, err error) {
	s.mu.Lock()
	t, err := s.find(arn)
	subs := s.of(t.ARN)
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	if err := s.permit(ctx, t); err != nil {
		return "", err
	}
	texts, err := check(e)
	if err != nil {
		return "", err
	}
	id = s.o.NewID()
	for _, v := range subs {
		if v.Pending {
			s.o.Log.Warn("message not delivered: the local cloud sends nothing to this subscription", "topic", t.ARN, "protocol", v.Protocol, "endpoint", v.Endpoint, "message_id", id)
			continue
		}
		text, ok := texts[v.Protocol]
		if !ok {
			text = texts["default"]
		}
		if !s.passes(v, text, e) {
			continue
		}
		if err := s.hand(s.newDelivery(id, v, text, e)); err != nil {
			return "", err
		}
	}
	return id, nil
}

// newDelivery makes the request that a subscriber gets.
func (s *SNS) newDelivery(id string, v subscription, text string, e *types.PublishBatchRequestEntry) delivery {
	n := notification{Type: "Notification", MessageID: id, TopicARN: v.Topic, Subject: e.Subject, Message: text, Timestamp: s.o.Clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		SignatureVersion: "1", Signature: "EXAMPLE", SigningCertURL: "EXAMPLE", UnsubscribeURL: "https://sns." + s.o.Region + ".amazonaws.com/?Action=Unsubscribe&SubscriptionArn=" + v.ARN}
	for name, a := range e.MessageAttributes {
		value := aws.ToString(a.StringValue)
		if a.BinaryValue != nil {
			value = base64.StdEncoding.EncodeToString(a.BinaryValue)
		}
		if n.MessageAttributes == nil {
			n.MessageAttributes = map[string]attribute{}
		}
		n.MessageAttributes[name] = attribute{Type: aws.ToString(a.DataType), Value: value}
	}
	d := delivery{ID: id + "/" + v.ARN, Subscription: v.ARN, Topic: v.Topic, Since: s.o.Clock.Now(), Body: string(encode(n))}
	if v.Protocol == "lambda" {
		record := map[string]any{"EventSource": "aws:sns", "EventVersion": "1.0", "EventSubscriptionArn": v.ARN, "Sns": n.forLambda()}
		d.Service, d.Operation = "lambda", "Invoke"
		d.Input = encode(map[string]any{"FunctionName": v.Endpoint, "InvocationType": "Event", "Payload": []byte(encode(map[string]any{"Records": []any{record}}))})
		return d
	}
	d.Service, d.Operation = "sqs", "SendMessage"
	in := map[string]any{"QueueUrl": queueURL(v.Endpoint), "MessageBody": d.Body}
	if v.Attributes["RawMessageDelivery"] == "true" {
		d.Body = text
		in["MessageBody"] = text
		if len(e.MessageAttributes) > 0 {
			in["MessageAttributes"] = e.MessageAttributes
			d.Attributes = e.MessageAttributes
		}
	}
	if e.MessageGroupId != nil {
		in["MessageGroupId"] = *e.MessageGroupId
	}
	d.Input = encode(in)
	return d
}

// forLambda spells two members as Lambda's events do, and always has the
// subject and the attributes.
func (n notification) forLambda() map[string]any {
	attributes := n.MessageAttributes
	if attributes == nil {
		attributes = map[string]attribute{}
	}
	return map[string]any{"Type": n.Type, "MessageId": n.MessageID, "TopicArn": n.TopicARN, "Subject": n.Subject, "Message": n.Message, "Timestamp": n.Timestamp,
		"SignatureVersion": n.SignatureVersion, "Signature": n.Signature, "SigningCertUrl": n.SigningCertURL, "UnsubscribeUrl": n.UnsubscribeURL, "MessageAttributes": attributes}
}

// encode is JSON with <, > and & as they are; the values here can all be encoded.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("sns: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// delivery is a message on its way to one subscriber.
type delivery struct {
	ID           string
	Subscription string
	Topic        string
	Service      string
	Operation    string
	Input        json.RawMessage                        // of the operation
	Body         string                                 // what the dead-letter queue gets
	Attributes   map[string]types.MessageAttributeValue `json:",omitempty"` // with it, of a raw message
	Since        time.Time
	Attempts     int
	Due          time.Time
}
