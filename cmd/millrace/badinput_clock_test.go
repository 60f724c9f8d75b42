package main

import (
	"sync"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// jumpClock is the machine's clock, which a test can put forward: what would
// have come to pass meanwhile does so at once.
type jumpClock struct {
	mu     sync.Mutex
	ahead  time.Duration
	timers map[*jumpTimer]bool
}

type jumpTimer struct {
	due  time.Time
	f    func()
	stop func() bool
}

var _ clock.Clock = (*jumpClock)(nil)

func (k *jumpClock) Now() time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now()
}

func (k *jumpClock) now() time.Time { return time.Now().UTC().Add(k.ahead) }

func (k *jumpClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.timers == nil {
		k.timers = map[*jumpTimer]bool{}
	}
	t := &jumpTimer{due: k.now().Add(d), f: f}
	k.timers[t] = true
	t.stop = clock.Real{}.AfterFunc(d, func() {
		if k.take(t) {
			f()
		}
	})
	return func() bool { return k.take(t) }
}

// take makes whoever gets true the one who decides on a timer.
func (k *jumpClock) take(t *jumpTimer) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.timers[t] {
		return false
	}
	delete(k.timers, t)
	t.stop()
	return true
}

// jump puts the clock forward. Signatures hold for 15 minutes, and programs
// have the machine's time: all jumps together must stay below.
func (k *jumpClock) jump(d time.Duration) {
	k.mu.Lock()
	k.ahead += d
	now := k.now()
	var due []*jumpTimer
	for t := range k.timers {
		if !t.due.After(now) {
			due = append(due, t)
		}
	}
	k.mu.Unlock()
	for _, t := range due {
		if k.take(t) {
			go t.f()
		}
	}
}
