// Package linear trains L2-penalised logistic and linear regression: the baseline
// that a boosted model has to beat. A number of many values is cut into bins of about as
// many rows each, and every bin has a weight, so that the model is a sum of steps and not
// only of straight lines; other inputs have a weight that is multiplied. A missing value
// has a weight of its own. All inputs are standardised before they are penalised.
//
// Training gives the same bytes on every run, for any number of threads and on every kind
// of CPU. That is why the optimiser is our own: gonum's sums are assembly on amd64, in
// another order than elsewhere.
package linear

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/millrace-ml/millrace/worker/exact"
	"github.com/millrace-ml/millrace/worker/gbdt"
)

// Params are the training parameters.
type Params struct {
	// L2 is the penalty: half of it times the squared standardised weights is added
	// to the sum of losses. Above 0.
	L2 float64
	// Iterations bounds the L-BFGS steps.
	Iterations int
	// Bins is how many bins a column of more than two values is cut into, 2 to 255; with 0
	// none is, and every column has one weight.
	Bins int
}

// DefaultParams is 32 bins and a penalty of 1, which matters little beyond a few hundred rows.
func DefaultParams() Params { return Params{L2: 1, Iterations: 500, Bins: 32} }

// TrainLogistic fits the probability that y is 1. y has a 0 or 1 for every row, both
// of them; weight is nil or has a number >= 0 for every row.
func TrainLogistic(ctx context.Context, x gbdt.Matrix, y, weight []float32, p Params) (*Model, error) {
	return train(ctx, gbdt.Logistic, x, y, weight, p)
}

// TrainLinear fits y itself, by least squares. y is finite.
func TrainLinear(ctx context.Context, x gbdt.Matrix, y, weight []float32, p Params) (*Model, error) {
	return train(ctx, gbdt.SquaredError, x, y, weight, p)
}

func train(ctx context.Context, objective string, x gbdt.Matrix, y, weight []float32, p Params) (*Model, error) {
	if err := check(objective, x, y, weight, p); err != nil {
		return nil, fmt.Errorf("check training data: %w", err)
	}
	d, err := newDesign(x, weight, p.Bins)
	if err != nil {
		return nil, fmt.Errorf("check training data: %w", err)
	}
	f := newFit(d, objective, y, weight, p.L2)
	w, steps, err := minimize(ctx, f.at, d.weights+1, p.Iterations)
	if err != nil {
		return nil, fmt.Errorf("fit %s: %w", objective, err)
	}
	// At the optimum a line search may find no better point than where it is; that is
	// the end, not an error. Far from it, it is one.
	if slope := steepest(f.grad); !(slope < 1e-3) {
		return nil, fmt.Errorf("fit %s: no optimum after %d iterations: slope %v", objective, steps, slope)
	}
	return f.model(x, w), nil
}

func check(objective string, x gbdt.Matrix, y, weight []float32, p Params) error {
	switch {
	case x.Rows < 1 || x.Cols < 1 || len(x.Data) != x.Rows*x.Cols:
		return fmt.Errorf("matrix of %d rows x %d columns holds %d values", x.Rows, x.Cols, len(x.Data))
	case len(x.Names) != 0 && len(x.Names) != x.Cols:
		return fmt.Errorf("matrix has %d columns and %d names", x.Cols, len(x.Names))
	case len(y) != x.Rows:
		return fmt.Errorf("%d labels for %d rows", len(y), x.Rows)
	case weight != nil && len(weight) != x.Rows:
		return fmt.Errorf("%d weights for %d rows", len(weight), x.Rows)
	case !(p.L2 > 0) || math.IsInf(p.L2, 0):
		return fmt.Errorf("penalty L2 is %v, must be above 0", p.L2)
	case p.Bins < 0 || p.Bins == 1 || p.Bins > maxBins:
		return fmt.Errorf("bins is %d, must be 0 or 2 to %d", p.Bins, maxBins)
	case p.Iterations < 1:
		return fmt.Errorf("iterations is %d, must be at least 1", p.Iterations)
	}
	var zeros, others bool
	for r, v := range y {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("label of row %d is %v, must be finite", r, v)
		}
		if objective == gbdt.Logistic && v != 0 && v != 1 {
			return fmt.Errorf("label of row %d is %v, must be 0 or 1", r, v)
		}
		w := weightOf(weight, r)
		if !(w >= 0) || math.IsInf(w, 0) {
			return fmt.Errorf("weight of row %d is %v, must be finite and at least 0", r, w)
		}
		if w > 0 {
			zeros = zeros || v == 0
			others = others || v != 0
		}
	}
	if !zeros && !others {
		return errors.New("all weights are 0")
	}
	if objective == gbdt.Logistic && !(zeros && others) {
		return errors.New("all labels are the same: two classes are needed")
	}
	return nil
}

// fit is the penalised mean loss as a function of the standardised weights, the
// intercept last. Linear labels are standardised too.
type fit struct {
	d             *design
	objective     string
	y             []float64
	weight        []float32
	total         float64 // of the weights
	l2            float64
	yMean, yScale float64

	grad   []float64
	scores []float64 // and then the slopes of the loss by row
}

func newFit(d *design, objective string, y, weight []float32, l2 float64) *fit {
	f := &fit{
		d: d, objective: objective, weight: weight, l2: l2, yScale: 1,
		y: make([]float64, d.rows), scores: make([]float64, d.rows), grad: make([]float64, d.weights+1),
	}
	for r, v := range y {
		f.y[r] = float64(v)
		f.total += weightOf(weight, r)
	}
	if objective == gbdt.Logistic {
		return f
	}
	var sum, squares float64
	for r, v := range f.y {
		sum += float64(weightOf(weight, r) * v)
	}
	f.yMean = sum / f.total
	for r, v := range f.y {
		f.y[r] = v - f.yMean
		squares += float64(weightOf(weight, r) * float64(f.y[r]*f.y[r]))
	}
	if s := math.Sqrt(squares / f.total); s > 0 {
		f.yScale = s
	}
	for r := range f.y {
		f.y[r] /= f.yScale
	}
	return f
}

// at computes the loss and the gradient, which is overwritten by the next call, at w.
func (f *fit) at(w []float64) (float64, []float64) {
	base, factors := w[len(w)-1], make([]float64, f.d.weights)
	for _, c := range f.d.columns {
		for j, s := range c.scales {
			if s.scale > 0 {
				factors[c.first+j] = w[c.first+j] / s.scale
				base -= float64(factors[c.first+j] * s.mean)
			}
		}
	}
	losses, slopes := make([]float64, f.d.blocks()), make([]float64, f.d.blocks())
	each(len(losses), func(b int) {
		first := b * rowBlock
		scores := f.scores[first:min(first+rowBlock, f.d.rows)]
		for i := range scores {
			scores[i] = base
		}
		for i := range f.d.columns {
			f.d.columns[i].addTo(scores, b, factors)
		}
		for i, s := range scores {
			loss, slope := f.rowLoss(s, f.y[first+i])
			weight := weightOf(f.weight, first+i)
			losses[b] += float64(weight * loss)
			scores[i] = float64(weight * slope)
			slopes[b] += scores[i]
		}
	})
	var loss, slope float64
	for b := range losses {
		loss += losses[b]
		slope += slopes[b]
	}
	loss /= f.total
	f.grad[len(w)-1] = slope / f.total
	each(len(f.d.columns), func(i int) {
		c := &f.d.columns[i]
		grad := f.grad[c.first : c.first+len(c.scales)]
		c.dots(f.scores, grad)
		for j, s := range c.scales {
			g := 0.0
			if s.scale > 0 {
				g = (grad[j] - float64(s.mean*slope)) / s.scale
			}
			grad[j] = (g + float64(f.l2*w[c.first+j])) / f.total
		}
	})
	for _, v := range w[:len(w)-1] {
		loss += float64(f.l2 * v * v / 2 / f.total)
	}
	return loss, f.grad
}

// rowLoss is the loss of a score, and its derivative.
func (f *fit) rowLoss(score, y float64) (loss, slope float64) {
	if f.objective == gbdt.SquaredError {
		d := score - y
		return float64(d*d) / 2, d
	}
	e := exact.Exp(-math.Abs(score))
	p := 1 / (1 + e)
	if score < 0 {
		p = e / (1 + e)
	}
	return max(score, 0) - float64(score*y) + exact.Log(1+e), p - y
}

// model turns standardised weights into weights of raw values.
func (f *fit) model(x gbdt.Matrix, w []float64) *Model {
	m := &Model{objective: f.objective, Features: make([]Feature, x.Cols)}
	intercept := float64(w[len(w)-1]*f.yScale) + f.yMean
	if f.objective == gbdt.Logistic {
		intercept = w[len(w)-1]
	}
	for i := range m.Features {
		m.Features[i].Name = fmt.Sprintf("f%d", i)
		if len(x.Names) > 0 {
			m.Features[i].Name = x.Names[i]
		}
	}
	for _, c := range f.d.columns {
		to := &m.Features[c.feature]
		raw := make([]float64, len(c.scales))
		for j, s := range c.scales {
			if s.scale > 0 {
				raw[j] = float64(w[c.first+j]*f.yScale) / s.scale
				intercept -= float64(raw[j] * s.mean)
			}
		}
		switch {
		case c.bins != nil:
			c.steps(raw, to)
		case c.indicator:
			to.Missing = raw[0]
		default:
			to.Weight, to.Scale = raw[0], c.scales[0].scale
		}
	}
	for i := range m.Features { // all that a missing value adds: its weight, and the mean's
		if to := &m.Features[i]; to.Cuts == nil {
			to.Missing += float64(to.Weight * float64(float32(f.d.means[i])))
		}
	}
	m.Intercept = intercept
	return m
}

// steps writes a binned column's weights into its feature. A value that was never missing
// in training counts, when it is, as the mean of all.
func (c *column) steps(raw []float64, to *Feature) {
	var mean, squares float64
	for j, v := range raw {
		mean += float64(v * c.scales[j].mean)
	}
	for j, v := range raw {
		squares += float64(float64((v-mean)*(v-mean)) * c.scales[j].mean)
	}
	n := len(c.cuts) + 1
	to.Cuts, to.Steps, to.Scale = c.cuts, raw[:n], math.Sqrt(squares)
	to.Missing = mean
	if len(raw) > n {
		to.Missing = raw[n]
	}
}
