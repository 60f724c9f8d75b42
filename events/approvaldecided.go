package events

import "fmt"

// Source and detail-type of a decision that is made outside the registry.
// Whoever may put this event may release a model: it is accepted only on the
// approvals bus, whose resource policy names who may.
const (
	SourceMillraceReview = "millrace.review"
	TypeApprovalDecided  = "Approval Decided"
)

// ApprovalDecided is a reviewer's decision.
type ApprovalDecided struct {
	Pipeline string `json:"pipeline"`
	Version  int    `json:"version"`
	Decision string `json:"decision"` // Approved | Rejected
	By       string `json:"by"`
	Comment  string `json:"comment"`
}

func (d ApprovalDecided) validate() error {
	if d.Decision != Approved && d.Decision != Rejected {
		return fmt.Errorf("decision %q is neither %s nor %s", d.Decision, Approved, Rejected)
	}
	if d.Version < 1 {
		return fmt.Errorf("version %d is not a version", d.Version)
	}
	return require("pipeline", d.Pipeline, "by", d.By)
}

// ApprovalDecidedPattern matches decisions on the approvals bus.
func ApprovalDecidedPattern() Pattern {
	return Pattern{"source": []any{SourceMillraceReview}, "detail-type": []any{TypeApprovalDecided}}
}
