package table

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// errSnappy is all that can be said of a block that is not Snappy.
var errSnappy = errors.New("the Snappy data are damaged")

// snappyCopy is what the tag of a copy says: its length, how many bytes of its
// offset follow, and the offset's bits above these.
type snappyCopy struct {
	length, bytes uint8
	high          uint16
	mask          uint32
}

// snappyCopies has every tag; literals have length 0.
var snappyCopies = func() (out [256]snappyCopy) {
	for tag := range out {
		switch short := uint8(tag>>2) + 1; tag & 3 {
		case 1:
			out[tag] = snappyCopy{uint8(tag>>2&7) + 4, 1, uint16(tag>>5) << 8, 0xff}
		case 2:
			out[tag] = snappyCopy{short, 2, 0, 0xffff}
		case 3:
			out[tag] = snappyCopy{short, 4, 0, 0xffffffff}
		}
	}
	return out
}()

// unsnappy unpacks the elements of a Snappy block into all of dst (format:
// google/snappy, format_description.txt, section 2). In columns of numbers
// literals and copies of a few bytes take turns, whose kinds and lengths no
// processor foresees: they are moved without a branch on either, which takes two
// thirds of the time of the library's decoder.
func unsnappy(dst, src []byte) error {
	d, s, err := unsnappyFast(dst, src)
	if err != nil {
		return err
	}
	return snappyRest(dst, src, d, s)
}

// unsnappyFast unpacks while src has the bytes of two elements and dst the room
// that they may take, which is looked at once for both: so nothing is read or
// written beyond. It says how far it came.
func unsnappyFast(dst, src []byte) (d, s int, err error) {
	const (
		margin = 64 + 16 // bytes that a copy may write, and is moved too far
		room   = 8 + margin
		read   = 32 // a literal's tag and 16 bytes, or two tags with 6 bytes and an offset
	)
	if len(src) < read || len(dst) < room || !littleEndian {
		return 0, 0, nil
	}
	in, out := unsafe.Pointer(unsafe.SliceData(src)), unsafe.Pointer(unsafe.SliceData(dst))
	for s <= len(src)-read && d <= len(dst)-room {
		word := *(*uint64)(unsafe.Add(in, s))
		if word&3 == 0 {
			n := int(word>>2&63) + 1
			switch {
			case n <= 6: // the next tag is in the word
				*(*uint64)(unsafe.Add(out, d)) = *(*uint64)(unsafe.Add(in, s+1))
				d, s = d+n, s+1+n
				word >>= (8 + 8*n) & 63
			case n <= 16:
				*(*[16]byte)(unsafe.Add(out, d)) = *(*[16]byte)(unsafe.Add(in, s+1))
				d, s = d+n, s+1+n
				continue
			default:
				if d, s, err = snappyLiteral(dst, src, d, s); err != nil {
					return 0, 0, err
				}
				continue
			}
			if word&3 == 0 {
				continue
			}
		}
		kind, e := int(word&3), &snappyCopies[uint8(word)]
		offset := int(*(*uint32)(unsafe.Add(in, s+1))&e.mask) + int(e.high)
		length := int(e.length)
		s += 1 + kind + (kind+1)>>2
		switch {
		case offset == 0 || offset > d:
			return 0, 0, errSnappy
		case offset >= 8 && length <= 8:
			*(*uint64)(unsafe.Add(out, d)) = *(*uint64)(unsafe.Add(out, d-offset))
		default:
			repeat(unsafe.Add(out, d), offset, length)
		}
		d += length
	}
	return d, s, nil
}

// repeat copies length bytes from offset before to; up to 16 bytes more are
// written.
func repeat(to unsafe.Pointer, offset, length int) {
	done := 0
	for ; offset < 8 && done < length; offset += offset { // what repeats is short: it doubles
		*(*uint64)(unsafe.Add(to, done)) = *(*uint64)(unsafe.Add(to, done-offset))
		done += offset
	}
	for ; done < length; done += 16 {
		*(*uint64)(unsafe.Add(to, done)) = *(*uint64)(unsafe.Add(to, done-offset))
		*(*uint64)(unsafe.Add(to, done+8)) = *(*uint64)(unsafe.Add(to, done+8-offset))
	}
}

// snappyLiteral moves the literal at src[s:].
func snappyLiteral(dst, src []byte, d, s int) (int, int, error) {
	n := int(src[s]>>2) + 1
	s++
	if bytes := n - 60; bytes > 0 {
		if len(src)-s < bytes {
			return 0, 0, errSnappy
		}
		n = 1
		for i := range bytes {
			n += int(src[s+i]) << (8 * i)
		}
		s += bytes
	}
	if n > len(src)-s || n > len(dst)-d {
		return 0, 0, errSnappy
	}
	copy(dst[d:], src[s:s+n])
	return d + n, s + n, nil
}

// snappyRest unpacks the last elements, byte by byte.
func snappyRest(dst, src []byte, d, s int) (err error) {
	for s < len(src) {
		tag := src[s]
		if tag&3 == 0 {
			if d, s, err = snappyLiteral(dst, src, d, s); err != nil {
				return err
			}
			continue
		}
		e := &snappyCopies[tag]
		if len(src)-s < 1+int(e.bytes) {
			return errSnappy
		}
		var low [4]byte
		copy(low[:], src[s+1:s+1+int(e.bytes)])
		offset := int(binary.LittleEndian.Uint32(low[:])) + int(e.high)
		s += 1 + int(e.bytes)
		if offset == 0 || offset > d || int(e.length) > len(dst)-d {
			return errSnappy
		}
		for range e.length {
			dst[d] = dst[d-offset]
			d++
		}
	}
	if d != len(dst) {
		return errSnappy
	}
	return nil
}
