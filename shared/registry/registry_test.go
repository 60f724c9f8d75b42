package registry_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/shared/runs/runstest"
)

var ctx = context.Background()

// recorder keeps the requests that register a version.
type recorder struct {
	*runstest.SageMaker
	made []*sagemaker.CreateModelPackageInput
}

func (r *recorder) CreateModelPackage(ctx context.Context, in *sagemaker.CreateModelPackageInput, opt ...func(*sagemaker.Options)) (*sagemaker.CreateModelPackageOutput, error) {
	r.made = append(r.made, in)
	return r.SageMaker.CreateModelPackage(ctx, in, opt...)
}

func candidate(run int) registry.Candidate {
	return registry.Candidate{Pipeline: "flights", Run: run, Image: "i@sha256:1", ModelData: "s3://b/m.tar.gz", Recipe: "r", TrainDigest: "t",
		Evaluation: "s3://b/e/evaluation.json", Report: "s3://b/e/report.html", Baseline: "s3://b/base/", Instance: "ml.m5.large", Description: "Run flights/1. better"}
}

func register(t *testing.T, r *registry.Registry, c registry.Candidate) int {
	t.Helper()
	_, version, err := r.Register(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// TestARunIsOneVersion: a second try finds what the first one made, also when only
// the answer was lost; another run, or another recipe, is another version.
func TestARunIsOneVersion(t *testing.T) {
	sm := runstest.NewSageMaker()
	r := registry.New(sm)
	if a, b := register(t, r, candidate(1)), register(t, r, candidate(1)); a != 1 || b != 1 {
		t.Errorf("versions of one run are %d and %d", a, b)
	}
	sm.Faults = &ledgertest.Faults{At: 3, After: true} // list and describe come before
	if _, _, err := r.Register(ctx, candidate(2)); err == nil {
		t.Fatalf("no fault was met, but %q", sm.Faults.Met())
	}
	if v := register(t, r, candidate(2)); v != 2 {
		t.Errorf("after a lost answer the version is %d", v)
	}
	other := candidate(1)
	other.Recipe = "another" // the ledger began anew
	if v := register(t, r, other); v != 3 {
		t.Errorf("another recipe under an old run number is version %d", v)
	}
}

// TestClientTokensAreOfOneCandidate: SageMaker gives the first one's version to
// whoever comes with the same token.
func TestClientTokensAreOfOneCandidate(t *testing.T) {
	sm := &recorder{SageMaker: runstest.NewSageMaker()}
	r := registry.New(sm)
	long, longer := candidate(1), candidate(1)
	long.Pipeline, longer.Pipeline = "a-pipeline-with-a-long-name-a", "a-pipeline-with-a-long-name-b"
	for _, c := range []registry.Candidate{long, longer, candidate(11), candidate(1)} {
		register(t, r, c)
	}
	seen := map[string]bool{}
	for _, in := range sm.made {
		token := aws.ToString(in.ClientToken)
		if len(token) > 36 || seen[token] || strings.Trim(token, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			t.Errorf("client token %q", token)
		}
		seen[token] = true
	}
	if len(sm.made) != 4 {
		t.Errorf("%d versions were made", len(sm.made))
	}
}

func TestVersionsSayWhatTheyAre(t *testing.T) {
	sm := &recorder{SageMaker: runstest.NewSageMaker()}
	r := registry.New(sm)
	c := candidate(7)
	c.Approved, c.Description = true, "line\nline\x00"+strings.Repeat("é", 1000)
	arn, _, err := r.Register(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	if d := aws.ToString(sm.made[0].ModelPackageDescription); len(d) > 1024 || strings.ContainsAny(d, "\n\x00") || !strings.HasPrefix(d, "line line ") {
		t.Errorf("the description is %q", d)
	}
	for k, v := range sm.made[0].CustomerMetadataProperties {
		if len(k) > 128 || len(v) < 1 || len(v) > 256 {
			t.Errorf("metadata %s is %q", k, v)
		}
	}
	v, err := r.Version(ctx, arn)
	if err != nil || v.Approval != events.Approved || v.Run != 7 || v.Recipe != "r" || v.TrainDigest != "t" || v.ModelData != c.ModelData || v.Image != c.Image || v.Report != c.Report || v.Changed.IsZero() {
		t.Errorf("the version is %+v, %v", v, err)
	}
	if err := r.Decide(ctx, arn, events.Rejected, "no\tgood"); err != nil {
		t.Fatal(err)
	}
	later, err := r.Version(ctx, arn)
	if err != nil || later.Approval != events.Rejected || later.Comment != "no good" || !later.Changed.After(v.Changed) {
		t.Errorf("after the decision it is %+v, %v", later, err)
	}
	if got, found, err := r.ARN(ctx, "flights", 1); err != nil || !found || got != arn {
		t.Errorf("version 1 is %s, %v, %v", got, found, err)
	}
	if _, found, err := r.ARN(ctx, "flights", 2); err != nil || found {
		t.Errorf("version 2 is found: %v", err)
	}
	for range 2 {
		if name, err := r.Model(ctx, v, "role"); err != nil || name != "flights-v1" {
			t.Errorf("the model is %s, %v", name, err)
		}
	}
}

func TestVersionOf(t *testing.T) {
	if v, err := registry.VersionOf("arn:aws:sagemaker:us-east-1:000000000000:model-package/flights/12"); v != 12 || err != nil {
		t.Errorf("version is %d, %v", v, err)
	}
	for _, arn := range []string{"", "arn:aws:sagemaker:us-east-1:000000000000:model-package/flights", "x/"} {
		if v, err := registry.VersionOf(arn); err == nil {
			t.Errorf("%q is version %d", arn, v)
		}
	}
}
