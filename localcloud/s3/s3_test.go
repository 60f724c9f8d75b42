package s3_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/s3"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

const account = "000000000000"

// cloud is an S3 behind a real port, with what it emitted.
type cloud struct {
	*s3.S3
	url string
	log logged

	mu     sync.Mutex
	events []event
	rules  map[string]map[string]bool // role → "action resource" → allowed
}

type event struct {
	DetailType string
	Resources  []string
	Detail     map[string]any
}

func (c *cloud) emit(_ context.Context, source, detailType string, resources []string, detail any) {
	raw, err := json.Marshal(detail)
	if err != nil || source != "aws.s3" {
		panic(fmt.Sprint(source, err))
	}
	e := event{DetailType: detailType, Resources: resources}
	if err := json.Unmarshal(raw, &e.Detail); err != nil {
		panic(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = append(c.events, e)
}

func (c *cloud) sent() []event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.events)
}

const roleARN = "arn:aws:iam::000000000000:role/reader"

func secretFor(access string) (string, string, wire.Caller, bool) {
	switch access {
	case "test":
		return "test", "", wire.Caller{Account: account, ARN: "arn:aws:iam::" + account + ":root"}, true
	case "ASIAROLE":
		return "role-secret", "role-token", wire.Caller{Account: account, ARN: "arn:aws:sts::000000000000:assumed-role/reader/s", RoleARN: roleARN}, true
	}
	return "", "", wire.Caller{}, false
}

func (c *cloud) evaluate(_ wire.Caller, action, resource string, conditions map[string][]string) (allowed, denied bool) {
	if conditions["aws:SecureTransport"][0] != "true" {
		return false, true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	verdict, ok := c.rules[roleARN][action+" "+resource]
	return ok && verdict, ok && !verdict
}

func start(t testing.TB, dir string) *cloud {
	t.Helper()
	c := &cloud{rules: map[string]map[string]bool{roleARN: {}}}
	handler := slog.NewTextHandler(&c.log, nil)
	var err error
	c.S3, err = s3.New(s3.Options{Dir: dir, NoSync: true, Account: account, Region: "us-east-1", Clock: clock.Real{}, Log: slog.New(handler),
		SecretFor: secretFor, Evaluate: c.evaluate, Emit: c.emit})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c.S3)
	c.url = server.URL
	t.Cleanup(func() {
		server.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// logged is what the service has logged so far; requests go on logging while a
// test reads it.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (c *cloud) client(access, secret, token string) *awss3.Client {
	return awss3.New(awss3.Options{Region: "us-east-1", BaseEndpoint: &c.url, RetryMaxAttempts: 3,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		Credentials: credentials.NewStaticCredentialsProvider(access, secret, token)})
}

func (c *cloud) root() *awss3.Client { return c.client("test", "test", "") }

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func makeBucket(t testing.TB, cl *awss3.Client, name string, versioned bool) {
	t.Helper()
	must[*awss3.CreateBucketOutput](t)(cl.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name}))
	if versioned {
		must[*awss3.PutBucketVersioningOutput](t)(cl.PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{Bucket: &name,
			VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}}))
	}
}

func put(t testing.TB, cl *awss3.Client, bucket, key, body string) *awss3.PutObjectOutput {
	t.Helper()
	return must[*awss3.PutObjectOutput](t)(cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}))
}

func get(t testing.TB, cl *awss3.Client, in *awss3.GetObjectInput) string {
	t.Helper()
	out := must[*awss3.GetObjectOutput](t)(cl.GetObject(t.Context(), in))
	defer func() { _ = out.Body.Close() }()
	return string(must[[]byte](t)(io.ReadAll(out.Body)))
}

func TestObjects(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "plain", false)
	big := strings.Repeat("0123456789abcdef", 100_000) // 1.6 MB: a file, not the index
	for _, key := range []string{"a", "a/b", "a/b/c", "dir/", "sp ace+plus%25&é=日本", strings.Repeat("k", 1024), "x//y", "a%2Fb", "./dots/../up"} {
		for name, body := range map[string]string{"empty": "", "small": "hello", "big": big} {
			t.Run(name+" "+key[:min(20, len(key))], func(t *testing.T) {
				out := must[*awss3.PutObjectOutput](t)(cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("plain"), Key: &key, Body: strings.NewReader(body),
					ContentType: aws.String("text/x"), Metadata: map[string]string{"who": "me"}, Tagging: aws.String("k=v"), CacheControl: aws.String("no-cache")}))
				if out.VersionId != nil {
					t.Errorf("version id %q in a bucket without versions", *out.VersionId)
				}
				got := must[*awss3.GetObjectOutput](t)(cl.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("plain"), Key: &key, ChecksumMode: types.ChecksumModeEnabled}))
				defer func() { _ = got.Body.Close() }()
				data := must[[]byte](t)(io.ReadAll(got.Body))
				if string(data) != body || aws.ToString(got.ContentType) != "text/x" || got.Metadata["who"] != "me" || aws.ToString(got.ETag) != aws.ToString(out.ETag) ||
					aws.ToInt32(got.TagCount) != 1 || aws.ToString(got.CacheControl) != "no-cache" || got.ChecksumCRC32 == nil || got.ContentEncoding != nil {
					t.Errorf("got %d bytes, type %v, CRC32 %v, encoding %v", len(data), aws.ToString(got.ContentType), got.ChecksumCRC32, got.ContentEncoding)
				}
				head := must[*awss3.HeadObjectOutput](t)(cl.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("plain"), Key: &key}))
				if aws.ToInt64(head.ContentLength) != int64(len(body)) || time.Since(*head.LastModified) > time.Hour {
					t.Errorf("head %+v", head)
				}
			})
		}
	}
	_, err := cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("plain"), Key: aws.String(strings.Repeat("k", 1025)), Body: strings.NewReader("")})
	if code(err) != "KeyTooLongError" {
		t.Errorf("key of 1025 bytes: %v", err)
	}
	_, err = cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("nobucket"), Key: aws.String("k"), Body: strings.NewReader(strings.Repeat("x", 10<<20))})
	if code(err) != "NoSuchBucket" {
		t.Errorf("10 MiB to no bucket: %v", err)
	}
	_, err = cl.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("plain"), Key: aws.String("nokey")})
	if code(err) != "NoSuchKey" {
		t.Errorf("get nothing: %v", err)
	}
}

func TestRanges(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "ranges", false)
	put(t, cl, "ranges", "k", "0123456789")
	for header, want := range map[string]string{"bytes=2-4": "234", "bytes=7-": "789", "bytes=-3": "789", "bytes=5-100": "56789", "bytes=0-0": "0"} {
		if got := get(t, cl, &awss3.GetObjectInput{Bucket: aws.String("ranges"), Key: aws.String("k"), Range: &header}); got != want {
			t.Errorf("%s: got %q, want %q", header, got, want)
		}
	}
	_, err := cl.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("ranges"), Key: aws.String("k"), Range: aws.String("bytes=10-")})
	if code(err) != "InvalidRange" {
		t.Errorf("range past the end: %v", err)
	}
}

func TestVersions(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir)
	cl := c.root()
	b := aws.String("versioned")
	makeBucket(t, cl, *b, false)
	put(t, cl, *b, "k", "before")
	makeBucketVersioned(t, cl, *b, types.BucketVersioningStatusEnabled)
	one, two := put(t, cl, *b, "k", "one"), put(t, cl, *b, "k", "two")
	if aws.ToString(one.VersionId) == "" || *one.VersionId == aws.ToString(two.VersionId) {
		t.Fatalf("version ids %v, %v", one.VersionId, two.VersionId)
	}
	for id, want := range map[string]string{*one.VersionId: "one", *two.VersionId: "two", "null": "before"} {
		if got := get(t, cl, &awss3.GetObjectInput{Bucket: b, Key: aws.String("k"), VersionId: &id}); got != want {
			t.Errorf("version %s: %q, want %q", id, got, want)
		}
	}
	marker := must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: b, Key: aws.String("k")}))
	if !aws.ToBool(marker.DeleteMarker) || aws.ToString(marker.VersionId) == "" {
		t.Errorf("delete: %+v", marker)
	}
	missing := must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: b, Key: aws.String("never")}))
	if !aws.ToBool(missing.DeleteMarker) {
		t.Errorf("delete of what never was: %+v", missing)
	}
	_, err := cl.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: b, Key: aws.String("k")})
	if code(err) != "NoSuchKey" {
		t.Errorf("get deleted: %v", err)
	}
	_, err = cl.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: b, Key: aws.String("k"), VersionId: marker.VersionId})
	if code(err) != "MethodNotAllowed" {
		t.Errorf("get marker: %v", err)
	}
	_, err = cl.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: b, Key: aws.String("k"), VersionId: aws.String("doesnotexist")})
	if code(err) != "NoSuchVersion" {
		t.Errorf("get unknown version: %v", err)
	}
	list := must[*awss3.ListObjectVersionsOutput](t)(cl.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: b, Prefix: aws.String("k")}))
	var ids []string
	for _, v := range list.Versions {
		ids = append(ids, *v.VersionId)
	}
	if want := []string{*two.VersionId, *one.VersionId, "null"}; !slices.Equal(ids, want) || len(list.DeleteMarkers) != 1 || !aws.ToBool(list.DeleteMarkers[0].IsLatest) {
		t.Errorf("versions %v, want %v; markers %+v", ids, want, list.DeleteMarkers)
	}
	// Without its marker the object is back.
	must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: b, Key: aws.String("k"), VersionId: marker.VersionId}))
	if got := get(t, cl, &awss3.GetObjectInput{Bucket: b, Key: aws.String("k")}); got != "two" {
		t.Errorf("undeleted: %q", got)
	}
	must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: b, Key: aws.String("k"), VersionId: two.VersionId}))
	if got := get(t, cl, &awss3.GetObjectInput{Bucket: b, Key: aws.String("k")}); got != "one" {
		t.Errorf("after deleting the newest: %q", got)
	}
	makeBucketVersioned(t, cl, *b, types.BucketVersioningStatusSuspended)
	put(t, cl, *b, "k", "suspended")
	if got := get(t, cl, &awss3.GetObjectInput{Bucket: b, Key: aws.String("k"), VersionId: aws.String("null")}); got != "suspended" {
		t.Errorf("null version: %q", got)
	}
	_, err = cl.DeleteBucket(t.Context(), &awss3.DeleteBucketInput{Bucket: b})
	if code(err) != "BucketNotEmpty" {
		t.Errorf("delete full bucket: %v", err)
	}
}

func makeBucketVersioned(t *testing.T, cl *awss3.Client, name string, s types.BucketVersioningStatus) {
	t.Helper()
	must[*awss3.PutBucketVersioningOutput](t)(cl.PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{Bucket: &name,
		VersioningConfiguration: &types.VersioningConfiguration{Status: s}}))
}

func TestStateSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir)
	cl := c.root()
	makeBucket(t, cl, "kept", true)
	small, large := put(t, cl, "kept", "small", "s"), put(t, cl, "kept", "large", strings.Repeat("l", 100_000))
	if _, err := s3.New(s3.Options{Dir: dir, Account: account, Region: "us-east-1", Clock: clock.Real{}, Log: slog.Default(), SecretFor: secretFor}); err == nil {
		t.Error("a second service on the same folder was not refused")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	orphan := filepath.Join(dir, "objects", "00", "00-left-by-a-kill")
	if err := errors.Join(os.MkdirAll(filepath.Dir(orphan), 0o700), os.WriteFile(orphan, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	var err error
	c.S3, err = s3.New(s3.Options{Dir: dir, Account: account, Region: "us-east-1", Clock: clock.Real{}, Log: slog.Default(), SecretFor: secretFor, Evaluate: c.evaluate})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(c.S3)
	t.Cleanup(server.Close)
	c.url = server.URL
	for key, want := range map[string]*awss3.PutObjectOutput{"small": small, "large": large} {
		head := must[*awss3.HeadObjectOutput](t)(c.root().HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("kept"), Key: &key}))
		if *head.VersionId != *want.VersionId || *head.ETag != *want.ETag {
			t.Errorf("%s: %s %s, want %s %s", key, *head.VersionId, *head.ETag, *want.VersionId, *want.ETag)
		}
	}
	if got := get(t, c.root(), &awss3.GetObjectInput{Bucket: aws.String("kept"), Key: aws.String("large")}); len(got) != 100_000 {
		t.Errorf("large object has %d bytes", len(got))
	}
	if _, err := os.Stat(orphan); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a kill left is still there: %v", err)
	}
}

func TestConditionalWrites(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "cond", true)
	b := aws.String("cond")
	first := put(t, cl, "cond", "there", "1")
	put(t, cl, "cond", "gone", "1")
	put(t, cl, "cond", "bare", "1")
	put(t, cl, "cond", "half", "1")
	bare := aws.String(strings.Trim(*first.ETag, `"`))
	must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: b, Key: aws.String("gone")}))
	for name, tc := range map[string]struct {
		key         string
		match, none *string
		want        string
	}{
		"none match, nothing there":        {key: "new", none: aws.String("*")},
		"none match, there":                {key: "there", none: aws.String("*"), want: "PreconditionFailed"},
		"none match, over a delete marker": {key: "gone", none: aws.String("*")},
		"match, nothing there":             {key: "never", match: first.ETag, want: "NoSuchKey"},
		"match, without quotes":            {key: "bare", match: bare},
		"match, with one quote":            {key: "half", match: aws.String(*bare + `"`)},
		"match, another":                   {key: "there", match: aws.String(`"00000000000000000000000000000000"`), want: "PreconditionFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: b, Key: &tc.key, Body: strings.NewReader("2"), IfMatch: tc.match, IfNoneMatch: tc.none})
			if code(err) != tc.want {
				t.Errorf("put: %q, want %q", code(err), tc.want)
			}
		})
	}
	_, err := cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: b, Key: aws.String("there"), Body: strings.NewReader("2"), IfMatch: first.ETag})
	if err != nil {
		t.Errorf("match: %v", err)
	}
	_, err = cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: b, Key: aws.String("there"), IfMatch: first.ETag})
	if code(err) != "PreconditionFailed" {
		t.Errorf("delete with an old ETag: %v", err)
	}
	_, err = cl.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: b, Key: aws.String("there"), CopySource: aws.String("cond/new"), IfNoneMatch: aws.String("*")})
	if code(err) != "PreconditionFailed" {
		t.Errorf("copy over what is there: %v", err)
	}
}

// race runs f from 64 goroutines at once and counts those without error; all others must fail with want.
func race(t *testing.T, want string, f func(i int) error) int {
	t.Helper()
	var wg sync.WaitGroup
	begin := make(chan struct{})
	errs := make([]error, 64)
	for i := range errs {
		wg.Go(func() {
			<-begin
			errs[i] = f(i)
		})
	}
	close(begin)
	wg.Wait()
	winners := 0
	for _, err := range errs {
		switch {
		case err == nil:
			winners++
		case code(err) != want:
			t.Errorf("loser: %v, want %s", err, want)
		}
	}
	return winners
}

func TestConditionalRaces(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "races", true)
	b := aws.String("races")
	for round := range 5 {
		key := aws.String(fmt.Sprint("none", round))
		n := race(t, "PreconditionFailed", func(i int) error {
			_, err := cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: b, Key: key, Body: strings.NewReader(fmt.Sprint(i)), IfNoneMatch: aws.String("*")})
			return err
		})
		if n != 1 {
			t.Errorf("If-None-Match: %d winners", n)
		}
		key = aws.String(fmt.Sprint("match", round))
		etag := put(t, cl, "races", *key, "start").ETag
		n = race(t, "PreconditionFailed", func(i int) error {
			_, err := cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: b, Key: key, Body: strings.NewReader(fmt.Sprint(i)), IfMatch: etag})
			return err
		})
		if n != 1 {
			t.Errorf("If-Match: %d winners", n)
		}
		n = race(t, "PreconditionFailed", func(int) error {
			_, err := cl.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: b, Key: aws.String(fmt.Sprint("copy", round)), CopySource: aws.String("races/" + *key), IfNoneMatch: aws.String("*")})
			return err
		})
		if n != 1 {
			t.Errorf("copy If-None-Match: %d winners", n)
		}
	}
}

func TestCopy(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "from", true)
	makeBucket(t, cl, "target", false)
	old := must[*awss3.PutObjectOutput](t)(cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("from"), Key: aws.String("k 1"), Body: strings.NewReader("old"),
		Metadata: map[string]string{"m": "1"}, ContentType: aws.String("text/old"), Tagging: aws.String("a=b")}))
	put(t, cl, "from", "k 1", "new")
	out := must[*awss3.CopyObjectOutput](t)(cl.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("target"), Key: aws.String("c"), CopySource: aws.String("from/k%201?versionId=" + *old.VersionId)}))
	if aws.ToString(out.CopySourceVersionId) != *old.VersionId {
		t.Errorf("copied version %v", out.CopySourceVersionId)
	}
	head := must[*awss3.HeadObjectOutput](t)(cl.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("target"), Key: aws.String("c")}))
	if head.Metadata["m"] != "1" || *head.ContentType != "text/old" || aws.ToInt32(head.TagCount) != 1 {
		t.Errorf("copy lost its headers: %+v", head)
	}
	if got := get(t, cl, &awss3.GetObjectInput{Bucket: aws.String("target"), Key: aws.String("c")}); got != "old" {
		t.Errorf("copied %q", got)
	}
	_, err := cl.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("target"), Key: aws.String("c"), CopySource: aws.String("target/c")})
	if code(err) != "InvalidRequest" {
		t.Errorf("copy onto itself: %v", err)
	}
	// An old version is restored by copying it onto its own key.
	must[*awss3.CopyObjectOutput](t)(cl.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("from"), Key: aws.String("k 1"), CopySource: aws.String("from/k%201?versionId=" + *old.VersionId)}))
	if got := get(t, cl, &awss3.GetObjectInput{Bucket: aws.String("from"), Key: aws.String("k 1")}); got != "old" {
		t.Errorf("restored %q", got)
	}
	_, err = cl.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("target"), Key: aws.String("d"), CopySource: aws.String("from/nothing")})
	if code(err) != "NoSuchKey" {
		t.Errorf("copy of nothing: %v", err)
	}
}
