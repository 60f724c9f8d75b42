// Package events says what can happen: one file per event, with its source,
// detail-type, typed detail and pattern. It imports nothing but the standard
// library, so that functions, infra and CLI agree on every name.
//
// Events come at least once, in any order, late or never. Decoding is lenient
// where AWS's own payloads differ from its documentation (numbers or strings
// for times, null for what is absent) and strict about what a decision needs.
package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrUnknown says that an event is of no kind that Millrace knows: a counted
// no-op for a handler, never a failure.
var ErrUnknown = errors.New("unknown event")

// ErrMalformed says that an event of a known kind lacks what it must have:
// trying again will not help.
var ErrMalformed = errors.New("malformed event")

// Envelope is EventBridge's, version "0".
type Envelope struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       time.Time       `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"`
}

// Pattern is an EventBridge event pattern.
type Pattern map[string]any

// kind is what identifies an event's type.
type kind struct{ source, detailType string }

// decoders by (source, detail-type); each validates what its readers rely on.
var decoders = map[kind]func(Envelope) (any, error){
	{SourceS3, TypeObjectCreated}:               decodeAs[ObjectCreated],
	{SourceSageMaker, TypeProcessingJob}:        decodeProcessing,
	{SourceSageMaker, TypeTrainingJob}:          decodeTraining,
	{SourceSageMaker, TypeTransformJob}:         decodeTransform,
	{SourceSageMaker, TypeModelPackage}:         decodeAs[ModelPackageStateChange],
	{SourceStates, TypeExecutionStatus}:         decodeAs[ExecutionStatusChange],
	{SourceSchedule, TypeScheduled}:             decodeScheduled,
	{SourceMillrace, TypeRunStarted}:            decodeAs[RunStarted],
	{SourceMillrace, TypeApprovalRequested}:     decodeAs[ApprovalRequested],
	{SourceMillrace, TypeModelReleased}:         decodeAs[ModelReleased],
	{SourceMillrace, TypeRunCompleted}:          decodeAs[RunCompleted],
	{SourceMillrace, TypeRunFailed}:             decodeAs[RunFailed],
	{SourceMillrace, TypeUploadRefused}:         decodeAs[UploadRefused],
	{SourceMillraceReview, TypeApprovalDecided}: decodeAs[ApprovalDecided],
}

// validator is a detail that can tell what it lacks.
type validator interface{ validate() error }

// Decode reads an envelope and its detail, one of this package's detail types
// (a value, not a pointer). An event of no known kind gives ErrUnknown, one
// that lacks what it must have ErrMalformed; both come with the envelope.
func Decode(raw []byte) (Envelope, any, error) {
	var e Envelope
	if err := json.Unmarshal(raw, &e); err != nil {
		return e, nil, fmt.Errorf("decode event: %w: %w", ErrMalformed, err)
	}
	decode, ok := decoders[kind{e.Source, e.DetailType}]
	if !ok || e.Version != "0" {
		return e, nil, fmt.Errorf("decode event %s: %w: version %q, source %q, detail-type %q", e.ID, ErrUnknown, e.Version, e.Source, e.DetailType)
	}
	detail, err := decode(e)
	if err != nil {
		return e, nil, fmt.Errorf("decode event %s (%s): %w: %w", e.ID, e.DetailType, ErrMalformed, err)
	}
	return e, detail, nil
}

func decodeAs[T validator](e Envelope) (any, error) {
	var d T
	if err := json.Unmarshal(e.Detail, &d); err != nil {
		return nil, err
	}
	return d, d.validate()
}

// require names the first of the (name, value) pairs that is empty.
func require(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return fmt.Errorf("detail has no %s", pairs[i])
		}
	}
	return nil
}
