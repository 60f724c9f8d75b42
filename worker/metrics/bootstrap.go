package metrics

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Replicates of a bootstrap.
const Replicates = 1000

// Interval is a metric and how far chance may move it; Low and High are NaN when
// there are too few blocks to tell.
type Interval struct {
	Value, Low, High float64
}

// Bootstrapped is the metrics of some models over replicates of one sample.
type Bootstrapped struct {
	names      []string
	points     [][]float64   // by model, metric
	replicates [][][]float64 // by replicate, model, metric
	without    [][][]float64 // by group of blocks that is left out, model, metric
	left       []float64     // share of the rows that are not in that group
	effective  float64       // number of blocks of equal size that tell as much
	rows       int
	rarest     int // rows of the rarest label that there is
}

// Bootstrap draws whole blocks with replacement and computes every metric of
// every model on the same draws. The same seed gives the same numbers on any
// number of CPUs. All models must be judged on the same sample.
func Bootstrap(ctx context.Context, seed int64, models ...*Judged) (*Bootstrapped, error) {
	s := models[0].sample
	groups := min(s.Blocks, leftOut)
	b := &Bootstrapped{replicates: make([][][]float64, Replicates), without: make([][][]float64, groups), left: shares(s, groups), effective: effective(s)}
	b.rows, b.rarest = len(s.Label), rarest(s)
	for _, m := range Of(s.Kind) {
		b.names = append(b.names, m.Name)
	}
	for _, m := range models {
		b.points = append(b.points, m.Compute(nil))
	}
	threads := max(1, runtime.GOMAXPROCS(0))
	g, ctx := errgroup.WithContext(ctx)
	for t := range threads {
		g.Go(func() error {
			weights := make([]float64, s.Blocks)
			for r := t; r < Replicates+groups; r += threads {
				if err := ctx.Err(); err != nil {
					return err
				}
				var out *[][]float64
				if r < Replicates {
					draw(weights, seed, r)
					out = &b.replicates[r]
				} else {
					leaveOut(weights, r-Replicates, groups)
					out = &b.without[r-Replicates]
				}
				for _, m := range models {
					*out = append(*out, m.Compute(weights))
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return b, nil
}

// draw counts how often each block is drawn in replicate r.
func draw(weights []float64, seed int64, r int) {
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(r)))
	clear(weights)
	for range weights {
		weights[rng.IntN(len(weights))]++
	}
}

// Interval is a model's metric and the interval that holds its true value in a
// share `confidence` of all samples.
func (b *Bootstrapped) Interval(model int, metric string, confidence float64) Interval {
	at, least, most, more := slices.Index(b.names, metric), math.Inf(-1), math.Inf(1), false
	if m, err := Find(metric); err == nil {
		least, most = m.span()
		more = m.More
	}
	u := b.uncertain(func(r [][]float64) float64 { return r[model][at] })
	out := u.interval(confidence, least, most)
	if more && u.se == 0 && u.point == most && least == 0 {
		out.Low = b.faultless(metric, confidence)
	}
	return out
}

// faultless is how low a share may be of which the sample has no exception, since
// no replicate has one either: so many rows without any are not too improbable
// (Clopper and Pearson's bound; at 95 % it is 1 - 3.7 / rows). Of accuracy all rows
// tell; how a label is told from others, those of the rarest.
func (b *Bootstrapped) faultless(metric string, confidence float64) float64 {
	rows := b.rarest
	if metric == "accuracy" {
		rows = b.rows
	}
	return math.Pow((1-confidence)/2, 1/float64(rows))
}

// rarest are the rows of the rarest label.
func rarest(s *Sample) int {
	rows := map[float32]int{}
	for _, y := range s.Label {
		rows[y]++
	}
	least := len(s.Label)
	for _, n := range rows {
		least = min(least, n)
	}
	return least
}

// within bends an interval so that it stays between least and most: its reach
// is that of the log odds, or of the logarithm where one side is open. Towards
// the near end chance has less room, so the interval is longer on the far side.
func (i Interval) within(least, most float64) Interval {
	below, above := i.Value-least, most-i.Value
	low, high := i.Value-i.Low, i.High-i.Value
	if !(below > 0 && above > 0) || i.Low == i.High {
		i.Low, i.High = max(i.Low, least), min(i.High, most)
		return i
	}
	switch lower, upper := !math.IsInf(least, 0), !math.IsInf(most, 0); {
	case lower && upper:
		width, slope := most-least, 1/below+1/above
		odds := func(by float64) float64 { return least + width/(1+above/below*math.Exp(-by)) }
		i.Low, i.High = odds(-low*slope), odds(high*slope)
	case lower:
		i.Low, i.High = least+below*math.Exp(-low/below), least+below*math.Exp(high/below)
	case upper:
		i.Low, i.High = most-above*math.Exp(low/above), most-above*math.Exp(-high/above)
	}
	return i
}

// Difference is by how much model a is better than model b: positive also where
// less of the metric is better.
func (b *Bootstrapped) Difference(model, other int, metric string, confidence float64) Interval {
	return b.lead(model, other, metric).interval(confidence, math.Inf(-1), math.Inf(1))
}

// Behind is the chance of a lead as low as the one seen, or lower, if there is
// none: the one-sided p-value that model a is behind model b by the metric. NaN
// when there are too few blocks to tell.
func (b *Bootstrapped) Behind(model, other int, metric string) float64 {
	return b.lead(model, other, metric).below()
}

func (b *Bootstrapped) lead(model, other int, metric string) uncertain {
	at, sign := slices.Index(b.names, metric), -1.0
	if m, err := Find(metric); err == nil && m.More {
		sign = 1
	}
	u := b.uncertain(func(r [][]float64) float64 {
		return sign*(r[model][at]-r[other][at]) + 0 // -0 becomes 0
	})
	// Two models' difference is not skewed by nature, so it is taken to be as skewed as
	// its blocks show; and a lead may be doubted for a long tail, but a lag not excused.
	u.skew = min(0, u.skew/caution)
	return u
}

func (b *Bootstrapped) collect(of func(r [][]float64) float64) []float64 {
	out := make([]float64, 0, len(b.replicates))
	for _, r := range b.replicates {
		if v := of(r); v == v { // a draw may lack a class
			out = append(out, v)
		}
	}
	return out
}

// standardError is how far a point lies from the truth, by the replicates; NaN
// when there are too few, or too few blocks.
func (b *Bootstrapped) standardError(point float64, values []float64) float64 {
	if len(values) < Replicates/2 || point != point || b.effective < 2 {
		return math.NaN()
	}
	mean, squares := 0.0, 0.0
	for _, v := range values {
		mean += (v - point) / float64(len(values)) // from the point, so that no spread stays none
	}
	for _, v := range values {
		squares += (v - point - mean) * (v - point - mean)
	}
	// Draws are around the blocks' own mean, so they spread less than the blocks do around the truth.
	return math.Sqrt(squares / float64(len(values)-1) * b.effective / (b.effective - 1))
}

// Holm corrects p-values of tests made at once, by Holm's step-down method: at
// most a share alpha of all families of tests has a p-value of at most alpha by
// chance alone. share is the part of alpha at which each test was made: an
// interval with that share of the error is on the same side as the verdict.
func Holm(p []float64, alpha float64) (corrected, share []float64) {
	order := make([]int, len(p))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	corrected, share = make([]float64, len(p)), make([]float64, len(p))
	least, stopped := 0.0, 0
	for rank, i := range order {
		tests := len(p) - rank
		least = max(least, min(1, p[i]*float64(tests)))
		corrected[i] = least
		if stopped == 0 && least > alpha {
			stopped = tests
		}
		share[i] = 1 / float64(max(tests, stopped))
	}
	return corrected, share
}

// effective is Kish's number of blocks: few large ones among many small ones
// tell no more than the few alone.
func effective(s *Sample) float64 {
	sum, squares := 0.0, 0.0
	for _, n := range sizes(s, s.Blocks) {
		sum += n
		squares += n * n
	}
	return sum * sum / squares
}

// sizes are the rows of so many groups of blocks.
func sizes(s *Sample, groups int) []float64 {
	size := make([]float64, groups)
	for _, block := range s.Block {
		size[int(block)%groups]++
	}
	return size
}

// shares are those of the rows that are not in each group of blocks.
func shares(s *Sample, groups int) []float64 {
	left := sizes(s, groups)
	for i, n := range left {
		left[i] = 1 - n/float64(len(s.Block))
	}
	return left
}

// Blocks of a bootstrap.
const (
	day       = 86400
	hour      = 3600
	fewDays   = 4    // fewer only tell of very large differences
	fewHours  = 8    // so many that they tell more than a single stretch of time
	maxBlocks = 2000 // of rows that are independent; more only cost time
)

// BlocksByTime makes rows of one UTC day (or hour, when there are few days) a
// block, since what happens on one day is not independent. Hours do not see how
// days differ, so they serve only where days are fewer than four. times are Unix
// seconds. kind says what a block is: day, hour or row.
func BlocksByTime(times []float64) (block []int32, blocks int, kind string) {
	for _, unit := range []struct {
		seconds float64
		name    string
		few     int
	}{{day, "day", fewDays}, {hour, "hour", fewHours}} {
		ids := map[float64]int32{}
		block = make([]int32, len(times))
		for i, t := range times {
			at := math.Floor(t / unit.seconds)
			id, ok := ids[at]
			if !ok {
				id = int32(len(ids))
				ids[at] = id
			}
			block[i] = id
		}
		if len(ids) >= unit.few && len(ids) < len(times)/2 {
			return block, len(ids), unit.name
		}
	}
	block, blocks = BlocksOfRows(len(times))
	return block, blocks, "row"
}

// BlocksOfRows makes every row a block, or puts independent rows together when
// there are very many.
func BlocksOfRows(n int) (block []int32, blocks int) {
	blocks = min(n, maxBlocks)
	block = make([]int32, n)
	for i := range block {
		block[i] = int32(i % blocks)
	}
	return block, blocks
}
