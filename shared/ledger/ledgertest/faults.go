// Package ledgertest is an S3 in memory, with versions and exact conditional
// writes, and a source of faults: what tests of the ledger and of everything
// above it stand on. No program links it.
package ledgertest

import (
	"errors"
	"sync"
)

// ErrFault is what a call that met a fault answers.
var ErrFault = errors.New("connection lost")

// Faults lets one call in a sequence fail, before or after it took effect: what
// a process meets that dies, or loses the answer, at that call. The zero value
// and nil let all calls pass. It may be used by several goroutines.
type Faults struct {
	At    int  // the call that fails, from 1; 0: none
	After bool // it took effect

	mu     sync.Mutex
	calls  int
	met    string
	paused bool
}

// Do makes a call that may meet the fault.
func (f *Faults) Do(name string, call func() error) error {
	if f == nil {
		return call()
	}
	f.mu.Lock()
	if f.paused {
		f.mu.Unlock()
		return call()
	}
	f.calls++
	hit := f.calls == f.At
	if hit {
		f.met = name
	}
	f.mu.Unlock()
	if !hit {
		return call()
	}
	if f.After {
		if err := call(); err != nil {
			return err
		}
	}
	return ErrFault
}

// Calls is how many calls were made.
func (f *Faults) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// Met is the call that failed; "" when none did.
func (f *Faults) Met() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met
}

// Paused does something without counting its calls: what a test itself looks up.
func (f *Faults) Paused(do func()) {
	f.mu.Lock()
	f.paused = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.paused = false
		f.mu.Unlock()
	}()
	do()
}
