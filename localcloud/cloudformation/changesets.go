package cloudformation

import (
	"context"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

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

var changeSetName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,127}$`)

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
	if !changeSetName.MatchString(name) {
		return nil, invalid("1 validation error detected: Value '%s' at 'changeSetName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", name)
	}
	s, err := c.changeSetStack(ctx, in)
	if err != nil {
		return nil, err
	}
	if _, err := c.findChangeSet(in.ChangeSetName, aws.String(s.ID)); err == nil {
		return nil, wire.Errorf("AlreadyExistsException", "ChangeSet %s already exists", name)
	}
	w := wanted{body: in.TemplateBody, url: in.TemplateURL, previous: aws.ToBool(in.UsePreviousTemplate), parameters: in.Parameters, tags: in.Tags, capabilities: in.Capabilities, role: in.RoleARN}
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
		ID: c.arn("cloudformation", "changeSet/"+name+"/"+c.o.NewID()), Name: name, Stack: s.ID, StackName: s.Name, Description: aws.ToString(in.Description),
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
		return nil, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", s.Name, aws.ToString(in.ChangeSetName))
	}
	return s, nil
}

func (c *CloudFormation) findChangeSet(name, stackName *string) (*changeSet, error) {
	n, owner := aws.ToString(name), aws.ToString(stackName)
	var found *changeSet
	err := c.changes.Scan("", func(_ string, cs changeSet) bool {
		if cs.ID == n || (cs.Name == n && owner != "" && (cs.StackName == owner || cs.Stack == owner)) {
			found = &cs
		}
		return found == nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, &wire.Error{Code: "ChangeSetNotFound", Message: "ChangeSet [" + n + "] does not exist", Status: 404}
	}
	return found, nil
}

func (c *CloudFormation) describeChangeSet(_ context.Context, in *api.DescribeChangeSetInput) (*api.DescribeChangeSetOutput, error) {
	cs, err := c.findChangeSet(in.ChangeSetName, in.StackName)
	if err != nil {
		return nil, err
	}
	out := &api.DescribeChangeSetOutput{
		ChangeSetId: aws.String(cs.ID), ChangeSetName: aws.String(cs.Name), StackId: aws.String(cs.Stack), StackName: aws.String(cs.StackName),
		CreationTime: aws.Time(cs.Created), Status: types.ChangeSetStatus(cs.Status), ExecutionStatus: types.ExecutionStatus(cs.Execution),
		Changes: cs.Changes, Tags: tagsOf(cs.Tags), Description: optional(cs.Description), StatusReason: optional(cs.Reason),
		OnStackFailure: types.OnStackFailure(cs.OnFailure), NotificationARNs: []string{}, ImportExistingResources: aws.Bool(cs.ImportExisting),
		DeploymentConfig: &types.DeploymentConfig{Mode: types.DeploymentConfigModeStandard}, RollbackConfiguration: &types.RollbackConfiguration{}, IncludeNestedStacks: aws.Bool(cs.Nested),
	}
	if !aws.ToBool(in.IncludePropertyValues) {
		out.Changes = withoutValues(cs.Changes)
	}
	for _, n := range cs.Capabilities {
		out.Capabilities = append(out.Capabilities, types.Capability(n))
	}
	if t, err := parseTemplate(cs.Template); err == nil {
		out.Parameters = t.describe(cs.Parameters, cs.Fetched)
	}
	return out, nil
}

func (c *CloudFormation) listChangeSets(_ context.Context, in *api.ListChangeSetsInput) (*api.ListChangeSetsOutput, error) {
	s, err := c.find(aws.ToString(in.StackName))
	if err != nil {
		return nil, err
	}
	out := &api.ListChangeSetsOutput{Summaries: []types.ChangeSetSummary{}}
	err = c.changes.Scan("", func(_ string, cs changeSet) bool {
		if cs.Stack == s.ID {
			out.Summaries = append(out.Summaries, types.ChangeSetSummary{
				ChangeSetId: aws.String(cs.ID), ChangeSetName: aws.String(cs.Name), StackId: aws.String(cs.Stack), StackName: aws.String(cs.StackName),
				CreationTime: aws.Time(cs.Created), Status: types.ChangeSetStatus(cs.Status), ExecutionStatus: types.ExecutionStatus(cs.Execution), StatusReason: optional(cs.Reason),
			})
		}
		return true
	})
	return out, err
}

func (c *CloudFormation) executeChangeSet(ctx context.Context, in *api.ExecuteChangeSetInput) (*api.ExecuteChangeSetOutput, error) {
	cs, err := c.findChangeSet(in.ChangeSetName, in.StackName)
	if err != nil {
		return nil, err
	}
	if token := aws.ToString(in.ClientRequestToken); token != "" && token == cs.ExecutedBy {
		return &api.ExecuteChangeSetOutput{}, nil // the same request once more: its answer was lost
	}
	if cs.Execution != "AVAILABLE" {
		return nil, wire.Errorf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current status of [%s]", cs.ID, cs.Status)
	}
	s, err := c.find(cs.Stack)
	if err != nil {
		return nil, err
	}
	t, err := parseTemplate(cs.Template)
	if err != nil {
		return nil, err
	}
	p := &prepared{template: t, text: cs.Template, parameters: cs.Parameters, fetched: cs.Fetched, tags: cs.Tags, caps: cs.Capabilities, role: cs.Role, imports: cs.Imports}
	s.Caller, s.Token, s.ChangeSet = wire.CallerFrom(ctx), aws.ToString(in.ClientRequestToken), cs.ID
	s.OnFailure, s.ExceptOnCreate = cs.OnFailure, aws.ToBool(in.RetainExceptOnCreate)
	if aws.ToBool(in.DisableRollback) {
		s.OnFailure = "DO_NOTHING"
	}
	if s.Status == "REVIEW_IN_PROGRESS" {
		p.into(s)
		err = c.beginCreate(s, false)
	} else {
		err = c.beginUpdate(s, p)
	}
	if err != nil {
		return nil, err
	}
	cs.Execution, cs.ExecutedBy = "EXECUTE_COMPLETE", s.Token
	if err := c.changes.Put(cs.ID, *cs); err != nil {
		return nil, err
	}
	return &api.ExecuteChangeSetOutput{}, c.dropChangeSets(cs)
}

// dropChangeSets removes the stack's other change sets: they were planned
// against a stack that is no more.
func (c *CloudFormation) dropChangeSets(executed *changeSet) error {
	var others []string
	err := c.changes.Scan("", func(id string, cs changeSet) bool {
		if cs.Stack == executed.Stack && id != executed.ID {
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
		if _, err := c.find(aws.ToString(in.StackName)); err != nil {
			return nil, err
		}
		return &api.DeleteChangeSetOutput{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &api.DeleteChangeSetOutput{}, c.changes.Delete(cs.ID)
}
