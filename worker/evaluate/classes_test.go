package evaluate_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/hyperparameters"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/gbdt"
)

var colours = []string{"amber", "blue", "<b>red</b>"}

// herald is a model of several classes: its column, cut into as many parts, says the class.
func herald(tb testing.TB, column string, classes []string) []byte {
	tb.Helper()
	p, problems := features.Compile([]features.Feature{{Name: column, Expr: column}, {Name: "line", Expr: "line"}},
		map[string]features.Type{column: features.Number, "line": features.Number}, features.Roles{Key: "id"})
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	fitted, err := p.NewFit().Program()
	if err != nil {
		tb.Fatal(err)
	}
	spec := fitted.Spec("trips", "multiclass")
	spec.Classes = classes
	raw, err := spec.Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	const rows = 600
	x := gbdt.Matrix{Rows: rows, Cols: 2, Data: make([]float32, 2*rows), Names: []string{column, "line"}}
	y := make([]float32, rows)
	for i := range rows {
		x.Data[i] = level(float64(i) / rows)
		y[i] = float32(int(x.Data[i] * float32(len(classes))))
		if i%5 == 0 { // never quite sure
			y[i] = float32(i / 5 % len(classes))
		}
	}
	params := hyperparameters.Default()
	params.Objective, params.NumClass, params.Rounds, params.MaxDepth = gbdt.Softmax, len(classes), 20, 5
	m, err := gbdt.Train(context.Background(), params, gbdt.Rows{X: x, Label: y}, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	var model bytes.Buffer
	if err := m.WriteJSON(&model); err != nil {
		tb.Fatal(err)
	}
	return pack(tb, map[string][]byte{bundle.SpecFile: raw, bundle.ModelFile: model.Bytes()})
}

// coloured are rows of three classes; model and champion know them in so many cases.
func coloured(seed uint64, n, each int, model, champion float64) []row {
	rng := rand.New(rand.NewPCG(seed, 3))
	var out []row
	for d := range n {
		for i := range each {
			class := rng.IntN(len(colours))
			say := func(right float64) float64 {
				if rng.Float64() > right {
					return rng.Float64()
				}
				return (float64(class) + 0.5) / float64(len(colours))
			}
			out = append(out, row{label: float32(class), model: say(model), champion: say(champion), line: rng.Float64(),
				at: begin.AddDate(0, 0, d).Add(time.Duration(i) * time.Minute), zone: []string{"north", "south"}[i%2]})
		}
	}
	return out
}

func TestSeveralClasses(t *testing.T) {
	model, champion := herald(t, "model", colours), herald(t, "champion", colours)
	better := coloured(1, 12, 60, 0.8, 0.4)
	for name, tt := range map[string]struct {
		trial trial
		want  bool
		why   string
	}{
		"better accuracy":   {trial{rows: better, def: definition.Evaluate{Metric: "accuracy"}}, true, "is better than version 1's"},
		"better log loss":   {trial{rows: better, def: definition.Evaluate{Metric: "logloss", Slices: []string{"zone"}}}, true, "none of 2 slices falls behind"},
		"better macro F1":   {trial{rows: better, def: definition.Evaluate{Metric: "macro_f1"}}, true, "is better than version 1's"},
		"better areas":      {trial{rows: better, def: definition.Evaluate{Metric: "ovr_auc"}}, true, "is better than version 1's"},
		"worse":             {trial{rows: coloured(2, 12, 60, 0.4, 0.8), def: definition.Evaluate{Metric: "macro_f1"}}, false, "is worse than version 1's"},
		"bar missed":        {trial{rows: better, first: true, def: definition.Evaluate{Metric: "accuracy", AtLeast: new(0.95)}}, false, "does not surely meet the bar"},
		"other classes":     {trial{rows: better, champion: herald(t, "champion", []string{"a", "b", "c"}), def: definition.Evaluate{Metric: "accuracy"}}, false, "its classes are a, b, c"},
		"champion of a yes": {trial{rows: better, champion: pack(t, files(t, "binary", "champion", "line", false)), def: definition.Evaluate{Metric: "accuracy"}}, false, "it is a binary model"},
	} {
		tt.trial.model = model
		if tt.trial.champion == nil {
			tt.trial.champion = champion
		}
		e, _, base := tt.trial.run(t)
		if e.Decision.Promote != tt.want || !strings.Contains(e.Decision.Why, tt.why) {
			t.Errorf("%s: promote is %v: %s", name, e.Decision.Promote, e.Decision.Why)
		}
		if len(e.Metrics) != 4 || e.Threshold != nil || !math.IsNaN(float64(e.LabelMean)) {
			t.Errorf("%s: metrics %v, threshold %v, mean label %v", name, e.Metrics, e.Threshold, e.LabelMean)
		}
		right, total := 0, 0
		for i, row := range e.Curves.Confusion {
			rows := 0
			for k, n := range row {
				rows += n
				if i == k {
					right += n
				}
			}
			total += rows
			if c := e.Curves.Classes[i]; c.Name != colours[i] || c.Rows != rows || math.Abs(float64(c.Recall)-float64(row[i])/float64(rows)) > 1e-9 {
				t.Errorf("%s: class %+v of %v", name, c, row)
			}
		}
		if got := float64(e.Metrics["accuracy"].Value); total != len(better) || math.Abs(got-float64(right)/float64(total)) > 1e-9 {
			t.Errorf("%s: accuracy %v, %d of %d right", name, got, right, total)
		}
		path, err := base.Output("evaluation", "report.html")
		page, err2 := os.ReadFile(path)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, []byte("&lt;b&gt;red")) || bytes.Contains(page, []byte("<b>red")) {
			t.Errorf("%s: the page lacks the classes, or has them as they are", name)
		}
		if bytes.Contains(page, []byte("Mean label")) {
			t.Errorf("%s: the page shows a mean of the classes' numbers", name)
		}
	}
}

func TestValueAgainstNoModelAndTheChampion(t *testing.T) {
	rows := days(1, 20, 40, 0.3, 3, 1)
	guess := days(2, 20, 40, 1, 3, 1)
	for i := range guess {
		guess[i].model = 0.01 + 0.98*float64(i%2) // half of all rows, whatever they are
	}
	for name, tt := range map[string]struct {
		trial  trial
		policy string
		passed bool
		found  string
	}{
		"worth more":      {trial{rows: rows, def: definition.Evaluate{Metric: "auc", Value: map[string]float64{"tp": 5, "fp": -4}}}, "yes to all", true, "are worth more than"},
		"no is worth it":  {trial{rows: rows, def: definition.Evaluate{Metric: "auc", Value: map[string]float64{"tp": 5, "fp": -9}}}, "no to all", true, "are worth more than"},
		"harmful guesses": {trial{rows: guess, first: true, def: definition.Evaluate{Metric: "auc", Value: map[string]float64{"tp": 5, "fp": -20}}}, "no to all", false, "are worth less than no to all"},
		"always yes":      {trial{rows: rows, first: true, def: definition.Evaluate{Metric: "auc", Value: map[string]float64{"tp": 5, "fp": 1}}}, "yes to all", true, "are those of yes to all"},
	} {
		e, _, _ := tt.trial.run(t)
		r, v := rule(e, "value"), e.Value
		if r == nil || r.Passed != tt.passed || v.Policy != tt.policy || !strings.Contains(r.Finding, tt.found) || (!tt.passed && e.Decision.Promote) {
			t.Errorf("%s: %+v, by %s", name, r, v.Policy)
			continue
		}
		if d := float64(v.Model-v.NoModel) - float64(v.Gain.Value); math.Abs(d) > 1e-9 {
			t.Errorf("%s: gain %v of %v over %v", name, v.Gain, v.Model, v.NoModel)
		}
		if (v.Champion == nil) != tt.trial.first || v.Champion != nil && (*v.Champion != e.Champion.Metrics["value"].Value || *v.OverChampion != e.Champion.BetterBy["value"]) {
			t.Errorf("%s: champion %v by %v, metrics %v", name, v.Champion, v.OverChampion, e.Champion)
		}
		if first, last := v.Curve[0], v.Curve[len(v.Curve)-1]; first.X != 0 || last.X != 1 || math.Abs(float64(max(first.Y, last.Y)-v.NoModel)) > 1e-9 {
			t.Errorf("%s: the curve from %v to %v does not end in what no model is worth, %v", name, first, last, v.NoModel)
		}
	}
}
