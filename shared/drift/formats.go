package drift

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Float is a number that is always written with a fraction or an exponent, as
// Model Monitor writes its floats; NaN and infinities cannot be written.
type Float float64

// MarshalJSON writes 1 as 1.0.
func (f Float) MarshalJSON() ([]byte, error) {
	x := float64(f)
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil, fmt.Errorf("encode number: %v has no form in JSON", x)
	}
	b := strconv.AppendFloat(nil, x, 'g', -1, 64)
	if !bytes.ContainsAny(b, ".e") {
		b = append(b, ".0"...)
	}
	return b, nil
}

// Statistics is statistics.json.
type Statistics struct {
	Version  Float               `json:"version"`
	Dataset  Dataset             `json:"dataset"`
	Features []FeatureStatistics `json:"features"`
}

// Dataset is what the statistics are of.
type Dataset struct {
	ItemCount int64 `json:"item_count"`
}

// The types that Model Monitor infers.
const (
	Integral   = "Integral"
	Fractional = "Fractional"
	String     = "String"
	Unknown    = "Unknown"
)

// FeatureStatistics describes one column.
type FeatureStatistics struct {
	Name         string             `json:"name"`
	InferredType string             `json:"inferred_type"`
	Numerical    *NumericStatistics `json:"numerical_statistics,omitempty"`
	String       *StringStatistics  `json:"string_statistics,omitempty"`
}

// Common is said of every column.
type Common struct {
	NumPresent int64 `json:"num_present"`
	NumMissing int64 `json:"num_missing"`
}

// MissingShare is the share of rows without a value.
func (f FeatureStatistics) MissingShare() float64 {
	var c Common
	switch {
	case f.Numerical != nil:
		c = f.Numerical.Common
	case f.String != nil:
		c = f.String.Common
	}
	return float64(c.NumMissing) / float64(max(1, c.NumPresent+c.NumMissing))
}

// NumericStatistics describes numbers.
type NumericStatistics struct {
	Common       Common              `json:"common"`
	Mean         Float               `json:"mean"`
	Sum          Float               `json:"sum"`
	StdDev       Float               `json:"std_dev"`
	Min          Float               `json:"min"`
	Max          Float               `json:"max"`
	Distribution NumericDistribution `json:"distribution"`
}

// NumericDistribution holds the sketch.
type NumericDistribution struct {
	KLL KLL `json:"kll"`
}

// KLL is a sketch and ten buckets of equal width made from it.
type KLL struct {
	Buckets []Bucket `json:"buckets"`
	Sketch  struct {
		Parameters struct {
			C Float `json:"c"`
			K Float `json:"k"`
		} `json:"parameters"`
		Data [][]Float `json:"data"` // items of level i weigh 2^i
	} `json:"sketch"`
}

// Bucket counts the values from LowerBound to below UpperBound; the last one
// has its upper bound too.
type Bucket struct {
	LowerBound Float `json:"lower_bound"`
	UpperBound Float `json:"upper_bound"`
	Count      Float `json:"count"`
}

// StringStatistics describes texts.
type StringStatistics struct {
	Common        Common            `json:"common"`
	DistinctCount Float             `json:"distinct_count"`
	Distribution  *TextDistribution `json:"distribution,omitempty"` // nil: too many different texts
}

// TextDistribution holds the counts.
type TextDistribution struct {
	Categorical struct {
		Buckets []TextBucket `json:"buckets"`
	} `json:"categorical"`
}

// TextBucket counts one text.
type TextBucket struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

const buckets = 10 // fixed by Model Monitor

// Statistics is the profile as statistics.json has it.
func (p *NumericProfile) Statistics(name string) FeatureStatistics {
	s := FeatureStatistics{Name: name, InferredType: Integral}
	switch {
	case p.Present == 0:
		s.InferredType = Unknown
	case p.Fractional:
		s.InferredType = Fractional
	}
	n := &NumericStatistics{Common: Common{NumPresent: p.Present, NumMissing: p.Missing}}
	k := &n.Distribution.KLL
	k.Sketch.Parameters.C, k.Sketch.Parameters.K = SketchShrink, SketchSize
	k.Buckets, k.Sketch.Data = []Bucket{}, [][]Float{}
	if p.Present > 0 {
		n.Mean, n.Sum, n.StdDev = Float(p.Mean()), Float(p.Sum()), Float(p.StdDev())
		n.Min, n.Max = Float(p.Min), Float(p.Max)
		k.Buckets = bucketsOf(p.Sketch.Ranks(), p.Min, p.Max)
		for _, level := range p.Sketch.Levels() {
			items := make([]Float, len(level))
			for i, v := range level {
				items[i] = Float(v)
			}
			k.Sketch.Data = append(k.Sketch.Data, items)
		}
	}
	s.Numerical = n
	return s
}

func bucketsOf(r *Ranks, low, high float64) []Bucket {
	out := make([]Bucket, buckets)
	bound := func(i int) float64 {
		if i == buckets {
			return high
		}
		return low + float64((high-low)*float64(i)/buckets)
	}
	for i := range out {
		from, to := bound(i), bound(i+1)
		count := r.Rank(to, i == buckets-1) - r.Rank(from, false)
		out[i] = Bucket{LowerBound: Float(from), UpperBound: Float(to), Count: Float(count)}
	}
	return out
}

// Statistics is the profile as statistics.json has it.
func (p *TextProfile) Statistics(name string) FeatureStatistics {
	s := &StringStatistics{Common: Common{NumPresent: p.Present, NumMissing: p.Missing}, DistinctCount: Float(p.Distinct())}
	if counts := p.Counts(); counts != nil {
		s.Distribution = &TextDistribution{}
		s.Distribution.Categorical.Buckets = counts
	}
	kind := String
	if p.Present == 0 {
		kind = Unknown
	}
	return FeatureStatistics{Name: name, InferredType: kind, String: s}
}

// Constraints is constraints.json.
type Constraints struct {
	Version          Float                `json:"version"`
	Features         []FeatureConstraints `json:"features"`
	MonitoringConfig MonitoringConfig     `json:"monitoring_config"`
}

// FeatureConstraints is what a column has to keep to.
type FeatureConstraints struct {
	Name         string `json:"name"`
	InferredType string `json:"inferred_type"`
	Completeness Float  `json:"completeness"` // least share of values present
	Num          *struct {
		IsNonNegative bool `json:"is_non_negative"`
	} `json:"num_constraints,omitempty"`
	String *struct {
		Domains []string `json:"domains"`
	} `json:"string_constraints,omitempty"`
}

// MonitoringConfig says how the constraints are checked.
type MonitoringConfig struct {
	EvaluateConstraints     string                  `json:"evaluate_constraints"`
	EmitMetrics             string                  `json:"emit_metrics"`
	DatatypeCheckThreshold  Float                   `json:"datatype_check_threshold"`
	DomainContentThreshold  Float                   `json:"domain_content_threshold"`
	DistributionConstraints DistributionConstraints `json:"distribution_constraints"`
}

// DistributionConstraints says how distributions are compared.
type DistributionConstraints struct {
	PerformComparison              string `json:"perform_comparison"`
	ComparisonThreshold            Float  `json:"comparison_threshold"`
	ComparisonMethod               string `json:"comparison_method"`
	CategoricalComparisonThreshold Float  `json:"categorical_comparison_threshold"`
	CategoricalDriftMethod         string `json:"categorical_drift_method"`
}

// MaxDomain is how many different texts still are a domain that new data has to keep to.
const MaxDomain = 100

// Suggest makes constraints that the data described by s keeps to.
func Suggest(s Statistics) Constraints {
	c := Constraints{Features: []FeatureConstraints{}, MonitoringConfig: MonitoringConfig{
		EvaluateConstraints: "Enabled", EmitMetrics: "Enabled", DatatypeCheckThreshold: 1, DomainContentThreshold: 1,
		DistributionConstraints: DistributionConstraints{
			PerformComparison: "Enabled", ComparisonThreshold: 0.1, ComparisonMethod: "Robust",
			CategoricalComparisonThreshold: 0.1, CategoricalDriftMethod: "LInfinity",
		},
	}}
	for _, f := range s.Features {
		fc := FeatureConstraints{Name: f.Name, InferredType: f.InferredType}
		switch {
		case f.Numerical != nil:
			fc.Completeness = completeness(f.Numerical.Common)
			fc.Num = &struct {
				IsNonNegative bool `json:"is_non_negative"`
			}{f.Numerical.Common.NumPresent > 0 && f.Numerical.Min >= 0}
		case f.String != nil:
			fc.Completeness = completeness(f.String.Common)
			if d := f.String.Distribution; d != nil && len(d.Categorical.Buckets) <= MaxDomain && len(d.Categorical.Buckets) > 0 {
				fc.String = &struct {
					Domains []string `json:"domains"`
				}{domain(d.Categorical.Buckets)}
			}
		}
		c.Features = append(c.Features, fc)
	}
	return c
}

// Marshal writes statistics or constraints as a file.
func Marshal(v any) ([]byte, error) {
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", v, err)
	}
	return append(raw, '\n'), nil
}
