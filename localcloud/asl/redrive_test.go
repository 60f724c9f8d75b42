package asl_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

// redriven runs a definition whose tasks fail, then redrives it from its
// snapshot with tasks that succeed.
func redriven(t *testing.T, definition, input string) (*asl.Execution, []asl.Event, []asl.Call) {
	t.Helper()
	m, err := asl.Parse([]byte(definition))
	if err != nil {
		t.Fatal(err)
	}
	x, err := asl.NewExecution(m, info(), input, sources())
	if err != nil {
		t.Fatal(err)
	}
	var events []asl.Event
	var again []asl.Call
	now := start
	work := func(task func(c asl.Call) outcome, calls *[]asl.Call) {
		for x.Status() == asl.Running {
			p := x.Take()
			events = append(events, p.Events...)
			for _, c := range p.Calls {
				if calls != nil {
					*calls = append(*calls, c)
				}
				answer(t, x, now, c, task(c))
			}
			if at, ok := x.NextDue(); ok && len(p.Calls) == 0 {
				now = at
				x.Due(now)
			}
		}
		events = append(events, x.Take().Events...)
	}
	x.Begin(now)
	work(func(c asl.Call) outcome {
		if strings.Contains(c.Parameters, "good") {
			return outcome{result: `"good"`}
		}
		return outcome{fail: asl.Failure{Error: "E"}}
	}, nil)
	saved, err := x.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if x, err = asl.Restore(m, saved, sources()); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if err := x.Redrive(now); err != nil {
		t.Fatal(err)
	}
	work(func(asl.Call) outcome { return outcome{result: `"again"`} }, &again)
	check(t, events)
	return x, events, again
}

func TestRedriveGoesOnWhereItFailed(t *testing.T) {
	for name, tc := range map[string]struct {
		definition, input, output string
		calls                     int
		tail                      string
	}{
		"task": {task(`"Retry":[{"ErrorEquals":["E"],"MaxAttempts":1}],"Catch":[{"ErrorEquals":["Other"],"Next":"Caught"}],`), `1`, `"again"`, 1,
			"ExecutionFailed ExecutionRedriven LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionSucceeded TaskStateExited ExecutionSucceeded"},
		"map": {`{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"MaxConcurrency":1,"ItemProcessor":{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + taskARN + `","End":true}}}}}}`,
			`["good","bad","good"]`, `["good","again","again"]`, 2,
			"MapIterationFailed TaskStateAborted MapStateFailed ExecutionFailed ExecutionRedriven LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionSucceeded TaskStateExited MapIterationSucceeded " +
				"MapIterationStarted TaskStateEntered LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionSucceeded TaskStateExited MapIterationSucceeded MapStateSucceeded MapStateExited ExecutionSucceeded"},
		"nested": {`{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[{"StartAt":"M","States":{"M":{"Type":"Map","End":true,
		  "ItemProcessor":{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + taskARN + `","End":true}}}}}},
		  {"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":9,"End":true}}}]}}}`,
			`["good","bad"]`, `[["good","again"],["good","bad"]]`, 1,
			"ExecutionFailed ExecutionRedriven LambdaFunctionScheduled LambdaFunctionStarted LambdaFunctionSucceeded TaskStateExited MapIterationSucceeded MapStateSucceeded MapStateExited WaitStateExited " +
				"ParallelStateSucceeded ParallelStateExited ExecutionSucceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			x, events, calls := redriven(t, tc.definition, tc.input)
			if x.Status() != asl.Succeeded || !same(x.Output(), tc.output) || len(calls) != tc.calls {
				t.Errorf("ended %s with %s after %d calls, want %s after %d", x.Status(), x.Output(), len(calls), tc.output, tc.calls)
			}
			if got := types(events); !strings.HasSuffix(got, tc.tail) {
				t.Errorf("history %s\nwant …   %s", got, tc.tail)
			}
			if n, at := x.Redrives(); n != 1 || at.IsZero() {
				t.Errorf("%d redrives at %v", n, at)
			}
			if err := x.Redrive(start); !errors.Is(err, asl.ErrNotRedrivable) {
				t.Errorf("one that succeeded: %v", err)
			}
		})
	}
}

// The time limit of an execution begins anew, and the context object tells of the redrive.
func TestRedriveOfATimeout(t *testing.T) {
	m, err := asl.Parse([]byte(`{"TimeoutSeconds":10,"StartAt":"W","States":{"W":{"Type":"Wait","SecondsPath":"$.s","Next":"P"},"P":{"Type":"Pass","Parameters":{"c.$":"$$.Execution"},"End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	x, err := asl.NewExecution(m, info(), `{"s":11}`, sources())
	if err != nil {
		t.Fatal(err)
	}
	x.Begin(start)
	x.Due(start.Add(10 * time.Second))
	if x.Status() != asl.TimedOut {
		t.Fatalf("status %s", x.Status())
	}
	if err := x.Redrive(start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if at, ok := x.NextDue(); !ok || !at.Equal(start.Add(time.Minute+10*time.Second)) {
		t.Errorf("due at %v", at)
	}
	x.Abort(start.Add(time.Minute), "", "")
	if err := x.Redrive(start.Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	x.Due(start.Add(2*time.Minute + 9*time.Second))
	if x.Status() != asl.Running {
		t.Errorf("status %s", x.Status())
	}
}
