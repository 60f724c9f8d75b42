package sagemaker

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// model is the state of a model.
type model struct {
	Model sm.DescribeModelOutput
}

func (s *SageMaker) addModels() {
	on := func(name *string) []string { return []string{s.arn("model", aws.ToString(name))} }
	s.service.Add(
		wire.On(op(s, "CreateModel", s.createModel), func(in *sm.CreateModelInput) []string { return on(in.ModelName) }),
		wire.On(op(s, "DescribeModel", s.describeModel), func(in *sm.DescribeModelInput) []string { return on(in.ModelName) }),
		wire.On(op(s, "DeleteModel", s.deleteModel), func(in *sm.DeleteModelInput) []string { return on(in.ModelName) }),
		op(s, "ListModels", s.listModels),
	)
}

func (s *SageMaker) createModel(ctx context.Context, in *sm.CreateModelInput) (*sm.CreateModelOutput, error) {
	arn := s.arn("model", *in.ModelName)
	if in.ExecutionRoleArn == nil {
		return nil, missing("executionRoleArn")
	}
	if err := s.checkTags(ctx, arn, in.Tags); err != nil {
		return nil, err
	}
	if err := s.passRole(ctx, *in.ExecutionRoleArn, "arn:aws:sagemaker:"+s.opt.Region+":"+s.opt.Account+":*"); err != nil {
		return nil, err
	}
	container := in.PrimaryContainer
	switch {
	case container != nil && len(in.Containers) > 0:
		return nil, invalid("Only one of PrimaryContainer and Containers can be specified")
	case len(in.Containers) > 1:
		return nil, s.notSupported("CreateModel", "more than one container")
	case len(in.Containers) == 1:
		container = &in.Containers[0]
	case container == nil:
		return nil, missing("primaryContainer")
	}
	if err := s.checkContainer(ctx, *container, *in.ExecutionRoleArn); err != nil {
		return nil, err
	}
	if container.Mode == "" {
		container.Mode = types.ContainerModeSingleModel
	}
	now := s.now()
	m := model{sm.DescribeModelOutput{ModelName: in.ModelName, ModelArn: &arn, ExecutionRoleArn: in.ExecutionRoleArn, CreationTime: &now,
		PrimaryContainer: in.PrimaryContainer, Containers: in.Containers, EnableNetworkIsolation: aws.Bool(false)}}
	_, err := s.models.Update(key(in.ModelName), func(_ model, exists bool) (model, error) {
		if exists {
			return model{}, invalid("Cannot create already existing model %q.", arn)
		}
		return m, nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.putTags(arn, in.Tags); err != nil {
		return nil, err
	}
	s.emitModel(m)
	return &sm.CreateModelOutput{ModelArn: &arn}, nil
}

// checkContainer holds a container to what can be served: an image or a model
// package, and model data that the role can read.
func (s *SageMaker) checkContainer(ctx context.Context, c types.ContainerDefinition, role string) error {
	if c.Mode == types.ContainerModeMultiModel {
		return s.notSupported("CreateModel", "Mode MultiModel")
	}
	if c.ModelPackageName != nil {
		if c.Image != nil || c.ModelDataUrl != nil || c.ModelDataSource != nil {
			return invalid("Image and ModelDataUrl must not be set together with ModelPackageName %s", *c.ModelPackageName)
		}
		_, p, err := s.findPackage(*c.ModelPackageName)
		if err != nil {
			return err
		}
		_, err = packageContainer(p)
		return err
	}
	if c.Image == nil {
		return missing("primaryContainer.image")
	}
	if c.ModelDataUrl != nil && c.ModelDataSource != nil {
		return invalid("Only one of ModelDataUrl and ModelDataSource can be specified")
	}
	data := modelData(c)
	if data == nil {
		return nil
	}
	bucket, key, err := parseS3(*data.S3Uri)
	if err == nil {
		as := wire.Caller{Account: s.opt.Account, RoleARN: role, ARN: role}
		var keys []string
		keys, err = s.opt.Objects.List(wire.WithCaller(ctx, as), bucket, key)
		if err == nil && len(keys) > 0 {
			return nil
		}
	}
	return invalid(`Could not access model data at %s. Please ensure that the role "%s" exists and that its trust relationship policy allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the object is located in %s.`,
		*data.S3Uri, role, s.opt.Region)
}

// modelData is where a container's model is, in the general form; nil without one.
func modelData(c types.ContainerDefinition) *types.S3ModelDataSource {
	switch {
	case c.ModelDataSource != nil && c.ModelDataSource.S3DataSource != nil:
		return c.ModelDataSource.S3DataSource
	case aws.ToString(c.ModelDataUrl) != "":
		return &types.S3ModelDataSource{S3Uri: c.ModelDataUrl, S3DataType: types.S3ModelDataTypeS3Object, CompressionType: types.ModelCompressionTypeGzip}
	}
	return nil
}

// container is what a model runs: its own container, or its model package's
// with the model's environment on top.
func (s *SageMaker) container(m model) (types.ContainerDefinition, error) {
	c := types.ContainerDefinition{}
	if m.Model.PrimaryContainer != nil {
		c = *m.Model.PrimaryContainer
	} else {
		c = m.Model.Containers[0]
	}
	if c.ModelPackageName == nil {
		return c, nil
	}
	_, p, err := s.findPackage(*c.ModelPackageName)
	if err != nil {
		return c, err
	}
	packaged, err := packageContainer(p)
	if err != nil {
		return c, err
	}
	env := map[string]string{}
	for k, v := range packaged.Environment {
		env[k] = v
	}
	for k, v := range c.Environment {
		env[k] = v
	}
	packaged.Environment = env
	return packaged, nil
}

// packageContainer is the container that a model package describes.
func packageContainer(p modelPackage) (types.ContainerDefinition, error) {
	spec := p.Package.InferenceSpecification
	if spec == nil {
		return types.ContainerDefinition{}, invalid("ModelPackage %s has no InferenceSpecification and cannot be deployed.", *p.Package.ModelPackageArn)
	}
	if len(spec.Containers) != 1 {
		return types.ContainerDefinition{}, invalid("the local cloud does not support model packages with %d containers: %s", len(spec.Containers), *p.Package.ModelPackageArn)
	}
	c := spec.Containers[0]
	if c.Image == nil {
		return types.ContainerDefinition{}, invalid("ModelPackage %s names no image", *p.Package.ModelPackageArn)
	}
	return types.ContainerDefinition{Image: c.Image, ModelDataUrl: c.ModelDataUrl, ModelDataSource: c.ModelDataSource, Environment: c.Environment}, nil
}

func (s *SageMaker) findModel(name *string) (model, error) {
	m, ok, err := s.models.Get(key(name))
	if err == nil && !ok {
		err = invalid("Could not find model %q.", s.arn("model", aws.ToString(name)))
	}
	return m, err
}

func (s *SageMaker) describeModel(_ context.Context, in *sm.DescribeModelInput) (*sm.DescribeModelOutput, error) {
	m, err := s.findModel(in.ModelName)
	if err != nil {
		return nil, err
	}
	return &m.Model, nil
}

func (s *SageMaker) deleteModel(_ context.Context, in *sm.DeleteModelInput) (*sm.DeleteModelOutput, error) {
	m, err := s.findModel(in.ModelName)
	if err != nil {
		return nil, err
	}
	if err := s.models.Delete(key(in.ModelName)); err != nil {
		return nil, err
	}
	if err := s.tags.Delete(*m.Model.ModelArn); err != nil {
		return nil, err
	}
	s.emitModel(m)
	return &sm.DeleteModelOutput{}, nil
}

func (s *SageMaker) listModels(_ context.Context, in *sm.ListModelsInput) (*sm.ListModelsOutput, error) {
	found, err := all(s.models, "", nil)
	if err != nil {
		return nil, err
	}
	found, next, err := page(found, func(m model) listed {
		return listed{id: *m.Model.ModelName, name: *m.Model.ModelName, created: *m.Model.CreationTime}
	}, query{nameContains: in.NameContains, createdAfter: in.CreationTimeAfter, createdBefore: in.CreationTimeBefore,
		sortBy: string(in.SortBy), descending: in.SortOrder != types.OrderKeyAscending, max: in.MaxResults, token: in.NextToken})
	if err != nil {
		return nil, err
	}
	out := &sm.ListModelsOutput{Models: []types.ModelSummary{}, NextToken: next}
	for _, m := range found {
		out.Models = append(out.Models, types.ModelSummary{ModelName: m.Model.ModelName, ModelArn: m.Model.ModelArn, CreationTime: m.Model.CreationTime})
	}
	return out, nil
}

// emitModel announces that a model was made or deleted; AWS's event does not say which.
func (s *SageMaker) emitModel(m model) {
	d := detail{
		"ModelName": m.Model.ModelName, "ModelArn": m.Model.ModelArn, "ExecutionRoleArn": m.Model.ExecutionRoleArn,
		"PrimaryContainer": nil, "Containers": nil, "VpcConfig": nil, "CreationTime": millis(m.Model.CreationTime),
		"Tags": s.tagMap(*m.Model.ModelArn),
	}
	if m.Model.PrimaryContainer != nil {
		d["PrimaryContainer"] = shape(m.Model.PrimaryContainer)
	}
	if m.Model.Containers != nil {
		d["Containers"] = shape(m.Model.Containers)
	}
	s.emit("Model", *m.Model.ModelArn, d)
}

// groupOf is the group's name in a model package group's name or ARN.
func groupOf(nameOrARN string) string {
	if _, name, ok := strings.Cut(nameOrARN, ":model-package-group/"); ok {
		return name
	}
	return nameOrARN
}
