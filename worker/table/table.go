// Package table reads uploaded CSV files by columns. Every fault of a file is
// reported with the file's key, the line and the column, as many as a person
// can use at once. Cells are kept as text, since a type may be declared, or
// found by looking at the whole column.
package table

import (
	"fmt"
	"sort"
	"strings"
	"unsafe"
)

// Table is the rows of all files, in the order of the files' keys.
type Table struct {
	columns  []string
	index    map[string]int
	segments []*segment
	starts   []int // first row of each segment, and the number of rows
	// Warnings are faults that lose nothing, such as a column nobody asked for.
	Warnings []Problem
}

// Rows is the number of rows.
func (t *Table) Rows() int { return t.starts[len(t.segments)] }

// Columns are the names of the columns: those wanted, in that order, then those
// that every file has besides, sorted.
func (t *Table) Columns() []string { return t.columns }

// Has tells whether there is a column of that name.
func (t *Table) Has(name string) bool { _, ok := t.index[name]; return ok }

// Column is one column's cells.
type Column struct {
	Name  string
	table *Table
	at    int
}

// Column is the column of that name; it panics when Has is false.
func (t *Table) Column(name string) Column {
	at, ok := t.index[name]
	if !ok {
		panic(fmt.Sprintf("table has no column %q", name))
	}
	return Column{Name: name, table: t, at: at}
}

// Cell is the text of a row's cell; it shares the table's memory.
func (c Column) Cell(row int) string {
	s := c.table.segmentOf(row)
	return c.table.segments[s].cells[c.at].cell(row - c.table.starts[s])
}

// Each calls f with the cells of rows from to to-1, in order.
func (c Column) Each(from, to int, f func(row int, cell string)) {
	if from >= to {
		return
	}
	for s := c.table.segmentOf(from); s < len(c.table.segments) && c.table.starts[s] < to; s++ {
		first, cells := c.table.starts[s], &c.table.segments[s].cells[c.at]
		for row := max(from, first); row < min(to, c.table.starts[s+1]); row++ {
			f(row, cells.cell(row-first))
		}
	}
}

func (t *Table) segmentOf(row int) int {
	return sort.SearchInts(t.starts[1:], row+1)
}

// Where says where a row was read: its file's key and line, from 1.
func (t *Table) Where(row int) (key string, line int) {
	s := t.segmentOf(row)
	return t.segments[s].key, t.segments[s].line(row - t.starts[s])
}

// segment is the rows of one file.
type segment struct {
	key   string
	rows  int
	cells []cells // by column of the table
	jumps []jump  // where the distance between row and line changes
	notes []Problem
}

// jump says that from this row on, line = row + offset.
type jump struct{ row, offset int }

func (s *segment) line(row int) int {
	i := sort.Search(len(s.jumps), func(i int) bool { return s.jumps[i].row > row })
	return row + s.jumps[i-1].offset
}

// cells is the text of a column's cells, one after the other.
type cells struct {
	text []byte
	ends []uint32
}

func (c *cells) cell(i int) string {
	from := uint32(0)
	if i > 0 {
		from = c.ends[i-1]
	}
	if from == c.ends[i] {
		return ""
	}
	b := c.text[from:c.ends[i]]
	return unsafe.String(&b[0], len(b)) // the text is never written again
}

// Problem is one fault, placed as well as it can be.
type Problem struct {
	Key     string `json:"key,omitempty"`       // of the uploaded object
	Line    int    `json:"line,omitempty"`      // in the uncompressed file, from 1
	Group   int    `json:"row_group,omitempty"` // of a Parquet file, from 1
	Row     int    `json:"row,omitempty"`       // of the row group, from 1
	Column  string `json:"column,omitempty"`    // by name
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Error is the problem in one line.
func (p Problem) Error() string {
	var where []string
	if p.Key != "" {
		where = append(where, p.Key)
	}
	if p.Line > 0 {
		where = append(where, fmt.Sprintf("line %d", p.Line))
	}
	if p.Group > 0 {
		where = append(where, fmt.Sprintf("row group %d", p.Group))
	}
	if p.Row > 0 {
		where = append(where, fmt.Sprintf("row %d", p.Row))
	}
	if p.Column != "" {
		where = append(where, fmt.Sprintf("column %q", p.Column))
	}
	text := p.Message
	if len(where) > 0 {
		text = strings.Join(where, ", ") + ": " + text
	}
	if p.Hint != "" {
		text += " (hint: " + p.Hint + ")"
	}
	return text
}

// Problems are all faults found at once.
type Problems []Problem

// Error is the first problem and how many more there are: it has to fit into a
// job's message.
func (ps Problems) Error() string {
	switch len(ps) {
	case 0:
		return "no problem"
	case 1:
		return ps[0].Error()
	}
	return fmt.Sprintf("%s (and %d more)", ps[0].Error(), len(ps)-1)
}
