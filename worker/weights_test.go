package main_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/matrix"
)

// weighed is trips by a weight; column, if given, adds one that says how much each row counts.
func weighed(t *testing.T, expr string, column func(i int, cells []string) string) *platform {
	t.Helper()
	d := trips()
	d.Data.Weight = expr
	p := newPlatform(t, d, map[string][]byte{"trips/raw/jan.csv": tripRows(1, 3000), "trips/raw/feb.csv": tripRows(2, 3000)})
	if column != nil {
		for key, raw := range p.files {
			p.files[key] = eachRow(raw, func(i int, cells []string) []string {
				if i == 0 {
					return append(cells, "counts")
				}
				return append(cells, column(i, cells))
			})
		}
	}
	return p
}

// TestRowsThatCountMore: a weight goes with its row to training, in the place where AWS's
// container looks for it, and no further.
func TestRowsThatCountMore(t *testing.T) {
	p := weighed(t, "counts / 2", func(_ int, cells []string) string { return cells[1][11:13] }) // the hour
	prepared := p.prepare()
	if m := p.message(prepared); m["ok"] != true || m["rows"] != 6000.0 {
		t.Fatalf("prepare says %v", m)
	}
	trained, _ := p.train(prepared)
	model, err := bundle.FromDir(trained.Model(""))
	if err != nil {
		t.Fatal(err)
	}
	for part, weighs := range map[string]bool{"train": true, "validation": true, "test": false} {
		rows := p.rowsOf(prepared, part, model.Spec.FeatureNames, weighs)
		for r, hour := range rows.X.Column(0) {
			if weighs && rows.Weight[r] != hour/2 {
				t.Fatalf("a row of %s at hour %v weighs %v", part, hour, rows.Weight[r])
			}
		}
	}
	var sum, total float64
	rows := p.rowsOf(prepared, "train", model.Spec.FeatureNames, true)
	for r, w := range rows.Weight {
		sum += float64(w) * float64(rows.Label[r])
		total += float64(w)
	}
	if got := model.Model.BaseScore(); math.Abs(float64(got)-sum/total) > 1e-6 {
		t.Errorf("trees begin from %v, the weighed mean of the labels is %v", got, sum/total)
	}
	plain := weighed(t, "", nil)
	other, _ := plain.train(plain.prepare())
	if bytes.Equal(p.read(trained, "model", bundle.BaselineFile), p.read(other, "model", bundle.BaselineFile)) {
		t.Error("the weights did not reach the baseline")
	}
	base, e := p.evaluate(prepared, p.tarOf(trained), nil)
	if said := "in training rows were weighed by counts / 2; here every row counts alike"; len(e.Notes) == 0 || e.Notes[0] != said {
		t.Errorf("notes are %q", e.Notes)
	}
	if page := string(p.read(base, "processing", "output", "evaluation", "report.html")); !strings.Contains(page, "Effective rows") {
		t.Error("the report does not say how many rows the weights leave")
	}
}

// rowsOf reads a part of what prepare wrote.
func (p *platform) rowsOf(prepared job.Base, part string, names []string, weighed bool) *gbdt.Rows {
	p.tb.Helper()
	rows, err := matrix.ReadDir(context.Background(), filepath.Join(string(prepared), "processing", "output", part), names, weighed)
	if err != nil {
		p.tb.Fatal(err)
	}
	return rows
}

// TestTheSameWeightForAll changes nothing.
func TestTheSameWeightForAll(t *testing.T) {
	var models [2]string
	for i, expr := range []string{"", "counts"} {
		p := weighed(t, expr, func(int, []string) string { return "1" })
		delete(p.def.Train.Hyperparameters, "early_stopping_rounds") // the best score is summed in another way
		trained, _ := p.train(p.prepare())
		models[i] = string(p.read(trained, "model", "xgboost-model"))
	}
	if models[0] != models[1] {
		t.Error("rows that all weigh 1 make another model than rows without weights")
	}
}

// TestWeightsOnSeveralMachines go the way of the other values.
func TestWeightsOnSeveralMachines(t *testing.T) {
	p := weighed(t, "counts", func(i int, _ []string) string { return strconv.Itoa(1 + i%3) })
	want := outputs(t, []job.Base{p.prepare()})
	bases := p.shards(2, "prepare", func(i int) int { return i % 2 })
	p.prepareOn(bases)
	if got := outputs(t, bases); !maps.Equal(got, want) {
		t.Errorf("two machines wrote %v, one %v", got, want)
	}
}

// TestWeightsThatAreNone stop the run, and say where.
func TestWeightsThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		expr   string
		column func(i int, cells []string) string
		want   string
	}{
		"negative":         {"counts", func(i int, _ []string) string { return strconv.Itoa(5 - i%7) }, "rows have a weight that is missing, negative or too large (hint: an expression such as weight ?? 1); first: trips/raw/feb.csv, line 7: the weight is -1"},
		"missing":          {"counts", func(i int, _ []string) string { return []string{"1", ""}[i/3000] }, "2 rows have a weight that is missing"},
		"NaN":              {"counts", func(i int, _ []string) string { return []string{"1", "NaN"}[i/3000] }, "2 rows have a weight that is missing"},
		"divided by 0":     {"1 / counts", func(i int, _ []string) string { return []string{"1", "0"}[i/3000] }, "2 rows have a weight that is missing"},
		"too large":        {"counts", func(i int, _ []string) string { return []string{"1", "1e31"}[i/3000] }, "2 rows have a weight that is missing, negative or too large"},
		"all zero":         {"counts", func(int, []string) string { return "0" }, "the weight is 0 in all 3600 rows of the train part"},
		"next to nothing":  {"counts / 1e50", func(int, []string) string { return "1" }, "the weight is 0 in all 3600 rows of the train part"},
		"of one label":     {"delay > 10 ? 1 : 0", nil, "of the train part whose weight is not 0: nothing can be learned"},
		"text":             {"counts", func(int, []string) string { return "much" }, "data.weight: gives a text, not a number or boolean"},
		"a column missing": {"counts", nil, `column "counts": the column is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			p := weighed(t, c.expr, c.column)
			m := p.message(p.prepare())
			if m["ok"] != false || m["error"] != "DataRejected" || !strings.Contains(fmt.Sprint(m["message"]), c.want) {
				t.Errorf("message is %v, want %q", m, c.want)
			}
		})
	}
}

// TestClassesThatCountMore: a weight may read the label, which makes it one of classes.
func TestClassesThatCountMore(t *testing.T) {
	d := zones(definition.Label{Name: "zone", Classes: []string{"south", "east", "north"}})
	shares := map[string]float64{}
	for _, weight := range []string{"", `zone == "north" ? 20 : 1`} {
		d.Data.Weight = weight
		p := newPlatform(t, d, tripFiles())
		prepared := p.prepare()
		trained, _ := p.train(prepared)
		model, err := bundle.FromDir(trained.Model(""))
		if err != nil {
			t.Fatal(err)
		}
		shares[weight] = north(model.Model, p.rowsOf(prepared, "test", model.Spec.FeatureNames, false))
	}
	if !(shares[""] < 0.5 && shares[d.Data.Weight] > 0.8) {
		t.Errorf("mean probabilities of the class that counts twenty times are %v", shares)
	}
}

// north is the mean probability of the last of three classes.
func north(m *gbdt.Model, rows *gbdt.Rows) float64 {
	out := make([]float32, 3*rows.X.Rows)
	m.PredictClasses(rows.X, out)
	sum := 0.0
	for r := range rows.X.Rows {
		sum += float64(out[3*r+2])
	}
	return sum / float64(rows.X.Rows)
}
