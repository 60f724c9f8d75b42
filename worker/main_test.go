package main_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/evaluate"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/prepare"
	"github.com/millrace-ml/millrace/worker/train"
)

// platform stands for SageMaker: it lays out each job's folders and carries the
// outputs of one to the next.
type platform struct {
	tb  testing.TB
	def definition.Definition
	// files are the uploads, by key.
	files map[string][]byte
	log   *slog.Logger
	// before is the preparation of the champion, when evaluation is given it.
	before job.Base
}

func newPlatform(tb testing.TB, def definition.Definition, files map[string][]byte) *platform {
	return &platform{tb: tb, def: def, files: files, log: slog.New(slog.DiscardHandler)}
}

func (p *platform) write(base job.Base, raw []byte, elem ...string) {
	p.tb.Helper()
	path := filepath.Join(append([]string{string(base)}, elem...)...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.tb.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		p.tb.Fatal(err)
	}
}

func (p *platform) read(base job.Base, elem ...string) []byte {
	p.tb.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{string(base)}, elem...)...))
	if err != nil {
		p.tb.Fatal(err)
	}
	return raw
}

// begin makes a job's folder with job.json at the given place.
func (p *platform) begin(f jobfile.File, config ...string) job.Base {
	p.tb.Helper()
	base := job.Base(filepath.Join(p.tb.TempDir(), "opt", "ml"))
	f.Pipeline, f.Definition = p.def.Name, p.def
	if f.Run == 0 {
		f.Run = 1
	}
	raw, err := f.Marshal()
	if err != nil {
		p.tb.Fatal(err)
	}
	p.write(base, raw, append(config, jobfile.Name)...)
	return base
}

// dataset lays out the uploads in the given order.
func (p *platform) dataset(base job.Base, keys []string) *jobfile.Dataset {
	d := &jobfile.Dataset{}
	for _, key := range keys {
		raw := p.files[key]
		sum := sha256.Sum256(raw)
		digest := hex.EncodeToString(sum[:])
		path := digest + "/" + filepath.Base(key)
		p.write(base, raw, "processing", "input", "data", path)
		d.Files = append(d.Files, jobfile.DataFile{Key: key, VersionID: "v1", SHA256: digest, Size: int64(len(raw)), Path: path})
	}
	return d
}

var processing = []string{"processing", "input", "config"}

// message is a processing job's message.
func (p *platform) message(base job.Base) map[string]any {
	p.tb.Helper()
	raw := p.read(base, "output", "message")
	if len(raw) > job.MaxMessage {
		p.tb.Errorf("the message has %d bytes", len(raw))
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		p.tb.Fatal(err)
	}
	return m
}

// prepare runs the prepare step on the uploads, in the order of their keys or as given.
func (p *platform) prepare(keys ...string) job.Base {
	p.tb.Helper()
	if keys == nil {
		keys = slices.Sorted(maps.Keys(p.files))
	}
	base := p.begin(jobfile.File{Step: "prepare"}, processing...)
	p.begun(base, jobfile.File{Step: "prepare", Dataset: p.dataset(base, keys)})
	if err := base.Process(func() error { return prepare.Run(context.Background(), base, p.log) }); err != nil {
		p.tb.Fatal(err)
	}
	return base
}

// begun writes job.json again, now that the dataset is known.
func (p *platform) begun(base job.Base, f jobfile.File) {
	f.Pipeline, f.Definition = p.def.Name, p.def
	if f.Run == 0 {
		f.Run = 1
	}
	raw, err := f.Marshal()
	if err != nil {
		p.tb.Fatal(err)
	}
	p.write(base, raw, append(processing, jobfile.Name)...)
}

// train runs the train step on what prepare wrote.
func (p *platform) train(prepared job.Base) (job.Base, string) {
	p.tb.Helper()
	base := p.begin(jobfile.File{Step: "train", Recipe: "cafe"}, "input", "data", "config")
	for channel, file := range map[string]string{"train": "train/train.csv", "validation": "validation/validation.csv", "prepared": "model/serving.json"} {
		p.write(base, p.read(prepared, "processing", "output", file), "input", "data", channel, filepath.Base(file))
	}
	raw, err := json.Marshal(p.def.Train.Hyperparameters)
	if err != nil {
		p.tb.Fatal(err)
	}
	p.write(base, raw, "input", "config", "hyperparameters.json")
	var out strings.Builder
	if err := train.Run(context.Background(), base, &out, p.log); err != nil {
		p.tb.Fatal(err)
	}
	return base, out.String()
}

// AWS's XGBoost container loads every file at the top of a model folder, but for hidden ones,
// as a model (sagemaker-xgboost-container's get_loaded_booster): it must find one.
func TestLayoutOfTheManagedContainer(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	trained, _ := p.train(p.prepare())
	entries, err := os.ReadDir(trained.Model(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && e.Name() != "xgboost-model" {
			t.Errorf("the container would load %q as a model", e.Name())
		}
	}
	for _, file := range []string{"xgboost-model", "millrace/serving.json", "millrace/baseline.json", "millrace/threshold.json", "millrace/recipe.txt"} {
		p.read(trained, "model", file)
	}
}

// tarOf packs a model folder as SageMaker does.
func (p *platform) tarOf(trained job.Base) []byte {
	p.tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	if err := t.AddFS(os.DirFS(trained.Model(""))); err != nil {
		p.tb.Fatal(err)
	}
	for _, c := range []io.Closer{t, z} {
		if err := c.Close(); err != nil {
			p.tb.Fatal(err)
		}
	}
	return b.Bytes()
}

// evaluate runs the evaluate step; champion is nil or a model.tar.gz.
func (p *platform) evaluate(prepared job.Base, model, champion []byte) (job.Base, *evaluate.Evaluation) {
	p.tb.Helper()
	f := jobfile.File{Step: "evaluate", Recipe: "cafe", Run: 2}
	if champion != nil {
		f.Champion = &jobfile.Champion{Version: 1, Metrics: map[string]float64{"auc": 0.5}}
	}
	base := p.begin(f, processing...)
	p.write(base, model, "processing", "input", "model", "model.tar.gz")
	p.write(base, p.read(prepared, "processing", "output", "test", "test.csv"), "processing", "input", "test", "test.csv")
	p.write(base, p.read(prepared, "processing", "output", "rows", "test-rows.csv"), "processing", "input", "rows", "test-rows.csv")
	p.write(base, p.read(prepared, "processing", "output", "quality", "report.json"), "processing", "input", "quality", "report.json")
	if p.before != "" {
		for input, from := range map[string]job.Base{"baseline": prepared, "champion-baseline": p.before} {
			p.write(base, p.read(from, "processing", "output", "baseline", "statistics.json"), "processing", "input", input, "statistics.json")
		}
	}
	if champion != nil {
		p.write(base, champion, "processing", "input", "champion", "model.tar.gz")
	}
	if err := base.Process(func() error { return evaluate.Run(context.Background(), base, p.log) }); err != nil {
		p.tb.Fatal(err)
	}
	var e evaluate.Evaluation
	if err := json.Unmarshal(p.read(base, "processing", "output", "evaluation", "evaluation.json"), &e); err != nil {
		p.tb.Fatal(err)
	}
	return base, &e
}

// digest is the SHA-256 of every file below a folder, by path.
func digest(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		sum := sha256.Sum256(raw)
		out[name] = hex.EncodeToString(sum[:])
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// trips is a small pipeline over generated taxi trips.
func trips() definition.Definition {
	return definition.Definition{
		Name: "trips",
		Data: definition.Data{Format: "csv", Key: "trip", Time: "at", Label: definition.Label{Name: "late", Expr: "delay > 10"}, MinimumRows: 100},
		Quality: []definition.Check{
			{Column: "distance", Type: "number", Range: &[2]float64{0, 100}, Missing: &definition.Missing{AtMost: 0.1}, Severity: "stop"},
			{Column: "zone", OneOf: []string{"north", "south", "east"}, Severity: "warn"},
		},
		Features: []definition.Feature{
			{Name: "hour", Expr: "hour(at)"}, {Name: "distance"}, {Name: "zone", Expr: "zone", Encode: "onehot"},
			{Name: "far", Expr: "distance > 20"},
		},
		Split: definition.Split{By: "time", Validation: 0.15, Test: 0.25, Seed: 7},
		Train: definition.Train{Algorithm: "builtin", Seed: 7, Hyperparameters: map[string]string{"num_round": "40", "max_depth": "4", "eta": "0.2", "early_stopping_rounds": "10"}},
		Evaluate: definition.Evaluate{Metric: "auc", AtLeast: new(0.6), Confidence: 0.95, Slices: []string{"zone"},
			Value: map[string]float64{"tp": 10, "fp": -2}},
	}
}

// tripRows generates a month of trips whose lateness depends on hour, distance
// and zone in a way that no straight line can follow.
func tripRows(month time.Month, n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(month), 1))
	var b bytes.Buffer
	b.WriteString("trip,at,zone,distance,delay\n")
	for i := range n {
		at := time.Date(2025, month, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rng.IntN(28*24*3600)) * time.Second)
		zone := []string{"north", "south", "east"}[rng.IntN(3)]
		distance := fmt.Sprintf("%.1f", rng.ExpFloat64()*10)
		var d float64
		fmt.Sscan(distance, &d)
		if d > 100 {
			distance, d = "100", 100
		}
		rush := 0.0
		if h := at.Hour(); h >= 7 && h < 9 || h >= 16 && h < 19 {
			rush = 8
		}
		delay := rush + 0.2*d + 4*rng.NormFloat64()
		if zone == "east" {
			delay += 6 * math.Sin(float64(at.Hour()))
		}
		if rng.IntN(50) == 0 {
			distance = ""
		}
		fmt.Fprintf(&b, "T%d-%05d,%s,%s,%s,%.2f\n", month, i, at.Format(time.RFC3339), zone, distance, delay)
	}
	return b.Bytes()
}

func tripFiles() map[string][]byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write(tripRows(2, 3000))
	_ = w.Close()
	return map[string][]byte{"trips/raw/jan.csv": tripRows(1, 3000), "trips/raw/feb.csv.gz": z.Bytes()}
}

func TestFromUploadToDecision(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	prepared := p.prepare()
	m := p.message(prepared)
	if m["ok"] != true || m["rows"] != 6000.0 || m["train_rows"] != 3600.0 || m["validation_rows"] != 900.0 || m["test_rows"] != 1500.0 {
		t.Errorf("prepare says %v", m)
	}
	trained, lines := p.train(prepared)
	if !strings.HasPrefix(lines, "[0] train-logloss:0.") || !strings.Contains(lines, " validation-logloss:0.") {
		t.Errorf("metric lines are\n%s", lines)
	}
	model := p.tarOf(trained)
	base, e := p.evaluate(prepared, model, nil)
	m = p.message(base)
	if m["ok"] != true || m["promote"] != true || m["metric"] != "auc" || m["champion"] != nil {
		t.Errorf("evaluate says %v", m)
	}
	auc := e.Metrics["auc"]
	if !(auc.Value > 0.75 && auc.Low < auc.Value && auc.Value < auc.High) {
		t.Errorf("auc is %+v", auc)
	}
	if d := e.Baseline.BetterBy["auc"]; !(d.Low > 0) {
		t.Errorf("the trees are better than a straight line by %+v", d)
	}
	if len(e.Slices) != 3 || e.Slices[0].Metric == nil {
		t.Errorf("slices are %+v", e.Slices)
	}
	page := string(p.read(base, "processing", "output", "evaluation", "report.html"))
	for _, want := range []string{"Yes: it may be approved", "ROC", "Precision and recall", "Calibration", "Scores by label", "zone = north", "The rows it was judged on", "num_round=40", "cafe"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if e.Bootstrap.Block != "day" {
		t.Errorf("blocks are %+v", e.Bootstrap)
	}

	// The same model again is no better than itself.
	_, again := p.evaluate(prepared, model, model)
	if d := again.Champion.BetterBy["auc"]; again.Decision.Promote || d.Value != 0 || d.Low != 0 || d.High != 0 {
		t.Errorf("the same model is promoted: %v, better by %+v: %s", again.Decision.Promote, d, again.Decision.Why)
	}
}

func TestChallengerAgainstAWorseChampion(t *testing.T) {
	poor := newPlatform(t, trips(), tripFiles())
	poor.def.Features = poor.def.Features[1:2] // distance alone
	champion, _ := poor.train(poor.prepare())
	p := newPlatform(t, trips(), tripFiles())
	prepared := p.prepare()
	trained, _ := p.train(prepared)
	_, e := p.evaluate(prepared, p.tarOf(trained), poor.tarOf(champion))
	if d := e.Champion.BetterBy["auc"]; !e.Decision.Promote || !(d.Low > 0.02) {
		t.Errorf("promoted: %v, better by %+v: %s", e.Decision.Promote, d, e.Decision.Why)
	}
	// And the other way round it is refused, with the slices that fall named.
	poorPrepared := poor.prepare()
	_, e = poor.evaluate(poorPrepared, poor.tarOf(champion), p.tarOf(trained))
	if e.Decision.Promote || !strings.Contains(e.Decision.Why, "is worse than version 1's") || !strings.Contains(e.Decision.Why, "slices fall behind") {
		t.Errorf("promoted: %v: %s", e.Decision.Promote, e.Decision.Why)
	}
}

// The same uploads give the same bytes of every output, whatever their order and
// the number of CPUs.
func TestSameBytes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	tests := []struct {
		keys []string
		cpus int
	}{
		{[]string{"trips/raw/jan.csv", "trips/raw/feb.csv.gz"}, 1},
		{[]string{"trips/raw/feb.csv.gz", "trips/raw/jan.csv"}, 4},
	}
	for _, by := range []string{"time", "random"} {
		var want map[string]string
		for _, tt := range tests {
			runtime.GOMAXPROCS(tt.cpus)
			p := newPlatform(t, trips(), tripFiles())
			p.def.Split.By = by
			prepared := p.prepare(tt.keys...)
			trained, _ := p.train(prepared)
			evaluated, _ := p.evaluate(prepared, p.tarOf(trained), p.tarOf(trained))
			got := map[string]string{}
			for prefix, dir := range map[string]string{
				"prepare": filepath.Join(string(prepared), "processing", "output"), "train": trained.Model(""),
				"evaluate": filepath.Join(string(evaluated), "processing", "output"),
			} {
				for file, sum := range digest(t, dir) {
					got[prefix+"/"+file] = sum
				}
			}
			if len(got) < 14 {
				t.Fatalf("only %d files were written: %v", len(got), slices.Sorted(maps.Keys(got)))
			}
			if want == nil {
				want = got
				continue
			}
			for file, sum := range want {
				if got[file] != sum {
					t.Errorf("split by %s: %s differs with %d CPUs and the files in another order", by, file, tt.cpus)
				}
			}
		}
	}
}

// A row keeps its part when other rows come.
func TestRandomSplitIsStable(t *testing.T) {
	keys := func(files map[string][]byte) map[string]bool {
		p := newPlatform(t, trips(), files)
		p.def.Split.By = "random"
		out := map[string]bool{}
		for line := range strings.Lines(string(p.read(p.prepare(), "processing", "output", "rows", "test-rows.csv"))) {
			key, _, _ := strings.Cut(line, ",")
			out[key] = true
		}
		return out
	}
	all := tripFiles()
	few := keys(map[string][]byte{"trips/raw/jan.csv": all["trips/raw/jan.csv"]})
	many := keys(all)
	if n := len(few); n < 600 || n > 900 {
		t.Errorf("%d of 3000 rows are in the test part, want about a quarter", n)
	}
	for key := range few {
		if !many[key] {
			t.Fatalf("%s left the test part when more rows came", key)
		}
	}
}

func TestRegression(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	p.def.Data.Label = definition.Label{Name: "delay"}
	p.def.Evaluate = definition.Evaluate{Metric: "rmse", AtMost: new(6.0), Confidence: 0.9, Slices: []string{"zone"}}
	prepared := p.prepare()
	if m := p.message(prepared); m["label_mean"] == nil || m["label_rate"] != nil {
		t.Errorf("prepare says %v", m)
	}
	trained, lines := p.train(prepared)
	if !strings.Contains(lines, "validation-rmse:") {
		t.Errorf("metric lines are\n%s", lines)
	}
	base, e := p.evaluate(prepared, p.tarOf(trained), p.tarOf(trained))
	if r := e.Metrics["rmse"]; !(r.Value > 3.5 && r.Value < 6 && r.Low < r.High) || e.Threshold != nil {
		t.Errorf("rmse is %+v, threshold %+v", r, e.Threshold)
	}
	if r2 := e.Metrics["r2"].Value; !(r2 > 0.3 && r2 < 1) {
		t.Errorf("r2 is %v", r2)
	}
	if page := string(p.read(base, "processing", "output", "evaluation", "report.html")); !strings.Contains(page, "Residuals") {
		t.Error("the page has no residuals")
	}
	p.def.Evaluate.AtMost = new(1.0)
	if _, e := p.evaluate(prepared, p.tarOf(trained), nil); e.Decision.Promote || !strings.Contains(e.Decision.Why, "does not surely meet the bar of 1") {
		t.Errorf("promoted: %v: %s", e.Decision.Promote, e.Decision.Why)
	}
}
