package prepare

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"slices"
	"strings"
	"unsafe"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/spill"
	"github.com/millrace-ml/millrace/worker/table"
)

// appendTime appends a time so that bytes have the order of times; what has no
// time comes first.
func appendTime(b []byte, at float64) []byte {
	bits := math.Float64bits(at + 0) // -0 becomes 0
	switch {
	case at != at:
		bits = 0
	case bits>>63 == 1:
		bits = ^bits
	default:
		bits |= 1 << 63
	}
	return binary.BigEndian.AppendUint64(b, bits)
}

// timeOf is the time that appendTime wrote; NaN: none.
func timeOf(key []byte) float64 {
	switch bits := binary.BigEndian.Uint64(key); {
	case bits == 0:
		return math.NaN()
	case bits>>63 == 1:
		return math.Float64frombits(bits &^ (1 << 63))
	default:
		return math.Float64frombits(^bits)
	}
}

// row is one row on its way from the sorters to the outputs.
type row struct {
	time   float64 // NaN: rows have none
	label  float64
	weight float64  // 1: rows are not weighed
	key    string   // the memory of the stream, as the cells are
	cells  []string // by column
}

// layout is what sorted records hold.
type layout struct {
	timed, weighed bool
	columns        int
}

// decode reads a sorted record.
func (r *row) decode(key, value []byte, l layout) error {
	r.time = math.NaN()
	if l.timed {
		r.time = timeOf(key)
		key = key[8:]
	}
	r.key = textOf(key)
	r.label = math.Float64frombits(binary.LittleEndian.Uint64(value))
	value, r.weight, r.cells = value[8:], 1, r.cells[:0]
	if l.weighed {
		r.weight = math.Float64frombits(binary.LittleEndian.Uint64(value))
		value = value[8:]
	}
	for range l.columns {
		n, used := binary.Uvarint(value)
		if used <= 0 || uint64(len(value)-used) < n {
			return errors.New("decode row: it is cut short")
		}
		r.cells = append(r.cells, textOf(value[used:used+int(n)]))
		value = value[used+int(n):]
	}
	return nil
}

func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// The key of a value that must be unique: its hash, so that few comparisons look
// further; its length; itself; where it stands.
const valueHead, valueTail = 12, 12

func appendValueKey(b, value []byte, file int, place uint64) []byte {
	h := fnv.New64a()
	h.Write(value)
	b = binary.BigEndian.AppendUint64(b, mix(h.Sum64()))
	b = binary.BigEndian.AppendUint32(b, uint32(len(value)))
	b = append(b, value...)
	b = binary.BigEndian.AppendUint32(b, uint32(file))
	return binary.BigEndian.AppendUint64(b, place)
}

// mix is MurmurHash3's finaliser: FNV's high bits are weak for short keys.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return x
}

// repeat is a row whose value was there before.
type repeat struct {
	file, before   int
	place, earlier uint64
	value          string
}

// repeats are the rows whose value was there before.
type repeats struct {
	files map[string]int // rows, by the key of the file
	first []repeat       // in the order of files and rows
}

// findRepeats reads the values of a unique column in their order.
func findRepeats(values spill.Stream, files []string) (repeats, error) {
	defer values.Close()
	out := repeats{files: map[string]int{}}
	var before []byte
	var base repeat
	for {
		key, _, err := values.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		value, tail := key[:len(key)-valueTail], key[len(key)-valueTail:]
		at := repeat{file: int(binary.BigEndian.Uint32(tail)), place: binary.BigEndian.Uint64(tail[4:])}
		if !bytes.Equal(value, before) {
			before, base = append(before[:0], value...), at
			continue
		}
		at.before, at.earlier = base.file, base.place
		out.files[files[at.file]]++
		out.keep(at, value[valueHead:])
	}
}

// keep keeps the first places that are out of order of the values.
func (r *repeats) keep(at repeat, value []byte) {
	after := func(a, b repeat) bool { return a.file > b.file || a.file == b.file && a.place > b.place }
	n := len(r.first)
	if n == quality.Examples && after(at, r.first[n-1]) {
		return
	}
	at.value = string(value)
	i, _ := slices.BinarySearchFunc(r.first, at, func(a, b repeat) int {
		if after(a, b) {
			return 1
		}
		return -1
	})
	r.first = slices.Insert(r.first, i, at)
	r.first = r.first[:min(len(r.first), quality.Examples)]
}

// places are the first of the rows, with where their values were before.
func (r *repeats) places(column string, d *definition.Definition, files []string) []table.Problem {
	var out []table.Problem
	for _, f := range r.first {
		other := problemAt(files[f.before], d.Data.Format, f.earlier, "", "")
		where := strings.TrimSuffix(other.Error(), ": ")
		out = append(out, problemAt(files[f.file], d.Data.Format, f.place, column, fmt.Sprintf("%q is also in %s", quality.Clip(f.value), where)))
	}
	return out
}
