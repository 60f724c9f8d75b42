package gbdt

import (
	"math"
	"slices"
)

const (
	// partitionBlock is the number of rows that one task parts.
	partitionBlock = 8192
	// histogramBudget bounds the memory of histograms that are kept for their
	// children, in bytes. It never changes the model: sums are exact.
	histogramBudget = 256 << 20
)

// grower grows trees, one after the other, level by level.
type grower struct {
	data  *binned
	crew  *crew
	depth int
	pool  histogramPool
	keep  int // histograms that may be live at once

	rows         []int32 // all rows; every node owns a range
	toLeft       []int32 // scratch of the same length
	toRight      []int32
	activeGroups []int
	sampled      []bool // by feature
}

// growing is a node that may still be split.
type growing struct {
	node       int32
	begin, end int // in grower.rows
	sum        cell
	hist       []cell // nil if not kept
	best       split
}

func (n *growing) rows() int { return n.end - n.begin }

// siblings are the two children of a split (or the root, alone). hist is the
// histogram of their parent, if it was kept.
type siblings struct {
	left, right *growing
	hist        []cell
}

// leafRange is the rows that fell into a leaf.
type leafRange struct {
	begin, end int
	value      float32
}

func newGrower(data *binned, depth int, c *crew) *grower {
	g := &grower{
		data: data, crew: c, depth: depth,
		rows: make([]int32, data.rows), toLeft: make([]int32, data.rows), toRight: make([]int32, data.rows),
		sampled: make([]bool, len(data.features)),
	}
	g.pool.size = data.histogramSize()
	g.keep = max(8, histogramBudget/(16*g.pool.size))
	return g
}

// sample fixes the features that the next tree may use.
func (g *grower) sample(features []int) {
	clear(g.sampled)
	for _, f := range features {
		g.sampled[f] = true
	}
	g.activeGroups = g.activeGroups[:0]
	for i := range g.data.groups {
		if slices.ContainsFunc(g.data.groups[i].features, func(f int) bool { return g.sampled[f] }) {
			g.activeGroups = append(g.activeGroups, i)
		}
	}
}

// grow makes one tree from the rows' gradients, whose sum is total. eta shrinks its leaves.
func (g *grower) grow(s *splitter, grad []gradient, total cell, eta float64) (*tree, []leafRange) {
	for i := range g.rows {
		g.rows[i] = int32(i)
	}
	t := &tree{}
	root := &growing{node: t.add(noParent, s.cover(total), finite(s.weight(total))), end: len(g.rows), sum: total}
	level := []siblings{{left: root}}
	var leaves []leafRange
	for depth := 0; len(level) > 0; depth++ {
		if depth < g.depth {
			g.findSplits(s, level, grad)
		}
		level, leaves = g.split(s, t, level, leaves, eta)
	}
	return t, leaves
}

// cover is a node's sum of hessians, for the record.
func (s *splitter) cover(c cell) float32 { return finite(float64(c.h) * s.hUnit) }

// finite keeps what is only recorded within float32: a file cannot hold infinity.
func finite(v float64) float32 {
	return float32(max(min(v, math.MaxFloat32), -math.MaxFloat32))
}

// worthSplitting rules out nodes too light to have two children.
func (s *splitter) worthSplitting(n *growing) bool {
	return n != nil && n.rows() >= 2 && n.sum.h >= 2*s.minChildUnits()
}

// findSplits sets the best split of every node of a level. It works through the
// level in runs, so that wide data or deep trees do not need a histogram per node.
func (g *grower) findSplits(s *splitter, level []siblings, grad []gradient) {
	run := max(1, g.keep/4)
	for start := 0; start < len(level); start += run {
		pairs := level[start:min(start+run, len(level))]
		g.findSplitsOf(s, pairs, grad)
		for i := range pairs {
			for _, n := range []*growing{pairs[i].left, pairs[i].right} {
				if n != nil && n.hist != nil && (n.best.feature < 0 || g.pool.live > g.keep) {
					g.pool.put(n.hist)
					n.hist = nil
				}
			}
		}
	}
}

// pairPlan says how the histograms of two siblings come about: small is summed
// over its rows; big is its parent's less small's, or is summed too.
type pairPlan struct {
	small, big *growing // big may be nil
	subtract   bool
}

func (g *grower) findSplitsOf(s *splitter, pairs []siblings, grad []gradient) {
	plans := make([]pairPlan, 0, len(pairs))
	for i := range pairs {
		if plan, ok := g.plan(s, &pairs[i]); ok {
			plans = append(plans, plan)
		}
	}
	groups := len(g.activeGroups)
	results := make([][2]split, len(plans)*groups)
	g.crew.each(len(results), func(task int) {
		p, group := plans[task/groups], &g.data.groups[g.activeGroups[task%groups]]
		g.data.sumGroup(group, p.small.hist, g.rows[p.small.begin:p.small.end], grad)
		results[task][0] = g.bestIn(s, group, p.small)
		if p.big == nil {
			return
		}
		if p.subtract {
			subtract(p.big.hist[group.from:group.to], p.small.hist[group.from:group.to])
		} else {
			g.data.sumGroup(group, p.big.hist, g.rows[p.big.begin:p.big.end], grad)
		}
		results[task][1] = g.bestIn(s, group, p.big)
	})
	for i, r := range results {
		p := plans[i/groups]
		if r[0].better(p.small.best) {
			p.small.best = r[0]
		}
		if p.big != nil && r[1].better(p.big.best) {
			p.big.best = r[1]
		}
	}
}

// plan gives the nodes of a pair their buffers; false if neither can be split.
func (g *grower) plan(s *splitter, pair *siblings) (pairPlan, bool) {
	small, big := pair.left, pair.right
	small.best.feature = -1
	if big != nil {
		big.best.feature = -1
		if big.rows() < small.rows() {
			small, big = big, small
		}
	}
	smallToo, bigToo := s.worthSplitting(small), s.worthSplitting(big)
	switch {
	case !smallToo && !bigToo:
		g.pool.put(pair.hist)
		pair.hist = nil
		return pairPlan{}, false
	case smallToo && !bigToo:
		g.pool.put(pair.hist)
		pair.hist, big = nil, nil
	case !smallToo && pair.hist == nil:
		small, big = big, nil
	}
	small.hist = g.pool.get()
	if big == nil {
		return pairPlan{small: small}, true
	}
	if pair.hist != nil {
		big.hist, pair.hist = pair.hist, nil
		return pairPlan{small: small, big: big, subtract: true}, true
	}
	big.hist = g.pool.get()
	return pairPlan{small: small, big: big}, true
}

// bestIn is the best split of a node on the sampled features of a group.
func (g *grower) bestIn(s *splitter, group *binGroup, n *growing) split {
	best := split{feature: -1}
	var own [bundleBins]cell
	for _, f := range group.features {
		if !g.sampled[f] {
			continue
		}
		bf := &g.data.features[f]
		cells := n.hist[bf.offset:]
		if bf.bundle != nil {
			bf.bundle.cells(cells, n.sum, own[:bf.count()])
			cells = own[:]
		}
		if found := s.best(bf, f, cells[:bf.count()], n.sum); found.better(best) {
			best = found
		}
	}
	return best
}

// split turns the nodes of a level into splits, whose children are the next level,
// or into leaves.
func (g *grower) split(s *splitter, t *tree, level []siblings, leaves []leafRange, eta float64) ([]siblings, []leafRange) {
	var next []siblings
	var parted []*growing
	for _, pair := range level {
		g.pool.put(pair.hist) // left over at the last level
		for _, n := range []*growing{pair.left, pair.right} {
			if n == nil {
				continue
			}
			if n.best.feature < 0 {
				leaves = append(leaves, g.leaf(s, t, n, eta))
				continue
			}
			next = append(next, s.children(g.data, t, n))
			parted = append(parted, n)
		}
	}
	g.part(parted, next)
	return next, leaves
}

func (g *grower) leaf(s *splitter, t *tree, n *growing, eta float64) leafRange {
	value := finite(s.weight(n.sum) * eta)
	t.condition[n.node], t.weight[n.node] = value, value
	return leafRange{n.begin, n.end, value}
}

// children writes the split of n into the tree and adds its children.
func (s *splitter) children(data *binned, t *tree, n *growing) siblings {
	b := n.best
	right := cell{n.sum.g - b.left.g, n.sum.h - b.left.h}
	t.feature[n.node] = int32(b.feature)
	t.condition[n.node] = data.features[b.feature].threshold(b.bin)
	t.defaultLeft[n.node] = b.defaultLeft
	t.gain[n.node] = finite(b.gain)
	l := t.add(n.node, s.cover(b.left), finite(s.weight(b.left)))
	r := t.add(n.node, s.cover(right), finite(s.weight(right)))
	t.left[n.node], t.right[n.node] = l, r
	out := siblings{
		left:  &growing{node: l, sum: b.left, best: split{feature: -1}},
		right: &growing{node: r, sum: right, best: split{feature: -1}},
		hist:  n.hist,
	}
	n.hist = nil
	return out
}

// partTask is a block of the rows of one parted node.
type partTask struct {
	node       int
	begin, end int
	left       int // rows that went left, once known
	leftTo     int // where they go
	rightTo    int
}

// part moves the rows of every parted node so that its left child's come first, in
// their order, then its right child's, and tells the children their ranges.
func (g *grower) part(parted []*growing, next []siblings) {
	var tasks []partTask
	for i, n := range parted {
		for b := n.begin; b < n.end; b += partitionBlock {
			tasks = append(tasks, partTask{node: i, begin: b, end: min(b+partitionBlock, n.end)})
		}
	}
	g.crew.each(len(tasks), func(i int) {
		task := &tasks[i]
		n := parted[task.node]
		task.left = g.partBlock(task, n.best)
		if n.rows() <= partitionBlock { // alone: nobody else reads or writes its range
			copy(g.rows[task.begin:], g.toLeft[task.begin:task.begin+task.left])
			copy(g.rows[task.begin+task.left:task.end], g.toRight[task.begin:])
		}
	})
	var large []partTask
	for start := 0; start < len(tasks); {
		n, stop, left := parted[tasks[start].node], start, 0
		for ; stop < len(tasks) && tasks[stop].node == tasks[start].node; stop++ {
			left += tasks[stop].left
		}
		l, r := n.begin, n.begin+left
		pair := next[tasks[start].node]
		pair.left.begin, pair.left.end = l, r
		pair.right.begin, pair.right.end = r, n.end
		for i := start; i < stop; i++ {
			task := &tasks[i]
			task.leftTo, task.rightTo = l, r
			l += task.left
			r += task.end - task.begin - task.left
		}
		if stop-start > 1 {
			large = append(large, tasks[start:stop]...)
		}
		start = stop
	}
	g.crew.each(len(large), func(i int) {
		task := large[i]
		copy(g.rows[task.leftTo:], g.toLeft[task.begin:task.begin+task.left])
		copy(g.rows[task.rightTo:], g.toRight[task.begin:task.end-task.left])
	})
}

// partBlock writes a block's rows to toLeft and toRight, from the block's beginning
// in each, and returns how many went left.
func (g *grower) partBlock(task *partTask, s split) int {
	f := &g.data.features[s.feature]
	group := &g.data.groups[f.group]
	rows := g.rows[task.begin:task.end]
	toLeft, toRight := g.toLeft[task.begin:task.end], g.toRight[task.begin:task.end]
	toLeft, toRight = toLeft[:len(rows)], toRight[:len(rows)]
	left := 0
	if group.wide != nil {
		side := make([]uint8, f.count())
		f.sides(s, side)
		for i, r := range rows {
			toLeft[left], toRight[i-left] = r, r
			left += int(side[group.wide[r]])
		}
		return left
	}
	var side [packBins]uint8
	f.sides(s, side[:])
	words, shift := group.words, uint(8*f.slot)&31
	for i, r := range rows {
		toLeft[left], toRight[i-left] = r, r
		left += int(side[uint8(words[r]>>shift)])
	}
	return left
}
