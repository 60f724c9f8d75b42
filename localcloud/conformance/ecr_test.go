package conformance_test

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

const ecrAPI = "https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_"

// repository makes a repository for images.
func (c *call) repository() string {
	c.Helper()
	name := c.name()
	try(c.ecr.CreateRepository(c.ctx, &ecr.CreateRepositoryInput{RepositoryName: &name, Tags: []types.Tag{{Key: ref("a"), Value: ref("1")}}})).ok(c)
	c.after(func(ctx context.Context) error {
		_, err := c.ecr.DeleteRepository(ctx, &ecr.DeleteRepositoryInput{RepositoryName: &name})
		return err
	})
	return name
}

// same compares texts of JSON.
func same(c *call, what, got, want string) {
	c.Helper()
	var g, w any
	if json.Unmarshal([]byte(got), &g) != nil || json.Unmarshal([]byte(want), &w) != nil {
		c.Fatalf("%s: no JSON: %s", what, got)
	}
	equal(c, what, g, w)
}

var ecrBehaviours = []behaviour{
	{id: "ecr.create.again", says: "a repository of a name that is taken is RepositoryAlreadyExistsException", source: ecrAPI + "CreateRepository.html", run: func(c *call) {
		name := c.repository()
		try(c.ecr.CreateRepository(c.ctx, &ecr.CreateRepositoryInput{RepositoryName: &name})).fails(c, 400, "RepositoryAlreadyExistsException", "The repository with name '"+name+"' already exists in the registry with id '"+c.account+"'")
	}},
	{id: "ecr.describe", says: "a repository is described with ARN and URI, its tags mutable, not scanned and encrypted by AES256 unless said otherwise", source: ecrAPI + "Repository.html", run: func(c *call) {
		name := c.repository()
		r := try(c.ecr.DescribeRepositories(c.ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}})).ok(c).Repositories[0]
		equal(c, "repository", []any{str(r.RepositoryArn), str(r.RepositoryUri), str(r.RegistryId), r.ImageTagMutability, r.ImageScanningConfiguration.ScanOnPush, r.EncryptionConfiguration.EncryptionType},
			[]any{c.arn("ecr", "repository/"+name), c.account + ".dkr.ecr." + c.cfg.Region + ".amazonaws.com/" + name, c.account, "MUTABLE", false, "AES256"})
	}},
	{id: "ecr.missing", says: "a repository that is not there is RepositoryNotFoundException", source: ecrAPI + "DescribeRepositories.html", run: func(c *call) {
		name := c.name()
		why := "The repository with name '" + name + "' does not exist in the registry with id '" + c.account + "'"
		try(c.ecr.DescribeRepositories(c.ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}})).fails(c, 400, "RepositoryNotFoundException", why)
		try(c.ecr.DeleteRepository(c.ctx, &ecr.DeleteRepositoryInput{RepositoryName: &name})).fails(c, 400, "RepositoryNotFoundException", why)
		try(c.ecr.ListImages(c.ctx, &ecr.ListImagesInput{RepositoryName: &name})).fails(c, 400, "RepositoryNotFoundException", why)
	}},
	{id: "ecr.images.none", says: "a new repository has no images, and one that is asked for is ImageNotFoundException", source: ecrAPI + "DescribeImages.html", run: func(c *call) {
		name := c.repository()
		equal(c, "images", len(try(c.ecr.ListImages(c.ctx, &ecr.ListImagesInput{RepositoryName: &name})).ok(c).ImageIds), 0)
		equal(c, "details", len(try(c.ecr.DescribeImages(c.ctx, &ecr.DescribeImagesInput{RepositoryName: &name})).ok(c).ImageDetails), 0)
		try(c.ecr.DescribeImages(c.ctx, &ecr.DescribeImagesInput{RepositoryName: &name, ImageIds: []types.ImageIdentifier{{ImageTag: ref("latest")}}})).fails(c, 400, "ImageNotFoundException", "does not exist within the repository with name '"+name+"'")
	}},
	{id: "ecr.policy", says: "a repository has no policy until one is set, and none once it is deleted", source: ecrAPI + "GetRepositoryPolicy.html", run: func(c *call) {
		name := c.repository()
		text := `{"Version":"2012-10-17","Statement":[{"Sid":"own","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + c.account + `:root"},"Action":"ecr:BatchGetImage"}]}`
		get := func() result[*ecr.GetRepositoryPolicyOutput] {
			return try(c.ecr.GetRepositoryPolicy(c.ctx, &ecr.GetRepositoryPolicyInput{RepositoryName: &name}))
		}
		none := "Repository policy does not exist for the repository with name '" + name + "'"
		get().fails(c, 400, "RepositoryPolicyNotFoundException", none)
		try(c.ecr.SetRepositoryPolicy(c.ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: &name, PolicyText: &text})).ok(c)
		same(c, "policy", str(get().ok(c).PolicyText), text)
		try(c.ecr.DeleteRepositoryPolicy(c.ctx, &ecr.DeleteRepositoryPolicyInput{RepositoryName: &name})).ok(c)
		get().fails(c, 400, "RepositoryPolicyNotFoundException", none)
		try(c.ecr.DeleteRepositoryPolicy(c.ctx, &ecr.DeleteRepositoryPolicyInput{RepositoryName: &name})).fails(c, 400, "RepositoryPolicyNotFoundException")
		try(c.ecr.SetRepositoryPolicy(c.ctx, &ecr.SetRepositoryPolicyInput{RepositoryName: &name, PolicyText: ref("no JSON")})).fails(c, 400, "InvalidParameterException")
	}},
	{id: "ecr.lifecycle", says: "a repository has no lifecycle policy until one is put, and none once it is deleted", source: ecrAPI + "GetLifecyclePolicy.html", run: func(c *call) {
		name := c.repository()
		text := `{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}`
		get := func() result[*ecr.GetLifecyclePolicyOutput] {
			return try(c.ecr.GetLifecyclePolicy(c.ctx, &ecr.GetLifecyclePolicyInput{RepositoryName: &name}))
		}
		get().fails(c, 400, "LifecyclePolicyNotFoundException", "Lifecycle policy does not exist for the repository with name '"+name+"'")
		try(c.ecr.PutLifecyclePolicy(c.ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: &name, LifecyclePolicyText: &text})).ok(c)
		same(c, "policy", str(get().ok(c).LifecyclePolicyText), text)
		try(c.ecr.DeleteLifecyclePolicy(c.ctx, &ecr.DeleteLifecyclePolicyInput{RepositoryName: &name})).ok(c)
		get().fails(c, 400, "LifecyclePolicyNotFoundException")
		try(c.ecr.PutLifecyclePolicy(c.ctx, &ecr.PutLifecyclePolicyInput{RepositoryName: &name, LifecyclePolicyText: ref("no JSON")})).fails(c, 400, "InvalidParameterException")
	}},
	{id: "ecr.settings", says: "whether tags are mutable and images scanned is changed, and described", source: ecrAPI + "PutImageTagMutability.html", run: func(c *call) {
		name := c.repository()
		try(c.ecr.PutImageTagMutability(c.ctx, &ecr.PutImageTagMutabilityInput{RepositoryName: &name, ImageTagMutability: types.ImageTagMutabilityImmutable})).ok(c)
		try(c.ecr.PutImageScanningConfiguration(c.ctx, &ecr.PutImageScanningConfigurationInput{RepositoryName: &name, ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true}})).ok(c)
		r := try(c.ecr.DescribeRepositories(c.ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}})).ok(c).Repositories[0]
		equal(c, "settings", []any{r.ImageTagMutability, r.ImageScanningConfiguration.ScanOnPush}, "[IMMUTABLE true]")
	}},
	{id: "ecr.tags", says: "a repository's tags are set, listed and taken away", source: ecrAPI + "TagResource.html", run: func(c *call) {
		arn := c.arn("ecr", "repository/"+c.repository())
		try(c.ecr.TagResource(c.ctx, &ecr.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: ref("b"), Value: ref("2")}}})).ok(c)
		try(c.ecr.UntagResource(c.ctx, &ecr.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"a"}})).ok(c)
		tags := try(c.ecr.ListTagsForResource(c.ctx, &ecr.ListTagsForResourceInput{ResourceArn: &arn})).ok(c).Tags
		if len(tags) != 1 || *tags[0].Key != "b" || *tags[0].Value != "2" {
			c.Errorf("tags: %+v", tags)
		}
	}},
	{id: "ecr.delete", says: "a deleted repository is told once more, and gone", source: ecrAPI + "DeleteRepository.html", run: func(c *call) {
		name := c.repository()
		equal(c, "deleted", str(try(c.ecr.DeleteRepository(c.ctx, &ecr.DeleteRepositoryInput{RepositoryName: &name})).ok(c).Repository.RepositoryName), name)
		try(c.ecr.DescribeRepositories(c.ctx, &ecr.DescribeRepositoriesInput{RepositoryNames: []string{name}})).fails(c, 400, "RepositoryNotFoundException")
	}},
}
