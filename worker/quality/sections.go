package quality

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/worker/report"
)

// chartedColumns bounds the histograms of a page.
const chartedColumns = 24

// Sections show columns on a report's page: a table, and their distributions.
func Sections(title, lead string, columns []Summary) []report.Section {
	t := report.Table{
		Head:    []string{"Column", "Missing", "Different", "Least", "Median", "Most", "Most frequent"},
		Numeric: []bool{false, true, true, true, true, true}, Stack: true,
	}
	var charts report.Charts
	for _, c := range columns {
		name := report.Cell{Text: c.Name, Note: c.Type}
		if c.Role != "" && c.Role != c.Type {
			name.Note += ", " + c.Role
		}
		row := []report.Cell{name, {Text: report.Percent(float64(c.Missing) / float64(max(1, c.Present+c.Missing)))}, {}, {}, {}, {}, {}}
		if c.Distinct != nil {
			row[2].Text = report.Thousands(int(*c.Distinct))
			if *c.Distinct > drift.MaxDistinct {
				row[2].Text = "≈ " + row[2].Text
			}
		}
		if c.Min != nil {
			for i, v := range []float64{*c.Min, c.Quartiles[1], *c.Max} {
				row[3+i] = valueCell(c.Type, v)
			}
			if c.Type != "time" {
				row[4].Note = "mean " + report.Number(*c.Mean)
			}
		}
		var most []string
		for _, b := range c.Top[:min(3, len(c.Top))] {
			most = append(most, fmt.Sprintf("%s %s", b.Value, report.Percent(float64(b.Count)/float64(max(1, c.Present)))))
		}
		row[6].Text = strings.Join(most, ", ")
		t.Rows = append(t.Rows, row)
		if h := c.Histogram; h != nil && c.Type != "time" && len(charts) < chartedColumns {
			charts = append(charts, report.Chart{
				Title: c.Name, XLabel: c.Name, YLabel: "share of rows", X: report.Axis{Low: h.Low, High: h.High},
				Bars: []report.Bars{{Low: h.Low, High: h.High, Heights: h.Shares}},
			})
		}
	}
	out := []report.Section{{Title: title, Lead: lead, Blocks: []report.Block{t}}}
	if len(charts) > 0 {
		out = append(out, report.Section{Title: "Distributions", Lead: "Without the outermost hundredth of the values.", Blocks: []report.Block{charts}})
	}
	return out
}

// valueCell shows a value; of a time, the day and below it the hour.
func valueCell(kind string, v float64) report.Cell {
	if kind != "time" {
		return report.Cell{Text: report.Number(v)}
	}
	day, hour, _ := strings.Cut(strings.TrimSuffix(Instant(v), "Z"), "T")
	return report.Cell{Text: day, Note: hour}
}

// Notes are the findings for a report's page, those that stop a run first.
func Notes(r *Report) report.Notes {
	var notes report.Notes
	for _, severity := range []string{Stop, Warn} {
		for _, f := range r.Findings {
			if f.Severity != severity {
				continue
			}
			n := report.Note{Text: f.Message, Badge: "warning", Tone: report.Warn}
			if severity == Stop {
				n.Badge, n.Tone = "stops", report.Bad
			}
			if f.Column != "" {
				n.Text = f.Column + ": " + f.Message
			}
			if f.Count > 0 && f.Share > 0 {
				n.Text += fmt.Sprintf(" (%s of %s rows)", report.Percent(f.Share), report.Thousands(r.Rows))
			}
			for _, e := range f.Examples {
				n.More = append(n.More, e.Error())
			}
			notes = append(notes, n)
		}
	}
	return notes
}

// Files is the uploads for a report's page.
func Files(r *Report) report.Table {
	t := report.Table{Head: []string{"File", "Rows", "Size", "SHA-256"}, Numeric: []bool{false, true, true}, Stack: true}
	for _, f := range r.Files {
		rows := ""
		if f.Rows > 0 {
			rows = report.Thousands(f.Rows)
		}
		note := ""
		if f.VersionID != "" {
			note = "version " + f.VersionID
		}
		t.Rows = append(t.Rows, []report.Cell{{Text: f.Key, Note: note}, {Text: rows}, {Text: Size(f.Bytes)}, {Text: f.SHA256[:min(16, len(f.SHA256))]}})
	}
	return t
}

// Size writes a number of bytes.
func Size(bytes int64) string {
	switch {
	case bytes >= 1<<20:
		return strconv.FormatFloat(float64(bytes)/(1<<20), 'f', 1, 64) + " MiB"
	case bytes >= 1<<10:
		return strconv.FormatFloat(float64(bytes)/(1<<10), 'f', 1, 64) + " KiB"
	}
	return strconv.FormatInt(bytes, 10) + " B"
}

// Parts is how the rows were divided, for a report's page.
func Parts(r *Report) report.Table {
	t := report.Table{Head: []string{"Part", "Rows"}, Numeric: []bool{false, true}, Stack: true}
	labels, weights, times := false, false, false
	for _, p := range r.Parts {
		labels, weights, times = labels || p.Name != "batch" && p.Classes == nil, weights || p.Effective > 0, times || p.From != ""
	}
	add := func(head string, numeric bool) {
		t.Head, t.Numeric = append(t.Head, head), append(t.Numeric, numeric)
	}
	if weights {
		add("Effective rows", true)
	}
	if labels {
		add("Mean label", true)
	}
	if times {
		add("From", false)
		add("To", false)
	}
	for _, p := range r.Parts {
		row := []report.Cell{{Text: p.Name}, {Text: report.Thousands(p.Rows)}}
		if weights {
			cell := report.Cell{Text: "not weighed"}
			if p.Effective > 0 {
				cell.Text = report.Thousands(int(math.Round(p.Effective)))
			}
			row = append(row, cell)
		}
		if labels {
			row = append(row, report.Cell{Text: report.Number(p.Label)})
		}
		if times {
			row = append(row, report.Cell{Text: moment(p.From)}, report.Cell{Text: moment(p.To)})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// moment writes 2006-01-02T15:04:05Z as people do.
func moment(s string) string { return strings.TrimSuffix(strings.Replace(s, "T", " ", 1), "Z") }
