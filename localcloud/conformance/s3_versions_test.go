package conformance_test

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const versioningPage = s3Guide + "versioning-workflows.html"

func ofVersion(id *string) func(*s3.GetObjectInput) {
	return func(in *s3.GetObjectInput) { in.VersionId = id }
}

func dropVersion(id *string) func(*s3.DeleteObjectInput) {
	return func(in *s3.DeleteObjectInput) { in.VersionId = id }
}

var s3Versions = []behaviour{
	{id: "s3.put.version-id", says: "each put in a versioned bucket makes a version with an id of its own, and all stay readable", source: versioningPage, run: func(c *call) {
		b := c.versioned()
		first, second := c.put(b, "k", "1").ok(c).VersionId, c.put(b, "k", "2").ok(c).VersionId
		if first == nil || second == nil || *first == *second {
			c.Fatalf("ids %v, %v", first, second)
		}
		equal(c, "newest", c.read(b, "k"), "2")
		equal(c, "first", c.read(b, "k", ofVersion(first)), "1")
		equal(c, "id of a read", str(c.get(b, "k").ok(c).VersionId), *second)
	}},
	{id: "s3.put.version-id.form", says: "a version id has 32 letters, digits, dots and underscores", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		id := str(c.put(c.versioned(), "k", "").ok(c).VersionId)
		if len(id) != 32 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._") != "" {
			c.Errorf("id %q", id)
		}
	}},
	{id: "s3.put.version-id.none", says: "a put in a bucket without versions tells no version id, nor does a read", source: s3API + "PutObject.html", run: func(c *call) {
		b := c.bucket()
		equal(c, "put", str(c.put(b, "k", "1").ok(c).VersionId), "<nil>")
		equal(c, "get", str(c.get(b, "k").ok(c).VersionId), "<nil>")
	}},
	{id: "s3.get.version.missing", says: "a version that is gone is NoSuchVersion", source: s3Pages + "ErrorResponses.html", run: func(c *call) {
		b := c.versioned()
		id := c.put(b, "k", "1").ok(c).VersionId
		c.drop(b, "k", dropVersion(id)).ok(c)
		c.get(b, "k", ofVersion(id)).fails(c, 404, "NoSuchVersion", "The specified version does not exist.")
	}},
	{id: "s3.get.version.invalid", says: "an id that is none is InvalidArgument, and so is any in a bucket without versions", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		b := c.versioned()
		id := str(c.put(b, "k", "1").ok(c).VersionId)
		c.get(b, "k", ofVersion(ref(id[:28]+"ABCD"))).fails(c, 400, "InvalidArgument", "Invalid version id specified")
		plain := c.bucket()
		c.put(plain, "k", "1").ok(c)
		c.get(plain, "k", ofVersion(&id)).fails(c, 400, "InvalidArgument", "Invalid version id specified")
	}},
	{id: "s3.get.version.null", says: "what was put before versioning has the id null, and stays readable by it", source: s3Guide + "AddingObjectstoVersionSuspendedBuckets.html", run: func(c *call) {
		b := c.bucket()
		c.put(b, "k", "old").ok(c)
		c.setVersioning(b, types.BucketVersioningStatusEnabled)
		c.put(b, "k", "new").ok(c)
		equal(c, "null", c.read(b, "k", ofVersion(ref("null"))), "old")
	}},
	{id: "s3.put.suspended", says: "a put in a suspended bucket replaces the null version and no other", source: s3Guide + "AddingObjectstoVersionSuspendedBuckets.html", run: func(c *call) {
		b := c.versioned()
		id := c.put(b, "k", "1").ok(c).VersionId
		c.setVersioning(b, types.BucketVersioningStatusSuspended)
		c.put(b, "k", "2").ok(c)
		c.put(b, "k", "3").ok(c)
		equal(c, "versions", len(try(c.s3.ListObjectVersions(c.ctx, &s3.ListObjectVersionsInput{Bucket: &b})).ok(c).Versions), 2)
		equal(c, "kept", c.read(b, "k", ofVersion(id)), "1")
		equal(c, "null", c.read(b, "k", ofVersion(ref("null"))), "3")
	}},
	{id: "s3.delete.marker", says: "a delete in a versioned bucket makes a marker: the key is 404 with x-amz-delete-marker, its versions stay", source: versioningPage, run: func(c *call) {
		b := c.versioned()
		id := c.put(b, "k", "1").ok(c).VersionId
		out := c.drop(b, "k").ok(c)
		if !yes(out.DeleteMarker) || out.VersionId == nil {
			c.Fatalf("delete: %+v", out)
		}
		c.get(b, "k").fails(c, 404, "NoSuchKey")
		answer := c.signed(http.MethodGet, c.url(b, "k"), "", emptyHash, nil)
		equal(c, "marker", answer.Header.Get("x-amz-delete-marker"), "true")
		equal(c, "version", answer.Header.Get("x-amz-version-id"), *out.VersionId)
		equal(c, "body", c.read(b, "k", ofVersion(id)), "1")
	}},
	{id: "s3.get.marker.405", says: "a marker itself cannot be read: 405 MethodNotAllowed", source: s3Guide + "DeleteMarker.html", run: func(c *call) {
		b := c.versioned()
		marker := c.drop(b, "k").ok(c).VersionId
		c.get(b, "k", ofVersion(marker)).fails(c, 405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
		c.head(b, "k", func(in *s3.HeadObjectInput) { in.VersionId = marker }).fails(c, 405, "MethodNotAllowed")
	}},
	{id: "s3.delete.marker.undo", says: "deleting the marker brings the object back", source: s3Guide + "RemDelMarker.html", run: func(c *call) {
		b := c.versioned()
		c.put(b, "k", "1").ok(c)
		marker := c.drop(b, "k").ok(c).VersionId
		out := c.drop(b, "k", dropVersion(marker)).ok(c)
		if !yes(out.DeleteMarker) || str(out.VersionId) != *marker {
			c.Errorf("delete: %+v", out)
		}
		equal(c, "body", c.read(b, "k"), "1")
	}},
	{id: "s3.delete.version", says: "deleting the newest version brings out the one before", source: versioningPage, run: func(c *call) {
		b := c.versioned()
		c.put(b, "k", "1").ok(c)
		second := c.put(b, "k", "2").ok(c).VersionId
		out := c.drop(b, "k", dropVersion(second)).ok(c)
		equal(c, "marker", yes(out.DeleteMarker), false)
		equal(c, "body", c.read(b, "k"), "1")
	}},
	{id: "s3.delete.suspended", says: "a delete in a suspended bucket makes a null marker in place of the null version", source: s3Guide + "DeletingObjectsfromVersioningSuspendedBuckets.html", run: func(c *call) {
		b := c.versioned()
		id := c.put(b, "k", "1").ok(c).VersionId
		c.setVersioning(b, types.BucketVersioningStatusSuspended)
		c.put(b, "k", "2").ok(c)
		out := c.drop(b, "k").ok(c)
		if !yes(out.DeleteMarker) || str(out.VersionId) != "null" {
			c.Errorf("delete: %+v", out)
		}
		c.get(b, "k").fails(c, 404, "NoSuchKey")
		equal(c, "kept", c.read(b, "k", ofVersion(id)), "1")
	}},
}

const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func ids(keys ...string) []types.ObjectIdentifier {
	var out []types.ObjectIdentifier
	for _, k := range keys {
		out = append(out, types.ObjectIdentifier{Key: aws.String(k)})
	}
	return out
}

var s3Deletes = []behaviour{
	{id: "s3.delete.missing", says: "deleting what is not there is a success", source: s3API + "DeleteObject.html", run: func(c *call) {
		c.drop(c.bucket(), "k").ok(c)
	}},
	{id: "s3.delete.version.gone", says: "deleting a version once more is a success", source: s3API + "DeleteObject.html", run: func(c *call) {
		b := c.versioned()
		id := c.put(b, "k", "1").ok(c).VersionId
		c.drop(b, "k", dropVersion(id)).ok(c)
		c.drop(b, "k", dropVersion(id)).ok(c)
	}},
	{id: "s3.delete.version.invalid", says: "deleting a version by an id that is none is InvalidArgument", source: recorded + "s3/test_s3_api.snapshot.json", run: func(c *call) {
		c.drop(c.bucket(), "k", dropVersion(ref("HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD"))).fails(c, 400, "InvalidArgument", "Invalid version id specified")
	}},
	{id: "s3.delete-objects.all", says: "many keys are deleted at once, those that are not there too, each told", source: s3API + "DeleteObjects.html", run: func(c *call) {
		b := c.bucket()
		c.fill(b, "a", "b")
		out := try(c.s3.DeleteObjects(c.ctx, &s3.DeleteObjectsInput{Bucket: &b, Delete: &types.Delete{Objects: ids("a", "b", "none")}})).ok(c)
		equal(c, "deleted", len(out.Deleted), 3)
		equal(c, "left", num(try(c.s3.ListObjectsV2(c.ctx, &s3.ListObjectsV2Input{Bucket: &b})).ok(c).KeyCount), 0)
	}},
	{id: "s3.delete-objects.quiet", says: "a quiet delete tells errors alone", source: s3API + "DeleteObjects.html", run: func(c *call) {
		b := c.bucket()
		c.fill(b, "a")
		objects := append(ids("a"), types.ObjectIdentifier{Key: ref("b"), VersionId: ref("HPniJFCxqTsMuIH9KX8K8wEjNUgmABCD")})
		out := try(c.s3.DeleteObjects(c.ctx, &s3.DeleteObjectsInput{Bucket: &b, Delete: &types.Delete{Quiet: aws.Bool(true), Objects: objects}})).ok(c)
		if len(out.Deleted) != 0 || len(out.Errors) != 1 || *out.Errors[0].Code != "NoSuchVersion" || *out.Errors[0].Message != "The specified version does not exist." {
			c.Errorf("answer: %+v", out)
		}
	}},
	{id: "s3.delete-objects.markers", says: "in a versioned bucket each key gets a marker, and its id is told", source: s3API + "DeleteObjects.html", run: func(c *call) {
		b := c.versioned()
		c.fill(b, "a")
		out := try(c.s3.DeleteObjects(c.ctx, &s3.DeleteObjectsInput{Bucket: &b, Delete: &types.Delete{Objects: ids("a")}})).ok(c)
		if len(out.Deleted) != 1 || !yes(out.Deleted[0].DeleteMarker) || out.Deleted[0].DeleteMarkerVersionId == nil || out.Deleted[0].VersionId != nil {
			c.Errorf("answer: %+v", out)
		}
	}},
	{id: "s3.delete-objects.too-many", says: "a delete of more than 1,000 keys is MalformedXML", source: s3API + "DeleteObjects.html", run: func(c *call) {
		keys := make([]string, 1001)
		for i := range keys {
			keys[i] = strconv.Itoa(i)
		}
		try(c.s3.DeleteObjects(c.ctx, &s3.DeleteObjectsInput{Bucket: ref(c.bucket()), Delete: &types.Delete{Objects: ids(keys...)}})).fails(c, 400, "MalformedXML")
	}},
}
