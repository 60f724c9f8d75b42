package features

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// maxExpression bounds an expression's length in bytes, and with it the depth of
// the parser. maxVisits bounds its size once shared parts (the b of a < b < c,
// the a of a ?: b) are counted each time they are computed: nested, they double.
const (
	maxExpression = 2000
	maxVisits     = 2000
)

// node is a compiled expression. num is set for numbers, booleans and times,
// text for text. Neither is ever called when a type is Unknown.
type node struct {
	typ  Type
	at   int // offset in the expression, in characters
	num  func(row []Value) float64
	text func(row []Value) Value
}

// compiler compiles expressions over one set of columns.
type compiler struct {
	types    map[string]Type
	lenient  bool // a column without a type is taken on trust
	slots    map[string]int
	columns  []string
	problems []Problem
	reads    map[string]int // columns of the expression being compiled → first offset
	visits   int            // nodes of the expression being compiled, so far
}

func newCompiler(types map[string]Type, lenient bool) *compiler {
	return &compiler{types: types, lenient: lenient, slots: map[string]int{}}
}

// expression compiles one expression. ok is false when it added problems.
func (c *compiler) expression(source string) (n node, ok bool) {
	before := len(c.problems)
	c.reads, c.visits = map[string]int{}, 0
	if strings.TrimSpace(source) == "" {
		c.problem(-1, "is empty", "write a column's name or an expression over columns")
		return node{}, false
	}
	if len(source) > maxExpression {
		c.problem(-1, fmt.Sprintf("is longer than %d bytes", maxExpression), "split it into several features")
		return node{}, false
	}
	if _, isColumn := c.types[source]; isColumn {
		return c.column(source, 0), true // also for names that are not identifiers
	}
	tree, err := parse(source)
	if err != nil {
		c.syntax(source, err)
		return node{}, false
	}
	n = c.compile(tree)
	return n, len(c.problems) == before
}

// parse runs the library's parser with none of its own functions.
func parse(source string) (tree ast.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			tree, err = nil, fmt.Errorf("parse expression: %v", r)
		}
	}()
	config := conf.CreateNew()
	config.MaxNodes = 1000
	for name := range config.Builtins {
		config.Disabled[name] = true
	}
	t, err := parser.ParseWithConfig(source, config)
	if err != nil {
		return nil, err
	}
	if t.Node == nil {
		return nil, fmt.Errorf("parse expression: nothing in it")
	}
	return t.Node, nil
}

func (c *compiler) syntax(source string, err error) {
	fault, isFault := err.(*file.Error)
	if !isFault {
		c.problem(-1, err.Error(), "")
		return
	}
	message, hint, at := fault.Message, "", fault.From
	switch {
	case strings.Contains(message, "token EOF"):
		message, at = "the expression ends too early", len([]rune(source))
	case strings.Contains(message, `Operator("=")`):
		hint = "compare with =="
	case strings.Contains(message, `Operator("&")`), strings.Contains(message, `Operator("|")`):
		hint = "write and, or"
	}
	c.problem(min(at, len([]rune(source))), message, hint)
}

func (c *compiler) problem(at int, message, hint string) {
	c.problems = append(c.problems, Problem{Feature: -1, Field: "expr", Offset: at, Message: message, Hint: hint})
}

// fail adds a problem and gives the node that hides its consequences.
func (c *compiler) fail(at int, hint, format string, args ...any) node {
	c.problem(at, fmt.Sprintf(format, args...), hint)
	return node{typ: Unknown, at: at}
}

func (c *compiler) column(name string, at int) node {
	if _, seen := c.reads[name]; !seen {
		c.reads[name] = at
	}
	typ, known := c.types[name]
	if !known && !c.lenient {
		hint := ""
		if near := Nearest(name, slices.Sorted(maps.Keys(c.types))); near != "" {
			hint = "did you mean " + near + "?"
		} else {
			hint = "the columns are " + list(slices.Sorted(maps.Keys(c.types)), 12)
		}
		return c.fail(at, hint, "there is no column %q", name)
	}
	slot, seen := c.slots[name]
	if !seen {
		slot = len(c.columns)
		c.slots[name] = slot
		c.columns = append(c.columns, name)
	}
	n := node{typ: typ, at: at}
	if typ == Text {
		n.text = func(row []Value) Value { return row[slot] }
	} else {
		n.num = func(row []Value) float64 { return row[slot].Number }
	}
	return n
}

func (c *compiler) compile(tree ast.Node) node {
	at := tree.Location().From
	if c.visits++; c.visits > maxVisits {
		if c.visits == maxVisits+1 {
			c.problem(-1, "is too complicated", "split it into several features")
		}
		return node{typ: Unknown, at: at}
	}
	switch t := tree.(type) {
	case *ast.IdentifierNode:
		return c.column(t.Value, at)
	case *ast.IntegerNode:
		if t.Value > 1<<53 || t.Value < -1<<53 {
			return c.fail(at, "write it with a decimal point or an exponent", "%d is too large to be exact", t.Value)
		}
		return constant(Integer, float64(t.Value), at)
	case *ast.FloatNode:
		return constant(Number, t.Value, at)
	case *ast.BoolNode:
		return constant(Boolean, number(t.Value), at)
	case *ast.StringNode:
		v := Value{Text: t.Value}
		return node{typ: Text, at: at, text: func([]Value) Value { return v }}
	case *ast.UnaryNode:
		return c.unary(t)
	case *ast.BinaryNode:
		return c.binary(t)
	case *ast.ConditionalNode:
		return c.conditional(t)
	case *ast.CallNode:
		callee, ok := t.Callee.(*ast.IdentifierNode)
		if !ok {
			return c.fail(at, "", "only functions can be called")
		}
		return c.call(callee.Value, t.Arguments, at)
	case *ast.BuiltinNode:
		return c.unknownFunction(t.Name, at)
	case *ast.NilNode:
		return c.fail(at, "write is_missing(column)", "nil is not a value here")
	case *ast.ArrayNode:
		return c.fail(at, "", "a list may only stand after in")
	case *ast.MemberNode, *ast.ChainNode, *ast.SliceNode:
		return c.fail(at, "", "a column has no parts; . and [ ] are not supported")
	}
	return c.fail(at, "a feature is one expression over columns, with "+functionNames(),
		"this construct is not supported")
}

func constant(t Type, v float64, at int) node {
	return node{typ: t, at: at, num: func([]Value) float64 { return v }}
}

// isNumeric tells whether a node may be used as a number; Unknown may.
func (n node) isNumeric() bool { return n.typ == Number || n.typ == Integer || n.typ == Unknown }

func (n node) is(t Type) bool { return n.typ == t || n.typ == Unknown }

// wantNumber reports a node that is not a number.
func (c *compiler) wantNumber(n node, what string) bool {
	if n.isNumeric() {
		return true
	}
	hint := ""
	switch n.typ {
	case Boolean:
		hint = "write (condition) ? 1 : 0"
	case Time:
		hint = "take a number from it: hour, minute_of_day, weekday, day, month, year"
	case Text:
		hint = "text can be compared, or encoded as onehot or ordinal"
	}
	c.fail(n.at, hint, "%s needs a number, this is %s", what, article(n.typ))
	return false
}

func (c *compiler) want(n node, t Type, what string) bool {
	if n.is(t) {
		return true
	}
	c.fail(n.at, "", "%s needs %s, this is %s", what, article(t), article(n.typ))
	return false
}

// article puts the article before a type's name.
func article(t Type) string {
	if t == Integer || t == Unknown {
		return "an " + t.String()
	}
	return "a " + t.String()
}

// common is the type of two nodes that must agree; ok is false when they do not.
func common(x, y node) (Type, bool) {
	switch {
	case x.typ == Unknown:
		return y.typ, true
	case y.typ == Unknown || x.typ == y.typ:
		return x.typ, true
	case x.isNumeric() && y.isNumeric():
		return Number, true
	}
	return Unknown, false
}

func (c *compiler) unknownFunction(name string, at int) node {
	hint := "the functions are " + functionNames()
	if near := Nearest(name, functionList()); near != "" {
		hint = "did you mean " + near + "?"
	}
	return c.fail(at, hint, "there is no function %q", name)
}

// list joins names, at most the first few of them.
func list(names []string, most int) string {
	if len(names) > most {
		return strings.Join(names[:most], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}
