package conformance_test

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
)

const ssmAPI = "https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_"

// parameter makes a parameter of the parameter store.
func (c *call) parameter(name, value string) result[*ssm.PutParameterOutput] {
	c.Helper()
	c.after(func(ctx context.Context) error {
		_, err := c.ssm.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &name})
		return err
	})
	return try(c.ssm.PutParameter(c.ctx, &ssm.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterTypeString}))
}

var parameterBehaviours = []behaviour{
	{id: "ssm.put", says: "a parameter's versions count up from 1, and it is replaced only where that is asked for", source: ssmAPI + "PutParameter.html", run: func(c *call) {
		name := "/" + c.name() + "/p"
		equal(c, "version", c.parameter(name, "one").ok(c).Version, 1)
		c.parameter(name, "two").fails(c, 400, "ParameterAlreadyExists")
		equal(c, "version", try(c.ssm.PutParameter(c.ctx, &ssm.PutParameterInput{Name: &name, Value: ref("two"), Type: types.ParameterTypeString, Overwrite: aws.Bool(true)})).ok(c).Version, 2)
		got := try(c.ssm.GetParameter(c.ctx, &ssm.GetParameterInput{Name: &name})).ok(c).Parameter
		equal(c, "parameter", []any{str(got.Value), got.Version, got.Type, str(got.ARN)}, []any{"two", 2, "String", c.arn("ssm", "parameter"+name)})
		old := try(c.ssm.GetParameter(c.ctx, &ssm.GetParameterInput{Name: ref(name + ":1")})).ok(c).Parameter
		equal(c, "first version", str(old.Value), "one")
	}},
	{id: "ssm.get.missing", says: "a parameter that is not there is ParameterNotFound, read or deleted", source: ssmAPI + "GetParameter.html", run: func(c *call) {
		name := "/" + c.name()
		try(c.ssm.GetParameter(c.ctx, &ssm.GetParameterInput{Name: &name})).fails(c, 400, "ParameterNotFound")
		try(c.ssm.DeleteParameter(c.ctx, &ssm.DeleteParameterInput{Name: &name})).fails(c, 400, "ParameterNotFound")
	}},
	{id: "ssm.get.several", says: "of several parameters those that are not there are named, read or deleted", source: ssmAPI + "GetParameters.html", run: func(c *call) {
		there, none := c.name(), c.name()
		c.parameter(there, "v").ok(c)
		got := try(c.ssm.GetParameters(c.ctx, &ssm.GetParametersInput{Names: []string{there, none}})).ok(c)
		equal(c, "read", []any{len(got.Parameters), got.InvalidParameters}, []any{1, []string{none}})
		gone := try(c.ssm.DeleteParameters(c.ctx, &ssm.DeleteParametersInput{Names: []string{there, none}})).ok(c)
		equal(c, "deleted", []any{gone.DeletedParameters, gone.InvalidParameters}, []any{[]string{there}, []string{none}})
	}},
	{id: "ssm.describe", says: "parameters are found by the beginning of their names, without their values", source: ssmAPI + "DescribeParameters.html", run: func(c *call) {
		prefix := "/" + c.name() + "/"
		c.parameter(prefix+"a", "v").ok(c)
		c.eventually("it is found", func() bool {
			found := try(c.ssm.DescribeParameters(c.ctx, &ssm.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{{Key: ref("Name"), Option: ref("BeginsWith"), Values: []string{prefix}}}})).ok(c).Parameters
			return len(found) == 1 && *found[0].Name == prefix+"a" && found[0].Version == 1
		})
	}},
	{id: "ssm.tags", says: "tags are added, listed and removed", source: ssmAPI + "AddTagsToResource.html", run: func(c *call) {
		name := c.name()
		c.parameter(name, "v").ok(c)
		kind := types.ResourceTypeForTaggingParameter
		try(c.ssm.AddTagsToResource(c.ctx, &ssm.AddTagsToResourceInput{ResourceType: kind, ResourceId: &name, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}, {Key: ref("b"), Value: ref("2")}}})).ok(c)
		try(c.ssm.RemoveTagsFromResource(c.ctx, &ssm.RemoveTagsFromResourceInput{ResourceType: kind, ResourceId: &name, TagKeys: []string{"a"}})).ok(c)
		left := try(c.ssm.ListTagsForResource(c.ctx, &ssm.ListTagsForResourceInput{ResourceType: kind, ResourceId: &name})).ok(c).TagList
		if len(left) != 1 || *left[0].Key != "b" || *left[0].Value != "2" {
			c.Errorf("tags: %+v", left)
		}
	}},
}
