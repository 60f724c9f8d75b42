package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// byPerson makes versions of badInput wait for a reviewer.
var byPerson = []string{"by: policy", "by: person"}

// quiet makes uploads within half a minute become one run.
var quiet = []string{"quiet: 0s", "quiet: 30s"}

// TestReplacedWhileRead: a run learns from the version that it has pinned; what
// came meanwhile goes, all together, into one run that follows.
func TestReplacedWhileRead(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	gate := filepath.Join(c.bin, "gate")
	open := c.breaks("prepare", fmt.Sprintf("until [ -e %q ]; do sleep 0.02; done", gate))
	first := c.upload(flightRows(400, 1), "jan.csv")
	n := c.next()
	c.waitState(n, statemachine.StatePrepare)
	second := c.upload(flightRows(500, 1), "jan.csv")
	c.upload(flightRows(310, 2), "feb.csv")
	c.upload(flightRows(320, 3), "mar.csv")
	c.inbox(statemachine.LaneTrain, 3)
	if _, begun, err := c.ledger.Run(t.Context(), pipeline, n+1); err != nil || begun {
		t.Errorf("another run began beside run %d (%v)", n, err)
	}
	open()
	if err := os.WriteFile(gate, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.trains(n)
	c.prepared(n, 400)
	c.pinned(n, map[string]string{"flights/raw/jan.csv": first})

	follow := c.next()
	c.trains(follow)
	c.prepared(follow, 500+310+320)
	m, _, err := c.ledger.Run(t.Context(), pipeline, follow)
	if err != nil || len(m.Causes) != 3 {
		t.Errorf("run %d carries %d causes, want the 3 that came meanwhile (%v)", follow, len(m.Causes), err)
	}
	for _, f := range m.Recipe.Dataset {
		if f.Key == "flights/raw/jan.csv" && f.VersionID != second {
			t.Errorf("run %d reads version %s of jan.csv, want the new one", follow, f.VersionID)
		}
	}
}

// pinned holds the files of a run's dataset, by key, and their versions.
func (c *trouble) pinned(n int, want map[string]string) {
	c.t.Helper()
	m, _, err := c.ledger.Run(c.t.Context(), pipeline, n)
	if err != nil || m.Recipe == nil {
		c.t.Fatalf("run %d has no recipe (%v)", n, err)
	}
	got := map[string]string{}
	for _, f := range m.Recipe.Dataset {
		got[f.Key] = f.VersionID
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		c.t.Errorf("run %d reads %v, want %v", n, got, want)
	}
}

// TestUploadsInTheQuietPeriod: uploads within the quiet period coalesce.
func TestUploadsInTheQuietPeriod(t *testing.T) {
	t.Parallel()
	c := newTrouble(t, quiet...)
	for month := 1; month <= 5; month++ {
		c.upload(flightRows(100, month), fmt.Sprintf("%02d.csv", month))
	}
	c.inbox(statemachine.LaneTrain, 5)
	n := c.next()
	c.settles(n)
	c.trains(n)
	c.prepared(n, 500)
	m, _, err := c.ledger.Run(t.Context(), pipeline, n)
	if err != nil || len(m.Causes) != 5 || m.Why != "5 uploads: 5 files to learn from" {
		t.Errorf("run %d carries %d causes, %q (%v)", n, len(m.Causes), m.Why, err)
	}
	if _, begun, err := c.ledger.Run(t.Context(), pipeline, n+1); err != nil || begun {
		t.Errorf("a second run began (%v)", err)
	}
}

// inbox waits until so many causes are in a lane's inbox.
func (c *trouble) inbox(lane string, n int) {
	c.t.Helper()
	c.await(fmt.Sprintf("%d causes are in the inbox", n), func() bool {
		causes, err := c.ledger.PendingCauses(c.t.Context(), pipeline, lane)
		return err == nil && len(causes) == n
	})
}

// settles lets quiet periods pass until a run has its plan.
func (c *trouble) settles(n int) {
	c.t.Helper()
	c.await(fmt.Sprintf("run %d has a plan", n), func() bool {
		c.clock.jump(5 * time.Second)
		_, found, err := c.ledger.Run(c.t.Context(), pipeline, n)
		return err == nil && found
	})
}

// TestRejectedVersion: what is in service stays, and the same data is not
// trained from again.
func TestRejectedVersion(t *testing.T) {
	t.Parallel()
	c := newTrouble(t, byPerson...)
	c.upload(flightRows(400, 1), "jan.csv")
	n := c.next()
	c.decide(n, events.Rejected, "ORD is <not> plausible")
	end := c.waitRun(n)
	if want := "version 1 of flights was rejected: ORD is <not> plausible"; end.Error != statemachine.ErrApprovalRejected || end.Cause != want {
		t.Errorf("run %d ended as %+v, want %q", n, end, want)
	}
	c.tell(events.TypeRunFailed, n)
	contains(t, "report", c.page(n), "auc") // of the evaluation, which says most
	page, _ := c.get(c.ledger.Bucket(), ledger.RunKey(pipeline, n, "end.html"))
	contains(t, "page", page, "ORD is &lt;not&gt; plausible", "millrace approve flights/VERSION")
	if _, found, err := c.ledger.InService(t.Context(), pipeline); err != nil || found {
		t.Errorf("a version is in service (%v)", err)
	}
	c.upload(flightRows(410, 1), "jan.csv")
	n = c.next()
	c.decide(n, events.Approved, "better")
	c.completes(n, statemachine.OutcomeReleased)
}

// TestExpiredApproval: nobody decided in time; approving later releases after all.
func TestExpiredApproval(t *testing.T) {
	t.Parallel()
	c := newTrouble(t, byPerson...)
	c.upload(flightRows(400, 1), "jan.csv")
	n := c.next()
	c.waitState(n, statemachine.StateAwaitApproval)
	c.clock.jump(61 * time.Second)
	end := c.waitRun(n)
	if want := "nobody decided on version 1 of flights within 1m; approve it to release it after all"; end.Error != statemachine.ErrApprovalExpired || end.Cause != want {
		t.Errorf("run %d ended as %+v, want %q", n, end, want)
	}
	c.tell(events.TypeRunFailed, n)
	contains(t, "report", c.page(n), "auc")
	code, _, talk := c.millrace("approve", "-m", "back from holidays", pipeline+"/1")
	if code != 0 {
		t.Fatalf("millrace approve: exit code %d\n%s", code, talk)
	}
	release := c.next()
	c.completes(release, statemachine.OutcomeReleased)
	serving, _, err := c.ledger.InService(t.Context(), pipeline)
	if err != nil || serving.Version != 1 {
		t.Errorf("version %d is in service, want 1 (%v)", serving.Version, err)
	}
}

// TestScoresBeforeAnyModel: rows to score that come too early are kept, and
// scored when the first version is released.
func TestScoresBeforeAnyModel(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	c.uploadBytes(flightRows(50, 6), "flights/score/jun.csv")
	c.completes(c.next(), statemachine.OutcomeNoModel)
	c.upload(flightRows(400, 1), "jan.csv")
	n := c.next()
	c.completes(n, statemachine.OutcomeScored)
	if scores := c.scores(n); len(scores) != 50 || scores["200106-000001"] == "" {
		t.Errorf("scored %v", scores)
	}
}

// TestBadScoreFile: a bad file among good ones is refused, with its name and
// line, and the good ones are scored by the run that follows.
func TestBadScoreFile(t *testing.T) {
	t.Parallel()
	c := newTrouble(t, quiet...)
	c.upload(flightRows(400, 1), "jan.csv")
	n := c.next()
	c.settles(n)
	c.trains(n)
	c.uploadBytes(flightRows(50, 6), "flights/score/jun.csv")
	c.uploadBytes(withCell(flightRows(50, 7), 8, "distance", "far"), "flights/score/jul.csv")
	c.uploadBytes(gzipped(t, flightRows(50, 8)), "flights/score/aug.csv.gz")
	c.inbox(statemachine.LaneServe, 3)
	n = c.next()
	c.settles(n)
	c.fails(n, statemachine.ErrDataRejected, "flights/score/jul.csv, line 8")
	follow := c.next()
	c.settles(follow)
	c.completes(follow, statemachine.OutcomeScored)
	scores := c.scores(follow)
	if len(scores) != 100 || scores["200106-000001"] == "" || scores["200108-000050"] == "" {
		t.Errorf("%d rows are scored, want June's and August's 50 each", len(scores))
	}
	c.uploadBytes(flightRows(50, 7), "flights/score/jul.csv")
	n = c.next()
	c.settles(n)
	c.completes(n, statemachine.OutcomeScored)
	if scores := c.scores(n); len(scores) != 50 || scores["200107-000007"] == "" {
		t.Errorf("%d rows are scored, want July's 50", len(scores))
	}
}

// TestScoringFails: a model that cannot serve fails the run, and the next one
// scores the same rows.
func TestScoringFails(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	c.recovers()
	repair := c.breaks("serve", "echo cannot serve >&2; exit 1")
	c.uploadBytes(flightRows(50, 6), "flights/score/jun.csv")
	n := c.next()
	c.fails(n, statemachine.ErrJobFailed, "transform job flights-"+fmt.Sprint(n)+"-score-0 failed")
	contains(t, "report", c.page(n), "millrace logs flights/"+fmt.Sprint(n)+" --step score")
	repair()
	c.uploadBytes(flightRows(40, 7), "flights/score/jul.csv")
	n = c.next()
	c.completes(n, statemachine.OutcomeScored)
	var months []string
	for key := range c.scores(n) {
		months = append(months, key[:6])
	}
	if got := strings.Join(months, " "); strings.Count(got, "200106") != 50 || strings.Count(got, "200107") != 40 {
		t.Errorf("%d rows are scored, want June's 50 and July's 40", len(months))
	}
}
