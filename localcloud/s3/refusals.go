package s3

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/versity/versitygw/s3err"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// refuse answers what the gateway would leave out in silence, or take as it comes.
func (s *S3) refuse(r *http.Request) error {
	h := r.Header
	for name, what := range map[string]string{
		"X-Amz-Server-Side-Encryption-Customer-Algorithm":             "encryption with a customer's key",
		"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Algorithm": "encryption with a customer's key",
		"X-Amz-Server-Side-Encryption-Customer-Key":                   "encryption with a customer's key",
		"X-Amz-Copy-Source-Server-Side-Encryption-Customer-Key":       "encryption with a customer's key",
		"X-Amz-Write-Offset-Bytes":                                    "appending to an object",
	} {
		if h.Get(name) != "" {
			return unsupported(what + " (" + strings.ToLower(name) + ")")
		}
	}
	if _, ok := h["X-Amz-Bypass-Governance-Retention"]; ok {
		return invalidArgument("x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.", "x-amz-bypass-governance-retention", "")
	}
	if o, ok := h["X-Amz-Object-Ownership"]; ok && o[0] == "" {
		return s3err.GetInvalidArgObjectOwnership("")
	}
	if e := h.Get("X-Amz-Server-Side-Encryption"); e != "" && !among(types.ServerSideEncryption("").Values())(e) {
		return invalidArgument("The encryption method specified is not supported", "x-amz-server-side-encryption", e)
	} else if e != "" && e != "AES256" {
		return unsupported("encryption by " + e + "; AES256 is supported")
	}
	if err := refuseClass(h.Get("X-Amz-Storage-Class")); err != nil {
		return err
	}
	for _, name := range []string{"X-Amz-Expected-Bucket-Owner", "X-Amz-Source-Expected-Bucket-Owner"} {
		if owner := h.Get(name); owner != "" && !isAccount.MatchString(owner) {
			return wire.Errorf("InvalidBucketOwnerAWSAccountID", "The value of the expected bucket owner parameter must be an AWS Account ID... [%s]", owner)
		}
	}
	if space := h.Get("X-Amz-Bucket-Namespace"); space != "" && space != "global" {
		return unsupported("the bucket namespace " + space + "; global is supported")
	}
	for _, name := range []string{"X-Amz-Max-Parts", "X-Amz-Part-Number-Marker"} {
		if v := h.Get(name); v != "" {
			if n, err := strconv.ParseInt(v, 10, 32); err != nil || n < 0 {
				return wire.Errorf("InvalidArgument", "Argument %s must be an integer between 0 and 2147483647", strings.ToLower(name))
			}
		}
	}
	return s.refuseACL(r)
}

var isAccount = regexp.MustCompile(`^[0-9]{12}$`)

// kept are the storage classes that are a mark alone: what is in them is read as it is.
var kept = []types.StorageClass{types.StorageClassStandard, types.StorageClassStandardIa, types.StorageClassOnezoneIa, types.StorageClassIntelligentTiering,
	types.StorageClassReducedRedundancy, types.StorageClassGlacierIr}

func refuseClass(class string) error {
	switch c := types.StorageClass(class); {
	case class == "" || slices.Contains(kept, c):
		return nil
	case c == types.StorageClassGlacier || c == types.StorageClassDeepArchive:
		return unsupported("the storage class " + class + ", whose objects have to be restored first; GLACIER_IR is supported")
	}
	return telling(s3err.APIError{Code: "InvalidStorageClass", HTTPStatusCode: http.StatusBadRequest, Description: "The storage class you specified is not valid"}, "StorageClassRequested", class)
}

// refuseACL refuses the ACL of an object that is written: by default buckets allow
// none, and where they do there is only the owner here.
func (s *S3) refuseACL(r *http.Request) error {
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if key == "" || r.Method != http.MethodPut && r.Method != http.MethodPost || r.URL.Query().Has("acl") {
		return nil
	}
	acl := types.ObjectCannedACL(r.Header.Get("X-Amz-Acl"))
	if acl != "" && !slices.Contains(acl.Values(), acl) {
		return invalidArgument("", "x-amz-acl", string(acl))
	}
	grants := false
	for header := range r.Header {
		grants = grants || strings.HasPrefix(header, "X-Amz-Grant-")
	}
	if acl == "" && !grants || acl == types.ObjectCannedACLBucketOwnerFullControl {
		return nil
	}
	b, err := s.keeper.bucket(name)
	switch {
	case err != nil:
		return nil // the gateway says so
	case b.Ownership == string(types.ObjectOwnershipBucketOwnerEnforced):
		return wire.Errorf("AccessControlListNotSupported", "The bucket does not allow ACLs")
	case grants || acl != types.ObjectCannedACLPrivate && acl != types.ObjectCannedACLBucketOwnerRead:
		return unsupported("ACLs of objects that let in others than the owner")
	}
	return nil
}
