package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// host is the name of a job's only instance.
const host = "algo-1"

func (s *SageMaker) trainingLife(j trainingJob) life {
	name := key(j.Job.TrainingJobName)
	return life{
		kind: "training", name: name, role: *j.Job.RoleArn, group: "/aws/sagemaker/TrainingJobs",
		limit: time.Duration(*j.Job.StoppingCondition.MaxRuntimeInSeconds) * time.Second,
		begin: func() error {
			return s.enterTraining(name, types.SecondaryStatusDownloading, "Downloading input data", func(j *trainingJob) {
				j.Job.TrainingStartTime = j.Job.LastModifiedTime
			})
		},
		spot: aws.ToBool(j.Job.EnableManagedSpotTraining),
		work: func(ctx, halt context.Context, w *workspace) outcome { return s.train(ctx, halt, w, j) },
		interrupt: func(halt context.Context, wait time.Duration) (outcome, bool) {
			return s.interruptTraining(halt, j, wait)
		},
		end: func(out outcome) error { return s.endTraining(name, out) },
	}
}

// enterTraining records and announces a secondary status, unless the job is stopping.
func (s *SageMaker) enterTraining(name string, status types.SecondaryStatus, message string, more func(*trainingJob)) error {
	j, err := s.training.Patient(s.open).Update(name, func(j trainingJob, _ bool) (trainingJob, error) {
		stopping := j.Job.TrainingJobStatus == types.TrainingJobStatusStopping
		if stopping && status == types.SecondaryStatusDownloading {
			return j, errStop // stopped before it began
		}
		if !stopping || status == types.SecondaryStatusUploading {
			j.enter(s.now(), status, message)
		}
		if more != nil {
			more(&j)
		}
		return j, nil
	})
	if err != nil {
		return fmt.Errorf("record job %s: %w", name, err)
	}
	s.emitTraining(j)
	return nil
}

// interruptTraining takes a job's spot machine away when it has begun to train.
// The next one comes after wait, where all begins anew, unless the time to wait
// and run is over before.
func (s *SageMaker) interruptTraining(halt context.Context, j trainingJob, wait time.Duration) (out outcome, ended bool) {
	name := key(j.Job.TrainingJobName)
	enter := func(status types.SecondaryStatus, message string) error {
		return s.enterTraining(name, status, message, nil)
	}
	err := errors.Join(enter(types.SecondaryStatusTraining, "Training image download completed. Training in progress."),
		enter(types.SecondaryStatusInterrupted, "The spot instance was interrupted"))
	left := j.Job.CreationTime.Add(time.Duration(*j.Job.StoppingCondition.MaxWaitTimeInSeconds) * time.Second).Sub(s.now())
	if err == nil {
		err = clock.Sleep(halt, s.opt.Clock, max(0, min(wait, left)))
	}
	switch {
	case halt.Err() != nil:
		return outcome{status: stopped}, true
	case err == nil && wait >= left:
		return outcome{status: stopped, waited: true}, true
	case err == nil:
		err = errors.Join(enter(types.SecondaryStatusStarting, "Preparing the instances for training"),
			enter(types.SecondaryStatusDownloading, "Downloading input data"))
	}
	switch {
	case errors.Is(err, errStop):
		return outcome{status: stopped}, true
	case err != nil:
		return failure(err), true
	}
	return outcome{}, false
}

// train does the work of a training job.
func (s *SageMaker) train(ctx, halt context.Context, w *workspace, j trainingJob) outcome {
	name := key(j.Job.TrainingJobName)
	spec := j.Job.AlgorithmSpecification
	args := spec.ContainerArguments
	if len(spec.ContainerEntrypoint) == 0 && len(args) == 0 {
		args = []string{"train"}
	}
	path, argv, err := s.images.command(*spec.TrainingImage, spec.ContainerEntrypoint, args)
	if err != nil {
		return failure(err)
	}
	if err := s.stageTraining(halt, w, j); err != nil {
		return failure(err)
	}
	metrics, err := newMetricScanner(s.opt.Clock, spec.MetricDefinitions)
	if err != nil {
		return failure(err)
	}
	if err := s.enterTraining(name, types.SecondaryStatusTraining, "Training image download completed. Training in progress.", nil); err != nil {
		return failure(err)
	}
	p, err := start(program{path: path, args: argv, dir: w.root, out: io.MultiWriter(w.log, metrics),
		env: w.environ(j.Job.Environment, "TRAINING_JOB_NAME="+*j.Job.TrainingJobName, "TRAINING_JOB_ARN="+*j.Job.TrainingJobArn)})
	if err != nil {
		return failure(blame("The container could not be started: %v", err))
	}
	halted := p.wait(ctx, halt, clock.Machine(s.opt.Clock), s.opt.Grace)
	if ctx.Err() != nil {
		return outcome{}
	}
	err = s.enterTraining(name, types.SecondaryStatusUploading, "Uploading generated training model", func(j *trainingJob) {
		j.Job.FinalMetricDataList = metrics.final()
	})
	if err == nil {
		err = s.uploadTraining(ctx, w, j)
	}
	if halted {
		return outcome{status: stopped} // what it saved in time is uploaded
	}
	if p.code != 0 {
		return outcome{status: failed, reason: algorithmError(w.path("/opt/ml/output/failure"), p.code)}
	}
	if err != nil {
		return failure(err)
	}
	return outcome{status: completed}
}

// algorithmError is the reason of a program that failed: its own words, when it left some.
func algorithmError(file string, code int) string {
	raw, err := readText(file, maxReason)
	text := strings.TrimSpace(strings.ToValidUTF8(string(raw), "?"))
	if err != nil || text == "" {
		return fmt.Sprintf("AlgorithmError: See job logs for more information, exit code: %d", code)
	}
	tail := fmt.Sprintf(", exit code: %d", code)
	return clip("AlgorithmError: "+text, maxReason-len(tail)) + tail
}

// stageTraining fills /opt/ml/input.
func (s *SageMaker) stageTraining(ctx context.Context, w *workspace, j trainingJob) error {
	if err := w.mkdir("/opt/ml/model", "/opt/ml/output/data", "/opt/ml/input/config", "/opt/ml/input/data", "/opt/ml/code"); err != nil {
		return err
	}
	channels := map[string]map[string]string{}
	for _, c := range j.Job.InputDataConfig {
		source := c.DataSource.S3DataSource
		objects, err := s.expand(ctx, string(source.S3DataType), *source.S3Uri, *j.Job.RoleArn)
		if err != nil {
			return err
		}
		if err := s.fetch(ctx, objects, w.path("/opt/ml/input/data/"+*c.ChannelName)); err != nil {
			return err
		}
		mode := string(j.Job.AlgorithmSpecification.TrainingInputMode)
		if c.InputMode != "" {
			mode = string(c.InputMode)
		}
		channels[*c.ChannelName] = map[string]string{
			"TrainingInputMode": mode, "S3DistributionType": string(source.S3DataDistributionType), "RecordWrapperType": string(c.RecordWrapperType),
		}
		if c.ContentType != nil {
			channels[*c.ChannelName]["ContentType"] = *c.ContentType
		}
	}
	params := j.Job.HyperParameters
	if params == nil {
		params = map[string]string{}
	}
	if hook := j.Job.DebugHookConfig; hook != nil {
		if err := w.writeJSON("/opt/ml/input/config/debughookconfig.json", map[string]any{"S3OutputPath": hook.S3OutputPath, "LocalPath": "/opt/ml/output/tensors", "CollectionConfigurations": []any{}}); err != nil {
			return err
		}
	}
	return errors.Join(
		w.writeJSON("/opt/ml/input/config/hyperparameters.json", params),
		w.writeJSON("/opt/ml/input/config/inputdataconfig.json", channels),
		w.writeJSON("/opt/ml/input/config/resourceconfig.json", resourceConfig(string(j.Job.ResourceConfig.InstanceType))),
	)
}

// resourceConfig is resourceconfig.json of a training job.
func resourceConfig(instance string) any {
	return map[string]any{
		"current_host": host, "hosts": []string{host}, "network_interface_name": "eth0",
		"current_instance_type": instance, "current_group_name": "homogeneousCluster",
		"instance_groups": []any{map[string]any{"instance_group_name": "homogeneousCluster", "instance_type": instance, "hosts": []string{host}}},
	}
}

// uploadTraining puts the model, and other output when there is some. A job
// that wrote no model gets an empty archive.
func (s *SageMaker) uploadTraining(ctx context.Context, w *workspace, j trainingJob) error {
	model, at := w.path("/opt/ml/model"), *j.Job.ModelArtifacts.S3ModelArtifacts
	data := w.path("/opt/ml/output/data")
	extra, err := files(data)
	if err != nil {
		return fmt.Errorf("list outputs: %w", err)
	}
	if j.Job.OutputDataConfig.CompressionType == types.OutputCompressionTypeNone {
		return errors.Join(s.upload(ctx, model, at), s.upload(ctx, data, strings.TrimSuffix(at, "model/")+"data/"))
	}
	archive := filepath.Join(w.root, "tmp", "model.tar.gz")
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return fmt.Errorf("pack model: %w", err)
	}
	if err := pack(model, archive); err != nil {
		return err
	}
	if err := s.put(ctx, archive, at); err != nil {
		return err
	}
	if len(extra) == 0 {
		return nil
	}
	archive = filepath.Join(w.root, "tmp", "output.tar.gz")
	if err := pack(data, archive); err != nil {
		return err
	}
	return s.put(ctx, archive, strings.TrimSuffix(at, "model.tar.gz")+"output.tar.gz")
}

// endTraining records and announces the end.
func (s *SageMaker) endTraining(name string, out outcome) error {
	j, err := s.training.Patient(s.open).Update(name, func(j trainingJob, _ bool) (trainingJob, error) {
		now := s.now()
		j.Job.TrainingJobStatus = types.TrainingJobStatus(out.status)
		j.Job.TrainingEndTime = &now
		if started := j.Job.TrainingStartTime; started != nil {
			seconds := aws.Int32(max(1, int32(math.Ceil(now.Sub(*started).Seconds())))) // AWS bills no less
			j.Job.TrainingTimeInSeconds, j.Job.BillableTimeInSeconds = seconds, seconds
		}
		switch {
		case out.timeout:
			j.enter(now, types.SecondaryStatusMaxRuntimeExceeded, "Resource released due to MaxRuntimeExceeded")
		case out.waited:
			j.enter(now, types.SecondaryStatusMaxWaitTimeExceeded, "Resource released due to MaxWaitTimeExceeded")
		case out.status == completed:
			j.enter(now, types.SecondaryStatusCompleted, "Training job completed")
		case out.status == stopped:
			j.enter(now, types.SecondaryStatusStopped, "Training job stopped")
		default:
			j.enter(now, types.SecondaryStatusFailed, "Training job failed")
			j.Job.FailureReason = aws.String(out.reason)
		}
		return j, nil
	})
	if err != nil {
		return fmt.Errorf("record job %s: %w", name, err)
	}
	return s.announceTraining(name, j)
}

// announceTraining emits a job's end and records that it did.
func (s *SageMaker) announceTraining(name string, j trainingJob) error {
	s.emitTraining(j)
	_, err := s.training.Patient(s.open).Update(name, func(j trainingJob, _ bool) (trainingJob, error) {
		j.Announced = true
		return j, nil
	})
	return err
}

// resumeTraining takes up the jobs of an earlier life of the cloud.
func (s *SageMaker) resumeTraining(context.Context) error {
	open, err := all(s.training, "", func(j trainingJob) bool { return !j.Announced })
	if err != nil {
		return err
	}
	for _, j := range open {
		name, status := key(j.Job.TrainingJobName), string(j.Job.TrainingJobStatus)
		switch {
		case terminal(status):
			err = s.announceTraining(name, j)
		case status == stopping:
			err = s.endTraining(name, outcome{status: stopped})
		case j.Job.TrainingStartTime != nil:
			err = s.endTraining(name, outcome{status: failed, reason: interrupted})
		default:
			s.launch(s.trainingLife(j))
		}
		if err != nil {
			return fmt.Errorf("resume training job %s: %w", name, err)
		}
	}
	return nil
}
