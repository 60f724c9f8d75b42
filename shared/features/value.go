package features

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Type is the type of a column.
type Type uint8

// The types of columns. Unknown is only for Check: Compile wants every type.
const (
	Unknown Type = iota
	Number       // a finite decimal number
	Integer      // a number without a fraction, at most 2^53 away from 0
	Text         // any UTF-8 text
	Time         // RFC 3339, with T or a space; without a zone, "2006-01-02 15:04:05" and "2006-01-02" are UTC
	Boolean      // true or false (also True, TRUE, t, 1, 0, …, as strconv.ParseBool reads)
)

var typeNames = [...]string{"unknown", "number", "integer", "text", "time", "boolean"}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// TypeNames lists the types that pipeline.yaml and serving.json may name.
func TypeNames() []string { return append([]string(nil), typeNames[1:]...) }

// ParseType reads a type's name: number, integer, text, time or boolean.
func ParseType(name string) (Type, error) {
	for i, n := range typeNames[1:] {
		if n == name {
			return Type(i + 1), nil
		}
	}
	return Unknown, fmt.Errorf("parse type: %q is not one of number, integer, text, time, boolean", name)
}

// Value is one cell. Text values hold Text and a Number of 0; all others hold
// Number alone: booleans 0 or 1, times Unix seconds. A missing value of any type
// has the Number NaN.
type Value struct {
	Number float64
	Text   string
}

// Missing is the missing value of every type.
func Missing() Value { return Value{Number: math.NaN()} }

// IsMissing tells a missing value.
func (v Value) IsMissing() bool { return v.Number != v.Number }

// ParseValue reads a cell of a column of the given type. An empty cell is
// missing; so is NaN (any case) in a number or integer column. Surrounding space
// is not removed. The Text of the Value shares the cell's memory.
func ParseValue(t Type, cell string) (Value, error) {
	if cell == "" {
		return Missing(), nil
	}
	switch t {
	case Text:
		return Value{Text: cell}, nil
	case Number, Integer:
		f, ok := parseNumber(cell)
		if !ok {
			return Missing(), fmt.Errorf("parse %s: %q is not a %s", t, clip(cell), describe(t))
		}
		if t == Integer && f == f && f != math.Trunc(f) {
			return Missing(), fmt.Errorf("parse %s: %q is not a %s", t, clip(cell), describe(t))
		}
		if t == Integer && math.Abs(f) > 1<<53 {
			return Missing(), fmt.Errorf("parse %s: %q has too many digits for a whole number (declare the column as text if it names something, else as number)", t, clip(cell))
		}
		return Value{Number: f}, nil
	case Time:
		f, ok := parseTime(cell)
		if !ok {
			return Missing(), fmt.Errorf("parse %s: %q is not a %s", t, clip(cell), describe(t))
		}
		return Value{Number: f}, nil
	case Boolean:
		b, err := strconv.ParseBool(cell)
		if err != nil {
			return Missing(), fmt.Errorf("parse %s: %q is not a %s", t, clip(cell), describe(t))
		}
		return Value{Number: number(b)}, nil
	}
	return Missing(), fmt.Errorf("parse %s: not a type of a column", t)
}

func describe(t Type) string {
	switch t {
	case Integer:
		return "whole number"
	case Time:
		return "time like 2001-01-31T23:59:59Z or 2001-01-31 23:59:59"
	case Boolean:
		return "boolean like true or false"
	}
	return t.String()
}

// clip keeps a cell short enough to be quoted in a message.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseNumber reads a decimal number. Up to 15 digits it needs one exact
// division; the rest is strconv's. Infinities and hexadecimal are refused.
func parseNumber(s string) (float64, bool) {
	i, neg := 0, false
	if s[0] == '-' || s[0] == '+' {
		neg, i = s[0] == '-', 1
	}
	var mantissa uint64
	digits, fraction, dot := 0, 0, false
	for ; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			mantissa = mantissa*10 + uint64(c-'0')
			digits++
			if dot {
				fraction++
			}
		case c == '.' && !dot:
			dot = true
		default:
			return parseNumberSlow(s)
		}
		if digits > 15 {
			return parseNumberSlow(s)
		}
	}
	if digits == 0 {
		return 0, false
	}
	f := float64(mantissa)
	if fraction > 0 {
		f /= pow10[fraction]
	}
	if neg {
		f = -f
	}
	return f, true
}

func parseNumberSlow(s string) (float64, bool) {
	if strings.EqualFold(s, "nan") {
		return math.NaN(), true
	}
	if strings.ContainsAny(s, "xX_pP") {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || f != f {
		return 0, false
	}
	return f, true
}

// parseTime reads Unix seconds. The two usual forms are read by hand, which is
// ten times faster than time.Parse; everything else goes through it.
func parseTime(s string) (float64, bool) {
	if len(s) == 20 && s[19] == 'Z' && s[10] == 'T' || len(s) == 19 && (s[10] == ' ' || s[10] == 'T') {
		if sec, ok := parseCivil(s[:19]); ok {
			return float64(sec), true
		}
		return 0, false
	}
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return float64(t.Unix()) + float64(t.Nanosecond())/1e9, true
		}
	}
	return 0, false
}

func parseCivil(s string) (int64, bool) {
	if s[4] != '-' || s[7] != '-' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	y1, ok1 := twoDigits(s[0], s[1])
	y2, ok2 := twoDigits(s[2], s[3])
	month, ok3 := twoDigits(s[5], s[6])
	day, ok4 := twoDigits(s[8], s[9])
	hour, ok5 := twoDigits(s[11], s[12])
	minute, ok6 := twoDigits(s[14], s[15])
	second, ok7 := twoDigits(s[17], s[18])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7) || month < 1 || month > 12 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	days := daysFromCivil(y1*100+y2, month, day)
	// A day that the month does not have comes back as another date.
	if y, m, d := civilFromDays(days); y != y1*100+y2 || m != month || d != day {
		return 0, false
	}
	return days*86400 + hour*3600 + minute*60 + second, true
}

func twoDigits(a, b byte) (int64, bool) {
	a, b = a-'0', b-'0'
	return int64(a)*10 + int64(b), a <= 9 && b <= 9
}

// daysFromCivil and civilFromDays count days from 1970-01-01 in the proleptic
// Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
// Algorithms").
func daysFromCivil(y, m, d int64) int64 {
	if m <= 2 {
		y--
	}
	era := floorDiv(y, 400)
	yoe := y - era*400
	doy := (153*((m+9)%12)+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

func civilFromDays(z int64) (y, m, d int64) {
	z += 719468
	era := floorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = doy - (153*mp+2)/5 + 1
	m = mp + 3
	if m > 12 {
		m -= 12
	}
	y = yoe + era*400
	if m <= 2 {
		y++
	}
	return y, m, d
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
