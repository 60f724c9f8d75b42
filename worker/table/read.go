package table

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/millrace-ml/millrace/shared/features"
)

// Options of Read.
type Options struct {
	Want    []string // columns that every file must have, in any order
	KeepAll bool     // also keep the columns that all files share and nobody asked for
}

// Read reads all files. The error is Problems when a file is at fault.
func Read(ctx context.Context, sources []Source, opts Options) (*Table, error) {
	sources = slices.Clone(sources)
	sort.SliceStable(sources, func(i, j int) bool { return sources[i].Key < sources[j].Key })
	columns, err := MakePlan(sources, opts)
	if err != nil {
		return nil, err
	}
	segments := make([]*segment, len(sources))
	var problems Problems
	for i, src := range sources {
		segments[i], err = readFile(ctx, src, columns.Names)
		var found Problems
		if errors.As(err, &found) {
			problems = append(problems, found...)
		} else if err != nil {
			return nil, err
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return assemble(segments, columns), nil
}

// Plan is the columns that all files are read by.
type Plan struct {
	Names    []string        // those wanted, in that order, then those kept besides, sorted
	Types    []features.Type // of Parquet columns; nil: CSV
	Warnings []Problem       // about columns nobody asked for
}

// MakePlan decides the columns from the files' headers. The error is Problems
// when a file is at fault.
func MakePlan(sources []Source, opts Options) (*Plan, error) {
	layouts := make([]*Layout, 0, len(sources))
	var problems Problems
	for _, src := range sources {
		l, err := Look(src)
		var found Problems
		if errors.As(err, &found) {
			problems = append(problems, found...)
			continue
		}
		if err != nil {
			return nil, err
		}
		layouts = append(layouts, l)
	}
	return Join(layouts, problems, opts)
}

// Join makes the plan of files whose layouts are known; problems are those of
// the other files.
func Join(layouts []*Layout, problems Problems, opts Options) (*Plan, error) {
	if len(layouts) == 0 && len(problems) == 0 {
		return nil, Problems{{Message: "there is no file to read"}}
	}
	counts := map[string]int{}
	for _, l := range layouts {
		for _, name := range l.Names {
			counts[name]++
		}
		problems = append(problems, l.missing(opts.Want)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	p := &Plan{Names: slices.Clone(opts.Want)}
	if opts.KeepAll {
		var rest []string
		for name, n := range counts {
			if n == len(layouts) && !slices.Contains(opts.Want, name) {
				rest = append(rest, name)
			}
		}
		sort.Strings(rest)
		p.Names = append(p.Names, rest...)
	}
	p.Warnings = unused(layouts, opts.Want)
	var err error
	p.Types, err = unify(layouts, p.Names)
	return p, err
}

// unify finds the types of Parquet columns that the files agree on. A column without a
// value agrees with all, and is a number where all are so.
func unify(layouts []*Layout, names []string) ([]features.Type, error) {
	if layouts[0].Types == nil {
		return nil, nil
	}
	var problems Problems
	types, from := make([]features.Type, len(names)), make([]string, len(names))
	for _, l := range layouts {
		for i, name := range names {
			t := l.Types[slices.Index(l.Names, name)]
			switch before := types[i]; {
			case t == features.Unknown:
			case before == features.Unknown:
				types[i], from[i] = t, l.Key
			case before == t:
			case isNumber(before) && isNumber(t):
				types[i] = features.Number
			default:
				problems = append(problems, Problem{Key: l.Key, Column: name, Message: fmt.Sprintf("the column is %s, and it is %s in %s", t, before, from[i]), Hint: "write all files with one schema"})
			}
		}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	for i, t := range types {
		if t == features.Unknown {
			types[i] = features.Number
		}
	}
	return types, nil
}

func isNumber(t features.Type) bool { return t == features.Number || t == features.Integer }

// unused names the columns nobody asked for.
func unused(layouts []*Layout, want []string) []Problem {
	extra := map[string][]string{}
	for _, l := range layouts {
		for _, name := range l.Names {
			if !slices.Contains(want, name) {
				extra[name] = append(extra[name], l.Key)
			}
		}
	}
	var out []Problem
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		p := Problem{Column: name, Message: "the pipeline does not use this column"}
		if keys := extra[name]; len(keys) < len(layouts) {
			p.Key = keys[0]
			p.Message = fmt.Sprintf("the pipeline does not use this column, and only %d of %d files have it", len(keys), len(layouts))
		}
		out = append(out, p)
	}
	return out
}

// readFile reads a whole file into a segment of the table's columns.
func readFile(ctx context.Context, src Source, columns []string) (*segment, error) {
	s := &segment{key: src.Key, cells: make([]cells, len(columns))}
	want := make([]Want, len(columns))
	for i, name := range columns {
		want[i].Name = name
	}
	look := func(*Batch) (struct{}, error) { return struct{}{}, nil }
	rows, err := Scan(ctx, src, want, look, func(b *Batch, _ struct{}) error { return s.add(b) })
	if err == nil && rows == 0 {
		s.notes = append(s.notes, NoRows(src.Key))
	}
	return s, err
}

// NoRows is the remark about a file without rows.
func NoRows(key string) Problem {
	return Problem{Key: key, Message: "the file has a header and no rows"}
}

// add keeps the rows of a batch and, where lines and rows part, the line.
func (s *segment) add(b *Batch) error {
	for row := range b.Rows {
		line, _, inGroup := b.Place(row)
		line += inGroup
		if n, at := len(s.jumps), s.rows+row; n == 0 || at+s.jumps[n-1].offset != line {
			s.jumps = append(s.jumps, jump{row: at, offset: line - at})
		}
	}
	for i := range s.cells {
		c := &s.cells[i]
		c.text, c.ends = b.Columns[i].AppendAll(c.text, c.ends, b.Rows)
		if len(c.text) > math.MaxUint32 {
			return Problems{b.Problem(0, b.Columns[i].Name, "the column holds more than 4 GiB of text", "split the file")}
		}
	}
	s.rows += b.Rows
	return nil
}

// missing names the wanted columns that a header lacks, with the likely slip.
func missing(key string, header, want []string) Problems {
	var out Problems
	for _, name := range want {
		if slices.Contains(header, name) {
			continue
		}
		p := Problem{Key: key, Line: 1, Column: name, Message: "the column is missing; the file has " + list(header)}
		if near := nearest(name, header); near != "" {
			p.Hint = fmt.Sprintf("is %q meant?", near)
		} else if len(header) == 1 && strings.ContainsAny(header[0], ";\t|") {
			p.Hint = "separate the columns with commas"
		}
		out = append(out, p)
	}
	return out
}

// assemble joins the segments.
func assemble(segments []*segment, plan *Plan) *Table {
	t := &Table{columns: plan.Names, index: map[string]int{}, segments: segments, starts: make([]int, len(segments)+1)}
	for i, name := range plan.Names {
		t.index[name] = i
	}
	for i, s := range segments {
		t.starts[i+1] = t.starts[i] + s.rows
		t.Warnings = append(t.Warnings, s.notes...)
	}
	t.Warnings = append(t.Warnings, plan.Warnings...)
	return t
}

func list(names []string) string {
	const most = 20
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// nearest is the candidate that one or two slips of a typist make of name, or "".
func nearest(name string, candidates []string) string {
	best, bestAt := "", 3
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestAt && d < len(name) {
			best, bestAt = c, d
		}
	}
	return best
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost++
			}
			diagonal = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
