package cloudformation

import (
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"
)

// kinds are the resource types of this cloud.
var kinds = map[string]*kind{
	"AWS::CDK::Metadata":                      {props: reflect.TypeFor[struct{}](), anyProps: true, create: nothing},
	"AWS::ECR::Repository":                    ecrRepository(),
	"AWS::Events::EventBus":                   eventBus(),
	"AWS::Events::EventBusPolicy":             eventBusPolicy(),
	"AWS::Events::Rule":                       eventRule(),
	"AWS::IAM::Policy":                        iamPolicy(),
	"AWS::IAM::Role":                          iamRole(),
	"AWS::IAM::RolePolicy":                    rolePolicy(),
	"AWS::Lambda::EventInvokeConfig":          eventInvokeConfig(),
	"AWS::Lambda::Function":                   lambdaFunction(),
	"AWS::Lambda::Permission":                 lambdaPermission(),
	"AWS::Logs::LogGroup":                     logGroup(),
	"AWS::Logs::LogStream":                    logStream(),
	"AWS::S3::Bucket":                         bucket(),
	"AWS::S3::BucketPolicy":                   bucketPolicy(),
	"AWS::SNS::Subscription":                  subscription(),
	"AWS::SNS::Topic":                         topic(),
	"AWS::SNS::TopicPolicy":                   topicPolicy(),
	"AWS::SQS::Queue":                         queue(),
	"AWS::SQS::QueuePolicy":                   queuePolicy(),
	"AWS::SSM::Parameter":                     ssmParameter(),
	"AWS::SageMaker::ModelPackageGroup":       modelPackageGroup(),
	"AWS::StepFunctions::StateMachine":        stateMachine(),
	"AWS::StepFunctions::StateMachineAlias":   machineAlias(),
	"AWS::StepFunctions::StateMachineVersion": machineVersion(),
}

func nothing(s *step, _ any) (made, error) { return made{ID: s.name}, nil }

type bucketProps struct {
	BucketName                string `cfn:"name"`
	AccessControl             string
	VersioningConfiguration   *struct{ Status string }
	NotificationConfiguration *struct {
		EventBridgeConfiguration *struct{ EventBridgeEnabled *bool }
	}
	PublicAccessBlockConfiguration *struct {
		BlockPublicAcls, BlockPublicPolicy, IgnorePublicAcls, RestrictPublicBuckets bool
	} `cfn:"noeffect"`
	BucketEncryption       any `cfn:"noeffect"`
	OwnershipControls      any `cfn:"noeffect"`
	LifecycleConfiguration any `cfn:"noeffect"`
	Tags                   []tag
}

func (p *bucketProps) versioned() bool {
	return p.VersioningConfiguration != nil && p.VersioningConfiguration.Status == "Enabled"
}

func (p *bucketProps) events() bool {
	n := p.NotificationConfiguration
	if n == nil || n.EventBridgeConfiguration == nil {
		return false
	}
	return n.EventBridgeConfiguration.EventBridgeEnabled == nil || *n.EventBridgeConfiguration.EventBridgeEnabled
}

func bucket() *kind {
	configure := func(s *step, id string, old, p *bucketProps) error {
		objects := s.c.o.Objects
		if p.versioned() != old.versioned() {
			if err := objects.SetVersioning(s.ctx, id, p.versioned()); err != nil {
				return fmt.Errorf("set versioning of bucket %s: %w", id, err)
			}
		}
		if p.events() != old.events() {
			if err := objects.SetEventBridge(s.ctx, id, p.events()); err != nil {
				return fmt.Errorf("set events of bucket %s: %w", id, err)
			}
		}
		if tags := s.tags(p.Tags); len(tags) > 0 || len(old.Tags) > 0 {
			if err := objects.Tag(s.ctx, id, tags); err != nil {
				return fmt.Errorf("tag bucket %s: %w", id, err)
			}
		}
		return nil
	}
	adopt := func(s *step, p *bucketProps) (made, error) {
		name, region := p.BucketName, s.c.o.Region
		m := made{ID: name, Attributes: map[string]string{
			"Arn": "arn:aws:s3:::" + name, "DomainName": name + ".s3.amazonaws.com", "DualStackDomainName": name + ".s3.dualstack." + region + ".amazonaws.com",
			"RegionalDomainName": name + ".s3." + region + ".amazonaws.com", "WebsiteURL": "http://" + name + ".s3-website-" + region + ".amazonaws.com",
		}}
		return m, configure(s, name, &bucketProps{}, p)
	}
	return kindOf(handlers[bucketProps]{
		attributes: []string{"Arn", "DomainName", "DualStackDomainName", "RegionalDomainName", "WebsiteURL"},
		nameLimit:  63, lowerName: true,
		expected: func(_ *CloudFormation, p *bucketProps) string { return p.BucketName },
		exists:   func(s *step, p *bucketProps) (bool, error) { return s.c.o.Objects.HasBucket(s.ctx, p.BucketName) },
		adopt:    adopt,
		create: func(s *step, p *bucketProps) (made, error) {
			name := p.BucketName
			if p.AccessControl != "" && p.AccessControl != "Private" {
				return made{}, fmt.Errorf("AccessControl %s of bucket %s: the local cloud has private buckets only", p.AccessControl, name)
			}
			if err := s.c.o.Objects.CreateBucket(s.ctx, name); err != nil {
				return made{}, fmt.Errorf("create bucket %s: %w", name, err)
			}
			return adopt(s, p)
		},
		update: func(s *step, id string, old, p *bucketProps) (made, error) { return made{}, configure(s, id, old, p) },
		remove: func(s *step, id string, _ *bucketProps) error { return s.c.o.Objects.DeleteBucket(s.ctx, id) },
	})
}

type bucketPolicyProps struct {
	Bucket         string `cfn:"required,replace"`
	PolicyDocument any    `cfn:"required"`
}

func bucketPolicy() *kind {
	return kindOf(handlers[bucketPolicyProps]{
		expected: func(_ *CloudFormation, p *bucketPolicyProps) string { return p.Bucket },
		create: func(s *step, p *bucketPolicyProps) (made, error) {
			return made{ID: p.Bucket}, s.c.o.Objects.SetPolicy(s.ctx, p.Bucket, document(p.PolicyDocument))
		},
		update: func(s *step, id string, _, p *bucketPolicyProps) (made, error) {
			return made{}, s.c.o.Objects.SetPolicy(s.ctx, id, document(p.PolicyDocument))
		},
		remove: func(s *step, id string, _ *bucketPolicyProps) error { return s.c.o.Objects.SetPolicy(s.ctx, id, "") },
	})
}

type namedPolicy struct {
	PolicyName     string `cfn:"required"`
	PolicyDocument any    `cfn:"required"`
}

type roleProps struct {
	RoleName                 string `cfn:"name"`
	AssumeRolePolicyDocument any    `cfn:"required"`
	Policies                 []namedPolicy
	ManagedPolicyArns        []string
	Description              string
	MaxSessionDuration       *int
	Path                     string `cfn:"replace"`
	PermissionsBoundary      string
	Tags                     []tag
}

func iamRole() *kind {
	return kindOf(handlers[roleProps]{
		attributes: []string{"Arn", "RoleId"},
		expected:   func(_ *CloudFormation, p *roleProps) string { return p.RoleName },
		create: func(s *step, p *roleProps) (made, error) {
			var out struct{ Role struct{ Arn, RoleId string } } //nolint:revive // the API's names
			err := s.call("iam", "CreateRole", map[string]any{
				"RoleName": p.RoleName, "AssumeRolePolicyDocument": document(p.AssumeRolePolicyDocument), "Description": p.Description,
				"MaxSessionDuration": p.MaxSessionDuration, "Path": p.Path, "PermissionsBoundary": p.PermissionsBoundary, "Tags": tagList(s.tags(p.Tags)),
			}, &out)
			if err != nil {
				return made{}, err
			}
			m := made{ID: p.RoleName, Attributes: map[string]string{"Arn": out.Role.Arn, "RoleId": out.Role.RoleId}}
			return m, rolePolicies(s, p.RoleName, &roleProps{}, p)
		},
		update: func(s *step, id string, old, p *roleProps) (made, error) {
			if canonical(old.AssumeRolePolicyDocument) != canonical(p.AssumeRolePolicyDocument) {
				if err := s.call("iam", "UpdateAssumeRolePolicy", map[string]any{"RoleName": id, "PolicyDocument": document(p.AssumeRolePolicyDocument)}, nil); err != nil {
					return made{}, err
				}
			}
			if old.Description != p.Description || canonical(old.MaxSessionDuration) != canonical(p.MaxSessionDuration) {
				if err := s.call("iam", "UpdateRole", map[string]any{"RoleName": id, "Description": p.Description, "MaxSessionDuration": p.MaxSessionDuration}, nil); err != nil {
					return made{}, err
				}
			}
			if old.PermissionsBoundary != p.PermissionsBoundary {
				if err := s.call("iam", "PutRolePermissionsBoundary", map[string]any{"RoleName": id, "PermissionsBoundary": p.PermissionsBoundary}, nil); err != nil {
					return made{}, err
				}
			}
			if canonical(old.Tags) != canonical(p.Tags) {
				if err := s.call("iam", "TagRole", map[string]any{"RoleName": id, "Tags": tagList(s.tags(p.Tags))}, nil); err != nil {
					return made{}, err
				}
			}
			return made{}, rolePolicies(s, id, old, p)
		},
		remove: func(s *step, id string, p *roleProps) error {
			if err := rolePolicies(s, id, p, &roleProps{}); err != nil && !gone(err) {
				return err
			}
			return s.quietly("iam", "DeleteRole", map[string]any{"RoleName": id})
		},
	})
}

// rolePolicies brings a role's inline and attached policies from old to p.
func rolePolicies(s *step, role string, old, p *roleProps) error {
	before := map[string]string{}
	for _, x := range old.Policies {
		before[x.PolicyName] = document(x.PolicyDocument)
	}
	wanted := map[string]bool{}
	for _, x := range p.Policies {
		wanted[x.PolicyName] = true
		if before[x.PolicyName] == document(x.PolicyDocument) {
			continue
		}
		if err := s.call("iam", "PutRolePolicy", map[string]any{"RoleName": role, "PolicyName": x.PolicyName, "PolicyDocument": document(x.PolicyDocument)}, nil); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(before) {
		if !wanted[name] {
			if err := s.quietly("iam", "DeleteRolePolicy", map[string]any{"RoleName": role, "PolicyName": name}); err != nil {
				return err
			}
		}
	}
	for _, arn := range p.ManagedPolicyArns {
		if !slices.Contains(old.ManagedPolicyArns, arn) {
			if err := s.call("iam", "AttachRolePolicy", map[string]any{"RoleName": role, "PolicyArn": arn}, nil); err != nil {
				return err
			}
		}
	}
	for _, arn := range old.ManagedPolicyArns {
		if !slices.Contains(p.ManagedPolicyArns, arn) {
			if err := s.quietly("iam", "DetachRolePolicy", map[string]any{"RoleName": role, "PolicyArn": arn}); err != nil {
				return err
			}
		}
	}
	return nil
}

type policyProps struct {
	PolicyName     string   `cfn:"required,replace"`
	PolicyDocument any      `cfn:"required"`
	Roles          []string `cfn:"required"`
}

func iamPolicy() *kind {
	put := func(s *step, p *policyProps) error {
		for _, role := range p.Roles {
			if err := s.call("iam", "PutRolePolicy", map[string]any{"RoleName": role, "PolicyName": p.PolicyName, "PolicyDocument": document(p.PolicyDocument)}, nil); err != nil {
				return err
			}
		}
		return nil
	}
	drop := func(s *step, name string, roles []string) error {
		for _, role := range roles {
			if err := s.quietly("iam", "DeleteRolePolicy", map[string]any{"RoleName": role, "PolicyName": name}); err != nil {
				return err
			}
		}
		return nil
	}
	return kindOf(handlers[policyProps]{
		attributes: []string{"Id"},
		expected:   func(_ *CloudFormation, p *policyProps) string { return p.PolicyName },
		create: func(s *step, p *policyProps) (made, error) {
			return made{ID: s.name, Attributes: map[string]string{"Id": s.name}}, put(s, p)
		},
		update: func(s *step, _ string, old, p *policyProps) (made, error) {
			var left []string
			for _, role := range old.Roles {
				if !slices.Contains(p.Roles, role) {
					left = append(left, role)
				}
			}
			if err := put(s, p); err != nil {
				return made{}, err
			}
			return made{}, drop(s, old.PolicyName, left)
		},
		remove: func(s *step, _ string, p *policyProps) error { return drop(s, p.PolicyName, p.Roles) },
	})
}

type logGroupProps struct {
	LogGroupName    string `cfn:"name"`
	RetentionInDays *int
	LogGroupClass   string `cfn:"replace"`
	Tags            []tag
}

func logGroup() *kind {
	retain := func(s *step, id string, p *logGroupProps) error {
		if p.RetentionInDays == nil {
			return s.quietly("logs", "DeleteRetentionPolicy", map[string]any{"logGroupName": id})
		}
		return s.call("logs", "PutRetentionPolicy", map[string]any{"logGroupName": id, "retentionInDays": *p.RetentionInDays}, nil)
	}
	return kindOf(handlers[logGroupProps]{
		attributes: []string{"Arn"}, nameLimit: 512,
		expected: func(_ *CloudFormation, p *logGroupProps) string { return p.LogGroupName },
		create: func(s *step, p *logGroupProps) (made, error) {
			err := s.call("logs", "CreateLogGroup", map[string]any{"logGroupName": p.LogGroupName, "logGroupClass": p.LogGroupClass, "tags": s.tags(p.Tags)}, nil)
			if err != nil {
				return made{}, err
			}
			m := made{ID: p.LogGroupName, Attributes: map[string]string{"Arn": s.c.arn("logs", "log-group:"+p.LogGroupName+":*")}}
			if p.RetentionInDays == nil {
				return m, nil
			}
			return m, retain(s, p.LogGroupName, p)
		},
		update: func(s *step, id string, old, p *logGroupProps) (made, error) {
			if canonical(old.Tags) != canonical(p.Tags) {
				if err := s.call("logs", "TagResource", map[string]any{"resourceArn": s.c.arn("logs", "log-group:"+id), "tags": s.tags(p.Tags)}, nil); err != nil {
					return made{}, err
				}
			}
			return made{}, retain(s, id, p)
		},
		remove: func(s *step, id string, _ *logGroupProps) error {
			return s.quietly("logs", "DeleteLogGroup", map[string]any{"logGroupName": id})
		},
	})
}

type modelPackageGroupProps struct {
	ModelPackageGroupName        string `cfn:"name,required"`
	ModelPackageGroupDescription string `cfn:"replace"`
	ModelPackageGroupPolicy      any
	Tags                         []tag
}

func modelPackageGroupPolicy(s *step, p *modelPackageGroupProps) error {
	if p.ModelPackageGroupPolicy == nil {
		return s.quietly("sagemaker", "DeleteModelPackageGroupPolicy", map[string]any{"ModelPackageGroupName": p.ModelPackageGroupName})
	}
	return s.call("sagemaker", "PutModelPackageGroupPolicy", map[string]any{"ModelPackageGroupName": p.ModelPackageGroupName, "ResourcePolicy": document(p.ModelPackageGroupPolicy)}, nil)
}

func modelPackageGroupExists(s *step, p *modelPackageGroupProps) (bool, error) {
	err := s.call("sagemaker", "DescribeModelPackageGroup", map[string]any{"ModelPackageGroupName": p.ModelPackageGroupName}, nil)
	if gone(err) {
		return false, nil
	}
	return err == nil, err
}

func adoptModelPackageGroup(s *step, p *modelPackageGroupProps) (made, error) {
	var out struct {
		ModelPackageGroupArn string
		CreationTime         float64
	}
	if err := s.call("sagemaker", "DescribeModelPackageGroup", map[string]any{"ModelPackageGroupName": p.ModelPackageGroupName}, &out); err != nil {
		return made{}, err
	}
	m := made{ID: out.ModelPackageGroupArn, Attributes: map[string]string{
		"ModelPackageGroupArn": out.ModelPackageGroupArn, "ModelPackageGroupStatus": "Completed",
		"CreationTime": time.UnixMilli(int64(out.CreationTime * 1e3)).UTC().Format("2006-01-02T15:04:05.000Z"),
	}}
	if tags := tagList(s.tags(p.Tags)); len(tags) > 0 {
		if err := s.call("sagemaker", "AddTags", map[string]any{"ResourceArn": m.ID, "Tags": tags}, nil); err != nil {
			return m, err
		}
	}
	if p.ModelPackageGroupPolicy == nil {
		return m, nil
	}
	return m, modelPackageGroupPolicy(s, p)
}

func modelPackageGroup() *kind {
	arn := func(c *CloudFormation, name string) string { return c.arn("sagemaker", "model-package-group/"+name) }
	return kindOf(handlers[modelPackageGroupProps]{
		attributes: []string{"ModelPackageGroupArn", "CreationTime", "ModelPackageGroupStatus"},
		expected:   func(c *CloudFormation, p *modelPackageGroupProps) string { return arn(c, p.ModelPackageGroupName) },
		exists:     modelPackageGroupExists,
		adopt:      adoptModelPackageGroup,
		create: func(s *step, p *modelPackageGroupProps) (made, error) {
			var out struct{ ModelPackageGroupArn string }
			err := s.call("sagemaker", "CreateModelPackageGroup", map[string]any{
				"ModelPackageGroupName": p.ModelPackageGroupName, "ModelPackageGroupDescription": p.ModelPackageGroupDescription, "Tags": tagList(s.tags(p.Tags)),
			}, &out)
			if err != nil {
				return made{}, err
			}
			m := made{ID: out.ModelPackageGroupArn, Attributes: map[string]string{
				"ModelPackageGroupArn": out.ModelPackageGroupArn, "ModelPackageGroupStatus": "Completed",
				"CreationTime": s.c.o.Clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
			}}
			if p.ModelPackageGroupPolicy == nil {
				return m, nil
			}
			return m, modelPackageGroupPolicy(s, p)
		},
		update: func(s *step, id string, old, p *modelPackageGroupProps) (made, error) {
			if canonical(old.Tags) != canonical(p.Tags) {
				if err := s.call("sagemaker", "AddTags", map[string]any{"ResourceArn": id, "Tags": tagList(s.tags(p.Tags))}, nil); err != nil {
					return made{}, err
				}
			}
			if canonical(old.ModelPackageGroupPolicy) == canonical(p.ModelPackageGroupPolicy) {
				return made{}, nil
			}
			return made{}, modelPackageGroupPolicy(s, p)
		},
		remove: func(s *step, _ string, p *modelPackageGroupProps) error {
			return s.quietly("sagemaker", "DeleteModelPackageGroup", map[string]any{"ModelPackageGroupName": p.ModelPackageGroupName})
		},
	})
}

type stateMachineProps struct {
	StateMachineName        string `cfn:"name"`
	StateMachineType        string `cfn:"replace"`
	DefinitionString        string
	Definition              any
	DefinitionS3Location    *struct{ Bucket, Key, Version string }
	DefinitionSubstitutions map[string]string
	RoleArn                 string `cfn:"required"`
	LoggingConfiguration    *struct {
		Level                string `json:"level,omitempty"`
		IncludeExecutionData bool   `json:"includeExecutionData"`
		Destinations         []struct {
			CloudWatchLogsLogGroup struct {
				LogGroupArn string `json:"logGroupArn"`
			} `json:"cloudWatchLogsLogGroup"`
		} `json:"destinations,omitempty"`
	}
	TracingConfiguration *struct {
		Enabled bool `json:"enabled"`
	}
	Tags []tag
}

// definition is the machine's text with its substitutions made.
func (p *stateMachineProps) definition(s *step) (string, error) {
	text := p.DefinitionString
	switch {
	case p.DefinitionS3Location != nil:
		l := p.DefinitionS3Location
		r, _, err := s.c.o.Objects.Open(s.ctx, l.Bucket, l.Key, l.Version)
		if err != nil {
			return "", fmt.Errorf("open definition s3://%s/%s: %w", l.Bucket, l.Key, err)
		}
		defer func() { _ = r.Close() }()
		raw, err := io.ReadAll(io.LimitReader(r, 2<<20))
		if err != nil {
			return "", fmt.Errorf("read definition s3://%s/%s: %w", l.Bucket, l.Key, err)
		}
		text = string(raw)
	case text == "" && p.Definition != nil:
		text = canonical(p.Definition)
	case text == "":
		return "", fmt.Errorf("one of DefinitionString, Definition and DefinitionS3Location is needed")
	}
	pairs := make([]string, 0, 2*len(p.DefinitionSubstitutions))
	for _, k := range sortedKeys(p.DefinitionSubstitutions) {
		pairs = append(pairs, "${"+k+"}", p.DefinitionSubstitutions[k])
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

func stateMachine() *kind {
	arn := func(c *CloudFormation, p *stateMachineProps) string {
		return c.arn("states", "stateMachine:"+p.StateMachineName)
	}
	return kindOf(handlers[stateMachineProps]{
		attributes: []string{"Arn", "Name", "StateMachineRevisionId"},
		format:     func(_, logical, unique string) string { return logical[:min(len(logical), 67)] + "-" + unique },
		expected:   arn,
		create: func(s *step, p *stateMachineProps) (made, error) {
			text, err := p.definition(s)
			if err != nil {
				return made{}, err
			}
			var out struct{ StateMachineArn string }
			err = s.call("states", "CreateStateMachine", map[string]any{
				"name": p.StateMachineName, "definition": text, "roleArn": p.RoleArn, "type": p.StateMachineType,
				"loggingConfiguration": p.LoggingConfiguration, "tracingConfiguration": p.TracingConfiguration, "tags": tagList(s.tags(p.Tags)),
			}, &out)
			if err != nil {
				return made{}, err
			}
			return made{ID: out.StateMachineArn, Attributes: map[string]string{"Arn": out.StateMachineArn, "Name": p.StateMachineName, "StateMachineRevisionId": "INITIAL"}}, nil
		},
		update: func(s *step, id string, old, p *stateMachineProps) (made, error) {
			text, err := p.definition(s)
			if err != nil {
				return made{}, err
			}
			var out struct{ RevisionId string } //nolint:revive // the API's name
			err = s.call("states", "UpdateStateMachine", map[string]any{
				"stateMachineArn": id, "definition": text, "roleArn": p.RoleArn,
				"loggingConfiguration": p.LoggingConfiguration, "tracingConfiguration": p.TracingConfiguration,
			}, &out)
			if err != nil {
				return made{}, err
			}
			if canonical(old.Tags) != canonical(p.Tags) {
				if err := s.call("states", "TagResource", map[string]any{"resourceArn": id, "tags": tagList(s.tags(p.Tags))}, nil); err != nil {
					return made{}, err
				}
			}
			return made{Attributes: map[string]string{"Arn": id, "Name": p.StateMachineName, "StateMachineRevisionId": out.RevisionId}}, nil
		},
		remove: func(s *step, id string, _ *stateMachineProps) error {
			return s.quietly("states", "DeleteStateMachine", map[string]any{"stateMachineArn": id})
		},
	})
}
