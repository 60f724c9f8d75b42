// Command gen writes model.json: the constraints that botocore's service model
// puts on the inputs of SageMaker operations, without its documentation.
//
//	go run ./localcloud/sagemaker/constraint/gen service-2.json.gz > localcloud/sagemaker/constraint/model.json
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"sort"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/sagemaker/constraint"
)

type source struct {
	Metadata   struct{ ServiceID string }
	Operations map[string]struct {
		Input struct{ Shape string }
	}
	Shapes map[string]shape
}

type shape struct {
	Type     string
	Required []string
	Members  json.RawMessage
	Member   struct{ Shape string }
	Key      struct{ Shape string }
	Value    struct{ Shape string }
	Enum     []string
	Min, Max *float64
	Pattern  string
}

// rewrites turns Java's regular expressions into Go's where they differ.
var rewrites = strings.NewReplacer(
	`[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\t]`, `[\t\x{20}-\x{10FFFF}]`,
	`([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)`, `([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)`,
	`\p{Alnum}`, `0-9A-Za-z`,
	`{1,2048}`, `+`, `{0,1024}`, `*`, `{0,1023}`, `*`, // lengths over 1000 are the max's business
	`*)${1,128}`, `*)$`, `*)${1,256}`, `*)$`,
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string, w io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("want one argument: botocore's sagemaker service-2.json.gz")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	var src source
	if err := json.NewDecoder(z).Decode(&src); err != nil {
		return fmt.Errorf("decode %s: %w", args[0], err)
	}
	model := constraint.Model{Operations: map[string]string{}, Shapes: map[string]constraint.Shape{}}
	for _, op := range constraint.Operations {
		in, ok := src.Operations[op]
		if !ok {
			return fmt.Errorf("operation %s is not in the model", op)
		}
		model.Operations[op] = in.Input.Shape
		if err := add(src, model, in.Input.Shape); err != nil {
			return fmt.Errorf("operation %s: %w", op, err)
		}
	}
	return write(w, model)
}

func add(src source, model constraint.Model, name string) error {
	if _, done := model.Shapes[name]; done {
		return nil
	}
	s, ok := src.Shapes[name]
	if !ok {
		return fmt.Errorf("shape %s is not in the model", name)
	}
	out := constraint.Shape{Type: s.Type, Required: s.Required, Enum: s.Enum, Min: s.Min, Max: s.Max, Pattern: s.Pattern,
		Member: s.Member.Shape, Key: s.Key.Shape, Value: s.Value.Shape}
	if s.Pattern != "" {
		if p := rewrites.Replace(s.Pattern); p != s.Pattern {
			out.GoPattern = p
		}
		if _, err := regexp.Compile(out.Regexp()); err != nil {
			return fmt.Errorf("shape %s: %w", name, err)
		}
	}
	model.Shapes[name] = out
	next := []string{out.Member, out.Key, out.Value}
	if len(s.Members) > 0 {
		members, err := ordered(s.Members)
		if err != nil {
			return fmt.Errorf("shape %s: %w", name, err)
		}
		out.Members = members
		model.Shapes[name] = out
		for _, m := range members {
			next = append(next, m[1])
		}
	}
	for _, n := range next {
		if n == "" {
			continue
		}
		if err := add(src, model, n); err != nil {
			return err
		}
	}
	return nil
}

// ordered reads an object's members in the order of the text, which is the
// order in which AWS reports violations.
func ordered(raw json.RawMessage) ([][2]string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	var members [][2]string
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		var ref struct{ Shape string }
		if err := d.Decode(&ref); err != nil {
			return nil, err
		}
		members = append(members, [2]string{name.(string), ref.Shape})
	}
	return members, nil
}

// write puts one shape on a line, so that a change of the model reads as a diff.
func write(w io.Writer, m constraint.Model) error {
	var b bytes.Buffer
	ops, err := json.Marshal(m.Operations)
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "{\"operations\":%s,\n\"shapes\":{\n", ops)
	names := make([]string, 0, len(m.Shapes))
	for n := range m.Shapes {
		names = append(names, n)
	}
	sort.Strings(names)
	for i, n := range names {
		line, err := json.Marshal(m.Shapes[n])
		if err != nil {
			return err
		}
		sep := ","
		if i == len(names)-1 {
			sep = ""
		}
		fmt.Fprintf(&b, "%q:%s%s\n", n, line, sep)
	}
	b.WriteString("}}\n")
	_, err = w.Write(b.Bytes())
	return err
}
