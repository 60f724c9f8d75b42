package runs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/recipe"
	"github.com/millrace-ml/millrace/statemachine"
)

// objects is what pinning a dataset needs of S3.
type objects interface {
	ListObjectVersions(context.Context, *s3.ListObjectVersionsInput, ...func(*s3.Options)) (*s3.ListObjectVersionsOutput, error)
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
	CopyObject(context.Context, *s3.CopyObjectInput, ...func(*s3.Options)) (*s3.CopyObjectOutput, error)
}

// Dataset reads the uploads and pins them: each object version is copied once,
// under the SHA-256 of its content, to where the runs' jobs read it. A file that
// is replaced or deleted later changes nothing for a run.
type Dataset struct {
	Ledger  *ledger.Ledger
	Objects objects
	Bucket  string // of the uploads
}

// maxCopy is S3's limit for one CopyObject, in bytes.
const maxCopy = 5 << 30

// Files lists the newest version of each object in a pipeline's folder, sorted
// by key, without what an earlier run refused under the same rules (left).
func (d *Dataset) Files(ctx context.Context, pipeline, folder, rules string) (files []jobfile.DataFile, left []ledger.LeftOut, err error) {
	uploads, err := d.list(ctx, pipeline, folder)
	if err != nil {
		return nil, nil, err
	}
	for _, v := range uploads {
		key, version := aws.ToString(v.Key), aws.ToString(v.VersionId)
		refused, found, err := d.Ledger.Refused(ctx, pipeline, key, version, rules)
		if err != nil {
			return nil, nil, err
		}
		if found {
			left = append(left, refused)
			continue
		}
		files = append(files, jobfile.DataFile{Key: key, VersionID: version, Size: aws.ToInt64(v.Size)})
	}
	return files, left, nil
}

// list gives the newest version of each object in a pipeline's folder, sorted by key.
func (d *Dataset) list(ctx context.Context, pipeline, folder string) (newest []types.ObjectVersion, err error) {
	in := &s3.ListObjectVersionsInput{Bucket: &d.Bucket, Prefix: aws.String(pipeline + "/" + folder + "/")}
	for {
		out, err := d.Objects.ListObjectVersions(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list uploads of %s: %w", pipeline, err)
		}
		for _, v := range out.Versions {
			if aws.ToBool(v.IsLatest) && !strings.HasSuffix(aws.ToString(v.Key), "/") {
				newest = append(newest, v)
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			break
		}
		in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
	}
	sort.Slice(newest, func(i, j int) bool { return aws.ToString(newest[i].Key) < aws.ToString(newest[j].Key) })
	return newest, nil
}

// Pin makes sure of the content of each file and fills in its SHA-256 and path.
func (d *Dataset) Pin(ctx context.Context, pipeline string, files []jobfile.DataFile) error {
	for i := range files {
		if err := d.pin(ctx, pipeline, &files[i]); err != nil {
			return fmt.Errorf("pin %s (version %s): %w", files[i].Key, files[i].VersionID, err)
		}
	}
	return nil
}

// maxName is how long a file's name may be, in bytes: jobs add endings to it, and
// file systems take 255.
const maxName = 200

// unfit tells why a file cannot be given to jobs; "": it can.
func unfit(f jobfile.DataFile) string {
	switch name := path.Base(f.Key); {
	case f.Size > maxCopy:
		return fmt.Sprintf("it has %d bytes, and S3 copies at most %d in one piece: split the upload", f.Size, int64(maxCopy))
	case name == "." || name == "..":
		return fmt.Sprintf("no file can be called %q: upload it under another name", name)
	case len(name) > maxName:
		return fmt.Sprintf("its name has %d bytes, and at most %d are taken: upload it under a shorter one", len(name), maxName)
	}
	return ""
}

// leaveUnfit takes out the files that jobs could not be given, and sees to it that
// no run comes back to them.
func (d *Dataset) leaveUnfit(ctx context.Context, pipeline, rules string, run int, files []jobfile.DataFile) (kept []jobfile.DataFile, left []ledger.LeftOut, err error) {
	for _, f := range files {
		why := unfit(f)
		if why == "" {
			kept = append(kept, f)
			continue
		}
		l := ledger.LeftOut{Key: f.Key, Run: run, Why: why}
		if err := d.Ledger.Refuse(ctx, pipeline, f.VersionID, rules, l); err != nil {
			return nil, nil, err
		}
		left = append(left, l)
	}
	return kept, left, nil
}

func (d *Dataset) pin(ctx context.Context, pipeline string, f *jobfile.DataFile) error {
	digest, found, err := d.Ledger.DigestOf(ctx, pipeline, f.Key, f.VersionID)
	if err != nil {
		return err
	}
	if !found {
		if digest, err = d.digest(ctx, f); err != nil {
			return err
		}
	}
	f.SHA256, f.Size = digest.SHA256, digest.Size
	f.Path = digest.SHA256 + "/" + path.Base(f.Key)
	if found {
		return nil // the digest is kept only once the copy is there
	}
	if err := d.copy(ctx, pipeline, f); err != nil {
		return err
	}
	return d.Ledger.KeepDigest(ctx, pipeline, f.Key, f.VersionID, digest)
}

func (d *Dataset) digest(ctx context.Context, f *jobfile.DataFile) (ledger.Digest, error) {
	out, err := d.Objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &d.Bucket, Key: &f.Key, VersionId: &f.VersionID})
	if awserr.IsNotFound(err) {
		return ledger.Digest{}, gone(err)
	}
	if err != nil {
		return ledger.Digest{}, fmt.Errorf("read object: %w", err)
	}
	defer out.Body.Close()
	h := sha256.New()
	n, err := io.Copy(h, out.Body)
	if err != nil {
		return ledger.Digest{}, fmt.Errorf("read object: %w", err)
	}
	return ledger.Digest{SHA256: hex.EncodeToString(h.Sum(nil)), Size: n}, nil
}

// gone says that a version was deleted since it was listed: looking again helps.
func gone(err error) error {
	return statemachine.Failf(statemachine.ErrTransient, "the version was deleted meanwhile: %w", err)
}

func (d *Dataset) copy(ctx context.Context, pipeline string, f *jobfile.DataFile) error {
	bucket, key := d.Ledger.Bucket(), ObjectsPrefix(pipeline)+f.Path
	head, err := d.Objects.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if err == nil && aws.ToInt64(head.ContentLength) == f.Size {
		return nil
	}
	if awserr.IgnoreNotFound(err) != nil {
		return fmt.Errorf("look for copy: %w", err)
	}
	source := d.Bucket + "/" + escape(f.Key) + "?versionId=" + url.QueryEscape(f.VersionID)
	_, err = d.Objects.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &bucket, Key: &key, CopySource: &source})
	if awserr.IsNotFound(err) {
		return gone(err)
	}
	if err != nil {
		return fmt.Errorf("copy object: %w", err)
	}
	return nil
}

// escape encodes a key for a copy source, where "+" would be read as a blank.
func escape(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.QueryEscape(p), "+", "%20")
	}
	return strings.Join(parts, "/")
}

// ObjectsPrefix is where a pipeline's pinned files are, in the ledger's bucket.
func ObjectsPrefix(pipeline string) string { return pipeline + "/objects/" }

// maxScoreTries is how often a file whose run failed is scored anew before it is
// left to a person.
const maxScoreTries = 3

// ClaimScores gives the files to score to a run: those that no run has scored or
// is scoring. Doing it again for the same run gives the same files.
func (d *Dataset) ClaimScores(ctx context.Context, def definition.Definition, run int) (jobfile.Dataset, error) {
	pipeline := def.Name
	if set, found, err := d.Ledger.Scores(ctx, pipeline, run); err != nil || found {
		return set, err
	}
	rules, err := recipe.RulesDigest(def)
	if err != nil {
		return jobfile.Dataset{}, err
	}
	files, _, err := d.Files(ctx, pipeline, ScoreFolder, rules)
	if err != nil {
		return jobfile.Dataset{}, err
	}
	if files, _, err = d.leaveUnfit(ctx, pipeline, rules, run, files); err != nil {
		return jobfile.Dataset{}, err
	}
	set := jobfile.Dataset{Files: []jobfile.DataFile{}}
	for _, f := range files {
		mine, err := d.claimScore(ctx, pipeline, run, f)
		if err != nil {
			return set, err
		}
		if mine {
			set.Files = append(set.Files, f)
		}
	}
	if err := d.Pin(ctx, pipeline, set.Files); err != nil {
		return set, err
	}
	return set, d.Ledger.CreateScores(ctx, pipeline, run, &set)
}

func (d *Dataset) claimScore(ctx context.Context, pipeline string, run int, f jobfile.DataFile) (bool, error) {
	for range maxRaces {
		s, etag, found, err := d.Ledger.ScoredBy(ctx, pipeline, f.Key, f.VersionID)
		if err != nil {
			return false, err
		}
		if found && s.Run == run {
			return true, nil
		}
		if found {
			end, ended, err := d.Ledger.Ended(ctx, pipeline, s.Run)
			if err != nil {
				return false, err
			}
			if !ended || end.Error == "" || s.Try >= maxScoreTries {
				return false, nil
			}
		}
		err = d.Ledger.ClaimScores(ctx, pipeline, ledger.Scored{Run: run, Try: s.Try + 1, File: f}, etag)
		// The one who was faster may be ourselves, when only the answer was lost.
		if !errors.Is(err, ledger.ErrConflict) {
			return err == nil, err
		}
	}
	return false, statemachine.Failf(statemachine.ErrTransient, "%s is claimed by several runs at once", f.Key)
}
