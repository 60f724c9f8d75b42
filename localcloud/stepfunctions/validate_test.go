package stepfunctions_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
)

func TestValidate(t *testing.T) {
	const token = `{"StartAt":"M","States":{"M":{"Type":"Map","End":true,"ItemProcessor":{"StartAt":"T","States":{"T":{"Type":"Task","End":true,
	 "Resource":"arn:aws:states:::lambda:invoke.waitForTaskToken","Parameters":{"FunctionName":"f","Payload":{"token":"$$.Task.Token"}}}}}}}}`
	for name, tc := range map[string]struct {
		definition string
		severity   types.ValidateStateMachineDefinitionSeverity
		most       int32
		result     string
		want       string
		truncated  bool
	}{
		"fine":             {passes, "WARNING", 0, "OK", "", false},
		"errors in order":  {`{"StartAt":"A","States":{"B":{"Type":"Pass","End":true},"A":{"Type":"Pass","Next":"C"}}}`, "", 0, "FAIL", "ERROR MISSING_TRANSITION_TARGET /States/A/Next, ERROR MISSING_TRANSITION_TARGET /States/B", false},
		"truncated":        {`{"StartAt":"A","States":{"B":{"Type":"Pass","End":true},"A":{"Type":"Pass","Next":"C"}}}`, "", 1, "FAIL", "ERROR MISSING_TRANSITION_TARGET /States/A/Next", true},
		"no warnings":      {token, "ERROR", 0, "OK", "", false},
		"warnings":         {token, "WARNING", 0, "OK", "WARNING NO_TIMEOUT /States/M/ItemProcessor/States/T, WARNING NO_DOLLAR /States/M/ItemProcessor/States/T/Parameters/Payload/token", false},
		"bounded":          {strings.Replace(strings.Replace(token, `{"StartAt":"M"`, `{"TimeoutSeconds":9,"StartAt":"M"`, 1), `"token"`, `"token.$"`, 1), "WARNING", 0, "OK", "", false},
		"a static result":  {`{"StartAt":"A","States":{"A":{"Type":"Pass","Result":{"x":[{"y.$":"$.z"}]},"End":true}}}`, "WARNING", 0, "OK", "WARNING PASS_RESULT_IS_STATIC /States/A/Result/x[0]/y.$", false},
		"dollars in words": {`{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"price":"$5","all":"$"},"End":true}}}`, "WARNING", 0, "OK", "WARNING NO_DOLLAR /States/A/Parameters/all", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			got, err := c.client.ValidateStateMachineDefinition(context.Background(), &sfn.ValidateStateMachineDefinitionInput{Definition: &tc.definition, Severity: tc.severity, MaxResults: tc.most})
			if err != nil {
				t.Fatal(err)
			}
			var list []string
			for _, d := range got.Diagnostics {
				list = append(list, fmt.Sprintf("%s %s %s", d.Severity, aws.ToString(d.Code), aws.ToString(d.Location)))
				if aws.ToString(d.Message) == "" {
					t.Errorf("%+v has no message", d)
				}
			}
			if s := strings.Join(list, ", "); string(got.Result) != tc.result || s != tc.want || aws.ToBool(got.Truncated) != tc.truncated {
				t.Errorf("%s, truncated %t: %s\nwant %s", got.Result, aws.ToBool(got.Truncated), s, tc.want)
			}
		})
	}
}
