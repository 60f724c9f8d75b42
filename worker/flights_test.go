package main_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
)

// flights is the shipped pipeline's shape, over its committed data.
func flights(tb testing.TB, months ...string) *platform {
	files := map[string][]byte{}
	for _, m := range months {
		raw, err := os.ReadFile(filepath.Join("..", "pipelines", "flights", "data", m+".csv.gz"))
		if err != nil {
			tb.Fatal(err)
		}
		files["flights/raw/"+m+".csv.gz"] = raw
	}
	return newPlatform(tb, definition.Definition{
		Name: "flights",
		Data: definition.Data{Format: "csv", Key: "flight_id", Time: "departed_at", Label: definition.Label{Name: "late", Expr: "arrival_delay > 15"}, MinimumRows: 1000},
		Quality: []definition.Check{
			{Column: "distance", Type: "number", Range: &[2]float64{0, 6000}, Missing: &definition.Missing{AtMost: 0.01}, Severity: "stop"},
		},
		Features: []definition.Feature{
			{Name: "minute", Expr: "minute_of_day(departed_at)"}, {Name: "hour", Expr: "hour(departed_at)"}, {Name: "weekday", Expr: "weekday(departed_at)"},
			{Name: "distance"}, {Name: "origin", Encode: "onehot"}, {Name: "destination", Encode: "ordinal"},
		},
		Split: definition.Split{By: "time", Validation: 0.1, Test: 0.2, Seed: 7},
		Train: definition.Train{Algorithm: "builtin", Seed: 7, Hyperparameters: map[string]string{"num_round": "200", "max_depth": "6", "eta": "0.1", "early_stopping_rounds": "20"}},
		Evaluate: definition.Evaluate{Metric: "auc", AtLeast: new(0.65), Confidence: 0.95, Slices: []string{"origin"},
			Value: map[string]float64{"tp": 40, "fp": -5}},
	}, files)
}

// BenchmarkFlights runs the steps over January to March 2001: 312,000 rows.
func BenchmarkFlights(b *testing.B) {
	p := flights(b, "2001-01", "2001-02", "2001-03")
	for b.Loop() {
		begin := time.Now()
		lap := func(name string) {
			b.ReportMetric(time.Since(begin).Seconds(), name+"-s")
			begin = time.Now()
		}
		prepared := p.prepare()
		lap("prepare")
		trained, _ := p.train(prepared)
		lap("train")
		model := p.tarOf(trained)
		_, e := p.evaluate(prepared, model, nil)
		lap("evaluate")
		evaluated, _ := p.evaluate(prepared, model, model)
		lap("evaluate-champion")
		b.ReportMetric(float64(e.Metrics["auc"].Value), "auc")
		if dir := os.Getenv("MILLRACE_KEEP"); dir != "" { // to look at the reports
			if err := os.CopyFS(dir, os.DirFS(string(evaluated)+"/processing/output")); err != nil {
				b.Fatal(err)
			}
			if err := os.CopyFS(dir, os.DirFS(string(prepared)+"/processing/output")); err != nil {
				b.Fatal(err)
			}
		}
		b.Logf("prepare says %v; decision: %s", p.message(prepared), e.Decision.Why)
	}
}
