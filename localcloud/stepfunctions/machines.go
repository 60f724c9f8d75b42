package stepfunctions

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

type machineRecord struct {
	ARN      string            `json:"arn"`
	Name     string            `json:"name"`
	Digest   string            `json:"digest"`
	RoleARN  string            `json:"role"`
	Created  time.Time         `json:"created"`
	Updated  time.Time         `json:"updated"`
	Revision string            `json:"revision,omitempty"`
	Tracing  bool              `json:"tracing,omitempty"`
	Deleting bool              `json:"deleting,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`

	LastVersion int64 `json:"lastVersion,omitempty"` // the number that was given out last
}

func (s *StepFunctions) addMachineOps() {
	byARN := func(arn *string) []string { return []string{aws.ToString(arn)} }
	s.svc.Add(
		wire.On(wire.Op("CreateStateMachine", s.createStateMachine), func(in *sfn.CreateStateMachineInput) []string {
			return []string{s.arn("stateMachine", aws.ToString(in.Name))}
		}),
		wire.On(wire.Op("UpdateStateMachine", s.updateStateMachine), func(in *sfn.UpdateStateMachineInput) []string { return byARN(in.StateMachineArn) }),
		wire.On(wire.Op("DeleteStateMachine", s.deleteStateMachine), func(in *sfn.DeleteStateMachineInput) []string { return byARN(in.StateMachineArn) }),
		wire.On(wire.Op("DescribeStateMachine", s.describeStateMachine), func(in *sfn.DescribeStateMachineInput) []string { return byARN(in.StateMachineArn) }),
		wire.On(wire.Op("DescribeStateMachineForExecution", s.describeStateMachineForExecution), func(in *sfn.DescribeStateMachineForExecutionInput) []string { return byARN(in.ExecutionArn) }),
		wire.Op("ListStateMachines", s.listStateMachines),
		wire.Op("TestState", s.testState),
		wire.Op("ValidateStateMachineDefinition", s.validateDefinition),
		wire.On(wire.Op("TagResource", s.tagResource), func(in *sfn.TagResourceInput) []string { return byARN(in.ResourceArn) }),
		wire.On(wire.Op("UntagResource", s.untagResource), func(in *sfn.UntagResourceInput) []string { return byARN(in.ResourceArn) }),
		wire.On(wire.Op("ListTagsForResource", s.listTags), func(in *sfn.ListTagsForResourceInput) []string { return byARN(in.ResourceArn) }),
	)
}

const forbiddenInNames = "<>{}[]?*\"#%\\^|~`$&,;:/"

// validName checks the name of a machine or execution.
func validName(name string) *wire.Error {
	bad := name == "" || utf8.RuneCountInString(name) > 80 || strings.ContainsAny(name, forbiddenInNames)
	for _, r := range name {
		bad = bad || r <= 0x20 || r >= 0x7f && r <= 0x9f || r == utf8.RuneError
	}
	if bad {
		return wire.Errorf("InvalidName", "Invalid Name: '%s'", name)
	}
	return nil
}

func validRole(arn string) *wire.Error {
	if !strings.HasPrefix(arn, "arn:aws:iam::") || !strings.Contains(arn, ":role/") {
		return wire.Errorf("InvalidArn", "Invalid Role Arn: 'Role ARN is not a valid IAM role: %s'", arn)
	}
	return nil
}

// problemsOf parses a definition and checks what its tasks call.
func (s *StepFunctions) problemsOf(definition string) (*asl.Machine, []asl.Problem, error) {
	m, err := asl.Parse([]byte(definition))
	var bad *asl.DefinitionError
	if errors.As(err, &bad) {
		return nil, bad.Problems, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var problems []asl.Problem
	for _, t := range m.Tasks() {
		if err := s.checkResource(t.Resource); err != nil {
			code := asl.Unsupported
			if errors.As(err, new(*asl.UnrecognizedError)) { // by AWS too
				code = asl.SchemaFailed
			}
			problems = append(problems, asl.Problem{Code: code, Message: err.Error(), Location: t.Location + "/Resource"})
			continue
		}
		problems = append(problems, s.parameterProblems(t)...)
	}
	return m, problems, nil
}

// define checks and keeps a definition and returns its digest.
func (s *StepFunctions) define(definition, roleARN string) (string, error) {
	m, problems, err := s.problemsOf(definition)
	if err != nil {
		return "", err
	}
	if len(problems) > 0 {
		text := (&asl.DefinitionError{Problems: problems}).Error()
		for _, p := range problems {
			if p.Code == asl.Unsupported {
				s.o.Log.Error("definition uses what the local cloud does not support", "problem", p.Message, "location", p.Location)
			}
		}
		return "", wire.Errorf("InvalidDefinition", "Invalid State Machine Definition: '%s'", text)
	}
	if err := s.checkManagedRules(m, roleARN); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(definition))
	digest := hex.EncodeToString(sum[:])
	if _, known := s.parsed.Load(digest); !known {
		if err := s.definitions.Put(digest, definition); err != nil {
			return "", err
		}
		s.parsed.Store(digest, m)
	}
	return digest, nil
}

// refuse answers settings that the local cloud does not have.
func refuse(logging *types.LoggingConfiguration, encryption *types.EncryptionConfiguration, publish bool, versionDescription *string) *wire.Error {
	switch {
	case logging != nil && logging.Level != "" && logging.Level != types.LogLevelOff:
		return wire.Errorf("InvalidLoggingConfiguration", "the local cloud does not support logging of state machines (level %s)", logging.Level)
	case encryption != nil && encryption.Type == types.EncryptionTypeCustomerManagedKmsKey:
		return wire.Errorf("InvalidEncryptionConfiguration", "the local cloud does not support customer managed keys")
	case !publish && versionDescription != nil:
		return wire.Errorf("ValidationException", "Version description can only be set when publish is true")
	}
	return nil
}

func (s *StepFunctions) createStateMachine(_ context.Context, in *sfn.CreateStateMachineInput) (*sfn.CreateStateMachineOutput, error) {
	name := aws.ToString(in.Name)
	if err := validName(name); err != nil {
		return nil, err
	}
	if err := validRole(aws.ToString(in.RoleArn)); err != nil {
		return nil, err
	}
	if in.Type == types.StateMachineTypeExpress {
		return nil, wire.Errorf("StateMachineTypeNotSupported", "the local cloud does not support Express workflows")
	}
	if err := refuse(in.LoggingConfiguration, in.EncryptionConfiguration, in.Publish, in.VersionDescription); err != nil {
		return nil, err
	}
	digest, err := s.define(aws.ToString(in.Definition), aws.ToString(in.RoleArn))
	if err != nil {
		return nil, err
	}
	tags, bad := tagMap(nil, in.Tags)
	if bad != nil {
		return nil, bad
	}
	now := s.o.Clock.Now()
	rec := machineRecord{
		ARN: s.arn("stateMachine", name), Name: name, Digest: digest, RoleARN: aws.ToString(in.RoleArn),
		Created: now, Updated: now, Tags: tags, Tracing: in.TracingConfiguration != nil && in.TracingConfiguration.Enabled,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, exists, err := s.machines.Get(rec.ARN)
	switch {
	case err != nil:
		return nil, err
	case exists && old.Deleting:
		return nil, wire.Errorf("StateMachineDeleting", "State Machine is being deleted: '%s'", rec.ARN)
	case exists && (old.Digest != digest || old.RoleARN != rec.RoleARN):
		return nil, wire.Errorf("StateMachineAlreadyExists", "State Machine Already Exists: '%s'", rec.ARN)
	case exists:
		rec = old
	default:
		if err := s.machines.Put(rec.ARN, rec); err != nil {
			return nil, err
		}
	}
	out := &sfn.CreateStateMachineOutput{StateMachineArn: &rec.ARN, CreationDate: &rec.Created}
	if in.Publish {
		v, err := s.publish(rec, aws.ToString(in.VersionDescription))
		if err != nil {
			return nil, err
		}
		out.StateMachineVersionArn = &v.ARN
	}
	return out, nil
}

// get finds a machine by ARN.
func (s *StepFunctions) get(arn string) (machineRecord, error) {
	if !strings.HasPrefix(arn, s.arn("stateMachine", "")) {
		return machineRecord{}, wire.Errorf("InvalidArn", "Invalid Arn: 'Invalid ARN prefix: %s'", arn)
	}
	m, ok, err := s.machines.Get(arn)
	if err == nil && !ok {
		return m, wire.Errorf("StateMachineDoesNotExist", "State Machine Does Not Exist: '%s'", arn)
	}
	return m, err
}

func (s *StepFunctions) updateStateMachine(_ context.Context, in *sfn.UpdateStateMachineInput) (*sfn.UpdateStateMachineOutput, error) {
	if err := refuse(in.LoggingConfiguration, in.EncryptionConfiguration, in.Publish, in.VersionDescription); err != nil {
		return nil, err
	}
	if in.Definition == nil && in.RoleArn == nil && in.LoggingConfiguration == nil && in.TracingConfiguration == nil && in.EncryptionConfiguration == nil {
		return nil, wire.Errorf("MissingRequiredParameter", "Either the definition, the role ARN, the LoggingConfiguration, or the TracingConfiguration must be specified")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.get(aws.ToString(in.StateMachineArn))
	if err != nil {
		return nil, err
	}
	if m.Deleting {
		return nil, wire.Errorf("StateMachineDeleting", "State Machine is being deleted: '%s'", m.ARN)
	}
	before := m
	if in.RoleArn != nil {
		if err := validRole(*in.RoleArn); err != nil {
			return nil, err
		}
		m.RoleARN = *in.RoleArn
	}
	if in.Definition != nil {
		if m.Digest, err = s.define(*in.Definition, m.RoleARN); err != nil {
			return nil, err
		}
	}
	if in.TracingConfiguration != nil {
		m.Tracing = in.TracingConfiguration.Enabled
	}
	m.Updated = s.o.Clock.Now()
	if m.Revision == "" || m.Digest != before.Digest || m.RoleARN != before.RoleARN || m.Tracing != before.Tracing {
		m.Revision = uuid.NewString()
	}
	if err := s.machines.Put(m.ARN, m); err != nil {
		return nil, err
	}
	out := &sfn.UpdateStateMachineOutput{UpdateDate: &m.Updated, RevisionId: &m.Revision}
	if in.Publish {
		v, err := s.publish(m, aws.ToString(in.VersionDescription))
		if err != nil {
			return nil, err
		}
		out.StateMachineVersionArn = &v.ARN
	}
	return out, nil
}

func (s *StepFunctions) deleteStateMachine(_ context.Context, in *sfn.DeleteStateMachineInput) (*sfn.DeleteStateMachineOutput, error) {
	arn := aws.ToString(in.StateMachineArn)
	s.mu.Lock()
	m, err := s.get(arn)
	if err == nil {
		m.Deleting = true
		err = s.machines.Put(arn, m)
	}
	s.mu.Unlock()
	if wire.HasCode(err, "StateMachineDoesNotExist") {
		return &sfn.DeleteStateMachineOutput{}, nil
	}
	if err != nil {
		return nil, err
	}
	return &sfn.DeleteStateMachineOutput{}, s.removeIfIdle(arn)
}

// removeIfIdle takes a machine that is being deleted away, with its
// executions, once none of them runs.
func (s *StepFunctions) removeIfIdle(arn string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, ok, err := s.machines.Get(arn)
	if err != nil || !ok || !m.Deleting {
		return err
	}
	for _, running := range s.engine.Running() {
		if machineOf(running) == arn {
			return nil
		}
	}
	var keys []string
	prefix := s.arn("execution", m.Name) + ":"
	for _, kind := range []string{"e/", "h/"} {
		collect := func(key string, _ rawJSON) bool { keys = append(keys, key); return true }
		if err := s.executions.Scan(kind+prefix, collect); err != nil {
			return err
		}
	}
	for _, key := range keys {
		if err := s.executions.Delete(key); err != nil {
			return err
		}
	}
	if err := s.removeVersions(arn); err != nil {
		return err
	}
	return s.machines.Delete(arn)
}

// machineOf is the state machine of an execution, by their ARNs.
func machineOf(executionARN string) string {
	parts := strings.Split(executionARN, ":")
	if len(parts) < 8 {
		return ""
	}
	return strings.Join(parts[:5], ":") + ":stateMachine:" + parts[6]
}

func (s *StepFunctions) describeStateMachine(_ context.Context, in *sfn.DescribeStateMachineInput) (*sfn.DescribeStateMachineOutput, error) {
	from, err := s.resolve(aws.ToString(in.StateMachineArn))
	if err != nil {
		return nil, err
	}
	if from.alias.ARN != "" {
		return nil, wire.Errorf("InvalidArn", "Invalid Arn: 'DescribeStateMachine takes no alias: %s'", from.alias.ARN)
	}
	m := from.chosen(nil)
	out := &sfn.DescribeStateMachineOutput{
		StateMachineArn: &m.ARN, Name: &m.Name, RoleArn: &m.RoleARN, CreationDate: &m.Created,
		Type: types.StateMachineTypeStandard, Status: types.StateMachineStatusActive,
		LoggingConfiguration:    &types.LoggingConfiguration{Level: types.LogLevelOff},
		TracingConfiguration:    &types.TracingConfiguration{Enabled: m.Tracing},
		EncryptionConfiguration: &types.EncryptionConfiguration{Type: types.EncryptionTypeAwsOwnedKey},
	}
	if m.Deleting {
		out.Status = types.StateMachineStatusDeleting
	}
	if m.Revision != "" {
		out.RevisionId = &m.Revision
	}
	if v := from.version; v.ARN != "" {
		out.StateMachineArn, out.CreationDate, out.Description = &v.ARN, &v.Created, notEmpty(v.Description)
	}
	out.Definition, out.VariableReferences, err = s.definition(m.Digest)
	return out, err
}

// definition is a text that was kept, and the variables that its states name.
func (s *StepFunctions) definition(digest string) (*string, map[string][]string, error) {
	text, ok, err := s.definitions.Get(digest)
	if err == nil && !ok {
		err = fmt.Errorf("definition %s is missing", digest)
	}
	if err != nil {
		return nil, nil, err
	}
	m, err := asl.Parse([]byte(text))
	if err != nil { // it was kept by a version that took it
		return &text, nil, nil //nolint:nilerr
	}
	return &text, m.References(), nil
}

func (s *StepFunctions) describeStateMachineForExecution(_ context.Context, in *sfn.DescribeStateMachineForExecutionInput) (*sfn.DescribeStateMachineForExecutionOutput, error) {
	e, err := s.execution(aws.ToString(in.ExecutionArn))
	if err != nil {
		return nil, err
	}
	out := &sfn.DescribeStateMachineForExecutionOutput{
		StateMachineArn: &e.Info.MachineARN, Name: &e.Info.MachineName, RoleArn: &e.Info.RoleARN, UpdateDate: &e.MachineUpdated,
		LoggingConfiguration: &types.LoggingConfiguration{Level: types.LogLevelOff},
		TracingConfiguration: &types.TracingConfiguration{},
	}
	if e.Revision != "" {
		out.RevisionId = &e.Revision
	}
	out.Definition, out.VariableReferences, err = s.definition(e.Digest)
	return out, err
}

func (s *StepFunctions) listStateMachines(_ context.Context, in *sfn.ListStateMachinesInput) (*sfn.ListStateMachinesOutput, error) {
	list := []types.StateMachineListItem{}
	err := s.machines.Scan("", func(_ string, m machineRecord) bool {
		list = append(list, types.StateMachineListItem{StateMachineArn: &m.ARN, Name: &m.Name, CreationDate: &m.Created, Type: types.StateMachineTypeStandard})
		return true
	})
	if err != nil {
		return nil, err
	}
	items, next, err := page(list, func(m types.StateMachineListItem) string { return *m.StateMachineArn }, in.MaxResults, 100, in.NextToken)
	return &sfn.ListStateMachinesOutput{StateMachines: items, NextToken: next}, err
}

func (s *StepFunctions) validateDefinition(_ context.Context, in *sfn.ValidateStateMachineDefinitionInput) (*sfn.ValidateStateMachineDefinitionOutput, error) {
	m, problems, err := s.problemsOf(aws.ToString(in.Definition))
	if err != nil {
		return nil, err
	}
	if in.Type == types.StateMachineTypeExpress {
		problems = append(problems, asl.Problem{Code: asl.Unsupported, Message: "the local cloud does not support Express workflows"})
	}
	var warnings []asl.Problem
	if m != nil && in.Severity == types.ValidateStateMachineDefinitionSeverityWarning {
		warnings = m.Warnings()
	}
	out := &sfn.ValidateStateMachineDefinitionOutput{
		Result: types.ValidateStateMachineDefinitionResultCodeOk, Diagnostics: []types.ValidateStateMachineDefinitionDiagnostic{}, Truncated: aws.Bool(false),
	}
	if len(problems) > 0 {
		out.Result = types.ValidateStateMachineDefinitionResultCodeFail
	}
	most := int(in.MaxResults)
	if most == 0 {
		most = 100
	}
	for i, p := range append(problems, warnings...) {
		if len(out.Diagnostics) == most {
			out.Truncated = aws.Bool(true)
			break
		}
		severity := types.ValidateStateMachineDefinitionSeverityError
		if i >= len(problems) {
			severity = types.ValidateStateMachineDefinitionSeverityWarning
		}
		d := types.ValidateStateMachineDefinitionDiagnostic{Severity: severity, Code: aws.String(p.Code), Message: aws.String(p.Message)}
		if p.Location != "" {
			d.Location = aws.String(p.Location)
		}
		out.Diagnostics = append(out.Diagnostics, d)
	}
	return out, nil
}
