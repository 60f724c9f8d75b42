package evaluate

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sort"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/metrics"
	"github.com/millrace-ml/millrace/worker/table"
)

// Limits of slices.
const (
	maxSlices   = 50  // of one column; the largest are kept
	sliceRows   = 100 // fewer say nothing
	sliceLabels = 10  // of each class
)

func fileSource(path string) table.Source {
	return table.Source{Key: path, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

func newMatrix(rows int, names []string) gbdt.Matrix {
	return gbdt.Matrix{Rows: rows, Cols: len(names), Data: make([]float32, rows*len(names)), Names: names}
}

// slices judges the model, and the champion, on the rows of each slice.
func (j *judging) slices(ctx context.Context) error {
	type group struct {
		at   int // in j.out.Slices
		rows []int32
	}
	var groups []group
	for _, column := range j.def.Slices {
		byValue := map[string][]int32{}
		j.rows.Column(column).Each(0, j.rows.Rows(), func(row int, cell string) { byValue[cell] = append(byValue[cell], int32(row)) })
		values := make([]string, 0, len(byValue))
		for v := range byValue {
			values = append(values, v)
		}
		sort.Slice(values, func(a, b int) bool {
			if n, m := len(byValue[values[a]]), len(byValue[values[b]]); n != m {
				return n > m
			}
			return values[a] < values[b]
		})
		if len(values) > maxSlices {
			j.out.Notes = append(j.out.Notes, fmt.Sprintf("%s has %d values; only the %d with the most rows are slices", column, len(values), maxSlices))
			values = values[:maxSlices]
		}
		for _, v := range values {
			s := Slice{Column: column, Value: v, Rows: len(byValue[v])}
			positives := 0.0
			for _, row := range byValue[v] {
				positives += float64(j.test.Label[row])
			}
			s.LabelMean = Num(positives / float64(s.Rows))
			few := s.Rows < sliceRows || j.sample.Binary && min(positives, float64(s.Rows)-positives) < sliceLabels
			if few {
				s.Note = "too few rows to judge"
			} else {
				groups = append(groups, group{len(j.out.Slices), byValue[v]})
			}
			j.out.Slices = append(j.out.Slices, s)
		}
	}
	// Bonferroni's correction: with many slices one falls by chance.
	confidence := 1 - (1-float64(j.out.Confidence))/float64(max(1, len(groups)))
	for _, g := range groups {
		if err := j.slice(ctx, &j.out.Slices[g.at], g.rows, confidence); err != nil {
			return fmt.Errorf("judge slice %s=%s: %w", j.out.Slices[g.at].Column, j.out.Slices[g.at].Value, err)
		}
	}
	return nil
}

// slice judges one slice; the comparison with the champion is made with the given confidence.
func (j *judging) slice(ctx context.Context, s *Slice, rows []int32, confidence float64) error {
	sample := j.sample.Subset(rows)
	judge := func(b *bundle.Bundle, scores []float32) (*metrics.Judged, error) {
		own := make([]float32, len(rows))
		for i, row := range rows {
			own[i] = scores[row]
		}
		threshold := float64(j.threshold(b).Value) // each model's own, as over all rows
		judged, err := metrics.Judge(sample, own, threshold, j.value)
		if err == nil {
			judged.Only(j.out.Metric)
		}
		return judged, err
	}
	m, err := judge(j.model, j.scores)
	if err != nil {
		return err
	}
	models := []*metrics.Judged{m}
	if j.champion != nil {
		c, err := judge(j.champion, j.rivals)
		if err != nil {
			return err
		}
		models = append(models, c)
	}
	b, err := metrics.Bootstrap(ctx, j.out.Bootstrap.Seed, models...)
	if err != nil {
		return err
	}
	got := estimate(b.Interval(0, j.out.Metric, float64(j.out.Confidence)))
	s.Metric = &got
	if j.champion == nil {
		return nil
	}
	rival := Num(b.Interval(1, j.out.Metric, float64(j.out.Confidence)).Value)
	better := b.Difference(0, 1, j.out.Metric, confidence)
	s.Champion = &rival
	if math.IsNaN(better.Low) {
		s.Note = "too few " + j.out.Bootstrap.Block + "s to compare"
		return nil
	}
	by := estimate(better)
	s.BetterBy, s.Falls = &by, better.High < 0
	return nil
}

// importanceRows bounds the rows on which features are shuffled.
const importanceRows = 20_000

// importance shuffles the numbers of one feature after another and sees how much
// worse the deciding metric gets.
func importance(ctx context.Context, j *judging) ([]Importance, error) {
	n := j.test.X.Rows
	k := min(n, importanceRows)
	picked := make([]int32, k)
	for i := range picked {
		picked[i] = int32(i * n / k)
	}
	x := newMatrix(k, j.test.X.Names)
	for c := range x.Cols {
		for i, row := range picked {
			x.Data[c*k+i] = j.test.X.Data[c*n+int(row)]
		}
	}
	sample := j.sample.Subset(picked)
	m, err := metrics.Find(j.def.Metric)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(metrics.Of(sample.Binary), func(o metrics.Metric) bool { return o.Name == m.Name })
	scores := make([]float32, k)
	measure := func() (float64, error) {
		j.model.Model.Predict(x, scores)
		threshold := 0.5
		if j.out.Threshold != nil {
			threshold = float64(j.out.Threshold.Value)
		}
		judged, err := metrics.Judge(sample, scores, threshold, j.value)
		if err != nil {
			return 0, err
		}
		v := judged.Compute(nil)[at]
		if !m.More {
			v = -v
		}
		return v, nil
	}
	whole, err := measure()
	if err != nil {
		return nil, fmt.Errorf("measure importance: %w", err)
	}
	gain, _ := j.model.Model.Importance()
	var out []Importance
	first := 0
	for f, feature := range j.model.Spec.Features {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		width := 1
		if feature.Encode == features.EncodeOneHot {
			width = len(j.model.Spec.Encodings[feature.Name])
		}
		columns := x.Data[first*k : (first+width)*k]
		kept := slices.Clone(columns)
		order := rand.New(rand.NewPCG(uint64(j.out.Bootstrap.Seed), uint64(f))).Perm(k)
		for c := range width {
			for i, from := range order {
				columns[c*k+i] = kept[c*k+from]
			}
		}
		shuffled, err := measure()
		if err != nil {
			return nil, fmt.Errorf("measure importance of %q: %w", feature.Name, err)
		}
		copy(columns, kept)
		imp := Importance{Feature: feature.Name, Loss: Num(whole - shuffled)}
		for _, g := range gain[first : first+width] {
			imp.Gain = max(imp.Gain, Num(g))
		}
		out = append(out, imp)
		first += width
	}
	sort.SliceStable(out, func(a, b int) bool { return out[a].Loss > out[b].Loss })
	return out, nil
}

// Sizes of the charts' data.
const (
	curvePoints = 160
	tenths      = 10
	spreadBins  = 30
)

func curves(s *metrics.Sample, scores []float32) Curves {
	order := metrics.Falling(scores)
	var c Curves
	c.Calibration = calibration(s, scores, order)
	if s.Binary {
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
	return c
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
