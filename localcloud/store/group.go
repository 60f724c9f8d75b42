package store

import (
	"errors"
	"fmt"
	"sync"

	"go.etcd.io/bbolt"
)

// ErrClosed says that the file was closed.
var ErrClosed = errors.New("state is closed")

// Group runs the writes of a bbolt file one after the other; those that wait at
// the same time share one transaction, and so one flush to the disk.
type Group struct {
	file   *File
	queue  chan *write
	once   sync.Once
	closed chan struct{}
	done   chan struct{}
}

type write struct {
	f     func(tx *bbolt.Tx) error
	err   error
	panic any
	ready chan struct{}
}

// maxGroup is how many writes may share a transaction.
const maxGroup = 256

// NewGroup starts to serve writes; Close ends it, and not the file.
func NewGroup(file *File) *Group {
	g := &Group{file: file, queue: make(chan *write, maxGroup), closed: make(chan struct{}), done: make(chan struct{})}
	go g.run()
	return g
}

// Close lets the write under way end and refuses others; once more is nothing.
func (g *Group) Close() {
	g.once.Do(func() { close(g.closed) })
	<-g.done
}

// Update runs f in a write transaction and returns once that is on disk. f must
// check before it writes: an error of f means that it wrote nothing, and undoes
// nothing of others.
func (g *Group) Update(f func(tx *bbolt.Tx) error) error {
	w := &write{f: f, ready: make(chan struct{})}
	select {
	case <-g.closed:
		return ErrClosed
	case g.queue <- w:
	}
	select {
	case <-w.ready:
	case <-g.done:
		select {
		case <-w.ready:
		default:
			return ErrClosed
		}
	}
	if w.panic != nil {
		panic(w.panic)
	}
	return w.err
}

func (g *Group) run() {
	defer close(g.done)
	for {
		select {
		case w := <-g.queue:
			g.flush(g.waiting(w))
		case <-g.closed:
			return
		}
	}
}

// waiting collects the writes that wait now.
func (g *Group) waiting(first *write) []*write {
	ws := []*write{first}
	for len(ws) < maxGroup {
		select {
		case w := <-g.queue:
			ws = append(ws, w)
		default:
			return ws
		}
	}
	return ws
}

func (g *Group) flush(ws []*write) {
	err := g.file.Update(func(tx *bbolt.Tx) error {
		for _, w := range ws {
			w.run(tx)
		}
		return nil
	})
	err = WhenFull(err)
	g.file.watch.wrote(err)
	for _, w := range ws {
		if err != nil && w.err == nil {
			w.err = fmt.Errorf("write state: %w", err)
		}
		close(w.ready)
	}
}

// run keeps a panic of f for who called it.
func (w *write) run(tx *bbolt.Tx) {
	defer func() { w.panic = recover() }()
	w.err = w.f(tx)
}
