package constraint_test

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/millrace-ml/millrace/localcloud/sagemaker/constraint"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		op   string
		in   any
		want string // the whole message; "" is none
	}{
		"fine":     {"DescribeTrainingJob", &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("a-b")}, ""},
		"required": {"DescribeTrainingJob", &sm.DescribeTrainingJobInput{}, "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null"},
		"anchored": {"DescribeTrainingJob", &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("a-")},
			"1 validation error detected: Value 'a-' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"},
		"new line": {"DescribeTrainingJob", &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("a\n")},
			"1 validation error detected: Value 'a\n' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"},
		"range": {"ListModels", &sm.ListModelsInput{MaxResults: aws.Int32(0)},
			"1 validation error detected: Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		"enum": {"ListModels", &sm.ListModelsInput{SortBy: "Size"},
			"1 validation error detected: Value 'Size' at 'sortBy' failed to satisfy constraint: Member must satisfy enum value set: [Name, CreationTime]"},
		"several": {"AddTags", &sm.AddTagsInput{Tags: []types.Tag{{Key: aws.String(""), Value: aws.String("v")}, {Key: aws.String("k")}}},
			"3 validation errors detected: Value null at 'resourceArn' failed to satisfy constraint: Member must not be null; " +
				"Value '' at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
				"Value null at 'tags.2.member.value' failed to satisfy constraint: Member must not be null"},
		"empty list": {"CreateTrainingJob", &sm.CreateTrainingJobInput{TrainingJobName: aws.String("a"), RoleArn: aws.String("arn:aws:iam::000000000000:role/r"),
			OutputDataConfig: &types.OutputDataConfig{S3OutputPath: aws.String("s3://a/b")}, InputDataConfig: []types.Channel{}},
			"1 validation error detected: Value '[]' at 'inputDataConfig' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		"trailing hyphen": {"DescribeModelPackageGroup", &sm.DescribeModelPackageGroupInput{ModelPackageGroupName: aws.String("flights-")},
			"1 validation error detected: Value 'flights-' at 'modelPackageGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: (arn:aws[a-z\\-]*:sagemaker:[a-z0-9\\-]*:[0-9]{12}:[a-z\\-]*\\/)?([a-zA-Z0-9]([a-zA-Z0-9-]){0,62})(?<!-)"},
	} {
		t.Run(name, func(t *testing.T) {
			err := constraint.Check(tt.op, tt.in)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var e *wire.Error
			if !errors.As(err, &e) || e.Code != "ValidationException" || e.Message != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
	if err := constraint.Check("CreateEndpoint", &sm.CreateEndpointInput{}); err == nil || wire.HasCode(err, "ValidationException") {
		t.Errorf("an operation without constraints: %v", err)
	}
}

// The model's members are the SDK's: a name that differs would never be checked.
func TestModelFitsTheSDK(t *testing.T) {
	raw, err := os.ReadFile("model.json")
	if err != nil {
		t.Fatal(err)
	}
	var m constraint.Model
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	client := reflect.TypeFor[*sm.Client]()
	for _, op := range constraint.Operations {
		method, ok := client.MethodByName(op)
		if !ok {
			t.Errorf("the SDK has no operation %s", op)
			continue
		}
		fits(t, m, m.Operations[op], method.Type.In(2), op, map[string]bool{})
	}
}

func fits(t *testing.T, m constraint.Model, name string, at reflect.Type, path string, done map[string]bool) {
	t.Helper()
	for at.Kind() == reflect.Pointer {
		at = at.Elem()
	}
	if done[name] {
		return
	}
	done[name] = true
	switch s := m.Shapes[name]; s.Type {
	case "structure":
		for _, member := range s.Members {
			f, ok := at.FieldByName(member[0])
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
		t.Errorf("%s: shape %s is not in the model", path, strings.TrimSpace(name))
	}
}
