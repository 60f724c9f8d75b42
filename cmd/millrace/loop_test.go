package main

import (
	"slices"
	"strconv"
	"testing"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/statemachine"
)

func TestUploadsBecomeScores(t *testing.T) {
	t.Parallel()
	c := newCloud(t, smallFlights)
	c.uploadBytes(gzipped(t, flightRows(3000, 1)), "flights/raw/2001-01.csv.gz")
	c.decide(1, events.Approved, "by the test")
	if end := c.waitRun(1); end.Outcome != statemachine.OutcomeReleased {
		t.Fatalf("run 1 ended as %+v", end)
	}
	want := []string{"Settle", "Snapshot", "IsSettled", "Started", "IsNew", "Prepare", "Train", "Evaluate", "Gate", "Register"}
	if got := c.path(1); !slices.Equal(got[:len(want)], want) {
		t.Errorf("run 1 went %v, want it to begin %v", got, want)
	}
	c.awaitTold(events.TypeModelReleased, `"flights-v1"`)

	c.uploadBytes(flightRows(1000, 2), "flights/score/2001-02.csv")
	if end := c.waitRun(2); end.Outcome != statemachine.OutcomeScored {
		t.Fatalf("run 2 ended as %+v", end)
	}
	scores := c.scores(2)
	if len(scores) != 1000 {
		t.Errorf("%d rows are scored, want 1000", len(scores))
	}
	for key, score := range scores {
		if p, err := strconv.ParseFloat(score, 64); err != nil || p <= 0 || p >= 1 {
			t.Fatalf("%s has score %q, want a probability", key, score)
		}
	}
}
