package main

import (
	"context"

	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

type handler struct{ versions *runs.Versions }

// handle does one of the four things that concern a run's version.
func (h *handler) handle(ctx context.Context, in statemachine.RegisterInput) (any, error) {
	if in.Pipeline == "" || in.Run < 1 {
		return nil, statemachine.Failf(statemachine.ErrInvalid, "register needs pipeline and run, and got %q and %d", in.Pipeline, in.Run)
	}
	switch in.Action {
	case statemachine.ActionRegister:
		return h.versions.Register(ctx, in.Pipeline, in.Run)
	case statemachine.ActionAwait:
		if in.Token == "" {
			return nil, statemachine.Failf(statemachine.ErrInvalid, "waiting for a decision on %s/%d needs a token", in.Pipeline, in.Run)
		}
		return nil, h.versions.Await(ctx, in.Pipeline, in.Run, in.Token)
	case statemachine.ActionExpire:
		return h.versions.Expire(ctx, in.Pipeline, in.Run)
	case statemachine.ActionRelease:
		return h.versions.Release(ctx, in.Pipeline, in.Run)
	}
	return nil, statemachine.Failf(statemachine.ErrInvalid, "register knows no action %q", in.Action)
}
