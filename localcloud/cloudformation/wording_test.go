package cloudformation_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// What is wrong with a template and nothing else is told in AWS's own words.
func TestTemplates_RefusedInAWSsWords(t *testing.T) {
	c := open(t)
	queue := func(value string) string {
		return `{"Parameters":{"N":{"Type":"Number","Default":"1"}},"Mappings":{"M":{"A":{"S":"x"}}},"Conditions":{"No":{"Fn::Equals":["a","b"]}},
			"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":` + value + `}},"T":{"Type":"AWS::SNS::Topic","Condition":"No"}}}`
	}
	for name, tc := range map[string]struct{ template, want string }{
		"two names":        {queue(`{"Fn::Join":["",[{"Ref":"Two"},{"Ref":"One"}]]}`), "Template format error: Unresolved resource dependencies [One, Two] in the Resources block of the template"},
		"under no":         {queue(`{"Ref":"T"}`), "Template format error: Unresolved resource dependencies [T] in the Resources block of the template"},
		"attribute":        {queue(`{"Fn::GetAtt":["T",""]}`), "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute"},
		"select":           {queue(`{"Fn::Select":["9",["a"]]}`), "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"},
		"mapping":          {queue(`{"Fn::FindInMap":["M","A","Z"]}`), "Template error: Unable to get mapping for M::A::Z"},
		"condition":        {queue(`{"Fn::If":["Lost","a","b"]}`), "Template error: unresolved condition dependency Lost in Fn::If"},
		"number":           {queue(`"q"`), "Parameter 'N' must be a number."},
		"logical id":       {`{"Resources":{"my-topic":{"Type":"AWS::SNS::Topic"}}}`, "Template format error: Resource name my-topic is non alphanumeric."},
		"output":           {`{"Resources":{"T":{"Type":"AWS::SNS::Topic"}},"Outputs":{"O":{"Value":{"Ref":"Lost"}}}}`, "Template format error: Unresolved resource dependencies [Lost] in the Outputs block of the template"},
		"output, under no": {`{"Conditions":{"No":{"Fn::Equals":["a","b"]}},"Resources":{"A":{"Type":"AWS::SNS::Topic"},"T":{"Type":"AWS::SNS::Topic","Condition":"No"}},"Outputs":{"O":{"Value":{"Ref":"T"}}}}`, "Unresolved resource dependencies [T] in the Outputs block of the template"},
		"no template":      {"just words", "Template format error: unsupported structure."},
	} {
		t.Run(name, func(t *testing.T) {
			in := &api.CreateChangeSetInput{StackName: aws.String("words"), ChangeSetName: aws.String("c"), ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: &tc.template}
			if name == "number" {
				in.Parameters = parameters("N", "many")
			}
			_, err := c.client.CreateChangeSet(t.Context(), in)
			wantCode(t, err, "ValidationError", tc.want)
		})
	}
}

// A change set that was executed leaves its name, is not listed, and can be looked
// up by its id even after its stack; parameters are named as what causes a change.
func TestChangeSets_AfterTheyWereExecuted(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	name, changes := aws.String("S"), aws.String("changes")
	var ids []*string
	for i, kind := range []types.ChangeSetType{types.ChangeSetTypeCreate, types.ChangeSetTypeUpdate} {
		made, err := c.client.CreateChangeSet(ctx, &api.CreateChangeSetInput{StackName: name, ChangeSetName: changes, ChangeSetType: kind, Parameters: parameters("P", fmt.Sprint("n", i)),
			TemplateBody: aws.String(`{"Parameters":{"P":{"Type":"String"}},"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":{"Ref":"P"}}}}}`)})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, made.Id)
		told, err := c.client.DescribeChangeSet(ctx, &api.DescribeChangeSetInput{StackName: name, ChangeSetName: changes})
		if err != nil || *told.ChangeSetId != *made.Id {
			t.Fatalf("%v %+v", err, told)
		}
		if i == 1 {
			r := told.Changes[0].ResourceChange
			if d := r.Details; len(d) != 2 || d[0].ChangeSource != types.ChangeSourceParameterReference || *d[0].CausingEntity != "P" || d[1].Evaluation != types.EvaluationTypeDynamic ||
				r.PolicyAction != types.PolicyActionReplaceAndDelete {
				t.Errorf("change: %+v", r)
			}
		}
		list, err := c.client.ListChangeSets(ctx, &api.ListChangeSetsInput{StackName: name})
		if err != nil || len(list.Summaries) != 1 || *list.Summaries[0].ChangeSetId != *made.Id {
			t.Errorf("%v %+v", err, list)
		}
		if _, err := c.client.ExecuteChangeSet(ctx, &api.ExecuteChangeSetInput{StackName: name, ChangeSetName: changes}); err != nil {
			t.Fatal(err)
		}
		if s := c.settled(t, "S"); s.LastUpdatedTime == nil {
			t.Errorf("the stack was never updated: %+v", s)
		}
	}
	stack := c.settled(t, "S")
	if _, err := c.client.DeleteStack(ctx, &api.DeleteStackInput{StackName: name}); err != nil {
		t.Fatal(err)
	}
	if gone := c.settled(t, *stack.StackId); gone.StackStatus != types.StackStatusDeleteComplete || gone.EnableTerminationProtection != nil || gone.ChangeSetId != nil {
		t.Errorf("deleted stack: %+v", gone)
	}
	if told, err := c.client.DescribeChangeSet(ctx, &api.DescribeChangeSetInput{ChangeSetName: ids[1]}); err != nil || told.ExecutionStatus != types.ExecutionStatusExecuteComplete {
		t.Errorf("%v %+v", err, told)
	}
	_, err := c.client.DeleteChangeSet(ctx, &api.DeleteChangeSetInput{ChangeSetName: changes})
	wantCode(t, err, "ValidationError", "StackName must be specified if ChangeSetName is not specified as an ARN.")
	_, err = c.client.DescribeStackResource(ctx, &api.DescribeStackResourceInput{StackName: aws.String("none"), LogicalResourceId: aws.String("T")})
	wantCode(t, err, "ValidationError", "Stack 'none' does not exist")
}
