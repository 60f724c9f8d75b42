package cloudformation_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func TestTemplates_YAMLWithShortTags(t *testing.T) {
	c := open(t)
	body := `
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Days: {Type: Number, Default: 30}
Resources:
  Topic:
    Type: AWS::SNS::Topic
    Properties:
      TopicName: !Sub "${AWS::StackName}-notices"
  Group:
    Type: AWS::Logs::LogGroup
    Properties:
      LogGroupName: !Join ["/", [!Ref "AWS::StackName", !GetAtt Topic.TopicName]]
      RetentionInDays: !Ref Days
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: 2012-10-17
        Statement: []
      Description: |
        two
        lines
`
	if s := c.create(t, "Y", body); s.StackStatus != types.StackStatusCreateComplete {
		t.Fatalf("status %s\n%s", s.StackStatus, strings.Join(c.story(t, "Y"), "\n"))
	}
	if in := c.world.input("logs:PutRetentionPolicy Y/Y-notices"); in["retentionInDays"] != float64(30) {
		t.Errorf("retention %v in %v", in, c.world.calls())
	}
	for what, in := range c.world.inputs {
		if strings.HasPrefix(what, "iam:CreateRole") && (in["Description"] != "two\nlines\n" || !strings.Contains(in["AssumeRolePolicyDocument"].(string), `"2012-10-17"`)) {
			t.Errorf("role %v", in)
		}
	}
}

func TestTemplates_FromABucket(t *testing.T) {
	for _, url := range []string{"https://s3.us-east-1.amazonaws.com/assets/t.json", "https://assets.s3.us-east-1.amazonaws.com/t.json", "http://127.0.0.1:4566/assets/t.json"} {
		c := open(t)
		c.world.files["assets/t.json"] = three
		if _, err := c.client.CreateStack(t.Context(), &api.CreateStackInput{StackName: aws.String("S"), TemplateURL: &url}); err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		if s := c.settled(t, "S"); s.StackStatus != types.StackStatusCreateComplete {
			t.Errorf("%s: %s", url, s.StackStatus)
		}
		missing := strings.Replace(url, "t.json", "u.json", 1)
		_, err := c.client.ValidateTemplate(t.Context(), &api.ValidateTemplateInput{TemplateURL: &missing})
		wantCode(t, err, "ValidationError", "s3://assets/u.json")
	}
}

func TestTemplates_SummaryAndValidation(t *testing.T) {
	c := open(t)
	c.create(t, "Full", full(t), "WorkerImage", image)
	ctx := t.Context()
	summary, err := c.client.GetTemplateSummary(ctx, &api.GetTemplateSummaryInput{StackName: aws.String("Full")})
	if err != nil {
		t.Fatal(err)
	}
	if len(summary.Parameters) != 3 || len(summary.ResourceTypes) != 19 || summary.Capabilities[0] != types.CapabilityCapabilityIam {
		t.Errorf("summary %d %v %v", len(summary.Parameters), summary.ResourceTypes, summary.Capabilities)
	}
	valid, err := c.client.ValidateTemplate(ctx, &api.ValidateTemplateInput{TemplateBody: aws.String(full(t))})
	if err != nil || len(valid.Parameters) != 3 {
		t.Errorf("%v, %v", valid, err)
	}
	got, err := c.client.GetTemplate(ctx, &api.GetTemplateInput{StackName: aws.String("Full")})
	if err != nil || aws.ToString(got.TemplateBody) != full(t) {
		t.Errorf("template differs from what was given: %v", err)
	}
	described, err := c.client.DescribeStacks(ctx, &api.DescribeStacksInput{StackName: aws.String("Full")})
	if err != nil {
		t.Fatal(err)
	}
	if p := described.Stacks[0].Parameters[0]; *p.ParameterKey != "BootstrapVersion" || aws.ToString(p.ResolvedValue) != "30" {
		t.Errorf("parameter %v", p)
	}
}

func TestChangeSets_AsTheCDKUsesThem(t *testing.T) {
	c := open(t)
	ctx, name := t.Context(), aws.String("S")
	set := func(kind types.ChangeSetType, set, body string) *api.DescribeChangeSetOutput {
		t.Helper()
		if _, err := c.client.CreateChangeSet(ctx, &api.CreateChangeSetInput{StackName: name, ChangeSetName: &set, ChangeSetType: kind, TemplateBody: &body}); err != nil {
			t.Fatal(err)
		}
		out, err := c.client.DescribeChangeSet(ctx, &api.DescribeChangeSetInput{StackName: name, ChangeSetName: &set})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := set(types.ChangeSetTypeCreate, "one", three)
	if len(first.Changes) != 3 || first.Changes[0].ResourceChange.Action != types.ChangeActionAdd || first.ExecutionStatus != types.ExecutionStatusAvailable {
		t.Errorf("changes %v", first.Changes)
	}
	if s, err := c.client.DescribeStacks(ctx, &api.DescribeStacksInput{StackName: name}); err != nil || s.Stacks[0].StackStatus != types.StackStatusReviewInProgress {
		t.Errorf("stack %v %v", s, err)
	}
	if len(c.world.calls()) > 0 {
		t.Error("planning called services")
	}
	for range 2 { // a client that did not get the answer asks again, with the same token
		if _, err := c.client.ExecuteChangeSet(ctx, &api.ExecuteChangeSetInput{StackName: name, ChangeSetName: aws.String("one"), ClientRequestToken: aws.String("once")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.client.ExecuteChangeSet(ctx, &api.ExecuteChangeSetInput{StackName: name, ChangeSetName: aws.String("one"), ClientRequestToken: aws.String("once more")}); err == nil {
		t.Error("a change set that was executed was executed again")
	}
	if err := api.NewStackCreateCompleteWaiter(c.client, fast).Wait(ctx, &api.DescribeStacksInput{StackName: name}, time.Minute); err != nil {
		t.Fatal(err)
	}
	same := set(types.ChangeSetTypeUpdate, "same", three)
	if same.Status != types.ChangeSetStatusFailed || !strings.Contains(aws.ToString(same.StatusReason), "didn't contain changes") {
		t.Errorf("status %s", same.Status)
	}
	_, err := c.client.ExecuteChangeSet(ctx, &api.ExecuteChangeSetInput{StackName: name, ChangeSetName: aws.String("same")})
	wantCode(t, err, "InvalidChangeSetStatus", "cannot be executed")
	if _, err := c.client.DeleteChangeSet(ctx, &api.DeleteChangeSetInput{StackName: name, ChangeSetName: aws.String("same")}); err != nil {
		t.Fatal(err)
	}
	next := set(types.ChangeSetTypeUpdate, "two", strings.NewReplacer(`"b"`, `"b2"`, `"QueueName":"a"`, `"QueueName":"a","DelaySeconds":1`).Replace(three))
	var got []string
	for _, ch := range next.Changes {
		got = append(got, *ch.ResourceChange.LogicalResourceId+" "+string(ch.ResourceChange.Action)+" "+string(ch.ResourceChange.Replacement))
	}
	if s := strings.Join(got, "|"); s != "A Modify False|B Modify True" {
		t.Errorf("changes %s", s)
	}
	if d := next.Changes[0].ResourceChange.Details; len(d) != 1 || *d[0].Target.Name != "DelaySeconds" || d[0].Target.RequiresRecreation != types.RequiresRecreationNever || d[0].Target.AfterValue != nil {
		t.Errorf("details %+v", d)
	}
	told, err := c.client.DescribeChangeSet(ctx, &api.DescribeChangeSetInput{StackName: name, ChangeSetName: aws.String("two"), IncludePropertyValues: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		path, before, after, context string
		recreation                   types.RequiresRecreation
	}{
		{"/Properties/DelaySeconds", "", "1", `{"Properties":{"DelaySeconds":1,"QueueName":"a"}}`, types.RequiresRecreationNever},
		{"/Properties/TopicName", "b", "b2", `{"Properties":{"TopicName":"b2"}}`, types.RequiresRecreationAlways},
	} {
		r := told.Changes[i].ResourceChange
		if d := r.Details[0].Target; *d.Path != want.path || aws.ToString(d.BeforeValue) != want.before || *d.AfterValue != want.after || d.RequiresRecreation != want.recreation || *r.AfterContext != want.context {
			t.Errorf("change %d: %+v, after it %s", i, d, *r.AfterContext)
		}
	}
	if _, err := c.client.ExecuteChangeSet(ctx, &api.ExecuteChangeSetInput{StackName: name, ChangeSetName: next.ChangeSetId}); err != nil {
		t.Fatal(err)
	}
	if s := c.settled(t, "S"); s.StackStatus != types.StackStatusUpdateComplete || *s.ChangeSetId != *next.ChangeSetId {
		t.Errorf("status %s", s.StackStatus)
	}
	_, err = c.client.DescribeChangeSet(ctx, &api.DescribeChangeSetInput{StackName: name, ChangeSetName: aws.String("nothing")})
	wantCode(t, err, "ChangeSetNotFound", "nothing")
}

// A stack that is deployed again under its name has change sets of its own,
// also where they are called like those of the deleted one.
func TestChangeSets_OfStacksOfOneName(t *testing.T) {
	c := open(t)
	ctx, name, set := t.Context(), aws.String("S"), aws.String("deploy")
	var last string
	for round := range 8 { // the ids' order must not matter
		if _, err := c.client.CreateChangeSet(ctx, &api.CreateChangeSetInput{StackName: name, ChangeSetName: set, ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: aws.String(three)}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		described, err := c.client.DescribeChangeSet(ctx, &api.DescribeChangeSetInput{StackName: name, ChangeSetName: set})
		if err != nil || described.ExecutionStatus != types.ExecutionStatusAvailable {
			t.Fatalf("round %d: %+v, %v", round, described, err)
		}
		if _, err := c.client.ExecuteChangeSet(ctx, &api.ExecuteChangeSetInput{StackName: name, ChangeSetName: set}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if s := c.settled(t, "S"); s.StackStatus != types.StackStatusCreateComplete {
			t.Fatalf("round %d: %s", round, s.StackStatus)
		}
		last = aws.ToString(described.ChangeSetId)
		c.awaitExecution(t, last, types.ExecutionStatusExecuteComplete)
		if _, err := c.client.DeleteStack(ctx, &api.DeleteStackInput{StackName: name}); err != nil {
			t.Fatal(err)
		}
		if err := api.NewStackDeleteCompleteWaiter(c.client, func(o *api.StackDeleteCompleteWaiterOptions) {
			o.MinDelay, o.MaxDelay = time.Millisecond, 5*time.Millisecond
		}).
			Wait(ctx, &api.DescribeStacksInput{StackName: described.StackId}, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.client.DescribeChangeSet(ctx, &api.DescribeChangeSetInput{StackName: name, ChangeSetName: set})
	wantCode(t, err, "ValidationError", "Stack [S] does not exist")
}

// awaitExecution waits until a change set has got as far as wanted.
func (c *cloud) awaitExecution(t *testing.T, id string, want types.ExecutionStatus) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		out, err := c.client.DescribeChangeSet(t.Context(), &api.DescribeChangeSetInput{ChangeSetName: &id})
		if err != nil {
			t.Fatal(err)
		}
		if out.ExecutionStatus == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("execution status %s, want %s", out.ExecutionStatus, want)
		}
		time.Sleep(time.Millisecond)
	}
}

// A change set whose stack rolls back has failed; at once, one is executed once.
func TestChangeSets_ExecutionFails(t *testing.T) {
	c := open(t)
	ctx := t.Context()
	c.world.fail["sqs:CreateQueue a"] = wire.Errorf("AccessDenied", "no")
	made, err := c.client.CreateChangeSet(ctx, &api.CreateChangeSetInput{StackName: aws.String("S"), ChangeSetName: aws.String("one"), ChangeSetType: types.ChangeSetTypeCreate, TemplateBody: aws.String(three)})
	if err != nil {
		t.Fatal(err)
	}
	const clients = 8
	answers := make(chan error, clients)
	for range clients {
		go func() {
			_, err := c.client.ExecuteChangeSet(ctx, &api.ExecuteChangeSetInput{ChangeSetName: made.Id})
			answers <- err
		}()
	}
	executed := 0
	for range clients {
		if err := <-answers; err == nil {
			executed++
		} else {
			wantCode(t, err, "InvalidChangeSetStatus", "cannot be executed")
		}
	}
	if executed != 1 {
		t.Errorf("executed %d times", executed)
	}
	if s := c.settled(t, "S"); s.StackStatus != types.StackStatusRollbackComplete {
		t.Errorf("status %s", s.StackStatus)
	}
	c.awaitExecution(t, aws.ToString(made.Id), types.ExecutionStatusExecuteFailed)
}

func fast(o *api.StackCreateCompleteWaiterOptions) {
	o.MinDelay, o.MaxDelay = time.Millisecond, 5*time.Millisecond
}

func FuzzTemplates(f *testing.F) {
	f.Add(three)
	f.Add(`{"Resources":{"A":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":{"Fn::Sub":["${a}",{"a":{"Fn::If":["X",1,2]}}]}}}},"Conditions":{"X":{"Fn::Equals":["a","b"]}}}`)
	f.Add("Resources:\n  A:\n    Type: !Sub x\n    Properties: {a: !GetAtt b}\n")
	f.Add(`{"Parameters":{"P":null},"Resources":{"A":null},"Outputs":{"O":null},"Rules":{"R":null}}`)
	c := open(f)
	f.Fuzz(func(t *testing.T, body string) {
		for _, operation := range []string{"ValidateTemplate", "GetTemplateSummary"} {
			in, _ := json.Marshal(map[string]string{"TemplateBody": body})
			_, err := c.Wire().Call(t.Context(), operation, in)
			if e := new(wire.Error); err != nil && (!errors.As(err, &e) || e.HTTPStatus() != 400) {
				t.Errorf("%s: %v", operation, err)
			}
		}
		in, _ := json.Marshal(map[string]string{"TemplateBody": body, "StackName": "S", "ChangeSetName": "C", "ChangeSetType": "CREATE"})
		_, err := c.Wire().Call(t.Context(), "CreateChangeSet", in)
		if e := new(wire.Error); err != nil && (!errors.As(err, &e) || e.HTTPStatus() >= 500) {
			t.Errorf("create change set: %v", err)
		}
		drop, _ := json.Marshal(map[string]string{"StackName": "S", "ChangeSetName": "C"})
		_, _ = c.Wire().Call(t.Context(), "DeleteChangeSet", drop)
	})
}
