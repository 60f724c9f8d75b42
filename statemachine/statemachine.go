// Package statemachine holds the one state machine that runs every pipeline
// (pipeline.asl.json) and the names on both of its sides: states, errors, and
// the input and output of the functions that it calls. A test holds the names
// to the definition.
package statemachine

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
)

// Definition is the state machine in the Amazon States Language (JSONPath), with
// the placeholders of Substitutions where deployed resources go.
//
//go:embed pipeline.asl.json
var Definition string

// Substitutions are the placeholders in Definition.
const (
	SubstSnapshot = "SnapshotFunction"
	SubstStartJob = "StartJobFunction"
	SubstRegister = "RegisterFunction"
	SubstEventBus = "EventBus"
)

// The states that programs know, in the order of the definition.
const (
	StateSettle        = "Settle"
	StateSnapshot      = "Snapshot"
	StatePrepare       = "Prepare"
	StateTrain         = "Train"
	StateEvaluate      = "Evaluate"
	StateRegister      = "Register"
	StateAwaitApproval = "AwaitApproval"
	StateRelease       = "Release"
	StatePrepareScores = "PrepareScores"
	StateScore         = "Score"
	StateRunFailed     = "RunFailed"
)

// Steps that are jobs; also part of the jobs' names.
const (
	StepPrepare       = "prepare"
	StepTrain         = "train"
	StepEvaluate      = "evaluate"
	StepPrepareScores = "prepare-scores"
	StepScore         = "score"
)

// Errors with which a run ends or a state is tried again. They are the names
// that the definition's Catch and Retry see.
const (
	ErrDataRejected     = "DataRejected"     // the data broke a rule; the report says which
	ErrJobFailed        = "JobFailed"        // a job's program failed
	ErrJobStopped       = "JobStopped"       // a job was stopped or ran out of time
	ErrJobInterrupted   = "JobInterrupted"   // the platform failed the job; tried again
	ErrNoModel          = "NoModel"          // a training job wrote no model
	ErrApprovalRejected = "ApprovalRejected" // a reviewer said no
	ErrApprovalExpired  = "ApprovalExpired"  // nobody decided in time
	ErrTransient        = "TransientError"   // an AWS call failed in a way that passes; tried again
	ErrInvalid          = "InvalidInput"     // what a function was given cannot work
	ErrUnexpected       = "UnexpectedError"  // anything else; a bug or a missing permission
)

// Kinds of runs, decided by Snapshot.
const (
	KindTrain   = "train"
	KindScore   = "score"
	KindRelease = "release"
	KindNoModel = "no-model"
	KindNothing = "nothing"
)

// Outcomes of runs that ended as they should.
const (
	OutcomeReleased   = "released"
	OutcomeScored     = "scored"
	OutcomeRefused    = "refused"
	OutcomeNothingNew = "nothing-new"
	OutcomeNoModel    = "no-model"
)

// Lanes: a pipeline makes new versions in one and serves in the other, so that
// a version that waits a week for its reviewer holds up no scores.
const (
	LaneTrain = "train"
	LaneServe = "serve"
)

// RunInput is what an execution is started with.
type RunInput struct {
	Pipeline string       `json:"pipeline"`
	Run      int          `json:"run"`
	Lane     string       `json:"lane"`
	Quiet    int          `json:"quiet"` // seconds
	Snapshot SettledSoFar `json:"snapshot"`
}

// SettledSoFar counts the causes that were there at the last look.
type SettledSoFar struct {
	Seen  int `json:"seen"`
	Round int `json:"round"`
}

// SnapshotInput is what the snapshot function is called with.
type SnapshotInput struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Lane     string `json:"lane"`
	Seen     int    `json:"seen"`
	Round    int    `json:"round"`
}

// SnapshotOutput is a run's plan.
type SnapshotOutput struct {
	Settled   bool           `json:"settled"`
	Seen      int            `json:"seen"`
	Round     int            `json:"round"`
	Kind      string         `json:"kind"`
	Why       string         `json:"why"`
	Recipe    string         `json:"recipe,omitempty"` // digest
	ApproveBy string         `json:"approve_by"`
	Timeouts  map[string]int `json:"timeouts"` // seconds, by step (with _ for -) and "approval"
}

// StartJobInput is what the startjob function is called with.
type StartJobInput struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Step     string `json:"step"`
	Token    string `json:"token"`
}

// StepOutput is the result of a step that is a job.
type StepOutput struct {
	Job    string         `json:"job"`
	Reused bool           `json:"reused"` // the result was known: no job ran
	Facts  map[string]any `json:"facts"`  // what the job's message says
}

// Actions of the register function.
const (
	ActionRegister = "register"
	ActionAwait    = "await"
	ActionExpire   = "expire"
	ActionRelease  = "release"
)

// RegisterInput is what the register function is called with.
type RegisterInput struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Action   string `json:"action"`
	Token    string `json:"token,omitempty"`
}

// PackageOutput is the result of Register.
type PackageOutput struct {
	ARN     string `json:"arn"`
	Version int    `json:"version"`
	Report  string `json:"report"` // S3 URI
}

// ReleaseOutput is the result of Release.
type ReleaseOutput struct {
	Version  int    `json:"version"`
	Model    string `json:"model"`
	Previous int    `json:"previous"` // 0: none
	Score    bool   `json:"score"`    // rows wait to be scored
}

// ExpireOutput is the result of Expire: the error that the run ends with, in the
// shape in which the definition keeps errors, unless a reviewer said yes while
// the wait ran out.
type ExpireOutput struct {
	Approved bool   `json:"approved"`
	Error    string `json:"Error"`
	Cause    string `json:"Cause"`
}

// Failure is an error with the name under which the state machine knows it.
type Failure struct {
	Name string // one of the Err… constants
	Err  error
}

func (f *Failure) Error() string { return f.Name + ": " + f.Err.Error() }

// Unwrap gives the error itself.
func (f *Failure) Unwrap() error { return f.Err }

// Failf makes a Failure.
func Failf(name, format string, args ...any) error {
	return &Failure{Name: name, Err: fmt.Errorf(format, args...)}
}

// FailureName is the name of the Failure in err's chain, if there is one.
func FailureName(err error) (string, bool) {
	var f *Failure
	if errors.As(err, &f) {
		return f.Name, true
	}
	return "", false
}

// PlainCause is the sentence in a cause. A function's error reaches the state
// machine as JSON, which is for programs.
func PlainCause(cause string) string {
	var failure struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal([]byte(cause), &failure) == nil && failure.Message != "" {
		return failure.Message
	}
	return cause
}
