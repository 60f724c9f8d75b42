package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxTest is how long a TestState call may take.
const maxTest = 5 * time.Minute

func (s *StepFunctions) testState(ctx context.Context, in *sfn.TestStateInput) (*sfn.TestStateOutput, error) {
	m, err := asl.ParseState([]byte(aws.ToString(in.Definition)), aws.ToString(in.StateName))
	var bad *asl.DefinitionError
	if errors.As(err, &bad) {
		return nil, wire.Errorf("InvalidDefinition", "Invalid State Machine Definition: '%s'", bad.Error())
	}
	if err != nil {
		return nil, wire.Errorf("ValidationException", "%v", err)
	}
	if err := s.checkTest(m, in); err != nil {
		return nil, err
	}
	p := &asl.Probe{Input: aws.ToString(in.Input), Variables: aws.ToString(in.Variables), Context: aws.ToString(in.Context)}
	if in.Input == nil {
		p.Input = "{}"
	}
	if err := validInput(p.Input); err != nil {
		return nil, err
	}
	if in.Mock != nil {
		p.Mock = &asl.Mock{Result: aws.ToString(in.Mock.Result)}
		if e := in.Mock.ErrorOutput; e != nil {
			p.Mock.Failure = &asl.Failure{Error: aws.ToString(e.Error), Cause: aws.ToString(e.Cause)}
		}
	}
	if c := in.StateConfiguration; c != nil && c.RetrierRetryCount != nil {
		p.Retries = int64(*c.RetrierRetryCount)
	}
	id := uuid.NewString()
	info := asl.Info{ARN: s.arn("execution", "TestState:"+id), Name: id, MachineARN: s.arn("stateMachine", "TestState"), MachineName: "TestState",
		RoleARN: aws.ToString(in.RoleArn), Region: s.o.Region, Started: s.o.Clock.Now().Truncate(time.Millisecond)}
	x, err := asl.NewProbe(m, info, p, asl.Sources{TaskID: s.newToken, UUID: uuid.NewString, Rand: rand.Float64})
	if err != nil {
		return nil, wire.Errorf("ValidationException", "%v", err)
	}
	if err := s.drive(ctx, x, p); err != nil {
		return nil, err
	}
	return testResult(p, in.InspectionLevel), nil
}

// checkTest refuses tests that AWS refuses.
func (s *StepFunctions) checkTest(m *asl.Machine, in *sfn.TestStateInput) error {
	kind, resource := m.First()
	calls := kind == asl.Task || kind == asl.Parallel || kind == asl.Map
	refused := func(format string, args ...any) error { return wire.Errorf("ValidationException", format, args...) }
	if mock := in.Mock; mock != nil {
		switch {
		case !calls:
			return refused("State type '%s' is not supported when a mock is specified", kind)
		case (mock.Result == nil) == (mock.ErrorOutput == nil):
			return refused("A test mock should have only one of the following fields: [result, errorOutput].")
		case mock.Result != nil && !json.Valid([]byte(*mock.Result)):
			return refused("Mocked result must be valid JSON")
		case in.RevealSecrets:
			return refused("TestState does not support RevealSecrets when a mock is specified.")
		case mock.FieldValidationMode == types.MockResponseValidationModeStrict || mock.FieldValidationMode == types.MockResponseValidationModePresent:
			return refused("the local cloud does not validate mocked results: fieldValidationMode must be NONE, or left out")
		}
	}
	if err := checkMocked(m, in); err != nil {
		return err
	}
	if c := in.StateConfiguration; c != nil && (c.ErrorCausedByState != nil || c.MapItemReaderData != nil || c.MapIterationFailureCount != nil) {
		return refused("the local cloud supports only retrierRetryCount of stateConfiguration")
	}
	switch {
	case in.Context != nil && in.Mock == nil:
		return refused("A context may only be given together with a mock")
	case in.Mock != nil || !calls:
		return nil
	case kind != asl.Task:
		return wire.Errorf("InvalidDefinition", "TestState API does not support Map or Parallel states. Supported state types include: [Task, Wait, Pass, Succeed, Fail, Choice]")
	case resource.WaitsForToken() || resource.AwaitsJob():
		return refused("The resource %s is not supported without a mock", resource.ARN)
	case in.RoleArn == nil:
		return refused("RoleArn must be specified when testing a Task state")
	}
	if err := validRole(*in.RoleArn); err != nil {
		return err
	}
	if err := s.checkResource(*resource); err != nil {
		return wire.Errorf("InvalidDefinition", "Invalid State Machine Definition: '%v'", err)
	}
	return nil
}

// checkMocked checks that a mocked result fits its state, and the context object that
// goes with it.
func checkMocked(m *asl.Machine, in *sfn.TestStateInput) error {
	kind, resource := m.First()
	refused := func(format string, args ...any) error { return wire.Errorf("ValidationException", format, args...) }
	if in.Mock != nil && in.Mock.Result != nil && kind != asl.Task {
		var items []json.RawMessage
		if err := json.Unmarshal([]byte(*in.Mock.Result), &items); err != nil || items == nil {
			return refused("Mocked result must be an array.")
		}
		if kind == asl.Parallel && len(items) != m.Branches() {
			return refused("Mocked result must contain the same number of items as number of Parallel branches.")
		}
	}
	if in.Context == nil {
		return nil
	}
	if problem := contextProblem(*in.Context); problem != "" {
		return refused("Invalid Context object provided: %s", problem)
	}
	var given struct{ Task *json.RawMessage }
	if json.Unmarshal([]byte(*in.Context), &given) == nil && given.Task != nil && (kind != asl.Task || !resource.WaitsForToken() && !resource.AwaitsJob()) {
		return refused("Invalid Context object provided: Context object contains 'Task' when state is not a Task state with a '.sync' or '.waitForTaskToken' service integration pattern")
	}
	return nil
}

// contextFields are what a given context object may hold; true is text.
var contextFields = map[string]map[string]bool{
	"Execution":    {"Id": true, "Input": false, "Name": true, "RoleArn": true, "StartTime": true, "RedriveCount": false, "RedriveTime": true},
	"State":        {"EnteredTime": true, "Name": true, "RetryCount": false},
	"StateMachine": {"Id": true, "Name": true},
	"Task":         {"Token": true},
}

// contextProblem says in AWS's words what is wrong with a given context object.
func contextProblem(text string) string {
	var given map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &given) != nil {
		return "it must be a JSON object"
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		fields, known := contextFields[name]
		switch {
		case name == "Map":
			return "'Map' field is not supported when mocking a Context object"
		case !known:
			return "Field '" + name + "' is not allowed"
		}
		var members map[string]json.RawMessage
		if json.Unmarshal(given[name], &members) != nil {
			return name + " must be an object"
		}
		for _, member := range slices.Sorted(maps.Keys(members)) {
			isText, known := fields[member]
			switch {
			case !known:
				return "Field '" + member + "' is not allowed"
			case isText && members[member][0] != '"':
				return name + "." + member + " must be a string"
			}
		}
	}
	return ""
}

// drive runs a probe to its end: it makes its calls and waits its waits.
func (s *StepFunctions) drive(ctx context.Context, x *asl.Execution, p *asl.Probe) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer clock.Lazy(s.o.Clock, maxTest, cancel)()
	x.Begin(s.o.Clock.Now())
	for p.Ended == "" {
		if x.Status() != asl.Running {
			return errors.New("test state: the state ended without a result")
		}
		var at *time.Time
		if due, ok := x.NextDue(); ok {
			at = &due
		}
		calls := x.Take().Calls
		switch {
		case len(calls) == 1:
			s.testCall(ctx, x, p, calls[0], at)
		case at != nil:
			if err := clock.Sleep(ctx, s.o.Clock, at.Sub(s.o.Clock.Now())); err != nil {
				return wire.Errorf("ValidationException", "The test took longer than %s", maxTest)
			}
			x.Due(s.o.Clock.Now())
		default:
			return errors.New("test state: the state waits for nothing")
		}
	}
	return nil
}

// testCall makes a call, within its state's time, and feeds its outcome back.
func (s *StepFunctions) testCall(ctx context.Context, x *asl.Execution, p *asl.Probe, c asl.Call, due *time.Time) {
	output := ""
	var err error
	switch mock := p.Mock; {
	case mock != nil && mock.Failure != nil:
		err = &asl.TaskError{Name: mock.Failure.Error, Cause: mock.Failure.Cause}
	case mock != nil:
		output = mock.Result
	default:
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if due != nil {
			defer clock.Lazy(s.o.Clock, due.Sub(s.o.Clock.Now()), cancel)()
		}
		output, err = runner{s}.Run(ctx, c)
	}
	now := s.o.Clock.Now()
	var named *asl.TaskError
	switch {
	case due != nil && !now.Before(*due):
		x.Due(now)
	case errors.As(err, &named):
		_ = x.Fail(now, c.ID, asl.Failure{Error: named.Name, Cause: named.Cause}) // it waits: it was asked for just now
	case err != nil:
		_ = x.Fail(now, c.ID, asl.Failure{Error: "States.TaskFailed", Cause: err.Error()})
	default:
		_ = x.Succeed(now, c.ID, output)
	}
}

func testResult(p *asl.Probe, level types.InspectionLevel) *sfn.TestStateOutput {
	out := &sfn.TestStateOutput{Status: types.TestExecutionStatus(p.Ended), NextState: notEmpty(p.Next), Output: notEmpty(p.Output)}
	if p.Failure != nil {
		out.Error, out.Cause = notEmpty(p.Failure.Error), notEmpty(p.Failure.Cause)
	}
	if level != types.InspectionLevelDebug && level != types.InspectionLevelTrace { // TRACE adds what HTTP tasks send, which are refused
		return out
	}
	at := func(stage string) *string { return notEmpty(p.Stages[stage]) }
	d := &types.InspectionData{Input: at("input"), AfterInputPath: at("afterInputPath"), AfterParameters: at("afterParameters"), Result: at("result"),
		AfterResultSelector: at("afterResultSelector"), AfterResultPath: at("afterResultPath"), AfterItemsPath: at("afterItemsPath"),
		AfterItemSelector: at("afterItemSelector")}
	if p.Assigned != "" && p.Assigned != "{}" {
		d.Variables = &p.Assigned
	}
	matched := int32(p.Matched) //nolint:gosec // an index of a short list
	switch p.Ended {
	case asl.ProbeRetriable:
		d.ErrorDetails = &types.InspectionErrorDetails{RetryIndex: &matched, RetryBackoffIntervalSeconds: aws.Int32(int32(p.Pause))}
	case asl.ProbeCaught:
		d.ErrorDetails = &types.InspectionErrorDetails{CatchIndex: &matched}
	}
	out.InspectionData = d
	return out
}
