package sagemaker_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/sagemaker"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

func TestCreateTrainingJobRefuses(t *testing.T) {
	long := strings.Repeat("x", 2501)
	for name, tt := range map[string]struct {
		change func(*sm.CreateTrainingJobInput)
		part   string
	}{
		"name":           {func(in *sm.CreateTrainingJobInput) { in.TrainingJobName = aws.String("under_score") }, "1 validation error detected: Value 'under_score' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"},
		"name, anchored": {func(in *sm.CreateTrainingJobInput) { in.TrainingJobName = aws.String("ok bad") }, "'trainingJobName'"},
		"long name":      {func(in *sm.CreateTrainingJobInput) { in.TrainingJobName = aws.String(strings.Repeat("a", 64)) }, "Member must have length less than or equal to 63"},
		"role":           {func(in *sm.CreateTrainingJobInput) { in.RoleArn = aws.String("arn:aws:iam::1:role/short") }, "'roleArn' failed to satisfy constraint: Member must satisfy regular expression pattern"},
		"unknown role":   {func(in *sm.CreateTrainingJobInput) { in.RoleArn = aws.String(role + "-none") }, "Could not assume role " + role + "-none"},
		"enum":           {func(in *sm.CreateTrainingJobInput) { in.AlgorithmSpecification.TrainingInputMode = "Copy" }, "'algorithmSpecification.trainingInputMode' failed to satisfy constraint: Member must satisfy enum value set: [Pipe, File, FastFile]"},
		"two": {func(in *sm.CreateTrainingJobInput) {
			in.TrainingJobName, in.ResourceConfig.InstanceType = aws.String("_"), "m5"
		}, "2 validation errors detected: "},
		"hyperparameter": {func(in *sm.CreateTrainingJobInput) { in.HyperParameters = map[string]string{"a": long} }, "at 'hyperParameters' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 2500, Member must have length greater than or equal to 0, Member must satisfy regular expression pattern: .*]"},
		"list member":    {func(in *sm.CreateTrainingJobInput) { in.InputDataConfig = []types.Channel{channel("a b", "s3://a/")} }, "'inputDataConfig.1.member.channelName'"},
		"no resources":   {func(in *sm.CreateTrainingJobInput) { in.ResourceConfig = nil }, "Value null at 'resourceConfig' failed to satisfy constraint: Member must not be null"},
		"no image":       {func(in *sm.CreateTrainingJobInput) { in.AlgorithmSpecification.TrainingImage = nil }, "TrainingImage"},
		"same channel": {func(in *sm.CreateTrainingJobInput) {
			in.InputDataConfig = []types.Channel{channel("a", "s3://a/"), channel("a", "s3://b/")}
		}, "Channel names must be unique: a"},
		"https": {func(in *sm.CreateTrainingJobInput) { in.OutputDataConfig.S3OutputPath = aws.String("https://a/b") }, "must begin with s3://"},
		"metric": {func(in *sm.CreateTrainingJobInput) {
			in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{{Name: aws.String("m"), Regex: aws.String("(")}}
		}, "Invalid regular expression"},
		"tags twice": {func(in *sm.CreateTrainingJobInput) {
			in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}, {Key: aws.String("a"), Value: aws.String("2")}}
		}, "Duplicate tag keys"},
		"aws tag": {func(in *sm.CreateTrainingJobInput) {
			in.Tags = []types.Tag{{Key: aws.String("aws:a"), Value: aws.String("1")}}
		}, "aws: prefixed"},
		"instances": {func(in *sm.CreateTrainingJobInput) { in.ResourceConfig.InstanceCount = aws.Int32(2) }, "the local cloud does not support more than one instance"},
		"pipe": {func(in *sm.CreateTrainingJobInput) {
			in.AlgorithmSpecification.TrainingInputMode = types.TrainingInputModePipe
		}, "does not support Pipe mode"},
		"spot without a wait": {func(in *sm.CreateTrainingJobInput) { in.EnableManagedSpotTraining = aws.Bool(true) }, "MaxWaitTimeInSeconds must be set"},
		"spot wait too short": {func(in *sm.CreateTrainingJobInput) {
			in.EnableManagedSpotTraining, in.StoppingCondition.MaxWaitTimeInSeconds = aws.Bool(true), aws.Int32(1)
		}, "be greater than or equal to MaxRuntimeInSeconds"},
		"wait without spot": {func(in *sm.CreateTrainingJobInput) { in.StoppingCondition.MaxWaitTimeInSeconds = aws.Int32(86400) }, "only valid with EnableManagedSpotTraining"},
		"debugger's tensors": {func(in *sm.CreateTrainingJobInput) {
			in.DebugHookConfig = &types.DebugHookConfig{S3OutputPath: aws.String("s3://a/b"), CollectionConfigurations: []types.CollectionConfiguration{{CollectionName: aws.String("losses")}}}
		}, "does not support DebugHookConfig.CollectionConfigurations"},
		"checkpoints": {func(in *sm.CreateTrainingJobInput) {
			in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://a/b")}
		}, "does not support CheckpointConfig"},
		"VPC": {func(in *sm.CreateTrainingJobInput) {
			in.VpcConfig = &types.VpcConfig{SecurityGroupIds: []string{"sg-1"}, Subnets: []string{"subnet-1"}}
		}, "does not support VpcConfig"},
		"isolation": {func(in *sm.CreateTrainingJobInput) { in.EnableNetworkIsolation = aws.Bool(true) }, "does not support EnableNetworkIsolation"},
		"key":       {func(in *sm.CreateTrainingJobInput) { in.OutputDataConfig.KmsKeyId = aws.String("alias/k") }, "does not support OutputDataConfig.KmsKeyId"},
		"shuffle": {func(in *sm.CreateTrainingJobInput) {
			in.InputDataConfig = []types.Channel{channel("a", "s3://a/")}
			in.InputDataConfig[0].ShuffleConfig = &types.ShuffleConfig{Seed: aws.Int64(1)}
		}, "does not support InputDataConfig.ShuffleConfig"},
		"gzip channel": {func(in *sm.CreateTrainingJobInput) {
			in.InputDataConfig = []types.Channel{channel("a", "s3://a/")}
			in.InputDataConfig[0].CompressionType = types.CompressionTypeGzip
		}, "CompressionType Gzip"},
		"augmented": {func(in *sm.CreateTrainingJobInput) {
			in.InputDataConfig = []types.Channel{channel("a", "s3://a/")}
			in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = types.S3DataTypeAugmentedManifestFile
		}, "S3DataType AugmentedManifestFile"},
		"warm pool": {func(in *sm.CreateTrainingJobInput) { in.ResourceConfig.KeepAlivePeriodInSeconds = aws.Int32(60) }, "ResourceConfig.KeepAlivePeriodInSeconds"},
		"28 days":   {func(in *sm.CreateTrainingJobInput) { in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(29 * 86400) }, "MaxRuntimeInSeconds must be at most 2419200"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			in := training("job", "empty")
			tt.change(in)
			_, err := c.CreateTrainingJob(t.Context(), in)
			wantError(t, err, "ValidationException", tt.part)
			if n := len(c.events.of("job")); n != 0 {
				t.Errorf("%d events of a refused job", n)
			}
		})
	}
}

func TestCreateProcessingJobRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*sm.CreateProcessingJobInput)
		part   string
	}{
		"too long":      {func(in *sm.CreateProcessingJobInput) { in.StoppingCondition.MaxRuntimeInSeconds = aws.Int32(777601) }, "Value '777601' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value less than or equal to 777600"},
		"long variable": {func(in *sm.CreateProcessingJobInput) { in.Environment["A"] = strings.Repeat("x", 257) }, "'environment'"},
		"local path":    {func(in *sm.CreateProcessingJobInput) { in.ProcessingInputs[0].S3Input.LocalPath = aws.String("/tmp/x") }, "must be a path that begins with /opt/ml/processing/"},
		"dots": {func(in *sm.CreateProcessingJobInput) {
			in.ProcessingInputs[0].S3Input.LocalPath = aws.String("/opt/ml/processing/../../x")
		}, "must be a path that begins with /opt/ml/processing/"},
		"same input": {func(in *sm.CreateProcessingJobInput) {
			in.ProcessingInputs = append(in.ProcessingInputs, in.ProcessingInputs[0])
		}, "Input names must be unique: data"},
		"gzip": {func(in *sm.CreateProcessingJobInput) {
			in.ProcessingInputs[0].S3Input.S3CompressionType = types.ProcessingS3CompressionTypeGzip
		}, "needs S3InputMode Pipe"},
		"pipe": {func(in *sm.CreateProcessingJobInput) {
			in.ProcessingInputs[0].S3Input.S3InputMode = types.ProcessingS3InputModePipe
		}, "does not support S3InputMode Pipe"},
		"continuous": {func(in *sm.CreateProcessingJobInput) {
			in.ProcessingOutputConfig.Outputs[0].S3Output.S3UploadMode = types.ProcessingS3UploadModeContinuous
		}, "does not support S3UploadMode Continuous"},
		"feature store": {func(in *sm.CreateProcessingJobInput) {
			in.ProcessingOutputConfig.Outputs[0].FeatureStoreOutput = &types.ProcessingFeatureStoreOutput{FeatureGroupName: aws.String("g")}
		}, "ProcessingOutputConfig.Outputs.FeatureStoreOutput"},
		"isolation": {func(in *sm.CreateProcessingJobInput) {
			in.NetworkConfig = &types.NetworkConfig{EnableNetworkIsolation: aws.Bool(true)}
		}, "NetworkConfig.EnableNetworkIsolation"},
		"athena": {func(in *sm.CreateProcessingJobInput) {
			in.ProcessingInputs[0].DatasetDefinition = &types.DatasetDefinition{LocalPath: aws.String("/opt/ml/processing/x")}
		}, "ProcessingInputs.DatasetDefinition"},
		"experiment": {func(in *sm.CreateProcessingJobInput) {
			in.ExperimentConfig = &types.ExperimentConfig{ExperimentName: aws.String("e")}
		}, "ExperimentConfig"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			in := processing("job", "empty")
			in.ProcessingInputs = []types.ProcessingInput{s3Input("data", "s3://data/a", types.ProcessingS3DataTypeS3Prefix)}
			in.ProcessingOutputConfig = &types.ProcessingOutputConfig{Outputs: []types.ProcessingOutput{s3Output("out", "s3://out/job")}}
			tt.change(in)
			_, err := c.CreateProcessingJob(t.Context(), in)
			wantError(t, err, "ValidationException", tt.part)
		})
	}
}

func TestCreateTransformJobRefuses(t *testing.T) {
	filters := func(d types.DataProcessing) func(*sm.CreateTransformJobInput) {
		return func(in *sm.CreateTransformJobInput) { in.DataProcessing = &d }
	}
	for name, tt := range map[string]struct {
		change func(*sm.CreateTransformJobInput)
		part   string
	}{
		"model": {func(in *sm.CreateTransformJobInput) { in.ModelName = aws.String("none") }, `Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/none".`},
		"payload": {func(in *sm.CreateTransformJobInput) {
			in.MaxPayloadInMB, in.MaxConcurrentTransforms = aws.Int32(60), aws.Int32(2)
		}, "must not exceed 100 MB"},
		"strategy": {func(in *sm.CreateTransformJobInput) {
			in.BatchStrategy, in.TransformInput.SplitType = types.BatchStrategyMultiRecord, ""
		}, "needs a SplitType"},
		"recordio": {func(in *sm.CreateTransformJobInput) { in.TransformInput.SplitType = types.SplitTypeRecordio }, "SplitType RecordIO"},
		"capture": {func(in *sm.CreateTransformJobInput) {
			in.DataCaptureConfig = &types.BatchDataCaptureConfig{DestinationS3Uri: aws.String("s3://a/b")}
		}, "DataCaptureConfig"},
		"filter":      {filters(types.DataProcessing{InputFilter: aws.String("id")}), "must begin with $"},
		"name in CSV": {filters(types.DataProcessing{OutputFilter: aws.String("$.id")}), "for CSV only column positions"},
		"join accept": {func(in *sm.CreateTransformJobInput) {
			filters(types.DataProcessing{JoinSource: "Input"})(in)
			in.TransformOutput.Accept = aws.String("application/json")
		}, "needs an Accept that matches"},
		"join lines": {func(in *sm.CreateTransformJobInput) {
			filters(types.DataProcessing{JoinSource: "Input"})(in)
			in.TransformOutput.AssembleWith = ""
		}, "needs an AssembleWith"},
		"content type": {func(in *sm.CreateTransformJobInput) {
			filters(types.DataProcessing{JoinSource: "Input"})(in)
			in.TransformInput.ContentType = aws.String("image/png")
		}, "DataProcessing needs a ContentType"},
		"long filter": {filters(types.DataProcessing{InputFilter: aws.String("$." + strings.Repeat("a", 63))}), "'dataProcessing.inputFilter' failed to satisfy constraint: Member must have length less than or equal to 63"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			c.model(t, "serve")
			in := transform()
			tt.change(in)
			_, err := c.CreateTransformJob(t.Context(), in)
			wantError(t, err, "ValidationException", tt.part)
		})
	}
}

func TestNamesAreTakenAndNotFound(t *testing.T) {
	c := open(t, nil)
	c.model(t, "serve")
	c.s3.put("s3://data/in/a", "a")
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "empty")); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateTrainingJob(t.Context(), training("JOB", "empty"))
	wantError(t, err, "ResourceInUse", "Training job names must be unique within an AWS account and region, and a training job with this name already exists (arn:aws:sagemaker:us-east-1:000000000000:training-job/job)")
	if _, err = c.CreateProcessingJob(t.Context(), processing("job", "empty")); err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateProcessingJob(t.Context(), processing("job", "empty"))
	wantError(t, err, "ResourceInUse", "Job name must be unique within an AWS account and region, and a job with this name already exists")
	if _, err = c.CreateTransformJob(t.Context(), transform()); err != nil {
		t.Fatal(err)
	}
	_, err = c.CreateTransformJob(t.Context(), transform())
	wantError(t, err, "ResourceInUse", "transform-job/score")
	none := aws.String("none")
	_, err = c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: none})
	wantError(t, err, "ValidationException", "Requested resource not found.")
	_, err = c.DescribeProcessingJob(t.Context(), &sm.DescribeProcessingJobInput{ProcessingJobName: none})
	wantError(t, err, "ResourceNotFound", "Could not find requested job with name: none")
	_, err = c.DescribeTransformJob(t.Context(), &sm.DescribeTransformJobInput{TransformJobName: none})
	wantError(t, err, "ResourceNotFound", "Could not find requested job with name: none")
	_, err = c.StopProcessingJob(t.Context(), &sm.StopProcessingJobInput{ProcessingJobName: none})
	wantError(t, err, "ResourceNotFound", "none")
	_, err = c.StopTransformJob(t.Context(), &sm.StopTransformJobInput{TransformJobName: none})
	wantError(t, err, "ResourceNotFound", "none")
	_, err = c.ListEndpoints(t.Context(), &sm.ListEndpointsInput{})
	wantError(t, err, "UnknownOperationException", "the local cloud does not support sagemaker:ListEndpoints")
}

func TestPermissions(t *testing.T) {
	for denied, want := range map[string]string{
		"sagemaker:CreateTrainingJob": "arn:aws:sagemaker:us-east-1:000000000000:training-job/job",
		"iam:PassRole":                role,
		"sagemaker:AddTags":           "arn:aws:sagemaker:us-east-1:000000000000:training-job/job",
	} {
		t.Run(denied, func(t *testing.T) {
			c := open(t, func(s *setup) {
				s.Authorize = func(_ context.Context, action, resource string) error {
					if action == denied {
						return wire.Errorf("AccessDeniedException", "not authorized to perform: %s on resource: %s", action, resource)
					}
					return nil
				}
			})
			in := training("Job", "empty")
			in.Tags = []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}
			_, err := c.CreateTrainingJob(t.Context(), in)
			wantError(t, err, "AccessDeniedException", denied+" on resource: "+want)
		})
	}
}

// Every supported path names a member that exists: a typo would refuse it for ever.
func TestSupportedMembersExist(t *testing.T) {
	inputs := map[string]any{"CreateTrainingJob": sm.CreateTrainingJobInput{}, "CreateProcessingJob": sm.CreateProcessingJobInput{},
		"CreateTransformJob": sm.CreateTransformJobInput{}, "CreateModel": sm.CreateModelInput{}, "CreateModelPackage": sm.CreateModelPackageInput{},
		"CreateModelPackageGroup": sm.CreateModelPackageGroupInput{}}
	for op, paths := range sagemaker.Supported() {
		in, ok := inputs[op]
		if !ok {
			t.Errorf("operation %s is not checked here", op)
			continue
		}
		for _, path := range paths {
			at := reflect.TypeOf(in)
			for _, name := range strings.Split(path, ".") {
				for at.Kind() == reflect.Pointer || at.Kind() == reflect.Slice {
					at = at.Elem()
				}
				f, ok := at.FieldByName(name)
				if !ok {
					t.Errorf("%s has no member %s (%s)", op, path, name)
					break
				}
				at = f.Type
			}
		}
	}
}

func TestListJobs(t *testing.T) {
	clk := newSteps()
	c := open(t, func(s *setup) { s.Clock = clk })
	c.model(t, "serve")
	c.s3.put("s3://data/in/a", "a")
	for _, name := range []string{"beta", "alpha", "gamma"} {
		behaviour := map[string]string{"alpha": "fail"}[name]
		if behaviour == "" {
			behaviour = "empty"
		}
		if _, err := c.CreateTrainingJob(t.Context(), training(name, behaviour)); err != nil {
			t.Fatal(err)
		}
		c.ended("Training", name)
		if _, err := c.CreateProcessingJob(t.Context(), processing(name, behaviour)); err != nil {
			t.Fatal(err)
		}
		c.ended("Processing", name)
		in := transform()
		in.TransformJobName = aws.String(name)
		if _, err := c.CreateTransformJob(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		c.ended("Transform", name)
	}
	for name, tt := range map[string]struct {
		by     types.SortBy
		order  types.SortOrder
		status string
		name   string
		want   string // training and processing
		batch  string
	}{
		"default":    {want: "beta alpha gamma", batch: "gamma alpha beta"},
		"name":       {by: "Name", order: "Ascending", want: "alpha beta gamma", batch: "alpha beta gamma"},
		"descending": {order: "Descending", want: "gamma alpha beta", batch: "gamma alpha beta"},
		"status":     {by: "Status", order: "Descending", want: "alpha gamma beta", batch: "gamma beta alpha"},
		"failed":     {status: "Failed", want: "alpha", batch: ""},
		"contains":   {name: "ET", want: "beta", batch: "beta"},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.list(t, tt.by, tt.order, tt.status, tt.name)
			for i, want := range []string{tt.want, tt.want, tt.batch} {
				if g := strings.Join(got[i], " "); g != want {
					t.Errorf("list %d: %s, want %s", i, g, want)
				}
			}
		})
	}
}

// list pages, one by one, through training, processing and transform jobs.
func (c *cloud) list(t *testing.T, by types.SortBy, order types.SortOrder, status, name string) (got [3][]string) {
	t.Helper()
	one := aws.Int32(1)
	var contains *string
	if name != "" {
		contains = &name
	}
	tp := sm.NewListTrainingJobsPaginator(c, &sm.ListTrainingJobsInput{MaxResults: one, SortBy: by, SortOrder: order, StatusEquals: types.TrainingJobStatus(status), NameContains: contains})
	for tp.HasMorePages() {
		out, err := tp.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range out.TrainingJobSummaries {
			got[0] = append(got[0], *j.TrainingJobName)
		}
	}
	pp := sm.NewListProcessingJobsPaginator(c, &sm.ListProcessingJobsInput{MaxResults: one, SortBy: by, SortOrder: order, StatusEquals: types.ProcessingJobStatus(status), NameContains: contains})
	for pp.HasMorePages() {
		out, err := pp.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range out.ProcessingJobSummaries {
			got[1] = append(got[1], *j.ProcessingJobName)
		}
	}
	bp := sm.NewListTransformJobsPaginator(c, &sm.ListTransformJobsInput{MaxResults: one, SortBy: by, SortOrder: order, StatusEquals: types.TransformJobStatus(status), NameContains: contains})
	for bp.HasMorePages() {
		out, err := bp.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range out.TransformJobSummaries {
			got[2] = append(got[2], *j.TransformJobName)
		}
	}
	return got
}
