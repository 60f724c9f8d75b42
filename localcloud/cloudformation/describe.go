package cloudformation

import (
	"context"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func tagsOf(m map[string]string) []types.Tag {
	out := []types.Tag{}
	for _, k := range sortedKeys(m) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(m[k])})
	}
	return out
}

// describe lists parameter values as AWS shows them.
func (t *template) describe(values, fetched map[string]string) []types.Parameter {
	out := []types.Parameter{}
	for _, name := range sortedKeys(values) {
		p := types.Parameter{ParameterKey: aws.String(name), ParameterValue: aws.String(values[name])}
		if def, ok := t.Parameters[name]; ok {
			if def.secret() {
				p.ParameterValue = aws.String("****")
			}
			if def.Type == ssmString {
				p.ResolvedValue = aws.String(fetched[name])
			}
		}
		out = append(out, p)
	}
	return out
}

func (s *stack) describe() types.Stack {
	out := types.Stack{
		StackId: aws.String(s.ID), StackName: aws.String(s.Name), StackStatus: types.StackStatus(s.Status), StackStatusReason: optional(s.Reason),
		CreationTime: aws.Time(s.Created), Description: optional(s.Description), RoleARN: optional(s.Role), ChangeSetId: optional(s.ChangeSet),
		DisableRollback: aws.Bool(s.OnFailure == "DO_NOTHING"), Tags: tagsOf(s.Tags), NotificationARNs: []string{},
		DriftInformation: &types.StackDriftInformation{StackDriftStatus: types.StackDriftStatusNotChecked}, RollbackConfiguration: &types.RollbackConfiguration{},
	}
	if !s.Updated.IsZero() {
		out.LastUpdatedTime = aws.Time(s.Updated)
	}
	if s.Deleted.IsZero() {
		out.EnableTerminationProtection = aws.Bool(s.Protected)
	} else {
		out.DeletionTime, out.ChangeSetId = aws.Time(s.Deleted), nil
	}
	for _, c := range s.Capabilities {
		out.Capabilities = append(out.Capabilities, types.Capability(c))
	}
	if t, err := parseTemplate(s.Template); err == nil && len(s.Parameters) > 0 {
		out.Parameters = t.describe(s.Parameters, s.Fetched)
	}
	for _, o := range s.Outputs {
		out.Outputs = append(out.Outputs, types.Output{OutputKey: aws.String(o.Key), OutputValue: aws.String(o.Value), Description: optional(o.Description), ExportName: optional(o.Export)})
	}
	return out
}

// all lists the stacks, the newest first.
func (c *CloudFormation) all(keep func(*stack) bool) ([]stack, error) {
	var out []stack
	err := c.stacks.Scan("", func(_ string, s stack) bool {
		if keep(&s) {
			out = append(out, s)
		}
		return true
	})
	sort.SliceStable(out, func(i, j int) bool { return out[i].Created.After(out[j].Created) })
	return out, err
}

func (c *CloudFormation) describeStacks(_ context.Context, in *api.DescribeStacksInput) (*api.DescribeStacksOutput, error) {
	out := &api.DescribeStacksOutput{Stacks: []types.Stack{}}
	if in.StackName != nil {
		s, err := c.find(*in.StackName)
		if err != nil {
			return nil, err
		}
		out.Stacks = append(out.Stacks, s.describe())
		return out, nil
	}
	list, err := c.all(func(s *stack) bool { return s.Status != "DELETE_COMPLETE" })
	if err != nil {
		return nil, err
	}
	page, next, err := paged(list, stackID, in.NextToken, pageSize)
	out.NextToken = next
	for i := range page {
		out.Stacks = append(out.Stacks, page[i].describe())
	}
	return out, err
}

func stackID(s stack) string { return s.ID }

// pageSize is how many entries CloudFormation lists at once; callers have no say.
const pageSize = 100

func paged[T any](list []T, nameOf func(T) string, token *string, size int) ([]T, *string, error) {
	page, next, ok := wire.Page(list, nameOf, size, token)
	if !ok {
		return nil, nil, invalid("NextToken %q is not one that was given", *token)
	}
	return page, next, nil
}

func (c *CloudFormation) listStacks(_ context.Context, in *api.ListStacksInput) (*api.ListStacksOutput, error) {
	list, err := c.all(func(s *stack) bool {
		return len(in.StackStatusFilter) == 0 || slices.Contains(in.StackStatusFilter, types.StackStatus(s.Status))
	})
	if err != nil {
		return nil, err
	}
	page, next, err := paged(list, stackID, in.NextToken, pageSize)
	out := &api.ListStacksOutput{StackSummaries: []types.StackSummary{}, NextToken: next}
	for i := range page {
		d := page[i].describe()
		out.StackSummaries = append(out.StackSummaries, types.StackSummary{
			StackId: d.StackId, StackName: d.StackName, StackStatus: d.StackStatus, StackStatusReason: d.StackStatusReason, CreationTime: d.CreationTime,
			LastUpdatedTime: d.LastUpdatedTime, DeletionTime: d.DeletionTime, TemplateDescription: d.Description,
			DriftInformation: &types.StackDriftInformationSummary{StackDriftStatus: types.StackDriftStatusNotChecked},
		})
	}
	return out, err
}

func (c *CloudFormation) describeStackEvents(_ context.Context, in *api.DescribeStackEventsInput) (*api.DescribeStackEventsOutput, error) {
	s, err := c.named(aws.ToString(in.StackName))
	if err != nil {
		return nil, err
	}
	var list []types.StackEvent
	err = c.events.Scan(s.ID+"/", func(_ string, e event) bool {
		list = append(list, types.StackEvent{
			EventId: aws.String(e.ID), StackId: aws.String(e.Stack), StackName: aws.String(e.StackName), Timestamp: aws.Time(e.Time),
			LogicalResourceId: aws.String(e.Logical), PhysicalResourceId: aws.String(e.Physical), ResourceType: aws.String(e.Type),
			ResourceStatus: types.ResourceStatus(e.Status), ResourceStatusReason: optional(e.Reason), ResourceProperties: optional(e.Properties), ClientRequestToken: optional(e.Token),
		})
		return true
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(list)
	page, next, err := paged(list, func(e types.StackEvent) string { return *e.EventId }, in.NextToken, pageSize)
	return &api.DescribeStackEventsOutput{StackEvents: page, NextToken: next}, err
}

func (c *CloudFormation) describeStackResource(_ context.Context, in *api.DescribeStackResourceInput) (*api.DescribeStackResourceOutput, error) {
	s, err := c.find(aws.ToString(in.StackName))
	if wire.HasCode(err, "ValidationError") {
		err = invalid("Stack '%s' does not exist", aws.ToString(in.StackName))
	}
	if err != nil {
		return nil, err
	}
	logical := aws.ToString(in.LogicalResourceId)
	r, ok := s.Resources[logical]
	if !ok {
		return nil, invalid("Resource %s does not exist for stack %s", logical, *in.StackName)
	}
	return &api.DescribeStackResourceOutput{StackResourceDetail: &types.StackResourceDetail{
		StackId: aws.String(s.ID), StackName: aws.String(s.Name), LogicalResourceId: aws.String(logical), PhysicalResourceId: optional(r.ID), ResourceType: aws.String(r.Type),
		ResourceStatus: types.ResourceStatus(r.Status), ResourceStatusReason: optional(r.Reason), LastUpdatedTimestamp: aws.Time(r.Time), Metadata: optional(r.Metadata),
		DriftInformation: &types.StackResourceDriftInformation{StackResourceDriftStatus: types.StackResourceDriftStatusNotChecked},
	}}, nil
}

func (c *CloudFormation) describeStackResources(_ context.Context, in *api.DescribeStackResourcesInput) (*api.DescribeStackResourcesOutput, error) {
	var s *stack
	var err error
	if in.StackName == nil && in.PhysicalResourceId != nil {
		s, err = c.owner(*in.PhysicalResourceId)
	} else {
		s, err = c.find(aws.ToString(in.StackName))
	}
	if err != nil {
		return nil, err
	}
	out := &api.DescribeStackResourcesOutput{StackResources: []types.StackResource{}}
	for _, logical := range sortedKeys(s.Resources) {
		if in.LogicalResourceId != nil && *in.LogicalResourceId != logical {
			continue
		}
		r := s.Resources[logical]
		out.StackResources = append(out.StackResources, types.StackResource{
			StackId: aws.String(s.ID), StackName: aws.String(s.Name), LogicalResourceId: aws.String(logical), PhysicalResourceId: optional(r.ID), ResourceType: aws.String(r.Type),
			ResourceStatus: types.ResourceStatus(r.Status), ResourceStatusReason: optional(r.Reason), Timestamp: aws.Time(r.Time),
			DriftInformation: &types.StackResourceDriftInformation{StackResourceDriftStatus: types.StackResourceDriftStatusNotChecked},
		})
	}
	return out, nil
}

func (c *CloudFormation) owner(physical string) (*stack, error) {
	list, err := c.all(func(s *stack) bool {
		for _, r := range s.Resources {
			if r.ID == physical && s.Status != "DELETE_COMPLETE" {
				return true
			}
		}
		return false
	})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, invalid("Stack for %s does not exist", physical)
	}
	return &list[0], nil
}

func (c *CloudFormation) listStackResources(_ context.Context, in *api.ListStackResourcesInput) (*api.ListStackResourcesOutput, error) {
	s, err := c.find(aws.ToString(in.StackName))
	if err != nil {
		return nil, err
	}
	var list []types.StackResourceSummary
	for _, logical := range sortedKeys(s.Resources) {
		r := s.Resources[logical]
		list = append(list, types.StackResourceSummary{
			LogicalResourceId: aws.String(logical), PhysicalResourceId: optional(r.ID), ResourceType: aws.String(r.Type), ResourceStatus: types.ResourceStatus(r.Status),
			ResourceStatusReason: optional(r.Reason), LastUpdatedTimestamp: aws.Time(r.Time),
			DriftInformation: &types.StackResourceDriftInformationSummary{StackResourceDriftStatus: types.StackResourceDriftStatusNotChecked},
		})
	}
	page, next, err := paged(list, func(r types.StackResourceSummary) string { return *r.LogicalResourceId }, in.NextToken, pageSize)
	return &api.ListStackResourcesOutput{StackResourceSummaries: page, NextToken: next}, err
}

func (c *CloudFormation) getTemplate(_ context.Context, in *api.GetTemplateInput) (*api.GetTemplateOutput, error) {
	stages := []types.TemplateStage{types.TemplateStageOriginal, types.TemplateStageProcessed}
	if in.StackName == nil && !strings.HasPrefix(aws.ToString(in.ChangeSetName), "arn:") {
		return nil, invalid("StackName is a required parameter.")
	}
	if in.ChangeSetName != nil {
		cs, err := c.findChangeSet(in.ChangeSetName, in.StackName)
		if err != nil {
			return nil, err
		}
		return &api.GetTemplateOutput{TemplateBody: aws.String(cs.Template), StagesAvailable: stages}, nil
	}
	s, err := c.find(aws.ToString(in.StackName))
	if err != nil {
		return nil, err
	}
	// Before a change set was executed there is none.
	return &api.GetTemplateOutput{TemplateBody: optional(s.Template), StagesAvailable: stages}, nil
}

func (c *CloudFormation) getTemplateSummary(ctx context.Context, in *api.GetTemplateSummaryInput) (*api.GetTemplateSummaryOutput, error) {
	var text string
	if in.StackName != nil {
		s, err := c.find(*in.StackName)
		if err != nil {
			return nil, err
		}
		if s.Status == "REVIEW_IN_PROGRESS" {
			return nil, invalid("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")
		}
		text = s.Template
	} else {
		var err error
		if text, err = c.templateText(ctx, in.TemplateBody, in.TemplateURL); err != nil {
			return nil, err
		}
	}
	t, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	out := &api.GetTemplateSummaryOutput{Description: optional(t.Description), Version: optional(t.AWSTemplateFormatVersion), ResourceTypes: []string{}, Parameters: []types.ParameterDeclaration{}}
	for _, name := range sortedKeys(t.Parameters) {
		p := t.Parameters[name]
		d := types.ParameterDeclaration{ParameterKey: aws.String(name), ParameterType: aws.String(p.Type), NoEcho: aws.Bool(p.secret()), Description: optional(p.Description), ParameterConstraints: &types.ParameterConstraints{}}
		if p.Default != nil {
			d.DefaultValue = aws.String(asString(p.Default))
		}
		for _, v := range p.AllowedValues {
			d.ParameterConstraints.AllowedValues = append(d.ParameterConstraints.AllowedValues, asString(v))
		}
		out.Parameters = append(out.Parameters, d)
	}
	for _, r := range t.Resources {
		if !slices.Contains(out.ResourceTypes, r.Type) {
			out.ResourceTypes = append(out.ResourceTypes, r.Type)
		}
	}
	sort.Strings(out.ResourceTypes)
	if t.Metadata != nil {
		out.Metadata = aws.String(canonical(t.Metadata))
	}
	caps, reason := t.capabilities()
	for _, n := range caps {
		out.Capabilities = append(out.Capabilities, types.Capability(n))
	}
	out.CapabilitiesReason = optional(reason)
	return out, nil
}

// validateTemplate refuses also what the local cloud would refuse at creation:
// it is better to know early.
func (c *CloudFormation) validateTemplate(ctx context.Context, in *api.ValidateTemplateInput) (*api.ValidateTemplateOutput, error) {
	text, err := c.templateText(ctx, in.TemplateBody, in.TemplateURL)
	if err != nil {
		return nil, err
	}
	t, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	out := &api.ValidateTemplateOutput{Description: optional(t.Description), Parameters: []types.TemplateParameter{}}
	for _, name := range sortedKeys(t.Parameters) {
		p := t.Parameters[name]
		d := types.TemplateParameter{ParameterKey: aws.String(name), NoEcho: aws.Bool(p.secret()), Description: optional(p.Description)}
		if p.Default != nil {
			d.DefaultValue = aws.String(asString(p.Default))
		}
		out.Parameters = append(out.Parameters, d)
	}
	caps, reason := t.capabilities()
	for _, n := range caps {
		out.Capabilities = append(out.Capabilities, types.Capability(n))
	}
	out.CapabilitiesReason = optional(reason)
	return out, nil
}
