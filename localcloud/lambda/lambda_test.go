package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/lambda"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

const (
	account = "000000000000"
	role    = "arn:aws:iam::000000000000:role/worker"
)

var root = wire.Caller{Account: account, ARN: "arn:aws:iam::000000000000:root"}

// bootstrap builds the tests' function once and gives its bytes.
var bootstrap = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "bootstrap-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	out := filepath.Join(dir, "bootstrap")
	cmd := exec.Command("go", "build", "-tags", "lambda.norpc", "-trimpath", "-o", out, "./testdata/bootstrap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build bootstrap: %w: %s", err, text)
	}
	return os.ReadFile(out)
})

type file struct {
	name string
	mode fs.FileMode
	data []byte
}

func zipOf(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Store}
		h.SetMode(f.mode)
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func code(t testing.TB) []byte {
	t.Helper()
	raw, err := bootstrap()
	if err != nil {
		t.Fatal(err)
	}
	return zipOf(t, file{"bootstrap", 0o755, raw}, file{"pipelines/p/pipeline.yaml", 0o644, []byte("name: p\n")})
}

// logs keeps what functions log, by group.
type logs struct {
	mu     sync.Mutex
	groups map[string]*bytes.Buffer
}

type logWriter struct {
	l     *logs
	group string
}

func (w logWriter) Write(p []byte) (int, error) {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	if w.l.groups[w.group] == nil {
		w.l.groups[w.group] = &bytes.Buffer{}
	}
	return w.l.groups[w.group].Write(p)
}
func (w logWriter) Close() error { return nil }

func (l *logs) text(group string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.groups[group] == nil {
		return ""
	}
	return l.groups[group].String()
}

type call struct {
	Service, Operation string
	Input              map[string]any
	Caller             wire.Caller
}

// calls answers and keeps what the service asks of others.
type calls struct {
	mu    sync.Mutex
	seen  []call
	fails int // this many SendMessage calls fail first
	got   chan call
}

func (c *calls) Call(ctx context.Context, service, operation string, input []byte) ([]byte, error) {
	var in map[string]any
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	k := call{service, operation, in, wire.CallerFrom(ctx)}
	c.seen = append(c.seen, k)
	if operation == "GetQueueUrl" {
		return []byte(`{"QueueUrl":"http://127.0.0.1/` + in["QueueName"].(string) + `"}`), nil
	}
	if c.fails > 0 {
		c.fails--
		return nil, wire.Errorf("Throttled", "not now")
	}
	c.got <- k
	return []byte(`{"FailedEntryCount":0}`), nil
}

type objects map[string][]byte

func (o objects) Open(_ context.Context, bucket, key, _ string) (io.ReadCloser, int64, error) {
	data, ok := o[bucket+"/"+key]
	if !ok {
		return nil, 0, wire.Errorf("NoSuchKey", "The specified key does not exist.")
	}
	return io.NopCloser(bytes.NewReader(data)), int64(len(data)), nil
}

type cloud struct {
	*lambda.Lambda
	client *api.Client
	logs   *logs
	calls  *calls
	opts   lambda.Options
}

func open(t testing.TB, change func(*lambda.Options)) *cloud {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(filepath.Join(dir, "state.db"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c := &cloud{logs: &logs{groups: map[string]*bytes.Buffer{}}, calls: &calls{got: make(chan call, 100)}}
	c.opts = lambda.Options{
		Base: service.Base{Account: "000000000000", Region: "us-east-1", Store: st, Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler)}, Dir: filepath.Join(dir, "lambda"), Call: c.calls.Call, Objects: objects{},
		LogWriter:       func(group, _ string) io.WriteCloser { return logWriter{c.logs, group} },
		Endpoint:        func() string { return "http://127.0.0.1:1" },
		AsyncRetryWaits: []time.Duration{time.Millisecond, 2 * time.Millisecond},
		AssumeRole: func(arn, session, _ string) (string, string, string, error) {
			if arn != role {
				return "", "", "", errors.New("no such role")
			}
			return "AKID", "SECRET", "TOKEN-" + session, nil
		},
	}
	if change != nil {
		change(&c.opts)
	}
	c.start(t)
	return c
}

func (c *cloud) start(t testing.TB) {
	t.Helper()
	l, err := lambda.New(c.opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	c.Lambda = l
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.Wire().ServeHTTP(w, r.WithContext(wire.WithRequestID(wire.WithCaller(r.Context(), root), uuid.NewString())))
	}))
	t.Cleanup(server.Close)
	c.client = api.New(api.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 3,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
}

func (c *cloud) create(t testing.TB, name string, change func(*api.CreateFunctionInput)) {
	t.Helper()
	in := &api.CreateFunctionInput{
		FunctionName: aws.String(name), Role: aws.String(role), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Code: &types.FunctionCode{ZipFile: code(t)}, Timeout: aws.Int32(30),
	}
	if change != nil {
		change(in)
	}
	if _, err := c.client.CreateFunction(t.Context(), in); err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) invoke(t testing.TB, name, event string) *api.InvokeOutput {
	t.Helper()
	out, err := c.client.Invoke(t.Context(), &api.InvokeInput{FunctionName: aws.String(name), Payload: []byte(event), LogType: types.LogTypeTail})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantCode(t *testing.T, err error, code string, contains string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want %s", err, code)
	}
	if e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), contains) {
		t.Errorf("got %s: %s, want %s with %q", e.ErrorCode(), e.ErrorMessage(), code, contains)
	}
}

func awaitTrue(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("never came: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
