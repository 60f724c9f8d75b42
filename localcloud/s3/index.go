package s3

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/millrace-ml/millrace/localcloud/store"
)

// The index is one bbolt file. Its tables:
//
//	buckets   name → bucket
//	objects   one table a bucket: key, 0x00, inverted sequence → version; so a key's newest version comes first
//	uploads   one table a bucket: key, 0x00, upload id → upload
//	small     segment id → bytes of segments that are too small for a file of their own
var (
	tableBuckets = []byte("buckets")
	tableObjects = []byte("objects")
	tableUploads = []byte("uploads")
	tableSmall   = []byte("small")
)

// nullVersion is the version id of what was written while versioning was off.
const nullVersion = "null"

// bucket is what is kept about a bucket.
type bucket struct {
	Name       string
	Created    time.Time
	Versioning string            // "", "Enabled" or "Suspended"
	Ownership  string            // object ownership
	ACL        []byte            // as the gateway encodes it
	Policy     []byte            // JSON, as it was put
	CORS       []byte            // XML, as it was put
	Tags       map[string]string // nil: never put
	Config     map[string][]byte // sub-resource ("notification", …) → XML, as it was put
}

// version is one version of an object, or a delete marker.
type version struct {
	ID           string
	Seq          uint64
	DeleteMarker bool              `json:",omitempty"`
	Size         int64             `json:",omitempty"`
	ETag         string            `json:",omitempty"` // without quotes
	Modified     time.Time         // to the second, as HTTP dates go
	Segments     []segment         `json:",omitempty"`
	UploadID     string            `json:",omitempty"` // of a multipart upload: its segments are the parts
	Headers      map[string]string `json:",omitempty"` // content-type and its kind
	Metadata     map[string]string `json:",omitempty"`
	Tags         map[string]string `json:",omitempty"`
	Class        string            `json:",omitempty"` // storage class; "" is STANDARD
	Checksum     checksum
	PartSums     []string `json:",omitempty"` // of each segment, if it was uploaded in parts with checksums
}

// checksum is an object's checksum as the client gave it, or CRC64NVME.
type checksum struct {
	Algorithm string `json:",omitempty"` // upper case
	Type      string `json:",omitempty"` // FULL_OBJECT or COMPOSITE
	Value     string `json:",omitempty"` // base64
}

// upload is a multipart upload under way.
type upload struct {
	ID       string
	Key      string
	Started  time.Time
	Headers  map[string]string
	Metadata map[string]string
	Tags     map[string]string
	Class    string   `json:",omitempty"` // storage class; "" is STANDARD
	Checksum checksum // what was asked for; Value is empty
	Parts    map[int32]part
	// Overtaken: the key was written or deleted since the upload began, which a
	// conditional completion does not get over.
	Overtaken bool `json:",omitempty"`
}

type part struct {
	Segment  segment
	ETag     string
	Checksum checksum
	CRC64    string // always there, so that a full-object checksum can be composed
	Modified time.Time
}

// index serves reads from snapshots and runs writes one after the other; writes
// that wait at the same time share one disk flush.
type index struct {
	file  *store.File
	group *store.Group
}

func openIndex(path string, o store.Options) (*index, error) {
	file, err := store.OpenFile(path, o)
	if err != nil {
		return nil, err
	}
	err = file.Update(func(tx *bbolt.Tx) error {
		for _, t := range [][]byte{tableBuckets, tableObjects, tableUploads, tableSmall} {
			if _, err := tx.CreateBucketIfNotExists(t); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create object index %s: %w", path, err), file.Close())
	}
	return &index{file: file, group: store.NewGroup(file)}, nil
}

func (x *index) close() error {
	x.group.Close()
	return x.file.Close()
}

// update runs f in a write transaction. f must check before it writes: an error
// of f means it wrote nothing, and does not undo the others of the same flush.
func (x *index) update(f func(tx *bbolt.Tx) error) error { return x.group.Update(f) }

func (x *index) view(f func(tx *bbolt.Tx) error) error { return x.file.View(f) }

func getBucket(tx *bbolt.Tx, name string) (*bucket, error) {
	raw := tx.Bucket(tableBuckets).Get([]byte(name))
	if raw == nil {
		return nil, errNoSuchBucket(name)
	}
	var b bucket
	if err := store.UnsealJSON([]byte(name), raw, &b); err != nil {
		return nil, fmt.Errorf("read bucket %s: %w", name, err)
	}
	return &b, nil
}

func putJSON(t *bbolt.Bucket, key []byte, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	return t.Put(key, store.Seal(key, raw))
}

// versionKey orders a key's versions newest first, and keys as S3 does: by bytes.
func versionKey(key string, seq uint64) []byte {
	k := make([]byte, 0, len(key)+9)
	k = append(k, key...)
	k = append(k, 0)
	return binary.BigEndian.AppendUint64(k, ^seq)
}

func splitVersionKey(k []byte) (key string, ok bool) {
	if len(k) < 9 {
		return "", false
	}
	return string(k[:len(k)-9]), true
}

// versionID makes the id of a version, as long as AWS's are. The sequence stands in
// it because a listing has to go on after a version that is gone.
func (k *keeper) versionID(seq uint64) string {
	id := randomID()
	return fmt.Sprintf("%s.%012x", id[:min(len(id), 19)], seq)
}

// sequenceOf reads the sequence out of a version's id; 0 when it has none.
func sequenceOf(id string) uint64 {
	_, text, _ := strings.Cut(id, ".")
	seq, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return 0
	}
	return seq
}

// versions calls f for each version of key, newest first, until it returns false.
func versions(objects *bbolt.Bucket, key string, f func(k []byte, v *version) bool) error {
	prefix := append([]byte(key), 0)
	c := objects.Cursor()
	for k, raw := c.Seek(prefix); len(k) == len(prefix)+8 && string(k[:len(prefix)]) == string(prefix); k, raw = c.Next() {
		var v version
		if err := store.UnsealJSON(k, raw, &v); err != nil {
			return fmt.Errorf("read object %q: %w", key, err)
		}
		if !f(k, &v) {
			return nil
		}
	}
	return nil
}

// newest is the newest version of key, delete markers included; nil when there is none.
func newest(objects *bbolt.Bucket, key string) (found *version, err error) {
	err = versions(objects, key, func(_ []byte, v *version) bool { found = v; return false })
	return found, err
}

// withID finds one version of key by its id; nil when there is none.
func withID(objects *bbolt.Bucket, key, id string) (found *version, err error) {
	err = versions(objects, key, func(_ []byte, v *version) bool {
		if v.ID == id {
			found = v
		}
		return found == nil
	})
	return found, err
}
