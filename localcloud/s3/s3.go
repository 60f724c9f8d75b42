// Package s3 is the local cloud's S3: versitygw's gateway speaks the protocol,
// and a keeper of our own stores buckets, versions and objects in one folder, so
// that several clouds live in one process, conditional writes are exact, any key
// that S3 takes is taken, and any file system will do.
package s3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Options say where objects are kept and who may reach them.
type Options struct {
	Dir             string // folder of this service alone
	NoSync          bool   // do not wait for the disk: for state that is thrown away at the end
	Account, Region string
	Clock           clock.Clock
	Log             *slog.Logger
	SecretFor       wire.SecretFor
	Evaluate        Evaluate
	Emit            Emit // nil: nobody listens
}

// What is in the folder.
const (
	indexFile    = "index.db"
	objectFolder = "objects"
)

// S3 is the service.
type S3 struct {
	options Options
	log     *slog.Logger
	keeper  *keeper
	server  *s3api.S3ApiServer
	proxy   *httputil.ReverseProxy
	client  *http.Transport
	socket  string // folder to remove at the end; "" for an abstract socket
	served  chan error
}

// New opens the folder and starts the gateway behind a private socket.
func New(o Options) (_ *S3, err error) {
	s := &S3{options: o, log: o.Log, served: make(chan error, 1)}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create S3 folder: %w", err)
	}
	if err := indexed(o.Dir); err != nil {
		return nil, err
	}
	index, err := openIndex(filepath.Join(o.Dir, indexFile), store.Options{NoSync: o.NoSync, Log: o.Log})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, index.close())
		}
	}()
	blobs, err := openBlobs(filepath.Join(o.Dir, objectFolder), o.NoSync, o.Log)
	if err != nil {
		return nil, err
	}
	s.keeper = &keeper{index: index, blobs: blobs, log: o.Log, clock: o.Clock, account: o.Account, region: o.Region}
	if err := s.keeper.sweep(); err != nil {
		return nil, err
	}
	s.keeper.events = &events{emit: o.Emit, account: o.Account, enabled: s.eventBridge}
	who := &identities{secretFor: o.SecretFor, evaluate: o.Evaluate, account: o.Account, denied: s.logDenied}
	address, err := s.address()
	if err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	s.server, err = s3api.New(s.keeper, middlewares.RootUserConfig{}, o.Region, who, nil, nil, nil, nil,
		s3api.WithQuiet(), s3api.WithKeepAlive(), s3api.WithConcurrencyLimiter(1<<16, 1<<16), s3api.WithMpMaxParts(10000),
		s3api.WithOnListen(func() { close(ready) }))
	if err != nil {
		return nil, fmt.Errorf("make S3 gateway: %w", err)
	}
	go func() { s.served <- s.server.ServeMultiPort([]string{address}) }()
	select {
	case <-ready:
	case err := <-s.served:
		return nil, fmt.Errorf("start S3 gateway: %w", err)
	}
	s.connect(address)
	return s, nil
}

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// address is a socket that only this process knows of.
func (s *S3) address() (string, error) {
	if runtime.GOOS == "linux" {
		return "@millrace-s3-" + randomID(), nil
	}
	dir, err := os.MkdirTemp("", "millrace")
	if err != nil {
		return "", fmt.Errorf("make socket folder: %w", err)
	}
	s.socket = dir
	return filepath.Join(dir, "s3.sock"), nil
}

func (s *S3) connect(address string) {
	var dialer net.Dialer
	s.client = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", address)
		},
		MaxIdleConns: 256, MaxIdleConnsPerHost: 256, IdleConnTimeout: time.Minute, DisableCompression: true,
	}
	s.proxy = &httputil.ReverseProxy{
		Transport:  s.client,
		BufferPool: &buffers{},
		ErrorLog:   slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		Rewrite: func(r *httputil.ProxyRequest) {
			// Path, query and host stay as they were signed.
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "s3", r.In.Host
			r.Out.Header.Del("Expect")
			r.Out.Close = r.In.ContentLength < 0 // of such a body the gateway may leave a rest lying
		},
		ModifyResponse: func(r *http.Response) error {
			// The gateway writes its ids twice, in two spellings of their names.
			for _, name := range []string{"X-Amz-Request-Id", "X-Amz-Id-2", "X-Amz-Version-Id"} {
				if ids := r.Header[name]; len(ids) > 1 {
					r.Header[name] = ids[:1]
				}
			}
			r.Header.Set("Server", "AmazonS3")
			if err := correct(r); err != nil {
				return err
			}
			if r.StatusCode == http.StatusNotImplemented {
				s.log.Error("operation not supported by the local cloud", "service", "s3", "operation", r.Request.Method+" "+r.Request.URL.RequestURI())
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !errors.Is(err, context.Canceled) {
				s.log.Warn("S3 request failed", "operation", r.Method+" "+r.URL.Path, "error", err)
			}
			s.writeError(w, &wire.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: "Please reduce your request rate."})
		},
	}
}

// buffers lends the proxy its copy buffers.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 64<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// closeWithin is how long open requests may go on when the service closes.
const closeWithin = 3 * time.Second

// Close ends open requests and lets go of the folder.
func (s *S3) Close() error {
	s.client.CloseIdleConnections()
	done := make(chan error, 1)
	go func() { done <- s.server.ShutDown() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(closeWithin):
		s.log.Warn("S3 requests were cut off")
	}
	if err != nil {
		err = fmt.Errorf("stop S3 gateway: %w", err)
	}
	if s.socket != "" {
		err = errors.Join(err, os.RemoveAll(s.socket))
	}
	return errors.Join(err, s.keeper.index.close())
}

// Wire is the service's place in the front's routing table.
func (s *S3) Wire() *wire.Service {
	svc := &wire.Service{Name: "s3", Protocol: wire.RESTJSON, REST: s, RESTOperation: OperationOf, RESTError: s.writeError, Log: s.log}
	svc.Add(s.taskOperations()...)
	return svc
}

// ServeHTTP answers a signed request.
func (s *S3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isForm(r) {
		s.servePost(w, r)
		return
	}
	err := s.upgrade(r)
	if err == nil {
		err = s.refuse(r)
	}
	if err == nil {
		err = s.checkBody(r)
	}
	if err != nil {
		s.log.Warn("S3 request refused", "operation", r.Method+" "+r.URL.Path, "error", asWireError(err))
		s.answerError(w, err)
		return
	}
	w = lowerMeta{w}
	if bucketName, name, ok := configRequest(r); ok {
		if err := s.serveConfig(w, r, bucketName, name); err != nil {
			s.answerError(w, err)
		}
		return
	}
	if bucketName, ok := putsPolicy(r); ok {
		if err := s.servePolicy(w, r, bucketName); err != nil {
			s.answerError(w, err)
		}
		return
	}
	// The gateway reads aws-chunked to its own end, and would take HTTP's last chunk around it for the next request.
	if r.ContentLength < 0 && r.Header.Get("X-Amz-Decoded-Content-Length") != "" {
		body, size, err := s.keep(r.Body)
		if err != nil {
			s.answerError(w, fmt.Errorf("keep body of unknown length: %w", err))
			return
		}
		defer body.Close()
		r.Body, r.ContentLength, r.TransferEncoding = body, size, nil
		s.proxy.ServeHTTP(w, r)
		return
	}
	if r.ContentLength >= 0 && r.ContentLength < drained {
		s.proxy.ServeHTTP(w, r)
		return
	}
	s.serveLarge(w, r)
}

// drained is how much of a body the HTTP server reads by itself before it
// answers early; with more left it cuts the connection, and the client may never
// see the answer.
const drained = 128 << 10

// serveLarge answers a request with a large body: an error is sent at once, and
// what the client still sends is read and thrown away.
func (s *S3) serveLarge(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		s.log.Debug("early answers are not possible", "error", err)
	}
	body := r.Body
	bucketName, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if _, err := s.keeper.bucket(bucketName); err != nil {
		// Asked here because the gateway would hang up on the proxy.
		s.answerError(w, err)
	} else {
		r.Body = io.NopCloser(body)
		s.proxy.ServeHTTP(w, r)
	}
	_ = control.Flush()
	_, _ = io.Copy(io.Discard, body)
}

func (s *S3) logDenied(c wire.Caller, action, resource string) {
	s.log.Warn("access denied", "caller", c.ARN, "action", action, "resource", resource)
}

// eventBridge reports whether a bucket sends its events.
func (s *S3) eventBridge(bucketName string) bool {
	b, err := s.keeper.bucket(bucketName)
	return err == nil && eventBridgeOn(b.Config["notification"])
}
