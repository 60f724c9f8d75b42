package asl

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// doc is a JSON value with its text; either may be made from the other once.
// The value is shared and never changed in place.
type doc struct {
	v      any // nil, bool, json.Number, string, []any, *object
	text   string
	hasVal bool
}

func newDoc(v any) *doc { return &doc{v: v, hasVal: true} }

var emptyObject = &doc{v: &object{}, text: "{}", hasVal: true}

func (d *doc) Value() any {
	if !d.hasVal {
		v, err := decode(d.text, false)
		if err != nil {
			panic("asl: text was not checked: " + err.Error())
		}
		d.v, d.hasVal = v, true
	}
	return d.v
}

func (d *doc) Text() string {
	if d.text == "" {
		d.text = string(appendJSON(nil, d.v))
	}
	return d.text
}

// MarshalJSON keeps the text as it is.
func (d *doc) MarshalJSON() ([]byte, error) { return json.Marshal(d.Text()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (d *doc) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &d.text); err != nil {
		return err
	}
	v, err := decode(d.text, false)
	if err != nil {
		return fmt.Errorf("read saved value: %w", err)
	}
	d.v, d.hasVal = v, true
	return nil
}

// parseDoc checks text and keeps it.
func parseDoc(text string) (*doc, error) {
	v, err := decode(text, false)
	if err != nil {
		return nil, err
	}
	return &doc{v: v, text: text, hasVal: true}, nil
}

// decode reads one JSON value; numbers keep their text. Strict refuses
// duplicate names, which payloads may have (the last one counts).
func decode(text string, strict bool) (any, error) {
	dec := jsontext.NewDecoder(strings.NewReader(text), jsontext.AllowDuplicateNames(!strict), jsontext.AllowInvalidUTF8(!strict))
	v, err := decodeValue(dec)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("no JSON value")
		}
		return nil, err
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		if err == nil {
			err = errors.New("text after the JSON value")
		}
		return nil, err
	}
	return v, nil
}

func decodeValue(dec *jsontext.Decoder) (any, error) {
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch tok.Kind() {
	case 'n':
		return nil, nil
	case 't', 'f':
		return tok.Bool(), nil
	case '"':
		return tok.String(), nil
	case '0':
		return json.Number(tok.String()), nil
	case '[':
		list := []any{}
		for dec.PeekKind() != ']' {
			v, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.ReadToken()
		return list, err
	default:
		obj := &object{}
		for dec.PeekKind() != '}' {
			k, err := dec.ReadToken()
			if err != nil {
				return nil, err
			}
			name := k.String()
			v, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			obj.set(name, v)
		}
		_, err := dec.ReadToken()
		return obj, err
	}
}

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return append(b, v...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case string:
		return appendString(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case *object:
		b = append(b, '{')
		for i, k := range v.names {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			b = appendJSON(b, v.values[i])
		}
		return append(b, '}')
	}
	panic(fmt.Sprintf("asl: %T is no JSON value", v))
}

func appendString(b []byte, s string) []byte {
	q, err := jsontext.AppendQuote(b, s)
	if err != nil { // invalid UTF-8
		q, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	}
	return q
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// display renders a value as States.Format does: strings bare, objects and
// arrays as Java prints them.
func display(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = display(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case *object:
		parts := make([]string, len(v.names))
		for i, k := range v.names {
			parts[i] = k + "=" + display(v.values[i])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return string(appendJSON(nil, v))
}

// compareNumbers orders two JSON numbers exactly.
func compareNumbers(a, b json.Number) int {
	x, errX := strconv.ParseInt(string(a), 10, 64)
	y, errY := strconv.ParseInt(string(b), 10, 64)
	if errX == nil && errY == nil {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	if len(a) < 40 && len(b) < 40 && !bytes.ContainsAny([]byte(a+b), "eE") {
		p, okP := new(big.Rat).SetString(string(a))
		q, okQ := new(big.Rat).SetString(string(b))
		if okP && okQ {
			return p.Cmp(q)
		}
	}
	f, _ := a.Float64()
	g, _ := b.Float64()
	switch {
	case f < g:
		return -1
	case f > g:
		return 1
	}
	return 0
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && compareNumbers(a, b) == 0
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case *object:
		b, ok := b.(*object)
		if !ok || len(a.names) != len(b.names) {
			return false
		}
		for i, k := range a.names {
			w, ok := b.get(k)
			if !ok || !equal(a.values[i], w) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case []any, *object:
		return false
	}
	return a == b
}

// integer reads a JSON number that is a whole number.
func integer(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	if i, err := strconv.ParseInt(string(n), 10, 64); err == nil {
		return i, true
	}
	f, err := n.Float64()
	if err != nil || f != float64(int64(f)) || f > 1<<53 || f < -(1<<53) {
		return 0, false
	}
	return int64(f), true
}

func number(i int64) json.Number { return json.Number(strconv.FormatInt(i, 10)) }
