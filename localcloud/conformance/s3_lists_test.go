package conformance_test

import (
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func (c *call) list(bucket string, in s3.ListObjectsV2Input) *s3.ListObjectsV2Output {
	c.Helper()
	in.Bucket = &bucket
	return try(c.s3.ListObjectsV2(c.ctx, &in)).ok(c)
}

func (c *call) listOld(bucket string, in s3.ListObjectsInput) *s3.ListObjectsOutput {
	c.Helper()
	in.Bucket = &bucket
	return try(c.s3.ListObjects(c.ctx, &in)).ok(c)
}

func (c *call) versions(bucket string, in s3.ListObjectVersionsInput) *s3.ListObjectVersionsOutput {
	c.Helper()
	in.Bucket = &bucket
	return try(c.s3.ListObjectVersions(c.ctx, &in)).ok(c)
}

// tree is a bucket with files in folders.
func (c *call) tree() string {
	c.Helper()
	b := c.bucket()
	c.fill(b, "a/1", "a/2", "b/1", "c", "d/e/1", "z")
	return b
}

var s3Lists = []behaviour{
	{id: "s3.list-v2.order", says: "keys are listed in the order of their UTF-8 bytes", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		b := c.bucket()
		c.fill(b, "b", "B", "a/x", "a", "a.b", "ä", "_")
		equal(c, "keys", keysOf(c.list(b, s3.ListObjectsV2Input{}).Contents, nil), "[B _ a a.b a/x b ä]")
	}},
	{id: "s3.list-v2.members", says: "an object is listed with size, quoted ETag, class, time and the algorithm of its checksum, and its owner when asked", source: s3API + "Object.html", run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "k", "hello").ok(c).ETag
		o := c.list(b, s3.ListObjectsV2Input{}).Contents[0]
		if num(o.Size) != 5 || str(o.ETag) != *etag || o.StorageClass != "STANDARD" || o.LastModified == nil || o.Owner != nil || len(o.ChecksumAlgorithm) != 1 || o.ChecksumAlgorithm[0] != "CRC32" || o.ChecksumType != "FULL_OBJECT" {
			c.Errorf("object: %+v", o)
		}
		if o := c.list(b, s3.ListObjectsV2Input{FetchOwner: aws.Bool(true)}).Contents[0]; o.Owner == nil || o.Owner.ID == nil {
			c.Errorf("owner: %+v", o)
		}
	}},
	{id: "s3.list-v2.empty", says: "an empty bucket has no contents, a count of 0, and is not truncated", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		out := c.list(c.bucket(), s3.ListObjectsV2Input{})
		if out.Contents != nil || num(out.KeyCount) != 0 || yes(out.IsTruncated) || num(out.MaxKeys) != 1000 || out.StartAfter != nil || out.Delimiter != nil || out.EncodingType != "" {
			c.Errorf("listing: %+v", out)
		}
	}},
	{id: "s3.list-v2.prefix", says: "a prefix is any beginning of a key", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		b := c.tree()
		out := c.list(b, s3.ListObjectsV2Input{Prefix: ref("a/")})
		equal(c, "keys", keysOf(out.Contents, nil), "[a/1 a/2]")
		equal(c, "prefix", str(out.Prefix), "a/")
		equal(c, "half", keysOf(c.list(b, s3.ListObjectsV2Input{Prefix: ref("d/e")}).Contents, nil), "[d/e/1]")
	}},
	{id: "s3.list-v2.delimiter", says: "with a delimiter what goes on after it is one common prefix", source: s3Guide + "using-prefixes.html", run: func(c *call) {
		out := c.list(c.tree(), s3.ListObjectsV2Input{Delimiter: ref("/")})
		equal(c, "keys", keysOf(out.Contents, out.CommonPrefixes), "[c z a/* b/* d/*]")
		equal(c, "count", num(out.KeyCount), 5)
		equal(c, "delimiter", str(out.Delimiter), "/")
	}},
	{id: "s3.list-v2.delimiter.prefix", says: "a common prefix begins with the prefix asked for", source: s3Guide + "using-prefixes.html", run: func(c *call) {
		b := c.tree()
		equal(c, "d/", keysOf(nil, c.list(b, s3.ListObjectsV2Input{Delimiter: ref("/"), Prefix: ref("d/")}).CommonPrefixes), "[d/e/*]")
		out := c.list(b, s3.ListObjectsV2Input{Delimiter: ref("/"), Prefix: ref("a")})
		equal(c, "a", keysOf(out.Contents, out.CommonPrefixes), "[a/*]")
	}},
	{id: "s3.list-v2.delimiter.long", says: "a delimiter may have several characters", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		b := c.bucket()
		c.fill(b, "a--1", "a-2", "b--1")
		out := c.list(b, s3.ListObjectsV2Input{Delimiter: ref("--")})
		equal(c, "keys", keysOf(out.Contents, out.CommonPrefixes), "[a-2 a--* b--*]")
	}},
	{id: "s3.list-v2.start-after", says: "start-after begins behind a key, whether there is one or not", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		b := c.tree()
		equal(c, "c", keysOf(c.list(b, s3.ListObjectsV2Input{StartAfter: ref("c")}).Contents, nil), "[d/e/1 z]")
		equal(c, "bb", keysOf(c.list(b, s3.ListObjectsV2Input{StartAfter: ref("bb")}).Contents, nil), "[c d/e/1 z]")
	}},
	{id: "s3.list-v2.start-after.inside", says: "start-after inside a common prefix still lists that prefix", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		out := c.list(c.tree(), s3.ListObjectsV2Input{StartAfter: ref("a/1"), Delimiter: ref("/")})
		equal(c, "keys", keysOf(out.Contents, out.CommonPrefixes), "[c z a/* b/* d/*]")
	}},
	{id: "s3.list-v2.pages", says: "max-keys makes pages of keys and common prefixes together, and no entry comes twice", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		b := c.tree()
		var got []string
		in := s3.ListObjectsV2Input{Delimiter: ref("/"), MaxKeys: aws.Int32(2)}
		for {
			out := c.list(b, in)
			got = append(got, strings.Join(keysOf(out.Contents, out.CommonPrefixes), " "))
			if !yes(out.IsTruncated) {
				equal(c, "token at the end", str(out.NextContinuationToken), "<nil>")
				break
			}
			in.ContinuationToken = out.NextContinuationToken
		}
		equal(c, "pages", got, []string{"a/* b/*", "c d/*", "z"})
	}},
	{id: "s3.list-v2.pages.stable", says: "what is written behind a page comes in the next, what is written before does not", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		b := c.bucket()
		c.fill(b, "b", "d", "f")
		first := c.list(b, s3.ListObjectsV2Input{MaxKeys: aws.Int32(2)})
		c.fill(b, "a", "e")
		c.drop(b, "d").ok(c)
		equal(c, "rest", keysOf(c.list(b, s3.ListObjectsV2Input{ContinuationToken: first.NextContinuationToken}).Contents, nil), "[e f]")
	}},
	{id: "s3.list-v2.max-keys.0", says: "max-keys 0 lists nothing and is not truncated", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		out := c.list(c.tree(), s3.ListObjectsV2Input{MaxKeys: aws.Int32(0)})
		if len(out.Contents) != 0 || yes(out.IsTruncated) || num(out.KeyCount) != 0 {
			c.Errorf("listing: %+v", out)
		}
	}},
	{id: "s3.list-v2.max-keys.large", says: "max-keys beyond 1,000 is 1,000", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		equal(c, "max", num(c.list(c.tree(), s3.ListObjectsV2Input{MaxKeys: aws.Int32(5000)}).MaxKeys), 1000)
	}},
	{id: "s3.list-v2.max-keys.negative", says: "max-keys below 0 is InvalidArgument", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		try(c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: ref(c.bucket()), MaxKeys: aws.Int32(-1)})).fails(c, 400, "InvalidArgument", "must be an integer between 0 and 2147483647")
	}},
	{id: "s3.list-v2.token.invalid", says: "a continuation token that is none is InvalidArgument", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		try(c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: ref(c.bucket()), ContinuationToken: ref("no token!")})).fails(c, 400, "InvalidArgument", "The continuation token provided is incorrect")
	}},
	{id: "s3.list-v2.token.start-after", says: "beside a token start-after counts for nothing, and is not told", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		b := c.tree()
		first := c.list(b, s3.ListObjectsV2Input{MaxKeys: aws.Int32(1)})
		out := c.list(b, s3.ListObjectsV2Input{ContinuationToken: first.NextContinuationToken, StartAfter: ref("y")})
		equal(c, "keys", len(out.Contents), 5)
		equal(c, "start-after", str(out.StartAfter), "<nil>")
	}},
	{id: "s3.list-v2.encoding", says: "encoding-type url writes keys, prefixes and what was asked URL-encoded, slashes apart", source: s3API + "ListObjectsV2.html", run: func(c *call) {
		b := c.bucket()
		c.fill(b, "a b/c+d", "x=y/z")
		out := c.list(b, s3.ListObjectsV2Input{EncodingType: types.EncodingTypeUrl, StartAfter: ref("a=")})
		equal(c, "type", out.EncodingType, "url")
		equal(c, "keys", keysOf(out.Contents, nil), "[x%3Dy/z]")
		equal(c, "start-after", str(out.StartAfter), "a%3D")
		all := keysOf(c.list(b, s3.ListObjectsV2Input{EncodingType: types.EncodingTypeUrl}).Contents, nil)
		equal(c, "decoded", try(url.QueryUnescape(all[0])).ok(c), "a b/c+d")
	}},
	{id: "s3.list.encoding.invalid", says: "another encoding-type is InvalidArgument", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		try(c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: ref(c.bucket()), EncodingType: "value"})).fails(c, 400, "InvalidArgument", "Invalid Encoding Method specified in Request")
	}},
	{id: "s3.list-v1.marker", says: "the old listing goes on behind its marker; without a delimiter it names no next one", source: s3API + "ListObjects.html", run: func(c *call) {
		b := c.tree()
		out := c.listOld(b, s3.ListObjectsInput{MaxKeys: aws.Int32(2)})
		equal(c, "first", keysOf(out.Contents, nil), "[a/1 a/2]")
		equal(c, "next", str(out.NextMarker), "<nil>")
		out = c.listOld(b, s3.ListObjectsInput{MaxKeys: aws.Int32(2), Marker: ref("a/2")})
		equal(c, "second", keysOf(out.Contents, nil), "[b/1 c]")
		equal(c, "marker", str(out.Marker), "a/2")
	}},
	{id: "s3.list-v1.next-marker", says: "with a delimiter the old listing names the last key or common prefix as the next marker", source: s3API + "ListObjects.html", run: func(c *call) {
		b := c.tree()
		out := c.listOld(b, s3.ListObjectsInput{MaxKeys: aws.Int32(2), Delimiter: ref("/")})
		equal(c, "next", str(out.NextMarker), "b/")
		out = c.listOld(b, s3.ListObjectsInput{MaxKeys: aws.Int32(2), Delimiter: ref("/"), Marker: out.NextMarker})
		equal(c, "second", keysOf(out.Contents, out.CommonPrefixes), "[c d/*]")
	}},
	{id: "s3.list-v1.marker.inside", says: "a marker inside a common prefix passes that prefix by", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		out := c.listOld(c.tree(), s3.ListObjectsInput{Marker: ref("a/1"), Delimiter: ref("/")})
		equal(c, "keys", keysOf(out.Contents, out.CommonPrefixes), "[c z b/* d/*]")
	}},
	{id: "s3.list-versions.order", says: "versions are listed by key, newest first, the newest marked", source: s3API + "ListObjectVersions.html", run: func(c *call) {
		b := c.versioned()
		first, second := c.put(b, "k", "1").ok(c).VersionId, c.put(b, "k", "2").ok(c).VersionId
		c.put(b, "a", "").ok(c)
		out := c.versions(b, s3.ListObjectVersionsInput{})
		if len(out.Versions) != 3 || *out.Versions[0].Key != "a" || *out.Versions[1].VersionId != *second || *out.Versions[2].VersionId != *first || !yes(out.Versions[1].IsLatest) || yes(out.Versions[2].IsLatest) {
			c.Errorf("versions: %+v", out.Versions)
		}
	}},
	{id: "s3.list-versions.markers", says: "delete markers are listed apart, the newest of a key is the latest", source: s3API + "ListObjectVersions.html", run: func(c *call) {
		b := c.versioned()
		c.put(b, "k", "1").ok(c)
		id := c.drop(b, "k").ok(c).VersionId
		out := c.versions(b, s3.ListObjectVersionsInput{})
		if len(out.DeleteMarkers) != 1 || *out.DeleteMarkers[0].VersionId != *id || !yes(out.DeleteMarkers[0].IsLatest) || len(out.Versions) != 1 || yes(out.Versions[0].IsLatest) {
			c.Errorf("listing: %+v", out)
		}
	}},
	{id: "s3.list-versions.null", says: "an unversioned object is listed with the id null", source: s3API + "ListObjectVersions.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1").ok(c)
		equal(c, "id", str(c.versions(b, s3.ListObjectVersionsInput{}).Versions[0].VersionId), "null")
	}},
	{id: "s3.list-versions.pages", says: "pages go on by key and version: no version comes twice", source: s3API + "ListObjectVersions.html", run: func(c *call) {
		b := c.versioned()
		for range 3 {
			c.fill(b, "k", "l")
		}
		var got []string
		in := s3.ListObjectVersionsInput{MaxKeys: aws.Int32(2)}
		for {
			out := c.versions(b, in)
			for _, v := range out.Versions {
				got = append(got, *v.Key+*v.VersionId)
			}
			if !yes(out.IsTruncated) {
				break
			}
			in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
		}
		seen := map[string]bool{}
		for _, v := range got {
			seen[v] = true
		}
		equal(c, "versions", []int{len(got), len(seen)}, "[6 6]")
	}},
	{id: "s3.list-versions.key-marker", says: "a key marker alone passes all versions of that key by", source: s3API + "ListObjectVersions.html", run: func(c *call) {
		b := c.versioned()
		c.fill(b, "k", "k", "l")
		out := c.versions(b, s3.ListObjectVersionsInput{KeyMarker: ref("k")})
		equal(c, "left", len(out.Versions), 1)
		equal(c, "key", str(out.Versions[0].Key), "l")
	}},
	{id: "s3.list-versions.version-marker.alone", says: "a version marker without a key marker is InvalidArgument", source: s3API + "ListObjectVersions.html", run: func(c *call) {
		b := c.versioned()
		id := c.put(b, "k", "").ok(c).VersionId
		try(c.s3.ListObjectVersions(c.ctx, &s3.ListObjectVersionsInput{Bucket: &b, VersionIdMarker: id})).fails(c, 400, "InvalidArgument", "A version-id marker cannot be specified without a key marker.")
	}},
	{id: "s3.list-versions.delimiter", says: "versions too are grouped by a delimiter", source: s3API + "ListObjectVersions.html", run: func(c *call) {
		b := c.versioned()
		c.fill(b, "a/1", "a/1", "b")
		out := c.versions(b, s3.ListObjectVersionsInput{Delimiter: ref("/")})
		if len(out.Versions) != 1 || len(out.CommonPrefixes) != 1 || *out.CommonPrefixes[0].Prefix != "a/" {
			c.Errorf("listing: %+v", out)
		}
	}},
}
