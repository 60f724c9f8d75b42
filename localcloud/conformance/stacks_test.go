package conformance_test

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	cf "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

const cfAPI = "https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_"

// template has a queue of a retention that is a parameter, and exports its ARN.
func template(name string) string {
	return `{"Parameters":{"Days":{"Type":"Number","Default":"345600","MinValue":60}},
"Resources":{"Queue":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"` + name + `","MessageRetentionPeriod":{"Ref":"Days"}}}},
"Outputs":{"Arn":{"Value":{"Fn::GetAtt":["Queue","Arn"]},"Description":"where","Export":{"Name":"` + name + `"}},"Url":{"Value":{"Ref":"Queue"}}}}`
}

// stacked makes a stack and waits for it.
func (c *call) stacked(body string) string {
	c.Helper()
	name := c.name()
	try(c.stacks.CreateStack(c.ctx, &cf.CreateStackInput{StackName: &name, TemplateBody: &body, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}}})).ok(c)
	c.after(func(ctx context.Context) error {
		_, err := c.stacks.DeleteStack(ctx, &cf.DeleteStackInput{StackName: &name})
		return err
	})
	c.settled(name)
	return name
}

// settled waits until nothing is under way in a stack.
func (c *call) settled(name string) types.Stack {
	c.Helper()
	var s types.Stack
	c.eventually("the stack "+name, func() bool {
		s = try(c.stacks.DescribeStacks(c.ctx, &cf.DescribeStacksInput{StackName: &name})).ok(c).Stacks[0]
		return !strings.HasSuffix(string(s.StackStatus), "_IN_PROGRESS")
	})
	return s
}

func outputs(s types.Stack) map[string]string {
	all := map[string]string{}
	for _, o := range s.Outputs {
		all[*o.OutputKey] = *o.OutputValue
	}
	return all
}

func (c *call) update(name, days string) result[*cf.UpdateStackOutput] {
	return try(c.stacks.UpdateStack(c.ctx, &cf.UpdateStackInput{StackName: &name, UsePreviousTemplate: aws.Bool(true), Parameters: []types.Parameter{{ParameterKey: ref("Days"), ParameterValue: &days}}}))
}

var stackBehaviours = []behaviour{
	{id: "cloudformation.resource", says: "a resource of a stack is described by its logical name, and one that is none is ValidationError", source: cfAPI + "DescribeStackResource.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		resource := func(logical string) result[*cf.DescribeStackResourceOutput] {
			return try(c.stacks.DescribeStackResource(c.ctx, &cf.DescribeStackResourceInput{StackName: &name, LogicalResourceId: &logical}))
		}
		r := resource("Queue").ok(c).StackResourceDetail
		equal(c, "resource", []string{str(r.StackName), str(r.ResourceType), string(r.ResourceStatus)}, []string{name, "AWS::SQS::Queue", "CREATE_COMPLETE"})
		resource("None").fails(c, 400, "ValidationError", "Resource None does not exist for stack "+name)
	}},
	{id: "cloudformation.imports.none", says: "the imports of an export that no stack imports are ValidationError", source: cfAPI + "ListImports.html", run: func(c *call) {
		export := c.name()
		c.stacked(template(export))
		try(c.stacks.ListImports(c.ctx, &cf.ListImportsInput{ExportName: &export})).fails(c, 400, "ValidationError", "Export '"+export+"' is not imported by any stack.")
	}},
	{id: "cloudformation.change-set.delete", says: "a change set is listed until it is deleted, and is ChangeSetNotFound then", source: cfAPI + "DeleteChangeSet.html", run: func(c *call) {
		queue := c.name()
		name := c.stacked(template(queue))
		in := &cf.CreateChangeSetInput{StackName: &name, ChangeSetName: ref("longer"), UsePreviousTemplate: aws.Bool(true), Parameters: []types.Parameter{{ParameterKey: ref("Days"), ParameterValue: ref("60")}}}
		try(c.stacks.CreateChangeSet(c.ctx, in)).ok(c)
		told := func() result[*cf.DescribeChangeSetOutput] {
			return try(c.stacks.DescribeChangeSet(c.ctx, &cf.DescribeChangeSetInput{StackName: &name, ChangeSetName: ref("longer")}))
		}
		c.eventually("the change set is made", func() bool { return told().ok(c).Status == types.ChangeSetStatusCreateComplete })
		equal(c, "listed", len(try(c.stacks.ListChangeSets(c.ctx, &cf.ListChangeSetsInput{StackName: &name})).ok(c).Summaries), 1)
		try(c.stacks.DeleteChangeSet(c.ctx, &cf.DeleteChangeSetInput{StackName: &name, ChangeSetName: ref("longer")})).ok(c)
		told().fails(c, 404, "ChangeSetNotFound")
		try(c.stacks.DeleteChangeSet(c.ctx, &cf.DeleteChangeSetInput{ChangeSetName: ref("longer")})).fails(c, 400, "ValidationError", "StackName must be specified if ChangeSetName is not specified as an ARN.")
	}},
	{id: "cloudformation.validate", says: "a template's parameters are told, and what is wrong with it", source: cfAPI + "ValidateTemplate.html", run: func(c *call) {
		got := try(c.stacks.ValidateTemplate(c.ctx, &cf.ValidateTemplateInput{TemplateBody: ref(template(c.name()))})).ok(c).Parameters
		if len(got) != 1 || *got[0].ParameterKey != "Days" || str(got[0].DefaultValue) != "345600" {
			c.Errorf("parameters: %+v", got)
		}
		try(c.stacks.ValidateTemplate(c.ctx, &cf.ValidateTemplateInput{TemplateBody: ref(`{"Resources":{"T":{"Type":"AWS::SNS::Topic","Properties":{"TopicName":{"Ref":"Lost"}}}}}`)})).
			fails(c, 400, "ValidationError", "Template format error: Unresolved resource dependencies [Lost] in the Resources block of the template")
	}},
	{id: "cloudformation.create", says: "a stack is made of a template, with its parameters, tags and outputs, and exports them", source: cfAPI + "CreateStack.html", run: func(c *call) {
		queue := c.name()
		s := c.settled(c.stacked(template(queue)))
		equal(c, "stack", []any{s.StackStatus, str(s.Parameters[0].ParameterValue), str(s.Tags[0].Key), outputs(s)["Arn"]}, []any{"CREATE_COMPLETE", "345600", "a", c.arn("sqs", queue)})
		found := false
		pages := cf.NewListExportsPaginator(c.stacks, nil)
		for pages.HasMorePages() {
			for _, e := range try(pages.NextPage(c.ctx)).ok(c).Exports {
				found = found || *e.Name == queue && *e.Value == c.arn("sqs", queue) && *e.ExportingStackId == *s.StackId
			}
		}
		equal(c, "exported", found, true)
	}},
	{id: "cloudformation.create.exists", says: "a stack of a name that is taken is AlreadyExistsException", source: cfAPI + "CreateStack.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		try(c.stacks.CreateStack(c.ctx, &cf.CreateStackInput{StackName: &name, TemplateBody: ref(template(c.name()))})).fails(c, 400, "AlreadyExistsException", "Stack ["+name+"] already exists")
	}},
	{id: "cloudformation.create.invalid", says: "a template that is none is ValidationError, before anything is made", source: cfAPI + "CreateStack.html", run: func(c *call) {
		for body, why := range map[string]string{`{"Resources":{}}`: "At least one Resources member must be defined.", `{"Resources":{"Q":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":{"Ref":"None"}}}}}`: "nresolved resource dependencies [None]"} {
			name := c.name()
			try(c.stacks.CreateStack(c.ctx, &cf.CreateStackInput{StackName: &name, TemplateBody: &body})).fails(c, 400, "ValidationError", why)
			try(c.stacks.DescribeStacks(c.ctx, &cf.DescribeStacksInput{StackName: &name})).fails(c, 400, "ValidationError", "Stack with id "+name+" does not exist")
		}
	}},
	{id: "cloudformation.create.parameter", says: "a parameter that the template has not, or beyond its range, is ValidationError", source: cfAPI + "CreateStack.html", run: func(c *call) {
		with := func(key, value string) result[*cf.CreateStackOutput] {
			return try(c.stacks.CreateStack(c.ctx, &cf.CreateStackInput{StackName: ref(c.name()), TemplateBody: ref(template(c.name())), Parameters: []types.Parameter{{ParameterKey: &key, ParameterValue: &value}}}))
		}
		with("Other", "1").fails(c, 400, "ValidationError", "Parameters: [Other] do not exist in the template")
		with("Days", "1").fails(c, 400, "ValidationError", "Parameter 'Days' must be a number not less than 60")
	}},
	{id: "cloudformation.describe.missing", says: "a stack that is not there is ValidationError", source: cfAPI + "DescribeStacks.html", run: func(c *call) {
		name := c.name()
		try(c.stacks.DescribeStacks(c.ctx, &cf.DescribeStacksInput{StackName: &name})).fails(c, 400, "ValidationError", "Stack with id "+name+" does not exist")
		try(c.stacks.DescribeStackEvents(c.ctx, &cf.DescribeStackEventsInput{StackName: &name})).fails(c, 400, "ValidationError", "Stack ["+name+"] does not exist")
	}},
	{id: "cloudformation.resources", says: "the resources of a stack are listed with logical and physical ids, type and status", source: cfAPI + "DescribeStackResources.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		r := try(c.stacks.DescribeStackResources(c.ctx, &cf.DescribeStackResourcesInput{StackName: &name})).ok(c).StackResources
		equal(c, "resource", []any{len(r), str(r[0].LogicalResourceId), str(r[0].ResourceType), r[0].ResourceStatus, str(r[0].PhysicalResourceId)},
			[]any{1, "Queue", "AWS::SQS::Queue", "CREATE_COMPLETE", outputs(c.settled(name))["Url"]})
		listed := try(c.stacks.ListStackResources(c.ctx, &cf.ListStackResourcesInput{StackName: &name})).ok(c).StackResourceSummaries
		equal(c, "listed", []any{len(listed), str(listed[0].PhysicalResourceId)}, []any{1, *r[0].PhysicalResourceId})
	}},
	{id: "cloudformation.events", says: "a stack's events come newest first, and begin and end with the stack's own", source: cfAPI + "DescribeStackEvents.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		events := try(c.stacks.DescribeStackEvents(c.ctx, &cf.DescribeStackEventsInput{StackName: &name})).ok(c).StackEvents
		var told []string
		for _, e := range events {
			told = append(told, *e.LogicalResourceId+":"+string(e.ResourceStatus))
		}
		equal(c, "first and last", []string{told[0], told[len(told)-1]}, []string{name + ":CREATE_COMPLETE", name + ":CREATE_IN_PROGRESS"})
		if !strings.Contains(strings.Join(told, " "), "Queue:CREATE_COMPLETE Queue:CREATE_IN_PROGRESS") {
			c.Errorf("events: %v", told)
		}
	}},
	{id: "cloudformation.update", says: "an update changes what its parameters change; one that changes nothing is ValidationError", source: cfAPI + "UpdateStack.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		c.update(name, "86400").ok(c)
		s := c.settled(name)
		equal(c, "stack", []any{s.StackStatus, str(s.Parameters[0].ParameterValue), s.LastUpdatedTime != nil}, "[UPDATE_COMPLETE 86400 true]")
		c.update(name, "86400").fails(c, 400, "ValidationError", "No updates are to be performed.")
	}},
	{id: "cloudformation.rollback", says: "a stack of which one resource fails is rolled back, and says why", source: cfAPI + "CreateStack.html", run: func(c *call) {
		queue := c.name()
		name := c.stacked(`{"Resources":{"Good":{"Type":"AWS::SQS::Queue","Properties":{"QueueName":"` + queue + `"}},"Bad":{"Type":"AWS::SQS::Queue","DependsOn":"Good","Properties":{"QueueName":"not a name"}}}}`)
		equal(c, "status", c.settled(name).StackStatus, "ROLLBACK_COMPLETE")
		why := ""
		for _, e := range try(c.stacks.DescribeStackEvents(c.ctx, &cf.DescribeStackEventsInput{StackName: &name})).ok(c).StackEvents {
			if *e.LogicalResourceId == "Bad" && e.ResourceStatus == types.ResourceStatusCreateFailed {
				why = str(e.ResourceStatusReason)
			}
		}
		if why == "" || why == "<nil>" {
			c.Error("no event tells why Bad failed")
		}
		c.update(name, "1").fails(c, 400, "ValidationError", "is in ROLLBACK_COMPLETE state and can not be updated.")
	}},
	{id: "cloudformation.delete", says: "a deleted stack is gone by name, and told DELETE_COMPLETE by its id; deleting it again is a success", source: cfAPI + "DeleteStack.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		id := c.settled(name).StackId
		try(c.stacks.DeleteStack(c.ctx, &cf.DeleteStackInput{StackName: &name})).ok(c)
		equal(c, "status", c.settled(*id).StackStatus, "DELETE_COMPLETE")
		try(c.stacks.DescribeStacks(c.ctx, &cf.DescribeStacksInput{StackName: &name})).fails(c, 400, "ValidationError", "does not exist")
		try(c.stacks.DeleteStack(c.ctx, &cf.DeleteStackInput{StackName: &name})).ok(c)
	}},
	{id: "cloudformation.change-set", says: "a change set tells what it would add, modify and remove, and does it when it is executed", source: cfAPI + "CreateChangeSet.html", run: func(c *call) {
		queue := c.name()
		name := c.stacked(template(queue))
		body := strings.Replace(template(queue), `"Resources":{`, `"Resources":{"More":{"Type":"AWS::SNS::Topic"},`, 1)
		try(c.stacks.CreateChangeSet(c.ctx, &cf.CreateChangeSetInput{StackName: &name, ChangeSetName: ref("more"), TemplateBody: &body, Parameters: []types.Parameter{{ParameterKey: ref("Days"), ParameterValue: ref("86400")}}})).ok(c)
		var set *cf.DescribeChangeSetOutput
		c.eventually("the change set", func() bool {
			set = try(c.stacks.DescribeChangeSet(c.ctx, &cf.DescribeChangeSetInput{StackName: &name, ChangeSetName: ref("more")})).ok(c)
			return set.Status == types.ChangeSetStatusCreateComplete
		})
		changes := map[string]string{}
		for _, ch := range set.Changes {
			changes[*ch.ResourceChange.LogicalResourceId] = string(ch.ResourceChange.Action) + " " + string(ch.ResourceChange.Replacement)
		}
		equal(c, "changes", []any{changes, set.ExecutionStatus}, "[map[More:Add  Queue:Modify False] AVAILABLE]")
		try(c.stacks.ExecuteChangeSet(c.ctx, &cf.ExecuteChangeSetInput{StackName: &name, ChangeSetName: ref("more")})).ok(c)
		equal(c, "status", c.settled(name).StackStatus, "UPDATE_COMPLETE")
		equal(c, "resources", len(try(c.stacks.DescribeStackResources(c.ctx, &cf.DescribeStackResourcesInput{StackName: &name})).ok(c).StackResources), 2)
	}},
	{id: "cloudformation.change-set.empty", says: "a change set without changes is FAILED, and says so", source: cfAPI + "CreateChangeSet.html", run: func(c *call) {
		queue := c.name()
		name := c.stacked(template(queue))
		try(c.stacks.CreateChangeSet(c.ctx, &cf.CreateChangeSetInput{StackName: &name, ChangeSetName: ref("none"), TemplateBody: ref(template(queue))})).ok(c)
		var set *cf.DescribeChangeSetOutput
		c.eventually("the change set", func() bool {
			set = try(c.stacks.DescribeChangeSet(c.ctx, &cf.DescribeChangeSetInput{StackName: &name, ChangeSetName: ref("none")})).ok(c)
			return set.Status == types.ChangeSetStatusFailed
		})
		if !strings.Contains(str(set.StatusReason), "The submitted information didn't contain changes.") {
			c.Errorf("reason: %s", str(set.StatusReason))
		}
	}},
	{id: "cloudformation.change-set.missing", says: "a change set that is not there is ChangeSetNotFound", source: cfAPI + "DescribeChangeSet.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		try(c.stacks.DescribeChangeSet(c.ctx, &cf.DescribeChangeSetInput{StackName: &name, ChangeSetName: ref("none")})).fails(c, 404, "ChangeSetNotFound", "ChangeSet [none] does not exist")
	}},
	{id: "cloudformation.template", says: "a stack's template comes back as it was given, and a template is summed up", source: cfAPI + "GetTemplate.html", run: func(c *call) {
		body := template(c.name())
		name := c.stacked(body)
		equal(c, "template", str(try(c.stacks.GetTemplate(c.ctx, &cf.GetTemplateInput{StackName: &name})).ok(c).TemplateBody), body)
		sum := try(c.stacks.GetTemplateSummary(c.ctx, &cf.GetTemplateSummaryInput{TemplateBody: &body})).ok(c)
		equal(c, "summary", []any{sum.ResourceTypes, str(sum.Parameters[0].ParameterKey), str(sum.Parameters[0].DefaultValue)}, "[[AWS::SQS::Queue] Days 345600]")
	}},
	{id: "cloudformation.list", says: "stacks are listed by status, deleted ones too", source: cfAPI + "ListStacks.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		id := c.settled(name).StackId
		try(c.stacks.DeleteStack(c.ctx, &cf.DeleteStackInput{StackName: &name})).ok(c)
		c.settled(*id)
		found := false
		pages := cf.NewListStacksPaginator(c.stacks, &cf.ListStacksInput{StackStatusFilter: []types.StackStatus{types.StackStatusDeleteComplete}})
		for pages.HasMorePages() {
			for _, s := range try(pages.NextPage(c.ctx)).ok(c).StackSummaries {
				equal(c, "status", s.StackStatus, "DELETE_COMPLETE")
				found = found || *s.StackId == *id
			}
		}
		equal(c, "found", found, true)
	}},
	{id: "cloudformation.protection", says: "a stack that is protected is not deleted", source: cfAPI + "UpdateTerminationProtection.html", run: func(c *call) {
		name := c.stacked(template(c.name()))
		try(c.stacks.UpdateTerminationProtection(c.ctx, &cf.UpdateTerminationProtectionInput{StackName: &name, EnableTerminationProtection: aws.Bool(true)})).ok(c)
		try(c.stacks.DeleteStack(c.ctx, &cf.DeleteStackInput{StackName: &name})).fails(c, 400, "ValidationError", "Stack ["+name+"] cannot be deleted while TerminationProtection is enabled")
		try(c.stacks.UpdateTerminationProtection(c.ctx, &cf.UpdateTerminationProtectionInput{StackName: &name, EnableTerminationProtection: aws.Bool(false)})).ok(c)
	}},
}
