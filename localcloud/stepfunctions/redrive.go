package stepfunctions

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

const (
	redrivable  = 14 * 24 * time.Hour
	maxOpenTime = 365 * 24 * time.Hour
	// Client tokens are remembered so long, and so many of them.
	tokenAge  = 15 * time.Minute
	maxTokens = 10
)

// redrive is one that was asked for.
type redrive struct {
	Token string    `json:"token,omitempty"`
	At    time.Time `json:"at"`
}

// notRedrivable says why an execution cannot be redriven, in AWS's words; ""
// when it can.
func (s *StepFunctions) notRedrivable(e execution) string {
	now := s.o.Clock.Now()
	switch {
	case e.Status == asl.Running, e.Status == asl.Succeeded:
		return fmt.Sprintf("Execution is %s and cannot be redriven", e.Status)
	case e.Snapshot == nil:
		return "Execution was started before the launch of RedriveExecution"
	case now.Sub(e.Stopped) > redrivable:
		return "Execution redrivable period exceeded"
	case now.Sub(e.Info.Started) > maxOpenTime:
		return "Execution has exceeded the max execution time"
	case e.LastEvent >= asl.MaxEvents-1:
		return "Execution history event limit exceeded"
	}
	if m, ok, err := s.machines.Get(e.Info.MachineARN); err == nil && ok && m.Deleting {
		return "State machine is in DELETING status"
	}
	return ""
}

func (s *StepFunctions) redriveExecution(_ context.Context, in *sfn.RedriveExecutionInput) (*sfn.RedriveExecutionOutput, error) {
	arn, token := aws.ToString(in.ExecutionArn), aws.ToString(in.ClientToken)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.execution(arn)
	if err != nil {
		return nil, err
	}
	now := s.o.Clock.Now().Truncate(time.Millisecond)
	for _, r := range e.Redrives {
		if token != "" && r.Token == token && now.Sub(r.At) < tokenAge {
			return &sfn.RedriveExecutionOutput{RedriveDate: aws.Time(r.At)}, nil
		}
	}
	if why := s.notRedrivable(e); why != "" {
		return nil, wire.Errorf("ExecutionNotRedrivable", "%s", why)
	}
	program, err := s.machine(e.Digest)
	if err != nil {
		return nil, err
	}
	again := e
	again.Status, again.Stopped, again.Failure, again.Output, again.Announced = asl.Running, time.Time{}, nil, "", false
	again.Redrives = append(append([]redrive{}, e.Redrives...), redrive{Token: token, At: now})
	if n := len(again.Redrives); n > maxTokens {
		again.Redrives = again.Redrives[n-maxTokens:]
	}
	again.RedriveCount++
	s.starting(again)
	if err := s.engine.Redrive(program, e.Snapshot); err != nil {
		s.started(arn)
		if errors.Is(err, asl.ErrNotRedrivable) {
			return nil, wire.Errorf("ExecutionNotRedrivable", "%v", err)
		}
		return nil, err
	}
	return &sfn.RedriveExecutionOutput{RedriveDate: &now}, nil
}

// redriven is when an execution was redriven last; nil when it never was.
func (e execution) redriven() *time.Time {
	if len(e.Redrives) == 0 {
		return nil
	}
	return &e.Redrives[len(e.Redrives)-1].At
}

// redriveStatus tells whether an execution can be redriven, and if not, why.
func (s *StepFunctions) redriveStatus(e execution) (types.ExecutionRedriveStatus, *string) {
	if why := s.notRedrivable(e); why != "" {
		return types.ExecutionRedriveStatusNotRedrivable, &why
	}
	return types.ExecutionRedriveStatusRedrivable, nil
}
