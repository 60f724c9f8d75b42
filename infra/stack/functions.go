package stack

import (
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambdadestinations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/jsii-runtime-go"
)

// function is a deployed function and the role it runs under.
type function struct {
	awslambda.Function
	role awsiam.Role
}

// Names of the functions: folders below functions/, and with "millrace-" in
// front the names of the Lambda functions.
const (
	newData       = "newdata"
	jobCompleted  = "jobcompleted"
	modelApproved = "modelapproved"
	runEnded      = "runended"
	snapshot      = "snapshot"
	startJob      = "startjob"
	register      = "register"
)

func (s *millrace) makeFunctions() {
	ledger, data := s.ledger.BucketName(), s.data.BucketName()
	image, role := s.image.ValueAsString(), s.jobRole.RoleArn()
	// Those that events call, at least once.
	s.function(newData, 120, env{"MILLRACE_LEDGER": ledger, "MILLRACE_DATA": data, "MILLRACE_STATE_MACHINE": s.machineARN, "MILLRACE_BUS": jsii.String("default")},
		s.useLedger(), s.listUploads(), s.startRuns(), s.publish())
	s.function(jobCompleted, 30, env{"MILLRACE_LEDGER": ledger}, s.useLedger(), s.describeJobs(), s.answerTasks())
	s.function(modelApproved, 30, env{"MILLRACE_LEDGER": ledger, "MILLRACE_STATE_MACHINE": s.machineARN},
		s.useLedger(), s.startRuns(), s.answerTasks(), s.readVersions(), s.listVersions(), s.decide())
	s.function(runEnded, 30, env{"MILLRACE_LEDGER": ledger, "MILLRACE_STATE_MACHINE": s.machineARN}, s.useLedger(), s.startRuns())
	for _, name := range []string{newData, jobCompleted, modelApproved, runEnded} {
		s.functions[name].ConfigureAsyncInvoke(&awslambda.EventInvokeConfigOptions{
			RetryAttempts: jsii.Number(2),
			OnFailure:     awslambdadestinations.NewSqsDestination(s.deadLetters),
		})
	}
	// Those that the state machine calls.
	s.function(snapshot, 900, env{"MILLRACE_LEDGER": ledger, "MILLRACE_DATA": data, "MILLRACE_WORKER_IMAGE": image},
		s.useLedger(), s.listUploads(), s.readUploads())
	s.function(startJob, 60, env{"MILLRACE_LEDGER": ledger, "MILLRACE_WORKER_IMAGE": image, "MILLRACE_JOB_ROLE": role},
		s.useLedger(), s.startJobs(), s.describeJobs(), s.answerTasks(), s.passJobRole())
	s.function(register, 900, env{"MILLRACE_LEDGER": ledger, "MILLRACE_DATA": data, "MILLRACE_JOB_ROLE": role},
		s.useLedger(), s.listUploads(), s.readUploads(), s.answerTasks(), s.readVersions(), s.listVersions(), s.makeVersions(), s.decide(), s.neverApprove(), s.passJobRole())
}

// env are a function's environment variables.
type env map[string]*string

func (s *millrace) function(name string, timeout float64, vars env, statements ...[]awsiam.PolicyStatement) {
	full := "millrace-" + name
	log := awslogs.NewLogGroup(s.stack, jsii.String(name+"-log"), &awslogs.LogGroupProps{
		LogGroupName:  jsii.String("/aws/lambda/" + full),
		Retention:     awslogs.RetentionDays_THREE_MONTHS,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	role := awsiam.NewRole(s.stack, jsii.String(name+"-role"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
	})
	allow(role, []awsiam.PolicyStatement{statement([]string{"logs:CreateLogStream", "logs:PutLogEvents"}, log.LogGroupArn())})
	for _, group := range statements {
		allow(role, group)
	}
	variables := map[string]*string(vars)
	f := awslambda.NewFunction(s.stack, jsii.String(name), &awslambda.FunctionProps{
		FunctionName: jsii.String(full),
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Handler:      jsii.String("bootstrap"),
		Code:         awslambda.Code_FromAsset(jsii.String(filepath.Join(s.props.Functions, name)), nil),
		MemorySize:   jsii.Number(256),
		Timeout:      awscdk.Duration_Seconds(jsii.Number(timeout)),
		Environment:  &variables,
		Role:         role,
		LogGroup:     log,
	})
	f.Node().DefaultChild().(awslambda.CfnFunction).AddPropertyOverride(jsii.String("Architectures"), []any{s.arch.ValueAsString()})
	s.functions[name] = function{f, role}
}
