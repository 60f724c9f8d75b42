package table

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-ml/millrace/shared/features"
)

// mostly is the share of a column's cells that makes the others mistakes,
// rather than the column a text.
const mostly = 0.95

// Typed is a column with a type.
type Typed struct {
	Column
	Type features.Type
	// Numbers has every row's features.Value.Number; NaN: missing, or not of the
	// type. It is nil for text.
	Numbers []float64
	Wrong   int // cells that are not of the type
}

// Value is a row's cell.
func (c *Typed) Value(row int) features.Value {
	if c.Type != features.Text {
		return features.Value{Number: c.Numbers[row]}
	}
	if cell := c.Cell(row); cell != "" {
		return features.Value{Text: cell}
	}
	return features.Missing()
}

// Missing tells whether a row's cell is missing, or not of the type.
func (c *Typed) Missing(row int) bool {
	if c.Type != features.Text {
		return math.IsNaN(c.Numbers[row])
	}
	return c.Cell(row) == ""
}

// Types gives every column its type: as declared, else as its cells have it.
func (t *Table) Types(ctx context.Context, declared map[string]features.Type) (map[string]*Typed, error) {
	typed := make([]*Typed, len(t.columns))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	for i, name := range t.columns {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if kind, ok := declared[name]; ok {
				typed[i] = t.parse(name, kind)
			} else {
				typed[i] = t.infer(name)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("find column types: %w", err)
	}
	out := make(map[string]*Typed, len(typed))
	for _, c := range typed {
		out[c.Name] = c
	}
	return out, nil
}

// infer finds a column's type from all its cells, so that neither the order of
// the files nor a sample decides. A column without a value is a number.
func (t *Table) infer(name string) *Typed {
	var counts Kinds
	c := &Typed{Column: t.Column(name), Numbers: make([]float64, t.Rows())}
	c.Each(0, t.Rows(), func(row int, cell string) {
		if cell == "" {
			c.Numbers[row] = math.NaN()
			return
		}
		kind, number := kindOf(cell)
		c.Numbers[row] = number
		counts[kind]++
	})
	total := 0
	for _, n := range counts {
		total += n
	}
	matching := 0
	c.Type, matching = settle(counts, total)
	if matching < total || c.Type == features.Text {
		return t.parse(name, c.Type)
	}
	return c
}

// settle chooses the type and says how many cells are of it.
func settle(counts Kinds, total int) (kind features.Type, matching int) {
	enough := func(n int) bool { return float64(n) >= mostly*float64(total) }
	numbers := counts[features.Integer] + counts[features.Number]
	switch {
	case total == 0:
		return features.Number, 0
	case enough(numbers) && counts[features.Number] == 0:
		return features.Integer, numbers
	case enough(numbers):
		return features.Number, numbers
	case enough(counts[features.Time]):
		return features.Time, counts[features.Time]
	case counts[features.Boolean] == total:
		return features.Boolean, total
	}
	return features.Text, total
}

// kindOf is the narrowest type that a cell reads as, and its value. The looks at
// the cell's first bytes only save the making of errors that nobody reads.
func kindOf(cell string) (features.Type, float64) {
	first := cell[0]
	digit := first >= '0' && first <= '9'
	if digit && len(cell) >= 10 && cell[4] == '-' {
		if v, err := features.ParseValue(features.Time, cell); err == nil {
			return features.Time, v.Number
		}
	}
	if digit || first == '-' || first == '+' || first == '.' || (len(cell) == 3 && (first == 'n' || first == 'N')) {
		if v, err := features.ParseValue(features.Number, cell); err == nil {
			if v.Number == math.Trunc(v.Number) && math.Abs(v.Number) <= 1<<53 || v.IsMissing() {
				return features.Integer, v.Number
			}
			return features.Number, v.Number
		}
	}
	if len(cell) <= len("false") && (first|0x20 == 't' || first|0x20 == 'f') {
		if v, err := features.ParseValue(features.Boolean, cell); err == nil {
			return features.Boolean, v.Number
		}
	}
	return features.Text, math.NaN()
}

func (t *Table) parse(name string, kind features.Type) *Typed {
	c := &Typed{Column: t.Column(name), Type: kind}
	if kind == features.Text {
		return c
	}
	c.Numbers = make([]float64, t.Rows())
	c.Each(0, t.Rows(), func(row int, cell string) {
		v, err := features.ParseValue(kind, cell)
		if err != nil {
			c.Wrong++
		}
		c.Numbers[row] = v.Number
	})
	return c
}
