package lambda_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/millrace-ml/millrace/localcloud/lambda"
)

type echo struct {
	Echo       string
	Pid, Calls int
}

func decode[T any](t testing.TB, raw []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("decode %s: %v", raw, err)
	}
	return v
}

type failure struct{ ErrorType, ErrorMessage string }

func TestInvoke_WarmProcessIsReused(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	first := c.invoke(t, "f", `{"text":"one"}`)
	second := c.invoke(t, "f", `{"text":"two"}`)
	a, b := decode[echo](t, first.Payload), decode[echo](t, second.Payload)
	if a.Echo != "one" || b.Echo != "two" || a.Pid != b.Pid || b.Calls != 2 {
		t.Errorf("got %+v then %+v", a, b)
	}
	tail, err := base64.StdEncoding.DecodeString(aws.ToString(first.LogResult))
	if err != nil {
		t.Fatal(err)
	}
	log := string(tail)
	order := []string{"START RequestId: ", " Version: $LATEST\n", "said one\n", "END RequestId: ", "REPORT RequestId: ", "Memory Size: 128 MB", "Init Duration: "}
	for _, want := range order {
		i := strings.Index(log, want)
		if i < 0 {
			t.Fatalf("log lacks %q in its place: %q", want, tail)
		}
		log = log[i:]
	}
	tail, _ = base64.StdEncoding.DecodeString(aws.ToString(second.LogResult))
	if strings.Contains(string(tail), "Init Duration") || strings.Contains(string(tail), "said one") {
		t.Errorf("second tail %q", tail)
	}
	if all := c.logs.text("/aws/lambda/f"); strings.Count(all, "REPORT ") != 2 || strings.Count(all, "INIT_START") != 1 {
		t.Errorf("log %q", all)
	}
}

func TestInvoke_Environment(t *testing.T) {
	t.Setenv("SECRET_OF_OURS", "x")
	c := open(t, nil)
	c.create(t, "f", func(in *api.CreateFunctionInput) {
		in.Environment = &types.Environment{Variables: map[string]string{"MINE": "yes"}}
		in.MemorySize = aws.Int32(256)
	})
	got := decode[struct {
		Env  []string
		Cwd  string
		Left float64
		Arn  string
	}](t, c.invoke(t, "f", `{"do":"env"}`).Payload)
	env := map[string]string{}
	for _, kv := range got.Env {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	for k, want := range map[string]string{
		"MINE": "yes", "AWS_LAMBDA_FUNCTION_NAME": "f", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/f", "_HANDLER": "bootstrap", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKID",
		"AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_SESSION_TOKEN": "TOKEN-f", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "TZ": ":UTC", "LAMBDA_TASK_ROOT": got.Cwd,
	} {
		if env[k] != want {
			t.Errorf("%s is %q, want %q", k, env[k], want)
		}
	}
	if _, ours := env["SECRET_OF_OURS"]; ours {
		t.Error("our environment leaked")
	}
	if !strings.Contains(env["AWS_LAMBDA_LOG_STREAM_NAME"], "/[$LATEST]") {
		t.Errorf("stream %q", env["AWS_LAMBDA_LOG_STREAM_NAME"])
	}
	if raw, err := os.ReadFile(filepath.Join(got.Cwd, "pipelines/p/pipeline.yaml")); err != nil || string(raw) != "name: p\n" {
		t.Errorf("code folder: %q, %v", raw, err)
	}
	if got.Left < 20 || got.Left > 30 || got.Arn != "arn:aws:lambda:us-east-1:000000000000:function:f" {
		t.Errorf("deadline in %v s, ARN %s", got.Left, got.Arn)
	}
}

// TestRuntimeAPIIsForTheProcess: a page in a browser can guess the port, and must
// neither take an event away nor say how one ended.
func TestRuntimeAPIIsForTheProcess(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	env := decode[struct{ Env []string }](t, c.invoke(t, "f", `{"do":"env"}`).Payload).Env
	at := ""
	for _, kv := range env {
		if address, ok := strings.CutPrefix(kv, "AWS_LAMBDA_RUNTIME_API="); ok {
			at = "http://" + address + "/2018-06-01/runtime"
		}
	}
	for name, change := range map[string]func(r *http.Request){
		"a page":           func(r *http.Request) { r.Header.Set("Origin", "https://page.test") },
		"a page's image":   func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"a name rebound":   func(r *http.Request) { r.Host = "page.test" },
		"a page from here": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
	} {
		for path, method := range map[string]string{"/invocation/next": http.MethodGet, "/init/error": http.MethodPost} {
			r, err := http.NewRequestWithContext(t.Context(), method, at+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			change(r)
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("%s: %s is answered %s", name, path, resp.Status)
			}
		}
	}
	if got := c.invoke(t, "f", `{"text":"x"}`); got.FunctionError != nil {
		t.Errorf("afterwards: %s", got.Payload)
	}
}

func TestInvoke_FailuresLookLikeAWS(t *testing.T) {
	for name, tc := range map[string]struct {
		event, init, kind, message, log string
		timeout                         int32
	}{
		"error":        {event: `{"do":"fail","text":"x"}`, kind: "errorString", message: "asked to fail: x"},
		"panic":        {event: `{"do":"panic"}`, kind: "string", message: "asked to panic"},
		"exit":         {event: `{"do":"exit"}`, kind: "Runtime.ExitError", message: "Error: Runtime exited with error: exit status 3", log: "about to exit\n"},
		"timeout":      {event: `{"do":"sleep"}`, kind: "Sandbox.Timedout", message: "Error: Task timed out after 1.00 seconds", timeout: 1, log: "no newline before sleeping\n"},
		"big response": {event: `{"do":"big","size":6291600}`, kind: "Function.ResponseSizeTooLarge", message: "exceeded maximum allowed payload size (6291556 bytes)"},
		"init exit":    {event: `{}`, init: "exit", kind: "Runtime.ExitError", message: "Error: Runtime exited with error: exit status 7", log: "init goes wrong\n"},
		"init hang":    {event: `{}`, init: "hang", kind: "Sandbox.Timedout", message: "init of the runtime timed out after 2.00 seconds"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, func(o *lambda.Options) { o.InitTimeout = 2 * time.Second })
			c.create(t, "f", func(in *api.CreateFunctionInput) {
				if tc.timeout > 0 {
					in.Timeout = aws.Int32(tc.timeout)
				}
				if tc.init != "" {
					in.Environment = &types.Environment{Variables: map[string]string{"INIT": tc.init}}
				}
			})
			out := c.invoke(t, "f", tc.event)
			got := decode[failure](t, out.Payload)
			if out.StatusCode != 200 || aws.ToString(out.FunctionError) != "Unhandled" || got.ErrorType != tc.kind || !strings.Contains(got.ErrorMessage, tc.message) {
				t.Errorf("status %d function error %q payload %s", out.StatusCode, aws.ToString(out.FunctionError), out.Payload)
			}
			if text := c.logs.text("/aws/lambda/f"); !strings.Contains(text, tc.log) || !strings.Contains(text, "REPORT ") {
				t.Errorf("log %q lacks %q or its report", text, tc.log)
			}
			if tc.init != "" {
				return
			}
			if again := c.invoke(t, "f", `{"text":"alive"}`); decode[echo](t, again.Payload).Echo != "alive" {
				t.Errorf("the next invocation answers %s", again.Payload)
			}
		})
	}
}

func TestInvoke_BootstrapThatCannotRun(t *testing.T) {
	c := open(t, nil)
	foreign := []byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xf3\x00\x01\x00\x00\x00")
	foreign = append(foreign, make([]byte, 40)...)
	foreign[52], foreign[54], foreign[58] = 64, 56, 64 // sizes of the headers
	for name, tc := range map[string]struct {
		files []file
		want  string
	}{
		"missing":        {[]file{{"main", 0o755, []byte("x")}}, "Couldn't find valid bootstrap(s)"},
		"not executable": {[]file{{"bootstrap", 0o644, []byte("x")}}, "executable bit"},
		"other machine":  {[]file{{"bootstrap", 0o755, foreign}}, "built for linux/riscv, this machine is linux/" + runtime.GOARCH},
	} {
		t.Run(name, func(t *testing.T) {
			n := strings.ReplaceAll(name, " ", "-")
			c.create(t, n, func(in *api.CreateFunctionInput) { in.Code.ZipFile = zipOf(t, tc.files...) })
			got := decode[failure](t, c.invoke(t, n, `{}`).Payload)
			if got.ErrorType != "Runtime.InvalidEntrypoint" || !strings.Contains(got.ErrorMessage, tc.want) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestInvoke_Refused(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	ctx := t.Context()
	for name, tc := range map[string]struct {
		in   api.InvokeInput
		code string
	}{
		"no function":   {api.InvokeInput{FunctionName: aws.String("g")}, "ResourceNotFoundException"},
		"version":       {api.InvokeInput{FunctionName: aws.String("f"), Qualifier: aws.String("7")}, "ResourceNotFoundException"},
		"not JSON":      {api.InvokeInput{FunctionName: aws.String("f"), Payload: []byte("{")}, "InvalidRequestContentException"},
		"too large":     {api.InvokeInput{FunctionName: aws.String("f"), Payload: bytes.Repeat([]byte("1"), 6291457)}, "RequestTooLargeException"},
		"async, larger": {api.InvokeInput{FunctionName: aws.String("f"), InvocationType: "Event", Payload: bytes.Repeat([]byte("1"), 1<<20+1)}, "RequestTooLargeException"},
		"tenant":        {api.InvokeInput{FunctionName: aws.String("f"), TenantId: aws.String("t")}, "InvalidParameterValueException"},
	} {
		_, err := c.client.Invoke(ctx, &tc.in)
		t.Run(name, func(t *testing.T) { wantCode(t, err, tc.code, "") })
	}
	out, err := c.client.Invoke(ctx, &api.InvokeInput{FunctionName: aws.String("arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST"), InvocationType: "DryRun"})
	if err != nil || out.StatusCode != 204 {
		t.Errorf("dry run: %v", err)
	}
	_, err = c.client.ListVersionsByFunction(ctx, &api.ListVersionsByFunctionInput{FunctionName: aws.String("f")})
	wantCode(t, err, "UnknownOperationException", "does not support GET")
}

func TestInvoke_ConcurrencyIsBoundedAndIdleProcessesStop(t *testing.T) {
	c := open(t, func(o *lambda.Options) { o.Concurrency, o.IdleAfter = 3, 50*time.Millisecond })
	c.create(t, "f", nil)
	gate := filepath.Join(t.TempDir(), "gate")
	var wg sync.WaitGroup
	pids := make([]int, 9)
	for i := range pids {
		wg.Add(1)
		go func() {
			defer wg.Done()
			out, err := c.client.Invoke(t.Context(), &api.InvokeInput{FunctionName: aws.String("f"), Payload: []byte(`{"do":"wait-for","text":"` + gate + `"}`)})
			if err != nil {
				t.Error(err)
				return
			}
			pids[i] = decode[echo](t, out.Payload).Pid
		}()
	}
	awaitTrue(t, "three processes", func() bool { return c.Processes("f") == 3 })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	distinct := map[int]bool{}
	for _, p := range pids {
		distinct[p] = true
	}
	if len(distinct) > 3 || len(distinct) == 0 {
		t.Errorf("%d processes worked", len(distinct))
	}
	awaitTrue(t, "idle processes stopped", func() bool { return c.Processes("f") == 0 })
}

func TestInvoke_ReservedConcurrencyThrottles(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	if _, err := c.client.PutFunctionConcurrency(t.Context(), &api.PutFunctionConcurrencyInput{FunctionName: aws.String("f"), ReservedConcurrentExecutions: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	_, err := c.client.Invoke(t.Context(), &api.InvokeInput{FunctionName: aws.String("f")})
	wantCode(t, err, "TooManyRequestsException", "Rate Exceeded")
	if _, err := c.client.DeleteFunctionConcurrency(t.Context(), &api.DeleteFunctionConcurrencyInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	c.invoke(t, "f", `{}`)
}

func TestInvoke_UpdateTakesNewProcesses(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	before := decode[echo](t, c.invoke(t, "f", `{}`).Payload)
	if _, err := c.client.UpdateFunctionConfiguration(t.Context(), &api.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Description: aws.String("new")}); err != nil {
		t.Fatal(err)
	}
	after := decode[echo](t, c.invoke(t, "f", `{}`).Payload)
	if before.Pid == after.Pid || after.Calls != 1 {
		t.Errorf("before %+v after %+v", before, after)
	}
}

func TestClose_LeavesNoProcess(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	pid := decode[echo](t, c.invoke(t, "f", `{}`).Payload).Pid
	child, err := strconv.Atoi(string(c.invoke(t, "f", `{"do":"child"}`).Payload))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{pid, child} {
		awaitTrue(t, "end of process "+strconv.Itoa(p), func() bool { return gone(p) })
	}
	if left, _ := filepath.Glob(filepath.Join(c.opts.Dir, ".scratch", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// gone reports whether a process ended; one nobody waits for may stay as a zombie.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(raw), ") Z ")
}

func TestInvoke_JSONLogs(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", func(in *api.CreateFunctionInput) {
		in.LoggingConfig = &types.LoggingConfig{LogFormat: types.LogFormatJson, LogGroup: aws.String("own-group")}
	})
	c.invoke(t, "f", `{"text":"x"}`)
	var kinds []string
	for _, line := range strings.Split(strings.TrimSpace(c.logs.text("own-group")), "\n") {
		var event struct{ Type string }
		if json.Unmarshal([]byte(line), &event) == nil {
			kinds = append(kinds, event.Type)
		}
	}
	if got := strings.Join(kinds, " "); got != "platform.initStart platform.start platform.report" {
		t.Errorf("events %s", got)
	}
}

func BenchmarkInvoke(b *testing.B) {
	b.Run("cold", func(b *testing.B) {
		c := open(b, nil)
		c.create(b, "f", nil)
		for b.Loop() {
			b.StopTimer()
			_, err := c.client.UpdateFunctionConfiguration(b.Context(), &api.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Description: aws.String("again")})
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			c.invoke(b, "f", `{}`)
		}
	})
	b.Run("warm", func(b *testing.B) {
		c := open(b, nil)
		c.create(b, "f", nil)
		c.invoke(b, "f", `{}`)
		for b.Loop() {
			c.invoke(b, "f", `{}`)
		}
	})
}
