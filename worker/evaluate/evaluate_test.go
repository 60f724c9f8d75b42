package evaluate_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/evaluate"
	"github.com/millrace-ml/millrace/worker/job"
)

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// days are rows of so many days, three zones; the scores know the truth but for
// noise of the given sizes, each of its own.
func days(seed uint64, n, each int, model, champion, line float64) []row {
	rng := rand.New(rand.NewPCG(seed, 1))
	var out []row
	for d := range n {
		for i := range each {
			z := 1.5 * rng.NormFloat64()
			r := row{at: begin.AddDate(0, 0, d).Add(time.Duration(i) * 24 * time.Hour / time.Duration(each)), zone: []string{"north", "south", "east"}[i%3]}
			if rng.Float64() < sigmoid(z) {
				r.label = 1
			}
			r.model, r.champion, r.line = sigmoid(z+model*rng.NormFloat64()), sigmoid(z+champion*rng.NormFloat64()), sigmoid(z+line*rng.NormFloat64())
			out = append(out, r)
		}
	}
	return out
}

// values are the same for a label that is a number.
func values(seed uint64, n, each int, model, champion, line float64) []row {
	out := days(seed, n, each, model, champion, line)
	rng := rand.New(rand.NewPCG(seed, 2))
	noisy := func(y, by float64) float64 { return y + 0.1*by*rng.NormFloat64() }
	for i := range out {
		y := 0.2 + 0.6*rng.Float64()
		out[i].label = float32(y)
		out[i].model, out[i].champion, out[i].line = noisy(y, model), noisy(y, champion), noisy(y, line)
	}
	return out
}

func TestRules(t *testing.T) {
	type want struct {
		promote bool
		why     string
		passed  map[string]bool // by rule; exactly these rules are there
	}
	yes, no := map[string]bool{"champion": true}, map[string]bool{"champion": false}
	auc, rmse := definition.Evaluate{Metric: "auc"}, definition.Evaluate{Metric: "rmse"}
	with := func(d definition.Evaluate, change func(*definition.Evaluate)) definition.Evaluate {
		change(&d)
		return d
	}
	least := func(x float64) definition.Evaluate {
		return with(auc, func(d *definition.Evaluate) { d.AtLeast = &x })
	}
	most := func(metric string, x float64) definition.Evaluate {
		return definition.Evaluate{Metric: metric, AtMost: &x}
	}
	by := func(d definition.Evaluate, x float64) definition.Evaluate {
		return with(d, func(d *definition.Evaluate) { d.BeatChampionBy = x })
	}
	better, worse, equal := days(1, 20, 40, 0.3, 3, 1), days(2, 20, 40, 3, 0.3, 1), days(3, 20, 40, 1, 1, 1)
	nearer, farther := values(4, 20, 40, 1, 3, 2), values(5, 20, 40, 3, 1, 2)
	same := days(6, 20, 40, 1, 1, 1)
	for i := range same {
		same[i].champion = same[i].model
	}
	constant := days(7, 20, 40, 1, 1, 1)
	for i := range constant {
		constant[i].model, constant[i].champion = 0.5, 0.5
	}
	one := days(8, 20, 40, 0.3, 3, 1)
	for i := range one {
		one[i].label = 1
	}
	tests := map[string]struct {
		trial trial
		want  want
	}{
		"no rule":                 {trial{rows: better, def: auc, first: true}, want{true, "no rule to break", map[string]bool{}}},
		"bar met":                 {trial{rows: better, def: least(0.6), first: true}, want{true, "meets the bar of 0.6", map[string]bool{"bar": true}}},
		"bar missed":              {trial{rows: better, def: least(0.95), first: true}, want{false, "does not surely meet the bar of 0.95", map[string]bool{"bar": false}}},
		"less than the bar":       {trial{rows: better, def: most("logloss", 0.65), first: true}, want{true, "meets the bar", map[string]bool{"bar": true}}},
		"more than the bar":       {trial{rows: better, def: most("logloss", 0.3), first: true}, want{false, "does not surely meet", map[string]bool{"bar": false}}},
		"value below the bar":     {trial{rows: nearer, def: most("rmse", 0.15), first: true}, want{true, "meets the bar", map[string]bool{"bar": true}}},
		"value above the bar":     {trial{rows: nearer, def: most("mae", 0.01), first: true}, want{false, "does not surely meet", map[string]bool{"bar": false}}},
		"better":                  {trial{rows: better, def: auc}, want{true, "is better than version 1's", yes}},
		"worse":                   {trial{rows: worse, def: auc}, want{false, "is worse than version 1's", no}},
		"no surer":                {trial{rows: equal, def: auc}, want{false, "is not surely better than version 1's", no}},
		"the same":                {trial{rows: same, def: auc}, want{false, "is the same as version 1's", no}},
		"the same may be":         {trial{rows: same, def: by(auc, -0.01)}, want{true, "is the same as version 1's", yes}},
		"close enough":            {trial{rows: equal, def: by(auc, -0.1)}, want{true, "is close enough to version 1's", yes}},
		"too far behind":          {trial{rows: worse, def: by(auc, -0.1)}, want{false, "is worse than version 1's", no}},
		"not better by so much":   {trial{rows: better, def: by(auc, 0.4)}, want{false, "is better than version 1's", no}},
		"logloss better":          {trial{rows: better, def: definition.Evaluate{Metric: "logloss"}}, want{true, "is better than", yes}},
		"logloss worse":           {trial{rows: worse, def: definition.Evaluate{Metric: "logloss"}}, want{false, "is worse than", no}},
		"rmse better":             {trial{rows: nearer, def: rmse}, want{true, "is better than", yes}},
		"rmse worse":              {trial{rows: farther, def: rmse}, want{false, "is worse than", no}},
		"rmse close enough":       {trial{rows: farther, def: by(rmse, -0.5)}, want{true, "is close enough to", yes}},
		"r2 better":               {trial{rows: nearer, def: definition.Evaluate{Metric: "r2"}}, want{true, "is better than", yes}},
		"only ties":               {trial{rows: constant, def: least(0.5)}, want{false, "is the same as", map[string]bool{"bar": true, "champion": false}}},
		"one label":               {trial{rows: one, def: auc, first: true}, want{false, "cannot be measured", map[string]bool{}}},
		"better, and bar missed":  {trial{rows: better, def: least(0.95)}, want{false, "does not surely meet", map[string]bool{"bar": false, "champion": true}}},
		"beats the line":          {trial{rows: days(9, 20, 40, 0.3, 1, 3), def: auc, first: true, baseline: true}, want{true, "beats the linear baseline", map[string]bool{"baseline": true}}},
		"as good as the line":     {trial{rows: days(10, 20, 40, 1, 1, 1), def: auc, first: true, baseline: true}, want{true, "does not surely beat", map[string]bool{"baseline": true}}},
		"loses to the line":       {trial{rows: days(11, 20, 40, 3, 1, 0.3), def: auc, first: true, baseline: true}, want{false, "loses to the linear baseline", map[string]bool{"baseline": false}}},
		"line nearer to values":   {trial{rows: values(12, 20, 40, 3, 3, 1), def: rmse, first: true, baseline: true}, want{false, "loses to the linear baseline", map[string]bool{"baseline": false}}},
		"champion lost":           {trial{rows: better, def: auc, lost: true}, want{false, "its model was not given", no}},
		"champion lost, bar met":  {trial{rows: better, def: least(0.6), lost: true}, want{true, "cannot be compared", map[string]bool{"bar": true, "champion": true}}},
		"champion unreadable":     {trial{rows: better, def: auc, champion: []byte("no archive")}, want{false, "cannot be compared: read model.tar.gz", no}},
		"champion of other kind":  {trial{rows: better, def: auc, champion: pack(t, files(t, "regression", "champion", "line", false))}, want{false, "it is a regression model", no}},
		"champion of other table": {trial{rows: better, def: auc, champion: pack(t, files(t, "binary", "gone", "line", false))}, want{false, `it reads the column "gone"`, no}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, _, _ := tt.trial.run(t)
			if e.Decision.Promote != tt.want.promote || !strings.Contains(e.Decision.Why, tt.want.why) {
				t.Errorf("promote is %v, want %v with %q: %s", e.Decision.Promote, tt.want.promote, tt.want.why, e.Decision.Why)
			}
			if len(e.Decision.Rules) != len(tt.want.passed) {
				t.Errorf("rules are %+v", e.Decision.Rules)
			}
			for name, passed := range tt.want.passed {
				if r := rule(e, name); r == nil || r.Passed != passed {
					t.Errorf("rule %s is %+v, want passed %v", name, r, passed)
				}
			}
		})
	}
}

// The bar and the lead are held against the end of the interval, to the digit.
func TestRulesTurnAtTheIntervalsEnd(t *testing.T) {
	const close = 1e-8
	rows, noisy := days(1, 20, 40, 1, 3, 1), values(2, 20, 40, 1, 3, 1)
	e, _, _ := trial{rows: rows, def: definition.Evaluate{Metric: "auc"}}.run(t)
	low, lead := float64(e.Metrics["auc"].Low), float64(e.Champion.BetterBy["auc"].Low)
	e, _, _ = trial{rows: noisy, def: definition.Evaluate{Metric: "rmse"}}.run(t)
	high, nearer := float64(e.Metrics["rmse"].High), float64(e.Champion.BetterBy["rmse"].Low)
	for name, tt := range map[string]struct {
		trial trial
		want  bool
	}{
		"bar below low":   {trial{rows: rows, first: true, def: definition.Evaluate{Metric: "auc", AtLeast: new(low - close)}}, true},
		"bar above low":   {trial{rows: rows, first: true, def: definition.Evaluate{Metric: "auc", AtLeast: new(low + close)}}, false},
		"bar above high":  {trial{rows: noisy, first: true, def: definition.Evaluate{Metric: "rmse", AtMost: new(high + close)}}, true},
		"bar below high":  {trial{rows: noisy, first: true, def: definition.Evaluate{Metric: "rmse", AtMost: new(high - close)}}, false},
		"lead below low":  {trial{rows: rows, def: definition.Evaluate{Metric: "auc", BeatChampionBy: lead - close}}, true},
		"lead above low":  {trial{rows: rows, def: definition.Evaluate{Metric: "auc", BeatChampionBy: lead + close}}, false},
		"lead in rmse":    {trial{rows: noisy, def: definition.Evaluate{Metric: "rmse", BeatChampionBy: nearer - close}}, true},
		"no lead in rmse": {trial{rows: noisy, def: definition.Evaluate{Metric: "rmse", BeatChampionBy: nearer + close}}, false},
	} {
		if e, _, _ := tt.trial.run(t); e.Decision.Promote != tt.want {
			t.Errorf("%s: promote is %v: %s", name, e.Decision.Promote, e.Decision.Why)
		}
	}
}

func TestBlocks(t *testing.T) {
	squeeze := func(by time.Duration) []row {
		rows := days(1, 20, 40, 1, 3, 1)
		for i := range rows {
			rows[i].at = begin.Add(rows[i].at.Sub(begin) / by)
		}
		return rows
	}
	for name, tt := range map[string]struct {
		rows   []row
		split  string
		block  string
		blocks int
		note   bool
	}{
		"days":            {squeeze(1), "", "day", 20, false},
		"four days":       {squeeze(5), "", "day", 4, false},
		"two days":        {squeeze(10), "", "hour", 48, true},
		"six hours":       {squeeze(24 * 20 / 6), "", "row", 800, true},
		"split by chance": {squeeze(1), "random", "row", 800, false},
	} {
		e, _, _ := trial{rows: tt.rows, split: tt.split, def: definition.Evaluate{Metric: "auc"}}.run(t)
		if e.Bootstrap.Block != tt.block || e.Bootstrap.Blocks != tt.blocks || (len(e.Notes) > 0) != tt.note {
			t.Errorf("%s: %+v, notes %q", name, e.Bootstrap, e.Notes)
		}
	}
}

// hurt makes the model wrong about some rows, where the champion is right.
func hurt(rows []row, which func(i int, r row) bool, say func(r row) float64) []row {
	for i := range rows {
		if which(i, rows[i]) {
			rows[i].model = say(rows[i])
		}
	}
	return rows
}

func slicesOf(e *evaluate.Evaluation) map[string]evaluate.Slice {
	out := map[string]evaluate.Slice{}
	for _, s := range e.Slices {
		out[s.Value] = s
	}
	return out
}

// Slices that were asked for and cannot be compared are told, and in nobody's way.
func TestSlicesThatCannotBeCompared(t *testing.T) {
	rows := days(1, 20, 60, 0.3, 3, 1)
	for i := range rows {
		rows[i].zone = fmt.Sprint(i % 40)
	}
	def := definition.Evaluate{Metric: "auc", Slices: []string{"zone"}, AtLeast: new(0.6)}
	for want, tr := range map[string]trial{
		"none of 40 slices can be compared: they are too small":            {rows: rows, def: def},
		"none of 40 slices can be compared: the version in service cannot": {rows: rows, def: def, lost: true},
	} {
		e, _, _ := tr.run(t)
		if r := rule(e, "slices"); r == nil || !r.Passed || r.Finding != want || !e.Decision.Promote {
			t.Errorf("%+v, want %q: %s", r, want, e.Decision.Why)
		}
	}
}

func TestSlices(t *testing.T) {
	def := definition.Evaluate{Metric: "auc", Slices: []string{"zone"}}
	in := func(zone string) func(int, row) bool { return func(_ int, r row) bool { return r.zone == zone } }
	guess := func(row) float64 { return 0.5 }
	rezone := func(rows []row, zone func(i int, r row) string) []row {
		for i := range rows {
			rows[i].zone = zone(i, rows[i])
		}
		return rows
	}
	few := rezone(days(3, 20, 40, 0.3, 3, 1), func(i int, r row) string {
		if i < 99 {
			return "west"
		}
		return r.zone
	})
	one := rezone(days(4, 30, 150, 0.3, 3, 1), func(i int, r row) string {
		if i < 150 {
			return "new"
		}
		return r.zone
	})
	for name, tt := range map[string]struct {
		rows  []row
		falls string
		notes map[string]string
	}{
		"all gain":       {days(1, 20, 60, 0.3, 3, 1), "", nil},
		"one is hurt":    {hurt(days(2, 20, 60, 0.3, 3, 1), in("east"), guess), "east", nil},
		"too few rows":   {hurt(few, in("west"), guess), "", map[string]string{"west": "too few rows to judge"}},
		"one day's rows": {hurt(one, in("new"), func(r row) float64 { return 1 - r.champion }), "", map[string]string{"new": "too few days to compare"}},
	} {
		e, _, _ := trial{rows: tt.rows, def: def}.run(t)
		r := rule(e, "slices")
		if r == nil || r.Passed != (tt.falls == "") || e.Decision.Promote != r.Passed {
			t.Fatalf("%s: rule is %+v: %s", name, r, e.Decision.Why)
		}
		if c := rule(e, "champion"); !c.Passed {
			t.Errorf("%s: the model as a whole is not better: %s", name, c.Finding)
		}
		if tt.falls != "" && !strings.Contains(e.Decision.Why, "1 of 3 slices fall behind: zone="+tt.falls+" by") {
			t.Errorf("%s: %s", name, e.Decision.Why)
		}
		for value, s := range slicesOf(e) {
			if s.Falls != (value == tt.falls) || s.Note != tt.notes[value] || (s.BetterBy == nil) != (tt.notes[value] != "") {
				t.Errorf("%s: %s is %+v", name, value, s)
			}
		}
	}
}

// Among many slices one looks bad by chance; what is significant alone need not be so among them.
func TestSlicesAreCorrectedForTheirNumber(t *testing.T) {
	rows := hurt(days(7, 20, 200, 0.3, 0.8, 1), func(i int, _ row) bool { return i%20 == 0 }, func(r row) float64 { return sigmoid(math.Log(r.model/(1-r.model)) * 0.55) })
	rng := rand.New(rand.NewPCG(9, 9))
	for i := range rows {
		if i%20 == 0 {
			rows[i].model = sigmoid(math.Log(rows[i].model/(1-rows[i].model)) + 1.5*rng.NormFloat64())
		}
		rows[i].zone = fmt.Sprint("z", i%20)
	}
	def := definition.Evaluate{Metric: "auc", Slices: []string{"zone"}}
	many, _, _ := trial{rows: rows, def: def}.run(t)
	for i := range rows {
		if i%20 != 0 {
			rows[i].zone = "" // 19 slices become one
		}
	}
	two, _, _ := trial{rows: rows, def: def}.run(t)
	a, b := slicesOf(many)["z0"], slicesOf(two)["z0"]
	if a.BetterBy.Value != b.BetterBy.Value || !(a.BetterBy.Low < b.BetterBy.Low && b.BetterBy.High < a.BetterBy.High) {
		t.Errorf("among 20 %+v, among 2 %+v: not wider", a.BetterBy, b.BetterBy)
	}
	if a.Falls || !b.Falls {
		t.Errorf("among 20 it falls: %v, among 2: %v; %+v and %+v", a.Falls, b.Falls, a.BetterBy, b.BetterBy)
	}
}

func TestThreshold(t *testing.T) {
	rows := days(1, 20, 40, 1, 3, 1)
	chosen := files(t, "binary", "model", "line", false)
	chosen[bundle.ThresholdFile] = []byte(`{"threshold":0.7,"chosen":"by hand"}`)
	for name, tt := range map[string]struct {
		value map[string]float64
		model []byte
		want  float64
	}{
		"no table":            {nil, nil, 0.5},
		"false alarms cheap":  {map[string]float64{"tp": 40, "fp": -5}, nil, 5.0 / 45},
		"a miss costs":        {map[string]float64{"fn": -9, "fp": -1}, nil, 0.1},
		"no has a worth":      {map[string]float64{"tp": 1, "tn": 3}, nil, 0.75},
		"yes is never worse":  {map[string]float64{"tp": 1, "fp": 1}, nil, 0},
		"no is never worse":   {map[string]float64{"tn": 1, "fn": 1}, nil, math.Nextafter(1, 2)},
		"a table of nothing":  {map[string]float64{"tp": 0, "fp": 0}, nil, 0.5},
		"the model's own":     {map[string]float64{"tp": 40, "fp": -5}, pack(t, chosen), 0.7},
		"own without a table": {nil, pack(t, chosen), 0.7},
	} {
		e, _, _ := trial{rows: rows, model: tt.model, first: true, def: definition.Evaluate{Metric: "auc", Value: tt.value}}.run(t)
		if math.Abs(float64(e.Threshold.Value)-tt.want) > 1e-9 {
			t.Errorf("%s: threshold is %v, want %v", name, e.Threshold.Value, tt.want)
		}
		tp, fp, tn, fn := 0.0, 0.0, 0.0, 0.0
		for _, r := range rows {
			said, y := float64(level(r.model)) >= tt.want, r.label == 1
			switch {
			case said && y:
				tp++
			case said:
				fp++
			case y:
				fn++
			default:
				tn++
			}
		}
		n := float64(len(rows))
		if got := float64(e.Metrics["accuracy"].Value); math.Abs(got-(tp+tn)/n) > 1e-9 {
			t.Errorf("%s: accuracy is %v, want %v", name, got, (tp+tn)/n)
		}
		if _, ok := e.Metrics["value"]; ok != (tt.value != nil) {
			t.Errorf("%s: metrics are %v", name, e.Metrics)
		}
		if tt.value != nil {
			v := tt.value
			want := (v["tp"]*tp + v["fp"]*fp + v["tn"]*tn + v["fn"]*fn) / n
			none := max(v["tp"]*(tp+fn)+v["fp"]*(fp+tn), v["tn"]*(fp+tn)+v["fn"]*(tp+fn)) / n
			if math.Abs(float64(e.Value.Model)-want) > 1e-9 || math.Abs(float64(e.Value.NoModel)-none) > 1e-9 {
				t.Errorf("%s: value is %+v, want %v and %v without a model", name, e.Value, want, none)
			}
		}
	}
}

// A champion with a threshold of its own says yes by it in slices as it does over all rows.
func TestSlicesKeepTheChampionsThreshold(t *testing.T) {
	rows := days(1, 20, 40, 1, 1, 1)
	for i := range rows {
		rows[i].zone = "all"
	}
	champion := files(t, "binary", "champion", "line", false)
	champion[bundle.ThresholdFile] = []byte(`{"threshold":0.85,"chosen":"by hand"}`)
	e, _, _ := trial{rows: rows, champion: pack(t, champion), def: definition.Evaluate{Metric: "accuracy", Slices: []string{"zone"}}}.run(t)
	s := slicesOf(e)["all"]
	// A slice's interval is without the margin, which would excuse a fall.
	overall := e.Champion.BetterBy["accuracy"]
	if *s.Champion != e.Champion.Metrics["accuracy"].Value || s.BetterBy.Value != overall.Value || !(s.BetterBy.Low > overall.Low && s.BetterBy.High < overall.High) {
		t.Errorf("over all rows %v and %+v, in a slice of all rows %v and %+v", e.Champion.Metrics["accuracy"].Value, overall, *s.Champion, *s.BetterBy)
	}
}

func TestEvaluationIsDeterministic(t *testing.T) {
	tr := trial{rows: days(1, 20, 60, 1, 1.2, 1), baseline: true, seed: 5, def: definition.Evaluate{Metric: "auc", Slices: []string{"zone"}, Value: map[string]float64{"tp": 3, "fp": -1}}}
	page := func(base job.Base) string {
		path, err := base.Output("evaluation", "report.html")
		raw, err2 := os.ReadFile(path)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	_, first, base := tr.run(t)
	firstPage := page(base)
	for _, threads := range []int{1, 3} {
		old := runtime.GOMAXPROCS(threads)
		_, again, base := tr.run(t)
		runtime.GOMAXPROCS(old)
		if !bytes.Equal(first, again) || page(base) != firstPage {
			t.Errorf("with %d threads evaluation.json or its page differs", threads)
		}
	}
	tr.seed = 6
	if _, other, _ := tr.run(t); bytes.Equal(first, other) {
		t.Error("another seed draws the same")
	}
}
