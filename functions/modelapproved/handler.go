package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/shared/runs"
)

type handler struct {
	versions *runs.Versions
	starter  *runs.Starter
	registry *registry.Registry
	names    []string // of the pipelines
	log      *slog.Logger
}

// handle takes an EventBridge event. An error means that the event should come again.
func (h *handler) handle(ctx context.Context, raw json.RawMessage) (any, error) {
	e, detail, err := bootstrap.Event(ctx, h.log, raw)
	if err != nil || detail == nil {
		return nil, err
	}
	switch d := detail.(type) {
	case events.ModelPackageStateChange:
		return nil, h.changed(ctx, e, d)
	case events.ApprovalDecided:
		return nil, h.versions.Review(ctx, e, d)
	case events.Daily:
		var errs []error
		for _, pipeline := range h.names {
			cause, err := h.versions.Look(ctx, e, pipeline)
			errs = append(errs, err, h.ask(ctx, cause))
		}
		return nil, errors.Join(errs...)
	}
	h.log.InfoContext(ctx, "event is not a decision", "event_id", e.ID, "detail_type", e.DetailType)
	return nil, nil
}

func (h *handler) changed(ctx context.Context, e events.Envelope, d events.ModelPackageStateChange) error {
	if !d.ApprovalChanged() {
		h.log.InfoContext(ctx, "model package changed in something else", "event_id", e.ID, "model_package", d.ARN)
		return nil
	}
	if def, err := h.starter.Definitions(d.Group); err != nil || def == nil {
		h.log.InfoContext(ctx, "model package is of no pipeline", "event_id", e.ID, "model_package", d.ARN)
		return err
	}
	version := d.Version
	if version < 1 {
		var err error
		if version, err = registry.VersionOf(d.ARN); err != nil {
			return err
		}
	}
	at := d.Decided()
	if at.IsZero() { // the event does not say when: the registry does
		v, err := h.registry.Version(ctx, d.ARN)
		if err != nil {
			return err
		}
		at = v.Changed
	}
	cause, err := h.versions.Decided(ctx, runs.Decision{Pipeline: d.Group, Version: version, Approval: d.Approval, Comment: d.Description, At: at, EventID: e.ID})
	if err != nil {
		return err
	}
	return h.ask(ctx, cause)
}

// ask asks for the run that a decision needs, if it needs one.
func (h *handler) ask(ctx context.Context, cause *ledger.Cause) error {
	if cause == nil {
		return nil
	}
	return h.starter.Add(ctx, *cause)
}
