package main

import (
	"context"
	"log/slog"
	"slices"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/recipe"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/shared/runs/runstest"
	"github.com/millrace-ml/millrace/statemachine"
)

func fixture(t *testing.T) (*handler, *runstest.SageMaker, *runstest.States) {
	t.Helper()
	led, sm, states := ledger.New(ledgertest.NewS3(), "ledger"), runstest.NewSageMaker(), runstest.NewStates()
	d := definition.Definition{Name: "flights"}
	r := recipe.New(d, []jobfile.DataFile{{Key: "flights/raw/a.csv", SHA256: "aa", Path: "aa/a.csv"}}, "image@sha256:1")
	if err := led.CreateRun(context.Background(), &ledger.Run{Pipeline: "flights", Run: 1, Kind: statemachine.KindTrain, Definition: d, Recipe: &r}); err != nil {
		t.Fatal(err)
	}
	return &handler{&runs.Steps{Ledger: led, Jobs: sm, Answers: states, Image: "image@sha256:1", Role: "role", Log: slog.New(slog.DiscardHandler)}}, sm, states
}

// TestCalledTwiceItStartsOneJob: the second call, with another token, comes from a
// try of the state after the first one was not heard of.
func TestCalledTwiceItStartsOneJob(t *testing.T) {
	h, sm, states := fixture(t)
	first := states.Token()
	in := statemachine.StartJobInput{Pipeline: "flights", Run: 1, Step: statemachine.StepPrepare, Token: first}
	if _, err := h.handle(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	sm.End("flights-1-prepare-0", func(j *runstest.Job) { j.Exit = `{"ok":true,"rows":1}` }) // its event is lost
	states.Close(first)
	in.Token = states.Token()
	if out, err := h.handle(context.Background(), in); err != nil || out != nil {
		t.Fatal(out, err)
	}
	if got := sm.Jobs(); !slices.Equal(got, []string{"flights-1-prepare-0"}) {
		t.Errorf("jobs are %v", got)
	}
	if a, ok := states.Answer(in.Token); !ok || a.Error != "" {
		t.Errorf("the second try was told %+v, %v", a, ok)
	}
}

func TestWrongInputsAreInvalid(t *testing.T) {
	tests := map[string]statemachine.StartJobInput{
		"no pipeline":             {Run: 1, Step: "prepare", Token: "t"},
		"no run":                  {Pipeline: "flights", Step: "prepare", Token: "t"},
		"no step":                 {Pipeline: "flights", Run: 1, Token: "t"},
		"no token":                {Pipeline: "flights", Run: 1, Step: "prepare"},
		"unknown step":            {Pipeline: "flights", Run: 1, Step: "dance", Token: "t"},
		"a run that is not there": {Pipeline: "flights", Run: 2, Step: "prepare", Token: "t"},
		"training unprepared":     {Pipeline: "flights", Run: 1, Step: "train", Token: "t"},
		"scores with no model":    {Pipeline: "flights", Run: 1, Step: "score", Token: "t"},
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			h, sm, _ := fixture(t)
			_, err := h.handle(context.Background(), in)
			if got, _ := statemachine.FailureName(err); got != statemachine.ErrInvalid || len(sm.Jobs()) != 0 {
				t.Errorf("handle gives %v, jobs %v", err, sm.Jobs())
			}
		})
	}
}
