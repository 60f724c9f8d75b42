package events

// TypeUploadRefused is the detail-type of UploadRefused.
const TypeUploadRefused = "Upload Refused"

// UploadRefused says that an uploaded object belongs to no pipeline, and what to do.
type UploadRefused struct {
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	VersionID string `json:"version_id"`
	Reason    string `json:"reason"` // for a person
}

func (d UploadRefused) validate() error { return require("bucket", d.Bucket, "key", d.Key) }
