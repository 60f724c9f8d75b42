package features

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Fit collects the categories of the training rows. Not safe for concurrent use;
// shards may each have their own and be merged, in any order.
type Fit struct {
	program *Program
	seen    []seen
}

// seen holds the distinct values of one encoded feature, at most MaxCategories+1 of them.
type seen struct {
	texts   map[string]struct{}
	numbers map[float64]struct{}
}

// NewFit begins a fit.
func (p *Program) NewFit() *Fit {
	f := &Fit{program: p, seen: make([]seen, len(p.features))}
	for i := range f.seen {
		f.seen[i] = seen{texts: map[string]struct{}{}, numbers: map[float64]struct{}{}}
	}
	return f
}

// Observe takes a training row of Columns().
func (f *Fit) Observe(row []Value) {
	for i, def := range f.program.defs {
		if def.Encode == EncodeNumber {
			continue
		}
		s := &f.seen[i]
		if n := f.program.features[i].node; n.typ == Text {
			v := n.text(row)
			if v.IsMissing() {
				continue
			}
			if _, known := s.texts[v.Text]; !known && len(s.texts) <= MaxCategories {
				s.texts[strings.Clone(v.Text)] = struct{}{}
			}
		} else if v := n.num(row); v == v && !math.IsInf(v, 0) && len(s.numbers) <= MaxCategories {
			s.numbers[v+0] = struct{}{} // -0 becomes 0
		}
	}
}

// Merge adds what another fit of the same Program has seen.
func (f *Fit) Merge(other *Fit) {
	for i := range f.seen {
		for v := range other.seen[i].texts {
			f.seen[i].texts[v] = struct{}{}
		}
		for v := range other.seen[i].numbers {
			f.seen[i].numbers[v] = struct{}{}
		}
	}
}

// Program gives the fitted Program; the error names a feature with more than
// MaxCategories categories, or with none.
func (f *Fit) Program() (*Program, error) {
	encodings := map[string][]string{}
	for i, def := range f.program.defs {
		if def.Encode == EncodeNumber {
			continue
		}
		categories := make([]string, 0, len(f.seen[i].texts))
		for v := range f.seen[i].texts {
			categories = append(categories, v)
		}
		sort.Strings(categories)
		numbers := make([]float64, 0, len(f.seen[i].numbers))
		for v := range f.seen[i].numbers {
			numbers = append(numbers, v)
		}
		slices.Sort(numbers)
		for _, v := range numbers {
			categories = append(categories, formatNumber(v))
		}
		encodings[def.Name] = categories
	}
	return f.program.fitted(encodings)
}

// fitted gives the Program with its categories; it checks all that can be wrong with them.
func (p *Program) fitted(encodings map[string][]string) (*Program, error) {
	out := *p
	out.features = append([]computed(nil), p.features...)
	out.names = []string{}
	for i, def := range p.defs {
		f := &out.features[i]
		f.first = len(out.names)
		categories, given := encodings[def.Name]
		if def.Encode == EncodeNumber {
			if given {
				return nil, fmt.Errorf("fit feature %q: it has categories, but no encoding", def.Name)
			}
			out.names = append(out.names, def.Name)
			continue
		}
		if err := f.index(categories); err != nil {
			return nil, fmt.Errorf("fit feature %q: %w", def.Name, err)
		}
		if def.Encode == EncodeOrdinal {
			out.names = append(out.names, def.Name)
			continue
		}
		for _, category := range categories {
			out.names = append(out.names, def.Name+"="+category)
		}
	}
	for name := range encodings {
		if !slices.ContainsFunc(p.defs, func(d Feature) bool { return d.Name == name }) {
			return nil, fmt.Errorf("fit feature %q: there is no such feature", name)
		}
	}
	return &out, nil
}

// index fills the tables from category to place.
func (f *computed) index(categories []string) error {
	switch {
	case len(categories) == 0:
		return fmt.Errorf("every training row has it missing, so it has no categories")
	case len(categories) > MaxCategories:
		return fmt.Errorf("more than %d categories: a column with so many values is a name, not a category", MaxCategories)
	}
	f.categories = slices.Clone(categories)
	f.ofText, f.ofNumber = nil, nil
	if f.node.typ == Text {
		f.ofText = make(map[string]int, len(categories))
		for i, category := range categories {
			if !utf8.ValidString(category) || category == "" {
				return fmt.Errorf("category %q is not UTF-8 text", clip(category))
			}
			if i > 0 && categories[i-1] >= category {
				return fmt.Errorf("categories are not sorted at %q", clip(category))
			}
			f.ofText[category] = i
		}
		return nil
	}
	f.ofNumber = make(map[float64]int, len(categories))
	last := math.Inf(-1)
	for i, category := range categories {
		v, err := strconv.ParseFloat(category, 64)
		if err != nil || formatNumber(v) != category || !(v > last) || math.IsInf(v, 0) {
			return fmt.Errorf("category %q is not a number in order", clip(category))
		}
		f.ofNumber[v], last = i, v
	}
	return nil
}

func formatNumber(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
