package runs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
)

// Folders of a pipeline in the data bucket.
const (
	RawFolder   = "raw"
	ScoreFolder = "score"
)

// causeKinds are the kinds of causes by the folder of the upload.
var causeKinds = map[string]string{RawFolder: ledger.CauseRaw, ScoreFolder: ledger.CauseScore}

// uploadID names the cause of an uploaded object version.
func uploadID(bucket, key, version string) string { return ledger.ID(bucket, key, version) }

// Refusal says why an upload belongs to no pipeline, for a person.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

// CauseOf makes the cause of an uploaded object. The error is a *Refusal when
// the object belongs to no pipeline; a "folder" object gives no cause and no error.
func CauseOf(e events.Envelope, d events.ObjectCreated, definitions Definitions, names []string) (*ledger.Cause, error) {
	key := d.Object.Key
	if strings.HasSuffix(key, "/") && d.Object.Size == 0 {
		return nil, nil
	}
	pipeline, rest, _ := strings.Cut(key, "/")
	folder, file, _ := strings.Cut(rest, "/")
	def, err := definitions(pipeline)
	if err != nil {
		return nil, err
	}
	if def == nil {
		return nil, &Refusal{fmt.Sprintf("%s: no pipeline is named %q (there are: %s). Upload to <pipeline>/%s/ or <pipeline>/%s/",
			key, pipeline, strings.Join(names, ", "), RawFolder, ScoreFolder)}
	}
	kind := causeKinds[folder]
	if kind == "" || file == "" {
		return nil, &Refusal{fmt.Sprintf("%s: pipeline %s reads %s/%s/ (to learn) and %s/%s/ (to score), not this place", key, pipeline, pipeline, RawFolder, pipeline, ScoreFolder)}
	}
	version := d.Object.VersionID
	if version == "" {
		return nil, &Refusal{fmt.Sprintf("%s: the bucket %s keeps no versions, so the object cannot be pinned. Turn versioning on", key, d.Bucket.Name)}
	}
	return &ledger.Cause{ID: uploadID(d.Bucket.Name, key, version), Pipeline: pipeline, Kind: kind, Key: key, VersionID: version, Time: e.Time.UTC(), EventID: e.ID}, nil
}

// CauseOfSchedule makes the cause of a schedule that came due.
func CauseOfSchedule(e events.Envelope, d events.Scheduled) *ledger.Cause {
	due := d.Due.UTC()
	return &ledger.Cause{ID: ledger.ID("schedule", d.Pipeline, due.Format(time.RFC3339)), Pipeline: d.Pipeline, Kind: ledger.CauseSchedule, Time: due, EventID: e.ID}
}

// Add puts a cause into the inbox and asks for a run. A cause that is known
// already may still need one: whoever told it first may have died before asking.
func (s *Starter) Add(ctx context.Context, c ledger.Cause) error {
	added, err := s.Ledger.AddCause(ctx, c)
	if err != nil {
		return err
	}
	if !added {
		s.Log.InfoContext(ctx, "cause known already", "pipeline", c.Pipeline, "cause", c.ID, "key", c.Key)
	}
	return s.Ask(ctx, c.Pipeline, c.Lane())
}
