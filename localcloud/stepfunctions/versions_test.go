package stepfunctions_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

func says(word string) string {
	return `{"StartAt":"P","States":{"P":{"Type":"Pass","Result":"` + word + `","End":true}}}`
}

// run starts what an ARN names and returns what came of it.
func (c *cloud) run(arn, name string) *sfn.DescribeExecutionOutput {
	c.t.Helper()
	exec := c.start(arn, name, `{}`)
	c.ended(exec)
	return c.describe(exec)
}

func TestVersionsAndAliases(t *testing.T) {
	c := newCloud(t)
	ctx := context.Background()
	made, err := c.client.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("m"), RoleArn: aws.String(role),
		Definition: aws.String(says("one")), Publish: true, VersionDescription: aws.String("first")})
	if err != nil {
		t.Fatal(err)
	}
	arn, v1 := *made.StateMachineArn, aws.ToString(made.StateMachineVersionArn)
	if v1 != arn+":1" {
		t.Fatalf("version %q", v1)
	}
	again, err := c.client.PublishStateMachineVersion(ctx, &sfn.PublishStateMachineVersionInput{StateMachineArn: &arn})
	if err != nil || *again.StateMachineVersionArn != v1 {
		t.Errorf("the same revision again: %+v, %v", again, err)
	}
	_, err = c.client.PublishStateMachineVersion(ctx, &sfn.PublishStateMachineVersionInput{StateMachineArn: &arn, RevisionId: aws.String("other")})
	if code(err) != "ConflictException" {
		t.Errorf("another revision: %v", err)
	}
	u, err := c.client.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &arn, Definition: aws.String(says("two")), Publish: true})
	if err != nil || aws.ToString(u.StateMachineVersionArn) != arn+":2" {
		t.Fatalf("update: %+v, %v", u, err)
	}
	v2 := *u.StateMachineVersionArn
	if _, err := c.client.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &arn, Definition: aws.String(says("three"))}); err != nil {
		t.Fatal(err)
	}
	alias, err := c.client.CreateStateMachineAlias(ctx, &sfn.CreateStateMachineAliasInput{Name: aws.String("prod"), RoutingConfiguration: []types.RoutingConfigurationListItem{
		{StateMachineVersionArn: &v1, Weight: 100}, {StateMachineVersionArn: &v2, Weight: 0}}})
	if err != nil || *alias.StateMachineAliasArn != arn+":prod" {
		t.Fatalf("alias: %+v, %v", alias, err)
	}
	c.restart()
	for name, tc := range map[string]struct{ of, output, version, alias string }{
		"plain":   {arn, `"three"`, "", ""},
		"version": {v1, `"one"`, v1, ""},
		"second":  {v2, `"two"`, v2, ""},
		"alias":   {arn + ":prod", `"one"`, v1, arn + ":prod"},
	} {
		d := c.run(tc.of, name)
		if *d.Output != tc.output || *d.StateMachineArn != arn || aws.ToString(d.StateMachineVersionArn) != tc.version || aws.ToString(d.StateMachineAliasArn) != tc.alias {
			t.Errorf("%s: %+v", name, d)
		}
		list, err := c.client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: aws.String(tc.of)})
		if err != nil || tc.alias != "" && (len(list.Executions) != 1 || *list.Executions[0].Name != name) {
			t.Errorf("executions of %s: %+v, %v", tc.of, list, err)
		}
	}
	if _, err := c.client.UpdateStateMachineAlias(ctx, &sfn.UpdateStateMachineAliasInput{StateMachineAliasArn: alias.StateMachineAliasArn,
		RoutingConfiguration: []types.RoutingConfigurationListItem{{StateMachineVersionArn: &v2, Weight: 100}}}); err != nil {
		t.Fatal(err)
	}
	if d := c.run(arn+":prod", "switched"); *d.Output != `"two"` {
		t.Errorf("after the switch: %+v", d)
	}
	d, err := c.client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &v1})
	if err != nil || *d.StateMachineArn != v1 || *d.Definition != says("one") || aws.ToString(d.Description) != "first" {
		t.Errorf("describe a version: %+v, %v", d, err)
	}
	versions, err := c.client.ListStateMachineVersions(ctx, &sfn.ListStateMachineVersionsInput{StateMachineArn: &arn})
	if err != nil || len(versions.StateMachineVersions) != 2 || *versions.StateMachineVersions[0].StateMachineVersionArn != v2 {
		t.Errorf("versions: %+v, %v", versions, err)
	}
	_, err = c.client.DeleteStateMachineVersion(ctx, &sfn.DeleteStateMachineVersionInput{StateMachineVersionArn: &v2})
	if code(err) != "ConflictException" || !strings.Contains(err.Error(), "prod") {
		t.Errorf("delete a version in use: %v", err)
	}
	if _, err := c.client.DeleteStateMachineVersion(ctx, &sfn.DeleteStateMachineVersionInput{StateMachineVersionArn: &v1}); err != nil {
		t.Error(err)
	}
	a, err := c.client.DescribeStateMachineAlias(ctx, &sfn.DescribeStateMachineAliasInput{StateMachineAliasArn: alias.StateMachineAliasArn})
	if err != nil || *a.Name != "prod" || len(a.RoutingConfiguration) != 1 || a.RoutingConfiguration[0].Weight != 100 {
		t.Errorf("describe: %+v, %v", a, err)
	}
	list, err := c.client.ListStateMachineAliases(ctx, &sfn.ListStateMachineAliasesInput{StateMachineArn: &arn})
	if err != nil || len(list.StateMachineAliases) != 1 {
		t.Errorf("aliases: %+v, %v", list, err)
	}
	for range 2 { // the second time it is gone already
		if _, err := c.client.DeleteStateMachineAlias(ctx, &sfn.DeleteStateMachineAliasInput{StateMachineAliasArn: alias.StateMachineAliasArn}); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.client.UpdateStateMachineAlias(ctx, &sfn.UpdateStateMachineAliasInput{StateMachineAliasArn: alias.StateMachineAliasArn, Description: aws.String("d")}); code(err) != "ResourceNotFound" ||
		!strings.Contains(err.Error(), "Request references a resource that does not exist.") {
		t.Error(err)
	}
	for name, arn := range map[string]string{"no version": arn + ":1", "no alias": arn + ":prod"} {
		if _, err := c.client.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: &arn}); code(err) != "StateMachineDoesNotExist" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A number is never given twice, also when its version is gone.
	three, err := c.client.PublishStateMachineVersion(ctx, &sfn.PublishStateMachineVersionInput{StateMachineArn: &arn})
	if err != nil || *three.StateMachineVersionArn != arn+":3" {
		t.Errorf("the next version: %+v, %v", three, err)
	}
}

func TestRefusedAliases(t *testing.T) {
	c := newCloud(t)
	ctx := context.Background()
	publish := func(name string) *string {
		arn := c.create(name, says(name))
		v, err := c.client.PublishStateMachineVersion(ctx, &sfn.PublishStateMachineVersionInput{StateMachineArn: &arn})
		if err != nil {
			t.Fatal(err)
		}
		return v.StateMachineVersionArn
	}
	one, two := publish("one"), publish("two")
	type routes = []types.RoutingConfigurationListItem
	for name, tc := range map[string]struct {
		alias  string
		routes routes
		want   string
	}{
		"only digits":       {"12", routes{{StateMachineVersionArn: one, Weight: 100}}, "ValidationException"},
		"weights":           {"a", routes{{StateMachineVersionArn: one, Weight: 90}}, "ValidationException"},
		"twice":             {"a", routes{{StateMachineVersionArn: one, Weight: 50}, {StateMachineVersionArn: one, Weight: 50}}, "ValidationException"},
		"two machines":      {"a", routes{{StateMachineVersionArn: one, Weight: 50}, {StateMachineVersionArn: two, Weight: 50}}, "ValidationException"},
		"no such version":   {"a", routes{{StateMachineVersionArn: aws.String(strings.Replace(*one, ":1", ":9", 1)), Weight: 100}}, "ResourceNotFound"},
		"no routes at all":  {"a", routes{}, "ValidationException"},
		"the machine's ARN": {"a", routes{{StateMachineVersionArn: aws.String(strings.TrimSuffix(*one, ":1")), Weight: 100}}, "ValidationException"},
	} {
		_, err := c.client.CreateStateMachineAlias(ctx, &sfn.CreateStateMachineAliasInput{Name: aws.String(tc.alias), RoutingConfiguration: tc.routes})
		if code(err) != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	for i, want := range []string{"", "", "ConflictException"} {
		in := &sfn.CreateStateMachineAliasInput{Name: aws.String("a"), RoutingConfiguration: routes{{StateMachineVersionArn: one, Weight: 100}}}
		if i == 2 {
			in.Description = aws.String("other")
		}
		if _, err := c.client.CreateStateMachineAlias(ctx, in); err == nil && want != "" || err != nil && code(err) != want {
			t.Errorf("call %d: %v, want %q", i, err, want)
		}
	}
}

// An update that changes nothing keeps the revision; a description tells which
// variables the states name.
func TestRevisionsAndReferences(t *testing.T) {
	c := newCloud(t)
	ctx := context.Background()
	machine := c.create("m", `{"StartAt":"A","States":{"A":{"Type":"Pass","Assign":{"v":1},"Next":"B"},"B":{"Type":"Pass","InputPath":"$v","End":true}}}`)
	update := func(definition string) string {
		t.Helper()
		out, err := c.client.UpdateStateMachine(ctx, &sfn.UpdateStateMachineInput{StateMachineArn: &machine, Definition: &definition})
		if err != nil {
			t.Fatal(err)
		}
		return aws.ToString(out.RevisionId)
	}
	d, err := c.client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &machine})
	if err != nil || len(d.VariableReferences) != 1 || strings.Join(d.VariableReferences["B"], " ") != "v" {
		t.Errorf("references %v, %v", d.VariableReferences, err)
	}
	first := update(passes)
	if second := update(passes); second != first || first == "" {
		t.Errorf("the same definition gives the revision %q after %q", second, first)
	}
	if third := update(says("three")); third == first {
		t.Error("another definition keeps the revision")
	}
	d, err = c.client.DescribeStateMachine(ctx, &sfn.DescribeStateMachineInput{StateMachineArn: &machine})
	if err != nil || len(d.VariableReferences) != 0 {
		t.Errorf("references %v, %v", d.VariableReferences, err)
	}
}

func TestInputsThatAreNoJSON(t *testing.T) {
	c := newCloud(t)
	machine := c.create("m", passes)
	for input, want := range map[string]string{
		``:        "Invalid State Machine Execution Input: 'Invalid execution input.'",
		`not`:     "Invalid State Machine Execution Input: 'Unrecognized token 'not': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')'",
		`{'a':1}`: "Invalid State Machine Execution Input: 'Unexpected character (''' (code 39)): was expecting double-quote to start field name'",
	} {
		_, err := c.client.StartExecution(context.Background(), &sfn.StartExecutionInput{StateMachineArn: &machine, Input: &input})
		if code(err) != "InvalidExecutionInput" || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", input, err, want)
		}
	}
}
