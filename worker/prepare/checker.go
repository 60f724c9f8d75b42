package prepare

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/hyperparameters"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/spill"
	"github.com/millrace-ml/millrace/worker/table"
)

// checker looks at the rows of files.
type checker struct {
	checking
	want      []table.Want
	rules     *quality.Rules
	used      []int // places of columns
	unique    []int
	key, time int // -1: none
	label     *features.Expression
	labelName string
	labelAt   []int
	weight    *features.Expression // nil: rows are not weighed
	weightAt  []int
	objective string
	seen      sync.Pool // of *seen whose batch is done
}

// seen is what a checker sees in a batch, before it is the batch's turn.
type seen struct {
	tally                  quality.Tally
	labels, weights        []float64
	keyless, timeless, odd quality.Broken
	weightless             quality.Broken
	lines                  []quality.Broken
	unlabeled              int
	cells                  cells // of rows that are sorted
}

func newChecker(f *jobfile.File, in checking) (*checker, error) {
	c := &checker{checking: in, used: columnsAt(in.Names, in.Used), unique: columnsAt(in.Names, in.Unique), objective: f.Definition.Objective()}
	for _, name := range in.Names {
		c.want = append(c.want, table.Want{Name: name, Type: in.Types[name]})
	}
	at := columnsAt(in.Names, []string{in.Key, f.Definition.Data.Time})
	c.key, c.time = at[0], at[1]
	checks := f.Definition.Quality
	if !in.Learn {
		c.time = -1
		checks = applicable(checks, in.Types)
	}
	var err error
	if c.rules, err = quality.NewRules(checks, in.Types, in.Used); err != nil || !in.Learn {
		return c, err
	}
	c.labelName = f.Definition.Data.Label.Name
	if c.label, _ = labelOf(&f.Definition, in.Types); c.label != nil {
		c.labelAt = columnsAt(in.Names, c.label.Columns())
	}
	if c.weight, _ = weightOf(&f.Definition, in.Types); c.weight != nil {
		c.weightAt = columnsAt(in.Names, c.weight.Columns())
	}
	return c, nil
}

// look is what can be told of a batch by itself.
func (c *checker) look(b *table.Batch) (*seen, error) {
	s := &seen{}
	if before, _ := c.seen.Get().(*seen); before != nil { // has memory
		s.labels, s.weights, s.cells = before.labels[:0], before.weights[:0], before.cells
	}
	s.tally = c.rules.Look(b)
	key := &b.Columns[c.key]
	for row := range b.Rows {
		if key.Empty(row) {
			first(&s.keyless, b, row, key.Name, "the key is missing")
		}
	}
	if c.time >= 0 {
		when := &b.Columns[c.time]
		for row, at := range when.Numbers {
			if at != at {
				first(&s.timeless, b, row, when.Name, fmt.Sprintf("the value is %q", strings.Clone(when.Cell(row))))
			}
		}
	}
	if c.Lines {
		s.lines = make([]quality.Broken, len(c.used))
		for i, at := range c.used {
			column := &b.Columns[at]
			for row := range b.Rows {
				if strings.ContainsAny(column.Cell(row), "\n\r") {
					first(&s.lines[i], b, row, column.Name, "the value goes over more than one line")
				}
			}
		}
	}
	if c.label != nil {
		c.labels(b, s)
		c.weights(b, s)
		s.cells.read(b)
	}
	return s, nil
}

// labels computes every row's label; NaN: missing.
func (c *checker) labels(b *table.Batch, s *seen) {
	s.labels = slices.Grow(s.labels, b.Rows)[:b.Rows]
	row := make([]features.Value, len(c.labelAt))
	for i := range s.labels {
		valuesOf(b, c.labelAt, i, row)
		y := c.label.Number(row)
		switch {
		case y != y:
			s.unlabeled++
		case c.objective == "binary" && y != 0 && y != 1, c.objective == "multiclass" && y < 0, math.Abs(y) > hyperparameters.MaxMagnitude:
			first(&s.odd, b, i, c.labelName, oddLabel(y, row))
		}
		s.labels[i] = y
	}
}

// weights computes every row's weight, if rows are weighed.
func (c *checker) weights(b *table.Batch, s *seen) {
	if c.weight == nil {
		return
	}
	s.weights = slices.Grow(s.weights, b.Rows)[:b.Rows]
	row := make([]features.Value, len(c.weightAt))
	for i := range s.weights {
		valuesOf(b, c.weightAt, i, row)
		w := float64(float32(c.weight.Number(row))) // as training will have it
		if !(w >= 0 && w <= hyperparameters.MaxMagnitude) && s.labels[i] == s.labels[i] {
			first(&s.weightless, b, i, "", fmt.Sprintf("the weight is %v", w))
		}
		s.weights[i] = w
	}
}

// oddLabel says what is wrong with a label: its number, or the value that is no class.
func oddLabel(y float64, row []features.Value) string {
	if y < 0 && len(row) == 1 && row[0].Text != "" {
		return fmt.Sprintf("the label is %q", row[0].Text)
	}
	return fmt.Sprintf("the label is %v", y)
}

// profile adds a batch to the columns' profiles, which depend on the rows' order.
func (c *checker) profile(all *checked, b *table.Batch) error {
	var wait sync.WaitGroup
	for i, at := range c.used {
		wait.Go(func() { all.Profiles[i].Add(&b.Columns[at], b.Rows) })
	}
	wait.Wait()
	return nil
}

// add adds what was seen in a batch.
func (c *checker) add(all *checked, b *table.Batch, s *seen) {
	all.Tally.Add(s.tally)
	merge(&all.Keyless, s.keyless)
	merge(&all.Timeless, s.timeless)
	merge(&all.Odd, s.odd)
	merge(&all.Weightless, s.weightless)
	for i := range s.lines {
		merge(&all.Lines[i], s.lines[i])
	}
	all.Unlabeled += s.unlabeled
	all.Labelled += len(s.labels) - s.unlabeled
	if c.time >= 0 {
		for _, at := range b.Columns[c.time].Numbers {
			all.Newest = max(all.Newest, at) // NaN: not of rows that have a time
		}
	}
}

// merge adds a later count; only the first place is kept.
func merge(into *quality.Broken, later quality.Broken) {
	into.Count += later.Count
	if len(into.Examples) == 0 {
		into.Examples = later.Examples
	}
}

// sort gives a batch's rows, and the values that must be unique, to the sorters.
func (c *checker) sort(rows *spill.Sorter, unique []*spill.Sorter, file int, b *table.Batch, s *seen) error {
	var key, value []byte
	for i, at := range c.unique {
		column := &b.Columns[at]
		for row := range b.Rows {
			if column.Missing(row) {
				continue
			}
			key = appendValueKey(key[:0], column.Append(value[:0], row), file, placeOf(b, row))
			if err := unique[i].Add(key, nil); err != nil {
				return err
			}
		}
	}
	if !c.Learn || s.labels == nil {
		return nil
	}
	for row := range b.Rows {
		key = key[:0]
		if c.time >= 0 {
			key = appendTime(key, b.Columns[c.time].Numbers[row])
		}
		key = b.Columns[c.key].Append(key, row)
		value = binary.LittleEndian.AppendUint64(value[:0], math.Float64bits(s.labels[row]))
		if c.weight != nil {
			value = binary.LittleEndian.AppendUint64(value, math.Float64bits(s.weights[row]))
		}
		for i := range s.cells {
			cell := s.cells.at(i, row)
			value = binary.AppendUvarint(value, uint64(len(cell)))
			value = append(value, cell...)
		}
		if err := rows.Add(key, value); err != nil {
			return err
		}
	}
	return nil
}
