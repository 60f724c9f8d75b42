package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/metrics"
)

// Limits of slices.
const (
	maxSlices   = 50  // of one column; the largest are kept
	sliceRows   = 100 // fewer say nothing
	sliceLabels = 10  // of each class of a yes or no
)

// group is the rows of a slice.
type group struct {
	at   int // in judging.out.Slices
	rows []int32
	both *metrics.Bootstrapped // of the model and the champion, when it is there
}

// slices judges the model, and the champion, on the rows of each slice.
func (j *judging) slices(ctx context.Context) error {
	var groups []group
	for _, column := range j.def.Slices {
		groups = append(groups, j.groups(column)...)
	}
	for i := range groups {
		s := &j.out.Slices[groups[i].at]
		if err := j.slice(ctx, s, &groups[i]); err != nil {
			return fmt.Errorf("judge slice %s=%s: %w", s.Column, s.Value, err)
		}
	}
	if j.champion != nil {
		j.compareSlices(groups)
	}
	return nil
}

// groups are the slices by a column's values that have enough rows; all are noted.
func (j *judging) groups(column string) []group {
	byValue := map[string][]int32{}
	j.rows.Column(column).Each(0, j.rows.Rows(), func(row int, cell string) { byValue[cell] = append(byValue[cell], int32(row)) })
	values := make([]string, 0, len(byValue))
	for v := range byValue {
		values = append(values, v)
	}
	slices.SortFunc(values, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byValue[b]), len(byValue[a])), cmp.Compare(a, b))
	})
	if len(values) > maxSlices {
		j.out.Notes = append(j.out.Notes, fmt.Sprintf("%s has %d values; only the %d with the most rows are slices", column, len(values), maxSlices))
		values = values[:maxSlices]
	}
	var groups []group
	for _, v := range values {
		rows := byValue[v]
		s := Slice{Column: column, Value: v, Rows: len(rows), LabelMean: Num(math.NaN())}
		few := len(rows) < sliceRows
		if j.sample.Kind != metrics.Multiclass {
			sum := 0.0
			for _, row := range rows {
				sum += float64(j.test.Label[row])
			}
			s.LabelMean = Num(sum / float64(len(rows)))
			few = few || j.binary() && min(sum, float64(len(rows))-sum) < sliceLabels
		}
		if few {
			s.Note = "too few rows to judge"
		} else {
			groups = append(groups, group{at: len(j.out.Slices), rows: rows})
		}
		j.out.Slices = append(j.out.Slices, s)
	}
	return groups
}

// slice judges one slice.
func (j *judging) slice(ctx context.Context, s *Slice, g *group) error {
	sample := j.sample.Subset(g.rows)
	width := j.sample.Width()
	judge := func(b *bundle.Bundle, scores []float32) (*metrics.Judged, error) {
		own := make([]float32, 0, len(g.rows)*width)
		for _, row := range g.rows {
			own = append(own, scores[int(row)*width:(int(row)+1)*width]...)
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
	if g.both, err = metrics.Bootstrap(ctx, j.out.Bootstrap.Seed, models...); err != nil {
		return err
	}
	got := estimate(g.both.Interval(0, j.out.Metric, j.confidence()))
	s.Metric = &got
	return nil
}

// compareSlices finds the slices that fall behind the champion: with many of
// them one falls by chance, so they are corrected for their number.
func (j *judging) compareSlices(groups []group) {
	var compared []group
	var p []float64
	for _, g := range groups {
		s := &j.out.Slices[g.at]
		rival := Num(g.both.Interval(1, j.out.Metric, j.confidence()).Value)
		s.Champion = &rival
		if chance := g.both.Behind(0, 1, j.out.Metric); math.IsNaN(chance) {
			s.Note = "too few " + j.out.Bootstrap.Block + "s to compare"
		} else {
			compared, p = append(compared, g), append(p, chance)
		}
	}
	alpha := (1 - float64(j.out.Confidence)) / 2 // of the lower side; a margin would excuse a fall
	corrected, share := metrics.Holm(p, alpha)
	for i, g := range compared {
		s := &j.out.Slices[g.at]
		by := estimate(g.both.Difference(0, 1, j.out.Metric, 1-2*alpha*share[i]))
		chance := Num(corrected[i])
		s.BetterBy, s.P, s.Falls = &by, &chance, corrected[i] <= alpha
	}
}
