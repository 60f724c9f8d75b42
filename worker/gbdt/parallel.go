package gbdt

import (
	"sync"
	"sync/atomic"
)

// crew is a fixed set of goroutines that share out numbered tasks.
type crew struct {
	threads int
	jobs    chan *job
	stopped sync.WaitGroup
}

type job struct {
	n    int64
	next atomic.Int64
	do   func(task int)
	done sync.WaitGroup
}

func (j *job) work() {
	for {
		i := j.next.Add(1) - 1
		if i >= j.n {
			return
		}
		j.do(int(i))
	}
}

// newCrew starts threads-1 goroutines; the caller of each is the last one.
func newCrew(threads int) *crew {
	c := &crew{threads: threads, jobs: make(chan *job)}
	for range threads - 1 {
		c.stopped.Go(func() {
			for j := range c.jobs {
				j.work()
				j.done.Done()
			}
		})
	}
	return c
}

// close ends the goroutines and waits for them.
func (c *crew) close() {
	close(c.jobs)
	c.stopped.Wait()
}

// each runs do(0) to do(n-1), in any order, and returns when all are done.
func (c *crew) each(n int, do func(task int)) {
	if c.threads == 1 || n <= 1 {
		for i := range n {
			do(i)
		}
		return
	}
	j := &job{n: int64(n), do: do}
	for range min(c.threads, n) - 1 {
		j.done.Add(1)
		c.jobs <- j
	}
	j.work()
	j.done.Wait()
}

// blocks is how many pieces of size rows make n rows.
func blocks(n, size int) int { return (n + size - 1) / size }
