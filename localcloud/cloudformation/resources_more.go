package cloudformation

import "strings"

// Types that Millrace's own template does not have, and that one which extends
// it is likely to.

type machineVersionProps struct {
	StateMachineArn        string `cfn:"required"`
	StateMachineRevisionId string //nolint:revive // the property's name
	Description            string
}

// machineVersion is replaced by every change: what it is of does not change.
func machineVersion() *kind {
	return kindOf(handlers[machineVersionProps]{
		attributes: []string{"Arn"},
		create: func(s *step, p *machineVersionProps) (made, error) {
			var out struct{ StateMachineVersionArn string }
			err := s.call("states", "PublishStateMachineVersion", map[string]any{"stateMachineArn": p.StateMachineArn, "revisionId": p.StateMachineRevisionId, "description": p.Description}, &out)
			return made{ID: out.StateMachineVersionArn, Attributes: map[string]string{"Arn": out.StateMachineVersionArn}}, err
		},
		remove: func(s *step, id string, _ *machineVersionProps) error {
			return s.quietly("states", "DeleteStateMachineVersion", map[string]any{"stateMachineVersionArn": id})
		},
	})
}

type machineAliasProps struct {
	Name                 string `cfn:"name"`
	Description          string
	RoutingConfiguration []struct {
		StateMachineVersionArn string `json:"stateMachineVersionArn" cfn:"required"`
		Weight                 int    `json:"weight" cfn:"required"`
	} `cfn:"required"` // DeploymentPreference, which shifts by and by, is not here
}

func machineAlias() *kind {
	return kindOf(handlers[machineAliasProps]{
		attributes: []string{"Arn"}, nameLimit: 80,
		expected: func(_ *CloudFormation, p *machineAliasProps) string {
			if len(p.RoutingConfiguration) == 0 {
				return ""
			}
			version := p.RoutingConfiguration[0].StateMachineVersionArn
			return version[:strings.LastIndex(version, ":")+1] + p.Name
		},
		create: func(s *step, p *machineAliasProps) (made, error) {
			var out struct{ StateMachineAliasArn string }
			err := s.call("states", "CreateStateMachineAlias", map[string]any{"name": p.Name, "description": p.Description, "routingConfiguration": p.RoutingConfiguration}, &out)
			return made{ID: out.StateMachineAliasArn, Attributes: map[string]string{"Arn": out.StateMachineAliasArn}}, err
		},
		update: func(s *step, id string, _, p *machineAliasProps) (made, error) {
			return made{}, s.call("states", "UpdateStateMachineAlias", map[string]any{"stateMachineAliasArn": id, "description": &p.Description, "routingConfiguration": p.RoutingConfiguration}, nil)
		},
		remove: func(s *step, id string, _ *machineAliasProps) error {
			return s.quietly("states", "DeleteStateMachineAlias", map[string]any{"stateMachineAliasArn": id})
		},
	})
}

type rolePolicyProps struct {
	PolicyName     string `cfn:"required,replace"`
	RoleName       string `cfn:"required,replace"`
	PolicyDocument any    `cfn:"required"`
}

func rolePolicy() *kind {
	put := func(s *step, p *rolePolicyProps) error {
		return s.call("iam", "PutRolePolicy", map[string]any{"RoleName": p.RoleName, "PolicyName": p.PolicyName, "PolicyDocument": document(p.PolicyDocument)}, nil)
	}
	id := func(p *rolePolicyProps) string { return p.PolicyName + "|" + p.RoleName }
	return kindOf(handlers[rolePolicyProps]{
		expected: func(_ *CloudFormation, p *rolePolicyProps) string { return id(p) },
		create:   func(s *step, p *rolePolicyProps) (made, error) { return made{ID: id(p)}, put(s, p) },
		update:   func(s *step, _ string, _, p *rolePolicyProps) (made, error) { return made{}, put(s, p) },
		remove: func(s *step, _ string, p *rolePolicyProps) error {
			return s.quietly("iam", "DeleteRolePolicy", map[string]any{"RoleName": p.RoleName, "PolicyName": p.PolicyName})
		},
	})
}

type logStreamProps struct {
	LogGroupName  string `cfn:"required"`
	LogStreamName string `cfn:"name"`
}

func logStream() *kind {
	return kindOf(handlers[logStreamProps]{
		nameLimit: 512,
		expected:  func(_ *CloudFormation, p *logStreamProps) string { return p.LogStreamName },
		create: func(s *step, p *logStreamProps) (made, error) {
			err := s.call("logs", "CreateLogStream", map[string]any{"logGroupName": p.LogGroupName, "logStreamName": p.LogStreamName}, nil)
			if err != nil {
				return made{}, err
			}
			return made{ID: p.LogStreamName}, nil
		},
		remove: func(s *step, id string, p *logStreamProps) error {
			return s.quietly("logs", "DeleteLogStream", map[string]any{"logGroupName": p.LogGroupName, "logStreamName": id})
		},
	})
}
