package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt's file format: pages of one size, the first two of them headers, of
// which the one with the higher transaction number holds. From it goes a B+tree
// of tables, whose leaves have values or further tables. Numbers are in the
// machine's own order.
const (
	pageHeader = 16 // id 8, kind 2, count of elements 2, count of pages that continue this one 4
	element    = 16 // of a branch: offset 4, key size 4, page 8; of a leaf: flags 4, offset 4, key size 4, value size 4
	tableSize  = 16 // root page 8, sequence 8; root page 0: the one page of the table follows
	metaSize   = 64 // magic 4, version 4, page size 4, flags 4, root table 16, free list 8, pages 8, transaction 8, checksum 8

	kindBranch = 0x01
	kindLeaf   = 0x02
	leafTable  = 0x01 // flag of a leaf's element: its value is a table

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	maxPage     = 1 << 16
	maxRun      = 1 << 30 // of pages that belong together, in bytes
)

var native = binary.NativeEndian

// checker walks through a file that may be damaged anywhere.
type checker struct {
	file     io.ReaderAt
	pageSize int64
	pages    uint64 // in use
	seen     map[uint64]bool
}

// check reads a whole file, and fails with *Damaged unless every page that is in
// use is one, keys are in order, and every value is as it was sealed.
func check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("check state: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("check state: %w", err)
	}
	c := &checker{file: f, seen: map[uint64]bool{}}
	root, err := c.header(info.Size())
	if err == nil {
		err = c.page(root, nil, nil)
	}
	var read *os.PathError
	if err == nil || errors.As(err, &read) {
		return err
	}
	return &Damaged{Path: path, Why: err.Error()}
}

// header reads the two headers, and gives the page that the tables begin at.
func (c *checker) header(size int64) (root uint64, err error) {
	first, err := c.meta(0)
	if err != nil {
		return 0, err
	}
	c.pageSize = int64(native.Uint32(first[8:]))
	if c.pageSize < 512 || c.pageSize > maxPage || c.pageSize&(c.pageSize-1) != 0 {
		return 0, fmt.Errorf("its pages would have %d bytes", c.pageSize)
	}
	second, err := c.meta(c.pageSize)
	if err != nil {
		return 0, err
	}
	newest := first
	if native.Uint64(second[48:]) > native.Uint64(first[48:]) {
		newest = second
	}
	c.pages = native.Uint64(newest[40:])
	if c.pages < 4 || c.pages > uint64(size/c.pageSize) {
		return 0, fmt.Errorf("it is cut off: %d bytes of at least %d pages of %d", size, c.pages, c.pageSize)
	}
	return native.Uint64(newest[16:]), nil
}

func (c *checker) meta(offset int64) ([]byte, error) {
	page := make([]byte, pageHeader+metaSize)
	if _, err := c.file.ReadAt(page, offset); errors.Is(err, io.EOF) {
		return nil, errors.New("it is cut off before the end of its headers")
	} else if err != nil {
		return nil, err
	}
	m := page[pageHeader:]
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSize-8])
	switch {
	case native.Uint32(m) != metaMagic:
		return nil, fmt.Errorf("there is no header at byte %d", offset)
	case native.Uint32(m[4:]) != metaVersion:
		return nil, fmt.Errorf("the header at byte %d is of version %d, not %d", offset, native.Uint32(m[4:]), metaVersion)
	case native.Uint64(m[metaSize-8:]) != sum.Sum64():
		return nil, fmt.Errorf("the checksum of the header at byte %d differs", offset)
	}
	return m, nil
}

// page checks a page and what it leads to: keys from low on, and before high if there is one.
func (c *checker) page(id uint64, low, high []byte) error {
	if id < 2 || id >= c.pages {
		return fmt.Errorf("page %d is not among its %d", id, c.pages)
	}
	raw := make([]byte, c.pageSize)
	if _, err := c.file.ReadAt(raw, int64(id)*c.pageSize); err != nil {
		return err
	}
	last := id + uint64(native.Uint32(raw[12:]))
	if native.Uint64(raw) != id || last >= c.pages || int64(last-id)*c.pageSize > maxRun {
		return fmt.Errorf("page %d has a wrong head", id)
	}
	for p := id; p <= last; p++ {
		if c.seen[p] {
			return fmt.Errorf("page %d is used twice", p)
		}
		c.seen[p] = true
	}
	if last > id {
		raw = make([]byte, int64(last-id+1)*c.pageSize)
		if _, err := c.file.ReadAt(raw, int64(id)*c.pageSize); err != nil {
			return err
		}
	}
	if err := c.elements(raw, low, high); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements checks the elements of a page, or of a table within a value.
func (c *checker) elements(raw, low, high []byte) error {
	kind, count := native.Uint16(raw[8:]), int(native.Uint16(raw[10:]))
	if pageHeader+count*element > len(raw) {
		return fmt.Errorf("%d elements are more than fit", count)
	}
	if kind == kindLeaf {
		return c.leaf(raw, count, low, high)
	}
	if kind != kindBranch || count == 0 {
		return fmt.Errorf("it is of kind %d with %d elements", kind, count)
	}
	keys, children := make([][]byte, count), make([]uint64, count)
	for i := range count {
		at := pageHeader + i*element
		e := raw[at:]
		key, err := slice(raw, at, native.Uint32(e), native.Uint32(e[4:]))
		if err != nil {
			return err
		}
		keys[i], children[i] = key, native.Uint64(e[8:])
	}
	if err := ordered(keys, low, high); err != nil {
		return err
	}
	for i, child := range children {
		next := high
		if i+1 < count {
			next = keys[i+1]
		}
		if err := c.page(child, keys[i], next); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) leaf(raw []byte, count int, low, high []byte) error {
	keys := make([][]byte, count)
	for i := range count {
		at := pageHeader + i*element
		e := raw[at:]
		flags, pos, keySize, size := native.Uint32(e), native.Uint32(e[4:]), native.Uint32(e[8:]), native.Uint32(e[12:])
		key, err := slice(raw, at, pos, keySize)
		if err != nil {
			return err
		}
		value, err := slice(raw, at+int(pos), keySize, size)
		if err != nil {
			return err
		}
		switch flags {
		case 0:
			_, err = Unseal(key, value)
		case leafTable:
			err = c.table(key, value)
		default:
			err = fmt.Errorf("element %d has flags %#x", i, flags)
		}
		if err != nil {
			return err
		}
		keys[i] = key
	}
	return ordered(keys, low, high)
}

func (c *checker) table(name, value []byte) (err error) {
	switch {
	case len(value) < tableSize:
		return fmt.Errorf("table %q has %d bytes", name, len(value))
	case native.Uint64(value) != 0:
		err = c.page(native.Uint64(value), nil, nil)
	case len(value) < tableSize+pageHeader:
		return fmt.Errorf("table %q has %d bytes", name, len(value))
	default:
		err = c.elements(value[tableSize:], nil, nil)
	}
	if err != nil {
		return fmt.Errorf("table %q: %w", name, err)
	}
	return nil
}

// slice is size bytes of a page from pos after at.
func slice(raw []byte, at int, pos, size uint32) ([]byte, error) {
	from := int64(at) + int64(pos)
	if from+int64(size) > int64(len(raw)) {
		return nil, fmt.Errorf("an element goes beyond its page")
	}
	return raw[from : from+int64(size)], nil
}

func ordered(keys [][]byte, low, high []byte) error {
	for i, k := range keys {
		if (i == 0 && low != nil && bytes.Compare(k, low) < 0) || (i > 0 && bytes.Compare(k, keys[i-1]) <= 0) || (high != nil && bytes.Compare(k, high) >= 0) {
			return fmt.Errorf("key %d is out of order", i)
		}
	}
	return nil
}
