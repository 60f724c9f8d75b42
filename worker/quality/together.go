package quality

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/worker/report"
)

// Together is all rows of the uploads, for the checks that are about them together.
type Together struct {
	Rows   int
	Newest float64   // Unix seconds of the newest row; -Inf: none
	Asked  time.Time // when the run was asked for; zero: unknown
	Drift  *Drift    // nil: there is no dataset to compare with
}

// Drift is the comparison with the dataset of the version in service.
type Drift struct {
	Version int               `json:"version"`
	Run     int               `json:"run"` // that prepared it
	Columns []ColumnDrift     `json:"columns"`
	Limit   *definition.Drift `json:"limit,omitempty"` // of the definition's check; nil: columns are judged by usual limits
}

// ColumnDrift is one column's comparison.
type ColumnDrift struct {
	drift.Comparison
	Drifted bool `json:"drifted"`
}

// UsualDrift is what counts as drift when the definition does not say it.
var UsualDrift = definition.Drift{Distance: 0.1, Significance: 0.001}

// NewDrift compares two descriptions and judges each column by the first drift
// check, else by UsualDrift.
func NewDrift(version, run int, last, now drift.Statistics, checks []definition.Check) *Drift {
	d := &Drift{Version: version, Run: run, Columns: []ColumnDrift{}}
	limit := UsualDrift
	for _, c := range checks {
		if c.Drift != nil && d.Limit == nil {
			d.Limit, limit = c.Drift, *c.Drift
		}
	}
	for _, c := range drift.Compare(last, now) {
		d.Columns = append(d.Columns, ColumnDrift{Comparison: c})
	}
	for _, at := range d.drifted(limit) {
		d.Columns[at].Drifted = true
	}
	return d
}

// drifted are the places of the columns beyond a limit. The significance is that
// of all columns together (Bonferroni).
func (d *Drift) drifted(limit definition.Drift) []int {
	var looked, out []int
	for i, c := range d.Columns {
		if len(limit.Columns) == 0 || slices.Contains(limit.Columns, c.Name) {
			looked = append(looked, i)
		}
	}
	for _, i := range looked {
		if c := d.Columns[i]; c.Distance > limit.Distance && c.P < limit.Significance/float64(len(looked)) {
			out = append(out, i)
		}
	}
	return out
}

// CheckTogether holds the checks on all rows together.
func CheckTogether(t Together, checks []definition.Check) []Finding {
	var out []Finding
	for _, c := range checks {
		add := func(check, column, format string, args ...any) {
			out = append(out, Finding{Severity: c.Severity, Check: check, Column: column, Message: fmt.Sprintf(format, args...)})
		}
		if r := c.Rows; r != nil && (int64(t.Rows) < r[0] || int64(t.Rows) > r[1]) {
			add("rows", "", "the uploads have %d rows, and %d to %d are expected", t.Rows, r[0], r[1])
		}
		if c.Fresh > 0 && !t.Asked.IsZero() && !math.IsInf(t.Newest, 0) {
			if age := t.Asked.Sub(time.Unix(int64(t.Newest), 0)).Truncate(time.Minute); age > c.Fresh {
				add("fresh", "", "the newest row is of %s, %v before the run was asked for, and at most %v is allowed", Instant(t.Newest), age, c.Fresh)
			}
		}
		if c.Drift == nil || t.Drift == nil {
			continue
		}
		for _, name := range c.Drift.Columns {
			if !slices.ContainsFunc(t.Drift.Columns, func(d ColumnDrift) bool { return d.Name == name }) {
				out = append(out, Finding{Severity: Warn, Check: "drift", Column: name, Message: fmt.Sprintf("the column cannot be compared with the dataset of version %d", t.Drift.Version)})
			}
		}
		for _, i := range t.Drift.drifted(*c.Drift) {
			d := t.Drift.Columns[i]
			add("drift", d.Name, "the values lie %.3g from those of version %d, and %.3g is allowed (p %.2g, PSI %.2g)", d.Distance, t.Drift.Version, c.Drift.Distance, d.P, d.PSI)
		}
	}
	return out
}

// Section shows the comparison on a report's page.
func (d *Drift) Section() (report.Section, bool) {
	if d == nil || len(d.Columns) == 0 {
		return report.Section{}, false
	}
	t := report.Table{Head: []string{"Column", "Distance", "p", "PSI", "Missing then", "now", "Mean then", "now"}, Numeric: []bool{false, true, true, true, true, true, true, true}}
	var charts report.Charts
	drifted := 0
	for _, c := range d.Columns {
		name := report.Cell{Text: c.Name}
		if c.Drifted {
			drifted++
			name.Note = "drifted"
		}
		row := []report.Cell{name, {Text: report.Number(c.Distance)}, {Text: report.Number(c.P)}, {Text: report.Number(c.PSI)},
			{Text: missingShare(c.Last)}, {Text: missingShare(c.Now)}, {}, {}}
		if c.Kind == "numeric" {
			row[6].Text, row[7].Text = report.Number(c.Last.Mean), report.Number(c.Now.Mean)
		}
		t.Rows = append(t.Rows, row)
		if len(charts) < chartedColumns {
			charts = append(charts, c.chart())
		}
	}
	lead := fmt.Sprintf("Against the dataset of version %d (run %d), which was in service when the run began: ", d.Version, d.Run)
	switch drifted {
	case 0:
		lead += "no column has drifted."
	case 1:
		lead += "1 column has drifted."
	default:
		lead += fmt.Sprintf("%d columns have drifted.", drifted)
	}
	return report.Section{Title: "Drift", Lead: lead, Blocks: []report.Block{t, charts}}, true
}

func missingShare(s drift.Side) string {
	return report.Percent(float64(s.Missing) / float64(max(1, s.Present+s.Missing)))
}

// chart shows the shares of each bin side by side, as two rows of bars.
func (c ColumnDrift) chart() report.Chart {
	chart := report.Chart{Title: c.Name, XLabel: "bin", YLabel: "share of rows", Caption: "Then and now, in bins that had equal shares then."}
	if c.Kind == "text" {
		chart.Caption = "Then and now, the most frequent values first."
	}
	then, now := report.Bars{Name: "then", High: float64(len(c.Bins))}, report.Bars{Name: "now", Colour: 1, High: float64(len(c.Bins))}
	for _, b := range c.Bins {
		then.Heights, now.Heights = append(then.Heights, b.Last), append(now.Heights, b.Now)
	}
	chart.X, chart.Bars = report.Axis{Low: 0, High: float64(len(c.Bins))}, []report.Bars{then, now}
	return chart
}
