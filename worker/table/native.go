package table

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace-ml/millrace/shared/features"
)

// native is a column's values as a Parquet file has them, and the memory of its
// texts. Its values are ints, or floats where the physical type is one.
type native struct {
	kind     kind
	null     []bool
	missed   bool // some value of null is true
	ints     []int64
	floats   []float64
	text     []byte
	from, to []int32

	lender    parquet.Page // has the memory of ints or floats; nil: they are own
	ownInts   []int64
	ownFloats []float64
}

// begin makes room for rows.
func (n *native) begin(rows int) {
	if cap(n.null) < rows {
		n.null = make([]bool, batchRows)
	}
	n.null, n.missed = n.null[:rows], false
	if n.lender != nil {
		parquet.Release(n.lender)
		n.lender = nil
	}
	switch n.kind.physical {
	case parquet.Float, parquet.Double:
		n.ownFloats = grown(n.ownFloats, rows)
		n.floats = n.ownFloats
	case parquet.ByteArray, parquet.FixedLenByteArray:
		n.text, n.from, n.to = n.text[:0], grown(n.from, rows), grown(n.to, rows)
	default:
		n.ownInts = grown(n.ownInts, rows)
		n.ints = n.ownInts
	}
}

func grown[T any](s []T, rows int) []T {
	if cap(s) < rows {
		s = make([]T, batchRows)
	}
	return s[:rows]
}

// maxTexts bounds the texts of one column of a batch, in bytes.
const maxTexts = math.MaxInt32 / 2

const tooMuchText = "texts of more than 1 GiB in one batch of rows"

// words copies texts of a dictionary, at[i] to row to+i. Short ones are copied
// with what follows them, which one move does.
func (n *native) words(data []byte, offsets []uint32, at []int32, to int) {
	const short = 16
	text, from, ends := n.text, n.from[to:to+len(at)], n.to[to:to+len(at)]
	for i, k := range at {
		begin, end := int(offsets[k]), int(offsets[k+1])
		size := len(text)
		from[i] = int32(size) - 1
		if end-begin <= short && begin <= end && begin+short <= len(data) && size+short <= cap(text) {
			*(*[short]byte)(text[size : size+short]) = *(*[short]byte)(data[begin : begin+short])
			text = text[:size+end-begin]
		} else {
			text = append(text, data[begin:end]...)
		}
		ends[i] = int32(len(text))
		if len(text) > maxTexts {
			panic(tooMuchText)
		}
	}
	n.text = text
}

// miss notes a missing value.
func (n *native) miss(row int) {
	n.null[row] = true
	n.missed = true
	if n.kind.isText() {
		n.from[row], n.to[row] = int32(len(n.text))-1, int32(len(n.text))
	}
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
	case c.Type == features.Number && n.isFloat() && !n.missed && finite(n.floats[:rows]):
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
	default:
		n.each(c, rows)
	}
}

// finite tells whether no value is infinite or NaN, which have all bits of the
// exponent set.
func finite(values []float64) bool {
	const exponent = 0x7ff << 52
	for _, x := range values {
		if math.Float64bits(x)&exponent == exponent {
			return false
		}
	}
	return true
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
