package pattern

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// numericLimit is the largest magnitude that AWS compares numbers at.
const numericLimit = 5e9

// reserved are names that may not be fields inside $or: they would make a
// match expression look like a field.
var reserved = map[string]bool{
	"exactly": true, "equals-ignore-case": true, "prefix": true, "suffix": true, "anything-but": true, "exists": true,
	"wildcard": true, "numeric": true, "cidr": true, "=": true, "<": true, "<=": true, ">": true, ">=": true,
	"regex": true, "not-wildcard": true, "not-equals-ignore-case": true, "date-after": true, "date-on-or-after": true,
	"date-before": true, "date-on-or-before": true, "in-date-range": true, "ip-address-in-range": true, "ip-address-not-in-range": true,
}

// rules are the branches of a pattern while it is read: path → alternatives.
type rules []map[string][]matcher

type parser struct {
	source string
	d      *jsontext.Decoder
}

// token is one JSON token: its kind as jsontext names it, and its text.
type token struct {
	kind jsontext.Kind
	text string
}

func (p *parser) pattern() (rules, error) {
	p.d = jsontext.NewDecoder(strings.NewReader(p.source), jsontext.AllowDuplicateNames(true))
	t, err := p.next()
	if err != nil {
		return nil, err
	}
	if t.kind != '{' {
		return nil, p.fail("Filter is not an object")
	}
	var out rules
	if err := p.object(&out, "", false); err != nil {
		return nil, err
	}
	if _, err := p.d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, p.fail("Unexpected data after the event pattern")
	}
	return out, nil
}

func (p *parser) next() (token, error) {
	t, err := p.d.ReadToken()
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return token{}, p.fail("Unexpected end-of-input")
		}
		return token{}, p.fail("%v", err)
	}
	return token{kind: t.Kind(), text: t.String()}, nil
}

func (p *parser) fail(format string, args ...any) error {
	read := p.source[:min(int(p.d.InputOffset()), len(p.source))]
	line := 1 + strings.Count(read, "\n")
	return &Invalid{Reason: fmt.Sprintf(format, args...), Source: p.source, Line: line, Column: len(read) - strings.LastIndexByte(read, '\n')}
}

// object reads the fields of an object whose brace was read.
func (p *parser) object(out *rules, path string, inOr bool) error {
	empty := true
	for {
		name, err := p.next()
		if err != nil {
			return err
		}
		if name.kind == '}' {
			break
		}
		empty = false
		if name.text == "$or" {
			if err := p.or(out, path); err != nil {
				return err
			}
			continue
		}
		if inOr && reserved[name.text] {
			return p.fail("%s is Ruler reserved fieldName which cannot be used inside $or.", name.text)
		}
		t, err := p.next()
		if err != nil {
			return err
		}
		switch t.kind {
		case '{':
			err = p.object(out, join(path, name.text), inOr)
		case '[':
			err = p.field(out, join(path, name.text))
		default:
			err = p.fail("%q must be an object or an array", name.text)
		}
		if err != nil {
			return err
		}
	}
	if empty {
		return p.fail("Empty objects are not allowed")
	}
	return nil
}

// or reads the alternatives of $or: each forks the branches read so far.
func (p *parser) or(out *rules, path string) error {
	before := *out
	if len(before) == 0 {
		before = rules{{}}
	}
	t, err := p.next()
	if err != nil {
		return err
	}
	if t.kind != '[' {
		return p.fail("It must be an Array followed with $or.")
	}
	var all rules
	alternatives := 0
	for {
		t, err := p.next()
		if err != nil {
			return err
		}
		if t.kind == ']' {
			break
		}
		if t.kind != '{' {
			return p.fail("Only JSON object is allowed in array of $or relationship.")
		}
		alternatives++
		forked := make(rules, len(before))
		for i, b := range before {
			forked[i] = maps.Clone(b)
		}
		if err := p.object(&forked, path, true); err != nil {
			return err
		}
		if all = append(all, forked...); len(all) > maxBranches {
			return p.fail("Too many $or combinations: at most %d are allowed", maxBranches)
		}
	}
	if alternatives < 2 {
		return p.fail("There must have at least 2 Objects in $or relationship.")
	}
	*out = all
	return nil
}

// field reads the alternatives of one path, whose bracket was read.
func (p *parser) field(out *rules, path string) error {
	var alternatives []matcher
	for {
		t, err := p.next()
		if err != nil {
			return err
		}
		if t.kind == ']' {
			break
		}
		m, err := p.alternative(t)
		if err != nil {
			return err
		}
		alternatives = append(alternatives, m)
	}
	if len(alternatives) == 0 {
		return p.fail("Empty arrays are not allowed")
	}
	if len(*out) == 0 {
		*out = rules{{}}
	}
	for _, b := range *out {
		b[path] = alternatives // a path given twice: the last one counts
	}
	return nil
}

func (p *parser) alternative(t token) (matcher, error) {
	switch t.kind {
	case '{':
		return p.expression()
	case '"':
		if a, ok := parseIP(t.text); ok {
			return exactIP{a}, nil
		}
		return exactText{kindString, t.text}, nil
	case '0':
		n, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			return exactText{kindNumber, t.text}, nil
		}
		return exactNumber{n, t.text}, nil
	case 't', 'f', 'n':
		return exactText{kindWord, t.text}, nil
	}
	return nil, p.fail("Match value must be String, number, true, false, or null")
}

// expression reads {"operator": …}, whose brace was read.
func (p *parser) expression() (matcher, error) {
	op, err := p.next()
	if err != nil {
		return nil, err
	}
	if op.kind == '}' {
		return nil, p.fail("Match expression name not found")
	}
	m, err := p.operator(op.text)
	if err != nil {
		return nil, err
	}
	end, err := p.next()
	if err != nil {
		return nil, err
	}
	if end.kind != '}' {
		if op.text == "numeric" || op.text == "anything-but" {
			return nil, p.fail("Too many elements in numeric expression")
		}
		return nil, p.fail("Only one key allowed in match expression")
	}
	return m, nil
}

func (p *parser) operator(name string) (matcher, error) {
	if !reserved[name] || strings.ContainsAny(name, "<>=") || name == "regex" || strings.HasPrefix(name, "not-") || strings.Contains(name, "date") || strings.HasPrefix(name, "ip-") {
		return nil, p.fail("Unrecognized match type %s", name)
	}
	t, err := p.next()
	if err != nil {
		return nil, err
	}
	switch name {
	case "numeric":
		return p.numeric(t)
	case "anything-but":
		return p.anythingBut(t)
	case "exists":
		switch t.kind {
		case 't':
			return presence{}, nil
		case 'f':
			return absence{}, nil
		}
		return nil, p.fail("exists match pattern must be either true or false.")
	case "prefix", "suffix":
		return p.affix(name, t)
	}
	if t.kind != '"' {
		switch name {
		case "cidr":
			return nil, p.fail("prefix match pattern must be a string") // AWS's wording, for a cidr
		case "exactly":
			return nil, p.fail("exact match pattern must be a string")
		}
		return nil, p.fail("%s match pattern must be a string", name)
	}
	return p.ofString(name, t.text)
}

// ofString makes the matchers that take one string.
func (p *parser) ofString(name, text string) (matcher, error) {
	switch name {
	case "exactly":
		return exactText{kindString, text}, nil
	case "equals-ignore-case":
		return ignoreCase{text}, nil
	case "cidr":
		m, err := parseCIDR(text)
		if err != nil {
			return nil, p.fail("%v", err)
		}
		return m, nil
	default: // wildcard
		m, err := parseWildcard(text)
		if err != nil {
			return nil, p.fail("%v", err)
		}
		return m, nil
	}
}

// affix reads the value of prefix and suffix: a string, or {"equals-ignore-case": …}.
func (p *parser) affix(name string, t token) (matcher, error) {
	fold := false
	if t.kind == '{' {
		op, err := p.next()
		if err != nil {
			return nil, err
		}
		if op.kind == '}' {
			return nil, p.fail("%s expression name not found", strings.ToUpper(name[:1])+name[1:])
		}
		if op.text != "equals-ignore-case" {
			return nil, p.fail("Unsupported %s pattern: %s", name, op.text)
		}
		fold = true
		if t, err = p.next(); err != nil {
			return nil, err
		}
		if t.kind != '"' {
			return nil, p.fail("equals-ignore-case match pattern must be a string")
		}
		end, err := p.next()
		if err != nil {
			return nil, err
		}
		if end.kind != '}' {
			return nil, p.fail("Only one key allowed in match expression")
		}
	}
	if t.kind != '"' {
		return nil, p.fail("%s match pattern must be a string", name)
	}
	if name == "prefix" {
		return prefix{t.text, fold}, nil
	}
	return suffix{t.text, fold}, nil
}
