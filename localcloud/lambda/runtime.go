package lambda

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/localcloud/faults"
)

// runtimeAPI is Lambda's Runtime API, version 2018-06-01, for one process: not for a
// page in a browser, which could reach its address too, and take an event away.
func (i *instance) runtimeAPI(address string) http.Handler {
	mux := http.NewServeMux()
	const v = "/2018-06-01/runtime"
	mux.HandleFunc("GET "+v+"/invocation/next", i.serveNext)
	mux.HandleFunc("POST "+v+"/invocation/{id}/response", i.serveResponse)
	mux.HandleFunc("POST "+v+"/invocation/{id}/error", i.serveError)
	mux.HandleFunc("POST "+v+"/init/error", i.serveInitError)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header; r.Host != address || h.Get("Origin") != "" || h.Get("Sec-Fetch-Site") != "" {
			answer(w, http.StatusForbidden, "Forbidden", "The Runtime API is for the function's process alone")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (i *instance) serveNext(w http.ResponseWriter, r *http.Request) {
	i.readyOnce.Do(func() { close(i.ready) })
	var inv *invocation
	select {
	case inv = <-i.work:
	case <-i.exited:
		return
	case <-r.Context().Done():
		return
	}
	now := time.Now() // the machine's, which the process holds its deadline against
	inv.root = fmt.Sprintf("1-%08x-%024x", now.Unix(), now.UnixNano())
	inv.fault = i.l.o.Faults.Meet(faults.OnInvocation, faults.Match{Function: i.fn.name()}, true)
	i.mu.Lock()
	i.current = inv
	i.mu.Unlock()
	i.l.trace(inv)
	i.logs.invocationStarts(inv.id)
	inv.taken <- now
	if inv.fault != nil && !inv.fault.After {
		i.kill()
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(now.Add(i.fn.timeout()).UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", i.fn.arn())
	h.Set("Lambda-Runtime-Trace-Id", fmt.Sprintf("Root=%s;Parent=%016x;Sampled=0", inv.root, now.UnixNano()))
	if inv.clientContext != "" {
		h.Set("Lambda-Runtime-Client-Context", inv.clientContext)
	}
	_, _ = w.Write(inv.payload)
}

// finish ends the current invocation if id names it.
func (i *instance) finish(w http.ResponseWriter, id string, res result) {
	i.mu.Lock()
	inv := i.current
	if inv != nil && inv.id == id {
		i.current = nil
	}
	i.mu.Unlock()
	if inv != nil && inv.id == id && inv.fault != nil {
		i.kill() // its answer is not taken
		return
	}
	if inv == nil || inv.id != id {
		answer(w, http.StatusBadRequest, "InvalidRequestID", "Invalid request ID")
		return
	}
	inv.done <- res
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func (i *instance) serveResponse(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxResponse+1))
	switch {
	case err != nil:
		answer(w, http.StatusBadRequest, "RequestError", err.Error())
	case len(body) > maxResponse:
		const kind = "Function.ResponseSizeTooLarge"
		i.logs.line(fmt.Sprintf("LAMBDA_RUNTIME Failed to post handler success response. Http response code: 413. Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse))
		i.finish(w, r.PathValue("id"), result{failed: true, kind: kind,
			payload: errorPayload(kind, "Response payload size exceeded maximum allowed payload size (%d bytes).", maxResponse)})
	default:
		i.finish(w, r.PathValue("id"), result{payload: body})
	}
}

func (i *instance) serveError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSyncPayload))
	if err != nil || !json.Valid(body) {
		body = errorPayload("Runtime.Unknown", "Unknown application error occurred")
	}
	i.finish(w, r.PathValue("id"), result{failed: true, payload: body})
}

func (i *instance) serveInitError(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSyncPayload))
	if err != nil || !json.Valid(body) {
		body = errorPayload("Runtime.Unknown", "Unknown application error occurred during init")
	}
	i.mu.Lock()
	i.initError = body
	i.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`)
}

func answer(w http.ResponseWriter, code int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(errorPayload(kind, "%s", message))
}

// invoke gives one request to the process and waits for its end. healthy tells
// whether the process may take another.
func (i *instance) invoke(req request) (res result, healthy bool) {
	inv := &invocation{request: req, inst: i, taken: make(chan time.Time, 1), done: make(chan result, 1)}
	limit := i.fn.timeout()
	handover := time.NewTimer(limit)
	defer handover.Stop()
	select {
	case i.work <- inv:
	case <-i.exited:
		return result{untaken: true}, false
	case <-handover.C: // alive, but it never came back for work
		return result{untaken: true}, false
	}
	began := <-inv.taken
	defer i.l.untrace(inv)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	state := report{memory: aws.ToInt32(i.fn.Config.MemorySize), billed: true}
	select {
	case res = <-inv.done:
		healthy = true
	case <-i.exited:
		select {
		case res = <-inv.done: // answered, then ended
		default:
			res = result{failed: true, kind: "Runtime.ExitError",
				payload: errorPayload("Runtime.ExitError", "RequestId: %s Error: Runtime exited %s", req.id, exitReason(i.cmd))}
		}
	case <-timer.C:
		i.kill()
		<-i.exited
		res = result{failed: true, kind: "Sandbox.Timedout",
			payload: errorPayload("Sandbox.Timedout", "RequestId: %s Error: Task timed out after %.2f seconds", req.id, limit.Seconds())}
	}
	state.duration = time.Since(began)
	i.logs.drain()
	switch res.kind {
	case "Sandbox.Timedout":
		i.logs.line(fmt.Sprintf("%s %s Task timed out after %.2f seconds\n", i.l.o.Clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"), req.id, limit.Seconds()))
		state.status = "timeout"
		state.duration = limit
	case "Runtime.ExitError":
		i.logs.line(fmt.Sprintf("RequestId: %s Error: Runtime exited %s", req.id, exitReason(i.cmd)))
		state.status, state.kind = "error", res.kind
	case "":
	default:
		state.status, state.kind = "error", res.kind
	}
	if !i.served {
		i.served, state.init = true, i.initDuration
	}
	state.used = i.peakMemory()
	i.logs.invocationEnds(req.id, state)
	res.log = i.logs.tail()
	return res, healthy
}
