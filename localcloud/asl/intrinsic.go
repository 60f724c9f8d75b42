package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// expr is what a ".$" field holds: a path or an intrinsic function.
type expr struct {
	src  string
	path *Path
	call *call
}

// call is an intrinsic function with its arguments.
type call struct {
	src  string
	fn   *intrinsic
	args []argument
}

type argument struct {
	literal any
	// raw is a string literal before its \{ and \} were resolved, for States.Format.
	raw  string
	path *Path
	call *call
}

const maxCallDepth = 10 // AWS's limit on nested intrinsic functions

func parseExpr(src string) (*expr, error) {
	if strings.HasPrefix(src, "States.") {
		s := &pathScanner{src: src}
		c, err := s.call(1)
		if err != nil {
			return nil, err
		}
		s.spaces()
		if s.pos < len(src) {
			return nil, fmt.Errorf("unexpected %q after the function", src[s.pos:])
		}
		return &expr{src: src, call: c}, nil
	}
	p, err := ParsePath(src)
	if err != nil {
		return nil, err
	}
	return &expr{src: src, path: p}, nil
}

func (s *pathScanner) call(depth int) (*call, error) {
	if depth > maxCallDepth {
		return nil, fmt.Errorf("intrinsic functions are nested deeper than %d", maxCallDepth)
	}
	start := s.pos
	for s.pos < len(s.src) && (s.src[s.pos] == '.' || identifierByte(s.src[s.pos], false)) {
		s.pos++
	}
	name := s.src[start:s.pos]
	fn, ok := intrinsics[name]
	if !ok {
		return nil, fmt.Errorf("%s is no intrinsic function", name)
	}
	s.spaces()
	if !s.eat("(") {
		return nil, fmt.Errorf("%s needs its arguments in parentheses", name)
	}
	c := &call{fn: fn}
	s.spaces()
	if !s.eat(")") {
		for {
			a, err := s.argument(depth)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			c.args = append(c.args, a)
			s.spaces()
			if s.eat(")") {
				break
			}
			if !s.eat(",") {
				return nil, fmt.Errorf("%s: a comma or parenthesis is missing at offset %d", name, s.pos)
			}
		}
	}
	c.src = s.src[start:s.pos]
	if len(c.args) < fn.min || fn.max >= 0 && len(c.args) > fn.max {
		return nil, fmt.Errorf("%s does not take %d arguments", name, len(c.args))
	}
	return c, nil
}

func (s *pathScanner) argument(depth int) (argument, error) {
	s.spaces()
	switch {
	case s.peek() == '$':
		start := s.pos
		p, err := s.path()
		if err == nil {
			p.src = s.src[start:s.pos]
		}
		return argument{path: p}, err
	case s.peek() == '\'':
		return s.stringArgument()
	case strings.HasPrefix(s.src[s.pos:], "States."):
		c, err := s.call(depth + 1)
		return argument{call: c}, err
	}
	start := s.pos
	for s.pos < len(s.src) && strings.IndexByte(",) \t\n", s.src[s.pos]) < 0 {
		s.pos++
	}
	v, err := decode(s.src[start:s.pos], true)
	if err != nil {
		return argument{}, fmt.Errorf("%q is no argument", s.src[start:s.pos])
	}
	switch v.(type) {
	case nil, bool, json.Number:
		return argument{literal: v}, nil
	}
	return argument{}, fmt.Errorf("%q is no argument", s.src[start:s.pos])
}

func (s *pathScanner) stringArgument() (argument, error) {
	s.pos++
	var plain, raw strings.Builder
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		s.pos++
		switch c {
		case '\'':
			return argument{literal: plain.String(), raw: raw.String()}, nil
		case '\\':
			if s.pos >= len(s.src) {
				return argument{}, errors.New("a string ends in a backslash")
			}
			e := s.src[s.pos]
			s.pos++
			switch e {
			case '\'', '\\':
				plain.WriteByte(e)
				raw.WriteByte(e)
			case '{', '}':
				plain.WriteByte(e)
				raw.WriteByte('\\')
				raw.WriteByte(e)
			default:
				return argument{}, fmt.Errorf("\\%c is no escape in a string", e)
			}
		default:
			plain.WriteByte(c)
			raw.WriteByte(c)
		}
	}
	return argument{}, errors.New("a string is not closed")
}

// scope is what expressions see.
type scope struct {
	value   any
	context func() any
	vars    func(name string) (any, bool)
	rand    func() float64
	uuid    func() string
}

// pathError says that a path selected nothing.
type pathError struct {
	path  *Path
	cause error
}

func (e *pathError) Error() string { return e.cause.Error() }

// callError is a failed intrinsic function.
type callError struct {
	src   string
	cause error
}

func (e *callError) Error() string {
	return fmt.Sprintf("The function '%s' had the following error: %v", e.src, e.cause)
}

func (sc *scope) path(p *Path) (any, error) {
	root := sc.value
	switch p.root {
	case rootContext:
		root = sc.context()
	case rootVariable:
		v, ok := sc.vars(p.variable)
		if !ok {
			return nil, &pathError{p, errNoResult("the variable '" + p.variable + "' is not defined")}
		}
		root = v
	}
	v, err := p.selectFrom(root)
	if err != nil {
		return nil, &pathError{p, err}
	}
	return v, nil
}

func (sc *scope) eval(e *expr) (any, error) {
	if e.path != nil {
		return sc.path(e.path)
	}
	return sc.invoke(e.call)
}

func (sc *scope) invoke(c *call) (any, error) {
	args := make([]any, len(c.args))
	for i, a := range c.args {
		var err error
		switch {
		case a.path != nil:
			args[i], err = sc.path(a.path)
		case a.call != nil:
			args[i], err = sc.invoke(a.call)
		case i == 0 && c.fn.rawFirst && a.raw != "":
			args[i] = a.raw
		default:
			args[i] = a.literal
		}
		if err != nil {
			return nil, err
		}
	}
	v, err := c.fn.run(sc, args)
	if err != nil {
		return nil, &callError{c.src, err}
	}
	return v, nil
}

// template is a payload template: constants, objects and arrays in which
// fields named "x.$" are expressions.
type template struct {
	constant bool
	value    any // constant
	expr     *expr
	field    string // the name of the expression's field, with ".$"
	array    []*template
	// of an object: its members, and by the name that each will have
	fields []*template
	names  []string
	index  map[string]int
}

// add gives an object's template a member.
func (t *template) add(name string, field *template) {
	t.names, t.fields = append(t.names, name), append(t.fields, field)
	t.constant = t.constant && field.constant
}

// compileTemplate makes a template of a JSON value; problem gets what is wrong.
func compileTemplate(v any, loc string, problem func(loc, format string, args ...any)) *template {
	switch v := v.(type) {
	case []any:
		t := &template{constant: true, value: v}
		for i, e := range v {
			sub := compileTemplate(e, fmt.Sprintf("%s[%d]", loc, i), problem)
			t.array = append(t.array, sub)
			t.constant = t.constant && sub.constant
		}
		return t
	case *object:
		t := &template{constant: true, value: v}
		for i, k := range v.names {
			name, isExpr := strings.CutSuffix(k, ".$")
			if !isExpr {
				sub := compileTemplate(v.values[i], loc+"/"+k, problem)
				t.add(k, sub)
				continue
			}
			if v.has(name) {
				problem(loc, "The field '%s' is given twice, with and without '.$'", name)
			}
			src, ok := v.values[i].(string)
			e, err := parseExpr(src)
			if !ok || err != nil {
				problem(loc, "The value for the field '%s' must be a valid JSONPath or a valid intrinsic function call", k)
				continue
			}
			t.add(name, &template{expr: e, field: k})
		}
		if len(t.names) > few {
			t.index = indexOf(t.names)
		}
		return t
	}
	return &template{constant: true, value: v}
}

// templateError names the field whose path selected nothing.
type templateError struct {
	field string
	err   *pathError
}

func (e *templateError) Error() string { return e.err.Error() }

func (t *template) eval(sc *scope) (any, error) {
	switch {
	case t.constant:
		return t.value, nil
	case t.expr != nil:
		v, err := sc.eval(t.expr)
		var pe *pathError
		if errors.As(err, &pe) {
			return nil, &templateError{t.field, pe}
		}
		return v, err
	case t.array != nil:
		out := make([]any, len(t.array))
		for i, e := range t.array {
			v, err := e.eval(sc)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	}
	// All that the template makes share its names.
	out := &object{names: t.names, values: make([]any, len(t.fields)), index: t.index}
	for i, field := range t.fields {
		v, err := field.eval(sc)
		if err != nil {
			return nil, err
		}
		out.values[i] = v
	}
	return out, nil
}
