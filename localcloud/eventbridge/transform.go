package eventbridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// errInvalidJSON is an input transformer's result that is not JSON.
var errInvalidJSON = errors.New("the input transformer made invalid JSON")

func validJSON(text string) bool { return json.Valid([]byte(text)) }

// step is one step into a JSON value: a member's name or an element's index.
type step struct {
	name  string
	index int // -1 for a name
}

var (
	pathForm  = regexp.MustCompile(`^\$(\.[^.\[\]\s$*?()'"]+|\[\d+\])*$`)
	stepForm  = regexp.MustCompile(`\.[^.\[\]]+|\[\d+\]`)
	nameForm  = regexp.MustCompile(`^[A-Za-z0-9_\-]+$`)
	valueForm = regexp.MustCompile(`<([A-Za-z0-9_.\-]+)>`)
)

// parsePath reads the JSON path that EventBridge knows: dots and indices.
func parsePath(text string) ([]step, error) {
	if !pathForm.MatchString(text) {
		return nil, fmt.Errorf("parse path %q: want $.name and $.name[0]", text)
	}
	var out []step
	for _, part := range stepForm.FindAllString(text[1:], -1) {
		if part[0] == '.' {
			out = append(out, step{name: part[1:], index: -1})
			continue
		}
		n, err := strconv.Atoi(part[1 : len(part)-1])
		if err != nil {
			return nil, fmt.Errorf("parse path %q: %w", text, err)
		}
		out = append(out, step{index: n})
	}
	return out, nil
}

// extract is the JSON at a path; ok is false when there is nothing.
func extract(raw json.RawMessage, path []step) (value json.RawMessage, ok bool) {
	for _, st := range path {
		if st.index < 0 {
			var members map[string]json.RawMessage
			if json.Unmarshal(raw, &members) != nil {
				return nil, false
			}
			if raw, ok = members[st.name]; !ok {
				return nil, false
			}
			continue
		}
		var elements []json.RawMessage
		if json.Unmarshal(raw, &elements) != nil || st.index >= len(elements) {
			return nil, false
		}
		raw = elements[st.index]
	}
	return raw, true
}

func checkTransformer(t *types.Target) error {
	x := t.InputTransformer
	if x.InputTemplate == nil || *x.InputTemplate == "" || len(*x.InputTemplate) > maxInput {
		return invalid("InputTemplate for target %s must have between 1 and %d characters.", *t.Id, maxInput)
	}
	if len(x.InputPathsMap) > maxPathsMapped {
		return invalid("InputPathsMap for target %s must have at most %d entries.", *t.Id, maxPathsMapped)
	}
	for name, path := range x.InputPathsMap {
		if strings.HasPrefix(strings.ToUpper(name), "AWS.") || !nameForm.MatchString(name) {
			return invalid("InputPathsMap for target %s has the key %s, which is not valid.", *t.Id, name)
		}
		if _, err := parsePath(path); err != nil || len(path) > maxInputPath {
			return invalid("InputPath for target %s is invalid: %s.", *t.Id, path)
		}
	}
	for _, m := range valueForm.FindAllStringSubmatch(*x.InputTemplate, -1) {
		_, mapped := x.InputPathsMap[m[1]]
		if !mapped && !predefined[m[1]] {
			return invalid("InputTemplate for target %s contains invalid placeholder %s.", *t.Id, m[1])
		}
	}
	// With every variable a number, what is left must be the JSON (or the lines of text) that it claims to be.
	sample := valueForm.ReplaceAllString(*x.InputTemplate, "0")
	if form := strings.TrimSpace(sample); form[0] != '"' && !validJSON(sample) {
		return invalid("Invalid InputTemplate for target %s : it is neither JSON nor quoted text.", *t.Id)
	}
	return nil
}

var predefined = map[string]bool{
	"aws.events.rule-arn": true, "aws.events.rule-name": true, "aws.events.event.ingestion-time": true,
	"aws.events.event": true, "aws.events.event.json": true,
}

// input shapes what a target gets of an event.
func (d *delivery) input() ([]byte, error) {
	switch t := &d.Target; {
	case t.Input != nil:
		return []byte(*t.Input), nil
	case t.InputPath != nil:
		path, err := parsePath(*t.InputPath)
		if err != nil {
			return nil, err
		}
		if value, ok := extract(d.Event, path); ok {
			return value, nil
		}
		return []byte("null"), nil
	case t.InputTransformer != nil:
		return d.transform()
	}
	return d.Event, nil
}

// transform fills the template. A value outside quotes keeps its JSON type;
// inside quotes it is put in as it is, without escaping; a path that leads to
// nothing makes its variable vanish: so AWS does it.
func (d *delivery) transform() ([]byte, error) {
	template := *d.Target.InputTransformer.InputTemplate
	isText := strings.HasPrefix(strings.TrimSpace(template), `"`)
	var out bytes.Buffer
	quoted, at := false, 0
	for _, m := range valueForm.FindAllStringSubmatchIndex(template, -1) {
		quoted = quotedAfter(template[at:m[0]], quoted)
		out.WriteString(template[at:m[0]])
		at = m[1]
		value, ok, err := d.variable(template[m[2]:m[3]])
		if err != nil {
			return nil, err
		}
		if ok {
			out.Write(rendered(value, quoted, isText))
		}
	}
	out.WriteString(template[at:])
	if !isText && !json.Valid(out.Bytes()) {
		return nil, fmt.Errorf("%w: %s", errInvalidJSON, out.String())
	}
	return out.Bytes(), nil
}

// quotedAfter tells whether the end of text lies inside a JSON string.
func quotedAfter(text string, quoted bool) bool {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			quoted = !quoted
		}
	}
	return quoted
}

func rendered(value json.RawMessage, quoted, isText bool) []byte {
	if !quoted {
		return value
	}
	if value[0] == '"' {
		var s string
		if json.Unmarshal(value, &s) == nil {
			return []byte(s)
		}
	}
	if isText {
		// Objects lose their quotes inside text: they would end it.
		return bytes.ReplaceAll(value, []byte(`"`), nil)
	}
	return value
}

func (d *delivery) variable(name string) (value json.RawMessage, ok bool, err error) {
	quote := func(s string) (json.RawMessage, bool, error) {
		raw, err := encode(s)
		return raw, true, err
	}
	if path, mapped := d.Target.InputTransformer.InputPathsMap[name]; mapped {
		steps, err := parsePath(path)
		if err != nil {
			return nil, false, err
		}
		value, ok = extract(d.Event, steps)
		return value, ok, nil
	}
	switch name {
	case "aws.events.rule-arn":
		return quote(d.RuleARN)
	case "aws.events.rule-name":
		return quote(d.Rule)
	case "aws.events.event.ingestion-time":
		return quote(d.Received.UTC().Format(time.RFC3339))
	case "aws.events.event.json":
		return d.Event, true, nil
	}
	var e event
	if err := json.Unmarshal(d.Event, &e); err != nil {
		return nil, false, err
	}
	e.Detail = nil
	value, err = encode(e)
	// So AWS spells it here, unlike in the event itself.
	return bytes.Replace(value, []byte(`"detail-type":`), []byte(`"detailType":`), 1), true, err
}
