package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs"
	"github.com/millrace-ml/millrace/statemachine"
)

var update = flag.Bool("update", false, "write the golden requests anew")

func job(step string) jobs.Job {
	p := "s3://millrace-ledger-000000000000-us-east-1/flights/runs/12/" + step + "/"
	return jobs.Job{Pipeline: "flights", Run: 12, Step: step, Attempt: 1, Image: "000000000000.dkr.ecr.us-east-1.amazonaws.com/millrace-worker@sha256:" + strings.Repeat("1", 64),
		Role: "arn:aws:iam::000000000000:role/jobs", Config: p + "config/", Output: p}
}

var resources = definition.Resources{Instance: "ml.m5.xlarge", Count: 1, VolumeGB: 30, MaxRuntime: time.Hour}

func requests() map[string]jobs.Request {
	prepare := job(statemachine.StepPrepare)
	return map[string]jobs.Request{
		"prepare":   prepare.Process(resources, jobs.Input{Name: "data", URI: prepare.Output + "data.manifest", Manifest: true}),
		"prepare-3": prepare.Process(definition.Resources{Instance: "ml.m5.xlarge", Count: 3, VolumeGB: 30, MaxRuntime: time.Hour}, jobs.Input{Name: "data", URI: prepare.Output + "data.manifest", Manifest: true}),
		"train":     job(statemachine.StepTrain).Train(definition.Train{Resources: resources, Algorithm: "builtin", Seed: 7, Hyperparameters: map[string]string{"eta": "0.1"}}, prepare.OutputURIs()),
		"evaluate":  job(statemachine.StepEvaluate).Process(resources, jobs.Input{Name: "model", URI: "s3://b/model.tar.gz"}, jobs.Input{Name: "test", URI: "s3://b/test/"}),
		"score":     job(statemachine.StepScore).Transform("flights-v3", "s3://b/batch/", 0, resources),
	}
}

// given is what a request says: not the members that are left out, of which each
// version of the SDK has others.
func given(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			if inner = given(inner); inner == nil || inner == "" {
				delete(v, k)
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = given(v[i])
		}
	}
	return v
}

func TestRequests(t *testing.T) {
	for name, r := range requests() {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(given(v), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := "testdata/" + name + ".json"
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("the request differs from %s; if the change is meant, run with -update:\n%s", file, got)
			}
		})
	}
}

// TestRequestsKeepAWSsLimits, with the longest names that a definition allows.
func TestRequestsKeepAWSsLimits(t *testing.T) {
	name := regexp.MustCompile(`^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$`)
	for _, step := range []string{statemachine.StepPrepare, statemachine.StepTrain, statemachine.StepEvaluate, statemachine.StepPrepareScores, statemachine.StepScore} {
		j := job(step)
		j.Pipeline, j.Run, j.Attempt = "a"+strings.Repeat("b", 31), 1_234_567, 2
		if !name.MatchString(j.Name()) {
			t.Errorf("%q (%d characters) is no job name", j.Name(), len(j.Name()))
		}
	}
	seen := map[string]bool{}
	for a := range 3 {
		j := job("train")
		j.Attempt = a
		seen[j.Name()] = true
	}
	if len(seen) != 3 {
		t.Errorf("attempts share names: %v", seen)
	}
	for step, r := range requests() {
		switch r.Kind() {
		case events.Processing:
			p := r.Processing
			if len(p.ProcessingInputs) > 10 || len(p.ProcessingOutputConfig.Outputs) > 10 || len(p.AppSpecification.ContainerArguments) > 100 || len(*p.AppSpecification.ImageUri) > 255 {
				t.Errorf("%s is beyond the limits of a processing job", step)
			}
			for _, a := range p.AppSpecification.ContainerArguments {
				if len(a) > 256 {
					t.Errorf("%s has an argument of %d characters", step, len(a))
				}
			}
			for _, in := range p.ProcessingInputs {
				if len(*in.S3Input.LocalPath) > 256 || len(*in.S3Input.S3Uri) > 1024 {
					t.Errorf("%s: input %s is too long", step, *in.InputName)
				}
			}
		case events.Training:
			if n := len(r.Training.InputDataConfig); n < 1 || n > 20 || len(r.Training.HyperParameters) > 100 || len(r.Training.AlgorithmSpecification.MetricDefinitions) > 40 {
				t.Errorf("%s is beyond the limits of a training job", step)
			}
			if r.Training.HyperParameters["seed"] != "7" {
				t.Errorf("the seed is %q", r.Training.HyperParameters["seed"])
			}
		}
	}
}

// TestTrainDoesNotChangeTheDefinition: the recipe is made of the same map.
// TestScoresOfClasses: a line keeps the key and the last columns of the answer, one for each class.
func TestScoresOfClasses(t *testing.T) {
	for classes, want := range map[int]string{0: "$[0,-1]", 3: "$[0,-3,-2,-1]"} {
		if got := *job(statemachine.StepScore).Transform("m", "s3://b/", classes, resources).Transform.DataProcessing.OutputFilter; got != want {
			t.Errorf("%d classes: %s, want %s", classes, got, want)
		}
	}
}

// TestSpot: the first attempt waits for a spot machine, the next one is on demand.
func TestSpot(t *testing.T) {
	train := definition.Train{Resources: resources, Spot: true, MaxWait: 90 * time.Minute}
	for attempt, want := range []struct {
		spot bool
		wait int32
	}{{true, 5400}, {false, 0}, {false, 0}} {
		j := job(statemachine.StepTrain)
		j.Attempt = attempt
		in := j.Train(train, nil).Training
		if aws.ToBool(in.EnableManagedSpotTraining) != want.spot || aws.ToInt32(in.StoppingCondition.MaxWaitTimeInSeconds) != want.wait || *in.StoppingCondition.MaxRuntimeInSeconds != 3600 {
			t.Errorf("attempt %d: spot %v, %+v", attempt, aws.ToBool(in.EnableManagedSpotTraining), in.StoppingCondition)
		}
	}
}

func TestTrainDoesNotChangeTheDefinition(t *testing.T) {
	d := definition.Train{Seed: 7, Hyperparameters: map[string]string{"eta": "0.1"}}
	job("train").Train(d, nil)
	if len(d.Hyperparameters) != 1 {
		t.Errorf("hyperparameters are %v", d.Hyperparameters)
	}
	if r := job("train").Train(definition.Train{Seed: 7, Hyperparameters: map[string]string{"seed": "3"}}, nil); r.Training.HyperParameters["seed"] != "3" {
		t.Error("a seed that is given counts")
	}
}

// fake answers each call with what it holds.
type fake struct {
	jobs.Starter
	processing *sagemaker.DescribeProcessingJobOutput
	training   *sagemaker.DescribeTrainingJobOutput
	transform  *sagemaker.DescribeTransformJobOutput
	err        error
}

func (f *fake) DescribeProcessingJob(context.Context, *sagemaker.DescribeProcessingJobInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeProcessingJobOutput, error) {
	return f.processing, f.err
}
func (f *fake) DescribeTrainingJob(context.Context, *sagemaker.DescribeTrainingJobInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeTrainingJobOutput, error) {
	return f.training, f.err
}
func (f *fake) DescribeTransformJob(context.Context, *sagemaker.DescribeTransformJobInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeTransformJobOutput, error) {
	return f.transform, f.err
}
func (f *fake) CreateTrainingJob(context.Context, *sagemaker.CreateTrainingJobInput, ...func(*sagemaker.Options)) (*sagemaker.CreateTrainingJobOutput, error) {
	return nil, f.err
}

func TestOutcomes(t *testing.T) {
	processing := func(status, exit, reason string) *fake {
		return &fake{processing: &sagemaker.DescribeProcessingJobOutput{ProcessingJobStatus: types.ProcessingJobStatus(status), ExitMessage: aws.String(exit), FailureReason: aws.String(reason)}}
	}
	training := func(status, model, reason string, secondary types.SecondaryStatus) *fake {
		out := &sagemaker.DescribeTrainingJobOutput{TrainingJobStatus: types.TrainingJobStatus(status), SecondaryStatus: secondary, FailureReason: aws.String(reason)}
		if model != "" {
			out.ModelArtifacts = &types.ModelArtifacts{S3ModelArtifacts: &model}
		}
		return &fake{training: out}
	}
	transform := func(status, reason string) *fake {
		return &fake{transform: &sagemaker.DescribeTransformJobOutput{TransformJobStatus: types.TransformJobStatus(status), FailureReason: aws.String(reason)}}
	}
	tests := map[string]struct {
		kind   events.JobKind
		client *fake
		err    string // name; "": none
		says   string // in the error's text
	}{
		"done":                       {events.Processing, processing("Completed", `{"ok":true,"rows":3}`, ""), "", ""},
		"still runs":                 {events.Processing, processing("InProgress", "", ""), "", ""},
		"is being stopped":           {events.Processing, processing("Stopping", "", ""), "", ""},
		"a message that is not JSON": {events.Processing, processing("Completed", "all is well", ""), statemachine.ErrJobFailed, `its message is "all is well"`},
		"no message":                 {events.Processing, processing("Completed", "", ""), statemachine.ErrJobFailed, "without saying what it did"},
		"a message without ok":       {events.Processing, processing("Completed", `{"rows":3}`, ""), statemachine.ErrJobFailed, "without saying what it did"},
		"a message that is cut":      {events.Processing, processing("Completed", `{"ok":true,"rows":`, ""), statemachine.ErrJobFailed, "without saying what it did"},
		"bad data":                   {events.Processing, processing("Completed", `{"ok":false,"error":"DataRejected","message":"column x is missing"}`, ""), statemachine.ErrDataRejected, "column x is missing"},
		"not ok, and no name":        {events.Processing, processing("Completed", `{"ok":false,"message":"hm"}`, ""), statemachine.ErrJobFailed, "hm"},
		"crashed":                    {events.Processing, processing("Failed", "", "AlgorithmError: exit code 2"), statemachine.ErrJobFailed, "exit code 2"},
		"crashed with a message":     {events.Processing, processing("Failed", `{"ok":false,"message":"out of memory"}`, "AlgorithmError"), statemachine.ErrJobFailed, "out of memory (AlgorithmError)"},
		"the platform failed":        {events.Processing, processing("Failed", "", "InternalServerError: We encountered an internal error"), statemachine.ErrJobInterrupted, "InternalServerError"},
		"no machine was free":        {events.Processing, processing("Failed", "", "CapacityError: Unable to provision"), statemachine.ErrJobInterrupted, "CapacityError"},
		"the platform failed, after a crash of ours": {events.Processing, processing("Failed", `{"ok":false,"message":"m"}`, "InternalServerError"), statemachine.ErrJobInterrupted, "InternalServerError"},
		"stopped":                       {events.Processing, processing("Stopped", "", ""), statemachine.ErrJobStopped, "SageMaker gives no reason"},
		"trained":                       {events.Training, training("Completed", "s3://b/m", "", types.SecondaryStatusCompleted), "", ""},
		"trained, and no model":         {events.Training, training("Completed", "", "", types.SecondaryStatusCompleted), statemachine.ErrNoModel, "wrote no model"},
		"ran out of time, with a model": {events.Training, training("Stopped", "s3://b/m", "", types.SecondaryStatusMaxRuntimeExceeded), statemachine.ErrJobStopped, "longer than train.max_runtime"},
		"no spot machine came":          {events.Training, training("Stopped", "", "", types.SecondaryStatusMaxWaitTimeExceeded), statemachine.ErrJobInterrupted, "no spot machine for long enough within train.max_wait"},
		"a spot machine was taken away": {events.Training, training("InProgress", "", "", types.SecondaryStatusInterrupted), "", ""},
		"training crashed":              {events.Training, training("Failed", "", "AlgorithmError: label", types.SecondaryStatusFailed), statemachine.ErrJobFailed, "label"},
		"training was interrupted":      {events.Training, training("Failed", "", "CapacityError: x", types.SecondaryStatusFailed), statemachine.ErrJobInterrupted, "CapacityError"},
		"scored":                        {events.Transform, transform("Completed", ""), "", ""},
		"scoring crashed":               {events.Transform, transform("Failed", "ClientError: 400"), statemachine.ErrJobFailed, "ClientError"},
		"scoring was stopped":           {events.Transform, transform("Stopped", ""), statemachine.ErrJobStopped, "was stopped"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o, err := jobs.Describe(context.Background(), tt.client, tt.kind, "j")
			if err != nil {
				t.Fatal(err)
			}
			got, _ := statemachine.FailureName(o.Failure)
			if got != tt.err || (o.Failure == nil) != (tt.err == "") || tt.says != "" && !strings.Contains(o.Failure.Error(), tt.says) {
				t.Errorf("failure is %v, want %s with %q", o.Failure, tt.err, tt.says)
			}
		})
	}
	o, _ := jobs.Describe(context.Background(), processing("Completed", `{"ok":true,"error":"","message":"m","rows":3}`, ""), events.Processing, "j")
	if len(o.Facts) != 1 || o.Facts["rows"] != 3.0 {
		t.Errorf("facts are %v", o.Facts)
	}
}

func TestDescribeErrors(t *testing.T) {
	api := func(code, message string) error { return &smithy.GenericAPIError{Code: code, Message: message} }
	for _, err := range []error{api("ResourceNotFound", ""), api("ValidationException", "Could not find requested job with name: j")} {
		if _, got := jobs.Describe(context.Background(), &fake{err: err}, events.Processing, "j"); !errors.Is(got, jobs.ErrNoJob) {
			t.Errorf("%v becomes %v", err, got)
		}
	}
	if _, got := jobs.Describe(context.Background(), &fake{err: api("AccessDeniedException", "no")}, events.Training, "j"); got == nil || errors.Is(got, jobs.ErrNoJob) {
		t.Errorf("a denial becomes %v", got)
	}
	if _, got := jobs.Describe(context.Background(), &fake{}, "tuning", "j"); got == nil {
		t.Error("an unknown kind is described")
	}
}

// TestStartFindsWhatAnEarlierTryStarted.
func TestStartFindsWhatAnEarlierTryStarted(t *testing.T) {
	r := requests()["train"]
	if err := jobs.Start(context.Background(), &fake{err: &smithy.GenericAPIError{Code: "ResourceInUse", Message: "Job name must be unique"}}, r); err != nil {
		t.Errorf("a job that is there gives %v", err)
	}
	err := jobs.Start(context.Background(), &fake{err: &smithy.GenericAPIError{Code: "ResourceLimitExceeded", Message: "quota"}}, r)
	if err == nil || !strings.Contains(err.Error(), "flights-12-train-1") {
		t.Errorf("a quota gives %v, which must name the job", err)
	}
}
