package sagemaker

import (
	"context"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// processingJob is the state of a processing job.
type processingJob struct {
	Job       sm.DescribeProcessingJobOutput
	Announced bool // its end was emitted
}

func (s *SageMaker) addProcessing() {
	on := func(name *string) []string { return []string{s.arn("processing-job", aws.ToString(name))} }
	s.service.Add(
		wire.On(op(s, "CreateProcessingJob", s.createProcessing), func(in *sm.CreateProcessingJobInput) []string { return on(in.ProcessingJobName) }),
		wire.On(op(s, "DescribeProcessingJob", s.describeProcessing), func(in *sm.DescribeProcessingJobInput) []string { return on(in.ProcessingJobName) }),
		wire.On(op(s, "StopProcessingJob", s.stopProcessing), func(in *sm.StopProcessingJobInput) []string { return on(in.ProcessingJobName) }),
		op(s, "ListProcessingJobs", s.listProcessing),
	)
}

func (s *SageMaker) createProcessing(ctx context.Context, in *sm.CreateProcessingJobInput) (*sm.CreateProcessingJobOutput, error) {
	if err := s.checkProcessing(in); err != nil {
		return nil, err
	}
	arn := s.arn("processing-job", *in.ProcessingJobName)
	if err := s.checkTags(ctx, arn, in.Tags); err != nil {
		return nil, err
	}
	if err := s.passRole(ctx, *in.RoleArn, arn); err != nil {
		return nil, err
	}
	job := s.newProcessing(in, arn)
	_, err := s.process.Update(key(in.ProcessingJobName), func(_ processingJob, exists bool) (processingJob, error) {
		if exists {
			return processingJob{}, inUse(arn)
		}
		return job, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.putTags(arn, in.Tags); err != nil {
		return nil, err
	}
	s.emitProcessing(job)
	s.launch(s.processingLife(job))
	return &sm.CreateProcessingJobOutput{ProcessingJobArn: &arn}, nil
}

// inUse is the refusal of a processing or transform job whose name is taken.
func inUse(arn string) error {
	return wire.Errorf("ResourceInUse", "Job name must be unique within an AWS account and region, and a job with this name already exists (%s)", arn)
}

// notFound is the answer about a processing or transform job that is not there.
func notFound(name *string) error {
	return wire.Errorf("ResourceNotFound", "Could not find requested job with name: %s", aws.ToString(name))
}

func (s *SageMaker) newProcessing(in *sm.CreateProcessingJobInput, arn string) processingJob {
	now := s.now()
	if in.StoppingCondition == nil {
		in.StoppingCondition = &types.ProcessingStoppingCondition{MaxRuntimeInSeconds: aws.Int32(int32(day.Seconds()))}
	}
	for i := range in.ProcessingInputs {
		p := &in.ProcessingInputs[i]
		p.AppManaged = aws.Bool(false)
		if p.S3Input.S3InputMode == "" {
			p.S3Input.S3InputMode = types.ProcessingS3InputModeFile
		}
		if p.S3Input.S3DataDistributionType == "" {
			p.S3Input.S3DataDistributionType = types.ProcessingS3DataDistributionTypeFullyreplicated
		}
		if p.S3Input.S3CompressionType == "" {
			p.S3Input.S3CompressionType = types.ProcessingS3CompressionTypeNone
		}
	}
	if in.ProcessingOutputConfig != nil {
		for i := range in.ProcessingOutputConfig.Outputs {
			in.ProcessingOutputConfig.Outputs[i].AppManaged = aws.Bool(false)
		}
	}
	return processingJob{Job: sm.DescribeProcessingJobOutput{
		ProcessingJobName: in.ProcessingJobName, ProcessingJobArn: &arn, ProcessingJobStatus: types.ProcessingJobStatusInProgress,
		AppSpecification: in.AppSpecification, ProcessingResources: in.ProcessingResources, Environment: in.Environment,
		NetworkConfig: in.NetworkConfig, ProcessingInputs: in.ProcessingInputs, ProcessingOutputConfig: in.ProcessingOutputConfig,
		RoleArn: in.RoleArn, StoppingCondition: in.StoppingCondition, CreationTime: &now, LastModifiedTime: &now,
	}}
}

func (s *SageMaker) checkProcessing(in *sm.CreateProcessingJobInput) error {
	const op = "CreateProcessingJob"
	names := map[string]bool{}
	for _, p := range in.ProcessingInputs {
		if names["in/"+*p.InputName] {
			return invalid("Input names must be unique: %s", *p.InputName)
		}
		names["in/"+*p.InputName] = true
		switch {
		case p.S3Input == nil:
			return missing("processingInputs.s3Input")
		case p.S3Input.S3InputMode == types.ProcessingS3InputModePipe:
			return s.notSupported(op, "S3InputMode Pipe of input "+*p.InputName)
		case p.S3Input.S3CompressionType == types.ProcessingS3CompressionTypeGzip:
			return invalid("S3CompressionType Gzip of input %s needs S3InputMode Pipe", *p.InputName)
		}
		if err := checkLocal(*p.InputName, p.S3Input.LocalPath); err != nil {
			return err
		}
		if err := checkS3("S3Uri", *p.S3Input.S3Uri); err != nil {
			return err
		}
	}
	if in.ProcessingOutputConfig == nil {
		return nil
	}
	for _, o := range in.ProcessingOutputConfig.Outputs {
		if names["out/"+*o.OutputName] {
			return invalid("Output names must be unique: %s", *o.OutputName)
		}
		names["out/"+*o.OutputName] = true
		switch {
		case o.S3Output == nil:
			return missing("processingOutputConfig.outputs.s3Output")
		case o.S3Output.S3UploadMode == types.ProcessingS3UploadModeContinuous:
			return s.notSupported(op, "S3UploadMode Continuous of output "+*o.OutputName)
		}
		if err := checkLocal(*o.OutputName, o.S3Output.LocalPath); err != nil {
			return err
		}
		if err := checkS3("S3Uri", *o.S3Output.S3Uri); err != nil {
			return err
		}
	}
	return nil
}

// checkLocal holds local paths below /opt/ml/processing.
func checkLocal(name string, local *string) error {
	p := aws.ToString(local)
	if path.Clean(p) != strings.TrimSuffix(p, "/") || !strings.HasPrefix(p, "/opt/ml/processing/") {
		return invalid("LocalPath %q of %s must be a path that begins with /opt/ml/processing/", p, name)
	}
	return nil
}

func (s *SageMaker) describeProcessing(_ context.Context, in *sm.DescribeProcessingJobInput) (*sm.DescribeProcessingJobOutput, error) {
	j, ok, err := s.process.Get(key(in.ProcessingJobName))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound(in.ProcessingJobName)
	}
	return &j.Job, nil
}

func (s *SageMaker) stopProcessing(_ context.Context, in *sm.StopProcessingJobInput) (*sm.StopProcessingJobOutput, error) {
	changed := false
	j, err := s.process.Update(key(in.ProcessingJobName), func(j processingJob, ok bool) (processingJob, error) {
		switch {
		case !ok:
			return j, notFound(in.ProcessingJobName)
		case terminal(string(j.Job.ProcessingJobStatus)):
			return j, invalid("The request was rejected because the processing job is in status %s.", j.Job.ProcessingJobStatus)
		case j.Job.ProcessingJobStatus == types.ProcessingJobStatusStopping:
			return j, nil
		}
		changed = true
		j.Job.ProcessingJobStatus = types.ProcessingJobStatusStopping
		j.Job.LastModifiedTime = aws.Time(s.now())
		return j, nil
	})
	if err != nil {
		return nil, err
	}
	if changed {
		s.emitProcessing(j)
	}
	s.stop("processing", key(in.ProcessingJobName))
	return &sm.StopProcessingJobOutput{}, nil
}

func (s *SageMaker) listProcessing(_ context.Context, in *sm.ListProcessingJobsInput) (*sm.ListProcessingJobsOutput, error) {
	found, err := all(s.process, "", func(j processingJob) bool {
		return in.StatusEquals == "" || j.Job.ProcessingJobStatus == in.StatusEquals
	})
	if err != nil {
		return nil, err
	}
	found, next, err := page(found, func(j processingJob) listed {
		name := *j.Job.ProcessingJobName
		return listed{name, name, string(j.Job.ProcessingJobStatus), *j.Job.CreationTime, *j.Job.LastModifiedTime}
	}, query{in.NameContains, in.CreationTimeAfter, in.CreationTimeBefore, in.LastModifiedTimeAfter, in.LastModifiedTimeBefore,
		string(in.SortBy), in.SortOrder == types.SortOrderDescending, in.MaxResults, in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &sm.ListProcessingJobsOutput{ProcessingJobSummaries: []types.ProcessingJobSummary{}, NextToken: next}
	for _, j := range found {
		out.ProcessingJobSummaries = append(out.ProcessingJobSummaries, types.ProcessingJobSummary{
			ProcessingJobName: j.Job.ProcessingJobName, ProcessingJobArn: j.Job.ProcessingJobArn, ProcessingJobStatus: j.Job.ProcessingJobStatus,
			CreationTime: j.Job.CreationTime, LastModifiedTime: j.Job.LastModifiedTime, ProcessingEndTime: j.Job.ProcessingEndTime,
			ExitMessage: j.Job.ExitMessage, FailureReason: j.Job.FailureReason,
		})
	}
	return out, nil
}

// emitProcessing announces a job's present state, with the enums of inputs and
// outputs spelled as AWS's events spell them.
func (s *SageMaker) emitProcessing(j processingJob) {
	inputs, outputs := []detail{}, []detail{}
	for _, p := range j.Job.ProcessingInputs {
		inputs = append(inputs, detail{"InputName": p.InputName, "S3Input": detail{
			"S3Uri": p.S3Input.S3Uri, "LocalPath": p.S3Input.LocalPath, "S3DataType": shout(string(p.S3Input.S3DataType)),
			"S3InputMode": shout(string(p.S3Input.S3InputMode)), "S3DataDistributionType": shout(string(p.S3Input.S3DataDistributionType)),
			"S3CompressionType": shout(string(p.S3Input.S3CompressionType)),
		}})
	}
	if j.Job.ProcessingOutputConfig != nil {
		for _, o := range j.Job.ProcessingOutputConfig.Outputs {
			outputs = append(outputs, detail{"OutputName": o.OutputName, "S3Output": detail{
				"S3Uri": o.S3Output.S3Uri, "LocalPath": o.S3Output.LocalPath, "S3UploadMode": shout(string(o.S3Output.S3UploadMode)),
			}})
		}
	}
	network := any(detail{})
	if j.Job.NetworkConfig != nil {
		network = shape(j.Job.NetworkConfig)
	}
	d := detail{
		"ProcessingJobName": j.Job.ProcessingJobName, "ProcessingJobArn": j.Job.ProcessingJobArn, "ProcessingJobStatus": j.Job.ProcessingJobStatus,
		"ProcessingInputs": inputs, "ProcessingOutputConfig": detail{"Outputs": outputs, "KmsKeyId": nil},
		"ProcessingResources": shape(j.Job.ProcessingResources), "StoppingCondition": shape(j.Job.StoppingCondition),
		"AppSpecification": shape(j.Job.AppSpecification), "NetworkConfig": network, "RoleArn": j.Job.RoleArn, "ExperimentConfig": detail{},
		"Environment": j.Job.Environment, "CreationTime": millis(j.Job.CreationTime), "LastModifiedTime": millis(j.Job.LastModifiedTime),
		"ProcessingStartTime": millis(j.Job.ProcessingStartTime), "ProcessingEndTime": millis(j.Job.ProcessingEndTime),
		"Tags": s.tagMap(*j.Job.ProcessingJobArn),
	}
	d.setIf("FailureReason", j.Job.FailureReason)
	d.setIf("ExitMessage", j.Job.ExitMessage)
	s.emit("Processing Job", *j.Job.ProcessingJobArn, d)
}
