package features_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/features"
)

var flightTypes = map[string]features.Type{
	"id": features.Text, "at": features.Time, "landed": features.Time, "origin": features.Text, "dest": features.Text,
	"dist": features.Number, "seats": features.Integer, "cargo": features.Boolean, "delay": features.Number, "Arr Gate": features.Text,
}

var roles = features.Roles{Key: "id", Label: features.Label{Name: "late", Expr: "delay > 15"}}

// row gives the values of columns from cells by column name; a column left out is missing.
func row(t testing.TB, columns []string, cells map[string]string) []features.Value {
	t.Helper()
	out := make([]features.Value, len(columns))
	for i, c := range columns {
		v, err := features.ParseValue(flightTypes[c], cells[c])
		if err != nil {
			t.Fatal(err)
		}
		out[i] = v
	}
	return out
}

func TestExpressions(t *testing.T) {
	cells := map[string]string{
		"at": "2001-03-04 23:59:30", "landed": "2001-03-05T01:29:30Z", "origin": "ORD", "dest": "Sea", "dist": "1721",
		"seats": "150", "cargo": "true", "delay": "12.5", "Arr Gate": "B7",
	}
	nan := math.NaN()
	for expr, want := range map[string]float64{
		"dist":                              1721,
		"hour(at)":                          23,
		"minute_of_day(at)":                 1439,
		"weekday(at)":                       6, // a Sunday
		"weekday(landed)":                   0,
		"day(at)":                           4,
		"month(at)":                         3,
		"year(at)":                          2001,
		"(landed - at) / 60":                90,
		"landed > at":                       1,
		"dist * 2 + 1":                      3443,
		"1 / 2":                             0.5,
		"seats % 4":                         2,
		"-7 % 4":                            -3,
		"-dist":                             -1721,
		"abs(delay - 20)":                   7.5,
		"floor(delay)":                      12,
		"floor(-delay)":                     -13,
		"sqrt(seats - 6)":                   12,
		"log1p(0)":                          0,
		"min(dist, 1000, seats)":            150,
		"max(dist, 1000, seats)":            1721,
		"dist > 1000":                       1,
		"500 < dist and dist < 1000":        0,
		"500 < dist < 2000":                 1,
		"dist > 1000 ? seats : 0":           150,
		"if dist < 1000 { 1 } else { 2 }":   2,
		"cargo":                             1,
		"not cargo":                         0,
		"!cargo || dist > 1":                1,
		"cargo == true":                     1,
		`origin == "ORD"`:                   1,
		`origin != 'ORD'`:                   0,
		`origin < "P"`:                      1,
		`origin in ["ATL", "ORD"]`:          1,
		`origin not in ["ATL", "ORD"]`:      0,
		"seats in [1, 150, -3]":             1,
		`lower(dest) == "sea"`:              1,
		`dest startsWith "S"`:               1,
		`dest endsWith "ea"`:                1,
		`dest contains "x"`:                 0,
		`column("Arr Gate") == "B7"`:        1,
		"is_missing(dist)":                  0,
		"dist ?? 5":                         1721,
		`(dist > 1 ? origin : dest) == "a"`: 0,
		"sqrt(-dist)":                       nan,
		"dist / 0":                          nan, // infinite
		"0 / 0 * dist":                      nan,
		"9007199254740992.0 + 1 > 0":        1,
	} {
		t.Run(expr, func(t *testing.T) {
			e, problems := features.CompileExpression(expr, flightTypes)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			got := e.Number(row(t, e.Columns(), cells))
			if got != want && !(got != got && want != want) {
				t.Errorf("%s = %v, want %v", expr, got, want)
			}
		})
	}
}

func TestMissingPropagates(t *testing.T) {
	const missing = -99 // stands for NaN in this table
	for expr, want := range map[string]float64{
		"dist":                           missing,
		"dist + 1":                       missing,
		"hour(at)":                       missing,
		"weekday(at)":                    missing,
		"dist > 1":                       missing,
		"dist != 1":                      missing,
		`origin == "A"`:                  missing,
		`origin in ["A"]`:                missing,
		"dist in [1]":                    missing,
		`origin contains "A"`:            missing,
		"min(seats, dist)":               missing,
		"max(dist, seats)":               missing,
		"not cargo":                      missing,
		"dist > 1 ? 1 : 0":               missing,
		"dist > 1 ? seats : seats":       missing,
		"dist > 1 or seats > 1":          1,
		"seats > 1 or dist > 1":          1,
		"dist > 1 or seats > 1000":       missing,
		"dist > 1 and seats > 1":         missing,
		"dist > 1 and seats > 1000":      0,
		"seats > 1000 and dist > 1":      0,
		"is_missing(dist)":               1,
		"is_missing(origin)":             1,
		"is_missing(seats)":              0,
		"is_missing(dist + seats)":       1,
		"is_missing(dist) ? 7 : dist":    7,
		"dist ?? 5":                      5,
		`(origin ?? "none") == "none"`:   1,
		`lower(origin) == "a"`:           missing,
		"seats > 1 ? 3 : dist":           3,
		`is_missing(origin ?? dest)`:     1,
		`(cargo ? origin : dest) == "a"`: missing,
	} {
		t.Run(expr, func(t *testing.T) {
			e, problems := features.CompileExpression(expr, flightTypes)
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			got := e.Number(row(t, e.Columns(), map[string]string{"seats": "150"}))
			if got != got {
				got = missing
			}
			if got != want {
				t.Errorf("%s = %v, want %v", expr, got, want)
			}
		})
	}
}

func TestWrongExpressions(t *testing.T) {
	for expr, want := range map[string]struct {
		offset  int
		message string // a part of message and hint
	}{
		"":                     {-1, "is empty"},
		"dist +":               {6, "ends too early"},
		"dist = 3":             {5, "=="},
		"dits":                 {0, "did you mean dist?"},
		"wheather + 1":         {0, "the columns are Arr Gate, at"},
		"horu(at)":             {0, "did you mean hour?"},
		"eval(at)":             {0, "the functions are abs"},
		"hour(origin)":         {5, "hour needs a time, this is a text"},
		"hour()":               {0, "one argument, not 0"},
		"hour(at, at)":         {0, "one argument, not 2"},
		"min(dist)":            {0, "two or more"},
		"origin + dest":        {7, "cannot be joined"},
		"origin * 2":           {0, "needs a number, this is a text"},
		"at + 1":               {0, "hour, minute_of_day"},
		"cargo + 1":            {0, "? 1 : 0"},
		"cargo < true":         {6, "cannot order"},
		`dist == "3"`:          {5, "in quotes"},
		"dist > 1 ? 1 : dest":  {15, "one branch gives an integer, the other a text"},
		"dist ? 1 : 2":         {0, "a condition needs a boolean"},
		"dist and cargo":       {0, "and needs a boolean"},
		"dist ** 2":            {5, "differ from CPU to CPU"},
		"dist ^ 2":             {5, "differ from CPU to CPU"},
		`origin matches "A.*"`: {7, "regular expressions"},
		"1..3":                 {1, "not supported"},
		"map([1], # * 2)":      {0, `no function "map"`},
		"now()":                {0, `no function "now"`},
		"let a = 1; a":         {4, "not supported"},
		"dist; dist":           {0, "not supported"},
		"origin.x":             {7, "no parts"},
		"origin[0]":            {6, "no parts"},
		"{a: 1}":               {0, "not supported"},
		"[1]":                  {0, "after in"},
		"dist == nil":          {8, "is_missing"},
		"dist in [1, \"a\"]":   {12, "looked for is a number"},
		"dist in seats":        {8, "list of constants"},
		"dist in [seats]":      {9, "only text and numbers"},
		`origin in [-"a"]`:     {11, "no sign"},
		"99999999999999999":    {0, "too large to be exact"},
		"lower(dist)":          {6, "needs a text"},
		"column(dist)":         {0, "one name in quotes"},
		`column("nope")`:       {0, `no column "nope"`},
		"origin":               {-1, "gives a text"},
		"at":                   {-1, "gives a time"},
		"dist > 1 & cargo":     {9, "Unexpected"},
		strings.Repeat("(", 2001) + "1" + strings.Repeat(")", 2001): {-1, "longer than"},
		strings.Repeat("1+", 900) + "1":                             {-2, "maximum allowed nodes"},
		// Each level doubles what must be computed: without a bound this never ends.
		strings.Repeat("(", 60) + "cargo" + strings.Repeat("?:true)", 60):       {-1, "too complicated"},
		strings.Repeat("(1 < ", 60) + "2" + strings.Repeat(" < 3 ? 1 : 2)", 60): {-1, "too complicated"},
	} {
		t.Run(expr[:min(len(expr), 30)], func(t *testing.T) {
			e, problems := features.CompileExpression(expr, flightTypes)
			if len(problems) == 0 {
				t.Fatalf("no problem; columns %v", e.Columns())
			}
			p := problems[0]
			if !strings.Contains(strings.ToLower(p.Message+" "+p.Hint), strings.ToLower(want.message)) || p.Offset != want.offset && want.offset != -2 {
				t.Errorf("got offset %d, %q (%s); want offset %d, %q", p.Offset, p.Message, p.Hint, want.offset, want.message)
			}
		})
	}
}

func TestCompileReportsEveryProblem(t *testing.T) {
	_, problems := features.Compile([]features.Feature{
		{Name: "1st", Expr: "dist"},
		{Name: "a", Expr: "hour(origin) + nope"},
		{Name: "a", Expr: "dist"},
		{Name: "key", Expr: "id", Encode: "onehot"},
		{Name: "leak", Expr: "seats + delay"},
		{Name: "text", Expr: "origin"},
		{Name: "time", Expr: "at"},
		{Name: "bool", Expr: "cargo", Encode: "onehot"},
		{Name: "enc", Expr: "origin", Encode: "onhot"},
	}, flightTypes, roles)
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%d %s %d %s", p.Feature, p.Field, p.Offset, p.Message))
	}
	want := []string{
		`0 name -1 "1st" is not a name`,
		`1 expr 15 there is no column "nope"`,
		`1 expr 5 hour needs a time, this is a text`,
		`2 name -1 "a" is also the name of feature 2`,
		`3 expr 0 reads the key "id"`,
		`4 expr 8 reads "delay", of which the label is made`,
		`5 encode -1 the feature is text and has no encoding`,
		`6 encode -1 the feature is a time`,
		`7 encode -1 a boolean is 0 or 1 already`,
		`8 encode -1 "onhot" is not an encoding`,
	}
	if len(got) != len(want) {
		t.Fatalf("got %d problems, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	found := map[string]bool{}
	for _, g := range got {
		found[g] = true
	}
	for _, w := range want {
		if !found[w] {
			t.Errorf("missing %s in\n%s", w, strings.Join(got, "\n"))
		}
	}
}

func TestCheckTakesUndeclaredColumnsOnTrust(t *testing.T) {
	declared := map[string]features.Type{"at": features.Time}
	defs := []features.Feature{{Name: "a", Expr: "hour(whenever) + x * 2"}, {Name: "b", Expr: "anything"}}
	if problems := features.Check(defs, declared, features.Roles{}); len(problems) > 0 {
		t.Errorf("unexpected %v", problems)
	}
	if problems := features.Check([]features.Feature{{Name: "a", Expr: "at * 2"}}, declared, features.Roles{}); len(problems) != 1 {
		t.Errorf("want one problem for a declared time in a product, got %v", problems)
	}
	if _, problems := features.Compile(defs, declared, features.Roles{}); len(problems) == 0 {
		t.Error("Compile took a column without a type")
	}
	for expr, want := range map[string][]string{
		"lower(b) == a ? b : c": {"b", "a", "c"}, "horu(x) + y": {"x", "y"}, `column("Arr Gate")`: {"Arr Gate"}, "x +": nil, "1": nil,
	} {
		if got := features.Reads(expr); !reflect.DeepEqual(got, want) {
			t.Errorf("%s reads %v, want %v", expr, got, want)
		}
	}
	for expr, want := range map[string]features.Type{"x > 1": features.Boolean, "at": features.Time, "x": features.Unknown, "at > 1": features.Unknown, "lower(x)": features.Text} {
		if got := features.TypeOf(expr, declared); got != want {
			t.Errorf("%s is %s, want %s", expr, got, want)
		}
	}
	columns, problems := features.CheckExpression("delay > 15", nil)
	if len(problems) > 0 || !reflect.DeepEqual(columns, []string{"delay"}) {
		t.Errorf("got %v %v", columns, problems)
	}
}

var defs = []features.Feature{
	{Name: "minute", Expr: "minute_of_day(at)"},
	{Name: "origin", Expr: "origin", Encode: "onehot"},
	{Name: "dest", Expr: "dest", Encode: "ordinal"},
	{Name: "dist", Expr: "dist"},
	{Name: "hour", Expr: "hour(at)", Encode: "onehot"},
	{Name: "seats", Expr: "seats", Encode: "ordinal"},
}

func fitted(t testing.TB, rows ...map[string]string) *features.Program {
	t.Helper()
	p, problems := features.Compile(defs, flightTypes, roles)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	fit, other := p.NewFit(), p.NewFit()
	for i, cells := range rows {
		f := fit
		if i%2 == 1 {
			f = other
		}
		f.Observe(row(t, p.Columns(), cells))
	}
	fit.Merge(other)
	p, err := fit.Program()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func flightProgram(t testing.TB) *features.Program {
	return fitted(t,
		map[string]string{"at": "2001-01-01 09:00:00", "origin": "ORD", "dest": "SEA", "dist": "1721", "seats": "10"},
		map[string]string{"at": "2001-01-01 10:30:00", "origin": "ATL", "dest": "BOS", "dist": "946", "seats": "9"},
		map[string]string{"at": "2001-01-01 10:31:00", "origin": "", "dest": "BOS", "dist": "946", "seats": "100"},
	)
}

func TestRow(t *testing.T) {
	p := flightProgram(t)
	want := []string{"minute", "origin=ATL", "origin=ORD", "dest", "dist", "hour=9", "hour=10", "seats"}
	if !reflect.DeepEqual(p.Names(), want) {
		t.Fatalf("names %v", p.Names())
	}
	if want := []string{"at", "origin", "dest", "dist", "seats"}; !reflect.DeepEqual(p.Columns(), want) {
		t.Fatalf("columns %v", p.Columns())
	}
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		cells map[string]string
		want  []float32
	}{
		"seen":    {map[string]string{"at": "2001-02-01 09:15:00", "origin": "ORD", "dest": "SEA", "dist": "5.5", "seats": "100"}, []float32{555, 0, 1, 1, 5.5, 1, 0, 2}},
		"unseen":  {map[string]string{"at": "2001-02-01 11:15:00", "origin": "LAX", "dest": "LAX", "dist": "1e300", "seats": "11"}, []float32{675, 0, 0, nan, nan, 0, 0, nan}},
		"missing": {nil, []float32{nan, nan, nan, nan, nan, nan, nan, nan}},
	} {
		t.Run(name, func(t *testing.T) {
			out := make([]float32, len(p.Names()))
			for i := range out {
				out[i] = -1
			}
			p.Row(row(t, p.Columns(), c.cells), out)
			for i := range out {
				if out[i] != c.want[i] && !(out[i] != out[i] && c.want[i] != c.want[i]) {
					t.Errorf("%s = %v, want %v", p.Names()[i], out[i], c.want[i])
				}
			}
		})
	}
}

func TestRowNeedsAFit(t *testing.T) {
	p, _ := features.Compile(defs, flightTypes, roles)
	defer func() {
		if recover() == nil {
			t.Error("Row of an unfitted program did not panic")
		}
	}()
	p.Row(make([]features.Value, len(p.Columns())), make([]float32, 20))
}

func TestFitRefuses(t *testing.T) {
	p, _ := features.Compile([]features.Feature{{Name: "dest", Expr: "dest", Encode: "onehot"}}, flightTypes, roles)
	if _, err := p.NewFit().Program(); err == nil || !strings.Contains(err.Error(), `"dest": every training row has it missing`) {
		t.Errorf("no categories: %v", err)
	}
	fit := p.NewFit()
	for i := range features.MaxCategories {
		fit.Observe([]features.Value{{Text: fmt.Sprint(i)}})
	}
	if _, err := fit.Program(); err != nil {
		t.Errorf("as many as allowed: %v", err)
	}
	fit.Observe([]features.Value{{Text: "one more"}})
	if _, err := fit.Program(); err == nil || !strings.Contains(err.Error(), "more than 1000 categories") {
		t.Errorf("too many: %v", err)
	}
	bad := p.NewFit()
	bad.Observe([]features.Value{{Text: "\xff"}})
	if _, err := bad.Program(); err == nil || !strings.Contains(err.Error(), "UTF-8") {
		t.Errorf("not UTF-8: %v", err)
	}
}

// parse reads the cells of columns of these types into row.
func parse(t testing.TB, types []features.Type, cells []string, row []features.Value) {
	t.Helper()
	for i, typ := range types {
		v, err := features.ParseValue(typ, cells[i])
		if err != nil {
			t.Fatal(err)
		}
		row[i] = v
	}
}

func TestRowAllocatesNothing(t *testing.T) {
	p := flightProgram(t)
	cells := []string{"2001-02-01 09:15:00", "ORD", "SEA", "5.5", "100"}
	types, values, out := p.Types(), make([]features.Value, len(cells)), make([]float32, len(p.Names()))
	if n := testing.AllocsPerRun(100, func() {
		parse(t, types, cells, values)
		p.Row(values, out)
	}); n != 0 {
		t.Errorf("%v allocations a row", n)
	}
}
