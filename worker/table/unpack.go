package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// unpacker unpacks pages, one at a time.
type unpacker struct {
	packed []byte
	window []byte // of Snappy
	gzip   *gzip.Reader
}

// zstdDecoder unpacks into the room that it is given, and no further.
var zstdDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(uint64(maxPage)), zstd.WithDecoderMaxWindow(uint64(maxPage)))
})

// Nothing unpacks to more than so many times its bytes: a copy of Snappy makes 64
// bytes of 2, one of DEFLATE 258 bytes of 2 bits.
const maxSnappy, maxGzip = 32, 1032

// room is how many bytes a page of so many unpacks to, of which its header says
// want: never more than the page's bytes can. Of Snappy's it looks at the first.
func room(packed []byte, size, want int, codec format.CompressionCodec) (int, error) {
	if size == 0 || want <= 0 {
		return 0, nil
	}
	most, err := int64(0), error(nil)
	switch codec {
	case format.Snappy:
		var says int
		if says, err = snappy.DecodedLen(packed); err == nil {
			want = says
		}
		most = int64(size) * maxSnappy
	case format.Zstd:
		most, err = zstdAtMost(packed)
	case format.Gzip:
		most = int64(size) * maxGzip
	default: // the library's LZ4 takes ever more memory for a damaged page
		return 0, unsupported{fmt.Sprintf("the column is compressed by %v", codec), "compress it by snappy, zstd or gzip, or not at all"}
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("a compressed page: %w", err)
	case int64(want) > maxPage:
		return 0, fmt.Errorf("a page unpacks to more than %d bytes", maxPage)
	case int64(want) > most:
		return 0, fmt.Errorf("a page of %d bytes cannot unpack to %d", size, want)
	}
	return want, nil
}

// values unpacks into out, and says how many bytes there were.
func (u *unpacker) values(out, packed []byte, codec format.CompressionCodec) (int, error) {
	if len(out) == 0 {
		return 0, nil
	}
	switch codec {
	case format.Snappy:
		_, head := binary.Uvarint(packed) // room has looked at it
		return len(out), unsnappy(out, packed[head:], 0)
	case format.Zstd:
		z, err := zstdDecoder()
		if err != nil {
			return 0, err
		}
		got, err := z.DecodeAll(packed, out[:0:len(out)])
		return len(got), err
	}
	in, err := bytes.NewReader(packed), error(nil)
	if u.gzip == nil {
		u.gzip, err = gzip.NewReader(in)
	} else {
		err = u.gzip.Reset(in)
	}
	if err != nil {
		return 0, err
	}
	n, err := io.ReadFull(u.gzip, out)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return n, fmt.Errorf("it unpacks to %d bytes instead of %d", n, len(out))
	case err != nil:
		return n, err
	}
	if extra, err := u.gzip.Read(make([]byte, 1)); extra > 0 || !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("it unpacks to more than %d bytes", n)
	}
	return n, nil
}

// zstdBlock is the most that a block of a zstd frame unpacks to.
const zstdBlock = 128 << 10

// zstdAtMost adds up what the blocks of zstd frames can unpack to (RFC 8878,
// sections 3.1.1 and 3.1.2). A compressed block counts as the most it may hold.
func zstdAtMost(in []byte) (int64, error) {
	total := int64(0)
	errShort := errors.New("the zstd frame ends early")
	for len(in) > 0 {
		if len(in) < 5 {
			return 0, errShort
		}
		magic := binary.LittleEndian.Uint32(in)
		if magic&^0xf == skippable {
			if len(in) < 8 || int64(len(in)-8) < int64(binary.LittleEndian.Uint32(in[4:])) {
				return 0, errShort
			}
			in = in[8+binary.LittleEndian.Uint32(in[4:]):]
			continue
		}
		if magic != binary.LittleEndian.Uint32(magicZstd) {
			return 0, errors.New("no zstd frame")
		}
		descriptor := in[4]
		at := 5 + zstdHeader(descriptor)
		for last := false; !last; {
			if len(in) < at+3 {
				return 0, errShort
			}
			block := int(in[at]) | int(in[at+1])<<8 | int(in[at+2])<<16
			last, at = block&1 != 0, at+3
			size := block >> 3
			switch block >> 1 & 3 {
			case 1: // one byte, repeated
				total, at = total+int64(size), at+1
			case 2:
				total, at = total+zstdBlock, at+size
			default:
				total, at = total+int64(size), at+size
			}
		}
		if descriptor&4 != 0 {
			at += 4 // checksum
		}
		if at > len(in) {
			return 0, errShort
		}
		in = in[at:]
	}
	return total, nil
}

// zstdHeader is the length of what follows a frame header's descriptor.
func zstdHeader(descriptor byte) int {
	n := [4]int{0, 1, 2, 4}[descriptor&3]
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
