package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/recipe"
	"github.com/millrace-ml/millrace/statemachine"
)

// Ended notes how a run ended, frees its lease, and asks for the follow-up run
// that carries the causes which came meanwhile. An execution that is no run of
// a pipeline is none of our business.
func (s *Starter) Ended(ctx context.Context, d events.ExecutionStatusChange) error {
	pipeline, run, ok := ledger.ParseExecutionName(d.Name)
	if !ok || !d.Ended() {
		s.Log.InfoContext(ctx, "execution is not the end of a run", "execution", d.Name, "status", d.Status)
		return nil
	}
	end := ledger.End{Pipeline: pipeline, Run: run, Status: d.Status, Error: d.Error, Cause: statemachine.PlainCause(d.Cause), Stopped: d.Stopped.Time}
	if d.Status != events.ExecutionSucceeded && end.Error == "" {
		end.Error = d.Status // stopped or timed out: Step Functions gives no error then
	}
	if end.Stopped.IsZero() {
		end.Stopped = time.Unix(0, 0).UTC()
	}
	m, found, err := s.Ledger.Run(ctx, pipeline, run)
	if err != nil {
		return err
	}
	if err := s.Ledger.EndRun(ctx, &end); err != nil {
		return err
	}
	if err := s.writePage(ctx, end, m); err != nil {
		return err
	}
	if err := s.keepTrained(ctx, m, end); err != nil {
		return err
	}
	if err := s.scoreRest(ctx, m, end); err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "run ended", "pipeline", pipeline, "run", run, "status", d.Status, "error", d.Error)
	lanes := []string{statemachine.LaneTrain, statemachine.LaneServe}
	for _, lane := range lanes {
		if err := s.Ledger.Free(ctx, pipeline, lane, run, !found && end.Error != ""); err != nil {
			return err
		}
	}
	var errs []error
	for _, lane := range lanes {
		errs = append(errs, s.follow(ctx, pipeline, lane))
	}
	return errors.Join(errs...)
}

// maxBarren bounds how many runs in a row may end before they have a manifest
// (a permission is missing, say) until the next one waits for a new cause.
const maxBarren = 3

// follow asks for the run that carries what came meanwhile.
func (s *Starter) follow(ctx context.Context, pipeline, lane string) error {
	lease, err := s.Ledger.Lease(ctx, pipeline, lane)
	if err != nil {
		return err
	}
	if lease.Barren >= maxBarren {
		s.Log.ErrorContext(ctx, "runs end before they have a plan: the causes wait for the next one", "pipeline", pipeline, "lane", lane, "run", lease.Run)
		return nil
	}
	return s.Ask(ctx, pipeline, lane)
}

// keepTrained notes that a training digest has had its answer: the run ended
// well, its version was released, or whoever had to approve it did not.
func (s *Starter) keepTrained(ctx context.Context, m ledger.Run, end ledger.End) error {
	if m.Kind != statemachine.KindTrain || m.Recipe == nil {
		return nil
	}
	serving, _, err := s.Ledger.InService(ctx, end.Pipeline)
	if err != nil {
		return err
	}
	_, released := serving.ReleaseOf(end.Run)
	if end.Error != "" && end.Error != statemachine.ErrApprovalRejected && end.Error != statemachine.ErrApprovalExpired && !released {
		return nil
	}
	train, err := m.Recipe.TrainDigest()
	if err != nil {
		return err
	}
	return s.Ledger.KeepTrained(ctx, end.Pipeline, train, end.Run)
}

// scoreRest makes a cause of the files that a run was to score and could not,
// because it had to refuse others among them.
func (s *Starter) scoreRest(ctx context.Context, m ledger.Run, end ledger.End) error {
	if end.Error == "" {
		return nil
	}
	rules, err := recipe.RulesDigest(m.Definition)
	if err != nil {
		return err
	}
	set, _, err := s.Ledger.Scores(ctx, end.Pipeline, end.Run)
	if err != nil {
		return err
	}
	rest := 0
	for _, f := range set.Files {
		_, refused, err := s.Ledger.Refused(ctx, end.Pipeline, f.Key, f.VersionID, rules)
		if err != nil {
			return err
		}
		if !refused {
			rest++
		}
	}
	if rest == 0 || rest == len(set.Files) {
		return nil
	}
	_, err = s.Ledger.AddCause(ctx, ledger.Cause{ID: ledger.ID("rest", end.Pipeline, fmt.Sprint(end.Run)), Pipeline: end.Pipeline,
		Kind: ledger.CauseScore, Time: end.Stopped})
	return err
}
