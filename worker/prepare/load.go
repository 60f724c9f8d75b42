package prepare

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/table"
)

// upload is the files of a run, read.
type upload struct {
	file   *jobfile.File
	tab    *table.Table
	typed  map[string]*table.Typed
	used   []string // columns that the pipeline reads, the key first
	roles  map[string]string
	report *quality.Report
}

// begin starts a report and checks that the files are those the run is about.
func begin(base job.Base, f *jobfile.File) (*upload, error) {
	u := &upload{file: f, roles: map[string]string{}, report: &quality.Report{
		Pipeline: f.Pipeline, Run: f.Run, Step: f.Step, Findings: []quality.Finding{},
	}}
	if f.Dataset == nil || len(f.Dataset.Files) == 0 {
		return nil, errors.New("check job file: dataset names no file")
	}
	files := slices.Clone(f.Dataset.Files)
	slices.SortFunc(files, func(a, b jobfile.DataFile) int {
		if a.Key != b.Key {
			return compare(a.Key, b.Key)
		}
		return compare(a.VersionID, b.VersionID)
	})
	f.Dataset = &jobfile.Dataset{Files: files}
	for _, d := range files {
		if !filepath.IsLocal(d.Path) {
			return nil, fmt.Errorf("check job file: path %q of %s leads out of the data folder", d.Path, d.Key)
		}
		u.report.Files = append(u.report.Files, quality.FileNote{Key: d.Key, VersionID: d.VersionID, SHA256: d.SHA256, Bytes: d.Size})
		if err := verify(filepath.Join(base.Input("data"), d.Path), d); err != nil {
			return nil, err
		}
	}
	return u, nil
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// verify holds a file against the digest that the dataset pinned: a file that
// was replaced meanwhile must not change what a recipe means.
func verify(path string, d jobfile.DataFile) error {
	if d.SHA256 == "" {
		return nil
	}
	in, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", d.Key, err)
	}
	defer in.Close()
	h := sha256.New()
	if _, err := io.Copy(h, in); err != nil {
		return fmt.Errorf("read %s: %w", d.Key, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != d.SHA256 {
		return fmt.Errorf("check %s: its SHA-256 is %s, the dataset names %s: another version of the object was brought here", d.Key, got, d.SHA256)
	}
	return nil
}

// read reads the files and gives every column its type. The faults of the files
// go into the report; ok is false when there are any.
func (u *upload) read(ctx context.Context, base job.Base, want []string, declared map[string]features.Type) (ok bool, err error) {
	sources := make([]table.Source, len(u.file.Dataset.Files))
	for i, d := range u.file.Dataset.Files {
		path := filepath.Join(base.Input("data"), d.Path)
		sources[i] = table.Source{Key: d.Key, Format: table.Format(u.file.Definition.Data.Format), Open: func() (io.ReadCloser, error) { return os.Open(path) }}
	}
	u.used = want
	u.tab, err = table.Read(ctx, sources, table.Options{Want: want, KeepAll: true})
	var problems table.Problems
	if errors.As(err, &problems) {
		u.report.Findings = append(u.report.Findings, quality.FromProblems(problems)...)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read uploads: %w", err)
	}
	for i, info := range u.tab.Files() {
		u.report.Files[i].Rows = info.Rows
	}
	u.report.Rows = u.tab.Rows()
	for _, w := range u.tab.Warnings {
		u.report.Findings = append(u.report.Findings, quality.Finding{Severity: quality.Warn, Check: "column", Message: w.Error()})
	}
	u.typed, err = u.tab.Types(ctx, declared)
	return true, err
}

// stop adds a finding that stops the run.
func (u *upload) stop(check, column, message string, examples ...table.Problem) {
	u.report.Findings = append(u.report.Findings, quality.Finding{Severity: quality.Stop, Check: check, Column: column, Message: message, Examples: examples})
}

// warn adds a finding that does not.
func (u *upload) warn(check, column, message string) {
	u.report.Findings = append(u.report.Findings, quality.Finding{Severity: quality.Warn, Check: check, Column: column, Message: message})
}

// checkKey finds rows that have no key, or that of another row.
func (u *upload) checkKey(key string) {
	missing := quality.Finding{Severity: quality.Stop, Check: "key", Column: key}
	u.tab.Column(key).Each(0, u.tab.Rows(), func(row int, cell string) {
		if cell == "" {
			own, _ := u.tab.Where(row)
			missing.Blame(own, 1)
			if missing.Count++; missing.Count == 1 {
				missing.Examples = []table.Problem{u.tab.Problem(row, key, "the key is missing", "")}
			}
		}
	})
	if missing.Count > 0 {
		missing.Message = fmt.Sprintf("%d rows have no key", missing.Count)
		u.report.Findings = append(u.report.Findings, missing)
	}
	if dup := quality.Duplicates(u.tab, key); dup.Count > 0 {
		dup.Severity, dup.Check = quality.Stop, "key"
		dup.Message = fmt.Sprintf("the key must be unique, and %d rows repeat that of another row (hint: was a file uploaded twice under two names?)", dup.Count)
		u.report.Findings = append(u.report.Findings, dup)
	}
}

// checkTime finds rows without a time.
func (u *upload) checkTime(name string) {
	col := u.typed[name]
	f := quality.Finding{Severity: quality.Stop, Check: "time", Column: name}
	for row := range u.tab.Rows() {
		if col.Missing(row) {
			key, _ := u.tab.Where(row)
			f.Blame(key, 1)
			if f.Count++; f.Count == 1 {
				f.Examples = []table.Problem{u.tab.Problem(row, name, fmt.Sprintf("the value is %q", col.Cell(row)), "")}
			}
		}
	}
	if f.Count > col.Wrong { // wrong cells are a finding of their own
		f.Message = fmt.Sprintf("%d rows have no time", f.Count)
		u.report.Findings = append(u.report.Findings, f)
	}
}

// columnsOf are the columns that an expression reads, as far as they can be
// told before types are known.
func columnsOf(expr string) []string {
	if columns, problems := features.CheckExpression(expr, nil); len(problems) == 0 {
		return columns
	}
	// A text is no result on its own; compared with one it is.
	columns, _ := features.CheckExpression("("+expr+`) == ""`, nil)
	return columns
}

// unite joins lists of names, each name once, in the order of their appearance.
func unite(lists ...[]string) []string {
	var out []string
	for _, names := range lists {
		for _, name := range names {
			if name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}
