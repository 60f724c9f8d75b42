package lambda

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxRequest bounds a request's body: a zip of 50 MB in base64 and its JSON.
const maxRequest = 72 << 20

// named is the handler of an operation.
type named struct {
	http.Handler
	operation string
}

// rest binds Lambda's REST paths to the operations.
func (l *Lambda) rest(s *wire.Service) *http.ServeMux {
	mux := http.NewServeMux()
	bind := func(pattern string, code int, operation string) {
		mux.Handle(pattern, named{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(s, w, r, code, operation) }), operation})
	}
	const v = "/2015-03-31/functions"
	bind("POST "+v, http.StatusCreated, "CreateFunction")
	bind("POST "+v+"/{$}", http.StatusCreated, "CreateFunction")
	bind("GET "+v, http.StatusOK, "ListFunctions")
	bind("GET "+v+"/{$}", http.StatusOK, "ListFunctions")
	bind("GET "+v+"/{FunctionName}", http.StatusOK, "GetFunction")
	bind("DELETE "+v+"/{FunctionName}", http.StatusNoContent, "DeleteFunction")
	bind("GET "+v+"/{FunctionName}/configuration", http.StatusOK, "GetFunctionConfiguration")
	bind("PUT "+v+"/{FunctionName}/configuration", http.StatusOK, "UpdateFunctionConfiguration")
	bind("PUT "+v+"/{FunctionName}/code", http.StatusOK, "UpdateFunctionCode")
	bind("POST "+v+"/{FunctionName}/policy", http.StatusCreated, "AddPermission")
	bind("GET "+v+"/{FunctionName}/policy", http.StatusOK, "GetPolicy")
	bind("DELETE "+v+"/{FunctionName}/policy/{StatementId}", http.StatusNoContent, "RemovePermission")
	mux.Handle("POST "+v+"/{FunctionName}/invocations", named{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serveInvoke(s, w, r) }), "Invoke"})

	const async = "/2019-09-25/functions/{FunctionName}/event-invoke-config"
	bind("PUT "+async, http.StatusOK, "PutFunctionEventInvokeConfig")
	bind("POST "+async, http.StatusOK, "UpdateFunctionEventInvokeConfig")
	bind("GET "+async, http.StatusOK, "GetFunctionEventInvokeConfig")
	bind("DELETE "+async, http.StatusNoContent, "DeleteFunctionEventInvokeConfig")
	bind("PUT /2017-10-31/functions/{FunctionName}/concurrency", http.StatusOK, "PutFunctionConcurrency")
	bind("DELETE /2017-10-31/functions/{FunctionName}/concurrency", http.StatusNoContent, "DeleteFunctionConcurrency")
	bind("GET /2019-09-30/functions/{FunctionName}/concurrency", http.StatusOK, "GetFunctionConcurrency")

	bind("POST /2017-03-31/tags/{Resource}", http.StatusNoContent, "TagResource")
	bind("DELETE /2017-03-31/tags/{Resource}", http.StatusNoContent, "UntagResource")
	bind("GET /2017-03-31/tags/{Resource}", http.StatusOK, "ListTags")
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		l.o.Log.Error("operation not supported by the local cloud", "service", "lambda", "method", r.Method, "path", r.URL.Path)
		s.WriteError(w, r, status(http.StatusNotFound, "UnknownOperationException", "the local cloud's Lambda does not support %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// serve decodes a request into the operation's SDK input (body, then the members
// named in the path, then those in the query), runs it, and answers.
func serve(s *wire.Service, w http.ResponseWriter, r *http.Request, code int, operation string) {
	out, err := s.Run(r.Context(), operation, func(in any) error {
		body, err := readBody(w, r, maxRequest)
		if err != nil {
			return err
		}
		if err := s.Decode(operation, body, in); err != nil {
			return err
		}
		return bindNames(r, reflect.ValueOf(in).Elem(), func(member string) { s.Ignored(operation, member) })
	})
	if err != nil {
		s.WriteError(w, r, err)
		return
	}
	w.Header().Set("X-Amzn-Requestid", wire.RequestID(r.Context()))
	if code == http.StatusNoContent {
		w.WriteHeader(code)
		return
	}
	raw, err := wire.EncodeJSON(out, false)
	if err != nil {
		s.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(raw)
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, status(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "%v", err)
	}
	return body, nil
}

// bindNames sets the members that a request's path and query name; unknown hears
// of those that the API does not have.
func bindNames(r *http.Request, in reflect.Value, unknown func(member string)) error {
	for _, name := range []string{"FunctionName", "StatementId", "Resource"} {
		if v := r.PathValue(name); v != "" {
			in.FieldByName(name).Set(reflect.ValueOf(aws.String(v)))
		}
	}
	for name, values := range r.URL.Query() {
		var err error
		switch f := in.FieldByName(name); {
		case name == "tagKeys":
			in.FieldByName("TagKeys").Set(reflect.ValueOf(values))
		case !f.IsValid():
			unknown(name)
		case f.Type() == reflect.TypeFor[*string]():
			f.Set(reflect.ValueOf(aws.String(values[0])))
		case f.Type() == reflect.TypeFor[*int32]():
			n, err := strconv.ParseInt(values[0], 10, 32)
			if err != nil {
				return wire.Errorf("SerializationException", "%s: %q is no integer", name, values[0])
			}
			f.Set(reflect.ValueOf(aws.Int32(int32(n))))
		case f.Kind() == reflect.String:
			f.SetString(values[0])
		default:
			err = fmt.Errorf("query member %s is not supported", name)
		}
		if err != nil {
			return invalid("%v", err)
		}
	}
	return nil
}

// requestKey marks an invocation that is a request: its id is the invocation's,
// in the function's context and log. What calls inside the cloud may do so several
// times for one request.
type requestKey struct{}

func asRequest(ctx context.Context) context.Context {
	return context.WithValue(ctx, requestKey{}, true)
}

// invocationID is the id of an invocation that begins in ctx.
func invocationID(ctx context.Context) string {
	if ctx.Value(requestKey{}) != nil && wire.RequestID(ctx) != "" {
		return wire.RequestID(ctx)
	}
	return uuid.NewString()
}

// serveInvoke is Invoke: payloads are bodies, the rest is headers.
func serveInvoke(s *wire.Service, w http.ResponseWriter, r *http.Request) {
	answer, err := s.Run(asRequest(r.Context()), "Invoke", func(in any) error {
		body, err := readBody(w, r, maxSyncPayload)
		if err != nil {
			return tooLarge(maxSyncPayload)
		}
		bindInvoke(r, body, in.(*api.InvokeInput))
		return nil
	})
	if err != nil {
		s.WriteError(w, r, err)
		return
	}
	out := answer.(*api.InvokeOutput)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", wire.RequestID(r.Context()))
	for name, v := range map[string]*string{"X-Amz-Function-Error": out.FunctionError, "X-Amz-Log-Result": out.LogResult, "X-Amz-Executed-Version": out.ExecutedVersion} {
		if v != nil {
			w.Header().Set(name, *v)
		}
	}
	w.WriteHeader(int(out.StatusCode))
	_, _ = w.Write(out.Payload)
}

func bindInvoke(r *http.Request, body []byte, in *api.InvokeInput) {
	h := r.Header
	in.FunctionName, in.Payload = aws.String(r.PathValue("FunctionName")), body
	in.InvocationType, in.LogType = types.InvocationType(h.Get("X-Amz-Invocation-Type")), types.LogType(h.Get("X-Amz-Log-Type"))
	given := func(values []string) *string {
		if len(values) == 0 {
			return nil
		}
		return &values[0]
	}
	in.Qualifier, in.ClientContext = given(r.URL.Query()["Qualifier"]), given(h["X-Amz-Client-Context"])
	in.TenantId, in.DurableExecutionName = given(h["X-Amz-Tenant-Id"]), given(h["X-Amz-Durable-Execution-Name"])
}

// logTail is what LogType Tail answers: the last 4 KB of the invocation's log.
func logTail(b []byte) *string {
	if len(b) > 4096 {
		b = b[len(b)-4096:]
	}
	return aws.String(base64.StdEncoding.EncodeToString(b))
}
