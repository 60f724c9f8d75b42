// Package stack is Millrace's one CloudFormation stack: buckets, functions, the
// state machine, rules, roles. Rules, targets and permissions are said here and
// nowhere else: the local cloud deploys the template that is synthesized here.
//
// Roles are written by hand, statement by statement: CDK's grant methods give
// wildcards.
package stack

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssagemaker"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/millrace-ml/millrace/shared/definition"
)

// Props are what the stack is made of.
type Props struct {
	Functions string                   // folder with a folder of built code for each function
	Pipelines []*definition.Definition // sorted by name
}

// Flags are CDK's feature flags. They are given to the app, not to cdk.json,
// which only the CDK CLI reads: the template must not depend on who synthesizes.
func Flags() *map[string]any {
	return &map[string]any{
		"@aws-cdk/core:checkSecretUsage":                                                  true,
		"@aws-cdk/aws-iam:minimizePolicies":                                               true,
		"@aws-cdk/aws-s3:createDefaultLoggingPolicy":                                      true,
		"@aws-cdk/core:target-partitions":                                                 []string{"aws", "aws-cn", "aws-us-gov"},
		"aws:cdk:disable-version-reporting":                                               true,
		"@aws-cdk/core:disableVersionReporting":                                           true,
		"aws:cdk:enable-path-metadata":                                                    false,
		"aws:cdk:enable-asset-metadata":                                                   false,
		"@aws-cdk/aws-lambda:recognizeLayerVersion":                                       true,
		"@aws-cdk/aws-events:eventsTargetQueueSameAccount":                                true,
		"@aws-cdk/aws-events:requireEventBusPolicySid":                                    true,
		"@aws-cdk/aws-stepfunctions-tasks:useNewS3UriParametersForBedrockInvokeModelTask": true,
	}
}

// LoadPipelines reads the definitions below a folder, sorted by name.
func LoadPipelines(dir string) ([]*definition.Definition, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*", "pipeline.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list definitions: %w", err)
	}
	sort.Strings(files)
	var pipelines []*definition.Definition
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read definition: %w", err)
		}
		d, err := definition.Parse(filepath.Base(filepath.Dir(file)), src)
		if err != nil {
			return nil, err
		}
		pipelines = append(pipelines, d)
	}
	if len(pipelines) == 0 {
		return nil, fmt.Errorf("no pipeline is defined below %s", dir)
	}
	return pipelines, nil
}

// millrace is the stack while it is being put together.
type millrace struct {
	stack        awscdk.Stack
	props        Props
	image, arch  awscdk.CfnParameter
	data, ledger awss3.Bucket
	deadLetters  awssqs.Queue
	notices      awssns.Topic
	approvals    awsevents.EventBus
	jobRole      awsiam.Role
	machineARN   *string // by name: the functions that start it are made before it
	functions    map[string]function
}

// MachineName is the state machine's name.
const MachineName = "millrace-pipeline"

// NewMillrace makes the stack.
func NewMillrace(scope constructs.Construct, id string, props Props) awscdk.Stack {
	s := &millrace{stack: awscdk.NewStack(scope, &id, &awscdk.StackProps{
		Description: jsii.String("Millrace: event-driven ML pipelines"),
		StackName:   jsii.String("Millrace"),
	}), props: props, functions: map[string]function{}}
	s.machineARN = s.arn("states", "stateMachine:"+MachineName)
	s.parameters()
	s.buckets()
	s.messaging()
	s.registry()
	s.makeJobRole()
	s.makeFunctions()
	s.makeStateMachine()
	s.rules()
	s.outputs()
	return s.stack
}

func (s *millrace) parameters() {
	s.image = awscdk.NewCfnParameter(s.stack, jsii.String("WorkerImage"), &awscdk.CfnParameterProps{
		Type:           jsii.String("String"),
		Description:    jsii.String("URI of the worker's image, pinned by digest: it is part of every recipe"),
		AllowedPattern: jsii.String(`[^@]+@sha256:[0-9a-f]{64}`),
	})
	s.arch = awscdk.NewCfnParameter(s.stack, jsii.String("Architecture"), &awscdk.CfnParameterProps{
		Type:          jsii.String("String"),
		Description:   jsii.String("What the functions were built for"),
		Default:       jsii.String("arm64"),
		AllowedValues: jsii.Strings("arm64", "x86_64"),
	})
}

func (s *millrace) buckets() {
	bucket := func(id, name string) awss3.Bucket {
		return awss3.NewBucket(s.stack, jsii.String(id), &awss3.BucketProps{
			BucketName:        awscdk.Fn_Sub(jsii.String(name+"-${AWS::AccountId}-${AWS::Region}"), nil),
			Versioned:         jsii.Bool(true),
			EnforceSSL:        jsii.Bool(true),
			BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
			Encryption:        awss3.BucketEncryption_S3_MANAGED,
			RemovalPolicy:     awscdk.RemovalPolicy_RETAIN,
		})
	}
	s.data = bucket("Data", "millrace-data")
	// Not EventBridgeEnabled: that adds a custom resource with a Python function.
	s.data.Node().DefaultChild().(awss3.CfnBucket).AddPropertyOverride(
		jsii.String("NotificationConfiguration.EventBridgeConfiguration.EventBridgeEnabled"), true)
	s.ledger = bucket("Ledger", "millrace-ledger")
}

func (s *millrace) messaging() {
	s.deadLetters = awssqs.NewQueue(s.stack, jsii.String("DeadLetters"), &awssqs.QueueProps{
		QueueName:       jsii.String("millrace-dead-letters"),
		EnforceSSL:      jsii.Bool(true),
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		RetentionPeriod: awscdk.Duration_Days(jsii.Number(14)),
	})
	s.notices = awssns.NewTopic(s.stack, jsii.String("Notices"), &awssns.TopicProps{
		TopicName:  jsii.String("millrace-notices"),
		EnforceSSL: jsii.Bool(true),
	})
	// Nobody may put events here until someone is named in a policy of the bus.
	s.approvals = awsevents.NewEventBus(s.stack, jsii.String("Approvals"), &awsevents.EventBusProps{EventBusName: jsii.String("millrace-approvals")})
}

// registry makes a model package group for each pipeline.
func (s *millrace) registry() {
	for _, p := range s.props.Pipelines {
		g := awssagemaker.NewCfnModelPackageGroup(s.stack, jsii.String("Models-"+p.Name), &awssagemaker.CfnModelPackageGroupProps{
			ModelPackageGroupName:        jsii.String(p.Name),
			ModelPackageGroupDescription: jsii.String("Versions of the model of pipeline " + p.Name),
		})
		g.ApplyRemovalPolicy(awscdk.RemovalPolicy_RETAIN, nil)
	}
}

func (s *millrace) outputs() {
	out := func(id string, value *string) {
		awscdk.NewCfnOutput(s.stack, jsii.String(id), &awscdk.CfnOutputProps{Value: value})
	}
	out("DataBucket", s.data.BucketName())
	out("LedgerBucket", s.ledger.BucketName())
	out("StateMachine", s.machineARN)
	out("NoticesTopic", s.notices.TopicArn())
	out("DeadLetterQueue", s.deadLetters.QueueUrl())
	names := make([]string, len(s.props.Pipelines))
	for i, p := range s.props.Pipelines {
		names[i] = p.Name
	}
	list, _ := json.Marshal(names)
	out("Pipelines", jsii.String(string(list)))
}

// arn is the ARN of a resource of this account and region.
func (s *millrace) arn(service, resource string) *string {
	return awscdk.Fn_Sub(jsii.String("arn:${AWS::Partition}:"+service+":${AWS::Region}:${AWS::AccountId}:"+resource), nil)
}
