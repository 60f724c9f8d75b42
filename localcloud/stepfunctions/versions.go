package stepfunctions

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const (
	maxVersions = 1000
	// initialRevision names the revision of a state machine that was never updated.
	initialRevision = "INITIAL"
)

// versionRecord is an immutable version of a state machine.
type versionRecord struct {
	ARN         string    `json:"arn"`
	Machine     string    `json:"machine"`
	Number      int64     `json:"number"`
	Digest      string    `json:"digest"`
	RoleARN     string    `json:"role"`
	Revision    string    `json:"revision,omitempty"`
	Updated     time.Time `json:"updated"`
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
}

func (s *StepFunctions) addVersionOps() {
	byARN := func(arn *string) []string { return []string{aws.ToString(arn)} }
	s.svc.Add(
		wire.On(wire.Op("PublishStateMachineVersion", s.publishVersion), func(in *sfn.PublishStateMachineVersionInput) []string { return byARN(in.StateMachineArn) }),
		wire.On(wire.Op("ListStateMachineVersions", s.listVersions), func(in *sfn.ListStateMachineVersionsInput) []string { return byARN(in.StateMachineArn) }),
		wire.On(wire.Op("DeleteStateMachineVersion", s.deleteVersion), func(in *sfn.DeleteStateMachineVersionInput) []string { return byARN(in.StateMachineVersionArn) }),
		wire.On(wire.Op("CreateStateMachineAlias", s.createAlias), func(in *sfn.CreateStateMachineAliasInput) []string {
			if len(in.RoutingConfiguration) == 0 {
				return nil
			}
			machine, _ := splitQualified(aws.ToString(in.RoutingConfiguration[0].StateMachineVersionArn))
			return []string{machine + ":" + aws.ToString(in.Name)}
		}),
		wire.On(wire.Op("UpdateStateMachineAlias", s.updateAlias), func(in *sfn.UpdateStateMachineAliasInput) []string { return byARN(in.StateMachineAliasArn) }),
		wire.On(wire.Op("DescribeStateMachineAlias", s.describeAlias), func(in *sfn.DescribeStateMachineAliasInput) []string { return byARN(in.StateMachineAliasArn) }),
		wire.On(wire.Op("DeleteStateMachineAlias", s.deleteAlias), func(in *sfn.DeleteStateMachineAliasInput) []string { return byARN(in.StateMachineAliasArn) }),
		wire.On(wire.Op("ListStateMachineAliases", s.listAliases), func(in *sfn.ListStateMachineAliasesInput) []string { return byARN(in.StateMachineArn) }),
	)
}

// target is what an ARN of a state machine names: itself, a version or an alias.
type target struct {
	machine machineRecord
	version versionRecord
	alias   aliasRecord
	routes  []versionRecord // of the alias
}

// splitQualified parts arn:...:stateMachine:name:qualifier.
func splitQualified(arn string) (machine, qualifier string) {
	parts := strings.SplitN(arn, ":", 8)
	if len(parts) < 8 {
		return arn, ""
	}
	return strings.Join(parts[:7], ":"), parts[7]
}

func isNumber(qualifier string) bool {
	_, err := strconv.ParseUint(qualifier, 10, 63)
	return err == nil
}

// resolve finds what an ARN names.
func (s *StepFunctions) resolve(arn string) (*target, error) {
	machineARN, qualifier := splitQualified(arn)
	m, err := s.get(machineARN)
	if err != nil {
		return nil, err
	}
	t := &target{machine: m}
	switch {
	case qualifier == "":
	case isNumber(qualifier):
		v, ok, err := s.versions.Get(arn)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, wire.Errorf("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", arn)
		}
		t.version = v
	default:
		a, ok, err := s.aliases.Get(arn)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, wire.Errorf("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", arn)
		}
		t.alias = a
		for _, r := range a.Routes {
			v, ok, err := s.versions.Get(r.Version)
			if err != nil {
				return nil, err
			}
			if !ok {
				return nil, fmt.Errorf("alias %s points at version %s, which is missing", arn, r.Version)
			}
			t.routes = append(t.routes, v)
		}
	}
	return t, nil
}

// chosen is the machine to run: an alias picks a version by its weights.
func (t *target) chosen(rand func() float64) machineRecord {
	if t.alias.ARN != "" {
		roll := rand() * 100
		for i, r := range t.alias.Routes {
			if roll -= float64(r.Weight); roll < 0 || i == len(t.alias.Routes)-1 {
				t.version = t.routes[i]
				break
			}
		}
	}
	m := t.machine
	if v := t.version; v.ARN != "" {
		m.Digest, m.RoleARN, m.Revision, m.Updated = v.Digest, v.RoleARN, v.Revision, v.Updated
	}
	return m
}

// holds tells whether an execution was started by what the ARN names.
func (t *target) holds(e execution) bool {
	return (t.version.ARN == "" || e.Version == t.version.ARN) && (t.alias.ARN == "" || e.Alias == t.alias.ARN)
}

// versionsOf lists a machine's versions, newest first.
func (s *StepFunctions) versionsOf(machine string) ([]versionRecord, error) {
	var list []versionRecord
	err := s.versions.Scan(machine+":", func(_ string, v versionRecord) bool {
		list = append(list, v)
		return true
	})
	slices.SortFunc(list, func(a, b versionRecord) int { return int(b.Number - a.Number) })
	return list, err
}

// publish makes a version of a machine as it is; one revision has one version.
// s.mu is held.
func (s *StepFunctions) publish(m machineRecord, description string) (versionRecord, error) {
	list, err := s.versionsOf(m.ARN)
	if err != nil {
		return versionRecord{}, err
	}
	for _, v := range list {
		if v.Revision != m.Revision {
			continue
		}
		if description != "" && description != v.Description {
			return v, wire.Errorf("ConflictException", "Failed to publish the State Machine version for revision %s. The current State Machine revision has already been published with a different version description: %s", revisionName(m), v.ARN)
		}
		return v, nil
	}
	if len(list) >= maxVersions {
		return versionRecord{}, wire.Errorf("ServiceQuotaExceededException", "The state machine %s has %d versions, which is the most", m.ARN, maxVersions)
	}
	m.LastVersion++
	v := versionRecord{
		ARN: fmt.Sprintf("%s:%d", m.ARN, m.LastVersion), Machine: m.ARN, Number: m.LastVersion, Digest: m.Digest, RoleARN: m.RoleARN,
		Revision: m.Revision, Updated: m.Updated, Description: description, Created: s.o.Clock.Now(),
	}
	// First the number, which is then never given twice.
	if err := s.machines.Put(m.ARN, m); err != nil {
		return v, err
	}
	return v, s.versions.Put(v.ARN, v)
}

func revisionName(m machineRecord) string {
	if m.Revision == "" {
		return initialRevision
	}
	return m.Revision
}

func (s *StepFunctions) publishVersion(_ context.Context, in *sfn.PublishStateMachineVersionInput) (*sfn.PublishStateMachineVersionOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.get(aws.ToString(in.StateMachineArn))
	if err != nil {
		return nil, err
	}
	if m.Deleting {
		return nil, wire.Errorf("StateMachineDeleting", "State Machine is being deleted: '%s'", m.ARN)
	}
	if want := aws.ToString(in.RevisionId); want != "" && want != revisionName(m) {
		return nil, wire.Errorf("ConflictException", "Failed to publish the State Machine version for revision %s. The current State Machine revision is %s.", want, revisionName(m))
	}
	v, err := s.publish(m, aws.ToString(in.Description))
	if err != nil {
		return nil, err
	}
	return &sfn.PublishStateMachineVersionOutput{StateMachineVersionArn: &v.ARN, CreationDate: &v.Created}, nil
}

func (s *StepFunctions) listVersions(_ context.Context, in *sfn.ListStateMachineVersionsInput) (*sfn.ListStateMachineVersionsOutput, error) {
	arn := aws.ToString(in.StateMachineArn)
	if _, err := s.get(arn); err != nil && !wire.HasCode(err, "StateMachineDoesNotExist") {
		return nil, err
	}
	versions, err := s.versionsOf(arn)
	if err != nil {
		return nil, err
	}
	part, next, err := page(versions, func(v versionRecord) string { return v.ARN }, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &sfn.ListStateMachineVersionsOutput{StateMachineVersions: []types.StateMachineVersionListItem{}, NextToken: next}
	for _, v := range part {
		out.StateMachineVersions = append(out.StateMachineVersions, types.StateMachineVersionListItem{StateMachineVersionArn: &v.ARN, CreationDate: &v.Created})
	}
	return out, nil
}

func (s *StepFunctions) deleteVersion(_ context.Context, in *sfn.DeleteStateMachineVersionInput) (*sfn.DeleteStateMachineVersionOutput, error) {
	arn := aws.ToString(in.StateMachineVersionArn)
	machine, qualifier := splitQualified(arn)
	if !isNumber(qualifier) || !strings.HasPrefix(arn, s.arn("stateMachine", "")) {
		return nil, wire.Errorf("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: %s'", arn)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	aliases, err := s.aliasesOf(machine)
	if err != nil {
		return nil, err
	}
	var by []string
	for _, a := range aliases {
		for _, r := range a.Routes {
			if r.Version == arn {
				by = append(by, a.Name)
			}
		}
	}
	if len(by) > 0 {
		return nil, wire.Errorf("ConflictException", "Version to be deleted must not be referenced by an alias. Current list of aliases referencing this version: [%s]", strings.Join(by, ", "))
	}
	return &sfn.DeleteStateMachineVersionOutput{}, s.versions.Delete(arn)
}

// removeVersions takes a deleted machine's versions and aliases away.
func (s *StepFunctions) removeVersions(machine string) error {
	versions, err := s.versionsOf(machine)
	if err != nil {
		return err
	}
	aliases, err := s.aliasesOf(machine)
	if err != nil {
		return err
	}
	for _, a := range aliases {
		if err := s.aliases.Delete(a.ARN); err != nil {
			return err
		}
	}
	for _, v := range versions {
		if err := s.versions.Delete(v.ARN); err != nil {
			return err
		}
	}
	return nil
}
