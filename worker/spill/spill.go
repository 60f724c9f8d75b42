// Package spill sorts records by their keys in bounded memory: what does not fit
// goes to disk in sorted runs, which are merged while they are read. The order
// is that of the keys' bytes and depends on nothing else, as long as no two
// records have the same key.
package spill

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// MaxRecord bounds a record's key and value, in bytes each.
const MaxRecord = 1 << 30

// Sorter takes records. Not safe for concurrent use.
type Sorter struct {
	dir     string
	budget  int // bytes of records kept in memory
	arena   []byte
	entries []entry
	runs    []string // files
	records int64
}

// entry is a record in the arena.
type entry struct {
	prefix     uint64 // the key's first bytes
	at         int
	key, value uint32 // lengths
}

// New makes a sorter that keeps up to budget bytes in memory; beyond that it
// makes files in dir, which is created when it is needed.
func New(dir string, budget int) *Sorter { return &Sorter{dir: dir, budget: budget} }

// Add takes a record; key and value are copied.
func (s *Sorter) Add(key, value []byte) error {
	if len(key) > MaxRecord || len(value) > MaxRecord {
		return fmt.Errorf("sort record: %d and %d bytes are more than %d", len(key), len(value), MaxRecord)
	}
	if len(s.arena) > 0 && len(s.arena)+len(key)+len(value) > s.budget {
		if err := s.spill(); err != nil {
			return err
		}
	}
	at := len(s.arena)
	s.arena = append(append(s.arena, key...), value...)
	s.entries = append(s.entries, entry{prefix: prefix(key), at: at, key: uint32(len(key)), value: uint32(len(value))})
	s.records++
	return nil
}

// prefix orders as the key's first eight bytes do.
func prefix(key []byte) uint64 {
	if len(key) >= 8 {
		return binary.BigEndian.Uint64(key)
	}
	var b [8]byte
	copy(b[:], key)
	return binary.BigEndian.Uint64(b[:])
}

func (s *Sorter) record(e entry) (key, value []byte) {
	key = s.arena[e.at : e.at+int(e.key)]
	return key, s.arena[e.at+int(e.key):][:e.value]
}

func (s *Sorter) sort() {
	slices.SortFunc(s.entries, func(a, b entry) int {
		if a.prefix != b.prefix {
			if a.prefix < b.prefix {
				return -1
			}
			return 1
		}
		return bytes.Compare(s.arena[a.at:a.at+int(a.key)], s.arena[b.at:b.at+int(b.key)])
	})
}

// spill writes what is in memory as a run.
func (s *Sorter) spill() error {
	s.sort()
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("make folder for sorting: %w", err)
	}
	f, err := os.CreateTemp(s.dir, "run-*")
	if err != nil {
		return fmt.Errorf("create run: %w", err)
	}
	s.runs = append(s.runs, f.Name())
	w := NewWriter(f)
	for _, e := range s.entries {
		if err := w.Write(s.record(e)); err != nil {
			f.Close()
			return fmt.Errorf("write run: %w", err)
		}
	}
	if err := errors.Join(w.Close(), f.Close()); err != nil {
		return fmt.Errorf("write run: %w", err)
	}
	s.arena, s.entries = s.arena[:0], s.entries[:0]
	return nil
}

// Records is how many there are.
func (s *Sorter) Records() int64 { return s.records }

// Open begins to read the records in order; it may be called again, and nothing
// may be added after the first call.
func (s *Sorter) Open() (Stream, error) {
	if len(s.runs) == 0 {
		s.sort()
		return &inMemory{sorter: s}, nil
	}
	if len(s.entries) > 0 {
		if err := s.spill(); err != nil {
			return nil, err
		}
	}
	s.arena, s.entries = nil, nil
	var streams []Stream
	for _, name := range s.runs {
		f, err := os.Open(name)
		if err != nil {
			for _, open := range streams {
				open.Close()
			}
			return nil, fmt.Errorf("open run %s: %w", filepath.Base(name), err)
		}
		streams = append(streams, NewReader(f))
	}
	return Merge(streams...), nil
}

// Close removes what is on disk.
func (s *Sorter) Close() error {
	s.arena, s.entries = nil, nil
	var errs []error
	for _, name := range s.runs {
		errs = append(errs, os.Remove(name))
	}
	s.runs = nil
	return errors.Join(errs...)
}

// Stream is records in the order of their keys.
type Stream interface {
	// Next gives the next record, valid until the call after; io.EOF at the end.
	Next() (key, value []byte, err error)
	Close() error
}

type inMemory struct {
	sorter *Sorter
	next   int
}

func (m *inMemory) Next() (key, value []byte, err error) {
	if m.next == len(m.sorter.entries) {
		return nil, nil, io.EOF
	}
	key, value = m.sorter.record(m.sorter.entries[m.next])
	m.next++
	return key, value, nil
}

func (m *inMemory) Close() error { return nil }

// Writer writes records to a file or a connection, for NewReader to read.
type Writer struct{ w *bufio.Writer }

// NewWriter makes a Writer.
func NewWriter(w io.Writer) *Writer { return &Writer{bufio.NewWriterSize(w, 256<<10)} }

// Write writes a record: the lengths of its key (and one) and value, then both.
func (w *Writer) Write(key, value []byte) error {
	var head [2 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], uint64(len(key))+1)
	n += binary.PutUvarint(head[n:], uint64(len(value)))
	for _, b := range [][]byte{head[:n], key, value} {
		if _, err := w.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// Close writes the end, so that a reader can tell it from a stream cut short.
func (w *Writer) Close() error {
	if err := w.w.WriteByte(0); err != nil {
		return err
	}
	return w.w.Flush()
}

// reader reads what a Writer wrote.
type reader struct {
	in   *bufio.Reader
	from io.Closer
	buf  []byte
	done bool
}

// NewReader reads records until the end that a Writer wrote.
func NewReader(from io.ReadCloser) Stream {
	return &reader{in: bufio.NewReaderSize(from, 64<<10), from: from}
}

func (r *reader) Next() (key, value []byte, err error) {
	if r.done {
		return nil, nil, io.EOF
	}
	n, err := binary.ReadUvarint(r.in)
	if err == nil && n == 0 {
		r.done = true
		return nil, nil, io.EOF
	}
	var m uint64
	if err == nil {
		m, err = binary.ReadUvarint(r.in)
	}
	if err == nil && (n-1 > MaxRecord || m > MaxRecord) {
		err = fmt.Errorf("a record of %d and %d bytes", n-1, m)
	}
	if err != nil {
		return nil, nil, cut(err)
	}
	n--
	r.buf = slices.Grow(r.buf[:0], int(n+m))[:n+m]
	if _, err := io.ReadFull(r.in, r.buf); err != nil {
		return nil, nil, cut(err)
	}
	return r.buf[:n], r.buf[n:], nil
}

// cut makes an end of the input before the end of the records an error.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read sorted records: %w", err)
}

func (r *reader) Close() error { return r.from.Close() }
