package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/recipe"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/shared/runs/runstest"
	"github.com/millrace-ml/millrace/statemachine"
)

// evaluated is a handler whose run 1 is ready to be registered.
func evaluated(t *testing.T) (*handler, *runstest.SageMaker, *runstest.States) {
	t.Helper()
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	s3 := ledgertest.NewS3()
	led, sm, states := ledger.New(s3, "ledger"), runstest.NewSageMaker(), runstest.NewStates()
	d := definition.Definition{Name: "flights", Approve: definition.Approve{By: "person"}}
	r := recipe.New(d, []jobfile.DataFile{{Key: "flights/raw/a.csv", SHA256: "aa"}}, "image@sha256:1")
	if err := led.CreateRun(ctx, &ledger.Run{Pipeline: "flights", Run: 1, Kind: statemachine.KindTrain, Definition: d, Recipe: &r, Digest: "d1"}); err != nil {
		t.Fatal(err)
	}
	for step, outputs := range map[string]map[string]string{"prepare": {"baseline": "s3://ledger/b/"}, "train": {"model": "s3://ledger/m.tar.gz"}, "evaluate": {"evaluation": "s3://ledger/e/"}} {
		if err := led.SaveStep(ctx, ledger.Step{Pipeline: "flights", Run: 1, Step: step, Status: ledger.StepDone, Outputs: outputs, Facts: map[string]any{"why": "better"}}, ""); err != nil {
			t.Fatal(err)
		}
	}
	return &handler{&runs.Versions{Ledger: led, Registry: registry.New(sm), Answers: states, Dataset: &runs.Dataset{Ledger: led, Objects: s3, Bucket: "data"}, Role: "role", Log: log}}, sm, states
}

// TestEachActionTwice: Step Functions may call again after a call whose answer
// it did not hear, and must be told the same.
func TestEachActionTwice(t *testing.T) {
	h, sm, states := evaluated(t)
	do := func(action, token string) string {
		t.Helper()
		var first string
		for n := range 2 {
			out, err := h.handle(context.Background(), statemachine.RegisterInput{Pipeline: "flights", Run: 1, Action: action, Token: token})
			if err != nil {
				t.Fatalf("%s: %v", action, err)
			}
			raw, _ := json.Marshal(out)
			if n == 1 && string(raw) != first {
				t.Errorf("%s says %s, then %s", action, first, raw)
			}
			first = string(raw)
		}
		return first
	}
	const arn = "arn:aws:sagemaker:us-east-1:000000000000:model-package/flights/1"
	if got, want := do("register", ""), `{"arn":"`+arn+`","version":1,"report":"s3://ledger/e/report.html"}`; got != want {
		t.Errorf("register says %s, want %s", got, want)
	}
	token := states.Token()
	do("await", token)
	if a, ok := states.Answer(token); ok {
		t.Errorf("before a decision the state was told %+v", a)
	}
	sm.Decide(arn, "Approved", "yes")
	do("await", token)
	if a, ok := states.Answer(token); !ok || a.Error != "" {
		t.Errorf("the state was told %+v, %v", a, ok)
	}
	if got, want := do("release", ""), `{"version":1,"model":"flights-v1","previous":0,"score":false}`; got != want {
		t.Errorf("release says %s, want %s", got, want)
	}
	if got := sm.Packages(); len(got) != 1 {
		t.Errorf("versions are %v", got)
	}
}

func TestNothingIsReleasedThatIsNotApproved(t *testing.T) {
	h, sm, _ := evaluated(t)
	in := statemachine.RegisterInput{Pipeline: "flights", Run: 1, Action: statemachine.ActionRegister}
	if _, err := h.handle(context.Background(), in); err != nil {
		t.Fatal(err)
	}
	in.Action = statemachine.ActionRelease
	for _, approval := range []string{"", "Rejected"} {
		if approval != "" {
			sm.Decide("arn:aws:sagemaker:us-east-1:000000000000:model-package/flights/1", approval, "no")
		}
		_, err := h.handle(context.Background(), in)
		if name, _ := statemachine.FailureName(err); name != statemachine.ErrApprovalRejected {
			t.Errorf("releasing a version that is %q gives %v", approval, err)
		}
	}
}

func TestWrongInputsAreInvalid(t *testing.T) {
	tests := map[string]statemachine.RegisterInput{
		"no pipeline":                 {Run: 1, Action: "register"},
		"no run":                      {Pipeline: "flights", Action: "register"},
		"unknown action":              {Pipeline: "flights", Run: 1, Action: "deploy"},
		"a wait without a token":      {Pipeline: "flights", Run: 1, Action: "await"},
		"a run that is not there":     {Pipeline: "flights", Run: 9, Action: "register"},
		"a wait for no version":       {Pipeline: "flights", Run: 9, Action: "await", Token: "t"},
		"an expiry of no version":     {Pipeline: "flights", Run: 9, Action: "expire"},
		"a release of no run":         {Pipeline: "flights", Run: 9, Action: "release"},
		"a release before a register": {Pipeline: "flights", Run: 1, Action: "release"},
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			h, _, _ := evaluated(t)
			_, err := h.handle(context.Background(), in)
			if got, _ := statemachine.FailureName(err); got != statemachine.ErrInvalid {
				t.Errorf("handle gives %v", err)
			}
		})
	}
}
