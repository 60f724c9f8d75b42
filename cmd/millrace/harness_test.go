package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// smallFlights is the definition that most tests use.
const smallFlights = "testdata/flights.yaml"

// pipeline is the one that the template's permissions are for.
const pipeline = "flights"

// patience is how long a test waits for what must come; then it fails.
const patience = 90 * time.Second

// testCloud is a local cloud in this process with Millrace deployed, and the
// clients to it (those of session).
type testCloud struct {
	*session
	t     *testing.T
	up    *cloud
	sqs   *sqs.Client
	queue string      // gets what Millrace publishes
	told  []toldEvent // taken from the queue so far
	seen  int         // the newest run that begins has given
	// idle, when set, is what await does when it has looked in vain so many times.
	idle func(looks int)
}

// toldEvent is an event that Millrace published.
type toldEvent struct {
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Detail     json.RawMessage `json:"detail"`
}

// newCloud starts an ephemeral local cloud on a free port and deploys the
// template's snapshot, with a definition file as pipeline flights.
func newCloud(t *testing.T, definition string) *testCloud {
	t.Helper()
	bin, err := newBin(t.TempDir(), definition)
	if err != nil {
		t.Fatal(err)
	}
	return serveCloud(t, cloudOptions{bin: bin})
}

// serveCloud is newCloud of a folder made with newBin.
func serveCloud(t *testing.T, o cloudOptions) *testCloud {
	t.Helper()
	o.ephemeral, o.private = true, true
	ctx, cancel := context.WithCancel(context.Background()) // outlives t.Context, which ends before Cleanup
	up, err := startCloud(ctx, o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		if err := up.close(); err != nil {
			t.Errorf("close cloud: %v", err)
		}
	})
	s, err := newSession(t.Context(), up.cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCloud{session: s, t: t, up: up, sqs: sqs.NewFromConfig(up.cfg)}
	t.Cleanup(func() {
		if t.Failed() {
			c.tell(ctx)
		}
	})
	c.listen()
	return c
}

// tell logs what the runs and the functions did, for whoever looks into a failure.
func (c *testCloud) tell(ctx context.Context) {
	lines, err := c.runs(ctx, nil, 100)
	if err != nil {
		c.t.Log(err)
	}
	for _, l := range slices.Backward(lines) {
		c.t.Logf("%+v", l)
		if _, n, err := splitRef(l.Run); err == nil {
			states, err := statesOf(ctx, c.session, n)
			c.t.Log(states, err)
		}
	}
	for _, f := range functionNames {
		told, err := c.streams(ctx, "/aws/lambda/millrace-"+f, "", f)
		for _, l := range told {
			if strings.HasPrefix(l.Text, "{") {
				c.t.Log(f, l.Text)
			}
		}
		if err != nil {
			c.t.Log(err)
		}
	}
}

// listen sends what Millrace publishes to a queue of the test.
func (c *testCloud) listen() {
	c.t.Helper()
	ctx := c.t.Context()
	arn := fmt.Sprintf("arn:aws:sqs:%s:%s:told", localRegion, localAccount)
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q}]}`, arn)
	q, err := c.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("told"), Attributes: map[string]string{"Policy": policy}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.queue = aws.ToString(q.QueueUrl)
	bus := eventbridge.NewFromConfig(c.cfg)
	if _, err := bus.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("told"), EventPattern: aws.String(`{"source":["` + events.SourceMillrace + `"]}`)}); err != nil {
		c.t.Fatal(err)
	}
	out, err := bus.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("told"), Targets: []ebtypes.Target{{Id: aws.String("told"), Arn: &arn}}})
	if err != nil || out.FailedEntryCount > 0 {
		c.t.Fatalf("put target: %v %v", err, out)
	}
}

// await looks again and again until done says so; what names what is waited for.
func (c *testCloud) await(what string, done func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for looks := 1; !done(); looks++ {
		if time.Now().After(deadline) {
			c.t.Fatalf("%s: not within %s", what, patience)
		}
		if c.idle != nil {
			c.idle(looks)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// uploadBytes puts an object into the data bucket and gives its version id.
func (c *testCloud) uploadBytes(raw []byte, key string) string {
	c.t.Helper()
	out, err := c.s3.PutObject(c.t.Context(), &s3.PutObjectInput{Bucket: &c.dataBucket, Key: &key, Body: bytes.NewReader(raw)})
	if err != nil {
		c.t.Fatalf("upload %s: %v", key, err)
	}
	return aws.ToString(out.VersionId)
}

// begins waits for a run to begin after those that it has given so far, and
// gives its number. Numbers only grow: two that ask for a run at once leave a gap.
func (c *testCloud) begins() int {
	c.t.Helper()
	c.await(fmt.Sprintf("a run begins after run %d", c.seen), func() bool {
		n, err := firstRunAfter(c.t.Context(), c.session, c.seen)
		if err != nil {
			c.t.Fatal(err)
		}
		if n > 0 {
			c.seen = n
		}
		return n > 0
	})
	return c.seen
}

// firstRunAfter is the lowest number of a run of flights above n that has begun;
// 0 when there is none.
func firstRunAfter(ctx context.Context, s *session, n int) (int, error) {
	out, err := s.sfn.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &s.stateMachine})
	if err != nil {
		return 0, fmt.Errorf("list runs: %w", err)
	}
	for _, e := range slices.Backward(out.Executions) { // the newest comes first
		if _, run, ok := ledger.ParseExecutionName(aws.ToString(e.Name)); ok && run > n {
			return run, nil
		}
	}
	return 0, nil
}

// runEnd is how a run ended.
type runEnd struct {
	Status  types.ExecutionStatus
	Outcome string // of a run that succeeded
	Error   string // one of statemachine's, of a run that failed
	Cause   string
}

// waitRun waits until a run of flights has ended, and its lane is free again.
func (c *testCloud) waitRun(n int) runEnd {
	c.t.Helper()
	arn := c.executionARN(pipeline, n)
	var d *sfn.DescribeExecutionOutput
	c.await(fmt.Sprintf("run %d ends", n), func() bool {
		var err error
		if d, err = c.sfn.DescribeExecution(c.t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &arn}); err != nil {
			if !awserr.IsNotFound(err) {
				c.t.Fatalf("describe run %d: %v", n, err)
			}
			return false
		}
		return d.Status != types.ExecutionStatusRunning
	})
	c.await(fmt.Sprintf("run %d is put on record", n), func() bool {
		_, found, err := c.ledger.Ended(c.t.Context(), pipeline, n)
		if err != nil {
			c.t.Fatal(err)
		}
		return found
	})
	end := runEnd{Status: d.Status, Error: aws.ToString(d.Error), Cause: aws.ToString(d.Cause)}
	var out struct {
		Outcome string `json:"outcome"`
	}
	if d.Output != nil {
		if err := json.Unmarshal([]byte(*d.Output), &out); err != nil {
			c.t.Fatalf("read output of run %d: %v", n, err)
		}
	}
	end.Outcome = out.Outcome
	return end
}

// path gives the names of the states that a run has entered, in order.
func (c *testCloud) path(n int) []string {
	c.t.Helper()
	states, err := statesOf(c.t.Context(), c.session, n)
	if err != nil {
		c.t.Fatal(err)
	}
	return states
}

// statesOf gives the states that a run of flights has entered, in order; none
// for a run that has not begun.
func statesOf(ctx context.Context, s *session, n int) ([]string, error) {
	arn := s.executionARN(pipeline, n)
	var states []string
	pages := sfn.NewGetExecutionHistoryPaginator(s.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if awserr.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read history of run %d: %w", n, err)
		}
		for _, e := range page.Events {
			if e.StateEnteredEventDetails != nil {
				states = append(states, aws.ToString(e.StateEnteredEventDetails.Name))
			}
		}
	}
	return states, nil
}

// waitState waits until a run is in a state; it fails when the run ends before.
func (c *testCloud) waitState(n int, state string) {
	c.t.Helper()
	c.await(fmt.Sprintf("run %d gets to %s", n, state), func() bool {
		for _, s := range c.path(n) {
			if s == state {
				return true
			}
		}
		if end, found, err := c.ledger.Ended(c.t.Context(), pipeline, n); err != nil || found {
			c.t.Fatalf("run %d ended before %s: %+v %v", n, state, end, err)
		}
		return false
	})
}

// decide approves or rejects (package events) the version that a run waits with.
func (c *testCloud) decide(n int, approval, comment string) {
	c.t.Helper()
	c.waitState(n, statemachine.StateAwaitApproval)
	p, found, err := c.ledger.Package(c.t.Context(), pipeline, n)
	if err != nil || !found {
		c.t.Fatalf("find the version of run %d: found %v, %v", n, found, err)
	}
	if err := c.registry.Decide(c.t.Context(), p.ARN, approval, comment); err != nil {
		c.t.Fatal(err)
	}
}

// report gives the report that says most about a run, as HTML.
func (c *testCloud) report(n int) string {
	c.t.Helper()
	for _, uri := range c.reportURIs(c.t.Context(), pipeline, n) {
		if key, ok := c.ledger.Key(uri); ok {
			if raw, ok := c.get(c.ledger.Bucket(), key); ok {
				return raw
			}
		}
	}
	c.t.Fatalf("run %d has no report", n)
	return ""
}

// get reads an object; ok is false when there is none.
func (c *testCloud) get(bucket, key string) (content string, ok bool) {
	c.t.Helper()
	out, err := c.s3.GetObject(c.t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if awserr.IsNotFound(err) {
		return "", false
	}
	if err != nil {
		c.t.Fatalf("get %s: %v", key, err)
	}
	defer out.Body.Close()
	raw, err := io.ReadAll(out.Body)
	if err != nil {
		c.t.Fatalf("get %s: %v", key, err)
	}
	return string(raw), true
}

// scores gives the scores of a run by key, as they are written.
func (c *testCloud) scores(n int) map[string]string {
	c.t.Helper()
	bucket, prefix := c.ledger.Bucket(), ledger.RunKey(pipeline, n, "scores")+"/"
	out, err := c.s3.ListObjectsV2(c.t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		c.t.Fatal(err)
	}
	scores := map[string]string{}
	for _, o := range out.Contents {
		raw, _ := c.get(bucket, aws.ToString(o.Key))
		for line := range strings.Lines(raw) {
			key, score, ok := strings.Cut(strings.TrimSpace(line), ",")
			if !ok {
				c.t.Fatalf("%s: a line is not key,score: %q", aws.ToString(o.Key), line)
			}
			scores[key] = score
		}
	}
	return scores
}

// awaitTold waits for an event that Millrace published, by its detail-type and
// what its detail must contain, and gives it.
func (c *testCloud) awaitTold(detailType, contains string) toldEvent {
	c.t.Helper()
	return c.awaitMatching(detailType, regexp.MustCompile(regexp.QuoteMeta(contains)))
}

// awaitMatching is awaitTold by what the detail must match.
func (c *testCloud) awaitMatching(detailType string, like *regexp.Regexp) toldEvent {
	c.t.Helper()
	var found toldEvent
	c.await(fmt.Sprintf("event %s with %s", detailType, like), func() bool {
		for _, e := range c.told {
			if e.DetailType == detailType && like.Match(e.Detail) {
				found = e
				return true
			}
		}
		out, err := c.sqs.ReceiveMessage(c.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &c.queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
		if err != nil {
			c.t.Fatalf("receive events: %v", err)
		}
		for _, m := range out.Messages {
			var e toldEvent
			if err := json.Unmarshal([]byte(aws.ToString(m.Body)), &e); err != nil {
				c.t.Fatalf("read event: %v", err)
			}
			c.told = append(c.told, e)
			if _, err := c.sqs.DeleteMessage(c.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &c.queue, ReceiptHandle: m.ReceiptHandle}); err != nil {
				c.t.Fatalf("delete event: %v", err)
			}
		}
		return false
	})
	return found
}
