package cloudformation

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// A resource type's properties are a Go struct. The tag `cfn` says what is
// special about a property: name (it names the resource), required, replace
// (a change replaces the resource), noeffect (kept, but nothing here does it).

func tagged(f reflect.StructField, what string) bool {
	for t := range strings.SplitSeq(f.Tag.Get("cfn"), ",") {
		if t == what {
			return true
		}
	}
	return false
}

// checkShape compares unresolved properties with the struct that will hold
// them; function calls stand for any value.
func checkShape(t reflect.Type, v any, path string, p *problems) {
	if name, arg, ok := intrinsic(v); ok && t != anyType && name != "Condition" {
		if list, isList := arg.([]any); name == "Fn::If" && isList && len(list) == 3 {
			checkShape(t, list[1], path, p)
			checkShape(t, list[2], path, p)
		}
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		checkShape(t.Elem(), v, path, p)
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			p.add(path, "expected an object, got %s", kindOfValue(v))
			return
		}
		checkMembers(t, m, path, p)
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			// CloudFormation takes a single value for a list of one.
			checkShape(t.Elem(), v, path, p)
			return
		}
		for i, e := range list {
			checkShape(t.Elem(), e, path+"/"+strconv.Itoa(i), p)
		}
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			p.add(path, "expected an object, got %s", kindOfValue(v))
			return
		}
		for _, k := range sortedKeys(m) {
			checkShape(t.Elem(), m[k], path+"/"+k, p)
		}
	case reflect.Interface:
	default:
		if isDynamic(v) {
			return
		}
		if _, err := scalar(t, v); err != nil {
			p.add(path, "%v", err)
		}
	}
}

func checkMembers(t reflect.Type, m map[string]any, path string, p *problems) {
	for _, k := range sortedKeys(m) {
		f, ok := t.FieldByName(k)
		if !ok {
			p.add(path, "property %s is not known to the local cloud (known: %s)", k, strings.Join(members(t), ", "))
			continue
		}
		checkShape(f.Type, m[k], path+"/"+k, p)
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if _, given := m[f.Name]; tagged(f, "required") && !given {
			p.add(path, "required property %s is missing", f.Name)
		}
	}
}

func members(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		names = append(names, t.Field(i).Name)
	}
	sort.Strings(names)
	return names
}

func kindOfValue(v any) string {
	switch v.(type) {
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	case nil:
		return "null"
	}
	return "the scalar " + asString(v)
}

// scalar converts as CloudFormation does: "5" is a number and 5 a string, where wanted.
func scalar(t reflect.Type, v any) (reflect.Value, error) {
	out := reflect.New(t).Elem()
	switch v.(type) {
	case string, json.Number, bool:
	default:
		return out, fmt.Errorf("expected a %s, got %s", t.Kind(), kindOfValue(v))
	}
	text := asString(v)
	switch t.Kind() {
	case reflect.String:
		out.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil || (text != "true" && text != "false") {
			return out, fmt.Errorf("expected true or false, got %q", text)
		}
		out.SetBool(b)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return out, fmt.Errorf("expected a whole number, got %q", text)
		}
		out.SetInt(int64(n))
	default:
		return out, fmt.Errorf("no conversion to %s", t)
	}
	return out, nil
}

// fill puts resolved properties into their struct.
func fill(out reflect.Value, v any, path string) error {
	t := out.Type()
	switch t.Kind() {
	case reflect.Pointer:
		out.Set(reflect.New(t.Elem()))
		return fill(out.Elem(), v, path)
	case reflect.Struct:
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: expected an object, got %s", path, kindOfValue(v))
		}
		var p problems
		checkMembers(t, m, path, &p)
		if len(p) > 0 {
			return fmt.Errorf("%s", strings.Join(p.texts(), "; "))
		}
		for _, k := range sortedKeys(m) {
			if err := fill(out.FieldByName(k), m[k], path+"/"+k); err != nil {
				return err
			}
		}
		return nil
	case reflect.Slice:
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		out.Set(reflect.MakeSlice(t, len(list), len(list)))
		for i, e := range list {
			if err := fill(out.Index(i), e, path+"/"+strconv.Itoa(i)); err != nil {
				return err
			}
		}
		return nil
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: expected an object, got %s", path, kindOfValue(v))
		}
		out.Set(reflect.MakeMap(t))
		for _, k := range sortedKeys(m) {
			e := reflect.New(t.Elem()).Elem()
			if err := fill(e, m[k], path+"/"+k); err != nil {
				return err
			}
			out.SetMapIndex(reflect.ValueOf(k), e)
		}
		return nil
	case reflect.Interface:
		if v != nil {
			out.Set(reflect.ValueOf(v))
		}
		return nil
	}
	s, err := scalar(t, v)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	out.Set(s)
	return nil
}

// document is a policy or pattern as the services take it: text. A property
// may give it as an object or as text already.
func document(v any) string {
	if v == nil {
		return ""
	}
	if s, ok := v.(string); ok {
		return s
	}
	return canonical(v)
}

func encodeBase64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
