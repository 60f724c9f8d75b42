package pattern

import (
	"slices"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// ignoreCase matches a text, or its beginning or end, whatever its case.
type ignoreCase struct {
	chars  [][]string // of each character of the pattern: what it may be in the event
	at     place
	prefix func(s, head string) (string, bool) // strings.CutPrefix, or CutSuffix from the end on
}

type place int

const (
	whole place = iota
	beginning
	end
)

// newIgnoreCase reads a pattern as AWS's matcher does: each UTF-16 unit by itself is
// what it is in lower and in upper case, be that several characters (ß is SS), and
// half a character is a question mark.
func newIgnoreCase(text string, at place) ignoreCase {
	m := ignoreCase{at: at, prefix: strings.CutPrefix}
	lower, upper := cases.Lower(language.Und), cases.Upper(language.Und)
	for _, r := range text {
		if r > 0xffff {
			m.chars = append(m.chars, []string{"?"}, []string{"?"})
			continue
		}
		m.chars = append(m.chars, slices.Compact([]string{lower.String(string(r)), upper.String(string(r))}))
	}
	if at == end {
		slices.Reverse(m.chars)
		m.prefix = strings.CutSuffix
	}
	return m
}

func (m ignoreCase) match(v *value) bool { return v.kind == kindString && m.rest(m.chars, v.text) }

// rest matches the characters that are left against the text that is left.
func (m ignoreCase) rest(chars [][]string, text string) bool {
	if len(chars) == 0 {
		return m.at != whole || text == ""
	}
	for _, form := range chars[0] {
		if left, ok := m.prefix(text, form); ok && m.rest(chars[1:], left) {
			return true
		}
	}
	return false
}
