// Package localcloud is an AWS cloud in one process: one loopback port, the
// services that the pipeline's stack uses, and their state in one folder. It
// knows nothing of the pipeline: it deploys a template, and from then on
// behaves as AWS does for what is in it.
//
// The services do not know one another. What they need of each other is handed
// to them here, as plain functions: Call runs an operation of any service for
// the caller in the context, Emit puts an event onto the default bus.
package localcloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/iam"
	"github.com/millrace-ml/millrace/localcloud/lambda"
	"github.com/millrace-ml/millrace/localcloud/logs"
	"github.com/millrace-ml/millrace/localcloud/s3"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Options say what the cloud is.
type Options struct {
	Dir       string      // state folder; made when it is not there
	Ephemeral bool        // instead of Dir: a new folder that Close removes
	Account   string      // 12 digits; 000000000000 when empty
	Region    string      // us-east-1 when empty
	Clock     clock.Clock // clock.Real when nil; one that is clock.Kept goes on in Dir where it was
	Log       *slog.Logger
	Images    map[string]string               // repository name of an image URI → path of the program that it is here
	Faults    bool                            // things can be made to go wrong, by faults.Path
	Around    func(http.Handler) http.Handler // sees what Serve receives and answers; nil for none
}

// ErrInUse says that another cloud has the state folder.
var ErrInUse = store.ErrInUse

// Cloud is the whole of it.
type Cloud struct {
	o        Options
	log      *slog.Logger
	dir      string
	endpoint atomic.Value // string
	store    *store.Store
	iam      *iam.IAM
	s3       *s3.S3
	logs     *logs.Logs
	lambda   *lambda.Lambda
	faults   *faults.Set // nil unless Options.Faults
	services map[string]*wire.Service
	emit     func(ctx context.Context, source, detailType string, resources []string, detail any)
	// jobChanged wakes the executions that wait for a job.
	jobChanged func(arn string)
	starts     []func(context.Context) error // in order, once there is an endpoint
	closers    []closer                      // in the order of opening
	started    atomic.Bool
	closed     atomic.Bool
	settled    func() // lets the clock jump, once all that an earlier run left is taken up
}

type closer struct {
	name  string
	close func() error
}

// New opens a cloud on its state folder. Serve, or Start, brings it to life.
func New(ctx context.Context, o Options) (_ *Cloud, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	setDefaults(&o)
	c := &Cloud{o: o, log: o.Log, dir: o.Dir, services: map[string]*wire.Service{}}
	if o.Faults {
		c.faults = faults.New(o.Log)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := c.openDir(); err != nil {
		return nil, err
	}
	if err := c.openClock(); err != nil {
		return nil, err
	}
	if err := c.openServices(); err != nil {
		return nil, fmt.Errorf("open local cloud in %s: %w", c.dir, err)
	}
	return c, nil
}

func setDefaults(o *Options) {
	if o.Account == "" {
		o.Account = "000000000000"
	}
	if o.Region == "" {
		o.Region = "us-east-1"
	}
	if o.Clock == nil {
		o.Clock = clock.Real{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// openDir takes hold of the state folder.
func (c *Cloud) openDir() (err error) {
	switch {
	case c.o.Ephemeral:
		if c.dir, err = os.MkdirTemp("", "millrace-"); err != nil {
			return fmt.Errorf("make ephemeral state folder: %w", err)
		}
		c.onClose("state folder", func() error { return os.RemoveAll(c.dir) })
	case c.dir == "":
		return errors.New("open local cloud: a state folder is needed, or Ephemeral")
	default:
		if c.dir, err = filepath.Abs(c.dir); err != nil {
			return fmt.Errorf("find state folder %s: %w", c.o.Dir, err)
		}
	}
	file := filepath.Join(c.dir, "state.db")
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(c.dir, "s3")); err == nil {
			return fmt.Errorf("open local cloud: %s is missing, though the folder has other state (put back a copy of it, or move the folder away to begin anew)", file)
		}
	}
	c.store, err = store.Open(file, store.Options{NoSync: c.o.Ephemeral, Log: c.log})
	if errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("state folder %s is in use by another local cloud: stop that one, or choose another folder: %w", c.dir, err)
	}
	if err != nil {
		return err
	}
	c.onClose("state", c.store.Close)
	return nil
}

func (c *Cloud) onClose(name string, f func() error) {
	c.closers = append(c.closers, closer{name, f})
}

// add puts a service into the routing table.
func (c *Cloud) add(s *wire.Service) {
	if _, dup := c.services[s.Name]; dup {
		panic("localcloud: service given twice: " + s.Name)
	}
	c.services[s.Name] = s
}

// Services names the services, sorted.
func (c *Cloud) Services() []string {
	return slices.Sorted(maps.Keys(c.services))
}

// Dir is the state folder.
func (c *Cloud) Dir() string { return c.dir }

// Endpoint is the URL at which the cloud is reached; "" before Start.
func (c *Cloud) Endpoint() string {
	url, _ := c.endpoint.Load().(string)
	return url
}

// Call runs an operation of a service, by its SigV4 name, on JSON input. The
// caller is in ctx.
func (c *Cloud) Call(ctx context.Context, service, operation string, input []byte) ([]byte, error) {
	s, ok := c.services[service]
	if !ok {
		c.log.Error("service not supported by the local cloud", "service", service, "operation", operation)
		return nil, &wire.Error{Code: "UnknownOperationException", Message: fmt.Sprintf("the local cloud does not have the service %q", service)}
	}
	if c.faults == nil {
		return s.Call(ctx, operation, input)
	}
	return c.callFault(ctx, service, operation, func() ([]byte, error) { return s.Call(ctx, operation, input) })
}

// Serves tells whether an operation exists.
func (c *Cloud) Serves(service, operation string) bool {
	s, ok := c.services[service]
	if !ok {
		return false
	}
	_, ok = s.Ops[operation]
	return ok
}

// Members names the members of an operation's input; nil when it does not exist.
func (c *Cloud) Members(service, operation string) []string {
	if !c.Serves(service, operation) {
		return nil
	}
	return c.services[service].Ops[operation].Members()
}

// Emit puts an event of a service onto the default event bus.
func (c *Cloud) Emit(ctx context.Context, source, detailType string, resources []string, detail any) {
	if c.emit != nil {
		c.emit(ctx, source, detailType, resources, detail)
	}
	if c.jobChanged != nil && source == "aws.sagemaker" {
		for _, arn := range resources {
			c.jobChanged(arn)
		}
	}
}

// Start takes up what an earlier run left, now that the cloud can be reached at
// endpoint (http://127.0.0.1:PORT). Serve does it by itself.
func (c *Cloud) Start(ctx context.Context, endpoint string) error {
	if !c.started.CompareAndSwap(false, true) {
		return errors.New("start local cloud: it is started already")
	}
	c.endpoint.Store(endpoint)
	for _, start := range c.starts {
		if err := start(ctx); err != nil {
			return fmt.Errorf("start local cloud: %w", err)
		}
	}
	c.settled()
	return nil
}

// Within which a stopped cloud lets requests end, and its services.
const (
	drainWithin = 2 * time.Second
	closeWithin = 5 * time.Second
)

// Serve answers on a loopback listener until ctx ends, which is no error. It
// closes the listener; Close is still to be called.
func (c *Cloud) Serve(ctx context.Context, l net.Listener) error {
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok || !addr.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("serve local cloud on %s: it serves loopback addresses only, since its credentials are known to all", l.Addr()), l.Close())
	}
	handler := http.Handler(c)
	if c.o.Around != nil {
		handler = c.o.Around(c)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := c.Start(ctx, "http://"+addr.String()); err != nil && ctx.Err() == nil { // told to stop while it starts: it stops as ever
		return errors.Join(err, server.Close())
	}
	select {
	case err := <-served:
		return fmt.Errorf("serve local cloud: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		// Long polls do not end by themselves.
		return server.Close()
	}
	return nil
}

// Close ends all processes and lets go of the state folder.
func (c *Cloud) Close() error {
	if !c.closed.CompareAndSwap(false, true) {
		return nil
	}
	clock.Hold(context.Background(), c.o.Clock, "the cloud closes")
	late := time.AfterFunc(closeWithin, func() { c.log.Warn("the local cloud takes long to close") })
	defer late.Stop()
	var errs []error
	for _, cl := range slices.Backward(c.closers) {
		if err := cl.close(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", cl.name, err))
		}
	}
	return errors.Join(errs...)
}

var _ io.Closer = (*Cloud)(nil)
