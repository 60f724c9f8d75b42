package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Lease lets one run at a time work in a lane of a pipeline.
type Lease struct {
	Held    bool            `json:"held"`
	Run     int             `json:"run"`              // the holder, or the last one
	Started bool            `json:"started"`          // its execution is known to exist
	Input   json.RawMessage `json:"input,omitempty"`  // of the execution: what starting it again needs
	Barren  int             `json:"barren,omitempty"` // how many runs in a row ended without a manifest
}

func leaseKey(pipeline, lane string) string { return pipeline + "/lease/" + lane + ".json" }

// Lease reads a lane's lease; the zero Lease when nothing ever ran.
func (l *Ledger) Lease(ctx context.Context, pipeline, lane string) (Lease, error) {
	var lease Lease
	_, _, err := l.read(ctx, leaseKey(pipeline, lane), &lease)
	return lease, err
}

// Claim takes a free lease for a new run, whose execution input is made from its
// number. Won is false when another holds the lease, which is returned then. A
// number once given out is never given out again, so numbers can have gaps.
func (l *Ledger) Claim(ctx context.Context, pipeline, lane string, input func(run int) (json.RawMessage, error)) (lease Lease, won bool, err error) {
	etag, _, err := l.read(ctx, leaseKey(pipeline, lane), &lease)
	if err != nil || lease.Held {
		return lease, false, err
	}
	run, err := l.nextRun(ctx, pipeline)
	if err != nil {
		return lease, false, err
	}
	in, err := input(run)
	if err != nil {
		return lease, false, err
	}
	mine := Lease{Held: true, Run: run, Input: in, Barren: lease.Barren}
	err = l.replace(ctx, leaseKey(pipeline, lane), etag, mine)
	if errors.Is(err, ErrConflict) {
		lease, err = l.Lease(ctx, pipeline, lane)
		return lease, false, err
	}
	return mine, err == nil, err
}

// MarkStarted notes that the run's execution exists.
func (l *Ledger) MarkStarted(ctx context.Context, pipeline, lane string, run int) error {
	return l.changeLease(ctx, pipeline, lane, run, func(lease *Lease) { lease.Started = true })
}

// Free gives up the lease, if the run holds it. A barren run ended before it had
// a manifest, so the causes it was for wait on.
func (l *Ledger) Free(ctx context.Context, pipeline, lane string, run int, barren bool) error {
	return l.changeLease(ctx, pipeline, lane, run, func(lease *Lease) {
		before := lease.Barren
		*lease = Lease{Run: run}
		if barren {
			lease.Barren = before + 1
		}
	})
}

func (l *Ledger) changeLease(ctx context.Context, pipeline, lane string, run int, change func(*Lease)) error {
	for {
		var lease Lease
		etag, found, err := l.read(ctx, leaseKey(pipeline, lane), &lease)
		if err != nil || !found || !lease.Held || lease.Run != run {
			return err
		}
		change(&lease)
		if err := l.replace(ctx, leaseKey(pipeline, lane), etag, lease); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

type counter struct {
	Last int `json:"last"`
}

// nextRun gives out the pipeline's next run number.
func (l *Ledger) nextRun(ctx context.Context, pipeline string) (int, error) {
	key := pipeline + "/counter.json"
	for {
		var c counter
		etag, _, err := l.read(ctx, key, &c)
		if err != nil {
			return 0, err
		}
		c.Last++
		err = l.replace(ctx, key, etag, c)
		if err == nil {
			return c.Last, nil
		}
		if !errors.Is(err, ErrConflict) {
			return 0, fmt.Errorf("number run of %s: %w", pipeline, err)
		}
	}
}
