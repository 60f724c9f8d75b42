package quality

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
)

// Rules are the definition's checks on single columns, made ready for rows.
type Rules struct {
	all []rule
}

// rule is one property that cells must have.
type rule struct {
	check    string // as Finding.Check
	column   string
	asked    definition.Check
	kind     features.Type
	declared bool // false: the type was found, not declared
	low      float64
	high     float64
	allowed  map[string]bool
	values   map[float64]bool // of allowed, in a column that is no text: 1.0 is 1
	pattern  *regexp.Regexp
	refused  string // a fault of the rule itself
}

// Tally is what some rows of one file do against the rules, rule by rule.
type Tally []Broken

// Broken counts the rows that break a rule.
type Broken struct {
	Count    int
	Examples []table.Problem // the first of them
}

// NewRules makes rules of checks. used are the columns the pipeline reads: in
// them a cell of the wrong type is a fault even when no check says so.
func NewRules(checks []definition.Check, types map[string]features.Type, used []string) (*Rules, error) {
	r := &Rules{}
	typed := map[string]bool{}
	for _, c := range checks {
		add := func(check string) *rule {
			r.all = append(r.all, rule{check: check, column: c.Column, asked: c, kind: types[c.Column], declared: true})
			return &r.all[len(r.all)-1]
		}
		if c.Type != "" {
			typed[c.Column] = true
			add("type")
		}
		if c.Range != nil {
			one := add("range")
			one.low, one.high = c.Range[0], c.Range[1]
			if types[c.Column] == features.Text {
				one.refused = "a range needs numbers, and the column holds text"
			}
		}
		if len(c.OneOf) > 0 {
			one := add("one_of")
			one.allowed, one.values = map[string]bool{}, map[float64]bool{}
			for _, value := range c.OneOf {
				one.allowed[value] = true
				if v, err := features.ParseValue(one.kind, value); err == nil && one.kind != features.Text {
					one.values[v.Number] = true
				}
			}
		}
		if c.Pattern != "" {
			re, err := regexp.Compile(`^(?:` + c.Pattern + `)$`)
			if err != nil {
				return nil, fmt.Errorf("read pattern of column %q: %w", c.Column, err)
			}
			add("pattern").pattern = re
		}
		if c.Missing != nil {
			add("missing")
		}
	}
	for _, name := range slices.Sorted(slices.Values(used)) {
		if !typed[name] {
			typed[name] = true
			r.all = append(r.all, rule{check: "type", column: name, kind: types[name]})
		}
	}
	return r, nil
}

// Unique are the columns whose values must be unique by the checks.
func Unique(checks []definition.Check) []string {
	var out []string
	for _, c := range checks {
		if c.Unique {
			out = append(out, c.Column)
		}
	}
	return out
}

// Look holds a batch against the rules. Safe for concurrent use.
func (r *Rules) Look(b *table.Batch) Tally {
	columns := map[string]*table.BatchColumn{}
	for i := range b.Columns {
		columns[b.Columns[i].Name] = &b.Columns[i]
	}
	t := make(Tally, len(r.all))
	for i := range r.all {
		if one := &r.all[i]; one.refused == "" {
			one.look(b, columns[one.column], &t[i])
		}
	}
	return t
}

func (r *rule) look(b *table.Batch, c *table.BatchColumn, out *Broken) {
	add := func(row int, message string) {
		if out.Count++; len(out.Examples) < examples {
			out.Examples = append(out.Examples, b.Problem(row, c.Name, message, ""))
		}
	}
	value := func(row int) string { return "the value is " + strconv.Quote(Clip(c.Cell(row))) }
	switch r.check {
	case "type":
		for _, row := range c.Wrong {
			add(row, "")
		}
		for i := range out.Examples {
			out.Examples[i].Message = c.Mistake(c.Wrong[i])
		}
	case "range":
		for row, v := range c.Numbers {
			if v < r.low || v > r.high {
				add(row, value(row))
			}
		}
	case "missing":
		for row := range b.Rows {
			if c.Missing(row) {
				add(row, "missing")
			}
		}
	default:
		verdicts := map[string]bool{} // each different text is judged once
		for row := range b.Rows {
			if c.Missing(row) { // or not of the type, which is a fault of its own
				continue
			}
			cell := c.Cell(row)
			good, known := verdicts[cell]
			if !known {
				good = r.allowed[cell] || c.Numbers != nil && r.values[c.Numbers[row]] || r.pattern != nil && r.pattern.MatchString(cell)
				verdicts[cell] = good
			}
			if !good {
				add(row, value(row))
			}
		}
	}
}

// Add adds what later rows of the same file do.
func (t *Tally) Add(later Tally) {
	if *t == nil {
		*t = make(Tally, len(later))
	}
	for i, l := range later {
		b := &(*t)[i]
		b.Count += l.Count
		b.Examples = append(b.Examples, l.Examples[:min(len(l.Examples), examples-len(b.Examples))]...)
	}
}

// FileTally is the tally of one whole file.
type FileTally struct {
	Key   string
	Rows  int
	Tally Tally
}

// Findings are the rules that the files together break.
func (r *Rules) Findings(files []FileTally) []Finding {
	rows := 0
	for _, f := range files {
		rows += f.Rows
	}
	var out []Finding
	for i := range r.all {
		one := &r.all[i]
		if one.refused != "" {
			out = append(out, Finding{Severity: Stop, Check: one.check, Column: one.column, Message: one.refused})
			continue
		}
		f := Finding{Check: one.check, Column: one.column}
		for _, file := range files {
			if i < len(file.Tally) && file.Tally[i].Count > 0 {
				f.take(file.Key, file.Tally[i])
			}
		}
		if f.Count > 0 {
			out = append(out, one.judge(f, rows)...)
		}
	}
	return out
}

// take adds the rows of one file that break the check.
func (f *Finding) take(key string, b Broken) {
	f.Blame(key, b.Count)
	f.Count += b.Count
	f.Examples = append(f.Examples, b.Examples[:min(len(b.Examples), examples-len(f.Examples))]...)
}

// judge decides what a broken rule means, by its tolerance and severity.
func (r *rule) judge(f Finding, rows int) []Finding {
	c, allowed := r.asked, r.asked.Tolerance
	f.Share = share(f.Count, rows)
	switch r.check {
	case "type":
		f.Message = fmt.Sprintf("%s not of type %s", are(f.Count, "value"), r.kind)
		if !r.declared {
			if f.Share < 0.5 { // a type that was found, or a time with a few slips
				f.Message += fmt.Sprintf("; nearly all others are %ss (hint: correct them, leave the cell empty where there is no value, or declare the column's type in quality)", r.kind)
			} else {
				f.Message += ", as which the pipeline reads the column"
			}
			f.Severity = Stop
			return []Finding{f}
		}
	case "range":
		f.Message = fmt.Sprintf("%s outside %s to %s", are(f.Count, "value"), number(r.low), number(r.high))
	case "one_of":
		f.Message = fmt.Sprintf("%s not one of the %d allowed", are(f.Count, "value"), len(c.OneOf))
	case "pattern":
		f.Message = fmt.Sprintf("%s not of the pattern %s", are(f.Count, "value"), c.Pattern)
	case "missing":
		if f.Share <= c.Missing.AtMost {
			return nil
		}
		f.Message = fmt.Sprintf("%s of the values missing, at most %s allowed", percent(f.Share), percent(c.Missing.AtMost))
		f.allowed, allowed = c.Missing.AtMost, 0
	}
	return []Finding{f.settle(c.Severity, allowed)}
}

// settle gives a finding its severity; within the share of rows that is allowed
// it only warns.
func (f Finding) settle(severity string, allowed float64) Finding {
	f.allowed = max(f.allowed, allowed)
	f.Severity = Stop
	switch {
	case f.Share <= allowed:
		f.Severity = Warn
		f.Message += fmt.Sprintf(", within the tolerance of %s", percent(allowed))
	case severity == Warn:
		f.Severity = Warn
	case allowed > 0:
		f.Message += fmt.Sprintf(", more than the tolerance of %s", percent(allowed))
	}
	return f
}

// Wrong is how many cells of a column are not of its type.
func (r *Rules) Wrong(column string, t Tally) int {
	for i := range r.all {
		if r.all[i].check == "type" && r.all[i].column == column && i < len(t) {
			return t[i].Count
		}
	}
	return 0
}
