package asl

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// enter begins a state.
func (x *Execution) enter(t *thread) {
	t.st = t.program.states[t.State]
	t.EnteredAt, t.Attempt, t.Retries, t.Waited = x.now, 0, nil, false
	x.emit(&t.Prev, Event{Type: string(t.st.kind) + "StateEntered", Name: t.State, Input: ptr(t.Input.Text())})
	t.Entered = t.Prev
	t.Phase = phaseRun
	x.ready = append(x.ready, t)
}

// execute does the work of an entered state, up to its end or its first wait.
func (x *Execution) execute(t *thread) {
	var err error
	switch t.st.kind {
	case Pass:
		err = x.pass(t)
	case Succeed:
		err = x.succeed(t)
	case Fail:
		err = x.failHere(t)
	case Choice:
		err = x.choose(t)
	case Wait:
		err = x.wait(t)
	case Task:
		err = x.startTask(t)
	default:
		err = x.startChildren(t)
	}
	if err != nil {
		x.failed(t, x.failure(t, err))
	}
}

// stateError is a failure that the language names.
type stateError struct{ Failure }

func (e *stateError) Error() string { return e.Failure.Error + ": " + e.Cause }

// runtimeError is a States.Runtime failure; its text follows AWS's preamble.
type runtimeError struct{ text string }

func (e *runtimeError) Error() string { return e.text }

// placeError is a ResultPath that does not fit the input.
type placeError struct{ text string }

func (e *placeError) Error() string { return e.text }

func runtimef(format string, args ...any) error {
	return &runtimeError{fmt.Sprintf(format, args...)}
}

// failure gives an error its name and AWS's words.
func (x *Execution) failure(t *thread, err error) Failure {
	var named *stateError
	if errors.As(err, &named) {
		return named.Failure
	}
	text := fmt.Sprintf("An error occurred while executing the state '%s' (entered at the event id #%d). %v", t.State, t.Entered, err)
	var call *callError
	if errors.As(err, &call) {
		return Failure{Error: errIntrinsic, Cause: text}
	}
	var place *placeError
	if errors.As(err, &place) {
		return Failure{Error: errResultPath, Cause: text}
	}
	return Failure{Error: errRuntime, Cause: text, uncaught: true}
}

// inputOf applies InputPath.
func (x *Execution) inputOf(t *thread) (*doc, error) {
	x.stage(t, "input", t.Input)
	in, err := x.ioPath(t, t.st.input, t.Input)
	if err == nil {
		x.stage(t, "afterInputPath", in)
	}
	return in, err
}

func (x *Execution) ioPath(t *thread, p ioPath, d *doc) (*doc, error) {
	switch {
	case p.none:
		return emptyObject, nil
	case p.path == nil || p.path.root == rootValue && len(p.path.steps) == 0:
		return d, nil
	}
	v, err := x.at(t, p.path, d)
	if err != nil {
		return nil, err
	}
	return newDoc(v), nil
}

// at evaluates a path field.
func (x *Execution) at(t *thread, p *Path, d *doc) (any, error) {
	v, err := x.scope(t, d.Value()).path(p)
	if err != nil {
		return nil, runtimef("Invalid path '%s' : %v", p.src, err)
	}
	return v, nil
}

// fill evaluates a payload template; without one the value stays.
func (x *Execution) fill(t *thread, tpl *template, d *doc) (*doc, error) {
	if tpl == nil {
		return d, nil
	}
	if tpl.constant {
		return newDoc(tpl.value), nil
	}
	return x.fillIn(x.scope(t, d.Value()), tpl, d)
}

func (x *Execution) fillIn(sc *scope, tpl *template, d *doc) (*doc, error) {
	v, err := tpl.eval(sc)
	var missing *templateError
	if errors.As(err, &missing) {
		return nil, sc.worded(missing.err, missing.field, d)
	}
	if err != nil {
		return nil, err
	}
	return newDoc(v), nil
}

// worded says in AWS's words that a field's path selects nothing in the input d;
// other errors stay as they are.
func (sc *scope) worded(err error, field string, d *doc) error {
	var missing *pathError
	if !errors.As(err, &missing) {
		return err
	}
	if missing.path.root == rootContext {
		d = newDoc(sc.context())
	}
	return runtimef("The JSONPath '%s' specified for the field '%s' could not be found in the input '%s'", missing.path.src, field, d.Text())
}

// complete puts a result in its place, and leaves the state.
func (x *Execution) complete(t *thread, result *doc) error {
	selected, err := x.fill(t, t.st.resultSelector, result)
	if err != nil {
		return err
	}
	x.stage(t, "afterResultSelector", selected)
	combined, err := combine(t.Input, selected, t.st.resultPath, t.st.discard)
	if err != nil {
		return err
	}
	x.stage(t, "afterResultPath", combined)
	return x.leave(t, selected, combined, t.st.assign, t.st.next)
}

// combine applies ResultPath to the state's raw input.
func combine(input, result *doc, at *Path, discard bool) (*doc, error) {
	switch {
	case discard:
		return input, nil
	case at == nil || len(at.steps) == 0:
		return result, nil
	}
	if _, ok := input.Value().(*object); !ok && at.steps[0].kind == stepName {
		return nil, &placeError{fmt.Sprintf("Unable to apply step \"%s\" to input %s", at.steps[0].name, input.Text())}
	}
	v, err := at.put(input.Value(), result.Value())
	if err != nil {
		return nil, &placeError{fmt.Sprintf("Unable to apply ReferencePath \"%s\" to input %s", at.src, input.Text())}
	}
	return newDoc(v), nil
}

// leave applies OutputPath and Assign, and goes on to the next state.
func (x *Execution) leave(t *thread, value, combined *doc, assign *template, next string) error {
	output, err := x.ioPath(t, t.st.output, combined)
	if err != nil {
		return err
	}
	return x.exit(t, value, output, assign, next)
}

// exit writes the exit of a state and moves the thread on.
func (x *Execution) exit(t *thread, value, output *doc, assign *template, next string) error {
	if len(output.Text()) > MaxPayload {
		return &stateError{Failure{Error: errDataLimit, Cause: fmt.Sprintf(errExceedsTheSize, t.State), uncaught: true}}
	}
	e := Event{Type: string(t.st.kind) + "StateExited", Name: t.State, Output: ptr(output.Text())}
	if assign != nil {
		set, err := x.fill(t, assign, value)
		if err != nil {
			return err
		}
		if err := t.assign(set, &e); err != nil {
			return err
		}
	}
	if x.probed(t, ProbeSucceeded, output, next, nil) {
		return nil
	}
	x.emit(&t.Prev, e)
	t.Task, t.Children, t.Items, t.Values = nil, nil, nil, nil
	if next == "" {
		x.end(t, output)
		return nil
	}
	t.State, t.Input, t.Phase = next, output, phaseEnter
	x.ready = append(x.ready, t)
	return nil
}

func (t *thread) assign(set *doc, e *Event) error {
	values, ok := set.Value().(*object)
	if !ok || len(values.names) == 0 {
		return nil
	}
	vars := make(map[string]*doc, len(t.Vars)+len(values.names))
	for k, v := range t.Vars {
		vars[k] = v
	}
	e.Assigned = map[string]string{}
	total := 0
	for i, k := range values.names {
		d := newDoc(values.values[i])
		vars[k] = d
		e.Assigned[k] = d.Text()
		total += len(d.Text())
	}
	if total > MaxPayload {
		return runtimef("The variables assigned have %d bytes; the most is %d", total, MaxPayload)
	}
	t.Vars = vars
	return nil
}

// end finishes a thread: the execution, or a branch or iteration.
func (x *Execution) end(t *thread, output *doc) {
	if t.parent != nil {
		x.childEnded(t, output)
		return
	}
	x.finish(Succeeded, ExecutionSucceeded, t.Prev, output, nil)
}

func (x *Execution) pass(t *thread) error {
	in, err := x.inputOf(t)
	if err != nil {
		return err
	}
	result, err := x.fill(t, t.st.parameters, in)
	if err != nil {
		return err
	}
	x.stage(t, "afterParameters", result)
	if t.st.result != nil {
		result = newDoc(t.st.result.value)
	}
	x.stage(t, "result", result)
	return x.complete(t, result)
}

func (x *Execution) succeed(t *thread) error {
	in, err := x.inputOf(t)
	if err != nil {
		return err
	}
	return x.leave(t, in, in, nil, "")
}

func (x *Execution) failHere(t *thread) error {
	st := t.st
	if _, err := x.inputOf(t); err != nil {
		return err
	}
	f := Failure{Error: st.errorName, Cause: st.cause}
	for _, field := range []struct {
		name string
		e    *expr
		to   *string
	}{{"ErrorPath", st.errorAt, &f.Error}, {"CausePath", st.causeAt, &f.Cause}} {
		if field.e == nil {
			continue
		}
		sc := x.scope(t, t.Input.Value())
		v, err := sc.eval(field.e)
		if err != nil {
			return sc.worded(err, field.name, t.Input)
		}
		text, ok := v.(string)
		if !ok {
			return runtimef("The %s field refers to a value which is not a string: %s", field.name, field.e.src)
		}
		*field.to = text
	}
	x.failed(t, f)
	return nil
}

func (x *Execution) choose(t *thread) error {
	in, err := x.inputOf(t)
	if err != nil {
		return err
	}
	sc := x.scope(t, in.Value())
	for i := range t.st.rules {
		ok, err := t.st.rules[i].match(sc)
		if err != nil {
			return err
		}
		if ok {
			assign := t.st.rules[i].assign
			return x.leave(t, in, in, assign, t.st.rules[i].next)
		}
	}
	if t.st.otherwise == "" {
		// Not States.NoChoiceMatched, whatever AWS's guide says.
		return runtimef("Failed to transition out of the state. The state does not point to a next state.")
	}
	return x.leave(t, in, in, t.st.assign, t.st.otherwise)
}

func (x *Execution) wait(t *thread) error {
	in, err := x.inputOf(t)
	if err != nil {
		return err
	}
	if !t.Waited {
		until, err := x.waitUntil(t, in)
		if err != nil {
			return err
		}
		if until.Sub(x.now) > math.MaxInt32*time.Second {
			return runtimef("Wait state delay is too long.")
		}
		t.Waited = true
		if until.After(x.now) {
			t.Until, t.Phase = until, phaseWait
			return nil
		}
	}
	return x.leave(t, in, in, t.st.assign, t.st.next)
}

func (x *Execution) waitUntil(t *thread, in *doc) (time.Time, error) {
	st := t.st
	switch {
	case st.seconds != nil:
		return x.now.Add(time.Duration(*st.seconds) * time.Second), nil
	case st.secondsAt != nil:
		v, err := x.scope(t, in.Value()).path(st.secondsAt)
		if err != nil {
			return time.Time{}, runtimef("The SecondsPath parameter does not reference an input value: %s", st.secondsAt.src)
		}
		n, ok := integer(v)
		switch {
		case !ok:
			return time.Time{}, runtimef("The SecondsPath parameter cannot be parsed as a long value: %s == %s", st.secondsAt.src, display(v))
		case n < 0:
			return time.Time{}, runtimef("The SecondsPath parameter references a negative value: %s == %d", st.secondsAt.src, n)
		case n > maxSeconds:
			return time.Time{}, runtimef("The SecondsPath parameter references a value greater than %d: %s == %d", maxSeconds, st.secondsAt.src, n)
		}
		return x.now.Add(time.Duration(n) * time.Second), nil
	case st.timestampAt != nil:
		v, err := x.scope(t, in.Value()).path(st.timestampAt)
		if err != nil {
			return time.Time{}, runtimef("The TimestampPath parameter does not reference an input value: %s", st.timestampAt.src)
		}
		text, _ := v.(string)
		at, err := parseTimestamp(text)
		if err != nil {
			return time.Time{}, runtimef("The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: %s == %s", st.timestampAt.src, display(v))
		}
		return at, nil
	}
	return parseTimestamp(st.timestamp)
}

// failed routes a failure: a retry, a catcher, or the end of the thread.
func (x *Execution) failed(t *thread, f Failure) {
	t.Task = nil
	switch {
	case f.uncaught && x.probe == nil: // the whole execution ends there
		x.finish(Failed, ExecutionFailed, t.Prev, nil, &f)
		return
	case !f.uncaught && x.retry(t, f):
		return
	}
	x.closeChildren(t)
	if !f.uncaught && x.caught(t, f) {
		return
	}
	if x.probed(t, ProbeFailed, nil, "", &f) {
		return
	}
	if t.parent != nil {
		x.childFailed(t, f)
		return
	}
	x.finish(Failed, ExecutionFailed, t.Prev, nil, &f)
}

func matches(names []string, f Failure) bool {
	for _, n := range names {
		switch {
		case n == errAll, n == f.Error,
			n == errTaskFailed && f.Error != errTimeout,
			n == errHeartbeat && f.silent:
			return true
		}
	}
	return false
}

func (x *Execution) retry(t *thread, f Failure) bool {
	for i, r := range t.st.retry {
		if !matches(r.errors, f) {
			continue
		}
		if t.Retries == nil {
			t.Retries = make([]int64, len(t.st.retry))
		}
		if x.probe != nil && t.parent == nil {
			t.Retries[i] = x.probe.Retries
		}
		if t.Retries[i] >= r.attempts {
			return false
		}
		pause := r.pause(t.Retries[i], x.src.Rand)
		if x.probe != nil && t.parent == nil {
			x.probe.Matched, x.probe.Pause = i, pause.Seconds()
			return x.probed(t, ProbeRetriable, nil, "", &f)
		}
		t.Retries[i]++
		t.Attempt++
		t.Children, t.Items, t.Values = nil, nil, nil
		t.Until, t.Phase = x.now.Add(pause), phaseWait
		return true
	}
	return false
}

// pause is how long to wait before a retry when some went before.
func (r retrier) pause(before int64, roll func() float64) time.Duration {
	seconds := float64(r.interval) * math.Pow(r.backoff, float64(before))
	if r.maxDelay > 0 {
		seconds = min(seconds, float64(r.maxDelay))
	}
	seconds = min(seconds, maxSeconds)
	if r.jitter {
		seconds *= roll()
	}
	return time.Duration(seconds * float64(time.Second))
}

func (x *Execution) caught(t *thread, f Failure) bool {
	for i, c := range t.st.catch {
		if !matches(c.errors, f) {
			continue
		}
		if x.probe != nil && t.parent == nil {
			x.probe.Ended, x.probe.Failure, x.probe.Matched = ProbeCaught, &f, i
		}
		result := newDoc(members("Error", f.part(f.Error), "Cause", f.part(f.Cause)))
		output, err := combine(t.Input, result, c.resultPath, c.discard)
		if err == nil {
			err = x.exit(t, result, output, c.assign, c.next)
		}
		if err != nil {
			next := x.failure(t, err)
			next.uncaught = true
			if x.probe != nil && t.parent == nil {
				x.probe.Ended = ""
			}
			x.failed(t, next)
		}
		return true
	}
	return false
}

// part is the error or the cause as a catcher has it: both are there even when
// one is empty, as of a timeout.
func (f Failure) part(text string) any {
	if text == "" && f.told {
		return nil
	}
	return text
}

// positive reads a whole number from a path field, such as TimeoutSecondsPath.
func (x *Execution) positive(t *thread, field string, p *Path, in *doc) (int64, error) {
	v, err := x.at(t, p, in)
	if err != nil {
		return 0, err
	}
	n, ok := integer(v)
	if !ok || n < 1 || n > maxSeconds {
		return 0, runtimef("The %s parameter does not reference a positive integer: %s == %s", field, p.src, display(v))
	}
	return n, nil
}
