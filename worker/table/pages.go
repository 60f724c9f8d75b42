package table

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// maxPage bounds a page's uncompressed bytes. Writers make pages of about 1 MiB.
// Tests make it small.
var maxPage int64 = 256 << 20

// checkPages walks over the page headers of a column chunk before the library
// decodes its pages: a header may promise, and a few bytes may unpack to, more
// than there is memory for.
func checkPages(r io.ReaderAt, size int64, m *format.ColumnMetaData, rows int64) error {
	begin := m.DataPageOffset
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < begin {
		begin = m.DictionaryPageOffset
	}
	end := begin + m.TotalCompressedSize
	switch {
	case begin < 4 || end < begin || end > size:
		return fmt.Errorf("the column's pages are outside the file")
	case m.NumValues != rows:
		return fmt.Errorf("the column has %d values, the row group %d rows", m.NumValues, rows)
	}
	for at, values := begin, int64(0); at < end && values < rows; {
		in := &counted{in: bufio.NewReaderSize(io.NewSectionReader(r, at, end-at), 512)}
		var h format.PageHeader
		if err := thrift.NewDecoder(new(thrift.CompactProtocol).NewReader(in)).Decode(&h); err != nil {
			return fmt.Errorf("read page header: %w", err)
		}
		body, packed := at+in.n, int64(h.CompressedPageSize)
		switch {
		case packed < 0 || body+packed > end || h.UncompressedPageSize < 0:
			return fmt.Errorf("a page is longer than its column")
		case int64(h.UncompressedPageSize) > maxPage:
			return fmt.Errorf("a page of %d bytes is larger than %d", h.UncompressedPageSize, maxPage)
		}
		count, skip := valuesOf(&h)
		if count < 0 || count > rows && h.Type != format.DictionaryPage || count > math.MaxInt32/8 || skip < 0 || skip > packed {
			return fmt.Errorf("a page of %d values in a row group of %d rows", count, rows)
		}
		if err := checkUnpacked(io.NewSectionReader(r, body+skip, packed-skip), m.Codec, int64(h.UncompressedPageSize)-skip); err != nil {
			return err
		}
		if h.Type != format.DictionaryPage {
			values += count
		}
		at = body + packed
	}
	return nil
}

// valuesOf is how many values a page says it has, and how many bytes of it are
// not compressed.
func valuesOf(h *format.PageHeader) (values, skip int64) {
	switch {
	case h.DataPageHeader.Valid:
		return int64(h.DataPageHeader.V.NumValues), 0
	case h.DictionaryPageHeader.Valid:
		return int64(h.DictionaryPageHeader.V.NumValues), 0
	case h.DataPageHeaderV2.Valid:
		v := &h.DataPageHeaderV2.V
		return int64(v.NumValues), int64(v.RepetitionLevelsByteLength) + int64(v.DefinitionLevelsByteLength)
	}
	return 0, 0
}

// checkUnpacked holds what a compressed page unpacks to against what its header
// says, as far as that can be told without unpacking it.
func checkUnpacked(in *io.SectionReader, codec format.CompressionCodec, want int64) error {
	if in.Size() == 0 || want < 0 {
		return nil
	}
	unpacked, err := int64(0), error(nil)
	switch codec {
	case format.Uncompressed:
		unpacked = in.Size()
	case format.Snappy:
		var head [10]byte
		n, _ := io.ReadFull(in, head[:])
		var size int
		size, err = snappy.DecodedLen(head[:n])
		unpacked = int64(size)
	case format.Zstd:
		unpacked, err = zstdAtMost(in)
	case format.Gzip:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bufio.NewReader(in)); err == nil {
			unpacked, err = io.Copy(io.Discard, io.LimitReader(z, maxPage+1))
		}
	default: // the library's LZ4 takes ever more memory for a damaged page
		return fmt.Errorf("compression by %v is not supported (snappy, zstd, gzip and none are)", codec)
	}
	if err != nil {
		return fmt.Errorf("a compressed page: %w", err)
	}
	if unpacked > maxPage+zstdBlock {
		return fmt.Errorf("a page unpacks to more than %d bytes", maxPage)
	}
	return nil
}

// zstdBlock is the most that a block of a zstd frame unpacks to.
const zstdBlock = 128 << 10

// zstdAtMost adds up what the blocks of zstd frames can unpack to (RFC 8878,
// sections 3.1.1 and 3.1.2). A compressed block counts as the most it may hold.
func zstdAtMost(in *io.SectionReader) (int64, error) {
	total, at := int64(0), int64(0)
	read := func(n int64) ([]byte, error) {
		b := make([]byte, n)
		_, err := in.ReadAt(b, at)
		at += n
		if err == io.EOF && at <= in.Size() {
			err = nil
		}
		return b, err
	}
	for at < in.Size() {
		head, err := read(5)
		if err != nil {
			return 0, err
		}
		magic := binary.LittleEndian.Uint32(head)
		if magic&^0xf == 0x184D2A50 { // skippable
			at--
			n, err := read(4)
			if err != nil {
				return 0, err
			}
			at += int64(binary.LittleEndian.Uint32(n))
			continue
		}
		if magic != binary.LittleEndian.Uint32(magicZstd) {
			return 0, fmt.Errorf("no zstd frame")
		}
		at += zstdHeader(head[4])
		for last := false; !last; {
			b, err := read(3)
			if err != nil {
				return 0, err
			}
			block := int64(b[0]) | int64(b[1])<<8 | int64(b[2])<<16
			last = block&1 != 0
			size := block >> 3
			switch block >> 1 & 3 {
			case 1: // one byte, repeated
				total, at = total+size, at+1
			case 2:
				total, at = total+zstdBlock, at+size
			default:
				total, at = total+size, at+size
			}
			if total > 64*maxPage {
				return total, nil
			}
		}
		if head[4]&4 != 0 {
			at += 4 // checksum
		}
	}
	return total, nil
}

// zstdHeader is the length of what follows a frame header's descriptor.
func zstdHeader(descriptor byte) int64 {
	n := [4]int64{0, 1, 2, 4}[descriptor&3]
	single := descriptor&0x20 != 0
	if !single {
		n++
	}
	switch descriptor >> 6 {
	case 0:
		if single {
			n++
		}
	case 1:
		n += 2
	case 2:
		n += 4
	default:
		n += 8
	}
	return n
}

// counted counts the bytes that are taken from it.
type counted struct {
	in *bufio.Reader
	n  int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *counted) ReadByte() (byte, error) {
	b, err := c.in.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}
