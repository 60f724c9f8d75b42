package lambda

import (
	"net/http"
	"strings"
)

// Process is a function's process at work on an invocation.
type Process struct {
	Function string // name
	Call     int    // which call of the invocation this is, from 1
	inst     *instance
}

// Kill ends the process, and with it the invocation.
func (p *Process) Kill() {
	p.inst.kill()
	<-p.inst.exited
}

// Caller finds the process that makes a call, and counts the call; nil when it
// is none. The SDKs put the trace id of the invocation into every request.
func (l *Lambda) Caller(r *http.Request) *Process {
	for part := range strings.SplitSeq(r.Header.Get("X-Amzn-Trace-Id"), ";") {
		root, ok := strings.CutPrefix(part, "Root=")
		if !ok {
			continue
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		inv := l.traces[root]
		if inv == nil {
			return nil
		}
		inv.calls++
		return &Process{Function: inv.inst.fn.name(), Call: inv.calls, inst: inv.inst}
	}
	return nil
}

// trace notes which invocation a trace id is of.
func (l *Lambda) trace(inv *invocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.traces[inv.root] = inv
}

// untrace forgets an invocation that has ended.
func (l *Lambda) untrace(inv *invocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.traces, inv.root)
}
