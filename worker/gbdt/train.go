package gbdt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sort"

	"github.com/millrace-ml/millrace/shared/hyperparameters"
)

// Progress is told the metric (see Params.Metric) after every round, from 0, on the
// weighted rows; valid is NaN without validation data.
type Progress func(round int, train, valid float64)

// Rows are what is learned from. Label has one finite value per row, 0 or 1 with Logistic
// and a class's number with Softmax. Weight, which is also how classes get weights, is nil
// or has one finite value >= 0 per row.
type Rows struct {
	X             Matrix
	Label, Weight []float32
}

// Train fits a model. valid, which may be nil, is only looked at for progress and early
// stopping. The error is a *hyperparameters.Error, says which input is wrong and where, or
// wraps ctx's error.
func Train(ctx context.Context, p Params, train Rows, valid *Rows, progress Progress) (*Model, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if err := checkInputs(p, train, valid); err != nil {
		return nil, fmt.Errorf("check training data: %w", err)
	}
	c := newCrew(cmp.Or(p.Threads, runtime.GOMAXPROCS(0)))
	defer c.close()
	t := newTrainer(p, train, c)
	if valid != nil {
		t.valid = &validation{Rows: *valid, margin: t.startingMargins(valid.X.Rows)}
	}
	return t.run(ctx, progress)
}

func checkInputs(p Params, train Rows, valid *Rows) error {
	if err := train.check(p, p.Objective != SquaredError); err != nil {
		return err
	}
	if valid == nil {
		if p.EarlyStoppingRounds > 0 {
			return errors.New("early_stopping_rounds needs validation data")
		}
		return nil
	}
	if err := valid.check(p, false); err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	if err := sameColumns(train.X.Cols, train.X.Names, valid.X); err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	return nil
}

// check says what is wrong with the rows; several asks for two labels among those with weight.
func (d *Rows) check(p Params, several bool) error {
	if err := d.X.checkTrainable(); err != nil {
		return err
	}
	if d.X.Rows > maxRows/p.Outputs() {
		return fmt.Errorf("%d rows with %d classes are too many: their product may be %d", d.X.Rows, p.NumClass, maxRows)
	}
	if len(d.Label) != d.X.Rows {
		return fmt.Errorf("%d labels for %d rows", len(d.Label), d.X.Rows)
	}
	if d.Weight != nil && len(d.Weight) != d.X.Rows {
		return fmt.Errorf("%d weights for %d rows", len(d.Weight), d.X.Rows)
	}
	some, differ, first := false, false, float32(0)
	for r, y := range d.Label {
		switch {
		case !(math.Abs(float64(y)) <= hyperparameters.MaxMagnitude):
			return fmt.Errorf("label of row %d is %v, must be finite and at most %g", r, y, hyperparameters.MaxMagnitude)
		case p.Objective == Logistic && y != 0 && y != 1:
			return fmt.Errorf("label of row %d is %v, must be 0 or 1 with %s", r, y, p.Objective)
		case p.Objective == Softmax && !(y >= 0 && y < float32(p.NumClass) && y == float32(int(y))):
			return fmt.Errorf("label of row %d is %v, must be a class from 0 to %d with %s", r, y, p.NumClass-1, p.Objective)
		}
		w := d.weight(r)
		if !(w >= 0 && w <= hyperparameters.MaxMagnitude) {
			return fmt.Errorf("weight of row %d is %v, must be 0 to %g", r, w, hyperparameters.MaxMagnitude)
		}
		if w == 0 {
			continue
		}
		if !some {
			some, first = true, y
		}
		differ = differ || y != first
	}
	if !some {
		return errors.New("all weights are 0")
	}
	if several && !differ {
		return fmt.Errorf("all labels are %v: two classes are needed with %s", first, p.Objective)
	}
	return nil
}

// weight is a row's.
func (d *Rows) weight(row int) float64 {
	if d.Weight == nil {
		return 1
	}
	return float64(d.Weight[row])
}

// sameColumns tells whether x has the columns of a model or another matrix. Names
// are compared only where both have them.
func sameColumns(cols int, names []string, x Matrix) error {
	if x.Cols != cols {
		return fmt.Errorf("matrix has %d columns, want %d", x.Cols, cols)
	}
	if len(names) == 0 || len(x.Names) == 0 {
		return nil
	}
	for c, name := range names {
		if x.Names[c] != name {
			return fmt.Errorf("column %d is named %q, want %q", c, x.Names[c], name)
		}
	}
	return nil
}

// trainer is the state of one training.
type trainer struct {
	params        Params
	x             Matrix
	label, weight []float32
	crew          *crew
	grower        *grower
	loss          loss
	margin        []float32  // of all rows for the first class, for the second, and so on
	grad          []gradient // in the same order
	valid         *validation
	model         *Model
}

// validation is data that is only scored.
type validation struct {
	Rows
	margin []float32 // as trainer.margin
}

func newTrainer(p Params, train Rows, c *crew) *trainer {
	x := train.X
	data := newBinned(x, train.Weight, p.MaxBin, c)
	t := &trainer{
		params: p, x: x, label: train.Label, weight: train.Weight, crew: c,
		grower: newGrower(data, p.MaxDepth, c),
		grad:   make([]gradient, p.Outputs()*x.Rows),
	}
	scores := make([]float32, p.Outputs())
	for k := range scores {
		scores[k] = baseScore(p, train)
	}
	t.model = &Model{
		objective: p.Objective, baseScores: scores, features: x.Cols,
		names: append([]string(nil), x.Names...), scalePosWeight: float32(p.ScalePosWeight),
	}
	t.margin = t.startingMargins(x.Rows)
	switch p.Objective {
	case Logistic:
		t.loss = newLogisticLoss(t)
	case Softmax:
		t.loss = newSoftmaxLoss(t)
	default:
		t.loss = newSquaredLoss(t)
	}
	return t
}

// startingMargins are the margins of rows before the first tree.
func (t *trainer) startingMargins(rows int) []float32 {
	margin := make([]float32, t.params.Outputs()*rows)
	for i := range margin {
		margin[i] = t.model.baseMargin(i / rows)
	}
	return margin
}

// baseScore is the given one, or the weighted mean label. XGBoost's layout has one number
// for all classes (until 3.1), so with Softmax it says nothing, and has XGBoost's value.
func baseScore(p Params, train Rows) float32 {
	if p.BaseScore != nil {
		return float32(*p.BaseScore)
	}
	if p.Objective == Softmax {
		return 0.5
	}
	var sum, total float64
	for r, y := range train.Label {
		w := train.weight(r)
		sum += float64(w * float64(y))
		total += w
	}
	mean := float32(sum / total)
	if p.Objective == Logistic {
		mean = min(max(mean, leastBase), 1-leastBase)
	}
	return mean
}

// run grows tree after tree.
func (t *trainer) run(ctx context.Context, progress Progress) (*Model, error) {
	best, bestRound := math.Inf(1), 0
	rows := blocks(t.x.Rows, lossBlock)
	sums := make([]lossSum, rows)
	totals := t.gradients(0, sums)
	for round := range t.params.Rounds {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("train round %d: %w", round, err)
		}
		for output, total := range totals {
			t.growTree(round, output, total)
		}
		validMetric := math.NaN()
		if t.valid != nil {
			validMetric = t.score()
		}
		last := round == t.params.Rounds-1
		if !last || progress != nil {
			totals = t.gradients(round+1, sums)
		}
		if progress != nil {
			progress(round, t.loss.metric(sums), validMetric)
		}
		if t.params.EarlyStoppingRounds == 0 {
			continue
		}
		if validMetric < best {
			best, bestRound = validMetric, round
		}
		if round-bestRound >= t.params.EarlyStoppingRounds || last {
			break
		}
	}
	if t.params.EarlyStoppingRounds > 0 {
		t.model.trees = t.model.trees[:(bestRound+1)*len(totals)]
		t.model.best = bestRound
		t.model.bestScore = best
		t.model.stopped = true
	}
	t.model.compile()
	return t.model, nil
}

// growTree grows the tree of a round for one output, and moves that output's margins.
func (t *trainer) growTree(round, output int, total cell) {
	t.grower.sample(sampleFeatures(t.params, t.treeNumber(round, output), t.x.Cols))
	from, to := output*t.x.Rows, (output+1)*t.x.Rows
	tr, leaves := t.grower.grow(t.splitter(), t.grad[from:to], total, t.params.Eta)
	t.model.trees = append(t.model.trees, tr)
	t.addLeaves(leaves, t.margin[from:to])
	if t.valid != nil {
		t.moveValidation(tr, output)
	}
}

// treeNumber counts the trees from 0.
func (t *trainer) treeNumber(round, output int) int { return round*t.params.Outputs() + output }

func (t *trainer) splitter() *splitter {
	gUnit, hUnit := t.loss.units()
	return &splitter{
		lambda: t.params.Lambda, gamma: t.params.Gamma, minChild: t.params.MinChildWeight,
		gUnit: gUnit, hUnit: hUnit,
	}
}

// gradients fills grad for a round and returns their sum by output; sums has the loss
// before the round, by blocks of lossBlock rows.
func (t *trainer) gradients(round int, sums []lossSum) []cell {
	t.loss.prepare()
	outputs := t.params.Outputs()
	cells := make([]cell, len(sums)*outputs)
	t.crew.each(len(sums), func(b int) {
		begin, end := b*lossBlock, min((b+1)*lossBlock, t.x.Rows)
		sums[b] = t.loss.gradients(begin, end)
		for k := range outputs {
			grad := t.grad[k*t.x.Rows+begin : k*t.x.Rows+end]
			if t.params.Subsample < 1 {
				t.dropRows(t.treeNumber(round, k), begin, grad)
			}
			c := &cells[b*outputs+k]
			for _, g := range grad {
				c.g += int64(g.g)
				c.h += int64(g.h)
			}
		}
	})
	totals := make([]cell, outputs)
	for i, c := range cells {
		totals[i%outputs].g += c.g
		totals[i%outputs].h += c.h
	}
	return totals
}

// dropRows gives no gradient to the rows, from begin, that a tree does not see, as XGBoost.
func (t *trainer) dropRows(tree, begin int, grad []gradient) {
	limit := uint64(t.params.Subsample * (1 << 53))
	for i := range grad {
		if hash64(uint64(t.params.Seed), uint64(tree)<<1, uint64(begin+i))>>11 >= limit {
			grad[i] = gradient{}
		}
	}
}

// sampleFeatures draws the features of a tree without replacement, at least one.
func sampleFeatures(p Params, tree, features int) []int {
	order := make([]int, features)
	for i := range order {
		order[i] = i
	}
	n := max(1, int(p.ColsampleByTree*float64(features)))
	if n >= features {
		return order
	}
	for i := range n {
		j := i + int(hash64(uint64(p.Seed), uint64(tree)<<1|1, uint64(i))%uint64(features-i))
		order[i], order[j] = order[j], order[i]
	}
	sort.Ints(order[:n])
	return order[:n]
}

// addLeaves moves the margins of all rows by the tree just grown.
func (t *trainer) addLeaves(leaves []leafRange, margin []float32) {
	t.crew.each(len(leaves), func(i int) {
		l := leaves[i]
		for _, r := range t.grower.rows[l.begin:l.end] {
			margin[r] += l.value
		}
	})
}

// moveValidation moves the validation margins of an output by its tree.
func (t *trainer) moveValidation(tr *tree, output int) {
	v := t.valid
	margin := v.margin[output*v.X.Rows : (output+1)*v.X.Rows]
	t.crew.each(blocks(v.X.Rows, lossBlock), func(b int) {
		for r := b * lossBlock; r < min((b+1)*lossBlock, v.X.Rows); r++ {
			node := int32(0)
			for tr.left[node] >= 0 {
				if tr.goesLeft(node, v.X.Data[int(tr.feature[node])*v.X.Rows+r]) {
					node = tr.left[node]
				} else {
					node = tr.right[node]
				}
			}
			margin[r] += tr.condition[node]
		}
	})
}

// score returns the metric on the validation data.
func (t *trainer) score() float64 {
	sums := make([]lossSum, blocks(t.valid.X.Rows, lossBlock))
	t.crew.each(len(sums), func(b int) {
		sums[b] = t.loss.value(t.valid, b*lossBlock, min((b+1)*lossBlock, t.valid.X.Rows))
	})
	return t.loss.metric(sums)
}
