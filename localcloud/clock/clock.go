// Package clock is the time that the local cloud follows: every wait, timeout,
// schedule and timestamp goes through a Clock, so that time can be injected.
//
// A clock is Real, the machine's; Scaled, which runs faster; or Virtual, which
// jumps over what would only be waited for. What must not be jumped over says
// so with Hold, and what nobody waits for with Lazy: both mean something to a
// Virtual clock only.
package clock

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Clock tells the time and calls back later.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in its own goroutine once d has passed; stop reports
	// whether it prevented the call.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Kept is a clock that runs ahead of the machine's. Its user keeps by how much,
// so that time does not go back when the user is started again.
type Kept interface {
	Clock
	// Open begins at least ahead of the machine's clock, and calls keep before it
	// tells a time that is further ahead than what was kept last.
	Open(ahead time.Duration, keep func(ahead time.Duration) error) error
	// Close stops the clock where it is.
	Close() error
}

// Machine is the clock for the time limits of programs, which know no other time
// than the machine's: Real for a clock that runs ahead of it, else c itself.
func Machine(c Clock) Clock {
	if _, ok := c.(Kept); ok {
		return Real{}
	}
	return c
}

// Real is the machine's clock, in UTC.
type Real struct{}

// Now is the current time in UTC.
func (Real) Now() time.Time { return time.Now().UTC() }

// AfterFunc is time.AfterFunc.
func (Real) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// Still is a clock that stands at a time: nothing comes to pass on it. A
// Virtual clock on it moves by its jumps alone, to the nanosecond.
type Still struct{ At time.Time }

// Now is where it stands.
func (s Still) Now() time.Time { return s.At }

// AfterFunc never calls.
func (s Still) AfterFunc(time.Duration, func()) func() bool {
	var once sync.Once
	return func() (first bool) {
		once.Do(func() { first = true })
		return first
	}
}

// Parse makes a clock of its name: real, virtual, or scaled:N.
func Parse(name string) (Clock, error) {
	switch {
	case name == "real":
		return Real{}, nil
	case name == "virtual":
		return NewVirtual(Real{}), nil
	case strings.HasPrefix(name, "scaled:"):
		n, err := strconv.ParseFloat(strings.TrimPrefix(name, "scaled:"), 64)
		if err != nil || !(n >= 1 && n <= MaxScale) {
			return nil, fmt.Errorf("clock %q: after scaled: comes how many times as fast as the machine's it runs, a number from 1 to %d", name, MaxScale)
		}
		return NewScaled(n), nil
	}
	return nil, fmt.Errorf("clock %q is not real, virtual or scaled:N (as in scaled:60, a minute each second)", name)
}

// Sleep waits for d on the clock c, or until ctx ends, whose error it returns.
// It does not hold c while it waits, whatever ctx holds.
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	resume := func() {}
	if _, ok := c.(holder); ok {
		resume = Rest(ctx)
	}
	done := make(chan struct{})
	stop := c.AfterFunc(d, func() {
		resume() // before the clock may go on
		close(done)
	})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		stop()
		resume()
		return ctx.Err()
	}
}
