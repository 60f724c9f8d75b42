package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/prepare"
	"github.com/millrace-ml/millrace/worker/serve"
)

// zones asks which of the three zones a trip went to, told by its column or by an expression.
func zones(label definition.Label) definition.Definition {
	d := trips()
	d.Data.Label = label
	d.Quality = nil
	d.Features = []definition.Feature{{Name: "hour", Expr: "hour(at)"}, {Name: "distance"}, {Name: "delay"}}
	d.Evaluate = definition.Evaluate{Metric: "ovr_auc", AtLeast: new(0.4), Confidence: 0.9}
	return d
}

// TestSeveralClasses: from uploads to scores, the label being text.
func TestSeveralClasses(t *testing.T) {
	classes := []string{"south", "east", "north"} // their order is the definition's
	p := newPlatform(t, zones(definition.Label{Name: "zone", Classes: classes}), tripFiles())
	prepared := p.prepare()
	if m := p.message(prepared); m["ok"] != true || m["label_rate"] != nil || m["label_mean"] != nil {
		t.Fatalf("prepare says %v", m)
	}
	trained, lines := p.train(prepared)
	if !strings.Contains(lines, "validation-mlogloss:") {
		t.Errorf("metric lines are\n%s", lines)
	}
	base, e := p.evaluate(prepared, p.tarOf(trained), p.tarOf(trained))
	if !slices.Equal(e.Classes, classes) || e.Baseline == nil || e.Champion == nil || e.Threshold != nil {
		t.Errorf("classes %v, baseline %v, champion %v, threshold %v", e.Classes, e.Baseline, e.Champion, e.Threshold)
	}
	for _, metric := range []string{"ovr_auc", "logloss", "accuracy", "macro_f1"} {
		if m, ok := e.Metrics[metric]; !ok || !(m.Low <= m.Value && m.Value <= m.High) {
			t.Errorf("%s is %+v", metric, m)
		}
		if _, ok := e.Baseline.Metrics[metric]; !ok {
			t.Errorf("the baseline has no %s", metric)
		}
	}
	if page := string(p.read(base, "processing", "output", "evaluation", "report.html")); !strings.Contains(page, "north") {
		t.Error("the page names no class")
	}

	b, err := bundle.FromDir(trained.Model(""))
	if err != nil {
		t.Fatal(err)
	}
	h := serve.New(b, p.log)
	row := map[string]string{"trip": "A", "at": "2025-03-03T08:15:00Z", "distance": "12.5", "delay": "3"}
	var cells []string
	for _, c := range b.Spec.Columns {
		cells = append(cells, row[c])
	}
	csv := ask(h, request{contentType: "text/csv", body: strings.Join(cells, ",") + "\n"})
	given := strings.Split(strings.TrimSpace(csv.Body.String()), ",")
	if csv.Code != http.StatusOK || len(given) != 3 {
		t.Fatalf("%d %q", csv.Code, csv.Body)
	}
	var answer struct{ Predictions []serve.Prediction }
	if err := json.Unmarshal(ask(h, request{"text/csv", "application/json", strings.Join(cells, ",") + "\n"}).Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	got := answer.Predictions[0]
	for i, class := range classes {
		if v, err := strconv.ParseFloat(given[i], 32); err != nil || float32(v) != got.Probabilities[class] || float32(v) > got.Score {
			t.Errorf("class %s: %s in CSV, %v in JSON, of %+v", class, given[i], got.Probabilities[class], got)
		}
	}
	if got.Key != "A" || got.Probabilities[got.Class] != got.Score {
		t.Errorf("answer %+v", got)
	}

	scores := newPlatform(t, p.def, map[string][]byte{"trips/score/x.csv": []byte("trip,at,distance,delay\nN1,2025-03-03T08:15:00Z,1,2\n")})
	base = scores.begin(jobfile.File{Step: "prepare-scores"}, processing...)
	scores.begun(base, jobfile.File{Step: "prepare-scores", Dataset: scores.dataset(base, []string{"trips/score/x.csv"})})
	scores.write(base, p.tarOf(trained), "processing", "input", "model", "model.tar.gz")
	if err := base.Process(func() error { return prepare.RunScores(context.Background(), base, p.log) }); err != nil {
		t.Fatal(err)
	}
	if m := scores.message(base); m["ok"] != true || m["classes"] != 3.0 {
		t.Errorf("message is %v", m)
	}
}

func TestLabelsOfClasses(t *testing.T) {
	for name, c := range map[string]struct {
		label definition.Label
		want  string // "": prepared
	}{
		"an expression": {definition.Label{Name: "kind", Expr: `delay > 20 ? "late" : delay > 5 ? "slow" : "good"`, Classes: []string{"good", "slow", "late"}}, ""},
		"a class short": {definition.Label{Name: "zone", Classes: []string{"south", "east", "west"}}, "rows have a label that is none of the classes south, east, west"},
		"not the words": {definition.Label{Name: "zone", Classes: []string{"South", "East", "North"}}, `the label is "`},
	} {
		t.Run(name, func(t *testing.T) {
			d := zones(c.label)
			d.Features = d.Features[:2]
			p := newPlatform(t, d, tripFiles())
			m := p.message(p.prepare())
			if (m["ok"] == true) != (c.want == "") || c.want != "" && !strings.Contains(fmt.Sprint(m["message"]), c.want) {
				t.Errorf("message is %v, want %q", m, c.want)
			}
		})
	}
}

// TestAClassThatIsNeverSeen is learned around, with a word about it.
func TestAClassThatIsNeverSeen(t *testing.T) {
	p := newPlatform(t, zones(definition.Label{Name: "zone", Classes: []string{"south", "east", "north", "west"}}), tripFiles())
	prepared := p.prepare()
	if page := string(p.read(prepared, "processing", "output", "quality", "report.html")); !strings.Contains(page, "has the class west: the model cannot learn it") {
		t.Error("the report does not say that west was never seen")
	}
	trained, _ := p.train(prepared)
	if _, e := p.evaluate(prepared, p.tarOf(trained), nil); len(e.Classes) != 4 || e.Metrics["accuracy"].Value == 0 {
		t.Errorf("classes %v, %+v", e.Classes, e.Metrics["accuracy"])
	}
}
