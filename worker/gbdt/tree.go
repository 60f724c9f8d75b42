package gbdt

// tree is one regression tree, in arrays by node. Node 0 is the root; a leaf has
// left -1. Children come after their parents.
type tree struct {
	left, right []int32
	parent      []int32
	feature     []int32
	// condition is the threshold of a split (x < condition goes left), or the value of a leaf.
	condition   []float32
	defaultLeft []bool
	gain        []float32 // loss change of a split, 0 for a leaf
	cover       []float32 // sum of hessians
	weight      []float32 // the weight the node would have as a leaf; its value if it is one
}

// add appends a leaf and returns its number.
func (t *tree) add(parent int32, cover, weight float32) int32 {
	t.left = append(t.left, -1)
	t.right = append(t.right, -1)
	t.parent = append(t.parent, parent)
	t.feature = append(t.feature, 0)
	t.condition = append(t.condition, 0)
	t.defaultLeft = append(t.defaultLeft, false)
	t.gain = append(t.gain, 0)
	t.cover = append(t.cover, cover)
	t.weight = append(t.weight, weight)
	return int32(len(t.left) - 1)
}

// nodes is the number of nodes.
func (t *tree) nodes() int { return len(t.left) }

// goesLeft tells whether a value at a split goes to the left child.
func (t *tree) goesLeft(node int32, v float32) bool {
	if v != v {
		return t.defaultLeft[node]
	}
	return v < t.condition[node]
}

// depth is the number of splits on the longest path.
func (t *tree) depth() int {
	depth := make([]int, t.nodes())
	deepest := 0
	for n := 1; n < t.nodes(); n++ {
		depth[n] = depth[t.parent[n]] + 1
		deepest = max(deepest, depth[n])
	}
	return deepest
}
