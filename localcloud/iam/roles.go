package iam

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// managed are AWS's managed policies that are known here, as AWS publishes them
// (ReadOnlyAccess of version 182: its actions of the services of this cloud).
var managed = map[string]string{
	"arn:aws:iam::aws:policy/AdministratorAccess":                      `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	"arn:aws:iam::aws:policy/AWSCloudFormationReadOnlyAccess":          `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["cloudformation:Describe*","cloudformation:BatchDescribe*","cloudformation:EstimateTemplateCost","cloudformation:Get*","cloudformation:List*","cloudformation:ValidateTemplate","cloudformation:Detect*"],"Resource":"*"}]}`,
	"arn:aws:iam::aws:policy/ReadOnlyAccess":                           readOnly,
	"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["logs:CreateLogGroup","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}`,
}

const readOnly = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":[
"cloudformation:BatchDescribeTypeConfigurations","cloudformation:Describe*","cloudformation:Detect*","cloudformation:Estimate*","cloudformation:Get*","cloudformation:List*","cloudformation:ValidateTemplate",
"ecr:BatchCheck*","ecr:BatchGet*","ecr:Describe*","ecr:Get*","ecr:List*",
"events:Describe*","events:List*","events:Test*",
"iam:Generate*","iam:Get*","iam:List*","iam:Simulate*",
"lambda:Get*","lambda:List*",
"logs:Describe*","logs:FilterLogEvents","logs:Get*","logs:ListAggregateLogGroupSummaries","logs:ListAnomalies","logs:ListEntitiesForLogGroup","logs:ListIntegrations","logs:ListLogAnomalyDetectors","logs:ListLogDeliveries","logs:ListLogGroupsForEntity","logs:ListLogGroupsForQuery","logs:ListScheduledQueries","logs:ListSourcesForS3TableIntegration","logs:ListTagsForResource","logs:ListTagsLogGroup","logs:StartLiveTail","logs:StartQuery","logs:StopLiveTail","logs:StopQuery","logs:TestMetricFilter",
"s3:DescribeJob","s3:Get*","s3:List*",
"sagemaker:Describe*","sagemaker:GetSearchSuggestions","sagemaker:List*","sagemaker:Search",
"sns:Check*","sns:Get*","sns:List*",
"sqs:Get*","sqs:List*","sqs:Receive*",
"ssm:Describe*","ssm:Get*","ssm:List*",
"states:Describe*","states:GetExecutionHistory","states:List*","states:ValidateStateMachineDefinition",
"sts:GetAccessKeyInfo","sts:GetCallerIdentity","sts:GetSessionToken"]}]}`

var (
	nameSyntax = regexp.MustCompile(`^[\w+=,.@-]+$`)
	pathSyntax = regexp.MustCompile(`^(/|/[!-~]+/)$`)
)

func (s *IAM) iamService() *wire.Service {
	w := &wire.Service{Name: "iam", Protocol: wire.Query, Version: "2010-05-08", Namespace: "https://iam.amazonaws.com/doc/2010-05-08/", Authorize: s.Authorize, Log: s.o.Log, Model: model.Of("iam")}
	on := s.onRole
	w.Add(
		wire.On(wire.Op("CreateRole", s.createRole), func(in *iam.CreateRoleInput) []string {
			return []string{s.roleARN(role{Name: aws.ToString(in.RoleName), Path: pathOf(in.Path)})}
		}),
		wire.On(wire.Op("GetRole", s.getRole), func(in *iam.GetRoleInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("DeleteRole", s.deleteRole), func(in *iam.DeleteRoleInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("UpdateRole", s.updateRole), func(in *iam.UpdateRoleInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("UpdateAssumeRolePolicy", s.updateTrust), func(in *iam.UpdateAssumeRolePolicyInput) []string { return on(in.RoleName) }),
		wire.Op("ListRoles", s.listRoles),
		wire.On(wire.Op("PutRolePolicy", s.putRolePolicy), func(in *iam.PutRolePolicyInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("GetRolePolicy", s.getRolePolicy), func(in *iam.GetRolePolicyInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("DeleteRolePolicy", s.deleteRolePolicy), func(in *iam.DeleteRolePolicyInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("ListRolePolicies", s.listRolePolicies), func(in *iam.ListRolePoliciesInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("AttachRolePolicy", s.attachRolePolicy), func(in *iam.AttachRolePolicyInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("DetachRolePolicy", s.detachRolePolicy), func(in *iam.DetachRolePolicyInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("ListAttachedRolePolicies", s.listAttachedRolePolicies), func(in *iam.ListAttachedRolePoliciesInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("TagRole", s.tagRole), func(in *iam.TagRoleInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("UntagRole", s.untagRole), func(in *iam.UntagRoleInput) []string { return on(in.RoleName) }),
		wire.On(wire.Op("ListRoleTags", s.listRoleTags), func(in *iam.ListRoleTagsInput) []string { return on(in.RoleName) }),
	)
	return w
}

// onRole is the ARN of the role that a call names.
func (s *IAM) onRole(name *string) []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r := role{Name: aws.ToString(name), Path: "/"}
	if c, ok := s.roles[r.Name]; ok {
		r = c.role
	}
	return []string{s.roleARN(r)}
}

func noSuchRole(name string) error {
	return &wire.Error{Code: "NoSuchEntity", Status: http.StatusNotFound, Message: "The role with name " + name + " cannot be found."}
}

func pathOf(path *string) string {
	if aws.ToString(path) == "" {
		return "/"
	}
	return *path
}

// change rewrites a role; f works on a copy, and its documents must parse.
func (s *IAM) change(name *string, f func(r *role) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.roles[aws.ToString(name)]
	if !ok {
		return noSuchRole(aws.ToString(name))
	}
	r := old.role
	r.Inline, r.Tags, r.Attached = cloneMap(r.Inline), cloneMap(r.Tags), slices.Clone(r.Attached)
	if err := f(&r); err != nil {
		return err
	}
	return s.keep(r)
}

func cloneMap(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// keep stores a role; s.mu is held.
func (s *IAM) keep(r role) error {
	c, err := compile(r)
	if err != nil {
		return err
	}
	if err := s.table.Put(r.Name, r); err != nil {
		return err
	}
	s.roles[r.Name] = c
	return nil
}

func (s *IAM) read(name *string) (role, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.roles[aws.ToString(name)]
	if !ok {
		return role{}, noSuchRole(aws.ToString(name))
	}
	return c.role, nil
}

func invalid(format string, args ...any) error {
	return wire.Errorf("ValidationError", format, args...)
}

func (s *IAM) createRole(_ context.Context, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	name := aws.ToString(in.RoleName)
	switch {
	case !pathSyntax.MatchString(pathOf(in.Path)) || len(pathOf(in.Path)) > 512:
		return nil, invalid("The specified value for path is invalid. It must begin and end with / and contain only characters of [!-~].")
	case in.PermissionsBoundary != nil:
		return nil, wire.Errorf("InvalidInput", "permissions boundaries are not supported by the local cloud")
	}
	r := role{Name: name, ID: "AROA" + randomID(17), Path: pathOf(in.Path), Description: aws.ToString(in.Description), Created: s.o.Clock.Now().UTC(),
		Trust: aws.ToString(in.AssumeRolePolicyDocument), MaxSession: 3600, Inline: map[string]string{}, Tags: map[string]string{}}
	if in.MaxSessionDuration != nil {
		r.MaxSession = *in.MaxSessionDuration
	}
	for _, t := range in.Tags {
		r.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.roles[name]; exists {
		return nil, &wire.Error{Code: "EntityAlreadyExists", Status: http.StatusConflict, Message: "Role with name " + name + " already exists."}
	}
	if err := s.keep(r); err != nil {
		return nil, err
	}
	out := s.shown(r)
	out.MaxSessionDuration = in.MaxSessionDuration // where none was asked for AWS tells it to GetRole only
	return &iam.CreateRoleOutput{Role: out}, nil
}

// encoded is a document as IAM sends it: URL-encoded by RFC 3986.
func encoded(document string) *string {
	return aws.String(strings.ReplaceAll(url.QueryEscape(document), "+", "%20"))
}

func (s *IAM) shown(r role) *types.Role {
	out := &types.Role{Arn: aws.String(s.roleARN(r)), CreateDate: &r.Created, Path: &r.Path, RoleId: &r.ID, RoleName: &r.Name,
		AssumeRolePolicyDocument: encoded(r.Trust), MaxSessionDuration: &r.MaxSession}
	if len(r.Tags) > 0 {
		out.Tags = tags(r)
	}
	if r.Description != "" {
		out.Description = &r.Description
	}
	return out
}

func tags(r role) []types.Tag {
	out := make([]types.Tag, 0, len(r.Tags))
	for k, v := range r.Tags {
		out = append(out, types.Tag{Key: &k, Value: &v})
	}
	sort.Slice(out, func(i, j int) bool { return *out[i].Key < *out[j].Key })
	return out
}

func (s *IAM) getRole(ctx context.Context, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	r, err := s.read(in.RoleName)
	if err != nil {
		return nil, err
	}
	out := s.shown(r)
	out.RoleLastUsed = &types.RoleLastUsed{} // AWS answers it empty for months of no use, and nothing is counted here
	return &iam.GetRoleOutput{Role: out}, nil
}

func (s *IAM) deleteRole(_ context.Context, in *iam.DeleteRoleInput) (*iam.DeleteRoleOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := aws.ToString(in.RoleName)
	c, ok := s.roles[name]
	switch {
	case !ok:
		return nil, noSuchRole(name)
	case len(c.Attached) > 0:
		return nil, &wire.Error{Code: "DeleteConflict", Status: http.StatusConflict, Message: "Cannot delete entity, must detach all policies first."}
	case len(c.Inline) > 0:
		return nil, &wire.Error{Code: "DeleteConflict", Status: http.StatusConflict, Message: "Cannot delete entity, must delete policies first."}
	}
	if err := s.table.Delete(name); err != nil {
		return nil, err
	}
	delete(s.roles, name)
	// A role of the same name that comes later is another role.
	for key, access := range s.standing {
		if strings.HasPrefix(key, s.roleARN(c.role)+"\n") {
			delete(s.standing, key)
			delete(s.sessions, access)
		}
	}
	return &iam.DeleteRoleOutput{}, nil
}

func (s *IAM) updateRole(_ context.Context, in *iam.UpdateRoleInput) (*iam.UpdateRoleOutput, error) {
	err := s.change(in.RoleName, func(r *role) error {
		if in.Description != nil {
			r.Description = *in.Description
		}
		if in.MaxSessionDuration != nil {
			r.MaxSession = *in.MaxSessionDuration
		}
		return nil
	})
	return &iam.UpdateRoleOutput{}, err
}

func (s *IAM) updateTrust(_ context.Context, in *iam.UpdateAssumeRolePolicyInput) (*iam.UpdateAssumeRolePolicyOutput, error) {
	err := s.change(in.RoleName, func(r *role) error {
		r.Trust = aws.ToString(in.PolicyDocument)
		return nil
	})
	return &iam.UpdateAssumeRolePolicyOutput{}, err
}

// paged cuts a listing as all of IAM's are: by MaxItems, 100 when it is not given.
func paged[T any](all []T, name func(T) string, size *int32, marker *string) (page []T, truncated bool, next *string, err error) {
	page, next, ok := wire.Page(all, name, int(aws.ToInt32(cmp.Or(size, aws.Int32(100)))), marker)
	if !ok {
		return nil, false, nil, invalid("Invalid Marker.")
	}
	return append([]T{}, page...), next != nil, next, nil // a list is there when it is empty, too
}

// itself names an entry that is its own name.
func itself(name string) string { return name }

func (s *IAM) listRoles(_ context.Context, in *iam.ListRolesInput) (out *iam.ListRolesOutput, err error) {
	out = &iam.ListRolesOutput{Roles: []types.Role{}}
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := make([]string, 0, len(s.roles))
	for name, c := range s.roles {
		if strings.HasPrefix(c.Path, pathOf(in.PathPrefix)) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	names, out.IsTruncated, out.Marker, err = paged(names, itself, in.MaxItems, in.Marker)
	for _, name := range names {
		shown := s.shown(s.roles[name].role)
		shown.Tags = nil // AWS tells them of one role only
		out.Roles = append(out.Roles, *shown)
	}
	return out, err
}

func (s *IAM) putRolePolicy(_ context.Context, in *iam.PutRolePolicyInput) (*iam.PutRolePolicyOutput, error) {
	name := aws.ToString(in.PolicyName)
	if !nameSyntax.MatchString(name) || len(name) > 128 {
		return nil, invalid(`The specified value for policyName is invalid. It must be at most 128 characters of [\w+=,.@-].`)
	}
	err := s.change(in.RoleName, func(r *role) error {
		r.Inline[name] = aws.ToString(in.PolicyDocument)
		size := 0
		for _, d := range r.Inline {
			size += len(d) - strings.Count(d, " ") - strings.Count(d, "\n")
		}
		if size > 10240 {
			return &wire.Error{Code: "LimitExceeded", Status: http.StatusConflict, Message: "Maximum policy size of 10240 bytes exceeded for role " + r.Name}
		}
		return nil
	})
	return &iam.PutRolePolicyOutput{}, err
}

func noSuchPolicy(name string) error {
	return &wire.Error{Code: "NoSuchEntity", Status: http.StatusNotFound, Message: "The role policy with name " + name + " cannot be found."}
}

func (s *IAM) getRolePolicy(_ context.Context, in *iam.GetRolePolicyInput) (*iam.GetRolePolicyOutput, error) {
	r, err := s.read(in.RoleName)
	if err != nil {
		return nil, err
	}
	document, ok := r.Inline[aws.ToString(in.PolicyName)]
	if !ok {
		return nil, noSuchPolicy(aws.ToString(in.PolicyName))
	}
	return &iam.GetRolePolicyOutput{RoleName: &r.Name, PolicyName: in.PolicyName, PolicyDocument: encoded(document)}, nil
}

func (s *IAM) deleteRolePolicy(_ context.Context, in *iam.DeleteRolePolicyInput) (*iam.DeleteRolePolicyOutput, error) {
	err := s.change(in.RoleName, func(r *role) error {
		if _, ok := r.Inline[aws.ToString(in.PolicyName)]; !ok {
			return noSuchPolicy(aws.ToString(in.PolicyName))
		}
		delete(r.Inline, *in.PolicyName)
		return nil
	})
	return &iam.DeleteRolePolicyOutput{}, err
}

func (s *IAM) listRolePolicies(_ context.Context, in *iam.ListRolePoliciesInput) (out *iam.ListRolePoliciesOutput, err error) {
	r, err := s.read(in.RoleName)
	if err != nil {
		return nil, err
	}
	out = &iam.ListRolePoliciesOutput{}
	out.PolicyNames, out.IsTruncated, out.Marker, err = paged(slices.Sorted(maps.Keys(r.Inline)), itself, in.MaxItems, in.Marker)
	return out, err
}

func (s *IAM) attachRolePolicy(_ context.Context, in *iam.AttachRolePolicyInput) (*iam.AttachRolePolicyOutput, error) {
	arn := aws.ToString(in.PolicyArn)
	if _, known := managed[arn]; !known {
		s.o.Log.Error("managed policy not supported by the local cloud", "policy", arn)
		return nil, &wire.Error{Code: "NoSuchEntity", Status: http.StatusNotFound,
			Message: "Policy " + arn + " does not exist or is not attachable (the local cloud knows " + strings.Join(slices.Sorted(maps.Keys(managed)), ", ") + ")."}
	}
	err := s.change(in.RoleName, func(r *role) error {
		if !slices.Contains(r.Attached, arn) {
			r.Attached = append(r.Attached, arn)
		}
		return nil
	})
	return &iam.AttachRolePolicyOutput{}, err
}

func (s *IAM) detachRolePolicy(_ context.Context, in *iam.DetachRolePolicyInput) (*iam.DetachRolePolicyOutput, error) {
	err := s.change(in.RoleName, func(r *role) error {
		i := slices.Index(r.Attached, aws.ToString(in.PolicyArn))
		if i < 0 {
			return &wire.Error{Code: "NoSuchEntity", Status: http.StatusNotFound, Message: "Policy " + aws.ToString(in.PolicyArn) + " was not found."}
		}
		r.Attached = slices.Delete(r.Attached, i, i+1)
		return nil
	})
	return &iam.DetachRolePolicyOutput{}, err
}

func (s *IAM) listAttachedRolePolicies(_ context.Context, in *iam.ListAttachedRolePoliciesInput) (out *iam.ListAttachedRolePoliciesOutput, err error) {
	r, err := s.read(in.RoleName)
	if err != nil {
		return nil, err
	}
	attached := slices.DeleteFunc(slices.Clone(r.Attached), func(arn string) bool {
		return !strings.HasPrefix(arn, "arn:aws:iam::aws:policy"+pathOf(in.PathPrefix))
	})
	out = &iam.ListAttachedRolePoliciesOutput{AttachedPolicies: []types.AttachedPolicy{}}
	attached, out.IsTruncated, out.Marker, err = paged(attached, itself, in.MaxItems, in.Marker)
	for _, arn := range attached {
		out.AttachedPolicies = append(out.AttachedPolicies, types.AttachedPolicy{PolicyArn: &arn, PolicyName: aws.String(arn[strings.LastIndex(arn, "/")+1:])})
	}
	return out, err
}

func (s *IAM) tagRole(_ context.Context, in *iam.TagRoleInput) (*iam.TagRoleOutput, error) {
	err := s.change(in.RoleName, func(r *role) error {
		for _, t := range in.Tags {
			r.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		return nil
	})
	return &iam.TagRoleOutput{}, err
}

func (s *IAM) untagRole(_ context.Context, in *iam.UntagRoleInput) (*iam.UntagRoleOutput, error) {
	err := s.change(in.RoleName, func(r *role) error {
		for _, k := range in.TagKeys {
			delete(r.Tags, k)
		}
		return nil
	})
	return &iam.UntagRoleOutput{}, err
}

func (s *IAM) listRoleTags(_ context.Context, in *iam.ListRoleTagsInput) (out *iam.ListRoleTagsOutput, err error) {
	r, err := s.read(in.RoleName)
	if err != nil {
		return nil, err
	}
	out = &iam.ListRoleTagsOutput{}
	out.Tags, out.IsTruncated, out.Marker, err = paged(tags(r), func(t types.Tag) string { return *t.Key }, in.MaxItems, in.Marker)
	return out, err
}
