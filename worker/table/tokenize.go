package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"unicode/utf8"
)

// rowsOf cuts a block into the cells of a batch. width is how many values a row
// must have; at says which of them the batch's columns are. ended says that
// nothing after this block can be read.
func (b *Batch) rowsOf(k block, width int, at []int) (problems Problems, more int, ended bool) {
	b.line, b.lines, b.group = k.line, nil, 0
	stride := k.lines + 1
	if need := stride * (width + 1); cap(b.places) < need {
		b.places = make([]int32, need+need/4)
	}
	places := b.places[:stride*(width+1)]
	if k.quotes || len(k.data) > MaxLine || !utf8.Valid(k.data) {
		problems, more, ended = b.carefully(k, width, stride, places)
	} else {
		b.text = k.data
		problems, more = b.tokenize(k, width, stride, places)
	}
	if k.fault != nil && !ended {
		var f *fault
		errors.As(k.fault, &f)
		problems, ended = append(problems, Problem{Key: b.Key, Line: k.line + k.lines, Message: f.message, Hint: f.hint}), true
	}
	for i := range b.Columns {
		c, column := &b.Columns[i], at[i]
		c.text, c.native = b.text, nil
		c.from, c.to = places[column*stride:][:b.Rows], places[(column+1)*stride:][:b.Rows]
	}
	return problems, more, ended
}

const (
	ones     = 0x0101010101010101
	lows     = 0x7f7f7f7f7f7f7f7f
	comma    = ones * ','
	lineFeed = ones * '\n'
)

// zeros marks the zero bytes of x by their high bits.
func zeros(x uint64) uint64 { return ^((x&lows + lows) | x | lows) }

// tokenize cuts a block without quotes, eight bytes at a time. Of a row the end
// of its value i goes to places[(i+1)*stride+row], and what is before its
// beginning to places[row].
func (b *Batch) tokenize(k block, width, stride int, places []int32) (wrong Problems, more int) {
	t := tokens{batch: b, data: k.data, width: width, stride: stride, places: places, before: -1}
	n := len(k.data)
	i := 0
	for ; i+8 <= n; i += 8 {
		word := binary.LittleEndian.Uint64(k.data[i:])
		marks := zeros(word^comma) | zeros(word^lineFeed)
		for ; marks != 0; marks &= marks - 1 {
			p := i + bits.TrailingZeros64(marks)>>3
			if k.data[p] == '\n' {
				t.endRow(p)
				continue
			}
			if t.value++; t.value <= width {
				places[t.value*stride+t.row] = int32(p)
			}
		}
	}
	for ; i < n; i++ {
		switch k.data[i] {
		case '\n':
			t.endRow(i)
		case ',':
			if t.value++; t.value <= width {
				places[t.value*stride+t.row] = int32(i)
			}
		}
	}
	if t.before+1 < n {
		t.endRow(n)
	}
	b.Rows = t.row
	return t.wrong, t.more
}

// tokens is a block on its way.
type tokens struct {
	batch         *Batch
	data          []byte
	width, stride int
	places        []int32
	before        int // what is before the row's beginning
	row, value    int
	lines         int      // ended so far
	wrong         Problems // rows of the wrong length, the first of them
	more          int      // of these
}

func (t *tokens) endRow(p int) {
	end := p
	if end > t.before+1 && t.data[end-1] == '\r' {
		end--
	}
	line := t.lines
	t.lines++
	switch {
	case end == t.before+1: // a blank line
	case t.value+1 != t.width:
		t.short(line, t.value+1)
	default:
		t.places[t.row] = int32(t.before)
		t.places[t.width*t.stride+t.row] = int32(end)
		t.at(line)
		t.row++
	}
	t.before, t.value = p, 0
}

// at notes a row's line once lines and rows part.
func (t *tokens) at(line int) {
	b := t.batch
	if b.lines == nil {
		if line == t.row {
			return
		}
		b.lines = make([]int32, 0, t.stride)
		for i := range t.row {
			b.lines = append(b.lines, int32(i))
		}
	}
	b.lines = append(b.lines, int32(line))
}

func (t *tokens) short(line, values int) {
	if len(t.wrong) == MaxProblems {
		t.more++
		return
	}
	t.wrong = append(t.wrong, Problem{Key: t.batch.Key, Line: t.batch.line + line, Message: fmt.Sprintf("the row has %d values, the header has %d", values, t.width)})
}

// carefully cuts a block row by row, as quotes need it; it says best what is wrong.
func (b *Batch) carefully(k block, width, stride int, places []int32) (problems Problems, more int, ended bool) {
	t := tokens{batch: b, width: width, stride: stride, places: places}
	r := newReader(k.data, k.line)
	text := make([]byte, 0, len(k.data)+1)
	for {
		fields, err := r.row()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var f *fault
			if !errors.As(err, &f) { // reading memory does not fail
				f = &fault{message: err.Error()}
			}
			problems, ended = Problems{{Key: b.Key, Line: r.line, Message: f.message, Hint: f.hint}}, true
			break
		}
		if len(fields) != width {
			t.short(r.line-k.line, len(fields))
			continue
		}
		places[t.row] = int32(len(text) - 1)
		for i, f := range fields {
			text = append(text, f...)
			places[(i+1)*stride+t.row] = int32(len(text))
			text = append(text, ',')
		}
		t.at(r.line - k.line)
		t.row++
	}
	b.text, b.Rows = text, t.row
	return append(t.wrong, problems...), t.more, ended
}
