package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"sync"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// maxPage bounds a page's uncompressed bytes. Writers make pages of about 1 MiB.
// Tests make it small.
var maxPage int64 = 256 << 20

// maxHeader bounds a page's header, which may have the least and the greatest value.
const maxHeader = 16 << 20

// spare is how much memory there must be after data, which is read in words.
const spare = 64

// memory is that of a page's values. It is used again when neither the column that
// read the page nor a batch holds it.
type memory struct {
	bytes []byte
	held  int
}

// memories are those that nobody holds, by their size in powers of two.
var memories [64]sync.Pool

// newMemory has room for size bytes, and what is read after them.
func newMemory(size int) *memory {
	class := bits.Len(uint(max(size+spare, 4<<10) - 1))
	if m, _ := memories[class].Get().(*memory); m != nil {
		return m
	}
	return &memory{bytes: make([]byte, 1<<class)}
}

func (m *memory) put() { memories[bits.Len(uint(len(m.bytes)-1))].Put(m) }

// chunk gives the pages of a column chunk, one after the other.
type chunk struct {
	in      io.ReaderAt
	at, end int64
	codec   format.CompressionCodec
	level   bool // there are definition levels
	rows    int64
	values  int64  // of the pages so far
	head    []byte // memory of headers
}

// page is a page as the file has it, unpacked.
type page struct {
	dictionary bool
	values     int // nulls included
	encoding   format.Encoding
	levels     []byte // runs of definition levels
	data       []byte // the values'
}

// newChunk begins with the first page. The description of a damaged file may say
// anything.
func newChunk(in io.ReaderAt, size int64, m *format.ColumnMetaData, rows int64, level bool) (*chunk, error) {
	begin := m.DataPageOffset
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < begin {
		begin = m.DictionaryPageOffset
	}
	end := begin + m.TotalCompressedSize
	switch {
	case begin < 4 || end < begin || end > size:
		return nil, fmt.Errorf("the column's pages are outside the file")
	case m.NumValues != rows:
		return nil, fmt.Errorf("the column has %d values, the row group %d rows", m.NumValues, rows)
	}
	return &chunk{in: in, at: begin, end: end, codec: m.Codec, level: level, rows: rows}, nil
}

// header reads the header of the next page.
func (c *chunk) header(h *format.PageHeader) error {
	for most := int64(512); ; most *= 16 {
		if int64(len(c.head)) < most {
			c.head = make([]byte, most)
		}
		raw := c.head[:min(most, c.end-c.at)]
		if n, err := c.in.ReadAt(raw, c.at); n < len(raw) {
			return fmt.Errorf("read page header: %w", err)
		}
		size, err := checkThrift(raw, nil)
		if errors.Is(err, io.ErrUnexpectedEOF) && int64(len(raw)) == most && most < maxHeader {
			continue
		}
		if err == nil {
			err = thrift.Unmarshal(new(thrift.CompactProtocol), raw[:size], h)
		}
		if err != nil {
			return fmt.Errorf("read page header: %w", err)
		}
		c.at += int64(size)
		return nil
	}
}

// next reads the next page of values or dictionary; memory makes room for what it
// unpacks to. The error is io.EOF after the last.
func (c *chunk) next(p *page, u *unpacker, memory func(size int) []byte) error {
	for c.at < c.end && c.values < c.rows {
		var h format.PageHeader
		if err := c.header(&h); err != nil {
			return err
		}
		packed := int64(h.CompressedPageSize)
		switch {
		case packed < 0 || c.at+packed > c.end || h.UncompressedPageSize < 0:
			return fmt.Errorf("a page is longer than its column")
		case int64(h.UncompressedPageSize) > maxPage:
			return fmt.Errorf("a page of %d bytes is larger than %d", h.UncompressedPageSize, maxPage)
		}
		body := c.at
		c.at += packed
		var err error
		switch {
		case h.Type == format.IndexPage:
			continue
		case h.Type == format.DataPage && h.DataPageHeader.Valid:
			err = c.first(p, &h, u, body, memory)
		case h.Type == format.DataPageV2 && h.DataPageHeaderV2.Valid:
			err = c.second(p, &h, u, body, memory)
		case h.Type == format.DictionaryPage && h.DictionaryPageHeader.Valid:
			v := &h.DictionaryPageHeader.V
			*p = page{dictionary: true, values: int(v.NumValues), encoding: v.Encoding}
			p.data, err = u.unpack(c.in, body, &h, 0, true, c.codec, memory)
		default:
			return fmt.Errorf("a page of type %v without its header", h.Type)
		}
		if err != nil {
			return err
		}
		if p.values < 0 || !p.dictionary && int64(p.values) > c.rows-c.values {
			return fmt.Errorf("a page of %d values in a row group of %d rows", p.values, c.rows)
		}
		if !p.dictionary {
			c.values += int64(p.values)
		}
		return nil
	}
	return io.EOF
}

// first reads a data page of version 1, whose levels are packed with its values.
func (c *chunk) first(p *page, h *format.PageHeader, u *unpacker, body int64, memory func(int) []byte) error {
	v := &h.DataPageHeader.V
	*p = page{values: int(v.NumValues), encoding: v.Encoding}
	data, err := u.unpack(c.in, body, h, 0, true, c.codec, memory)
	if err != nil {
		return err
	}
	p.data = data
	if !c.level {
		return nil
	}
	if v.DefinitionLevelEncoding != format.RLE {
		return fmt.Errorf("definition levels encoded as %v are not supported", v.DefinitionLevelEncoding)
	}
	if len(data) < 4 || int64(len(data)-4) < int64(binary.LittleEndian.Uint32(data)) {
		return errors.New("a page is shorter than its definition levels")
	}
	size := int(binary.LittleEndian.Uint32(data))
	p.levels, p.data = data[4:4+size], data[4+size:]
	return nil
}

// second reads a data page of version 2, whose levels come before its values.
func (c *chunk) second(p *page, h *format.PageHeader, u *unpacker, body int64, memory func(int) []byte) error {
	v := &h.DataPageHeaderV2.V
	*p = page{values: int(v.NumValues), encoding: v.Encoding}
	repetition, definition := int64(v.RepetitionLevelsByteLength), int64(v.DefinitionLevelsByteLength)
	levels := repetition + definition
	if repetition < 0 || definition < 0 || levels > int64(h.CompressedPageSize) || levels > int64(h.UncompressedPageSize) {
		return errors.New("a page is shorter than its levels")
	}
	data, err := u.unpack(c.in, body, h, int(levels), !v.IsCompressed.Valid || v.IsCompressed.V, c.codec, memory)
	if err != nil {
		return err
	}
	p.levels, p.data = data[repetition:levels], data[levels:]
	return nil
}

// unpack reads a page's body, of which the first bytes are not compressed.
func (u *unpacker) unpack(in io.ReaderAt, at int64, h *format.PageHeader, plain int, compressed bool, codec format.CompressionCodec, memory func(int) []byte) ([]byte, error) {
	size := int(h.CompressedPageSize)
	if !compressed || codec == format.Uncompressed {
		return u.body(in, at, h, memory(size))
	}
	if codec == format.Snappy && h.CRC == 0 && littleEndian {
		return u.unsnappy(in, at, h, plain, memory)
	}
	if cap(u.packed) < size {
		u.packed = make([]byte, size+size/4)
	}
	packed, err := u.body(in, at, h, u.packed[:size])
	if err != nil {
		return nil, err
	}
	unpacked, err := room(packed[plain:], size-plain, int(h.UncompressedPageSize)-plain, codec)
	if err != nil {
		return nil, err
	}
	out := memory(plain + unpacked)
	copy(out, packed[:plain])
	got, err := u.values(out[plain:], packed[plain:], codec)
	if err != nil {
		return nil, fmt.Errorf("a compressed page: %w", err)
	}
	return out[:plain+got], nil
}

// unsnappy reads a page's body while it unpacks it.
func (u *unpacker) unsnappy(in io.ReaderAt, at int64, h *format.PageHeader, plain int, memory func(int) []byte) ([]byte, error) {
	if u.window == nil {
		u.window = make([]byte, snappyWindow)
	}
	size := int(h.CompressedPageSize) - plain
	window := u.window[:min(len(u.window), size)]
	at += int64(plain)
	if err := readPage(in, window, at); err != nil {
		return nil, err
	}
	unpacked, err := room(window, size, int(h.UncompressedPageSize)-plain, format.Snappy)
	if err != nil {
		return nil, err
	}
	out := memory(plain + unpacked)
	if err := readPage(in, out[:plain], at-int64(plain)); err != nil || unpacked == 0 {
		return out, err
	}
	_, head := binary.Uvarint(window) // room has looked at it
	have := copy(window, window[head:])
	if err := unsnappyFrom(out[plain:], window, have, in, at+int64(head+have), int64(size-head-have)); err != nil {
		return nil, fmt.Errorf("a compressed page: %w", err)
	}
	return out, nil
}

// readPage reads all of out.
func readPage(in io.ReaderAt, out []byte, at int64) error {
	if n, err := in.ReadAt(out, at); n < len(out) {
		return fmt.Errorf("read a page: %w", err)
	}
	return nil
}

// body reads what follows a header.
func (u *unpacker) body(in io.ReaderAt, at int64, h *format.PageHeader, out []byte) ([]byte, error) {
	if err := readPage(in, out, at); err != nil {
		return nil, err
	}
	if h.CRC != 0 && crc32.ChecksumIEEE(out) != uint32(h.CRC) {
		return nil, errors.New("a page's checksum is not that of its bytes")
	}
	return out, nil
}
