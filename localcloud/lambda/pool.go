package lambda

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func isService(ctx context.Context) bool { return wire.CallerFrom(ctx).Service != "" }

// pool holds the processes of one function.
type pool struct {
	slots chan struct{} // one per process that may work at the same time

	mu      sync.Mutex
	idle    []*instance
	all     map[*instance]bool
	running int
	current string // revision of the newest process started
	closed  bool
}

func (l *Lambda) poolOf(name string) (*pool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, status(http.StatusServiceUnavailable, "ServiceException", "the local cloud is stopping")
	}
	p := l.pools[name]
	if p == nil {
		p = &pool{slots: make(chan struct{}, l.o.Concurrency), all: map[*instance]bool{}}
		l.pools[name] = p
	}
	return p, nil
}

// acquire finds a warm process of f's revision or starts one, waiting while all
// slots are busy. Without a process it gives the failure that the function's
// caller sees, or an error when the function was not tried.
func (p *pool) acquire(ctx context.Context, l *Lambda, f *function, requestID string) (*instance, *result, error) {
	if err := p.reserve(f); err != nil {
		return nil, nil, err
	}
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		p.unreserve()
		return nil, nil, ctx.Err()
	case <-l.ctx.Done():
		p.unreserve()
		return nil, nil, status(http.StatusServiceUnavailable, "ServiceException", "the local cloud is stopping")
	}
	if inst := p.warm(f.Deployed); inst != nil {
		return inst, nil, nil
	}
	inst, failure, err := l.start(f, requestID)
	if inst == nil {
		p.free()
		return nil, failure, err
	}
	p.mu.Lock()
	closed := p.closed
	p.all[inst] = true
	p.current = f.Deployed
	p.mu.Unlock()
	if closed {
		p.release(inst, false)
		return nil, nil, status(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s", f.arn())
	}
	return inst, nil, nil
}

// reserve counts an invocation against the function's reserved concurrency.
func (p *pool) reserve(f *function) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.Reserved != nil && p.running >= int(aws.ToInt32(f.Reserved)) {
		return status(http.StatusTooManyRequests, "TooManyRequestsException", "Rate Exceeded. (ReservedFunctionConcurrentInvocationLimitExceeded: %d)", *f.Reserved)
	}
	p.running++
	return nil
}

func (p *pool) unreserve() {
	p.mu.Lock()
	p.running--
	p.mu.Unlock()
}

func (p *pool) free() {
	<-p.slots
	p.unreserve()
}

// warm takes the idle process used last, so that surplus ones grow old and stop.
func (p *pool) warm(revision string) *instance {
	var stale []*instance
	defer func() {
		for _, i := range stale {
			i.stop()
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.idle) > 0 {
		inst := p.idle[len(p.idle)-1]
		p.idle = p.idle[:len(p.idle)-1]
		inst.idleTimer.Stop()
		if inst.revision == revision && inst.alive() {
			return inst
		}
		delete(p.all, inst)
		stale = append(stale, inst)
	}
	return nil
}

// release takes a process back after its invocation; an unhealthy or outdated one is stopped.
func (p *pool) release(inst *instance, healthy bool) {
	p.mu.Lock()
	keep := healthy && !p.closed && inst.alive() && inst.revision == p.current
	if keep {
		inst.idleTimer = time.AfterFunc(inst.l.o.IdleAfter, func() { p.expire(inst) })
		p.idle = append(p.idle, inst)
	} else {
		delete(p.all, inst)
	}
	p.mu.Unlock()
	if !keep {
		inst.stop()
	}
	p.free()
}

func (p *pool) expire(inst *instance) {
	p.mu.Lock()
	i := slices.Index(p.idle, inst)
	if i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
		delete(p.all, inst)
	}
	p.mu.Unlock()
	if i >= 0 {
		inst.stop()
	}
}

// retire stops the idle processes of a function that was changed; busy ones
// stop when they are done.
func (l *Lambda) retire(name string) {
	l.mu.Lock()
	p := l.pools[name]
	l.mu.Unlock()
	if p == nil {
		return
	}
	p.mu.Lock()
	idle := p.idle
	p.idle, p.current = nil, ""
	for _, i := range idle {
		i.idleTimer.Stop()
		delete(p.all, i)
	}
	p.mu.Unlock()
	for _, i := range idle {
		i.stop()
	}
}

// close kills every process of the function, busy or not.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.idle = nil
	var all []*instance
	for i := range p.all {
		all = append(all, i)
	}
	p.mu.Unlock()
	for _, i := range all {
		i.stop()
	}
}

// Processes counts the living processes of a function.
func (l *Lambda) Processes(function string) int {
	l.mu.Lock()
	p := l.pools[function]
	l.mu.Unlock()
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for i := range p.all {
		if i.alive() {
			n++
		}
	}
	return n
}

func errorPayload(kind, format string, args ...any) []byte {
	raw, err := wire.EncodeJSON(map[string]string{"errorType": kind, "errorMessage": fmt.Sprintf(format, args...)}, false)
	if err != nil {
		return []byte(`{"errorType":"Runtime.Unknown"}`)
	}
	return raw
}
