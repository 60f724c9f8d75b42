package s3_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func TestMultipart(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	b := aws.String("parts")
	makeBucket(t, cl, *b, true)
	data := make([]byte, 5<<20)
	_, _ = rand.Read(data)
	for name, tc := range map[string]struct {
		algorithm types.ChecksumAlgorithm
		kind      types.ChecksumType
	}{
		"no checksum asked for": {},
		"CRC32 of checksums":    {types.ChecksumAlgorithmCrc32, types.ChecksumTypeComposite},
		"SHA256 of checksums":   {types.ChecksumAlgorithmSha256, types.ChecksumTypeComposite},
		"CRC64 of it all":       {types.ChecksumAlgorithmCrc64nvme, types.ChecksumTypeFullObject},
		"CRC32 of it all":       {types.ChecksumAlgorithmCrc32, types.ChecksumTypeFullObject},
	} {
		t.Run(name, func(t *testing.T) {
			key := aws.String(name)
			up := must[*awss3.CreateMultipartUploadOutput](t)(cl.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: b, Key: key,
				ChecksumAlgorithm: tc.algorithm, ChecksumType: tc.kind, ContentType: aws.String("text/mp"), Metadata: map[string]string{"m": "1"}}))
			bodies := [][]byte{data, data[:5<<20-0], []byte("tail")}
			var done []types.CompletedPart
			for i, body := range bodies {
				p := must[*awss3.UploadPartOutput](t)(cl.UploadPart(t.Context(), &awss3.UploadPartInput{Bucket: b, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)),
					Body: bytes.NewReader(body), ChecksumAlgorithm: tc.algorithm}))
				part := types.CompletedPart{ETag: p.ETag, PartNumber: aws.Int32(int32(i + 1))}
				if tc.algorithm != "" {
					part.ChecksumCRC32, part.ChecksumSHA256, part.ChecksumCRC64NVME = p.ChecksumCRC32, p.ChecksumSHA256, p.ChecksumCRC64NVME
				}
				done = append(done, part)
			}
			parts := must[*awss3.ListPartsOutput](t)(cl.ListParts(t.Context(), &awss3.ListPartsInput{Bucket: b, Key: key, UploadId: up.UploadId, MaxParts: aws.Int32(2)}))
			if len(parts.Parts) != 2 || !aws.ToBool(parts.IsTruncated) || aws.ToString(parts.NextPartNumberMarker) != "2" {
				t.Errorf("parts: %+v", parts.Parts)
			}
			in := &awss3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: up.UploadId, ChecksumType: tc.kind, MultipartUpload: &types.CompletedMultipartUpload{Parts: done}}
			out := must[*awss3.CompleteMultipartUploadOutput](t)(cl.CompleteMultipartUpload(t.Context(), in))
			if !strings.HasSuffix(*out.ETag, `-3"`) {
				t.Errorf("ETag %s", *out.ETag)
			}
			again := must[*awss3.CompleteMultipartUploadOutput](t)(cl.CompleteMultipartUpload(t.Context(), in))
			if *again.ETag != *out.ETag {
				t.Errorf("completed twice: %s, then %s", *out.ETag, *again.ETag)
			}
			// ChecksumMode makes the client verify a full-object checksum.
			got := must[*awss3.GetObjectOutput](t)(cl.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: b, Key: key, ChecksumMode: types.ChecksumModeEnabled}))
			body := must[[]byte](t)(io.ReadAll(got.Body))
			if !bytes.Equal(body, bytes.Join(bodies, nil)) || *got.ContentType != "text/mp" || got.Metadata["m"] != "1" {
				t.Errorf("read back %d bytes, %+v", len(body), got.Metadata)
			}
			second := get(t, cl, &awss3.GetObjectInput{Bucket: b, Key: key, PartNumber: aws.Int32(3)})
			if second != "tail" {
				t.Errorf("part 3: %q", second)
			}
			across := get(t, cl, &awss3.GetObjectInput{Bucket: b, Key: key, Range: aws.String(fmt.Sprintf("bytes=%d-", 10<<20-2))})
			if across != string(data[5<<20-2:])+"tail" {
				t.Errorf("range across parts: %d bytes", len(across))
			}
		})
	}
	uploads := must[*awss3.ListMultipartUploadsOutput](t)(cl.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: b}))
	if len(uploads.Uploads) != 0 {
		t.Errorf("uploads left: %+v", uploads.Uploads)
	}
}

// Uploads under way keep no bucket from being deleted, and go with it.
func TestMultipartEndsWithItsBucket(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir)
	cl := c.root()
	b, key := aws.String("short-lived"), aws.String("k")
	files := func() (n int) {
		_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				n++
			}
			return nil
		})
		return n
	}
	makeBucket(t, cl, *b, false)
	before := files()
	up := must[*awss3.CreateMultipartUploadOutput](t)(cl.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: b, Key: key}))
	for n, size := range []int{1, 1 << 20} {
		must[*awss3.UploadPartOutput](t)(cl.UploadPart(t.Context(), &awss3.UploadPartInput{Bucket: b, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(n + 1)), Body: bytes.NewReader(make([]byte, size))}))
	}
	if files() == before {
		t.Fatal("the parts made no file")
	}
	must[*awss3.DeleteBucketOutput](t)(cl.DeleteBucket(t.Context(), &awss3.DeleteBucketInput{Bucket: b}))
	if n := files(); n != before {
		t.Errorf("%d files are left of %d before the upload", n, before)
	}
	makeBucket(t, cl, *b, false)
	if left := must[*awss3.ListMultipartUploadsOutput](t)(cl.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: b})).Uploads; len(left) > 0 {
		t.Errorf("the new bucket has %d uploads", len(left))
	}
}

func TestMultipartRefusals(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	b, key := aws.String("refusals"), aws.String("k")
	makeBucket(t, cl, *b, false)
	up := must[*awss3.CreateMultipartUploadOutput](t)(cl.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: b, Key: key}))
	etags := map[int32]*string{}
	for n := int32(1); n <= 2; n++ {
		etags[n] = must[*awss3.UploadPartOutput](t)(cl.UploadPart(t.Context(), &awss3.UploadPartInput{Bucket: b, Key: key, UploadId: up.UploadId, PartNumber: &n, Body: strings.NewReader("small")})).ETag
	}
	put(t, cl, *b, "there", "x")
	part := func(n int32, etag *string) types.CompletedPart {
		return types.CompletedPart{PartNumber: &n, ETag: etag}
	}
	for name, tc := range map[string]struct {
		id    string
		parts []types.CompletedPart
		none  *string
		want  string
	}{
		"too small":      {parts: []types.CompletedPart{part(1, etags[1]), part(2, etags[2])}, want: "EntityTooSmall"},
		"wrong order":    {parts: []types.CompletedPart{part(2, etags[2]), part(1, etags[1])}, want: "InvalidPartOrder"},
		"missing part":   {parts: []types.CompletedPart{part(3, etags[1])}, want: "InvalidPart"},
		"wrong ETag":     {parts: []types.CompletedPart{part(1, aws.String(`"00000000000000000000000000000000"`))}, want: "InvalidPart"},
		"unknown upload": {id: "nothing", parts: []types.CompletedPart{part(1, etags[1])}, want: "NoSuchUpload"},
	} {
		t.Run(name, func(t *testing.T) {
			id := up.UploadId
			if tc.id != "" {
				id = &tc.id
			}
			_, err := cl.CompleteMultipartUpload(t.Context(), &awss3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: id, MultipartUpload: &types.CompletedMultipartUpload{Parts: tc.parts}})
			if code(err) != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
	put(t, cl, *b, *key, "meanwhile")
	in := &awss3.CompleteMultipartUploadInput{Bucket: b, Key: key, UploadId: up.UploadId, IfNoneMatch: aws.String("*"), MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{part(1, etags[1])}}}
	if _, err := cl.CompleteMultipartUpload(t.Context(), in); code(err) != "PreconditionFailed" {
		t.Errorf("If-None-Match: %v", err)
	}
	must[*awss3.AbortMultipartUploadOutput](t)(cl.AbortMultipartUpload(t.Context(), &awss3.AbortMultipartUploadInput{Bucket: b, Key: key, UploadId: up.UploadId}))
	if _, err := cl.UploadPart(t.Context(), &awss3.UploadPartInput{Bucket: b, Key: key, UploadId: up.UploadId, PartNumber: aws.Int32(1), Body: strings.NewReader("x")}); code(err) != "NoSuchUpload" {
		t.Errorf("part of an aborted upload: %v", err)
	}
}

func TestUploadPartCopy(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	b := aws.String("part-copy")
	makeBucket(t, cl, *b, true)
	put(t, cl, *b, "src", "0123456789")
	up := must[*awss3.CreateMultipartUploadOutput](t)(cl.CreateMultipartUpload(t.Context(), &awss3.CreateMultipartUploadInput{Bucket: b, Key: aws.String("dst"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256}))
	p := must[*awss3.UploadPartCopyOutput](t)(cl.UploadPartCopy(t.Context(), &awss3.UploadPartCopyInput{Bucket: b, Key: aws.String("dst"), UploadId: up.UploadId, PartNumber: aws.Int32(1),
		CopySource: aws.String("part-copy/src"), CopySourceRange: aws.String("bytes=2-5")}))
	if p.CopyPartResult.ChecksumSHA256 == nil || aws.ToString(p.CopySourceVersionId) == "" {
		t.Errorf("copied part: %+v", p.CopyPartResult)
	}
	must[*awss3.CompleteMultipartUploadOutput](t)(cl.CompleteMultipartUpload(t.Context(), &awss3.CompleteMultipartUploadInput{Bucket: b, Key: aws.String("dst"), UploadId: up.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: p.CopyPartResult.ETag, ChecksumSHA256: p.CopyPartResult.ChecksumSHA256}}}}))
	if got := get(t, cl, &awss3.GetObjectInput{Bucket: b, Key: aws.String("dst")}); got != "2345" {
		t.Errorf("copied %q", got)
	}
}

func TestChecksumsAreVerified(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "sums", false)
	for name, in := range map[string]*awss3.PutObjectInput{
		"CRC32":       {ChecksumCRC32: aws.String("AAAAAA==")},
		"SHA256":      {ChecksumSHA256: aws.String("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")},
		"Content-MD5": {ContentMD5: aws.String("1B2M2Y8AsgTpgAmY7PhCfg==")},
	} {
		t.Run(name, func(t *testing.T) {
			in.Bucket, in.Key, in.Body = aws.String("sums"), aws.String(name), strings.NewReader("what it is not of")
			if _, err := cl.PutObject(t.Context(), in); code(err) != "BadDigest" {
				t.Errorf("%v, want BadDigest", err)
			}
			if _, err := cl.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("sums"), Key: aws.String(name)}); code(err) != "NotFound" {
				t.Errorf("it was stored: %v", err)
			}
		})
	}
}

func TestSignatures(t *testing.T) {
	c := start(t, t.TempDir())
	makeBucket(t, c.root(), "sig", false)
	for name, tc := range map[string]struct{ access, secret, token, want string }{
		"wrong secret":  {"test", "other", "", "SignatureDoesNotMatch"},
		"unknown key":   {"nobody", "test", "", "InvalidAccessKeyId"},
		"missing token": {"ASIAROLE", "role-secret", "", "InvalidToken"},
		"wrong token":   {"ASIAROLE", "role-secret", "stolen", "InvalidToken"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.client(tc.access, tc.secret, tc.token).ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: aws.String("sig")})
			if code(err) != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
			_, err = c.client(tc.access, tc.secret, tc.token).GetBucketNotificationConfiguration(t.Context(), &awss3.GetBucketNotificationConfigurationInput{Bucket: aws.String("sig")})
			if want := strings.Replace(tc.want, "InvalidToken", "InvalidAccessKeyId", 1); code(err) != want {
				t.Errorf("sub-resource: %v, want %s", err, want)
			}
		})
	}
	resp := must[*http.Response](t)(http.Get(c.url + "/sig"))
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %s", resp.Status)
	}
}

func TestRoles(t *testing.T) {
	c := start(t, t.TempDir())
	root, role := c.root(), c.client("ASIAROLE", "role-secret", "role-token")
	makeBucket(t, root, "theirs", true)
	v := put(t, root, "theirs", "in/a", "x").VersionId
	c.rules[roleARN] = map[string]bool{
		"s3:GetObject arn:aws:s3:::theirs/in/a":        true,
		"s3:GetObjectVersion arn:aws:s3:::theirs/in/a": true,
		"s3:ListBucket arn:aws:s3:::theirs":            true,
		"s3:PutObject arn:aws:s3:::theirs/out/b":       true,
		"s3:DeleteObject arn:aws:s3:::theirs/out/b":    false,
		"s3:GetBucketNotification arn:aws:s3:::theirs": true,
	}
	b := aws.String("theirs")
	for name, tc := range map[string]struct {
		call func() error
		want string
	}{
		"get": {func() error {
			_, err := role.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: b, Key: aws.String("in/a")})
			return err
		}, ""},
		"get version": {func() error {
			_, err := role.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: b, Key: aws.String("in/a"), VersionId: v})
			return err
		}, ""},
		"get other": {func() error {
			_, err := role.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: b, Key: aws.String("in/c")})
			return err
		}, "AccessDenied"},
		"list": {func() error {
			_, err := role.ListObjectsV2(t.Context(), &awss3.ListObjectsV2Input{Bucket: b})
			return err
		}, ""},
		"list versions": {func() error {
			_, err := role.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: b})
			return err
		}, "AccessDenied"},
		"put": {func() error {
			_, err := role.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: b, Key: aws.String("out/b"), Body: strings.NewReader("x")})
			return err
		}, ""},
		"put other": {func() error {
			_, err := role.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: b, Key: aws.String("in/a"), Body: strings.NewReader("x")})
			return err
		}, "AccessDenied"},
		"delete": {func() error {
			_, err := role.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: b, Key: aws.String("out/b")})
			return err
		}, "AccessDenied"},
		"copy": {func() error {
			_, err := role.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: b, Key: aws.String("out/b"), CopySource: aws.String("theirs/in/a?versionId=" + *v)})
			return err
		}, ""},
		"copy from other": {func() error {
			_, err := role.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: b, Key: aws.String("out/b"), CopySource: aws.String("theirs/secret")})
			return err
		}, "AccessDenied"},
		"create bucket": {func() error {
			_, err := role.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("mine")})
			return err
		}, "AccessDenied"},
		"read events": {func() error {
			_, err := role.GetBucketNotificationConfiguration(t.Context(), &awss3.GetBucketNotificationConfigurationInput{Bucket: b})
			return err
		}, ""},
		"set events": {func() error {
			_, err := role.PutBucketNotificationConfiguration(t.Context(), &awss3.PutBucketNotificationConfigurationInput{Bucket: b, NotificationConfiguration: &types.NotificationConfiguration{}})
			return err
		}, "AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := tc.call(); code(err) != tc.want {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestRolesCallDirectly(t *testing.T) {
	c := start(t, t.TempDir())
	makeBucket(t, c.root(), "theirs", false)
	put(t, c.root(), "theirs", "in/a", "x")
	c.rules[roleARN] = map[string]bool{"s3:GetObject arn:aws:s3:::theirs/in/a": true}
	ctx := wire.WithCaller(t.Context(), wire.Caller{ARN: "arn:aws:sts::000000000000:assumed-role/reader/s", RoleARN: roleARN})
	if _, _, err := c.Open(ctx, "theirs", "secret", ""); !wire.HasCode(err, "AccessDenied") {
		t.Errorf("direct open: %v", err)
	}
	if _, err := c.Put(ctx, "theirs", "in/a", strings.NewReader("x"), 1); !wire.HasCode(err, "AccessDenied") {
		t.Errorf("direct put: %v", err)
	}
	if _, err := c.List(ctx, "theirs", ""); !wire.HasCode(err, "AccessDenied") {
		t.Errorf("direct list: %v", err)
	}
	if body, n, err := c.Open(ctx, "theirs", "in/a", ""); err != nil || n != 1 || body.Close() != nil {
		t.Errorf("direct open: %d, %v", n, err)
	}
}

func TestBucketPolicies(t *testing.T) {
	c := start(t, t.TempDir())
	root, role := c.root(), c.client("ASIAROLE", "role-secret", "role-token")
	makeBucket(t, root, "policed", false)
	put(t, root, "policed", "k", "x")
	readable := func(t *testing.T, want string) {
		t.Helper()
		_, err := role.GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("policed"), Key: aws.String("k")})
		if code(err) != want {
			t.Errorf("get: %v, want %q", err, want)
		}
	}
	sslOnly := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"s3:*","Resource":["arn:aws:s3:::policed","arn:aws:s3:::policed/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	if err := c.SetPolicy(t.Context(), "policed", sslOnly); err != nil {
		t.Fatal(err)
	}
	readable(t, "AccessDenied") // neither identity nor bucket allows
	got := must[*awss3.GetBucketPolicyOutput](t)(root.GetBucketPolicy(t.Context(), &awss3.GetBucketPolicyInput{Bucket: aws.String("policed")}))
	if *got.Policy != sslOnly {
		t.Errorf("policy read back: %s", *got.Policy)
	}
	c.rules[roleARN] = map[string]bool{"s3:GetObject arn:aws:s3:::policed/k": true}
	readable(t, "")
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"` + roleARN + `"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::policed/*"},
		{"Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::policed/*"}]}`
	if err := c.SetPolicy(t.Context(), "policed", deny); err != nil {
		t.Fatal(err)
	}
	readable(t, "AccessDenied")
	overWire := func(policy string) error {
		_, err := root.PutBucketPolicy(t.Context(), &awss3.PutBucketPolicyInput{Bucket: aws.String("policed"), Policy: &policy})
		return err
	}
	service := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::policed/*"}]}`
	if err := overWire(service); err != nil {
		t.Errorf("a service as the principal: %v", err)
	}
	got = must[*awss3.GetBucketPolicyOutput](t)(root.GetBucketPolicy(t.Context(), &awss3.GetBucketPolicyInput{Bucket: aws.String("policed")}))
	if *got.Policy != service {
		t.Errorf("policy read back: %s", *got.Policy)
	}
	for name, bad := range map[string]string{"no statements": `{"Version":"2012-10-17","Statement":[]}`, "no such action": strings.Replace(service, "PutObject", "Fly", 1), "another bucket": strings.Replace(service, "policed", "other", 1)} {
		if err := overWire(bad); code(err) != "MalformedPolicy" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := role.PutBucketPolicy(t.Context(), &awss3.PutBucketPolicyInput{Bucket: aws.String("policed"), Policy: &service}); code(err) != "AccessDenied" {
		t.Errorf("a role that may not: %v", err)
	}
	c.rules[roleARN] = nil
	must[*awss3.PutBucketPolicyOutput](t)(root.PutBucketPolicy(t.Context(), &awss3.PutBucketPolicyInput{Bucket: aws.String("policed"), Policy: aws.String(strings.Replace(strings.Split(deny, ",\n")[0]+"]}", "Deny", "Allow", 1))}))
	readable(t, "")
	for name, bad := range map[string]string{"no JSON": `{`, "unknown action": strings.Replace(sslOnly, "s3:*", "s3:Fly", 1), "unknown effect": strings.Replace(deny, `"Deny"`, `"Perhaps"`, 1)} {
		if name == "unknown action" {
			bad = strings.Replace(bad, `"Condition":{"Bool":{"aws:SecureTransport":"false"}}`, `"Sid":"x"`, 1)
		}
		if err := c.SetPolicy(t.Context(), "policed", bad); !wire.HasCode(err, "MalformedPolicy") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEvents(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "quiet", true)
	put(t, cl, "quiet", "k", "x")
	if n := len(c.sent()); n != 0 {
		t.Fatalf("%d events of a bucket without EventBridge", n)
	}
	must[*awss3.PutBucketNotificationConfigurationOutput](t)(cl.PutBucketNotificationConfiguration(t.Context(), &awss3.PutBucketNotificationConfigurationInput{Bucket: aws.String("quiet"),
		NotificationConfiguration: &types.NotificationConfiguration{EventBridgeConfiguration: &types.EventBridgeConfiguration{}}}))
	got := must[*awss3.GetBucketNotificationConfigurationOutput](t)(cl.GetBucketNotificationConfiguration(t.Context(), &awss3.GetBucketNotificationConfigurationInput{Bucket: aws.String("quiet")}))
	if got.EventBridgeConfiguration == nil {
		t.Error("EventBridge is not on")
	}
	out := put(t, cl, "quiet", "a b/ü.csv", "hello")
	id, err := c.Put(wire.WithRequestID(t.Context(), "REQ1"), "quiet", "direct", strings.NewReader("direct"), 6)
	if err != nil {
		t.Fatal(err)
	}
	must[*awss3.CopyObjectOutput](t)(cl.CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("quiet"), Key: aws.String("copy"), CopySource: aws.String("quiet/direct")}))
	marker := must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String("quiet"), Key: aws.String("direct")}))
	must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String("quiet"), Key: aws.String("direct"), VersionId: &id}))
	sent := c.sent()
	if len(sent) != 5 {
		t.Fatalf("%d events: %v", len(sent), sent)
	}
	want := []struct{ detailType, reason, deletion, key, version string }{
		{"Object Created", "PutObject", "", "a b/ü.csv", *out.VersionId},
		{"Object Created", "PutObject", "", "direct", id},
		{"Object Created", "CopyObject", "", "copy", ""},
		{"Object Deleted", "DeleteObject", "Delete Marker Created", "direct", *marker.VersionId},
		{"Object Deleted", "DeleteObject", "Permanently Deleted", "direct", id},
	}
	for i, w := range want {
		d, object := sent[i].Detail, sent[i].Detail["object"].(map[string]any)
		if sent[i].DetailType != w.detailType || sent[i].Resources[0] != "arn:aws:s3:::quiet" || d["reason"] != w.reason || object["key"] != w.key ||
			(w.version != "" && object["version-id"] != w.version) || (w.deletion != "" && d["deletion-type"] != w.deletion) ||
			d["requester"] != account || d["request-id"] == "" || d["bucket"].(map[string]any)["name"] != "quiet" {
			t.Errorf("event %d: %+v, want %+v", i, sent[i], w)
		}
	}
	first := sent[0].Detail["object"].(map[string]any)
	if first["size"] != 5.0 || first["etag"] != strings.Trim(*out.ETag, `"`) || sent[0].Detail["version"] != "0" || sent[1].Detail["request-id"] != "REQ1" {
		t.Errorf("first event: %+v", sent[0].Detail)
	}
	if before, after := first["sequencer"].(string), sent[4].Detail["object"].(map[string]any)["sequencer"].(string); len(before) != len(after) {
		t.Errorf("sequencers %s, %s do not compare", before, after)
	}
}

func TestSubresources(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	b := aws.String("configured")
	makeBucket(t, cl, *b, false)
	enc := must[*awss3.GetBucketEncryptionOutput](t)(cl.GetBucketEncryption(t.Context(), &awss3.GetBucketEncryptionInput{Bucket: b}))
	if enc.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm != types.ServerSideEncryptionAes256 {
		t.Errorf("encryption: %+v", enc)
	}
	byKMS := &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAwsKms}}}}
	if _, err := cl.PutBucketEncryption(t.Context(), &awss3.PutBucketEncryptionInput{Bucket: b, ServerSideEncryptionConfiguration: byKMS}); code(err) != "NotImplemented" {
		t.Errorf("encryption by KMS: %v", err)
	}
	if _, err := cl.GetBucketLifecycleConfiguration(t.Context(), &awss3.GetBucketLifecycleConfigurationInput{Bucket: b}); code(err) != "NoSuchLifecycleConfiguration" {
		t.Errorf("lifecycle: %v", err)
	}
	must[*awss3.PutBucketLifecycleConfigurationOutput](t)(cl.PutBucketLifecycleConfiguration(t.Context(), &awss3.PutBucketLifecycleConfigurationInput{Bucket: b,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{{ID: aws.String("old"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")},
			NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(30)}}}}}))
	life := must[*awss3.GetBucketLifecycleConfigurationOutput](t)(cl.GetBucketLifecycleConfiguration(t.Context(), &awss3.GetBucketLifecycleConfigurationInput{Bucket: b}))
	if len(life.Rules) != 1 || *life.Rules[0].NoncurrentVersionExpiration.NoncurrentDays != 30 {
		t.Errorf("lifecycle: %+v", life)
	}
	must[*awss3.DeleteBucketLifecycleOutput](t)(cl.DeleteBucketLifecycle(t.Context(), &awss3.DeleteBucketLifecycleInput{Bucket: b}))
	if _, err := cl.GetBucketLifecycleConfiguration(t.Context(), &awss3.GetBucketLifecycleConfigurationInput{Bucket: b}); code(err) != "NoSuchLifecycleConfiguration" {
		t.Errorf("deleted lifecycle: %v", err)
	}
	must[*awss3.PutPublicAccessBlockOutput](t)(cl.PutPublicAccessBlock(t.Context(), &awss3.PutPublicAccessBlockInput{Bucket: b, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicAcls: aws.Bool(true)}}))
	pab := must[*awss3.GetPublicAccessBlockOutput](t)(cl.GetPublicAccessBlock(t.Context(), &awss3.GetPublicAccessBlockInput{Bucket: b}))
	if !aws.ToBool(pab.PublicAccessBlockConfiguration.BlockPublicAcls) || aws.ToBool(pab.PublicAccessBlockConfiguration.BlockPublicPolicy) {
		t.Errorf("public access block: %+v", pab.PublicAccessBlockConfiguration)
	}
	owner := must[*awss3.GetBucketOwnershipControlsOutput](t)(cl.GetBucketOwnershipControls(t.Context(), &awss3.GetBucketOwnershipControlsInput{Bucket: b}))
	if owner.OwnershipControls.Rules[0].ObjectOwnership != types.ObjectOwnershipBucketOwnerEnforced {
		t.Errorf("ownership: %+v", owner.OwnershipControls)
	}
	queue := &types.NotificationConfiguration{QueueConfigurations: []types.QueueConfiguration{{QueueArn: aws.String("arn:aws:sqs:us-east-1:000000000000:q"), Events: []types.Event{"s3:ObjectCreated:*"}}}}
	if _, err := cl.PutBucketNotificationConfiguration(t.Context(), &awss3.PutBucketNotificationConfigurationInput{Bucket: b, NotificationConfiguration: queue}); code(err) != "NotImplemented" {
		t.Errorf("notification to a queue: %v", err)
	}
	if _, err := cl.GetBucketReplication(t.Context(), &awss3.GetBucketReplicationInput{Bucket: b}); code(err) != "NotImplemented" {
		t.Errorf("replication: %v", err)
	}
	if _, err := cl.GetBucketEncryption(t.Context(), &awss3.GetBucketEncryptionInput{Bucket: aws.String("no-such-bucket")}); code(err) != "NoSuchBucket" {
		t.Errorf("no bucket: %v", err)
	}
	if log := c.log.String(); strings.Count(log, "not supported by the local cloud") != 3 {
		t.Errorf("refusals were not said aloud: %s", log)
	}
}

func TestBuckets(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	for name, want := range map[string]string{"good-name.1": "", "Upper": "InvalidBucketName", "ab": "InvalidBucketName", "a_b": "InvalidBucketName", "10.0.0.1": "InvalidBucketName", strings.Repeat("x", 64): "InvalidBucketName"} {
		_, err := cl.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &name})
		if code(err) != want {
			t.Errorf("create %s: %v, want %q", name, err, want)
		}
		if err := c.CreateBucket(t.Context(), name); (err == nil) || (want != "" && !wire.HasCode(err, want)) || (want == "" && !wire.HasCode(err, "BucketAlreadyOwnedByYou")) {
			t.Errorf("create %s directly: %v", name, err)
		}
	}
	if _, err := cl.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("good-name.1")}); err != nil {
		t.Errorf("create one's own bucket again in us-east-1: %v", err)
	}
	if err := c.CreateBucket(t.Context(), "another"); err != nil {
		t.Fatal(err)
	}
	if err := c.Tag(t.Context(), "another", map[string]string{"k": "v"}); err != nil {
		t.Fatal(err)
	}
	list := must[*awss3.ListBucketsOutput](t)(cl.ListBuckets(t.Context(), &awss3.ListBucketsInput{}))
	if len(list.Buckets) != 2 || *list.Buckets[0].Name != "another" {
		t.Errorf("buckets: %+v", list.Buckets)
	}
	loc := must[*awss3.GetBucketLocationOutput](t)(cl.GetBucketLocation(t.Context(), &awss3.GetBucketLocationInput{Bucket: aws.String("another")}))
	if loc.LocationConstraint != "" {
		t.Errorf("location of us-east-1: %q", loc.LocationConstraint)
	}
	if _, err := cl.HeadBucket(t.Context(), &awss3.HeadBucketInput{Bucket: aws.String("another"), ExpectedBucketOwner: aws.String("111111111111")}); err == nil {
		t.Error("another owner was expected, and it was fine")
	}
	if _, err := cl.HeadBucket(t.Context(), &awss3.HeadBucketInput{Bucket: aws.String("another"), ExpectedBucketOwner: aws.String(account)}); err != nil {
		t.Errorf("the owner was expected: %v", err)
	}
}

func TestTags(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "tags", true)
	v := put(t, cl, "tags", "k", "x").VersionId
	put(t, cl, "tags", "k", "y")
	if _, err := cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("tags"), Key: aws.String("l"), Body: strings.NewReader("x"), Tagging: aws.String("aws:a=1")}); code(err) != "InvalidTag" {
		t.Errorf("a tag of AWS's own: %v", err)
	}
	set := &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}}
	must[*awss3.PutObjectTaggingOutput](t)(cl.PutObjectTagging(t.Context(), &awss3.PutObjectTaggingInput{Bucket: aws.String("tags"), Key: aws.String("k"), VersionId: v, Tagging: set}))
	for id, want := range map[*string]int{v: 1, nil: 0} {
		got := must[*awss3.GetObjectTaggingOutput](t)(cl.GetObjectTagging(t.Context(), &awss3.GetObjectTaggingInput{Bucket: aws.String("tags"), Key: aws.String("k"), VersionId: id}))
		if len(got.TagSet) != want {
			t.Errorf("tags of %v: %v", aws.ToString(id), got.TagSet)
		}
	}
}

// files counts the files under dir, to see what is left behind.
func files(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	c := start(t, dir)
	cl := c.root()
	makeBucket(t, cl, "clean", false)
	big := strings.Repeat("x", 100_000)
	put(t, cl, "clean", "k", big)
	put(t, cl, "clean", "k", big) // replaced
	must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String("clean"), Key: aws.String("k")}))
	if _, err := cl.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("clean"), Key: aws.String("k"), Body: strings.NewReader(big), IfMatch: aws.String("x")}); err == nil {
		t.Fatal("If-Match on nothing was fine")
	}
	if _, err := c.Put(t.Context(), "clean", "k", strings.NewReader(big), 7); !wire.HasCode(err, "IncompleteBody") {
		t.Fatalf("a body of another length than announced: %v", err)
	}
	if n := files(t, filepath.Join(dir, "objects")); n != 0 {
		t.Errorf("%d files left", n)
	}
}
