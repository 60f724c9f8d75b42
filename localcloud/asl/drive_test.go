package asl_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

var start = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func info() asl.Info {
	return asl.Info{
		ARN: "arn:aws:states:us-east-1:000000000000:execution:m:e", Name: "e",
		MachineARN: "arn:aws:states:us-east-1:000000000000:stateMachine:m", MachineName: "m",
		RoleARN: "arn:aws:iam::000000000000:role/r", Region: "us-east-1", Started: start,
	}
}

func sources() asl.Sources {
	n := 0
	next := func() string { n++; return fmt.Sprintf("id-%d", n) }
	return asl.Sources{TaskID: func(string) string { return next() }, UUID: next, Rand: func() float64 { return 0.5 }}
}

// outcome is what a test's task answers: a result, or a failure, or nothing.
type outcome struct {
	result string
	fail   asl.Failure
	silent bool
}

// driven is an execution run to its end in virtual time.
type driven struct {
	status asl.Status
	output string
	err    string
	cause  string
	events []asl.Event
	calls  []asl.Call
	took   time.Duration
}

// drive runs a definition; with reload it saves and restores the execution at every wait.
func drive(t testing.TB, definition, input string, reload bool, task func(n int, c asl.Call) outcome) driven {
	t.Helper()
	m, err := asl.Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	x, err := asl.NewExecution(m, info(), input, sources())
	if err != nil {
		t.Fatal(err)
	}
	var d driven
	now := start
	x.Begin(now)
	for range 100_000 {
		p := x.Take()
		d.events = append(d.events, p.Events...)
		if x.Status() != asl.Running {
			break
		}
		if len(p.Calls) > 0 {
			for _, c := range p.Calls {
				d.calls = append(d.calls, c)
				answer(t, x, now, c, task(len(d.calls), c))
			}
			continue
		}
		at, ok := x.NextDue()
		if !ok {
			t.Fatalf("the execution waits for nothing after %v", types(d.events))
		}
		if reload {
			saved, err := x.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if x, err = asl.Restore(m, saved, sources()); err != nil {
				t.Fatal(err)
			}
			x.Take() // calls in flight, which this test leaves unanswered
		}
		now = at
		x.Due(now)
	}
	d.status, d.output, d.took = x.Status(), x.Output(), now.Sub(start)
	if f := x.Failure(); f != nil {
		d.err, d.cause = f.Error, f.Cause
	}
	check(t, d.events)
	return d
}

func answer(t testing.TB, x *asl.Execution, now time.Time, c asl.Call, o outcome) {
	t.Helper()
	var err error
	switch {
	case o.silent:
		return
	case o.result != "":
		err = x.Succeed(now, c.ID, o.result)
	default:
		err = x.Fail(now, c.ID, o.fail)
	}
	if err != nil && !errors.Is(err, asl.ErrNoSuchTask) {
		t.Fatal(err)
	}
}

// check holds of every history: ids count up and predecessors come before.
func check(t testing.TB, events []asl.Event) {
	t.Helper()
	for i, e := range events {
		if e.ID != int64(i+1) || e.Previous >= e.ID {
			t.Errorf("event %d (%s) has id %d and predecessor %d", i+1, e.Type, e.ID, e.Previous)
		}
	}
}

func types(events []asl.Event) string {
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = e.Type
	}
	return strings.Join(names, " ")
}

func noTask(int, asl.Call) outcome { return outcome{fail: asl.Failure{Error: "Unexpected"}} }

// pass wraps the fields of one Pass state into a machine.
func pass(fields string) string {
	return `{"StartAt":"P","States":{"P":{"Type":"Pass",` + fields + `"End":true}}}`
}

const taskARN = "arn:aws:lambda:us-east-1:000000000000:function:f"

// task wraps the fields of one Task state, T, whose other exits end in Caught.
func task(fields string) string {
	return `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + taskARN + `",` + fields + `"End":true},"Caught":{"Type":"Pass","End":true}}}`
}

func same(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return a == b
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}
