package quality_test

import (
	"context"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/table"
)

func read(t *testing.T, text string, types map[string]features.Type) (*table.Table, map[string]*table.Typed) {
	t.Helper()
	tab, err := table.Read(context.Background(), []table.Source{{Key: "k.csv", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}}, table.Options{KeepAll: true})
	if err != nil {
		t.Fatal(err)
	}
	typed, err := tab.Types(context.Background(), types)
	if err != nil {
		t.Fatal(err)
	}
	return tab, typed
}

// check holds a file's rows against one check.
func check(t *testing.T, text string, c definition.Check, declared map[string]features.Type) []quality.Finding {
	t.Helper()
	_, typed := read(t, text, declared)
	types := map[string]features.Type{}
	want := []table.Want{}
	for _, name := range []string{"x", "code"} {
		types[name] = typed[name].Type
		want = append(want, table.Want{Name: name, Type: types[name]})
	}
	rules, err := quality.NewRules([]definition.Check{c}, types, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := quality.FileTally{Key: "k.csv"}
	src := table.Source{Key: "k.csv", Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	f.Rows, err = table.Scan(context.Background(), src, want, func(b *table.Batch) (quality.Tally, error) { return rules.Look(b), nil }, func(_ *table.Batch, t quality.Tally) error {
		f.Tally.Add(t)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rules.Findings([]quality.FileTally{f})
}

func TestCheck(t *testing.T) {
	const rows = "x,code\n1,AB\n2,AC\n30,AB\n,zz\n5,\n"
	tests := map[string]struct {
		check definition.Check
		want  string // severity and text; "": nothing found
	}{
		"range holds":       {definition.Check{Column: "x", Range: &[2]float64{1, 30}}, ""},
		"range is broken":   {definition.Check{Column: "x", Range: &[2]float64{1, 29.5}}, `stop column "x": 1 value is outside 1 to 29.5; first: k.csv, line 4: the value is "30"`},
		"range of text":     {definition.Check{Column: "code", Range: &[2]float64{1, 2}}, `stop column "code": a range needs numbers, and the column holds text`},
		"range warns":       {definition.Check{Column: "x", Range: &[2]float64{1, 4}, Severity: "warn"}, `warn column "x": 2 values are outside 1 to 4; first: k.csv, line 4: the value is "30"`},
		"range tolerated":   {definition.Check{Column: "x", Range: &[2]float64{1, 4}, Tolerance: 0.4}, `warn column "x": 2 values are outside 1 to 4, within the tolerance of 40 %; first: k.csv, line 4: the value is "30"`},
		"range past it":     {definition.Check{Column: "x", Range: &[2]float64{1, 4}, Tolerance: 0.3}, `stop column "x": 2 values are outside 1 to 4, more than the tolerance of 30 %; first: k.csv, line 4: the value is "30"`},
		"one of holds":      {definition.Check{Column: "code", OneOf: []string{"AB", "AC", "zz"}}, ""},
		"one of is broken":  {definition.Check{Column: "code", OneOf: []string{"AB", "AC"}}, `stop column "code": 1 value is not one of the 2 allowed; first: k.csv, line 5: the value is "zz"`},
		"pattern holds":     {definition.Check{Column: "code", Pattern: "[A-Za-z]{2}"}, ""},
		"pattern is whole":  {definition.Check{Column: "code", Pattern: "[A-Z]|z"}, `stop column "code": 4 values are not of the pattern [A-Z]|z; first: k.csv, line 2: the value is "AB"`},
		"missing holds":     {definition.Check{Column: "x", Missing: &definition.Missing{AtMost: 0.2}}, ""},
		"missing is broken": {definition.Check{Column: "x", Missing: &definition.Missing{AtMost: 0.1}}, `stop column "x": 20 % of the values missing, at most 10 % allowed; first: k.csv, line 5: missing`},
		"type is broken":    {definition.Check{Column: "code", Type: "number"}, `stop column "code": 4 values are not of type number; first: k.csv, line 2: `},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			types := map[string]features.Type{}
			if tt.check.Type != "" {
				types[tt.check.Column] = features.Number
			}
			found := check(t, rows, tt.check, types)
			got := ""
			for _, f := range found {
				got += f.Severity + " " + f.Text()
			}
			if !strings.HasPrefix(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("found %q, want %q", got, tt.want)
			}
			if quality.Stops(found) != strings.HasPrefix(tt.want, "stop") {
				t.Errorf("stops: %v", quality.Stops(found))
			}
		})
	}
}

// TestValuesAllowed: what is allowed is a value where the column has values, and not their spelling.
func TestValuesAllowed(t *testing.T) {
	for name, tt := range map[string]struct {
		cells string // one under the other
		check definition.Check
		want  string // "": nothing found
	}{
		"spelt with a fraction":  {"1.0 2.00 NaN 2 -0", definition.Check{OneOf: []string{"0", "1", "2"}}, ""},
		"another number":         {"1.0 2.5 NaN 2", definition.Check{OneOf: []string{"1", "2"}}, `1 value is not one of the 2 allowed; first: k.csv, line 3: the value is "2.5"`},
		"booleans":               {"True true t", definition.Check{OneOf: []string{"true"}}, ""},
		"another boolean":        {"True False", definition.Check{OneOf: []string{"true"}}, `the value is "False"`},
		"times":                  {"2025-01-03T00:00:00Z 2025-01-03T01:00:00+01:00", definition.Check{OneOf: []string{"2025-01-03"}}, ""},
		"texts are as they are":  {"1.0 a 1", definition.Check{OneOf: []string{"1", "a"}}, `the value is "1.0"`},
		"a pattern is of texts":  {"1.0 2.0", definition.Check{Pattern: "[0-9]"}, `2 values are not of the pattern`},
		"no number for patterns": {"1 NaN 2", definition.Check{Pattern: "[0-9]"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tt.check.Column = "x"
			text := "x,code\n" + strings.ReplaceAll(tt.cells, " ", ",\n") + ",\n"
			got := ""
			for _, f := range check(t, text, tt.check, nil) {
				got += f.Text()
			}
			if !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("found %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRulesRefuseABadPattern(t *testing.T) {
	if _, err := quality.NewRules([]definition.Check{{Column: "x", Pattern: "("}}, nil, nil); err == nil {
		t.Error("no error")
	}
}

func TestConclude(t *testing.T) {
	stop, warn := quality.Finding{Severity: quality.Stop, Message: "bad"}, quality.Finding{Severity: quality.Warn, Message: "odd"}
	for name, tt := range map[string]struct {
		findings []quality.Finding
		ok       bool
		want     string
	}{
		"nothing":      {nil, true, "The data passed every check."},
		"a warning":    {[]quality.Finding{warn}, true, "The data passed every check that stops a run; there is 1 warning."},
		"warnings":     {[]quality.Finding{warn, warn}, true, "The data passed every check that stops a run; there are 2 warnings."},
		"stopped":      {[]quality.Finding{warn, stop}, false, "bad"},
		"more of them": {[]quality.Finding{stop, warn, stop}, false, "bad (and 1 more)"},
	} {
		r := quality.Report{Findings: tt.findings}
		r.Conclude()
		if r.OK != tt.ok || r.Verdict != tt.want {
			t.Errorf("%s: %v %q, want %v %q", name, r.OK, r.Verdict, tt.ok, tt.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	tab, typed := read(t, "x,code,none,at\n1,AB,,2001-01-01\n2,AB,,2001-01-02\n4,AC,,\n,AB,,2001-01-04\n", nil)
	got, err := quality.Describe(context.Background(), tab, typed, []string{"x", "code", "none", "at"}, map[string]string{"at": "time"})
	if err != nil {
		t.Fatal(err)
	}
	x, code, none, at := got[0], got[1], got[2], got[3]
	if x.Type != "integer" || x.Present != 3 || x.Missing != 1 || *x.Min != 1 || *x.Max != 4 || math.Abs(*x.Mean-7.0/3) > 1e-12 || x.Quartiles[1] != 2 {
		t.Errorf("x is %+v", x)
	}
	sum := 0.0
	for _, s := range x.Histogram.Shares {
		sum += s
	}
	if math.Abs(sum-1) > 1e-12 {
		t.Errorf("the shares sum to %v", sum)
	}
	if code.Type != "text" || *code.Distinct != 2 || code.Top[0].Value != "AB" || code.Top[0].Count != 3 {
		t.Errorf("code is %+v", code)
	}
	if none.Present != 0 || none.Missing != 4 || none.Min != nil {
		t.Errorf("none is %+v", none)
	}
	if at.Type != "time" || at.Role != "time" || quality.Instant(*at.Max) != "2001-01-04T00:00:00Z" {
		t.Errorf("at is %+v", at)
	}
}
