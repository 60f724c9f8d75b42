package table_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/snappy"

	"github.com/millrace-ml/millrace/worker/table"
)

// snappyTexts are texts of all kinds of elements: numbers in sequence and at
// random, what repeats after 1 to 70 bytes, and what does not repeat.
func snappyTexts() [][]byte {
	rng := rand.New(rand.NewPCG(3, 4))
	var whole, small, noise []byte
	for i := range 20_000 {
		whole = binary.LittleEndian.AppendUint64(whole, uint64(i)*7)
		small = binary.LittleEndian.AppendUint64(small, uint64(rng.IntN(100_000)))
		noise = append(noise, byte(rng.Uint32()))
	}
	out := [][]byte{nil, []byte("a"), whole, small, noise, append(bytes.Repeat(noise[:300], 300), noise...)}
	for period := 1; period <= 70; period++ {
		out = append(out, bytes.Repeat(noise[:period], 3+400/period))
	}
	return out
}

func TestUnsnappy(t *testing.T) {
	for i, text := range snappyTexts() {
		packed := snappy.Encode(nil, text)
		_, head := binary.Uvarint(packed)
		got := make([]byte, len(text))
		if err := table.Unsnappy(got, packed[head:]); err != nil || !bytes.Equal(got, text) {
			t.Errorf("text %d: %v, and the %d bytes are not those packed", i, err, len(got))
		}
		for _, piece := range []int{1024, 4096, 1 << 20} {
			clear(got)
			if err := table.UnsnappyFrom(got, packed[head:], piece); err != nil || !bytes.Equal(got, text) {
				t.Errorf("text %d in pieces of %d: %v, and the %d bytes are not those packed", i, piece, err, len(got))
			}
			for _, wrong := range []int{len(text) - 1, len(text) + 1} {
				if err := table.UnsnappyFrom(make([]byte, max(0, wrong)), packed[head:], piece); err == nil && wrong >= 0 {
					t.Errorf("text %d in pieces of %d: %d bytes are taken for %d", i, piece, len(text), wrong)
				}
			}
		}
		if err := table.Unsnappy(make([]byte, len(text)+1), packed[head:]); err == nil {
			t.Errorf("text %d: a block that ends early is taken", i)
		}
		if len(text) > 0 {
			if err := table.Unsnappy(got[:len(got)-1], packed[head:]); err == nil {
				t.Errorf("text %d: a block that goes on is taken", i)
			}
		}
	}
}

// FuzzUnsnappy takes any bytes for a block: where the library unpacks it, this
// gives the same bytes, and elsewhere an error; and nothing but dst is written.
func FuzzUnsnappy(f *testing.F) {
	for i, text := range snappyTexts() {
		if i%9 < 6 {
			f.Add(snappy.Encode(nil, text[:min(len(text), 4_000)]))
		}
	}
	f.Add([]byte("\x80\x08\x00a\xfe\x01\x00\xfe\x01\x00"))
	f.Fuzz(func(t *testing.T, packed []byte) {
		size, err := snappy.DecodedLen(packed)
		if err != nil || size > 1<<20 {
			return
		}
		want, wrong := snappy.Decode(nil, packed)
		_, head := binary.Uvarint(packed)
		for name, unpack := range map[string]func(dst, src []byte) error{
			"whole":     table.Unsnappy,
			"in pieces": func(dst, src []byte) error { return table.UnsnappyFrom(dst, src, 1024) },
		} {
			room := bytes.Repeat([]byte{0xa5}, size+256)
			err = unpack(room[128:128+size:128+size], packed[head:])
			if (err == nil) != (wrong == nil) {
				t.Fatalf("%s: error is %v, the library's %v", name, err, wrong)
			}
			if err == nil && !bytes.Equal(room[128:128+size], want) {
				t.Fatalf("%s: the bytes are not the library's", name)
			}
			for i, b := range room {
				if (i < 128 || i >= 128+size) && b != 0xa5 {
					t.Fatalf("%s: byte %d of %d is written", name, i-128, size)
				}
			}
		}
	})
}
