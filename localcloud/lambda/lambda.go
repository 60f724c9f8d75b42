package lambda

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Objects reads code from S3.
type Objects interface {
	// Open opens an object version; versionID "" is the newest. It fails with
	// NoSuchKey or NoSuchBucket.
	Open(ctx context.Context, bucket, key, versionID string) (io.ReadCloser, int64, error)
}

// Options say what the service works with. Dir, Store and Clock are needed;
// the rest has defaults or may be absent in tests.
type Options struct {
	service.Base
	Dir string // folder for unpacked code and scratch space
	// Call runs an operation of another service (DLQs and destinations).
	Call    func(ctx context.Context, service, operation string, input []byte) ([]byte, error)
	Objects Objects
	// AssumeRole gives the credentials of a role for a process; its failure at
	// creation means that Lambda may not assume the role.
	AssumeRole func(roleARN, session, sourceARN string) (accessKey, secretKey, token string, err error)
	// LogWriter opens a log stream; a line written is an event.
	LogWriter func(group, stream string) io.WriteCloser
	// Endpoint is the URL at which processes reach the cloud; asked at each start.
	Endpoint func() string
	Faults   *faults.Set // nil: none

	Concurrency     int             // processes a function at most; default 10
	IdleAfter       time.Duration   // an idle process is stopped after this; default 5 minutes
	InitTimeout     time.Duration   // from start to the first request for work; default 10 s, as on AWS
	AsyncRetryWaits []time.Duration // before retry 1, 2, …; default 1 s, 2 s (AWS: 1 and 2 minutes)
}

// Lambda is the service.
type Lambda struct {
	o         Options
	functions *store.Table[function]
	queue     *store.Table[asyncEvent]
	svc       *wire.Service

	ctx    context.Context //nolint:containedctx // ends with Close; asynchronous work has no caller to take one from
	cancel context.CancelFunc
	wg     sync.WaitGroup
	spawn  *spawner

	mu     sync.Mutex
	pools  map[string]*pool
	timers map[string]func() bool // waiting asynchronous events, by id
	traces map[string]*invocation // under way, by the root of their trace
	closed bool
}

// New opens the service on its state; Resume takes up what was queued.
func New(o Options) (*Lambda, error) {
	setDefaults(&o)
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find folder %s: %w", o.Dir, err)
	}
	o.Dir = dir
	for _, d := range []string{o.Dir, scratchRoot(o.Dir)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("create folder %s: %w", d, err)
		}
	}
	l := &Lambda{o: o, pools: map[string]*pool{}, timers: map[string]func() bool{}, traces: map[string]*invocation{}}
	if l.functions, err = store.NewTable[function](o.Store, "lambda/functions"); err != nil {
		return nil, err
	}
	if l.queue, err = store.NewTable[asyncEvent](o.Store, "lambda/async"); err != nil {
		return nil, err
	}
	if err := l.sweep(); err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.spawn = newSpawner()
	l.svc = l.operations()
	return l, nil
}

func setDefaults(o *Options) {
	if o.Concurrency <= 0 {
		o.Concurrency = 10
	}
	if o.IdleAfter <= 0 {
		o.IdleAfter = 5 * time.Minute
	}
	if o.InitTimeout <= 0 {
		o.InitTimeout = 10 * time.Second
	}
	if len(o.AsyncRetryWaits) == 0 {
		o.AsyncRetryWaits = []time.Duration{time.Second, 2 * time.Second}
	}
}

// Wire is the service's table of operations.
func (l *Lambda) Wire() *wire.Service { return l.svc }

// Close stops every process and all asynchronous work; queued events stay in
// the store for the next start.
func (l *Lambda) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	pools := l.pools
	for _, stop := range l.timers {
		stop()
	}
	l.mu.Unlock()
	l.cancel()
	for _, p := range pools {
		p.close()
	}
	l.wg.Wait()
	l.spawn.close()
	return nil
}

// goRun runs f, which holds the clock, unless the service is closed; Close
// waits for it.
func (l *Lambda) goRun(what string, f func(context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	l.wg.Add(1)
	ctx, release := clock.Hold(l.ctx, l.o.Clock, what)
	go func() {
		defer l.wg.Done()
		defer release()
		f(ctx)
	}()
}

func (l *Lambda) operations() *wire.Service {
	s := &wire.Service{Name: "lambda", Protocol: wire.RESTJSON, Log: l.o.Log, Model: model.Of("lambda")}
	s.Add(
		wire.Op("CreateFunction", l.createFunction),
		wire.Op("UpdateFunctionCode", l.updateFunctionCode),
		wire.Op("UpdateFunctionConfiguration", l.updateFunctionConfiguration),
		wire.Op("GetFunction", l.getFunction),
		wire.Op("GetFunctionConfiguration", l.getFunctionConfiguration),
		wire.Op("ListFunctions", l.listFunctions),
		wire.Op("DeleteFunction", l.deleteFunction),
		wire.Op("Invoke", l.invoke),
		wire.Op("AddPermission", l.addPermission),
		wire.Op("RemovePermission", l.removePermission),
		wire.Op("GetPolicy", l.getPolicy),
		wire.Op("PutFunctionEventInvokeConfig", l.putEventInvokeConfig),
		wire.Op("UpdateFunctionEventInvokeConfig", l.updateEventInvokeConfig),
		wire.Op("GetFunctionEventInvokeConfig", l.getEventInvokeConfig),
		wire.Op("DeleteFunctionEventInvokeConfig", l.deleteEventInvokeConfig),
		wire.Op("PutFunctionConcurrency", l.putConcurrency),
		wire.Op("GetFunctionConcurrency", l.getConcurrency),
		wire.Op("DeleteFunctionConcurrency", l.deleteConcurrency),
		wire.Op("TagResource", l.tagResource),
		wire.Op("UntagResource", l.untagResource),
		wire.Op("ListTags", l.listTags),
	)
	mux := l.rest(s)
	s.REST = mux
	s.RESTOperation = func(r *http.Request) string {
		h, _ := mux.Handler(r)
		of, _ := h.(named)
		return of.operation
	}
	return s
}

// allow checks the caller's policy: every operation names its own action and
// resource, since Invoke's action is not its operation's name.
func (l *Lambda) allow(ctx context.Context, action, resource string) error {
	if l.o.Authorize == nil {
		return nil
	}
	return l.o.Authorize(ctx, action, resource)
}

func status(code int, name, format string, args ...any) *wire.Error {
	return &wire.Error{Code: name, Status: code, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) *wire.Error {
	return status(http.StatusBadRequest, "InvalidParameterValueException", format, args...)
}
