package stepfunctions_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/stepfunctions"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

const (
	account = "000000000000"
	region  = "us-east-1"
	role    = "arn:aws:iam::000000000000:role/pipeline"
)

// cloud is a Step Functions service over the wire, with fakes of the others.
type cloud struct {
	t      *testing.T
	path   string
	clock  clock.Clock
	client *sfn.Client
	svc    *stepfunctions.StepFunctions
	stop   func()

	mu      sync.Mutex
	changed *sync.Cond
	calls   []recorded
	events  []map[string]any
	answer  func(ctx context.Context, service, operation string, in map[string]any) (any, error)

	authorize wire.Authorize
}

type recorded struct {
	service, operation string
	input              map[string]any
	caller             wire.Caller
}

func newCloud(t *testing.T) *cloud { return newCloudAt(t, clock.Real{}) }

func newCloudAt(t *testing.T, at clock.Clock) *cloud {
	t.Helper()
	c := &cloud{t: t, clock: at, path: filepath.Join(t.TempDir(), "state.db")}
	c.changed = sync.NewCond(&c.mu)
	c.up()
	t.Cleanup(func() { c.stop() })
	return c
}

// up starts a process on the state that is there.
func (c *cloud) up() {
	c.t.Helper()
	st, err := store.Open(c.path, store.Options{NoSync: true})
	if err != nil {
		c.t.Fatal(err)
	}
	c.svc, err = stepfunctions.New(stepfunctions.Options{
		Base: service.Base{Account: account, Region: region, Clock: c.clock, Store: st, Log: slog.New(slog.DiscardHandler), Authorize: c.authorize}, Call: c.call,
		Emit: func(_ context.Context, source, detailType string, resources []string, detail any) {
			raw, err := json.Marshal(detail)
			if err != nil {
				panic(err)
			}
			d := map[string]any{}
			if err := json.Unmarshal(raw, &d); err != nil {
				panic(err)
			}
			d["source"], d["detail-type"], d["resources"] = source, detailType, resources
			c.mu.Lock()
			defer c.mu.Unlock()
			c.events = append(c.events, d)
			c.changed.Broadcast()
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.svc.Start(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	server := httptest.NewServer(c.svc.Wire())
	c.client = sfn.New(sfn.Options{
		Region: region, BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 3,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	c.stop = func() {
		server.Close()
		_ = c.svc.Close()
		_ = st.Close()
	}
}

func (c *cloud) restart() {
	c.t.Helper()
	c.stop()
	c.up()
}

func (c *cloud) call(ctx context.Context, service, operation string, input []byte) ([]byte, error) {
	in := map[string]any{}
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	if p, ok := in["Payload"].(string); ok {
		raw, err := base64.StdEncoding.DecodeString(p)
		if err != nil {
			return nil, err
		}
		in["Payload"] = string(raw)
	}
	c.mu.Lock()
	c.calls = append(c.calls, recorded{service, operation, in, wire.CallerFrom(ctx)})
	answer := c.answer
	c.changed.Broadcast()
	svc := c.svc
	c.mu.Unlock()
	if service == "states" && answer == nil {
		return svc.Wire().Call(ctx, operation, input)
	}
	if answer == nil {
		return nil, wire.Errorf("UnknownOperationException", "no answer")
	}
	out, err := answer(ctx, service, operation, in)
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// await blocks until ok, which runs under the lock.
func (c *cloud) await(ok func() bool) {
	c.t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { c.changed.Broadcast() })
	defer timer.Stop()
	deadline := time.Now().Add(19 * time.Second)
	c.mu.Lock()
	defer c.mu.Unlock()
	for !ok() {
		if time.Now().After(deadline) {
			c.t.Fatalf("what was awaited never came; calls %v, events %v", c.calls, c.events)
		}
		c.changed.Wait()
	}
}

// ended awaits the event of an execution's end.
func (c *cloud) ended(arn string) map[string]any {
	c.t.Helper()
	var found map[string]any
	c.await(func() bool {
		for _, e := range c.events {
			if e["executionArn"] == arn && e["status"] != "RUNNING" {
				found = e
			}
		}
		return found != nil
	})
	return found
}

func (c *cloud) create(name, definition string) string {
	c.t.Helper()
	out, err := c.client.CreateStateMachine(context.Background(), &sfn.CreateStateMachineInput{
		Name: &name, Definition: &definition, RoleArn: aws.String(role)})
	if err != nil {
		c.t.Fatal(err)
	}
	return *out.StateMachineArn
}

func (c *cloud) start(machine, name, input string) string {
	c.t.Helper()
	out, err := c.client.StartExecution(context.Background(), &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: &input})
	if err != nil {
		c.t.Fatal(err)
	}
	return *out.ExecutionArn
}

func (c *cloud) history(arn string) []types.HistoryEvent {
	c.t.Helper()
	out, err := c.client.GetExecutionHistory(context.Background(), &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: 1000})
	if err != nil {
		c.t.Fatal(err)
	}
	return out.Events
}

func kinds(events []types.HistoryEvent) string {
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = string(e.Type)
	}
	return strings.Join(names, " ")
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

const passes = `{"StartAt":"A","States":{"A":{"Type":"Pass","Result":{"n":1.50},"ResultPath":"$.a","Next":"B"},"B":{"Type":"Pass","Next":"C"},"C":{"Type":"Succeed"}}}`

func lambdaAnswer(payload string, failed bool) map[string]any {
	out := map[string]any{"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": base64.StdEncoding.EncodeToString([]byte(payload))}
	if failed {
		out["FunctionError"] = "Unhandled"
	}
	return out
}

func TestMachineLifecycle(t *testing.T) {
	c := newCloud(t)
	ctx := context.Background()
	arn := c.create("m", passes)
	if want := "arn:aws:states:us-east-1:000000000000:stateMachine:m"; arn != want {
		t.Fatalf("arn %s, want %s", arn, want)
	}
	if again := c.create("m", passes); again != arn {
		t.Errorf("creating the same machine again gives %s", again)
	}
	_, err := c.client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("m"), RoleArn: aws.String(role),
		Definition: aws.String(`{"StartAt":"X","States":{"X":{"Type":"Succeed"}}}`)})
	if code(err) != "StateMachineAlreadyExists" {
		t.Errorf("another definition under the same name: %v", err)
	}
	d, err := c.client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	if err != nil || *d.Definition != passes || *d.RoleArn != role || d.Status != types.StateMachineStatusActive || d.Type != types.StateMachineTypeStandard {
		t.Fatalf("describe: %+v, %v", d, err)
	}
	u, err := c.client.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &arn, Definition: aws.String(`{"StartAt":"X","States":{"X":{"Type":"Succeed"}}}`)})
	if err != nil || u.RevisionId == nil {
		t.Fatalf("update: %+v, %v", u, err)
	}
	if _, err := c.client.TagResource(ctx, &sfn.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}); err != nil {
		t.Fatal(err)
	}
	tags, err := c.client.ListTagsForResource(ctx, &sfn.ListTagsForResourceInput{ResourceArn: &arn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Value != "v" {
		t.Errorf("tags: %+v, %v", tags, err)
	}
	c.restart()
	list, err := c.client.ListStateMachines(ctx, &sfn.ListStateMachinesInput{})
	if err != nil || len(list.StateMachines) != 1 || *list.StateMachines[0].Name != "m" {
		t.Fatalf("list after a restart: %+v, %v", list, err)
	}
	exec := c.start(arn, "one", `{}`)
	c.ended(exec)
	if _, err := c.client.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: &arn}); err != nil {
		t.Fatal(err)
	}
	_, err = c.client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &arn})
	if code(err) != "StateMachineDoesNotExist" {
		t.Errorf("describe after deletion: %v", err)
	}
	_, err = c.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &exec})
	if code(err) != "ExecutionDoesNotExist" {
		t.Errorf("an execution of a deleted machine: %v", err)
	}
}

func TestRefusedDefinitions(t *testing.T) {
	c := newCloud(t)
	task := func(resource string) string {
		return fmt.Sprintf(`{"StartAt":"T","States":{"T":{"Type":"Task","Resource":%q,"End":true}}}`, resource)
	}
	for name, tc := range map[string]struct{ definition, wants string }{
		"not JSON":         {`{`, "INVALID_JSON_DESCRIPTION"},
		"unknown field":    {`{"StartAt":"A","States":{"A":{"Type":"Pass","Ende":true,"End":true}}}`, "Field 'Ende' is not supported at /States/A"},
		"missing target":   {`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"}}}`, "MISSING_TRANSITION_TARGET"},
		"JSONata":          {`{"QueryLanguage":"JSONata","StartAt":"A","States":{"A":{"Type":"Succeed"}}}`, "JSONPath"},
		"sync of a model":  {task("arn:aws:states:::sagemaker:createModel.sync"), "/States/T/Resource"},
		"sync:2 of a job":  {task("arn:aws:states:::sagemaker:createTrainingJob.sync:2"), "createTrainingJob.sync:2 is not recognized"},
		"activity":         {task("arn:aws:states:us-east-1:000000000000:activity:a"), "activities"},
		"unknown service":  {task("arn:aws:states:::glue:startJobRun"), "glue"},
		"unknown sdk":      {task("arn:aws:states:::aws-sdk:dynamodb:getItem"), "dynamodb"},
		"unknown member":   {one("arn:aws:states:::sqs:sendMessage", `,"Parameters":{"QueueUrl":"q","MessageBody":"b","Colour.$":"$.c"}`), "The field \"Colour\" is not supported by Step Functions at /States/T/Parameters"},
		"lower case":       {one("arn:aws:states:::aws-sdk:sfn:startExecution", `,"Parameters":{"StateMachineArn":"m","input":"{}"}`), "The field \"input\" is not supported by Step Functions"},
		"missing member":   {one("arn:aws:states:::aws-sdk:lambda:invoke", `,"Parameters":{"Payload":{}}`), "The field \"FunctionName\" is required but was missing at /States/T/Parameters"},
		"token, sagemaker": {task("arn:aws:states:::sagemaker:createTrainingJob.waitForTaskToken"), "waitForTaskToken"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.client.CreateStateMachine(context.Background(), &sfn.CreateStateMachineInput{Name: aws.String("x"), RoleArn: aws.String(role), Definition: &tc.definition})
			if code(err) != "InvalidDefinition" || !strings.Contains(err.Error(), tc.wants) {
				t.Errorf("got %v, want InvalidDefinition naming %q", err, tc.wants)
			}
			v, err := c.client.ValidateStateMachineDefinition(context.Background(), &sfn.ValidateStateMachineDefinitionInput{Definition: &tc.definition})
			if err != nil || v.Result != types.ValidateStateMachineDefinitionResultCodeFail || len(v.Diagnostics) == 0 {
				t.Errorf("validation: %+v, %v", v, err)
			}
		})
	}
	ctx := context.Background()
	for name, in := range map[string]*sfn.CreateStateMachineInput{
		"InvalidName":                  {Name: aws.String("a b"), RoleArn: aws.String(role), Definition: aws.String(passes)},
		"InvalidArn":                   {Name: aws.String("a"), RoleArn: aws.String("nobody"), Definition: aws.String(passes)},
		"StateMachineTypeNotSupported": {Name: aws.String("a"), RoleArn: aws.String(role), Definition: aws.String(passes), Type: types.StateMachineTypeExpress},
	} {
		if _, err := c.client.CreateStateMachine(ctx, in); code(err) != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
}

func TestExecutionAndHistory(t *testing.T) {
	c := newCloud(t)
	ctx := context.Background()
	machine := c.create("m", passes)
	arn := c.start(machine, "run-1", `{"x": 1.0}`)
	end := c.ended(arn)
	if end["status"] != "SUCCEEDED" || end["source"] != "aws.states" || end["detail-type"] != "Step Functions Execution Status Change" ||
		end["input"] != `{"x": 1.0}` || end["output"] != `{"x":1.0,"a":{"n":1.50}}` {
		t.Errorf("event of the end: %v", end)
	}
	d, err := c.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if err != nil || d.Status != types.ExecutionStatusSucceeded || *d.Output != `{"x":1.0,"a":{"n":1.50}}` || d.StopDate == nil || *d.Input != `{"x": 1.0}` {
		t.Fatalf("describe: %+v, %v", d, err)
	}
	want := "ExecutionStarted PassStateEntered PassStateExited PassStateEntered PassStateExited SucceedStateEntered SucceedStateExited ExecutionSucceeded"
	events := c.history(arn)
	if got := kinds(events); got != want {
		t.Fatalf("history %s, want %s", got, want)
	}
	for i, e := range events {
		prev := int64(i)
		if i == 1 {
			prev = 0
		}
		if e.Id != int64(i+1) || e.PreviousEventId != prev {
			t.Errorf("event %d has id %d after %d", i, e.Id, e.PreviousEventId)
		}
	}
	var paged []types.HistoryEvent
	in := &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: 3, ReverseOrder: true, IncludeExecutionData: aws.Bool(false)}
	for {
		out, err := c.client.GetExecutionHistory(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		paged = append(paged, out.Events...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if len(paged) != 8 || paged[0].Type != types.HistoryEventTypeExecutionSucceeded || paged[0].ExecutionSucceededEventDetails.Output != nil {
		t.Errorf("reverse pages without data: %s", kinds(paged))
	}
	forExec, err := c.client.DescribeStateMachineForExecution(ctx, &sfn.DescribeStateMachineForExecutionInput{ExecutionArn: &arn})
	if err != nil || *forExec.Definition != passes {
		t.Errorf("machine of the execution: %+v, %v", forExec, err)
	}
	if _, err := c.client.ListExecutions(ctx, &sfn.ListExecutionsInput{}); err == nil || !strings.Contains(err.Error(), "ValidationException: Must provide a StateMachine ARN or MapRun ARN") {
		t.Errorf("executions of nothing: %v", err)
	}
	list, err := c.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &machine, StatusFilter: types.ExecutionStatusSucceeded})
	if err != nil || len(list.Executions) != 1 || *list.Executions[0].Name != "run-1" {
		t.Errorf("list: %+v, %v", list, err)
	}
	list, err = c.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &machine, StatusFilter: types.ExecutionStatusRunning})
	if err != nil || len(list.Executions) != 0 {
		t.Errorf("list of running ones: %+v, %v", list, err)
	}
}

const waits = `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":100000,"End":true}}}`

func TestStartIsIdempotentByName(t *testing.T) {
	c := newCloud(t)
	ctx := context.Background()
	machine := c.create("m", waits)
	start := func(name, input string) (string, error) {
		out, err := c.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name, Input: &input})
		if err != nil {
			return "", err
		}
		return *out.ExecutionArn, nil
	}
	first, err := start("n", `{"a":1}`)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := start("n", `{"a":1}`); err != nil || again != first {
		t.Errorf("same name and input while running: %s, %v", again, err)
	}
	if _, err := start("n", `{"a":2}`); code(err) != "ExecutionAlreadyExists" {
		t.Errorf("same name, other input: %v", err)
	}
	if _, err := c.client.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: &first, Error: aws.String("E"), Cause: aws.String("why")}); err != nil {
		t.Fatal(err)
	}
	if _, err := start("n", `{"a":1}`); code(err) != "ExecutionAlreadyExists" {
		t.Errorf("same name after the end: %v", err)
	}
	end := c.ended(first)
	if end["status"] != "ABORTED" || end["error"] != "E" || end["cause"] != "why" {
		t.Errorf("event of the end: %v", end)
	}
	if got := kinds(c.history(first)); got != "ExecutionStarted WaitStateEntered ExecutionAborted" {
		t.Errorf("history %s", got)
	}
	for name, want := range map[string]string{`{`: "InvalidExecutionInput"} {
		if _, err := start("other", name); code(err) != want {
			t.Errorf("input %s: %v", name, err)
		}
	}
	if _, err := start("a b", `{}`); code(err) != "InvalidName" {
		t.Errorf("bad name: %v", err)
	}
	machine += "x"
	if _, err := start("n", `{}`); code(err) != "StateMachineDoesNotExist" {
		t.Errorf("no machine: %v", err)
	}
}
