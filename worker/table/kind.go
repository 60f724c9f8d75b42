package table

import (
	"fmt"

	"github.com/parquet-go/parquet-go"
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
	null     bool // no value at all: writers' type of what they have seen nothing of
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
	if k.physical == parquet.FixedLenByteArray && t.Length() <= 0 {
		return k, fmt.Sprintf("of values of %d bytes", t.Length())
	}
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
	case *format.NullType: // the library does not tell the physical type, and nothing is read of it
		k.natural, k.physical, k.null = features.Unknown, parquet.ByteArray, true
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

// bytes is how many bytes a value has in the encoding PLAIN; 0: they differ, or
// it is a bit.
func (k kind) bytes(t parquet.Type) int {
	switch k.physical {
	case parquet.Int32, parquet.Float:
		return 4
	case parquet.Int64, parquet.Double:
		return 8
	case parquet.Int96:
		return 12
	case parquet.FixedLenByteArray:
		return t.Length()
	}
	return 0
}
