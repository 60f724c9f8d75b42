package runstest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
)

// Job is a job that was started, and what became of it.
type Job struct {
	Kind    string // processing | training | transform
	Image   string
	Inputs  map[string]string // S3 URIs by name
	Status  string
	Failure string
	Exit    string // message of a processing job
	Model   string // of a training job
}

// SageMaker is jobs, model packages and models by name.
type SageMaker struct {
	Faults *ledgertest.Faults

	mu       sync.Mutex
	jobs     map[string]*Job
	packages []*sagemaker.DescribeModelPackageOutput
	tokens   map[string]int // index of the package, by client token
	models   map[string]string
	now      time.Time
}

// NewSageMaker makes an empty SageMaker whose clock moves a second with each change.
func NewSageMaker() *SageMaker {
	return &SageMaker{jobs: map[string]*Job{}, tokens: map[string]int{}, models: map[string]string{}, now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)}
}

func (s *SageMaker) do(name string, call func() error) error {
	return s.Faults.Do(name, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return call()
	})
}

func (s *SageMaker) create(name string, j Job) error {
	return s.do("Create "+name, func() error {
		if s.jobs[name] != nil {
			return fail("ResourceInUse", name)
		}
		j.Status = "InProgress"
		s.jobs[name] = &j
		return nil
	})
}

// CreateProcessingJob starts a job that End ends.
func (s *SageMaker) CreateProcessingJob(_ context.Context, in *sagemaker.CreateProcessingJobInput, _ ...func(*sagemaker.Options)) (*sagemaker.CreateProcessingJobOutput, error) {
	j := Job{Kind: "processing", Image: *in.AppSpecification.ImageUri, Inputs: map[string]string{}}
	for _, i := range in.ProcessingInputs {
		j.Inputs[*i.InputName] = *i.S3Input.S3Uri
	}
	return &sagemaker.CreateProcessingJobOutput{}, s.create(*in.ProcessingJobName, j)
}

// CreateTrainingJob starts a job that End ends.
func (s *SageMaker) CreateTrainingJob(_ context.Context, in *sagemaker.CreateTrainingJobInput, _ ...func(*sagemaker.Options)) (*sagemaker.CreateTrainingJobOutput, error) {
	j := Job{Kind: "training", Image: *in.AlgorithmSpecification.TrainingImage, Inputs: map[string]string{}}
	for _, c := range in.InputDataConfig {
		j.Inputs[*c.ChannelName] = *c.DataSource.S3DataSource.S3Uri
	}
	return &sagemaker.CreateTrainingJobOutput{}, s.create(*in.TrainingJobName, j)
}

// CreateTransformJob starts a job that End ends.
func (s *SageMaker) CreateTransformJob(_ context.Context, in *sagemaker.CreateTransformJobInput, _ ...func(*sagemaker.Options)) (*sagemaker.CreateTransformJobOutput, error) {
	j := Job{Kind: "transform", Inputs: map[string]string{"model": *in.ModelName, "rows": *in.TransformInput.DataSource.S3DataSource.S3Uri}}
	return &sagemaker.CreateTransformJobOutput{}, s.create(*in.TransformJobName, j)
}

func (s *SageMaker) describe(name, kind string, fill func(Job)) error {
	return s.do("Describe "+name, func() error {
		j := s.jobs[name]
		if j == nil || j.Kind != kind {
			return fail("ValidationException", "Could not find requested job with name: "+name)
		}
		fill(*j)
		return nil
	})
}

// DescribeProcessingJob describes a job.
func (s *SageMaker) DescribeProcessingJob(_ context.Context, in *sagemaker.DescribeProcessingJobInput, _ ...func(*sagemaker.Options)) (out *sagemaker.DescribeProcessingJobOutput, err error) {
	err = s.describe(*in.ProcessingJobName, "processing", func(j Job) {
		out = &sagemaker.DescribeProcessingJobOutput{ProcessingJobStatus: types.ProcessingJobStatus(j.Status), ExitMessage: some(j.Exit), FailureReason: some(j.Failure)}
	})
	return out, err
}

// DescribeTrainingJob describes a job.
func (s *SageMaker) DescribeTrainingJob(_ context.Context, in *sagemaker.DescribeTrainingJobInput, _ ...func(*sagemaker.Options)) (out *sagemaker.DescribeTrainingJobOutput, err error) {
	err = s.describe(*in.TrainingJobName, "training", func(j Job) {
		out = &sagemaker.DescribeTrainingJobOutput{TrainingJobStatus: types.TrainingJobStatus(j.Status), FailureReason: some(j.Failure)}
		if j.Model != "" {
			out.ModelArtifacts = &types.ModelArtifacts{S3ModelArtifacts: &j.Model}
		}
	})
	return out, err
}

// DescribeTransformJob describes a job.
func (s *SageMaker) DescribeTransformJob(_ context.Context, in *sagemaker.DescribeTransformJobInput, _ ...func(*sagemaker.Options)) (out *sagemaker.DescribeTransformJobOutput, err error) {
	err = s.describe(*in.TransformJobName, "transform", func(j Job) {
		out = &sagemaker.DescribeTransformJobOutput{TransformJobStatus: types.TransformJobStatus(j.Status), FailureReason: some(j.Failure)}
	})
	return out, err
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// End ends a job that runs.
func (s *SageMaker) End(name string, change func(*Job)) {
	j, ok := s.Job(name)
	if !ok {
		panic("runstest: no job is named " + name)
	}
	if j.Status != "InProgress" {
		return
	}
	j.Status = "Completed"
	change(&j)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs[name] = &j
}

// Jobs are the names of the jobs that were started, sorted.
func (s *SageMaker) Jobs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.jobs))
}

// Job is a job that was started.
func (s *SageMaker) Job(name string) (j Job, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs[name] == nil {
		return j, false
	}
	return *s.jobs[name], true
}

func (s *SageMaker) tick() *time.Time {
	s.now = s.now.Add(time.Second)
	return aws.Time(s.now)
}

// CreateModelPackage makes a group's next version, once for a client token.
func (s *SageMaker) CreateModelPackage(_ context.Context, in *sagemaker.CreateModelPackageInput, _ ...func(*sagemaker.Options)) (out *sagemaker.CreateModelPackageOutput, err error) {
	err = s.do("CreateModelPackage", func() error {
		i, there := s.tokens[*in.ClientToken]
		if !there {
			version := int32(1)
			for _, p := range s.packages {
				if *p.ModelPackageGroupName == *in.ModelPackageGroupName {
					version++
				}
			}
			arn := fmt.Sprintf("arn:aws:sagemaker:us-east-1:000000000000:model-package/%s/%d", *in.ModelPackageGroupName, version)
			i = len(s.packages)
			s.tokens[*in.ClientToken] = i
			s.packages = append(s.packages, &sagemaker.DescribeModelPackageOutput{ModelPackageArn: &arn, ModelPackageGroupName: in.ModelPackageGroupName,
				ModelPackageVersion: &version, ModelApprovalStatus: in.ModelApprovalStatus, InferenceSpecification: in.InferenceSpecification,
				CustomerMetadataProperties: in.CustomerMetadataProperties, ModelMetrics: in.ModelMetrics, CreationTime: s.tick()})
		}
		out = &sagemaker.CreateModelPackageOutput{ModelPackageArn: s.packages[i].ModelPackageArn}
		return nil
	})
	return out, err
}

func (s *SageMaker) find(arn string) *sagemaker.DescribeModelPackageOutput {
	for _, p := range s.packages {
		if *p.ModelPackageArn == arn {
			return p
		}
	}
	return nil
}

// DescribeModelPackage describes a version.
func (s *SageMaker) DescribeModelPackage(_ context.Context, in *sagemaker.DescribeModelPackageInput, _ ...func(*sagemaker.Options)) (out *sagemaker.DescribeModelPackageOutput, err error) {
	err = s.do("DescribeModelPackage", func() error {
		p := s.find(*in.ModelPackageName)
		if p == nil {
			return fail("ValidationException", "ModelPackage "+*in.ModelPackageName+" does not exist.")
		}
		c := *p
		out = &c
		return nil
	})
	return out, err
}

// UpdateModelPackage changes a version's approval.
func (s *SageMaker) UpdateModelPackage(_ context.Context, in *sagemaker.UpdateModelPackageInput, _ ...func(*sagemaker.Options)) (*sagemaker.UpdateModelPackageOutput, error) {
	err := s.do("UpdateModelPackage", func() error {
		p := s.find(*in.ModelPackageArn)
		if p == nil {
			return fail("ValidationException", "ModelPackage "+*in.ModelPackageArn+" does not exist.")
		}
		p.ModelApprovalStatus, p.LastModifiedTime = in.ModelApprovalStatus, s.tick()
		if in.ApprovalDescription != nil {
			p.ApprovalDescription = in.ApprovalDescription
		}
		return nil
	})
	return &sagemaker.UpdateModelPackageOutput{ModelPackageArn: in.ModelPackageArn}, err
}

// ListModelPackages lists a group's versions, the newest first when asked.
func (s *SageMaker) ListModelPackages(_ context.Context, in *sagemaker.ListModelPackagesInput, _ ...func(*sagemaker.Options)) (*sagemaker.ListModelPackagesOutput, error) {
	out := &sagemaker.ListModelPackagesOutput{}
	err := s.do("ListModelPackages", func() error {
		for _, p := range s.packages {
			if *p.ModelPackageGroupName == *in.ModelPackageGroupName {
				out.ModelPackageSummaryList = append(out.ModelPackageSummaryList, types.ModelPackageSummary{ModelPackageArn: p.ModelPackageArn,
					ModelPackageGroupName: p.ModelPackageGroupName, ModelPackageVersion: p.ModelPackageVersion, CreationTime: p.CreationTime})
			}
		}
		if in.SortOrder == types.SortOrderDescending {
			sort.SliceStable(out.ModelPackageSummaryList, func(i, j int) bool {
				return out.ModelPackageSummaryList[i].CreationTime.After(*out.ModelPackageSummaryList[j].CreationTime)
			})
		}
		if n := int(aws.ToInt32(in.MaxResults)); n > 0 && n < len(out.ModelPackageSummaryList) {
			out.ModelPackageSummaryList = out.ModelPackageSummaryList[:n]
		}
		return nil
	})
	return out, err
}

// CreateModel makes a model of a version.
func (s *SageMaker) CreateModel(_ context.Context, in *sagemaker.CreateModelInput, _ ...func(*sagemaker.Options)) (*sagemaker.CreateModelOutput, error) {
	err := s.do("CreateModel "+*in.ModelName, func() error {
		if _, there := s.models[*in.ModelName]; there {
			return fail("ValidationException", "Cannot create already existing model")
		}
		s.models[*in.ModelName] = aws.ToString(in.PrimaryContainer.ModelPackageName)
		return nil
	})
	return &sagemaker.CreateModelOutput{}, err
}

// Packages are the approvals of all versions, by ARN.
func (s *SageMaker) Packages() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for _, p := range s.packages {
		out[*p.ModelPackageArn] = string(p.ModelApprovalStatus)
	}
	return out
}

// Decide approves or rejects a version as a person does in the console, past all
// faults, and gives the time of the change.
func (s *SageMaker) Decide(arn, approval, comment string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.find(arn)
	p.ModelApprovalStatus, p.ApprovalDescription, p.LastModifiedTime = types.ModelApprovalStatus(approval), &comment, s.tick()
	return *p.LastModifiedTime
}
