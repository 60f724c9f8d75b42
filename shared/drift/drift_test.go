package drift_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"unsafe"

	"github.com/millrace-ml/millrace/shared/drift"
)

func TestSketchIsExactWhenSmall(t *testing.T) {
	s := drift.NewSketch()
	for i := range 2000 {
		s.Add(float64((i * 7919) % 2000))
	}
	levels := s.Levels()
	if len(levels) != 1 || len(levels[0]) != 2000 {
		t.Fatalf("%d levels, the first of %d items", len(levels), len(levels[0]))
	}
	if got := s.Ranks().Quantile(0.5); got != 999 {
		t.Errorf("median is %v, want 999", got)
	}
}

func TestSketchRankError(t *testing.T) {
	const n = 1_000_000
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, n)
	s := drift.NewSketch()
	for i := range values {
		values[i] = rng.NormFloat64()
		s.Add(values[i])
	}
	slices.Sort(values)
	r := s.Ranks()
	if got := r.Total(); math.Abs(got-n) > 0 {
		t.Errorf("weights sum to %v, want %v", got, n)
	}
	worst := 0.0
	for q := 0.001; q < 1; q += 0.001 {
		x := values[int(q*n)]
		worst = max(worst, math.Abs(r.Rank(x, true)-float64(sort.SearchFloat64s(values, x)+1))/n)
	}
	if worst > 0.002 {
		t.Errorf("rank error %v, want at most 0.002", worst)
	}
	kept := 0
	for _, l := range s.Levels() {
		kept += len(l)
	}
	if kept > 6000 {
		t.Errorf("%d items kept", kept)
	}
}

func numeric(values ...float64) *drift.Ranks { return drift.RanksOf([][]float64{values}) }

func counts(text string) []drift.TextBucket {
	var out []drift.TextBucket
	for _, f := range strings.Fields(text) {
		var n int64
		fmt.Sscanf(f[1:], "%d", &n)
		out = append(out, drift.TextBucket{Value: f[:1], Count: n})
	}
	return out
}

func total(b []drift.TextBucket) (n float64) {
	for _, x := range b {
		n += float64(x.Count)
	}
	return n
}

// The expected values are those of Deequ's own tests.
func TestDistancesAreDeequs(t *testing.T) {
	a, b := numeric(1, 2, 3, 4), numeric(2, 3, 4, 5)
	if d := drift.NumericDistance(a, b); d != 0.25 {
		t.Errorf("numeric distance %v, want 0.25", d)
	}
	if d := drift.Robust(0.25, 4, 4, drift.RobustFactor); d != 0 {
		t.Errorf("robust %v, want 0", d)
	}
	tests := map[string]struct {
		a, b           string
		simple, robust float64
		alpha          float64
	}{
		"near":      {"a10 b20 c25 d10 e5", "a11 b20 c25 d10 e10", 0.06015037593984962, 0, 0},
		"one gone":  {"a10 b20 c25 d10 e5", "f11 a20 c25 d10 e10", 0.2857142857142857, 0, 0},
		"far .003":  {"a207 b20 c25 d14 e25 g13", "a22 b20 c25 d12 e13 f15", -1, 0.2726338046550349, 0.003},
		"far at .1": {"a207 b20 c25 d14 e25 g13", "a22 b20 c25 d12 e13 f15", -1, 0.33774199396969184, 0.1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := counts(tt.a), counts(tt.b)
			d := drift.TextDistance(a, b)
			if tt.simple >= 0 && math.Abs(d-tt.simple) > 1e-15 {
				t.Errorf("simple distance %v, want %v", d, tt.simple)
			}
			factor := drift.RobustFactor
			if tt.alpha > 0 {
				factor = drift.RobustFactorOf(tt.alpha)
			}
			if r := drift.Robust(d, total(a), total(b), factor); math.Abs(r-tt.robust) > 1e-12 {
				t.Errorf("robust distance %v, want %v", r, tt.robust)
			}
		})
	}
}

// The first value is Deequ's own; the others are scipy's chisquare of the counts
// that are left, in the comment.
func TestChiSquaredFit(t *testing.T) {
	for name, tt := range map[string]struct {
		sample, baseline string
		want             float64
	}{
		"golden":             {"a207 b20 c25 d14 e25", "a223 b20 c25 d12 e13", 0.013227994814265176},
		"the same":           {"a20 b30 c50", "a200 b300 c500", 1},
		"new ones left out":  {"a20 b30 c50 x400", "a200 b300 c500", 1},
		"gone":               {"a20 b30", "a20 b30 c50", 1.3887943864964021e-11}, // [20 30 0] of [10 15 25]
		"a fifth may be few": {"a30 b30 c30 d30 e1", "a30 b30 c30 d30 e2", 0.973902003251686},
		"few together":       {"a30 b40 c3 d1", "a30 b30 c2 d2", 0.2158827346287726}, // [34 40] of [34 30]
		"two want ten":       {"a30 b9", "a30 b9", math.NaN()},
		"two of ten":         {"a30 b20", "a30 b10", 0.014305878435429644}, // [30 20] of [37.5 12.5]
		"one category":       {"a30", "a30", math.NaN()},
		"nothing in common":  {"x30", "a30 b30", math.NaN()},
		"no baseline":        {"x30", "", math.NaN()},
	} {
		got := drift.ChiSquaredFit(counts(tt.sample), counts(tt.baseline))
		if math.IsNaN(got) != math.IsNaN(tt.want) || math.Abs(got-tt.want) > 1e-12*max(1, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

func TestStatisticsFormat(t *testing.T) {
	p := drift.NewNumericProfile()
	for _, x := range []float64{1, 2, 2, 11, math.NaN()} {
		p.Add(x)
	}
	text := drift.NewTextProfile()
	for _, x := range []string{"ORD", "ATL", "ORD", ""} {
		text.Add(x)
	}
	s := drift.Statistics{Dataset: drift.Dataset{ItemCount: 5}, Features: []drift.FeatureStatistics{p.Statistics("minute"), text.Statistics("origin")}}
	raw, err := drift.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var compact strings.Builder
	compact.Write(raw)
	got := strings.Join(strings.Fields(compact.String()), "")
	for _, want := range []string{
		`{"version":0.0,"dataset":{"item_count":5},"features":[{"name":"minute","inferred_type":"Integral","numerical_statistics":{"common":{"num_present":4,"num_missing":1},"mean":4.0,"sum":16.0,`,
		`"min":1.0,"max":11.0,"distribution":{"kll":{"buckets":[{"lower_bound":1.0,"upper_bound":2.0,"count":1.0},{"lower_bound":2.0,"upper_bound":3.0,"count":2.0}`,
		`{"lower_bound":10.0,"upper_bound":11.0,"count":1.0}],"sketch":{"parameters":{"c":0.64,"k":2048.0},"data":[[1.0,2.0,2.0,11.0]]}`,
		`"string_statistics":{"common":{"num_present":3,"num_missing":1},"distinct_count":2.0,"distribution":{"categorical":{"buckets":[{"value":"ORD","count":2},{"value":"ATL","count":1}]}}}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("statistics lack\n%s\nin\n%s", want, got)
		}
	}
	var back drift.Statistics
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, err := drift.Marshal(back)
	if err != nil || string(again) != string(raw) {
		t.Errorf("reading and writing again changed the file (%v)", err)
	}
	if sd := back.Features[0].Numerical.StdDev; math.Abs(float64(sd)-4.06201920231798) > 1e-12 {
		t.Errorf("standard deviation %v", sd)
	}
}

func TestSuggest(t *testing.T) {
	low, text, many := drift.NewNumericProfile(), drift.NewTextProfile(), drift.NewTextProfile()
	for i := range 200 {
		low.Add(float64(i) - 1)
		text.Add([]string{"b", "a"}[i%2])
		many.Add(fmt.Sprint(i))
	}
	low.Add(math.NaN())
	c := drift.Suggest(drift.Statistics{Features: []drift.FeatureStatistics{low.Statistics("low"), text.Statistics("text"), many.Statistics("many"), drift.NewNumericProfile().Statistics("none")}})
	raw, err := drift.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(string(raw)), "")
	for _, want := range []string{
		`{"name":"low","inferred_type":"Integral","completeness":0.9950248756218906,"num_constraints":{"is_non_negative":false}}`,
		`{"name":"text","inferred_type":"String","completeness":1.0,"string_constraints":{"domains":["a","b"]}}`,
		`{"name":"many","inferred_type":"String","completeness":1.0}`,
		`{"name":"none","inferred_type":"Unknown","completeness":1.0,"num_constraints":{"is_non_negative":false}}`,
		`"distribution_constraints":{"perform_comparison":"Enabled","comparison_threshold":0.1,"comparison_method":"Robust","categorical_comparison_threshold":0.1,"categorical_drift_method":"LInfinity"}`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("constraints lack\n%s\nin\n%s", want, got)
		}
	}
}

func TestDistinct(t *testing.T) {
	for _, n := range []int{10, 9_999, 50_000, 400_000} {
		p := drift.NewTextProfile()
		for range 2 {
			for i := range n {
				p.Add(fmt.Sprintf("F%07d", i))
			}
		}
		if got := p.Distinct(); math.Abs(got-float64(n)) > 0.06*float64(n) || n <= drift.MaxDistinct && got != float64(n) {
			t.Errorf("%v distinct texts, want about %d", got, n)
		}
		if exact := p.Counts() != nil; exact != (n <= drift.MaxDistinct) {
			t.Errorf("counts of %d texts: %v", n, exact)
		}
	}
}

func FuzzStatistics(f *testing.F) {
	f.Add(`{"version":0.0,"features":[{"name":"x","numerical_statistics":{"distribution":{"kll":{"sketch":{"data":[[1.0],[2.0]]}}}}}]}`)
	f.Fuzz(func(t *testing.T, in string) {
		var s drift.Statistics
		if json.Unmarshal([]byte(in), &s) != nil {
			return
		}
		if _, err := drift.Marshal(drift.Suggest(s)); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMerge: profiles of parts, sent from one machine to another, make that of
// the whole, as far as it does not depend on where the parts are cut.
func TestMerge(t *testing.T) {
	for name, n := range map[string]int{"few": 500, "many": 40_000} {
		t.Run(name, func(t *testing.T) {
			whole, all := drift.NewNumericProfile(), drift.NewNumericProfile()
			wholeText, allText := drift.NewTextProfile(), drift.NewTextProfile()
			var memory []byte // of the texts, used again for each
			for from := 0; from < n; from += n / 4 {
				part, partText := drift.NewNumericProfile(), drift.NewTextProfile()
				for i := from; i < from+n/4; i++ {
					x := float64(i*7919%10007) / 8
					if i%50 == 0 {
						x = math.NaN()
					}
					memory = fmt.Appendf(memory[:0], "v%d", i*31%(n/2))
					text := unsafe.String(&memory[0], len(memory))
					whole.Add(x)
					part.Add(x)
					wholeText.Add(text)
					partText.Add(text)
				}
				merge(t, all, part)
				merge(t, allText, partText)
			}
			a, b := whole.Statistics("x"), all.Statistics("x")
			na, nb := a.Numerical, b.Numerical
			if na.Common != nb.Common || na.Min != nb.Min || na.Max != nb.Max || math.Abs(float64(na.Mean-nb.Mean)) > 1e-9 || math.Abs(float64(na.StdDev-nb.StdDev)) > 1e-9 || math.Abs(float64(na.Sum-nb.Sum)) > 1e-3 {
				t.Errorf("merged is %+v, want %+v", nb, na)
			}
			if d := drift.NumericDistance(whole.Sketch.Ranks(), all.Sketch.Ranks()); d > 0.003 || all.Sketch.Count() != whole.Sketch.Count() || all.Sketch.Ranks().Total() != whole.Sketch.Ranks().Total() {
				t.Errorf("merged sketches are %v apart", d)
			}
			one, err := drift.Marshal(wholeText.Statistics("x"))
			if err != nil {
				t.Fatal(err)
			}
			if two, err := drift.Marshal(allText.Statistics("x")); err != nil || !bytes.Equal(one, two) {
				t.Errorf("merged is %.200s, want %.200s: %v", two, one, err)
			}
		})
	}
}

// merge sends a profile over a wire and merges it into another.
func merge[T interface{ Merge(T) }](t *testing.T, into, part T) {
	t.Helper()
	var wire bytes.Buffer
	if err := gob.NewEncoder(&wire).Encode(part); err != nil {
		t.Fatal(err)
	}
	var got T
	if err := gob.NewDecoder(&wire).Decode(&got); err != nil {
		t.Fatal(err)
	}
	into.Merge(got)
}

func describe(t *testing.T, numbers []float64, texts []string) drift.Statistics {
	t.Helper()
	n, s := drift.NewNumericProfile(), drift.NewTextProfile()
	for _, x := range numbers {
		n.Add(x)
	}
	for _, x := range texts {
		s.Add(x)
	}
	raw, err := drift.Marshal(drift.Statistics{Features: []drift.FeatureStatistics{n.Statistics("n"), s.Statistics("s")}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := drift.Read(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The probabilities are those of SciPy 1.14.1: kstwobign.sf of the corrected
// distance, and chi2_contingency(correction=False).
func TestCompare(t *testing.T) {
	draw := func(seed uint64, n int, shift float64, share float64) drift.Statistics {
		rng := rand.New(rand.NewPCG(seed, 1))
		var numbers []float64
		var texts []string
		for range n {
			numbers = append(numbers, rng.NormFloat64()+shift)
			if rng.Float64() < share {
				texts = append(texts, "a")
			} else {
				texts = append(texts, "bcdefghijklmnopqrstuvwxyz"[rng.IntN(25):][:1])
			}
		}
		return describe(t, numbers, texts)
	}
	last := draw(1, 20_000, 0, 0.5)
	tests := map[string]struct {
		now    drift.Statistics
		drifts bool
	}{
		"itself":        {last, false},
		"the same":      {draw(2, 5_000, 0, 0.5), false},
		"few":           {draw(3, 40, 0, 0.5), false},
		"a large shift": {draw(4, 5_000, 0.5, 0.7), true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := drift.Compare(last, tt.now)
			if len(got) != 2 || got[0].Kind != "numeric" || got[1].Kind != "text" {
				t.Fatalf("comparisons are %+v", got)
			}
			for _, c := range got {
				sumLast, sumNow := 0.0, 0.0
				for _, b := range c.Bins {
					sumLast, sumNow = sumLast+b.Last, sumNow+b.Now
				}
				if math.Abs(sumLast-1) > 1e-9 || math.Abs(sumNow-1) > 1e-9 || c.PSI < 0 {
					t.Errorf("%s: shares sum to %v and %v, PSI is %v", c.Name, sumLast, sumNow, c.PSI)
				}
				if drifts := c.P < 0.001 && c.Distance > 0.1; drifts != tt.drifts || tt.drifts != (c.PSI > 0.1 && c.Now.Present > 1000) {
					t.Errorf("%s drifts: %v; distance %v, p %v, PSI %v", c.Name, drifts, c.Distance, c.P, c.PSI)
				}
			}
		})
	}
	if p := drift.KolmogorovP(0.1, 200, 300); math.Abs(p-0.1712208163870983) > 1e-9 {
		t.Errorf("p of 0.1 with 200 and 300 is %v", p)
	}
	counts := func(n ...int64) (out []drift.TextBucket) {
		for i, x := range n {
			out = append(out, drift.TextBucket{Value: string(rune('a' + i)), Count: x})
		}
		return out
	}
	if p := drift.ChiSquaredP(counts(90, 60, 104, 95), counts(30, 50, 51, 20)); math.Abs(p-3.721555949741595e-05) > 1e-13 {
		t.Errorf("p of counts is %v", p)
	}
	if p := drift.ChiSquaredP(counts(3), counts(2)); p != 1 {
		t.Errorf("p of one text is %v", p)
	}
}
