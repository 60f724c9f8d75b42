package runs_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/registry"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/shared/runs/runstest"
	"github.com/millrace-ml/millrace/statemachine"
)

const (
	dataBucket   = "millrace-data"
	ledgerBucket = "millrace-ledger"
	image        = "000000000000.dkr.ecr.us-east-1.amazonaws.com/millrace-worker@sha256:1111"
	jobRole      = "arn:aws:iam::000000000000:role/jobs"
	machine      = "arn:aws:states:us-east-1:000000000000:stateMachine:millrace-pipeline"
)

// modelArchive is what a training job leaves behind.
var modelArchive = func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	_ = t.WriteHeader(&tar.Header{Name: "xgboost-model", Mode: 0o644, Size: 2})
	_, _ = t.Write([]byte("{}"))
	_ = t.Close()
	_ = z.Close()
	return b.Bytes()
}()

func flights() definition.Definition {
	r := definition.Resources{Instance: "ml.m5.large", Count: 1, VolumeGB: 10, MaxRuntime: time.Hour}
	return definition.Definition{
		Name: "flights", Data: definition.Data{Format: "csv", Key: "id", Label: definition.Label{Name: "late"}},
		Features: []features.Feature{{Name: "hour"}}, Split: definition.Split{By: "random", Test: 0.2, Seed: 7}, Prepare: r,
		Train: definition.Train{Resources: r, Algorithm: "builtin", Seed: 7}, Evaluate: definition.Evaluate{Resources: r, Metric: "auc"},
		Approve: definition.Approve{By: "person", Within: 168 * time.Hour}, Release: definition.Release{As: "batch", Resources: r},
		Retrain: definition.Retrain{Quiet: time.Minute},
	}
}

// world is everything that runs touch, and a state machine's part in it.
type world struct {
	tb       testing.TB
	def      definition.Definition
	faults   *ledgertest.Faults
	s3       *ledgertest.S3
	states   *runstest.States
	sm       *runstest.SageMaker
	ledger   *ledger.Ledger
	registry *registry.Registry
	starter  *runs.Starter
	planner  *runs.Planner
	steps    *runs.Steps
	versions *runs.Versions
	daily    *runs.Daily

	twice  bool
	events int  // told so far
	lost   int  // the event that is never told, from 1; 0: none
	wish   int  // the event of a wish to go back to an older version
	missed bool // it was not told, and nothing has made up for it yet
	driven map[string]bool
	path   []string // what happened, without run numbers
	clock  time.Time
	// outcome says how a job ends; unset: well.
	outcome func(w *world, name string, j *runstest.Job)
}

func newWorld(tb testing.TB, faults *ledgertest.Faults) *world {
	w := &world{tb: tb, def: flights(), faults: faults, s3: ledgertest.NewS3(), states: runstest.NewStates(), sm: runstest.NewSageMaker(),
		driven: map[string]bool{}, clock: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	w.s3.Faults, w.states.Faults, w.sm.Faults = faults, faults, faults
	log := slog.New(slog.DiscardHandler)
	w.ledger = ledger.New(w.s3, ledgerBucket)
	w.registry = registry.New(w.sm)
	set := &runs.Dataset{Ledger: w.ledger, Objects: w.s3, Bucket: dataBucket}
	w.starter = &runs.Starter{Ledger: w.ledger, Executions: w.states, StateMachine: machine, Definitions: w.find, Log: log}
	w.planner = &runs.Planner{Ledger: w.ledger, Dataset: set, Definitions: w.find, Image: image, Log: log}
	w.steps = &runs.Steps{Ledger: w.ledger, Jobs: w.sm, Answers: w.states, Image: image, Role: jobRole, Log: log}
	w.versions = &runs.Versions{Ledger: w.ledger, Registry: w.registry, Answers: w.states, Dataset: set, Role: jobRole, Log: log}
	w.daily = &runs.Daily{Starter: w.starter, Uploads: set, Log: log}
	return w
}

func (w *world) find(name string) (*definition.Definition, error) {
	if name != w.def.Name {
		return nil, nil
	}
	d := w.def
	return &d, nil
}

var ctx = context.Background()

// try does something until it works, as Lambda and Step Functions do.
func (w *world) try(what string, do func() error) {
	w.tb.Helper()
	var err error
	for range 3 {
		if err = do(); err == nil {
			return
		}
		if !errors.Is(err, ledgertest.ErrFault) {
			break
		}
	}
	w.tb.Fatalf("%s: %v (fault %d at %s, after %v)", what, err, w.faults.At, w.faults.Met(), w.faults.After)
}

// told hands an event to a function, twice in a world where events come twice,
// and never when it is the one that is lost.
func (w *world) told(what string, do func() error) {
	w.tb.Helper()
	if w.events++; w.events == w.lost {
		w.missed = true
		return
	}
	w.try(what, do)
	if w.twice {
		w.try(what+" again", do)
	}
}

// upload puts a file into the data bucket, without its event.
func (w *world) upload(key string) (events.Envelope, events.ObjectCreated) {
	w.clock = w.clock.Add(time.Second)
	var d events.ObjectCreated
	d.Bucket.Name, d.Object.Key, d.Object.Size = dataBucket, key, 10
	d.Object.VersionID = w.s3.Upload(dataBucket, key, []byte("rows of "+key))
	return events.Envelope{ID: "event-" + d.Object.VersionID, Time: w.clock}, d
}

// hear hands an upload's event to newdata.
func (w *world) hear(e events.Envelope, d events.ObjectCreated) func() error {
	return func() error {
		cause, err := runs.CauseOf(e, d, w.find, []string{w.def.Name})
		if err != nil {
			return err
		}
		return w.starter.Add(ctx, *cause)
	}
}

func (w *world) note(format string, args ...any) {
	w.path = append(w.path, fmt.Sprintf(format, args...))
}

// work drives the executions that were started and not yet driven to their ends.
func (w *world) work() {
	w.tb.Helper()
	for {
		var next string
		for _, name := range w.states.Executions() {
			if !w.driven[name] {
				next = name
				break
			}
		}
		if next == "" && w.missed {
			w.day()
			continue
		}
		if next == "" {
			return
		}
		w.driven[next] = true
		w.drive(next)
	}
}

// day lets the daily rule come due.
func (w *world) day() {
	w.tb.Helper()
	w.missed = false
	e := events.Envelope{ID: "daily"}
	w.try("daily look at the lanes", func() error { return w.daily.Look(ctx, e, w.def.Name) })
	w.try("daily look at the decision", func() error {
		_, err := w.versions.Look(ctx, e, w.def.Name)
		return err
	})
}

// drive does what the state machine does.
func (w *world) drive(name string) {
	w.tb.Helper()
	var in statemachine.RunInput
	if err := json.Unmarshal([]byte(w.states.Input(name)), &in); err != nil {
		w.tb.Fatal(err)
	}
	end := events.ExecutionStatusChange{ExecutionARN: "arn:" + name, Name: name, Status: events.ExecutionSucceeded}
	if name, cause := w.walk(in); name != "" {
		end.Status, end.Error, end.Cause = events.ExecutionFailed, name, cause
	}
	w.note("%s ended %s %s", in.Lane, end.Status, end.Error)
	w.states.End(end)
	w.told("run ended", func() error { return w.starter.Ended(ctx, end) })
}

// walk walks a run's states and gives the error with which it fails.
func (w *world) walk(in statemachine.RunInput) (errorName, cause string) {
	w.tb.Helper()
	var plan statemachine.SnapshotOutput
	for seen := in.Snapshot; !plan.Settled; seen = (statemachine.SettledSoFar{Seen: plan.Seen, Round: plan.Round}) {
		w.try("snapshot", func() (err error) {
			plan, err = w.planner.Plan(ctx, statemachine.SnapshotInput{Pipeline: in.Pipeline, Run: in.Run, Lane: in.Lane, Seen: seen.Seen, Round: seen.Round})
			return err
		})
	}
	w.note("%s %s", in.Lane, plan.Kind)
	score := plan.Kind == statemachine.KindScore
	switch plan.Kind {
	case statemachine.KindTrain:
		for _, step := range []string{statemachine.StepPrepare, statemachine.StepTrain, statemachine.StepEvaluate} {
			if _, a := w.step(in, step); a.Error != "" {
				return a.Error, a.Cause
			}
		}
		var p statemachine.PackageOutput
		w.try("register", func() (err error) { p, err = w.versions.Register(ctx, in.Pipeline, in.Run); return err })
		w.note("registered %d", p.Version)
		if plan.ApproveBy == "person" {
			if a := w.approval(in, p); a.Error != "" {
				return a.Error, a.Cause
			}
		}
		score = w.release(in)
	case statemachine.KindRelease:
		score = w.release(in)
	}
	if !score {
		return "", ""
	}
	for _, step := range []string{statemachine.StepPrepareScores, statemachine.StepScore} {
		if _, a := w.step(in, step); a.Error != "" {
			return a.Error, a.Cause
		}
	}
	return "", ""
}

func (w *world) release(in statemachine.RunInput) bool {
	w.tb.Helper()
	var r statemachine.ReleaseOutput
	w.try("release", func() (err error) { r, err = w.versions.Release(ctx, in.Pipeline, in.Run); return err })
	w.note("released %d after %d, score %v", r.Version, r.Previous, r.Score)
	return r.Score
}

// wait opens a wait, hands its token out until that works, and gives the token.
func (w *world) wait(what string, begin func(token string) error) string {
	w.tb.Helper()
	var token string
	w.try(what, func() error {
		if token != "" {
			w.states.Close(token)
		}
		token = w.states.Token()
		return begin(token)
	})
	return token
}

// step runs a step that is a job, again while the platform interrupts it.
func (w *world) step(in statemachine.RunInput, step string) (statemachine.StepOutput, runstest.Answer) {
	w.tb.Helper()
	for {
		token := w.wait("startjob "+step, func(token string) error {
			return w.steps.Begin(ctx, statemachine.StartJobInput{Pipeline: in.Pipeline, Run: in.Run, Step: step, Token: token})
		})
		if _, ok := w.states.Answer(token); !ok {
			var st ledger.Step
			w.faults.Paused(func() { st, _, _, _ = w.ledger.Step(ctx, in.Pipeline, in.Run, step) })
			w.sm.End(st.Job, func(j *runstest.Job) { w.finish(step, st.Job, j) })
			w.told("job ended", func() error { return w.steps.Finished(ctx, st.Job) })
		}
		a, ok := w.states.Answer(token)
		if !ok && w.missed { // the wait runs out, and the state tries again
			w.missed = false
			w.states.Close(token)
			continue
		}
		if !ok {
			w.tb.Fatalf("the state that waits for step %s is never answered (fault %d at %s, after %v)", step, w.faults.At, w.faults.Met(), w.faults.After)
		}
		w.note("%s %s", step, a.Error)
		if a.Error == statemachine.ErrJobInterrupted {
			continue
		}
		var out statemachine.StepOutput
		if a.Error == "" {
			if err := json.Unmarshal([]byte(a.Output), &out); err != nil {
				w.tb.Fatal(err)
			}
		}
		return out, a
	}
}

// finish ends a job as its program would.
func (w *world) finish(step, name string, j *runstest.Job) {
	switch step {
	case statemachine.StepPrepare:
		j.Exit = `{"ok":true,"rows":100}`
	case statemachine.StepTrain:
		j.Model = "s3://" + ledgerBucket + "/" + name + "/output/model.tar.gz"
		w.s3.Upload(ledgerBucket, name+"/output/model.tar.gz", modelArchive)
	case statemachine.StepEvaluate:
		j.Exit = `{"ok":true,"promote":true,"why":"better"}`
	case statemachine.StepPrepareScores:
		j.Exit = `{"ok":true,"rows":5,"files":1}`
	}
	if w.outcome != nil {
		w.outcome(w, name, j)
	}
}

// approval waits for a reviewer, who says yes.
func (w *world) approval(in statemachine.RunInput, p statemachine.PackageOutput) runstest.Answer {
	w.tb.Helper()
	token := w.wait("await", func(token string) error { return w.versions.Await(ctx, in.Pipeline, in.Run, token) })
	w.decide(p.ARN, p.Version, events.Approved)
	if w.missed {
		w.day()
	}
	a, ok := w.states.Answer(token)
	if !ok {
		w.tb.Fatalf("the state that waits for approval is never answered (fault %d at %s, after %v)", w.faults.At, w.faults.Met(), w.faults.After)
	}
	w.note("decided %s", a.Error)
	return a
}

// decide decides in the registry and hands the event to modelapproved.
func (w *world) decide(arn string, version int, approval string) {
	w.tb.Helper()
	at := w.sm.Decide(arn, approval, "looks good")
	w.told("decision", w.hearDecision(version, approval, at))
}

func (w *world) hearDecision(version int, approval string, at time.Time) func() error {
	return func() error {
		cause, err := w.versions.Decided(ctx, runs.Decision{Pipeline: w.def.Name, Version: version, Approval: approval, Comment: "looks good", At: at, EventID: "e"})
		if err != nil || cause == nil {
			return err
		}
		return w.starter.Add(ctx, *cause)
	}
}

// state is what a world came to: everything that must not depend on faults.
func (w *world) state() (text string) {
	w.faults.Paused(func() { text = strings.Join(w.path, "\n") + "\n" + w.stateNow(true) })
	return text
}

// result is the part of state that does not depend on which run did what.
func (w *world) result() string { return w.stateNow(false) }

func (w *world) stateNow(manifests bool) string {
	w.tb.Helper()
	led := w.ledger
	var b strings.Builder
	serving, found, err := led.InService(ctx, w.def.Name)
	if err != nil {
		w.tb.Fatal(err)
	}
	fmt.Fprintf(&b, "in service %v %d, before %d\n", found, serving.Version, serving.Previous)
	packages := w.sm.Packages()
	for _, arn := range slices.Sorted(maps.Keys(packages)) {
		fmt.Fprintln(&b, arn, packages[arn])
	}
	jobs := map[string]int{}
	for _, name := range w.sm.Jobs() {
		parts := strings.SplitN(name, "-", 3)
		jobs[parts[2]]++
	}
	fmt.Fprintln(&b, "jobs", jobs)
	counts, scored := map[string]int{}, map[string]int{}
	for key, body := range w.s3.Objects(ledgerBucket) {
		parts := strings.Split(key, "/")
		switch {
		case len(parts) > 2 && (parts[1] == "inbox" || parts[1] == "taken" || parts[1] == "trained" || parts[1] == "refused" || parts[1] == "objects" || parts[1] == "scored" || parts[1] == "results"):
			counts[parts[1]]++
		case strings.HasSuffix(key, "/scores.json"):
			var set jobfile.Dataset
			if err := json.Unmarshal([]byte(body), &set); err != nil {
				w.tb.Fatal(err)
			}
			for _, f := range set.Files {
				scored[f.Key]++
			}
		case manifests && strings.HasSuffix(key, "/run.json"):
			var m ledger.Run
			if err := json.Unmarshal([]byte(body), &m); err != nil {
				w.tb.Fatal(err)
			}
			var causes, files []string
			for _, c := range m.Causes {
				causes = append(causes, c.Kind+" "+c.Key)
			}
			if m.Recipe != nil {
				for _, f := range m.Recipe.Dataset {
					files = append(files, f.Key)
				}
			}
			counts[fmt.Sprintf("manifest %s %s %v of %v, %d left out", m.Lane, m.Kind, causes, files, len(m.Left))]++
		}
	}
	for _, c := range []map[string]int{counts, scored} {
		for _, k := range slices.Sorted(maps.Keys(c)) {
			fmt.Fprintln(&b, k, c[k])
		}
	}
	for _, lane := range []string{statemachine.LaneTrain, statemachine.LaneServe} {
		lease, err := led.Lease(ctx, w.def.Name, lane)
		if err != nil {
			w.tb.Fatal(err)
		}
		fmt.Fprintf(&b, "%s lease held %v\n", lane, lease.Held)
	}
	return b.String()
}
