package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"go.etcd.io/bbolt"
)

// deletion is what a delete did.
type deletion struct {
	marker    *version // made
	removed   *version // for good
	versionID string   // to answer with
}

// remove deletes an object as S3 does: a marker on top in a versioned bucket, for
// good otherwise, and exactly the version when one is named.
func (k *keeper) remove(tx *bbolt.Tx, bucketName, key, id string, ok precondition) (d deletion, gone []segment, err error) {
	b, err := getBucket(tx, bucketName)
	if err != nil {
		return d, nil, err
	}
	objects := tx.Bucket(tableObjects).Bucket([]byte(bucketName))
	if id != "" {
		if !canBe(b, id) {
			return d, nil, errInvalidVersion(id)
		}
		v, err := withID(objects, key, id)
		if err != nil {
			return d, nil, err
		}
		if err := okDelete(ok, v); err != nil {
			return d, nil, err
		}
		gone, err = drop(tx, objects, key, id)
		return deletion{removed: v, versionID: id}, gone, err
	}
	cur, err := newest(objects, key)
	if err != nil {
		return d, nil, err
	}
	if err := okDelete(ok, live(cur)); err != nil {
		return d, nil, err
	}
	if err := overtake(tx, bucketName, key); err != nil {
		return d, nil, err
	}
	if b.Versioning == "" {
		gone, err = drop(tx, objects, key, nullVersion)
		return deletion{removed: cur}, gone, err
	}
	marker := &version{DeleteMarker: true, Modified: k.now()}
	gone, err = k.add(tx, bucketName, key, marker, nil)
	return deletion{marker: marker, versionID: marker.ID}, gone, err
}

func okDelete(ok precondition, v *version) error {
	if ok == nil {
		return nil
	}
	return ok(v)
}

// deleteIf is S3's conditional delete; nil when it is not conditional.
func deleteIf(ifMatch *string, modified *time.Time, size *int64) precondition {
	if ifMatch == nil && modified == nil && size == nil {
		return nil
	}
	return func(v *version) error {
		if v == nil {
			return s3err.GetAPIError(s3err.ErrNoSuchKey)
		}
		if ifMatch != nil && *ifMatch == "*" {
			return nil
		}
		return backend.EvaluateObjectDeletePreconditions(v.ETag, v.Modified, v.Size, backend.ObjectDeletePreconditions{
			IfMatch: ifMatch, IfMatchLastModTime: modified, IfMatchSize: size})
	}
}

// DeleteObject deletes an object or one version of it.
func (k *keeper) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	name, key, id := text(in.Bucket), text(in.Key), text(in.VersionId)
	ok := deleteIf(in.IfMatch, in.IfMatchLastModifiedTime, in.IfMatchSize)
	var d deletion
	var gone []segment
	err := k.index.update(func(tx *bbolt.Tx) (err error) {
		d, gone, err = k.remove(tx, name, key, id, ok)
		return err
	})
	if err != nil {
		return nil, err
	}
	k.blobs.removeFiles(gone)
	k.events.deleted(ctx, name, key, d)
	out := &s3.DeleteObjectOutput{VersionId: &d.versionID}
	if d.marker != nil || (d.removed != nil && d.removed.DeleteMarker) {
		out.DeleteMarker = ptr(true)
	}
	return out, nil
}

// quiet reads whether a delete of many wants to hear of errors alone, which the
// gateway does not hand on.
func quiet(ctx context.Context) bool {
	var asked struct{ Quiet bool }
	r, ok := ctx.(*fasthttp.RequestCtx)
	return ok && xml.Unmarshal(r.Request.Body(), &asked) == nil && asked.Quiet
}

// DeleteObjects deletes many at once, in one flush.
func (k *keeper) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	name := text(in.Bucket)
	if len(in.Delete.Objects) > 1000 {
		return s3response.DeleteResult{}, malformed()
	}
	done := make([]deletion, len(in.Delete.Objects))
	failed := make([]error, len(in.Delete.Objects))
	var gone []segment
	err := k.index.update(func(tx *bbolt.Tx) error {
		gone = nil
		for i, o := range in.Delete.Objects {
			var segments []segment
			done[i], segments, failed[i] = k.remove(tx, name, text(o.Key), text(o.VersionId), deleteIf(trimmed(o.ETag), o.LastModifiedTime, o.Size))
			var invalid s3err.InvalidArgumentError
			if errors.As(failed[i], &invalid) { // of one among many, AWS says it so
				failed[i] = s3err.GetNoSuchVersionErr(text(o.Key), text(o.VersionId))
			}
			gone = append(gone, segments...)
		}
		return nil
	})
	if err != nil {
		return s3response.DeleteResult{}, err
	}
	k.blobs.removeFiles(gone)
	var out s3response.DeleteResult
	silent := quiet(ctx)
	for i, o := range in.Delete.Objects {
		if failed[i] != nil {
			out.Error = append(out.Error, s3err.ObjectDeleteError(o.Key, o.VersionId, failed[i]))
			continue
		}
		k.events.deleted(ctx, name, text(o.Key), done[i])
		entry := types.DeletedObject{Key: o.Key, VersionId: o.VersionId}
		if d := done[i]; d.marker != nil || (d.removed != nil && d.removed.DeleteMarker) {
			entry.DeleteMarker, entry.DeleteMarkerVersionId = ptr(true), &d.versionID
		}
		if !silent {
			out.Deleted = append(out.Deleted, entry)
		}
	}
	return out, nil
}
