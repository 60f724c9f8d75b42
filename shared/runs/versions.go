package runs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/statemachine"
)

// expired is how a version's decision is noted when nobody made one.
const expired = "Expired"

// Versions registers what runs trained, waits for decisions, and puts versions
// in service.
type Versions struct {
	Ledger   *ledger.Ledger
	Registry *registry.Registry
	Answers  answers
	Dataset  *Dataset // for what waits to be scored
	Role     string   // ARN of the jobs' role
	Log      *slog.Logger
}

// Register makes a version of the run's model, once.
func (v *Versions) Register(ctx context.Context, pipeline string, run int) (statemachine.PackageOutput, error) {
	p, found, err := v.Ledger.Package(ctx, pipeline, run)
	if err != nil {
		return statemachine.PackageOutput{}, err
	}
	if !found {
		if p, err = v.register(ctx, pipeline, run); err != nil {
			return statemachine.PackageOutput{}, err
		}
		if err := v.Ledger.CreatePackage(ctx, pipeline, run, &p); err != nil {
			return statemachine.PackageOutput{}, err
		}
	}
	// Whoever hears of a decision finds here which run it concerns. What the
	// policy approved is decided: approving it again is a wish to go back to it.
	d := ledger.Decision{Version: p.Version, Run: run}
	if p.Approved {
		ver, err := v.Registry.Version(ctx, p.ARN)
		if err != nil {
			return statemachine.PackageOutput{}, err
		}
		d.Status, d.Decided = events.Approved, ver.Changed
	}
	err = v.Ledger.SaveDecision(ctx, pipeline, d, "")
	if err != nil && !errors.Is(err, ledger.ErrConflict) {
		return statemachine.PackageOutput{}, err
	}
	return statemachine.PackageOutput{ARN: p.ARN, Version: p.Version, Report: p.Report}, nil
}

func (v *Versions) register(ctx context.Context, pipeline string, run int) (ledger.Package, error) {
	m, found, err := v.Ledger.Run(ctx, pipeline, run)
	if err != nil {
		return ledger.Package{}, err
	}
	if !found || m.Recipe == nil {
		return ledger.Package{}, statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has no recipe to register", pipeline, run)
	}
	steps := map[string]ledger.Step{}
	for _, name := range []string{statemachine.StepPrepare, statemachine.StepTrain, statemachine.StepEvaluate} {
		s, _, found, err := v.Ledger.Step(ctx, pipeline, run, name)
		if err != nil {
			return ledger.Package{}, err
		}
		if !found || s.Status != ledger.StepDone {
			return ledger.Package{}, statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has no result of step %s", pipeline, run, name)
		}
		steps[name] = s
	}
	train, err := m.Recipe.TrainDigest()
	if err != nil {
		return ledger.Package{}, err
	}
	evaluation := steps[statemachine.StepEvaluate].Outputs["evaluation"]
	why, _ := steps[statemachine.StepEvaluate].Facts["why"].(string)
	c := registry.Candidate{
		Pipeline: pipeline, Run: run, Image: m.Recipe.Image, ModelData: steps[statemachine.StepTrain].Outputs["model"],
		Recipe: m.Digest, TrainDigest: train, Evaluation: evaluation + "evaluation.json", Report: evaluation + "report.html",
		Baseline: steps[statemachine.StepPrepare].Outputs["baseline"], Instance: m.Definition.Release.Instance,
		Approved: m.Definition.Approve.By == "policy", Description: fmt.Sprintf("Run %s/%d. %s", pipeline, run, why),
	}
	arn, version, err := v.Registry.Register(ctx, c)
	return ledger.Package{ARN: arn, Version: version, Report: c.Report, Approved: c.Approved}, err
}

// Await puts away the token of the state that waits for a decision. A decision
// that came before the token is answered here.
func (v *Versions) Await(ctx context.Context, pipeline string, run int, token string) error {
	p, found, err := v.Ledger.Package(ctx, pipeline, run)
	if err != nil {
		return err
	}
	if !found {
		return statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has registered no version to wait for", pipeline, run)
	}
	// A decision that an earlier try's token was told must be told to this one too.
	err = v.changeDecision(ctx, pipeline, p.Version, func(d *ledger.Decision) bool {
		d.Run, d.Tokens, d.Status, d.Decided = run, ledger.AddToken(d.Tokens, token), "", time.Time{}
		return true
	})
	if err != nil {
		return err
	}
	ver, err := v.Registry.Version(ctx, p.ARN)
	if err != nil || !registry.Decided(ver.Approval) {
		return err
	}
	_, err = v.Decided(ctx, Decision{Pipeline: pipeline, Version: p.Version, Approval: ver.Approval, Comment: ver.Comment, At: ver.Changed})
	return err
}

// Decision is what the registry says of a version.
type Decision struct {
	Pipeline string
	Version  int
	Approval string // events.Approved or events.Rejected
	Comment  string
	At       time.Time // of the change; zero when the event does not say
	EventID  string
}

// Decided passes a decision on to the run that waits for it. When none waits any
// more, approving the version asks for a release run, whose cause is returned.
func (v *Versions) Decided(ctx context.Context, d Decision) (*ledger.Cause, error) {
	log := v.Log.With("pipeline", d.Pipeline, "version", d.Version, "approval", d.Approval)
	for range maxRaces {
		known, etag, found, err := v.Ledger.Decision(ctx, d.Pipeline, d.Version)
		if err != nil {
			return nil, err
		}
		if found && known.Status != "" {
			if told(known, d) {
				log.InfoContext(ctx, "decision known already")
				return nil, nil
			}
			return v.again(ctx, d)
		}
		if !found {
			if known.Run, err = v.madeBy(ctx, d); err != nil {
				return nil, err
			}
		}
		end, ended, err := v.Ledger.Ended(ctx, d.Pipeline, known.Run)
		if err != nil {
			return nil, err
		}
		switch {
		case known.Run == 0, ended && end.Error != "": // no run made it, or its run failed before it heard
			return v.again(ctx, d)
		case len(known.Tokens) == 0:
			log.InfoContext(ctx, "decided before the run waits; it will look")
			return nil, nil
		}
		if err := v.answerDecision(ctx, known, d); err != nil {
			return nil, err
		}
		known.Status, known.Decided, known.Comment = d.Approval, d.At, d.Comment
		if err := v.Ledger.SaveDecision(ctx, d.Pipeline, known, etag); !errors.Is(err, ledger.ErrConflict) {
			return nil, err
		}
		// A new token was put away meanwhile.
	}
	return nil, statemachine.Failf(statemachine.ErrTransient, "the decision on %s version %d is written by several at once", d.Pipeline, d.Version)
}

// told reports whether a decision is the one that is known, or older. The event
// and the registry's answer may cut the time differently.
func told(known ledger.Decision, d Decision) bool {
	at, was := d.At.Truncate(time.Second), known.Decided.Truncate(time.Second)
	return at.Before(was) || at.Equal(was) && d.Approval == known.Status
}

// madeBy is the run that registered a version of which the ledger knows nothing
// yet; 0 when it was no run.
func (v *Versions) madeBy(ctx context.Context, d Decision) (int, error) {
	arn, found, err := v.Registry.ARN(ctx, d.Pipeline, d.Version)
	if err != nil || !found {
		return 0, err
	}
	ver, err := v.Registry.Version(ctx, arn)
	return ver.Run, err
}

// again handles a decision on a version for which no run waits.
func (v *Versions) again(ctx context.Context, d Decision) (*ledger.Cause, error) {
	log := v.Log.With("pipeline", d.Pipeline, "version", d.Version, "approval", d.Approval)
	serving, found, err := v.Ledger.InService(ctx, d.Pipeline)
	if err != nil {
		return nil, err
	}
	if d.Approval != events.Approved || found && serving.Version == d.Version {
		log.InfoContext(ctx, "no run waits for this decision")
		return nil, nil
	}
	log.InfoContext(ctx, "approved again: a release run follows")
	return &ledger.Cause{ID: ledger.ID("release", d.Pipeline, fmt.Sprint(d.Version), d.At.UTC().Format(time.RFC3339Nano)), Pipeline: d.Pipeline,
		Kind: ledger.CauseRelease, Version: d.Version, Time: d.At.UTC(), EventID: d.EventID}, nil
}

func (v *Versions) answerDecision(ctx context.Context, known ledger.Decision, d Decision) error {
	if d.Approval == events.Approved {
		out := map[string]any{"approval": d.Approval, "comment": d.Comment}
		return each(known.Tokens, func(token string) error { return succeed(ctx, v.Answers, token, out) })
	}
	reason := d.Comment
	if reason == "" {
		reason = "no comment was given"
	}
	cause := fmt.Sprintf("version %d of %s was rejected: %s", d.Version, d.Pipeline, reason)
	return each(known.Tokens, func(token string) error { return fail(ctx, v.Answers, token, statemachine.ErrApprovalRejected, cause) })
}

func (v *Versions) changeDecision(ctx context.Context, pipeline string, version int, change func(*ledger.Decision) bool) error {
	for range maxRaces {
		d, etag, _, err := v.Ledger.Decision(ctx, pipeline, version)
		if err != nil {
			return err
		}
		d.Version = version
		if !change(&d) {
			return nil
		}
		if err := v.Ledger.SaveDecision(ctx, pipeline, d, etag); !errors.Is(err, ledger.ErrConflict) {
			return err
		}
	}
	return statemachine.Failf(statemachine.ErrTransient, "the decision on %s version %d is written by several at once", pipeline, version)
}

// Expire rejects the run's version because nobody decided in time, and gives the
// error that the run ends with. A decision that came at the last moment counts,
// also when its event is still on the way.
func (v *Versions) Expire(ctx context.Context, pipeline string, run int) (statemachine.ExpireOutput, error) {
	p, found, err := v.Ledger.Package(ctx, pipeline, run)
	if err != nil {
		return statemachine.ExpireOutput{}, err
	}
	if !found {
		return statemachine.ExpireOutput{}, statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has registered no version", pipeline, run)
	}
	m, _, err := v.Ledger.Run(ctx, pipeline, run)
	if err != nil {
		return statemachine.ExpireOutput{}, err
	}
	d, _, _, err := v.Ledger.Decision(ctx, pipeline, p.Version)
	if err != nil {
		return statemachine.ExpireOutput{}, err
	}
	ver, err := v.Registry.Version(ctx, p.ARN)
	if err != nil {
		return statemachine.ExpireOutput{}, err
	}
	decided := registry.Decided(ver.Approval)
	if decided && d.Status != expired { // else an earlier try has come further
		return v.atLast(ctx, ver)
	}
	why := fmt.Sprintf("nobody decided on version %d of %s within %s; approve it to release it after all", p.Version, pipeline, words(m.Definition.Approve.Within))
	// First the ledger, so that the event of our own rejection finds it decided.
	err = v.changeDecision(ctx, pipeline, p.Version, func(d *ledger.Decision) bool {
		if d.Status != "" {
			return false
		}
		d.Status = expired
		return true
	})
	if err != nil {
		return statemachine.ExpireOutput{}, err
	}
	if !decided {
		if err := v.Registry.Decide(ctx, p.ARN, events.Rejected, why); err != nil {
			return statemachine.ExpireOutput{}, err
		}
	}
	return statemachine.ExpireOutput{Error: statemachine.ErrApprovalExpired, Cause: why}, nil
}

// atLast is the outcome when somebody decided while the wait ran out.
func (v *Versions) atLast(ctx context.Context, ver registry.Version) (statemachine.ExpireOutput, error) {
	err := v.changeDecision(ctx, ver.Pipeline, ver.Version, func(d *ledger.Decision) bool {
		if d.Status != "" {
			return false
		}
		d.Status, d.Decided, d.Comment = ver.Approval, ver.Changed, ver.Comment
		return true
	})
	if ver.Approval == events.Approved {
		return statemachine.ExpireOutput{Approved: true}, err
	}
	return statemachine.ExpireOutput{Error: statemachine.ErrApprovalRejected,
		Cause: fmt.Sprintf("version %d of %s was rejected: %s", ver.Version, ver.Pipeline, ver.Comment)}, err
}

// words writes a duration as people do: 168h, not 168h0m0s.
func words(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Release puts the run's version in service and says whether rows wait for it.
// Nothing is released that the registry does not hold approved.
func (v *Versions) Release(ctx context.Context, pipeline string, run int) (statemachine.ReleaseOutput, error) {
	var out statemachine.ReleaseOutput
	m, found, err := v.Ledger.Run(ctx, pipeline, run)
	if err != nil {
		return out, err
	}
	if !found {
		return out, statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has no manifest", pipeline, run)
	}
	arn, err := v.toRelease(ctx, m)
	if err != nil {
		return out, err
	}
	ver, err := v.Registry.Version(ctx, arn)
	if err != nil {
		return out, err
	}
	if ver.Approval != events.Approved {
		return out, statemachine.Failf(statemachine.ErrApprovalRejected, "version %d of %s is not approved any more: it is %s", ver.Version, pipeline, ver.Approval)
	}
	model, err := v.Registry.Model(ctx, ver, v.Role)
	if err != nil {
		return out, err
	}
	serving, err := v.Ledger.PutInService(ctx, pipeline, ledger.InService{Version: ver.Version, Package: ver.ARN, Model: model,
		ModelData: ver.ModelData, TrainDigest: ver.TrainDigest, Baseline: ver.Baseline, Run: run})
	if err != nil {
		return out, err
	}
	set, err := v.Dataset.ClaimScores(ctx, m.Definition, run)
	if err != nil {
		return out, err
	}
	v.Log.InfoContext(ctx, "version in service", "pipeline", pipeline, "run", run, "version", ver.Version, "previous", serving.Previous)
	return statemachine.ReleaseOutput{Version: ver.Version, Model: model, Previous: serving.Previous, Score: len(set.Files) > 0}, nil
}

func (v *Versions) toRelease(ctx context.Context, m ledger.Run) (arn string, err error) {
	if m.Version == 0 {
		p, found, err := v.Ledger.Package(ctx, m.Pipeline, m.Run)
		if err == nil && !found {
			err = statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has registered no version to release", m.Pipeline, m.Run)
		}
		return p.ARN, err
	}
	arn, found, err := v.Registry.ARN(ctx, m.Pipeline, m.Version)
	if err == nil && !found {
		err = statemachine.Failf(statemachine.ErrInvalid, "%s has no version %d", m.Pipeline, m.Version)
	}
	return arn, err
}
