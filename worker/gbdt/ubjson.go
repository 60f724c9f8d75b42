package gbdt

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

const (
	// maxUBJSONBytes bounds the file that ReadUBJSON takes; as JSON it is a few times longer.
	maxUBJSONBytes = 256 << 20
	// maxUBJSONDepth bounds how deep values lie in each other; XGBoost needs 8.
	maxUBJSONDepth = 32
)

// ReadUBJSON reads a model in XGBoost's UBJSON layout (the default since 2.1), which is
// its JSON in the types of UBJSON draft 12, with the checks of ReadJSON.
func ReadUBJSON(r io.Reader) (*Model, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxUBJSONBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	if len(data) > maxUBJSONBytes {
		return nil, fmt.Errorf("read model: file is larger than %d bytes", maxUBJSONBytes)
	}
	text, err := jsonOf(data)
	if err != nil {
		return nil, fmt.Errorf("read model: decode UBJSON: %w", err)
	}
	m, err := parseModel(text)
	if err != nil {
		return nil, fmt.Errorf("read model: %w", err)
	}
	return m, nil
}

// ubjson turns UBJSON into JSON. Every element takes at least a byte of input, so that
// the output is never more than a constant times as long.
type ubjson struct {
	data []byte
	at   int
	out  []byte
}

// jsonOf is the JSON of one UBJSON value.
func jsonOf(data []byte) ([]byte, error) {
	u := &ubjson{data: data, out: make([]byte, 0, 3*len(data))}
	marker, err := u.byte()
	if err == nil {
		err = u.value(marker, 0)
	}
	if err == nil && u.at != len(data) {
		err = fmt.Errorf("%d bytes after the model", len(data)-u.at)
	}
	if err != nil {
		return nil, fmt.Errorf("byte %d: %w", u.at, err)
	}
	return u.out, nil
}

// take returns the next n bytes.
func (u *ubjson) take(n int) ([]byte, error) {
	if n > len(u.data)-u.at {
		return nil, io.ErrUnexpectedEOF
	}
	u.at += n
	return u.data[u.at-n : u.at], nil
}

// byte returns the next byte that is not a no-op.
func (u *ubjson) byte() (byte, error) {
	for {
		b, err := u.take(1)
		if err != nil {
			return 0, err
		}
		if b[0] != 'N' {
			return b[0], nil
		}
	}
}

// peek is the next byte that is not a no-op, left where it is; 0 at the end.
func (u *ubjson) peek() byte {
	for u.at < len(u.data) && u.data[u.at] == 'N' {
		u.at++
	}
	if u.at == len(u.data) {
		return 0
	}
	return u.data[u.at]
}

// sizeOf is the number of bytes of a number, a character or, 0, anything else.
func sizeOf(marker byte) int {
	switch marker {
	case 'i', 'U', 'C':
		return 1
	case 'I':
		return 2
	case 'l', 'd':
		return 4
	case 'L', 'D':
		return 8
	}
	return 0
}

// value writes the value that a marker begins.
func (u *ubjson) value(marker byte, depth int) error {
	if depth > maxUBJSONDepth {
		return fmt.Errorf("values more than %d deep", maxUBJSONDepth)
	}
	switch marker {
	case '{':
		return u.object(depth)
	case '[':
		return u.array(depth)
	case 'S':
		return u.string()
	case 'Z':
		u.out = append(u.out, "null"...)
		return nil
	case 'T':
		u.out = append(u.out, "true"...)
		return nil
	case 'F':
		u.out = append(u.out, "false"...)
		return nil
	case 'H':
		return errors.New("high-precision numbers are not supported")
	}
	size := sizeOf(marker)
	if size == 0 {
		return fmt.Errorf("%q is not a type of UBJSON", marker)
	}
	raw, err := u.take(size)
	if err != nil {
		return err
	}
	return u.scalar(marker, raw)
}

// scalar writes a number or a character.
func (u *ubjson) scalar(marker byte, raw []byte) error {
	switch marker {
	case 'C':
		if raw[0] >= utf8.RuneSelf {
			return fmt.Errorf("character %#x is not ASCII", raw[0])
		}
		return u.quote(raw)
	case 'd':
		u.float(float64(math.Float32frombits(binary.BigEndian.Uint32(raw))), 32)
	case 'D':
		u.float(math.Float64frombits(binary.BigEndian.Uint64(raw)), 64)
	default:
		u.out = strconv.AppendInt(u.out, integer(marker, raw), 10)
	}
	return nil
}

// float writes a number; one that JSON does not have as floats reads it.
func (u *ubjson) float(v float64, bits int) {
	switch {
	case v != v:
		u.out = append(u.out, `"NaN"`...)
	case math.IsInf(v, 1):
		u.out = append(u.out, `"Infinity"`...)
	case math.IsInf(v, -1):
		u.out = append(u.out, `"-Infinity"`...)
	default:
		u.out = strconv.AppendFloat(u.out, v, 'E', -1, bits)
	}
}

// integer is the value of an integer of sizeOf(marker) bytes.
func integer(marker byte, raw []byte) int64 {
	switch marker {
	case 'i':
		return int64(int8(raw[0]))
	case 'U':
		return int64(raw[0])
	case 'I':
		return int64(int16(binary.BigEndian.Uint16(raw)))
	case 'l':
		return int64(int32(binary.BigEndian.Uint32(raw)))
	}
	return int64(binary.BigEndian.Uint64(raw))
}

// length reads a count: an integer with its marker.
func (u *ubjson) length() (int, error) {
	marker, err := u.byte()
	if err != nil {
		return 0, err
	}
	size := sizeOf(marker)
	if size == 0 || marker == 'C' || marker == 'd' || marker == 'D' {
		return 0, fmt.Errorf("a length begins with %q", marker)
	}
	raw, err := u.take(size)
	if err != nil {
		return 0, err
	}
	n := integer(marker, raw)
	if n < 0 || n > int64(len(u.data)-u.at) {
		return 0, fmt.Errorf("length %d, with %d bytes left", n, len(u.data)-u.at)
	}
	return int(n), nil
}

// string reads a length and text, and writes it.
func (u *ubjson) string() error {
	n, err := u.length()
	if err != nil {
		return err
	}
	raw, err := u.take(n)
	if err != nil {
		return err
	}
	return u.quote(raw)
}

func (u *ubjson) quote(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("text is not UTF-8")
	}
	quoted, err := json.Marshal(string(raw))
	u.out = append(u.out, quoted...)
	return err
}

// header reads the type and the count that a container may have: type 0 for any, count
// -1 for as many as come before the end.
func (u *ubjson) header() (kind byte, count int, err error) {
	if u.peek() == '$' {
		u.at++
		if kind, err = u.byte(); err != nil {
			return 0, 0, err
		}
		// Others take no bytes, or are containers, which XGBoost never types.
		if sizeOf(kind) == 0 && kind != 'S' {
			return 0, 0, fmt.Errorf("containers of type %q are not supported", kind)
		}
		if u.peek() != '#' {
			return 0, 0, errors.New("a container has a type but no count")
		}
	}
	if u.peek() != '#' {
		return 0, -1, nil
	}
	u.at++
	count, err = u.length()
	return kind, count, err
}

// element writes a container's next element.
func (u *ubjson) element(kind byte, depth int) error {
	if kind == 0 {
		var err error
		if kind, err = u.byte(); err != nil {
			return err
		}
	}
	return u.value(kind, depth+1)
}

// more tells whether a container of count elements, of which i are read, goes on.
func (u *ubjson) more(i, count int, end byte) bool {
	if count >= 0 {
		return i < count
	}
	if u.peek() == end {
		u.at++
		return false
	}
	return true // or it is cut, which the next read says
}

func (u *ubjson) array(depth int) error {
	kind, count, err := u.header()
	if err != nil {
		return err
	}
	u.out = append(u.out, '[')
	for i := 0; u.more(i, count, ']'); i++ {
		if i > 0 {
			u.out = append(u.out, ',')
		}
		if err := u.element(kind, depth); err != nil {
			return err
		}
	}
	u.out = append(u.out, ']')
	return nil
}

func (u *ubjson) object(depth int) error {
	kind, count, err := u.header()
	if err != nil {
		return err
	}
	keys := map[string]bool{}
	u.out = append(u.out, '{')
	for i := 0; u.more(i, count, '}'); i++ {
		if i > 0 {
			u.out = append(u.out, ',')
		}
		start := len(u.out)
		if err := u.string(); err != nil {
			return err
		}
		key := string(u.out[start:])
		if keys[key] {
			return fmt.Errorf("%.40s is twice in one object", key)
		}
		keys[key] = true
		u.out = append(u.out, ':')
		if err := u.element(kind, depth); err != nil {
			return err
		}
	}
	u.out = append(u.out, '}')
	return nil
}
