package drift

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"

	"gonum.org/v1/gonum/mathext"
)

// Comparison says how a column differs between two datasets.
type Comparison struct {
	Name     string  `json:"name"`
	Kind     string  `json:"kind"`     // numeric | text
	Distance float64 `json:"distance"` // Kolmogorov and Smirnov's; of texts the largest difference of shares
	P        float64 `json:"p"`        // of such a difference by chance: Kolmogorov and Smirnov's test, or chi-squared
	PSI      float64 `json:"psi"`      // population stability index over Bins
	Last     Side    `json:"last"`
	Now      Side    `json:"now"`
	Bins     []Bin   `json:"bins,omitempty"`
}

// Side is one dataset's part of a comparison.
type Side struct {
	Present int64   `json:"present"`
	Missing int64   `json:"missing"`
	Mean    float64 `json:"mean,omitempty"` // numeric
}

// Bin is shares of the values present: of numbers from Low to High, or of a text.
type Bin struct {
	Text string  `json:"text,omitempty"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	Last float64 `json:"last"`
	Now  float64 `json:"now"`
}

// Bins of a comparison: that many of numbers, with equal shares in the last
// dataset, and the most frequent texts.
const (
	numericBins = 10
	textBins    = 20
)

// Read reads statistics.json.
func Read(raw []byte) (Statistics, error) {
	var s Statistics
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&s); err != nil {
		return s, fmt.Errorf("read statistics: %w", err)
	}
	return s, nil
}

// Compare compares the columns that both datasets have, of the same kind and with
// values in both, in the order of now.
func Compare(last, now Statistics) []Comparison {
	before := map[string]FeatureStatistics{}
	for _, f := range last.Features {
		before[f.Name] = f
	}
	var out []Comparison
	for _, f := range now.Features {
		b, known := before[f.Name]
		switch {
		case !known:
		case f.Numerical != nil && b.Numerical != nil && min(f.Numerical.Common.NumPresent, b.Numerical.Common.NumPresent) > 0:
			out = append(out, compareNumbers(f.Name, b.Numerical, f.Numerical))
		case f.String != nil && b.String != nil && f.String.Distribution != nil && b.String.Distribution != nil && min(f.String.Common.NumPresent, b.String.Common.NumPresent) > 0:
			out = append(out, compareTexts(f.Name, b.String, f.String))
		}
	}
	return out
}

func ranksOf(k KLL) *Ranks {
	levels := make([][]float64, len(k.Sketch.Data))
	for i, items := range k.Sketch.Data {
		for _, v := range items {
			levels[i] = append(levels[i], float64(v))
		}
	}
	return RanksOf(levels)
}

func compareNumbers(name string, last, now *NumericStatistics) Comparison {
	a, b := ranksOf(last.Distribution.KLL), ranksOf(now.Distribution.KLL)
	c := Comparison{Name: name, Kind: "numeric", Distance: NumericDistance(a, b),
		Last: Side{last.Common.NumPresent, last.Common.NumMissing, float64(last.Mean)}, Now: Side{now.Common.NumPresent, now.Common.NumMissing, float64(now.Mean)}}
	c.P = KolmogorovP(c.Distance, float64(c.Last.Present), float64(c.Now.Present))
	edges := []float64{math.Min(float64(last.Min), float64(now.Min))}
	for i := 1; i < numericBins; i++ {
		if q := a.Quantile(float64(i) / numericBins); q > edges[len(edges)-1] {
			edges = append(edges, q)
		}
	}
	if most := math.Max(float64(last.Max), float64(now.Max)); most > edges[len(edges)-1] || len(edges) == 1 {
		edges = append(edges, most)
	}
	for i := range len(edges) - 1 { // a value on an edge is of the bin that ends there
		share := func(r *Ranks) float64 {
			from := 0.0
			if i > 0 {
				from = r.Rank(edges[i], true)
			}
			return (r.Rank(edges[i+1], true) - from) / r.Total()
		}
		c.Bins = append(c.Bins, Bin{Low: edges[i], High: edges[i+1], Last: share(a), Now: share(b)})
	}
	c.PSI = PSI(c.Bins, float64(c.Last.Present), float64(c.Now.Present))
	return c
}

func compareTexts(name string, last, now *StringStatistics) Comparison {
	a, b := last.Distribution.Categorical.Buckets, now.Distribution.Categorical.Buckets
	c := Comparison{Name: name, Kind: "text", Distance: TextDistance(a, b),
		Last: Side{Present: last.Common.NumPresent, Missing: last.Common.NumMissing}, Now: Side{Present: now.Common.NumPresent, Missing: now.Common.NumMissing}}
	c.P = ChiSquaredP(a, b)
	sharesA, sharesB := shares(a), shares(b)
	texts := map[string]float64{}
	for _, all := range []map[string]float64{sharesA, sharesB} {
		for text, s := range all {
			texts[text] = math.Max(texts[text], s)
		}
	}
	names := make([]string, 0, len(texts))
	for text := range texts {
		names = append(names, text)
	}
	sort.Slice(names, func(i, j int) bool {
		if texts[names[i]] != texts[names[j]] {
			return texts[names[i]] > texts[names[j]]
		}
		return names[i] < names[j]
	})
	rest := Bin{Text: "others", Last: 1, Now: 1}
	for _, text := range names[:min(len(names), textBins)] {
		bin := Bin{Text: text, Last: sharesA[text], Now: sharesB[text]}
		rest.Last, rest.Now = rest.Last-bin.Last, rest.Now-bin.Now
		c.Bins = append(c.Bins, bin)
	}
	if len(names) > textBins {
		rest.Last, rest.Now = math.Max(0, rest.Last), math.Max(0, rest.Now)
		c.Bins = append(c.Bins, rest)
	}
	c.PSI = PSI(c.Bins, float64(c.Last.Present), float64(c.Now.Present))
	return c
}

// PSI is the population stability index of shares of n and m values: the sum of
// (q - p) ln(q / p). Half a value is added to each bin, so that one that is empty on
// one side stays finite.
func PSI(bins []Bin, n, m float64) float64 {
	sum, k := 0.0, float64(len(bins))
	for _, b := range bins {
		p, q := (b.Last*n+0.5)/(n+k/2), (b.Now*m+0.5)/(m+k/2)
		sum += float64((q - p) * math.Log(q/p))
	}
	return short(math.Max(0, sum))
}

// short keeps ten digits: logarithms differ in their last bits between kinds of CPU.
func short(x float64) float64 {
	y, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 10, 64), 64)
	if err != nil {
		return x
	}
	return y
}

// KolmogorovP is the probability of a distance of at least d between two samples
// of n and m values from one distribution (Stephens, "Use of the
// Kolmogorov-Smirnov, Cramer-Von Mises and Related Statistics Without Extensive
// Tables", 1970; the series of Kolmogorov's distribution).
func KolmogorovP(d, n, m float64) float64 {
	effective := math.Sqrt(n * m / (n + m))
	l := (effective + 0.12 + 0.11/effective) * d
	if l < 0.2 {
		return 1
	}
	sum, sign := 0.0, 1.0
	for k := 1.0; k <= 100; k++ {
		term := math.Exp(-2 * k * k * l * l)
		sum += sign * term
		sign = -sign
		if term < 1e-16 {
			break
		}
	}
	return short(math.Min(1, math.Max(0, 2*sum)))
}

// ChiSquaredP is the probability of counts that differ at least so much when both
// are of one distribution (the test of homogeneity). Texts of which fewer than five
// are expected on a side count as one.
func ChiSquaredP(a, b []TextBucket) float64 {
	counts := map[string][2]float64{}
	var n [2]float64
	for side, buckets := range [][]TextBucket{a, b} {
		for _, bucket := range buckets {
			c := counts[bucket.Value]
			c[side] += float64(bucket.Count)
			counts[bucket.Value] = c
			n[side] += float64(bucket.Count)
		}
	}
	total := n[0] + n[1]
	var cells [][2]float64
	var rare [2]float64
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		c := counts[text]
		if (c[0]+c[1])*math.Min(n[0], n[1])/total < 5 {
			rare[0], rare[1] = rare[0]+c[0], rare[1]+c[1]
			continue
		}
		cells = append(cells, c)
	}
	if rare[0]+rare[1] > 0 {
		cells = append(cells, rare)
	}
	if len(cells) < 2 {
		return 1
	}
	x := 0.0
	for _, c := range cells {
		for side := range c {
			want := (c[0] + c[1]) * n[side] / total
			x += float64((c[side] - want) * (c[side] - want) / want)
		}
	}
	return short(mathext.GammaIncRegComp(float64(len(cells)-1)/2, x/2))
}
