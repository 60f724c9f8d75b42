package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

func TestUploadsBecomeScores(t *testing.T) {
	t.Parallel()
	c := newCloud(t, smallFlights)
	c.uploadBytes(gzipped(t, flightRows(3000, 1)), "flights/raw/2001-01.csv.gz")
	c.awaitTold(events.TypeApprovalRequested, `"version":1`)
	run := c.begins()
	c.decide(run, events.Approved, "by the test")
	c.wantEnd(run, statemachine.OutcomeReleased)
	want := []string{"Settle", "Snapshot", "IsSettled", "Started", "IsNew", "Prepare", "Train", "Evaluate", "Gate", "Register",
		"NeedsPerson", "RequestApproval", "AwaitApproval", "Release", "Released", "IsScoring", "ReleasedOnly", "Completed", "Done"}
	if got := c.path(run); !slices.Equal(got, want) {
		t.Errorf("run %d went %v, want %v", run, got, want)
	}
	c.awaitTold(events.TypeModelReleased, `"flights-v1"`)
	c.awaitTold(events.TypeRunCompleted, `"released"`)

	c.uploadBytes(flightRows(1000, 2), "flights/score/2001-02.csv")
	run = c.begins()
	c.wantEnd(run, statemachine.OutcomeScored)
	c.wantScores(run, 1000)

	// The same again is nothing new: there is nothing to learn from it.
	c.uploadBytes(gzipped(t, flightRows(3000, 1)), "flights/raw/2001-01.csv.gz")
	run = c.begins()
	c.wantEnd(run, statemachine.OutcomeNothingNew)
	if got := c.path(run); slices.Contains(got, statemachine.StatePrepare) {
		t.Errorf("run %d went %v for data that was trained from", run, got)
	}
	c.wantRuns(3)
}

func TestUploadsTogetherAreOneRun(t *testing.T) {
	t.Parallel()
	c := newCloud(t, smallWith(t, "quiet: 0s", "quiet: 1s"))
	for month := 1; month <= 3; month++ {
		c.uploadBytes(flightRows(1000, month), "flights/raw/"+strconv.Itoa(month)+".csv")
	}
	first := c.begins()
	c.waitState(first, statemachine.StateAwaitApproval)
	if files := c.manifest(first).Recipe.Dataset; len(files) != 3 {
		t.Errorf("the first run learns from %+v, want all three uploads", files)
	}
	// What comes during a run is not lost: one follow-up run takes all of it.
	for month := 4; month <= 6; month++ {
		c.uploadBytes(flightRows(1000, month), "flights/raw/"+strconv.Itoa(month)+".csv")
	}
	c.await("the causes are in the inbox", func() bool {
		causes, err := c.ledger.PendingCauses(t.Context(), pipeline, statemachine.LaneTrain)
		if err != nil {
			t.Fatal(err)
		}
		return len(causes) == 3
	})
	c.decide(first, events.Approved, "by the test")
	c.wantEnd(first, statemachine.OutcomeReleased)
	second := c.begins()
	c.waitState(second, statemachine.StateAwaitApproval)
	if m := c.manifest(second); len(m.Causes) != 3 || len(m.Recipe.Dataset) != 6 {
		t.Errorf("the follow-up run has %d causes and %d files, want 3 and 6", len(m.Causes), len(m.Recipe.Dataset))
	}
	c.decide(second, events.Approved, "by the test")
	c.wantEnd(second, statemachine.OutcomeReleased)
	c.wantRuns(2)
}

func TestFilesWaitForTheFirstVersion(t *testing.T) {
	t.Parallel()
	c := newCloud(t, smallWith(t, "by: person", "by: policy"))
	c.uploadBytes(flightRows(500, 3), "flights/score/early.csv")
	c.wantEnd(c.begins(), statemachine.OutcomeNoModel)
	c.uploadBytes(flightRows(3000, 1), "flights/raw/1.csv")
	run := c.begins()
	c.wantEnd(run, statemachine.OutcomeScored)
	c.wantScores(run, 500)
	if got := c.path(run); slices.Contains(got, statemachine.StateAwaitApproval) {
		t.Errorf("the run went %v, but the policy approves", got)
	}
}

func TestAnOlderVersionComesBack(t *testing.T) {
	t.Parallel()
	for by, definition := range map[string]string{"person": smallFlights, "policy": smallWith(t, "by: person", "by: policy")} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, definition)
			for n := 1; n <= 2; n++ {
				c.uploadBytes(flightRows(3000, n), "flights/raw/"+strconv.Itoa(n)+".csv")
				run := c.begins()
				if by == "person" {
					c.decide(run, events.Approved, "by the test")
				}
				c.wantEnd(run, statemachine.OutcomeReleased)
				c.wantInService(n)
			}
			for _, version := range []int{1, 2, 1} {
				arn, found, err := c.registry.ARN(t.Context(), pipeline, version)
				if err != nil || !found {
					t.Fatalf("version %d: found %v, %v", version, found, err)
				}
				c.laterThan(arn)
				if err := c.registry.Decide(t.Context(), arn, events.Approved, "back to it"); err != nil {
					t.Fatal(err)
				}
				c.wantEnd(c.begins(), statemachine.OutcomeReleased)
				c.wantInService(version)
			}
		})
	}
}

func TestWorseThanWhatIsInServiceIsRefused(t *testing.T) {
	t.Parallel()
	c := newCloud(t, smallWith(t, "by: person", "by: policy", "beat_champion_by: -0.1", "beat_champion_by: 0.2"))
	c.uploadBytes(flightRows(3000, 1), "flights/raw/1.csv")
	c.wantEnd(c.begins(), statemachine.OutcomeReleased)
	c.uploadBytes(flightRows(3000, 2), "flights/raw/2.csv")
	run := c.begins()
	c.wantEnd(run, statemachine.OutcomeRefused)
	if report := c.report(run); !strings.Contains(report, "version 1") {
		t.Error("the report does not tell of the version that it was held against")
	}
	c.wantInService(1)
	c.uploadBytes(flightRows(500, 3), "flights/score/3.csv")
	c.wantEnd(c.begins(), statemachine.OutcomeScored)
}

// laterThan waits for the second after a version's last change: decisions are
// told apart by the second, as the registry's events tell it.
func (c *testCloud) laterThan(arn string) {
	c.t.Helper()
	v, err := c.registry.Version(c.t.Context(), arn)
	if err != nil {
		c.t.Fatal(err)
	}
	c.await("another second", func() bool { return time.Now().Unix() > v.Changed.Unix() })
}

// wantInService holds that a version is in service.
func (c *testCloud) wantInService(version int) {
	c.t.Helper()
	if serving, _, err := c.ledger.InService(c.t.Context(), pipeline); err != nil || serving.Version != version {
		c.t.Errorf("version %d is in service, %v; want %d", serving.Version, err, version)
	}
}

// The demonstration as people see it, on the real data.
func TestDemo(t *testing.T) {
	t.Parallel()
	shipped, err := filepath.Abs(filepath.Join("..", "..", "pipelines", "flights"))
	if err != nil {
		t.Fatal(err)
	}
	bin, err := newBin(t.TempDir(), filepath.Join(shipped, "pipeline.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "millrace"), "demo", "--once", "--json", "--data", filepath.Join(shipped, "data"))
	cmd.Dir, cmd.Stderr, cmd.Env = dir, &said, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + t.TempDir()}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	var got struct {
		Scores, Report string
		Rows           int
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if got.Rows != 104108 || !strings.HasSuffix(got.Scores, "/scores/2001-04.csv.out") {
		t.Errorf("it scored %d rows to %s, want the 104,108 of April", got.Rows, got.Scores)
	}
	report, err := os.ReadFile(filepath.Join(dir, got.Report))
	if err != nil || !bytes.Contains(report, []byte("<svg")) {
		t.Errorf("the report has no plot: %v", err)
	}
	for _, want := range []string{"307,058 rows", "auc 0.79", "approved version 1", "version 1 is in service", "ended: scored"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, said.String())
		}
	}
}

// wantEnd waits for a run's end, which is to be a good one with the outcome.
func (c *testCloud) wantEnd(n int, outcome string) {
	c.t.Helper()
	if end := c.waitRun(n); end.Status != types.ExecutionStatusSucceeded || end.Outcome != outcome {
		c.t.Fatalf("run %d ended as %+v, want %s", n, end, outcome)
	}
}

// wantScores holds a run's scores to be a probability for each of rows keys.
func (c *testCloud) wantScores(n, rows int) {
	c.t.Helper()
	scores := c.scores(n)
	if len(scores) != rows {
		c.t.Errorf("run %d scored %d rows, want %d", n, len(scores), rows)
	}
	for _, key := range slices.Sorted(maps.Keys(scores)) {
		if p, err := strconv.ParseFloat(scores[key], 64); err != nil || p <= 0 || p >= 1 {
			c.t.Fatalf("%s has score %q, want a probability", key, scores[key])
		}
	}
}

// wantRuns holds that there were so many runs, and nothing waits for one more.
func (c *testCloud) wantRuns(n int) {
	c.t.Helper()
	for _, lane := range []string{statemachine.LaneTrain, statemachine.LaneServe} {
		c.await("lane "+lane+" is free", func() bool {
			lease, err := c.ledger.Lease(c.t.Context(), pipeline, lane)
			if err != nil {
				c.t.Fatal(err)
			}
			return !lease.Held
		})
		if causes, err := c.ledger.PendingCauses(c.t.Context(), pipeline, lane); err != nil || len(causes) > 0 {
			c.t.Errorf("causes %+v still wait in lane %s, %v", causes, lane, err)
		}
	}
	lines, err := c.runs(c.t.Context(), nil, 100)
	if err != nil || len(lines) != n {
		c.t.Errorf("there are %d runs, %v: %+v; want %d", len(lines), err, lines, n)
	}
}

// manifest reads a run's manifest.
func (c *testCloud) manifest(n int) ledger.Run {
	c.t.Helper()
	m, found, err := c.ledger.Run(c.t.Context(), pipeline, n)
	if err != nil || !found {
		c.t.Fatalf("manifest of run %d: found %v, %v", n, found, err)
	}
	return m
}

// smallWith writes smallFlights with replacements, given as old and new in turn.
func smallWith(t *testing.T, oldnew ...string) string {
	t.Helper()
	raw, err := os.ReadFile(smallFlights)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(oldnew); i += 2 {
		if !strings.Contains(text, oldnew[i]) {
			t.Fatalf("%s has no %q", smallFlights, oldnew[i])
		}
		text = strings.Replace(text, oldnew[i], oldnew[i+1], 1)
	}
	file := filepath.Join(t.TempDir(), "pipeline.yaml")
	write(t, file, []byte(text))
	return file
}
