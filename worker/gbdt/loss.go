package gbdt

import (
	"math"

	"github.com/millrace-ml/millrace/worker/exact"
)

const (
	// lossBlock is the number of rows whose loss is summed before it is added to
	// the others': a fixed order of float sums, for any number of threads.
	lossBlock = 4096
	// gradientBits is the size of the largest gradient in fixed point.
	gradientBits = 30
)

// lossSum is a part of a metric: a weighted sum of losses, and of weights.
type lossSum struct{ loss, weight float64 }

func addLoss(sums []lossSum) lossSum {
	var total lossSum
	for _, s := range sums {
		total.loss += s.loss
		total.weight += s.weight
	}
	return total
}

// loss is what an objective has of its own.
type loss interface {
	// prepare looks at the margins before a round and fixes the units.
	prepare()
	// units are the values of 1 in a gradient's g and h.
	units() (g, h float64)
	// gradients fills the gradients of rows begin to end and sums their losses.
	gradients(begin, end int) lossSum
	// value sums the losses of scored rows begin to end.
	value(v *validation, begin, end int) lossSum
	// metric makes the metric of the objective of sums.
	metric(sums []lossSum) float64
}

// unitFor is the power of two in which values up to bound fit gradientBits.
func unitFor(bound float64) float64 {
	if !(bound > 0) {
		return 1
	}
	_, e := math.Frexp(bound) // bound < 2^e
	return math.Ldexp(1, e-gradientBits)
}

// fixedPoint rounds to the nearest integer, half to even.
func fixedPoint(v, perUnit float64) int32 {
	return int32(uint32(math.Float64bits(float64(v*perUnit) + exact.RoundMagic)))
}

// logisticLoss is binary:logistic.
type logisticLoss struct {
	t            *trainer
	positive     float64 // scale_pos_weight
	gUnit, hUnit float64
}

func newLogisticLoss(t *trainer) *logisticLoss {
	bound := maxWeight(t.weight) * max(1, t.params.ScalePosWeight)
	return &logisticLoss{t: t, positive: t.params.ScalePosWeight, gUnit: unitFor(bound), hUnit: unitFor(bound / 4)}
}

func maxWeight(weight []float32) float64 {
	if weight == nil {
		return 1
	}
	most := 0.0
	for _, w := range weight {
		most = max(most, float64(w))
	}
	return most
}

func (l *logisticLoss) prepare() {}

func (l *logisticLoss) units() (float64, float64) { return l.gUnit, l.hUnit }

// softSum sums log(1+e) for many e in [0, 1] with few logarithms: 512 factors of
// at most 2 cannot overflow a double.
type softSum struct {
	sum, product float64
	n            int
}

func (s *softSum) add(e float64) {
	s.product = float64(s.product * (1 + e))
	if s.n++; s.n == 512 {
		s.sum += exact.Log(s.product)
		s.product, s.n = 1, 0
	}
}

func (s *softSum) total() float64 { return s.sum + exact.Log(s.product) }

func (l *logisticLoss) gradients(begin, end int) lossSum {
	margin, label, grad := l.t.margin[begin:end], l.t.label[begin:end], l.t.grad[begin:end]
	label, grad = label[:len(margin)], grad[:len(margin)]
	perG, perH := 1/l.gUnit, 1/l.hUnit
	soft := softSum{product: 1}
	var out lossSum
	for i, m := range margin {
		// e is never above 1, and serves both the probability and the loss.
		e := exact.Exp(-math.Abs(float64(m)))
		p := 1 / (1 + e)
		if m < 0 {
			p = float64(e * p)
		}
		g, h := p, float64(p*(1-p))
		wrong := max(float64(m), 0)
		w := 1.0
		if label[i] != 0 {
			g = p - 1
			wrong = max(-float64(m), 0)
			w = l.positive
		}
		if l.t.weight == nil {
			soft.add(e)
			out.loss += wrong
			out.weight++
		} else {
			given := float64(l.t.weight[begin+i])
			out.loss += float64(given * (wrong + exact.Log(1+e)))
			out.weight += given
			w = float64(w * given)
		}
		grad[i] = gradient{fixedPoint(float64(g*w), perG), fixedPoint(float64(h*w), perH)}
	}
	out.loss += soft.total()
	return out
}

func (l *logisticLoss) value(v *validation, begin, end int) lossSum {
	margin, label := v.margin[begin:end], v.Label[begin:end]
	soft := softSum{product: 1}
	var out lossSum
	for i, m := range margin {
		e := exact.Exp(-math.Abs(float64(m)))
		if label[i] != 0 {
			m = -m
		}
		wrong := max(float64(m), 0)
		if v.Weight == nil {
			soft.add(e)
			out.loss += wrong
			out.weight++
			continue
		}
		w := float64(v.Weight[begin+i])
		out.loss += float64(w * (wrong + exact.Log(1+e)))
		out.weight += w
	}
	out.loss += soft.total()
	return out
}

func (l *logisticLoss) metric(sums []lossSum) float64 {
	total := addLoss(sums)
	return total.loss / total.weight
}

// squaredLoss is reg:squarederror.
type squaredLoss struct {
	t            *trainer
	gUnit, hUnit float64
}

func newSquaredLoss(t *trainer) *squaredLoss {
	return &squaredLoss{t: t, hUnit: unitFor(maxWeight(t.weight))}
}

func (l *squaredLoss) units() (float64, float64) { return l.gUnit, l.hUnit }

// weighted is a row's gradient.
func (l *squaredLoss) weighted(r int) float64 {
	g := float64(l.t.margin[r]) - float64(l.t.label[r])
	if l.t.weight != nil {
		g = float64(g * float64(l.t.weight[r]))
	}
	return g
}

func (l *squaredLoss) prepare() {
	most := make([]float64, blocks(l.t.x.Rows, lossBlock))
	l.t.crew.each(len(most), func(b int) {
		for r := b * lossBlock; r < min((b+1)*lossBlock, l.t.x.Rows); r++ {
			most[b] = max(most[b], math.Abs(l.weighted(r)))
		}
	})
	bound := 0.0
	for _, m := range most {
		bound = max(bound, m)
	}
	l.gUnit = unitFor(bound)
}

func (l *squaredLoss) gradients(begin, end int) lossSum {
	perG, perH := 1/l.gUnit, 1/l.hUnit
	var out lossSum
	for r := begin; r < end; r++ {
		g, h := l.weighted(r), 1.0
		if l.t.weight != nil {
			h = float64(l.t.weight[r])
		}
		out.loss += float64(g * (float64(l.t.margin[r]) - float64(l.t.label[r])))
		out.weight += h
		l.t.grad[r] = gradient{fixedPoint(g, perG), fixedPoint(h, perH)}
	}
	return out
}

func (l *squaredLoss) value(v *validation, begin, end int) lossSum {
	var out lossSum
	for r := begin; r < end; r++ {
		d, w := float64(v.margin[r])-float64(v.Label[r]), v.weight(r)
		out.loss += float64(w * float64(d*d))
		out.weight += w
	}
	return out
}

func (l *squaredLoss) metric(sums []lossSum) float64 {
	total := addLoss(sums)
	return math.Sqrt(total.loss / total.weight)
}
