package s3

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/s3err"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// What follows is the schema that S3 holds the documents of requests to: what does
// not fit it is MalformedXML. The gateway reads what it needs of a document and
// leaves the rest out in silence.

// element is what the schema says of an element.
type element struct {
	name        string
	least, most int               // how often it may be there; most 0: as often as one likes
	is          func(string) bool // of its text; nil: any
	holds       []element         // nil: text
}

func one(name string, holds ...element) element   { return element{name, 1, 1, nil, holds} }
func maybe(name string, holds ...element) element { return element{name, 0, 1, nil, holds} }
func many(name string, holds ...element) element  { return element{name, 0, 0, nil, holds} }
func some(name string, holds ...element) element  { return element{name, 1, 0, nil, holds} }

func (e element) upTo(most int) element { e.most = most; return e }

func (e element) which(is func(string) bool) element { e.is = is; return e }

func isNumber(s string) bool { _, err := strconv.ParseInt(s, 10, 64); return err == nil }
func isBool(s string) bool   { _, err := strconv.ParseBool(s); return err == nil }

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339, s)
	if err != nil {
		_, err = http.ParseTime(s)
	}
	return err == nil
}

func among[T ~string](values []T) func(string) bool {
	return func(s string) bool { return slices.Contains(values, T(s)) }
}

var (
	tag       = many("Tag", one("Key"), one("Value"))
	checksums = func() (all []element) {
		for _, a := range checksumAlgorithms {
			all = append(all, maybe("Checksum"+a))
		}
		return all
	}()
)

// schemas are by operation.
var schemas = map[string]element{
	"CreateBucket": one("CreateBucketConfiguration", maybe("LocationConstraint"), maybe("Location", maybe("Type"), maybe("Name")),
		maybe("Bucket", maybe("DataRedundancy"), maybe("Type")), maybe("Tags", tag)),
	"DeleteObjects": one("Delete", some("Object", one("Key"), maybe("VersionId"), maybe("ETag"), maybe("LastModifiedTime").which(isTime), maybe("Size").which(isNumber)).upTo(1000),
		maybe("Quiet").which(isBool)),
	"PutBucketTagging":           one("Tagging", maybe("TagSet", tag)),
	"PutObjectTagging":           one("Tagging", maybe("TagSet", tag)),
	"PutBucketVersioning":        one("VersioningConfiguration", maybe("Status").which(among(types.BucketVersioningStatus("").Values())), maybe("MfaDelete").which(among(types.MFADelete("").Values()))),
	"CompleteMultipartUpload":    one("CompleteMultipartUpload", some("Part", append([]element{one("PartNumber").which(isNumber), one("ETag")}, checksums...)...)),
	"PutBucketOwnershipControls": one("OwnershipControls", one("Rule", one("ObjectOwnership").which(among(types.ObjectOwnership("").Values())))),
	"PutBucketCors": one("CORSConfiguration", some("CORSRule", maybe("ID"), some("AllowedMethod"), some("AllowedOrigin"), many("AllowedHeader"), many("ExposeHeader"),
		maybe("MaxAgeSeconds").which(isNumber)).upTo(100)),
	"PutPublicAccessBlock": one("PublicAccessBlockConfiguration", maybe("BlockPublicAcls").which(isBool), maybe("IgnorePublicAcls").which(isBool),
		maybe("BlockPublicPolicy").which(isBool), maybe("RestrictPublicBuckets").which(isBool)),
	"PutBucketEncryption": one("ServerSideEncryptionConfiguration", one("Rule", maybe("ApplyServerSideEncryptionByDefault",
		one("SSEAlgorithm").which(among(types.ServerSideEncryption("").Values())), maybe("KMSMasterKeyID")), maybe("BucketKeyEnabled").which(isBool), maybe("BlockedEncryptionTypes", many("EncryptionType")))),
}

// node is an element of a document.
type node struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
	Nodes   []node `xml:",any"`
}

func (n node) child(name string) *node {
	for i := range n.Nodes {
		if n.Nodes[i].XMLName.Local == name {
			return &n.Nodes[i]
		}
	}
	return nil
}

// twice is the key of a tag that is twice in an element; "" when there is none.
func (n node) twice() string {
	seen := map[string]bool{}
	for _, t := range n.Nodes {
		if key := t.child("Key"); key != nil {
			if seen[key.Text] {
				return key.Text
			}
			seen[key.Text] = true
		}
	}
	return ""
}

// elsewhere tells whether a bucket is to be in another of AWS's regions.
func (s *S3) elsewhere(n node) bool {
	to := n.child("LocationConstraint")
	return to != nil && to.Text != s.options.Region && isRegion(to.Text)
}

// fits tells whether a document's element is what the schema says.
func (e element) fits(n node) bool {
	if n.XMLName.Local != e.name || e.is != nil && !e.is(strings.TrimSpace(n.Text)) {
		return false
	}
	times := map[string]int{}
	for _, child := range n.Nodes {
		i := slices.IndexFunc(e.holds, func(h element) bool { return h.name == child.XMLName.Local })
		if i < 0 || !e.holds[i].fits(child) {
			return false
		}
		times[child.XMLName.Local]++
	}
	for _, h := range e.holds {
		if n := times[h.name]; n < h.least || h.most > 0 && n > h.most {
			return false
		}
	}
	return true
}

// maxDocument is the longest document that is looked at, in bytes: longer ones are
// the gateway's to refuse.
const maxDocument = 8 << 20

// checkBody holds a request's document to the schema. What comes before, on AWS, is
// looked at before: the signature (which the gateway refuses then), and the bucket.
func (s *S3) checkBody(r *http.Request) error {
	if r.Method != http.MethodPost && r.Method != http.MethodPut || r.ContentLength < 0 || r.ContentLength > maxDocument {
		return nil
	}
	bucketName, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if key != "" && r.URL.RawQuery == "" {
		return nil
	}
	operation := OperationOf(r)
	schema, ok := schemas[operation]
	if operation == "CreateBucket" && r.URL.RawQuery != "" { // a part of a bucket that is not known here
		return nil
	}
	without := r.ContentLength == 0
	if !ok || without && operation != "CompleteMultipartUpload" || strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	again := func() { r.Body = io.NopCloser(bytes.NewReader(body)) }
	defer again()
	var root node
	fits := xml.Unmarshal(body, &root) == nil && schema.fits(root)
	lacking := without || operation == "PutBucketVersioning" && root.child("Status") == nil
	twice := ""
	if set := root.child("TagSet"); set != nil {
		twice = set.twice()
	}
	elsewhere := operation == "CreateBucket" && fits && s.elsewhere(root)
	if fits && !lacking && twice == "" && !elsewhere {
		return nil
	}
	again()
	if _, err := wire.Verify(r, s.options.SecretFor, clock.Real{}.Now()); err != nil {
		return nil //nolint:nilerror // the gateway finds it too
	}
	if operation != "CreateBucket" {
		if _, err := s.keeper.bucket(bucketName); err != nil {
			return err
		}
	}
	switch {
	case !fits && !without:
		return malformed()
	case elsewhere && s.options.Region == "us-east-1":
		return unsupported("buckets in other regions than its own, " + s.options.Region)
	case elsewhere:
		return wire.Errorf("IllegalLocationConstraintException", "The %s location constraint is incompatible for the region specific endpoint this request was sent to.", root.child("LocationConstraint").Text)
	case twice != "":
		return invalidTag("Cannot provide multiple Tags with the same key", twice)
	case operation == "PutBucketVersioning":
		return wire.Errorf("IllegalVersioningConfigurationException", "The Versioning element must be specified")
	}
	if _, err := s.keeper.upload(bucketName, key, r.URL.Query().Get("uploadId")); err != nil {
		return err
	}
	return wire.Errorf("InvalidRequest", "You must specify at least one part")
}
