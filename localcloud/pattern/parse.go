package pattern

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

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
	filter bool // of SNS
	d      *jsontext.Decoder
	at     int   // what errors name: a byte offset behind what was read
	open   []int // where the objects and arrays begin that are not closed yet
}

// token is one JSON token: its kind as jsontext names it, its text, and where it ends.
type token struct {
	kind jsontext.Kind
	text string
	end  int
	name bool // of a member
}

// pattern reads the source's first value: AWS looks at nothing behind it.
func (p *parser) pattern() (rules, error) {
	p.d = jsontext.NewDecoder(strings.NewReader(p.source), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if strings.TrimLeft(p.source, " \t\r\n") == "" {
		p.at = len(p.source)
		return nil, p.fail("Filter is not an object")
	}
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
	return out, nil
}

// next reads a token. Where AWS's reader is then depends on it: of a string only
// the quote is read at first, and behind a name the beginning of its value is.
func (p *parser) next() (token, error) {
	begin := p.skip(int(p.d.InputOffset()))
	read, err := p.d.ReadToken()
	if err != nil {
		return token{}, p.syntax(begin)
	}
	t := token{kind: read.Kind(), text: read.String(), end: int(p.d.InputOffset())}
	switch t.kind {
	case '{', '[':
		p.open = append(p.open, t.end)
	case '}', ']':
		p.open = p.open[:len(p.open)-1]
	case '"':
		in, n := p.d.StackIndex(p.d.StackDepth())
		t.name = in == '{' && n%2 == 1
	}
	switch p.at = t.end; {
	case t.name:
		if p.at, err = p.ahead(t.end); err != nil {
			return token{}, err
		}
	case t.kind == '"':
		p.at = begin + 1
	}
	return t, nil
}

// ahead is how far a value's beginning is read along with the name that ends at end.
func (p *parser) ahead(end int) (int, error) {
	i := p.skip(end)
	if p.d.PeekKind() == 0 || i == len(p.source) {
		return 0, p.syntax(i)
	}
	if strings.IndexByte(`"{[`, p.source[i]) >= 0 {
		return i + 1, nil
	}
	rest := strings.IndexAny(p.source[i:], " \t\r\n,}]:")
	if rest < 0 {
		return len(p.source), nil
	}
	return i + rest, nil
}

// skip passes over what stands between tokens.
func (p *parser) skip(from int) int {
	return len(p.source) - len(strings.TrimLeft(p.source[from:], " \t\r\n,:"))
}

// whole says that the text of a string was read before what fails.
func (p *parser) whole(t token) { p.at = t.end }

func (p *parser) fail(format string, args ...any) error {
	return &Invalid{Reason: fmt.Sprintf(format, args...), At: located(p.source, p.at)}
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
			err = p.object(out, p.join(path, name.text), inOr)
		case '[':
			err = p.field(out, p.join(path, name.text))
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

// join is the path of a field: as in AWS's reader an empty name at the top adds nothing.
func (p *parser) join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
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
		if err != nil || !told(t.text, n) {
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
			return nil, p.tooMany()
		}
		return nil, p.fail("Only one key allowed in match expression")
	}
	return m, nil
}

func (p *parser) operator(name string) (matcher, error) {
	if p.filter && name == "wildcard" || !reserved[name] || strings.ContainsAny(name, "<>=") || name == "regex" || strings.HasPrefix(name, "not-") || strings.Contains(name, "date") || strings.HasPrefix(name, "ip-") {
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
	p.whole(t)
	return p.ofString(name, t.text)
}

// ofString makes the matchers that take one string.
func (p *parser) ofString(name, text string) (matcher, error) {
	switch name {
	case "exactly":
		return exactText{kindString, text}, nil
	case "equals-ignore-case":
		return newIgnoreCase(text, whole), nil
	case "cidr":
		m, err := parseCIDR(text)
		if err != nil {
			return nil, &Invalid{Reason: err.Error()}
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
	switch {
	case name == "prefix" && fold:
		return newIgnoreCase(t.text, beginning), nil
	case name == "prefix":
		return prefix{t.text}, nil
	case fold:
		return newIgnoreCase(t.text, end), nil
	}
	return suffix{t.text}, nil
}
