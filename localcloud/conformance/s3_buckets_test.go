package conformance_test

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

var s3Buckets = []behaviour{
	{id: "s3.acl.owner", says: "a bucket's and an object's ACL grant the owner full control alone", source: s3Guide + "acl-overview.html", run: func(c *call) {
		b := c.bucket()
		c.fill(b, "k")
		bucket := try(c.s3.GetBucketAcl(c.ctx, &s3.GetBucketAclInput{Bucket: &b})).ok(c)
		object := try(c.s3.GetObjectAcl(c.ctx, &s3.GetObjectAclInput{Bucket: &b, Key: ref("k")})).ok(c)
		for _, acl := range []struct {
			owner  *types.Owner
			grants []types.Grant
		}{{bucket.Owner, bucket.Grants}, {object.Owner, object.Grants}} {
			if len(acl.grants) != 1 || acl.grants[0].Permission != types.PermissionFullControl || str(acl.grants[0].Grantee.ID) != str(acl.owner.ID) {
				c.Errorf("owner %+v, grants %+v", acl.owner, acl.grants)
			}
		}
	}},
	{id: "s3.put-bucket-acl.enforced", says: "a bucket whose objects belong to its owner takes no ACL: AccessControlListNotSupported", source: s3Guide + "about-object-ownership.html", run: func(c *call) {
		try(c.s3.PutBucketAcl(c.ctx, &s3.PutBucketAclInput{Bucket: ref(c.bucket()), ACL: types.BucketCannedACLPublicRead})).fails(c, 400, "AccessControlListNotSupported", "The bucket does not allow ACLs")
	}},
	{id: "s3.put-bucket-ownership", says: "who owns a bucket's objects is set, and told", source: s3API + "PutBucketOwnershipControls.html", run: func(c *call) {
		b := c.bucket()
		try(c.s3.PutBucketOwnershipControls(c.ctx, &s3.PutBucketOwnershipControlsInput{Bucket: &b, OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipBucketOwnerPreferred}}}})).ok(c)
		equal(c, "ownership", try(c.s3.GetBucketOwnershipControls(c.ctx, &s3.GetBucketOwnershipControlsInput{Bucket: &b})).ok(c).OwnershipControls.Rules[0].ObjectOwnership, "BucketOwnerPreferred")
	}},
	{id: "s3.put-bucket-encryption", says: "a bucket's encryption is set, and told", source: s3API + "PutBucketEncryption.html", run: func(c *call) {
		b := c.bucket()
		try(c.s3.PutBucketEncryption(c.ctx, &s3.PutBucketEncryptionInput{Bucket: &b, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{Rules: []types.ServerSideEncryptionRule{
			{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAes256}}}}})).ok(c)
		equal(c, "algorithm", try(c.s3.GetBucketEncryption(c.ctx, &s3.GetBucketEncryptionInput{Bucket: &b})).ok(c).ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm, "AES256")
	}},
	{id: "s3.put-bucket-cors", says: "a bucket's CORS rules are put, told, and deleted", source: s3API + "PutBucketCors.html", run: func(c *call) {
		b := c.bucket()
		try(c.s3.PutBucketCors(c.ctx, &s3.PutBucketCorsInput{Bucket: &b, CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{AllowedMethods: []string{"GET"}, AllowedOrigins: []string{"https://example.com"}}}}})).ok(c)
		rules := try(c.s3.GetBucketCors(c.ctx, &s3.GetBucketCorsInput{Bucket: &b})).ok(c).CORSRules
		equal(c, "rules", []any{len(rules), rules[0].AllowedMethods, rules[0].AllowedOrigins}, "[1 [GET] [https://example.com]]")
		try(c.s3.DeleteBucketCors(c.ctx, &s3.DeleteBucketCorsInput{Bucket: &b})).ok(c)
		c.eventually("the rules are gone", func() bool {
			_, err := c.s3.GetBucketCors(c.ctx, &s3.GetBucketCorsInput{Bucket: &b})
			return gone(err)
		})
	}},
	{id: "s3.put-bucket-lifecycle", says: "a bucket's lifecycle rules are put, and told", source: s3API + "PutBucketLifecycleConfiguration.html", run: func(c *call) {
		b := c.bucket()
		try(c.s3.PutBucketLifecycleConfiguration(c.ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: &b, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{
			{ID: ref("old"), Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{Prefix: ref("tmp/")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(7)}}}}})).ok(c)
		rules := try(c.s3.GetBucketLifecycleConfiguration(c.ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &b})).ok(c).Rules
		equal(c, "rules", []any{len(rules), str(rules[0].ID), num(rules[0].Expiration.Days), str(rules[0].Filter.Prefix)}, "[1 old 7 tmp/]")
	}},
	{id: "s3.create-bucket.again", says: "one's own bucket can be made again in us-east-1, and elsewhere that is a 409 BucketAlreadyOwnedByYou", source: s3API + "CreateBucket.html", run: func(c *call) {
		b := c.bucket()
		in := &s3.CreateBucketInput{Bucket: &b}
		if c.cfg.Region == "us-east-1" {
			try(c.s3.CreateBucket(c.ctx, in)).ok(c)
			return
		}
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(c.cfg.Region)}
		try(c.s3.CreateBucket(c.ctx, in)).fails(c, 409, "BucketAlreadyOwnedByYou")
	}},
	{id: "s3.create-bucket.invalid-name", says: "a name with an upper case letter, an underscore, or of two letters is InvalidBucketName", source: s3Guide + "bucketnamingrules.html", run: func(c *call) {
		for _, name := range []string{"Upper-" + c.name(), c.name() + "_x", "ab", strings.Repeat("a", 64)} {
			try(c.s3.CreateBucket(c.ctx, &s3.CreateBucketInput{Bucket: &name})).fails(c, 400, "InvalidBucketName", "The specified bucket is not valid")
		}
	}},
	{id: "s3.create-bucket.location", says: "a location constraint that is no region is InvalidLocationConstraint", source: s3API + "CreateBucket.html", run: func(c *call) {
		try(c.s3.CreateBucket(c.ctx, &s3.CreateBucketInput{Bucket: ref(c.name()), CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "moon-1"}})).
			fails(c, 400, "InvalidLocationConstraint", "The specified location-constraint is not valid")
	}},
	{id: "s3.get-bucket-location.us-east-1", says: "the location of a bucket in us-east-1 is empty", source: s3API + "GetBucketLocation.html", run: func(c *call) {
		got := string(try(c.s3.GetBucketLocation(c.ctx, &s3.GetBucketLocationInput{Bucket: ref(c.bucket())})).ok(c).LocationConstraint)
		if c.cfg.Region == "us-east-1" {
			equal(c, "location", got, "")
		} else {
			equal(c, "location", got, c.cfg.Region)
		}
	}},
	{id: "s3.head-bucket.region", says: "HEAD of a bucket tells its region", source: s3API + "HeadBucket.html", run: func(c *call) {
		equal(c, "region", str(try(c.s3.HeadBucket(c.ctx, &s3.HeadBucketInput{Bucket: ref(c.bucket())})).ok(c).BucketRegion), c.cfg.Region)
	}},
	{id: "s3.head-bucket.missing", says: "HEAD of a bucket that is not there is a 404 without a body", source: s3API + "HeadBucket.html", run: func(c *call) {
		try(c.s3.HeadBucket(c.ctx, &s3.HeadBucketInput{Bucket: ref(c.name())})).fails(c, 404, "NotFound")
	}},
	{id: "s3.delete-bucket.not-empty", says: "a bucket with an object is not deleted: 409 BucketNotEmpty", source: s3API + "DeleteBucket.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x").ok(c)
		try(c.s3.DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &b})).fails(c, 409, "BucketNotEmpty", "The bucket you tried to delete is not empty")
	}},
	{id: "s3.delete-bucket.versions", says: "a bucket in which only old versions are left is not empty", source: s3API + "DeleteBucket.html", run: func(c *call) {
		b := c.versioned()
		c.put(b, "k", "x").ok(c)
		c.drop(b, "k").ok(c)
		try(c.s3.DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: &b})).fails(c, 409, "BucketNotEmpty")
	}},
	{id: "s3.delete-bucket.missing", says: "deleting a bucket that is not there is NoSuchBucket", source: s3Pages + "ErrorResponses.html", run: func(c *call) {
		try(c.s3.DeleteBucket(c.ctx, &s3.DeleteBucketInput{Bucket: ref(c.name())})).fails(c, 404, "NoSuchBucket", "The specified bucket does not exist")
	}},
	{id: "s3.list-buckets.prefix", says: "buckets are listed by prefix", source: s3API + "ListBuckets.html", run: func(c *call) {
		b := c.bucket()
		out := try(c.s3.ListBuckets(c.ctx, &s3.ListBucketsInput{Prefix: &b})).ok(c)
		if len(out.Buckets) == 0 || *out.Buckets[0].Name != b || out.Buckets[0].CreationDate == nil {
			c.Errorf("listed: %+v", out.Buckets)
		}
	}},
	{id: "s3.list-buckets.pages", says: "MaxBuckets makes pages, and the token goes on where one ends", source: s3API + "ListBuckets.html", run: func(c *call) {
		prefix := c.name() + "-"
		for _, end := range []string{"a", "b", "c"} {
			c.makeBucket(prefix + end)
		}
		in := &s3.ListBucketsInput{Prefix: &prefix, MaxBuckets: aws.Int32(2)}
		out := try(c.s3.ListBuckets(c.ctx, in)).ok(c)
		equal(c, "first page", len(out.Buckets), 2)
		in.ContinuationToken = out.ContinuationToken
		out = try(c.s3.ListBuckets(c.ctx, in)).ok(c)
		if len(out.Buckets) != 1 || *out.Buckets[0].Name != prefix+"c" || out.ContinuationToken != nil {
			c.Errorf("second page: %+v", out)
		}
	}},
	{id: "s3.get-bucket-versioning.never", says: "a bucket whose versioning was never set tells no status", source: s3API + "GetBucketVersioning.html", run: func(c *call) {
		equal(c, "status", try(c.s3.GetBucketVersioning(c.ctx, &s3.GetBucketVersioningInput{Bucket: ref(c.bucket())})).ok(c).Status, "")
	}},
	{id: "s3.put-bucket-versioning.suspended", says: "versioning once enabled is suspended, and says so", source: s3API + "PutBucketVersioning.html", run: func(c *call) {
		b := c.versioned()
		c.setVersioning(b, types.BucketVersioningStatusSuspended)
		equal(c, "status", try(c.s3.GetBucketVersioning(c.ctx, &s3.GetBucketVersioningInput{Bucket: &b})).ok(c).Status, "Suspended")
	}},
	{id: "s3.put-bucket-versioning.invalid", says: "a status that is none is MalformedXML", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		try(c.s3.PutBucketVersioning(c.ctx, &s3.PutBucketVersioningInput{Bucket: ref(c.bucket()), VersioningConfiguration: &types.VersioningConfiguration{Status: "Off"}})).
			fails(c, 400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
	}},
	{id: "s3.get-bucket-tagging.none", says: "a bucket without tags answers NoSuchTagSet", source: s3API + "GetBucketTagging.html", run: func(c *call) {
		try(c.s3.GetBucketTagging(c.ctx, &s3.GetBucketTaggingInput{Bucket: ref(c.bucket())})).fails(c, 404, "NoSuchTagSet", "The TagSet does not exist")
	}},
	{id: "s3.put-bucket-tagging.replace", says: "the tags that are put replace those before", source: s3API + "PutBucketTagging.html", run: func(c *call) {
		b := c.bucket()
		for _, k := range []string{"a", "b"} {
			try(c.s3.PutBucketTagging(c.ctx, &s3.PutBucketTaggingInput{Bucket: &b, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: ref(k), Value: ref("1")}}}})).ok(c)
		}
		out := try(c.s3.GetBucketTagging(c.ctx, &s3.GetBucketTaggingInput{Bucket: &b})).ok(c)
		if len(out.TagSet) != 1 || *out.TagSet[0].Key != "b" {
			c.Errorf("tags: %+v", out.TagSet)
		}
		try(c.s3.DeleteBucketTagging(c.ctx, &s3.DeleteBucketTaggingInput{Bucket: &b})).ok(c)
		try(c.s3.GetBucketTagging(c.ctx, &s3.GetBucketTaggingInput{Bucket: &b})).fails(c, 404, "NoSuchTagSet")
	}},
	{id: "s3.put-bucket-tagging.duplicate", says: "two tags of one key are InvalidTag", source: s3API + "PutBucketTagging.html", run: func(c *call) {
		tag := types.Tag{Key: ref("k"), Value: ref("1")}
		try(c.s3.PutBucketTagging(c.ctx, &s3.PutBucketTaggingInput{Bucket: ref(c.bucket()), Tagging: &types.Tagging{TagSet: []types.Tag{tag, tag}}})).
			fails(c, 400, "InvalidTag", "Cannot provide multiple Tags with the same key")
	}},
	{id: "s3.put-bucket-tagging.system", says: "a tag of AWS's own is InvalidTag", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		try(c.s3.PutBucketTagging(c.ctx, &s3.PutBucketTaggingInput{Bucket: ref(c.bucket()), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: ref("aws:x"), Value: ref("1")}}}})).
			fails(c, 400, "InvalidTag", "System tags cannot be added/updated by requester")
	}},
	{id: "s3.get-bucket-policy.none", says: "a bucket without a policy answers NoSuchBucketPolicy", source: s3API + "GetBucketPolicy.html", run: func(c *call) {
		try(c.s3.GetBucketPolicy(c.ctx, &s3.GetBucketPolicyInput{Bucket: ref(c.bucket())})).fails(c, 404, "NoSuchBucketPolicy", "The bucket policy does not exist")
	}},
	{id: "s3.put-bucket-policy.verbatim", says: "a policy is kept and can be deleted", source: s3API + "PutBucketPolicy.html", run: func(c *call) {
		b := c.bucket()
		policy := `{"Version":"2012-10-17","Statement":[{"Sid":"tls","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::` + b + `/*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
		try(c.s3.PutBucketPolicy(c.ctx, &s3.PutBucketPolicyInput{Bucket: &b, Policy: &policy})).ok(c)
		equal(c, "policy", str(try(c.s3.GetBucketPolicy(c.ctx, &s3.GetBucketPolicyInput{Bucket: &b})).ok(c).Policy), policy)
		try(c.s3.DeleteBucketPolicy(c.ctx, &s3.DeleteBucketPolicyInput{Bucket: &b})).ok(c)
		try(c.s3.GetBucketPolicy(c.ctx, &s3.GetBucketPolicyInput{Bucket: &b})).fails(c, 404, "NoSuchBucketPolicy")
	}},
	{id: "s3.put-bucket-policy.malformed", says: "a policy that is no JSON is MalformedPolicy", source: s3Pages + "ErrorResponses.html", run: func(c *call) {
		try(c.s3.PutBucketPolicy(c.ctx, &s3.PutBucketPolicyInput{Bucket: ref(c.bucket()), Policy: ref("no policy")})).fails(c, 400, "MalformedPolicy")
	}},
	{id: "s3.get-bucket-encryption.default", says: "a new bucket is encrypted with AES256", source: s3Guide + "default-bucket-encryption.html", run: func(c *call) {
		out := try(c.s3.GetBucketEncryption(c.ctx, &s3.GetBucketEncryptionInput{Bucket: ref(c.bucket())})).ok(c)
		equal(c, "algorithm", out.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm, "AES256")
	}},
	{id: "s3.get-bucket-lifecycle.none", says: "a bucket without a lifecycle answers NoSuchLifecycleConfiguration", source: s3API + "GetBucketLifecycleConfiguration.html", run: func(c *call) {
		try(c.s3.GetBucketLifecycleConfiguration(c.ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: ref(c.bucket())})).
			fails(c, 404, "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
	}},
	{id: "s3.get-bucket-cors.none", says: "a bucket without CORS answers NoSuchCORSConfiguration", source: s3API + "GetBucketCors.html", run: func(c *call) {
		try(c.s3.GetBucketCors(c.ctx, &s3.GetBucketCorsInput{Bucket: ref(c.bucket())})).fails(c, 404, "NoSuchCORSConfiguration", "The CORS configuration does not exist")
	}},
	{id: "s3.get-public-access-block.default", says: "a new bucket blocks all public access", source: s3Guide + "access-control-block-public-access.html", run: func(c *call) {
		b := try(c.s3.GetPublicAccessBlock(c.ctx, &s3.GetPublicAccessBlockInput{Bucket: ref(c.bucket())})).ok(c).PublicAccessBlockConfiguration
		if !yes(b.BlockPublicAcls) || !yes(b.BlockPublicPolicy) || !yes(b.IgnorePublicAcls) || !yes(b.RestrictPublicBuckets) {
			c.Errorf("block: %+v", b)
		}
	}},
	{id: "s3.put-public-access-block.partial", says: "what a public access block leaves out is false", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		try(c.s3.PutPublicAccessBlock(c.ctx, &s3.PutPublicAccessBlockInput{Bucket: &b, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{BlockPublicAcls: aws.Bool(true)}})).ok(c)
		got := try(c.s3.GetPublicAccessBlock(c.ctx, &s3.GetPublicAccessBlockInput{Bucket: &b})).ok(c).PublicAccessBlockConfiguration
		if !yes(got.BlockPublicAcls) || got.RestrictPublicBuckets == nil || *got.RestrictPublicBuckets {
			c.Errorf("block: %+v", got)
		}
	}},
	{id: "s3.delete-public-access-block.none", says: "a deleted public access block answers NoSuchPublicAccessBlockConfiguration", source: s3API + "GetPublicAccessBlock.html", run: func(c *call) {
		b := c.bucket()
		try(c.s3.DeletePublicAccessBlock(c.ctx, &s3.DeletePublicAccessBlockInput{Bucket: &b})).ok(c)
		try(c.s3.GetPublicAccessBlock(c.ctx, &s3.GetPublicAccessBlockInput{Bucket: &b})).fails(c, 404, "NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
	}},
	{id: "s3.get-bucket-ownership.default", says: "a new bucket's objects belong to its owner", source: s3Guide + "about-object-ownership.html", run: func(c *call) {
		out := try(c.s3.GetBucketOwnershipControls(c.ctx, &s3.GetBucketOwnershipControlsInput{Bucket: ref(c.bucket())})).ok(c)
		equal(c, "ownership", out.OwnershipControls.Rules[0].ObjectOwnership, "BucketOwnerEnforced")
	}},
	{id: "s3.delete-bucket-ownership.none", says: "deleted ownership controls answer OwnershipControlsNotFoundError", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.bucket()
		try(c.s3.DeleteBucketOwnershipControls(c.ctx, &s3.DeleteBucketOwnershipControlsInput{Bucket: &b})).ok(c)
		try(c.s3.GetBucketOwnershipControls(c.ctx, &s3.GetBucketOwnershipControlsInput{Bucket: &b})).fails(c, 404, "OwnershipControlsNotFoundError", "The bucket ownership controls were not found")
	}},
	{id: "s3.get-bucket-notification.none", says: "a bucket that notifies nobody answers an empty configuration", source: s3API + "GetBucketNotificationConfiguration.html", run: func(c *call) {
		out := try(c.s3.GetBucketNotificationConfiguration(c.ctx, &s3.GetBucketNotificationConfigurationInput{Bucket: ref(c.bucket())})).ok(c)
		if out.EventBridgeConfiguration != nil || len(out.QueueConfigurations)+len(out.TopicConfigurations)+len(out.LambdaFunctionConfigurations) > 0 {
			c.Errorf("configuration: %+v", out)
		}
	}},
	{id: "s3.get-object-lock.none", says: "a bucket without object lock answers ObjectLockConfigurationNotFoundError", source: s3API + "GetObjectLockConfiguration.html", run: func(c *call) {
		try(c.s3.GetObjectLockConfiguration(c.ctx, &s3.GetObjectLockConfigurationInput{Bucket: ref(c.bucket())})).
			fails(c, 404, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
	}},
	{id: "s3.any.missing-bucket", says: "what is done in a bucket that is not there is NoSuchBucket", source: s3Pages + "ErrorResponses.html", run: func(c *call) {
		b := c.name()
		const message = "The specified bucket does not exist"
		c.put(b, "k", "x").fails(c, 404, "NoSuchBucket", message)
		c.get(b, "k").fails(c, 404, "NoSuchBucket", message)
		try(c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &b})).fails(c, 404, "NoSuchBucket", message)
		c.drop(b, "k").fails(c, 404, "NoSuchBucket", message)
	}},
	{id: "s3.any.expected-owner", says: "a bucket of another than the expected owner is AccessDenied", source: s3Guide + "bucket-owner-condition.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "x", func(in *s3.PutObjectInput) { in.ExpectedBucketOwner = ref("111111111111") }).fails(c, 403, "AccessDenied", "Access Denied")
		c.put(b, "k", "x", func(in *s3.PutObjectInput) { in.ExpectedBucketOwner = ref(c.account) }).ok(c)
	}},
}
