package localcloud_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/wiretest"
)

// TestMain has all that goes over the wire judged by botocore's models.
func TestMain(m *testing.M) { os.Exit(wiretest.Judged(m.Run)) }

// running is a cloud that serves on a port.
type running struct {
	*localcloud.Cloud
	url  string
	log  *logBuffer
	stop func()
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func serve(t testing.TB, o localcloud.Options) *running {
	t.Helper()
	r := &running{log: &logBuffer{}}
	o.Log, o.Around = slog.New(slog.NewTextHandler(r.log, nil)), wiretest.Around()
	var err error
	if r.Cloud, err = localcloud.New(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.Serve(ctx, l) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-served, r.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) config() aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: &r.url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 1}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestUploadReachesQueue(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	cfg := c.config()
	objects, events, queues := s3.NewFromConfig(cfg), eventbridge.NewFromConfig(cfg), sqs.NewFromConfig(cfg)
	queue := must[*sqs.CreateQueueOutput](t)(queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("uploads"), Attributes: map[string]string{
		"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"arn:aws:sqs:us-east-1:000000000000:uploads"}]}`}}))
	must[*eventbridge.PutRuleOutput](t)(events.PutRule(t.Context(), &eventbridge.PutRuleInput{Name: aws.String("uploads"),
		EventPattern: aws.String(`{"source":["aws.s3"],"detail-type":["Object Created"],"detail":{"object":{"key":[{"prefix":"raw/"}]}}}`)}))
	must[*eventbridge.PutTargetsOutput](t)(events.PutTargets(t.Context(), &eventbridge.PutTargetsInput{Rule: aws.String("uploads"),
		Targets: []ebtypes.Target{{Id: aws.String("q"), Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:uploads")}}}))
	must[*s3.CreateBucketOutput](t)(objects.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("data")}))
	must[*s3.PutBucketNotificationConfigurationOutput](t)(objects.PutBucketNotificationConfiguration(t.Context(), &s3.PutBucketNotificationConfigurationInput{Bucket: aws.String("data"),
		NotificationConfiguration: &s3types.NotificationConfiguration{EventBridgeConfiguration: &s3types.EventBridgeConfiguration{}}}))
	must[*s3.PutObjectOutput](t)(objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("data"), Key: aws.String("raw/a.csv"), Body: strings.NewReader("x")}))
	got := must[*sqs.ReceiveMessageOutput](t)(queues.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 20}))
	if len(got.Messages) != 1 || !strings.Contains(*got.Messages[0].Body, `"raw/a.csv"`) || !strings.Contains(*got.Messages[0].Body, `"reason":"PutObject"`) {
		t.Errorf("messages: %+v\n%s", got.Messages, c.log)
	}
}

func TestRolesAreHeldToTheirPolicies(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	cfg := c.config()
	roles := iam.NewFromConfig(cfg)
	must[*iam.CreateRoleOutput](t)(roles.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("worker"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}]}`)}))
	must[*iam.PutRolePolicyOutput](t)(roles.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("worker"), PolicyName: aws.String("p"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","states:ListStateMachines"],"Resource":["arn:aws:s3:::box/out/*","*"]},
			{"Effect":"Deny","Action":"s3:PutObject","Resource":"arn:aws:s3:::box/in/*"}]}`)}))
	session := must[*sts.AssumeRoleOutput](t)(sts.NewFromConfig(cfg).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/worker"), RoleSessionName: aws.String("test")}))
	as := c.config()
	as.Credentials = credentials.NewStaticCredentialsProvider(*session.Credentials.AccessKeyId, *session.Credentials.SecretAccessKey, *session.Credentials.SessionToken)
	who := must[*sts.GetCallerIdentityOutput](t)(sts.NewFromConfig(as).GetCallerIdentity(t.Context(), nil))
	if *who.Arn != "arn:aws:sts::000000000000:assumed-role/worker/test" || *who.Account != "000000000000" {
		t.Errorf("identity: %+v", who)
	}
	must[*s3.CreateBucketOutput](t)(s3.NewFromConfig(cfg).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("box")}))
	put := func(key string) error {
		_, err := s3.NewFromConfig(as).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("box"), Key: &key, Body: strings.NewReader("x")})
		return err
	}
	for key, want := range map[string]string{"out/a": "", "in/a": "AccessDenied"} {
		if err := put(key); code(err) != want {
			t.Errorf("put %s: %v, want %q", key, err, want)
		}
	}
	if _, err := sfn.NewFromConfig(as).ListStateMachines(t.Context(), nil); err != nil {
		t.Errorf("list state machines: %v", err)
	}
	_, err := sfn.NewFromConfig(as).CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{Name: aws.String("m"), RoleArn: aws.String("arn:aws:iam::000000000000:role/worker"),
		Definition: aws.String(`{"StartAt":"S","States":{"S":{"Type":"Succeed"}}}`)})
	if code(err) != "AccessDeniedException" || !strings.Contains(err.Error(), "is not authorized to perform: states:CreateStateMachine on resource") {
		t.Errorf("create state machine: %v", err)
	}
	if _, err := iam.NewFromConfig(as).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("worker")}); code(err) != "AccessDenied" {
		t.Errorf("get role: %v", err)
	}
	if log := c.log.String(); strings.Count(log, "access denied") != 3 {
		t.Errorf("denials in the log:\n%s", log)
	}
}

func TestFrontRefuses(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	with := func(change func(*aws.Config)) aws.Config {
		cfg := c.config()
		change(&cfg)
		return cfg
	}
	list := func(cfg aws.Config) error {
		_, err := sfn.NewFromConfig(cfg).ListStateMachines(t.Context(), nil)
		return err
	}
	whoami := func(cfg aws.Config) error {
		_, err := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), nil)
		return err
	}
	for name, tc := range map[string]struct {
		err  error
		want string
	}{
		"wrong secret, JSON":  {list(with(func(c *aws.Config) { c.Credentials = credentials.NewStaticCredentialsProvider("test", "wrong", "") })), "InvalidSignatureException"},
		"wrong secret, query": {whoami(with(func(c *aws.Config) { c.Credentials = credentials.NewStaticCredentialsProvider("test", "wrong", "") })), "SignatureDoesNotMatch"},
		"unknown key, JSON":   {list(with(func(c *aws.Config) { c.Credentials = credentials.NewStaticCredentialsProvider("nobody", "x", "") })), "UnrecognizedClientException"},
		"unknown key, query":  {whoami(with(func(c *aws.Config) { c.Credentials = credentials.NewStaticCredentialsProvider("nobody", "x", "") })), "InvalidClientTokenId"},
		"another region":      {list(with(func(c *aws.Config) { c.Region = "eu-west-1" })), "InvalidSignatureException"},
		"global service":      {whoami(with(func(c *aws.Config) { c.Region = "eu-west-1" })), ""},
	} {
		if code(tc.err) != tc.want {
			t.Errorf("%s: %v, want %q", name, tc.err, tc.want)
		}
	}
	for name, tc := range map[string]struct {
		path, host, body string
		header           map[string]string
		status           int
		contains         string
	}{
		"health":          {path: "/_millrace/health", status: 200, contains: "ok"},
		"rebound name":    {path: "/_millrace/health", host: "evil.example:80", status: 403, contains: "loopback"},
		"unsigned S3":     {path: "/", status: 403, contains: "AccessDenied"},
		"unsigned JSON":   {path: "/", body: "{}", header: map[string]string{"X-Amz-Target": "AWSStepFunctions.ListStateMachines"}, status: 403, contains: "MissingAuthenticationToken"},
		"unknown service": {path: "/", body: "{}", header: map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/glue/aws4_request, SignedHeaders=host, Signature=00"}, status: 400, contains: `does not have the service \"glue\"`},
		"CloudWatch": {path: "/service/GraniteServiceVersion20100801/operation/PutMetricData", body: "\xa0", status: 400, contains: "UnknownOperationException",
			header: map[string]string{"Smithy-Protocol": "rpc-v2-cbor", "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/monitoring/aws4_request, SignedHeaders=host, Signature=00"}},
	} {
		t.Run(name, func(t *testing.T) {
			method := http.MethodGet
			if tc.body != "" {
				method = http.MethodPost
			}
			req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, c.url+tc.path, strings.NewReader(tc.body)))
			req.Host = tc.host
			for k, v := range tc.header {
				req.Header.Set(k, v)
			}
			resp := must[*http.Response](t)(http.DefaultClient.Do(req))
			body := must[[]byte](t)(io.ReadAll(resp.Body))
			_ = resp.Body.Close()
			if resp.StatusCode != tc.status || !strings.Contains(string(body), tc.contains) {
				t.Errorf("%s %s, want %d with %q", resp.Status, body, tc.status, tc.contains)
			}
		})
	}
	if log := c.log.String(); !strings.Contains(log, "service not supported by the local cloud") {
		t.Errorf("an unknown service was not said aloud:\n%s", log)
	}
}

func TestStateFolder(t *testing.T) {
	dir := t.TempDir()
	c := serve(t, localcloud.Options{Dir: dir})
	if _, err := localcloud.New(t.Context(), localcloud.Options{Dir: dir}); !errors.Is(err, localcloud.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second cloud on one folder: %v", err)
	}
	must[*s3.CreateBucketOutput](t)(s3.NewFromConfig(c.config()).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("kept")}))
	must[*iam.CreateRoleOutput](t)(iam.NewFromConfig(c.config()).CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: aws.String("kept"),
		AssumeRolePolicyDocument: aws.String(`{"Statement":{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}}`)}))
	c.stop()
	c = serve(t, localcloud.Options{Dir: dir})
	if _, err := s3.NewFromConfig(c.config()).HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("kept")}); err != nil {
		t.Errorf("bucket after a restart: %v", err)
	}
	if _, err := iam.NewFromConfig(c.config()).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("kept")}); err != nil {
		t.Errorf("role after a restart: %v", err)
	}
}

func TestEphemeralLeavesNothing(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	if _, err := os.Stat(c.Dir()); err != nil {
		t.Fatal(err)
	}
	c.stop()
	if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// botocore asks so before every upload, of nothing too, and reads the next answer
// on the connection wrongly when it is not told to go on.
func TestContinuesWithoutBody(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	conn, err := net.Dial("tcp", strings.TrimPrefix(*c.config().BaseEndpoint, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, length := range []int{0, 4} {
		fmt.Fprintf(conn, "PUT /bucket/k HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", length)
		if length > 0 {
			fmt.Fprint(conn, strings.Repeat("x", length))
		}
		line, err := r.ReadString('\n')
		if blank, _ := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" || blank != "\r\n" {
			t.Fatalf("%d bytes: %q, %q, %v", length, line, blank, err)
		}
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(answer.Body); !strings.Contains(string(body), "NoSuchBucket") {
			t.Errorf("%d bytes: %d %s", length, answer.StatusCode, body)
		}
	}
}

func TestServesLoopbackOnly(t *testing.T) {
	c := must[*localcloud.Cloud](t)(localcloud.New(t.Context(), localcloud.Options{Ephemeral: true}))
	t.Cleanup(func() { _ = c.Close() })
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("served all interfaces: %v", err)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}

func TestStopsWhileItStarts(t *testing.T) {
	cloud, err := localcloud.New(t.Context(), localcloud.Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := errors.Join(cloud.Serve(ctx, l), cloud.Close()); err != nil {
		t.Error(err)
	}
}

func TestCall(t *testing.T) {
	c := must[*localcloud.Cloud](t)(localcloud.New(t.Context(), localcloud.Options{Ephemeral: true}))
	t.Cleanup(func() { _ = c.Close() })
	root := wire.WithCaller(t.Context(), wire.Caller{Account: "000000000000", ARN: "arn:aws:iam::000000000000:root"})
	out, err := c.Call(root, "sqs", "CreateQueue", []byte(`{"queueName":"q"}`))
	if err != nil || !strings.Contains(string(out), "000000000000/q") {
		t.Errorf("create queue: %s, %v", out, err)
	}
	for name, tc := range map[string]struct {
		ctx                      context.Context
		service, operation, want string
	}{
		"no such service":   {root, "glue", "StartJobRun", "UnknownOperationException"},
		"no such operation": {root, "sqs", "Fly", "UnknownOperationException"},
		"nobody calls":      {t.Context(), "sqs", "ListQueues", "MissingAuthenticationTokenException"},
	} {
		if _, err := c.Call(tc.ctx, tc.service, tc.operation, nil); !wire.HasCode(err, tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if !c.Serves("sqs", "SendMessage") || c.Serves("sqs", "Fly") || c.Serves("glue", "StartJobRun") {
		t.Error("Serves is wrong")
	}
}

func TestStopsWithRequestsUnderWay(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	must[*s3.CreateBucketOutput](t)(s3.NewFromConfig(c.config()).CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("stalled")}))
	signed := must[*v4.PresignedHTTPRequest](t)(s3.NewPresignClient(s3.NewFromConfig(c.config())).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("stalled"), Key: aws.String("k")}))
	body, feed := io.Pipe()
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), signed.Method, signed.URL, body))
	req.ContentLength = 1 << 20
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	// Once this is taken, the request is being read.
	if _, err := feed.Write(make([]byte, 256<<10)); err != nil {
		t.Fatal(err)
	}
	c.stop()
	_ = feed.Close() // the client waits for its own body first
	<-answered
	if _, err := os.Stat(c.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}
