package sagemaker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/faults"
)

// contents lists a tar.gz: name → text.
func contents(t *testing.T, archive string) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		found[h.Name] = string(raw)
	}
}

func TestTrainingCompletes(t *testing.T) {
	c := open(t, nil)
	c.s3.put("s3://data/train/part-0.csv", "1,2\n")
	in := training("Flights-1-train-0", "train")
	in.Environment["SEED"] = "7"
	in.Environment["EXTRA"] = "1"
	in.HyperParameters = map[string]string{"eta": "0.1"}
	in.Tags = []types.Tag{{Key: aws.String("project"), Value: aws.String("flights")}}
	in.AlgorithmSpecification.MetricDefinitions = []types.MetricDefinition{
		{Name: aws.String("validation:auc"), Regex: aws.String(`validation-auc:([0-9.]+)`)},
		{Name: aws.String("never"), Regex: aws.String(`never:([0-9.]+)`)}}
	in.InputDataConfig = []types.Channel{channel("train", "s3://data/train/")}
	made, err := c.CreateTrainingJob(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	const arn = "arn:aws:sagemaker:us-east-1:000000000000:training-job/flights-1-train-0"
	if *made.TrainingJobArn != arn {
		t.Errorf("arn %s", *made.TrainingJobArn)
	}
	last := c.ended("Training", "Flights-1-train-0")
	j, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: in.TrainingJobName})
	if err != nil {
		t.Fatal(err)
	}
	if j.TrainingJobStatus != "Completed" || j.SecondaryStatus != "Completed" || j.FailureReason != nil {
		t.Fatalf("%s %s %v", j.TrainingJobStatus, j.SecondaryStatus, aws.ToString(j.FailureReason))
	}
	if aws.ToInt32(j.TrainingTimeInSeconds) < 1 || *j.BillableTimeInSeconds != *j.TrainingTimeInSeconds {
		t.Errorf("training time %v", j.TrainingTimeInSeconds)
	}
	if m := j.FinalMetricDataList; len(m) != 1 || *m[0].MetricName != "validation:auc" || *m[0].Value != 0.79 {
		t.Errorf("metrics %+v", m)
	}
	at := "s3://out/models/Flights-1-train-0/output/"
	if *j.ModelArtifacts.S3ModelArtifacts != at+"model.tar.gz" {
		t.Errorf("artifacts %s", *j.ModelArtifacts.S3ModelArtifacts)
	}
	if got, want := contents(t, c.s3.get(t, at+"model.tar.gz")), map[string]string{"about.txt": "about", "sub/weights": "weights 7"}; !reflect.DeepEqual(got, want) {
		t.Errorf("model %v, want %v", got, want)
	}
	if got := contents(t, c.s3.get(t, at+"output.tar.gz")); got["plot.svg"] != "<svg/>" {
		t.Errorf("output %v", got)
	}
	var path []string
	for _, tr := range j.SecondaryStatusTransitions {
		path = append(path, string(tr.Status))
		if tr.EndTime == nil {
			t.Errorf("%s did not end", tr.Status)
		}
	}
	if got := strings.Join(path, " "); got != "Starting Downloading Training Uploading Completed" {
		t.Errorf("transitions %s", got)
	}
	if !c.s3.callers[role] || len(c.s3.callers) != 1 {
		t.Errorf("S3 was called by %v, want the job's role", c.s3.callers)
	}
	checkTrainingEvents(t, c, last, arn)
	c.close(t) // waits for the tidying
	if _, err := os.Stat(filepath.Join(c.dir, "sagemaker/jobs/training/flights-1-train-0")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder of a job that went well is still there: %v", err)
	}
}

// checkTrainingEvents looks at what is odd about AWS's events.
func checkTrainingEvents(t *testing.T, c *cloud, last event, arn string) {
	t.Helper()
	var seen []string
	for _, e := range c.events.of("Flights-1-train-0") {
		seen = append(seen, fmt.Sprint(e.Detail["SecondaryStatus"]))
	}
	if got := strings.Join(seen, " "); got != "Starting Downloading Training Uploading Completed" {
		t.Errorf("events %s", got)
	}
	if last.Type != "SageMaker Training Job State Change" || last.Resources[0] != arn {
		t.Errorf("event %q %v", last.Type, last.Resources)
	}
	if ms, ok := last.Detail["TrainingEndTime"].(float64); !ok || ms < 1e12 {
		t.Errorf("TrainingEndTime %v, want epoch milliseconds", last.Detail["TrainingEndTime"])
	}
	if tags, ok := last.Detail["Tags"].(map[string]any); !ok || tags["project"] != "flights" {
		t.Errorf("Tags %v, want an object", last.Detail["Tags"])
	}
	first := c.events.of("Flights-1-train-0")[0]
	if v, there := first.Detail["TrainingEndTime"]; !there || v != nil {
		t.Errorf("TrainingEndTime of the first event is %v, want null", v)
	}
}

func channel(name, uri string) types.Channel {
	return types.Channel{ChannelName: aws.String(name), ContentType: aws.String("text/csv"),
		DataSource: &types.DataSource{S3DataSource: &types.S3DataSource{S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String(uri)}}}
}

// shown is what the behaviour "show" tells.
type shown struct {
	Args []string
	Cwd  string
	Env  map[string]string
	Tree map[string]string
}

func seen(t *testing.T, c *cloud, job string) shown {
	t.Helper()
	var s shown
	if err := json.Unmarshal([]byte(c.logs.text(job+"/algo-1-")), &s); err != nil {
		t.Fatalf("%v: %s", err, c.logs.text(job))
	}
	return s
}

// TestSpotTraining: a spot machine comes at once and stays.
func TestSpotTraining(t *testing.T) {
	c := open(t, nil)
	c.s3.put("s3://data/train/part-0.csv", "1,2\n")
	in := training("spot", "train")
	in.EnableManagedSpotTraining = aws.Bool(true)
	in.StoppingCondition = &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(60), MaxWaitTimeInSeconds: aws.Int32(120)}
	in.InputDataConfig = []types.Channel{channel("train", "s3://data/train/")}
	if _, err := c.CreateTrainingJob(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	c.ended("Training", "spot")
	j, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: in.TrainingJobName})
	if err != nil || j.TrainingJobStatus != types.TrainingJobStatusCompleted || !aws.ToBool(j.EnableManagedSpotTraining) || aws.ToInt32(j.StoppingCondition.MaxWaitTimeInSeconds) != 120 {
		t.Errorf("%v, %v %v %+v", err, j.TrainingJobStatus, aws.ToBool(j.EnableManagedSpotTraining), j.StoppingCondition)
	}
}

// TestSpotTrainingIsInterrupted: the job begins anew on the next machine, or ends
// when none comes in time; a job that is not on spot machines has none to lose.
func TestSpotTrainingIsInterrupted(t *testing.T) {
	for name, tt := range map[string]struct {
		spot    bool
		seconds float64
		want    types.SecondaryStatus
		path    string
	}{
		"another comes":  {true, 60, types.SecondaryStatusCompleted, "Starting Downloading Training Interrupted Starting Downloading Training Uploading Completed"},
		"none comes":     {true, 3600, types.SecondaryStatusMaxWaitTimeExceeded, "Starting Downloading Training Interrupted MaxWaitTimeExceeded"},
		"not a spot job": {false, 60, types.SecondaryStatusCompleted, "Starting Downloading Training Uploading Completed"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, func(s *setup) {
				s.Clock = clock.NewVirtual(clock.Real{})
				s.Faults = lay(t, faults.Fault{On: faults.OnJob, Do: faults.Interrupt, Seconds: tt.seconds})
			})
			c.s3.put("s3://data/train/part-0.csv", "1,2\n")
			in := training("job", "train")
			in.StoppingCondition = &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(60)}
			if tt.spot {
				in.EnableManagedSpotTraining, in.StoppingCondition.MaxWaitTimeInSeconds = aws.Bool(true), aws.Int32(120)
			}
			in.InputDataConfig = []types.Channel{channel("train", "s3://data/train/")}
			if _, err := c.CreateTrainingJob(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			c.ended("Training", "job")
			j, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: in.TrainingJobName})
			if err != nil {
				t.Fatal(err)
			}
			var path []string
			for _, s := range j.SecondaryStatusTransitions {
				path = append(path, string(s.Status))
			}
			stopped := tt.want == types.SecondaryStatusMaxWaitTimeExceeded
			if j.SecondaryStatus != tt.want || strings.Join(path, " ") != tt.path || stopped != (j.TrainingJobStatus == types.TrainingJobStatusStopped) {
				t.Errorf("%s %s: %s", j.TrainingJobStatus, j.SecondaryStatus, path)
			}
		})
	}
}

func TestTrainingContract(t *testing.T) {
	t.Setenv("A_SECRET_OF_OURS", "x")
	c := open(t, nil)
	for key, text := range map[string]string{
		"data/train/a.csv": "a", "data/train/sub/b.csv": "b", "data/train/": "", "data/valid/only.csv": "v",
		"data/parts/part-1": "1", "data/parts/part-2": "2",
	} {
		c.s3.put("s3://"+key, text)
	}
	in := training("look", "show")
	in.HyperParameters = map[string]string{"eta": "0.1", "rounds": "12"}
	in.InputDataConfig = []types.Channel{channel("train", "s3://data/train/"), channel("validation", "s3://data/valid/only.csv"), channel("parts", "s3://data/parts/part")}
	in.InputDataConfig[2].InputMode = types.TrainingInputModeFastfile
	in.DebugHookConfig = &types.DebugHookConfig{S3OutputPath: aws.String("s3://out/debug"), CollectionConfigurations: []types.CollectionConfiguration{}} // as the Python SDK does
	in.ProfilerConfig = &types.ProfilerConfig{S3OutputPath: aws.String("s3://out/profile"), DisableProfiler: aws.Bool(false)}
	if _, err := c.CreateTrainingJob(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	c.ended("Training", "look")
	s := seen(t, c, "look")
	if !reflect.DeepEqual(s.Args, []string{"train"}) {
		t.Errorf("args %v", s.Args)
	}
	for file, want := range map[string]string{
		"input/data/train/a.csv": "a", "input/data/train/sub/b.csv": "b", "input/data/validation/only.csv": "v",
		"input/data/parts/part-1": "1", "input/data/parts/part-2": "2", "model/": "", "output/data/": "",
		"input/config/hyperparameters.json": `{"eta":"0.1","rounds":"12"}`,
		"input/config/debughookconfig.json": `{"CollectionConfigurations":[],"LocalPath":"/opt/ml/output/tensors","S3OutputPath":"s3://out/debug"}`,
	} {
		if got, ok := s.Tree[file]; !ok || got != want {
			t.Errorf("%s is %q (%v), want %q", file, got, ok, want)
		}
	}
	told, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("look")})
	if err != nil || told.DebugHookConfig == nil || told.ProfilingStatus != types.ProfilingStatusDisabled || aws.ToString(told.OutputDataConfig.KmsKeyId) != "" || told.OutputDataConfig.KmsKeyId == nil {
		t.Errorf("%v: what the Python SDK reads is %+v", err, told)
	}
	var channels map[string]map[string]string
	if err := json.Unmarshal([]byte(s.Tree["input/config/inputdataconfig.json"]), &channels); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"ContentType": "text/csv", "TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
	if !reflect.DeepEqual(channels["train"], want) || channels["parts"]["TrainingInputMode"] != "FastFile" {
		t.Errorf("channels %v", channels)
	}
	if r := s.Tree["input/config/resourceconfig.json"]; !strings.Contains(r, `"current_host":"algo-1"`) || !strings.Contains(r, `"hosts":["algo-1"]`) {
		t.Errorf("resources %s", r)
	}
	for k, want := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIAJOB", "AWS_SECRET_ACCESS_KEY": "job-secret", "AWS_SESSION_TOKEN": "job-token", "AWS_REGION": region,
		"AWS_DEFAULT_REGION": region, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "TRAINING_JOB_NAME": "look",
		"TRAINING_JOB_ARN": "arn:aws:sagemaker:us-east-1:000000000000:training-job/look", behaviourEnv: "show",
	} {
		if s.Env[k] != want {
			t.Errorf("%s=%q, want %q", k, s.Env[k], want)
		}
	}
	if _, leaked := s.Env["A_SECRET_OF_OURS"]; leaked || s.Env["HOME"] == os.Getenv("HOME") {
		t.Error("our environment reached the job")
	}
	if !strings.HasSuffix(s.Env["SAGEMAKER_BASE_DIR"], "/opt/ml") || s.Cwd+"/opt/ml" != s.Env["SAGEMAKER_BASE_DIR"] {
		t.Errorf("base %s, cwd %s", s.Env["SAGEMAKER_BASE_DIR"], s.Cwd)
	}
}

func TestTrainingFails(t *testing.T) {
	for name, tt := range map[string]struct {
		behaviour string
		change    func(*sm.CreateTrainingJobInput)
		reason    []string
	}{
		"failure file":    {behaviour: "fail", reason: []string{"AlgorithmError: the label is constant\nreally, exit code: 3"}},
		"no failure file": {behaviour: "fail-silent", reason: []string{"AlgorithmError: ", "exit code: 2"}},
		"killed":          {behaviour: "killed", reason: []string{"exit code: 137"}},
		"no such image": {change: func(in *sm.CreateTrainingJobInput) {
			in.AlgorithmSpecification.TrainingImage = aws.String("x.amazonaws.com/other:1")
		}, reason: []string{"ClientError: ", "x.amazonaws.com/other:1", `"other"`, "worker"}},
		"no such digest": {change: func(in *sm.CreateTrainingJobInput) {
			in.AlgorithmSpecification.TrainingImage = aws.String("x.amazonaws.com/worker@sha256:" + strings.Repeat("0", 64))
		}, reason: []string{"ClientError: ", "is not here"}},
		"no such entry": {change: func(in *sm.CreateTrainingJobInput) {
			in.AlgorithmSpecification.ContainerEntrypoint = []string{"/bin/nothing"}
		}, reason: []string{"ClientError: ", "/bin/nothing"}},
		"entry leaves": {change: func(in *sm.CreateTrainingJobInput) {
			in.AlgorithmSpecification.ContainerEntrypoint = []string{"/../../bin/sh"}
		}, reason: []string{"ClientError: ", "/../../bin/sh"}},
		"no input":         {change: input("s3://data/none/"), reason: []string{`ClientError: No S3 objects found under S3 URL "s3://data/none/" given in input data source.`, role}},
		"no bucket":        {change: input("s3://nowhere/x"), reason: []string{"ClientError: Data download failed:NoSuchBucket (404)"}},
		"denied":           {change: input("s3://data/secret/"), reason: []string{"ClientError: Data download failed:AccessDenied (403)"}},
		"file and folder":  {change: input("s3://data/clash/"), reason: []string{"ClientError: Data download failed: cannot write"}},
		"output is denied": {behaviour: "train", change: func(in *sm.CreateTrainingJobInput) { in.OutputDataConfig.S3OutputPath = aws.String("s3://nowhere/x") }, reason: []string{"ClientError: Data upload failed:NoSuchBucket (404)"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			c.s3.put("s3://data/secret/a", "")
			c.s3.denied["data/secret/a"] = true
			c.s3.put("s3://data/clash/a", "")
			c.s3.put("s3://data/clash/a/b", "")
			in := training("job", tt.behaviour)
			if tt.change != nil {
				tt.change(in)
			}
			if tt.behaviour == "" {
				in.Environment[behaviourEnv] = "train"
			}
			if _, err := c.CreateTrainingJob(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			last := c.ended("Training", "job")
			j, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: in.TrainingJobName})
			if err != nil {
				t.Fatal(err)
			}
			if j.TrainingJobStatus != "Failed" || j.SecondaryStatus != "Failed" || last.Detail["FailureReason"] != aws.ToString(j.FailureReason) {
				t.Errorf("%s %s; event %v", j.TrainingJobStatus, j.SecondaryStatus, last.Detail["FailureReason"])
			}
			for _, part := range tt.reason {
				if !strings.Contains(aws.ToString(j.FailureReason), part) {
					t.Errorf("reason %q lacks %q", aws.ToString(j.FailureReason), part)
				}
			}
		})
	}
}

func input(uri string) func(*sm.CreateTrainingJobInput) {
	return func(in *sm.CreateTrainingJobInput) { in.InputDataConfig = []types.Channel{channel("train", uri)} }
}

func TestTrainingWithoutModelCompletes(t *testing.T) {
	c := open(t, nil)
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "empty")); err != nil {
		t.Fatal(err)
	}
	if e := c.ended("Training", "job"); e.Detail["TrainingJobStatus"] != "Completed" {
		t.Fatalf("%v", e.Detail)
	}
	if got := contents(t, c.s3.get(t, "s3://out/models/job/output/model.tar.gz")); len(got) != 0 {
		t.Errorf("model %v", got)
	}
}

func TestTrainingUncompressedModel(t *testing.T) {
	c := open(t, nil)
	in := training("job", "train")
	in.OutputDataConfig.CompressionType = types.OutputCompressionTypeNone
	if _, err := c.CreateTrainingJob(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	c.ended("Training", "job")
	if got := c.s3.get(t, "s3://out/models/job/output/model/about.txt"); got != "about" {
		t.Errorf("%q", got)
	}
}

func TestModelArchiveIsTheSameEachTime(t *testing.T) {
	c := open(t, nil)
	var archives []string
	for i := range 2 {
		name := "job-" + strconv.Itoa(i)
		if _, err := c.CreateTrainingJob(t.Context(), training(name, "train")); err != nil {
			t.Fatal(err)
		}
		c.ended("Training", name)
		archives = append(archives, c.s3.get(t, "s3://out/models/"+name+"/output/model.tar.gz"))
	}
	if archives[0] != archives[1] {
		t.Error("the same model was packed into different bytes")
	}
}

func TestTrainingMaxRuntimeKeepsWhatWasSaved(t *testing.T) {
	clk := newSteps()
	c := open(t, func(s *setup) { s.Clock = clk })
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "graceful")); err != nil {
		t.Fatal(err)
	}
	c.logs.wait("job/", "ready")
	clk.fire(time.Hour)
	c.ended("Training", "job")
	j, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("job")})
	if err != nil {
		t.Fatal(err)
	}
	if j.TrainingJobStatus != "Stopped" || j.SecondaryStatus != "MaxRuntimeExceeded" {
		t.Errorf("%s %s", j.TrainingJobStatus, j.SecondaryStatus)
	}
	if got := contents(t, c.s3.get(t, "s3://out/models/job/output/model.tar.gz")); got["saved"] != "in time" {
		t.Errorf("model %v", got)
	}
}

func TestStopKillsTheWholeGroupAfterGrace(t *testing.T) {
	clk := newSteps()
	c := open(t, func(s *setup) { s.Clock = clk })
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "deaf")); err != nil {
		t.Fatal(err)
	}
	child := childPid(t, c.logs.wait("job/", "ready"))
	if _, err := c.StopTrainingJob(t.Context(), &sm.StopTrainingJobInput{TrainingJobName: aws.String("job")}); err != nil {
		t.Fatal(err)
	}
	if j, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("job")}); err != nil || j.TrainingJobStatus != "Stopping" {
		t.Fatalf("%v %v", j.TrainingJobStatus, err)
	}
	clk.fire(10 * time.Second)
	if e := c.ended("Training", "job"); e.Detail["TrainingJobStatus"] != "Stopped" || e.Detail["SecondaryStatus"] != "Stopped" {
		t.Errorf("%v", e.Detail)
	}
	gone(t, child)
	_, err := c.StopTrainingJob(t.Context(), &sm.StopTrainingJobInput{TrainingJobName: aws.String("job")})
	wantError(t, err, "ValidationException", "The request was rejected because the training job is in status Stopped.")
}

func childPid(t *testing.T, log string) int {
	t.Helper()
	_, rest, _ := strings.Cut(log, "child ")
	pid, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// gone waits until a process is dead; a zombie is.
func gone(t *testing.T, pid int) {
	t.Helper()
	for t.Context().Err() == nil {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			return
		}
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func TestChildrenEndWithTheProgram(t *testing.T) {
	c := open(t, nil)
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "orphan")); err != nil {
		t.Fatal(err)
	}
	if e := c.ended("Training", "job"); e.Detail["TrainingJobStatus"] != "Completed" {
		t.Errorf("%v", e.Detail)
	}
	gone(t, childPid(t, c.logs.text("job/")))
}

func TestSlots(t *testing.T) {
	c := open(t, func(s *setup) { s.Slots = 1 })
	for _, name := range []string{"one", "two", "three"} {
		if _, err := c.CreateTrainingJob(t.Context(), training(name, "graceful")); err != nil {
			t.Fatal(err)
		}
	}
	stop := func(name string) {
		t.Helper()
		if _, err := c.StopTrainingJob(t.Context(), &sm.StopTrainingJobInput{TrainingJobName: aws.String(name)}); err != nil {
			t.Fatal(err)
		}
	}
	c.logs.wait("one/", "ready")
	stop("two") // it waits for a slot: it never runs
	if e := c.ended("Training", "two"); e.Detail["TrainingJobStatus"] != "Stopped" || e.Detail["TrainingStartTime"] != nil {
		t.Errorf("%v", e.Detail)
	}
	if c.logs.text("two/") != "" || c.logs.text("three/") != "" {
		t.Error("a job ran without a slot")
	}
	stop("one")
	c.logs.wait("three/", "ready")
	stop("three")
	c.ended("Training", "three")
	if got := contents(t, c.s3.get(t, "s3://out/models/three/output/model.tar.gz")); got["saved"] != "in time" {
		t.Errorf("model %v", got)
	}
}

func TestFoldersOfFailedJobsAreBounded(t *testing.T) {
	c := open(t, func(s *setup) { s.KeepFailed = 2; s.Slots = 1 })
	for i := range 4 {
		name := "job-" + strconv.Itoa(i)
		if _, err := c.CreateTrainingJob(t.Context(), training(name, "fail")); err != nil {
			t.Fatal(err)
		}
		c.ended("Training", name)
	}
	c.close(t) // waits for the tidying
	left, err := filepath.Glob(filepath.Join(c.dir, "sagemaker/jobs/training/*"))
	if err != nil || len(left) != 2 {
		t.Errorf("%v %v", left, err)
	}
	if raw, err := os.ReadFile(filepath.Join(c.dir, "sagemaker/jobs/training/job-3/opt/ml/output/failure")); err != nil || len(raw) == 0 {
		t.Errorf("the last failed job's folder: %v", err)
	}
}
