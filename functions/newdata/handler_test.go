package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/shared/runs/runstest"
	"github.com/millrace-ml/millrace/statemachine"
)

// fakeBus keeps what is published, or refuses it.
type fakeBus struct {
	published []types.PutEventsRequestEntry
	refuse    bool
}

func (b *fakeBus) PutEvents(_ context.Context, in *eventbridge.PutEventsInput, _ ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error) {
	if b.refuse { // a partial failure is no error of the call
		return &eventbridge.PutEventsOutput{FailedEntryCount: 1, Entries: []types.PutEventsResultEntry{{ErrorCode: aws.String("ThrottlingException"), ErrorMessage: aws.String("slow down")}}}, nil
	}
	b.published = append(b.published, in.Entries...)
	return &eventbridge.PutEventsOutput{Entries: make([]types.PutEventsResultEntry, len(in.Entries))}, nil
}

func event(t *testing.T, name string) json.RawMessage {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// dataBucket is the bucket of testdata's uploads.
const dataBucket = "millrace-data"

type fixture struct {
	*handler
	bus    *fakeBus
	states *runstest.States
	ledger *ledger.Ledger
	s3     *ledgertest.S3
}

func newFixture() fixture {
	log := slog.New(slog.DiscardHandler)
	s3, states, bus := ledgertest.NewS3(), runstest.NewStates(), &fakeBus{}
	led := ledger.New(s3, "ledger")
	find := func(name string) (*definition.Definition, error) {
		if name != "flights" {
			return nil, nil
		}
		return &definition.Definition{Name: name, Retrain: definition.Retrain{Quiet: time.Minute}}, nil
	}
	starter := &runs.Starter{Ledger: led, Executions: states, StateMachine: "arn", Definitions: find, Log: log}
	h := &handler{starter: starter, daily: &runs.Daily{Starter: starter, Uploads: &runs.Dataset{Ledger: led, Objects: s3, Bucket: dataBucket}, Log: log},
		names: []string{"flights"}, bus: bus, to: "default", log: log}
	return fixture{h, bus, states, led, s3}
}

// TestEventsBecomeCausesOnce: each event comes twice, in any order.
func TestEventsBecomeCausesOnce(t *testing.T) {
	orders := map[string][]string{
		"in order":     {"raw", "score", "schedule"},
		"out of order": {"schedule", "score", "raw"},
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			for range 2 {
				for _, e := range order {
					if _, err := f.handle(context.Background(), event(t, e)); err != nil {
						t.Fatalf("%s: %v", e, err)
					}
				}
			}
			train, err := f.ledger.PendingCauses(context.Background(), "flights", statemachine.LaneTrain)
			if err != nil || len(train) != 2 || train[0].Kind != ledger.CauseRaw || train[0].Key != "flights/raw/2001-01.csv.gz" || train[0].VersionID != "3HL4kqCxf3vjVBH40Nrjfkd" || train[1].Kind != ledger.CauseSchedule {
				t.Errorf("causes of the train lane are %+v, %v", train, err)
			}
			serve, err := f.ledger.PendingCauses(context.Background(), "flights", statemachine.LaneServe)
			if err != nil || len(serve) != 1 || serve[0].Kind != ledger.CauseScore {
				t.Errorf("causes of the serve lane are %+v, %v", serve, err)
			}
			if got := f.states.Executions(); len(got) != 2 {
				t.Errorf("executions are %v, want one a lane", got)
			}
			var in statemachine.RunInput
			if err := json.Unmarshal([]byte(f.states.Input("flights-1")), &in); err != nil || in.Quiet != 60 || in.Run != 1 || in.Pipeline != "flights" {
				t.Errorf("the execution's input is %+v, %v", in, err)
			}
		})
	}
}

// TestTheDailyLookFindsUploadsThatWereNeverTold: it makes the causes that their
// events would have made, which may still come.
func TestTheDailyLookFindsUploadsThatWereNeverTold(t *testing.T) {
	f := newFixture()
	var created struct {
		Detail struct {
			Object struct {
				Version string `json:"version-id"`
			} `json:"object"`
		} `json:"detail"`
	}
	raw := event(t, "raw")
	if err := json.Unmarshal(raw, &created); err != nil {
		t.Fatal(err)
	}
	version := f.s3.Upload(dataBucket, "flights/raw/2001-01.csv.gz", []byte("rows"))
	f.s3.Upload(dataBucket, "flights/score/2001-02.csv.gz", []byte("rows"))
	f.s3.Upload(dataBucket, "flights/score/", nil)
	f.s3.Upload(dataBucket, "elsewhere/raw/x.csv", []byte("rows"))
	late := json.RawMessage(strings.Replace(string(raw), created.Detail.Object.Version, version, 1))
	for _, e := range []json.RawMessage{event(t, "daily"), late, event(t, "daily")} {
		if _, err := f.handle(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	for lane, want := range map[string]string{statemachine.LaneTrain: "flights/raw/2001-01.csv.gz", statemachine.LaneServe: "flights/score/2001-02.csv.gz"} {
		causes, err := f.ledger.PendingCauses(context.Background(), "flights", lane)
		if err != nil || len(causes) != 1 || causes[0].Key != want || causes[0].VersionID == "" {
			t.Errorf("causes of lane %s are %+v, %v, want %s", lane, causes, err, want)
		}
	}
	if got := f.states.Executions(); len(got) != 2 {
		t.Errorf("executions are %v, want one a lane", got)
	}
}

func TestUploadsOfNoPipelineAreRefusedAloud(t *testing.T) {
	tests := map[string]string{
		"unknown-pipeline": `no pipeline is named "trains" (there are: flights)`,
		"wrong-folder":     "reads flights/raw/ (to learn) and flights/score/ (to score), not this place",
		"no-version":       "keeps no versions",
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			if _, err := f.handle(context.Background(), event(t, name)); err != nil {
				t.Fatal(err)
			}
			if len(f.bus.published) != 1 || *f.bus.published[0].DetailType != events.TypeUploadRefused || *f.bus.published[0].Source != events.SourceMillrace || !strings.Contains(*f.bus.published[0].Detail, jsonText(want)) {
				t.Errorf("published %+v, want %q", f.bus.published, want)
			}
			if got := f.states.Executions(); len(got) != 0 {
				t.Errorf("executions are %v", got)
			}
			f.bus.refuse = true
			if _, err := f.handle(context.Background(), event(t, name)); err == nil || !strings.Contains(err.Error(), "ThrottlingException") {
				t.Errorf("a refusal that is not published gives %v", err)
			}
		})
	}
}

// jsonText is text as it stands inside a JSON string.
func jsonText(s string) string {
	raw, _ := json.Marshal(s)
	return strings.Trim(string(raw), `"`)
}

func TestEventsThatAreNoCauses(t *testing.T) {
	tests := map[string]struct {
		raw  json.RawMessage
		want error
	}{
		"a folder":           {event(t, "folder"), nil},
		"an unknown event":   {json.RawMessage(`{"version":"0","source":"aws.ec2","detail-type":"x","detail":{}}`), nil},
		"another function's": {json.RawMessage(`{"version":"0","source":"aws.sagemaker","detail-type":"SageMaker Training Job State Change","detail":{"TrainingJobName":"j","TrainingJobStatus":"Failed"}}`), nil},
		"a malformed event":  {json.RawMessage(`{"version":"0","source":"aws.s3","detail-type":"Object Created","detail":{}}`), events.ErrMalformed},
		"something not JSON": {json.RawMessage(`nonsense`), events.ErrMalformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			if _, err := f.handle(context.Background(), tt.raw); !errors.Is(err, tt.want) {
				t.Errorf("handle gives %v, want %v", err, tt.want)
			}
			if len(f.bus.published) != 0 || len(f.states.Executions()) != 0 {
				t.Error("something came of it")
			}
		})
	}
}
