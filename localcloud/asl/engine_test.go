package asl_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

// jumping is a clock whose time passes when the test says so.
type jumping struct {
	mu     sync.Mutex
	set    *sync.Cond // a timer was set
	now    time.Time
	timers map[*timer]bool
}

type timer struct {
	at time.Time
	f  func()
}

func newClock() *jumping {
	c := &jumping{now: start, timers: map[*timer]bool{}}
	c.set = sync.NewCond(&c.mu)
	return c
}

// await blocks until n timers are set.
func (c *jumping) await(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.timers) != n {
		c.set.Wait()
	}
}

func (c *jumping) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *jumping) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{c.now.Add(d), f}
	c.timers[t] = true
	c.set.Broadcast()
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		was := c.timers[t]
		delete(c.timers, t)
		return was
	}
}

// pass lets time pass; what falls due runs here.
func (c *jumping) pass(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		var next *timer
		for t := range c.timers {
			if !t.at.After(end) && (next == nil || t.at.Before(next.at)) {
				next = t
			}
		}
		if next == nil {
			break
		}
		delete(c.timers, next)
		if next.at.After(c.now) {
			c.now = next.at
		}
		c.mu.Unlock()
		next.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

// tick runs the one timer that is due.
func (c *jumping) tick() {
	c.mu.Lock()
	var due func()
	for t := range c.timers {
		if !t.at.After(c.now) {
			due = t.f
			delete(c.timers, t)
		}
	}
	c.mu.Unlock()
	due()
}

type runTask func(ctx context.Context, c asl.Call) (string, error)

func (f runTask) Run(ctx context.Context, c asl.Call) (string, error) { return f(ctx, c) }

// diary keeps updates as a service would, and can refuse to.
type diary struct {
	mu      sync.Mutex
	broken  bool
	last    asl.Update
	events  []asl.Event
	changes chan struct{}
}

func newDiary() *diary { return &diary{changes: make(chan struct{}, 1000)} }

func (d *diary) keep(u asl.Update) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken {
		return errors.New("disk full")
	}
	d.last = u
	d.events = append(d.events, u.Events...)
	d.changes <- struct{}{}
	return nil
}

// until awaits an update after which ok holds.
func (d *diary) until(t *testing.T, ok func() bool) {
	t.Helper()
	for {
		d.mu.Lock()
		done := ok()
		d.mu.Unlock()
		if done {
			return
		}
		select {
		case <-d.changes:
		case <-time.After(20 * time.Second):
			t.Fatalf("what was awaited never came; history %s", types(d.events))
		}
	}
}

func newEngine(c *jumping, d *diary, f runTask) *asl.Engine {
	return asl.NewEngine(asl.EngineOptions{Clock: c, Tasks: f, Sources: sources(), Keep: d.keep})
}

const waiting = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","HeartbeatSeconds":3600,"End":true}}}`

func TestEngineTokenAcrossARestart(t *testing.T) {
	m, err := asl.Parse([]byte(waiting))
	if err != nil {
		t.Fatal(err)
	}
	c, d := newClock(), newDiary()
	accept := func(context.Context, asl.Call) (string, error) { return `{"accepted":true}`, nil }
	e := newEngine(c, d, accept)
	if err := e.Start(m, info(), `{}`); err != nil {
		t.Fatal(err)
	}
	d.until(t, func() bool { return strings.HasSuffix(types(d.events), "TaskSubmitted") })
	e.Close()
	c.pass(50 * time.Minute)

	called := false
	e = newEngine(c, d, func(context.Context, asl.Call) (string, error) { called = true; return "", nil })
	if err := e.Resume(m, d.last.Snapshot); err != nil {
		t.Fatal(err)
	}
	arn := info().ARN
	if err := e.Heartbeat(arn, "id-1"); err != nil {
		t.Errorf("heartbeat: %v", err)
	}
	c.pass(50 * time.Minute) // past the first deadline, not past the beat
	if err := e.TaskSucceeded(arn, "other", `1`); !errors.Is(err, asl.ErrNoSuchTask) {
		t.Errorf("another token: %v", err)
	}
	if err := e.TaskSucceeded(arn, "id-1", `{"r":1.0}`); err != nil {
		t.Fatal(err)
	}
	if d.last.Status != asl.Succeeded || d.last.Output != `{"r":1.0}` || called {
		t.Errorf("%s %s, called again %t", d.last.Status, d.last.Output, called)
	}
	if err := e.TaskSucceeded(arn, "id-1", `1`); !errors.Is(err, asl.ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
	check(t, d.events)
	e.Close()
}

func TestEngineHeartbeatRunsOut(t *testing.T) {
	m, err := asl.Parse([]byte(waiting))
	if err != nil {
		t.Fatal(err)
	}
	c, d := newClock(), newDiary()
	e := newEngine(c, d, func(ctx context.Context, _ asl.Call) (string, error) { <-ctx.Done(); return "", ctx.Err() })
	defer e.Close()
	if err := e.Start(m, info(), `{}`); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	if d.last.Status != asl.Failed || d.last.Failure.Error != "States.Timeout" || !strings.HasSuffix(types(d.events), "TaskTimedOut ExecutionFailed") {
		t.Errorf("%s: %s", d.last.Status, types(d.events))
	}
}

// A disk that is full for a while delays an execution and loses nothing.
func TestEngineKeepsTrying(t *testing.T) {
	m, err := asl.Parse([]byte(`{"StartAt":"W","States":{"W":{"Type":"Wait","Seconds":10,"Next":"P"},"P":{"Type":"Pass","End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	c, d := newClock(), newDiary()
	e := newEngine(c, d, nil)
	defer e.Close()
	d.broken = true
	if err := e.Start(m, info(), `{}`); err == nil || len(e.Running()) != 0 {
		t.Errorf("an execution that cannot be kept was started: %v", err)
	}
	d.broken = false
	if err := e.Start(m, info(), `{}`); err != nil {
		t.Fatal(err)
	}
	d.broken = true
	c.pass(20 * time.Second)
	d.broken = false
	c.pass(2 * time.Second)
	if d.last.Status != asl.Succeeded || types(d.events) != "ExecutionStarted WaitStateEntered WaitStateExited PassStateEntered PassStateExited ExecutionSucceeded" {
		t.Errorf("%s: %s", d.last.Status, types(d.events))
	}
}

// A thousand executions, each with ten waits and ten tasks, end and leave no goroutine.
func TestEngineThousandExecutions(t *testing.T) {
	var states []string
	for i := range 10 {
		next := fmt.Sprintf(`"Next":"W%d"`, i+1)
		if i == 9 {
			next = `"End":true`
		}
		states = append(states, fmt.Sprintf(`"W%d":{"Type":"Wait","Seconds":5,"Next":"T%d"},"T%d":{"Type":"Task","Resource":"%s",%s}`, i, i, i, taskARN, next))
	}
	m, err := asl.Parse([]byte(`{"StartAt":"W0","States":{` + strings.Join(states, ",") + `}}`))
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	c := newClock()
	var mu sync.Mutex
	ended := 0
	all := sync.NewCond(&mu)
	e := asl.NewEngine(asl.EngineOptions{Clock: c, Sources: sources1000(), Tasks: runTask(func(_ context.Context, c asl.Call) (string, error) { return c.Parameters, nil }),
		Keep: func(u asl.Update) error {
			mu.Lock()
			defer mu.Unlock()
			if u.Status != asl.Running {
				ended++
				all.Signal()
			}
			return nil
		}})
	const n = 1000
	for i := range n {
		in := info()
		in.ARN += fmt.Sprint(i)
		if err := e.Start(m, in, `{"n":1}`); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		c.await(n)
		c.pass(5 * time.Second)
	}
	mu.Lock()
	for ended < n {
		all.Wait()
	}
	mu.Unlock()
	e.Close()
	if ended != n || len(e.Running()) != 0 {
		t.Errorf("%d ended, %d run", ended, len(e.Running()))
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines were there, %d are", before, after)
	}
}

func sources1000() asl.Sources {
	s := sources()
	var mu sync.Mutex
	id := s.TaskID
	s.TaskID = func(arn string) string {
		mu.Lock()
		defer mu.Unlock()
		return id(arn)
	}
	return s
}

// A loop over much data is kept in parts, and can be stopped meanwhile.
func TestEngineWorksInParts(t *testing.T) {
	m, err := asl.Parse([]byte(`{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"x.$":"$.x"},"Next":"B"},"B":{"Type":"Choice","Choices":[{"Variable":"$.x","IsNull":true,"Next":"C"}],"Default":"A"},"C":{"Type":"Succeed"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	c, d := newClock(), newDiary()
	e := newEngine(c, d, nil)
	defer e.Close()
	if err := e.Start(m, info(), `{"x":"`+strings.Repeat("x", 200_000)+`"}`); err != nil {
		t.Fatal(err)
	}
	first := len(d.events)
	c.tick()
	if len(d.events) <= first || first > 100 || d.last.Status != asl.Running {
		t.Errorf("%d events kept at first, %d later", first, len(d.events))
	}
	if err := e.Stop(info().ARN, "Enough", ""); err != nil || d.last.Status != asl.Aborted {
		t.Errorf("stop: %v, %s", err, d.last.Status)
	}
	check(t, d.events)
}

func BenchmarkPassAndChoice(b *testing.B) {
	m, err := asl.Parse([]byte(`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"C"},"C":{"Type":"Choice","Choices":[{"Variable":"$.n","NumericEquals":1,"Next":"A"}],"Default":"Z"},"Z":{"Type":"Succeed"}}}`))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		x, err := asl.NewExecution(m, info(), `{"n":1}`, sources())
		if err != nil {
			b.Fatal(err)
		}
		x.Begin(start)
		for x.Take(); x.Status() == asl.Running; x.Take() {
			x.Due(start)
		}
	}
	b.ReportMetric(float64(b.N)*(asl.MaxEvents-2)/2/b.Elapsed().Seconds(), "transitions/s")
}
