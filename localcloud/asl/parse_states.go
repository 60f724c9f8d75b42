package asl

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
)

func (p *parser) state(name string, r *reader) *state {
	st := &state{name: name}
	kind, _ := r.text("Type")
	st.kind = StateType(kind)
	_, _ = r.text("Comment")
	r.jsonata = r.queryLanguage()
	if st.kind != Fail {
		st.input, st.output = r.ioPath("InputPath"), r.ioPath("OutputPath")
	}
	switch st.kind {
	case Pass:
		if v, ok := r.take("Result"); ok {
			st.result = &template{constant: true, value: v}
		}
		st.parameters = r.template("Parameters")
		st.resultPath, st.discard = r.resultPath()
	case Task:
		p.task(st, r)
	case Choice:
		p.choice(st, r)
	case Wait:
		p.wait(st, r)
	case Fail:
		p.failState(st, r)
	case Parallel:
		p.parallel(st, r)
	case Map:
		p.mapState(st, r)
	case Succeed:
	default:
		if r.required("Type") {
			r.bad("Type", SchemaFailed, "The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map]")
		}
		return st
	}
	if st.kind != Fail && st.kind != Succeed {
		st.assign = r.assign()
	}
	if st.kind != Fail && st.kind != Succeed && st.kind != Choice {
		p.transition(st, r)
	}
	r.rest(unsupportedIn[st.kind]...)
	return st
}

// unsupportedIn are the fields that AWS has in each type of state, and the
// interpreter has not.
var unsupportedIn = map[StateType][]string{
	Pass: {"Output"}, Choice: {"Output"}, Wait: {"Output"}, Succeed: {"Output"},
	Task:     {"Arguments", "Output", "Credentials"},
	Parallel: {"Arguments", "Output"},
	Map: {"Items", "Output", "ItemReader", "ItemBatcher", "ResultWriter", "Label", "ToleratedFailureCount", "ToleratedFailureCountPath",
		"ToleratedFailurePercentage", "ToleratedFailurePercentagePath"},
}

func (p *parser) transition(st *state, r *reader) {
	st.next, _ = r.text("Next")
	if v, ok := r.take("End"); ok {
		end, isBool := v.(bool)
		if !isBool {
			r.bad("End", SchemaFailed, "Expected value of type Boolean")
		}
		st.end = end
	}
	switch fields := "[Next, End]"; {
	case st.end && r.has("Next"):
		p.problem(r.loc, SchemaFailed, onlyOne, fields)
	case !st.end && !r.has("Next"):
		p.problem(r.loc, SchemaFailed, justOne, fields)
	}
}

// AWS's words for too many fields of several, and for none of them.
const (
	onlyOne = "There should only be one of the following fields: %s"
	justOne = "This object should have only one of the following fields: %s"
)

// only says that at most (or exactly) one of the fields may be given.
func (r *reader) only(required bool, fields ...string) {
	n := 0
	for _, f := range fields {
		if r.has(f) {
			n++
		}
	}
	switch list := "[" + strings.Join(fields, ", ") + "]"; {
	case n > 1:
		r.p.problem(r.loc, SchemaFailed, onlyOne, list)
	case required && n == 0:
		r.p.problem(r.loc, SchemaFailed, justOne, list)
	}
}

func (p *parser) task(st *state, r *reader) {
	st.parameters = r.template("Parameters")
	arn, ok := r.text("Resource")
	switch res, err := ParseResource(arn); {
	case !r.required("Resource"), !ok:
	case err != nil:
		code := SchemaFailed
		if errors.Is(err, errNoActivities) {
			code = Unsupported
		}
		r.bad("Resource", code, "%v", err)
	default:
		st.resource = &res
		task := TaskState{Name: st.name, Location: r.loc, Resource: res}
		if st.parameters != nil {
			task.Parameters = st.parameters.names
		}
		p.machine.tasks = append(p.machine.tasks, task)
	}
	p.resulting(st, r)
	r.only(false, "TimeoutSeconds", "TimeoutSecondsPath")
	r.only(false, "HeartbeatSeconds", "HeartbeatSecondsPath")
	st.timeout, _ = r.whole("TimeoutSeconds", 1, maxSeconds)
	st.heartbeat, _ = r.whole("HeartbeatSeconds", 1, maxSeconds)
	st.timeoutPath, st.beatsAt = r.numberPath("TimeoutSecondsPath"), r.numberPath("HeartbeatSecondsPath")
	if st.timeout > 0 && st.heartbeat >= st.timeout {
		r.bad("HeartbeatSeconds", SchemaFailed, "HeartbeatSeconds must be smaller than TimeoutSeconds")
	}
}

// resulting reads what Task, Parallel and Map share.
func (p *parser) resulting(st *state, r *reader) {
	st.resultSelector = r.template("ResultSelector")
	st.resultPath, st.discard = r.resultPath()
	if list, ok := r.list("Retry"); ok {
		for i, v := range list {
			st.retry = append(st.retry, p.retrier(r, i, len(list), v))
		}
	}
	if list, ok := r.list("Catch"); ok {
		for i, v := range list {
			st.catch = append(st.catch, p.catcher(r, i, len(list), v))
		}
	}
}

func (p *parser) errorEquals(r *reader, last bool) []string {
	list, ok := r.list("ErrorEquals")
	if r.required("ErrorEquals") && ok {
		r.filled("ErrorEquals", len(list))
	}
	var names []string
	for _, v := range list {
		name, ok := v.(string)
		if !ok {
			r.bad("ErrorEquals", SchemaFailed, "Expected value of type String")
			continue
		}
		if name == errAll && (len(list) > 1 || !last) {
			r.bad("ErrorEquals", SchemaFailed, "States.ALL must appear alone and at end of list")
		}
		names = append(names, name)
	}
	return names
}

func (p *parser) retrier(outer *reader, i, n int, v any) retrier {
	loc := fmt.Sprintf("%s/Retry[%d]", outer.loc, i)
	obj, ok := v.(*object)
	if !ok {
		p.problem(loc, SchemaFailed, "Expected value of type Object")
		return retrier{}
	}
	r := p.reader(loc, obj)
	_, _ = r.text("Comment")
	rt := retrier{interval: 1, attempts: 3, backoff: 2, errors: p.errorEquals(r, i == n-1)}
	if v, ok := r.whole("IntervalSeconds", 0, maxSeconds); ok {
		rt.interval = v
	}
	if v, ok := r.whole("MaxAttempts", 0, maxSeconds); ok {
		rt.attempts = v
	}
	if v, ok := r.whole("MaxDelaySeconds", 1, 31_622_400); ok {
		rt.maxDelay = v
		if v < rt.interval {
			r.bad("MaxDelaySeconds", SchemaFailed, "MaxDelaySeconds must be greater than IntervalSeconds")
		}
	}
	if v, ok := r.take("BackoffRate"); ok {
		f, isNumber := floatOf(v)
		switch {
		case !isNumber:
			r.bad("BackoffRate", SchemaFailed, "Expected value of type Number")
		case f < 1:
			r.bad("BackoffRate", SchemaFailed, "Minimum value is 1")
		}
		rt.backoff = f
	}
	rt.jitter = r.oneOf("JitterStrategy", "NONE", "FULL") == "FULL"
	r.rest()
	return rt
}

func (p *parser) catcher(outer *reader, i, n int, v any) catcher {
	loc := fmt.Sprintf("%s/Catch[%d]", outer.loc, i)
	obj, ok := v.(*object)
	if !ok {
		p.problem(loc, SchemaFailed, "Expected value of type Object")
		return catcher{}
	}
	r := p.reader(loc, obj)
	r.jsonata = outer.jsonata
	_, _ = r.text("Comment")
	c := catcher{errors: p.errorEquals(r, i == n-1), assign: r.assign()}
	c.next, _ = r.text("Next")
	r.required("Next")
	c.resultPath, c.discard = r.resultPath()
	r.rest("Output")
	return c
}

func (p *parser) wait(st *state, r *reader) {
	r.only(true, "SecondsPath", "Seconds", "TimestampPath", "Timestamp")
	if n, ok := r.whole("Seconds", 0, maxSeconds); ok {
		st.seconds = &n
	}
	if ts, ok := r.text("Timestamp"); ok {
		if _, err := parseTimestamp(ts); err != nil {
			r.bad("Timestamp", SchemaFailed, "String does not match RFC3339 timestamp")
		}
		st.timestamp = ts
	}
	st.secondsAt, st.timestampAt = r.numberPath("SecondsPath"), r.numberPath("TimestampPath")
}

// parseTimestamp reads AWS's timestamps: RFC 3339 with a T and a zone.
func parseTimestamp(s string) (time.Time, error) { return time.Parse(time.RFC3339Nano, s) }

func (p *parser) failState(st *state, r *reader) {
	r.only(false, "Error", "ErrorPath")
	r.only(false, "Cause", "CausePath")
	st.errorName, st.hasError = r.text("Error")
	st.cause, st.hasCause = r.text("Cause")
	st.errorAt, st.causeAt = r.expr("ErrorPath"), r.expr("CausePath")
}

// expr reads a path or an intrinsic function that gives a string.
func (r *reader) expr(field string) *expr {
	src, ok := r.text(field)
	if !ok {
		return nil
	}
	e, err := parseExpr(src)
	switch {
	case err != nil:
		r.bad(field, SchemaFailed, "Value must be a valid JSONPath or a valid intrinsic function call")
	case e.call != nil && !e.call.fn.text:
		r.bad(field, SchemaFailed, "The intrinsic function does not return a string: %s", src)
	}
	return e
}

func (p *parser) parallel(st *state, r *reader) {
	st.parameters = r.template("Parameters")
	p.resulting(st, r)
	list, ok := r.list("Branches")
	if r.required("Branches") && ok {
		r.filled("Branches", len(list))
	}
	for i, v := range list {
		loc := fmt.Sprintf("%s/Branches[%d]", r.loc, i)
		obj, ok := v.(*object)
		if !ok {
			p.problem(loc, SchemaFailed, "Expected value of type Object")
			continue
		}
		b := p.reader(loc, obj)
		_, _ = b.text("Comment")
		st.branches = append(st.branches, p.program(b))
		b.rest()
	}
}

func (p *parser) mapState(st *state, r *reader) {
	r.only(true, "ItemProcessor", "Iterator")
	r.only(false, "ItemSelector", "Parameters")
	r.only(false, "MaxConcurrency", "MaxConcurrencyPath")
	if st.parameters = r.template("ItemSelector"); st.parameters == nil {
		st.parameters = r.template("Parameters")
	}
	st.items = r.reference("ItemsPath")
	st.concurrency, _ = r.whole("MaxConcurrency", 0, math.MaxInt64)
	st.concurrencyAt = r.numberPath("MaxConcurrencyPath")
	p.resulting(st, r)
	for _, field := range []string{"ItemProcessor", "Iterator"} {
		obj, ok := r.object(field)
		if !ok {
			continue
		}
		b := p.reader(r.loc+"/"+field, obj)
		_, _ = b.text("Comment")
		if cfg, ok := b.object("ProcessorConfig"); ok {
			c := p.reader(b.loc+"/ProcessorConfig", cfg)
			if mode := c.oneOf("Mode", "INLINE", "DISTRIBUTED"); mode == "DISTRIBUTED" {
				c.bad("Mode", Unsupported, "The mode %s is not supported; only INLINE is", mode)
				c.used["ExecutionType"] = true // it belongs there
			}
			c.rest()
		}
		st.branches = append(st.branches, p.program(b))
		b.rest()
	}
}
