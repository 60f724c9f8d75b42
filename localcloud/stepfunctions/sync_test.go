package stepfunctions_test

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// training is a SageMaker with one kind of job, whose ends the test decides.
type training struct {
	mu    sync.Mutex
	jobs  map[string]map[string]any // by name: what Describe answers
	tags  map[string]any
	stops []string
}

func newTraining() *training {
	return &training{jobs: map[string]map[string]any{}, tags: map[string]any{}}
}

func (s *training) answer(_ context.Context, _, operation string, in map[string]any) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, _ := in["TrainingJobName"].(string)
	arn := "arn:aws:sagemaker:us-east-1:000000000000:training-job/" + name
	switch job := s.jobs[name]; {
	case operation == "CreateTrainingJob" && job != nil:
		return nil, &wire.Error{Code: "ResourceInUse", Message: "Job name must be unique"}
	case operation == "CreateTrainingJob":
		s.jobs[name] = map[string]any{"TrainingJobName": name, "TrainingJobArn": arn, "TrainingJobStatus": "InProgress", "CreationTime": 1772359200.25}
		s.tags[arn] = in["Tags"]
		return map[string]any{"TrainingJobArn": arn}, nil
	case operation == "ListTags":
		return map[string]any{"Tags": s.tags[in["ResourceArn"].(string)]}, nil
	case job == nil:
		return nil, &wire.Error{Code: "ResourceNotFound", Message: "Requested resource not found."}
	case operation == "StopTrainingJob":
		s.stops = append(s.stops, name)
		job["TrainingJobStatus"] = "Stopped"
		return map[string]any{}, nil
	case operation == "DescribeTrainingJob":
		return maps.Clone(job), nil
	}
	return nil, wire.Errorf("UnknownOperationException", "no %s", operation)
}

func (s *training) end(name, status, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[name]["TrainingJobStatus"] = status
	if reason != "" {
		s.jobs[name]["FailureReason"] = reason
	}
}

const trains = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sagemaker:createTrainingJob.sync",
 "Parameters":{"TrainingJobName.$":"$.name","RoleArn":"r","OutputDataConfig":{"S3OutputPath":"s3://b/o"},"Tags":[{"Key":"team","Value":"a"}]},"End":true}}}`

func (c *cloud) called(operation string) func() bool {
	return func() bool {
		for _, r := range c.calls {
			if r.operation == operation {
				return true
			}
		}
		return false
	}
}

func TestSyncJobSucceeds(t *testing.T) {
	c, jobs := newCloud(t), newTraining()
	c.answer = jobs.answer
	arn := c.start(c.create("m", trains), "e", `{"name":"j"}`)
	c.await(c.called("DescribeTrainingJob"))
	jobs.end("j", "Completed", "")
	c.svc.Changed("j")
	end := c.ended(arn)
	if end["status"] != "SUCCEEDED" {
		t.Fatalf("ended with %v", end)
	}
	want := `{"CreationTime":1772359200250,"Tags":{"AWS_STEP_FUNCTIONS_EXECUTION_ARN":"` + arn + `","MANAGED_BY_AWS":"STARTED_BY_STEP_FUNCTIONS","team":"a"},` +
		`"TrainingJobArn":"arn:aws:sagemaker:us-east-1:000000000000:training-job/j","TrainingJobName":"j","TrainingJobStatus":"Completed"}`
	if end["output"] != want {
		t.Errorf("output %s\nwant   %s", end["output"], want)
	}
	events := c.history(arn)
	if got := kinds(events); got != "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskSubmitted TaskSucceeded TaskStateExited ExecutionSucceeded" {
		t.Fatalf("history %s", got)
	}
	if d := events[4].TaskSubmittedEventDetails; aws.ToString(d.Resource) != "createTrainingJob.sync" || !strings.Contains(aws.ToString(d.Output), `"TrainingJobArn":`) {
		t.Errorf("submitted: %+v", d)
	}
	raw, err := json.Marshal(c.calls[0].input)
	if err != nil || !strings.Contains(string(raw), `{"Key":"MANAGED_BY_AWS","Value":"STARTED_BY_STEP_FUNCTIONS"}`) || !strings.Contains(string(raw), `"team"`) {
		t.Errorf("tags sent: %s, %v", raw, err)
	}
}

// A task that awaits a job has a token too, which ends it before its job.
func TestSyncJobEndedByItsToken(t *testing.T) {
	c, jobs := newCloud(t), newTraining()
	c.answer = jobs.answer
	definition := strings.Replace(trains, `"RoleArn":"r",`, `"RoleArn":"r","Environment":{"TOKEN.$":"$$.Task.Token"},`, 1)
	arn := c.start(c.create("m", definition), "e", `{"name":"j"}`)
	c.await(c.called("DescribeTrainingJob"))
	token, _ := c.calls[0].input["Environment"].(map[string]any)["TOKEN"].(string)
	if _, err := c.client.SendTaskSuccess(context.Background(), &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(`"early"`)}); err != nil {
		t.Fatal(err)
	}
	if end := c.ended(arn); end["output"] != `"early"` {
		t.Errorf("ended with %v", end)
	}
	if got := kinds(c.history(arn)); !strings.HasSuffix(got, "TaskSubmitted TaskSucceeded TaskStateExited ExecutionSucceeded") {
		t.Errorf("history %s", got)
	}
	if len(jobs.stops) != 0 {
		t.Errorf("the job was stopped: %v", jobs.stops)
	}
}

func TestSyncJobFails(t *testing.T) {
	for status, reason := range map[string]string{"Failed": "AlgorithmError: no rows", "Stopped": ""} {
		t.Run(status, func(t *testing.T) {
			c, jobs := newCloud(t), newTraining()
			c.answer = jobs.answer
			arn := c.start(c.create("m", trains), "e", `{"name":"j"}`)
			c.await(c.called("DescribeTrainingJob"))
			jobs.end("j", status, reason)
			c.svc.Changed("j")
			end := c.ended(arn)
			cause, _ := end["cause"].(string)
			var described map[string]any
			if err := json.Unmarshal([]byte(cause), &described); err != nil || end["error"] != "States.TaskFailed" ||
				described["TrainingJobStatus"] != status || reason != "" && described["FailureReason"] != reason {
				t.Errorf("ended with %v: %v", end, err)
			}
			if got := kinds(c.history(arn)); !strings.HasSuffix(got, "TaskSubmitted TaskFailed ExecutionFailed") {
				t.Errorf("history %s", got)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		c, jobs := newCloud(t), newTraining()
		c.answer = jobs.answer
		jobs.jobs["j"] = map[string]any{}
		arn := c.start(c.create("m", trains), "e", `{"name":"j"}`)
		if end := c.ended(arn); end["error"] != "SageMaker.ResourceInUseException" {
			t.Errorf("ended with %v", end)
		}
		if got := kinds(c.history(arn)); !strings.HasSuffix(got, "TaskStarted TaskSubmitFailed ExecutionFailed") {
			t.Errorf("history %s", got)
		}
	})
}

// A job of a stopped execution, or of a sibling of a failed branch, is stopped.
func TestSyncJobIsStoppedWithItsTask(t *testing.T) {
	for name, tc := range map[string]struct {
		definition string
		stop       bool
	}{
		"stopped": {trains, true},
		"timeout": {strings.Replace(trains, `"End":true`, `"TimeoutSeconds":1,"End":true`, 1), false},
		"sibling": {`{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[` + trains +
			`,{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":1,"Next":"F"},"F":{"Type":"Fail","Error":"E"}}}]}}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, jobs := newCloud(t), newTraining()
			c.answer = jobs.answer
			arn := c.start(c.create("m", tc.definition), "e", `{"name":"j"}`)
			c.await(c.called("DescribeTrainingJob"))
			if tc.stop {
				if _, err := c.client.StopExecution(context.Background(), &sfn.StopExecutionInput{ExecutionArn: &arn}); err != nil {
					t.Fatal(err)
				}
			}
			c.ended(arn)
			c.await(c.called("StopTrainingJob"))
			jobs.mu.Lock()
			defer jobs.mu.Unlock()
			if len(jobs.stops) != 1 || jobs.stops[0] != "j" {
				t.Errorf("stopped %v", jobs.stops)
			}
		})
	}
}

// The next process goes on awaiting a job, and makes none anew.
func TestSyncJobSurvivesARestart(t *testing.T) {
	c, jobs := newCloud(t), newTraining()
	c.answer = jobs.answer
	arn := c.start(c.create("m", trains), "e", `{"name":"j"}`)
	c.await(c.called("DescribeTrainingJob"))
	c.stop()
	jobs.end("j", "Completed", "")
	c.up()
	if end := c.ended(arn); end["status"] != "SUCCEEDED" {
		t.Errorf("ended with %v", end)
	}
	created := 0
	for _, r := range c.calls {
		if r.operation == "CreateTrainingJob" {
			created++
		}
	}
	if created != 1 {
		t.Errorf("the job was made %d times", created)
	}
}

// A process that ended before it heard of the job's creation finds it again; a
// job of somebody else is not taken for it.
func TestSyncJobMadeBeforeACrash(t *testing.T) {
	for name, tc := range map[string]struct{ tag, status string }{
		"ours":   {"arn:aws:states:us-east-1:000000000000:execution:m:e", "SUCCEEDED"},
		"theirs": {"arn:aws:states:us-east-1:000000000000:execution:m:other", "FAILED"},
	} {
		t.Run(name, func(t *testing.T) {
			c, jobs := newCloud(t), newTraining()
			made := make(chan struct{})
			c.answer = func(ctx context.Context, service, operation string, in map[string]any) (any, error) {
				if _, err := jobs.answer(ctx, service, operation, in); err != nil {
					return nil, err
				}
				close(made)
				<-ctx.Done() // the answer never arrives
				return nil, ctx.Err()
			}
			arn := c.start(c.create("m", trains), "e", `{"name":"j"}`)
			<-made
			c.stop()
			jobs.end("j", "Completed", "")
			jobs.tags["arn:aws:sagemaker:us-east-1:000000000000:training-job/j"] = []any{map[string]any{"Key": "AWS_STEP_FUNCTIONS_EXECUTION_ARN", "Value": tc.tag}}
			c.mu.Lock()
			c.answer = jobs.answer
			c.mu.Unlock()
			c.up()
			if end := c.ended(arn); end["status"] != tc.status {
				t.Errorf("ended with %v", end)
			}
		})
	}
}

func TestNestedExecutions(t *testing.T) {
	parent := func(pattern string) string {
		return `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution` + pattern +
			`","Parameters":{"StateMachineArn":"arn:aws:states:us-east-1:000000000000:stateMachine:child","Input":{"n.$":"$.n"}},"End":true}}}`
	}
	const child = `{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.n","NumericGreaterThan":1,"Next":"F"}],"Default":"P"},
	 "P":{"Type":"Pass","Result":{"r":1.0},"End":true},"F":{"Type":"Fail","Error":"TooMuch","Cause":"c"}}}`
	for name, tc := range map[string]struct{ pattern, input, status, want string }{
		"start":  {"", `{"n":1}`, "SUCCEEDED", `"ExecutionArn":"arn:aws:states:us-east-1:000000000000:execution:child:`},
		"sync":   {".sync", `{"n":1}`, "SUCCEEDED", `"Output":"{\"r\":1.0}"`},
		"sync:2": {".sync:2", `{"n":1}`, "SUCCEEDED", `"Output":{"r":1.0}`},
		"fails":  {".sync:2", `{"n":2}`, "FAILED", `"Error":"TooMuch"`},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			c.create("child", child)
			arn := c.start(c.create("m", parent(tc.pattern)), "e", tc.input)
			c.ended(arn)
			d, err := c.client.DescribeExecution(context.Background(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
			if err != nil {
				t.Fatal(err)
			}
			if got := aws.ToString(d.Output) + aws.ToString(d.Cause); string(d.Status) != tc.status || !strings.Contains(got, tc.want) {
				t.Errorf("ended %s with %s, want %s", d.Status, got, tc.want)
			}
			if tc.status == "FAILED" && aws.ToString(d.Error) != "States.TaskFailed" {
				t.Errorf("error %s", aws.ToString(d.Error))
			}
		})
	}
}

// Stopping the parent stops the execution that it awaits.
func TestNestedExecutionIsStopped(t *testing.T) {
	c := newCloud(t)
	c.create("child", waits)
	arn := c.start(c.create("m", `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync",
	 "Parameters":{"StateMachineArn":"arn:aws:states:us-east-1:000000000000:stateMachine:child","Name":"c"},"End":true}}}`), "e", `{}`)
	child := "arn:aws:states:us-east-1:000000000000:execution:child:c"
	c.await(c.called("DescribeExecution"))
	if _, err := c.client.StopExecution(context.Background(), &sfn.StopExecutionInput{ExecutionArn: &arn}); err != nil {
		t.Fatal(err)
	}
	if end := c.ended(child); end["status"] != string(types.ExecutionStatusAborted) {
		t.Errorf("the child ended with %v", end)
	}
}

// As on AWS, a role that may not make the managed rule cannot have .sync tasks.
func TestManagedRule(t *testing.T) {
	c := newCloud(t)
	c.authorize = func(ctx context.Context, action, resource string) error {
		if wire.CallerFrom(ctx).RoleARN == role && action == "events:PutRule" && strings.HasSuffix(resource, "rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule") {
			return wire.Errorf("AccessDeniedException", "no")
		}
		return nil
	}
	c.restart()
	_, err := c.client.CreateStateMachine(context.Background(), &sfn.CreateStateMachineInput{Name: aws.String("m"), RoleArn: aws.String(role), Definition: aws.String(trains)})
	if code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "is not authorized to create managed-rule") {
		t.Errorf("got %v", err)
	}
	c.create("plain", passes)
}
