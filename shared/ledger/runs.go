package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/recipe"
)

// Run is a run's manifest: all that was decided when it began. Written once.
type Run struct {
	Pipeline   string                `json:"pipeline"`
	Run        int                   `json:"run"`
	Lane       string                `json:"lane"`
	Kind       string                `json:"kind"` // train | score | release | no-model | nothing
	Why        string                `json:"why"`
	Causes     []Cause               `json:"causes"`
	Definition definition.Definition `json:"definition"`
	Recipe     *recipe.Recipe        `json:"recipe,omitempty"`   // train
	Digest     string                `json:"digest,omitempty"`   // of the recipe
	Left       []LeftOut             `json:"left_out,omitempty"` // files that an earlier run refused
	Version    int                   `json:"version,omitempty"`  // release: the version to put in service
}

// LeftOut is an uploaded file that is not used, because an earlier run refused it.
type LeftOut struct {
	Key string `json:"key"`
	Run int    `json:"run"`
	Why string `json:"why"`
}

// End says how a run ended. Written once.
type End struct {
	Pipeline string    `json:"pipeline"`
	Run      int       `json:"run"`
	Status   string    `json:"status"` // SUCCEEDED | FAILED | TIMED_OUT | ABORTED
	Error    string    `json:"error,omitempty"`
	Cause    string    `json:"cause,omitempty"`
	Stopped  time.Time `json:"stopped"`
}

// CreateRun writes a run's manifest, or reads the one that is there into r.
func (l *Ledger) CreateRun(ctx context.Context, r *Run) error {
	_, err := once(ctx, l, RunKey(r.Pipeline, r.Run, "run.json"), r)
	return err
}

// Run reads a run's manifest.
func (l *Ledger) Run(ctx context.Context, pipeline string, run int) (r Run, found bool, err error) {
	_, found, err = l.read(ctx, RunKey(pipeline, run, "run.json"), &r)
	return r, found, err
}

// EndRun writes how a run ended, or reads what was written before into e.
func (l *Ledger) EndRun(ctx context.Context, e *End) error {
	_, err := once(ctx, l, RunKey(e.Pipeline, e.Run, "end.json"), e)
	return err
}

// Ended reads how a run ended.
func (l *Ledger) Ended(ctx context.Context, pipeline string, run int) (e End, found bool, err error) {
	_, found, err = l.read(ctx, RunKey(pipeline, run, "end.json"), &e)
	return e, found, err
}

// Step is a step of a run that is a job: what waits for it, and its result.
type Step struct {
	Pipeline string            `json:"pipeline"`
	Run      int               `json:"run"`
	Step     string            `json:"step"`
	Kind     string            `json:"kind"` // processing | training | transform
	Job      string            `json:"job"`
	Attempt  int               `json:"attempt"`
	Tokens   []string          `json:"tokens"`            // of the states that wait, the newest last: tries can overtake each other
	Digest   string            `json:"digest"`            // of all that the step reads; "" when its result is not to be reused
	Status   string            `json:"status"`            // waiting | done | failed
	Outputs  map[string]string `json:"outputs,omitempty"` // S3 URIs by name
	Facts    map[string]any    `json:"facts,omitempty"`
	Error    string            `json:"error,omitempty"`
	Cause    string            `json:"cause,omitempty"`
	ReusedOf int               `json:"reused_of,omitempty"` // the run whose result this is
}

// The states of a step.
const (
	StepWaiting = "waiting"
	StepDone    = "done"
	StepFailed  = "failed"
)

func stepKey(pipeline string, run int, step string) string {
	return RunKey(pipeline, run, "steps", step+".json")
}

// Step reads a step; the ETag is for SaveStep.
func (l *Ledger) Step(ctx context.Context, pipeline string, run int, step string) (s Step, etag string, found bool, err error) {
	etag, found, err = l.read(ctx, stepKey(pipeline, run, step), &s)
	return s, etag, found, err
}

// SaveStep writes a step over the one with the ETag ("" for none); ErrConflict
// when it is another by now.
func (l *Ledger) SaveStep(ctx context.Context, s Step, etag string) error {
	return l.replace(ctx, stepKey(s.Pipeline, s.Run, s.Step), etag, s)
}

type waiting struct {
	Pipeline string `json:"pipeline"`
	Run      int    `json:"run"`
	Step     string `json:"step"`
}

// Await notes which step a job belongs to, before the job is started.
func (l *Ledger) Await(ctx context.Context, s Step) error {
	return l.put(ctx, "waiting/"+s.Job+".json", waiting{s.Pipeline, s.Run, s.Step})
}

// WaitingFor finds the step that a job belongs to; found is false for a job that
// nobody waits for.
func (l *Ledger) WaitingFor(ctx context.Context, job string) (s Step, etag string, found bool, err error) {
	var w waiting
	if _, found, err = l.read(ctx, "waiting/"+job+".json", &w); err != nil || !found {
		return s, "", false, err
	}
	return l.Step(ctx, w.Pipeline, w.Run, w.Step)
}

// KeepResult makes a step's result known by its digest, for later runs; the
// first one counts.
func (l *Ledger) KeepResult(ctx context.Context, s Step) error {
	if s.Digest == "" {
		return nil
	}
	s.Tokens = nil
	err := l.create(ctx, s.Pipeline+"/results/"+s.Digest+".json", s)
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// Result finds the known result of a digest.
func (l *Ledger) Result(ctx context.Context, pipeline, digest string) (s Step, found bool, err error) {
	if digest == "" {
		return s, false, nil
	}
	_, found, err = l.read(ctx, pipeline+"/results/"+digest+".json", &s)
	return s, found, err
}

type trained struct {
	Run int `json:"run"`
}

// KeepTrained notes that a run of this training digest ended well.
func (l *Ledger) KeepTrained(ctx context.Context, pipeline, digest string, run int) error {
	err := l.create(ctx, pipeline+"/trained/"+digest+".json", trained{run})
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// TrainedBy is the run that ended well with this training digest; 0 for none.
func (l *Ledger) TrainedBy(ctx context.Context, pipeline, digest string) (int, error) {
	var t trained
	_, _, err := l.read(ctx, pipeline+"/trained/"+digest+".json", &t)
	return t.Run, err
}

// ExecutionName is the name of a run's execution.
func ExecutionName(pipeline string, run int) string { return fmt.Sprintf("%s-%d", pipeline, run) }

// ParseExecutionName is the inverse of ExecutionName.
func ParseExecutionName(name string) (pipeline string, run int, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i < 1 {
		return "", 0, false
	}
	pipeline = name[:i]
	run, err := strconv.Atoi(name[i+1:])
	// Atoi takes "03" and "+3" too, which are executions of somebody else.
	if err != nil || run < 1 || ExecutionName(pipeline, run) != name {
		return "", 0, false
	}
	return pipeline, run, true
}

// maxTokens bounds how many tokens of one wait are remembered.
const maxTokens = 20

// AddToken puts a token last among those that wait, without the oldest ones.
func AddToken(tokens []string, token string) []string {
	kept := make([]string, 0, len(tokens)+1)
	for _, t := range tokens {
		if t != token {
			kept = append(kept, t)
		}
	}
	kept = append(kept, token)
	return kept[max(0, len(kept)-maxTokens):]
}
