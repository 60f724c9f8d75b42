package jobs

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/statemachine"
)

// Folders of a processing job's container.
const (
	inputFolder  = "/opt/ml/processing/input/"
	outputFolder = "/opt/ml/processing/output/"
)

// Job is what all of a run's jobs have in common.
type Job struct {
	Pipeline string
	Run      int
	Step     string
	Attempt  int
	Image    string // pinned by digest
	Role     string // ARN of the jobs' role
	Config   string // S3 URI of the prefix that holds job.json, ending in /
	Output   string // S3 URI of the step's own prefix, ending in /
}

// Name is the job's name: the same for every try of the same attempt.
func (j Job) Name() string {
	return fmt.Sprintf("%s-%d-%s-%d", j.Pipeline, j.Run, j.Step, j.Attempt)
}

func (j Job) tags() []types.Tag {
	return []types.Tag{
		{Key: aws.String("millrace:pipeline"), Value: aws.String(j.Pipeline)},
		{Key: aws.String("millrace:run"), Value: aws.String(strconv.Itoa(j.Run))},
	}
}

// Outputs are the names of what each step's job writes, by step. Training's
// only output is its model, at a place that SageMaker chooses.
var Outputs = map[string][]string{
	statemachine.StepPrepare:       {"train", "validation", "test", "rows", "model", "baseline", "quality"},
	statemachine.StepEvaluate:      {"evaluation"},
	statemachine.StepPrepareScores: {"batch", "quality"},
}

// OutputURIs are where a processing job's outputs go, by name.
func (j Job) OutputURIs() map[string]string {
	uris := map[string]string{}
	for _, name := range Outputs[j.Step] {
		uris[name] = j.Output + name + "/"
	}
	return uris
}

// Input is a named S3 prefix (or object) that a job reads.
type Input struct {
	Name     string
	URI      string
	Manifest bool // URI is a manifest that lists the objects
}

// Process makes a processing job of the worker's program.
func (j Job) Process(r definition.Resources, inputs ...Input) Request {
	in := &sagemaker.CreateProcessingJobInput{
		ProcessingJobName: aws.String(j.Name()),
		RoleArn:           &j.Role,
		AppSpecification:  &types.AppSpecification{ImageUri: &j.Image, ContainerArguments: []string{j.Step}},
		ProcessingResources: &types.ProcessingResources{ClusterConfig: &types.ProcessingClusterConfig{
			InstanceCount: aws.Int32(int32(r.Count)), InstanceType: types.ProcessingInstanceType(r.Instance), VolumeSizeInGB: aws.Int32(int32(r.VolumeGB))}},
		StoppingCondition:      &types.ProcessingStoppingCondition{MaxRuntimeInSeconds: seconds(r.MaxRuntime)},
		ProcessingOutputConfig: &types.ProcessingOutputConfig{},
		Tags:                   j.tags(),
	}
	if r.Count > 1 { // rows travel between the machines
		in.NetworkConfig = &types.NetworkConfig{EnableInterContainerTrafficEncryption: aws.Bool(true)}
	}
	for _, i := range append([]Input{{Name: "config", URI: j.Config}}, inputs...) {
		kind, share := types.ProcessingS3DataTypeS3Prefix, types.ProcessingS3DataDistributionTypeFullyreplicated
		if i.Manifest {
			kind = types.ProcessingS3DataTypeManifestFile
			if r.Count > 1 {
				share = types.ProcessingS3DataDistributionTypeShardedbys3key
			}
		}
		in.ProcessingInputs = append(in.ProcessingInputs, types.ProcessingInput{InputName: aws.String(i.Name), S3Input: &types.ProcessingS3Input{
			S3Uri: aws.String(i.URI), LocalPath: aws.String(inputFolder + i.Name), S3DataType: kind,
			S3InputMode: types.ProcessingS3InputModeFile, S3DataDistributionType: share}})
	}
	uris := j.OutputURIs()
	for _, name := range Outputs[j.Step] {
		in.ProcessingOutputConfig.Outputs = append(in.ProcessingOutputConfig.Outputs, types.ProcessingOutput{OutputName: aws.String(name), S3Output: &types.ProcessingS3Output{
			S3Uri: aws.String(uris[name]), LocalPath: aws.String(outputFolder + name), S3UploadMode: types.ProcessingS3UploadModeEndOfJob}})
	}
	return Request{Processing: in}
}

// Train makes the training job; prepared are the outputs of preparation.
func (j Job) Train(t definition.Train, prepared map[string]string) Request {
	hyper := maps.Clone(t.Hyperparameters)
	if hyper == nil {
		hyper = map[string]string{}
	}
	if _, given := hyper["seed"]; !given {
		hyper["seed"] = strconv.FormatInt(t.Seed, 10)
	}
	in := &sagemaker.CreateTrainingJobInput{
		TrainingJobName: aws.String(j.Name()),
		RoleArn:         &j.Role,
		AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: &j.Image, TrainingInputMode: types.TrainingInputModeFile,
			MetricDefinitions: []types.MetricDefinition{
				{Name: aws.String("train:loss"), Regex: aws.String(`train-[a-z]+:([0-9.eE+-]+)`)},
				{Name: aws.String("validation:loss"), Regex: aws.String(`validation-[a-z]+:([0-9.eE+-]+)`)},
			}},
		HyperParameters:   hyper,
		OutputDataConfig:  &types.OutputDataConfig{S3OutputPath: aws.String(j.Output)},
		ResourceConfig:    &types.ResourceConfig{InstanceType: types.TrainingInstanceType(t.Instance), InstanceCount: aws.Int32(int32(t.Count)), VolumeSizeInGB: aws.Int32(int32(t.VolumeGB))},
		StoppingCondition: &types.StoppingCondition{MaxRuntimeInSeconds: seconds(t.MaxRuntime)},
		Tags:              j.tags(),
	}
	if j.onSpot(t) {
		in.EnableManagedSpotTraining, in.StoppingCondition.MaxWaitTimeInSeconds = aws.Bool(true), seconds(t.MaxWait)
	}
	channel := func(name, uri, contentType string) {
		in.InputDataConfig = append(in.InputDataConfig, types.Channel{ChannelName: aws.String(name), ContentType: aws.String(contentType), InputMode: types.TrainingInputModeFile,
			DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String(uri), S3DataDistributionType: types.S3DataDistributionFullyReplicated}}})
	}
	channel("train", prepared["train"], "text/csv")
	channel("validation", prepared["validation"], "text/csv")
	channel("prepared", prepared["model"], "application/json")
	channel("config", j.Config, "application/json")
	return Request{Training: in}
}

// onSpot tells whether a training job takes a spot machine: the first attempt does. One
// whose machine did not come, or was taken away for good, is made up for on demand,
// so that a run ends however scarce spot machines are.
func (j Job) onSpot(t definition.Train) bool { return t.Spot && j.Attempt == 0 }

// Transform makes the batch transform of prepared rows by a model: each line of
// the output is the row's key and its score, or the probability of each class.
func (j Job) Transform(model, rows string, classes int, r definition.Resources) Request {
	filter := "$[0"
	for last := max(1, classes); last > 0; last-- {
		filter += fmt.Sprintf(",-%d", last)
	}
	filter += "]"
	return Request{Transform: &sagemaker.CreateTransformJobInput{
		TransformJobName: aws.String(j.Name()),
		ModelName:        &model,
		BatchStrategy:    types.BatchStrategyMultiRecord,
		MaxPayloadInMB:   aws.Int32(6),
		TransformInput: &types.TransformInput{ContentType: aws.String("text/csv"), SplitType: types.SplitTypeLine, CompressionType: types.CompressionTypeNone,
			DataSource: &types.TransformDataSource{S3DataSource: &types.TransformS3DataSource{S3DataType: types.S3DataTypeS3Prefix, S3Uri: &rows}}},
		TransformOutput:    &types.TransformOutput{S3OutputPath: &j.Output, Accept: aws.String("text/csv"), AssembleWith: types.AssemblyTypeLine},
		TransformResources: &types.TransformResources{InstanceType: types.TransformInstanceType(r.Instance), InstanceCount: aws.Int32(int32(r.Count))},
		DataProcessing:     &types.DataProcessing{JoinSource: types.JoinSourceInput, OutputFilter: &filter},
		Tags:               j.tags(),
	}}
}

func seconds(d time.Duration) *int32 { return aws.Int32(int32(d / time.Second)) }
