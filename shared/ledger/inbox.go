package ledger

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/millrace-ml/millrace/statemachine"
)

// Kinds of causes.
const (
	CauseRaw      = "raw"      // rows to learn from were uploaded
	CauseScore    = "score"    // rows to score were uploaded
	CauseSchedule = "schedule" // the pipeline's schedule came due
	CauseRelease  = "release"  // an older version was approved again
)

// Cause is why a run is asked for. The same thing happening gives the same ID,
// however often and late it is told.
type Cause struct {
	ID        string    `json:"id"`
	Pipeline  string    `json:"pipeline"`
	Kind      string    `json:"kind"`
	Key       string    `json:"key,omitempty"`        // raw, score
	VersionID string    `json:"version_id,omitempty"` // raw, score
	Version   int       `json:"version,omitempty"`    // release
	Time      time.Time `json:"time"`                 // of the event
	EventID   string    `json:"event_id"`
}

// Lane is the lane in which a run answers the cause.
func (c Cause) Lane() string {
	if c.Kind == CauseScore || c.Kind == CauseRelease {
		return statemachine.LaneServe
	}
	return statemachine.LaneTrain
}

type taken struct {
	Run   int   `json:"run"`
	Cause Cause `json:"cause"`
}

func inboxKey(c Cause) string      { return c.Pipeline + "/inbox/" + c.Lane() + "/" + c.ID + ".json" }
func takenKey(p, id string) string { return p + "/taken/" + id + ".json" }

// AddCause puts a cause into the inbox, unless it is there or a run has taken
// it: then added is false.
func (l *Ledger) AddCause(ctx context.Context, c Cause) (added bool, err error) {
	var t taken
	if _, found, err := l.read(ctx, takenKey(c.Pipeline, c.ID), &t); err != nil || found {
		return false, err
	}
	err = l.create(ctx, inboxKey(c), c)
	if errors.Is(err, ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// PendingCauses are the causes that no run has taken, oldest first.
func (l *Ledger) PendingCauses(ctx context.Context, pipeline, lane string) ([]Cause, error) {
	keys, err := l.list(ctx, pipeline+"/inbox/"+lane+"/")
	if err != nil {
		return nil, err
	}
	var causes []Cause
	for _, key := range keys {
		var t taken
		_, gone, err := l.read(ctx, takenKey(pipeline, base(key)), &t)
		if err != nil {
			return nil, err
		}
		if gone { // a late duplicate, or a run that died while taking it
			if err := l.remove(ctx, key); err != nil {
				return nil, err
			}
			continue
		}
		var c Cause
		if _, found, err := l.read(ctx, key, &c); err != nil {
			return nil, err
		} else if found {
			causes = append(causes, c)
		}
	}
	sort.Slice(causes, func(i, j int) bool {
		if !causes[i].Time.Equal(causes[j].Time) {
			return causes[i].Time.Before(causes[j].Time)
		}
		return causes[i].ID < causes[j].ID
	})
	return causes, nil
}

// KnownCauses are the IDs of a pipeline's causes that wait or that a run took.
func (l *Ledger) KnownCauses(ctx context.Context, pipeline string) (map[string]bool, error) {
	known := map[string]bool{}
	// In this order: a cause that is taken between the two was seen in the inbox.
	for _, folder := range []string{"inbox", "taken"} {
		keys, err := l.list(ctx, pipeline+"/"+folder+"/")
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			known[base(key)] = true
		}
	}
	return known, nil
}

// TakeCauses says that a run carries the causes, and clears them from the inbox.
func (l *Ledger) TakeCauses(ctx context.Context, run int, causes []Cause) error {
	for _, c := range causes {
		if err := l.create(ctx, takenKey(c.Pipeline, c.ID), taken{Run: run, Cause: c}); err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("take cause %s: %w", c.ID, err)
		}
		if err := l.remove(ctx, inboxKey(c)); err != nil {
			return fmt.Errorf("take cause %s: %w", c.ID, err)
		}
	}
	return nil
}
