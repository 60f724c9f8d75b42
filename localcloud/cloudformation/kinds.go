package cloudformation

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// kind is a resource type.
type kind struct {
	props      reflect.Type
	attributes []string
	anyProps   bool // takes any properties, and does nothing
	nameLimit  int
	lowerName  bool
	format     func(stack, logical, unique string) string // of a generated name; nil is <stack>-<logical>-<unique>

	create func(*step, any) (made, error)
	update func(s *step, id string, old, new any) (made, error) // nil: a change replaces
	remove func(s *step, id string, p any) error
	// exists and adopt take one that is there already into a stack; nil where
	// that cannot be. They need expected.
	exists func(s *step, p any) (bool, error)
	adopt  func(s *step, p any) (made, error)
	// expected is the id that creation would give; nil when only the service knows it.
	expected func(c *CloudFormation, p any) string
}

// made is what came to be: its physical id, what Ref gives (the id unless
// said), and the values of its attributes.
type made struct {
	ID, Ref    string
	Attributes map[string]string
}

// handlers are a kind's functions over its own properties.
type handlers[P any] struct {
	attributes []string
	nameLimit  int
	lowerName  bool
	format     func(stack, logical, unique string) string
	create     func(*step, *P) (made, error)
	update     func(s *step, id string, old, new *P) (made, error)
	remove     func(s *step, id string, p *P) error
	exists     func(s *step, p *P) (bool, error)
	adopt      func(s *step, p *P) (made, error)
	expected   func(c *CloudFormation, p *P) string
}

func kindOf[P any](h handlers[P]) *kind {
	k := &kind{props: reflect.TypeFor[P](), attributes: h.attributes, nameLimit: h.nameLimit, lowerName: h.lowerName, format: h.format}
	k.create = func(s *step, p any) (made, error) { return h.create(s, p.(*P)) }
	k.remove = func(s *step, id string, p any) error { return h.remove(s, id, p.(*P)) }
	if h.update != nil {
		k.update = func(s *step, id string, old, new any) (made, error) { return h.update(s, id, old.(*P), new.(*P)) }
	}
	if h.exists != nil {
		k.exists = func(s *step, p any) (bool, error) { return h.exists(s, p.(*P)) }
		k.adopt = func(s *step, p any) (made, error) { return h.adopt(s, p.(*P)) }
	}
	if h.expected != nil {
		k.expected = func(c *CloudFormation, p any) string { return h.expected(c, p.(*P)) }
	}
	return k
}

// decode puts resolved properties into the kind's struct, and the generated
// name where the template gives none.
func (k *kind) decode(properties map[string]any, name string) (any, error) {
	p := reflect.New(k.props)
	if k.anyProps {
		return p.Interface(), nil
	}
	if err := fill(p.Elem(), mapOf(properties), "Properties"); err != nil {
		return nil, err
	}
	if f, ok := k.nameField(); ok && p.Elem().FieldByIndex(f.Index).Len() == 0 {
		p.Elem().FieldByIndex(f.Index).SetString(name)
	}
	return p.Interface(), nil
}

func (k *kind) nameField() (reflect.StructField, bool) {
	for i := range k.props.NumField() {
		if f := k.props.Field(i); tagged(f, "name") {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// customName is the name that the template itself gives.
func (k *kind) customName(properties map[string]any) string {
	if f, ok := k.nameField(); ok {
		return asString(properties[f.Name])
	}
	return ""
}

// changed lists the properties that differ, sorted.
func changed(old, new map[string]any) []string {
	var names []string
	for k, v := range new {
		if o, ok := old[k]; !ok || canonical(o) != canonical(v) {
			names = append(names, k)
		}
	}
	for k := range old {
		if _, ok := new[k]; !ok {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	return names
}

// replaces reports whether a change of these properties needs a new resource.
func (k *kind) replaces(names []string) bool {
	if k.anyProps {
		return false
	}
	if k.update == nil {
		return true
	}
	for _, n := range names {
		if f, ok := k.props.FieldByName(n); ok && (tagged(f, "replace") || tagged(f, "name")) {
			return true
		}
	}
	return false
}

// noEffect lists given properties that nothing here acts on.
func (k *kind) noEffect(properties map[string]any) []string {
	var names []string
	for _, n := range sortedKeys(properties) {
		if f, ok := k.props.FieldByName(n); ok && tagged(f, "noeffect") {
			names = append(names, n)
		}
	}
	return names
}

// generate makes a physical name in AWS's form. It is the same whenever the
// same stack is created, so that runs can be compared.
func (k *kind) generate(account, region, stack, logical string, generation int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%s/%s/%d", account, region, stack, logical, generation))
	unique := base32.StdEncoding.EncodeToString(sum[:])[:12]
	if k.format != nil {
		return k.format(stack, logical, unique)
	}
	limit := k.nameLimit
	if limit == 0 {
		limit = 64
	}
	prefix := stack + "-" + logical
	prefix = prefix[:min(len(prefix), limit-13)]
	name := prefix + "-" + unique
	if k.lowerName {
		name = strings.ToLower(name)
	}
	return name
}

// step is what a kind's functions work with: one resource of one stack.
type step struct {
	ctx       context.Context
	c         *CloudFormation
	stackTags map[string]string
	name      string // generated
}

// call runs another service's operation; out may be nil.
func (s *step) call(service, operation string, in map[string]any, out any) error {
	for k, v := range in {
		if empty(v) {
			delete(in, k)
		}
	}
	raw, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode %s:%s: %w", service, operation, err)
	}
	answer, err := s.c.o.Call(s.ctx, service, operation, raw)
	if err != nil {
		return fmt.Errorf("call %s:%s: %w", service, operation, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read answer of %s:%s: %w", service, operation, err)
	}
	return nil
}

// empty reports members that a request leaves out.
func empty(v any) bool {
	if v == nil {
		return true
	}
	r := reflect.ValueOf(v)
	switch r.Kind() {
	case reflect.String, reflect.Map, reflect.Slice:
		return r.Len() == 0
	case reflect.Pointer:
		return r.IsNil()
	}
	return false
}

// quietly calls an operation that removes something; what is gone already is no error.
func (s *step) quietly(service, operation string, in map[string]any) error {
	err := s.call(service, operation, in, nil)
	if gone(err) {
		return nil
	}
	return err
}

// gone reports whether an error says that the thing does not exist.
func gone(err error) bool {
	if err == nil {
		return false
	}
	code := wire.AsError(err).Code
	for _, part := range []string{"NotFound", "NoSuch", "DoesNotExist", "NonExistent"} {
		if strings.Contains(code, part) {
			return true
		}
	}
	// SageMaker says it in words only.
	return code == "ValidationException" && strings.Contains(wire.AsError(err).Message, "does not exist")
}

// tag is a resource tag, as most types take it.
type tag struct{ Key, Value string }

// tags are a resource's own tags and the stack's, sorted by key; the resource's win.
func (s *step) tags(own []tag) map[string]string {
	out := map[string]string{}
	for k, v := range s.stackTags {
		out[k] = v
	}
	for _, t := range own {
		out[t.Key] = t.Value
	}
	return out
}

func tagList(m map[string]string) []tag {
	var out []tag
	for _, k := range sortedKeys(m) {
		out = append(out, tag{k, m[k]})
	}
	return out
}

func (c *CloudFormation) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + c.o.Region + ":" + c.o.Account + ":" + resource
}
