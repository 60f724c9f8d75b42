package events

// TypeRunStarted is the detail-type of RunStarted.
const TypeRunStarted = "Run Started"

// RunStarted says that a run knows what it will do.
type RunStarted struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Kind     string `json:"kind"` // train | score | release | nothing
	Why      string `json:"why"`  // for a person
}

func (d RunStarted) validate() error { return require("pipeline", d.Pipeline) }
