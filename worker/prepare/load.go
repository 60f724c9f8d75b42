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
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/spill"
	"github.com/millrace-ml/millrace/worker/table"
)

// upload is the files of a run, on the machines that have them.
type upload struct {
	file     *jobfile.File
	base     job.Base
	hosts    []host
	mine     [][]int // files of each host
	keys     []string
	plan     *table.Plan
	types    map[string]features.Type // of the used columns
	used     []string                 // columns that the pipeline reads, the key first
	unique   []string
	roles    map[string]string
	report   *quality.Report
	checked  []checked          // by file
	profiles []*quality.Profile // by used column, of all rows
}

// sortFiles puts the dataset into the one order in which its files count.
func sortFiles(f *jobfile.File) error {
	if f.Dataset == nil || len(f.Dataset.Files) == 0 {
		return errors.New("check job file: dataset names no file")
	}
	files := slices.Clone(f.Dataset.Files)
	slices.SortFunc(files, func(a, b jobfile.DataFile) int {
		if a.Key != b.Key {
			return strings.Compare(a.Key, b.Key)
		}
		return strings.Compare(a.VersionID, b.VersionID)
	})
	f.Dataset = &jobfile.Dataset{Files: files}
	for _, d := range files {
		if !filepath.IsLocal(d.Path) {
			return fmt.Errorf("check job file: path %q of %s leads out of the data folder", d.Path, d.Key)
		}
	}
	return nil
}

// begin starts a report and finds out which machine has which file.
func begin(ctx context.Context, base job.Base, f *jobfile.File, hosts []host) (*upload, error) {
	u := &upload{file: f, base: base, hosts: hosts, mine: make([][]int, len(hosts)), roles: map[string]string{}, types: map[string]features.Type{},
		report: &quality.Report{Pipeline: f.Pipeline, Run: f.Run, Step: f.Step, Findings: []quality.Finding{}}}
	for _, d := range f.Dataset.Files {
		u.keys = append(u.keys, d.Key)
		u.report.Files = append(u.report.Files, quality.FileNote{Key: d.Key, VersionID: d.VersionID, SHA256: d.SHA256, Bytes: d.Size})
	}
	held := make([][]int, len(hosts))
	g, ctx := errgroup.WithContext(ctx)
	for i, h := range hosts {
		g.Go(func() (err error) {
			held[i], err = h.held(ctx)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for file, key := range u.keys { // the first that has it
		i := slices.IndexFunc(held, func(has []int) bool { return slices.Contains(has, file) })
		if i < 0 {
			return nil, fmt.Errorf("find %s: it was brought to no machine of the job", key)
		}
		u.mine[i] = append(u.mine[i], file)
	}
	return u, nil
}

// spread asks every host about its files, at the same time.
func (u *upload) spread(ctx context.Context, ask func(ctx context.Context, h host, files []int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for i, h := range u.hosts {
		g.Go(func() error { return ask(ctx, h, u.mine[i]) })
	}
	return g.Wait()
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

// look decides the columns by the files' layouts, and the type of each that is
// used: as declared, else as the file says, else as its cells read. The faults
// of the files go into the report; ok is false when there are any.
func (u *upload) look(ctx context.Context, want []string, declared map[string]features.Type) (ok bool, err error) {
	u.used = want
	all := make([]looked, len(u.keys))
	err = u.spread(ctx, func(ctx context.Context, h host, files []int) error {
		got, err := h.look(ctx, files)
		for i, l := range got {
			all[files[i]] = l
		}
		return err
	})
	if err != nil {
		return false, err
	}
	var layouts []*table.Layout
	var problems table.Problems
	for _, l := range all {
		if problems = append(problems, l.Problems...); l.Layout != nil {
			layouts = append(layouts, l.Layout)
		}
	}
	u.plan, err = table.Join(layouts, problems, table.Options{Want: want, KeepAll: true})
	if problems = nil; faults(err, &problems) != nil {
		return false, fmt.Errorf("read uploads: %w", err)
	}
	if len(problems) > 0 {
		return false, u.faulty(problems)
	}
	var open []string
	for i, name := range want {
		switch kind, is := declared[name]; {
		case is:
			u.types[name] = kind
		case u.plan.Types != nil:
			u.types[name] = u.plan.Types[i]
		default:
			open = append(open, name)
		}
	}
	return u.infer(ctx, open)
}

func (u *upload) faulty(problems table.Problems) error {
	u.report.Findings = append(u.report.Findings, quality.FromProblems(problems)...)
	return nil
}

// infer finds the types of columns by all their cells, so that neither the order
// of the files nor a sample decides.
func (u *upload) infer(ctx context.Context, names []string) (ok bool, err error) {
	if len(names) == 0 {
		return true, nil
	}
	all := make([]inferred, len(u.keys))
	err = u.spread(ctx, func(ctx context.Context, h host, files []int) error {
		got, err := h.infer(ctx, inferring{Files: files, Names: names})
		for _, one := range got {
			all[one.File] = one
		}
		return err
	})
	if err != nil {
		return false, err
	}
	var problems table.Problems
	kinds := make([]table.Kinds, len(names))
	for _, one := range all {
		problems = append(problems, one.Problems...)
		for i, k := range one.Kinds {
			kinds[i].Add(k)
		}
	}
	if len(problems) > 0 {
		return false, u.faulty(problems)
	}
	for i, name := range names {
		u.types[name] = kinds[i].Type()
	}
	return true, nil
}

// check holds all rows against what is asked of them one by one.
func (u *upload) check(ctx context.Context, learn bool, key string) (ok bool, err error) {
	u.unique = unite([]string{key}, uniqueColumns(u.file, u.types, learn))
	u.checked = make([]checked, len(u.keys))
	in := checking{Names: u.plan.Names, Types: u.types, Used: u.used, Unique: u.unique, Learn: learn, Key: key, Lines: !learn}
	if !learn { // what the model does not read is not looked at
		in.Names = u.used
	}
	err = u.spread(ctx, func(ctx context.Context, h host, files []int) error {
		in := in
		in.Files = files
		got, err := h.check(ctx, in)
		for _, one := range got {
			u.checked[one.File] = one
		}
		return err
	})
	if err != nil {
		return false, err
	}
	var problems table.Problems
	for i, c := range u.checked {
		problems = append(problems, c.Problems...)
		u.report.Files[i].Rows = c.Rows
		u.report.Rows += c.Rows
	}
	if len(problems) > 0 {
		u.report.Rows = 0
		for i := range u.report.Files {
			u.report.Files[i].Rows = 0
		}
		return false, u.faulty(problems)
	}
	for i, c := range u.checked {
		if c.Rows == 0 {
			u.warnOf(table.NoRows(u.keys[i]))
		}
	}
	for _, w := range u.plan.Warnings {
		u.warnOf(w)
	}
	if err := u.findings(ctx, learn, key); err != nil {
		return false, err
	}
	for i, name := range u.used {
		all := quality.NewProfile(name, u.types[name])
		for _, c := range u.checked {
			all.Merge(c.Profiles[i])
		}
		s := all.Summary()
		s.Role = u.roles[name]
		u.report.Columns = append(u.report.Columns, s)
		u.profiles = append(u.profiles, all)
	}
	return true, nil
}

// uniqueColumns are the columns whose values a check wants unique.
func uniqueColumns(f *jobfile.File, types map[string]features.Type, learn bool) []string {
	checks := f.Definition.Quality
	if !learn {
		checks = applicable(checks, types)
	}
	return quality.Unique(checks)
}

// findings are the rules that the rows break.
func (u *upload) findings(ctx context.Context, learn bool, key string) error {
	d := &u.file.Definition
	checks := d.Quality
	if !learn {
		checks = applicable(checks, u.types)
	}
	rules, err := quality.NewRules(checks, u.types, u.used)
	if err != nil {
		return err
	}
	tallies := make([]quality.FileTally, len(u.checked))
	for i, c := range u.checked {
		tallies[i] = quality.FileTally{Key: u.keys[i], Rows: c.Rows, Tally: c.Tally}
	}
	u.report.Findings = append(u.report.Findings, rules.Findings(tallies)...)
	repeated := map[string]repeats{}
	for i, name := range u.unique {
		values, err := u.sorted(ctx, i)
		if err != nil {
			return err
		}
		if repeated[name], err = findRepeats(values, u.keys); err != nil {
			return err
		}
	}
	for _, c := range checks {
		if r := repeated[c.Column]; c.Unique && len(r.first) > 0 {
			u.report.Findings = append(u.report.Findings, quality.Repeated("unique", c.Column, c.Severity, u.report.Rows, r.files, r.places(c.Column, d, u.keys)))
		}
	}
	u.missing("key", key, "%d rows have no key", func(c *checked) quality.Broken { return c.Keyless }, 0)
	if r := repeated[key]; len(r.first) > 0 {
		dup := quality.Repeated("key", key, quality.Stop, u.report.Rows, r.files, r.places(key, d, u.keys))
		dup.Message = fmt.Sprintf("the key must be unique, and %d rows repeat that of another row (hint: was a file uploaded twice under two names?)", dup.Count)
		u.report.Findings = append(u.report.Findings, dup)
	}
	if name := d.Data.Time; learn && name != "" {
		wrong := 0 // these are a finding of their own
		for _, c := range u.checked {
			wrong += rules.Wrong(name, c.Tally)
		}
		u.missing("time", name, "%d rows have no time", func(c *checked) quality.Broken { return c.Timeless }, wrong)
	}
	return nil
}

// missing is a finding of rows that lack something, when more than some number do.
func (u *upload) missing(check, column, message string, of func(*checked) quality.Broken, but int) {
	f := quality.Finding{Severity: quality.Stop, Check: check, Column: column}
	for i := range u.checked {
		b := of(&u.checked[i])
		if b.Count > 0 {
			f.Blame(u.keys[i], b.Count)
		}
		if f.Count += b.Count; len(f.Examples) == 0 {
			f.Examples = b.Examples
		}
	}
	if f.Count > but {
		f.Message = fmt.Sprintf(message, f.Count)
		u.report.Findings = append(u.report.Findings, f)
	}
}

// sorted reads what all hosts have sorted as one.
func (u *upload) sorted(ctx context.Context, what int) (spill.Stream, error) {
	var streams []spill.Stream
	for _, h := range u.hosts {
		s, err := h.sorted(ctx, what)
		if err != nil {
			for _, open := range streams {
				open.Close()
			}
			return nil, err
		}
		streams = append(streams, s)
	}
	return spill.Merge(streams...), nil
}

// stop adds a finding that stops the run.
func (u *upload) stop(check, column, message string, examples ...table.Problem) {
	u.report.Findings = append(u.report.Findings, quality.Finding{Severity: quality.Stop, Check: check, Column: column, Message: message, Examples: examples})
}

// warn adds a finding that does not.
func (u *upload) warn(check, column, message string) {
	u.report.Findings = append(u.report.Findings, quality.Finding{Severity: quality.Warn, Check: check, Column: column, Message: message})
}

func (u *upload) warnOf(p table.Problem) {
	u.report.Findings = append(u.report.Findings, quality.Finding{Severity: quality.Warn, Check: "column", Message: p.Error()})
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
