package conformance_test

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const copyPage = s3API + "CopyObject.html"

func described(in *s3.PutObjectInput) {
	in.ContentType, in.Metadata, in.Tagging = ref("text/csv"), map[string]string{"a": "1"}, ref("team=x")
}

var s3Copies = []behaviour{
	{id: "s3.copy.all", says: "a copy has the body, headers, metadata and tags of its source, and the same ETag", source: copyPage, run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "from", "hello", described).ok(c).ETag
		out := c.copy(b+"/from", b, "to").ok(c)
		equal(c, "etag", str(out.CopyObjectResult.ETag), *etag)
		got := c.head(b, "to").ok(c)
		equal(c, "object", []string{str(got.ContentType), got.Metadata["a"], c.read(b, "to"), fmt.Sprint(c.tags(b, "to"))}, []string{"text/csv", "1", "hello", "map[team:x]"})
	}},
	{id: "s3.copy.metadata.replace", says: "with the directive REPLACE a copy has the metadata and headers of the request", source: copyPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "from", "x", described).ok(c)
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) {
			in.MetadataDirective, in.Metadata, in.ContentType = types.MetadataDirectiveReplace, map[string]string{"b": "2"}, ref("text/plain")
		}).ok(c)
		got := c.head(b, "to").ok(c)
		equal(c, "object", []any{str(got.ContentType), got.Metadata}, "[text/plain map[b:2]]")
	}},
	{id: "s3.copy.metadata.ignored", says: "without the directive the request's metadata counts for nothing", source: copyPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "from", "x", described).ok(c)
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.Metadata = map[string]string{"b": "2"} }).ok(c)
		equal(c, "metadata", c.head(b, "to").ok(c).Metadata, "map[a:1]")
	}},
	{id: "s3.copy.tags.replace", says: "with the tagging directive REPLACE a copy has the tags of the request", source: copyPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "from", "x", described).ok(c)
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) {
			in.TaggingDirective, in.Tagging = types.TaggingDirectiveReplace, ref("other=y")
		}).ok(c)
		equal(c, "tags", c.tags(b, "to"), "map[other:y]")
	}},
	{id: "s3.copy.itself", says: "a copy onto itself that changes nothing is InvalidRequest; with new metadata it is done", source: copyPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		c.copy(b+"/k", b, "k").fails(c, 400, "InvalidRequest", "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
		c.copy(b+"/k", b, "k", func(in *s3.CopyObjectInput) {
			in.MetadataDirective, in.Metadata = types.MetadataDirectiveReplace, map[string]string{"b": "2"}
		}).ok(c)
		equal(c, "metadata", c.head(b, "k").ok(c).Metadata, "map[b:2]")
	}},
	{id: "s3.copy.version", says: "a version can be the source, which is told, and the copy is a new version", source: copyPage, run: func(c *call) {
		b := c.versioned()
		id := c.put(b, "k", "1").ok(c).VersionId
		c.put(b, "k", "2").ok(c)
		out := c.copy(b+"/k?versionId="+*id, b, "k").ok(c)
		equal(c, "source", str(out.CopySourceVersionId), *id)
		if out.VersionId == nil || *out.VersionId == *id {
			c.Errorf("version %v", out.VersionId)
		}
		equal(c, "body", c.read(b, "k"), "1")
	}},
	{id: "s3.copy.encoded", says: "the source is URL-encoded", source: copyPage, run: func(c *call) {
		b := c.bucket()
		key := "ä b+c/%.csv"
		c.put(b, key, "x").ok(c)
		c.copy(b+"/"+strings.ReplaceAll(url.QueryEscape(key), "+", "%20"), b, "to").ok(c)
		equal(c, "body", c.read(b, "to"), "x")
	}},
	{id: "s3.copy.missing", says: "a source that is not there is NoSuchKey, its bucket NoSuchBucket", source: copyPage, run: func(c *call) {
		b := c.bucket()
		c.copy(b+"/none", b, "to").fails(c, 404, "NoSuchKey", "The specified key does not exist.")
		c.copy(c.name()+"/none", b, "to").fails(c, 404, "NoSuchBucket")
	}},
	{id: "s3.copy.source-if-match", says: "a copy of a source of another ETag is 412", source: copyPage, run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "from", "x").ok(c).ETag
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.CopySourceIfMatch = etag }).ok(c)
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.CopySourceIfMatch = ref(`"x"`) }).fails(c, 412, "PreconditionFailed", unmet)
	}},
	{id: "s3.copy.source-if-none-match", says: "a copy of a source of that ETag is 412, not 304", source: copyPage, run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "from", "x").ok(c).ETag
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.CopySourceIfNoneMatch = etag }).fails(c, 412, "PreconditionFailed", unmet)
	}},
	{id: "s3.copy.source-if-modified-since", says: "a copy of a source that was not modified since is 412", source: copyPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "from", "x").ok(c)
		at := c.head(b, "from").ok(c).LastModified
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.CopySourceIfModifiedSince = at }).fails(c, 412, "PreconditionFailed", unmet)
		c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.CopySourceIfUnmodifiedSince = aws.Time(at.Add(-time.Hour)) }).fails(c, 412, "PreconditionFailed", unmet)
	}},
	{id: "s3.copy.checksum", says: "a copy keeps the kind of its source's checksum, or takes the one that is asked for", source: copyPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "from", "hello").ok(c)
		equal(c, "kept", str(c.copy(b+"/from", b, "to").ok(c).CopyObjectResult.ChecksumCRC32), "NhCmhg==")
		out := c.copy(b+"/from", b, "to", func(in *s3.CopyObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 }).ok(c)
		equal(c, "asked", str(out.CopyObjectResult.ChecksumSHA256), "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
	}},
}

// tags are the tags of an object.
func (c *call) tags(bucket, key string) map[string]string {
	c.Helper()
	out := map[string]string{}
	for _, t := range try(c.s3.GetObjectTagging(c.ctx, &s3.GetObjectTaggingInput{Bucket: &bucket, Key: &key})).ok(c).TagSet {
		out[*t.Key] = *t.Value
	}
	return out
}

func (c *call) tag(bucket, key string, pairs ...string) result[*s3.PutObjectTaggingOutput] {
	var set []types.Tag
	for i := 0; i < len(pairs); i += 2 {
		set = append(set, types.Tag{Key: &pairs[i], Value: &pairs[i+1]})
	}
	return try(c.s3.PutObjectTagging(c.ctx, &s3.PutObjectTaggingInput{Bucket: &bucket, Key: &key, Tagging: &types.Tagging{TagSet: set}}))
}

const taggingPage = s3Guide + "object-tagging.html"

var s3Tags = []behaviour{
	{id: "s3.tagging.put", says: "tags replace those before, and are deleted", source: taggingPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		c.tag(b, "k", "a", "1").ok(c)
		c.tag(b, "k", "b", "2", "c", "").ok(c)
		equal(c, "tags", c.tags(b, "k"), "map[b:2 c:]")
		equal(c, "count", num(c.get(b, "k").ok(c).TagCount), 2)
		try(c.s3.DeleteObjectTagging(c.ctx, &s3.DeleteObjectTaggingInput{Bucket: &b, Key: ref("k")})).ok(c)
		equal(c, "tags", c.tags(b, "k"), "map[]")
	}},
	{id: "s3.tagging.header", says: "a put may carry tags, and one without takes them away", source: taggingPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x", func(in *s3.PutObjectInput) { in.Tagging = ref("a=1&b=x%20y") }).ok(c)
		equal(c, "tags", c.tags(b, "k"), "map[a:1 b:x y]")
		c.put(b, "k", "x").ok(c)
		equal(c, "tags", c.tags(b, "k"), "map[]")
	}},
	{id: "s3.tagging.header.invalid", says: "a tagging header that is no query, or names a key twice, is InvalidArgument", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		for _, tagging := range []string{"key1=val1,key2=val2", "key1=val1&key1=val2"} {
			c.put(b, "k", "x", func(in *s3.PutObjectInput) { in.Tagging = &tagging }).fails(c, 400, "InvalidArgument",
				"The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
		}
	}},
	{id: "s3.tagging.limit", says: "more than ten tags are BadRequest", source: taggingPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		var pairs []string
		for i := range 11 {
			pairs = append(pairs, fmt.Sprint(i), "v")
		}
		c.tag(b, "k", pairs[:20]...).ok(c)
		c.tag(b, "k", pairs...).fails(c, 400, "BadRequest", "Object tags cannot be greater than 10")
	}},
	{id: "s3.tagging.lengths", says: "a key of more than 128 characters or a value of more than 256 is InvalidTag", source: taggingPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		c.tag(b, "k", strings.Repeat("k", 129), "v").fails(c, 400, "InvalidTag", "The TagKey you have provided is invalid")
		c.tag(b, "k", "k", strings.Repeat("v", 257)).fails(c, 400, "InvalidTag", "The TagValue you have provided is invalid")
	}},
	{id: "s3.tagging.characters", says: "a tag with a comma, of a key twice, or of AWS's own is InvalidTag", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		c.tag(b, "k", "Key1,Key2", "v").fails(c, 400, "InvalidTag", "The TagKey you have provided is invalid")
		c.tag(b, "k", "k", "1", "k", "2").fails(c, 400, "InvalidTag", "Cannot provide multiple Tags with the same key")
		c.tag(b, "k", "aws:x", "1").fails(c, 400, "InvalidTag", "Your TagKey cannot be prefixed with aws:")
	}},
	{id: "s3.tagging.versions", says: "each version has tags of its own, and the answer names the version", source: taggingPage, run: func(c *call) {
		b := c.versioned()
		first := c.put(b, "k", "1").ok(c).VersionId
		second := c.put(b, "k", "2").ok(c).VersionId
		equal(c, "version", str(c.tag(b, "k", "a", "1").ok(c).VersionId), *second)
		old := try(c.s3.GetObjectTagging(c.ctx, &s3.GetObjectTaggingInput{Bucket: &b, Key: ref("k"), VersionId: first})).ok(c)
		equal(c, "old", []any{len(old.TagSet), str(old.VersionId)}, []any{0, *first})
	}},
	{id: "s3.tagging.missing", says: "tags of a key that is not there are NoSuchKey, of a delete marker MethodNotAllowed", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.versioned()
		c.tag(b, "k", "a", "1").fails(c, 404, "NoSuchKey", "The specified key does not exist.")
		c.drop(b, "k").ok(c)
		c.tag(b, "k", "a", "1").fails(c, 405, "MethodNotAllowed")
		try(c.s3.GetObjectTagging(c.ctx, &s3.GetObjectTaggingInput{Bucket: &b, Key: ref("k")})).fails(c, 405, "MethodNotAllowed")
	}},
}
