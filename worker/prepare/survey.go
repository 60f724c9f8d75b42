package prepare

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/traps"
)

// survey reads the rows once before they are written: it notes the parts, finds
// the categories of the training rows, and what the evaluation looks for traps in
// and only preparation sees: the labels of each part by day, and rows that test
// and training share.
func (r *rows) survey(ctx context.Context) error {
	var tallies [3]traps.Tally
	var rows, keys traps.Twins
	if n := len(r.def.Data.Label.Classes); n > 0 {
		for p := range r.parts {
			r.parts[p].classes = make([]int, n)
			tallies[p].Classes = n
		}
	}
	key := columnsAt(r.plan.Names, []string{r.def.Data.Key})[0]
	fits := fitting{program: r.program, in: columnsAt(r.plan.Names, r.program.Columns()), types: r.inputTypes()}
	_, err := r.walk(ctx, func(c *chunk) error {
		c.results = c.results[:0]
		for i := range c.rows {
			row := &c.rows[i]
			h := traps.Begin
			for at, cell := range row.cells {
				if at != key {
					h = h.Cell(cell)
				}
			}
			c.results = append(c.results, result{h.Sum(), traps.Begin.Cell(plainKey(row.cells[key])).Sum()})
		}
		return fits.observe(c)
	}, func(c *chunk) error {
		for i := range c.rows {
			row, p := &c.rows[i], c.in[i]
			r.parts[p].add(row)
			tallies[p].Add(row.label, row.time)
			note, noteKey := rows.First, keys.First
			if p == 2 {
				note, noteKey = rows.Other, keys.Other
			}
			note(c.results[i].row)
			noteKey(c.results[i].key)
		}
		return nil
	})
	if err != nil {
		return err
	}
	varies := false
	for p := range partNames {
		varies = varies || r.parts[p].varies || r.parts[p].rows > 0 && r.parts[p].label != r.parts[0].label
	}
	if !varies {
		r.stop("label", r.def.Data.Label.Name, fmt.Sprintf("the label is %s in all %d rows: there is nothing to learn", r.labelText(r.parts[0].label), r.count))
		return nil
	}
	for p, name := range partNames {
		r.note(name, &r.parts[p])
		if r.parts[p].rows > 0 {
			note := &r.report.Parts[p]
			note.Spread, note.Days = tallies[p].Spread(), tallies[p].Days()
		}
	}
	r.report.Shared = &quality.Shared{Rows: rows.Shared(), Keys: keys.Shared()}
	if quality.Stops(r.report.Findings) {
		return nil
	}
	program, err := fits.all().Program()
	if err != nil {
		r.stop("feature", "", err.Error())
		return nil
	}
	r.program = program
	return nil
}

// inputTypes are the types of the columns that the features read.
func (r *rows) inputTypes() []features.Type {
	var out []features.Type
	for _, name := range r.program.Columns() {
		out = append(out, r.types[name])
	}
	return out
}

// fitting collects the categories of training rows, in as many fits as there are
// goroutines; which of them saw a row does not show.
type fitting struct {
	program *features.Program
	in      []int // columns
	types   []features.Type
	mu      sync.Mutex
	free    []*features.Fit
}

func (f *fitting) observe(c *chunk) error {
	f.mu.Lock()
	fit := f.program.NewFit
	one := (*features.Fit)(nil)
	if n := len(f.free); n > 0 {
		one, f.free = f.free[n-1], f.free[:n-1]
	} else {
		one = fit()
	}
	f.mu.Unlock()
	values := make([]features.Value, len(f.in))
	for i := range c.rows {
		if c.in[i] != 0 {
			continue
		}
		if err := c.rows[i].values(f.in, f.types, values); err != nil {
			return err
		}
		one.Observe(values)
	}
	f.mu.Lock()
	f.free = append(f.free, one)
	f.mu.Unlock()
	return nil
}

func (f *fitting) all() *features.Fit {
	all := f.program.NewFit()
	for _, one := range f.free {
		all.Merge(one)
	}
	return all
}

// values reads a row's cells by their types; they were read once already.
func (r *row) values(in []int, types []features.Type, out []features.Value) error {
	for i, at := range in {
		v, err := features.ParseValue(types[i], r.cells[at])
		if err != nil {
			return fmt.Errorf("read sorted row: %w", err)
		}
		out[i] = v
	}
	return nil
}

// plainKey is a key as people may write it: case, spaces and leading zeros are no difference.
func plainKey(key string) string {
	key = strings.ToLower(strings.Join(strings.Fields(key), ""))
	if plain := strings.TrimLeft(key, "0"); plain != "" {
		return plain
	}
	return key
}
