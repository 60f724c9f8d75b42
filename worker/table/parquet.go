package table

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/parquet-go/parquet-go"
)

// maxFooter bounds the description of a file's columns and row groups, in bytes.
const maxFooter = 64 << 20

// batchRows is how many rows of a Parquet file make a batch. Tests make it small.
var batchRows = 8 << 10

// parquetFile is the feed of a Parquet file.
type parquetFile struct {
	key     string
	raw     sized
	file    *parquet.File
	columns []*column // chosen
	group   int       // row group being read, from 1; 0 before the first
	rows    int64     // of the row group
	done    int64     // of these

	unpackers []*unpacker
}

func openParquet(src Source) (f *parquetFile, err error) {
	raw, err := src.Open()
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", src.Key, err)
	}
	at, ok := raw.(sized)
	if !ok {
		raw.Close()
		return nil, fmt.Errorf("open %s: Parquet is read at many places, and %T cannot", src.Key, raw)
	}
	f = &parquetFile{key: src.Key, raw: at}
	defer func() {
		if err != nil {
			raw.Close()
			f = nil
		}
	}()
	size, err := sizeOf(at)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", src.Key, err)
	}
	if err := f.check(size); err != nil {
		return nil, err
	}
	err = f.guard("", 0, func() error {
		f.file, err = parquet.OpenFile(at, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(256<<10))
		return err
	})
	if err == nil && f.file.NumRows() < 0 {
		err = f.damaged("", 0, fmt.Errorf("it says that it has %d rows", f.file.NumRows()))
	}
	return f, err
}

// check tells a file of another kind, or one cut short, from its ends.
func (f *parquetFile) check(size int64) error {
	fail := func(message, hint string) error {
		return Problems{{Key: f.key, Message: message, Hint: hint}}
	}
	var head [4]byte
	var tail [8]byte
	if size == 0 {
		return fail("the file is empty", "a Parquet file with at least one row is needed")
	}
	if _, err := f.raw.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", f.key, err)
	}
	if string(head[:]) == "PARE" {
		return fail("the file's footer is encrypted, which is not supported", "write it without encryption: the bucket encrypts")
	}
	if string(head[:]) != string(magicParq) {
		return fail("the file is not Parquet, and the pipeline reads Parquet", "write data.format: csv, or upload Parquet")
	}
	if size < 12 {
		return fail("the file ends early", "the upload was cut short: upload the file again")
	}
	if _, err := f.raw.ReadAt(tail[:], size-8); err != nil {
		return fmt.Errorf("read %s: %w", f.key, err)
	}
	if string(tail[4:]) != string(magicParq) {
		return fail("the file ends early", "the upload was cut short: upload the file again")
	}
	footer := int64(binary.LittleEndian.Uint32(tail[:]))
	if footer > size-12 || footer > maxFooter {
		return fail(fmt.Sprintf("the file is damaged: its footer of %d bytes is longer than the file, or than %d bytes", footer, maxFooter), "write and upload the file again")
	}
	raw := make([]byte, footer)
	if n, err := f.raw.ReadAt(raw, size-8-footer); n < len(raw) {
		return fmt.Errorf("read %s: %w", f.key, err)
	}
	if _, err := checkThrift(raw, leastOfFooter); err != nil {
		return f.damaged("", 0, fmt.Errorf("its footer: %w", err))
	}
	return nil
}

// guard keeps a fault of the library over a damaged file from becoming ours. done
// is how many rows of the row group come before.
func (f *parquetFile) guard(column string, done int64, do func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = f.damaged(column, done, fmt.Errorf("%v", fault))
		}
	}()
	err = do()
	var known Problems
	if err == nil || errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	return f.damaged(column, done, err)
}

func (f *parquetFile) damaged(column string, done int64, err error) error {
	return Problems{f.problem(column, f.group, done, err)}
}

// unsupported is what a file may have, and this reader cannot read.
type unsupported struct{ what, instead string }

func (u unsupported) Error() string { return u.what + ", which is not supported" }

// problem is a fault of the file, at a place of a row group, or of no group when it is 0.
func (f *parquetFile) problem(column string, group int, done int64, err error) Problem {
	text := strings.ToValidUTF8(err.Error(), "�")
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200]) + "…"
	}
	p := Problem{Key: f.key, Group: group, Column: column, Message: "the file is damaged: " + text, Hint: "write and upload the file again"}
	var other unsupported
	if errors.As(err, &other) {
		p.Message, p.Hint = text, other.instead
	}
	if group > 0 {
		p.Row = int(done) + 1
	}
	return p
}

func (f *parquetFile) layout() (l *Layout, err error) {
	err = f.guard("", 0, func() error {
		l, err = f.describe()
		return err
	})
	return l, err
}

func (f *parquetFile) describe() (*Layout, error) {
	l := &Layout{Key: f.key, Refused: map[string]string{}}
	fields := f.file.Root().Columns()
	if len(fields) > MaxColumns {
		return nil, Problems{{Key: f.key, Message: fmt.Sprintf("the file has %d columns; at most %d are supported", len(fields), MaxColumns)}}
	}
	var problems Problems
	seen := map[string]bool{}
	for _, field := range fields {
		name := field.Name()
		if seen[name] {
			problems = append(problems, Problem{Key: f.key, Column: name, Message: "the file has two columns of this name"})
		}
		seen[name] = true
		kind, refused := kindOfColumn(field)
		if refused != "" {
			l.Refused[name] = refused
			continue
		}
		l.Names, l.Types = append(l.Names, name), append(l.Types, kind.natural)
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return l, nil
}

func (f *parquetFile) choose(want []Want) error {
	l, err := f.layout()
	if err != nil {
		return err
	}
	names := make([]string, len(want))
	for i, w := range want {
		names[i] = w.Name
	}
	if problems := l.missing(names); len(problems) > 0 {
		return problems
	}
	for i, name := range names {
		field := f.file.Root().Column(name)
		kind, _ := kindOfColumn(field)
		f.columns = append(f.columns, &column{Want: want[i], index: field.Index(), kind: kind, size: kind.bytes(field.Type()), level: field.MaxDefinitionLevel() > 0})
	}
	return nil
}

// next reads the values of the next rows.
func (f *parquetFile) next(b *Batch) error {
	for f.done == f.rows {
		if f.group == len(f.file.RowGroups()) {
			return io.EOF
		}
		if err := f.enter(f.group + 1); err != nil {
			return err
		}
	}
	rows := int(min(int64(batchRows), f.rows-f.done))
	b.Rows, b.group, b.first, b.lines = rows, f.group, int(f.done), nil
	read := func(i int, u *unpacker) error {
		c := f.columns[i]
		return f.guard(c.Name, f.done, func() error { return c.read(&b.Columns[i], rows, u) })
	}
	var heavy []int // columns that turn to another page
	for i, c := range f.columns {
		if c.rows-c.at < rows {
			heavy = append(heavy, i)
		} else if err := read(i, nil); err != nil {
			return err
		}
	}
	// What is packed most takes longest: it comes first, and no CPU waits for it.
	slices.SortStableFunc(heavy, func(a, b int) int { return cmp.Compare(f.columns[b].saved, f.columns[a].saved) })
	if err := f.spread(heavy, read); err != nil {
		return err
	}
	f.done += int64(rows)
	return nil
}

// spread does what there is to do for columns, on all CPUs. The error is that of the
// first of them, whoever meets his sooner.
func (f *parquetFile) spread(columns []int, do func(i int, u *unpacker) error) error {
	var wait sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, len(columns))
	for w := range min(len(columns), max(1, runtime.GOMAXPROCS(0))) {
		if w == len(f.unpackers) {
			f.unpackers = append(f.unpackers, &unpacker{})
		}
		u := f.unpackers[w]
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(columns); i = int(next.Add(1)) - 1 {
				errs[i] = do(columns[i], u)
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// enter begins a row group.
func (f *parquetFile) enter(group int) error {
	f.leave()
	of := &f.file.Metadata().RowGroups[group-1]
	f.group, f.rows, f.done = group, of.NumRows, 0
	if f.rows < 0 {
		return f.damaged("", 0, fmt.Errorf("the row group says that it has %d rows", f.rows))
	}
	if f.rows == 0 { // there may be no pages
		return nil
	}
	for _, c := range f.columns {
		err := f.guard(c.Name, 0, func() error {
			if of.Columns[c.index].CryptoMetadata.Value != nil {
				return unsupported{"the column is encrypted", "write it without encryption: the bucket encrypts"}
			}
			m := &of.Columns[c.index].MetaData
			c.saved = m.TotalUncompressedSize - m.TotalCompressedSize
			pages, err := newChunk(f.raw, f.file.Size(), m, f.rows, c.level)
			if err == nil {
				c.open(pages)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *parquetFile) leave() {
	for _, c := range f.columns {
		c.close()
	}
}

// fill makes numbers and texts of the values that next read.
func (f *parquetFile) fill(b *Batch) (problems Problems, more int, ended bool) {
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.codes != nil && c.memory.numbers == nil && !c.of.inRange(c.codes, c.memory.null[:b.Rows]) {
			problems = append(problems, f.problem(c.Name, b.group, int64(b.first), errCodes))
			continue
		}
		if row := c.notText(b.Rows); row >= 0 {
			problems = append(problems, b.Problem(row, c.Name, "the text is not UTF-8", "write the column as UTF-8 text"))
			continue
		}
		c.parse(b.Rows)
	}
	return problems, 0, len(problems) > 0
}

func (f *parquetFile) close() {
	f.leave()
	f.raw.Close()
}

// missing names the wanted columns that a file lacks, or that cannot be read.
func (l *Layout) missing(want []string) Problems {
	var out Problems
	for _, name := range want {
		if why, is := l.Refused[name]; is {
			out = append(out, Problem{Key: l.Key, Column: name, Message: "the column is " + why + ", which is not supported", Hint: "write it as a number, text, boolean, date or timestamp"})
		}
	}
	known := slices.DeleteFunc(slices.Clone(want), func(name string) bool { return l.Refused[name] != "" })
	found := missing(l.Key, l.Names, known)
	if l.Types != nil {
		for i := range found {
			found[i].Line = 0
		}
	}
	return append(out, found...)
}
