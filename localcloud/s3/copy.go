package s3

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"go.etcd.io/bbolt"
)

// source is an object that is copied.
type source struct {
	bucket, key, versionID string
	version                *version
	body                   io.ReadCloser
}

// openSource opens what an x-amz-copy-source header names; ok decides by it, and
// sp says which bytes are wanted.
func (k *keeper) openSource(copySource string, ok precondition, sp func(size int64) (offset, length int64, err error)) (*source, error) {
	src := &source{}
	var err error
	if src.bucket, src.key, src.versionID, err = backend.ParseCopySource(copySource); err != nil {
		return nil, err
	}
	src.version, err = k.find(src.bucket, src.key, src.versionID, func(tx *bbolt.Tx, v *version) error {
		if err := ok(v); err != nil {
			return err
		}
		offset, length, err := sp(v.Size)
		if err != nil {
			return err
		}
		src.body, err = k.blobs.open(tx, v.Segments, offset, length)
		return err
	})
	if err != nil {
		if src.versionID != "" && src.version != nil && src.version.DeleteMarker {
			err = s3err.APIError{Code: "InvalidRequest", HTTPStatusCode: http.StatusBadRequest, Description: "The source of a copy request may not specifically refer to a delete marker by version id."}
		}
		return nil, err
	}
	return src, nil
}

func (k *keeper) ownedBy(expected *string) error {
	if e := text(expected); e != "" && e != k.account {
		return s3err.GetAPIError(s3err.ErrAccessDenied)
	}
	return nil
}

// CopyObject copies an object or a version of it. The conditions on the target
// are honoured like those of a put.
func (k *keeper) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	var none s3response.CopyObjectOutput
	name, key := text(in.Bucket), text(in.Key)
	if err := errors.Join(checkKey(key), k.ownedBy(in.ExpectedSourceBucketOwner)); err != nil {
		return none, firstOf(err)
	}
	if in.ObjectLockMode != "" || in.ObjectLockLegalHoldStatus != "" {
		return none, s3err.GetAPIError(s3err.ErrMissingObjectLockConfigurationNoSpaces)
	}
	tags, err := parseTags(text(in.Tagging))
	if err != nil {
		return none, err
	}
	src, err := k.openSource(text(in.CopySource), func(v *version) error {
		if v.Size > maxCopy {
			return s3err.GetCopySourceObjectTooLargeErr(maxCopy)
		}
		return k.copyIf(v, in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince)
	}, func(size int64) (int64, int64, error) { return 0, size, nil })
	if err != nil {
		return none, err
	}
	defer func() { _ = src.body.Close() }()
	ok := writeIf(targetConditions(ctx))
	if src.bucket == name && src.key == key && src.versionID == "" && !k.changes(ctx, name, in) {
		if err := ok(src.version); err != nil {
			return none, err
		}
		return none, s3err.GetAPIError(s3err.ErrInvalidCopyDest)
	}
	algorithm := string(in.ChecksumAlgorithm)
	if algorithm == "" && src.version.Checksum.Type == string(types.ChecksumTypeFullObject) {
		algorithm = src.version.Checksum.Algorithm
	}
	st, cs, err := k.stage(src.body, strings.Clone(algorithm), "")
	if err != nil {
		return none, err
	}
	cs.Type = string(types.ChecksumTypeFullObject)
	v := &version{ETag: st.md5, Checksum: cs, Headers: maps.Clone(src.version.Headers), Metadata: src.version.Metadata, Tags: src.version.Tags, Class: classOf(ctx)}
	delete(v.Headers, redirectHeader) // which is not copied
	if to := text(in.WebsiteRedirectLocation); to != "" {
		if v.Headers == nil {
			v.Headers = map[string]string{}
		}
		v.Headers[redirectHeader] = to
	}
	if in.MetadataDirective == types.MetadataDirectiveReplace {
		v.Metadata = decoded(ctx, in.Metadata)
		v.Headers = headers(headerFields{in.ContentType, in.ContentEncoding, in.ContentDisposition, in.ContentLanguage, in.CacheControl, in.Expires, in.WebsiteRedirectLocation})
	}
	if in.TaggingDirective == types.TaggingDirectiveReplace {
		v.Tags = tags
	}
	if err := k.store(name, key, v, st, ok); err != nil {
		return none, err
	}
	k.events.created(ctx, name, key, v, "CopyObject")
	result := &s3response.CopyObjectResult{ETag: ptr(quote(v.ETag)), LastModified: &v.Modified}
	setChecksum(result, v.Checksum)
	out := s3response.CopyObjectOutput{CopyObjectResult: result, VersionId: ptr(shownVersion(v.ID))}
	if b, err := k.bucket(name); err == nil && b.Versioning == string(types.BucketVersioningStatusSuspended) {
		out.VersionId = ptr(nullVersion) // which a put does not tell
	}
	if id := shownVersion(src.version.ID); id != "" {
		out.CopySourceVersionId = &id
	}
	return out, nil
}

// changes tells whether a copy of an object onto itself changes something of it
// that S3 counts.
func (k *keeper) changes(ctx context.Context, bucketName string, in s3response.CopyObjectInput) bool {
	if in.MetadataDirective == types.MetadataDirectiveReplace || text(in.WebsiteRedirectLocation) != "" ||
		asked(ctx, "X-Amz-Storage-Class") != "" || asked(ctx, "X-Amz-Server-Side-Encryption") != "" {
		return true
	}
	b, err := k.bucket(bucketName)
	return err == nil && b.Config["encryption"] != nil && string(b.Config["encryption"]) != deletedConfig
}

// copyIf is readIf for the source of a copy: what a read answers "not modified",
// a copy answers "precondition failed", and the condition bears its header's name.
func (k *keeper) copyIf(v *version, match, noneMatch *string, since, unmodified *time.Time) error {
	err := k.readIf(v, match, noneMatch, since, unmodified)
	var failed s3err.PreconditionFailedError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failed):
		return s3err.GetPreconditionFailedErr("x-amz-copy-source-" + failed.Condition)
	case noneMatch != nil:
		return s3err.GetPreconditionFailedErr("x-amz-copy-source-" + s3err.ConditionIfNoneMatch)
	}
	return s3err.GetPreconditionFailedErr("x-amz-copy-source-If-Modified-Since")
}

// targetConditions reads If-Match and If-None-Match of a copy, which the gateway does not hand on.
func targetConditions(ctx context.Context) (ifMatch, ifNoneMatch *string) {
	return given(strings.Trim(asked(ctx, "If-Match"), `"`)), given(strings.Trim(asked(ctx, "If-None-Match"), `"`))
}

// firstOf is the first of joined errors: the gateway wants an S3 error as it is.
func firstOf(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()[0]
	}
	return err
}
