// Package constraint checks the inputs of SageMaker operations as AWS does:
// required members, lengths, ranges, enums and anchored patterns, with AWS's
// wording. The constraints are those of botocore 1.43.11's service model
// (Apache-2.0), in model.json, which gen writes.
package constraint

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Operations are those whose inputs model.json describes.
var Operations = []string{
	"AddTags", "CreateModel", "CreateModelPackage", "CreateModelPackageGroup", "CreateProcessingJob", "CreateTrainingJob",
	"CreateTransformJob", "DeleteModel", "DeleteModelPackage", "DeleteModelPackageGroup", "DeleteTags", "DescribeModel",
	"DescribeModelPackage", "DescribeModelPackageGroup", "DescribeProcessingJob", "DescribeTrainingJob", "DescribeTransformJob",
	"ListModelPackageGroups", "ListModelPackages", "ListModels", "ListProcessingJobs", "ListTags", "ListTrainingJobs",
	"ListTransformJobs", "StopProcessingJob", "StopTrainingJob", "StopTransformJob", "UpdateModelPackage",
}

// Model is the constraints of some operations' inputs.
type Model struct {
	Operations map[string]string `json:"operations"` // operation → input shape
	Shapes     map[string]Shape  `json:"shapes"`
}

// Shape is one shape of the service model.
type Shape struct {
	Type      string      `json:"type"`
	Members   [][2]string `json:"members,omitempty"` // name, shape; in the model's order
	Required  []string    `json:"required,omitempty"`
	Member    string      `json:"member,omitempty"` // of a list
	Key       string      `json:"key,omitempty"`    // of a map
	Value     string      `json:"value,omitempty"`
	Enum      []string    `json:"enum,omitempty"`
	Min       *float64    `json:"min,omitempty"`
	Max       *float64    `json:"max,omitempty"`
	Pattern   string      `json:"pattern,omitempty"`
	GoPattern string      `json:"go,omitempty"` // where Go's syntax differs
}

// Regexp is the shape's pattern for Go, anchored: botocore's are not, AWS matches whole values.
func (s Shape) Regexp() string {
	p := s.Pattern
	if s.GoPattern != "" {
		p = s.GoPattern
	}
	return `^(?:` + p + `)$`
}

//go:embed model.json
var modelJSON []byte

var loaded = sync.OnceValues(func() (*checker, error) {
	c := &checker{patterns: map[string]*regexp.Regexp{}}
	if err := json.Unmarshal(modelJSON, &c.model); err != nil {
		return nil, fmt.Errorf("read model.json: %w", err)
	}
	for _, s := range c.model.Shapes {
		if s.Pattern != "" {
			c.patterns[s.Pattern] = regexp.MustCompile(s.Regexp())
		}
	}
	return c, nil
})

type checker struct {
	model    Model
	patterns map[string]*regexp.Regexp
}

// Check returns a ValidationException listing every violation of in, the input
// struct of the named operation; nil when there is none.
func Check(operation string, in any) error {
	c, err := loaded()
	if err != nil {
		return err
	}
	shape, ok := c.model.Operations[operation]
	if !ok {
		return fmt.Errorf("check input: no constraints for operation %s", operation)
	}
	var found []string
	c.walk(shape, reflect.ValueOf(in), "", &found)
	switch len(found) {
	case 0:
		return nil
	case 1:
		return wire.Errorf("ValidationException", "1 validation error detected: %s", found[0])
	}
	return wire.Errorf("ValidationException", "%d validation errors detected: %s", len(found), strings.Join(found, "; "))
}

func (c *checker) walk(name string, v reflect.Value, path string, found *[]string) {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	s := c.model.Shapes[name]
	if s.Type != "structure" {
		if broken := c.scalar(s, v); broken != "" {
			*found = append(*found, violation(show(v), path, broken))
		}
	}
	switch s.Type {
	case "structure":
		c.members(s, v, path, found)
	case "list":
		for i := range v.Len() {
			c.walk(s.Member, v.Index(i), path+"."+strconv.Itoa(i+1)+".member", found)
		}
	case "map":
		c.entries(s, v, path, found)
	}
}

func (c *checker) members(s Shape, v reflect.Value, path string, found *[]string) {
	for _, m := range s.Members {
		p := wire.LowerFirst(m[0])
		if path != "" {
			p = path + "." + p
		}
		f := v.FieldByName(m[0])
		if !f.IsValid() {
			continue
		}
		if absent(f) {
			if slices.Contains(s.Required, m[0]) {
				*found = append(*found, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", p))
			}
			continue
		}
		c.walk(m[1], f, p, found)
	}
}

func (c *checker) entries(s Shape, v reflect.Value, path string, found *[]string) {
	keys := v.MapKeys()
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	for _, k := range keys {
		if broken := c.scalar(c.model.Shapes[s.Key], k); broken != "" {
			*found = append(*found, violation(show(v), path, "Map keys must satisfy constraint: ["+broken+"]"))
		}
		value := v.MapIndex(k)
		if c.model.Shapes[s.Value].Type == "structure" {
			c.walk(s.Value, value, path+"."+k.String()+".member", found)
		} else if broken := c.scalar(c.model.Shapes[s.Value], value); broken != "" {
			*found = append(*found, violation(show(v), path, "Map value must satisfy constraint: ["+broken+"]"))
		}
	}
}

// scalar tells which constraints a value breaks by itself, as AWS words it.
func (c *checker) scalar(s Shape, v reflect.Value) string {
	var broken []string
	switch v.Kind() {
	case reflect.String:
		text := v.String()
		broken = append(broken, length(s, float64(len(utf16.Encode([]rune(text)))))...)
		if s.Pattern != "" && !c.patterns[s.Pattern].MatchString(text) {
			broken = append(broken, "Member must satisfy regular expression pattern: "+s.Pattern)
		}
		if len(s.Enum) > 0 && !slices.Contains(s.Enum, text) {
			broken = append(broken, "Member must satisfy enum value set: ["+strings.Join(s.Enum, ", ")+"]")
		}
	case reflect.Slice, reflect.Map:
		broken = length(s, float64(v.Len()))
	case reflect.Int, reflect.Int32, reflect.Int64:
		broken = within(s, float64(v.Int()))
	case reflect.Float32, reflect.Float64:
		broken = within(s, v.Float())
	}
	return strings.Join(broken, ", ")
}

func length(s Shape, n float64) []string {
	if s.Min != nil && n < *s.Min {
		return []string{fmt.Sprintf("Member must have length greater than or equal to %.0f", *s.Min)}
	}
	if s.Max != nil && n > *s.Max {
		return []string{fmt.Sprintf("Member must have length less than or equal to %.0f", *s.Max)}
	}
	return nil
}

func within(s Shape, n float64) []string {
	if s.Min != nil && n < *s.Min {
		return []string{fmt.Sprintf("Member must have value greater than or equal to %.0f", *s.Min)}
	}
	if s.Max != nil && n > *s.Max {
		return []string{fmt.Sprintf("Member must have value less than or equal to %.0f", *s.Max)}
	}
	return nil
}

func violation(value, path, broken string) string {
	return fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: %s", value, path, broken)
}

// absent reports a member that was not sent.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface:
		return v.IsNil()
	case reflect.String: // enums are strings by value
		return v.Len() == 0
	}
	return false
}

// show prints a value as AWS's messages do: [a, b] and {k=v}, cut when long.
func show(v reflect.Value) string {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	var text string
	switch v.Kind() {
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = show(v.Index(i))
		}
		text = "[" + strings.Join(parts, ", ") + "]"
	case reflect.Map:
		var parts []string
		for _, k := range v.MapKeys() {
			parts = append(parts, k.String()+"="+show(v.MapIndex(k)))
		}
		sort.Strings(parts)
		text = "{" + strings.Join(parts, ", ") + "}"
	case reflect.Struct:
		text = "com.amazonaws.sagemaker." + v.Type().Name()
	default:
		text = fmt.Sprint(v.Interface())
	}
	if r := []rune(text); len(r) > 500 {
		return string(r[:500]) + "..."
	}
	return text
}
