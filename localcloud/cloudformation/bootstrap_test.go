package cloudformation_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// conditional has a type that this cloud does not have, as the CDK's bootstrap
// template has a KMS key.
const conditional = `{"Parameters":{"Key":{"Type":"String","Default":"no"},"Accounts":{"Type":"CommaDelimitedList","Default":""}},
	"Conditions":{"NewKey":{"Fn::Equals":[{"Ref":"Key"},"yes"]},"Trusted":{"Fn::Not":[{"Fn::Equals":["",{"Fn::Join":["",{"Ref":"Accounts"}]}]}]}},
	"Resources":{
		"K":{"Type":"AWS::KMS::Key","Condition":"NewKey","Properties":{"KeyPolicy":{"Statement":[]}}},
		"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":"t","DisplayName":{"Fn::If":["NewKey",{"Fn::GetAtt":["K","Arn"]},{"Fn::If":["Trusted","trusted","plain"]}]}}}}}`

func TestStacks_UnsupportedTypesUnderAFalseCondition(t *testing.T) {
	c := open(t)
	if s := c.create(t, "S", conditional); s.StackStatus != types.StackStatusCreateComplete {
		t.Fatalf("%s: %s", s.StackStatus, aws.ToString(s.StackStatusReason))
	}
	if in := c.world.input("sns:CreateTopic t"); in["Attributes"].(map[string]any)["DisplayName"] != "plain" {
		t.Errorf("topic made with %v", in)
	}
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("T"), TemplateBody: aws.String(conditional), Parameters: parameters("Key", "yes")})
	wantCode(t, err, "ValidationError", "Resources/K: resource type AWS::KMS::Key is not supported")
	_, err = c.client.UpdateStack(t.Context(), &api.UpdateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(conditional), Parameters: parameters("Key", "yes")})
	wantCode(t, err, "ValidationError", "Resources/K: resource type AWS::KMS::Key is not supported")
	_, err = c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("T"), TemplateBody: aws.String(strings.Replace(conditional, "AWS::KMS::Key", "AWS:KMS:Key", 1))})
	wantCode(t, err, "ValidationError", "Resources/K: resource type AWS:KMS:Key is not supported")
}

func TestChangeSets_ReferenceToWhatIsNotMade(t *testing.T) {
	c := open(t)
	body := strings.Replace(conditional, `["NewKey",{"Fn::GetAtt":["K","Arn"]},`, `["Trusted",{"Fn::GetAtt":["K","Arn"]},`, 1)
	_, err := c.client.CreateChangeSet(t.Context(), &api.CreateChangeSetInput{StackName: aws.String("S"), ChangeSetName: aws.String("c"), ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: &body, Parameters: parameters("Accounts", "111111111111")})
	wantCode(t, err, "ValidationError", "Unresolved resource dependencies [K] in the Resources block")
	_, err = c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: &body, Parameters: parameters("Accounts", "111111111111")})
	wantCode(t, err, "ValidationError", "Unresolved resource dependencies [K] in the Resources block")
	outputs := `{"Conditions":{"No":{"Fn::Equals":["a","b"]}},"Resources":{"T":{"Type":"AWS::SNS::Topic","Condition":"No"}},"Outputs":{"O":{"Value":{"Fn::GetAtt":["T","TopicArn"]}}}}`
	_, err = c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: &outputs})
	wantCode(t, err, "ValidationError", "Unresolved resource dependencies [T] in the Outputs block")
}

const registry = `{"Resources":{
	"P":{"Type":"AWS::SSM::Parameter","Properties":{"Name":"/a/version","Type":"String","Value":"1","Tags":{"k":"v"}}},
	"R":{"Type":"AWS::ECR::Repository","Properties":{"RepositoryName":"images","ImageTagMutability":"IMMUTABLE","LifecyclePolicy":{"LifecyclePolicyText":"{}"},
		"RepositoryPolicyText":{"Version":"2012-10-17","Statement":[]}}}},
	"Outputs":{"U":{"Value":{"Fn::GetAtt":["R","RepositoryUri"]}},"V":{"Value":{"Fn::Sub":"${P}=${P.Value}"}}}}`

func TestStacks_ParametersAndRepositories(t *testing.T) {
	c := open(t)
	made := c.create(t, "S", registry)
	outputs := map[string]string{}
	for _, o := range made.Outputs {
		outputs[*o.OutputKey] = *o.OutputValue
	}
	if made.StackStatus != types.StackStatusCreateComplete || outputs["U"] != "000000000000.dkr.ecr.us-east-1.amazonaws.com/images" || outputs["V"] != "/a/version=1" {
		t.Fatalf("%s: %v", made.StackStatus, outputs)
	}
	want := []string{"ecr:CreateRepository images", "ecr:PutLifecyclePolicy images", "ecr:SetRepositoryPolicy images", "ssm:PutParameter /a/version"}
	if got := sorted(c.world.calls()); !slices.Equal(got, want) {
		t.Errorf("created by %v", got)
	}
	c.world.forget()
	next := strings.NewReplacer(`"Value":"1","Tags":{"k":"v"}`, `"Value":"2","Tags":{"l":"w"}`, `"IMMUTABLE"`, `"MUTABLE"`, `"LifecyclePolicy":{"LifecyclePolicyText":"{}"},`, ``).Replace(registry)
	if s := c.update(t, "S", next); s.StackStatus != types.StackStatusUpdateComplete {
		t.Fatalf("%s: %s", s.StackStatus, aws.ToString(s.StackStatusReason))
	}
	want = []string{"ecr:DeleteLifecyclePolicy images", "ecr:PutImageTagMutability images", "ssm:AddTagsToResource /a/version", "ssm:PutParameter /a/version", "ssm:RemoveTagsFromResource /a/version"}
	if got := sorted(c.world.calls()); !slices.Equal(got, want) {
		t.Errorf("updated by %v", got)
	}
	if in := c.world.input("ssm:PutParameter /a/version"); in["Value"] != "2" || in["Overwrite"] != true {
		t.Errorf("parameter put with %v", in)
	}
	c.world.forget()
	if _, err := c.client.DeleteStack(t.Context(), &api.DeleteStackInput{StackName: aws.String("S")}); err != nil {
		t.Fatal(err)
	}
	c.settled(t, *made.StackId)
	if got := sorted(c.world.calls()); !slices.Equal(got, []string{"ecr:DeleteRepository images", "ssm:DeleteParameter /a/version"}) {
		t.Errorf("deleted by %v", got)
	}
}

func TestStacks_ParameterOfSomeoneElseStays(t *testing.T) {
	c := open(t)
	c.world.set(func() {
		c.world.fail["ssm:PutParameter /a/version"] = wire.Errorf("ParameterAlreadyExists", "The parameter already exists.")
	})
	if s := c.create(t, "S", registry); s.StackStatus != types.StackStatusRollbackComplete {
		t.Fatalf("%s", s.StackStatus)
	}
	if has(c.world.calls(), "ssm:DeleteParameter /a/version") {
		t.Error("the rollback deleted a parameter that the stack did not make")
	}
}

const kept = `{"Resources":{
	"B":{"Type":"AWS::S3::Bucket","DeletionPolicy":"RetainExceptOnCreate","Properties":{"BucketName":"b-bucket","VersioningConfiguration":{"Status":"Enabled"}}},
	"T":{"Type":"AWS::SNS::Topic","DependsOn":"B","Properties":{"TopicName":"t"}}}}`

func (c *cloud) importing(t *testing.T, name, body string) (*api.CreateChangeSetOutput, error) {
	t.Helper()
	return c.client.CreateChangeSet(t.Context(), &api.CreateChangeSetInput{StackName: &name, ChangeSetName: aws.String("c"), ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: &body,
		ImportExistingResources: aws.Bool(true), DeploymentConfig: &types.DeploymentConfig{Mode: types.DeploymentConfigModeStandard}})
}

func TestChangeSets_ImportWhatIsThere(t *testing.T) {
	c := open(t)
	c.world.set(func() { c.world.buckets["b-bucket"] = true })
	_, err := c.importing(t, "N", strings.Replace(kept, `"DeletionPolicy":"RetainExceptOnCreate",`, ``, 1))
	wantCode(t, err, "ValidationError", "must have the DeletionPolicy attribute", "B (b-bucket)")
	set, err := c.importing(t, "S", kept)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.client.DescribeChangeSet(t.Context(), &api.DescribeChangeSetInput{ChangeSetName: set.Id})
	if err != nil {
		t.Fatal(err)
	}
	if ch := got.Changes[0].ResourceChange; ch.Action != types.ChangeActionImport || *ch.PhysicalResourceId != "b-bucket" || !*got.ImportExistingResources {
		t.Errorf("planned %+v", ch)
	}
	if ch := got.Changes[1].ResourceChange; ch.Action != types.ChangeActionAdd {
		t.Errorf("planned %+v", ch)
	}
	if empty, err := c.client.GetTemplate(t.Context(), &api.GetTemplateInput{StackName: aws.String("S")}); err != nil || empty.TemplateBody != nil {
		t.Errorf("template of what is in review: %v, %v", empty, err)
	}
	_, err = c.client.GetTemplateSummary(t.Context(), &api.GetTemplateSummaryInput{StackName: aws.String("S")})
	wantCode(t, err, "ValidationError", "REVIEW_IN_PROGRESS")
	if _, err := c.client.ExecuteChangeSet(t.Context(), &api.ExecuteChangeSetInput{ChangeSetName: set.Id}); err != nil {
		t.Fatal(err)
	}
	if s := c.settled(t, "S"); s.StackStatus != types.StackStatusCreateComplete {
		t.Fatalf("%s: %s", s.StackStatus, aws.ToString(s.StackStatusReason))
	}
	if got := c.world.calls(); !slices.Equal(got, []string{"s3:SetVersioning b-bucket true", "sns:CreateTopic t"}) {
		t.Errorf("called %v", got)
	}
	if !has(c.story(t, "S"), "B IMPORT_COMPLETE") {
		t.Errorf("story %v", c.story(t, "S"))
	}
	_, err = c.importing(t, "Other", kept)
	wantCode(t, err, "ValidationError", "already exists in stack")
}

func TestChangeSets_ImportedStaysWhenTheRestFails(t *testing.T) {
	c := open(t)
	c.world.set(func() {
		c.world.buckets["b-bucket"] = true
		c.world.fail["sns:CreateTopic t"] = wire.Errorf("InvalidParameter", "bad")
	})
	set, err := c.importing(t, "S", kept)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.ExecuteChangeSet(t.Context(), &api.ExecuteChangeSetInput{ChangeSetName: set.Id}); err != nil {
		t.Fatal(err)
	}
	if s := c.settled(t, "S"); s.StackStatus != types.StackStatusRollbackComplete {
		t.Fatalf("%s", s.StackStatus)
	}
	if has(c.world.calls(), "s3:DeleteBucket b-bucket") {
		t.Error("the rollback deleted a bucket that was there before")
	}
}

func TestStacks_ExpressIsRefused(t *testing.T) {
	c := open(t)
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(three), DeploymentConfig: &types.DeploymentConfig{Mode: types.DeploymentConfigModeExpress}})
	wantCode(t, err, "ValidationError", "DeploymentConfig")
}

func TestStacks_RoleIsPassedOnceAndAssumed(t *testing.T) {
	c := open(t)
	role := "arn:aws:iam::000000000000:role/deploy"
	pass := "iam:PassRole " + role
	assumable := true
	c.assume = func(arn, session, stack string) (wire.Caller, error) {
		if arn != role || session != "AWSCloudFormation" || !strings.HasPrefix(stack, "arn:aws:cloudformation:us-east-1:000000000000:stack/S/") || !assumable {
			return wire.Caller{}, errors.New("not trusted")
		}
		return wire.Caller{Account: "000000000000", RoleARN: arn, ARN: "assumed"}, nil
	}
	c.start(t)
	other := role + "-other"
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(three), RoleARN: &other})
	wantCode(t, err, "ValidationError", "Role "+other+" is invalid or cannot be assumed")
	if _, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: aws.String(three), RoleARN: &role}); err != nil {
		t.Fatal(err)
	}
	if s := c.settled(t, "S"); s.StackStatus != types.StackStatusCreateComplete || aws.ToString(s.RoleARN) != role {
		t.Fatalf("%s as %s", s.StackStatus, aws.ToString(s.RoleARN))
	}
	if !has(c.world.asked, pass) || c.world.caller.ARN != "assumed" {
		t.Errorf("asked %v, called as %+v", c.world.asked, c.world.caller)
	}
	c.world.set(func() { c.world.asked = nil })
	next := strings.Replace(three, `"QueueName":"a"`, `"QueueName":"a","DelaySeconds":1`, 1)
	if s := c.update(t, "S", next); s.StackStatus != types.StackStatusUpdateComplete || aws.ToString(s.RoleARN) != role {
		t.Fatalf("%s as %s", s.StackStatus, aws.ToString(s.RoleARN))
	}
	if has(c.world.asked, pass) || c.world.caller.ARN != "assumed" {
		t.Errorf("a role that the stack has was passed again (%v), or not used: %+v", c.world.asked, c.world.caller)
	}
}

func TestChangeSets_WhatFollowsFromAReplacement(t *testing.T) {
	c := open(t)
	const body = `{"Resources":{
		"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"q"}},
		"P":{"Type":"AWS::SSM::Parameter","Properties":{"Name":{"Fn::GetAtt":["Q","QueueName"]},"Type":"String","Value":"v"}},
		"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":"t","DisplayName":{"Ref":"Q"}}}}}`
	c.create(t, "S", body)
	set, err := c.client.CreateChangeSet(t.Context(), &api.CreateChangeSetInput{StackName: aws.String("S"), ChangeSetName: aws.String("c"), TemplateBody: aws.String(strings.Replace(body, `"q"`, `"r"`, 1))})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.client.DescribeChangeSet(t.Context(), &api.DescribeChangeSetInput{ChangeSetName: set.Id})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, ch := range out.Changes {
		d := ch.ResourceChange.Details[0]
		got = append(got, strings.Join([]string{*ch.ResourceChange.LogicalResourceId, string(ch.ResourceChange.Replacement), string(d.Evaluation), string(d.ChangeSource), aws.ToString(d.CausingEntity)}, " "))
	}
	want := []string{"Q True Static DirectModification ", "P Conditional Dynamic ResourceAttribute Q.QueueName", "T False Dynamic ResourceReference Q"}
	if !slices.Equal(got, want) {
		t.Errorf("planned %q", got)
	}
}
