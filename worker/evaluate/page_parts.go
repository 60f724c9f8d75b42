package evaluate

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/report"
)

// shownClasses bounds the table of what was said of each class.
const shownClasses = 12

func classesSection(e *Evaluation) (report.Section, bool) {
	if len(e.Curves.Classes) == 0 {
		return report.Section{}, false
	}
	each := report.Table{Head: []string{"Class", "Rows", "Precision", "Recall", "F1", "AUC"}, Numeric: []bool{false, true, true, true, true, true}, Stack: true}
	for _, c := range e.Curves.Classes {
		row := []report.Cell{{Text: c.Name}, {Text: report.Thousands(c.Rows)}}
		for _, v := range []Num{c.Precision, c.Recall, c.F1, c.AUC} {
			row = append(row, report.Cell{Text: figure(float64(v))})
		}
		each.Rows = append(each.Rows, row)
	}
	s := report.Section{Title: "Class by class", Lead: "Each class against all others. A row is said to be of the class with the highest score.", Blocks: []report.Block{each}}
	if charts := classCharts(e); len(charts) > 0 {
		s.Blocks = append(s.Blocks, charts)
	}
	if len(e.Classes) > shownClasses {
		return s, true
	}
	said := report.Table{Head: []string{"Class \\ said to be"}, Numeric: []bool{false}}
	for i, name := range e.Classes {
		said.Head, said.Numeric = append(said.Head, name), append(said.Numeric, true)
		row, rows := []report.Cell{{Text: name}}, max(1, e.Curves.Classes[i].Rows)
		for k, n := range e.Curves.Confusion[i] {
			c := report.Cell{Text: report.Thousands(n), Bar: float64(n) / float64(rows)}
			if k != i {
				c.Bar = -c.Bar
			}
			row = append(row, c)
		}
		said.Rows = append(said.Rows, row)
	}
	s.Blocks = append(s.Blocks, said)
	return s, true
}

// classCharts are the ROC curves of the classes; of many, the most frequent.
func classCharts(e *Evaluation) report.Charts {
	shown := slices.Clone(e.Curves.Classes)
	slices.SortStableFunc(shown, func(a, b Class) int { return cmp.Compare(b.Rows, a.Rows) })
	var charts report.Charts
	for _, c := range shown[:min(len(shown), 6)] {
		if len(c.ROC) == 0 {
			continue
		}
		x, y := xy(c.ROC)
		charts = append(charts, report.Chart{
			Title: "ROC: " + c.Name + " against the rest", XLabel: "false positive rate", YLabel: "true positive rate", X: unit, Y: unit, Diagonal: true,
			Lines:   []report.Line{{Name: "this model", X: x, Y: y}},
			Caption: fmt.Sprintf("Of a row of this class and one of another, the right one scores higher in %s of cases.", report.Percent(round(float64(c.AUC), 3))),
		})
	}
	return charts
}

// shownSlices bounds the rows of the chart of slices.
const shownSlices = 20

func slicesSection(e *Evaluation) (report.Section, bool) {
	champion := slices.ContainsFunc(e.Slices, func(s Slice) bool { return s.BetterBy != nil })
	t := report.Table{Head: []string{"Slice", "Rows"}, Numeric: []bool{false, true, true, true}, Stack: true}
	labels := len(e.Classes) == 0 // the mean of classes' numbers says nothing
	if labels {
		t.Head = append(t.Head, "Mean label")
	}
	t.Head = append(t.Head, e.Metric)
	chart := report.Chart{Title: title(e.Metric) + " by slice", XLabel: e.Metric, Caption: fmt.Sprintf("Points with their %s intervals; short ones are sure.", percent(float64(e.Confidence)))}
	against := report.Chart{Title: "Better than the version in service by", XLabel: e.Metric, Zero: true, Caption: "A slice whose whole interval is left of 0 has surely fallen behind."}
	if champion {
		t.Head, t.Numeric = append(t.Head, "In service", "Better by"), append(t.Numeric, true, true)
	}
	for _, s := range e.Slices {
		name := s.Column + " = " + s.Value
		if s.Value == "" {
			name = s.Column + " missing"
		}
		row := []report.Cell{{Text: name, Note: s.Note}, {Text: report.Thousands(s.Rows)}}
		if labels {
			row = append(row, report.Cell{Text: figure(float64(s.LabelMean))})
		}
		if s.Metric == nil {
			row = append(row, report.Cell{Text: "–"})
		} else {
			row = append(row, estimateCell(*s.Metric))
			if len(chart.Spans) < shownSlices {
				chart.Spans = append(chart.Spans, report.Span{Name: name, Value: float64(s.Metric.Value), Low: float64(s.Metric.Low), High: float64(s.Metric.High)})
			}
		}
		if champion {
			if s.BetterBy == nil {
				row = append(row, report.Cell{Text: "–"}, report.Cell{Text: "–"})
			} else {
				row = append(row, report.Cell{Text: figure(float64(*s.Champion))}, report.Cell{Text: signed(float64(s.BetterBy.Value)), Note: between(*s.BetterBy), Tone: tone(*s.BetterBy)})
				if len(against.Spans) < shownSlices {
					against.Spans = append(against.Spans, report.Span{Name: name, Value: float64(s.BetterBy.Value), Low: float64(s.BetterBy.Low), High: float64(s.BetterBy.High), Colour: 1})
				}
			}
		}
		t.Rows = append(t.Rows, row)
	}
	var charts report.Charts
	for _, c := range []report.Chart{chart, against} {
		if len(c.Spans) > 0 {
			charts = append(charts, c)
		}
	}
	lead := "How it does on parts of the rows."
	if champion {
		lead += " The comparison's intervals are widened for the number of slices, by Holm's method."
	}
	return report.Section{Title: "Slices", Lead: lead, Blocks: []report.Block{charts, t}}, len(e.Slices) > 0
}

func importanceSection(e *Evaluation) (report.Section, bool) {
	t := report.Table{Head: []string{"Feature", e.Metric + " lost when shuffled", "Gain in the trees"}, Numeric: []bool{false, true, true}}
	most := 0.0
	for _, i := range e.Importance {
		most = max(most, math.Abs(float64(i.Loss)))
	}
	for _, i := range e.Importance {
		c := report.Cell{Text: i.Feature}
		if most > 0 {
			c.Bar = float64(i.Loss) / most
		}
		t.Rows = append(t.Rows, []report.Cell{c, {Text: signed(float64(i.Loss))}, {Text: strconv.FormatFloat(float64(i.Gain), 'f', 2, 64)}})
	}
	return report.Section{
		Title: "What it looks at", Lead: "How much worse the deciding metric gets when one feature's values are dealt out at random. Features that say the same share their weight.",
		Blocks: []report.Block{t},
	}, len(e.Importance) > 0
}

// driftSection tells what the rows learned from have in common with those that
// the version in service learned from.
func driftSection(e *Evaluation) (report.Section, bool) {
	t := report.Table{Head: []string{"Column", "Distance", "Beyond chance", "Missing then", "Missing now", "Differs most"}, Numeric: []bool{false, true, true, true, true}, Stack: true}
	var charts report.Charts
	drifted, compared := 0, 0
	for _, d := range e.Drift {
		if !math.IsNaN(float64(d.Distance)) {
			compared++
		}
		name := report.Cell{Text: d.Column, Note: d.Note}
		beyond := report.Cell{Text: figure(float64(d.Beyond))}
		if d.Drifted {
			drifted++
			name.Note, name.Tone, beyond.Tone = "drifted", report.Warn, report.Warn
		}
		var most []string
		for _, v := range d.Texts[:min(len(d.Texts), 3)] {
			if now, then := report.Percent(float64(v.Now)), report.Percent(float64(v.Then)); now != then {
				most = append(most, fmt.Sprintf("%s %s, was %s", v.Value, now, then))
			}
		}
		t.Rows = append(t.Rows, []report.Cell{name, {Text: figure(float64(d.Distance))}, beyond, {Text: share(d.Missing[0])}, {Text: share(d.Missing[1])}, {Text: strings.Join(most, "; ")}})
		if d.Then == nil || len(charts) == shownDrift {
			continue
		}
		c := report.Chart{Title: d.Column, XLabel: d.Column, YLabel: "share of rows", X: report.Axis{Low: float64(d.Now.Low), High: float64(d.Now.High)}}
		for i, s := range []*Spread{d.Then, d.Now} {
			b := report.Bars{Name: [2]string{fmt.Sprintf("version %d learned from", e.Champion.Version), "this model learned from"}[i], Colour: 1 - i, Low: float64(s.Low), High: float64(s.High)}
			for _, v := range s.Shares {
				b.Heights = append(b.Heights, float64(v))
			}
			c.Bars = append(c.Bars, b)
		}
		c.Caption = fmt.Sprintf("Of the rows up to some value, the shares differ by %s at most. Without the outermost hundredth.", short(float64(d.Distance)))
		charts = append(charts, c)
	}
	blocks := []report.Block{t}
	if len(charts) > 0 {
		blocks = append(blocks, charts)
	}
	lead := fmt.Sprintf("The rows learned from, beside those that the version in service learned from. %d of %d columns that can be compared drifted: they differ by more than %s beyond chance.", drifted, compared, short(driftLimit))
	return report.Section{Title: "Drift", Lead: lead, Blocks: blocks}, len(e.Drift) > 0
}

// shownDrift bounds the charts of drift.
const shownDrift = 12

// share writes a share, – when there is none.
func share(n Num) string {
	if math.IsNaN(float64(n)) {
		return "–"
	}
	return report.Percent(float64(n))
}

// dataSection is what preparation found in all rows, and how it divided them.
func dataSection(e *Evaluation) (report.Section, bool) {
	d := e.Data
	if d == nil {
		return report.Section{}, false
	}
	s := report.Section{Title: "The data", Lead: fmt.Sprintf("What the quality checks found in all %s rows, and how the rows were divided.", report.Thousands(d.Rows))}
	notes := quality.Notes(d)
	if len(notes) == 0 {
		notes = report.Notes{{Text: "The data passed every check.", Badge: "none", Tone: report.Good}}
	}
	s.Blocks = append(s.Blocks, notes)
	s.Blocks = append(s.Blocks, quality.Parts(d))
	if t, ok := classShares(e); ok {
		s.Blocks = append(s.Blocks, t)
	}
	if c, ok := labelChart(e); ok {
		s.Blocks = append(s.Blocks, report.Charts{c})
	}
	return s, true
}

// classShares are those of each class in each part.
func classShares(e *Evaluation) (report.Table, bool) {
	t := report.Table{Head: []string{"Share of the rows"}, Numeric: []bool{false}, Stack: true}
	for _, name := range e.Classes {
		t.Rows = append(t.Rows, []report.Cell{{Text: name}})
	}
	for _, p := range e.Data.Parts {
		if len(p.Classes) != len(e.Classes) {
			return t, false
		}
		t.Head, t.Numeric = append(t.Head, p.Name), append(t.Numeric, true)
		for i, rows := range p.Classes {
			t.Rows[i] = append(t.Rows[i], report.Cell{Text: report.Percent(float64(rows) / float64(max(1, p.Rows)))})
		}
	}
	return t, len(e.Classes) > 0 && len(t.Head) > 1
}

func recipeSection(e *Evaluation) report.Section {
	facts := report.Facts{{Name: "Pipeline and run", Value: fmt.Sprintf("%s/%d", e.Pipeline, e.Run)}}
	if e.Recipe != "" {
		facts = append(facts, report.Fact{Name: "Recipe (SHA-256)", Value: e.Recipe})
	}
	if e.Image != "" {
		facts = append(facts, report.Fact{Name: "Program", Value: e.Image})
	}
	if d := e.Data; d != nil {
		facts = append(facts, report.Fact{Name: "Files", Value: fmt.Sprintf("%d, listed below", len(d.Files))})
	}
	m := e.Method
	facts = append(facts,
		report.Fact{Name: "Kind of model", Value: fmt.Sprintf("%s, %s trees", e.Objective, report.Thousands(m.Trees))},
		report.Fact{Name: "Hyperparameters", Value: pairs(m.Hyperparameters)},
		report.Fact{Name: "Split", Value: fmt.Sprintf("by %s, %s for validation, %s for the test", m.Split.By, report.Percent(m.Split.Validation), report.Percent(m.Split.Test))},
		report.Fact{Name: "Seeds", Value: fmt.Sprintf("split and bootstrap %d, training %d", e.Bootstrap.Seed, m.Seed)},
		report.Fact{Name: "Bootstrap", Value: fmt.Sprintf("%s replicates of %s %s blocks", report.Thousands(e.Bootstrap.Replicates), report.Thousands(e.Bootstrap.Blocks), e.Bootstrap.Block)},
	)
	if len(e.Classes) > 0 {
		facts = append(facts, report.Fact{Name: "Classes", Value: strings.Join(e.Classes, ", ")})
	}
	s := report.Section{Title: "Recipe and method", Lead: "With the same recipe, Millrace makes the same model, byte for byte.", Blocks: []report.Block{facts}}
	features := report.Table{Head: []string{"Feature", "Made by", "Encoded"}}
	for _, f := range m.Features {
		expr, encode := f.Expr, f.Encode
		if expr == "" {
			expr = f.Name
		}
		if encode == "" {
			encode = "as it is"
		}
		features.Rows = append(features.Rows, []report.Cell{{Text: f.Name}, {Text: expr}, {Text: encode}})
	}
	if len(features.Rows) > 0 {
		s.Blocks = append(s.Blocks, features)
	}
	return s
}

func filesSection(e *Evaluation) (report.Section, bool) {
	if e.Data == nil || len(e.Data.Files) == 0 {
		return report.Section{}, false
	}
	return report.Section{Title: "Files", Lead: "What the model was made of, each pinned to its version.", Blocks: []report.Block{quality.Files(e.Data)}}, true
}

// pairs writes name=value, sorted by name.
func pairs(m map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		out = append(out, name+"="+m[name])
	}
	if len(out) == 0 {
		return "all left at their defaults"
	}
	return strings.Join(out, ", ")
}
