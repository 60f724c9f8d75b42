package prepare

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/matrix"
)

// chunk is how many rows one task computes.
const chunk = 16 << 10

// writePart writes <name>/<name>.csv: the label and the features of some rows.
func (r *rows) writePart(ctx context.Context, base job.Base, name string, part []int32, program *features.Program) error {
	in := r.inputs()
	return create(base, func(w *bufio.Writer) error {
		return inChunks(ctx, w, len(part), func(b []byte, from, to int) []byte {
			row, out := make([]features.Value, len(in)), make([]float32, len(program.Names()))
			for _, i := range part[from:to] {
				for c, col := range in {
					row[c] = col.Value(int(i))
				}
				program.Row(row, out)
				b = matrix.AppendRow(b, float32(r.label[i]), out)
			}
			return b
		})
	}, name, name+".csv")
}

// writeTestRows writes rows/test-rows.csv: the raw cells of the test part in the
// order of test.csv. It has every column that a feature may read, not only those
// that one does now: the version in service may have read others.
func (r *rows) writeTestRows(base job.Base) error {
	d := r.def.Data
	hidden := []string{d.Label.Name}
	if d.Label.Expr != "" {
		hidden = columnsOf(d.Label.Expr)
	}
	var names []string
	for _, name := range unite([]string{d.Key, d.Time}, r.def.Evaluate.Slices, r.program.Columns(), r.tab.Columns()) {
		if !slices.Contains(hidden, name) || slices.Contains(r.def.Evaluate.Slices, name) {
			names = append(names, name)
		}
	}
	return create(base, func(w *bufio.Writer) error {
		return r.writeCells(w, names, names, r.parts[2])
	}, "rows", "test-rows.csv")
}

// writeCells writes raw cells as CSV; without a header when header is nil.
func (u *upload) writeCells(w *bufio.Writer, header, names []string, part []int32) error {
	var b []byte
	for i, name := range header {
		b = appendCell(b, i, name)
	}
	if len(header) > 0 {
		b = append(b, '\n')
	}
	columns := make([]func(int) string, len(names))
	for i, name := range names {
		columns[i] = u.cell(name)
	}
	for _, row := range part {
		for i, cell := range columns {
			b = appendCell(b, i, cell(int(row)))
		}
		b = append(b, '\n')
		if len(b) > 1<<16 {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	_, err := w.Write(b)
	return err
}

// cell gives the column's cells; one that a check tolerates though it is not of
// its type is missing to the model, and so it is here.
func (u *upload) cell(name string) func(row int) string {
	column := u.tab.Column(name)
	typed := u.typed[name]
	if typed.Wrong == 0 {
		return column.Cell
	}
	return func(row int) string {
		if typed.Missing(row) {
			return ""
		}
		return column.Cell(row)
	}
}

func appendCell(b []byte, column int, cell string) []byte {
	if column > 0 {
		b = append(b, ',')
	}
	if !strings.ContainsAny(cell, ",\"\n\r") {
		return append(b, cell...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(cell, `"`, `""`)...)
	return append(b, '"')
}

// inChunks computes chunks of rows on all CPUs and writes them in order; a few
// chunks are in memory at a time.
func inChunks(ctx context.Context, w io.Writer, n int, compute func(b []byte, from, to int) []byte) error {
	threads := max(1, runtime.GOMAXPROCS(0))
	buffers := make([][]byte, threads)
	for from := 0; from < n; from += threads * chunk {
		var g errgroup.Group
		for t := range threads {
			begin := min(n, from+t*chunk)
			end := min(n, begin+chunk)
			g.Go(func() error {
				buffers[t] = compute(buffers[t][:0], begin, end)
				return ctx.Err()
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
		for _, b := range buffers {
			if _, err := w.Write(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// create writes an output file through a buffer.
func create(base job.Base, fill func(w *bufio.Writer) error, elem ...string) (err error) {
	path, err := base.Output(elem...)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create output: %w", err)
	}
	defer func() {
		if e := f.Close(); err == nil && e != nil {
			err = fmt.Errorf("close output: %w", e)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<16)
	if err := fill(w); err != nil {
		return err
	}
	return w.Flush()
}

// writeBaseline describes the training rows as a monitor will see requests: by
// the raw columns that the features read.
func (r *rows) writeBaseline(base job.Base) error {
	s := drift.Statistics{Dataset: drift.Dataset{ItemCount: int64(len(r.parts[0]))}, Features: []drift.FeatureStatistics{}}
	for _, col := range r.inputs() {
		switch col.Type {
		case features.Text, features.Time, features.Boolean: // the monitor sees text
			p := drift.NewTextProfile()
			for _, row := range r.parts[0] {
				p.Add(col.Cell(int(row)))
			}
			s.Features = append(s.Features, p.Statistics(col.Name))
		default:
			p := drift.NewNumericProfile()
			for _, row := range r.parts[0] {
				p.Add(col.Numbers[row])
			}
			s.Features = append(s.Features, p.Statistics(col.Name))
		}
	}
	for name, v := range map[string]any{"statistics.json": s, "constraints.json": drift.Suggest(s)} {
		raw, err := drift.Marshal(v)
		if err != nil {
			return fmt.Errorf("write baseline: %w", err)
		}
		if err := writeFile(base, raw, "baseline", name); err != nil {
			return err
		}
	}
	return nil
}
