package model

import (
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
)

// style is how a service refuses inputs.
type style struct {
	code   string                         // of the error; ValidationException when empty
	word   func(found []violation) string // nil: coral
	refuse func(v violation) *Refusal     // an error of its own for the first violation, or nil; may be nil
	own    []string                       // shapes that the service checks by itself, with other errors
}

var styles = map[string]style{
	"cloudformation": {code: "ValidationError"},
	"ecr":            {code: "InvalidParameterException", word: ecr},
	"iam":            {code: "ValidationError", refuse: iam},
	"lambda":         {own: []string{"Runtime"}},
	"logs":           {code: "InvalidParameterException"},
	"sns":            {code: "ValidationError"},
	"sqs":            {refuse: sqs, own: []string{"QueueAttributeName", "MessageSystemAttributeName", "MessageSystemAttributeNameForSends"}},
	"sts":            {code: "ValidationError"},
}

// coral is the wording of the framework that most services are made with.
func coral(found []violation) string {
	texts := make([]string, len(found))
	for i, v := range found {
		value := "'" + v.value + "'"
		if v.null {
			value = "null"
		}
		texts[i] = fmt.Sprintf("Value %s at '%s' failed to satisfy constraint: %s", value, v.path, v.broken)
	}
	if len(texts) == 1 {
		return "1 validation error detected: " + texts[0]
	}
	return fmt.Sprintf("%d validation errors detected: %s", len(texts), strings.Join(texts, "; "))
}

func ecr(found []violation) string {
	broken := strings.TrimPrefix(found[0].broken, "Member ")
	if found[0].pattern != "" {
		broken = "must satisfy regular expression '" + found[0].pattern + "'"
	}
	return fmt.Sprintf("Invalid parameter at '%s' failed to satisfy constraint: '%s'", found[0].path, broken)
}

func iam(v violation) *Refusal {
	if v.pattern != `[\w+=,.@-]+` {
		return nil
	}
	return &Refusal{Code: "ValidationError", Message: "The specified value for " + v.path + " is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"}
}

func sqs(v violation) *Refusal {
	if v.null {
		return &Refusal{Code: "MissingParameter", Message: "The request must contain the parameter " + v.member + "."}
	}
	return &Refusal{Code: "InvalidParameterValue", Message: fmt.Sprintf("Value %s for parameter %s is invalid. Reason: %s.", v.value, v.member, v.broken)}
}

// all lists what a shape asks of an item of a list or a map.
func all(s Shape) string {
	var parts []string
	if s.Type == "string" && s.Max != nil {
		parts = append(parts, most(s))
	}
	if s.Type == "string" && s.Min != nil {
		parts = append(parts, least(s))
	}
	if s.Pattern != "" {
		parts = append(parts, "Member must satisfy regular expression pattern: "+s.Pattern)
	}
	if len(s.Enum) > 0 {
		parts = append(parts, "Member must satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
	}
	if s.Type != "string" && s.Max != nil {
		parts = append(parts, most(s))
	}
	if s.Type != "string" && s.Min != nil {
		parts = append(parts, least(s))
	}
	if len(s.Enum) > 0 || s.Type != "string" {
		parts = append(parts, "Member must not be null")
	}
	return strings.Join(parts, ", ")
}

func least(s Shape) string {
	return "Member must have " + measure(s) + " greater than or equal to " + figure(s, *s.Min)
}

func most(s Shape) string {
	return "Member must have " + measure(s) + " less than or equal to " + figure(s, *s.Max)
}

func measure(s Shape) string {
	switch s.Type {
	case "integer", "long", "float", "double":
		return "value"
	}
	return "length"
}

// figure prints a limit; a fraction's has a point always.
func figure(s Shape, n float64) string {
	text := strconv.FormatFloat(n, 'f', -1, 64)
	if (s.Type == "float" || s.Type == "double") && !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// show prints a value of a shape as AWS's messages do: [a, b], {k=v} and
// Name(member=value), cut when long.
func (c *checker) show(name string, v reflect.Value) string {
	text := c.print(name, v)
	if r := []rune(text); len(r) > 500 {
		return string(r[:500]) + "..."
	}
	return text
}

func (c *checker) print(name string, v reflect.Value) string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return "null"
		}
		v = v.Elem()
	}
	s := c.Shapes[name]
	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%d]", v.Len(), v.Len())
		}
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = c.print(s.Member, v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		var parts []string
		for _, k := range v.MapKeys() {
			parts = append(parts, k.String()+"="+c.print(s.Value, v.MapIndex(k)))
		}
		sort.Strings(parts)
		return "{" + strings.Join(parts, ", ") + "}"
	case reflect.Struct:
		if s.Type != "structure" { // a time
			return fmt.Sprint(v.Interface())
		}
		var parts []string
		for _, m := range s.Members {
			value := "null"
			if f := v.FieldByName(upperFirst(m[0])); f.IsValid() && !absent(f) {
				value = c.print(m[1], f)
			}
			parts = append(parts, LowerFirst(m[0])+"="+value)
		}
		return name + "(" + strings.Join(parts, ", ") + ")"
	}
	return fmt.Sprint(v.Interface())
}
