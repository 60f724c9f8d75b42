package events

// Source and detail-type of Step Functions' event.
const (
	SourceStates        = "aws.states"
	TypeExecutionStatus = "Step Functions Execution Status Change"
)

// The states of an execution.
const (
	ExecutionRunning   = "RUNNING"
	ExecutionSucceeded = "SUCCEEDED"
	ExecutionFailed    = "FAILED"
	ExecutionTimedOut  = "TIMED_OUT"
	ExecutionAborted   = "ABORTED"
)

// ExecutionStatusChange tells that an execution began or ended. Input and
// output may be left out when they are large: readers go by the name.
type ExecutionStatusChange struct {
	ExecutionARN    string `json:"executionArn"`
	StateMachineARN string `json:"stateMachineArn"`
	Name            string `json:"name"`
	Status          string `json:"status"`
	Stopped         Time   `json:"stopDate"`
	Error           string `json:"error"`
	Cause           string `json:"cause"`
}

// Ended reports whether the execution is over.
func (d ExecutionStatusChange) Ended() bool {
	switch d.Status {
	case ExecutionSucceeded, ExecutionFailed, ExecutionTimedOut, ExecutionAborted:
		return true
	}
	return false
}

func (d ExecutionStatusChange) validate() error {
	return require("executionArn", d.ExecutionARN, "name", d.Name, "status", d.Status)
}

// ExecutionEndedPattern matches the ends of a state machine's executions.
func ExecutionEndedPattern(stateMachineARN any) Pattern {
	return Pattern{
		"source":      []any{SourceStates},
		"detail-type": []any{TypeExecutionStatus},
		"detail": map[string]any{
			"stateMachineArn": []any{stateMachineARN},
			"status":          []any{ExecutionSucceeded, ExecutionFailed, ExecutionTimedOut, ExecutionAborted},
		},
	}
}
