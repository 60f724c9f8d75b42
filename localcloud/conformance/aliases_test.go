package conformance_test

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// published makes a machine with two versions: the first passes, the second fails.
func (c *call) published() (machine, first, second string) {
	c.Helper()
	machine = c.machine(passes)
	publish := func() string {
		return *try(c.states.PublishStateMachineVersion(c.ctx, &sfn.PublishStateMachineVersionInput{StateMachineArn: &machine})).ok(c).StateMachineVersionArn
	}
	first = publish()
	try(c.states.UpdateStateMachine(c.ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &machine, Definition: ref(fails)})).ok(c)
	return machine, first, publish()
}

// routed is a routing configuration: versions and their weights.
func routed(version string, weight int32, others ...types.RoutingConfigurationListItem) []types.RoutingConfigurationListItem {
	return append([]types.RoutingConfigurationListItem{{StateMachineVersionArn: &version, Weight: weight}}, others...)
}

// alias makes an alias; its machine goes with its aliases.
func (c *call) alias(name string, routing []types.RoutingConfigurationListItem) result[*sfn.CreateStateMachineAliasOutput] {
	out, err := c.states.CreateStateMachineAlias(c.ctx, &sfn.CreateStateMachineAliasInput{Name: &name, RoutingConfiguration: routing})
	if err == nil {
		c.after(func(ctx context.Context) error {
			_, err := c.states.DeleteStateMachineAlias(ctx, &sfn.DeleteStateMachineAliasInput{StateMachineAliasArn: out.StateMachineAliasArn})
			return err
		})
	}
	return try(out, err)
}

// waiting starts an execution that waits with a token, and tells the token; each
// time that it waits again another one comes into the queue.
func (c *call) waiting(more string) (execution, queue, token string) {
	c.Helper()
	queue = c.queue()
	execution = c.start(c.machine(`{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken","Parameters":{"QueueUrl":"`+queue+`","MessageBody.$":"$$.Task.Token"}`+more+`,"End":true}}}`), "{}")
	return execution, queue, *c.message(queue).Body
}

var aliasBehaviours = []behaviour{
	{id: "states.list-machines", says: "a machine is listed with its name and type", source: sfnAPI + "ListStateMachines.html", need: needRole, run: func(c *call) {
		arn := c.machine(passes)
		c.eventually("the machine is listed", func() bool {
			pages := sfn.NewListStateMachinesPaginator(c.states, &sfn.ListStateMachinesInput{})
			for pages.HasMorePages() {
				for _, m := range try(pages.NextPage(c.ctx)).ok(c).StateMachines {
					if *m.StateMachineArn == arn {
						return *m.Name == arn[strings.LastIndex(arn, ":")+1:] && m.Type == types.StateMachineTypeStandard
					}
				}
			}
			return false
		})
	}},
	{id: "states.alias.create", says: "an alias is made again as it was made, and with another routing it is ConflictException", source: sfnAPI + "CreateStateMachineAlias.html", need: needRole, run: func(c *call) {
		machine, first, second := c.published()
		arn := *c.alias("live", routed(first, 100)).ok(c).StateMachineAliasArn
		equal(c, "arn", arn, machine+":live")
		equal(c, "again", str(c.alias("live", routed(first, 100)).ok(c).StateMachineAliasArn), arn)
		c.alias("live", routed(second, 100)).fails(c, 400, "ConflictException")
	}},
	{id: "states.alias.routing", says: "an alias routes to one version or two of one machine, whose weights are 100 together", source: sfnAPI + "RoutingConfigurationListItem.html", need: needRole, run: func(c *call) {
		machine, first, second := c.published()
		c.alias("less", routed(first, 50, routed(second, 49)...)).fails(c, 400, "ValidationException", "Sum of routing configuration weights must equal 100.")
		c.alias("same", routed(first, 50, routed(first, 50)...)).fails(c, 400, "ValidationException", "Routing configuration must contain distinct state machine version ARNs.")
		c.alias("none", routed(machine, 100)).fails(c, 400, "ValidationException", "Routing configuration must contain state machine version ARNs.")
		c.alias("gone", routed(machine+":9", 100)).fails(c, 400, "ResourceNotFound")
		arn := c.alias("both", routed(first, 90, routed(second, 10)...)).ok(c).StateMachineAliasArn
		out := try(c.states.DescribeStateMachineAlias(c.ctx, &sfn.DescribeStateMachineAliasInput{StateMachineAliasArn: arn})).ok(c)
		if equal(c, "name", str(out.Name), "both"); len(out.RoutingConfiguration) != 2 {
			c.Fatalf("routing: %+v", out.RoutingConfiguration)
		}
		for i, want := range routed(first, 90, routed(second, 10)...) {
			equal(c, "route", []any{str(out.RoutingConfiguration[i].StateMachineVersionArn), out.RoutingConfiguration[i].Weight}, []any{*want.StateMachineVersionArn, want.Weight})
		}
	}},
	{id: "states.alias.start", says: "an execution of an alias is of the version that it routes to, after an update of the new one, and tells both", source: sfnAPI + "UpdateStateMachineAlias.html", need: needRole, run: func(c *call) {
		_, first, second := c.published()
		arn := *c.alias("live", routed(first, 100)).ok(c).StateMachineAliasArn
		out := c.ended(c.start(arn, "{}"))
		equal(c, "execution", []string{string(out.Status), str(out.StateMachineAliasArn), str(out.StateMachineVersionArn)}, []string{"SUCCEEDED", arn, first})
		try(c.states.UpdateStateMachineAlias(c.ctx, &sfn.UpdateStateMachineAliasInput{StateMachineAliasArn: &arn, RoutingConfiguration: routed(second, 100)})).ok(c)
		c.eventually("an execution of the second", func() bool {
			out := c.ended(c.start(arn, "{}"))
			return out.Status == types.ExecutionStatusFailed && str(out.StateMachineVersionArn) == second
		})
	}},
	{id: "states.alias.list", says: "a machine's aliases are listed, of a version those that route to it", source: sfnAPI + "ListStateMachineAliases.html", need: needRole, run: func(c *call) {
		machine, first, second := c.published()
		c.alias("a", routed(first, 100)).ok(c)
		c.alias("b", routed(second, 100)).ok(c)
		list := func(arn string) int {
			return len(try(c.states.ListStateMachineAliases(c.ctx, &sfn.ListStateMachineAliasesInput{StateMachineArn: &arn})).ok(c).StateMachineAliases)
		}
		c.eventually("the aliases", func() bool { return list(machine) == 2 && list(first) == 1 })
	}},
	{id: "states.alias.version", says: "a version that an alias routes to is not deleted: ConflictException; without the alias it is", source: sfnAPI + "DeleteStateMachineVersion.html", need: needRole, run: func(c *call) {
		_, first, _ := c.published()
		arn := c.alias("live", routed(first, 100)).ok(c).StateMachineAliasArn
		drop := func() result[*sfn.DeleteStateMachineVersionOutput] {
			return try(c.states.DeleteStateMachineVersion(c.ctx, &sfn.DeleteStateMachineVersionInput{StateMachineVersionArn: &first}))
		}
		drop().fails(c, 400, "ConflictException")
		try(c.states.DeleteStateMachineAlias(c.ctx, &sfn.DeleteStateMachineAliasInput{StateMachineAliasArn: arn})).ok(c)
		try(c.states.DescribeStateMachineAlias(c.ctx, &sfn.DescribeStateMachineAliasInput{StateMachineAliasArn: arn})).fails(c, 400, "ResourceNotFound")
		drop().ok(c)
	}},
	{id: "states.task-token.failure", says: "a failure that is sent for a token fails the task with its error and cause", source: sfnAPI + "SendTaskFailure.html", need: needRole, run: func(c *call) {
		arn, _, token := c.waiting("")
		try(c.states.SendTaskFailure(c.ctx, &sfn.SendTaskFailureInput{TaskToken: &token, Error: ref("Bad"), Cause: ref("it is")})).ok(c)
		out := c.ended(arn)
		equal(c, "execution", []string{string(out.Status), str(out.Error), str(out.Cause)}, "[FAILED Bad it is]")
		try(c.states.SendTaskFailure(c.ctx, &sfn.SendTaskFailureInput{TaskToken: &token})).fails(c, 400, "TaskTimedOut")
	}},
	{id: "states.task-token.heartbeat", says: "a heartbeat is taken for a task that waits, and is TaskTimedOut once it has ended, InvalidToken for what is none", source: sfnAPI + "SendTaskHeartbeat.html", need: needRole, run: func(c *call) {
		arn, _, token := c.waiting(`,"HeartbeatSeconds":3600`)
		beat := func(token string) result[*sfn.SendTaskHeartbeatOutput] {
			return try(c.states.SendTaskHeartbeat(c.ctx, &sfn.SendTaskHeartbeatInput{TaskToken: &token}))
		}
		beat(token).ok(c)
		try(c.states.SendTaskSuccess(c.ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: ref("{}")})).ok(c)
		c.ended(arn)
		beat(token).fails(c, 400, "TaskTimedOut")
		beat("none").fails(c, 400, "InvalidToken")
	}},
	{id: "states.redrive", says: "a failed execution is redriven from the state that failed, under its ARN; one that succeeded is ExecutionNotRedrivable", source: sfnAPI + "RedriveExecution.html", need: needRole, run: func(c *call) {
		arn, queue, token := c.waiting("")
		try(c.states.SendTaskFailure(c.ctx, &sfn.SendTaskFailureInput{TaskToken: &token, Error: ref("Bad")})).ok(c)
		equal(c, "redrivable", c.ended(arn).RedriveStatus, "REDRIVABLE")
		redrive := func() result[*sfn.RedriveExecutionOutput] {
			return try(c.states.RedriveExecution(c.ctx, &sfn.RedriveExecutionInput{ExecutionArn: &arn}))
		}
		redrive().ok(c)
		try(c.states.SendTaskSuccess(c.ctx, &sfn.SendTaskSuccessInput{TaskToken: c.message(queue).Body, Output: ref(`{"done":true}`)})).ok(c)
		out := c.ended(arn)
		equal(c, "execution", []any{out.Status, str(out.Output), num(out.RedriveCount)}, `[SUCCEEDED {"done":true} 1]`)
		redrive().fails(c, 400, "ExecutionNotRedrivable", "Execution is SUCCEEDED and cannot be redriven")
	}},
	{id: "states.test-state", says: "a state is tried by itself: its output, error and next state are told", source: sfnAPI + "TestState.html", run: func(c *call) {
		test := func(definition string) result[*sfn.TestStateOutput] {
			return try(c.states.TestState(c.ctx, &sfn.TestStateInput{Definition: &definition, Input: ref(`{"a":1}`)}, c.unprefixed))
		}
		out := test(`{"Type":"Choice","Choices":[{"Variable":"$.a","NumericEquals":1,"Next":"One"}],"Default":"Other"}`).ok(c)
		equal(c, "choice", []string{string(out.Status), str(out.NextState), str(out.Output)}, `[SUCCEEDED One {"a":1}]`)
		out = test(`{"Type":"Fail","Error":"Bad","Cause":"it is"}`).ok(c)
		equal(c, "fail", []string{string(out.Status), str(out.Error), str(out.Cause)}, "[FAILED Bad it is]")
		test(`{"Type":"None"}`).fails(c, 400, "InvalidDefinition")
	}},
}

// unprefixed keeps the address that was given, of a local cloud: the SDK puts sync- before AWS's.
func (c *call) unprefixed(o *sfn.Options) {
	if c.cfg.BaseEndpoint == nil {
		return
	}
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("unprefixed", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
		}), middleware.After)
	})
}
