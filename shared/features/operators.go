package features

import (
	"math"
	"strings"

	"github.com/expr-lang/expr/ast"
)

var nan = math.NaN()

func (c *compiler) unary(t *ast.UnaryNode) node {
	at := t.Location().From
	x := c.compile(t.Node)
	switch t.Operator {
	case "-", "+":
		if !c.wantNumber(x, t.Operator) || t.Operator == "+" {
			return x
		}
		f := x.num
		return node{typ: x.typ, at: at, num: func(row []Value) float64 { return -f(row) }}
	case "!", "not":
		if !c.want(x, Boolean, t.Operator) {
			return node{at: at, typ: Boolean}
		}
		f := x.num
		return node{typ: Boolean, at: at, num: func(row []Value) float64 { return 1 - f(row) }}
	}
	return c.fail(at, "", "the operator %s is not supported", t.Operator)
}

func (c *compiler) binary(t *ast.BinaryNode) node {
	at := t.Location().From
	if t.Operator == "in" {
		return c.in(t)
	}
	switch t.Operator {
	case "**", "^":
		return c.fail(at, "multiply, or take sqrt or log1p", "powers are not supported: they differ from CPU to CPU")
	case "matches":
		return c.fail(at, "use ==, in, contains, startsWith or endsWith", "regular expressions are not supported in features")
	case "..", "|", ";":
		return c.fail(at, "", "the operator %s is not supported", t.Operator)
	}
	a, b := c.compile(t.Left), c.compile(t.Right)
	switch t.Operator {
	case "+", "-", "*", "/", "%":
		return c.arithmetic(t.Operator, a, b, at)
	case "==", "!=", "<", "<=", ">", ">=":
		return c.compare(t.Operator, a, b, at)
	case "and", "&&", "or", "||":
		return c.logic(t.Operator, a, b, at)
	case "contains", "startsWith", "endsWith":
		return c.search(t.Operator, a, b, at)
	case "??":
		return c.coalesce(a, b, at)
	}
	return c.fail(at, "", "the operator %s is not supported", t.Operator)
}

// arithmetic is float64 throughout. Each operation is a function value of its
// own, so that no compiler can fuse a product and a sum into one rounding.
func (c *compiler) arithmetic(op string, a, b node, at int) node {
	out := node{typ: Number, at: at}
	if op == "-" && a.typ == Time && b.is(Time) || op == "-" && b.typ == Time && a.is(Time) {
		f, g := a.num, b.num // seconds between two times
		out.num = func(row []Value) float64 { return f(row) - g(row) }
		return out
	}
	if op == "+" && a.typ == Text && b.typ == Text {
		return c.fail(at, "", "text cannot be joined")
	}
	if ok := c.wantNumber(a, op); !c.wantNumber(b, op) || !ok {
		return out
	}
	if a.typ == Integer && b.typ == Integer && op != "/" {
		out.typ = Integer
	}
	f, g := a.num, b.num
	switch op {
	case "+":
		out.num = func(row []Value) float64 { return f(row) + g(row) }
	case "-":
		out.num = func(row []Value) float64 { return f(row) - g(row) }
	case "*":
		out.num = func(row []Value) float64 { return f(row) * g(row) }
	case "/":
		out.num = func(row []Value) float64 { return f(row) / g(row) }
	case "%":
		out.num = func(row []Value) float64 { return math.Mod(f(row), g(row)) }
	}
	return out
}

func (c *compiler) compare(op string, a, b node, at int) node {
	out := node{typ: Boolean, at: at}
	t, ok := common(a, b)
	if !ok {
		hint := ""
		if a.typ == Text && b.isNumeric() || b.typ == Text && a.isNumeric() {
			hint = "text is written in quotes, numbers are not"
		}
		c.fail(at, hint, "%s compares %s with %s", op, article(a.typ), article(b.typ))
		return out
	}
	if t == Boolean && op != "==" && op != "!=" {
		c.fail(at, "use and, or, not", "%s cannot order booleans", op)
		return out
	}
	if t == Text {
		out.num = compareText(op, a.text, b.text)
		return out
	}
	out.num = compareNumbers(op, a.num, b.num)
	return out
}

func compareNumbers(op string, f, g func([]Value) float64) func([]Value) float64 {
	truth := func(holds func(x, y float64) bool) func([]Value) float64 {
		return func(row []Value) float64 {
			x, y := f(row), g(row)
			if x != x || y != y {
				return nan
			}
			return number(holds(x, y))
		}
	}
	switch op {
	case "==":
		return truth(func(x, y float64) bool { return x == y })
	case "!=":
		return truth(func(x, y float64) bool { return x != y })
	case "<":
		return truth(func(x, y float64) bool { return x < y })
	case "<=":
		return truth(func(x, y float64) bool { return x <= y })
	case ">":
		return truth(func(x, y float64) bool { return x > y })
	}
	return truth(func(x, y float64) bool { return x >= y })
}

func compareText(op string, f, g func([]Value) Value) func([]Value) float64 {
	return func(row []Value) float64 {
		x, y := f(row), g(row)
		if x.IsMissing() || y.IsMissing() {
			return nan
		}
		switch op {
		case "==":
			return number(x.Text == y.Text)
		case "!=":
			return number(x.Text != y.Text)
		case "<":
			return number(x.Text < y.Text)
		case "<=":
			return number(x.Text <= y.Text)
		case ">":
			return number(x.Text > y.Text)
		}
		return number(x.Text >= y.Text)
	}
}

// logic is three-valued: a missing operand matters only when the other leaves it open.
func (c *compiler) logic(op string, a, b node, at int) node {
	out := node{typ: Boolean, at: at}
	if ok := c.want(a, Boolean, op); !c.want(b, Boolean, op) || !ok {
		return out
	}
	f, g := a.num, b.num
	decides := number(op == "or" || op == "||") // the operand that settles the result alone
	out.num = func(row []Value) float64 {
		x := f(row)
		if x == decides {
			return decides
		}
		y := g(row)
		if y == decides || x == x {
			return y
		}
		return x
	}
	return out
}

func (c *compiler) search(op string, a, b node, at int) node {
	out := node{typ: Boolean, at: at}
	if ok := c.want(a, Text, op); !c.want(b, Text, op) || !ok {
		return out
	}
	holds := strings.Contains
	switch op {
	case "startsWith":
		holds = strings.HasPrefix
	case "endsWith":
		holds = strings.HasSuffix
	}
	f, g := a.text, b.text
	out.num = func(row []Value) float64 {
		x, y := f(row), g(row)
		if x.IsMissing() || y.IsMissing() {
			return nan
		}
		return number(holds(x.Text, y.Text))
	}
	return out
}

func (c *compiler) coalesce(a, b node, at int) node {
	t, ok := common(a, b)
	if !ok {
		return c.fail(at, "", "?? has %s and %s", article(a.typ), article(b.typ))
	}
	out := node{typ: t, at: at}
	if t == Text {
		f, g := a.text, b.text
		out.text = func(row []Value) Value {
			if x := f(row); !x.IsMissing() {
				return x
			}
			return g(row)
		}
		return out
	}
	f, g := a.num, b.num
	out.num = func(row []Value) float64 {
		if x := f(row); x == x {
			return x
		}
		return g(row)
	}
	return out
}

func (c *compiler) conditional(t *ast.ConditionalNode) node {
	cond := c.compile(t.Cond)
	c.want(cond, Boolean, "a condition")
	a, b := c.compile(t.Exp1), c.compile(t.Exp2)
	typ, ok := common(a, b)
	if !ok {
		return c.fail(b.at, "", "one branch gives %s, the other %s", article(a.typ), article(b.typ))
	}
	out := node{typ: typ, at: cond.at}
	q := cond.num
	if typ == Text {
		f, g := a.text, b.text
		out.text = func(row []Value) Value {
			switch q(row) {
			case 1:
				return f(row)
			case 0:
				return g(row)
			}
			return Missing()
		}
		return out
	}
	f, g := a.num, b.num
	out.num = func(row []Value) float64 {
		switch q(row) {
		case 1:
			return f(row)
		case 0:
			return g(row)
		}
		return nan
	}
	return out
}

// in takes a list of constants of one type.
func (c *compiler) in(t *ast.BinaryNode) node {
	x := c.compile(t.Left)
	out := node{typ: Boolean, at: t.Location().From}
	array, ok := t.Right.(*ast.ArrayNode)
	if !ok {
		c.fail(t.Right.Location().From, `write x in ["a", "b"]`, "in needs a list of constants")
		return out
	}
	texts, numbers := map[string]bool{}, map[float64]bool{}
	for _, item := range array.Nodes {
		at, sign := item.Location().From, 1.0
		if u, isUnary := item.(*ast.UnaryNode); isUnary && u.Operator == "-" {
			item, sign = u.Node, -1
		}
		switch v := item.(type) {
		case *ast.StringNode:
			texts[v.Value] = true
			if sign < 0 {
				c.fail(at, "", "text has no sign")
			} else if !x.is(Text) {
				c.fail(at, "", "the list has a text, but what is looked for is %s", article(x.typ))
			}
		case *ast.IntegerNode, *ast.FloatNode:
			f := 0.0
			if i, isInteger := v.(*ast.IntegerNode); isInteger {
				f = float64(i.Value)
			} else {
				f = v.(*ast.FloatNode).Value
			}
			numbers[sign*f] = true
			if !x.isNumeric() {
				c.fail(at, "text is written in quotes", "the list has a number, but what is looked for is %s", article(x.typ))
			}
		default:
			c.fail(at, "", "only text and numbers may stand in a list")
		}
	}
	if len(texts) > 0 && len(numbers) > 0 {
		c.fail(array.Location().From, "", "a list holds text or numbers, not both")
	}
	if f := x.text; x.typ == Text {
		out.num = func(row []Value) float64 {
			v := f(row)
			if v.IsMissing() {
				return nan
			}
			return number(texts[v.Text])
		}
		return out
	}
	f := x.num
	out.num = func(row []Value) float64 {
		v := f(row)
		if v != v {
			return nan
		}
		return number(numbers[v])
	}
	return out
}
