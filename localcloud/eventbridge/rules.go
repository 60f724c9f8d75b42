package eventbridge

import (
	"context"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxPattern is the length of an event pattern that AWS allows, in characters.
const maxPattern = 4096

func (s *EventBridge) addRuleOperations(w *wire.Service) {
	w.Add(
		wire.On(wire.Op("PutRule", s.putRule), func(in *eb.PutRuleInput) []string { return s.ruleResource(in.EventBusName, in.Name) }),
		wire.On(wire.Op("DeleteRule", s.deleteRule), func(in *eb.DeleteRuleInput) []string { return s.ruleResource(in.EventBusName, in.Name) }),
		wire.On(wire.Op("DescribeRule", s.describeRule), func(in *eb.DescribeRuleInput) []string { return s.ruleResource(in.EventBusName, in.Name) }),
		wire.On(wire.Op("EnableRule", s.enableRule), func(in *eb.EnableRuleInput) []string { return s.ruleResource(in.EventBusName, in.Name) }),
		wire.On(wire.Op("DisableRule", s.disableRule), func(in *eb.DisableRuleInput) []string { return s.ruleResource(in.EventBusName, in.Name) }),
		wire.Op("ListRules", s.listRules),
		wire.On(wire.Op("PutTargets", s.putTargets), func(in *eb.PutTargetsInput) []string { return s.ruleResource(in.EventBusName, in.Rule) }),
		wire.On(wire.Op("RemoveTargets", s.removeTargets), func(in *eb.RemoveTargetsInput) []string { return s.ruleResource(in.EventBusName, in.Rule) }),
		wire.On(wire.Op("ListTargetsByRule", s.listTargets), func(in *eb.ListTargetsByRuleInput) []string { return s.ruleResource(in.EventBusName, in.Rule) }),
		wire.Op("ListRuleNamesByTarget", s.listRuleNames),
	)
}

func (s *EventBridge) ruleResource(bus, rule *string) []string {
	return []string{s.ruleARN(busName(bus), aws.ToString(rule))}
}

func (s *EventBridge) putRule(_ context.Context, in *eb.PutRuleInput) (*eb.PutRuleOutput, error) {
	r, err := s.newRule(in)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.findBus(r.Bus)
	if err != nil {
		return nil, err
	}
	r.Since = s.o.Clock.Now()
	if old, ok := b.rules[r.Name]; ok {
		// A rule that is put again keeps its targets, and its tags, which only TagResource changes.
		r.Targets, r.Tags = old.Targets, old.Tags
		if old.Schedule == r.Schedule && old.State == r.State {
			r.Since = old.Since
		}
	}
	if err := s.keep(b, r); err != nil {
		return nil, err
	}
	return &eb.PutRuleOutput{RuleArn: aws.String(s.ruleARN(r.Bus, r.Name))}, nil
}

func (s *EventBridge) newRule(in *eb.PutRuleInput) (ruleRecord, error) {
	r := ruleRecord{Name: aws.ToString(in.Name), Bus: busName(in.EventBusName), Description: aws.ToString(in.Description), Pattern: aws.ToString(in.EventPattern),
		Schedule: aws.ToString(in.ScheduleExpression), RoleARN: aws.ToString(in.RoleArn), State: in.State, Tags: tagMap(nil, in.Tags)}
	if r.Pattern == "" && r.Schedule == "" {
		return r, invalid("Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	if len(r.Pattern) > maxPattern {
		return r, invalid("1 validation error detected: Value at 'eventPattern' failed to satisfy constraint: Member must have length less than or equal to %d", maxPattern)
	}
	if r.Schedule != "" && r.Bus != defaultBus {
		return r, invalid("ScheduleExpression is supported only on the default event bus.")
	}
	if r.State == "" {
		r.State = types.RuleStateEnabled
	}
	return r, nil
}

// keep makes a rule the current one; needs s.mu.
func (s *EventBridge) keep(b *bus, r ruleRecord) error {
	ready, err := prepare(r)
	if err != nil {
		return err
	}
	if err := s.rules.Put(r.Bus+"\x00"+r.Name, r); err != nil {
		return err
	}
	if old, ok := b.rules[r.Name]; ok {
		old.disarm()
	}
	b.rules[r.Name] = ready
	b.sort()
	s.arm(ready, s.o.Clock.Now())
	return nil
}

// changeRule changes a rule's record and keeps it.
func (s *EventBridge) changeRule(busName, name string, change func(*ruleRecord) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, old, err := s.findRule(busName, name)
	if err != nil {
		return err
	}
	r := old.ruleRecord
	if err := change(&r); err != nil {
		return err
	}
	return s.keep(b, r)
}

func (s *EventBridge) deleteRule(_ context.Context, in *eb.DeleteRuleInput) (*eb.DeleteRuleOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.findBus(busName(in.EventBusName))
	if err != nil {
		return nil, err
	}
	name := aws.ToString(in.Name)
	old, ok := b.rules[name]
	if !ok {
		return &eb.DeleteRuleOutput{}, nil
	}
	if len(old.Targets) > 0 {
		return nil, invalid("Rule can't be deleted since it has targets.")
	}
	if err := s.rules.Delete(b.Name + "\x00" + name); err != nil {
		return nil, err
	}
	old.disarm()
	delete(b.rules, name)
	b.sort()
	return &eb.DeleteRuleOutput{}, nil
}

func (s *EventBridge) describeRule(_ context.Context, in *eb.DescribeRuleInput) (*eb.DescribeRuleOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, r, err := s.findRule(busName(in.EventBusName), aws.ToString(in.Name))
	if err != nil {
		return nil, err
	}
	return &eb.DescribeRuleOutput{Name: aws.String(r.Name), Arn: aws.String(s.ruleARN(r.Bus, r.Name)), EventBusName: aws.String(r.Bus), CreatedBy: aws.String(s.o.Account),
		Description: optional(r.Description), EventPattern: optional(r.Pattern), ScheduleExpression: optional(r.Schedule), RoleArn: optional(r.RoleARN), State: r.State}, nil
}

func (s *EventBridge) setState(bus, name *string, state types.RuleState) error {
	return s.changeRule(busName(bus), aws.ToString(name), func(r *ruleRecord) error {
		if r.State != state {
			r.Since = s.o.Clock.Now()
		}
		r.State = state
		return nil
	})
}

func (s *EventBridge) enableRule(_ context.Context, in *eb.EnableRuleInput) (*eb.EnableRuleOutput, error) {
	return &eb.EnableRuleOutput{}, s.setState(in.EventBusName, in.Name, types.RuleStateEnabled)
}

func (s *EventBridge) disableRule(_ context.Context, in *eb.DisableRuleInput) (*eb.DisableRuleOutput, error) {
	return &eb.DisableRuleOutput{}, s.setState(in.EventBusName, in.Name, types.RuleStateDisabled)
}

func (s *EventBridge) listRules(_ context.Context, in *eb.ListRulesInput) (*eb.ListRulesOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.findBus(busName(in.EventBusName))
	if err != nil {
		return nil, err
	}
	all := []types.Rule{}
	for _, r := range b.sorted() {
		if strings.HasPrefix(r.Name, aws.ToString(in.NamePrefix)) {
			all = append(all, types.Rule{Name: aws.String(r.Name), Arn: aws.String(s.ruleARN(r.Bus, r.Name)), EventBusName: aws.String(r.Bus), Description: optional(r.Description),
				EventPattern: optional(r.Pattern), ScheduleExpression: optional(r.Schedule), RoleArn: optional(r.RoleARN), State: r.State})
		}
	}
	page, next, err := paged(all, func(r types.Rule) string { return *r.Name }, in.Limit, in.NextToken)
	return &eb.ListRulesOutput{Rules: page, NextToken: next}, err
}

// sorted are the bus's rules by name; needs s.mu.
func (b *bus) sorted() []*rule {
	out := make([]*rule, 0, len(b.rules))
	for _, r := range b.rules {
		out = append(out, r)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func (s *EventBridge) putTargets(_ context.Context, in *eb.PutTargetsInput) (*eb.PutTargetsOutput, error) {
	ids := map[string]bool{}
	for i := range in.Targets {
		id := aws.ToString(in.Targets[i].Id)
		if ids[id] {
			return nil, invalid("Target ids must be unique: %s", id)
		}
		ids[id] = true
		if err := s.checkTarget(&in.Targets[i]); err != nil {
			return nil, err
		}
		if own := s.busARN(busName(in.EventBusName)); aws.ToString(in.Targets[i].Arn) == own {
			return nil, invalid("Event bus %s cannot be a target of its own rule: its events would go round for ever.", own)
		}
	}
	err := s.changeRule(busName(in.EventBusName), aws.ToString(in.Rule), func(r *ruleRecord) error {
		kept := []types.Target{}
		for _, old := range r.Targets {
			if !ids[*old.Id] {
				kept = append(kept, old)
			}
		}
		r.Targets = append(kept, in.Targets...)
		if len(r.Targets) > maxTargets {
			return wire.Errorf("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eb.PutTargetsOutput{FailedEntries: []types.PutTargetsResultEntry{}}, nil
}

func (s *EventBridge) removeTargets(_ context.Context, in *eb.RemoveTargetsInput) (*eb.RemoveTargetsOutput, error) {
	out := &eb.RemoveTargetsOutput{FailedEntries: []types.RemoveTargetsResultEntry{}}
	err := s.changeRule(busName(in.EventBusName), aws.ToString(in.Rule), func(r *ruleRecord) error {
		kept := []types.Target{}
		gone := map[string]bool{}
		for _, old := range r.Targets {
			drop := false
			for _, id := range in.Ids {
				drop = drop || id == *old.Id
			}
			if gone[*old.Id] = drop; !drop {
				kept = append(kept, old)
			}
		}
		for _, id := range in.Ids {
			if !gone[id] {
				out.FailedEntries = append(out.FailedEntries, types.RemoveTargetsResultEntry{TargetId: aws.String(id),
					ErrorCode: aws.String("ResourceNotFoundException"), ErrorMessage: aws.String("Rule " + r.Name + " does not have target " + id + ".")})
			}
		}
		out.FailedEntryCount = int32(len(out.FailedEntries))
		r.Targets = kept
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *EventBridge) listTargets(_ context.Context, in *eb.ListTargetsByRuleInput) (*eb.ListTargetsByRuleOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, r, err := s.findRule(busName(in.EventBusName), aws.ToString(in.Rule))
	if err != nil {
		return nil, err
	}
	page, next, err := paged(append([]types.Target{}, r.Targets...), func(t types.Target) string { return *t.Id }, in.Limit, in.NextToken)
	return &eb.ListTargetsByRuleOutput{Targets: page, NextToken: next}, err
}

func (s *EventBridge) listRuleNames(_ context.Context, in *eb.ListRuleNamesByTargetInput) (*eb.ListRuleNamesByTargetOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, err := s.findBus(busName(in.EventBusName))
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, r := range b.sorted() {
		for _, t := range r.Targets {
			if *t.Arn == aws.ToString(in.TargetArn) {
				names = append(names, r.Name)
				break
			}
		}
	}
	page, next, err := paged(names, func(name string) string { return name }, in.Limit, in.NextToken)
	return &eb.ListRuleNamesByTargetOutput{RuleNames: page, NextToken: next}, err
}
