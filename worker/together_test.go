package main_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/prepare"
	"github.com/millrace-ml/millrace/worker/quality"
)

// prepareAfter prepares the uploads of a run that was asked for at a time, after
// one whose outputs are those of last ("": none).
func (p *platform) prepareAfter(last job.Base, asked time.Time) (job.Base, quality.Report) {
	p.tb.Helper()
	base := p.begin(jobfile.File{Step: "prepare"}, processing...)
	f := jobfile.File{Step: "prepare", Run: 9, Asked: &asked, Dataset: p.dataset(base, []string{"trips/raw/jan.csv"})}
	if last != "" {
		f.Last = &jobfile.Last{Version: 4, Run: 7}
		p.write(base, p.read(last, "processing", "output", "quality", "statistics.json"), "processing", "input", "last", "statistics.json")
	}
	p.begun(base, f)
	if err := base.Process(func() error { return prepare.Run(context.Background(), base, p.log) }); err != nil {
		p.tb.Fatal(err)
	}
	var r quality.Report
	if err := json.Unmarshal(p.read(base, "processing", "output", "quality", "report.json"), &r); err != nil {
		p.tb.Fatal(err)
	}
	return base, r
}

// TestChecksOfAllRows: row counts, freshness, and drift against the dataset of
// the version in service, each of which warns or stops.
func TestChecksOfAllRows(t *testing.T) {
	asked := time.Date(2025, 2, 1, 0, 0, 0, 0, time.UTC)
	first := newPlatform(t, trips(), map[string][]byte{"trips/raw/jan.csv": tripRows(1, 3000)})
	last, _ := first.prepareAfter("", asked)
	moved := strings.ReplaceAll(strings.ReplaceAll(string(tripRows(2, 3000)), ",south,", ",north,"), ",1", ",9")
	tests := map[string]struct {
		rows  []byte
		check definition.Check
		want  string // of the finding; "": none
	}{
		"rows hold":        {nil, definition.Check{Rows: &[2]int64{3000, 3000}, Severity: "stop"}, ""},
		"too few rows":     {nil, definition.Check{Rows: &[2]int64{3001, 5000}, Severity: "stop"}, "stop the uploads have 3000 rows, and 3001 to 5000 are expected"},
		"too many rows":    {nil, definition.Check{Rows: &[2]int64{1, 2999}, Severity: "warn"}, "warn the uploads have 3000 rows, and 1 to 2999 are expected"},
		"fresh":            {nil, definition.Check{Fresh: 5 * 24 * time.Hour, Severity: "stop"}, ""},
		"stale":            {nil, definition.Check{Fresh: 24 * time.Hour, Severity: "stop"}, "stop the newest row is of 2025-01-28T"},
		"no drift":         {tripRows(3, 3000), definition.Check{Drift: &definition.Drift{Distance: 0.1, Significance: 0.001}, Severity: "stop"}, ""},
		"drift":            {[]byte(moved), definition.Check{Drift: &definition.Drift{Distance: 0.1, Significance: 0.001}, Severity: "stop"}, `stop column "delay": the values lie 0.151`},
		"drift, told only": {[]byte(moved), definition.Check{Drift: &definition.Drift{Distance: 0.1, Significance: 0.001, Columns: []string{"zone"}}, Severity: "warn"}, `warn column "zone": the values lie 0.349`},
		"drift elsewhere":  {[]byte(moved), definition.Check{Drift: &definition.Drift{Distance: 0.1, Significance: 0.001, Columns: []string{"at"}}, Severity: "stop"}, `warn column "at": the column cannot be compared with the dataset of version 4`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t, trips(), first.files)
			if tt.rows != nil {
				p.files = map[string][]byte{"trips/raw/jan.csv": tt.rows}
			}
			p.def.Quality = []definition.Check{tt.check}
			base, r := p.prepareAfter(last, asked)
			got := ""
			for _, f := range r.Findings {
				if f.Check == "rows" || f.Check == "fresh" || f.Check == "drift" {
					got += f.Severity + " " + f.Text() + "\n"
				}
			}
			if !strings.HasPrefix(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("findings are %q, want %q", got, tt.want)
			}
			if ok := p.message(base)["ok"]; ok == strings.HasPrefix(tt.want, "stop") {
				t.Errorf("ok is %v", ok)
			}
			if r.Drift == nil || r.Drift.Version != 4 || r.Drift.Run != 7 || len(r.Drift.Columns) != 3 { // distance, zone, delay
				t.Fatalf("drift is %+v", r.Drift)
			}
			for _, c := range r.Drift.Columns {
				if c.Name == "zone" && c.Drifted != strings.Contains(name, "drift") && name != "no drift" && name != "drift elsewhere" {
					t.Errorf("zone is %+v", c)
				}
			}
			if page := string(p.read(base, "processing", "output", "quality", "report.html")); !strings.Contains(page, "Against the dataset of version 4 (run 7)") {
				t.Error("the page does not show drift")
			}
		})
	}
}
