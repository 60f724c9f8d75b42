package sagemaker_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// group makes the model package group "Flights".
func (c *cloud) group(t *testing.T) {
	t.Helper()
	_, err := c.CreateModelPackageGroup(t.Context(), &sm.CreateModelPackageGroupInput{ModelPackageGroupName: aws.String("Flights")})
	if err != nil && !strings.Contains(err.Error(), "Model Package Group already exists: arn:aws:sagemaker:us-east-1:000000000000:model-package-group/flights") {
		t.Fatal(err)
	}
}

// version makes a model package version and returns its ARN.
func (c *cloud) version(t *testing.T, change func(*sm.CreateModelPackageInput)) string {
	t.Helper()
	c.group(t)
	c.s3.put("s3://models/v/model.tar.gz", archive(t, map[string]string{"xgboost-model": "{}"}))
	in := &sm.CreateModelPackageInput{ModelPackageGroupName: aws.String("Flights"),
		InferenceSpecification: &types.InferenceSpecification{SupportedContentTypes: []string{"text/csv"},
			Containers: []types.ModelPackageContainerDefinition{{Image: aws.String(image), ModelDataUrl: aws.String("s3://models/v/model.tar.gz")}}}}
	if change != nil {
		change(in)
	}
	out, err := c.CreateModelPackage(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return *out.ModelPackageArn
}

const packageARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/flights/"

func TestVersionsAreNeverUsedAgain(t *testing.T) {
	c := open(t, nil)
	for i, want := range []string{"1", "2"} {
		if got := c.version(t, nil); got != packageARN+want {
			t.Errorf("version %d is %s", i, got)
		}
	}
	if _, err := c.DeleteModelPackage(t.Context(), &sm.DeleteModelPackageInput{ModelPackageName: aws.String(packageARN + "2")}); err != nil {
		t.Fatal(err)
	}
	if got := c.version(t, nil); got != packageARN+"3" {
		t.Errorf("after a deletion: %s", got)
	}
	_, err := c.DescribeModelPackage(t.Context(), &sm.DescribeModelPackageInput{ModelPackageName: aws.String(packageARN + "2")})
	wantError(t, err, "ValidationException", packageARN+"2 does not exist")
	_, err = c.DeleteModelPackageGroup(t.Context(), &sm.DeleteModelPackageGroupInput{ModelPackageGroupName: aws.String("Flights")})
	wantError(t, err, "ConflictException", "contains 2 model packages")
}

func TestApproval(t *testing.T) {
	clk := newSteps()
	reviewer := wire.Caller{Account: account, ARN: "arn:aws:sts::000000000000:assumed-role/reviewers/ada", UserID: "AROA:ada"}
	c := open(t, func(s *setup) { s.caller, s.Clock = reviewer, clk })
	metrics := &types.ModelMetrics{ModelQuality: &types.ModelQuality{Statistics: &types.MetricsSource{ContentType: aws.String("application/json"), S3Uri: aws.String("s3://ledger/evaluation.json")}}}
	arn := c.version(t, func(in *sm.CreateModelPackageInput) {
		in.ModelMetrics = metrics
		in.CustomerMetadataProperties = map[string]string{"run": "1", "recipe": "abc"}
	})
	if _, err := c.UpdateModelPackage(t.Context(), &sm.UpdateModelPackageInput{ModelPackageArn: aws.String(arn),
		ModelApprovalStatus: types.ModelApprovalStatusApproved, ApprovalDescription: aws.String("looks good")}); err != nil {
		t.Fatal(err)
	}
	p, err := c.DescribeModelPackage(t.Context(), &sm.DescribeModelPackageInput{ModelPackageName: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	if p.ModelApprovalStatus != "Approved" || *p.ApprovalDescription != "looks good" || p.ModelPackageStatus != "Completed" ||
		*p.ModelPackageVersion != 1 || *p.LastModifiedBy.IamIdentity.Arn != reviewer.ARN || !p.LastModifiedTime.After(*p.CreationTime) ||
		*p.ModelMetrics.ModelQuality.Statistics.S3Uri != "s3://ledger/evaluation.json" {
		t.Errorf("%+v", p)
	}
	var changed []event
	for _, e := range c.events.of("Flights") {
		if e.Type == "SageMaker Model Package State Change" {
			changed = append(changed, e)
		}
	}
	if len(changed) != 2 || changed[0].Detail["ModelApprovalStatus"] != "PendingManualApproval" || changed[1].Detail["ModelApprovalStatus"] != "Approved" {
		t.Fatalf("events %v", changed)
	}
	last := changed[1]
	if !reflect.DeepEqual(last.Detail["UpdatedModelPackageFields"], []any{"ModelApprovalStatus", "ApprovalDescription"}) || last.Resources[0] != arn {
		t.Errorf("event %v", last)
	}
	if _, err := time.Parse(time.RFC3339, last.Detail["LastModifiedTime"].(string)); err != nil {
		t.Errorf("LastModifiedTime %v, want ISO", last.Detail["LastModifiedTime"])
	}
}

func TestUpdateModelPackage(t *testing.T) {
	c := open(t, nil)
	arn := c.version(t, func(in *sm.CreateModelPackageInput) {
		in.CustomerMetadataProperties = map[string]string{"keep": "1", "drop": "2"}
		in.ModelApprovalStatus = types.ModelApprovalStatusApproved
	})
	if _, err := c.UpdateModelPackage(t.Context(), &sm.UpdateModelPackageInput{ModelPackageArn: aws.String(arn),
		CustomerMetadataProperties: map[string]string{"new": "3"}, CustomerMetadataPropertiesToRemove: []string{"drop"},
		ModelLifeCycle: &types.ModelLifeCycle{Stage: aws.String("Production"), StageStatus: aws.String("Live")}}); err != nil {
		t.Fatal(err)
	}
	p, err := c.DescribeModelPackage(t.Context(), &sm.DescribeModelPackageInput{ModelPackageName: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p.CustomerMetadataProperties, map[string]string{"keep": "1", "new": "3"}) || *p.ModelLifeCycle.Stage != "Production" || p.ModelApprovalStatus != "Approved" {
		t.Errorf("%+v", p)
	}
	all := c.events.of("Flights")
	last := all[len(all)-1]
	// The trap: the event says Approved although the approval did not change.
	if last.Detail["ModelApprovalStatus"] != "Approved" || !reflect.DeepEqual(last.Detail["UpdatedModelPackageFields"], []any{"ModelLifeCycle", "CustomerMetadataProperties"}) {
		t.Errorf("%v", last.Detail)
	}
	for name, tt := range map[string]struct {
		in   sm.UpdateModelPackageInput
		part string
	}{
		"no such version": {sm.UpdateModelPackageInput{ModelPackageArn: aws.String(packageARN + "9"), ModelApprovalStatus: "Approved"}, "does not exist"},
		"approval":        {sm.UpdateModelPackageInput{ModelPackageArn: aws.String(arn), ModelApprovalStatus: "Yes"}, "Member must satisfy enum value set: [Approved, Rejected, PendingManualApproval]"},
		"empty map":       {sm.UpdateModelPackageInput{ModelPackageArn: aws.String(arn), CustomerMetadataProperties: map[string]string{"a": "{\"json\":1}"}}, "Map value must satisfy constraint"},
		"not an ARN":      {sm.UpdateModelPackageInput{ModelPackageArn: aws.String("flights/1"), ModelApprovalStatus: "Approved"}, "'modelPackageArn' failed to satisfy constraint"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.UpdateModelPackage(t.Context(), &tt.in)
			wantError(t, err, "ValidationException", tt.part)
		})
	}
}

func TestCreateModelPackageIsIdempotentByToken(t *testing.T) {
	c := open(t, nil)
	token := func(in *sm.CreateModelPackageInput) { in.ClientToken = aws.String("run-1") }
	first, again := c.version(t, token), c.version(t, token)
	if first != again {
		t.Errorf("%s and %s", first, again)
	}
	_, err := c.CreateModelPackage(t.Context(), &sm.CreateModelPackageInput{ModelPackageGroupName: aws.String("Flights"), ClientToken: aws.String("run-1")})
	wantError(t, err, "ConflictException", "run-1")
	_, err = c.CreateModelPackage(t.Context(), &sm.CreateModelPackageInput{ModelPackageGroupName: aws.String("other")})
	wantError(t, err, "ValidationException", "model-package-group/other does not exist")
	_, err = c.CreateModelPackage(t.Context(), &sm.CreateModelPackageInput{ModelPackageName: aws.String("alone")})
	wantError(t, err, "ValidationException", "the local cloud does not support ModelPackageName")
	_, err = c.CreateModelPackage(t.Context(), &sm.CreateModelPackageInput{ModelPackageGroupName: aws.String("Flights"), Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}})
	wantError(t, err, "ValidationException", "Tags")
}

func TestListModelPackages(t *testing.T) {
	clk := newSteps()
	c := open(t, func(s *setup) { s.Clock = clk })
	for i := range 12 {
		c.version(t, func(in *sm.CreateModelPackageInput) {
			if i%2 == 0 {
				in.ModelApprovalStatus = types.ModelApprovalStatusApproved
			}
		})
	}
	list := func(in *sm.ListModelPackagesInput) (versions string) {
		t.Helper()
		p := sm.NewListModelPackagesPaginator(c, in)
		for p.HasMorePages() {
			out, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range out.ModelPackageSummaryList {
				versions += fmt.Sprint(*v.ModelPackageVersion, " ")
			}
			versions += "| "
		}
		return versions
	}
	flights := aws.String("Flights")
	for name, tt := range map[string]struct {
		in   sm.ListModelPackagesInput
		want string
	}{
		"default":              {sm.ListModelPackagesInput{ModelPackageGroupName: flights}, "1 2 3 4 5 6 7 8 9 10 | 11 12 | "},
		"latest approved":      {sm.ListModelPackagesInput{ModelPackageGroupName: flights, ModelApprovalStatus: "Approved", SortBy: "CreationTime", SortOrder: "Descending", MaxResults: aws.Int32(4)}, "11 9 7 5 | 3 1 | "},
		"by name":              {sm.ListModelPackagesInput{ModelPackageGroupName: aws.String("arn:aws:sagemaker:us-east-1:000000000000:model-package-group/flights"), SortBy: "Name", MaxResults: aws.Int32(100)}, "1 2 3 4 5 6 7 8 9 10 11 12 | "},
		"unversioned":          {sm.ListModelPackagesInput{}, "| "},
		"all versioned":        {sm.ListModelPackagesInput{ModelPackageType: "Versioned", ModelApprovalStatus: "Rejected"}, "| "},
		"created before first": {sm.ListModelPackagesInput{ModelPackageGroupName: flights, CreationTimeBefore: aws.Time(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC))}, "| "},
	} {
		t.Run(name, func(t *testing.T) {
			if got := list(&tt.in); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
	_, err := c.ListModelPackages(t.Context(), &sm.ListModelPackagesInput{ModelPackageGroupName: flights, NextToken: aws.String("nonsense")})
	wantError(t, err, "ValidationException", "pagination token")
	_, err = c.ListModelPackages(t.Context(), &sm.ListModelPackagesInput{MaxResults: aws.Int32(101)})
	wantError(t, err, "ValidationException", "Value '101' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 100")
}

func TestModels(t *testing.T) {
	c := open(t, nil)
	c.model(t, "serve")
	m, err := c.DescribeModel(t.Context(), &sm.DescribeModelInput{ModelName: aws.String("m")})
	if err != nil {
		t.Fatal(err)
	}
	if *m.PrimaryContainer.ModelDataUrl != "s3://models/m/model.tar.gz" || *m.ExecutionRoleArn != role || *m.ModelArn != "arn:aws:sagemaker:us-east-1:000000000000:model/m" {
		t.Errorf("%+v", m)
	}
	container := func(change func(*types.ContainerDefinition)) *sm.CreateModelInput {
		in := &sm.CreateModelInput{ModelName: aws.String("n"), ExecutionRoleArn: aws.String(role), PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image)}}
		change(in.PrimaryContainer)
		return in
	}
	for name, tt := range map[string]struct {
		in   *sm.CreateModelInput
		part string
	}{
		"again":        {&sm.CreateModelInput{ModelName: aws.String("m"), ExecutionRoleArn: aws.String(role), PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image)}}, `Cannot create already existing model "arn:aws:sagemaker:us-east-1:000000000000:model/m".`},
		"no role":      {&sm.CreateModelInput{ModelName: aws.String("n"), PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image)}}, "executionRoleArn"},
		"other role":   {&sm.CreateModelInput{ModelName: aws.String("n"), ExecutionRoleArn: aws.String(role + "x"), PrimaryContainer: &types.ContainerDefinition{Image: aws.String(image)}}, "Could not assume role"},
		"no container": {&sm.CreateModelInput{ModelName: aws.String("n"), ExecutionRoleArn: aws.String(role)}, "primaryContainer"},
		"no image":     {container(func(d *types.ContainerDefinition) { d.Image = nil }), "image"},
		"no data":      {container(func(d *types.ContainerDefinition) { d.ModelDataUrl = aws.String("s3://models/none.tar.gz") }), "Could not access model data at s3://models/none.tar.gz"},
		"no package":   {container(func(d *types.ContainerDefinition) { d.Image, d.ModelPackageName = nil, aws.String(packageARN+"1") }), "does not exist"},
		"multi model":  {container(func(d *types.ContainerDefinition) { d.Mode = types.ContainerModeMultiModel }), "does not support Mode MultiModel"},
		"two":          {&sm.CreateModelInput{ModelName: aws.String("n"), ExecutionRoleArn: aws.String(role), Containers: []types.ContainerDefinition{{Image: aws.String(image)}, {Image: aws.String(image)}}}, "more than one container"},
		"bad name":     {&sm.CreateModelInput{ModelName: aws.String("a_b"), ExecutionRoleArn: aws.String(role)}, "'modelName' failed to satisfy constraint: Member must satisfy regular expression pattern"},
		"network":      {&sm.CreateModelInput{ModelName: aws.String("n"), ExecutionRoleArn: aws.String(role), EnableNetworkIsolation: aws.Bool(true)}, "EnableNetworkIsolation"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.CreateModel(t.Context(), tt.in)
			wantError(t, err, "ValidationException", tt.part)
		})
	}
	if _, err := c.DeleteModel(t.Context(), &sm.DeleteModelInput{ModelName: aws.String("m")}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeModel(t.Context(), &sm.DescribeModelInput{ModelName: aws.String("m")})
	wantError(t, err, "ValidationException", `Could not find model "arn:aws:sagemaker:us-east-1:000000000000:model/m".`)
	out, err := c.ListModels(t.Context(), &sm.ListModelsInput{})
	if err != nil || len(out.Models) != 0 {
		t.Errorf("%v %v", out, err)
	}
	if n := len(c.events.of("m")); n != 2 {
		t.Errorf("%d model events, want one for the making and one for the deletion", n)
	}
}

func TestGroupsAndTags(t *testing.T) {
	c := open(t, nil)
	made, err := c.CreateModelPackageGroup(t.Context(), &sm.CreateModelPackageGroupInput{ModelPackageGroupName: aws.String("g"), ModelPackageGroupDescription: aws.String("d"),
		Tags: []types.Tag{{Key: aws.String("b"), Value: aws.String("2")}, {Key: aws.String("a"), Value: aws.String("1")}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.AddTags(t.Context(), &sm.AddTagsInput{ResourceArn: made.ModelPackageGroupArn, Tags: []types.Tag{{Key: aws.String("c"), Value: aws.String("3")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteTags(t.Context(), &sm.DeleteTagsInput{ResourceArn: made.ModelPackageGroupArn, TagKeys: []string{"b"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := c.ListTags(t.Context(), &sm.ListTagsInput{ResourceArn: made.ModelPackageGroupArn})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, tag := range tags.Tags {
		got += *tag.Key + "=" + *tag.Value + " "
	}
	if got != "a=1 c=3 " {
		t.Errorf("tags %s", got)
	}
	_, err = c.AddTags(t.Context(), &sm.AddTagsInput{ResourceArn: aws.String("arn:aws:sagemaker:us-east-1:000000000000:model/none"), Tags: tags.Tags})
	wantError(t, err, "ValidationException", "Could not find resource")
	g, err := c.DescribeModelPackageGroup(t.Context(), &sm.DescribeModelPackageGroupInput{ModelPackageGroupName: aws.String("g")})
	if err != nil || *g.ModelPackageGroupDescription != "d" || g.ModelPackageGroupStatus != "Completed" {
		t.Errorf("%+v %v", g, err)
	}
	if list, err := c.ListModelPackageGroups(t.Context(), &sm.ListModelPackageGroupsInput{NameContains: aws.String("G")}); err != nil || len(list.ModelPackageGroupSummaryList) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	if _, err := c.DeleteModelPackageGroup(t.Context(), &sm.DeleteModelPackageGroupInput{ModelPackageGroupName: aws.String("g")}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeModelPackageGroup(t.Context(), &sm.DescribeModelPackageGroupInput{ModelPackageGroupName: aws.String("g")})
	wantError(t, err, "ValidationException", "does not exist")
}
