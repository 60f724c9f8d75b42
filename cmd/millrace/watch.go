package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"golang.org/x/sys/unix"

	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

type writer = io.Writer

// pollEvery is how often a watched run is looked at.
const pollEvery = 150 * time.Millisecond

func runWatch(ctx context.Context, c *cli, args []string) error {
	fs := c.cloudFlags("watch", "[RUN]", "Shows a run (PIPELINE/NUMBER; default: the newest, or the one about to begin) as it goes on,\na line a step, until it ends.")
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
		pipeline, run, err = s.newestRun(ctx)
	} else {
		err = s.began(ctx, pipeline, run)
	}
	if err != nil {
		return err
	}
	w := newWatcher(s, c.err)
	w.asks = true
	end, err := w.watch(ctx, pipeline, run, nil)
	if err != nil {
		return err
	}
	if end.Outcome == statemachine.OutcomeScored {
		end.Scores = s.ledger.URI(ledger.RunKey(pipeline, run, "scores")) + "/"
		c.say("  %-12s %s", end.Run, end.Scores)
	}
	if err := c.print(end, func(io.Writer) {}); err != nil {
		return err
	}
	if end.Status != types.ExecutionStatusSucceeded { // why is told already
		return &findingError{fmt.Sprintf("run %s failed (hint: millrace report %s, or millrace logs %s)", end.Run, end.Run, end.Run)}
	}
	return nil
}

// beginsWithin is how long after an upload its run begins at the latest, as a
// rule: who watches right after it means that one.
const beginsWithin = 3 * time.Second

// newestRun is the run that began last; while none is under way, one may be
// about to begin.
func (s *session) newestRun(ctx context.Context) (string, int, error) {
	for begun := time.Now(); ; {
		out, err := s.sfn.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: &s.stateMachine, MaxResults: 1})
		if err != nil {
			return "", 0, fmt.Errorf("list executions: %w", err)
		}
		found := len(out.Executions) > 0
		switch {
		case found && (out.Executions[0].Status == types.ExecutionStatusRunning || time.Since(begun) > beginsWithin):
			pipeline, run, ok := ledger.ParseExecutionName(aws.ToString(out.Executions[0].Name))
			if !ok {
				return "", 0, fmt.Errorf("the newest execution, %s, is no run", aws.ToString(out.Executions[0].Name))
			}
			return pipeline, run, nil
		case !found && time.Since(begun) > beginsWithin:
			return "", 0, fmt.Errorf("there is no run yet (hint: millrace upload %s FILE)", s.pipelines[0])
		}
		select {
		case <-ctx.Done():
			return "", 0, ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// ended is how a watched run ended.
type ended struct {
	Run     string                `json:"run"`
	Status  types.ExecutionStatus `json:"status"`
	Outcome string                `json:"outcome,omitempty"`
	Error   string                `json:"error,omitempty"`
	Cause   string                `json:"cause,omitempty"`
	Seconds float64               `json:"seconds"`
	Scores  string                `json:"scores,omitempty"` // where they are
}

// watcher prints a run's steps as its history grows.
type watcher struct {
	session *session
	out     io.Writer
	live    bool // a terminal: the line of the step under way is kept moving
	text    int  // columns for what a step found out, on a terminal
	shown   int64
	state   string          // the step under way
	since   time.Time       // when it began
	told    map[string]bool // the states whose waiting was told, where lines do not move
	name    string
	asks    bool // says how to decide on a version that waits
	version int  // what the run registered
}

// Columns of a watched step's line, beside its text: the run and the state
// before it, the time after it.
const (
	beforeText = 2 + 12 + 1 + 14 + 1
	afterText  = 1 + 6
	mostText   = 58
	leastText  = 20
)

func newWatcher(s *session, out io.Writer) *watcher {
	w := &watcher{session: s, out: out, text: mostText, told: map[string]bool{}}
	if width, ok := terminalWidth(out); ok {
		// One column stays free: a full line would wrap, and could not be taken back.
		w.live, w.text = true, max(leastText, min(mostText, width-beforeText-afterText-1))
	}
	return w
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
			w.ask(pipeline)
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
	e := ended{Run: w.name, Status: d.Status, Error: aws.ToString(d.Error), Cause: statemachine.PlainCause(aws.ToString(d.Cause))}
	if d.StopDate != nil && d.StartDate != nil {
		e.Seconds = d.StopDate.Sub(*d.StartDate).Seconds()
	}
	e.Outcome = outcome(d)
	verdict := "ended: " + e.Outcome
	if d.Status != types.ExecutionStatusSucceeded {
		verdict = strings.ToLower(strings.ReplaceAll(string(d.Status), "_", " ")) // TIMED_OUT
		for _, part := range []string{e.Error, firstLines(e.Cause)} {             // an execution that was stopped may have neither
			if part != "" {
				verdict += ": " + part
			}
		}
	}
	verdict = fmt.Sprintf("%s  (%s)", verdict, short(time.Duration(e.Seconds*float64(time.Second))))
	rows := []string{verdict}
	if w.live {
		rows = wrap(verdict, w.text+15) // from the column of the states on
	}
	fmt.Fprintf(w.out, "  %-12s %s\n", w.name, strings.Join(rows, "\n"+strings.Repeat(" ", 15)))
	return e
}

// outcome is what a run that succeeded came to.
func outcome(d *sfn.DescribeExecutionOutput) string {
	var out struct {
		Outcome string `json:"outcome"`
	}
	if json.Unmarshal([]byte(aws.ToString(d.Output)), &out) != nil { // it has none unless it succeeded
		return ""
	}
	return out.Outcome
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
	if d := e.StateEnteredEventDetails; d != nil {
		w.state, w.since = aws.ToString(d.Name), at
		// Once each: a run that is being settled waits and looks again, many times.
		if what := waitsFor(w.state); what != "" && !w.live && !w.told[w.state] {
			w.told[w.state] = true
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
			w.line(name, told, short(at.Sub(w.since)))
		}
		if name == statemachine.StateRegister {
			w.version = registered(aws.ToString(d.Output))
		}
		w.state = ""
	}
}

// line tells what a state found out. On a terminal a long text goes on below
// itself; elsewhere a state is a line, as grep likes it.
func (w *watcher) line(state, told, took string) {
	rows := []string{visible(told)}
	if w.live {
		rows = wrap(rows[0], w.text)
	}
	fmt.Fprintf(w.out, "  %-12s %-14s %-*s %6s\n", w.name, state, w.text, rows[0], took)
	for _, row := range rows[1:] {
		fmt.Fprintf(w.out, "%*s%s\n", beforeText, "", row)
	}
}

// wrap breaks a text between words into rows of at most width characters; a
// longer word has a row of its own.
func wrap(text string, width int) []string {
	var rows []string
	row := ""
	for _, word := range strings.Fields(text) {
		switch {
		case row == "":
			row = word
		case utf8.RuneCountInString(row)+1+utf8.RuneCountInString(word) <= width:
			row += " " + word
		default:
			rows, row = append(rows, row), word
		}
	}
	return append(rows, row)
}

// ask says, once, how to decide on the version that waits.
func (w *watcher) ask(pipeline string) {
	if !w.asks || w.state != statemachine.StateAwaitApproval || w.version == 0 {
		return
	}
	w.asks = false
	w.clear()
	fmt.Fprintf(w.out, "  %-12s %-14s millrace report %s, then millrace approve %s/%d (or reject)\n", w.name, w.state, w.name, pipeline, w.version)
}

// tick keeps the line of the step under way moving on a terminal.
func (w *watcher) tick() {
	if what := waitsFor(w.state); w.live && what != "" {
		fmt.Fprintf(w.out, "\r\x1b[2K  %-12s %-14s %-*s %6s", w.name, w.state, w.text, oneLine(what+" …", w.text), short(max(0, time.Since(w.since))))
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
			return "" // more uploads came: it waits again
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
		if strings.HasPrefix(o.Approval.Comment, "approved") { // as `millrace approve` writes it
			return o.Approval.Comment
		}
		return strings.TrimSuffix("approved: "+o.Approval.Comment, ": ")
	case statemachine.StateRelease:
		return fmt.Sprintf("version %d is in service", o.Release.Version)
	case statemachine.StatePrepareScores:
		return job(o.PrepareScores, facts(o.PrepareScores, "rows"))
	case statemachine.StateScore:
		return job(o.Score, "scored")
	}
	return ""
}

// registered is the version that a run registered, 0 for none.
func registered(output string) int {
	var o struct {
		Package statemachine.PackageOutput `json:"package"`
	}
	if json.Unmarshal([]byte(output), &o) != nil {
		return 0
	}
	return o.Package.Version
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

// terminalWidth is the columns of the terminal that w is, if it is one that can
// take a line back.
func terminalWidth(w io.Writer) (columns int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || os.Getenv("TERM") == "dumb" {
		return 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	if size.Col == 0 { // some say nothing of their size
		return 80, true
	}
	return int(size.Col), true
}
