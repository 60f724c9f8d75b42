package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace-ml/millrace/shared/features"
)

// kind is how a Parquet column's values are to be understood.
type kind struct {
	natural  features.Type
	physical parquet.Kind
	unsigned bool  // integers
	decimal  bool  // integers and bytes: times 10^-scale
	scale    int   // of a decimal
	unit     int64 // times: how many in a second; dates: 0
	uuid     bool
}

// kindOfColumn tells a column's kind, or why it is not supported.
func kindOfColumn(c *parquet.Column) (k kind, refused string) {
	switch {
	case !c.Leaf():
		return k, "nested (a list, a map or a group)"
	case c.Repeated() || c.MaxRepetitionLevel() > 0:
		return k, "repeated"
	}
	t := c.Type()
	k.physical = t.Kind()
	var logical format.LogicalTypeValue
	if l := t.LogicalType(); l != nil {
		logical = l.Value
	}
	switch l := logical.(type) {
	case nil:
		return k.plain()
	case *format.StringType, *format.EnumType, *format.JsonType:
		k.natural = features.Text
		if k.physical != parquet.ByteArray {
			return k, "text in " + k.physical.String()
		}
	case *format.DecimalType:
		k.natural, k.decimal, k.scale = features.Number, true, int(l.Scale)
		if k.scale == 0 {
			k.natural = features.Integer
		}
		if l.Scale < 0 || l.Scale > 100 {
			return k, fmt.Sprintf("a decimal of scale %d", l.Scale)
		}
	case *format.DateType:
		k.natural = features.Time
	case *format.TimestampType:
		k.natural = features.Time
		if l.Unit.Value == nil || l.Unit.Value.Duration() <= 0 {
			return k, "a timestamp without a unit"
		}
		k.unit = int64(1e9 / l.Unit.Value.Duration())
	case *format.IntType:
		k.natural, k.unsigned = features.Integer, !l.IsSigned
	case *format.UUIDType:
		k.natural, k.uuid = features.Text, true
	case *format.NullType:
		k.natural = features.Text
	default:
		return k, "of type " + t.String()
	}
	return k, ""
}

// plain is a column without a logical type.
func (k kind) plain() (kind, string) {
	switch k.physical {
	case parquet.Boolean:
		k.natural = features.Boolean
	case parquet.Int32, parquet.Int64:
		k.natural = features.Integer
	case parquet.Int96:
		k.natural, k.unit = features.Time, 1e9
	case parquet.Float, parquet.Double:
		k.natural = features.Number
	case parquet.ByteArray: // older writers do not say that it is text
		k.natural = features.Text
	default:
		return k, "of type " + k.physical.String()
	}
	return k, ""
}

// isText tells whether values become text at once.
func (k kind) isText() bool {
	return k.physical == parquet.ByteArray || k.physical == parquet.FixedLenByteArray
}

// column reads one column of the row group.
type column struct {
	name  string
	index int
	kind  kind
	level byte // definition level of a present value; 0: there are no others

	pages      parquet.Pages
	page       parquet.Page
	levels     []byte
	values     encoding.Values
	indexes    []int32 // into dictionary; nil: values are plain
	dictionary encoding.Values
	at, size   int // values of the page, read and in all
	packed     int // of them read that are present
}

func (c *column) open(pages parquet.Pages) {
	c.pages, c.page, c.at, c.size = pages, nil, 0, 0
}

func (c *column) close() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	if c.pages != nil {
		c.pages.Close()
		c.pages = nil
	}
}

// turn goes to the next page that has values.
func (c *column) turn() error {
	for {
		if c.page != nil {
			parquet.Release(c.page)
			c.page = nil
		}
		page, err := c.pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return errors.New("the column has fewer values than the row group has rows")
		}
		if err != nil {
			return err
		}
		c.page, c.at, c.packed = page, 0, 0
		c.size = int(page.NumValues())
		c.levels = page.DefinitionLevels()
		if c.level > 0 && len(c.levels) < c.size {
			return errors.New("a page lacks definition levels")
		}
		c.values, c.indexes = page.Data(), nil
		if d := page.Dictionary(); d != nil {
			c.indexes, c.dictionary = c.values.Int32(), d.Page().Data()
		}
		if c.size > 0 {
			return nil
		}
	}
}

// read reads the values of the next rows into a batch's column.
func (c *column) read(out *BatchColumn, rows int) error {
	if out.memory == nil {
		out.memory = &native{}
	}
	n := out.memory
	n.kind = c.kind
	n.begin(rows)
	for done := 0; done < rows; {
		if c.at == c.size {
			if err := c.turn(); err != nil {
				return err
			}
		}
		take := min(rows-done, c.size-c.at)
		if c.level == 0 {
			clear(n.null[done : done+take])
			if err := c.present(n, done, take); err != nil {
				return err
			}
		} else if err := c.optional(n, done, take); err != nil {
			return err
		}
		c.at, done = c.at+take, done+take
	}
	out.native = n
	if c.kind.isText() {
		out.native, out.text, out.from, out.to = nil, n.text, n.from, n.to
	}
	return nil
}

// optional reads values of which some may be missing, run by run.
func (c *column) optional(n *native, to, take int) error {
	levels := c.levels[c.at : c.at+take]
	clear(n.null[to : to+take])
	if bytes.Count(levels, []byte{c.level}) == take {
		return c.present(n, to, take)
	}
	for i := 0; i < take; {
		j := i
		for j < take && levels[j] == c.level {
			j++
		}
		if j > i {
			if err := c.present(n, to+i, j-i); err != nil {
				return err
			}
		}
		for i = j; i < take && levels[i] != c.level; i++ {
			n.miss(to + i)
		}
	}
	return nil
}

// present reads the next values, which are all there, to places from to on. The
// library does not promise that a damaged page has as many as it says: what is
// out of range panics, and guard makes that a problem.
func (c *column) present(n *native, to, count int) error {
	from := c.packed
	c.packed += count
	switch c.kind.physical {
	case parquet.Boolean:
		bits := c.values.Boolean()
		for i := range count {
			n.ints[to+i] = int64(bits[(from+i)/8] >> ((from + i) % 8) & 1)
		}
	case parquet.Int32:
		pick(c, from, n.ints[to:to+count], func(v *encoding.Values) []int32 { return v.Int32() })
		if c.kind.unsigned {
			for i := to; i < to+count; i++ {
				n.ints[i] &= math.MaxUint32
			}
		}
	case parquet.Int64:
		if c.lends(n, count) {
			n.ints = lent(c, n, c.values.Int64(), n.ints, from)
			break
		}
		pick(c, from, n.ints[to:to+count], func(v *encoding.Values) []int64 { return v.Int64() })
	case parquet.Float:
		pick(c, from, n.floats[to:to+count], func(v *encoding.Values) []float32 { return v.Float() })
	case parquet.Double:
		if c.lends(n, count) {
			n.floats = lent(c, n, c.values.Double(), n.floats, from)
			break
		}
		pick(c, from, n.floats[to:to+count], func(v *encoding.Values) []float64 { return v.Double() })
	case parquet.Int96:
		values, indexes := c.plainOr(), c.indexes
		all := values.Int96()
		for i := range count {
			at := from + i
			if indexes != nil {
				at = int(indexes[at])
			}
			v := all[at]
			days, nanos := int64(v[2])-2440588, int64(uint64(v[1])<<32|uint64(v[0]))
			if days < -106751 || days > 106750 || nanos < 0 || nanos > 86400e9 {
				return fmt.Errorf("an INT96 time is beyond the years 1678 to 2261")
			}
			n.ints[to+i] = days*86400e9 + nanos
		}
	case parquet.ByteArray, parquet.FixedLenByteArray:
		c.texts(n, to, from, count)
	default:
		return fmt.Errorf("values of type %v", c.kind.physical)
	}
	return nil
}

// maxLent bounds the memory of a page, in bytes, that a batch keeps from being
// used again.
const maxLent = 8 << 20

// lends tells whether the page has all values of a batch as the batch would.
func (c *column) lends(n *native, count int) bool {
	return c.indexes == nil && count == len(n.null)
}

// lent is the batch's values in the page's own memory, which the batch then
// holds until its next rows; or in the batch's memory when the page is too large
// to be held.
func lent[N int64 | float64](c *column, n *native, page, own []N, from int) []N {
	values := page[from : from+len(own)]
	if cap(page) > maxLent/8 {
		copy(own, values)
		return own
	}
	parquet.Retain(c.page)
	n.lender = c.page
	return values
}

// plainOr is the dictionary's values, or the page's own.
func (c *column) plainOr() *encoding.Values {
	if c.indexes != nil {
		return &c.dictionary
	}
	return &c.values
}

type physical interface {
	int32 | uint32 | int64 | float32 | float64
}

// pick converts values, through the dictionary when there is one.
func pick[P physical, N int64 | float64](c *column, from int, out []N, values func(*encoding.Values) []P) {
	all := values(c.plainOr())
	if c.indexes == nil {
		if same, is := any(all).([]N); is {
			copy(out, same[from:from+len(out)])
			return
		}
		for i, v := range all[from : from+len(out)] {
			out[i] = N(v)
		}
		return
	}
	for i, at := range c.indexes[from : from+len(out)] {
		out[i] = N(all[at])
	}
}

// texts copies byte arrays, as text.
func (c *column) texts(n *native, to, from, count int) {
	values := c.plainOr()
	var data []byte
	var offsets []uint32
	size := 0
	if c.kind.physical == parquet.ByteArray {
		data, offsets = values.ByteArray()
	} else {
		data, size = values.FixedLenByteArray()
	}
	if c.indexes != nil && size == 0 && !c.kind.decimal && !c.kind.uuid {
		n.words(data, offsets, c.indexes[from:from+count], to)
		return
	}
	for i := range count {
		at := from + i
		if c.indexes != nil {
			at = int(c.indexes[at])
		}
		var value []byte
		if size > 0 {
			value = data[at*size : (at+1)*size]
		} else {
			value = data[offsets[at]:offsets[at+1]]
		}
		n.from[to+i] = int32(len(n.text)) - 1
		switch {
		case c.kind.decimal:
			n.text = appendDecimal(n.text, signed(value), c.kind.scale)
		case c.kind.uuid:
			n.text = fmt.Appendf(n.text, "%x-%x-%x-%x-%x", value[:4], value[4:6], value[6:8], value[8:10], value[10:16])
		default:
			n.text = append(n.text, value...)
		}
		n.to[to+i] = int32(len(n.text))
		if len(n.text) > maxTexts {
			panic(tooMuchText)
		}
	}
}

// signed reads a big-endian number in two's complement.
func signed(b []byte) *big.Int {
	v := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return v
}

// notText is the first row whose text is not UTF-8, or -1.
func (c *BatchColumn) notText(rows int) int {
	if c.native != nil || utf8.Valid(c.text) {
		return -1
	}
	for row := range rows {
		if !utf8.Valid(c.bytes(row)) {
			return row
		}
	}
	return -1
}
