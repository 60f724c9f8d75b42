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
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/recipe"
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

// waiting is a handler whose prepare job of run 1 runs, and the token that waits.
func waiting(t *testing.T) (h *handler, sm *runstest.SageMaker, states *runstest.States, token string) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	led := ledger.New(ledgertest.NewS3(), "ledger")
	states, sm = runstest.NewStates(), runstest.NewSageMaker()
	d := definition.Definition{Name: "flights"}
	r := recipe.New(d, []jobfile.DataFile{{Key: "flights/raw/a.csv", SHA256: "aa", Path: "aa/a.csv"}}, "image@sha256:1")
	if err := led.CreateRun(context.Background(), &ledger.Run{Pipeline: "flights", Run: 1, Kind: statemachine.KindTrain, Definition: d, Recipe: &r}); err != nil {
		t.Fatal(err)
	}
	steps := &runs.Steps{Ledger: led, Jobs: sm, Answers: states, Image: "image@sha256:1", Role: "role", Log: log}
	token = states.Token()
	if err := steps.Begin(context.Background(), statemachine.StartJobInput{Pipeline: "flights", Run: 1, Step: statemachine.StepPrepare, Token: token}); err != nil {
		t.Fatal(err)
	}
	return &handler{steps: steps, log: log}, sm, states, token
}

// TestTheEndOfAJobAnswersItsStateOnce: events come twice, early, and about jobs
// that nobody waits for.
func TestTheEndOfAJobAnswersItsStateOnce(t *testing.T) {
	h, sm, states, token := waiting(t)
	for _, name := range []string{"processing-completed", "processing-running", "processing-of-nobody", "training-failed", "transform-stopped"} {
		if _, err := h.handle(context.Background(), event(t, name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if a, ok := states.Answer(token); ok {
		t.Fatalf("the state was told %+v while the job runs: only SageMaker knows", a)
	}
	sm.End("flights-1-prepare-0", func(j *runstest.Job) { j.Exit = `{"ok":true,"rows":7}` })
	for _, name := range []string{"processing-completed", "processing-completed", "processing-running"} {
		if _, err := h.handle(context.Background(), event(t, name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	var out statemachine.StepOutput
	a, ok := states.Answer(token)
	if err := json.Unmarshal([]byte(a.Output), &out); !ok || err != nil || out.Job != "flights-1-prepare-0" || out.Facts["rows"] != 7.0 {
		t.Errorf("the state was told %+v, %v, %v", a, ok, err)
	}
}

func TestMalformedEventsComeBackAsErrors(t *testing.T) {
	h, _, _, _ := waiting(t)
	raw := json.RawMessage(`{"version":"0","source":"aws.sagemaker","detail-type":"SageMaker Training Job State Change","detail":{}}`)
	if _, err := h.handle(context.Background(), raw); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("handle gives %v", err)
	}
	if _, err := h.handle(context.Background(), json.RawMessage(`{"version":"0","source":"x","detail-type":"y"}`)); err != nil {
		t.Errorf("an unknown event gives %v", err)
	}
}
