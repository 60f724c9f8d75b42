package lambda_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/lambda"
)

// TestKilledInvocations: a process dies before it has done anything, or when it
// has done all but answer. Lambda calls it an error and, when asynchronous, tries
// again.
func TestKilledInvocations(t *testing.T) {
	for name, tt := range map[string]struct {
		after bool
		done  int // how often the work is done for one event
	}{"before": {false, 1}, "after": {true, 2}} {
		t.Run(name, func(t *testing.T) {
			laid := faults.New(slog.New(slog.DiscardHandler))
			c := open(t, func(o *lambda.Options) { o.Faults = laid })
			c.create(t, "f", nil)
			if _, err := laid.Put(faults.Fault{ID: "kill", On: faults.OnInvocation, Match: faults.Match{Function: "f"}, Do: faults.Kill, After: tt.after, Count: 2}); err != nil {
				t.Fatal(err)
			}
			out := c.invoke(t, "f", `{"do":"echo"}`)
			var failure struct{ ErrorType, ErrorMessage string }
			if err := json.Unmarshal(out.Payload, &failure); err != nil || out.FunctionError == nil || failure.ErrorType != "Runtime.ExitError" || !strings.Contains(failure.ErrorMessage, "signal: killed") {
				t.Errorf("the caller sees %s, %v", out.Payload, err)
			}
			mark := filepath.Join(t.TempDir(), "mark")
			c.send(t, "f", `{"do":"touch","text":"`+mark+`"}`)
			awaitTrue(t, "the event to be done again", func() bool { return len(lines(mark)) == tt.done })
			if out := c.invoke(t, "f", `{"do":"echo","text":"well"}`); out.FunctionError != nil {
				t.Errorf("without a fault: %s", out.Payload)
			}
			if h, err := laid.Get("kill"); err != nil || h.Hits != 2 {
				t.Errorf("the fault is %+v, %v", h, err)
			}
			if n := len(lines(mark)); n != tt.done {
				t.Errorf("the work was done %d times, want %d", n, tt.done)
			}
		})
	}
}

// TestCallsAreCounted: each call is told by the invocation that makes it, and its
// process can be killed there.
func TestCallsAreCounted(t *testing.T) {
	var c *cloud
	var mu sync.Mutex
	var calls []int
	kill := 0
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p := c.Caller(r)
		if p == nil || p.Function != "f" {
			t.Errorf("the caller is %+v", p)
			return
		}
		mu.Lock()
		calls = append(calls, p.Call)
		die := kill == p.Call
		mu.Unlock()
		if die {
			p.Kill()
		}
	}))
	defer server.Close()
	c = open(t, func(o *lambda.Options) { o.Endpoint = func() string { return server.URL } })
	c.create(t, "f", nil)
	for range 2 {
		if out := c.invoke(t, "f", `{"do":"call","size":3}`); out.FunctionError != nil {
			t.Fatalf("%s", out.Payload)
		}
	}
	mu.Lock()
	kill = 2
	mu.Unlock()
	if out := c.invoke(t, "f", `{"do":"call","size":3}`); out.FunctionError == nil || !strings.Contains(string(out.Payload), "signal: killed") {
		t.Errorf("the killed function answers %s", out.Payload)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []int{1, 2, 3, 1, 2, 3, 1, 2}; !slices.Equal(calls, want) {
		t.Errorf("calls are %v, want %v", calls, want)
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, header := range []string{"", "Root=1-00000000-000000000000000000000000", "nonsense"} {
		r.Header.Set("X-Amzn-Trace-Id", header)
		if p := c.Caller(r); p != nil {
			t.Errorf("the caller by %q is %+v", header, p)
		}
	}
}
