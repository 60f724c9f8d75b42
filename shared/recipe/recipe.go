// Package recipe is the closed set of inputs of a training run, in canonical
// JSON (RFC 8785): its SHA-256 is its name, and the same recipe gives the same
// model wherever the trainer is deterministic. Each step has a digest of its
// own, taken over exactly what it reads. Nothing here touches AWS.
package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
)

// Version of the recipe's layout.
const Version = 1

// Recipe determines a model.
type Recipe struct {
	Version  int                  `json:"version"`
	Pipeline string               `json:"pipeline"`
	Dataset  []jobfile.DataFile   `json:"dataset"` // sorted by key
	Data     definition.Data      `json:"data"`
	Quality  []definition.Check   `json:"quality"`
	Features []definition.Feature `json:"features"`
	Split    definition.Split     `json:"split"`
	Train    definition.Train     `json:"train"`
	Image    string               `json:"image"` // pinned by digest
}

// New makes the recipe of a dataset and a definition.
func New(d definition.Definition, dataset []jobfile.DataFile, image string) Recipe {
	return Recipe{Version: Version, Pipeline: d.Name, Dataset: dataset, Data: d.Data, Quality: d.Quality,
		Features: d.Features, Split: d.Split, Train: d.Train, Image: image}
}

// Digest is the recipe's name: the SHA-256 of its canonical JSON, in hex.
func (r Recipe) Digest() (string, error) { return Digest(r) }

// content is what a step reads of a file: not where S3 keeps it.
type content struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// PrepareDigest is taken over all that preparation reads.
func (r Recipe) PrepareDigest() (string, error) {
	files := make([]content, len(r.Dataset))
	for i, f := range r.Dataset {
		files[i] = content{path.Base(f.Key), f.SHA256}
	}
	return Digest(map[string]any{"step": "prepare", "version": r.Version, "files": files, "data": r.Data,
		"quality": r.Quality, "features": r.Features, "split": r.Split, "image": r.Image})
}

// TrainDigest is taken over all that training reads, through PrepareDigest. The
// machine that a job runs on is no part of it.
func (r Recipe) TrainDigest() (string, error) {
	prepare, err := r.PrepareDigest()
	if err != nil {
		return "", err
	}
	return Digest(map[string]any{"step": "train", "prepare": prepare, "algorithm": r.Train.Algorithm,
		"seed": r.Train.Seed, "hyperparameters": r.Train.Hyperparameters, "image": r.Image})
}

// EvaluateDigest is taken over all that evaluation reads; champion is the
// training digest of the version in service, or "".
func (r Recipe) EvaluateDigest(evaluate definition.Evaluate, champion string) (string, error) {
	train, err := r.TrainDigest()
	if err != nil {
		return "", err
	}
	evaluate.Resources = definition.Resources{}
	return Digest(map[string]any{"step": "evaluate", "train": train, "evaluate": evaluate, "champion": champion, "image": r.Image})
}

// RulesDigest names what a definition asks of uploaded rows: a file that broke
// these rules may keep others.
func RulesDigest(d definition.Definition) (string, error) {
	return Digest(map[string]any{"data": d.Data, "quality": d.Quality, "features": d.Features})
}

// Digest is the SHA-256 of v's canonical JSON, in hex.
func Digest(v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode for digest: %w", err)
	}
	canonical := jsontext.Value(raw)
	if err := canonical.Canonicalize(); err != nil {
		return "", fmt.Errorf("canonicalize: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}
