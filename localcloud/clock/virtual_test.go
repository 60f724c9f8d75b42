package clock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

var start = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

const year = 365 * 24 * time.Hour

// diary notes what came to pass, and when.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(v *clock.Virtual, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf("%s %s", v.Now().Sub(start), what))
}

func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.lines, want) {
		t.Errorf("came to pass: %q\nwant %q", d.lines, want)
	}
}

func quiet(t *testing.T, v *clock.Virtual) {
	t.Helper()
	if err := v.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func advance(t *testing.T, v *clock.Virtual, d time.Duration) {
	t.Helper()
	if err := v.Advance(t.Context(), v.Now().Add(d)); err != nil {
		t.Fatal(err)
	}
}

func TestVirtualJumpsInOrder(t *testing.T) {
	v, d := clock.NewVirtual(clock.Still{At: start}), &diary{}
	_, release := clock.Hold(t.Context(), v, "the test")
	v.AfterFunc(2*time.Hour, func() { d.note(v, "two hours, first") })
	v.AfterFunc(year, func() { d.note(v, "a year") })
	v.AfterFunc(2*time.Hour, func() { d.note(v, "two hours, second") })
	v.AfterFunc(time.Hour, func() {
		d.note(v, "an hour")
		v.AfterFunc(time.Hour, func() { d.note(v, "two hours, third") })
		v.AfterFunc(-time.Hour, func() { d.note(v, "at once") })
	})
	stop := v.AfterFunc(3*time.Hour, func() { d.note(v, "never") })
	if !stop() || stop() {
		t.Error("stop does not tell whether it prevented the call")
	}
	release()
	quiet(t, v)
	d.want(t, "1h0m0s an hour", "1h0m0s at once", "2h0m0s two hours, first", "2h0m0s two hours, second", "2h0m0s two hours, third", "8760h0m0s a year")
}

func TestVirtualStopsAmongEquals(t *testing.T) {
	v, d := clock.NewVirtual(clock.Still{At: start}), &diary{}
	_, release := clock.Hold(t.Context(), v, "the test")
	var stop func() bool
	v.AfterFunc(time.Hour, func() { d.note(v, fmt.Sprint("first: prevented the second: ", stop())) })
	stop = v.AfterFunc(time.Hour, func() { d.note(v, "second") })
	release()
	quiet(t, v)
	d.want(t, "1h0m0s first: prevented the second: true")
}

// What is lazily due is waited for by nobody; but it is not overtaken.
func TestVirtualLazy(t *testing.T) {
	v, d := clock.NewVirtual(clock.Still{At: start}), &diary{}
	var every func()
	every = func() {
		d.note(v, "schedule")
		clock.Lazy(v, 24*time.Hour, every)
	}
	clock.Lazy(v, 24*time.Hour, every)
	quiet(t, v)
	d.want(t)
	v.AfterFunc(60*time.Hour, func() { d.note(v, "waited for") })
	quiet(t, v)
	d.want(t, "24h0m0s schedule", "48h0m0s schedule", "60h0m0s waited for")
	advance(t, v, 12*time.Hour)
	d.want(t, "24h0m0s schedule", "48h0m0s schedule", "60h0m0s waited for", "72h0m0s schedule")
	if s := v.State(); !s.Now.Equal(start.Add(72*time.Hour)) || !s.Next.Equal(start.Add(96*time.Hour)) || s.Waited || len(s.Running) > 0 {
		t.Errorf("it stands as %+v", s)
	}
}

func TestVirtualIsHeld(t *testing.T) {
	v := clock.NewVirtual(clock.Still{At: start})
	ctx, release := clock.Hold(t.Context(), v, "outer")
	inner, releaseInner := clock.Hold(ctx, v, "inner")
	slept := make(chan error)
	v.AfterFunc(time.Hour, func() {})
	if s := v.State(); !slices.Equal(s.Running, []string{"inner", "outer"}) {
		t.Errorf("held by %q", s.Running)
	}
	// A sleep lets go of all that its context holds, and has it again before anything else may happen.
	go func() { slept <- clock.Sleep(inner, v, 30*time.Minute) }()
	if err := <-slept; err != nil {
		t.Fatal(err)
	}
	if got := v.Now().Sub(start); got != 30*time.Minute {
		t.Errorf("slept until %s, and the hour was not waited for", got)
	}
	releaseInner()
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := clock.Sleep(cancelled, v, year); !errors.Is(err, context.Canceled) {
		t.Errorf("sleep that ends with its context: %v", err)
	}
	if s := v.State(); !slices.Contains(s.Running, "outer") || slices.Contains(s.Running, "inner") {
		t.Errorf("held by %q", s.Running)
	}
	resume := clock.Rest(ctx)
	quiet(t, v)
	resume()
	resume()
	if got := v.Now().Sub(start); got != time.Hour || !slices.Equal(v.State().Running, []string{"outer"}) {
		t.Errorf("after a rest it is %s, held by %q", got, v.State().Running)
	}
	release()
}

// Time passes for what runs, as on the clock below.
func TestVirtualPasses(t *testing.T) {
	v := clock.NewVirtual(clock.Real{})
	_, release := clock.Hold(t.Context(), v, "the test")
	defer release()
	before, called := v.Now(), make(chan time.Time)
	v.AfterFunc(5*time.Millisecond, func() { called <- v.Now() })
	if at := <-called; at.Sub(before) < 5*time.Millisecond {
		t.Errorf("called %s after", at.Sub(before))
	}
}

// One call back that takes long keeps neither the others nor its own wait.
func TestVirtualCallsThatWait(t *testing.T) {
	v := clock.NewVirtual(clock.Still{At: start})
	second := make(chan struct{})
	first := make(chan struct{})
	v.AfterFunc(time.Hour, func() { <-second; close(first) })
	v.AfterFunc(time.Hour, func() { close(second) })
	<-first
}

func TestVirtualStop(t *testing.T) {
	v, d := clock.NewVirtual(clock.Still{At: start}), &diary{}
	v.Stop()
	v.AfterFunc(time.Hour, func() { d.note(v, "an hour") })
	quiet(t, v)
	d.want(t)
	advance(t, v, time.Hour-1)
	d.want(t)
	advance(t, v, 1)
	v.AfterFunc(time.Hour, func() { d.note(v, "two hours") })
	quiet(t, v)
	d.want(t, "1h0m0s an hour")
	v.Go()
	quiet(t, v)
	d.want(t, "1h0m0s an hour", "2h0m0s two hours")
}

func TestVirtualAdvance(t *testing.T) {
	v := clock.NewVirtual(clock.Still{At: start})
	if err := v.Advance(t.Context(), start.AddDate(300, 0, 0)); err == nil {
		t.Error("advanced by 300 years, which no Duration tells")
	}
	_, release := clock.Hold(t.Context(), v, "the test")
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- v.Advance(ctx, start.Add(year)) }()
	for v.State().Until.IsZero() {
		time.Sleep(time.Millisecond)
	}
	if err := v.Advance(t.Context(), start.Add(time.Hour)); err == nil {
		t.Error("advanced twice at once")
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("an advance that was given up: %v", err)
	}
	release()
	quiet(t, v)
	if got := v.Now(); !got.Equal(start) {
		t.Errorf("it went on to %s", got)
	}
	advance(t, v, -time.Hour)
	if got := v.Now(); !got.Equal(start) {
		t.Errorf("it went back to %s", got)
	}
}

// A client that asks again and again does not keep the clock from jumping.
func TestVirtualIsNotPutOffForEver(t *testing.T) {
	v := clock.NewVirtual(clock.Still{At: start})
	called := make(chan struct{})
	v.AfterFunc(year, func() { close(called) })
	for {
		_, release := clock.Hold(t.Context(), v, "a request")
		release()
		select {
		case <-called:
			return
		case <-time.After(100 * time.Microsecond):
		}
	}
}

func TestVirtualIsKept(t *testing.T) {
	v := clock.NewVirtual(clock.Still{At: start})
	var kept atomic.Int64
	full := errors.New("the disk is full")
	var failing atomic.Bool
	keep := func(ahead time.Duration) error {
		if failing.Load() {
			return full
		}
		kept.Store(int64(ahead))
		return nil
	}
	if err := v.Open(year, keep); err != nil {
		t.Fatal(err)
	}
	if got := v.Now().Sub(start); got != year {
		t.Errorf("it begins %s ahead", got)
	}
	v.AfterFunc(time.Hour, func() {
		if got := time.Duration(kept.Load()); got != year+time.Hour {
			t.Errorf("at %s %s was kept", v.Now().Sub(start), got)
		}
	})
	quiet(t, v)
	failing.Store(true)
	if err := v.Advance(t.Context(), start.Add(2*year)); !errors.Is(err, full) || !v.Now().Equal(start.Add(year+time.Hour)) {
		t.Errorf("a jump that was not kept: %v, it is %s", err, v.Now())
	}
	failing.Store(false)
	if err := v.Advance(t.Context(), start.Add(2*year)); err != nil || !v.Now().Equal(start.Add(2*year)) {
		t.Errorf("and then: %v, it is %s", err, v.Now())
	}
	v.AfterFunc(time.Hour, func() { t.Error("called after Close") })
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := v.Advance(t.Context(), start.Add(3*year)); err == nil {
		t.Error("a clock that is closed is advanced")
	}
}

// Many at once: for the race detector.
func TestVirtualAtOnce(t *testing.T) {
	v := clock.NewVirtual(clock.Still{At: start})
	var wg sync.WaitGroup
	var late atomic.Int64
	for i := range 50 {
		ctx, release := clock.Hold(t.Context(), v, "worker")
		wg.Go(func() {
			defer release()
			for n := range 20 {
				d := time.Duration(1+(i*n)%7) * time.Hour
				due := v.Now().Add(d)
				if err := clock.Sleep(ctx, v, d); err != nil {
					t.Error(err)
				}
				if !v.Now().Equal(due) {
					late.Add(1)
				}
				v.AfterFunc(time.Hour, func() {})()
			}
		})
	}
	wg.Wait()
	if n := late.Load(); n > 0 {
		t.Errorf("%d of 1000 sleeps ended at another time than was due", n)
	}
}
