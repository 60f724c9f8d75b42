package runs_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/ledger/ledgertest"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/shared/runs/runstest"
	"github.com/millrace-ml/millrace/statemachine"
)

const versionARN = "arn:aws:sagemaker:us-east-1:000000000000:model-package/flights/"

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// planned is a world with run 1 of the train lane planned.
func planned(t *testing.T) (*world, statemachine.RunInput) {
	t.Helper()
	w := newWorld(t, &ledgertest.Faults{})
	check(t, w.hear(w.upload("flights/raw/jan.csv"))())
	return w, w.plan("flights-1")
}

// plan plans a run that was started, and leaves it there.
func (w *world) plan(name string) (in statemachine.RunInput) {
	w.tb.Helper()
	if err := json.Unmarshal([]byte(w.states.Input(name)), &in); err != nil {
		w.tb.Fatal(err)
	}
	// More causes than there can be: the uploads have settled.
	if _, err := w.planner.Plan(ctx, statemachine.SnapshotInput{Pipeline: in.Pipeline, Run: in.Run, Lane: in.Lane, Seen: 1000}); err != nil {
		w.tb.Fatal(err)
	}
	w.driven[name] = true
	return in
}

// registered is a world whose run 1 has registered version 1.
func registered(t *testing.T) (*world, statemachine.RunInput) {
	t.Helper()
	w, in := planned(t)
	for _, step := range []string{statemachine.StepPrepare, statemachine.StepTrain, statemachine.StepEvaluate} {
		if _, a := w.step(in, step); a.Error != "" {
			t.Fatal(a)
		}
	}
	_, err := w.versions.Register(ctx, in.Pipeline, in.Run)
	check(t, err)
	return w, in
}

func (w *world) end(in statemachine.RunInput, errorName string) {
	w.tb.Helper()
	name := ledger.ExecutionName(in.Pipeline, in.Run)
	d := events.ExecutionStatusChange{ExecutionARN: "arn:" + name, Name: name, Status: events.ExecutionSucceeded}
	if errorName != "" {
		d.Status, d.Error = events.ExecutionFailed, errorName
	}
	w.states.End(d)
	if err := w.starter.Ended(ctx, d); err != nil {
		w.tb.Fatal(err)
	}
}

// TestTheNextStateSeesTheResult: as soon as a state is told that its job is done
// the next one begins, which is before whoever told it has returned.
func TestTheNextStateSeesTheResult(t *testing.T) {
	w, in := planned(t)
	var early error
	called := false
	w.states.Told = func(string) {
		w.states.Told = nil
		called = true
		early = w.steps.Begin(ctx, statemachine.StartJobInput{Pipeline: in.Pipeline, Run: in.Run, Step: statemachine.StepTrain, Token: w.states.Token()})
	}
	w.step(in, statemachine.StepPrepare)
	if !called || early != nil {
		t.Errorf("called %v; the next step cannot begin: %v", called, early)
	}
}

// TestATryThatWasOvertakenKeepsNobodyWaiting: a slow first invocation writes its
// token after the second one has written the token that counts.
func TestATryThatWasOvertakenKeepsNobodyWaiting(t *testing.T) {
	w, in := planned(t)
	slow, live := w.states.Token(), w.states.Token()
	w.states.Close(slow)
	for _, token := range []string{live, slow} {
		check(t, w.steps.Begin(ctx, statemachine.StartJobInput{Pipeline: in.Pipeline, Run: in.Run, Step: statemachine.StepPrepare, Token: token}))
	}
	w.sm.End("flights-1-prepare-0", func(j *runstest.Job) { j.Exit = `{"ok":true,"rows":1}` })
	check(t, w.steps.Finished(ctx, "flights-1-prepare-0"))
	if a, ok := w.states.Answer(live); !ok || a.Error != "" {
		t.Errorf("the state that waits was told %v, %v", a, ok)
	}
}

func TestADecisionReachesTheTokenThatWaits(t *testing.T) {
	tests := map[string]func(w *world, in statemachine.RunInput, live string) error{
		"decided before the wait": func(w *world, in statemachine.RunInput, live string) error {
			at := w.sm.Decide(versionARN+"1", events.Approved, "")
			return errors.Join(w.hearDecision(1, events.Approved, at)(), w.versions.Await(ctx, in.Pipeline, in.Run, live))
		},
		"decided while the wait is tried again": func(w *world, in statemachine.RunInput, live string) error {
			dead := w.states.Token()
			err := w.versions.Await(ctx, in.Pipeline, in.Run, dead)
			w.states.Close(dead)
			at := w.sm.Decide(versionARN+"1", events.Approved, "")
			return errors.Join(err, w.hearDecision(1, events.Approved, at)(), w.versions.Await(ctx, in.Pipeline, in.Run, live))
		},
		"a try of the wait was overtaken": func(w *world, in statemachine.RunInput, live string) error {
			dead := w.states.Token()
			w.states.Close(dead)
			err := errors.Join(w.versions.Await(ctx, in.Pipeline, in.Run, live), w.versions.Await(ctx, in.Pipeline, in.Run, dead))
			at := w.sm.Decide(versionARN+"1", events.Approved, "")
			return errors.Join(err, w.hearDecision(1, events.Approved, at)())
		},
		"rejected, and the mind changed within a second, told in the wrong order": func(w *world, in statemachine.RunInput, live string) error {
			err := w.versions.Await(ctx, in.Pipeline, in.Run, live)
			at := w.sm.Decide(versionARN+"1", events.Approved, "")
			return errors.Join(err, w.hearDecision(1, events.Approved, at)(), w.hearDecision(1, events.Rejected, at)())
		},
	}
	for name, act := range tests {
		t.Run(name, func(t *testing.T) {
			w, in := registered(t)
			live := w.states.Token()
			check(t, act(w, in, live))
			if a, ok := w.states.Answer(live); !ok || a.Error != "" {
				t.Errorf("the state that waits was told %v, %v", a, ok)
			}
			if got := w.states.Executions(); len(got) != 1 {
				t.Errorf("executions are %v, want the one that waits", got)
			}
		})
	}
}

// TestAYesThatNoRunHearsAsksForARelease: a person said yes to a version, and it
// must not be lost because of what became of its run.
func TestAYesThatNoRunHearsAsksForARelease(t *testing.T) {
	tests := map[string]struct {
		before func(w *world, in statemachine.RunInput) error
		want   int // executions in all
	}{
		"its run failed before it waited": {func(w *world, in statemachine.RunInput) error { w.end(in, statemachine.ErrUnexpected); return nil }, 2},
		"its run was stopped while it waited": {func(w *world, in statemachine.RunInput) error {
			token := w.states.Token()
			err := w.versions.Await(ctx, in.Pipeline, in.Run, token)
			w.states.Close(token)
			w.end(in, events.ExecutionAborted)
			return err
		}, 2},
		"the wait had run out": {func(w *world, in statemachine.RunInput) error {
			token := w.states.Token()
			err := w.versions.Await(ctx, in.Pipeline, in.Run, token)
			w.states.Close(token)
			_, err2 := w.versions.Expire(ctx, in.Pipeline, in.Run)
			w.end(in, statemachine.ErrApprovalExpired)
			return errors.Join(err, err2)
		}, 2},
		"it was rejected first": {func(w *world, in statemachine.RunInput) error {
			err := w.versions.Await(ctx, in.Pipeline, in.Run, w.states.Token())
			at := w.sm.Decide(versionARN+"1", events.Rejected, "no")
			err2 := w.hearDecision(1, events.Rejected, at)()
			w.end(in, statemachine.ErrApprovalRejected)
			return errors.Join(err, err2)
		}, 2},
		"its run is still on the way to the wait": {func(*world, statemachine.RunInput) error { return nil }, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, in := registered(t)
			check(t, tt.before(w, in))
			at := w.sm.Decide(versionARN+"1", events.Approved, "yes")
			for range 3 {
				check(t, w.hearDecision(1, events.Approved, at)())
			}
			if got := w.states.Executions(); len(got) != tt.want {
				t.Fatalf("executions are %v, want %d", got, tt.want)
			}
			w.work()
			check(t, w.hearDecision(1, events.Approved, at)())
			w.work()
			serving, found, err := w.ledger.InService(ctx, "flights")
			check(t, err)
			if released := tt.want == 2; found != released || released && serving.Version != 1 || len(w.states.Executions()) != tt.want {
				t.Errorf("in service %v %+v after %v", found, serving, w.states.Executions())
			}
		})
	}
}

func TestExpireRespectsADecision(t *testing.T) {
	tests := map[string]struct {
		decide string // in the registry, whose event is not told yet
		want   string // error; "": approved
		after  string // approval
	}{
		"nobody decided":              {"", statemachine.ErrApprovalExpired, events.Rejected},
		"approved at the last moment": {events.Approved, "", events.Approved},
		"rejected at the last moment": {events.Rejected, statemachine.ErrApprovalRejected, events.Rejected},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, in := registered(t)
			token := w.states.Token()
			check(t, w.versions.Await(ctx, in.Pipeline, in.Run, token))
			w.states.Close(token)
			var at time.Time
			if tt.decide != "" {
				at = w.sm.Decide(versionARN+"1", tt.decide, "just in time")
			}
			for range 2 { // Step Functions may try again
				out, err := w.versions.Expire(ctx, in.Pipeline, in.Run)
				check(t, err)
				if out.Error != tt.want || out.Approved != (tt.want == "") {
					t.Errorf("expire gives %+v, want error %q", out, tt.want)
				}
			}
			if got := w.sm.Packages()[versionARN+"1"]; got != tt.after {
				t.Errorf("the version is %s, want %s", got, tt.after)
			}
			if tt.decide != "" {
				check(t, w.hearDecision(1, tt.decide, at)())
			}
			if got := w.states.Executions(); len(got) != 1 {
				t.Errorf("the late event starts %v", got)
			}
		})
	}
}

// TestBackToAVersionApprovedByPolicy: nobody waited for its approval, and it can
// still be gone back to.
func TestBackToAVersionApprovedByPolicy(t *testing.T) {
	w := newWorld(t, &ledgertest.Faults{})
	w.def.Approve.By = "policy"
	for _, key := range []string{"flights/raw/jan.csv", "flights/raw/feb.csv"} {
		check(t, w.hear(w.upload(key))())
		w.work()
	}
	w.decide(versionARN+"1", 1, events.Approved)
	w.work()
	serving, _, err := w.ledger.InService(ctx, "flights")
	check(t, err)
	if serving.Version != 1 || serving.Previous != 2 {
		t.Errorf("in service is %+v, want version 1 after 2:\n%s", serving, w.state())
	}
}

// TestAReleaseThatTriesAgainDoesNotUndoALaterOne.
func TestAReleaseThatTriesAgainDoesNotUndoALaterOne(t *testing.T) {
	w := newWorld(t, &ledgertest.Faults{})
	put := func(run, version int) ledger.Release {
		r, err := w.ledger.PutInService(ctx, "flights", ledger.InService{Run: run, Version: version, Model: "m"})
		check(t, err)
		return r
	}
	put(1, 1)
	first := put(2, 2)
	put(3, 1) // somebody goes back
	again := put(2, 2)
	serving, _, err := w.ledger.InService(ctx, "flights")
	check(t, err)
	if serving.Version != 1 || again != first || first != (ledger.Release{Run: 2, Version: 2, Previous: 1}) {
		t.Errorf("in service is %d, and the second try says %+v", serving.Version, again)
	}
}

// TestScoresAreMadeByTheVersionTheyWerePreparedFor: a release in the other lane
// comes between a run's two steps.
func TestScoresAreMadeByTheVersionTheyWerePreparedFor(t *testing.T) {
	w := newWorld(t, &ledgertest.Faults{})
	_, err := w.ledger.PutInService(ctx, "flights", ledger.InService{Run: 90, Version: 1, Model: "flights-v1", ModelData: "s3://b/v1.tar.gz"})
	check(t, err)
	check(t, w.hear(w.upload("flights/score/apr.csv"))())
	in := w.plan("flights-1")
	w.step(in, statemachine.StepPrepareScores)
	_, err = w.ledger.PutInService(ctx, "flights", ledger.InService{Run: 91, Version: 2, Model: "flights-v2", ModelData: "s3://b/v2.tar.gz"})
	check(t, err)
	w.step(in, statemachine.StepScore)
	prepared, _ := w.sm.Job("flights-1-prepare-scores-0")
	scored, _ := w.sm.Job("flights-1-score-0")
	if prepared.Inputs["model"] != "s3://b/v1.tar.gz" || scored.Inputs["model"] != "flights-v1" {
		t.Errorf("prepared for %s, scored by %s", prepared.Inputs["model"], scored.Inputs["model"])
	}
}

// TestWhatTheVersionInServiceLearnedFromIsGivenToJobs: a challenger is compared
// with what the champion learned from, and so are rows to be scored.
func TestWhatTheVersionInServiceLearnedFromIsGivenToJobs(t *testing.T) {
	w := newWorld(t, &ledgertest.Faults{})
	check(t, w.hear(w.upload("flights/raw/jan.csv"))())
	w.work()
	check(t, w.hear(w.upload("flights/raw/feb.csv"))())
	check(t, w.hear(w.upload("flights/score/apr.csv"))())
	w.work()
	serving, found, err := w.ledger.InService(ctx, "flights")
	check(t, err)
	if !found || !strings.HasSuffix(serving.Baseline, "/prepare/baseline/") {
		t.Fatalf("in service is %+v", serving)
	}
	first, evaluations, scorings := true, 0, 0
	for _, name := range w.sm.Jobs() {
		j, _ := w.sm.Job(name)
		switch {
		case strings.Contains(name, "-evaluate-"):
			evaluations++
			if own, champion := j.Inputs["baseline"], j.Inputs["champion-baseline"]; first != (own == "") || first != (champion == "") || !first && own == champion {
				t.Errorf("%s is given %q and %q", name, own, champion)
			}
			if j.Inputs["quality"] == "" {
				t.Errorf("%s is not given what preparation found", name)
			}
			first = false
		case strings.Contains(name, "-prepare-scores-"):
			scorings++
			if !strings.HasSuffix(j.Inputs["baseline"], "/prepare/baseline/") {
				t.Errorf("%s is given %q", name, j.Inputs["baseline"])
			}
		}
	}
	if evaluations != 2 || scorings != 1 {
		t.Errorf("%d evaluations and %d scorings", evaluations, scorings)
	}
}

// TestARunKeepsItsImage: a deployment in the middle of a run changes nothing for
// it, since its recipe names the image.
func TestARunKeepsItsImage(t *testing.T) {
	w, in := planned(t)
	w.steps.Image = "000000000000.dkr.ecr.us-east-1.amazonaws.com/millrace-worker@sha256:2222"
	w.step(in, statemachine.StepPrepare)
	w.step(in, statemachine.StepTrain)
	for _, name := range []string{"flights-1-prepare-0", "flights-1-train-0"} {
		if j, _ := w.sm.Job(name); j.Image != image {
			t.Errorf("%s runs %s, want %s", name, j.Image, image)
		}
	}
}

// TestRunsWithoutAPlanDoNotBeginForEver: when planning cannot work (a permission
// is missing, say) runs stop beginning by themselves, and a new upload begins one
// that carries everything.
func TestRunsWithoutAPlanDoNotBeginForEver(t *testing.T) {
	w := newWorld(t, &ledgertest.Faults{})
	check(t, w.hear(w.upload("flights/raw/jan.csv"))())
	for n := range 20 {
		names := w.states.Executions()
		name := ""
		for _, candidate := range names {
			if !w.driven[candidate] {
				name = candidate
			}
		}
		if name == "" {
			if n != 3 {
				t.Errorf("%d runs began, want 3", n)
			}
			break
		}
		w.driven[name] = true
		_, run, _ := ledger.ParseExecutionName(name)
		w.end(statemachine.RunInput{Pipeline: "flights", Run: run}, statemachine.ErrUnexpected)
	}
	check(t, w.hear(w.upload("flights/raw/feb.csv"))())
	w.work()
	if got := w.state(); !strings.Contains(got, "manifest train train [raw flights/raw/jan.csv raw flights/raw/feb.csv]") {
		t.Errorf("the next upload does not carry what waited:\n%s", got)
	}
}

// TestAMessageWithoutWhatTheStatesNeedIsAFailure: a Choice that looks for a fact
// in vain would end the execution where no Catch sees it.
func TestAMessageWithoutWhatTheStatesNeedIsAFailure(t *testing.T) {
	for name, exit := range map[string]string{"no promote": `{"ok":true,"why":"x"}`, "no why": `{"ok":true,"promote":true}`, "promote is text": `{"ok":true,"promote":"yes","why":"x"}`} {
		t.Run(name, func(t *testing.T) {
			w, in := planned(t)
			w.step(in, statemachine.StepPrepare)
			w.step(in, statemachine.StepTrain)
			w.outcome = func(_ *world, _ string, j *runstest.Job) { j.Exit = exit }
			if _, a := w.step(in, statemachine.StepEvaluate); a.Error != statemachine.ErrJobFailed {
				t.Errorf("the state was told %+v", a)
			}
		})
	}
}

// TestABrokenFileDoesNotStopLaterRuns, and is read anew when the rules change or
// a new version comes.
func TestABrokenFileDoesNotStopLaterRuns(t *testing.T) {
	w := newWorld(t, &ledgertest.Faults{})
	w.outcome = func(w *world, name string, j *runstest.Job) {
		if strings.Contains(name, "-prepare-") && strings.Contains(w.manifest(name), "bad.csv") && w.def.Data.MinimumRows == 0 {
			j.Exit = `{"ok":false,"error":"DataRejected","message":"bad","refused":["flights/raw/bad.csv"]}`
		}
	}
	check(t, w.hear(w.upload("flights/raw/bad.csv"))())
	w.work()
	check(t, w.hear(w.upload("flights/raw/good.csv"))())
	w.work()
	if got := w.state(); !strings.Contains(got, "of [flights/raw/good.csv], 1 left out") || !strings.Contains(got, "released 1") {
		t.Errorf("the good file was not learned from alone:\n%s", got)
	}
	w.def.Data.MinimumRows = 5
	check(t, w.hear(w.upload("flights/raw/more.csv"))())
	w.work()
	if got := w.state(); !strings.Contains(got, "of [flights/raw/bad.csv flights/raw/good.csv flights/raw/more.csv], 0 left out") {
		t.Errorf("other rules do not read the file anew:\n%s", got)
	}
}

func TestReviewsCountOnceAndInOrder(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	yes, no := events.ApprovalDecided{Pipeline: "flights", Version: 1, Decision: events.Approved, By: "ann", Comment: "fine"}, events.ApprovalDecided{Pipeline: "flights", Version: 1, Decision: events.Rejected, By: "bob"}
	type told struct {
		id string
		at time.Time
		d  events.ApprovalDecided
	}
	tests := map[string]struct {
		told []told
		want string
	}{
		"a yes":                        {[]told{{"1", at, yes}}, events.Approved},
		"a yes twice":                  {[]told{{"1", at, yes}, {"1", at, yes}}, events.Approved},
		"a yes, a no, the yes again":   {[]told{{"1", at, yes}, {"2", at.Add(time.Minute), no}, {"1", at, yes}}, events.Rejected},
		"a no, then an earlier yes":    {[]told{{"2", at.Add(time.Minute), no}, {"1", at, yes}}, events.Rejected},
		"a no and a yes in one second": {[]told{{"2", at, no}, {"1", at, yes}}, events.Rejected},
		"a no, then a later yes":       {[]told{{"2", at, no}, {"3", at.Add(time.Minute), yes}}, events.Approved},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w, _ := registered(t)
			for _, e := range tt.told {
				check(t, w.versions.Review(ctx, events.Envelope{ID: e.id, Time: e.at}, e.d))
			}
			if got := w.sm.Packages()[versionARN+"1"]; got != tt.want {
				t.Errorf("the version is %s, want %s", got, tt.want)
			}
		})
	}
	w, _ := registered(t)
	err := w.versions.Review(ctx, events.Envelope{ID: "1", Time: at}, events.ApprovalDecided{Pipeline: "flights", Version: 9, Decision: events.Approved, By: "ann"})
	if name, _ := statemachine.FailureName(err); name != statemachine.ErrInvalid {
		t.Errorf("a review of no version gives %v", err)
	}
}

func TestReviewSurvivesEveryCrash(t *testing.T) {
	for at := 1; at < 20; at++ {
		for _, after := range []bool{false, true} {
			f := &ledgertest.Faults{}
			w, _ := registered(t)
			w.faults, w.s3.Faults, w.sm.Faults = f, f, f
			f.At, f.After = at, after
			w.told("review", func() error {
				return w.versions.Review(ctx, events.Envelope{ID: "1", Time: w.clock}, events.ApprovalDecided{Pipeline: "flights", Version: 1, Decision: events.Approved, By: "ann"})
			})
			r, _, found, err := w.ledger.Review(ctx, "flights", 1)
			if err != nil && !errors.Is(err, ledgertest.ErrFault) || err == nil && (!found || !r.Applied || w.sm.Packages()[versionARN+"1"] != events.Approved) {
				t.Errorf("fault %d at %s, after %v: review %+v, %v", at, f.Met(), after, r, err)
			}
		}
	}
}

func TestDatasetsArePinned(t *testing.T) {
	const odd = "flights/raw/2001/Jan + Feb 100%?.csv"
	w := newWorld(t, &ledgertest.Faults{})
	w.s3.Page = 2
	for _, key := range []string{odd, "flights/raw/b.csv", "flights/raw/c.csv", "flights/raw/d.csv"} {
		check(t, w.hear(w.upload(key))())
	}
	w.s3.Upload(dataBucket, "flights/raw/folder/", nil)
	w.plan("flights-1")
	m, found, err := w.ledger.Run(ctx, "flights", 1)
	check(t, err)
	if !found || m.Recipe == nil || len(m.Recipe.Dataset) != 4 || m.Recipe.Dataset[0].Key != odd {
		t.Fatalf("manifest is %+v", m)
	}
	before := m.Recipe.Dataset[0]
	w.s3.Upload(dataBucket, odd, []byte("replaced"))
	if got := w.s3.Objects(ledgerBucket)[runs.ObjectsPrefix("flights")+before.Path]; got != "rows of "+odd {
		t.Errorf("the pinned copy is %q", got)
	}
}

// TestNamesThatNoFileCanHave: an object can be called what no file can. It is left
// out with its reason, and does not make every run's jobs fail.
func TestNamesThatNoFileCanHave(t *testing.T) {
	for _, folder := range []string{runs.RawFolder, runs.ScoreFolder} {
		w := newWorld(t, &ledgertest.Faults{})
		long := strings.Repeat("x", 300) + ".csv"
		for _, name := range []string{"..", "a/.", long, "a..csv", strings.Repeat("y", 196) + ".csv"} {
			check(t, w.hear(w.upload("flights/"+folder+"/"+name))())
		}
		if folder == runs.ScoreFolder {
			set, err := w.planner.Dataset.ClaimScores(ctx, flights(), 1)
			check(t, err)
			if len(set.Files) != 2 || set.Files[0].Key != "flights/score/a..csv" {
				t.Errorf("scored are %+v", set.Files)
			}
			continue
		}
		w.plan("flights-1")
		m, _, err := w.ledger.Run(ctx, "flights", 1)
		check(t, err)
		var left []string
		for _, f := range m.Left {
			left = append(left, f.Key+": "+f.Why)
		}
		if len(m.Recipe.Dataset) != 2 || len(left) != 3 || !strings.Contains(left[0], `no file can be called ".."`) || !strings.Contains(left[1], `no file can be called "."`) || !strings.Contains(left[2], "its name has 304 bytes") {
			t.Errorf("read are %+v, left out are %q", m.Recipe.Dataset, left)
		}
	}
}

// TestAVersionDeletedWhileItIsReadIsLookedForAgain.
func TestAVersionDeletedWhileItIsReadIsLookedForAgain(t *testing.T) {
	w := newWorld(t, &ledgertest.Faults{})
	e, d := w.upload("flights/raw/jan.csv")
	check(t, w.hear(e, d)())
	set := w.planner.Dataset
	files, _, err := set.Files(ctx, "flights", runs.RawFolder, "rules")
	check(t, err)
	w.s3.Erase(dataBucket, "flights/raw/jan.csv", d.Object.VersionID)
	if name, _ := statemachine.FailureName(set.Pin(ctx, "flights", files)); name != statemachine.ErrTransient {
		t.Errorf("the error is %q, want one that is tried again", name)
	}
}
