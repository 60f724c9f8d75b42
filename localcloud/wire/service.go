// Package wire holds what all services of the local cloud share on the wire:
// AWS's protocols (awsJson, query, restJson), AWS-shaped errors and request
// ids, and the table of operations from which requests are routed. It knows
// no service's behaviour.
//
// The aws-sdk-go-v2 input and output structs are the wire types, so that
// shapes follow the SDK pin and need no code generation.
package wire

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Protocol is one of AWS's wire protocols.
type Protocol int

// The protocols served here.
const (
	JSON10 Protocol = iota + 1
	JSON11
	Query
	RESTJSON // routed by the service itself; see Service.REST
)

// MaxBody bounds a request body, in bytes: AWS's largest, a function's code (S3
// has its own path).
const MaxBody = 70167211

// Authorize decides whether the caller in ctx may do action ("sagemaker:CreateModel")
// on resource (an ARN or "*"); a refusal is an *Error with AWS's code.
type Authorize func(ctx context.Context, action, resource string) error

// Operation is one API operation, callable in JSON whatever its wire protocol.
type Operation struct {
	Name string
	// call runs the operation on decoded input; in and out are pointers to SDK structs.
	in        reflect.Type
	call      func(ctx context.Context, in any) (any, error)
	resources func(in any) []string
}

// Op makes an Operation of a function over SDK structs.
func Op[In, Out any](name string, f func(context.Context, *In) (*Out, error)) Operation {
	return Operation{
		Name: name,
		in:   reflect.TypeFor[In](),
		call: func(ctx context.Context, in any) (any, error) { return f(ctx, in.(*In)) },
	}
}

// Members names the members of the operation's input.
func (o Operation) Members() []string {
	var names []string
	for _, f := range reflect.VisibleFields(o.in) {
		names = append(names, f.Name)
	}
	return names
}

// On names the resource ARNs that the caller's policy must allow; without it
// the resource is "*".
func On[In any](op Operation, f func(*In) []string) Operation {
	op.resources = func(in any) []string { return f(in.(*In)) }
	return op
}

// Service is one AWS service: its names on the wire and its operations.
type Service struct {
	Name       string // SigV4 scope name and IAM prefix, e.g. "states"
	Protocol   Protocol
	Target     string // X-Amz-Target prefix, e.g. "AWSStepFunctions"
	Version    string // query API version, e.g. "2010-05-15"
	Namespace  string // query XML namespace
	QueryCodes bool   // errors carry the codes of the query protocol, which the service spoke before (SQS)
	Lower      bool   // member names are lowerCamel on the wire (Step Functions, Logs)
	Ops        map[string]Operation
	REST       http.Handler // RESTJSON only
	// RESTOperation names the operation that a request of REST asks for; "" for none.
	RESTOperation func(*http.Request) string
	// RESTError answers an error where REST has a format of its own (S3); nil is JSON.
	RESTError func(http.ResponseWriter, *Error)
	Model     *model.Service // what AWS says of inputs and errors; nil checks nothing (S3, tests)
	Authorize Authorize      // nil allows everything (tests)
	Log       *slog.Logger
}

// Add registers operations; a name given twice is a programming error.
func (s *Service) Add(ops ...Operation) {
	if s.Ops == nil {
		s.Ops = map[string]Operation{}
	}
	for _, op := range ops {
		if _, dup := s.Ops[op.Name]; dup {
			panic("wire: operation given twice: " + s.Name + ":" + op.Name)
		}
		s.Ops[op.Name] = op
	}
}

// Operations lists the names of the operations, sorted.
func (s *Service) Operations() []string {
	return slices.Sorted(maps.Keys(s.Ops))
}

func (s *Service) unsupported(name string) *Error {
	if s.Log != nil {
		s.Log.Error("operation not supported by the local cloud", "service", s.Name, "operation", name)
	}
	return &Error{Code: "UnknownOperationException", Status: http.StatusBadRequest,
		Message: fmt.Sprintf("the local cloud does not support %s:%s (supported: %s)", s.Name, name, strings.Join(s.Operations(), ", "))}
}

// check holds an operation's input against AWS's constraints.
func (s *Service) check(operation string, in any, as *model.Reading) error {
	if s.Model == nil {
		return nil
	}
	err := s.Model.Check(operation, in, as)
	if r := (*model.Refusal)(nil); errors.As(err, &r) {
		return &Error{Code: r.Code, Message: r.Message}
	}
	return err
}

// do runs an operation on a decoded SDK input struct, after its constraints are
// checked and it is authorized.
func (s *Service) do(ctx context.Context, op Operation, in any, as *model.Reading) (any, error) {
	if err := s.check(op.Name, in, as); err != nil {
		return nil, err
	}
	if s.Authorize != nil {
		resources := []string{"*"}
		if op.resources != nil {
			if rs := op.resources(in); len(rs) > 0 {
				resources = rs
			}
		}
		for _, r := range resources {
			if err := s.Authorize(ctx, s.Name+":"+op.Name, r); err != nil {
				return nil, err
			}
		}
	}
	return op.call(ctx, in)
}

// Run runs an operation on the SDK input that fill fills.
func (s *Service) Run(ctx context.Context, name string, fill func(in any) error) (any, error) {
	op, ok := s.Ops[name]
	if !ok {
		return nil, s.unsupported(name)
	}
	in := reflect.New(op.in).Interface()
	if err := fill(in); err != nil {
		return nil, err
	}
	return s.do(ctx, op, in, nil)
}

// Call runs an operation on JSON input (the members' names as in the API, in
// any case of the first letter) and returns its output as JSON. This is how
// services reach each other: the caller is in ctx. A member that is not in the
// API is refused.
func (s *Service) Call(ctx context.Context, name string, input []byte) ([]byte, error) {
	return s.callJSON(ctx, name, input, false)
}

func (s *Service) callJSON(ctx context.Context, name string, input []byte, sent bool) ([]byte, error) {
	op, ok := s.Ops[name]
	if !ok {
		return nil, s.unsupported(name)
	}
	in := reflect.New(op.in).Interface()
	as, err := s.decode(name, input, in, sent)
	if err != nil {
		return nil, err
	}
	out, err := s.do(context.WithValue(ctx, readingKey{}, as), op, in, as)
	if err != nil {
		return nil, err
	}
	return EncodeJSON(out, s.Lower)
}

type readingKey struct{}

// Given reports whether the call's JSON had a number that the SDK holds by value:
// 0 and nothing are not the same. The path is as in refusals, "visibilityTimeout".
func Given(ctx context.Context, path string) bool {
	as, _ := ctx.Value(readingKey{}).(*model.Reading)
	return as.Given(path)
}

// Decode decodes a request's JSON into the operation's SDK input. As on AWS, a
// member that the API does not have is passed over: a log line names it.
func (s *Service) Decode(operation string, body []byte, in any) error {
	_, err := s.decode(operation, body, in, true)
	return err
}

// decode reads JSON that was sent to the service, or is a call inside the cloud.
func (s *Service) decode(operation string, body []byte, in any, sent bool) (as *model.Reading, err error) {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if s.Model != nil {
		if as, err = s.Model.Read(operation, body, reflect.TypeOf(in), sent); err != nil {
			return nil, Errorf("SerializationException", "%v", err)
		}
		for _, member := range as.Unknown {
			s.Ignored(operation, member)
		}
		body = as.Body
	}
	return as, DecodeJSON(body, in)
}

// Ignored logs a member of a request that the API does not have.
func (s *Service) Ignored(operation, member string) {
	if s.Log != nil {
		s.Log.Warn("request has a member that the API does not: ignored, as on AWS", "service", s.Name, "operation", operation, "member", member)
	}
}

// ServeHTTP answers a request in the service's protocol.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch s.Protocol {
	case RESTJSON:
		s.REST.ServeHTTP(w, r)
	case Query:
		s.serveQuery(w, r)
	default:
		s.serveJSON(w, r)
	}
}

func (s *Service) serveJSON(w http.ResponseWriter, r *http.Request) {
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := ReadBody(w, r)
	if err != nil {
		s.WriteError(w, r, err)
		return
	}
	out, err := s.callJSON(r.Context(), name, body, true)
	if err != nil {
		s.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", s.contentType())
	w.Header().Set("X-Amzn-Requestid", RequestID(r.Context()))
	_, _ = w.Write(out)
}

func (s *Service) contentType() string {
	switch s.Protocol {
	case JSON10:
		return "application/x-amz-json-1.0"
	case RESTJSON:
		return "application/json"
	}
	return "application/x-amz-json-1.1"
}

// WriteError answers an error in the service's protocol, in the form that the
// service gives it.
func (s *Service) WriteError(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case s.Protocol == Query:
		s.writeQueryError(w, r, err)
	case s.RESTError != nil:
		s.RESTError(w, AsError(err))
	default:
		s.writeJSONError(w, r, AsError(err))
	}
}

func (s *Service) writeJSONError(w http.ResponseWriter, r *http.Request, e *Error) {
	name, form := e.Code, model.Error{}
	if s.Model != nil {
		name, form = s.Model.ErrorOf(e.Code)
	}
	status, fault := e.Status, "Sender"
	if status == 0 {
		status = cmp.Or(form.Status, http.StatusBadRequest)
	}
	if status >= http.StatusInternalServerError {
		fault = "Receiver"
	}
	body := map[string]string{cmp.Or(form.Message, "message"): e.Message}
	if form.Typed {
		body["Type"] = map[string]string{"Sender": "User", "Receiver": "Service"}[fault]
	}
	if s.Protocol != RESTJSON {
		body["__type"] = name
	}
	h := w.Header()
	h.Set("Content-Type", s.contentType())
	h.Set("X-Amzn-Requestid", RequestID(r.Context()))
	h.Set("X-Amzn-Errortype", name)
	if s.QueryCodes {
		h.Set("X-Amzn-Query-Error", cmp.Or(form.Code, name)+";"+fault)
	}
	w.WriteHeader(status)
	raw, _ := EncodeJSON(body, false) // texts by text are encoded always
	_, _ = w.Write(raw)
}

// OperationOf names the operation that a request asks for; "" when it does not
// say. The request can be served afterwards.
func (s *Service) OperationOf(r *http.Request) string {
	switch s.Protocol {
	case RESTJSON:
		if s.RESTOperation == nil {
			return ""
		}
		return s.RESTOperation(r)
	case Query:
		body, err := io.ReadAll(io.LimitReader(r.Body, MaxBody+1))
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		form, _ := url.ParseQuery(string(body))
		if err != nil || form.Get("Action") == "" {
			return r.URL.Query().Get("Action")
		}
		return form.Get("Action")
	}
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return name
}

// ReadBody reads a bounded request body.
func ReadBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		return nil, &Error{Code: "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge, Message: err.Error()}
	}
	return body, nil
}

type requestIDKey struct{}

// WithRequestID puts the request's id into the context.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID is the id of the request in ctx, as AWS sends it back.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
