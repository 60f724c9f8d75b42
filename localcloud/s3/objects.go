package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"go.etcd.io/bbolt"
)

// maxKey is the length of a key, in bytes.
const maxKey = 1024

// maxCopy is the largest object that one copy may make, in bytes.
const maxCopy = 5 << 30

func (k *keeper) now() time.Time { return k.clock.Now().UTC().Truncate(time.Second) }

func checkKey(key string) error {
	if len(key) > maxKey {
		return s3err.GetKeyTooLongErr(int64(len(key)), maxKey)
	}
	if strings.IndexByte(key, 0) >= 0 {
		return s3err.APIError{Code: "InvalidURI", HTTPStatusCode: http.StatusBadRequest, Description: "Couldn't parse the specified URI."}
	}
	return nil
}

// precondition decides by the newest version of a key (nil: there is none, or it
// is deleted) whether a write may go on.
type precondition func(current *version) error

// writeIf is S3's conditional write: If-Match, with quotes or without, and If-None-Match.
func writeIf(ifMatch, ifNoneMatch *string) precondition {
	ifMatch = trimmed(ifMatch)
	return func(cur *version) error {
		switch {
		case ifMatch != nil && ifNoneMatch != nil:
			return s3err.GetNotImplementedErr("If-Match,If-None-Match", s3err.NmpAdditionalMessageMultipleCondHeaders)
		case ifMatch != nil && *ifMatch == "*":
			return s3err.GetNotImplementedErr("If-Match", "We don't accept the provided value of If-Match header for this API")
		}
		if cur == nil {
			return backend.EvaluateObjectPutPreconditions("", ifMatch, ifNoneMatch, false)
		}
		return backend.EvaluateObjectPutPreconditions(cur.ETag, ifMatch, ifNoneMatch, true)
	}
}

// live is v unless it is a delete marker.
func live(v *version) *version {
	if v == nil || v.DeleteMarker {
		return nil
	}
	return v
}

// add makes v the newest version of key and returns the segments that it replaces.
func (k *keeper) add(tx *bbolt.Tx, bucketName, key string, v *version, ok precondition) ([]segment, error) {
	b, err := getBucket(tx, bucketName)
	if err != nil {
		return nil, err
	}
	objects := tx.Bucket(tableObjects).Bucket([]byte(bucketName))
	cur, err := newest(objects, key)
	if err != nil {
		return nil, err
	}
	if ok != nil {
		if err := ok(live(cur)); err != nil {
			return nil, err
		}
	}
	var replaced []segment
	if b.Versioning != string(types.BucketVersioningStatusEnabled) {
		if replaced, err = drop(tx, objects, key, nullVersion); err != nil {
			return nil, err
		}
	}
	if v.Seq, err = objects.NextSequence(); err != nil {
		return nil, err
	}
	v.ID = nullVersion
	if b.Versioning == string(types.BucketVersioningStatusEnabled) {
		v.ID = k.versionID(v.Seq)
	}
	if err := overtake(tx, bucketName, key); err != nil {
		return nil, err
	}
	return replaced, putJSON(objects, versionKey(key, v.Seq), v)
}

// drop removes one version of key, if it is there, and returns its segments.
func drop(tx *bbolt.Tx, objects *bbolt.Bucket, key, id string) ([]segment, error) {
	old, err := withID(objects, key, id)
	if err != nil || old == nil {
		return nil, err
	}
	if err := removeSmall(tx, old.Segments); err != nil {
		return nil, err
	}
	return old.Segments, objects.Delete(versionKey(key, old.Seq))
}

// store commits a staged body as the newest version of key.
func (k *keeper) store(bucketName, key string, v *version, st *staged, ok precondition) error {
	if err := k.blobs.publish(st); err != nil {
		k.blobs.discard(st)
		return err
	}
	v.Segments, v.Size, v.Modified = []segment{st.segment}, st.segment.Size, k.now()
	var replaced []segment
	err := k.index.update(func(tx *bbolt.Tx) (err error) {
		if replaced, err = k.add(tx, bucketName, key, v, ok); err != nil {
			return err
		}
		return k.blobs.commit(tx, st)
	})
	if err != nil {
		k.blobs.discard(st)
		return err
	}
	k.blobs.removeFiles(replaced)
	return nil
}

// PutObject stores a new version of an object.
func (k *keeper) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	name, key := text(in.Bucket), text(in.Key)
	if err := checkKey(key); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	if in.ObjectLockMode != "" || in.ObjectLockLegalHoldStatus != "" {
		return s3response.PutObjectOutput{}, s3err.GetAPIError(s3err.ErrMissingObjectLockConfigurationNoSpaces)
	}
	tags, err := parseTags(text(in.Tagging))
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	algorithm, sum := givenChecksum(in)
	if algorithm == "" {
		algorithm = strings.Clone(string(in.ChecksumAlgorithm))
	}
	st, cs, err := k.stage(in.Body, algorithm, sum)
	if err != nil {
		return s3response.PutObjectOutput{}, err
	}
	if in.ContentLength != nil && *in.ContentLength != st.segment.Size {
		k.blobs.discard(st)
		return s3response.PutObjectOutput{}, s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	cs.Type = string(types.ChecksumTypeFullObject)
	v := &version{ETag: st.md5, Checksum: cs, Tags: tags, Class: classOf(ctx), Metadata: decoded(ctx, in.Metadata), Headers: headers(headerFields{
		in.ContentType, in.ContentEncoding, in.ContentDisposition, in.ContentLanguage, in.CacheControl, in.Expires, in.WebsiteRedirectLocation})}
	if err := k.store(name, key, v, st, writeIf(in.IfMatch, in.IfNoneMatch)); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	k.events.created(ctx, name, key, v, putReason(ctx))
	out := s3response.PutObjectOutput{ETag: quote(v.ETag), VersionID: shownVersion(v.ID)}
	setChecksum(&out, v.Checksum)
	return out, nil
}

// putReason is the reason in a put's event: the form that made it, or the put itself.
func putReason(ctx context.Context) string {
	if reason := asked(ctx, formReason); reason != "" {
		return reason
	}
	return "PutObject"
}

// find reads the version that a request names, and calls f with it inside the
// transaction. A deleted object is an error with the marker still given back.
func (k *keeper) find(bucketName, key, versionID string, f func(tx *bbolt.Tx, v *version) error) (v *version, err error) {
	read := func(tx *bbolt.Tx) error {
		b, err := getBucket(tx, bucketName)
		if err != nil {
			return err
		}
		objects := tx.Bucket(tableObjects).Bucket([]byte(bucketName))
		if versionID == "" {
			v, err = newest(objects, key)
		} else if !canBe(b, versionID) {
			return errInvalidVersion(versionID)
		} else {
			v, err = withID(objects, key, versionID)
		}
		switch {
		case err != nil:
			return err
		case v == nil && versionID != "":
			return s3err.GetNoSuchVersionErr(key, versionID)
		case v == nil:
			return s3err.GetAPIError(s3err.ErrNoSuchKey)
		case v.DeleteMarker && versionID != "":
			return onMarker(http.MethodGet)
		case v.DeleteMarker:
			return s3err.GetAPIError(s3err.ErrNoSuchKey)
		}
		if err := f(tx, v); err != nil {
			return err
		}
		if b.Versioning == "" {
			v.ID = ""
		}
		return nil
	}
	// A file may be removed between a read's snapshot and its opening; the next snapshot knows.
	for range 10 {
		if err = k.index.view(read); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) {
		k.log.Error("object cannot be read", "bucket", bucketName, "key", key, "error", err)
	}
	return v, err
}

// onMarker refuses what cannot be done to a delete marker.
func onMarker(method string) error {
	return s3err.GetMethodNotAllowedErr(method, "DeleteMarker", []string{http.MethodDelete})
}

// canBe tells whether an id may be that of a version in a bucket. Ids of AWS tell
// whether they are its own; those of here are in lower case.
func canBe(b *bucket, versionID string) bool {
	return versionID == nullVersion || (b.Versioning != "" && strings.ToLower(versionID) == versionID)
}

func errInvalidVersion(id string) error {
	return invalidArgument("Invalid version id specified", "versionId", id)
}

// span is the part of an object that a request asks for.
type span struct {
	offset, length int64
	contentRange   *string
	parts          *int32
}

func spanOf(v *version, rangeHeader string, partNumber *int32) (span, error) {
	if partNumber == nil {
		offset, length, ranged, err := backend.ParseObjectRange(v.Size, rangeHeader)
		s := span{offset: offset, length: length}
		if ranged {
			s.contentRange = contentRange(offset, length, v.Size)
		}
		return s, err
	}
	parts := []segment{{Size: v.Size}}
	s := span{}
	if v.UploadID != "" {
		parts = v.Segments
		n := int32(len(parts))
		s.parts = &n
	}
	if int(*partNumber) > len(parts) {
		return s, s3err.GetInvalidPartNumberRangeErr(int32(len(parts)), *partNumber)
	}
	for _, p := range parts[:*partNumber-1] {
		s.offset += p.Size
	}
	s.length = parts[*partNumber-1].Size
	if s.length > 0 {
		s.contentRange = contentRange(s.offset, s.length, v.Size)
	}
	return s, nil
}

// checksum is what a read tells of the bytes that it answers with: the checksum of
// a part, where parts have their own, or of the whole; none of a range.
func (s span) checksum(v *version, partNumber *int32) checksum {
	switch {
	case partNumber != nil && v.Checksum.Type == string(types.ChecksumTypeComposite):
		return checksum{Algorithm: v.Checksum.Algorithm, Type: v.Checksum.Type, Value: v.PartSums[*partNumber-1]}
	case s.length == v.Size:
		return v.Checksum
	}
	return checksum{}
}

func contentRange(offset, length, size int64) *string {
	s := fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, size)
	return &s
}

// GetObject opens an object, a version or a range of it.
func (k *keeper) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	var sp span
	var body io.ReadCloser
	v, err := k.find(text(in.Bucket), text(in.Key), text(in.VersionId), func(tx *bbolt.Tx, v *version) (err error) {
		err = k.readIf(v, in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince)
		if err != nil {
			return err
		}
		if sp, err = spanOf(v, text(in.Range), in.PartNumber); err != nil {
			return err
		}
		body, err = k.blobs.open(tx, v.Segments, sp.offset, sp.length)
		return err
	})
	if err != nil {
		if v != nil && v.DeleteMarker {
			answerVersion(ctx, v)
			return &s3.GetObjectOutput{DeleteMarker: ptr(true), LastModified: &v.Modified}, err
		}
		return nil, err
	}
	out := &s3.GetObjectOutput{
		AcceptRanges: ptr("bytes"), Body: body, ContentLength: &sp.length, ContentRange: sp.contentRange, PartsCount: sp.parts,
		ETag: ptr(quote(v.ETag)), LastModified: &v.Modified, VersionId: &v.ID, Metadata: mailed(v.Metadata), StorageClass: types.StorageClass(shownClass(v.Class)),
		ContentType: header(v, "content-type"), ContentEncoding: header(v, "content-encoding"), ContentDisposition: header(v, "content-disposition"),
		ContentLanguage: header(v, "content-language"), CacheControl: header(v, "cache-control"), ExpiresString: header(v, "expires"),
		WebsiteRedirectLocation: header(v, "website-redirect-location"), TagCount: count(v.Tags),
	}
	if in.ChecksumMode == types.ChecksumModeEnabled {
		setChecksum(out, sp.checksum(v, in.PartNumber))
	}
	return out, nil
}

// HeadObject tells about an object without opening it.
func (k *keeper) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	var sp span
	v, err := k.find(text(in.Bucket), text(in.Key), text(in.VersionId), func(_ *bbolt.Tx, v *version) (err error) {
		err = k.readIf(v, in.IfMatch, in.IfNoneMatch, in.IfModifiedSince, in.IfUnmodifiedSince)
		if err != nil {
			return err
		}
		sp, err = spanOf(v, text(in.Range), in.PartNumber)
		return err
	})
	if err != nil {
		if v != nil && v.DeleteMarker {
			answerVersion(ctx, v)
			return &s3.HeadObjectOutput{DeleteMarker: ptr(true), LastModified: &v.Modified}, err
		}
		return nil, err
	}
	out := &s3.HeadObjectOutput{
		AcceptRanges: ptr("bytes"), ContentLength: &sp.length, ContentRange: sp.contentRange, PartsCount: sp.parts,
		ETag: ptr(quote(v.ETag)), LastModified: &v.Modified, VersionId: &v.ID, Metadata: mailed(v.Metadata), StorageClass: types.StorageClass(shownClass(v.Class)),
		ContentType: header(v, "content-type"), ContentEncoding: header(v, "content-encoding"), ContentDisposition: header(v, "content-disposition"),
		ContentLanguage: header(v, "content-language"), CacheControl: header(v, "cache-control"), ExpiresString: header(v, "expires"),
		WebsiteRedirectLocation: header(v, "website-redirect-location"), TagCount: count(v.Tags),
	}
	if in.ChecksumMode == types.ChecksumModeEnabled {
		setChecksum(out, sp.checksum(v, in.PartNumber))
	}
	return out, nil
}

// GetObjectAttributes tells size, ETag and checksum.
func (k *keeper) GetObjectAttributes(ctx context.Context, in *s3.GetObjectAttributesInput) (s3response.GetObjectAttributesResponse, error) {
	head, err := k.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil {
		return s3response.GetObjectAttributesResponse{}, err
	}
	cs := &types.Checksum{ChecksumType: head.ChecksumType}
	algorithm, sum := givenChecksum(*head)
	sum, _, _ = strings.Cut(sum, "-") // how many parts it is of, the parts tell
	setChecksum(cs, checksum{Algorithm: algorithm, Type: string(head.ChecksumType), Value: sum})
	parts, err := k.objectParts(ctx, in)
	return s3response.GetObjectAttributesResponse{ETag: backend.TrimEtag(head.ETag), ObjectSize: head.ContentLength, ObjectParts: parts,
		StorageClass: head.StorageClass, LastModified: head.LastModified, VersionId: head.VersionId, Checksum: cs}, err
}

// objectParts tells of the parts of a multipart object: how many there are, and each
// where it has a checksum of its own; nil for others.
func (k *keeper) objectParts(ctx context.Context, in *s3.GetObjectAttributesInput) (*s3response.ObjectParts, error) {
	v, err := k.find(text(in.Bucket), text(in.Key), text(in.VersionId), func(*bbolt.Tx, *version) error { return nil })
	if err != nil || v.UploadID == "" {
		return nil, err
	}
	composite := v.Checksum.Type == string(types.ChecksumTypeComposite)
	if r, ok := ctx.(*fasthttp.RequestCtx); ok {
		r.Response.Header.Set(partsCount, strconv.Itoa(len(v.Segments)))
		if !composite {
			r.Response.Header.Set(partsOnly, "true")
		}
	}
	out := &s3response.ObjectParts{MaxParts: 1000}
	if in.MaxParts != nil {
		out.MaxParts = int(*in.MaxParts)
	}
	if m := text(in.PartNumberMarker); m != "" {
		if out.PartNumberMarker, err = strconv.Atoi(m); err != nil {
			return nil, s3err.GetInvalidArgMaxLimiter("part-number-marker", m)
		}
	}
	for i := max(out.PartNumberMarker, 0); composite && i < len(v.PartSums); i++ {
		if len(out.Parts) == out.MaxParts {
			out.IsTruncated = true
			break
		}
		p := types.ObjectPart{PartNumber: ptr(int32(i + 1)), Size: &v.Segments[i].Size}
		setChecksum(&p, checksum{Algorithm: v.Checksum.Algorithm, Value: v.PartSums[i]})
		out.Parts = append(out.Parts, p)
		out.NextPartNumberMarker = i + 1
	}
	return out, nil
}

// GetObjectAcl answers the only ACL there is: the owner may do all.
func (k *keeper) GetObjectAcl(ctx context.Context, in *s3.GetObjectAclInput) (*s3.GetObjectAclOutput, error) {
	id := text(in.VersionId)
	if r, ok := ctx.(*fasthttp.RequestCtx); ok && id == "" {
		id = string(r.QueryArgs().Peek("versionId")) // which the gateway does not hand on
	}
	if _, err := k.find(text(in.Bucket), text(in.Key), id, func(*bbolt.Tx, *version) error { return nil }); err != nil {
		return nil, err
	}
	owner := &types.Owner{ID: &k.account}
	return &s3.GetObjectAclOutput{Owner: owner, Grants: []types.Grant{{
		Grantee: &types.Grantee{ID: &k.account, Type: types.TypeCanonicalUser}, Permission: types.PermissionFullControl}}}, nil
}

// readIf is S3's conditional read. A time in the future is no condition, and what
// was modified at the very time was not modified after it.
func (k *keeper) readIf(v *version, match, noneMatch *string, since, unmodified *time.Time) error {
	if since != nil && since.After(k.now()) {
		since = nil
	}
	if unmodified != nil && unmodified.Equal(v.Modified) {
		unmodified = nil
	}
	return backend.EvaluatePreconditions(v.ETag, v.Modified, backend.PreConditions{
		IfMatch: match, IfNoneMatch: noneMatch, IfModSince: since, IfUnmodeSince: unmodified})
}

// answerVersion names the version that an answer is about, where the gateway has no place for it.
func answerVersion(ctx context.Context, v *version) {
	if r, ok := ctx.(*fasthttp.RequestCtx); ok {
		r.Response.Header.Set("x-amz-version-id", v.ID)
	}
}

// retag rewrites a version's tags, for a request of the method.
func (k *keeper) retag(ctx context.Context, method, bucketName, key, id string, tags map[string]string) error {
	bucketName, key, id = strings.Clone(bucketName), strings.Clone(key), strings.Clone(id)
	for name := range tags {
		if strings.HasPrefix(name, "aws:") {
			return invalidTag("Your TagKey cannot be prefixed with aws:", name)
		}
	}
	return k.index.update(func(tx *bbolt.Tx) error {
		b, err := getBucket(tx, bucketName)
		if err != nil {
			return err
		}
		objects := tx.Bucket(tableObjects).Bucket([]byte(bucketName))
		var v *version
		if id != "" && !canBe(b, id) {
			return errInvalidVersion(id)
		}
		if id == "" {
			v, err = newest(objects, key)
			if err == nil && v == nil {
				return s3err.GetAPIError(s3err.ErrNoSuchKey)
			}
		} else {
			v, err = withID(objects, key, id)
			if err == nil && v == nil {
				return s3err.GetNoSuchVersionErr(key, id)
			}
		}
		if err != nil {
			return err
		}
		if v.DeleteMarker {
			return onMarker(method)
		}
		if b.Versioning != "" {
			answerVersion(ctx, v)
		}
		v.Tags = tags
		return putJSON(objects, versionKey(key, v.Seq), v)
	})
}

func (k *keeper) PutObjectTagging(ctx context.Context, bucketName, key, id string, tags map[string]string) error {
	return k.retag(ctx, http.MethodPut, bucketName, key, id, cloneMap(tags))
}

func (k *keeper) DeleteObjectTagging(ctx context.Context, bucketName, key, id string) error {
	return k.retag(ctx, http.MethodDelete, bucketName, key, id, nil)
}

// GetObjectTagging answers the tags; an object without any has an empty set.
func (k *keeper) GetObjectTagging(ctx context.Context, bucketName, key, id string) (map[string]string, error) {
	v, err := k.find(bucketName, key, id, func(tx *bbolt.Tx, v *version) error {
		b, err := getBucket(tx, bucketName)
		if err == nil && b.Versioning != "" {
			answerVersion(ctx, v)
		}
		return err
	})
	switch {
	case err != nil && v != nil && v.DeleteMarker:
		return nil, onMarker(http.MethodGet)
	case err != nil:
		return nil, err
	}
	return v.Tags, nil
}
