package main_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/evaluate"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/prepare"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/train"
)

// edit replaces text of January's trips.
func edit(old, with string) func(p *platform) {
	return func(p *platform) {
		raw := string(p.files["trips/raw/jan.csv"])
		if !strings.Contains(raw, old) {
			p.tb.Fatalf("the file does not hold %q", old)
		}
		p.files["trips/raw/jan.csv"] = []byte(strings.Replace(raw, old, with, 1))
	}
}

// TestRejectedUploads: each fault of the data ends with a message and a report
// that say what is wrong and where; the job itself succeeds, and the same
// pipeline takes the next good upload.
func TestRejectedUploads(t *testing.T) {
	tests := map[string]struct {
		change func(p *platform)
		want   string // in the message
	}{
		"empty file": {func(p *platform) { p.files["trips/raw/jan.csv"] = nil }, "trips/raw/jan.csv: the file is empty"},
		"not UTF-8":  {edit("north", "n\xffrth"), "trips/raw/jan.csv, line "},
		"truncated gzip": {func(p *platform) {
			f := p.files["trips/raw/feb.csv.gz"]
			p.files["trips/raw/feb.csv.gz"] = f[:len(f)/2]
		}, "the gzip stream ends early"},
		"missing column": {edit("distance", "distanze"), `trips/raw/jan.csv, line 1, column "distance": the column is missing; the file has trip, at, zone, distanze, delay (hint: is "distanze" meant?)`},
		"twice a column": {edit("zone", "trip"), `column "trip": the header names this column twice`},
		"missing column of a check": {func(p *platform) {
			p.def.Quality = append(p.def.Quality, definition.Check{Drift: &definition.Drift{Distance: 0.1, Significance: 0.001, Columns: []string{"zon"}}})
		}, `column "zon": the column is missing; the file has trip, at, zone, distance, delay (hint: is "zone" meant?)`},
		"wrong length":    {edit("T1-00007,", "T1-00007,extra,"), "trips/raw/jan.csv, line 9: the row has 6 values, the header has 5"},
		"duplicate key":   {edit("T1-00007,", "T1-00003,"), `column "trip": the key must be unique, and 1 rows repeat that of another row`},
		"same rows twice": {func(p *platform) { p.files["trips/raw/jan2.csv"] = p.files["trips/raw/jan.csv"] }, "3000 rows repeat that of another row"},
		"unique is broken": {func(p *platform) {
			p.def.Quality = append(p.def.Quality, definition.Check{Column: "delay", Unique: true})
			edit("T1-00007,", "T1-00008X,2025-01-03T00:00:00Z,north,1,7.125\nT1-00009X,2025-01-03T00:00:00Z,north,1,7.125\nT1-00007,")(p)
		}, `column "delay": `},
		"infinity": {func(p *platform) {
			edit("T1-00007,", "T1-X,2025-01-03T00:00:00Z,north,inf,1\nT1-Y,2025-01-03T00:00:00Z,north,1e999,1\nT1-00007,")(p)
		}, `column "distance": 2 values are not of type number; first: trips/raw/jan.csv, line 9: "inf" is not a number`},
		"labels that are not there": {func(p *platform) {
			p.def.Data.Label = definition.Label{Name: "gone"}
			for k, month := range map[string]time.Month{"trips/raw/jan.csv": 1, "trips/raw/feb.csv.gz": 2} {
				p.files[k] = eachRow(tripRows(month, 3000), func(i int, cells []string) []string {
					if i == 0 {
						return append(cells, "gone")
					}
					return append(cells, "NaN")
				})
			}
		}, "there are 0 rows to learn from, and at least 100 are needed; 6000 of the 6000 uploaded are left out, see the warnings"},
		"a column without values": {func(p *platform) {
			p.def.Quality = nil
			p.files = map[string][]byte{"trips/raw/jan.csv": eachRow(tripRows(1, 3000), func(i int, cells []string) []string {
				if i > 0 {
					cells[3] = ""
				}
				return cells
			})}
		}, `column "distance": there is no value in any of 3000 rows, and features read the column`},
		"100,000 categories": {func(p *platform) {
			p.def.Quality = nil
			p.def.Features = []definition.Feature{{Name: "name", Expr: "name", Encode: "onehot"}}
			p.files = map[string][]byte{"trips/raw/jan.csv": eachRow(tripRows(1, 100_000), func(i int, cells []string) []string {
				if i == 0 {
					return append(cells, "name")
				}
				return append(cells, cells[0])
			})}
		}, `fit feature "name": more than 1000 categories`},
		"one row": {func(p *platform) {
			p.files = map[string][]byte{"trips/raw/jan.csv": tripRows(1, 1)}
		}, "there are 1 rows to learn from, and at least 100 are needed"},
		"missing key": {edit("T1-00007,", ","), `column "trip": 1 rows have no key; first: trips/raw/jan.csv, line 9`},
		"text in number": {func(p *platform) {
			edit("T1-00007,", "T1-00007X,")(p)
			p.files["trips/raw/jan.csv"] = []byte(strings.Replace(string(p.files["trips/raw/jan.csv"]), ".", ".x", 1))
		}, `column "distance": 1 value is not of type number; first: trips/raw/jan.csv, line 2`},
		"undeclared type": {func(p *platform) { p.def.Quality = nil; edit(".", ".x")(p) }, `column "distance": 1 value is not of type number; nearly all others are numbers (hint: correct them, leave the cell empty`},
		"times of another kind": {func(p *platform) {
			p.files = map[string][]byte{"trips/raw/jan.csv": bytes.ReplaceAll(tripRows(1, 3000), []byte("2025-01-"), []byte("01/2025/"))}
		}, `column "at": 3000 values are not of type time, as which the pipeline reads the column; first: trips/raw/jan.csv, line 2`},
		"bad time": {edit("2025-01-", "2025-13-"), `column "at": 1 value is not of type time`},
		"no time": {func(p *platform) {
			raw := string(p.files["trips/raw/jan.csv"])
			at := strings.Index(raw, "2025-01-")
			p.files["trips/raw/jan.csv"] = []byte(raw[:at] + raw[at+20:])
		}, `column "at": 1 rows have no time`},
		"out of range":     {func(p *platform) { p.def.Quality[0].Range = &[2]float64{0, 50} }, `column "distance": `},
		"too many missing": {func(p *platform) { p.def.Quality[0].Missing = &definition.Missing{AtMost: 0.001} }, "of the values missing, at most 0.1 % allowed"},
		"constant label":   {func(p *platform) { p.def.Data.Label.Expr = "delay > 1000" }, `column "late": the label is 0 in all 6000 rows: there is nothing to learn`},
		"few rows":         {func(p *platform) { p.def.Data.MinimumRows = 10_000 }, "there are 6000 rows to learn from, and at least 10000 are needed"},
		"header alone": {func(p *platform) {
			p.files = map[string][]byte{"trips/raw/jan.csv": []byte("trip,at,zone,distance,delay\n")}
		}, "there are 0 rows to learn from"},
		"label of text": {func(p *platform) {
			p.def.Data.Label = definition.Label{Name: "zone"}
			p.def.Features = p.def.Features[:2]
		}, `the label is text, not a number or boolean`},
		"label too large": {func(p *platform) {
			p.def.Data.Label = definition.Label{Name: "delay"}
			p.def.Evaluate = definition.Evaluate{Metric: "rmse", AtMost: new(1e9), Confidence: 0.95}
			p.files["trips/raw/jan.csv"] = eachRow(tripRows(1, 3000), func(i int, cells []string) []string {
				if i > 2990 {
					cells[4] = "-2e37"
				}
				return cells
			})
		}, `column "delay": 10 rows have a label that is larger than a model can hold, 1.3e+30`},
		"labels far from 0": {func(p *platform) {
			p.def.Data.Label = definition.Label{Name: "when", Expr: "delay + 1700000000"}
			p.def.Evaluate = definition.Evaluate{Metric: "rmse", Confidence: 0.95}
		}, `column "when": the labels of the train part lie between 1699999984.91 and 1700000026.93, where a model tells apart no less than 128 (hint: subtract`},
		"label not binary": {func(p *platform) { p.def.Data.Label = definition.Label{Name: "delay"} }, "have a label that is neither 0 nor 1, which the metric auc needs"},
		"text as number": {func(p *platform) {
			p.def.Features = append(p.def.Features, definition.Feature{Name: "raw", Expr: "zone"})
		}, `feature "raw": encode: the feature is text and has no encoding (hint: write encode: onehot or encode: ordinal); the column zone holds texts such as "`},
		"one class in test": {func(p *platform) {
			p.def.Data.Label.Expr = "delay > 10 and (month(at) < 2 or day(at) < 12)"
			p.def.Features = p.def.Features[1:3]
		}, "rows of the test part: nothing can be learned or judged by it"},
		"useless category": {func(p *platform) {
			p.def.Quality = p.def.Quality[:1]
			p.def.Features = append(p.def.Features, definition.Feature{Name: "none", Expr: `is_missing(zone) ? zone : ""`, Encode: "onehot"})
		}, `fit feature "none"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t, trips(), tripFiles())
			good := p.files
			p.files = map[string][]byte{}
			for k, v := range good {
				p.files[k] = v
			}
			tt.change(p)
			base := p.prepare()
			m := p.message(base)
			text, _ := m["message"].(string)
			if m["ok"] != false || m["error"] != "DataRejected" || !strings.Contains(text, tt.want) || text == "" {
				t.Errorf("message is %v, want %q", m, tt.want)
			}
			var r quality.Report
			if err := json.Unmarshal(p.read(base, "processing", "output", "quality", "report.json"), &r); err != nil {
				t.Fatal(err)
			}
			if r.OK || len(r.Findings) == 0 {
				t.Errorf("report is %+v", r)
			}
			if page := string(p.read(base, "processing", "output", "quality", "report.html")); !strings.Contains(page, "Rejected") {
				t.Error("the page does not say Rejected")
			}
			if _, err := os.Stat(filepath.Join(string(base), "processing", "output", "train", "train.csv")); err == nil {
				t.Error("rows to train on were written")
			}
			if m := newPlatform(t, trips(), good); m.message(m.prepare())["ok"] != true {
				t.Error("the next good upload does not work")
			}
		})
	}
}

// eachRow changes the rows of a file without quotes; the first is the header.
func eachRow(raw []byte, change func(i int, cells []string) []string) []byte {
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.Join(change(i, strings.Split(line, ",")), ",")
	}
	return []byte(strings.Join(lines, "\n") + "\n")
}

func TestToleratedFaults(t *testing.T) {
	tests := map[string]struct {
		change func(p *platform)
		want   string // a warning's text
		rows   float64
	}{
		"one value": {func(p *platform) {
			p.def.Quality = nil
			for k, month := range map[string]time.Month{"trips/raw/jan.csv": 1, "trips/raw/feb.csv.gz": 2} {
				p.files[k] = eachRow(tripRows(month, 3000), func(i int, cells []string) []string {
					if i > 0 {
						cells[3] = "5"
					}
					return cells
				})
			}
		}, `column "distance": the value is the same in all rows, so nothing can be learned from it`, 6000},
		"within tolerance": {func(p *platform) { p.def.Quality[0].Tolerance = 0.01; edit(".", ".x")(p) }, "within the tolerance of 1 %", 6000},
		"huge numbers": {func(p *platform) {
			p.def.Quality = p.def.Quality[1:]
			edit("T1-00007,", "T1-X,2025-01-03T00:00:00Z,north,1.7e308,1\nT1-Y,2025-01-03T00:00:00Z,north,-1.7e308,1\nT1-00007,")(p)
			edit("north", "centre")(p)
		}, "1 value is not one of", 6002},
		"severity warn": {func(p *platform) { p.def.Quality[0].Severity = "warn"; edit(".", ".x")(p) }, "1 value is not of type number", 6000},
		"not one of":    {edit("north", "centre"), "1 value is not one of the 3 allowed", 6000},
		"extra column":  {edit("trip,at,zone,distance,delay\n", "trip,at,zone,distance,delay,\"new, \"\"one\"\"\"\n"), "", 0},
		"label missing": {func(p *platform) { p.def.Data.Label.Expr = "distance > 10"; p.def.Features = p.def.Features[2:3] }, "rows have no label and are left out", 0},
		"unique but for NaN": {func(p *platform) {
			p.def.Data.Label = definition.Label{Name: "far", Expr: "distance > 10"}
			p.def.Features, p.def.Evaluate.Slices = p.def.Features[:1], nil
			p.def.Quality = []definition.Check{{Column: "n", Type: "number", Unique: true}, {Column: "zone", OneOf: []string{"north"}, Severity: "warn"}}
			for month, k := range []string{"trips/raw/jan.csv", "trips/raw/feb.csv.gz"} {
				p.files[k] = eachRow(tripRows(time.Month(month+1), 3000), func(i int, cells []string) []string {
					n := "NaN"
					if i == 0 {
						n = "n"
					} else if i%3 > 0 {
						n = fmt.Sprint(4000*month + i)
					}
					return append(cells, n)
				})
			}
		}, "values are not one of the 1 allowed", 0},
		"label digits": {func(p *platform) {
			p.def.Data.Label = definition.Label{Name: "when", Expr: "delay + 10000000"}
			p.def.Evaluate = definition.Evaluate{Metric: "rmse", Confidence: 0.95}
		}, "where a model tells apart no less than 1 (hint: subtract in the label's expression what they have in common, or take another unit)", 6000},
		"window": {func(p *platform) { p.def.Data.Window = 20 * 24 * 3600e9 }, "are older than the window", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t, trips(), tripFiles())
			if name == "extra column" {
				raw := strings.ReplaceAll(string(tripRows(1, 3000)), "\n", ",9\n")
				raw = strings.Replace(raw, "delay,9\n", "delay,weather\n", 1)
				p.files["trips/raw/jan.csv"] = []byte(raw)
				tt.want, tt.rows = "the pipeline does not use this column", 6000
			} else {
				tt.change(p)
			}
			base := p.prepare()
			m := p.message(base)
			if m["ok"] != true || tt.rows > 0 && m["rows"] != tt.rows || tt.rows == 0 && !(m["rows"].(float64) < 6000) {
				t.Errorf("message is %v", m)
			}
			var r quality.Report
			if err := json.Unmarshal(p.read(base, "processing", "output", "quality", "report.json"), &r); err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, f := range r.Findings {
				texts = append(texts, f.Severity+" "+f.Text())
			}
			if all := strings.Join(texts, "\n"); !strings.Contains(all, tt.want) || !strings.HasPrefix(all, "warn ") {
				t.Errorf("findings are\n%s\nwant %q", all, tt.want)
			}
			p.train(base)
		})
	}
}

func TestReorderedColumnsAreTheSameData(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	want := digest(t, filepath.Join(string(p.prepare()), "processing", "output", "train"))
	var b strings.Builder
	for line := range strings.Lines(string(p.files["trips/raw/jan.csv"])) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), ",")
		b.WriteString(strings.Join([]string{c[4], c[2], c[0], c[3], c[1]}, ",") + "\r\n")
	}
	p.files["trips/raw/jan.csv"] = []byte("\xEF\xBB\xBF" + b.String())
	got := digest(t, filepath.Join(string(p.prepare()), "processing", "output", "train"))
	if got["train.csv"] != want["train.csv"] {
		t.Error("training rows differ")
	}
}

// A file replaced while a run reads it: the version pinned by its digest is not
// what arrived.
func TestReplacedFileIsNoticed(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	base := p.begin(jobfile.File{Step: "prepare"}, processing...)
	d := p.dataset(base, []string{"trips/raw/jan.csv"})
	p.write(base, tripRows(3, 3000), "processing", "input", "data", d.Files[0].Path)
	p.begun(base, jobfile.File{Step: "prepare", Dataset: d})
	err := base.Process(func() error { return prepare.Run(context.Background(), base, p.log) })
	if err == nil || !strings.Contains(err.Error(), "another version of the object") {
		t.Errorf("error is %v", err)
	}
	if m := p.message(base); m["ok"] != false || m["error"] != "JobFailed" {
		t.Errorf("message is %v", m)
	}
}

func TestTrainFailures(t *testing.T) {
	tests := map[string]struct {
		change func(p *platform, base job.Base)
		want   string
	}{
		"unknown hyperparameter": {func(p *platform, base job.Base) {
			p.write(base, []byte(`{"max_dept":"3"}`), "input", "config", "hyperparameters.json")
		}, "max_dept"},
		"contradicting objective": {func(p *platform, base job.Base) {
			p.write(base, []byte(`{"objective":"reg:squarederror"}`), "input", "config", "hyperparameters.json")
		}, "objective reg:squarederror does not fit"},
		"no rows": {func(p *platform, base job.Base) { p.write(base, nil, "input", "data", "train", "train.csv") }, "matrix has no rows"},
		"text in rows": {func(p *platform, base job.Base) {
			p.write(base, []byte("1,x\n"), "input", "data", "train", "train.csv")
		}, "channel train: read rows: train.csv line 1"},
		"no channel": {func(p *platform, base job.Base) { _ = os.RemoveAll(base.Channel("validation")) }, "channel validation"},
		"broken spec": {func(p *platform, base job.Base) {
			p.write(base, []byte("{}"), "input", "data", "prepared", "serving.json")
		}, "read channel prepared"},
		"one class": {func(p *platform, base job.Base) {
			raw := p.read(base, "input", "data", "train", "train.csv")
			var b bytes.Buffer
			for line := range bytes.Lines(raw) {
				b.WriteByte('1')
				b.Write(line[1:])
			}
			p.write(base, b.Bytes(), "input", "data", "train", "train.csv")
		}, "label"},
	}
	p := newPlatform(t, trips(), tripFiles())
	prepared := p.prepare()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p.tb = t
			base, _ := p.train(prepared)
			if err := os.RemoveAll(base.Model("")); err != nil {
				t.Fatal(err)
			}
			tt.change(p, base)
			err := train.Run(context.Background(), base, &strings.Builder{}, p.log)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error is %v, want %q", err, tt.want)
			}
			if failure := string(p.read(base, "output", "failure")); !strings.Contains(failure, tt.want) {
				t.Errorf("failure file says %q", failure)
			}
			if _, err := os.Stat(base.Model("xgboost-model")); err == nil {
				t.Error("a model was written")
			}
		})
	}
}

func TestStoppedTraining(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	base, _ := p.train(p.prepare())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := train.Run(ctx, base, &strings.Builder{}, p.log); err == nil {
		t.Error("a stopped job succeeded")
	}
}

func TestEvaluateFailures(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	prepared := p.prepare()
	trained, _ := p.train(prepared)
	model := p.tarOf(trained)
	_ = os.Remove(trained.Model("xgboost-model"))
	without := p.tarOf(trained)
	relabel := func(base job.Base, label string) {
		raw := p.read(base, "processing", "input", "test", "test.csv")
		p.write(base, append([]byte(label), raw[1:]...), "processing", "input", "test", "test.csv")
	}
	tests := map[string]struct {
		model  []byte
		change func(base job.Base)
		want   string
	}{
		"no model in it": {without, nil, "there is no model in it: no file xgboost-model"},
		"not a tar":      {[]byte("hello"), nil, "read model.tar.gz"},
		"cut short":      {model[:len(model)/2], nil, "read model.tar.gz"},
		"rows differ": {model, func(base job.Base) {
			p.write(base, []byte("trip,at,zone\n1,2025-01-01,north\n"), "processing", "input", "rows", "test-rows.csv")
		}, "test-rows.csv has 1 rows, test.csv 1500"},
		"other features": {model, func(base job.Base) {
			p.write(base, []byte("1,2\n"), "processing", "input", "test", "test.csv")
		}, "2 values, want"},
		"a label that is neither": {model, func(base job.Base) { relabel(base, "2") }, "the label of row 0 is 2"},
		"no label":                {model, func(base job.Base) { relabel(base, "") }, "the label"},
		"an infinite label":       {model, func(base job.Base) { relabel(base, "1e39") }, "test.csv"},
		"no rows": {model, func(base job.Base) {
			p.write(base, nil, "processing", "input", "test", "test.csv")
			p.write(base, []byte("trip,at,zone,distance\n"), "processing", "input", "rows", "test-rows.csv")
		}, "no row"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p.tb = t
			base, _ := p.evaluate(prepared, model, nil)
			p.write(base, tt.model, "processing", "input", "model", "model.tar.gz")
			if tt.change != nil {
				tt.change(base)
			}
			err := base.Process(func() error { return evaluate.Run(context.Background(), base, p.log) })
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
			if m := p.message(base); m["ok"] != false || m["error"] != "JobFailed" {
				t.Errorf("message is %v", m)
			}
		})
	}
}

// A version in service that cannot be asked does not fail the run: the bar decides.
func TestChampionThatCannotBeCompared(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	prepared := p.prepare()
	trained, _ := p.train(prepared)
	_, e := p.evaluate(prepared, p.tarOf(trained), []byte("not a model"))
	if e.Champion == nil || e.Champion.Note == "" || !e.Decision.Promote || !strings.Contains(e.Decision.Why, "version 1 cannot be compared") {
		t.Errorf("champion is %+v; %s", e.Champion, e.Decision.Why)
	}
	p.before = p.begin(jobfile.File{Step: "prepare"}, processing...)
	for _, raw := range []string{"{", `{"features":[{"name":"distance","numerical_statistics":{"distribution":{"kll":{"sketch":{"data":[null,[],[1e308,-1e308]]}}}}},{"name":"zone"},{}]}`} {
		p.write(p.before, []byte(raw), "processing", "output", "baseline", "statistics.json")
		if _, e := p.evaluate(prepared, p.tarOf(trained), []byte("not a model")); !e.Decision.Promote || raw == "{" && (len(e.Notes) != 1 || !strings.Contains(e.Notes[0], "read baseline")) {
			t.Errorf("a baseline of %s: %q: %s", raw, e.Notes, e.Decision.Why)
		}
	}
	p.before = ""
	p.def.Evaluate.AtLeast = nil
	if _, e = p.evaluate(prepared, p.tarOf(trained), []byte("not a model")); e.Decision.Promote {
		t.Errorf("promoted without bar or comparison: %s", e.Decision.Why)
	}
	gone := newPlatform(t, trips(), tripFiles())
	gone.def.Features = []definition.Feature{{Name: "gone", Expr: "at_gone"}, {Name: "distance"}}
	for k, raw := range map[string][]byte{"trips/raw/jan.csv": tripRows(1, 3000)} {
		gone.files = map[string][]byte{k: bytes.ReplaceAll(bytes.Replace(raw, []byte("delay\n"), []byte("delay,at_gone\n"), 1), []byte("\n"), []byte(",5\n"))}
		gone.files[k] = bytes.Replace(gone.files[k], []byte("at_gone,5\n"), []byte("at_gone\n"), 1)
	}
	champion, _ := gone.train(gone.prepare())
	_, e = p.evaluate(prepared, p.tarOf(trained), gone.tarOf(champion))
	if !strings.Contains(e.Champion.Note, `it reads the column "at_gone", which the data no longer has`) {
		t.Errorf("note is %q", e.Champion.Note)
	}
}

func TestPrepareScores(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	trained, _ := p.train(p.prepare())
	model := p.tarOf(trained)
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte("zone,trip,distance,at\nnorth,N1,4.5,2025-03-01T10:00:00Z\neast,\"N,2\",,2025-03-01 11:00:00\n"))
	_ = w.Close()
	tests := map[string]struct {
		files map[string][]byte
		want  string            // the message; "": the outputs
		batch map[string]string // files
	}{
		"two files": {map[string][]byte{"trips/score/mar.csv.gz": z.Bytes(), "trips/score/apr.csv": []byte("trip,at,zone,distance,delay\nN3,2025-04-01T00:00:00Z,south,1,99\n")}, "",
			map[string]string{"mar.csv": "N1,2025-03-01T10:00:00Z,4.5,north\n\"N,2\",2025-03-01 11:00:00,,east\n", "apr.csv": "N3,2025-04-01T00:00:00Z,1,south\n"}},
		"same name": {map[string][]byte{"trips/score/a/x.csv": []byte("trip,at,zone,distance\nN1,,,\n"), "trips/score/b/x.csv": []byte("trip,at,zone,distance\nN2,,,\n")}, "",
			map[string]string{"x.csv": "N1,,,\n", "x-2.csv": "N2,,,\n"}},
		"missing column": {map[string][]byte{"trips/score/x.csv": []byte("trip,at,zone\nN1,,\n")}, `column "distance": the column is missing`, nil},
		"wrong type":     {map[string][]byte{"trips/score/x.csv": []byte("trip,at,zone,distance\nN1,,,far\n")}, `trips/score/x.csv, line 2`, nil},
		"duplicate key":  {map[string][]byte{"trips/score/x.csv": []byte("trip,at,zone,distance\nN1,,,1\nN1,,,2\n")}, "the key must be unique", nil},
		"no rows":        {map[string][]byte{"trips/score/x.csv": []byte("trip,at,zone,distance\n")}, "there is no row to score", nil},
		"two lines":      {map[string][]byte{"trips/score/x.csv": []byte("trip,at,zone,distance\nN1,,\"no\nrth\",1\n")}, "go over more than one line", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t, trips(), tt.files)
			p.def.Quality[0].Missing = nil
			base := p.begin(jobfile.File{Step: "prepare-scores"}, processing...)
			var keys []string
			for k := range tt.files {
				keys = append(keys, k)
			}
			p.begun(base, jobfile.File{Step: "prepare-scores", Dataset: p.dataset(base, keys)})
			p.write(base, model, "processing", "input", "model", "model.tar.gz")
			if err := base.Process(func() error { return prepare.RunScores(context.Background(), base, p.log) }); err != nil {
				t.Fatal(err)
			}
			m := p.message(base)
			if tt.want != "" {
				text, _ := m["message"].(string)
				if m["error"] != "DataRejected" || !strings.Contains(text, tt.want) {
					t.Errorf("message is %v, want %q", m, tt.want)
				}
				return
			}
			if m["ok"] != true || m["files"] != float64(len(tt.batch)) {
				t.Errorf("message is %v", m)
			}
			for file, want := range tt.batch {
				if got := string(p.read(base, "processing", "output", "batch", file)); got != want {
					t.Errorf("%s is %q, want %q", file, got, want)
				}
			}
		})
	}
}
