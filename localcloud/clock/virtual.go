package clock

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// settle is how long, in the machine's time, nothing must have run before a
	// jump: what is handed from one goroutine to another without a hold.
	settle = time.Millisecond
	// overdue is how long a jump may be put off so: a client that asks again and
	// again would put it off for ever.
	overdue = 50 * settle
	// patience is how long a call back may keep those due after it from theirs.
	patience = time.Second
	// keepAgain is the pause after a jump that could not be kept.
	keepAgain = time.Second
	// furthest is how far a clock goes: durations end 292 years away.
	furthest = 250 * 365 * 24 * time.Hour
)

// Virtual is a clock that passes as the one below it does and, when nothing
// runs that holds it and somebody waits for a time, jumps: to the next time at
// which anything is due, until nobody waits any more. For what is due lazily it
// does not jump by itself but only under Advance, so that a schedule does not
// make it run away, nor a person's time to answer end at once.
//
// What is due is called in order of its time, and in the order of the AfterFuncs
// where times are equal, each when the former has returned, or takes long.
type Virtual struct {
	below Clock

	mu       sync.Mutex
	ahead    time.Duration // of the clock below
	timers   timers
	eager    int // timers that are not lazy
	made     uint64
	holds    map[*hold]struct{}
	stopped  bool      // does not jump by itself
	target   time.Time // of Advance
	waiting  int       // callers of Advance and Quiet
	calling  bool      // what is due is being called, or a jump kept
	tick     func() bool
	settling *time.Timer
	turn     uint64    // which settling counts
	wanted   time.Time // on the machine's clock: since when there is a jump to make
	quiet    chan struct{}
	failed   error // why the last jump was not kept
	keep     func(time.Duration) error
	closed   bool
}

var (
	_ Kept = (*Virtual)(nil)

	errClosed = errors.New("the clock is closed")
)

// NewVirtual makes a virtual clock on another: Real, or Still in tests.
func NewVirtual(below Clock) *Virtual {
	return &Virtual{below: below, holds: map[*hold]struct{}{}, quiet: make(chan struct{}), keep: func(time.Duration) error { return nil }}
}

// Open is Kept's.
func (v *Virtual) Open(ahead time.Duration, keep func(time.Duration) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keep = keep
	if ahead > v.ahead {
		v.ahead = ahead
	}
	return nil
}

// Close is Kept's: nothing is called any more.
func (v *Virtual) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	v.changed()
	v.tell()
	return nil
}

// Now is the virtual time.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now()
}

func (v *Virtual) now() time.Time { return v.below.Now().Add(v.ahead) }

// AfterFunc is Clock's.
func (v *Virtual) AfterFunc(d time.Duration, f func()) (stop func() bool) { return v.add(d, f, false) }

func (v *Virtual) lazy(d time.Duration, f func()) (stop func() bool) { return v.add(d, f, true) }

func (v *Virtual) add(d time.Duration, f func(), lazy bool) (stop func() bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.made++
	t := &timer{due: v.now().Add(max(d, 0)), order: v.made, lazy: lazy, f: f}
	heap.Push(&v.timers, t)
	if !lazy {
		v.eager++
	}
	v.changed()
	return func() bool {
		v.mu.Lock()
		defer v.mu.Unlock()
		if t.at < 0 {
			return false
		}
		v.remove(t)
		v.changed()
		return true
	}
}

func (v *Virtual) remove(t *timer) {
	heap.Remove(&v.timers, t.at)
	if !t.lazy {
		v.eager--
	}
}

func (v *Virtual) hold(what string) *hold {
	v.mu.Lock()
	defer v.mu.Unlock()
	h := &hold{v: v, what: what}
	v.count(h)
	return h
}

// count adds a hold to those that count, or takes it out.
func (v *Virtual) count(h *hold) {
	was := len(v.holds)
	if h.released || h.resting > 0 {
		delete(v.holds, h)
	} else {
		v.holds[h] = struct{}{}
	}
	if was == 0 || len(v.holds) == 0 {
		v.changed()
	}
}

// changed looks at what is to be done now: call what is due, be called when
// something is, jump when all has settled.
func (v *Virtual) changed() {
	v.turn++
	if v.settling != nil {
		v.settling.Stop()
		v.settling = nil
	}
	if v.tick != nil {
		v.tick()
		v.tick = nil
	}
	if v.closed || v.calling {
		return
	}
	if len(v.timers) > 0 {
		wait := v.timers[0].due.Sub(v.now())
		if wait <= 0 {
			v.calling = true
			go v.call()
			return
		}
		v.tick = v.below.AfterFunc(wait, func() {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.changed()
		})
	}
	switch {
	case v.eager == 0 && v.waiting == 0:
		v.wanted = time.Time{}
	case len(v.holds) > 0:
	case v.wanted.IsZero():
		v.wanted = time.Now()
		v.settleIn(settle)
	case time.Since(v.wanted) > overdue:
		v.settleIn(0)
	default:
		v.settleIn(settle)
	}
}

func (v *Virtual) settleIn(d time.Duration) {
	turn := v.turn
	v.settling = time.AfterFunc(d, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if turn == v.turn && !v.closed {
			v.settled()
		}
	})
}

// settled jumps, or tells those that wait for it that all is quiet.
func (v *Virtual) settled() {
	v.wanted = time.Time{}
	to, ok := v.next()
	if !ok {
		v.tell()
		return
	}
	v.calling = true
	go v.jump(max(v.ahead, to.Sub(v.below.Now()))) // the clock below may have passed it just now
}

// tell ends the waits for quiet.
func (v *Virtual) tell() {
	close(v.quiet)
	v.quiet = make(chan struct{})
}

// jump keeps a time, without the lock since a disk takes its time, and goes there.
func (v *Virtual) jump(ahead time.Duration) {
	err := v.keep(ahead)
	v.mu.Lock()
	if v.failed = err; err == nil {
		v.ahead = ahead
		v.mu.Unlock()
		v.call()
		return
	}
	defer v.mu.Unlock()
	v.tell()
	time.AfterFunc(keepAgain, v.call)
}

// next is where the clock jumps now.
func (v *Virtual) next() (to time.Time, ok bool) {
	first := len(v.timers) > 0
	switch {
	case !v.target.IsZero() && v.now().Before(v.target):
		if to = v.target; first && v.timers[0].due.Before(to) {
			to = v.timers[0].due
		}
	case first && v.eager > 0 && !v.stopped:
		to = v.timers[0].due
	default:
		return to, false
	}
	return to, to.Sub(v.below.Now()) <= furthest
}

// call calls what is due. v.calling makes it the only one.
func (v *Virtual) call() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for !v.closed && len(v.timers) > 0 && !v.timers[0].due.After(v.now()) {
		t := v.timers[0]
		v.remove(t)
		h := &hold{v: v, what: "what is due"}
		v.count(h)
		v.mu.Unlock()
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			defer h.release()
			t.f()
		}()
		late := time.NewTimer(patience)
		select {
		case <-returned:
		case <-late.C:
		}
		late.Stop()
		v.mu.Lock()
	}
	v.calling = false
	v.changed()
}

// Advance moves the clock to a time, through all that is due until then, lazily
// or not, and waits until what follows from it is done, as Quiet does. The clock
// stops on its way when ctx ends.
func (v *Virtual) Advance(ctx context.Context, to time.Time) error {
	v.mu.Lock()
	switch {
	case to.Sub(v.below.Now()) > furthest:
		v.mu.Unlock()
		return fmt.Errorf("advance to %s: that is too far", to.Format(time.RFC3339))
	case !v.target.IsZero():
		v.mu.Unlock()
		return errors.New("the clock is being advanced already")
	case to.After(v.now()):
		v.target = to
	}
	v.mu.Unlock()
	err := v.Quiet(ctx)
	v.mu.Lock()
	v.target = time.Time{}
	v.mu.Unlock()
	return err
}

// Quiet waits until nothing runs and nobody waits for a time: the clock does
// not jump any more by itself.
func (v *Virtual) Quiet(ctx context.Context) error {
	v.mu.Lock()
	if v.closed {
		v.mu.Unlock()
		return errClosed
	}
	quiet := v.quiet
	v.waiting++
	v.changed()
	v.mu.Unlock()
	var err error
	select {
	case <-quiet:
	case <-ctx.Done():
		err = ctx.Err()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.waiting--
	switch {
	case err != nil:
	case v.closed:
		err = errClosed
	case v.failed != nil:
		err = fmt.Errorf("keep the time: %w", v.failed)
	}
	return err
}

// Stop keeps the clock from jumping by itself, until Go; Advance still moves it.
func (v *Virtual) Stop() { v.setStopped(true) }

// Go lets the clock jump by itself again.
func (v *Virtual) Go() { v.setStopped(false) }

func (v *Virtual) setStopped(stopped bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stopped = stopped
	v.changed()
}

// State is how a virtual clock stands.
type State struct {
	Now     time.Time `json:"now"`
	Next    time.Time `json:"next,omitzero"`    // when something is due next
	Waited  bool      `json:"waited"`           // whether somebody waits for a time
	Stopped bool      `json:"stopped"`          // whether Stop was called
	Until   time.Time `json:"until,omitzero"`   // where Advance goes
	Running []string  `json:"running"`          // what holds it, sorted
	Failed  string    `json:"failed,omitempty"` // why it does not jump
}

// State tells how the clock stands.
func (v *Virtual) State() State {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := State{Now: v.now(), Waited: v.eager > 0, Stopped: v.stopped, Until: v.target, Running: []string{}}
	if len(v.timers) > 0 {
		s.Next = v.timers[0].due
	}
	for h := range v.holds {
		s.Running = append(s.Running, h.what)
	}
	slices.Sort(s.Running)
	if v.failed != nil {
		s.Failed = v.failed.Error()
	}
	return s
}

// timer is a call to come; at is -1 once it is out of the heap.
type timer struct {
	due   time.Time
	order uint64
	lazy  bool
	f     func()
	at    int
}

// timers is a heap, the next due first.
type timers []*timer

func (t timers) Len() int { return len(t) }

func (t timers) Less(i, j int) bool {
	if t[i].due.Equal(t[j].due) {
		return t[i].order < t[j].order
	}
	return t[i].due.Before(t[j].due)
}

func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].at, t[j].at = i, j
}

// Push is heap.Interface's.
func (t *timers) Push(x any) {
	one := x.(*timer)
	one.at = len(*t)
	*t = append(*t, one)
}

// Pop is heap.Interface's.
func (t *timers) Pop() any {
	last := len(*t) - 1
	one := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	one.at = -1
	return one
}
