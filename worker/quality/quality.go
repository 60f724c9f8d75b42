// Package quality holds uploaded rows against the definition's checks, and
// describes them. What it finds becomes a report; it never changes a row.
package quality

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
)

// Severities of a finding.
const (
	Stop = "stop" // nothing is trained or scored
	Warn = "warn"
)

// examples is how many places a finding names.
const examples = 5

// Finding is one check that the data breaks.
type Finding struct {
	Severity string          `json:"severity"`
	Check    string          `json:"check"` // file | column | type | range | one_of | pattern | missing | unique | key | label | time | rows | feature | window
	Column   string          `json:"column,omitempty"`
	Message  string          `json:"message"`
	Count    int             `json:"count,omitempty"` // of rows
	Share    float64         `json:"share,omitempty"` // of all rows
	Examples []table.Problem `json:"examples,omitempty"`

	files   map[string]int // rows that break the check, by the key of their file
	allowed float64        // share of rows that may
}

// Text is the finding in one line, with its first place.
func (f Finding) Text() string {
	text := f.Message
	if f.Column != "" {
		text = fmt.Sprintf("column %q: %s", f.Column, text)
	}
	if len(f.Examples) > 0 {
		e := f.Examples[0]
		e.Column = ""
		text += "; first: " + e.Error()
	}
	return text
}

// FromProblems makes findings of what the reader could not read.
func FromProblems(problems table.Problems) []Finding {
	out := make([]Finding, len(problems))
	for i, p := range problems {
		check := "file"
		if p.Column != "" {
			check = "column"
		}
		out[i] = Finding{Severity: Stop, Check: check, Message: p.Error()}
		if p.Key != "" {
			out[i].Blame(p.Key, 1)
		}
	}
	return out
}

// Check holds the rows against the checks. used are the columns the pipeline
// reads: in them a cell of the wrong type is a fault even when no check says so.
func Check(tab *table.Table, typed map[string]*table.Typed, checks []definition.Check, used []string) ([]Finding, error) {
	var out []Finding
	checked := map[string]bool{}
	for _, c := range checks {
		found, err := one(tab, typed[c.Column], c)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
		checked[c.Column] = checked[c.Column] || c.Type != ""
	}
	for _, name := range slices.Sorted(slices.Values(used)) {
		if col := typed[name]; !checked[name] && col.Wrong > 0 {
			checked[name] = true
			f := mistakes(col, tab.Rows())
			f.Message += fmt.Sprintf("; nearly all others are %ss (hint: correct them, or declare the column's type in quality)", col.Type)
			out = append(out, f)
		}
	}
	return out, nil
}

func mistakes(col *table.Typed, rows int) Finding {
	found := col.Mistakes()
	f := Finding{
		Severity: Stop, Check: "type", Column: col.Name, Count: col.Wrong, Share: share(col.Wrong, rows),
		Message: fmt.Sprintf("%s not of type %s", are(col.Wrong, "value"), col.Type), Examples: found[:min(len(found), examples)],
	}
	for _, p := range found {
		f.Blame(p.Key, 1)
	}
	return f
}

func one(tab *table.Table, col *table.Typed, c definition.Check) ([]Finding, error) {
	var out []Finding
	rows := tab.Rows()
	// Settle decides what a broken check means, by its tolerance and severity.
	settle := func(f Finding, allowed float64) {
		if f.Count == 0 {
			return
		}
		f.Share, f.allowed = share(f.Count, rows), max(f.allowed, allowed)
		switch {
		case f.Share <= allowed:
			f.Severity = Warn
			f.Message += fmt.Sprintf(", within the tolerance of %s", percent(allowed))
		case c.Severity == Warn:
			f.Severity = Warn
		default:
			f.Severity = Stop
			if allowed > 0 {
				f.Message += fmt.Sprintf(", more than the tolerance of %s", percent(allowed))
			}
		}
		out = append(out, f)
	}
	if c.Type != "" && col.Wrong > 0 {
		settle(mistakes(col, rows), c.Tolerance)
	}
	if c.Range != nil {
		low, high := c.Range[0], c.Range[1]
		if col.Type == features.Text {
			out = append(out, Finding{Severity: Stop, Check: "range", Column: c.Column, Message: "a range needs numbers, and the column holds text"})
		} else {
			f := Finding{Check: "range", Column: c.Column}
			for row, v := range col.Numbers {
				if v < low || v > high {
					f.add(tab, row, col, "")
				}
			}
			f.Message = fmt.Sprintf("%s outside %s to %s", are(f.Count, "value"), number(low), number(high))
			settle(f, c.Tolerance)
		}
	}
	if len(c.OneOf) > 0 {
		f := scan(tab, col, "one_of", func(cell string) bool { return slices.Contains(c.OneOf, cell) })
		f.Message = fmt.Sprintf("%s not one of the %d allowed", are(f.Count, "value"), len(c.OneOf))
		settle(f, c.Tolerance)
	}
	if c.Pattern != "" {
		re, err := regexp.Compile(`^(?:` + c.Pattern + `)$`)
		if err != nil {
			return nil, fmt.Errorf("read pattern of column %q: %w", c.Column, err)
		}
		f := scan(tab, col, "pattern", re.MatchString)
		f.Message = fmt.Sprintf("%s not of the pattern %s", are(f.Count, "value"), c.Pattern)
		settle(f, c.Tolerance)
	}
	if c.Missing != nil {
		f := Finding{Check: "missing", Column: c.Column}
		for row := range rows {
			if col.Missing(row) {
				f.add(tab, row, col, "missing")
			}
		}
		if s := share(f.Count, rows); s > c.Missing.AtMost {
			f.Message = fmt.Sprintf("%s of the values missing, at most %s allowed", percent(s), percent(c.Missing.AtMost))
			f.allowed = c.Missing.AtMost
			settle(f, 0)
		}
	}
	if c.Unique {
		f := Duplicates(tab, c.Column)
		f.Check = "unique"
		settle(f, 0)
	}
	return out, nil
}

// scan finds the present cells that are not good; each different text is judged once.
func scan(tab *table.Table, col *table.Typed, check string, good func(string) bool) Finding {
	f := Finding{Check: check, Column: col.Name}
	const remembered = 10_000
	verdicts := map[string]bool{}
	col.Each(0, tab.Rows(), func(row int, cell string) {
		if cell == "" {
			return
		}
		ok, known := verdicts[cell]
		if !known {
			ok = good(cell)
			if len(verdicts) < remembered {
				verdicts[cell] = ok
			}
		}
		if !ok {
			f.add(tab, row, col, "")
		}
	})
	return f
}

// add counts a row, and keeps it as an example while there are few.
func (f *Finding) add(tab *table.Table, row int, col *table.Typed, message string) {
	key, _ := tab.Where(row)
	f.Blame(key, 1)
	if f.Count++; len(f.Examples) < examples {
		if message == "" {
			message = "the value is " + strconv.Quote(clip(col.Cell(row)))
		}
		f.Examples = append(f.Examples, tab.Problem(row, col.Name, message, ""))
	}
}

// Duplicates finds the rows whose value of a column was there before.
func Duplicates(tab *table.Table, column string) Finding {
	f := Finding{Check: "unique", Column: column}
	first := make(map[string]int, tab.Rows())
	tab.Column(column).Each(0, tab.Rows(), func(row int, cell string) {
		if cell == "" {
			return
		}
		before, dup := first[cell]
		if !dup {
			first[cell] = row
			return
		}
		own, _ := tab.Where(row)
		f.Blame(own, 1)
		if f.Count++; len(f.Examples) < examples {
			key, line := tab.Where(before)
			f.Examples = append(f.Examples, tab.Problem(row, column, fmt.Sprintf("%q is also in %s, line %d", clip(cell), key, line), ""))
		}
	})
	f.Message = fmt.Sprintf("%s there more than once", are(f.Count, "value"))
	f.Share = share(f.Count, tab.Rows())
	return f
}

func are(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return fmt.Sprintf("%d %ss are", n, noun)
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func percent(x float64) string { return strconv.FormatFloat(math.Round(x*1e5)/1e3, 'f', -1, 64) + " %" }

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

func clip(s string) string {
	const most = 60
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}
