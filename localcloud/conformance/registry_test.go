package conformance_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// model makes a model whose data is an archive in a bucket.
func (c *call) model(name, bucket string) string {
	c.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	a := tar.NewWriter(z)
	if err := a.WriteHeader(&tar.Header{Name: "model.txt", Size: 5, Mode: 0o644}); err != nil {
		c.Fatal(err)
	}
	try(a.Write([]byte("model"))).ok(c)
	if a.Close() != nil || z.Close() != nil {
		c.Fatal("the archive does not close")
	}
	c.put(bucket, "model.tar.gz", b.String()).ok(c)
	try(c.sm.CreateModel(c.ctx, &sm.CreateModelInput{ModelName: &name, ExecutionRoleArn: ref(c.roleARN()),
		PrimaryContainer: &types.ContainerDefinition{Image: ref(c.image()), ModelDataUrl: ref("s3://" + bucket + "/model.tar.gz"), Environment: map[string]string{"A": "1"}}})).ok(c)
	c.after(func(ctx context.Context) error {
		_, err := c.sm.DeleteModel(ctx, &sm.DeleteModelInput{ModelName: &name})
		return err
	})
	return name
}

// packages makes a group of model packages, which is deleted with its versions.
func (c *call) packages() string {
	c.Helper()
	name := c.name()
	try(c.sm.CreateModelPackageGroup(c.ctx, &sm.CreateModelPackageGroupInput{ModelPackageGroupName: &name, ModelPackageGroupDescription: ref("of a test")})).ok(c)
	c.after(func(ctx context.Context) error {
		out, err := c.sm.ListModelPackages(ctx, &sm.ListModelPackagesInput{ModelPackageGroupName: &name})
		if err != nil {
			return err
		}
		for _, p := range out.ModelPackageSummaryList {
			if _, err := c.sm.DeleteModelPackage(ctx, &sm.DeleteModelPackageInput{ModelPackageName: p.ModelPackageArn}); err != nil {
				return err
			}
		}
		_, err = c.sm.DeleteModelPackageGroup(ctx, &sm.DeleteModelPackageGroupInput{ModelPackageGroupName: &name})
		return err
	})
	return name
}

// release makes the next version of a group.
func (c *call) release(group string, status types.ModelApprovalStatus) string {
	c.Helper()
	return *try(c.sm.CreateModelPackage(c.ctx, &sm.CreateModelPackageInput{ModelPackageGroupName: &group, ModelApprovalStatus: status,
		CustomerMetadataProperties: map[string]string{"run": "1"},
		InferenceSpecification: &types.InferenceSpecification{SupportedContentTypes: []string{"text/csv"}, SupportedResponseMIMETypes: []string{"text/csv"},
			Containers: []types.ModelPackageContainerDefinition{{Image: ref(c.image()), ModelDataUrl: ref("s3://" + group + "/model.tar.gz")}}}})).ok(c).ModelPackageArn
}

var registryBehaviours = []behaviour{
	{id: "sagemaker.model.create", says: "a model is described as it was made", source: smAPI + "DescribeModel.html", need: needImage, run: func(c *call) {
		b := c.bucket()
		name := c.model(c.name(), b)
		out := try(c.sm.DescribeModel(c.ctx, &sm.DescribeModelInput{ModelName: &name})).ok(c)
		equal(c, "model", []string{str(out.ModelArn), str(out.ExecutionRoleArn), str(out.PrimaryContainer.ModelDataUrl), out.PrimaryContainer.Environment["A"]},
			[]string{c.arn("sagemaker", "model/"+name), c.roleARN(), "s3://" + b + "/model.tar.gz", "1"})
	}},
	{id: "sagemaker.model.exists", says: "a model of a name that is taken is ValidationException", source: smAPI + "CreateModel.html", need: needImage, run: func(c *call) {
		name := c.model(c.name(), c.bucket())
		try(c.sm.CreateModel(c.ctx, &sm.CreateModelInput{ModelName: &name, ExecutionRoleArn: ref(c.roleARN()), PrimaryContainer: &types.ContainerDefinition{Image: ref(c.image())}})).
			fails(c, 400, "ValidationException", "Cannot create already existing model")
	}},
	{id: "sagemaker.model.missing", says: "a model that is not there is ValidationException, described or deleted", source: smAPI + "DescribeModel.html", run: func(c *call) {
		name := c.name()
		try(c.sm.DescribeModel(c.ctx, &sm.DescribeModelInput{ModelName: &name})).fails(c, 400, "ValidationException", `Could not find model "`+c.arn("sagemaker", "model/"+name)+`"`)
		try(c.sm.DeleteModel(c.ctx, &sm.DeleteModelInput{ModelName: &name})).fails(c, 400, "ValidationException", `Could not find model "`+c.arn("sagemaker", "model/"+name)+`"`)
	}},
	{id: "sagemaker.list-models", says: "models are listed by name, sorted, in pages", source: smAPI + "ListModels.html", need: needImage, run: func(c *call) {
		prefix, b := c.name()+"-", c.bucket()
		for _, end := range []string{"b", "c", "a"} {
			c.model(prefix+end, b)
		}
		var got []string
		in := &sm.ListModelsInput{NameContains: &prefix, SortBy: types.ModelSortKeyName, SortOrder: types.OrderKeyAscending, MaxResults: aws.Int32(2)}
		pages := sm.NewListModelsPaginator(c.sm, in)
		for pages.HasMorePages() {
			page := ""
			for _, m := range try(pages.NextPage(c.ctx)).ok(c).Models {
				page += strings.TrimPrefix(*m.ModelName, prefix)
			}
			got = append(got, page)
		}
		equal(c, "pages", got, "[ab c]")
	}},
	{id: "sagemaker.group.create", says: "a group is described as it was made", source: smAPI + "DescribeModelPackageGroup.html", run: func(c *call) {
		name := c.packages()
		out := try(c.sm.DescribeModelPackageGroup(c.ctx, &sm.DescribeModelPackageGroupInput{ModelPackageGroupName: &name})).ok(c)
		equal(c, "group", []string{str(out.ModelPackageGroupArn), string(out.ModelPackageGroupStatus), str(out.ModelPackageGroupDescription)}, []string{c.arn("sagemaker", "model-package-group/"+name), "Completed", "of a test"})
	}},
	{id: "sagemaker.group.exists", says: "a group of a name that is taken is ValidationException", source: smAPI + "CreateModelPackageGroup.html", run: func(c *call) {
		name := c.packages()
		try(c.sm.CreateModelPackageGroup(c.ctx, &sm.CreateModelPackageGroupInput{ModelPackageGroupName: &name})).fails(c, 400, "ValidationException", "Model Package Group already exists: "+c.arn("sagemaker", "model-package-group/"+name))
	}},
	{id: "sagemaker.group.missing", says: "a group that is not there is ValidationException", source: smAPI + "DescribeModelPackageGroup.html", run: func(c *call) {
		name := c.name()
		try(c.sm.DescribeModelPackageGroup(c.ctx, &sm.DescribeModelPackageGroupInput{ModelPackageGroupName: &name})).fails(c, 400, "ValidationException", "ModelPackageGroup "+c.arn("sagemaker", "model-package-group/"+name)+" does not exist")
	}},
	{id: "sagemaker.group.delete", says: "a group with versions is not deleted: ConflictException", source: smAPI + "DeleteModelPackageGroup.html", need: needImage, run: func(c *call) {
		name := c.packages()
		c.release(name, "")
		try(c.sm.DeleteModelPackageGroup(c.ctx, &sm.DeleteModelPackageGroupInput{ModelPackageGroupName: &name})).fails(c, 400, "ConflictException")
	}},
	{id: "sagemaker.list-groups", says: "groups are listed by name", source: smAPI + "ListModelPackageGroups.html", run: func(c *call) {
		name := c.packages()
		out := try(c.sm.ListModelPackageGroups(c.ctx, &sm.ListModelPackageGroupsInput{NameContains: &name})).ok(c)
		equal(c, "groups", []any{len(out.ModelPackageGroupSummaryList), str(out.ModelPackageGroupSummaryList[0].ModelPackageGroupName)}, []any{1, name})
	}},
	{id: "sagemaker.package.versions", says: "versions of a group are numbered from 1, and a number is not used again", source: smAPI + "CreateModelPackage.html", need: needImage, run: func(c *call) {
		name := c.packages()
		equal(c, "first", c.release(name, ""), c.arn("sagemaker", "model-package/"+name+"/1"))
		second := c.release(name, "")
		try(c.sm.DeleteModelPackage(c.ctx, &sm.DeleteModelPackageInput{ModelPackageName: &second})).ok(c)
		equal(c, "third", c.release(name, ""), c.arn("sagemaker", "model-package/"+name+"/3"))
	}},
	{id: "sagemaker.package.describe", says: "a version waits for approval unless it says otherwise, and is described as it was made", source: smAPI + "DescribeModelPackage.html", need: needImage, run: func(c *call) {
		name := c.packages()
		arn := c.release(name, types.ModelApprovalStatusPendingManualApproval)
		out := try(c.sm.DescribeModelPackage(c.ctx, &sm.DescribeModelPackageInput{ModelPackageName: &arn})).ok(c)
		equal(c, "package", []any{str(out.ModelPackageGroupName), num(out.ModelPackageVersion), out.ModelApprovalStatus, out.ModelPackageStatus, out.CustomerMetadataProperties["run"]},
			[]any{name, 1, "PendingManualApproval", "Completed", "1"})
	}},
	{id: "sagemaker.package.approve", says: "an approval changes the status, and tells who and when", source: smAPI + "UpdateModelPackage.html", need: needImage, run: func(c *call) {
		arn := c.release(c.packages(), types.ModelApprovalStatusPendingManualApproval)
		try(c.sm.UpdateModelPackage(c.ctx, &sm.UpdateModelPackageInput{ModelPackageArn: &arn, ModelApprovalStatus: types.ModelApprovalStatusApproved, ApprovalDescription: ref("good")})).ok(c)
		out := try(c.sm.DescribeModelPackage(c.ctx, &sm.DescribeModelPackageInput{ModelPackageName: &arn})).ok(c)
		equal(c, "package", []any{out.ModelApprovalStatus, str(out.ApprovalDescription), out.LastModifiedTime != nil}, "[Approved good true]")
	}},
	{id: "sagemaker.package.missing", says: "a version that is not there is ValidationException", source: smAPI + "DescribeModelPackage.html", run: func(c *call) {
		arn := c.arn("sagemaker", "model-package/"+c.packages()+"/7")
		try(c.sm.DescribeModelPackage(c.ctx, &sm.DescribeModelPackageInput{ModelPackageName: &arn})).fails(c, 400, "ValidationException", "ModelPackage "+arn+" does not exist")
	}},
	{id: "sagemaker.list-packages", says: "versions of a group are listed oldest first or newest first, chosen by approval, in pages", source: smAPI + "ListModelPackages.html", need: needImage, run: func(c *call) {
		name := c.packages()
		for _, s := range []types.ModelApprovalStatus{"Approved", "Rejected", "Approved"} {
			c.release(name, s)
		}
		list := func(in sm.ListModelPackagesInput) (versions []int64, next *string) {
			in.ModelPackageGroupName = &name
			out := try(c.sm.ListModelPackages(c.ctx, &in)).ok(c)
			for _, p := range out.ModelPackageSummaryList {
				versions = append(versions, num(p.ModelPackageVersion))
			}
			return versions, out.NextToken
		}
		all, _ := list(sm.ListModelPackagesInput{})
		equal(c, "all", all, "[1 2 3]")
		approved, _ := list(sm.ListModelPackagesInput{ModelApprovalStatus: "Approved"})
		equal(c, "approved", approved, "[1 3]")
		first, next := list(sm.ListModelPackagesInput{MaxResults: aws.Int32(2), SortOrder: types.SortOrderDescending})
		second, end := list(sm.ListModelPackagesInput{MaxResults: aws.Int32(2), SortOrder: types.SortOrderDescending, NextToken: next})
		equal(c, "pages", []any{first, second, str(end)}, "[[3 2] [1] <nil>]")
	}},
	{id: "sagemaker.list-packages.missing", says: "versions of a group that is not there are ValidationException", source: smAPI + "ListModelPackages.html", run: func(c *call) {
		try(c.sm.ListModelPackages(c.ctx, &sm.ListModelPackagesInput{ModelPackageGroupName: ref(c.name())})).fails(c, 400, "ValidationException", "does not exist")
	}},
	{id: "sagemaker.tags", says: "tags are added, listed and deleted by ARN", source: smAPI + "AddTags.html", run: func(c *call) {
		arn := c.arn("sagemaker", "model-package-group/"+c.packages())
		try(c.sm.AddTags(c.ctx, &sm.AddTagsInput{ResourceArn: &arn, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}, {Key: ref("b"), Value: ref("2")}}})).ok(c)
		try(c.sm.DeleteTags(c.ctx, &sm.DeleteTagsInput{ResourceArn: &arn, TagKeys: []string{"a"}})).ok(c)
		tags := try(c.sm.ListTags(c.ctx, &sm.ListTagsInput{ResourceArn: &arn})).ok(c).Tags
		if len(tags) != 1 || *tags[0].Key != "b" {
			c.Errorf("tags: %+v", tags)
		}
	}},
}
