package eventbridge

import (
	"context"
	"encoding/json"
	"sort"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/millrace-ml/millrace/localcloud/eventbridge/policy"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxPolicy is the length of a bus's policy that AWS allows, in characters.
const maxPolicy = 10_240

func (s *EventBridge) addBusOperations(w *wire.Service) {
	w.Add(
		wire.On(wire.Op("CreateEventBus", s.createEventBus), func(in *eb.CreateEventBusInput) []string { return s.busResource(in.Name) }),
		wire.On(wire.Op("DeleteEventBus", s.deleteEventBus), func(in *eb.DeleteEventBusInput) []string { return s.busResource(in.Name) }),
		wire.On(wire.Op("DescribeEventBus", s.describeEventBus), func(in *eb.DescribeEventBusInput) []string { return s.busResource(in.Name) }),
		wire.On(wire.Op("UpdateEventBus", s.updateEventBus), func(in *eb.UpdateEventBusInput) []string { return s.busResource(in.Name) }),
		wire.Op("ListEventBuses", s.listEventBuses),
		wire.On(wire.Op("PutPermission", s.putPermission), func(in *eb.PutPermissionInput) []string { return s.busResource(in.EventBusName) }),
		wire.On(wire.Op("RemovePermission", s.removePermission), func(in *eb.RemovePermissionInput) []string { return s.busResource(in.EventBusName) }),
		wire.On(wire.Op("TagResource", s.tagResource), func(in *eb.TagResourceInput) []string { return []string{aws.ToString(in.ResourceARN)} }),
		wire.On(wire.Op("UntagResource", s.untagResource), func(in *eb.UntagResourceInput) []string { return []string{aws.ToString(in.ResourceARN)} }),
		wire.On(wire.Op("ListTagsForResource", s.listTags), func(in *eb.ListTagsForResourceInput) []string { return []string{aws.ToString(in.ResourceARN)} }),
	)
}

func (s *EventBridge) busResource(name *string) []string { return []string{s.busARN(busName(name))} }

func (s *EventBridge) createEventBus(_ context.Context, in *eb.CreateEventBusInput) (*eb.CreateEventBusOutput, error) {
	name := aws.ToString(in.Name)
	switch {
	case in.EventSourceName != nil || strings.HasPrefix(name, "aws."):
		return nil, invalid("the local cloud does not support partner event buses: %s", name)
	case in.KmsKeyIdentifier != nil || in.DeadLetterConfig != nil || in.LogConfig != nil:
		return nil, invalid("the local cloud does not support KmsKeyIdentifier, DeadLetterConfig and LogConfig of an event bus: %s", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.bus[name]; taken {
		return nil, wire.Errorf("ResourceAlreadyExistsException", "Event bus %s already exists.", name)
	}
	now := s.o.Clock.Now()
	r := busRecord{Name: name, Description: aws.ToString(in.Description), Created: now, Modified: now, Tags: tagMap(nil, in.Tags)}
	if err := s.buses.Put(name, r); err != nil {
		return nil, err
	}
	s.bus[name] = &bus{busRecord: r, rules: map[string]*rule{}}
	return &eb.CreateEventBusOutput{EventBusArn: aws.String(s.busARN(name)), Description: in.Description}, nil
}

func (s *EventBridge) deleteEventBus(_ context.Context, in *eb.DeleteEventBusInput) (*eb.DeleteEventBusOutput, error) {
	name := busName(in.Name)
	if name == defaultBus {
		return nil, invalid("Cannot delete event bus default.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.bus[name]; b != nil && len(b.rules) > 0 {
		return nil, invalid("Event bus can't be deleted since it has rules.")
	}
	if err := s.buses.Delete(name); err != nil {
		return nil, err
	}
	delete(s.bus, name)
	return &eb.DeleteEventBusOutput{}, nil
}

func (s *EventBridge) describeEventBus(_ context.Context, in *eb.DescribeEventBusInput) (*eb.DescribeEventBusOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.findBus(busName(in.Name))
	if err != nil {
		return nil, err
	}
	return &eb.DescribeEventBusOutput{Name: &b.Name, Arn: aws.String(s.busARN(b.Name)), Description: optional(b.Description),
		Policy: optional(b.Policy), CreationTime: aws.Time(b.Created), LastModifiedTime: aws.Time(b.Modified)}, nil
}

func (s *EventBridge) updateEventBus(_ context.Context, in *eb.UpdateEventBusInput) (*eb.UpdateEventBusOutput, error) {
	if in.KmsKeyIdentifier != nil || in.DeadLetterConfig != nil || in.LogConfig != nil {
		return nil, invalid("the local cloud does not support KmsKeyIdentifier, DeadLetterConfig and LogConfig of an event bus")
	}
	name := busName(in.Name)
	err := s.changeBus(name, func(r *busRecord) error {
		r.Description = aws.ToString(in.Description)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eb.UpdateEventBusOutput{Name: &name, Arn: aws.String(s.busARN(name)), Description: in.Description}, nil
}

func (s *EventBridge) listEventBuses(_ context.Context, in *eb.ListEventBusesInput) (*eb.ListEventBusesOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := []types.EventBus{}
	for _, b := range s.bus {
		if strings.HasPrefix(b.Name, aws.ToString(in.NamePrefix)) {
			all = append(all, types.EventBus{Name: aws.String(b.Name), Arn: aws.String(s.busARN(b.Name)), Description: optional(b.Description),
				Policy: optional(b.Policy), CreationTime: aws.Time(b.Created), LastModifiedTime: aws.Time(b.Modified)})
		}
	}
	sort.Slice(all, func(i, j int) bool { return *all[i].Name < *all[j].Name })
	page, next, err := paged(all, func(b types.EventBus) string { return *b.Name }, in.Limit, in.NextToken)
	return &eb.ListEventBusesOutput{EventBuses: page, NextToken: next}, err
}

// changeBus changes a bus's record and keeps it.
func (s *EventBridge) changeBus(name string, change func(*busRecord) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.findBus(name)
	if err != nil {
		return err
	}
	r := b.busRecord
	if err := change(&r); err != nil {
		return err
	}
	r.Modified = s.o.Clock.Now()
	if err := s.buses.Put(name, r); err != nil {
		return err
	}
	b.busRecord = r
	return nil
}

func (s *EventBridge) putPermission(_ context.Context, in *eb.PutPermissionInput) (*eb.PutPermissionOutput, error) {
	name := busName(in.EventBusName)
	return &eb.PutPermissionOutput{}, s.changeBus(name, func(r *busRecord) error {
		text := aws.ToString(in.Policy)
		if in.Policy == nil {
			st, err := s.statement(name, in)
			if err != nil {
				return err
			}
			doc := &policy.Document{Version: "2012-10-17"}
			if r.Policy != "" {
				if doc, err = policy.Parse(r.Policy); err != nil {
					return err
				}
			}
			kept := doc.Statement[:0]
			for _, old := range doc.Statement {
				if old.Sid != st.Sid {
					kept = append(kept, old)
				}
			}
			doc.Statement = append(kept, st)
			raw, err := json.Marshal(doc)
			if err != nil {
				return err
			}
			text = string(raw)
		}
		if len(text) > maxPolicy {
			return wire.Errorf("PolicyLengthExceededException", "The policy is longer than %d characters.", maxPolicy)
		}
		if _, err := policy.Parse(text); err != nil {
			return invalid("Policy is not valid: %v", err)
		}
		r.Policy = text
		return nil
	})
}

// statement makes the statement that PutPermission describes without a policy.
func (s *EventBridge) statement(bus string, in *eb.PutPermissionInput) (policy.Statement, error) {
	who, sid := aws.ToString(in.Principal), aws.ToString(in.StatementId)
	if aws.ToString(in.Action) != "events:PutEvents" {
		return policy.Statement{}, invalid("Provided value in parameter 'action' is not supported.")
	}
	if sid == "" || who == "" {
		return policy.Statement{}, invalid("Parameters StatementId and Principal, or Policy, must be specified.")
	}
	st := policy.Statement{Sid: sid, Effect: "Allow", Action: policy.Strings{"events:PutEvents"}, Resource: policy.Strings{s.busARN(bus)}}
	switch {
	case who == "*":
		st.Principal = json.RawMessage(`"*"`)
	case len(who) == 12:
		st.Principal = json.RawMessage(`{"AWS":` + strconv.Quote("arn:aws:iam::"+who+":root") + `}`)
	default:
		return policy.Statement{}, invalid("Provided value in parameter 'principal' is not valid.")
	}
	if c := in.Condition; c != nil {
		st.Condition = map[string]map[string]policy.Strings{aws.ToString(c.Type): {aws.ToString(c.Key): {aws.ToString(c.Value)}}}
	}
	return st, nil
}

func (s *EventBridge) removePermission(_ context.Context, in *eb.RemovePermissionInput) (*eb.RemovePermissionOutput, error) {
	return &eb.RemovePermissionOutput{}, s.changeBus(busName(in.EventBusName), func(r *busRecord) error {
		switch {
		case in.RemoveAllPermissions && r.Policy == "":
			return wire.Errorf("ResourceNotFoundException", "EventBus does not have a policy.")
		case in.RemoveAllPermissions:
			r.Policy = ""
			return nil
		case r.Policy == "":
			return wire.Errorf("ResourceNotFoundException", "Statement with the provided id does not exist.")
		}
		doc, err := policy.Parse(r.Policy)
		if err != nil {
			return err
		}
		var kept []policy.Statement
		for _, st := range doc.Statement {
			if st.Sid != aws.ToString(in.StatementId) {
				kept = append(kept, st)
			}
		}
		if len(kept) == len(doc.Statement) {
			return wire.Errorf("ResourceNotFoundException", "Statement with the provided id does not exist.")
		}
		r.Policy = ""
		if len(kept) > 0 {
			doc.Statement = kept
			raw, err := json.Marshal(doc)
			if err != nil {
				return err
			}
			r.Policy = string(raw)
		}
		return nil
	})
}

// tagged reads an ARN: the bus, and the rule's name when it is a rule.
func (s *EventBridge) tagged(resource *string) (bus, rule string, err error) {
	text := aws.ToString(resource)
	if name, ok := strings.CutPrefix(text, s.arn("event-bus/")); ok {
		return name, "", nil
	}
	path, ok := strings.CutPrefix(text, s.arn("rule/"))
	if !ok {
		return "", "", invalid("Parameter %s is not valid.", text)
	}
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:], nil
	}
	return defaultBus, path, nil
}

func (s *EventBridge) changeTags(resource *string, change func(map[string]string) map[string]string) error {
	bus, rule, err := s.tagged(resource)
	if err != nil {
		return err
	}
	if rule == "" {
		return s.changeBus(bus, func(r *busRecord) error {
			r.Tags = change(r.Tags)
			return nil
		})
	}
	return s.changeRule(bus, rule, func(r *ruleRecord) error {
		r.Tags = change(r.Tags)
		return nil
	})
}

func (s *EventBridge) tagResource(_ context.Context, in *eb.TagResourceInput) (*eb.TagResourceOutput, error) {
	return &eb.TagResourceOutput{}, s.changeTags(in.ResourceARN, func(tags map[string]string) map[string]string { return tagMap(tags, in.Tags) })
}

func (s *EventBridge) untagResource(_ context.Context, in *eb.UntagResourceInput) (*eb.UntagResourceOutput, error) {
	return &eb.UntagResourceOutput{}, s.changeTags(in.ResourceARN, func(tags map[string]string) map[string]string {
		left := tagMap(tags, nil)
		for _, k := range in.TagKeys {
			delete(left, k)
		}
		return left
	})
}

func (s *EventBridge) listTags(_ context.Context, in *eb.ListTagsForResourceInput) (*eb.ListTagsForResourceOutput, error) {
	busName, ruleName, err := s.tagged(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.findBus(busName)
	if err != nil {
		return nil, err
	}
	tags := b.Tags
	if ruleName != "" {
		_, r, err := s.findRule(busName, ruleName)
		if err != nil {
			return nil, err
		}
		tags = r.Tags
	}
	out := &eb.ListTagsForResourceOutput{Tags: []types.Tag{}}
	for k, v := range tags {
		out.Tags = append(out.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	sort.Slice(out.Tags, func(i, j int) bool { return *out.Tags[i].Key < *out.Tags[j].Key })
	return out, nil
}

func tagMap(old map[string]string, tags []types.Tag) map[string]string {
	out := map[string]string{}
	for k, v := range old {
		out[k] = v
	}
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

func invalid(format string, args ...any) error {
	return wire.Errorf("ValidationException", format, args...)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// paged cuts a list; its tokens are offsets.
func paged[T any](all []T, nameOf func(T) string, limit *int32, token *string) ([]T, *string, error) {
	page, next, ok := wire.Page(all, nameOf, int(aws.ToInt32(limit)), token)
	if !ok {
		return nil, nil, invalid("Parameter NextToken is not valid.")
	}
	return page, next, nil
}
