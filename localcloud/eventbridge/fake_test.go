package eventbridge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"github.com/millrace-ml/millrace/localcloud/eventbridge"
	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// manualClock stands still until it is moved.
type manualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[int]manualTimer
	next   int
}

type manualTimer struct {
	at time.Time
	f  func()
}

func newClock() *manualClock {
	return &manualClock{now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), timers: map[int]manualTimer{}}
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.next
	c.next++
	c.timers[id] = manualTimer{c.now.Add(d), f}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.timers[id]
		delete(c.timers, id)
		return ok
	}
}

// waiting is how many timers are set.
func (c *manualClock) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers)
}

// advance moves the clock and runs what is due, in order.
func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	c.mu.Unlock()
	for {
		c.mu.Lock()
		var due []int
		for id, t := range c.timers {
			if !t.at.After(end) {
				due = append(due, id)
			}
		}
		if len(due) == 0 {
			c.now = end
			c.mu.Unlock()
			return
		}
		sort.Slice(due, func(i, j int) bool {
			a, b := c.timers[due[i]], c.timers[due[j]]
			return a.at.Before(b.at) || a.at.Equal(b.at) && due[i] < due[j]
		})
		t := c.timers[due[0]]
		delete(c.timers, due[0])
		if t.at.After(c.now) {
			c.now = t.at
		}
		c.mu.Unlock()
		t.f()
	}
}

// called is a call that EventBridge made.
type called struct {
	Service, Operation string
	Input              map[string]any
	Caller             wire.Caller
}

// cloud is the rest of the cloud: it notes calls and answers as told.
type cloud struct {
	calls  chan called
	mu     sync.Mutex
	answer func(c called) error
}

func (f *cloud) Call(ctx context.Context, service, operation string, input []byte) ([]byte, error) {
	c := called{Service: service, Operation: operation, Caller: wire.CallerFrom(ctx)}
	if err := json.Unmarshal(input, &c.Input); err != nil {
		return nil, err
	}
	f.mu.Lock()
	answer := f.answer
	f.mu.Unlock()
	var err error
	if answer != nil {
		err = answer(c)
	}
	f.calls <- c
	return []byte("{}"), err
}

func (f *cloud) answers(g func(c called) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = g
}

func (f *cloud) wait(t testing.TB) called {
	t.Helper()
	select {
	case c := <-f.calls:
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was called")
		return called{}
	}
}

func (f *cloud) none(t testing.TB) {
	t.Helper()
	select {
	case c := <-f.calls:
		t.Fatalf("called %+v", c)
	default:
	}
}

// rig is EventBridge behind a real HTTP server with the real client.
type rig struct {
	*eventbridge.EventBridge
	client *eb.Client
	cloud  *cloud
	clock  *manualClock
	dir    string
	store  *store.Store
	ids    int
	url    string
	faults *faults.Set
}

func newRig(t testing.TB) *rig {
	r := &rig{faults: faults.New(slog.New(slog.DiscardHandler)), clock: newClock(), cloud: &cloud{calls: make(chan called, 10_000)}, dir: t.TempDir()}
	r.open(t, true)
	return r
}

func (r *rig) open(t testing.TB, start bool) {
	t.Helper()
	st, err := store.Open(filepath.Join(r.dir, "state.db"), store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	s, err := eventbridge.New(eventbridge.Options{Base: service.Base{Account: "000000000000", Region: "us-east-1", Clock: r.clock, Store: st, Log: slog.New(slog.DiscardHandler)}, Call: r.cloud.Call, Faults: r.faults,
		NewID: func() string {
			mu.Lock()
			defer mu.Unlock()
			r.ids++
			return fmt.Sprintf("00000000-0000-4000-8000-%012d", r.ids)
		}, Jitter: func() float64 { return 1 }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.Wire())
	r.EventBridge, r.store, r.url = s, st, server.URL
	r.client = eb.New(eb.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL), Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), RetryMaxAttempts: 3})
	t.Cleanup(func() { server.Close(); r.close(t) })
	if start {
		s.Start()
	}
}

func (r *rig) close(t testing.TB) {
	t.Helper()
	if err := r.EventBridge.Close(); err != nil {
		t.Error(err)
	}
	_ = r.store.Close()
}

// must fails the test on an error.
func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
