package sagemaker

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// modelPackageGroup is the state of a group; Last is the newest version's
// number, which is never given again.
type modelPackageGroup struct {
	Group sm.DescribeModelPackageGroupOutput
	Last  int32
}

func (s *SageMaker) addGroups() {
	on := func(name *string) []string {
		return []string{s.arn("model-package-group", groupOf(aws.ToString(name)))}
	}
	s.service.Add(
		wire.On(op(s, "CreateModelPackageGroup", s.createGroup), func(in *sm.CreateModelPackageGroupInput) []string { return on(in.ModelPackageGroupName) }),
		wire.On(op(s, "DescribeModelPackageGroup", s.describeGroup), func(in *sm.DescribeModelPackageGroupInput) []string { return on(in.ModelPackageGroupName) }),
		wire.On(op(s, "DeleteModelPackageGroup", s.deleteGroup), func(in *sm.DeleteModelPackageGroupInput) []string { return on(in.ModelPackageGroupName) }),
		op(s, "ListModelPackageGroups", s.listGroups),
	)
}

func (s *SageMaker) createGroup(ctx context.Context, in *sm.CreateModelPackageGroupInput) (*sm.CreateModelPackageGroupOutput, error) {
	arn := s.arn("model-package-group", *in.ModelPackageGroupName)
	if err := s.checkTags(ctx, arn, in.Tags); err != nil {
		return nil, err
	}
	now := s.now()
	g := modelPackageGroup{Group: sm.DescribeModelPackageGroupOutput{
		ModelPackageGroupName: in.ModelPackageGroupName, ModelPackageGroupArn: &arn, ModelPackageGroupDescription: in.ModelPackageGroupDescription,
		CreationTime: &now, CreatedBy: user(ctx), ModelPackageGroupStatus: types.ModelPackageGroupStatusCompleted,
	}}
	_, err := s.groups.Update(key(in.ModelPackageGroupName), func(old modelPackageGroup, exists bool) (modelPackageGroup, error) {
		if exists {
			return old, invalid("Model Package Group already exists: %s", arn)
		}
		return g, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.putTags(arn, in.Tags); err != nil {
		return nil, err
	}
	return &sm.CreateModelPackageGroupOutput{ModelPackageGroupArn: &arn}, nil
}

// user is who made or changed something.
func user(ctx context.Context) *types.UserContext {
	c := wire.CallerFrom(ctx)
	if c.ARN == "" {
		return &types.UserContext{}
	}
	return &types.UserContext{IamIdentity: &types.IamIdentity{Arn: aws.String(c.ARN), PrincipalId: aws.String(c.UserID)}}
}

// findGroup finds a group by name or ARN.
func (s *SageMaker) findGroup(nameOrARN *string) (modelPackageGroup, error) {
	name := groupOf(aws.ToString(nameOrARN))
	g, ok, err := s.groups.Get(key(&name))
	if err == nil && !ok {
		err = noGroup(s.arn("model-package-group", name))
	}
	return g, err
}

func noGroup(arn string) error { return invalid("ModelPackageGroup %s does not exist.", arn) }

func (s *SageMaker) describeGroup(_ context.Context, in *sm.DescribeModelPackageGroupInput) (*sm.DescribeModelPackageGroupOutput, error) {
	g, err := s.findGroup(in.ModelPackageGroupName)
	if err != nil {
		return nil, err
	}
	return &g.Group, nil
}

func (s *SageMaker) deleteGroup(_ context.Context, in *sm.DeleteModelPackageGroupInput) (*sm.DeleteModelPackageGroupOutput, error) {
	g, err := s.findGroup(in.ModelPackageGroupName)
	if err != nil {
		return nil, err
	}
	left, err := all(s.packages, packagePrefix(*g.Group.ModelPackageGroupName), nil)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		return nil, wire.Errorf("ConflictException", "Cannot delete Model Package Group %s because it contains %d model packages.", *g.Group.ModelPackageGroupArn, len(left))
	}
	if err := s.groups.Delete(key(g.Group.ModelPackageGroupName)); err != nil {
		return nil, err
	}
	return &sm.DeleteModelPackageGroupOutput{}, s.tags.Delete(*g.Group.ModelPackageGroupArn)
}

func (s *SageMaker) listGroups(_ context.Context, in *sm.ListModelPackageGroupsInput) (*sm.ListModelPackageGroupsOutput, error) {
	if in.CrossAccountFilterOption == types.CrossAccountFilterOptionCrossAccount {
		return nil, s.notSupported("ListModelPackageGroups", "CrossAccountFilterOption CrossAccount")
	}
	found, err := all(s.groups, "", nil)
	if err != nil {
		return nil, err
	}
	found, next, err := page(found, func(g modelPackageGroup) listed {
		return listed{id: *g.Group.ModelPackageGroupName, name: *g.Group.ModelPackageGroupName, created: *g.Group.CreationTime}
	}, query{nameContains: in.NameContains, createdAfter: in.CreationTimeAfter, createdBefore: in.CreationTimeBefore,
		sortBy: string(in.SortBy), descending: in.SortOrder == types.SortOrderDescending, max: in.MaxResults, token: in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &sm.ListModelPackageGroupsOutput{ModelPackageGroupSummaryList: []types.ModelPackageGroupSummary{}, NextToken: next}
	for _, g := range found {
		out.ModelPackageGroupSummaryList = append(out.ModelPackageGroupSummaryList, types.ModelPackageGroupSummary{
			ModelPackageGroupName: g.Group.ModelPackageGroupName, ModelPackageGroupArn: g.Group.ModelPackageGroupArn,
			ModelPackageGroupDescription: g.Group.ModelPackageGroupDescription, CreationTime: g.Group.CreationTime,
			ModelPackageGroupStatus: g.Group.ModelPackageGroupStatus,
		})
	}
	return out, nil
}
