package asl

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// TaskRunner makes the calls of Task states. Its error is a *TaskError when it
// has a name in the language; any other becomes States.TaskFailed.
//
// A waiting task's Run returns when its request was accepted: the task then
// goes on waiting for TaskSucceeded or TaskFailed under the call's ID.
type TaskRunner interface {
	Run(ctx context.Context, c Call) (output string, err error)
}

// JobRunner is a TaskRunner that also knows the jobs which .sync calls begin.
type JobRunner interface {
	TaskRunner
	// Wait returns the task's result once the job that c.Submission tells of has
	// ended. It lets go of the clock (clock.Rest) while it waits.
	Wait(ctx context.Context, c Call) (output string, err error)
	// Cancel stops that job, which nobody awaits any more, as well as it can.
	Cancel(ctx context.Context, c Call)
}

// TaskError is an error with the name that Retry and Catch see.
type TaskError struct{ Name, Cause string }

func (e *TaskError) Error() string { return e.Name + ": " + e.Cause }

// Update is what an execution did up to its next wait.
type Update struct {
	Info     Info
	Status   Status
	Events   []Event
	Snapshot []byte // for Resume, or Redrive once the execution has ended; nil when it succeeded
	Output   string
	Failure  *Failure
	At       time.Time
}

// EngineOptions are an engine's surroundings; all but Log are required.
type EngineOptions struct {
	Clock   clock.Clock
	Tasks   TaskRunner
	Sources Sources
	// Keep makes an update durable; calls are made only after it returned.
	Keep func(Update) error
	Log  *slog.Logger
}

// Engine runs executions: it keeps their updates, makes their calls and wakes
// them in time. A waiting execution has no goroutine, only a timer at most.
type Engine struct {
	o      EngineOptions
	ctx    context.Context
	cancel context.CancelFunc
	calls  sync.WaitGroup

	mu      sync.Mutex
	running map[string]*run
	waits   map[string]context.CancelFunc // of jobs, by call
	closed  bool
}

type run struct {
	mu      sync.Mutex
	x       *Execution
	unsaved []Event
	calls   []Call
	cancels []Call
	timers  []func() bool // stop them
	gone    bool          // ended, or the engine closed
}

// keepAgain is how long the engine waits after Keep failed.
const keepAgain = time.Second

// ErrNotRunning says that the execution is not running.
var ErrNotRunning = errors.New("the execution is not running")

// NewEngine makes an engine without executions.
func NewEngine(o EngineOptions) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Engine{o: o, ctx: ctx, cancel: cancel, running: map[string]*run{}, waits: map[string]context.CancelFunc{}}
}

// Start begins an execution. When it returns nil the execution has run to its
// first wait or its end, and that is kept.
func (e *Engine) Start(m *Machine, info Info, input string) error {
	x, err := NewExecution(m, info, input, e.o.Sources)
	if err != nil {
		return err
	}
	return e.run(x, false, func(now time.Time) error { x.Begin(now); return nil })
}

// Resume goes on with an execution from the snapshot of its last update.
func (e *Engine) Resume(m *Machine, snapshot []byte) error {
	x, err := Restore(m, snapshot, e.o.Sources)
	if err != nil {
		return err
	}
	return e.run(x, true, func(now time.Time) error { x.Due(now); return nil })
}

// Redrive goes on with an execution that ended without success, from the
// snapshot of its last update; ErrNotRedrivable when it did not.
func (e *Engine) Redrive(m *Machine, snapshot []byte) error {
	x, err := Restore(m, snapshot, e.o.Sources)
	if err != nil {
		return err
	}
	return e.run(x, false, x.Redrive)
}

// run takes an execution in and makes its first move; see settle for again.
func (e *Engine) run(x *Execution, again bool, move func(now time.Time) error) error {
	r, err := e.add(x)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err = move(e.o.Clock.Now()); err == nil {
		err = e.settle(r, again)
	}
	if err != nil {
		e.forget(r)
	}
	return err
}

func (e *Engine) add(x *Execution) (*run, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	arn := x.Info().ARN
	if e.closed {
		return nil, errors.New("the engine is closed")
	}
	if e.running[arn] != nil {
		return nil, fmt.Errorf("execution %s is running already", arn)
	}
	r := &run{x: x}
	e.running[arn] = r
	return r, nil
}

func (e *Engine) find(arn string) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running[arn]
}

// forget takes a run out of the engine; its lock is held.
func (e *Engine) forget(r *run) {
	r.gone = true
	r.stopTimers()
	e.mu.Lock()
	delete(e.running, r.x.Info().ARN)
	e.mu.Unlock()
}

// Close stops working on all executions, which Resume takes up again. Calls
// in flight are cancelled and their outcomes forgotten.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	runs := make([]*run, 0, len(e.running))
	for _, r := range e.running {
		runs = append(runs, r)
	}
	e.mu.Unlock()
	for _, r := range runs {
		r.mu.Lock()
		e.forget(r)
		r.mu.Unlock()
	}
	e.cancel()
	e.calls.Wait()
}

// Running lists the ARNs of the executions that run, sorted.
func (e *Engine) Running() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return sortedKeys(e.running)
}

// feed changes an execution and keeps what came of it.
func (e *Engine) feed(arn string, change func(x *Execution, now time.Time) error) error {
	r := e.find(arn)
	if r == nil {
		return ErrNotRunning
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return ErrNotRunning
	}
	if err := change(r.x, e.o.Clock.Now()); err != nil {
		return err
	}
	return e.settle(r, true)
}

// Stop aborts an execution.
func (e *Engine) Stop(arn, errorName, cause string) error {
	return e.feed(arn, func(x *Execution, now time.Time) error {
		x.Abort(now, errorName, cause)
		return nil
	})
}

// TaskSucceeded ends a task with its result; ErrNoSuchTask when it does not wait.
func (e *Engine) TaskSucceeded(arn, id, output string) error {
	return e.toldBefore(id, e.feed(arn, func(x *Execution, now time.Time) error { return x.Succeed(now, id, output) }))
}

// TaskFailed ends a task with an error; ErrNoSuchTask when it does not wait.
func (e *Engine) TaskFailed(arn, id string, f Failure) error {
	return e.toldBefore(id, e.feed(arn, func(x *Execution, now time.Time) error { return x.Fail(now, id, f) }))
}

// toldBefore lets go of the job of a task that was ended by its token, without
// an error: the job itself goes on.
func (e *Engine) toldBefore(id string, err error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if stop := e.waits[id]; stop != nil && err == nil {
		stop()
	}
	return err
}

// Heartbeat keeps a task waiting; ErrNoSuchTask when it does not wait.
func (e *Engine) Heartbeat(arn, id string) error {
	return e.feed(arn, func(x *Execution, now time.Time) error { return x.Heartbeat(now, id) })
}

// settle keeps what the execution produced, then makes its calls and sets its
// timer. With again, a failed Keep is tried once more later: nothing is lost.
func (e *Engine) settle(r *run, again bool) error {
	p := r.x.Take()
	r.unsaved, r.calls, r.cancels = append(r.unsaved, p.Events...), append(r.calls, p.Calls...), append(r.cancels, p.Cancels...)
	u := Update{Info: r.x.Info(), Status: r.x.Status(), Events: r.unsaved, Output: r.x.Output(), Failure: r.x.Failure(), At: e.o.Clock.Now()}
	var err error
	if u.Status != Succeeded {
		if u.Snapshot, err = r.x.Snapshot(); err != nil {
			return fmt.Errorf("save execution %s: %w", u.Info.ARN, err)
		}
	}
	if err := e.o.Keep(u); err != nil {
		if again {
			e.o.Log.Error("execution not saved; trying again", "execution_arn", u.Info.ARN, "error", err)
			r.stopTimers()
			e.wake(r, keepAgain)
			return nil
		}
		return fmt.Errorf("save execution %s: %w", u.Info.ARN, err)
	}
	r.unsaved = nil
	for _, c := range r.cancels {
		e.cancelJob(c)
	}
	r.cancels = nil
	if u.Status != Running {
		e.forget(r)
		return nil
	}
	for _, c := range r.calls {
		e.start(c)
	}
	r.calls = nil
	r.stopTimers()
	wait, limit := r.x.due()
	now := e.o.Clock.Now()
	if !wait.IsZero() {
		e.wake(r, wait.Sub(now))
	}
	if !limit.IsZero() && (wait.IsZero() || limit.Before(wait)) {
		r.timers = append(r.timers, clock.Lazy(e.o.Clock, max(limit.Sub(now), 0), func() { e.look(r) }))
	}
	return nil
}

func (r *run) stopTimers() {
	for _, stop := range r.timers {
		stop()
	}
	r.timers = nil
}

// wake has the execution looked at after d.
func (e *Engine) wake(r *run, d time.Duration) {
	r.timers = append(r.timers, e.o.Clock.AfterFunc(max(d, 0), func() { e.look(r) }))
}

// look goes on with what is due in the execution.
func (e *Engine) look(r *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return
	}
	r.x.Due(e.o.Clock.Now())
	_ = e.settle(r, true) // a failed save is logged and tried again
}

// start makes a call in a goroutine that feeds its outcome back. As on AWS, a
// call goes on when its state timed out or the execution was stopped: nobody
// awaits its outcome then. Only Close cancels it.
func (e *Engine) start(c Call) {
	e.calls.Add(1)
	ctx, release := clock.Hold(e.ctx, e.o.Clock, "task "+c.State+" of "+c.Execution.Name)
	go func() {
		defer e.calls.Done()
		defer release()
		if c.Submission == "" {
			output, err := e.o.Tasks.Run(ctx, c)
			if e.ctx.Err() != nil {
				return
			}
			ended := e.answered(c, output, err)
			if !c.Resource.AwaitsJob() || err != nil {
				return
			}
			c.Submission = output
			if ended != nil {
				e.cancelJob(c)
				return
			}
		}
		e.awaitJob(ctx, c)
	}()
}

// answered feeds back what a call was answered.
func (e *Engine) answered(c Call, output string, err error) error {
	accepted := c.Resource.WaitsForToken() || c.Resource.AwaitsJob()
	fed := e.feed(c.Execution.ARN, func(x *Execution, now time.Time) error {
		switch {
		case err != nil && accepted:
			return x.Refused(now, c.ID, failureOf(err))
		case err != nil:
			return x.Fail(now, c.ID, failureOf(err))
		case accepted:
			return x.Submitted(now, c.ID, output)
		}
		return x.Succeed(now, c.ID, output)
	})
	if fed != nil {
		e.o.Log.Debug("outcome of a call not awaited", "execution_arn", c.Execution.ARN, "state", c.State, "reason", fed)
	}
	return fed
}

func failureOf(err error) Failure {
	var named *TaskError
	if errors.As(err, &named) {
		return Failure{Error: named.Name, Cause: named.Cause}
	}
	return Failure{Error: errTaskFailed, Cause: err.Error()}
}

// awaitJob feeds back how the job of a call ended.
func (e *Engine) awaitJob(ctx context.Context, c Call) {
	jobs, ok := e.o.Tasks.(JobRunner)
	if !ok {
		e.jobEnded(c, "", fmt.Errorf("nothing here awaits jobs: %s", c.Resource.ARN))
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	e.mu.Lock()
	e.waits[c.ID] = cancel
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.waits, c.ID)
		e.mu.Unlock()
	}()
	// The task may have been given up before its wait could be cancelled.
	if r := e.find(c.Execution.ARN); r == nil || !r.awaits(c.ID) {
		return
	}
	output, err := jobs.Wait(ctx, c)
	if ctx.Err() == nil {
		e.jobEnded(c, output, err)
	}
}

func (r *run) awaits(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.gone && r.x.tasks[id] != nil
}

func (e *Engine) jobEnded(c Call, output string, err error) {
	fed := e.feed(c.Execution.ARN, func(x *Execution, now time.Time) error {
		if err != nil {
			return x.Fail(now, c.ID, failureOf(err))
		}
		return x.Succeed(now, c.ID, output)
	})
	if fed != nil {
		e.o.Log.Debug("end of a job not awaited", "execution_arn", c.Execution.ARN, "state", c.State, "reason", fed)
	}
}

// cancelJob stops a job that nobody awaits any more.
func (e *Engine) cancelJob(c Call) {
	e.mu.Lock()
	if stop := e.waits[c.ID]; stop != nil {
		stop()
	}
	closed := e.closed
	e.mu.Unlock()
	jobs, ok := e.o.Tasks.(JobRunner)
	if !ok || closed {
		return
	}
	e.calls.Add(1)
	ctx, release := clock.Hold(e.ctx, e.o.Clock, "task "+c.State+" of "+c.Execution.Name+", given up")
	go func() {
		defer e.calls.Done()
		defer release()
		jobs.Cancel(ctx, c)
	}()
}
