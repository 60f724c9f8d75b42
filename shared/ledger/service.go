package ledger

import (
	"context"
	"errors"
	"slices"
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
	Baseline    string             `json:"baseline,omitempty"` // S3 URI of the prefix with its training rows' statistics
	Run         int                `json:"run"`                // the run that put it in service
	Metrics     map[string]float64 `json:"metrics,omitempty"`
	Previous    int                `json:"previous"`          // the version before; 0: none
	History     []Release          `json:"history,omitempty"` // oldest first, at most maxHistory
}

// Release is a version that a run put in service.
type Release struct {
	Run      int `json:"run"`
	Version  int `json:"version"`
	Previous int `json:"previous"`
}

// maxHistory bounds how many releases are remembered.
const maxHistory = 50

// ReleaseOf is the release that a run made, if it made one.
func (s InService) ReleaseOf(run int) (Release, bool) {
	for _, r := range s.History {
		if r.Run == run {
			return r, true
		}
	}
	return Release{}, false
}

// InService reads the version in service; found is false when there is none.
func (l *Ledger) InService(ctx context.Context, pipeline string) (s InService, found bool, err error) {
	_, found, err = l.read(ctx, pipeline+"/in-service.json", &s)
	return s, found, err
}

// PutInService makes a version the one that serves, and tells which was before.
// A run does so once: when it tries again after another run has released, that
// one's version stays.
func (l *Ledger) PutInService(ctx context.Context, pipeline string, s InService) (Release, error) {
	for {
		var cur InService
		etag, _, err := l.read(ctx, pipeline+"/in-service.json", &cur)
		if err != nil {
			return Release{}, err
		}
		if r, done := cur.ReleaseOf(s.Run); done {
			return r, nil
		}
		s.Previous = cur.Version
		if cur.Version == s.Version {
			s.Previous = cur.Previous
		}
		r := Release{Run: s.Run, Version: s.Version, Previous: s.Previous}
		s.History = append(slices.Clone(cur.History), r)
		if over := len(s.History) - maxHistory; over > 0 {
			s.History = s.History[over:]
		}
		if err := l.replace(ctx, pipeline+"/in-service.json", etag, s); !errors.Is(err, ErrConflict) {
			return r, err
		}
	}
}

// Uses of the version in service by a run.
const (
	AsChampion = "champion" // to be beaten
	AsServing  = "serving"  // to score with
	AsLast     = "last"     // to compare a dataset with
)

// Pinned is the version in service when a run first looked.
type Pinned struct {
	Found bool `json:"found"`
	InService
}

// PinService notes the version in service for one use by a run, or reads the one
// noted before: a release in the other lane changes nothing for the run.
func (l *Ledger) PinService(ctx context.Context, pipeline string, run int, use string) (Pinned, error) {
	key := RunKey(pipeline, run, use+".json")
	var p Pinned
	if _, found, err := l.read(ctx, key, &p); err != nil || found {
		return p, err
	}
	s, found, err := l.InService(ctx, pipeline)
	if err != nil {
		return p, err
	}
	s.History = nil
	p = Pinned{Found: found, InService: s}
	_, err = once(ctx, l, key, &p)
	return p, err
}

// Package is the version that a run registered.
type Package struct {
	ARN     string `json:"arn"`
	Version int    `json:"version"`
	Report  string `json:"report"` // S3 URI
	// Approved by policy when it was registered.
	Approved bool `json:"approved,omitempty"`
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
	Tokens  []string  `json:"tokens"`  // of the run that waits, the newest last; none before it does
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

// Review is the newest decision on a version that came by the approvals bus.
type Review struct {
	EventID  string    `json:"event_id"`
	Time     time.Time `json:"time"`
	Decision string    `json:"decision"`
	Comment  string    `json:"comment"`
	Applied  bool      `json:"applied"` // it is in the registry
}

func reviewKey(pipeline string, version int) string {
	return pipeline + "/reviews/" + strconv.Itoa(version) + ".json"
}

// Review reads a version's newest review; the ETag is for SaveReview.
func (l *Ledger) Review(ctx context.Context, pipeline string, version int) (r Review, etag string, found bool, err error) {
	etag, found, err = l.read(ctx, reviewKey(pipeline, version), &r)
	return r, etag, found, err
}

// SaveReview writes a review over the one with the ETag ("" for none);
// ErrConflict when it is another by now.
func (l *Ledger) SaveReview(ctx context.Context, pipeline string, version int, r Review, etag string) error {
	return l.replace(ctx, reviewKey(pipeline, version), etag, r)
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

// Refuse notes that a run refused an object version under a digest of rules.
func (l *Ledger) Refuse(ctx context.Context, pipeline, versionID, rules string, f LeftOut) error {
	err := l.create(ctx, pipeline+"/refused/"+ID(f.Key, versionID, rules)+".json", f)
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// Refused reads whether an earlier run refused an object version under the rules.
func (l *Ledger) Refused(ctx context.Context, pipeline, key, versionID, rules string) (f LeftOut, found bool, err error) {
	_, found, err = l.read(ctx, pipeline+"/refused/"+ID(key, versionID, rules)+".json", &f)
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
