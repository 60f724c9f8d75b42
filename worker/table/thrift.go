package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// checkThrift walks over a structure in Thrift's compact protocol before the
// library makes room for what its lists and texts say that they hold (format:
// apache/thrift, doc/specs/thrift-compact-protocol.md). Every element of a list of
// structures must have least bytes, by the fields that lead to the list, or 1. It
// gives the structure's length; the error is io.ErrUnexpectedEOF when it goes on
// after in.
func checkThrift(in []byte, least map[uint64]int) (size int, err error) {
	w := &thriftWalk{in: in, least: least}
	err = w.structure(0, 0)
	return w.at, err
}

type thriftWalk struct {
	in    []byte
	at    int
	least map[uint64]int
}

var errThrift = errors.New("a description is not in Thrift's compact protocol")

func (w *thriftWalk) take(n uint64) error {
	if n > uint64(len(w.in)-w.at) {
		return io.ErrUnexpectedEOF
	}
	w.at += int(n)
	return nil
}

func (w *thriftWalk) byte() (byte, error) {
	if err := w.take(1); err != nil {
		return 0, err
	}
	return w.in[w.at-1], nil
}

func (w *thriftWalk) number() (uint64, error) {
	v, n := binary.Uvarint(w.in[w.at:])
	switch {
	case n == 0:
		return 0, io.ErrUnexpectedEOF
	case n < 0:
		return 0, errThrift
	}
	w.at += n
	return v, nil
}

// structure walks over fields; path has the fields that lead to it, a byte each.
func (w *thriftWalk) structure(path uint64, depth int) error {
	const deepest = 32
	if depth > deepest {
		return errThrift
	}
	for field := int64(0); ; {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if delta := head >> 4; delta > 0 {
			field += int64(delta)
		} else {
			id, err := w.number()
			if err != nil {
				return err
			}
			field = int64(id>>1) ^ -int64(id&1)
		}
		if kind := head & 15; kind > 2 { // a boolean is its head
			if err := w.value(kind, path<<8|uint64(field)&0xff, depth); err != nil {
				return err
			}
		}
	}
}

// value walks over what is not a field's boolean.
func (w *thriftWalk) value(kind byte, path uint64, depth int) error {
	switch kind {
	case 1, 2, 3:
		return w.take(1)
	case 4, 5, 6:
		_, err := w.number()
		return err
	case 7:
		return w.take(8)
	case 8:
		size, err := w.number()
		if err == nil {
			err = w.take(size)
		}
		return err
	case 9, 10:
		return w.list(path, depth)
	case 11:
		return w.pairs(path, depth)
	case 12:
		return w.structure(path, depth+1)
	case 13:
		return w.take(16)
	}
	return errThrift
}

func (w *thriftWalk) list(path uint64, depth int) error {
	head, err := w.byte()
	if err != nil {
		return err
	}
	count, kind := uint64(head>>4), head&15
	if count == 15 {
		if count, err = w.number(); err != nil {
			return err
		}
	}
	if room := uint64(len(w.in) - w.at); count > room/uint64(max(1, w.least[path])) {
		return fmt.Errorf("a list of %d in %d bytes", count, room)
	}
	for range count {
		if err := w.value(kind, path, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *thriftWalk) pairs(path uint64, depth int) error {
	count, err := w.number()
	if err != nil || count == 0 {
		return err
	}
	kinds, err := w.byte()
	if err != nil {
		return err
	}
	if count > uint64(len(w.in)-w.at)/2 {
		return fmt.Errorf("%d pairs in %d bytes", count, len(w.in)-w.at)
	}
	for range count {
		if err := w.value(kinds>>4, path, depth+1); err != nil {
			return err
		}
		if err := w.value(kinds&15, path, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// leastOfFooter has the least that an element of a footer's lists takes: what it
// must have (parquet.thrift: FileMetaData and what it is made of).
var leastOfFooter = map[uint64]int{
	0x02:       4,  // SchemaElement: its name, and the end
	0x04:       8,  // RowGroup: columns, two sizes
	0x0401:     16, // ColumnChunk: an offset; its description is required by all readers
	0x04010308: 3,  // KeyValue
	0x05:       3,  // KeyValue
	0x07:       3,  // ColumnOrder
}
