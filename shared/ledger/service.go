package ledger

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
)

// InService is the version of a pipeline that serves.
type InService struct {
	Version     int                `json:"version"`
	Package     string             `json:"package"`    // ARN
	Model       string             `json:"model"`      // SageMaker model's name
	ModelData   string             `json:"model_data"` // S3 URI of model.tar.gz
	TrainDigest string             `json:"train_digest,omitempty"`
	Run         int                `json:"run"` // the run that put it in service
	Metrics     map[string]float64 `json:"metrics,omitempty"`
	Previous    int                `json:"previous"` // the version before; 0: none
}

// InService reads the version in service; found is false when there is none.
func (l *Ledger) InService(ctx context.Context, pipeline string) (s InService, found bool, err error) {
	_, found, err = l.read(ctx, pipeline+"/in-service.json", &s)
	return s, found, err
}

// PutInService makes a version the one that serves, and tells which was before.
// Doing it again for the same run changes nothing.
func (l *Ledger) PutInService(ctx context.Context, pipeline string, s InService) (InService, error) {
	for {
		var cur InService
		etag, _, err := l.read(ctx, pipeline+"/in-service.json", &cur)
		if err != nil {
			return cur, err
		}
		if cur.Run == s.Run && cur.Version == s.Version {
			return cur, nil
		}
		s.Previous = cur.Version
		if cur.Version == s.Version {
			s.Previous = cur.Previous
		}
		if err := l.replace(ctx, pipeline+"/in-service.json", etag, s); !errors.Is(err, ErrConflict) {
			return s, err
		}
	}
}

// Package is the version that a run registered.
type Package struct {
	ARN     string `json:"arn"`
	Version int    `json:"version"`
	Report  string `json:"report"` // S3 URI
}

// CreatePackage notes a run's version, or reads the one noted before into p.
func (l *Ledger) CreatePackage(ctx context.Context, pipeline string, run int, p *Package) error {
	_, err := once(ctx, l, RunKey(pipeline, run, "package.json"), p)
	return err
}

// Package reads the version that a run registered.
func (l *Ledger) Package(ctx context.Context, pipeline string, run int) (p Package, found bool, err error) {
	_, found, err = l.read(ctx, RunKey(pipeline, run, "package.json"), &p)
	return p, found, err
}

// Decision is what a version waits for, and what became of it.
type Decision struct {
	Version int       `json:"version"`
	Run     int       `json:"run"`     // the run that registered it
	Token   string    `json:"token"`   // of the run that waits; "" before it does
	Status  string    `json:"status"`  // "" while nobody has decided; else Approved | Rejected | Expired
	Decided time.Time `json:"decided"` // when the registry changed, by its own clock
	Comment string    `json:"comment,omitempty"`
}

func versionKey(pipeline string, version int) string {
	return pipeline + "/versions/" + strconv.Itoa(version) + ".json"
}

// Decision reads what is known of a version; the ETag is for SaveDecision.
func (l *Ledger) Decision(ctx context.Context, pipeline string, version int) (d Decision, etag string, found bool, err error) {
	etag, found, err = l.read(ctx, versionKey(pipeline, version), &d)
	return d, etag, found, err
}

// SaveDecision writes a decision over the one with the ETag ("" for none);
// ErrConflict when it is another by now.
func (l *Ledger) SaveDecision(ctx context.Context, pipeline string, d Decision, etag string) error {
	return l.replace(ctx, versionKey(pipeline, d.Version), etag, d)
}

// Scored says which run scores an uploaded file.
type Scored struct {
	Run  int              `json:"run"`
	Try  int              `json:"try"`
	File jobfile.DataFile `json:"file"`
}

// ScoredBy reads which run scores an object version.
func (l *Ledger) ScoredBy(ctx context.Context, pipeline, key, versionID string) (s Scored, etag string, found bool, err error) {
	etag, found, err = l.read(ctx, pipeline+"/scored/"+ID(key, versionID)+".json", &s)
	return s, etag, found, err
}

// ClaimScores makes a run the one that scores an object version; ErrConflict when
// another run was faster.
func (l *Ledger) ClaimScores(ctx context.Context, pipeline string, s Scored, etag string) error {
	return l.replace(ctx, pipeline+"/scored/"+ID(s.File.Key, s.File.VersionID)+".json", etag, s)
}

// CreateScores notes the files that a run scores, or reads those noted before.
func (l *Ledger) CreateScores(ctx context.Context, pipeline string, run int, d *jobfile.Dataset) error {
	_, err := once(ctx, l, RunKey(pipeline, run, "scores.json"), d)
	return err
}

// Scores reads the files that a run scores.
func (l *Ledger) Scores(ctx context.Context, pipeline string, run int) (d jobfile.Dataset, found bool, err error) {
	_, found, err = l.read(ctx, RunKey(pipeline, run, "scores.json"), &d)
	return d, found, err
}

// Refuse notes that a run refused an object version.
func (l *Ledger) Refuse(ctx context.Context, pipeline, versionID string, f LeftOut) error {
	err := l.create(ctx, pipeline+"/refused/"+ID(f.Key, versionID)+".json", f)
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// Refused reads whether an earlier run refused an object version.
func (l *Ledger) Refused(ctx context.Context, pipeline, key, versionID string) (f LeftOut, found bool, err error) {
	_, found, err = l.read(ctx, pipeline+"/refused/"+ID(key, versionID)+".json", &f)
	return f, found, err
}

// Digest is the content of an object version.
type Digest struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes
}

// DigestOf reads the known digest of an object version.
func (l *Ledger) DigestOf(ctx context.Context, pipeline, key, versionID string) (d Digest, found bool, err error) {
	_, found, err = l.read(ctx, pipeline+"/digests/"+ID(key, versionID)+".json", &d)
	return d, found, err
}

// KeepDigest notes the digest of an object version.
func (l *Ledger) KeepDigest(ctx context.Context, pipeline, key, versionID string, d Digest) error {
	return l.put(ctx, pipeline+"/digests/"+ID(key, versionID)+".json", d)
}
