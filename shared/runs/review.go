package runs

import (
	"context"
	"errors"
	"fmt"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/statemachine"
)

// Review puts a decision that came by the approvals bus into the registry, whose
// own event then resumes the run. Each counts once and in the order of their
// times: a yes that comes late or again does not undo a no.
func (v *Versions) Review(ctx context.Context, e events.Envelope, d events.ApprovalDecided) error {
	arn, found, err := v.Registry.ARN(ctx, d.Pipeline, d.Version)
	if err != nil {
		return err
	}
	if !found {
		return statemachine.Failf(statemachine.ErrInvalid, "%s has no version %d to decide on", d.Pipeline, d.Version)
	}
	r := ledger.Review{EventID: e.ID, Time: e.Time.UTC(), Decision: d.Decision, Comment: registry.Text(fmt.Sprintf("%s by %s: %s", d.Decision, d.By, d.Comment))}
	applied := false
	for range maxRaces {
		err := v.review(ctx, arn, d, r, &applied)
		if !errors.Is(err, ledger.ErrConflict) {
			return err
		}
	}
	return statemachine.Failf(statemachine.ErrTransient, "the review of %s version %d is written by several at once", d.Pipeline, d.Version)
}

func (v *Versions) review(ctx context.Context, arn string, d events.ApprovalDecided, r ledger.Review, applied *bool) error {
	last, etag, found, err := v.Ledger.Review(ctx, d.Pipeline, d.Version)
	if err != nil {
		return err
	}
	switch {
	case found && last.EventID == r.EventID && last.Applied:
		v.Log.InfoContext(ctx, "review known already", "pipeline", d.Pipeline, "version", d.Version, "event_id", r.EventID)
		return nil
	case found && last.EventID != r.EventID && older(r, last):
		v.Log.InfoContext(ctx, "review is older than the one that counts", "pipeline", d.Pipeline, "version", d.Version, "event_id", r.EventID)
		if *applied { // it overtook the other one on the way to the registry
			return v.decide(ctx, arn, last)
		}
		return nil
	case !found || last.EventID != r.EventID:
		if err := v.Ledger.SaveReview(ctx, d.Pipeline, d.Version, r, etag); err != nil {
			return err
		}
		if last, etag, _, err = v.Ledger.Review(ctx, d.Pipeline, d.Version); err != nil {
			return err
		}
		if last.EventID != r.EventID {
			return ledger.ErrConflict
		}
	}
	if err := v.decide(ctx, arn, r); err != nil {
		return err
	}
	*applied, r.Applied = true, true
	return v.Ledger.SaveReview(ctx, d.Pipeline, d.Version, r, etag)
}

// decide puts a review into the registry, unless it is there: saying it again
// would look like a new decision.
func (v *Versions) decide(ctx context.Context, arn string, r ledger.Review) error {
	ver, err := v.Registry.Version(ctx, arn)
	if err != nil || ver.Approval == r.Decision && ver.Comment == r.Comment {
		return err
	}
	return v.Registry.Decide(ctx, arn, r.Decision, r.Comment)
}

// older reports whether a review comes before the last one; within a second,
// which is all that an event's time tells, a no is not undone by a yes.
func older(r, last ledger.Review) bool {
	return r.Time.Before(last.Time) || r.Time.Equal(last.Time) && last.Decision == events.Rejected
}
