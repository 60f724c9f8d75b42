package eventbridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func reportP99(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func TestRuleLife(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	put := must(r.client.PutRule(ctx, &eb.PutRuleInput{Name: aws.String("r"), Description: aws.String("d"), EventPattern: aws.String(`{"source":["a"]}`), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}))(t)
	if *put.RuleArn != ruleARN {
		t.Errorf("ARN %s", *put.RuleArn)
	}
	must(r.client.PutTargets(ctx, &eb.PutTargetsInput{Rule: aws.String("r"), Targets: []types.Target{{Id: aws.String("1"), Arn: aws.String(queue)}, {Id: aws.String("2"), Arn: aws.String(function)}}}))(t)
	must(r.client.PutRule(ctx, &eb.PutRuleInput{Name: aws.String("r"), EventPattern: aws.String(`{"source":["b"]}`), State: types.RuleStateDisabled}))(t)
	got := must(r.client.DescribeRule(ctx, &eb.DescribeRuleInput{Name: aws.String("r")}))(t)
	if *got.EventPattern != `{"source":["b"]}` || got.State != types.RuleStateDisabled || got.Description != nil || *got.EventBusName != "default" || *got.CreatedBy != "000000000000" {
		t.Errorf("described %+v", got)
	}
	must(r.client.EnableRule(ctx, &eb.EnableRuleInput{Name: aws.String("r")}))(t)
	if got := must(r.client.ListRules(ctx, &eb.ListRulesInput{NamePrefix: aws.String("r")}))(t); len(got.Rules) != 1 || got.Rules[0].State != types.RuleStateEnabled {
		t.Errorf("listed %+v", got.Rules)
	}
	if got := must(r.client.ListTargetsByRule(ctx, &eb.ListTargetsByRuleInput{Rule: aws.String("r")}))(t); len(got.Targets) != 2 || *got.Targets[1].Arn != function {
		t.Errorf("targets %+v", got.Targets)
	}
	if got := must(r.client.ListRuleNamesByTarget(ctx, &eb.ListRuleNamesByTargetInput{TargetArn: aws.String(function)}))(t); !slices.Equal(got.RuleNames, []string{"r"}) {
		t.Errorf("names %v", got.RuleNames)
	}
	tags := must(r.client.ListTagsForResource(ctx, &eb.ListTagsForResourceInput{ResourceARN: aws.String(ruleARN)}))(t)
	if len(tags.Tags) != 1 || *tags.Tags[0].Value != "v" {
		t.Errorf("tags %+v", tags.Tags)
	}
	if _, err := r.client.DeleteRule(ctx, &eb.DeleteRuleInput{Name: aws.String("r")}); code(err) != "ValidationException" {
		t.Errorf("deleted a rule with targets: %v", err)
	}
	gone := must(r.client.RemoveTargets(ctx, &eb.RemoveTargetsInput{Rule: aws.String("r"), Ids: []string{"1", "2", "3"}}))(t)
	if gone.FailedEntryCount != 1 || *gone.FailedEntries[0].TargetId != "3" {
		t.Errorf("removed %+v", gone)
	}
	must(r.client.DeleteRule(ctx, &eb.DeleteRuleInput{Name: aws.String("r")}))(t)
	must(r.client.DeleteRule(ctx, &eb.DeleteRuleInput{Name: aws.String("r")}))(t)
	if _, err := r.client.DescribeRule(ctx, &eb.DescribeRuleInput{Name: aws.String("r")}); code(err) != "ResourceNotFoundException" {
		t.Errorf("described a deleted rule: %v", err)
	}
}

func TestListRulesPages(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for i := range 7 {
		must(r.client.PutRule(ctx, &eb.PutRuleInput{Name: aws.String(fmt.Sprint("r", i)), EventPattern: aws.String(`{"source":["a"]}`)}))(t)
	}
	var names []string
	in := &eb.ListRulesInput{Limit: aws.Int32(3)}
	for {
		page := must(r.client.ListRules(ctx, in))(t)
		for _, rule := range page.Rules {
			names = append(names, *rule.Name)
		}
		if in.NextToken = page.NextToken; in.NextToken == nil {
			break
		}
	}
	if got := strings.Join(names, " "); got != "r0 r1 r2 r3 r4 r5 r6" {
		t.Errorf("got %s", got)
	}
}

func TestPutRuleRefuses(t *testing.T) {
	pattern := aws.String(`{"source":["a"]}`)
	tests := map[string]struct {
		in   eb.PutRuleInput
		code string
	}{
		"a name":                   {eb.PutRuleInput{Name: aws.String("a b"), EventPattern: pattern}, "ValidationException"},
		"neither":                  {eb.PutRuleInput{Name: aws.String("a")}, "ValidationException"},
		"a pattern":                {eb.PutRuleInput{Name: aws.String("a"), EventPattern: aws.String(`{"source":"a"}`)}, "InvalidEventPatternException"},
		"a pattern too long":       {eb.PutRuleInput{Name: aws.String("a"), EventPattern: aws.String(`{"source":["` + strings.Repeat("a", 4096) + `"]}`)}, "ValidationException"},
		"a bus that is not there":  {eb.PutRuleInput{Name: aws.String("a"), EventPattern: pattern, EventBusName: aws.String("no")}, "ResourceNotFoundException"},
		"a rate in the plural":     {eb.PutRuleInput{Name: aws.String("a"), ScheduleExpression: aws.String("rate(1 minutes)")}, "ValidationException"},
		"a rate of nothing":        {eb.PutRuleInput{Name: aws.String("a"), ScheduleExpression: aws.String("rate(0 minutes)")}, "ValidationException"},
		"a rate in seconds":        {eb.PutRuleInput{Name: aws.String("a"), ScheduleExpression: aws.String("rate(5 seconds)")}, "ValidationException"},
		"cron with both days":      {eb.PutRuleInput{Name: aws.String("a"), ScheduleExpression: aws.String("cron(* * * * * *)")}, "ValidationException"},
		"cron of five fields":      {eb.PutRuleInput{Name: aws.String("a"), ScheduleExpression: aws.String("cron(* * * * ?)")}, "ValidationException"},
		"a state":                  {eb.PutRuleInput{Name: aws.String("a"), EventPattern: pattern, State: "OFF"}, "ValidationException"},
		"a schedule on a made bus": {eb.PutRuleInput{Name: aws.String("a"), ScheduleExpression: aws.String("rate(5 minutes)"), EventBusName: aws.String("own")}, "ValidationException"},
	}
	r := newRig(t)
	must(r.client.CreateEventBus(t.Context(), &eb.CreateEventBusInput{Name: aws.String("own")}))(t)
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := r.client.PutRule(t.Context(), &tc.in); code(err) != tc.code {
				t.Errorf("got %v, want %s", err, tc.code)
			}
		})
	}
}

func TestPutTargetsRefuses(t *testing.T) {
	on := func(change func(*types.Target)) types.Target {
		target := types.Target{Id: aws.String("t"), Arn: aws.String(queue)}
		change(&target)
		return target
	}
	x := func(template string, paths map[string]string) types.Target {
		return on(func(t *types.Target) {
			t.InputTransformer = &types.InputTransformer{InputTemplate: &template, InputPathsMap: paths}
		})
	}
	tests := map[string]types.Target{
		"an id":                      on(func(t *types.Target) { t.Id = aws.String("a b") }),
		"no ARN":                     on(func(t *types.Target) { t.Arn = aws.String("queue") }),
		"an unsupported service":     on(func(t *types.Target) { t.Arn = aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s") }),
		"another region":             on(func(t *types.Target) { t.Arn = aws.String("arn:aws:sqs:eu-west-1:000000000000:q") }),
		"another account":            on(func(t *types.Target) { t.Arn = aws.String("arn:aws:sqs:us-east-1:111122223333:q") }),
		"a FIFO queue":               on(func(t *types.Target) { t.Arn = aws.String(queue + ".fifo") }),
		"a machine without a role":   on(func(t *types.Target) { t.Arn = aws.String(machine) }),
		"its own bus":                on(func(t *types.Target) { t.Arn = aws.String("arn:aws:events:us-east-1:000000000000:event-bus/default") }),
		"parameters of another kind": on(func(t *types.Target) { t.HttpParameters = &types.HttpParameters{} }),
		"two inputs": on(func(t *types.Target) {
			t.Input, t.InputPath = aws.String("{}"), aws.String("$.detail")
		}),
		"an input that is not JSON": on(func(t *types.Target) { t.Input = aws.String("{") }),
		"a path in brackets":        on(func(t *types.Target) { t.InputPath = aws.String("$['detail']") }),
		"a path with a filter":      on(func(t *types.Target) { t.InputPath = aws.String("$.detail[?(@.a)]") }),
		"too many retries":          on(func(t *types.Target) { t.RetryPolicy = &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(186)} }),
		"too young an age":          on(func(t *types.Target) { t.RetryPolicy = &types.RetryPolicy{MaximumEventAgeInSeconds: aws.Int32(59)} }),
		"a FIFO dead-letter queue":  on(func(t *types.Target) { t.DeadLetterConfig = &types.DeadLetterConfig{Arn: aws.String(dead + ".fifo")} }),
		"a topic for dead letters":  on(func(t *types.Target) { t.DeadLetterConfig = &types.DeadLetterConfig{Arn: aws.String(topic)} }),
		"a template's unknown name": x(`{"a": <b>}`, nil),
		"a reserved name":           x(`{"a": <AWS.b>}`, map[string]string{"AWS.b": "$.id"}),
		"a template's path":         x(`{"a": <b>}`, map[string]string{"b": "$..id"}),
		"a template without JSON":   x(`hello <b>`, map[string]string{"b": "$.id"}),
	}
	r := newRig(t)
	r.rule(t)
	for name, target := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := r.client.PutTargets(t.Context(), &eb.PutTargetsInput{Rule: aws.String("r"), Targets: []types.Target{target}}); code(err) != "ValidationException" {
				t.Errorf("got %v", err)
			}
		})
	}
	six := make([]types.Target, 6)
	for i := range six {
		six[i] = types.Target{Id: aws.String(fmt.Sprint(i)), Arn: aws.String(queue)}
	}
	if _, err := r.client.PutTargets(t.Context(), &eb.PutTargetsInput{Rule: aws.String("r"), Targets: six}); code(err) != "LimitExceededException" {
		t.Errorf("six targets: %v", err)
	}
}

func TestTestEventPattern(t *testing.T) {
	r := newRig(t)
	event := `{"id":"1","account":"000000000000","source":"a","time":"2026-03-01T10:00:00Z","region":"us-east-1","resources":[],"detail-type":"d","detail":{"n":5}}`
	ask := func(pattern, event string) (bool, error) {
		out, err := r.client.TestEventPattern(t.Context(), &eb.TestEventPatternInput{EventPattern: &pattern, Event: &event})
		if err != nil {
			return false, err
		}
		return out.Result, nil
	}
	for pattern, want := range map[string]bool{`{"detail":{"n":[{"numeric":[">",4]}]}}`: true, `{"source":["b"]}`: false} {
		if got, err := ask(pattern, event); err != nil || got != want {
			t.Errorf("%s: %v %v", pattern, got, err)
		}
	}
	if _, err := ask(`{"source":"b"}`, event); code(err) != "InvalidEventPatternException" || !strings.Contains(err.Error(), "Event pattern is not valid. Reason: ") {
		t.Errorf("an invalid pattern: %v", err)
	}
	if _, err := ask(`{"source":["b"]}`, `{"source":"b"}`); code(err) != "ValidationException" {
		t.Errorf("half an event: %v", err)
	}
}

func TestBusLife(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	own := aws.String("own")
	made := must(r.client.CreateEventBus(ctx, &eb.CreateEventBusInput{Name: own, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}}))(t)
	if *made.EventBusArn != "arn:aws:events:us-east-1:000000000000:event-bus/own" {
		t.Errorf("ARN %s", *made.EventBusArn)
	}
	if _, err := r.client.CreateEventBus(ctx, &eb.CreateEventBusInput{Name: own}); code(err) != "ResourceAlreadyExistsException" {
		t.Errorf("made twice: %v", err)
	}
	if _, err := r.client.DeleteEventBus(ctx, &eb.DeleteEventBusInput{Name: aws.String("default")}); code(err) != "ValidationException" {
		t.Errorf("deleted default: %v", err)
	}
	must(r.client.TagResource(ctx, &eb.TagResourceInput{ResourceARN: made.EventBusArn, Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}}}))(t)
	must(r.client.UntagResource(ctx, &eb.UntagResourceInput{ResourceARN: made.EventBusArn, TagKeys: []string{"a"}}))(t)
	if tags := must(r.client.ListTagsForResource(ctx, &eb.ListTagsForResourceInput{ResourceARN: made.EventBusArn}))(t).Tags; len(tags) != 1 || *tags[0].Key != "b" {
		t.Errorf("tags %+v", tags)
	}
	if _, err := r.client.RemovePermission(ctx, &eb.RemovePermissionInput{EventBusName: own, StatementId: aws.String("s1")}); err == nil || !strings.Contains(err.Error(), "Statement with the provided id does not exist.") {
		t.Errorf("removed from no policy: %v", err)
	}
	must(r.client.PutPermission(ctx, &eb.PutPermissionInput{EventBusName: own, Action: aws.String("events:PutEvents"), Principal: aws.String("111122223333"), StatementId: aws.String("s1")}))(t)
	must(r.client.PutPermission(ctx, &eb.PutPermissionInput{EventBusName: own, Action: aws.String("events:PutEvents"), Principal: aws.String("222222222222"), StatementId: aws.String("s2")}))(t)
	r.close(t)
	r.open(t, true)
	policy := must(r.client.DescribeEventBus(ctx, &eb.DescribeEventBusInput{Name: own}))(t).Policy
	var doc struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(aws.ToString(policy)), &doc); err != nil || len(doc.Statement) != 2 {
		t.Fatalf("policy %s: %v", aws.ToString(policy), err)
	}
	must(r.client.RemovePermission(ctx, &eb.RemovePermissionInput{EventBusName: own, StatementId: aws.String("s1")}))(t)
	if _, err := r.client.RemovePermission(ctx, &eb.RemovePermissionInput{EventBusName: own, StatementId: aws.String("s1")}); code(err) != "ResourceNotFoundException" {
		t.Errorf("removed twice: %v", err)
	}
	if buses := must(r.client.ListEventBuses(ctx, &eb.ListEventBusesInput{}))(t).EventBuses; len(buses) != 2 || *buses[1].Name != "own" {
		t.Errorf("buses %+v", buses)
	}
	must(r.client.DeleteEventBus(ctx, &eb.DeleteEventBusInput{Name: own}))(t)
	if _, err := r.client.DescribeEventBus(ctx, &eb.DescribeEventBusInput{Name: own}); code(err) != "ResourceNotFoundException" {
		t.Errorf("described a deleted bus: %v", err)
	}
}

// Callers of other accounts need the bus's policy.
func TestBusPolicyDecidesForOthers(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	must(r.client.PutPermission(ctx, &eb.PutPermissionInput{Action: aws.String("events:PutEvents"), Principal: aws.String("111122223333"), StatementId: aws.String("s")}))(t)
	in := []byte(`{"Entries":[{"Source":"acme","DetailType":"d","Detail":"{}"}]}`)
	for account, want := range map[string]int32{"000000000000": 0, "111122223333": 0, "222222222222": 1} {
		as := wire.WithCaller(context.Background(), wire.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root"})
		raw, err := r.Wire().Call(as, "PutEvents", in)
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			FailedEntryCount int32
			Entries          []struct{ ErrorCode string }
		}
		if err := json.Unmarshal(raw, &out); err != nil || out.FailedEntryCount != want {
			t.Errorf("account %s: %s %v", account, raw, err)
		}
		if want == 1 && out.Entries[0].ErrorCode != "AccessDeniedException" {
			t.Errorf("account %s: %s", account, raw)
		}
	}
}
