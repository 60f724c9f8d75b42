package gbdt

import (
	"math"
	"runtime"
	"sync"
)

const (
	// paddedDepth is the deepest tree that is laid out as a complete one.
	paddedDepth = 8
	// lanes rows walk down a tree side by side, to hide the latency of memory.
	lanes = 4
	// blockRows is the most rows that go down all trees before the next ones do.
	blockRows = 64
	// rowsPerTask is the number of rows a goroutine predicts at a time.
	rowsPerTask = 2048
)

// compiledTree is a tree laid out for prediction. A padded one is complete: the
// children of node i are 2i+1 and 2i+2, and values has its 2^depth leaves. Otherwise
// left has the left child of every node, the right one follows it, and leaves, whose
// left is 0, have their values at their own numbers.
type compiledTree struct {
	depth  int
	padded bool
	nodes  []compiledNode
	values []float32
	left   []int32
}

// compiledNode is small, so that a model stays in the cache.
type compiledNode struct {
	threshold float32
	feature   uint32 // with missingLeft
}

// missingLeft is the bit of a node's feature that sends missing values left.
const missingLeft = 1 << 31

func compileNode(t *tree, node int32) compiledNode {
	n := compiledNode{t.condition[node], uint32(t.feature[node])}
	if t.defaultLeft[node] {
		n.feature |= missingLeft
	}
	return n
}

// compile prepares the model for prediction.
func (m *Model) compile() {
	m.compiled = make([]compiledTree, len(m.trees))
	for i, t := range m.trees {
		if depth := t.depth(); depth <= paddedDepth {
			m.compiled[i] = padTree(t, depth)
		} else {
			m.compiled[i] = linkTree(t)
		}
	}
}

func padTree(t *tree, depth int) compiledTree {
	inner := 1<<depth - 1
	c := compiledTree{depth: depth, padded: true, nodes: make([]compiledNode, inner), values: make([]float32, inner+1)}
	place := make([]int32, inner+inner+1) // tree node at each position
	for i, node := range place {
		if i > 0 && t.left[place[(i-1)/2]] >= 0 {
			if parent := place[(i-1)/2]; i%2 == 1 {
				node = t.left[parent]
			} else {
				node = t.right[parent]
			}
		} else if i > 0 {
			node = place[(i-1)/2] // below a leaf: the leaf again, on both sides
		}
		place[i] = node
		switch {
		case i >= inner:
			c.values[i-inner] = t.condition[node]
		case t.left[node] >= 0:
			c.nodes[i] = compileNode(t, node)
		}
	}
	return c
}

func linkTree(t *tree) compiledTree {
	n := t.nodes()
	c := compiledTree{nodes: make([]compiledNode, n), values: make([]float32, n), left: make([]int32, n)}
	order := make([]int32, 1, n) // tree node at each compiled node
	for i := 0; i < len(order); i++ {
		node := order[i]
		if t.left[node] < 0 {
			c.values[i] = t.condition[node]
			continue
		}
		c.nodes[i] = compileNode(t, node)
		c.left[i] = int32(len(order))
		order = append(order, t.left[node], t.right[node])
	}
	return c
}

// walk returns the leaf value of one row.
func (c *compiledTree) walk(row []float32) float32 {
	i := 0
	if c.padded {
		for range c.depth {
			i = 2*i + 2 - c.nodes[i].goesLeft(row)
		}
		return c.values[i-len(c.nodes)]
	}
	for c.left[i] > 0 {
		i = int(c.left[i]) + 1 - c.nodes[i].goesLeft(row)
	}
	return c.values[i]
}

// goesLeft is 1 if the row goes left, else 0. Both comparisons are false for a missing
// value, which makes do without a branch.
func (n *compiledNode) goesLeft(row []float32) int {
	v := row[n.feature&^missingLeft]
	below, notAbove := 0, 1
	if v < n.threshold {
		below = 1
	}
	if v >= n.threshold {
		notAbove = 0
	}
	return below | notAbove&int(n.feature>>31)
}

// PredictMargin writes the raw score of every row of x to out, which must have
// x.Rows values. Data that does not fit the model in number of columns (see Fits)
// gets NaN, and so does all data with Softmax: see PredictClassMargins.
func (m *Model) PredictMargin(x Matrix, out []float32) {
	if m.objective == Softmax {
		fillNaN(out)
		return
	}
	m.predict(x, out)
}

// PredictClassMargins is PredictMargin with Softmax: NumClasses values a row, the first
// row's first. Other models give NaN.
func (m *Model) PredictClassMargins(x Matrix, out []float32) {
	if m.objective != Softmax {
		fillNaN(out)
		return
	}
	m.predict(x, out)
}

// Predict is PredictMargin with the objective's transform: probabilities of label 1
// with Logistic, values with SquaredError.
func (m *Model) Predict(x Matrix, out []float32) {
	m.PredictMargin(x, out)
	if m.objective == Logistic {
		for i, margin := range out {
			out[i] = sigmoid32(margin)
		}
	}
}

// PredictClasses is PredictClassMargins turned into probabilities, which add up to 1 in
// every row.
func (m *Model) PredictClasses(x Matrix, out []float32) {
	m.PredictClassMargins(x, out)
	if classes := m.NumClasses(); classes > 0 {
		for start := 0; start+classes <= len(out); start += classes {
			softmax32(out[start : start+classes])
		}
	}
}

// PredictRow predicts one row of NumFeatures values, like Predict; NaN if the row
// has another length, or with Softmax.
func (m *Model) PredictRow(row []float32) float32 {
	if len(row) != m.features || m.objective == Softmax {
		return float32(math.NaN())
	}
	margin := m.baseMargin(0)
	for i := range m.compiled {
		margin += m.compiled[i].walk(row)
	}
	if m.objective == Logistic {
		return sigmoid32(margin)
	}
	return margin
}

// PredictRowClasses predicts one row, like PredictClasses; out has NumClasses values.
func (m *Model) PredictRowClasses(row, out []float32) {
	classes := m.NumClasses()
	if len(row) != m.features || classes == 0 || len(out) != classes {
		fillNaN(out)
		return
	}
	for k := range out {
		out[k] = m.baseMargin(k)
	}
	for i := range m.compiled {
		out[i%classes] += m.compiled[i].walk(row)
	}
	softmax32(out)
}

func fillNaN(out []float32) {
	for i := range out {
		out[i] = float32(math.NaN())
	}
}

// predict writes the margins of all outputs, row by row.
func (m *Model) predict(x Matrix, out []float32) {
	outputs := len(m.baseScores)
	if x.checkShape() != nil || x.Cols != m.features || len(out)%outputs != 0 || len(out)/outputs != x.Rows {
		fillNaN(out)
		return
	}
	tasks := blocks(x.Rows, rowsPerTask)
	c := &crew{threads: 1}
	if threads := min(runtime.GOMAXPROCS(0), tasks); threads > 1 {
		c = newCrew(threads)
		defer c.close()
	}
	c.each(tasks, func(task int) {
		begin, end := task*rowsPerTask, min((task+1)*rowsPerTask, x.Rows)
		m.predictRange(x, begin, end, out[begin*outputs:end*outputs])
	})
}

// rowBuffers holds blocks of rows in row-major order.
var rowBuffers = sync.Pool{New: func() any { return new([]float32) }}

// predictRange predicts rows begin to end.
func (m *Model) predictRange(x Matrix, begin, end int, out []float32) {
	rows := min(max(16384/x.Cols/lanes*lanes, lanes), blockRows)
	buffer := rowBuffers.Get().(*[]float32)
	defer rowBuffers.Put(buffer)
	if cap(*buffer) < rows*x.Cols {
		*buffer = make([]float32, rows*x.Cols)
	}
	block := (*buffer)[:rows*x.Cols]
	outputs := len(m.baseScores)
	var margins [blockRows]float32
	for ; begin < end; begin += rows {
		n := min(rows, end-begin)
		gather(x, begin, n, block)
		margin := margins[:n]
		for k := range outputs {
			base := m.baseMargin(k)
			for i := range margin {
				margin[i] = base
			}
			for i := k; i < len(m.compiled); i += outputs {
				m.compiled[i].addBlock(block, x.Cols, margin)
			}
			for i, v := range margin {
				out[i*outputs+k] = v
			}
		}
		out = out[n*outputs:]
	}
}

// gather copies n rows into block, row by row.
func gather(x Matrix, begin, n int, block []float32) {
	for c := range x.Cols {
		column := x.Data[c*x.Rows+begin : c*x.Rows+begin+n]
		for i, v := range column {
			block[i*x.Cols+c] = v
		}
	}
}

// addBlock adds the tree's values to the margins of the rows in a block.
func (c *compiledTree) addBlock(block []float32, cols int, margin []float32) {
	i := 0
	if c.padded {
		for ; i+lanes <= len(margin); i += lanes {
			c.addLanes(block[i*cols:(i+lanes)*cols], cols, margin[i:i+lanes])
		}
	}
	for ; i < len(margin); i++ {
		margin[i] += c.walk(block[i*cols : (i+1)*cols])
	}
}

// addLanes walks lanes rows in step.
func (c *compiledTree) addLanes(rows []float32, cols int, margin []float32) {
	nodes := c.nodes
	r0, r1, r2, r3 := rows[:cols], rows[cols:2*cols], rows[2*cols:3*cols], rows[3*cols:4*cols]
	i0, i1, i2, i3 := 0, 0, 0, 0
	for range c.depth {
		i0 = 2*i0 + 2 - nodes[i0].goesLeft(r0)
		i1 = 2*i1 + 2 - nodes[i1].goesLeft(r1)
		i2 = 2*i2 + 2 - nodes[i2].goesLeft(r2)
		i3 = 2*i3 + 2 - nodes[i3].goesLeft(r3)
	}
	values := c.values
	margin = margin[:lanes]
	margin[0] += values[i0-len(nodes)]
	margin[1] += values[i1-len(nodes)]
	margin[2] += values[i2-len(nodes)]
	margin[3] += values[i3-len(nodes)]
}
