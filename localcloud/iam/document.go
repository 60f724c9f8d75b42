package iam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Document is a policy that is fully understood.
type Document struct {
	statements []statement
}

type statement struct {
	allow        bool
	actions      []string // patterns, lower case
	notActions   bool
	resources    []string // patterns
	notResources bool
	principals   map[string][]string // of trust policies: "AWS", "Service" → names
	conditions   []condition
}

// Kind is what a document is for.
type Kind int

// The kinds of documents.
const (
	Permissions Kind = iota + 1 // of a role: actions and resources
	Trust                       // who may assume a role: principals
)

// texts is a text or a list of texts, numbers or booleans.
type texts []string

func (t *texts) UnmarshalJSON(raw []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		list = []json.RawMessage{raw}
	}
	*t = make(texts, 0, len(list))
	for _, item := range list {
		var s string
		if err := json.Unmarshal(item, &s); err != nil {
			var scalar any
			if json.Unmarshal(item, &scalar) != nil {
				return err
			}
			switch scalar.(type) {
			case bool, float64:
				s = string(item)
			default:
				return fmt.Errorf("want a text or a list of texts, have %s", raw)
			}
		}
		*t = append(*t, s)
	}
	return nil
}

type documentJSON struct {
	Version   string
	ID        string `json:"Id"`
	Statement json.RawMessage
}

type statementJSON struct {
	Sid                   string
	Effect                string
	Principal             json.RawMessage
	Action, NotAction     texts
	Resource, NotResource texts
	Condition             map[string]map[string]texts
}

func malformed(format string, args ...any) error {
	return wire.Errorf("MalformedPolicyDocument", format, args...)
}

func strict(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("text after the document")
	}
	return nil
}

// Parse reads a policy; what the evaluator would not understand is refused with
// MalformedPolicyDocument.
func Parse(raw string, kind Kind) (*Document, error) {
	var doc documentJSON
	if err := strict([]byte(raw), &doc); err != nil {
		return nil, malformed("This policy contains invalid Json: %v", err)
	}
	if doc.Version != "" && doc.Version != "2012-10-17" && doc.Version != "2008-10-17" {
		return nil, malformed("The policy must contain a valid version string, not %q", doc.Version)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(doc.Statement, &list); err != nil {
		list = []json.RawMessage{doc.Statement}
	}
	if len(doc.Statement) == 0 || len(list) == 0 {
		return nil, malformed("Syntax errors in policy: it has no Statement")
	}
	out := &Document{}
	for i, item := range list {
		var s statementJSON
		if err := strict(item, &s); err != nil {
			return nil, malformed("Syntax errors in policy: statement %d: %v", i+1, err)
		}
		parsed, err := s.parse(kind)
		if err != nil {
			return nil, malformed("Syntax errors in policy: statement %d: %v", i+1, err)
		}
		out.statements = append(out.statements, parsed)
	}
	return out, nil
}

func (s statementJSON) parse(kind Kind) (statement, error) {
	out := statement{allow: s.Effect == "Allow"}
	if !out.allow && s.Effect != "Deny" {
		return out, fmt.Errorf("effect is %q, not Allow or Deny", s.Effect)
	}
	var err error
	if out.actions, out.notActions, err = oneOf("Action", s.Action, s.NotAction); err != nil {
		return out, err
	}
	for i, a := range out.actions {
		if service, name, ok := strings.Cut(a, ":"); a != "*" && (!ok || service == "" || name == "") {
			return out, fmt.Errorf("actions must be prefixed with a vendor, e.g. iam, sdb, ec2: %q", a)
		}
		out.actions[i] = strings.ToLower(a)
	}
	if kind == Trust {
		if len(s.Resource)+len(s.NotResource) > 0 {
			return out, fmt.Errorf("has prohibited field Resource")
		}
		if out.principals, err = principals(s.Principal); err != nil {
			return out, err
		}
	} else {
		if len(s.Principal) > 0 {
			return out, fmt.Errorf("policy document should not specify a principal")
		}
		if out.resources, out.notResources, err = oneOf("Resource", s.Resource, s.NotResource); err != nil {
			return out, err
		}
		for _, r := range out.resources {
			if r != "*" && !strings.HasPrefix(r, "arn:") && !strings.HasPrefix(r, "*") {
				return out, fmt.Errorf(`resource %q must be in ARN format or "*"`, r)
			}
		}
	}
	for _, p := range append(append([]string{}, out.actions...), out.resources...) {
		if strings.Contains(p, "${") {
			return out, fmt.Errorf("policy variables are not supported by the local cloud: %q", p)
		}
	}
	out.conditions, err = parseConditions(s.Condition)
	return out, err
}

func oneOf(name string, yes, no texts) (patterns []string, negated bool, err error) {
	switch {
	case len(yes) > 0 && len(no) > 0:
		return nil, false, fmt.Errorf("has both %s and Not%s", name, name)
	case len(yes) > 0:
		return yes, false, nil
	case len(no) > 0:
		return no, true, nil
	}
	return nil, false, fmt.Errorf("is missing %s", name)
}

func principals(raw json.RawMessage) (map[string][]string, error) {
	if len(raw) == 0 {
		return nil, fmt.Errorf("is missing Principal")
	}
	if string(raw) == `"*"` {
		return map[string][]string{"AWS": {"*"}}, nil
	}
	var byKind map[string]texts
	if err := json.Unmarshal(raw, &byKind); err != nil {
		return nil, fmt.Errorf("principal: %w", err)
	}
	out := map[string][]string{}
	for kind, names := range byKind {
		if kind != "AWS" && kind != "Service" {
			return nil, fmt.Errorf("principals of kind %q are not supported by the local cloud", kind)
		}
		out[kind] = names
	}
	return out, nil
}

// Request is what a policy decides about.
type Request struct {
	Action     string              // "sagemaker:CreateTrainingJob"
	Resource   string              // an ARN or "*"
	Conditions map[string][]string // keys in lower case
}

// Evaluate tells whether a statement of the document allows, and whether one denies.
func (d *Document) Evaluate(r Request) (allowed, denied bool) {
	for _, s := range d.statements {
		if matchAny(s.actions, strings.ToLower(r.Action)) == s.notActions ||
			matchAny(s.resources, r.Resource) == s.notResources || !s.holds(r) {
			continue
		}
		if !s.allow {
			return false, true
		}
		allowed = true
	}
	return allowed, false
}

func (s statement) holds(r Request) bool {
	for _, c := range s.conditions {
		if !c.holds(r.Conditions) {
			return false
		}
	}
	return true
}

// Trusts tells whether a trust policy lets a principal assume the role. The name
// is a service ("lambda.amazonaws.com") or, for kind AWS, an ARN.
func (d *Document) Trusts(kind string, names []string, r Request) bool {
	trusted := false
	for _, s := range d.statements {
		if matchAny(s.actions, strings.ToLower(r.Action)) == s.notActions || !s.names(kind, names) || !s.holds(r) {
			continue
		}
		if !s.allow {
			return false
		}
		trusted = true
	}
	return trusted
}

func (s statement) names(kind string, names []string) bool {
	for _, p := range s.principals[kind] {
		for _, n := range names {
			if p == "*" || p == n {
				return true
			}
		}
	}
	return false
}

// services are the services that the document trusts.
func (d *Document) services() []string {
	var out []string
	for _, s := range d.statements {
		if s.allow {
			out = append(out, s.principals["Service"]...)
		}
	}
	return out
}

func matchAny(patterns []string, s string) bool {
	for _, p := range patterns {
		if match(p, s) {
			return true
		}
	}
	return false
}

// match is IAM's wildcard: * for any run of characters, ? for one.
func match(pattern, s string) bool {
	star, mark := -1, 0
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			p, mark = star+1, mark+1
			i = mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
