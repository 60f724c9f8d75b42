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
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// Definitions finds a pipeline's definition; nil without error when there is no
// such pipeline.
type Definitions func(pipeline string) (*definition.Definition, error)

// executions is what starting runs needs of Step Functions.
type executions interface {
	StartExecution(context.Context, *sfn.StartExecutionInput, ...func(*sfn.Options)) (*sfn.StartExecutionOutput, error)
}

// Starter begins runs: one at a time in a lane of a pipeline.
type Starter struct {
	Ledger       *ledger.Ledger
	Executions   executions
	StateMachine string // ARN
	Definitions  Definitions
	Log          *slog.Logger
}

// Ask sees to it that the causes in a lane's inbox lead to a run: it begins one
// when the lane is free, and leaves them to the run that holds it otherwise.
// The execution of a run whose starter died is started here too.
func (s *Starter) Ask(ctx context.Context, pipeline, lane string) error {
	for {
		lease, err := s.Ledger.Lease(ctx, pipeline, lane)
		if err != nil {
			return err
		}
		if lease.Held && lease.Started {
			return nil
		}
		if lease.Held {
			return s.start(ctx, pipeline, lane, lease)
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
