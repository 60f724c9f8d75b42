package stepfunctions

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

// function calls a Lambda function by its ARN: its answer is the result.
func (r runner) function(ctx context.Context, c asl.Call) (string, error) {
	in := integrations["lambda:invoke"]
	body, err := json.Marshal(map[string]any{
		"FunctionName": c.Resource.ARN, "InvocationType": "RequestResponse",
		"Payload": base64.StdEncoding.EncodeToString([]byte(c.Parameters)),
	})
	if err != nil {
		return "", fmt.Errorf("encode input of %s: %w", c.State, err)
	}
	raw, err := r.s.o.Call(ctx, in.service, in.operation, body)
	if err != nil {
		return "", in.taskError(err, uuid.NewString())
	}
	_, payload, err := answerOf(raw)
	if err != nil {
		return "", err
	}
	if len(payload) == 0 {
		return "null", nil
	}
	if len(payload) <= asl.MaxPayload && !json.Valid(payload) {
		return "", notJSON(payload)
	}
	return string(payload), nil
}

// notJSON fails a task whose function answers something else. Too long an answer
// is not looked at: that is another error.
func notJSON(payload []byte) error {
	return &asl.TaskError{Name: "Lambda.Unknown", Cause: "The function's answer is not JSON: " + string(payload)}
}

// invocation is what the Lambda service answers.
type invocation struct {
	StatusCode      int
	FunctionError   string
	ExecutedVersion string
	LogResult       string // base64, when it was asked for
	Payload         string // base64
}

// answerOf reads an invocation; a function's error becomes the task's, named
// by its errorType, with the whole payload as the cause.
func answerOf(raw []byte) (invocation, []byte, error) {
	var a invocation
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, nil, fmt.Errorf("read answer of lambda: %w", err)
	}
	payload, err := base64.StdEncoding.DecodeString(a.Payload)
	if err != nil {
		return a, nil, fmt.Errorf("read payload of lambda: %w", err)
	}
	if a.FunctionError == "" {
		return a, payload, nil
	}
	var failure struct {
		ErrorType string `json:"errorType"`
	}
	if json.Unmarshal(payload, &failure) != nil || failure.ErrorType == "" {
		return a, nil, &asl.TaskError{Name: "Lambda.Unknown",
			Cause: "The cause could not be determined because Lambda did not return an error type. Returned payload: " + string(payload)}
	}
	return a, nil, &asl.TaskError{Name: failure.ErrorType, Cause: string(payload)}
}

// invokeRequest turns the Payload into text: a string is JSON text already,
// nothing is an empty object.
func invokeRequest(in integration, c asl.Call, params map[string]any) (map[string]any, error) {
	req, err := verbatimText(in, c, params)
	if err != nil {
		return nil, err
	}
	payload, given := req["Payload"].(string)
	if !given {
		payload = "{}"
	}
	req["Payload"] = base64.StdEncoding.EncodeToString([]byte(payload))
	return req, nil
}

func invokeResult(params, _ map[string]any, raw []byte, req request) (any, error) {
	a, payload, err := answerOf(raw)
	var failed *asl.TaskError
	if errors.As(err, &failed) { // this integration writes JSON anew; a function's own ARN gives it as it is
		var b bytes.Buffer
		if json.Compact(&b, []byte(failed.Cause)) == nil {
			failed.Cause = b.String()
		}
	}
	if err != nil {
		return nil, err
	}
	version := a.ExecutedVersion
	if version == "" {
		version = "$LATEST"
	}
	out := map[string]any{"ExecutedVersion": version, "StatusCode": a.StatusCode}
	if params["InvocationType"] == nil || params["InvocationType"] == "RequestResponse" {
		out["Payload"] = json.RawMessage("null")
		if len(payload) > 0 {
			if len(payload) > asl.MaxPayload {
				return string(payload), nil // the interpreter says that it is too much
			}
			if !json.Valid(payload) {
				return nil, notJSON(payload)
			}
			out["Payload"] = json.RawMessage(payload)
		}
	}
	headers := req.headers(len(payload), "application/json")
	if a.LogResult != "" {
		out["LogResult"], headers["X-Amz-Log-Result"] = a.LogResult, a.LogResult
	}
	headers["X-Amz-Executed-Version"], headers["x-amzn-Remapped-Content-Length"] = version, "0"
	headers["X-Amzn-Trace-Id"] = req.trace()
	return addMetadata(out, headers, a.StatusCode, req.id), nil
}

// payloadText is the result of aws-sdk:lambda:invoke: an error of the function is
// told in it, and the payload is text.
func payloadText(_, out map[string]any, _ []byte, _ request) (any, error) {
	if encoded, ok := out["Payload"].(string); ok {
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("read payload of lambda: %w", err)
		}
		out["Payload"] = string(raw)
	}
	return out, nil
}

// putEventsRequest turns details into text and names the execution among the
// resources, as AWS does.
func putEventsRequest(_ integration, c asl.Call, params map[string]any) (map[string]any, error) {
	raw, _ := params["Entries"].(json.RawMessage)
	var entries []map[string]json.RawMessage
	if err := json.Unmarshal(raw, &entries); err != nil {
		return nil, &asl.TaskError{Name: "States.Runtime", Cause: "The field 'Entries' is required and must be an array of objects"}
	}
	list := make([]any, len(entries))
	for i, entry := range entries {
		put := make(map[string]any, len(entry)+1)
		for k, v := range entry {
			put[k] = v
		}
		if detail := entry["Detail"]; len(detail) > 0 && detail[0] != '"' && string(detail) != "null" {
			put["Detail"] = string(detail)
		}
		var resources []any
		if given := entry["Resources"]; given != nil && json.Unmarshal(given, &resources) != nil {
			return nil, &asl.TaskError{Name: "States.Runtime", Cause: fmt.Sprintf("The field 'Resources' of Entries[%d] must be an array", i)}
		}
		put["Resources"] = append(resources, c.Execution.MachineARN, c.Execution.ARN)
		list[i] = put
	}
	req := maps.Clone(params)
	req["Entries"] = list
	return req, nil
}

// putEventsResult has no metadata on AWS.
func putEventsResult(_, out map[string]any, raw []byte, _ request) (any, error) {
	if n, ok := out["FailedEntryCount"].(json.Number); ok && n != "0" {
		return nil, &asl.TaskError{Name: "EventBridge.FailedEntry", Cause: string(raw)}
	}
	return out, nil
}

// verbatimText makes JSON text of the field that may be given as a value.
func verbatimText(in integration, _ asl.Call, params map[string]any) (map[string]any, error) {
	req := maps.Clone(params)
	switch v := params[in.verbatim].(type) {
	case nil, string:
	case json.RawMessage:
		req[in.verbatim] = string(v)
	default:
		text, err := encode(v)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", in.verbatim, err)
		}
		req[in.verbatim] = text
	}
	return req, nil
}

// sendRequest makes text of the body. A QueueUrl that is only a name is a host to
// AWS's client, which it cannot find.
func sendRequest(in integration, c asl.Call, params map[string]any) (map[string]any, error) {
	address, _ := params["QueueUrl"].(string)
	_, host, hasScheme := strings.Cut(address, "://")
	if !hasScheme {
		host = address
	}
	host, _, _ = strings.Cut(host, "/")
	if name, _, hasPort := strings.Cut(host, ":"); name != "" && !hasPort && !strings.Contains(name, ".") && name != "localhost" {
		return nil, &asl.TaskError{Name: in.prefix + ".SdkClientException", Cause: "Unable to execute HTTP request: " + host + ": Name or service not known"}
	}
	return verbatimText(in, c, params)
}

// publishResult counts the characters of SNS's answer, which is XML on AWS.
func publishResult(_, out map[string]any, _ []byte, req request) (any, error) {
	number := ""
	if n, ok := out["SequenceNumber"]; ok {
		number = fmt.Sprintf("    <SequenceNumber>%v</SequenceNumber>\n", n)
	}
	answer := fmt.Sprintf("<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\n  <PublishResult>\n    <MessageId>%v</MessageId>\n%s  </PublishResult>\n"+
		"  <ResponseMetadata>\n    <RequestId>%s</RequestId>\n  </ResponseMetadata>\n</PublishResponse>\n", out["MessageId"], number, req.id)
	return withMetadata(out, len(answer), xml, req), nil
}

// bodyRequest makes JSON text of an object's body, of a text too: AWS stores it
// with its quotes.
func bodyRequest(in integration, c asl.Call, params map[string]any) (map[string]any, error) {
	req, err := verbatimText(in, c, params)
	if err != nil {
		return nil, err
	}
	if text, ok := params["Body"].(string); ok {
		if req["Body"], err = encode(text); err != nil {
			return nil, fmt.Errorf("encode body: %w", err)
		}
	}
	if req["ContentType"] == nil {
		req["ContentType"] = "text/plain; charset=UTF-8"
	}
	return req, nil
}
