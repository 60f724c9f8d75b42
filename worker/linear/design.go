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

// column is one standardised input: a feature with missing values replaced by the
// mean, or the indicator of a feature's missing values. Mostly zero columns keep only
// what is not zero; standardising is done on the sums, so that they stay sparse.
type column struct {
	feature     int
	indicator   bool
	mean, scale float64
	dense       []float32
	rows        []int32 // sparse
	values      []float32
	starts      []int // sparse: first entry of every block of rows
}

// design is the training data.
type design struct {
	rows    int
	columns []column
	means   []float64 // by feature, of the values that are there
}

// newDesign checks the matrix and takes its columns apart. Columns that never vary
// are left out.
func newDesign(x gbdt.Matrix, weight []float32) (*design, error) {
	d := &design{rows: x.Rows, means: make([]float64, x.Cols)}
	for f := range x.Cols {
		values := make([]float32, x.Rows)
		missing := make([]float32, x.Rows)
		var sum, total, gone float64
		for r, v := range x.Column(f) {
			w := weightOf(weight, r)
			switch {
			case math.IsInf(float64(v), 0):
				return nil, fmt.Errorf("feature %d is infinite in row %d", f, r)
			case v != v:
				missing[r] = 1
				gone += w
			default:
				values[r] = v
				sum += float64(w * float64(v))
				total += w
			}
		}
		if total > 0 {
			d.means[f] = sum / total
		}
		if gone > 0 {
			for r, m := range missing {
				if m == 1 {
					values[r] = float32(d.means[f])
				}
			}
			d.add(f, true, missing, weight)
		}
		d.add(f, false, values, weight)
	}
	return d, nil
}

func weightOf(weight []float32, r int) float64 {
	if weight == nil {
		return 1
	}
	return float64(weight[r])
}

// add standardises a column and keeps it if it varies.
func (d *design) add(feature int, indicator bool, values, weight []float32) {
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
	c := column{feature: feature, indicator: indicator, mean: sum / total}
	for r, v := range values {
		off := float64(v) - c.mean
		squares += float64(weightOf(weight, r) * float64(off*off))
	}
	c.scale = math.Sqrt(squares / total)
	if !(c.scale > 1e-7*math.Abs(c.mean)) || math.IsInf(c.scale, 0) {
		return // constant, but for rounding
	}
	if nonzero > d.rows/4 {
		c.dense = values
		d.columns = append(d.columns, c)
		return
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
	d.columns = append(d.columns, c)
}

func (d *design) blocks() int { return (d.rows + rowBlock - 1) / rowBlock }

// addTo adds factor times the column to the scores of one block of rows.
func (c *column) addTo(scores []float64, block int, factor float64) {
	first := block * rowBlock
	if c.dense != nil {
		for i, v := range c.dense[first : first+len(scores)] {
			scores[i] += float64(factor * float64(v))
		}
		return
	}
	for k := c.starts[block]; k < c.starts[block+1]; k++ {
		scores[int(c.rows[k])-first] += float64(factor * float64(c.values[k]))
	}
}

// dot is the sum of the column times y.
func (c *column) dot(y []float64) float64 {
	sum := 0.0
	if c.dense != nil {
		for i, v := range c.dense {
			sum += float64(float64(v) * y[i])
		}
		return sum
	}
	for k, r := range c.rows {
		sum += float64(float64(c.values[k]) * y[r])
	}
	return sum
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
