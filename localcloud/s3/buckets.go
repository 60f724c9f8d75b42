package s3

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"go.etcd.io/bbolt"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/store"
)

// keeper keeps buckets and objects: it is the storage behind the gateway, which
// speaks S3's protocol. What it does not override is answered NotImplemented.
type keeper struct {
	backend.BackendUnsupported
	index   *index
	blobs   *blobs
	log     *slog.Logger
	clock   clock.Clock
	account string
	region  string
	events  *events
}

var _ backend.Backend = (*keeper)(nil)

func errNoSuchBucket(name string) error { return s3err.GetBucketErr(s3err.ErrNoSuchBucket, name) }

// text copies a string out of the gateway's request buffer, which is reused.
func text(p *string) string {
	if p == nil {
		return ""
	}
	return strings.Clone(*p)
}

func (k *keeper) String() string                          { return "millrace" }
func (k *keeper) Shutdown()                               {}
func (k *keeper) NormalizeObjectKey(_, key string) string { return key }

// isRegion tells the names of AWS's regions.
func isRegion(name string) bool {
	return name == "us-east-1" || slices.Contains(types.BucketLocationConstraint("").Values(), types.BucketLocationConstraint(name))
}

// bucket reads a bucket's record.
func (k *keeper) bucket(name string) (b *bucket, err error) {
	err = k.index.view(func(tx *bbolt.Tx) error {
		b, err = getBucket(tx, name)
		return err
	})
	return b, err
}

// change rewrites a bucket's record.
func (k *keeper) change(name string, f func(b *bucket)) error {
	name = strings.Clone(name)
	return k.index.update(func(tx *bbolt.Tx) error {
		b, err := getBucket(tx, name)
		if err != nil {
			return err
		}
		f(b)
		return putJSON(tx.Bucket(tableBuckets), []byte(name), b)
	})
}

func (k *keeper) create(b *bucket) error {
	return k.index.update(func(tx *bbolt.Tx) error {
		if tx.Bucket(tableBuckets).Get([]byte(b.Name)) != nil {
			return s3err.GetBucketErr(s3err.ErrBucketAlreadyOwnedByYou, b.Name)
		}
		for _, t := range [][]byte{tableObjects, tableUploads} {
			if _, err := tx.Bucket(t).CreateBucketIfNotExists([]byte(b.Name)); err != nil {
				return err
			}
		}
		return putJSON(tx.Bucket(tableBuckets), []byte(b.Name), b)
	})
}

// CreateBucket makes a bucket. As on AWS, one's own bucket may be made again in
// us-east-1, and nowhere else.
func (k *keeper) CreateBucket(_ context.Context, in *s3.CreateBucketInput, acl []byte) error {
	if in.ObjectLockEnabledForBucket != nil && *in.ObjectLockEnabledForBucket {
		return unsupported("object lock")
	}
	b := &bucket{Name: text(in.Bucket), Created: k.now(), ACL: acl, Ownership: strings.Clone(string(in.ObjectOwnership))}
	if in.CreateBucketConfiguration != nil {
		tags, err := backend.ParseCreateBucketTags(in.CreateBucketConfiguration.Tags)
		if err != nil {
			return err
		}
		for key := range tags {
			if strings.HasPrefix(key, "aws:") {
				return s3err.APIError{Code: "InvalidTag", HTTPStatusCode: http.StatusBadRequest,
					Description: `User-defined tag keys can't start with "aws:". This prefix is reserved for system tags. Remove "aws:" from your tag keys and try again.`}
			}
		}
		b.Tags = tags
	}
	err := k.create(b)
	if k.region == "us-east-1" && errors.Is(err, s3err.GetBucketErr(s3err.ErrBucketAlreadyOwnedByYou, b.Name)) {
		return nil
	}
	return err
}

// DeleteBucket removes a bucket that holds no version, marker or upload.
func (k *keeper) DeleteBucket(_ context.Context, name string) error {
	name = strings.Clone(name)
	var gone []segment
	err := k.index.update(func(tx *bbolt.Tx) error {
		gone = nil
		b, err := getBucket(tx, name)
		if err != nil {
			return err
		}
		if first, _ := tx.Bucket(tableObjects).Bucket([]byte(name)).Cursor().First(); first != nil {
			if b.Versioning != "" {
				return s3err.GetBucketErr(s3err.ErrVersionedBucketNotEmpty, name)
			}
			return s3err.GetBucketErr(s3err.ErrBucketNotEmpty, name)
		}
		// Uploads under way end with their bucket.
		err = tx.Bucket(tableUploads).Bucket([]byte(name)).ForEach(func(key, raw []byte) error {
			var u upload
			if err := store.UnsealJSON(key, raw, &u); err != nil {
				return fmt.Errorf("read upload of bucket %s: %w", name, err)
			}
			gone = append(gone, u.unused(nil)...)
			return nil
		})
		if err != nil {
			return err
		}
		if err := removeSmall(tx, gone); err != nil {
			return err
		}
		for _, t := range [][]byte{tableObjects, tableUploads} {
			if err := tx.Bucket(t).DeleteBucket([]byte(name)); err != nil {
				return err
			}
		}
		return tx.Bucket(tableBuckets).Delete([]byte(name))
	})
	if err != nil {
		return err
	}
	k.blobs.removeFiles(gone)
	return nil
}

func (k *keeper) HeadBucket(_ context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	if _, err := k.bucket(*in.Bucket); err != nil {
		return nil, err
	}
	return &s3.HeadBucketOutput{}, nil
}

// ListBuckets lists by name. All of them are in this region.
func (k *keeper) ListBuckets(ctx context.Context, in s3response.ListBucketsInput) (s3response.ListAllMyBucketsResult, error) {
	out := s3response.ListAllMyBucketsResult{Owner: s3response.CanonicalUser{ID: k.account}, Prefix: in.Prefix}
	after, err := base64.URLEncoding.DecodeString(in.ContinuationToken)
	if err != nil {
		return out, invalidArgument("The continuation token provided is incorrect", "continuation-token", "")
	}
	if r, ok := ctx.(*fasthttp.RequestCtx); ok {
		switch region := string(r.QueryArgs().Peek("bucket-region")); {
		case region != "" && !isRegion(region):
			return out, invalidArgument("Argument value "+region+" is not a valid AWS Region", "bucket-region", "")
		case region != "" && region != k.region:
			return out, nil
		}
	}
	err = k.index.view(func(tx *bbolt.Tx) error {
		c := tx.Bucket(tableBuckets).Cursor()
		for name, raw := c.Seek([]byte(in.Prefix)); name != nil && strings.HasPrefix(string(name), in.Prefix); name, raw = c.Next() {
			if string(name) <= string(after) {
				continue
			}
			if n := len(out.Buckets.Bucket); in.MaxBuckets > 0 && n == int(in.MaxBuckets) {
				out.ContinuationToken = base64.URLEncoding.EncodeToString([]byte(out.Buckets.Bucket[n-1].Name))
				return nil
			}
			var b bucket
			if err := store.UnsealJSON(name, raw, &b); err != nil {
				return err
			}
			out.Buckets.Bucket = append(out.Buckets.Bucket, s3response.ListAllMyBucketsEntry{Name: b.Name, CreationDate: b.Created})
		}
		return nil
	})
	return out, err
}

func (k *keeper) GetBucketAcl(_ context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	b, err := k.bucket(*in.Bucket)
	if err != nil {
		return nil, err
	}
	return b.ACL, nil
}

func (k *keeper) PutBucketAcl(_ context.Context, name string, acl []byte) error {
	return k.change(name, func(b *bucket) { b.ACL = acl })
}

func (k *keeper) PutBucketVersioning(_ context.Context, name string, status types.BucketVersioningStatus) error {
	s := strings.Clone(string(status))
	return k.change(name, func(b *bucket) { b.Versioning = s })
}

func (k *keeper) GetBucketVersioning(_ context.Context, name string) (s3response.GetBucketVersioningOutput, error) {
	b, err := k.bucket(name)
	if err != nil || b.Versioning == "" {
		return s3response.GetBucketVersioningOutput{}, err
	}
	status := types.BucketVersioningStatus(b.Versioning)
	return s3response.GetBucketVersioningOutput{Status: &status}, nil
}

// PutBucketPolicy keeps a bucket's policy; nil removes it.
func (k *keeper) PutBucketPolicy(_ context.Context, name string, policy []byte) error {
	policy = cloneOrNil(policy)
	return k.change(name, func(b *bucket) { b.Policy = policy })
}

func (k *keeper) DeleteBucketPolicy(ctx context.Context, name string) error {
	return k.PutBucketPolicy(ctx, name, nil)
}

// GetBucketPolicy answers the policy as it was put to who asks for it, and to
// who decides by it the part that can apply here.
func (k *keeper) GetBucketPolicy(ctx context.Context, name string) ([]byte, error) {
	b, err := k.bucket(name)
	if err != nil {
		return nil, err
	}
	policy := b.Policy
	if policy != nil && !asksForPolicy(ctx) {
		if policy, err = applicablePolicy(policy); err != nil {
			return nil, err
		}
	}
	if policy == nil {
		return nil, s3err.GetBucketErr(s3err.ErrNoSuchBucketPolicy, name)
	}
	return policy, nil
}

func (k *keeper) PutBucketOwnershipControls(_ context.Context, name string, ownership types.ObjectOwnership) error {
	o := strings.Clone(string(ownership))
	return k.change(name, func(b *bucket) { b.Ownership = o })
}

func (k *keeper) GetBucketOwnershipControls(_ context.Context, name string) (types.ObjectOwnership, error) {
	b, err := k.bucket(name)
	if err != nil {
		return "", err
	}
	if b.Ownership == "" {
		return "", s3err.GetBucketErr(s3err.ErrOwnershipControlsNotFound, name)
	}
	return types.ObjectOwnership(b.Ownership), nil
}

func (k *keeper) DeleteBucketOwnershipControls(ctx context.Context, name string) error {
	return k.PutBucketOwnershipControls(ctx, name, "")
}

func (k *keeper) PutBucketCors(_ context.Context, name string, cors []byte) error {
	cors = cloneOrNil(cors)
	return k.change(name, func(b *bucket) { b.CORS = cors })
}

func (k *keeper) GetBucketCors(_ context.Context, name string) ([]byte, error) {
	b, err := k.bucket(name)
	if err != nil {
		return nil, err
	}
	if b.CORS == nil {
		return nil, s3err.GetBucketErr(s3err.ErrNoSuchCORSConfiguration, name)
	}
	return b.CORS, nil
}

// Admits tells whether a bucket's CORS rules let pages of an origin make requests
// of a method.
func (s *S3) Admits(bucketName, origin, method string) bool {
	rules, err := s.keeper.GetBucketCors(context.Background(), bucketName)
	if err != nil {
		return false
	}
	cors, err := auth.ParseCORSOutput(rules)
	if err != nil {
		return false
	}
	_, err = cors.IsAllowed(origin, auth.CORSHTTPMethod(method), nil, s3err.ResourceTypeBucket)
	return err == nil
}

func (k *keeper) DeleteBucketCors(ctx context.Context, name string) error {
	return k.PutBucketCors(ctx, name, nil)
}

func (k *keeper) PutBucketTagging(_ context.Context, name string, tags map[string]string) error {
	tags = cloneMap(tags)
	for key := range tags {
		if strings.HasPrefix(key, "aws:") {
			return invalidTag("System tags cannot be added/updated by requester", key)
		}
	}
	return k.change(name, func(b *bucket) { b.Tags = tags })
}

func (k *keeper) GetBucketTagging(_ context.Context, name string) (map[string]string, error) {
	b, err := k.bucket(name)
	if err != nil {
		return nil, err
	}
	if len(b.Tags) == 0 {
		return nil, s3err.GetBucketErr(s3err.ErrBucketTaggingNotFound, name)
	}
	return b.Tags, nil
}

func (k *keeper) DeleteBucketTagging(ctx context.Context, name string) error {
	return k.PutBucketTagging(ctx, name, nil)
}

// GetObjectLockConfiguration says that no bucket here has object lock.
func (k *keeper) GetObjectLockConfiguration(_ context.Context, name string) ([]byte, error) {
	if _, err := k.bucket(name); err != nil {
		return nil, err
	}
	return nil, s3err.GetBucketErr(s3err.ErrObjectLockConfigurationNotFound, name)
}

// unsupported refuses what S3 can do and the local cloud cannot.
func unsupported(what string) error {
	return s3err.APIError{Code: "NotImplemented", HTTPStatusCode: 501, Description: "The local cloud does not support " + what + "."}
}

func cloneOrNil(b []byte) []byte {
	if b == nil {
		return nil
	}
	return append([]byte{}, b...)
}

// cloneMap copies a map's strings out of the gateway's request buffer; empty becomes nil.
func cloneMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[strings.Clone(k)] = strings.Clone(v)
	}
	return out
}
