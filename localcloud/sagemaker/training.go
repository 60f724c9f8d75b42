package sagemaker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const day = 24 * time.Hour

// trainingJob is the state of a training job.
type trainingJob struct {
	Job       sm.DescribeTrainingJobOutput
	Announced bool // its end was emitted
}

func (j trainingJob) name() string { return *j.Job.TrainingJobName }

func (s *SageMaker) addTraining() {
	on := func(name *string) []string { return []string{s.arn("training-job", aws.ToString(name))} }
	s.service.Add(
		wire.On(op(s, "CreateTrainingJob", s.createTraining), func(in *sm.CreateTrainingJobInput) []string { return on(in.TrainingJobName) }),
		wire.On(op(s, "DescribeTrainingJob", s.describeTraining), func(in *sm.DescribeTrainingJobInput) []string { return on(in.TrainingJobName) }),
		wire.On(op(s, "StopTrainingJob", s.stopTraining), func(in *sm.StopTrainingJobInput) []string { return on(in.TrainingJobName) }),
		op(s, "ListTrainingJobs", s.listTraining),
	)
}

func (s *SageMaker) createTraining(ctx context.Context, in *sm.CreateTrainingJobInput) (*sm.CreateTrainingJobOutput, error) {
	if err := s.checkTraining(in); err != nil {
		return nil, err
	}
	arn := s.arn("training-job", *in.TrainingJobName)
	if err := s.checkTags(ctx, arn, in.Tags); err != nil {
		return nil, err
	}
	if err := s.passRole(ctx, *in.RoleArn, arn); err != nil {
		return nil, err
	}
	job := s.newTraining(in, arn)
	_, err := s.training.Update(key(in.TrainingJobName), func(_ trainingJob, exists bool) (trainingJob, error) {
		if exists {
			return trainingJob{}, wire.Errorf("ResourceInUse", "Training job names must be unique within an AWS account and region, and a training job with this name already exists (%s)", arn)
		}
		return job, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.putTags(arn, in.Tags); err != nil {
		return nil, err
	}
	s.emitTraining(job)
	s.launch(s.trainingLife(job))
	return &sm.CreateTrainingJobOutput{TrainingJobArn: &arn}, nil
}

func (s *SageMaker) newTraining(in *sm.CreateTrainingJobInput, arn string) trainingJob {
	now := s.now()
	if in.StoppingCondition.MaxRuntimeInSeconds == nil {
		in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(int32(day.Seconds()))
	}
	if in.OutputDataConfig.CompressionType == "" {
		in.OutputDataConfig.CompressionType = types.OutputCompressionTypeGzip
	}
	if in.OutputDataConfig.KmsKeyId == nil {
		in.OutputDataConfig.KmsKeyId = aws.String("") // clients of AWS read it unasked
	}
	for i := range in.InputDataConfig {
		c := &in.InputDataConfig[i]
		if c.CompressionType == "" {
			c.CompressionType = types.CompressionTypeNone
		}
		if c.RecordWrapperType == "" {
			c.RecordWrapperType = types.RecordWrapperNone
		}
		if c.DataSource.S3DataSource.S3DataDistributionType == "" {
			c.DataSource.S3DataSource.S3DataDistributionType = types.S3DataDistributionFullyReplicated
		}
	}
	return trainingJob{Job: sm.DescribeTrainingJobOutput{
		TrainingJobName: in.TrainingJobName, TrainingJobArn: &arn, TrainingJobStatus: types.TrainingJobStatusInProgress,
		SecondaryStatus: types.SecondaryStatusStarting, AlgorithmSpecification: in.AlgorithmSpecification, RoleArn: in.RoleArn,
		HyperParameters: in.HyperParameters, InputDataConfig: in.InputDataConfig, OutputDataConfig: in.OutputDataConfig,
		ResourceConfig: in.ResourceConfig, StoppingCondition: in.StoppingCondition, Environment: in.Environment,
		ProfilerConfig: in.ProfilerConfig, ProfilingStatus: types.ProfilingStatusDisabled, // nothing here profiles
		DebugHookConfig: in.DebugHookConfig, CreationTime: &now, LastModifiedTime: &now,
		ModelArtifacts:                        &types.ModelArtifacts{S3ModelArtifacts: aws.String(artifacts(in))},
		EnableNetworkIsolation:                aws.Bool(false),
		EnableManagedSpotTraining:             aws.Bool(aws.ToBool(in.EnableManagedSpotTraining)), // a spot machine comes at once here, and stays unless a fault takes it away
		EnableInterContainerTrafficEncryption: aws.Bool(aws.ToBool(in.EnableInterContainerTrafficEncryption)),
		SecondaryStatusTransitions: []types.SecondaryStatusTransition{{
			Status: types.SecondaryStatusStarting, StartTime: &now, StatusMessage: aws.String("Preparing the instances for training")}},
	}}
}

// artifacts is where the model goes.
func artifacts(in *sm.CreateTrainingJobInput) string {
	at := joinURI(*in.OutputDataConfig.S3OutputPath, *in.TrainingJobName, "output")
	if in.OutputDataConfig.CompressionType == types.OutputCompressionTypeNone {
		return at + "/model/"
	}
	return at + "/model.tar.gz"
}

// checkTraining refuses what AWS's model allows but AWS, or this cloud, does not.
func (s *SageMaker) checkTraining(in *sm.CreateTrainingJobInput) error {
	const op = "CreateTrainingJob"
	switch {
	case in.AlgorithmSpecification == nil:
		return missing("algorithmSpecification")
	case in.ResourceConfig == nil:
		return missing("resourceConfig")
	case in.ResourceConfig.InstanceType == "":
		return missing("resourceConfig.instanceType")
	case in.ResourceConfig.InstanceCount == nil:
		return missing("resourceConfig.instanceCount")
	case in.ResourceConfig.VolumeSizeInGB == nil:
		return missing("resourceConfig.volumeSizeInGB")
	case in.StoppingCondition == nil:
		return missing("stoppingCondition")
	case aws.ToString(in.AlgorithmSpecification.TrainingImage) == "":
		return invalid("You must provide either a TrainingImage or an AlgorithmName in AlgorithmSpecification")
	case *in.ResourceConfig.InstanceCount > 1:
		return s.notSupported(op, "more than one instance (ResourceConfig.InstanceCount)")
	case in.AlgorithmSpecification.TrainingInputMode == types.TrainingInputModePipe:
		return s.notSupported(op, "Pipe mode (AlgorithmSpecification.TrainingInputMode)")
	case aws.ToInt32(in.StoppingCondition.MaxRuntimeInSeconds) > int32((28 * day).Seconds()):
		return invalid("MaxRuntimeInSeconds must be at most %d", int((28 * day).Seconds()))
	}
	if err := checkSpot(in); err != nil {
		return err
	}
	if _, err := newMetricScanner(s.opt.Clock, in.AlgorithmSpecification.MetricDefinitions); err != nil {
		return err
	}
	if err := checkS3("S3OutputPath", *in.OutputDataConfig.S3OutputPath); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, c := range in.InputDataConfig {
		if seen[*c.ChannelName] {
			return invalid("Channel names must be unique: %s", *c.ChannelName)
		}
		seen[*c.ChannelName] = true
		if err := s.checkChannel(c); err != nil {
			return err
		}
	}
	return nil
}

// checkSpot holds the time for waiting and running against the time for running.
func checkSpot(in *sm.CreateTrainingJobInput) error {
	wait, run := in.StoppingCondition.MaxWaitTimeInSeconds, in.StoppingCondition.MaxRuntimeInSeconds
	switch spot := aws.ToBool(in.EnableManagedSpotTraining); {
	case !spot && wait != nil:
		return invalid("MaxWaitTimeInSeconds is only valid with EnableManagedSpotTraining set to true")
	case spot && wait == nil:
		return invalid("MaxWaitTimeInSeconds must be set when EnableManagedSpotTraining is true")
	case spot && run != nil && *wait < *run:
		return invalid("Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds")
	}
	return nil
}

func (s *SageMaker) checkChannel(c types.Channel) error {
	const op = "CreateTrainingJob"
	at := func(what string) string { return fmt.Sprintf("%s of channel %s", what, *c.ChannelName) }
	switch {
	case c.DataSource.S3DataSource == nil:
		return missing("inputDataConfig.dataSource.s3DataSource")
	case c.InputMode == types.TrainingInputModePipe:
		return s.notSupported(op, at("Pipe mode"))
	case c.CompressionType == types.CompressionTypeGzip:
		return s.notSupported(op, at("CompressionType Gzip, which needs Pipe mode,"))
	case c.RecordWrapperType == types.RecordWrapperRecordio:
		return s.notSupported(op, at("RecordWrapperType RecordIO"))
	}
	source := c.DataSource.S3DataSource
	if source.S3DataType != types.S3DataTypeS3Prefix && source.S3DataType != types.S3DataTypeManifestFile {
		return s.notSupported(op, at("S3DataType "+string(source.S3DataType)))
	}
	return checkS3("S3Uri", *source.S3Uri)
}

func (s *SageMaker) describeTraining(_ context.Context, in *sm.DescribeTrainingJobInput) (*sm.DescribeTrainingJobOutput, error) {
	j, ok, err := s.training.Get(key(in.TrainingJobName))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, wire.Errorf("ValidationException", "Requested resource not found.") // not the error that the model promises
	}
	return &j.Job, nil
}

func (s *SageMaker) stopTraining(_ context.Context, in *sm.StopTrainingJobInput) (*sm.StopTrainingJobOutput, error) {
	changed := false
	j, err := s.training.Update(key(in.TrainingJobName), func(j trainingJob, ok bool) (trainingJob, error) {
		switch {
		case !ok:
			return j, wire.Errorf("ValidationException", "Requested resource not found.") // not the error that the model promises
		case terminal(string(j.Job.TrainingJobStatus)):
			return j, invalid("The request was rejected because the training job is in status %s.", j.Job.TrainingJobStatus)
		case j.Job.TrainingJobStatus == types.TrainingJobStatusStopping:
			return j, nil
		}
		changed = true
		j.Job.TrainingJobStatus = types.TrainingJobStatusStopping
		j.enter(s.now(), types.SecondaryStatusStopping, "Stopping the training job")
		return j, nil
	})
	if err != nil {
		return nil, err
	}
	if changed {
		s.emitTraining(j)
	}
	s.stop("training", key(in.TrainingJobName))
	return &sm.StopTrainingJobOutput{}, nil
}

func (s *SageMaker) listTraining(_ context.Context, in *sm.ListTrainingJobsInput) (*sm.ListTrainingJobsOutput, error) {
	if in.WarmPoolStatusEquals != "" || in.TrainingPlanArnEquals != nil {
		return nil, s.notSupported("ListTrainingJobs", "WarmPoolStatusEquals and TrainingPlanArnEquals")
	}
	found, err := all(s.training, "", func(j trainingJob) bool {
		return in.StatusEquals == "" || j.Job.TrainingJobStatus == in.StatusEquals
	})
	if err != nil {
		return nil, err
	}
	found, next, err := page(found, func(j trainingJob) listed {
		return listed{j.name(), j.name(), string(j.Job.TrainingJobStatus), *j.Job.CreationTime, *j.Job.LastModifiedTime}
	}, query{in.NameContains, in.CreationTimeAfter, in.CreationTimeBefore, in.LastModifiedTimeAfter, in.LastModifiedTimeBefore,
		string(in.SortBy), in.SortOrder == types.SortOrderDescending, in.MaxResults, in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &sm.ListTrainingJobsOutput{TrainingJobSummaries: []types.TrainingJobSummary{}, NextToken: next}
	for _, j := range found {
		out.TrainingJobSummaries = append(out.TrainingJobSummaries, types.TrainingJobSummary{
			TrainingJobName: j.Job.TrainingJobName, TrainingJobArn: j.Job.TrainingJobArn, TrainingJobStatus: j.Job.TrainingJobStatus,
			SecondaryStatus: j.Job.SecondaryStatus, CreationTime: j.Job.CreationTime, LastModifiedTime: j.Job.LastModifiedTime,
			TrainingEndTime: j.Job.TrainingEndTime,
		})
	}
	return out, nil
}

// enter moves a job to its next secondary status.
func (j *trainingJob) enter(now time.Time, status types.SecondaryStatus, message string) {
	t := j.Job.SecondaryStatusTransitions
	if n := len(t); n > 0 && t[n-1].EndTime == nil {
		t[n-1].EndTime = &now
	}
	next := types.SecondaryStatusTransition{Status: status, StartTime: &now, StatusMessage: &message}
	if terminal(string(j.Job.TrainingJobStatus)) {
		next.EndTime = &now
	}
	j.Job.SecondaryStatusTransitions = append(t, next)
	j.Job.SecondaryStatus = status
	j.Job.LastModifiedTime = &now
}

// emitTraining announces a job's present state.
func (s *SageMaker) emitTraining(j trainingJob) {
	d := detail{
		"TrainingJobName": j.Job.TrainingJobName, "TrainingJobArn": j.Job.TrainingJobArn, "TrainingJobStatus": j.Job.TrainingJobStatus,
		"SecondaryStatus": j.Job.SecondaryStatus, "HyperParameters": j.Job.HyperParameters, "RoleArn": j.Job.RoleArn,
		"AlgorithmSpecification": shape(j.Job.AlgorithmSpecification), "InputDataConfig": shape(j.Job.InputDataConfig),
		"OutputDataConfig": shape(j.Job.OutputDataConfig), "ResourceConfig": shape(j.Job.ResourceConfig),
		"StoppingCondition": shape(j.Job.StoppingCondition), "VpcConfig": nil,
		"CreationTime": millis(j.Job.CreationTime), "TrainingStartTime": millis(j.Job.TrainingStartTime),
		"TrainingEndTime": millis(j.Job.TrainingEndTime), "LastModifiedTime": millis(j.Job.LastModifiedTime),
		"Tags": s.tagMap(*j.Job.TrainingJobArn),
	}
	var transitions []detail
	for _, t := range j.Job.SecondaryStatusTransitions {
		transitions = append(transitions, detail{"Status": t.Status, "StartTime": millis(t.StartTime), "EndTime": millis(t.EndTime), "StatusMessage": t.StatusMessage})
	}
	d["SecondaryStatusTransitions"] = transitions
	if j.Job.TrainingJobStatus == types.TrainingJobStatusCompleted || j.Job.TrainingJobStatus == types.TrainingJobStatusStopped {
		d["ModelArtifacts"] = shape(j.Job.ModelArtifacts)
	}
	d.setIf("FailureReason", j.Job.FailureReason)
	s.emit("Training Job", *j.Job.TrainingJobArn, d)
}

// key is the name under which tables hold a resource: names differ by more than case.
func key(name *string) string { return strings.ToLower(aws.ToString(name)) }
