package main

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

func fixture(t *testing.T) (*handler, *ledger.Ledger, *ledgertest.S3) {
	t.Helper()
	s3 := ledgertest.NewS3()
	led := ledger.New(s3, "ledger")
	find := func(name string) (*definition.Definition, error) {
		if name != "flights" {
			return nil, nil
		}
		return &definition.Definition{Name: name, Approve: definition.Approve{By: "person", Within: time.Hour},
			Train: definition.Train{Resources: definition.Resources{MaxRuntime: time.Hour}, Spot: true, MaxWait: 5 * time.Hour}}, nil
	}
	return &handler{&runs.Planner{Ledger: led, Dataset: &runs.Dataset{Ledger: led, Objects: s3, Bucket: "data"}, Definitions: find, Image: "i@sha256:1", Log: slog.New(slog.DiscardHandler)}}, led, s3
}

// TestAPlanIsMadeOnce: asked again it says the same, whatever was uploaded since.
func TestAPlanIsMadeOnce(t *testing.T) {
	ctx := context.Background()
	h, led, s3 := fixture(t)
	upload := func(key string) {
		t.Helper()
		version := s3.Upload("data", key, []byte(key))
		if _, err := led.AddCause(ctx, ledger.Cause{ID: ledger.ID(key), Pipeline: "flights", Kind: ledger.CauseRaw, Key: key, VersionID: version, Time: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	upload("flights/raw/a.csv")
	upload("flights/raw/b.csv")
	in := statemachine.SnapshotInput{Pipeline: "flights", Run: 1, Lane: statemachine.LaneTrain, Seen: 1}
	early, err := h.handle(ctx, in)
	if err != nil || early.Settled || early.Seen != 2 || early.Round != 1 {
		t.Fatalf("while uploads come it says %+v, %v", early, err)
	}
	in.Seen, in.Round = early.Seen, early.Round
	first, err := h.handle(ctx, in)
	if err != nil || !first.Settled || first.Kind != statemachine.KindTrain || first.ApproveBy != "person" || first.Timeouts["approval"] != 3600 || first.Why != "2 uploads: 2 files to learn from" {
		t.Fatalf("the plan is %+v, %v", first, err)
	}
	if got := first.Timeouts["train"]; got != 6*3600 {
		t.Errorf("training is waited for %d s: the wait for a spot machine, and an hour", got)
	}
	upload("flights/raw/c.csv")
	again, err := h.handle(ctx, in)
	if err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("the second answer is %+v, %v, want %+v", again, err, first)
	}
	if left, err := led.PendingCauses(ctx, "flights", statemachine.LaneTrain); err != nil || len(left) != 1 || left[0].Key != "flights/raw/c.csv" {
		t.Errorf("for the next run wait %+v, %v", left, err)
	}
}

// TestUploadsCannotPutOffARunForEver.
func TestUploadsCannotPutOffARunForEver(t *testing.T) {
	h, led, s3 := fixture(t)
	in := statemachine.SnapshotInput{Pipeline: "flights", Run: 1, Lane: statemachine.LaneTrain}
	for n := 0; ; n++ {
		s3.Upload("data", "flights/raw/"+string(rune('a'+n))+".csv", nil)
		if _, err := led.AddCause(context.Background(), ledger.Cause{ID: ledger.ID(string(rune(n))), Pipeline: "flights", Kind: ledger.CauseRaw}); err != nil {
			t.Fatal(err)
		}
		out, err := h.handle(context.Background(), in)
		if err != nil {
			t.Fatal(err)
		}
		if out.Settled {
			break
		}
		if n > 25 {
			t.Fatal("the run is put off for ever")
		}
		in.Seen, in.Round = out.Seen, out.Round
	}
}

func TestWrongInputsAreInvalid(t *testing.T) {
	tests := map[string]statemachine.SnapshotInput{
		"no pipeline":      {Run: 1, Lane: "train"},
		"no run":           {Pipeline: "flights", Lane: "train"},
		"no lane":          {Pipeline: "flights", Run: 1},
		"unknown pipeline": {Pipeline: "trains", Run: 1, Lane: "train"},
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			h, _, _ := fixture(t)
			_, err := h.handle(context.Background(), in)
			if got, _ := statemachine.FailureName(err); got != statemachine.ErrInvalid {
				t.Errorf("handle gives %v", err)
			}
		})
	}
}
