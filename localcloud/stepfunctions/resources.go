package stepfunctions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// integration is an optimized integration: what Step Functions adds to a plain
// call of the service.
type integration struct {
	service, operation string // for Call
	token              bool   // .waitForTaskToken is offered
	// verbatim is the parameter that goes out as its own text, in its own order: an
	// object or array there is given to request as a json.RawMessage.
	verbatim string
	// request makes the API's input of the parameters; nil leaves them.
	request func(in integration, c asl.Call, params map[string]any) (map[string]any, error)
	// result makes the task's result of the API's output; nil adds the SDK's metadata.
	result      func(params, out map[string]any, raw []byte, req request) (any, error)
	contentType string // of the service's answers
	// errors name the service's errors: prefix, and the name of the rest.
	prefix, other, label string
	// modeled are the codes, of those most services share, that this one's API names.
	modeled []string
	sdk     bool // an aws-sdk integration: errors are worded as the SDK does
}

var integrations = withSageMaker(map[string]integration{
	"lambda:invoke": {service: "lambda", operation: "Invoke", token: true, verbatim: "Payload", request: invokeRequest, result: invokeResult,
		prefix: "Lambda", other: "Lambda.AWSLambdaException", label: "AWSLambda"},
	"events:putEvents": {service: "events", operation: "PutEvents", token: true, verbatim: "Entries", request: putEventsRequest, result: putEventsResult,
		prefix: "EventBridge", other: "EventBridge.AmazonEventBridgeException", label: "AmazonEventBridge"},
	"sqs:sendMessage": {service: "sqs", operation: "SendMessage", token: true, verbatim: "MessageBody", request: sendRequest, contentType: json10,
		prefix: "SQS", other: "SQS.AmazonSQSException", label: "AmazonSQS"},
	"sns:publish": {service: "sns", operation: "Publish", token: true, verbatim: "Message", request: verbatimText, result: publishResult,
		prefix: "SNS", other: "SNS.AmazonSNSException", label: "AmazonSNS"},
	"states:startExecution": {service: "states", operation: "StartExecution", token: true, verbatim: "Input", request: startRequest, result: startResult,
		prefix: "StepFunctions", other: "StepFunctions.AWSStepFunctionsException", label: "AWSStepFunctions"},
})

// withSageMaker adds the integrations of SageMaker.
func withSageMaker(all map[string]integration) map[string]integration {
	for _, op := range []string{"createTrainingJob", "createProcessingJob", "createTransformJob", "createModel",
		"createEndpointConfig", "createEndpoint", "updateEndpoint"} {
		all["sagemaker:"+op] = integration{service: "sagemaker", operation: upperFirst(op), request: tagJob, contentType: json11,
			prefix: "SageMaker", other: "SageMaker.AmazonSageMakerException", label: "AmazonSageMaker"}
	}
	return all
}

// sdkServices are the names that aws-sdk: resources give to services.
var sdkServices = map[string]struct{ service, name string }{
	"cloudformation": {"cloudformation", "CloudFormation"}, "cloudwatchlogs": {"logs", "CloudWatchLogs"}, "ecr": {"ecr", "Ecr"},
	"eventbridge": {"events", "EventBridge"}, "iam": {"iam", "Iam"}, "lambda": {"lambda", "Lambda"}, "s3": {"s3", "S3"},
	"sagemaker": {"sagemaker", "SageMaker"}, "sfn": {"states", "Sfn"}, "sns": {"sns", "Sns"}, "sqs": {"sqs", "Sqs"},
	"ssm": {"ssm", "Ssm"}, "sts": {"sts", "Sts"},
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// find is the integration that a resource names.
func find(r asl.Resource) (integration, error) {
	if name, ok := strings.CutPrefix(r.Service, "aws-sdk:"); ok {
		svc, known := sdkServices[name]
		if !known {
			return integration{}, fmt.Errorf("the local cloud has no aws-sdk integration of %q", name)
		}
		if r.Action != model.LowerFirst(r.Action) {
			return integration{}, fmt.Errorf("an action begins in lower case: %s", r.ARN)
		}
		in := integration{service: svc.service, operation: upperFirst(r.Action), token: true, result: sdkResult(svc.service),
			prefix: svc.name, other: svc.name + "." + svc.name + "Exception", label: svc.name, modeled: modeledCodes[svc.service], sdk: true}
		switch name + ":" + r.Action { // members that are bytes in the API, and text in a task
		case "s3:putObject":
			in.verbatim, in.request = "Body", bodyRequest
		case "lambda:invoke":
			in.verbatim, in.request, in.result = "Payload", invokeRequest, payloadText
		}
		return in, nil
	}
	in, ok := integrations[r.Service+":"+r.Action]
	if !ok {
		return integration{}, fmt.Errorf("the local cloud does not support the resource %s", r.ARN)
	}
	return in, nil
}

// checkResource says why a Task state's resource is not supported.
func (s *StepFunctions) checkResource(r asl.Resource) error {
	if r.Lambda {
		return nil
	}
	in, err := find(r)
	if err != nil {
		return err
	}
	switch {
	case r.AwaitsJob() && jobOf(r) == nil, r.Pattern == "sync:2" && r.Service != "states", r.WaitsForToken() && !in.token:
		return asl.Unrecognized(r.ARN)
	case s.o.Serves != nil && !s.o.Serves(in.service, in.operation):
		return fmt.Errorf("the local cloud has no operation %s of %s: %s", in.operation, in.service, r.ARN)
	}
	return nil
}

// parameterProblems says which members of a task's parameters its API does not
// have, and which it needs.
func (s *StepFunctions) parameterProblems(t asl.TaskState) (problems []asl.Problem) {
	in, err := find(t.Resource)
	if t.Resource.Lambda || t.Parameters == nil || err != nil {
		return nil
	}
	var members, required []string
	if known := model.Of(in.service); known != nil {
		shape := known.Shapes[known.Operations[in.operation]]
		for _, m := range shape.Members {
			members = append(members, m[0])
		}
		required = shape.Required
	} else if s.o.Members != nil {
		members = s.o.Members(in.service, in.operation)
	}
	if members == nil {
		return nil
	}
	problem := func(format string, args ...any) {
		problems = append(problems, asl.Problem{Code: asl.SchemaFailed, Message: fmt.Sprintf(format, args...), Location: t.Location + "/Parameters"})
	}
	for _, name := range t.Parameters {
		if !slices.ContainsFunc(members, func(m string) bool { return upperFirst(m) == name }) {
			problem("The field %q is not supported by Step Functions", name)
		}
	}
	for _, name := range required {
		if !slices.Contains(t.Parameters, upperFirst(name)) {
			problem("The field %q is required but was missing", upperFirst(name))
		}
	}
	return problems
}

// runner makes the calls of Task states as the state machine's role.
type runner struct{ s *StepFunctions }

func (r runner) Run(ctx context.Context, c asl.Call) (string, error) {
	ctx = wire.WithCaller(ctx, r.s.caller(c.Execution))
	if c.Resource.Lambda {
		return r.function(ctx, c)
	}
	in, err := find(c.Resource)
	if err != nil {
		return "", &asl.TaskError{Name: "States.Runtime", Cause: err.Error()}
	}
	params, err := in.parameters(c.Parameters)
	if err != nil {
		return "", &asl.TaskError{Name: "States.Runtime", Cause: "The Parameters of a task must be an object: " + err.Error()}
	}
	sent := params
	if in.request != nil {
		if sent, err = in.request(in, c, params); err != nil {
			return "", err
		}
	}
	body, err := json.Marshal(sent)
	if err != nil {
		return "", fmt.Errorf("encode parameters of %s: %w", c.State, err)
	}
	req := request{id: uuid.NewString(), at: r.s.o.Clock.Now()}
	var out map[string]any
	raw, err := r.s.o.Call(ctx, in.service, in.operation, body)
	switch found, ours := r.adopt(ctx, c, sent, err); {
	case ours:
		out = found
	case err != nil:
		return "", in.taskError(err, req.id)
	default:
		if err := unmarshal(raw, &out); err != nil {
			return "", fmt.Errorf("read answer of %s:%s: %w", in.service, in.operation, err)
		}
	}
	var result any
	if in.result != nil {
		if result, err = in.result(params, out, raw, req); err != nil {
			return "", err
		}
	} else {
		result = withMetadata(out, len(raw), in.contentType, req)
	}
	text, err := encode(result)
	if err != nil {
		return "", fmt.Errorf("encode result of %s: %w", c.State, err)
	}
	return text, nil
}

// parameters reads a task's parameters; see integration.verbatim.
func (in integration) parameters(text string) (map[string]any, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return nil, err
	}
	params := make(map[string]any, len(members))
	for name, raw := range members {
		if raw[0] == '{' || raw[0] == '[' {
			if name == in.verbatim {
				params[name] = raw
				continue
			}
			if in.textMember(name) {
				params[name] = string(raw)
				continue
			}
		}
		var v any
		if err := unmarshal(raw, &v); err != nil {
			return nil, err
		}
		params[name] = v
	}
	return params, nil
}

// textMember tells whether an aws-sdk integration makes JSON text of what is given
// for this member, since the API wants text there.
func (in integration) textMember(name string) bool {
	known := model.Of(in.service)
	if !in.sdk || known == nil {
		return false
	}
	for _, m := range known.Shapes[known.Operations[in.operation]].Members {
		if upperFirst(m[0]) == name {
			return known.Shapes[m[1]].Type == "string"
		}
	}
	return false
}

// caller is the assumed role of an execution.
func (s *StepFunctions) caller(i asl.Info) wire.Caller {
	role := i.RoleARN[strings.LastIndex(i.RoleARN, "/")+1:]
	return wire.Caller{
		Account: s.o.Account, RoleARN: i.RoleARN,
		ARN: "arn:aws:sts::" + s.o.Account + ":assumed-role/" + role + "/" + i.Name,
	}
}

// unmarshal keeps the text of numbers.
func unmarshal(raw []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	return d.Decode(into)
}

func encode(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// taskError names an error of a service as its integration does.
func (in integration) taskError(err error, requestID string) error {
	var e *wire.Error
	if !errors.As(err, &e) {
		return &asl.TaskError{Name: in.prefix + ".SdkClientException", Cause: err.Error()}
	}
	name := in.other
	code := e.Code
	if slices.Contains(in.modeled, code) || in.service != "s3" && !commonCodes[code] {
		// SQS's query codes have the service in front: AWS.SimpleQueueService.NonExistentQueue.
		code = code[strings.LastIndex(code, ".")+1:]
		name = in.prefix + "." + strings.TrimSuffix(code, "Exception") + "Exception"
	}
	if in.sdk {
		extended := ""
		if in.service == "s3" {
			extended = ", Extended Request ID: " + requestID
		}
		return &asl.TaskError{Name: name, Cause: fmt.Sprintf("%s (Service: %s, Status Code: %d, Request ID: %s%s) (SDK Attempt Count: 1)",
			e.Message, in.label, e.HTTPStatus(), requestID, extended)}
	}
	return &asl.TaskError{Name: name, Cause: fmt.Sprintf("%s (Service: %s; Status Code: %d; Error Code: %s; Request ID: %s; Proxy: null)",
		e.Message, in.label, e.HTTPStatus(), e.Code, requestID)}
}

// withMetadata adds what the optimized integrations add to an API's output.
func withMetadata(out map[string]any, size int, contentType string, req request) map[string]any {
	return addMetadata(out, req.headers(size, contentType), 200, req.id)
}

// request is what tells one call of an API from another.
type request struct {
	id string // a UUID
	at time.Time
}

// The content types of answers.
const (
	json10 = "application/x-amz-json-1.0"
	json11 = "application/x-amz-json-1.1"
	xml    = "text/xml"
)

// headers are those that every answer has. The services of json10 and xml write
// "connection" in lower case.
func (r request) headers(size int, contentType string) map[string]string {
	connection := "Connection"
	if contentType == json10 || contentType == xml {
		connection = "connection"
	}
	return map[string]string{connection: "keep-alive", "Content-Length": fmt.Sprint(size), "Content-Type": contentType,
		"Date": r.at.UTC().Format(http.TimeFormat), "x-amzn-RequestId": r.id}
}

// trace is an X-Ray header that follows from the request.
func (r request) trace() string {
	hex := strings.ReplaceAll(r.id, "-", "") + strings.Repeat("0", 24)
	return fmt.Sprintf("Root=1-%08x-%s;Sampled=0", r.at.Unix(), hex[:24])
}

func addMetadata(out map[string]any, headers map[string]string, status int, requestID string) map[string]any {
	all := make(map[string][]string, len(headers))
	for k, v := range headers {
		all[k] = []string{v}
	}
	res := make(map[string]any, len(out)+2)
	for k, v := range out {
		res[k] = v
	}
	res["SdkHttpMetadata"] = map[string]any{"AllHttpHeaders": all, "HttpHeaders": headers, "HttpStatusCode": status}
	res["SdkResponseMetadata"] = map[string]string{"RequestId": requestID}
	return res
}

// commonCodes are errors of AWS's front door: an API does not name them, unless
// it is in modeledCodes, so that the SDK knows them by the service only.
var commonCodes = map[string]bool{"MissingParameter": true, "AccessDenied": true, "AccessDeniedException": true, "ValidationException": true, "ValidationError": true,
	"ThrottlingException": true, "InternalFailure": true, "UnknownOperationException": true}

var modeledCodes = map[string][]string{
	"states": {"ValidationException"}, "sns": {"ValidationException"},
	"logs": {"AccessDeniedException", "ThrottlingException", "ValidationException"},
	// S3's API names few of its errors: these are all.
	"s3": {"BucketAlreadyExists", "BucketAlreadyOwnedByYou", "EncryptionTypeMismatch", "IdempotencyParameterMismatch", "InvalidObjectState", "InvalidRequest",
		"InvalidWriteOffset", "NoSuchBucket", "NoSuchKey", "NoSuchUpload", "ObjectAlreadyInActiveTierError", "ObjectNotInActiveTierError", "TooManyParts"},
}

// sdkResult gives the members the SDK's names, and times as ISO 8601 text;
// services with lowerCamel members on the wire have them in upper case here.
func sdkResult(service string) func(params, out map[string]any, raw []byte, req request) (any, error) {
	return func(_, out map[string]any, _ []byte, _ request) (any, error) {
		switch service {
		case "logs": // its times are numbers in the API too
			return recase(out), nil
		case "states":
			return inISO(recase(out)), nil
		}
		return inISO(out), nil
	}
}

// inISO turns times into text as Java's Instant prints them: milliseconds only
// when there are some.
func inISO(v any) any {
	return eachTime(v, func(seconds json.Number) any {
		f, err := seconds.Float64()
		if err != nil {
			return seconds
		}
		at := time.UnixMilli(int64(math.Round(f * 1e3))).UTC()
		if at.Nanosecond() == 0 {
			return at.Format(time.RFC3339)
		}
		return at.Format("2006-01-02T15:04:05.000Z07:00")
	})
}

func recase(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			if k == "assignedVariables" { // names given by the user
				out[upperFirst(k)] = e
				continue
			}
			out[upperFirst(k)] = recase(e)
		}
		return out
	case []any:
		for i := range v {
			v[i] = recase(v[i])
		}
	}
	return v
}

// SupportedResources lists the task resources, sorted, for the documentation.
func SupportedResources() []string {
	list := []string{"arn:aws:lambda:<region>:<account>:function:<name>"}
	for name, in := range integrations {
		list = append(list, "arn:aws:states:::"+name)
		if in.token {
			list = append(list, "arn:aws:states:::"+name+".waitForTaskToken")
		}
		if jobs[name] != nil {
			list = append(list, "arn:aws:states:::"+name+".sync")
		}
		if in.service == "states" {
			list = append(list, "arn:aws:states:::"+name+".sync:2")
		}
	}
	for name := range sdkServices {
		list = append(list, "arn:aws:states:::aws-sdk:"+name+":<action>")
	}
	sort.Strings(list)
	return list
}
