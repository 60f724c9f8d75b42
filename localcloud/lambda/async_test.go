package lambda_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/millrace-ml/millrace/localcloud/lambda"
)

func (c *cloud) send(t *testing.T, name, event string) {
	t.Helper()
	out, err := c.client.Invoke(t.Context(), &api.InvokeInput{FunctionName: aws.String(name), InvocationType: types.InvocationTypeEvent, Payload: []byte(event)})
	if err != nil {
		t.Fatal(err)
	}
	if out.StatusCode != 202 || len(out.Payload) != 0 {
		t.Errorf("status %d payload %q", out.StatusCode, out.Payload)
	}
}

func (c *cloud) delivered(t *testing.T) call {
	t.Helper()
	select {
	case k := <-c.calls.got:
		return k
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was delivered")
		return call{}
	}
}

func lines(path string) []string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Fields(string(raw))
}

func TestAsync_RetriesThenDeadLetterAndDestination(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", func(in *api.CreateFunctionInput) {
		in.DeadLetterConfig = &types.DeadLetterConfig{TargetArn: aws.String("arn:aws:sqs:us-east-1:000000000000:dead")}
	})
	bus := "arn:aws:events:us-east-1:000000000000:event-bus/b"
	if _, err := c.client.PutFunctionEventInvokeConfig(t.Context(), &api.PutFunctionEventInvokeConfigInput{FunctionName: aws.String("f"),
		DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: &bus}}}); err != nil {
		t.Fatal(err)
	}
	c.calls.fails = 1 // the first delivery is refused and tried again
	mark := filepath.Join(t.TempDir(), "mark")
	event := `{"do":"touch-fail","text":"` + mark + `"}`
	c.send(t, "f", event)

	dead := c.delivered(t)
	if dead.Operation != "SendMessage" || dead.Input["MessageBody"] != event || dead.Input["QueueUrl"] != "http://127.0.0.1/dead" {
		t.Errorf("dead letter %+v", dead)
	}
	attributes, _ := json.Marshal(dead.Input["MessageAttributes"])
	if !strings.Contains(string(attributes), "touched and failed") || !strings.Contains(string(attributes), `"RequestID"`) {
		t.Errorf("attributes %s", attributes)
	}
	if dead.Caller.RoleARN != role || dead.Caller.ARN != "arn:aws:sts::000000000000:assumed-role/worker/f" {
		t.Errorf("sent as %+v", dead.Caller)
	}
	put := c.delivered(t)
	entry := put.Input["Entries"].([]any)[0].(map[string]any)
	var record struct {
		RequestContext struct {
			RequestID, FunctionArn, Condition string
			ApproximateInvokeCount            int
		}
		RequestPayload  struct{ Do string }
		ResponseContext struct{ FunctionError string }
		ResponsePayload struct{ ErrorMessage string }
	}
	if err := json.Unmarshal([]byte(entry["Detail"].(string)), &record); err != nil {
		t.Fatal(err)
	}
	if entry["DetailType"] != "Lambda Function Invocation Result - Failure" || record.RequestContext.Condition != "RetriesExhausted" ||
		record.RequestContext.ApproximateInvokeCount != 3 || record.RequestPayload.Do != "touch-fail" || record.ResponsePayload.ErrorMessage != "touched and failed" {
		t.Errorf("entry %v", entry)
	}
	ids := lines(mark)
	if len(ids) != 3 || ids[0] != ids[2] || ids[0] != record.RequestContext.RequestID {
		t.Errorf("tried as %v, recorded %s", ids, record.RequestContext.RequestID)
	}
}

func TestAsync_SuccessDestination(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	c.create(t, "ok", nil)
	for _, target := range []string{"arn:aws:sqs:us-east-1:000000000000:ok", "arn:aws:sns:us-east-1:000000000000:ok", "arn:aws:lambda:us-east-1:000000000000:function:ok"} {
		if _, err := c.client.PutFunctionEventInvokeConfig(t.Context(), &api.PutFunctionEventInvokeConfigInput{FunctionName: aws.String("f"),
			DestinationConfig: &types.DestinationConfig{OnSuccess: &types.OnSuccess{Destination: aws.String(target)}}}); err != nil {
			t.Fatal(err)
		}
		c.send(t, "f", `{"text":"hi"}`)
		k := c.delivered(t)
		raw, _ := json.Marshal(k.Input)
		want := map[string]string{"sqs": "SendMessage", "sns": "Publish", "lambda": "Invoke"}[k.Service]
		if k.Operation != want || (k.Service != "lambda" && !strings.Contains(string(raw), `Success`)) {
			t.Errorf("to %s: %+v", target, k)
		}
	}
}

func TestAsync_NoneReserved(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	if _, err := c.client.PutFunctionConcurrency(t.Context(), &api.PutFunctionConcurrencyInput{FunctionName: aws.String("f"), ReservedConcurrentExecutions: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.PutFunctionEventInvokeConfig(t.Context(), &api.PutFunctionEventInvokeConfigInput{FunctionName: aws.String("f"),
		DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: aws.String("arn:aws:sqs:us-east-1:000000000000:dead")}}}); err != nil {
		t.Fatal(err)
	}
	c.send(t, "f", `{"text":"hi"}`)
	body := c.delivered(t).Input["MessageBody"].(string)
	if !strings.Contains(body, `"condition":"ZeroReservedConcurrency"`) || !strings.Contains(body, `"approximateInvokeCount":0`) || !strings.Contains(body, `"requestPayload":{"text":"hi"}`) {
		t.Errorf("record %s", body)
	}
}

// stopped is a clock on which no time passes until told.
type stopped struct {
	mu     sync.Mutex
	now    time.Time
	timers []timer
}

type timer struct {
	at time.Time
	f  func()
}

func (s *stopped) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stopped) AfterFunc(d time.Duration, f func()) func() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timers = append(s.timers, timer{s.now.Add(d), f})
	return func() bool { return true }
}

func (s *stopped) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.timers)
}

func (s *stopped) pass(d time.Duration) {
	s.mu.Lock()
	s.now = s.now.Add(d)
	var due, later []timer
	for _, t := range s.timers {
		if t.at.After(s.now) {
			later = append(later, t)
		} else {
			due = append(due, t)
		}
	}
	s.timers = later
	s.mu.Unlock()
	for _, t := range due {
		go t.f()
	}
}

func TestAsync_SurvivesARestart(t *testing.T) {
	k := &stopped{now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
	c := open(t, func(o *lambda.Options) { o.Clock, o.AsyncRetryWaits = k, []time.Duration{time.Minute} })
	c.create(t, "f", nil)
	mark := filepath.Join(t.TempDir(), "mark")
	c.send(t, "f", `{"do":"touch-fail","text":"`+mark+`"}`)
	awaitTrue(t, "a retry that waits", func() bool { return len(lines(mark)) == 1 && k.waiting() == 1 })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	k.pass(time.Minute)
	if n := len(lines(mark)); n != 1 {
		t.Fatalf("a closed service tried %d times", n)
	}
	c.start(t)
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "the retry after the restart", func() bool { return len(lines(mark)) == 2 })
}

func TestAsync_MaximumAge(t *testing.T) {
	k := &stopped{now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
	c := open(t, func(o *lambda.Options) { o.Clock, o.AsyncRetryWaits = k, []time.Duration{time.Minute, 2 * time.Minute} })
	c.create(t, "f", nil)
	queue := "arn:aws:sqs:us-east-1:000000000000:old"
	if _, err := c.client.PutFunctionEventInvokeConfig(t.Context(), &api.PutFunctionEventInvokeConfigInput{FunctionName: aws.String("f"), MaximumEventAgeInSeconds: aws.Int32(90),
		DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: &queue}}}); err != nil {
		t.Fatal(err)
	}
	c.send(t, "f", `{"do":"fail"}`)
	awaitTrue(t, "a retry that waits", func() bool { return k.waiting() == 1 })
	k.pass(time.Minute)
	if body := c.delivered(t).Input["MessageBody"].(string); !strings.Contains(body, "EventAgeExceeded") {
		t.Errorf("record %s", body)
	}
}

func TestAsync_AcceptedWhileClosedIsRefused(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wire().Call(context.WithoutCancel(t.Context()), "Invoke", []byte(`{"FunctionName":"f"}`)); err == nil {
		t.Error("a closed service ran a function")
	}
}
