package sns_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/sns"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

const (
	queue    = "arn:aws:sqs:us-east-1:000000000000:q"
	function = "arn:aws:lambda:us-east-1:000000000000:function:f"
)

// manualClock stands still until it is moved.
type manualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[int]func()
	due    map[int]time.Time
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := len(c.due)
	c.timers[id], c.due[id] = f, c.now.Add(d)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.timers[id]
		delete(c.timers, id)
		return ok
	}
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var run []func()
	for id, f := range c.timers {
		if !c.due[id].After(c.now) {
			run = append(run, f)
			delete(c.timers, id)
		}
	}
	c.mu.Unlock()
	for _, f := range run {
		f()
	}
}

type called struct {
	what   string
	input  map[string]any
	caller wire.Caller
}

type rig struct {
	*sns.SNS
	client *awssns.Client
	clock  *manualClock
	dir    string
	store  *store.Store
	server *httptest.Server
	calls  []called
	answer func(c called) error
}

func newRig(t *testing.T) *rig {
	r := &rig{clock: &manualClock{now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), timers: map[int]func(){}, due: map[int]time.Time{}}, dir: t.TempDir()}
	r.open(t)
	return r
}

func (r *rig) call(ctx context.Context, service, operation string, input []byte) ([]byte, error) {
	c := called{what: service + ":" + operation, caller: wire.CallerFrom(ctx)}
	if err := json.Unmarshal(input, &c.input); err != nil {
		return nil, err
	}
	r.calls = append(r.calls, c)
	if r.answer != nil {
		if err := r.answer(c); err != nil {
			return nil, err
		}
	}
	return []byte("{}"), nil
}

func (r *rig) open(t *testing.T) {
	t.Helper()
	var err error
	if r.store, err = store.Open(filepath.Join(r.dir, "state.db"), store.Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	n := 0
	r.SNS, err = sns.New(sns.Options{Base: service.Base{Account: "000000000000", Region: "us-east-1", Clock: r.clock, Store: r.store, Log: slog.New(slog.DiscardHandler)}, Call: r.call,
		NewID:        func() string { n++; return fmt.Sprintf("id-%d", n) },
		PolicyAllows: func(policy string, c wire.Caller, _, _ string) bool { return strings.Contains(policy, c.Service) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(r.Wire())
	r.client = awssns.New(awssns.Options{Region: "us-east-1", BaseEndpoint: aws.String(r.server.URL), Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 3})
	t.Cleanup(r.close)
}

func (r *rig) close() {
	r.server.Close()
	_ = r.Close()
	_ = r.store.Close()
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func (r *rig) topic(t *testing.T) *string {
	t.Helper()
	return must(r.client.CreateTopic(t.Context(), &awssns.CreateTopicInput{Name: aws.String("t"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}}))(t).TopicArn
}

func (r *rig) subscribe(t *testing.T, topic *string, protocol, endpoint string, attributes map[string]string) string {
	t.Helper()
	return *must(r.client.Subscribe(t.Context(), &awssns.SubscribeInput{TopicArn: topic, Protocol: &protocol, Endpoint: &endpoint, Attributes: attributes}))(t).SubscriptionArn
}

func TestPublishToQueue(t *testing.T) {
	r := newRig(t)
	topic := r.topic(t)
	r.subscribe(t, topic, "sqs", queue, nil)
	out := must(r.client.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, Message: aws.String("a < b & é"), Subject: aws.String("Hello"), MessageAttributes: map[string]types.MessageAttributeValue{
		"n": {DataType: aws.String("Number"), StringValue: aws.String("1")}, "b": {DataType: aws.String("Binary"), BinaryValue: []byte{1, 2}}}}))(t)
	if len(r.calls) != 1 {
		t.Fatalf("calls %+v", r.calls)
	}
	c := r.calls[0]
	if c.what != "sqs:SendMessage" || c.input["QueueUrl"] != "https://sqs.us-east-1.amazonaws.com/000000000000/q" || c.caller != (wire.Caller{Account: "000000000000", ARN: *topic, Service: "sns.amazonaws.com"}) {
		t.Errorf("called %+v", c)
	}
	want := `{"Type":"Notification","MessageId":"` + *out.MessageId + `","TopicArn":"` + *topic + `","Subject":"Hello","Message":"a < b & é","Timestamp":"2026-03-01T10:00:00.000Z","SignatureVersion":"1","Signature":"EXAMPLE","SigningCertURL":"EXAMPLE","UnsubscribeURL":"https://sns.us-east-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=` + *topic + `:id-1","MessageAttributes":{"b":{"Type":"Binary","Value":"AQI="},"n":{"Type":"Number","Value":"1"}}}`
	if c.input["MessageBody"] != want {
		t.Errorf("body %s", c.input["MessageBody"])
	}
}

func TestPublishToEach(t *testing.T) {
	r := newRig(t)
	topic := r.topic(t)
	lambda := r.subscribe(t, topic, "lambda", function, nil)
	r.subscribe(t, topic, "sqs", queue, map[string]string{"RawMessageDelivery": "true"})
	if arn := r.subscribe(t, topic, "email", "a@example.com", nil); arn != "pending confirmation" {
		t.Errorf("email is %s", arn)
	}
	must(r.client.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, MessageStructure: aws.String("json"), Message: aws.String(`{"default":"all","lambda":"for lambda"}`)}))(t)
	if len(r.calls) != 2 {
		t.Fatalf("calls %+v", r.calls)
	}
	got := map[string]called{}
	for _, c := range r.calls {
		got[c.what] = c
	}
	if body := got["sqs:SendMessage"].input["MessageBody"]; body != "all" {
		t.Errorf("raw body %v", body)
	}
	raw, err := base64.StdEncoding.DecodeString(got["lambda:Invoke"].input["Payload"].(string))
	if err != nil {
		t.Fatal(err)
	}
	var event struct {
		Records []struct {
			EventSource, EventSubscriptionArn string
			Sns                               struct {
				Message, TopicArn string
				Subject           *string
			}
		}
	}
	if err := json.Unmarshal(raw, &event); err != nil || len(event.Records) != 1 {
		t.Fatalf("event %s: %v", raw, err)
	}
	rec := event.Records[0]
	if rec.EventSource != "aws:sns" || rec.EventSubscriptionArn != lambda || rec.Sns.Message != "for lambda" || rec.Sns.TopicArn != *topic || !strings.Contains(string(raw), `"Subject":null`) {
		t.Errorf("event %s", raw)
	}
}

func TestRetriesSurviveRestart(t *testing.T) {
	r := newRig(t)
	topic := r.topic(t)
	r.subscribe(t, topic, "sqs", queue, nil)
	r.answer = func(called) error { return &wire.Error{Code: "ServiceUnavailable", Message: "down", Status: 503} }
	must(r.client.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, Message: aws.String("m")}))(t)
	r.clock.advance(time.Second)
	if len(r.calls) != 2 {
		t.Fatalf("%d attempts", len(r.calls))
	}
	r.close()
	r.answer = nil
	r.open(t)
	r.clock.advance(2 * time.Second)
	if len(r.calls) != 3 {
		t.Fatalf("%d attempts after the restart", len(r.calls))
	}
	r.clock.advance(time.Hour)
	r.close()
	r.open(t)
	r.clock.advance(time.Hour)
	if len(r.calls) != 3 {
		t.Errorf("delivered again: %d attempts", len(r.calls))
	}
}

// What a function or a raw subscription did not get is dead as a notification,
// or as the message with its attributes.
func TestDeadLettersByKind(t *testing.T) {
	const policy = `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}`
	for name, tc := range map[string]struct {
		protocol, endpoint string
		attributes         map[string]string
		body               string
		sent               bool // the attributes beside the body
	}{
		"function": {"lambda", "arn:aws:lambda:us-east-1:000000000000:function:f", nil, `{"Type":"Notification",`, false},
		"raw":      {"sqs", queue, map[string]string{"RawMessageDelivery": "True"}, "m", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			topic := r.topic(t)
			attributes := map[string]string{"RedrivePolicy": policy}
			maps.Copy(attributes, tc.attributes)
			r.subscribe(t, topic, tc.protocol, tc.endpoint, attributes)
			r.answer = func(c called) error {
				if url, _ := c.input["QueueUrl"].(string); strings.HasSuffix(url, "/dead") {
					return nil
				}
				return &wire.Error{Code: "AccessDenied", Message: "no", Status: 403}
			}
			must(r.client.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, Message: aws.String("m"),
				MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: aws.String("Number"), StringValue: aws.String("1")}}}))(t)
			if len(r.calls) != 2 {
				t.Fatalf("calls %+v", r.calls)
			}
			dead := r.calls[1].input
			if body := dead["MessageBody"].(string); !strings.HasPrefix(body, tc.body) || (dead["MessageAttributes"] != nil) != tc.sent {
				t.Errorf("dead letter %+v", dead)
			}
		})
	}
}

func TestRefusedDeliveryGoesToDeadLetters(t *testing.T) {
	r := newRig(t)
	topic := r.topic(t)
	r.subscribe(t, topic, "sqs", queue, map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead"}`})
	r.answer = func(c called) error {
		if strings.HasSuffix(c.input["QueueUrl"].(string), "/q") {
			return &wire.Error{Code: "AccessDenied", Message: "no", Status: 403}
		}
		return nil
	}
	must(r.client.Publish(t.Context(), &awssns.PublishInput{TopicArn: topic, Message: aws.String("m")}))(t)
	if len(r.calls) != 2 || !strings.HasSuffix(r.calls[1].input["QueueUrl"].(string), "/dead") || r.calls[1].input["MessageBody"] != r.calls[0].input["MessageBody"] {
		t.Errorf("calls %+v", r.calls)
	}
}

func TestTopicsAndSubscriptions(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	topic := r.topic(t)
	if *topic != "arn:aws:sns:us-east-1:000000000000:t" || *r.topic(t) != *topic {
		t.Errorf("ARN %s", *topic)
	}
	sub := r.subscribe(t, topic, "sqs", queue, nil)
	if again := r.subscribe(t, topic, "sqs", queue, nil); again != sub {
		t.Errorf("subscribed twice: %s", again)
	}
	r.subscribe(t, topic, "email", "a@example.com", nil)
	must(r.client.SetTopicAttributes(ctx, &awssns.SetTopicAttributesInput{TopicArn: topic, AttributeName: aws.String("DisplayName"), AttributeValue: aws.String("Notices")}))(t)
	must(r.client.SetSubscriptionAttributes(ctx, &awssns.SetSubscriptionAttributesInput{SubscriptionArn: &sub, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String("true")}))(t)
	r.close()
	r.open(t)
	a := must(r.client.GetTopicAttributes(ctx, &awssns.GetTopicAttributesInput{TopicArn: topic}))(t).Attributes
	if a["DisplayName"] != "Notices" || a["SubscriptionsConfirmed"] != "1" || a["SubscriptionsPending"] != "1" || a["Owner"] != "000000000000" {
		t.Errorf("attributes %v", a)
	}
	if a := must(r.client.GetSubscriptionAttributes(ctx, &awssns.GetSubscriptionAttributesInput{SubscriptionArn: &sub}))(t).Attributes; a["RawMessageDelivery"] != "true" || a["Endpoint"] != queue {
		t.Errorf("subscription %v", a)
	}
	subs := must(r.client.ListSubscriptionsByTopic(ctx, &awssns.ListSubscriptionsByTopicInput{TopicArn: topic}))(t).Subscriptions
	pending := 0
	for _, s := range subs {
		if *s.SubscriptionArn == "PendingConfirmation" {
			pending++
		}
	}
	if len(subs) != 2 || pending != 1 {
		t.Errorf("subscriptions %+v", subs)
	}
	must(r.client.TagResource(ctx, &awssns.TagResourceInput{ResourceArn: topic, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}}))(t)
	must(r.client.UntagResource(ctx, &awssns.UntagResourceInput{ResourceArn: topic, TagKeys: []string{"a"}}))(t)
	if tags := must(r.client.ListTagsForResource(ctx, &awssns.ListTagsForResourceInput{ResourceArn: topic}))(t).Tags; len(tags) != 1 || *tags[0].Key != "b" {
		t.Errorf("tags %+v", tags)
	}
	must(r.client.Unsubscribe(ctx, &awssns.UnsubscribeInput{SubscriptionArn: &sub}))(t)
	if all := must(r.client.ListSubscriptions(ctx, &awssns.ListSubscriptionsInput{}))(t).Subscriptions; len(all) != 1 {
		t.Errorf("subscriptions %+v", all)
	}
	must(r.client.DeleteTopic(ctx, &awssns.DeleteTopicInput{TopicArn: topic}))(t)
	must(r.client.DeleteTopic(ctx, &awssns.DeleteTopicInput{TopicArn: topic}))(t)
	if topics := must(r.client.ListTopics(ctx, &awssns.ListTopicsInput{}))(t).Topics; len(topics) != 0 {
		t.Errorf("topics %+v", topics)
	}
	if _, err := r.client.Publish(ctx, &awssns.PublishInput{TopicArn: topic, Message: aws.String("m")}); code(err) != "NotFound" {
		t.Errorf("published to nothing: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	topic := r.topic(t)
	publish := func(in awssns.PublishInput) error {
		if in.TopicArn == nil && in.PhoneNumber == nil {
			in.TopicArn = topic
		}
		_, err := r.client.Publish(ctx, &in)
		return err
	}
	subscribe := func(protocol, endpoint string, attributes map[string]string) error {
		_, err := r.client.Subscribe(ctx, &awssns.SubscribeInput{TopicArn: topic, Protocol: &protocol, Endpoint: &endpoint, Attributes: attributes})
		return err
	}
	// The topic is looked at before the endpoint.
	if _, err := r.client.Subscribe(ctx, &awssns.SubscribeInput{TopicArn: aws.String(*topic + "-lost"), Protocol: aws.String("sqs"), Endpoint: aws.String("q")}); code(err) != "NotFound" {
		t.Errorf("subscribed to no topic: %v", err)
	}
	create := func(name string, attributes map[string]string) error {
		_, err := r.client.CreateTopic(ctx, &awssns.CreateTopicInput{Name: &name, Attributes: attributes})
		return err
	}
	for name, err := range map[string]error{
		"a FIFO topic":         create("t.fifo", map[string]string{"FifoTopic": "true"}),
		"a name":               create("a b", nil),
		"an attribute":         create("u", map[string]string{"ArchivePolicy": "{}"}),
		"other attributes":     create("t", map[string]string{"DisplayName": "x"}),
		"a protocol":           subscribe("sms", "+15550100", nil),
		"a queue's ARN":        subscribe("sqs", "q", nil),
		"a filter policy":      subscribe("sqs", queue, map[string]string{"FilterPolicy": `{"a":"b"}`}),
		"a filter's wildcard":  subscribe("sqs", queue, map[string]string{"FilterPolicy": `{"a":[{"wildcard":"*"}]}`}),
		"a filter's scope":     subscribe("sqs", queue, map[string]string{"FilterPolicy": `{"a":["b"]}`, "FilterPolicyScope": "Subject"}),
		"a nested filter":      subscribe("sqs", queue, map[string]string{"FilterPolicy": `{"$or":[{"a":["b"]},{"a":{"b":["c"]}}]}`}),
		"a filter of six keys": subscribe("sqs", queue, map[string]string{"FilterPolicy": `{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1]}`}),
		"a filter too complex": subscribe("sqs", queue, map[string]string{"FilterPolicy": `{"a":{"b":[1,2,3,4,5,6,7,8,9]},"c":{"d":[1,2,3,4,5]}}`, "FilterPolicyScope": "MessageBody"}),
		"raw to a lambda":      subscribe("lambda", function, map[string]string{"RawMessageDelivery": "true"}),
		"an empty message":     publish(awssns.PublishInput{Message: aws.String("")}),
		"a long message":       publish(awssns.PublishInput{Message: aws.String(strings.Repeat("x", 262145))}),
		"a subject":            publish(awssns.PublishInput{Message: aws.String("m"), Subject: aws.String("two\nlines")}),
		"a structure":          publish(awssns.PublishInput{Message: aws.String("m"), MessageStructure: aws.String("json")}),
		"no default":           publish(awssns.PublishInput{Message: aws.String(`{"sqs":"m"}`), MessageStructure: aws.String("json")}),
		"a phone":              publish(awssns.PublishInput{Message: aws.String("m"), PhoneNumber: aws.String("+15550100")}),
		"a deduplication name": publish(awssns.PublishInput{Message: aws.String("m"), MessageDeduplicationId: aws.String("x")}),
	} {
		if code(err) != "InvalidParameter" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMessageAttributesRefused(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	topic := r.topic(t)
	text := func(kind, value string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: &kind, StringValue: &value}
	}
	for name, tc := range map[string]struct {
		name string
		v    types.MessageAttributeValue
		want string
	}{
		"a long name":     {strings.Repeat("n", 257), text("String", "x"), "must be less than 256 bytes"},
		"a character":     {"a^", text("String", "x"), "Invalid non-alphanumeric character '#x5E'"},
		"a dot first":     {".a", text("String", "x"), "starting with character '.'"},
		"a dot last":      {"a.", text("String", "x"), "ending with character '.'"},
		"two dots":        {"a..b", text("String", "x"), "successive '.'"},
		"a type":          {"a", text("Text.String", "x"), "invalid message attribute type"},
		"an empty text":   {"a", text("String", ""), "must contain non-empty message attribute value for message attribute type 'String'."},
		"text as binary":  {"a", types.MessageAttributeValue{DataType: aws.String("Number"), BinaryValue: []byte("1")}, "with type 'Number' must use field 'String'."},
		"binary as text":  {"a", text("Binary", "x"), "with type 'Binary' must use field 'Binary'."},
		"an empty binary": {"a", types.MessageAttributeValue{DataType: aws.String("Binary"), BinaryValue: []byte{}}, "message attribute type 'Binary'."},
	} {
		_, err := r.client.Publish(ctx, &awssns.PublishInput{TopicArn: topic, Message: aws.String("m"), MessageAttributes: map[string]types.MessageAttributeValue{tc.name: tc.v}})
		if code(err) != "ParameterValueInvalid" || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for arn, want := range map[string]string{"a": "An ARN must have at least 6 elements, not 1", *topic: "Invalid parameter: SubscriptionId"} {
		if _, err := r.client.Unsubscribe(ctx, &awssns.UnsubscribeInput{SubscriptionArn: &arn}); code(err) != "InvalidParameter" || !strings.Contains(err.Error(), want) {
			t.Errorf("unsubscribe %s: %v", arn, err)
		}
	}
	r.subscribe(t, topic, "sqs", queue, nil)
	_, err := r.client.Subscribe(ctx, &awssns.SubscribeInput{TopicArn: topic, Protocol: aws.String("sqs"), Endpoint: aws.String(queue), Attributes: map[string]string{"RawMessageDelivery": "true"}})
	if code(err) != "InvalidParameter" || !strings.Contains(err.Error(), "Subscription already exists with different attributes") {
		t.Errorf("subscribed again otherwise: %v", err)
	}
}

// Each subscription's queue has the name of its policy.
func TestFilterPolicies(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	topic := r.topic(t)
	for name, policy := range map[string][2]string{
		"all":      {"", ""},
		"store":    {`{"store":["a"]}`, ""},
		"cheap":    {`{"price":[{"numeric":["<",10]}]}`, "MessageAttributes"},
		"no-store": {`{"store":[{"exists":false}]}`, ""},
		"one-of":   {`{"kinds":["x"]}`, ""},
		"inside":   {`{"order":{"store":[{"prefix":"b"}]}}`, "MessageBody"},
	} {
		attributes := map[string]string{}
		if policy[0] != "" {
			attributes["FilterPolicy"] = policy[0]
		}
		if policy[1] != "" {
			attributes["FilterPolicyScope"] = policy[1]
		}
		r.subscribe(t, topic, "sqs", "arn:aws:sqs:us-east-1:000000000000:"+name, attributes)
	}
	text := func(kind, value string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: &kind, StringValue: &value}
	}
	for name, tc := range map[string]struct {
		message    string
		attributes map[string]types.MessageAttributeValue
		want       []string
	}{
		"nothing":  {"m", nil, []string{"all", "no-store"}},
		"a store":  {"m", map[string]types.MessageAttributeValue{"store": text("String", "a")}, []string{"all", "store"}},
		"another":  {"m", map[string]types.MessageAttributeValue{"store": text("String", "b"), "price": text("Number", "9.5")}, []string{"all", "cheap"}},
		"an array": {"m", map[string]types.MessageAttributeValue{"kinds": text("String.Array", `["y","x"]`), "price": text("String", "9.5")}, []string{"all", "no-store", "one-of"}},
		"a body":   {`{"order":{"store":"bb"}}`, nil, []string{"all", "inside", "no-store"}},
	} {
		r.calls = nil
		must(r.client.Publish(ctx, &awssns.PublishInput{TopicArn: topic, Message: aws.String(tc.message), MessageAttributes: tc.attributes}))(t)
		var got []string
		for _, c := range r.calls {
			url := c.input["QueueUrl"].(string)
			got = append(got, url[strings.LastIndex(url, "/")+1:])
		}
		slices.Sort(got)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s went to %q, want %q", name, got, tc.want)
		}
	}
}

func TestFilterPolicyChanges(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	arn := aws.String(r.subscribe(t, r.topic(t), "sqs", "arn:aws:sqs:us-east-1:000000000000:q", map[string]string{"FilterPolicy": `{"a":["b"]}`}))
	set := func(name, value string) error {
		_, err := r.client.SetSubscriptionAttributes(ctx, &awssns.SetSubscriptionAttributesInput{SubscriptionArn: arn, AttributeName: &name, AttributeValue: &value})
		return err
	}
	get := func() map[string]string {
		return must(r.client.GetSubscriptionAttributes(ctx, &awssns.GetSubscriptionAttributesInput{SubscriptionArn: arn}))(t).Attributes
	}
	if a := get(); a["FilterPolicy"] != `{"a":["b"]}` || a["FilterPolicyScope"] != "MessageAttributes" {
		t.Errorf("at first %v", a)
	}
	if err := set("FilterPolicy", `{"a":{"b":["c"]}}`); code(err) != "InvalidParameter" || !strings.Contains(err.Error(), "does not support nested filter policy") {
		t.Errorf("nested: %v", err)
	}
	if err := set("FilterPolicy", `{ "a": [] }`); err == nil || !strings.Contains(err.Error(), `Invalid parameter: FilterPolicy: Empty arrays are not allowed`) || !strings.Contains(err.Error(), `(String)"{"a":[]}"; line: 1, column: 8]`) {
		t.Errorf("empty: %v", err)
	}
	for _, in := range [][2]string{{"FilterPolicyScope", "MessageBody"}, {"FilterPolicy", `{"a":{"b":["c"]}}`}, {"FilterPolicy", ""}} {
		if err := set(in[0], in[1]); err != nil {
			t.Errorf("%v: %v", in, err)
		}
	}
	if a := get(); a["FilterPolicy"] != "" || a["FilterPolicyScope"] != "" {
		t.Errorf("in the end %v", a)
	}
}

func TestPublishBatch(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	topic := r.topic(t)
	r.subscribe(t, topic, "sqs", queue, map[string]string{"RawMessageDelivery": "true"})
	entry := func(id, text string) types.PublishBatchRequestEntry {
		return types.PublishBatchRequestEntry{Id: &id, Message: &text}
	}
	out := must(r.client.PublishBatch(ctx, &awssns.PublishBatchInput{TopicArn: topic, PublishBatchRequestEntries: []types.PublishBatchRequestEntry{entry("1", "one"), entry("2", ""), entry("3", "three")}}))(t)
	if len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != "2" || *out.Failed[0].Code != "InvalidParameter" || len(r.calls) != 2 {
		t.Errorf("batch %+v, calls %+v", out, r.calls)
	}
	if _, err := r.client.PublishBatch(ctx, &awssns.PublishBatchInput{TopicArn: topic, PublishBatchRequestEntries: []types.PublishBatchRequestEntry{entry("1", "a"), entry("1", "b")}}); code(err) != "BatchEntryIdsNotDistinct" {
		t.Errorf("the same id twice: %v", err)
	}
}

func TestPolicyDecidesForServices(t *testing.T) {
	r := newRig(t)
	topic := r.topic(t)
	publish := func() error {
		as := wire.WithCaller(t.Context(), wire.Caller{Account: "000000000000", ARN: "arn:aws:events:us-east-1:000000000000:rule/r", Service: "events.amazonaws.com"})
		_, err := r.Wire().Call(as, "Publish", []byte(`{"TopicArn":"`+*topic+`","Message":"m"}`))
		return err
	}
	if err := publish(); !wire.HasCode(err, "AuthorizationError") {
		t.Errorf("without a policy: %v", err)
	}
	must(r.client.SetTopicAttributes(t.Context(), &awssns.SetTopicAttributesInput{TopicArn: topic, AttributeName: aws.String("Policy"), AttributeValue: aws.String(`{"Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish"}]}`)}))(t)
	if err := publish(); err != nil {
		t.Errorf("with a policy: %v", err)
	}
}
