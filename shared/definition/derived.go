package definition

import (
	"slices"

	"github.com/millrace-ml/millrace/shared/features"
)

// Types are the columns whose type the definition declares: those of the quality
// checks, the time, and the key, which is always text. All others are inferred
// from the data.
func (d *Definition) Types() map[string]features.Type {
	types := map[string]features.Type{}
	for _, c := range d.Quality {
		if t, err := features.ParseType(c.Type); err == nil {
			types[c.Column] = t
		}
	}
	if d.Data.Time != "" {
		types[d.Data.Time] = features.Time
	}
	if d.Data.Key != "" {
		types[d.Data.Key] = features.Text
	}
	return types
}

// Roles are the columns that features must not read.
func (d *Definition) Roles() features.Roles {
	return features.Roles{Key: d.Data.Key, Label: features.Label{Name: d.Data.Label.Name, Expr: d.Data.Label.Expr}, After: d.Data.KnownAfter}
}

// Objective is what the model learns, told by the metric: "binary" or "regression".
func (d *Definition) Objective() string {
	if slices.Contains(ofRegression, d.Evaluate.Metric) {
		return "regression"
	}
	return "binary"
}

// MoreIsBetter tells the direction of the gate's metric.
func (e Evaluate) MoreIsBetter() bool { return slices.Contains(moreIsBetter, e.Metric) }
