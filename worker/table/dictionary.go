package table

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace-ml/millrace/shared/features"
)

// maxDictionary bounds the values of a dictionary. Writers make them of up to 1 MiB.
const maxDictionary = 16 << 20

// plainDictionary is what old writers call RLE_DICTIONARY and, of a dictionary
// itself, PLAIN.
const plainDictionary format.Encoding = 2

var errCodes = errors.New("a value is not in the dictionary")

// dictionary is the values that codes of a column chunk stand for: a column with
// a row for each, and one more for what is missing.
type dictionary struct {
	cells  BatchColumn
	rows   int       // without the one more
	memory []*memory // of the page
	held   int       // by the column and by batches
	broken bool      // not all texts are UTF-8
	short  []short   // of texts that all are; else none
}

// learn reads a dictionary page.
func (c *column) learn(p *page) error {
	if p.encoding != format.Plain && p.encoding != plainDictionary {
		return errors.New("a dictionary that is not encoded as PLAIN")
	}
	c.leaveDictionary()
	d := &dictionary{cells: BatchColumn{memory: &native{}}}
	if last := len(c.unused) - 1; last >= 0 {
		d, c.unused = c.unused[last], c.unused[:last]
	}
	n := d.cells.memory
	d.cells.Want, d.rows, d.held = c.Want, p.values, 1
	c.dictionary = d
	for _, m := range c.held {
		c.hold(m, &d.memory)
	}
	most := 8 * len(p.data)
	if c.kind.physical == parquet.ByteArray {
		most = len(p.data) / 4
	} else if c.size > 0 {
		most = len(p.data) / c.size
	}
	switch {
	case d.rows > most:
		return errors.New("a dictionary has fewer values than it says")
	case d.rows > maxDictionary:
		return fmt.Errorf("a dictionary of %d values is larger than %d", d.rows, maxDictionary)
	}
	n.kind = c.kind
	n.begin(d.rows + 1)
	if c.kind.physical == parquet.Boolean {
		bits := make([]uint32, d.rows)
		in := packedBits(p.data, 1, d.rows)
		if err := in.read(bits); err != nil {
			return err
		}
		for i, b := range bits {
			n.ints[i] = int64(b)
		}
	} else if _, err := n.plainValues(&p.data, c.size, 0, d.rows, true); err != nil {
		return err
	}
	if n.kind.isText() {
		n.from[d.rows], n.to[d.rows] = -1, 0
	}
	n.show(&d.cells)
	d.broken = d.cells.notText(d.rows) >= 0
	d.cells.parse(d.rows)
	if c.Type != features.Text && c.Type != features.Unknown {
		d.cells.Numbers = append(d.cells.Numbers, math.NaN())
	}
	n.null[d.rows], n.missed = true, true
	d.shorten()
	return nil
}

// leaveDictionary lets go of the column's dictionary.
func (c *column) leaveDictionary() {
	c.drop(c.dictionary)
	c.dictionary = nil
}

// drop lets go of a dictionary, which is then used again.
func (c *column) drop(d *dictionary) {
	if d == nil {
		return
	}
	if d.held--; d.held == 0 {
		c.free(&d.memory)
		c.unused = append(c.unused, d)
	}
}

// maxAhead bounds the values of a page that are looked up ahead.
const maxAhead = 256 << 10

// ahead is the codes of a whole page of which no value is missing, and the
// numbers that they stand for. The dictionary is then looked at while it is near.
type ahead struct {
	codes   []uint32
	numbers []float64 // nil: values are not looked up ahead
}

// look looks up the values of a page ahead, where it may.
func (c *column) look() error {
	all := c.dictionary.cells.Numbers
	if all == nil || len(c.dictionary.cells.Wrong) > 0 || c.rows > maxAhead || c.rows == 0 {
		return nil
	}
	if c.level {
		levels := c.levels
		if n, value, err := levels.same(c.rows); err != nil || n < c.rows || value != 1 {
			return nil
		}
	}
	codes := wordsOf[uint32](c.room(4*c.rows), c.rows)
	if err := c.codes.read(codes); err != nil {
		return err
	}
	if !c.dictionary.inRange(codes, nil) {
		return errCodes
	}
	numbers := wordsOf[float64](c.room(8*c.rows), c.rows)
	for i, k := range codes {
		numbers[i] = all[k]
	}
	c.ahead = ahead{codes, numbers}
	return nil
}

// wordsOf makes numbers of memory that a column made room in.
func wordsOf[T uint32 | float64](room []byte, count int) []T {
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(room))), count)
}

// readCodes reads the next codes, of values that are not missing.
func (c *column) readCodes(out []uint32) error {
	if c.ahead.numbers == nil {
		return c.codes.read(out)
	}
	copy(out, c.ahead.codes[c.at:c.at+len(out)])
	return nil
}

// inRange tells whether all codes stand for something: only of rows that are null
// may it be what is missing.
func (d *dictionary) inRange(codes []uint32, null []bool) bool {
	var a, b uint32
	rest := codes
	for ; len(rest) >= 4; rest = rest[4:] { // side by side
		a, b = max(a, rest[0], rest[1]), max(b, rest[2], rest[3])
	}
	for _, k := range rest {
		a = max(a, k)
	}
	if most := int(max(a, b)); most != d.rows {
		return most < d.rows
	}
	for i, k := range codes {
		if int(k) == d.rows && (null == nil || !null[i]) {
			return false
		}
	}
	return true
}

// short is a dictionary's texts of up to shortText bytes, each with room for
// so many, and how many it has.
type short struct {
	bytes [shortText]byte
	size  int
}

// shorten makes the short texts, if all are.
func (d *dictionary) shorten() {
	d.short = d.short[:0]
	if d.cells.text == nil {
		return
	}
	for row := range d.rows + 1 {
		text := d.cells.bytes(row)
		if len(text) > shortText {
			d.short = d.short[:0]
			return
		}
		s := short{size: len(text)}
		copy(s.bytes[:], text)
		d.short = append(d.short, s)
	}
}

// appendTexts appends the texts of codes, and says where each ends.
func (d *dictionary) appendTexts(b []byte, ends, codes []uint32) []byte {
	codes = codes[:len(ends)]
	if len(d.short) == 0 {
		for row, k := range codes {
			b = append(b, d.cells.bytes(int(k))...)
			ends[row] = uint32(len(b))
		}
		return b
	}
	total := shortText
	for _, k := range codes {
		total += d.short[k].size
	}
	b = slices.Grow(b, total)
	at, all := len(b), b[:cap(b)]
	for row, k := range codes {
		text := &d.short[k]
		*(*[shortText]byte)(all[at:]) = text.bytes // what is too much is written over
		at += text.size
		ends[row] = uint32(at)
	}
	return b[:at]
}

// parseCodes gives every row its code's number.
func (c *BatchColumn) parseCodes() {
	if c.Numbers == nil {
		return
	}
	if c.memory.numbers != nil {
		c.Numbers = c.memory.numbers
		return
	}
	all := c.of.cells.Numbers
	for row, k := range c.codes[:len(c.Numbers)] {
		c.Numbers[row] = all[k]
	}
	wrong := c.of.cells.Wrong
	if len(wrong) == 0 {
		return
	}
	for row, k := range c.codes {
		if _, is := slices.BinarySearch(wrong, int(k)); is {
			c.Wrong = append(c.Wrong, row)
		}
	}
}
