package model_test

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"

	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

func TestRead(t *testing.T) {
	alias := `{"name":"a","routingConfiguration":[{"stateMachineVersionArn":"arn:1"`
	for name, tt := range map[string]struct {
		service, op string
		in          any
		raw         string
		inside      bool // a call inside the cloud
		body        string
		unknown     []string
		refused     string
	}{
		"all known": {service: "sqs", op: "ChangeMessageVisibility", in: &sqs.ChangeMessageVisibilityInput{},
			raw: `{ "QueueUrl": "u", "ReceiptHandle": "r", "VisibilityTimeout": 0 }`, body: `{"QueueUrl":"u","ReceiptHandle":"r","VisibilityTimeout":0}`},
		"a number is missing": {service: "sqs", op: "ChangeMessageVisibility", in: &sqs.ChangeMessageVisibilityInput{},
			raw: `{"QueueUrl":"u","ReceiptHandle":"r"}`, body: `{"QueueUrl":"u","ReceiptHandle":"r"}`, refused: "MissingParameter: The request must contain the parameter VisibilityTimeout."},
		"a number is null": {service: "sqs", op: "ChangeMessageVisibility", in: &sqs.ChangeMessageVisibilityInput{},
			raw: `{"QueueUrl":"u","ReceiptHandle":"r","VisibilityTimeout":null}`, body: `{"QueueUrl":"u","ReceiptHandle":"r","VisibilityTimeout":null}`, refused: "MissingParameter: The request must contain the parameter VisibilityTimeout."},
		"a number in a list": {service: "states", op: "CreateStateMachineAlias", in: &sfn.CreateStateMachineAliasInput{}, raw: alias + `,"weight":0}]}`, body: alias + `,"weight":0}]}`},
		"a number in a list is missing": {service: "states", op: "CreateStateMachineAlias", in: &sfn.CreateStateMachineAliasInput{}, raw: alias + `}]}`, body: alias + `}]}`,
			refused: "ValidationException: 1 validation error detected: Value null at 'routingConfiguration.1.member.weight' failed to satisfy constraint: Member must not be null"},
		"inside the cloud names begin in either case": {service: "states", op: "CreateStateMachineAlias", in: &sfn.CreateStateMachineAliasInput{}, inside: true,
			raw:  `{"Name":"a","RoutingConfiguration":[{"StateMachineVersionArn":"arn:1","Weight":0,"Colour":1}]}`,
			body: `{"Name":"a","RoutingConfiguration":[{"StateMachineVersionArn":"arn:1","Weight":0,"Colour":1}]}`},
		"unknown members": {service: "sqs", op: "SendMessage", in: &sqs.SendMessageInput{},
			raw:     `{"Colour":{"a":[1,{}]},"QueueUrl":"u","queueUrl":"v","MessageBody":"b","MessageAttributes":{"Colour":{"DataType":"String","Hue":1,"StringValue":"red"}},"Last":null}`,
			body:    `{"QueueUrl":"u","MessageBody":"b","MessageAttributes":{"Colour":{"DataType":"String","StringValue":"red"}}}`,
			unknown: []string{"Colour", "queueUrl", "MessageAttributes.Colour.Hue", "Last"}},
		"keys of maps are data": {service: "lambda", op: "UpdateFunctionConfiguration", in: &lambda.UpdateFunctionConfigurationInput{},
			raw: `{"FunctionName":"f","Environment":{"Variables":{"ANY":"1","other":"\u2028\u00e9"}}}`, body: "{\"FunctionName\":\"f\",\"Environment\":{\"Variables\":{\"ANY\":\"1\",\"other\":\"\\u2028\\u00e9\"}}}"},
		"wrong types are left to the decoder": {service: "sqs", op: "SendMessage", in: &sqs.SendMessageInput{}, raw: `{"QueueUrl":{"a":1},"MessageBody":[2],"MessageAttributes":[]}`,
			body: `{"QueueUrl":{"a":1},"MessageBody":[2],"MessageAttributes":[]}`},
	} {
		t.Run(name, func(t *testing.T) {
			m := model.Of(tt.service)
			got, err := m.Read(tt.op, []byte(tt.raw), reflect.TypeOf(tt.in), !tt.inside)
			if err != nil || string(got.Body) != tt.body || !slices.Equal(got.Unknown, tt.unknown) {
				t.Fatalf("got %s without %q, %v", got.Body, got.Unknown, err)
			}
			if err := json.Unmarshal(got.Body, tt.in, json.MatchCaseInsensitiveNames(true)); err != nil {
				return // of wrong types
			}
			r, err := (*model.Refusal)(nil), m.Check(tt.op, tt.in, got)
			if errors.As(err, &r) != (tt.refused != "") || r != nil && r.Error() != tt.refused {
				t.Errorf("refused: %v, want %s", err, tt.refused)
			}
		})
	}
	for _, raw := range []string{`{`, `{"a"}`, `{} x`, `{"QueueUrl":"u","QueueUrl":"u"}`, `{"MessageAttributes":{"a":{"x":}}}`, `[1,`, "\xff"} {
		if got, err := model.Of("sqs").Read("SendMessage", []byte(raw), reflect.TypeFor[*sqs.SendMessageInput](), true); err == nil {
			t.Errorf("%s was read: %s", raw, got.Body)
		}
	}
}

// What is read for nothing unknown is the same JSON.
func FuzzRead(f *testing.F) {
	f.Add(`{"QueueUrl":"u","Entries":[{"Id":"a","MessageBody":"b","MessageAttributes":{"k":{"DataType":"String","StringValue":"\ud83d\ude00"}}}]}`)
	f.Add(`{"QueueUrl":{"x":[1e400]},"Entries":{"a":[]},"More":[[[]]]}`)
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := model.Of("sqs").Read("SendMessageBatch", []byte(raw), reflect.TypeFor[*sqs.SendMessageBatchInput](), true)
		var was, is any
		if err != nil || json.Unmarshal([]byte(raw), &was) != nil {
			return
		}
		if err := json.Unmarshal(got.Body, &is); err != nil {
			t.Fatalf("%s became %s: %v", raw, got.Body, err)
		}
		if same := reflect.DeepEqual(was, is); same != (len(got.Unknown) == 0) {
			t.Errorf("%s became %s without %q", raw, got.Body, got.Unknown)
		}
	})
}
