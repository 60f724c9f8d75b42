package evaluate

import (
	"math"
	"slices"

	"github.com/millrace-ml/millrace/worker/metrics"
)

// Sizes of the charts' data.
const (
	curvePoints = 160
	tenths      = 10
	spreadBins  = 30
)

func curves(s *metrics.Sample, scores []float32, classes []string) Curves {
	if s.Kind == metrics.Multiclass {
		return classCurves(s, scores, classes)
	}
	order := metrics.Falling(scores)
	var c Curves
	c.Calibration = calibration(s, scores, order)
	if s.Kind == metrics.Binary {
		c.ROC, c.PR = rocAndPR(s, scores, order)
		no, yes := Spread{Name: "label 0", Low: 0, High: 1}, Spread{Name: "label 1", Low: 0, High: 1}
		var groups [2][]float64
		for i, p := range scores {
			groups[int(s.Label[i])] = append(groups[int(s.Label[i])], float64(p))
		}
		no.fill(groups[0])
		yes.fill(groups[1])
		c.Scores = []Spread{no, yes}
		return c
	}
	errs := make([]float64, len(scores))
	most := 0.0
	for i, v := range scores {
		errs[i] = float64(s.Label[i]) - float64(v)
		most = max(most, math.Abs(errs[i]))
	}
	sorted := slices.Sorted(slices.Values(errs))
	if n := len(sorted); n > 100 { // the outermost hundredth would flatten the rest
		most = max(math.Abs(sorted[n/200]), math.Abs(sorted[n-1-n/200]))
	}
	residuals := Spread{Name: "label less prediction", Low: Num(-most), High: Num(most)}
	residuals.fill(errs)
	c.Scores = []Spread{residuals}
	for _, b := range c.Calibration {
		c.Residuals = append(c.Residuals, Bin{Rows: b.Rows, Score: b.Score, Label: b.Label - b.Score})
	}
	return c
}

// classCurves tells each class from the rest.
func classCurves(s *metrics.Sample, scores []float32, names []string) Curves {
	k := len(names)
	c := Curves{Confusion: make([][]int, k), Classes: make([]Class, k)}
	for i := range k {
		c.Confusion[i] = make([]int, k)
	}
	for i, y := range s.Label {
		c.Confusion[int(y)][metrics.Likeliest(scores[i*k:(i+1)*k])]++
	}
	own := make([]float32, len(s.Label))
	rest := &metrics.Sample{Kind: metrics.Binary, Label: make([]float32, len(s.Label))}
	for class, name := range names {
		said, are := 0, 0
		for other := range k {
			said, are = said+c.Confusion[other][class], are+c.Confusion[class][other]
		}
		right := float64(c.Confusion[class][class])
		out := Class{Name: name, Rows: are, Precision: Num(right / float64(said)), Recall: Num(right / float64(are)), F1: Num(2 * right / float64(said+are)), AUC: Num(math.NaN())}
		for i := range own {
			own[i], rest.Label[i] = scores[i*k+class], 0
			if int(s.Label[i]) == class {
				rest.Label[i] = 1
			}
		}
		if are > 0 && are < len(own) {
			out.ROC, _ = rocAndPR(rest, own, metrics.Falling(own))
			out.AUC = Num(metrics.AUC(rest.Label, own))
		}
		c.Classes[class] = out
	}
	return c
}

// valueCurve is what decisions are worth by the threshold, on the test rows: how
// much depends on the threshold that was chosen before.
func (j *judging) valueCurve() {
	if j.value == nil {
		return
	}
	v, n := j.value, float64(len(j.scores))
	yes := 0.0
	for _, y := range j.test.Label {
		yes += float64(y)
	}
	tp, fp := 0.0, 0.0
	order := metrics.Falling(j.scores)
	at, curve := 0, make([]Point, 0, curvePoints+1)
	for step := curvePoints; step >= 0; step-- {
		threshold := float64(step) / curvePoints
		for ; at < len(order) && float64(j.scores[order[at]]) >= threshold; at++ {
			y := float64(j.test.Label[order[at]])
			tp, fp = tp+y, fp+1-y
		}
		worth := v.TP*tp + v.FP*fp + v.FN*(yes-tp) + v.TN*(n-yes-fp)
		curve = append(curve, Point{Num(threshold), Num(worth / n)})
	}
	slices.Reverse(curve)
	j.out.Value.Curve = curve
}

func (s *Spread) fill(values []float64) {
	s.Shares = make([]Num, spreadBins)
	width := float64(s.High-s.Low) / spreadBins
	for _, v := range values {
		bin := 0
		if width > 0 {
			bin = min(spreadBins-1, max(0, int((v-float64(s.Low))/width)))
		}
		s.Shares[bin] += Num(1 / float64(len(values)))
	}
}

func calibration(s *metrics.Sample, scores []float32, order []int32) []Bin {
	var out []Bin
	n := len(order)
	for t := range tenths {
		from, to := n-(t+1)*n/tenths, n-t*n/tenths
		if from == to {
			continue
		}
		b := Bin{Rows: to - from}
		for _, row := range order[from:to] {
			b.Score += Num(scores[row])
			b.Label += Num(s.Label[row])
		}
		b.Score /= Num(b.Rows)
		b.Label /= Num(b.Rows)
		out = append(out, b)
	}
	return out
}

// rocAndPR walks down the scores and keeps enough points to draw.
func rocAndPR(s *metrics.Sample, scores []float32, order []int32) (roc, pr []Point) {
	positives := 0.0
	for _, y := range s.Label {
		positives += float64(y)
	}
	negatives := float64(len(order)) - positives
	roc = append(roc, Point{0, 0})
	tp, fp, lastX, lastR := 0.0, 0.0, -1.0, -1.0
	for i, row := range order {
		tp += float64(s.Label[row])
		fp += 1 - float64(s.Label[row])
		end := i+1 == len(order)
		if !end && scores[order[i+1]] == scores[row] {
			continue
		}
		x, r := fp/negatives, tp/positives
		if end || x-lastX >= 1.0/curvePoints || r-lastR >= 1.0/curvePoints {
			roc = append(roc, Point{Num(x), Num(r)})
			pr = append(pr, Point{Num(r), Num(tp / (tp + fp))})
			lastX, lastR = x, r
		}
	}
	return roc, pr
}
