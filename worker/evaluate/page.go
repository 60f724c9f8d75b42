package evaluate

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/metrics"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/report"
)

func writePage(base job.Base, e *Evaluation) error {
	path, err := base.Output("evaluation", "report.html")
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create report: %w", err)
	}
	if err := Page(e).Write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close report: %w", err)
	}
	return nil
}

// Page is the evaluation for the person who approves.
func Page(e *Evaluation) *report.Page {
	p := &report.Page{
		Title:  fmt.Sprintf("Is the model of %s/%d good enough?", e.Pipeline, e.Run),
		Kicker: "Millrace evaluation · " + e.Pipeline + " · run " + strconv.Itoa(e.Run),
		Tone:   report.Good, Headline: "Yes: it may be approved", Verdict: sentence(e.Decision.Why), Data: e,
	}
	if !e.Decision.Promote {
		p.Tone, p.Headline = report.Bad, "No: it stays out of service"
	}
	p.Tiles = tiles(e)
	p.Sections = append(p.Sections, decisionSection(e), metricsSection(e), chartsSection(e))
	if len(e.Curves.Classes) > 0 {
		p.Sections = append(p.Sections, classesSection(e))
	}
	if len(e.Slices) > 0 {
		p.Sections = append(p.Sections, slicesSection(e))
	}
	p.Sections = append(p.Sections, importanceSection(e))
	if len(e.Columns) > 0 {
		p.Sections = append(p.Sections, quality.Sections("The rows it was judged on", "The columns that the model reads, over the test rows.", e.Columns)...)
	}
	p.Sections = append(p.Sections, factsSection(e))
	if len(e.Notes) > 0 {
		var notes report.Notes
		for _, n := range e.Notes {
			notes = append(notes, report.Note{Text: n})
		}
		p.Sections = append(p.Sections, report.Section{Title: "Notes", Blocks: []report.Block{notes}})
	}
	return p
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	r := []rune(s)
	first, _, _ := strings.Cut(s, " ")
	if _, err := metrics.Find(first); err == nil {
		return s + "." // a metric's name is written as it is
	}
	if r[0] >= 'a' && r[0] <= 'z' {
		r[0] -= 'a' - 'A'
	}
	return string(r) + "."
}

func tiles(e *Evaluation) []report.Tile {
	m, got := title(e.Metric), e.Metrics[e.Metric]
	out := []report.Tile{{Label: m, Value: short(float64(got.Value)), Note: between(got)}}
	switch c := e.Champion; {
	case c == nil:
		out = append(out, report.Tile{Label: "In service", Value: "none", Note: "this would be the first version"})
	case c.Metrics == nil:
		out = append(out, report.Tile{Label: fmt.Sprintf("Version %d, in service", c.Version), Value: "?", Note: c.Note, Tone: report.Warn})
	default:
		d := c.BetterBy[e.Metric]
		out = append(out, report.Tile{
			Label: fmt.Sprintf("Better than version %d by", c.Version), Value: signed(float64(d.Value)), Note: between(d), Tone: tone(d),
		})
	}
	if e.Baseline != nil {
		d := e.Baseline.BetterBy[e.Metric]
		out = append(out, report.Tile{Label: "Better than the linear baseline by", Value: signed(float64(d.Value)), Note: between(d), Tone: tone(d)})
	}
	if v := e.Value; v != nil {
		out = append(out, report.Tile{
			Label: "Value per 1,000 rows", Value: short(1000 * float64(v.Model)),
			Note: "without a model: " + short(1000*float64(v.NoModel)),
		})
	}
	out = append(out, report.Tile{Label: "Judged on", Value: report.Thousands(e.Rows) + " rows", Note: period(e.From, e.To)})
	return out
}

// tone of a difference: green or red where chance does not explain it.
func tone(d Estimate) string {
	switch {
	case float64(d.Low) > 0:
		return report.Good
	case float64(d.High) < 0:
		return report.Bad
	}
	return report.Calm
}

func decisionSection(e *Evaluation) report.Section {
	var notes report.Notes
	for _, r := range e.Decision.Rules {
		n := report.Note{Text: sentence(r.Finding), Badge: "holds", Tone: report.Good, More: []string{"Rule: " + r.Rule + "."}}
		if !r.Passed {
			n.Badge, n.Tone = "broken", report.Bad
		}
		notes = append(notes, n)
	}
	return report.Section{
		Title: "Why", Lead: "Every rule has to hold. A number counts only as far as its interval reaches on the side of caution.",
		Blocks: []report.Block{notes},
	}
}

func metricsSection(e *Evaluation) report.Section {
	t := report.Table{Head: []string{"Metric", "This model"}, Numeric: []bool{false, true}}
	column := func(head string) {
		t.Head, t.Numeric = append(t.Head, head), append(t.Numeric, true)
	}
	champion := e.Champion != nil && e.Champion.Metrics != nil
	if champion {
		column(fmt.Sprintf("Version %d", e.Champion.Version))
		column("Better by")
	}
	if e.Baseline != nil {
		column("Linear baseline")
		column("Better by")
	}
	for _, m := range metrics.All {
		got, ok := e.Metrics[m.Name]
		if !ok {
			continue
		}
		name := report.Cell{Text: m.Title, Note: m.Name + ", more is better"}
		if !m.More {
			name.Note = m.Name + ", less is better"
		}
		if m.Name == e.Metric {
			name.Note += "; decides"
		}
		row := []report.Cell{name, estimateCell(got)}
		rivals := []*Rival{}
		if champion {
			rivals = append(rivals, e.Champion)
		}
		if e.Baseline != nil {
			rivals = append(rivals, e.Baseline)
		}
		for _, r := range rivals {
			d := r.BetterBy[m.Name]
			row = append(row, estimateCell(r.Metrics[m.Name]), report.Cell{Text: signed(float64(d.Value)), Note: between(d), Tone: tone(d)})
		}
		t.Rows = append(t.Rows, row)
	}
	lead := fmt.Sprintf("In small print: the %s interval by %s bootstrap replicates of whole %ss (%s of them).",
		percent(float64(e.Confidence)), report.Thousands(e.Bootstrap.Replicates), e.Bootstrap.Block, report.Thousands(e.Bootstrap.Blocks))
	if th := e.Threshold; th != nil {
		lead += fmt.Sprintf(" A score of %s or more counts as yes: %s.", short(float64(th.Value)), th.Chosen)
	}
	return report.Section{Title: "Metrics", Lead: lead, Blocks: []report.Block{t}}
}

func estimateCell(e Estimate) report.Cell {
	return report.Cell{Text: short(float64(e.Value)), Note: between(e)}
}

func between(e Estimate) string {
	if math.IsNaN(float64(e.Low)) {
		return ""
	}
	return short(float64(e.Low)) + " to " + short(float64(e.High))
}

func chartsSection(e *Evaluation) report.Section {
	var charts report.Charts
	unit := report.Axis{Low: 0, High: 1}
	c := e.Curves
	if len(c.ROC) > 0 {
		x, y := xy(c.ROC)
		charts = append(charts, report.Chart{
			Title: "ROC", XLabel: "false positive rate", YLabel: "true positive rate", X: unit, Y: unit, Diagonal: true,
			Lines: []report.Line{{Name: "this model", X: x, Y: y}}, Caption: "The dashed line is a coin.",
		})
		x, y = xy(c.PR)
		rate := float64(e.LabelMean)
		charts = append(charts, report.Chart{
			Title: "Precision and recall", XLabel: "recall", YLabel: "precision", X: unit, Y: unit,
			Lines: []report.Line{{Name: "this model", X: x, Y: y}, {Name: "yes to all", X: []float64{0, 1}, Y: []float64{rate, rate}}},
		})
	}
	if len(c.Calibration) > 0 {
		var x, y []float64
		for _, b := range c.Calibration {
			x, y = append(x, float64(b.Score)), append(y, float64(b.Label))
		}
		chart := report.Chart{
			Title: "Calibration", XLabel: "mean score", YLabel: "mean label", Diagonal: true,
			Lines: []report.Line{{Name: "this model", X: x, Y: y, Points: true}}, Caption: "Each point is a tenth of the rows, by score. On the dashed line scores are true.",
		}
		low, high := min(slices.Min(x), slices.Min(y)), max(slices.Max(x), slices.Max(y))
		if e.Objective == "binary" {
			low, high = 0, min(1, math.Ceil(high*10+0.5)/10)
		}
		if low < high {
			chart.X, chart.Y = report.Axis{Low: low, High: high}, report.Axis{Low: low, High: high}
		}
		charts = append(charts, chart)
	}
	if len(c.Scores) > 0 {
		chart := report.Chart{Title: "Scores by label", XLabel: "score", YLabel: "share of the label's rows"}
		if e.Objective != "binary" {
			chart.Title, chart.XLabel, chart.YLabel = "Residuals", "label less prediction", "share of rows"
		}
		for _, s := range c.Scores {
			b := report.Bars{Name: s.Name, Low: float64(s.Low), High: float64(s.High)}
			for _, v := range s.Shares {
				b.Heights = append(b.Heights, float64(v))
			}
			chart.Bars = append(chart.Bars, b)
		}
		charts = append(charts, chart)
	}
	return report.Section{Title: "How it scores", Blocks: []report.Block{charts}}
}

// shownClasses bounds the table of what was said of each class.
const shownClasses = 12

func classesSection(e *Evaluation) report.Section {
	each := report.Table{Head: []string{"Class", "Rows", "Precision", "Recall", "F1", "AUC"}, Numeric: []bool{false, true, true, true, true, true}}
	for _, c := range e.Curves.Classes {
		row := []report.Cell{{Text: c.Name}, {Text: report.Thousands(c.Rows)}}
		for _, v := range []Num{c.Precision, c.Recall, c.F1, c.AUC} {
			row = append(row, report.Cell{Text: short(float64(v))})
		}
		each.Rows = append(each.Rows, row)
	}
	s := report.Section{Title: "Class by class", Lead: "Each class against all others. A row is said to be of the class with the highest score.", Blocks: []report.Block{each}}
	if len(e.Classes) > shownClasses {
		return s
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
	return s
}

func xy(points []Point) (x, y []float64) {
	for _, p := range points {
		x, y = append(x, float64(p.X)), append(y, float64(p.Y))
	}
	return x, y
}

// shownSlices bounds the rows of the chart of slices.
const shownSlices = 20

func slicesSection(e *Evaluation) report.Section {
	champion := slices.ContainsFunc(e.Slices, func(s Slice) bool { return s.BetterBy != nil })
	t := report.Table{Head: []string{"Slice", "Rows", "Mean label", e.Metric}, Numeric: []bool{false, true, true, true}}
	chart := report.Chart{Title: e.Metric + " by slice", XLabel: e.Metric}
	against := report.Chart{Title: "Better than the version in service by", XLabel: e.Metric, Zero: true}
	if champion {
		t.Head, t.Numeric = append(t.Head, "In service", "Better by"), append(t.Numeric, true, true)
	}
	for _, s := range e.Slices {
		name := s.Column + " = " + s.Value
		if s.Value == "" {
			name = s.Column + " missing"
		}
		row := []report.Cell{{Text: name, Note: s.Note}, {Text: report.Thousands(s.Rows)}, {Text: short(float64(s.LabelMean))}, {Text: "–"}}
		if s.Metric != nil {
			row[3] = estimateCell(*s.Metric)
			if len(chart.Spans) < shownSlices {
				chart.Spans = append(chart.Spans, report.Span{Name: name, Value: float64(s.Metric.Value), Low: float64(s.Metric.Low), High: float64(s.Metric.High)})
			}
		}
		if champion {
			if s.BetterBy == nil {
				row = append(row, report.Cell{Text: "–"}, report.Cell{Text: "–"})
			} else {
				row = append(row, report.Cell{Text: short(float64(*s.Champion))}, report.Cell{Text: signed(float64(s.BetterBy.Value)), Note: between(*s.BetterBy), Tone: tone(*s.BetterBy)})
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
		lead += " The comparison's intervals are widened for the number of slices."
	}
	return report.Section{Title: "Slices", Lead: lead, Blocks: []report.Block{charts, t}}
}

func importanceSection(e *Evaluation) report.Section {
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
		t.Rows = append(t.Rows, []report.Cell{c, {Text: signed(float64(i.Loss))}, {Text: short(float64(i.Gain))}})
	}
	return report.Section{
		Title: "What it looks at", Lead: "How much worse the deciding metric gets when one feature's values are dealt out at random. Features that say the same share their weight.",
		Blocks: []report.Block{t},
	}
}

func factsSection(e *Evaluation) report.Section {
	facts := report.Facts{
		{Name: "Pipeline and run", Value: fmt.Sprintf("%s/%d", e.Pipeline, e.Run)},
		{Name: "Kind of model", Value: e.Objective},
		{Name: "Test rows", Value: report.Thousands(e.Rows)},
	}
	if len(e.Classes) == 0 {
		facts = append(facts, report.Fact{Name: "Mean label", Value: short(float64(e.LabelMean))})
	} else {
		facts = append(facts, report.Fact{Name: "Classes", Value: strings.Join(e.Classes, ", ")})
	}
	if e.From != "" {
		facts = append(facts, report.Fact{Name: "Test rows from", Value: e.From}, report.Fact{Name: "to", Value: e.To})
	}
	facts = append(facts, report.Fact{Name: "Bootstrap", Value: fmt.Sprintf("%s replicates, seed %d, %s %s blocks", report.Thousands(e.Bootstrap.Replicates), e.Bootstrap.Seed, report.Thousands(e.Bootstrap.Blocks), e.Bootstrap.Block)})
	facts = append(facts,
		report.Fact{Name: "Trees", Value: report.Thousands(e.Method.Trees)},
		report.Fact{Name: "Hyperparameters", Value: pairs(e.Method.Hyperparameters)},
		report.Fact{Name: "Training seed", Value: strconv.FormatInt(e.Method.Seed, 10)},
		report.Fact{Name: "Split", Value: fmt.Sprintf("by %s, %s for validation, %s for the test", e.Method.Split.By, report.Percent(e.Method.Split.Validation), report.Percent(e.Method.Split.Test))},
	)
	if e.Recipe != "" {
		facts = append(facts, report.Fact{Name: "Recipe (SHA-256)", Value: e.Recipe})
	}
	return report.Section{Title: "Recipe and method", Blocks: []report.Block{facts}}
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

func title(name string) string {
	if m, err := metrics.Find(name); err == nil {
		return m.Title
	}
	return name
}

func signed(x float64) string {
	if x > 0 {
		return "+" + short(x)
	}
	return short(x)
}

func period(from, to string) string {
	if from == "" {
		return ""
	}
	return from[:min(10, len(from))] + " to " + to[:min(10, len(to))]
}
