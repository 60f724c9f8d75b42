package clock

import (
	"math"
	"sync"
	"time"
)

// MaxScale is the fastest that a Scaled clock runs: more than a day each second.
const MaxScale = 100_000

// keepEvery is how often a Scaled clock keeps its time, in the machine's time.
const keepEvery = time.Second

// Scaled is a clock that runs several times as fast as the machine's.
type Scaled struct {
	scale float64

	mu    sync.Mutex
	begun time.Time     // on the machine's clock
	ahead time.Duration // of the machine's clock then
	kept  time.Duration // further ahead it does not go
	stop  func() error
}

var _ Kept = (*Scaled)(nil)

// NewScaled makes a clock that begins now and runs scale times as fast, from 1
// to MaxScale.
func NewScaled(scale float64) *Scaled {
	return &Scaled{scale: scale, begun: Real{}.Now(), kept: furthest, stop: func() error { return nil }}
}

// Now is the time on the clock.
func (s *Scaled) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := Real{}.Now()
	return now.Add(min(s.aheadAt(now), s.kept))
}

func (s *Scaled) aheadAt(now time.Time) time.Duration {
	return time.Duration(math.Min(float64(s.ahead)+(s.scale-1)*float64(now.Sub(s.begun)), float64(furthest)))
}

// keep keeps how far ahead the clock may go until it is kept again. While that
// fails it goes no further.
func (s *Scaled) keep(keep func(time.Duration) error) error {
	s.mu.Lock()
	ceiling := s.aheadAt(Real{}.Now().Add(3 * keepEvery))
	s.mu.Unlock()
	if err := keep(ceiling); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = ceiling
	return nil
}

// AfterFunc is Clock's.
func (s *Scaled) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return Real{}.AfterFunc(time.Duration(math.Ceil(float64(d)/s.scale)), f)
}

// Open is Kept's. What is kept is ahead of the clock, by as much as it may go
// until it is kept again: after a kill it goes on from there.
func (s *Scaled) Open(ahead time.Duration, keep func(time.Duration) error) error {
	s.mu.Lock()
	s.ahead = max(s.ahead, ahead)
	s.mu.Unlock()
	if err := s.keep(keep); err != nil {
		return err
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		each := time.NewTicker(keepEvery)
		defer each.Stop()
		for {
			select {
			case <-each.C:
				_ = s.keep(keep) // which tells of failures by itself; the next may go well
			case <-done:
				return
			}
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop = sync.OnceValue(func() error {
		close(done)
		<-ended
		s.mu.Lock()
		defer s.mu.Unlock()
		s.kept = min(s.aheadAt(Real{}.Now()), s.kept)
		return keep(s.kept)
	})
	return nil
}

// Close is Kept's.
func (s *Scaled) Close() error {
	s.mu.Lock()
	stop := s.stop
	s.mu.Unlock()
	return stop()
}
