// Package linear trains L2-penalised logistic and linear regression: the baseline
// that a boosted model has to beat. Inputs are standardised; a missing value counts as
// the mean, plus a weight of its own for being missing.
//
// Training gives the same bytes on every run and for any number of threads, on one
// kind of CPU. gonum's L-BFGS and math.Exp have assembly for some, so other kinds may
// differ; weights are rounded to float32, which nearly always hides it.
package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/optimize"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

// Params are the training parameters.
type Params struct {
	// L2 is the penalty: half of it times the squared standardised weights is added
	// to the sum of losses. Above 0.
	L2 float64
	// Iterations bounds the L-BFGS steps.
	Iterations int
}

// DefaultParams is a penalty of 1, which matters little beyond a few hundred rows.
func DefaultParams() Params { return Params{L2: 1, Iterations: 500} }

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
	d, err := newDesign(x, weight)
	if err != nil {
		return nil, fmt.Errorf("check training data: %w", err)
	}
	f := newFit(d, objective, y, weight, p.L2)
	result, err := optimize.Minimize(optimize.Problem{
		Func: func(w []float64) float64 { f.at(w); return f.loss },
		Grad: func(grad, w []float64) { f.at(w); copy(grad, f.grad) },
		Status: func() (optimize.Status, error) {
			if err := ctx.Err(); err != nil {
				return optimize.Failure, err
			}
			return optimize.NotTerminated, nil
		},
	}, make([]float64, len(d.columns)+1), &optimize.Settings{
		MajorIterations: p.Iterations, GradientThreshold: 1e-7,
		Converger: &optimize.FunctionConverge{Relative: 1e-11, Iterations: 10},
	}, &optimize.LBFGS{})
	if ctxErr := ctx.Err(); ctxErr != nil {
		return nil, fmt.Errorf("fit %s: %w", objective, ctxErr)
	}
	if result == nil {
		return nil, fmt.Errorf("fit %s: %w", objective, err)
	}
	// At the optimum a line search may find no better point than where it is; that is
	// the end, not an error. Far from it, it is one.
	f.at(result.X)
	steepest := 0.0
	for _, g := range f.grad {
		steepest = max(steepest, math.Abs(g))
	}
	if !(steepest < 1e-3) {
		return nil, fmt.Errorf("fit %s: no optimum after %d iterations: slope %v: %w", objective, result.MajorIterations, steepest,
			errors.Join(err, fmt.Errorf("stopped: %v", result.Status)))
	}
	return f.model(x, result.X), nil
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

	x      []float64 // where loss and grad are known
	loss   float64
	grad   []float64
	scores []float64 // and then the slopes of the loss by row
}

func newFit(d *design, objective string, y, weight []float32, l2 float64) *fit {
	f := &fit{
		d: d, objective: objective, weight: weight, l2: l2, yScale: 1,
		y: make([]float64, d.rows), scores: make([]float64, d.rows), grad: make([]float64, len(d.columns)+1),
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

// at computes loss and gradient at w.
func (f *fit) at(w []float64) {
	if f.x != nil && slices.Equal(f.x, w) {
		return
	}
	f.x = append(f.x[:0], w...)
	base := w[len(w)-1]
	for j, c := range f.d.columns {
		base -= float64(w[j] * c.mean / c.scale)
	}
	losses, slopes := make([]float64, f.d.blocks()), make([]float64, f.d.blocks())
	each(len(losses), func(b int) {
		first := b * rowBlock
		scores := f.scores[first:min(first+rowBlock, f.d.rows)]
		for i := range scores {
			scores[i] = base
		}
		for j := range f.d.columns {
			f.d.columns[j].addTo(scores, b, w[j]/f.d.columns[j].scale)
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
	f.loss = loss / f.total
	f.grad[len(w)-1] = slope / f.total
	each(len(f.d.columns), func(j int) {
		c := &f.d.columns[j]
		g := (c.dot(f.scores) - float64(c.mean*slope)) / c.scale
		f.grad[j] = (g + float64(f.l2*w[j])) / f.total
	})
	for _, v := range w[:len(w)-1] {
		f.loss += float64(f.l2 * v * v / 2 / f.total)
	}
}

// rowLoss is the loss of a score, and its derivative.
func (f *fit) rowLoss(score, y float64) (loss, slope float64) {
	if f.objective == gbdt.SquaredError {
		d := score - y
		return float64(d*d) / 2, d
	}
	e := math.Exp(-math.Abs(score))
	p := 1 / (1 + e)
	if score < 0 {
		p = e / (1 + e)
	}
	return max(score, 0) - float64(score*y) + math.Log1p(e), p - y
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
	for j, c := range f.d.columns {
		raw := short(float64(w[j]*f.yScale) / c.scale)
		intercept -= float64(raw * c.mean)
		if c.indicator {
			m.Features[c.feature].Missing = raw
		} else {
			m.Features[c.feature].Weight = raw
			m.Features[c.feature].Scale = c.scale
		}
	}
	for i := range m.Features { // all that a missing value adds: its weight, and the mean's
		m.Features[i].Missing = short(m.Features[i].Missing + float64(m.Features[i].Weight*float64(float32(f.d.means[i]))))
	}
	m.Intercept = short(intercept)
	return m
}

// short drops the digits in which CPU kinds differ, nearly always.
func short(v float64) float64 { return float64(float32(v)) }
