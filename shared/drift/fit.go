package drift

import (
	"cmp"
	"math"
	"slices"

	"gonum.org/v1/gonum/mathext"
)

// Few expected values make the chi-squared distribution a bad approximation:
// Yates asks for 10 of each of two categories, Cochran for 5 of all but a fifth.
const (
	leastOfTwo  = 10
	leastOfMany = 5
	fewShare    = 0.2
)

// ChiSquaredFit is Deequ's categorical drift method "ChiSquared": the probability
// of counts at least so far from a baseline whose shares are taken as exact (a test
// of fit; ChiSquaredP takes both for samples). Texts that the baseline lacks are left
// out, and the rarest ones put together until enough are expected of each. NaN when
// fewer than two categories are left: nothing can be told.
func ChiSquaredFit(sample, baseline []TextBucket) float64 {
	type category struct {
		name         string
		seen, wanted float64
	}
	seen := map[string]float64{}
	for _, b := range sample {
		seen[b.Value] += float64(b.Count)
	}
	var all []category
	total, known := 0.0, 0.0
	for _, b := range baseline {
		all = append(all, category{b.Value, seen[b.Value], float64(b.Count)})
		total, known = total+float64(b.Count), known+seen[b.Value]
	}
	if total == 0 || known == 0 {
		return math.NaN()
	}
	for i := range all {
		all[i].wanted *= known / total
	}
	rarest := func(a, b category) int { return cmp.Or(cmp.Compare(a.wanted, b.wanted), cmp.Compare(a.name, b.name)) }
	slices.SortFunc(all, rarest)
	for len(all) >= 2 {
		least, allowed, few := float64(leastOfMany), int(fewShare*float64(len(all))), 0
		if len(all) == 2 {
			least, allowed = leastOfTwo, 0
		}
		for _, c := range all {
			if c.wanted < least {
				few++
			}
		}
		if few <= allowed {
			break
		}
		all[1].seen, all[1].wanted = all[1].seen+all[0].seen, all[1].wanted+all[0].wanted
		all = all[1:]
		slices.SortFunc(all, rarest)
	}
	if len(all) < 2 {
		return math.NaN()
	}
	x := 0.0
	for _, c := range all {
		x += float64((c.seen - c.wanted) * (c.seen - c.wanted) / c.wanted)
	}
	return mathext.GammaIncRegComp(float64(len(all)-1)/2, x/2)
}
