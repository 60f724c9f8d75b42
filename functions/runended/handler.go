package main

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/runs"
)

type handler struct {
	starter *runs.Starter
	log     *slog.Logger
}

// handle takes an EventBridge event. An error means that the event should come again.
func (h *handler) handle(ctx context.Context, raw json.RawMessage) (any, error) {
	e, detail, err := bootstrap.Event(ctx, h.log, raw)
	if err != nil || detail == nil {
		return nil, err
	}
	d, ok := detail.(events.ExecutionStatusChange)
	if !ok {
		h.log.InfoContext(ctx, "event is not about an execution", "event_id", e.ID, "detail_type", e.DetailType)
		return nil, nil
	}
	return nil, h.starter.Ended(ctx, d)
}
