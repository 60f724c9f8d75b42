package sagemaker

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxProperties is how many CustomerMetadataProperties a package may have.
const maxProperties = 50

// modelPackage is the state of a version of a model.
type modelPackage struct {
	Package sm.DescribeModelPackageOutput
	// ClientToken and Request make a repeated CreateModelPackage answer with the same version.
	ClientToken string `json:",omitempty"`
	Request     string `json:",omitempty"`
}

// packagePrefix begins the keys of a group's packages; the version follows in nine digits.
func packagePrefix(group string) string { return strings.ToLower(group) + "/" }

func packageKey(group string, version int32) string {
	return fmt.Sprintf("%s%09d", packagePrefix(group), version)
}

func (s *SageMaker) addPackages() {
	on := func(arn *string) []string { return []string{aws.ToString(arn)} }
	s.service.Add(
		wire.On(op(s, "CreateModelPackage", s.createPackage), s.createPackageOn),
		wire.On(op(s, "DescribeModelPackage", s.describePackage), func(in *sm.DescribeModelPackageInput) []string { return on(in.ModelPackageName) }),
		wire.On(op(s, "UpdateModelPackage", s.updatePackage), func(in *sm.UpdateModelPackageInput) []string { return on(in.ModelPackageArn) }),
		wire.On(op(s, "DeleteModelPackage", s.deletePackage), func(in *sm.DeleteModelPackageInput) []string { return on(in.ModelPackageName) }),
		op(s, "ListModelPackages", s.listPackages),
	)
}

// createPackageOn names the group and the version that will be made.
func (s *SageMaker) createPackageOn(in *sm.CreateModelPackageInput) []string {
	group := groupOf(aws.ToString(in.ModelPackageGroupName))
	if group == "" {
		return nil
	}
	g, _, err := s.groups.Get(key(&group))
	if err != nil {
		return nil
	}
	return []string{s.arn("model-package-group", group), s.arn("model-package", group+"/"+strconv.Itoa(int(g.Last+1)))}
}

func (s *SageMaker) createPackage(ctx context.Context, in *sm.CreateModelPackageInput) (*sm.CreateModelPackageOutput, error) {
	switch {
	case in.ModelPackageGroupName == nil:
		return nil, s.notSupported("CreateModelPackage", "a model package without ModelPackageGroupName")
	case len(in.Tags) > 0:
		return nil, invalid("Tags can only be specified on a model package group, not on a versioned model package.")
	case aws.ToBool(in.CertifyForMarketplace):
		return nil, s.notSupported("CreateModelPackage", "CertifyForMarketplace")
	}
	g, err := s.findGroup(in.ModelPackageGroupName)
	if err != nil {
		return nil, err
	}
	if err := checkLifeCycle(in.ModelLifeCycle); err != nil {
		return nil, err
	}
	token := aws.ToString(in.ClientToken)
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode model package: %w", err)
	}
	if token != "" {
		if arn, err := s.repeated(g, token, string(raw)); arn != nil || err != nil {
			return &sm.CreateModelPackageOutput{ModelPackageArn: arn}, err
		}
	}
	g, err = s.groups.Update(key(g.Group.ModelPackageGroupName), func(g modelPackageGroup, ok bool) (modelPackageGroup, error) {
		if !ok {
			return g, noGroup(s.arn("model-package-group", groupOf(*in.ModelPackageGroupName)))
		}
		g.Last++
		return g, nil
	})
	if err != nil {
		return nil, err
	}
	p := modelPackage{Package: s.newPackage(ctx, in, g)}
	if token != "" {
		p.ClientToken, p.Request = token, string(raw)
	}
	if err := s.packages.Put(packageKey(*g.Group.ModelPackageGroupName, g.Last), p); err != nil {
		return nil, err
	}
	s.emitPackage(p, nil)
	return &sm.CreateModelPackageOutput{ModelPackageArn: p.Package.ModelPackageArn}, nil
}

// repeated finds the version that a request with the same client token made.
func (s *SageMaker) repeated(g modelPackageGroup, token, request string) (*string, error) {
	made, err := all(s.packages, packagePrefix(*g.Group.ModelPackageGroupName), func(p modelPackage) bool { return p.ClientToken == token })
	if err != nil || len(made) == 0 {
		return nil, err
	}
	if made[0].Request != request {
		return nil, wire.Errorf("ConflictException", "The client token %s was used for %s with other parameters.", token, *made[0].Package.ModelPackageArn)
	}
	return made[0].Package.ModelPackageArn, nil
}

func (s *SageMaker) newPackage(ctx context.Context, in *sm.CreateModelPackageInput, g modelPackageGroup) sm.DescribeModelPackageOutput {
	now := s.now()
	group := *g.Group.ModelPackageGroupName
	approval := in.ModelApprovalStatus
	if approval == "" {
		approval = types.ModelApprovalStatusPendingManualApproval
	}
	skip := in.SkipModelValidation
	if skip == "" {
		skip = types.SkipModelValidationNone
	}
	return sm.DescribeModelPackageOutput{
		ModelPackageName: aws.String(group), ModelPackageGroupName: aws.String(group), ModelPackageVersion: aws.Int32(g.Last),
		ModelPackageArn:         aws.String(s.arn("model-package", group+"/"+strconv.Itoa(int(g.Last)))),
		ModelPackageDescription: in.ModelPackageDescription, ModelPackageRegistrationType: in.ModelPackageRegistrationType,
		CreationTime: &now, CreatedBy: user(ctx), ModelPackageStatus: types.ModelPackageStatusCompleted,
		ModelPackageStatusDetails: &types.ModelPackageStatusDetails{ValidationStatuses: []types.ModelPackageStatusItem{}, ImageScanStatuses: []types.ModelPackageStatusItem{}},
		InferenceSpecification:    in.InferenceSpecification, AdditionalInferenceSpecifications: in.AdditionalInferenceSpecifications,
		CertifyForMarketplace: aws.Bool(false), ModelApprovalStatus: approval, MetadataProperties: in.MetadataProperties,
		ModelMetrics: in.ModelMetrics, Domain: in.Domain, Task: in.Task, SamplePayloadUrl: in.SamplePayloadUrl,
		CustomerMetadataProperties: in.CustomerMetadataProperties, DriftCheckBaselines: in.DriftCheckBaselines,
		SkipModelValidation: skip, SourceUri: in.SourceUri, ModelCard: in.ModelCard, ModelLifeCycle: in.ModelLifeCycle,
	}
}

func checkLifeCycle(l *types.ModelLifeCycle) error {
	switch {
	case l == nil:
		return nil
	case aws.ToString(l.Stage) == "":
		return missing("modelLifeCycle.stage")
	case aws.ToString(l.StageStatus) == "":
		return missing("modelLifeCycle.stageStatus")
	}
	return nil
}

// findPackage finds a version by its ARN.
func (s *SageMaker) findPackage(arn string) (tableKey string, p modelPackage, err error) {
	none := invalid("ModelPackage %s does not exist.", arn)
	group, version, ok := strings.Cut(strings.TrimPrefix(arn, s.arn("model-package", "")), "/")
	n, err := strconv.ParseInt(version, 10, 32)
	if !ok || err != nil || !strings.HasPrefix(arn, "arn:") {
		return "", p, none
	}
	tableKey = packageKey(group, int32(n))
	p, ok, err = s.packages.Get(tableKey)
	if err == nil && !ok {
		err = none
	}
	return tableKey, p, err
}

func (s *SageMaker) describePackage(_ context.Context, in *sm.DescribeModelPackageInput) (*sm.DescribeModelPackageOutput, error) {
	_, p, err := s.findPackage(*in.ModelPackageName)
	if err != nil {
		return nil, err
	}
	return &p.Package, nil
}

func (s *SageMaker) updatePackage(ctx context.Context, in *sm.UpdateModelPackageInput) (*sm.UpdateModelPackageOutput, error) {
	tableKey, _, err := s.findPackage(*in.ModelPackageArn)
	if err != nil {
		return nil, err
	}
	if err := checkLifeCycle(in.ModelLifeCycle); err != nil {
		return nil, err
	}
	if len(in.AdditionalInferenceSpecificationsToAdd) > 0 {
		return nil, s.notSupported("UpdateModelPackage", "AdditionalInferenceSpecificationsToAdd")
	}
	var fields []string
	p, err := s.packages.Update(tableKey, func(p modelPackage, ok bool) (modelPackage, error) {
		if !ok {
			return p, invalid("ModelPackage %s does not exist.", *in.ModelPackageArn)
		}
		if fields, err = change(&p.Package, in); err != nil {
			return p, err
		}
		p.Package.LastModifiedTime = aws.Time(s.now())
		p.Package.LastModifiedBy = user(ctx)
		return p, nil
	})
	if err != nil {
		return nil, err
	}
	s.emitPackage(p, fields)
	return &sm.UpdateModelPackageOutput{ModelPackageArn: p.Package.ModelPackageArn}, nil
}

// change applies an update and returns the names of the fields it gave, as
// UpdatedModelPackageFields has them.
func change(p *sm.DescribeModelPackageOutput, in *sm.UpdateModelPackageInput) ([]string, error) {
	var fields []string
	if in.ModelLifeCycle != nil {
		p.ModelLifeCycle, fields = in.ModelLifeCycle, append(fields, "ModelLifeCycle")
	}
	if in.ModelApprovalStatus != "" {
		p.ModelApprovalStatus, fields = in.ModelApprovalStatus, append(fields, "ModelApprovalStatus")
	}
	if in.ApprovalDescription != nil {
		p.ApprovalDescription, fields = in.ApprovalDescription, append(fields, "ApprovalDescription")
	}
	if in.SourceUri != nil {
		p.SourceUri, fields = in.SourceUri, append(fields, "sourceUri")
	}
	if in.ModelCard != nil {
		p.ModelCard = in.ModelCard
	}
	if in.ModelPackageRegistrationType != "" {
		p.ModelPackageRegistrationType = in.ModelPackageRegistrationType
	}
	if len(in.CustomerMetadataProperties)+len(in.CustomerMetadataPropertiesToRemove) > 0 {
		fields = append(fields, "CustomerMetadataProperties")
		next := maps.Clone(p.CustomerMetadataProperties)
		if next == nil {
			next = map[string]string{}
		}
		for _, k := range in.CustomerMetadataPropertiesToRemove {
			delete(next, k)
		}
		maps.Copy(next, in.CustomerMetadataProperties)
		if len(next) > maxProperties {
			return nil, invalid("CustomerMetadataProperties would have %d entries; at most %d are allowed", len(next), maxProperties)
		}
		if p.CustomerMetadataProperties = next; len(next) == 0 {
			p.CustomerMetadataProperties = nil
		}
	}
	if in.InferenceSpecification != nil {
		p.InferenceSpecification, fields = in.InferenceSpecification, append(fields, "InferenceSpecification")
	}
	return fields, nil
}

func (s *SageMaker) deletePackage(_ context.Context, in *sm.DeleteModelPackageInput) (*sm.DeleteModelPackageOutput, error) {
	tableKey, p, err := s.findPackage(*in.ModelPackageName)
	if err != nil {
		return nil, err
	}
	if err := s.packages.Delete(tableKey); err != nil {
		return nil, err
	}
	return &sm.DeleteModelPackageOutput{}, s.tags.Delete(*p.Package.ModelPackageArn)
}

func (s *SageMaker) listPackages(_ context.Context, in *sm.ListModelPackagesInput) (*sm.ListModelPackagesOutput, error) {
	out := &sm.ListModelPackagesOutput{ModelPackageSummaryList: []types.ModelPackageSummary{}}
	prefix := ""
	switch {
	case in.ModelPackageGroupName != nil:
		g, err := s.findGroup(in.ModelPackageGroupName)
		if err != nil {
			return nil, err
		}
		prefix = packagePrefix(*g.Group.ModelPackageGroupName)
	case !slices.Contains([]types.ModelPackageType{types.ModelPackageTypeVersioned, types.ModelPackageTypeBoth}, in.ModelPackageType):
		return out, nil // unversioned is AWS's default without a group, and there are none here
	}
	if in.ModelPackageType == types.ModelPackageTypeUnversioned {
		return out, nil
	}
	found, err := all(s.packages, prefix, func(p modelPackage) bool {
		return in.ModelApprovalStatus == "" || p.Package.ModelApprovalStatus == in.ModelApprovalStatus
	})
	if err != nil {
		return nil, err
	}
	found, out.NextToken, err = page(found, func(p modelPackage) listed {
		group := *p.Package.ModelPackageGroupName
		return listed{id: packageKey(group, *p.Package.ModelPackageVersion), name: group, created: *p.Package.CreationTime}
	}, query{nameContains: in.NameContains, createdAfter: in.CreationTimeAfter, createdBefore: in.CreationTimeBefore,
		sortBy: string(in.SortBy), descending: in.SortOrder == types.SortOrderDescending, max: in.MaxResults, token: in.NextToken})
	for _, p := range found {
		out.ModelPackageSummaryList = append(out.ModelPackageSummaryList, types.ModelPackageSummary{
			ModelPackageArn: p.Package.ModelPackageArn, ModelPackageGroupName: p.Package.ModelPackageGroupName,
			ModelPackageVersion: p.Package.ModelPackageVersion, ModelPackageDescription: p.Package.ModelPackageDescription,
			ModelPackageStatus: p.Package.ModelPackageStatus, ModelApprovalStatus: p.Package.ModelApprovalStatus,
			ModelLifeCycle: p.Package.ModelLifeCycle, ModelPackageRegistrationType: p.Package.ModelPackageRegistrationType,
			CreationTime: p.Package.CreationTime,
		})
	}
	return out, err
}

// emitPackage announces a version's making (no fields) or change. Its times are
// ISO strings, unlike those of jobs.
func (s *SageMaker) emitPackage(p modelPackage, fields []string) {
	m := p.Package
	if fields == nil {
		fields = []string{}
	}
	d := detail{
		"ModelPackageGroupName": m.ModelPackageGroupName, "ModelPackageVersion": m.ModelPackageVersion, "ModelPackageArn": m.ModelPackageArn,
		"CreationTime": iso(m.CreationTime), "ModelPackageStatus": m.ModelPackageStatus,
		"ModelPackageStatusDetails": shape(m.ModelPackageStatusDetails), "CertifyForMarketplace": false,
		"ModelApprovalStatus": m.ModelApprovalStatus, "UpdatedModelPackageFields": fields,
	}
	d.setIf("ModelPackageDescription", m.ModelPackageDescription)
	d.setIf("ApprovalDescription", m.ApprovalDescription)
	d.setIf("SourceUri", m.SourceUri)
	if m.LastModifiedTime != nil {
		d["LastModifiedTime"] = iso(m.LastModifiedTime)
	} else {
		d["LastModifiedTime"] = iso(m.CreationTime)
	}
	if m.CustomerMetadataProperties != nil {
		d["CustomerMetadataProperties"] = m.CustomerMetadataProperties
	}
	for name, v := range map[string]any{"InferenceSpecification": m.InferenceSpecification, "MetadataProperties": m.MetadataProperties,
		"ModelMetrics": m.ModelMetrics, "ModelLifeCycle": m.ModelLifeCycle, "CreatedBy": m.CreatedBy, "LastModifiedBy": m.LastModifiedBy} {
		if raw, ok := shape(v).(json.RawMessage); ok && string(raw) != "null" {
			d[name] = raw
		}
	}
	s.emit("Model Package", *m.ModelPackageArn, d)
}
