// Package inorder spreads a sequence of work over all CPUs and takes the results
// in the order of the sequence, in memory that does not depend on its length.
package inorder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// Threads is how many goroutines work at once.
func Threads() int { return max(1, runtime.GOMAXPROCS(0)) }

// Do fills items by next, one after the other, until it says io.EOF or ctx ends;
// works on several at once; and folds them in the order in which they were filled.
// There are a few items, which are used again and again; create makes one. Each of
// the functions may end it all by an error, which for fold is ErrStop when all is
// well. A panic in work is an error.
func Do[T any](ctx context.Context, create func() *T, next, work, fold func(*T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	threads := Threads()
	slots := threads + 2
	free, todo, queue := make(chan *item[T], slots), make(chan *item[T], slots), make(chan *item[T], slots)
	for range slots {
		free <- &item[T]{value: create()}
	}
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	var broken error
	wait.Go(func() {
		broken = fill(ctx, next, free, todo, queue)
		close(todo)
		close(queue)
	})
	for range threads {
		wait.Go(func() {
			for t := range todo {
				t.run(work)
			}
		})
	}
	for t := range queue {
		<-t.done
		if t.err == nil {
			t.err = fold(t.value)
		}
		if errors.Is(t.err, ErrStop) {
			return nil
		}
		if t.err != nil {
			return t.err
		}
		free <- t
	}
	if errors.Is(broken, io.EOF) {
		return nil
	}
	return broken
}

// ErrStop is what fold says when it needs no more.
var ErrStop = errors.New("no more is needed")

// item is a piece of work on its way.
type item[T any] struct {
	value *T
	done  chan struct{}
	err   error
}

func fill[T any](ctx context.Context, next func(*T) error, free, todo, queue chan *item[T]) error {
	for {
		var t *item[T]
		select {
		case t = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := next(t.value); err != nil {
			return err
		}
		t.done, t.err = make(chan struct{}), nil
		todo <- t // there is room: there are no more items than places
		queue <- t
	}
}

func (t *item[T]) run(work func(*T) error) {
	defer close(t.done)
	defer func() {
		if fault := recover(); fault != nil {
			t.err = fmt.Errorf("work failed: %v", fault)
		}
	}()
	t.err = work(t.value)
}
