package prepare

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/matrix"
)

// rawRows is the place among a chunk's texts of rows/test-rows.csv; before it are
// those of the parts.
const rawRows = 3

// write makes all outputs of a surveyed upload, in one pass over its rows.
func (r *rows) write(ctx context.Context) (err error) {
	files := []*output{}
	defer func() {
		for _, f := range files {
			if e := f.close(err); err == nil {
				err = e
			}
		}
	}()
	for _, name := range partNames {
		f, err := newOutput(r.base, name, name+".csv")
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	raw, err := newOutput(r.base, "rows", "test-rows.csv")
	if err != nil {
		return err
	}
	files = append(files, raw)
	names := r.rawNames()
	if _, err := raw.w.Write(appendRow(nil, names)); err != nil {
		return fmt.Errorf("write test rows: %w", err)
	}
	baseline := r.newBaseline()
	in, types, rawAt := columnsAt(r.plan.Names, r.program.Columns()), r.inputTypes(), columnsAt(r.plan.Names, names)
	width := len(r.program.Names())
	_, err = r.walk(ctx, func(c *chunk) error {
		for i := range c.out {
			c.out[i] = c.out[i][:0]
		}
		values, out, cells := make([]features.Value, len(in)), make([]float32, width), make([]string, len(rawAt))
		var head [2]float32
		for i := range c.rows {
			row, p := &c.rows[i], c.in[i]
			if err := row.values(in, types, values); err != nil {
				return err
			}
			r.program.Row(values, out)
			head[0], head[1] = float32(row.label), float32(row.weight)
			c.out[p] = matrix.AppendRow(c.out[p], head[:r.heads(p)], out)
			if p == 2 {
				for i, at := range rawAt {
					cells[i] = row.cells[at]
				}
				c.out[rawRows] = appendRow(c.out[rawRows], cells)
			}
		}
		return nil
	}, func(c *chunk) error {
		for i, f := range files {
			if _, err := f.w.Write(c.out[i]); err != nil {
				return fmt.Errorf("write rows: %w", err)
			}
		}
		return baseline.add(c, in)
	})
	if err != nil {
		return err
	}
	spec, err := r.program.Spec(r.file.Pipeline, r.objective, r.def.Data.Label.Classes...).Marshal()
	if err != nil {
		return fmt.Errorf("write serving.json: %w", err)
	}
	if err := writeFile(r.base, spec, "model", "serving.json"); err != nil {
		return err
	}
	return baseline.write(r.base, r.parts[0].rows)
}

// heads is how many values come before the features in a part's rows: the label and,
// where rows are learned from and weighed, the weight.
func (r *rows) heads(part int) int {
	if r.def.Data.Weight != "" && part != 2 {
		return 2
	}
	return 1
}

// rawNames are the columns of rows/test-rows.csv: every one that a feature may
// read, not only those that one does now: the version in service may have read
// others.
func (r *rows) rawNames() []string {
	d := r.def.Data
	hidden := []string{d.Label.Name}
	if d.Label.Expr != "" {
		hidden = columnsOf(d.Label.Expr)
	}
	var names []string
	for _, name := range unite([]string{d.Key, d.Time}, r.def.Evaluate.Slices, r.program.Columns(), r.plan.Names) {
		if !slices.Contains(hidden, name) || slices.Contains(r.def.Evaluate.Slices, name) {
			names = append(names, name)
		}
	}
	return names
}

func appendRow(b []byte, cells []string) []byte {
	for i, cell := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, cell)
	}
	return append(b, '\n')
}

// output is a file being written.
type output struct {
	f *os.File
	w *bufio.Writer
}

func newOutput(base job.Base, elem ...string) (*output, error) {
	path, err := base.Output(elem...)
	if err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create output: %w", err)
	}
	return &output{f, bufio.NewWriterSize(f, 1<<16)}, nil
}

// close ends the file; what failed before makes its content worthless.
func (o *output) close(failed error) error {
	if failed == nil {
		failed = o.w.Flush()
	}
	if err := o.f.Close(); failed == nil && err != nil {
		failed = fmt.Errorf("close output: %w", err)
	}
	return failed
}

// create writes an output file through a buffer.
func create(base job.Base, fill func(w *bufio.Writer) error, elem ...string) error {
	o, err := newOutput(base, elem...)
	if err != nil {
		return err
	}
	return o.close(fill(o.w))
}

// baseline describes the training rows as a monitor will see requests: by the
// raw columns that the features read.
type baseline struct {
	names   []string
	types   []features.Type
	numbers []*drift.NumericProfile // nil where there are texts
	texts   []*drift.TextProfile
}

func (r *rows) newBaseline() *baseline {
	b := &baseline{names: r.program.Columns(), types: r.inputTypes()}
	b.numbers, b.texts = make([]*drift.NumericProfile, len(b.names)), make([]*drift.TextProfile, len(b.names))
	for i, t := range b.types {
		switch t {
		case features.Text, features.Time, features.Boolean: // the monitor sees text
			b.texts[i] = drift.NewTextProfile()
		default:
			b.numbers[i] = drift.NewNumericProfile()
		}
	}
	return b
}

// add adds the training rows of a chunk, column by column.
func (b *baseline) add(c *chunk, in []int) error {
	var g errgroup.Group
	for i, at := range in {
		g.Go(func() error {
			for k := range c.rows {
				if c.in[k] != 0 {
					continue
				}
				cell := c.rows[k].cells[at]
				if b.texts[i] != nil {
					b.texts[i].Add(cell)
					continue
				}
				v, err := features.ParseValue(b.types[i], cell)
				if err != nil {
					return fmt.Errorf("read sorted row: %w", err)
				}
				b.numbers[i].Add(v.Number)
			}
			return nil
		})
	}
	return g.Wait()
}

func (b *baseline) write(base job.Base, rows int) error {
	s := drift.Statistics{Dataset: drift.Dataset{ItemCount: int64(rows)}, Features: []drift.FeatureStatistics{}}
	for i, name := range b.names {
		if b.texts[i] != nil {
			s.Features = append(s.Features, b.texts[i].Statistics(name))
		} else {
			s.Features = append(s.Features, b.numbers[i].Statistics(name))
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
