package table

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/inorder"
)

// feed reads a file in order, and makes batches of what it read: one goroutine
// calls next, many call fill, each with a batch of its own.
type feed interface {
	// next reads what the next batch is made of; io.EOF at the end. Problems
	// end the file.
	next(b *Batch) error
	// fill makes the batch of what next read into it. more counts rows of the
	// wrong length beyond those that problems has; ended says that what follows
	// cannot be read.
	fill(b *Batch) (problems Problems, more int, ended bool)
	close()
}

// Layout is what a file says about its columns before its rows are read.
type Layout struct {
	Key   string
	Names []string
	Types []features.Type // of Parquet columns; nil: CSV
	// Refused are columns that are there and cannot be read, and why.
	Refused map[string]string
}

// Look reads a file's layout. The error is Problems when the file is at fault.
func Look(src Source) (*Layout, error) {
	if src.Format == Parquet {
		f, err := openParquet(src)
		if err != nil {
			return nil, err
		}
		defer f.close()
		return f.layout()
	}
	c, err := openCSV(src)
	if err != nil {
		return nil, err
	}
	defer c.close()
	return &Layout{Key: src.Key, Names: c.header}, nil
}

// csv is the feed of a CSV file.
type csv struct {
	key    string
	text   *text
	blocks *blocks
	header []string
	first  *block // with the rows that follow the header
	at     []int
}

func openCSV(src Source) (*csv, error) {
	text, err := openText(src)
	if err != nil {
		return nil, err
	}
	c := &csv{key: src.Key, text: text, blocks: &blocks{key: src.Key, text: text, line: 1}}
	if err := c.begin(); err != nil {
		text.close()
		return nil, err
	}
	return c, nil
}

func (c *csv) begin() error {
	k, err := c.blocks.next(nil)
	if errors.Is(err, io.EOF) {
		return Problems{{Key: c.key, Message: "the file is empty", Hint: "a header and at least one row are needed"}}
	}
	if err != nil {
		return err
	}
	r := newReader(k.data, k.line)
	header, problems, err := r.header(c.key)
	var f *fault
	switch {
	case err != nil:
		return err
	case len(problems) > 0 && len(k.data) == int(r.read) && errors.As(k.fault, &f): // the header was cut short
		return Problems{{Key: c.key, Line: r.line, Message: f.message, Hint: f.hint}}
	case len(problems) > 0:
		return problems
	}
	k.data, k.line, k.lines = k.data[r.read:], r.next, k.lines-(r.next-k.line)
	c.header, c.first = header, &k
	return nil
}

// choose says which columns the batches have.
func (c *csv) choose(want []Want) error {
	names := make([]string, len(want))
	for i, w := range want {
		names[i] = w.Name
	}
	if problems := (&Layout{Key: c.key, Names: c.header}).missing(names); len(problems) > 0 {
		return problems
	}
	for _, name := range names {
		c.at = append(c.at, slices.Index(c.header, name))
	}
	return nil
}

func (c *csv) next(b *Batch) error {
	if c.first != nil {
		b.block, c.first = *c.first, nil
		return nil
	}
	k, err := c.blocks.next(b.buf)
	if err != nil {
		return err
	}
	b.block, b.buf = k, k.data
	return nil
}

func (c *csv) fill(b *Batch) (problems Problems, more int, ended bool) {
	problems, more, ended = b.rowsOf(b.block, len(c.header), c.at)
	for i := range b.Columns {
		b.Columns[i].parse(b.Rows)
	}
	return problems, more, ended
}

func (c *csv) close() { c.text.close() }

// open opens a file to read the wanted columns.
func open(src Source, want []Want) (feed, error) {
	if src.Format == Parquet {
		f, err := openParquet(src)
		if err != nil {
			return nil, err
		}
		if err := f.choose(want); err != nil {
			f.close()
			return nil, err
		}
		return f, nil
	}
	c, err := openCSV(src)
	if err != nil {
		return nil, err
	}
	if err := c.choose(want); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// task is a batch on its way from the file to fold.
type task[T any] struct {
	batch    *Batch
	problems Problems
	more     int
	ended    bool
	value    T
}

// Scan reads a file's rows once, in memory that does not depend on their number.
// look is called on batches by several goroutines at once; fold gets what it
// gave, in the order of the rows. Batches are the same on every machine. rows is
// how many rows there were; the error is Problems when the file is at fault, and
// then neither function saw all rows.
func Scan[T any](ctx context.Context, src Source, want []Want, look func(*Batch) (T, error), fold func(*Batch, T) error) (rows int, err error) {
	in, err := open(src, want)
	if err != nil {
		return 0, err
	}
	defer in.close()
	var all []*Batch
	create := func() *task[T] {
		b := newBatch(src.Key, want)
		all = append(all, b)
		return &task[T]{batch: b}
	}
	defer func() { // nobody looks at them any more
		for _, b := range all {
			b.put()
		}
	}()
	var f folding
	err = inorder.Do(ctx, create, func(t *task[T]) error { return in.next(t.batch) }, func(t *task[T]) (err error) {
		if t.problems, t.more, t.ended = in.fill(t.batch); len(t.problems) == 0 {
			t.value, err = look(t.batch)
		}
		return err
	}, func(t *task[T]) error {
		rows += t.batch.Rows
		if f.take(t.problems, t.more) {
			if err := fold(t.batch, t.value); err != nil {
				return err
			}
		}
		if t.ended {
			return inorder.ErrStop
		}
		return nil
	})
	return rows, f.close(src.Key, err)
}

// folding collects the problems of a file.
type folding struct {
	found Problems
	more  int
}

// take adds a batch's problems; good says that there are none so far.
func (f *folding) take(problems Problems, more int) (good bool) {
	for _, p := range problems {
		if len(f.found) < MaxProblems {
			f.found = append(f.found, p)
		} else {
			f.more++
		}
	}
	f.more += more
	return len(f.found) == 0
}

// close joins what was found with how reading ended.
func (f *folding) close(key string, broken error) error {
	var last Problems
	switch {
	case errors.As(broken, &last):
		return append(f.found, last...)
	case broken != nil:
		return fmt.Errorf("read %s: %w", key, broken)
	case len(f.found) == 0:
		return nil
	case f.more > 0:
		return append(f.found, Problem{Key: key, Message: fmt.Sprintf("%d more rows are of the wrong length", f.more)})
	}
	return f.found
}
