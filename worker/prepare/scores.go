package prepare

import (
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
)

// RunScores is the prepare-scores step: it checks uploads that are to be scored,
// and writes for each the columns that the model in service reads, in its order
// and without a header: what a batch transform sends.
func RunScores(ctx context.Context, base job.Base, log *slog.Logger) error {
	return lead(ctx, base, log, func(ctx context.Context, u *upload) (map[string]any, error) {
		b, err := bundle.OpenTar(filepath.Join(base.Input("model"), "model.tar.gz"))
		if err != nil {
			return nil, err
		}
		return u.runScores(ctx, base, b.Spec)
	})
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
	if ok, err := u.look(ctx, spec.Columns, declared); err != nil || !ok {
		return nil, err
	}
	u.roles[spec.Key] = "key"
	if ok, err := u.check(ctx, false, spec.Key); err != nil || !ok {
		return nil, err
	}
	u.checkLines()
	if err := u.checkKnown(base); err != nil {
		return nil, err
	}
	if u.report.Rows == 0 {
		u.stop("rows", "", "there is no row to score")
	}
	if quality.Stops(u.report.Findings) {
		return nil, nil
	}
	files, err := u.writeScores(ctx, spec.Columns)
	if err != nil {
		return nil, fmt.Errorf("write rows to score: %w", err)
	}
	u.report.Parts = []quality.Part{{Name: "batch", Rows: u.report.Rows}}
	facts := map[string]any{"rows": u.report.Rows, "files": files}
	if n := len(spec.Classes); n > 0 {
		facts["classes"] = n // a row gets a score for each
	}
	return facts, nil
}

// applicable are the checks on columns that the model reads, with the model's
// types: the definition may have changed since.
func applicable(checks []definition.Check, types map[string]features.Type) []definition.Check {
	var out []definition.Check
	for _, c := range checks {
		if t, ok := types[c.Column]; ok {
			if c.Type != "" {
				c.Type = t.String()
			}
			out = append(out, c)
		}
	}
	return out
}

// checkLines tells of line feeds in values: a batch transform cuts its input at
// every line, quoted or not.
func (u *upload) checkLines() {
	for i, name := range u.used {
		f := quality.Finding{Severity: quality.Stop, Check: "type", Column: name}
		for k, c := range u.checked {
			b := c.Lines[i]
			if b.Count > 0 {
				f.Blame(u.keys[k], b.Count)
			}
			if f.Count += b.Count; len(f.Examples) == 0 {
				f.Examples = b.Examples
			}
		}
		if f.Count > 0 {
			f.Message = fmt.Sprintf("%d values go over more than one line, which cannot be scored in batch", f.Count)
			u.report.Findings = append(u.report.Findings, f)
		}
	}
}

// writeScores has batch/<name>.csv written for each file, by the machine that
// has it, and says how many.
func (u *upload) writeScores(ctx context.Context, columns []string) (int, error) {
	taken, to := map[string]bool{}, map[int]string{}
	for i, key := range u.keys {
		if u.checked[i].Rows == 0 {
			continue // a batch transform takes no empty object
		}
		name := batchName(key)
		if taken[name] {
			name = fmt.Sprintf("%s-%d", name, i+1)
		}
		taken[name] = true
		to[i] = name
	}
	return len(to), u.spread(ctx, func(ctx context.Context, h host, files []int) error {
		in := writing{Names: columns, Types: u.types, To: map[int]string{}}
		for _, file := range files {
			if name, is := to[file]; is {
				in.To[file] = name
			}
		}
		return h.write(ctx, in)
	})
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
