package runs

import (
	"context"
	"log/slog"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// Ender closes the books of a run that ended and lets the next one begin.
type Ender struct {
	Ledger  *ledger.Ledger
	Starter *Starter
	Log     *slog.Logger
}

// Ended notes how a run ended, frees its lease, and asks for the follow-up run
// that carries the causes which came meanwhile. An execution that is no run of
// a pipeline is none of our business.
func (e *Ender) Ended(ctx context.Context, d events.ExecutionStatusChange) error {
	pipeline, run, ok := ledger.ParseExecutionName(d.Name)
	if !ok || !d.Ended() {
		e.Log.InfoContext(ctx, "execution is not the end of a run", "execution", d.Name, "status", d.Status)
		return nil
	}
	end := ledger.End{Pipeline: pipeline, Run: run, Status: d.Status, Error: d.Error, Cause: d.Cause, Stopped: d.Stopped.Time}
	if d.Status != events.ExecutionSucceeded && end.Error == "" {
		end.Error = d.Status // stopped or timed out: Step Functions gives no error then
	}
	if end.Stopped.IsZero() {
		end.Stopped = time.Unix(0, 0).UTC()
	}
	m, found, err := e.Ledger.Run(ctx, pipeline, run)
	if err != nil {
		return err
	}
	if err := e.Ledger.EndRun(ctx, end); err != nil {
		return err
	}
	if found && d.Status == events.ExecutionSucceeded && m.Kind == statemachine.KindTrain {
		train, err := m.Recipe.TrainDigest()
		if err != nil {
			return err
		}
		if err := e.Ledger.KeepTrained(ctx, pipeline, train, run); err != nil {
			return err
		}
	}
	e.Log.InfoContext(ctx, "run ended", "pipeline", pipeline, "run", run, "status", d.Status, "error", d.Error)
	for _, lane := range []string{statemachine.LaneTrain, statemachine.LaneServe} {
		if err := e.Ledger.Free(ctx, pipeline, lane, run); err != nil {
			return err
		}
		if err := e.Starter.Ask(ctx, pipeline, lane); err != nil {
			return err
		}
	}
	return nil
}
