package events

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// TypeModelPackage is the detail-type of the model registry's event.
const TypeModelPackage = "SageMaker Model Package State Change"

// The approval states of a model package.
const (
	Approved        = "Approved"
	Rejected        = "Rejected"
	PendingApproval = "PendingManualApproval"
)

// ModelPackageStateChange is sent for every change of a model package, also
// for changes that have nothing to do with its approval: read UpdatedFields.
type ModelPackageStateChange struct {
	Group         string   `json:"ModelPackageGroupName"`
	Version       int      `json:"ModelPackageVersion"`
	ARN           string   `json:"ModelPackageArn"`
	Status        string   `json:"ModelPackageStatus"`
	Approval      string   `json:"ModelApprovalStatus"`
	Description   string   `json:"ApprovalDescription"`
	UpdatedFields []string `json:"UpdatedModelPackageFields"`
	LastModified  Time     `json:"LastModifiedTime"`
}

// Decided is when the package was last changed; zero when the event does not say.
func (d ModelPackageStateChange) Decided() time.Time { return d.LastModified.Time }

// ApprovalChanged reports whether this event tells of a decision.
func (d ModelPackageStateChange) ApprovalChanged() bool {
	for _, f := range d.UpdatedFields {
		if f == "ModelApprovalStatus" {
			return d.Approval == Approved || d.Approval == Rejected
		}
	}
	return false
}

func (d ModelPackageStateChange) validate() error { return require("ModelPackageArn", d.ARN) }

// ModelPackagePattern matches decisions on versions of the given groups.
func ModelPackagePattern(groups ...any) Pattern {
	return Pattern{
		"source":      []any{SourceSageMaker},
		"detail-type": []any{TypeModelPackage},
		"detail": map[string]any{
			"ModelPackageGroupName":     groups,
			"ModelApprovalStatus":       []any{Approved, Rejected},
			"UpdatedModelPackageFields": []any{"ModelApprovalStatus"},
		},
	}
}

// Times since the epoch: in milliseconds up to the year 9999, and below a bound
// that milliseconds passed in 1973, in seconds.
const (
	maxMillis  = 253_402_300_799_999
	maxSeconds = 100_000_000_000
)

// Time reads the ways in which AWS writes a time: RFC 3339, or milliseconds or
// seconds since the epoch as a number or a string; null and "" are the zero time.
type Time struct{ time.Time }

func (t *Time) UnmarshalJSON(raw []byte) error {
	s := strings.Trim(string(raw), `"`)
	if s == "" || s == "null" {
		return nil
	}
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		t.Time = at.UTC()
		return nil
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n >= 0 && n <= maxMillis) {
		return fmt.Errorf("time %s is neither RFC 3339 nor a time since the epoch", raw)
	}
	if n < maxSeconds {
		n *= 1000
	}
	t.Time = time.UnixMilli(int64(math.Round(n))).UTC()
	return nil
}

// MarshalJSON writes RFC 3339.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.Format(time.RFC3339Nano) + `"`), nil
}
