package table

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// reader yields rows one by one: what a request holds, headers, and the rows of
// blocks that have quotes. Blocks without go through tokenize, which is faster.
type reader struct {
	in     *bufio.Reader
	line   int // of the row last returned, from 1
	next   int // line where the next row begins
	read   int64
	long   []byte   // a row that did not fit the buffer, or that spans lines
	fields [][]byte // of the row last returned
	quoted []byte   // unescaped text of quoted fields
}

// newReader reads rows of a text whose first line has that number.
func newReader(text []byte, line int) *reader {
	return &reader{in: bufio.NewReaderSize(bytes.NewReader(text), 1<<16), next: line}
}

// fault is a problem of the row being read that ends the file.
type fault struct{ message, hint string }

func (f *fault) Error() string { return f.message }

// row reads the next row that is not blank; io.EOF at the end. Its fields are
// valid until the next call.
func (r *reader) row() ([][]byte, error) {
	for {
		r.line = r.next
		line, err := r.physical()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			continue
		}
		if bytes.IndexByte(line, '"') < 0 {
			if !utf8.Valid(line) {
				return nil, &fault{"the text is not UTF-8", "save the file as UTF-8"}
			}
			r.split(line)
			return r.fields, nil
		}
		return r.quotedRow(line)
	}
}

// physical is the next line without its end; valid until the next call.
func (r *reader) physical() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(r.long) > MaxLine {
				return nil, &fault{fmt.Sprintf("the row is longer than %d bytes", MaxLine), "is a quote not closed, or are line ends missing?"}
			}
			line, err = r.in.ReadSlice('\n')
			r.long = append(r.long, line...)
		}
		line = r.long
	}
	r.read += int64(len(line))
	switch {
	case len(line) > MaxLine:
		return nil, &fault{fmt.Sprintf("the row is longer than %d bytes", MaxLine), "is a quote not closed, or are line ends missing?"}
	case errors.Is(err, io.EOF):
		if len(line) == 0 {
			return nil, io.EOF
		}
	case err != nil:
		return nil, err
	}
	r.next++
	line = bytes.TrimSuffix(line, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), nil
}

// split cuts a line without quotes at its commas.
func (r *reader) split(line []byte) {
	fields, from := r.fields[:0], 0
	for i, c := range line {
		if c == ',' {
			fields = append(fields, line[from:i])
			from = i + 1
		}
	}
	r.fields = append(fields, line[from:])
}

// quotedRow cuts a row with quotes (RFC 4180), which may go on over more lines.
func (r *reader) quotedRow(line []byte) ([][]byte, error) {
	whole := append([]byte(nil), line...)
	var state quoteState
	for state.feed(line); state.open; state.feed(line) {
		var err error
		line, err = r.physical()
		if errors.Is(err, io.EOF) {
			return nil, &fault{"a quote is opened and never closed", `a quote within a quoted value is written ""`}
		}
		if err != nil {
			return nil, err
		}
		whole = append(append(whole, '\n'), line...)
		if len(whole) > MaxLine {
			return nil, &fault{fmt.Sprintf("the row is longer than %d bytes", MaxLine), "is a quote not closed?"}
		}
	}
	if !utf8.Valid(whole) {
		return nil, &fault{"the text is not UTF-8", "save the file as UTF-8"}
	}
	// Fields point into quoted, which must not move while they are made.
	if cap(r.quoted) < len(whole) {
		r.quoted = make([]byte, 0, 2*len(whole))
	}
	r.fields, r.quoted = r.fields[:0], r.quoted[:0]
	for i := 0; ; {
		var from = len(r.quoted)
		if i < len(whole) && whole[i] == '"' {
			i++
			for {
				end := bytes.IndexByte(whole[i:], '"')
				if end < 0 {
					return nil, &fault{"a quote is opened and never closed", `a quote within a quoted value is written ""`}
				}
				r.quoted = append(r.quoted, whole[i:i+end]...)
				i += end + 1
				if i < len(whole) && whole[i] == '"' {
					r.quoted = append(r.quoted, '"')
					i++
					continue
				}
				break
			}
			if i < len(whole) && whole[i] != ',' {
				return nil, &fault{"text follows a closing quote", `a quote within a quoted value is written ""`}
			}
		} else {
			end := bytes.IndexByte(whole[i:], ',')
			if end < 0 {
				end = len(whole) - i
			}
			if bytes.IndexByte(whole[i:i+end], '"') >= 0 {
				return nil, &fault{"a quote stands within a value that is not quoted", `quote the whole value and write the quote ""`}
			}
			r.quoted = append(r.quoted, whole[i:i+end]...)
			i += end
		}
		r.fields = append(r.fields, r.quoted[from:len(r.quoted):len(r.quoted)])
		if i >= len(whole) {
			return r.fields, nil
		}
		i++ // the comma
	}
}

// quoteState follows whether a row so far ends inside a quoted field. Only a
// quote at the beginning of a field opens one, so a stray quote elsewhere does
// not swallow the lines after it.
type quoteState struct{ open, inside bool }

func (q *quoteState) feed(line []byte) {
	for _, c := range line {
		switch {
		case c == '"' && (q.open || !q.inside):
			q.open, q.inside = !q.open, !q.open // a quote right after a closing one opens again: ""
		case q.open:
		default:
			q.inside = c != ','
		}
	}
}

func (r *reader) header(key string) ([]string, Problems, error) {
	fields, err := r.row()
	if errors.Is(err, io.EOF) {
		return nil, Problems{{Key: key, Message: "the file is empty", Hint: "a header and at least one row are needed"}}, nil
	}
	if err != nil {
		return r.faulty(key, err)
	}
	for _, f := range fields {
		if bytes.IndexByte(f, '\r') >= 0 {
			return nil, Problems{{Key: key, Line: r.line, Message: "the lines end with carriage returns alone", Hint: "save the file with line feeds"}}, nil
		}
	}
	if len(fields) > MaxColumns {
		return nil, Problems{{Key: key, Line: r.line, Message: fmt.Sprintf("the header has %d columns; at most %d are supported", len(fields), MaxColumns)}}, nil
	}
	var problems Problems
	names, seen := make([]string, len(fields)), map[string]int{}
	for i, f := range fields {
		names[i] = strings.TrimSpace(string(f))
		if names[i] == "" {
			problems = append(problems, Problem{Key: key, Line: r.line, Message: fmt.Sprintf("column %d of the header has no name", i+1), Hint: "pandas writes such a column for its index: use to_csv(index=False)"})
		} else if before, dup := seen[names[i]]; dup {
			problems = append(problems, Problem{Key: key, Line: r.line, Column: names[i], Message: fmt.Sprintf("the header names this column twice, at %d and %d", before+1, i+1)})
		}
		seen[names[i]] = i
	}
	return names, problems, nil
}

func (r *reader) faulty(key string, err error) ([]string, Problems, error) {
	var f *fault
	if errors.As(err, &f) {
		return nil, Problems{{Key: key, Line: r.line, Message: f.message, Hint: f.hint}}, nil
	}
	return nil, nil, fmt.Errorf("read %s: %w", key, err)
}
