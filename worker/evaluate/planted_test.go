package evaluate_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/hyperparameters"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/evaluate"
	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/linear"
	"github.com/millrace-ml/millrace/worker/matrix"
)

// row is a test row. Each model says what a column of the row says, so that a
// test plants the scores it wants: model, champion and line are in [0, 1].
type row struct {
	label                 float32
	model, champion, line float64
	at                    time.Time
	zone                  string
}

// levels of a planted score; the models tell so many apart.
const levels = 32

func level(p float64) float32 {
	return float32(min(levels-1, max(0, math.Floor(p*levels)))+0.5) / levels
}

var begin = time.Date(2025, 3, 1, 0, 0, 0, 0, time.UTC)

// echo is the files of a model that answers with the first of its features, and
// whose baseline answers with the second.
func echo(tb testing.TB, objective string, first, second string) map[string][]byte {
	tb.Helper()
	types := map[string]features.Type{first: features.Number, second: features.Number}
	p, problems := features.Compile([]features.Feature{{Name: first, Expr: first}, {Name: second, Expr: second}}, types, features.Roles{Key: "id"})
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	fitted, err := p.NewFit().Program()
	if err != nil {
		tb.Fatal(err)
	}
	spec, err := fitted.Spec("trips", objective).Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	// Every pair of levels once; the label follows one of them.
	var wanted [2][]float32
	var y, weight []float32
	for i := range levels {
		for k := range levels {
			own, other := (float32(i)+0.5)/levels, (float32(k)+0.5)/levels
			if objective == "binary" {
				wanted[0], wanted[1] = append(wanted[0], own, own), append(wanted[1], other, other)
				y, weight = append(y, 1, 0), append(weight, 100*own, 100*(1-own))
				continue
			}
			wanted[0], wanted[1] = append(wanted[0], own), append(wanted[1], other)
			y, weight = append(y, own), append(weight, 100)
		}
	}
	n := len(y)
	params := hyperparameters.Default()
	params.Objective, params.Rounds, params.Eta, params.MaxDepth, params.Lambda, params.MinChildWeight = gbdt.SquaredError, 20, 0.5, 5, 0, 0
	if objective == "binary" {
		params.Objective = gbdt.Logistic
	}
	x := gbdt.Matrix{Rows: n, Cols: 2, Data: append(append([]float32{}, wanted[0]...), wanted[1]...), Names: []string{first, second}}
	m, err := gbdt.Train(context.Background(), params, gbdt.Rows{X: x, Label: y, Weight: weight}, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	x.Data = append(append([]float32{}, wanted[1]...), wanted[0]...)
	train := linear.TrainLinear
	if objective == "binary" {
		train = linear.TrainLogistic
	}
	l, err := train(context.Background(), x, y, weight, linear.DefaultParams())
	if err != nil {
		tb.Fatal(err)
	}
	var model, baseline bytes.Buffer
	if err := errors.Join(m.WriteJSON(&model), l.WriteJSON(&baseline)); err != nil {
		tb.Fatal(err)
	}
	return map[string][]byte{bundle.SpecFile: spec, bundle.ModelFile: model.Bytes(), bundle.BaselineFile: baseline.Bytes()}
}

// Trained once: they only read.
var (
	mu     sync.Mutex
	echoes = map[string]map[string][]byte{}
)

// files is a copy of the named echo's files, without the baseline unless asked for.
func files(tb testing.TB, objective, first, second string, baseline bool) map[string][]byte {
	tb.Helper()
	mu.Lock()
	defer mu.Unlock()
	name := objective + "/" + first + "/" + second
	if echoes[name] == nil {
		echoes[name] = echo(tb, objective, first, second)
	}
	out := map[string][]byte{}
	for file, raw := range echoes[name] {
		if baseline || file != bundle.BaselineFile {
			out[file] = raw
		}
	}
	return out
}

func pack(tb testing.TB, files map[string][]byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, raw := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(raw)), Typeflag: tar.TypeReg}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(raw); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// trial is one evaluate job.
type trial struct {
	rows     []row
	def      definition.Evaluate
	split    string // "" is time
	seed     int64
	model    []byte // nil: the echo of the column model
	champion []byte // nil: the echo of the column champion
	first    bool   // there is no version in service
	lost     bool   // there is one, and its model was not given
	baseline bool   // the model has the linear baseline beside it
}

// run is the whole step: what it wrote and the bytes of evaluation.json.
func (tr trial) run(tb testing.TB) (*evaluate.Evaluation, []byte, job.Base) {
	tb.Helper()
	base := job.Base(tb.TempDir())
	objective := "regression"
	switch tr.def.Metric {
	case "auc", "logloss", "brier", "accuracy":
		objective = "binary"
	}
	if tr.def.Confidence == 0 {
		tr.def.Confidence = 0.95
	}
	f := jobfile.File{Pipeline: "trips", Run: 2, Step: "evaluate", Definition: definition.Definition{
		Name: "trips", Data: definition.Data{Format: "csv", Key: "id", Time: "at", Label: definition.Label{Name: "late"}},
		Split: definition.Split{By: "time", Test: 0.2, Validation: 0.1, Seed: tr.seed}, Evaluate: tr.def,
	}}
	if tr.split != "" {
		f.Definition.Split.By = tr.split
	}
	if !tr.first {
		f.Champion = &jobfile.Champion{Version: 1}
		if tr.champion == nil {
			tr.champion = pack(tb, files(tb, objective, "champion", "line", false))
		}
		if !tr.lost {
			place(tb, base, tr.champion, "champion", "model.tar.gz")
		}
	}
	if tr.model == nil {
		tr.model = pack(tb, files(tb, objective, "model", "line", tr.baseline))
	}
	raw, err := f.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	place(tb, base, raw, "config", jobfile.Name)
	place(tb, base, tr.model, "model", "model.tar.gz")
	var test []byte
	rows := []byte("id,at,zone,model,champion,line\n")
	for i, r := range tr.rows {
		m, c, l := level(r.model), level(r.champion), level(r.line)
		test = matrix.AppendRow(test, []float32{r.label}, []float32{m, l})
		rows = fmt.Appendf(rows, "R%d,%s,%s,%v,%v,%v\n", i, r.at.Format(time.RFC3339), r.zone, m, c, l)
	}
	place(tb, base, test, "test", "test.csv")
	place(tb, base, rows, "rows", "test-rows.csv")
	if err := evaluate.Run(context.Background(), base, slog.New(slog.DiscardHandler)); err != nil {
		tb.Fatal(err)
	}
	path, err := base.Output("evaluation", "evaluation.json")
	if err != nil {
		tb.Fatal(err)
	}
	if raw, err = os.ReadFile(path); err != nil {
		tb.Fatal(err)
	}
	var e evaluate.Evaluation
	if err := json.Unmarshal(raw, &e); err != nil {
		tb.Fatal(err)
	}
	return &e, raw, base
}

func place(tb testing.TB, base job.Base, raw []byte, input, name string) {
	tb.Helper()
	dir := base.Input(input)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), raw, 0o600)); err != nil {
		tb.Fatal(err)
	}
}

// rule is the decision's rule of that name, or nil.
func rule(e *evaluate.Evaluation, name string) *evaluate.Rule {
	for i := range e.Decision.Rules {
		if e.Decision.Rules[i].Name == name {
			return &e.Decision.Rules[i]
		}
	}
	return nil
}
