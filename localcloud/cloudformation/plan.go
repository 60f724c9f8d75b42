package cloudformation

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// unknownYet stands for the values of resources that do not exist before the change.
const unknownYet = "{{changeSet:KNOWN_AFTER_APPLY}}"

// plan says what carrying out p would change; differs is also true when only
// outputs, tags or policies change.
func (c *CloudFormation) plan(s *stack, p *prepared) (changes []types.Change, differs bool, err error) {
	t := p.template
	replaced := map[string]bool{}
	next := &stack{ID: s.ID, Name: s.Name, Parameters: p.parameters}
	env, err := t.environment(next, c.o.Region, c.o.Account, func(logical string) (*resourceRecord, bool) {
		r, ok := t.Resources[logical]
		if !ok {
			return nil, false
		}
		if cur := s.Resources[logical]; cur != nil && cur.ID != "" && !replaced[logical] {
			return cur, true
		}
		unknown := &resourceRecord{Ref: unknownYet, Attributes: map[string]string{}}
		for _, a := range kinds[r.Type].attributes {
			unknown.Attributes[a] = unknownYet
		}
		return unknown, true
	})
	if err != nil {
		return nil, false, err
	}
	order, err := t.order()
	if err != nil {
		return nil, false, err
	}
	kept := map[string]bool{}
	for _, logical := range order {
		r := t.Resources[logical]
		if r.Condition != "" && !env.conditions[r.Condition] {
			continue
		}
		kept[logical] = true
		resolved, err := env.resolve(mapOf(r.Properties))
		if err != nil {
			return nil, false, invalid("Template error: Resources/%s: %v", logical, err)
		}
		cur := s.Resources[logical]
		if cur == nil || cur.ID == "" {
			changes = append(changes, change(types.ChangeActionAdd, logical, r.Type, "", ""))
			continue
		}
		names := changed(cur.Properties, resolved.(map[string]any))
		if len(names) > 0 {
			replace := types.ReplacementFalse
			if kinds[r.Type].replaces(names) {
				replace, replaced[logical] = types.ReplacementTrue, true
			}
			ch := change(types.ChangeActionModify, logical, r.Type, cur.ID, replace)
			for _, n := range names {
				ch.ResourceChange.Details = append(ch.ResourceChange.Details, types.ResourceChangeDetail{
					Target:     &types.ResourceTargetDefinition{Attribute: types.ResourceAttributeProperties, Name: aws.String(n)},
					Evaluation: types.EvaluationTypeStatic, ChangeSource: types.ChangeSourceDirectModification,
				})
			}
			changes = append(changes, ch)
		}
		differs = differs || cur.Delete != r.DeletionPolicy || cur.Replace != r.UpdateReplacePolicy
	}
	for _, logical := range sortedByOrder(s.Resources) {
		if !kept[logical] && s.Resources[logical].Status != "DELETE_COMPLETE" {
			changes = append(changes, change(types.ChangeActionRemove, logical, s.Resources[logical].Type, s.Resources[logical].ID, ""))
		}
	}
	outputs, err := t.outputs(env)
	if err != nil {
		return nil, false, invalid("Template error: %v", err)
	}
	differs = differs || len(changes) > 0 || canonical(outputs) != canonical(s.Outputs) || canonical(p.tags) != canonical(nonNil(s.Tags))
	return changes, differs, nil
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func change(action types.ChangeAction, logical, kind, physical string, replacement types.Replacement) types.Change {
	r := &types.ResourceChange{Action: action, LogicalResourceId: aws.String(logical), ResourceType: aws.String(kind), Replacement: replacement,
		Scope: []types.ResourceAttribute{}, Details: []types.ResourceChangeDetail{}}
	if physical != "" {
		r.PhysicalResourceId = aws.String(physical)
	}
	if action == types.ChangeActionModify {
		r.Scope = append(r.Scope, types.ResourceAttributeProperties)
	}
	return types.Change{Type: types.ChangeTypeResource, ResourceChange: r}
}
