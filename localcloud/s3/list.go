package s3

import (
	"context"
	"encoding/base64"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"go.etcd.io/bbolt"

	"github.com/millrace-ml/millrace/localcloud/store"
)

// entry is one line of a listing: an object, or a common prefix.
type entry struct {
	key    string
	prefix bool
	v      *version
	latest bool
}

// query says what a listing holds.
type query struct {
	prefix, delimiter string
	after             string // only keys after it
	whole             bool   // "after" also passes over the common prefix that it falls under
	afterVersion      string // with all: goes on after this version of the key "after"
	all               bool   // every version and marker, not only what is live
}

// common is the common prefix that key falls under, if any.
func (q query) common(key string) (string, bool) {
	if q.delimiter == "" {
		return "", false
	}
	i := strings.Index(key[len(q.prefix):], q.delimiter)
	if i < 0 {
		return "", false
	}
	return key[:len(q.prefix)+i+len(q.delimiter)], true
}

// start is where the cursor begins.
func (q query) start() []byte {
	switch {
	case q.after == "" || q.after < q.prefix:
		return []byte(q.prefix)
	case q.whole && strings.HasPrefix(q.after, q.prefix):
		if common, ok := q.common(q.after); ok {
			return afterPrefix(common) // it was listed already
		}
	}
	switch {
	case q.all && q.afterVersion != "":
		return []byte(q.after)
	}
	return afterKey(q.after)
}

// afterKey is below every version of the next key: keys hold no zero byte.
func afterKey(key string) []byte { return append([]byte(key), 1) }

// afterPrefix is the least string above all that begin with prefix; nil when there is none.
func afterPrefix(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}

// list calls f with the entries in order until it returns false.
func (k *keeper) list(bucketName string, q query, f func(e entry) bool) error {
	return k.index.view(func(tx *bbolt.Tx) error {
		if _, err := getBucket(tx, bucketName); err != nil {
			return err
		}
		c := tx.Bucket(tableObjects).Bucket([]byte(bucketName)).Cursor()
		skipping := q.afterVersion != ""
		last := ""
		from := q.start()
		if from == nil {
			return nil
		}
		for rec, raw := c.Seek(from); rec != nil; {
			key, ok := splitVersionKey(rec)
			if !ok || !strings.HasPrefix(key, q.prefix) {
				return nil
			}
			var v version
			if err := store.UnsealJSON(rec, raw, &v); err != nil {
				return err
			}
			first := key != last
			last = key
			if skipping && key == q.after && v.Seq >= sequenceOf(q.afterVersion) {
				skipping = v.ID != q.afterVersion
				rec, raw = c.Next()
				continue
			}
			if v.DeleteMarker && !q.all {
				rec, raw = c.Seek(afterKey(key))
				continue
			}
			if common, ok := q.common(key); ok {
				if !f(entry{key: common, prefix: true}) {
					return nil
				}
				next := afterPrefix(common)
				if next == nil {
					return nil
				}
				rec, raw = c.Seek(next)
				continue
			}
			if !f(entry{key: key, v: &v, latest: first}) {
				return nil
			}
			if q.all {
				rec, raw = c.Next()
			} else {
				rec, raw = c.Seek(afterKey(key))
			}
		}
		return nil
	})
}

// page collects up to max entries and reports whether there are more.
func (k *keeper) page(bucketName string, q query, max int32) (entries []entry, more bool, err error) {
	err = k.list(bucketName, q, func(e entry) bool {
		if int32(len(entries)) == max {
			more = max > 0
			return false
		}
		entries = append(entries, e)
		return true
	})
	return entries, more, err
}

func (k *keeper) object(e entry, owner bool) s3response.Object {
	o := s3response.Object{Key: &e.key, ETag: ptr(quote(e.v.ETag)), Size: &e.v.Size, LastModified: &e.v.Modified,
		StorageClass: types.ObjectStorageClass(shownClass(e.v.Class)), ChecksumType: types.ChecksumType(e.v.Checksum.Type)}
	if e.v.Checksum.Algorithm != "" {
		o.ChecksumAlgorithm = []types.ChecksumAlgorithm{types.ChecksumAlgorithm(e.v.Checksum.Algorithm)}
	}
	if owner {
		o.Owner = &types.Owner{ID: &k.account}
	}
	return o
}

// spelling is how a listing writes keys: as they are, or URL-encoded, which is
// the only way to get control characters through XML. The gateway does not hand
// the parameter on.
func spelling(ctx context.Context) (of func(string) string, encoding types.EncodingType, err error) {
	r, ok := ctx.(*fasthttp.RequestCtx)
	if !ok || !r.QueryArgs().Has("encoding-type") {
		return func(s string) string { return s }, "", nil
	}
	if e := string(r.QueryArgs().Peek("encoding-type")); e != string(types.EncodingTypeUrl) {
		err := s3err.InvalidArgumentError{Description: "Invalid Encoding Method specified in Request", ArgumentName: "encoding-type", ArgumentValue: e}
		if e == "" {
			return nil, "", telling(err, "ArgumentValue", "")
		}
		return nil, "", err
	}
	return func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%2F", "/") }, types.EncodingTypeUrl, nil
}

// given is nil for "": a member that AWS leaves out when it was not asked for.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// spell writes the keys of a page.
func spell(entries []entry, of func(string) string) {
	for i := range entries {
		entries[i].key = of(entries[i].key)
	}
}

// ListObjects lists by marker. NextMarker is for listings with a delimiter;
// without one the last key is the next marker.
func (k *keeper) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	of, encoding, err := spelling(ctx)
	if err != nil {
		return s3response.ListObjectsResult{}, err
	}
	q := query{prefix: text(in.Prefix), delimiter: text(in.Delimiter), after: text(in.Marker), whole: true}
	entries, more, err := k.page(text(in.Bucket), q, *in.MaxKeys)
	if err != nil {
		return s3response.ListObjectsResult{}, err
	}
	spell(entries, of)
	out := s3response.ListObjectsResult{Name: in.Bucket, Prefix: ptr(of(q.prefix)), Marker: ptr(of(q.after)), MaxKeys: in.MaxKeys,
		Delimiter: given(of(q.delimiter)), IsTruncated: &more, EncodingType: encoding}
	for _, e := range entries {
		if e.prefix {
			out.CommonPrefixes = append(out.CommonPrefixes, types.CommonPrefix{Prefix: &e.key})
		} else {
			out.Contents = append(out.Contents, k.object(e, true))
		}
	}
	if more && q.delimiter != "" {
		out.NextMarker = &entries[len(entries)-1].key
	}
	return out, nil
}

func (k *keeper) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	of, encoding, err := spelling(ctx)
	if err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	q := query{prefix: text(in.Prefix), delimiter: text(in.Delimiter), after: text(in.StartAfter)}
	startAfter, token := given(of(q.after)), given(text(in.ContinuationToken))
	if r, ok := ctx.(*fasthttp.RequestCtx); token != nil || ok && r.QueryArgs().Has("continuation-token") {
		after, err := base64.URLEncoding.DecodeString(text(token))
		if err != nil || len(after) == 0 {
			return s3response.ListObjectsV2Result{}, invalidArgument("The continuation token provided is incorrect", "continuation-token", "")
		}
		q.after, q.whole, startAfter = string(after), true, nil
	}
	entries, more, err := k.page(text(in.Bucket), q, *in.MaxKeys)
	if err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	out := s3response.ListObjectsV2Result{Name: in.Bucket, Prefix: ptr(of(q.prefix)), StartAfter: startAfter, ContinuationToken: token,
		MaxKeys: in.MaxKeys, Delimiter: given(of(q.delimiter)), IsTruncated: &more, KeyCount: ptr(int32(len(entries))), EncodingType: encoding}
	if more {
		out.NextContinuationToken = ptr(base64.URLEncoding.EncodeToString([]byte(entries[len(entries)-1].key)))
	}
	spell(entries, of)
	for _, e := range entries {
		if e.prefix {
			out.CommonPrefixes = append(out.CommonPrefixes, types.CommonPrefix{Prefix: &e.key})
		} else {
			out.Contents = append(out.Contents, k.object(e, in.FetchOwner != nil && *in.FetchOwner))
		}
	}
	return out, nil
}

func (k *keeper) ListObjectVersions(ctx context.Context, in *s3.ListObjectVersionsInput) (s3response.ListVersionsResult, error) {
	of, encoding, err := spelling(ctx)
	if err != nil {
		return s3response.ListVersionsResult{}, err
	}
	q := query{prefix: text(in.Prefix), delimiter: text(in.Delimiter), after: text(in.KeyMarker), afterVersion: text(in.VersionIdMarker), all: true, whole: true}
	if q.afterVersion != "" && q.after == "" {
		return s3response.ListVersionsResult{}, invalidArgument("A version-id marker cannot be specified without a key marker.", "version-id-marker", q.afterVersion)
	}
	entries, more, err := k.page(text(in.Bucket), q, *in.MaxKeys)
	if err != nil {
		return s3response.ListVersionsResult{}, err
	}
	spell(entries, of)
	out := s3response.ListVersionsResult{Name: in.Bucket, Prefix: ptr(of(q.prefix)), KeyMarker: ptr(of(q.after)), VersionIdMarker: ptr(q.afterVersion),
		MaxKeys: in.MaxKeys, Delimiter: given(of(q.delimiter)), IsTruncated: &more, EncodingType: encoding}
	owner := &types.Owner{ID: &k.account}
	for _, e := range entries {
		switch {
		case e.prefix:
			out.CommonPrefixes = append(out.CommonPrefixes, types.CommonPrefix{Prefix: &e.key})
		case e.v.DeleteMarker:
			out.DeleteMarkers = append(out.DeleteMarkers, types.DeleteMarkerEntry{Key: &e.key, IsLatest: &e.latest, LastModified: &e.v.Modified, VersionId: &e.v.ID, Owner: owner})
		default:
			o := k.object(e, true)
			out.Versions = append(out.Versions, s3response.ObjectVersion{Key: o.Key, ETag: o.ETag, Size: o.Size, LastModified: o.LastModified, Owner: o.Owner,
				ChecksumAlgorithm: o.ChecksumAlgorithm, ChecksumType: o.ChecksumType, StorageClass: types.ObjectVersionStorageClass(shownClass(e.v.Class)), IsLatest: &e.latest, VersionId: &e.v.ID})
		}
	}
	if more {
		last := entries[len(entries)-1]
		out.NextKeyMarker = &last.key
		if last.v != nil {
			out.NextVersionIdMarker = &last.v.ID
		}
	}
	return out, nil
}
