package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/runs"
)

// bus is where refusals are published.
type bus interface {
	PutEvents(context.Context, *eventbridge.PutEventsInput, ...func(*eventbridge.Options)) (*eventbridge.PutEventsOutput, error)
}

type handler struct {
	starter *runs.Starter
	daily   *runs.Daily
	names   []string // of the pipelines
	bus     bus
	to      string // name of the bus
	log     *slog.Logger
}

// handle takes an EventBridge event. An error means that the event should come again.
func (h *handler) handle(ctx context.Context, raw json.RawMessage) (any, error) {
	e, detail, err := bootstrap.Event(ctx, h.log, raw)
	if err != nil || detail == nil {
		return nil, err
	}
	switch d := detail.(type) {
	case events.ObjectCreated:
		return nil, h.uploaded(ctx, e, d)
	case events.Scheduled:
		return nil, h.starter.Add(ctx, *runs.CauseOfSchedule(e, d))
	case events.Daily:
		var errs []error
		for _, pipeline := range h.names {
			errs = append(errs, h.daily.Look(ctx, e, pipeline))
		}
		return nil, errors.Join(errs...)
	}
	h.log.InfoContext(ctx, "event is not for this function", "event_id", e.ID, "detail_type", e.DetailType)
	return nil, nil
}

func (h *handler) uploaded(ctx context.Context, e events.Envelope, d events.ObjectCreated) error {
	cause, err := runs.CauseOf(e, d, h.starter.Definitions, h.names)
	var refusal *runs.Refusal
	if errors.As(err, &refusal) {
		h.log.WarnContext(ctx, "upload refused", "event_id", e.ID, "key", d.Object.Key, "reason", refusal.Reason)
		return h.refuse(ctx, events.UploadRefused{Bucket: d.Bucket.Name, Key: d.Object.Key, VersionID: d.Object.VersionID, Reason: refusal.Reason})
	}
	if err != nil || cause == nil {
		return err
	}
	return h.starter.Add(ctx, *cause)
}

func (h *handler) refuse(ctx context.Context, d events.UploadRefused) error {
	detail, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode refusal of %s: %w", d.Key, err)
	}
	out, err := h.bus.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{{
		Source: aws.String(events.SourceMillrace), DetailType: aws.String(events.TypeUploadRefused), Detail: aws.String(string(detail)), EventBusName: &h.to}}})
	if err != nil {
		return fmt.Errorf("publish refusal of %s: %w", d.Key, err)
	}
	if out.FailedEntryCount > 0 {
		return fmt.Errorf("publish refusal of %s: %s: %s", d.Key, aws.ToString(out.Entries[0].ErrorCode), aws.ToString(out.Entries[0].ErrorMessage))
	}
	return nil
}
