package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
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

// TestTheEndOfARunLetsOneFollow: a cause came while run 1 worked. Its end is told
// twice and after its beginning, and exactly one run follows.
func TestTheEndOfARunLetsOneFollow(t *testing.T) {
	tests := map[string]struct {
		events []string
		status string // of the end; "": none
		err    string
	}{
		"ended well":                 {[]string{"succeeded", "succeeded"}, events.ExecutionSucceeded, ""},
		"failed":                     {[]string{"failed", "failed"}, events.ExecutionFailed, statemachine.ErrDataRejected},
		"stopped by hand":            {[]string{"aborted", "aborted"}, events.ExecutionAborted, events.ExecutionAborted},
		"its beginning is told late": {[]string{"succeeded", "running", "succeeded"}, events.ExecutionSucceeded, ""},
		"its beginning":              {[]string{"running"}, "", ""},
		"somebody else's execution":  {[]string{"by-hand"}, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ctx, log := context.Background(), slog.New(slog.DiscardHandler)
			led, states := ledger.New(ledgertest.NewS3(), "ledger"), runstest.NewStates()
			find := func(string) (*definition.Definition, error) { return &definition.Definition{Name: "flights"}, nil }
			starter := &runs.Starter{Ledger: led, Executions: states, StateMachine: "arn", Definitions: find, Log: log}
			h := &handler{starter: starter, log: log}
			first := ledger.Cause{ID: "1", Pipeline: "flights", Kind: ledger.CauseRaw, Time: time.Unix(1, 0)}
			if err := starter.Add(ctx, first); err != nil {
				t.Fatal(err)
			}
			if err := led.CreateRun(ctx, &ledger.Run{Pipeline: "flights", Run: 1, Kind: statemachine.KindNothing}); err != nil {
				t.Fatal(err)
			}
			if err := led.TakeCauses(ctx, 1, []ledger.Cause{first}); err != nil {
				t.Fatal(err)
			}
			if err := starter.Add(ctx, ledger.Cause{ID: "2", Pipeline: "flights", Kind: ledger.CauseRaw, Time: time.Unix(2, 0)}); err != nil {
				t.Fatal(err)
			}
			for _, e := range tt.events {
				if _, err := h.handle(ctx, event(t, e)); err != nil {
					t.Fatalf("%s: %v", e, err)
				}
			}
			end, ended, err := led.Ended(ctx, "flights", 1)
			if err != nil || ended != (tt.status != "") || end.Status != tt.status || end.Error != tt.err {
				t.Errorf("the end is %+v, %v, %v", end, ended, err)
			}
			want := 1
			if tt.status != "" {
				want = 2
			}
			if got := states.Executions(); len(got) != want {
				t.Errorf("executions are %v, want %d", got, want)
			}
		})
	}
}

func TestMalformedEventsComeBackAsErrors(t *testing.T) {
	h := &handler{log: slog.New(slog.DiscardHandler)}
	raw := json.RawMessage(`{"version":"0","source":"aws.states","detail-type":"Step Functions Execution Status Change","detail":{}}`)
	if _, err := h.handle(context.Background(), raw); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("handle gives %v", err)
	}
	for _, raw := range []string{`{"version":"0","source":"x","detail-type":"y"}`, `{"version":"0","source":"aws.s3","detail-type":"Object Created","detail":{"bucket":{"name":"b"},"object":{"key":"k"}}}`} {
		if _, err := h.handle(context.Background(), json.RawMessage(raw)); err != nil {
			t.Errorf("another event gives %v", err)
		}
	}
}
