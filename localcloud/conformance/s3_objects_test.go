package conformance_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var s3Objects = []behaviour{
	{id: "s3.put.etag", says: "the ETag of a put is the MD5 of its body, in quotes", source: s3API + "Object.html", run: func(c *call) {
		sum := md5.Sum([]byte("hello"))
		b := c.bucket()
		want := `"` + hex.EncodeToString(sum[:]) + `"`
		equal(c, "put", str(c.put(b, "k", "hello").ok(c).ETag), want)
		equal(c, "head", str(c.head(b, "k").ok(c).ETag), want)
	}},
	{id: "s3.put.encryption", says: "what is written is encrypted with AES256, and says so", source: s3Guide + "default-bucket-encryption.html", run: func(c *call) {
		b := c.bucket()
		equal(c, "put", c.put(b, "k", "x").ok(c).ServerSideEncryption, "AES256")
		equal(c, "get", c.get(b, "k").ok(c).ServerSideEncryption, "AES256")
		equal(c, "head", c.head(b, "k").ok(c).ServerSideEncryption, "AES256")
	}},
	{id: "s3.head.storage-class", says: "the standard storage class is not named", source: s3API + "HeadObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		equal(c, "class", c.head(b, "k").ok(c).StorageClass, "")
	}},
	{id: "s3.put.content-type.default", says: "without a content type it is application/octet-stream for the SDK and binary/octet-stream for S3", source: s3API + "PutObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		if got := str(c.head(b, "k").ok(c).ContentType); got != "application/octet-stream" && got != "binary/octet-stream" {
			c.Errorf("content type %s", got)
		}
	}},
	{id: "s3.put.headers", says: "content headers and metadata come back as they were put, metadata names in lower case", source: s3Guide + "UsingMetadata.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x", func(in *s3.PutObjectInput) {
			in.ContentType, in.ContentLanguage, in.ContentDisposition, in.CacheControl, in.ContentEncoding = ref("text/csv"), ref("de"), ref(`attachment; filename="a.csv"`), ref("no-cache"), ref("gzip")
			in.Metadata = map[string]string{"Run-Id": "7", "note": "a b"}
		}).ok(c)
		got := c.head(b, "k").ok(c)
		equal(c, "headers", []string{str(got.ContentType), str(got.ContentLanguage), str(got.ContentDisposition), str(got.CacheControl), str(got.ContentEncoding)},
			[]string{"text/csv", "de", `attachment; filename="a.csv"`, "no-cache", "gzip"})
		if !maps.Equal(got.Metadata, map[string]string{"run-id": "7", "note": "a b"}) {
			c.Errorf("metadata: %v", got.Metadata)
		}
	}},
	{id: "s3.get.metadata.wire", says: "metadata is sent under names in lower case, which clients take as they come", source: recorded + "s3/test_s3.snapshot.json", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x", func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"Two-Words": "1"} }).ok(c)
		at := try(url.Parse(c.url(b, "k"))).ok(c)
		if at.Scheme != "http" {
			return // what comes through TLS the client shows in its own spelling
		}
		u := try(c.presign().PresignHeadObject(c.ctx, &s3.HeadObjectInput{Bucket: &b, Key: ref("k")})).ok(c)
		conn := try((&net.Dialer{}).DialContext(c.ctx, "tcp", at.Host)).ok(c)
		if _, err := fmt.Fprintf(conn, "HEAD %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", strings.TrimPrefix(u.URL, "http://"+at.Host), at.Host); err != nil {
			c.Fatal(err)
		}
		answer := string(try(io.ReadAll(conn)).ok(c))
		if err := conn.Close(); err != nil || !strings.Contains(answer, "\r\nx-amz-meta-two-words: 1\r\n") {
			c.Errorf("answer (%v): %s", err, answer)
		}
	}},
	{id: "s3.put.metadata.too-large", says: "more than 2 KB of metadata is MetadataTooLarge", source: s3Guide + "UsingMetadata.html", run: func(c *call) {
		c.put(c.bucket(), "k", "x", func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"m": strings.Repeat("a", 2100)} }).
			fails(c, 400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
	}},
	{id: "s3.put.overwrite", says: "a put replaces body, headers and metadata together", source: s3API + "PutObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "1", func(in *s3.PutObjectInput) { in.Metadata = map[string]string{"a": "1"} }).ok(c)
		c.put(b, "k", "22").ok(c)
		got := c.head(b, "k").ok(c)
		equal(c, "length", num(got.ContentLength), 2)
		equal(c, "metadata", len(got.Metadata), 0)
	}},
	{id: "s3.put.empty", says: "an object may be empty", source: s3API + "PutObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "").ok(c)
		equal(c, "length", num(c.head(b, "k").ok(c).ContentLength), 0)
		equal(c, "body", c.read(b, "k"), "")
	}},
	{id: "s3.put.keys", says: "keys are any UTF-8: with spaces, plus, percent, dots, slashes at the end and doubled, and beside their own prefix", source: s3Guide + "object-keys.html", run: func(c *call) {
		b := c.bucket()
		keys := []string{"a b", "a+b", "a%20b", "ä/ö", "dir/", "dir//x", "dir", "a&b=c?d#e", "'\"<>", "~tilde", "日本"}
		for _, k := range keys {
			c.put(b, k, k).ok(c)
		}
		for _, k := range keys {
			equal(c, k, c.read(b, k), k)
		}
		equal(c, "listed", len(try(c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &b})).ok(c).Contents), len(keys))
	}},
	{id: "s3.put.key-too-long", says: "a key of more than 1024 bytes is KeyTooLongError", source: s3Guide + "object-keys.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, strings.Repeat("k", 1024), "x").ok(c)
		c.put(b, strings.Repeat("k", 1025), "x").fails(c, 400, "KeyTooLongError", "Your key is too long")
	}},
	{id: "s3.get.missing", says: "a key that is not there is NoSuchKey", source: s3Pages + "ErrorResponses.html", run: func(c *call) {
		c.get(c.bucket(), "k").fails(c, 404, "NoSuchKey", "The specified key does not exist.")
	}},
	{id: "s3.head.missing", says: "HEAD of a key that is not there is a 404 without a body", source: s3API + "HeadObject.html", run: func(c *call) {
		c.head(c.bucket(), "k").fails(c, 404, "NotFound")
	}},
	{id: "s3.get.last-modified", says: "the time of a write is told to the second, the same by get, head and list", source: s3API + "GetObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		at := c.head(b, "k").ok(c).LastModified
		equal(c, "fraction", at.Nanosecond(), 0)
		equal(c, "get", c.get(b, "k").ok(c).LastModified.Equal(*at), true)
		listed := try(c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &b})).ok(c).Contents[0].LastModified
		equal(c, "list", listed.Truncate(time.Second).Equal(*at), true)
	}},
	{id: "s3.get.response-headers", says: "a signed read may ask for other headers in the answer", source: s3API + "GetObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		out := c.get(b, "k", func(in *s3.GetObjectInput) {
			in.ResponseContentType, in.ResponseContentDisposition = ref("text/x"), ref("inline")
		}).ok(c)
		equal(c, "type", str(out.ContentType), "text/x")
		equal(c, "disposition", str(out.ContentDisposition), "inline")
	}},
}

func ranged(r string) func(*s3.GetObjectInput) {
	return func(in *s3.GetObjectInput) { in.Range = &r }
}

const digits = "0123456789"

var s3Ranges = []behaviour{
	{id: "s3.get.range.first", says: "bytes=a-b is a 206 with those bytes, and tells them of how many", source: s3API + "GetObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", digits).ok(c)
		out := c.get(b, "k", ranged("bytes=2-4")).ok(c)
		equal(c, "range", str(out.ContentRange), "bytes 2-4/10")
		equal(c, "length", num(out.ContentLength), 3)
		equal(c, "body", c.read(b, "k", ranged("bytes=2-4")), "234")
	}},
	{id: "s3.get.range.open", says: "bytes=a- goes to the end, and beyond the end is cut", source: "https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", digits).ok(c)
		equal(c, "open", c.read(b, "k", ranged("bytes=7-")), "789")
		equal(c, "beyond", c.read(b, "k", ranged("bytes=8-99")), "89")
	}},
	{id: "s3.get.range.suffix", says: "bytes=-n are the last n bytes, or all of them", source: "https://www.rfc-editor.org/rfc/rfc9110#section-14.1.2", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", digits).ok(c)
		equal(c, "suffix", c.read(b, "k", ranged("bytes=-3")), "789")
		equal(c, "all", c.read(b, "k", ranged("bytes=-99")), digits)
	}},
	{id: "s3.get.range.416", says: "a range that begins at the end is 416 InvalidRange", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", digits).ok(c)
		c.get(b, "k", ranged("bytes=10-12")).fails(c, 416, "InvalidRange", "The requested range is not satisfiable")
	}},
	{id: "s3.get.range.ignored", says: "a range that is none, or several, is ignored: all of the object", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", digits).ok(c)
		for _, r := range []string{"bytes=4-2", "lines=1-2", "bytes=0-1,3-4", "bytes=x-y"} {
			equal(c, r, c.read(b, "k", ranged(r)), digits)
		}
	}},
	{id: "s3.head.range", says: "HEAD takes ranges too", source: s3API + "HeadObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", digits).ok(c)
		out := c.head(b, "k", func(in *s3.HeadObjectInput) { in.Range = ref("bytes=0-3") }).ok(c)
		equal(c, "length", num(out.ContentLength), 4)
		equal(c, "range", str(out.ContentRange), "bytes 0-3/10")
	}},
}

func sha(in *s3.PutObjectInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 }

const integrity = s3Guide + "checking-object-integrity-upload.html"

var s3Checksums = []behaviour{
	{id: "s3.put.checksum.crc32", says: "an SDK's CRC32 is verified, kept, and told by a read that asks", source: integrity, run: func(c *call) {
		b := c.bucket()
		equal(c, "put", str(c.put(b, "k", "hello").ok(c).ChecksumCRC32), "NhCmhg==")
		got := c.head(b, "k", func(in *s3.HeadObjectInput) { in.ChecksumMode = types.ChecksumModeEnabled }).ok(c)
		equal(c, "head", str(got.ChecksumCRC32), "NhCmhg==")
		equal(c, "type", got.ChecksumType, "FULL_OBJECT")
	}},
	{id: "s3.put.checksum.algorithms", says: "each algorithm's checksum comes back", source: integrity, run: func(c *call) {
		b := c.bucket()
		for algorithm, of := range map[types.ChecksumAlgorithm]func(*s3.HeadObjectOutput) *string{
			types.ChecksumAlgorithmCrc32:     func(o *s3.HeadObjectOutput) *string { return o.ChecksumCRC32 },
			types.ChecksumAlgorithmCrc32c:    func(o *s3.HeadObjectOutput) *string { return o.ChecksumCRC32C },
			types.ChecksumAlgorithmSha1:      func(o *s3.HeadObjectOutput) *string { return o.ChecksumSHA1 },
			types.ChecksumAlgorithmSha256:    func(o *s3.HeadObjectOutput) *string { return o.ChecksumSHA256 },
			types.ChecksumAlgorithmCrc64nvme: func(o *s3.HeadObjectOutput) *string { return o.ChecksumCRC64NVME },
		} {
			c.put(b, "k", "hello", func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = algorithm }).ok(c)
			got := c.head(b, "k", func(in *s3.HeadObjectInput) { in.ChecksumMode = types.ChecksumModeEnabled }).ok(c)
			want := map[types.ChecksumAlgorithm]string{"CRC32": "NhCmhg==", "CRC32C": "mnG7TA==", "SHA1": "qvTGHdzF6KLavt4PO0gs2a6pQ00=",
				"SHA256": "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=", "CRC64NVME": "M3eFcAZSQlc="}[algorithm]
			equal(c, string(algorithm), str(of(got)), want)
		}
	}},
	{id: "s3.put.checksum.bad", says: "a checksum that is not the body's is BadDigest, and nothing is written", source: integrity, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "hello", func(in *s3.PutObjectInput) { in.ChecksumCRC32 = ref("AAAAAA==") }).fails(c, 400, "BadDigest", "The CRC32 you specified did not match the calculated checksum.")
		c.put(b, "k", "hello", func(in *s3.PutObjectInput) { in.ChecksumSHA256 = ref("LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCA=") }).fails(c, 400, "BadDigest", "The SHA256 you specified did not match the calculated checksum.")
		c.get(b, "k").fails(c, 404, "NoSuchKey")
	}},
	{id: "s3.put.md5.bad", says: "a Content-MD5 that is not the body's is BadDigest", source: integrity, run: func(c *call) {
		sum := md5.Sum([]byte("other"))
		c.put(c.bucket(), "k", "hello", func(in *s3.PutObjectInput) { in.ContentMD5 = ref(base64.StdEncoding.EncodeToString(sum[:])) }).
			fails(c, 400, "BadDigest", "The Content-MD5 you specified did not match what we received.")
	}},
	{id: "s3.put.md5.invalid", says: "a Content-MD5 that is no MD5 is InvalidDigest", source: s3Pages + "ErrorResponses.html", run: func(c *call) {
		c.put(c.bucket(), "k", "hello", func(in *s3.PutObjectInput) { in.ContentMD5 = ref("nonsense") }).fails(c, 400, "InvalidDigest", "The Content-MD5 you specified was invalid.")
	}},
	{id: "s3.put.checksum.trailing", says: "a body of unknown length is sent in chunks with its checksum at the end, and that is verified", source: s3Pages + "sigv4-streaming-trailers.html", run: func(c *call) {
		b := c.bucket()
		// The SDK does this over TLS alone, so it is done by hand.
		send := func(key, sum string) *http.Response {
			body := "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:" + sum + "\r\n\r\n"
			return c.signed(http.MethodPut, c.url(b, key), body, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", http.Header{"Content-Encoding": {"aws-chunked"},
				"X-Amz-Decoded-Content-Length": {"5"}, "X-Amz-Trailer": {"x-amz-checksum-crc32c"}})
		}
		equal(c, "status", send("good", "mnG7TA==").StatusCode, 200)
		equal(c, "body", c.read(b, "good"), "hello")
		got := c.head(b, "good", func(in *s3.HeadObjectInput) { in.ChecksumMode = types.ChecksumModeEnabled }).ok(c)
		equal(c, "checksum", str(got.ChecksumCRC32C), "mnG7TA==")
		equal(c, "encoding", str(got.ContentEncoding), "<nil>")
		equal(c, "status", send("bad", "AAAAAA==").StatusCode, 400)
		c.head(b, "bad").fails(c, 404, "NotFound")
	}},
	{id: "s3.put.chunked-twice", says: "chunks may come in HTTP's own chunks, as the C++ SDK sends them; the next requests are not troubled by that", source: s3Pages + "sigv4-streaming-trailers.html", run: func(c *call) {
		b := c.bucket()
		const payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
		send := func(key string) {
			r := c.request(http.MethodPut, c.url(b, key), "5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:mnG7TA==\r\n\r\n", http.Header{"Content-Encoding": {"aws-chunked"},
				"X-Amz-Decoded-Content-Length": {"5"}, "X-Amz-Trailer": {"x-amz-checksum-crc32c"}, "X-Amz-Content-Sha256": {payload}})
			r.ContentLength = -1
			if err := v4.NewSigner().SignHTTP(c.ctx, try(c.cfg.Credentials.Retrieve(c.ctx)).ok(c), r, payload, "s3", c.cfg.Region, time.Now()); err != nil {
				c.Fatal(err)
			}
			equal(c, "status", c.exchange(r).StatusCode, 200)
			equal(c, "body", c.read(b, key), "hello")
		}
		var all sync.WaitGroup
		for n := range 16 {
			all.Go(func() {
				for range 20 {
					send(fmt.Sprint(n))
				}
			})
		}
		all.Wait()
	}},
	{id: "s3.get.checksum.not-asked", says: "a read that does not ask hears no checksum", source: s3API + "HeadObject.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x", sha).ok(c)
		if got := c.head(b, "k").ok(c); got.ChecksumSHA256 != nil || got.ChecksumType != "" {
			c.Errorf("head: %+v", got)
		}
	}},
	{id: "s3.get-object-attributes.asked", says: "of an object's attributes those that are asked for come, the ETag without quotes", source: s3API + "GetObjectAttributes.html", run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "k", "hello", sha).ok(c).ETag
		out := try(c.s3.GetObjectAttributes(c.ctx, &s3.GetObjectAttributesInput{Bucket: &b, Key: ref("k"), ObjectAttributes: []types.ObjectAttributes{"ETag", "Checksum", "ObjectSize"}})).ok(c)
		equal(c, "etag", str(out.ETag), strings.Trim(*etag, `"`))
		equal(c, "size", num(out.ObjectSize), 5)
		equal(c, "checksum", str(out.Checksum.ChecksumSHA256), "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=")
		equal(c, "class", out.StorageClass, "")
	}},
	{id: "s3.get-object-attributes.parts", says: "the parts of an object, with their checksums, come in pages", source: s3API + "GetObjectAttributes.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k", func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 })
		with := func(in *s3.UploadPartInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 }
		parts := []types.CompletedPart{c.part(b, "k", u, 1, strings.Repeat("a", 5*mib), with), c.part(b, "k", u, 2, "b", with)}
		c.complete(b, "k", u, parts).ok(c)
		in := &s3.GetObjectAttributesInput{Bucket: &b, Key: ref("k"), ObjectAttributes: []types.ObjectAttributes{"ObjectParts"}, MaxParts: aws.Int32(1)}
		first := try(c.s3.GetObjectAttributes(c.ctx, in)).ok(c).ObjectParts
		if first == nil || len(first.Parts) != 1 || !yes(first.IsTruncated) || num(first.TotalPartsCount) != 2 || str(first.Parts[0].ChecksumSHA256) != str(parts[0].ChecksumSHA256) {
			c.Fatalf("first page: %+v", first)
		}
		in.PartNumberMarker = first.NextPartNumberMarker
		second := try(c.s3.GetObjectAttributes(c.ctx, in)).ok(c).ObjectParts
		if len(second.Parts) != 1 || yes(second.IsTruncated) || num(second.Parts[0].PartNumber) != 2 || num(second.Parts[0].Size) != 1 {
			c.Errorf("second page: %+v", second)
		}
	}},
	{id: "s3.get-object-attributes.missing", says: "attributes of a key that is not there are NoSuchKey", source: s3API + "GetObjectAttributes.html", run: func(c *call) {
		try(c.s3.GetObjectAttributes(c.ctx, &s3.GetObjectAttributesInput{Bucket: ref(c.bucket()), Key: ref("k"), ObjectAttributes: []types.ObjectAttributes{"ETag"}})).fails(c, 404, "NoSuchKey")
	}},
}
