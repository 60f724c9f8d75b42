package table

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"github.com/millrace-ml/millrace/shared/features"
)

// Want is a column to read, and the type to read it as; features.Unknown: as
// text alone.
type Want struct {
	Name string
	Type features.Type
}

// Batch is consecutive rows of one file, by columns. It is valid until the
// function that was given it returns: what is kept must be copied.
type Batch struct {
	Key     string
	Rows    int
	Columns []BatchColumn // as wanted
	line    int           // of the first row
	lines   []int32       // of each row, from line on; nil: one after the other
	group   int           // Parquet: row group, from 1; 0: CSV
	first   int           // Parquet: rows of the group before this batch
	text    []byte        // of all cells
	places  []int32       // memory of the columns' from and to
	block   block         // CSV: what the batch is made of
	buf     []byte        // CSV: memory of block.data
}

// BatchColumn is a column of a Batch.
type BatchColumn struct {
	Want
	// Numbers has every row's features.Value.Number; NaN: missing, or not of the
	// type. Nil for text, and for a column without type.
	Numbers []float64
	Wrong   []int // rows whose cell is not of the type

	text     []byte
	from, to []int32 // cell = text[from+1:to]
	numbers  []float64
	native   *native     // Parquet: values that are no text
	of       *dictionary // Parquet: what codes stand for
	codes    []uint32    // nil: there are no codes, but values
	memory   *native     // Parquet: of all values
}

// batches are those that no scan has, with their memory.
var batches sync.Pool

// newBatch has the columns, and no rows.
func newBatch(key string, want []Want) *Batch {
	b, _ := batches.Get().(*Batch)
	if b == nil {
		b = &Batch{}
	}
	columns := append(b.Columns[:cap(b.Columns)], make([]BatchColumn, max(0, len(want)-cap(b.Columns)))...)[:len(want)]
	for i, w := range want {
		c := &columns[i]
		*c = BatchColumn{Want: w, Wrong: c.Wrong[:0], numbers: c.numbers, memory: c.memory}
	}
	*b = Batch{Key: key, Columns: columns, text: b.text, places: b.places, buf: b.buf}
	return b
}

// put gives the batch's memory to others.
func (b *Batch) put() {
	for i := range b.Columns {
		if n := b.Columns[i].memory; n != nil {
			n.leave()
		}
	}
	batches.Put(b)
}

// Problem makes a problem of a row's cell.
func (b *Batch) Problem(row int, column, message, hint string) Problem {
	p := Problem{Key: b.Key, Column: column, Message: message, Hint: hint}
	p.Line, p.Group, p.Row = b.Place(row)
	return p
}

// Place says where a row stands in its file: on which line, or in which row
// group and row of it, all from 1.
func (b *Batch) Place(row int) (line, group, inGroup int) {
	switch {
	case b.group > 0:
		return 0, b.group, b.first + row + 1
	case b.lines != nil:
		return b.line + int(b.lines[row]), 0, 0
	}
	return b.line + row, 0, 0
}

// bytes is a cell's text, when the file holds the column as text.
func (c *BatchColumn) bytes(row int) []byte { return c.text[c.from[row]+1 : c.to[row]] }

// at is where a row's value stands: in the column, or in its dictionary.
func (c *BatchColumn) at(row int) (*BatchColumn, int) {
	if c.codes != nil {
		return &c.of.cells, int(c.codes[row])
	}
	return c, row
}

// Cell is the text of a row's cell, "" when it is missing.
func (c *BatchColumn) Cell(row int) string {
	c, row = c.at(row)
	if c.native != nil {
		return string(c.native.append(nil, row))
	}
	cell := c.bytes(row)
	return unsafe.String(unsafe.SliceData(cell), len(cell))
}

// Append appends the text of a row's cell.
func (c *BatchColumn) Append(b []byte, row int) []byte {
	c, row = c.at(row)
	if c.native != nil {
		return c.native.append(b, row)
	}
	return append(b, c.bytes(row)...)
}

// AppendAll appends the texts of all rows' cells, and to ends where in b each of
// them ends: what Append of every row gives.
func (c *BatchColumn) AppendAll(b []byte, ends []uint32, rows int) ([]byte, []uint32) {
	from := len(ends)
	ends = slices.Grow(ends, rows)[:from+rows]
	out := ends[from:]
	values, _ := c.at(0)
	switch {
	case values.native != nil:
		for row := range out {
			b = c.Append(b, row)
			out[row] = uint32(len(b))
		}
	case c.codes != nil:
		b = c.of.appendTexts(b, out, c.codes)
	default:
		for row := range out {
			b = append(b, c.bytes(row)...)
			out[row] = uint32(len(b))
		}
	}
	return b, ends
}

// shortText is how many bytes are moved for texts of up to so many, at once.
const shortText = 16

// Empty tells whether there is nothing in a row's cell.
func (c *BatchColumn) Empty(row int) bool {
	c, row = c.at(row)
	if c.native != nil {
		return c.native.missing(row)
	}
	return c.to[row] == c.from[row]+1
}

// Missing tells whether a row's cell is missing, or not of the column's type.
func (c *BatchColumn) Missing(row int) bool {
	if c.Numbers != nil {
		return math.IsNaN(c.Numbers[row])
	}
	return c.Empty(row)
}

// Value is a row's cell.
func (c *BatchColumn) Value(row int) features.Value {
	if c.Numbers != nil {
		return features.Value{Number: c.Numbers[row]}
	}
	if cell := c.Cell(row); cell != "" {
		return features.Value{Text: cell}
	}
	return features.Missing()
}

// Mistake is what is wrong with a cell that is not of its column's type.
func (c *BatchColumn) Mistake(row int) string {
	_, err := features.ParseValue(c.Type, c.Cell(row))
	if err == nil {
		return "the value is not of the type"
	}
	return strings.TrimPrefix(err.Error(), "parse "+c.Type.String()+": ")
}

// parse reads the cells as the column's type.
func (c *BatchColumn) parse(rows int) {
	c.Wrong, c.Numbers = c.Wrong[:0], nil
	if c.Type == features.Text || c.Type == features.Unknown {
		return
	}
	if cap(c.numbers) < rows {
		c.numbers = make([]float64, rows+rows/4)
	}
	c.Numbers = c.numbers[:rows]
	if c.codes != nil {
		c.parseCodes()
		return
	}
	if c.native != nil {
		c.native.parse(c)
		return
	}
	if c.Type == features.Number || c.Type == features.Integer {
		c.parseNumbers()
		return
	}
	for row := range c.Numbers {
		c.parseCell(row)
	}
}

// parseCell reads a cell in the way that requests are read.
func (c *BatchColumn) parseCell(row int) {
	v, err := features.ParseValue(c.Type, c.Cell(row))
	if err != nil {
		c.Wrong = append(c.Wrong, row)
	}
	c.Numbers[row] = v.Number
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseNumbers reads plain decimal numbers of up to 15 digits, which one exact
// division makes; all other cells are left to parseCell. It gives what that would.
func (c *BatchColumn) parseNumbers() {
	whole, text, nan := c.Type == features.Integer, c.text, math.NaN()
rows:
	for row, from := range c.from[:len(c.Numbers)] {
		cell := text[from+1 : c.to[row]]
		if len(cell) == 0 {
			c.Numbers[row] = nan
			continue
		}
		digits := cell
		if cell[0] == '-' {
			digits = cell[1:]
		}
		if len(digits) == 0 || len(digits) > 16 {
			c.parseCell(row)
			continue
		}
		mantissa, point := uint64(0), -1
		for i, d := range digits {
			if d -= '0'; d <= 9 {
				mantissa = mantissa*10 + uint64(d)
				continue
			}
			if digits[i] != '.' || point >= 0 {
				c.parseCell(row)
				continue rows
			}
			point = i
		}
		fraction := 0
		if point >= 0 {
			fraction = len(digits) - 1 - point
		}
		if point >= 0 && (len(digits) == 1 || whole) || point < 0 && len(digits) > 15 {
			c.parseCell(row)
			continue
		}
		f := float64(mantissa)
		if fraction > 0 {
			f /= pow10[fraction]
		}
		if len(digits) < len(cell) {
			f = -f
		}
		c.Numbers[row] = f
	}
}

// Kinds counts the cells by the narrowest type that each reads as.
type Kinds [features.Boolean + 1]int

// Count adds the column's cells.
func (k *Kinds) Count(c *BatchColumn, rows int) {
	for row := range rows {
		if !c.Empty(row) {
			kind, _ := kindOf(c.Cell(row))
			k[kind]++
		}
	}
}

// Add adds other counts.
func (k *Kinds) Add(other Kinds) {
	for i, n := range other {
		k[i] += n
	}
}

// Type is the type that nearly all counted cells have; a column without a value
// is a number.
func (k Kinds) Type() features.Type {
	total := 0
	for _, n := range k {
		total += n
	}
	kind, _ := settle(k, total)
	return kind
}

// notText is the first row whose text is not UTF-8, or -1.
func (c *BatchColumn) notText(rows int) int {
	values, _ := c.at(0)
	if values.native != nil || c.codes != nil && !c.of.broken || c.codes == nil && ascii(c.text) {
		return -1
	}
	for row := range rows {
		if of, at := c.at(row); !utf8.Valid(of.bytes(at)) {
			return row
		}
	}
	return -1
}

// ascii tells whether all bytes are those of ASCII.
func ascii(text []byte) bool {
	const high = 0x8080808080808080
	for ; len(text) >= 8; text = text[8:] {
		if binary.NativeEndian.Uint64(text)&high != 0 {
			return false
		}
	}
	for _, b := range text {
		if b >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
