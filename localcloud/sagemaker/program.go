package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// drain is how long output is still read after a program and its group ended;
// only a process that left the group can hold the pipe open.
const drain = 2 * time.Second

// program is what to run in place of a container.
type program struct {
	path string
	args []string
	env  []string
	dir  string
	out  io.Writer // stdout and stderr
}

// process is a running program. Read code after exited is closed.
type process struct {
	pid    int
	exited chan struct{}
	code   int // the exit code; 128+n when signal n ended it, as Docker has it

	mu    sync.Mutex
	ended bool
}

// start runs a program in a process group of its own.
func start(p program) (*process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.path, err)
	}
	cmd := &exec.Cmd{Path: p.path, Args: append([]string{p.path}, p.args...), Env: p.env, Dir: p.dir, Stdout: w, Stderr: w, SysProcAttr: ownGroup()}
	run := &process{exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The parent-death signal is tied to the thread that forks: it must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = w.Close()
		if err != nil {
			_ = r.Close()
			started <- err
			return
		}
		run.pid = cmd.Process.Pid
		started <- nil
		run.supervise(cmd, r, p.out)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", p.path, err)
	}
	return run, nil
}

// supervise waits for the program, ends what it left behind, and drains its output.
func (p *process) supervise(cmd *exec.Cmd, r *os.File, out io.Writer) {
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(out, r)
	}()
	err := cmd.Wait()
	p.mu.Lock()
	p.ended = true
	// A container's other processes end with its first one.
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	p.mu.Unlock()
	select {
	case <-copied:
	case <-time.After(drain):
	}
	_ = r.Close()
	<-copied
	p.code = exitCode(cmd.ProcessState, err)
	close(p.exited)
}

func exitCode(state *os.ProcessState, err error) int {
	if state == nil {
		return -1
	}
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return -1
	}
	return state.ExitCode()
}

// terminate asks the program to end, as `docker stop` does.
func (p *process) terminate() { p.signal(p.pid, syscall.SIGTERM) }

// kill ends the program and all it started.
func (p *process) kill() { p.signal(-p.pid, syscall.SIGKILL) }

func (p *process) signal(pid int, sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended { // the pid may be another's afterwards
		_ = syscall.Kill(pid, sig)
	}
}

// wait waits for the end. When halt ends first the program gets SIGTERM and,
// after grace, SIGKILL, and wait reports true; when ctx ends it is killed.
func (p *process) wait(ctx, halt context.Context, c clock.Clock, grace time.Duration) (halted bool) {
	select {
	case <-p.exited:
		return false
	case <-halt.Done():
	}
	p.stop(ctx, c, grace)
	return true
}

// stop ends the program: SIGTERM, then SIGKILL after grace or when ctx ends.
func (p *process) stop(ctx context.Context, c clock.Clock, grace time.Duration) {
	p.terminate()
	late := make(chan struct{})
	cancel := c.AfterFunc(grace, func() { close(late) })
	defer cancel()
	select {
	case <-p.exited:
		return
	case <-late:
	case <-ctx.Done():
	}
	p.kill()
	<-p.exited
}
