package conformance_test

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

const (
	sfnAPI   = "https://docs.aws.amazon.com/step-functions/latest/apireference/API_"
	sfnGuide = "https://docs.aws.amazon.com/step-functions/latest/dg/"
)

// machine makes a state machine of some states.
func (c *call) machine(definition string) string {
	c.Helper()
	arn := *try(c.states.CreateStateMachine(c.ctx, &sfn.CreateStateMachineInput{Name: ref(c.name()), RoleArn: ref(c.roleARN()), Definition: &definition})).ok(c).StateMachineArn
	c.after(func(ctx context.Context) error {
		_, err := c.states.DeleteStateMachine(ctx, &sfn.DeleteStateMachineInput{StateMachineArn: &arn})
		return err
	})
	return arn
}

func (c *call) start(machine, input string) string {
	c.Helper()
	return *try(c.states.StartExecution(c.ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Input: &input})).ok(c).ExecutionArn
}

// ended waits for the end of an execution.
func (c *call) ended(arn string) *sfn.DescribeExecutionOutput {
	c.Helper()
	var out *sfn.DescribeExecutionOutput
	c.eventually("the end of "+arn, func() bool {
		out = try(c.states.DescribeExecution(c.ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})).ok(c)
		return out.Status != types.ExecutionStatusRunning
	})
	return out
}

func (c *call) history(arn string, reverse bool) []types.HistoryEvent {
	c.Helper()
	var all []types.HistoryEvent
	pages := sfn.NewGetExecutionHistoryPaginator(c.states, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, ReverseOrder: reverse, MaxResults: 3})
	for pages.HasMorePages() {
		all = append(all, try(pages.NextPage(c.ctx)).ok(c).Events...)
	}
	return all
}

const (
	passes = `{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}`
	waits  = `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":3600,"End":true}}}`
	fails  = `{"StartAt":"F","States":{"F":{"Type":"Fail","Error":"Bad","Cause":"it is"}}}`
)

var statesBehaviours = []behaviour{
	{id: "states.create.again", says: "a machine is made again with the same definition and role, and with another definition it is StateMachineAlreadyExists", source: sfnAPI + "CreateStateMachine.html", need: needRole, run: func(c *call) {
		arn := c.machine(passes)
		in := &sfn.CreateStateMachineInput{Name: ref(arn[strings.LastIndex(arn, ":")+1:]), RoleArn: ref(c.roleARN()), Definition: ref(passes)}
		equal(c, "again", str(try(c.states.CreateStateMachine(c.ctx, in)).ok(c).StateMachineArn), arn)
		in.Definition = ref(fails)
		try(c.states.CreateStateMachine(c.ctx, in)).fails(c, 400, "StateMachineAlreadyExists", "State Machine Already Exists")
	}},
	{id: "states.create.invalid", says: "a definition that is none is InvalidDefinition, and says where", source: sfnAPI + "CreateStateMachine.html", need: needRole, run: func(c *call) {
		for definition, why := range map[string]string{`{`: "INVALID_JSON", `{"StartAt":"X","States":{"P":{"Type":"Pass","End":true}}}`: "MISSING_TRANSITION_TARGET", `{"StartAt":"P","States":{"P":{"Type":"Passes","End":true}}}`: "SCHEMA_VALIDATION_FAILED"} {
			try(c.states.CreateStateMachine(c.ctx, &sfn.CreateStateMachineInput{Name: ref(c.name()), RoleArn: ref(c.roleARN()), Definition: &definition})).fails(c, 400, "InvalidDefinition", "Invalid State Machine Definition", why)
		}
	}},
	{id: "states.create.name", says: "a name with other characters is InvalidName", source: sfnAPI + "CreateStateMachine.html", need: needRole, run: func(c *call) {
		try(c.states.CreateStateMachine(c.ctx, &sfn.CreateStateMachineInput{Name: ref("a b"), RoleArn: ref(c.roleARN()), Definition: ref(passes)})).fails(c, 400, "InvalidName", "Invalid Name: 'a b'")
	}},
	{id: "states.describe.missing", says: "a machine that is not there is StateMachineDoesNotExist, an execution ExecutionDoesNotExist", source: sfnAPI + "DescribeStateMachine.html", run: func(c *call) {
		machine := c.arn("states", "stateMachine:"+c.name())
		try(c.states.DescribeStateMachine(c.ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &machine})).fails(c, 400, "StateMachineDoesNotExist", "State Machine Does Not Exist: '"+machine+"'")
		try(c.states.StartExecution(c.ctx, &sfn.StartExecutionInput{StateMachineArn: &machine})).fails(c, 400, "StateMachineDoesNotExist", "State Machine Does Not Exist: '"+machine+"'")
		execution := c.arn("states", "execution:"+c.name()+":x")
		try(c.states.DescribeExecution(c.ctx, &sfn.DescribeExecutionInput{ExecutionArn: &execution})).fails(c, 400, "ExecutionDoesNotExist", "Execution Does Not Exist: '"+execution+"'")
	}},
	{id: "states.describe.invalid-arn", says: "an ARN that is none is InvalidArn", source: sfnAPI + "DescribeStateMachine.html", run: func(c *call) {
		try(c.states.DescribeStateMachine(c.ctx, &sfn.DescribeStateMachineInput{StateMachineArn: ref("none")})).fails(c, 400, "InvalidArn", "Invalid Arn: 'Invalid ARN prefix: none'")
	}},
	{id: "states.execution.succeeded", says: "an execution that succeeds has its input and output, and times", source: sfnAPI + "DescribeExecution.html", need: needRole, run: func(c *call) {
		machine := c.machine(passes)
		out := c.ended(c.start(machine, `{"a": 30, "b": 3.0}`))
		equal(c, "execution", []string{string(out.Status), str(out.Input), str(out.Output), str(out.StateMachineArn)}, []string{"SUCCEEDED", `{"a": 30, "b": 3.0}`, `{"a": 30, "b": 3.0}`, machine})
		if out.StartDate == nil || out.StopDate == nil || out.StopDate.Before(*out.StartDate) || out.Error != nil {
			c.Errorf("execution: %+v", out)
		}
	}},
	{id: "states.execution.failed", says: "an execution that fails tells error and cause, and has no output", source: sfnAPI + "DescribeExecution.html", need: needRole, run: func(c *call) {
		out := c.ended(c.start(c.machine(fails), "{}"))
		equal(c, "execution", []string{string(out.Status), str(out.Error), str(out.Cause), str(out.Output)}, "[FAILED Bad it is <nil>]")
	}},
	{id: "states.execution.invalid-input", says: "an input that is no JSON is InvalidExecutionInput", source: sfnAPI + "StartExecution.html", need: needRole, run: func(c *call) {
		try(c.states.StartExecution(c.ctx, &sfn.StartExecutionInput{StateMachineArn: ref(c.machine(passes)), Input: ref("{")})).fails(c, 400, "InvalidExecutionInput", "Invalid State Machine Execution Input")
	}},
	{id: "states.execution.name", says: "a name with the same input while it runs is the same execution; with another input, or once ended, it is ExecutionAlreadyExists", source: sfnAPI + "StartExecution.html", need: needRole, run: func(c *call) {
		machine := c.machine(waits)
		start := func(input string) result[*sfn.StartExecutionOutput] {
			return try(c.states.StartExecution(c.ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Name: ref("once"), Input: &input}))
		}
		arn := start(`{}`).ok(c).ExecutionArn
		equal(c, "again", str(start(`{}`).ok(c).ExecutionArn), *arn)
		start(`{"a":1}`).fails(c, 400, "ExecutionAlreadyExists", "Execution Already Exists: '"+*arn+"'")
		try(c.states.StopExecution(c.ctx, &sfn.StopExecutionInput{ExecutionArn: arn})).ok(c)
		c.ended(*arn)
		start(`{}`).fails(c, 400, "ExecutionAlreadyExists")
	}},
	{id: "states.execution.stop", says: "a stopped execution is ABORTED, with the error and cause given", source: sfnAPI + "StopExecution.html", need: needRole, run: func(c *call) {
		arn := c.start(c.machine(waits), "{}")
		try(c.states.StopExecution(c.ctx, &sfn.StopExecutionInput{ExecutionArn: &arn, Error: ref("E"), Cause: ref("C")})).ok(c)
		out := c.ended(arn)
		equal(c, "execution", []string{string(out.Status), str(out.Error), str(out.Cause)}, "[ABORTED E C]")
	}},
	{id: "states.history", says: "a history tells each event with its number, the one before it, and its details, in pages and backwards", source: sfnAPI + "GetExecutionHistory.html", need: needRole, run: func(c *call) {
		arn := c.start(c.machine(`{"StartAt":"P","States":{"P":{"Type":"Pass","Result":1,"Next":"Q"},"Q":{"Type":"Pass","End":true}}}`), "{}")
		c.ended(arn)
		kinds := func(events []types.HistoryEvent) (all []string) {
			for _, e := range events {
				all = append(all, string(e.Type))
			}
			return all
		}
		forward, backward := c.history(arn, false), c.history(arn, true)
		equal(c, "events", kinds(forward), "[ExecutionStarted PassStateEntered PassStateExited PassStateEntered PassStateExited ExecutionSucceeded]")
		equal(c, "backwards", kinds(backward), "[ExecutionSucceeded PassStateExited PassStateEntered PassStateExited PassStateEntered ExecutionStarted]")
		for i, e := range forward {
			if e.Id != int64(i+1) || e.Timestamp == nil {
				c.Errorf("event %d: %+v", i, e)
			}
		}
		equal(c, "first", str(forward[0].ExecutionStartedEventDetails.Input), "{}")
		equal(c, "exited", []any{str(forward[2].StateExitedEventDetails.Name), str(forward[2].StateExitedEventDetails.Output), forward[2].PreviousEventId}, "[P 1 2]")
	}},
	{id: "states.list-executions", says: "executions are listed newest first, by status, in pages that do not move", source: sfnAPI + "ListExecutions.html", need: needRole, run: func(c *call) {
		machine := c.machine(`{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{"Variable":"$.fail","IsPresent":true,"Next":"F"}],"Default":"P"},"P":{"Type":"Pass","End":true},"F":{"Type":"Fail"}}}`)
		var arns []string
		for _, input := range []string{"{}", `{"fail":1}`, "{}"} {
			arns = append(arns, c.start(machine, input))
			at := c.ended(arns[len(arns)-1]).StartDate.UnixMilli()
			c.eventually("a later millisecond", func() bool { return time.Now().UnixMilli() > at })
		}
		list := func(in sfn.ListExecutionsInput) (all []string, next *string) {
			in.StateMachineArn = &machine
			out := try(c.states.ListExecutions(c.ctx, &in)).ok(c)
			for _, e := range out.Executions {
				all = append(all, *e.ExecutionArn)
			}
			return all, out.NextToken
		}
		failed, _ := list(sfn.ListExecutionsInput{StatusFilter: types.ExecutionStatusFailed})
		equal(c, "failed", failed, arns[1:2])
		first, next := list(sfn.ListExecutionsInput{MaxResults: 2})
		equal(c, "first", first, []string{arns[2], arns[1]})
		c.ended(c.start(machine, "{}"))
		second, end := list(sfn.ListExecutionsInput{MaxResults: 2, NextToken: next})
		equal(c, "second", []any{second, str(end)}, []any{arns[:1], "<nil>"})
	}},
	{id: "states.list.token.invalid", says: "a token that is none is InvalidToken", source: sfnAPI + "ListExecutions.html", need: needRole, run: func(c *call) {
		try(c.states.ListExecutions(c.ctx, &sfn.ListExecutionsInput{StateMachineArn: ref(c.machine(passes)), NextToken: ref("none")})).fails(c, 400, "InvalidToken")
	}},
	{id: "states.update", says: "an update changes the definition of later executions, not of those under way", source: sfnAPI + "UpdateStateMachine.html", need: needRole, run: func(c *call) {
		machine := c.machine(waits)
		running := c.start(machine, "{}")
		try(c.states.UpdateStateMachine(c.ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &machine, Definition: ref(passes)})).ok(c)
		c.eventually("the new definition holds", func() bool { return c.ended(c.start(machine, "{}")).Status == types.ExecutionStatusSucceeded })
		of := try(c.states.DescribeStateMachineForExecution(c.ctx, &sfn.DescribeStateMachineForExecutionInput{ExecutionArn: &running})).ok(c)
		equal(c, "definition", str(of.Definition), waits)
		try(c.states.StopExecution(c.ctx, &sfn.StopExecutionInput{ExecutionArn: &running})).ok(c)
	}},
	{id: "states.task-token.invalid", says: "a token that no task waits with is InvalidToken", source: sfnAPI + "SendTaskSuccess.html", run: func(c *call) {
		try(c.states.SendTaskSuccess(c.ctx, &sfn.SendTaskSuccessInput{TaskToken: ref("none"), Output: ref("{}")})).fails(c, 400, "InvalidToken", "Invalid Token: 'Invalid token'")
	}},
	{id: "states.task-token", says: "a task that waits with a token goes on with what is sent for it", source: sfnGuide + "connect-to-resource.html", need: needRole, run: func(c *call) {
		queue := c.queue()
		arn := c.start(c.machine(`{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken","Parameters":{"QueueUrl":"`+queue+`","MessageBody.$":"$$.Task.Token"},"End":true}}}`), "{}")
		token := c.message(queue).Body
		try(c.states.SendTaskSuccess(c.ctx, &sfn.SendTaskSuccessInput{TaskToken: token, Output: ref(`{"done":true}`)})).ok(c)
		out := c.ended(arn)
		equal(c, "execution", []string{string(out.Status), str(out.Output)}, `[SUCCEEDED {"done":true}]`)
		try(c.states.SendTaskSuccess(c.ctx, &sfn.SendTaskSuccessInput{TaskToken: token, Output: ref(`{}`)})).fails(c, 400, "TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
	}},
	{id: "states.catch", says: "a caught error goes on with Error and Cause", source: sfnGuide + "concepts-error-handling.html", need: needRole, run: func(c *call) {
		out := c.ended(c.start(c.machine(`{"StartAt":"X","States":{"X":{"Type":"Parallel","Branches":[`+fails+`],"Catch":[{"ErrorEquals":["Bad"],"ResultPath":"$.e","Next":"P"}],"End":true},"P":{"Type":"Pass","End":true}}}`), `{"a":1}`))
		equal(c, "output", str(out.Output), `{"a":1,"e":{"Error":"Bad","Cause":"it is"}}`)
	}},
	{id: "states.validate", says: "a definition is checked without being made, each diagnostic with severity, code and place", source: sfnAPI + "ValidateStateMachineDefinition.html", run: func(c *call) {
		equal(c, "good", try(c.states.ValidateStateMachineDefinition(c.ctx, &sfn.ValidateStateMachineDefinitionInput{Definition: ref(passes)})).ok(c).Result, "OK")
		out := try(c.states.ValidateStateMachineDefinition(c.ctx, &sfn.ValidateStateMachineDefinitionInput{Definition: ref(`{"StartAt":"P","States":{"P":{"Type":"Pass","Next":"none"}}}`)})).ok(c)
		if out.Result != "FAIL" || len(out.Diagnostics) == 0 || out.Diagnostics[0].Severity != "ERROR" || out.Diagnostics[0].Location == nil || str(out.Diagnostics[0].Code) != "MISSING_TRANSITION_TARGET" {
			c.Errorf("answer: %+v", out)
		}
	}},
	{id: "states.tags", says: "a machine's tags are set, listed and taken away", source: sfnAPI + "TagResource.html", need: needRole, run: func(c *call) {
		arn := c.machine(passes)
		try(c.states.TagResource(c.ctx, &sfn.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}, {Key: ref("b"), Value: ref("2")}}})).ok(c)
		try(c.states.UntagResource(c.ctx, &sfn.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"a"}})).ok(c)
		tags := try(c.states.ListTagsForResource(c.ctx, &sfn.ListTagsForResourceInput{ResourceArn: &arn})).ok(c).Tags
		if len(tags) != 1 || *tags[0].Key != "b" {
			c.Errorf("tags: %+v", tags)
		}
	}},
	{id: "states.version", says: "a published version keeps its definition, and an execution can be of it", source: sfnGuide + "concepts-state-machine-version.html", need: needRole, run: func(c *call) {
		machine := c.machine(passes)
		version := try(c.states.PublishStateMachineVersion(c.ctx, &sfn.PublishStateMachineVersionInput{StateMachineArn: &machine})).ok(c).StateMachineVersionArn
		equal(c, "version", *version, machine+":1")
		try(c.states.UpdateStateMachine(c.ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &machine, Definition: ref(fails)})).ok(c)
		equal(c, "status", c.ended(c.start(*version, "{}")).Status, "SUCCEEDED")
		equal(c, "listed", len(try(c.states.ListStateMachineVersions(c.ctx, &sfn.ListStateMachineVersionsInput{StateMachineArn: &machine})).ok(c).StateMachineVersions), 1)
	}},
}
