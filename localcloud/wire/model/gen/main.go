// Command gen writes the files of package model: of each service of the local
// cloud, what botocore's service model asks of the inputs of the operations that
// are served, and the forms of their errors, without its documentation.
//
//	go run ./localcloud/wire/model/gen "$(python3 -c 'import botocore; print(botocore.__path__[0])')/data" docs/supported-operations.md localcloud/wire/model
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

type source struct {
	Operations map[string]struct {
		Input  struct{ Shape string }
		Errors []struct{ Shape string }
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
	Error    struct {
		Code           string
		HTTPStatusCode int
	}
}

// rewrites turns Java's regular expressions into Go's where they differ.
var rewrites = strings.NewReplacer(
	`\uD800\uDC00-\uDBFF\uDFFF`, `\x{10000}-\x{10FFFF}`,
	`\u10000-\u10FFFF`, `\x{10000}-\x{10FFFF}`,
	`([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)`, `([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)`,
	`[0-9A-Za-z\.\-_]*(?<!\.)`, `([0-9A-Za-z\.\-_]*[0-9A-Za-z\-_])?`,
	`^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$`, `[a-zA-Z0-9_\-\.]*[a-zA-Z_\-\.][a-zA-Z0-9_\-\.]*`,
	`^(?!\s*$).+`, `.*\S.*`,
	`\p{Alnum}`, `0-9A-Za-z`,
	`{1,2048}`, `+`, `{0,1024}`, `*`, `{0,1023}`, `*`, // lengths over 1000 are the max's business
	`*)${1,128}`, `*)$`, `*)${1,256}`, `*)$`,
)

var escapes = regexp.MustCompile(`\\u([0-9A-Fa-f]{4})`)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "gen: want botocore's data folder, docs/supported-operations.md, and the folder to write to")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(from, supported, to string) error {
	raw, err := os.ReadFile(supported)
	if err != nil {
		return err
	}
	for section := range strings.SplitSeq(string(raw), "\n## ") {
		service, list, _ := strings.Cut(section, "\n")
		if strings.Contains(service, " ") || service == "s3" { // no service; the gateway checks what it gets
			continue
		}
		var operations []string
		for line := range strings.Lines(list) {
			if op, ok := strings.CutPrefix(line, "- "); ok {
				operations = append(operations, strings.TrimSpace(op))
			}
		}
		if err := generate(from, service, operations, filepath.Join(to, service+".json")); err != nil {
			return err
		}
	}
	return nil
}

// generate writes the file of one service.
func generate(from, service string, operations []string, to string) error {
	folder := service
	if service == "states" {
		folder = "stepfunctions"
	}
	src, err := read(filepath.Join(from, folder))
	if err != nil {
		return err
	}
	out := &model.Service{Operations: map[string]string{}, Errors: map[string]model.Error{}, Shapes: map[string]model.Shape{}}
	for _, op := range operations {
		in := src.Operations[op]
		if in.Input.Shape == "" {
			return fmt.Errorf("operation %s:%s is not in the model, or has no input", service, op)
		}
		out.Operations[op] = in.Input.Shape
		if err := add(src, out, in.Input.Shape); err != nil {
			return fmt.Errorf("operation %s:%s: %w", service, op, err)
		}
		for _, e := range in.Errors {
			if err := addError(src, out, e.Shape); err != nil {
				return fmt.Errorf("operation %s:%s: %w", service, op, err)
			}
		}
	}
	if service == "sqs" {
		out.Errors = sqsCodes
	}
	return write(to, out)
}

// read reads the newest model in a service's folder.
func read(folder string) (src source, err error) {
	versions, err := filepath.Glob(filepath.Join(folder, "*", "service-2.json.gz"))
	if err != nil || len(versions) == 0 {
		return src, errors.Join(err, fmt.Errorf("no model in %s", folder))
	}
	f, err := os.Open(versions[len(versions)-1])
	if err != nil {
		return src, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return src, fmt.Errorf("read %s: %w", f.Name(), err)
	}
	if err := json.NewDecoder(z).Decode(&src); err != nil {
		return src, fmt.Errorf("decode %s: %w", f.Name(), err)
	}
	return src, nil
}

// sqsCodes are the codes that SQS's errors had in the query protocol, which it
// still sends; models since the change of protocols leave them out.
var sqsCodes = map[string]model.Error{
	"BatchEntryIdsNotDistinct":          {Code: "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
	"BatchRequestTooLong":               {Code: "AWS.SimpleQueueService.BatchRequestTooLong"},
	"EmptyBatchRequest":                 {Code: "AWS.SimpleQueueService.EmptyBatchRequest"},
	"InvalidParameterValueException":    {Code: "InvalidParameterValue"},
	"MissingRequiredParameterException": {Code: "MissingParameter"},
	"InvalidBatchEntryId":               {Code: "AWS.SimpleQueueService.InvalidBatchEntryId"},
	"MessageNotInflight":                {Code: "AWS.SimpleQueueService.MessageNotInflight"},
	"PurgeQueueInProgress":              {Code: "AWS.SimpleQueueService.PurgeQueueInProgress", Status: 403},
	"QueueDeletedRecently":              {Code: "AWS.SimpleQueueService.QueueDeletedRecently"},
	"QueueDoesNotExist":                 {Code: "AWS.SimpleQueueService.NonExistentQueue"},
	"QueueNameExists":                   {Code: "QueueAlreadyExists"},
	"ResourceNotFoundException":         {Status: 404},
	"TooManyEntriesInBatchRequest":      {Code: "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
	"UnsupportedOperation":              {Code: "AWS.SimpleQueueService.UnsupportedOperation"},
}

// addError keeps the form of an error where it has one of its own.
func addError(src source, out *model.Service, name string) error {
	s := src.Shapes[name]
	e := model.Error{Code: s.Error.Code, Status: s.Error.HTTPStatusCode}
	if e.Code == name {
		e.Code = ""
	}
	if e.Status == 400 {
		e.Status = 0
	}
	members, err := ordered(s.Members)
	if err != nil {
		return fmt.Errorf("error %s: %w", name, err)
	}
	for _, m := range members {
		e.Typed = e.Typed || m[0] == "Type"
		if m[0] == "Message" {
			e.Message = m[0]
		}
	}
	if e != (model.Error{}) {
		out.Errors[name] = e
	}
	return nil
}

func add(src source, to *model.Service, name string) error {
	if _, done := to.Shapes[name]; done {
		return nil
	}
	s, ok := src.Shapes[name]
	if !ok {
		return fmt.Errorf("shape %s is not in the model", name)
	}
	out := model.Shape{Type: s.Type, Required: s.Required, Enum: s.Enum, Min: s.Min, Max: s.Max, Pattern: s.Pattern,
		Member: s.Member.Shape, Key: s.Key.Shape, Value: s.Value.Shape}
	if s.Pattern != "" {
		if p := escapes.ReplaceAllString(rewrites.Replace(s.Pattern), `\x{$1}`); p != s.Pattern {
			out.GoPattern = p
		}
		if _, err := regexp.Compile(out.Regexp()); err != nil {
			return fmt.Errorf("shape %s: %w", name, err)
		}
	}
	to.Shapes[name] = out
	next := []string{out.Member, out.Key, out.Value}
	if len(s.Members) > 0 {
		members, err := ordered(s.Members)
		if err != nil {
			return fmt.Errorf("shape %s: %w", name, err)
		}
		out.Members = members
		to.Shapes[name] = out
		for _, m := range members {
			next = append(next, m[1])
		}
	}
	for _, n := range next {
		if n == "" {
			continue
		}
		if err := add(src, to, n); err != nil {
			return err
		}
	}
	return nil
}

// ordered reads an object's members in the order of the text, which is the
// order in which AWS reports violations.
func ordered(raw json.RawMessage) ([][2]string, error) {
	if len(raw) == 0 {
		return nil, nil
	}
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
func write(file string, m *model.Service) error {
	var b bytes.Buffer
	ops, err := json.Marshal(m.Operations)
	if err != nil {
		return err
	}
	forms, err := json.Marshal(m.Errors)
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "{\"operations\":%s,\n\"errors\":%s,\n\"shapes\":{\n", ops, forms)
	names := slices.Sorted(maps.Keys(m.Shapes))
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
	return os.WriteFile(file, b.Bytes(), 0o644)
}
