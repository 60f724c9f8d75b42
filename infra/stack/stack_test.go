package stack_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/millrace-ml/millrace/infra/stack"
)

var update = flag.Bool("update", false, "write the snapshot anew")

// functionNames are the functions that the stack deploys.
var functionNames = []string{"jobcompleted", "modelapproved", "newdata", "register", "runended", "snapshot", "startjob"}

func TestMain(m *testing.M) {
	flag.Parse()
	if _, err := exec.LookPath("node"); err != nil {
		fmt.Fprintln(os.Stderr, "infra's tests need Node (CDK's constructs run in it), and there is no `node` on the PATH. Install Node 20 or newer: https://nodejs.org")
		os.Exit(1)
	}
	os.Setenv("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")
	os.Setenv("NODE_NO_WARNINGS", "1")
	os.Exit(m.Run())
}

// synth synthesizes the stack of the shipped pipelines into a folder, with stub
// functions: their bytes are no part of the snapshot.
func synth(t *testing.T) (template map[string]any, dir string) {
	t.Helper()
	t.Cleanup(jsii.Close)
	functions := t.TempDir()
	for _, name := range functionNames {
		if err := os.MkdirAll(filepath.Join(functions, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(functions, name, "bootstrap"), []byte("stub of "+name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pipelines, err := stack.LoadPipelines("../../pipelines")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	app := awscdk.NewApp(&awscdk.AppProps{Context: stack.Flags(), Outdir: &dir})
	stack.NewMillrace(app, "Millrace", stack.Props{Functions: functions, Pipelines: pipelines})
	app.Synth(nil)
	raw, err := os.ReadFile(filepath.Join(dir, "Millrace.template.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &template); err != nil {
		t.Fatal(err)
	}
	return template, dir
}

var assetKey = regexp.MustCompile(`^[0-9a-f]{64}\.zip$`)

// normalize names the functions' assets after the functions, so that the
// snapshot does not change with the bytes of a build.
func normalize(template map[string]any) (assets map[string]string) {
	assets = map[string]string{}
	for _, r := range resources(template) {
		if r["Type"] != "AWS::Lambda::Function" {
			continue
		}
		props := r["Properties"].(map[string]any)
		name := strings.TrimPrefix(props["FunctionName"].(string), "millrace-")
		code := props["Code"].(map[string]any)
		if assetKey.MatchString(code["S3Key"].(string)) {
			code["S3Key"] = name + ".zip"
			assets[name] = name + ".zip"
		}
	}
	return assets
}

func resources(template map[string]any) map[string]map[string]any {
	out := map[string]map[string]any{}
	for id, r := range template["Resources"].(map[string]any) {
		out[id] = r.(map[string]any)
	}
	return out
}

func TestSnapshot(t *testing.T) {
	template, _ := synth(t)
	assets := normalize(template)
	if len(assets) != len(functionNames) {
		t.Fatalf("the template has assets for %v, want one for each of %v", assets, functionNames)
	}
	got := encode(t, template)
	if *update {
		write(t, "Millrace.template.json", got)
		write(t, "Millrace.assets.json", encode(t, assetManifest(assets)))
		return
	}
	for file, content := range map[string][]byte{"Millrace.template.json": got, "Millrace.assets.json": encode(t, assetManifest(assets))} {
		want, err := os.ReadFile(filepath.Join("snapshot", file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, want) {
			t.Errorf("%s differs from a fresh synth: %s\nIf the change is meant, run `make snapshot` and commit it.", file, firstDifference(content, want))
		}
	}
}

func firstDifference(got, want []byte) string {
	g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range g {
		if i >= len(w) || g[i] != w[i] {
			old := "(end of file)"
			if i < len(w) {
				old = w[i]
			}
			return fmt.Sprintf("line %d is now %q, was %q", i+1, g[i], old)
		}
	}
	return "the fresh one is shorter"
}

// assetManifest is the part of CDK's asset manifest that a deployment needs.
func assetManifest(assets map[string]string) map[string]any {
	files := map[string]any{}
	for name, key := range assets {
		files[name] = map[string]any{
			"source":       map[string]any{"path": "../functions/" + name, "packaging": "zip"},
			"destinations": map[string]any{"local": map[string]any{"bucketName": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}", "objectKey": key}},
		}
	}
	return map[string]any{"files": files}
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll("snapshot", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("snapshot", name), content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// snapshotTemplate is the committed template: what the local cloud deploys.
func snapshotTemplate(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile("snapshot/Millrace.template.json")
	if err != nil {
		t.Fatal(err)
	}
	var template map[string]any
	if err := json.Unmarshal(raw, &template); err != nil {
		t.Fatal(err)
	}
	return template
}

// TestNoWildcardActions: no role may do whole services, and a resource of "*" is
// only for actions that know no other.
func TestNoWildcardActions(t *testing.T) {
	onlyStar := map[string]bool{"sagemaker:ListModelPackages": true, "ecr:GetAuthorizationToken": true, "cloudwatch:PutMetricData": true}
	for id, r := range resources(snapshotTemplate(t)) {
		if r["Type"] != "AWS::IAM::Policy" {
			continue
		}
		doc := r["Properties"].(map[string]any)["PolicyDocument"].(map[string]any)
		for _, raw := range doc["Statement"].([]any) {
			st := raw.(map[string]any)
			for _, action := range list(st["Action"]) {
				if strings.Contains(action, "*") {
					t.Errorf("%s allows %s", id, action)
				}
				if st["Effect"] == "Allow" && st["Resource"] == "*" && !onlyStar[action] {
					t.Errorf("%s allows %s on every resource", id, action)
				}
			}
		}
	}
}

// TestJobsDoNotSteerRuns: the jobs' role reads and writes what jobs do. A job that
// a hostile file took over can neither put a model in service nor answer for another.
func TestJobsDoNotSteerRuns(t *testing.T) {
	var may = map[string][]*regexp.Regexp{}
	for id, r := range resources(snapshotTemplate(t)) {
		if r["Type"] != "AWS::IAM::Policy" || !strings.HasPrefix(id, "jobrole") {
			continue
		}
		doc := r["Properties"].(map[string]any)["PolicyDocument"].(map[string]any)
		for _, raw := range doc["Statement"].([]any) {
			st := raw.(map[string]any)
			resources, several := st["Resource"].([]any)
			if !several {
				resources = []any{st["Resource"]}
			}
			for _, resource := range resources {
				joined, _ := resource.(map[string]any)
				parts, ok := joined["Fn::Join"].([]any)
				if !ok {
					continue
				}
				path := parts[1].([]any)[1].(string)
				pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(path), `\*`, ".*") + "$")
				for _, action := range list(st["Action"]) {
					may[action] = append(may[action], pattern)
				}
			}
		}
	}
	for path, want := range map[string]string{
		"flights/runs/7/train/flights-7-train-0/output/model.tar.gz": "s3:GetObject s3:PutObject",
		"flights/runs/7/prepare/config/job.json":                     "s3:GetObject s3:PutObject",
		"flights/runs/7/prepare-scores/batch/a.csv":                  "s3:GetObject s3:PutObject",
		"flights/runs/7/scores/a.csv.out":                            "s3:GetObject s3:PutObject",
		"flights/objects/00ff/2001-01.csv.gz":                        "s3:GetObject",
		"flights/in-service.json":                                    "",
		"flights/lease/train.json":                                   "",
		"flights/results/00ff.json":                                  "",
		"flights/runs/7/run.json":                                    "",
		"flights/runs/7/steps/train.json":                            "",
		"flights/runs/7/champion.json":                               "",
		"flights/versions/1.json":                                    "",
		"waiting/flights-7-train-0.json":                             "",
	} {
		var got []string
		for action, patterns := range may {
			for _, p := range patterns {
				if p.MatchString("/" + path) {
					got = append(got, action)
				}
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("jobs may %q on %s, want %q", got, path, want)
		}
	}
}

func list(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	var out []string
	for _, x := range v.([]any) {
		out = append(out, x.(string))
	}
	return out
}

// TestEveryRuleKeepsWhatItCannotDeliver: each target has a dead-letter queue.
func TestEveryRuleKeepsWhatItCannotDeliver(t *testing.T) {
	rules := 0
	for id, r := range resources(snapshotTemplate(t)) {
		if r["Type"] != "AWS::Events::Rule" {
			continue
		}
		rules++
		for _, target := range r["Properties"].(map[string]any)["Targets"].([]any) {
			if target.(map[string]any)["DeadLetterConfig"] == nil {
				t.Errorf("%s has a target without a dead-letter queue", id)
			}
		}
	}
	if rules < 6 {
		t.Errorf("the template has %d rules, want at least 6", rules)
	}
}

// TestBuckets: uploads are versioned and announced; nothing that Millrace writes
// can trigger Millrace.
func TestBuckets(t *testing.T) {
	announced := map[string]bool{}
	for id, r := range resources(snapshotTemplate(t)) {
		if r["Type"] != "AWS::S3::Bucket" {
			continue
		}
		props := r["Properties"].(map[string]any)
		if props["VersioningConfiguration"] == nil || props["PublicAccessBlockConfiguration"] == nil || props["BucketEncryption"] == nil {
			t.Errorf("%s is not versioned, private and encrypted", id)
		}
		announced[fmt.Sprint(props["BucketName"])] = props["NotificationConfiguration"] != nil
	}
	names := slices.Sorted(maps.Keys(announced))
	if len(names) != 2 || !announced[names[0]] || announced[names[1]] {
		t.Errorf("EventBridge is on for %v; want it on for the data bucket and off for the ledger", announced)
	}
}
