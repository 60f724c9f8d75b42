package features

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
)

var featureName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// Check finds what is wrong with the features when only the definition is known:
// types holds the columns whose type is declared, all others are taken on trust.
func Check(defs []Feature, types map[string]Type, roles Roles) []Problem {
	_, problems := compileAll(defs, types, roles, true)
	return problems
}

// CheckExpression is Check for an expression alone, such as a label's. It also
// gives the columns that the expression reads.
func CheckExpression(expr string, types map[string]Type) (columns []string, problems []Problem) {
	e, problems := compileOne(expr, types, true)
	if e != nil {
		columns = e.columns
	}
	return columns, problems
}

// Reads gives the columns that an expression reads, in the order of their first
// appearance, by its syntax alone: types do not matter. Nil when it cannot be parsed.
func Reads(expr string) []string {
	c := newCompiler(nil, true)
	c.expression(expr)
	return c.columns
}

// TypeOf gives the type of an expression's result, Unknown when the declared types
// do not tell or something is wrong with it.
func TypeOf(expr string, types map[string]Type) Type {
	n, ok := newCompiler(types, true).expression(expr)
	if !ok {
		return Unknown
	}
	return n.typ
}

// Expression is one compiled expression with a number or boolean as its result.
type Expression struct {
	columns []string
	num     func([]Value) float64
}

// CompileExpression compiles an expression alone, such as a label's; types must
// hold every column it reads.
func CompileExpression(expr string, types map[string]Type) (*Expression, []Problem) {
	return compileOne(expr, types, false)
}

func compileOne(expr string, types map[string]Type, lenient bool) (*Expression, []Problem) {
	c := newCompiler(types, lenient)
	n, ok := c.expression(expr)
	if ok && (n.typ == Text || n.typ == Time) {
		c.problem(-1, fmt.Sprintf("gives %s, not a number or boolean", article(n.typ)), "")
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return &Expression{columns: c.columns, num: n.num}, nil
}

// Columns are the columns that the expression reads, in the order that Number wants.
func (e *Expression) Columns() []string { return append([]string(nil), e.columns...) }

// Number computes the expression over a row of Columns(); NaN: missing.
func (e *Expression) Number(row []Value) float64 {
	v := e.num(row)
	if math.IsInf(v, 0) {
		return nan
	}
	return v
}

// Program computes all features of a row. It must be fitted before Row is used.
type Program struct {
	key      string
	columns  []string
	types    []Type
	defs     []Feature
	features []computed
	names    []string // of the outputs; nil until fitted
}

// computed is one feature of a Program. first is its place in the output.
type computed struct {
	node       node
	column     int // the column that the feature simply is; -1: an expression
	first      int
	categories []string // sorted; only with an encoding, once fitted
	ofText     map[string]int
	ofNumber   map[float64]int
}

// Compile makes a Program; types must hold every column that a feature reads
// (as declared, else as inferred from the data). All problems are reported at once.
func Compile(defs []Feature, types map[string]Type, roles Roles) (*Program, []Problem) {
	return compileAll(defs, types, roles, false)
}

func compileAll(defs []Feature, types map[string]Type, roles Roles, lenient bool) (*Program, []Problem) {
	c := newCompiler(types, lenient)
	p := &Program{key: roles.Key, defs: append([]Feature(nil), defs...)}
	var problems []Problem
	add := func(feature int, field string, offset int, message, hint string) {
		problems = append(problems, Problem{Feature: feature, Field: field, Offset: offset, Message: message, Hint: hint})
	}
	if len(defs) == 0 {
		add(-1, "features", -1, "there are none", "a model needs at least one feature")
	}
	fromLabel := map[string]bool{}
	if roles.Label.Expr != "" {
		for _, name := range Reads(roles.Label.Expr) {
			fromLabel[name] = true
		}
	}
	named := map[string]int{}
	for i, def := range defs {
		if !featureName.MatchString(def.Name) {
			add(i, "name", -1, fmt.Sprintf("%q is not a name", clip(def.Name)), "letters, digits and _, not beginning with a digit, at most 64")
		} else if first, twice := named[def.Name]; twice {
			add(i, "name", -1, fmt.Sprintf("%q is also the name of feature %d", def.Name, first+1), "")
		} else {
			named[def.Name] = i
		}
		c.problems = nil
		n, ok := c.expression(def.Expr)
		told := map[int]bool{} // what else is wrong with a forbidden column is no help
		for _, name := range slices.Sorted(maps.Keys(c.reads)) {
			if message, hint := forbidden(name, roles, fromLabel); message != "" {
				add(i, "expr", c.reads[name], message, hint)
				told[c.reads[name]] = true
			}
		}
		for _, problem := range c.problems {
			if !told[problem.Offset] {
				problem.Feature = i
				problems = append(problems, problem)
			}
		}
		if message, hint := encodable(def, n, ok); message != "" {
			add(i, "encode", -1, message, hint)
		}
		p.features = append(p.features, computed{node: n, column: c.plain(def.Expr)})
	}
	if len(problems) > 0 {
		return nil, problems
	}
	p.columns, p.types = c.columns, c.columnTypes()
	return p, nil
}

// forbidden says why a feature must not read a column.
func forbidden(name string, roles Roles, fromLabel map[string]bool) (message, hint string) {
	switch {
	case name == "":
	case name == roles.Key:
		return fmt.Sprintf("reads the key %q", name), "a key names a row; a model that learns it learns rows by heart"
	case name == roles.Label.Name:
		return fmt.Sprintf("reads the label %q", name), "the label is what the model must foretell; it is not known when the model is asked"
	case name == roles.Weight:
		return fmt.Sprintf("reads %q, by which rows are weighed", name), "it says how much a row counts, not what it is like; a weight made of features is an expression"
	case slices.Contains(roles.After, name):
		return fmt.Sprintf("reads %q, which data.known_after names", name), "it is not known yet when the model is asked"
	case fromLabel[name]:
		return fmt.Sprintf("reads %q, of which the label is made", name), "it is known only when the label is; the model would cheat in training and fail in use"
	}
	return "", ""
}

// encodable says why a feature's encoding does not go with its type.
func encodable(def Feature, n node, ok bool) (message, hint string) {
	switch def.Encode {
	case EncodeNumber, EncodeOneHot, EncodeOrdinal:
	default:
		hint = "leave it out, or write onehot or ordinal"
		if near := Nearest(def.Encode, []string{EncodeOneHot, EncodeOrdinal}); near != "" {
			hint = "did you mean " + near + "?"
		}
		return fmt.Sprintf("%q is not an encoding", clip(def.Encode)), hint
	}
	switch {
	case !ok:
	case n.typ == Text && def.Encode == EncodeNumber:
		return "the feature is text and has no encoding", "write encode: onehot or encode: ordinal"
	case n.typ == Time:
		return "the feature is a time", "take a number from it: hour, minute_of_day, weekday, day, month, year"
	case n.typ == Boolean && def.Encode != EncodeNumber:
		return "a boolean is 0 or 1 already", "leave encode out"
	}
	return "", ""
}

// plain gives the slot of the column that an expression simply names, or -1.
func (c *compiler) plain(expr string) int {
	if slot, ok := c.slots[expr]; ok {
		return slot
	}
	return -1
}

func (c *compiler) columnTypes() []Type {
	types := make([]Type, len(c.columns))
	for i, name := range c.columns {
		types[i] = c.types[name]
	}
	return types
}

// Columns are the raw columns that the features read, without the key, in the
// order of the rows given to Fit.Observe and Row.
func (p *Program) Columns() []string { return append([]string(nil), p.columns...) }

// Types are the types of Columns().
func (p *Program) Types() []Type { return append([]Type(nil), p.types...) }

// Names are the names of the numbers that Row writes: the feature's name, or
// "origin=ATL" for a category of a onehot feature. Nil until the Program is fitted.
func (p *Program) Names() []string { return append([]string(nil), p.names...) }

// Row computes the numbers of a row of Columns() into out, which has
// len(Names()) places. NaN: missing. Infinities (a division by 0, or a number
// beyond float32) are missing. Safe for concurrent use; allocates nothing,
// unless lower meets upper case. It panics on a Program that is not fitted.
func (p *Program) Row(row []Value, out []float32) {
	if p.names == nil {
		panic("features: Row of a Program that is not fitted")
	}
	_ = out[len(p.names)-1]
	for i := range p.features {
		f := &p.features[i]
		switch p.defs[i].Encode {
		case EncodeNumber:
			if f.column >= 0 {
				out[f.first] = finite(row[f.column].Number)
			} else {
				out[f.first] = finite(f.node.num(row))
			}
		case EncodeOrdinal:
			out[f.first] = float32(math.NaN())
			if index, seen, _ := f.category(row); seen {
				out[f.first] = float32(index)
			}
		case EncodeOneHot:
			block := out[f.first : f.first+len(f.categories)]
			index, seen, missing := f.category(row)
			fill := float32(0)
			if missing {
				fill = float32(math.NaN())
			}
			for j := range block {
				block[j] = fill
			}
			if seen {
				block[index] = 1
			}
		}
	}
}

func (f *computed) category(row []Value) (index int, seen, missing bool) {
	if f.node.typ == Text {
		var v Value
		if f.column >= 0 {
			v = row[f.column]
		} else {
			v = f.node.text(row)
		}
		index, seen = f.ofText[v.Text]
		return index, seen && !v.IsMissing(), v.IsMissing()
	}
	v := f.node.num(row)
	if v != v {
		return 0, false, true
	}
	index, seen = f.ofNumber[v]
	return index, seen, false
}

// finite rounds to float32; what does not fit is missing, and so is the largest of all,
// which trees cannot tell from infinity and many programs write for it.
func finite(v float64) float32 {
	f := float32(v)
	if f >= math.MaxFloat32 || f <= -math.MaxFloat32 {
		return float32(math.NaN())
	}
	return f
}
