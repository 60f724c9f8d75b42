package cloudformation_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

const (
	exporting = `{"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"VALUE"}}},
"Outputs":{"Name":{"Value":{"Fn::GetAtt":["Q","QueueName"]},"Export":{"Name":{"Fn::Sub":"${AWS::Region}-queue"}}}}}`
	importing      = `{"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":{"Fn::Sub":["t-${Q}",{"Q":{"Fn::ImportValue":{"Fn::Sub":"${AWS::Region}-queue"}}}]}}}}}`
	importsNothing = `{"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":"other"}}}}`
)

// reasons gives why a stack's resources, or it itself, failed.
func (c *cloud) reasons(t *testing.T, name string) string {
	t.Helper()
	var out []string
	for _, e := range c.events(t, name) {
		out = append(out, aws.ToString(e.ResourceStatusReason))
	}
	return strings.Join(out, "\n")
}

func TestExports_AreOtherStacksValues(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	if s := c.create(t, "Early", importing); s.StackStatus != types.StackStatusRollbackComplete || !strings.Contains(c.reasons(t, "Early"), "No export named us-east-1-queue found.") {
		t.Errorf("imported what nobody exports: %s, %s", s.StackStatus, c.reasons(t, "Early"))
	}
	if s := c.create(t, "Out", strings.Replace(exporting, "VALUE", "one", 1)); s.StackStatus != types.StackStatusCreateComplete {
		t.Fatalf("export: %s", c.reasons(t, "Out"))
	}
	if s := c.create(t, "In", importing); s.StackStatus != types.StackStatusCreateComplete || c.world.input("sns:CreateTopic t-one") == nil {
		t.Fatalf("import: %s %v", c.reasons(t, "In"), c.world.calls())
	}
	if s := c.create(t, "Twice", strings.Replace(exporting, "VALUE", "two", 1)); s.StackStatus != types.StackStatusRollbackComplete ||
		!strings.Contains(c.reasons(t, "Twice"), "Export with name us-east-1-queue is already exported by stack Out.") {
		t.Errorf("exported twice: %s, %s", s.StackStatus, c.reasons(t, "Twice"))
	}
	users, err := c.client.ListImports(ctx, &api.ListImportsInput{ExportName: aws.String("us-east-1-queue")})
	if err != nil || len(users.Imports) != 1 || users.Imports[0] != "In" {
		t.Errorf("imports %v, %v", users, err)
	}

	if s := c.update(t, "Out", strings.Replace(exporting, "VALUE", "three", 1)); s.StackStatus != types.StackStatusUpdateRollbackComplete ||
		!strings.Contains(c.reasons(t, "Out"), "Export us-east-1-queue cannot be updated as it is in use by In.") || aws.ToString(s.Outputs[0].OutputValue) != "one" {
		t.Errorf("changed under its user: %s, %s", s.StackStatus, c.reasons(t, "Out"))
	}
	if _, err := c.client.DeleteStack(ctx, &api.DeleteStackInput{StackName: aws.String("Out")}); err != nil {
		t.Fatal(err)
	}
	if s := c.settled(t, "Out"); s.StackStatus != types.StackStatusDeleteFailed || !strings.Contains(aws.ToString(s.StackStatusReason), "Export us-east-1-queue cannot be deleted as it is in use by In.") {
		t.Errorf("deleted under its user: %s, %s", s.StackStatus, aws.ToString(s.StackStatusReason))
	}

	if s := c.update(t, "In", importsNothing); s.StackStatus != types.StackStatusUpdateComplete {
		t.Fatalf("no import any more: %s", c.reasons(t, "In"))
	}
	_, err = c.client.ListImports(ctx, &api.ListImportsInput{ExportName: aws.String("us-east-1-queue")})
	wantCode(t, err, "ValidationError", "is not imported by any stack")
	if _, err := c.client.DeleteStack(ctx, &api.DeleteStackInput{StackName: aws.String("Out")}); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "end of Out", func() bool {
		_, err := c.client.DescribeStacks(ctx, &api.DescribeStacksInput{StackName: aws.String("Out")})
		return err != nil
	})
}

// The name of an import is known before anything is made.
func TestExports_NamesOfResourcesAreRefused(t *testing.T) {
	c := open(t)
	body := `{"Resources":{"Q":{"Type":"AWS::SQS::Queue"},"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":{"Fn::ImportValue":{"Ref":"Q"}}}}}}`
	_, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateBody: &body})
	wantCode(t, err, "ValidationError", "the name of an import cannot depend on the resource Q")
}
