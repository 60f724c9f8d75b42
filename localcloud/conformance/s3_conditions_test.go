package conformance_test

import (
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
)

const (
	writesPage  = s3Guide + "conditional-writes.html"
	deletesPage = s3Guide + "conditional-deletes.html"
	readsPage   = s3Guide + "conditional-reads.html"
	unmet       = "At least one of the pre-conditions you specified did not hold"
	notServed   = "A header you provided implies functionality that is not implemented"
)

func putNew(in *s3.PutObjectInput) { in.IfNoneMatch = ref("*") }

func putOver(etag *string) func(*s3.PutObjectInput) {
	return func(in *s3.PutObjectInput) { in.IfMatch = etag }
}

var s3Conditions = []behaviour{
	{id: "s3.put.if-none-match.new", says: "If-None-Match: * writes a key that is not there", source: writesPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1", putNew).ok(c)
		equal(c, "body", c.read(b, "k"), "1")
	}},
	{id: "s3.put.if-none-match.412", says: "If-None-Match: * over an object is 412, and the object stays", source: writesPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1").ok(c)
		c.put(b, "k", "2", putNew).fails(c, 412, "PreconditionFailed", unmet)
		equal(c, "body", c.read(b, "k"), "1")
	}},
	{id: "s3.put.if-none-match.deleted", says: "If-None-Match: * writes over a delete marker", source: writesPage, run: func(c *call) {
		b := c.versioned()
		c.put(b, "k", "1").ok(c)
		c.drop(b, "k").ok(c)
		c.put(b, "k", "2", putNew).ok(c)
		equal(c, "body", c.read(b, "k"), "2")
	}},
	{id: "s3.put.if-none-match.etag", says: "If-None-Match with anything but * is not implemented for a put", source: s3API + "PutObject.html", run: func(c *call) {
		c.put(c.bucket(), "k", "1", func(in *s3.PutObjectInput) { in.IfNoneMatch = ref(`"0123456789abcdef0123456789abcdef"`) }).fails(c, 501, "NotImplemented", notServed)
	}},
	{id: "s3.put.if-none-match.race", says: "of writers that race with If-None-Match one wins, and the others hear 412 or 409", source: writesPage, run: func(c *call) {
		b := c.bucket()
		results := make([]result[*s3.PutObjectOutput], 8)
		var all sync.WaitGroup
		for i := range results {
			all.Go(func() { results[i] = c.put(b, "k", strconv.Itoa(i), putNew) })
		}
		all.Wait()
		winners := 0
		for _, r := range results {
			var e smithy.APIError
			switch {
			case r.err == nil:
				winners++
			case !errors.As(r.err, &e) || (e.ErrorCode() != "PreconditionFailed" && e.ErrorCode() != "ConditionalRequestConflict"):
				c.Error(r.err)
			}
		}
		equal(c, "winners", winners, 1)
	}},
	{id: "s3.put.if-match.same", says: "If-Match with the object's ETag overwrites it", source: writesPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "2", putOver(c.put(b, "k", "1").ok(c).ETag)).ok(c)
		equal(c, "body", c.read(b, "k"), "2")
	}},
	{id: "s3.put.if-match.412", says: "If-Match with another ETag is 412", source: writesPage, run: func(c *call) {
		b := c.bucket()
		old := c.put(b, "k", "1").ok(c).ETag
		c.put(b, "k", "2").ok(c)
		c.put(b, "k", "3", putOver(old)).fails(c, 412, "PreconditionFailed", unmet)
	}},
	{id: "s3.put.if-match.missing", says: "If-Match for a key that is not there is 404 NoSuchKey", source: writesPage, run: func(c *call) {
		c.put(c.bucket(), "k", "1", putOver(ref(`"0123456789abcdef0123456789abcdef"`))).fails(c, 404, "NoSuchKey", "The specified key does not exist.")
	}},
	{id: "s3.put.if-match.deleted", says: "If-Match for a key with a delete marker is 404 NoSuchKey", source: writesPage, run: func(c *call) {
		b := c.versioned()
		etag := c.put(b, "k", "1").ok(c).ETag
		c.drop(b, "k").ok(c)
		c.put(b, "k", "2", putOver(etag)).fails(c, 404, "NoSuchKey")
	}},
	{id: "s3.put.if-match.star", says: "If-Match: * is not implemented for a put", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1").ok(c)
		c.put(b, "k", "2", putOver(ref("*"))).fails(c, 501, "NotImplemented", notServed)
	}},
	{id: "s3.put.if-match.both", says: "If-Match and If-None-Match together are not implemented", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "2", putNew, putOver(c.put(b, "k", "1").ok(c).ETag)).fails(c, 501, "NotImplemented", notServed)
	}},
	{id: "s3.complete.if-none-match.new", says: "a completion with If-None-Match: * writes a key that is not there", source: writesPage, run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		c.complete(b, "k", u, []types.CompletedPart{c.part(b, "k", u, 1, "1")}, func(in *s3.CompleteMultipartUploadInput) { in.IfNoneMatch = ref("*") }).ok(c)
		equal(c, "body", c.read(b, "k"), "1")
	}},
	{id: "s3.complete.if-none-match.412", says: "a completion with If-None-Match: * over an object is 412, and the upload stays open", source: writesPage, run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		parts := []types.CompletedPart{c.part(b, "k", u, 1, "1")}
		c.put(b, "k", "x").ok(c)
		c.complete(b, "k", u, parts, func(in *s3.CompleteMultipartUploadInput) { in.IfNoneMatch = ref("*") }).fails(c, 412, "PreconditionFailed", unmet)
		c.complete(b, "k", u, parts).ok(c)
	}},
	{id: "s3.complete.if-none-match.409", says: "a conditional completion of a key that was deleted since the upload began is 409 ConditionalRequestConflict", source: writesPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		u := c.begin(b, "k")
		parts := []types.CompletedPart{c.part(b, "k", u, 1, "1")}
		c.drop(b, "k").ok(c)
		c.complete(b, "k", u, parts, func(in *s3.CompleteMultipartUploadInput) { in.IfNoneMatch = ref("*") }).fails(c, 409, "ConditionalRequestConflict",
			"The conditional request cannot succeed due to a conflicting operation against this resource.")
	}},
	{id: "s3.complete.if-match.same", says: "a completion with If-Match overwrites the object of that ETag", source: writesPage, run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "k", "x").ok(c).ETag
		u := c.begin(b, "k")
		c.complete(b, "k", u, []types.CompletedPart{c.part(b, "k", u, 1, "1")}, func(in *s3.CompleteMultipartUploadInput) { in.IfMatch = etag }).ok(c)
	}},
	{id: "s3.complete.if-match.409", says: "a completion with the ETag of what was written since the upload began is 409", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		first := c.put(b, "k", "x").ok(c).ETag
		u := c.begin(b, "k")
		parts := []types.CompletedPart{c.part(b, "k", u, 1, "1")}
		second := c.put(b, "k", "y").ok(c).ETag
		c.complete(b, "k", u, parts, func(in *s3.CompleteMultipartUploadInput) { in.IfMatch = first }).fails(c, 412, "PreconditionFailed")
		c.complete(b, "k", u, parts, func(in *s3.CompleteMultipartUploadInput) { in.IfMatch = second }).fails(c, 409, "ConditionalRequestConflict")
	}},
	{id: "s3.complete.if-match.missing", says: "a completion with If-Match of a key that is not there is 404", source: writesPage, run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		c.complete(b, "k", u, []types.CompletedPart{c.part(b, "k", u, 1, "1")}, func(in *s3.CompleteMultipartUploadInput) { in.IfMatch = ref(`"0123456789abcdef0123456789abcdef"`) }).fails(c, 404, "NoSuchKey")
	}},
	{id: "s3.copy.if-none-match.412", says: "a copy with If-None-Match: * over an object is 412", source: s3API + "CopyObject.html", run: func(c *call) {
		b := c.bucket()
		c.fill(b, "from", "to")
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.IfNoneMatch = ref("*") }).fails(c, 412, "PreconditionFailed", unmet)
		c.copy(b+"/from", b, "new", func(in *s3.CopyObjectInput) { in.IfNoneMatch = ref("*") }).ok(c)
	}},
	{id: "s3.copy.if-match.412", says: "a copy with If-Match goes over the object of that ETag alone", source: s3API + "CopyObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "from", "1").ok(c)
		etag := c.put(b, "to", "2").ok(c).ETag
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.IfMatch = etag }).ok(c)
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.IfMatch = etag }).fails(c, 412, "PreconditionFailed")
		c.copy(b+"/from", b, "none", func(in *s3.CopyObjectInput) { in.IfMatch = etag }).fails(c, 404, "NoSuchKey")
	}},
	{id: "s3.delete.if-match.same", says: "a delete with the object's ETag deletes it", source: deletesPage, run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "k", "1").ok(c).ETag
		c.drop(b, "k", func(in *s3.DeleteObjectInput) { in.IfMatch = etag }).ok(c)
		c.get(b, "k").fails(c, 404, "NoSuchKey")
	}},
	{id: "s3.delete.if-match.412", says: "a delete with another ETag is 412, and the object stays", source: deletesPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1").ok(c)
		c.drop(b, "k", func(in *s3.DeleteObjectInput) { in.IfMatch = ref(`"0123456789abcdef0123456789abcdef"`) }).fails(c, 412, "PreconditionFailed", unmet)
		equal(c, "body", c.read(b, "k"), "1")
	}},
	{id: "s3.delete-objects.if-match.412", says: "of many to delete, those with another ETag stay, each with its own error", source: deletesPage, run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "a", "1").ok(c).ETag
		c.put(b, "b", "2").ok(c)
		out := try(c.s3.DeleteObjects(c.ctx, &s3.DeleteObjectsInput{Bucket: &b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: ref("a"), ETag: etag}, {Key: ref("b"), ETag: etag}}}})).ok(c)
		if len(out.Deleted) != 1 || *out.Deleted[0].Key != "a" || len(out.Errors) != 1 || *out.Errors[0].Key != "b" || *out.Errors[0].Code != "PreconditionFailed" {
			c.Errorf("answer: %+v", out)
		}
		equal(c, "body", c.read(b, "b"), "2")
	}},
	{id: "s3.get.if-match", says: "a read with another ETag in If-Match is 412", source: readsPage, run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "k", "1").ok(c).ETag
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfMatch = etag }).ok(c)
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfMatch = ref(`"x"`) }).fails(c, 412, "PreconditionFailed", unmet)
		c.head(b, "k", func(in *s3.HeadObjectInput) { in.IfMatch = ref(`"x"`) }).fails(c, 412, "PreconditionFailed")
	}},
	{id: "s3.get.if-none-match.304", says: "a read with the object's ETag in If-None-Match is 304", source: readsPage, run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "k", "1").ok(c).ETag
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfNoneMatch = etag }).fails(c, 304, "NotModified")
		c.head(b, "k", func(in *s3.HeadObjectInput) { in.IfNoneMatch = etag }).fails(c, 304, "NotModified")
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfNoneMatch = ref(`"x"`) }).ok(c)
	}},
	{id: "s3.get.if-modified-since.304", says: "a read of what was not modified since is 304", source: readsPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1").ok(c)
		at := *c.head(b, "k").ok(c).LastModified
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfModifiedSince = &at }).fails(c, 304, "NotModified")
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfModifiedSince = aws.Time(at.Add(-time.Hour)) }).ok(c)
	}},
	{id: "s3.get.if-unmodified-since.412", says: "a read of what was modified since is 412", source: readsPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1").ok(c)
		at := *c.head(b, "k").ok(c).LastModified
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfUnmodifiedSince = aws.Time(at.Add(-time.Hour)) }).fails(c, 412, "PreconditionFailed")
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfUnmodifiedSince = aws.Time(at.Add(time.Hour)) }).ok(c)
	}},
	{id: "s3.get.if-modified-since.future", says: "a time in the future is no condition", source: recorded + "s3/test_s3.snapshot.json", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1").ok(c)
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfModifiedSince = aws.Time(time.Now().Add(24 * time.Hour)) }).ok(c)
		at := c.head(b, "k").ok(c).LastModified
		c.get(b, "k", func(in *s3.GetObjectInput) { in.IfUnmodifiedSince = at }).ok(c)
	}},
	{id: "s3.get.if-match.wins", says: "a true If-Match outdoes a false If-Unmodified-Since", source: s3API + "GetObject.html", run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "k", "1").ok(c).ETag
		c.get(b, "k", func(in *s3.GetObjectInput) {
			in.IfMatch, in.IfUnmodifiedSince = etag, aws.Time(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
		}).ok(c)
	}},
	{id: "s3.get.if-none-match.wins", says: "a false If-None-Match outdoes a true If-Modified-Since: 304", source: s3API + "GetObject.html", run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "k", "1").ok(c).ETag
		c.get(b, "k", func(in *s3.GetObjectInput) {
			in.IfNoneMatch, in.IfModifiedSince = etag, aws.Time(time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC))
		}).fails(c, 304, "NotModified")
	}},
}
