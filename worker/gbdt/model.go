package gbdt

import (
	"fmt"
	"math"
)

// Model is a trained or loaded model. It does not change, and is safe for
// concurrent use.
type Model struct {
	objective      string
	baseScore      float32 // as a prediction, not a margin
	scalePosWeight float32 // recorded only
	features       int
	names          []string // empty or one per feature
	trees          []*tree

	stopped   bool // best is known; bestScore may be NaN
	best      int
	bestScore float64

	compiled []compiledTree
}

// Objective is Logistic or SquaredError.
func (m *Model) Objective() string { return m.objective }

// NumFeatures is the number of columns the model wants.
func (m *Model) NumFeatures() int { return m.features }

// FeatureNames are the names of the columns, or nil if they had none.
func (m *Model) FeatureNames() []string { return append([]string(nil), m.names...) }

// NumTrees is the number of trees.
func (m *Model) NumTrees() int { return len(m.trees) }

// BaseScore is the prediction of a model without trees.
func (m *Model) BaseScore() float32 { return m.baseScore }

// BestIteration is the best round by early stopping (a trained model ends there),
// or the last one. It is -1 for a model without trees.
func (m *Model) BestIteration() int {
	if m.stopped {
		return m.best
	}
	return len(m.trees) - 1
}

// BestScore is the metric at BestIteration; false if it is not known.
func (m *Model) BestScore() (float64, bool) {
	if !m.stopped || math.IsNaN(m.bestScore) {
		return 0, false
	}
	return m.bestScore, true
}

// Fits tells whether the model can predict from x: the number of columns, and their
// names and order where both have names.
func (m *Model) Fits(x Matrix) error {
	if err := x.checkShape(); err != nil {
		return err
	}
	if err := sameColumns(m.features, m.names, x); err != nil {
		return fmt.Errorf("match data to model: %w", err)
	}
	return nil
}

// baseMargin is the base score before the objective's transform.
func (m *Model) baseMargin() float32 {
	if m.objective == Logistic {
		return logit32(m.baseScore)
	}
	return m.baseScore
}

// Importance gives, for every feature, the mean gain (loss reduction) and the mean cover
// (sum of hessians) of the splits that use it; 0 if none does. These are XGBoost's
// importance types "gain" and "cover".
func (m *Model) Importance() (gain, cover []float64) {
	gain, cover = make([]float64, m.features), make([]float64, m.features)
	splits := make([]float64, m.features)
	for _, t := range m.trees {
		for n, left := range t.left {
			if left < 0 {
				continue
			}
			f := t.feature[n]
			gain[f] += float64(t.gain[n])
			cover[f] += float64(t.cover[n])
			splits[f]++
		}
	}
	for f, n := range splits {
		if n > 0 {
			gain[f] /= n
			cover[f] /= n
		}
	}
	return gain, cover
}
