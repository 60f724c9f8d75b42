package ledgertest

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

type version struct {
	id     string
	body   []byte
	marker bool // of a deletion
}

// S3 is versioned buckets in memory. Every bucket exists. It may be used by
// several goroutines.
type S3 struct {
	Faults *Faults
	Page   int // objects a listing gives at once; 0: 1000

	mu       sync.Mutex
	versions map[string][]version // by bucket/key, oldest first
	last     int
}

// NewS3 makes an empty S3.
func NewS3() *S3 { return &S3{versions: map[string][]version{}} }

func fail(code string) error { return &smithy.GenericAPIError{Code: code, Message: code} }

func etag(body []byte) string {
	sum := md5.Sum(body)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

func name(bucket, key *string) string { return aws.ToString(bucket) + "/" + aws.ToString(key) }

// newest is the object's current version; ok is false when there is none.
func (s *S3) newest(name string) (v version, ok bool) {
	all := s.versions[name]
	if len(all) == 0 || all[len(all)-1].marker {
		return v, false
	}
	return all[len(all)-1], true
}

func (s *S3) add(name string, v version) version {
	s.last++
	v.id = fmt.Sprintf("v%04d", s.last)
	s.versions[name] = append(s.versions[name], v)
	return v
}

func (s *S3) find(name string, id *string) (version, error) {
	if id == nil {
		if v, ok := s.newest(name); ok {
			return v, nil
		}
		return version{}, fail("NoSuchKey")
	}
	for _, v := range s.versions[name] {
		if v.id == *id && !v.marker {
			return v, nil
		}
	}
	return version{}, fail("NoSuchVersion")
}

// do makes one call under the lock.
func (s *S3) do(op, name string, call func() error) error {
	return s.Faults.Do(op+" "+name, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		return call()
	})
}

// GetObject gives an object's newest or a certain version.
func (s *S3) GetObject(_ context.Context, in *s3.GetObjectInput, _ ...func(*s3.Options)) (out *s3.GetObjectOutput, err error) {
	err = s.do("GetObject", name(in.Bucket, in.Key), func() error {
		v, err := s.find(name(in.Bucket, in.Key), in.VersionId)
		out = &s3.GetObjectOutput{Body: io.NopCloser(bytes.NewReader(v.body)), ETag: aws.String(etag(v.body)), VersionId: &v.id}
		return err
	})
	return out, err
}

// HeadObject describes an object's newest version.
func (s *S3) HeadObject(_ context.Context, in *s3.HeadObjectInput, _ ...func(*s3.Options)) (out *s3.HeadObjectOutput, err error) {
	err = s.do("HeadObject", name(in.Bucket, in.Key), func() error {
		v, err := s.find(name(in.Bucket, in.Key), in.VersionId)
		if err != nil {
			return fail("NotFound") // a HEAD has no body to name the error in
		}
		out = &s3.HeadObjectOutput{ContentLength: aws.Int64(int64(len(v.body))), ETag: aws.String(etag(v.body))}
		return nil
	})
	return out, err
}

// PutObject writes an object under the conditions that S3 knows.
func (s *S3) PutObject(_ context.Context, in *s3.PutObjectInput, _ ...func(*s3.Options)) (out *s3.PutObjectOutput, err error) {
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	err = s.do("PutObject", name(in.Bucket, in.Key), func() error {
		cur, there := s.newest(name(in.Bucket, in.Key))
		switch {
		case in.IfNoneMatch != nil && *in.IfNoneMatch != "*":
			return fail("NotImplemented")
		case in.IfNoneMatch != nil && there:
			return fail("PreconditionFailed")
		case in.IfMatch != nil && !there:
			return fail("NoSuchKey")
		case in.IfMatch != nil && *in.IfMatch != etag(cur.body):
			return fail("PreconditionFailed")
		}
		v := s.add(name(in.Bucket, in.Key), version{body: body})
		out = &s3.PutObjectOutput{ETag: aws.String(etag(body)), VersionId: &v.id}
		return nil
	})
	return out, err
}

// DeleteObject puts a delete marker on top, also where nothing is.
func (s *S3) DeleteObject(_ context.Context, in *s3.DeleteObjectInput, _ ...func(*s3.Options)) (*s3.DeleteObjectOutput, error) {
	err := s.do("DeleteObject", name(in.Bucket, in.Key), func() error {
		s.add(name(in.Bucket, in.Key), version{marker: true})
		return nil
	})
	return &s3.DeleteObjectOutput{}, err
}

// CopyObject copies one version within or between buckets.
func (s *S3) CopyObject(_ context.Context, in *s3.CopyObjectInput, _ ...func(*s3.Options)) (*s3.CopyObjectOutput, error) {
	source, query, _ := strings.Cut(aws.ToString(in.CopySource), "?versionId=")
	// S3 takes "+" for a blank, as in a form.
	source, err := url.QueryUnescape(source)
	if err != nil {
		return nil, fail("InvalidArgument")
	}
	err = s.do("CopyObject", name(in.Bucket, in.Key), func() error {
		v, err := s.find(source, aws.String(query))
		if err != nil {
			return err
		}
		s.add(name(in.Bucket, in.Key), version{body: v.body})
		return nil
	})
	return &s3.CopyObjectOutput{}, err
}

// names lists the names under a bucket and prefix after a key, sorted.
func (s *S3) names(bucket, prefix, after string) (keys []string) {
	for n := range s.versions {
		key, ok := strings.CutPrefix(n, bucket+"/")
		if ok && strings.HasPrefix(key, prefix) && key > after {
			keys = append(keys, key)
		}
	}
	sort.Strings(keys)
	return keys
}

func (s *S3) page() int {
	if s.Page == 0 {
		return 1000
	}
	return s.Page
}

// ListObjectsV2 lists the newest versions, page by page.
func (s *S3) ListObjectsV2(_ context.Context, in *s3.ListObjectsV2Input, _ ...func(*s3.Options)) (*s3.ListObjectsV2Output, error) {
	out := &s3.ListObjectsV2Output{IsTruncated: aws.Bool(false)}
	err := s.do("ListObjectsV2", name(in.Bucket, in.Prefix), func() error {
		for _, key := range s.names(*in.Bucket, aws.ToString(in.Prefix), aws.ToString(in.ContinuationToken)) {
			v, ok := s.newest(*in.Bucket + "/" + key)
			if !ok {
				continue
			}
			if len(out.Contents) == s.page() {
				out.IsTruncated, out.NextContinuationToken = aws.Bool(true), out.Contents[len(out.Contents)-1].Key
				return nil
			}
			out.Contents = append(out.Contents, types.Object{Key: &key, Size: aws.Int64(int64(len(v.body))), ETag: aws.String(etag(v.body))})
		}
		return nil
	})
	return out, err
}

// ListObjectVersions lists all versions, each key's newest first, page by page
// (pages end between keys).
func (s *S3) ListObjectVersions(_ context.Context, in *s3.ListObjectVersionsInput, _ ...func(*s3.Options)) (*s3.ListObjectVersionsOutput, error) {
	out := &s3.ListObjectVersionsOutput{IsTruncated: aws.Bool(false)}
	err := s.do("ListObjectVersions", name(in.Bucket, in.Prefix), func() error {
		last := ""
		for _, key := range s.names(*in.Bucket, aws.ToString(in.Prefix), aws.ToString(in.KeyMarker)) {
			if len(out.Versions)+len(out.DeleteMarkers) >= s.page() {
				out.IsTruncated, out.NextKeyMarker = aws.Bool(true), &last
				return nil
			}
			last = key
			all := s.versions[*in.Bucket+"/"+key]
			for i := len(all) - 1; i >= 0; i-- {
				latest := aws.Bool(i == len(all)-1)
				if all[i].marker {
					out.DeleteMarkers = append(out.DeleteMarkers, types.DeleteMarkerEntry{Key: &key, VersionId: &all[i].id, IsLatest: latest})
					continue
				}
				out.Versions = append(out.Versions, types.ObjectVersion{Key: &key, VersionId: &all[i].id, IsLatest: latest,
					Size: aws.Int64(int64(len(all[i].body))), LastModified: aws.Time(time.Unix(0, 0))})
			}
		}
		return nil
	})
	return out, err
}

// Upload writes an object as a person does, past all faults, and gives its version.
func (s *S3) Upload(bucket, key string, body []byte) (versionID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(bucket+"/"+key, version{body: body}).id
}

// Erase removes a version for good, past all faults.
func (s *S3) Erase(bucket, key, versionID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := bucket + "/" + key
	var kept []version
	for _, v := range s.versions[n] {
		if v.id != versionID {
			kept = append(kept, v)
		}
	}
	s.versions[n] = kept
}

// Objects gives the content of a bucket's newest versions by key, past all faults.
func (s *S3) Objects(bucket string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for _, key := range s.names(bucket, "", "") {
		if v, ok := s.newest(bucket + "/" + key); ok {
			out[key] = string(v.body)
		}
	}
	return out
}
