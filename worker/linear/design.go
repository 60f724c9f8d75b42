package linear

import (
	"fmt"
	"math"
	"runtime"
	"sync"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

// rowBlock is the number of rows that are scored together. Sums are made by block,
// then in the order of blocks: the same for any number of threads.
const rowBlock = 8192

// maxBins leaves a byte room for the bin of missing values.
const maxBins = 255

// standard is how an input is standardised: it has mean 0 and deviation 1 then. A scale
// of 0 marks an input that never varies, and whose weight stays 0.
type standard struct{ mean, scale float64 }

// column is what one feature, or the indicator of its missing values, brings in: one
// input, which is dense, or sparse where it is mostly zero; or, if it is binned, an input
// of zeros and ones for every bin. Missing values are replaced by the mean, or have a bin.
// Standardising is done on sums, so that zeros stay.
type column struct {
	feature   int
	first     int        // the number of its first weight
	scales    []standard // one for every weight
	indicator bool

	dense  []float32
	rows   []int32 // sparse
	values []float32
	starts []int // sparse: first entry of every block of rows

	bins []uint8 // binned
	cuts gbdt.Cuts
}

// design is the training data.
type design struct {
	rows    int
	weights int // without the intercept
	columns []column
	means   []float64 // by feature, of the values that are there
}

// newDesign checks the matrix and takes its columns apart. Columns that never vary
// are left out. bins is Params.Bins.
func newDesign(x gbdt.Matrix, weight []float32, bins int) (*design, error) {
	for f := range x.Cols {
		for r, v := range x.Column(f) {
			if math.IsInf(float64(v), 0) {
				return nil, fmt.Errorf("feature %d is infinite in row %d", f, r)
			}
		}
	}
	d := &design{rows: x.Rows, means: make([]float64, x.Cols)}
	parts := make([][]column, x.Cols)
	each(x.Cols, func(f int) {
		if bins > 0 {
			if cuts := gbdt.CutsOf(x.Column(f), weight, bins); len(cuts) > 1 {
				parts[f] = []column{binned(f, x.Column(f), weight, cuts)}
				return
			}
		}
		parts[f] = d.plain(f, x.Column(f), weight)
	})
	for _, part := range parts {
		for _, c := range part {
			c.first = d.weights
			d.weights += len(c.scales)
			d.columns = append(d.columns, c)
		}
	}
	return d, nil
}

// binned makes a column of a feature and its cuts.
func binned(feature int, values, weight []float32, cuts gbdt.Cuts) column {
	c := column{feature: feature, cuts: cuts, bins: make([]uint8, len(values))}
	mass, total := make([]float64, len(cuts)+2), 0.0
	gone := false
	for r, v := range values {
		bin := len(cuts) + 1
		if v == v {
			bin = cuts.Bin(v)
		} else {
			gone = true
		}
		c.bins[r] = uint8(bin)
		mass[bin] += weightOf(weight, r)
		total += weightOf(weight, r)
	}
	if !gone {
		mass = mass[:len(cuts)+1]
	}
	for _, m := range mass {
		share := m / total
		c.scales = append(c.scales, standard{share, math.Sqrt(float64(share * (1 - share)))})
	}
	return c
}

// plain makes columns of a feature that is not binned, and notes its mean.
func (d *design) plain(feature int, given, weight []float32) []column {
	values := make([]float32, d.rows)
	var missing []float32
	var sum, total, gone float64
	for r, v := range given {
		w := weightOf(weight, r)
		if v != v {
			if missing == nil {
				missing = make([]float32, d.rows)
			}
			missing[r] = 1
			gone += w
			continue
		}
		values[r] = v
		sum += float64(w * float64(v))
		total += w
	}
	if total > 0 {
		d.means[feature] = sum / total
	}
	var out []column
	if gone > 0 {
		for r, m := range missing {
			if m == 1 {
				values[r] = float32(d.means[feature])
			}
		}
		if c, ok := single(feature, missing, weight); ok {
			c.indicator = true
			out = append(out, c)
		}
	}
	if c, ok := single(feature, values, weight); ok {
		out = append(out, c)
	}
	return out
}

func weightOf(weight []float32, r int) float64 {
	if weight == nil {
		return 1
	}
	return float64(weight[r])
}

// single makes a column of one input; false if it never varies.
func single(feature int, values, weight []float32) (column, bool) {
	var sum, total, squares float64
	nonzero := 0
	for r, v := range values {
		w := weightOf(weight, r)
		sum += float64(w * float64(v))
		total += w
		if v != 0 {
			nonzero++
		}
	}
	s := standard{mean: sum / total}
	for r, v := range values {
		off := float64(v) - s.mean
		squares += float64(weightOf(weight, r) * float64(off*off))
	}
	s.scale = math.Sqrt(squares / total)
	if !(s.scale > 1e-7*math.Abs(s.mean)) || math.IsInf(s.scale, 0) {
		return column{}, false // constant, but for rounding
	}
	c := column{feature: feature, scales: []standard{s}}
	if nonzero > len(values)/4 {
		c.dense = values
		return c, true
	}
	for r, v := range values {
		if r%rowBlock == 0 {
			c.starts = append(c.starts, len(c.rows))
		}
		if v != 0 {
			c.rows = append(c.rows, int32(r))
			c.values = append(c.values, v)
		}
	}
	c.starts = append(c.starts, len(c.rows))
	return c, true
}

func (d *design) blocks() int { return (d.rows + rowBlock - 1) / rowBlock }

// addTo adds what the column adds to the scores of one block of rows. factors are those
// of all weights.
func (c *column) addTo(scores []float64, block int, factors []float64) {
	first, factor := block*rowBlock, factors[c.first]
	switch {
	case c.bins != nil:
		var table [maxBins + 1]float64
		copy(table[:], factors[c.first:c.first+len(c.scales)])
		for i, bin := range c.bins[first : first+len(scores)] {
			scores[i] += table[bin]
		}
	case c.dense != nil:
		for i, v := range c.dense[first : first+len(scores)] {
			scores[i] += float64(factor * float64(v))
		}
	default:
		for k := c.starts[block]; k < c.starts[block+1]; k++ {
			scores[int(c.rows[k])-first] += float64(factor * float64(c.values[k]))
		}
	}
}

// dots fills out with the sum of every input times y.
func (c *column) dots(y, out []float64) {
	if c.bins != nil {
		var sums [maxBins + 1]float64
		for r, bin := range c.bins {
			sums[bin] += y[r]
		}
		copy(out, sums[:])
		return
	}
	sum := 0.0
	if c.dense != nil {
		for i, v := range c.dense {
			sum += float64(float64(v) * y[i])
		}
	}
	for k, r := range c.rows {
		sum += float64(float64(c.values[k]) * y[r])
	}
	out[0] = sum
}

// each runs do(0) to do(n-1) on all CPUs.
func each(n int, do func(i int)) {
	var wg sync.WaitGroup
	threads := min(runtime.GOMAXPROCS(0), n)
	for t := range threads {
		wg.Go(func() {
			for i := t; i < n; i += threads {
				do(i)
			}
		})
	}
	wg.Wait()
}
