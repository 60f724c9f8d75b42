package main

import (
	"context"

	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

type handler struct{ steps *runs.Steps }

// handle begins a step. Its result goes to the task token, not to the caller.
func (h *handler) handle(ctx context.Context, in statemachine.StartJobInput) (any, error) {
	if in.Pipeline == "" || in.Run < 1 || in.Step == "" || in.Token == "" {
		return nil, statemachine.Failf(statemachine.ErrInvalid, "startjob needs pipeline, run, step and token, and got %s/%d step %q", in.Pipeline, in.Run, in.Step)
	}
	return nil, h.steps.Begin(ctx, in)
}
