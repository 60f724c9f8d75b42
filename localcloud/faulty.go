package localcloud

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/lambda"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// errCut is what a service sees of a call whose answer is lost.
var errCut = errors.New("the connection was closed before an answer came")

// serve answers a request, unless it meets a fault.
func (c *Cloud) serve(s *wire.Service, w http.ResponseWriter, r *http.Request, caller wire.Caller) {
	if c.faults == nil {
		s.ServeHTTP(w, r)
		return
	}
	process := c.lambda.Caller(r)
	at := faults.Match{Service: s.Name, Operation: s.OperationOf(r), Caller: callerName(caller)}
	if process != nil {
		at.Caller, at.Call = process.Function, process.Call
	}
	f := c.faults.Meet(faults.OnCall, at, process != nil)
	if f == nil {
		s.ServeHTTP(w, r)
		return
	}
	if f.After {
		s.ServeHTTP(&unheard{header: http.Header{}}, r.WithContext(context.WithoutCancel(r.Context())))
	}
	answerFault(f, s, w, r, process)
}

// answerFault is what the caller sees of a call that meets a fault.
func answerFault(f *faults.Fault, s *wire.Service, w http.ResponseWriter, r *http.Request, process *lambda.Process) {
	switch f.Do {
	case faults.Kill:
		process.Kill()
		panic(http.ErrAbortHandler)
	case faults.Cut:
		panic(http.ErrAbortHandler)
	}
	// A client that still sends would see its connection cut, and not the answer.
	_, _ = io.Copy(io.Discard, r.Body)
	s.WriteError(w, r, f.Err(s.Name))
}

// callFault is serve for the calls of services among each other.
func (c *Cloud) callFault(ctx context.Context, service, operation string, call func() ([]byte, error)) ([]byte, error) {
	f := c.faults.Meet(faults.OnCall, faults.Match{Service: service, Operation: operation, Caller: callerName(wire.CallerFrom(ctx))}, false)
	if f == nil {
		return call()
	}
	if f.After {
		if _, err := call(); err != nil {
			return nil, err
		}
	}
	if f.Do == faults.Cut {
		return nil, errCut
	}
	return nil, f.Err(service)
}

// callerName is how faults name a caller: a role by its name, a service by its
// principal, the account's owner as root.
func callerName(c wire.Caller) string {
	switch {
	case c.RoleARN != "":
		return c.RoleARN[strings.LastIndex(c.RoleARN, "/")+1:]
	case c.Service != "":
		return c.Service
	case c.Root():
		return "root"
	}
	return ""
}

// unheard takes an answer that nobody gets.
type unheard struct{ header http.Header }

func (u *unheard) Header() http.Header         { return u.header }
func (u *unheard) Write(p []byte) (int, error) { return len(p), nil }
func (u *unheard) WriteHeader(int)             {}
