package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

func TestDecodeJSON(t *testing.T) {
	for name, tc := range map[string]struct {
		input string
		check func(in *sagemaker.CreateTrainingJobInput) bool
		fails string
	}{
		"as on the wire": {input: `{"TrainingJobName":"j","HyperParameters":{"Eta":"0.1"},"StoppingCondition":{"MaxRuntimeInSeconds":60}}`,
			check: func(in *sagemaker.CreateTrainingJobInput) bool {
				return *in.TrainingJobName == "j" && in.HyperParameters["Eta"] == "0.1" && *in.StoppingCondition.MaxRuntimeInSeconds == 60
			}},
		"first letter small": {input: `{"trainingJobName":"j"}`, check: func(in *sagemaker.CreateTrainingJobInput) bool { return *in.TrainingJobName == "j" }},
		"nothing":            {input: "", check: func(in *sagemaker.CreateTrainingJobInput) bool { return in.TrainingJobName == nil }},
		"null":               {input: `{"TrainingJobName":null}`, check: func(in *sagemaker.CreateTrainingJobInput) bool { return in.TrainingJobName == nil }},
		"unknown member":     {input: `{"TrainingJobNane":"j"}`, fails: "TrainingJobNane"},
		"unknown inside":     {input: `{"StoppingCondition":{"MaxRuntime":60}}`, fails: "MaxRuntime"},
		"wrong type":         {input: `{"TrainingJobName":1}`, fails: "TrainingJobName"},
		"no JSON":            {input: `{"TrainingJobName":`, fails: "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			var in sagemaker.CreateTrainingJobInput
			err := wire.DecodeJSON([]byte(tc.input), &in)
			if tc.fails != "" {
				if !wire.HasCode(err, "SerializationException") || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("%v, want SerializationException about %q", err, tc.fails)
				}
				return
			}
			if err != nil || !tc.check(&in) {
				t.Errorf("%+v, %v", in, err)
			}
		})
	}
}

func TestDecodeTimes(t *testing.T) {
	want := time.Date(2026, 3, 1, 10, 0, 0, 500e6, time.UTC)
	for _, text := range []string{`1772359200.5`, `1.7723592005e9`, `"2026-03-01T10:00:00.5Z"`, `"2026-03-01T11:00:00.5+01:00"`} {
		var in struct{ CreationTimeAfter *time.Time }
		if err := wire.DecodeJSON([]byte(`{"CreationTimeAfter":`+text+`}`), &in); err != nil || !in.CreationTimeAfter.Equal(want) {
			t.Errorf("%s: %v, %v", text, in.CreationTimeAfter, err)
		}
	}
	var in struct{ CreationTimeAfter *time.Time }
	if err := wire.DecodeJSON([]byte(`{"CreationTimeAfter":"yesterday"}`), &in); err == nil {
		t.Error("yesterday was understood")
	}
}

func TestEncodeJSON(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 0, 0, 123e6, time.UTC)
	name, n := "a\"b\u2028\x01", int32(0)
	for label, tc := range map[string]struct {
		v     any
		lower bool
		want  string
	}{
		"members left out": {&sagemaker.DescribeModelPackageOutput{ModelPackageVersion: &n}, false, `{"ModelPackageVersion":0}`},
		"empty list stays": {&sagemaker.ListModelsOutput{Models: []types.ModelSummary{}}, false, `{"Models":[]}`},
		"time and enum": {&sagemaker.DescribeTrainingJobOutput{CreationTime: &at, TrainingJobStatus: types.TrainingJobStatusCompleted}, false,
			`{"CreationTime":1772359200.123,"TrainingJobStatus":"Completed"}`},
		"map keys are data":   {&sagemaker.DescribeTrainingJobOutput{HyperParameters: map[string]string{"Zeta": "1", "Alpha": "2"}}, true, `{"hyperParameters":{"Alpha":"2","Zeta":"1"}}`},
		"lower members":       {&sfn.StartExecutionOutput{ExecutionArn: &name}, true, `{"executionArn":"a\"b` + "\u2028" + `\u0001"}`},
		"blob":                {map[string][]byte{"b": {0xff}}, false, `{"b":"/w=="}`},
		"invalid UTF-8":       {map[string]string{"b": "\xff"}, false, `{"b":"` + "\uFFFD" + `"}`},
		"no metadata ever":    {&sfn.DeleteActivityOutput{}, false, `{}`},
		"nil pointer is null": {(*sfn.StartExecutionOutput)(nil), false, `null`},
	} {
		got, err := wire.EncodeJSON(tc.v, tc.lower)
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %s, %v; want %s", label, got, err, tc.want)
		}
	}
}

func echo(log io.Writer) *wire.Service {
	s := &wire.Service{Name: "sns", Protocol: wire.Query, Namespace: "http://sns.amazonaws.com/doc/2010-03-31/", Log: slog.New(slog.NewTextHandler(log, nil))}
	s.Add(
		wire.On(wire.Op("CreateTopic", func(ctx context.Context, in *sns.CreateTopicInput) (*sns.CreateTopicOutput, error) {
			if aws.ToString(in.Name) == "bad" {
				return nil, wire.Errorf("InvalidParameter", "no <%s>", aws.ToString(in.Name))
			}
			raw, err := json.Marshal(in)
			text := string(raw)
			return &sns.CreateTopicOutput{TopicArn: &text}, err
		}), func(in *sns.CreateTopicInput) []string { return []string{"arn:topic:" + aws.ToString(in.Name)} }),
		wire.Op("DescribeStacks", func(context.Context, *cloudformation.CreateStackInput) (*cloudformation.DescribeStacksOutput, error) {
			return &cloudformation.DescribeStacksOutput{}, nil
		}),
	)
	return s
}

func post(s *wire.Service, form url.Values) (int, string) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
	r = r.WithContext(wire.WithRequestID(r.Context(), "ID1"))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestQuery(t *testing.T) {
	var log bytes.Buffer
	s := echo(&log)
	status, body := post(s, url.Values{"Action": {"CreateTopic"}, "Version": {"2010-03-31"}, "Name": {"t&1"},
		"Attributes.entry.1.key": {"A"}, "Attributes.entry.1.value": {"1"}, "Attributes.entry.2.key": {"B"}, "Attributes.entry.2.value": {"2"},
		"Tags.member.1.Key": {"k"}, "Tags.member.1.Value": {"v"}, "Tags.member.2.Key": {"l"}, "Tags.member.2.Value": {""}})
	for _, want := range []string{`<CreateTopicResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><CreateTopicResult><TopicArn>`, `&#34;Name&#34;:&#34;t\u0026amp;1`, `<RequestId>ID1</RequestId>`,
		`{&#34;A&#34;:&#34;1&#34;,&#34;B&#34;:&#34;2&#34;}`, `{&#34;Key&#34;:&#34;k&#34;,&#34;Value&#34;:&#34;v&#34;},{&#34;Key&#34;:&#34;l&#34;,&#34;Value&#34;:&#34;&#34;}`} {
		want = strings.ReplaceAll(want, `\u0026amp;`, `\u0026`)
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d %s\nlacks %s", status, body, want)
		}
	}
	if status, body := post(s, url.Values{"Action": {"CreateTopic"}, "Name": {"bad"}}); status != 400 || !strings.Contains(body, "<Code>InvalidParameter</Code><Message>no &lt;bad&gt;</Message>") {
		t.Errorf("%d %s", status, body)
	}
	if status, body := post(s, url.Values{"Action": {"Fly"}}); status != 400 || !strings.Contains(body, "<Code>InvalidAction</Code>") || !strings.Contains(log.String(), "operation=Fly") {
		t.Errorf("%d %s, log %s", status, body, log.String())
	}
	s.Authorize = func(_ context.Context, action, resource string) error {
		return wire.Errorf("AccessDeniedException", "%s on %s", action, resource)
	}
	if status, body := post(s, url.Values{"Action": {"CreateTopic"}, "Name": {"n"}}); status != 403 || !strings.Contains(body, "<Code>AccessDenied</Code><Message>sns:CreateTopic on arn:topic:n</Message>") {
		t.Errorf("%d %s", status, body)
	}
}

func TestJSONService(t *testing.T) {
	var log bytes.Buffer
	s := echo(&log)
	s.Protocol, s.Target, s.Lower, s.Model = wire.JSON10, "SNS", true, model.Of("sns")
	for name, tc := range map[string]struct {
		target, body string
		status       int
		contains     string
	}{
		"called":            {"SNS.CreateTopic", `{"Name":"n"}`, 200, `{"topicArn":`},
		"error":             {"SNS.CreateTopic", `{"Name":"bad"}`, 400, `"__type":"InvalidParameterException"`},
		"unknown operation": {"SNS.Fly", `{}`, 400, `"__type":"UnknownOperationException"`},
		"unknown member":    {"SNS.CreateTopic", `{"Nam":"n","Name":"m"}`, 200, `{\"Name\":\"m\"`},
		"only unknown":      {"SNS.CreateTopic", `{"Nam":"n"}`, 400, `Value null at 'name' failed to satisfy constraint`},
		"another case":      {"SNS.CreateTopic", `{"name":"n"}`, 400, `Value null at 'name' failed to satisfy constraint`},
		"wrong type":        {"SNS.CreateTopic", `{"Name":1}`, 400, `"__type":"SerializationException"`},
		"no JSON":           {"SNS.CreateTopic", `{"Name":`, 400, `"__type":"SerializationException"`},
		"too large":         {"SNS.CreateTopic", `{"Name":"` + strings.Repeat("x", wire.MaxBody) + `"}`, 413, "RequestEntityTooLarge"},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tc.body))
		r.Header.Set("X-Amz-Target", tc.target)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.contains) {
			t.Errorf("%s: %d %.200s", name, w.Code, w.Body.String())
		}
	}
	if !strings.Contains(log.String(), "operation=CreateTopic member=Nam\n") {
		t.Errorf("the log does not name what was ignored: %s", log.String())
	}
	if _, err := s.Call(context.Background(), "CreateTopic", []byte(`{"Nam":"n","Name":"m"}`)); !wire.HasCode(err, "SerializationException") || !strings.Contains(err.Error(), "Nam") {
		t.Errorf("a call inside the cloud with an unknown member: %v", err)
	}
}

func TestAddTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("an operation given twice went through")
		}
	}()
	s := echo(io.Discard)
	s.Add(wire.Op("CreateTopic", func(context.Context, *sns.CreateTopicInput) (*sns.CreateTopicOutput, error) { return nil, nil }))
}

func TestErrors(t *testing.T) {
	plain := wire.AsError(io.ErrUnexpectedEOF)
	if plain.Code != "InternalFailure" || plain.HTTPStatus() != 500 {
		t.Errorf("a plain error became %+v", plain)
	}
	if e := wire.Errorf("X", "n %d", 1); e.HTTPStatus() != 400 || e.Error() != "X: n 1" || wire.HasCode(io.EOF, "X") {
		t.Errorf("%+v", e)
	}
}
