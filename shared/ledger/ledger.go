// Package ledger keeps what Millrace knows about its pipelines and runs in one
// S3 bucket: the inbox of causes, the lease that lets one run at a time do a
// thing, run numbers, manifests, waiting task tokens, results and what is in
// service.
//
// S3's conditional writes are the only lock. Every write here may be made twice
// by a handler that died in between, so each is either conditional (the second
// try finds what the first one made) or says the same thing again. What is
// written once (causes, manifests, results) is never changed.
//
//	<pipeline>/counter.json                  the last run number given out
//	<pipeline>/lease/<lane>.json             who may run, one a lane
//	<pipeline>/inbox/<lane>/<cause>.json     causes that no run has taken yet
//	<pipeline>/taken/<cause>.json            which run took a cause
//	<pipeline>/digests/<id>.json             the SHA-256 of an object version
//	<pipeline>/objects/<sha256>/<name>       uploaded files, pinned by content
//	<pipeline>/runs/<n>/run.json             manifest: causes, definition, dataset, recipe
//	<pipeline>/runs/<n>/steps/<step>.json    a step's job, its token, its result
//	<pipeline>/runs/<n>/package.json         the version that the run registered
//	<pipeline>/runs/<n>/scores.json          the files that the run scores
//	<pipeline>/runs/<n>/<use>.json           the version in service as the run uses it (champion, serving)
//	<pipeline>/runs/<n>/end.json             how the run ended
//	<pipeline>/runs/<n>/<step>/…             what the run's jobs read and wrote
//	<pipeline>/results/<digest>.json         a step's result by the digest of all it read
//	<pipeline>/trained/<digest>.json         the run that trained from a training digest
//	<pipeline>/versions/<v>.json             who waits for the decision on a version
//	<pipeline>/reviews/<v>.json              the newest decision that came by the approvals bus
//	<pipeline>/scored/<id>.json              which run scored an uploaded file
//	<pipeline>/refused/<id>.json             which run refused an uploaded file, and why
//	<pipeline>/in-service.json               the version in service
//	waiting/<job>.json                       which run and step a job belongs to
package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace-ml/millrace/shared/awserr"
)

// ErrConflict says that somebody else wrote first: read again and decide anew.
var ErrConflict = errors.New("somebody else wrote first")

// maxDocument bounds a ledger document, in bytes.
const maxDocument = 64 << 20

// api is what the ledger needs of S3.
type api interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
	DeleteObject(context.Context, *s3.DeleteObjectInput, ...func(*s3.Options)) (*s3.DeleteObjectOutput, error)
	ListObjectsV2(context.Context, *s3.ListObjectsV2Input, ...func(*s3.Options)) (*s3.ListObjectsV2Output, error)
}

// Ledger is the ledger in one bucket.
type Ledger struct {
	s3     api
	bucket string
}

// New makes a Ledger of a bucket, which must be versioned or not, but must take
// conditional writes.
func New(client api, bucket string) *Ledger { return &Ledger{s3: client, bucket: bucket} }

// Bucket is the ledger's bucket.
func (l *Ledger) Bucket() string { return l.bucket }

// URI is the S3 URI of a key of the ledger.
func (l *Ledger) URI(key string) string { return "s3://" + l.bucket + "/" + key }

// Key is the key of an S3 URI in the ledger; ok is false for other places.
func (l *Ledger) Key(uri string) (key string, ok bool) {
	return strings.CutPrefix(uri, "s3://"+l.bucket+"/")
}

// RunKey is the key of something that belongs to a run.
func RunKey(pipeline string, run int, rest ...string) string {
	return path.Join(append([]string{pipeline, "runs", fmt.Sprint(run)}, rest...)...)
}

// ID names what consists of several strings, as 32 hex digits.
func ID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// read decodes a document; found is false when there is none. The ETag is for replace.
func (l *Ledger) read(ctx context.Context, key string, into any) (etag string, found bool, err error) {
	out, err := l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.bucket, Key: &key})
	if awserr.IsNotFound(err) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read ledger %s: %w", key, err)
	}
	defer out.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(out.Body, maxDocument))
	if err != nil {
		return "", false, fmt.Errorf("read ledger %s: %w", key, err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return "", false, fmt.Errorf("decode ledger %s: %w", key, err)
	}
	return aws.ToString(out.ETag), true, nil
}

// create writes a document that must not exist yet; ErrConflict when it does.
func (l *Ledger) create(ctx context.Context, key string, v any) error {
	return l.write(ctx, key, v, func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") })
}

// replace writes a document over the one with the ETag (which is "" for none);
// ErrConflict when it is another by now.
func (l *Ledger) replace(ctx context.Context, key, etag string, v any) error {
	if etag == "" {
		return l.create(ctx, key, v)
	}
	return l.write(ctx, key, v, func(in *s3.PutObjectInput) { in.IfMatch = &etag })
}

// put writes a document whatever was there.
func (l *Ledger) put(ctx context.Context, key string, v any) error {
	return l.write(ctx, key, v, func(*s3.PutObjectInput) {})
}

func (l *Ledger) write(ctx context.Context, key string, v any, condition func(*s3.PutObjectInput)) error {
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("encode ledger %s: %w", key, err)
	}
	return l.PutBytes(ctx, key, append(raw, '\n'), "application/json", condition)
}

// PutBytes writes an object of the ledger under optional conditions; ErrConflict
// when they do not hold.
func (l *Ledger) PutBytes(ctx context.Context, key string, raw []byte, contentType string, conditions ...func(*s3.PutObjectInput)) error {
	in := &s3.PutObjectInput{Bucket: &l.bucket, Key: &key, Body: bytes.NewReader(raw), ContentType: &contentType}
	for _, c := range conditions {
		c(in)
	}
	_, err := l.s3.PutObject(ctx, in)
	// A replace of what was deleted meanwhile is answered with "not found".
	if awserr.IsConflict(err) || awserr.IsNotFound(err) && in.IfMatch != nil {
		return fmt.Errorf("write ledger %s: %w", key, ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("write ledger %s: %w", key, err)
	}
	return nil
}

// maxRaces bounds how often a document is tried anew because another writer was
// on its way.
const maxRaces = 10

// once creates a document, or reads the one that is there: mine is false then.
func once[T any](ctx context.Context, l *Ledger, key string, v *T) (mine bool, err error) {
	for range maxRaces {
		err := l.create(ctx, key, v)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, ErrConflict) {
			return false, err
		}
		var there T
		_, found, err := l.read(ctx, key, &there)
		if err != nil {
			return false, err
		}
		if found {
			*v = there
			return false, nil
		}
		// S3 refuses a write also while another is under way, which may yet fail.
	}
	return false, fmt.Errorf("write ledger %s: %w", key, ErrConflict)
}

func (l *Ledger) remove(ctx context.Context, key string) error {
	_, err := l.s3.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &l.bucket, Key: &key})
	if awserr.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete ledger %s: %w", key, err)
	}
	return nil
}

// list gives the keys under a prefix, sorted.
func (l *Ledger) list(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	in := &s3.ListObjectsV2Input{Bucket: &l.bucket, Prefix: &prefix}
	for {
		out, err := l.s3.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list ledger %s: %w", prefix, err)
		}
		for _, o := range out.Contents {
			keys = append(keys, aws.ToString(o.Key))
		}
		if !aws.ToBool(out.IsTruncated) {
			return keys, nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// base is a key's last part without ".json".
func base(key string) string { return strings.TrimSuffix(path.Base(key), ".json") }
