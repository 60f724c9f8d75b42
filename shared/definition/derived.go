package definition

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

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
	if l := d.Data.Label; len(l.Classes) > 0 && l.Expr == "" {
		types[l.Name] = features.Text
	}
	return types
}

// Formula is the expression whose number is the label. Of several classes that is the
// place in Classes, -1 for a value that is none of them.
func (l Label) Formula() string {
	expr := l.Expr
	if expr == "" {
		expr = l.Name
	}
	if len(l.Classes) == 0 {
		return expr
	}
	if l.Expr == "" {
		expr = "column(" + strconv.Quote(l.Name) + ")"
	}
	var b strings.Builder
	for i, class := range l.Classes {
		fmt.Fprintf(&b, "(%s) == %s ? %d : ", expr, strconv.Quote(class), i)
	}
	return b.String() + "-1"
}

// Roles are the columns that features must not read.
func (d *Definition) Roles() features.Roles {
	weight := ""
	if reads := features.Reads(d.Data.Weight); len(reads) == 1 && slices.Contains([]string{reads[0], "column(" + strconv.Quote(reads[0]) + ")"}, d.Data.Weight) {
		weight = reads[0]
	}
	return features.Roles{Key: d.Data.Key, Label: features.Label{Name: d.Data.Label.Name, Expr: d.Data.Label.Expr}, Weight: weight, After: d.Data.KnownAfter}
}

// Objective is what the model learns, told by the label and the metric: "binary",
// "multiclass" or "regression".
func (d *Definition) Objective() string {
	if len(d.Data.Label.Classes) > 0 {
		return "multiclass"
	}
	if slices.Contains(ofRegression, d.Evaluate.Metric) {
		return "regression"
	}
	return "binary"
}

// MoreIsBetter tells the direction of the gate's metric.
func (e Evaluate) MoreIsBetter() bool { return slices.Contains(moreIsBetter, e.Metric) }
