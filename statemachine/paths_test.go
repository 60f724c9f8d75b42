package statemachine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/statemachine"
)

const lambda = "arn:aws:lambda:us-east-1:000000000000:function:"

// answers is what each task's calls come to, by state, one after the other; the
// last one stands for all that follow.
type answers map[string][]answer

// answer is a result, an error, or silence.
type answer struct {
	result any
	err    string
	silent bool
}

func ok(v any) []answer         { return []answer{{result: v}} }
func failing(e string) []answer { return []answer{{err: e}} }
func with(a answers, b answers) answers {
	out := answers{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		out[k] = v
	}
	return out
}

func snapshot(kind, approve string) statemachine.SnapshotOutput {
	return statemachine.SnapshotOutput{Settled: true, Seen: 1, Kind: kind, Why: "1 upload", ApproveBy: approve, Timeouts: map[string]int{
		"prepare": 7200, "train": 7200, "evaluate": 7200, "prepare_scores": 7200, "score": 7200, "approval": 604800}}
}

func step(facts map[string]any) statemachine.StepOutput {
	return statemachine.StepOutput{Job: "flights-1-x-0", Facts: facts}
}

// well is a training run in which everything goes well.
func well() answers {
	return answers{
		"Snapshot": ok(snapshot(statemachine.KindTrain, "person")), "Started": ok(map[string]any{"FailedEntryCount": 0}),
		"Prepare": ok(step(map[string]any{"rows": 100})), "Train": ok(step(map[string]any{})), "Evaluate": ok(step(map[string]any{"promote": true, "why": "better"})),
		"Register":        ok(statemachine.PackageOutput{ARN: "arn:aws:sagemaker:us-east-1:000000000000:model-package/flights/3", Version: 3, Report: "s3://b/r.html"}),
		"RequestApproval": ok(map[string]any{}), "AwaitApproval": ok(map[string]any{"approval": "Approved"}),
		"Expire":   ok(statemachine.ExpireOutput{Error: statemachine.ErrApprovalExpired, Cause: "nobody decided"}),
		"Release":  ok(statemachine.ReleaseOutput{Version: 3, Model: "flights-v3", Previous: 2, Score: true}),
		"Released": ok(map[string]any{}), "PrepareScores": ok(step(map[string]any{"rows": 5})), "Score": ok(step(map[string]any{})),
		"Completed": ok(map[string]any{}), "Failed": ok(map[string]any{}),
	}
}

// ran is what became of an execution.
type ran struct {
	status asl.Status
	path   []string
	err    string
	cause  string
	calls  map[string][]string // inputs of the calls, by state
	took   time.Duration
}

// run runs the definition in virtual time.
func run(t *testing.T, lane string, a answers) ran {
	t.Helper()
	source := strings.NewReplacer("${"+statemachine.SubstSnapshot+"}", lambda+"snapshot", "${"+statemachine.SubstStartJob+"}", lambda+"startjob",
		"${"+statemachine.SubstRegister+"}", lambda+"register", "${"+statemachine.SubstEventBus+"}", "default").Replace(statemachine.Definition)
	m, err := asl.Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	input, err := json.Marshal(statemachine.RunInput{Pipeline: "flights", Run: 1, Lane: lane, Quiet: 60, Snapshot: statemachine.SettledSoFar{Seen: 1}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	next := func() string { n++; return fmt.Sprintf("id-%d", n) }
	x, err := asl.NewExecution(m, asl.Info{ARN: "arn:aws:states:us-east-1:000000000000:execution:m:flights-1", Name: "flights-1", MachineARN: "arn:aws:states:us-east-1:000000000000:stateMachine:m",
		MachineName: "m", RoleARN: "arn:aws:iam::000000000000:role/r", Region: "us-east-1", Started: start}, string(input),
		asl.Sources{TaskID: func(string) string { return next() }, UUID: next, Rand: func() float64 { return 0.5 }})
	if err != nil {
		t.Fatal(err)
	}
	r := ran{calls: map[string][]string{}}
	now := start
	x.Begin(now)
	for range 10_000 {
		p := x.Take()
		for _, e := range p.Events {
			if strings.HasSuffix(e.Type, "StateEntered") {
				r.path = append(r.path, e.Name)
			}
		}
		if x.Status() != asl.Running {
			break
		}
		for _, c := range p.Calls {
			state := c.State
			r.calls[state] = append(r.calls[state], c.Parameters)
			list := a[state]
			if len(list) == 0 {
				t.Fatalf("state %s calls %v, which no test expects", state, c)
			}
			o := list[min(len(r.calls[state]), len(list))-1]
			var err error
			switch {
			case o.silent:
			case o.err != "":
				err = x.Fail(now, c.ID, asl.Failure{Error: o.err, Cause: "because of " + o.err})
			default:
				raw, _ := json.Marshal(o.result)
				err = x.Succeed(now, c.ID, string(raw))
			}
			if err != nil && !errors.Is(err, asl.ErrNoSuchTask) {
				t.Fatal(err)
			}
		}
		if len(p.Calls) > 0 {
			continue
		}
		at, waits := x.NextDue()
		if !waits {
			t.Fatalf("the execution waits for nothing after %v", r.path)
		}
		now = at
		x.Due(now)
	}
	r.status, r.took = x.Status(), now.Sub(start)
	if f := x.Failure(); f != nil {
		r.err, r.cause = f.Error, f.Cause
	}
	return r
}

var (
	training = []string{"Settle", "Snapshot", "IsSettled", "Started", "IsNew", "Prepare", "Train", "Evaluate", "Gate"}
	approval = []string{"Register", "NeedsPerson", "RequestApproval", "AwaitApproval"}
	release  = []string{"Release", "Released", "IsScoring"}
	scoring  = []string{"PrepareScores", "HasRows", "Score", "Scored"}
	done     = []string{"Completed", "Done"}
	failed   = []string{"HasCause", "Failed", "RunFailed"}
	timedOut = []string{"HasCause", "NoCause", "Failed", "RunFailed"}
)

func until(path []string, last string) []string { return path[:slices.Index(path, last)+1] }

func TestPathsOfRunsThatEndWell(t *testing.T) {
	begin := training[:5]
	tests := map[string]struct {
		lane    string
		answers answers
		want    [][]string
		outcome string
	}{
		"training, with rows to score": {"train", nil, [][]string{training, approval, release, scoring, done}, statemachine.OutcomeScored},
		"training, nothing to score":   {"train", answers{"Release": ok(statemachine.ReleaseOutput{Version: 3, Model: "m"})}, [][]string{training, approval, release, {"ReleasedOnly"}, done}, statemachine.OutcomeReleased},
		"approved by policy":           {"train", answers{"Snapshot": ok(snapshot(statemachine.KindTrain, "policy"))}, [][]string{training, approval[:2], release, scoring, done}, statemachine.OutcomeScored},
		"refused by the gate":          {"train", answers{"Evaluate": ok(step(map[string]any{"promote": false, "why": "worse"}))}, [][]string{training, {"Refused"}, done}, statemachine.OutcomeRefused},
		"nothing new":                  {"train", answers{"Snapshot": ok(snapshot(statemachine.KindNothing, "person"))}, [][]string{begin, {"NothingNew"}, done}, statemachine.OutcomeNothingNew},
		"scores, no model yet":         {"serve", answers{"Snapshot": ok(snapshot(statemachine.KindNoModel, "person"))}, [][]string{begin, {"NoModel"}, done}, statemachine.OutcomeNoModel},
		"scores":                       {"serve", answers{"Snapshot": ok(snapshot(statemachine.KindScore, "person"))}, [][]string{begin, scoring, done}, statemachine.OutcomeScored},
		"scores without a row": {"serve", answers{"Snapshot": ok(snapshot(statemachine.KindScore, "person")), "PrepareScores": ok(step(map[string]any{"rows": 0}))},
			[][]string{begin, {"PrepareScores", "HasRows", "Scored"}, done}, statemachine.OutcomeScored},
		"back to an older version": {"serve", answers{"Snapshot": ok(snapshot(statemachine.KindRelease, "person")), "Release": ok(statemachine.ReleaseOutput{Version: 1, Model: "m", Previous: 3})},
			[][]string{begin, release, {"ReleasedOnly"}, done}, statemachine.OutcomeReleased},
		"uploads go on for two rounds": {"train", answers{"Snapshot": {{result: statemachine.SnapshotOutput{Seen: 2, Round: 1}}, {result: statemachine.SnapshotOutput{Seen: 5, Round: 2}}, {result: snapshot(statemachine.KindNothing, "person")}}},
			[][]string{begin[:3], begin[:3], begin, {"NothingNew"}, done}, statemachine.OutcomeNothingNew},
		"approved while the wait ran out": {"train", answers{"AwaitApproval": {{silent: true}}, "Expire": ok(statemachine.ExpireOutput{Approved: true})},
			[][]string{training, approval, {"Expire", "HasExpired"}, release, scoring, done}, statemachine.OutcomeScored},
		"a job that the platform interrupted twice": {"train", answers{"Train": {{err: statemachine.ErrJobInterrupted}, {err: statemachine.ErrJobInterrupted}, {result: step(nil)}}},
			[][]string{training, approval, release, scoring, done}, statemachine.OutcomeScored},
		"a function that met passing trouble": {"train", answers{"Register": append(failing(statemachine.ErrTransient), well()["Register"]...), "Prepare": append(failing("Lambda.TooManyRequestsException"), well()["Prepare"]...)},
			[][]string{training, approval, release, scoring, done}, statemachine.OutcomeScored},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := run(t, tt.lane, with(well(), tt.answers))
			if want := slices.Concat(tt.want...); r.status != asl.Succeeded || !slices.Equal(r.path, want) {
				t.Errorf("%v, %s %s\ngot  %v\nwant %v", r.status, r.err, r.cause, r.path, want)
			}
			if in := strings.Join(r.calls["Completed"], ""); !strings.Contains(in, `"outcome":"`+tt.outcome+`"`) || !strings.Contains(in, `"Run Completed"`) {
				t.Errorf("published %s, want outcome %s", in, tt.outcome)
			}
		})
	}
}

// TestALostAnswerIsAskedForAgain: when the end of a job is never told, the state
// begins once more, which finds the job at its end.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	calm := run(t, "train", well())
	for _, state := range []string{"Prepare", "Train", "Evaluate", "PrepareScores", "Score"} {
		a := well()
		r := run(t, "train", with(a, answers{state: append([]answer{{silent: true}}, a[state]...)}))
		if r.status != asl.Succeeded || !slices.Equal(r.path, calm.path) || r.took != calm.took+2*time.Hour+time.Second || len(r.calls[state]) != 2 {
			t.Errorf("%s: %v with %s after %s and %d calls\ngot  %v\nwant %v", state, r.status, r.err, r.took, len(r.calls[state]), r.path, calm.path)
		}
	}
}

func TestPathsOfRunsThatFail(t *testing.T) {
	path := slices.Concat(training, approval, release, scoring, done)
	type test struct {
		answers answers
		want    []string
		err     string
	}
	tests := map[string]test{}
	for _, state := range []string{"Snapshot", "Started", "Prepare", "Train", "Evaluate", "Register", "RequestApproval", "AwaitApproval", "Release", "Released", "PrepareScores", "Score", "Completed"} {
		for _, e := range []string{statemachine.ErrDataRejected, statemachine.ErrUnexpected, "Lambda.Unknown", "States.Timeout"} {
			if state == "AwaitApproval" && e == "States.Timeout" {
				continue // is the next but one
			}
			tests[state+" fails with "+e] = test{answers{state: failing(e)}, append(slices.Clone(until(path, state)), failed...), e}
		}
	}
	for _, state := range []string{"Prepare", "Train", "Evaluate", "PrepareScores", "Score"} {
		tests[state+" is never answered"] = test{answers{state: {{silent: true}}}, append(slices.Clone(until(path, state)), timedOut...), "States.Timeout"}
		tests[state+" is interrupted again and again"] = test{answers{state: failing(statemachine.ErrJobInterrupted)}, append(slices.Clone(until(path, state)), failed...), statemachine.ErrJobInterrupted}
	}
	wait := until(path, "AwaitApproval")
	tests["rejected"] = test{answers{"AwaitApproval": failing(statemachine.ErrApprovalRejected)}, append(slices.Clone(wait), failed...), statemachine.ErrApprovalRejected}
	tests["nobody decides"] = test{answers{"AwaitApproval": {{silent: true}}}, slices.Concat(wait, []string{"Expire", "HasExpired"}, failed[1:]), statemachine.ErrApprovalExpired}
	tests["nobody decides, and rejecting fails"] = test{answers{"AwaitApproval": {{silent: true}}, "Expire": failing(statemachine.ErrUnexpected)}, slices.Concat(wait, []string{"Expire"}, failed), statemachine.ErrUnexpected}
	tests["the failure cannot be published"] = test{answers{"Train": failing(statemachine.ErrJobFailed), "Failed": failing("EventBridge.FailedEntry")}, append(slices.Clone(until(path, "Train")), failed...), statemachine.ErrJobFailed}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := run(t, "train", with(well(), tt.answers))
			if r.status != asl.Failed || r.err != tt.err || !slices.Equal(r.path, tt.want) {
				t.Errorf("%v with %s (%s)\ngot  %v\nwant %v", r.status, r.err, r.cause, r.path, tt.want)
			}
			if in := strings.Join(r.calls["Failed"], ""); !strings.Contains(in, `"error":"`+tt.err+`"`) || !strings.Contains(in, `"Run Failed"`) {
				t.Errorf("published %s, want error %s", in, tt.err)
			}
		})
	}
}

// TestRetriesAreCounted: a state gives up after the tries that the definition allows.
func TestRetriesAreCounted(t *testing.T) {
	tests := map[string]struct {
		state, err string
		want       int
	}{
		"a job the platform interrupts":   {"Train", statemachine.ErrJobInterrupted, 3},
		"a function's passing trouble":    {"Register", statemachine.ErrTransient, 4},
		"a job that failed by itself":     {"Train", statemachine.ErrJobFailed, 1},
		"data that broke a rule":          {"Prepare", statemachine.ErrDataRejected, 1},
		"an event that is not taken":      {"Started", "EventBridge.FailedEntry", 6},
		"a reviewer's no":                 {"AwaitApproval", statemachine.ErrApprovalRejected, 1},
		"a bug or a missing permission":   {"Snapshot", statemachine.ErrUnexpected, 1},
		"a token that nobody can be told": {"Prepare", statemachine.ErrTransient, 4},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := run(t, "train", with(well(), answers{tt.state: failing(tt.err)}))
			if got := len(r.calls[tt.state]); got != tt.want {
				t.Errorf("%s was tried %d times, want %d", tt.state, got, tt.want)
			}
		})
	}
}

// TestWaitsAreBounded: the quiet period and the time for an approval are those
// of the run's input and plan.
func TestWaitsAreBounded(t *testing.T) {
	quiet := run(t, "train", with(well(), answers{"Snapshot": ok(snapshot(statemachine.KindNothing, "person"))}))
	if quiet.took != time.Minute {
		t.Errorf("the quiet period took %v, want 1m", quiet.took)
	}
	expired := run(t, "train", with(well(), answers{"AwaitApproval": {{silent: true}}}))
	if want := time.Minute + 168*time.Hour; expired.took != want {
		t.Errorf("the run that nobody approved took %v, want %v", expired.took, want)
	}
}
