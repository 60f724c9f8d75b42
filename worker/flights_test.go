package main_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
)

// flights is the shipped pipeline over its committed data.
func flights(tb testing.TB, months ...string) *platform {
	files := map[string][]byte{}
	for _, m := range months {
		raw, err := os.ReadFile(filepath.Join("..", "pipelines", "flights", "data", m+".csv.gz"))
		if err != nil {
			tb.Fatal(err)
		}
		files["flights/raw/"+m+".csv.gz"] = raw
	}
	def, err := definition.Load(os.DirFS(".."), "flights")
	if err != nil {
		tb.Fatal(err)
	}
	return newPlatform(tb, *def, files)
}

// The shipped pipeline learns something from January 2001 alone.
func TestFlightsJanuary(t *testing.T) {
	p := flights(t, "2001-01")
	prepared := p.prepare()
	if m := p.message(prepared); m["ok"] != true || m["rows"] != 105_361.0 {
		t.Fatalf("prepare says %v", m)
	}
	trained, _ := p.train(prepared)
	_, e := p.evaluate(prepared, p.tarOf(trained), nil)
	if auc := e.Metrics["auc"]; !(auc.Low > 0.7 && auc.High < 0.9) {
		t.Errorf("auc is %+v; one near 1 would be a leak of the label", auc)
	}
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
