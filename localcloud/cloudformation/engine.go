package cloudformation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// errStopped says that the cloud is closing in the middle of an operation.
var errStopped = errors.New("stopped")

// background runs an operation on a stack, as its caller or its role.
func (c *CloudFormation) background(s *stack, f func(context.Context, *stack) error) {
	c.wg.Add(1)
	ctx, release := clock.Hold(wire.WithCaller(c.ctx, c.actor(s)), c.o.Clock, "stack "+s.Name)
	s.patient = true
	go func() {
		defer c.wg.Done()
		defer release()
		err := f(ctx, s)
		if err == nil {
			err = c.settle(s)
		}
		if err != nil && !errors.Is(err, errStopped) {
			c.o.Log.Error("stack operation stopped", "stack", s.Name, "error", err)
		}
	}()
}

// sessionName is how the service calls itself with a role.
const sessionName = "AWSCloudFormation"

// actor is who creates the resources: the service role when there is one.
func (c *CloudFormation) actor(s *stack) wire.Caller {
	if s.Role == "" {
		return s.Caller
	}
	if c.o.Assume != nil {
		caller, err := c.o.Assume(s.Role, sessionName, s.ID)
		if err == nil {
			return caller
		}
		// It was there when it was given; without it nothing will be allowed.
		c.o.Log.Error("role of stack cannot be assumed", "stack", s.Name, "role", s.Role, "error", err)
	}
	name := s.Role[strings.LastIndex(s.Role, "/")+1:]
	return wire.Caller{Account: c.o.Account, RoleARN: s.Role, ARN: "arn:aws:sts::" + c.o.Account + ":assumed-role/" + name + "/" + sessionName}
}

func (c *CloudFormation) step(ctx context.Context, s *stack, name string) *step {
	return &step{ctx: ctx, c: c, stackTags: s.Tags, name: name}
}

// create makes the stack's resources one after the other.
func (c *CloudFormation) create(ctx context.Context, s *stack) error {
	err := c.apply(ctx, s)
	if err == nil {
		return c.note(s, "", "CREATE_COMPLETE", "")
	}
	if ctx.Err() != nil {
		return errStopped
	}
	if s.OnFailure == "DO_NOTHING" {
		return c.note(s, "", "CREATE_FAILED", err.Error())
	}
	return c.rollbackCreate(ctx, s, err.Error())
}

func (c *CloudFormation) rollbackCreate(ctx context.Context, s *stack, reason string) error {
	final := "ROLLBACK_COMPLETE"
	if s.OnFailure == "DELETE" {
		final = "DELETE_COMPLETE"
		if err := c.note(s, "", "DELETE_IN_PROGRESS", reason+" Delete requested by user."); err != nil {
			return err
		}
	} else if err := c.note(s, "", "ROLLBACK_IN_PROGRESS", reason+" Rollback requested by user."); err != nil {
		return err
	}
	failed, err := c.removeAll(ctx, s, sortedByOrder(s.Resources), true)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		status := "ROLLBACK_FAILED"
		if final == "DELETE_COMPLETE" {
			status = "DELETE_FAILED"
		}
		return c.note(s, "", status, fmt.Sprintf("The following resource(s) failed to delete: [%s]. ", strings.Join(failed, ", ")))
	}
	return c.note(s, "", final, reason)
}

// apply brings the resources to what the stack's template says; new ones are
// created, changed ones updated or replaced. Its error is the reason to roll back.
func (c *CloudFormation) apply(ctx context.Context, s *stack) error {
	t, err := parseTemplate(s.Template)
	if err != nil {
		return err
	}
	env, err := c.environment(t, s, func(logical string) (*resourceRecord, bool) {
		r, ok := s.Resources[logical]
		return r, ok && r.Status != ""
	})
	if err != nil {
		return err
	}
	order, err := t.order()
	if err != nil {
		return err
	}
	verb := "create"
	if s.Prior != nil {
		verb = "update"
	}
	for i, logical := range order {
		if ctx.Err() != nil {
			return errStopped
		}
		r := t.Resources[logical]
		if r.Condition != "" && !env.conditions[r.Condition] {
			continue
		}
		if err := c.applyOne(ctx, s, env, logical, r, i); err != nil {
			if ctx.Err() != nil {
				return errStopped
			}
			return fmt.Errorf("The following resource(s) failed to %s: [%s].", verb, logical) //nolint:revive,staticcheck // AWS's wording, shown to people
		}
	}
	outputs, err := t.outputs(env)
	if err != nil {
		return fmt.Errorf("Template error: %w.", err) //nolint:revive,staticcheck // shown to people
	}
	if err := c.mayExport(s, outputs); err != nil {
		return err
	}
	s.Outputs, s.ImportedValues = outputs, sortedKeys(env.imported)
	return nil
}

// applyOne brings one resource to what the template says. The events tell why it failed.
func (c *CloudFormation) applyOne(ctx context.Context, s *stack, env *environment, logical string, r *resource, order int) error {
	k := kinds[r.Type]
	cur := s.Resources[logical]
	exists := cur != nil && cur.ID != "" // one that failed to be created is none
	properties, err := env.properties(r)
	if err != nil {
		if !exists {
			s.Resources[logical] = &resourceRecord{Type: r.Type, Order: order}
		}
		_ = c.note(s, logical, failedStatus(exists), err.Error())
		return err
	}
	metadata := ""
	if r.Metadata != nil {
		metadata = canonical(r.Metadata)
	}
	if !exists {
		rec := &resourceRecord{Type: r.Type, Properties: properties, Delete: r.DeletionPolicy, Replace: r.UpdateReplacePolicy, Metadata: metadata, Order: order}
		return c.createOne(ctx, s, k, logical, rec)
	}
	cur.Delete, cur.Replace, cur.Metadata, cur.Order = r.DeletionPolicy, r.UpdateReplacePolicy, metadata, order
	if cur.Type != r.Type {
		err := fmt.Errorf("Update of resource type is not permitted. The new template modifies resource type of the following resources: [%s]", logical) //nolint:revive,staticcheck // AWS's wording
		_ = c.note(s, logical, "UPDATE_FAILED", err.Error())
		return err
	}
	names := changed(cur.Properties, properties)
	if len(names) == 0 {
		return nil
	}
	if !k.replaces(names) {
		return c.updateOne(ctx, s, k, logical, properties)
	}
	if custom := k.customName(properties); custom != "" && custom == k.customName(cur.Properties) {
		err := fmt.Errorf("CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename %s and update the stack again. (changed: %s)", custom, strings.Join(names, ", ")) //nolint:revive,staticcheck // AWS's wording
		_ = c.note(s, logical, "UPDATE_FAILED", err.Error())
		return err
	}
	if err := c.note(s, logical, "UPDATE_IN_PROGRESS", "Requested update requires the creation of a new physical resource; hence creating one."); err != nil {
		return err
	}
	rec := &resourceRecord{Type: r.Type, Properties: properties, Generation: cur.Generation + 1, Delete: r.DeletionPolicy, Replace: r.UpdateReplacePolicy, Metadata: metadata, Order: order}
	return c.createOne(ctx, s, k, logical, rec)
}

func failedStatus(exists bool) string {
	if exists {
		return "UPDATE_FAILED"
	}
	return "CREATE_FAILED"
}

func (c *CloudFormation) createOne(ctx context.Context, s *stack, k *kind, logical string, rec *resourceRecord) error {
	replaced := s.Prior != nil && s.Prior.Resources[logical] != nil
	rec.Name = k.generate(c.o.Account, c.o.Region, s.Name, logical, rec.Generation)
	s.Resources[logical] = rec
	status := func(what string) string {
		if replaced {
			return "UPDATE_" + what
		}
		return "CREATE_" + what
	}
	make := k.create
	if !replaced && slices.Contains(s.Imports, logical) {
		make, rec.Imported = k.adopt, true
		status = func(what string) string { return "IMPORT_" + what }
	}
	if err := c.note(s, logical, status("IN_PROGRESS"), ""); err != nil {
		return err
	}
	p, err := k.decode(rec.Properties, rec.Name)
	var m made
	if err == nil {
		m, err = make(c.step(ctx, s, rec.Name), p)
	}
	rec.ID, rec.Ref, rec.Attributes = m.ID, m.Ref, m.Attributes
	if rec.Ref == "" {
		rec.Ref = m.ID
	}
	if err != nil {
		if ctx.Err() == nil {
			_ = c.note(s, logical, status("FAILED"), reasonOf(err))
		}
		return err
	}
	if !rec.Imported { // AWS tells it once more when the physical id is known
		if err := c.note(s, logical, status("IN_PROGRESS"), "Resource creation Initiated"); err != nil {
			return err
		}
	}
	return c.note(s, logical, status("COMPLETE"), c.remark(s, k, logical, rec))
}

// remark says which properties have no effect here.
func (c *CloudFormation) remark(s *stack, k *kind, logical string, rec *resourceRecord) string {
	if k.anyProps {
		return ""
	}
	names := k.noEffect(rec.Properties)
	if len(names) == 0 {
		return ""
	}
	c.o.Log.Info("properties without effect in the local cloud", "stack", s.Name, "resource", logical, "properties", strings.Join(names, ", "))
	return "recorded, without effect in the local cloud: " + strings.Join(names, ", ")
}

func (c *CloudFormation) updateOne(ctx context.Context, s *stack, k *kind, logical string, properties map[string]any) error {
	cur := s.Resources[logical]
	cur.Attempted = properties
	if err := c.note(s, logical, "UPDATE_IN_PROGRESS", ""); err != nil {
		return err
	}
	if !k.anyProps {
		if err := c.change(ctx, s, k, cur, properties); err != nil {
			if ctx.Err() == nil {
				_ = c.note(s, logical, "UPDATE_FAILED", reasonOf(err))
			}
			return err
		}
	}
	cur.Properties, cur.Attempted = properties, nil
	return c.note(s, logical, "UPDATE_COMPLETE", c.remark(s, k, logical, cur))
}

// change updates a resource in place from its recorded properties to others.
func (c *CloudFormation) change(ctx context.Context, s *stack, k *kind, cur *resourceRecord, properties map[string]any) error {
	old, err := k.decode(cur.Properties, cur.Name)
	if err != nil {
		return err
	}
	next, err := k.decode(properties, cur.Name)
	if err != nil {
		return err
	}
	m, err := k.update(c.step(ctx, s, cur.Name), cur.ID, old, next)
	if err != nil {
		return err
	}
	if m.Attributes != nil {
		cur.Attributes = m.Attributes
	}
	return nil
}

// reasonOf words a service's refusal as AWS's resource handlers do.
func reasonOf(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		what, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "call "), ": ")
		return fmt.Sprintf("Resource handler returned message: %q (%s, Status Code: %d, HandlerErrorCode: %s)", e.Message, what, e.HTTPStatus(), e.Code)
	}
	return err.Error()
}

// update changes a stack to its new template; s.Prior is how it was.
func (c *CloudFormation) update(ctx context.Context, s *stack) error {
	err := c.apply(ctx, s)
	if err == nil {
		if err := c.note(s, "", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", ""); err != nil {
			return err
		}
		return c.cleanup(ctx, s)
	}
	if ctx.Err() != nil {
		return errStopped
	}
	if s.OnFailure == "DO_NOTHING" {
		return c.note(s, "", "UPDATE_FAILED", err.Error())
	}
	return c.rollbackUpdate(ctx, s, err.Error())
}

// cleanup removes what the update replaced or dropped. What cannot be removed
// is told in events, and does not fail the update, as on AWS.
func (c *CloudFormation) cleanup(ctx context.Context, s *stack) error {
	t, err := parseTemplate(s.Template)
	if err != nil {
		return err
	}
	env, err := c.environment(t, s, func(string) (*resourceRecord, bool) { return nil, false })
	if err != nil {
		return err
	}
	old := sortedByOrder(s.Prior.Resources)
	for i := len(old) - 1; i >= 0; i-- {
		logical := old[i]
		prior, cur := s.Prior.Resources[logical], s.Resources[logical]
		r, wanted := t.Resources[logical]
		if wanted && r.Condition != "" {
			wanted = env.conditions[r.Condition]
		}
		switch {
		case wanted && cur != nil && cur.ID == prior.ID:
			continue
		case wanted:
			if retained(prior.Replace) {
				continue
			}
			if err := c.removeRecord(ctx, s, prior); err != nil {
				if ctx.Err() != nil {
					return errStopped
				}
				c.o.Log.Error("replaced resource not removed", "stack", s.Name, "resource", logical, "id", prior.ID, "error", err)
			}
		default:
			if _, err := c.removeAll(ctx, s, []string{logical}, false); err != nil {
				return err
			}
			delete(s.Resources, logical)
		}
	}
	s.Prior = nil
	return c.note(s, "", "UPDATE_COMPLETE", "")
}

func retained(policy string) bool { return policy == "Retain" || policy == "RetainExceptOnCreate" }

// rollbackUpdate brings everything back to s.Prior: first changes are undone,
// in order, then what is new is removed, in reverse order.
func (c *CloudFormation) rollbackUpdate(ctx context.Context, s *stack, reason string) error {
	if err := c.note(s, "", "UPDATE_ROLLBACK_IN_PROGRESS", reason); err != nil {
		return err
	}
	var fresh, failed []string
	for _, logical := range sortedByOrder(s.Resources) {
		cur, prior := s.Resources[logical], s.Prior.Resources[logical]
		if prior == nil || prior.ID != cur.ID {
			fresh = append(fresh, logical)
			continue
		}
		if cur.Status == prior.Status && canonical(cur.Properties) == canonical(prior.Properties) {
			continue
		}
		if cur.Attempted != nil {
			cur.Properties = cur.Attempted // an update that failed may be done by half: it is undone as well
		}
		if err := c.updateOne(ctx, s, kinds[cur.Type], logical, prior.Properties); err != nil {
			if ctx.Err() != nil {
				return errStopped
			}
			failed = append(failed, logical)
		}
	}
	for i := len(fresh) - 1; i >= 0; i-- {
		logical := fresh[i]
		prior := s.Prior.Resources[logical]
		left, err := c.removeAll(ctx, s, []string{logical}, true)
		if err != nil {
			return err
		}
		failed = append(failed, left...)
		if prior != nil {
			restored := *prior
			s.Resources[logical] = &restored
			if err := c.note(s, logical, "UPDATE_COMPLETE", ""); err != nil {
				return err
			}
		} else if len(left) == 0 {
			delete(s.Resources, logical)
		}
	}
	s.revert(s.Prior)
	if len(failed) > 0 {
		return c.note(s, "", "UPDATE_ROLLBACK_FAILED", fmt.Sprintf("The following resource(s) failed to update: [%s]. ", strings.Join(failed, ", ")))
	}
	s.Prior = nil
	return c.note(s, "", "UPDATE_ROLLBACK_COMPLETE", reason)
}

// remove deletes the stack.
func (c *CloudFormation) remove(ctx context.Context, s *stack) error {
	if err := c.mayExport(s, nil); err != nil {
		return c.note(s, "", "DELETE_FAILED", err.Error())
	}
	failed, err := c.removeAll(ctx, s, sortedByOrder(s.Resources), false)
	if err != nil {
		return err
	}
	if len(failed) > 0 {
		return c.note(s, "", "DELETE_FAILED", fmt.Sprintf("The following resource(s) failed to delete: [%s]. ", strings.Join(failed, ", ")))
	}
	return c.note(s, "", "DELETE_COMPLETE", "")
}

// removeAll removes resources, the last first, and lists those that would not
// go. creation says that the operation which made them is being undone.
func (c *CloudFormation) removeAll(ctx context.Context, s *stack, logicals []string, creation bool) (failed []string, err error) {
	for i := len(logicals) - 1; i >= 0; i-- {
		if ctx.Err() != nil {
			return failed, errStopped
		}
		logical := logicals[i]
		rec := s.Resources[logical]
		if rec == nil || rec.Status == "DELETE_COMPLETE" || rec.Status == "DELETE_SKIPPED" {
			continue
		}
		keep := retained(rec.Delete)
		if creation && (s.ExceptOnCreate || rec.Delete == "RetainExceptOnCreate") {
			keep = rec.Imported // what was there before stays
		}
		// What never came to be is not retained.
		if (keep && rec.ID != "") || slices.Contains(s.RetainNow, logical) {
			if err := c.note(s, logical, "DELETE_SKIPPED", ""); err != nil {
				return failed, err
			}
			continue
		}
		if err := c.note(s, logical, "DELETE_IN_PROGRESS", ""); err != nil {
			return failed, err
		}
		if err := c.removeRecord(ctx, s, rec); err != nil {
			if ctx.Err() != nil {
				return failed, errStopped
			}
			failed = append(failed, logical)
			if err := c.note(s, logical, "DELETE_FAILED", reasonOf(err)); err != nil {
				return failed, err
			}
			continue
		}
		if err := c.note(s, logical, "DELETE_COMPLETE", ""); err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// removeRecord removes one resource. A creation that failed has an id only if
// the resource may be there.
func (c *CloudFormation) removeRecord(ctx context.Context, s *stack, rec *resourceRecord) error {
	k := kinds[rec.Type]
	if rec.ID == "" || k == nil || k.anyProps {
		return nil
	}
	p, err := k.decode(rec.Properties, rec.Name)
	if err != nil {
		return err
	}
	err = k.remove(c.step(ctx, s, rec.Name), rec.ID, p)
	if gone(err) {
		return nil
	}
	return err
}

func sortedByOrder(m map[string]*resourceRecord) []string {
	keys := sortedKeys(m)
	sort.SliceStable(keys, func(i, j int) bool { return m[keys[i]].Order < m[keys[j]].Order })
	return keys
}

func (t *template) outputs(env *environment) ([]stackOutput, error) {
	var out []stackOutput
	for _, name := range sortedKeys(t.Outputs) {
		o := t.Outputs[name]
		if o.Condition != "" && !env.conditions[o.Condition] {
			continue
		}
		v, err := env.resolve(o.Value)
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", name, err)
		}
		so := stackOutput{Key: name, Value: asString(v), Description: o.Description}
		if export, ok := o.Export["Name"]; ok {
			e, err := env.resolve(export)
			if err != nil {
				return nil, fmt.Errorf("export of output %s: %w", name, err)
			}
			so.Export = asString(e)
		}
		out = append(out, so)
	}
	return out, nil
}

// Resume takes up the operations that a stop interrupted: creations and updates
// are rolled back, everything else is finished. Call it once, when all services are there.
func (c *CloudFormation) Resume(context.Context) error {
	var left []*stack
	err := c.stacks.Scan("", func(_ string, s stack) bool {
		if s.busy() {
			left = append(left, &s)
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("resume stack operations: %w", err)
	}
	const reason = "The local cloud was stopped during the operation."
	for _, s := range left {
		c.o.Log.Warn("taking up an interrupted stack operation", "stack", s.Name, "status", s.Status)
		c.adopt(s)
		switch s.Status {
		case "CREATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS":
			c.background(s, func(ctx context.Context, s *stack) error { return c.rollbackCreate(ctx, s, reason) })
		case "UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS":
			c.background(s, func(ctx context.Context, s *stack) error { return c.rollbackUpdate(ctx, s, reason) })
		case "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS":
			c.background(s, c.cleanup)
		case "DELETE_IN_PROGRESS":
			c.background(s, c.remove)
		}
	}
	return nil
}

// adopt gives resources whose creation was interrupted the id they would have
// got, so that the rollback removes what may be there.
func (c *CloudFormation) adopt(s *stack) {
	for logical, r := range s.Resources {
		if r.ID != "" || !strings.HasSuffix(r.Status, "_IN_PROGRESS") || r.Imported {
			continue
		}
		k := kinds[r.Type]
		if k == nil || k.anyProps || k.expected == nil {
			continue
		}
		p, err := k.decode(r.Properties, r.Name)
		if err != nil {
			c.o.Log.Warn("interrupted resource not understood", "stack", s.Name, "resource", logical, "error", err)
			continue
		}
		r.ID = k.expected(c, p)
	}
}
