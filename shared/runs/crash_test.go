package runs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/runs/runstest"
	"github.com/millrace-ml/millrace/statemachine"
)

// life is what happens to a pipeline: uploads before and after there is a model,
// bad files, an interrupted job, two releases and a way back.
func life(w *world) {
	w.outcome = func(w *world, name string, j *runstest.Job) {
		switch {
		case strings.HasSuffix(name, "-train-0") && len(w.sm.Packages()) == 0:
			j.Status, j.Failure, j.Model = "Failed", "InternalServerError: try again", ""
		case strings.HasSuffix(name, "-prepare-0") && strings.Contains(w.manifest(name), "bad.csv"):
			j.Exit = `{"ok":false,"error":"DataRejected","message":"bad.csv is bad","refused":["flights/raw/bad.csv"]}`
		case strings.HasSuffix(name, "-prepare-scores-0") && strings.Contains(w.manifest(name), "broken.csv"):
			j.Exit = `{"ok":false,"error":"DataRejected","message":"broken.csv is broken","refused":["flights/score/broken.csv"]}`
		}
	}
	// Files to score come before there is a model, and to learn from in one go.
	w.told("upload", w.hear(w.upload("flights/score/early.csv")))
	w.work()
	first, second := w.hear(w.upload("flights/raw/jan.csv")), w.hear(w.upload("flights/raw/feb.csv"))
	w.told("upload", second)
	w.told("upload", first)
	w.work()
	w.told("late duplicate", first)
	w.work()
	// A bad file among those to score, and one among those to learn from.
	w.told("upload", w.hear(w.upload("flights/score/fine.csv")))
	w.told("upload", w.hear(w.upload("flights/score/broken.csv")))
	w.work()
	w.told("upload", w.hear(w.upload("flights/raw/bad.csv")))
	w.work()
	w.told("upload", w.hear(w.upload("flights/raw/mar.csv")))
	w.work()
	// Back to the first version.
	if len(w.sm.Packages()) == 0 {
		w.tb.Fatal(w.state())
	}
	w.wish = w.events + 1
	w.decide("arn:aws:sagemaker:us-east-1:000000000000:model-package/flights/1", 1, events.Approved)
	w.work()
}

// manifest is the list of files that a job reads.
func (w *world) manifest(job string) string {
	j, _ := w.sm.Job(job)
	key, _ := w.ledger.Key(j.Inputs["data"])
	return w.s3.Objects(ledgerBucket)[key]
}

// TestEveryCrashIsSurvived lets every single call of a pipeline's life fail once,
// before and after it took effect, and what was called tries again: it must come
// to the same as a life without faults, and as one whose events all come twice.
func TestEveryCrashIsSurvived(t *testing.T) {
	calm := newWorld(t, &ledgertest.Faults{})
	life(calm)
	want := calm.state()
	double := newWorld(t, &ledgertest.Faults{})
	double.twice = true
	life(double)
	if got := double.state(); got != want {
		t.Fatalf("events that come twice change what comes of them:\n%s", difference(got, want))
	}
	for _, after := range []bool{false, true} {
		t.Run(map[bool]string{false: "before it took effect", true: "after it took effect"}[after], func(t *testing.T) {
			t.Parallel()
			for at := 1; at <= calm.faults.Calls(); at++ {
				w := newWorld(t, &ledgertest.Faults{At: at, After: after})
				w.twice = at%7 == 0
				life(w)
				if got := w.state(); got != want {
					t.Fatalf("fault %d (%s, after %v) changes what comes of it:\n%s", at, w.faults.Met(), after, difference(got, want))
				}
			}
		})
	}
}

// TestEveryLostEventIsMadeUpFor never tells one event of a pipeline's life: what
// comes later, or the daily rule, must lead to the same models and scores.
func TestEveryLostEventIsMadeUpFor(t *testing.T) {
	calm := newWorld(t, &ledgertest.Faults{})
	life(calm)
	want := calm.result()
	for lost := 1; lost <= calm.events; lost++ {
		if lost == calm.wish {
			continue // only the event tells that it is one: the version was approved before
		}
		w := newWorld(t, &ledgertest.Faults{})
		w.lost = lost
		life(w)
		if got := w.result(); got != want {
			t.Fatalf("without event %d of %d another thing comes of it:\n%s", lost, calm.events, difference(got, want))
		}
	}
}

// TestWhoFindsALaneTakenLooksAtItsRun: the end of the run that holds it may not
// have been told, and its execution may be gone.
func TestWhoFindsALaneTakenLooksAtItsRun(t *testing.T) {
	const first, second = "flights-1", "flights-2"
	tests := map[string]struct {
		before func(w *world)
		held   int    // the run that holds the lane then
		status string // with which run 1 ended; "": it has not
	}{
		"it runs": {func(*world) {}, 1, ""},
		"it ended well": {func(w *world) {
			w.states.End(events.ExecutionStatusChange{Name: first, Status: events.ExecutionSucceeded})
		}, 2, events.ExecutionSucceeded},
		"it was stopped": {func(w *world) {
			w.states.End(events.ExecutionStatusChange{Name: first, Status: events.ExecutionAborted})
		}, 2, events.ExecutionAborted},
		"it is gone": {func(w *world) { w.states.Forget(first) }, 1, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, _ := planned(t)
			tt.before(w)
			hear := w.hear(w.upload("flights/raw/feb.csv"))
			for range 2 {
				check(t, hear())
			}
			lease, err := w.ledger.Lease(ctx, "flights", statemachine.LaneTrain)
			check(t, err)
			if lease.Run != tt.held || !lease.Held || !slices.Contains(w.states.Executions(), ledger.ExecutionName("flights", tt.held)) {
				t.Errorf("the lane has %+v after %v, want run %d", lease, w.states.Executions(), tt.held)
			}
			end, ended, err := w.ledger.Ended(ctx, "flights", 1)
			check(t, err)
			if ended != (tt.status != "") || end.Status != tt.status {
				t.Errorf("run 1 ended: %v %+v, want %q", ended, end, tt.status)
			}
			if slices.Contains(w.states.Executions(), second) != ended {
				t.Errorf("executions are %v", w.states.Executions())
			}
		})
	}
}

// difference is the lines that are in one text only.
func difference(got, want string) string {
	var b strings.Builder
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	count := map[string]int{}
	for _, l := range w {
		count[l]++
	}
	for _, l := range g {
		if count[l]--; count[l] < 0 {
			b.WriteString("+ " + l + "\n")
		}
	}
	for _, l := range w {
		if count[l] > 0 {
			count[l]--
			b.WriteString("- " + l + "\n")
		}
	}
	return b.String()
}
