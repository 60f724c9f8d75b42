package eventbridge_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const (
	function = "arn:aws:lambda:us-east-1:000000000000:function:f"
	machine  = "arn:aws:states:us-east-1:000000000000:stateMachine:m"
	role     = "arn:aws:iam::000000000000:role/r"
	queue    = "arn:aws:sqs:us-east-1:000000000000:q"
	dead     = "arn:aws:sqs:us-east-1:000000000000:dead"
	topic    = "arn:aws:sns:us-east-1:000000000000:t"
	group    = "arn:aws:logs:us-east-1:000000000000:log-group:/aws/events/all"
	ruleARN  = "arn:aws:events:us-east-1:000000000000:rule/r"
)

// rule makes a rule "r" for the source "acme" with these targets.
func (r *rig) rule(t testing.TB, targets ...types.Target) {
	t.Helper()
	must(r.client.PutRule(t.Context(), &eb.PutRuleInput{Name: aws.String("r"), EventPattern: aws.String(`{"source":["acme"]}`)}))(t)
	for i := range targets {
		targets[i].Id = aws.String(fmt.Sprint("t", i))
	}
	if len(targets) > 0 {
		must(r.client.PutTargets(t.Context(), &eb.PutTargetsInput{Rule: aws.String("r"), Targets: targets}))(t)
	}
}

func (r *rig) put(t testing.TB, detail string) *eb.PutEventsOutput {
	t.Helper()
	return must(r.client.PutEvents(t.Context(), &eb.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		{Source: aws.String("acme"), DetailType: aws.String("Made"), Detail: aws.String(detail), Resources: []string{"arn:x"}, Time: aws.Time(time.Date(2026, 3, 1, 9, 0, 0, 5e8, time.UTC))}}}))(t)
}

// event is the event that a Lambda function was invoked with.
func event(t testing.TB, c called) string {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(fmt.Sprint(c.Input["Payload"]))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestTargetsAreCalled(t *testing.T) {
	whole := `{"version":"0","id":"00000000-0000-4000-8000-000000000001","detail-type":"Made","source":"acme","account":"000000000000","time":"2026-03-01T09:00:00Z","region":"us-east-1","resources":["arn:x"],"detail":{"n":1.50,"s":"a<b"}}`
	service := wire.Caller{Account: "000000000000", ARN: ruleARN, Service: "events.amazonaws.com"}
	tests := map[string]struct {
		target  types.Target
		service string
		call    string
		input   map[string]any
		role    string
	}{
		"lambda": {types.Target{Arn: aws.String(function)}, "lambda", "Invoke",
			map[string]any{"FunctionName": function, "InvocationType": "Event", "Payload": base64.StdEncoding.EncodeToString([]byte(whole))}, ""},
		"states": {types.Target{Arn: aws.String(machine), RoleArn: aws.String(role)}, "states", "StartExecution",
			map[string]any{"stateMachineArn": machine, "name": "00000000-0000-4000-8000-000000000002", "input": whole}, role},
		"sqs": {types.Target{Arn: aws.String(queue)}, "sqs", "SendMessage",
			map[string]any{"QueueUrl": "https://sqs.us-east-1.amazonaws.com/000000000000/q", "MessageBody": whole}, ""},
		"sns": {types.Target{Arn: aws.String(topic)}, "sns", "Publish", map[string]any{"TopicArn": topic, "Message": whole}, ""},
		"logs": {types.Target{Arn: aws.String(group)}, "logs", "PutLogEvents", map[string]any{"logGroupName": "/aws/events/all", "logStreamName": "r",
			"logEvents": []any{map[string]any{"timestamp": float64(1772359200000), "message": whole}}}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.rule(t, tc.target)
			if out := r.put(t, `{"n":1.50,"s":"a<b"}`); out.FailedEntryCount != 0 || *out.Entries[0].EventId != "00000000-0000-4000-8000-000000000001" {
				t.Fatalf("put: %+v", out)
			}
			got := r.cloud.wait(t)
			if got.Service != tc.service || got.Operation != tc.call {
				t.Errorf("called %s:%s", got.Service, got.Operation)
			}
			if a, b := fmt.Sprint(got.Input), fmt.Sprint(tc.input); a != b {
				t.Errorf("input %s\n want %s", a, b)
			}
			if tc.role != "" {
				if got.Caller.RoleARN != tc.role || got.Caller.Service != "" {
					t.Errorf("caller %+v", got.Caller)
				}
			} else if got.Caller != service {
				t.Errorf("caller %+v, want %+v", got.Caller, service)
			}
		})
	}
}

func TestInputIsShaped(t *testing.T) {
	transformer := func(template string, paths map[string]string) types.Target {
		return types.Target{InputTransformer: &types.InputTransformer{InputTemplate: &template, InputPathsMap: paths}}
	}
	paths := map[string]string{"b": "$.detail.bucket.name", "n": "$.detail.n", "o": "$.detail.bucket", "r": "$.resources[0]", "gone": "$.detail.gone", "at": "$.detail.list[1].k"}
	tests := map[string]struct {
		target types.Target
		want   string
	}{
		"a constant":                    {types.Target{Input: aws.String(`{"mode": "all"}`)}, `{"mode": "all"}`},
		"a path":                        {types.Target{InputPath: aws.String("$.detail.bucket")}, `{"name":"raw"}`},
		"the whole, as a path":          {types.Target{InputPath: aws.String("$.detail-type")}, `"Made"`},
		"a path to nothing":             {types.Target{InputPath: aws.String("$.detail.gone")}, `null`},
		"types are kept outside quotes": {transformer(`{"b": <b>, "n": <n>, "o": <o>}`, paths), `{"b": "raw", "n": 7, "o": {"name":"raw"}}`},
		"texts inside quotes":           {transformer(`{"t": "s3://<b>/<n>"}`, paths), `{"t": "s3://raw/7"}`},
		"indices":                       {transformer(`[<r>, <at>]`, paths), `["arn:x", true]`},
		"a text":                        {transformer(`"<b> has <n> of <o>"`, paths), `"raw has 7 of {name:raw}"`},
		"lines of text":                 {transformer("\"bucket <b>\"\n\"n <n>\"", paths), "\"bucket raw\"\n\"n 7\""},
		"a variable that vanishes":      {transformer(`{"t": "[<gone>]"}`, paths), `{"t": "[]"}`},
		"predefined variables":          {transformer(`{"a": <aws.events.rule-arn>, "n": "<aws.events.rule-name>", "i": <aws.events.event.ingestion-time>}`, nil), `{"a": "` + ruleARN + `", "n": "r", "i": "2026-03-01T10:00:00Z"}`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			tc.target.Arn = aws.String(queue)
			r.rule(t, tc.target)
			r.put(t, `{"n":7,"bucket":{"name":"raw"},"list":[{"k":false},{"k":true}]}`)
			if got := r.cloud.wait(t).Input["MessageBody"]; got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

func TestWholeEventsInTransformers(t *testing.T) {
	r := newRig(t)
	r.rule(t, types.Target{Arn: aws.String(queue), InputTransformer: &types.InputTransformer{InputTemplate: aws.String(`{"all": <aws.events.event.json>, "head": <aws.events.event>}`)}})
	r.put(t, `{"n":7}`)
	var got struct{ All, Head map[string]any }
	if err := json.Unmarshal([]byte(r.cloud.wait(t).Input["MessageBody"].(string)), &got); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.All["detail"]) != "map[n:7]" || got.Head["source"] != "acme" || got.Head["detailType"] == nil || got.All["detail-type"] == nil {
		t.Errorf("got %v", got)
	}
	if _, has := got.Head["detail"]; has {
		t.Error("aws.events.event has the detail")
	}
}

func TestPutEventsPartialFailure(t *testing.T) {
	r := newRig(t)
	r.rule(t, types.Target{Arn: aws.String(queue)})
	entry := func(source, detailType, detail string) types.PutEventsRequestEntry {
		return types.PutEventsRequestEntry{Source: aws.String(source), DetailType: aws.String(detailType), Detail: aws.String(detail)}
	}
	out := must(r.client.PutEvents(t.Context(), &eb.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		entry("acme", "A", `{}`), entry("aws.s3", "A", `{}`), entry("", "A", `{}`), entry("acme", "", `{}`), entry("acme", "A", ""), entry("acme", "A", `{"a":`), entry("acme", "A", `[1]`), entry("other", "A", `{}`)}}))(t)
	want := []string{"", "NotAuthorizedForSourceException", "InvalidArgument", "InvalidArgument", "InvalidArgument", "MalformedDetail", "MalformedDetail", ""}
	for i, e := range out.Entries {
		if aws.ToString(e.ErrorCode) != want[i] || (want[i] == "") != (e.EventId != nil) {
			t.Errorf("entry %d: %s %s, want %q", i, aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage), want[i])
		}
	}
	if out.FailedEntryCount != 6 {
		t.Errorf("failed %d", out.FailedEntryCount)
	}
	r.cloud.wait(t) // of the first; the last matches no rule
	r.cloud.none(t)
}

func TestPutEventsRefusesRequest(t *testing.T) {
	r := newRig(t)
	e := types.PutEventsRequestEntry{Source: aws.String("a"), DetailType: aws.String("b"), Detail: aws.String("{}")}
	big := e
	big.Detail = aws.String(`{"x":"` + strings.Repeat("x", 1<<20) + `"}`)
	for name, entries := range map[string][]types.PutEventsRequestEntry{"none": {}, "eleven": {e, e, e, e, e, e, e, e, e, e, e}, "too large": {big}} {
		t.Run(name, func(t *testing.T) {
			_, err := r.client.PutEvents(t.Context(), &eb.PutEventsInput{Entries: entries})
			if code(err) != "ValidationException" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestRetriesThenDelivers(t *testing.T) {
	r := newRig(t)
	failures := 0
	r.cloud.answers(func(called) error {
		if failures++; failures <= 3 {
			return &wire.Error{Code: "TooManyRequestsException", Message: "slow down", Status: 429}
		}
		return nil
	})
	r.rule(t, types.Target{Arn: aws.String(function)})
	r.put(t, `{}`)
	start := r.clock.Now()
	for range 4 {
		r.cloud.wait(t)
		r.nextTimer(t)
	}
	// 1 s, 2 s and 4 s with the whole of the jitter.
	if waited := r.clock.Now().Sub(start); waited != 7*time.Second {
		t.Errorf("waited %v", waited)
	}
	r.cloud.none(t)
}

// nextTimer moves the clock to the next retry, once it is set, or returns when
// all deliveries have ended.
func (r *rig) nextTimer(t testing.TB) {
	t.Helper()
	r.awaitIdle(t)
	r.clock.mu.Lock()
	var first time.Duration = -1
	for _, timer := range r.clock.timers {
		if d := timer.at.Sub(r.clock.now); first < 0 || d < first {
			first = d
		}
	}
	r.clock.mu.Unlock()
	if first >= 0 {
		r.clock.advance(first)
	}
}

// awaitIdle returns when no attempt is under way: it was answered and followed
// by a timer or by nothing.
func (r *rig) awaitIdle(t testing.TB) {
	t.Helper()
	if err := r.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestDeadLetters(t *testing.T) {
	two := aws.Int32(2)
	tests := map[string]struct {
		fail     error
		retry    *types.RetryPolicy
		template string
		want     map[string]string
		attempts int
	}{
		"no permission": {fail: &wire.Error{Code: "AccessDeniedException", Message: "no", Status: 403}, attempts: 1,
			want: map[string]string{"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "AccessDeniedException: no", "RETRY_ATTEMPTS": "0"}},
		"no target": {fail: &wire.Error{Code: "ResourceNotFoundException", Message: "gone", Status: 404}, attempts: 1,
			want: map[string]string{"ERROR_CODE": "NO_RESOURCE", "ERROR_MESSAGE": "ResourceNotFoundException: gone", "RETRY_ATTEMPTS": "0"}},
		"refused": {fail: &wire.Error{Code: "ValidationException", Message: "bad"}, attempts: 1,
			want: map[string]string{"ERROR_CODE": "SDK_CLIENT_ERROR", "ERROR_MESSAGE": "ValidationException: bad", "RETRY_ATTEMPTS": "0"}},
		"attempts used up": {fail: &wire.Error{Code: "ServiceException", Message: "down", Status: 500}, retry: &types.RetryPolicy{MaximumRetryAttempts: two}, attempts: 3,
			want: map[string]string{"ERROR_CODE": "INTERNAL_ERROR", "ERROR_MESSAGE": "ServiceException: down", "RETRY_ATTEMPTS": "2", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts"}},
		"too old": {fail: &wire.Error{Code: "ThrottlingException", Message: "slow"}, retry: &types.RetryPolicy{MaximumEventAgeInSeconds: aws.Int32(60)}, attempts: 6,
			want: map[string]string{"ERROR_CODE": "THROTTLING", "ERROR_MESSAGE": "ThrottlingException: slow", "RETRY_ATTEMPTS": "5", "EXHAUSTED_RETRY_CONDITION": "MaximumEventAgeInSeconds"}},
		"input that is not JSON": {template: `{"a": <gone>}`,
			want: map[string]string{"ERROR_CODE": "INVALID_JSON", "ERROR_MESSAGE": `the input transformer made invalid JSON: {"a": }`, "RETRY_ATTEMPTS": "0"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.cloud.answers(func(c called) error {
				if c.Service == "lambda" {
					return tc.fail
				}
				return nil
			})
			target := types.Target{Arn: aws.String(function), RetryPolicy: tc.retry, DeadLetterConfig: &types.DeadLetterConfig{Arn: aws.String(dead)}}
			if tc.template != "" {
				target.InputTransformer = &types.InputTransformer{InputTemplate: &tc.template, InputPathsMap: map[string]string{"gone": "$.detail.gone"}}
			}
			r.rule(t, target)
			r.put(t, `{"k":"v"}`)
			for range tc.attempts {
				if c := r.cloud.wait(t); c.Service != "lambda" {
					t.Fatalf("called %+v", c)
				}
				r.nextTimer(t)
			}
			got := r.cloud.wait(t)
			if got.Service != "sqs" || got.Input["QueueUrl"] != "https://sqs.us-east-1.amazonaws.com/000000000000/dead" || !strings.Contains(got.Input["MessageBody"].(string), `"detail":{"k":"v"}`) {
				t.Fatalf("called %+v", got)
			}
			if got.Caller.Service != "events.amazonaws.com" || got.Caller.ARN != ruleARN {
				t.Errorf("caller %+v", got.Caller)
			}
			tc.want["RULE_ARN"], tc.want["TARGET_ARN"] = ruleARN, function
			attributes := got.Input["MessageAttributes"].(map[string]any)
			for k, v := range tc.want {
				if a, _ := attributes[k].(map[string]any); a["StringValue"] != v {
					t.Errorf("%s is %v, want %s", k, a, v)
				}
			}
			if len(attributes) != len(tc.want) {
				t.Errorf("attributes %v", attributes)
			}
			r.awaitIdle(t)
			if n := r.clock.waiting(); n != 0 {
				t.Errorf("%d timers are left", n)
			}
		})
	}
}

// An event that was acknowledged is delivered after a stop, however far it was.
func TestDeliveryAfterRestart(t *testing.T) {
	r := newRig(t)
	r.cloud.answers(func(called) error { return &wire.Error{Code: "ServiceException", Message: "down", Status: 500} })
	r.rule(t, types.Target{Arn: aws.String(function)}, types.Target{Arn: aws.String(queue)})
	r.put(t, `{"k":1}`)
	r.put(t, `{"k":2}`)
	for range 4 {
		r.cloud.wait(t)
	}
	r.awaitIdle(t)
	r.close(t)
	r.cloud.answers(nil)
	r.open(t, false)
	r.cloud.none(t)
	r.Start()
	r.clock.advance(time.Second)
	got := map[string]int{}
	for range 4 {
		got[r.cloud.wait(t).Service]++
	}
	if got["lambda"] != 2 || got["sqs"] != 2 {
		t.Errorf("delivered %v", got)
	}
	r.awaitIdle(t)
	r.close(t)
	r.open(t, true)
	r.awaitIdle(t)
	r.clock.advance(time.Hour)
	r.cloud.none(t)
}

func TestEmit(t *testing.T) {
	r := newRig(t)
	must(r.client.PutRule(t.Context(), &eb.PutRuleInput{Name: aws.String("s3"), EventPattern: aws.String(`{"source":["aws.s3"],"detail":{"object":{"key":[{"prefix":"raw/"}]}}}`)}))(t)
	must(r.client.PutTargets(t.Context(), &eb.PutTargetsInput{Rule: aws.String("s3"), Targets: []types.Target{{Id: aws.String("q"), Arn: aws.String(queue)}}}))(t)
	type object struct {
		Key string `json:"key"`
	}
	r.Emit(t.Context(), "aws.s3", "Object Created", []string{"arn:aws:s3:::b"}, map[string]any{"object": object{"raw/a&b.csv"}})
	r.Emit(t.Context(), "aws.s3", "Object Created", nil, map[string]any{"object": object{"else/b"}})
	want := `{"version":"0","id":"00000000-0000-4000-8000-000000000001","detail-type":"Object Created","source":"aws.s3","account":"000000000000","time":"2026-03-01T10:00:00Z","region":"us-east-1","resources":["arn:aws:s3:::b"],"detail":{"object":{"key":"raw/a&b.csv"}}}`
	if got := r.cloud.wait(t).Input["MessageBody"]; got != want {
		t.Errorf("got %s", got)
	}
	r.awaitIdle(t)
	r.cloud.none(t)
}

func TestBusToBus(t *testing.T) {
	r := newRig(t)
	must(r.client.CreateEventBus(t.Context(), &eb.CreateEventBusInput{Name: aws.String("two")}))(t)
	must(r.client.PutRule(t.Context(), &eb.PutRuleInput{Name: aws.String("all"), EventBusName: aws.String("two"), EventPattern: aws.String(`{"source":[{"prefix":""}]}`)}))(t)
	must(r.client.PutTargets(t.Context(), &eb.PutTargetsInput{Rule: aws.String("all"), EventBusName: aws.String("two"), Targets: []types.Target{{Id: aws.String("q"), Arn: aws.String(queue)}}}))(t)
	r.rule(t, types.Target{Arn: aws.String("arn:aws:events:us-east-1:000000000000:event-bus/two")})
	r.put(t, `{}`)
	got := r.cloud.wait(t)
	if !strings.Contains(got.Input["MessageBody"].(string), `"id":"00000000-0000-4000-8000-000000000001"`) || got.Caller.ARN != "arn:aws:events:us-east-1:000000000000:rule/two/all" {
		t.Errorf("called %+v", got)
	}
}

func TestLogStreamIsMade(t *testing.T) {
	r := newRig(t)
	made := false
	r.cloud.answers(func(c called) error {
		if c.Operation == "CreateLogStream" {
			made = true
		}
		if c.Operation == "PutLogEvents" && !made {
			return wire.Errorf("ResourceNotFoundException", "no stream")
		}
		return nil
	})
	r.rule(t, types.Target{Arn: aws.String(group + ":*")})
	r.put(t, `{}`)
	for _, want := range []string{"PutLogEvents", "CreateLogStream", "PutLogEvents"} {
		if got := r.cloud.wait(t); got.Operation != want || got.Input["logGroupName"] != "/aws/events/all" {
			t.Errorf("called %+v, want %s", got, want)
		}
	}
}

func TestSchedules(t *testing.T) {
	tests := map[string]struct {
		expression string
		first      string
		second     string
	}{
		"rate":                 {"rate(5 minutes)", "2026-03-01T10:05:00Z", "2026-03-01T10:10:00Z"},
		"rate of one":          {"rate(1 day)", "2026-03-02T10:00:00Z", "2026-03-03T10:00:00Z"},
		"cron":                 {"cron(30 8 ? * MON-FRI *)", "2026-03-02T08:30:00Z", "2026-03-03T08:30:00Z"},
		"cron, on this minute": {"cron(0 10 * * ? *)", "2026-03-02T10:00:00Z", "2026-03-03T10:00:00Z"},
		"cron, the last day":   {"cron(0 0 L * ? *)", "2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			must(r.client.PutRule(t.Context(), &eb.PutRuleInput{Name: aws.String("r"), ScheduleExpression: aws.String(tc.expression)}))(t)
			must(r.client.PutTargets(t.Context(), &eb.PutTargetsInput{Rule: aws.String("r"), Targets: []types.Target{{Id: aws.String("q"), Arn: aws.String(queue)}}}))(t)
			for _, want := range []string{tc.first, tc.second} {
				due, _ := time.Parse(time.RFC3339, want)
				r.clock.advance(due.Sub(r.clock.Now()) - time.Second)
				r.cloud.none(t)
				r.clock.advance(time.Second)
				body := r.cloud.wait(t).Input["MessageBody"].(string)
				if !strings.Contains(body, `"time":"`+want+`"`) || !strings.Contains(body, `"detail-type":"Scheduled Event","source":"aws.events"`) || !strings.HasSuffix(body, `"resources":["`+ruleARN+`"],"detail":{}}`) {
					t.Errorf("got %s", body)
				}
			}
			must(r.client.DisableRule(t.Context(), &eb.DisableRuleInput{Name: aws.String("r")}))(t)
			r.clock.advance(100 * 24 * time.Hour)
			r.cloud.none(t)
		})
	}
}

// What was due while the cloud was down is not made up for.
func TestScheduleAfterRestart(t *testing.T) {
	r := newRig(t)
	must(r.client.PutRule(t.Context(), &eb.PutRuleInput{Name: aws.String("r"), ScheduleExpression: aws.String("rate(1 hour)")}))(t)
	must(r.client.PutTargets(t.Context(), &eb.PutTargetsInput{Rule: aws.String("r"), Targets: []types.Target{{Id: aws.String("q"), Arn: aws.String(queue)}}}))(t)
	r.close(t)
	r.clock.advance(150 * time.Minute)
	r.open(t, true)
	r.awaitIdle(t)
	r.cloud.none(t)
	r.clock.advance(30 * time.Minute)
	if body := r.cloud.wait(t).Input["MessageBody"].(string); !strings.Contains(body, `"time":"2026-03-01T13:00:00Z"`) {
		t.Errorf("got %s", body)
	}
}

// BenchmarkPutToTarget is an event from the client's call to its target called, over HTTP.
func BenchmarkPutToTarget(b *testing.B) {
	r := newRig(b)
	for i := range 20 {
		must(r.client.PutRule(b.Context(), &eb.PutRuleInput{Name: aws.String(fmt.Sprint("other", i)), EventPattern: aws.String(fmt.Sprintf(`{"source":["other%d"]}`, i))}))(b)
	}
	r.rule(b, types.Target{Arn: aws.String(function)})
	var took []time.Duration
	for b.Loop() {
		answered := make(chan struct{})
		start := time.Now()
		go func() {
			defer close(answered)
			r.put(b, `{"k":"v"}`)
		}()
		r.cloud.wait(b)
		took = append(took, time.Since(start))
		<-answered
	}
	reportP99(b, took)
}
