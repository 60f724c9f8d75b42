package localcloud_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/localcloud"
)

// Tasks that call S3 by the SDK's names, as the machine's role: objects go in and
// out as text, errors have the SDK's names, and what the role may not is denied.
func TestTasksOfTheSDK(t *testing.T) {
	c := serve(t, localcloud.Options{Ephemeral: true})
	ctx, store := t.Context(), s3.NewFromConfig(c.config(), func(o *s3.Options) { o.UsePathStyle = true })
	must[*s3.CreateBucketOutput](t)(store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("box")}))
	must[*s3.CreateBucketOutput](t)(store.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("closed")}))
	roles := iam.NewFromConfig(c.config())
	role := must[*iam.CreateRoleOutput](t)(roles.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("machine"),
		AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"states.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)}))
	must[*iam.PutRolePolicyOutput](t)(roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("machine"), PolicyName: aws.String("p"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":["arn:aws:s3:::box","arn:aws:s3:::box/*","arn:aws:s3:::none"]},{"Effect":"Allow","Action":"ssm:*","Resource":"*"}]}`)}))

	machines := sfn.NewFromConfig(c.config())
	task := func(action, parameters string) string {
		return `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::aws-sdk:` + action + `","Parameters":` + parameters + `,"End":true}}}`
	}
	run := func(name, definition string) *sfn.DescribeExecutionOutput {
		t.Helper()
		m := must[*sfn.CreateStateMachineOutput](t)(machines.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: &name, Definition: &definition, RoleArn: role.Role.Arn}))
		x := must[*sfn.StartExecutionOutput](t)(machines.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn, Input: aws.String(`{"z":1,"a":[2.50]}`)}))
		for {
			d := must[*sfn.DescribeExecutionOutput](t)(machines.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: x.ExecutionArn}))
			if d.Status != "RUNNING" {
				return d
			}
			time.Sleep(2 * time.Millisecond)
		}
	}
	for _, tc := range []struct {
		name, action, parameters string
		status                   string
		output                   map[string]any // members that the output has
		failure, cause           string
	}{
		{name: "put", action: "s3:putObject", parameters: `{"Bucket":"box","Key":"k","Body.$":"$","Metadata":{"m":"1"}}`, status: "SUCCEEDED", output: map[string]any{"ETag": `"0f3affd800b15340729cb5a16b92658c"`}},
		{name: "get", action: "s3:getObject", parameters: `{"Bucket":"box","Key":"k"}`, status: "SUCCEEDED",
			output: map[string]any{"Body": `{"z":1,"a":[2.50]}`, "ContentLength": 18.0, "AcceptRanges": "bytes", "Metadata": map[string]any{"m": "1"}}},
		{name: "put-text", action: "s3:putObject", parameters: `{"Bucket":"box","Key":"t","Body":"text"}`, status: "SUCCEEDED"},
		{name: "get-text", action: "s3:getObject", parameters: `{"Bucket":"box","Key":"t"}`, status: "SUCCEEDED",
			output: map[string]any{"Body": `"text"`, "ContentLength": 6.0, "ContentType": "text/plain; charset=UTF-8"}},
		{name: "part", action: "s3:getObject", parameters: `{"Bucket":"box","Key":"k","Range":"bytes=0-4"}`, status: "SUCCEEDED", output: map[string]any{"Body": `{"z":`, "ContentRange": "bytes 0-4/18"}},
		{name: "head", action: "s3:headObject", parameters: `{"Bucket":"box","Key":"k"}`, status: "SUCCEEDED", output: map[string]any{"ContentLength": 18.0}},
		{name: "copy", action: "s3:copyObject", parameters: `{"Bucket":"box","Key":"k2","CopySource":"box/k"}`, status: "SUCCEEDED"},
		{name: "list", action: "s3:listObjectsV2", parameters: `{"Bucket":"box","Prefix":"k","MaxKeys":1}`, status: "SUCCEEDED", output: map[string]any{"KeyCount": 1.0, "IsTruncated": true, "Name": "box"}},
		{name: "tag", action: "s3:putObjectTagging", parameters: `{"Bucket":"box","Key":"k2","Tagging":{"TagSet":[{"Key":"t","Value":"v"}]}}`, status: "SUCCEEDED"},
		{name: "tags", action: "s3:getObjectTagging", parameters: `{"Bucket":"box","Key":"k2"}`, status: "SUCCEEDED", output: map[string]any{"TagSet": []any{map[string]any{"Key": "t", "Value": "v"}}}},
		{name: "delete", action: "s3:deleteObject", parameters: `{"Bucket":"box","Key":"k2"}`, status: "SUCCEEDED"},
		{name: "gone", action: "s3:getObject", parameters: `{"Bucket":"box","Key":"k2"}`, status: "FAILED", failure: "S3.NoSuchKeyException", cause: "The specified key does not exist. (Service: S3, Status Code: 404, Request ID: "},
		{name: "no-bucket", action: "s3:headBucket", parameters: `{"Bucket":"none"}`, status: "FAILED", failure: "S3.NoSuchBucketException"},
		{name: "denied", action: "s3:listObjectsV2", parameters: `{"Bucket":"closed"}`, status: "FAILED", failure: "S3.S3Exception", cause: "is not authorized to perform: s3:ListBucket"},
		{name: "parameter", action: "ssm:putParameter", parameters: `{"Name":"/p","Value":"v","Type":"String"}`, status: "SUCCEEDED", output: map[string]any{"Version": 1.0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := run(tc.name, task(tc.action, tc.parameters))
			if string(d.Status) != tc.status || tc.failure != "" && aws.ToString(d.Error) != tc.failure || !strings.Contains(aws.ToString(d.Cause), tc.cause) {
				t.Fatalf("%s, %s: %s; want %s, %s: %s", d.Status, aws.ToString(d.Error), aws.ToString(d.Cause), tc.status, tc.failure, tc.cause)
			}
			if tc.status != "SUCCEEDED" {
				return
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(*d.Output), &got); err != nil {
				t.Fatal(err)
			}
			for k, want := range tc.output {
				a, _ := json.Marshal(got[k])
				b, _ := json.Marshal(want)
				if string(a) != string(b) {
					t.Errorf("%s is %s, want %s", k, a, b)
				}
			}
		})
	}
	for name, call := range map[string][2]string{"no-operation": {"s3:selectObjectContent", `{}`}, "no-service": {"polly:synthesizeSpeech", `{}`},
		"capital": {"s3:GetObject", `{}`}, "no-member": {"s3:getObject", `{"Bucket":"box","Key":"k","Colour":"red"}`}} {
		definition := task(call[0], call[1])
		_, err := machines.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: &name, Definition: &definition, RoleArn: role.Role.Arn})
		if code(err) != "InvalidDefinition" || !strings.Contains(err.Error(), "/States/T") {
			t.Errorf("%s: %v", call, err)
		}
	}
}
