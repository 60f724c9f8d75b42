package pattern

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// maxShown bounds how much of a pattern an error shows, in UTF-16 units.
const maxShown = 500

// Invalid is a pattern that AWS refuses (InvalidEventPatternException).
type Invalid struct {
	Reason string
	At     *Location // nil where AWS tells none
}

// Location is how far AWS's reader has come, which is behind what is wrong.
type Location struct {
	Source string // the pattern as given
	Line   int    // 1-based
	Column int    // 1-based, in UTF-16 units
}

// NotValid is what EventBridge says before the reason; SNS has words of its own.
const NotValid = "Event pattern is not valid. Reason: "

// Error is worded as AWS words it.
func (e *Invalid) Error() string {
	if e.At == nil {
		return NotValid + e.Reason
	}
	return NotValid + e.Reason + "\n at " + e.At.String()
}

// String is the form of AWS's JSON reader (Jackson): the source as it is but for
// control characters, and cut when long.
func (l *Location) String() string {
	units := utf16.Encode([]rune(l.Source))
	cut := ""
	if n := len(units) - maxShown; n > 0 {
		units, cut = units[:maxShown], fmt.Sprintf("[truncated %d chars]", n)
	}
	var b strings.Builder
	for _, r := range utf16.Decode(units) {
		if unicode.IsControl(r) && r != '\n' && r != '\r' {
			fmt.Fprintf(&b, "\\u%04X", r)
			continue
		}
		b.WriteRune(r)
	}
	return fmt.Sprintf("[Source: (String)\"%s\"%s; line: %d, column: %d]", b.String(), cut, l.Line, l.Column)
}

// located is the place of a byte offset in a source.
func located(source string, offset int) *Location {
	read := source[:min(offset, len(source))]
	column := utf16.Encode([]rune(read[strings.LastIndexByte(read, '\n')+1:]))
	return &Location{Source: source, Line: 1 + strings.Count(read, "\n"), Column: 1 + len(column)}
}
