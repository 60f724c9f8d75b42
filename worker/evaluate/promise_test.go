package evaluate_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/worker/evaluate"
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
	atBar          bool // no version in service; the bar is the AUC that the model has over all days there could be
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
			z := 1.5*rng.NormFloat64() + shift
			r := row{at: begin.AddDate(0, 0, d).Add(time.Duration(i) * 24 * time.Hour / time.Duration(n)), zone: []string{"north", "south", "east"}[rng.IntN(3)]}
			a, b := model*rng.NormFloat64(), rival*rng.NormFloat64()
			if r.zone == "east" {
				a += p.hurt * (1.5*rng.NormFloat64() - z)
			}
			if p.binary {
				if rng.Float64() < sigmoid(z) {
					r.label = 1
				}
				r.model, r.champion = sigmoid(z+a), sigmoid(z+b)
			} else {
				y := 0.2 + 0.6*rng.Float64()
				r.label, r.model, r.champion = float32(y), y+0.1*a, y+0.1*b
			}
			out = append(out, r)
		}
	}
	return out
}

// promoted is the share of repetitions in which the model is promoted.
func (p plan) promoted(tb testing.TB, repetitions int) float64 {
	tb.Helper()
	return p.share(tb, repetitions, func(e *evaluate.Evaluation) bool { return e.Decision.Promote })
}

func (p plan) share(tb testing.TB, repetitions int, of func(*evaluate.Evaluation) bool) float64 {
	tb.Helper()
	count := 0
	if p.atBar {
		p.def.AtLeast = new(p.truth(tb))
	}
	for i := range repetitions {
		e, _, _ := trial{rows: p.rows(uint64(i)), seed: int64(i), def: p.def, first: p.atBar}.run(tb)
		if of(e) {
			count++
		}
	}
	return float64(count) / float64(repetitions)
}

// truth is the model's AUC over very many days.
func (p plan) truth(tb testing.TB) float64 {
	tb.Helper()
	p.days = 4000
	sample, scores := &metrics.Sample{Kind: metrics.Binary, Blocks: 1}, []float32(nil)
	for _, r := range p.rows(1 << 40) {
		sample.Label, sample.Block, scores = append(sample.Label, r.label), append(sample.Block, 0), append(scores, level(r.model))
	}
	j, err := metrics.Judge(sample, scores, 0.5, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return j.Compute(nil)[0]
}

var (
	byAUC    = definition.Evaluate{Metric: "auc"}
	bySlices = definition.Evaluate{Metric: "auc", Slices: []string{"zone"}}
)

// plans are the cases; atMost and atLeast bound the share of promotions.
var plans = map[string]struct {
	plan            plan
	atMost, atLeast float64
}{
	"no-difference/4-days":        {plan{days: 4, each: 100, spread: 0.3, model: 1, rival: 1, binary: true, def: byAUC}, 0.025, 0},
	"no-difference/8-days":        {plan{days: 8, each: 50, spread: 0.3, model: 1, rival: 1, binary: true, def: byAUC}, 0.025, 0},
	"no-difference/8-even-days":   {plan{days: 8, each: 50, model: 1, rival: 1, binary: true, def: definition.Evaluate{Metric: "logloss"}}, 0.025, 0},
	"no-difference/14-days":       {plan{days: 14, each: 30, spread: 0.3, model: 1, rival: 1, uneven: true, binary: true, def: byAUC}, 0.025, 0},
	"no-difference/30-days":       {plan{days: 30, each: 15, spread: 0.3, model: 1, rival: 1, binary: true, def: byAUC}, 0.025, 0},
	"no-difference/rmse":          {plan{days: 8, each: 40, spread: 0.3, model: 1, rival: 1, def: definition.Evaluate{Metric: "rmse"}}, 0.025, 0},
	"at-the-bar/8-days":           {plan{days: 8, each: 50, spread: 0.3, model: 1, rival: 1, binary: true, atBar: true, def: byAUC}, 0.025, 0},
	"at-the-bar/30-days":          {plan{days: 30, each: 15, spread: 0.3, model: 1, rival: 1, binary: true, atBar: true, def: byAUC}, 0.025, 0},
	"worse":                       {plan{days: 8, each: 50, spread: 0.3, model: 1.3, rival: 1, binary: true, def: byAUC}, 0.025, 0},
	"better":                      {plan{days: 14, each: 50, spread: 0.3, model: 0.5, rival: 2, binary: true, def: byAUC}, 1, 0.95},
	"better/4-days":               {plan{days: 4, each: 200, spread: 0.1, model: 0.3, rival: 3, binary: true, def: byAUC}, 1, 0.95},
	"better/in-all-slices":        {plan{days: 20, each: 60, spread: 0.1, model: 0.5, rival: 2, binary: true, def: bySlices}, 1, 0.95},
	"one-slice-hurt":              {plan{days: 20, each: 120, spread: 0.1, model: 0.1, rival: 2.7, hurt: 1, binary: true, def: bySlices}, 0.025, 0},
	"no-difference/in-any-slices": {plan{days: 20, each: 40, spread: 0.1, model: 1, rival: 1, binary: true, def: bySlices}, 0.025, 0},
}

// chance is how far above its promise a share may be seen in so many
// repetitions: three standard errors.
func chance(share float64, repetitions int) float64 {
	return 3 * math.Sqrt(share*(1-share)/float64(repetitions))
}

// BenchmarkPlanted says in which share of many samples each planted case is
// promoted; wrongly so in all that have a bound from above below 1.
func BenchmarkPlanted(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(plans)) {
		c := plans[name]
		repetitions := 400
		if c.atLeast > 0 { // what is nearly always so needs fewer
			repetitions = 100
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
