package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/statemachine"
)

// Killed at any moment while runs learn and score, the pipeline goes on when the
// cloud is started again: in the end the version in service has learned from all
// that was uploaded, and all that was to be scored is.
func TestUp_KilledAtAnyMomentOfARun(t *testing.T) {
	t.Parallel()
	n, rnd := kills(t, 3)
	bin, err := newBin(t.TempDir(), smallerWith(t, "at_least: 0.3", "at_least: 0.3, beat_champion_by: -0.5"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var c *testCloud
	start := func() *upProcess {
		cmd := upCommand(t, dir, bin)
		cmd.Args = append(cmd.Args, "--clock", "virtual")
		up := started(t, cmd)
		c = &testCloud{session: sessionAt(t, up.endpoint), t: t}
		return up
	}
	var learned, scored []string // that were acknowledged
	upload := func(folder string, rows int, to *[]string) {
		n := len(learned) + len(scored)
		key := fmt.Sprintf("%s/%s/%03d.csv", pipeline, folder, n)
		text := strings.ReplaceAll(string(flightRows(rows, n%12+1)), "\n2001", fmt.Sprintf("\n%d-2001", n)) // keys of its own
		_, err := c.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &c.dataBucket, Key: &key, Body: strings.NewReader(text)})
		if err == nil {
			*to = append(*to, key)
		}
	}
	up := start()
	for range n {
		upload("raw", 400, &learned)
		upload("score", 50, &scored)
		time.Sleep(time.Duration(rnd.IntN(2500)) * time.Millisecond)
		if err := up.powerCut(dir); err != nil {
			t.Fatal(err)
		}
		up = start()
	}
	// What a job lost with the machine more often than its state tries again is
	// taken up by the next run.
	upload("raw", 400, &learned)
	c.pass(t, up, "25h")
	upload("score", 50, &scored)
	c.pass(t, up, "25h")
	t.Logf("%d files to learn from, %d to score", len(learned), len(scored))
	if len(learned) <= n || len(scored) <= n {
		t.Error("too little was acknowledged to tell anything")
	}
	c.wantRest()
	serving, found, err := c.ledger.InService(t.Context(), pipeline)
	if err != nil || !found {
		t.Fatalf("in service: %v, %v", found, err)
	}
	var files []string
	for _, f := range c.manifest(serving.Run).Recipe.Dataset {
		files = append(files, f.Key)
	}
	slices.Sort(learned)
	if !slices.Equal(files, learned) {
		t.Errorf("the version in service has learned from %q, want %q", files, learned)
	}
	for _, key := range scored {
		c.wantScored(key)
	}
	if t.Failed() {
		c.tell(t.Context())
	}
	if err := up.stop(); err != nil {
		t.Fatal(err)
	}
}

// pass lets time pass in a cloud of another process.
func (c *testCloud) pass(t *testing.T, up *upProcess, d string) {
	t.Helper()
	if _, err := askClock(t.Context(), up.endpoint, map[string]any{"advance": d}); err != nil {
		t.Fatalf("%v; it said: %s", err, up.said.String())
	}
}

// wantRest holds the pipeline to wait for nothing but new uploads.
func (c *testCloud) wantRest() {
	c.t.Helper()
	for _, lane := range []string{statemachine.LaneTrain, statemachine.LaneServe} {
		lease, err := c.ledger.Lease(c.t.Context(), pipeline, lane)
		if err != nil {
			c.t.Fatal(err)
		}
		causes, err := c.ledger.PendingCauses(c.t.Context(), pipeline, lane)
		if err != nil {
			c.t.Fatal(err)
		}
		if lease.Held || len(causes) > 0 {
			c.t.Errorf("lane %s has %+v and %+v", lane, lease, causes)
		}
	}
	out, err := c.sfn.ListExecutions(c.t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &c.stateMachine, StatusFilter: types.ExecutionStatusRunning})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range out.Executions {
		c.t.Errorf("execution %s still runs", aws.ToString(e.Name))
	}
}

// wantScored holds an upload to have scores by a run that ended well.
func (c *testCloud) wantScored(key string) {
	c.t.Helper()
	head, err := c.s3.HeadObject(c.t.Context(), &s3.HeadObjectInput{Bucket: &c.dataBucket, Key: &key})
	if err != nil {
		c.t.Fatal(err)
	}
	s, _, found, err := c.ledger.ScoredBy(c.t.Context(), pipeline, key, aws.ToString(head.VersionId))
	if err != nil {
		c.t.Fatal(err)
	}
	end, ended, err := c.ledger.Ended(c.t.Context(), pipeline, s.Run)
	if err != nil || !found || !ended || end.Error != "" {
		c.t.Errorf("%s: %v %+v, whose run ended %v %+v, %v", key, found, s, ended, end, err)
	}
}
