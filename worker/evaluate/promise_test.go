package evaluate_test

import (
	"bytes"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/evaluate"
	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/metrics"
)

// plan is a planted case: rows on days that differ from one another, also in how
// well each model does on them.
type plan struct {
	days, each     int
	spread         float64 // of the days
	model, rival   float64 // noise: more is worse
	hurt           float64 // share of the truth that the model does not see in the zone east
	uneven, binary bool
	classes        bool    // three of them; noise is then on the log odds of being right
	rare           float64 // share of the rows on which the model is far off; it is better on the others, so that both are equal
	atBar          bool    // no version in service; the bar is what the model has over all days there could be
	def            definition.Evaluate
}

// rows are the case's rows in one of its many possible samples.
func (p plan) rows(seed uint64) []row {
	rng := rand.New(rand.NewPCG(seed, 77))
	var out []row
	for d := range p.days {
		n := p.each
		if p.uneven {
			n = max(5, int(float64(n)*math.Exp(0.8*rng.NormFloat64())))
		}
		shift := p.spread * rng.NormFloat64()
		model, rival := p.model*math.Exp(p.spread*rng.NormFloat64()), p.rival*math.Exp(p.spread*rng.NormFloat64())
		for i := range n {
			r := row{at: begin.AddDate(0, 0, d).Add(time.Duration(i) * 24 * time.Hour / time.Duration(n))}
			p.say(rng, &r, shift, model, rival)
			out = append(out, r)
		}
	}
	return out
}

// say makes a row's label and scores.
func (p plan) say(rng *rand.Rand, r *row, shift, model, rival float64) {
	z := 1.5*rng.NormFloat64() + shift
	r.zone = []string{"north", "south", "east"}[rng.IntN(3)]
	a, b := model*rng.NormFloat64(), rival*rng.NormFloat64()
	switch {
	case p.classes:
		class := rng.IntN(len(colours))
		right := func(noise float64) float64 {
			if rng.Float64() > sigmoid(2-noise) {
				return rng.Float64()
			}
			return (float64(class) + 0.5) / float64(len(colours))
		}
		if r.zone == "east" {
			model += 3 * p.hurt
		}
		r.label, r.model, r.champion = float32(class), right(model), right(rival)
	case p.binary:
		if r.zone == "east" {
			a += p.hurt * (1.5*rng.NormFloat64() - z)
		}
		if rng.Float64() < sigmoid(z) {
			r.label = 1
		}
		r.model, r.champion = sigmoid(z+a), sigmoid(z+b)
	default:
		y, unit := 0.2+0.6*rng.Float64(), 0.1
		if p.rare > 0 { // the mean square stays what it was, also where scores end at 0 and 1
			const off = 3
			y, unit = 0.45+0.1*rng.Float64(), 0.04
			if rng.Float64() < p.rare {
				a *= off
			} else {
				a *= math.Sqrt((1 - p.rare*off*off) / (1 - p.rare))
			}
		}
		r.label, r.model, r.champion = float32(y), y+unit*a, y+unit*b
	}
}

// objective is that of the case's models.
func (p plan) objective() string {
	switch {
	case p.classes:
		return "multiclass"
	case p.binary:
		return "binary"
	}
	return "regression"
}

// models are the packed model and champion.
func (p plan) models(tb testing.TB) (model, champion []byte) {
	tb.Helper()
	if p.classes {
		return herald(tb, "model", colours), herald(tb, "champion", colours)
	}
	return pack(tb, files(tb, p.objective(), "model", "line", false)), pack(tb, files(tb, p.objective(), "champion", "line", false))
}

// promoted is the share of repetitions in which the model is promoted.
func (p plan) promoted(tb testing.TB, repetitions int) float64 {
	tb.Helper()
	return p.share(tb, repetitions, func(e *evaluate.Evaluation) bool { return e.Decision.Promote })
}

func (p plan) share(tb testing.TB, repetitions int, of func(*evaluate.Evaluation) bool) float64 {
	tb.Helper()
	count := 0
	model, champion := p.models(tb)
	if p.atBar {
		p.def.AtLeast, p.def.AtMost = p.bar(tb, model)
	}
	for i := range repetitions {
		e, _, _ := trial{rows: p.rows(uint64(i)), seed: int64(i), def: p.def, first: p.atBar, model: model, champion: champion}.run(tb)
		if of(e) {
			count++
		}
	}
	return float64(count) / float64(repetitions)
}

// barRows is on how many rows the bar is found: its own error must be small beside a sample's.
const barRows = 1 << 20

// bar is the deciding metric of the model over very many days.
func (p plan) bar(tb testing.TB, model []byte) (atLeast, atMost *float64) {
	tb.Helper()
	p.days = barRows / p.each
	b, err := bundle.FromTar(bytes.NewReader(model))
	if err != nil {
		tb.Fatal(err)
	}
	rows := p.rows(1 << 40)
	n := len(rows)
	sample := &metrics.Sample{Kind: metrics.Kind(p.objective()), Classes: len(b.Spec.Classes), Label: make([]float32, n), Block: make([]int32, n), Blocks: 1}
	x := gbdt.Matrix{Rows: n, Cols: 2, Data: make([]float32, 2*n), Names: b.Spec.FeatureNames}
	for i, r := range rows {
		sample.Label[i], x.Data[i], x.Data[n+i] = r.label, level(r.model), level(r.line)
	}
	j, err := metrics.Judge(sample, b.Scores(x), 0.5, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for at, m := range metrics.Of(sample.Kind) {
		if got := j.Compute(nil)[at]; m.Name == p.def.Metric && m.More {
			return &got, nil
		} else if m.Name == p.def.Metric {
			return nil, &got
		}
	}
	tb.Fatalf("there is no metric %s", p.def.Metric)
	return nil, nil
}

var (
	byAUC    = by("auc")
	bySlices = definition.Evaluate{Metric: "auc", Slices: []string{"zone"}}
)

// by decides by a metric.
func by(metric string) definition.Evaluate { return definition.Evaluate{Metric: metric} }

// plans are the cases; atMost and atLeast bound the share of promotions.
var plans = map[string]struct {
	plan            plan
	atMost, atLeast float64
}{
	"no-difference/4-days":          {plan{days: 4, each: 100, spread: 0.3, model: 1, rival: 1, binary: true, def: byAUC}, 0.025, 0},
	"no-difference/8-days":          {plan{days: 8, each: 50, spread: 0.3, model: 1, rival: 1, binary: true, def: byAUC}, 0.025, 0},
	"no-difference/8-even-days":     {plan{days: 8, each: 50, model: 1, rival: 1, binary: true, def: by("logloss")}, 0.025, 0},
	"no-difference/14-days":         {plan{days: 14, each: 30, spread: 0.3, model: 1, rival: 1, uneven: true, binary: true, def: byAUC}, 0.025, 0},
	"no-difference/30-days":         {plan{days: 30, each: 15, spread: 0.3, model: 1, rival: 1, binary: true, def: byAUC}, 0.025, 0},
	"no-difference/rmse":            {plan{days: 8, each: 40, spread: 0.3, model: 1, rival: 1, def: by("rmse")}, 0.025, 0},
	"no-difference/rare-mistakes":   {plan{days: 30, each: 100, spread: 0.1, model: 1, rival: 1, rare: 0.03, def: by("rmse")}, 0.025, 0},
	"no-difference/in-any-slices":   {plan{days: 20, each: 40, spread: 0.1, model: 1, rival: 1, binary: true, def: bySlices}, 0.025, 0},
	"no-difference/classes-8-days":  {plan{days: 8, each: 50, spread: 0.3, model: 1, rival: 1, classes: true, def: by("logloss")}, 0.025, 0},
	"no-difference/classes-14-days": {plan{days: 14, each: 30, spread: 0.3, model: 1, rival: 1, uneven: true, classes: true, def: by("macro_f1")}, 0.025, 0},
	"at-the-bar/8-days":             {plan{days: 8, each: 50, spread: 0.3, model: 1, rival: 1, binary: true, atBar: true, def: byAUC}, 0.025, 0},
	"at-the-bar/30-days":            {plan{days: 30, each: 15, spread: 0.3, model: 1, rival: 1, binary: true, atBar: true, def: byAUC}, 0.025, 0},
	"at-the-bar/logloss-8-days":     {plan{days: 8, each: 50, spread: 0.3, model: 1, rival: 1, binary: true, atBar: true, def: by("logloss")}, 0.025, 0},
	"at-the-bar/logloss-30-days":    {plan{days: 30, each: 15, spread: 0.3, model: 1, rival: 1, binary: true, atBar: true, def: by("logloss")}, 0.025, 0},
	"at-the-bar/brier-30-days":      {plan{days: 30, each: 15, spread: 0.3, model: 1, rival: 1, binary: true, atBar: true, def: by("brier")}, 0.025, 0},
	"at-the-bar/rmse-8-days":        {plan{days: 8, each: 40, spread: 0.1, model: 1, rival: 1, atBar: true, def: by("rmse")}, 0.025, 0},
	"at-the-bar/rmse-30-days":       {plan{days: 30, each: 40, spread: 0.3, model: 1, rival: 1, atBar: true, def: by("rmse")}, 0.025, 0},
	"at-the-bar/classes-30-days":    {plan{days: 30, each: 15, spread: 0.3, model: 1, rival: 1, classes: true, atBar: true, def: by("logloss")}, 0.025, 0},
	"worse":                         {plan{days: 8, each: 50, spread: 0.3, model: 1.3, rival: 1, binary: true, def: byAUC}, 0.025, 0},
	"worse/classes":                 {plan{days: 8, each: 50, spread: 0.3, model: 1.3, rival: 1, classes: true, def: by("accuracy")}, 0.025, 0},
	"better":                        {plan{days: 14, each: 50, spread: 0.3, model: 0.5, rival: 2, binary: true, def: byAUC}, 1, 0.95},
	"better/4-days":                 {plan{days: 4, each: 200, spread: 0.1, model: 0.3, rival: 3, binary: true, def: byAUC}, 1, 0.95},
	"better/in-all-slices":          {plan{days: 20, each: 60, spread: 0.1, model: 0.5, rival: 2, binary: true, def: bySlices}, 1, 0.95},
	"better/classes":                {plan{days: 14, each: 50, spread: 0.3, model: 0.2, rival: 2, classes: true, def: by("ovr_auc")}, 1, 0.95},
	"one-slice-hurt":                {plan{days: 20, each: 120, spread: 0.1, model: 0.1, rival: 2.7, hurt: 1, binary: true, def: bySlices}, 0.025, 0},
	"one-slice-hurt/classes":        {plan{days: 20, each: 120, spread: 0.1, model: 0.1, rival: 2, hurt: 1, classes: true, def: definition.Evaluate{Metric: "accuracy", Slices: []string{"zone"}}}, 0.025, 0},
}

// chance is how far above its promise a share may be seen in so many
// repetitions: three standard errors.
func chance(share float64, repetitions int) float64 {
	return 3 * math.Sqrt(share*(1-share)/float64(repetitions))
}

// BenchmarkPlanted says in which share of many samples each planted case is
// promoted; wrongly so in all that have a bound from above below 1.
//
// MILLRACE_PLANTED is on how many samples of each, instead of 400.
func BenchmarkPlanted(b *testing.B) {
	samples := 400
	if given := os.Getenv("MILLRACE_PLANTED"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 4 {
			b.Fatalf("MILLRACE_PLANTED is %q, not a number of 4 or more", given)
		}
		samples = n
	}
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		c := plans[name]
		repetitions := samples
		if c.atLeast > 0 { // what is nearly always so needs fewer
			repetitions = samples / 4
		}
		b.Run(name, func(b *testing.B) {
			share := 0.0
			for b.Loop() {
				share = c.plan.promoted(b, repetitions)
			}
			what := "promoted-%"
			if c.atMost < 1 {
				what = "wrongly-promoted-%"
			}
			b.ReportMetric(100*share, what)
			if share > c.atMost+chance(c.atMost, repetitions) || share < c.atLeast-chance(c.atLeast, repetitions) {
				b.Errorf("promoted in %.3f of %d samples, want %.3f to %.3f", share, repetitions, c.atLeast, c.atMost)
			}
		})
	}
}

// A model that is better as a whole is held back by the one slice it hurts, and
// only by that.
func TestOnlyTheHurtSliceHoldsItBack(t *testing.T) {
	const repetitions = 15
	passed := func(name string) func(*evaluate.Evaluation) bool {
		return func(e *evaluate.Evaluation) bool { r := rule(e, name); return r != nil && r.Passed }
	}
	hurt, gain := plans["one-slice-hurt"].plan, plans["better/in-all-slices"].plan
	for name, tt := range map[string]struct {
		plan plan
		rule string
		want float64
	}{
		"hurt: better as a whole": {hurt, "champion", 1},
		"hurt: a slice falls":     {hurt, "slices", 0},
		"none hurt: none falls":   {gain, "slices", 1},
	} {
		if got := tt.plan.share(t, repetitions, passed(tt.rule)); math.Abs(got-tt.want) > 1.5/repetitions {
			t.Errorf("%s: rule %s holds in %.2f of the samples, want %v", name, tt.rule, got, tt.want)
		}
	}
}
