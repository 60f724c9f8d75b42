package s3

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3response"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// What follows is S3 for the aws-sdk: tasks of a state machine: operations with
// JSON in and out, by the names of the SDK. A member that is not listed here is
// refused by name.

// maxTaskBody is how much of an object a task reads, in bytes: what is longer does
// not fit into a task's result anyway.
const maxTaskBody = 1 << 20

type (
	objectInput struct {
		Bucket, Key, VersionId      *string
		Range, IfMatch, IfNoneMatch *string
		PartNumber                  *int32
		ExpectedBucketOwner         *string
	}
	objectOutput struct {
		AcceptRanges, Body                                    *string
		CacheControl, ContentDisposition                      *string
		ContentEncoding, ContentLanguage, ContentRange        *string
		ContentLength                                         *int64
		ContentType, ETag, VersionId, WebsiteRedirectLocation *string
		LastModified                                          *time.Time
		Metadata                                              map[string]string
		PartsCount, TagCount                                  *int32
	}
	putInput struct {
		Bucket, Key, Body                                           *string
		CacheControl, ContentDisposition                            *string
		ContentEncoding, ContentLanguage, ContentType               *string
		IfMatch, IfNoneMatch, Tagging, Expires, ExpectedBucketOwner *string
		Metadata                                                    map[string]string
	}
	putOutput  struct{ ETag, VersionId *string }
	copyOutput struct {
		CopyObjectResult struct {
			ETag         *string
			LastModified *time.Time
		}
		CopySourceVersionId, VersionId *string
	}
	copyInput struct {
		Bucket, Key, CopySource                                    *string
		CacheControl, ContentDisposition                           *string
		ContentEncoding, ContentLanguage, ContentType              *string
		CopySourceIfMatch, CopySourceIfNoneMatch, Tagging, Expires *string
		ExpectedBucketOwner, ExpectedSourceBucketOwner             *string
		Metadata                                                   map[string]string
		MetadataDirective                                          types.MetadataDirective
		TaggingDirective                                           types.TaggingDirective
	}
	deleteInput struct {
		Bucket, Key, VersionId, IfMatch, ExpectedBucketOwner *string
	}
	deleteOutput struct {
		DeleteMarker *bool
		VersionId    *string
	}
	listInput struct {
		Bucket, Prefix, Delimiter, StartAfter, ContinuationToken, ExpectedBucketOwner *string
		MaxKeys                                                                       *int32
		FetchOwner                                                                    *bool
	}
	listOutput struct {
		CommonPrefixes                                                                []types.CommonPrefix
		Contents                                                                      []types.Object
		ContinuationToken, Delimiter, Name, NextContinuationToken, Prefix, StartAfter *string
		IsTruncated                                                                   *bool
		KeyCount, MaxKeys                                                             *int32
	}
	bucketInput  struct{ Bucket, ExpectedBucketOwner *string }
	bucketOutput struct{ BucketRegion *string }
	taggingInput struct {
		Bucket, Key, VersionId, ExpectedBucketOwner *string
		Tagging                                     *types.Tagging
	}
	taggingOutput struct {
		TagSet    []types.Tag
		VersionId *string
	}
	bucketsInput  struct{ Prefix *string }
	bucketsOutput struct {
		Buckets []types.Bucket
		Owner   *types.Owner
	}
)

// taskOperations are what an aws-sdk:s3 task may call.
func (s *S3) taskOperations() []wire.Operation {
	return []wire.Operation{
		wire.Op("GetObject", s.taskGet), wire.Op("HeadObject", s.taskHead), wire.Op("PutObject", s.taskPut),
		wire.Op("CopyObject", s.taskCopy), wire.Op("DeleteObject", s.taskDelete), wire.Op("ListObjectsV2", s.taskList),
		wire.Op("HeadBucket", s.taskHeadBucket), wire.Op("ListBuckets", s.taskBuckets),
		wire.Op("GetObjectTagging", s.taskTags), wire.Op("PutObjectTagging", s.taskRetag),
	}
}

// TaskOperations names what an aws-sdk:s3 task may call.
func TaskOperations() []string {
	var names []string
	for _, op := range (*S3)(nil).taskOperations() {
		names = append(names, op.Name)
	}
	return names
}

// mayTask checks what every task names, and that its caller may do the action.
func (s *S3) mayTask(ctx context.Context, action string, bucket, key, owner *string) error {
	resource := bucketARN(text(bucket))
	switch {
	case text(bucket) == "":
		return wire.Errorf("InvalidRequest", "Bucket is required")
	case key != nil && *key == "":
		return wire.Errorf("InvalidRequest", "Key is required")
	case key != nil:
		resource = objectARN(text(bucket), *key)
	}
	if err := s.keeper.ownedBy(owner); err != nil {
		return wireError(err)
	}
	return s.allow(ctx, action, resource)
}

// must is a key that the request has to have.
func must(key *string) *string {
	if key == nil {
		return ptr("")
	}
	return key
}

func versioned(action string, id *string) string {
	if text(id) != "" {
		return action + "Version"
	}
	return action
}

func (s *S3) taskGet(ctx context.Context, in *objectInput) (*objectOutput, error) {
	if err := s.mayTask(ctx, versioned("s3:GetObject", in.VersionId), in.Bucket, must(in.Key), in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	out, err := s.keeper.GetObject(ctx, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId, Range: in.Range,
		IfMatch: in.IfMatch, IfNoneMatch: in.IfNoneMatch, PartNumber: in.PartNumber})
	if err != nil {
		return nil, wireError(err)
	}
	defer func() { _ = out.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxTaskBody))
	if err != nil {
		return nil, fmt.Errorf("read object %s of %s: %w", text(in.Key), text(in.Bucket), err)
	}
	return &objectOutput{AcceptRanges: out.AcceptRanges, Body: ptr(string(body)), CacheControl: out.CacheControl, ContentDisposition: out.ContentDisposition,
		ContentEncoding: out.ContentEncoding, ContentLanguage: out.ContentLanguage, ContentRange: out.ContentRange, ContentLength: out.ContentLength,
		ContentType: out.ContentType, ETag: out.ETag, VersionId: given(text(out.VersionId)), WebsiteRedirectLocation: out.WebsiteRedirectLocation,
		LastModified: out.LastModified, Metadata: metadata(out.Metadata), PartsCount: out.PartsCount, TagCount: out.TagCount}, nil
}

// metadata is there even when it is empty.
func metadata(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func (s *S3) taskHead(ctx context.Context, in *objectInput) (*objectOutput, error) {
	if err := s.mayTask(ctx, versioned("s3:GetObject", in.VersionId), in.Bucket, must(in.Key), in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	out, err := s.keeper.HeadObject(ctx, &s3.HeadObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId, Range: in.Range,
		IfMatch: in.IfMatch, IfNoneMatch: in.IfNoneMatch, PartNumber: in.PartNumber})
	if err != nil {
		return nil, wireError(err)
	}
	return &objectOutput{AcceptRanges: out.AcceptRanges, CacheControl: out.CacheControl, ContentDisposition: out.ContentDisposition,
		ContentEncoding: out.ContentEncoding, ContentLanguage: out.ContentLanguage, ContentRange: out.ContentRange, ContentLength: out.ContentLength,
		ContentType: out.ContentType, ETag: out.ETag, VersionId: given(text(out.VersionId)), WebsiteRedirectLocation: out.WebsiteRedirectLocation,
		LastModified: out.LastModified, Metadata: metadata(out.Metadata), PartsCount: out.PartsCount, TagCount: out.TagCount}, nil
}

func (s *S3) taskPut(ctx context.Context, in *putInput) (*putOutput, error) {
	if err := s.mayTask(ctx, "s3:PutObject", in.Bucket, must(in.Key), in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	if in.Tagging != nil {
		if err := s.allow(ctx, "s3:PutObjectTagging", objectARN(*in.Bucket, *in.Key)); err != nil {
			return nil, err
		}
	}
	if in.ContentType == nil {
		in.ContentType = ptr("binary/octet-stream")
	}
	body := text(in.Body)
	out, err := s.keeper.PutObject(ctx, s3response.PutObjectInput{Bucket: in.Bucket, Key: in.Key, Body: strings.NewReader(body), ContentLength: ptr(int64(len(body))),
		CacheControl: in.CacheControl, ContentDisposition: in.ContentDisposition, ContentEncoding: in.ContentEncoding, ContentLanguage: in.ContentLanguage,
		ContentType: in.ContentType, IfMatch: in.IfMatch, IfNoneMatch: in.IfNoneMatch, Tagging: in.Tagging, Expires: in.Expires, Metadata: in.Metadata})
	if err != nil {
		return nil, wireError(err)
	}
	return &putOutput{ETag: &out.ETag, VersionId: given(out.VersionID)}, nil
}

func (s *S3) taskCopy(ctx context.Context, in *copyInput) (*copyOutput, error) {
	if err := s.mayTask(ctx, "s3:PutObject", in.Bucket, must(in.Key), in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	source, _, _ := strings.Cut(strings.TrimPrefix(text(in.CopySource), "/"), "?")
	if err := s.allow(ctx, "s3:GetObject", "arn:aws:s3:::"+source); err != nil {
		return nil, err
	}
	out, err := s.keeper.CopyObject(ctx, s3response.CopyObjectInput{Bucket: in.Bucket, Key: in.Key, CopySource: in.CopySource,
		CacheControl: in.CacheControl, ContentDisposition: in.ContentDisposition, ContentEncoding: in.ContentEncoding, ContentLanguage: in.ContentLanguage,
		ContentType: in.ContentType, CopySourceIfMatch: in.CopySourceIfMatch, CopySourceIfNoneMatch: in.CopySourceIfNoneMatch, Tagging: in.Tagging, Expires: in.Expires,
		ExpectedSourceBucketOwner: in.ExpectedSourceBucketOwner, Metadata: in.Metadata, MetadataDirective: in.MetadataDirective, TaggingDirective: in.TaggingDirective})
	if err != nil {
		return nil, wireError(err)
	}
	copied := &copyOutput{CopySourceVersionId: out.CopySourceVersionId, VersionId: given(text(out.VersionId))}
	copied.CopyObjectResult.ETag, copied.CopyObjectResult.LastModified = out.CopyObjectResult.ETag, out.CopyObjectResult.LastModified
	return copied, nil
}

func (s *S3) taskDelete(ctx context.Context, in *deleteInput) (*deleteOutput, error) {
	if err := s.mayTask(ctx, versioned("s3:DeleteObject", in.VersionId), in.Bucket, must(in.Key), in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	out, err := s.keeper.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId, IfMatch: in.IfMatch})
	if err != nil {
		return nil, wireError(err)
	}
	return &deleteOutput{DeleteMarker: out.DeleteMarker, VersionId: given(text(out.VersionId))}, nil
}

func (s *S3) taskList(ctx context.Context, in *listInput) (*listOutput, error) {
	if err := s.mayTask(ctx, "s3:ListBucket", in.Bucket, nil, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	const most = 1000
	keys := ptr(int32(most))
	if in.MaxKeys != nil {
		if *in.MaxKeys < 0 {
			return nil, wire.Errorf("InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647")
		}
		keys = ptr(min(*in.MaxKeys, most))
	}
	out, err := s.keeper.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: in.Bucket, Prefix: in.Prefix, Delimiter: in.Delimiter, StartAfter: in.StartAfter,
		ContinuationToken: in.ContinuationToken, FetchOwner: in.FetchOwner, MaxKeys: keys})
	if err != nil {
		return nil, wireError(err)
	}
	page := &listOutput{CommonPrefixes: out.CommonPrefixes, ContinuationToken: out.ContinuationToken, Delimiter: out.Delimiter, Name: out.Name,
		NextContinuationToken: out.NextContinuationToken, Prefix: out.Prefix, StartAfter: out.StartAfter, IsTruncated: out.IsTruncated, KeyCount: out.KeyCount, MaxKeys: out.MaxKeys}
	for _, o := range out.Contents {
		page.Contents = append(page.Contents, types.Object{ETag: o.ETag, Key: o.Key, LastModified: o.LastModified, Owner: o.Owner, Size: o.Size,
			StorageClass: o.StorageClass, ChecksumAlgorithm: o.ChecksumAlgorithm, ChecksumType: o.ChecksumType})
	}
	return page, nil
}

func (s *S3) taskHeadBucket(ctx context.Context, in *bucketInput) (*bucketOutput, error) {
	if err := s.mayTask(ctx, "s3:ListBucket", in.Bucket, nil, in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	if _, err := s.keeper.bucket(*in.Bucket); err != nil {
		return nil, wireError(err)
	}
	return &bucketOutput{BucketRegion: &s.options.Region}, nil
}

func (s *S3) taskBuckets(ctx context.Context, in *bucketsInput) (*bucketsOutput, error) {
	if err := s.allow(ctx, "s3:ListAllMyBuckets", "*"); err != nil {
		return nil, err
	}
	out, err := s.keeper.ListBuckets(ctx, s3response.ListBucketsInput{IsAdmin: true, Prefix: text(in.Prefix)})
	if err != nil {
		return nil, wireError(err)
	}
	list := &bucketsOutput{Buckets: []types.Bucket{}, Owner: &types.Owner{ID: &s.options.Account}}
	for _, b := range out.Buckets.Bucket {
		list.Buckets = append(list.Buckets, types.Bucket{Name: &b.Name, CreationDate: &b.CreationDate})
	}
	return list, nil
}

func (s *S3) taskTags(ctx context.Context, in *taggingInput) (*taggingOutput, error) {
	if err := s.mayTask(ctx, versioned("s3:GetObject", in.VersionId)+"Tagging", in.Bucket, must(in.Key), in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	tags, err := s.keeper.GetObjectTagging(ctx, *in.Bucket, *in.Key, text(in.VersionId))
	if err != nil {
		return nil, wireError(err)
	}
	out := &taggingOutput{TagSet: []types.Tag{}, VersionId: in.VersionId}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out.TagSet = append(out.TagSet, types.Tag{Key: &k, Value: ptr(tags[k])})
	}
	return out, nil
}

func (s *S3) taskRetag(ctx context.Context, in *taggingInput) (*putOutput, error) {
	if err := s.mayTask(ctx, versioned("s3:PutObject", in.VersionId)+"Tagging", in.Bucket, must(in.Key), in.ExpectedBucketOwner); err != nil {
		return nil, err
	}
	if in.Tagging == nil {
		return nil, wire.Errorf("InvalidRequest", "Tagging is required")
	}
	tags := map[string]string{}
	for _, t := range in.Tagging.TagSet {
		tags[text(t.Key)] = text(t.Value)
	}
	return &putOutput{VersionId: in.VersionId}, wireError(s.keeper.PutObjectTagging(ctx, *in.Bucket, *in.Key, text(in.VersionId), tags))
}
