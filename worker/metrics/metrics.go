// Package metrics judges scores against labels: the metrics, and by a seeded
// bootstrap how far chance alone may move them. Two models judged on the same
// sample are compared replicate by replicate, so what both find hard cancels out.
package metrics

import (
	"fmt"
	"math"
	"slices"
)

// Kind is what scores are, by the model's objective.
type Kind string

// Kinds of scores.
const (
	Binary     Kind = "binary"     // a probability of yes
	Regression Kind = "regression" // a value
	Multiclass Kind = "multiclass" // a probability of each class
)

// Metric is one number that judges scores.
type Metric struct {
	Name  string
	More  bool // is better
	Title string
	kinds []Kind
}

// Fits tells whether the metric judges scores of that kind.
func (m Metric) Fits(k Kind) bool { return slices.Contains(m.kinds, k) }

// All metrics, in the order of reports.
var All = []Metric{
	{"auc", true, "Area under ROC", []Kind{Binary}},
	{"pr_auc", true, "Average precision", []Kind{Binary}},
	{"ovr_auc", true, "Area under ROC, mean of each class against the rest", []Kind{Multiclass}},
	{"logloss", false, "Log loss", []Kind{Binary, Multiclass}},
	{"brier", false, "Brier score", []Kind{Binary}},
	{"calibration_error", false, "Calibration error", []Kind{Binary}},
	{"accuracy", true, "Accuracy", []Kind{Binary, Multiclass}},
	{"precision", true, "Precision", []Kind{Binary}},
	{"recall", true, "Recall", []Kind{Binary}},
	{"f1", true, "F1", []Kind{Binary}},
	{"macro_f1", true, "F1, mean of the classes", []Kind{Multiclass}},
	{"value", true, "Value per row", []Kind{Binary}},
	{"rmse", false, "Root mean squared error", []Kind{Regression}},
	{"mae", false, "Mean absolute error", []Kind{Regression}},
	{"r2", true, "R²", []Kind{Regression}},
}

// span is the range that the metric's values have.
func (m Metric) span() (least, most float64) {
	switch m.Name {
	case "value":
		return math.Inf(-1), math.Inf(1)
	case "r2":
		return math.Inf(-1), 1
	case "logloss", "rmse", "mae":
		return 0, math.Inf(1)
	}
	return 0, 1
}

// Of lists the metrics of a kind of scores.
func Of(k Kind) []Metric {
	var out []Metric
	for _, m := range All {
		if m.Fits(k) {
			out = append(out, m)
		}
	}
	return out
}

// Find is the metric of that name.
func Find(name string) (Metric, error) {
	for _, m := range All {
		if m.Name == name {
			return m, nil
		}
	}
	return Metric{}, fmt.Errorf("find metric: there is none called %q", name)
}

// Value is what each outcome of a decision is worth. The zero Value has no metric "value".
type Value struct{ TP, FP, TN, FN float64 }

// ValueOf reads a definition's value table; ok is false when it has none.
func ValueOf(table map[string]float64) (v Value, ok bool) {
	return Value{table["tp"], table["fp"], table["tn"], table["fn"]}, len(table) > 0
}

// Sample is the rows on which models are judged. Rows of one block stand or fall
// together in a bootstrap.
type Sample struct {
	Kind    Kind
	Classes int       // of Multiclass; else 0
	Label   []float32 // 0 or 1 of Binary; the class, from 0, of Multiclass
	Block   []int32   // of each row, from 0
	Blocks  int
}

// Width is how many scores a row has.
func (s *Sample) Width() int { return max(1, s.Classes) }

// Subset is the sample of some of its rows; only their blocks remain.
func (s *Sample) Subset(rows []int32) *Sample {
	out := &Sample{Kind: s.Kind, Classes: s.Classes, Label: make([]float32, len(rows)), Block: make([]int32, len(rows))}
	renamed := make(map[int32]int32)
	for i, row := range rows {
		block, ok := renamed[s.Block[row]]
		if !ok {
			block = int32(len(renamed))
			renamed[s.Block[row]] = block
		}
		out.Label[i], out.Block[i] = s.Label[row], block
	}
	out.Blocks = len(renamed)
	return out
}

// calibrationBins are of equal width over [0, 1]; each holds its upper edge, and
// the first 0 too.
const calibrationBins = 10

// binOf is the calibration bin of a probability.
func binOf(p float64) int {
	k := min(int(p*calibrationBins), calibrationBins-1)
	if k > 0 && p <= float64(k)/calibrationBins {
		k--
	}
	return k
}

// tiny keeps the log loss of a certain mistake finite: float64's epsilon, as scikit-learn has it.
const tiny = 1.0 / (1 << 52)

// Positions in a block's sums.
const (
	sumN = iota
	sumY
	sumLoss // log loss; absolute error of values
	sumSquare
	sumTP
	sumFP
	sumYY
	sumBins // n, labels and scores of each bin
	sums    = sumBins + 3*calibrationBins
)

// Judged is one model's scores on a sample, ready for any weighting of its blocks.
type Judged struct {
	sample   *Sample
	value    *Value
	perBlock []float64  // sums of each block
	ranked   []uint32   // by falling score: block<<2 | positive<<1 | last of equal scores
	centre   float64    // subtracted from labels, so that r2 does not lose digits
	only     string     // the one metric to compute; "": all
	pairs    []float64  // by block of the positive and block of the negative: pairs ranked rightly; nil: too many
	classes  [][]uint32 // of Multiclass: what ranked is, of each class against the rest
}

// Judge prepares scores (probabilities or values, Width of each row) of the
// sample's rows. From threshold on a probability means yes; value may be nil. Both
// are of Binary alone.
func Judge(s *Sample, scores []float32, threshold float64, value *Value) (*Judged, error) {
	if len(scores) != len(s.Label)*s.Width() || len(s.Block) != len(s.Label) {
		return nil, fmt.Errorf("judge scores: %d scores and %d blocks for %d labels", len(scores), len(s.Block), len(s.Label))
	}
	if len(scores) == 0 {
		return nil, fmt.Errorf("judge scores: there is no row")
	}
	if s.Blocks >= 1<<30 {
		return nil, fmt.Errorf("judge scores: %d blocks are too many", s.Blocks)
	}
	for i, score := range scores {
		if p := float64(score); p != p || math.IsInf(p, 0) || s.Kind != Regression && (p < 0 || p > 1) {
			return nil, fmt.Errorf("judge scores: the score of row %d is %v", i/s.Width(), score)
		}
	}
	for i, y := range s.Label {
		if v := float64(y); v != v || math.IsInf(v, 0) || s.Kind == Binary && y != 0 && y != 1 {
			return nil, fmt.Errorf("judge scores: the label of row %d is %v, which none of kind %s can be", i, y, s.Kind)
		}
	}
	j := &Judged{sample: s, value: value}
	switch s.Kind {
	case Binary:
		j.perBlock = make([]float64, s.Blocks*sums)
		for i, score := range scores {
			addBinary(j.perBlock[int(s.Block[i])*sums:][:sums], float64(score), float64(s.Label[i]), threshold)
		}
		j.ranked = j.rank(scores, 1)
	case Regression:
		j.judgeValues(scores)
	case Multiclass:
		return j, j.judgeClasses(scores)
	default:
		return nil, fmt.Errorf("judge scores: there is no kind %q", s.Kind)
	}
	return j, nil
}

func (j *Judged) judgeValues(scores []float32) {
	s := j.sample
	for _, y := range s.Label {
		j.centre += float64(y)
	}
	j.centre /= float64(len(s.Label))
	j.perBlock = make([]float64, s.Blocks*sums)
	for i, score := range scores {
		b := j.perBlock[int(s.Block[i])*sums:][:sums]
		y, e := float64(s.Label[i])-j.centre, float64(score)-float64(s.Label[i])
		b[sumN]++
		b[sumY] += y
		b[sumYY] += y * y
		b[sumLoss] += math.Abs(e)
		b[sumSquare] += e * e
	}
}

func addBinary(b []float64, p, y, threshold float64) {
	b[sumN]++
	b[sumY] += y
	q := min(max(p, tiny), 1-tiny)
	if y == 1 {
		b[sumLoss] -= math.Log(q)
	} else {
		b[sumLoss] -= math.Log1p(-q)
	}
	b[sumSquare] += (p - y) * (p - y)
	if p >= threshold {
		b[sumTP] += y
		b[sumFP] += 1 - y
	}
	bin := sumBins + 3*binOf(p)
	b[bin]++
	b[bin+1] += y
	b[bin+2] += p
}

// rank orders the rows by falling score; those whose label is positive count as such.
func (j *Judged) rank(scores []float32, positive float32) []uint32 {
	order := Falling(scores)
	ranked := make([]uint32, len(order))
	for i, row := range order {
		r := uint32(j.sample.Block[row]) << 2
		if j.sample.Label[row] == positive {
			r |= 2
		}
		if i+1 == len(order) || scores[order[i+1]] != scores[row] {
			r |= 1
		}
		ranked[i] = r
	}
	return ranked
}

// Falling is the order of scores from the highest to the lowest, ties by position.
func Falling(scores []float32) []int32 {
	type item struct {
		score float32
		row   int32
	}
	items := make([]item, len(scores))
	for i, s := range scores {
		items[i] = item{s, int32(i)}
	}
	slices.SortFunc(items, func(a, b item) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return int(a.row - b.row)
	})
	order := make([]int32, len(items))
	for i, it := range items {
		order[i] = it.row
	}
	return order
}

// Compute gives every metric of Of(sample.Kind), in that order. weights has one
// weight per block; nil means 1 for each. A metric that is not defined is NaN:
// there is only one class, nothing was called positive, or no value table is given.
func (j *Judged) Compute(weights []float64) []float64 {
	if j.sample.Kind == Multiclass {
		return j.classMetrics(j.total(make([]float64, classSums(j.sample.Classes)), weights), weights)
	}
	var total [sums]float64
	j.total(total[:], weights)
	if j.sample.Kind == Regression {
		return valueMetrics(&total)
	}
	auc, ap := math.NaN(), math.NaN()
	switch {
	case j.pairs != nil && (j.only == "auc"):
		auc = j.areaOfPairs(weights, &total)
	case j.only == "" || j.only == "auc" || j.only == "pr_auc":
		auc, ap = areas(j.ranked, weights)
	}
	return append([]float64{auc, ap}, j.countMetrics(&total)...)
}

// total adds up the weighted sums of the blocks.
func (j *Judged) total(total, weights []float64) []float64 {
	n := len(total)
	for b := range j.sample.Blocks {
		w := 1.0
		if weights != nil {
			if w = weights[b]; w == 0 {
				continue
			}
		}
		for k, v := range j.perBlock[b*n : (b+1)*n] {
			total[k] += w * v
		}
	}
	return total
}

// manyPairs is from how many blocks on counting pairs by blocks does not pay.
const manyPairs = 100

// Only leaves out of Compute what takes time and is not the metric of that name;
// what is left out is NaN.
func (j *Judged) Only(metric string) {
	j.only = metric
	n := j.sample.Blocks
	if metric != "auc" || n > manyPairs {
		return
	}
	j.pairs = make([]float64, n*n)
	above, equal := make([]float64, n), make([]float64, n) // positives of each block
	from := 0
	for i, r := range j.ranked {
		if r&2 != 0 {
			equal[r>>2]++
		}
		if r&1 == 0 {
			continue
		}
		for _, tied := range j.ranked[from : i+1] {
			if tied&2 == 0 {
				for a := range above {
					j.pairs[a*n+int(tied>>2)] += above[a] + equal[a]/2
				}
			}
		}
		for a, e := range equal {
			above[a] += e
		}
		clear(equal)
		from = i + 1
	}
}

// areaOfPairs is the area under the ROC curve as the share of pairs of a
// positive and a negative that are ranked rightly.
func (j *Judged) areaOfPairs(weights []float64, t *[sums]float64) float64 {
	n, right := j.sample.Blocks, 0.0
	for a := range n {
		row := 0.0
		for b, pairs := range j.pairs[a*n : (a+1)*n] {
			if weights != nil {
				pairs *= weights[b]
			}
			row += pairs
		}
		if weights != nil {
			row *= weights[a]
		}
		right += row
	}
	return ratio(right, t[sumY]*(t[sumN]-t[sumY]))
}

func valueMetrics(t *[sums]float64) []float64 {
	n := t[sumN]
	spread := t[sumYY] - t[sumY]*t[sumY]/n
	r2 := math.NaN()
	if spread > 0 {
		r2 = 1 - t[sumSquare]/spread
	}
	return []float64{math.Sqrt(t[sumSquare] / n), t[sumLoss] / n, r2}
}

// countMetrics are the metrics from "logloss" to "value".
func (j *Judged) countMetrics(t *[sums]float64) []float64 {
	n, tp, fp := t[sumN], t[sumTP], t[sumFP]
	fn := t[sumY] - tp
	tn := n - tp - fp - fn
	calibration := 0.0
	for bin := sumBins; bin < sums; bin += 3 {
		calibration += math.Abs(t[bin+1] - t[bin+2])
	}
	value := math.NaN()
	if v := j.value; v != nil {
		value = (v.TP*tp + v.FP*fp + v.TN*tn + v.FN*fn) / n
	}
	return []float64{
		t[sumLoss] / n, t[sumSquare] / n, calibration / n,
		(tp + tn) / n, ratio(tp, tp+fp), ratio(tp, tp+fn), ratio(2*tp, 2*tp+fp+fn), value,
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// areas are the area under the ROC curve (ties count half) and the average
// precision (the sum over thresholds of precision times the gain in recall).
func areas(ranked []uint32, weights []float64) (auc, ap float64) {
	var positives, negatives float64 // above the scores looked at
	var area, precision float64
	var pos, neg float64 // of equal score
	for _, r := range ranked {
		w := 1.0
		if weights != nil {
			w = weights[r>>2]
		}
		positive := w * float64(r>>1&1) // no branch: labels are as good as random here
		pos += positive
		neg += w - positive
		if r&1 == 0 {
			continue
		}
		area += neg * (positives + pos/2)
		positives, negatives = positives+pos, negatives+neg
		if pos > 0 {
			precision += pos * (positives / (positives + negatives))
		}
		pos, neg = 0, 0
	}
	if positives == 0 || negatives == 0 {
		return math.NaN(), math.NaN()
	}
	return area / (positives * negatives), precision / positives
}

// AUC is the area under the ROC curve of scores of labels 0 and 1; NaN when
// there is only one.
func AUC(label, scores []float32) float64 {
	j := Judged{sample: &Sample{Label: label, Block: make([]int32, len(label))}}
	auc, _ := areas(j.rank(scores, 1), nil)
	return auc
}

// BestThreshold is the score from which saying yes is worth most over the rows;
// without gain from saying yes at all it is above every score. It lies halfway
// between two scores, so that rounding does not move a row across it.
func BestThreshold(label, scores []float32, v Value) float64 {
	order := Falling(scores)
	best, at := 0.0, -1
	gain := 0.0 // over saying no to all
	for i, row := range order {
		y := float64(label[row])
		gain += y*(v.TP-v.FN) + (1-y)*(v.FP-v.TN)
		last := i+1 == len(order) || scores[order[i+1]] != scores[row]
		if last && gain > best {
			best, at = gain, i
		}
	}
	switch {
	case at < 0 && len(order) == 0:
		return 0.5
	case at < 0:
		return math.Nextafter(float64(scores[order[0]]), 2)
	case at+1 == len(order):
		return 0
	}
	return (float64(scores[order[at]]) + float64(scores[order[at+1]])) / 2
}
