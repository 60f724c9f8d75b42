package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

type writer = io.Writer

// pollEvery is how often a watched run is looked at.
const pollEvery = 150 * time.Millisecond

func runWatch(ctx context.Context, c *cli, args []string) error {
	fs := c.flags("watch", "[RUN]", "Shows a run (PIPELINE/NUMBER; default: the newest) as it goes on, a line a step, until it ends.")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return &usageError{"one run at a time"}
	}
	var pipeline string
	var run int
	if len(rest) == 1 {
		if pipeline, run, err = splitRef(rest[0]); err != nil {
			return err
		}
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		if pipeline, run, err = s.newestRun(ctx); err != nil {
			return err
		}
	}
	w := &watcher{session: s, out: c.err, live: isTerminal(c.err)}
	end, err := w.watch(ctx, pipeline, run, nil)
	if err != nil {
		return err
	}
	if err := c.print(end, func(io.Writer) {}); err != nil {
		return err
	}
	if end.Status != types.ExecutionStatusSucceeded {
		return &findingError{fmt.Sprintf("run %s/%d ended as %s: %s: %s", pipeline, run, end.Status, end.Error, end.Cause)}
	}
	return nil
}

// newestRun is the run that began last.
func (s *session) newestRun(ctx context.Context) (string, int, error) {
	out, err := s.sfn.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &s.stateMachine, MaxResults: 1})
	if err != nil {
		return "", 0, fmt.Errorf("list executions: %w", err)
	}
	if len(out.Executions) == 0 {
		return "", 0, fmt.Errorf("there is no run yet (hint: millrace upload %s FILE)", s.pipelines[0])
	}
	pipeline, run, ok := ledger.ParseExecutionName(aws.ToString(out.Executions[0].Name))
	if !ok {
		return "", 0, fmt.Errorf("the newest execution, %s, is no run", aws.ToString(out.Executions[0].Name))
	}
	return pipeline, run, nil
}

func executionARN(stateMachine, name string) string {
	return strings.Replace(stateMachine, ":stateMachine:", ":execution:", 1) + ":" + name
}

// ended is how a watched run ended.
type ended struct {
	Run     string                `json:"run"`
	Status  types.ExecutionStatus `json:"status"`
	Outcome string                `json:"outcome,omitempty"`
	Error   string                `json:"error,omitempty"`
	Cause   string                `json:"cause,omitempty"`
	Seconds float64               `json:"seconds"`
}

// watcher prints a run's steps as its history grows.
type watcher struct {
	session *session
	out     io.Writer
	live    bool // a terminal: the line of the step under way is kept moving
	shown   int64
	state   string    // the step under way
	since   time.Time // when it began
	begun   time.Time // when the run began
	name    string
}

// watch follows a run to its end. onState is told each state as it is entered.
func (w *watcher) watch(ctx context.Context, pipeline string, run int, onState func(state string)) (ended, error) {
	arn := w.session.executionARN(pipeline, run)
	w.name = fmt.Sprintf("%s/%d", pipeline, run)
	for {
		d, err := w.session.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: &arn})
		if err != nil && !awserr.IsNotFound(err) {
			return ended{}, fmt.Errorf("describe run %s: %w", w.name, err)
		}
		if err == nil {
			if err := w.catchUp(ctx, arn, onState); err != nil {
				return ended{}, err
			}
			if d.Status != types.ExecutionStatusRunning && d.Status != types.ExecutionStatusPendingRedrive {
				return w.end(d), nil
			}
			w.tick()
		}
		select {
		case <-ctx.Done():
			return ended{}, ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

func (w *watcher) end(d *sfn.DescribeExecutionOutput) ended {
	w.clear()
	e := ended{Run: w.name, Status: d.Status, Error: aws.ToString(d.Error), Cause: aws.ToString(d.Cause)}
	if d.StopDate != nil && d.StartDate != nil {
		e.Seconds = d.StopDate.Sub(*d.StartDate).Seconds()
	}
	var out struct {
		Outcome string `json:"outcome"`
	}
	if json.Unmarshal([]byte(aws.ToString(d.Output)), &out) == nil {
		e.Outcome = out.Outcome
	}
	verdict := "ended: " + e.Outcome
	if d.Status != types.ExecutionStatusSucceeded {
		verdict = fmt.Sprintf("%s: %s: %s", strings.ToLower(string(d.Status)), e.Error, firstLines(e.Cause))
	}
	fmt.Fprintf(w.out, "  %-12s %s  (%s)\n", w.name, verdict, short(time.Duration(e.Seconds*float64(time.Second))))
	return e
}

// catchUp shows what is new in the history.
func (w *watcher) catchUp(ctx context.Context, arn string, onState func(string)) error {
	in := &sfn.GetExecutionHistoryInput{ExecutionArn: &arn, MaxResults: 1000, IncludeExecutionData: aws.Bool(true)}
	for {
		out, err := w.session.sfn.GetExecutionHistory(ctx, in)
		if err != nil {
			return fmt.Errorf("read history of %s: %w", w.name, err)
		}
		for _, e := range out.Events {
			if e.Id > w.shown {
				w.shown = e.Id
				w.event(e, onState)
			}
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return nil
		}
	}
}

func (w *watcher) event(e types.HistoryEvent, onState func(string)) {
	at := aws.ToTime(e.Timestamp)
	if e.Type == types.HistoryEventTypeExecutionStarted {
		w.begun = at
	}
	if d := e.StateEnteredEventDetails; d != nil {
		w.state, w.since = aws.ToString(d.Name), at
		if what := waitsFor(w.state); what != "" && !w.live {
			fmt.Fprintf(w.out, "  %-12s %-14s %s …\n", w.name, w.state, what)
		}
		if onState != nil {
			onState(w.state)
		}
	}
	if d := e.StateExitedEventDetails; d != nil {
		name := aws.ToString(d.Name)
		if told := tell(name, aws.ToString(d.Output)); told != "" {
			w.clear()
			fmt.Fprintf(w.out, "  %-12s %-14s %-58s %6s\n", w.name, name, told, short(at.Sub(w.since)))
		}
		w.state = ""
	}
}

// tick keeps the line of the step under way moving on a terminal.
func (w *watcher) tick() {
	if what := waitsFor(w.state); w.live && what != "" {
		fmt.Fprintf(w.out, "\r\x1b[2K  %-12s %-14s %-58s %6s", w.name, w.state, what+" …", short(time.Since(w.since)))
	}
}

func (w *watcher) clear() {
	if w.live {
		fmt.Fprint(w.out, "\r\x1b[2K")
	}
}

// waitsFor says what a state waits for; "" for those that pass at once.
func waitsFor(state string) string {
	return map[string]string{
		statemachine.StateSettle:        "waits for more uploads",
		statemachine.StateSnapshot:      "pins the dataset",
		statemachine.StatePrepare:       "checks and splits the data",
		statemachine.StateTrain:         "trains",
		statemachine.StateEvaluate:      "evaluates",
		statemachine.StateAwaitApproval: "waits for a reviewer",
		statemachine.StatePrepareScores: "checks the rows to score",
		statemachine.StateScore:         "scores",
	}[state]
}

// tell says what a state found out, from its output; "" for those nobody asks about.
func tell(state, output string) string {
	var o struct {
		Snapshot struct {
			Settled bool   `json:"settled"`
			Kind    string `json:"kind"`
			Why     string `json:"why"`
		} `json:"snapshot"`
		Prepare, Train, Evaluate, Score statemachine.StepOutput
		PrepareScores                   statemachine.StepOutput    `json:"prepare_scores"`
		Package                         statemachine.PackageOutput `json:"package"`
		Release                         statemachine.ReleaseOutput `json:"release"`
		Approval                        struct {
			Comment string `json:"comment"`
		} `json:"approval"`
	}
	if json.Unmarshal([]byte(output), &o) != nil {
		return ""
	}
	switch state {
	case statemachine.StateSnapshot:
		if !o.Snapshot.Settled {
			return "more uploads came"
		}
		return o.Snapshot.Kind + ": " + o.Snapshot.Why
	case statemachine.StatePrepare:
		return job(o.Prepare, facts(o.Prepare, "rows", "train_rows", "validation_rows", "test_rows"))
	case statemachine.StateTrain:
		return job(o.Train, "a model and its baseline")
	case statemachine.StateEvaluate:
		why, _ := o.Evaluate.Facts["why"].(string)
		return job(o.Evaluate, why)
	case statemachine.StateRegister:
		return fmt.Sprintf("version %d", o.Package.Version)
	case statemachine.StateAwaitApproval:
		return "approved: " + o.Approval.Comment
	case statemachine.StateRelease:
		return fmt.Sprintf("version %d is in service", o.Release.Version)
	case statemachine.StatePrepareScores:
		return job(o.PrepareScores, facts(o.PrepareScores, "rows"))
	case statemachine.StateScore:
		return job(o.Score, "scored")
	}
	return ""
}

func job(o statemachine.StepOutput, what string) string {
	if o.Reused {
		what += " (known from an earlier run)"
	}
	return what
}

func facts(o statemachine.StepOutput, names ...string) string {
	var parts []string
	for _, n := range names {
		if v, ok := o.Facts[n].(float64); ok {
			parts = append(parts, fmt.Sprintf("%s %s", grouped(int64(v)), strings.ReplaceAll(n, "_", " ")))
		}
	}
	return strings.Join(parts, ", ")
}

// grouped writes 313016 as 313,016.
func grouped(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short writes a duration as a person reads it at a glance.
func short(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func firstLines(s string) string {
	if len(s) > 600 {
		return s[:600] + "…"
	}
	return s
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
