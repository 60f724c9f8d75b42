package cloudformation

import (
	"context"
	"slices"
	"strings"

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
	next := p.stack(s)
	var env *environment
	env, err = c.environment(t, next, func(logical string) (*resourceRecord, bool) {
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
		next, err := env.properties(r)
		if err != nil {
			return nil, false, valueError("Resources", "Resources/"+logical+": ", err)
		}
		cur := s.Resources[logical]
		if cur == nil || cur.ID == "" {
			changes = append(changes, change(types.ChangeActionAdd, logical, r.Type, "", ""))
			continue
		}
		if names := changed(cur.Properties, next); len(names) > 0 {
			replaced[logical] = kinds[r.Type].replaces(names)
			changes = append(changes, modification(logical, r, cur, next, names, func(parameter string) bool {
				_, given := t.Parameters[parameter]
				return given && p.parameters[parameter] != s.Parameters[parameter]
			}))
		}
		differs = differs || cur.Delete != r.DeletionPolicy || cur.Replace != r.UpdateReplacePolicy
	}
	for _, logical := range sortedByOrder(s.Resources) {
		if !kept[logical] && s.Resources[logical].Status != "DELETE_COMPLETE" {
			ch := change(types.ChangeActionRemove, logical, s.Resources[logical].Type, s.Resources[logical].ID, "")
			if ch.ResourceChange.PolicyAction = types.PolicyActionDelete; retained(s.Resources[logical].Delete) {
				ch.ResourceChange.PolicyAction = types.PolicyActionRetain
			}
			changes = append(changes, ch)
		}
	}
	outputs, err := t.outputs(env)
	if err != nil {
		return nil, false, valueError("Outputs", "", err)
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

// modification describes what of a resource changes, and whether that makes a
// new one of it: for sure, or only if a value not known yet turns out to differ.
// moved tells of a parameter that it has another value than before.
func modification(logical string, r *resource, cur *resourceRecord, next map[string]any, names []string, moved func(parameter string) bool) types.Change {
	replace := types.ReplacementFalse
	var details []types.ResourceChangeDetail
	for _, n := range names {
		target := &types.ResourceTargetDefinition{Attribute: types.ResourceAttributeProperties, Name: aws.String(n), Path: aws.String("/Properties/" + n),
			RequiresRecreation: types.RequiresRecreationNever, AttributeChangeType: types.AttributeChangeTypeModify}
		before, had := cur.Properties[n]
		after, has := next[n]
		if had {
			target.BeforeValue = aws.String(asString(before))
		} else {
			target.AttributeChangeType = types.AttributeChangeTypeAdd
		}
		if has {
			target.AfterValue = aws.String(asString(after))
		} else {
			target.AttributeChangeType = types.AttributeChangeTypeRemove
		}
		d := types.ResourceChangeDetail{Target: target, Evaluation: types.EvaluationTypeStatic, ChangeSource: types.ChangeSourceDirectModification}
		dynamic := has && strings.Contains(canonical(after), unknownYet)
		if dynamic {
			d.Evaluation, d.ChangeSource = types.EvaluationTypeDynamic, types.ChangeSourceResourceReference
			if entity := causingEntity(r.Properties[n]); strings.Contains(entity, ".") {
				d.ChangeSource, d.CausingEntity = types.ChangeSourceResourceAttribute, aws.String(entity)
			} else if entity != "" {
				d.CausingEntity = aws.String(entity)
			}
		}
		byParameter := map[string]bool{}
		walkReferences(r.Properties[n], func(name string) { byParameter[name] = moved(name) })
		for _, name := range sortedKeys(byParameter) {
			if byParameter[name] { // and what AWS cannot rule out is that the template itself changes it too
				d.Evaluation = types.EvaluationTypeDynamic
				details = append(details, types.ResourceChangeDetail{Target: target, Evaluation: types.EvaluationTypeStatic,
					ChangeSource: types.ChangeSourceParameterReference, CausingEntity: aws.String(name)})
			}
		}
		if kinds[r.Type].replaces([]string{n}) {
			target.RequiresRecreation = types.RequiresRecreationAlways
			switch {
			case !dynamic:
				replace = types.ReplacementTrue
			case replace == types.ReplacementFalse:
				replace = types.ReplacementConditional
			}
		}
		details = append(details, d)
	}
	ch := change(types.ChangeActionModify, logical, r.Type, cur.ID, replace)
	slices.SortStableFunc(details, func(a, b types.ResourceChangeDetail) int {
		return -strings.Compare(string(a.Evaluation), string(b.Evaluation)) // Static before Dynamic
	})
	ch.ResourceChange.Details = details
	if replace != types.ReplacementFalse {
		if ch.ResourceChange.PolicyAction = types.PolicyActionReplaceAndDelete; retained(r.UpdateReplacePolicy) {
			ch.ResourceChange.PolicyAction = types.PolicyActionReplaceAndRetain
		}
	}
	ch.ResourceChange.BeforeContext = aws.String(canonical(map[string]any{"Properties": map[string]any(cur.Properties)}))
	ch.ResourceChange.AfterContext = aws.String(canonical(map[string]any{"Properties": next}))
	return ch
}

// causingEntity is the resource, or its attribute, that a value is, if it is one and nothing else.
func causingEntity(v any) string {
	name, arg, _ := intrinsic(v)
	switch name {
	case "Ref":
		return asString(arg)
	case "Fn::GetAtt":
		if logical, attribute, err := getAttParts(arg); err == nil {
			return logical + "." + attribute
		}
	}
	return ""
}

// withoutValues leaves out of changes what is told only when asked for.
func withoutValues(changes []types.Change) []types.Change {
	out := make([]types.Change, len(changes))
	for i, ch := range changes {
		r := *ch.ResourceChange
		r.BeforeContext, r.AfterContext = nil, nil
		r.Details = make([]types.ResourceChangeDetail, len(r.Details))
		for j, d := range ch.ResourceChange.Details {
			target := *d.Target
			target.Path, target.BeforeValue, target.AfterValue, target.AttributeChangeType = nil, nil, nil, ""
			d.Target = &target
			r.Details[j] = d
		}
		ch.ResourceChange = &r
		out[i] = ch
	}
	return out
}

// imports finds the resources to be created whose names are taken: they become
// the stack's, if it keeps them when it is deleted and no other stack has them.
func (c *CloudFormation) imports(ctx context.Context, s *stack, p *prepared, changes []types.Change) ([]string, error) {
	env, err := c.environment(p.template, p.stack(s),
		func(string) (*resourceRecord, bool) { return nil, false })
	if err != nil {
		return nil, err
	}
	// It is who will create the rest that looks.
	ctx = wire.WithCaller(ctx, c.actor(&stack{ID: s.ID, Name: s.Name, Role: p.role, Caller: wire.CallerFrom(ctx)}))
	var found []string
	for i := range changes {
		ch := changes[i].ResourceChange
		logical := aws.ToString(ch.LogicalResourceId)
		r := p.template.Resources[logical]
		if ch.Action != types.ChangeActionAdd || kinds[r.Type].exists == nil {
			continue
		}
		// One whose properties depend on others has no name to be found by yet.
		properties, err := env.properties(r)
		if err != nil {
			continue
		}
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
		id := kinds[r.Type].expected(c, decoded)
		if other, err := c.owner(id); err == nil {
			return nil, invalid("Resource %s (%s) already exists in stack %s", logical, name, other.ID)
		} else if !wire.HasCode(err, "ValidationError") {
			return nil, err
		}
		ch.Action, ch.PhysicalResourceId = types.ChangeActionImport, aws.String(id)
		found = append(found, logical)
	}
	return found, nil
}
