package s3

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// filterParts are what a rule's filter goes by; And combines them.
var filterParts = []element{maybe("Prefix"), maybe("ObjectSizeGreaterThan").which(isNumber), maybe("ObjectSizeLessThan").which(isNumber)}

// lifecycleSchema is that of a lifecycle.
var lifecycleSchema = one("LifecycleConfiguration", some("Rule", maybe("ID"), maybe("Prefix"), one("Status").which(among(types.ExpirationStatus("").Values())),
	maybe("Filter", append([]element{maybe("Tag", one("Key"), one("Value")), maybe("And", append([]element{tag}, filterParts...)...)}, filterParts...)...),
	maybe("Expiration", maybe("Days").which(isNumber), maybe("Date").which(isTime), maybe("ExpiredObjectDeleteMarker").which(isBool)),
	many("Transition", maybe("Days").which(isNumber), maybe("Date").which(isTime), one("StorageClass").which(among(types.TransitionStorageClass("").Values()))),
	maybe("NoncurrentVersionExpiration", maybe("NoncurrentDays").which(isNumber), maybe("NewerNoncurrentVersions").which(isNumber)),
	many("NoncurrentVersionTransition", maybe("NoncurrentDays").which(isNumber), maybe("NewerNoncurrentVersions").which(isNumber),
		one("StorageClass").which(among(types.TransitionStorageClass("").Values()))),
	maybe("AbortIncompleteMultipartUpload", maybe("DaysAfterInitiation").which(isNumber))))

// checkLifecycle refuses rules that S3 refuses; those that it takes are kept.
func checkLifecycle(body []byte) error {
	var given node
	if err := xml.Unmarshal(body, &given); err != nil || !lifecycleSchema.fits(given) {
		return malformed()
	}
	ids := map[string]bool{}
	for _, r := range given.Nodes {
		if err := checkRule(r); err != nil {
			return err
		}
		id := r.child("ID")
		switch {
		case id == nil || id.Text == "":
			continue
		case len(id.Text) > 255:
			return wire.Errorf("InvalidArgument", "ID length should not exceed allowed limit of 255")
		case ids[id.Text]:
			return wire.Errorf("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule")
		}
		ids[id.Text] = true
	}
	return nil
}

func checkRule(r node) error {
	filter, expiration, noncurrent := r.child("Filter"), r.child("Expiration"), r.child("NoncurrentVersionExpiration")
	switch {
	case filter == nil && r.child("Prefix") == nil,
		filter != nil && len(filter.Nodes) > 1,
		expiration != nil && len(expiration.Nodes) != 1,
		noncurrent != nil && len(noncurrent.Nodes) == 0:
		return malformed()
	case expiration == nil && noncurrent == nil && r.child("AbortIncompleteMultipartUpload") == nil && r.child("Transition") == nil && r.child("NoncurrentVersionTransition") == nil:
		return wire.Errorf("InvalidRequest", "At least one action needs to be specified in a rule")
	}
	if filter != nil && len(filter.Nodes) == 1 && filter.Nodes[0].twice() != "" {
		return wire.Errorf("InvalidRequest", "Duplicate Tag Keys are not allowed.")
	}
	if expiration == nil {
		return nil
	}
	if days := expiration.child("Days"); days != nil {
		if n, err := strconv.Atoi(strings.TrimSpace(days.Text)); err != nil || n < 1 {
			return wire.Errorf("InvalidArgument", "'Days' for Expiration action must be a positive integer")
		}
	}
	if date := expiration.child("Date"); date != nil {
		if at, err := time.Parse(time.RFC3339, strings.TrimSpace(date.Text)); err == nil && !at.Equal(at.UTC().Truncate(24*time.Hour)) {
			return invalidArgument("'Date' must be at midnight GMT", "Date", at.UTC().Format(isoMillis))
		}
	}
	return nil
}

// isoMillis is how S3 writes times in listings.
const isoMillis = "2006-01-02T15:04:05.000Z"

// smallest is the header that says which objects are too small for transitions, and
// the name under which a bucket keeps it.
const smallest = "X-Amz-Transition-Default-Minimum-Object-Size"

// smallestOf reads the header.
func smallestOf(h http.Header) (string, error) {
	value := h.Get(smallest)
	if value == "" {
		value = string(types.TransitionDefaultMinimumObjectSizeAllStorageClasses128k)
	}
	if !among(types.TransitionDefaultMinimumObjectSize("").Values())(value) {
		return "", wire.Errorf("InvalidRequest", "Invalid TransitionDefaultMinimumObjectSize found: %s", value)
	}
	return value, nil
}
