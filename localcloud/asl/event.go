package asl

import "time"

// Event is one event of an execution's history. Which fields are set follows
// from the type, as in AWS's details of that type.
type Event struct {
	ID       int64     `json:"id"`
	Previous int64     `json:"prev,omitempty"`
	Time     time.Time `json:"time"`
	Type     string    `json:"type"`

	Name         string            `json:"name,omitempty"` // of a state, or of a Map state for its iterations
	Input        *string           `json:"input,omitempty"`
	Output       *string           `json:"output,omitempty"`
	Error        *string           `json:"error,omitempty"`
	Cause        *string           `json:"cause,omitempty"`
	Assigned     map[string]string `json:"assigned,omitempty"` // variables set, as JSON text
	RoleARN      string            `json:"role,omitempty"`
	Resource     string            `json:"resource,omitempty"`
	ResourceType string            `json:"rtype,omitempty"`
	Region       string            `json:"region,omitempty"`
	Parameters   *string           `json:"params,omitempty"`
	Timeout      *int64            `json:"timeout,omitempty"` // seconds
	Heartbeat    *int64            `json:"beat,omitempty"`    // seconds
	Index        *int64            `json:"index,omitempty"`   // of an iteration
	Length       *int64            `json:"length,omitempty"`  // of a Map state's items
	Redrives     *int64            `json:"redrives,omitempty"`
}

// The types of events that are not made of a state's type.
const (
	ExecutionStarted   = "ExecutionStarted"
	ExecutionSucceeded = "ExecutionSucceeded"
	ExecutionFailed    = "ExecutionFailed"
	ExecutionAborted   = "ExecutionAborted"
	ExecutionTimedOut  = "ExecutionTimedOut"
	ExecutionRedriven  = "ExecutionRedriven"

	TaskScheduled = "TaskScheduled"
	TaskStarted   = "TaskStarted"
	TaskSubmitted = "TaskSubmitted"
	// TaskSubmitFailed is a waiting task whose request was refused.
	TaskSubmitFailed = "TaskSubmitFailed"
	TaskSucceeded    = "TaskSucceeded"
	TaskFailed       = "TaskFailed"
	TaskTimedOut     = "TaskTimedOut"

	LambdaFunctionScheduled = "LambdaFunctionScheduled"
	LambdaFunctionStarted   = "LambdaFunctionStarted"
	LambdaFunctionSucceeded = "LambdaFunctionSucceeded"
	LambdaFunctionFailed    = "LambdaFunctionFailed"
	LambdaFunctionTimedOut  = "LambdaFunctionTimedOut"

	ParallelStateStarted   = "ParallelStateStarted"
	ParallelStateSucceeded = "ParallelStateSucceeded"
	ParallelStateFailed    = "ParallelStateFailed"
	MapStateStarted        = "MapStateStarted"
	MapStateSucceeded      = "MapStateSucceeded"
	MapStateFailed         = "MapStateFailed"
	MapIterationStarted    = "MapIterationStarted"
	MapIterationSucceeded  = "MapIterationSucceeded"
	MapIterationFailed     = "MapIterationFailed"
	MapIterationAborted    = "MapIterationAborted"
	TaskStateAborted       = "TaskStateAborted"
	WaitStateAborted       = "WaitStateAborted"
	ParallelStateAborted   = "ParallelStateAborted"
	MapStateAborted        = "MapStateAborted"
)

// The error names of the language.
const (
	errAll        = "States.ALL"
	errTaskFailed = "States.TaskFailed"
	errTimeout    = "States.Timeout"
	errHeartbeat  = "States.HeartbeatTimeout"
	errRuntime    = "States.Runtime"
	errIntrinsic  = "States.IntrinsicFailure"
	errResultPath = "States.ResultPathMatchFailure"
	errDataLimit  = "States.DataLimitExceeded"

	errExceedsTheSize = "The state/task '%s' returned a result with a size exceeding the maximum number of bytes service limit."
)

// MaxEvents is the most events that a history has; an execution that needs
// more fails with the last of them.
const MaxEvents = 25_000

// MaxPayload is the most bytes of any input, output or result.
const MaxPayload = 262_144

// Failure is a named error with its cause; either may be absent.
type Failure struct {
	Error string `json:"error,omitempty"`
	Cause string `json:"cause,omitempty"`
	// uncaught failures pass every Retry and Catch.
	uncaught bool
	// silent says that a task gave no heartbeat in time; told, that somebody failed it:
	// a catcher gets null for what was left out then.
	silent, told bool
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
