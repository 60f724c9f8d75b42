package sagemaker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/sagemaker"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

const (
	account = "000000000000"
	region  = "us-east-1"
	role    = "arn:aws:iam::000000000000:role/jobs"
	image   = "000000000000.dkr.ecr.us-east-1.amazonaws.com/worker:latest"
	rootARN = "arn:aws:iam::000000000000:root"
)

// buckets is S3 in memory.
type buckets struct {
	mu      sync.Mutex
	objects map[string][]byte // bucket/key
	denied  map[string]bool   // bucket/key that may not be read or written
	callers map[string]bool   // roles seen
}

func (b *buckets) put(uri, body string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[strings.TrimPrefix(uri, "s3://")] = []byte(body)
}

func (b *buckets) get(t *testing.T, uri string) string {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	body, ok := b.objects[strings.TrimPrefix(uri, "s3://")]
	if !ok {
		t.Fatalf("no object %s; there are %v", uri, b.names())
	}
	return string(body)
}

func (b *buckets) names() []string {
	return slices.Sorted(maps.Keys(b.objects))
}

func (b *buckets) has(uri string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, ok := b.objects[strings.TrimPrefix(uri, "s3://")]
	return ok
}

func (b *buckets) check(ctx context.Context, bucket, key string) error {
	b.callers[wire.CallerFrom(ctx).RoleARN] = true
	if bucket == "nowhere" {
		return &wire.Error{Code: "NoSuchBucket", Message: "The specified bucket does not exist", Status: 404}
	}
	if b.denied[bucket+"/"+key] {
		return &wire.Error{Code: "AccessDenied", Message: "Access Denied", Status: 403}
	}
	return nil
}

func (b *buckets) List(ctx context.Context, bucket, prefix string) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(ctx, bucket, prefix); err != nil {
		return nil, err
	}
	var keys []string
	for _, n := range b.names() {
		if k, ok := strings.CutPrefix(n, bucket+"/"); ok && strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func (b *buckets) Open(ctx context.Context, bucket, key, _ string) (io.ReadCloser, int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(ctx, bucket, key); err != nil {
		return nil, 0, err
	}
	body, ok := b.objects[bucket+"/"+key]
	if !ok {
		return nil, 0, &wire.Error{Code: "NoSuchKey", Message: "The specified key does not exist.", Status: 404}
	}
	return io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
}

func (b *buckets) Put(ctx context.Context, bucket, key string, body io.Reader, size int64) (string, error) {
	raw, err := io.ReadAll(body)
	if err != nil || int64(len(raw)) != size {
		return "", fmt.Errorf("got %d of %d bytes: %w", len(raw), size, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(ctx, bucket, key); err != nil {
		return "", err
	}
	b.objects[bucket+"/"+key] = raw
	return "v1", nil
}

// event is an emitted event, as a consumer would decode it.
type event struct {
	Type      string
	Resources []string
	Detail    map[string]any
}

// events records what is emitted and lets tests wait for it.
type events struct {
	mu   sync.Mutex
	more *sync.Cond
	all  []event
}

func newEvents() *events {
	e := &events{}
	e.more = sync.NewCond(&e.mu)
	return e
}

func (e *events) emit(_ context.Context, source, detailType string, resources []string, detail any) {
	raw, err := json.Marshal(detail)
	if err != nil {
		panic(err)
	}
	ev := event{Type: detailType, Resources: resources}
	if err := json.Unmarshal(raw, &ev.Detail); err != nil || source != "aws.sagemaker" {
		panic(fmt.Sprint(source, err))
	}
	e.mu.Lock()
	e.all = append(e.all, ev)
	e.mu.Unlock()
	e.more.Broadcast()
}

// wait blocks until an event matches; one that never comes ends the tests.
func (e *events) wait(match func(event) bool) event {
	late := time.AfterFunc(2*time.Minute, func() { panic(fmt.Sprintf("the awaited event is not among these: %+v", e.all)) })
	defer late.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for from := 0; ; e.more.Wait() {
		for ; from < len(e.all); from++ {
			if match(e.all[from]) {
				return e.all[from]
			}
		}
	}
}

func (e *events) of(name string) []event {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []event
	for _, ev := range e.all {
		for k, v := range ev.Detail {
			if strings.HasSuffix(k, "Name") && v == name {
				found = append(found, ev)
				break
			}
		}
	}
	return found
}

// logs keeps log streams and lets tests wait for text in them.
type logs struct {
	mu      sync.Mutex
	more    *sync.Cond
	streams map[string]string
}

func newLogs() *logs {
	l := &logs{streams: map[string]string{}}
	l.more = sync.NewCond(&l.mu)
	return l
}

type stream struct {
	l    *logs
	name string
}

func (s stream) Write(p []byte) (int, error) {
	s.l.mu.Lock()
	s.l.streams[s.name] += string(p)
	s.l.mu.Unlock()
	s.l.more.Broadcast()
	return len(p), nil
}

func (s stream) Close() error { return nil }

// wait blocks until a stream whose name contains part has the text, and returns it all.
func (l *logs) wait(part, text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; ; l.more.Wait() {
		if all := l.find(part); strings.Contains(all, text) {
			return all
		}
	}
}

// find returns the stream with the shortest name that contains part: a job's
// own before its data log.
func (l *logs) find(part string) string {
	found := ""
	for name := range l.streams {
		if strings.Contains(name, part) && (found == "" || len(name) < len(found)) {
			found = name
		}
	}
	return l.streams[found]
}

func (l *logs) text(part string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.find(part)
}

// steps is a clock that moves a second each time it is read, and whose timers
// fire when told to.
type steps struct {
	mu     sync.Mutex
	now    time.Time
	more   *sync.Cond
	timers map[int]timer
	next   int
}

type timer struct {
	d time.Duration
	f func()
}

func newSteps() *steps {
	c := &steps{now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), timers: map[int]timer{}}
	c.more = sync.NewCond(&c.mu)
	return c
}

func (c *steps) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

func (c *steps) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	id := c.next
	c.timers[id] = timer{d, f}
	c.more.Broadcast()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, pending := c.timers[id]
		delete(c.timers, id)
		return pending
	}
}

// fire waits for a timer of this duration and lets it ring.
func (c *steps) fire(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ; ; c.more.Wait() {
		for id, t := range c.timers {
			if t.d == d {
				delete(c.timers, id)
				go t.f()
				return
			}
		}
	}
}

// cloud is a SageMaker under test, with all that it reaches.
type cloud struct {
	*sm.Client
	s3     *buckets
	events *events
	logs   *logs
	dir    string
	sage   *sagemaker.SageMaker
	store  *store.Store
}

// setup may be changed by a test before the service opens.
type setup struct {
	sagemaker.Options
	caller wire.Caller
}

func open(t *testing.T, change func(*setup)) *cloud {
	t.Helper()
	return reopen(t, t.TempDir(), &buckets{objects: map[string][]byte{}, denied: map[string]bool{}, callers: map[string]bool{}}, change)
}

// reopen starts a service on the state of an earlier one.
func reopen(t *testing.T, dir string, s3 *buckets, change func(*setup)) *cloud {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(filepath.Join(dir, "state.db"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{s3: s3, events: newEvents(), logs: newLogs(), dir: dir, store: st}
	set := setup{caller: wire.Caller{Account: account, ARN: rootARN, UserID: account}, Options: sagemaker.Options{
		Base: service.Base{Account: account, Region: region, Clock: clock.Real{}, Store: st, Log: slog.New(slog.DiscardHandler)}, Dir: filepath.Join(dir, "sagemaker"), Objects: s3,
		Emit: c.events.emit, LogWriter: func(group, name string) io.WriteCloser { return stream{c.logs, group + ":" + name} },
		AssumeRole: func(arn, _, _ string) (string, string, string, error) {
			if arn != role {
				return "", "", "", errors.New("no such role")
			}
			return "AKIAJOB", "job-secret", "job-token", nil
		},
		Images: map[string]string{"worker": self}, Endpoint: func() string { return "http://127.0.0.1:1" }, Grace: 10 * time.Second,
	}}
	if change != nil {
		change(&set)
	}
	if c.sage, err = sagemaker.New(set.Options); err != nil {
		t.Fatal(err)
	}
	if err := c.sage.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.sage.Wire().ServeHTTP(w, r.WithContext(wire.WithCaller(r.Context(), set.caller)))
	}))
	c.Client = sm.NewFromConfig(aws.Config{Region: region, BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 3,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})})
	t.Cleanup(func() {
		server.Close()
		c.close(t)
	})
	return c
}

func (c *cloud) close(t *testing.T) {
	t.Helper()
	if c.store == nil {
		return
	}
	if err := errors.Join(c.sage.Close(), c.store.Close()); err != nil {
		t.Error(err)
	}
	c.store = nil
}

// ended waits for the event of a job's end and returns it.
func (c *cloud) ended(kind, name string) event {
	return c.events.wait(func(e event) bool {
		status := e.Detail[kind+"JobStatus"]
		return e.Detail[kind+"JobName"] == name && (status == "Completed" || status == "Failed" || status == "Stopped")
	})
}

// wantError checks an API error's code and a part of its message.
func wantError(t *testing.T, err error, code, part string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("want %s, got %v", code, err)
	}
	if api.ErrorCode() != code || !strings.Contains(api.ErrorMessage(), part) {
		t.Fatalf("want %s with %q, got %s: %s", code, part, api.ErrorCode(), api.ErrorMessage())
	}
}

// training is a request for a job that plays a behaviour.
func training(name, behaviour string) *sm.CreateTrainingJobInput {
	return &sm.CreateTrainingJobInput{
		TrainingJobName: aws.String(name), RoleArn: aws.String(role), Environment: map[string]string{behaviourEnv: behaviour},
		AlgorithmSpecification: &types.AlgorithmSpecification{TrainingImage: aws.String(image), TrainingInputMode: types.TrainingInputModeFile},
		OutputDataConfig:       &types.OutputDataConfig{S3OutputPath: aws.String("s3://out/models")},
		ResourceConfig:         &types.ResourceConfig{InstanceType: types.TrainingInstanceTypeMlM5Xlarge, InstanceCount: aws.Int32(1), VolumeSizeInGB: aws.Int32(10)},
		StoppingCondition:      &types.StoppingCondition{MaxRuntimeInSeconds: aws.Int32(3600)},
	}
}

// processing is a request for a job that plays a behaviour.
func processing(name, behaviour string) *sm.CreateProcessingJobInput {
	return &sm.CreateProcessingJobInput{
		ProcessingJobName: aws.String(name), RoleArn: aws.String(role), Environment: map[string]string{behaviourEnv: behaviour},
		AppSpecification: &types.AppSpecification{ImageUri: aws.String(image), ContainerArguments: []string{"prepare", "--fast"}},
		ProcessingResources: &types.ProcessingResources{ClusterConfig: &types.ProcessingClusterConfig{
			InstanceCount: aws.Int32(1), InstanceType: types.ProcessingInstanceTypeMlM5Xlarge, VolumeSizeInGB: aws.Int32(10)}},
		StoppingCondition: &types.ProcessingStoppingCondition{MaxRuntimeInSeconds: aws.Int32(3600)},
	}
}

func s3Input(name, uri string, kind types.ProcessingS3DataType) types.ProcessingInput {
	return types.ProcessingInput{InputName: aws.String(name), S3Input: &types.ProcessingS3Input{
		S3Uri: aws.String(uri), LocalPath: aws.String("/opt/ml/processing/input/" + name), S3DataType: kind, S3InputMode: types.ProcessingS3InputModeFile}}
}

func s3Output(name, uri string) types.ProcessingOutput {
	return types.ProcessingOutput{OutputName: aws.String(name), S3Output: &types.ProcessingS3Output{
		S3Uri: aws.String(uri), LocalPath: aws.String("/opt/ml/processing/output/" + name), S3UploadMode: types.ProcessingS3UploadModeEndOfJob}}
}
