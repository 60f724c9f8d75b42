package asl

import (
	"fmt"
	"time"
)

// startTask evaluates the parameters and sends the call out.
func (x *Execution) startTask(t *thread) error {
	st := t.st
	in, err := x.inputOf(t)
	if err != nil {
		return err
	}
	// The token must be there before the parameters can name it.
	t.Task = &pending{ID: x.src.TaskID(x.s.Info.ARN)}
	params, err := x.fill(t, st.parameters, in)
	if err != nil {
		return err
	}
	x.stage(t, "afterParameters", params)
	if len(params.Text()) > MaxPayload {
		return &stateError{Failure{Error: errDataLimit, Cause: fmt.Sprintf(
			"The state/task '%s' has parameters with a size exceeding the maximum number of bytes service limit.", t.State)}}
	}
	timeout, beat := st.timeout, st.heartbeat
	if st.timeoutPath != nil {
		if timeout, err = x.positive(t, "TimeoutSecondsPath", st.timeoutPath, in); err != nil {
			return err
		}
	}
	if st.beatsAt != nil {
		if beat, err = x.positive(t, "HeartbeatSecondsPath", st.beatsAt, in); err != nil {
			return err
		}
	}
	t.Task.Parameters, t.Task.Beat = params, beat
	e := Event{}
	if timeout > 0 {
		t.Task.Deadline = x.now.Add(time.Duration(timeout) * time.Second)
		e.Timeout = &timeout
	}
	if beat > 0 {
		t.Task.BeatBy = x.now.Add(time.Duration(beat) * time.Second)
		e.Heartbeat = &beat
	}
	r := st.resource
	if r.Lambda {
		e.Type, e.Input, e.Resource = LambdaFunctionScheduled, ptr(params.Text()), r.ARN
		x.emit(&t.Prev, e)
		x.emit(&t.Prev, Event{Type: LambdaFunctionStarted})
	} else {
		e.Type, e.Parameters, e.Region = TaskScheduled, ptr(params.Text()), x.s.Info.Region
		x.emitTask(t, e)
		x.emitTask(t, Event{Type: TaskStarted})
	}
	if x.s.Status != Running {
		return nil
	}
	t.Phase = phaseTask
	x.tasks[t.Task.ID] = t
	x.starts = append(x.starts, x.call(t))
	return nil
}

func (x *Execution) emitTask(t *thread, e Event) {
	e.Resource, e.ResourceType = t.st.resource.name(), t.st.resource.Service
	x.emit(&t.Prev, e)
}

func (x *Execution) call(t *thread) Call {
	return Call{ID: t.Task.ID, State: t.State, Resource: *t.st.resource, Parameters: t.Task.Parameters.Text(), Execution: x.s.Info,
		Submission: t.Task.Submission}
}

// tooLarge is the failure of a task with too long a result, whatever it is; nil
// for none.
func tooLarge(r *Resource, result string) *Failure {
	if len(result) <= MaxPayload {
		return nil
	}
	name := r.Service
	if r.Lambda {
		name = r.ARN
	}
	return &Failure{Error: errDataLimit, Cause: fmt.Sprintf(errExceedsTheSize, name)}
}

func (x *Execution) taskSucceeded(t *thread, result *doc) {
	r := t.st.resource
	delete(x.tasks, t.Task.ID)
	x.stage(t, "result", result)
	output := ptr(result.Text())
	if r.Lambda {
		x.emit(&t.Prev, Event{Type: LambdaFunctionSucceeded, Output: output})
	} else {
		x.emitTask(t, Event{Type: TaskSucceeded, Output: output})
	}
	if err := x.complete(t, result); err != nil {
		x.failed(t, x.failure(t, err))
	}
}

// taskFailed ends a call; kind is the event's type, TaskFailed or TaskSubmitFailed.
func (x *Execution) taskFailed(t *thread, kind string, f Failure) {
	delete(x.tasks, t.Task.ID)
	e := Event{Error: optional(f.Error), Cause: optional(f.Cause)}
	if t.st.resource.Lambda {
		e.Type = LambdaFunctionFailed
		x.emit(&t.Prev, e)
	} else {
		e.Type = kind
		x.emitTask(t, e)
	}
	x.failed(t, f)
}

// timeOut ends the calls whose time has run out: first all are told, then their
// states fail. A missing heartbeat is told as States.Timeout too; only Retry and
// Catch know it as States.HeartbeatTimeout.
func (x *Execution) timeOut(now time.Time) {
	type ended struct {
		t *thread
		f Failure
	}
	var all []ended
	x.s.Root.each(func(t *thread) {
		if t.Phase != phaseTask {
			return
		}
		late, silent := t.Task.expired(now)
		if !late {
			return
		}
		x.forget(t.Task.ID)
		if t.st.resource.Lambda {
			x.emit(&t.Prev, Event{Type: LambdaFunctionTimedOut, Error: ptr(errTimeout)})
		} else {
			x.emitTask(t, Event{Type: TaskTimedOut, Error: ptr(errTimeout)})
		}
		all = append(all, ended{t, Failure{Error: errTimeout, silent: silent}})
	})
	for _, e := range all {
		if e.t.Phase == phaseTask && x.s.Status == Running { // else what it belongs to has failed
			x.failed(e.t, e.f)
		}
	}
}
