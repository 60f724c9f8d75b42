package gbdt

import "math"

// minGain is XGBoost's least gain of any split.
const minGain = 1e-6

// split is the best way found to part a node.
type split struct {
	gain        float64
	feature     int // -1: none
	bin         int // value bins up to this one go left
	defaultLeft bool
	left        cell // sums of the left child
}

// better tells whether s beats t: by gain, then by the lower feature number.
func (s split) better(t split) bool {
	if s.feature < 0 || t.feature < 0 {
		return s.feature >= 0
	}
	return s.gain > t.gain || s.gain == t.gain && s.feature < t.feature
}

// splitter weighs splits under one round's fixed-point units.
type splitter struct {
	lambda, gamma, minChild float64
	gUnit, hUnit            float64 // powers of two: the value of 1 in a cell
}

// score is the loss reduction of a leaf, G^2/(H+lambda), as XGBoost without the 1/2.
func (s *splitter) score(c cell) float64 {
	h := float64(float64(c.h)*s.hUnit) + s.lambda
	if !(h > 0) {
		return 0
	}
	g := float64(c.g) * s.gUnit
	return float64(g*g) / h
}

// weight is the best value of a leaf before shrinkage.
func (s *splitter) weight(c cell) float64 {
	hess := float64(float64(c.h) * s.hUnit)
	if c.h <= 0 || hess < s.minChild || !(hess+s.lambda > 0) {
		return 0
	}
	return -float64(float64(c.g)*s.gUnit) / (hess + s.lambda)
}

// minChildUnits is the least hessian sum of a child, in units, and above 0.
func (s *splitter) minChildUnits() int64 {
	units := math.Ceil(s.minChild / s.hUnit)
	if units >= math.MaxInt64/2 {
		return math.MaxInt64 / 2
	}
	return max(int64(units), 1)
}

// best finds the best split of a node with sums total on one feature, given its cells.
func (s *splitter) best(f *featureBins, number int, cells []cell, total cell) split {
	out := split{feature: -1}
	least := s.minChildUnits()
	if total.h < 2*least {
		return out
	}
	floor := s.score(total) + max(s.gamma, minGain)
	bestScore := floor
	values := f.values()
	var missing cell
	if f.missing {
		missing = cells[values]
	}
	try := func(left cell, bin int, defaultLeft bool) {
		right := cell{total.g - left.g, total.h - left.h}
		if left.h < least || right.h < least {
			return
		}
		if score := s.score(left) + s.score(right); score > bestScore {
			bestScore = score
			out = split{feature: number, bin: bin, defaultLeft: defaultLeft, left: left}
		}
	}
	last := values - 1 // parting values needs a value on both sides,
	if missing != (cell{}) {
		last = values // but all values may part from the missing ones
	}
	var sum cell
	for b, c := range cells[:last] {
		if c == (cell{}) {
			continue
		}
		sum.g += c.g
		sum.h += c.h
		try(sum, b, false)
	}
	if missing != (cell{}) {
		sum = missing
		for b, c := range cells[:values-1] {
			if c == (cell{}) {
				continue
			}
			sum.g += c.g
			sum.h += c.h
			try(sum, b, true)
		}
	}
	if out.feature >= 0 {
		out.gain = bestScore - s.score(total)
		if missing == (cell{}) {
			// No missing value was seen here: one that comes later goes with the many.
			out.defaultLeft = out.left.h >= total.h-out.left.h
		}
	}
	return out
}

// threshold is the condition of a split after bin: values below it go left.
func (f *featureBins) threshold(bin int) float32 {
	if bin < len(f.cuts) {
		return f.cuts[bin]
	}
	return math.MaxFloat32
}

// sides tells for every bin of the feature's slot whether it goes left (1) or right
// (0). into has room for them all.
func (f *featureBins) sides(s split, into []uint8) {
	side := func(bin int) uint8 {
		if bin == f.values() {
			return oneIf(s.defaultLeft)
		}
		return oneIf(bin <= s.bin)
	}
	if f.bundle != nil {
		for i := range into { // other features' bins: this one is in its common bin
			into[i] = side(f.bundle.common)
		}
	}
	for b := range f.count() {
		slot := b
		if f.bundle != nil {
			slot = f.bundle.toSlot(b)
		}
		into[slot] = side(b)
	}
}

func oneIf(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
