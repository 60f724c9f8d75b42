package stepfunctions

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const maxAliases = 100

// aliasRecord is an alias: a name for one version, or two by weight.
type aliasRecord struct {
	ARN         string    `json:"arn"`
	Name        string    `json:"name"`
	Machine     string    `json:"machine"`
	Description string    `json:"description,omitempty"`
	Routes      []route   `json:"routes"`
	Created     time.Time `json:"created"`
	Updated     time.Time `json:"updated"`
}

type route struct {
	Version string `json:"version"`
	Weight  int32  `json:"weight"` // percent
}

// aliasesOf lists a machine's aliases by name.
func (s *StepFunctions) aliasesOf(machine string) ([]aliasRecord, error) {
	var list []aliasRecord
	err := s.aliases.Scan(machine+":", func(_ string, a aliasRecord) bool {
		list = append(list, a)
		return true
	})
	return list, err
}

// alias finds an alias by ARN.
func (s *StepFunctions) alias(arn *string) (aliasRecord, error) {
	_, qualifier := splitQualified(aws.ToString(arn))
	if qualifier == "" || isNumber(qualifier) || !strings.HasPrefix(*arn, s.arn("stateMachine", "")) {
		return aliasRecord{}, wire.Errorf("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", aws.ToString(arn))
	}
	a, ok, err := s.aliases.Get(*arn)
	if err == nil && !ok {
		err = wire.Errorf("ResourceNotFound", "Request references a resource that does not exist.")
	}
	return a, err
}

// routes checks a routing configuration: one or two versions of one machine,
// weights of 100 together.
func (s *StepFunctions) routes(list []types.RoutingConfigurationListItem) (machine string, routes []route, err error) {
	total, arns, weights := int32(0), []string{}, []string{}
	for _, item := range list {
		arns, weights = append(arns, aws.ToString(item.StateMachineVersionArn)), append(weights, strconv.Itoa(int(item.Weight)))
	}
	refuse := func(what string, received []string) error {
		return wire.Errorf("ValidationException", "%s Received: [%s]", what, strings.Join(received, ", "))
	}
	for _, item := range list {
		arn := aws.ToString(item.StateMachineVersionArn)
		of, qualifier := splitQualified(arn)
		switch {
		case !isNumber(qualifier):
			return "", nil, refuse("Routing configuration must contain state machine version ARNs.", arns)
		case machine != "" && machine != of:
			return "", nil, refuse("Routing configuration must contain versions of the same state machine.", arns)
		case len(routes) == 1 && routes[0].Version == arn:
			return "", nil, refuse("Routing configuration must contain distinct state machine version ARNs.", arns)
		}
		machine = of
		if _, ok, err := s.versions.Get(arn); err != nil {
			return "", nil, err
		} else if !ok {
			return "", nil, wire.Errorf("ResourceNotFound", "Request references a resource that does not exist: '%s'", arn)
		}
		total += item.Weight
		routes = append(routes, route{arn, item.Weight})
	}
	if total != 100 {
		return "", nil, refuse("Sum of routing configuration weights must equal 100.", weights)
	}
	return machine, routes, nil
}

func (s *StepFunctions) createAlias(_ context.Context, in *sfn.CreateStateMachineAliasInput) (*sfn.CreateStateMachineAliasOutput, error) {
	name := aws.ToString(in.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	machine, routes, err := s.routes(in.RoutingConfiguration)
	if err != nil {
		return nil, err
	}
	m, err := s.get(machine)
	if err != nil {
		return nil, noResource(err, machine)
	}
	if m.Deleting {
		return nil, wire.Errorf("StateMachineDeleting", "State Machine is being deleted: '%s'", m.ARN)
	}
	now := s.o.Clock.Now()
	a := aliasRecord{ARN: machine + ":" + name, Name: name, Machine: machine, Description: aws.ToString(in.Description), Routes: routes, Created: now, Updated: now}
	all, err := s.aliasesOf(machine)
	if err != nil {
		return nil, err
	}
	for _, old := range all {
		switch {
		case old.ARN != a.ARN:
		case old.Description == a.Description && slices.Equal(old.Routes, a.Routes):
			return &sfn.CreateStateMachineAliasOutput{StateMachineAliasArn: &old.ARN, CreationDate: &old.Created}, nil
		default:
			return nil, wire.Errorf("ConflictException", "Failed to create alias because an alias with the same name and a different routing configuration already exists.")
		}
	}
	if len(all) >= maxAliases {
		return nil, wire.Errorf("ServiceQuotaExceededException", "The state machine %s has %d aliases, which is the most", machine, maxAliases)
	}
	if err := s.aliases.Put(a.ARN, a); err != nil {
		return nil, err
	}
	return &sfn.CreateStateMachineAliasOutput{StateMachineAliasArn: &a.ARN, CreationDate: &a.Created}, nil
}

func (s *StepFunctions) updateAlias(_ context.Context, in *sfn.UpdateStateMachineAliasInput) (*sfn.UpdateStateMachineAliasOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.alias(in.StateMachineAliasArn)
	if err != nil {
		return nil, err
	}
	if in.Description == nil && in.RoutingConfiguration == nil {
		return nil, wire.Errorf("ValidationException", "Either the description or the routing configuration must be given")
	}
	if in.Description != nil {
		a.Description = *in.Description
	}
	if in.RoutingConfiguration != nil {
		machine, routes, err := s.routes(in.RoutingConfiguration)
		if err != nil {
			return nil, err
		}
		if machine != a.Machine {
			return nil, validation("routingConfiguration", machine, "Routing configuration must contain versions of the alias's state machine")
		}
		a.Routes = routes
	}
	a.Updated = s.o.Clock.Now()
	return &sfn.UpdateStateMachineAliasOutput{UpdateDate: &a.Updated}, s.aliases.Put(a.ARN, a)
}

func (s *StepFunctions) describeAlias(_ context.Context, in *sfn.DescribeStateMachineAliasInput) (*sfn.DescribeStateMachineAliasOutput, error) {
	a, err := s.alias(in.StateMachineAliasArn)
	if err != nil {
		return nil, err
	}
	out := &sfn.DescribeStateMachineAliasOutput{StateMachineAliasArn: &a.ARN, Name: &a.Name, Description: &a.Description, CreationDate: &a.Created, UpdateDate: &a.Updated}
	for _, r := range a.Routes {
		out.RoutingConfiguration = append(out.RoutingConfiguration, types.RoutingConfigurationListItem{StateMachineVersionArn: &r.Version, Weight: r.Weight})
	}
	return out, nil
}

func (s *StepFunctions) deleteAlias(_ context.Context, in *sfn.DeleteStateMachineAliasInput) (*sfn.DeleteStateMachineAliasOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.alias(in.StateMachineAliasArn)
	if wire.HasCode(err, "ResourceNotFound") { // it is deleted already
		return &sfn.DeleteStateMachineAliasOutput{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &sfn.DeleteStateMachineAliasOutput{}, s.aliases.Delete(a.ARN)
}

func (s *StepFunctions) listAliases(_ context.Context, in *sfn.ListStateMachineAliasesInput) (*sfn.ListStateMachineAliasesOutput, error) {
	arn := aws.ToString(in.StateMachineArn)
	t, err := s.resolve(arn)
	if err != nil {
		return nil, err
	}
	if t.alias.ARN != "" {
		return nil, wire.Errorf("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", arn)
	}
	all, err := s.aliasesOf(t.machine.ARN)
	if err != nil {
		return nil, err
	}
	list := []types.StateMachineAliasListItem{}
	for _, a := range all {
		if t.version.ARN != "" && !slices.ContainsFunc(a.Routes, func(r route) bool { return r.Version == t.version.ARN }) {
			continue
		}
		list = append(list, types.StateMachineAliasListItem{StateMachineAliasArn: &a.ARN, CreationDate: &a.Created})
	}
	part, next, err := page(list, func(a types.StateMachineAliasListItem) string { return *a.StateMachineAliasArn }, in.MaxResults, 100, in.NextToken)
	return &sfn.ListStateMachineAliasesOutput{StateMachineAliases: part, NextToken: next}, err
}
