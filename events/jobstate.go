package events

import "encoding/json"

// Source and detail-types of SageMaker's job events.
const (
	SourceSageMaker   = "aws.sagemaker"
	TypeProcessingJob = "SageMaker Processing Job State Change"
	TypeTrainingJob   = "SageMaker Training Job State Change"
	TypeTransformJob  = "SageMaker Transform Job State Change"
)

// JobKind tells SageMaker's three kinds of jobs apart.
type JobKind string

// The kinds of jobs.
const (
	Processing JobKind = "processing"
	Training   JobKind = "training"
	Transform  JobKind = "transform"
)

// The states of a job, alike for all kinds.
const (
	JobInProgress = "InProgress"
	JobStopping   = "Stopping"
	JobCompleted  = "Completed"
	JobFailed     = "Failed"
	JobStopped    = "Stopped"
)

// JobStateChange is what the three job events have in common. SageMaker may
// send several events for one state, and says little in them: a reader that
// decides on more than name and status describes the job.
type JobStateChange struct {
	Kind          JobKind
	Name          string
	ARN           string
	Status        string
	FailureReason string
}

// Terminal reports whether the job has ended, however it ended.
func (d JobStateChange) Terminal() bool {
	return d.Status == JobCompleted || d.Status == JobFailed || d.Status == JobStopped
}

func (d JobStateChange) validate() error {
	return require("job name", d.Name, "job status", d.Status)
}

func decodeProcessing(e Envelope) (any, error) {
	var d struct {
		ProcessingJobName, ProcessingJobArn, ProcessingJobStatus, FailureReason string
	}
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return nil, err
	}
	j := JobStateChange{Processing, d.ProcessingJobName, d.ProcessingJobArn, d.ProcessingJobStatus, d.FailureReason}
	return j, j.validate()
}

func decodeTraining(e Envelope) (any, error) {
	var d struct {
		TrainingJobName, TrainingJobArn, TrainingJobStatus, FailureReason string
	}
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return nil, err
	}
	j := JobStateChange{Training, d.TrainingJobName, d.TrainingJobArn, d.TrainingJobStatus, d.FailureReason}
	return j, j.validate()
}

func decodeTransform(e Envelope) (any, error) {
	var d struct {
		TransformJobName, TransformJobArn, TransformJobStatus, FailureReason string
	}
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return nil, err
	}
	j := JobStateChange{Transform, d.TransformJobName, d.TransformJobArn, d.TransformJobStatus, d.FailureReason}
	return j, j.validate()
}

// JobStatePattern matches the ends of jobs of all three kinds.
func JobStatePattern() Pattern {
	ended := []any{JobCompleted, JobFailed, JobStopped}
	return Pattern{
		"source":      []any{SourceSageMaker},
		"detail-type": []any{TypeProcessingJob, TypeTrainingJob, TypeTransformJob},
		"detail": map[string]any{"$or": []any{
			map[string]any{"ProcessingJobStatus": ended},
			map[string]any{"TrainingJobStatus": ended},
			map[string]any{"TransformJobStatus": ended},
		}},
	}
}
