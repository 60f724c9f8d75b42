package cloudformation

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// changeSet is a change that was judged and planned, and waits to be carried out.
type changeSet struct {
	ID, Name, Stack, StackName string
	Description                string
	Template                   string
	Parameters, Fetched        map[string]string
	Tags                       map[string]string
	Capabilities               []string
	Role                       string
	OnFailure                  string
	ImportExisting, Nested     bool // as asked for
	Status, Reason, Execution  string
	ExecutedBy                 string // the request's token
	Changes                    []types.Change
	Imports                    []string // resources that are there, and are taken into the stack
	Created                    time.Time
}

func (c *CloudFormation) createChangeSet(ctx context.Context, in *api.CreateChangeSetInput) (*api.CreateChangeSetOutput, error) {
	err := refuse(map[string]bool{
		"NotificationARNs": len(in.NotificationARNs) > 0, "ResourceTypes": len(in.ResourceTypes) > 0, "RollbackConfiguration": triggers(in.RollbackConfiguration),
		"ResourcesToImport": len(in.ResourcesToImport) > 0, "DeploymentConfig other than of mode STANDARD": special(in.DeploymentConfig),
		"ChangeSetType IMPORT": in.ChangeSetType == types.ChangeSetTypeImport, "DeploymentMode": in.DeploymentMode != "",
		"DisableValidation": aws.ToBool(in.DisableValidation),
	})
	if err != nil {
		return nil, err
	}
	name := aws.ToString(in.ChangeSetName)
	s, err := c.changeSetStack(ctx, in)
	if err != nil {
		return nil, err
	}
	if s.Status != "" {
		if there, err := c.findChangeSet(in.ChangeSetName, aws.String(s.ID)); err == nil && !there.executed() {
			return nil, wire.Errorf("AlreadyExistsException", "ChangeSet %s already exists", name)
		} else if err != nil && !wire.HasCode(err, "ChangeSetNotFound") {
			return nil, err
		}
	}
	w := wanted{body: in.TemplateBody, url: in.TemplateURL, previous: aws.ToBool(in.UsePreviousTemplate), parameters: in.Parameters, tags: in.Tags, capabilities: in.Capabilities, role: in.RoleARN}
	w.keepTags(s)
	p, err := c.prepare(ctx, s, w)
	if err != nil {
		return nil, err
	}
	changes, differs, err := c.plan(s, p)
	if err == nil && aws.ToBool(in.ImportExistingResources) {
		p.imports, err = c.imports(ctx, s, p, changes)
	}
	if err != nil {
		return nil, err
	}
	if s.Status == "" {
		if err := c.note(s, "", "REVIEW_IN_PROGRESS", "User Initiated"); err != nil {
			return nil, err
		}
	}
	cs := changeSet{
		ID: c.arn("cloudformation", "changeSet/"+name+"/"+uuid.NewString()), Name: name, Stack: s.ID, StackName: s.Name, Description: aws.ToString(in.Description),
		Template: p.text, Parameters: p.parameters, Fetched: p.fetched, Tags: p.tags, Capabilities: p.caps, Role: p.role, OnFailure: string(in.OnStackFailure),
		ImportExisting: aws.ToBool(in.ImportExistingResources), Nested: aws.ToBool(in.IncludeNestedStacks),
		Status: "CREATE_COMPLETE", Execution: "AVAILABLE", Changes: changes, Imports: p.imports, Created: c.o.Clock.Now(),
	}
	if !differs {
		cs.Status, cs.Execution = "FAILED", "UNAVAILABLE"
		cs.Reason = "The submitted information didn't contain changes. Submit different information to create a change set."
	}
	if err := c.changes.Put(cs.ID, cs); err != nil {
		return nil, err
	}
	return &api.CreateChangeSetOutput{Id: aws.String(cs.ID), StackId: aws.String(s.ID)}, nil
}

// changeSetStack finds the stack that a change set is for; one to be created
// is new, or a REVIEW_IN_PROGRESS one of an earlier change set.
func (c *CloudFormation) changeSetStack(ctx context.Context, in *api.CreateChangeSetInput) (*stack, error) {
	s, err := c.find(aws.ToString(in.StackName))
	if err != nil && !wire.HasCode(err, "ValidationError") {
		return nil, err
	}
	if in.ChangeSetType != types.ChangeSetTypeCreate {
		if err != nil {
			return nil, err
		}
		return s, s.mayUpdate()
	}
	switch {
	case err != nil:
		return c.newStack(ctx, in.StackName, in.ClientToken)
	case s.Status != "REVIEW_IN_PROGRESS":
		return nil, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", aws.ToString(in.StackName), aws.ToString(in.ChangeSetName))
	}
	return s, nil
}

// findChangeSet finds a change set by its id, or by its name and its stack's
// name or id. A stack's name is the living stack's: one of the same name that
// was deleted may have had a change set of the same name.
func (c *CloudFormation) findChangeSet(name, stackName *string) (*changeSet, error) {
	n, owner := aws.ToString(name), ""
	if !strings.HasPrefix(n, "arn:") {
		if stackName == nil {
			return nil, invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
		}
		s, err := c.named(*stackName)
		if err != nil {
			return nil, err
		}
		owner = s.ID
	}
	var found *changeSet
	err := c.changes.Scan("", func(_ string, cs changeSet) bool {
		// One that was executed has left its name to others.
		if (cs.ID == n || (cs.Name == n && cs.Stack == owner)) && (found == nil || found.executed()) {
			found = &cs
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &wire.Error{Code: "ChangeSetNotFound", Message: "ChangeSet [" + n + "] does not exist", Status: 404}
	}
	return found, nil
}

func (cs *changeSet) executed() bool { return strings.HasPrefix(cs.Execution, "EXECUTE_") }

func (c *CloudFormation) describeChangeSet(_ context.Context, in *api.DescribeChangeSetInput) (*api.DescribeChangeSetOutput, error) {
	cs, err := c.findChangeSet(in.ChangeSetName, in.StackName)
	if err != nil {
		return nil, err
	}
	changes, next, err := paged(cs.Changes, func(ch types.Change) string { return *ch.ResourceChange.LogicalResourceId }, in.NextToken, pageSize)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeChangeSetOutput{
		ChangeSetId: aws.String(cs.ID), ChangeSetName: aws.String(cs.Name), StackId: aws.String(cs.Stack), StackName: aws.String(cs.StackName),
		CreationTime: aws.Time(cs.Created), Status: types.ChangeSetStatus(cs.Status), ExecutionStatus: types.ExecutionStatus(cs.Execution),
		Changes: changes, NextToken: next, Capabilities: []types.Capability{}, Description: optional(cs.Description), StatusReason: optional(cs.Reason),
		OnStackFailure: types.OnStackFailure(cs.OnFailure), NotificationARNs: []string{},
		RollbackConfiguration: &types.RollbackConfiguration{}, IncludeNestedStacks: aws.Bool(cs.Nested),
	}
	// What was not given is left out.
	if len(cs.Tags) > 0 {
		out.Tags = tagsOf(cs.Tags)
	}
	if cs.ImportExisting {
		out.ImportExistingResources = aws.Bool(true)
	}
	if !aws.ToBool(in.IncludePropertyValues) {
		out.Changes = withoutValues(changes)
	}
	for _, n := range cs.Capabilities {
		out.Capabilities = append(out.Capabilities, types.Capability(n))
	}
	if t, err := parseTemplate(cs.Template); err == nil && len(cs.Parameters) > 0 {
		out.Parameters = t.describe(cs.Parameters, cs.Fetched)
	}
	return out, nil
}

func (c *CloudFormation) listChangeSets(_ context.Context, in *api.ListChangeSetsInput) (*api.ListChangeSetsOutput, error) {
	s, err := c.find(aws.ToString(in.StackName))
	if err != nil {
		return nil, err
	}
	list := []types.ChangeSetSummary{}
	err = c.changes.Scan("", func(_ string, cs changeSet) bool {
		if cs.Stack == s.ID && !cs.executed() {
			list = append(list, types.ChangeSetSummary{
				ChangeSetId: aws.String(cs.ID), ChangeSetName: aws.String(cs.Name), StackId: aws.String(cs.Stack), StackName: aws.String(cs.StackName),
				CreationTime: aws.Time(cs.Created), Status: types.ChangeSetStatus(cs.Status), ExecutionStatus: types.ExecutionStatus(cs.Execution), StatusReason: optional(cs.Reason),
				Description: optional(cs.Description), IncludeNestedStacks: aws.Bool(cs.Nested),
			})
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	page, next, err := paged(list, func(cs types.ChangeSetSummary) string { return *cs.ChangeSetId }, in.NextToken, pageSize)
	return &api.ListChangeSetsOutput{Summaries: page, NextToken: next}, err
}

func (c *CloudFormation) executeChangeSet(ctx context.Context, in *api.ExecuteChangeSetInput) (*api.ExecuteChangeSetOutput, error) {
	cs, err := c.findChangeSet(in.ChangeSetName, in.StackName)
	if err != nil {
		return nil, err
	}
	s, err := c.find(cs.Stack)
	if err != nil {
		return nil, err
	}
	t, err := parseTemplate(cs.Template)
	if err != nil {
		return nil, err
	}
	token := aws.ToString(in.ClientRequestToken)
	if again, err := c.claim(cs.ID, token); again || err != nil {
		return &api.ExecuteChangeSetOutput{}, err
	}
	p := &prepared{template: t, text: cs.Template, parameters: cs.Parameters, fetched: cs.Fetched, tags: cs.Tags, caps: cs.Capabilities, role: cs.Role, imports: cs.Imports}
	s.Caller, s.Token, s.ChangeSet = wire.CallerFrom(ctx), token, cs.ID
	s.OnFailure, s.ExceptOnCreate = cs.OnFailure, aws.ToBool(in.RetainExceptOnCreate)
	if aws.ToBool(in.DisableRollback) {
		s.OnFailure = "DO_NOTHING"
	}
	if s.Status == "REVIEW_IN_PROGRESS" {
		s.Updated = c.o.Clock.Now() // for AWS it is an update
		p.into(s)
		err = c.beginCreate(s, false)
	} else {
		err = c.beginUpdate(s, p)
	}
	if err != nil {
		return nil, errors.Join(err, c.execution(cs.ID, "AVAILABLE"))
	}
	return &api.ExecuteChangeSetOutput{}, c.dropChangeSets(s.ID, cs.ID)
}

// claim takes a change set for execution, once; again says that this request
// has it already: its answer was lost.
func (c *CloudFormation) claim(id, token string) (again bool, err error) {
	_, err = c.changes.Update(id, func(cs changeSet, ok bool) (changeSet, error) {
		again = token != "" && token == cs.ExecutedBy
		switch {
		case again:
			return cs, nil
		case !ok || cs.Status != "CREATE_COMPLETE":
			return cs, wire.Errorf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current status of [%s]", id, cs.Status)
		case cs.Execution != "AVAILABLE":
			return cs, wire.Errorf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current execution status of [%s]", id, cs.Execution)
		}
		cs.Execution, cs.ExecutedBy = "EXECUTE_IN_PROGRESS", token
		return cs, nil
	})
	return again, err
}

// execution changes how far a change set is that was claimed.
func (c *CloudFormation) execution(id, status string) error {
	_, err := c.changes.Update(id, func(cs changeSet, ok bool) (changeSet, error) {
		if !ok || cs.Execution != "EXECUTE_IN_PROGRESS" {
			return cs, errDone
		}
		cs.Execution = status
		if status == "AVAILABLE" {
			cs.ExecutedBy = ""
		}
		return cs, nil
	})
	if errors.Is(err, errDone) {
		return nil
	}
	return err
}

// errDone leaves a change set as it is.
var errDone = errors.New("nothing to change")

// settle brings a stack's change sets up to where its operation has brought it.
func (c *CloudFormation) settle(s *stack) error {
	switch s.Status {
	case "DELETE_COMPLETE":
		return c.dropChangeSets(s.ID, s.ChangeSet) // which made it can still be looked up
	case "CREATE_COMPLETE", "UPDATE_COMPLETE":
		return c.execution(s.ChangeSet, "EXECUTE_COMPLETE")
	}
	return c.execution(s.ChangeSet, "EXECUTE_FAILED")
}

// dropChangeSets removes a stack's change sets but one: they were planned
// against a stack that is no more.
func (c *CloudFormation) dropChangeSets(stackID, but string) error {
	var others []string
	err := c.changes.Scan("", func(id string, cs changeSet) bool {
		if cs.Stack == stackID && id != but {
			others = append(others, id)
		}
		return true
	})
	for _, id := range others {
		if err == nil {
			err = c.changes.Delete(id)
		}
	}
	return err
}

func (c *CloudFormation) deleteChangeSet(_ context.Context, in *api.DeleteChangeSetInput) (*api.DeleteChangeSetOutput, error) {
	cs, err := c.findChangeSet(in.ChangeSetName, in.StackName)
	if wire.HasCode(err, "ChangeSetNotFound") && !strings.HasPrefix(aws.ToString(in.ChangeSetName), "arn:") {
		return &api.DeleteChangeSetOutput{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &api.DeleteChangeSetOutput{}, c.changes.Delete(cs.ID)
}
