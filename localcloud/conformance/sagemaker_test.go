package conformance_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

const smAPI = "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_"

// A job that was stopped writes what it has before it ends: until then its bucket
// cannot go. So its end is waited for, looked at first after jobLook.
const (
	jobEnds = 15 * time.Minute
	jobLook = 50 * time.Millisecond
)

// training starts a job that does what its hyperparameter says.
func (c *call) training(name, bucket, do string) result[*sm.CreateTrainingJobOutput] {
	c.Helper()
	r := try(c.sm.CreateTrainingJob(c.ctx, &sm.CreateTrainingJobInput{TrainingJobName: &name, RoleArn: ref(c.roleARN()), HyperParameters: map[string]string{"do": do},
		AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: ref(c.image()), TrainingInputMode: types.TrainingInputModeFile,
			MetricDefinitions: []types.MetricDefinition{{Name: ref("loss"), Regex: ref("validation-loss:([0-9.]+);")}}},
		OutputDataConfig:  &types.OutputDataConfig{S3OutputPath: ref("s3://" + bucket + "/models")},
		ResourceConfig:    &types.ResourceConfig{InstanceType: "ml.m5.large", InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(1)},
		StoppingCondition: &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(600)}, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}}}))
	if r.err == nil {
		c.after(func(ctx context.Context) error {
			_, _ = c.sm.StopTrainingJob(ctx, &sm.StopTrainingJobInput{TrainingJobName: &name})
			_ = sm.NewTrainingJobCompletedOrStoppedWaiter(c.sm).Wait(ctx, &sm.DescribeTrainingJobInput{TrainingJobName: &name}, jobEnds,
				func(o *sm.TrainingJobCompletedOrStoppedWaiterOptions) { o.MinDelay, o.MaxDelay = jobLook, 100*jobLook })
			return nil // jobs cannot be deleted, and cost nothing once they have ended
		})
	}
	return r
}

// trained waits for the end of a job.
func (c *call) trained(name string) *sm.DescribeTrainingJobOutput {
	c.Helper()
	var out *sm.DescribeTrainingJobOutput
	c.eventually("the end of "+name, func() bool {
		out = try(c.sm.DescribeTrainingJob(c.ctx, &sm.DescribeTrainingJobInput{TrainingJobName: &name})).ok(c)
		return out.TrainingJobStatus != types.TrainingJobStatusInProgress && out.TrainingJobStatus != types.TrainingJobStatusStopping
	})
	return out
}

func (c *call) processing(name, bucket, do string) result[*sm.CreateProcessingJobOutput] {
	c.Helper()
	in := &sm.CreateProcessingJobInput{ProcessingJobName: &name, RoleArn: ref(c.roleARN()),
		AppSpecification:    &types.AppSpecification{ImageUri: ref(c.image()), ContainerArguments: []string{do}},
		ProcessingResources: &types.ProcessingResources{ClusterConfig: &types.ProcessingClusterConfig{InstanceType: "ml.m5.large", InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(1)}},
		StoppingCondition:   &types.ProcessingStoppingCondition{MaxRuntimeInSeconds: aws.Int32(600)},
		ProcessingOutputConfig: &types.ProcessingOutputConfig{Outputs: []types.ProcessingOutput{{OutputName: ref("out"),
			S3Output: &types.ProcessingS3Output{S3Uri: ref("s3://" + bucket + "/out"), LocalPath: ref("/opt/ml/processing/output"), S3UploadMode: types.ProcessingS3UploadModeEndOfJob}}}}}
	if do == "copy" {
		in.ProcessingInputs = []types.ProcessingInput{{InputName: ref("in"), S3Input: &types.ProcessingS3Input{S3Uri: ref("s3://" + bucket + "/in"), LocalPath: ref("/opt/ml/processing/input/in"),
			S3DataType: types.ProcessingS3DataTypeS3Prefix, S3InputMode: types.ProcessingS3InputModeFile}}}
	}
	r := try(c.sm.CreateProcessingJob(c.ctx, in))
	if r.err == nil {
		c.after(func(ctx context.Context) error {
			_, _ = c.sm.StopProcessingJob(ctx, &sm.StopProcessingJobInput{ProcessingJobName: &name})
			_ = sm.NewProcessingJobCompletedOrStoppedWaiter(c.sm).Wait(ctx, &sm.DescribeProcessingJobInput{ProcessingJobName: &name}, jobEnds,
				func(o *sm.ProcessingJobCompletedOrStoppedWaiterOptions) {
					o.MinDelay, o.MaxDelay = jobLook, 100*jobLook
				})
			return nil
		})
	}
	return r
}

func (c *call) processed(name string) *sm.DescribeProcessingJobOutput {
	c.Helper()
	var out *sm.DescribeProcessingJobOutput
	c.eventually("the end of "+name, func() bool {
		out = try(c.sm.DescribeProcessingJob(c.ctx, &sm.DescribeProcessingJobInput{ProcessingJobName: &name})).ok(c)
		return out.ProcessingJobStatus != types.ProcessingJobStatusInProgress && out.ProcessingJobStatus != types.ProcessingJobStatusStopping
	})
	return out
}

// trainings are the names of a page, without what they have in common.
func trainings(prefix string, out *sm.ListTrainingJobsOutput) string {
	var names []string
	for _, j := range out.TrainingJobSummaries {
		names = append(names, strings.TrimPrefix(*j.TrainingJobName, prefix))
	}
	return strings.Join(names, " ")
}

var jobBehaviours = []behaviour{
	{id: "sagemaker.training.completed", says: "a training job completes with a model, its metrics, its times and what was asked", source: smAPI + "DescribeTrainingJob.html", need: needCost, run: func(c *call) {
		b, name := c.bucket(), c.name()
		arn := c.training(name, b, "").ok(c).TrainingJobArn
		out := c.trained(name)
		equal(c, "job", []string{string(out.TrainingJobStatus), string(out.SecondaryStatus), str(out.TrainingJobArn), *arn, str(out.ModelArtifacts.S3ModelArtifacts), out.HyperParameters["do"], str(out.OutputDataConfig.S3OutputPath)},
			[]string{"Completed", "Completed", c.arn("sagemaker", "training-job/"+name), c.arn("sagemaker", "training-job/"+name), "s3://" + b + "/models/" + name + "/output/model.tar.gz", "", "s3://" + b + "/models"})
		if out.TrainingStartTime == nil || out.TrainingEndTime == nil || out.TrainingEndTime.Before(*out.TrainingStartTime) || out.FailureReason != nil || num(out.BillableTimeInSeconds) < 0 {
			c.Errorf("times: %+v", out)
		}
		if len(out.FinalMetricDataList) != 1 || str(out.FinalMetricDataList[0].MetricName) != "loss" || *out.FinalMetricDataList[0].Value != 0.25 {
			c.Errorf("metrics: %+v", out.FinalMetricDataList)
		}
		last := out.SecondaryStatusTransitions[len(out.SecondaryStatusTransitions)-1]
		equal(c, "last transition", last.Status, "Completed")
		c.head(b, "models/"+name+"/output/model.tar.gz").ok(c)
		equal(c, "tags", len(try(c.sm.ListTags(c.ctx, &sm.ListTagsInput{ResourceArn: arn})).ok(c).Tags), 1)
	}},
	{id: "sagemaker.training.failed", says: "a training job that fails tells the reason that its program left, as an AlgorithmError", source: "https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-output.html", need: needCost, run: func(c *call) {
		name := c.name()
		c.training(name, c.bucket(), "fail").ok(c)
		out := c.trained(name)
		equal(c, "status", out.TrainingJobStatus, "Failed")
		if !strings.HasPrefix(str(out.FailureReason), "AlgorithmError:") || !strings.Contains(*out.FailureReason, "the data is bad") {
			c.Errorf("reason: %s", str(out.FailureReason))
		}
	}},
	{id: "sagemaker.training.stop", says: "a stopped training job is Stopping, then Stopped; to stop it once more is refused", source: smAPI + "StopTrainingJob.html", need: needCost, run: func(c *call) {
		name := c.name()
		c.training(name, c.bucket(), "sleep").ok(c)
		try(c.sm.StopTrainingJob(c.ctx, &sm.StopTrainingJobInput{TrainingJobName: &name})).ok(c)
		out := c.trained(name)
		equal(c, "status", []any{out.TrainingJobStatus, out.SecondaryStatus}, "[Stopped Stopped]")
		try(c.sm.StopTrainingJob(c.ctx, &sm.StopTrainingJobInput{TrainingJobName: &name})).fails(c, 400, "ValidationException", "status Stopped")
	}},
	{id: "sagemaker.training.name", says: "a name is used once: ResourceInUse", source: smAPI + "CreateTrainingJob.html", need: needCost, run: func(c *call) {
		b, name := c.bucket(), c.name()
		c.training(name, b, "").ok(c)
		c.training(name, b, "").fails(c, 400, "ResourceInUse", "Training job names must be unique within an AWS account and region")
		c.training("not_valid", b, "").fails(c, 400, "ValidationException", "1 validation error detected", "trainingJobName")
	}},
	{id: "sagemaker.training.missing", says: "a training job that is not there is ValidationException", source: smAPI + "DescribeTrainingJob.html", run: func(c *call) {
		try(c.sm.DescribeTrainingJob(c.ctx, &sm.DescribeTrainingJobInput{TrainingJobName: ref(c.name())})).fails(c, 400, "ValidationException", "Requested resource not found.")
		try(c.sm.StopTrainingJob(c.ctx, &sm.StopTrainingJobInput{TrainingJobName: ref(c.name())})).fails(c, 400, "ValidationException", "Requested resource not found.")
	}},
	{id: "sagemaker.list-training.sort", says: "training jobs are listed by creation time, oldest first, or by name or status, either way", source: smAPI + "ListTrainingJobs.html", need: needCost, run: func(c *call) {
		prefix, b := c.name()+"-", c.bucket()
		for i, end := range []string{"b", "c", "a"} {
			c.training(prefix+end, b, []string{"", "fail", ""}[i]).ok(c)
			c.trained(prefix + end)
		}
		list := func(in sm.ListTrainingJobsInput) string {
			in.NameContains = &prefix
			return trainings(prefix, try(c.sm.ListTrainingJobs(c.ctx, &in)).ok(c))
		}
		equal(c, "usual", list(sm.ListTrainingJobsInput{}), "b c a")
		equal(c, "newest first", list(sm.ListTrainingJobsInput{SortOrder: types.SortOrderDescending}), "a c b")
		equal(c, "by name", list(sm.ListTrainingJobsInput{SortBy: types.SortByName, SortOrder: types.SortOrderAscending}), "a b c")
		equal(c, "by name, backwards", list(sm.ListTrainingJobsInput{SortBy: types.SortByName, SortOrder: types.SortOrderDescending}), "c b a")
		equal(c, "failed", list(sm.ListTrainingJobsInput{StatusEquals: types.TrainingJobStatusFailed}), "c")
		at := try(c.sm.DescribeTrainingJob(c.ctx, &sm.DescribeTrainingJobInput{TrainingJobName: ref(prefix + "c")})).ok(c).CreationTime
		equal(c, "since", list(sm.ListTrainingJobsInput{CreationTimeAfter: aws.Time(at.Add(time.Hour))}), "")
		equal(c, "before", list(sm.ListTrainingJobsInput{CreationTimeBefore: aws.Time(at.Add(time.Hour)), SortBy: types.SortByName, SortOrder: types.SortOrderAscending}), "a b c")
		equal(c, "modified since", list(sm.ListTrainingJobsInput{LastModifiedTimeAfter: aws.Time(at.Add(time.Hour))}), "")
	}},
	{id: "sagemaker.list-training.pages", says: "training jobs come in pages, and a job that begins between them moves none", source: smAPI + "ListTrainingJobs.html", need: needCost, run: func(c *call) {
		prefix, b := c.name()+"-", c.bucket()
		for _, end := range []string{"a", "b", "c"} {
			c.training(prefix+end, b, "").ok(c)
		}
		in := &sm.ListTrainingJobsInput{NameContains: &prefix, MaxResults: aws.Int32(2), SortOrder: types.SortOrderDescending}
		first := try(c.sm.ListTrainingJobs(c.ctx, in)).ok(c)
		equal(c, "first", trainings(prefix, first), "c b")
		c.training(prefix+"d", b, "").ok(c)
		in.NextToken = first.NextToken
		second := try(c.sm.ListTrainingJobs(c.ctx, in)).ok(c)
		equal(c, "second", []string{trainings(prefix, second), str(second.NextToken)}, "[a <nil>]")
	}},
	{id: "sagemaker.list.token.invalid", says: "a token that is none is ValidationException", source: smAPI + "ListTrainingJobs.html", run: func(c *call) {
		try(c.sm.ListTrainingJobs(c.ctx, &sm.ListTrainingJobsInput{NextToken: ref("none")})).fails(c, 400, "ValidationException")
		try(c.sm.ListModels(c.ctx, &sm.ListModelsInput{NextToken: ref("none")})).fails(c, 400, "ValidationException")
		try(c.sm.ListProcessingJobs(c.ctx, &sm.ListProcessingJobsInput{NextToken: ref("none")})).fails(c, 400, "ValidationException")
	}},
	{id: "sagemaker.list.max-results", says: "MaxResults goes from 1 to 100", source: smAPI + "ListTrainingJobs.html", run: func(c *call) {
		try(c.sm.ListTrainingJobs(c.ctx, &sm.ListTrainingJobsInput{MaxResults: aws.Int32(101)})).fails(c, 400, "ValidationException", "Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100")
	}},
	{id: "sagemaker.processing.completed", says: "a processing job reads its inputs, uploads its outputs, and tells the message it left", source: smAPI + "DescribeProcessingJob.html", need: needCost, run: func(c *call) {
		b, name := c.bucket(), c.name()
		c.put(b, "in/k", "hello").ok(c)
		c.processing(name, b, "copy").ok(c)
		out := c.processed(name)
		equal(c, "job", []string{string(out.ProcessingJobStatus), str(out.ExitMessage), str(out.ProcessingJobArn)}, []string{"Completed", "copied", c.arn("sagemaker", "processing-job/"+name)})
		equal(c, "output", c.read(b, "out/k"), "hello")
	}},
	{id: "sagemaker.processing.failed", says: "a processing job whose program fails is Failed with an AlgorithmError", source: smAPI + "DescribeProcessingJob.html", need: needCost, run: func(c *call) {
		name := c.name()
		c.processing(name, c.bucket(), "fail").ok(c)
		out := c.processed(name)
		if out.ProcessingJobStatus != "Failed" || !strings.HasPrefix(str(out.FailureReason), "AlgorithmError:") {
			c.Errorf("%s: %s", out.ProcessingJobStatus, str(out.FailureReason))
		}
	}},
	{id: "sagemaker.processing.stop", says: "a stopped processing job is Stopped", source: smAPI + "StopProcessingJob.html", need: needCost, run: func(c *call) {
		name := c.name()
		c.processing(name, c.bucket(), "sleep").ok(c)
		try(c.sm.StopProcessingJob(c.ctx, &sm.StopProcessingJobInput{ProcessingJobName: &name})).ok(c)
		equal(c, "status", c.processed(name).ProcessingJobStatus, "Stopped")
	}},
	{id: "sagemaker.processing.missing", says: "a processing job that is not there is ResourceNotFound", source: smAPI + "DescribeProcessingJob.html", run: func(c *call) {
		try(c.sm.DescribeProcessingJob(c.ctx, &sm.DescribeProcessingJobInput{ProcessingJobName: ref(c.name())})).fails(c, 400, "ResourceNotFound", "Could not find requested job with name")
	}},
	{id: "sagemaker.list-processing.filter", says: "processing jobs are listed by name and by status", source: smAPI + "ListProcessingJobs.html", need: needCost, run: func(c *call) {
		prefix, b := c.name()+"-", c.bucket()
		c.processing(prefix+"a", b, "fail").ok(c)
		c.processed(prefix + "a")
		list := func(status types.ProcessingJobStatus) int {
			return len(try(c.sm.ListProcessingJobs(c.ctx, &sm.ListProcessingJobsInput{NameContains: &prefix, StatusEquals: status})).ok(c).ProcessingJobSummaries)
		}
		equal(c, "listed", fmt.Sprint(list(""), list("Failed"), list("Completed")), "1 1 0")
	}},
	{id: "sagemaker.transform.completed", says: "a transform job sends each line to the model and writes what it answers beside its name", source: smAPI + "CreateTransformJob.html", need: needCost, run: func(c *call) {
		b, name := c.bucket(), c.name()
		c.put(b, "in/rows.csv", "a,b\nc,d\n").ok(c)
		model := c.model(name, b)
		c.transform(name, model, b).ok(c)
		out := c.transformed(name)
		equal(c, "status", []string{string(out.TransformJobStatus), str(out.FailureReason), str(out.ModelName)}, []string{"Completed", "<nil>", model})
		equal(c, "output", strings.TrimSpace(c.read(b, "out/rows.csv.out")), "A,B\nC,D")
	}},
	{id: "sagemaker.transform.missing", says: "a transform job that is not there is ResourceNotFound, its model ValidationException", source: smAPI + "DescribeTransformJob.html", run: func(c *call) {
		try(c.sm.DescribeTransformJob(c.ctx, &sm.DescribeTransformJobInput{TransformJobName: ref(c.name())})).fails(c, 400, "ResourceNotFound", "Could not find requested job with name")
		c.transform(c.name(), c.name(), c.name()).fails(c, 400, "ValidationException", "Could not find model")
	}},
	{id: "sagemaker.list-transform", says: "transform jobs are listed by name and status", source: smAPI + "ListTransformJobs.html", need: needCost, run: func(c *call) {
		b, name := c.bucket(), c.name()
		c.put(b, "in/rows.csv", "a\n").ok(c)
		c.transform(name, c.model(name, b), b).ok(c)
		c.transformed(name)
		list := func(status types.TransformJobStatus) int {
			return len(try(c.sm.ListTransformJobs(c.ctx, &sm.ListTransformJobsInput{NameContains: &name, StatusEquals: status})).ok(c).TransformJobSummaries)
		}
		equal(c, "listed", fmt.Sprint(list(""), list("Completed"), list("Failed")), "1 1 0")
	}},
	{id: "sagemaker.transform.stop", says: "to stop a transform job that has ended is refused", source: smAPI + "StopTransformJob.html", need: needCost, run: func(c *call) {
		b, name := c.bucket(), c.name()
		c.put(b, "in/rows.csv", "a\n").ok(c)
		c.transform(name, c.model(name, b), b).ok(c)
		c.transformed(name)
		try(c.sm.StopTransformJob(c.ctx, &sm.StopTransformJobInput{TransformJobName: &name})).fails(c, 400, "ValidationException")
	}},
}

func (c *call) transform(name, model, bucket string) result[*sm.CreateTransformJobOutput] {
	r := try(c.sm.CreateTransformJob(c.ctx, &sm.CreateTransformJobInput{TransformJobName: &name, ModelName: &model, BatchStrategy: types.BatchStrategySingleRecord,
		TransformInput: &types.TransformInput{ContentType: ref("text/csv"), SplitType: types.SplitTypeLine,
			DataSource: &types.TransformDataSource{S3DataSource: &types.TransformS3DataSource{S3DataType: types.S3DataTypeS3Prefix, S3Uri: ref("s3://" + bucket + "/in/")}}},
		TransformOutput:    &types.TransformOutput{S3OutputPath: ref("s3://" + bucket + "/out/"), AssembleWith: types.AssemblyTypeLine},
		TransformResources: &types.TransformResources{InstanceType: "ml.m5.large", InstanceCount: aws.Int32(1)}}))
	return r
}

func (c *call) transformed(name string) *sm.DescribeTransformJobOutput {
	c.Helper()
	var out *sm.DescribeTransformJobOutput
	c.eventually("the end of "+name, func() bool {
		out = try(c.sm.DescribeTransformJob(c.ctx, &sm.DescribeTransformJobInput{TransformJobName: &name})).ok(c)
		return out.TransformJobStatus != types.TransformJobStatusInProgress && out.TransformJobStatus != types.TransformJobStatusStopping
	})
	return out
}
