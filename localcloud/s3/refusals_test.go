package s3_test

import (
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// What S3 refuses, and what would otherwise be left out in silence, is refused.
func TestRefusals(t *testing.T) {
	cl := start(t, t.TempDir()).root()
	for bucket, ownership := range map[string]types.ObjectOwnership{"enforced": types.ObjectOwnershipBucketOwnerEnforced, "preferred": types.ObjectOwnershipBucketOwnerPreferred} {
		must[*awss3.CreateBucketOutput](t)(cl.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: &bucket, ObjectOwnership: ownership}))
		put(t, cl, bucket, "k", "x")
	}
	write := func(change func(*awss3.PutObjectInput)) func() error {
		return func() error {
			in := &awss3.PutObjectInput{Bucket: aws.String("enforced"), Key: aws.String("w")}
			change(in)
			_, err := cl.PutObject(t.Context(), in)
			return err
		}
	}
	lifecycle := func(rules ...types.LifecycleRule) func() error {
		return func() error {
			_, err := cl.PutBucketLifecycleConfiguration(t.Context(), &awss3.PutBucketLifecycleConfigurationInput{Bucket: aws.String("enforced"),
				LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules}})
			return err
		}
	}
	rule := func(change func(*types.LifecycleRule)) types.LifecycleRule {
		r := types.LifecycleRule{ID: aws.String("r"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)}}
		change(&r)
		return r
	}
	same := func(*types.LifecycleRule) {}
	for name, tc := range map[string]struct {
		call func() error
		want string // "" goes through
	}{
		"an ACL that is none": {write(func(in *awss3.PutObjectInput) { in.ACL = "mine" }), "InvalidArgument"},
		"an ACL":              {write(func(in *awss3.PutObjectInput) { in.ACL = types.ObjectCannedACLPublicRead }), "AccessControlListNotSupported"},
		"a grant":             {write(func(in *awss3.PutObjectInput) { in.GrantRead = aws.String(`id="x"`) }), "AccessControlListNotSupported"},
		"the owner's ACL":     {write(func(in *awss3.PutObjectInput) { in.ACL = types.ObjectCannedACLBucketOwnerFullControl }), ""},
		"private where ACLs are": {write(func(in *awss3.PutObjectInput) {
			in.Bucket, in.ACL = aws.String("preferred"), types.ObjectCannedACLPrivate
		}), ""},
		"public where ACLs are": {write(func(in *awss3.PutObjectInput) {
			in.Bucket, in.ACL = aws.String("preferred"), types.ObjectCannedACLPublicRead
		}), "NotImplemented"},
		"appending": {write(func(in *awss3.PutObjectInput) { in.WriteOffsetBytes = aws.Int64(1) }), "NotImplemented"},
		"a customer's key": {write(func(in *awss3.PutObjectInput) {
			in.SSECustomerAlgorithm, in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("AES256"), aws.String("a2V5"), aws.String("eA==")
		}), "NotImplemented"},
		"a customer's key without its algorithm": {write(func(in *awss3.PutObjectInput) {
			in.SSECustomerKey, in.SSECustomerKeyMD5 = aws.String("a2V5"), aws.String("eA==")
		}), "NotImplemented"},
		"a bucket of another name space": {func() error {
			_, err := cl.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String("spaced"), BucketNamespace: types.BucketNamespaceAccountRegional})
			return err
		}, "NotImplemented"},
		"less than no parts": {func() error {
			_, err := cl.GetObjectAttributes(t.Context(), &awss3.GetObjectAttributesInput{Bucket: aws.String("enforced"), Key: aws.String("k"), MaxParts: aws.Int32(-1), ObjectAttributes: []types.ObjectAttributes{types.ObjectAttributesObjectParts}})
			return err
		}, "InvalidArgument"},
		"a lifecycle":                {lifecycle(rule(same)), ""},
		"no rules":                   {lifecycle([]types.LifecycleRule{}...), "MalformedXML"},
		"a rule of another status":   {lifecycle(rule(func(r *types.LifecycleRule) { r.Status = "On" })), "MalformedXML"},
		"a rule for nothing":         {lifecycle(rule(func(r *types.LifecycleRule) { r.Filter = nil })), "MalformedXML"},
		"a rule that does nothing":   {lifecycle(rule(func(r *types.LifecycleRule) { r.Expiration = nil })), "InvalidRequest"},
		"a rule for yesterday":       {lifecycle(rule(func(r *types.LifecycleRule) { r.Expiration.Days = aws.Int32(-1) })), "InvalidArgument"},
		"two rules of the same name": {lifecycle(rule(same), rule(same)), "InvalidArgument"},
	} {
		if err := tc.call(); tc.want == "" && err != nil || tc.want != "" && (err == nil || code(err) != tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	_, err := cl.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String("spaced"), Key: aws.String("k")})
	if missing := (*types.NotFound)(nil); !errors.As(err, &missing) {
		t.Errorf("a bucket that was refused is there: %v", err)
	}
}
