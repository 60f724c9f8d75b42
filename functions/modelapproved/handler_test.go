package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"testing"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/shared/runs/runstest"
	"github.com/millrace-ml/millrace/statemachine"
)

func event(t *testing.T, name string) json.RawMessage {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

type fixture struct {
	*handler
	sm     *runstest.SageMaker
	states *runstest.States
	token  string
	arn    string
}

// waiting is a handler whose version 1 waits for its decision.
func waiting(t *testing.T) fixture {
	t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	led := ledger.New(ledgertest.NewS3(), "ledger")
	states, sm := runstest.NewStates(), runstest.NewSageMaker()
	reg := registry.New(sm)
	find := func(name string) (*definition.Definition, error) {
		if name != "flights" {
			return nil, nil
		}
		return &definition.Definition{Name: name}, nil
	}
	versions := &runs.Versions{Ledger: led, Registry: reg, Answers: states, Log: log}
	arn, version, err := reg.Register(ctx, registry.Candidate{Pipeline: "flights", Run: 1, Image: "i", ModelData: "s3://b/m", Instance: "ml.m5.large"})
	if err != nil {
		t.Fatal(err)
	}
	if err := led.CreatePackage(ctx, "flights", 1, &ledger.Package{ARN: arn, Version: version}); err != nil {
		t.Fatal(err)
	}
	token := states.Token()
	if err := versions.Await(ctx, "flights", 1, token); err != nil {
		t.Fatal(err)
	}
	h := &handler{versions: versions, registry: reg, names: []string{"flights"}, log: log, starter: &runs.Starter{Ledger: led, Executions: states, StateMachine: "arn", Definitions: find, Log: log}}
	return fixture{h, sm, states, token, arn}
}

// TestDecisionsAnswerTheWaitOnce: events come twice, in the wrong order, and for
// changes that are no decisions.
func TestDecisionsAnswerTheWaitOnce(t *testing.T) {
	tests := map[string]struct {
		events     []string
		err        string // told to the state; "-": nothing is
		executions int
	}{
		"approved":                            {[]string{"approved", "approved"}, "", 0},
		"rejected":                            {[]string{"rejected", "rejected"}, statemachine.ErrApprovalRejected, 0},
		"changes that decide nothing":         {[]string{"created", "metadata-changed", "other-group"}, "-", 0},
		"approved, between other changes":     {[]string{"created", "approved", "metadata-changed", "approved"}, "", 0},
		"approved, then rejected, told twice": {[]string{"approved", "rejected", "approved", "rejected"}, "", 0},
		"the later no is told first":          {[]string{"rejected", "approved", "rejected", "approved"}, statemachine.ErrApprovalRejected, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := waiting(t)
			for _, e := range tt.events {
				if _, err := f.handle(context.Background(), event(t, e)); err != nil {
					t.Fatalf("%s: %v", e, err)
				}
			}
			a, ok := f.states.Answer(f.token)
			if ok != (tt.err != "-") || ok && a.Error != tt.err {
				t.Errorf("the state was told %+v, %v", a, ok)
			}
			if got := f.states.Executions(); len(got) != tt.executions {
				t.Errorf("executions are %v", got)
			}
		})
	}
}

// TestTheDailyLookTellsADecisionWhoseEventNeverCame to the run that holds the
// lane, once.
func TestTheDailyLookTellsADecisionWhoseEventNeverCame(t *testing.T) {
	tests := map[string]struct {
		held    bool
		decided string // in the registry; "": nobody has
		want    string // told to the state; "-": nothing is
	}{
		"approved":                    {true, events.Approved, ""},
		"rejected":                    {true, events.Rejected, statemachine.ErrApprovalRejected},
		"nobody has decided":          {true, "", "-"},
		"no run waits for a decision": {false, events.Approved, "-"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := waiting(t)
			if tt.held {
				_, won, err := f.versions.Ledger.Claim(context.Background(), "flights", statemachine.LaneTrain, func(int) (json.RawMessage, error) { return json.RawMessage("{}"), nil })
				if err != nil || !won {
					t.Fatal(won, err)
				}
			}
			if tt.decided != "" {
				f.sm.Decide(f.arn, tt.decided, "it was said")
			}
			for range 2 {
				if _, err := f.handle(context.Background(), event(t, "daily")); err != nil {
					t.Fatal(err)
				}
			}
			a, ok := f.states.Answer(f.token)
			if ok != (tt.want != "-") || ok && a.Error != tt.want {
				t.Errorf("the state was told %+v, %v, want %q", a, ok, tt.want)
			}
			if got := f.states.Executions(); len(got) != 0 {
				t.Errorf("executions are %v", got)
			}
		})
	}
}

// TestADecisionByTheBusGoesIntoTheRegistry: told twice it is one decision, and it
// is the registry's own event that resumes the run.
func TestADecisionByTheBusGoesIntoTheRegistry(t *testing.T) {
	f := waiting(t)
	for range 2 {
		if _, err := f.handle(context.Background(), event(t, "decided-by-bus")); err != nil {
			t.Fatal(err)
		}
	}
	v, err := f.registry.Version(context.Background(), f.arn)
	if err != nil || v.Approval != events.Approved || v.Comment != "Approved by ann: fine" {
		t.Errorf("the version is %+v, %v", v, err)
	}
	if a, ok := f.states.Answer(f.token); ok {
		t.Errorf("the state was told %+v", a)
	}
	unknown := json.RawMessage(`{"version":"0","id":"9","source":"millrace.review","detail-type":"Approval Decided","time":"2026-03-01T10:00:00Z","detail":{"pipeline":"flights","version":9,"decision":"Approved","by":"ann"}}`)
	_, err = f.handle(context.Background(), unknown)
	if name, _ := statemachine.FailureName(err); name != statemachine.ErrInvalid {
		t.Errorf("a decision on a version that is not there gives %v", err)
	}
}

// TestAnEventWithoutTimeOrVersionIsCompleted from the registry and the ARN.
func TestAnEventWithoutTimeOrVersionIsCompleted(t *testing.T) {
	f := waiting(t)
	f.sm.Decide(f.arn, events.Approved, "yes")
	raw := json.RawMessage(`{"version":"0","id":"9","source":"aws.sagemaker","detail-type":"SageMaker Model Package State Change","time":"2026-03-01T10:00:00Z",
		"detail":{"ModelPackageGroupName":"flights","ModelPackageArn":"` + f.arn + `","ModelApprovalStatus":"Approved","UpdatedModelPackageFields":["ModelApprovalStatus"]}}`)
	if _, err := f.handle(context.Background(), raw); err != nil {
		t.Fatal(err)
	}
	if a, ok := f.states.Answer(f.token); !ok || a.Error != "" {
		t.Errorf("the state was told %+v, %v", a, ok)
	}
}

func TestMalformedEventsComeBackAsErrors(t *testing.T) {
	f := waiting(t)
	raw := json.RawMessage(`{"version":"0","source":"aws.sagemaker","detail-type":"SageMaker Model Package State Change","detail":{}}`)
	if _, err := f.handle(context.Background(), raw); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("handle gives %v", err)
	}
	for _, raw := range []string{`{"version":"0","source":"x","detail-type":"y"}`, `{"version":"0","source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`} {
		if _, err := f.handle(context.Background(), json.RawMessage(raw)); err != nil {
			t.Errorf("another event gives %v", err)
		}
	}
}
