package s3

import (
	"context"
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Emit puts an event of an AWS service onto the default event bus.
type Emit func(ctx context.Context, source, detailType string, resources []string, detail any)

// events tells EventBridge what happens in the buckets that have it on.
type events struct {
	emit    Emit
	account string
	enabled func(bucketName string) bool
}

// detail is the detail of S3's events, member for member as AWS sends it.
type detail struct {
	Version      string       `json:"version"`
	EventVersion string       `json:"event-version"`
	Bucket       bucketDetail `json:"bucket"`
	Object       objectDetail `json:"object"`
	RequestID    string       `json:"request-id"`
	Requester    string       `json:"requester"`
	SourceIP     string       `json:"source-ip-address,omitempty"`
	Reason       string       `json:"reason"`
	DeletionType string       `json:"deletion-type,omitempty"`
}

type bucketDetail struct {
	Name string `json:"name"`
}

type objectDetail struct {
	Key       string `json:"key"`
	Size      *int64 `json:"size,omitempty"`
	ETag      string `json:"etag,omitempty"`
	VersionID string `json:"version-id,omitempty"`
	Sequencer string `json:"sequencer"`
}

func sequencer(seq uint64) string { return fmt.Sprintf("%018X", seq) }

func (e *events) created(ctx context.Context, bucketName, key string, v *version, reason string) {
	size := v.Size
	e.send(ctx, bucketName, "Object Created", detail{Reason: reason,
		Object: objectDetail{Key: key, Size: &size, ETag: v.ETag, VersionID: shownVersion(v.ID), Sequencer: sequencer(v.Seq)}})
}

// deleted tells of a deletion that did something.
func (e *events) deleted(ctx context.Context, bucketName, key string, d deletion) {
	switch {
	case d.marker != nil:
		e.send(ctx, bucketName, "Object Deleted", detail{Reason: "DeleteObject", DeletionType: "Delete Marker Created",
			Object: objectDetail{Key: key, VersionID: shownVersion(d.marker.ID), Sequencer: sequencer(d.marker.Seq)}})
	case d.removed != nil:
		e.send(ctx, bucketName, "Object Deleted", detail{Reason: "DeleteObject", DeletionType: "Permanently Deleted",
			Object: objectDetail{Key: key, VersionID: shownVersion(d.removed.ID), Sequencer: sequencer(d.removed.Seq)}})
	}
}

func (e *events) send(ctx context.Context, bucketName, detailType string, d detail) {
	if e.emit == nil || !e.enabled(bucketName) {
		return
	}
	d.Version, d.EventVersion, d.Bucket.Name, d.Requester, d.SourceIP = "0", "1.0", bucketName, e.account, "127.0.0.1"
	d.RequestID = wire.RequestID(ctx)
	if r, ok := ctx.(*fasthttp.RequestCtx); ok {
		d.RequestID = string(r.Response.Header.Peek("x-amz-request-id"))
		// The request's context is reused once it is answered.
		ctx = context.Background()
	}
	e.emit(context.WithoutCancel(ctx), "aws.s3", detailType, []string{"arn:aws:s3:::" + bucketName}, d)
}
