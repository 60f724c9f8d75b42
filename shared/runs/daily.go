package runs

import (
	"context"
	"errors"
	"log/slog"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/statemachine"
)

// Daily looks after what was never told.
type Daily struct {
	Starter *Starter
	Uploads *Dataset
	Log     *slog.Logger
}

// Look makes a cause of each upload of a pipeline that no event told of, and
// asks for a run in each lane. The causes are those that the events would have
// made: one that still comes changes nothing.
func (d *Daily) Look(ctx context.Context, e events.Envelope, pipeline string) error {
	known, err := d.Starter.Ledger.KnownCauses(ctx, pipeline)
	if err != nil {
		return err
	}
	for _, folder := range []string{RawFolder, ScoreFolder} {
		uploads, err := d.Uploads.list(ctx, pipeline, folder)
		if err != nil {
			return err
		}
		for _, u := range uploads {
			key, version := aws.ToString(u.Key), aws.ToString(u.VersionId)
			id := uploadID(d.Uploads.Bucket, key, version)
			if known[id] {
				continue
			}
			d.Log.WarnContext(ctx, "the upload was not told yet", "pipeline", pipeline, "key", key, "event_id", e.ID)
			cause := ledger.Cause{ID: id, Pipeline: pipeline, Kind: causeKinds[folder], Key: key, VersionID: version, Time: aws.ToTime(u.LastModified).UTC(), EventID: e.ID}
			if _, err := d.Starter.Ledger.AddCause(ctx, cause); err != nil {
				return err
			}
		}
	}
	return errors.Join(d.Starter.Ask(ctx, pipeline, statemachine.LaneTrain), d.Starter.Ask(ctx, pipeline, statemachine.LaneServe))
}

// Look passes on the decision that a pipeline's run waits for, if the registry
// has one whose event never came.
func (v *Versions) Look(ctx context.Context, e events.Envelope, pipeline string) (*ledger.Cause, error) {
	lease, err := v.Ledger.Lease(ctx, pipeline, statemachine.LaneTrain)
	if err != nil || !lease.Held {
		return nil, err
	}
	p, found, err := v.Ledger.Package(ctx, pipeline, lease.Run)
	if err != nil || !found {
		return nil, err
	}
	ver, err := v.Registry.Version(ctx, p.ARN)
	if err != nil || !registry.Decided(ver.Approval) {
		return nil, err
	}
	return v.Decided(ctx, Decision{Pipeline: pipeline, Version: p.Version, Approval: ver.Approval, Comment: ver.Comment, At: ver.Changed, EventID: e.ID})
}
