package cloudformation

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// unknownYet stands for the values of resources that do not exist before the change.
const unknownYet = "{{changeSet:KNOWN_AFTER_APPLY}}"

// plan says what carrying out p would change; differs is also true when only
// outputs, tags or policies change.
func (c *CloudFormation) plan(s *stack, p *prepared) (changes []types.Change, differs bool, err error) {
	t := p.template
	replaced := map[string]bool{}
	next := &stack{ID: s.ID, Name: s.Name, Parameters: p.parameters, Fetched: p.fetched}
	var env *environment
	env, err = t.environment(next, c.o.Region, c.o.Account, func(logical string) (*resourceRecord, bool) {
		r, ok := t.Resources[logical]
		if !ok || (r.Condition != "" && !env.conditions[r.Condition]) {
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

// imports finds the resources to be created whose names are taken: they become
// the stack's, if it keeps them when it is deleted and no other stack has them.
func (c *CloudFormation) imports(ctx context.Context, s *stack, p *prepared, changes []types.Change) ([]string, error) {
	env, err := p.template.environment(&stack{ID: s.ID, Name: s.Name, Parameters: p.parameters, Fetched: p.fetched}, c.o.Region, c.o.Account,
		func(string) (*resourceRecord, bool) { return nil, false })
	if err != nil {
		return nil, err
	}
	var found []string
	for i := range changes {
		ch := changes[i].ResourceChange
		logical := aws.ToString(ch.LogicalResourceId)
		r := p.template.Resources[logical]
		if ch.Action != types.ChangeActionAdd || kinds[r.Type].exists == nil {
			continue
		}
		// One whose properties depend on others has no name to be found by yet.
		resolved, err := env.resolve(mapOf(r.Properties))
		if err != nil {
			continue
		}
		properties := resolved.(map[string]any)
		name := kinds[r.Type].customName(properties)
		if name == "" {
			continue
		}
		decoded, err := kinds[r.Type].decode(properties, "")
		if err != nil {
			return nil, invalid("Template error: Resources/%s: %v", logical, err)
		}
		there, err := kinds[r.Type].exists(c.step(ctx, s, ""), decoded)
		switch {
		case err != nil:
			return nil, err
		case !there:
			continue
		case !retained(r.DeletionPolicy):
			return nil, invalid("CloudFormation is attempting to import some resources because they already exist in your account. The resources must have the DeletionPolicy attribute set to 'Retain' or 'RetainExceptOnCreate' in the template for successful import. The affected resources are %s (%s)", logical, name)
		}
		if other, err := c.owner(name); err == nil {
			return nil, invalid("Resource %s (%s) already exists in stack %s", logical, name, other.ID)
		} else if !wire.HasCode(err, "ValidationError") {
			return nil, err
		}
		ch.Action, ch.PhysicalResourceId = types.ChangeActionImport, aws.String(name)
		found = append(found, logical)
	}
	return found, nil
}
