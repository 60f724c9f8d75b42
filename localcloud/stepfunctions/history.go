package stepfunctions

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

// historyEvent is an event as GetExecutionHistory shows it. Without data,
// inputs, outputs, errors and causes are left out.
func historyEvent(e asl.Event, data bool) types.HistoryEvent {
	if !data {
		e.Input, e.Output, e.Parameters, e.Cause, e.Error, e.Assigned = nil, nil, nil, nil, nil, nil
	}
	h := types.HistoryEvent{Id: e.ID, PreviousEventId: e.Previous, Timestamp: &e.Time, Type: types.HistoryEventType(e.Type)}
	whole := &types.HistoryEventExecutionDataDetails{}
	var inputDetails, outputDetails *types.HistoryEventExecutionDataDetails
	if data {
		inputDetails, outputDetails = whole, whole
	}
	switch {
	case strings.HasSuffix(e.Type, "StateEntered"):
		h.StateEnteredEventDetails = &types.StateEnteredEventDetails{Name: &e.Name, Input: e.Input, InputDetails: inputDetails}
	case strings.HasSuffix(e.Type, "StateExited"):
		d := &types.StateExitedEventDetails{Name: &e.Name, Output: e.Output, OutputDetails: outputDetails}
		if len(e.Assigned) > 0 {
			d.AssignedVariables = e.Assigned
			d.AssignedVariablesDetails = &types.AssignedVariablesDetails{}
		}
		h.StateExitedEventDetails = d
	case strings.HasPrefix(e.Type, "Execution"):
		executionDetails(&h, e, inputDetails, outputDetails)
	case strings.HasPrefix(e.Type, "Task"):
		taskDetails(&h, e, outputDetails)
	case strings.HasPrefix(e.Type, "LambdaFunction"):
		lambdaDetails(&h, e, inputDetails, outputDetails)
	case strings.HasPrefix(e.Type, "Map"):
		mapDetails(&h, e)
	}
	return h
}

func executionDetails(h *types.HistoryEvent, e asl.Event, in, out *types.HistoryEventExecutionDataDetails) {
	switch e.Type {
	case asl.ExecutionStarted:
		h.ExecutionStartedEventDetails = &types.ExecutionStartedEventDetails{Input: e.Input, InputDetails: in, RoleArn: &e.RoleARN}
	case asl.ExecutionSucceeded:
		h.ExecutionSucceededEventDetails = &types.ExecutionSucceededEventDetails{Output: e.Output, OutputDetails: out}
	case asl.ExecutionFailed:
		h.ExecutionFailedEventDetails = &types.ExecutionFailedEventDetails{Error: e.Error, Cause: e.Cause}
	case asl.ExecutionAborted:
		h.ExecutionAbortedEventDetails = &types.ExecutionAbortedEventDetails{Error: e.Error, Cause: e.Cause}
	case asl.ExecutionRedriven:
		h.ExecutionRedrivenEventDetails = &types.ExecutionRedrivenEventDetails{RedriveCount: aws.Int32(int32(*e.Redrives))} //nolint:gosec // below the event limit
	case asl.ExecutionTimedOut:
		h.ExecutionTimedOutEventDetails = &types.ExecutionTimedOutEventDetails{Error: e.Error, Cause: e.Cause}
	}
}

func taskDetails(h *types.HistoryEvent, e asl.Event, out *types.HistoryEventExecutionDataDetails) {
	r, t := &e.Resource, &e.ResourceType
	switch e.Type {
	case asl.TaskScheduled:
		h.TaskScheduledEventDetails = &types.TaskScheduledEventDetails{Resource: r, ResourceType: t, Region: &e.Region,
			Parameters: e.Parameters, TimeoutInSeconds: e.Timeout, HeartbeatInSeconds: e.Heartbeat}
	case asl.TaskStarted:
		h.TaskStartedEventDetails = &types.TaskStartedEventDetails{Resource: r, ResourceType: t}
	case asl.TaskSubmitted:
		h.TaskSubmittedEventDetails = &types.TaskSubmittedEventDetails{Resource: r, ResourceType: t, Output: e.Output, OutputDetails: out}
	case asl.TaskSucceeded:
		h.TaskSucceededEventDetails = &types.TaskSucceededEventDetails{Resource: r, ResourceType: t, Output: e.Output, OutputDetails: out}
	case asl.TaskFailed:
		h.TaskFailedEventDetails = &types.TaskFailedEventDetails{Resource: r, ResourceType: t, Error: e.Error, Cause: e.Cause}
	case asl.TaskSubmitFailed:
		h.TaskSubmitFailedEventDetails = &types.TaskSubmitFailedEventDetails{Resource: r, ResourceType: t, Error: e.Error, Cause: e.Cause}
	case asl.TaskTimedOut:
		h.TaskTimedOutEventDetails = &types.TaskTimedOutEventDetails{Resource: r, ResourceType: t, Error: e.Error, Cause: e.Cause}
	}
}

func lambdaDetails(h *types.HistoryEvent, e asl.Event, in, out *types.HistoryEventExecutionDataDetails) {
	switch e.Type {
	case asl.LambdaFunctionScheduled:
		h.LambdaFunctionScheduledEventDetails = &types.LambdaFunctionScheduledEventDetails{Resource: &e.Resource,
			Input: e.Input, InputDetails: in, TimeoutInSeconds: e.Timeout}
	case asl.LambdaFunctionSucceeded:
		h.LambdaFunctionSucceededEventDetails = &types.LambdaFunctionSucceededEventDetails{Output: e.Output, OutputDetails: out}
	case asl.LambdaFunctionFailed:
		h.LambdaFunctionFailedEventDetails = &types.LambdaFunctionFailedEventDetails{Error: e.Error, Cause: e.Cause}
	case asl.LambdaFunctionTimedOut:
		h.LambdaFunctionTimedOutEventDetails = &types.LambdaFunctionTimedOutEventDetails{Error: e.Error, Cause: e.Cause}
	}
}

func mapDetails(h *types.HistoryEvent, e asl.Event) {
	iteration := func() *types.MapIterationEventDetails {
		return &types.MapIterationEventDetails{Name: &e.Name, Index: int32(*e.Index)} //nolint:gosec // below the payload limit
	}
	switch e.Type {
	case asl.MapStateStarted:
		h.MapStateStartedEventDetails = &types.MapStateStartedEventDetails{Length: int32(*e.Length)} //nolint:gosec // below the payload limit
	case asl.MapIterationStarted:
		h.MapIterationStartedEventDetails = iteration()
	case asl.MapIterationSucceeded:
		h.MapIterationSucceededEventDetails = iteration()
	case asl.MapIterationFailed:
		h.MapIterationFailedEventDetails = iteration()
	case asl.MapIterationAborted:
		h.MapIterationAbortedEventDetails = iteration()
	}
}
