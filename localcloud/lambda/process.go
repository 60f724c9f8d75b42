package lambda

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/faults"
)

// request is one invocation's input.
type request struct {
	id            string
	payload       []byte
	clientContext string
}

// result is what the function's caller sees.
type result struct {
	payload []byte
	failed  bool
	kind    string // error type of a failure that Lambda itself reports
	log     []byte
	untaken bool // the process ended before it took the request: nothing ran
}

// instance is one process of a function, with its own Runtime API address.
type instance struct {
	l            *Lambda
	fn           *function
	revision     string
	cmd          *exec.Cmd
	server       *http.Server
	logs         *logStream
	home         string
	initDuration time.Duration

	ready     chan struct{} // closed at the first request for work
	readyOnce sync.Once
	work      chan *invocation
	exited    chan struct{}
	stopOnce  sync.Once
	idleTimer *time.Timer // owned by the pool

	life sync.Mutex
	gone bool // the process was waited for

	mu        sync.Mutex
	current   *invocation
	initError []byte
	served    bool
}

// invocation is a request on its way through an instance.
type invocation struct {
	request
	inst  *instance
	taken chan time.Time // when the process got it
	done  chan result
	root  string        // of its trace; set when taken
	calls int           // that it made so far; guarded by Lambda.mu
	fault *faults.Fault // that kills its process
}

// start runs the function's bootstrap and waits until it asks for work. A
// failure is what the function's caller sees; an error means that Lambda could not try.
func (l *Lambda) start(f *function, requestID string) (*instance, *result, error) {
	key, secret, token := "", "", ""
	if l.o.AssumeRole != nil {
		var err error
		if key, secret, token, err = l.o.AssumeRole(aws.ToString(f.Config.Role), f.name(), f.arn()); err != nil {
			return nil, nil, status(http.StatusForbidden, "AccessDeniedException", "The role defined for the function cannot be assumed by Lambda. (%v)", err)
		}
	}
	i := &instance{
		l: l, fn: f, revision: f.Deployed, ready: make(chan struct{}),
		work: make(chan *invocation), exited: make(chan struct{}), idleTimer: time.NewTimer(time.Hour),
	}
	stream := l.o.Clock.Now().UTC().Format("2006/01/02") + "/[" + latest + "]" + strings.ReplaceAll(uuid.NewString(), "-", "")
	code := l.codeDir(f.name(), f.CodeSHA)
	bootstrap := filepath.Join(code, "bootstrap")
	logs, err := newLogStream(l.o.LogWriter(f.logGroup(), stream), f.Config.LoggingConfig, l.o.Clock)
	if err != nil {
		return nil, nil, err
	}
	i.logs = logs
	if i.home, err = os.MkdirTemp(scratchRoot(l.o.Dir), "run-"); err != nil {
		logs.close()
		return nil, nil, fmt.Errorf("create scratch folder: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		i.discard()
		return nil, nil, fmt.Errorf("listen for the runtime of %s: %w", f.name(), err)
	}
	i.server = &http.Server{Handler: i.runtimeAPI(listener.Addr().String()), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = i.server.Serve(listener) }() // ends with discard
	logs.platform("initStart", "INIT_START Runtime Version: provided:al2023", map[string]any{"initializationType": "on-demand", "runtimeVersion": "provided:al2023", "functionName": f.name(), "functionVersion": latest})

	i.cmd = &exec.Cmd{
		Path: bootstrap, Args: []string{bootstrap}, Dir: code,
		Env:    environment(f, listener.Addr().String(), stream, code, i.home, l.o.Region, l.o.Endpoint(), key, secret, token),
		Stdout: logs.pipe(), Stderr: logs.pipe(), SysProcAttr: processAttributes(),
	}
	began := time.Now()
	if err := l.spawn.start(i.cmd); err != nil {
		failure := i.explain(err, bootstrap, requestID)
		i.discard()
		return nil, failure, nil
	}
	l.warnArchitecture(f, bootstrap)
	logs.started()
	go func() {
		_ = i.cmd.Wait() // its outcome is in ProcessState
		i.life.Lock()
		killGroup(i.cmd.Process.Pid) // what it left behind
		i.gone = true
		i.life.Unlock()
		close(i.exited)
	}()
	return i.awaitReady(began, requestID)
}

func (i *instance) awaitReady(began time.Time, requestID string) (*instance, *result, error) {
	limit := time.NewTimer(i.l.o.InitTimeout)
	defer limit.Stop()
	var kind, message string
	select {
	case <-i.ready:
		i.initDuration = time.Since(began)
		return i, nil, nil
	case <-i.exited:
		kind, message = "Runtime.ExitError", "RequestId: "+requestID+" Error: Runtime exited "+exitReason(i.cmd)
	case <-limit.C:
		kind, message = "Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: init of the runtime timed out after %.2f seconds", requestID, i.l.o.InitTimeout.Seconds())
	}
	i.kill()
	<-i.exited
	i.mu.Lock()
	payload := i.initError
	i.mu.Unlock()
	if payload == nil {
		payload = errorPayload(kind, "%s", message)
	} else {
		kind = "Runtime.InitError"
	}
	i.logs.drain()
	i.logs.platform("initReport", fmt.Sprintf("INIT_REPORT Init Duration: %.2f ms\tPhase: init\tStatus: error\tError Type: %s", milliseconds(time.Since(began)), kind),
		map[string]any{"initializationType": "on-demand", "phase": "init", "status": "error", "errorType": kind})
	i.logs.invocationStarts(requestID)
	i.logs.invocationEnds(requestID, report{memory: aws.ToInt32(i.fn.Config.MemorySize), status: "error", kind: kind})
	failure := &result{payload: payload, failed: true, kind: kind, log: i.logs.tail()}
	i.stop()
	return nil, failure, nil
}

// explain turns a bootstrap that could not be started into what the caller sees.
func (i *instance) explain(err error, bootstrap, requestID string) *result {
	text := err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		text = "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"
	case errors.Is(err, fs.ErrPermission):
		text = "fork/exec /var/task/bootstrap: permission denied: the zip must keep bootstrap's executable bit (mode 0755)"
	case errors.Is(err, syscall.ENOEXEC):
		text = fmt.Sprintf("fork/exec /var/task/bootstrap: exec format error: bootstrap is %s, this machine is %s/%s; build it with GOOS=%s GOARCH=%s",
			machineOf(bootstrap), runtime.GOOS, runtime.GOARCH, runtime.GOOS, runtime.GOARCH)
	}
	i.l.o.Log.Error("function did not start", "function", i.fn.name(), "error", err)
	i.logs.invocationStarts(requestID)
	i.logs.line("RequestId: " + requestID + " Error: " + text)
	const kind = "Runtime.InvalidEntrypoint"
	i.logs.invocationEnds(requestID, report{memory: aws.ToInt32(i.fn.Config.MemorySize), status: "error", kind: kind})
	return &result{payload: errorPayload(kind, "RequestId: %s Error: %s", requestID, text), failed: true, kind: kind, log: i.logs.tail()}
}

func machineOf(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return "not a Linux (ELF) program"
	}
	defer func() { _ = f.Close() }()
	return "built for linux/" + goArch(f.Machine)
}

func goArch(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "amd64"
	case elf.EM_AARCH64:
		return "arm64"
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}

// warnArchitecture says when what runs here would not run on AWS.
func (l *Lambda) warnArchitecture(f *function, bootstrap string) {
	p, err := elf.Open(bootstrap)
	if err != nil || len(f.Config.Architectures) == 0 {
		return
	}
	defer func() { _ = p.Close() }()
	want := map[types.Architecture]string{types.ArchitectureX8664: "amd64", types.ArchitectureArm64: "arm64"}[f.Config.Architectures[0]]
	if got := goArch(p.Machine); got != want {
		l.o.Log.Warn("bootstrap would not run on AWS: it is built for another architecture than the function declares", "function", f.name(), "declared", want, "built_for", got)
	}
}

// environment is what AWS gives a process of provided.al2023, and nothing of ours but PATH.
func environment(f *function, api, stream, code, home, region, endpoint, key, secret, token string) []string {
	vars := map[string]string{}
	if e := f.Config.Environment; e != nil {
		for k, v := range e.Variables {
			vars[k] = v
		}
	}
	if vars["TZ"] == "" {
		vars["TZ"] = ":UTC"
	}
	if vars["PATH"] == "" {
		vars["PATH"] = os.Getenv("PATH")
	}
	for k, v := range map[string]string{
		"AWS_LAMBDA_RUNTIME_API": api, "AWS_LAMBDA_FUNCTION_NAME": f.name(), "AWS_LAMBDA_FUNCTION_VERSION": latest,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(int(aws.ToInt32(f.Config.MemorySize))), "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME": f.logGroup(), "AWS_LAMBDA_LOG_STREAM_NAME": stream,
		"_HANDLER": aws.ToString(f.Config.Handler), "LAMBDA_TASK_ROOT": code, "LAMBDA_RUNTIME_DIR": code,
		"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "LANG": "en_US.UTF-8", "HOME": home, "TMPDIR": home,
		"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token,
	} {
		if v != "" {
			vars[k] = v
		}
	}
	if c := f.Config.LoggingConfig; c != nil && c.LogFormat == types.LogFormatJson {
		vars["AWS_LAMBDA_LOG_FORMAT"] = "JSON"
		if c.ApplicationLogLevel != "" {
			vars["AWS_LAMBDA_LOG_LEVEL"] = string(c.ApplicationLogLevel)
		}
	}
	env := make([]string, 0, len(vars))
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		env = append(env, k+"="+vars[k])
	}
	return env
}

func exitReason(cmd *exec.Cmd) string {
	if cmd.ProcessState == nil || cmd.ProcessState.Success() {
		return "without providing a reason"
	}
	return "with error: " + cmd.ProcessState.String()
}

func (i *instance) alive() bool {
	select {
	case <-i.exited:
		return false
	default:
		return true
	}
}

// kill ends the process and what it started. One that is gone is let be: its
// number may be another's by now.
func (i *instance) kill() {
	i.life.Lock()
	defer i.life.Unlock()
	if i.cmd.Process != nil && !i.gone {
		killGroup(i.cmd.Process.Pid)
	}
}

// stop kills the process and frees what it held.
func (i *instance) stop() {
	i.stopOnce.Do(func() {
		i.kill()
		<-i.exited
		i.discard()
	})
}

func (i *instance) discard() {
	if i.server != nil {
		_ = i.server.Close()
	}
	i.logs.close()
	if err := os.RemoveAll(i.home); err != nil {
		i.l.o.Log.Warn("scratch folder not removed", "function", i.fn.name(), "error", err)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// spawner starts processes from one OS thread that lives as long as it does:
// with Pdeathsig, a child dies with the thread that started it.
type spawner struct {
	jobs chan func()
	done chan struct{}
	once sync.Once
}

func newSpawner() *spawner {
	s := &spawner{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		for {
			select {
			case f := <-s.jobs:
				f()
			case <-s.done:
				return
			}
		}
	}()
	return s
}

func (s *spawner) close() { s.once.Do(func() { close(s.done) }) }

func (s *spawner) start(cmd *exec.Cmd) error {
	errs := make(chan error, 1)
	job := func() {
		var err error
		for range 40 {
			// A fork elsewhere may for a moment hold the file that was just written.
			if err = cmd.Start(); !errors.Is(err, syscall.ETXTBSY) {
				break
			}
			time.Sleep(5 * time.Millisecond)
			cmd.Process = nil
		}
		errs <- err
	}
	select {
	case s.jobs <- job:
		return <-errs
	case <-s.done:
		return context.Canceled
	}
}
