// Package ecr is the part of Amazon ECR that a stack needs in the local cloud:
// private repositories with their settings, policies and tags. It is no image
// registry: nothing can be pushed or pulled, and GetAuthorizationToken, with
// which both begin, is refused. The images of jobs are programs of this machine.
package ecr

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecr "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// ECR is the service.
type ECR struct {
	o            service.Base
	mu           sync.Mutex // held over reading and writing a repository
	repositories *store.Table[repository]
}

// repository is a repository as kept.
type repository struct {
	Name       string
	Mutability string
	ScanOnPush bool
	Policy     string `json:",omitempty"`
	Lifecycle  string `json:",omitempty"`
	Created    time.Time
	Tags       map[string]string `json:",omitempty"`
}

// New opens the service on its state.
func New(o service.Base) (*ECR, error) {
	t, err := store.NewTable[repository](o.Store, "ecr/repositories")
	if err != nil {
		return nil, err
	}
	return &ECR{o: o, repositories: t}, nil
}

// Wire is the service's table of operations.
func (s *ECR) Wire() *wire.Service {
	w := &wire.Service{Name: "ecr", Protocol: wire.JSON11, Target: "AmazonEC2ContainerRegistry_V20150921", Lower: true, Authorize: s.o.Authorize, Log: s.o.Log, Model: model.Of("ecr")}
	on := func(name *string) []string { return []string{s.arn(aws.ToString(name))} }
	w.Add(
		wire.On(wire.Op("CreateRepository", s.create), func(in *awsecr.CreateRepositoryInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("DescribeRepositories", s.describe), func(in *awsecr.DescribeRepositoriesInput) []string {
			arns := make([]string, len(in.RepositoryNames))
			for i, n := range in.RepositoryNames {
				arns[i] = s.arn(n)
			}
			return arns
		}),
		wire.On(wire.Op("DeleteRepository", s.remove), func(in *awsecr.DeleteRepositoryInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("DescribeImages", s.describeImages), func(in *awsecr.DescribeImagesInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("ListImages", s.listImages), func(in *awsecr.ListImagesInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("SetRepositoryPolicy", s.setPolicy), func(in *awsecr.SetRepositoryPolicyInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("GetRepositoryPolicy", s.getPolicy), func(in *awsecr.GetRepositoryPolicyInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("DeleteRepositoryPolicy", s.deletePolicy), func(in *awsecr.DeleteRepositoryPolicyInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("PutLifecyclePolicy", s.putLifecycle), func(in *awsecr.PutLifecyclePolicyInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("GetLifecyclePolicy", s.getLifecycle), func(in *awsecr.GetLifecyclePolicyInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("DeleteLifecyclePolicy", s.deleteLifecycle), func(in *awsecr.DeleteLifecyclePolicyInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("PutImageTagMutability", s.putMutability), func(in *awsecr.PutImageTagMutabilityInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("PutImageScanningConfiguration", s.putScanning), func(in *awsecr.PutImageScanningConfigurationInput) []string { return on(in.RepositoryName) }),
		wire.On(wire.Op("TagResource", s.tag), func(in *awsecr.TagResourceInput) []string { return []string{aws.ToString(in.ResourceArn)} }),
		wire.On(wire.Op("UntagResource", s.untag), func(in *awsecr.UntagResourceInput) []string { return []string{aws.ToString(in.ResourceArn)} }),
		wire.On(wire.Op("ListTagsForResource", s.listTags), func(in *awsecr.ListTagsForResourceInput) []string { return []string{aws.ToString(in.ResourceArn)} }),
	)
	return w
}

func (s *ECR) arn(name string) string {
	return "arn:aws:ecr:" + s.o.Region + ":" + s.o.Account + ":repository/" + name
}

func (s *ECR) notFound(name string) error {
	return wire.Errorf("RepositoryNotFoundException", "The repository with name '%s' does not exist in the registry with id '%s'", name, s.o.Account)
}

func invalid(format string, args ...any) error {
	return wire.Errorf("InvalidParameterException", format, args...)
}

// find reads a repository of the account's own registry.
func (s *ECR) find(registry, name *string) (repository, error) {
	r, ok, err := s.repositories.Get(aws.ToString(name))
	if err == nil && (!ok || (registry != nil && *registry != s.o.Account)) {
		err = s.notFound(aws.ToString(name))
	}
	return r, err
}

// change rewrites a repository.
func (s *ECR) change(registry, name *string, f func(r *repository) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(registry, name)
	if err != nil {
		return err
	}
	if err := f(&r); err != nil {
		return err
	}
	return s.repositories.Put(r.Name, r)
}

var mutabilities = []types.ImageTagMutability{types.ImageTagMutabilityMutable, types.ImageTagMutabilityImmutable}

func (s *ECR) create(_ context.Context, in *awsecr.CreateRepositoryInput) (*awsecr.CreateRepositoryOutput, error) {
	name := aws.ToString(in.RepositoryName)
	r := repository{Name: name, Mutability: string(types.ImageTagMutabilityMutable), Created: s.o.Clock.Now().UTC(), Tags: tags(in.Tags),
		ScanOnPush: in.ImageScanningConfiguration != nil && in.ImageScanningConfiguration.ScanOnPush}
	if in.ImageTagMutability != "" {
		r.Mutability = string(in.ImageTagMutability)
	}
	switch {
	case in.RegistryId != nil && *in.RegistryId != s.o.Account:
		return nil, invalid("the local cloud has the registry %s only, not %s", s.o.Account, *in.RegistryId)
	case in.EncryptionConfiguration != nil && in.EncryptionConfiguration.EncryptionType != types.EncryptionTypeAes256:
		return nil, invalid("the local cloud supports encryption by AES256 only, not %s", in.EncryptionConfiguration.EncryptionType)
	case !slices.Contains(mutabilities, types.ImageTagMutability(r.Mutability)) || len(in.ImageTagMutabilityExclusionFilters) > 0:
		return nil, invalid("the local cloud supports image tags that are MUTABLE or IMMUTABLE, not %s", r.Mutability)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok, err := s.repositories.Get(name); err != nil {
		return nil, err
	} else if ok {
		return nil, wire.Errorf("RepositoryAlreadyExistsException", "The repository with name '%s' already exists in the registry with id '%s'", name, s.o.Account)
	}
	if err := s.repositories.Put(name, r); err != nil {
		return nil, err
	}
	return &awsecr.CreateRepositoryOutput{Repository: s.shown(r)}, nil
}

func (s *ECR) shown(r repository) *types.Repository {
	return &types.Repository{
		RepositoryName: aws.String(r.Name), RepositoryArn: aws.String(s.arn(r.Name)), RegistryId: aws.String(s.o.Account), CreatedAt: aws.Time(r.Created),
		RepositoryUri:      aws.String(s.o.Account + ".dkr.ecr." + s.o.Region + ".amazonaws.com/" + r.Name),
		ImageTagMutability: types.ImageTagMutability(r.Mutability), ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: r.ScanOnPush},
		EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeAes256},
	}
}

// describe lists repositories by name; a token is the name that a page ended with.
func (s *ECR) describe(_ context.Context, in *awsecr.DescribeRepositoriesInput) (*awsecr.DescribeRepositoriesOutput, error) {
	out := &awsecr.DescribeRepositoriesOutput{Repositories: []types.Repository{}}
	for _, n := range in.RepositoryNames {
		r, err := s.find(in.RegistryId, &n)
		if err != nil {
			return nil, err
		}
		out.Repositories = append(out.Repositories, *s.shown(r))
	}
	if len(in.RepositoryNames) > 0 {
		return out, nil
	}
	size := 100
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	err := s.repositories.Scan("", func(name string, r repository) bool {
		if name <= aws.ToString(in.NextToken) {
			return true
		}
		if len(out.Repositories) == size {
			out.NextToken = out.Repositories[size-1].RepositoryName
			return false
		}
		out.Repositories = append(out.Repositories, *s.shown(r))
		return true
	})
	return out, err
}

func (s *ECR) remove(_ context.Context, in *awsecr.DeleteRepositoryInput) (*awsecr.DeleteRepositoryOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.find(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	return &awsecr.DeleteRepositoryOutput{Repository: s.shown(r)}, s.repositories.Delete(r.Name)
}

// describeImages finds none: nothing can be pushed.
func (s *ECR) describeImages(_ context.Context, in *awsecr.DescribeImagesInput) (*awsecr.DescribeImagesOutput, error) {
	if _, err := s.find(in.RegistryId, in.RepositoryName); err != nil {
		return nil, err
	}
	for _, id := range in.ImageIds {
		return nil, wire.Errorf("ImageNotFoundException", "The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
			aws.ToString(id.ImageDigest), aws.ToString(id.ImageTag), aws.ToString(in.RepositoryName), s.o.Account)
	}
	return &awsecr.DescribeImagesOutput{ImageDetails: []types.ImageDetail{}}, nil
}

func (s *ECR) listImages(_ context.Context, in *awsecr.ListImagesInput) (*awsecr.ListImagesOutput, error) {
	_, err := s.find(in.RegistryId, in.RepositoryName)
	return &awsecr.ListImagesOutput{ImageIds: []types.ImageIdentifier{}}, err
}

// isObject tells whether a policy's text is a JSON object; nothing here is decided by it.
func isObject(text *string) bool {
	var m map[string]any
	return text != nil && json.Unmarshal([]byte(*text), &m) == nil
}

func (s *ECR) setPolicy(_ context.Context, in *awsecr.SetRepositoryPolicyInput) (*awsecr.SetRepositoryPolicyOutput, error) {
	if !isObject(in.PolicyText) {
		return nil, invalid("Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'")
	}
	err := s.change(in.RegistryId, in.RepositoryName, func(r *repository) error { r.Policy = *in.PolicyText; return nil })
	return &awsecr.SetRepositoryPolicyOutput{PolicyText: in.PolicyText, RegistryId: aws.String(s.o.Account), RepositoryName: in.RepositoryName}, err
}

func (s *ECR) noPolicy(name *string) error {
	return wire.Errorf("RepositoryPolicyNotFoundException", "Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", aws.ToString(name), s.o.Account)
}

func (s *ECR) getPolicy(_ context.Context, in *awsecr.GetRepositoryPolicyInput) (*awsecr.GetRepositoryPolicyOutput, error) {
	r, err := s.find(in.RegistryId, in.RepositoryName)
	if err == nil && r.Policy == "" {
		err = s.noPolicy(in.RepositoryName)
	}
	return &awsecr.GetRepositoryPolicyOutput{PolicyText: &r.Policy, RegistryId: aws.String(s.o.Account), RepositoryName: in.RepositoryName}, err
}

func (s *ECR) deletePolicy(_ context.Context, in *awsecr.DeleteRepositoryPolicyInput) (*awsecr.DeleteRepositoryPolicyOutput, error) {
	out := &awsecr.DeleteRepositoryPolicyOutput{RegistryId: aws.String(s.o.Account), RepositoryName: in.RepositoryName}
	return out, s.change(in.RegistryId, in.RepositoryName, func(r *repository) error {
		if r.Policy == "" {
			return s.noPolicy(in.RepositoryName)
		}
		out.PolicyText, r.Policy = aws.String(r.Policy), ""
		return nil
	})
}

func (s *ECR) putLifecycle(_ context.Context, in *awsecr.PutLifecyclePolicyInput) (*awsecr.PutLifecyclePolicyOutput, error) {
	if !isObject(in.LifecyclePolicyText) {
		return nil, invalid("Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: it is no JSON object'")
	}
	err := s.change(in.RegistryId, in.RepositoryName, func(r *repository) error { r.Lifecycle = *in.LifecyclePolicyText; return nil })
	return &awsecr.PutLifecyclePolicyOutput{LifecyclePolicyText: in.LifecyclePolicyText, RegistryId: aws.String(s.o.Account), RepositoryName: in.RepositoryName}, err
}

func (s *ECR) noLifecycle(name *string) error {
	return wire.Errorf("LifecyclePolicyNotFoundException", "Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", aws.ToString(name), s.o.Account)
}

func (s *ECR) getLifecycle(_ context.Context, in *awsecr.GetLifecyclePolicyInput) (*awsecr.GetLifecyclePolicyOutput, error) {
	r, err := s.find(in.RegistryId, in.RepositoryName)
	if err == nil && r.Lifecycle == "" {
		err = s.noLifecycle(in.RepositoryName)
	}
	return &awsecr.GetLifecyclePolicyOutput{LifecyclePolicyText: &r.Lifecycle, RegistryId: aws.String(s.o.Account), RepositoryName: in.RepositoryName}, err
}

func (s *ECR) deleteLifecycle(_ context.Context, in *awsecr.DeleteLifecyclePolicyInput) (*awsecr.DeleteLifecyclePolicyOutput, error) {
	out := &awsecr.DeleteLifecyclePolicyOutput{RegistryId: aws.String(s.o.Account), RepositoryName: in.RepositoryName}
	return out, s.change(in.RegistryId, in.RepositoryName, func(r *repository) error {
		if r.Lifecycle == "" {
			return s.noLifecycle(in.RepositoryName)
		}
		out.LifecyclePolicyText, r.Lifecycle = aws.String(r.Lifecycle), ""
		return nil
	})
}

func (s *ECR) putMutability(_ context.Context, in *awsecr.PutImageTagMutabilityInput) (*awsecr.PutImageTagMutabilityOutput, error) {
	if !slices.Contains(mutabilities, in.ImageTagMutability) || len(in.ImageTagMutabilityExclusionFilters) > 0 {
		return nil, invalid("the local cloud supports image tags that are MUTABLE or IMMUTABLE, not %s", in.ImageTagMutability)
	}
	err := s.change(in.RegistryId, in.RepositoryName, func(r *repository) error { r.Mutability = string(in.ImageTagMutability); return nil })
	return &awsecr.PutImageTagMutabilityOutput{ImageTagMutability: in.ImageTagMutability, RegistryId: aws.String(s.o.Account), RepositoryName: in.RepositoryName}, err
}

func (s *ECR) putScanning(_ context.Context, in *awsecr.PutImageScanningConfigurationInput) (*awsecr.PutImageScanningConfigurationOutput, error) {
	if in.ImageScanningConfiguration == nil {
		return nil, invalid("Missing required parameter imageScanningConfiguration")
	}
	err := s.change(in.RegistryId, in.RepositoryName, func(r *repository) error { r.ScanOnPush = in.ImageScanningConfiguration.ScanOnPush; return nil })
	return &awsecr.PutImageScanningConfigurationOutput{ImageScanningConfiguration: in.ImageScanningConfiguration, RegistryId: aws.String(s.o.Account), RepositoryName: in.RepositoryName}, err
}

func tags(list []types.Tag) map[string]string {
	out := map[string]string{}
	for _, t := range list {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}

// named is the repository's name in its ARN.
func (s *ECR) named(arn *string) (*string, error) {
	name, ok := strings.CutPrefix(aws.ToString(arn), s.arn(""))
	if !ok {
		return nil, invalid("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	return &name, nil
}

func (s *ECR) tag(_ context.Context, in *awsecr.TagResourceInput) (*awsecr.TagResourceOutput, error) {
	name, err := s.named(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &awsecr.TagResourceOutput{}, s.change(nil, name, func(r *repository) error {
		if r.Tags == nil {
			r.Tags = map[string]string{}
		}
		maps.Copy(r.Tags, tags(in.Tags))
		return nil
	})
}

func (s *ECR) untag(_ context.Context, in *awsecr.UntagResourceInput) (*awsecr.UntagResourceOutput, error) {
	name, err := s.named(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &awsecr.UntagResourceOutput{}, s.change(nil, name, func(r *repository) error {
		for _, k := range in.TagKeys {
			delete(r.Tags, k)
		}
		return nil
	})
}

// tagList is the answer about tags. They are maps since their members, alone in
// this service, begin with capitals.
type tagList struct{ Tags []map[string]string }

func (s *ECR) listTags(_ context.Context, in *awsecr.ListTagsForResourceInput) (*tagList, error) {
	name, err := s.named(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	r, err := s.find(nil, name)
	if err != nil {
		return nil, err
	}
	out := &tagList{Tags: []map[string]string{}}
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		out.Tags = append(out.Tags, map[string]string{"Key": k, "Value": r.Tags[k]})
	}
	return out, nil
}
