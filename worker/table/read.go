package table

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Limits that keep a hostile file from taking the machine.
const (
	MaxLine     = 1 << 20 // bytes of one row, quotes and all
	MaxColumns  = 4096
	MaxFile     = 16 << 30 // uncompressed bytes
	MaxProblems = 20       // reported of one file
)

// Source is one file.
type Source struct {
	Key  string // how messages call it
	Open func() (io.ReadCloser, error)
}

// Options of Read.
type Options struct {
	Want    []string // columns that every file must have, in any order
	KeepAll bool     // also keep the columns that all files share and nobody asked for
}

// Read reads all files. The error is Problems when a file is at fault.
func Read(ctx context.Context, sources []Source, opts Options) (*Table, error) {
	sources = slices.Clone(sources)
	sort.SliceStable(sources, func(i, j int) bool { return sources[i].Key < sources[j].Key })
	columns, err := plan(sources, opts)
	if err != nil {
		return nil, err
	}
	segments := make([]*segment, len(sources))
	problems := make([]Problems, len(sources))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	for i, src := range sources {
		g.Go(func() error {
			s, found, err := readFile(ctx, src, columns)
			segments[i], problems[i] = s, found
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if all := slices.Concat(problems...); len(all) > 0 {
		return nil, all
	}
	return assemble(segments, columns, opts), nil
}

// plan decides the table's columns from the files' headers.
func plan(sources []Source, opts Options) ([]string, error) {
	var problems Problems
	if len(sources) == 0 {
		return nil, Problems{{Message: "there is no file to read"}}
	}
	counts := map[string]int{}
	for _, src := range sources {
		header, found, err := readHeader(src)
		if err != nil {
			return nil, err
		}
		if len(found) > 0 {
			problems = append(problems, found...)
			continue
		}
		for _, name := range header {
			counts[name]++
		}
		problems = append(problems, missing(src.Key, header, opts.Want)...)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	columns := slices.Clone(opts.Want)
	if opts.KeepAll {
		var rest []string
		for name, n := range counts {
			if n == len(sources) && !slices.Contains(opts.Want, name) {
				rest = append(rest, name)
			}
		}
		sort.Strings(rest)
		columns = append(columns, rest...)
	}
	return columns, nil
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

// assemble joins the segments and notes what nobody asked for.
func assemble(segments []*segment, columns []string, opts Options) *Table {
	t := &Table{columns: columns, index: map[string]int{}, segments: segments, starts: make([]int, len(segments)+1)}
	for i, name := range columns {
		t.index[name] = i
	}
	extra := map[string][]string{}
	for i, s := range segments {
		t.starts[i+1] = t.starts[i] + s.rows
		t.Warnings = append(t.Warnings, s.notes...)
		for _, name := range s.header {
			if !slices.Contains(opts.Want, name) {
				extra[name] = append(extra[name], s.key)
			}
		}
	}
	names := make([]string, 0, len(extra))
	for name := range extra {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		p := Problem{Column: name, Message: "the pipeline does not use this column"}
		if keys := extra[name]; len(keys) < len(segments) {
			p.Key = keys[0]
			p.Message = fmt.Sprintf("the pipeline does not use this column, and only %d of %d files have it", len(keys), len(segments))
		}
		t.Warnings = append(t.Warnings, p)
	}
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
