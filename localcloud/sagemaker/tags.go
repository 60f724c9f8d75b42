package sagemaker

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const maxTags = 50

func (s *SageMaker) addTags() {
	s.service.Add(
		wire.On(op(s, "AddTags", s.tagResource), func(in *sm.AddTagsInput) []string { return []string{aws.ToString(in.ResourceArn)} }),
		wire.On(op(s, "ListTags", s.listTags), func(in *sm.ListTagsInput) []string { return []string{aws.ToString(in.ResourceArn)} }),
		wire.On(op(s, "DeleteTags", s.deleteTags), func(in *sm.DeleteTagsInput) []string { return []string{aws.ToString(in.ResourceArn)} }),
	)
}

// checkTags refuses tags that AWS refuses, and tags given without the right to.
func (s *SageMaker) checkTags(ctx context.Context, arn string, tags []types.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	seen := map[string]bool{}
	for _, t := range tags {
		key := aws.ToString(t.Key)
		if seen[key] {
			return invalid("Duplicate tag keys found: %s", key)
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return invalid("aws: prefixed tag key names are not allowed for external use.")
		}
		seen[key] = true
	}
	return s.allow(ctx, "sagemaker:AddTags", arn)
}

func (s *SageMaker) putTags(arn string, tags []types.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	_, err := s.tags.Update(arn, func(have map[string]string, _ bool) (map[string]string, error) {
		if have == nil {
			have = map[string]string{}
		}
		for _, t := range tags {
			have[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		if len(have) > maxTags {
			return nil, wire.Errorf("ResourceLimitExceeded", "The number of tags on %s would be %d; the limit is %d", arn, len(have), maxTags)
		}
		return have, nil
	})
	return err
}

// exists tells whether an ARN names something here.
func (s *SageMaker) exists(arn string) (bool, error) {
	_, rest, ok := strings.Cut(strings.TrimPrefix(arn, "arn:aws:sagemaker:"), s.opt.Account+":")
	kind, name, cut := strings.Cut(rest, "/")
	if !ok || !cut {
		return false, nil
	}
	var err error
	switch kind {
	case "training-job":
		_, ok, err = s.training.Get(name)
	case "processing-job":
		_, ok, err = s.process.Get(name)
	case "transform-job":
		_, ok, err = s.batch.Get(name)
	case "model":
		_, ok, err = s.models.Get(name)
	case "model-package-group":
		_, ok, err = s.groups.Get(name)
	case "model-package":
		_, _, err = s.findPackage(arn)
		if wire.HasCode(err, "ValidationException") {
			return false, nil
		}
	default:
		return false, nil
	}
	return ok, err
}

func (s *SageMaker) tagged(arn string) error {
	ok, err := s.exists(arn)
	if err != nil {
		return err
	}
	if !ok {
		return invalid("Could not find resource %q", arn)
	}
	return nil
}

func (s *SageMaker) tagResource(_ context.Context, in *sm.AddTagsInput) (*sm.AddTagsOutput, error) {
	if err := s.tagged(*in.ResourceArn); err != nil {
		return nil, err
	}
	if err := s.putTags(*in.ResourceArn, in.Tags); err != nil {
		return nil, err
	}
	return &sm.AddTagsOutput{Tags: in.Tags}, nil
}

func (s *SageMaker) listTags(_ context.Context, in *sm.ListTagsInput) (*sm.ListTagsOutput, error) {
	if err := s.tagged(*in.ResourceArn); err != nil {
		return nil, err
	}
	have, _, err := s.tags.Get(*in.ResourceArn)
	if err != nil {
		return nil, err
	}
	keys := slices.Sorted(maps.Keys(have))
	max := int32(maxTags)
	if in.MaxResults != nil {
		max = *in.MaxResults
	}
	keys, next, err := page(keys, func(k string) listed { return listed{id: k, name: k} }, query{sortBy: "Name", max: &max, token: in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &sm.ListTagsOutput{Tags: []types.Tag{}, NextToken: next}
	for _, k := range keys {
		out.Tags = append(out.Tags, types.Tag{Key: aws.String(k), Value: aws.String(have[k])})
	}
	return out, nil
}

func (s *SageMaker) deleteTags(_ context.Context, in *sm.DeleteTagsInput) (*sm.DeleteTagsOutput, error) {
	if err := s.tagged(*in.ResourceArn); err != nil {
		return nil, err
	}
	_, err := s.tags.Update(*in.ResourceArn, func(have map[string]string, _ bool) (map[string]string, error) {
		for _, k := range in.TagKeys {
			delete(have, k)
		}
		return have, nil
	})
	return &sm.DeleteTagsOutput{}, err
}
