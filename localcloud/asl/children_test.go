package asl_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

func TestParallel(t *testing.T) {
	definition := `{"StartAt":"P","States":{"P":{"Type":"Parallel","Parameters":{"x.$":"$.n"},"ResultSelector":{"both.$":"$"},"ResultPath":"$.r","End":true,"Branches":[
		{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":5,"Next":"A2"},"A2":{"Type":"Pass","End":true}}},
		{"StartAt":"B","States":{"B":{"Type":"Pass","Result":"b","End":true}}}]}}}`
	for _, reload := range []bool{false, true} {
		d := drive(t, definition, `{"n":7}`, reload, noTask)
		if !same(d.output, `{"n":7,"r":{"both":[{"x":7},"b"]}}`) || d.took != 5*time.Second {
			t.Errorf("reload %t: %s %s %s after %v", reload, d.output, d.err, d.cause, d.took)
		}
		want := "ExecutionStarted ParallelStateEntered ParallelStateStarted WaitStateEntered PassStateEntered PassStateExited WaitStateExited PassStateEntered PassStateExited ParallelStateSucceeded ParallelStateExited ExecutionSucceeded"
		if got := types(d.events); got != want {
			t.Errorf("history %s, want %s", got, want)
		}
		if last := d.events[10]; last.Previous != 9 {
			t.Errorf("the exit follows %d, want 9: what ended last in a branch", last.Previous)
		}
	}
}

func TestParallelFailure(t *testing.T) {
	definition := `{"StartAt":"P","States":{"P":{"Type":"Parallel","Catch":[{"ErrorEquals":["Boom"],"Next":"Caught"}],"End":true,"Branches":[
		{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"` + taskARN + `","End":true}}},
		{"StartAt":"B","States":{"B":{"Type":"Wait","Seconds":1,"Next":"B2"},"B2":{"Type":"Fail","Error":"Boom"}}}]},"Caught":{"Type":"Pass","End":true}}}`
	d := drive(t, definition, `{}`, false, func(int, asl.Call) outcome { return outcome{silent: true} })
	if !same(d.output, `{"Error":"Boom","Cause":""}`) || d.took != time.Second {
		t.Errorf("%s %s after %v", d.output, d.err, d.took)
	}
}

const double = `{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.items","MaxConcurrency":%d,"End":true,
	"ItemSelector":{"v.$":"$$.Map.Item.Value","i.$":"$$.Map.Item.Index","n.$":"$.n"},
	"ItemProcessor":{"ProcessorConfig":{"Mode":"INLINE"},"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + taskARN + `","End":true}}}}}}`

func TestMap(t *testing.T) {
	for _, at := range []int{0, 1, 2} {
		d := drive(t, fmt.Sprintf(double, at), `{"items":["a","b","c"],"n":1.0}`, false, func(_ int, c asl.Call) outcome { return outcome{result: c.Parameters} })
		want := `[{"v":"a","i":0,"n":1},{"v":"b","i":1,"n":1},{"v":"c","i":2,"n":1}]`
		if !same(d.output, want) || !strings.Contains(d.output, `"n":1.0`) {
			t.Errorf("%d at once: %s %s %s", at, d.output, d.err, d.cause)
		}
	}
	d := drive(t, fmt.Sprintf(double, 0), `{"items":[],"n":1}`, false, noTask)
	if want := "ExecutionStarted MapStateEntered MapStateStarted MapStateSucceeded MapStateExited ExecutionSucceeded"; d.output != "[]" || types(d.events) != want {
		t.Errorf("no items: %s, %s", d.output, types(d.events))
	}
	d = drive(t, fmt.Sprintf(double, 0), `{"items":5,"n":1}`, false, noTask)
	if d.err != "States.Runtime" || !strings.Contains(d.cause, "must point to array") {
		t.Errorf("no array: %s %s", d.err, d.cause)
	}
	d = drive(t, fmt.Sprintf(double, 1), `{"items":["a","b"],"n":1}`, false, func(n int, _ asl.Call) outcome {
		if n == 2 {
			return outcome{fail: asl.Failure{Error: "Boom"}}
		}
		return outcome{result: "1"}
	})
	if !strings.HasSuffix(types(d.events), "LambdaFunctionFailed MapIterationFailed TaskStateAborted MapStateFailed ExecutionFailed") || d.err != "Boom" {
		t.Errorf("an iteration fails: %s, %s", d.err, types(d.events))
	}
}

// MaxConcurrencyPath names a whole number, or its text.
func TestMaxConcurrencyPath(t *testing.T) {
	definition := `{"StartAt":"M","States":{"M":{"Type":"Map","ItemsPath":"$.l","MaxConcurrencyPath":"$.c","End":true,"ItemProcessor":{"StartAt":"P","States":{"P":{"Type":"Pass","End":true}}}}}}`
	for value, cause := range map[string]string{
		`1`: "", `"1"`: "", `0`: "",
		`"one"`: `The MaxConcurrencyPath field refers to value "one" which is not a valid integer: $.c`,
		`{}`:    `The MaxConcurrencyPath field refers to value "{}" which is not a valid integer: $.c`,
		`1.5`:   `The MaxConcurrencyPath field refers to value "1.5" which is not a valid integer: $.c`,
	} {
		d := drive(t, definition, `{"l":[1,2],"c":`+value+`}`, false, noTask)
		if (d.status == asl.Succeeded) != (cause == "") || !strings.HasSuffix(d.cause, cause) {
			t.Errorf("%s: %s %s", value, d.status, d.cause)
		}
	}
}

// At most 40 iterations run at once, whatever MaxConcurrency says.
func TestMapAtMostFortyAtOnce(t *testing.T) {
	m, err := asl.Parse(fmt.Appendf(nil, double, 0))
	if err != nil {
		t.Fatal(err)
	}
	x, err := asl.NewExecution(m, info(), `{"n":1,"items":[`+strings.Repeat("0,", 99)+`0]}`, sources())
	if err != nil {
		t.Fatal(err)
	}
	x.Begin(start)
	if n := len(x.Take().Calls); n != 40 {
		t.Errorf("%d calls at once, want 40", n)
	}
}

// States.Runtime in a branch or an iteration ends the whole execution at once:
// nothing around it is left, retried or caught.
func TestRuntimeErrorInside(t *testing.T) {
	inner := `{"StartAt":"In","States":{"In":{"Type":"Pass","InputPath":"$.no","End":true}}}`
	rest := `"Retry":[{"ErrorEquals":["States.ALL"]}],"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Z"}],"Next":"Z"},"Z":{"Type":"Succeed"}}}`
	for definition, want := range map[string]string{
		`{"StartAt":"A","States":{"A":{"Type":"Parallel","Branches":[` + inner + `],` + rest: "ExecutionStarted ParallelStateEntered ParallelStateStarted PassStateEntered ExecutionFailed",
		`{"StartAt":"A","States":{"A":{"Type":"Map","ItemProcessor":` + inner + `,` + rest:   "ExecutionStarted MapStateEntered MapStateStarted MapIterationStarted PassStateEntered ExecutionFailed",
	} {
		d := drive(t, definition, `[{}]`, false, noTask)
		last := d.events[len(d.events)-1]
		if got := types(d.events); got != want || d.err != "States.Runtime" || last.Previous != last.ID-1 || !strings.Contains(d.cause, "the state 'In'") {
			t.Errorf("%s (%s: %s, after %d), want %s", got, d.err, d.cause, last.Previous, want)
		}
	}
}

// What is under way beside a failure is told as aborted; no event follows from that.
func TestAbortedSiblings(t *testing.T) {
	fails := `{"StartAt":"F","States":{"F":{"Type":"Wait","Seconds":1,"Next":"G"},"G":{"Type":"Fail","Error":"Boom"}}}`
	definition := `{"StartAt":"P","States":{"P":{"Type":"Parallel","Next":"Z","Catch":[{"ErrorEquals":["Boom"],"Next":"Z"}],"Branches":[` + fails + `,
		{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + taskARN + `","End":true}}},
		{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":9,"End":true}}},
		{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemProcessor":{"StartAt":"T2","States":{"T2":{"Type":"Task","Resource":"` + taskARN + `","End":true}}}}}},
		{"StartAt":"D","States":{"D":{"Type":"Pass","End":true}}}]},"Z":{"Type":"Succeed"}}}`
	d := drive(t, definition, `[1]`, false, func(int, asl.Call) outcome { return outcome{silent: true} })
	at := map[string]asl.Event{}
	for _, e := range d.events {
		at[e.Type+e.Name] = e
	}
	var after []string
	for _, e := range d.events[at["FailStateEnteredG"].ID:] {
		after = append(after, e.Type)
	}
	if got, want := strings.Join(after, " "), "TaskStateAborted WaitStateAborted MapStateAborted MapIterationAborted TaskStateAborted ParallelStateFailed ParallelStateExited SucceedStateEntered SucceedStateExited ExecutionSucceeded"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if e := at["ParallelStateFailed"]; e.Previous != at["FailStateEnteredG"].ID {
		t.Errorf("the failure follows %d, want %d", e.Previous, at["FailStateEnteredG"].ID)
	}
	if e := at["WaitStateAborted"]; e.Previous != at["FailStateEnteredG"].ID {
		t.Errorf("the aborted wait follows %d, want %d", e.Previous, at["FailStateEnteredG"].ID)
	}
}

// What times out at the same time is all told before the first of it fails.
func TestIterationsThatTimeOutTogether(t *testing.T) {
	definition := `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemProcessor":{"StartAt":"T","States":{
		"T":{"Type":"Task","Resource":"` + taskARN + `","TimeoutSeconds":5,"End":true}}}}}}`
	d := drive(t, definition, `[1,2,3]`, false, func(int, asl.Call) outcome { return outcome{silent: true} })
	var got []string
	first := int64(0)
	for _, e := range d.events {
		switch {
		case first == 0 && strings.HasSuffix(e.Type, "TimedOut"):
			first = e.ID
		case strings.HasSuffix(e.Type, "Aborted"), e.Type == "MapIterationFailed", e.Type == "MapStateFailed":
			if e.Previous != first {
				t.Errorf("%s follows %d, want %d", e.Type, e.Previous, first)
			}
		}
		if first != 0 {
			got = append(got, e.Type)
		}
	}
	want := strings.Repeat("LambdaFunctionTimedOut ", 3) + "MapIterationFailed TaskStateAborted MapIterationAborted TaskStateAborted MapIterationAborted TaskStateAborted MapStateFailed ExecutionFailed"
	if strings.Join(got, " ") != want || d.err != "States.Timeout" {
		t.Errorf("%s: %s\nwant %s", d.err, strings.Join(got, " "), want)
	}
}

func TestVariables(t *testing.T) {
	definition := `{"StartAt":"A","States":{
		"A":{"Type":"Pass","Result":{"v":1.50},"Assign":{"x.$":"$.v","y":"c"},"Next":"P"},
		"P":{"Type":"Parallel","Next":"B","Branches":[{"StartAt":"In","States":{"In":{"Type":"Pass","Assign":{"inner.$":"$x"},"Parameters":{"x.$":"$x"},"End":true}}}]},
		"B":{"Type":"Pass","Parameters":{"x.$":"$x","f.$":"States.Format('{}{}', $y, $x)"},"End":true}}}`
	d := drive(t, definition, `{}`, false, noTask)
	if d.output != `{"x":1.50,"f":"c1.50"}` {
		t.Errorf("%s %s %s", d.output, d.err, d.cause)
	}
	if got := d.events[2].Assigned; got["x"] != "1.50" || got["y"] != `"c"` {
		t.Errorf("assigned %v", got)
	}
	d = drive(t, `{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"x.$":"$x"},"End":true}}}`, `{}`, false, noTask)
	if d.err != "States.Runtime" {
		t.Errorf("an undefined variable: %s %s", d.err, d.cause)
	}
}

func TestExecutionTimeout(t *testing.T) {
	d := drive(t, `{"TimeoutSeconds":10,"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":60,"End":true}}}`, `{}`, true, noTask)
	if d.status != asl.TimedOut || d.took != 10*time.Second || types(d.events) != "ExecutionStarted WaitStateEntered ExecutionTimedOut" || d.err != "" {
		t.Errorf("%s after %v: %s, %s", d.status, d.took, types(d.events), d.err)
	}
	if end := d.events[2]; end.Error == nil || *end.Error != "States.Timeout" || end.Cause != nil || end.Previous != 0 {
		t.Errorf("the last event is %+v", end)
	}
}

func TestHistoryLimit(t *testing.T) {
	d := drive(t, `{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Choice","Choices":[{"Variable":"$.go","IsPresent":true,"Next":"A"}],"Default":"C"},"C":{"Type":"Succeed"}}}`,
		`{"go":1}`, false, noTask)
	if len(d.events) != asl.MaxEvents || d.err != "States.Runtime" || d.events[asl.MaxEvents-1].Type != "ExecutionFailed" || !strings.Contains(d.cause, "25000") {
		t.Errorf("%d events, %s %s", len(d.events), d.err, d.cause)
	}
}

func TestAbortEndsAllTasks(t *testing.T) {
	m, err := asl.Parse(fmt.Appendf(nil, double, 0))
	if err != nil {
		t.Fatal(err)
	}
	x, err := asl.NewExecution(m, info(), `{"n":1,"items":[1,2]}`, sources())
	if err != nil {
		t.Fatal(err)
	}
	x.Begin(start)
	calls := x.Take().Calls
	x.Abort(start, "Stopped", "by hand")
	p := x.Take()
	if x.Status() != asl.Aborted || len(calls) != 2 || p.Events[len(p.Events)-1].Type != "ExecutionAborted" {
		t.Errorf("%s after %d calls: %s", x.Status(), len(calls), types(p.Events))
	}
	if err := x.Succeed(start, calls[0].ID, `1`); !errors.Is(err, asl.ErrNoSuchTask) {
		t.Errorf("a late result: %v", err)
	}
}

// A call whose time ran out while nothing ran is not made again.
func TestTimeoutWhileStopped(t *testing.T) {
	m, err := asl.Parse([]byte(task(`"TimeoutSeconds":5,"Catch":[{"ErrorEquals":["States.Timeout"],"Next":"Caught"}],`)))
	if err != nil {
		t.Fatal(err)
	}
	x, err := asl.NewExecution(m, info(), `{}`, sources())
	if err != nil {
		t.Fatal(err)
	}
	x.Begin(start)
	saved, err := x.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if x, err = asl.Restore(m, saved, sources()); err != nil {
		t.Fatal(err)
	}
	x.Due(start.Add(time.Hour))
	if p := x.Take(); len(p.Calls) != 0 || x.Status() != asl.Succeeded {
		t.Errorf("%d calls, %s: %s", len(p.Calls), x.Status(), types(p.Events))
	}
}

// What a branch gives on as it got it keeps its spaces.
func TestParallelKeepsTexts(t *testing.T) {
	inner := `{"StartAt":"I","States":{"I":{"Type":"Pass","End":true}}}`
	for branches, want := range map[string]string{inner: `[[1, 2.50]]`, inner + "," + strings.ReplaceAll(inner, `"I"`, `"J"`): `[[1, 2.50],[1, 2.50]]`} {
		d := drive(t, `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[`+branches+`]}}}`, `[1, 2.50]`, false, noTask)
		if d.output != want {
			t.Errorf("output %s, want %s", d.output, want)
		}
	}
	d := drive(t, `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemProcessor":`+inner+`}}}`, `[]`, false, noTask)
	if d.output != `[]` {
		t.Errorf("output %s of no iterations", d.output)
	}
}
