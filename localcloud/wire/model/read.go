package model

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Reading is what a request's JSON says beyond what the SDK's structs hold.
type Reading struct {
	Body    []byte   // the JSON without the members that AWS does not know
	Unknown []string // those, by path, in their order
	given   map[string]bool
}

// Given reports whether a number that the SDK holds by value was sent, by its path
// in refusals ("entries.1.member.delaySeconds"): the struct cannot tell that from a zero.
func (r *Reading) Given(path string) bool { return r != nil && r.given[path] }

// Read reads the JSON of an operation's input, a struct of type in: AWS passes over
// members that its model does not know, and takes names letter by letter; exact
// false (calls inside the cloud) takes any case of the first letter and keeps all.
func (s *Service) Read(operation string, raw []byte, in reflect.Type, exact bool) (*Reading, error) {
	r := reader{Service: s, exact: exact, d: jsontext.NewDecoder(bytes.NewReader(raw)), out: make([]byte, 0, len(raw)), given: map[string]bool{}}
	if err := r.value(s.Operations[operation], in, "", ""); err != nil {
		return nil, fmt.Errorf("read input of %s:%s: %w", s.name, operation, err)
	}
	if _, err := r.d.ReadToken(); err != io.EOF {
		return nil, fmt.Errorf("read input of %s:%s: there is more behind it: %w", s.name, operation, err)
	}
	return &Reading{Body: r.out, Unknown: r.unknown, given: r.given}, nil
}

type reader struct {
	*Service
	exact   bool
	d       *jsontext.Decoder
	out     []byte
	unknown []string
	given   map[string]bool
}

// value copies one value of a shape: told is its path in what the request's
// sender wrote, path the one in refusals.
func (r *reader) value(name string, t reflect.Type, told, path string) error {
	s, kind := r.Shapes[name], r.d.PeekKind()
	if numeric(t.Kind()) && kind != 'n' {
		r.given[path] = true
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t.Kind() == reflect.Struct && s.Type == "structure" && kind == '{':
		return r.object(func(member string) (string, reflect.Type, string, string, bool) {
			i := slices.IndexFunc(s.Members, func(m [2]string) bool {
				return m[0] == member || !r.exact && upperFirst(m[0]) == upperFirst(member)
			})
			if i < 0 {
				return "", nil, join(told, member), "", !r.exact
			}
			f, _ := t.FieldByName(upperFirst(member))
			return s.Members[i][1], f.Type, join(told, member), join(path, LowerFirst(member)), true
		})
	case t.Kind() == reflect.Map && s.Type == "map" && kind == '{':
		return r.object(func(key string) (string, reflect.Type, string, string, bool) {
			return s.Value, t.Elem(), join(told, key), path + "." + key + ".member", true
		})
	case t.Kind() == reflect.Slice && s.Type == "list" && kind == '[':
		return r.list(s.Member, t.Elem(), told, path)
	}
	raw, err := r.d.ReadValue()
	r.out = append(r.out, raw...)
	return err
}

// object copies an object's members of which of tells shape, type and paths, and
// passes over those that it does not know.
func (r *reader) object(of func(name string) (shape string, t reflect.Type, told, path string, known bool)) error {
	if _, err := r.d.ReadToken(); err != nil {
		return err
	}
	r.out = append(r.out, '{')
	for first := true; r.d.PeekKind() != '}'; {
		token, err := r.d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		shape, t, told, path, known := of(name)
		if !known {
			r.unknown = append(r.unknown, told)
			if err := r.d.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if !first {
			r.out = append(r.out, ',')
		}
		first = false
		if r.out, err = jsontext.AppendQuote(r.out, name); err != nil {
			return err
		}
		r.out = append(r.out, ':')
		if t == nil { // the SDK lacks it, or nobody knows it: the decoder says so
			raw, err := r.d.ReadValue()
			if err != nil {
				return err
			}
			r.out = append(r.out, raw...)
			continue
		}
		if err := r.value(shape, t, told, path); err != nil {
			return err
		}
	}
	_, err := r.d.ReadToken()
	r.out = append(r.out, '}')
	return err
}

func (r *reader) list(item string, t reflect.Type, told, path string) error {
	if _, err := r.d.ReadToken(); err != nil {
		return err
	}
	r.out = append(r.out, '[')
	for i := 0; r.d.PeekKind() != ']'; i++ {
		if i > 0 {
			r.out = append(r.out, ',')
		}
		if err := r.value(item, t, told+"["+strconv.Itoa(i)+"]", path+"."+strconv.Itoa(i+1)+".member"); err != nil {
			return err
		}
	}
	_, err := r.d.ReadToken()
	r.out = append(r.out, ']')
	return err
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
