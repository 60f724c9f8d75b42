package logs_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/logs"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
)

// manualClock stands still until it is moved.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *manualClock) AfterFunc(time.Duration, func()) func() bool {
	panic("logs set a timer on the cloud's clock")
}

const begin = int64(1772359200000) // when the tests' clock begins, epoch ms

type rig struct {
	*logs.Logs
	client *cwl.Client
	clock  *manualClock
	dir    string
	store  *store.Store
	server *httptest.Server
}

func newRig(t testing.TB) *rig {
	r := &rig{clock: &manualClock{now: time.UnixMilli(begin).UTC()}, dir: t.TempDir()}
	r.open(t)
	return r
}

func (r *rig) open(t testing.TB) {
	t.Helper()
	var err error
	if r.store, err = store.Open(filepath.Join(r.dir, "state.db"), store.Options{NoSync: true}); err != nil {
		t.Fatal(err)
	}
	if r.Logs, err = logs.New(service.Base{Account: "000000000000", Region: "us-east-1", Clock: r.clock, Store: r.store, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	r.server = httptest.NewServer(r.Wire())
	// The SDK closes a request's body as soon as an answer begins, which now and then breaks the
	// connection of a long one; its retries are made for that.
	r.client = cwl.New(cwl.Options{Region: "us-east-1", BaseEndpoint: aws.String(r.server.URL), Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 3})
	t.Cleanup(func() { r.server.Close(); _ = r.Close(); _ = r.store.Close() })
}

// kill ends the service without its Close.
func (r *rig) kill() {
	r.server.Close()
	_ = r.store.Close()
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func (r *rig) stream(t testing.TB, group, stream string) {
	t.Helper()
	if _, err := r.client.CreateLogGroup(t.Context(), &cwl.CreateLogGroupInput{LogGroupName: &group}); err != nil && code(err) != "ResourceAlreadyExistsException" {
		t.Fatal(err)
	}
	must(r.client.CreateLogStream(t.Context(), &cwl.CreateLogStreamInput{LogGroupName: &group, LogStreamName: &stream}))(t)
}

func (r *rig) put(t testing.TB, group, stream string, events ...types.InputLogEvent) *cwl.PutLogEventsOutput {
	t.Helper()
	return must(r.client.PutLogEvents(t.Context(), &cwl.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream, LogEvents: events}))(t)
}

func event(after int64, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: aws.Int64(begin + after), Message: &message}
}

func messages(events []types.OutputLogEvent) string {
	var out []string
	for _, e := range events {
		out = append(out, *e.Message)
	}
	return strings.Join(out, "|")
}

func TestGetLogEventsPages(t *testing.T) {
	r := newRig(t)
	r.stream(t, "/g", "s")
	r.put(t, "/g", "s", event(0, "a"), event(1, "b"), event(2, "c"))
	r.put(t, "/g", "s", event(3, "d"), event(3, "e"))
	get := func(head bool, token *string) *cwl.GetLogEventsOutput {
		t.Helper()
		return must(r.client.GetLogEvents(t.Context(), &cwl.GetLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), Limit: aws.Int32(2), StartFromHead: &head, NextToken: token}))(t)
	}
	first := get(true, nil)
	second := get(true, first.NextForwardToken)
	third := get(true, second.NextForwardToken)
	end := get(true, third.NextForwardToken)
	if got := messages(first.Events) + " " + messages(second.Events) + " " + messages(third.Events) + " " + messages(end.Events); got != "a|b c|d e " {
		t.Errorf("forward %q", got)
	}
	if *end.NextForwardToken != *third.NextForwardToken {
		t.Errorf("at the end the token changed: %s → %s", *third.NextForwardToken, *end.NextForwardToken)
	}
	r.put(t, "/g", "s", event(9, "f"))
	if got := messages(get(true, end.NextForwardToken).Events); got != "f" {
		t.Errorf("after the end %q", got)
	}
	last := get(false, nil)
	before := get(false, last.NextBackwardToken)
	if got := messages(last.Events) + " " + messages(before.Events); got != "e|f c|d" {
		t.Errorf("backward %q", got)
	}
	window := must(r.client.GetLogEvents(t.Context(), &cwl.GetLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), StartTime: aws.Int64(begin + 1), EndTime: aws.Int64(begin + 3)}))(t)
	if got := messages(window.Events); got != "b|c" {
		t.Errorf("window %q", got)
	}
	if _, err := r.client.GetLogEvents(t.Context(), &cwl.GetLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), NextToken: aws.String("junk")}); code(err) != "InvalidParameterException" {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestPutLogEventsRejects(t *testing.T) {
	r := newRig(t)
	r.stream(t, "/g", "s")
	out := r.put(t, "/g", "s", event(-15*24*3600_000, "too old"), event(0, "right"), event(3*3600_000, "too new"))
	info := out.RejectedLogEventsInfo
	if info == nil || *info.TooOldLogEventEndIndex != 1 || *info.TooNewLogEventStartIndex != 2 || info.ExpiredLogEventEndIndex != nil {
		t.Errorf("rejected %+v", info)
	}
	must(r.client.PutRetentionPolicy(t.Context(), &cwl.PutRetentionPolicyInput{LogGroupName: aws.String("/g"), RetentionInDays: aws.Int32(1)}))(t)
	out = r.put(t, "/g", "s", event(-2*24*3600_000, "expired"))
	if info := out.RejectedLogEventsInfo; info == nil || *info.ExpiredLogEventEndIndex != 1 {
		t.Errorf("rejected %+v", info)
	}
	r.clock.advance(25 * time.Hour)
	got := must(r.client.GetLogEvents(t.Context(), &cwl.GetLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")}))(t)
	if len(got.Events) != 0 {
		t.Errorf("expired events are read: %s", messages(got.Events))
	}
	for name, tc := range map[string]struct {
		in   cwl.PutLogEventsInput
		code string
	}{
		"a group that is not there":  {cwl.PutLogEventsInput{LogGroupName: aws.String("/no"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{event(0, "x")}}, "ResourceNotFoundException"},
		"a stream that is not there": {cwl.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("no"), LogEvents: []types.InputLogEvent{event(0, "x")}}, "ResourceNotFoundException"},
		"not in order":               {cwl.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{event(1, "x"), event(0, "y")}}, "InvalidParameterException"},
		"an empty message":           {cwl.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{event(1, "")}}, "InvalidParameterException"},
		"too large":                  {cwl.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), LogEvents: []types.InputLogEvent{event(1, strings.Repeat("x", 1<<20))}}, "InvalidParameterException"},
	} {
		if _, err := r.client.PutLogEvents(t.Context(), &tc.in); code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFilterLogEvents(t *testing.T) {
	r := newRig(t)
	r.stream(t, "/g", "a1")
	r.stream(t, "/g", "b1")
	r.put(t, "/g", "a1", event(0, "ERROR disk full"), event(2, "INFO all well"))
	r.put(t, "/g", "b1", event(1, "ERROR net down"), event(3, "WARN disk slow"))
	filter := func(in cwl.FilterLogEventsInput) (string, *cwl.FilterLogEventsOutput) {
		t.Helper()
		in.LogGroupName = aws.String("/g")
		out := must(r.client.FilterLogEvents(t.Context(), &in))(t)
		var got []string
		for _, e := range out.Events {
			got = append(got, *e.LogStreamName+":"+*e.Message)
		}
		return strings.Join(got, "|"), out
	}
	tests := map[string]struct {
		in   cwl.FilterLogEventsInput
		want string
	}{
		"all, by time":  {cwl.FilterLogEventsInput{}, "a1:ERROR disk full|b1:ERROR net down|a1:INFO all well|b1:WARN disk slow"},
		"a term":        {cwl.FilterLogEventsInput{FilterPattern: aws.String("ERROR")}, "a1:ERROR disk full|b1:ERROR net down"},
		"two terms":     {cwl.FilterLogEventsInput{FilterPattern: aws.String("disk  ERROR")}, "a1:ERROR disk full"},
		"a phrase":      {cwl.FilterLogEventsInput{FilterPattern: aws.String(`"disk slow"`)}, "b1:WARN disk slow"},
		"either":        {cwl.FilterLogEventsInput{FilterPattern: aws.String(`?WARN ?"all well"`)}, "a1:INFO all well|b1:WARN disk slow"},
		"without":       {cwl.FilterLogEventsInput{FilterPattern: aws.String(`disk -"full"`)}, "b1:WARN disk slow"},
		"case counts":   {cwl.FilterLogEventsInput{FilterPattern: aws.String("error")}, ""},
		"a stream":      {cwl.FilterLogEventsInput{LogStreamNames: []string{"b1"}, FilterPattern: aws.String("ERROR")}, "b1:ERROR net down"},
		"a prefix":      {cwl.FilterLogEventsInput{LogStreamNamePrefix: aws.String("a")}, "a1:ERROR disk full|a1:INFO all well"},
		"within a time": {cwl.FilterLogEventsInput{StartTime: aws.Int64(begin + 1), EndTime: aws.Int64(begin + 3)}, "b1:ERROR net down|a1:INFO all well"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, _ := filter(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	first, out := filter(cwl.FilterLogEventsInput{Limit: aws.Int32(3)})
	rest, end := filter(cwl.FilterLogEventsInput{Limit: aws.Int32(3), NextToken: out.NextToken})
	if strings.Count(first, "|") != 2 || rest != "b1:WARN disk slow" || end.NextToken != nil {
		t.Errorf("pages %q, %q", first, rest)
	}
	for _, pattern := range []string{`{ $.a ~ 1 }`, `{ $.a = 1`, `{ a = 1 }`, `{ $.a = }`, `{ ($.a = 1 }`, `{ $.a < x }`, `{ $.a IS 1 }`, `[a, b]`, `%x%`, `"open`, `a(b`} {
		if _, err := r.client.FilterLogEvents(t.Context(), &cwl.FilterLogEventsInput{LogGroupName: aws.String("/g"), FilterPattern: &pattern}); code(err) != "InvalidParameterException" {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

func TestGroupsAndStreams(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for _, name := range []string{"/aws/lambda/a", "/aws/lambda/b", "other"} {
		must(r.client.CreateLogGroup(ctx, &cwl.CreateLogGroupInput{LogGroupName: &name, Tags: map[string]string{"k": "v"}}))(t)
	}
	if _, err := r.client.CreateLogGroup(ctx, &cwl.CreateLogGroupInput{LogGroupName: aws.String("other")}); code(err) != "ResourceAlreadyExistsException" {
		t.Errorf("made twice: %v", err)
	}
	must(r.client.PutRetentionPolicy(ctx, &cwl.PutRetentionPolicyInput{LogGroupName: aws.String("/aws/lambda/a"), RetentionInDays: aws.Int32(7)}))(t)
	if _, err := r.client.PutRetentionPolicy(ctx, &cwl.PutRetentionPolicyInput{LogGroupName: aws.String("other"), RetentionInDays: aws.Int32(8)}); code(err) != "InvalidParameterException" {
		t.Errorf("eight days: %v", err)
	}
	got := must(r.client.DescribeLogGroups(ctx, &cwl.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/aws/"), Limit: aws.Int32(1)}))(t)
	if len(got.LogGroups) != 1 || *got.LogGroups[0].RetentionInDays != 7 || *got.LogGroups[0].Arn != "arn:aws:logs:us-east-1:000000000000:log-group:/aws/lambda/a:*" || got.NextToken == nil {
		t.Errorf("groups %+v", got)
	}
	arn := got.LogGroups[0].LogGroupArn
	must(r.client.TagResource(ctx, &cwl.TagResourceInput{ResourceArn: arn, Tags: map[string]string{"x": "y"}}))(t)
	must(r.client.UntagResource(ctx, &cwl.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"k"}}))(t)
	if tags := must(r.client.ListTagsForResource(ctx, &cwl.ListTagsForResourceInput{ResourceArn: arn}))(t).Tags; len(tags) != 1 || tags["x"] != "y" {
		t.Errorf("tags %v", tags)
	}
	for _, name := range []string{"s1", "s2", "s3"} {
		r.stream(t, "other", name)
	}
	r.put(t, "other", "s1", event(5, "x"))
	r.put(t, "other", "s3", event(4, "x"))
	streams := must(r.client.DescribeLogStreams(ctx, &cwl.DescribeLogStreamsInput{LogGroupName: aws.String("other"), OrderBy: types.OrderByLastEventTime, Descending: aws.Bool(true)}))(t).LogStreams
	if len(streams) != 3 || *streams[0].LogStreamName != "s1" || *streams[0].LastEventTimestamp != begin+5 || *streams[1].LogStreamName != "s3" || streams[2].LastEventTimestamp != nil {
		t.Errorf("streams %+v", streams)
	}
	must(r.client.DeleteLogStream(ctx, &cwl.DeleteLogStreamInput{LogGroupName: aws.String("other"), LogStreamName: aws.String("s1")}))(t)
	must(r.client.DeleteLogGroup(ctx, &cwl.DeleteLogGroupInput{LogGroupName: aws.String("/aws/lambda/b")}))(t)
	if _, err := r.client.DescribeLogStreams(ctx, &cwl.DescribeLogStreamsInput{LogGroupName: aws.String("/aws/lambda/b")}); code(err) != "ResourceNotFoundException" {
		t.Errorf("a deleted group: %v", err)
	}
	r.stream(t, "other", "s1")
	again := must(r.client.GetLogEvents(ctx, &cwl.GetLogEventsInput{LogGroupName: aws.String("other"), LogStreamName: aws.String("s1")}))(t)
	if len(again.Events) != 0 {
		t.Errorf("a stream that was made again has old events: %s", messages(again.Events))
	}
}

func (r *rig) all(t testing.TB, group, stream string) string {
	t.Helper()
	out := must(r.client.GetLogEvents(t.Context(), &cwl.GetLogEventsInput{LogGroupName: &group, LogStreamName: &stream, StartFromHead: aws.Bool(true)}))(t)
	return messages(out.Events)
}

func TestWriter(t *testing.T) {
	r := newRig(t)
	w := r.Writer("/aws/lambda/f", "2026/03/01/[$LATEST]abc")
	for _, p := range []string{"one\ntw", "o\r\n", "\n", "three"} {
		if n, err := io.WriteString(w, p); err != nil || n != len(p) {
			t.Fatalf("wrote %d of %q: %v", n, p, err)
		}
	}
	if got := r.all(t, "/aws/lambda/f", "2026/03/01/[$LATEST]abc"); got != "one|two" {
		t.Errorf("before the close %q", got)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r.kill()
	r.open(t)
	if got := r.all(t, "/aws/lambda/f", "2026/03/01/[$LATEST]abc"); got != "one|two|three" {
		t.Errorf("after a kill %q", got)
	}
	if _, err := io.WriteString(w, "more\n"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("wrote to a closed writer: %v", err)
	}
}

func TestWriterSplitsLongLines(t *testing.T) {
	r := newRig(t)
	w := r.Writer("/g", "s")
	if _, err := io.WriteString(w, strings.Repeat("x", 300<<10)+"\nshort\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got := strings.Split(r.all(t, "/g", "s"), "|")
	if len(got) != 3 || len(got[0]) != 256<<10 || len(got[1]) != 44<<10 || got[2] != "short" {
		t.Errorf("%d events", len(got))
	}
}

// Many lines from many goroutines: none is lost, and old ones go when a stream is full.
func TestWriterIsBounded(t *testing.T) {
	r := newRig(t)
	var all sync.WaitGroup
	for i := range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			w := r.Writer("/g", "s")
			for j := range 250 {
				if _, err := fmt.Fprintf(w, "%d-%d\n", i, j); err != nil {
					t.Error(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	all.Wait()
	if got := strings.Count(r.all(t, "/g", "s"), "|") + 1; got != 1000 {
		t.Errorf("%d lines", got)
	}
	w := r.Writer("/g", "big")
	line := strings.Repeat("y", 100<<10) + "\n"
	for range 400 {
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	stored := *must(r.client.DescribeLogGroups(t.Context(), &cwl.DescribeLogGroupsInput{}))(t).LogGroups[0].StoredBytes
	if stored > 33<<20 || stored < 30<<20 {
		t.Errorf("%d bytes are kept", stored)
	}
}
