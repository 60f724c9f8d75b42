package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// allFaults, set to "all", has TestEachFaultIsSurvived try every fault; else it
// tries a sample.
const allFaults = "MILLRACE_TEST_FAULTS"

// A sample is one of so many faults; so many clouds share them.
const (
	sampled      = 60
	faultyClouds = 2
)

// faultyCloud is a cloud in which the main job is done again and again, each time
// from nothing but the run numbers.
type faultyCloud struct {
	*testCloud
	clock    *clock.Virtual
	versions int // in the registry
}

func newFaultyCloud(t *testing.T, bin string) *faultyCloud {
	t.Helper()
	k := clock.NewVirtual(clock.Real{})
	c := &faultyCloud{testCloud: serveCloud(t, cloudOptions{bin: bin, clock: k, faults: true}), clock: k}
	// The shipped pipeline's schedule would come due in some lives.
	_, err := eventbridge.NewFromConfig(c.cfg).DisableRule(t.Context(), &eventbridge.DisableRuleInput{Name: aws.String(events.ScheduleRulePrefix + pipeline)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// done is what a life of the main job comes to.
type done struct {
	Train, Score []string          // states
	Outcomes     []string          // of all runs, in order
	Digest       string            // of what the version was trained from
	Model        map[string]string // SHA-256 by file
	Scores       map[string]string // by key
	Versions     int               // that were registered
	InService    bool              // the version that the run registered serves
	Left         []string          // what should not be left
}

// TestEachFaultIsSurvived does the main job, from an upload to scores, once in
// peace, and then once with each single fault that it can meet: every event that
// comes twice, late, behind the next or never, every function killed before and after
// each of its calls, every call that is throttled or whose answer is lost, every
// job that the platform fails. All must come to the same.
func TestEachFaultIsSurvived(t *testing.T) {
	t.Parallel()
	bin, err := newBin(t.TempDir(), smallerWith(t, "by: policy, within: 1m", "by: person, within: 90h"))
	if err != nil {
		t.Fatal(err)
	}
	first := newFaultyCloud(t, bin)
	want := first.life()
	if len(want.Left) > 0 || want.Versions != 1 || !want.InService || len(want.Scores) != scoreRows {
		t.Fatalf("without faults it comes to %+v", want)
	}
	all := first.faults()
	t.Logf("the main job can meet %d faults", len(all))
	if os.Getenv(allFaults) != "all" {
		all = slices.DeleteFunc(all, func(f faults.Fault) bool { return sum(f.ID)%sampled != 0 && f.Do != faults.Drop })
	}
	var missed atomic.Int32
	t.Cleanup(func() {
		// The number of calls differs by a few with the order in which things come.
		if n := int(missed.Load()); n > 1 && n > len(all)/10 {
			t.Errorf("%d of %d faults were not met", n, len(all))
		}
	})
	for w := range faultyClouds {
		t.Run(fmt.Sprint("cloud ", w+1), func(t *testing.T) {
			t.Parallel()
			var c *faultyCloud
			if w == 0 {
				c = first
			}
			for i := w; i < len(all); i += faultyClouds {
				f := all[i]
				if c == nil {
					c = newFaultyCloud(t, bin)
				}
				owner := c.t
				failed := !t.Run(f.ID, func(t *testing.T) {
					c.t = t
					if !c.survives(f, want) {
						missed.Add(1)
						t.Log("it was not met")
					}
				})
				c.t = owner
				if failed {
					c = nil // what it left would be in the way of the next
				}
			}
		})
	}
}

// TestWhatComesOfDroppedEvents: the next event of the pipeline, or the end of a
// wait, makes up for one that never came, before the daily rule does.
func TestWhatComesOfDroppedEvents(t *testing.T) {
	t.Parallel()
	bin, err := newBin(t.TempDir(), smallerWith(t, "by: policy, within: 1m", "by: person, within: 1h", "at_least: 0.3", "at_least: 0.3, beat_champion_by: -0.5"))
	if err != nil {
		t.Fatal(err)
	}
	c := newFaultyCloud(t, bin)
	drop := func(rule string) {
		c.control(http.MethodDelete, nil)
		c.lay(faults.Fault{On: faults.OnEvent, Match: faults.Match{Rule: rule}, Do: faults.Drop, Count: 1})
	}
	upload := func(n int) { c.uploadBytes(flightRows(learnRows, n), fmt.Sprintf("flights/raw/%d.csv", n)) }
	// A dropped upload is found by the run of the next one, and a dropped yes when
	// the time to say it is over.
	drop("millrace-uploads")
	upload(1)
	c.settle()
	upload(2)
	run := c.begins()
	drop("millrace-decisions")
	c.decide(run, events.Approved, "by the test")
	c.settle()
	c.pass(2 * time.Hour)
	c.wantEnd(run, statemachine.OutcomeReleased)
	if files := c.manifest(run).Recipe.Dataset; len(files) != 2 {
		t.Errorf("run %d learns from %+v, want both uploads", run, files)
	}
	// A run whose own end is dropped holds its lane until the next upload comes.
	// The state whose job's end is dropped asks again when its time is up.
	drop("millrace-executions")
	upload(3)
	run = c.begins()
	c.decide(run, events.Approved, "by the test")
	c.settle()
	if _, ended, err := c.ledger.Ended(t.Context(), pipeline, run); ended || err != nil {
		t.Errorf("run %d is put on record although its end was not told: %v", run, err)
	}
	drop("millrace-jobs")
	upload(4)
	c.wantEnd(run, statemachine.OutcomeReleased)
	run = c.begins()
	c.waitState(run, statemachine.StatePrepare)
	c.settle()
	c.pass(62 * time.Minute) // max_runtime and an hour
	c.decide(run, events.Approved, "by the test")
	c.wantEnd(run, statemachine.OutcomeReleased)
	if files := c.manifest(run).Recipe.Dataset; len(files) != 4 {
		t.Errorf("run %d learns from %+v, want all uploads", run, files)
	}
}

// TestSpotMachinesAreTakenAway: whether the next one comes in time, or the run
// goes on with a machine on demand, it comes to the same.
func TestSpotMachinesAreTakenAway(t *testing.T) {
	t.Parallel()
	bin, err := newBin(t.TempDir(), smallerWith(t, "by: policy, within: 1m", "by: person, within: 1h", "train:\n", "train:\n  spot: true\n  max_wait: 10m\n"))
	if err != nil {
		t.Fatal(err)
	}
	c := newFaultyCloud(t, bin)
	want := c.life()
	if len(want.Left) > 0 || !want.InService {
		t.Fatalf("without faults it comes to %+v", want)
	}
	for _, tt := range []struct {
		seconds float64
		jobs    map[string]types.SecondaryStatus // by attempt
	}{
		{60, map[string]types.SecondaryStatus{"0": types.SecondaryStatusCompleted}},
		{3600, map[string]types.SecondaryStatus{"0": types.SecondaryStatusMaxWaitTimeExceeded, "1": types.SecondaryStatusCompleted}},
	} {
		before := c.seen
		if !c.survives(faults.Fault{On: faults.OnJob, Match: faults.Match{Kind: "training"}, Do: faults.Interrupt, Seconds: tt.seconds}, want) {
			t.Errorf("the machine was not taken away for %gs", tt.seconds)
		}
		run, err := firstRunAfter(t.Context(), c.session, before)
		if err != nil {
			t.Fatal(err)
		}
		for attempt, status := range tt.jobs {
			job := fmt.Sprintf("%s-%d-train-%s", pipeline, run, attempt)
			d, err := c.sagemaker.DescribeTrainingJob(t.Context(), &sagemaker.DescribeTrainingJobInput{TrainingJobName: &job})
			if err != nil {
				t.Fatal(err)
			}
			if d.SecondaryStatus != status || aws.ToBool(d.EnableManagedSpotTraining) != (attempt == "0") {
				t.Errorf("job %s is %s, spot %v; want %s", job, d.SecondaryStatus, aws.ToBool(d.EnableManagedSpotTraining), status)
			}
		}
	}
}

// sum is a number made of a text, the same at every time.
func sum(text string) int {
	h := sha256.Sum256([]byte(text))
	return int(h[0])<<8 | int(h[1])
}

// smallerWith is badInput, edited by (old, new) pairs of text.
func smallerWith(t *testing.T, edits ...string) string {
	t.Helper()
	raw, err := os.ReadFile(badInput)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(edits); i += 2 {
		raw = edited(t, raw, edits[i], edits[i+1])
	}
	file := t.TempDir() + "/pipeline.yaml"
	write(t, file, raw)
	return file
}

// survives does the main job with a fault, and tells whether it was met.
func (c *faultyCloud) survives(f faults.Fault, want done) (met bool) {
	c.t.Helper()
	c.reset()
	c.lay(f)
	if f.Do == faults.Drop {
		c.idle = c.passDays
		defer func() { c.idle = nil }()
	}
	got := c.life()
	held, _ := c.look()
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if !bytes.Equal(g, w) {
		if len(got.Scores) == len(want.Scores) {
			got.Scores, want.Scores = nil, nil
		}
		c.t.Errorf("with %+v it comes to\n%+v, not\n%+v", held[0], got, want)
	}
	return held[0].Hits > 0
}

// passDays lets a day pass when what is awaited has not come though nothing more
// happens: the daily rule comes due, and waits run out.
func (c *faultyCloud) passDays(looks int) {
	c.t.Helper()
	c.settle()
	if looks%2 == 0 {
		c.pass(25 * time.Hour)
	}
}

// pass lets time pass.
func (c *faultyCloud) pass(d time.Duration) {
	c.t.Helper()
	if err := c.clock.Advance(c.t.Context(), c.clock.Now().Add(d)); err != nil {
		c.t.Fatal(err)
	}
}

// sdkTries is how often the SDK makes a call until it gives up.
const sdkTries = 3

// Rows of a life's two uploads.
const (
	learnRows = 400
	scoreRows = 100
)

// life uploads rows to learn from, approves the version and uploads rows to score.
func (c *faultyCloud) life() done {
	c.t.Helper()
	c.uploadBytes(flightRows(learnRows, 1), "flights/raw/learn.csv")
	train := c.begins()
	c.waitState(train, statemachine.StateAwaitApproval)
	p, found, err := c.ledger.Package(c.t.Context(), pipeline, train)
	if err != nil || !found {
		c.t.Fatalf("find the version of run %d: found %v, %v", train, found, err)
	}
	c.await("the run waits for the decision", func() bool {
		d, _, _, err := c.ledger.Decision(c.t.Context(), pipeline, p.Version)
		if err != nil {
			c.t.Fatal(err)
		}
		return len(d.Tokens) > 0
	})
	if err := c.registry.Decide(c.t.Context(), p.ARN, events.Approved, "by the test"); err != nil {
		c.t.Fatal(err)
	}
	d := done{Outcomes: []string{c.waitRun(train).Outcome}, Train: c.path(train)}
	c.uploadBytes(flightRows(scoreRows, 2), "flights/score/score.csv")
	for score := 0; score == 0; {
		run := c.begins()
		d.Outcomes = append(d.Outcomes, c.waitRun(run).Outcome)
		d.Score = c.path(run)
		if d.Outcomes[len(d.Outcomes)-1] != statemachine.OutcomeNothingNew {
			score = run
			d.Scores = c.scores(score)
		}
	}
	c.settle()
	v, err := c.registry.Version(c.t.Context(), p.ARN)
	if err != nil {
		c.t.Fatal(err)
	}
	serving, _, err := c.ledger.InService(c.t.Context(), pipeline)
	if err != nil {
		c.t.Fatal(err)
	}
	d.Digest, d.Model, d.InService = v.TrainDigest, c.model(v.ModelData), serving.Package == p.ARN
	d.Versions = c.newVersions()
	d.Left = c.left()
	return d
}

// settle waits until nothing happens and nothing is going to.
func (c *faultyCloud) settle() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := c.clock.Quiet(ctx); err != nil {
		c.t.Fatalf("there is no end: %v: %+v", err, c.clock.State())
	}
}

// reset makes the pipeline's state as it was before its first run.
func (c *faultyCloud) reset() {
	c.t.Helper()
	c.control(http.MethodDelete, nil)
	for _, bucket := range []string{c.dataBucket, c.ledger.Bucket()} {
		pages := s3.NewListObjectsV2Paginator(c.s3, &s3.ListObjectsV2Input{Bucket: &bucket})
		for pages.HasMorePages() {
			page, err := pages.NextPage(c.t.Context())
			if err != nil {
				c.t.Fatal(err)
			}
			var ids []s3types.ObjectIdentifier
			for _, o := range page.Contents {
				if *o.Key != pipeline+"/counter.json" {
					ids = append(ids, s3types.ObjectIdentifier{Key: o.Key})
				}
			}
			if len(ids) == 0 {
				continue
			}
			if _, err := c.s3.DeleteObjects(c.t.Context(), &s3.DeleteObjectsInput{Bucket: &bucket, Delete: &s3types.Delete{Objects: ids}}); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// model gives the SHA-256 of what is in a model.tar.gz, without what names the run.
func (c *testCloud) model(uri string) map[string]string {
	c.t.Helper()
	key, ok := c.ledger.Key(uri)
	if !ok {
		c.t.Fatalf("the model is at %s", uri)
	}
	raw, _ := c.get(c.ledger.Bucket(), key)
	z, err := gzip.NewReader(strings.NewReader(raw))
	if err != nil {
		c.t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			c.t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			c.t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg && h.Name != "millrace/recipe.txt" { // which has the uploads' version ids
			of := sha256.Sum256(content)
			files[h.Name] = hex.EncodeToString(of[:])
		}
	}
}

// newVersions counts the versions that were registered since it was last asked.
func (c *faultyCloud) newVersions() int {
	c.t.Helper()
	n, group := 0, pipeline
	pages := sagemaker.NewListModelPackagesPaginator(c.sagemaker, &sagemaker.ListModelPackagesInput{ModelPackageGroupName: &group})
	for pages.HasMorePages() {
		page, err := pages.NextPage(c.t.Context())
		if err != nil {
			c.t.Fatal(err)
		}
		n += len(page.ModelPackageSummaryList)
	}
	more := n - c.versions
	c.versions = n
	return more
}

// left tells what is not as it should be when all is done.
func (c *faultyCloud) left() (left []string) {
	c.t.Helper()
	ctx := c.t.Context()
	for _, lane := range []string{statemachine.LaneTrain, statemachine.LaneServe} {
		lease, err := c.ledger.Lease(ctx, pipeline, lane)
		if err != nil {
			c.t.Fatal(err)
		}
		causes, err := c.ledger.PendingCauses(ctx, pipeline, lane)
		if err != nil {
			c.t.Fatal(err)
		}
		if lease.Held || len(causes) > 0 {
			left = append(left, fmt.Sprintf("lane %s has %+v and %+v", lane, lease, causes))
		}
	}
	out, err := c.sfn.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &c.stateMachine})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, e := range out.Executions {
		if _, n, _ := ledger.ParseExecutionName(*e.Name); n > c.seen || e.Status != "SUCCEEDED" {
			left = append(left, fmt.Sprintf("execution %s is %s", *e.Name, e.Status))
		}
	}
	queue, err := c.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String("millrace-dead-letters")})
	if err != nil {
		c.t.Fatal(err)
	}
	dead, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl, AttributeNames: []sqstypes.QueueAttributeName{"ApproximateNumberOfMessages"}})
	if err != nil {
		c.t.Fatal(err)
	}
	if n := dead.Attributes["ApproximateNumberOfMessages"]; n != "0" {
		left = append(left, n+" dead letters")
	}
	return left
}

// faults are all single faults that a life can meet which the cloud has seen.
func (c *faultyCloud) faults() []faults.Fault {
	c.t.Helper()
	var all []faults.Fault
	// each adds a fault for each of count moments.
	each := func(name string, f faults.Fault, count int) {
		for i := range count {
			f.ID, f.Skip, f.Count = fmt.Sprintf("%s-%d", name, i+1), i, 1
			all = append(all, f)
		}
	}
	_, seen := c.look()
	calls := map[string]int{}
	for _, s := range seen {
		m := s.Match
		switch {
		case s.On == faults.OnEvent && strings.HasPrefix(m.Rule, "millrace-"):
			name := strings.TrimPrefix(m.Rule, "millrace-") + "-" + strings.ReplaceAll(m.DetailType, " ", "")
			all = append(all, faults.Fault{ID: "duplicate-all-" + name, On: s.On, Match: m, Do: faults.Duplicate})
			each("duplicate-"+name, faults.Fault{On: s.On, Match: m, Do: faults.Duplicate}, s.Count)
			each("again-"+name, faults.Fault{On: s.On, Match: m, Do: faults.Duplicate, Seconds: 60}, s.Count)
			each("delay-"+name, faults.Fault{On: s.On, Match: m, Do: faults.Delay, Seconds: 60}, s.Count)
			each("drop-"+name, faults.Fault{On: s.On, Match: m, Do: faults.Drop}, s.Count)
			each("reorder-"+name, faults.Fault{On: s.On, Match: m, Do: faults.Reorder, Seconds: 60}, s.Count)
		case s.On == faults.OnCall && m.Caller != "root" && m.Service != "sqs":
			once := s.Count
			if strings.HasPrefix(m.Caller, "millrace-") {
				calls[m.Caller] += s.Count
				once = 1 // the SDK makes the call again, and the function never knows
			} else if i := strings.LastIndex(m.Caller, "-"); i > 0 { // a role, whose name ends differently in each stack
				m.Caller = m.Caller[:i] + "*"
			}
			name := strings.Join([]string{strings.TrimSuffix(m.Caller, "*"), m.Service, m.Operation}, "-")
			each("throttle-"+name, faults.Fault{On: s.On, Match: m, Do: faults.Throttle}, once)
			all = append(all, faults.Fault{ID: "throttle-long-" + name, On: s.On, Match: m, Do: faults.Throttle, Count: sdkTries})
			each("cut-"+name, faults.Fault{On: s.On, Match: m, Do: faults.Cut, After: true}, s.Count)
		case s.On == faults.OnInvocation:
			each("die-first-"+m.Function, faults.Fault{On: s.On, Match: m, Do: faults.Kill}, s.Count)
			each("die-last-"+m.Function, faults.Fault{On: s.On, Match: m, Do: faults.Kill, After: true}, s.Count)
		case s.On == faults.OnJob:
			_, step, _ := strings.Cut(strings.TrimPrefix(m.Job, pipeline+"-"), "-")
			m.Job = "*-" + step
			each("fail-"+step, faults.Fault{On: s.On, Match: m, Do: faults.Fail}, 1)
			each("slow-"+step, faults.Fault{On: s.On, Match: m, Do: faults.Slow, Seconds: 30}, 1)
		}
	}
	all = append(all, faults.Fault{ID: "duplicate-all", On: faults.OnEvent, Match: faults.Match{Rule: "millrace-*"}, Do: faults.Duplicate})
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		match := faults.Match{Caller: name}
		each("kill-before-"+name, faults.Fault{On: faults.OnCall, Match: match, Do: faults.Kill}, calls[name])
		each("kill-after-"+name, faults.Fault{On: faults.OnCall, Match: match, Do: faults.Kill, After: true}, calls[name])
	}
	return all
}

// lay lays a fault.
func (c *faultyCloud) lay(f faults.Fault) {
	c.t.Helper()
	c.control(http.MethodPost, f)
}

// look gives the faults that are laid, and what was seen by others than the test.
func (c *faultyCloud) look() (held []faults.Hold, seen []faults.Seen) {
	c.t.Helper()
	var answer struct {
		Faults []faults.Hold
		Seen   []faults.Seen
	}
	if err := json.Unmarshal(c.control(http.MethodGet, nil), &answer); err != nil {
		c.t.Fatal(err)
	}
	return answer.Faults, slices.DeleteFunc(answer.Seen, func(s faults.Seen) bool { return s.Match.Caller == "root" })
}

// control asks the control path of faults for something.
func (c *faultyCloud) control(method string, body any) []byte {
	c.t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.up.endpoint+faults.Path, bytes.NewReader(raw))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		c.t.Fatalf("%s %s: %s %s %v", method, faults.Path, resp.Status, answer, err)
	}
	return answer
}
