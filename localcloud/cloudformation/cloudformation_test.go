package cloudformation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/cloudformation"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

const image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/w@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var root = wire.Caller{Account: "000000000000", ARN: "arn:aws:iam::000000000000:root"}

// world is the other services: it keeps every call in order, as "service:Operation
// identifier", and what exists.
type world struct {
	mu     sync.Mutex
	log    []string
	inputs map[string]map[string]any // newest input by "service:Operation identifier"
	fail   map[string]error          // by "service:Operation identifier"
	block  map[string]chan struct{}  // calls that wait, by the same
	caller wire.Caller
	policy string // of the bus
	files  map[string]string

	parameters map[string]string // of the parameter store
	lists      bool              // they are lists
	buckets    map[string]bool   // that are there
	asked      []string          // of authorize: "action resource"
}

func (w *world) authorize(_ context.Context, action, resource string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, action+" "+resource)
	return nil
}

func newWorld() *world {
	return &world{inputs: map[string]map[string]any{}, fail: map[string]error{}, block: map[string]chan struct{}{}, files: map[string]string{},
		parameters: map[string]string{"/cdk-bootstrap/hnb659fds/version": "30"}, buckets: map[string]bool{}}
}

var identifiers = []string{"StatementId", "PolicyName", "FunctionName", "RoleName", "repositoryName", "resourceArn", "ResourceId", "Rule", "logGroupName", "name", "stateMachineArn", "ModelPackageGroupName", "QueueName", "QueueUrl", "TopicArn", "SubscriptionArn", "Name", "EventBusName", "Resource", "ResourceArn"}

func (w *world) enter(ctx context.Context, what string, in map[string]any) error {
	w.mu.Lock()
	if !strings.Contains(what, ":Get") { // what only reads is no step of a story
		w.log = append(w.log, what)
	}
	w.inputs[what] = in
	w.caller = wire.CallerFrom(ctx)
	err, gate := w.fail[what], w.block[what]
	w.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (w *world) Call(ctx context.Context, service, operation string, input []byte) ([]byte, error) {
	var in map[string]any
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	id := ""
	for _, k := range identifiers {
		if s, ok := in[k].(string); ok {
			id = s
			break
		}
	}
	if err := w.enter(ctx, service+":"+operation+" "+id, in); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]any{}
	arn := func(svc, rest string) string { return "arn:aws:" + svc + ":us-east-1:000000000000:" + rest }
	switch operation {
	case "GetParameters":
		if v, ok := w.parameters[in["Names"].([]any)[0].(string)]; ok {
			out["Parameters"] = []any{map[string]any{"Type": map[bool]string{false: "String", true: "StringList"}[w.lists], "Value": v}}
		}
	case "CreateRole":
		out["Role"] = map[string]any{"Arn": "arn:aws:iam::000000000000:role/" + id, "RoleId": "AROA" + id}
	case "CreateRepository":
		name := in["repositoryName"].(string)
		out["repository"] = map[string]any{"repositoryArn": arn("ecr", "repository/"+name), "repositoryUri": "000000000000.dkr.ecr.us-east-1.amazonaws.com/" + name}
	case "CreateFunction":
		out["FunctionArn"] = arn("lambda", "function:"+id)
	case "CreateStateMachine":
		out["stateMachineArn"] = arn("states", "stateMachine:"+id)
	case "CreateModelPackageGroup":
		out["ModelPackageGroupArn"] = arn("sagemaker", "model-package-group/"+id)
	case "CreateQueue":
		out["QueueUrl"] = "http://127.0.0.1/000000000000/" + id
	case "CreateTopic":
		out["TopicArn"] = arn("sns", id)
	case "Subscribe":
		out["SubscriptionArn"] = id + ":sub-1"
	case "CreateEventBus":
		out["EventBusArn"] = arn("events", "event-bus/"+id)
	case "PutRule":
		out["RuleArn"] = arn("events", "rule/"+id)
	case "DescribeEventBus":
		out["Policy"] = w.policy
	case "PutPermission":
		w.policy, _ = in["Policy"].(string)
	}
	return json.Marshal(out)
}

func (w *world) List(context.Context, string, string) ([]string, error) { return nil, nil }

func (w *world) Open(_ context.Context, bucket, key, _ string) (io.ReadCloser, int64, error) {
	text, ok := w.files[bucket+"/"+key]
	if !ok {
		return nil, 0, wire.Errorf("NoSuchKey", "The specified key does not exist.")
	}
	return io.NopCloser(strings.NewReader(text)), int64(len(text)), nil
}

func (w *world) CreateBucket(ctx context.Context, b string) error {
	return w.enter(ctx, "s3:CreateBucket "+b, nil)
}
func (w *world) DeleteBucket(ctx context.Context, b string) error {
	return w.enter(ctx, "s3:DeleteBucket "+b, nil)
}
func (w *world) HasBucket(_ context.Context, b string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buckets[b], nil
}
func (w *world) SetVersioning(ctx context.Context, b string, on bool) error {
	return w.enter(ctx, fmt.Sprintf("s3:SetVersioning %s %v", b, on), nil)
}
func (w *world) SetEventBridge(ctx context.Context, b string, on bool) error {
	return w.enter(ctx, fmt.Sprintf("s3:SetEventBridge %s %v", b, on), nil)
}
func (w *world) SetPolicy(ctx context.Context, b, policy string) error {
	return w.enter(ctx, "s3:SetPolicy "+b, map[string]any{"policy": policy})
}
func (w *world) Tag(ctx context.Context, b string, tags map[string]string) error {
	return w.enter(ctx, fmt.Sprintf("s3:Tag %s %v", b, tags), nil)
}

func (w *world) calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.log...)
}

func (w *world) input(what string) map[string]any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.inputs[what]
}

func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = nil
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

type cloud struct {
	*cloudformation.CloudFormation
	client *api.Client
	world  *world
	store  *store.Store
	assume func(roleARN, session, stackARN string) (wire.Caller, error)
}

func open(t testing.TB) *cloud {
	t.Helper()
	st, err := store.Open(filepath.Join(t.TempDir(), "state.db"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	c := &cloud{world: newWorld(), store: st}
	c.start(t)
	return c
}

func (c *cloud) start(t testing.TB) {
	t.Helper()
	s, err := cloudformation.New(cloudformation.Options{
		Base: service.Base{Account: "000000000000", Region: "us-east-1", Store: c.store, Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler), Authorize: c.world.authorize},
		Call: c.world.Call, Objects: c.world, Assume: c.assume})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c.CloudFormation = s
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Wire().ServeHTTP(w, r.WithContext(wire.WithRequestID(wire.WithCaller(r.Context(), root), "req-1")))
	}))
	t.Cleanup(server.Close)
	c.client = api.New(api.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 3,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
}

func full(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/stack.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func parameters(kv ...string) []types.Parameter {
	out := []types.Parameter{}
	for i := 0; i < len(kv); i += 2 {
		out = append(out, types.Parameter{ParameterKey: &kv[i], ParameterValue: &kv[i+1]})
	}
	return out
}

// create creates a stack and waits until its status settles.
func (c *cloud) create(t *testing.T, name, body string, params ...string) types.Stack {
	t.Helper()
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: &name, TemplateBody: &body, Parameters: parameters(params...),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam}})
	if err != nil {
		t.Fatal(err)
	}
	return c.settled(t, name)
}

func (c *cloud) update(t *testing.T, name, body string, params ...string) types.Stack {
	t.Helper()
	_, err := c.client.UpdateStack(t.Context(), &api.UpdateStackInput{StackName: &name, TemplateBody: &body, Parameters: parameters(params...),
		Capabilities: []types.Capability{types.CapabilityCapabilityIam}})
	if err != nil {
		t.Fatal(err)
	}
	return c.settled(t, name)
}

func (c *cloud) settled(t *testing.T, name string) types.Stack {
	t.Helper()
	var last types.Stack
	awaitTrue(t, "end of the operation on "+name, func() bool {
		out, err := c.client.DescribeStacks(t.Context(), &api.DescribeStacksInput{StackName: &name})
		if err != nil {
			t.Fatal(err)
		}
		last = out.Stacks[0]
		return !strings.HasSuffix(string(last.StackStatus), "_IN_PROGRESS")
	})
	return last
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

func (c *cloud) events(t *testing.T, name string) []types.StackEvent {
	t.Helper()
	var out []types.StackEvent
	pages := api.NewDescribeStackEventsPaginator(c.client, &api.DescribeStackEventsInput{StackName: &name})
	for pages.HasMorePages() {
		p, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p.StackEvents...)
	}
	return out
}

// story is the events of a stack, oldest first, as "logical STATUS".
func (c *cloud) story(t *testing.T, name string) []string {
	t.Helper()
	events := c.events(t, name)
	out := make([]string, 0, len(events))
	for i := len(events) - 1; i >= 0; i-- {
		out = append(out, *events[i].LogicalResourceId+" "+string(events[i].ResourceStatus))
	}
	return out
}

func wantCode(t *testing.T, err error, code string, contains ...string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want %s", err, code)
	}
	if e.ErrorCode() != code {
		t.Errorf("got %s: %s, want %s", e.ErrorCode(), e.ErrorMessage(), code)
	}
	for _, s := range contains {
		if !strings.Contains(e.ErrorMessage(), s) {
			t.Errorf("message %q lacks %q", e.ErrorMessage(), s)
		}
	}
}

func sorted(list []string) []string {
	out := append([]string(nil), list...)
	sort.Strings(out)
	return out
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
