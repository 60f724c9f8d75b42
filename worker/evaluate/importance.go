package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/metrics"
)

// importanceRows bounds the rows on which features are shuffled.
const importanceRows = 20_000

// importance shuffles the numbers of one feature after another and sees how much
// worse the deciding metric gets.
func importance(ctx context.Context, j *judging) ([]Importance, error) {
	n := j.test.X.Rows
	picked := some(n, importanceRows)
	k := len(picked)
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
	at := slices.IndexFunc(metrics.Of(sample.Kind), func(o metrics.Metric) bool { return o.Name == m.Name })
	measure := func() (float64, error) {
		scores := j.model.Scores(x)
		threshold := 0.5
		if j.out.Threshold != nil {
			threshold = float64(j.out.Threshold.Value)
		}
		judged, err := metrics.Judge(sample, scores, threshold, j.value)
		if err != nil {
			return 0, err
		}
		judged.Only(m.Name)
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
