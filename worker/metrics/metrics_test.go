package metrics_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/millrace-ml/millrace/worker/metrics"
)

// compute names the metrics of scores, each row its own block.
func compute(t *testing.T, label, scores []float32, kind metrics.Kind, threshold float64, v *metrics.Value) map[string]float64 {
	t.Helper()
	block, blocks := metrics.BlocksOfRows(len(label))
	j, err := metrics.Judge(&metrics.Sample{Kind: kind, Label: label, Block: block, Blocks: blocks}, scores, threshold, v)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for i, x := range j.Compute(nil) {
		out[metrics.Of(kind)[i].Name] = x
	}
	return out
}

// The expected values were worked out by hand from the definitions.
func TestBinaryMetrics(t *testing.T) {
	got := compute(t, []float32{0, 0, 1, 1, 1}, []float32{0.125, 0.5, 0.5, 0.25, 0.875}, metrics.Binary, 0.5, &metrics.Value{TP: 10, FP: -4, FN: -1})
	want := map[string]float64{
		"auc":               4.5 / 6,
		"pr_auc":            (1 + 2.0/3 + 3.0/4) / 3,
		"logloss":           -(math.Log(0.875) + math.Log(0.5) + math.Log(0.5) + math.Log(0.25) + math.Log(0.875)) / 5,
		"brier":             (0.125*0.125 + 0.25 + 0.25 + 0.75*0.75 + 0.125*0.125) / 5,
		"calibration_error": (0.125 + math.Abs(1-1.0) + 0.75 + 0.125) / 5,
		"accuracy":          3.0 / 5, "precision": 2.0 / 3, "recall": 2.0 / 3, "f1": 2.0 / 3,
		"value": (2*10 - 4 - 1) / 5.0,
	}
	for name, w := range want {
		if math.Abs(got[name]-w) > 1e-9 {
			t.Errorf("%s is %.12f, want %.12f", name, got[name], w)
		}
	}
}

func TestValueMetrics(t *testing.T) {
	// Far from 0, where the sum of squares would lose the digits that r2 needs.
	got := compute(t, []float32{1e6 + 1, 1e6 + 2, 1e6 + 4}, []float32{1e6 + 1, 1e6 + 3, 1e6 + 2}, metrics.Regression, 0, nil)
	mean := 7.0 / 3
	spread := (1-mean)*(1-mean) + (2-mean)*(2-mean) + (4-mean)*(4-mean)
	for name, w := range map[string]float64{"rmse": math.Sqrt(5.0 / 3), "mae": 1, "r2": 1 - 5/spread} {
		if math.Abs(got[name]-w) > 1e-9 {
			t.Errorf("%s is %.12f, want %.12f", name, got[name], w)
		}
	}
}

func TestJudgeRefuses(t *testing.T) {
	sample := func(n int) *metrics.Sample {
		b, k := metrics.BlocksOfRows(n)
		return &metrics.Sample{Kind: metrics.Binary, Label: make([]float32, n), Block: b, Blocks: k}
	}
	for name, scores := range map[string][]float32{
		"not a number": {0.5, float32(math.NaN())}, "above one": {0.5, 1.5}, "below zero": {-0.1, 0.5}, "too few": {0.5},
	} {
		if _, err := metrics.Judge(sample(2), scores, 0.5, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := metrics.Judge(sample(0), nil, 0.5, nil); err == nil {
		t.Error("no row: no error")
	}
}

// naiveAUC counts pairs.
func naiveAUC(label, scores []float32, weight []float64) float64 {
	right, pairs := 0.0, 0.0
	for i, y := range label {
		for k, z := range label {
			if y != 1 || z != 0 {
				continue
			}
			w := weight[i] * weight[k]
			pairs += w
			switch {
			case scores[i] > scores[k]:
				right += w
			case scores[i] == scores[k]:
				right += w / 2
			}
		}
	}
	return right / pairs
}

func TestWeightedAUC(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	n, blocks := 300, 7
	s := &metrics.Sample{Kind: metrics.Binary, Blocks: blocks}
	var scores []float32
	var perRow []float64
	perBlock := make([]float64, blocks)
	for b := range perBlock {
		perBlock[b] = float64(rng.IntN(3))
	}
	for i := range n {
		s.Label = append(s.Label, float32(rng.IntN(2)))
		s.Block = append(s.Block, int32(i%blocks))
		scores = append(scores, float32(rng.IntN(20))/20)
		perRow = append(perRow, perBlock[i%blocks])
	}
	want := naiveAUC(s.Label, scores, perRow)
	for _, only := range []string{"", "auc"} {
		j, err := metrics.Judge(s, scores, 0.5, nil)
		if err != nil {
			t.Fatal(err)
		}
		j.Only(only)
		if got := j.Compute(perBlock)[0]; math.Abs(got-want) > 1e-12 {
			t.Errorf("only %q: auc is %v, want %v", only, got, want)
		}
	}
}

func TestBestThreshold(t *testing.T) {
	v := metrics.Value{TP: 10, FP: -4}
	tests := map[string]struct {
		label, scores []float32
		want          float64
	}{
		"between":    {[]float32{1, 1, 0, 0, 0}, []float32{0.75, 0.5, 0.25, 0.2, 0.1}, 0.375},
		"all yes":    {[]float32{1, 1}, []float32{0.75, 0.5}, 0},
		"never":      {[]float32{0, 0}, []float32{0.75, 0.5}, math.Nextafter(0.75, 2)},
		"ties stay":  {[]float32{1, 0, 0, 0, 0}, []float32{0.5, 0.5, 0.5, 0.5, 0.5}, math.Nextafter(0.5, 2)},
		"tie is won": {[]float32{1, 0, 0, 0}, []float32{0.5, 0.5, 0.25, 0.25}, 0.375},
	}
	for name, tt := range tests {
		if got := metrics.BestThreshold(tt.label, tt.scores, v); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// planted makes a model of the given skill: its score is the label's log odds
// with noise.
func planted(rng *rand.Rand, n int, noise float64) (label, scores []float32) {
	for range n {
		z := rng.NormFloat64()
		y := float32(0)
		if rng.Float64() < 1/(1+math.Exp(-2*z)) {
			y = 1
		}
		label = append(label, y)
		scores = append(scores, float32(1/(1+math.Exp(-2*(z+noise*rng.NormFloat64())))))
	}
	return label, scores
}

// Of intervals at 90 %, about 90 % hold the truth, and two models of the same
// skill are seldom told apart.
func TestIntervalsKeepTheirPromise(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	label, scores := planted(rng, 200_000, 0.5)
	block, blocks := metrics.BlocksOfRows(len(label))
	whole, err := metrics.Judge(&metrics.Sample{Kind: metrics.Binary, Label: label, Block: block, Blocks: blocks}, scores, 0.5, nil)
	if err != nil {
		t.Fatal(err)
	}
	truth := whole.Compute(nil)[0]
	const trials, rows, confidence = 60, 300, 0.9
	held, apart := 0, 0
	for range trials {
		label, scores := planted(rng, rows, 0.5)
		other := make([]float32, rows) // as good, by its own mistakes
		for i, s := range scores {
			other[i] = s
			if rng.IntN(3) == 0 {
				other[i] = scores[rng.IntN(rows)]
			}
		}
		same := make([]float32, rows)
		for i, s := range scores {
			same[i] = s
			if rng.IntN(3) == 0 {
				same[i] = scores[rng.IntN(rows)]
			}
		}
		block, blocks := metrics.BlocksOfRows(rows)
		sample := &metrics.Sample{Kind: metrics.Binary, Label: label, Block: block, Blocks: blocks}
		var judged []*metrics.Judged
		for _, s := range [][]float32{scores, other, same} {
			j, err := metrics.Judge(sample, s, 0.5, nil)
			if err != nil {
				t.Fatal(err)
			}
			j.Only("auc")
			judged = append(judged, j)
		}
		b, err := metrics.Bootstrap(context.Background(), 1, judged...)
		if err != nil {
			t.Fatal(err)
		}
		if i := b.Interval(0, "auc", confidence); i.Low <= truth && truth <= i.High {
			held++
		}
		if d := b.Difference(1, 2, "auc", confidence); d.Low > 0 || d.High < 0 {
			apart++
		}
		if d := b.Difference(0, 1, "auc", confidence); d.Value <= 0 {
			t.Errorf("shuffling a third of the scores made them better by %v", -d.Value)
		}
	}
	if held < trials*80/100 {
		t.Errorf("%d of %d intervals hold the truth", held, trials)
	}
	if apart > trials*20/100 {
		t.Errorf("%d of %d pairs of equals were told apart", apart, trials)
	}
}

func TestDifferenceIsOriented(t *testing.T) {
	label := make([]float32, 400)
	good, bad := make([]float32, 400), make([]float32, 400)
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range label {
		label[i] = float32(i % 2)
		good[i] = min(1, max(0, 0.25+0.5*label[i]+0.2*float32(rng.NormFloat64())))
		bad[i] = min(1, max(0, 0.45+0.1*label[i]+0.2*float32(rng.NormFloat64())))
	}
	block, blocks := metrics.BlocksOfRows(len(label))
	s := &metrics.Sample{Kind: metrics.Binary, Label: label, Block: block, Blocks: blocks}
	a, err := metrics.Judge(s, good, 0.5, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := metrics.Judge(s, bad, 0.5, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := metrics.Bootstrap(context.Background(), 1, a, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"auc", "logloss", "brier", "accuracy"} {
		if d := b.Difference(0, 1, name, 0.95); !(d.Low > 0) {
			t.Errorf("%s: better by %+v", name, d)
		}
		if i := b.Interval(0, name, 0.95); !(i.Low < i.Value && i.Value < i.High) {
			t.Errorf("%s: %+v", name, i)
		}
	}
}

func TestBlocksByTime(t *testing.T) {
	days, hours, minute := make([]float64, 1000), make([]float64, 1000), make([]float64, 1000)
	for i := range days {
		days[i], hours[i], minute[i] = float64(i)*3600, float64(i)*60, float64(i)/100
	}
	for name, tt := range map[string]struct {
		times  []float64
		kind   string
		blocks int
	}{"days": {days, "day", 42}, "hours": {hours, "hour", 17}, "a minute": {minute, "row", 1000}} {
		block, blocks, kind := metrics.BlocksByTime(tt.times)
		if kind != tt.kind || blocks != tt.blocks || len(block) != len(tt.times) {
			t.Errorf("%s: %d blocks of a %s, want %d of a %s", name, blocks, kind, tt.blocks, tt.kind)
		}
	}
}
