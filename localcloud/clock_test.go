package localcloud_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	awslambda "github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/millrace-ml/millrace/localcloud"
	"github.com/millrace-ml/millrace/localcloud/clock"
)

// monday is where the virtual clocks of these tests begin.
var monday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// future is a cloud whose time moves by jumps alone.
type future struct {
	*running
	clock  *clock.Virtual
	t      *testing.T
	queues *sqs.Client
	states *sfn.Client
	rules  *eventbridge.Client
}

func newFuture(t *testing.T) *future {
	t.Helper()
	v := clock.NewVirtual(clock.Still{At: monday})
	c := serve(t, localcloud.Options{Ephemeral: true, Clock: v})
	cfg := c.config()
	return &future{running: c, clock: v, t: t, queues: sqs.NewFromConfig(cfg), states: sfn.NewFromConfig(cfg), rules: eventbridge.NewFromConfig(cfg)}
}

func (f *future) quiet() {
	f.t.Helper()
	if err := f.clock.Quiet(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *future) advance(d time.Duration) {
	f.t.Helper()
	if err := f.clock.Advance(f.t.Context(), f.clock.Now().Add(d)); err != nil {
		f.t.Fatal(err)
	}
}

// queue makes a queue to which the services may send, and gives its URL.
func (f *future) queue(name string, attributes map[string]string) string {
	f.t.Helper()
	all := map[string]string{"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*"}]}`}
	for k, v := range attributes {
		all[k] = v
	}
	return *must[*sqs.CreateQueueOutput](f.t)(f.queues.CreateQueue(f.t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: all})).QueueUrl
}

// receive takes what is in a queue now, or comes within wait seconds.
func (f *future) receive(url string, wait int32) []sqstypes.Message {
	f.t.Helper()
	return must[*sqs.ReceiveMessageOutput](f.t)(f.queues.ReceiveMessage(f.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: wait,
		VisibilityTimeout: 30, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{"All"}})).Messages
}

// role makes a role that a service may assume, and that may do everything.
func (f *future) role(service string) string {
	f.t.Helper()
	roles, name := iam.NewFromConfig(f.config()), aws.String("for-"+service)
	r := must[*iam.CreateRoleOutput](f.t)(roles.CreateRole(f.t.Context(), &iam.CreateRoleInput{RoleName: name,
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)}))
	must[*iam.PutRolePolicyOutput](f.t)(roles.PutRolePolicy(f.t.Context(), &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("all"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)}))
	return *r.Role.Arn
}

// execute starts a state machine whose role may do everything.
func (f *future) execute(definition string) string {
	f.t.Helper()
	m := must[*sfn.CreateStateMachineOutput](f.t)(f.states.CreateStateMachine(f.t.Context(), &sfn.CreateStateMachineInput{Name: aws.String("m"),
		RoleArn: aws.String(f.role("states")), Definition: &definition}))
	return *must[*sfn.StartExecutionOutput](f.t)(f.states.StartExecution(f.t.Context(), &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn})).ExecutionArn
}

func (f *future) wantExecution(arn string, status sfntypes.ExecutionStatus, failure string, ended time.Duration) {
	f.t.Helper()
	d := must[*sfn.DescribeExecutionOutput](f.t)(f.states.DescribeExecution(f.t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &arn}))
	var took time.Duration
	if d.StopDate != nil {
		took = d.StopDate.Sub(*d.StartDate)
	}
	if d.Status != status || aws.ToString(d.Error) != failure || took != ended {
		f.t.Errorf("execution is %s, %s, after %s; want %s, %s, after %s\n%s", d.Status, aws.ToString(d.Error), took, status, failure, ended, f.log)
	}
}

func TestVirtualExecutions(t *testing.T) {
	for name, tc := range map[string]struct {
		definition, failure string
		status              sfntypes.ExecutionStatus
		ended               time.Duration
	}{
		"a wait of a year": {definition: `{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":31536000,"Next":"U"},"U":{"Type":"Wait","Timestamp":"2027-01-06T00:00:00Z","End":true}}}`,
			status: sfntypes.ExecutionStatusSucceeded, ended: year + day},
		"retries that back off": {definition: `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage","Parameters":{"QueueUrl":"http://127.0.0.1/000000000000/none","MessageBody":"x"},
			"Retry":[{"ErrorEquals":["States.ALL"],"IntervalSeconds":3600,"MaxAttempts":4,"BackoffRate":2,"MaxDelaySeconds":10800}],"End":true}}}`,
			status: sfntypes.ExecutionStatusFailed, failure: "SQS.QueueDoesNotExistException", ended: 9 * time.Hour},
		"another branch's wait, through a time limit": {definition: `{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[
			{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":7200,"End":true}}},
			{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken","TimeoutSeconds":3600,
				"Parameters":{"QueueUrl":"http://127.0.0.1/000000000000/asked","MessageBody.$":"$$.Task.Token"},"End":true}}}]}}}`,
			status: sfntypes.ExecutionStatusFailed, failure: "States.Timeout", ended: time.Hour},
		"a nested execution": {definition: `{"StartAt":"Kind","States":{"Kind":{"Type":"Choice","Choices":[{"Variable":"$.inner","IsPresent":true,"Next":"W"}],"Default":"T"},
			"W":{"Type":"Wait","Seconds":31536000,"End":true},
			"T":{"Type":"Task","Resource":"arn:aws:states:::states:startExecution.sync:2","Parameters":{"StateMachineArn":"arn:aws:states:us-east-1:000000000000:stateMachine:m","Input":{"inner":1}},"End":true}}}`,
			status: sfntypes.ExecutionStatusSucceeded, ended: year},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFuture(t)
			f.queue("asked", nil)
			arn := f.execute(tc.definition)
			f.quiet()
			f.wantExecution(arn, tc.status, tc.failure, tc.ended)
		})
	}
}

// Time does not run out for somebody outside who is to answer, unless told to.
func TestVirtualHeartbeats(t *testing.T) {
	f := newFuture(t)
	url := f.queue("asked", nil)
	arn := f.execute(`{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken","HeartbeatSeconds":3600,
		"Parameters":{"QueueUrl":"` + url + `","MessageBody.$":"$$.Task.Token"},"End":true}}}`)
	token := f.receive(url, 20)[0].Body
	f.quiet()
	for range 3 {
		f.advance(time.Hour - 1)
		f.wantExecution(arn, sfntypes.ExecutionStatusRunning, "", 0)
		must[*sfn.SendTaskHeartbeatOutput](t)(f.states.SendTaskHeartbeat(t.Context(), &sfn.SendTaskHeartbeatInput{TaskToken: token}))
	}
	f.advance(time.Hour)
	f.wantExecution(arn, sfntypes.ExecutionStatusFailed, "States.Timeout", (4*time.Hour - 3).Truncate(time.Millisecond))
}

// told is a Scheduled Event as it came to a queue.
type told struct {
	Time      time.Time
	Resources []string
}

func TestVirtualSchedules(t *testing.T) {
	f := newFuture(t)
	url := f.queue("due", map[string]string{"MessageRetentionPeriod": "1209600"})
	for name, schedule := range map[string]string{"often": "rate(8 hours)", "weekdays": "cron(30 9 ? * MON-FRI *)"} {
		must[*eventbridge.PutRuleOutput](t)(f.rules.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: &name, ScheduleExpression: &schedule}))
		must[*eventbridge.PutTargetsOutput](t)(f.rules.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: &name,
			Targets: []ebtypes.Target{{Id: aws.String("q"), Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:due")}}}))
	}
	f.quiet()
	if now := f.clock.Now(); !now.Equal(monday) {
		t.Fatalf("schedules made the clock run to %s", now)
	}
	f.advance(7 * day)
	got := map[string][]string{}
	for messages := f.receive(url, 0); len(messages) > 0; messages = f.receive(url, 0) {
		for _, m := range messages {
			var e told
			if err := json.Unmarshal([]byte(*m.Body), &e); err != nil {
				t.Fatal(err)
			}
			rule := e.Resources[0][strings.LastIndex(e.Resources[0], "/")+1:]
			got[rule] = append(got[rule], e.Time.Format("Mon 15:04"))
			if sent := m.Attributes["SentTimestamp"]; sent != fmt.Sprint(e.Time.UnixMilli()) {
				t.Errorf("the event of %s came at %s", e.Time, sent)
			}
		}
	}
	var often []string
	for at := monday.Add(8 * time.Hour); !at.After(monday.Add(7 * day)); at = at.Add(8 * time.Hour) {
		often = append(often, at.Format("Mon 15:04"))
	}
	if !slices.Equal(got["often"], often) {
		t.Errorf("every 8 hours came at %v", got["often"])
	}
	if want := []string{"Mon 09:30", "Tue 09:30", "Wed 09:30", "Thu 09:30", "Fri 09:30"}; !slices.Equal(got["weekdays"], want) {
		t.Errorf("the cron came at %v, want %v", got["weekdays"], want)
	}
}

func TestVirtualQueues(t *testing.T) {
	f := newFuture(t)
	url := f.queue("q", map[string]string{"MessageRetentionPeriod": "3600"})
	send := func(body string, delay int32) {
		t.Helper()
		must[*sqs.SendMessageOutput](t)(f.queues.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, DelaySeconds: delay}))
	}
	want := func(what string, wait int32, at time.Duration, bodies ...string) {
		t.Helper()
		var got []string
		for _, m := range f.receive(url, wait) {
			got = append(got, *m.Body)
		}
		if now := f.clock.Now().Sub(monday); !slices.Equal(got, bodies) || now != at {
			t.Errorf("%s: received %q at %s, want %q at %s", what, got, now, bodies, at)
		}
	}
	send("later", 25)
	want("a poll that does not last", 20, 20*time.Second)
	want("a poll that waits for a delayed message", 20, 25*time.Second, "later")
	want("in flight", 0, 25*time.Second)
	f.advance(30*time.Second - 1)
	want("in flight still", 0, 55*time.Second-1)
	f.advance(1)
	want("visible again", 0, 55*time.Second, "later")
	// Another receiver's time does not run out because somebody polls.
	polled := make(chan []sqstypes.Message)
	go func() {
		out, err := f.queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		if err != nil {
			t.Error(err)
		}
		polled <- out.Messages
	}()
	f.quiet()
	send("now", 0)
	if got := <-polled; len(got) != 1 || *got[0].Body != "now" {
		t.Errorf("a poll received %+v", got)
	}
	f.advance(time.Hour + 1)
	want("too old", 0, 55*time.Second+time.Hour+1)
}

// What cannot be delivered is tried again, for as long as the target says.
func TestVirtualDeadLetters(t *testing.T) {
	v := clock.NewVirtual(clock.Still{At: monday})
	c := serve(t, localcloud.Options{Ephemeral: true, Clock: v, Faults: true})
	f := &future{running: c, clock: v, t: t, queues: sqs.NewFromConfig(c.config()), rules: eventbridge.NewFromConfig(c.config())}
	dead := f.queue("dead", nil)
	topic := must[*sns.CreateTopicOutput](t)(sns.NewFromConfig(c.config()).CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("target"), Attributes: map[string]string{
		"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sns:Publish","Resource":"*"}]}`}}))
	f.lay(t, `{"on":"call","do":"throttle","match":{"service":"sns","operation":"Publish"}}`)
	must[*eventbridge.PutRuleOutput](t)(f.rules.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: aws.String("r"), EventPattern: aws.String(`{"source":["s"]}`)}))
	must[*eventbridge.PutTargetsOutput](t)(f.rules.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("r"), Targets: []ebtypes.Target{{Id: aws.String("q"),
		Arn: topic.TopicArn, RetryPolicy: &ebtypes.RetryPolicy{MaximumEventAgeInSeconds: aws.Int32(3600), MaximumRetryAttempts: aws.Int32(185)},
		DeadLetterConfig: &ebtypes.DeadLetterConfig{Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:dead")}}}}))
	must[*eventbridge.PutEventsOutput](t)(f.rules.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{{
		Source: aws.String("s"), DetailType: aws.String("d"), Detail: aws.String("{}")}}}))
	f.quiet()
	got := f.receive(dead, 0)
	if len(got) != 1 || *got[0].MessageAttributes["EXHAUSTED_RETRY_CONDITION"].StringValue != "MaximumEventAgeInSeconds" || *got[0].MessageAttributes["ERROR_CODE"].StringValue != "THROTTLING" {
		t.Fatalf("dead letters: %+v\n%s", got, f.log)
	}
	if now := f.clock.Now().Sub(monday); now < 50*time.Minute || now > time.Hour {
		t.Errorf("given up after %s, want the last try within the hour", now)
	}
}

// A function that fails is invoked again after one minute, and after two more.
func TestVirtualInvocations(t *testing.T) {
	f := newFuture(t)
	dead := f.queue("dead", nil)
	var code bytes.Buffer
	z := zip.NewWriter(&code)
	header := &zip.FileHeader{Name: "bootstrap"}
	header.SetMode(0o755)
	w := must[io.Writer](t)(z.CreateHeader(header))
	must[int](t)(w.Write([]byte("#!/bin/sh\nexit 1\n")))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	functions := awslambda.NewFromConfig(f.config())
	must[*awslambda.CreateFunctionOutput](t)(functions.CreateFunction(t.Context(), &awslambda.CreateFunctionInput{FunctionName: aws.String("fails"), Runtime: lambdatypes.RuntimeProvidedal2023,
		Handler: aws.String("bootstrap"), Role: aws.String(f.role("lambda")), Code: &lambdatypes.FunctionCode{ZipFile: code.Bytes()},
		DeadLetterConfig: &lambdatypes.DeadLetterConfig{TargetArn: aws.String("arn:aws:sqs:us-east-1:000000000000:dead")}}))
	must[*awslambda.InvokeOutput](t)(functions.Invoke(t.Context(), &awslambda.InvokeInput{FunctionName: aws.String("fails"), InvocationType: lambdatypes.InvocationTypeEvent}))
	f.quiet()
	got := f.receive(dead, 0)
	if len(got) != 1 || got[0].Attributes["SentTimestamp"] != fmt.Sprint(monday.Add(3*time.Minute).UnixMilli()) {
		t.Errorf("dead letters at %s: %+v\n%s", f.clock.Now(), got, f.log)
	}
}

func TestVirtualExpiries(t *testing.T) {
	f := newFuture(t)
	cfg := f.config()
	roles := iam.NewFromConfig(cfg)
	must[*iam.CreateRoleOutput](t)(roles.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("r"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}]}`)}))
	session := must[*sts.AssumeRoleOutput](t)(sts.NewFromConfig(cfg).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/r"),
		RoleSessionName: aws.String("session"), DurationSeconds: aws.Int32(900)})).Credentials
	if !session.Expiration.Equal(monday.Add(15 * time.Minute)) {
		t.Errorf("the session ends at %s", session.Expiration)
	}
	as := f.config()
	as.Credentials = credentials.NewStaticCredentialsProvider(*session.AccessKeyId, *session.SecretAccessKey, *session.SessionToken)
	whoami := func() error {
		_, err := sts.NewFromConfig(as).GetCallerIdentity(t.Context(), nil)
		return err
	}
	listMachines := func() error {
		_, err := sfn.NewFromConfig(as).ListStateMachines(t.Context(), nil)
		return err
	}
	listBuckets := func() error {
		_, err := s3.NewFromConfig(as).ListBuckets(t.Context(), nil)
		return err
	}
	logs := cloudwatchlogs.NewFromConfig(cfg)
	group, stream := aws.String("g"), aws.String("s")
	must[*cloudwatchlogs.CreateLogGroupOutput](t)(logs.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}))
	must[*cloudwatchlogs.CreateLogStreamOutput](t)(logs.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: stream}))
	must[*cloudwatchlogs.PutRetentionPolicyOutput](t)(logs.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: group, RetentionInDays: aws.Int32(1)}))
	must[*cloudwatchlogs.PutLogEventsOutput](t)(logs.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: group, LogStreamName: stream,
		LogEvents: []logtypes.InputLogEvent{{Message: aws.String("line"), Timestamp: aws.Int64(monday.UnixMilli())}}}))
	lines := func() int {
		return len(must[*cloudwatchlogs.GetLogEventsOutput](t)(logs.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{LogGroupName: group, LogStreamName: stream})).Events)
	}
	f.advance(15 * time.Minute)
	if err := whoami(); err != nil || lines() != 1 {
		t.Errorf("within its time: %v, %d lines", err, lines())
	}
	f.advance(time.Second)
	for want, err := range map[string]error{"ExpiredToken": whoami(), "ExpiredTokenException": listMachines(), "ExpiredToken: The provided token has expired.": listBuckets()} {
		if got := code(err); got != strings.Split(want, ":")[0] || !strings.Contains(err.Error(), want) {
			t.Errorf("a session that has expired: %v, want %s", err, want)
		}
	}
	f.advance(day)
	if n := lines(); n != 0 {
		t.Errorf("%d lines after their retention", n)
	}
	// Clients sign with their own time, also what is far from the cloud's.
	f.advance(year)
	must[*s3.CreateBucketOutput](t)(s3.NewFromConfig(cfg).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("later")}))
	if b := must[*s3.ListBucketsOutput](t)(s3.NewFromConfig(cfg).ListBuckets(t.Context(), nil)).Buckets; len(b) != 1 || !b[0].CreationDate.Equal(f.clock.Now().Truncate(time.Second)) {
		t.Errorf("buckets: %+v, and it is %s", b, f.clock.Now())
	}
}

func TestClockPath(t *testing.T) {
	f := newFuture(t)
	arn := f.execute(`{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken","TimeoutSeconds":604800,
		"Parameters":{"QueueUrl":"` + f.queue("asked", nil) + `","MessageBody":"x"},"End":true}}}`)
	f.quiet()
	for _, tc := range []struct {
		method, body string
		status       int
		want         string
	}{
		{http.MethodGet, "", 200, `{"clock":"virtual","now":"2026-01-05T00:00:00Z","next":"2026-01-12T00:00:00Z","waited":false,"stopped":false,"running":[]}`},
		{http.MethodPost, `{"advance":"36h"}`, 200, `"now":"2026-01-06T12:00:00Z"`},
		{http.MethodPost, `{"advance":"2d"}`, 200, `"now":"2026-01-08T12:00:00Z"`},
		{http.MethodPost, `{"stop":true}`, 200, `"stopped":true`},
		{http.MethodPost, `{"stop":false}`, 200, `"stopped":false`},
		{http.MethodPost, `{"to":"2026-01-11T00:00:00+00:00"}`, 200, `"now":"2026-01-11T00:00:00Z"`},
		{http.MethodPost, `{"to":"2026-01-10T00:00:00Z"}`, 400, `time does not go back`},
		{http.MethodPost, `{"to":"2926-01-10T00:00:00Z"}`, 409, `too far`},
		{http.MethodPost, `{"advance":"-1h"}`, 400, `not a time to go on by`},
		{http.MethodPost, `{"advance":"1w"}`, 400, `not a time to go on by`},
		{http.MethodPost, `{"advance":"1h","stop":true}`, 400, `one of advance, to and stop`},
		{http.MethodPost, `{"forward":"1h"}`, 400, `unknown field`},
		{http.MethodPost, `{}`, 400, `one of advance, to and stop`},
		{http.MethodPut, `{}`, 405, `POST moves it`},
	} {
		if status, body := f.ask(t, tc.method, "/_millrace/clock", tc.body); status != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s %s: %d %s, want %d %s", tc.method, tc.body, status, body, tc.status, tc.want)
		}
	}
	// What a page in a browser could send.
	resp := must[*http.Response](t)(http.Post(f.url+"/_millrace/clock", "text/plain", strings.NewReader(`{"advance":"1h"}`)))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType || !f.clock.Now().Equal(monday.Add(6*day)) {
		t.Errorf("a form moved the clock: %s, it is %s", resp.Status, f.clock.Now())
	}
	f.wantExecution(arn, sfntypes.ExecutionStatusRunning, "", 0)
	if status, body := f.ask(t, http.MethodPost, "/_millrace/clock", `{"advance":"1d"}`); status != http.StatusOK {
		t.Error(body)
	}
	f.wantExecution(arn, sfntypes.ExecutionStatusFailed, "States.Timeout", 7*day)

	for name, k := range map[string]clock.Clock{"real": nil, "scaled": clock.NewScaled(2)} {
		c := serve(t, localcloud.Options{Ephemeral: true, Clock: k})
		if status, body := c.ask(t, http.MethodGet, "/_millrace/clock", ""); status != http.StatusOK || !strings.Contains(body, `"clock":"`+name+`"`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if status, body := c.ask(t, http.MethodPost, "/_millrace/clock", `{"advance":"1h"}`); status != http.StatusConflict || !strings.Contains(body, "only a virtual clock") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
}

// Time does not go back on a state folder, and what waited goes on.
func TestClockGoesOn(t *testing.T) {
	dir := t.TempDir()
	first := clock.NewVirtual(clock.Real{})
	f := &future{running: serve(t, localcloud.Options{Dir: dir, Clock: first}), clock: first, t: t}
	f.states = sfn.NewFromConfig(f.config())
	first.Stop()
	arn := f.execute(`{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":31536000,"End":true}}}`)
	f.advance(300 * day)
	last := first.Now()
	// What is on disk now is what a kill would leave.
	killed := t.TempDir()
	if err := os.CopyFS(killed, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	f.stop()
	for name, dir := range map[string]string{"stopped": dir, "killed": killed} {
		t.Run(name, func(t *testing.T) {
			_, err := localcloud.New(t.Context(), localcloud.Options{Dir: dir})
			if err == nil || !strings.Contains(err.Error(), "time would go back") || !strings.Contains(err.Error(), dir) {
				t.Errorf("the machine's clock on that folder: %v", err)
			}
			at := serve(t, localcloud.Options{Dir: dir, Clock: clock.NewScaled(1)})
			_, body := at.ask(t, http.MethodGet, "/_millrace/clock", "")
			var scaled struct{ Now time.Time }
			if err := json.Unmarshal([]byte(body), &scaled); err != nil || scaled.Now.Before(last) {
				t.Errorf("a scaled clock goes on at %s, %v, after %s", scaled.Now, err, last)
			}
			at.stop()
			second := clock.NewVirtual(clock.Real{})
			f := &future{running: serve(t, localcloud.Options{Dir: dir, Clock: second}), clock: second, t: t}
			f.states = sfn.NewFromConfig(f.config())
			if now := second.Now(); now.Before(scaled.Now) {
				t.Errorf("time went back from %s to %s", scaled.Now, now)
			}
			f.quiet()
			d := must[*sfn.DescribeExecutionOutput](t)(f.states.DescribeExecution(t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: &arn}))
			if d.Status != sfntypes.ExecutionStatusSucceeded || d.StopDate.Sub(*d.StartDate) < year {
				t.Errorf("the execution is %s, from %s to %v", d.Status, d.StartDate, d.StopDate)
			}
		})
	}
}
