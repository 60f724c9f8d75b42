package table

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/parquet-go/bitpack"
)

// hybrid reads numbers of up to 32 bits from runs, which are packed bits or one
// number repeated (format: parquet-format, Encodings.md, RLE/Bit-Packing Hybrid).
type hybrid struct {
	in     []byte // of the runs that follow
	width  uint
	left   int    // numbers of the run that are not read
	packed []byte // of a run of packed bits; nil: value is repeated
	at     int    // numbers of packed that are read
	value  uint32
}

var errRuns = errors.New("a page has fewer values than it says")

// newHybrid reads runs of numbers of a width, in bits. There must be spare bytes
// after in.
func newHybrid(in []byte, width uint) hybrid {
	h := hybrid{in: in, width: width}
	if width == 0 { // all are 0
		h.left = math.MaxInt
	}
	return h
}

// packedBits reads count numbers that are packed as one run.
func packedBits(in []byte, width uint, count int) hybrid {
	return hybrid{width: width, packed: in, left: min(count, len(in)*8/int(width))}
}

// enter reads the head of the next run.
func (h *hybrid) enter() error {
	for h.left == 0 {
		head, n := binary.Uvarint(h.in)
		if n <= 0 {
			return errRuns
		}
		h.in = h.in[n:]
		count := int(min(head>>1, math.MaxInt32))
		if head&1 == 0 {
			size := int(h.width+7) / 8
			if len(h.in) < size {
				return errRuns
			}
			var value [4]byte
			copy(value[:], h.in[:size])
			h.value, h.left, h.packed = binary.LittleEndian.Uint32(value[:])&uint32(1<<h.width-1), count, nil
			h.in = h.in[size:]
			continue
		}
		size := min(count*int(h.width), len(h.in)) // the last run may be cut short
		h.packed, h.at, h.in = h.in[:size], 0, h.in[size:]
		if h.left = min(count*8, size*8/int(h.width)); h.left == 0 {
			return errRuns
		}
	}
	return nil
}

// read reads the next numbers, as many as out has.
func (h *hybrid) read(out []uint32) error {
	for len(out) > 0 {
		if err := h.enter(); err != nil {
			return err
		}
		n := min(len(out), h.left)
		if h.packed == nil {
			run := out[:n]
			for i := range run {
				run[i] = h.value
			}
		} else {
			h.unpack(out[:n])
		}
		h.left -= n
		out = out[n:]
	}
	return nil
}

// same tells how many of the next numbers, at most n, are the same by one look,
// which it is; and skips them.
func (h *hybrid) same(n int) (count int, value uint32, err error) {
	if err := h.enter(); err != nil || h.packed != nil {
		return 0, 0, err
	}
	n = min(n, h.left)
	h.left -= n
	return n, h.value, nil
}

// unpack reads numbers of a run of packed bits.
func (h *hybrid) unpack(out []uint32) {
	for ; h.at%8 > 0 && len(out) > 0; out = out[1:] {
		out[0] = h.one()
	}
	if n := len(out) &^ 7; n > 0 {
		bitpack.Unpack(out[:n], h.packed[h.at/8*int(h.width):], h.width)
		h.at, out = h.at+n, out[n:]
	}
	for i := range out {
		out[i] = h.one()
	}
}

// one reads a number of a run of packed bits.
func (h *hybrid) one() uint32 {
	bit := h.at * int(h.width)
	h.at++
	var word [8]byte
	copy(word[:], h.packed[bit/8:])
	return uint32(binary.LittleEndian.Uint64(word[:])>>(bit%8)) & uint32(1<<h.width-1)
}
