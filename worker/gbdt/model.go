package gbdt

import (
	"fmt"
	"math"
)

// Model is a trained or loaded model. It does not change, and is safe for
// concurrent use.
type Model struct {
	objective      string
	baseScores     []float32 // one, as a prediction; with Softmax a margin for every class
	scalePosWeight float32   // recorded only
	features       int
	names          []string // empty or one per feature
	trees          []*tree  // with Softmax those of a round lie together, by class

	stopped   bool // best is known; bestScore may be NaN
	best      int
	bestScore float64

	compiled []compiledTree
}

// Objective is Logistic, SquaredError or Softmax.
func (m *Model) Objective() string { return m.objective }

// NumFeatures is the number of columns the model wants.
func (m *Model) NumFeatures() int { return m.features }

// FeatureNames are the names of the columns, or nil if they had none.
func (m *Model) FeatureNames() []string { return append([]string(nil), m.names...) }

// NumClasses is the number of classes with Softmax, else 0.
func (m *Model) NumClasses() int {
	if m.objective == Softmax {
		return len(m.baseScores)
	}
	return 0
}

// NumTrees is the number of trees, of all classes.
func (m *Model) NumTrees() int { return len(m.trees) }

// BaseScore is the prediction of a model without trees; with Softmax the margin that the
// first class starts from.
func (m *Model) BaseScore() float32 { return m.baseScores[0] }

// BestIteration is the best round by early stopping (a trained model ends there),
// or the last one. It is -1 for a model without trees.
func (m *Model) BestIteration() int {
	if m.stopped {
		return m.best
	}
	return len(m.trees)/len(m.baseScores) - 1
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

// baseMargin is an output's base score before the objective's transform.
func (m *Model) baseMargin(output int) float32 {
	if m.objective == Logistic {
		return logit32(m.baseScores[output])
	}
	return m.baseScores[output]
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
