package conformance_test

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	recordedS3    = recorded + "s3/test_s3.snapshot.json"
	recordedS3API = recorded + "s3/test_s3_api.snapshot.json"
	malformedXML  = "<Code>MalformedXML</Code><Message>The XML you provided was not well-formed or did not validate against our published schema</Message>"
	postPage      = s3Pages + "RESTObjectPOST.html"
)

// document sends a document to a part of a bucket, or of an object, as it is.
func (c *call) document(method, bucket, key, query, document string, header http.Header) *http.Response {
	c.Helper()
	u := strings.TrimSuffix(c.url(bucket, "x"), "/x") + "/" + key + "?" + query
	return c.signed(method, u, document, "UNSIGNED-PAYLOAD", header)
}

// isRefused holds an answer to a status and to what it says.
func (c *call) isRefused(answer *http.Response, status int, want string) {
	c.Helper()
	body := c.text(answer)
	if answer.StatusCode != status || !strings.Contains(body, want) {
		c.Errorf("answer %d: %s, want %d %s", answer.StatusCode, body, status, want)
	}
}

// malformed is a behaviour: a document is refused as not of the schema.
func malformedDocument(id, says, source, method, key, query, document string) behaviour {
	return behaviour{id: id, says: says + " is MalformedXML", source: source, run: func(c *call) {
		b := c.bucket()
		c.fill(b, "k")
		c.isRefused(c.document(method, b, key, query, document, nil), 400, malformedXML)
	}}
}

var s3Refused = []behaviour{
	malformedDocument("s3.delete-objects.none", "a deletion of no objects", s3API+"DeleteObjects.html", "POST", "", "delete=", `<Delete></Delete>`),
	malformedDocument("s3.delete-objects.unknown", "a deletion with an element that is not in the schema", s3API+"DeleteObjects.html", "POST", "", "delete=",
		`<Delete><Object><Key>k</Key><Colour>red</Colour></Object></Delete>`),
	malformedDocument("s3.put-object-tagging.no-value", "an object's tag without a value", recordedS3API, "PUT", "k", "tagging=", `<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>`),
	malformedDocument("s3.put-bucket-tagging.no-key", "a bucket's tag without a key", recordedS3API, "PUT", "", "tagging=", `<Tagging><TagSet><Tag><Value>a</Value></Tag></TagSet></Tagging>`),
	malformedDocument("s3.put-bucket-encryption.two-rules", "an encryption of two rules", recordedS3API, "PUT", "", "encryption=",
		`<ServerSideEncryptionConfiguration>`+strings.Repeat(`<Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>`, 2)+`</ServerSideEncryptionConfiguration>`),
	malformedDocument("s3.put-bucket-ownership.unknown", "an ownership that is none", recordedS3API, "PUT", "", "ownershipControls=",
		`<OwnershipControls><Rule><ObjectOwnership>Everybody</ObjectOwnership></Rule></OwnershipControls>`),
	malformedDocument("s3.put-bucket-lifecycle.two-filters", "a lifecycle's filter by two things without And", recordedS3, "PUT", "", "lifecycle=",
		`<LifecycleConfiguration><Rule><Status>Enabled</Status><Filter><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><Prefix></Prefix></Filter><Expiration><Days>7</Days></Expiration></Rule></LifecycleConfiguration>`),
	malformedDocument("s3.any.no-xml", "a document that is no XML", s3Pages+"ErrorResponses.html", "PUT", "", "versioning=", `status: Enabled`),
	{id: "s3.put-bucket-tagging.twice", says: "a tag that is there twice is InvalidTag, and told", source: recordedS3API, run: func(c *call) {
		const twice = `<Tag><Key>a</Key><Value>1</Value></Tag>`
		c.isRefused(c.document("PUT", c.bucket(), "", "tagging=", "<Tagging><TagSet>"+twice+twice+"</TagSet></Tagging>", nil), 400,
			"<Code>InvalidTag</Code><Message>Cannot provide multiple Tags with the same key</Message><TagKey>a</TagKey>")
	}},
	{id: "s3.put-bucket-versioning.empty", says: "a versioning without a status is IllegalVersioningConfigurationException", source: recordedS3API, run: func(c *call) {
		c.isRefused(c.document("PUT", c.bucket(), "", "versioning=", `<VersioningConfiguration></VersioningConfiguration>`, nil), 400,
			"<Code>IllegalVersioningConfigurationException</Code><Message>The Versioning element must be specified</Message>")
	}},
	{id: "s3.multipart.no-document", says: "a completion without a document is InvalidRequest, and of an upload that is not there NoSuchUpload", source: recordedS3, run: func(c *call) {
		b := c.bucket()
		c.isRefused(c.document("POST", b, "k", "uploadId="+url.QueryEscape(c.begin(b, "k")), "", nil), 400, "<Code>InvalidRequest</Code><Message>You must specify at least one part</Message>")
		c.isRefused(c.document("POST", b, "k", "uploadId=nothing", "", nil), 404, "<Code>NoSuchUpload</Code>")
	}},
	{id: "s3.put.storage-class.unknown", says: "a storage class that no bucket has is InvalidStorageClass, and told", source: recordedS3, run: func(c *call) {
		c.isRefused(c.document("PUT", c.bucket(), "k", "", "x", http.Header{"X-Amz-Storage-Class": {"OUTPOSTS"}}), 400,
			"<Code>InvalidStorageClass</Code><Message>The storage class you specified is not valid</Message><StorageClassRequested>OUTPOSTS</StorageClassRequested>")
	}},
	{id: "s3.put.storage-class", says: "an object keeps the storage class that it is put with, and a copy takes STANDARD", source: s3Guide + "storage-class-intro.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x", func(in *s3.PutObjectInput) { in.StorageClass = types.StorageClassStandardIa }).ok(c)
		equal(c, "class", c.head(b, "k").ok(c).StorageClass, types.StorageClassStandardIa)
		equal(c, "listed", try(c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &b})).ok(c).Contents[0].StorageClass, types.ObjectStorageClassStandardIa)
		c.copy(b+"/k", b, "copy").ok(c)
		equal(c, "class of the copy", c.head(b, "copy").ok(c).StorageClass, "")
	}},
	{id: "s3.copy.onto-itself.class", says: "a copy onto itself goes through when it names a storage class", source: recordedS3, run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		c.copy(b+"/k", b, "k").fails(c, 400, "InvalidRequest")
		c.copy(b+"/k", b, "k", func(in *s3.CopyObjectInput) { in.StorageClass = types.StorageClassStandard }).ok(c)
	}},
	{id: "s3.any.expected-owner.form", says: "an expected owner that is no account id is InvalidBucketOwnerAWSAccountID", source: recordedS3, run: func(c *call) {
		try(c.s3.GetBucketVersioning(c.ctx, &s3.GetBucketVersioningInput{Bucket: ref(c.bucket()), ExpectedBucketOwner: ref("abcd")})).
			fails(c, 400, "InvalidBucketOwnerAWSAccountID", "The value of the expected bucket owner parameter must be an AWS Account ID... [abcd]")
	}},
	{id: "s3.delete.bypass", says: "governance cannot be bypassed in a bucket without object lock", source: recordedS3API, run: func(c *call) {
		b := c.bucket()
		c.fill(b, "k")
		c.drop(b, "k", func(in *s3.DeleteObjectInput) { yes := true; in.BypassGovernanceRetention = &yes }).
			fails(c, 400, "InvalidArgument", "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.")
	}},
	{id: "s3.list-buckets.arn", says: "a list of buckets tells their ARNs, and a filter by region takes AWS's regions alone", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		b := c.bucket()
		out := try(c.s3.ListBuckets(c.ctx, &s3.ListBucketsInput{Prefix: &b, BucketRegion: &c.cfg.Region})).ok(c)
		if len(out.Buckets) != 1 || *out.Buckets[0].BucketArn != "arn:aws:s3:::"+b || *out.Buckets[0].BucketRegion != c.cfg.Region {
			c.Errorf("buckets: %+v", out.Buckets)
		}
		try(c.s3.ListBuckets(c.ctx, &s3.ListBucketsInput{BucketRegion: ref("eu-east-1")})).fails(c, 400, "InvalidArgument", "Argument value eu-east-1 is not a valid AWS Region")
	}},
	{id: "s3.list-versions.gone", says: "a listing of versions goes on after a version that is gone since", source: recorded + "s3/test_s3_list_operations.snapshot.json", run: func(c *call) {
		b := c.versioned()
		c.fill(b, "k", "k", "k")
		page := try(c.s3.ListObjectVersions(c.ctx, &s3.ListObjectVersionsInput{Bucket: &b, MaxKeys: ptrTo(int32(2))})).ok(c)
		c.drop(b, "k", func(in *s3.DeleteObjectInput) { in.VersionId = page.NextVersionIdMarker }).ok(c)
		rest := try(c.s3.ListObjectVersions(c.ctx, &s3.ListObjectVersionsInput{Bucket: &b, KeyMarker: page.NextKeyMarker, VersionIdMarker: page.NextVersionIdMarker})).ok(c)
		equal(c, "versions after it", len(rest.Versions), 1)
	}},
	{id: "s3.presigned.hoisted", says: "what SDKs move from headers into a presigned URL's query counts as if it were a header", source: s3Pages + "sigv4-query-string-auth.html", run: func(c *call) {
		b := c.bucket()
		u := try(url.Parse(c.url(b, "k"))).ok(c)
		u.RawQuery = "X-Amz-Expires=60&x-amz-storage-class=STANDARD_IA&If-None-Match=%2A"
		r := c.request(http.MethodPut, u.String(), "", nil)
		signed, header := c.presigned(r)
		equal(c, "status", c.exchange(c.request(http.MethodPut, signed, "x", header)).StatusCode, 200)
		equal(c, "class", c.head(b, "k").ok(c).StorageClass, types.StorageClassStandardIa)
		c.isRefused(c.exchange(c.request(http.MethodPut, signed, "x", header)), 412, "<Code>PreconditionFailed</Code>")
	}},
}

func ptrTo[T interface{ ~int32 }](v T) *T { return &v }

// upload sends a form with a file.
func (c *call) upload(to string, fields map[string]string, file string) *http.Response {
	c.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for name, value := range fields {
		if err := w.WriteField(name, value); err != nil {
			c.Fatal(err)
		}
	}
	if _, err := io.WriteString(try(w.CreateFormFile("file", "mine.csv")).ok(c), file); err != nil {
		c.Fatal(err)
	}
	if err := w.Close(); err != nil {
		c.Fatal(err)
	}
	return c.exchange(c.request(http.MethodPost, to, body.String(), http.Header{"Content-Type": {w.FormDataContentType()}}))
}

// form is a form for a key, signed; each condition stands in its policy.
func (c *call) form(bucket, key string, expires time.Duration, conditions ...any) *s3.PresignedPostRequest {
	c.Helper()
	return try(c.presign().PresignPostObject(c.ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key}, func(o *s3.PresignPostOptions) {
		o.Expires, o.Conditions = expires, conditions
	})).ok(c)
}

func plus(fields map[string]string, name, value string) map[string]string {
	out := map[string]string{name: value}
	for n, v := range fields {
		if n != name {
			out[n] = v
		}
	}
	return out
}

var s3Forms = []behaviour{
	{id: "s3.post.put", says: "a form with a signed policy uploads its file, and is answered 204", source: postPage, run: func(c *call) {
		b := c.bucket()
		f := c.form(b, "in/k", time.Hour)
		answer := c.upload(f.URL, f.Values, "a,b")
		equal(c, "status", answer.StatusCode, 204)
		equal(c, "body", c.read(b, "in/k"), "a,b")
	}},
	{id: "s3.post.status", says: "success_action_status 201 answers a document with bucket, key and ETag", source: postPage, run: func(c *call) {
		b := c.bucket()
		f := c.form(b, "k", time.Hour, map[string]string{"success_action_status": "201"})
		answer := c.upload(f.URL, plus(f.Values, "success_action_status", "201"), "a,b")
		body := c.text(answer)
		equal(c, "status", answer.StatusCode, 201)
		if !strings.Contains(body, "<Bucket>"+b+"</Bucket><Key>k</Key><ETag>") {
			c.Errorf("answer: %s", body)
		}
	}},
	{id: "s3.post.expired", says: "a form whose policy ran out is AccessDenied", source: recordedS3, run: func(c *call) {
		f := c.form(c.bucket(), "k", time.Second)
		c.eventually("the policy expires", func() bool {
			answer := c.upload(f.URL, f.Values, "x")
			return answer.StatusCode == 403 && strings.Contains(c.text(answer), "<Message>Invalid according to Policy: Policy expired.</Message>")
		})
	}},
	{id: "s3.post.condition", says: "a form with another value than its policy has is AccessDenied, and so is one with a field more", source: recordedS3, run: func(c *call) {
		f := c.form(c.bucket(), "k", time.Hour)
		c.isRefused(c.upload(f.URL, plus(f.Values, "key", "other"), "x"), 403, "Invalid according to Policy: Policy Condition failed: ")
		c.isRefused(c.upload(f.URL, plus(f.Values, "x-amz-meta-a", "1"), "x"), 403, "Invalid according to Policy: Extra input fields: x-amz-meta-a")
	}},
	{id: "s3.post.size", says: "a file that is larger or smaller than its policy allows is EntityTooLarge or EntityTooSmall", source: recordedS3, run: func(c *call) {
		f := c.form(c.bucket(), "k", time.Hour, []any{"content-length-range", 2, 4})
		c.isRefused(c.upload(f.URL, f.Values, "12345"), 400, "<Code>EntityTooLarge</Code><Message>Your proposed upload exceeds the maximum allowed size</Message>")
		c.isRefused(c.upload(f.URL, f.Values, "1"), 400, "<Code>EntityTooSmall</Code><Message>Your proposed upload is smaller than the minimum allowed size</Message>")
	}},
	{id: "s3.post.signature", says: "a form with another policy than was signed is SignatureDoesNotMatch", source: recordedS3, run: func(c *call) {
		f := c.form(c.bucket(), "k", time.Hour)
		c.isRefused(c.upload(f.URL, plus(f.Values, "policy", strings.TrimRight(f.Values["policy"], "=")[:40]), "x"), 403, "<Code>SignatureDoesNotMatch</Code>")
	}},
	{id: "s3.post.no-form", says: "a post that is no form is PreconditionFailed", source: recordedS3, run: func(c *call) {
		f := c.form(c.bucket(), "k", time.Hour)
		c.isRefused(c.exchange(c.request(http.MethodPost, f.URL, "x", http.Header{"Content-Type": {"text/html"}})), 412, "Bucket POST must be of the enclosure-type multipart/form-data")
	}},
}
