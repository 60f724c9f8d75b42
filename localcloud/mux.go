package localcloud

import (
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// healthPath answers 200 once the cloud serves; it needs no signature.
const healthPath = "/_millrace/health"

// ServeHTTP routes a request to its service by the scope of its signature, and
// verifies the signature.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := uuid.NewString()
	r = r.WithContext(wire.WithRequestID(r.Context(), id))
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // it is the value itself that is panicked with
				panic(p)
			}
			c.log.Error("request panicked", "operation", operation(r), "panic", p, "stack", string(debug.Stack()))
			c.fail(nil, w, r, &wire.Error{Code: "InternalFailure", Status: http.StatusInternalServerError, Message: "The request processing has failed because of an unknown error."})
		}
	}()
	if !loopbackHost(r.Host) {
		// A page in a browser must not reach the cloud through a name that resolves to it.
		c.log.Warn("request for another host was refused", "host", r.Host)
		http.Error(w, "The local cloud answers for loopback addresses only, not for "+r.Host, http.StatusForbidden)
		return
	}
	if r.URL.Path == healthPath {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = fmt.Fprintln(w, "ok")
		return
	}
	if r.URL.Path == faults.Path || strings.HasPrefix(r.URL.Path, faults.Path+"/") {
		if !loopbackHost(r.RemoteAddr) {
			http.Error(w, "Faults are laid from this machine only, not from "+r.RemoteAddr, http.StatusForbidden)
			return
		}
		c.faults.ServeHTTP(w, r)
		return
	}
	if r.URL.Path == ClockPath {
		c.serveClock(w, r)
		return
	}
	ctx, release := clock.Hold(r.Context(), c.o.Clock, operation(r))
	defer release()
	if r.ContentLength == 0 && strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		// The server sends it only before a body. A botocore that asked and did not get
		// it misreads the answer to its next request on the connection, and hangs.
		w.WriteHeader(http.StatusContinue)
	}
	c.route(w, r.WithContext(ctx))
}

func (c *Cloud) route(w http.ResponseWriter, r *http.Request) {
	credential, err := wire.ParseCredential(r)
	if err != nil {
		if service, ok := c.services["s3"]; ok && (r.Header.Get("X-Amz-Target") == "" && (r.Method != http.MethodPost || onBucket(r.URL.Path))) {
			if err := c.checkPage(w, r, "s3"); err != nil {
				c.fail(service, w, r, err)
				return
			}
			service.ServeHTTP(w, r) // without a signature it is S3's to refuse
			return
		}
		c.fail(nil, w, r, err)
		return
	}
	service, ok := c.services[credential.Service]
	if !ok {
		c.log.Error("service not supported by the local cloud", "service", credential.Service, "operation", operation(r))
		c.fail(nil, w, r, &wire.Error{Code: "UnknownOperationException",
			Message: fmt.Sprintf("the local cloud does not have the service %q (it has %s)", credential.Service, strings.Join(c.Services(), ", "))})
		return
	}
	if err := c.checkPage(w, r, credential.Service); err != nil {
		c.fail(service, w, r, err)
		return
	}
	if err := c.checkRegion(credential); err != nil {
		c.fail(service, w, r, err)
		return
	}
	if credential.Service != "s3" {
		w.Header().Set("X-Amzn-Requestid", wire.RequestID(r.Context()))
	} else {
		_, _, caller, _ := c.iam.SecretFor(credential.AccessKey)
		c.serve(service, w, r, caller) // S3 verifies by itself: bodies may be large, or signed in chunks
		return
	}
	caller, err := wire.Verify(r, c.iam.SecretFor, clock.Real{}.Now())
	if err != nil {
		c.log.Warn("signature was refused", "service", credential.Service, "access_key", credential.AccessKey, "error", err)
		c.fail(service, w, r, err)
		return
	}
	c.log.Debug("request", "service", credential.Service, "operation", operation(r), "caller", caller.ARN)
	c.serve(service, w, r.WithContext(wire.WithCaller(r.Context(), caller)), caller)
}

// onBucket tells a path that only S3 takes a POST on: a form's, in a browser.
func onBucket(path string) bool {
	name := strings.Trim(path, "/")
	return name != "" && !strings.Contains(name, "/")
}

// checkRegion refuses calls for another region: on AWS they would reach another cloud.
func (c *Cloud) checkRegion(credential wire.Credential) error {
	switch credential.Service {
	case "iam", "sts", "s3": // global, or with an answer of its own
		return nil
	}
	if credential.Region != c.o.Region {
		return &wire.Error{Code: "InvalidSignatureException", Status: http.StatusForbidden,
			Message: fmt.Sprintf("Credential should be scoped to a valid region, not '%s'. The local cloud is in %s: set AWS_REGION=%s.", credential.Region, c.o.Region, c.o.Region)}
	}
	return nil
}

// fail answers an error of the front in the protocol of the service, or by the
// looks of the request.
func (c *Cloud) fail(service *wire.Service, w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor":
		writeCBORError(w, err)
	case service != nil:
		service.WriteError(w, r, err)
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		(&wire.Service{Protocol: wire.Query, Namespace: "http://webservices.amazon.com/AWSFault/2005-15-09"}).WriteError(w, r, err)
	default:
		(&wire.Service{Protocol: wire.JSON11}).WriteError(w, r, err)
	}
}

// operation names a request for the log.
func operation(r *http.Request) string {
	if t := r.Header.Get("X-Amz-Target"); t != "" {
		return t
	}
	return r.Method + " " + r.URL.Path
}

func loopbackHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// writeCBORError answers in the protocol of CloudWatch: a map of two texts.
func writeCBORError(w http.ResponseWriter, err error) {
	e := wire.AsError(err)
	body := []byte{0xa2}
	for _, text := range []string{"__type", e.Code, "message", e.Message} {
		body = append(append(body, cborTextHead(len(text))...), text...)
	}
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	w.Header().Set("Content-Type", "application/cbor")
	w.WriteHeader(e.HTTPStatus())
	_, _ = w.Write(body)
}

func cborTextHead(n int) []byte {
	const text = 3 << 5
	switch {
	case n < 24:
		return []byte{text | byte(n)}
	case n < 1<<8:
		return []byte{text | 24, byte(n)}
	}
	return []byte{text | 25, byte(n >> 8), byte(n)}
}
