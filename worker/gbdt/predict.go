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
	lanes = 8
	// rowsPerTask is the number of rows a goroutine predicts at a time.
	rowsPerTask = 2048
)

// compiledTree is a tree laid out for prediction. A padded one is complete: the
// children of node i are 2i+1 and 2i+2, and values has its 2^depth leaves. Otherwise
// nodes link to their left child, the right one follows, and leaves have left 0.
type compiledTree struct {
	depth  int
	padded bool
	nodes  []compiledNode
	values []float32
}

type compiledNode struct {
	threshold float32
	feature   uint32
	left      int32   // linked only
	value     float32 // linked leaves only
	missLeft  bool
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
			c.nodes[i] = compiledNode{threshold: t.condition[node], feature: uint32(t.feature[node]), missLeft: t.defaultLeft[node]}
		}
	}
	return c
}

func linkTree(t *tree) compiledTree {
	c := compiledTree{nodes: make([]compiledNode, 1, t.nodes())}
	order := []int32{0} // tree node at each compiled node
	for i := 0; i < len(order); i++ {
		node := order[i]
		if t.left[node] < 0 {
			c.nodes[i].value = t.condition[node]
			continue
		}
		c.nodes[i] = compiledNode{
			threshold: t.condition[node], feature: uint32(t.feature[node]),
			left: int32(len(order)), missLeft: t.defaultLeft[node],
		}
		order = append(order, t.left[node], t.right[node])
		c.nodes = append(c.nodes, compiledNode{}, compiledNode{})
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
	for c.nodes[i].left > 0 {
		i = int(c.nodes[i].left) + 1 - c.nodes[i].goesLeft(row)
	}
	return c.nodes[i].value
}

// goesLeft is 1 if the row goes left, else 0.
func (n *compiledNode) goesLeft(row []float32) int {
	v := row[n.feature]
	if v < n.threshold || v != v && n.missLeft {
		return 1
	}
	return 0
}

// PredictMargin writes the raw score of every row of x to out, which must have
// x.Rows values. Data that does not fit the model in number of columns (see Fits)
// gets NaN.
func (m *Model) PredictMargin(x Matrix, out []float32) {
	if x.checkShape() != nil || x.Cols != m.features || len(out) != x.Rows {
		for i := range out {
			out[i] = float32(math.NaN())
		}
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
		m.predictRange(x, begin, out[begin:end])
	})
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

// PredictRow predicts one row of NumFeatures values, like Predict; NaN if the row
// has another length.
func (m *Model) PredictRow(row []float32) float32 {
	if len(row) != m.features {
		return float32(math.NaN())
	}
	margin := m.baseMargin()
	for i := range m.compiled {
		margin += m.compiled[i].walk(row)
	}
	if m.objective == Logistic {
		return sigmoid32(margin)
	}
	return margin
}

// rowBuffers holds blocks of rows in row-major order.
var rowBuffers = sync.Pool{New: func() any { return new([]float32) }}

// predictRange predicts len(out) rows from begin.
func (m *Model) predictRange(x Matrix, begin int, out []float32) {
	rows := min(max(16384/x.Cols/lanes*lanes, lanes), 64)
	buffer := rowBuffers.Get().(*[]float32)
	defer rowBuffers.Put(buffer)
	if cap(*buffer) < rows*x.Cols {
		*buffer = make([]float32, rows*x.Cols)
	}
	block := (*buffer)[:rows*x.Cols]
	base := m.baseMargin()
	for start := 0; start < len(out); start += rows {
		n := min(rows, len(out)-start)
		missing := gather(x, begin+start, n, block)
		part := out[start : start+n]
		for i := range part {
			part[i] = base
		}
		for i := range m.compiled {
			m.compiled[i].addBlock(block, x.Cols, missing, part)
		}
	}
}

// gather copies n rows into block, row by row, and tells whether a value is missing.
func gather(x Matrix, begin, n int, block []float32) bool {
	missing := false
	for c := range x.Cols {
		column := x.Data[c*x.Rows+begin : c*x.Rows+begin+n]
		for i, v := range column {
			block[i*x.Cols+c] = v
			missing = missing || v != v
		}
	}
	return missing
}

// addBlock adds the tree's values to the margins of the rows in a block.
func (c *compiledTree) addBlock(block []float32, cols int, missing bool, margin []float32) {
	i := 0
	if c.padded && !missing {
		for ; i+lanes <= len(margin); i += lanes {
			c.addLanes(block[i*cols:(i+lanes)*cols], cols, margin[i:i+lanes])
		}
	}
	for ; i < len(margin); i++ {
		margin[i] += c.walk(block[i*cols : (i+1)*cols])
	}
}

// addLanes walks lanes rows without missing values in step, without branches.
func (c *compiledTree) addLanes(rows []float32, cols int, margin []float32) {
	var at [lanes]int
	for range c.depth {
		for l := range at {
			n := &c.nodes[at[l]]
			next := 2*at[l] + 2
			if rows[l*cols+int(n.feature)] < n.threshold {
				next = 2*at[l] + 1
			}
			at[l] = next
		}
	}
	for l := range at {
		margin[l] += c.values[at[l]-len(c.nodes)]
	}
}
