package cloudformation

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Where a value stands decides which functions it may use.
type scopeKind int

const (
	scopeResource scopeKind = iota
	scopeCondition
	scopeRule
)

var valueFunctions = []string{"Ref", "Fn::GetAtt", "Fn::Sub", "Fn::Join", "Fn::Select", "Fn::Split", "Fn::If", "Fn::FindInMap", "Fn::Base64", "Fn::ImportValue"}

var conditionFunctions = []string{"Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not", "Condition"}

// pseudo parameters and what they mean are filled in by environment.
var pseudoParameters = []string{"AWS::AccountId", "AWS::Region", "AWS::Partition", "AWS::URLSuffix", "AWS::StackName", "AWS::StackId", "AWS::NoValue", "AWS::NotificationARNs"}

// intrinsic tells whether a value is a function call.
func intrinsic(v any) (name string, arg any, ok bool) {
	m, isMap := v.(map[string]any)
	if !isMap || len(m) != 1 {
		return "", nil, false
	}
	for k, a := range m {
		if k == "Ref" || strings.HasPrefix(k, "Fn::") {
			return k, a, true
		}
		if s, isName := a.(string); k == "Condition" && isName && s != "" {
			return k, a, true
		}
	}
	return "", nil, false
}

var subVariable = regexp.MustCompile(`\$\{([^}]*)\}`)

// subParts splits the argument of Fn::Sub.
func subParts(arg any) (text string, vars map[string]any, err error) {
	switch a := arg.(type) {
	case string:
		return a, nil, nil
	case []any:
		if len(a) == 2 {
			s, okText := a[0].(string)
			m, okVars := a[1].(map[string]any)
			if okText && okVars {
				return s, m, nil
			}
		}
	}
	return "", nil, fmt.Errorf("Fn::Sub needs a string, or a list of a string and a map")
}

// subNames are the names that a Fn::Sub text refers to; ${!x} is literal.
func subNames(text string) []string {
	var out []string
	for _, m := range subVariable.FindAllStringSubmatch(text, -1) {
		if n := strings.TrimSpace(m[1]); !strings.HasPrefix(n, "!") {
			out = append(out, n)
		}
	}
	return out
}

func getAttParts(arg any) (logical, attribute string, err error) {
	switch a := arg.(type) {
	case string:
		logical, attribute, _ = strings.Cut(a, ".")
	case []any:
		if len(a) == 2 {
			logical, _ = a[0].(string)
			attribute, _ = a[1].(string)
		}
	}
	if logical == "" || attribute == "" {
		return "", "", awsWorded(wrongGetAtt)
	}
	return logical, attribute, nil
}

// walkReferences calls f with every name that a value refers to.
func walkReferences(v any, f func(name string)) {
	if name, arg, ok := intrinsic(v); ok {
		switch name {
		case "Ref":
			s, _ := arg.(string)
			f(s)
			return
		case "Fn::GetAtt":
			if logical, _, err := getAttParts(arg); err == nil {
				f(logical)
			}
			return
		case "Fn::Sub":
			text, vars, err := subParts(arg)
			if err != nil {
				return
			}
			for _, n := range subNames(text) {
				if _, own := vars[n]; !own {
					logical, _, _ := strings.Cut(n, ".")
					f(logical)
				}
			}
			for _, k := range sortedKeys(vars) {
				walkReferences(vars[k], f)
			}
			return
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			walkReferences(v[k], f)
		}
	case []any:
		for _, e := range v {
			walkReferences(e, f)
		}
	}
}

// checkValue finds unknown functions, names, attributes and malformed arguments.
func (t *template) checkValue(path string, v any, scope scopeKind, p *problems) {
	if name, arg, ok := intrinsic(v); ok && (name != "Condition" || scope != scopeResource) {
		t.checkFunction(path, name, arg, scope, p)
		return
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			t.checkValue(path+"/"+k, v[k], scope, p)
		}
	case []any:
		for i, e := range v {
			t.checkValue(path+"/"+strconv.Itoa(i), e, scope, p)
		}
	}
}

func (t *template) checkFunction(path, name string, arg any, scope scopeKind, p *problems) {
	known := slices.Contains(valueFunctions, name)
	if scope != scopeResource {
		known = slices.Contains(conditionFunctions, name) || name == "Ref" || name == "Fn::FindInMap" || name == "Fn::Select" || name == "Fn::Join" || name == "Fn::Split" || name == "Fn::Sub"
	}
	if scope == scopeRule && name == "Fn::Contains" {
		known = true
	}
	if !known {
		p.add(path, "%s is not supported here by the local cloud", name)
		return
	}
	list, _ := arg.([]any)
	switch name {
	case "Ref":
		s, _ := arg.(string)
		t.checkName(path, s, scope, p)
		return
	case "Fn::GetAtt":
		logical, attribute, err := getAttParts(arg)
		if err != nil {
			p.worded(path, "Template error: "+err.Error(), "%v", err)
			return
		}
		t.checkAttribute(path, logical, attribute, p)
		return
	case "Fn::Sub":
		t.checkSub(path, arg, scope, p)
		return
	case "Condition":
		s, _ := arg.(string)
		t.checkConditionName(path, s, p)
		return
	case "Fn::If":
		s, _ := "", false
		if len(list) == 3 {
			s, _ = list[0].(string)
			list = list[1:]
		}
		if s == "" {
			p.add(path, "Fn::If needs the name of a condition and two values")
			return
		}
		if _, ok := t.Conditions[s]; !ok {
			p.worded(path, "Template error: unresolved condition dependency "+s+" in Fn::If", "unresolved condition dependency %s", s)
		}
		t.checkValue(path, list, scope, p)
		return
	case "Fn::Base64":
		t.checkValue(path, arg, scope, p)
		return
	case "Fn::ImportValue":
		walkReferences(arg, func(name string) {
			if _, ok := t.Resources[name]; ok {
				p.add(path, "the name of an import cannot depend on the resource %s", name)
			}
		})
		t.checkValue(path, arg, scope, p)
		return
	}
	want := map[string]int{"Fn::Join": 2, "Fn::Select": 2, "Fn::Split": 2, "Fn::FindInMap": 3, "Fn::Equals": 2, "Fn::Not": 1, "Fn::Contains": 2}[name]
	if list == nil || (want > 0 && len(list) != want) || (want == 0 && (len(list) < 2 || len(list) > 10)) {
		p.add(path, "%s has the wrong number of arguments", name)
		return
	}
	t.checkValue(path, list, scope, p)
}

func (t *template) checkSub(path string, arg any, scope scopeKind, p *problems) {
	text, vars, err := subParts(arg)
	if err != nil {
		p.add(path, "%v", err)
		return
	}
	for _, k := range sortedKeys(vars) {
		t.checkValue(path+"/"+k, vars[k], scope, p)
	}
	for _, n := range subNames(text) {
		if _, own := vars[n]; own {
			continue
		}
		if logical, attribute, dotted := strings.Cut(n, "."); dotted {
			t.checkAttribute(path, logical, attribute, p)
		} else {
			t.checkName(path, n, scope, p)
		}
	}
}

func (t *template) checkName(path, name string, scope scopeKind, p *problems) {
	if slices.Contains(pseudoParameters, name) {
		return
	}
	if _, ok := t.Parameters[name]; ok {
		return
	}
	if _, ok := t.Resources[name]; ok && scope == scopeResource {
		return
	}
	p.unresolved(path, name)
}

func (t *template) checkAttribute(path, logical, attribute string, p *problems) {
	r, ok := t.Resources[logical]
	if !ok {
		p.unresolved(path, logical)
		return
	}
	if k, ok := kinds[r.Type]; ok && !slices.Contains(k.attributes, attribute) {
		p.add(path, "resource %s of type %s has no attribute %s (has: %s)", logical, r.Type, attribute, strings.Join(k.attributes, ", "))
	}
}

// environment is what values are resolved in.
type environment struct {
	pseudo     map[string]string
	parameters map[string]any // string, or []any for lists
	mappings   map[string]map[string]map[string]any
	conditions map[string]bool
	resource   func(logical string) (*resourceRecord, bool)
	exported   func(name string) (value string, err error)
	imported   map[string]bool // names of exports that were asked for
	stored     func(name string) (value string, err error)
}

// absent is AWS::NoValue: the member that has it is left out.
type absent struct{}

// resolve replaces every function call in v by its value.
func (e *environment) resolve(v any) (any, error) {
	if name, arg, ok := intrinsic(v); ok && name != "Condition" {
		return e.call(name, arg)
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			r, err := e.resolve(x)
			if err != nil {
				return nil, err
			}
			if _, none := r.(absent); !none {
				out[k] = r
			}
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(v))
		for _, x := range v {
			r, err := e.resolve(x)
			if err != nil {
				return nil, err
			}
			if _, none := r.(absent); !none {
				out = append(out, r)
			}
		}
		return out, nil
	}
	return v, nil
}

func (e *environment) call(name string, arg any) (any, error) {
	switch name {
	case "Ref":
		return e.ref(asString(arg))
	case "Fn::GetAtt":
		logical, attribute, err := getAttParts(arg)
		if err != nil {
			return nil, err
		}
		return e.attribute(logical, attribute)
	case "Fn::Sub":
		return e.sub(arg)
	case "Fn::If":
		list, _ := arg.([]any)
		if len(list) != 3 {
			return nil, fmt.Errorf("Fn::If needs a condition and two values")
		}
		if e.conditions[asString(list[0])] {
			return e.resolve(list[1])
		}
		return e.resolve(list[2])
	}
	r, err := e.resolve(arg)
	if err != nil {
		return nil, err
	}
	switch name {
	case "Fn::Base64":
		return encodeBase64(asString(r)), nil
	case "Fn::ImportValue":
		export := asString(r)
		e.imported[export] = true
		return e.exported(export)
	}
	list, _ := r.([]any)
	switch {
	case name == "Fn::Join" && len(list) == 2:
		parts, ok := list[1].([]any)
		if !ok {
			return nil, fmt.Errorf("Fn::Join needs a list of values")
		}
		texts := make([]string, len(parts))
		for i, p := range parts {
			texts[i] = asString(p)
		}
		return strings.Join(texts, asString(list[0])), nil
	case name == "Fn::Split" && len(list) == 2:
		var out []any
		for _, s := range strings.Split(asString(list[1]), asString(list[0])) {
			out = append(out, s)
		}
		return out, nil
	case name == "Fn::Select" && len(list) == 2:
		i, err := strconv.Atoi(asString(list[0]))
		values, ok := list[1].([]any)
		if err != nil || !ok || i < 0 || i >= len(values) {
			return nil, awsWorded(wrongSelect)
		}
		return values[i], nil
	case name == "Fn::FindInMap" && len(list) == 3:
		v, ok := e.mappings[asString(list[0])][asString(list[1])][asString(list[2])]
		if !ok {
			return nil, awsWorded(fmt.Sprintf("Unable to get mapping for %s::%s::%s", asString(list[0]), asString(list[1]), asString(list[2])))
		}
		return v, nil
	}
	return nil, fmt.Errorf("%s is malformed", name)
}

func (e *environment) ref(name string) (any, error) {
	if name == "AWS::NoValue" {
		return absent{}, nil
	}
	if name == "AWS::NotificationARNs" {
		return []any{}, nil
	}
	if v, ok := e.pseudo[name]; ok {
		return v, nil
	}
	if v, ok := e.parameters[name]; ok {
		return v, nil
	}
	if r, ok := e.resource(name); ok {
		return r.Ref, nil
	}
	return nil, unresolvedName(name)
}

func (e *environment) attribute(logical, attribute string) (any, error) {
	r, ok := e.resource(logical)
	if !ok {
		return nil, unresolvedName(logical)
	}
	v, ok := r.Attributes[attribute]
	if !ok {
		return nil, fmt.Errorf("resource %s has no value for attribute %s", logical, attribute)
	}
	return v, nil
}

func (e *environment) sub(arg any) (any, error) {
	text, vars, err := subParts(arg)
	if err != nil {
		return nil, err
	}
	var failed error
	out := subVariable.ReplaceAllStringFunc(text, func(m string) string {
		n := strings.TrimSpace(m[2 : len(m)-1])
		if literal, ok := strings.CutPrefix(n, "!"); ok {
			return "${" + literal + "}"
		}
		var v any
		var err error
		if own, ok := vars[n]; ok {
			v, err = e.resolve(own)
		} else if logical, attribute, dotted := strings.Cut(n, "."); dotted {
			v, err = e.attribute(logical, attribute)
		} else {
			v, err = e.ref(n)
		}
		if err != nil && failed == nil {
			failed = err
		}
		return asString(v)
	})
	return out, failed
}

// truth evaluates a condition function.
func (e *environment) truth(all map[string]any, v any, busy []string) (bool, error) {
	name, arg, ok := intrinsic(v)
	if !ok {
		return false, fmt.Errorf("%s is not a condition", canonical(v))
	}
	list, _ := arg.([]any)
	switch name {
	case "Condition":
		n := asString(arg)
		if slices.Contains(busy, n) {
			return false, fmt.Errorf("circular dependency between conditions %s", strings.Join(append(busy, n), ", "))
		}
		def, ok := all[n]
		if !ok {
			return false, fmt.Errorf("unresolved condition dependency %s", n)
		}
		return e.truth(all, def, append(busy, n))
	case "Fn::And", "Fn::Or":
		for _, x := range list {
			b, err := e.truth(all, x, busy)
			if err != nil {
				return false, err
			}
			if b == (name == "Fn::Or") {
				return b, nil
			}
		}
		return name == "Fn::And", nil
	case "Fn::Not":
		if len(list) == 1 {
			b, err := e.truth(all, list[0], busy)
			return !b, err
		}
	case "Fn::Equals", "Fn::Contains":
		if len(list) != 2 {
			break
		}
		a, err := e.resolve(list[0])
		if err != nil {
			return false, err
		}
		b, err := e.resolve(list[1])
		if err != nil {
			return false, err
		}
		if name == "Fn::Equals" {
			return asString(a) == asString(b), nil
		}
		among, _ := a.([]any)
		return slices.ContainsFunc(among, func(x any) bool { return asString(x) == asString(b) }), nil
	}
	return false, fmt.Errorf("%s is malformed", name)
}

// asString is the text of a scalar as CloudFormation compares and joins it.
func asString(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return canonical(v)
}
