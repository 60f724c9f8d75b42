// Package prepare turns uploads into what training, evaluation and scoring read.
//
// The same files give the same bytes whatever their order, the number of CPUs
// or the day: rows are put into one order (by time, then key), chance comes from
// a hash of the recorded seed and the row's key, and nothing reads the clock.
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
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/table"
)

// rows is a training upload on its way.
type rows struct {
	*upload
	def       *definition.Definition
	objective string // binary | regression
	program   *features.Program
	label     []float64 // of every row; NaN: missing
	order     []int32   // the rows that count, in their one order
	parts     [3][]int32
}

// Names of the parts, in the order of rows.parts.
var partNames = [3]string{"train", "validation", "test"}

// Run is the prepare step. A fault of the data is not an error of Run: it ends
// with a report and a message that says DataRejected.
func Run(ctx context.Context, base job.Base, log *slog.Logger) error {
	f, err := base.ProcessingFile()
	if err != nil {
		return err
	}
	u, err := begin(base, f)
	if err != nil {
		return err
	}
	r := &rows{upload: u, def: &f.Definition, objective: f.Definition.Objective()}
	facts, err := r.run(ctx, base)
	if err != nil {
		return err
	}
	return u.finish(base, facts, log)
}

// run fills the report; it stops early once a finding stops the run.
func (r *rows) run(ctx context.Context, base job.Base) (map[string]any, error) {
	if ok, err := r.read(ctx, base, r.wanted(), r.def.Types()); err != nil || !ok {
		return nil, err
	}
	if err := r.check(ctx); err != nil || quality.Stops(r.report.Findings) {
		return nil, err
	}
	if err := r.arrange(ctx); err != nil || quality.Stops(r.report.Findings) {
		return nil, err
	}
	if err := r.split(); err != nil || quality.Stops(r.report.Findings) {
		return nil, err
	}
	r.observe()
	if err := r.write(ctx, base); err != nil || quality.Stops(r.report.Findings) {
		return nil, err
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
	}
	return unite([]string{d.Key, d.Time}, label, read, checked, r.def.Evaluate.Slices)
}

// expression is a feature's; left out it is the column of the feature's name.
func expression(f definition.Feature) string {
	if f.Expr == "" {
		return f.Name
	}
	return f.Expr
}

// check holds the rows against everything that is asked of them one by one.
func (r *rows) check(ctx context.Context) error {
	d := r.def.Data
	r.roles[d.Key], r.roles[d.Time] = "key", "time"
	found, err := quality.Check(r.tab, r.typed, r.def.Quality, r.used)
	if err != nil {
		return err
	}
	r.report.Findings = append(r.report.Findings, found...)
	r.checkKey(d.Key)
	if d.Time != "" {
		r.checkTime(d.Time)
	}
	types := map[string]features.Type{}
	for name, col := range r.typed {
		types[name] = col.Type
	}
	r.compile(types)
	r.labels(types)
	r.report.Columns, err = quality.Describe(ctx, r.tab, r.typed, r.used, r.roles)
	return err
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
		message := p.Error()
		if p.Feature >= 0 {
			message = fmt.Sprintf("feature %q: %s", r.def.Features[p.Feature].Name, message)
		}
		r.stop("feature", "", message)
	}
}

// labels computes every row's label.
func (r *rows) labels(types map[string]features.Type) {
	d := r.def.Data.Label
	if d.Expr == "" {
		r.roles[d.Name] = "label"
		if t := types[d.Name]; len(d.Classes) == 0 && (t == features.Text || t == features.Time) {
			r.stop("label", d.Name, fmt.Sprintf("the label is %s, not a number or boolean (hint: give the label an expression, such as expr: %s == \"yes\")", t, d.Name))
			return
		}
	}
	e, problems := features.CompileExpression(d.Formula(), types)
	for _, p := range problems {
		r.stop("label", d.Name, p.Error())
	}
	if e == nil {
		return
	}
	columns := make([]*table.Typed, len(e.Columns()))
	for i, name := range e.Columns() {
		columns[i] = r.typed[name]
	}
	r.label = make([]float64, r.tab.Rows())
	row, odd := make([]features.Value, len(columns)), quality.Finding{Severity: quality.Stop, Check: "label", Column: d.Name}
	missing := 0
	for i := range r.label {
		for c, col := range columns {
			row[c] = col.Value(i)
		}
		y := e.Number(row)
		r.label[i] = y
		switch {
		case y != y:
			missing++
		case r.objective == "binary" && y != 0 && y != 1, r.objective == "multiclass" && y < 0:
			key, _ := r.tab.Where(i)
			odd.Blame(key, 1)
			if odd.Count++; odd.Count == 1 {
				odd.Examples = []table.Problem{r.tab.Problem(i, d.Name, labelOf(y, row), "")}
			}
		case math.Abs(y) > math.MaxFloat32/1e8:
			r.label[i] = math.NaN()
			missing++
		}
	}
	if odd.Count > 0 {
		odd.Message = fmt.Sprintf("%d rows have a label that is neither 0 nor 1, which the metric %s needs", odd.Count, r.def.Evaluate.Metric)
		if r.objective == "multiclass" {
			odd.Message = fmt.Sprintf("%d rows have a label that is none of the classes %s", odd.Count, strings.Join(d.Classes, ", "))
		}
		odd.Share = float64(odd.Count) / float64(len(r.label))
		r.report.Findings = append(r.report.Findings, odd)
	}
	if missing > 0 {
		r.warn("label", d.Name, fmt.Sprintf("%d rows have no label and are left out", missing))
	}
}

// labelOf says what is wrong with a label: its number, or the value that is no class.
func labelOf(y float64, row []features.Value) string {
	if y < 0 && len(row) == 1 && row[0].Text != "" {
		return fmt.Sprintf("the label is %q", row[0].Text)
	}
	return fmt.Sprintf("the label is %v", y)
}

// write makes all outputs of a split upload.
func (r *rows) write(ctx context.Context, base job.Base) error {
	fit := r.program.NewFit()
	in := r.inputs()
	row := make([]features.Value, len(in))
	for _, i := range r.parts[0] {
		for c, col := range in {
			row[c] = col.Value(int(i))
		}
		fit.Observe(row)
	}
	program, err := fit.Program()
	if err != nil {
		r.stop("feature", "", err.Error())
		return nil
	}
	for p, name := range partNames {
		if err := r.writePart(ctx, base, name, r.parts[p], program); err != nil {
			return fmt.Errorf("write %s rows: %w", name, err)
		}
	}
	if err := r.writeTestRows(base); err != nil {
		return fmt.Errorf("write test rows: %w", err)
	}
	spec, err := program.Spec(r.file.Pipeline, r.objective, r.def.Data.Label.Classes...).Marshal()
	if err != nil {
		return fmt.Errorf("write serving.json: %w", err)
	}
	if err := writeFile(base, spec, "model", "serving.json"); err != nil {
		return err
	}
	return r.writeBaseline(base)
}

// inputs are the columns that the features read.
func (r *rows) inputs() []*table.Typed {
	names := r.program.Columns()
	out := make([]*table.Typed, len(names))
	for i, name := range names {
		out[i] = r.typed[name]
	}
	return out
}

func (r *rows) facts() map[string]any {
	facts := map[string]any{"rows": len(r.order)}
	mean := 0.0
	for p, name := range partNames {
		facts[name+"_rows"] = len(r.parts[p])
		mean += r.report.Parts[p].Label * float64(len(r.parts[p]))
	}
	name := "label_rate"
	if r.objective == "regression" {
		name = "label_mean"
	}
	if r.objective != "multiclass" { // the mean of classes' numbers says nothing
		facts[name] = math.Round(mean/float64(len(r.order))*1e6) / 1e6
	}
	if t := r.def.Data.Time; t != "" {
		times := r.typed[t].Numbers
		facts["from"] = quality.Instant(times[r.order[0]])
		facts["to"] = quality.Instant(times[r.order[len(r.order)-1]])
	}
	return facts
}

// finish writes the report and the message.
func (u *upload) finish(base job.Base, facts map[string]any, log *slog.Logger) error {
	u.report.Findings = slices.Clip(u.report.Findings)
	u.report.Conclude()
	if err := writeReport(base, u.report); err != nil {
		return err
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
	return base.WriteMessage(m)
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
