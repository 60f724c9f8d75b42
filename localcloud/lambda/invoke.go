package lambda

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Lambda's limits on payloads, in bytes.
const (
	maxSyncPayload  = 6291456
	maxResponse     = maxSyncPayload + 100
	maxAsyncPayload = 1 << 20
)

func tooLarge(limit int) error {
	return status(http.StatusRequestEntityTooLarge, "RequestTooLargeException", "Request must be smaller than %d bytes for the InvokeFunction operation", limit)
}

func (l *Lambda) invoke(ctx context.Context, in *api.InvokeInput) (*api.InvokeOutput, error) {
	name, _, err := l.resolve(in.FunctionName, in.Qualifier)
	if err != nil {
		return nil, err
	}
	f, err := l.load(name)
	if err != nil {
		// Who may not invoke may not learn what exists either.
		if denied := l.mayInvoke(ctx, &function{Config: types.FunctionConfiguration{FunctionArn: aws.String(l.functionARN(name))}}); denied != nil && !isService(ctx) {
			return nil, denied
		}
		if wire.HasCode(err, "ResourceNotFoundException") {
			err = l.notFound(name, latest)
		}
		return nil, err
	}
	if err := l.mayInvoke(ctx, &f); err != nil {
		return nil, err
	}
	if in.TenantId != nil || in.DurableExecutionName != nil {
		return nil, invalid("the local cloud has no tenant isolation and no durable functions")
	}
	payload := in.Payload
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) {
		return nil, status(http.StatusBadRequest, "InvalidRequestContentException", "Could not parse request body into json: the payload of %s is not valid JSON", name)
	}
	switch in.InvocationType {
	case types.InvocationTypeDryRun:
		return &api.InvokeOutput{StatusCode: http.StatusNoContent}, nil
	case types.InvocationTypeEvent:
		if len(payload) > maxAsyncPayload {
			return nil, tooLarge(maxAsyncPayload)
		}
		if err := l.enqueue(&f, invocationID(ctx), payload); err != nil {
			return nil, err
		}
		return &api.InvokeOutput{StatusCode: http.StatusAccepted}, nil
	case types.InvocationTypeRequestResponse, "":
	default:
		return nil, invalid("InvocationType %q is not one of RequestResponse, Event, DryRun", in.InvocationType)
	}
	if len(payload) > maxSyncPayload {
		return nil, tooLarge(maxSyncPayload)
	}
	req := request{id: invocationID(ctx), payload: payload}
	if in.ClientContext != nil {
		raw, err := base64.StdEncoding.DecodeString(*in.ClientContext)
		if err != nil {
			return nil, status(http.StatusBadRequest, "InvalidRequestContentException", "Client context must be a valid Base64-encoded JSON object.")
		}
		req.clientContext = string(raw)
	}
	res, err := l.run(ctx, &f, req)
	if err != nil {
		return nil, err
	}
	out := &api.InvokeOutput{StatusCode: http.StatusOK, Payload: res.payload, ExecutedVersion: aws.String(latest)}
	if res.failed {
		out.FunctionError = aws.String("Unhandled")
	}
	if in.LogType == types.LogTypeTail {
		out.LogResult = logTail(res.log)
	}
	return out, nil
}

// run gives one request to a process of f. Its error says that the function did
// not run; a function's own failure is in the result. An invocation that began
// ends even when its caller goes away, as on AWS.
func (l *Lambda) run(ctx context.Context, f *function, req request) (result, error) {
	ctx, release := clock.Hold(ctx, l.o.Clock, "function "+f.name())
	defer release()
	p, err := l.poolOf(f.name())
	if err != nil {
		return result{}, err
	}
	for {
		inst, failure, err := p.acquire(ctx, l, f, req.id)
		if err != nil {
			return result{}, err
		}
		if failure != nil {
			return *failure, nil
		}
		res, healthy := inst.invoke(req)
		p.release(inst, healthy)
		if !res.untaken {
			return res, nil
		}
		// A warm process ended by itself before it took the request: the next one is fresh at last.
	}
}
