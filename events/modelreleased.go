package events

// TypeModelReleased is the detail-type of ModelReleased.
const TypeModelReleased = "Model Released"

// ModelReleased says that a version is in service.
type ModelReleased struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Version  int    `json:"version"`
	Model    string `json:"model"`    // name of the SageMaker model
	Previous int    `json:"previous"` // the version before it; 0: none
}

func (d ModelReleased) validate() error { return require("pipeline", d.Pipeline, "model", d.Model) }
