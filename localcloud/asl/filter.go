package asl

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// filter is the expression of [?(...)]: comparisons of paths and literals,
// joined by && || and !.
type filter struct {
	op          string // && || ! exists == != < <= > >= =~
	left, right *filter
	a, b        operand
	re          *regexp.Regexp
}

type operand struct {
	path    *Path // relative to @ or $
	current bool  // @
	literal any
}

const maxFilterDepth = 64

func (s *pathScanner) filter(depth int) (*filter, error) {
	if depth > maxFilterDepth {
		return nil, fmt.Errorf("a filter is nested deeper than %d", maxFilterDepth)
	}
	left, err := s.filterAnd(depth)
	for err == nil {
		s.spaces()
		if !s.eat("||") {
			return left, nil
		}
		var right *filter
		if right, err = s.filterAnd(depth); err == nil {
			left = &filter{op: "||", left: left, right: right}
		}
	}
	return nil, err
}

func (s *pathScanner) filterAnd(depth int) (*filter, error) {
	left, err := s.filterUnary(depth)
	for err == nil {
		s.spaces()
		if !s.eat("&&") {
			return left, nil
		}
		var right *filter
		if right, err = s.filterUnary(depth); err == nil {
			left = &filter{op: "&&", left: left, right: right}
		}
	}
	return nil, err
}

func (s *pathScanner) filterUnary(depth int) (*filter, error) {
	s.spaces()
	if s.peek() == '!' && !strings.HasPrefix(s.src[s.pos:], "!=") {
		s.pos++
		if depth > maxFilterDepth {
			return nil, fmt.Errorf("a filter is nested deeper than %d", maxFilterDepth)
		}
		f, err := s.filterUnary(depth + 1)
		return &filter{op: "!", left: f}, err
	}
	if s.eat("(") {
		f, err := s.filter(depth + 1)
		if err != nil {
			return nil, err
		}
		s.spaces()
		if !s.eat(")") {
			return nil, fmt.Errorf("a parenthesis is not closed at offset %d", s.pos)
		}
		return f, nil
	}
	return s.comparison()
}

func (s *pathScanner) comparison() (*filter, error) {
	a, err := s.operand()
	if err != nil {
		return nil, err
	}
	s.spaces()
	for _, op := range []string{"==", "!=", "<=", ">=", "=~", "<", ">"} {
		if !s.eat(op) {
			continue
		}
		s.spaces()
		f := &filter{op: op, a: a}
		if op == "=~" {
			f.re, err = s.regexp()
			return f, err
		}
		f.b, err = s.operand()
		return f, err
	}
	if a.path == nil {
		return nil, fmt.Errorf("an operator is missing at offset %d", s.pos)
	}
	return &filter{op: "exists", a: a}, nil
}

func (s *pathScanner) regexp() (*regexp.Regexp, error) {
	if !s.eat("/") {
		return nil, fmt.Errorf("a pattern /.../ is missing at offset %d", s.pos)
	}
	start := s.pos
	for s.pos < len(s.src) && s.src[s.pos] != '/' {
		if s.src[s.pos] == '\\' {
			s.pos++
		}
		s.pos++
	}
	if s.pos >= len(s.src) {
		return nil, fmt.Errorf("a pattern is not closed")
	}
	text := s.src[start:s.pos]
	s.pos++
	if s.eat("i") {
		text = "(?i)" + text
	}
	re, err := regexp.Compile("^(?:" + text + ")$")
	if err != nil {
		return nil, fmt.Errorf("pattern /%s/: %w", text, err)
	}
	return re, nil
}

func (s *pathScanner) operand() (operand, error) {
	s.spaces()
	switch c := s.peek(); {
	case c == '@':
		s.pos++
		p := &Path{definite: true}
		err := s.steps(p)
		return operand{path: p, current: true}, err
	case c == '$':
		p, err := s.path()
		if err == nil && p.root != rootValue {
			return operand{}, fmt.Errorf("a filter compares @, $ and literals only")
		}
		return operand{path: p}, err
	case c == '\'' || c == '"':
		text, err := s.quoted()
		return operand{literal: text}, err
	}
	for word, v := range map[string]any{"true": true, "false": false, "null": nil} {
		if s.eat(word) {
			return operand{literal: v}, nil
		}
	}
	start := s.pos
	for s.pos < len(s.src) && strings.IndexByte("+-.eE0123456789", s.src[s.pos]) >= 0 {
		s.pos++
	}
	if v, err := decode(s.src[start:s.pos], true); err == nil {
		if n, ok := v.(json.Number); ok {
			return operand{literal: n}, nil
		}
	}
	return operand{}, fmt.Errorf("a value is missing at offset %d", start)
}

func (o operand) value(root, current any) (any, bool) {
	if o.path == nil {
		return o.literal, true
	}
	if o.current {
		root = current
	}
	v, err := o.path.selectFrom(root)
	return v, err == nil
}

func (f *filter) holds(root, current any) bool {
	switch f.op {
	case "&&":
		return f.left.holds(root, current) && f.right.holds(root, current)
	case "||":
		return f.left.holds(root, current) || f.right.holds(root, current)
	case "!":
		return !f.left.holds(root, current)
	}
	a, okA := f.a.value(root, current)
	switch f.op {
	case "exists":
		return okA
	case "=~":
		text, ok := a.(string)
		return okA && ok && f.re.MatchString(text)
	}
	b, okB := f.b.value(root, current)
	switch f.op {
	case "==":
		return okA && okB && equal(a, b)
	case "!=":
		return !(okA && okB && equal(a, b))
	}
	if !okA || !okB {
		return false
	}
	c, ok := order(a, b)
	if !ok {
		return false
	}
	switch f.op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// order compares two numbers or two strings.
func order(a, b any) (int, bool) {
	if x, ok := asNumber(a); ok {
		y, ok := asNumber(b)
		return compareNumbers(x, y), ok
	}
	x, okX := a.(string)
	y, okY := b.(string)
	return strings.Compare(x, y), okX && okY
}
