package prepare

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/spill"
	"github.com/millrace-ml/millrace/worker/table"
)

// inMemory is how many bytes of rows, and of the values of each unique column,
// are sorted without going to disk. Tests make them small.
var (
	rowsInMemory   = 64 << 20
	valuesInMemory = 16 << 20
)

// local is the machine that this program runs on.
type local struct {
	base job.Base
	file *jobfile.File

	mu     sync.Mutex // of what is sorted
	rows   *spill.Sorter
	unique []*spill.Sorter
}

func (l *local) path(file int) string {
	return filepath.Join(l.base.Input("data"), l.file.Dataset.Files[file].Path)
}

func (l *local) source(file int) table.Source {
	path := l.path(file)
	return table.Source{Key: l.file.Dataset.Files[file].Key, Format: table.Format(l.file.Definition.Data.Format),
		Open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// scratch is a folder for what is sorted; it is no output.
func (l *local) scratch() string {
	return filepath.Join(string(l.base), "processing", "scratch")
}

func (l *local) held(context.Context) ([]int, error) {
	var out []int
	for i := range l.file.Dataset.Files {
		if _, err := os.Stat(l.path(i)); err == nil {
			out = append(out, i)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("find %s: %w", l.file.Dataset.Files[i].Key, err)
		}
	}
	return out, nil
}

func (l *local) look(ctx context.Context, files []int) ([]looked, error) {
	out := make([]looked, len(files))
	return out, l.each(ctx, files, func(_ context.Context, i, file int) (err error) {
		if err := verify(l.path(file), l.file.Dataset.Files[file]); err != nil {
			return err
		}
		out[i].Layout, err = table.Look(l.source(file))
		return faults(err, &out[i].Problems)
	})
}

// each does something with several files at once.
func (l *local) each(ctx context.Context, files []int, do func(ctx context.Context, i, file int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(max(1, runtime.GOMAXPROCS(0)), 4)) // each has batches of rows in memory
	for i, file := range files {
		g.Go(func() error { return do(ctx, i, file) })
	}
	return g.Wait()
}

// faults takes the problems of a file out of an error.
func faults(err error, into *table.Problems) error {
	if errors.As(err, into) {
		return nil
	}
	return err
}

func (l *local) infer(ctx context.Context, in inferring) ([]inferred, error) {
	want := make([]table.Want, len(in.Names))
	for i, name := range in.Names {
		want[i].Name = name
	}
	out := make([]inferred, len(in.Files))
	return out, l.each(ctx, in.Files, func(ctx context.Context, i, file int) error {
		out[i] = inferred{File: file, Kinds: make([]table.Kinds, len(want))}
		_, err := table.Scan(ctx, l.source(file), want, func(b *table.Batch) ([]table.Kinds, error) {
			kinds := make([]table.Kinds, len(want))
			for c := range kinds {
				kinds[c].Count(&b.Columns[c], b.Rows)
			}
			return kinds, nil
		}, func(_ *table.Batch, kinds []table.Kinds) error {
			for c, k := range kinds {
				out[i].Kinds[c].Add(k)
			}
			return nil
		})
		return faults(err, &out[i].Problems)
	})
}

func (l *local) check(ctx context.Context, in checking) ([]checked, error) {
	c, err := newChecker(l.file, in)
	if err != nil {
		return nil, err
	}
	l.rows = spill.New(l.scratch(), rowsInMemory)
	l.unique = nil
	for range in.Unique {
		l.unique = append(l.unique, spill.New(l.scratch(), valuesInMemory))
	}
	out := make([]checked, len(in.Files))
	return out, l.each(ctx, in.Files, func(ctx context.Context, i, file int) error {
		all := newChecked(file, in)
		rows, err := table.Scan(ctx, l.source(file), c.want, c.look, func(b *table.Batch, s *seen) error {
			if err := c.profile(all, b); err != nil {
				return err
			}
			c.add(all, b, s)
			l.mu.Lock()
			defer l.mu.Unlock()
			defer c.seen.Put(s)
			return c.sort(l.rows, l.unique, file, b, s)
		})
		all.Rows = rows
		err = faults(err, &all.Problems)
		out[i] = *all
		return err
	})
}

func (l *local) sorted(_ context.Context, what int) (spill.Stream, error) {
	if what == sortedRows {
		return l.rows.Open()
	}
	return l.unique[what].Open()
}

// write writes batch/<name>.csv of each file: the columns' cells, without a header.
func (l *local) write(ctx context.Context, in writing) error {
	want := make([]table.Want, len(in.Names))
	for i, name := range in.Names {
		want[i] = table.Want{Name: name, Type: in.Types[name]}
	}
	var files []int
	for file := range in.To {
		files = append(files, file)
	}
	slices.Sort(files)
	return l.each(ctx, files, func(ctx context.Context, _, file int) error {
		return create(l.base, func(w *bufio.Writer) error {
			_, err := table.Scan(ctx, l.source(file), want, func(b *table.Batch) ([]byte, error) {
				var out []byte
				var all cells
				all.read(b)
				for row := range b.Rows {
					for i := range all {
						if i > 0 {
							out = append(out, ',')
						}
						out = appendQuoted(out, all.at(i, row))
					}
					out = append(out, '\n')
				}
				return out, nil
			}, func(_ *table.Batch, text []byte) error {
				_, err := w.Write(text)
				return err
			})
			return err
		}, "batch", in.To[file]+".csv")
	})
}

func (l *local) finish(_ context.Context, end ending) error {
	var errs []error
	for _, s := range append(slices.Clone(l.unique), l.rows) {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	errs = append(errs, os.RemoveAll(l.scratch()))
	if end.Failed == "" {
		errs = append(errs, l.base.PutMessage(end.Message))
	}
	return errors.Join(errs...)
}

// columnsAt are the places of columns among names.
func columnsAt(names, of []string) []int {
	out := make([]int, len(of))
	for i, name := range of {
		out[i] = slices.Index(names, name)
	}
	return out
}

// valuesOf reads a row's cells as an expression wants them.
func valuesOf(b *table.Batch, at []int, row int, out []features.Value) {
	for i, column := range at {
		out[i] = b.Columns[column].Value(row)
	}
}

// placeOf is a row's place as one number, which grows with the rows of a file.
func placeOf(b *table.Batch, row int) uint64 {
	line, group, in := b.Place(row)
	if group > 0 {
		return uint64(group)<<40 | uint64(in)
	}
	return uint64(line)
}

// problemAt is a problem at a place that placeOf made.
func problemAt(key string, format string, place uint64, column, message string) table.Problem {
	p := table.Problem{Key: key, Column: column, Message: message}
	if table.Format(format) == table.Parquet {
		p.Group, p.Row = int(place>>40), int(place&(1<<40-1))
	} else {
		p.Line = int(place)
	}
	return p
}

// first keeps the first place where something is wrong.
func first(into *quality.Broken, b *table.Batch, row int, column, message string) {
	if into.Count++; into.Count == 1 {
		into.Examples = []table.Problem{b.Problem(row, column, message, "")}
	}
}
