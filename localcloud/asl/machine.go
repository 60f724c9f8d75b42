package asl

import (
	"errors"
	"fmt"
	"strings"
)

// Machine is a parsed definition.
type Machine struct {
	Comment string
	// TimeoutSeconds bounds an execution; 0 is none.
	TimeoutSeconds int64
	top            *program
	tasks          []TaskState
}

// TaskState is a Task state of a definition, however deep.
type TaskState struct {
	Name     string
	Location string // e.g. /States/Map/ItemProcessor/States/Call
	Resource Resource
	// Parameters are the names of the members that it sends, without ".$"; nil when
	// the state's input is sent as it is.
	Parameters []string
}

// Tasks lists the Task states, so that a service can refuse what it does not have.
func (m *Machine) Tasks() []TaskState { return m.tasks }

// program is a StartAt with its States: the machine, a branch, an item processor.
type program struct {
	start  string
	states map[string]*state
}

// StateType is one of the eight types of states.
type StateType string

// The types of states.
const (
	Pass     StateType = "Pass"
	Task     StateType = "Task"
	Choice   StateType = "Choice"
	Wait     StateType = "Wait"
	Succeed  StateType = "Succeed"
	Fail     StateType = "Fail"
	Parallel StateType = "Parallel"
	Map      StateType = "Map"
)

type state struct {
	name string
	kind StateType
	next string
	end  bool

	input, output  ioPath
	parameters     *template // Parameters; ItemSelector of a Map
	result         *template // a Pass state's Result: constant
	resultSelector *template
	resultPath     *Path
	discard        bool // ResultPath: null
	assign         *template

	resource             *Resource
	timeout, heartbeat   int64
	timeoutPath, beatsAt *Path
	retry                []retrier
	catch                []catcher

	rules     []rule
	otherwise string

	seconds     *int64
	timestamp   string
	secondsAt   *Path
	timestampAt *Path

	errorName, cause   string
	hasError, hasCause bool
	errorAt, causeAt   *expr

	branches      []*program // Parallel; the item processor of a Map
	items         *Path
	concurrency   int64
	concurrencyAt *Path
}

// ioPath is InputPath or OutputPath; without a path it is $.
type ioPath struct {
	path *Path
	none bool // null: an empty object
}

type retrier struct {
	errors   []string
	interval int64
	attempts int64
	backoff  float64
	maxDelay int64 // 0: none
	jitter   bool  // FULL
}

type catcher struct {
	errors     []string
	next       string
	resultPath *Path
	discard    bool
	assign     *template
}

// Resource is what a Task state calls.
type Resource struct {
	ARN string
	// Lambda says that ARN is a function's own, not a service integration.
	Lambda  bool
	Service string // "lambda", "sqs", "aws-sdk:sagemaker"; "" for Lambda
	Action  string // "invoke", without its pattern
	// Pattern is "", "waitForTaskToken", "sync" or "sync:2".
	Pattern string
}

// WaitsForToken says that the task ends with a callback, not with its call.
func (r Resource) WaitsForToken() bool { return r.Pattern == "waitForTaskToken" }

// AwaitsJob says that the task ends when what its call began has ended.
func (r Resource) AwaitsJob() bool { return r.Pattern == "sync" || r.Pattern == "sync:2" }

// name of the resource in the history: "invoke.waitForTaskToken".
func (r Resource) name() string {
	if r.Pattern == "" {
		return r.Action
	}
	return r.Action + "." + r.Pattern
}

// ParseResource reads the ARN of a Task state's Resource.
func ParseResource(arn string) (Resource, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" || !strings.HasPrefix(parts[1], "aws") {
		return Resource{}, errors.New("Value is not a valid resource ARN") //nolint:staticcheck // AWS's words
	}
	r := Resource{ARN: arn}
	switch {
	case parts[2] == "lambda" && strings.HasPrefix(parts[5], "function:") && parts[5] != "function:":
		r.Lambda = true
		return r, nil
	case parts[2] == "states" && parts[3] == "" && parts[4] == "":
		service, action := cutLast(parts[5], ":")
		if i := strings.Index(parts[5], ".sync:2"); i > 0 {
			service, action = cutLast(parts[5][:i], ":")
			action += ".sync:2"
		}
		if service == "" || action == "" {
			return Resource{}, Unrecognized(arn)
		}
		r.Service = service
		r.Action, r.Pattern, _ = strings.Cut(action, ".")
		switch r.Pattern {
		case "", "waitForTaskToken", "sync", "sync:2":
			return r, nil
		}
		return Resource{}, Unrecognized(arn)
	case parts[2] == "states" && strings.HasPrefix(parts[5], "activity:"):
		return Resource{}, fmt.Errorf("%w: %s", errNoActivities, arn)
	}
	return Resource{}, Unrecognized(arn)
}

var errNoActivities = errors.New("activities are not supported")

// UnrecognizedError is a resource that AWS does not have, in its words.
type UnrecognizedError struct{ arn string }

func (e *UnrecognizedError) Error() string {
	return "The resource provided " + e.arn + " is not recognized. The value is not a valid resource ARN, or the resource is not available in this region."
}

// Unrecognized says that AWS has no such resource.
func Unrecognized(arn string) error { return &UnrecognizedError{arn} }

func cutLast(s, sep string) (string, string) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s
	}
	return s[:i], s[i+len(sep):]
}
