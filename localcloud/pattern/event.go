package pattern

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// kind is a JSON value's type.
type kind byte

const (
	kindString kind = iota + 1
	kindNumber
	kindWord // true, false, null
)

// value is one leaf of an event: its text (strings unquoted), its number when
// it is one, and the array elements it lies in.
type value struct {
	kind   kind
	text   string
	number float64
	arrays []member // ascending by array
}

// member says that a value lies in element index of an array of the event.
type member struct{ array, index int }

// Event is an event flattened for matching: dotted path → its leaves.
type Event struct{ fields map[string][]value }

// ParseEvent flattens a JSON object.
func ParseEvent(raw []byte) (*Event, error) {
	d := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if d.PeekKind() != '{' {
		return nil, errors.New("parse event: must be a JSON object")
	}
	f := flattener{d: d, event: &Event{fields: map[string][]value{}}}
	if err := f.value(root, nil); err != nil {
		return nil, fmt.Errorf("parse event: %w", err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("parse event: data after the JSON object")
	}
	return f.event, nil
}

type flattener struct {
	d      *jsontext.Decoder
	event  *Event
	arrays int
}

func (f *flattener) value(path string, in []member) error {
	t, err := f.d.ReadToken()
	if err != nil {
		return err
	}
	switch t.Kind() {
	case '{':
		return f.object(path, in)
	case '[':
		return f.array(path, in)
	case '"':
		f.leaf(path, value{kind: kindString, text: t.String(), arrays: in})
	case '0':
		text := t.String()
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || !told(text, n) {
			n = math.NaN() // beyond what can be compared: only its text can match
		}
		f.leaf(path, value{kind: kindNumber, text: text, number: n, arrays: in})
	default:
		f.leaf(path, value{kind: kindWord, text: t.String(), arrays: in})
	}
	return nil
}

func (f *flattener) leaf(path string, v value) {
	f.event.fields[path] = append(f.event.fields[path], v)
}

func (f *flattener) object(path string, in []member) error {
	for f.d.PeekKind() != '}' {
		name, err := f.d.ReadToken()
		if err != nil {
			return err
		}
		if err := f.value(join(path, name.String()), in); err != nil {
			return err
		}
	}
	_, err := f.d.ReadToken()
	return err
}

func (f *flattener) array(path string, in []member) error {
	id := f.arrays
	f.arrays++
	for i := 0; f.d.PeekKind() != ']'; i++ {
		inside := in
		// A scalar of an array is no member of it: ["a","b"] matches on any.
		if k := f.d.PeekKind(); k == '{' || k == '[' {
			inside = append(in[:len(in):len(in)], member{array: id, index: i})
		}
		if err := f.value(path, inside); err != nil {
			return err
		}
	}
	_, err := f.d.ReadToken()
	return err
}

// root is the path of the whole event, which no name is: a name can be empty.
const root = "\xff"

func join(path, name string) string {
	if path == root {
		return name
	}
	return path + "." + name
}

// consistent adds a value's array elements to those settled; ok is false when
// the value lies in another element of an array that is already settled.
func consistent(settled, arrays []member) (merged []member, ok bool) {
	if len(arrays) == 0 {
		return settled, true
	}
	if len(settled) == 0 {
		return arrays, true
	}
	merged = make([]member, 0, len(settled)+len(arrays))
	i, j := 0, 0
	for i < len(settled) && j < len(arrays) {
		a, b := settled[i], arrays[j]
		switch {
		case a.array < b.array:
			merged = append(merged, a)
			i++
		case a.array > b.array:
			merged = append(merged, b)
			j++
		case a.index != b.index:
			return nil, false
		default:
			merged = append(merged, a)
			i, j = i+1, j+1
		}
	}
	merged = append(merged, settled[i:]...)
	return append(merged, arrays[j:]...), true
}
