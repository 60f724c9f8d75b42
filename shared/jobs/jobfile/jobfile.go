// Package jobfile is job.json: what Millrace tells a job about its run. The
// side that starts jobs writes it and the program inside the job reads it, so
// it touches no AWS.
package jobfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
)

// Name is the file's name in the `config` input or channel of every job.
const Name = "job.json"

// MaxBytes bounds a job.json; a dataset of 100,000 files stays below it.
const MaxBytes = 64 << 20

// File is the content of job.json.
type File struct {
	Pipeline   string                `json:"pipeline"`
	Run        int                   `json:"run"`
	Step       string                `json:"step"` // prepare | train | evaluate | prepare-scores | score
	Attempt    int                   `json:"attempt"`
	Definition definition.Definition `json:"definition"`
	Dataset    *Dataset              `json:"dataset,omitempty"`  // prepare and prepare-scores
	Champion   *Champion             `json:"champion,omitempty"` // evaluate; nil when no version is in service
	Last       *Last                 `json:"last,omitempty"`     // prepare; the dataset of the version in service
	Asked      *time.Time            `json:"asked,omitempty"`    // prepare; when the newest cause of the run came
	Recipe     string                `json:"recipe,omitempty"`   // SHA-256 of the recipe, in hex
	Image      string                `json:"image,omitempty"`    // that the job runs, by digest
}

// Dataset is the uploaded files of a run, each pinned to its version.
type Dataset struct {
	Files []DataFile `json:"files"`
}

// DataFile is one uploaded object.
type DataFile struct {
	Key       string `json:"key"`
	VersionID string `json:"version_id"`
	SHA256    string `json:"sha256"`
	Size      int64  `json:"size"` // bytes
	Path      string `json:"path"` // below the job's data folder: <sha256>/<file name>
}

// Last is where a version in service came from; its statistics are an input.
type Last struct {
	Version int `json:"version"`
	Run     int `json:"run"`
}

// Champion is the version in service.
type Champion struct {
	Version int                `json:"version"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
}

// Read decodes a job.json and checks that what every job needs is there.
func Read(r io.Reader) (*File, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", Name, err)
	}
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("read %s: larger than %d bytes", Name, MaxBytes)
	}
	var f File
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("decode %s: %w", Name, err)
	}
	if err := f.check(); err != nil {
		return nil, fmt.Errorf("check %s: %w", Name, err)
	}
	return &f, nil
}

// Marshal is f as Read takes it; the same f gives the same bytes.
func (f *File) Marshal() ([]byte, error) {
	raw, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode %s of run %s/%d: %w", Name, f.Pipeline, f.Run, err)
	}
	return append(raw, '\n'), nil
}

func (f *File) check() error {
	var problems []error
	if f.Pipeline == "" {
		problems = append(problems, errors.New("pipeline is empty"))
	}
	if f.Run < 1 {
		problems = append(problems, fmt.Errorf("run is %d, not 1 or more", f.Run))
	}
	if f.Step == "" {
		problems = append(problems, errors.New("step is empty"))
	}
	if f.Definition.Name != f.Pipeline {
		problems = append(problems, fmt.Errorf("definition is of %q, not of %q", f.Definition.Name, f.Pipeline))
	}
	if f.Dataset != nil {
		for i, d := range f.Dataset.Files {
			if d.Key == "" || d.Path == "" {
				problems = append(problems, fmt.Errorf("dataset.files[%d] has no key or no path", i))
			}
		}
	}
	return errors.Join(problems...)
}
