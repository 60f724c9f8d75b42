package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// badInput is the definition of the tests of what goes wrong.
const badInput = "testdata/badinput.yaml"

// trouble is a cloud in which things go wrong.
type trouble struct {
	*testCloud
	clock *jumpClock
	bin   string
	runs  int // the newest run that the test has seen
}

// newTrouble starts a cloud with the definition badInput, edited by (old, new)
// pairs of text.
func newTrouble(t *testing.T, edits ...string) *trouble {
	t.Helper()
	raw, err := os.ReadFile(badInput)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			t.Fatalf("%s does not say %q", badInput, edits[i])
		}
		text = strings.Replace(text, edits[i], edits[i+1], 1)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "pipeline.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	bin, err := newBin(dir, file)
	if err != nil {
		t.Fatal(err)
	}
	faulty(t, bin)
	k := &jumpClock{}
	return &trouble{testCloud: serveCloud(t, cloudOptions{bin: bin, clock: k}), clock: k, bin: bin}
}

// upload puts a file of rows to learn from.
func (c *trouble) upload(raw []byte, name string) string {
	c.t.Helper()
	return c.uploadBytes(raw, pipeline+"/raw/"+name)
}

// next waits for the run that the test has caused, and gives its number. There
// can be gaps between numbers.
func (c *trouble) next() int {
	c.t.Helper()
	c.await(fmt.Sprintf("a run begins after run %d", c.runs), func() bool {
		out, err := c.sfn.ListExecutions(c.t.Context(), &sfn.ListExecutionsInput{StateMachineArn: &c.stateMachine})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, e := range slices.Backward(out.Executions) { // the newest comes first
			if _, n, ok := ledger.ParseExecutionName(*e.Name); ok && n > c.runs {
				c.runs = n
				return true
			}
		}
		return false
	})
	return c.runs
}

// fails waits until a run has failed by an error, and holds everything that is
// told of it against the texts that must be in it.
func (c *trouble) fails(n int, name string, texts ...string) {
	c.t.Helper()
	end := c.waitRun(n)
	if end.Status != types.ExecutionStatusFailed || end.Error != name {
		c.t.Fatalf("run %d ended as %+v, want %s", n, end, name)
	}
	if path := c.path(n); path[len(path)-1] != statemachine.StateRunFailed {
		c.t.Errorf("run %d ended in %v", n, path)
	}
	contains(c.t, "cause", end.Cause, texts...)
	var told events.RunFailed
	if err := json.Unmarshal(c.tell(events.TypeRunFailed, n), &told); err != nil {
		c.t.Fatal(err)
	}
	if told.Pipeline != pipeline || told.Error != name || told.Cause != end.Cause {
		c.t.Errorf("event says %+v, the execution %+v", told, end)
	}
	code, _, talk := c.millrace("watch", fmt.Sprintf("%s/%d", pipeline, n))
	if code != 3 {
		c.t.Errorf("millrace watch: exit code %d\n%s", code, talk)
	}
	contains(c.t, "millrace watch", talk, append([]string{name}, texts...)...)
	contains(c.t, "report", c.page(n), texts...)
}

// completes waits until a run has ended as it should, with one of the outcomes.
func (c *trouble) completes(n int, outcomes ...string) {
	c.t.Helper()
	end := c.waitRun(n)
	if end.Status != types.ExecutionStatusSucceeded || !slices.Contains(outcomes, end.Outcome) {
		c.t.Fatalf("run %d ended as %+v, want one of %v", n, end, outcomes)
	}
	var told events.RunCompleted
	if err := json.Unmarshal(c.tell(events.TypeRunCompleted, n), &told); err != nil {
		c.t.Fatal(err)
	}
	if told.Outcome != end.Outcome {
		c.t.Errorf("event says %+v, the execution %+v", told, end)
	}
	if c.page(n) == "" {
		c.t.Errorf("the report of run %d is empty", n)
	}
}

// trains waits until a run has trained, whatever the gate made of the model.
func (c *trouble) trains(n int) {
	c.t.Helper()
	c.completes(n, statemachine.OutcomeReleased, statemachine.OutcomeRefused)
}

// goodRows are of the file that recovers uploads: enough for a model to pass the gate.
const goodRows = 600

// recovers uploads good rows, others each time, and sees them trained from.
func (c *trouble) recovers() {
	c.t.Helper()
	raw := flightRows(goodRows, 2)
	c.upload(edited(c.t, raw, "\n200102-000001,", fmt.Sprintf("\n200102-after-%d,", c.runs)), "good.csv")
	c.trains(c.next())
}

// tell gives the detail of the event of that type that tells of a run.
func (c *trouble) tell(detailType string, n int) json.RawMessage {
	c.t.Helper()
	return c.awaitMatching(detailType, regexp.MustCompile(fmt.Sprintf(`"run":%d\b`, n))).Detail
}

// page is what `millrace report` writes for a run, as a person reads it.
func (c *trouble) page(n int) string {
	c.t.Helper()
	file := filepath.Join(c.t.TempDir(), "report.html")
	if code, _, talk := c.millrace("report", "-o", file, fmt.Sprintf("%s/%d", pipeline, n)); code != 0 {
		c.t.Fatalf("millrace report: exit code %d\n%s", code, talk)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		c.t.Fatal(err)
	}
	return html.UnescapeString(string(raw))
}

// millrace runs a command of the tool against the cloud.
func (c *trouble) millrace(args ...string) (code int, out, talk string) {
	c.t.Helper()
	var o, e bytes.Buffer
	code = run(context.WithoutCancel(c.t.Context()), append([]string{args[0], "--endpoint", c.up.endpoint}, args[1:]...), &o, &e)
	return code, o.String(), e.String()
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s does not say %q:\n%.2000s", what, p, text[max(0, strings.Index(text, "<body>")):])
		}
	}
}

// edited is text with one place replaced; it fails when there is no such place.
func edited(t *testing.T, raw []byte, old, with string) []byte {
	t.Helper()
	if !bytes.Contains(raw, []byte(old)) {
		t.Fatalf("the rows do not hold %q", old)
	}
	return bytes.Replace(raw, []byte(old), []byte(with), 1)
}
