package gbdt

import "github.com/millrace-ml/millrace/worker/exact"

// leastHessian is XGBoost's, of one row and class before its weight.
const leastHessian = 1e-16

// softmaxLoss is multi:softprob, with XGBoost's hessian: twice the true diagonal.
type softmaxLoss struct {
	t            *trainer
	classes      int
	gUnit, hUnit float64
}

func newSoftmaxLoss(t *trainer) *softmaxLoss {
	bound := maxWeight(t.weight)
	return &softmaxLoss{t: t, classes: t.params.NumClass, gUnit: unitFor(bound), hUnit: unitFor(bound / 2)}
}

func (l *softmaxLoss) prepare() {}

func (l *softmaxLoss) units() (float64, float64) { return l.gUnit, l.hUnit }

// exponents fills e with e**(margin - the largest) by class of one row, and returns
// their sum and the row's loss.
func exponents(margin []float32, row, rows int, label float32, e []float64) (sum, loss float64) {
	most := margin[row]
	for k := range e {
		most = max(most, margin[k*rows+row])
	}
	for k := range e {
		e[k] = exact.Exp(float64(margin[k*rows+row]) - float64(most))
		sum += e[k]
	}
	return sum, exact.Log(sum) + (float64(most) - float64(margin[int(label)*rows+row]))
}

func (l *softmaxLoss) gradients(begin, end int) lossSum {
	rows, grad := l.t.x.Rows, l.t.grad
	perG, perH := 1/l.gUnit, 1/l.hUnit
	e := make([]float64, l.classes)
	var out lossSum
	for r := begin; r < end; r++ {
		sum, loss := exponents(l.t.margin, r, rows, l.t.label[r], e)
		w := 1.0
		if l.t.weight != nil {
			w = float64(l.t.weight[r])
		}
		out.loss += float64(w * loss)
		out.weight += w
		own := int(l.t.label[r])
		for k, v := range e {
			p := v / sum
			g := p
			if k == own {
				g = p - 1
			}
			h := max(float64(2*p*(1-p)), leastHessian)
			grad[k*rows+r] = gradient{fixedPoint(float64(g*w), perG), fixedPoint(float64(h*w), perH)}
		}
	}
	return out
}

func (l *softmaxLoss) value(v *validation, begin, end int) lossSum {
	e := make([]float64, l.classes)
	var out lossSum
	for r := begin; r < end; r++ {
		_, loss := exponents(v.margin, r, v.X.Rows, v.Label[r], e)
		w := v.weight(r)
		out.loss += float64(w * loss)
		out.weight += w
	}
	return out
}

func (l *softmaxLoss) metric(sums []lossSum) float64 {
	total := addLoss(sums)
	return total.loss / total.weight
}
