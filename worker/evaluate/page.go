package evaluate

import (
	"fmt"
	"math"
	"os"
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

// Page is the evaluation for the person who approves: the verdict first, then
// what it rests on, then where the rows and the model come from.
func Page(e *Evaluation) *report.Page {
	p := &report.Page{
		Title:  fmt.Sprintf("Is the model of %s/%d good enough?", e.Pipeline, e.Run),
		Kicker: "Millrace evaluation · " + e.Pipeline + " · run " + strconv.Itoa(e.Run),
		Tone:   report.Good, Headline: "Yes: it may be approved", Verdict: verdict(e), Data: e,
	}
	if !e.Decision.Promote {
		p.Tone, p.Headline = report.Bad, "No: it stays out of service"
	} else if n := untrusted(e); n > 0 {
		p.Tone, p.Headline = report.Warn, "Yes, but look at the traps first"
	}
	p.Tiles = tiles(e)
	p.Sections = append(p.Sections, decisionSection(e), trapsSection(e), metricsSection(e))
	for _, optional := range []func(*Evaluation) (report.Section, bool){chartsSection, valueSection, classesSection, slicesSection, importanceSection, driftSection, dataSection} {
		if s, ok := optional(e); ok {
			p.Sections = append(p.Sections, s)
		}
	}
	if len(e.Columns) > 0 {
		p.Sections = append(p.Sections, quality.Sections("The rows it was judged on", "The columns that the model reads, over the test rows.", e.Columns)...)
	}
	p.Sections = append(p.Sections, recipeSection(e))
	if s, ok := filesSection(e); ok {
		p.Sections = append(p.Sections, s)
	}
	if len(e.Notes) > 0 {
		var notes report.Notes
		for _, n := range e.Notes {
			notes = append(notes, report.Note{Text: sentence(n)})
		}
		p.Sections = append(p.Sections, report.Section{Title: "Notes", Blocks: []report.Block{notes}})
	}
	return p
}

// verdict is why not; if it may be approved, what says so most. All of it follows.
func verdict(e *Evaluation) string {
	var most []string
	for _, r := range e.Decision.Rules {
		if r.Name == "bar" || r.Name == "champion" {
			most = append(most, r.Finding)
		}
	}
	if !e.Decision.Promote || len(most) == 0 {
		return sentence(e.Decision.Why)
	}
	return sentence(strings.Join(most, "; "))
}

func untrusted(e *Evaluation) int {
	n := 0
	for _, t := range e.Traps {
		if !t.Trusted {
			n++
		}
	}
	return n
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
	out := []report.Tile{{Label: m, Value: figure(float64(got.Value)), Note: between(got)}}
	switch c := e.Champion; {
	case c == nil:
		out = append(out, report.Tile{Label: "In service", Value: "none", Note: "this would be the first version"})
	case c.Metrics == nil:
		out = append(out, report.Tile{Label: fmt.Sprintf("Version %d, in service", c.Version), Value: "?", Note: c.Note, Tone: report.Warn})
	default:
		d := c.BetterBy[e.Metric]
		out = append(out, report.Tile{
			Label: fmt.Sprintf("Better than version %d, in service, by", c.Version), Value: signed(float64(d.Value)), Note: between(d), Tone: tone(d),
		})
	}
	if e.Baseline != nil {
		d := e.Baseline.BetterBy[e.Metric]
		out = append(out, report.Tile{Label: "Better than the linear baseline by", Value: signed(float64(d.Value)), Note: between(d), Tone: tone(d)})
	}
	if v := e.Value; v != nil {
		out = append(out, report.Tile{
			Label: "Value per 1,000 rows", Value: figure(1000 * float64(v.Model)),
			Note: fmt.Sprintf("%s: %s", v.Policy, figure(1000*float64(v.NoModel))), Tone: tone(v.Gain),
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
	if len(notes) == 0 {
		notes = report.Notes{{Text: sentence(e.Decision.Why)}}
	}
	return report.Section{
		Title: "Why", Lead: "Every rule has to hold. A number counts only as far as its interval reaches on the side of caution.",
		Blocks: []report.Block{notes},
	}
}

// trapKinds are what is looked for, in words.
var trapKinds = []struct{ kind, none, needs string }{
	{trapAlone, "No feature alone predicts the label almost perfectly.", ""},
	{trapTooGood, "The model is not too good to be true.", ""},
	{trapLater, "No feature reads a time that lies after the row's own.", "time"},
	{trapKey, "No feature reads a column that looks like a key.", ""},
	{trapShared, "Training and test rows have no rows and no keys in common.", "data"},
	{trapMoved, "The label of the test rows is that of the training rows, as far as chance can tell.", "label"},
}

func trapsSection(e *Evaluation) report.Section {
	var notes report.Notes
	for _, k := range trapKinds {
		found := false
		for _, t := range e.Traps {
			if t.Kind != k.kind {
				continue
			}
			found = true
			n := report.Note{Text: sentence(t.Finding), Badge: "found", Tone: report.Bad, More: []string{sentence(t.Hint)}}
			if t.Trusted {
				n.Badge, n.Tone, n.More = "trusted", report.Calm, []string{"The definition trusts " + t.Name + "."}
			}
			notes = append(notes, n)
		}
		switch {
		case found:
		case k.kind == trapShared && looked(e, k.needs) && e.Data.Shared.Rows.Alike() >= alikeRows:
			notes = append(notes, report.Note{Text: k.none, Badge: "not told", More: []string{fmt.Sprintf(
				"Rows are alike by nature: but for the key, those learned from have each of their rows some %.0f times.", e.Data.Shared.Rows.Alike())}})
		case !looked(e, k.needs):
			notes = append(notes, report.Note{Text: k.none, Badge: "not told", More: []string{"There was nothing to tell it by."}})
		default:
			notes = append(notes, report.Note{Text: k.none, Badge: "none", Tone: report.Good})
		}
	}
	return report.Section{
		Title: "Leaks and traps", Lead: "What makes a model look better than it will be in use.", Blocks: []report.Block{notes},
	}
}

// looked tells whether there was what a kind of trap is told by.
func looked(e *Evaluation, needs string) bool {
	switch needs {
	case "time":
		return e.From != ""
	case "data":
		return e.Data != nil && e.Data.Shared != nil
	case "label":
		return e.Moved != nil
	}
	return true
}

func metricsSection(e *Evaluation) report.Section {
	t := report.Table{Head: []string{"Metric", "This model"}, Numeric: []bool{false, true}, Stack: true}
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
		name := report.Cell{Text: m.Title, Note: m.Name + " ↑"}
		if !m.More {
			name.Note = m.Name + " ↓"
		}
		if m.Name == e.Metric {
			name.Note += " decides"
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
	lead := fmt.Sprintf("↑ more is better, ↓ less is. Small: the %s interval, by %s bootstrap draws of whole %ss (there are %s). Differences are of both models on the same draws.",
		percent(float64(e.Confidence)), report.Thousands(e.Bootstrap.Replicates), e.Bootstrap.Block, report.Thousands(e.Bootstrap.Blocks))
	if th := e.Threshold; th != nil {
		lead += fmt.Sprintf(" A score of %s or more counts as yes: %s.", short(float64(th.Value)), th.Chosen)
		if champion || e.Baseline != nil {
			lead += " Each other model has a threshold of its own."
		}
	}
	return report.Section{Title: "Metrics", Lead: lead, Blocks: []report.Block{t}}
}

func estimateCell(e Estimate) report.Cell {
	return report.Cell{Text: figure(float64(e.Value)), Note: between(e)}
}

func between(e Estimate) string {
	if math.IsNaN(float64(e.Low)) {
		return ""
	}
	return figure(float64(e.Low)) + " to " + figure(float64(e.High))
}

func title(name string) string {
	if m, err := metrics.Find(name); err == nil {
		return m.Title
	}
	return name
}

// figure writes a number for a column of numbers: the same digits for all of a size.
func figure(x float64) string {
	digits := 4
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "–"
	case a >= 1e6 || a > 0 && a < 5e-5:
		return minus(strconv.FormatFloat(x, 'g', 3, 64))
	case a >= 1000:
		digits = 0
	case a >= 100:
		digits = 1
	case a >= 10:
		digits = 2
	}
	s := strconv.FormatFloat(x, 'f', digits, 64)
	if digits == 0 {
		n, _ := strconv.Atoi(s)
		s = strings.Replace(report.Thousands(max(n, -n)), "-", "", 1)
		if n < 0 {
			s = "-" + s
		}
	}
	return minus(s)
}

// minus is as wide as a digit.
func minus(s string) string { return strings.ReplaceAll(s, "-", "−") }

func signed(x float64) string {
	if x > 0 {
		return "+" + figure(x)
	}
	return figure(x)
}

func period(from, to string) string {
	if from == "" {
		return ""
	}
	return from[:min(10, len(from))] + " to " + to[:min(10, len(to))]
}
