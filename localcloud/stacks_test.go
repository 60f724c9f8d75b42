package localcloud_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/millrace-ml/millrace/localcloud"
)

// versioned is a state machine whose alias leads to its newest version.
const versioned = `
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {Service: states.amazonaws.com}, Action: "sts:AssumeRole"}]}
  May:
    Type: AWS::IAM::RolePolicy
    Properties:
      RoleName: !Ref Role
      PolicyName: may
      PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Action: "sqs:SendMessage", Resource: "*"}]}
  Group: {Type: "AWS::Logs::LogGroup", Properties: {LogGroupName: /notes}}
  Stream: {Type: "AWS::Logs::LogStream", Properties: {LogGroupName: !Ref Group, LogStreamName: first}}
  Machine:
    Type: AWS::StepFunctions::StateMachine
    Properties:
      StateMachineName: versioned
      RoleArn: !GetAtt Role.Arn
      DefinitionString: '{"StartAt":"A","States":{"A":{"Type":"Pass","Result":"RESULT","End":true}}}'
  Version:
    Type: AWS::StepFunctions::StateMachineVersion
    UpdateReplacePolicy: KEEP
    Properties: {StateMachineArn: !Ref Machine, StateMachineRevisionId: !GetAtt Machine.StateMachineRevisionId, Description: of RESULT}
  Alias:
    Type: AWS::StepFunctions::StateMachineAlias
    Properties:
      Name: live
      RoutingConfiguration: [{StateMachineVersionArn: !Ref Version, Weight: 100}]
Outputs:
  Alias: {Value: !Ref Alias}
  Version: {Value: !GetAtt Version.Arn}
`

// versionedAs is versioned with a result, keeping older versions or not.
func versionedAs(result, keep string) *string {
	return aws.String(strings.NewReplacer("RESULT", result, "KEEP", keep).Replace(versioned))
}

// outputs waits for a stack's status, and gives its outputs.
func outputs(t *testing.T, c *cloudformation.Client, name string, want cfntypes.StackStatus) map[string]string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		s := must[*cloudformation.DescribeStacksOutput](t)(c.DescribeStacks(t.Context(), &cloudformation.DescribeStacksInput{StackName: &name})).Stacks[0]
		if s.StackStatus == want {
			out := map[string]string{}
			for _, o := range s.Outputs {
				out[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
			}
			return out
		}
		if !strings.HasSuffix(string(s.StackStatus), "_IN_PROGRESS") || time.Now().After(deadline) {
			t.Fatalf("stack %s is %s (%s), want %s", name, s.StackStatus, aws.ToString(s.StackStatusReason), want)
		}
	}
}

func TestStackOfVersionsAndAliases(t *testing.T) {
	r := serve(t, localcloud.Options{Ephemeral: true})
	cfn, states, ctx, name := cloudformation.NewFromConfig(r.config()), sfn.NewFromConfig(r.config()), t.Context(), aws.String("S")
	can := []cfntypes.Capability{cfntypes.CapabilityCapabilityIam}
	result := func(alias string) string {
		t.Helper()
		begun := must[*sfn.StartExecutionOutput](t)(states.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &alias}))
		return aws.ToString(must[*sfn.DescribeExecutionOutput](t)(states.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: begun.ExecutionArn})).Output)
	}

	must[*cloudformation.CreateStackOutput](t)(cfn.CreateStack(ctx, &cloudformation.CreateStackInput{StackName: name, TemplateBody: versionedAs("one", "Retain"), Capabilities: can}))
	first := outputs(t, cfn, "S", cfntypes.StackStatusCreateComplete)
	if got := result(first["Alias"]); got != `"one"` || !strings.HasSuffix(first["Version"], ":versioned:1") || !strings.HasSuffix(first["Alias"], ":versioned:live") {
		t.Errorf("the alias gives %s; outputs %v", got, first)
	}
	roles := must[*iam.ListRolesOutput](t)(iam.NewFromConfig(r.config()).ListRoles(ctx, &iam.ListRolesInput{}))
	policies := must[*iam.ListRolePoliciesOutput](t)(iam.NewFromConfig(r.config()).ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: roles.Roles[0].RoleName}))
	streams := must[*cloudwatchlogs.DescribeLogStreamsOutput](t)(cloudwatchlogs.NewFromConfig(r.config()).DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{LogGroupName: aws.String("/notes")}))
	if len(policies.PolicyNames) != 1 || policies.PolicyNames[0] != "may" || len(streams.LogStreams) != 1 || aws.ToString(streams.LogStreams[0].LogStreamName) != "first" {
		t.Errorf("policies %v, streams %v", policies.PolicyNames, streams.LogStreams)
	}

	// The older version stays; then that of the second goes with its replacement.
	for i, keep := range []string{"Retain", "Delete"} {
		word, n := []string{"two", "three"}[i], i+2
		must[*cloudformation.UpdateStackOutput](t)(cfn.UpdateStack(ctx, &cloudformation.UpdateStackInput{StackName: name, TemplateBody: versionedAs(word, keep), Capabilities: can}))
		next := outputs(t, cfn, "S", cfntypes.StackStatusUpdateComplete)
		if got := result(next["Alias"]); got != `"`+word+`"` || next["Version"] != strings.TrimSuffix(first["Version"], "1")+string(rune('0'+n)) {
			t.Errorf("the alias gives %s; outputs %v", got, next)
		}
	}
	must[*cloudformation.DeleteStackOutput](t)(cfn.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: name}))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		_, err := cfn.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: name})
		if code(err) == "ValidationError" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the stack is not deleted")
		}
	}
}

// What is not here is refused by its name and place before anything is made.
func TestStackOfUnsupportedTypes(t *testing.T) {
	r := serve(t, localcloud.Options{Ephemeral: true})
	cfn := cloudformation.NewFromConfig(r.config())
	for kind, properties := range map[string]string{
		"AWS::Lambda::EventSourceMapping": `{}`, "AWS::Lambda::Alias": `{}`, "AWS::Lambda::Version": `{}`, "AWS::IAM::ManagedPolicy": `{}`, "AWS::Logs::MetricFilter": `{}`,
		"AWS::Scheduler::Schedule": `{}`, "AWS::SageMaker::Endpoint": `{}`, "AWS::DynamoDB::Table": `{}`, "AWS::CloudFormation::Stack": `{}`, "Custom::Thing": `{}`,
	} {
		body := `{"Resources":{"Topic":{"Type":"AWS::SNS::Topic"},"Other":{"Type":"` + kind + `","Properties":` + properties + `}}}`
		_, err := cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String("S"), TemplateBody: &body, Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityNamedIam}})
		if code(err) != "ValidationError" || !strings.Contains(err.Error(), "Resources/Other: resource type "+kind+" is not supported by the local cloud") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	body := strings.Replace(*versionedAs("one", "Delete"), "Name: live\n", "Name: live\n      DeploymentPreference: {Type: CANARY, StateMachineVersionArn: !Ref Version}\n", 1)
	_, err := cfn.CreateStack(t.Context(), &cloudformation.CreateStackInput{StackName: aws.String("S"), TemplateBody: &body, Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityIam}})
	if code(err) != "ValidationError" || !strings.Contains(err.Error(), "Resources/Alias: property DeploymentPreference is not known to the local cloud") {
		t.Errorf("a canary: %v", err)
	}
	if list := must[*cloudformation.ListStacksOutput](t)(cfn.ListStacks(t.Context(), &cloudformation.ListStacksInput{})); len(list.StackSummaries) != 0 {
		t.Errorf("stacks %v", list.StackSummaries)
	}
}
