package events

// TypeRunCompleted is the detail-type of RunCompleted.
const TypeRunCompleted = "Run Completed"

// RunCompleted says that a run ended as it should.
type RunCompleted struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Outcome  string `json:"outcome"` // released | scored | refused | nothing-new | no-model
}

func (d RunCompleted) validate() error { return require("pipeline", d.Pipeline, "outcome", d.Outcome) }
