package sagemaker

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// transformJob is the state of a batch transform job.
type transformJob struct {
	Job       sm.DescribeTransformJobOutput
	Role      string // the model's
	Modified  int64  // epoch milliseconds; Describe does not show it, List does
	Announced bool   // its end was emitted
}

func (s *SageMaker) addTransform() {
	on := func(name *string) []string { return []string{s.arn("transform-job", aws.ToString(name))} }
	s.service.Add(
		wire.On(op(s, "CreateTransformJob", s.createTransform), func(in *sm.CreateTransformJobInput) []string {
			return append(on(in.TransformJobName), s.arn("model", aws.ToString(in.ModelName)))
		}),
		wire.On(op(s, "DescribeTransformJob", s.describeTransform), func(in *sm.DescribeTransformJobInput) []string { return on(in.TransformJobName) }),
		wire.On(op(s, "StopTransformJob", s.stopTransform), func(in *sm.StopTransformJobInput) []string { return on(in.TransformJobName) }),
		op(s, "ListTransformJobs", s.listTransform),
	)
}

func (s *SageMaker) createTransform(ctx context.Context, in *sm.CreateTransformJobInput) (*sm.CreateTransformJobOutput, error) {
	if err := s.checkTransform(in); err != nil {
		return nil, err
	}
	arn := s.arn("transform-job", *in.TransformJobName)
	if err := s.checkTags(ctx, arn, in.Tags); err != nil {
		return nil, err
	}
	m, err := s.findModel(in.ModelName)
	if err != nil {
		return nil, err
	}
	now := s.now()
	if in.DataProcessing == nil {
		in.DataProcessing = &types.DataProcessing{}
	}
	if in.DataProcessing.JoinSource == "" {
		in.DataProcessing.JoinSource = types.JoinSourceNone
	}
	if in.DataProcessing.InputFilter == nil {
		in.DataProcessing.InputFilter = aws.String("$")
	}
	if in.DataProcessing.OutputFilter == nil {
		in.DataProcessing.OutputFilter = aws.String("$")
	}
	if in.TransformInput.CompressionType == "" {
		in.TransformInput.CompressionType = types.CompressionTypeNone
	}
	if in.TransformInput.SplitType == "" {
		in.TransformInput.SplitType = types.SplitTypeNone
	}
	if in.TransformOutput.AssembleWith == "" {
		in.TransformOutput.AssembleWith = types.AssemblyTypeNone
	}
	job := transformJob{Role: *m.Model.ExecutionRoleArn, Modified: now.UnixMilli(), Job: sm.DescribeTransformJobOutput{
		TransformJobName: in.TransformJobName, TransformJobArn: &arn, TransformJobStatus: types.TransformJobStatusInProgress,
		ModelName: in.ModelName, MaxConcurrentTransforms: in.MaxConcurrentTransforms, MaxPayloadInMB: in.MaxPayloadInMB,
		ModelClientConfig: in.ModelClientConfig, BatchStrategy: in.BatchStrategy, Environment: in.Environment,
		TransformInput: in.TransformInput, TransformOutput: in.TransformOutput, TransformResources: in.TransformResources,
		DataProcessing: in.DataProcessing, CreationTime: &now,
	}}
	_, err = s.batch.Update(key(in.TransformJobName), func(_ transformJob, exists bool) (transformJob, error) {
		if exists {
			return transformJob{}, inUse(arn)
		}
		return job, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.putTags(arn, in.Tags); err != nil {
		return nil, err
	}
	s.emitTransform(job)
	s.launch(s.transformLife(job))
	return &sm.CreateTransformJobOutput{TransformJobArn: &arn}, nil
}

func (s *SageMaker) checkTransform(in *sm.CreateTransformJobInput) error {
	const op = "CreateTransformJob"
	source := in.TransformInput.DataSource.S3DataSource
	split := in.TransformInput.SplitType
	switch {
	case *in.TransformResources.InstanceCount > 1:
		return s.notSupported(op, "more than one instance (TransformResources.InstanceCount)")
	case split == types.SplitTypeRecordio || split == types.SplitTypeTfrecord:
		return s.notSupported(op, "SplitType "+string(split))
	case source.S3DataType != types.S3DataTypeS3Prefix && source.S3DataType != types.S3DataTypeManifestFile:
		return s.notSupported(op, "S3DataType "+string(source.S3DataType))
	case in.BatchStrategy != "" && (split == "" || split == types.SplitTypeNone):
		return invalid("BatchStrategy %s needs a SplitType of Line, RecordIO or TFRecord", in.BatchStrategy)
	case aws.ToInt32(in.MaxConcurrentTransforms)*aws.ToInt32(in.MaxPayloadInMB) > 100:
		return invalid("The product of MaxConcurrentTransforms and MaxPayloadInMB must not exceed 100 MB")
	}
	if err := checkS3("S3Uri", *source.S3Uri); err != nil {
		return err
	}
	if err := checkS3("S3OutputPath", *in.TransformOutput.S3OutputPath); err != nil {
		return err
	}
	return checkDataProcessing(in)
}

// checkDataProcessing holds filters and joins to the formats that have them.
func checkDataProcessing(in *sm.CreateTransformJobInput) error {
	d := in.DataProcessing
	if d == nil {
		return nil
	}
	join := d.JoinSource == types.JoinSourceInput
	filters := aws.ToString(d.InputFilter)+aws.ToString(d.OutputFilter) != ""
	if !join && !filters {
		return nil
	}
	content := mediaType(aws.ToString(in.TransformInput.ContentType))
	csv := content == "text/csv"
	if !csv && !isJSON(content) {
		return invalid("DataProcessing needs a ContentType of text/csv, application/json or application/jsonlines, not %q", content)
	}
	accept := mediaType(aws.ToString(in.TransformOutput.Accept))
	if join && (csv && accept != content || !csv && !isJSON(accept)) {
		return invalid("JoinSource Input needs an Accept that matches the ContentType %q, not %q", content, accept)
	}
	lines := in.TransformInput.SplitType == types.SplitTypeLine
	if join && lines != (in.TransformOutput.AssembleWith == types.AssemblyTypeLine) {
		return invalid("JoinSource Input needs an AssembleWith that matches the SplitType")
	}
	for member, text := range map[string]*string{"InputFilter": d.InputFilter, "OutputFilter": d.OutputFilter} {
		if text == nil {
			continue
		}
		f, err := parseFilter(*text)
		if err != nil {
			return invalid("Invalid %s %q: %v", member, *text, err)
		}
		if csv && !f.columns() {
			return invalid("Invalid %s %q: for CSV only column positions can be chosen, as in $[0,-1] and $[1:]", member, *text)
		}
	}
	return nil
}

// mediaType is a content type without its parameters.
func mediaType(contentType string) string {
	m, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(m))
}

func isJSON(mediaType string) bool {
	return mediaType == "application/json" || mediaType == "application/jsonlines"
}

func (s *SageMaker) describeTransform(_ context.Context, in *sm.DescribeTransformJobInput) (*sm.DescribeTransformJobOutput, error) {
	j, ok, err := s.batch.Get(key(in.TransformJobName))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, notFound(in.TransformJobName)
	}
	return &j.Job, nil
}

func (s *SageMaker) stopTransform(_ context.Context, in *sm.StopTransformJobInput) (*sm.StopTransformJobOutput, error) {
	changed := false
	j, err := s.batch.Update(key(in.TransformJobName), func(j transformJob, ok bool) (transformJob, error) {
		switch {
		case !ok:
			return j, notFound(in.TransformJobName)
		case terminal(string(j.Job.TransformJobStatus)):
			return j, invalid("The request was rejected because the transform job is in status %s.", j.Job.TransformJobStatus)
		case j.Job.TransformJobStatus == types.TransformJobStatusStopping:
			return j, nil
		}
		changed = true
		j.Job.TransformJobStatus = types.TransformJobStatusStopping
		j.Modified = s.now().UnixMilli()
		return j, nil
	})
	if err != nil {
		return nil, err
	}
	if changed {
		s.emitTransform(j)
	}
	s.stop("transform", key(in.TransformJobName))
	return &sm.StopTransformJobOutput{}, nil
}

func (s *SageMaker) listTransform(_ context.Context, in *sm.ListTransformJobsInput) (*sm.ListTransformJobsOutput, error) {
	found, err := all(s.batch, "", func(j transformJob) bool {
		return in.StatusEquals == "" || j.Job.TransformJobStatus == in.StatusEquals
	})
	if err != nil {
		return nil, err
	}
	found, next, err := page(found, func(j transformJob) listed {
		name := *j.Job.TransformJobName
		return listed{name, name, string(j.Job.TransformJobStatus), *j.Job.CreationTime, fromMillis(j.Modified)}
	}, query{in.NameContains, in.CreationTimeAfter, in.CreationTimeBefore, in.LastModifiedTimeAfter, in.LastModifiedTimeBefore,
		string(in.SortBy), in.SortOrder != types.SortOrderAscending, in.MaxResults, in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &sm.ListTransformJobsOutput{TransformJobSummaries: []types.TransformJobSummary{}, NextToken: next}
	for _, j := range found {
		out.TransformJobSummaries = append(out.TransformJobSummaries, types.TransformJobSummary{
			TransformJobName: j.Job.TransformJobName, TransformJobArn: j.Job.TransformJobArn, TransformJobStatus: j.Job.TransformJobStatus,
			CreationTime: j.Job.CreationTime, LastModifiedTime: aws.Time(fromMillis(j.Modified)), TransformEndTime: j.Job.TransformEndTime,
			FailureReason: j.Job.FailureReason,
		})
	}
	return out, nil
}

// emitTransform announces a job's present state.
func (s *SageMaker) emitTransform(j transformJob) {
	env := j.Job.Environment
	if env == nil {
		env = map[string]string{}
	}
	d := detail{
		"TransformJobName": j.Job.TransformJobName, "TransformJobArn": j.Job.TransformJobArn, "TransformJobStatus": j.Job.TransformJobStatus,
		"ModelName": j.Job.ModelName, "MaxConcurrentTransforms": j.Job.MaxConcurrentTransforms, "MaxPayloadInMB": j.Job.MaxPayloadInMB,
		"BatchStrategy": nil, "Environment": env, "TransformInput": shape(j.Job.TransformInput),
		"TransformOutput": shape(j.Job.TransformOutput), "TransformResources": shape(j.Job.TransformResources),
		"DataProcessing": shape(j.Job.DataProcessing), "CreationTime": millis(j.Job.CreationTime),
		"TransformStartTime": millis(j.Job.TransformStartTime), "TransformEndTime": millis(j.Job.TransformEndTime),
		"LastModifiedTime": j.Modified, "Tags": s.tagMap(*j.Job.TransformJobArn),
	}
	if j.Job.BatchStrategy != "" {
		d["BatchStrategy"] = j.Job.BatchStrategy
	}
	d.setIf("FailureReason", j.Job.FailureReason)
	s.emit("Transform Job", *j.Job.TransformJobArn, d)
}
