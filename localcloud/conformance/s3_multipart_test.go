package conformance_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

const (
	multipartPage = s3Guide + "mpuoverview.html"
	noUpload      = "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
)

func numbered(number int32, etag *string) types.CompletedPart {
	return types.CompletedPart{PartNumber: &number, ETag: etag}
}

var s3Multipart = []behaviour{
	{id: "s3.multipart.whole", says: "parts become one object, in the order of their numbers, whose ETag ends in their count", source: multipartPage, run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k", func(in *s3.CreateMultipartUploadInput) {
			in.ContentType, in.Metadata = ref("text/csv"), map[string]string{"a": "1"}
		})
		second := c.part(b, "k", u, 7, "end")
		first := c.part(b, "k", u, 2, strings.Repeat("a", 5*mib))
		out := c.complete(b, "k", u, []types.CompletedPart{first, second}).ok(c)
		if !strings.HasSuffix(str(out.ETag), `-2"`) || str(out.Bucket) != b || str(out.Key) != "k" || out.Location == nil {
			c.Errorf("complete: %+v", out)
		}
		head := c.head(b, "k").ok(c)
		equal(c, "object", []string{strconv.FormatInt(num(head.ContentLength), 10), str(head.ContentType), head.Metadata["a"], str(head.ETag)}, []string{strconv.Itoa(5*mib + 3), "text/csv", "1", str(out.ETag)})
		equal(c, "end", c.read(b, "k", ranged("bytes=-4")), "aend")
	}},
	{id: "s3.multipart.invisible", says: "an upload under way is no object", source: multipartPage, run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		c.part(b, "k", u, 1, "x")
		c.get(b, "k").fails(c, 404, "NoSuchKey")
		equal(c, "listed", num(c.list(b, s3.ListObjectsV2Input{}).KeyCount), 0)
	}},
	{id: "s3.multipart.part.replaced", says: "a part that is uploaded again replaces the one of its number", source: s3API + "UploadPart.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		old := c.part(b, "k", u, 1, "old")
		part := c.part(b, "k", u, 1, "new")
		c.complete(b, "k", u, []types.CompletedPart{old}).fails(c, 400, "InvalidPart")
		c.complete(b, "k", u, []types.CompletedPart{part}).ok(c)
		equal(c, "body", c.read(b, "k"), "new")
	}},
	{id: "s3.multipart.part.number", says: "part numbers go from 1 to 10,000", source: s3Guide + "qfacts.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		for _, n := range []int32{0, 10001} {
			try(c.s3.UploadPart(c.ctx, &s3.UploadPartInput{Bucket: &b, Key: ref("k"), UploadId: &u, PartNumber: &n, Body: strings.NewReader("x")})).
				fails(c, 400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive")
		}
	}},
	{id: "s3.multipart.order", says: "a completion that names parts out of order is InvalidPartOrder", source: s3API + "CompleteMultipartUpload.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		first, second := c.part(b, "k", u, 1, strings.Repeat("a", 5*mib)), c.part(b, "k", u, 2, "x")
		c.complete(b, "k", u, []types.CompletedPart{second, first}).fails(c, 400, "InvalidPartOrder", "The list of parts was not in ascending order. Parts must be ordered by part number.")
	}},
	{id: "s3.multipart.invalid-part", says: "a completion with a part that was not uploaded, or of another ETag, is InvalidPart", source: s3API + "CompleteMultipartUpload.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		part := c.part(b, "k", u, 1, "x")
		const message = "One or more of the specified parts could not be found."
		c.complete(b, "k", u, []types.CompletedPart{numbered(2, part.ETag)}).fails(c, 400, "InvalidPart", message)
		c.complete(b, "k", u, []types.CompletedPart{numbered(1, ref(`"0123456789abcdef0123456789abcdef"`))}).fails(c, 400, "InvalidPart", message)
	}},
	{id: "s3.multipart.too-small", says: "a part below 5 MiB that is not the last is EntityTooSmall", source: s3API + "CompleteMultipartUpload.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		first, second := c.part(b, "k", u, 1, "small"), c.part(b, "k", u, 2, "x")
		c.complete(b, "k", u, []types.CompletedPart{first, second}).fails(c, 400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
	}},
	{id: "s3.multipart.empty", says: "a completion without parts is MalformedXML", source: s3API + "CompleteMultipartUpload.html", run: func(c *call) {
		b := c.bucket()
		c.complete(b, "k", c.begin(b, "k"), nil).fails(c, 400, "MalformedXML")
	}},
	{id: "s3.multipart.again", says: "a completion that is sent again is answered as the first was", source: s3API + "CompleteMultipartUpload.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		parts := []types.CompletedPart{c.part(b, "k", u, 1, "x")}
		etag := c.complete(b, "k", u, parts).ok(c).ETag
		equal(c, "again", str(c.complete(b, "k", u, parts).ok(c).ETag), *etag)
	}},
	{id: "s3.multipart.unknown", says: "an upload that is not there is NoSuchUpload", source: s3Pages + "ErrorResponses.html", run: func(c *call) {
		b := c.bucket()
		try(c.s3.UploadPart(c.ctx, &s3.UploadPartInput{Bucket: &b, Key: ref("k"), UploadId: ref("none"), PartNumber: aws.Int32(1), Body: strings.NewReader("x")})).fails(c, 404, "NoSuchUpload", noUpload)
		try(c.s3.ListParts(c.ctx, &s3.ListPartsInput{Bucket: &b, Key: ref("k"), UploadId: ref("none")})).fails(c, 404, "NoSuchUpload", noUpload)
		try(c.s3.AbortMultipartUpload(c.ctx, &s3.AbortMultipartUploadInput{Bucket: &b, Key: ref("k"), UploadId: ref("none")})).fails(c, 404, "NoSuchUpload", noUpload)
	}},
	{id: "s3.multipart.abort", says: "an aborted upload takes no parts, is not listed and does not complete", source: s3API + "AbortMultipartUpload.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		part := c.part(b, "k", u, 1, "x")
		try(c.s3.AbortMultipartUpload(c.ctx, &s3.AbortMultipartUploadInput{Bucket: &b, Key: ref("k"), UploadId: &u})).ok(c)
		equal(c, "uploads", len(try(c.s3.ListMultipartUploads(c.ctx, &s3.ListMultipartUploadsInput{Bucket: &b})).ok(c).Uploads), 0)
		c.complete(b, "k", u, []types.CompletedPart{part}).fails(c, 404, "NoSuchUpload")
	}},
	{id: "s3.multipart.checksum.composite", says: "the SHA256 of a multipart object is that of its parts' checksums, with their count", source: integrity, run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k", func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 })
		with := func(in *s3.UploadPartInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmSha256 }
		parts := []types.CompletedPart{c.part(b, "k", u, 1, "a", with)}
		out := c.complete(b, "k", u, parts).ok(c)
		if !strings.HasSuffix(str(out.ChecksumSHA256), "-1") || out.ChecksumType != "COMPOSITE" {
			c.Errorf("complete: %+v", out)
		}
	}},
	{id: "s3.multipart.checksum.missing", says: "an upload whose checksum was chosen is completed with the checksum of each part; of one whose was not, with none", source: recorded + "s3/test_s3.snapshot.json", run: func(c *call) {
		b := c.bucket()
		with := func(in *s3.UploadPartInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 }
		u := c.begin(b, "k", func(in *s3.CreateMultipartUploadInput) { in.ChecksumAlgorithm = types.ChecksumAlgorithmCrc32 })
		part := c.part(b, "k", u, 1, "a", with)
		without := part
		without.ChecksumCRC32 = nil
		c.complete(b, "k", u, []types.CompletedPart{without}).fails(c, 400, "InvalidRequest", "The upload was created using a crc32 checksum. The complete request must include the checksum for each part. It was missing for part 1 in the request.")
		c.complete(b, "k", u, []types.CompletedPart{part}).ok(c)
		u = c.begin(b, "k")
		part = c.part(b, "k", u, 1, "a", with)
		c.complete(b, "k", u, []types.CompletedPart{part}).fails(c, 400, "InvalidPart")
	}},
	{id: "s3.multipart.checksum.full", says: "a multipart object whose checksum was not chosen has the CRC64NVME of the whole", source: integrity, run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		out := c.complete(b, "k", u, []types.CompletedPart{c.part(b, "k", u, 1, "hello")}).ok(c)
		equal(c, "checksum", str(out.ChecksumCRC64NVME), "M3eFcAZSQlc=")
		equal(c, "type", out.ChecksumType, "FULL_OBJECT")
	}},
	{id: "s3.list-parts.pages", says: "parts are listed by number, in pages", source: s3API + "ListParts.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		for _, n := range []int32{3, 1, 2} {
			c.part(b, "k", u, n, strings.Repeat("x", int(n)))
		}
		in := &s3.ListPartsInput{Bucket: &b, Key: ref("k"), UploadId: &u, MaxParts: aws.Int32(2)}
		first := try(c.s3.ListParts(c.ctx, in)).ok(c)
		if len(first.Parts) != 2 || num(first.Parts[1].PartNumber) != 2 || num(first.Parts[1].Size) != 2 || !yes(first.IsTruncated) || first.ChecksumAlgorithm != "" {
			c.Fatalf("first page: %+v", first)
		}
		in.PartNumberMarker = first.NextPartNumberMarker
		second := try(c.s3.ListParts(c.ctx, in)).ok(c)
		if len(second.Parts) != 1 || num(second.Parts[0].PartNumber) != 3 || yes(second.IsTruncated) {
			c.Errorf("second page: %+v", second)
		}
	}},
	{id: "s3.list-uploads.order", says: "uploads are listed by key, those of a key by their beginning, in pages", source: s3API + "ListMultipartUploads.html", run: func(c *call) {
		b := c.bucket()
		want := []string{}
		for _, key := range []string{"a", "a", "a", "b"} {
			want = append(want, c.begin(b, key))
		}
		var got []string
		in := &s3.ListMultipartUploadsInput{Bucket: &b, MaxUploads: aws.Int32(2)}
		for {
			out := try(c.s3.ListMultipartUploads(c.ctx, in)).ok(c)
			for _, u := range out.Uploads {
				got = append(got, *u.UploadId)
			}
			if !yes(out.IsTruncated) {
				break
			}
			in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
		}
		equal(c, "uploads", got, want)
	}},
	{id: "s3.list-uploads.delimiter", says: "uploads are grouped by a delimiter, and chosen by prefix", source: s3API + "ListMultipartUploads.html", run: func(c *call) {
		b := c.bucket()
		for _, key := range []string{"a/1", "a/2", "b"} {
			c.begin(b, key)
		}
		out := try(c.s3.ListMultipartUploads(c.ctx, &s3.ListMultipartUploadsInput{Bucket: &b, Delimiter: ref("/")})).ok(c)
		if len(out.Uploads) != 1 || len(out.CommonPrefixes) != 1 || *out.CommonPrefixes[0].Prefix != "a/" {
			c.Errorf("listing: %+v", out)
		}
		equal(c, "prefix", len(try(c.s3.ListMultipartUploads(c.ctx, &s3.ListMultipartUploadsInput{Bucket: &b, Prefix: ref("a/")})).ok(c).Uploads), 2)
	}},
	{id: "s3.list-uploads.id-marker.invalid", says: "an upload id marker that is not of the key marker is InvalidArgument", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		b := c.bucket()
		try(c.s3.ListMultipartUploads(c.ctx, &s3.ListMultipartUploadsInput{Bucket: &b, KeyMarker: ref("x"), UploadIdMarker: ref(c.begin(b, "a"))})).fails(c, 400, "InvalidArgument", "Invalid uploadId marker")
	}},
	{id: "s3.get.part-number", says: "a part of an object is read by its number, with the count of parts", source: s3API + "GetObject.html", run: func(c *call) {
		b := c.bucket()
		u := c.begin(b, "k")
		c.complete(b, "k", u, []types.CompletedPart{c.part(b, "k", u, 1, strings.Repeat("a", 5*mib)), c.part(b, "k", u, 2, "tail")}).ok(c)
		second := func(in *s3.GetObjectInput) { in.PartNumber = aws.Int32(2) }
		equal(c, "parts", num(c.get(b, "k", second).ok(c).PartsCount), 2)
		equal(c, "body", c.read(b, "k", second), "tail")
		c.get(b, "k", func(in *s3.GetObjectInput) { in.PartNumber = aws.Int32(3) }).fails(c, 416, "InvalidPartNumber")
	}},
	{id: "s3.upload-part-copy.range", says: "a part is copied of an object or of a range of it", source: s3API + "UploadPartCopy.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "from", digits).ok(c)
		u := c.begin(b, "k")
		out := try(c.s3.UploadPartCopy(c.ctx, &s3.UploadPartCopyInput{Bucket: &b, Key: ref("k"), UploadId: &u, PartNumber: aws.Int32(1), CopySource: ref(b + "/from"), CopySourceRange: ref("bytes=2-4")})).ok(c)
		c.complete(b, "k", u, []types.CompletedPart{numbered(1, out.CopyPartResult.ETag)}).ok(c)
		equal(c, "body", c.read(b, "k"), "234")
	}},
	{id: "s3.upload-part-copy.range.invalid", says: "a range without both its ends is InvalidArgument, and one beyond the object is refused", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		c.put(b, "from", digits).ok(c)
		u := c.begin(b, "k")
		try1 := func(r string) result[*s3.UploadPartCopyOutput] {
			return try(c.s3.UploadPartCopy(c.ctx, &s3.UploadPartCopyInput{Bucket: &b, Key: ref("k"), UploadId: &u, PartNumber: aws.Int32(1), CopySource: ref(b + "/from"), CopySourceRange: &r}))
		}
		for _, r := range []string{"0-8", "bytes=1-", "bytes=-2", "bytes=1-0", "bytes=0-1,3-4"} {
			try1(r).fails(c, 400, "InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last")
		}
		try1("bytes=0-100").fails(c, 400, "InvalidArgument", "Range specified is not valid for source object of size: 10")
		try1("bytes=100-200").fails(c, 400, "InvalidRequest", "The specified copy range is invalid for the source object size")
	}},
	{id: "s3.upload-part-copy.if", says: "a condition on the source that fails is 412", source: s3API + "UploadPartCopy.html", run: func(c *call) {
		b := c.bucket()
		etag := c.put(b, "from", "x").ok(c).ETag
		u := c.begin(b, "k")
		try(c.s3.UploadPartCopy(c.ctx, &s3.UploadPartCopyInput{Bucket: &b, Key: ref("k"), UploadId: &u, PartNumber: aws.Int32(1), CopySource: ref(b + "/from"), CopySourceIfNoneMatch: etag})).fails(c, 412, "PreconditionFailed", unmet)
	}},
}

func (c *call) presign() *s3.PresignClient { return s3.NewPresignClient(c.s3) }

// url is where an object is reached, unsigned.
func (c *call) url(bucket, key string) string {
	c.Helper()
	u := try(c.presign().PresignGetObject(c.ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})).ok(c).URL
	plain, _, _ := strings.Cut(u, "?")
	return plain
}

const presignPage = s3Guide + "using-presigned-url.html"

var s3Presigned = []behaviour{
	{id: "s3.presigned.get", says: "a presigned URL reads without credentials", source: presignPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "hello").ok(c)
		u := try(c.presign().PresignGetObject(c.ctx, &s3.GetObjectInput{Bucket: &b, Key: ref("k")})).ok(c)
		equal(c, "body", c.text(c.exchange(c.request(u.Method, u.URL, "", u.SignedHeader))), "hello")
	}},
	{id: "s3.presigned.put", says: "a presigned URL writes, if its signed headers are sent", source: presignPage, run: func(c *call) {
		b := c.bucket()
		u := try(c.presign().PresignPutObject(c.ctx, &s3.PutObjectInput{Bucket: &b, Key: ref("k"), ContentType: ref("text/csv")})).ok(c)
		header := u.SignedHeader.Clone()
		header.Set("Content-Type", "text/csv")
		equal(c, "status", c.exchange(c.request(u.Method, u.URL, "hello", header)).StatusCode, 200)
		equal(c, "body", c.read(b, "k"), "hello")
		header.Set("Content-Type", "text/plain")
		bad := c.exchange(c.request(u.Method, u.URL, "hello", header))
		equal(c, "status", bad.StatusCode, 403)
		if text := c.text(bad); !strings.Contains(text, "<Code>SignatureDoesNotMatch</Code>") {
			c.Errorf("answer: %s", text)
		}
	}},
	{id: "s3.presigned.v2", says: "a URL that is presigned by signature version 2, as boto3 does for us-east-1, reads too", source: s3Pages + "RESTAuthentication.html", run: func(c *call) {
		if c.cfg.Region != "us-east-1" {
			return // the younger regions take version 4 alone
		}
		b := c.bucket()
		c.put(b, "a b", "hello").ok(c)
		who := try(c.cfg.Credentials.Retrieve(c.ctx)).ok(c)
		at := strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)
		sign := func(text string) string {
			mac := hmac.New(sha1.New, []byte(who.SecretAccessKey))
			_, _ = mac.Write([]byte(text))
			return url.QueryEscape(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		}
		tokenLine, tokenQuery := "", ""
		if who.SessionToken != "" {
			tokenLine, tokenQuery = "x-amz-security-token:"+who.SessionToken+"\n", "&x-amz-security-token="+url.QueryEscape(who.SessionToken)
		}
		query := "?AWSAccessKeyId=" + who.AccessKeyID + "&Expires=" + at + tokenQuery + "&Signature="
		signature := sign("GET\n\n\n" + at + "\n" + tokenLine + "/" + b + "/a%20b")
		equal(c, "body", c.text(c.exchange(c.request(http.MethodGet, c.url(b, "a b")+query+signature, "", nil))), "hello")
		hasty := c.request(http.MethodGet, c.url(b, "a b")+query+signature, "", nil)
		hasty.Close = true // as Python's urllib sends it
		equal(c, "body over a connection that closes", c.text(c.exchange(hasty)), "hello")
		equal(c, "other method", c.exchange(c.request(http.MethodDelete, c.url(b, "a b")+query+signature, "", nil)).StatusCode, 403)
	}},
	{id: "s3.presigned.other-key", says: "a presigned URL is good for its key alone", source: presignPage, run: func(c *call) {
		b := c.bucket()
		c.fill(b, "k", "other")
		u := try(c.presign().PresignGetObject(c.ctx, &s3.GetObjectInput{Bucket: &b, Key: ref("k")})).ok(c)
		parsed := try(url.Parse(u.URL)).ok(c)
		parsed.Path = strings.TrimSuffix(parsed.Path, "k") + "other"
		answer := c.exchange(c.request(http.MethodGet, parsed.String(), "", nil))
		equal(c, "status", answer.StatusCode, 403)
	}},
	{id: "s3.presigned.expired", says: "a presigned URL that has expired is AccessDenied", source: presignPage, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		u := try(c.presign().PresignGetObject(c.ctx, &s3.GetObjectInput{Bucket: &b, Key: ref("k")}, s3.WithPresignExpires(time.Second))).ok(c)
		c.eventually("the URL expires", func() bool {
			answer := c.exchange(c.request(u.Method, u.URL, "", u.SignedHeader))
			return answer.StatusCode == 403 && strings.Contains(c.text(answer), "<Message>Request has expired</Message>")
		})
	}},
	{id: "s3.anonymous.403", says: "a request without a signature is AccessDenied", source: s3Pages + "ErrorResponses.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		answer := c.exchange(c.request(http.MethodGet, c.url(b, "k"), "", nil))
		equal(c, "status", answer.StatusCode, 403)
		if text := c.text(answer); !strings.Contains(text, "<Code>AccessDenied</Code>") {
			c.Errorf("answer: %s", text)
		}
	}},
	{id: "s3.any.request-id", says: "every answer bears a request id", source: s3Pages + "RESTCommonResponseHeaders.html", run: func(c *call) {
		answer := c.signed(http.MethodGet, c.url(c.bucket(), "none"), "", emptyHash, nil)
		if answer.Header.Get("x-amz-request-id") == "" || answer.Header.Get("x-amz-id-2") == "" || answer.Header.Get("Server") != "AmazonS3" {
			c.Errorf("headers: %v", answer.Header)
		}
		text := c.text(answer)
		if !strings.Contains(text, "<Key>none</Key>") || !strings.Contains(text, "<RequestId>"+answer.Header.Get("x-amz-request-id")) {
			c.Errorf("answer: %s", text)
		}
	}},
}

// notified is a bucket whose events come into a queue.
func (c *call) notified() (bucket, queue string) {
	c.Helper()
	b, q := c.bucket(), c.queue()
	rule := c.name()
	try(c.events.PutRule(c.ctx, &eventbridge.PutRuleInput{Name: &rule, EventPattern: ref(`{"source":["aws.s3"],"detail":{"bucket":{"name":["` + b + `"]}}}`)})).ok(c)
	c.target(rule, ebtypes.Target{Id: ref("q"), Arn: ref(c.queueARN(q))})
	c.setVersioning(b, types.BucketVersioningStatusEnabled)
	try(c.s3.PutBucketNotificationConfiguration(c.ctx, &s3.PutBucketNotificationConfigurationInput{Bucket: &b,
		NotificationConfiguration: &types.NotificationConfiguration{EventBridgeConfiguration: &types.EventBridgeConfiguration{}}})).ok(c)
	if *account != "" { // it takes some minutes to begin
		c.eventually("the bucket notifies", func() bool {
			c.put(b, "probe", "").ok(c)
			return len(c.messages(q)) > 0
		})
	}
	return b, q
}

type s3Event struct {
	Type      string `json:"detail-type"`
	Source    string
	Account   string
	Resources []string
	Detail    struct {
		Version      string
		Reason       string
		DeletionType string `json:"deletion-type"`
		Requester    string
		RequestID    string `json:"request-id"`
		Bucket       struct{ Name string }
		Object       struct {
			Key       string
			Size      *int64
			ETag      string `json:"etag"`
			VersionID string `json:"version-id"`
			Sequencer string
		}
	}
}

// s3Events takes what events there are out of a queue.
func (c *call) s3Events(queue string) []s3Event {
	c.Helper()
	var out []s3Event
	for _, m := range c.messages(queue) {
		var e s3Event
		if err := json.Unmarshal([]byte(*m.Body), &e); err != nil {
			c.Fatal(err)
		}
		try(c.sqs.DeleteMessage(c.ctx, &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle})).ok(c)
		out = append(out, e)
	}
	return out
}

// event waits for the event of a key.
func (c *call) event(queue, key string) s3Event {
	c.Helper()
	var found s3Event
	c.eventually("the event of "+key, func() bool {
		for _, e := range c.s3Events(queue) {
			if e.Detail.Object.Key == key {
				found = e
			}
		}
		return found.Type != ""
	})
	return found
}

const eventPage = s3Guide + "ev-events.html"

var s3Events = []behaviour{
	{id: "s3.event.created.put", says: "a put is an Object Created with key, size, unquoted ETag, version, requester and reason", source: eventPage, need: needCost, run: func(c *call) {
		b, q := c.notified()
		put := c.put(b, "in/a b+c.csv", "hello").ok(c)
		e := c.event(q, "in/a b+c.csv")
		equal(c, "type", e.Type, "Object Created")
		equal(c, "resources", e.Resources, "[arn:aws:s3:::"+b+"]")
		equal(c, "reason", e.Detail.Reason, "PutObject")
		equal(c, "etag", e.Detail.Object.ETag, strings.Trim(*put.ETag, `"`))
		equal(c, "version", e.Detail.Object.VersionID, *put.VersionId)
		if num(e.Detail.Object.Size) != 5 || e.Account != c.account || e.Detail.Requester != c.account || e.Detail.RequestID == "" || e.Detail.Object.Sequencer == "" || e.Detail.Version != "0" {
			c.Errorf("event: %+v", e)
		}
	}},
	{id: "s3.event.created.reasons", says: "a copy and a completed upload are Object Created with reasons of their own", source: eventPage, need: needCost, run: func(c *call) {
		b, q := c.notified()
		c.put(b, "from", "x").ok(c)
		c.copy(b+"/from", b, "copied").ok(c)
		u := c.begin(b, "parts")
		c.complete(b, "parts", u, []types.CompletedPart{c.part(b, "parts", u, 1, "x")}).ok(c)
		reasons := map[string]string{}
		c.eventually("both events", func() bool {
			for _, e := range c.s3Events(q) {
				reasons[e.Detail.Object.Key] = e.Detail.Reason
			}
			return reasons["copied"] != "" && reasons["parts"] != ""
		})
		delete(reasons, "from")
		delete(reasons, "probe")
		equal(c, "reasons", reasons, "map[copied:CopyObject parts:CompleteMultipartUpload]")
	}},
	{id: "s3.event.deleted", says: "a marker is an Object Deleted of the kind Delete Marker Created, a version for good Permanently Deleted", source: eventPage, need: needCost, run: func(c *call) {
		b, q := c.notified()
		id := c.put(b, "k", "x").ok(c).VersionId
		c.event(q, "k")
		marker := c.drop(b, "k").ok(c).VersionId
		e := c.event(q, "k")
		equal(c, "marker", []string{e.Type, e.Detail.DeletionType, e.Detail.Object.VersionID, e.Detail.Reason}, []string{"Object Deleted", "Delete Marker Created", *marker, "DeleteObject"})
		c.drop(b, "k", dropVersion(id)).ok(c)
		e = c.event(q, "k")
		equal(c, "version", []string{e.Type, e.Detail.DeletionType, e.Detail.Object.VersionID}, []string{"Object Deleted", "Permanently Deleted", *id})
	}},
}
