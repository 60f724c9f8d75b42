package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/jobs"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/recipe"
	"github.com/millrace-ml/millrace/statemachine"
)

// answers is what answering a waiting state needs of Step Functions.
type answers interface {
	SendTaskSuccess(context.Context, *sfn.SendTaskSuccessInput, ...func(*sfn.Options)) (*sfn.SendTaskSuccessOutput, error)
	SendTaskFailure(context.Context, *sfn.SendTaskFailureInput, ...func(*sfn.Options)) (*sfn.SendTaskFailureOutput, error)
}

// sageMaker is what steps need of SageMaker.
type sageMaker interface {
	jobs.Starter
	jobs.Describer
}

// Limits of SendTaskFailure, in characters.
const (
	maxError = 256
	maxCause = 32_000
)

// Steps starts the jobs of a run and passes on what became of them.
type Steps struct {
	Ledger  *ledger.Ledger
	Jobs    sageMaker
	Answers answers
	Image   string // of the worker, pinned by digest
	Role    string // ARN of the jobs' role
	Log     *slog.Logger
}

// maxRaces bounds how often a step is read anew because somebody else wrote it.
const maxRaces = 10

// Begin sees to it that a step's job runs and that its end answers the token:
// first the token goes into the ledger, then the job is started. A step whose
// result is known is answered at once; a job that an earlier try started is
// found by its name; one that the platform interrupted is started anew under
// the next attempt's name.
func (s *Steps) Begin(ctx context.Context, in statemachine.StartJobInput) error {
	run, found, err := s.Ledger.Run(ctx, in.Pipeline, in.Run)
	if err != nil {
		return err
	}
	if !found {
		return statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has no manifest", in.Pipeline, in.Run)
	}
	for range maxRaces {
		err := s.begin(ctx, run, in)
		if !errors.Is(err, ledger.ErrConflict) {
			return err
		}
	}
	return statemachine.Failf(statemachine.ErrTransient, "step %s of %s/%d is written by several at once", in.Step, in.Pipeline, in.Run)
}

func (s *Steps) begin(ctx context.Context, run ledger.Run, in statemachine.StartJobInput) error {
	step, etag, found, err := s.Ledger.Step(ctx, in.Pipeline, in.Run, in.Step)
	if err != nil {
		return err
	}
	if found && step.Status == ledger.StepDone {
		return s.answer(ctx, step, in.Token)
	}
	if found && step.Status == ledger.StepFailed {
		// Only a new token is a new try: the same one comes from a try that
		// began this attempt and died, or was overtaken.
		if step.Error != statemachine.ErrJobInterrupted || slices.Contains(step.Tokens, in.Token) {
			return s.answer(ctx, step, in.Token)
		}
		step.Attempt++ // the state machine tries again what the platform interrupted
	}
	if !found {
		step = ledger.Step{Pipeline: in.Pipeline, Run: in.Run, Step: in.Step}
	}
	plan, err := s.plan(ctx, run, step)
	if err != nil {
		return err
	}
	if known, ok, err := s.Ledger.Result(ctx, in.Pipeline, plan.digest); err != nil {
		return err
	} else if ok {
		known.Run, known.Step, known.ReusedOf = in.Run, in.Step, known.Run
		if err := s.Ledger.SaveStep(ctx, known, etag); err != nil {
			return err
		}
		return s.answer(ctx, known, ledger.AddToken(step.Tokens, in.Token)...)
	}
	step.Kind, step.Job, step.Digest, step.Outputs = string(plan.request.Kind()), plan.job.Name(), plan.digest, plan.outputs
	step.Status, step.Tokens, step.Error, step.Cause, step.Facts = ledger.StepWaiting, ledger.AddToken(step.Tokens, in.Token), "", "", nil
	if err := s.Ledger.SaveStep(ctx, step, etag); err != nil {
		return err
	}
	if err := s.Ledger.Await(ctx, step); err != nil {
		return err
	}
	if err := s.writeInputs(ctx, plan); err != nil {
		return err
	}
	if err := jobs.Start(ctx, s.Jobs, plan.request); err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "job started", "pipeline", in.Pipeline, "run", in.Run, "step", in.Step, "job", step.Job)
	// The job may have been there before, and its end told to a token that is
	// no longer waited for.
	err = s.Finished(ctx, step.Job)
	if errors.Is(err, jobs.ErrNoJob) {
		return nil // it is so new that it cannot be seen yet: its end will be told
	}
	return err
}

// Finished passes a job's end on to whoever waits for it. A job that nobody
// waits for, one that still runs and one whose end was passed on are no errors.
//
// First the result goes into the ledger, then the state is answered: the next
// state reads it at once. So whoever finds a result there answers again, since
// the one who put it there may have died before answering.
func (s *Steps) Finished(ctx context.Context, job string) error {
	for range maxRaces {
		err := s.finished(ctx, job)
		if !errors.Is(err, ledger.ErrConflict) {
			return err
		}
	}
	return statemachine.Failf(statemachine.ErrTransient, "the step of job %s is written by several at once", job)
}

func (s *Steps) finished(ctx context.Context, job string) error {
	step, etag, found, err := s.Ledger.WaitingFor(ctx, job)
	if err != nil {
		return err
	}
	log := s.Log.With("job", job)
	if !found || step.Job != job {
		log.InfoContext(ctx, "nobody waits for this job")
		return nil
	}
	if step.Status != ledger.StepWaiting {
		log.InfoContext(ctx, "job's end is known already", "pipeline", step.Pipeline, "run", step.Run, "step", step.Step)
		return s.answer(ctx, step, step.Tokens...)
	}
	o, err := jobs.Describe(ctx, s.Jobs, events.JobKind(step.Kind), job)
	if err != nil {
		return err
	}
	if o.Failure == nil && o.Status != events.JobCompleted {
		return nil // still under way: its end will be told
	}
	if err := s.checkModel(ctx, job, &o); err != nil {
		return err
	}
	settle(&step, o)
	if err := s.keep(ctx, step); err != nil {
		return err
	}
	if err := s.Ledger.SaveStep(ctx, step, etag); err != nil {
		return err
	}
	log.InfoContext(ctx, "job ended", "pipeline", step.Pipeline, "run", step.Run, "step", step.Step, "status", o.Status, "error", step.Error)
	return s.answer(ctx, step, step.Tokens...)
}

// keep makes what a step found out known beyond its run.
func (s *Steps) keep(ctx context.Context, step ledger.Step) error {
	if step.Status == ledger.StepDone {
		return s.Ledger.KeepResult(ctx, step)
	}
	if step.Error != statemachine.ErrDataRejected {
		return nil
	}
	return s.refuse(ctx, step)
}

// refuse remembers the files that a job found to be bad, so that the next run
// is not stopped by them again; a new version of the file is read anew.
func (s *Steps) refuse(ctx context.Context, step ledger.Step) error {
	files, rules, err := s.read(ctx, step)
	if err != nil {
		return err
	}
	bad := map[string]bool{}
	keys, _ := step.Facts["refused"].([]any)
	for _, k := range keys {
		if key, ok := k.(string); ok {
			bad[key] = true
		}
	}
	for _, f := range files {
		if bad[f.Key] {
			if err := s.Ledger.Refuse(ctx, step.Pipeline, f.VersionID, rules, ledger.LeftOut{Key: f.Key, Run: step.Run, Why: step.Cause}); err != nil {
				return err
			}
		}
	}
	return nil
}

// read is the uploaded files that a step reads, and the digest of the rules that
// it holds them against.
func (s *Steps) read(ctx context.Context, step ledger.Step) (files []jobfile.DataFile, rules string, err error) {
	run, _, err := s.Ledger.Run(ctx, step.Pipeline, step.Run)
	if err != nil {
		return nil, "", err
	}
	if rules, err = recipe.RulesDigest(run.Definition); err != nil {
		return nil, "", err
	}
	switch {
	case step.Step == statemachine.StepPrepareScores:
		set, _, err := s.Ledger.Scores(ctx, step.Pipeline, step.Run)
		return set.Files, rules, err
	case run.Recipe != nil:
		return run.Recipe.Dataset, rules, nil
	}
	return nil, rules, nil
}

// needed are the facts by which the state machine decides, by step: a state that
// looks for one in vain ends the execution, and no Catch sees it.
var needed = map[string]map[string]func(any) bool{
	statemachine.StepEvaluate:      {"promote": is[bool], "why": is[string]},
	statemachine.StepPrepareScores: {"rows": is[float64]},
}

func is[T any](v any) bool { _, ok := v.(T); return ok }

func settle(step *ledger.Step, o jobs.Outcome) {
	step.Facts = o.Facts
	if o.Model != "" {
		step.Outputs = map[string]string{"model": o.Model}
	}
	if o.Failure == nil {
		for _, name := range slices.Sorted(maps.Keys(needed[step.Step])) {
			if !needed[step.Step][name](o.Facts[name]) {
				o.Failure = statemachine.Failf(statemachine.ErrJobFailed, "job %s completed, but its message does not say %s", step.Job, name)
			}
		}
	}
	if o.Failure == nil {
		step.Status = ledger.StepDone
		return
	}
	step.Status, step.Error, step.Cause = ledger.StepFailed, statemachine.ErrJobFailed, o.Failure.Error()
	var f *statemachine.Failure
	if errors.As(o.Failure, &f) {
		step.Error, step.Cause = f.Name, f.Err.Error()
	}
}

// answer tells a waiting state what became of its step. All tokens are answered:
// which of a state's tries still waits only Step Functions knows.
func (s *Steps) answer(ctx context.Context, step ledger.Step, tokens ...string) error {
	if step.Status == ledger.StepFailed {
		return each(tokens, func(token string) error { return fail(ctx, s.Answers, token, step.Error, step.Cause) })
	}
	facts := step.Facts
	if facts == nil {
		facts = map[string]any{}
	}
	out := statemachine.StepOutput{Job: step.Job, Reused: step.ReusedOf > 0, Facts: facts}
	return each(tokens, func(token string) error { return succeed(ctx, s.Answers, token, out) })
}

// each does something for all tokens, whatever becomes of the others.
func each(tokens []string, do func(string) error) error {
	var errs []error
	for _, t := range tokens {
		errs = append(errs, do(t))
	}
	return errors.Join(errs...)
}

// succeed answers a token; one that was answered before is benign.
func succeed(ctx context.Context, a answers, token string, output any) error {
	raw, err := json.Marshal(output)
	if err != nil {
		return fmt.Errorf("encode task output: %w", err)
	}
	_, err = a.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: &token, Output: aws.String(string(raw))})
	if err != nil && !awserr.IsTokenGone(err) {
		return fmt.Errorf("send task success: %w", err)
	}
	return nil
}

// fail answers a token with an error; one that was answered before is benign.
func fail(ctx context.Context, a answers, token, name, cause string) error {
	if len(name) > maxError {
		name = name[:maxError]
	}
	if len(cause) > maxCause {
		cause = strings.ToValidUTF8(cause[:maxCause], "")
	}
	_, err := a.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: &token, Error: &name, Cause: &cause})
	if err != nil && !awserr.IsTokenGone(err) {
		return fmt.Errorf("send task failure: %w", err)
	}
	return nil
}
