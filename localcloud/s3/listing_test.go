package s3_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

func TestListing(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "list", true)
	keys := []string{"a", "a/1", "a/2", "a/b/3", "b", "c/1", "c/2", "d"}
	for _, k := range keys {
		put(t, cl, "list", k, k)
		put(t, cl, "list", k, k) // a second version must not be listed twice
	}
	put(t, cl, "list", "deleted", "x")
	must[*awss3.DeleteObjectOutput](t)(cl.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String("list"), Key: aws.String("deleted")}))
	for name, tc := range map[string]struct {
		in   awss3.ListObjectsV2Input
		want []string
	}{
		"all":                 {awss3.ListObjectsV2Input{}, keys},
		"prefix":              {awss3.ListObjectsV2Input{Prefix: aws.String("a/")}, []string{"a/1", "a/2", "a/b/3"}},
		"delimiter":           {awss3.ListObjectsV2Input{Delimiter: aws.String("/")}, []string{"a", "a/", "b", "c/", "d"}},
		"prefix, delimiter":   {awss3.ListObjectsV2Input{Prefix: aws.String("a/"), Delimiter: aws.String("/")}, []string{"a/1", "a/2", "a/b/"}},
		"start after":         {awss3.ListObjectsV2Input{StartAfter: aws.String("a/2")}, []string{"a/b/3", "b", "c/1", "c/2", "d"}},
		"no such prefix":      {awss3.ListObjectsV2Input{Prefix: aws.String("zz")}, nil},
		"start before prefix": {awss3.ListObjectsV2Input{Prefix: aws.String("c"), StartAfter: aws.String("a")}, []string{"c/1", "c/2"}},
	} {
		for _, size := range []int32{1, 2, 3, 1000} {
			t.Run(fmt.Sprint(name, " by ", size), func(t *testing.T) {
				in := tc.in
				in.Bucket, in.MaxKeys = aws.String("list"), &size
				var got []string
				for range 20 {
					out := must[*awss3.ListObjectsV2Output](t)(cl.ListObjectsV2(t.Context(), &in))
					var page []string
					for _, o := range out.Contents {
						page = append(page, *o.Key)
					}
					for _, p := range out.CommonPrefixes {
						page = append(page, *p.Prefix)
					}
					slices.Sort(page)
					if int(*out.KeyCount) != len(page) || len(page) > int(size) {
						t.Errorf("key count %d of %v", *out.KeyCount, page)
					}
					got = append(got, page...)
					if !*out.IsTruncated {
						break
					}
					in.ContinuationToken = out.NextContinuationToken
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("got %v, want %v", got, tc.want)
				}
			})
		}
	}
	var versions int
	p := awss3.NewListObjectVersionsPaginator(cl, &awss3.ListObjectVersionsInput{Bucket: aws.String("list"), MaxKeys: aws.Int32(3)})
	for p.HasMorePages() {
		out := must[*awss3.ListObjectVersionsOutput](t)(p.NextPage(t.Context()))
		versions += len(out.Versions) + len(out.DeleteMarkers)
	}
	if want := 2*len(keys) + 2; versions != want {
		t.Errorf("%d versions, want %d", versions, want)
	}
	v1 := must[*awss3.ListObjectsOutput](t)(cl.ListObjects(t.Context(), &awss3.ListObjectsInput{Bucket: aws.String("list"), MaxKeys: aws.Int32(2)}))
	if len(v1.Contents) != 2 || !*v1.IsTruncated || v1.NextMarker != nil {
		t.Errorf("first version of the call: %+v", v1)
	}
	direct, err := c.List(t.Context(), "list", "c/")
	if err != nil || !slices.Equal(direct, []string{"c/1", "c/2"}) {
		t.Errorf("direct list: %v, %v", direct, err)
	}
}

func TestDeleteMany(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "many", true)
	var objects []types.ObjectIdentifier
	for i := range 50 {
		k := fmt.Sprint("k", i)
		put(t, cl, "many", k, "x")
		objects = append(objects, types.ObjectIdentifier{Key: &k})
	}
	out := must[*awss3.DeleteObjectsOutput](t)(cl.DeleteObjects(t.Context(), &awss3.DeleteObjectsInput{Bucket: aws.String("many"), Delete: &types.Delete{Objects: objects}}))
	if len(out.Deleted) != 50 || len(out.Errors) != 0 || !aws.ToBool(out.Deleted[0].DeleteMarker) {
		t.Errorf("deleted %d, errors %v", len(out.Deleted), out.Errors)
	}
	var all []types.ObjectIdentifier
	list := must[*awss3.ListObjectVersionsOutput](t)(cl.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: aws.String("many")}))
	for _, v := range list.Versions {
		all = append(all, types.ObjectIdentifier{Key: v.Key, VersionId: v.VersionId})
	}
	for _, m := range list.DeleteMarkers {
		all = append(all, types.ObjectIdentifier{Key: m.Key, VersionId: m.VersionId})
	}
	must[*awss3.DeleteObjectsOutput](t)(cl.DeleteObjects(t.Context(), &awss3.DeleteObjectsInput{Bucket: aws.String("many"), Delete: &types.Delete{Objects: all}}))
	must[*awss3.DeleteBucketOutput](t)(cl.DeleteBucket(t.Context(), &awss3.DeleteBucketInput{Bucket: aws.String("many")}))
	_, err := cl.HeadBucket(t.Context(), &awss3.HeadBucketInput{Bucket: aws.String("many")})
	if code(err) != "NotFound" {
		t.Errorf("head of a deleted bucket: %v", err)
	}
}

func TestPresigned(t *testing.T) {
	c := start(t, t.TempDir())
	cl := c.root()
	makeBucket(t, cl, "signed", false)
	ps := awss3.NewPresignClient(cl)
	up := must[*v4.PresignedHTTPRequest](t)(ps.PresignPutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String("signed"), Key: aws.String("k")}))
	req := must[*http.Request](t)(http.NewRequest(up.Method, up.URL, strings.NewReader("by link")))
	resp := must[*http.Response](t)(http.DefaultClient.Do(req))
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("presigned put: %s", resp.Status)
	}
	down := must[*v4.PresignedHTTPRequest](t)(ps.PresignGetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("signed"), Key: aws.String("k")}))
	for url, want := range map[string]int{down.URL: 200, strings.Replace(down.URL, "/k?", "/other?", 1): 403} {
		resp := must[*http.Response](t)(http.Get(url))
		body := must[[]byte](t)(io.ReadAll(resp.Body))
		_ = resp.Body.Close()
		if resp.StatusCode != want || (want == 200 && string(body) != "by link") {
			t.Errorf("%s: %s %s", url, resp.Status, body)
		}
	}
}
