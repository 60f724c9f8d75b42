package features_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/features"
)

func TestParseValue(t *testing.T) {
	utc := func(s string) float64 {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return float64(v.Unix())
	}
	for name, c := range map[string]struct {
		typ  features.Type
		cell string
		want float64
		bad  bool
	}{
		"plain":              {features.Number, "12.5", 12.5, false},
		"negative":           {features.Number, "-.25", -0.25, false},
		"plus":               {features.Number, "+3.", 3, false},
		"exponent":           {features.Number, "1e-3", 0.001, false},
		"many digits":        {features.Number, "0.12345678901234567890", 0.12345678901234567890, false},
		"infinite":           {features.Number, "Inf", 0, true},
		"too large":          {features.Number, "1e999", 0, true},
		"hexadecimal":        {features.Number, "0x10", 0, true},
		"underscore":         {features.Number, "1_000", 0, true},
		"dot":                {features.Number, ".", 0, true},
		"sign":               {features.Number, "-", 0, true},
		"space":              {features.Number, " 1", 0, true},
		"word":               {features.Number, "NA", 0, true},
		"integer":            {features.Integer, "-42", -42, false},
		"integer with zero":  {features.Integer, "42.0", 42, false},
		"fraction":           {features.Integer, "42.5", 0, true},
		"huge integer":       {features.Integer, "9007199254740993e3", 0, true},
		"true":               {features.Boolean, "true", 1, false},
		"false":              {features.Boolean, "0", 0, false},
		"yes":                {features.Boolean, "yes", 0, true},
		"zulu":               {features.Time, "2001-02-03T04:05:06Z", utc("2001-02-03T04:05:06Z"), false},
		"offset":             {features.Time, "2001-02-03T04:05:06+02:00", utc("2001-02-03T02:05:06Z"), false},
		"blank":              {features.Time, "2001-02-03 04:05:06", utc("2001-02-03T04:05:06Z"), false},
		"no zone":            {features.Time, "2001-02-03T04:05:06", utc("2001-02-03T04:05:06Z"), false},
		"fraction of time":   {features.Time, "2001-02-03T04:05:06.5Z", utc("2001-02-03T04:05:06Z") + 0.5, false},
		"pandas' zone":       {features.Time, "2001-02-03 04:05:06+02:00", utc("2001-02-03T02:05:06Z"), false},
		"pandas' fraction":   {features.Time, "2001-02-03 04:05:06.5+00:00", utc("2001-02-03T04:05:06Z") + 0.5, false},
		"Python's isoformat": {features.Time, "2001-02-03T04:05:06.500000", utc("2001-02-03T04:05:06Z") + 0.5, false},
		"no seconds":         {features.Time, "2001-02-03 04:05", 0, true},
		"date":               {features.Time, "2001-02-03", utc("2001-02-03T00:00:00Z"), false},
		"leap day":           {features.Time, "2000-02-29 00:00:00", utc("2000-02-29T00:00:00Z"), false},
		"no leap day":        {features.Time, "2001-02-29 00:00:00", 0, true},
		"month 13":           {features.Time, "2001-13-01T00:00:00Z", 0, true},
		"hour 24":            {features.Time, "2001-01-01 24:00:00", 0, true},
		"unix":               {features.Time, "978307200", 0, true},
		"unknown type":       {features.Unknown, "1", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := features.ParseValue(c.typ, c.cell)
			if (err != nil) != c.bad {
				t.Fatalf("error %v, want an error: %v", err, c.bad)
			}
			if err == nil && (v.Number != c.want || v.Text != "") {
				t.Errorf("got %v, want %v", v, c.want)
			}
		})
	}
	for _, typ := range []features.Type{features.Number, features.Integer, features.Text, features.Time, features.Boolean} {
		if v, err := features.ParseValue(typ, ""); err != nil || !v.IsMissing() {
			t.Errorf("an empty %s is %v, %v", typ, v, err)
		}
	}
	if v, err := features.ParseValue(features.Number, "NaN"); err != nil || !v.IsMissing() {
		t.Errorf("NaN is %v, %v", v, err)
	}
}

// Every date function against package time, through every hour of 1890 to 2110 (in steps that meet all of them).
func TestTimesAgreeWithPackageTime(t *testing.T) {
	types := map[string]features.Type{"at": features.Time}
	var all []*features.Expression
	for _, expr := range []string{"hour(at)", "minute_of_day(at)", "weekday(at)", "day(at)", "month(at)", "year(at)"} {
		e, problems := features.CompileExpression(expr, types)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		all = append(all, e)
	}
	last := time.Date(2110, 1, 1, 0, 0, 0, 0, time.UTC)
	for at := time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC); at.Before(last); at = at.Add(7*time.Hour + 13*time.Minute + 7*time.Second) {
		v, err := features.ParseValue(features.Time, at.Format("2006-01-02 15:04:05"))
		if err != nil || v.Number != float64(at.Unix()) {
			t.Fatalf("%s parsed as %v, %v", at, v, err)
		}
		want := []int{at.Hour(), at.Hour()*60 + at.Minute(), (int(at.Weekday()) + 6) % 7, at.Day(), int(at.Month()), at.Year()}
		for i, e := range all {
			if got := e.Number([]features.Value{v}); got != float64(want[i]) {
				t.Fatalf("function %d of %s = %v, want %d", i, at, got, want[i])
			}
		}
	}
}

// Golden bits: the same on every CPU kind and for every version of Go.
func TestLog1pBits(t *testing.T) {
	e, problems := features.CompileExpression("log1p(x)", map[string]features.Type{"x": features.Number})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var hash uint64 = 14695981039346656037
	for i := -999; i < 200000; i++ {
		x := float64(i) / 1000
		if i > 100000 {
			x = float64(i) * float64(i)
		}
		got := e.Number([]features.Value{{Number: x}})
		if want := math.Log1p(x); math.Abs(got-want) > 4e-16*math.Abs(want) {
			t.Fatalf("log1p(%v) = %v, package math says %v", x, got, want)
		}
		for b := math.Float64bits(got); b != 0; b >>= 8 {
			hash = (hash ^ b&0xff) * 1099511628211
		}
	}
	if want := "43cd27b1fe83d127"; strconv.FormatUint(hash, 16) != want {
		t.Errorf("the bits of log1p changed: %x, want %s", hash, want)
	}
	for x, want := range map[float64]float64{0: 0, 1e-20: 1e-20, 1e-9: math.Log1p(1e-9), 1e300: math.Log1p(1e300)} {
		if got := e.Number([]features.Value{{Number: x}}); got != want {
			t.Errorf("log1p(%v) = %v, want %v", x, got, want)
		}
	}
}

func FuzzParseNumber(f *testing.F) {
	for _, s := range []string{"1", "-0.5", "1e5", ".", "123456789012345.678", "NaN", "0x1p3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := features.ParseValue(features.Number, s)
		if err != nil || v.IsMissing() {
			return
		}
		if want, err := strconv.ParseFloat(s, 64); err != nil || math.Float64bits(want) != math.Float64bits(v.Number) {
			t.Errorf("%q = %v, strconv says %v, %v", s, v.Number, want, err)
		}
	})
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2001-02-03T04:05:06Z", "2001-02-03 04:05:06", "2001-02-03", "0000-01-01 00:00:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := features.ParseValue(features.Time, s)
		if err != nil || s == "" || len(s) > 20 {
			return
		}
		for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02"} {
			if at, err := time.Parse(layout, s); err == nil {
				if want := float64(at.UnixNano()) / 1e9; at.Year() > 1900 && at.Year() < 2200 && math.Abs(v.Number-want) > 1e-6 {
					t.Errorf("%q = %v, want %v", s, v.Number, want)
				}
				return
			}
		}
		t.Errorf("%q was taken for a time", s)
	})
}
