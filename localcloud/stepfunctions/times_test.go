package stepfunctions_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/millrace-ml/millrace/localcloud/stepfunctions"
)

// Times are told by their members' names, which must hold for every output of
// every service that aws-sdk integrations reach.
func TestTimesAreToldByName(t *testing.T) {
	known := map[string]bool{}
	for name, client := range map[string]any{"cloudformation": &cloudformation.Client{}, "events": &eventbridge.Client{}, "iam": &iam.Client{}, "lambda": &lambda.Client{},
		"sagemaker": &sagemaker.Client{}, "states": &sfn.Client{}, "sns": &sns.Client{}, "sqs": &sqs.Client{}, "sts": &sts.Client{}} {
		c := reflect.TypeOf(client)
		for i := range c.NumMethod() {
			if f := c.Method(i).Type; f.NumOut() == 2 && strings.HasSuffix(f.Out(0).String(), "Output") {
				members(t, name+":"+c.Method(i).Name, f.Out(0), known)
			}
		}
	}
	if len(known) < 100 {
		t.Errorf("only %d types were looked at", len(known))
	}
}

func members(t *testing.T, at string, v reflect.Type, known map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		members(t, at, v.Elem(), known)
	case reflect.Struct:
		if v == reflect.TypeFor[time.Time]() || known[v.String()] || !strings.Contains(v.PkgPath(), "/service/") {
			return
		}
		known[v.String()] = true
		for i := range v.NumField() {
			f := v.Field(i)
			if !f.IsExported() {
				continue
			}
			kind := f.Type
			for kind.Kind() == reflect.Pointer {
				kind = kind.Elem()
			}
			isTime, isNumber := kind == reflect.TypeFor[time.Time](), kind.Kind() >= reflect.Int && kind.Kind() <= reflect.Float64
			if told := stepfunctions.IsTime(f.Name); isTime && !told || isNumber && told {
				t.Errorf("%s: %s.%s is a time: %t, told: %t", at, v, f.Name, isTime, told)
			}
			members(t, at, f.Type, known)
		}
	}
}
