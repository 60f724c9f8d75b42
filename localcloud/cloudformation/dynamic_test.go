package cloudformation_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

func TestDynamicReferences(t *testing.T) {
	c := open(t)
	c.world.set(func() {
		c.world.parameters["/q/name"], c.world.parameters["/q/delay:2"], c.world.parameters["/q/own"] = "work", "7", "mine"
	})
	body := `{"Parameters":{"Which":{"Type":"String","Default":"own"}},"Resources":{
		"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"{{resolve:ssm:/q/name}}-queue","DelaySeconds":"{{resolve:ssm:/q/delay:2}}"}},
		"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":{"Fn::Sub":"{{resolve:ssm:/q/${Which}}}"}}}}}`
	if s := c.create(t, "S", body); s.StackStatus != types.StackStatusCreateComplete {
		t.Fatalf("%s: %s", s.StackStatus, c.reasons(t, "S"))
	}
	if in := c.world.input("sqs:CreateQueue work-queue"); in == nil || in["Attributes"].(map[string]any)["DelaySeconds"] != "7" || c.world.input("sns:CreateTopic mine") == nil {
		t.Errorf("calls %v", c.world.calls())
	}
	_, err := c.client.UpdateStack(t.Context(), &api.UpdateStackInput{StackName: aws.String("S"), TemplateBody: &body})
	wantCode(t, err, "ValidationError", "No updates are to be performed")

	if s := c.create(t, "Lost", strings.ReplaceAll(body, "/q/name", "/q/nowhere")); s.StackStatus != types.StackStatusRollbackComplete || !strings.Contains(c.reasons(t, "Lost"), "Unable to resolve the dynamic reference to /q/nowhere") {
		t.Errorf("a parameter that is not there: %s, %s", s.StackStatus, c.reasons(t, "Lost"))
	}
	for _, other := range []string{"{{resolve:secretsmanager:s:SecretString:k}}", "{{resolve:ssm-secure:/q/name:1}}", "{{resolve:ssm}}"} {
		body := strings.Replace(body, "{{resolve:ssm:/q/name}}", other, 1)
		_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("No"), TemplateBody: &body})
		wantCode(t, err, "ValidationError", "Resources/Q/QueueName: the dynamic reference "+other+" is not supported by the local cloud")
	}
}

func TestParameters_ListsOfTheParameterStore(t *testing.T) {
	c := open(t)
	c.world.set(func() { c.world.parameters["/list"] = "a, b" })
	body := `{"Parameters":{"L":{"Type":"AWS::SSM::Parameter::Value<List<String>>","Default":"/list"},"N":{"Type":"AWS::SSM::Parameter::Name","Default":"/list"}},"Resources":{
		"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":{"Fn::Join":["-",{"Ref":"L"}]},"DisplayName":{"Ref":"N"}}}}}`
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: &body})
	wantCode(t, err, "ValidationError", "Parameters [/list] referenced by template have types not supported by CloudFormation.")
	c.world.set(func() { c.world.lists = true })
	if s := c.create(t, "S", body); s.StackStatus != types.StackStatusCreateComplete {
		t.Fatalf("%s: %s", s.StackStatus, c.reasons(t, "S"))
	}
	if in := c.world.input("sns:CreateTopic a-b"); in == nil {
		t.Errorf("calls %v", c.world.calls())
	}
}
