package events

// TypeRunFailed is the detail-type of RunFailed.
const TypeRunFailed = "Run Failed"

// RunFailed says that a run did not end as it should, and why.
type RunFailed struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Error    string `json:"error"` // a name from package statemachine, or AWS's
	Cause    string `json:"cause"` // for a person
}

func (d RunFailed) validate() error { return require("pipeline", d.Pipeline, "error", d.Error) }
