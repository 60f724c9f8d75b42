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
func (l *Lambda) rest() *http.ServeMux {
	mux := http.NewServeMux()
	const v = "/2015-03-31/functions"
	bind(mux, "POST "+v, "CreateFunction", http.StatusCreated, l.createFunction)
	bind(mux, "POST "+v+"/{$}", "CreateFunction", http.StatusCreated, l.createFunction)
	bind(mux, "GET "+v, "ListFunctions", http.StatusOK, l.listFunctions)
	bind(mux, "GET "+v+"/{$}", "ListFunctions", http.StatusOK, l.listFunctions)
	bind(mux, "GET "+v+"/{FunctionName}", "GetFunction", http.StatusOK, l.getFunction)
	bind(mux, "DELETE "+v+"/{FunctionName}", "DeleteFunction", http.StatusNoContent, l.deleteFunction)
	bind(mux, "GET "+v+"/{FunctionName}/configuration", "GetFunctionConfiguration", http.StatusOK, l.getFunctionConfiguration)
	bind(mux, "PUT "+v+"/{FunctionName}/configuration", "UpdateFunctionConfiguration", http.StatusOK, l.updateFunctionConfiguration)
	bind(mux, "PUT "+v+"/{FunctionName}/code", "UpdateFunctionCode", http.StatusOK, l.updateFunctionCode)
	bind(mux, "POST "+v+"/{FunctionName}/policy", "AddPermission", http.StatusCreated, l.addPermission)
	bind(mux, "GET "+v+"/{FunctionName}/policy", "GetPolicy", http.StatusOK, l.getPolicy)
	bind(mux, "DELETE "+v+"/{FunctionName}/policy/{StatementId}", "RemovePermission", http.StatusNoContent, l.removePermission)
	mux.Handle("POST "+v+"/{FunctionName}/invocations", named{http.HandlerFunc(l.serveInvoke), "Invoke"})

	const async = "/2019-09-25/functions/{FunctionName}/event-invoke-config"
	bind(mux, "PUT "+async, "PutFunctionEventInvokeConfig", http.StatusOK, l.putEventInvokeConfig)
	bind(mux, "POST "+async, "UpdateFunctionEventInvokeConfig", http.StatusOK, l.updateEventInvokeConfig)
	bind(mux, "GET "+async, "GetFunctionEventInvokeConfig", http.StatusOK, l.getEventInvokeConfig)
	bind(mux, "DELETE "+async, "DeleteFunctionEventInvokeConfig", http.StatusNoContent, l.deleteEventInvokeConfig)
	bind(mux, "PUT /2017-10-31/functions/{FunctionName}/concurrency", "PutFunctionConcurrency", http.StatusOK, l.putConcurrency)
	bind(mux, "DELETE /2017-10-31/functions/{FunctionName}/concurrency", "DeleteFunctionConcurrency", http.StatusNoContent, l.deleteConcurrency)
	bind(mux, "GET /2019-09-30/functions/{FunctionName}/concurrency", "GetFunctionConcurrency", http.StatusOK, l.getConcurrency)

	bind(mux, "POST /2017-03-31/tags/{Resource}", "TagResource", http.StatusNoContent, l.tagResource)
	bind(mux, "DELETE /2017-03-31/tags/{Resource}", "UntagResource", http.StatusNoContent, l.untagResource)
	bind(mux, "GET /2017-03-31/tags/{Resource}", "ListTags", http.StatusOK, l.listTags)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		l.o.Log.Error("operation not supported by the local cloud", "service", "lambda", "method", r.Method, "path", r.URL.Path)
		wire.WriteJSONError(w, status(http.StatusNotFound, "UnknownOperationException", "the local cloud's Lambda does not support %s %s", r.Method, r.URL.Path))
	})
	return mux
}

// bind decodes a request into the operation's SDK input: body, then the members
// named in the path, then those in the query.
func bind[In, Out any](mux *http.ServeMux, pattern, operation string, code int, call func(context.Context, *In) (*Out, error)) {
	mux.Handle(pattern, named{operation: operation, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := new(In)
		body, err := readBody(w, r, maxRequest)
		if err == nil {
			err = wire.DecodeJSON(body, in)
		}
		if err == nil {
			err = bindNames(r, reflect.ValueOf(in).Elem())
		}
		if err != nil {
			wire.WriteJSONError(w, err)
			return
		}
		out, err := call(r.Context(), in)
		if err != nil {
			wire.WriteJSONError(w, err)
			return
		}
		if code == http.StatusNoContent {
			w.Header().Set("X-Amzn-Requestid", wire.RequestID(r.Context()))
			w.WriteHeader(code)
			return
		}
		raw, err := wire.EncodeJSON(out, false)
		if err != nil {
			wire.WriteJSONError(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Amzn-Requestid", wire.RequestID(r.Context()))
		w.WriteHeader(code)
		_, _ = w.Write(raw)
	})})
}

func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, status(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "%v", err)
	}
	return body, nil
}

func bindNames(r *http.Request, in reflect.Value) error {
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
			err = fmt.Errorf("query member %s is not supported", name)
		case f.Type() == reflect.TypeFor[*string]():
			f.Set(reflect.ValueOf(aws.String(values[0])))
		case f.Type() == reflect.TypeFor[*int32]():
			var n int64
			n, err = strconv.ParseInt(values[0], 10, 32)
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

// serveInvoke is Invoke: payloads are bodies, the rest is headers.
func (l *Lambda) serveInvoke(w http.ResponseWriter, r *http.Request) {
	h := r.Header
	body, err := readBody(w, r, maxSyncPayload)
	if err != nil {
		wire.WriteJSONError(w, tooLarge(maxSyncPayload))
		return
	}
	in := &api.InvokeInput{
		FunctionName: aws.String(r.PathValue("FunctionName")), Payload: body,
		InvocationType: types.InvocationType(h.Get("X-Amz-Invocation-Type")), LogType: types.LogType(h.Get("X-Amz-Log-Type")),
	}
	if q := r.URL.Query().Get("Qualifier"); q != "" {
		in.Qualifier = aws.String(q)
	}
	if c := h.Get("X-Amz-Client-Context"); c != "" {
		in.ClientContext = aws.String(c)
	}
	for name, into := range map[string]**string{"X-Amz-Tenant-Id": &in.TenantId, "X-Amz-Durable-Execution-Name": &in.DurableExecutionName} {
		if v := h.Get(name); v != "" {
			*into = aws.String(v)
		}
	}
	out, err := l.invoke(r.Context(), in)
	if err != nil {
		wire.WriteJSONError(w, err)
		return
	}
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

// logTail is what LogType Tail answers: the last 4 KB of the invocation's log.
func logTail(b []byte) *string {
	if len(b) > 4096 {
		b = b[len(b)-4096:]
	}
	return aws.String(base64.StdEncoding.EncodeToString(b))
}
