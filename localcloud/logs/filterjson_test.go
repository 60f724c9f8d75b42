package logs_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

func TestFilterJSON(t *testing.T) {
	r := newRig(t)
	must(r.client.CreateLogGroup(t.Context(), &cwl.CreateLogGroupInput{LogGroupName: aws.String("/j")}))(t)
	must(r.client.CreateLogStream(t.Context(), &cwl.CreateLogStreamInput{LogGroupName: aws.String("/j"), LogStreamName: aws.String("s")}))(t)
	var events []types.InputLogEvent
	for i, m := range []string{`{"n":1,"level":"INFO","run":{"number":7,"tags":["a","b"]},"ok":true}`, `{"n":2,"level":"ERROR","run":{"number":8.5},"gone":null}`, `no JSON with "level":"ERROR"`} {
		events = append(events, types.InputLogEvent{Timestamp: aws.Int64(begin + int64(i)), Message: aws.String(m)})
	}
	must(r.client.PutLogEvents(t.Context(), &cwl.PutLogEventsInput{LogGroupName: aws.String("/j"), LogStreamName: aws.String("s"), LogEvents: events}))(t)
	for pattern, want := range map[string]string{
		`{ $.level = "ERROR" }`:                            "2",
		`{$.level=ERROR}`:                                  "2",
		`{ $.level != "ERROR" }`:                           "1",
		`{ $.level = "*RR*" }`:                             "2",
		`{ $.run.number > 7 }`:                             "2",
		`{ $.run.number >= 7 }`:                            "12",
		`{ $.run.number = 7.0 }`:                           "1",
		`{ $.run.tags[1] = "b" }`:                          "1",
		`{ $['run']['number'] < 8 }`:                       "1",
		`{ $.ok IS TRUE }`:                                 "1",
		`{ $.gone IS NULL }`:                               "2",
		`{ $.gone NOT EXISTS }`:                            "1",
		`{ $.run EXISTS }`:                                 "12",
		`{ $.n = 1 || $.n = 2 && $.level = "INFO" }`:       "1",
		`{ ($.n = 1 || $.n = 2) && ($.level = "ERROR") }`:  "2",
		`{ $.none = 1 }`:                                   "",
		`{ $.level = "E" }`:                                "",
		`{ $.run.number != 7 && $.run.number IS NULL }`:    "",
		`{ ($.level = "INFO") && (($.n = 1) || $.n > 5) }`: "1",
	} {
		out := must(r.client.FilterLogEvents(t.Context(), &cwl.FilterLogEventsInput{LogGroupName: aws.String("/j"), FilterPattern: &pattern}))(t)
		got := ""
		for _, e := range out.Events {
			got += strings.TrimPrefix((*e.Message)[:6], `{"n":`)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", pattern, got, want)
		}
	}
}

// FuzzFilterPattern wants every pattern accepted or refused, and never a crash.
func FuzzFilterPattern(f *testing.F) {
	r := newRig(f)
	ctx := f.Context()
	if _, err := r.client.CreateLogGroup(ctx, &cwl.CreateLogGroupInput{LogGroupName: aws.String("/f")}); err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{`{ $.a = 1 && ($.b[0] != "x*" || $.c IS NULL) }`, `a -b ?"c d"`, `{`, `{ $ }`, `{ $.a NOT`, `[a]`, `""`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		if _, err := r.client.FilterLogEvents(t.Context(), &cwl.FilterLogEventsInput{LogGroupName: aws.String("/f"), FilterPattern: &pattern}); err != nil && code(err) != "InvalidParameterException" {
			t.Errorf("%q: %v", pattern, err)
		}
	})
}
