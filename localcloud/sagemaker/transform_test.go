package sagemaker_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/sagemaker"
)

// archive packs files into a tar.gz.
func archive(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "model.tar.gz")
	if err := sagemaker.Pack(dir, file); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// model registers a model that plays a behaviour.
func (c *cloud) model(t *testing.T, behaviour string) {
	t.Helper()
	c.s3.put("s3://models/m/model.tar.gz", archive(t, map[string]string{"xgboost-model": "{}"}))
	_, err := c.CreateModel(t.Context(), &sm.CreateModelInput{ModelName: aws.String("m"), ExecutionRoleArn: aws.String(role),
		PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image), ModelDataUrl: aws.String("s3://models/m/model.tar.gz"),
			Environment: map[string]string{behaviourEnv: behaviour}}})
	if err != nil {
		t.Fatal(err)
	}
}

// transform is a request for a job over s3://data/in/ in CSV lines.
func transform() *sm.CreateTransformJobInput {
	return &sm.CreateTransformJobInput{
		TransformJobName: aws.String("score"), ModelName: aws.String("m"),
		TransformInput: &types.TransformInput{ContentType: aws.String("text/csv"), SplitType: types.SplitTypeLine,
			DataSource: &types.TransformDataSource{S3DataSource: &types.TransformS3DataSource{S3DataType: types.S3DataTypeS3Prefix, S3Uri: aws.String("s3://data/in/")}}},
		TransformOutput:    &types.TransformOutput{S3OutputPath: aws.String("s3://out/scores"), Accept: aws.String("text/csv"), AssembleWith: types.AssemblyTypeLine},
		TransformResources: &types.TransformResources{InstanceCount: aws.Int32(1), InstanceType: types.TransformInstanceTypeMlM5Xlarge},
	}
}

func (c *cloud) runTransform(t *testing.T, in *sm.CreateTransformJobInput) (status, reason string) {
	t.Helper()
	if _, err := c.CreateTransformJob(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	c.ended("Transform", *in.TransformJobName)
	j, err := c.DescribeTransformJob(t.Context(), &sm.DescribeTransformJobInput{TransformJobName: in.TransformJobName})
	if err != nil {
		t.Fatal(err)
	}
	return string(j.TransformJobStatus), aws.ToString(j.FailureReason)
}

func TestTransformOutputs(t *testing.T) {
	join := func(filter string) func(*sm.CreateTransformJobInput) {
		return func(in *sm.CreateTransformJobInput) {
			in.DataProcessing = &types.DataProcessing{JoinSource: types.JoinSourceInput, OutputFilter: aws.String(filter)}
		}
	}
	json := func(contentType string, more func(*sm.CreateTransformJobInput)) func(*sm.CreateTransformJobInput) {
		return func(in *sm.CreateTransformJobInput) {
			in.TransformInput.ContentType, in.TransformOutput.Accept = aws.String(contentType), aws.String(contentType)
			if more != nil {
				more(in)
			}
		}
	}
	none := func(in *sm.CreateTransformJobInput) {
		in.TransformInput.SplitType, in.TransformOutput.AssembleWith = types.SplitTypeNone, types.AssemblyTypeNone
	}
	for name, tt := range map[string]struct {
		object string
		change func(*sm.CreateTransformJobInput)
		want   string
	}{
		"lines":            {"a,1,2\nb,1\n", nil, "3\n2\n"},
		"no last line end": {"a,1,2\nb,1", nil, "3\n2\n"},
		"CRLF":             {"a,1,2\r\nb,1\r\n", nil, "3\n2\n"},
		"single record":    {"a,1,2\nb,1\n", func(in *sm.CreateTransformJobInput) { in.BatchStrategy = types.BatchStrategySingleRecord }, "3\n2\n"},
		"whole object":     {"a,1,2\nb,1\n", none, "3\n2\n"},
		"join":             {"a,1,2\nb,1\n", join("$"), "a,1,2,3\nb,1,2\n"},
		"first and last":   {"a,1,2\nb,1\n", join("$[0,-1]"), "a,3\nb,2\n"},
		"quoted comma":     {"\"x,y\",1\n", join("$[0,-1]"), "\"x,y\",3\n"},
		"range":            {"a,1,2\n", join("$[1:]"), "1,2,3\n"},
		"input filter": {"a,1,2\nb,1,4\n", func(in *sm.CreateTransformJobInput) {
			in.DataProcessing = &types.DataProcessing{InputFilter: aws.String("$[1:2]")}
		}, "1\n1\n"},
		"filter and join": {"a,1,2\n", func(in *sm.CreateTransformJobInput) {
			in.DataProcessing = &types.DataProcessing{InputFilter: aws.String("$[1:]"), JoinSource: types.JoinSourceInput, OutputFilter: aws.String("$[0,-1]")}
		}, "a,2\n"},
		"whole CSV, join":  {"a,1,2\nb,1\n", func(in *sm.CreateTransformJobInput) { none(in); join("$[0,-1]")(in) }, "a,3\nb,2"},
		"JSON lines":       {`{"id":"a"}` + "\n" + `{"id":"bb"}` + "\n", json("application/jsonlines", nil), `{"n":10}` + "\n" + `{"n":11}` + "\n"},
		"JSON lines, join": {`{"id":"a", "x": 1.50}` + "\n", json("application/jsonlines", join("$")), `{"id":"a", "x": 1.50,"SageMakerOutput":{"n":21}}` + "\n"},
		"JSON lines, filters": {`{"id":"a","f":[1,2.0]}` + "\n", json("application/jsonlines", func(in *sm.CreateTransformJobInput) {
			join("$['id','SageMakerOutput']")(in)
			in.DataProcessing.InputFilter = aws.String("$.f")
		}), `{"id":"a","SageMakerOutput":{"n":7}}` + "\n"},
		"JSON array, join": {"[1,2]\n", json("application/jsonlines", join("$")), `{"SageMakerInput":[1,2],"SageMakerOutput":{"n":5}}` + "\n"},
		"JSON, whole":      {`{"id":"a"}`, json("application/json", func(in *sm.CreateTransformJobInput) { none(in); join("$.SageMakerOutput.n")(in) }), "10"},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			c.model(t, "serve")
			c.s3.put("s3://data/in/2001/april.csv", tt.object)
			in := transform()
			if tt.change != nil {
				tt.change(in)
			}
			if status, reason := c.runTransform(t, in); status != "Completed" {
				t.Fatalf("%s %s", status, reason)
			}
			if got := c.s3.get(t, "s3://out/scores/2001/april.csv.out"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTransformSplitsByPayloadAndKeepsOrder(t *testing.T) {
	c := open(t, nil)
	c.model(t, "serve")
	var object, want strings.Builder
	for i := range 40 { // 4 MB in records of 100 kB, in requests of at most 1 MB, three at once
		object.WriteString(strings.Repeat(",", i) + strings.Repeat("x", 100_000) + "\n")
		want.WriteString(strings.Repeat(",", i) + strings.Repeat("x", 100_000) + "," + strconv.Itoa(i+1) + "\n")
	}
	c.s3.put("s3://data/in/big.csv", object.String())
	in := transform()
	in.DataProcessing = &types.DataProcessing{JoinSource: types.JoinSourceInput}
	if status, reason := c.runTransform(t, in); status != "Completed" {
		t.Fatalf("%s %s", status, reason)
	}
	if c.s3.get(t, "s3://out/scores/big.csv.out") != want.String() {
		t.Error("the records are not in order")
	}
	if n := strings.Count(c.logs.text("algo-1-"), "invoked"); n < 4 || n > 5 {
		t.Errorf("%d requests", n)
	}
	if note := c.logs.wait("/data-log", "BatchStrategy"); !strings.Contains(note, "MaxConcurrentTransforms=3, MaxPayloadInMB=1, BatchStrategy=MULTI_RECORD") {
		t.Errorf("data log %q", note)
	}
}

func TestTransformGzipAndDefaults(t *testing.T) {
	c := open(t, nil)
	c.model(t, "serve-plain") // has no /execution-parameters
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write([]byte("a,1\n")); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	c.s3.put("s3://data/in/a.csv.gz", z.String())
	in := transform()
	in.TransformInput.CompressionType = types.CompressionTypeGzip
	in.Tags = []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
	if status, reason := c.runTransform(t, in); status != "Completed" {
		t.Fatalf("%s %s", status, reason)
	}
	if got := c.s3.get(t, "s3://out/scores/a.csv.gz.out"); got != "2\n" {
		t.Errorf("%q", got)
	}
	if note := c.logs.text("/data-log"); !strings.Contains(note, "MaxConcurrentTransforms=1, MaxPayloadInMB=6, BatchStrategy=MULTI_RECORD") {
		t.Errorf("data log %q", note)
	}
	if log := c.logs.text("algo-1-"); !strings.Contains(log, "invoked type=text/csv accept=text/csv bytes=4") {
		t.Errorf("log %q", log)
	}
	e := c.ended("Transform", "score")
	if e.Type != "SageMaker Transform Job State Change" || e.Detail["ModelName"] != "m" || e.Detail["TransformEndTime"].(float64) < 1e12 ||
		e.Detail["Tags"].(map[string]any)["k"] != "v" {
		t.Errorf("event %v", e)
	}
}

func TestTransformRetries(t *testing.T) {
	c := open(t, nil)
	c.model(t, "serve-flaky")
	c.s3.put("s3://data/in/a.csv", "a,1\n")
	if status, reason := c.runTransform(t, transform()); status != "Completed" {
		t.Fatalf("%s %s", status, reason)
	}
	if n := strings.Count(c.logs.text("algo-1-"), "invoked"); n != 3 {
		t.Errorf("%d requests", n)
	}
}

func TestTransformFails(t *testing.T) {
	for name, tt := range map[string]struct {
		behaviour string
		change    func(*cloud, *sm.CreateTransformJobInput)
		reason    []string
	}{
		"a bad row": {"serve", nil, []string{"ClientError: See job logs for more information", "1 object(s) failed", "data/in/bad.csv: ClientError: 400 row 1, column 2: poison is not a number"}},
		"server error": {"serve-broken", func(_ *cloud, in *sm.CreateTransformJobInput) {
			in.ModelClientConfig = &types.ModelClientConfig{InvocationsMaxRetries: aws.Int32(0)}
		}, []string{"AlgorithmError: See job logs for more information", "500 no"}},
		"crash":        {"serve-crash", nil, []string{"AlgorithmError: ", "exit code 7"}},
		"ends at once": {"empty", nil, []string{"AlgorithmError: The primary container ended with exit code 0 before it passed the ping health check"}},
		"too few": {"serve-short", func(_ *cloud, in *sm.CreateTransformJobInput) {
			in.DataProcessing = &types.DataProcessing{JoinSource: types.JoinSourceInput}
		}, []string{"AlgorithmError: ", "the model answered 2 records with 1 predictions"}},
		"large record": {"serve", func(c *cloud, _ *sm.CreateTransformJobInput) {
			c.s3.put("s3://data/in/bad.csv", strings.Repeat("x", 2<<20))
		}, []string{"ClientError: ", "larger than the payload limit of 1 MB"}},
		"column": {"serve", func(_ *cloud, in *sm.CreateTransformJobInput) {
			in.DataProcessing = &types.DataProcessing{OutputFilter: aws.String("$[5]")}
		}, []string{"ClientError: ", "position 5 is outside the record's 1 columns"}},
		"not gzip": {"serve", func(_ *cloud, in *sm.CreateTransformJobInput) {
			in.TransformInput.CompressionType = types.CompressionTypeGzip
		}, []string{"ClientError: ", "not gzip"}},
		"no objects": {"serve", func(_ *cloud, in *sm.CreateTransformJobInput) {
			in.TransformInput.DataSource.S3DataSource.S3Uri = aws.String("s3://data/none/")
		}, []string{"ClientError: No S3 objects found"}},
		"broken model": {"serve", func(c *cloud, _ *sm.CreateTransformJobInput) { c.s3.put("s3://models/m/model.tar.gz", "not a tar") }, []string{`ClientError: Failed to extract model data archive from URL "s3://models/m/model.tar.gz"`}},
		"model gone":   {"serve", func(c *cloud, _ *sm.CreateTransformJobInput) { c.s3.denied["models/m/model.tar.gz"] = true }, []string{"ClientError: Data download failed:AccessDenied"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			c.model(t, tt.behaviour)
			c.s3.put("s3://data/in/good.csv", "a,1\nb,1\n")
			c.s3.put("s3://data/in/bad.csv", "a,poison\nb,1\n")
			if name == "too few" || name == "column" {
				c.s3.put("s3://data/in/bad.csv", "a,1\nb,1\n")
			}
			in := transform()
			if tt.change != nil {
				tt.change(c, in)
			}
			status, reason := c.runTransform(t, in)
			if status != "Failed" {
				t.Errorf("status %s", status)
			}
			for _, part := range tt.reason {
				if !strings.Contains(reason, part) {
					t.Errorf("reason %q lacks %q", reason, part)
				}
			}
			if name == "a bad row" && (c.s3.get(t, "s3://out/scores/good.csv.out") != "2\n2\n" || c.s3.has("s3://out/scores/bad.csv.out")) {
				t.Error("the good object's output must be there, the bad one's not")
			}
		})
	}
}

func TestTransformPingTimeout(t *testing.T) {
	clk := newSteps()
	c := open(t, func(s *setup) { s.Clock = clk })
	c.model(t, "serve-sick")
	c.s3.put("s3://data/in/a.csv", "a")
	if _, err := c.CreateTransformJob(t.Context(), transform()); err != nil {
		t.Fatal(err)
	}
	clk.fire(4 * time.Minute)
	e := c.ended("Transform", "score")
	if e.Detail["TransformJobStatus"] != "Failed" || !strings.Contains(e.Detail["FailureReason"].(string), "did not pass the ping health check") {
		t.Errorf("%v", e.Detail)
	}
}

func TestStopTransform(t *testing.T) {
	c := open(t, nil)
	c.model(t, "serve-slow")
	c.s3.put("s3://data/in/a.csv", "a")
	if _, err := c.CreateTransformJob(t.Context(), transform()); err != nil {
		t.Fatal(err)
	}
	c.logs.wait("algo-1-", "ready")
	if _, err := c.StopTransformJob(t.Context(), &sm.StopTransformJobInput{TransformJobName: aws.String("score")}); err != nil {
		t.Fatal(err)
	}
	if e := c.ended("Transform", "score"); e.Detail["TransformJobStatus"] != "Stopped" {
		t.Errorf("%v", e.Detail)
	}
	if c.s3.has("s3://out/scores/a.csv.out") {
		t.Error("a stopped job wrote an output")
	}
}

func TestTransformWithModelPackage(t *testing.T) {
	c := open(t, nil)
	arn := c.version(t, func(in *sm.CreateModelPackageInput) {
		in.InferenceSpecification.Containers[0].Environment = map[string]string{behaviourEnv: "serve"}
	})
	_, err := c.CreateModel(t.Context(), &sm.CreateModelInput{ModelName: aws.String("m"), ExecutionRoleArn: aws.String(role),
		Containers: []types.ContainerDefinition{{ModelPackageName: aws.String(arn), Environment: map[string]string{"EXTRA": "1"}}}})
	if err != nil {
		t.Fatal(err)
	}
	c.s3.put("s3://data/in/a.csv", "a,b")
	in := transform()
	in.TransformInput.DataSource.S3DataSource.S3Uri = aws.String("s3://data/in/a.csv")
	if status, reason := c.runTransform(t, in); status != "Completed" {
		t.Fatalf("%s %s", status, reason)
	}
	if got := c.s3.get(t, "s3://out/scores/a.csv.out"); got != "2\n" {
		t.Errorf("%q", got)
	}
}

func TestTransformModelDataSources(t *testing.T) {
	for name, source := range map[string]types.S3ModelDataSource{
		"prefix":  {S3Uri: aws.String("s3://models/plain/"), S3DataType: types.S3ModelDataTypeS3Prefix, CompressionType: types.ModelCompressionTypeNone},
		"object":  {S3Uri: aws.String("s3://models/plain/xgboost-model"), S3DataType: types.S3ModelDataTypeS3Object, CompressionType: types.ModelCompressionTypeNone},
		"archive": {S3Uri: aws.String("s3://models/m.tar.gz"), S3DataType: types.S3ModelDataTypeS3Object, CompressionType: types.ModelCompressionTypeGzip},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, nil)
			c.s3.put("s3://models/plain/xgboost-model", "{}")
			c.s3.put("s3://models/m.tar.gz", archive(t, map[string]string{"xgboost-model": "{}"}))
			_, err := c.CreateModel(t.Context(), &sm.CreateModelInput{ModelName: aws.String("m"), ExecutionRoleArn: aws.String(role),
				PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image), ModelDataSource: &types.ModelDataSource{S3DataSource: &source},
					Environment: map[string]string{behaviourEnv: "serve", "NEEDS_MODEL": "1"}}})
			if err != nil {
				t.Fatal(err)
			}
			c.s3.put("s3://data/in/a", "a,b\n")
			if status, reason := c.runTransform(t, transform()); status != "Completed" {
				t.Errorf("%s %s: %s", status, reason, c.logs.text("algo-1-"))
			}
		})
	}
}
