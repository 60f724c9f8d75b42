package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// kills is how often the tests of this file kill the cloud; MILLRACE_TEST_KILLS
// says another number, and MILLRACE_TEST_SEED when.
func kills(t *testing.T, otherwise int) (int, *rand.Rand) {
	t.Helper()
	n, seed := otherwise, 1
	for name, v := range map[string]*int{"MILLRACE_TEST_KILLS": &n, "MILLRACE_TEST_SEED": &seed} {
		if text := os.Getenv(name); text != "" {
			var err error
			if *v, err = strconv.Atoi(text); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	t.Logf("%d kills, seed %d", n, seed)
	return n, rand.New(rand.NewPCG(uint64(seed), 0))
}

// killedWorkload is what clients did to a cloud that is killed again and again,
// and what of it was acknowledged.
type killedWorkload struct {
	*plain
	events *eventbridge.Client
	iam    *iam.Client

	mu         sync.Mutex
	objects    map[string]int // key → size
	deleted    map[string]bool
	count      int // of the counter object, which each client's write makes one higher
	messages   map[string]bool
	received   map[string]bool // messages that may have been deleted
	taken      map[string]bool // messages that were
	put        map[string]bool // events
	executions map[string]string
	next       int
}

// upAgain starts the cloud on its folder, in the time of the test.
func (w *killedWorkload) upAgain(t *testing.T, dir, bin string) *upProcess {
	t.Helper()
	cmd := upCommand(t, dir, bin)
	cmd.Args = append(cmd.Args, "--empty", "--clock", "scaled:20")
	up := started(t, cmd)
	cfg := localConfig(up.endpoint)
	w.plain, w.events, w.iam = plainAt(t, up.endpoint, 0), eventbridge.NewFromConfig(cfg), iam.NewFromConfig(cfg)
	return up
}

func (w *killedWorkload) queueURL(name string) string {
	out, err := w.sqs.GetQueueUrl(w.t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		w.t.Fatal(err)
	}
	return aws.ToString(out.QueueUrl)
}

// stepped waits, fails twice and is caught, and tells a queue: one wait, two
// retries and two tasks in three seconds of the cloud's time.
const stepped = `{"StartAt":"Wait","States":{
"Wait":{"Type":"Wait","Seconds":10,"Next":"Fail"},
"Fail":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:sqs:getQueueUrl","Parameters":{"QueueName":"nowhere"},
  "Retry":[{"ErrorEquals":["States.ALL"],"IntervalSeconds":5,"MaxAttempts":2,"BackoffRate":1}],"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":null,"Next":"Tell"}],"End":true},
"Tell":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage","Parameters":{"QueueUrl":"QUEUE","MessageBody.$":"$$.Execution.Name"},"End":true}}}`

// prepare makes what the clients work with.
func (w *killedWorkload) prepare() {
	ctx, t := w.t.Context(), w.t
	_, err := w.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("things")})
	for _, q := range []string{"messages", "ended", "ticks", "events"} {
		arn := "arn:aws:sqs:" + localRegion + ":" + localAccount + ":" + q
		policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q}]}`, arn)
		_, qerr := w.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &q, Attributes: map[string]string{"Policy": policy}})
		err = errors.Join(err, qerr)
		rule := &eventbridge.PutRuleInput{Name: &q}
		switch q {
		case "ticks":
			rule.ScheduleExpression = aws.String("rate(1 minute)")
		case "events":
			rule.EventPattern = aws.String(`{"source":["test"]}`)
		default:
			continue
		}
		_, rerr := w.events.PutRule(ctx, rule)
		_, terr := w.events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: &q, Targets: []ebtypes.Target{{Id: &q, Arn: &arn}}})
		err = errors.Join(err, rerr, terr)
	}
	err = errors.Join(err, w.object("counter", "0", nil))
	if err != nil {
		t.Fatal(err)
	}
	role, err := w.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("machine"), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"states.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("machine"), PolicyName: aws.String("queues"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`)})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.sfn.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("stepped"), RoleArn: role.Role.Arn,
		Definition: aws.String(strings.ReplaceAll(stepped, "QUEUE", w.queueURL("ended")))})
	if err != nil {
		t.Fatal(err)
	}
}

func (w *killedWorkload) object(key, body string, ifMatch *string) error {
	_, err := w.s3.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String("things"), Key: &key, Body: strings.NewReader(body), IfMatch: ifMatch})
	return err
}

// content is what the object of a key is made of.
func content(key string, size int) []byte {
	return bytes.Repeat([]byte(key+"."), size/(len(key)+1)+1)[:size]
}

// name gives a new name.
func (w *killedWorkload) name(kind string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return fmt.Sprintf("%s-%06d", kind, w.next)
}

// acknowledged notes what was, under the lock.
func (w *killedWorkload) acknowledged(note func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	note()
}

// clients are the things that are done at the same time, each again and again.
func (w *killedWorkload) clients() []func(ctx context.Context) error {
	messages := w.queueURL("messages")
	machine := "arn:aws:states:" + localRegion + ":" + localAccount + ":stateMachine:stepped"
	return []func(ctx context.Context) error{
		func(ctx context.Context) error { return w.putObject(ctx, 50) },
		func(ctx context.Context) error { return w.putObject(ctx, 40_000) },
		w.deleteObject,
		w.increment,
		func(ctx context.Context) error {
			body := w.name("message")
			_, err := w.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &messages, MessageBody: &body})
			if err == nil {
				w.acknowledged(func() { w.messages[body] = true })
			}
			return err
		},
		func(ctx context.Context) error { return w.take(ctx, messages) },
		func(ctx context.Context) error {
			name := w.name("event")
			out, err := w.events.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{{Source: aws.String("test"), DetailType: aws.String("Test"), Detail: aws.String(`{"name":"` + name + `"}`)}}})
			if err == nil && out.FailedEntryCount == 0 {
				w.acknowledged(func() { w.put[name] = true })
			}
			return err
		},
		func(ctx context.Context) error {
			name := w.name("execution")
			out, err := w.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &machine, Name: &name})
			if err == nil {
				w.acknowledged(func() { w.executions[name] = aws.ToString(out.ExecutionArn) })
			}
			return err
		},
	}
}

func (w *killedWorkload) putObject(ctx context.Context, size int) error {
	key := w.name("object")
	_, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("things"), Key: &key, Body: bytes.NewReader(content(key, size))})
	if err == nil {
		w.acknowledged(func() { w.objects[key] = size })
	}
	return err
}

func (w *killedWorkload) deleteObject(ctx context.Context) error {
	key := ""
	w.acknowledged(func() {
		for k := range w.objects {
			key = k
			delete(w.objects, k) // from now on it may be there or not
			break
		}
	})
	if key == "" {
		return nil
	}
	_, err := w.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String("things"), Key: &key})
	if err == nil {
		w.acknowledged(func() { w.deleted[key] = true })
	}
	return err
}

// increment makes the counter one higher, if nobody else has; only one client does it.
func (w *killedWorkload) increment(ctx context.Context) error {
	n, etag, err := w.counter(ctx)
	if err != nil {
		return err
	}
	_, err = w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("things"), Key: aws.String("counter"), Body: strings.NewReader(strconv.Itoa(n + 1)), IfMatch: etag})
	if err == nil {
		w.acknowledged(func() { w.count = n + 1 })
	}
	return err
}

func (w *killedWorkload) counter(ctx context.Context) (int, *string, error) {
	out, err := w.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String("things"), Key: aws.String("counter")})
	if err != nil {
		return 0, nil, err
	}
	defer out.Body.Close()
	var n int
	_, err = fmt.Fscan(out.Body, &n)
	return n, out.ETag, err
}

// take takes a message off the queue.
func (w *killedWorkload) take(ctx context.Context, queue string) error {
	out, err := w.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &queue})
	if err != nil || len(out.Messages) == 0 {
		return err
	}
	body := aws.ToString(out.Messages[0].Body)
	w.acknowledged(func() { w.received[body] = true }) // from now on it may be there or not
	_, err = w.sqs.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: out.Messages[0].ReceiptHandle})
	if err == nil {
		w.acknowledged(func() { w.taken[body] = true })
	}
	return err
}

// begin lets the clients work until stop is called, which also waits for them.
func (w *killedWorkload) begin() (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	var working sync.WaitGroup
	for _, client := range w.clients() {
		working.Go(func() {
			for ctx.Err() == nil {
				_ = client(ctx) // what fails was not acknowledged
			}
		})
	}
	return func() { cancel(); working.Wait() }
}

// check holds the objects to what was acknowledged.
func (w *killedWorkload) check(round int) {
	w.t.Helper()
	for _, key := range slices.Sorted(maps.Keys(w.objects)) {
		if got, err := w.get(key); err != nil || !bytes.Equal(got, content(key, w.objects[key])) {
			w.t.Errorf("round %d: %s of %d bytes: %d, %v", round, key, w.objects[key], len(got), err)
		}
	}
	for key := range w.deleted {
		if got, err := w.get(key); err == nil {
			w.t.Errorf("round %d: %s was deleted, and has %d bytes", round, key, len(got))
		}
	}
	// A write whose answer was lost may have come through.
	if n, _, err := w.counter(w.t.Context()); err != nil || (n != w.count && n != w.count+1) {
		w.t.Errorf("round %d: the counter is %d after %d, %v", round, n, w.count, err)
	} else {
		w.count = n
	}
}

// drain takes messages off a queue until enough says so, and gives how often
// each came, by its body.
func (w *killedWorkload) drain(queue string, enough func(got map[string]int) bool) map[string]int {
	w.t.Helper()
	url, got := w.queueURL(queue), map[string]int{}
	(&testCloud{t: w.t}).await("messages of "+queue, func() bool {
		if enough(got) {
			return true
		}
		out, err := w.sqs.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
		if err != nil {
			w.t.Fatal(err)
		}
		var gone []sqstypes.DeleteMessageBatchRequestEntry
		for i, m := range out.Messages {
			got[aws.ToString(m.Body)]++
			gone = append(gone, sqstypes.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		if len(gone) > 0 {
			if _, err := w.sqs.DeleteMessageBatch(w.t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: gone}); err != nil {
				w.t.Fatal(err)
			}
		}
		return false
	})
	return got
}

// wantHistory holds an execution to have done each of its steps once, in order.
func (w *killedWorkload) wantHistory(name, arn string) {
	w.t.Helper()
	var story []string
	pages := sfn.NewGetExecutionHistoryPaginator(w.sfn, &sfn.GetExecutionHistoryInput{ExecutionArn: &arn})
	for pages.HasMorePages() {
		page, err := pages.NextPage(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range page.Events {
			if int(e.Id) != len(story)+1 {
				w.t.Errorf("%s: event %d has id %d", name, len(story)+1, e.Id)
			}
			story = append(story, string(e.Type))
		}
	}
	try := []string{"TaskScheduled", "TaskStarted", "TaskFailed"}
	want := slices.Concat([]string{"ExecutionStarted", "WaitStateEntered", "WaitStateExited", "TaskStateEntered"}, try, try, try,
		[]string{"TaskStateExited", "TaskStateEntered", "TaskScheduled", "TaskStarted", "TaskSucceeded", "TaskStateExited", "ExecutionSucceeded"})
	if !slices.Equal(story, want) {
		w.t.Errorf("%s:\n%s\nwant\n%s", name, story, want)
	}
}

// Killed at any moment, the cloud has everything that it acknowledged when it is
// started again, and goes on with what it was at.
func TestUp_KilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	n, rnd := kills(t, 5)
	bin, err := newBin(t.TempDir(), smallFlights)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := &killedWorkload{objects: map[string]int{}, deleted: map[string]bool{}, messages: map[string]bool{}, received: map[string]bool{}, taken: map[string]bool{}, put: map[string]bool{}, executions: map[string]string{}}
	up := w.upAgain(t, dir, bin)
	w.prepare()
	for round := range n {
		stop := w.begin()
		time.Sleep(time.Duration(50+rnd.IntN(700)) * time.Millisecond)
		if err := up.powerCut(dir); err != nil {
			t.Fatal(err)
		}
		stop()
		up = w.upAgain(t, dir, bin)
		w.check(round)
	}
	t.Logf("acknowledged: %d objects, %d deleted, counter %d, %d messages, %d taken, %d events, %d executions",
		len(w.objects), len(w.deleted), w.count, len(w.messages), len(w.taken), len(w.put), len(w.executions))
	if len(w.objects) < n || len(w.executions) < n || len(w.messages)+len(w.taken) < n {
		t.Error("too little was acknowledged to tell anything")
	}

	for body := range w.received {
		delete(w.messages, body)
	}
	got := w.drain("messages", func(got map[string]int) bool { return len(missing(w.messages, got)) == 0 })
	for body := range w.taken {
		if got[body] > 0 {
			t.Errorf("%s was taken off the queue, and came again", body)
		}
	}
	w.drain("events", func(got map[string]int) bool {
		text := strings.Join(slices.Collect(maps.Keys(got)), "\n")
		for name := range w.put {
			if !strings.Contains(text, `"name":"`+name+`"`) {
				return false
			}
		}
		return true
	})
	ended := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(w.executions)) {
		arn := w.executions[name]
		(&testCloud{t: t}).await(name+" ends", func() bool { return w.status(&arn) != types.ExecutionStatusRunning })
		w.wantHistory(name, arn)
		ended[name] = true
	}
	w.drain("ended", func(got map[string]int) bool { return len(missing(ended, got)) == 0 })
	// The schedule goes on: ticks of before the last start, and two of after it.
	before := len(w.drain("ticks", func(map[string]int) bool { return true }))
	w.drain("ticks", func(got map[string]int) bool { return len(got) >= before+2 })
}

// missing names what was wanted and did not come.
func missing(want map[string]bool, got map[string]int) []string {
	var names []string
	for name := range want {
		if got[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

// Killed while it deploys Millrace for the first time, or over what is there,
// the next start completes it.
func TestUp_KilledWhileDeploying(t *testing.T) {
	t.Parallel()
	n, rnd := kills(t, 5)
	bin, err := newBin(t.TempDir(), smallFlights)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range n {
		up := &upProcess{cmd: upCommand(t, dir, bin), done: make(chan error, 1)}
		up.cmd.Stderr = &up.said
		if err := up.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() { up.done <- up.cmd.Wait() }()
		time.Sleep(time.Duration(50+rnd.IntN(900)) * time.Millisecond)
		if err := up.powerCut(dir); err != nil {
			t.Fatalf("%v; it said: %s", err, up.said.String())
		}
		if up.cmd.ProcessState.Exited() {
			t.Fatalf("millrace up ended by itself: %s", up.said.String())
		}
	}
	up := upIn(t, dir, bin)
	c := &testCloud{session: sessionAt(t, up.endpoint), t: t}
	c.uploadBytes(flightRows(500, 1), "flights/raw/1.csv")
	c.begins()
	if err := up.stop(); err != nil {
		t.Fatal(err)
	}
}
