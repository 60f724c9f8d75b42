package runs

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/recipe"
	"github.com/millrace-ml/millrace/statemachine"
)

// maxRounds bounds how often uploads may put off a run.
const maxRounds = 20

// pendingSlack is how long a job may wait for its machine on top of its own
// time limit.
const pendingSlack = time.Hour

// Planner makes a run's plan when its uploads have settled.
type Planner struct {
	Ledger      *ledger.Ledger
	Dataset     *Dataset
	Definitions Definitions
	Image       string // of the worker, pinned by digest
	Log         *slog.Logger
}

// Plan takes the causes that wait in the run's lane and decides what the run
// does, once: asked again it says the same. Settled is false when more causes
// came since the last look.
func (p *Planner) Plan(ctx context.Context, in statemachine.SnapshotInput) (statemachine.SnapshotOutput, error) {
	run, found, err := p.Ledger.Run(ctx, in.Pipeline, in.Run)
	if err != nil {
		return statemachine.SnapshotOutput{}, err
	}
	if !found {
		causes, err := p.Ledger.PendingCauses(ctx, in.Pipeline, in.Lane)
		if err != nil {
			return statemachine.SnapshotOutput{}, err
		}
		if len(causes) > in.Seen && in.Round < maxRounds {
			return statemachine.SnapshotOutput{Seen: len(causes), Round: in.Round + 1}, nil
		}
		if run, err = p.decide(ctx, in, causes); err != nil {
			return statemachine.SnapshotOutput{}, err
		}
		if err := p.Ledger.CreateRun(ctx, &run); err != nil {
			return statemachine.SnapshotOutput{}, err
		}
	}
	if err := p.Ledger.TakeCauses(ctx, run.Run, run.Causes); err != nil {
		return statemachine.SnapshotOutput{}, err
	}
	p.Log.InfoContext(ctx, "run planned", "pipeline", run.Pipeline, "run", run.Run, "kind", run.Kind, "why", run.Why)
	return statemachine.SnapshotOutput{Settled: true, Seen: len(run.Causes), Kind: run.Kind, Why: run.Why, Recipe: run.Digest,
		ApproveBy: run.Definition.Approve.By, Timeouts: timeouts(run.Definition)}, nil
}

func (p *Planner) decide(ctx context.Context, in statemachine.SnapshotInput, causes []ledger.Cause) (ledger.Run, error) {
	run := ledger.Run{Pipeline: in.Pipeline, Run: in.Run, Lane: in.Lane, Causes: causes}
	d, err := p.Definitions(in.Pipeline)
	if err != nil {
		return run, err
	}
	if d == nil {
		return run, statemachine.Failf(statemachine.ErrInvalid, "no pipeline is named %q", in.Pipeline)
	}
	run.Definition = *d
	if len(causes) == 0 { // another run carried them, between the look and the lease
		run.Kind, run.Why = statemachine.KindNothing, "an earlier run has answered all that was asked"
		return run, nil
	}
	if in.Lane == statemachine.LaneServe {
		return run, p.decideServe(ctx, &run)
	}
	return run, p.decideTrain(ctx, &run)
}

func (p *Planner) decideTrain(ctx context.Context, run *ledger.Run) error {
	rules, err := recipe.RulesDigest(run.Definition)
	if err != nil {
		return err
	}
	files, left, err := p.Dataset.Files(ctx, run.Pipeline, RawFolder, rules)
	if err != nil {
		return err
	}
	files, unfit, err := p.Dataset.leaveUnfit(ctx, run.Pipeline, rules, run.Run, files)
	if err != nil {
		return err
	}
	run.Left = append(left, unfit...)
	if len(files) == 0 {
		run.Kind, run.Why = statemachine.KindNothing, "there are no uploads to learn from in "+run.Pipeline+"/"+RawFolder+"/"+leftInWords(run.Left)
		return nil
	}
	if err := p.Dataset.Pin(ctx, run.Pipeline, files); err != nil {
		return err
	}
	r := recipe.New(run.Definition, files, p.Image)
	run.Recipe = &r
	if run.Digest, err = r.Digest(); err != nil {
		return err
	}
	train, err := r.TrainDigest()
	if err != nil {
		return err
	}
	before, err := p.Ledger.TrainedBy(ctx, run.Pipeline, train)
	if err != nil {
		return err
	}
	if before > 0 {
		run.Kind, run.Why = statemachine.KindNothing, fmt.Sprintf("run %d has trained from the same data, features and code", before)
		return nil
	}
	run.Kind, run.Why = statemachine.KindTrain, fmt.Sprintf("%s: %s", causesInWords(run.Causes), filesInWords(len(files), run.Left))
	return nil
}

func (p *Planner) decideServe(ctx context.Context, run *ledger.Run) error {
	for _, c := range run.Causes {
		if c.Kind == ledger.CauseRelease { // the newest one counts: causes are sorted by time
			run.Kind, run.Version = statemachine.KindRelease, c.Version
			run.Why = fmt.Sprintf("version %d was approved again", c.Version)
		}
	}
	if run.Kind == statemachine.KindRelease {
		return nil
	}
	serving, found, err := p.Ledger.InService(ctx, run.Pipeline)
	if err != nil {
		return err
	}
	if !found {
		run.Kind, run.Why = statemachine.KindNoModel, "no version is in service yet: the files are kept and scored when the first one is released"
		return nil
	}
	set, err := p.Dataset.ClaimScores(ctx, run.Definition, run.Run)
	if err != nil {
		return err
	}
	if len(set.Files) == 0 {
		run.Kind, run.Why = statemachine.KindNothing, "all files in "+run.Pipeline+"/"+ScoreFolder+"/ are scored or being scored"
		return nil
	}
	run.Kind, run.Why = statemachine.KindScore, fmt.Sprintf("%s to score with version %d", plural(len(set.Files), "file"), serving.Version)
	return nil
}

func causesInWords(causes []ledger.Cause) string {
	uploads, scheduled := 0, false
	for _, c := range causes {
		if c.Kind == ledger.CauseSchedule {
			scheduled = true
		} else {
			uploads++
		}
	}
	var parts []string
	if uploads > 0 {
		parts = append(parts, plural(uploads, "upload"))
	}
	if scheduled {
		parts = append(parts, "the schedule")
	}
	return strings.Join(parts, " and ")
}

func filesInWords(n int, left []ledger.LeftOut) string {
	return plural(n, "file") + " to learn from" + leftInWords(left)
}

func leftInWords(left []ledger.LeftOut) string {
	if len(left) == 0 {
		return ""
	}
	return fmt.Sprintf(", %s left out that an earlier run refused", plural(len(left), "file"))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// timeouts are how long the state machine waits for each step, in seconds.
func timeouts(d definition.Definition) map[string]int {
	wait := func(r definition.Resources) int { return int((r.MaxRuntime + pendingSlack) / time.Second) }
	train := d.Train.Resources
	train.MaxRuntime = max(train.MaxRuntime, d.Train.MaxWait)
	return map[string]int{
		"prepare": wait(d.Prepare), "train": wait(train), "evaluate": wait(d.Evaluate.Resources),
		"prepare_scores": wait(d.Prepare), "score": wait(d.Release.Resources),
		"approval": int(d.Approve.Within / time.Second),
	}
}
