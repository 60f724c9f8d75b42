package asl

import (
	"errors"
	"time"
)

// ErrNotRedrivable says that an execution runs, has succeeded, or has no room
// left in its history.
var ErrNotRedrivable = errors.New("the execution cannot be redriven")

// Redrives is how often the execution was redriven, and when the last time.
func (x *Execution) Redrives() (int64, time.Time) { return x.s.Redrives, x.s.Redriven }

// Redrive goes on with an execution that failed, timed out or was aborted: each
// state that had not ended well does its work again with the input it had, with
// all its retries, and the time limit begins anew.
func (x *Execution) Redrive(now time.Time) error {
	if x.s.Status == Running || x.s.Status == Succeeded || x.s.Root == nil || x.s.LastID >= MaxEvents-1 {
		return ErrNotRedrivable
	}
	x.now = now
	x.s.Status, x.s.Failure = Running, nil
	x.s.Redrives, x.s.Redriven = x.s.Redrives+1, now
	x.ctx = nil
	id := x.note(x.s.LastID, Event{Type: ExecutionRedriven, Redrives: ptr(x.s.Redrives)})
	x.revive(x.s.Root, id)
	x.run()
	return nil
}

// revive has a thread go on after the event prev.
func (x *Execution) revive(t *thread, prev int64) {
	entered := t.Phase != phaseHalted
	t.Prev, t.Retries, t.Attempt, t.Task, t.Waited, t.Until = prev, nil, 0, nil, false, time.Time{}
	left := 0
	for _, c := range t.Children {
		if c == nil || c.Phase != phaseDone {
			left++
		}
	}
	if left > 0 {
		t.Phase, t.Ended = phaseChildren, len(t.Children)-left
		for _, c := range t.Children {
			if c != nil && c.Phase != phaseDone {
				x.revive(c, prev)
			}
		}
		return
	}
	t.Children, t.Items, t.Values = nil, nil, nil
	t.Phase = phaseRun
	if !entered {
		t.Phase = phaseEnter
	}
	x.ready = append(x.ready, t)
}
