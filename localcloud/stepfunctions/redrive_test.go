package stepfunctions_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

// flaky is a Lambda that fails until it is told not to.
func (c *cloud) flaky() *atomic.Bool {
	var well atomic.Bool
	c.answer = func(context.Context, string, string, map[string]any) (any, error) {
		if well.Load() {
			return lambdaAnswer(`"done"`, false), nil
		}
		return lambdaAnswer(`{"errorType":"Broken","errorMessage":"x"}`, true), nil
	}
	return &well
}

func (c *cloud) describe(arn string) *sfn.DescribeExecutionOutput {
	c.t.Helper()
	d, err := c.client.DescribeExecution(context.Background(), &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

// endedAgain awaits the n-th end of an execution.
func (c *cloud) endedAgain(arn string, n int) map[string]any {
	c.t.Helper()
	var found map[string]any
	c.await(func() bool {
		ends := 0
		for _, e := range c.events {
			if e["executionArn"] == arn && e["status"] != "RUNNING" {
				ends++
				found = e
			}
		}
		return ends >= n
	})
	return found
}

func TestRedrive(t *testing.T) {
	c := newCloud(t)
	ctx := context.Background()
	well := c.flaky()
	const definition = `{"StartAt":"A","States":{"A":{"Type":"Pass","Result":1,"ResultPath":"$.a","Next":"T"},
	 "T":{"Type":"Task","Resource":"` + fn + `","Retry":[{"ErrorEquals":["Broken"],"IntervalSeconds":1,"MaxAttempts":0}],"End":true}}}`
	machine := c.create("m", definition)
	arn := c.start(machine, "e", `{}`)
	if end := c.ended(arn); end["status"] != "FAILED" || end["redriveStatus"] != "REDRIVABLE" || end["redriveCount"] != 0.0 {
		t.Fatalf("ended with %v", end)
	}
	if d := c.describe(arn); d.RedriveStatus != types.ExecutionRedriveStatusRedrivable || d.RedriveStatusReason != nil || aws.ToInt32(d.RedriveCount) != 0 || d.RedriveDate != nil {
		t.Errorf("before: %+v", d)
	}
	c.restart() // what a redrive needs is on disk
	first, err := c.client.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: &arn, ClientToken: aws.String("one")})
	if err != nil {
		t.Fatal(err)
	}
	c.endedAgain(arn, 2)
	again, err := c.client.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: &arn, ClientToken: aws.String("one")})
	if err != nil || !again.RedriveDate.Equal(*first.RedriveDate) {
		t.Errorf("the same token again: %+v, %v; want %v", again, err, first.RedriveDate)
	}
	if d := c.describe(arn); d.Status != types.ExecutionStatusFailed || aws.ToInt32(d.RedriveCount) != 1 {
		t.Errorf("redriven in vain: %+v", d)
	}
	well.Store(true)
	if _, err := c.client.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: &arn, ClientToken: aws.String("two")}); err != nil {
		t.Fatal(err)
	}
	if end := c.endedAgain(arn, 3); end["status"] != "SUCCEEDED" || end["redriveCount"] != 2.0 || end["output"] != `"done"` {
		t.Errorf("ended with %v", end)
	}
	d := c.describe(arn)
	if aws.ToInt32(d.RedriveCount) != 2 || d.RedriveDate == nil || d.RedriveStatus != types.ExecutionRedriveStatusNotRedrivable ||
		aws.ToString(d.RedriveStatusReason) != "Execution is SUCCEEDED and cannot be redriven" || d.Error != nil {
		t.Errorf("after: %+v", d)
	}
	events := c.history(arn)
	call := " LambdaFunctionScheduled LambdaFunctionStarted LambdaFunction"
	want := "ExecutionStarted PassStateEntered PassStateExited TaskStateEntered" + call + "Failed ExecutionFailed ExecutionRedriven" + call +
		"Failed ExecutionFailed ExecutionRedriven" + call + "Succeeded TaskStateExited ExecutionSucceeded"
	if got := kinds(events); got != want {
		t.Errorf("history %s\nwant    %s", got, want)
	}
	if r := events[8]; aws.ToInt32(r.ExecutionRedrivenEventDetails.RedriveCount) != 1 || r.PreviousEventId != 8 || events[9].PreviousEventId != 9 {
		t.Errorf("redriven: %+v, then %+v", r, events[9])
	}
	if _, err := c.client.RedriveExecution(ctx, &sfn.RedriveExecutionInput{ExecutionArn: &arn}); code(err) != "ExecutionNotRedrivable" {
		t.Errorf("one that succeeded: %v", err)
	}
	list, err := c.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &machine, RedriveFilter: types.ExecutionRedriveFilterRedriven})
	if err != nil || len(list.Executions) != 1 || aws.ToInt32(list.Executions[0].RedriveCount) != 2 {
		t.Errorf("list of redriven ones: %+v, %v", list, err)
	}
	list, err = c.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &machine, RedriveFilter: types.ExecutionRedriveFilterNotRedriven})
	if err != nil || len(list.Executions) != 0 {
		t.Errorf("list of others: %+v, %v", list, err)
	}
}

// Only the branch that failed runs again, and a redriven execution survives a restart.
func TestRedriveOfABranch(t *testing.T) {
	c := newCloud(t)
	well := c.flaky()
	arn := c.start(c.create("m", `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[
	 {"StartAt":"A","States":{"A":{"Type":"Pass","Result":"a","End":true}}},
	 {"StartAt":"T","States":{"T":{"Type":"Task","Resource":"`+fn+`","Next":"W"},"W":{"Type":"Wait","Seconds":1,"End":true}}}]}}}`), "e", `{}`)
	c.ended(arn)
	well.Store(true)
	if _, err := c.client.RedriveExecution(context.Background(), &sfn.RedriveExecutionInput{ExecutionArn: &arn}); err != nil {
		t.Fatal(err)
	}
	c.await(func() bool { return len(c.calls) == 2 })
	c.restart()
	if end := c.endedAgain(arn, 2); end["output"] != `["a","done"]` {
		t.Errorf("ended with %v", end)
	}
	got := kinds(c.history(arn))
	if strings.Count(got, "PassStateEntered") != 1 || strings.Count(got, "ParallelStateStarted") != 1 || strings.Count(got, "TaskStateEntered") != 1 {
		t.Errorf("history %s", got)
	}
}

func TestRedriveOfAnAbortedWait(t *testing.T) {
	c := newCloud(t)
	arn := c.start(c.create("m", waits), "e", `{}`)
	if _, err := c.client.RedriveExecution(context.Background(), &sfn.RedriveExecutionInput{ExecutionArn: &arn}); code(err) != "ExecutionNotRedrivable" || !strings.Contains(err.Error(), "Execution is RUNNING and cannot be redriven") {
		t.Errorf("one that runs: %v", err)
	}
	for range 2 {
		if _, err := c.client.StopExecution(context.Background(), &sfn.StopExecutionInput{ExecutionArn: &arn}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.client.RedriveExecution(context.Background(), &sfn.RedriveExecutionInput{ExecutionArn: &arn}); err != nil {
			t.Fatal(err)
		}
		if d := c.describe(arn); d.Status != types.ExecutionStatusRunning || d.StopDate != nil {
			t.Errorf("redriven: %+v", d)
		}
	}
}
