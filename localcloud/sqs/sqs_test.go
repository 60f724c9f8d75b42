package sqs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/sqs"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// manualClock stands still until it is moved; set tells of each timer that is set.
type manualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer
	set    chan time.Duration
}

type timer struct {
	at   time.Time
	f    func()
	gone bool
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{at: c.now.Add(d), f: f}
	c.timers = append(c.timers, t)
	c.set <- d
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		was := t.gone
		t.gone = true
		return !was
	}
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for _, t := range c.timers {
		if !t.gone && !t.at.After(c.now) {
			t.gone = true
			due = append(due, t.f)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

type rig struct {
	*sqs.SQS
	client *awssqs.Client
	clock  *manualClock
	dir    string
	store  *store.Store
	server *httptest.Server
}

func newRig(t testing.TB) *rig {
	r := &rig{clock: &manualClock{now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), set: make(chan time.Duration, 100)}, dir: t.TempDir()}
	r.open(t)
	return r
}

func (r *rig) open(t testing.TB) {
	t.Helper()
	st, err := store.Open(filepath.Join(r.dir, "state.db"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	r.store = st
	r.SQS, err = sqs.New(sqs.Options{Base: service.Base{Account: "000000000000", Region: "us-east-1", Clock: r.clock, Store: st, Log: slog.New(slog.DiscardHandler)},
		PolicyAllows: func(policy string, c wire.Caller, action, _ string) bool {
			return strings.Contains(policy, c.Service) && strings.Contains(policy, action)
		}})
	if err != nil {
		t.Fatal(err)
	}
	service := r.Wire()
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		service.ServeHTTP(w, q.WithContext(wire.WithRequestID(q.Context(), "1"))) // as the front does
	}))
	r.client = awssqs.New(awssqs.Options{Region: "us-east-1", BaseEndpoint: aws.String(r.server.URL), Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 3})
	t.Cleanup(r.close)
}

func (r *rig) close() {
	_ = r.Close()
	r.server.Close()
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

func (r *rig) queue(t testing.TB, name string, attributes map[string]string) *string {
	t.Helper()
	return must(r.client.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes}))(t).QueueUrl
}

func (r *rig) send(t testing.TB, url *string, body string) {
	t.Helper()
	must(r.client.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: url, MessageBody: &body}))(t)
}

func (r *rig) receive(t testing.TB, url *string) []types.Message {
	t.Helper()
	return must(r.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: url, MaxNumberOfMessages: 10, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"}}))(t).Messages
}

func bodies(messages []types.Message) string {
	var out []string
	for _, m := range messages {
		out = append(out, *m.Body)
	}
	return strings.Join(out, " ")
}

func TestMessageLife(t *testing.T) {
	r := newRig(t)
	url := r.queue(t, "q", nil)
	if *url != "https://sqs.us-east-1.amazonaws.com/000000000000/q" {
		t.Errorf("URL %s", *url)
	}
	sent := must(r.client.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("This is a test message"), MessageAttributes: map[string]types.MessageAttributeValue{
		"test_attribute_name_1": {DataType: aws.String("String"), StringValue: aws.String("test_attribute_value_1")}}}))(t)
	// The sums that the SQS documentation and SDKs' tests name for these texts.
	if *sent.MD5OfMessageBody != "fafb00f5732ab283681e124bf8747ed1" {
		t.Errorf("sum of the body %s", *sent.MD5OfMessageBody)
	}
	got := r.receive(t, url)
	if bodies(got) != "This is a test message" {
		t.Fatalf("received %+v", got)
	}
	m := got[0]
	if m.Attributes["ApproximateReceiveCount"] != "1" || m.Attributes["SentTimestamp"] != "1772359200000" || m.Attributes["SenderId"] != "000000000000" {
		t.Errorf("attributes %v", m.Attributes)
	}
	if *m.MessageAttributes["test_attribute_name_1"].StringValue != "test_attribute_value_1" || *m.MD5OfMessageAttributes != *sent.MD5OfMessageAttributes {
		t.Errorf("message attributes %+v", m)
	}
	if again := r.receive(t, url); len(again) != 0 {
		t.Errorf("received what is invisible: %s", bodies(again))
	}
	r.clock.advance(30 * time.Second)
	second := r.receive(t, url)
	if bodies(second) != "This is a test message" || second[0].Attributes["ApproximateReceiveCount"] != "2" {
		t.Fatalf("received again %+v", second)
	}
	must(r.client.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle}))(t) // an old receipt deletes nothing
	r.clock.advance(30 * time.Second)
	third := r.receive(t, url)
	if len(third) != 1 {
		t.Fatalf("an old receipt deleted the message")
	}
	for range 2 {
		must(r.client.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: third[0].ReceiptHandle}))(t)
	}
	r.clock.advance(time.Hour)
	if left := r.receive(t, url); len(left) != 0 {
		t.Errorf("deleted message came back: %s", bodies(left))
	}
}

func TestSurvivesRestart(t *testing.T) {
	r := newRig(t)
	url := r.queue(t, "q", map[string]string{"VisibilityTimeout": "60"})
	for _, body := range []string{"a", "b", "c"} {
		r.send(t, url, body)
	}
	one := must(r.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: url}))(t).Messages
	must(r.client.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: one[0].ReceiptHandle}))(t)
	two := must(r.client.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: url}))(t).Messages
	r.close()
	r.open(t)
	r.send(t, url, "d")
	if got := bodies(r.receive(t, url)); got != "c d" {
		t.Errorf("received %q, want c d", got)
	}
	must(r.client.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: two[0].ReceiptHandle}))(t)
	r.clock.advance(time.Minute)
	if got := bodies(r.receive(t, url)); got != "c d" {
		t.Errorf("received %q, want c d", got)
	}
}

func TestDelayAndVisibility(t *testing.T) {
	r := newRig(t)
	url := r.queue(t, "q", map[string]string{"DelaySeconds": "10"})
	r.send(t, url, "late")
	must(r.client.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("later"), DelaySeconds: 20}))(t)
	r.clock.advance(9 * time.Second)
	if got := r.receive(t, url); len(got) != 0 {
		t.Errorf("received early: %s", bodies(got))
	}
	r.clock.advance(time.Second)
	got := r.receive(t, url)
	if bodies(got) != "late" {
		t.Fatalf("received %q", bodies(got))
	}
	change := func(timeout int32) error {
		_, err := r.client.ChangeMessageVisibility(t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: timeout})
		return err
	}
	if err := change(5); err != nil {
		t.Fatal(err)
	}
	r.clock.advance(5 * time.Second)
	if err := change(4); err != nil {
		t.Errorf("a message that is visible again: %v", err)
	}
	if again := r.receive(t, url); len(again) > 0 {
		t.Errorf("received %q", bodies(again))
	}
	r.clock.advance(4 * time.Second)
	if again := r.receive(t, url); bodies(again) != "late" {
		t.Errorf("received %q", bodies(again))
	}
	if err := change(0); err != nil {
		t.Errorf("by the receipt of an earlier receive: %v", err)
	}
	again := r.receive(t, url)
	if bodies(again) != "late" {
		t.Fatalf("received %q", bodies(again))
	}
	must(r.client.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: again[0].ReceiptHandle}))(t)
	if err := change(1); code(err) != "InvalidParameterValue" || !strings.Contains(err.Error(), "Message does not exist or is not available for visibility timeout change.") {
		t.Errorf("changed a deleted message: %v", err)
	}
}

func TestLongPolling(t *testing.T) {
	poll := func(r *rig, url *string) <-chan string {
		got := make(chan string, 1)
		go func() {
			out, err := r.client.ReceiveMessage(context.Background(), &awssqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 20})
			if err != nil {
				got <- err.Error()
				return
			}
			got <- bodies(out.Messages)
		}()
		return got
	}
	t.Run("a message comes", func(t *testing.T) {
		r := newRig(t)
		url := r.queue(t, "q", nil)
		got := poll(r, url)
		<-r.clock.set
		r.send(t, url, "now")
		if body := <-got; body != "now" {
			t.Errorf("received %q", body)
		}
	})
	t.Run("nothing comes", func(t *testing.T) {
		r := newRig(t)
		got := poll(r, r.queue(t, "q", nil))
		if wait := <-r.clock.set; wait != 20*time.Second {
			t.Errorf("waits %v", wait)
		}
		r.clock.advance(20 * time.Second)
		if body := <-got; body != "" {
			t.Errorf("received %q", body)
		}
	})
	t.Run("one becomes visible", func(t *testing.T) {
		r := newRig(t)
		url := r.queue(t, "q", map[string]string{"VisibilityTimeout": "7"})
		r.send(t, url, "back")
		r.receive(t, url)
		got := poll(r, url)
		if wait := <-r.clock.set; wait != 7*time.Second {
			t.Errorf("waits %v", wait)
		}
		r.clock.advance(7 * time.Second)
		if body := <-got; body != "back" {
			t.Errorf("received %q", body)
		}
	})
	t.Run("the cloud closes", func(t *testing.T) {
		r := newRig(t)
		got := poll(r, r.queue(t, "q", nil))
		<-r.clock.set
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if body := <-got; body != "" {
			t.Errorf("received %q", body)
		}
	})
}

func TestRedrive(t *testing.T) {
	r := newRig(t)
	dead := r.queue(t, "dead", nil)
	url := r.queue(t, "q", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"2"}`})
	r.send(t, url, "poison")
	for range 2 {
		if got := r.receive(t, url); bodies(got) != "poison" {
			t.Fatalf("received %q", bodies(got))
		}
		r.clock.advance(30 * time.Second)
	}
	if got := r.receive(t, url); len(got) != 0 {
		t.Errorf("received a third time: %q", bodies(got))
	}
	got := r.receive(t, dead)
	if bodies(got) != "poison" || got[0].Attributes["DeadLetterQueueSourceArn"] != "arn:aws:sqs:us-east-1:000000000000:q" {
		t.Errorf("dead letters %+v", got)
	}
	sources := must(r.client.ListDeadLetterSourceQueues(t.Context(), &awssqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead}))(t)
	if !slices.Equal(sources.QueueUrls, []string{*url}) {
		t.Errorf("sources %v", sources.QueueUrls)
	}
}

func TestBatches(t *testing.T) {
	r := newRig(t)
	url := r.queue(t, "q", map[string]string{"MaximumMessageSize": "1024"})
	entry := func(id, body string) types.SendMessageBatchRequestEntry {
		return types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body}
	}
	out := must(r.client.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
		entry("1", "one"), entry("2", strings.Repeat("x", 1025)), entry("3", "three"), entry("4", "bad\x00")}}))(t)
	if len(out.Successful) != 2 || len(out.Failed) != 2 || *out.Failed[0].Code != "InvalidParameterValue" || *out.Failed[1].Code != "InvalidMessageContents" {
		t.Fatalf("sent %+v", out)
	}
	got := r.receive(t, url)
	if bodies(got) != "one three" {
		t.Fatalf("received %q", bodies(got))
	}
	changed := must(r.client.ChangeMessageVisibilityBatch(t.Context(), &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 100}, {Id: aws.String("b"), ReceiptHandle: aws.String("junk")}}}))(t)
	if len(changed.Successful) != 1 || *changed.Failed[0].Code != "ReceiptHandleIsInvalid" {
		t.Errorf("changed %+v", changed)
	}
	gone := must(r.client.DeleteMessageBatch(t.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: got[0].ReceiptHandle}, {Id: aws.String("b"), ReceiptHandle: aws.String("junk")}, {Id: aws.String("c"), ReceiptHandle: got[1].ReceiptHandle}}}))(t)
	if len(gone.Successful) != 2 || len(gone.Failed) != 1 {
		t.Errorf("deleted %+v", gone)
	}
	for name, tc := range map[string]struct {
		entries []types.SendMessageBatchRequestEntry
		code    string
	}{
		"empty":    {[]types.SendMessageBatchRequestEntry{}, "AWS.SimpleQueueService.EmptyBatchRequest"},
		"twice":    {[]types.SendMessageBatchRequestEntry{entry("1", "a"), entry("1", "b")}, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
		"an id":    {[]types.SendMessageBatchRequestEntry{entry("a b", "a")}, "AWS.SimpleQueueService.InvalidBatchEntryId"},
		"too many": {slices.Repeat([]types.SendMessageBatchRequestEntry{entry("1", "a")}, 11), "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
	} {
		if _, err := r.client.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: url, Entries: tc.entries}); code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := r.client.DeleteMessageBatch(t.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{}})
	if err == nil || !strings.Contains(err.Error(), "at least one DeleteMessageBatchRequestEntry in") {
		t.Errorf("no receipts: %v", err)
	}
}

func TestQueues(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	url := r.queue(t, "q", map[string]string{"VisibilityTimeout": "40"})
	r.queue(t, "q", map[string]string{"VisibilityTimeout": "40", "DelaySeconds": "0"}) // the same again
	if _, err := r.client.CreateQueue(ctx, &awssqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"VisibilityTimeout": "41"}}); code(err) != "QueueAlreadyExists" {
		t.Errorf("made with other attributes: %v", err)
	}
	must(r.client.SetQueueAttributes(ctx, &awssqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"VisibilityTimeout": "50", "Policy": `{"Statement":[]}`}}))(t)
	all := must(r.client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"}}))(t).Attributes
	for k, want := range map[string]string{"VisibilityTimeout": "50", "Policy": `{"Statement":[]}`, "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "DelaySeconds": "0", "MessageRetentionPeriod": "345600", "ApproximateNumberOfMessages": "0"} {
		if all[k] != want {
			t.Errorf("%s is %q, want %q", k, all[k], want)
		}
	}
	r.send(t, url, "a")
	r.send(t, url, "b")
	must(r.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{QueueUrl: url}))(t)
	some := must(r.client.GetQueueAttributes(ctx, &awssqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"}}))(t).Attributes
	if len(some) != 2 || some["ApproximateNumberOfMessages"] != "1" || some["ApproximateNumberOfMessagesNotVisible"] != "1" {
		t.Errorf("counts %v", some)
	}
	must(r.client.PurgeQueue(ctx, &awssqs.PurgeQueueInput{QueueUrl: url}))(t)
	r.clock.advance(time.Hour)
	if got := r.receive(t, url); len(got) != 0 {
		t.Errorf("purged, but %q", bodies(got))
	}
	r.send(t, url, "old")
	r.clock.advance(345601 * time.Second)
	if got := r.receive(t, url); len(got) != 0 {
		t.Errorf("expired, but %q", bodies(got))
	}
	must(r.client.TagQueue(ctx, &awssqs.TagQueueInput{QueueUrl: url, Tags: map[string]string{"a": "1", "b": "2"}}))(t)
	must(r.client.UntagQueue(ctx, &awssqs.UntagQueueInput{QueueUrl: url, TagKeys: []string{"a"}}))(t)
	if tags := must(r.client.ListQueueTags(ctx, &awssqs.ListQueueTagsInput{QueueUrl: url}))(t).Tags; len(tags) != 1 || tags["b"] != "2" {
		t.Errorf("tags %v", tags)
	}
	r.queue(t, "other", nil)
	if urls := must(r.client.ListQueues(ctx, &awssqs.ListQueuesInput{QueueNamePrefix: aws.String("o")}))(t).QueueUrls; len(urls) != 1 {
		t.Errorf("queues %v", urls)
	}
	must(r.client.DeleteQueue(ctx, &awssqs.DeleteQueueInput{QueueUrl: url}))(t)
	if _, err := r.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: aws.String("q")}); code(err) != "AWS.SimpleQueueService.NonExistentQueue" {
		t.Errorf("a deleted queue: %v", err)
	}
	for name, in := range map[string]*awssqs.CreateQueueInput{
		"AWS.SimpleQueueService.UnsupportedOperation": {QueueName: aws.String("q.fifo"), Attributes: map[string]string{"FifoQueue": "true"}},
		"InvalidParameterValue":                       {QueueName: aws.String("a b")},
		"InvalidAttributeName":                        {QueueName: aws.String("q"), Attributes: map[string]string{"Nope": "1"}},
		"InvalidAttributeValue":                       {QueueName: aws.String("q"), Attributes: map[string]string{"DelaySeconds": "901"}},
	} {
		if _, err := r.client.CreateQueue(ctx, in); code(err) != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

// Python's and other clients send a 0, which is not what the queue has by default.
func TestZeroIsNotNothing(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	url := *r.queue(t, "q", map[string]string{"DelaySeconds": "100", "ReceiveMessageWaitTimeSeconds": "20"})
	call := func(operation, rest string) map[string]any {
		t.Helper()
		raw := must(r.Wire().Call(ctx, operation, []byte(`{"QueueUrl":"`+url+`",`+rest+`}`)))(t)
		var out map[string]any
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if got := call("ReceiveMessage", `"WaitTimeSeconds":0`); len(got) != 0 {
		t.Errorf("from an empty queue: %v", got)
	}
	call("SendMessage", `"MessageBody":"late"`)
	call("SendMessage", `"MessageBody":"one","DelaySeconds":0,"MessageGroupId":"g"`)
	call("SendMessageBatch", `"Entries":[{"Id":"a","MessageBody":"late"},{"Id":"b","MessageBody":"two","DelaySeconds":0}]`)
	for range 2 { // all at once again
		got := call("ReceiveMessage", `"MaxNumberOfMessages":10,"VisibilityTimeout":0,"WaitTimeSeconds":0,"MessageSystemAttributeNames":["MessageGroupId"]`)["Messages"].([]any)
		if len(got) != 2 || got[0].(map[string]any)["Body"] != "one" || got[1].(map[string]any)["Body"] != "two" || fmt.Sprint(got[0].(map[string]any)["Attributes"]) != "map[MessageGroupId:g]" {
			t.Errorf("received %v", got)
		}
	}
	if _, err := r.Wire().Call(ctx, "ReceiveMessage", []byte(`{"QueueUrl":"`+url+`","MaxNumberOfMessages":0}`)); !wire.HasCode(err, "InvalidParameterValue") {
		t.Errorf("no messages asked for: %v", err)
	}
}

func TestRecently(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	url, in := r.queue(t, "q", nil), &awssqs.CreateQueueInput{QueueName: aws.String("q")}
	must(r.client.PurgeQueue(ctx, &awssqs.PurgeQueueInput{QueueUrl: url}))(t)
	if _, err := r.client.PurgeQueue(ctx, &awssqs.PurgeQueueInput{QueueUrl: url}); code(err) != "AWS.SimpleQueueService.PurgeQueueInProgress" {
		t.Errorf("purged at once again: %v", err)
	}
	must(r.client.DeleteQueue(ctx, &awssqs.DeleteQueueInput{QueueUrl: url}))(t)
	if _, err := r.client.CreateQueue(ctx, in); code(err) != "AWS.SimpleQueueService.QueueDeletedRecently" {
		t.Errorf("made at once again: %v", err)
	}
	r.clock.advance(time.Minute)
	must(r.client.CreateQueue(ctx, in))(t)
	must(r.client.PurgeQueue(ctx, &awssqs.PurgeQueueInput{QueueUrl: url}))(t)
	r.clock.advance(time.Minute)
	must(r.client.PurgeQueue(ctx, &awssqs.PurgeQueueInput{QueueUrl: url}))(t)
	// A stack that is gone can be made again: on AWS its deletion took that minute.
	if _, err := r.Wire().Call(ctx, "DeleteQueue", []byte(`{"QueueUrl":"`+*url+`"}`)); err != nil {
		t.Fatal(err)
	}
	must(r.client.CreateQueue(ctx, in))(t)
}

func TestPolicyDecidesForServices(t *testing.T) {
	r := newRig(t)
	url := r.queue(t, "q", nil)
	send := func() error {
		as := wire.WithCaller(t.Context(), wire.Caller{Account: "000000000000", ARN: "arn:aws:events:us-east-1:000000000000:rule/r", Service: "events.amazonaws.com"})
		_, err := r.Wire().Call(as, "SendMessage", []byte(`{"QueueUrl":"`+*url+`","MessageBody":"x"}`))
		return err
	}
	if err := send(); !wire.HasCode(err, "AccessDenied") {
		t.Errorf("without a policy: %v", err)
	}
	must(r.client.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"Policy": `{"Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage"}]}`}}))(t)
	if err := send(); err != nil {
		t.Errorf("with a policy: %v", err)
	}
}
