package table

import (
	"encoding/binary"
	"errors"
	"io"
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

// unsnappy unpacks the elements of a Snappy block into dst from d on, and fills it
// (format: google/snappy, format_description.txt, section 2). In columns of numbers
// literals and copies of a few bytes take turns, whose kinds and lengths no
// processor foresees: they are moved without a branch on either, which takes two
// thirds of the time of the library's decoder.
func unsnappy(dst, src []byte, d int) error {
	d, s, err := unsnappyFast(dst, src, d)
	if err != nil {
		return err
	}
	return snappyRest(dst, src, d, s)
}

// snappyWindow is how many bytes of a block are read at once: they stay in the
// nearest cache until they are unpacked. What dst has room for beyond unsnappyFast
// takes far fewer.
const snappyWindow = 32 << 10

// unsnappyFrom unpacks the elements of a Snappy block of size bytes at a place of
// in, of which the first have are in the window already.
func unsnappyFrom(dst, window []byte, have int, in io.ReaderAt, at, size int64) error {
	for d := 0; ; {
		n := int(min(int64(len(window)-have), size))
		if err := readPage(in, window[have:have+n], at); err != nil {
			return err
		}
		have, at, size = have+n, at+int64(n), size-int64(n)
		if size == 0 {
			return unsnappy(dst, window[:have], d)
		}
		var s int
		var err error
		if d, s, err = unsnappyFast(dst, window[:have], d); err != nil {
			return err
		}
		rest := window[s:have]
		head, length := snappyHead(rest)
		if more := length - (len(rest) - head); length < len(window)/2 || more <= 0 {
			if s == 0 { // dst is nearly full
				return errSnappy
			}
			have = copy(window, rest)
			continue
		} else if length > len(dst)-d || int64(more) > size {
			return errSnappy
		} else { // a long literal is read to its place
			to := d + copy(dst[d:], rest[head:])
			d += length
			if err := readPage(in, dst[to:d], at); err != nil {
				return err
			}
			have, at, size = 0, at+int64(more), size-int64(more)
		}
	}
}

// unsnappyFast unpacks while src has the bytes of two elements and dst the room
// that they may take, which is looked at once for both: so nothing is read or
// written beyond. It begins at d, and says how far it came.
func unsnappyFast(dst, src []byte, begin int) (d, s int, err error) {
	d = begin
	const (
		margin = 64 + 16 // bytes that a copy may write, and is moved too far
		room   = 8 + margin
		read   = 32 // a literal's tag and 16 bytes, or two tags with 6 bytes and an offset
	)
	if len(src) < read || len(dst) < room || !littleEndian {
		return d, 0, nil
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
				head, n := snappyHead(src[s:])
				if head == 0 || n > len(src)-s-head || n > len(dst)-d {
					return d, s, nil
				}
				copy(dst[d:], src[s+head:s+head+n])
				d, s = d+n, s+head+n
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

// snappyHead is how many bytes the tag of a literal has, and how many follow; 0, 0:
// it is none, or cut short.
func snappyHead(src []byte) (head, length int) {
	if len(src) == 0 || src[0]&3 != 0 {
		return 0, 0
	}
	n := int(src[0]>>2) + 1
	bytes := n - 60
	if bytes <= 0 {
		return 1, n
	}
	if len(src) < 1+bytes {
		return 0, 0
	}
	n = 1
	for i := range bytes {
		n += int(src[1+i]) << (8 * i)
	}
	return 1 + bytes, n
}

// snappyRest unpacks the last elements, byte by byte.
func snappyRest(dst, src []byte, d, s int) error {
	for s < len(src) {
		tag := src[s]
		if tag&3 == 0 {
			head, n := snappyHead(src[s:])
			if head == 0 || n > len(src)-s-head || n > len(dst)-d {
				return errSnappy
			}
			copy(dst[d:], src[s+head:s+head+n])
			d, s = d+n, s+head+n
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
