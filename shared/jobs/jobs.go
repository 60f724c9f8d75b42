// Package jobs makes SageMaker requests of a definition and a recipe, starts
// them, and says what became of them. A job's name is deterministic, so
// starting it again finds what the first try made.
package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/statemachine"
)

// Starter is what starting jobs needs of SageMaker.
type Starter interface {
	CreateProcessingJob(context.Context, *sagemaker.CreateProcessingJobInput, ...func(*sagemaker.Options)) (*sagemaker.CreateProcessingJobOutput, error)
	CreateTrainingJob(context.Context, *sagemaker.CreateTrainingJobInput, ...func(*sagemaker.Options)) (*sagemaker.CreateTrainingJobOutput, error)
	CreateTransformJob(context.Context, *sagemaker.CreateTransformJobInput, ...func(*sagemaker.Options)) (*sagemaker.CreateTransformJobOutput, error)
}

// Describer is what asking after jobs needs of SageMaker.
type Describer interface {
	DescribeProcessingJob(context.Context, *sagemaker.DescribeProcessingJobInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeProcessingJobOutput, error)
	DescribeTrainingJob(context.Context, *sagemaker.DescribeTrainingJobInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeTrainingJobOutput, error)
	DescribeTransformJob(context.Context, *sagemaker.DescribeTransformJobInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeTransformJobOutput, error)
}

// Request is a job to start: exactly one of its fields is set.
type Request struct {
	Processing *sagemaker.CreateProcessingJobInput
	Training   *sagemaker.CreateTrainingJobInput
	Transform  *sagemaker.CreateTransformJobInput
}

// Kind is the kind of the job.
func (r Request) Kind() events.JobKind {
	switch {
	case r.Processing != nil:
		return events.Processing
	case r.Training != nil:
		return events.Training
	}
	return events.Transform
}

// Start starts a job. One of that name that is there already is what an earlier
// try made: no error.
func Start(ctx context.Context, client Starter, r Request) error {
	var err error
	var name *string
	switch r.Kind() {
	case events.Processing:
		name = r.Processing.ProcessingJobName
		_, err = client.CreateProcessingJob(ctx, r.Processing)
	case events.Training:
		name = r.Training.TrainingJobName
		_, err = client.CreateTrainingJob(ctx, r.Training)
	default:
		name = r.Transform.TransformJobName
		_, err = client.CreateTransformJob(ctx, r.Transform)
	}
	if err != nil && !awserr.IsExists(err) {
		return fmt.Errorf("start %s job %s: %w", r.Kind(), aws.ToString(name), err)
	}
	return nil
}

// Outcome is what became of a job.
type Outcome struct {
	Status  string         // as in package events: InProgress, Completed, …
	Facts   map[string]any // what the job's message says (processing)
	Model   string         // S3 URI of model.tar.gz (training)
	Failure error          // a *statemachine.Failure when the job did not do what it was for
}

// ErrNoJob says that there is no job of the name.
var ErrNoJob = errors.New("no such job")

// Describe asks SageMaker what became of a job; ErrNoJob when there is none.
func Describe(ctx context.Context, client Describer, kind events.JobKind, name string) (Outcome, error) {
	var o Outcome
	var err error
	switch kind {
	case events.Processing:
		var d *sagemaker.DescribeProcessingJobOutput
		if d, err = client.DescribeProcessingJob(ctx, &sagemaker.DescribeProcessingJobInput{ProcessingJobName: &name}); err == nil {
			o = processingOutcome(name, d)
		}
	case events.Training:
		var d *sagemaker.DescribeTrainingJobOutput
		if d, err = client.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: &name}); err == nil {
			o = trainingOutcome(name, d)
		}
	case events.Transform:
		var d *sagemaker.DescribeTransformJobOutput
		if d, err = client.DescribeTransformJob(ctx, &sagemaker.DescribeTransformJobInput{TransformJobName: &name}); err == nil {
			o = Outcome{Status: string(d.TransformJobStatus), Failure: failure("transform", name, string(d.TransformJobStatus), aws.ToString(d.FailureReason))}
		}
	default:
		return o, fmt.Errorf("describe job %s: unknown kind %q", name, kind)
	}
	if awserr.IsNotFound(err) {
		return o, fmt.Errorf("describe %s job %s: %w", kind, name, ErrNoJob)
	}
	if err != nil {
		return o, fmt.Errorf("describe %s job %s: %w", kind, name, err)
	}
	return o, nil
}

// message is what a processing job of ours writes for whoever waits: the rest
// of it are facts.
type message struct {
	OK      *bool  `json:"ok"`
	Error   string `json:"error"`
	Message string `json:"message"`
}

func processingOutcome(name string, d *sagemaker.DescribeProcessingJobOutput) Outcome {
	o := Outcome{Status: string(d.ProcessingJobStatus)}
	exit := aws.ToString(d.ExitMessage)
	var m message
	if json.Unmarshal([]byte(exit), &m) == nil && json.Unmarshal([]byte(exit), &o.Facts) == nil {
		for _, k := range []string{"ok", "error", "message"} {
			delete(o.Facts, k)
		}
	}
	reason := aws.ToString(d.FailureReason)
	if m.Message != "" && reason != "" && !interrupted(reason) {
		reason = m.Message + " (" + reason + ")"
	}
	o.Failure = failure("processing", name, o.Status, reason)
	if o.Status != events.JobCompleted {
		return o
	}
	switch {
	case m.OK == nil:
		o.Failure = statemachine.Failf(statemachine.ErrJobFailed, "processing job %s completed without saying what it did: its message is %q", name, exit)
	case !*m.OK:
		kind := m.Error
		if kind == "" {
			kind = statemachine.ErrJobFailed
		}
		o.Failure = statemachine.Failf(kind, "%s", m.Message)
	}
	return o
}

func trainingOutcome(name string, d *sagemaker.DescribeTrainingJobOutput) Outcome {
	o := Outcome{Status: string(d.TrainingJobStatus)}
	reason := aws.ToString(d.FailureReason)
	if d.SecondaryStatus == types.SecondaryStatusMaxRuntimeExceeded {
		reason = strings.TrimSpace("it ran longer than train.max_runtime allows. " + reason)
	}
	o.Failure = failure("training", name, o.Status, reason)
	if d.SecondaryStatus == types.SecondaryStatusMaxWaitTimeExceeded { // Stopped too, and nobody stopped it
		o.Failure = statemachine.Failf(statemachine.ErrJobInterrupted, "%s", strings.TrimSpace(fmt.Sprintf(
			"training job %s had no spot machine for long enough within train.max_wait. %s", name, reason)))
	}
	if d.ModelArtifacts != nil {
		o.Model = aws.ToString(d.ModelArtifacts.S3ModelArtifacts)
	}
	if o.Status == events.JobCompleted && o.Model == "" {
		o.Failure = statemachine.Failf(statemachine.ErrNoModel, "training job %s completed but wrote no model", name)
	}
	return o
}

// interrupted reports whether a job failed through no fault of its own.
func interrupted(reason string) bool {
	return strings.HasPrefix(reason, "InternalServerError") || strings.HasPrefix(reason, "CapacityError")
}

// failure names why a job that ended did not complete; nil for one that did or
// still runs.
func failure(kind, name, status, reason string) error {
	if reason == "" {
		reason = "SageMaker gives no reason; see the job's log"
	}
	switch status {
	case events.JobFailed:
		class := statemachine.ErrJobFailed
		if interrupted(reason) {
			class = statemachine.ErrJobInterrupted
		}
		return statemachine.Failf(class, "%s job %s failed: %s", kind, name, reason)
	case events.JobStopped:
		return statemachine.Failf(statemachine.ErrJobStopped, "%s job %s was stopped: %s", kind, name, reason)
	}
	return nil
}
