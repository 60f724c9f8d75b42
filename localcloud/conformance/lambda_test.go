package conformance_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

const lambdaAPI = "https://docs.aws.amazon.com/lambda/latest/api/API_"

// functionZip is this test binary as a function's code: see function in program_test.go.
func functionZip() ([]byte, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	header.SetMode(0o755)
	w, err := z.CreateHeader(header)
	if err == nil {
		_, err = w.Write(raw)
	}
	err = errors.Join(err, z.Close())
	return b.Bytes(), err
}

// functionCode is a function's code in a bucket; it is zipped once for all.
func (c *call) functionCode() *types.FunctionCode {
	c.Helper()
	b := c.bucket()
	c.put(b, "code.zip", string(try(c.zipped()).ok(c))).ok(c)
	return &types.FunctionCode{S3Bucket: &b, S3Key: ref("code.zip")}
}

// function makes a function.
func (c *call) function() string {
	c.Helper()
	name := c.name()
	try(c.lambda.CreateFunction(c.ctx, &lambda.CreateFunctionInput{FunctionName: &name, Role: ref(c.roleARN()), Runtime: types.RuntimeProvidedal2023, Handler: ref("bootstrap"),
		Architectures: []types.Architecture{types.ArchitectureX8664}, Timeout: aws.Int32(30), Code: c.functionCode(),
		Environment: &types.Environment{Variables: map[string]string{"COLOUR": "blue"}}, Tags: map[string]string{"a": "1"}})).ok(c)
	c.after(func(ctx context.Context) error {
		_, err := c.lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name})
		_, logs := c.logs.DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: ref("/aws/lambda/" + name)})
		if gone(logs) {
			logs = nil // it never ran
		}
		return errors.Join(err, logs)
	})
	c.eventually("the function is active", func() bool {
		return try(c.lambda.GetFunctionConfiguration(c.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})).ok(c).State == types.StateActive
	})
	return name
}

func (c *call) invoke(name, payload string, with ...func(*lambda.InvokeInput)) result[*lambda.InvokeOutput] {
	in := &lambda.InvokeInput{FunctionName: &name, Payload: []byte(payload)}
	for _, f := range with {
		f(in)
	}
	return try(c.lambda.Invoke(c.ctx, in))
}

var lambdaBehaviours = []behaviour{
	{id: "lambda.tags", says: "a function's tags are set, listed and taken away", source: lambdaAPI + "TagResource.html", need: needRole, run: func(c *call) {
		arn := c.arn("lambda", "function:"+c.function())
		try(c.lambda.TagResource(c.ctx, &lambda.TagResourceInput{Resource: &arn, Tags: map[string]string{"b": "2"}})).ok(c)
		try(c.lambda.UntagResource(c.ctx, &lambda.UntagResourceInput{Resource: &arn, TagKeys: []string{"a"}})).ok(c)
		c.eventually("b alone", func() bool {
			tags := try(c.lambda.ListTags(c.ctx, &lambda.ListTagsInput{Resource: &arn})).ok(c).Tags
			return len(tags) == 1 && tags["b"] == "2"
		})
	}},
	{id: "lambda.concurrency", says: "a function with no executions reserved is throttled: TooManyRequestsException; without the reservation it runs", source: lambdaAPI + "PutFunctionConcurrency.html", need: needRole, run: func(c *call) {
		name := c.function()
		try(c.lambda.PutFunctionConcurrency(c.ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: &name, ReservedConcurrentExecutions: aws.Int32(0)})).ok(c)
		equal(c, "reserved", num(try(c.lambda.GetFunctionConcurrency(c.ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})).ok(c).ReservedConcurrentExecutions), 0)
		c.invoke(name, "{}").fails(c, 429, "TooManyRequestsException")
		try(c.lambda.DeleteFunctionConcurrency(c.ctx, &lambda.DeleteFunctionConcurrencyInput{FunctionName: &name})).ok(c)
		equal(c, "reserved", num(try(c.lambda.GetFunctionConcurrency(c.ctx, &lambda.GetFunctionConcurrencyInput{FunctionName: &name})).ok(c).ReservedConcurrentExecutions), -1)
	}},
	{id: "lambda.event-invoke-config", says: "how a function is invoked by events is put, changed in part, and deleted; without any it is ResourceNotFoundException", source: lambdaAPI + "UpdateFunctionEventInvokeConfig.html", need: needRole, run: func(c *call) {
		name := c.function()
		get := func() result[*lambda.GetFunctionEventInvokeConfigOutput] {
			return try(c.lambda.GetFunctionEventInvokeConfig(c.ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: &name}))
		}
		get().fails(c, 404, "ResourceNotFoundException", "doesn't have an EventInvokeConfig")
		try(c.lambda.PutFunctionEventInvokeConfig(c.ctx, &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &name, MaximumRetryAttempts: aws.Int32(1)})).ok(c)
		try(c.lambda.UpdateFunctionEventInvokeConfig(c.ctx, &lambda.UpdateFunctionEventInvokeConfigInput{FunctionName: &name, MaximumEventAgeInSeconds: aws.Int32(60)})).ok(c)
		c.eventually("both are told", func() bool {
			out := get().ok(c)
			return num(out.MaximumRetryAttempts) == 1 && num(out.MaximumEventAgeInSeconds) == 60
		})
		try(c.lambda.DeleteFunctionEventInvokeConfig(c.ctx, &lambda.DeleteFunctionEventInvokeConfigInput{FunctionName: &name})).ok(c)
	}},
	{id: "lambda.invoke", says: "a function is invoked with its event, and its answer and version come back", source: lambdaAPI + "Invoke.html", need: needRole, run: func(c *call) {
		out := c.invoke(c.function(), `{"n":1}`).ok(c)
		equal(c, "answer", []any{out.StatusCode, string(out.Payload), str(out.FunctionError), str(out.ExecutedVersion)}, `[200 {"n":1} <nil> $LATEST]`)
	}},
	{id: "lambda.invoke.by-arn", says: "a function is named by its ARN, whole or in part, and by $LATEST", source: lambdaAPI + "Invoke.html", need: needRole, run: func(c *call) {
		name := c.function()
		for _, form := range []string{c.arn("lambda", "function:"+name), c.account + ":function:" + name, name + ":$LATEST"} {
			equal(c, form, string(c.invoke(form, `1`).ok(c).Payload), "1")
		}
	}},
	{id: "lambda.invoke.error", says: "a function that fails is answered 200 with Unhandled, and its message and type", source: lambdaAPI + "Invoke.html", need: needRole, run: func(c *call) {
		out := c.invoke(c.function(), `{"fail":"no luck"}`).ok(c)
		equal(c, "answer", []any{out.StatusCode, str(out.FunctionError)}, "[200 Unhandled]")
		if !strings.Contains(string(out.Payload), `"errorMessage":"no luck"`) || !strings.Contains(string(out.Payload), `"errorType":"Asked"`) {
			c.Errorf("payload %s", out.Payload)
		}
	}},
	{id: "lambda.invoke.environment", says: "a function has its own variables, and those of the runtime", source: "https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html", need: needRole, run: func(c *call) {
		name := c.function()
		for variable, want := range map[string]string{"COLOUR": "blue", "AWS_LAMBDA_FUNCTION_NAME": name, "AWS_REGION": c.cfg.Region, "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "_HANDLER": "bootstrap"} {
			equal(c, variable, string(c.invoke(name, `{"env":"`+variable+`"}`).ok(c).Payload), `"`+want+`"`)
		}
	}},
	{id: "lambda.invoke.event", says: "an Event is answered 202 without a payload, and DryRun 204", source: lambdaAPI + "Invoke.html", need: needRole, run: func(c *call) {
		name := c.function()
		out := c.invoke(name, `{}`, func(in *lambda.InvokeInput) { in.InvocationType = types.InvocationTypeEvent }).ok(c)
		equal(c, "event", []any{out.StatusCode, len(out.Payload)}, "[202 0]")
		equal(c, "dry run", c.invoke(name, `{}`, func(in *lambda.InvokeInput) { in.InvocationType = types.InvocationTypeDryRun }).ok(c).StatusCode, 204)
	}},
	{id: "lambda.invoke.tail", says: "with LogType Tail the end of the log comes with the answer", source: lambdaAPI + "Invoke.html", need: needRole, run: func(c *call) {
		out := c.invoke(c.function(), `{"log":"hello"}`, func(in *lambda.InvokeInput) { in.LogType = types.LogTypeTail }).ok(c)
		if log := string(try(base64.StdEncoding.DecodeString(str(out.LogResult))).ok(c)); !strings.Contains(log, "hello") || !strings.Contains(log, "START RequestId: ") || !strings.Contains(log, "REPORT RequestId: ") {
			c.Errorf("log: %s", log)
		}
	}},
	{id: "lambda.invoke.missing", says: "a function that is not there is ResourceNotFoundException", source: lambdaAPI + "Invoke.html", run: func(c *call) {
		name := c.name()
		c.invoke(name, "{}").fails(c, 404, "ResourceNotFoundException", "Function not found: "+c.arn("lambda", "function:"+name))
		try(c.lambda.GetFunction(c.ctx, &lambda.GetFunctionInput{FunctionName: &name})).fails(c, 404, "ResourceNotFoundException", "Function not found: "+c.arn("lambda", "function:"+name))
	}},
	{id: "lambda.invoke.no-json", says: "a payload that is no JSON is InvalidRequestContentException", source: lambdaAPI + "Invoke.html", need: needRole, run: func(c *call) {
		c.invoke(c.function(), `{`).fails(c, 400, "InvalidRequestContentException", "Could not parse request body into json")
	}},
	{id: "lambda.create.exists", says: "a function of a name that is taken is ResourceConflictException", source: lambdaAPI + "CreateFunction.html", need: needRole, run: func(c *call) {
		name := c.function()
		try(c.lambda.CreateFunction(c.ctx, &lambda.CreateFunctionInput{FunctionName: &name, Role: ref(c.roleARN()), Runtime: types.RuntimeProvidedal2023, Handler: ref("bootstrap"), Code: c.functionCode()})).
			fails(c, 409, "ResourceConflictException", "Function already exist: "+name)
	}},
	{id: "lambda.get", says: "a function is described as it was made, with defaults", source: lambdaAPI + "GetFunction.html", need: needRole, run: func(c *call) {
		name := c.function()
		out := try(c.lambda.GetFunction(c.ctx, &lambda.GetFunctionInput{FunctionName: &name})).ok(c)
		f := out.Configuration
		equal(c, "function", []any{str(f.FunctionArn), f.Runtime, num(f.MemorySize), num(f.Timeout), f.PackageType, str(f.Version), f.LastUpdateStatus, f.Environment.Variables, num(f.EphemeralStorage.Size), f.TracingConfig.Mode, out.Tags},
			[]any{c.arn("lambda", "function:"+name), "provided.al2023", 128, 30, "Zip", "$LATEST", "Successful", "map[COLOUR:blue]", 512, "PassThrough", "map[a:1]"})
		if len(str(f.CodeSha256)) != 44 || f.CodeSize == 0 {
			c.Errorf("code: %+v", f)
		}
	}},
	{id: "lambda.update", says: "a configuration's changes hold, the rest stays", source: lambdaAPI + "UpdateFunctionConfiguration.html", need: needRole, run: func(c *call) {
		name := c.function()
		try(c.lambda.UpdateFunctionConfiguration(c.ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, MemorySize: aws.Int32(256), Environment: &types.Environment{Variables: map[string]string{"COLOUR": "red"}}})).ok(c)
		c.eventually("the change", func() bool { return string(c.invoke(name, `{"env":"COLOUR"}`).ok(c).Payload) == `"red"` })
		f := try(c.lambda.GetFunctionConfiguration(c.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})).ok(c)
		equal(c, "function", []int64{num(f.MemorySize), num(f.Timeout)}, "[256 30]")
	}},
	{id: "lambda.list", says: "functions are listed in pages", source: lambdaAPI + "ListFunctions.html", need: needRole, run: func(c *call) {
		name := c.function()
		found := 0
		pages := lambda.NewListFunctionsPaginator(c.lambda, &lambda.ListFunctionsInput{MaxItems: aws.Int32(1)})
		for pages.HasMorePages() {
			for _, f := range try(pages.NextPage(c.ctx)).ok(c).Functions {
				if *f.FunctionName == name {
					found++
				}
			}
		}
		equal(c, "found", found, 1)
	}},
	{id: "lambda.policy", says: "permissions are added once each, shown as a policy, and removed", source: lambdaAPI + "AddPermission.html", need: needRole, run: func(c *call) {
		name := c.function()
		try(c.lambda.GetPolicy(c.ctx, &lambda.GetPolicyInput{FunctionName: &name})).fails(c, 404, "ResourceNotFoundException", "The resource you requested does not exist.")
		in := &lambda.AddPermissionInput{FunctionName: &name, StatementId: ref("s"), Action: ref("lambda:InvokeFunction"), Principal: ref("events.amazonaws.com")}
		try(c.lambda.AddPermission(c.ctx, in)).ok(c)
		try(c.lambda.AddPermission(c.ctx, in)).fails(c, 409, "ResourceConflictException", "The statement id (s) provided already exists.")
		if policy := str(try(c.lambda.GetPolicy(c.ctx, &lambda.GetPolicyInput{FunctionName: &name})).ok(c).Policy); !strings.Contains(policy, `"Sid":"s"`) || !strings.Contains(policy, `{"Service":"events.amazonaws.com"}`) {
			c.Errorf("policy %s", policy)
		}
		try(c.lambda.RemovePermission(c.ctx, &lambda.RemovePermissionInput{FunctionName: &name, StatementId: ref("s")})).ok(c)
		try(c.lambda.GetPolicy(c.ctx, &lambda.GetPolicyInput{FunctionName: &name})).fails(c, 404, "ResourceNotFoundException")
	}},
	{id: "lambda.revision", says: "a creation and updates are answered while they are under way, with a revision that is not the last one", source: recorded + "lambda_/test_lambda_api.snapshot.json", need: needRole, run: func(c *call) {
		name := c.function()
		out := try(c.lambda.UpdateFunctionConfiguration(c.ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &name, Description: ref("new")})).ok(c)
		equal(c, "update", []any{out.State, out.LastUpdateStatus, str(out.LastUpdateStatusReason)}, "[Active InProgress The function is being created.]")
		get := func() *lambda.GetFunctionConfigurationOutput {
			return try(c.lambda.GetFunctionConfiguration(c.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})).ok(c)
		}
		c.eventually("the update is over", func() bool { return get().LastUpdateStatus == types.LastUpdateStatusSuccessful })
		code := c.functionCode()
		update := &lambda.UpdateFunctionCodeInput{FunctionName: &name, S3Bucket: code.S3Bucket, S3Key: code.S3Key, RevisionId: out.RevisionId}
		try(c.lambda.UpdateFunctionCode(c.ctx, update)).fails(c, 412, "PreconditionFailedException", "Call the GetFunction/GetAlias API to retrieve the latest Revision Id")
		update.RevisionId = get().RevisionId
		try(c.lambda.UpdateFunctionCode(c.ctx, update)).ok(c)
	}},
	{id: "lambda.policy.revision", says: "a permission makes a revision of the function, and may ask for the one before", source: recorded + "lambda_/test_lambda_api.snapshot.json", need: needRole, run: func(c *call) {
		name := c.function()
		revision := func() *string {
			return try(c.lambda.GetFunctionConfiguration(c.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})).ok(c).RevisionId
		}
		in := &lambda.AddPermissionInput{FunctionName: &name, StatementId: ref("s"), Action: ref("lambda:InvokeFunction"), Principal: ref("events.amazonaws.com"), RevisionId: ref("wrong")}
		try(c.lambda.AddPermission(c.ctx, in)).fails(c, 412, "PreconditionFailedException", "Call the GetPolicy API to retrieve the latest Revision Id")
		in.RevisionId = revision()
		try(c.lambda.AddPermission(c.ctx, in)).ok(c)
		after := str(revision())
		equal(c, "same revision", []bool{after == *in.RevisionId, after == str(try(c.lambda.GetPolicy(c.ctx, &lambda.GetPolicyInput{FunctionName: &name})).ok(c).RevisionId)}, "[false true]")
	}},
	{id: "lambda.policy.refused", says: "a permission is for the function itself, and for a principal that there can be", source: recorded + "lambda_/test_lambda_api.snapshot.json", need: needRole, run: func(c *call) {
		name := c.function()
		in := &lambda.AddPermissionInput{FunctionName: &name, StatementId: ref("s"), Action: ref("lambda:InvokeFunction"), Principal: ref("invalid.nonaws.com")}
		try(c.lambda.AddPermission(c.ctx, in)).fails(c, 400, "InvalidParameterValueException", "The provided principal was invalid. Please check the principal and try again.")
		in.Principal, in.Qualifier = ref("events.amazonaws.com"), ref("$LATEST")
		try(c.lambda.AddPermission(c.ctx, in)).fails(c, 400, "InvalidParameterValueException", "We currently do not support adding policies for $LATEST.")
		try(c.lambda.RemovePermission(c.ctx, &lambda.RemovePermissionInput{FunctionName: &name, StatementId: ref("s")})).fails(c, 404, "ResourceNotFoundException", "No policy is associated with the given resource.")
	}},
	{id: "lambda.delete.latest", says: "$LATEST is not deleted alone, and a version that is not there is deleted without an error", source: recorded + "lambda_/test_lambda_api.snapshot.json", need: needRole, run: func(c *call) {
		name := c.function()
		try(c.lambda.DeleteFunction(c.ctx, &lambda.DeleteFunctionInput{FunctionName: &name, Qualifier: ref("$LATEST")})).fails(c, 400, "InvalidParameterValueException", "$LATEST version cannot be deleted without deleting the function.")
		try(c.lambda.DeleteFunction(c.ctx, &lambda.DeleteFunctionInput{FunctionName: &name, Qualifier: ref("1233")})).ok(c)
		out := try(c.lambda.GetFunctionConfiguration(c.ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name, Qualifier: ref("$LATEST")})).ok(c)
		equal(c, "ARN", str(out.FunctionArn), c.arn("lambda", "function:"+name)+":$LATEST")
	}},
	{id: "lambda.event-invoke-config.refused", says: "how a function is invoked by events says something, and its destination is another function that is there", source: recorded + "lambda_/test_lambda_api.snapshot.json", need: needRole, run: func(c *call) {
		name := c.function()
		put := func(in lambda.PutFunctionEventInvokeConfigInput, to string) result[*lambda.PutFunctionEventInvokeConfigOutput] {
			in.FunctionName = &name
			if to != "" {
				in.DestinationConfig = &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: &to}}
			}
			return try(c.lambda.PutFunctionEventInvokeConfig(c.ctx, &in))
		}
		put(lambda.PutFunctionEventInvokeConfigInput{}, "").fails(c, 400, "InvalidParameterValueException", "You must specify at least one of error handling or destination setting.")
		put(lambda.PutFunctionEventInvokeConfigInput{}, c.arn("lambda", "function:"+name)).fails(c, 400, "InvalidParameterValueException", "You can't specify the function as a destination for itself.")
		missing := c.arn("lambda", "function:"+c.name())
		put(lambda.PutFunctionEventInvokeConfigInput{}, missing).fails(c, 400, "InvalidParameterValueException", "The destination ARN "+missing+" is invalid.")
		name = c.name()
		put(lambda.PutFunctionEventInvokeConfigInput{MaximumRetryAttempts: aws.Int32(1)}, "").fails(c, 404, "ResourceNotFoundException", "The function doesn't exist.")
	}},
	{id: "lambda.concurrency.refused", says: "a hundred executions of the account stay unreserved", source: recorded + "lambda_/test_lambda_api.snapshot.json", need: needRole, run: func(c *call) {
		name := c.function()
		try(c.lambda.PutFunctionConcurrency(c.ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: &name, ReservedConcurrentExecutions: aws.Int32(100_000)})).
			fails(c, 400, "InvalidParameterValueException", "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [")
		name += ":$LATEST"
		try(c.lambda.PutFunctionConcurrency(c.ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: &name, ReservedConcurrentExecutions: aws.Int32(1)})).
			fails(c, 400, "InvalidParameterValueException", "This operation is permitted on Lambda functions only.")
	}},
	{id: "lambda.tags.qualified", says: "versions have no tags", source: recorded + "lambda_/test_lambda_api.snapshot.json", need: needRole, run: func(c *call) {
		arn := c.arn("lambda", "function:"+c.function()+":v1")
		try(c.lambda.TagResource(c.ctx, &lambda.TagResourceInput{Resource: &arn, Tags: map[string]string{"b": "2"}})).
			fails(c, 400, "InvalidParameterValueException", "Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}},
	{id: "lambda.invoke.request-id", says: "the id of the request is that of the invocation, in its log", source: recorded + "lambda_/test_lambda.snapshot.json", need: needRole, run: func(c *call) {
		out := c.invoke(c.function(), `{}`, func(in *lambda.InvokeInput) { in.LogType = types.LogTypeTail }).ok(c)
		id, _ := middleware.GetRequestIDMetadata(out.ResultMetadata)
		if log := string(try(base64.StdEncoding.DecodeString(str(out.LogResult))).ok(c)); id == "" || !strings.Contains(log, "END RequestId: "+id) {
			c.Errorf("request %s, log: %s", id, log)
		}
	}},
	{id: "lambda.concurrency.zero", says: "an event for a function with no executions reserved is given up untried: ZeroReservedConcurrency", source: recorded + "lambda_/test_lambda.snapshot.json", need: needRole, run: func(c *call) {
		name, queue := c.function(), c.queue()
		try(c.lambda.PutFunctionConcurrency(c.ctx, &lambda.PutFunctionConcurrencyInput{FunctionName: &name, ReservedConcurrentExecutions: aws.Int32(0)})).ok(c)
		target := c.queueARN(queue)
		c.eventually("the role may send to the queue", func() bool {
			_, err := c.lambda.PutFunctionEventInvokeConfig(c.ctx, &lambda.PutFunctionEventInvokeConfigInput{FunctionName: &name, DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: &target}}})
			return err == nil
		})
		c.invoke(name, `{"n":1}`, func(in *lambda.InvokeInput) { in.InvocationType = types.InvocationTypeEvent }).ok(c)
		if record := str(c.message(queue).Body); !strings.Contains(record, `"condition":"ZeroReservedConcurrency"`) || !strings.Contains(record, `"approximateInvokeCount":0`) {
			c.Errorf("record %s", record)
		}
	}},
}
