package sagemaker_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// run creates a processing job, waits for its end and describes it.
func (c *cloud) runProcessing(t *testing.T, in *sm.CreateProcessingJobInput) (*sm.DescribeProcessingJobOutput, event) {
	t.Helper()
	if _, err := c.CreateProcessingJob(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	last := c.ended("Processing", *in.ProcessingJobName)
	j, err := c.DescribeProcessingJob(t.Context(), &sm.DescribeProcessingJobInput{ProcessingJobName: in.ProcessingJobName})
	if err != nil {
		t.Fatal(err)
	}
	return j, last
}

func TestProcessingContract(t *testing.T) {
	c := open(t, nil)
	c.s3.put("s3://data/raw/2001-01.csv", "jan")
	c.s3.put("s3://ledger/blobs/abc/2001-02.csv", "feb")
	c.s3.put("s3://ledger/run/data.manifest", `[{"prefix":"s3://ledger/blobs/"},"abc/2001-02.csv"]`)
	in := processing("look", "show")
	in.ProcessingInputs = []types.ProcessingInput{
		s3Input("data", "s3://data/raw", types.ProcessingS3DataTypeS3Prefix),
		s3Input("pinned", "s3://ledger/run/data.manifest", types.ProcessingS3DataTypeManifestFile),
	}
	in.ProcessingOutputConfig = &types.ProcessingOutputConfig{Outputs: []types.ProcessingOutput{s3Output("out", "s3://out/look/")}}
	in.AppSpecification.ContainerEntrypoint = []string{"/worker"}
	j, _ := c.runProcessing(t, in)
	if j.ProcessingJobStatus != "Completed" || j.ProcessingStartTime == nil || j.ProcessingEndTime == nil {
		t.Fatalf("%s %v", j.ProcessingJobStatus, aws.ToString(j.FailureReason))
	}
	s := seen(t, c, "look")
	if !reflect.DeepEqual(s.Args, []string{"prepare", "--fast"}) {
		t.Errorf("args %v", s.Args)
	}
	for file, want := range map[string]string{
		"processing/input/data/2001-01.csv": "jan", "processing/input/pinned/abc/2001-02.csv": "feb", "processing/output/out/": "",
		"config/resourceconfig.json": `{"current_host":"algo-1","hosts":["algo-1"]}`,
	} {
		if got, ok := s.Tree[file]; !ok || got != want {
			t.Errorf("%s is %q (%v), want %q", file, got, ok, want)
		}
	}
	var config struct {
		ProcessingJobArn, ProcessingJobName, RoleArn string
		AppSpecification                             struct {
			ImageUri           string
			ContainerArguments []string
		}
		Environment      map[string]string
		ProcessingInputs []struct {
			InputName string
			S3Input   struct{ LocalPath, S3Uri, S3DataType string }
		}
		StoppingCondition struct{ MaxRuntimeInSeconds int }
	}
	if err := json.Unmarshal([]byte(s.Tree["config/processingjobconfig.json"]), &config); err != nil {
		t.Fatal(err)
	}
	if config.ProcessingJobName != "look" || config.AppSpecification.ImageUri != image || config.StoppingCondition.MaxRuntimeInSeconds != 3600 ||
		len(config.ProcessingInputs) != 2 || config.ProcessingInputs[0].S3Input.LocalPath != "/opt/ml/processing/input/data" ||
		config.ProcessingInputs[1].S3Input.S3DataType != "ManifestFile" || config.Environment[behaviourEnv] != "show" {
		t.Errorf("config %+v", config)
	}
}

// TestProcessingInstances: each instance is a process with a folder, a log and
// its share of the objects, and knows where the others are.
func TestProcessingInstances(t *testing.T) {
	c := open(t, nil)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		c.s3.put("s3://data/raw/"+name, name)
	}
	in := processing("look", "show")
	in.ProcessingResources.ClusterConfig.InstanceCount = aws.Int32(3)
	sharded := s3Input("data", "s3://data/raw/", types.ProcessingS3DataTypeS3Prefix)
	sharded.S3Input.S3DataDistributionType = types.ProcessingS3DataDistributionTypeShardedbys3key
	in.ProcessingInputs = []types.ProcessingInput{sharded, s3Input("all", "s3://data/raw/", types.ProcessingS3DataTypeS3Prefix)}
	if j, _ := c.runProcessing(t, in); j.ProcessingJobStatus != "Completed" {
		t.Fatalf("%s %v", j.ProcessingJobStatus, aws.ToString(j.FailureReason))
	}
	found, hosts := map[string]int{}, map[string]bool{}
	for i := range 3 {
		var s shown
		if err := json.Unmarshal([]byte(c.logs.text(fmt.Sprintf("look/algo-%d-", i+1))), &s); err != nil {
			t.Fatal(err)
		}
		var config struct {
			Current string   `json:"current_host"`
			Hosts   []string `json:"hosts"`
		}
		if err := json.Unmarshal([]byte(s.Tree["config/resourceconfig.json"]), &config); err != nil || len(config.Hosts) != 3 || config.Hosts[i] != config.Current {
			t.Errorf("instance %d: %+v, %v", i+1, config, err)
		}
		hosts[config.Current] = true
		for file := range s.Tree {
			if name, is := strings.CutPrefix(file, "processing/input/data/"); is && name != "" {
				found[name]++
			}
		}
		if s.Tree["processing/input/all/a"] != "a" || s.Tree["processing/input/all/e"] != "e" {
			t.Errorf("instance %d lacks objects that all get", i+1)
		}
	}
	if want := map[string]int{"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}; !reflect.DeepEqual(found, want) || len(hosts) != 3 {
		t.Errorf("objects are %v, hosts %v", found, hosts)
	}
}

// TestProcessingInstancesFailTogether: the others end when one does not do.
func TestProcessingInstancesFailTogether(t *testing.T) {
	c := open(t, nil)
	in := processing("job", "first-fails")
	in.ProcessingResources.ClusterConfig.InstanceCount = aws.Int32(2)
	if j, _ := c.runProcessing(t, in); j.ProcessingJobStatus != "Failed" || aws.ToString(j.FailureReason) != "AlgorithmError: See job logs for more information" {
		t.Errorf("%s %v", j.ProcessingJobStatus, aws.ToString(j.FailureReason))
	}
}

func TestProcessingUploadsAlsoOnFailure(t *testing.T) {
	for name, tt := range map[string]struct{ fail, status, reason string }{
		"completed": {"", "Completed", ""},
		"failed":    {"1", "Failed", "AlgorithmError: See job logs for more information"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			in := processing("job", "outputs")
			in.Environment["FAIL"] = tt.fail
			in.ProcessingOutputConfig = &types.ProcessingOutputConfig{Outputs: []types.ProcessingOutput{s3Output("a", "s3://out/job/a"), s3Output("b", "s3://out/job/b/")}}
			j, last := c.runProcessing(t, in)
			if string(j.ProcessingJobStatus) != tt.status || aws.ToString(j.FailureReason) != tt.reason || aws.ToString(j.ExitMessage) != "done" {
				t.Errorf("%s %q %q", j.ProcessingJobStatus, aws.ToString(j.FailureReason), aws.ToString(j.ExitMessage))
			}
			for key, want := range map[string]string{"a/one.csv": "1", "a/deep/two.csv": "2", "b/three.csv": "3"} {
				if got := c.s3.get(t, "s3://out/job/"+key); got != want {
					t.Errorf("%s is %q", key, got)
				}
			}
			if c.s3.has("s3://out/job/a/link") {
				t.Error("a symbolic link was followed")
			}
			if last.Detail["ExitMessage"] != "done" {
				t.Errorf("event %v", last.Detail)
			}
		})
	}
}

func TestProcessingEventSpelling(t *testing.T) {
	c := open(t, nil)
	c.s3.put("s3://data/a", "x")
	in := processing("job", "empty")
	in.ProcessingInputs = []types.ProcessingInput{s3Input("data", "s3://data/a", types.ProcessingS3DataTypeS3Prefix)}
	in.ProcessingOutputConfig = &types.ProcessingOutputConfig{Outputs: []types.ProcessingOutput{s3Output("out", "s3://out/job")}}
	_, last := c.runProcessing(t, in)
	raw, err := json.Marshal(last.Detail)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"S3DataType":"S3_PREFIX"`, `"S3InputMode":"FILE"`, `"S3DataDistributionType":"FULLYREPLICATED"`, `"S3UploadMode":"END_OF_JOB"`, `"ProcessingJobStatus":"Completed"`} {
		if !strings.Contains(string(raw), part) {
			t.Errorf("event lacks %s: %s", part, raw)
		}
	}
	if ms, ok := last.Detail["ProcessingEndTime"].(float64); !ok || ms < 1e12 {
		t.Errorf("ProcessingEndTime %v", last.Detail["ProcessingEndTime"])
	}
}

func TestExitMessage(t *testing.T) {
	for name, tt := range map[string]struct {
		behaviour, message, fail     string
		status, exitMessage, failure string
	}{
		"short":                 {"message", `{"ok":true}`, "", "Completed", `{"ok":true}`, ""},
		"of a failed job":       {"message", "why", "1", "Failed", "why", "AlgorithmError: See job logs for more information"},
		"none":                  {"empty", "", "", "Completed", "", ""},
		"long":                  {"message", "3000*a", "", "Completed", strings.Repeat("a", 1024), ""},
		"long, cut in a letter": {"message", "1*a 1000*é", "", "Completed", "a" + strings.Repeat("é", 511), ""},
		"not UTF-8":             {"latin1", "", "", "Failed", "", "ClientError: The exit message in /opt/ml/output/message is not valid UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			in := processing("job", tt.behaviour)
			in.Environment["MESSAGE"], in.Environment["FAIL"] = tt.message, tt.fail
			j, _ := c.runProcessing(t, in)
			if string(j.ProcessingJobStatus) != tt.status || aws.ToString(j.ExitMessage) != tt.exitMessage || aws.ToString(j.FailureReason) != tt.failure {
				t.Errorf("%s %q %q", j.ProcessingJobStatus, aws.ToString(j.ExitMessage), aws.ToString(j.FailureReason))
			}
		})
	}
}

func TestProcessingBadInputs(t *testing.T) {
	for name, tt := range map[string]struct{ manifest, reason string }{
		"not JSON":         {"x", "must be a JSON array"},
		"no prefix":        {`["a"]`, "must be a JSON array"},
		"not a name":       {`[{"prefix":"s3://data/"},{"a":1}]`, "element 1 is not a relative S3 key"},
		"empty":            {`[{"prefix":"s3://data/"}]`, "lists no objects"},
		"missing object":   {`[{"prefix":"s3://data/"},"gone.csv"]`, "Data download failed:NoSuchKey (404)"},
		"leaves":           {`[{"prefix":"s3://data/"},"../../etc/passwd"]`, "leaves its folder"},
		"prefix no s3":     {`[{"prefix":"/data/"},"a"]`, "must begin with s3://"},
		"no such manifest": {"", "Data download failed:NoSuchKey (404)"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			c.s3.put("s3://data/../../etc/passwd", "root")
			if tt.manifest != "" {
				c.s3.put("s3://data/manifest", tt.manifest)
			}
			in := processing("job", "empty")
			in.ProcessingInputs = []types.ProcessingInput{s3Input("data", "s3://data/manifest", types.ProcessingS3DataTypeManifestFile)}
			j, _ := c.runProcessing(t, in)
			if j.ProcessingJobStatus != "Failed" || !strings.HasPrefix(aws.ToString(j.FailureReason), "ClientError: ") || !strings.Contains(*j.FailureReason, tt.reason) {
				t.Errorf("%s %q, want %q", j.ProcessingJobStatus, aws.ToString(j.FailureReason), tt.reason)
			}
		})
	}
}

func TestProcessingMaxRuntimeAndStop(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *cloud, *steps){
		"max runtime": func(_ *testing.T, _ *cloud, clk *steps) { clk.fire(time.Hour) },
		"stop": func(t *testing.T, c *cloud, _ *steps) {
			if _, err := c.StopProcessingJob(t.Context(), &sm.StopProcessingJobInput{ProcessingJobName: aws.String("job")}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			clk := newSteps()
			c := open(t, func(s *setup) { s.Clock = clk })
			in := processing("job", "graceful")
			in.ProcessingOutputConfig = &types.ProcessingOutputConfig{Outputs: []types.ProcessingOutput{{OutputName: aws.String("all"), S3Output: &types.ProcessingS3Output{
				S3Uri: aws.String("s3://out/job"), LocalPath: aws.String("/opt/ml/processing/output"), S3UploadMode: types.ProcessingS3UploadModeEndOfJob}}}}
			if _, err := c.CreateProcessingJob(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			c.logs.wait("job/", "ready")
			end(t, c, clk)
			last := c.ended("Processing", "job")
			if last.Detail["ProcessingJobStatus"] != "Stopped" || last.Detail["ExitMessage"] != `{"ok":false}` {
				t.Errorf("%v", last.Detail)
			}
			if name == "max runtime" && !strings.Contains(last.Detail["FailureReason"].(string), "MaxRuntimeInSeconds of 3600") {
				t.Errorf("reason %v", last.Detail["FailureReason"])
			}
			if got := c.s3.get(t, "s3://out/job/saved"); got != "in time" {
				t.Errorf("output %q", got)
			}
		})
	}
}
