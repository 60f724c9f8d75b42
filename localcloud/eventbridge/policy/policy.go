// Package policy evaluates resource policies: the documents on an event bus, a
// queue or a topic that say who else may use it. It knows the elements and the
// condition operators that such policies use and refuses documents with others.
package policy

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Document is a resource policy.
type Document struct {
	Version   string      `json:"Version,omitempty"`
	ID        string      `json:"Id,omitempty"`
	Statement []Statement `json:"Statement"`
}

// Statement is one statement of a Document.
type Statement struct {
	Sid       string                        `json:"Sid,omitempty"`
	Effect    string                        `json:"Effect"`
	Principal json.RawMessage               `json:"Principal,omitempty"` // "*" or {"AWS"|"Service": text or list}
	Action    Strings                       `json:"Action"`
	Resource  Strings                       `json:"Resource,omitempty"`
	Condition map[string]map[string]Strings `json:"Condition,omitempty"`
}

// Strings is a text or a list of texts.
type Strings []string

// UnmarshalJSON reads both forms; booleans are texts.
func (s *Strings) UnmarshalJSON(raw []byte) error {
	var one any
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	list, ok := one.([]any)
	if !ok {
		list = []any{one}
	}
	*s = make(Strings, 0, len(list))
	for _, v := range list {
		switch v := v.(type) {
		case string:
			*s = append(*s, v)
		case bool:
			*s = append(*s, fmt.Sprint(v))
		default:
			return fmt.Errorf("want a text or a list of texts, have %s", raw)
		}
	}
	return nil
}

// MarshalJSON writes a single text as such, as AWS shows policies.
func (s Strings) MarshalJSON() ([]byte, error) {
	if len(s) == 1 {
		return json.Marshal(s[0])
	}
	return json.Marshal([]string(s))
}

// UnmarshalJSON accepts one statement in place of a list.
func (d *Document) UnmarshalJSON(raw []byte) error {
	var doc struct {
		Version   string
		ID        string `json:"Id"`
		Statement json.RawMessage
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return err
	}
	d.Version, d.ID = doc.Version, doc.ID
	if len(doc.Statement) > 0 && doc.Statement[0] == '{' {
		d.Statement = make([]Statement, 1)
		return json.Unmarshal(doc.Statement, &d.Statement[0])
	}
	return json.Unmarshal(doc.Statement, &d.Statement)
}

// Parse reads a policy and refuses what could not be evaluated.
func Parse(text string) (*Document, error) {
	var d Document
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return nil, fmt.Errorf("parse policy: %w", err)
	}
	if len(d.Statement) == 0 {
		return nil, fmt.Errorf("parse policy: no statement")
	}
	for i, s := range d.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" {
			return nil, fmt.Errorf("parse policy: statement %d: effect %q is neither Allow nor Deny", i, s.Effect)
		}
		if _, err := principals(s.Principal); err != nil {
			return nil, fmt.Errorf("parse policy: statement %d: %w", i, err)
		}
		if len(s.Action) == 0 {
			return nil, fmt.Errorf("parse policy: statement %d: no action", i)
		}
		for op := range s.Condition {
			if _, ok := operators[strings.TrimSuffix(op, "IfExists")]; !ok {
				return nil, fmt.Errorf("parse policy: statement %d: condition operator %q is not supported", i, op)
			}
		}
	}
	return &d, nil
}

// Allows reports whether a policy lets the caller do action on resource. For a
// caller that is a service, the caller's ARN is what the service acts for (the
// rule, the topic): the condition key aws:SourceArn. An empty or unreadable
// policy allows nobody.
func Allows(text string, c wire.Caller, action, resource string) bool {
	if text == "" {
		return false
	}
	d, err := Parse(text)
	if err != nil {
		return false
	}
	allowed := false
	for _, s := range d.Statement {
		if !s.applies(c, action, resource) {
			continue
		}
		if s.Effect == "Deny" {
			return false
		}
		allowed = true
	}
	return allowed
}

func (s *Statement) applies(c wire.Caller, action, resource string) bool {
	who, err := principals(s.Principal)
	if err != nil || !who.includes(c) || !anyLike(s.Action, action, true) {
		return false
	}
	if len(s.Resource) > 0 && !anyLike(s.Resource, resource, false) {
		return false
	}
	keys := conditionKeys(c)
	for op, wanted := range s.Condition {
		test := operators[strings.TrimSuffix(op, "IfExists")]
		for key, values := range wanted {
			have, ok := keys[strings.ToLower(key)]
			if !ok && strings.HasSuffix(op, "IfExists") {
				continue
			}
			if !test(have, ok, values) {
				return false
			}
		}
	}
	return true
}

// conditionKeys are the keys that the local cloud knows of a call.
func conditionKeys(c wire.Caller) map[string]string {
	// Loopback counts as secure: policies that enforce TLS stay as they are on AWS.
	keys := map[string]string{"aws:securetransport": "true"}
	if c.Service != "" {
		keys["aws:sourcearn"] = c.ARN
		keys["aws:sourceaccount"] = c.Account
		keys["aws:principalservicename"] = c.Service
		keys["aws:principalisawsservice"] = "true"
		return keys
	}
	keys["aws:principalisawsservice"] = "false"
	keys["aws:principalaccount"] = c.Account
	keys["aws:principalarn"] = c.ARN
	if c.RoleARN != "" {
		keys["aws:principalarn"] = c.RoleARN
	}
	return keys
}

// operators test a key's value against the values of a condition.
var operators = map[string]func(have string, ok bool, want Strings) bool{
	"StringEquals":              func(have string, ok bool, want Strings) bool { return ok && anyEqual(want, have) },
	"StringNotEquals":           func(have string, ok bool, want Strings) bool { return !ok || !anyEqual(want, have) },
	"StringLike":                func(have string, ok bool, want Strings) bool { return ok && anyLike(want, have, false) },
	"StringNotLike":             func(have string, ok bool, want Strings) bool { return !ok || !anyLike(want, have, false) },
	"StringEqualsIgnoreCase":    func(have string, ok bool, want Strings) bool { return ok && anyFold(want, have) },
	"StringNotEqualsIgnoreCase": func(have string, ok bool, want Strings) bool { return !ok || !anyFold(want, have) },
	"ArnEquals":                 func(have string, ok bool, want Strings) bool { return ok && anyLike(want, have, false) },
	"ArnLike":                   func(have string, ok bool, want Strings) bool { return ok && anyLike(want, have, false) },
	"ArnNotEquals":              func(have string, ok bool, want Strings) bool { return !ok || !anyLike(want, have, false) },
	"ArnNotLike":                func(have string, ok bool, want Strings) bool { return !ok || !anyLike(want, have, false) },
	"Bool":                      func(have string, ok bool, want Strings) bool { return ok && anyFold(want, have) },
	"Null":                      func(_ string, ok bool, want Strings) bool { return anyFold(want, fmt.Sprint(!ok)) },
}

func anyEqual(want Strings, have string) bool {
	for _, w := range want {
		if w == have {
			return true
		}
	}
	return false
}

func anyFold(want Strings, have string) bool {
	for _, w := range want {
		if strings.EqualFold(w, have) {
			return true
		}
	}
	return false
}

func anyLike(patterns Strings, text string, fold bool) bool {
	for _, p := range patterns {
		if fold {
			p, text = strings.ToLower(p), strings.ToLower(text)
		}
		if like(p, text) {
			return true
		}
	}
	return false
}

// like matches * (any run) and ? (any one byte).
func like(pattern, text string) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p, t = p+1, t+1
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// principal is who a statement is about.
type principal struct {
	everyone bool
	aws      Strings
	services Strings
}

func principals(raw json.RawMessage) (principal, error) {
	if len(raw) == 0 {
		return principal{}, fmt.Errorf("no principal")
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if text != "*" {
			return principal{}, fmt.Errorf("principal %q is not *", text)
		}
		return principal{everyone: true}, nil
	}
	var kinds map[string]Strings
	if err := json.Unmarshal(raw, &kinds); err != nil {
		return principal{}, fmt.Errorf("principal %s: %w", raw, err)
	}
	var p principal
	for kind, values := range kinds {
		switch kind {
		case "AWS":
			p.aws = values
			p.everyone = anyEqual(values, "*")
		case "Service":
			p.services = values
		default:
			return principal{}, fmt.Errorf("principal of kind %q is not supported", kind)
		}
	}
	return p, nil
}

func (p principal) includes(c wire.Caller) bool {
	if p.everyone {
		return true
	}
	if c.Service != "" {
		return anyEqual(p.services, c.Service)
	}
	for _, a := range p.aws {
		if a == c.Account || a == "arn:aws:iam::"+c.Account+":root" || a == c.ARN || c.RoleARN != "" && a == c.RoleARN {
			return true
		}
	}
	return false
}
