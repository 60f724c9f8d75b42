package drift

import (
	"math"
	"slices"
)

// RobustFactor is Deequ's factor of the correction for small samples; it
// belongs to a significance of 0.003.
const RobustFactor = 1.8

// NumericDistance is the largest difference of two cumulative distributions
// (Kolmogorov and Smirnov's); Deequ's "Simple".
func NumericDistance(a, b *Ranks) float64 {
	n, m, most := a.Total(), b.Total(), 0.0
	if n == 0 || m == 0 {
		return 0
	}
	for _, values := range [...][]float64{a.values, b.values} {
		for _, v := range values {
			most = max(most, math.Abs(a.Rank(v, true)/n-b.Rank(v, true)/m))
		}
	}
	return most
}

// TextDistance is the largest difference of a value's shares; Deequ's "Simple".
func TextDistance(a, b []TextBucket) float64 {
	shareA, shareB, most := shares(a), shares(b), 0.0
	for value, s := range shareA {
		most = max(most, math.Abs(s-shareB[value]))
	}
	for value, s := range shareB {
		most = max(most, math.Abs(s-shareA[value]))
	}
	return most
}

// Robust takes from a simple distance between n and m values what chance alone
// may explain; factor is RobustFactor, or RobustFactorOf a significance.
func Robust(simple, n, m, factor float64) float64 {
	if n == 0 || m == 0 {
		return 0
	}
	return max(0, simple-factor*math.Sqrt((n+m)/(n*m)))
}

// RobustFactorOf is the factor for a significance alpha.
func RobustFactorOf(alpha float64) float64 { return math.Sqrt(-math.Log(alpha/2) / 2) }

func shares(counts []TextBucket) map[string]float64 {
	var total int64
	for _, c := range counts {
		total += c.Count
	}
	out := make(map[string]float64, len(counts))
	for _, c := range counts {
		out[c.Value] = float64(c.Count) / float64(total)
	}
	return out
}

func completeness(c Common) Float {
	if total := c.NumPresent + c.NumMissing; total > 0 {
		return Float(float64(c.NumPresent) / float64(total))
	}
	return 1
}

func domain(counts []TextBucket) []string {
	out := make([]string, len(counts))
	for i, c := range counts {
		out[i] = c.Value
	}
	slices.Sort(out)
	return out
}
