package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Status of an execution, as AWS names it.
type Status string

// The statuses.
const (
	Running   Status = "RUNNING"
	Succeeded Status = "SUCCEEDED"
	Failed    Status = "FAILED"
	TimedOut  Status = "TIMED_OUT"
	Aborted   Status = "ABORTED"
)

// Info says which execution it is; the context object shows it.
type Info struct {
	ARN         string    `json:"arn"`
	Name        string    `json:"name"`
	MachineARN  string    `json:"machine"`
	MachineName string    `json:"machineName"`
	RoleARN     string    `json:"role"`
	Region      string    `json:"region"`
	Started     time.Time `json:"started"`
}

// Sources are what an execution needs from outside: fresh task ids (for a
// waiting task its token), UUIDs and random numbers in [0, 1).
type Sources struct {
	TaskID func(executionARN string) string
	UUID   func() string
	Rand   func() float64
}

// Execution is one run of a machine as plain data: it does no input or output
// and starts no goroutine. Feed it (Begin, Due, the task methods, Abort), then
// take what it produced. It is not safe for concurrent use.
type Execution struct {
	machine *Machine
	src     Sources
	s       saved

	ready   []*thread
	events  []Event
	volume  int // bytes of events since the last Take, about
	starts  []Call
	cancels []Call
	probe   *Probe // of a test of one state
	tasks   map[string]*thread
	ctx     *object // the part of the context object that never changes
	now     time.Time
}

// saved is what survives a restart.
type saved struct {
	Info    Info     `json:"info"`
	Input   *doc     `json:"input"`
	Status  Status   `json:"status"`
	LastID  int64    `json:"lastId"`
	Output  *doc     `json:"output,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
	Root    *thread  `json:"root,omitempty"` // also of one that ended, if not well

	Redrives int64     `json:"redrives,omitempty"`
	Redriven time.Time `json:"redriven,omitzero"`
}

// Call is a task to be run now.
type Call struct {
	ID         string // unique; the task token of a waiting task
	State      string
	Resource   Resource
	Parameters string // JSON
	Execution  Info
	// Submission is what the call was answered, when only its job is awaited now.
	Submission string
	// Again says that the call may have been made by a process that ended since.
	Again bool
}

// NewExecution makes an execution that has not begun. Input is JSON text.
func NewExecution(m *Machine, info Info, input string, src Sources) (*Execution, error) {
	in, err := parseDoc(input)
	if err != nil {
		return nil, fmt.Errorf("read input of %s: %w", info.Name, err)
	}
	if len(input) > MaxPayload {
		return nil, fmt.Errorf("read input of %s: %d bytes are more than %d", info.Name, len(input), MaxPayload)
	}
	return &Execution{machine: m, src: src, tasks: map[string]*thread{}, s: saved{Info: info, Input: in, Status: Running}}, nil
}

// Restore rebuilds an execution from Snapshot. Calls that were in flight are
// in Take again, except those of waiting tasks that were already submitted.
func Restore(m *Machine, snapshot []byte, src Sources) (*Execution, error) {
	x := &Execution{machine: m, src: src, tasks: map[string]*thread{}}
	if err := json.Unmarshal(snapshot, &x.s); err != nil {
		return nil, fmt.Errorf("read execution snapshot: %w", err)
	}
	if x.s.Root != nil {
		if err := x.relink(x.s.Root, nil, m.top); err != nil {
			return nil, fmt.Errorf("restore execution %s: %w", x.s.Info.Name, err)
		}
	}
	return x, nil
}

func (x *Execution) relink(t, parent *thread, pr *program) error {
	t.parent, t.program = parent, pr
	if t.State != "" {
		if t.st = pr.states[t.State]; t.st == nil {
			return fmt.Errorf("the definition has no state %q", t.State)
		}
	}
	switch t.Phase {
	case phaseEnter, phaseRun:
		x.ready = append(x.ready, t)
	case phaseTask:
		x.tasks[t.Task.ID] = t
		if !t.Task.Submitted || t.Task.Submission != "" {
			c := x.call(t)
			c.Again = true
			x.starts = append(x.starts, c)
		}
	}
	for _, c := range t.Children {
		if c == nil {
			continue
		}
		branch := 0
		if t.st.kind == Parallel {
			branch = c.Index
		}
		if branch >= len(t.st.branches) {
			return fmt.Errorf("the state %q has no branch %d", t.State, branch)
		}
		if err := x.relink(c, t, t.st.branches[branch]); err != nil {
			return err
		}
	}
	return nil
}

// Snapshot is the execution as JSON, for Restore.
func (x *Execution) Snapshot() ([]byte, error) { return json.Marshal(&x.s) }

// Info says which execution it is.
func (x *Execution) Info() Info { return x.s.Info }

// Status tells how it stands.
func (x *Execution) Status() Status { return x.s.Status }

// Input is the execution's input, as it was given.
func (x *Execution) Input() string { return x.s.Input.Text() }

// Output is the output of an execution that succeeded.
func (x *Execution) Output() string {
	if x.s.Output == nil {
		return ""
	}
	return x.s.Output.Text()
}

// Failure says why an execution ended without success; nil when it did not.
func (x *Execution) Failure() *Failure { return x.s.Failure }

// Produced is what an execution wants done; events and snapshot must be kept
// before any call is made.
type Produced struct {
	Events []Event
	Calls  []Call
	// Cancels are calls whose jobs nobody awaits any more.
	Cancels []Call
}

// Take returns what was produced since the last Take.
func (x *Execution) Take() Produced {
	p := Produced{x.events, x.starts, x.cancels}
	x.events, x.starts, x.cancels, x.volume = nil, nil, nil, 0
	return p
}

// maxVolume is how many bytes of events are produced before they must be
// taken: an execution that loops over much data is worked off in parts.
const maxVolume = 1 << 20

// Begin starts the execution and runs it until it waits for something, or has
// produced so much that it must be taken first: then NextDue is now.
func (x *Execution) Begin(now time.Time) {
	x.now = now
	x.s.Root = &thread{program: x.machine.top, State: x.machine.top.start, Input: x.s.Input, Phase: phaseEnter}
	if x.probe != nil && x.probe.Variables != "" {
		x.probe.given(x.s.Root)
	}
	x.emit(&x.s.Root.Prev, Event{Type: ExecutionStarted, Input: ptr(x.s.Input.Text()), RoleARN: x.s.Info.RoleARN})
	x.s.Root.Prev = 0 // AWS links the first state to 0
	x.ready = append(x.ready, x.s.Root)
	x.run()
}

// Due runs what is due at now: waits, retries, timeouts.
func (x *Execution) Due(now time.Time) {
	x.now = now
	if x.s.Status != Running {
		return
	}
	if end, ok := x.deadline(); ok && !now.Before(end) {
		x.finish(TimedOut, ExecutionTimedOut, 0, nil, &Failure{Error: errTimeout})
		return
	}
	x.timeOut(now)
	x.s.Root.each(func(t *thread) {
		if t.Phase == phaseWait && !now.Before(t.Until) {
			t.Phase = phaseRun
			x.ready = append(x.ready, t)
		}
	})
	x.run()
}

func (x *Execution) deadline() (time.Time, bool) {
	if x.machine.TimeoutSeconds == 0 {
		return time.Time{}, false
	}
	begun := x.s.Info.Started
	if x.s.Redrives > 0 {
		begun = x.s.Redriven
	}
	return begun.Add(time.Duration(x.machine.TimeoutSeconds) * time.Second), true
}

// NextDue is the earliest time at which Due has something to do.
func (x *Execution) NextDue() (at time.Time, ok bool) {
	at, limit := x.due()
	if at.IsZero() || !limit.IsZero() && limit.Before(at) {
		at = limit
	}
	return at, !at.IsZero()
}

// due tells what NextDue does by kind: when a wait or a retry's pause ends
// next, and when the time of a task or of the whole runs out; zero for neither.
func (x *Execution) due() (wait, limit time.Time) {
	if x.s.Status != Running || x.s.Root == nil {
		return wait, limit
	}
	if len(x.ready) > 0 {
		return x.now, limit
	}
	sooner := func(at *time.Time, t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(*at)) {
			*at = t
		}
	}
	limit, _ = x.deadline()
	x.s.Root.each(func(t *thread) {
		switch t.Phase {
		case phaseTask:
			sooner(&limit, t.Task.Deadline)
			sooner(&limit, t.Task.BeatBy)
		case phaseWait:
			sooner(&wait, t.Until)
		}
	})
	return wait, limit
}

// Abort stops a running execution.
func (x *Execution) Abort(now time.Time, errorName, cause string) {
	x.now = now
	if x.s.Status == Running {
		x.finish(Aborted, ExecutionAborted, 0, nil, &Failure{Error: errorName, Cause: cause})
	}
}

// ErrNoSuchTask says that no task with this id waits: it never was, it has
// ended, or its time ran out.
var ErrNoSuchTask = errors.New("no task waits under this id")

// Submitted says that a waiting task's call was accepted; output is its answer.
func (x *Execution) Submitted(now time.Time, id, output string) error {
	t, err := x.taskOf(now, id)
	if err != nil || t.Task.Submitted {
		return err
	}
	t.Task.Submitted = true
	if t.st.resource.AwaitsJob() {
		t.Task.Submission = output
	}
	x.emit(&t.Prev, Event{Type: TaskSubmitted, Output: ptr(output), Resource: t.st.resource.name(), ResourceType: t.st.resource.Service})
	x.run()
	return nil
}

// Succeed ends a task with its result, JSON text.
func (x *Execution) Succeed(now time.Time, id, output string) error {
	t, err := x.taskOf(now, id)
	if err != nil {
		return err
	}
	if f := tooLarge(t.st.resource, output); f != nil {
		x.taskFailed(t, TaskFailed, *f)
	} else if result, err := parseDoc(output); err != nil {
		x.taskFailed(t, TaskFailed, Failure{Error: errRuntime, Cause: fmt.Sprintf("The task's result is not JSON: %v", err)})
	} else {
		x.taskSucceeded(t, result)
	}
	x.run()
	return nil
}

// Fail ends a task with an error.
func (x *Execution) Fail(now time.Time, id string, f Failure) error {
	t, err := x.taskOf(now, id)
	if err != nil {
		return err
	}
	f.told = true
	x.taskFailed(t, TaskFailed, f)
	x.run()
	return nil
}

// Refused ends a waiting task whose call was not accepted.
func (x *Execution) Refused(now time.Time, id string, f Failure) error {
	t, err := x.taskOf(now, id)
	if err != nil {
		return err
	}
	x.taskFailed(t, TaskSubmitFailed, f)
	x.run()
	return nil
}

// Heartbeat gives a task its next span of time; it writes no event.
func (x *Execution) Heartbeat(now time.Time, id string) error {
	t, err := x.taskOf(now, id)
	if err == nil && t.Task.Beat > 0 {
		t.Task.BeatBy = now.Add(time.Duration(t.Task.Beat) * time.Second)
	}
	return err
}

// taskOf finds a waiting task; one whose time has run out does not wait.
func (x *Execution) taskOf(now time.Time, id string) (*thread, error) {
	x.now = now
	t := x.tasks[id]
	if t == nil || x.s.Status != Running {
		return nil, ErrNoSuchTask
	}
	if late, _ := t.Task.expired(now); late {
		return nil, ErrNoSuchTask
	}
	return t, nil
}

// emit adds an event after *prev and moves *prev on.
func (x *Execution) emit(prev *int64, e Event) { *prev = x.note(*prev, e) }

// note adds an event after prev and returns its id.
func (x *Execution) note(prev int64, e Event) int64 {
	if x.s.Status != Running {
		return prev
	}
	if x.s.LastID == MaxEvents-1 && !terminal(e.Type) {
		cause := fmt.Sprintf("The execution reached the maximum number of history events (%d).", MaxEvents)
		x.finish(Failed, ExecutionFailed, prev, nil, &Failure{Error: errRuntime, Cause: cause})
		return prev
	}
	x.s.LastID++
	e.ID, e.Previous, e.Time = x.s.LastID, prev, x.now
	x.events = append(x.events, e)
	x.volume += 256
	for _, text := range []*string{e.Input, e.Output, e.Parameters, e.Cause} {
		if text != nil {
			x.volume += len(*text)
		}
	}
	return e.ID
}

func terminal(kind string) bool {
	return kind == ExecutionSucceeded || kind == ExecutionFailed || kind == ExecutionAborted || kind == ExecutionTimedOut
}

// finish ends the execution, once: nothing runs, waits or is awaited after it.
func (x *Execution) finish(status Status, kind string, prev int64, output *doc, f *Failure) {
	if x.s.Status != Running {
		return
	}
	e := Event{Type: kind}
	if output != nil {
		e.Output = ptr(output.Text())
	}
	if f != nil {
		e.Error, e.Cause = optional(f.Error), optional(f.Cause)
	}
	x.note(prev, e)
	x.s.Status, x.s.Output, x.s.Failure = status, output, f
	if status == TimedOut {
		x.s.Failure = nil // AWS tells it in the event only
	}
	if x.s.Root != nil {
		x.stop(x.s.Root) // a redrive goes on from here
	}
	if status == Succeeded {
		x.s.Root = nil
	}
	x.ready, x.starts = nil, nil
	x.tasks = map[string]*thread{}
}

// run steps the ready threads in turn until all wait, or there is much to take.
func (x *Execution) run() {
	for len(x.ready) > 0 && x.s.Status == Running && x.volume < maxVolume {
		t := x.ready[0]
		x.ready = x.ready[1:]
		if t.Phase == phaseEnter {
			x.enter(t)
		} else if t.Phase == phaseRun {
			x.execute(t)
		}
	}
}

func ptr[T any](v T) *T { return &v }
