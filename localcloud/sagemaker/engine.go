package sagemaker

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Why a job's context ended.
var (
	errClosed     = errors.New("the local cloud is closing")
	errStop       = errors.New("the job was stopped")
	errMaxRuntime = errors.New("the job ran longer than its MaxRuntimeInSeconds")
)

// interrupted is the reason of a job whose cloud went away under it.
const interrupted = "InternalServerError: the local cloud was stopped while the job ran; start the job again under a new name"

// platformError is the reason of a job that a fault fails and says nothing of.
const platformError = "InternalServerError: We encountered an internal error. Please try again."

// maxReason is the length of a FailureReason on AWS.
const maxReason = 1024

// The states that all three kinds of jobs share.
const (
	inProgress = "InProgress"
	completed  = "Completed"
	failed     = "Failed"
	stopping   = "Stopping"
	stopped    = "Stopped"
)

// terminal reports whether a job's status is its last.
func terminal(status string) bool {
	return status == completed || status == failed || status == stopped
}

// outcome is how a job ended.
type outcome struct {
	status  string
	reason  string // FailureReason, unless Completed
	timeout bool   // MaxRuntimeInSeconds was exceeded
	waited  bool   // MaxWaitTimeInSeconds was exceeded
	message string // a processing job's ExitMessage
}

// failure turns an error into the outcome of a job. Errors that are not the
// user's are InternalServerErrors.
func failure(err error) outcome {
	var blamed *clientError
	var algorithm *algorithmFailure
	text := "InternalServerError: " + err.Error()
	switch {
	case errors.As(err, &blamed):
		text = blamed.Error()
	case errors.As(err, &algorithm):
		text = algorithm.Error()
	}
	return outcome{status: failed, reason: clip(text, maxReason)}
}

// clip cuts text to at most n bytes, at a character.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// life is what the engine needs to know to run one job of any kind.
type life struct {
	kind  string // training, processing or transform
	name  string
	role  string
	limit time.Duration // from the begin; 0 is none
	group string        // log group
	spot  bool          // it runs on spot machines
	// begin records that the job got its slot.
	begin func() error
	// work does the job. ctx ends when the cloud closes; halt also when the job is to stop.
	work func(ctx, halt context.Context, w *workspace) outcome
	// interrupt takes away a spot job's machine; ended tells that no other came in time.
	interrupt func(halt context.Context, wait time.Duration) (out outcome, ended bool)
	// end records the outcome and announces it.
	end func(outcome) error
}

// workspace is a job's folder and what its programs get.
type workspace struct {
	root   string    // stands for the container's /
	base   string    // stands for /opt/ml
	shared []string  // platform's environment, the same for all instances
	log    io.Writer // the job's log stream; never fails
	logs   func(suffix string) io.WriteCloser
	// logsOf opens another instance's log stream.
	logsOf func(instance int, suffix string) io.WriteCloser
}

// path is where a container's path below /opt/ml is.
func (w *workspace) path(container string) string {
	return filepath.Join(w.base, filepath.FromSlash(strings.TrimPrefix(container, "/opt/ml")))
}

// writeJSON writes a configuration file of the container contract.
func (w *workspace) writeJSON(container string, v any) error {
	raw, ok := v.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(v); err != nil {
			return fmt.Errorf("write %s: %w", container, err)
		}
	}
	return w.write(container, raw)
}

func (w *workspace) write(container string, raw []byte) error {
	file := w.path(container)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", container, err)
	}
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", container, err)
	}
	return nil
}

// mkdir makes folders of the container contract.
func (w *workspace) mkdir(containers ...string) error {
	for _, c := range containers {
		if err := os.MkdirAll(w.path(c), 0o755); err != nil {
			return fmt.Errorf("make %s: %w", c, err)
		}
	}
	return nil
}

// launch runs a job when a slot is free. It returns at once.
func (s *SageMaker) launch(l life) {
	key := l.kind + "/" + l.name
	halt, cancel := context.WithCancelCause(context.Background())
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		cancel(errClosed)
		return
	}
	s.running[key] = cancel
	s.wg.Add(1)
	halt, release := clock.Hold(halt, s.opt.Clock, l.kind+" job "+l.name)
	s.mu.Unlock()
	go func() {
		defer s.wg.Done()
		defer release()
		defer cancel(nil)
		defer func() {
			s.mu.Lock()
			delete(s.running, key)
			s.mu.Unlock()
		}()
		s.live(halt, cancel, l)
	}()
}

// live takes a job from waiting for a slot to its end.
func (s *SageMaker) live(halt context.Context, cancel context.CancelCauseFunc, l life) {
	log := s.opt.Log.With("kind", l.kind, "job", l.name)
	out := outcome{status: stopped}
	if err := s.slots.Acquire(halt, 1); err == nil {
		out = s.occupy(halt, cancel, l)
		s.slots.Release(1)
	}
	if errors.Is(context.Cause(halt), errClosed) {
		return // Start of the next life says what became of the job
	}
	if err := l.end(out); err != nil {
		log.Error("record the end of a job", "error", err)
		return
	}
	log.Info("job ended", "status", out.status, "reason", out.reason)
	s.tidy(l, out)
}

// occupy runs a job that has its slot.
func (s *SageMaker) occupy(halt context.Context, cancel context.CancelCauseFunc, l life) outcome {
	if err := l.begin(); errors.Is(err, errStop) {
		return outcome{status: stopped}
	} else if err != nil {
		return failure(err)
	}
	if l.limit > 0 {
		stop := clock.Machine(s.opt.Clock).AfterFunc(l.limit, func() { cancel(errMaxRuntime) })
		defer stop()
	}
	ctx, done := untilClosed(halt)
	defer done()
	w, finish, err := s.workspace(l)
	if err != nil {
		return failure(err)
	}
	defer finish()
	caller := wire.Caller{Account: s.opt.Account, RoleARN: l.role,
		ARN: "arn:aws:sts::" + s.opt.Account + ":assumed-role/" + l.role[strings.LastIndex(l.role, "/")+1:] + "/SageMaker"}
	out, ended := s.faulty(halt, cancel, l)
	if !ended {
		out = l.work(wire.WithCaller(ctx, caller), wire.WithCaller(halt, caller), w)
	}
	return interruptedBy(halt, out, l)
}

// faulty lets a job meet the fault that is laid for it, and tells whether that ends it.
func (s *SageMaker) faulty(halt context.Context, cancel context.CancelCauseFunc, l life) (out outcome, ended bool) {
	f := s.opt.Faults.Meet(faults.OnJob, faults.Match{Kind: l.kind, Job: l.name}, l.spot)
	switch {
	case f == nil:
		return out, false
	case f.Do == faults.Fail:
		return outcome{status: failed, reason: clip(cmp.Or(f.Message, platformError), maxReason)}, true
	case f.Do == faults.Interrupt:
		return l.interrupt(halt, f.Wait())
	}
	wait, late := f.Wait(), l.limit > 0 && f.Wait() >= l.limit
	if late {
		wait = l.limit
	}
	err := clock.Sleep(halt, s.opt.Clock, wait)
	if late && err == nil {
		cancel(errMaxRuntime) // the limit itself may follow another clock
	}
	return outcome{status: stopped}, late || err != nil
}

// untilClosed derives a context that outlives a job's stop but not the cloud.
func untilClosed(halt context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(halt))
	stop := context.AfterFunc(halt, func() {
		if errors.Is(context.Cause(halt), errClosed) {
			cancel(errClosed)
		}
	})
	return ctx, func() { stop(); cancel(nil) }
}

// interruptedBy corrects the outcome of a job that was told to end: however its
// program took it, it is Stopped.
func interruptedBy(halt context.Context, out outcome, l life) outcome {
	switch cause := context.Cause(halt); {
	case errors.Is(cause, errStop):
		return outcome{status: stopped, message: out.message}
	case errors.Is(cause, errMaxRuntime) && out.status != completed:
		return outcome{status: stopped, timeout: true, message: out.message,
			reason: fmt.Sprintf("MaxRuntimeExceeded: the job exceeded its MaxRuntimeInSeconds of %d", int(l.limit.Seconds()))}
	}
	return out
}

// folder is where a job of a kind has its files.
func (s *SageMaker) folder(kind, name string) string {
	return filepath.Join(s.opt.Dir, "jobs", kind, strings.ToLower(name))
}

// workspace makes a job's empty folder, opens its log and gets its credentials.
func (s *SageMaker) workspace(l life) (w *workspace, finish func(), err error) {
	root := s.folder(l.kind, l.name)
	if err := os.RemoveAll(root); err != nil {
		return nil, nil, fmt.Errorf("clear folder of job %s: %w", l.name, err)
	}
	if w, err = newWorkspace(root); err != nil {
		return nil, nil, fmt.Errorf("make folder of job %s: %w", l.name, err)
	}
	key, secret, token, err := s.opt.AssumeRole(l.role, "SageMaker", s.arn(l.kind+"-job", l.name))
	if err != nil {
		return nil, nil, blame("Could not assume role %s: %v", l.role, err)
	}
	w.shared = []string{
		"PATH=" + os.Getenv("PATH"),
		"AWS_ENDPOINT_URL=" + s.opt.Endpoint(), "AWS_REGION=" + s.opt.Region, "AWS_DEFAULT_REGION=" + s.opt.Region,
		"AWS_ACCESS_KEY_ID=" + key, "AWS_SECRET_ACCESS_KEY=" + secret, "AWS_SESSION_TOKEN=" + token,
	}
	begun := s.now().Unix()
	var open []io.Closer
	w.logsOf = func(instance int, suffix string) io.WriteCloser {
		out := s.opt.LogWriter(l.group, fmt.Sprintf("%s/algo-%d-%d%s", l.name, instance, begun, suffix))
		open = append(open, out)
		return out
	}
	w.logs = func(suffix string) io.WriteCloser { return w.logsOf(1, suffix) }
	w.log = steady{w.logs("")}
	return w, func() {
		for _, c := range open {
			if err := c.Close(); err != nil {
				s.opt.Log.Error("close log stream", "job", l.name, "error", err)
			}
		}
	}, nil
}

// newWorkspace makes the folders of one instance.
func newWorkspace(root string) (*workspace, error) {
	w := &workspace{root: root, base: filepath.Join(root, "opt", "ml")}
	for _, d := range []string{w.base, filepath.Join(root, "home"), filepath.Join(root, "tmp")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// instance is the workspace of a job's further instance, from 2: below the first
// one's, with the same credentials and a log of its own.
func (w *workspace) instance(i int) (*workspace, error) {
	own, err := newWorkspace(filepath.Join(w.root, fmt.Sprintf("algo-%d", i)))
	if err != nil {
		return nil, fmt.Errorf("make folder of instance %d: %w", i, err)
	}
	own.shared = w.shared
	own.log = steady{w.logsOf(i, "")}
	return own, nil
}

// steady swallows a log's errors: a program must not block because of them.
type steady struct{ w io.Writer }

func (s steady) Write(p []byte) (int, error) {
	_, _ = s.w.Write(p)
	return len(p), nil
}

// environ is what a program gets: the user's variables, then the platform's, which win.
func (w *workspace) environ(user map[string]string, platform ...string) []string {
	names := slices.Sorted(maps.Keys(user))
	env := make([]string, 0, len(names)+len(platform)+len(w.shared)+3)
	for _, n := range names {
		env = append(env, n+"="+user[n])
	}
	return append(append(append(env, platform...), w.shared...),
		"HOME="+filepath.Join(w.root, "home"), "TMPDIR="+filepath.Join(w.root, "tmp"), "SAGEMAKER_BASE_DIR="+w.base)
}

// stop tells a running or waiting job to end; false when there is none.
func (s *SageMaker) stop(kind, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	cancel, ok := s.running[kind+"/"+name]
	if ok {
		cancel(errStop)
	}
	return ok
}

// tidy removes the folder of a job that went well, and all but the last few of those that did not.
func (s *SageMaker) tidy(l life, out outcome) {
	if out.status == failed {
		s.prune()
		return
	}
	if err := os.RemoveAll(s.folder(l.kind, l.name)); err != nil {
		s.opt.Log.Error("remove folder of job", "job", l.name, "error", err)
	}
}

// prune removes all but the newest folders of jobs that have ended.
func (s *SageMaker) prune() {
	s.pruning.Lock() // a folder half removed looks new
	defer s.pruning.Unlock()
	dirs, err := filepath.Glob(filepath.Join(s.opt.Dir, "jobs", "*", "*"))
	if err != nil {
		return
	}
	type kept struct {
		dir string
		at  time.Time
	}
	var old []kept
	s.mu.Lock()
	for _, d := range dirs {
		kind, name := filepath.Base(filepath.Dir(d)), filepath.Base(d)
		if _, alive := s.running[kind+"/"+name]; alive && !s.over(kind, name) {
			continue
		}
		if info, err := os.Stat(d); err == nil {
			old = append(old, kept{d, info.ModTime()})
		}
	}
	s.mu.Unlock()
	sort.Slice(old, func(i, j int) bool { return old[i].at.After(old[j].at) })
	for i := s.opt.KeepFailed; i < len(old); i++ {
		_ = os.RemoveAll(old[i].dir)
	}
}

// over reports whether a job's end is recorded.
func (s *SageMaker) over(kind, name string) bool {
	status := ""
	switch kind {
	case "training":
		j, _, _ := s.training.Get(name)
		status = string(j.Job.TrainingJobStatus)
	case "processing":
		j, _, _ := s.process.Get(name)
		status = string(j.Job.ProcessingJobStatus)
	case "transform":
		j, _, _ := s.batch.Get(name)
		status = string(j.Job.TransformJobStatus)
	}
	return terminal(status)
}

// readText reads at most n bytes of a file that a program may have written.
func readText(file string, n int) ([]byte, error) {
	info, err := os.Lstat(file)
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, int64(n)))
	return bytes.TrimRight(raw, "\x00"), err
}
