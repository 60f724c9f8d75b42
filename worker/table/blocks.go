package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// blockSize is how much text is cut into rows at a time: small enough for a
// core's cache. Where blocks begin depends on the text alone.
const blockSize = 256 << 10

// blocks cuts a text into blocks of whole rows.
type blocks struct {
	key  string
	text *text
	rest []byte // read, and not yet given out
	line int    // where rest begins, from 1
	size int64  // bytes read
	end  error  // io.EOF, or why no more can be read
}

// block is whole rows of a text.
type block struct {
	data   []byte
	line   int   // of its beginning, from 1
	lines  int   // line ends in it
	quotes bool  // there are quotes, or something is wrong: read it row by row
	fault  error // a *fault that follows the rows
}

// fill reads until there are n bytes or the text ends.
func (b *blocks) fill(n int) {
	for len(b.rest) < n && b.end == nil {
		if cap(b.rest) < n {
			b.rest = append(make([]byte, 0, n+n/2), b.rest...)
		}
		got, err := b.text.in.Read(b.rest[len(b.rest):n])
		b.rest = b.rest[:len(b.rest)+got]
		if b.size += int64(got); b.size > MaxFile {
			b.end = &fault{fmt.Sprintf("the uncompressed file is larger than %d bytes", int64(MaxFile)), "split it into several files"}
		} else if errors.Is(err, io.EOF) {
			b.end = io.EOF
		} else if err != nil {
			b.end = b.text.broken(err)
		}
	}
}

// next gives the next block, whose data are put into buf; io.EOF after the last.
func (b *blocks) next(buf []byte) (block, error) {
	for want := blockSize; ; want *= 2 {
		b.fill(want)
		out := block{line: b.line}
		cut := 0
		if out.quotes = bytes.IndexByte(b.rest, '"') >= 0; out.quotes {
			cut = lastRow(b.rest)
		} else {
			cut = bytes.LastIndexByte(b.rest, '\n') + 1
		}
		switch {
		case errors.Is(b.end, io.EOF):
			if len(b.rest) == 0 {
				return out, io.EOF
			}
			cut = len(b.rest)
		case b.end != nil: // what is left of a broken row is not looked at
			var f *fault
			if !errors.As(b.end, &f) {
				return out, fmt.Errorf("read %s: %w", b.key, b.end)
			}
			if cut == 0 && f == errDone {
				return out, io.EOF
			}
			out.fault, b.end = f, errDone
			b.rest = b.rest[:cut]
		case cut == 0 && len(b.rest) > MaxLine:
			out.quotes, cut, b.end = true, len(b.rest), io.EOF // the reader says what is wrong
		case cut == 0:
			continue
		}
		out.data = append(buf[:0], b.rest[:cut]...)
		out.lines = bytes.Count(out.data, []byte{'\n'})
		b.line += out.lines
		b.rest = b.rest[:copy(b.rest, b.rest[cut:])]
		return out, nil
	}
}

// errDone follows a fault that has been told.
var errDone = &fault{}

// lastRow is where the last whole row of a text with quotes ends; 0 when there is none.
func lastRow(data []byte) int {
	var state quoteState
	last := 0
	for at := 0; ; {
		n := bytes.IndexByte(data[at:], '\n')
		if n < 0 {
			return last
		}
		state.feed(data[at : at+n])
		at += n + 1
		if !state.open {
			last, state = at, quoteState{}
		}
	}
}
