// Package runs decides what happens in a run: when one begins, what it does,
// what its jobs' results mean, and how it ends. The functions only adapt events
// and task inputs to it.
//
// Everything here may be called twice with the same thing, late or out of
// order, and may have died halfway the last time: what is written is written
// conditionally, and what was begun is found again by its name.
package runs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// Definitions finds a pipeline's definition; nil without error when there is no
// such pipeline.
type Definitions func(pipeline string) (*definition.Definition, error)

// executions is what runs need of Step Functions.
type executions interface {
	DescribeExecution(context.Context, *sfn.DescribeExecutionInput, ...func(*sfn.Options)) (*sfn.DescribeExecutionOutput, error)
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
}

// Starter begins runs, one at a time in a lane of a pipeline, and closes the
// books of those that ended.
type Starter struct {
	Ledger       *ledger.Ledger
	Executions   executions
	StateMachine string // ARN
	Definitions  Definitions
	Log          *slog.Logger
}

// Ask sees to it that the causes in a lane's inbox lead to a run: it begins one
// when the lane is free, and leaves them to the run that holds it otherwise,
// if that one is really on its way.
func (s *Starter) Ask(ctx context.Context, pipeline, lane string) error {
	for {
		lease, err := s.Ledger.Lease(ctx, pipeline, lane)
		if err != nil {
			return err
		}
		if lease.Held {
			if over, err := s.attend(ctx, pipeline, lane, lease); err != nil || !over {
				return err
			}
			continue
		}
		causes, err := s.Ledger.PendingCauses(ctx, pipeline, lane)
		if err != nil || len(causes) == 0 {
			return err
		}
		d, err := s.Definitions(pipeline)
		if err != nil {
			return err
		}
		if d == nil {
			return statemachine.Failf(statemachine.ErrInvalid, "no pipeline is named %q any more, but causes wait for it", pipeline)
		}
		lease, won, err := s.Ledger.Claim(ctx, pipeline, lane, func(run int) (json.RawMessage, error) {
			return json.Marshal(statemachine.RunInput{Pipeline: pipeline, Run: run, Lane: lane, Quiet: int(d.Retrain.Quiet / time.Second),
				Snapshot: statemachine.SettledSoFar{Seen: len(causes)}})
		})
		if err != nil {
			return err
		}
		if won {
			return s.start(ctx, pipeline, lane, lease)
		}
	}
}

// attend sees to it that the run that holds a lane is on its way. It starts the
// execution of a run whose starter died, and does what the event of a run's end
// would have done when that never came: over is true then.
func (s *Starter) attend(ctx context.Context, pipeline, lane string, lease ledger.Lease) (over bool, err error) {
	if !lease.Started {
		return false, s.start(ctx, pipeline, lane, lease)
	}
	name := ledger.ExecutionName(pipeline, lease.Run)
	arn := ExecutionARN(s.StateMachine, name)
	d, err := s.Executions.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
	switch {
	case awserr.IsNotFound(err):
		// So new that it cannot be seen yet: starting it again does nothing. Or
		// gone with its state machine: then the run goes on from the ledger.
		return false, s.start(ctx, pipeline, lane, lease)
	case awserr.IsTransient(err):
		// A thousand uploads look at once. The cause is in the inbox, where the run
		// finds it, or the next one who looks does.
		s.Log.WarnContext(ctx, "cannot see whether the run is on its way", "pipeline", pipeline, "run", lease.Run, "lane", lane, "error", err.Error())
		return false, nil
	case err != nil:
		return false, fmt.Errorf("describe execution %s: %w", name, err)
	}
	end := events.ExecutionStatusChange{ExecutionARN: arn, StateMachineARN: s.StateMachine, Name: name, Status: string(d.Status),
		Stopped: events.Time{Time: aws.ToTime(d.StopDate).UTC()}, Error: aws.ToString(d.Error), Cause: aws.ToString(d.Cause)}
	if !end.Ended() {
		return false, nil
	}
	s.Log.WarnContext(ctx, "the end of the run was not told yet", "pipeline", pipeline, "run", lease.Run, "lane", lane, "status", end.Status)
	return true, s.Ended(ctx, end)
}

// start starts the execution of a run that holds its lane. One that is there is
// the same one.
func (s *Starter) start(ctx context.Context, pipeline, lane string, lease ledger.Lease) error {
	name := ledger.ExecutionName(pipeline, lease.Run)
	_, err := s.Executions.StartExecution(ctx, &sfn.StartExecutionInput{
		StateMachineArn: &s.StateMachine, Name: &name, Input: aws.String(compact(lease.Input))})
	if err != nil && !awserr.IsExists(err) {
		return fmt.Errorf("start execution %s: %w", name, err)
	}
	s.Log.InfoContext(ctx, "run started", "pipeline", pipeline, "run", lease.Run, "lane", lane, "execution", name)
	return s.Ledger.MarkStarted(ctx, pipeline, lane, lease.Run)
}

// ExecutionARN is the ARN of a state machine's execution.
func ExecutionARN(stateMachine, name string) string {
	return strings.Replace(stateMachine, ":stateMachine:", ":execution:", 1) + ":" + name
}

// compact makes the same text of an input however it was kept: Step Functions
// compares inputs as text.
func compact(raw json.RawMessage) string {
	var in statemachine.RunInput
	if json.Unmarshal(raw, &in) != nil {
		return string(raw)
	}
	out, _ := json.Marshal(in)
	return string(out)
}
