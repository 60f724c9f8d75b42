package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Path is a JSONPath of the Amazon States Language. Its root is the value at
// hand ($), the context object ($$) or a variable ($name).
type Path struct {
	src      string
	root     pathRoot
	variable string
	steps    []step
	definite bool // selects at most one value
}

type pathRoot byte

const (
	rootValue pathRoot = iota
	rootContext
	rootVariable
)

type stepKind byte

const (
	stepName stepKind = iota
	stepIndex
	stepWildcard
	stepNames
	stepIndexes
	stepSlice
	stepFilter
	stepLength
)

type step struct {
	kind     stepKind
	descend  bool // ".." before it
	name     string
	index    int
	names    []string
	indexes  []int
	from, to *int
	filter   *filter
}

// String is the path as it was written.
func (p *Path) String() string { return p.src }

// Variable is the name of the variable the path starts at, "" for $ and $$.
func (p *Path) Variable() string { return p.variable }

// ParsePath reads a path; the error says what is wrong with it.
func ParsePath(src string) (*Path, error) {
	s := &pathScanner{src: src}
	p, err := s.path()
	if err != nil {
		return nil, err
	}
	if s.pos < len(src) {
		return nil, fmt.Errorf("unexpected %q at offset %d", src[s.pos:], s.pos)
	}
	p.src = src
	return p, nil
}

// ParseReferencePath reads a path that names one place in $: names and
// indexes only, as ResultPath needs.
func ParseReferencePath(src string) (*Path, error) {
	p, err := ParsePath(src)
	if err != nil {
		return nil, err
	}
	if p.root != rootValue {
		return nil, errors.New("a reference path starts with $ and a field")
	}
	for _, st := range p.steps {
		if st.descend || (st.kind != stepName && st.kind != stepIndex) {
			return nil, errors.New("a reference path has only field names and indexes")
		}
	}
	return p, nil
}

type pathScanner struct {
	src   string
	pos   int
	depth int // filters around
}

func (s *pathScanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *pathScanner) eat(prefix string) bool {
	if strings.HasPrefix(s.src[s.pos:], prefix) {
		s.pos += len(prefix)
		return true
	}
	return false
}

func (s *pathScanner) spaces() {
	for s.peek() == ' ' || s.peek() == '\t' || s.peek() == '\n' {
		s.pos++
	}
}

func (s *pathScanner) path() (*Path, error) {
	p := &Path{definite: true}
	switch {
	case s.eat("$$"):
		p.root = rootContext
	case s.eat("$"):
		start := s.pos
		for s.pos < len(s.src) && identifierByte(s.src[s.pos], s.pos == start) {
			s.pos++
		}
		if s.pos > start {
			p.root, p.variable = rootVariable, s.src[start:s.pos]
		}
	default:
		return nil, errors.New("a path starts with $")
	}
	err := s.steps(p)
	return p, err
}

func identifierByte(c byte, first bool) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80 || !first && c >= '0' && c <= '9'
}

// steps reads as many steps as there are.
func (s *pathScanner) steps(p *Path) error {
	for s.pos < len(s.src) {
		var st step
		var err error
		switch {
		case s.eat(".."):
			st, err = s.afterDots()
			st.descend = true
		case s.eat("."):
			st, err = s.dotted()
		case s.peek() == '[':
			st, err = s.bracket()
		default:
			return nil
		}
		if err != nil {
			return err
		}
		if st.descend || st.kind != stepName && st.kind != stepIndex && st.kind != stepLength {
			p.definite = false
		}
		p.steps = append(p.steps, st)
	}
	return nil
}

func (s *pathScanner) afterDots() (step, error) {
	if s.peek() == '[' {
		return s.bracket()
	}
	return s.dotted()
}

func (s *pathScanner) dotted() (step, error) {
	if s.eat("*") {
		return step{kind: stepWildcard}, nil
	}
	start := s.pos
	for s.pos < len(s.src) && !strings.ContainsRune(".[](), '\"=<>!&|?@*\t\n", rune(s.src[s.pos])) {
		s.pos++
	}
	if s.pos == start {
		return step{}, fmt.Errorf("a field name is missing at offset %d", s.pos)
	}
	name := s.src[start:s.pos]
	if s.eat("()") {
		if name != "length" {
			return step{}, fmt.Errorf("the path function %s() is not supported", name)
		}
		return step{kind: stepLength}, nil
	}
	return step{kind: stepName, name: name}, nil
}

func (s *pathScanner) bracket() (step, error) {
	s.pos++ // [
	s.spaces()
	var st step
	var err error
	switch {
	case s.eat("*"):
		st.kind = stepWildcard
	case s.eat("?"):
		st.kind = stepFilter
		s.spaces()
		if !s.eat("(") {
			return st, errors.New("a filter is written [?(...)]")
		}
		s.depth++
		if st.filter, err = s.filter(s.depth); err != nil {
			return st, err
		}
		s.depth--
		s.spaces()
		if !s.eat(")") {
			return st, fmt.Errorf("a filter is not closed at offset %d", s.pos)
		}
	case s.peek() == '\'' || s.peek() == '"':
		st, err = s.names()
	default:
		st, err = s.numbers()
	}
	if err != nil {
		return st, err
	}
	s.spaces()
	if !s.eat("]") {
		return st, fmt.Errorf("a bracket is not closed at offset %d", s.pos)
	}
	return st, nil
}

func (s *pathScanner) quoted() (string, error) {
	quote := s.src[s.pos]
	s.pos++
	var b strings.Builder
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		s.pos++
		switch {
		case c == quote:
			return b.String(), nil
		case c == '\\' && (s.peek() == quote || s.peek() == '\\'): // before anything else it is itself
			b.WriteByte(s.src[s.pos])
			s.pos++
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a quote is not closed")
}

func (s *pathScanner) names() (step, error) {
	var names []string
	for {
		s.spaces()
		if s.peek() != '\'' && s.peek() != '"' {
			return step{}, fmt.Errorf("a quoted name is missing at offset %d", s.pos)
		}
		n, err := s.quoted()
		if err != nil {
			return step{}, err
		}
		names = append(names, n)
		s.spaces()
		if !s.eat(",") {
			break
		}
	}
	if len(names) == 1 {
		return step{kind: stepName, name: names[0]}, nil
	}
	return step{kind: stepNames, names: names}, nil
}

func (s *pathScanner) integer() (*int, error) {
	s.spaces()
	start := s.pos
	s.eat("-")
	for s.pos < len(s.src) && s.src[s.pos] >= '0' && s.src[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		return nil, nil
	}
	n, err := strconv.Atoi(s.src[start:s.pos])
	if err != nil {
		return nil, fmt.Errorf("%q is no index", s.src[start:s.pos])
	}
	s.spaces()
	return &n, nil
}

func (s *pathScanner) numbers() (step, error) {
	first, err := s.integer()
	if err != nil {
		return step{}, err
	}
	if s.eat(":") {
		to, err := s.integer()
		return step{kind: stepSlice, from: first, to: to}, err
	}
	if first == nil {
		return step{}, fmt.Errorf("an index, a quoted name, * or a filter is missing at offset %d", s.pos)
	}
	indexes := []int{*first}
	for s.eat(",") {
		n, err := s.integer()
		if err != nil {
			return step{}, err
		}
		if n == nil {
			return step{}, fmt.Errorf("an index is missing at offset %d", s.pos)
		}
		indexes = append(indexes, *n)
	}
	if len(indexes) == 1 {
		return step{kind: stepIndex, index: indexes[0]}, nil
	}
	return step{kind: stepIndexes, indexes: indexes}, nil
}

// errNoResult says that a definite path selects nothing; its text is the path
// library's own, which AWS shows to users.
type errNoResult string

func (e errNoResult) Error() string { return string(e) }

// selectFrom applies the steps to root. A definite path gives its value or an
// errNoResult; an indefinite one always gives an array.
func (p *Path) selectFrom(root any) (any, error) {
	if !p.definite {
		found := []any{root}
		for i := range p.steps {
			found = p.steps[i].all(root, found)
		}
		if found == nil {
			found = []any{}
		}
		return found, nil
	}
	cur := root
	for i := range p.steps {
		next, ok := p.steps[i].one(cur)
		if !ok {
			return nil, p.missing(i, cur)
		}
		cur = next
	}
	return cur, nil
}

func (p *Path) missing(i int, at any) error {
	var b strings.Builder
	b.WriteByte('$')
	for _, st := range p.steps[:i+1] {
		if st.kind == stepName {
			b.WriteString("['" + st.name + "']")
		} else {
			b.WriteString("[" + strconv.Itoa(st.index) + "]")
		}
	}
	switch st := p.steps[i]; {
	case st.kind == stepIndex:
		if _, ok := at.([]any); ok {
			return errNoResult("Index out of bounds when evaluating path " + b.String())
		}
		return errNoResult("Filter: [" + strconv.Itoa(st.index) + "] can only be applied to arrays. Current context is: " + display(at))
	case i < len(p.steps)-1:
		return errNoResult("Missing property in path " + b.String())
	}
	return errNoResult("No results for path: " + b.String())
}

func (st *step) one(v any) (any, bool) {
	switch st.kind {
	case stepName:
		obj, ok := v.(*object)
		if !ok {
			return nil, false
		}
		return obj.get(st.name)
	case stepIndex:
		list, ok := v.([]any)
		i := st.index
		if i < 0 {
			i += len(list)
		}
		if !ok || i < 0 || i >= len(list) {
			return nil, false
		}
		return list[i], true
	default: // stepLength
		switch v := v.(type) {
		case []any:
			return number(int64(len(v))), true
		case *object:
			return number(int64(len(v.names))), true
		case string:
			return number(int64(len([]rune(v)))), true
		}
		return nil, false
	}
}

// all applies the step to every value found so far.
func (st *step) all(root any, in []any) []any {
	var out []any
	for _, v := range in {
		if !st.descend {
			out = st.children(root, v, out)
			continue
		}
		walk(v, func(sub any) { out = st.children(root, sub, out) })
	}
	return out
}

func walk(v any, f func(any)) {
	f(v)
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walk(e, f)
		}
	case *object:
		for _, e := range v.values {
			walk(e, f)
		}
	}
}

func (st *step) children(root, v any, out []any) []any {
	switch st.kind {
	case stepWildcard:
		switch v := v.(type) {
		case []any:
			out = append(out, v...)
		case *object:
			out = append(out, v.values...)
		}
	case stepNames:
		for _, n := range st.names {
			if found, ok := (&step{kind: stepName, name: n}).one(v); ok {
				out = append(out, found)
			}
		}
	case stepIndexes:
		for _, i := range st.indexes {
			if found, ok := (&step{kind: stepIndex, index: i}).one(v); ok {
				out = append(out, found)
			}
		}
	case stepSlice:
		if list, ok := v.([]any); ok {
			from, to := sliceBounds(st.from, st.to, len(list))
			out = append(out, list[from:to]...)
		}
	case stepFilter:
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				if st.filter.holds(root, e) {
					out = append(out, e)
				}
			}
		case *object:
			if st.filter.holds(root, v) {
				out = append(out, v)
			}
		}
	default:
		if found, ok := st.one(v); ok {
			out = append(out, found)
		}
	}
	return out
}

func sliceBounds(from, to *int, n int) (int, int) {
	clamp := func(p *int, otherwise int) int {
		if p == nil {
			return otherwise
		}
		i := *p
		if i < 0 {
			i += n
		}
		return max(0, min(i, n))
	}
	a, b := clamp(from, 0), clamp(to, n)
	return a, max(a, b)
}

// put returns root with value at the path's place; objects on the way are
// made, and nothing that is shared is changed.
func (p *Path) put(root, value any) (any, error) { return putAt(root, p.steps, value) }

var errCannotPut = errors.New("cannot apply")

func putAt(at any, steps []step, value any) (any, error) {
	if len(steps) == 0 {
		return value, nil
	}
	st := steps[0]
	if st.kind == stepIndex {
		list, ok := at.([]any)
		if !ok || st.index < 0 || st.index >= len(list) {
			return nil, errCannotPut
		}
		sub, err := putAt(list[st.index], steps[1:], value)
		if err != nil {
			return nil, err
		}
		out := append([]any(nil), list...)
		out[st.index] = sub
		return out, nil
	}
	obj, ok := at.(*object)
	if !ok {
		if at != nil {
			return nil, errCannotPut
		}
		obj = &object{}
	}
	below, has := obj.get(st.name)
	if !has {
		below = &object{}
	}
	sub, err := putAt(below, steps[1:], value)
	if err != nil {
		return nil, err
	}
	return obj.with(st.name, sub), nil
}

// asNumber is v as a JSON number.
func asNumber(v any) (json.Number, bool) {
	n, ok := v.(json.Number)
	return n, ok
}
