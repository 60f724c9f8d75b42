package table

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

var errDelta = errors.New("the delta encoding is damaged")

// plainOf is a page's values as the encoding PLAIN has them. size is the bytes of
// a value, 0: they differ; most is how many values there are at most. memory makes
// room for them.
func plainOf(p *page, physical parquet.Kind, size int, memory func(int) []byte) ([]byte, error) {
	switch p.encoding {
	case format.Plain:
		return p.data, nil
	case format.ByteStreamSplit:
		if size == 0 || physical == parquet.Boolean {
			break
		}
		return joined(p.data, size, memory), nil
	case format.DeltaBinaryPacked:
		if physical != parquet.Int32 && physical != parquet.Int64 {
			break
		}
		values, _, err := deltas(p.data, p.values)
		if err != nil {
			return nil, err
		}
		out := memory(len(values) * size)
		for i, v := range values {
			if size == 4 {
				binary.LittleEndian.PutUint32(out[4*i:], uint32(v))
			} else {
				binary.LittleEndian.PutUint64(out[8*i:], uint64(v))
			}
		}
		return out, nil
	case format.DeltaLengthByteArray:
		if physical != parquet.ByteArray {
			break
		}
		lengths, data, err := deltas(p.data, p.values)
		if err != nil {
			return nil, err
		}
		return prefixed(make([]int64, len(lengths)), lengths, data, size, memory)
	case format.DeltaByteArray:
		if physical != parquet.ByteArray && physical != parquet.FixedLenByteArray {
			break
		}
		prefixes, data, err := deltas(p.data, p.values)
		if err != nil {
			return nil, err
		}
		suffixes, data, err := deltas(data, p.values)
		if err != nil {
			return nil, err
		}
		return prefixed(prefixes, suffixes, data, size, memory)
	}
	return nil, unsupported{fmt.Sprintf("values of type %v are encoded as %v", physical, p.encoding), "write the column without this encoding"}
}

// joined puts the bytes of values together, which stand apart: all first ones, all
// second ones (parquet-format, Encodings.md, BYTE_STREAM_SPLIT).
func joined(data []byte, size int, memory func(int) []byte) []byte {
	count := len(data) / size
	out := memory(count * size)
	for b := range size {
		stream := data[b*count : (b+1)*count]
		for i, x := range stream {
			out[i*size+b] = x
		}
	}
	return out
}

// prefixed makes byte arrays that begin as the one before them does (parquet-format,
// Encodings.md, DELTA_BYTE_ARRAY). A few bytes may say that they are very many.
func prefixed(prefixes, suffixes []int64, data []byte, size int, memory func(int) []byte) ([]byte, error) {
	if len(prefixes) != len(suffixes) {
		return nil, errDelta
	}
	total, before, rest := int64(0), int64(0), int64(len(data))
	for i, suffix := range suffixes {
		prefix := prefixes[i]
		if prefix < 0 || prefix > before || suffix < 0 || suffix > rest {
			return nil, errDelta
		}
		before, rest = prefix+suffix, rest-suffix
		if total += before; size == 0 {
			total += 4
		} else if before != int64(size) {
			return nil, errDelta
		}
		if total > maxPage {
			return nil, fmt.Errorf("a page unpacks to more than %d bytes", maxPage)
		}
	}
	out := memory(int(total))
	at, last := 0, 0 // last is where the one before begins
	for i, suffix := range suffixes {
		prefix := int(prefixes[i])
		if size == 0 {
			binary.LittleEndian.PutUint32(out[at:], uint32(prefix)+uint32(suffix))
			at += 4
		}
		copy(out[at:], out[last:last+prefix])
		copy(out[at+prefix:], data[:suffix])
		data, last = data[suffix:], at
		at += prefix + int(suffix)
	}
	return out, nil
}

// deltas reads numbers of which the differences are packed, at most so many, and
// what follows them (parquet-format, Encodings.md, DELTA_BINARY_PACKED).
func deltas(in []byte, most int) (values []int64, rest []byte, err error) {
	number := func() uint64 {
		v, n := binary.Uvarint(in)
		if n <= 0 {
			err, n = errDelta, 0
		}
		in = in[n:]
		return v
	}
	signed := func() int64 { v := number(); return int64(v>>1) ^ -int64(v&1) }
	block, minis, count, value := number(), number(), number(), signed()
	switch {
	case err != nil:
		return nil, nil, err
	case block == 0 || block%128 != 0 || block > 1<<20 || minis == 0 || minis > block || block%minis != 0 || block/minis%32 != 0:
		return nil, nil, errDelta
	case count > uint64(most) || int64(count)*8 > 2*maxPage:
		return nil, nil, fmt.Errorf("a page of %d values has %d", most, count)
	case count == 0:
		return nil, in, nil
	}
	values = append(make([]int64, 0, min(count, uint64(len(in))*8+1)), value)
	for uint64(len(values)) < count {
		least := signed()
		if err != nil || uint64(len(in)) < minis {
			return nil, nil, errDelta
		}
		widths := in[:minis]
		in = in[minis:]
		for _, width := range widths {
			n := int(min(count-uint64(len(values)), block/minis))
			if n == 0 {
				break
			}
			if width > 64 {
				return nil, nil, errDelta
			}
			size := int(block/minis) * int(width) / 8
			mini := in[:min(size, len(in))]
			if len(mini)*8 < n*int(width) { // what pads the last one may be left out
				return nil, nil, errDelta
			}
			for i := range n {
				value += least + int64(bitsAt(mini, i*int(width), int(width)))
				values = append(values, value)
			}
			in = in[len(mini):]
		}
	}
	return values, in, nil
}

// bitsAt are width bits, at most 64, from a bit on.
func bitsAt(in []byte, bit, width int) uint64 {
	if width == 0 {
		return 0
	}
	var word [9]byte
	if from := in[bit/8:]; len(from) >= 9 {
		word = [9]byte(from)
	} else {
		copy(word[:], from)
	}
	low := binary.LittleEndian.Uint64(word[:])
	if shift := bit % 8; shift > 0 {
		low = low>>shift | uint64(word[8])<<(64-shift)
	}
	return low & (1<<(width-1)<<1 - 1)
}
