package model_test

import (
	"cmp"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Sources of the wordings: AWS's documentation and answers recorded from AWS.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		service, op string
		in          any
		code        string // ValidationException when empty
		want        string // the whole message; "" is none
	}{
		"fine":     {"sagemaker", "DescribeTrainingJob", &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("a-b")}, "", ""},
		"required": {"sagemaker", "DescribeTrainingJob", &sm.DescribeTrainingJobInput{}, "", "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null"},
		"anchored": {"sagemaker", "DescribeTrainingJob", &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("a-")}, "",
			"1 validation error detected: Value 'a-' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"},
		"new line": {"sagemaker", "DescribeTrainingJob", &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("a\n")}, "",
			"1 validation error detected: Value 'a\n' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"},
		"range": {"sagemaker", "ListModels", &sm.ListModelsInput{MaxResults: aws.Int32(0)}, "",
			"1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		"enum": {"sagemaker", "ListModels", &sm.ListModelsInput{SortBy: "Size"}, "",
			"1 validation error detected: Value 'Size' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value set: [Name, CreationTime]"},
		"several": {"sagemaker", "AddTags", &sm.AddTagsInput{Tags: []types.Tag{{Key: aws.String(""), Value: aws.String("v")}, {Key: aws.String("k")}}}, "",
			"3 validation errors detected: Value null at 'resourceArn' failed to satisfy constraint: Member must not be null; " +
				"Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
				"Value null at 'tags.2.member.value' failed to satisfy constraint: Member must not be null"},
		"empty list": {"sagemaker", "CreateTrainingJob", &sm.CreateTrainingJobInput{TrainingJobName: aws.String("a"), RoleArn: aws.String("arn:aws:iam::000000000000:role/r"),
			OutputDataConfig: &types.OutputDataConfig{S3OutputPath: aws.String("s3://a/b")}, InputDataConfig: []types.Channel{}}, "",
			"1 validation error detected: Value '[]' at 'inputDataConfig' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"trailing hyphen": {"sagemaker", "DescribeModelPackageGroup", &sm.DescribeModelPackageGroupInput{ModelPackageGroupName: aws.String("flights-")}, "",
			"1 validation error detected: Value 'flights-' at 'modelPackageGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:aws[a-z\\-]*:sagemaker:[a-z0-9\\-]*:[0-9]{12}:[a-z\\-]*\\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)"},
		"several of one value": {"events", "PutRule", &eventbridge.PutRuleInput{Name: aws.String(strings.Repeat("a b ", 17))}, "",
			"2 validation errors detected: Value '" + strings.Repeat("a b ", 17) + "' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+; " +
				"Value '" + strings.Repeat("a b ", 17) + "' at 'name' failed to satisfy constraint: Member must have length less than or equal to 64"},
		"in a list": {"events", "PutTargets", &eventbridge.PutTargetsInput{Rule: aws.String("r"), Targets: []ebtypes.Target{{Id: aws.String("!@#$@!#$"), Arn: aws.String("arn:aws:sqs:us-east-1:000000000000:q")}}}, "",
			"1 validation error detected: Value '!@#$@!#$' at 'targets.1.member.id' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_A-Za-z0-9]+"},
		"a list of structures": {"states", "CreateStateMachineAlias", &sfn.CreateStateMachineAliasInput{Name: aws.String("a"), RoutingConfiguration: []sfntypes.RoutingConfigurationListItem{
			{StateMachineVersionArn: aws.String("arn:1"), Weight: 50}, {StateMachineVersionArn: aws.String("arn:2"), Weight: 30}, {StateMachineVersionArn: aws.String("arn:3"), Weight: 20}}}, "",
			"1 validation error detected: Value '[RoutingConfigurationListItem(stateMachineVersionArn=arn:1, weight=50), RoutingConfigurationListItem(stateMachineVersionArn=arn:2, weight=30), " +
				"RoutingConfigurationListItem(stateMachineVersionArn=arn:3, weight=20)]' at 'routingConfiguration' failed to satisfy constraint: Member must have length less than or equal to 2"},
		"a weight": {"states", "CreateStateMachineAlias", &sfn.CreateStateMachineAliasInput{Name: aws.String("a"), RoutingConfiguration: []sfntypes.RoutingConfigurationListItem{{StateMachineVersionArn: aws.String("arn:1"), Weight: 101}}}, "",
			"1 validation error detected: Value '101' at 'routingConfiguration.1.member.weight' failed to satisfy constraint: Member must have value less than or equal to 100"},
		"an alias of digits": {"states", "CreateStateMachineAlias", &sfn.CreateStateMachineAliasInput{Name: aws.String("123"), RoutingConfiguration: []sfntypes.RoutingConfigurationListItem{{StateMachineVersionArn: aws.String("arn:1"), Weight: 100}}}, "",
			"1 validation error detected: Value '123' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(?=.*[a-zA-Z_\\-\\.])[a-zA-Z0-9_\\-\\.]+$"},
		"a number by value": {"states", "ListExecutions", &sfn.ListExecutionsInput{MaxResults: 1001}, "",
			"1 validation error detected: Value '1001' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 1000"},
		"texts in a list": {"lambda", "CreateFunction", &lambda.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String("arn:aws:iam::000000000000:role/r"), Code: &lambdatypes.FunctionCode{}, Architectures: []lambdatypes.Architecture{"X86_64"}}, "",
			"1 validation error detected: Value '[X86_64]' at 'architectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]"},
		"a role": {"lambda", "CreateFunction", &lambda.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String("r1"), Code: &lambdatypes.FunctionCode{}}, "",
			"1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\\d{12}:role/?[a-zA-Z_0-9+=,.@\\-_/]+"},
		"a key of a map": {"lambda", "CreateFunction", &lambda.CreateFunctionInput{FunctionName: aws.String("f"), Role: aws.String("arn:aws:iam::000000000000:role/r"), Code: &lambdatypes.FunctionCode{}, Environment: &lambdatypes.Environment{Variables: map[string]string{"1": "v"}}}, "",
			"1 validation error detected: Value '{1=v}' at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: [a-zA-Z]([a-zA-Z0-9_])+]"},
		"a structure in a map": {"sns", "Publish", &sns.PublishInput{Message: aws.String("m"), MessageAttributes: map[string]snstypes.MessageAttributeValue{"attr1": {}}}, "ValidationError",
			"1 validation error detected: Value null at 'messageAttributes.attr1.member.dataType' failed to satisfy constraint: Member must not be null"},
		"a page of logs": {"logs", "GetLogEvents", &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("g"), LogStreamName: aws.String("s"), Limit: aws.Int32(10001)}, "InvalidParameterException",
			"1 validation error detected: Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000"},
		"a stack": {"cloudformation", "CreateStack", &cloudformation.CreateStackInput{StackName: aws.String("s"), TemplateBody: aws.String("{}"), OnFailure: "EXPLODE"}, "ValidationError",
			"1 validation error detected: Value 'EXPLODE' at 'onFailure' failed to satisfy constraint: Member must satisfy enum value set: [DO_NOTHING, ROLLBACK, DELETE]"},
		"a session": {"sts", "AssumeRole", &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::000000000000:role/r"), RoleSessionName: aws.String("Session1:2")}, "ValidationError",
			"1 validation error detected: Value 'Session1:2' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"},
		"a name in IAM": {"iam", "GetRole", &iam.GetRoleInput{RoleName: aws.String("a b")}, "ValidationError",
			"The specified value for roleName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"},
		"a long name in IAM": {"iam", "GetRole", &iam.GetRoleInput{RoleName: aws.String(strings.Repeat("r", 65))}, "ValidationError",
			"1 validation error detected: Value '" + strings.Repeat("r", 65) + "' at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64"},
		"a repository": {"ecr", "CreateRepository", &ecr.CreateRepositoryInput{RepositoryName: aws.String("A")}, "InvalidParameterException",
			"Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must satisfy regular expression '[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*(\\/[a-z0-9]+((\\.|_|__|-+)[a-z0-9]+)*)*''"},
		"a message": {"sqs", "SendMessage", &sqs.SendMessageInput{QueueUrl: aws.String("http://127.0.0.1/q")}, "MissingParameter", "The request must contain the parameter MessageBody."},
		"a parameter": {"ssm", "GetParameters", &ssm.GetParametersInput{Names: []string{}}, "",
			"1 validation error detected: Value '[]' at 'names' failed to satisfy constraint: Member must have length greater than or equal to 1"},
	} {
		t.Run(name, func(t *testing.T) {
			err := model.Of(tt.service).Check(tt.op, tt.in, nil)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var r *model.Refusal
			if !errors.As(err, &r) || r.Message != tt.want || r.Code != cmp.Or(tt.code, "ValidationException") {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	if err := model.Of("sagemaker").Check("CreateEndpoint", &sm.CreateEndpointInput{}, nil); err == nil || errors.As(err, new(*model.Refusal)) {
		t.Errorf("an operation of which nothing is known: %v", err)
	}
}

// Each pattern in Go's syntax can be compiled, and the model's members are the
// SDK's: a name that differs would never be checked.
func TestModelFitsTheSDK(t *testing.T) {
	for service, client := range map[string]reflect.Type{
		"cloudformation": reflect.TypeFor[*cloudformation.Client](), "ecr": reflect.TypeFor[*ecr.Client](), "events": reflect.TypeFor[*eventbridge.Client](),
		"iam": reflect.TypeFor[*iam.Client](), "lambda": reflect.TypeFor[*lambda.Client](), "logs": reflect.TypeFor[*cloudwatchlogs.Client](),
		"sagemaker": reflect.TypeFor[*sm.Client](), "sns": reflect.TypeFor[*sns.Client](), "sqs": reflect.TypeFor[*sqs.Client](),
		"ssm": reflect.TypeFor[*ssm.Client](), "states": reflect.TypeFor[*sfn.Client](), "sts": reflect.TypeFor[*sts.Client](),
	} {
		m := model.Of(service)
		if m == nil || len(m.Operations) == 0 {
			t.Errorf("nothing is known of %s", service)
			continue
		}
		for op, shape := range m.Operations {
			method, ok := client.MethodByName(op)
			if !ok {
				t.Errorf("the SDK has no operation %s:%s", service, op)
				continue
			}
			fits(t, m, shape, method.Type.In(2), service+":"+op, map[string]bool{})
		}
		for name, s := range m.Shapes {
			if _, err := regexp.Compile(s.Regexp()); err != nil {
				t.Errorf("%s: shape %s: %v", service, name, err)
			}
		}
	}
}

func fits(t *testing.T, m *model.Service, name string, at reflect.Type, path string, done map[string]bool) {
	t.Helper()
	for at.Kind() == reflect.Pointer {
		at = at.Elem()
	}
	if done[name] || at.Kind() == reflect.Interface { // a union
		return
	}
	done[name] = true
	switch s := m.Shapes[name]; s.Type {
	case "structure":
		for _, member := range s.Members {
			f, ok := at.FieldByName(strings.ToUpper(member[0][:1]) + member[0][1:])
			if !ok {
				t.Errorf("%s: the SDK has no member %s", path, member[0])
				continue
			}
			fits(t, m, member[1], f.Type, path+"."+member[0], done)
		}
	case "list":
		fits(t, m, s.Member, at.Elem(), path+"[]", done)
	case "map":
		fits(t, m, s.Value, at.Elem(), path+"{}", done)
	case "":
		t.Errorf("%s: shape %s is not in the model", path, name)
	}
}

func TestErrorForms(t *testing.T) {
	for name, tt := range map[string]struct {
		service, code string
		name          string
		want          model.Error
	}{
		"as most":                    {"states", "ExecutionDoesNotExist", "ExecutionDoesNotExist", model.Error{}},
		"a large M":                  {"sagemaker", "ResourceNotFound", "ResourceNotFound", model.Error{Message: "Message"}},
		"Lambda's type and status":   {"lambda", "ResourceNotFoundException", "ResourceNotFoundException", model.Error{Status: 404, Message: "Message", Typed: true}},
		"by the code on the wire":    {"iam", "NoSuchEntity", "NoSuchEntityException", model.Error{Code: "NoSuchEntity", Status: 404}},
		"SQS's code before its JSON": {"sqs", "QueueDoesNotExist", "QueueDoesNotExist", model.Error{Code: "AWS.SimpleQueueService.NonExistentQueue"}},
	} {
		if got, e := model.Of(tt.service).ErrorOf(tt.code); got != tt.name || e != tt.want {
			t.Errorf("%s: %s %+v", name, got, e)
		}
	}
}
