package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

type rawJSON = json.RawMessage

// execution is an execution as kept.
type execution struct {
	Info           asl.Info     `json:"info"`
	Input          string       `json:"input"`
	Digest         string       `json:"digest"`
	MachineUpdated time.Time    `json:"machineUpdated"`
	Revision       string       `json:"revision,omitempty"`
	Trace          string       `json:"trace,omitempty"`
	Status         asl.Status   `json:"status"`
	Stopped        time.Time    `json:"stopped,omitzero"`
	Output         string       `json:"output,omitempty"`
	Failure        *asl.Failure `json:"failure,omitempty"`
	Snapshot       rawJSON      `json:"snapshot,omitempty"`
	Announced      bool         `json:"announced,omitempty"` // its end, to EventBridge
	LastEvent      int64        `json:"lastEvent,omitempty"`
	RedriveCount   int32        `json:"redriveCount,omitempty"`
	Redrives       []redrive    `json:"redrives,omitempty"` // the last ones
	Version        string       `json:"version,omitempty"`  // ARN, when it was started by one
	Alias          string       `json:"alias,omitempty"`
}

func (s *StepFunctions) addExecutionOps() {
	byARN := func(arn *string) []string { return []string{aws.ToString(arn)} }
	s.svc.Add(
		wire.On(wire.Op("StartExecution", s.startExecution), func(in *sfn.StartExecutionInput) []string { return byARN(in.StateMachineArn) }),
		wire.On(wire.Op("StopExecution", s.stopExecution), func(in *sfn.StopExecutionInput) []string { return byARN(in.ExecutionArn) }),
		wire.On(wire.Op("RedriveExecution", s.redriveExecution), func(in *sfn.RedriveExecutionInput) []string { return byARN(in.ExecutionArn) }),
		wire.On(wire.Op("DescribeExecution", s.describeExecution), func(in *sfn.DescribeExecutionInput) []string { return byARN(in.ExecutionArn) }),
		wire.On(wire.Op("ListExecutions", s.listExecutions), func(in *sfn.ListExecutionsInput) []string { return byARN(in.StateMachineArn) }),
		wire.On(wire.Op("GetExecutionHistory", s.getExecutionHistory), func(in *sfn.GetExecutionHistoryInput) []string { return byARN(in.ExecutionArn) }),
	)
}

// execution finds an execution by ARN.
func (s *StepFunctions) execution(arn string) (execution, error) {
	var e execution
	if !strings.HasPrefix(arn, s.arn("execution", "")) {
		return e, wire.Errorf("InvalidArn", "Invalid Arn: 'Invalid ARN prefix: %s'", arn)
	}
	raw, ok, err := s.executions.Get("e/" + arn)
	if err != nil {
		return e, err
	}
	if !ok {
		return e, wire.Errorf("ExecutionDoesNotExist", "Execution Does Not Exist: '%s'", arn)
	}
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, fmt.Errorf("read execution %s: %w", arn, err)
	}
	return e, nil
}

// validInput says why an input is no JSON.
func validInput(input string) error {
	if json.Valid([]byte(input)) {
		return nil
	}
	fault := "Invalid execution input."
	if input != "" {
		fault = asl.FaultInJSON(input)
	}
	return wire.Errorf("InvalidExecutionInput", "Invalid State Machine Execution Input: '%s'", fault)
}

func (s *StepFunctions) startExecution(_ context.Context, in *sfn.StartExecutionInput) (*sfn.StartExecutionOutput, error) {
	name := aws.ToString(in.Name)
	if in.Name == nil {
		name = uuid.NewString()
	}
	if err := validName(name); err != nil {
		return nil, err
	}
	input := aws.ToString(in.Input)
	if in.Input == nil {
		input = "{}"
	}
	if len(input) > asl.MaxPayload {
		return nil, validation("input", "…", "Member must have length less than or equal to 262144")
	}
	if err := validInput(input); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	from, err := s.resolve(aws.ToString(in.StateMachineArn))
	if err != nil {
		return nil, err
	}
	m := from.chosen(rand.Float64)
	if m.Deleting {
		return nil, wire.Errorf("StateMachineDeleting", "State Machine is being deleted: '%s'", m.ARN)
	}
	arn := s.arn("execution", m.Name+":"+name)
	switch old, err := s.execution(arn); {
	case err == nil && old.Status == asl.Running && old.Input == input:
		return &sfn.StartExecutionOutput{ExecutionArn: &old.Info.ARN, StartDate: &old.Info.Started}, nil
	case err == nil:
		return nil, wire.Errorf("ExecutionAlreadyExists", "Execution Already Exists: '%s'", arn)
	case !wire.HasCode(err, "ExecutionDoesNotExist"):
		return nil, err
	}
	program, err := s.machine(m.Digest)
	if err != nil {
		return nil, err
	}
	e := execution{
		Info: asl.Info{ARN: arn, Name: name, MachineARN: m.ARN, MachineName: m.Name, RoleARN: m.RoleARN, Region: s.o.Region,
			Started: s.o.Clock.Now().Truncate(time.Millisecond)},
		Input: input, Digest: m.Digest, MachineUpdated: m.Updated, Revision: m.Revision, Trace: aws.ToString(in.TraceHeader), Status: asl.Running,
		Version: from.version.ARN, Alias: from.alias.ARN,
	}
	s.starting(e)
	if err := s.engine.Start(program, e.Info, input); err != nil {
		s.started(arn)
		return nil, err
	}
	return &sfn.StartExecutionOutput{ExecutionArn: &e.Info.ARN, StartDate: &e.Info.Started}, nil
}

func (s *StepFunctions) stopExecution(_ context.Context, in *sfn.StopExecutionInput) (*sfn.StopExecutionOutput, error) {
	arn := aws.ToString(in.ExecutionArn)
	if _, err := s.execution(arn); err != nil {
		return nil, err
	}
	err := s.engine.Stop(arn, aws.ToString(in.Error), aws.ToString(in.Cause))
	if err != nil && !errors.Is(err, asl.ErrNotRunning) {
		return nil, err
	}
	e, err := s.execution(arn)
	if err != nil {
		return nil, err
	}
	return &sfn.StopExecutionOutput{StopDate: &e.Stopped}, nil
}

func (s *StepFunctions) describeExecution(_ context.Context, in *sfn.DescribeExecutionInput) (*sfn.DescribeExecutionOutput, error) {
	e, err := s.execution(aws.ToString(in.ExecutionArn))
	if err != nil {
		return nil, err
	}
	out := &sfn.DescribeExecutionOutput{
		ExecutionArn: &e.Info.ARN, StateMachineArn: &e.Info.MachineARN, Name: &e.Info.Name,
		Status: types.ExecutionStatus(e.Status), StartDate: &e.Info.Started, RedriveCount: &e.RedriveCount, RedriveDate: e.redriven(),
		StateMachineVersionArn: notEmpty(e.Version), StateMachineAliasArn: notEmpty(e.Alias),
	}
	out.RedriveStatus, out.RedriveStatusReason = s.redriveStatus(e)
	if in.IncludedData != types.IncludedDataMetadataOnly {
		out.Input, out.InputDetails = &e.Input, &types.CloudWatchEventsExecutionDataDetails{Included: true}
	}
	if e.Trace != "" {
		out.TraceHeader = &e.Trace
	}
	if e.Status == asl.Running {
		return out, nil
	}
	out.StopDate = &e.Stopped
	if in.IncludedData == types.IncludedDataMetadataOnly {
		return out, nil
	}
	if e.Status == asl.Succeeded {
		out.Output, out.OutputDetails = &e.Output, &types.CloudWatchEventsExecutionDataDetails{Included: true}
	}
	if f := e.Failure; f != nil {
		out.Error, out.Cause = notEmpty(f.Error), notEmpty(f.Cause)
	}
	return out, nil
}

func notEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (s *StepFunctions) listExecutions(_ context.Context, in *sfn.ListExecutionsInput) (*sfn.ListExecutionsOutput, error) {
	switch {
	case in.MapRunArn != nil:
		return nil, wire.Errorf("ValidationException", "the local cloud has no map runs, whose executions could be listed")
	case in.StateMachineArn == nil:
		return nil, wire.Errorf("ValidationException", "Must provide a StateMachine ARN or MapRun ARN")
	}
	from, err := s.resolve(aws.ToString(in.StateMachineArn))
	if err != nil {
		return nil, err
	}
	m := from.machine
	list := []types.ExecutionListItem{}
	err = s.executions.Scan("e/"+s.arn("execution", m.Name)+":", func(_ string, raw rawJSON) bool {
		var e execution
		if json.Unmarshal(raw, &e) != nil || in.StatusFilter != "" && string(in.StatusFilter) != string(e.Status) ||
			in.RedriveFilter != "" && (in.RedriveFilter == types.ExecutionRedriveFilterRedriven) != (e.RedriveCount > 0) || !from.holds(e) {
			return true
		}
		item := types.ExecutionListItem{ExecutionArn: &e.Info.ARN, StateMachineArn: &e.Info.MachineARN, Name: &e.Info.Name,
			Status: types.ExecutionStatus(e.Status), StartDate: &e.Info.Started, RedriveCount: &e.RedriveCount, RedriveDate: e.redriven(),
			StateMachineVersionArn: notEmpty(e.Version), StateMachineAliasArn: notEmpty(e.Alias)}
		if e.Status != asl.Running {
			item.StopDate = &e.Stopped
		}
		list = append(list, item)
		return true
	})
	if err != nil {
		return nil, err
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].StartDate.After(*list[j].StartDate) })
	items, next, err := page(list, func(e types.ExecutionListItem) string { return *e.ExecutionArn }, in.MaxResults, 100, in.NextToken)
	return &sfn.ListExecutionsOutput{Executions: items, NextToken: next}, err
}

func (s *StepFunctions) getExecutionHistory(_ context.Context, in *sfn.GetExecutionHistoryInput) (*sfn.GetExecutionHistoryOutput, error) {
	arn := aws.ToString(in.ExecutionArn)
	if _, err := s.execution(arn); err != nil {
		return nil, err
	}
	events, err := s.events(arn)
	if err != nil {
		return nil, err
	}
	if in.ReverseOrder {
		for i, j := 0, len(events)-1; i < j; i, j = i+1, j-1 {
			events[i], events[j] = events[j], events[i]
		}
	}
	part, next, err := page(events, func(e asl.Event) string { return strconv.FormatInt(e.ID, 10) }, in.MaxResults, 100, in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &sfn.GetExecutionHistoryOutput{Events: make([]types.HistoryEvent, len(part)), NextToken: next}
	data := in.IncludeExecutionData == nil || *in.IncludeExecutionData
	for i, e := range part {
		out.Events[i] = historyEvent(e, data)
	}
	return out, nil
}

// events reads an execution's history.
func (s *StepFunctions) events(arn string) ([]asl.Event, error) {
	var events []asl.Event
	var bad error
	err := s.executions.Scan("h/"+arn+"/", func(key string, raw rawJSON) bool {
		var batch []asl.Event
		if bad = json.Unmarshal(raw, &batch); bad != nil {
			bad = fmt.Errorf("read history %s: %w", key, bad)
			return false
		}
		events = append(events, batch...)
		return true
	})
	if err == nil {
		err = bad
	}
	return events, err
}
