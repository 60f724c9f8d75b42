package pattern

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// word is what AWS's reader takes for one token where none is.
var word = regexp.MustCompile(`^[\pL\p{Nd}_$]+`)

const tokens = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"

// syntax words what is no JSON as AWS's reader (Jackson) does, where it is not
// too deep inside a token: begin is where the token begins that cannot be read.
func (p *parser) syntax(begin int) error {
	in, n := p.d.StackIndex(p.d.StackDepth())
	object := in == '{'
	allowed := "" // what may stand before the token
	switch {
	case object && n%2 == 1:
		allowed = ":"
	case len(p.open) > 0 && n > 0:
		allowed = ","
	}
	for i := int(p.d.InputOffset()); i < begin; i++ {
		switch c := p.source[i : i+1]; {
		case c == allowed:
			allowed = ""
		case c == "," || c == ":":
			begin = i
		}
	}
	p.at = begin
	kind := map[bool]string{true: "Object", false: "Array"}[object]
	if begin >= len(p.source) {
		if len(p.open) == 0 {
			return p.fail("Unexpected end-of-input")
		}
		return p.fail("Unexpected end-of-input: expected close marker for %s (start marker at %s)", kind, located(p.source, p.open[len(p.open)-1]-1))
	}
	read := p.source[p.d.InputOffset():begin]
	r, _ := utf8.DecodeRuneInString(p.source[begin:])
	char := fmt.Sprintf("Unexpected character ('%c' (code %d)): ", r, r)
	switch w := word.FindString(p.source[begin:]); {
	case read == "" && strings.HasSuffix(p.source[:begin], "0") && strings.ContainsRune("0123456789", r):
		return p.fail("Invalid numeric value: Leading zeroes not allowed")
	case object && n%2 == 1 && !strings.Contains(read, ":"):
		return p.fail("%swas expecting a colon to separate field name and value", char)
	case strings.ContainsRune("}]", r) && len(p.open) > 0 && (r == '}') != object:
		return p.fail("Unexpected close marker '%c': expected '%s' (for %s starting at %s)", r, map[bool]string{true: "}", false: "]"}[object], kind, located(p.source, p.open[len(p.open)-1]-1))
	case len(p.open) > 0 && n > 0 && (!object || n%2 == 0) && !strings.Contains(read, ","):
		return p.fail("%swas expecting comma to separate %s entries", char, kind)
	case object && n%2 == 0 && r != '"':
		return p.fail("%swas expecting double-quote to start field name", char)
	case w != "" && strings.ContainsRune("0123456789", r):
		return p.broken(begin, object && n%2 == 0)
	case w != "":
		p.at += len(w)
		return p.fail("Unrecognized token '%s': was expecting %s", w, tokens)
	case r == '"' || r == '-':
		return p.broken(begin, object && n%2 == 0)
	}
	return p.fail("%sexpected a valid value %s", char, tokens)
}

// broken is a string or a number that cannot be read.
func (p *parser) broken(begin int, name bool) error {
	text := p.source[begin:]
	if text[0] != '"' {
		return p.fail("Unexpected character in a number: %s", text)
	}
	what := map[bool]string{true: "name", false: "string value"}[name]
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c < ' ':
			p.at = begin + i
			return p.fail("Illegal unquoted character ((CTRL-CHAR, code %d)): has to be escaped using backslash to be included in %s", c, what)
		case c == '\\':
			if i++; i < len(text) && !strings.Contains(`"\\/bfnrtu`, text[i:i+1]) {
				r, _ := utf8.DecodeRuneInString(text[i:])
				p.at = begin + i + 1
				return p.fail("Unrecognized character escape '%c' (code %d)", r, r)
			}
		case c == '"':
			return p.fail("Unrecognized character escape in %s", what)
		}
	}
	p.at = len(p.source)
	if name {
		return p.fail("Unexpected end-of-input in field name")
	}
	return p.fail("Unexpected end-of-input: was expecting closing quote for a string value")
}
