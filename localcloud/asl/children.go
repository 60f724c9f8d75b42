package asl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// maxIterations is how many iterations of a Map state AWS runs at once.
const maxIterations = 40

// startChildren begins the branches of a Parallel or the iterations of a Map.
func (x *Execution) startChildren(t *thread) error {
	in, err := x.inputOf(t)
	if err != nil {
		return err
	}
	if t.st.kind == Map {
		return x.startMap(t, in)
	}
	in, err = x.fill(t, t.st.parameters, in)
	if err != nil {
		return err
	}
	x.stage(t, "afterParameters", in)
	if done, err := x.mocked(t); done {
		return err
	}
	x.emit(&t.Prev, Event{Type: ParallelStateStarted})
	t.Phase, t.Begun, t.Ended = phaseChildren, len(t.st.branches), 0
	t.Children = make([]*thread, len(t.st.branches))
	for i, b := range t.st.branches {
		t.Children[i] = &thread{parent: t, program: b, State: b.start, Input: in, Prev: t.Prev, Phase: phaseEnter, Index: i}
		x.ready = append(x.ready, t.Children[i])
	}
	return nil
}

func (x *Execution) startMap(t *thread, in *doc) error {
	items, err := x.mapItems(t, in)
	if err != nil {
		return err
	}
	x.stage(t, "afterItemsPath", newDoc(items))
	limit := t.st.concurrency
	if p := t.st.concurrencyAt; p != nil {
		v, err := x.at(t, p, in)
		if err != nil {
			return err
		}
		if text, isText := v.(string); isText { // AWS reads the value's text
			v = json.Number(text)
		}
		var ok bool
		if limit, ok = integer(v); !ok {
			return runtimef("The MaxConcurrencyPath field refers to value \"%s\" which is not a valid integer: %s", display(v), p.src)
		}
		if limit < 0 {
			return runtimef("The MaxConcurrencyPath field refers to value \"%d\" which is negative: %s", limit, p.src)
		}
	}
	if limit == 0 || limit > maxIterations {
		limit = maxIterations
	}
	t.Limit = int(limit)
	t.Values = newDoc(items)
	t.Items = make([]*doc, len(items))
	for i, item := range items {
		value := newDoc(item)
		t.Items[i] = value
		if t.st.parameters != nil {
			// The item's place in the context object is that of an iteration not yet begun.
			it := &thread{parent: t, Index: i, Item: value}
			sc := x.scope(t, in.Value())
			sc.context = func() any { return x.context(t, it) }
			if t.Items[i], err = x.fillIn(sc, t.st.parameters, in); err != nil {
				return err
			}
		}
	}
	if t.st.parameters != nil {
		selected := make([]any, len(t.Items))
		for i, d := range t.Items {
			selected[i] = d.Value()
		}
		x.stage(t, "afterItemSelector", newDoc(selected))
	}
	if done, err := x.mocked(t); done {
		return err
	}
	x.emit(&t.Prev, Event{Type: MapStateStarted, Length: ptr(int64(len(items)))})
	t.Phase, t.Begun, t.Ended = phaseChildren, 0, 0
	t.Children = make([]*thread, len(items))
	if len(items) == 0 {
		return x.childrenDone(t, t.Prev)
	}
	for i := range min(len(items), t.Limit) {
		x.startIteration(t, i, t.Prev)
	}
	return nil
}

func (x *Execution) mapItems(t *thread, in *doc) ([]any, error) {
	v := in.Value()
	if p := t.st.items; p != nil {
		var err error
		if v, err = x.at(t, p, in); err != nil {
			return nil, err
		}
		if items, ok := v.([]any); ok {
			return items, nil
		}
		return nil, runtimef("Reference path \"%s\" must point to array.", p.src)
	}
	if items, ok := v.([]any); ok {
		return items, nil
	}
	return nil, runtimef("Map state input must be an array but was: %s", string(appendJSON(nil, v)))
}

func (x *Execution) startIteration(t *thread, i int, prev int64) {
	items := t.Values.Value().([]any)
	c := &thread{parent: t, program: t.st.branches[0], Input: t.Items[i], Index: i, Item: newDoc(items[i]), Prev: prev, Phase: phaseEnter}
	c.State = c.program.start
	t.Children[i] = c
	t.Begun++
	x.emit(&c.Prev, Event{Type: MapIterationStarted, Name: t.State, Index: ptr(int64(i))})
	x.ready = append(x.ready, c)
}

// childEnded takes the output of a branch or iteration; the last one ends the state.
func (x *Execution) childEnded(c *thread, output *doc) {
	t := c.parent
	c.Output, c.Phase, c.Vars = output, phaseDone, nil
	last := c.Prev
	if t.st.kind == Map {
		last = x.note(c.Prev, Event{Type: MapIterationSucceeded, Name: t.State, Index: ptr(int64(c.Index))})
	}
	t.Ended++
	if t.Begun < len(t.Children) {
		x.startIteration(t, t.Begun, c.Prev)
		return
	}
	if t.Ended < len(t.Children) || x.s.Status != Running {
		return
	}
	if err := x.childrenDone(t, last); err != nil {
		x.failed(t, x.failure(t, err))
	}
}

func (x *Execution) childrenDone(t *thread, last int64) error {
	kind := MapStateSucceeded
	if t.st.kind == Parallel {
		kind = ParallelStateSucceeded
	}
	x.note(last, Event{Type: kind})
	// AWS links the exit to what came before the success.
	t.Prev = last
	outputs := make([]any, len(t.Children))
	text := []byte{'['} // of the outputs' own texts, which keep their spaces
	for i, c := range t.Children {
		outputs[i] = c.Output.Value()
		text = append(append(text, c.Output.Text()...), ',')
	}
	text = append(bytes.TrimSuffix(text, []byte{','}), ']')
	if len(text) > MaxPayload {
		return &stateError{Failure{Error: errDataLimit, Cause: fmt.Sprintf(errExceedsTheSize, t.State)}}
	}
	t.Children = nil
	return x.complete(t, &doc{v: outputs, text: string(text), hasVal: true})
}

// childFailed ends the other children and fails the state. All that was under
// way is told as aborted, also a task that failed; all of it follows from the
// failure, and nothing follows from it.
func (x *Execution) childFailed(c *thread, f Failure) {
	t := c.parent
	c.Phase = phaseFailed
	prev := c.Prev
	if t.st.kind == Map {
		x.note(prev, Event{Type: MapIterationFailed, Name: t.State, Index: ptr(int64(c.Index))})
	}
	if c.st.kind == Task {
		x.note(prev, Event{Type: TaskStateAborted})
	}
	for _, o := range t.Children {
		if o == nil || o == c || o.Phase == phaseDone {
			continue
		}
		x.aborted(o, prev)
		x.stop(o)
	}
	t.Prev = prev
	x.failed(t, f)
}

// aborted notes what was under way in a branch or iteration that ends from
// outside, the outermost first.
func (x *Execution) aborted(o *thread, prev int64) {
	if o.parent.st.kind == Map {
		x.note(prev, Event{Type: MapIterationAborted, Name: o.parent.State, Index: ptr(int64(o.Index))})
	}
	if o.Phase != phaseEnter {
		switch o.st.kind {
		case Task:
			x.note(prev, Event{Type: TaskStateAborted})
		case Wait:
			x.note(prev, Event{Type: WaitStateAborted})
		case Parallel:
			x.note(prev, Event{Type: ParallelStateAborted})
		case Map:
			x.note(prev, Event{Type: MapStateAborted})
		}
	}
	for _, c := range o.Children {
		if c != nil && c.Phase != phaseDone && c.Phase != phaseFailed {
			x.aborted(c, prev)
		}
	}
}

// closeChildren writes the failure of a state with children, once no retry follows.
func (x *Execution) closeChildren(t *thread) {
	if t.Phase != phaseChildren || t.Children == nil {
		return
	}
	t.Phase = phaseFailed // with its children, for a redrive
	kind := MapStateFailed
	if t.st.kind == Parallel {
		kind = ParallelStateFailed
	}
	x.emit(&t.Prev, Event{Type: kind})
}

// stop takes a thread and all below it out of the execution. They stay as
// they are otherwise, for a redrive.
func (x *Execution) stop(t *thread) {
	t.each(func(o *thread) {
		switch o.Phase {
		case phaseDone, phaseHalted:
			return
		case phaseEnter:
			o.Phase = phaseHalted
			return
		case phaseTask:
			if o.Task != nil {
				x.forget(o.Task.ID)
			}
		}
		o.Phase = phaseFailed
	})
}

// forget takes a task out, and its call when it was not taken yet. A job that
// it awaits is to be stopped.
func (x *Execution) forget(id string) {
	if t := x.tasks[id]; t != nil && t.Task.Submission != "" {
		x.cancels = append(x.cancels, x.call(t))
	}
	delete(x.tasks, id)
	x.starts = slices.DeleteFunc(x.starts, func(c Call) bool { return c.ID == id })
}
