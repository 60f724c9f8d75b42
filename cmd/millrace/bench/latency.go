package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace-ml/millrace/localcloud"
)

const (
	// reportVariable is set for the function: where it tells that it was invoked.
	reportVariable = "MILLRACE_BENCH_REPORT"
	invokedWithin  = 10 * time.Millisecond
	warmups        = 20
)

// invoked is what the function tells.
type invoked struct {
	N  int   `json:"n"`
	At int64 `json:"at"` // Unix time, ns, at which it had the event
}

// serveAsFunction is the function: it takes the time at which it gets an event.
func serveAsFunction() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		resp, err := http.Get(api + "next")
		at := time.Now().UnixNano()
		if err != nil {
			os.Exit(1)
		}
		raw, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var event struct {
			Detail struct {
				N int `json:"n"`
			} `json:"detail"`
		}
		if err = errors.Join(err, json.Unmarshal(raw, &event)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		told, _ := json.Marshal(invoked{event.Detail.N, at})
		for _, url := range []string{api + resp.Header.Get("Lambda-Runtime-Aws-Request-Id") + "/response", os.Getenv(reportVariable)} {
			r, err := http.Post(url, "application/json", bytes.NewReader(told))
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
	}
}

// eventLatency measures from just before PutEvents to the function's having the event.
func eventLatency(ctx context.Context, o options, w io.Writer) ([]line, error) {
	fmt.Fprintf(w, "event to function: from just before PutEvents, through the SDK and the port, a rule and its Lambda target, to the moment\n"+
		"  a function whose process is warm has the event; %d events, one after the other, after %d that do not count\n", o.events, warmups)
	var lines []line
	for _, ephemeral := range []bool{false, true} {
		times, err := putEvents(ctx, ephemeral, o.events)
		if err != nil {
			return lines, err
		}
		if len(times) == 0 {
			continue
		}
		what, p99 := "state on disk", quantile(times, 0.99)
		if ephemeral {
			what = "ephemeral"
		}
		lines = append(lines, line{what: "event to function, " + what + " (p50, p99)", got: ms(quantile(times, 0.5)) + ", " + ms(p99), limit: ms(invokedWithin), missed: p99 >= invokedWithin})
	}
	return lines, nil
}

func putEvents(ctx context.Context, ephemeral bool, n int) (times []time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cloud, err := localcloud.New(ctx, localcloud.Options{Dir: dir, Ephemeral: ephemeral})
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, cloud.Close())
	}
	served := make(chan error, 1)
	go func() { served <- cloud.Serve(ctx, ln) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-served, cloud.Close())
	}()
	told, url, stop, err := listenForReports()
	if err != nil {
		return nil, err
	}
	defer stop()
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String("http://" + ln.Addr().String()), Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	if err := deployFunction(ctx, cfg, url); err != nil {
		return nil, err
	}
	bus := eventbridge.NewFromConfig(cfg)
	for i := range warmups + n {
		begun := time.Now()
		out, err := bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{{
			Source: aws.String("bench"), DetailType: aws.String("Bench"), Detail: aws.String(fmt.Sprintf(`{"n":%d}`, i))}}})
		if err != nil || out.FailedEntryCount > 0 {
			return nil, fmt.Errorf("put event %d: %w", i, err)
		}
		select {
		case got := <-told:
			if got.N != i {
				return nil, fmt.Errorf("event %d came when %d was awaited", got.N, i)
			}
			if i >= warmups {
				times = append(times, time.Duration(got.At-begun.UnixNano()))
			}
		case <-time.After(answerWithin):
			return nil, fmt.Errorf("event %d did not come within %s", i, answerWithin)
		}
	}
	return times, nil
}

func listenForReports() (told chan invoked, url string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	told = make(chan invoked, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var got invoked
		if json.NewDecoder(r.Body).Decode(&got) == nil {
			told <- got
		}
	})}
	go func() { _ = server.Serve(ln) }()
	return told, "http://" + ln.Addr().String(), func() { server.Close() }, nil
}

// deployFunction makes this program a function, and a rule that sends it events.
func deployFunction(ctx context.Context, cfg aws.Config, report string) error {
	const name, bucket, key = "bench", "bench-code", "bench.zip"
	code, err := selfZipped()
	if err != nil {
		return err
	}
	store := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		return fmt.Errorf("create bucket: %w", err)
	}
	if _, err := store.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String(key), Body: bytes.NewReader(code)}); err != nil {
		return fmt.Errorf("upload code: %w", err)
	}
	const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	role, err := iam.NewFromConfig(cfg).CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String(trust)})
	if err != nil {
		return fmt.Errorf("create role: %w", err)
	}
	functions := lambda.NewFromConfig(cfg)
	f, err := functions.CreateFunction(ctx, &lambda.CreateFunctionInput{FunctionName: aws.String(name), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Architectures: architecture(), Role: role.Role.Arn, Timeout: aws.Int32(30), MemorySize: aws.Int32(256), Code: &types.FunctionCode{S3Bucket: aws.String(bucket), S3Key: aws.String(key)},
		Environment: &types.Environment{Variables: map[string]string{reportVariable: report}}})
	if err != nil {
		return fmt.Errorf("create function: %w", err)
	}
	if err := lambda.NewFunctionActiveV2Waiter(functions).Wait(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(name)}, answerWithin); err != nil {
		return fmt.Errorf("wait for function: %w", err)
	}
	bus := eventbridge.NewFromConfig(cfg)
	rule, err := bus.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String(name), EventPattern: aws.String(`{"source":["bench"]}`)})
	if err != nil {
		return fmt.Errorf("put rule: %w", err)
	}
	if _, err := functions.AddPermission(ctx, &lambda.AddPermissionInput{FunctionName: aws.String(name), StatementId: aws.String("events"), Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("events.amazonaws.com"), SourceArn: rule.RuleArn}); err != nil {
		return fmt.Errorf("permit events: %w", err)
	}
	out, err := bus.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String(name), Targets: []ebtypes.Target{{Id: aws.String(name), Arn: f.FunctionArn}}})
	if err != nil || out.FailedEntryCount > 0 {
		return fmt.Errorf("put target: %w", err)
	}
	return nil
}

func architecture() []types.Architecture {
	if runtime.GOARCH == "arm64" {
		return []types.Architecture{types.ArchitectureArm64}
	}
	return []types.Architecture{types.ArchitectureX8664}
}

func selfZipped() ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	raw, err := os.ReadFile(self)
	if err != nil {
		return nil, fmt.Errorf("read this program: %w", err)
	}
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	h := &zip.FileHeader{Name: "bootstrap", Method: zip.Store}
	h.SetMode(0o755)
	f, err := w.CreateHeader(h)
	if err == nil {
		_, err = f.Write(raw)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, fmt.Errorf("zip this program: %w", err)
	}
	return b.Bytes(), nil
}
