package events

// Source and detail-type of S3's event for a new object.
const (
	SourceS3          = "aws.s3"
	TypeObjectCreated = "Object Created"
)

// ObjectCreated is S3's `Object Created` (buckets with EventBridge on). Keys
// are not URL-encoded here, and the ETag has no quotes.
type ObjectCreated struct {
	Bucket struct {
		Name string `json:"name"`
	} `json:"bucket"`
	Object struct {
		Key       string `json:"key"`
		Size      int64  `json:"size"` // bytes
		ETag      string `json:"etag"`
		VersionID string `json:"version-id"` // empty on buckets without versioning
		Sequencer string `json:"sequencer"`
	} `json:"object"`
	Reason string `json:"reason"` // PutObject | POST Object | CopyObject | CompleteMultipartUpload
}

func (d ObjectCreated) validate() error {
	return require("bucket.name", d.Bucket.Name, "object.key", d.Object.Key)
}

// ObjectCreatedPattern matches every new object of a bucket.
func ObjectCreatedPattern(bucket any) Pattern {
	return Pattern{
		"source":      []any{SourceS3},
		"detail-type": []any{TypeObjectCreated},
		"detail":      map[string]any{"bucket": map[string]any{"name": []any{bucket}}},
	}
}
