package definition

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/millrace-ml/millrace/shared/features"
)

// place is where a value stands, for messages.
type place struct {
	line, column int
	path         string
}

// reader walks the YAML tree and collects problems; a value that is wrong reads
// as its default, so that the walk always reaches the end.
type reader struct {
	problems []Problem
}

func (r *reader) problem(at place, hint, format string, args ...any) {
	r.problems = append(r.problems, Problem{Line: at.line, Column: at.column, Path: at.path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// value is one node and where it stands. A nil node is a key that is not there.
type value struct {
	r    *reader
	node ast.Node
	at   place
}

func (r *reader) value(node ast.Node, path string) value {
	v := value{r: r, node: node, at: place{1, 1, path}}
	if node == nil {
		return v
	}
	start := node.GetToken()
	switch n := node.(type) {
	case *ast.MappingNode: // its own token is the first key's colon in block style
		if len(n.Values) > 0 && !n.IsFlowStyle {
			start = n.Values[0].Key.GetToken()
		}
	case *ast.MappingValueNode:
		start = n.Key.GetToken()
	}
	if start != nil && start.Position != nil {
		v.at.line, v.at.column = start.Position.Line, start.Position.Column
	}
	return v
}

func (v value) given() bool { return v.node != nil }

// reject reports a node that is not what is wanted.
func (v value) reject(want, hint string) {
	v.r.problem(v.at, hint, "%s is not %s", v.describe(), want)
}

func (v value) describe() string {
	switch n := v.node.(type) {
	case *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return quote(n.Value)
	}
	return clip(v.node.GetToken().Value)
}

func quote(s string) string { return strconv.Quote(clip(s)) }

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

// text reads a scalar as text. Numbers and booleans are refused: yes, 1.0 and
// 007 do not come through YAML as they were written.
func (v value) text(standard string) string {
	if !v.given() {
		return standard
	}
	switch n := v.node.(type) {
	case *ast.StringNode:
		if strings.TrimSpace(n.Value) != "" {
			return n.Value
		}
		v.r.problem(v.at, "", "is empty")
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		v.reject("text", "put it in quotes")
	default:
		v.reject("text", "")
	}
	return standard
}

// scalar reads any scalar as text, numbers in their shortest form.
func (v value) scalar() (string, bool) {
	switch n := v.node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode:
		return fmt.Sprint(n.Value), true
	case *ast.FloatNode:
		return strconv.FormatFloat(n.Value, 'g', -1, 64), true
	case *ast.BoolNode:
		return strconv.FormatBool(n.Value), true
	}
	v.reject("text, a number, true or false", "")
	return "", false
}

// choice reads one of a few words.
func (v value) choice(standard string, words ...string) string {
	s := v.text(standard)
	if s == standard || slices.Contains(words, s) {
		return s
	}
	hint := ""
	near := strings.ToLower(s)
	if !slices.Contains(words, near) {
		near = features.Nearest(near, words)
	}
	if near != "" {
		hint = "did you mean " + near + "?"
	}
	v.reject(oneOf(words), hint)
	return standard
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// number reads a number within bounds (both inclusive).
func (v value) number(standard, low, high float64) float64 {
	if !v.given() {
		return standard
	}
	var f float64
	switch n := v.node.(type) {
	case *ast.IntegerNode:
		f = integerValue(n)
	case *ast.FloatNode:
		f = n.Value
	case *ast.StringNode:
		// The YAML library reads 6e3 as text.
		if e, err := strconv.ParseFloat(n.Value, 64); err == nil && n.GetToken().Type == token.StringType && strings.Trim(n.Value, "+-.0123456789eE") == "" {
			f = e
			break
		}
		hint := ""
		if _, err := strconv.ParseFloat(strings.TrimSuffix(n.Value, "%"), 64); err == nil {
			hint = "write the number without quotes"
			if strings.HasSuffix(n.Value, "%") {
				hint = "write a share of 1, like 0.01 for 1%"
			}
		}
		v.reject("a number", hint)
		return standard
	default:
		v.reject("a number", "")
		return standard
	}
	if !(f >= low && f <= high) || math.IsInf(f, 0) {
		if math.IsInf(low, 0) || math.IsInf(high, 0) {
			v.reject("a finite number", "")
		} else {
			v.reject(fmt.Sprintf("between %s and %s", short(low), short(high)), "")
		}
		return standard
	}
	return f
}

func short(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func integerValue(n *ast.IntegerNode) float64 {
	switch i := n.Value.(type) {
	case int64:
		return float64(i)
	case uint64:
		return float64(i)
	}
	return math.NaN()
}

// integer reads a whole number within bounds (both inclusive, at most 2^53 from 0).
func (v value) integer(standard, low, high int64) int64 {
	if !v.given() {
		return standard
	}
	if _, isFloat := v.node.(*ast.FloatNode); isFloat {
		v.reject("a whole number", "")
		return standard
	}
	return int64(v.number(float64(standard), float64(low), float64(high)))
}

func (v value) boolean(standard bool) bool {
	if !v.given() {
		return standard
	}
	if n, ok := v.node.(*ast.BoolNode); ok {
		return n.Value
	}
	hint := ""
	if n, ok := v.node.(*ast.StringNode); ok && slices.Contains([]string{"yes", "no", "on", "off"}, strings.ToLower(n.Value)) {
		hint = "write true or false"
	}
	v.reject("true or false", hint)
	return standard
}

// duration reads 90s, 15m, 24h, 7d, 2w or a chain like 1d12h.
func (v value) duration(standard, low, high time.Duration) time.Duration {
	if !v.given() {
		return standard
	}
	const example = "like 90s, 15m, 168h, 90d or 1d12h"
	n, ok := v.node.(*ast.StringNode)
	if !ok {
		hint := "write it with its unit, " + example
		v.reject("a duration", hint)
		return standard
	}
	d, ok := parseDuration(n.Value)
	if !ok {
		v.reject("a duration", example)
		return standard
	}
	if d < low || d > high {
		v.reject(fmt.Sprintf("between %s and %s", formatDuration(low), formatDuration(high)), "")
		return standard
	}
	return d
}

// list gives the items of a sequence.
func (v value) list() []value {
	if !v.given() {
		return nil
	}
	n, ok := v.node.(*ast.SequenceNode)
	if !ok {
		v.reject("a list", "write [a, b], or a line with - for each")
		return nil
	}
	items := make([]value, len(n.Values))
	for i, item := range n.Values {
		items[i] = v.r.value(item, fmt.Sprintf("%s[%d]", v.at.path, i))
		if item == nil {
			items[i].at = v.at
		}
	}
	return items
}

// texts is a list of text without repetitions.
func (v value) texts() []string {
	var out []string
	for _, item := range v.list() {
		s := item.text("")
		if s != "" && slices.Contains(out, s) {
			v.r.problem(item.at, "", "%s is there twice", quote(s))
		} else if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// fields are the values of a mapping by key.
type fields struct {
	value
	keys   []string // in the file's order
	byKey  map[string]value
	keysAt map[string]place

	isMapping bool // false when something else stands there, which is reported
}

// get gives the value of a key; not given when it is absent.
func (f fields) get(key string) value {
	if v, ok := f.byKey[key]; ok {
		return v
	}
	return value{r: f.r, at: place{f.at.line, f.at.column, join(f.at.path, key)}}
}

// require is get that reports an absent key.
func (f fields) require(key, hint string) value {
	v := f.get(key)
	if _, hasKey := f.keysAt[key]; !v.given() && !hasKey && f.isMapping {
		f.r.problem(place{f.at.line, f.at.column, f.at.path}, hint, "%s is missing", key)
	}
	return v
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// anyFields reads a mapping whose keys are free.
func (v value) anyFields() fields {
	f := fields{value: v, byKey: map[string]value{}, keysAt: map[string]place{}}
	var entries []*ast.MappingValueNode
	switch n := v.node.(type) {
	case nil:
		return f
	case *ast.MappingNode:
		entries = n.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{n}
	default:
		v.reject("a mapping", "write key: value lines, or {key: value}")
		return f
	}
	f.isMapping = true
	for _, entry := range entries {
		keyToken := entry.Key.GetToken()
		at := place{keyToken.Position.Line, keyToken.Position.Column, v.at.path}
		key, isText := entry.Key.(*ast.StringNode)
		if !isText {
			if _, isMerge := entry.Key.(*ast.MergeKeyNode); isMerge {
				v.r.problem(at, "write the keys out", "merge keys (<<) are not supported")
			} else {
				v.r.problem(at, "put it in quotes", "the key %s is not text", quote(keyToken.Value))
			}
			continue
		}
		at.path = join(v.at.path, key.Value)
		if first, twice := f.keysAt[key.Value]; twice {
			v.r.problem(at, "keep one of them", "%s is there twice, first in line %d", key.Value, first.line)
			continue
		}
		child := v.r.value(entry.Value, at.path)
		if entry.Value == nil {
			child.at = at
		}
		f.keys = append(f.keys, key.Value)
		f.keysAt[key.Value], f.byKey[key.Value] = at, child
	}
	return f
}

// fields reads a mapping with known keys. later are keys that the design has and
// this version does not.
func (v value) fields(known []string, later ...string) fields {
	f := v.anyFields()
	for _, key := range f.keys {
		at := f.keysAt[key]
		switch {
		case slices.Contains(known, key):
			if _, isNull := f.byKey[key].node.(*ast.NullNode); isNull {
				v.r.problem(at, "give it a value, or leave it out", "has no value")
				delete(f.byKey, key)
			}
		case slices.Contains(later, key):
			v.r.problem(at, "leave it out", "this version does not support %s yet", key)
		default:
			hint := "the keys here are " + strings.Join(known, ", ")
			if near := features.Nearest(key, known); near != "" {
				hint = "did you mean " + near + "?"
			}
			if strings.Contains(key, ")") { // {expr: max(a, b)}
				hint = `text with a comma in it must be in quotes where { } are around it`
			}
			at.path = v.at.path
			v.r.problem(at, hint, "unknown key %s", quote(key))
		}
	}
	return f
}

// within gives the place of a character of a text written on one line.
func (v value) within(offset int) place {
	at := v.at
	if n, ok := v.node.(*ast.StringNode); ok && offset >= 0 {
		switch t := n.GetToken(); {
		case strings.Contains(t.Origin, "\n") && strings.Contains(strings.TrimSpace(t.Origin), "\n"):
		case t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType:
			at.column += offset + 1
		default:
			at.column += offset
		}
	}
	return at
}
