package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unsafe"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace-ml/millrace/shared/features"
)

// maxLent bounds the memory of a page, in bytes, that a batch keeps from being
// used again.
const maxLent = 8 << 20

// column reads one column of the row group. One goroutine at a time does.
type column struct {
	Want
	index int
	kind  kind
	size  int  // bytes of a value; 0: they differ, or it is a bit
	level bool // values may be missing

	chunk    *chunk
	saved    int64     // bytes that packing saved in the row group
	held     []*memory // of the page
	at, rows int       // rows of the page, read and in all
	levels   hybrid
	data     []byte // values in the encoding PLAIN that are not read
	finite   bool   // these, if they are numbers of 64 bits, are known to be
	coded    bool   // values are codes of the dictionary
	codes    hybrid // or booleans
	ahead    ahead
	scratch  []uint32

	dictionary *dictionary // nil: none
	unused     []*dictionary
}

// open goes to the beginning of a row group.
func (c *column) open(pages *chunk) {
	c.close()
	c.chunk = pages
}

func (c *column) close() {
	c.free(&c.held)
	c.leaveDictionary()
	c.chunk, c.at, c.rows, c.data = nil, 0, 0, nil
}

// room is memory for the page that is being read.
func (c *column) room(size int) []byte {
	m := newMemory(size)
	c.hold(m, &c.held)
	return m.bytes[:size]
}

func (c *column) hold(m *memory, by *[]*memory) {
	m.held++
	*by = append(*by, m)
}

func (c *column) free(by *[]*memory) {
	for _, m := range *by {
		if m.held--; m.held == 0 {
			m.put()
		}
	}
	*by = (*by)[:0]
}

// turn goes to the next page that has values.
func (c *column) turn(u *unpacker) error {
	for {
		c.free(&c.held)
		var p page
		err := c.chunk.next(&p, u, c.room)
		if errors.Is(err, io.EOF) {
			return errors.New("the column has fewer values than the row group has rows")
		}
		if err == nil && p.dictionary {
			if !c.kind.null {
				err = c.learn(&p)
			}
		} else if err == nil {
			err = c.begin(&p)
		}
		if err != nil || c.at < c.rows {
			return err
		}
	}
}

// begin begins to read a page of values.
func (c *column) begin(p *page) (err error) {
	c.at, c.rows, c.coded, c.data, c.ahead = 0, p.values, false, nil, ahead{}
	if c.level {
		c.levels = newHybrid(p.levels, 1)
	}
	switch {
	case c.kind.null:
	case p.encoding == format.RLEDictionary || p.encoding == plainDictionary:
		c.coded, c.codes = true, hybrid{width: 1}
		if c.dictionary == nil {
			return errors.New("a page's dictionary is missing")
		}
		if len(p.data) == 0 { // all values may be missing
			return nil
		}
		if p.data[0] > 32 {
			return fmt.Errorf("codes of %d bits", p.data[0])
		}
		c.codes = newHybrid(p.data[1:], uint(p.data[0]))
		return c.look()
	case c.kind.physical == parquet.Boolean:
		c.codes, err = booleans(p)
	default:
		c.data, err = plainOf(p, c.kind.physical, c.size, c.room)
		at := unsafe.Pointer(unsafe.SliceData(c.data))
		// Looked at while they are near.
		c.finite = c.kind.physical == parquet.Double && c.Type == features.Number && littleEndian && uintptr(at)%8 == 0 && finite(unsafe.Slice((*float64)(at), len(c.data)/8))
	}
	return err
}

// booleans reads a page of them.
func booleans(p *page) (hybrid, error) {
	switch {
	case p.encoding == format.Plain:
		return packedBits(p.data, 1, p.values), nil
	case p.encoding != format.RLE:
		return hybrid{}, fmt.Errorf("booleans encoded as %v are not supported", p.encoding)
	case len(p.data) == 0: // all values may be missing
		return hybrid{width: 1}, nil
	case len(p.data) < 4 || int64(len(p.data)-4) < int64(binary.LittleEndian.Uint32(p.data)):
		return hybrid{}, errRuns
	}
	return newHybrid(p.data[4:4+int(binary.LittleEndian.Uint32(p.data))], 1), nil
}

// read reads the values of the next rows into a batch's column.
func (c *column) read(out *BatchColumn, rows int, u *unpacker) error {
	if out.memory == nil {
		out.memory = &native{}
	}
	n := out.memory
	n.kind = c.kind
	out.codes, out.of = nil, nil
	c.free(&n.lenders)
	c.drop(n.dictionary)
	n.dictionary = nil
	n.begin(rows)
	for done := 0; done < rows; {
		if c.at == c.rows {
			if err := c.turn(u); err != nil {
				return err
			}
		}
		take := min(rows-done, c.rows-c.at)
		count, err := c.present(n, done, take)
		if err == nil {
			err = c.values(n, done, take, count, rows)
		}
		if err != nil {
			return err
		}
		c.at, done = c.at+take, done+take
	}
	n.show(out)
	return nil
}

// present notes which of the next rows' values are missing, and counts the others.
func (c *column) present(n *native, to, take int) (count int, err error) {
	if !c.level {
		return take, nil
	}
	null := n.null[to : to+take]
	for done := 0; done < take; {
		same, value, err := c.levels.same(take - done)
		switch {
		case err != nil:
			return 0, err
		case same > 0 && value == 1:
			count += same
		case same > 0:
			n.missed = true
			for i := done; i < done+same; i++ {
				null[i] = true
			}
		default:
			same = min(take-done, c.levels.left)
			levels := c.numbers(same)
			if err := c.levels.read(levels); err != nil {
				return 0, err
			}
			for i, level := range levels {
				null[done+i] = level == 0
				count += int(level)
			}
		}
		done += same
	}
	n.missed = n.missed || count < take
	return count, nil
}

func (c *column) numbers(n int) []uint32 {
	if cap(c.scratch) < n {
		c.scratch = make([]uint32, max(n, batchRows))
	}
	return c.scratch[:n]
}

// values reads the values of the next rows, of which count are there, to places
// from to on, of a batch of so many rows.
func (c *column) values(n *native, to, take, count, rows int) error {
	if c.kind.null && count > 0 {
		return errors.New("a column of type NULL has values")
	}
	if c.coded && to == 0 {
		n.ownCodes = grown(n.ownCodes, rows)
		n.dictionary, n.codes = c.dictionary, n.ownCodes
		c.dictionary.held++
	}
	if n.dictionary != nil && !(c.coded && n.dictionary == c.dictionary) {
		if err := n.copyCodes(n.dictionary, n.codes[:to], n.null[:to], 0); err != nil {
			return err
		}
		c.drop(n.dictionary)
		n.dictionary = nil
	}
	switch {
	case n.dictionary != nil && c.ahead.numbers != nil && take == rows:
		n.codes, n.numbers = c.ahead.codes[c.at:c.at+rows], c.ahead.numbers[c.at:c.at+rows]
		for _, m := range c.held {
			c.hold(m, &n.lenders)
		}
		return nil
	case n.dictionary != nil:
		if err := c.readCodes(n.codes[to : to+count]); err != nil {
			return err
		}
		if count < take {
			spread(n.codes[to:to+take], n.null[to:to+take], count, uint32(c.dictionary.rows))
		}
		return nil
	case c.coded:
		codes := c.numbers(count)
		if err := c.readCodes(codes); err != nil {
			return err
		}
		if err := n.copyCodes(c.dictionary, codes, nil, to); err != nil {
			return err
		}
	case c.kind.physical == parquet.Boolean:
		bits := c.numbers(count)
		if err := c.codes.read(bits); err != nil {
			return err
		}
		for i, b := range bits {
			n.ints[to+i] = int64(b)
		}
	default:
		last := c.held[len(c.held)-1] // has the values
		lend := take == rows && (count == take || c.size == 0) && len(last.bytes) <= maxLent
		lent, err := n.plainValues(&c.data, c.size, to, count, lend)
		if err != nil {
			return err
		}
		if lent {
			n.finite = c.finite
			c.hold(last, &n.lenders)
		}
	}
	if count < take {
		n.spread(to, take, count)
	}
	return nil
}

// spread moves the first count values, which are those that are not null, to
// their places.
func spread[T any](values []T, null []bool, count int, missing T) {
	for i := len(values) - 1; i >= 0 && count <= i; i-- {
		if null[i] {
			values[i] = missing
		} else {
			count--
			values[i] = values[count]
		}
	}
}

// int96 reads a time as old writers have it: nanoseconds of a Julian day.
func int96(v []byte) (int64, error) {
	days, nanos := int64(binary.LittleEndian.Uint32(v[8:]))-2440588, int64(binary.LittleEndian.Uint64(v))
	if days < -106751 || days > 106750 || nanos < 0 || nanos > 86400e9 {
		return 0, errors.New("an INT96 time is beyond the years 1678 to 2261")
	}
	return days*86400e9 + nanos, nil
}

// signed32 widens a whole number of 32 bits.
func signed32(v uint32, unsigned bool) int64 {
	if unsigned {
		return int64(v)
	}
	return int64(int32(v))
}
