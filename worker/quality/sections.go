package quality

import (
	"fmt"
	"strings"

	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/worker/report"
)

// chartedColumns bounds the histograms of a page.
const chartedColumns = 24

// Sections show columns on a report's page: a table, and their distributions.
func Sections(title, lead string, columns []Summary) []report.Section {
	t := report.Table{
		Head:    []string{"Column", "Missing", "Distinct", "Least", "Median", "Mean", "Most", "Most frequent"},
		Numeric: []bool{false, true, true, true, true, true, true},
	}
	var charts report.Charts
	for _, c := range columns {
		name := report.Cell{Text: c.Name, Note: c.Type}
		if c.Role != "" && c.Role != c.Type {
			name.Note += ", " + c.Role
		}
		row := []report.Cell{name, {Text: report.Percent(float64(c.Missing) / float64(max(1, c.Present+c.Missing)))}, {}, {}, {}, {}, {}, {}}
		if c.Distinct != nil {
			row[2].Text = report.Thousands(int(*c.Distinct))
			if *c.Distinct > drift.MaxDistinct {
				row[2].Text = "≈ " + row[2].Text
			}
		}
		if c.Min != nil {
			show := report.Number
			if c.Type == "time" {
				show = func(x float64) string {
					return strings.TrimSuffix(strings.Replace(Instant(x), "T", " ", 1), "Z")
				}
			}
			row[3].Text, row[4].Text, row[6].Text = show(*c.Min), show(c.Quartiles[1]), show(*c.Max)
			if c.Type != "time" {
				row[5].Text = report.Number(*c.Mean)
			}
		}
		var most []string
		for _, b := range c.Top[:min(3, len(c.Top))] {
			most = append(most, fmt.Sprintf("%s %s", b.Value, report.Percent(float64(b.Count)/float64(max(1, c.Present)))))
		}
		row[7].Text = strings.Join(most, ", ")
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
