package stepfunctions_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// scenario is a state machine with what AWS recorded of it.
type scenario struct {
	ID         string
	Kind       string
	Language   string `json:"query_language"`
	Definition json.RawMessage
	Input      json.RawMessage
	Lambdas    []struct {
		Name string
		File string `json:"handler_file"`
	}
	Expected struct {
		Output  any
		History *struct{ Events []map[string]any } `json:"get_execution_history"`
	}
}

func (s scenario) name() string { return s.ID[strings.Index(s.ID, "::")+2:] }

// knownMisses are the scenarios that end otherwise here, and why that stays.
var knownMisses = map[string]string{
	"TestBaseScenarios::test_lambda_invoke_with_retry_extended_input": "recorded before AWS gave the context object its RedriveCount",
	"TestBaseScenarios::test_max_concurrency_path_negative":           "recorded before the execution had gone on: it has ExecutionStarted only",
}

// leastRight is the share of the comparable scenarios whose whole history must be right.
const leastRight = 0.97

// TestRecordedScenarios runs scenarios recorded from AWS over the wire and
// compares whole histories. They belong to others and are not kept here:
//
//	MILLRACE_ASL_SUITE=<cases.json> go test ./localcloud/stepfunctions -run RecordedScenarios -v
//
// docs/asl-conformance.md tells what came of them.
func TestRecordedScenarios(t *testing.T) {
	path := os.Getenv("MILLRACE_ASL_SUITE")
	if path == "" {
		t.Skip("MILLRACE_ASL_SUITE names no file of scenarios")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []scenario
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatalf("read %s: %v", path, err)
	}
	c := newCloudAt(t, &hundredfold{begun: time.Now()})
	c.answer = func(ctx context.Context, _, _ string, in map[string]any) (any, error) {
		caller := wire.CallerFrom(ctx).ARN // ends in the execution's name
		i, err := strconv.Atoi(caller[strings.LastIndex(caller, "/m")+2:])
		if err != nil {
			return nil, err
		}
		name, _ := in["FunctionName"].(string)
		payload, _ := in["Payload"].(string)
		return all[i].function(ctx, name, payload)
	}
	var mu sync.Mutex
	right, missed, refused := 0, 0, map[string]int{}
	var group sync.WaitGroup
	places := make(chan struct{}, 8)
	for i, s := range all {
		group.Add(1)
		places <- struct{}{}
		go func() {
			defer func() { <-places; group.Done() }()
			why, refusal, err := c.play(fmt.Sprintf("m%d", i), s)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Errorf("%s: %v", s.name(), err)
			case refusal != "":
				refused[refusal]++
			case s.Language != "JSONPath":
				t.Errorf("%s: a machine in %s is not refused", s.name(), s.Language)
			case why == "":
				right++
			case knownMisses[s.name()] != "":
				missed++
				t.Logf("%s: %s: %s", s.name(), knownMisses[s.name()], why)
			default:
				missed++
				t.Errorf("%s: %s", s.name(), why)
			}
		}()
	}
	group.Wait()
	t.Logf("%d scenarios: %d whole histories right, %d not, refused at creation: %v", len(all), right, missed, refused)
	if share := float64(right) / float64(max(right+missed, 1)); share < leastRight {
		t.Errorf("%.1f %% are right, at least %.0f %% must be", 100*share, 100*leastRight)
	}
}

// play runs a scenario: what differs first, or why its machine was refused.
func (c *cloud) play(name string, s scenario) (why, refusal string, err error) {
	ctx := context.Background()
	kind := types.StateMachineTypeStandard
	if strings.Contains(s.Kind, "express") || strings.Contains(s.Kind, "sync") {
		kind = types.StateMachineTypeExpress
	}
	definition := strings.ReplaceAll(string(s.Definition), "111111111111", account)
	m, err := c.client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: &name, Definition: &definition, RoleArn: aws.String(role), Type: kind})
	if err != nil {
		return "", refusalOf(err), nil
	}
	begun, err := c.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn, Name: &name, Input: aws.String(string(s.Input))})
	if err != nil {
		return "", "", err
	}
	end, err := c.outcome(ctx, *begun.ExecutionArn)
	if err != nil {
		return "", "", err
	}
	if s.Kind == "choice_table" {
		return differ("output", s.Expected.Output, aws.ToString(end.Output)), "", nil
	}
	if s.Expected.History == nil {
		return "", "", errors.New("there is no history to compare with")
	}
	in, err := json.Marshal(map[string]any{"ExecutionArn": begun.ExecutionArn, "MaxResults": 1000})
	if err != nil {
		return "", "", err
	}
	raw, err := c.svc.Wire().Call(ctx, "GetExecutionHistory", in)
	if err != nil {
		return "", "", err
	}
	var got struct{ Events []map[string]any }
	if err := json.Unmarshal(raw, &got); err != nil {
		return "", "", err
	}
	return differences(s.Expected.History.Events, got.Events), "", nil
}

// outcome awaits an execution's end.
func (c *cloud) outcome(ctx context.Context, arn string) (*sfn.DescribeExecutionOutput, error) {
	for range 3000 {
		d, err := c.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		if err != nil || d.Status != types.ExecutionStatusRunning {
			return d, err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, fmt.Errorf("%s does not end", arn)
}

// refusalOf is a refusal's kind, for counting; the whole text names state and field.
func refusalOf(err error) string {
	text := err.Error()
	for _, known := range []string{"EXPRESS", "JSONata", "DISTRIBUTED", "Credentials", "ctivit"} {
		if strings.Contains(text, known) {
			return known
		}
	}
	return text
}

// hundredfold is a clock on which 100 seconds pass in one.
type hundredfold struct{ begun time.Time }

func (h *hundredfold) Now() time.Time { return h.begun.Add(100 * time.Since(h.begun)).UTC() }

func (h *hundredfold) AfterFunc(d time.Duration, f func()) func() bool {
	return clock.Real{}.AfterFunc(d/100, f)
}

// function does what the scenarios' functions do, by the file they come from.
func (s scenario) function(ctx context.Context, name, payload string) (any, error) {
	file := ""
	for _, l := range s.Lambdas {
		if file == "" || strings.HasSuffix(name, l.Name) {
			file = l.File[strings.LastIndex(l.File, "/")+1:]
		}
	}
	failure := func(kind, text string) (any, error) {
		return lambdaAnswer(fmt.Sprintf(`{"errorMessage":%q,"errorType":%q,"requestId":"5f1f5a1e-0000-4000-8000-000000000000",`+
			`"stackTrace":["  File \"/var/task/handler.py\", line 2, in handler\n    raise Exception(\"Some exception was raised.\")\n"]}`, text, kind), true), nil
	}
	switch {
	case strings.Contains(name, "no_such") || strings.Contains(name, "NoSuch"):
		return nil, &wire.Error{Code: "ResourceNotFoundException", Message: "Function not found: arn:aws:lambda:us-east-1:000000000000:function:" + name + ":$LATEST", Status: 404}
	case file == "raise_exception.py":
		return failure("Exception", "Some exception was raised.")
	case file == "raise_custom_exception.py":
		return failure("CustomException", "CustomException message")
	case file == "large_output_string.py":
		return lambdaAnswer(`"`+strings.Repeat("x", 300_000)+`"`, false), nil
	case file == "return_bytes_str.py":
		return lambdaAnswer(`"HelloWorld!"`, false), nil
	case file == "wait_60_seconds.py":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return lambdaAnswer(payload, false), nil // id_function.py, echo
}
