package conformance_test

import (
	"context"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Where AWS says how S3 behaves.
const (
	s3API   = "https://docs.aws.amazon.com/AmazonS3/latest/API/API_"
	s3Pages = "https://docs.aws.amazon.com/AmazonS3/latest/API/"
	s3Guide = "https://docs.aws.amazon.com/AmazonS3/latest/userguide/"
	// AWS's own answers, recorded by LocalStack's tests against accounts.
	recorded = "https://github.com/localstack/localstack/blob/main/tests/aws/services/"
)

func ref(s string) *string { return aws.String(s) }

// bucket makes a bucket that is gone at the end of the case.
func (c *call) bucket() string {
	c.Helper()
	name := c.name()
	c.makeBucket(name)
	return name
}

func (c *call) makeBucket(name string) {
	c.Helper()
	in := &s3.CreateBucketInput{Bucket: &name}
	if c.cfg.Region != "us-east-1" {
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(c.cfg.Region)}
	}
	try(c.s3.CreateBucket(c.ctx, in)).ok(c)
	c.after(func(ctx context.Context) error { return c.dropBucket(ctx, name) })
}

func (c *call) dropBucket(ctx context.Context, name string) error {
	uploads := s3.NewListMultipartUploadsPaginator(c.s3, &s3.ListMultipartUploadsInput{Bucket: &name})
	for uploads.HasMorePages() {
		page, err := uploads.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, u := range page.Uploads {
			if _, err := c.s3.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &name, Key: u.Key, UploadId: u.UploadId}); err != nil {
				return err
			}
		}
	}
	versions := s3.NewListObjectVersionsPaginator(c.s3, &s3.ListObjectVersionsInput{Bucket: &name})
	for versions.HasMorePages() {
		page, err := versions.NextPage(ctx)
		if err != nil {
			return err
		}
		var ids []types.ObjectIdentifier
		for _, v := range page.Versions {
			ids = append(ids, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
		}
		for _, m := range page.DeleteMarkers {
			ids = append(ids, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
		}
		if len(ids) == 0 {
			continue
		}
		if _, err := c.s3.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &name, Delete: &types.Delete{Objects: ids}}); err != nil {
			return err
		}
	}
	_, err := c.s3.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &name})
	return err
}

// versioned makes a bucket that keeps versions.
func (c *call) versioned() string {
	c.Helper()
	name := c.bucket()
	c.setVersioning(name, types.BucketVersioningStatusEnabled)
	return name
}

func (c *call) setVersioning(bucket string, status types.BucketVersioningStatus) {
	c.Helper()
	try(c.s3.PutBucketVersioning(c.ctx, &s3.PutBucketVersioningInput{Bucket: &bucket,
		VersioningConfiguration: &types.VersioningConfiguration{Status: status}})).ok(c)
}

// put puts an object; each with may change the request.
func (c *call) put(bucket, key, body string, with ...func(*s3.PutObjectInput)) result[*s3.PutObjectOutput] {
	in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(body)}
	for _, f := range with {
		f(in)
	}
	return try(c.s3.PutObject(c.ctx, in))
}

func (c *call) get(bucket, key string, with ...func(*s3.GetObjectInput)) result[*s3.GetObjectOutput] {
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	for _, f := range with {
		f(in)
	}
	return try(c.s3.GetObject(c.ctx, in))
}

func (c *call) head(bucket, key string, with ...func(*s3.HeadObjectInput)) result[*s3.HeadObjectOutput] {
	in := &s3.HeadObjectInput{Bucket: &bucket, Key: &key}
	for _, f := range with {
		f(in)
	}
	return try(c.s3.HeadObject(c.ctx, in))
}

func (c *call) drop(bucket, key string, with ...func(*s3.DeleteObjectInput)) result[*s3.DeleteObjectOutput] {
	in := &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}
	for _, f := range with {
		f(in)
	}
	return try(c.s3.DeleteObject(c.ctx, in))
}

func (c *call) copy(from, bucket, key string, with ...func(*s3.CopyObjectInput)) result[*s3.CopyObjectOutput] {
	in := &s3.CopyObjectInput{Bucket: &bucket, Key: &key, CopySource: &from}
	for _, f := range with {
		f(in)
	}
	return try(c.s3.CopyObject(c.ctx, in))
}

// read is the body of an object.
func (c *call) read(bucket, key string, with ...func(*s3.GetObjectInput)) string {
	c.Helper()
	out := c.get(bucket, key, with...).ok(c)
	body, err := io.ReadAll(out.Body)
	if err != nil {
		c.Fatal(err)
	}
	if err := out.Body.Close(); err != nil {
		c.Fatal(err)
	}
	return string(body)
}

// begin begins a multipart upload.
func (c *call) begin(bucket, key string, with ...func(*s3.CreateMultipartUploadInput)) string {
	c.Helper()
	in := &s3.CreateMultipartUploadInput{Bucket: &bucket, Key: &key}
	for _, f := range with {
		f(in)
	}
	return *try(c.s3.CreateMultipartUpload(c.ctx, in)).ok(c).UploadId
}

// part uploads a part and gives what completes an upload with it.
func (c *call) part(bucket, key, upload string, number int32, body string, with ...func(*s3.UploadPartInput)) types.CompletedPart {
	c.Helper()
	in := &s3.UploadPartInput{Bucket: &bucket, Key: &key, UploadId: &upload, PartNumber: &number, Body: strings.NewReader(body)}
	for _, f := range with {
		f(in)
	}
	out := try(c.s3.UploadPart(c.ctx, in)).ok(c)
	done := types.CompletedPart{PartNumber: &number, ETag: out.ETag}
	switch in.ChecksumAlgorithm {
	case types.ChecksumAlgorithmSha256:
		done.ChecksumSHA256 = out.ChecksumSHA256
	case types.ChecksumAlgorithmCrc32:
		done.ChecksumCRC32 = out.ChecksumCRC32
	}
	return done
}

func (c *call) complete(bucket, key, upload string, parts []types.CompletedPart, with ...func(*s3.CompleteMultipartUploadInput)) result[*s3.CompleteMultipartUploadOutput] {
	in := &s3.CompleteMultipartUploadInput{Bucket: &bucket, Key: &key, UploadId: &upload, MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}}
	for _, f := range with {
		f(in)
	}
	return try(c.s3.CompleteMultipartUpload(c.ctx, in))
}

// keysOf lists the keys of a page, and its common prefixes with them.
func keysOf(objects []types.Object, prefixes []types.CommonPrefix) []string {
	names := []string{}
	for _, o := range objects {
		names = append(names, *o.Key)
	}
	for _, p := range prefixes {
		names = append(names, *p.Prefix+"*")
	}
	return names
}

// fill puts an empty object under each key.
func (c *call) fill(bucket string, keys ...string) {
	c.Helper()
	for _, k := range keys {
		c.put(bucket, k, "").ok(c)
	}
}

const mib = 1 << 20
