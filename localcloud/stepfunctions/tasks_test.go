package stepfunctions_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

func one(resource, fields string) string {
	return `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + resource + `"` + fields + `,"End":true}}}`
}

const fn = "arn:aws:lambda:us-east-1:000000000000:function:f"

func TestTaskCalls(t *testing.T) {
	answer := func(out any) func(context.Context, string, string, map[string]any) (any, error) {
		return func(context.Context, string, string, map[string]any) (any, error) { return out, nil }
	}
	refuse := func(e *wire.Error) func(context.Context, string, string, map[string]any) (any, error) {
		return func(context.Context, string, string, map[string]any) (any, error) { return nil, e }
	}
	for name, tc := range map[string]struct {
		definition string
		answer     func(context.Context, string, string, map[string]any) (any, error)
		call       string // service:operation
		sent       string // JSON that the input must contain
		status     types.ExecutionStatus
		output     string // JSON that the output must contain
		failure    string // error
		cause      string // in the cause
		history    string
	}{
		"function by ARN": {
			definition: one(fn, `,"Parameters":{"n.$":"$.n"}`), answer: answer(lambdaAnswer(`{"m":2.50}`, false)),
			call: "lambda:Invoke", sent: `{"FunctionName":"` + fn + `","InvocationType":"RequestResponse","Payload":"{\"n\":1.0}"}`,
			status: "SUCCEEDED", output: `{"m":2.50}`,
			history: "ExecutionStarted TaskStateEntered LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionSucceeded TaskStateExited ExecutionSucceeded",
		},
		"function fails": {
			definition: one(fn, ""), answer: answer(lambdaAnswer(`{"errorMessage":"no","errorType":"NotToday"}`, true)),
			call: "lambda:Invoke", status: "FAILED", failure: "NotToday", cause: `{"errorMessage":"no","errorType":"NotToday"}`,
			history: "ExecutionStarted TaskStateEntered LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionFailed ExecutionFailed",
		},
		"function fails in its own words": {
			definition: one(fn, ""), answer: answer(lambdaAnswer(`{"errorMessage": "no", "errorType": "E"}`, true)),
			call: "lambda:Invoke", status: "FAILED", failure: "E", cause: `{"errorMessage": "no", "errorType": "E"}`,
		},
		"function answers too much": {
			definition: one(fn, ""), answer: answer(lambdaAnswer(strings.Repeat("a", 300_000), false)),
			call: "lambda:Invoke", status: "FAILED", failure: "States.DataLimitExceeded", cause: "The state/task '" + fn + "' returned a result",
		},
		"lambda:invoke answers too much": {
			definition: one("arn:aws:states:::lambda:invoke", `,"Parameters":{"FunctionName":"f"}`), answer: answer(lambdaAnswer(strings.Repeat("a", 300_000), false)),
			call: "lambda:Invoke", status: "FAILED", failure: "States.DataLimitExceeded", cause: "The state/task 'lambda' returned a result",
		},
		"lambda:invoke fails in AWS's": {
			definition: one("arn:aws:states:::lambda:invoke", `,"Parameters":{"FunctionName":"f"}`), answer: answer(lambdaAnswer(`{"errorMessage": "no", "errorType": "E"}`, true)),
			call: "lambda:Invoke", status: "FAILED", failure: "E", cause: `{"errorMessage":"no","errorType":"E"}`,
		},
		"function fails namelessly": {
			definition: one(fn, ""), answer: answer(lambdaAnswer(`{"errorMessage":"Task timed out"}`, true)),
			call: "lambda:Invoke", status: "FAILED", failure: "Lambda.Unknown", cause: "Task timed out",
		},
		"no such function": {
			definition: one(fn, ""), answer: refuse(&wire.Error{Code: "ResourceNotFoundException", Message: "Function not found: f", Status: 404}),
			call: "lambda:Invoke", status: "FAILED", failure: "Lambda.ResourceNotFoundException", cause: "Function not found: f (Service: AWSLambda; Status Code: 404; Error Code: ResourceNotFoundException;",
		},
		"function not allowed": {
			definition: one(fn, ""), answer: refuse(&wire.Error{Code: "AccessDeniedException", Message: "User may not", Status: 403}),
			call: "lambda:Invoke", status: "FAILED", failure: "Lambda.AWSLambdaException", cause: "User may not",
		},
		"lambda:invoke": {
			definition: one("arn:aws:states:::lambda:invoke", `,"Parameters":{"FunctionName":"f","Payload":{"a.$":"$.n"}}`),
			answer:     answer(lambdaAnswer(`[1.0]`, false)), call: "lambda:Invoke", sent: `{"FunctionName":"f","Payload":"{\"a\":1.0}"}`,
			status: "SUCCEEDED", output: `{"ExecutedVersion":"$LATEST","Payload":[1.0],"StatusCode":200}`,
			history: "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSucceeded TaskStateExited ExecutionSucceeded",
		},
		"lambda:invoke with its log": {
			definition: one("arn:aws:states:::lambda:invoke", `,"Parameters":{"FunctionName":"f","LogType":"Tail"}`),
			answer:     answer(withLog(lambdaAnswer(`1`, false))), call: "lambda:Invoke", sent: `{"LogType":"Tail"}`,
			status: "SUCCEEDED", output: `{"LogResult":"bG9n","Payload":1}`,
		},
		"putEvents": {
			definition: one("arn:aws:states:::events:putEvents", `,"Parameters":{"Entries":[{"Source":"s","DetailType":"d","Detail":{"z":1,"n.$":"$.n"}}]}`),
			answer:     answer(map[string]any{"Entries": []any{map[string]any{"EventId": "1"}}, "FailedEntryCount": 0}), call: "events:PutEvents",
			sent:   `{"Entries":[{"Source":"s","DetailType":"d","Detail":"{\"z\":1,\"n\":1.0}","Resources":["arn:aws:states:us-east-1:000000000000:stateMachine:m","arn:aws:states:us-east-1:000000000000:execution:m:e"]}]}`,
			status: "SUCCEEDED", output: `{"Entries":[{"EventId":"1"}],"FailedEntryCount":0}`,
		},
		"putEvents fails in part": {
			definition: one("arn:aws:states:::events:putEvents", `,"Parameters":{"Entries":[{"Source":"s","DetailType":"d","Detail":"{}"}]}`),
			answer:     answer(map[string]any{"Entries": []any{map[string]any{"ErrorCode": "NotThere"}}, "FailedEntryCount": 1}), call: "events:PutEvents",
			status: "FAILED", failure: "EventBridge.FailedEntry", cause: "NotThere",
		},
		"sqs": {
			definition: one("arn:aws:states:::sqs:sendMessage", `,"Parameters":{"QueueUrl":"http://q.local/q","MessageBody":{"z":1,"n.$":"$.n"}}`),
			answer:     answer(map[string]any{"MessageId": "7"}), call: "sqs:SendMessage", sent: `{"QueueUrl":"http://q.local/q","MessageBody":"{\"z\":1,\"n\":1.0}"}`,
			status: "SUCCEEDED", output: `{"MessageId":"7"}`,
		},
		"sqs, an error that the API does not name": {
			definition: one("arn:aws:states:::sqs:sendMessage", `,"Parameters":{"QueueUrl":"http://q.local/q","MessageBody":""}`),
			answer:     refuse(&wire.Error{Code: "MissingParameter", Message: "no body"}), call: "sqs:SendMessage",
			status: "FAILED", failure: "SQS.AmazonSQSException", cause: "no body (Service: AmazonSQS; Status Code: 400; Error Code: MissingParameter;",
		},
		"sns": {
			definition: one("arn:aws:states:::sns:publish", `,"Parameters":{"TopicArn":"t","Message.$":"$.n"}`),
			answer:     answer(map[string]any{"MessageId": "8"}), call: "sns:Publish", sent: `{"TopicArn":"t","Message":"1.0"}`,
			status: "SUCCEEDED", output: `{"MessageId":"8"}`,
		},
		"sagemaker": {
			definition: one("arn:aws:states:::sagemaker:createTrainingJob", `,"Parameters":{"TrainingJobName":"j","RoleArn":"r","OutputDataConfig":{}}`),
			answer:     refuse(&wire.Error{Code: "ResourceInUse", Message: "there already"}), call: "sagemaker:CreateTrainingJob", sent: `{"TrainingJobName":"j","RoleArn":"r","OutputDataConfig":{}}`,
			status: "FAILED", failure: "SageMaker.ResourceInUseException", cause: "there already (Service: AmazonSageMaker; Status Code: 400",
		},
		"aws-sdk": {
			definition: one("arn:aws:states:::aws-sdk:sfn:describeExecution", `,"Parameters":{"ExecutionArn":"a"}`),
			answer:     answer(map[string]any{"status": "RUNNING", "startDate": 1772359200.25, "stopDate": 1772359200}), call: "states:DescribeExecution", sent: `{"ExecutionArn":"a"}`,
			status: "SUCCEEDED", output: `{"StartDate":"2026-03-01T10:00:00.250Z","Status":"RUNNING","StopDate":"2026-03-01T10:00:00Z"}`,
		},
		"aws-sdk, an object where the API wants text": {
			definition: one("arn:aws:states:::aws-sdk:sfn:startExecution", `,"Parameters":{"StateMachineArn":"a","Input":{"z":1,"n.$":"$.n"}}`),
			answer:     answer(map[string]any{"executionArn": "e", "startDate": 1772359200}), call: "states:StartExecution", sent: `{"StateMachineArn":"a","Input":"{\"z\":1,\"n\":1.0}"}`,
			status: "SUCCEEDED", output: `{"ExecutionArn":"e","StartDate":"2026-03-01T10:00:00Z"}`,
		},
		"aws-sdk, an error of the API": {
			definition: one("arn:aws:states:::aws-sdk:sfn:describeExecution", `,"Parameters":{"ExecutionArn":"a"}`),
			answer:     refuse(&wire.Error{Code: "ExecutionDoesNotExist", Message: "none"}), call: "states:DescribeExecution",
			status: "FAILED", failure: "Sfn.ExecutionDoesNotExistException", cause: ") (SDK Attempt Count: 1)",
		},
		"aws-sdk, an error that the API names": {
			definition: one("arn:aws:states:::aws-sdk:sfn:describeExecution", `,"Parameters":{"ExecutionArn":"a"}`),
			answer:     refuse(&wire.Error{Code: "ValidationException", Message: "no"}), call: "states:DescribeExecution",
			status: "FAILED", failure: "Sfn.ValidationException",
		},
		"aws-sdk, an error that the API does not name": {
			definition: one("arn:aws:states:::aws-sdk:sagemaker:describeTrainingJob", `,"Parameters":{"TrainingJobName":"j"}`),
			answer:     refuse(&wire.Error{Code: "AccessDeniedException", Message: "no"}), call: "sagemaker:DescribeTrainingJob",
			status: "FAILED", failure: "SageMaker.SageMakerException",
		},
		"aws-sdk, a time": {
			definition: one("arn:aws:states:::aws-sdk:sagemaker:describeTrainingJob", `,"Parameters":{"TrainingJobName":"j"}`),
			answer:     answer(map[string]any{"CreationTime": 1772359200.5, "TrainingTimeInSeconds": 7, "SecondaryStatusTransitions": []any{map[string]any{"StartTime": 1772359201}}}), call: "sagemaker:DescribeTrainingJob",
			status: "SUCCEEDED", output: `{"CreationTime":"2026-03-01T10:00:00.500Z","SecondaryStatusTransitions":[{"StartTime":"2026-03-01T10:00:01Z"}],"TrainingTimeInSeconds":7}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			c.answer = tc.answer
			arn := c.start(c.create("m", tc.definition), "e", `{"n":1.0}`)
			c.ended(arn)
			d, err := c.client.DescribeExecution(context.Background(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
			if err != nil {
				t.Fatal(err)
			}
			if d.Status != tc.status || aws.ToString(d.Error) != tc.failure || !strings.Contains(aws.ToString(d.Cause), tc.cause) {
				t.Errorf("ended %s, %s: %s; want %s, %s: %s", d.Status, aws.ToString(d.Error), aws.ToString(d.Cause), tc.status, tc.failure, tc.cause)
			}
			if tc.output != "" {
				contains(t, "output", aws.ToString(d.Output), tc.output)
			}
			got := c.calls[0]
			if got.service+":"+got.operation != tc.call || got.caller.RoleARN != role || !strings.Contains(got.caller.ARN, ":assumed-role/pipeline/") {
				t.Errorf("called %s:%s as %+v, want %s as the role", got.service, got.operation, got.caller, tc.call)
			}
			if tc.sent != "" {
				raw, err := json.Marshal(got.input)
				if err != nil {
					t.Fatal(err)
				}
				contains(t, "request", string(raw), tc.sent)
			}
			if h := kinds(c.history(arn)); tc.history != "" && h != tc.history {
				t.Errorf("history %s, want %s", h, tc.history)
			}
		})
	}
}

// contains checks that each member of want is in got.
func contains(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s %q: %v", what, got, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	gm, okG := g.(map[string]any)
	wm, okW := w.(map[string]any)
	if !okG || !okW {
		t.Fatalf("%s %s, want the members of %s", what, got, want)
	}
	for k, v := range wm {
		a, _ := json.Marshal(gm[k])
		b, _ := json.Marshal(v)
		if string(a) != string(b) {
			t.Errorf("%s has %s: %s, want %s", what, k, a, b)
		}
	}
}

// withLog adds the log to what a function answered.
func withLog(a map[string]any) map[string]any {
	a["LogResult"] = "bG9n"
	return a
}

// The metadata in a result are those of the service's own answer.
func TestMetadataOfResults(t *testing.T) {
	id := "5f1f5a1e-0000-4000-8000-000000000000"
	logged := withLog(lambdaAnswer(`1.5`, false))
	for name, tc := range map[string]struct {
		resource, parameters string
		answer               map[string]any
		want                 string // headers that are the same each time; "" for no metadata
	}{
		"sqs": {"sqs:sendMessage", `{"QueueUrl":"http://q.local/q","MessageBody":"b"}`, map[string]any{"MD5OfMessageBody": strings.Repeat("0", 32), "MessageId": id},
			`{"Content-Length":"106","Content-Type":"application/x-amz-json-1.0","connection":"keep-alive"}`},
		"sns": {"sns:publish", `{"TopicArn":"t","Message":"m"}`, map[string]any{"MessageId": id},
			`{"Content-Length":"294","Content-Type":"text/xml","connection":"keep-alive"}`},
		"sns, in order": {"sns:publish", `{"TopicArn":"t","Message":"m"}`, map[string]any{"MessageId": id, "SequenceNumber": "10000000000000000001"},
			`{"Content-Length":"352","Content-Type":"text/xml","connection":"keep-alive"}`},
		"states": {"states:startExecution", `{"StateMachineArn":"a"}`, map[string]any{"executionArn": "a", "startDate": 1},
			`{"Content-Length":"34","Content-Type":"application/x-amz-json-1.0","connection":"keep-alive"}`},
		"sagemaker": {"sagemaker:createModel", `{"ModelName":"m"}`, map[string]any{"ModelArn": "a"},
			`{"Connection":"keep-alive","Content-Length":"16","Content-Type":"application/x-amz-json-1.1"}`},
		"lambda": {"lambda:invoke", `{"FunctionName":"f"}`, lambdaAnswer(`1.5`, false),
			`{"Connection":"keep-alive","Content-Length":"3","Content-Type":"application/json","X-Amz-Executed-Version":"$LATEST","x-amzn-Remapped-Content-Length":"0"}`},
		"lambda, logged": {"lambda:invoke", `{"FunctionName":"f","LogType":"Tail"}`, logged,
			`{"Connection":"keep-alive","Content-Length":"3","Content-Type":"application/json","X-Amz-Executed-Version":"$LATEST","X-Amz-Log-Result":"bG9n","x-amzn-Remapped-Content-Length":"0"}`},
		"events": {"events:putEvents", `{"Entries":[{"Source":"s","DetailType":"d","Detail":"{}"}]}`, map[string]any{"Entries": []any{}, "FailedEntryCount": 0}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			c.answer = func(context.Context, string, string, map[string]any) (any, error) { return tc.answer, nil }
			end := c.ended(c.start(c.create("m", one("arn:aws:states:::"+tc.resource, `,"Parameters":`+tc.parameters)), "e", `{}`))
			var result struct {
				SdkHttpMetadata struct{ HttpHeaders map[string]string }
			}
			output, _ := end["output"].(string)
			if err := json.Unmarshal([]byte(output), &result); err != nil {
				t.Fatalf("ended with %v: %v", end, err)
			}
			headers := result.SdkHttpMetadata.HttpHeaders
			if tc.want == "" {
				if strings.Contains(output, "Sdk") {
					t.Errorf("there are metadata: %s", output)
				}
				return
			}
			for _, other := range []string{"Date", "x-amzn-RequestId"} {
				if headers[other] == "" {
					t.Errorf("there is no %s", other)
				}
				delete(headers, other)
			}
			delete(headers, "X-Amzn-Trace-Id")
			if got, _ := json.Marshal(headers); string(got) != tc.want {
				t.Errorf("headers %s, want %s", got, tc.want)
			}
		})
	}
}

// AWS's client takes a name for a host, which is not there.
func TestQueueUrlThatIsNoURL(t *testing.T) {
	c := newCloud(t)
	end := c.ended(c.start(c.create("m", one("arn:aws:states:::sqs:sendMessage", `,"Parameters":{"QueueUrl":"jobs","MessageBody":"b"}`)), "e", `{}`))
	if end["error"] != "SQS.SdkClientException" || end["cause"] != "Unable to execute HTTP request: jobs: Name or service not known" || len(c.calls) != 0 {
		t.Errorf("ended with %v after %d calls", end, len(c.calls))
	}
}

const tokenTask = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken",
 "Parameters":{"FunctionName":"f","Payload":{"token.$":"$$.Task.Token"}},"End":true}}}`

// token awaits the n-th invocation and gives the token it carried.
func (c *cloud) token(n int) string {
	c.t.Helper()
	var payload struct{ Token string }
	c.await(func() bool { return len(c.calls) >= n })
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := json.Unmarshal([]byte(c.calls[n-1].input["Payload"].(string)), &payload); err != nil {
		c.t.Fatal(err)
	}
	return payload.Token
}

// submitted awaits that the history says TaskSubmitted.
func (c *cloud) submitted(arn string) {
	c.t.Helper()
	for !strings.Contains(kinds(c.history(arn)), "TaskSubmitted") {
		if c.t.Context().Err() != nil {
			c.t.Fatal("the task was never submitted")
		}
	}
}

func TestTaskTokenSurvivesARestart(t *testing.T) {
	c := newCloud(t)
	c.answer = func(context.Context, string, string, map[string]any) (any, error) {
		return lambdaAnswer(`null`, false), nil
	}
	arn := c.start(c.create("m", tokenTask), "e", `{}`)
	token := c.token(1)
	c.submitted(arn)
	c.restart()
	ctx := context.Background()
	if _, err := c.client.SendTaskHeartbeat(ctx, &sfn.SendTaskHeartbeatInput{TaskToken: &token}); err != nil {
		t.Errorf("heartbeat: %v", err)
	}
	if _, err := c.client.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(`{`)}); code(err) != "InvalidOutput" {
		t.Errorf("bad output: %v", err)
	}
	if _, err := c.client.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(`{"r":1.0}`)}); err != nil {
		t.Fatal(err)
	}
	if end := c.ended(arn); end["output"] != `{"r":1.0}` {
		t.Errorf("ended with %v", end)
	}
	if len(c.calls) != 1 {
		t.Errorf("the function was called %d times", len(c.calls))
	}
	want := "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSubmitted TaskSucceeded TaskStateExited ExecutionSucceeded"
	if got := kinds(c.history(arn)); got != want {
		t.Errorf("history %s, want %s", got, want)
	}
	if _, err := c.client.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(`1`)}); code(err) != "TaskTimedOut" {
		t.Errorf("a closed token: %v", err)
	}
	if _, err := c.client.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: aws.String("zzz"), Output: aws.String(`{`)}); code(err) != "InvalidToken" {
		t.Errorf("neither a token nor an output: %v", err)
	}
	if _, err := c.client.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: aws.String("zzz")}); code(err) != "InvalidToken" {
		t.Errorf("no token at all: %v", err)
	}
	if _, err := c.client.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: aws.String("arn:aws:states:us-east-1:000000000000:stateMachine:m")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(`1`)}); code(err) != "TaskDoesNotExist" {
		t.Errorf("a token of a deleted execution: %v", err)
	}
}

func TestTaskTokenFailures(t *testing.T) {
	c := newCloud(t)
	var failing atomic.Bool
	c.answer = func(context.Context, string, string, map[string]any) (any, error) {
		if failing.Load() {
			return lambdaAnswer(`{"errorType":"Broken","errorMessage":"x"}`, true), nil
		}
		return lambdaAnswer(`null`, false), nil
	}
	machine := c.create("m", tokenTask)
	arn := c.start(machine, "told", `{}`)
	token := c.token(1)
	if _, err := c.client.SendTaskFailure(context.Background(), &sfn.SendTaskFailureInput{TaskToken: &token, Error: aws.String("E"), Cause: aws.String("c")}); err != nil {
		t.Fatal(err)
	}
	if end := c.ended(arn); end["status"] != "FAILED" || end["error"] != "E" || end["cause"] != "c" {
		t.Errorf("ended with %v", end)
	}
	failing.Store(true)
	arn = c.start(machine, "broken", `{}`)
	if end := c.ended(arn); end["status"] != "FAILED" || end["error"] != "Broken" {
		t.Errorf("a function that fails fails the task at once; ended with %v", end)
	}
	events := c.history(arn)
	if got := kinds(events); got != "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSubmitFailed ExecutionFailed" {
		t.Errorf("history %s", got)
	} else if d := events[4].TaskSubmitFailedEventDetails; aws.ToString(d.Error) != "Broken" || aws.ToString(d.Resource) != "invoke.waitForTaskToken" {
		t.Errorf("details %+v", d)
	}
}

// A call that was in flight when the process ended is made again.
func TestCallInFlightIsMadeAgain(t *testing.T) {
	c := newCloud(t)
	c.answer = func(ctx context.Context, _, _ string, _ map[string]any) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	arn := c.start(c.create("m", one(fn, "")), "e", `{}`)
	c.await(func() bool { return len(c.calls) == 1 })
	c.stop()
	c.mu.Lock()
	c.answer = func(context.Context, string, string, map[string]any) (any, error) {
		return lambdaAnswer(`"done"`, false), nil
	}
	c.mu.Unlock()
	c.up()
	if end := c.ended(arn); end["output"] != `"done"` {
		t.Errorf("ended with %v", end)
	}
	want := "ExecutionStarted TaskStateEntered LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionSucceeded TaskStateExited ExecutionSucceeded"
	if got := kinds(c.history(arn)); got != want {
		t.Errorf("history %s, want %s", got, want)
	}
}

// A saved state that cannot be read fails its execution, with a reason, and no other.
func TestDamagedExecutionFails(t *testing.T) {
	c := newCloud(t)
	machine := c.create("m", waits)
	broken, whole := c.start(machine, "broken", `{}`), c.start(machine, "whole", `{}`)
	c.stop()
	st, err := store.Open(c.path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	table, err := store.NewTable[map[string]any](st, "states/executions")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Update("e/"+broken, func(v map[string]any, ok bool) (map[string]any, error) {
		if !ok {
			t.Errorf("no record of %s", broken)
		}
		v["snapshot"] = map[string]any{"root": map[string]any{"state": "Gone", "phase": "wait"}}
		return v, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	c.up()
	if end := c.ended(broken); end["status"] != "FAILED" || !strings.Contains(fmt.Sprint(end["cause"]), `no state "Gone"`) {
		t.Errorf("ended with %v", end)
	}
	if got := kinds(c.history(broken)); got != "ExecutionStarted WaitStateEntered ExecutionFailed" {
		t.Errorf("history %s", got)
	}
	d, err := c.client.DescribeExecution(context.Background(), &sfn.DescribeExecutionInput{ExecutionArn: &whole})
	if err != nil || d.Status != types.ExecutionStatusRunning {
		t.Errorf("the other one: %+v, %v", d, err)
	}
}

func TestTooMuchInput(t *testing.T) {
	c := newCloud(t)
	machine := c.create("m", passes)
	_, err := c.client.StartExecution(context.Background(), &sfn.StartExecutionInput{StateMachineArn: &machine, Input: aws.String(`"` + strings.Repeat("x", 262144) + `"`)})
	if code(err) != "ValidationException" {
		t.Errorf("262,146 bytes: %v", err)
	}
}
