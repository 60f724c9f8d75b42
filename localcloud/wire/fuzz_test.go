package wire_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func FuzzDecodeJSON(f *testing.F) {
	f.Add(`{"TrainingJobName":"j","HyperParameters":{"a":"1"},"InputDataConfig":[{"ChannelName":"c"}]}`)
	f.Add(`{"createdAfter":1e400}`)
	f.Fuzz(func(t *testing.T, raw string) {
		var in sagemaker.CreateTrainingJobInput
		if wire.DecodeJSON([]byte(raw), &in) != nil {
			return
		}
		once, err := wire.EncodeJSON(&in, false)
		if err != nil {
			t.Fatalf("decoded, but not encoded: %v", err)
		}
		var again sagemaker.CreateTrainingJobInput
		if err := wire.DecodeJSON(once, &again); err != nil {
			t.Fatalf("own encoding %s is refused: %v", once, err)
		}
		if twice, err := wire.EncodeJSON(&again, false); err != nil || string(twice) != string(once) {
			t.Errorf("%s became %s, %v", once, twice, err)
		}
	})
}

func FuzzQuery(f *testing.F) {
	f.Add("Action=CreateTopic&Name=n&Tags.member.1.Key=k&Attributes.entry.1.key=a&Attributes.entry.1.value=b")
	f.Add("Action=DescribeStacks&StackName=s&TimeoutInMinutes=x&Parameters.1.ParameterKey=k")
	f.Fuzz(func(t *testing.T, form string) {
		w := httptest.NewRecorder()
		echo(io.Discard).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form)))
		if w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
