package main

import (
	"bytes"
	"io"
	"maps"
	"runtime"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/statemachine"
)

// A state folder on a file system without extended attributes is as good as
// another: objects, what is said of them and runs are there, and stay.
func TestUp_WithoutExtendedAttributes(t *testing.T) {
	t.Parallel()
	if !canRefuseXattr {
		t.Skipf("NOT SUPPORTED on %s/%s: system calls are refused by a filter of Linux", runtime.GOOS, runtime.GOARCH)
	}
	bin, err := newBin(t.TempDir(), smallFlights)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	up := upIn(t, dir, bin, "without-xattr")
	c := &testCloud{session: sessionAt(t, up.endpoint), t: t}
	small, large := []byte("small"), bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	c.putDescribed("notes/small.txt", small)
	c.putDescribed("notes/large.txt", large)
	c.uploadBytes(flightRows(3000, 1), "flights/raw/1.csv")
	run := c.begins()
	c.decide(run, events.Approved, "by the test")
	c.wantEnd(run, statemachine.OutcomeReleased)
	c.wantDescribed("notes/small.txt", small)
	c.wantDescribed("notes/large.txt", large)

	if err := up.stop(); err != nil {
		t.Fatal(err)
	}
	up = upIn(t, dir, bin, "without-xattr")
	c = &testCloud{session: sessionAt(t, up.endpoint), t: t}
	c.wantDescribed("notes/small.txt", small)
	c.wantDescribed("notes/large.txt", large)
	c.wantEnd(run, statemachine.OutcomeReleased)
	if err := up.stop(); err != nil {
		t.Fatal(err)
	}
}

// What putDescribed says of an object beside its bytes.
var (
	describedAs     = map[string]string{"from": "the test"}
	describedTags   = map[string]string{"kind": "note"}
	describedFormat = "text/x-note"
)

// putDescribed puts an object with metadata and tags into the data bucket.
func (c *testCloud) putDescribed(key string, raw []byte) {
	c.t.Helper()
	if _, err := c.s3.PutObject(c.t.Context(), &s3.PutObjectInput{Bucket: &c.dataBucket, Key: &key, Body: bytes.NewReader(raw), ContentType: &describedFormat, Metadata: describedAs}); err != nil {
		c.t.Fatalf("put %s: %v", key, err)
	}
	var tags []types.Tag
	for k, v := range describedTags {
		tags = append(tags, types.Tag{Key: &k, Value: &v})
	}
	if _, err := c.s3.PutObjectTagging(c.t.Context(), &s3.PutObjectTaggingInput{Bucket: &c.dataBucket, Key: &key, Tagging: &types.Tagging{TagSet: tags}}); err != nil {
		c.t.Fatalf("tag %s: %v", key, err)
	}
}

// wantDescribed holds an object to what putDescribed has put.
func (c *testCloud) wantDescribed(key string, want []byte) {
	c.t.Helper()
	out, err := c.s3.GetObject(c.t.Context(), &s3.GetObjectInput{Bucket: &c.dataBucket, Key: &key})
	if err != nil {
		c.t.Fatalf("get %s: %v", key, err)
	}
	defer out.Body.Close()
	if raw, err := io.ReadAll(out.Body); err != nil || !bytes.Equal(raw, want) {
		c.t.Errorf("%s has %d bytes, %v; want the %d that were put", key, len(raw), err, len(want))
	}
	if !maps.Equal(out.Metadata, describedAs) || aws.ToString(out.ContentType) != describedFormat {
		c.t.Errorf("%s has metadata %v and type %q", key, out.Metadata, aws.ToString(out.ContentType))
	}
	tagging, err := c.s3.GetObjectTagging(c.t.Context(), &s3.GetObjectTaggingInput{Bucket: &c.dataBucket, Key: &key})
	if err != nil {
		c.t.Fatalf("get tags of %s: %v", key, err)
	}
	tags := map[string]string{}
	for _, tag := range tagging.TagSet {
		tags[aws.ToString(tag.Key)] = aws.ToString(tag.Value)
	}
	if !maps.Equal(tags, describedTags) {
		c.t.Errorf("%s has tags %v", key, tags)
	}
}
