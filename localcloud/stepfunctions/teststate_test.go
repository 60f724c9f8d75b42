package stepfunctions_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// noPrefix keeps TestState at the endpoint given, without its sync- prefix.
func noPrefix(o *sfn.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("NoPrefix",
			func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				return next.HandleInitialize(smithyhttp.DisableEndpointHostPrefix(ctx, true), in)
			}), middleware.Before)
	})
}

func TestTestState(t *testing.T) {
	task := func(fields string) string { return `{"Type":"Task","Resource":"` + fn + `",` + fields + `"Next":"N"}` }
	mocked := func(result string) *types.MockInput { return &types.MockInput{Result: &result} }
	failing := &types.MockInput{ErrorOutput: &types.MockErrorOutput{Error: aws.String("E"), Cause: aws.String("c")}}
	for name, tc := range map[string]struct {
		in   sfn.TestStateInput
		want sfn.TestStateOutput
		data types.InspectionData
	}{
		"pass": {
			in:   sfn.TestStateInput{Definition: aws.String(`{"Type":"Pass","InputPath":"$.a","Parameters":{"x.$":"$.b"},"ResultPath":"$.r","OutputPath":"$.r","Next":"N"}`), Input: aws.String(`{"a":{"b":1.50}}`)},
			want: sfn.TestStateOutput{Status: "SUCCEEDED", Output: aws.String(`{"x":1.50}`), NextState: aws.String("N")},
			data: types.InspectionData{Input: aws.String(`{"a":{"b":1.50}}`), AfterInputPath: aws.String(`{"b":1.50}`), AfterParameters: aws.String(`{"x":1.50}`),
				AfterResultPath: aws.String(`{"a":{"b":1.50},"r":{"x":1.50}}`)},
		},
		"choice": {
			in:   sfn.TestStateInput{Definition: aws.String(`{"Type":"Choice","Choices":[{"Variable":"$.n","NumericEquals":1,"Next":"One"}],"Default":"Other"}`), Input: aws.String(`{"n":1.0}`)},
			want: sfn.TestStateOutput{Status: "SUCCEEDED", Output: aws.String(`{"n":1.0}`), NextState: aws.String("One")},
		},
		"fail": {
			in:   sfn.TestStateInput{Definition: aws.String(`{"Type":"Fail","Error":"E","Cause":"c"}`)},
			want: sfn.TestStateOutput{Status: "FAILED", Error: aws.String("E"), Cause: aws.String("c")},
			data: types.InspectionData{Input: aws.String(`{}`), AfterInputPath: aws.String(`{}`)},
		},
		"wait": {
			in:   sfn.TestStateInput{Definition: aws.String(`{"Type":"Wait","SecondsPath":"$.n","End":true}`), Input: aws.String(`{"n":1}`)},
			want: sfn.TestStateOutput{Status: "SUCCEEDED", Output: aws.String(`{"n":1}`)},
		},
		"task": {
			in:   sfn.TestStateInput{Definition: aws.String(task(`"ResultSelector":{"y.$":"$"},"Assign":{"v.$":"$"},`)), Input: aws.String(`1`), RoleArn: aws.String(role), Variables: aws.String(`{"w":2}`)},
			want: sfn.TestStateOutput{Status: "SUCCEEDED", Output: aws.String(`{"y":"real"}`), NextState: aws.String("N")},
			data: types.InspectionData{Result: aws.String(`"real"`), AfterResultSelector: aws.String(`{"y":"real"}`), Variables: aws.String(`{"v":{"y":"real"},"w":2}`)},
		},
		"mocked task": {
			in:   sfn.TestStateInput{Definition: aws.String(task("")), Mock: mocked(`{"m":1}`)},
			want: sfn.TestStateOutput{Status: "SUCCEEDED", Output: aws.String(`{"m":1}`), NextState: aws.String("N")},
		},
		"retriable": {
			in:   sfn.TestStateInput{Definition: aws.String(task(`"Retry":[{"ErrorEquals":["Other"]},{"ErrorEquals":["E"],"IntervalSeconds":2,"BackoffRate":3}],`)), Mock: failing, StateConfiguration: &types.TestStateConfiguration{RetrierRetryCount: aws.Int32(1)}},
			want: sfn.TestStateOutput{Status: "RETRIABLE", Error: aws.String("E"), Cause: aws.String("c")},
			data: types.InspectionData{ErrorDetails: &types.InspectionErrorDetails{RetryIndex: aws.Int32(1), RetryBackoffIntervalSeconds: aws.Int32(6)}},
		},
		"caught, with no retries left": {
			in: sfn.TestStateInput{Definition: aws.String(task(`"Retry":[{"ErrorEquals":["E"],"MaxAttempts":1}],"Catch":[{"ErrorEquals":["States.ALL"],"ResultPath":"$.e","Next":"C"}],`)), Mock: failing,
				StateConfiguration: &types.TestStateConfiguration{RetrierRetryCount: aws.Int32(1)}},
			want: sfn.TestStateOutput{Status: "CAUGHT_ERROR", Error: aws.String("E"), Cause: aws.String("c"), Output: aws.String(`{"e":{"Error":"E","Cause":"c"}}`), NextState: aws.String("C")},
			data: types.InspectionData{ErrorDetails: &types.InspectionErrorDetails{CatchIndex: aws.Int32(0)}},
		},
		"mocked map of a machine": {
			in: sfn.TestStateInput{Definition: aws.String(`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"M"},"M":{"Type":"Map","ItemsPath":"$.l","ItemSelector":{"i.$":"$$.Map.Item.Value"},"Next":"Z",
			 "ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Pass","End":true}}}},"Z":{"Type":"Succeed"}}}`), StateName: aws.String("M"), Input: aws.String(`{"l":[1,2]}`), Mock: mocked(`["x"]`)},
			want: sfn.TestStateOutput{Status: "SUCCEEDED", Output: aws.String(`["x"]`), NextState: aws.String("Z")},
			data: types.InspectionData{AfterItemsPath: aws.String(`[1,2]`), AfterItemSelector: aws.String(`[{"i":1},{"i":2}]`)},
		},
		"context": {
			in:   sfn.TestStateInput{Definition: aws.String(`{"Type":"Task","Resource":"` + fn + `","Parameters":{"n.$":"$$.Execution.Name"},"End":true}`), Context: aws.String(`{"Execution":{"Name":"given"}}`), Mock: mocked(`1`)},
			want: sfn.TestStateOutput{Status: "SUCCEEDED", Output: aws.String(`1`)},
			data: types.InspectionData{AfterParameters: aws.String(`{"n":"given"}`)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			c.answer = func(context.Context, string, string, map[string]any) (any, error) {
				return lambdaAnswer(`"real"`, false), nil
			}
			tc.in.InspectionLevel = types.InspectionLevelDebug
			got, err := c.client.TestState(context.Background(), &tc.in, noPrefix)
			if err != nil {
				t.Fatal(err)
			}
			text := func(s *string) string { return aws.ToString(s) }
			if got.Status != tc.want.Status || text(got.Output) != text(tc.want.Output) || text(got.NextState) != text(tc.want.NextState) ||
				text(got.Error) != text(tc.want.Error) || text(got.Cause) != text(tc.want.Cause) {
				t.Errorf("got %s %s, next %s, %s: %s", got.Status, text(got.Output), text(got.NextState), text(got.Error), text(got.Cause))
			}
			d := got.InspectionData
			for what, pair := range map[string][2]*string{
				"input": {d.Input, tc.data.Input}, "afterInputPath": {d.AfterInputPath, tc.data.AfterInputPath}, "afterParameters": {d.AfterParameters, tc.data.AfterParameters},
				"result": {d.Result, tc.data.Result}, "afterResultSelector": {d.AfterResultSelector, tc.data.AfterResultSelector}, "afterResultPath": {d.AfterResultPath, tc.data.AfterResultPath},
				"afterItemsPath": {d.AfterItemsPath, tc.data.AfterItemsPath}, "afterItemSelector": {d.AfterItemSelector, tc.data.AfterItemSelector}, "variables": {d.Variables, tc.data.Variables},
			} {
				if pair[1] != nil && text(pair[0]) != *pair[1] {
					t.Errorf("%s is %s, want %s", what, text(pair[0]), *pair[1])
				}
			}
			if w := tc.data.ErrorDetails; w != nil {
				g := d.ErrorDetails
				if g == nil || aws.ToInt32(g.RetryIndex) != aws.ToInt32(w.RetryIndex) || aws.ToInt32(g.RetryBackoffIntervalSeconds) != aws.ToInt32(w.RetryBackoffIntervalSeconds) || (g.CatchIndex == nil) != (w.CatchIndex == nil) {
					t.Errorf("error details %+v, want %+v", g, w)
				}
			}
		})
	}
}

func TestRefusedTests(t *testing.T) {
	c := newCloud(t)
	one := &types.MockInput{Result: aws.String(`1`)}
	maps := `{"Type":"Map","End":true,"ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Pass","End":true}}}}`
	sync := `{"Type":"Task","Resource":"arn:aws:states:::sagemaker:createTrainingJob.sync","Parameters":{},"End":true}`
	for name, tc := range map[string]struct {
		in   sfn.TestStateInput
		code string
		says string
	}{
		"bad state":          {sfn.TestStateInput{Definition: aws.String(`{"Type":"Pass"}`)}, "InvalidDefinition", "Next"},
		"no such state":      {sfn.TestStateInput{Definition: aws.String(passes), StateName: aws.String("Z")}, "ValidationException", "State not found in definition"},
		"bad input":          {sfn.TestStateInput{Definition: aws.String(`{"Type":"Pass","End":true}`), Input: aws.String(`{`)}, "InvalidExecutionInput", ""},
		"mock of a pass":     {sfn.TestStateInput{Definition: aws.String(`{"Type":"Pass","End":true}`), Mock: one}, "ValidationException", "Pass"},
		"sync, not mocked":   {sfn.TestStateInput{Definition: &sync, RoleArn: aws.String(role)}, "ValidationException", "mock"},
		"task without role":  {sfn.TestStateInput{Definition: aws.String(`{"Type":"Task","Resource":"` + fn + `","End":true}`)}, "ValidationException", "RoleArn must be specified"},
		"mock with nothing":  {sfn.TestStateInput{Definition: &sync, Mock: &types.MockInput{}}, "ValidationException", "only one of"},
		"mock is not JSON":   {sfn.TestStateInput{Definition: &sync, Mock: &types.MockInput{Result: aws.String(`{`)}}, "ValidationException", "JSON"},
		"context, no mock":   {sfn.TestStateInput{Definition: aws.String(`{"Type":"Pass","End":true}`), Context: aws.String(`{}`)}, "ValidationException", "mock"},
		"map without a mock": {sfn.TestStateInput{Definition: &maps}, "InvalidDefinition", "TestState API does not support Map or Parallel states."},
		"secrets of a mock":  {sfn.TestStateInput{Definition: &sync, Mock: one, RevealSecrets: true}, "ValidationException", "TestState does not support RevealSecrets when a mock is specified."},
		"map gives no list":  {sfn.TestStateInput{Definition: &maps, Mock: one}, "ValidationException", "Mocked result must be an array."},
		"too few branches": {sfn.TestStateInput{Definition: aws.String(`{"Type":"Parallel","End":true,"Branches":[{"StartAt":"B","States":{"B":{"Type":"Pass","End":true}}}]}`),
			Mock: &types.MockInput{Result: aws.String(`[]`)}}, "ValidationException", "Mocked result must contain the same number of items as number of Parallel branches."},
		"context, a field nobody knows": {sfn.TestStateInput{Definition: &sync, Mock: one, Context: aws.String(`{"State":{"Colour":1}}`)}, "ValidationException", "Invalid Context object provided: Field 'Colour' is not allowed"},
		"context, an object too many":   {sfn.TestStateInput{Definition: &sync, Mock: one, Context: aws.String(`{"Other":{}}`)}, "ValidationException", "Invalid Context object provided: Field 'Other' is not allowed"},
		"context, a type":               {sfn.TestStateInput{Definition: &sync, Mock: one, Context: aws.String(`{"Execution":{"Id":1}}`)}, "ValidationException", "Invalid Context object provided: Execution.Id must be a string"},
		"context of a map":              {sfn.TestStateInput{Definition: &sync, Mock: one, Context: aws.String(`{"Map":{}}`)}, "ValidationException", "'Map' field is not supported when mocking a Context object"},
		"context with a token": {sfn.TestStateInput{Definition: aws.String(`{"Type":"Task","Resource":"` + fn + `","End":true}`), Mock: one, Context: aws.String(`{"Task":{"Token":"t"}}`)},
			"ValidationException", "Invalid Context object provided: Context object contains 'Task' when state is not a Task state with"},
	} {
		_, err := c.client.TestState(context.Background(), &tc.in, noPrefix)
		if code(err) != tc.code || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %s with %q", name, err, tc.code, tc.says)
		}
	}
}
