package features

// Check finds what is wrong with the features when only the definition is known:
// types holds the columns whose type is declared, all others are taken on trust.
func Check(defs []Feature, types map[string]Type, roles Roles) []Problem { panic("soon") }

// CheckExpression is Check for an expression alone, such as a label's.
func CheckExpression(expr string, types map[string]Type) []Problem { panic("soon") }

// Expression is one compiled expression with a number or boolean as its result.
type Expression struct{}

// CompileExpression compiles an expression alone, such as a label's; types must
// hold every column it reads.
func CompileExpression(expr string, types map[string]Type) (*Expression, []Problem) { panic("soon") }

// Columns are the columns that the expression reads, in the order that Number wants.
func (e *Expression) Columns() []string { panic("soon") }

// Number computes the expression over a row of Columns(); NaN: missing.
func (e *Expression) Number(row []Value) float64 { panic("soon") }

// Program computes all features of a row. It must be fitted before Row is used.
type Program struct{}

// Compile makes a Program; types must hold every column that a feature reads
// (as declared, else as inferred from the data). All problems are reported at once.
func Compile(defs []Feature, types map[string]Type, roles Roles) (*Program, []Problem) { panic("soon") }

// Columns are the raw columns that the features read, without the key, in the
// order of the rows given to Decode, Fit.Observe and Row.
func (p *Program) Columns() []string { panic("soon") }

// Types are the types of Columns().
func (p *Program) Types() []Type { panic("soon") }

// Decode parses the cells of Columns() into row (both of that length). The error
// is a *CellError. Allocates nothing when nothing is wrong.
func (p *Program) Decode(cells []string, row []Value) error { panic("soon") }

// CellError is a cell that is not of its column's type.
type CellError struct {
	Column string
	Err    error
}

func (e *CellError) Error() string { return e.Column + ": " + e.Err.Error() }
func (e *CellError) Unwrap() error { return e.Err }

// Fit collects the categories of the training rows. Not safe for concurrent use;
// shards may each have their own and be merged, in any order.
type Fit struct{}

// NewFit begins a fit.
func (p *Program) NewFit() *Fit { panic("soon") }

// Observe takes a training row.
func (f *Fit) Observe(row []Value) { panic("soon") }

// Merge adds what another fit of the same Program has seen.
func (f *Fit) Merge(other *Fit) { panic("soon") }

// Program gives the fitted Program; the error names a feature with more than
// MaxCategories categories, or with none.
func (f *Fit) Program() (*Program, error) { panic("soon") }

// Names are the names of the numbers that Row writes: the feature's name, or
// "origin=ATL" for a category of a onehot feature. Only of a fitted Program.
func (p *Program) Names() []string { panic("soon") }

// Row computes the numbers of a row of Columns() into out, which has
// len(Names()) places. NaN: missing. Infinities (a division by 0) are missing.
// Safe for concurrent use; allocates nothing.
func (p *Program) Row(row []Value, out []float32) { panic("soon") }

// Spec is serving.json: everything that serving needs to compute the same features.
type Spec struct {
	Version      int                 `json:"version"` // 1
	Pipeline     string              `json:"pipeline"`
	Objective    string              `json:"objective"` // "binary" or "regression"
	Key          string              `json:"key"`
	Columns      []string            `json:"columns"` // of a request's row: the key, then Program.Columns()
	Types        map[string]string   `json:"types"`   // of Columns; the key is text
	Features     []Feature           `json:"features"`
	Encodings    map[string][]string `json:"encodings"` // feature → its categories, sorted
	FeatureNames []string            `json:"feature_names"`
}

// Spec describes a fitted Program.
func (p *Program) Spec(pipeline, objective string) Spec { panic("soon") }

// Marshal writes the specification as canonical JSON: the same bytes for the same Program.
func (s Spec) Marshal() ([]byte, error) { panic("soon") }

// FromSpec makes the fitted Program that a specification describes.
func FromSpec(s Spec) (*Program, error) { panic("soon") }

// Load reads serving.json strictly: the specification and its fitted Program.
func Load(data []byte) (Spec, *Program, error) { panic("soon") }
