package cloudformation

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// CloudFormation's limits on templates, in bytes.
const (
	maxBody   = 51200
	maxObject = 1 << 20
)

var stackName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,127}$`)

// wanted is what a request says a stack should become.
type wanted struct {
	body, url    *string
	previous     bool
	parameters   []types.Parameter
	tags         []types.Tag
	capabilities []types.Capability
	role         *string
}

// keepTags leaves a stack its tags where none are given.
func (w *wanted) keepTags(s *stack) {
	if w.tags != nil {
		return
	}
	for _, k := range sortedKeys(s.Tags) {
		w.tags = append(w.tags, types.Tag{Key: aws.String(k), Value: aws.String(s.Tags[k])})
	}
}

// prepared is a request that was judged: it can be carried out.
type prepared struct {
	template   *template
	text       string
	parameters map[string]string
	fetched    map[string]string
	tags       map[string]string
	caps       []string
	role       string
	imports    []string
	caller     wire.Caller
}

// stack is what a stack would be, as far as its values need it.
func (p *prepared) stack(s *stack) *stack {
	return &stack{ID: s.ID, Name: s.Name, Parameters: p.parameters, Fetched: p.fetched, Role: p.role, Caller: p.caller}
}

func (c *CloudFormation) templateText(ctx context.Context, body, where *string) (string, error) {
	switch {
	case body != nil && where != nil:
		return "", invalid("Please specify either TemplateBody or TemplateURL, not both")
	case body != nil && len(*body) > maxBody:
		return "", invalid("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to %d (it has %d; put the template in a bucket and use TemplateURL)", maxBody, len(*body))
	case body != nil:
		return *body, nil
	case where == nil:
		return "", invalid("Either Template URL or Template Body must be specified.")
	}
	bucket, key, version, err := locate(*where)
	if err != nil {
		return "", err
	}
	r, _, err := c.o.Objects.Open(ctx, bucket, key, version)
	if err != nil {
		return "", invalid("S3 error: %v (s3://%s/%s)", err, bucket, key)
	}
	defer func() { _ = r.Close() }()
	raw, err := io.ReadAll(io.LimitReader(r, maxObject+1))
	if err != nil {
		return "", fmt.Errorf("read template %s: %w", *where, err)
	}
	if len(raw) > maxObject {
		return "", invalid("Template may not exceed %d bytes in size.", maxObject)
	}
	return string(raw), nil
}

// locate finds bucket and key in a template's URL, path style or virtual-hosted.
func locate(where string) (bucket, key, version string, err error) {
	u, err := url.Parse(where)
	if err != nil {
		return "", "", "", invalid("TemplateURL %q: %v", where, err)
	}
	host, path := u.Hostname(), strings.TrimPrefix(u.Path, "/")
	if before, _, virtual := strings.Cut(host, ".s3."); virtual {
		bucket, key = before, path
	} else if strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-") || host == "localhost" || net.ParseIP(host) != nil {
		bucket, key, _ = strings.Cut(path, "/")
	}
	if bucket == "" || key == "" {
		return "", "", "", invalid("TemplateURL must be a supported URL: %s", where)
	}
	return bucket, key, u.Query().Get("versionId"), nil
}

// prepare judges a request against the template it brings, before anything happens.
func (c *CloudFormation) prepare(ctx context.Context, s *stack, w wanted) (*prepared, error) {
	p := &prepared{tags: map[string]string{}, caller: wire.CallerFrom(ctx)}
	var err error
	if w.previous {
		if s.Template == "" {
			return nil, invalid("stack %s has no previous template", s.Name)
		}
		p.text = s.Template
	} else if p.text, err = c.templateText(ctx, w.body, w.url); err != nil {
		return nil, err
	}
	if p.template, err = parseTemplate(p.text); err != nil {
		return nil, err
	}
	if err := p.template.check(); err != nil {
		return nil, err
	}
	if p.parameters, err = p.template.values(w.parameters, s.Parameters); err != nil {
		return nil, err
	}
	if p.fetched, err = c.fetch(ctx, p.template, p.parameters); err != nil {
		return nil, err
	}
	if err := p.acknowledge(w.capabilities); err != nil {
		return nil, err
	}
	for _, t := range w.tags {
		p.tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	if p.role, err = c.passed(ctx, s, w.role); err != nil {
		return nil, err
	}
	env, err := c.environment(p.template, p.stack(s), func(string) (*resourceRecord, bool) { return nil, false })
	if err != nil {
		return nil, err
	}
	if err := p.template.checkConditional(env); err != nil {
		return nil, err
	}
	return p, p.template.checkRules(env)
}

// passed is the role that a stack's resources are made with: one given now must
// be the caller's to pass, one given earlier stays.
func (c *CloudFormation) passed(ctx context.Context, s *stack, given *string) (string, error) {
	role := aws.ToString(given)
	if role == "" {
		return s.Role, nil
	}
	if c.o.Authorize != nil {
		if err := c.o.Authorize(ctx, "iam:PassRole", role); err != nil {
			return "", err
		}
	}
	if c.o.Assume != nil {
		if _, err := c.o.Assume(role, sessionName, s.ID); err != nil {
			return "", invalid("Role %s is invalid or cannot be assumed", role)
		}
	}
	return role, nil
}

func (p *prepared) acknowledge(given []types.Capability) error {
	for _, g := range given {
		p.caps = append(p.caps, string(g))
	}
	need, _ := p.template.capabilities()
	for _, n := range need {
		if slices.Contains(p.caps, n) || (n == "CAPABILITY_IAM" && slices.Contains(p.caps, "CAPABILITY_NAMED_IAM")) {
			continue
		}
		return wire.Errorf("InsufficientCapabilitiesException", "Requires capabilities : [%s]", n)
	}
	return nil
}

func (p *prepared) into(s *stack) {
	s.Template, s.Description, s.Parameters, s.Fetched, s.Tags = p.text, p.template.Description, p.parameters, p.fetched, p.tags
	s.Capabilities, s.Role, s.Imports = p.caps, p.role, p.imports
}

func refuse(given map[string]bool) error {
	var names []string
	for _, name := range sortedKeys(given) {
		if given[name] {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return invalid("the local cloud does not support %s for stacks", strings.Join(names, ", "))
}

// special reports a way of deploying that is not here; the standard one may be asked for by name.
func special(d *types.DeploymentConfig) bool {
	return d != nil && (d.DisableRollback != nil || (d.Mode != "" && d.Mode != types.DeploymentConfigModeStandard))
}

func triggers(r *types.RollbackConfiguration) bool { return r != nil && len(r.RollbackTriggers) > 0 }

func (c *CloudFormation) createStack(ctx context.Context, in *api.CreateStackInput) (*api.CreateStackOutput, error) {
	err := refuse(map[string]bool{
		"NotificationARNs": len(in.NotificationARNs) > 0, "ResourceTypes": len(in.ResourceTypes) > 0, "RollbackConfiguration": triggers(in.RollbackConfiguration),
		"StackPolicyBody": in.StackPolicyBody != nil, "StackPolicyURL": in.StackPolicyURL != nil, "DeploymentConfig other than of mode STANDARD": special(in.DeploymentConfig),
		"TimeoutInMinutes": in.TimeoutInMinutes != nil, "DisableValidation": aws.ToBool(in.DisableValidation),
	})
	if err != nil {
		return nil, err
	}
	if in.DisableRollback != nil && in.OnFailure != "" {
		return nil, invalid("You can specify either DisableRollback or OnFailure, but not both.")
	}
	s, err := c.newStack(ctx, in.StackName, in.ClientRequestToken)
	if err != nil {
		return nil, err
	}
	s.Protected = aws.ToBool(in.EnableTerminationProtection)
	s.OnFailure, s.ExceptOnCreate = string(in.OnFailure), aws.ToBool(in.RetainExceptOnCreate)
	if aws.ToBool(in.DisableRollback) {
		s.OnFailure = "DO_NOTHING"
	}
	p, err := c.prepare(ctx, s, wanted{body: in.TemplateBody, url: in.TemplateURL, parameters: in.Parameters, tags: in.Tags, capabilities: in.Capabilities, role: in.RoleARN})
	if err != nil {
		return nil, err
	}
	// What else cannot be told of values fails the creation, once it runs.
	if _, _, err := c.plan(s, p); isUnresolved(err) {
		return nil, err
	}
	p.into(s)
	if err := c.beginCreate(s, true); err != nil {
		return nil, err
	}
	return &api.CreateStackOutput{StackId: aws.String(s.ID)}, nil
}

func (c *CloudFormation) newStack(ctx context.Context, name, token *string) (*stack, error) {
	n := aws.ToString(name)
	if !stackName.MatchString(n) {
		return nil, invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*|arn:[-a-zA-Z0-9:/._+]*", n)
	}
	return &stack{
		ID: c.arn("cloudformation", "stack/"+n+"/"+uuid.NewString()), Name: n, Created: c.o.Clock.Now(),
		Resources: map[string]*resourceRecord{}, Caller: wire.CallerFrom(ctx), Token: aws.ToString(token),
	}, nil
}

// beginCreate starts the creation; fresh says that no stack of this name may exist.
func (c *CloudFormation) beginCreate(s *stack, fresh bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return wire.Errorf("ServiceUnavailable", "the local cloud is stopping")
	}
	if fresh {
		if _, err := c.find(s.Name); err == nil {
			return wire.Errorf("AlreadyExistsException", "Stack [%s] already exists", s.Name)
		} else if !wire.HasCode(err, "ValidationError") {
			return err
		}
	}
	if err := c.note(s, "", "CREATE_IN_PROGRESS", "User Initiated"); err != nil {
		return err
	}
	c.background(s, c.create)
	return nil
}

var updatable = []string{"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED"}

func (c *CloudFormation) updateStack(ctx context.Context, in *api.UpdateStackInput) (*api.UpdateStackOutput, error) {
	err := refuse(map[string]bool{
		"NotificationARNs": len(in.NotificationARNs) > 0, "ResourceTypes": len(in.ResourceTypes) > 0, "RollbackConfiguration": triggers(in.RollbackConfiguration),
		"StackPolicyBody": in.StackPolicyBody != nil, "StackPolicyURL": in.StackPolicyURL != nil, "DeploymentConfig other than of mode STANDARD": special(in.DeploymentConfig),
		"StackPolicyDuringUpdateBody": in.StackPolicyDuringUpdateBody != nil, "StackPolicyDuringUpdateURL": in.StackPolicyDuringUpdateURL != nil,
		"DisableValidation": aws.ToBool(in.DisableValidation),
	})
	if err != nil {
		return nil, err
	}
	s, err := c.find(aws.ToString(in.StackName))
	if err != nil {
		return nil, err
	}
	if err := s.mayUpdate(); err != nil {
		return nil, err
	}
	w := wanted{body: in.TemplateBody, url: in.TemplateURL, previous: aws.ToBool(in.UsePreviousTemplate), parameters: in.Parameters, tags: in.Tags, capabilities: in.Capabilities, role: in.RoleARN}
	w.keepTags(s)
	p, err := c.prepare(ctx, s, w)
	if err != nil {
		return nil, err
	}
	if _, differs, err := c.plan(s, p); err != nil {
		return nil, err
	} else if !differs {
		return nil, invalid("No updates are to be performed.")
	}
	s.Caller, s.Token = wire.CallerFrom(ctx), aws.ToString(in.ClientRequestToken)
	s.OnFailure, s.ExceptOnCreate, s.ChangeSet = "", aws.ToBool(in.RetainExceptOnCreate), ""
	if aws.ToBool(in.DisableRollback) {
		s.OnFailure = "DO_NOTHING"
	}
	if err := c.beginUpdate(s, p); err != nil {
		return nil, err
	}
	return &api.UpdateStackOutput{StackId: aws.String(s.ID)}, nil
}

func (s *stack) mayUpdate() error {
	if !slices.Contains(updatable, s.Status) {
		return invalid("Stack:%s is in %s state and can not be updated.", s.ID, s.Status)
	}
	return nil
}

// beginUpdate starts the update of a stack that was read as s.
func (c *CloudFormation) beginUpdate(s *stack, p *prepared) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return wire.Errorf("ServiceUnavailable", "the local cloud is stopping")
	}
	now, err := c.find(s.ID)
	if err != nil {
		return err
	}
	if err := now.mayUpdate(); err != nil {
		return err
	}
	now.Caller, now.Token, now.OnFailure, now.ExceptOnCreate, now.ChangeSet = s.Caller, s.Token, s.OnFailure, s.ExceptOnCreate, s.ChangeSet
	if now.Prior == nil { // after a failed update without rollback, the last good state stays what to go back to
		now.Prior = now.generation()
	}
	p.into(now)
	if err := c.note(now, "", "UPDATE_IN_PROGRESS", "User Initiated"); err != nil {
		return err
	}
	c.background(now, c.update)
	return nil
}

func (c *CloudFormation) deleteStack(ctx context.Context, in *api.DeleteStackInput) (*api.DeleteStackOutput, error) {
	if err := refuse(map[string]bool{"DeploymentConfig other than of mode STANDARD": special(in.DeploymentConfig)}); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, wire.Errorf("ServiceUnavailable", "the local cloud is stopping")
	}
	s, err := c.find(aws.ToString(in.StackName))
	switch {
	case wire.HasCode(err, "ValidationError"):
		return &api.DeleteStackOutput{}, nil // what is not there is deleted, as on AWS
	case err != nil:
		return nil, err
	case s.Status == "DELETE_COMPLETE" || s.Status == "DELETE_IN_PROGRESS":
		return &api.DeleteStackOutput{}, nil
	case s.Protected:
		return nil, invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", s.Name)
	case s.busy():
		return nil, invalid("Stack [%s] cannot be deleted while in status %s (the local cloud does not cancel a running operation)", s.Name, s.Status)
	case len(in.RetainResources) > 0 && s.Status != "DELETE_FAILED":
		return nil, invalid("RetainResources can only be specified for a stack in DELETE_FAILED state")
	}
	s.RetainNow, s.Caller, s.Token = in.RetainResources, wire.CallerFrom(ctx), aws.ToString(in.ClientRequestToken)
	if in.DeletionMode == types.DeletionModeForceDeleteStack {
		if s.Status != "DELETE_FAILED" {
			return nil, invalid("DeletionMode FORCE_DELETE_STACK is for a stack in DELETE_FAILED state")
		}
		for name, r := range s.Resources {
			if r.Status == "DELETE_FAILED" {
				s.RetainNow = append(s.RetainNow, name)
			}
		}
	}
	if s.Role, err = c.passed(ctx, s, in.RoleARN); err != nil {
		return nil, err
	}
	if err := c.note(s, "", "DELETE_IN_PROGRESS", "User Initiated"); err != nil {
		return nil, err
	}
	c.background(s, c.remove)
	return &api.DeleteStackOutput{}, nil
}

func (c *CloudFormation) updateTerminationProtection(_ context.Context, in *api.UpdateTerminationProtectionInput) (*api.UpdateTerminationProtectionOutput, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.find(aws.ToString(in.StackName))
	if err != nil {
		return nil, err
	}
	if s.busy() {
		return nil, invalid("Stack [%s] is in status %s: its protection cannot be changed now", s.Name, s.Status)
	}
	s.Protected = aws.ToBool(in.EnableTerminationProtection)
	return &api.UpdateTerminationProtectionOutput{StackId: aws.String(s.ID)}, c.save(s)
}

func (c *CloudFormation) stackResource(name *string) []string {
	return []string{c.arn("cloudformation", "stack/"+aws.ToString(name)+"/*")}
}

func (c *CloudFormation) onCreate(in *api.CreateStackInput) []string {
	return c.stackResource(in.StackName)
}
func (c *CloudFormation) onUpdate(in *api.UpdateStackInput) []string {
	return c.stackResource(in.StackName)
}
func (c *CloudFormation) onDelete(in *api.DeleteStackInput) []string {
	return c.stackResource(in.StackName)
}
