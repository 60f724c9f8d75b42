package cloudformation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// template is a parsed template; values are still unresolved.
type template struct {
	AWSTemplateFormatVersion string
	Description              string
	Metadata                 map[string]any
	Parameters               map[string]*parameter
	Mappings                 map[string]map[string]map[string]any
	Conditions               map[string]any
	Rules                    map[string]*rule
	Resources                map[string]*resource
	Outputs                  map[string]*output
}

type parameter struct {
	Type                  string
	Default               any
	Description           string
	AllowedPattern        string
	AllowedValues         []any
	ConstraintDescription string
	MinLength, MaxLength  json.Number
	MinValue, MaxValue    json.Number
	NoEcho                any
}

type rule struct {
	RuleCondition any
	Assertions    []struct {
		Assert            any
		AssertDescription string
	}
}

type resource struct {
	Type                string
	Properties          map[string]any
	DependsOn           any
	Condition           string
	DeletionPolicy      string
	UpdateReplacePolicy string
	Metadata            map[string]any
	Description         string
}

type output struct {
	Value       any
	Description string
	Condition   string
	Export      map[string]any
}

// parseTemplate reads a JSON or YAML template; members that do not exist are refused.
func parseTemplate(body string) (*template, error) {
	trimmed := strings.TrimSpace(body)
	if trimmed == "" {
		return nil, invalid("Template format error: the template is empty")
	}
	if trimmed[0] != '{' {
		raw, err := yamlToJSON(body)
		if err != nil {
			return nil, invalid("Template format error: YAML not well-formed. (%v)", err)
		}
		if trimmed = raw; trimmed[0] != '{' {
			return nil, invalid("Template format error: unsupported structure.")
		}
	}
	var sections struct {
		template
		Resources map[string]json.RawMessage
	}
	if err := strict(trimmed, &sections); err != nil {
		return nil, invalid("Template format error: %v", err)
	}
	t := &sections.template
	t.Resources = map[string]*resource{}
	var p problems
	for _, name := range sortedKeys(sections.Resources) {
		r := &resource{}
		if err := strict(string(sections.Resources[name]), r); err != nil {
			p.add("Resources/"+name, "%v", err)
		}
		t.Resources[name] = r
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if len(t.Resources) == 0 {
		return nil, invalid("Template format error: At least one Resources member must be defined.")
	}
	for name, r := range t.Resources {
		if r.Type == "" {
			return nil, invalid("Template format error: [/Resources/%s] Every Resources object must contain a Type member.", name)
		}
	}
	return t, nil
}

// strict decodes JSON, refusing members that do not exist here.
func strict(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if d.More() {
		return errors.New("text follows the template")
	}
	return nil
}

// yamlToJSON reads YAML with CloudFormation's short function tags.
func yamlToJSON(body string) (string, error) {
	f, err := parser.ParseBytes([]byte(body), 0)
	if err != nil {
		return "", err
	}
	if len(f.Docs) != 1 || f.Docs[0].Body == nil {
		return "", fmt.Errorf("want one document, got %d", len(f.Docs))
	}
	v, err := fromYAML(f.Docs[0].Body)
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(v)
	return string(raw), err
}

func fromYAML(n ast.Node) (any, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		m := map[string]any{}
		for _, kv := range n.Values {
			if err := pairFromYAML(m, kv); err != nil {
				return nil, err
			}
		}
		return m, nil
	case *ast.MappingValueNode:
		m := map[string]any{}
		return m, pairFromYAML(m, n)
	case *ast.SequenceNode:
		list := make([]any, 0, len(n.Values))
		for _, e := range n.Values {
			v, err := fromYAML(e)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.BoolNode:
		return n.Value, nil
	case *ast.NullNode:
		return nil, nil
	case *ast.IntegerNode, *ast.FloatNode:
		return json.Number(n.GetToken().Value), nil
	case *ast.TagNode:
		v, err := fromYAML(n.Value)
		if err != nil {
			return nil, err
		}
		return fromTag(n.Start.Value, v), nil
	}
	return nil, fmt.Errorf("line %d: %s is not supported in templates", n.GetToken().Position.Line, n.Type())
}

func pairFromYAML(m map[string]any, kv *ast.MappingValueNode) error {
	key := kv.Key.GetToken().Value
	if _, twice := m[key]; twice {
		return fmt.Errorf("line %d: key %q given twice", kv.Key.GetToken().Position.Line, key)
	}
	v, err := fromYAML(kv.Value)
	m[key] = v
	return err
}

// fromTag turns !Sub x into {"Fn::Sub": x}.
func fromTag(tag string, v any) any {
	name := strings.TrimPrefix(tag, "!")
	if s, ok := v.(string); ok && name == "GetAtt" {
		logical, attribute, _ := strings.Cut(s, ".")
		return map[string]any{"Fn::GetAtt": []any{logical, attribute}}
	}
	if name == "Ref" || name == "Condition" {
		return map[string]any{name: v}
	}
	return map[string]any{"Fn::" + name: v}
}

// check judges the whole template against what the local cloud knows.
func (t *template) check() error {
	var p problems
	for _, name := range sortedKeys(t.Parameters) {
		t.Parameters[name].check("Parameters/"+name, &p)
	}
	for _, name := range sortedKeys(t.Conditions) {
		t.checkValue("Conditions/"+name, t.Conditions[name], scopeCondition, &p)
	}
	for _, name := range sortedKeys(t.Rules) {
		t.checkValue("Rules/"+name, t.Rules[name].RuleCondition, scopeRule, &p)
		for _, a := range t.Rules[name].Assertions {
			t.checkValue("Rules/"+name, a.Assert, scopeRule, &p)
		}
	}
	for _, name := range sortedKeys(t.Resources) {
		t.checkResource(name, t.Resources[name], &p)
	}
	for _, name := range sortedKeys(t.Outputs) {
		o := t.Outputs[name]
		if o == nil || o.Value == nil {
			p.add("Outputs/"+name, "an output needs a Value")
			continue
		}
		t.checkValue("Outputs/"+name, o.Value, scopeResource, &p)
		for k, v := range o.Export {
			if k != "Name" {
				p.add("Outputs/"+name, "Export has no member %s", k)
			}
			t.checkValue("Outputs/"+name+"/Export", v, scopeResource, &p)
		}
		t.checkConditionName("Outputs/"+name, o.Condition, &p)
	}
	if err := p.err(); err != nil {
		return err
	}
	_, err := t.order()
	return err
}

func (t *template) checkConditionName(path, name string, p *problems) {
	if name == "" {
		return
	}
	if _, ok := t.Conditions[name]; !ok {
		block, _, _ := strings.Cut(path, "/")
		p.worded(path, "Template format error: Unresolved condition dependency "+name+" in the "+block+" block of the template", "unresolved condition dependency %s", name)
	}
}

var logicalID = func(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

func (t *template) checkResource(name string, r *resource, p *problems) {
	path := "Resources/" + name
	if !logicalID(name) {
		p.worded(path, "Template format error: Resource name "+name+" is non alphanumeric.", "a logical id has only letters and digits")
	}
	k, ok := kinds[r.Type]
	if !ok {
		// One under a condition may never come to be; see checkConditional.
		if r.Condition == "" || !typeName.MatchString(r.Type) {
			p.add(path, "resource type %s is not supported by the local cloud", r.Type)
			return
		}
		t.checkConditionName(path, r.Condition, p)
		return
	}
	for _, policy := range []string{r.DeletionPolicy, r.UpdateReplacePolicy} {
		if !slices.Contains([]string{"", "Delete", "Retain", "RetainExceptOnCreate"}, policy) {
			p.add(path, "policy %s is not supported (Delete, Retain, RetainExceptOnCreate)", policy)
		}
	}
	for _, d := range r.dependsOn() {
		if _, ok := t.Resources[d]; !ok {
			p.add(path, "DependsOn names %s, which is no resource", d)
		}
	}
	t.checkConditionName(path, r.Condition, p)
	if k.anyProps {
		return
	}
	checkDynamic(path, mapOf(r.Properties), p)
	t.checkValue(path, mapOf(r.Properties), scopeResource, p)
	checkShape(k.props, mapOf(r.Properties), path, p)
}

var typeName = regexp.MustCompile(`^AWS::[A-Za-z0-9]+::[A-Za-z0-9]+$`)

// checkConditional refuses resources of unsupported types that would be created.
func (t *template) checkConditional(env *environment) error {
	var p problems
	for name, r := range t.Resources {
		if _, ok := kinds[r.Type]; !ok && env.conditions[r.Condition] {
			p.add("Resources/"+name, "resource type %s is not supported by the local cloud", r.Type)
		}
	}
	return p.err()
}

func mapOf(m map[string]any) any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

func (r *resource) dependsOn() []string {
	switch d := r.DependsOn.(type) {
	case string:
		return []string{d}
	case []any:
		var out []string
		for _, e := range d {
			s, _ := e.(string)
			out = append(out, s)
		}
		return out
	}
	return nil
}

// order sorts the resources so that each comes after all it needs; resources
// that need nothing of each other are sorted by name.
func (t *template) order() ([]string, error) {
	needs := map[string]map[string]bool{}
	for name, r := range t.Resources {
		needs[name] = map[string]bool{}
		for _, d := range r.dependsOn() {
			needs[name][d] = true
		}
		walkReferences(mapOf(r.Properties), func(ref string) {
			if _, ok := t.Resources[ref]; ok {
				needs[name][ref] = true
			}
		})
	}
	var out []string
	for len(needs) > 0 {
		var free []string
		for name, n := range needs {
			if len(n) == 0 {
				free = append(free, name)
			}
		}
		if len(free) == 0 {
			return nil, invalid("Circular dependency between resources: [%s]", strings.Join(sortedKeys(needs), ", "))
		}
		sort.Strings(free)
		out = append(out, free...)
		for _, f := range free {
			delete(needs, f)
		}
		for _, n := range needs {
			for _, f := range free {
				delete(n, f)
			}
		}
	}
	return out, nil
}

// capabilities are what the creator must acknowledge.
func (t *template) capabilities() (names []string, reason string) {
	var types []string
	named := false
	for _, name := range sortedKeys(t.Resources) {
		r := t.Resources[name]
		if !strings.HasPrefix(r.Type, "AWS::IAM::") {
			continue
		}
		types = append(types, r.Type)
		if _, ok := r.Properties["RoleName"]; ok && r.Type == "AWS::IAM::Role" {
			named = true
		}
	}
	if len(types) == 0 {
		return nil, ""
	}
	sort.Strings(types)
	reason = "The following resource(s) require capabilities: [" + strings.Join(slices.Compact(types), ", ") + "]"
	if named {
		return []string{"CAPABILITY_NAMED_IAM"}, reason
	}
	return []string{"CAPABILITY_IAM"}, reason
}

// canonical is a value's JSON with sorted keys, to compare values by.
func canonical(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Sprintf("%#v", v)
	}
	return strings.TrimSpace(b.String())
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

var anyType = reflect.TypeFor[any]()
