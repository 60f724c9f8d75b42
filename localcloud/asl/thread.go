package asl

import "time"

type phase string

const (
	phaseEnter    phase = "enter"    // about to enter State
	phaseRun      phase = "run"      // entered, or woken: State does its work
	phaseWait     phase = "wait"     // until Until: a Wait state, or before a retry
	phaseTask     phase = "task"     // a call is out
	phaseChildren phase = "children" // branches or iterations run
	phaseDone     phase = "done"     // a branch or iteration that has ended well
	phaseFailed   phase = "failed"   // ended in its state, by an error or from outside
	phaseHalted   phase = "halted"   // ended from outside before it entered State
)

// thread is a place of control: the execution's own, a branch's or an
// iteration's. It is all data, so that it can be saved at any wait.
type thread struct {
	parent  *thread
	program *program
	st      *state

	State     string          `json:"state"`
	Phase     phase           `json:"phase"`
	Input     *doc            `json:"input"`
	Prev      int64           `json:"prev"`
	Entered   int64           `json:"entered,omitempty"`
	EnteredAt time.Time       `json:"enteredAt,omitzero"`
	Vars      map[string]*doc `json:"vars,omitempty"`
	Retries   []int64         `json:"retries,omitempty"` // by retrier
	Attempt   int64           `json:"attempt,omitempty"` // RetryCount
	Until     time.Time       `json:"until,omitzero"`
	Waited    bool            `json:"waited,omitempty"`
	Task      *pending        `json:"task,omitempty"`

	Index    int       `json:"index,omitempty"` // of the branch or iteration
	Item     *doc      `json:"item,omitempty"`  // of the iteration
	Children []*thread `json:"children,omitempty"`
	Items    []*doc    `json:"items,omitempty"`  // inputs of the iterations
	Values   *doc      `json:"values,omitempty"` // the items themselves, for the context object
	Limit    int       `json:"limit,omitempty"`  // iterations at once
	Begun    int       `json:"begun,omitempty"`  // children that have begun
	Ended    int       `json:"ended,omitempty"`  // children that have ended well
	Output   *doc      `json:"output,omitempty"` // of an ended branch or iteration
}

// pending is a call that is out.
type pending struct {
	ID         string    `json:"id"`
	Parameters *doc      `json:"params"`
	Deadline   time.Time `json:"deadline,omitzero"`
	Beat       int64     `json:"beat,omitempty"` // seconds
	BeatBy     time.Time `json:"beatBy,omitzero"`
	Submitted  bool      `json:"submitted,omitempty"`
	Submission string    `json:"submission,omitempty"` // the answer, of a task that awaits a job
}

// expired says whether a call's time ran out, and if so by a missing heartbeat.
func (c *pending) expired(now time.Time) (late, silent bool) {
	switch {
	case !c.Deadline.IsZero() && !now.Before(c.Deadline):
		return true, false
	case !c.BeatBy.IsZero() && !now.Before(c.BeatBy):
		return true, true
	}
	return false, false
}

// each visits the thread and everything below it.
func (t *thread) each(f func(*thread)) {
	if t == nil {
		return
	}
	f(t)
	for _, c := range t.Children {
		c.each(f)
	}
}

// variable looks a name up, from the inside out.
func (t *thread) variable(name string) (any, bool) {
	for ; t != nil; t = t.parent {
		if d, ok := t.Vars[name]; ok {
			return d.Value(), true
		}
	}
	return nil, false
}

const stamp = "2006-01-02T15:04:05.000Z"

// context builds the context object as it is for the thread's state.
func (x *Execution) context(t *thread, item *thread) any {
	if x.probe != nil && x.probe.context != nil {
		return x.probe.context
	}
	if x.ctx == nil {
		i := x.s.Info
		execution := members("Id", i.ARN, "Input", x.s.Input.Value(), "Name", i.Name, "RoleArn", i.RoleARN,
			"StartTime", i.Started.UTC().Format(stamp), "RedriveCount", number(x.s.Redrives))
		if x.s.Redrives > 0 {
			execution.set("RedriveTime", x.s.Redriven.UTC().Format(stamp))
		}
		x.ctx = members("Execution", execution, "StateMachine", members("Id", i.MachineARN, "Name", i.MachineName))
	}
	c := x.ctx.copy(3)
	st := members("EnteredTime", t.EnteredAt.UTC().Format(stamp), "Name", t.State)
	if t.st != nil && (t.st.kind == Task || t.st.kind == Parallel || t.st.kind == Map) {
		st.set("RetryCount", number(t.Attempt))
	}
	c.set("State", st)
	// A task that awaits a job may also be ended by its token.
	if t.Task != nil && (t.st.resource.WaitsForToken() || t.st.resource.AwaitsJob()) {
		c.set("Task", members("Token", t.Task.ID))
	}
	for at := item; at != nil; at = at.parent {
		if at.Item != nil {
			c.set("Map", members("Item", members("Index", number(int64(at.Index)), "Value", at.Item.Value())))
			break
		}
	}
	return c
}

func (x *Execution) scope(t *thread, value any) *scope {
	return &scope{
		value:   value,
		context: func() any { return x.context(t, t) },
		vars:    t.variable,
		rand:    x.src.Rand,
		uuid:    x.src.UUID,
	}
}
