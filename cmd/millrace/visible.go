package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// visible writes out what would steer a terminal: a file's name, a cell or a log may
// hold anything, and came from somebody else. In JSON it means the same.
func visible(text string) string {
	steers := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !strings.ContainsFunc(text, steers) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if steers(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// visibleWriter writes out what would steer a terminal.
type visibleWriter struct{ to io.Writer }

func (w visibleWriter) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.to, visible(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
