package metrics

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// Replicates of a bootstrap.
const Replicates = 1000

// Interval is a metric and how far chance may move it.
type Interval struct {
	Value, Low, High float64
}

// Bootstrapped is the metrics of some models over replicates of one sample.
type Bootstrapped struct {
	names      []string
	points     [][]float64   // by model, metric
	replicates [][][]float64 // by replicate, model, metric
}

// Bootstrap draws whole blocks with replacement and computes every metric of
// every model on the same draws. The same seed gives the same numbers on any
// number of CPUs. All models must be judged on the same sample.
func Bootstrap(ctx context.Context, seed int64, models ...*Judged) (*Bootstrapped, error) {
	s := models[0].sample
	b := &Bootstrapped{replicates: make([][][]float64, Replicates)}
	for _, m := range Of(s.Binary) {
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
			for r := t; r < Replicates; r += threads {
				if err := ctx.Err(); err != nil {
					return err
				}
				draw(weights, seed, r)
				for _, m := range models {
					b.replicates[r] = append(b.replicates[r], m.Compute(weights))
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

// Interval is a model's metric with the middle share `confidence` of its replicates.
func (b *Bootstrapped) Interval(model int, metric string, confidence float64) Interval {
	at := slices.Index(b.names, metric)
	return interval(b.points[model][at], b.collect(func(r [][]float64) float64 { return r[model][at] }), confidence)
}

// Difference is by how much model a is better than model b: positive also where
// less of the metric is better.
func (b *Bootstrapped) Difference(model, other int, metric string, confidence float64) Interval {
	diff, point := b.difference(model, other, metric)
	return interval(point, diff, confidence)
}

// Spread is Difference's point and the standard deviation of its replicates.
func (b *Bootstrapped) Spread(model, other int, metric string) (point, sd float64) {
	diff, point := b.difference(model, other, metric)
	if len(diff) < 2 {
		return point, math.NaN()
	}
	mean, squares := 0.0, 0.0
	for _, d := range diff {
		mean += d / float64(len(diff))
	}
	for _, d := range diff {
		squares += (d - mean) * (d - mean)
	}
	return point, math.Sqrt(squares / float64(len(diff)-1))
}

func (b *Bootstrapped) difference(model, other int, metric string) (diff []float64, point float64) {
	at, sign := slices.Index(b.names, metric), -1.0
	if m, err := Find(metric); err == nil && m.More {
		sign = 1
	}
	of := func(r [][]float64) float64 {
		d := sign * (r[model][at] - r[other][at])
		return d + 0 // -0 becomes 0
	}
	return b.collect(of), of(b.points)
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

// interval takes the quantiles of the replicates (linear between neighbours).
func interval(point float64, values []float64, confidence float64) Interval {
	out := Interval{Value: point, Low: math.NaN(), High: math.NaN()}
	if len(values) < Replicates/2 || point != point {
		return out
	}
	slices.Sort(values)
	quantile := func(p float64) float64 {
		at := p * float64(len(values)-1)
		low := int(at)
		high := min(low+1, len(values)-1)
		return values[low] + (at-float64(low))*(values[high]-values[low])
	}
	out.Low, out.High = quantile((1-confidence)/2), quantile((1+confidence)/2)
	return out
}

// NormalQuantile is the number that a standard normal one stays below with
// probability p.
func NormalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

// Blocks of a bootstrap.
const (
	day       = 86400
	hour      = 3600
	fewBlocks = 8    // fewer tell nothing about chance
	maxBlocks = 2000 // of rows that are independent; more only cost time
)

// BlocksByTime makes rows of one UTC day (or hour, when there are few days) a
// block, since what happens on one day is not independent. times are Unix
// seconds. kind says what a block is: day, hour or row.
func BlocksByTime(times []float64) (block []int32, blocks int, kind string) {
	for _, unit := range []struct {
		seconds float64
		name    string
	}{{day, "day"}, {hour, "hour"}} {
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
		if len(ids) >= fewBlocks && len(ids) < len(times)/2 {
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
