package s3_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	client "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/millrace-ml/millrace/localcloud/s3"
)

type asked func(*http.Request) (*http.Response, error)

func (f asked) Do(r *http.Request) (*http.Response, error) { return f(r) }

// TestOperationsAreTold: the name told of a request is the one under which the
// SDK made it.
func TestOperationsAreTold(t *testing.T) {
	want, told := "", 0
	c := client.New(client.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		APIOptions: []func(*middleware.Stack) error{func(s *middleware.Stack) error {
			return s.Initialize.Add(middleware.InitializeMiddlewareFunc("name", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
				want = awsmiddleware.GetOperationName(ctx)
				return next.HandleInitialize(ctx, in)
			}), middleware.After)
		}},
		HTTPClient: asked(func(r *http.Request) (*http.Response, error) {
			told++
			if got := s3.OperationOf(r); got != want {
				t.Errorf("%s %s is told to be %q, but is %s", r.Method, r.URL, got, want)
			}
			return nil, http.ErrAbortHandler
		})})
	b, k, id := aws.String("box"), aws.String("a/b"), aws.String("u")
	ctx := t.Context()
	all := []func(){
		func() { _, _ = c.ListBuckets(ctx, &client.ListBucketsInput{}) },
		func() { _, _ = c.CreateBucket(ctx, &client.CreateBucketInput{Bucket: b}) },
		func() { _, _ = c.HeadBucket(ctx, &client.HeadBucketInput{Bucket: b}) },
		func() { _, _ = c.DeleteBucket(ctx, &client.DeleteBucketInput{Bucket: b}) },
		func() { _, _ = c.ListObjects(ctx, &client.ListObjectsInput{Bucket: b, Prefix: k}) },
		func() { _, _ = c.ListObjectsV2(ctx, &client.ListObjectsV2Input{Bucket: b}) },
		func() { _, _ = c.ListObjectVersions(ctx, &client.ListObjectVersionsInput{Bucket: b}) },
		func() { _, _ = c.ListMultipartUploads(ctx, &client.ListMultipartUploadsInput{Bucket: b}) },
		func() { _, _ = c.GetBucketPolicy(ctx, &client.GetBucketPolicyInput{Bucket: b}) },
		func() { _, _ = c.PutBucketPolicy(ctx, &client.PutBucketPolicyInput{Bucket: b, Policy: k}) },
		func() { _, _ = c.GetBucketVersioning(ctx, &client.GetBucketVersioningInput{Bucket: b}) },
		func() {
			_, _ = c.GetBucketNotificationConfiguration(ctx, &client.GetBucketNotificationConfigurationInput{Bucket: b})
		},
		func() { _, _ = c.GetBucketEncryption(ctx, &client.GetBucketEncryptionInput{Bucket: b}) },
		func() { _, _ = c.GetPublicAccessBlock(ctx, &client.GetPublicAccessBlockInput{Bucket: b}) },
		func() {
			_, _ = c.DeleteObjects(ctx, &client.DeleteObjectsInput{Bucket: b, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: k}}}})
		},
		func() {
			_, _ = c.PutObject(ctx, &client.PutObjectInput{Bucket: b, Key: k, Body: strings.NewReader("x")})
		},
		func() {
			_, _ = c.CopyObject(ctx, &client.CopyObjectInput{Bucket: b, Key: k, CopySource: aws.String("box/c")})
		},
		func() { _, _ = c.GetObject(ctx, &client.GetObjectInput{Bucket: b, Key: k, VersionId: id}) },
		func() { _, _ = c.HeadObject(ctx, &client.HeadObjectInput{Bucket: b, Key: k}) },
		func() { _, _ = c.DeleteObject(ctx, &client.DeleteObjectInput{Bucket: b, Key: k}) },
		func() { _, _ = c.GetObjectTagging(ctx, &client.GetObjectTaggingInput{Bucket: b, Key: k}) },
		func() {
			_, _ = c.PutObjectTagging(ctx, &client.PutObjectTaggingInput{Bucket: b, Key: k, Tagging: &types.Tagging{TagSet: []types.Tag{}}})
		},
		func() {
			_, _ = c.GetObjectAttributes(ctx, &client.GetObjectAttributesInput{Bucket: b, Key: k, ObjectAttributes: []types.ObjectAttributes{"ETag"}})
		},
		func() { _, _ = c.CreateMultipartUpload(ctx, &client.CreateMultipartUploadInput{Bucket: b, Key: k}) },
		func() {
			_, _ = c.UploadPart(ctx, &client.UploadPartInput{Bucket: b, Key: k, UploadId: id, PartNumber: aws.Int32(1), Body: strings.NewReader("x")})
		},
		func() {
			_, _ = c.UploadPartCopy(ctx, &client.UploadPartCopyInput{Bucket: b, Key: k, UploadId: id, PartNumber: aws.Int32(1), CopySource: aws.String("box/c")})
		},
		func() { _, _ = c.ListParts(ctx, &client.ListPartsInput{Bucket: b, Key: k, UploadId: id}) },
		func() {
			_, _ = c.CompleteMultipartUpload(ctx, &client.CompleteMultipartUploadInput{Bucket: b, Key: k, UploadId: id})
		},
		func() {
			_, _ = c.AbortMultipartUpload(ctx, &client.AbortMultipartUploadInput{Bucket: b, Key: k, UploadId: id})
		},
	}
	for _, call := range all {
		call()
	}
	if told != len(all) {
		t.Errorf("%d requests were made, want %d", told, len(all))
	}
}
