package prepare

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"strings"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/table"
)

// RunScores is the prepare-scores step: it checks uploads that are to be scored,
// and writes for each the columns that the model in service reads, in its order
// and without a header: what a batch transform sends.
func RunScores(ctx context.Context, base job.Base, log *slog.Logger) error {
	f, err := base.ProcessingFile()
	if err != nil {
		return err
	}
	b, err := bundle.OpenTar(filepath.Join(base.Input("model"), "model.tar.gz"))
	if err != nil {
		return err
	}
	u, err := begin(base, f)
	if err != nil {
		return err
	}
	facts, err := u.runScores(ctx, base, b.Spec)
	if err != nil {
		return err
	}
	return u.finish(base, facts, log)
}

func (u *upload) runScores(ctx context.Context, base job.Base, spec features.Spec) (map[string]any, error) {
	declared := map[string]features.Type{}
	for name, t := range spec.Types {
		kind, err := features.ParseType(t)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", bundle.SpecFile, err)
		}
		declared[name] = kind
	}
	if ok, err := u.read(ctx, base, spec.Columns, declared); err != nil || !ok {
		return nil, err
	}
	u.roles[spec.Key] = "key"
	found, err := quality.Check(u.tab, u.typed, applicable(u.file.Definition.Quality, spec), u.used)
	if err != nil {
		return nil, err
	}
	u.report.Findings = append(u.report.Findings, found...)
	u.checkKey(spec.Key)
	u.checkLines()
	if u.tab.Rows() == 0 {
		u.stop("rows", "", "there is no row to score")
	}
	if u.report.Columns, err = quality.Describe(ctx, u.tab, u.typed, u.used, u.roles); err != nil || quality.Stops(u.report.Findings) {
		return nil, err
	}
	files, err := u.writeScores(base, spec.Columns)
	if err != nil {
		return nil, fmt.Errorf("write rows to score: %w", err)
	}
	u.report.Parts = []quality.Part{{Name: "batch", Rows: u.tab.Rows()}}
	facts := map[string]any{"rows": u.tab.Rows(), "files": files}
	if n := len(spec.Classes); n > 0 {
		facts["classes"] = n // a row gets a score for each
	}
	return facts, nil
}

// applicable are the checks on columns that the model reads, with the model's
// types: the definition may have changed since.
func applicable(checks []definition.Check, spec features.Spec) []definition.Check {
	var out []definition.Check
	for _, c := range checks {
		if t, ok := spec.Types[c.Column]; ok {
			if c.Type != "" {
				c.Type = t
			}
			out = append(out, c)
		}
	}
	return out
}

// checkLines finds line feeds in values: a batch transform cuts its input at
// every line, quoted or not.
func (u *upload) checkLines() {
	for _, name := range u.used {
		f := quality.Finding{Severity: quality.Stop, Check: "type", Column: name}
		u.tab.Column(name).Each(0, u.tab.Rows(), func(row int, cell string) {
			if strings.ContainsAny(cell, "\n\r") {
				key, _ := u.tab.Where(row)
				f.Blame(key, 1)
				if f.Count++; f.Count == 1 {
					f.Examples = []table.Problem{u.tab.Problem(row, name, "the value goes over more than one line", "")}
				}
			}
		})
		if f.Count > 0 {
			f.Message = fmt.Sprintf("%d values go over more than one line, which cannot be scored in batch", f.Count)
			u.report.Findings = append(u.report.Findings, f)
		}
	}
}

// writeScores writes batch/<name>.csv for each file and says how many.
func (u *upload) writeScores(base job.Base, columns []string) (int, error) {
	taken, row, written := map[string]bool{}, 0, 0
	for i, info := range u.tab.Files() {
		if info.Rows == 0 {
			continue // a batch transform takes no empty object
		}
		part := make([]int32, info.Rows)
		for k := range part {
			part[k] = int32(row + k)
		}
		row += info.Rows
		name := batchName(info.Key)
		if taken[name] {
			name = fmt.Sprintf("%s-%d", name, i+1)
		}
		taken[name] = true
		err := create(base, func(w *bufio.Writer) error {
			return u.writeCells(w, nil, columns, part)
		}, "batch", name+".csv")
		if err != nil {
			return 0, err
		}
		written++
	}
	return written, nil
}

// batchName is an uploaded file's name without folder and endings.
func batchName(key string) string {
	name := path.Base(key)
	for _, ending := range []string{".gz", ".zst", ".csv", ".parquet"} {
		name = strings.TrimSuffix(name, ending)
	}
	if name == "" || strings.HasPrefix(name, ".") {
		name = "rows" + name
	}
	return name
}
