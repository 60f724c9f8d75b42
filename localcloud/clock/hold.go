package clock

import (
	"context"
	"sync"
	"time"
)

// holder is a clock that can be held. Virtual is; so is what embeds it.
type holder interface {
	hold(what string) *hold
	lazy(d time.Duration, f func()) (stop func() bool)
}

type holdKey struct{}

// held is what a context holds, from the inside out.
type held struct {
	*hold
	outer *held
}

// Hold keeps a virtual clock from jumping while something runs, until release
// is called; what says so to people. Whoever starts a goroutine takes its hold
// first. The context that Hold returns carries it for Rest and Sleep.
func Hold(ctx context.Context, c Clock, what string) (holding context.Context, release func()) {
	h, ok := c.(holder)
	if !ok {
		return ctx, func() {}
	}
	outer, _ := ctx.Value(holdKey{}).(*held)
	one := &held{hold: h.hold(what), outer: outer}
	return context.WithValue(ctx, holdKey{}, one), one.release
}

// Rest lets go of all that ctx holds while it waits for something else to
// happen, until resume is called; calling that again does nothing.
func Rest(ctx context.Context) (resume func()) {
	inner, _ := ctx.Value(holdKey{}).(*held)
	for h := inner; h != nil; h = h.outer {
		h.rest(1)
	}
	return sync.OnceFunc(func() {
		for h := inner; h != nil; h = h.outer {
			h.rest(-1)
		}
	})
}

// Lazy is c.AfterFunc for a time that nobody waits for: the next turn of a
// schedule, or the end of a time limit. A virtual clock does not jump for its
// sake alone.
func Lazy(c Clock, d time.Duration, f func()) (stop func() bool) {
	if h, ok := c.(holder); ok {
		return h.lazy(d, f)
	}
	return c.AfterFunc(d, f)
}

// hold is guarded by its clock's lock.
type hold struct {
	v        *Virtual
	what     string
	resting  int
	released bool
}

func (h *hold) release() {
	h.v.mu.Lock()
	defer h.v.mu.Unlock()
	h.released = true
	h.v.count(h)
}

func (h *hold) rest(n int) {
	h.v.mu.Lock()
	defer h.v.mu.Unlock()
	h.resting += n
	h.v.count(h)
}
