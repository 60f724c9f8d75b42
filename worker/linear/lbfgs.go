package linear

import (
	"context"
	"math"
)

const (
	// history is how many steps the curvature is learned from.
	history = 10
	// flat is the slope of the optimum.
	flat = 1e-7
	// still ends the search: a relative decrease below it in each of patience steps.
	still    = 1e-11
	patience = 10
)

// step is one that was taken: the way, and the change of the gradient over it.
type step struct {
	way, bend []float64
	inverse   float64 // 1 / (way . bend)
}

// minimize finds the minimum of a strictly convex function of n variables by L-BFGS
// (Nocedal and Wright, algorithm 7.5) with backtracking, from 0. at returns value and
// gradient, which it may overwrite later; its last call is for the result. All sums are in
// the order of the variables.
func minimize(ctx context.Context, at func(x []float64) (float64, []float64), n, iterations int) ([]float64, int, error) {
	x, next, gradient := make([]float64, n), make([]float64, n), make([]float64, n)
	value, g := at(x)
	copy(gradient, g)
	var past []step
	calm := 0
	for i := range iterations {
		if err := ctx.Err(); err != nil {
			return nil, i, err
		}
		if steepest(gradient) < flat || calm == patience {
			return x, i, nil
		}
		down := direction(past, gradient)
		slope := dot(down, gradient)
		size, found := 1.0, false
		if len(past) == 0 {
			size = min(1, 1/math.Sqrt(-slope))
		}
		var lower float64
		for !found && size > 1e-20 {
			for j := range next {
				next[j] = x[j] + float64(size*down[j])
			}
			lower, g = at(next)
			found = lower <= value+float64(1e-4*size*slope)
			if !found {
				size = shorter(size, value, slope, lower)
			}
		}
		if !found { // no lower point in float64
			at(x)
			return x, i, nil
		}
		past = remember(past, x, next, gradient, g)
		if value-lower <= still*math.Abs(value) {
			calm++
		} else {
			calm = 0
		}
		value = lower
		x, next = next, x
		copy(gradient, g)
	}
	return x, iterations, nil
}

// shorter is the minimum of the parabola through what is known, within bounds.
func shorter(size, value, slope, there float64) float64 {
	best := float64(-slope*size*size) / float64(2*(there-value-float64(slope*size)))
	if !(best > 0.1*size) {
		return 0.1 * size
	}
	return min(best, 0.5*size)
}

// remember appends a step, unless it says nothing of the curvature.
func remember(past []step, from, to, before, after []float64) []step {
	s := step{way: make([]float64, len(from)), bend: make([]float64, len(from))}
	for j := range from {
		s.way[j] = to[j] - from[j]
		s.bend[j] = after[j] - before[j]
	}
	curvature := dot(s.way, s.bend)
	if !(curvature > 1e-300) {
		return past
	}
	s.inverse = 1 / curvature
	if len(past) == history {
		past = past[1:]
	}
	return append(past, s)
}

// direction is minus the gradient times the inverse curvature, as far as it is known.
func direction(past []step, gradient []float64) []float64 {
	d := make([]float64, len(gradient))
	for j, g := range gradient {
		d[j] = -g
	}
	factors := make([]float64, len(past))
	for i := len(past) - 1; i >= 0; i-- {
		factors[i] = past[i].inverse * dot(past[i].way, d)
		addScaled(d, -factors[i], past[i].bend)
	}
	if n := len(past); n > 0 {
		scale := 1 / float64(past[n-1].inverse*dot(past[n-1].bend, past[n-1].bend))
		for j := range d {
			d[j] *= scale
		}
	}
	for i, s := range past {
		addScaled(d, factors[i]-float64(s.inverse*dot(s.bend, d)), s.way)
	}
	return d
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += float64(v * b[i])
	}
	return sum
}

func addScaled(to []float64, factor float64, v []float64) {
	for i := range to {
		to[i] += float64(factor * v[i])
	}
}

// steepest is the largest slope along one variable.
func steepest(gradient []float64) float64 {
	most := 0.0
	for _, g := range gradient {
		most = max(most, math.Abs(g))
	}
	return most
}
