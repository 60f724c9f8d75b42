package asl

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Probe is a test of a single state: what it is given, and what came of it.
type Probe struct {
	Input     string
	Variables string // a JSON object; "" is none
	Context   string // the context object instead of the true one; "" is the true one
	// Mock stands for what a Task, Parallel or Map state would do; nil does it.
	Mock    *Mock
	Retries int64 // that went before, of the retrier that matches

	Ended    string // SUCCEEDED, FAILED, RETRIABLE or CAUGHT_ERROR; "" while it runs
	Output   string
	Failure  *Failure
	Next     string
	Stages   map[string]string // by the names of AWS's inspection data
	Matched  int               // index of the retrier or catcher
	Pause    float64           // seconds until the retry
	Assigned string            // all variables at the end, as a JSON object

	context any
}

// Mock is a result, or a failure.
type Mock struct {
	Result  string
	Failure *Failure
}

// How a probed state ended.
const (
	ProbeSucceeded = "SUCCEEDED"
	ProbeFailed    = "FAILED"
	ProbeRetriable = "RETRIABLE"
	ProbeCaught    = "CAUGHT_ERROR"
)

// ErrNoSuchState says that a definition has no state of the name that was asked for.
var ErrNoSuchState = errors.New("State not found in definition") //nolint:staticcheck // AWS's words

// ParseState reads the definition of one state, or with a name that state of a
// whole machine. The machine returned starts there, for NewProbe only. The
// error is a *DefinitionError or ErrNoSuchState.
func ParseState(definition []byte, name string) (*Machine, error) {
	if name != "" {
		m, err := Parse(definition)
		if err != nil {
			return nil, err
		}
		pr := m.top.holding(name)
		if pr == nil {
			return nil, ErrNoSuchState
		}
		return &Machine{top: &program{start: name, states: pr.states}}, nil
	}
	obj, problem := definitionIn(string(definition))
	if problem != nil {
		return nil, &DefinitionError{[]Problem{*problem}}
	}
	const own = "StateName"
	p := &parser{machine: &Machine{}, names: map[string]bool{own: true}}
	st := p.state(own, p.reader("/States/"+own, obj))
	if len(p.problems) > 0 {
		return nil, p.problemsInOrder()
	}
	p.machine.top = &program{start: own, states: map[string]*state{own: st}}
	return p.machine, nil
}

// holding finds the program that has a state, however deep.
func (pr *program) holding(name string) *program {
	if pr.states[name] != nil {
		return pr
	}
	for _, k := range sortedKeys(pr.states) {
		for _, b := range pr.states[k].branches {
			if found := b.holding(name); found != nil {
				return found
			}
		}
	}
	return nil
}

// First is the type of the state that the machine starts with, and what it
// calls when it is a Task.
func (m *Machine) First() (StateType, *Resource) {
	st := m.top.states[m.top.start]
	return st.kind, st.resource
}

// Branches is how many branches that state has, when it is a Parallel.
func (m *Machine) Branches() int {
	return len(m.top.states[m.top.start].branches)
}

// NewProbe makes an execution of one state, which ends when the state is left,
// would be retried, or fails. Feed it like any other.
func NewProbe(m *Machine, info Info, p *Probe, src Sources) (*Execution, error) {
	x, err := NewExecution(m, info, p.Input, src)
	if err != nil {
		return nil, err
	}
	p.Stages = map[string]string{}
	if p.Context != "" {
		if p.context, err = decode(p.Context, false); err != nil {
			return nil, fmt.Errorf("read context object: %w", err)
		}
	}
	if p.Variables != "" {
		v, err := decode(p.Variables, false)
		if err != nil {
			return nil, fmt.Errorf("read variables: %w", err)
		}
		if _, ok := v.(*object); !ok {
			return nil, fmt.Errorf("read variables: %s is no object", p.Variables)
		}
	}
	x.probe = p
	return x, nil
}

// given puts the probe's variables into the root thread.
func (p *Probe) given(t *thread) {
	v, err := decode(p.Variables, false)
	if err != nil {
		return
	}
	t.Vars = map[string]*doc{}
	values := v.(*object) // NewProbe looked
	for i, k := range values.names {
		t.Vars[k] = newDoc(values.values[i])
	}
}

// stage notes a step of the probed state's data flow.
func (x *Execution) stage(t *thread, name string, d *doc) {
	if x.probe != nil && t.parent == nil {
		x.probe.Stages[name] = d.Text()
	}
}

// probed ends the probe; false when t is not what is probed.
func (x *Execution) probed(t *thread, how string, output *doc, next string, f *Failure) bool {
	p := x.probe
	if p == nil || t.parent != nil {
		return false
	}
	if p.Ended == "" { // a caught error was told before its state was left
		p.Ended = how
	}
	p.Next = next
	if f != nil {
		p.Failure = f
	}
	vars := make(map[string]json.RawMessage, len(t.Vars))
	for k, d := range t.Vars {
		vars[k] = json.RawMessage(d.Text())
	}
	if raw, err := json.Marshal(vars); err == nil {
		p.Assigned = string(raw)
	}
	status := Failed
	if output != nil {
		p.Output, status = output.Text(), Succeeded
	}
	x.finish(status, ExecutionSucceeded, t.Prev, output, f)
	return true
}

// mocked does what the mock of a Parallel or Map state says.
func (x *Execution) mocked(t *thread) (bool, error) {
	if x.probe == nil || x.probe.Mock == nil || t.parent != nil {
		return false, nil
	}
	if f := x.probe.Mock.Failure; f != nil {
		x.failed(t, *f)
		return true, nil
	}
	result, err := parseDoc(x.probe.Mock.Result)
	if err != nil {
		return true, runtimef("The mocked result is not JSON: %v", err)
	}
	x.stage(t, "result", result)
	return true, x.complete(t, result)
}
