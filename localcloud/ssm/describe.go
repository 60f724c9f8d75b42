package ssm

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func (s *SSM) listTags(_ context.Context, in *awsssm.ListTagsForResourceInput) (*awsssm.ListTagsForResourceOutput, error) {
	p, err := s.tagged(in.ResourceType, in.ResourceId)
	if err != nil {
		return nil, err
	}
	out := &awsssm.ListTagsForResourceOutput{TagList: []types.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(p.Tags)) {
		out.TagList = append(out.TagList, types.Tag{Key: aws.String(k), Value: aws.String(p.Tags[k])})
	}
	return out, nil
}

// maxPage is the most that DescribeParameters gives at once.
const maxPage = 50

// describe lists parameters by name; a token is the name that a page ended with.
func (s *SSM) describe(_ context.Context, in *awsssm.DescribeParametersInput) (*awsssm.DescribeParametersOutput, error) {
	if len(in.Filters) > 0 || aws.ToBool(in.Shared) {
		return nil, wire.Errorf("InvalidFilterKey", "the local cloud supports ParameterFilters only, not Filters or Shared")
	}
	size := maxPage
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	for _, f := range in.ParameterFilters {
		if err := checkFilter(f); err != nil {
			return nil, err
		}
	}
	out := &awsssm.DescribeParametersOutput{Parameters: []types.ParameterMetadata{}}
	err := s.parameters.Scan("", func(name string, p parameter) bool {
		if in.NextToken != nil && name <= *in.NextToken {
			return true
		}
		if slices.ContainsFunc(in.ParameterFilters, func(f types.ParameterStringFilter) bool { return !p.passes(f) }) {
			return true
		}
		if len(out.Parameters) == size {
			out.NextToken = out.Parameters[size-1].Name
			return false
		}
		out.Parameters = append(out.Parameters, s.metadata(p))
		return true
	})
	return out, err
}

func (s *SSM) metadata(p parameter) types.ParameterMetadata {
	v := p.newest()
	out := types.ParameterMetadata{Name: aws.String(p.Name), ARN: aws.String(s.arn(p.Name)), Type: types.ParameterType(v.Type), Version: v.Number, Tier: types.ParameterTierStandard,
		DataType: aws.String("text"), LastModifiedDate: aws.Time(v.Modified), LastModifiedUser: aws.String(p.User), Policies: []types.ParameterInlinePolicy{}}
	if p.Description != "" {
		out.Description = aws.String(p.Description)
	}
	if p.Pattern != "" {
		out.AllowedPattern = aws.String(p.Pattern)
	}
	return out
}

// filters are the keys and the options of each, the first by default.
var filters = map[string][]string{
	"Name": {"Equals", "BeginsWith", "Contains"},
	"Type": {"Equals", "BeginsWith"},
	"Path": {"OneLevel", "Recursive"},
}

func option(f types.ParameterStringFilter) string {
	if o := aws.ToString(f.Option); o != "" {
		return o
	}
	return filters[aws.ToString(f.Key)][0]
}

func checkFilter(f types.ParameterStringFilter) error {
	options, ok := filters[aws.ToString(f.Key)]
	switch {
	case !ok:
		return wire.Errorf("InvalidFilterKey", "the local cloud does not filter parameters by %s (by %s)", aws.ToString(f.Key), strings.Join(slices.Sorted(maps.Keys(filters)), ", "))
	case !slices.Contains(options, option(f)):
		return wire.Errorf("InvalidFilterOption", "The following filter option is not valid: %s. Valid options include: [%s]", option(f), strings.Join(options, ", "))
	case len(f.Values) == 0:
		return wire.Errorf("InvalidFilterValue", "The following filter values are missing: null for filter key %s", aws.ToString(f.Key))
	}
	return nil
}

func (p *parameter) passes(f types.ParameterStringFilter) bool {
	have := p.Name
	if aws.ToString(f.Key) == "Type" {
		have = p.newest().Type
	}
	return slices.ContainsFunc(f.Values, func(want string) bool {
		switch option(f) {
		case "Equals":
			return have == want
		case "BeginsWith":
			return strings.HasPrefix(have, want)
		case "Contains":
			return strings.Contains(have, want)
		}
		rest, below := strings.CutPrefix(have, strings.TrimSuffix(want, "/")+"/")
		return below && (option(f) == "Recursive" || !strings.Contains(rest, "/"))
	})
}
