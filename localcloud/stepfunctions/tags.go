package stepfunctions

import (
	"context"
	"sort"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const maxTags = 50

func tagMap(have map[string]string, add []types.Tag) (map[string]string, *wire.Error) {
	tags := make(map[string]string, len(have)+len(add))
	for k, v := range have {
		tags[k] = v
	}
	for _, t := range add {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	if len(tags) > maxTags {
		return nil, wire.Errorf("TooManyTags", "Too many tags: the most is %d", maxTags)
	}
	return tags, nil
}

// tagged changes the tags of a state machine.
func (s *StepFunctions) tagged(arn string, change func(map[string]string) (map[string]string, *wire.Error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, err := s.get(arn)
	if err != nil {
		return noResource(err, arn)
	}
	tags, bad := change(m.Tags)
	if bad != nil {
		return bad
	}
	m.Tags = tags
	return s.machines.Put(arn, m)
}

func noResource(err error, arn string) error {
	if wire.HasCode(err, "StateMachineDoesNotExist") {
		return wire.Errorf("ResourceNotFound", "Resource not found: '%s'", arn)
	}
	return err
}

func (s *StepFunctions) tagResource(_ context.Context, in *sfn.TagResourceInput) (*sfn.TagResourceOutput, error) {
	return &sfn.TagResourceOutput{}, s.tagged(aws.ToString(in.ResourceArn), func(tags map[string]string) (map[string]string, *wire.Error) {
		return tagMap(tags, in.Tags)
	})
}

func (s *StepFunctions) untagResource(_ context.Context, in *sfn.UntagResourceInput) (*sfn.UntagResourceOutput, error) {
	return &sfn.UntagResourceOutput{}, s.tagged(aws.ToString(in.ResourceArn), func(tags map[string]string) (map[string]string, *wire.Error) {
		for _, k := range in.TagKeys {
			delete(tags, k)
		}
		return tags, nil
	})
}

func (s *StepFunctions) listTags(_ context.Context, in *sfn.ListTagsForResourceInput) (*sfn.ListTagsForResourceOutput, error) {
	m, err := s.get(aws.ToString(in.ResourceArn))
	if err != nil {
		return nil, noResource(err, aws.ToString(in.ResourceArn))
	}
	out := &sfn.ListTagsForResourceOutput{Tags: []types.Tag{}}
	for k, v := range m.Tags {
		out.Tags = append(out.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	sort.Slice(out.Tags, func(i, j int) bool { return *out.Tags[i].Key < *out.Tags[j].Key })
	return out, nil
}
