package main

import (
	"context"

	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

type handler struct{ planner *runs.Planner }

// handle plans a run; the state machine comes back until the uploads have settled.
func (h *handler) handle(ctx context.Context, in statemachine.SnapshotInput) (statemachine.SnapshotOutput, error) {
	if in.Pipeline == "" || in.Run < 1 || in.Lane == "" {
		return statemachine.SnapshotOutput{}, statemachine.Failf(statemachine.ErrInvalid, "snapshot needs pipeline, run and lane, and got %+v", in)
	}
	return h.planner.Plan(ctx, in)
}
