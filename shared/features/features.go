package features

import "fmt"

// MaxCategories bounds a onehot or ordinal feature: more distinct values in
// training are refused, because such a column is a name, not a category.
const MaxCategories = 1000

// Encodings of a feature.
const (
	EncodeNumber  = ""        // a number; a boolean gives 0 or 1
	EncodeOneHot  = "onehot"  // a 0/1 number per category seen in training; unseen: all 0; missing: all NaN
	EncodeOrdinal = "ordinal" // the index in the sorted categories seen in training; unseen or missing: NaN
)

// Feature is one input of the model, computed from a row.
type Feature struct {
	Name   string `json:"name"`             // unique; [A-Za-z_][A-Za-z0-9_]*, at most 64 characters
	Expr   string `json:"expr"`             // over the row's columns; a column's name alone is that column
	Encode string `json:"encode,omitempty"` // EncodeNumber, EncodeOneHot or EncodeOrdinal
}

// Label is what the model learns. Expr is empty when Name is a column itself.
type Label struct {
	Name string
	Expr string
}

// Roles are the columns that a feature must not read.
type Roles struct {
	Key    string   // names a row: no feature may read it
	Label  Label    // neither the label nor a column that its expression reads may be read
	Weight string   // what weighs rows: no feature may read a column of this name
	After  []string // columns that are known only afterwards
}

// Problem is one thing wrong with one feature, found before any row is read.
type Problem struct {
	Feature int    // index in the features given; -1: the expression given alone, or the label
	Field   string // "name", "expr" or "encode"
	Offset  int    // of the fault in the expression, in characters from 0; -1: the whole field
	Message string
	Hint    string // what to do, may be empty
}

// Error makes a Problem usable as an error.
func (p Problem) Error() string {
	where := p.Field
	if p.Offset >= 0 {
		where = fmt.Sprintf("%s, character %d", p.Field, p.Offset+1)
	}
	s := where + ": " + p.Message
	if p.Feature >= 0 {
		s = fmt.Sprintf("feature %d, %s", p.Feature+1, s)
	}
	if p.Hint != "" {
		s += " (hint: " + p.Hint + ")"
	}
	return s
}
