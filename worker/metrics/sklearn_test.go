package metrics_test

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/millrace-ml/millrace/worker/metrics"
)

// judgement is what testdata/sklearn_metrics.py prints.
type judgement struct {
	Version string `json:"scikit-learn"`
	Samples []struct {
		Kind      metrics.Kind       `json:"kind"`
		Name      string             `json:"name"`
		Classes   int                `json:"classes"`
		Threshold float64            `json:"threshold"`
		Labels    []float32          `json:"labels"`
		Scores    []float32          `json:"scores"`
		Metrics   map[string]float64 `json:"metrics"`
	} `json:"samples"`
}

// agree holds our metrics against scikit-learn's.
func agree(t *testing.T, raw []byte) {
	t.Helper()
	var j judgement
	if err := json.Unmarshal(raw, &j); err != nil {
		t.Fatal(err)
	}
	judged := map[string]bool{"value": true} // what is no metric of scikit-learn's
	for _, s := range j.Samples {
		block, blocks := metrics.BlocksOfRows(len(s.Labels))
		m, err := metrics.Judge(&metrics.Sample{Kind: s.Kind, Classes: s.Classes, Label: s.Labels, Block: block, Blocks: blocks}, s.Scores, s.Threshold, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := m.Compute(nil)
		for i, metric := range metrics.Of(s.Kind) {
			want, ok := s.Metrics[metric.Name]
			if !ok {
				continue
			}
			judged[metric.Name] = true
			if !(math.Abs(got[i]-want) <= 1e-9*max(1, math.Abs(want))) {
				t.Errorf("%s, %s: %s is %.12g, scikit-learn %s says %.12g", s.Kind, s.Name, metric.Name, got[i], j.Version, want)
			}
		}
	}
	for _, m := range metrics.All {
		if !judged[m.Name] {
			t.Errorf("no sample judges %s", m.Name)
		}
	}
}

func TestScikitLearnsFixtures(t *testing.T) {
	raw, err := os.ReadFile("testdata/sklearn.json")
	if err != nil {
		t.Fatal(err)
	}
	agree(t, raw)
}

// The same of other samples, by the real package: of the Python in
// MILLRACE_SKLEARN_PYTHON, which must be there with MILLRACE_TEST_CLIENTS=required, as in CI.
func TestScikitLearn(t *testing.T) {
	python := os.Getenv("MILLRACE_SKLEARN_PYTHON")
	if python == "" {
		if os.Getenv("MILLRACE_TEST_CLIENTS") == "required" {
			t.Fatal("MILLRACE_SKLEARN_PYTHON names no Python with scikit-learn")
		}
		t.Skip("left out: MILLRACE_SKLEARN_PYTHON names no Python with scikit-learn (pip install scikit-learn==1.9.1)")
	}
	for seed := range 4 {
		out, err := exec.Command(python, "testdata/sklearn_metrics.py", strconv.Itoa(seed)).Output()
		if err != nil {
			t.Fatalf("ask scikit-learn: %v", err)
		}
		agree(t, out)
	}
}
