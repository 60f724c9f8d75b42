// Package definition is pipeline.yaml: what a person writes about a pipeline,
// parsed strictly and with its defaults filled in. It touches no AWS.
package definition

import (
	"time"

	"github.com/millrace-ml/millrace/shared/features"
)

// Definition is one pipeline.
type Definition struct {
	Name     string    `json:"name"` // [a-z][a-z0-9-]*, at most 32 characters
	Data     Data      `json:"data"`
	Quality  []Check   `json:"quality,omitempty"`
	Features []Feature `json:"features"`
	Split    Split     `json:"split"`
	Prepare  Resources `json:"prepare"`
	Train    Train     `json:"train"`
	Evaluate Evaluate  `json:"evaluate"`
	Approve  Approve   `json:"approve"`
	Release  Release   `json:"release"`
	Retrain  Retrain   `json:"retrain"`
}

// Data describes the uploaded rows.
type Data struct {
	Format      string        `json:"format"`         // "csv" (also compressed by gzip or zstd, by content) | "parquet"
	Key         string        `json:"key"`            // column that names a row; unique
	Time        string        `json:"time,omitempty"` // column of the row's time, RFC 3339 or "2006-01-02 15:04:05" (UTC)
	Label       Label         `json:"label"`
	Weight      string        `json:"weight,omitempty"` // expression: how much a row counts in training; empty: all alike
	MinimumRows int           `json:"minimum_rows"`
	Window      time.Duration `json:"window,omitempty"`      // of the newest rows; 0: all. Nanoseconds in JSON.
	KnownAfter  []string      `json:"known_after,omitempty"` // columns not known yet when a model is asked: no feature may read them
}

// Label is what the model learns: a column, or an expression over columns.
type Label struct {
	Name string `json:"name"`
	Expr string `json:"expr,omitempty"` // empty: the column Name itself
	// Classes are the values of a label of several classes, in the order of their numbers; text.
	Classes []string `json:"classes,omitempty"`
}

// Check is one quality rule: on a column, or on all rows together.
type Check struct {
	Column    string        `json:"column,omitempty"` // "": on all rows
	Type      string        `json:"type,omitempty"`   // number | integer | text | time | boolean
	Range     *[2]float64   `json:"range,omitempty"`  // inclusive
	OneOf     []string      `json:"one_of,omitempty"`
	Pattern   string        `json:"pattern,omitempty"` // RE2, whole value
	Missing   *Missing      `json:"missing,omitempty"`
	Unique    bool          `json:"unique,omitempty"`
	Rows      *[2]int64     `json:"rows,omitempty"`      // least and most
	Fresh     time.Duration `json:"fresh,omitempty"`     // age of the newest row when the run was asked for; nanoseconds in JSON
	Drift     *Drift        `json:"drift,omitempty"`     // against the dataset of the version in service
	Severity  string        `json:"severity"`            // "stop" (default) | "warn"
	Tolerance float64       `json:"tolerance,omitempty"` // share of rows that may break type, range, one_of or pattern; default 0
}

// Drift bounds how far a column may have moved: it drifts when its distance is
// larger and such a distance is not chance.
type Drift struct {
	Distance     float64  `json:"distance"`
	Significance float64  `json:"significance"`      // of all columns together
	Columns      []string `json:"columns,omitempty"` // empty: all that the pipeline reads
}

// Missing bounds the share of missing values.
type Missing struct {
	AtMost float64 `json:"at_most"`
}

// Feature is one input of the model, computed from a row.
type Feature = features.Feature

// Split says how rows are divided.
type Split struct {
	By         string  `json:"by"` // "time" | "random"
	Validation float64 `json:"validation"`
	Test       float64 `json:"test"`
	Seed       int64   `json:"seed"`
}

// Resources of a job.
type Resources struct {
	Instance   string        `json:"instance"`
	Count      int           `json:"count"`
	VolumeGB   int           `json:"volume_gb"`
	MaxRuntime time.Duration `json:"max_runtime"` // nanoseconds in JSON
}

// Train is the training job.
type Train struct {
	Resources
	Algorithm       string            `json:"algorithm"` // "builtin"
	Seed            int64             `json:"seed"`
	Hyperparameters map[string]string `json:"hyperparameters,omitempty"` // values as text, as SageMaker passes them
	Spot            bool              `json:"spot,omitempty"`            // on spare machines, which come late or are taken away
	MaxWait         time.Duration     `json:"max_wait,omitempty"`        // for a spot machine and the running together; nanoseconds in JSON
}

// Evaluate is the gate.
type Evaluate struct {
	Resources
	Metric         string             `json:"metric"`             // auc | logloss | accuracy | brier | rmse | mae | r2
	AtLeast        *float64           `json:"at_least,omitempty"` // for metrics where more is better
	AtMost         *float64           `json:"at_most,omitempty"`  // for metrics where less is better
	BeatChampionBy float64            `json:"beat_champion_by"`
	Confidence     float64            `json:"confidence"`
	Slices         []string           `json:"slices,omitempty"`
	Value          map[string]float64 `json:"value,omitempty"`   // tp, fp, tn, fn
	Leaks          string             `json:"leaks,omitempty"`   // "warn" | "stop": what a leak or trap means for the decision
	Trusted        []string           `json:"trusted,omitempty"` // features and columns whose traps a person has looked at
}

// Approve says who approves and how long an approval may take.
type Approve struct {
	By     string        `json:"by"`     // "person" | "policy"
	Within time.Duration `json:"within"` // nanoseconds in JSON
}

// Release says how an approved version is used.
type Release struct {
	As string `json:"as"` // "batch"
	Resources
}

// Retrain says when runs begin by themselves.
type Retrain struct {
	Quiet    time.Duration `json:"quiet"`              // uploads within it coalesce; nanoseconds in JSON
	Schedule string        `json:"schedule,omitempty"` // rate(…) or cron(…), EventBridge's grammar
}
