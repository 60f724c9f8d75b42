package cloudformation_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func TestStacks_CreateEverything(t *testing.T) {
	c := open(t)
	s := c.create(t, "Full", full(t), "WorkerImage", image)
	if s.StackStatus != types.StackStatusCreateComplete {
		t.Fatalf("status %s: %s\n%s", s.StackStatus, aws.ToString(s.StackStatusReason), strings.Join(c.story(t, "Full"), "\n"))
	}
	out := map[string]string{}
	for _, o := range s.Outputs {
		out[*o.OutputKey] = *o.OutputValue
	}
	if out["Bucket"] != "data-000000000000-us-east-1" || out["First"] != "data" || len(out) != 3 ||
		!regexp.MustCompile(`^arn:aws:states:us-east-1:000000000000:stateMachine:Machine-[A-Z2-7]{12}$`).MatchString(out["Machine"]) {
		t.Errorf("outputs %v", out)
	}
	exports, err := c.client.ListExports(t.Context(), &api.ListExportsInput{})
	if err != nil || len(exports.Exports) != 1 || *exports.Exports[0].Name != "Full-machine" {
		t.Errorf("exports %v %v", exports, err)
	}
	resources, err := c.client.DescribeStackResources(t.Context(), &api.DescribeStackResourcesInput{StackName: aws.String("Full")})
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, r := range resources.StackResources {
		ids[*r.LogicalResourceId] = aws.ToString(r.PhysicalResourceId)
		if r.ResourceStatus != types.ResourceStatusCreateComplete {
			t.Errorf("%s is %s", *r.LogicalResourceId, r.ResourceStatus)
		}
	}
	if _, ok := ids["ProdOnly"]; ok || len(ids) != 20 {
		t.Errorf("%d resources: %v", len(ids), ids)
	}
	role, rule := ids["Role"], ids["Rule"]
	if !regexp.MustCompile(`^Full-Role-[A-Z2-7]{12}$`).MatchString(role) {
		t.Errorf("role %s", role)
	}
	if !strings.HasPrefix(ids["BusRule"], "approvals|Full-BusRule-") {
		t.Errorf("rule on a bus %s", ids["BusRule"])
	}
	checkCalls(t, c, role, rule)

	detail, err := c.client.DescribeStackResource(t.Context(), &api.DescribeStackResourceInput{StackName: aws.String("Full"), LogicalResourceId: aws.String("Data")})
	if err != nil {
		t.Fatal(err)
	}
	if got := aws.ToString(detail.StackResourceDetail.ResourceStatusReason); got != "recorded, without effect in the local cloud: BucketEncryption, PublicAccessBlockConfiguration" {
		t.Errorf("reason %q", got)
	}
}

// checkCalls compares what the services were asked with what the template says.
func checkCalls(t *testing.T, c *cloud, role, rule string) {
	t.Helper()
	for what, want := range map[string]string{
		"lambda:CreateFunction worker": `{"Code":{"S3Bucket":"cdk-hnb659fds-assets-000000000000-us-east-1","S3Key":"abc.zip"},"Environment":{"Variables":{"IMAGE":"` + image + `"}},` +
			`"FunctionName":"worker","Handler":"bootstrap","LoggingConfig":{"LogGroup":"/aws/lambda/worker"},"MemorySize":256,"Role":"arn:aws:iam::000000000000:role/` + role + `","Runtime":"provided.al2023","Timeout":30}`,
		"lambda:PutFunctionEventInvokeConfig worker": `"MaximumRetryAttempts":0`,
		"iam:PutRolePolicy RolePolicy":               `"Resource\":\"arn:aws:s3:::data-000000000000-us-east-1/*\"`,
		"iam:AttachRolePolicy " + role:               `"PolicyArn":"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"`,
		"logs:PutRetentionPolicy /aws/lambda/worker": `"retentionInDays":7`,
		"events:PutRule " + rule:                     `"EventPattern":"{\"detail\":{\"bucket\":{\"name\":[\"data-000000000000-us-east-1\"]}},\"source\":[\"aws.s3\"]}"`,
		"events:PutTargets " + rule:                  `"RetryPolicy":{"MaximumRetryAttempts":0}`,
		"events:PutPermission approvals":             `\"Sid\":\"people\"`,
		"s3:SetPolicy data-000000000000-us-east-1":   `arn:aws:s3:::data-000000000000-us-east-1/*`,
	} {
		in := c.world.input(what)
		raw, err := json.Marshal(in)
		got := strings.NewReplacer(`\u003e`, ">", `\u003c`, "<").Replace(string(raw))
		if err != nil || in == nil || !strings.Contains(got, want) {
			t.Errorf("%s: %s lacks %s (%v)", what, got, want, err)
		}
	}
	log := c.world.calls()
	for _, want := range []string{"s3:CreateBucket data-000000000000-us-east-1", "s3:SetVersioning data-000000000000-us-east-1 true", "s3:SetEventBridge data-000000000000-us-east-1 true",
		"sagemaker:CreateModelPackageGroup flights", "sns:CreateTopic notices"} {
		if !has(log, want) {
			t.Errorf("never called: %s", want)
		}
	}
	position := map[string]int{}
	for i, l := range log {
		position[l] = i
	}
	if position["iam:PutRolePolicy RolePolicy"] > position["lambda:CreateFunction worker"] {
		t.Error("DependsOn was not followed")
	}
	for what, in := range c.world.inputs {
		if strings.HasPrefix(what, "states:CreateStateMachine") && !strings.Contains(in["definition"].(string), "function:worker") {
			t.Errorf("definition %v: no substitution", in["definition"])
		}
	}
}

func TestStacks_NamesAreTheSameEachTime(t *testing.T) {
	a, b := open(t), open(t)
	a.create(t, "Full", full(t), "WorkerImage", image)
	b.create(t, "Full", full(t), "WorkerImage", image)
	if x, y := strings.Join(a.world.calls(), "\n"), strings.Join(b.world.calls(), "\n"); x != y {
		t.Errorf("calls differ:\n%s\n\n%s", x, y)
	}
}

func TestStacks_RefusedBeforeAnythingIsCreated(t *testing.T) {
	for name, tc := range map[string]struct {
		body, code string
		contains   []string
	}{
		"everything at once": {`{"Parameters":{"V":{"Type":"AWS::EC2::VPC::Id"}},"Resources":{
			"A":{"Type":"AWS::EC2::Instance"},
			"B":{"Type":"AWS::S3::Bucket","Properties":{"BucketNam":"x","VersioningConfiguration":{"State":"Enabled"},"Tags":"no"}},
			"C":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":{"Fn::GetAZs":"x"},"DisplayName":{"Fn::GetAtt":["B","Nothing"]}}},
			"D":{"Type":"AWS::IAM::Policy","Properties":{"PolicyName":{"Ref":"Nobody"}}},
			"E":{"Type":"AWS::SQS::Queue","DependsOn":"Nowhere","Properties":{"DelaySeconds":"soon","QueueName":{"Fn::Sub":"${Lost.Arn}-${B.Arn}"}}}},
			"Outputs":{"O":{"Value":{"Fn::GetAtt":["Missing","Arn"]}}}}`,
			"ValidationError", []string{"Parameters/V: parameter type \"AWS::EC2::VPC::Id\"", "Resources/A: resource type AWS::EC2::Instance is not supported",
				"Resources/B: property BucketNam is not known", "Resources/B/VersioningConfiguration: property State is not known", "Resources/C/TopicName: Fn::GetAZs is not supported",
				"Resources/C/DisplayName: resource B of type AWS::S3::Bucket has no attribute Nothing", "Resources/D/PolicyName: unresolved resource dependencies [Nobody]",
				"Resources/D: required property PolicyDocument is missing", "Resources/E: DependsOn names Nowhere", "Resources/E/DelaySeconds: expected a whole number, got \"soon\"",
				"Resources/E/QueueName: unresolved resource dependencies [Lost]", "Outputs/O: unresolved resource dependencies [Missing]", "Resources/B/Tags: expected an object, got the scalar no"}},
		"circle":           {`{"Resources":{"A":{"Type":"AWS::SNS::Topic","DependsOn":"B"},"B":{"Type":"AWS::SNS::Topic","DependsOn":["A"]},"C":{"Type":"AWS::SNS::Topic"}}}`, "ValidationError", []string{"Circular dependency between resources: [A, B]"}},
		"macro":            {`{"Transform":"AWS::Serverless-2016-10-31","Resources":{"A":{"Type":"AWS::SNS::Topic"}}}`, "ValidationError", []string{"Transform"}},
		"creation policy":  {`{"Resources":{"A":{"Type":"AWS::SNS::Topic","CreationPolicy":{}}}}`, "ValidationError", []string{`Resources/A: unknown field "CreationPolicy"`}},
		"no resources":     {`{"Resources":{}}`, "ValidationError", []string{"At least one Resources member"}},
		"not JSON":         {`{"Resources":`, "ValidationError", []string{"Template format error"}},
		"parameter needed": {`{"Parameters":{"P":{"Type":"String"}},"Resources":{"A":{"Type":"AWS::SNS::Topic"}}}`, "ValidationError", []string{"Parameters: [P] must have values"}},
		"pattern":          {`{"Parameters":{"P":{"Type":"String","Default":"x","AllowedPattern":"y+"}},"Resources":{"A":{"Type":"AWS::SNS::Topic"}}}`, "ValidationError", []string{"must match pattern y+"}},
		"allowed values":   {`{"Parameters":{"P":{"Type":"Number","Default":3,"AllowedValues":[1,2]}},"Resources":{"A":{"Type":"AWS::SNS::Topic"}}}`, "ValidationError", []string{"AllowedValues [1, 2]"}},
		"parameter store":  {`{"Parameters":{"P":{"Type":"AWS::SSM::Parameter::Value<String>","Default":"/mine"}},"Resources":{"A":{"Type":"AWS::SNS::Topic"}}}`, "ValidationError", []string{"Unable to fetch parameters [/mine] from parameter store for this account."}},
		"rule violated":    {`{"Parameters":{"P":{"Type":"String","Default":"x"}},"Rules":{"R":{"Assertions":[{"Assert":{"Fn::Equals":[{"Ref":"P"},"y"]},"AssertDescription":"be y"}]}},"Resources":{"A":{"Type":"AWS::SNS::Topic"}}}`, "ValidationError", []string{"rule R: be y"}},
		"named role":       {`{"Resources":{"R":{"Type":"AWS::IAM::Role","Properties":{"RoleName":"x","AssumeRolePolicyDocument":{}}}}}`, "InsufficientCapabilitiesException", []string{"CAPABILITY_NAMED_IAM"}},
		"too long":         {`{"Description":"` + strings.Repeat("x", 51200) + `"}`, "ValidationError", []string{"less than or equal to 51200"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: &tc.body, Capabilities: []types.Capability{types.CapabilityCapabilityIam}})
			wantCode(t, err, tc.code, tc.contains...)
			if log := c.world.calls(); len(log) > 0 {
				t.Errorf("called %v", log)
			}
			_, err = c.client.DescribeStacks(t.Context(), &api.DescribeStacksInput{StackName: aws.String("S")})
			wantCode(t, err, "ValidationError", "Stack with id S does not exist")
		})
	}
}

const three = `{"Resources":{
	"A":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"a"}},
	"B":{"Type":"AWS::SNS::Topic","DependsOn":"A","Properties":{"TopicName":"b"}},
	"C":{"Type":"AWS::S3::Bucket","DependsOn":"B","Properties":{"BucketName":"c-bucket"}}}}`

func TestStacks_CreationFailsAndRollsBack(t *testing.T) {
	c := open(t)
	c.world.fail["s3:CreateBucket c-bucket"] = &wire.Error{Code: "BucketAlreadyExists", Message: "taken", Status: 409}
	s := c.create(t, "S", three)
	if s.StackStatus != types.StackStatusRollbackComplete {
		t.Fatalf("status %s", s.StackStatus)
	}
	want := "S CREATE_IN_PROGRESS|A CREATE_IN_PROGRESS|A CREATE_IN_PROGRESS|A CREATE_COMPLETE|B CREATE_IN_PROGRESS|B CREATE_IN_PROGRESS|B CREATE_COMPLETE|C CREATE_IN_PROGRESS|C CREATE_FAILED|" +
		"S ROLLBACK_IN_PROGRESS|C DELETE_IN_PROGRESS|C DELETE_COMPLETE|B DELETE_IN_PROGRESS|B DELETE_COMPLETE|A DELETE_IN_PROGRESS|A DELETE_COMPLETE|S ROLLBACK_COMPLETE"
	if got := strings.Join(c.story(t, "S"), "|"); got != want {
		t.Errorf("story %s", got)
	}
	for _, e := range c.events(t, "S") {
		if e.ResourceStatus == types.ResourceStatusCreateFailed && !strings.Contains(*e.ResourceStatusReason, `"taken" (create bucket c-bucket`) {
			t.Errorf("reason %q", *e.ResourceStatusReason)
		}
	}
	if has(c.world.calls(), "s3:DeleteBucket c-bucket") {
		t.Error("a bucket that is not ours was deleted")
	}
	_, err := c.client.UpdateStack(t.Context(), &api.UpdateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(three)})
	wantCode(t, err, "ValidationError", "ROLLBACK_COMPLETE state and can not be updated")
	_, err = c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(three)})
	wantCode(t, err, "AlreadyExistsException", "Stack [S] already exists")
}

func TestStacks_HalfMadeResourceIsRemoved(t *testing.T) {
	c := open(t)
	c.world.fail["logs:PutRetentionPolicy g"] = wire.Errorf("InvalidParameterException", "no such retention")
	s := c.create(t, "S", `{"Resources":{"G":{"Type":"AWS::Logs::LogGroup","Properties":{"LogGroupName":"g","RetentionInDays":2}}}}`)
	if s.StackStatus != types.StackStatusRollbackComplete || !has(c.world.calls(), "logs:DeleteLogGroup g") {
		t.Errorf("status %s calls %v", s.StackStatus, c.world.calls())
	}
}

func TestStacks_RetainExceptOnCreate(t *testing.T) {
	body := strings.Replace(three, `"A":{`, `"A":{"DeletionPolicy":"Retain",`, 1)
	for _, except := range []bool{true, false} {
		c := open(t)
		c.world.fail["sns:CreateTopic b"] = wire.Errorf("InvalidParameter", "no")
		_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: &body, RetainExceptOnCreate: &except})
		if err != nil {
			t.Fatal(err)
		}
		c.settled(t, "S")
		if deleted := has(c.world.calls(), "sqs:DeleteQueue http://127.0.0.1/000000000000/a"); deleted != except {
			t.Errorf("except on create %v: deleted %v", except, deleted)
		}
	}
	c := open(t)
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: &body, TimeoutInMinutes: aws.Int32(5), NotificationARNs: []string{"arn:x"}})
	wantCode(t, err, "ValidationError", "does not support NotificationARNs, TimeoutInMinutes for stacks")
}

func TestStacks_DisableRollbackAndOnFailureDelete(t *testing.T) {
	for onFailure, want := range map[types.OnFailure]string{types.OnFailureDoNothing: "CREATE_FAILED", types.OnFailureDelete: "DELETE_COMPLETE"} {
		c := open(t)
		c.world.fail["sns:CreateTopic b"] = wire.Errorf("InvalidParameter", "no")
		out, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(three), OnFailure: onFailure})
		if err != nil {
			t.Fatal(err)
		}
		if s := c.settled(t, *out.StackId); string(s.StackStatus) != want {
			t.Errorf("%s: status %s", onFailure, s.StackStatus)
		}
		if deleted := has(c.world.calls(), "sqs:DeleteQueue http://127.0.0.1/000000000000/a"); deleted != (onFailure == types.OnFailureDelete) {
			t.Errorf("%s: queue deleted %v", onFailure, deleted)
		}
	}
}

func TestStacks_UpdateChangesOnlyWhatDiffers(t *testing.T) {
	c := open(t)
	c.create(t, "Full", full(t), "WorkerImage", image)
	c.world.forget()
	_, err := c.client.UpdateStack(t.Context(), &api.UpdateStackInput{StackName: aws.String("Full"), TemplateBody: aws.String(full(t)), Parameters: parameters("WorkerImage", image), Capabilities: []types.Capability{types.CapabilityCapabilityIam}})
	wantCode(t, err, "ValidationError", "No updates are to be performed.")
	both := parameters("WorkerImage", image)
	both[0].UsePreviousValue = aws.Bool(true)
	_, err = c.client.UpdateStack(t.Context(), &api.UpdateStackInput{StackName: aws.String("Full"), UsePreviousTemplate: aws.Bool(true), Parameters: both, Capabilities: []types.Capability{types.CapabilityCapabilityIam}})
	wantCode(t, err, "ValidationError", "Invalid input for parameter key WorkerImage. Cannot specify usePreviousValue as true and non empty value for a parameter")

	body := strings.NewReplacer(`"abc.zip"`, `"def.zip"`, `"MessageRetentionPeriod": 1209600`, `"VisibilityTimeout": 60`, `"CDKMetadata": {`, `"Extra": {"Type": "AWS::SNS::Topic"}, "CDKMetadata": {`,
		`"MaximumRetryAttempts": 0,
      "Dest`, `"MaximumRetryAttempts": 2,
      "Dest`).Replace(full(t))
	body = regexp.MustCompile(`(?m)^    "Subscribed".*\n`).ReplaceAllString(body, "")
	s := c.update(t, "Full", body, "WorkerImage", image, "Stage", "prod")
	if s.StackStatus != types.StackStatusUpdateComplete {
		t.Fatalf("status %s: %s\n%s", s.StackStatus, aws.ToString(s.StackStatusReason), strings.Join(c.story(t, "Full"), "\n"))
	}
	var kinds []string
	for _, l := range c.world.calls() {
		kinds = append(kinds, strings.Fields(l)[0])
	}
	want := "lambda:PutFunctionEventInvokeConfig lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration logs:PutRetentionPolicy sns:CreateTopic sns:CreateTopic sns:Unsubscribe sqs:SetQueueAttributes"
	if got := strings.Join(sorted(kinds), " "); got != want {
		t.Errorf("called %s", got)
	}
	if in := c.world.input("lambda:UpdateFunctionConfiguration worker"); in["Environment"].(map[string]any)["Variables"].(map[string]any)["PROD"] != "yes" {
		t.Errorf("configuration %v", in)
	}
	set, _ := json.Marshal(c.world.input("sqs:SetQueueAttributes http://127.0.0.1/000000000000/" + queueName(t, c)))
	if !strings.Contains(string(set), `{"MessageRetentionPeriod":"345600","VisibilityTimeout":"60"}`) {
		t.Errorf("queue attributes %s", set)
	}
	if last := s.Outputs[len(s.Outputs)-1]; *last.OutputKey != "OnlyProd" {
		t.Errorf("outputs %v", *last.OutputKey)
	}
}

func queueName(t *testing.T, c *cloud) string {
	t.Helper()
	out, err := c.client.DescribeStackResource(t.Context(), &api.DescribeStackResourceInput{StackName: aws.String("Full"), LogicalResourceId: aws.String("Dead")})
	if err != nil {
		t.Fatal(err)
	}
	id := *out.StackResourceDetail.PhysicalResourceId
	return id[strings.LastIndex(id, "/")+1:]
}

func TestStacks_ReplacementMakesTheNewBeforeRemovingTheOld(t *testing.T) {
	c := open(t)
	c.create(t, "S", `{"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":"old"}},"P":{"Type":"AWS::SNS::TopicPolicy","Properties":{"Topics":[{"Ref":"T"}],"PolicyDocument":{"a":1}}}}}`)
	c.world.forget()
	s := c.update(t, "S", `{"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":"new"}},"P":{"Type":"AWS::SNS::TopicPolicy","Properties":{"Topics":[{"Ref":"T"}],"PolicyDocument":{"a":1}}}}}`)
	if s.StackStatus != types.StackStatusUpdateComplete {
		t.Fatalf("status %s", s.StackStatus)
	}
	const arn = "arn:aws:sns:us-east-1:000000000000:"
	want := "sns:CreateTopic new|sns:SetTopicAttributes " + arn + "old|sns:SetTopicAttributes " + arn + "new|sns:DeleteTopic " + arn + "old"
	if got := strings.Join(c.world.calls(), "|"); got != want {
		t.Errorf("called %s", got)
	}
	_, err := c.client.UpdateStack(t.Context(), &api.UpdateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(
		`{"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":"new","Subscription":[{"Endpoint":"e","Protocol":"sqs"}]}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if s := c.settled(t, "S"); s.StackStatus != types.StackStatusUpdateRollbackComplete {
		t.Errorf("a custom-named resource was replaced: %s", s.StackStatus)
	}
}

func TestStacks_UpdateFailsAndRollsBack(t *testing.T) {
	c := open(t)
	c.create(t, "S", `{"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"q","VisibilityTimeout":10}},"T":{"Type":"AWS::SNS::Topic","DependsOn":"Q","Properties":{"TopicName":"t"}},
		"Z":{"Type":"AWS::SNS::Topic","DependsOn":"T","Properties":{"TopicName":"z"}}},"Outputs":{"O":{"Value":"before"}}}`)
	c.world.set(func() { c.world.fail["sns:CreateTopic bad"] = wire.Errorf("InvalidParameter", "bad name") })
	c.world.forget()
	s := c.update(t, "S", `{"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"q","VisibilityTimeout":99}},"N":{"Type":"AWS::SNS::Topic","DependsOn":"Q","Properties":{"TopicName":"n"}},
		"T":{"Type":"AWS::SNS::Topic","DependsOn":["N"],"Properties":{"TopicName":"bad"}}},"Outputs":{"O":{"Value":"after"}}}`)
	if s.StackStatus != types.StackStatusUpdateRollbackComplete || *s.Outputs[0].OutputValue != "before" {
		t.Fatalf("status %s", s.StackStatus)
	}
	log := strings.Join(c.world.calls(), "|")
	const queue = "http://127.0.0.1/000000000000/q"
	want := "sqs:SetQueueAttributes " + queue + "|sns:CreateTopic n|sns:CreateTopic bad|sqs:SetQueueAttributes " + queue + "|sns:DeleteTopic arn:aws:sns:us-east-1:000000000000:n"
	if log != want {
		t.Errorf("called %s", log)
	}
	if in := c.world.input("sqs:SetQueueAttributes " + queue); in["Attributes"].(map[string]any)["VisibilityTimeout"] != "10" {
		t.Errorf("restored to %v", in)
	}
	resources, err := c.client.ListStackResources(t.Context(), &api.ListStackResourcesInput{StackName: aws.String("S")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range resources.StackResourceSummaries {
		names = append(names, *r.LogicalResourceId+"="+aws.ToString(r.PhysicalResourceId))
	}
	const arn = "arn:aws:sns:us-east-1:000000000000:"
	if got := strings.Join(names, " "); got != "Q="+queue+" T="+arn+"t Z="+arn+"z" {
		t.Errorf("resources %s", got)
	}
	again := c.update(t, "S", `{"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"q","VisibilityTimeout":11}}}}`)
	if again.StackStatus != types.StackStatusUpdateComplete || !has(c.world.calls(), "sns:DeleteTopic "+arn+"z") {
		t.Errorf("after the rollback: %s", again.StackStatus)
	}
}

func TestStacks_DeleteKeepsWhatIsRetained(t *testing.T) {
	c := open(t)
	s := c.create(t, "Full", full(t), "WorkerImage", image)
	if _, err := c.client.UpdateTerminationProtection(t.Context(), &api.UpdateTerminationProtectionInput{StackName: aws.String("Full"), EnableTerminationProtection: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	_, err := c.client.DeleteStack(t.Context(), &api.DeleteStackInput{StackName: aws.String("Full")})
	wantCode(t, err, "ValidationError", "TerminationProtection is enabled")
	if _, err := c.client.UpdateTerminationProtection(t.Context(), &api.UpdateTerminationProtectionInput{StackName: aws.String("Full"), EnableTerminationProtection: aws.Bool(false)}); err != nil {
		t.Fatal(err)
	}
	c.world.forget()
	if _, err := c.client.DeleteStack(t.Context(), &api.DeleteStackInput{StackName: aws.String("Full")}); err != nil {
		t.Fatal(err)
	}
	if got := c.settled(t, *s.StackId); got.StackStatus != types.StackStatusDeleteComplete || got.DeletionTime == nil {
		t.Fatalf("status %s\n%s", got.StackStatus, strings.Join(c.story(t, *s.StackId), "\n"))
	}
	_, err = c.client.DescribeStacks(t.Context(), &api.DescribeStacksInput{StackName: aws.String("Full")})
	wantCode(t, err, "ValidationError", "does not exist")
	log := strings.Join(c.world.calls(), "|")
	for _, kept := range []string{"s3:DeleteBucket", "DeleteModelPackageGroup"} {
		if strings.Contains(log, kept) {
			t.Errorf("retained, but called %s", kept)
		}
	}
	for _, want := range []string{"lambda:DeleteFunction worker", "iam:DeleteRole ", "iam:DetachRolePolicy ", "events:RemoveTargets ", "events:DeleteRule ", "states:DeleteStateMachine ", "sns:Unsubscribe ", "logs:DeleteLogGroup "} {
		if !strings.Contains(log, want) {
			t.Errorf("never called %s", want)
		}
	}
	if strings.Index(log, "lambda:DeleteFunction") > strings.Index(log, "iam:DeleteRole ") {
		t.Error("the role went before the function")
	}
}

func TestStacks_DeleteFailsAndIsRetried(t *testing.T) {
	c := open(t)
	s := c.create(t, "S", three)
	c.world.set(func() {
		c.world.fail["s3:DeleteBucket c-bucket"] = &wire.Error{Code: "BucketNotEmpty", Message: "The bucket you tried to delete is not empty", Status: 409}
		c.world.fail["sns:DeleteTopic arn:aws:sns:us-east-1:000000000000:b"] = wire.Errorf("NotFound", "gone already")
	})
	if _, err := c.client.DeleteStack(t.Context(), &api.DeleteStackInput{StackName: aws.String("S")}); err != nil {
		t.Fatal(err)
	}
	if got := c.settled(t, "S"); got.StackStatus != types.StackStatusDeleteFailed || !strings.Contains(*got.StackStatusReason, "failed to delete: [C]") {
		t.Fatalf("status %s", got.StackStatus)
	}
	if _, err := c.client.DeleteStack(t.Context(), &api.DeleteStackInput{StackName: aws.String("S"), RetainResources: []string{"C"}}); err != nil {
		t.Fatal(err)
	}
	if got := c.settled(t, *s.StackId); got.StackStatus != types.StackStatusDeleteComplete {
		t.Errorf("status %s", got.StackStatus)
	}
}

func TestStacks_InterruptedOperationsAreTakenUp(t *testing.T) {
	c := open(t)
	gate := make(chan struct{})
	c.world.block["sns:CreateTopic b"] = gate
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(three)})
	if err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "the topic's turn", func() bool { return has(c.world.calls(), "sns:CreateTopic b") })
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c.world.set(func() { delete(c.world.block, "sns:CreateTopic b") })
	c.start(t)
	out, err := c.client.DescribeStacks(t.Context(), &api.DescribeStacksInput{StackName: aws.String("S")})
	if err != nil || out.Stacks[0].StackStatus != types.StackStatusCreateInProgress {
		t.Fatalf("after the stop: %v %v", out, err)
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := c.settled(t, "S")
	if s.StackStatus != types.StackStatusRollbackComplete || !strings.Contains(*s.StackStatusReason, "The local cloud was stopped during the operation") {
		t.Errorf("status %s: %s", s.StackStatus, aws.ToString(s.StackStatusReason))
	}
	log := c.world.calls()
	if !has(log, "sns:DeleteTopic arn:aws:sns:us-east-1:000000000000:b") || !has(log, "sqs:DeleteQueue http://127.0.0.1/000000000000/a") {
		t.Errorf("what was made, or may have been made, stays: %v", log)
	}
}

func TestStacks_ServiceRoleActs(t *testing.T) {
	c := open(t)
	role := "arn:aws:iam::000000000000:role/deploy"
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(three), RoleARN: &role,
		Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("ml")}}})
	if err != nil {
		t.Fatal(err)
	}
	c.settled(t, "S")
	if c.world.caller.RoleARN != role || c.world.caller.Root() {
		t.Errorf("called as %+v", c.world.caller)
	}
	if in := c.world.input("sqs:CreateQueue a"); in["Tags"].(map[string]any)["team"] != "ml" {
		t.Errorf("tags %v", in["Tags"])
	}
}
