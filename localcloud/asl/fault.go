package asl

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// FaultInJSON says in the words of AWS's JSON reader why text is no JSON value;
// "" when it is one.
func FaultInJSON(text string) string {
	if _, err := decode(text, false); err != nil {
		fault, _ := wordFault(text, err)
		return fault
	}
	return ""
}

// wordFault gives decode's error AWS's words, and tells at which byte the reader
// stopped.
func wordFault(text string, err error) (fault string, at int) {
	var syntax *jsontext.SyntacticError
	switch {
	case !errors.As(err, &syntax):
		return err.Error(), 0
	case errors.Is(err, io.ErrUnexpectedEOF), syntax.ByteOffset >= int64(len(text)):
		return "Unexpected end-of-input", 0
	}
	const values = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
	at = int(syntax.ByteOffset)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return fmt.Sprintf("Duplicate field '%s'", syntax.JSONPointer.LastToken()), at
	}
	word := at
	for word > 0 && partOfWord(rune(text[word-1])) {
		word--
	}
	end := word + strings.IndexFunc(text[word:]+" ", func(r rune) bool { return !partOfWord(r) })
	if end > word && !unicode.IsDigit(rune(text[word])) {
		return fmt.Sprintf("Unrecognized token '%s': was expecting %s", text[word:end], values), end
	}
	r, _ := utf8.DecodeRuneInString(text[at:])
	expected := "expected a valid value " + values
	if before := strings.TrimRight(text[:at], " \t\r\n"); strings.HasSuffix(before, "{") || strings.HasSuffix(before, ",") && inObject(before) {
		expected = "was expecting double-quote to start field name"
	}
	return fmt.Sprintf("Unexpected character ('%c' (code %d)): %s", r, r, expected), at
}

func partOfWord(r rune) bool {
	return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r)
}

// inObject tells whether text that breaks off does so in an object, not an array.
func inObject(text string) bool {
	var open []byte
	inText := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inText && c == '\\':
			i++
		case c == '"':
			inText = !inText
		case inText:
		case c == '{' || c == '[':
			open = append(open, c)
		case (c == '}' || c == ']') && len(open) > 0:
			open = open[:len(open)-1]
		}
	}
	return len(open) > 0 && open[len(open)-1] == '{'
}
