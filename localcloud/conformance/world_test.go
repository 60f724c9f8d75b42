package conformance_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/millrace-ml/millrace/localcloud"
	"github.com/millrace-ml/millrace/localcloud/wire/wiretest"
)

// world is where the behaviours are tried: a local cloud, or an account.
type world struct {
	cfg     aws.Config
	account string // 12 digits
	prefix  string // of all names of this run
	made    atomic.Int64
	served  map[string][]string // the operations of a local cloud's services
	called  sync.Map            // those that were called: "sqs:SendMessage"
	role    func() (string, error)
	zipped  func() ([]byte, error)

	s3     *s3.Client
	events *eventbridge.Client
	states *sfn.Client
	sm     *sagemaker.Client
	lambda *lambda.Client
	logs   *cloudwatchlogs.Client
	sns    *sns.Client
	sqs    *sqs.Client
	ssm    *ssm.Client
	sts    *sts.Client
	ecr    *ecr.Client
	iam    *iam.Client
	stacks *cloudformation.Client
}

// call is one behaviour being tried.
type call struct {
	*testing.T
	*world
	ctx context.Context
}

func (w *world) call(t *testing.T) *call { return &call{T: t, world: w, ctx: t.Context()} }

func open(t *testing.T) *world {
	t.Helper()
	var b [4]byte
	_, _ = rand.Read(b[:])
	w := &world{prefix: "millrace-conformance-" + hex.EncodeToString(b[:])}
	if *account != "" {
		w.cfg = settings(t)
	} else {
		w.cfg, w.served = local(t)
	}
	w.cfg.APIOptions = append(w.cfg.APIOptions, w.note)
	w.connect()
	who, err := w.sts.GetCallerIdentity(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if w.account = *who.Account; *account != "" && *account != w.account {
		t.Fatalf("-account says %s, and the AWS settings are of the account %s: nothing was tried", *account, w.account)
	}
	w.role, w.zipped = sync.OnceValues(w.makeRole), sync.OnceValues(functionZip)
	return w
}

// settings are the usual AWS ones, of the environment or a profile, for -account.
func settings(t *testing.T) aws.Config {
	t.Helper()
	if !testing.Verbose() {
		t.Fatal("-account wants -v beside it, so that what is left out is told")
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Region == "" {
		t.Fatal("the AWS settings name no region: give one with AWS_REGION")
	}
	return cfg
}

func (w *world) connect() {
	w.s3, w.events, w.states = s3.NewFromConfig(w.cfg), eventbridge.NewFromConfig(w.cfg), sfn.NewFromConfig(w.cfg)
	w.sm, w.lambda, w.logs = sagemaker.NewFromConfig(w.cfg), lambda.NewFromConfig(w.cfg), cloudwatchlogs.NewFromConfig(w.cfg)
	w.sns, w.sqs, w.ssm, w.sts = sns.NewFromConfig(w.cfg), sqs.NewFromConfig(w.cfg), ssm.NewFromConfig(w.cfg), sts.NewFromConfig(w.cfg)
	w.iam, w.stacks, w.ecr = iam.NewFromConfig(w.cfg), cloudformation.NewFromConfig(w.cfg), ecr.NewFromConfig(w.cfg)
}

// local starts a cloud on a port of its own, and lists what it serves. A call that fails is not tried again.
func local(t *testing.T) (aws.Config, map[string][]string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := localcloud.New(t.Context(), localcloud.Options{Ephemeral: true, Images: map[string]string{"conformance": program}, Around: wiretest.Around()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- cloud.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, cloud.Close()); err != nil {
			t.Error(err)
		}
	})
	served := map[string][]string{}
	for _, s := range cloud.Services() {
		served[s] = cloud.Operations(s)
	}
	return aws.Config{Region: "us-east-1", BaseEndpoint: aws.String("http://" + l.Addr().String()), RetryMaxAttempts: 1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, // as LoadDefaultConfig has it
		Credentials:                credentials.NewStaticCredentialsProvider("test", "test", "")}, served
}

// makeRole makes the role of the local cloud, once; an account's is given.
func (w *world) makeRole() (string, error) {
	if *account != "" {
		if *roleARN == "" {
			return "", errors.New("this case needs a role, and does not say so")
		}
		return *roleARN, nil
	}
	out, err := w.iam.CreateRole(context.Background(), &iam.CreateRoleInput{RoleName: aws.String(w.prefix), AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":["lambda.amazonaws.com","states.amazonaws.com","sagemaker.amazonaws.com","events.amazonaws.com"]}}]}`)})
	if err != nil {
		return "", err
	}
	_, err = w.iam.PutRolePolicy(context.Background(), &iam.PutRolePolicyInput{RoleName: aws.String(w.prefix), PolicyName: aws.String("all"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)})
	return *out.Role.Arn, err
}

// roleARN is the role that services assume here.
func (c *call) roleARN() string {
	c.Helper()
	return try(c.role()).ok(c)
}

// image is what jobs run: the program of this package.
func (c *call) image() string {
	if *account != "" {
		return *image
	}
	return c.account + ".dkr.ecr." + c.cfg.Region + ".amazonaws.com/conformance:latest"
}

// name is a name that nobody else has: lower case letters, digits and hyphens.
func (c *call) name() string { return fmt.Sprintf("%s-%d", c.prefix, c.made.Add(1)) }

// arn names a resource of the account: arn("sqs", name).
func (c *call) arn(service, resource string) string {
	return "arn:aws:" + service + ":" + c.cfg.Region + ":" + c.account + ":" + resource
}

// after runs f at the end of the case, with a context of its own. What the case
// has deleted itself may be gone.
func (c *call) after(f func(ctx context.Context) error) {
	c.Cleanup(func() {
		if err := f(context.Background()); err != nil && !gone(err) && *account != "" {
			c.Errorf("clean up: %v", err)
		}
	})
}

// gone tells whether AWS says of something that it does not exist.
func gone(err error) bool {
	var e smithy.APIError
	return errors.As(err, &e) && regexp.MustCompile(`NotFound|NoSuch|NonExist|DoesNotExist`).MatchString(e.ErrorCode())
}

// result is what an operation answered.
type result[T any] struct {
	value T
	err   error
}

func try[T any](v T, err error) result[T] { return result[T]{v, err} }

// ok is the answer of a call that has to succeed.
func (r result[T]) ok(c *call) T {
	c.Helper()
	if r.err != nil {
		c.Fatal(r.err)
	}
	return r.value
}

// fails wants an error of AWS with a status, a code, and all of the parts in its
// message. The status 0 stands for any.
func (r result[T]) fails(c *call, status int, code string, parts ...string) {
	c.Helper()
	if r.err == nil {
		c.Fatalf("no error, want %s", code)
	}
	var e smithy.APIError
	if !errors.As(r.err, &e) {
		c.Fatalf("want %s, and this is no answer of AWS: %v", code, r.err)
	}
	got := 0
	var response *smithyhttp.ResponseError
	if errors.As(r.err, &response) {
		got = response.HTTPStatusCode()
	}
	if status == 0 {
		status = got
	}
	if e.ErrorCode() != code || got != status {
		c.Errorf("got %d %s (%s), want %d %s", got, e.ErrorCode(), e.ErrorMessage(), status, code)
	}
	for _, p := range parts {
		if !strings.Contains(e.ErrorMessage(), p) {
			c.Errorf("the message %q does not hold %q", e.ErrorMessage(), p)
		}
	}
}

// equal compares printed values: of pointers' targets, lists and structs.
func equal(c *call, what string, got, want any) {
	c.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		c.Errorf("%s: got %s, want %s", what, g, w)
	}
}

// eventually waits until done tells so; patience is for a busy machine, and more for an account's queues.
func (c *call) eventually(what string, done func() bool) {
	c.Helper()
	limit, pause, most := 2*time.Minute, 5*time.Millisecond, 5*time.Millisecond
	if *account != "" {
		limit, most = 15*time.Minute, 2*time.Second
	}
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(pause) {
		if done() {
			return
		}
		pause = min(2*pause, most)
	}
	c.Fatalf("it did not come about: %s", what)
}

func str[T ~string](p *T) string {
	if p == nil {
		return "<nil>"
	}
	return string(*p)
}

func num[T ~int32 | ~int64](p *T) int64 {
	if p == nil {
		return -1
	}
	return int64(*p)
}

func yes(p *bool) bool { return p != nil && *p }

// signed sends a request by hand, signed for S3 with a payload's hash or the
// name that stands for it. The answer's body is closed.
func (c *call) signed(method, url, body, payload string, header http.Header) *http.Response {
	c.Helper()
	r := c.request(method, url, body, header)
	r.Header.Set("X-Amz-Content-Sha256", payload)
	if err := v4.NewSigner().SignHTTP(c.ctx, try(c.cfg.Credentials.Retrieve(c.ctx)).ok(c), r, payload, "s3", c.cfg.Region, time.Now()); err != nil {
		c.Fatal(err)
	}
	return c.exchange(r)
}

// presigned signs a request in its URL, which it gives back with the headers that have to be sent.
func (c *call) presigned(r *http.Request) (string, http.Header) {
	c.Helper()
	u, header, err := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }).PresignHTTP(c.ctx,
		try(c.cfg.Credentials.Retrieve(c.ctx)).ok(c), r, "UNSIGNED-PAYLOAD", "s3", c.cfg.Region, time.Now())
	if err != nil {
		c.Fatal(err)
	}
	return u, header
}

func (c *call) request(method, url, body string, header http.Header) *http.Request {
	c.Helper()
	r, err := http.NewRequestWithContext(c.ctx, method, url, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	return r
}

// exchange gives the answer to a request, whose body is read already.
func (c *call) exchange(r *http.Request) *http.Response {
	c.Helper()
	answer := try(http.DefaultClient.Do(r)).ok(c)
	body, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		c.Fatal(err)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer
}

// text is what an answer says.
func (c *call) text(r *http.Response) string {
	c.Helper()
	return string(try(io.ReadAll(r.Body)).ok(c))
}
