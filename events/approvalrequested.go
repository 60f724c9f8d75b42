package events

// TypeApprovalRequested is the detail-type of ApprovalRequested.
const TypeApprovalRequested = "Approval Requested"

// ApprovalRequested says that a version waits for a reviewer.
type ApprovalRequested struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Version  int    `json:"version"`
	Package  string `json:"package"` // ARN of the model package
	Report   string `json:"report"`  // S3 URI of the report to decide from
	Why      string `json:"why"`     // the gate's verdict
}

func (d ApprovalRequested) validate() error {
	return require("pipeline", d.Pipeline, "package", d.Package)
}
