package lambda_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/millrace-ml/millrace/localcloud/lambda"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

func TestFunctions_Lifecycle(t *testing.T) {
	c := open(t, func(o *lambda.Options) { o.Objects = objects{"assets/a.zip": code(t)} })
	ctx := t.Context()
	created, err := c.client.CreateFunction(ctx, &api.CreateFunctionInput{
		FunctionName: aws.String("f"), Role: aws.String(role), Runtime: types.RuntimeProvidedal2023, Handler: aws.String("bootstrap"),
		Code: &types.FunctionCode{S3Bucket: aws.String("assets"), S3Key: aws.String("a.zip")}, Tags: map[string]string{"k": "v"},
		Environment: &types.Environment{Variables: map[string]string{"STAGE": "1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(created.FunctionArn); got != "arn:aws:lambda:us-east-1:000000000000:function:f" {
		t.Errorf("ARN %s", got)
	}
	if created.State != types.StatePending || created.LastUpdateStatus != "" || aws.ToInt32(created.Timeout) != 3 || aws.ToInt32(created.MemorySize) != 128 {
		t.Errorf("state %s timeout %d memory %d", created.State, aws.ToInt32(created.Timeout), aws.ToInt32(created.MemorySize))
	}
	_, err = c.client.CreateFunction(ctx, &api.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String(role), Runtime: types.RuntimeProvidedal2023,
		Handler: aws.String("x"), Code: &types.FunctionCode{ZipFile: code(t)}})
	wantCode(t, err, "ResourceConflictException", "already exist")

	waiter := api.NewFunctionActiveV2Waiter(c.client)
	if err := waiter.Wait(ctx, &api.GetFunctionInput{FunctionName: created.FunctionArn}, time.Second); err != nil {
		t.Fatal(err)
	}
	updated, err := c.client.UpdateFunctionConfiguration(ctx, &api.UpdateFunctionConfigurationInput{FunctionName: aws.String("f"), Timeout: aws.Int32(9),
		Environment: &types.Environment{Variables: map[string]string{"STAGE": "2"}}})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(updated.RevisionId) == aws.ToString(created.RevisionId) {
		t.Error("revision did not change")
	}
	_, err = c.client.UpdateFunctionCode(ctx, &api.UpdateFunctionCodeInput{FunctionName: aws.String("f"), ZipFile: zipOf(t, file{"bootstrap", 0o755, []byte("x")}), RevisionId: created.RevisionId})
	wantCode(t, err, "PreconditionFailedException", "Revision Id")
	changed, err := c.client.UpdateFunctionCode(ctx, &api.UpdateFunctionCodeInput{FunctionName: aws.String("f"), ZipFile: zipOf(t, file{"bootstrap", 0o755, []byte("x")})})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(changed.CodeSha256) == aws.ToString(created.CodeSha256) || aws.ToInt32(changed.Timeout) != 9 {
		t.Errorf("code %s timeout %d", aws.ToString(changed.CodeSha256), aws.ToInt32(changed.Timeout))
	}
	if _, err := c.client.TagResource(ctx, &api.TagResourceInput{Resource: created.FunctionArn, Tags: map[string]string{"x": "y"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.UntagResource(ctx, &api.UntagResourceInput{Resource: created.FunctionArn, TagKeys: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := c.client.ListTags(ctx, &api.ListTagsInput{Resource: created.FunctionArn})
	if err != nil || len(tags.Tags) != 1 || tags.Tags["x"] != "y" {
		t.Errorf("tags %v, %v", tags.Tags, err)
	}
	if _, err := c.client.DeleteFunction(ctx, &api.DeleteFunctionInput{FunctionName: aws.String("f")}); err != nil {
		t.Fatal(err)
	}
	_, err = c.client.GetFunction(ctx, &api.GetFunctionInput{FunctionName: aws.String("f")})
	wantCode(t, err, "ResourceNotFoundException", "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f")
}

func TestFunctions_ListPages(t *testing.T) {
	c := open(t, nil)
	for _, n := range []string{"a", "b", "c"} {
		c.create(t, n, func(in *api.CreateFunctionInput) { in.Code.ZipFile = zipOf(t, file{"bootstrap", 0o755, []byte(n)}) })
	}
	var names []string
	pages := api.NewListFunctionsPaginator(c.client, &api.ListFunctionsInput{MaxItems: aws.Int32(2)})
	for pages.HasMorePages() {
		p, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range p.Functions {
			names = append(names, aws.ToString(f.FunctionName))
		}
	}
	if strings.Join(names, "") != "abc" {
		t.Errorf("names %v", names)
	}
}

func TestFunctions_RefusedAtCreation(t *testing.T) {
	c := open(t, nil)
	good := zipOf(t, file{"bootstrap", 0o755, []byte("x")})
	for name, tc := range map[string]struct {
		change         func(*api.CreateFunctionInput)
		code, contains string
	}{
		"another runtime": {func(in *api.CreateFunctionInput) { in.Runtime = types.RuntimePython312 }, "InvalidParameterValueException", "python3.12"},
		"no handler":      {func(in *api.CreateFunctionInput) { in.Handler = nil }, "InvalidParameterValueException", "mandatory"},
		"image":           {func(in *api.CreateFunctionInput) { in.PackageType = types.PackageTypeImage }, "InvalidParameterValueException", "container images"},
		"layers and publish": {func(in *api.CreateFunctionInput) {
			in.Layers, in.Publish = []string{"arn:aws:lambda:us-east-1:000000000000:layer:l:1"}, true
		}, "InvalidParameterValueException", "Layers, Publish"},
		"a role not there": {func(in *api.CreateFunctionInput) { in.Role = aws.String("arn:aws:iam::000000000000:role/other") }, "InvalidParameterValueException", "cannot be assumed by Lambda"},
		"not a role":       {func(in *api.CreateFunctionInput) { in.Role = aws.String("worker") }, "ValidationException", "'role'"},
		"timeout":          {func(in *api.CreateFunctionInput) { in.Timeout = aws.Int32(901) }, "ValidationException", "'timeout'"},
		"memory":           {func(in *api.CreateFunctionInput) { in.MemorySize = aws.Int32(64) }, "ValidationException", "'memorySize'"},
		"reserved variable": {func(in *api.CreateFunctionInput) {
			in.Environment = &types.Environment{Variables: map[string]string{"AWS_REGION": "x", "OK": "y"}}
		}, "InvalidParameterValueException", "Reserved keys used in this request: AWS_REGION"},
		"too many variables": {func(in *api.CreateFunctionInput) {
			in.Environment = &types.Environment{Variables: map[string]string{"BIG": strings.Repeat("x", 4096)}}
		}, "InvalidParameterValueException", "4KB"},
		"dead letters to kinesis": {func(in *api.CreateFunctionInput) {
			in.DeadLetterConfig = &types.DeadLetterConfig{TargetArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/s")}
		}, "InvalidParameterValueException", "kinesis"},
		"object not there": {func(in *api.CreateFunctionInput) {
			in.Code = &types.FunctionCode{S3Bucket: aws.String("bucket"), S3Key: aws.String("k")}
		}, "InvalidParameterValueException", "S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist."},
		"no code":   {func(in *api.CreateFunctionInput) { in.Code = &types.FunctionCode{} }, "InvalidParameterValueException", "source for function code"},
		"not a zip": {func(in *api.CreateFunctionInput) { in.Code.ZipFile = []byte("hello") }, "InvalidParameterValueException", "Could not unzip"},
		"slip":      {func(in *api.CreateFunctionInput) { in.Code.ZipFile = zipOf(t, file{"../../evil", 0o644, nil}) }, "InvalidParameterValueException", "leaves the code folder"},
		"absolute":  {func(in *api.CreateFunctionInput) { in.Code.ZipFile = zipOf(t, file{"/etc/evil", 0o644, nil}) }, "InvalidParameterValueException", "leaves the code folder"},
		"link": {func(in *api.CreateFunctionInput) {
			in.Code.ZipFile = zipOf(t, file{"l", 0o777 | 1<<27, []byte("/etc/passwd")})
		}, "InvalidParameterValueException", "only files and folders"},
		"name with NUL": {func(in *api.CreateFunctionInput) { in.Code.ZipFile = zipOf(t, file{"a\x00b/c", 0o644, nil}) }, "InvalidParameterValueException", "invalid argument"},
		"same twice": {func(in *api.CreateFunctionInput) {
			in.Code.ZipFile = zipOf(t, file{"a", 0o644, nil}, file{"a", 0o644, nil})
		}, "InvalidParameterValueException", "Could not unzip"},
	} {
		t.Run(name, func(t *testing.T) {
			in := &api.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String(role), Runtime: types.RuntimeProvidedal2023,
				Handler: aws.String("bootstrap"), Code: &types.FunctionCode{ZipFile: good}}
			tc.change(in)
			_, err := c.client.CreateFunction(t.Context(), in)
			wantCode(t, err, tc.code, tc.contains)
			if left, _ := filepath.Glob(filepath.Join(c.opts.Dir, ".scratch", "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestPermissions_ServicesNeedThePolicy(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	ctx := t.Context()
	const rule = "arn:aws:events:us-east-1:000000000000:rule/uploads"
	as := func(caller wire.Caller) error {
		_, err := c.Wire().Call(wire.WithCaller(ctx, caller), "Invoke", []byte(`{"FunctionName":"f","InvocationType":"DryRun"}`))
		return err
	}
	events := wire.Caller{Account: account, Service: "events.amazonaws.com", ARN: rule}
	if err := as(events); !wire.HasCode(err, "AccessDeniedException") {
		t.Fatalf("without a policy: %v", err)
	}
	added, err := c.client.AddPermission(ctx, &api.AddPermissionInput{FunctionName: aws.String("f"), StatementId: aws.String("s"), Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("events.amazonaws.com"), SourceArn: aws.String("arn:aws:events:us-east-1:000000000000:rule/up*")})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(aws.ToString(added.Statement), `"AWS:SourceArn"`) {
		t.Errorf("statement %s", aws.ToString(added.Statement))
	}
	if err := as(events); err != nil {
		t.Errorf("the rule named: %v", err)
	}
	for name, other := range map[string]wire.Caller{
		"another rule":    {Account: account, Service: "events.amazonaws.com", ARN: "arn:aws:events:us-east-1:000000000000:rule/down"},
		"another service": {Account: account, Service: "sns.amazonaws.com", ARN: rule},
		"no source":       {Account: account, Service: "events.amazonaws.com"},
	} {
		if err := as(other); !wire.HasCode(err, "AccessDeniedException") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = c.client.AddPermission(ctx, &api.AddPermissionInput{FunctionName: aws.String("f"), StatementId: aws.String("s"), Action: aws.String("lambda:InvokeFunction"), Principal: aws.String("*")})
	wantCode(t, err, "ResourceConflictException", "already exists")
	policy, err := c.client.GetPolicy(ctx, &api.GetPolicyInput{FunctionName: aws.String("f")})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Statement []struct{ Sid, Effect string }
	}
	if err := json.Unmarshal([]byte(aws.ToString(policy.Policy)), &doc); err != nil || len(doc.Statement) != 1 || doc.Statement[0].Sid != "s" {
		t.Errorf("policy %s, %v", aws.ToString(policy.Policy), err)
	}
	if _, err := c.client.RemovePermission(ctx, &api.RemovePermissionInput{FunctionName: aws.String("f"), StatementId: aws.String("s")}); err != nil {
		t.Fatal(err)
	}
	if err := as(events); !wire.HasCode(err, "AccessDeniedException") {
		t.Errorf("after removal: %v", err)
	}
}

func TestPermissions_RolesNeedIAM(t *testing.T) {
	var asked []string
	c := open(t, func(o *lambda.Options) {
		o.Authorize = func(_ context.Context, action, resource string) error {
			asked = append(asked, action+" "+resource)
			if action == "lambda:InvokeFunction" {
				return wire.Errorf("AccessDeniedException", "no")
			}
			return nil
		}
	})
	c.create(t, "f", nil)
	_, err := c.client.Invoke(t.Context(), &api.InvokeInput{FunctionName: aws.String("f")})
	wantCode(t, err, "AccessDeniedException", "no")
	want := "lambda:CreateFunction arn:aws:lambda:us-east-1:000000000000:function:f|iam:PassRole " + role + "|lambda:InvokeFunction arn:aws:lambda:us-east-1:000000000000:function:f"
	if got := strings.Join(asked, "|"); got != want {
		t.Errorf("asked %s", got)
	}
}

func TestEventInvokeConfig(t *testing.T) {
	c := open(t, nil)
	c.create(t, "f", nil)
	ctx, name := t.Context(), aws.String("f")
	_, err := c.client.GetFunctionEventInvokeConfig(ctx, &api.GetFunctionEventInvokeConfigInput{FunctionName: name})
	wantCode(t, err, "ResourceNotFoundException", "EventInvokeConfig")
	_, err = c.client.PutFunctionEventInvokeConfig(ctx, &api.PutFunctionEventInvokeConfigInput{FunctionName: name, MaximumRetryAttempts: aws.Int32(3)})
	wantCode(t, err, "ValidationException", "maximumRetryAttempts")
	queue := "arn:aws:sqs:us-east-1:000000000000:q"
	if _, err := c.client.PutFunctionEventInvokeConfig(ctx, &api.PutFunctionEventInvokeConfigInput{FunctionName: name, MaximumRetryAttempts: aws.Int32(0),
		DestinationConfig: &types.DestinationConfig{OnFailure: &types.OnFailure{Destination: &queue}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.UpdateFunctionEventInvokeConfig(ctx, &api.UpdateFunctionEventInvokeConfigInput{FunctionName: name, MaximumEventAgeInSeconds: aws.Int32(60)}); err != nil {
		t.Fatal(err)
	}
	got, err := c.client.GetFunctionEventInvokeConfig(ctx, &api.GetFunctionEventInvokeConfigInput{FunctionName: name})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToInt32(got.MaximumEventAgeInSeconds) != 60 || aws.ToInt32(got.MaximumRetryAttempts) != 0 || aws.ToString(got.DestinationConfig.OnFailure.Destination) != queue || got.LastModified == nil {
		t.Errorf("got %+v", got)
	}
	if _, err := c.client.DeleteFunctionEventInvokeConfig(ctx, &api.DeleteFunctionEventInvokeConfigInput{FunctionName: name}); err != nil {
		t.Fatal(err)
	}
}

func TestFunctions_NamedWrongly(t *testing.T) {
	c := open(t, nil)
	arn := "arn:aws:lambda:us-east-1:000000000000:function:f"
	for name, tc := range map[string]struct{ function, qualifier, code, contains string }{
		"a version that is not there": {"f", "7", "ResourceNotFoundException", "Function not found: " + arn + ":7"},
		"two qualifiers":              {arn + ":7", "8", "InvalidParameterValueException", "The derived qualifier from the function name does not match the specified qualifier."},
		"another region":              {"arn:aws:lambda:eu-west-1:000000000000:function:f", "$LATEST", "ResourceNotFoundException", "Functions from 'eu-west-1' are not reachable in this region ('us-east-1')"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.client.GetFunction(t.Context(), &api.GetFunctionInput{FunctionName: &tc.function, Qualifier: &tc.qualifier})
			wantCode(t, err, tc.code, tc.contains)
		})
	}
}
