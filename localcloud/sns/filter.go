package sns

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/millrace-ml/millrace/localcloud/pattern"
)

// What a filter policy may have at most.
const (
	maxFilterKeys         = 5
	maxFilterCombinations = 150
)

// What a filter policy is held against.
const (
	scopeAttributes = "MessageAttributes"
	scopeBody       = "MessageBody"
)

// filter reads a subscription's filter policy; nil without one. where is what
// errors call the attribute.
func filter(attributes map[string]string, where string) (*pattern.Pattern, error) {
	policy := attributes["FilterPolicy"]
	if policy == "" || policy == "{}" {
		return nil, nil
	}
	if small := (bytes.Buffer{}); json.Compact(&small, []byte(policy)) == nil {
		policy = small.String() // places in errors are those of the policy without space
	}
	if !json.Valid([]byte(policy)) {
		return nil, invalid("%s%s", where, unparsed(policy))
	}
	p, err := pattern.CompileFilter(policy)
	if err != nil {
		return nil, invalid("%s%s", where, strings.TrimPrefix(err.Error(), pattern.NotValid))
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(policy), &members); err != nil {
		return nil, invalid("%s%v", where, err)
	}
	switch {
	case attributes["FilterPolicyScope"] != scopeBody && nested(members):
		return nil, invalid("Filter policy scope MessageAttributes does not support nested filter policy")
	case len(members) > maxFilterKeys:
		return nil, invalid("%sFilter policy can not have more than 5 keys", where)
	case p.Combinations() > maxFilterCombinations:
		return nil, invalid("%sFilter policy is too complex", where)
	}
	return p, nil
}

var sourceShown = regexp.MustCompile(`(?s)\[Source: \(String\)".*"; line`)

// unparsed words why a text is no JSON, as SNS does: without the text.
func unparsed(text string) string {
	_, err := pattern.CompileFilter(text)
	if err == nil {
		return "failed to parse JSON."
	}
	why := strings.TrimPrefix(err.Error(), pattern.NotValid)
	return "failed to parse JSON. " + sourceShown.ReplaceAllLiteralString(why, "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line")
}

// nested reports whether a policy names members of members.
func nested(policy map[string]json.RawMessage) bool {
	for name, v := range policy {
		var alternatives []map[string]json.RawMessage
		switch {
		case v[0] == '{':
			return true
		case name == "$or" && json.Unmarshal(v, &alternatives) == nil:
			for _, a := range alternatives {
				if nested(a) {
					return true
				}
			}
		}
	}
	return false
}

// passes reports whether a message goes to a subscription.
func (s *SNS) passes(v subscription, text string, e *types.PublishBatchRequestEntry) bool {
	p, err := filter(v.Attributes, "")
	if p == nil || err != nil { // it was checked when it was set
		return true
	}
	raw := []byte(text)
	if v.Attributes["FilterPolicyScope"] != scopeBody {
		raw = told(e.MessageAttributes)
	}
	event, err := pattern.ParseEvent(raw)
	return err == nil && p.Match(event) // a body that is no JSON passes no policy
}

// told is message attributes as a filter policy sees them: by name, a text, a
// number, or an array. Binary ones cannot be filtered by.
func told(attributes map[string]types.MessageAttributeValue) []byte {
	event := map[string]json.RawMessage{}
	for name, a := range attributes {
		value := aws.ToString(a.StringValue)
		kind := aws.ToString(a.DataType)
		switch {
		case kind == "String.Array" && json.Valid([]byte(value)), kind == "Number" && json.Valid([]byte(value)):
			event[name] = json.RawMessage(value)
		case a.StringValue != nil:
			event[name] = encode(value)
		}
	}
	return encode(event)
}
