package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

func (s *StepFunctions) addTaskOps() {
	machine := func(token *string) []string {
		if arn, ok := executionOfToken(aws.ToString(token)); ok {
			return []string{machineOf(arn)}
		}
		return nil
	}
	s.svc.Add(
		wire.On(wire.Op("SendTaskSuccess", s.sendTaskSuccess), func(in *sfn.SendTaskSuccessInput) []string { return machine(in.TaskToken) }),
		wire.On(wire.Op("SendTaskFailure", s.sendTaskFailure), func(in *sfn.SendTaskFailureInput) []string { return machine(in.TaskToken) }),
		wire.On(wire.Op("SendTaskHeartbeat", s.sendTaskHeartbeat), func(in *sfn.SendTaskHeartbeatInput) []string { return machine(in.TaskToken) }),
	)
}

var errInvalidToken = wire.Errorf("InvalidToken", "Invalid Token: 'Invalid token'")

// answer finds the token's execution and hands it to f. A token whose task
// has ended, in whatever way, is TaskTimedOut, as AWS says it.
func (s *StepFunctions) answer(token *string, f func(arn, token string) error) error {
	t := aws.ToString(token)
	arn, ok := executionOfToken(t)
	if !ok {
		return errInvalidToken
	}
	if _, err := s.execution(arn); err != nil {
		if wire.HasCode(err, "ExecutionDoesNotExist") || wire.HasCode(err, "InvalidArn") {
			return wire.Errorf("TaskDoesNotExist", "Task does not exist: 'Provided task does not exist'")
		}
		return err
	}
	err := f(arn, t)
	if errors.Is(err, asl.ErrNoSuchTask) || errors.Is(err, asl.ErrNotRunning) {
		return wire.Errorf("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
	}
	return err
}

func (s *StepFunctions) sendTaskSuccess(_ context.Context, in *sfn.SendTaskSuccessInput) (*sfn.SendTaskSuccessOutput, error) {
	if _, ok := executionOfToken(aws.ToString(in.TaskToken)); !ok { // AWS looks at the token first
		return nil, errInvalidToken
	}
	output := aws.ToString(in.Output)
	if len(output) > asl.MaxPayload {
		return nil, validation("output", "…", "Member must have length less than or equal to 262144")
	}
	if !json.Valid([]byte(output)) {
		return nil, wire.Errorf("InvalidOutput", "Invalid Output: 'The output is not valid JSON'")
	}
	return &sfn.SendTaskSuccessOutput{}, s.answer(in.TaskToken, func(arn, token string) error {
		return s.engine.TaskSucceeded(arn, token, output)
	})
}

func (s *StepFunctions) sendTaskFailure(_ context.Context, in *sfn.SendTaskFailureInput) (*sfn.SendTaskFailureOutput, error) {
	return &sfn.SendTaskFailureOutput{}, s.answer(in.TaskToken, func(arn, token string) error {
		return s.engine.TaskFailed(arn, token, asl.Failure{Error: aws.ToString(in.Error), Cause: aws.ToString(in.Cause)})
	})
}

func (s *StepFunctions) sendTaskHeartbeat(_ context.Context, in *sfn.SendTaskHeartbeatInput) (*sfn.SendTaskHeartbeatOutput, error) {
	return &sfn.SendTaskHeartbeatOutput{}, s.answer(in.TaskToken, s.engine.Heartbeat)
}
