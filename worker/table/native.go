package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace-ml/millrace/shared/features"
)

// native is a column's values as a Parquet file has them, and the memory of its
// texts. Its values are codes of the dictionary, if there is one; else ints, or
// floats where the physical type is one, or texts.
type native struct {
	kind     kind
	null     []bool
	missed   bool // some value of null is true
	ints     []int64
	floats   []float64
	finite   bool // all floats are known to be
	text     []byte
	from, to []int32

	dictionary *dictionary
	codes      []uint32
	numbers    []float64 // of codes; nil: they are to be looked up

	lenders   []*memory // have the memory of ints, floats or text; none: they are own
	ownInts   []int64
	ownFloats []float64
	ownText   []byte
	ownCodes  []uint32
}

// begin makes room for rows, of which none is missing.
func (n *native) begin(rows int) {
	if n.missed {
		clear(n.null)
	}
	n.null, n.missed, n.finite, n.numbers = grown(n.null, rows), false, false, nil
	switch n.kind.physical {
	case parquet.Float, parquet.Double:
		n.ownFloats = grown(n.ownFloats, rows)
		n.floats = n.ownFloats
	case parquet.ByteArray, parquet.FixedLenByteArray:
		n.text, n.from, n.to = n.ownText[:0], grown(n.from, rows), grown(n.to, rows)
	default:
		n.ownInts = grown(n.ownInts, rows)
		n.ints = n.ownInts
	}
}

// leave lets go of all that is not its own, when the file is closed.
func (n *native) leave() {
	for _, m := range n.lenders {
		if m.held--; m.held == 0 {
			m.put()
		}
	}
	n.lenders, n.dictionary = n.lenders[:0], nil
	n.ints, n.floats, n.text, n.codes, n.numbers = nil, nil, nil, nil, nil
}

// grown has room for rows; what is in it is left of before.
func grown[T any](s []T, rows int) []T {
	if cap(s) < rows {
		s = make([]T, rows+rows/8)
	}
	return s[:rows]
}

// show makes the values those of a batch's column.
func (n *native) show(out *BatchColumn) {
	out.native, out.text, out.from, out.to = nil, nil, nil, nil
	switch {
	case n.dictionary != nil:
		out.codes, out.of = n.codes, n.dictionary
	case n.kind.isText():
		out.text, out.from, out.to = n.text, n.from, n.to
	default:
		out.native = n
	}
}

// maxTexts bounds the texts of one column of a batch, in bytes.
const maxTexts = math.MaxInt32 / 2

var errTexts = errors.New("texts of more than 1 GiB in one batch of rows")

// plainValues takes count values in the encoding PLAIN from data, to places from
// to on. lend says that the values may stay in the memory of data, and lent that
// they do.
func (n *native) plainValues(data *[]byte, size, to, count int, lend bool) (lent bool, err error) {
	if n.kind.isText() {
		return n.plainTexts(data, size, to, count, lend)
	}
	if len(*data)/size < count {
		return false, errRuns
	}
	in := (*data)[:count*size]
	*data = (*data)[count*size:]
	switch n.kind.physical {
	case parquet.Int32:
		for i := range count {
			n.ints[to+i] = signed32(binary.LittleEndian.Uint32(in[4*i:]), n.kind.unsigned)
		}
	case parquet.Int64:
		return words(&n.ints, in, to, count, lend), nil
	case parquet.Float:
		for i := range count {
			n.floats[to+i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(in[4*i:])))
		}
	case parquet.Double:
		return words(&n.floats, in, to, count, lend), nil
	case parquet.Int96:
		for i := range count {
			if n.ints[to+i], err = int96(in[12*i:]); err != nil {
				return false, err
			}
		}
	default:
		return false, fmt.Errorf("values of type %v", n.kind.physical)
	}
	return false, nil
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// words takes numbers of 64 bits, where they are or by copying them to places
// from to on.
func words[T int64 | float64](own *[]T, in []byte, to, count int, lend bool) (lent bool) {
	if count == 0 {
		return false
	}
	at := unsafe.Pointer(unsafe.SliceData(in))
	out := (*own)[to : to+count]
	switch {
	case !littleEndian:
		for i := range out {
			v := binary.LittleEndian.Uint64(in[8*i:])
			out[i] = *(*T)(unsafe.Pointer(&v))
		}
	case lend && uintptr(at)%8 == 0:
		*own = unsafe.Slice((*T)(at), count)
		return true
	default:
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(out))), 8*count), in)
	}
	return false
}

// plainTexts takes byte arrays: their length, unless they have a size, and they
// themselves.
func (n *native) plainTexts(data *[]byte, size, to, count int, lend bool) (lent bool, err error) {
	in, at := *data, 0
	lend = lend && size == 0 && !n.kind.decimal && !n.kind.uuid
	for i := to; i < to+count; i++ {
		length := size
		if size == 0 {
			if len(in)-at < 4 {
				return false, errRuns
			}
			length = int(binary.LittleEndian.Uint32(in[at:]))
			at += 4
		}
		if length > len(in)-at {
			return false, errRuns
		}
		if lend {
			n.from[i], n.to[i] = int32(at)-1, int32(at+length)
		} else if err := n.addText(in[at:at+length], i); err != nil {
			return false, err
		}
		at += length
	}
	*data = in[at:]
	if lend {
		n.text = in[:at]
	}
	return lend, nil
}

// addText adds a row's byte array, as text.
func (n *native) addText(value []byte, row int) error {
	n.from[row] = int32(len(n.text)) - 1
	switch {
	case n.kind.decimal:
		n.text = appendDecimal(n.text, signed(value), n.kind.scale)
	case n.kind.uuid:
		if len(value) != 16 {
			return fmt.Errorf("a UUID of %d bytes", len(value))
		}
		n.text = fmt.Appendf(n.text, "%x-%x-%x-%x-%x", value[:4], value[4:6], value[6:8], value[8:10], value[10:])
	default:
		n.text = append(n.text, value...)
	}
	n.to[row], n.ownText = int32(len(n.text)), n.text
	if len(n.text) > maxTexts {
		return errTexts
	}
	return nil
}

// copyCodes copies a dictionary's values to places from to on. null are the rows of
// the codes that are; nil: none is.
func (n *native) copyCodes(d *dictionary, codes []uint32, null []bool, to int) error {
	if !d.inRange(codes, null) {
		return errCodes
	}
	all := d.cells.memory
	for i, k := range codes {
		row := to + i
		switch {
		case n.kind.isText():
			n.from[row] = int32(len(n.text)) - 1
			if n.text = append(n.text, d.cells.bytes(int(k))...); len(n.text) > maxTexts {
				return errTexts
			}
			n.to[row], n.ownText = int32(len(n.text)), n.text
		case int(k) == d.rows: // missing
		case n.isFloat():
			n.floats[row] = all.floats[k]
		default:
			n.ints[row] = all.ints[k]
		}
	}
	return nil
}

// spread moves the first count values of take rows, which are those that are not
// null, to their places.
func (n *native) spread(to, take, count int) {
	null := n.null[to : to+take]
	switch {
	case n.kind.isText():
		spread(n.from[to:to+take], null, count, -1)
		spread(n.to[to:to+take], null, count, 0)
	case n.isFloat():
		spread(n.floats[to:to+take], null, count, 0)
	default:
		spread(n.ints[to:to+take], null, count, 0)
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

func (n *native) isFloat() bool {
	return n.kind.physical == parquet.Float || n.kind.physical == parquet.Double
}

// missing tells whether there is no value; NaN is none, as in CSV.
func (n *native) missing(row int) bool {
	return n.null[row] || n.isFloat() && math.IsNaN(n.floats[row])
}

// append writes a value as CSV would have it: reading the text gives the value
// again.
func (n *native) append(b []byte, row int) []byte {
	switch {
	case n.missing(row):
		return b
	case n.isFloat():
		return strconv.AppendFloat(b, n.floats[row], 'g', -1, 64)
	case n.kind.decimal:
		return appendDecimal(b, big.NewInt(n.ints[row]), n.kind.scale)
	case n.kind.natural == features.Boolean:
		return strconv.AppendBool(b, n.ints[row] != 0)
	case n.kind.natural == features.Time && n.kind.unit == 0:
		return time.Unix(n.ints[row]*86400, 0).UTC().AppendFormat(b, time.DateOnly)
	case n.kind.natural == features.Time:
		seconds, rest := n.split(row)
		return time.Unix(seconds, rest).UTC().AppendFormat(b, time.RFC3339Nano)
	case n.kind.unsigned:
		return strconv.AppendUint(b, uint64(n.ints[row]), 10)
	}
	return strconv.AppendInt(b, n.ints[row], 10)
}

// split is a time as whole seconds and nanoseconds.
func (n *native) split(row int) (seconds, nanos int64) {
	v, unit := n.ints[row], n.kind.unit
	seconds = v / unit
	if rest := v - seconds*unit; rest < 0 {
		return seconds - 1, (rest + unit) * (1e9 / unit)
	} else {
		return seconds, rest * (1e9 / unit)
	}
}

// The seconds that a time of the years 0 to 9999 has.
const firstSecond, lastSecond = -62167219200, 253402300799

// parse reads the values as the column's type. What it gives, and what it says
// is wrong, is what reading their text would.
func (n *native) parse(c *BatchColumn) {
	rows := len(c.Numbers)
	switch {
	case c.Type == features.Number && n.isFloat() && !n.missed && (n.finite || finite(n.floats[:rows])):
		c.Numbers = n.floats[:rows]
	case c.Type == features.Number && n.isFloat():
		for row, x := range n.floats[:rows] {
			switch {
			case n.missed && n.null[row]:
				n.floats[row] = math.NaN()
			case x-x == 0: // neither infinite nor NaN
			case math.IsInf(x, 0):
				n.each(c, rows)
				return
			}
		}
		c.Numbers = n.floats[:rows]
	case isNumber(c.Type) && n.plain() && !n.missed:
		numbers, beyond := c.Numbers, false
		for row, v := range n.ints[:len(numbers)] {
			numbers[row] = float64(v)
			if uint64(v)+1<<53 > 1<<54 { // v is not within -2^53 to 2^53
				beyond = true
			}
		}
		if beyond && c.Type == features.Integer {
			n.each(c, rows)
		}
	case isNumber(c.Type) && n.plain():
		for row, v := range n.ints[:rows] {
			switch {
			case n.null[row]:
				c.Numbers[row] = math.NaN()
			case c.Type == features.Integer && (v > 1<<53 || v < -1<<53):
				n.each(c, rows)
				return
			default:
				c.Numbers[row] = float64(v)
			}
		}
	case c.Type == features.Time && n.kind.natural == features.Time && n.kind.unit == 1e6 && !n.missed && n.micros(c.Numbers):
	default:
		n.each(c, rows)
	}
}

// micros makes numbers of times in microseconds, which most are; false: some is
// not of the years 0 to 9999.
func (n *native) micros(out []float64) bool {
	const unit = 1_000_000
	for row, v := range n.ints[:len(out)] {
		if v < firstSecond*unit || v >= (lastSecond+1)*unit {
			return false
		}
		since := uint64(v - firstSecond*unit) // not negative
		seconds := since / unit
		out[row] = float64(int64(seconds)+firstSecond) + float64((since-seconds*unit)*1000)/1e9
	}
	return true
}

// finite tells whether no value is infinite or NaN, which have all bits of the
// exponent set.
func finite(values []float64) bool {
	const sign, one = 1 << 63, 1 << 52
	over := func(x float64) uint64 { // has the bit of the sign: the exponent runs over into it
		v := math.Float64bits(x)
		return (v + one) ^ v
	}
	var a, b uint64
	for ; len(values) >= 8; values = values[8:] { // side by side
		v := (*[8]float64)(values)
		a |= over(v[0]) | over(v[1]) | over(v[2]) | over(v[3])
		b |= over(v[4]) | over(v[5]) | over(v[6]) | over(v[7])
	}
	for _, x := range values {
		a |= over(x)
	}
	return (a|b)&sign == 0
}

// plain tells whether the ints are the numbers.
func (n *native) plain() bool {
	return isNumber(n.kind.natural) && !n.kind.decimal && !n.kind.unsigned && !n.isFloat()
}

// each parses value by value.
func (n *native) each(c *BatchColumn, rows int) {
	c.Numbers, c.Wrong = c.numbers[:rows], c.Wrong[:0]
	for row := range rows {
		if n.missing(row) {
			c.Numbers[row] = math.NaN()
			continue
		}
		x, ok := n.number(c.Type, row)
		if !ok {
			c.parseCell(row)
			continue
		}
		c.Numbers[row] = x
	}
}

// number is a value as a number of the type; ok is false when the text decides.
func (n *native) number(as features.Type, row int) (x float64, ok bool) {
	switch {
	case as == features.Time && n.kind.natural == features.Time:
		seconds, nanos := int64(0), int64(0)
		if n.kind.unit == 0 {
			seconds = n.ints[row] * 86400
		} else {
			seconds, nanos = n.split(row)
		}
		return float64(seconds) + float64(nanos)/1e9, seconds >= firstSecond && seconds <= lastSecond
	case as == features.Boolean && n.kind.natural == features.Boolean:
		return float64(n.ints[row]), true
	case as != features.Number && as != features.Integer, !isNumber(n.kind.natural):
		return 0, false
	case n.isFloat():
		x = n.floats[row]
		return x, !math.IsInf(x, 0) && (as == features.Number || x == math.Trunc(x) && math.Abs(x) <= 1<<53)
	case n.kind.decimal && n.kind.scale > 0:
		v := n.ints[row] // up to 15 digits one exact division gives what reading the text does
		if as == features.Integer || n.kind.scale >= len(pow10) || v > 1e15-1 || v < 1-1e15 {
			return 0, false
		}
		return float64(v) / pow10[n.kind.scale], true
	case n.kind.unsigned && n.ints[row] < 0:
		return 0, false
	}
	x = float64(n.ints[row])
	return x, as == features.Number || math.Abs(x) <= 1<<53
}

// appendDecimal writes v * 10^-scale.
func appendDecimal(b []byte, v *big.Int, scale int) []byte {
	digits := v.Text(10)
	if strings.HasPrefix(digits, "-") {
		b, digits = append(b, '-'), digits[1:]
	}
	if scale == 0 {
		return append(b, digits...)
	}
	for len(digits) <= scale {
		digits = "0" + digits
	}
	whole := len(digits) - scale
	return append(append(append(b, digits[:whole]...), '.'), digits[whole:]...)
}
