package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrFull says that something could not be written because there is no room:
// the disk is full, a quota is used up, or a file may not become larger. Nothing
// of it was written; there is nothing to repair but to make room.
var ErrFull = errors.New("the disk is full")

// WhenFull makes an error that is about room an ErrFull.
func WhenFull(err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) && !errors.Is(err, ErrFull) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}
	return err
}

// watch tells when a file's disk becomes full, and when there is room again.
type watch struct {
	log  *slog.Logger
	path string
	full atomic.Bool
}

func (w *watch) wrote(err error) {
	switch full := errors.Is(err, ErrFull); {
	case full && w.full.CompareAndSwap(false, true):
		w.log.Error("the disk is full: what asks to be kept is refused, and what runs waits (make room, and it goes on)", "file", w.path, "error", err)
	case err == nil && w.full.CompareAndSwap(true, false):
		w.log.Warn("there is room on the disk again", "file", w.path)
	}
}

// patience is how long a patient write waits for room before it looks again.
const patience = 200 * time.Millisecond

// Patient is the table for what has happened already and must not be forgotten:
// its writes wait while the disk is full, until there is room or ctx ends. What
// was asked for by a client does better to fail.
func (t *Table[T]) Patient(ctx context.Context) *Table[T] {
	p := *t
	p.wait = ctx
	return &p
}

// again waits before a write that found the disk full is tried once more; it
// gives false when it is not to be.
func (t *Table[T]) again(err error) bool {
	if t.wait == nil || !errors.Is(err, ErrFull) {
		return false
	}
	select {
	case <-t.wait.Done():
		return false
	case <-time.After(patience):
		return true
	}
}
