package model

import (
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Refusal is AWS's answer to an input that breaks constraints.
type Refusal struct{ Code, Message string }

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// violation is one constraint that an input breaks.
type violation struct {
	member  string // its name in the API, without what it lies in
	path    string // "targets.1.member.id"
	value   string // as AWS shows it; "" with null
	null    bool
	broken  string // "Member must …"
	pattern string // that was not matched
}

// Check holds in, the input struct of the named operation, against the
// operation's constraints; a *Refusal tells of every one that it breaks. Of what
// was JSON, as tells more than in holds; else it is nil.
func (s *Service) Check(operation string, in any, as *Reading) error {
	shape, ok := s.Operations[operation]
	if !ok {
		return fmt.Errorf("check input: no constraints are known of %s:%s (hint: run localcloud/wire/model/gen)", s.name, operation)
	}
	c := checker{Service: s, as: as}
	c.walk(shape, "", reflect.ValueOf(in), "")
	if len(c.found) == 0 {
		return nil
	}
	if s.style.refuse != nil {
		if r := s.style.refuse(c.found[0]); r != nil {
			return r
		}
	}
	word := s.style.word
	if word == nil {
		word = coral
	}
	return &Refusal{Code: s.style.code, Message: word(c.found)}
}

type checker struct {
	*Service
	as    *Reading
	found []violation
}

func (c *checker) walk(name, member string, v reflect.Value, path string) {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() == reflect.Interface || slices.Contains(c.style.own, name) {
		return
	}
	s := c.Shapes[name]
	if s.Type != "structure" {
		for _, b := range c.broken(s, v) {
			b.member, b.path, b.value = member, path, c.show(name, v)
			c.found = append(c.found, b)
		}
	}
	switch s.Type {
	case "structure":
		c.members(s, v, path)
	case "list":
		c.items(name, member, v, path)
	case "map":
		c.entries(name, member, v, path)
	}
}

func (c *checker) members(s Shape, v reflect.Value, path string) {
	for _, m := range s.Members {
		p := join(path, LowerFirst(m[0]))
		f := v.FieldByName(upperFirst(m[0]))
		switch {
		case !f.IsValid(): // no member of the body
		case !absent(f):
			c.walk(m[1], m[0], f, p)
		case slices.Contains(s.Required, m[0]) && (!number(f) || c.as != nil && !c.as.Given(p)):
			c.found = append(c.found, violation{member: m[0], path: p, null: true, broken: "Member must not be null"})
		}
	}
}

// items looks into a list: AWS tells of texts and numbers in it by the list.
func (c *checker) items(name, member string, v reflect.Value, path string) {
	item := c.Shapes[name].Member
	s := c.Shapes[item]
	for i := range v.Len() {
		if s.Type == "structure" || s.Type == "list" || s.Type == "map" {
			c.walk(item, member, v.Index(i), path+"."+strconv.Itoa(i+1)+".member")
		} else if !slices.Contains(c.style.own, item) && len(c.broken(s, v.Index(i))) > 0 {
			c.found = append(c.found, violation{member: member, path: path, value: c.show(name, v), broken: "Member must satisfy constraint: [" + all(s) + "]"})
			return
		}
	}
}

func (c *checker) entries(name, member string, v reflect.Value, path string) {
	key, value := c.Shapes[name].Key, c.Shapes[name].Value
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	told := map[string]bool{} // once for the map
	tell := func(what, shape string, at reflect.Value) {
		if !slices.Contains(c.style.own, shape) && len(c.broken(c.Shapes[shape], at)) > 0 && !told[what] {
			told[what] = true
			c.found = append(c.found, violation{member: member, path: path, value: c.show(name, v), broken: what + " must satisfy constraint: [" + all(c.Shapes[shape]) + "]"})
		}
	}
	for _, k := range keys {
		tell("Map keys", key, k)
		switch c.Shapes[value].Type {
		case "structure", "list", "map":
			c.walk(value, member, v.MapIndex(k), path+"."+k.String()+".member")
		default:
			tell("Map value", value, v.MapIndex(k))
		}
	}
}

// broken tells which constraints a value breaks by itself.
func (c *checker) broken(s Shape, v reflect.Value) (out []violation) {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	size := 0.0
	switch v.Kind() {
	case reflect.String:
		text := v.String()
		if s.Pattern != "" && !c.matches(s, text) {
			out = append(out, violation{pattern: s.Pattern, broken: "Member must satisfy regular expression pattern: " + s.Pattern})
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			out = append(out, violation{broken: "Member must satisfy enum value set: [" + strings.Join(s.Enum, ", ") + "]"})
		}
		size = float64(len(utf16.Encode([]rune(text))))
	case reflect.Slice, reflect.Map:
		size = float64(v.Len())
	case reflect.Int, reflect.Int32, reflect.Int64:
		size = float64(v.Int())
	case reflect.Float32, reflect.Float64:
		size = v.Float()
	default:
		return nil
	}
	if s.Min != nil && size < *s.Min {
		out = append(out, violation{broken: least(s)})
	}
	if s.Max != nil && size > *s.Max {
		out = append(out, violation{broken: most(s)})
	}
	return out
}

// absent reports a member that was not sent. The SDK's numbers by value cannot
// tell: of those a Reading does, where one is required. No other has a zero that
// AWS refuses.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return v.IsNil()
	case reflect.String: // enums are strings by value
		return v.Len() == 0
	}
	return number(v) && v.IsZero()
}

func number(v reflect.Value) bool { return numeric(v.Kind()) }

func numeric(k reflect.Kind) bool {
	switch k {
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Float32, reflect.Float64, reflect.Bool:
		return true
	}
	return false
}
