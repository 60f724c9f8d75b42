package stack

import (
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"

	"github.com/millrace-ml/millrace/statemachine"
)

func statement(actions []string, resources ...*string) awsiam.PolicyStatement {
	return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{Actions: jsii.Strings(actions...), Resources: &resources})
}

func allow(role awsiam.Role, statements []awsiam.PolicyStatement) {
	for _, st := range statements {
		role.AddToPolicy(st)
	}
}

// below is everything below a prefix of an ARN, or what of it matches a path.
func below(arn *string, path ...string) *string {
	return awscdk.Fn_Join(jsii.String(""), &[]*string{arn, jsii.String("/" + strings.Join(append(path, "*"), "/"))})
}

func (s *millrace) useLedger() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{
		statement([]string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}, below(s.ledger.BucketArn())),
		statement([]string{"s3:ListBucket"}, s.ledger.BucketArn()),
	}
}

func (s *millrace) listUploads() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{statement([]string{"s3:ListBucket", "s3:ListBucketVersions"}, s.data.BucketArn())}
}

func (s *millrace) readUploads() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{
		statement([]string{"s3:GetObject", "s3:GetObjectVersion", "s3:GetObjectTagging", "s3:GetObjectVersionTagging"}, below(s.data.BucketArn())),
		statement([]string{"s3:PutObjectTagging"}, below(s.ledger.BucketArn())),
	}
}

// startRuns: whoever finds a lane taken looks whether its run is on its way.
func (s *millrace) startRuns() []awsiam.PolicyStatement {
	var runs []*string
	for _, p := range s.props.Pipelines {
		runs = append(runs, s.arn("states", "execution:"+MachineName+":"+p.Name+"-*"))
	}
	return []awsiam.PolicyStatement{
		statement([]string{"states:StartExecution"}, s.machineARN),
		statement([]string{"states:DescribeExecution"}, runs...),
	}
}

func (s *millrace) answerTasks() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{statement([]string{"states:SendTaskSuccess", "states:SendTaskFailure"}, s.machineARN)}
}

func (s *millrace) publish() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{statement([]string{"events:PutEvents"}, s.arn("events", "event-bus/default"))}
}

// jobARNs are the jobs of the pipelines, whose names begin with the pipeline's.
func (s *millrace) jobARNs(kinds ...string) []*string {
	var arns []*string
	for _, kind := range kinds {
		for _, p := range s.props.Pipelines {
			arns = append(arns, s.arn("sagemaker", kind+"/"+p.Name+"-*"))
		}
	}
	return arns
}

func (s *millrace) describeJobs() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{
		statement([]string{"sagemaker:DescribeProcessingJob"}, s.jobARNs("processing-job")...),
		statement([]string{"sagemaker:DescribeTrainingJob"}, s.jobARNs("training-job")...),
		statement([]string{"sagemaker:DescribeTransformJob"}, s.jobARNs("transform-job")...),
	}
}

func (s *millrace) startJobs() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{
		statement([]string{"sagemaker:CreateProcessingJob", "sagemaker:AddTags"}, s.jobARNs("processing-job")...),
		statement([]string{"sagemaker:CreateTrainingJob", "sagemaker:AddTags"}, s.jobARNs("training-job")...),
		statement([]string{"sagemaker:CreateTransformJob", "sagemaker:AddTags"}, s.jobARNs("transform-job", "model")...),
	}
}

func (s *millrace) versionARNs() []*string {
	var arns []*string
	for _, p := range s.props.Pipelines {
		arns = append(arns, s.arn("sagemaker", "model-package-group/"+p.Name), s.arn("sagemaker", "model-package/"+p.Name+"/*"))
	}
	return arns
}

func (s *millrace) readVersions() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{statement([]string{"sagemaker:DescribeModelPackage"}, s.versionARNs()...)}
}

// listVersions: SageMaker's list actions know no resource but all.
func (s *millrace) listVersions() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{statement([]string{"sagemaker:ListModelPackages"}, jsii.String("*"))}
}

func (s *millrace) decide() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{statement([]string{"sagemaker:UpdateModelPackage"}, s.versionARNs()...)}
}

// neverApprove keeps what registers a version from approving one: it only
// rejects what nobody decided on in time.
func (s *millrace) neverApprove() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Effect: awsiam.Effect_DENY, Actions: jsii.Strings("sagemaker:UpdateModelPackage"), Resources: jsii.Strings("*"),
		Conditions: &map[string]any{"StringEquals": map[string]any{"sagemaker:ModelApprovalStatus": "Approved"}},
	})}
}

func (s *millrace) makeVersions() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{
		statement([]string{"sagemaker:CreateModelPackage"}, s.versionARNs()...),
		statement([]string{"sagemaker:CreateModel", "sagemaker:AddTags"}, s.jobARNs("model")...),
	}
}

func (s *millrace) passJobRole() []awsiam.PolicyStatement {
	return []awsiam.PolicyStatement{awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Actions: jsii.Strings("iam:PassRole"), Resources: &[]*string{s.jobRole.RoleArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"iam:PassedToService": "sagemaker.amazonaws.com"}},
	})}
}

// jobFolders are where jobs write, in any run: each step's own folder, and the
// scores. The names of all else in the ledger lie beside them.
func (s *millrace) jobFolders() []*string {
	var folders []*string
	for _, name := range []string{statemachine.StepPrepare, statemachine.StepTrain, statemachine.StepEvaluate, statemachine.StepPrepareScores, "scores"} {
		folders = append(folders, below(s.ledger.BucketArn(), "*", "runs", "*", name))
	}
	return folders
}

// makeJobRole makes the role that SageMaker's jobs run under: they read the pinned
// files and what jobs wrote, and nothing of the uploads. What steers runs (leases,
// tokens, results, what is in service) is not theirs to read or write.
func (s *millrace) makeJobRole() {
	s.jobRole = awsiam.NewRole(s.stack, jsii.String("job-role"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("sagemaker.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"ArnLike": map[string]any{"aws:SourceArn": s.arn("sagemaker", "*")}},
		}),
	})
	allow(s.jobRole, []awsiam.PolicyStatement{
		statement([]string{"s3:GetObject", "s3:PutObject"}, s.jobFolders()...),
		statement([]string{"s3:GetObject"}, below(s.ledger.BucketArn(), "*", "objects")),
		statement([]string{"s3:ListBucket", "s3:GetBucketLocation"}, s.ledger.BucketArn()),
		statement([]string{"logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"}, s.arn("logs", "log-group:/aws/sagemaker/*")),
		statement([]string{"ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"}, s.arn("ecr", "repository/millrace-worker")),
		statement([]string{"ecr:GetAuthorizationToken", "cloudwatch:PutMetricData"}, jsii.String("*")),
	})
}
