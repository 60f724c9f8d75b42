package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/shared/ledger"
)

// Half a year of a pipeline with a weekly schedule, on a clock that moves by
// its jumps alone: every time is what it should be, to the millisecond. Each
// month new rows come on a Thursday; the reviewer answers two days later, but
// in March not at all; and three weeks later there is a file to score.
func TestHalfAYear(t *testing.T) {
	t.Parallel()
	const (
		day, week       = 24 * time.Hour, 7 * 24 * time.Hour
		weeks, months   = 26, 6
		month           = 4 * week
		quiet, within   = 2 * time.Hour, 7 * day
		comes, decided  = 3 * day, 5 * day // of each month, from its Monday
		toScore, silent = 25 * day, 3
	)
	begin := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	bin, err := newBin(t.TempDir(), smallWith(t, "quiet: 0s", "quiet: 2h", "within: 168h", "within: 7d"))
	if err != nil {
		t.Fatal(err)
	}
	v := clock.NewVirtual(clock.Still{At: begin})
	c := serveCloud(t, cloudOptions{bin: bin, clock: v})
	to := func(at time.Duration) {
		t.Helper()
		if err := v.Advance(t.Context(), begin.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	want, expired := map[time.Duration]string{}, silent*month-month+comes+quiet+within
	for n := 1; n <= weeks; n++ {
		due := time.Duration(n) * week
		if due > expired-within && due < expired {
			due = expired // it waits for the run before it
		}
		want[due] = fmt.Sprintf("nothing nothing-new  in %s", quiet)
	}
	inService := 0
	for n := 1; n <= months; n++ {
		monday := time.Duration(n-1) * month
		to(monday + comes)
		c.uploadBytes(flightRows(1500, n), fmt.Sprintf("flights/raw/2001-%02d.csv", n))
		want[monday+comes] = fmt.Sprintf("train  ApprovalExpired in %s", quiet+within)
		if n != silent {
			to(monday + decided)
			c.approve(n)
			want[monday+comes] = fmt.Sprintf("train released  in %s", decided-comes)
			inService = n
		}
		to(monday + toScore)
		c.uploadBytes(flightRows(500, n), fmt.Sprintf("flights/score/2001-%02d.csv", n))
		want[monday+toScore] = fmt.Sprintf("score scored  in %s", quiet)
		to(monday + toScore + 2*quiet)
		c.wantInService(inService)
	}
	to(weeks * week)

	lines, err := c.runs(t.Context(), nil, 200)
	if err != nil {
		t.Fatal(err)
	}
	scheduled := 0
	for _, l := range slices.Backward(lines) {
		at := l.Started.Sub(begin)
		got := fmt.Sprintf("%s %s %s in %s", l.Kind, l.Outcome, l.Error, time.Duration(l.Seconds*float64(time.Second)))
		if got != want[at] {
			t.Errorf("the run of %s: %s, want %q", l.Started, got, want[at])
		}
		delete(want, at)
		_, n, err := splitRef(l.Run)
		if err != nil {
			t.Fatal(err)
		}
		if l.Outcome == "scored" {
			c.wantScores(n, 500)
		}
		for _, cause := range c.manifest(n).Causes {
			if cause.Kind == ledger.CauseSchedule {
				scheduled++
				if due := begin.Add(time.Duration(scheduled) * week); !cause.Time.Equal(due) {
					t.Errorf("the schedule came due at %s, want %s", cause.Time, due)
				}
			}
		}
	}
	if len(want) > 0 || scheduled != weeks {
		t.Errorf("%d weeks came due, want %d; these runs are missing: %v", scheduled, weeks, want)
	}
}

// approve approves a version of flights.
func (c *testCloud) approve(version int) {
	c.t.Helper()
	arn, found, err := c.registry.ARN(c.t.Context(), pipeline, version)
	if err == nil && !found {
		err = fmt.Errorf("there is none")
	}
	if err == nil {
		err = c.registry.Decide(c.t.Context(), arn, events.Approved, "by the test")
	}
	if err != nil {
		c.t.Fatalf("approve version %d: %v", version, err)
	}
}
