package evaluate

import (
	"cmp"
	"math"
	"slices"

	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/worker/job"
)

// Deequ's rule: a column drifted when its distance, less what samples of that
// size may show by chance, is more than this.
const driftLimit = 0.1

const (
	driftBins  = 24
	driftTexts = 5    // values of a text that are shown
	driftShare = 0.01 // rarer ones are not
)

// Drift is how a column that the features read differs from what the version in
// service learned from.
type Drift struct {
	Column   string  `json:"column"`
	Distance Num     `json:"distance"` // largest difference of the cumulative shares, or of a text's
	Beyond   Num     `json:"beyond"`   // of it, what chance does not explain
	Missing  [2]Num  `json:"missing"`  // shares: then, now
	Drifted  bool    `json:"drifted"`
	Note     string  `json:"note,omitempty"` // why it cannot be compared
	Then     *Spread `json:"then,omitempty"`
	Now      *Spread `json:"now,omitempty"`
	Texts    []Text  `json:"texts,omitempty"` // whose shares differ most
}

// Text is a value's share.
type Text struct {
	Value string `json:"value"`
	Then  Num    `json:"then"`
	Now   Num    `json:"now"`
}

// findDrift compares the training rows with those of the version in service, when
// the job was given both their statistics.
func (j *judging) findDrift(base job.Base) error {
	if j.file.Champion == nil {
		return nil
	}
	now, err := job.InputJSON[drift.Statistics](base, "baseline", "statistics.json", "baseline")
	if err != nil || now == nil {
		return err
	}
	then, err := job.InputJSON[drift.Statistics](base, "champion-baseline", "statistics.json", "baseline")
	if err != nil { // no run should fail for what an older one left
		j.out.Notes = append(j.out.Notes, "the columns cannot be compared with those that the version in service learned from: "+err.Error())
		return nil
	}
	if then == nil {
		return nil
	}
	before := map[string]drift.FeatureStatistics{}
	for _, f := range then.Features {
		before[f.Name] = f
	}
	for _, f := range now.Features {
		if old, ok := before[f.Name]; ok {
			j.out.Drift = append(j.out.Drift, driftOf(old, f))
		} else {
			j.out.Drift = append(j.out.Drift, Drift{Column: f.Name, Note: "the version in service does not read it", Distance: Num(math.NaN()), Beyond: Num(math.NaN()), Missing: [2]Num{Num(math.NaN()), Num(f.MissingShare())}})
		}
	}
	return nil
}

func driftOf(then, now drift.FeatureStatistics) Drift {
	d := Drift{Column: now.Name, Missing: [2]Num{Num(then.MissingShare()), Num(now.MissingShare())}, Distance: Num(math.NaN()), Beyond: Num(math.NaN())}
	var simple, n, m float64
	switch {
	case then.Numerical != nil && now.Numerical != nil:
		a, b := ranksOf(then.Numerical), ranksOf(now.Numerical)
		simple, n, m = drift.NumericDistance(a, b), a.Total(), b.Total()
		d.Then, d.Now = spreads(a, b)
	case then.String != nil && now.String != nil && then.String.Distribution != nil && now.String.Distribution != nil:
		a, b := then.String.Distribution.Categorical.Buckets, now.String.Distribution.Categorical.Buckets
		simple, n, m = drift.TextDistance(a, b), float64(then.String.Common.NumPresent), float64(now.String.Common.NumPresent)
		d.Texts = textsOf(a, b, n, m)
	case then.String != nil && now.String != nil:
		d.Note = "it has too many different values to compare"
		return d
	default:
		d.Note = "it was of another type"
		return d
	}
	d.Distance, d.Beyond = Num(simple), Num(drift.Robust(simple, n, m, drift.RobustFactor))
	d.Drifted = float64(d.Beyond) > driftLimit
	return d
}

func ranksOf(s *drift.NumericStatistics) *drift.Ranks {
	levels := make([][]float64, len(s.Distribution.KLL.Sketch.Data))
	for i, level := range s.Distribution.KLL.Sketch.Data {
		for _, v := range level {
			levels[i] = append(levels[i], float64(v))
		}
	}
	return drift.RanksOf(levels)
}

// spreads are histograms over the same bins, without the outermost hundredth.
func spreads(a, b *drift.Ranks) (then, now *Spread) {
	if a.Total() == 0 || b.Total() == 0 {
		return nil, nil
	}
	low, high := min(a.Quantile(0.005), b.Quantile(0.005)), max(a.Quantile(0.995), b.Quantile(0.995))
	if !(low < high) {
		return nil, nil
	}
	of := func(name string, r *drift.Ranks) *Spread {
		s := &Spread{Name: name, Low: Num(low), High: Num(high), Shares: make([]Num, driftBins)}
		below := r.Rank(low, false)
		for i := range s.Shares {
			through := r.Rank(low+float64((high-low)*float64(i+1)/driftBins), i == driftBins-1)
			s.Shares[i] = Num((through - below) / r.Total())
			below = through
		}
		return s
	}
	return of("then", a), of("now", b)
}

// textsOf are the values whose shares differ most, by falling difference.
func textsOf(a, b []drift.TextBucket, n, m float64) []Text {
	at := map[string]*Text{}
	of := func(value string) *Text {
		if at[value] == nil {
			at[value] = &Text{Value: value}
		}
		return at[value]
	}
	for _, c := range a {
		of(c.Value).Then = Num(float64(c.Count) / max(1, n))
	}
	for _, c := range b {
		of(c.Value).Now = Num(float64(c.Count) / max(1, m))
	}
	var out []Text
	for _, t := range at {
		if max(t.Then, t.Now) >= driftShare {
			out = append(out, *t)
		}
	}
	slices.SortFunc(out, func(x, y Text) int {
		return cmp.Or(-cmp.Compare(math.Abs(float64(x.Now-x.Then)), math.Abs(float64(y.Now-y.Then))), cmp.Compare(x.Value, y.Value))
	})
	return out[:min(len(out), driftTexts)]
}
