package metrics

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Large errors are rare, and a sample that lacks them looks good and sure at once:
// around a skewed number Student's t reaches too far on one side and not far enough
// on the other. So an interval is stretched towards the long tail, by the skewness
// of what the blocks say. It is never shortened: that would bet on the skewness.
const (
	// caution is how much more skewed a number is taken to be than its blocks show,
	// since the very samples that mislead show least; by the planted cases of
	// docs/decisions/0007.
	caution = 2.5
	// mostBend bounds the stretching, where one block of few decides everything: so many
	// times the inverse of t at 95 % make an interval at most e - 1 = 1.7 times as long.
	mostBend = 1
	// leftOut is how many groups of blocks are left out, one at a time, to see the
	// skewness. Up to so many blocks, each is a group.
	leftOut = 200
)

// uncertain is a number and how far chance may move it.
type uncertain struct {
	point float64
	se    float64 // standard error; NaN when it cannot be told
	skew  float64 // of the point, as far as it counts
	t     distuv.StudentsT
}

// uncertain is what the replicates, and the sample without each group of blocks,
// tell of a number. skew is its skewness, by the latter.
func (b *Bootstrapped) uncertain(of func(r [][]float64) float64) uncertain {
	u := uncertain{point: of(b.points), t: distuv.StudentsT{Sigma: 1, Nu: b.effective - 1}}
	if u.se = b.standardError(u.point, b.collect(of)); u.se != u.se {
		return u
	}
	u.skew = b.skewness(u.point, of)
	return u
}

// bend is that of an interval's end towards the longer tail. Of the family of reaches
// (exp(bend t) - 1) / bend, that with bend = skewness / 1.5 agrees with Johnson's
// corrected t (1978) to the second order of t. The logarithm is one of them, too.
func (u uncertain) bend() float64 {
	return min(mostBend/u.t.Quantile(0.975), caution*math.Abs(u.skew)/1.5)
}

// skewness of the estimate: that of its influences, which are the differences that
// leaving out one group makes, corrected for the number of blocks as that of a sample is.
func (b *Bootstrapped) skewness(point float64, of func(r [][]float64) float64) float64 {
	squares, cubes := 0.0, 0.0
	for i, without := range b.without {
		e := (point - of(without)) * b.left[i]
		if e != e { // only this group has one of the classes
			continue
		}
		squares, cubes = squares+e*e, cubes+e*e*e
	}
	n := b.effective
	if squares == 0 || n <= 2 {
		return 0
	}
	return cubes / math.Pow(squares, 1.5) * math.Sqrt(n*(n-1)) / max(1, n-2)
}

// leaveOut sets the weights of one group of blocks to 0, those of others to 1.
func leaveOut(weights []float64, group, groups int) {
	for b := range weights {
		weights[b] = 1
		if b%groups == group {
			weights[b] = 0
		}
	}
}

// stretch is t standard errors, bent.
func stretch(t, bend float64) float64 {
	if bend*t < 1e-9 {
		return t
	}
	return math.Expm1(bend*t) / bend
}

// interval reaches from the point as far as Student's t says for that many blocks
// (the replicates' own quantiles are too narrow when there are few), and towards a
// long tail further. The point's range is from least to most.
func (u uncertain) interval(confidence, least, most float64) Interval {
	out := Interval{Value: u.point, Low: math.NaN(), High: math.NaN()}
	if u.se != u.se {
		return out
	}
	t := u.t.Quantile((1 + confidence) / 2)
	out.Low, out.High = u.point-t*u.se, u.point+t*u.se
	out = out.within(least, most)
	switch reach := stretch(t, u.bend()) * u.se; {
	case u.skew > 0:
		out.High = min(most, max(out.High, u.point+reach))
	case u.skew < 0:
		out.Low = max(least, min(out.Low, u.point-reach))
	}
	return out
}

// below is the chance of a point as low as this, or lower, if the truth is 0. It
// belongs to intervals that do not reach further up.
func (u uncertain) below() float64 {
	switch {
	case u.se != u.se:
		return math.NaN()
	case u.se > 0:
		return u.t.CDF(u.point / u.se)
	case u.point < 0:
		return 0
	}
	return 1
}
