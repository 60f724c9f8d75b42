package runs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/jobs"
	"github.com/millrace-ml/millrace/shared/ledger"
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
		return s.answer(ctx, in.Token, step)
	}
	if found && step.Status == ledger.StepFailed {
		if step.Error != statemachine.ErrJobInterrupted {
			return s.answer(ctx, in.Token, step)
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
		return s.answer(ctx, in.Token, known)
	}
	step.Kind, step.Job, step.Digest, step.Outputs = string(plan.request.Kind()), plan.job.Name(), plan.digest, plan.outputs
	step.Status, step.Token, step.Error, step.Cause = ledger.StepWaiting, in.Token, "", ""
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
	return s.Finished(ctx, step.Job)
}

// Finished passes a job's end on to whoever waits for it. A job that nobody
// waits for, one that still runs and one whose end was passed on are no errors.
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
		log.InfoContext(ctx, "job's end passed on already", "pipeline", step.Pipeline, "run", step.Run, "step", step.Step)
		return nil
	}
	o, err := jobs.Describe(ctx, s.Jobs, events.JobKind(step.Kind), job)
	if err != nil {
		return err
	}
	if o.Failure == nil && o.Status != events.JobCompleted {
		return nil // still under way: its end will be told
	}
	settle(&step, o)
	if err := s.keep(ctx, step); err != nil {
		return err
	}
	if err := s.answer(ctx, step.Token, step); err != nil {
		return err
	}
	log.InfoContext(ctx, "job ended", "pipeline", step.Pipeline, "run", step.Run, "step", step.Step, "status", o.Status, "error", step.Error)
	return s.Ledger.SaveStep(ctx, step, etag)
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
	run, _, err := s.Ledger.Run(ctx, step.Pipeline, step.Run)
	if err != nil || run.Recipe == nil {
		return err
	}
	bad := map[string]bool{}
	keys, _ := step.Facts["refused"].([]any)
	for _, k := range keys {
		if key, ok := k.(string); ok {
			bad[key] = true
		}
	}
	for _, f := range run.Recipe.Dataset {
		if bad[f.Key] {
			if err := s.Ledger.Refuse(ctx, step.Pipeline, f.VersionID, ledger.LeftOut{Key: f.Key, Run: step.Run, Why: step.Cause}); err != nil {
				return err
			}
		}
	}
	return nil
}

func settle(step *ledger.Step, o jobs.Outcome) {
	step.Facts = o.Facts
	if o.Model != "" {
		step.Outputs = map[string]string{"model": o.Model}
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

// answer tells a waiting state what became of its step.
func (s *Steps) answer(ctx context.Context, token string, step ledger.Step) error {
	if step.Status == ledger.StepFailed {
		return fail(ctx, s.Answers, token, step.Error, step.Cause)
	}
	facts := step.Facts
	if facts == nil {
		facts = map[string]any{}
	}
	return succeed(ctx, s.Answers, token, statemachine.StepOutput{Job: step.Job, Reused: step.ReusedOf > 0, Facts: facts})
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
		cause = cause[:maxCause]
	}
	_, err := a.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: &token, Error: &name, Cause: &cause})
	if err != nil && !awserr.IsTokenGone(err) {
		return fmt.Errorf("send task failure: %w", err)
	}
	return nil
}
