// Package registry puts models into SageMaker's model registry, reads decisions
// from it, and makes models of its versions.
package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/awserr"
)

// Metadata keys of a model package.
const (
	metaRun    = "millrace-run"
	metaRecipe = "millrace-recipe"
	metaReport = "millrace-report"
	metaTrain  = "millrace-train-digest"
)

// api is what the registry needs of SageMaker.
type api interface {
	CreateModelPackage(context.Context, *sagemaker.CreateModelPackageInput, ...func(*sagemaker.Options)) (*sagemaker.CreateModelPackageOutput, error)
	DescribeModelPackage(context.Context, *sagemaker.DescribeModelPackageInput, ...func(*sagemaker.Options)) (*sagemaker.DescribeModelPackageOutput, error)
	UpdateModelPackage(context.Context, *sagemaker.UpdateModelPackageInput, ...func(*sagemaker.Options)) (*sagemaker.UpdateModelPackageOutput, error)
	ListModelPackages(context.Context, *sagemaker.ListModelPackagesInput, ...func(*sagemaker.Options)) (*sagemaker.ListModelPackagesOutput, error)
	CreateModel(context.Context, *sagemaker.CreateModelInput, ...func(*sagemaker.Options)) (*sagemaker.CreateModelOutput, error)
}

// Registry is SageMaker's model registry: a group for each pipeline.
type Registry struct{ client api }

// New makes a Registry.
func New(client api) *Registry { return &Registry{client} }

// Version is a version of a pipeline's model.
type Version struct {
	Pipeline    string
	Version     int
	ARN         string
	Approval    string // as in package events
	Comment     string
	Changed     time.Time // last change of anything
	ModelData   string    // S3 URI of model.tar.gz
	Image       string
	Run         int
	Recipe      string // digest
	TrainDigest string
	Report      string // S3 URI
	Baseline    string // S3 URI of the prefix with the training rows' statistics; "" when there is none
}

// statisticsFile is the file's name below a baseline.
const statisticsFile = "statistics.json"

// Candidate is a model to register.
type Candidate struct {
	Pipeline    string
	Run         int
	Image       string
	ModelData   string // S3 URI of model.tar.gz
	Recipe      string // digest
	TrainDigest string
	Evaluation  string // S3 URI of evaluation.json
	Report      string // S3 URI of the report
	Baseline    string // S3 URI of the prefix with statistics.json and constraints.json
	Instance    string
	Approved    bool // by policy; else it waits for a person
	Description string
}

// Register makes a version of a candidate. Registering the same run again finds
// the version that the first try made.
func (r *Registry) Register(ctx context.Context, c Candidate) (arn string, version int, err error) {
	if v, found, err := r.ofRun(ctx, c); err != nil || found {
		return v.ARN, v.Version, err
	}
	approval := types.ModelApprovalStatusPendingManualApproval
	if c.Approved {
		approval = types.ModelApprovalStatusApproved
	}
	file := func(uri string) *types.MetricsSource {
		return &types.MetricsSource{ContentType: aws.String("application/json"), S3Uri: aws.String(uri)}
	}
	out, err := r.client.CreateModelPackage(ctx, &sagemaker.CreateModelPackageInput{
		ModelPackageGroupName:   &c.Pipeline,
		ModelPackageDescription: aws.String(Text(c.Description)),
		ModelApprovalStatus:     approval,
		ClientToken:             aws.String(clientToken(c)),
		InferenceSpecification: &types.InferenceSpecification{
			Containers:                 []types.ModelPackageContainerDefinition{{Image: &c.Image, ModelDataUrl: &c.ModelData}},
			SupportedContentTypes:      []string{"text/csv", "application/json"},
			SupportedResponseMIMETypes: []string{"text/csv", "application/json"},
			SupportedTransformInstanceTypes: []types.TransformInstanceType{
				types.TransformInstanceType(c.Instance)},
		},
		ModelMetrics: &types.ModelMetrics{
			ModelQuality:     &types.ModelQuality{Statistics: file(c.Evaluation)},
			ModelDataQuality: &types.ModelDataQuality{Statistics: file(c.Baseline + statisticsFile), Constraints: file(c.Baseline + "constraints.json")},
		},
		CustomerMetadataProperties: map[string]string{metaRun: strconv.Itoa(c.Run), metaRecipe: c.Recipe, metaTrain: c.TrainDigest, metaReport: c.Report},
	})
	if err != nil {
		return "", 0, fmt.Errorf("register model of %s/%d: %w", c.Pipeline, c.Run, err)
	}
	arn = aws.ToString(out.ModelPackageArn)
	version, err = VersionOf(arn)
	return arn, version, err
}

// clientToken is the same for every try to register a candidate, and for no
// other candidate: SageMaker takes at most 36 characters.
func clientToken(c Candidate) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{c.Pipeline, strconv.Itoa(c.Run), c.Recipe, c.ModelData}, "\n")))
	return hex.EncodeToString(sum[:16])
}

// ofRun looks among the newest versions for the one that a run made of a recipe:
// run numbers begin anew when a ledger does, and the registry remembers.
func (r *Registry) ofRun(ctx context.Context, c Candidate) (Version, bool, error) {
	out, err := r.client.ListModelPackages(ctx, &sagemaker.ListModelPackagesInput{ModelPackageGroupName: &c.Pipeline,
		SortBy: types.ModelPackageSortByCreationTime, SortOrder: types.SortOrderDescending, MaxResults: aws.Int32(5)})
	if err != nil {
		return Version{}, false, fmt.Errorf("list versions of %s: %w", c.Pipeline, err)
	}
	for _, s := range out.ModelPackageSummaryList {
		v, err := r.Version(ctx, aws.ToString(s.ModelPackageArn))
		if err != nil {
			return v, false, err
		}
		if v.Run == c.Run && v.Recipe == c.Recipe {
			return v, true, nil
		}
	}
	return Version{}, false, nil
}

// Version reads a version.
func (r *Registry) Version(ctx context.Context, arn string) (Version, error) {
	out, err := r.client.DescribeModelPackage(ctx, &sagemaker.DescribeModelPackageInput{ModelPackageName: &arn})
	if err != nil {
		return Version{}, fmt.Errorf("describe version %s: %w", arn, err)
	}
	v := Version{
		Pipeline: aws.ToString(out.ModelPackageGroupName), Version: int(aws.ToInt32(out.ModelPackageVersion)), ARN: aws.ToString(out.ModelPackageArn),
		Approval: string(out.ModelApprovalStatus), Comment: aws.ToString(out.ApprovalDescription),
		Recipe: out.CustomerMetadataProperties[metaRecipe], TrainDigest: out.CustomerMetadataProperties[metaTrain], Report: out.CustomerMetadataProperties[metaReport],
		Changed: aws.ToTime(out.CreationTime),
	}
	if out.LastModifiedTime != nil {
		v.Changed = *out.LastModifiedTime
	}
	v.Run, _ = strconv.Atoi(out.CustomerMetadataProperties[metaRun])
	if spec := out.InferenceSpecification; spec != nil && len(spec.Containers) > 0 {
		v.ModelData = aws.ToString(spec.Containers[0].ModelDataUrl)
		v.Image = aws.ToString(spec.Containers[0].Image)
	}
	if m := out.ModelMetrics; m != nil && m.ModelDataQuality != nil && m.ModelDataQuality.Statistics != nil {
		if prefix, ok := strings.CutSuffix(aws.ToString(m.ModelDataQuality.Statistics.S3Uri), statisticsFile); ok {
			v.Baseline = prefix
		}
	}
	return v, nil
}

// ARN finds the ARN of a pipeline's version; found is false when there is none.
func (r *Registry) ARN(ctx context.Context, pipeline string, version int) (arn string, found bool, err error) {
	in := &sagemaker.ListModelPackagesInput{ModelPackageGroupName: &pipeline, MaxResults: aws.Int32(100)}
	for {
		out, err := r.client.ListModelPackages(ctx, in)
		if err != nil {
			return "", false, fmt.Errorf("list versions of %s: %w", pipeline, err)
		}
		for _, s := range out.ModelPackageSummaryList {
			if int(aws.ToInt32(s.ModelPackageVersion)) == version {
				return aws.ToString(s.ModelPackageArn), true, nil
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return "", false, nil
		}
	}
}

// Decide sets a version's approval (events.Approved or events.Rejected).
func (r *Registry) Decide(ctx context.Context, arn, approval, comment string) error {
	in := &sagemaker.UpdateModelPackageInput{ModelPackageArn: &arn, ModelApprovalStatus: types.ModelApprovalStatus(approval)}
	if comment != "" {
		in.ApprovalDescription = aws.String(Text(comment))
	}
	if _, err := r.client.UpdateModelPackage(ctx, in); err != nil {
		return fmt.Errorf("set approval of %s to %s: %w", arn, approval, err)
	}
	return nil
}

// Model makes the SageMaker model of a version, which jobs and endpoints use;
// one that is there already is what an earlier try made.
func (r *Registry) Model(ctx context.Context, v Version, role string) (name string, err error) {
	name = ModelName(v.Pipeline, v.Version)
	_, err = r.client.CreateModel(ctx, &sagemaker.CreateModelInput{
		ModelName: &name, ExecutionRoleArn: &role,
		PrimaryContainer: &types.ContainerDefinition{ModelPackageName: &v.ARN},
		Tags:             []types.Tag{{Key: aws.String("millrace:pipeline"), Value: &v.Pipeline}},
	})
	if err != nil && !awserr.IsExists(err) {
		return "", fmt.Errorf("make model %s: %w", name, err)
	}
	return name, nil
}

// ModelName is the name of the SageMaker model of a version.
func ModelName(pipeline string, version int) string { return fmt.Sprintf("%s-v%d", pipeline, version) }

// VersionOf is the version in a model package's ARN.
func VersionOf(arn string) (int, error) {
	v, err := strconv.Atoi(arn[strings.LastIndexByte(arn, '/')+1:])
	if err != nil {
		return 0, fmt.Errorf("read version of %q: not the ARN of a version in a group", arn)
	}
	return v, nil
}

// Decided reports whether an approval status is a decision.
func Decided(approval string) bool { return approval == events.Approved || approval == events.Rejected }

// maxText bounds SageMaker's descriptions, in bytes.
const maxText = 1024

// Text is s as the registry keeps it: without control characters, which
// SageMaker's descriptions refuse, and not too long.
func Text(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "")
}
