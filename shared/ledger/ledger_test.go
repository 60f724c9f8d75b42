package ledger_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/statemachine"
)

var ctx = context.Background()

func open() (*ledger.Ledger, *ledgertest.S3) {
	s3 := ledgertest.NewS3()
	return ledger.New(s3, "ledger"), s3
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func input(run int) (json.RawMessage, error) {
	return json.RawMessage(fmt.Sprintf(`{"run":%d}`, run)), nil
}

// TestOneOfManyClaimsWins: however many claim a free lease at once, one gets it,
// its number is given to nobody else, and freeing it lets one more win.
func TestOneOfManyClaimsWins(t *testing.T) {
	const claims, rounds = 12, 8
	l, _ := open()
	given := map[int]bool{}
	for round := range rounds {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var winners []int
		for range claims {
			wg.Go(func() {
				lease, won, err := l.Claim(ctx, "flights", statemachine.LaneTrain, input)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case won:
					winners = append(winners, lease.Run)
				case !lease.Held:
					t.Error("a claim lost to a lease that nobody holds")
				}
			})
		}
		wg.Wait()
		if len(winners) != 1 || given[winners[0]] {
			t.Fatalf("round %d: winners are %v, numbers given before %v", round, winners, given)
		}
		given[winners[0]] = true
		check(t, l.MarkStarted(ctx, "flights", statemachine.LaneTrain, winners[0]))
		check(t, l.Free(ctx, "flights", statemachine.LaneTrain, winners[0]+1, false)) // not the holder
		if lease, err := l.Lease(ctx, "flights", statemachine.LaneTrain); err != nil || !lease.Held || !lease.Started || lease.Run != winners[0] {
			t.Fatalf("lease is %+v, %v", lease, err)
		}
		check(t, l.Free(ctx, "flights", statemachine.LaneTrain, winners[0], false))
		check(t, l.Free(ctx, "flights", statemachine.LaneTrain, winners[0], false))
	}
}

// TestAClaimWhoseAnswerWasLostIsFound: the run that was claimed is the one that a
// second try is told of, with the same input.
func TestAClaimWhoseAnswerWasLostIsFound(t *testing.T) {
	for _, at := range []int{3, 4} { // the writes of the number and of the lease
		l, s3 := open()
		s3.Faults = &ledgertest.Faults{At: at, After: true}
		_, _, err := l.Claim(ctx, "flights", "train", input)
		if !errors.Is(err, ledgertest.ErrFault) {
			t.Fatalf("fault %d: %v", at, err)
		}
		lease, _, err := l.Claim(ctx, "flights", "train", input)
		check(t, err)
		var in struct{ Run int }
		if err := json.Unmarshal(lease.Input, &in); err != nil || !lease.Held || in.Run != lease.Run {
			t.Errorf("fault %d: lease is %+v, %v", at, lease, err)
		}
	}
}

func TestLanesAndPipelinesDoNotShareLeases(t *testing.T) {
	l, _ := open()
	seen := map[string]int{}
	for _, c := range [][2]string{{"flights", "train"}, {"flights", "serve"}, {"other", "train"}} {
		lease, won, err := l.Claim(ctx, c[0], c[1], input)
		check(t, err)
		if !won {
			t.Errorf("%v is held", c)
		}
		seen[fmt.Sprint(c[0], lease.Run)]++
	}
	if seen["flights1"] != 1 || seen["flights2"] != 1 || seen["other1"] != 1 {
		t.Errorf("numbers are %v", seen)
	}
}

func cause(id string, at int) ledger.Cause {
	return ledger.Cause{ID: id, Pipeline: "flights", Kind: ledger.CauseRaw, Time: time.Unix(int64(at), 0).UTC()}
}

// TestACauseIsTakenOnce: told late, again or in another order, a cause leads to
// one run.
func TestACauseIsTakenOnce(t *testing.T) {
	l, s3 := open()
	s3.Page = 2
	for i, id := range []string{"c", "a", "b", "a"} {
		added, err := l.AddCause(ctx, cause(id, int(id[0])))
		check(t, err)
		if added != (i < 3) {
			t.Errorf("cause %s (%d) added: %v", id, i, added)
		}
	}
	pending, err := l.PendingCauses(ctx, "flights", statemachine.LaneTrain)
	check(t, err)
	if len(pending) != 3 || pending[0].ID != "a" || pending[2].ID != "c" {
		t.Errorf("pending are %v, want them by time", pending)
	}
	check(t, l.TakeCauses(ctx, 1, pending))
	check(t, l.TakeCauses(ctx, 2, pending)) // what the first one took stays its own
	if added, err := l.AddCause(ctx, cause("a", 1)); err != nil || added {
		t.Errorf("a cause that was taken is added again: %v", err)
	}
	if pending, err := l.PendingCauses(ctx, "flights", statemachine.LaneTrain); err != nil || len(pending) != 0 {
		t.Errorf("pending are %v, %v", pending, err)
	}
}

// TestWhatIsWrittenOnceStays: the second word is not heard, and the one who says
// it learns of the first.
func TestWhatIsWrittenOnceStays(t *testing.T) {
	l, _ := open()
	first, second := ledger.Run{Pipeline: "flights", Run: 1, Why: "first"}, ledger.Run{Pipeline: "flights", Run: 1, Why: "second"}
	check(t, l.CreateRun(ctx, &first))
	check(t, l.CreateRun(ctx, &second))
	if second.Why != "first" {
		t.Errorf("the second manifest says %q", second.Why)
	}
	end := ledger.End{Pipeline: "flights", Run: 1, Status: "FAILED"}
	check(t, l.EndRun(ctx, &end))
	end.Status = "SUCCEEDED"
	check(t, l.EndRun(ctx, &end))
	if end.Status != "FAILED" {
		t.Errorf("the run ended %s", end.Status)
	}
	set := jobfile.Dataset{Files: []jobfile.DataFile{{Key: "k"}}}
	check(t, l.CreateScores(ctx, "flights", 1, &set))
	set.Files[0].Key = "other"
	check(t, l.CreateScores(ctx, "flights", 1, &set))
	if set.Files[0].Key != "k" {
		t.Errorf("the scores are of %s", set.Files[0].Key)
	}
}

func TestAStaleWriterLearnsOfIt(t *testing.T) {
	l, _ := open()
	s := ledger.Step{Pipeline: "flights", Run: 1, Step: "train", Job: "j", Status: ledger.StepWaiting}
	check(t, l.SaveStep(ctx, s, ""))
	if err := l.SaveStep(ctx, s, ""); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("creating it again: %v", err)
	}
	_, etag, _, err := l.Step(ctx, "flights", 1, "train")
	check(t, err)
	s.Status = ledger.StepDone
	check(t, l.SaveStep(ctx, s, etag))
	if err := l.SaveStep(ctx, s, etag); !errors.Is(err, ledger.ErrConflict) {
		t.Errorf("a stale write: %v", err)
	}
}

func TestExecutionNames(t *testing.T) {
	tests := map[string]struct {
		pipeline string
		run      int
	}{
		"flights-1": {"flights", 1}, "a-1-22": {"a-1", 22},
		"flights": {}, "flights-": {}, "flights-0": {}, "flights-01": {}, "flights-+1": {}, "flights-1x": {}, "-1": {}, "": {},
	}
	for name, want := range tests {
		pipeline, run, ok := ledger.ParseExecutionName(name)
		if ok != (want.run > 0) || pipeline != want.pipeline && ok || run != want.run && ok {
			t.Errorf("%q is %q, %d, %v", name, pipeline, run, ok)
		}
		if ok && ledger.ExecutionName(pipeline, run) != name {
			t.Errorf("%q does not come back", name)
		}
	}
}

func TestTokensAreRememberedInOrder(t *testing.T) {
	var tokens []string
	for i := range 30 {
		tokens = ledger.AddToken(tokens, fmt.Sprint(i))
	}
	if tokens = ledger.AddToken(tokens, "25"); len(tokens) != 20 || tokens[19] != "25" || tokens[18] != "29" || slices.Contains(tokens[:19], "25") {
		t.Errorf("tokens are %v", tokens)
	}
}

// TestIDsDoNotCollide: parts that only join to the same text are other things.
func TestIDsDoNotCollide(t *testing.T) {
	if ledger.ID("ab", "c") == ledger.ID("a", "bc") || len(ledger.ID("x")) != 32 {
		t.Error("IDs of different parts are alike")
	}
}
