// Package prepare turns uploads into what training, evaluation and scoring read.
//
// The same files give the same bytes whatever their order, the number of CPUs and
// machines or the day: rows are put into one order (by time, then key), chance
// comes from a hash of the recorded seed and the row's key, and nothing reads the
// clock. The memory it takes does not depend on how many rows there are: files are
// read three times at most, and what must be sorted goes to disk.
package prepare

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/hyperparameters"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/quality"
)

// rows is a training upload on its way.
type rows struct {
	*upload
	def       *definition.Definition
	objective string // binary | regression
	program   *features.Program
	oldest    float64 // rows of this time and before are outside the window
	count     int     // rows that count
	parts     [3]part
}

// Names of the parts, in the order of rows.parts.
var partNames = [3]string{"train", "validation", "test"}

// Run is the prepare step. A fault of the data is not an error of Run: it ends
// with a report and a message that says DataRejected.
func Run(ctx context.Context, base job.Base, log *slog.Logger) error {
	return lead(ctx, base, log, func(ctx context.Context, u *upload) (map[string]any, error) {
		r := &rows{upload: u, def: &u.file.Definition, objective: u.file.Definition.Objective()}
		return r.run(ctx)
	})
}

// run fills the report; it stops early once a finding stops the run.
func (r *rows) run(ctx context.Context) (map[string]any, error) {
	if ok, err := r.look(ctx, r.wanted(), r.def.Types()); err != nil || !ok {
		return nil, err
	}
	r.roles[r.def.Data.Key], r.roles[r.def.Data.Time] = "key", "time"
	label, faults := labelOf(r.def, r.types)
	_, more := weightOf(r.def, r.types)
	faults = append(faults, more...)
	if r.def.Data.Label.Expr == "" {
		r.roles[r.def.Data.Label.Name] = "label"
	}
	if ok, err := r.check(ctx, true, r.def.Data.Key); err != nil || !ok {
		return nil, err
	}
	if err := r.together(); err != nil {
		return nil, err
	}
	r.compile(r.types)
	r.flat()
	r.report.Findings = append(r.report.Findings, faults...)
	if label != nil {
		r.labels()
	}
	r.missing("weight", "", "%d rows have a weight that is missing, negative or too large (hint: an expression such as weight ?? 1)", func(c *checked) quality.Broken { return c.Weightless }, 0)
	for _, step := range []func(context.Context) error{r.arrange, r.survey, r.write} {
		if quality.Stops(r.report.Findings) {
			return nil, nil
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if quality.Stops(r.report.Findings) {
		return nil, nil
	}
	return r.facts(), nil
}

// wanted are the columns that every file must have.
func (r *rows) wanted() []string {
	d := r.def.Data
	label := []string{d.Label.Name}
	if d.Label.Expr != "" {
		label = columnsOf(d.Label.Expr)
	}
	var read, checked []string
	for _, f := range r.def.Features {
		read = append(read, columnsOf(expression(f))...)
	}
	for _, c := range r.def.Quality {
		checked = append(checked, c.Column)
		if c.Drift != nil {
			checked = append(checked, c.Drift.Columns...)
		}
	}
	return unite([]string{d.Key, d.Time}, label, columnsOf(d.Weight), read, checked, r.def.Evaluate.Slices)
}

// expression is a feature's; left out it is the column of the feature's name.
func expression(f definition.Feature) string {
	if f.Expr == "" {
		return f.Name
	}
	return f.Expr
}

// compile makes the features' program; what is wrong with it now, and was not
// when the definition was checked, are the types that the data has.
func (r *rows) compile(types map[string]features.Type) {
	defs := make([]features.Feature, len(r.def.Features))
	for i, f := range r.def.Features {
		defs[i] = features.Feature{Name: f.Name, Expr: expression(f), Encode: f.Encode}
	}
	program, problems := features.Compile(defs, types, r.def.Roles())
	r.program = program
	for _, p := range problems {
		at := p.Feature
		p.Feature = -1 // it is called by its name
		message := p.Error()
		if at >= 0 {
			message = fmt.Sprintf("feature %q: %s%s", r.def.Features[at].Name, message, r.texts(expression(r.def.Features[at])))
		}
		r.stop("feature", "", message)
	}
}

// texts shows values of the columns that an expression reads and that turned out to be
// texts: where numbers were expected, these say why.
func (r *rows) texts(expr string) string {
	var b strings.Builder
	declared := r.def.Types()
	for _, name := range columnsOf(expr) {
		if _, is := declared[name]; is || r.types[name] != features.Text {
			continue
		}
		at := slices.IndexFunc(r.profiles, func(p *quality.Profile) bool { return p.Name == name })
		if at < 0 || len(r.profiles[at].Text.Counts()) == 0 { // too many to be counted
			continue
		}
		counts := r.profiles[at].Text.Counts()
		fmt.Fprintf(&b, "; the column %s holds texts such as", name)
		for i, c := range counts[:min(3, len(counts))] {
			fmt.Fprintf(&b, "%s %q", []string{"", ",", ","}[i], quality.Clip(c.Value))
		}
	}
	return b.String()
}

// labelOf compiles the label; findings say why it cannot be.
func labelOf(def *definition.Definition, types map[string]features.Type) (*features.Expression, []quality.Finding) {
	d := def.Data.Label
	fault := func(message string) quality.Finding {
		return quality.Finding{Severity: quality.Stop, Check: "label", Column: d.Name, Message: message}
	}
	if d.Expr == "" {
		if t := types[d.Name]; len(d.Classes) == 0 && (t == features.Text || t == features.Time) {
			return nil, []quality.Finding{fault(fmt.Sprintf("the label is %s, not a number or boolean (hint: give the label an expression, such as expr: %s == \"yes\")", t, d.Name))}
		}
	}
	e, problems := features.CompileExpression(d.Formula(), types)
	var out []quality.Finding
	for _, p := range problems {
		out = append(out, fault(p.Error()))
	}
	return e, out
}

// weightOf compiles what weighs rows, nil if nothing does; findings say why it cannot be.
func weightOf(def *definition.Definition, types map[string]features.Type) (*features.Expression, []quality.Finding) {
	if def.Data.Weight == "" {
		return nil, nil
	}
	e, problems := features.CompileExpression(def.Data.Weight, types)
	var out []quality.Finding
	for _, p := range problems {
		p.Field = "data.weight"
		out = append(out, quality.Finding{Severity: quality.Stop, Check: "weight", Message: p.Error()})
	}
	return e, out
}

// labels tells what is wrong with the labels.
func (r *rows) labels() {
	d := r.def.Data.Label
	odd, missing := quality.Finding{Severity: quality.Stop, Check: "label", Column: d.Name}, 0
	for i, c := range r.checked {
		missing += c.Unlabeled
		if c.Odd.Count == 0 {
			continue
		}
		odd.Blame(r.keys[i], c.Odd.Count)
		if odd.Count += c.Odd.Count; len(odd.Examples) == 0 {
			odd.Examples = c.Odd.Examples
		}
	}
	if odd.Count > 0 {
		switch odd.Message = fmt.Sprintf("%d rows have a label that is ", odd.Count); r.objective {
		case "multiclass":
			odd.Message += "none of the classes " + strings.Join(d.Classes, ", ")
		case "regression":
			odd.Message += fmt.Sprintf("larger than a model can hold, %.2g (hint: another unit, such as thousands, or a logarithm)", hyperparameters.MaxMagnitude)
		default:
			odd.Message += fmt.Sprintf("neither 0 nor 1, which the metric %s needs", r.def.Evaluate.Metric)
		}
		odd.Share = float64(odd.Count) / float64(r.report.Rows)
		r.report.Findings = append(r.report.Findings, odd)
	}
	if missing > 0 {
		r.warn("label", d.Name, fmt.Sprintf("%d rows have no label and are left out", missing))
	}
}

func (r *rows) facts() map[string]any {
	facts := map[string]any{"rows": r.count}
	mean, from, to := 0.0, math.Inf(1), math.Inf(-1)
	for p, name := range partNames {
		facts[name+"_rows"] = r.parts[p].rows
		mean += r.report.Parts[p].Label * float64(r.parts[p].rows)
		from, to = min(from, r.parts[p].from), max(to, r.parts[p].to)
	}
	name := "label_rate"
	if r.objective == "regression" {
		name = "label_mean"
	}
	if r.objective != "multiclass" { // the mean of classes' numbers says nothing
		facts[name] = math.Round(mean/float64(r.count)*1e6) / 1e6
	}
	if r.def.Data.Time != "" {
		facts["from"], facts["to"] = quality.Instant(from), quality.Instant(to)
	}
	return facts
}

// conclude writes the report, and makes the message.
func (u *upload) conclude(facts map[string]any, log *slog.Logger) (job.Message, error) {
	u.report.Findings = slices.Clip(u.report.Findings)
	u.report.Conclude()
	if err := writeReport(u.base, u.report); err != nil {
		return job.Message{}, err
	}
	for _, f := range u.report.Findings {
		log.Info("found in data", "severity", f.Severity, "check", f.Check, "finding", f.Text())
	}
	log.Info("prepared data", "pipeline", u.file.Pipeline, "run", u.file.Run, "step", u.file.Step, "ok", u.report.OK, "rows", u.report.Rows)
	m := job.Message{OK: u.report.OK, Facts: facts}
	if !u.report.OK {
		m.Error, m.Message, m.Facts = job.DataRejected, u.report.Verdict, nil
		if refused := u.refused(); len(refused) > 0 {
			m.Facts = map[string]any{"refused": refused}
		}
	}
	return m, nil
}

func writeFile(base job.Base, raw []byte, elem ...string) error {
	path, err := base.Output(elem...)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
