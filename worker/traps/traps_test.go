package traps_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/metrics"
	"github.com/millrace-ml/millrace/worker/traps"
)

func TestAlone(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	const n = 4000
	label, number, class := make([]float32, n), make([]float32, n), make([]float32, n)
	noise, leak, copied, folded, missing, code, weak, square := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range n {
		z := rng.NormFloat64()
		delay := 20 * z
		if delay > 15 {
			label[i] = 1
		}
		number[i], class[i] = float32(z), float32(rng.IntN(4))
		noise[i], leak[i], copied[i] = rng.NormFloat64(), delay, float64(label[i])
		folded[i] = math.Mod(17*float64(int(100*rng.Float64())), 100) + float64(label[i])*0.5 // odd halves are late
		missing[i] = math.NaN()
		if label[i] == 1 {
			missing[i] = rng.NormFloat64()
		}
		code[i], weak[i], square[i] = 10-float64(class[i]), z+3*rng.NormFloat64(), math.Abs(z)
	}
	few := 60
	for name, tt := range map[string]struct {
		kind      metrics.Kind
		label     []float32
		values    []float64
		low, high float64
	}{
		"noise":                        {metrics.Binary, label, noise, 0.5, 0.56},
		"weak":                         {metrics.Binary, label, weak, 0.55, 0.75},
		"what the label is made of":    {metrics.Binary, label, leak, 0.999, 1},
		"the label itself":             {metrics.Binary, label, copied, 0.999, 1},
		"by its fraction":              {metrics.Binary, label, folded, 0.98, 1},
		"there only when late":         {metrics.Binary, label, missing, 0.999, 1},
		"what it is made of, few rows": {metrics.Binary, label[:few], leak[:few], 0.999, 1},
		"noise, few rows":              {metrics.Binary, label[:few], noise[:few], 0.5, 0.85},
		"one value":                    {metrics.Binary, label, make([]float64, n), 0.5, 0.5},
		"number, noise":                {metrics.Regression, number, noise, -0.1, 0.05},
		"number itself, scaled":        {metrics.Regression, number, leak, 0.9999, 1},
		"number, but for its sign":     {metrics.Regression, number, square, -0.1, 0.1},
		"class, noise":                 {metrics.Multiclass, class, noise, -0.2, 0.1},
		"class by another code":        {metrics.Multiclass, class, code, 0.999, 1},
	} {
		got := traps.Alone(tt.kind, 4, tt.label, tt.values)
		if !(got >= tt.low && got <= tt.high) {
			t.Errorf("%s: %.4f, want %v to %v", name, got, tt.low, tt.high)
		}
		if again := traps.Alone(tt.kind, 4, tt.label, tt.values); again != got {
			t.Errorf("%s: %v, then %v", name, got, again)
		}
	}
	if got := traps.Alone(metrics.Regression, 0, make([]float32, 9), make([]float64, 9)); got > 0 {
		t.Errorf("a constant label is predicted: %v", got)
	}
}

func TestTwins(t *testing.T) {
	row := func(part string, i int) uint64 { return traps.Begin.Cell(part).Cell(fmt.Sprint(i)).Sum() }
	var few traps.Twins
	for i := range 1000 {
		few.First(row("a", i))
		few.Other(row("a", i+900))
		few.Other(row("a", 5))
	}
	if got := few.Shared(); got != (traps.Shared{Rows: 2000, Shared: 1100, Learned: 1000, Different: 1000}) {
		t.Errorf("%+v, want 1100 of 2000", got)
	}
	for range 4 { // as rows that are alike by nature
		for i := range 1000 {
			few.First(row("a", i))
		}
	}
	if got := few.Shared().Alike(); got != 5 {
		t.Errorf("each row is there %v times, want 5", got)
	}
	var many traps.Twins
	const n = 3 << 19
	for i := range n {
		many.First(row("a", i))
		many.Other(row("a", i+n*3/4))
	}
	got := many.Shared()
	if share := float64(got.Shared) / float64(got.Rows); got.Rows < 1<<17 || got.Rows > 1<<20 || math.Abs(share-0.25) > 0.005 {
		t.Errorf("of %d rows: %+v, a share of %.4f, want 0.25", n, got, share)
	}
	if traps.Begin.Cell("ab").Cell("c") == traps.Begin.Cell("a").Cell("bc") {
		t.Error("cells run into one another")
	}
}

// part is so many days of labels around a mean; the days differ by spread.
func part(seed uint64, days, each int, mean, spread float64) traps.Part {
	rng := rand.New(rand.NewPCG(seed, 5))
	var t traps.Tally
	sum := 0.0
	for d := range days {
		shift := spread * rng.NormFloat64()
		for range each {
			y := 0.0
			if rng.Float64() < mean+shift {
				y = 1
			}
			sum += y
			t.Add(y, float64(d)*86400+1)
		}
	}
	return traps.Part{Rows: days * each, Label: sum / float64(days*each), Spread: t.Spread(), Days: t.Days()}
}

func TestMoved(t *testing.T) {
	const samples = 400
	share := func(byTime bool, to, spread float64) float64 {
		found := 0
		for s := range uint64(samples) {
			if m := traps.Moved(part(2*s, 60, 100, 0.3, spread), part(2*s+1, 15, 100, to, spread), byTime); m.P < 0.01 {
				found++
			}
		}
		return float64(found) / samples
	}
	for name, tt := range map[string]struct {
		byTime         bool
		to, spread     float64
		atLeast, below float64
	}{
		"the same":                         {true, 0.3, 0, 0, 0.04},
		"the same, on days that differ":    {true, 0.3, 0.05, 0, 0.04},
		"moved":                            {true, 0.4, 0.03, 0.98, 1.1},
		"by rows":                          {false, 0.3, 0, 0, 0.04},
		"moved, by rows":                   {false, 0.4, 0, 0.98, 1.1},
		"days that differ, taken as rows ": {false, 0.3, 0.1, 0.1, 1.1}, // why days are taken
	} {
		if got := share(tt.byTime, tt.to, tt.spread); got < tt.atLeast || got >= tt.below {
			t.Errorf("%s: found in %.3f of the samples, want %v to %v", name, got, tt.atLeast, tt.below)
		}
	}
	for name, tt := range map[string]struct {
		from, to traps.Part
		byTime   bool
	}{
		"two days":    {part(1, 60, 10, 0.3, 0), part(2, 2, 10, 0.9, 0), true},
		"one label":   {traps.Part{Rows: 9, Label: 1}, traps.Part{Rows: 9, Label: 1}, false},
		"single rows": {traps.Part{Rows: 1, Label: 1, Spread: 1}, traps.Part{Rows: 1, Label: 0, Spread: 1}, false},
	} {
		if m := traps.Moved(tt.from, tt.to, tt.byTime); !math.IsNaN(m.P) {
			t.Errorf("%s: %+v, and there is too little to tell", name, m)
		}
	}
}

// Of several classes none is said to have moved in more samples than promised,
// though each is tested; of those that moved, which did.
func TestMovedClasses(t *testing.T) {
	classed := func(seed uint64, days int, shares []float64) traps.Part {
		rng := rand.New(rand.NewPCG(seed, 6))
		tally := traps.Tally{Classes: len(shares)}
		p := traps.Part{Classes: make([]int, len(shares))}
		for d := range days {
			odds := make([]float64, len(shares))
			total := 0.0
			for c, s := range shares {
				odds[c] = s * math.Exp(0.2*rng.NormFloat64())
				total += odds[c]
			}
			for range 100 {
				u, class := rng.Float64()*total, 0
				for ; u > odds[class] && class+1 < len(odds); class++ {
					u -= odds[class]
				}
				tally.Add(float64(class), float64(d)*86400+1)
				p.Rows++
				p.Classes[class]++
			}
		}
		p.Days = tally.Days()
		return p
	}
	before, after := []float64{0.4, 0.2, 0.2, 0.15, 0.05, 0}, []float64{0.4, 0.2, 0.1, 0.15, 0.15, 0}
	const samples = 300
	found, moved := 0, [6]int{}
	for s := range uint64(samples) {
		from := classed(2*s, 60, before)
		least := 1.0
		for _, m := range traps.MovedClasses(from, classed(2*s+1, 15, before), true) {
			least = min(least, m.P)
			if !m.Days && !math.IsNaN(m.P) {
				t.Fatalf("%+v is not by days", m)
			}
		}
		if least < 0.01 {
			found++
		}
		for c, m := range traps.MovedClasses(from, classed(2*s+1, 15, after), true) {
			if m.P < 0.01 {
				moved[c]++
			}
		}
	}
	if found > samples/30 {
		t.Errorf("something moved in %d of %d samples of the same", found, samples)
	}
	if moved[2] < samples*95/100 || moved[4] < samples*95/100 || moved[0]+moved[1]+moved[3] > samples/10 || moved[5] > 0 {
		t.Errorf("moved in %v of %d samples, want only the third and the fifth", moved, samples)
	}
}

func TestTallyByDay(t *testing.T) {
	var tally traps.Tally
	tally.Add(1, 86400*365.5)
	tally.Add(0, 86400*365.9)
	tally.Add(3, 86400*364)
	tally.Add(9, math.NaN())
	got := tally.Days()
	if s := fmt.Sprint(got); !strings.Contains(s, "{1970-12-31 1 3 []}") || !strings.Contains(s, "{1971-01-01 2 0.5 []}") || len(got) != 2 {
		t.Errorf("days are %v", got)
	}
	if s := tally.Spread(); math.Abs(s-math.Sqrt((1+9+81)/4.0-3.25*3.25)) > 1e-12 {
		t.Errorf("spread is %v", s)
	}
}
