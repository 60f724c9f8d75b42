package gbdt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sort"
)

// maxMagnitude bounds labels and weights so that no sum or float32 overflows.
const maxMagnitude float64 = 1 << 100

// Progress is told the metric (logloss or rmse) after every round, from 0. train is
// on the weighted training rows; valid is NaN without validation data.
type Progress func(round int, train, valid float64)

// Train fits a model.
//
// label has one finite value per row, 0 or 1 with Logistic. weight is nil or has one
// finite value >= 0 per row. valid, which may be nil, is only looked at for progress and
// early stopping. The error is a *ParamError, says which input is wrong and where, or
// wraps ctx's error.
func Train(ctx context.Context, p Params, train Matrix, label, weight []float32,
	valid *Matrix, validLabel []float32, progress Progress,
) (*Model, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := checkInputs(p, train, label, weight, valid, validLabel); err != nil {
		return nil, fmt.Errorf("check training data: %w", err)
	}
	c := newCrew(p.threads())
	defer c.close()
	t := newTrainer(p, train, label, weight, c)
	if valid != nil {
		t.valid = &validation{x: *valid, label: validLabel, margin: make([]float32, valid.Rows)}
		for i := range t.valid.margin {
			t.valid.margin[i] = t.base
		}
	}
	return t.run(ctx, progress)
}

func checkInputs(p Params, train Matrix, label, weight []float32, valid *Matrix, validLabel []float32) error {
	if err := train.checkTrainable(); err != nil {
		return err
	}
	if err := checkLabels(p.Objective, "label", train.Rows, label); err != nil {
		return err
	}
	if err := checkWeights(p.Objective, train.Rows, label, weight); err != nil {
		return err
	}
	if valid == nil {
		if validLabel != nil {
			return errors.New("validation labels without validation data")
		}
		if p.EarlyStoppingRounds > 0 {
			return errors.New("early_stopping_rounds needs validation data")
		}
		return nil
	}
	if err := valid.checkTrainable(); err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	if err := sameColumns(train.Cols, train.Names, *valid); err != nil {
		return fmt.Errorf("validation: %w", err)
	}
	return checkLabels(p.Objective, "validation label", valid.Rows, validLabel)
}

func checkLabels(objective, what string, rows int, label []float32) error {
	if len(label) != rows {
		return fmt.Errorf("%d values of %s for %d rows", len(label), what, rows)
	}
	for r, y := range label {
		switch {
		case !(math.Abs(float64(y)) <= maxMagnitude):
			return fmt.Errorf("%s of row %d is %v, must be finite and at most %g", what, r, y, maxMagnitude)
		case objective == Logistic && y != 0 && y != 1:
			return fmt.Errorf("%s of row %d is %v, must be 0 or 1 with %s", what, r, y, objective)
		}
	}
	return nil
}

func checkWeights(objective string, rows int, label, weight []float32) error {
	if weight != nil && len(weight) != rows {
		return fmt.Errorf("%d weights for %d rows", len(weight), rows)
	}
	var zeros, ones, some bool
	for r, y := range label {
		if weight != nil {
			w := float64(weight[r])
			if !(w >= 0 && w <= maxMagnitude) {
				return fmt.Errorf("weight of row %d is %v, must be 0 to %g", r, weight[r], maxMagnitude)
			}
			if w == 0 {
				continue
			}
		}
		some = true
		zeros = zeros || y == 0
		ones = ones || y == 1
	}
	if !some {
		return errors.New("all weights are 0")
	}
	if objective == Logistic && !(zeros && ones) {
		return fmt.Errorf("all labels are %d: two classes are needed with %s", oneIf(ones), objective)
	}
	return nil
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
	base          float32 // margin
	margin        []float32
	grad          []gradient
	valid         *validation
	model         *Model
}

// validation is data that is only scored.
type validation struct {
	x      Matrix
	label  []float32
	margin []float32
}

func newTrainer(p Params, x Matrix, label, weight []float32, c *crew) *trainer {
	data := newBinned(x, weight, p.MaxBin, c)
	t := &trainer{
		params: p, x: x, label: label, weight: weight, crew: c,
		grower: newGrower(data, p.MaxDepth, c),
		margin: make([]float32, x.Rows), grad: make([]gradient, x.Rows),
	}
	score := baseScore(p, label, weight)
	t.model = &Model{
		objective: p.Objective, baseScore: score, features: x.Cols,
		names: append([]string(nil), x.Names...), scalePosWeight: float32(p.ScalePosWeight),
	}
	t.base = t.model.baseMargin()
	for i := range t.margin {
		t.margin[i] = t.base
	}
	if p.Objective == Logistic {
		t.loss = newLogisticLoss(t)
	} else {
		t.loss = newSquaredLoss(t)
	}
	return t
}

// baseScore is the given one, or the weighted mean label.
func baseScore(p Params, label, weight []float32) float32 {
	if p.BaseScore != nil {
		return float32(*p.BaseScore)
	}
	var sum, total float64
	for r, y := range label {
		w := 1.0
		if weight != nil {
			w = float64(weight[r])
		}
		sum += float64(w * float64(y))
		total += w
	}
	mean := float32(sum / total)
	if p.Objective == Logistic { // strictly inside, even when float32 rounds to an end
		mean = min(max(mean, 1e-7), 1-1e-7)
	}
	return mean
}

// run grows tree after tree.
func (t *trainer) run(ctx context.Context, progress Progress) (*Model, error) {
	best, bestRound := math.Inf(1), 0
	rows := blocks(t.x.Rows, lossBlock)
	sums := make([]lossSum, rows)
	total := t.gradients(0, sums)
	for round := range t.params.Rounds {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("train round %d: %w", round, err)
		}
		t.grower.sample(sampleFeatures(t.params, round, t.x.Cols))
		s := t.splitter()
		tr, leaves := t.grower.grow(s, t.grad, total, t.params.Eta)
		t.model.trees = append(t.model.trees, tr)
		t.addLeaves(leaves)
		validMetric := math.NaN()
		if t.valid != nil {
			validMetric = t.score(tr)
		}
		last := round == t.params.Rounds-1
		if !last || progress != nil {
			total = t.gradients(round+1, sums)
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
		t.model.trees = t.model.trees[:bestRound+1]
		t.model.best = bestRound
		t.model.bestScore = best
		t.model.stopped = true
	}
	t.model.compile()
	return t.model, nil
}

func (t *trainer) splitter() *splitter {
	gUnit, hUnit := t.loss.units()
	return &splitter{
		lambda: t.params.Lambda, gamma: t.params.Gamma, minChild: t.params.MinChildWeight,
		gUnit: gUnit, hUnit: hUnit,
	}
}

// gradients fills grad for a round and returns their sum; sums has the loss before
// the round, by blocks of lossBlock rows.
func (t *trainer) gradients(round int, sums []lossSum) cell {
	t.loss.prepare()
	cells := make([]cell, len(sums))
	t.crew.each(len(sums), func(b int) {
		begin, end := b*lossBlock, min((b+1)*lossBlock, t.x.Rows)
		sums[b] = t.loss.gradients(begin, end)
		if t.params.Subsample < 1 {
			t.dropRows(round, begin, end)
		}
		var c cell
		for _, g := range t.grad[begin:end] {
			c.g += int64(g.g)
			c.h += int64(g.h)
		}
		cells[b] = c
	})
	var total cell
	for _, c := range cells {
		total.g += c.g
		total.h += c.h
	}
	return total
}

// dropRows gives no gradient to the rows that a round does not see, as XGBoost.
func (t *trainer) dropRows(round, begin, end int) {
	limit := uint64(t.params.Subsample * (1 << 53))
	for r := begin; r < end; r++ {
		if hash64(uint64(t.params.Seed), uint64(round)<<1, uint64(r))>>11 >= limit {
			t.grad[r] = gradient{}
		}
	}
}

// sampleFeatures draws the features of a round without replacement, at least one.
func sampleFeatures(p Params, round, features int) []int {
	order := make([]int, features)
	for i := range order {
		order[i] = i
	}
	n := max(1, int(p.ColsampleByTree*float64(features)))
	if n >= features {
		return order
	}
	for i := range n {
		j := i + int(hash64(uint64(p.Seed), uint64(round)<<1|1, uint64(i))%uint64(features-i))
		order[i], order[j] = order[j], order[i]
	}
	sort.Ints(order[:n])
	return order[:n]
}

// addLeaves moves the margins of all rows by the tree just grown.
func (t *trainer) addLeaves(leaves []leafRange) {
	t.crew.each(len(leaves), func(i int) {
		l := leaves[i]
		for _, r := range t.grower.rows[l.begin:l.end] {
			t.margin[r] += l.value
		}
	})
}

// score moves the validation margins by a tree and returns the metric.
func (t *trainer) score(tr *tree) float64 {
	v := t.valid
	sums := make([]lossSum, blocks(v.x.Rows, lossBlock))
	t.crew.each(len(sums), func(b int) {
		begin, end := b*lossBlock, min((b+1)*lossBlock, v.x.Rows)
		for r := begin; r < end; r++ {
			node := int32(0)
			for tr.left[node] >= 0 {
				if tr.goesLeft(node, v.x.Data[int(tr.feature[node])*v.x.Rows+r]) {
					node = tr.left[node]
				} else {
					node = tr.right[node]
				}
			}
			v.margin[r] += tr.condition[node]
		}
		sums[b] = t.loss.value(v.margin[begin:end], v.label[begin:end])
	})
	return t.loss.metric(sums)
}
