package sagemaker

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// filter is a parsed InputFilter or OutputFilter: the part of JSONPath that
// SageMaker documents, $ followed by .name, ['a','b'], [i,j] and [from:to].
type filter []step

// step chooses members by name, elements by position (negative from the end),
// or a range of elements.
type step struct {
	names    []string
	indexes  []int
	from, to *int
	slice    bool
}

func parseFilter(text string) (filter, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, errors.New("must begin with $")
	}
	var f filter
	for rest != "" {
		var s step
		var err error
		switch rest[0] {
		case '.':
			n := strings.IndexAny(rest[1:], ".[")
			if n < 0 {
				n = len(rest) - 1
			}
			name := rest[1 : n+1]
			if name == "" || name == "*" {
				return nil, fmt.Errorf("unsupported step %q", rest)
			}
			s.names, rest = []string{name}, rest[n+1:]
		case '[':
			n := closing(rest)
			if n < 0 {
				return nil, errors.New("[ without ]")
			}
			if s, err = parseBrackets(rest[1:n]); err != nil {
				return nil, err
			}
			rest = rest[n+1:]
		default:
			return nil, fmt.Errorf("unexpected %q", rest)
		}
		f = append(f, s)
	}
	return f, nil
}

// closing finds the ] that ends the brackets at the beginning of text, outside quotes.
func closing(text string) int {
	var quote rune
	for i, r := range text {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == ']':
			return i
		}
	}
	return -1
}

func parseBrackets(text string) (step, error) {
	if from, to, ok := strings.Cut(text, ":"); ok && !strings.ContainsAny(text, `'"`) {
		s := step{slice: true}
		for i, part := range []string{from, to} {
			part = strings.TrimSpace(part)
			if part == "" {
				continue
			}
			n, err := strconv.Atoi(part)
			if err != nil {
				return s, fmt.Errorf("bad position %q", part)
			}
			if i == 0 {
				s.from = &n
			} else {
				s.to = &n
			}
		}
		return s, nil
	}
	var s step
	for _, part := range splitOutside(text) {
		part = strings.TrimSpace(part)
		if n := len(part); n >= 2 && (part[0] == '\'' || part[0] == '"') && part[n-1] == part[0] {
			s.names = append(s.names, part[1:n-1])
			continue
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return s, fmt.Errorf("bad position %q", part)
		}
		s.indexes = append(s.indexes, n)
	}
	if len(s.names) > 0 && len(s.indexes) > 0 {
		return s, errors.New("names and positions are mixed")
	}
	return s, nil
}

// splitOutside splits at commas outside quotes.
func splitOutside(text string) []string {
	var parts []string
	var quote rune
	begin := 0
	for i, r := range text {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == ',':
			parts = append(parts, text[begin:i])
			begin = i + 1
		}
	}
	return append(parts, text[begin:])
}

// whole reports whether the filter keeps everything.
func (f filter) whole() bool { return len(f) == 0 }

// columns reports whether the filter can be used on CSV.
func (f filter) columns() bool {
	return f.whole() || len(f) == 1 && len(f[0].names) == 0
}

// pick returns the positions, among n, that a step on a list chooses.
func (s step) pick(n int) ([]int, error) {
	at := func(i int) int {
		if i < 0 {
			i += n
		}
		return i
	}
	if s.slice {
		from, to := 0, n
		if s.from != nil {
			from = max(0, at(*s.from))
		}
		if s.to != nil {
			to = min(n, at(*s.to))
		}
		var found []int
		for i := from; i < to; i++ {
			found = append(found, i)
		}
		return found, nil
	}
	var found []int
	for _, i := range s.indexes {
		if at(i) < 0 || at(i) >= n {
			return nil, fmt.Errorf("position %d is outside the record's %d columns", i, n)
		}
		found = append(found, at(i))
	}
	return found, nil
}

// csv applies the filter to one line, keeping the chosen columns' text as it is.
func (f filter) csv(line []byte) ([]byte, error) {
	if f.whole() {
		return line, nil
	}
	fields := splitCSV(line)
	picked, err := f[0].pick(len(fields))
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(picked))
	for i, p := range picked {
		out[i] = fields[p]
	}
	return bytes.Join(out, []byte(",")), nil
}

// splitCSV splits a line at commas outside double quotes, keeping the quotes.
func splitCSV(line []byte) [][]byte {
	var fields [][]byte
	quoted := false
	begin := 0
	for i, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			fields = append(fields, line[begin:i])
			begin = i + 1
		}
	}
	return append(fields, line[begin:])
}

// json applies the filter to a document, keeping the text of what is chosen.
// Several names give an object, several positions or a range an array.
func (f filter) json(doc []byte) ([]byte, error) {
	v := jsontext.Value(doc)
	for _, s := range f {
		next, err := s.json(v)
		if err != nil {
			return nil, err
		}
		v = next
	}
	return bytes.TrimSpace(v), nil
}

func (s step) json(v jsontext.Value) (jsontext.Value, error) {
	if len(s.names) > 0 {
		var object map[string]jsontext.Value
		if err := json.Unmarshal(v, &object); err != nil || object == nil {
			return nil, fmt.Errorf("no member %q: the record is not an object", s.names[0])
		}
		var members []string
		for _, n := range s.names {
			m, ok := object[n]
			if !ok {
				return nil, fmt.Errorf("the record has no member %q", n)
			}
			if len(s.names) == 1 {
				return m, nil
			}
			name, err := jsontext.AppendQuote(nil, n)
			if err != nil {
				return nil, err
			}
			members = append(members, string(name)+":"+string(bytes.TrimSpace(m)))
		}
		return jsontext.Value("{" + strings.Join(members, ",") + "}"), nil
	}
	var list []jsontext.Value
	if err := json.Unmarshal(v, &list); err != nil || list == nil {
		return nil, errors.New("no positions: the record is not an array")
	}
	picked, err := s.pick(len(list))
	if err != nil {
		return nil, err
	}
	if !s.slice && len(picked) == 1 {
		return list[picked[0]], nil
	}
	parts := make([]string, len(picked))
	for i, p := range picked {
		parts[i] = string(bytes.TrimSpace(list[p]))
	}
	return jsontext.Value("[" + strings.Join(parts, ",") + "]"), nil
}

// joinJSON adds a prediction to its record, as SageMaker does: a member
// SageMakerOutput of an object, or a new object around anything else.
func joinJSON(record, prediction []byte) ([]byte, error) {
	record, prediction = bytes.TrimSpace(record), bytes.TrimSpace(prediction)
	for what, doc := range map[string][]byte{"record": record, "prediction": prediction} {
		if !jsontext.Value(doc).IsValid() {
			return nil, fmt.Errorf("the %s is not JSON", what)
		}
	}
	if record[0] != '{' {
		return fmt.Appendf(nil, `{"SageMakerInput":%s,"SageMakerOutput":%s}`, record, prediction), nil
	}
	head := bytes.TrimRight(record[:len(record)-1], " \t\r\n")
	sep := ","
	if head[len(head)-1] == '{' {
		sep = ""
	}
	return fmt.Appendf(nil, `%s%s"SageMakerOutput":%s}`, head, sep, prediction), nil
}
