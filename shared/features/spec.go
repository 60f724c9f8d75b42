package features

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
)

// SpecVersion is the version of serving.json that this package writes and reads.
const SpecVersion = 1

// maxSpec bounds the serving.json that Load reads, in bytes.
const maxSpec = 16 << 20

// Spec is serving.json: everything that serving needs to compute the same features.
type Spec struct {
	Version      int                 `json:"version"`
	Pipeline     string              `json:"pipeline"`
	Objective    string              `json:"objective"`         // "binary", "regression" or "multiclass"
	Classes      []string            `json:"classes,omitempty"` // multiclass: the names of the labels 0, 1, 2 and so on
	Key          string              `json:"key"`
	Columns      []string            `json:"columns"` // of a request's row: the key, then Program.Columns()
	Types        map[string]string   `json:"types"`   // of Columns; the key is text
	Features     []Feature           `json:"features"`
	Encodings    map[string][]string `json:"encodings"` // feature → its categories, sorted
	FeatureNames []string            `json:"feature_names"`
}

// Spec describes a fitted Program.
func (p *Program) Spec(pipeline, objective string, classes ...string) Spec {
	s := Spec{
		Version: SpecVersion, Pipeline: pipeline, Objective: objective, Classes: classes, Key: p.key,
		Columns: append([]string{p.key}, p.columns...), Types: map[string]string{p.key: Text.String()},
		Features: slices.Clone(p.defs), Encodings: map[string][]string{}, FeatureNames: p.Names(),
	}
	for i, name := range p.columns {
		s.Types[name] = p.types[i].String()
	}
	for i, def := range p.defs {
		if def.Encode != EncodeNumber {
			s.Encodings[def.Name] = slices.Clone(p.features[i].categories)
		}
	}
	return s
}

// Marshal writes the specification as JSON with sorted maps and a line end: the
// same bytes for the same Program. It refuses what FromSpec would.
func (s Spec) Marshal() ([]byte, error) {
	if _, err := FromSpec(s); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := stdjson.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("marshal specification of %q: %w", s.Pipeline, err)
	}
	return out.Bytes(), nil
}

// FromSpec makes the fitted Program that a specification describes.
func FromSpec(s Spec) (*Program, error) {
	fail := func(format string, args ...any) (*Program, error) {
		return nil, fmt.Errorf("read specification: "+format, args...)
	}
	if s.Version != SpecVersion {
		return fail("version %d is not supported, only %d is", s.Version, SpecVersion)
	}
	if err := s.checkClasses(); err != nil {
		return fail("%w", err)
	}
	if s.Key == "" || len(s.Columns) == 0 || s.Columns[0] != s.Key {
		return fail("the first column is not the key %q", clip(s.Key))
	}
	types := map[string]Type{}
	for _, name := range s.Columns {
		t, err := ParseType(s.Types[name])
		if err != nil {
			return fail("column %q: %w", clip(name), err)
		}
		if _, twice := types[name]; twice {
			return fail("column %q is there twice", clip(name))
		}
		types[name] = t
	}
	if len(s.Types) != len(types) {
		return fail("types holds columns that columns does not")
	}
	if types[s.Key] != Text {
		return fail("the key %q is a %s, not text", clip(s.Key), types[s.Key])
	}
	p, problems := Compile(s.Features, types, Roles{Key: s.Key})
	if len(problems) > 0 {
		return fail("%w", problems[0])
	}
	if !slices.Equal(p.columns, s.Columns[1:]) {
		return fail("columns are not those that the features read, in their order: %s", list(p.columns, 20))
	}
	p, err := p.fitted(s.Encodings)
	if err != nil {
		return fail("%w", err)
	}
	if !slices.Equal(p.names, s.FeatureNames) {
		return fail("feature_names are not those of the features")
	}
	return p, nil
}

func (s Spec) checkClasses() error {
	switch s.Objective {
	case "binary", "regression":
		if len(s.Classes) > 0 {
			return fmt.Errorf("a %s model has no classes", s.Objective)
		}
	case "multiclass":
		seen := map[string]bool{}
		for _, name := range s.Classes {
			if seen[name] || name == "" {
				return fmt.Errorf("class %q has no name or is there twice", clip(name))
			}
			seen[name] = true
		}
		if len(seen) < 3 {
			return fmt.Errorf("%d classes are too few for several", len(seen))
		}
	default:
		return fmt.Errorf("objective %q is neither binary, regression nor multiclass", clip(s.Objective))
	}
	return nil
}

// Load reads serving.json strictly: the specification and its fitted Program.
func Load(data []byte) (Spec, *Program, error) {
	if len(data) > maxSpec {
		return Spec{}, nil, fmt.Errorf("read specification: %d bytes are more than %d", len(data), maxSpec)
	}
	var s Spec
	if err := json.Unmarshal(data, &s, json.RejectUnknownMembers(true)); err != nil {
		return Spec{}, nil, fmt.Errorf("read specification: %w", err)
	}
	p, err := FromSpec(s)
	if err != nil {
		return Spec{}, nil, err
	}
	return s, p, nil
}
