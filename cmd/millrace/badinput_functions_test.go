package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/bootstrap"
	"github.com/millrace-ml/millrace/statemachine"
)

// configure changes a function's configuration, and gives what undoes it.
func (c *trouble) configure(function string, change func(in *lambda.UpdateFunctionConfigurationInput, env map[string]string)) (repair func()) {
	c.t.Helper()
	name, client := "millrace-"+function, lambda.NewFromConfig(c.cfg)
	was, err := client.GetFunctionConfiguration(c.t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &name})
	if err != nil {
		c.t.Fatal(err)
	}
	update := func(in *lambda.UpdateFunctionConfigurationInput) {
		c.t.Helper()
		in.FunctionName = &name
		if _, err := client.UpdateFunctionConfiguration(c.t.Context(), in); err != nil {
			c.t.Fatalf("configure %s: %v", name, err)
		}
	}
	env := maps.Clone(was.Environment.Variables)
	in := &lambda.UpdateFunctionConfigurationInput{Timeout: was.Timeout}
	change(in, env)
	in.Environment = &lambdatypes.Environment{Variables: env}
	update(in)
	return func() {
		c.t.Helper()
		update(&lambda.UpdateFunctionConfigurationInput{Timeout: was.Timeout, Environment: &lambdatypes.Environment{Variables: was.Environment.Variables}})
	}
}

// crashes makes a function end at once whenever it is started.
func (c *trouble) crashes(function string) (repair func()) {
	c.t.Helper()
	return c.configure(function, func(_ *lambda.UpdateFunctionConfigurationInput, env map[string]string) {
		delete(env, bootstrap.VarLedger)
	})
}

// hangs is a function that takes an event and never answers.
const hangs = `#!/usr/bin/env bash
exec 3<>"/dev/tcp/${AWS_LAMBDA_RUNTIME_API%:*}/${AWS_LAMBDA_RUNTIME_API##*:}"
printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n' "${AWS_LAMBDA_RUNTIME_API}" >&3
exec sleep 1000
`

// timesOut makes a function hang, which Lambda ends after a second.
func (c *trouble) timesOut(function string) (repair func()) {
	c.t.Helper()
	folder := c.t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "bootstrap"), []byte(hangs), 0o755); err != nil {
		c.t.Fatal(err)
	}
	c.replace(function, folder)
	slow := c.configure(function, func(in *lambda.UpdateFunctionConfigurationInput, _ map[string]string) { in.Timeout = aws.Int32(1) })
	return func() {
		c.t.Helper()
		slow()
		c.replace(function, filepath.Join(c.bin, "functions", function))
	}
}

// replace gives a function the code in a folder.
func (c *trouble) replace(function, folder string) {
	c.t.Helper()
	raw, err := asset{path: folder, zip: true}.read()
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := lambda.NewFromConfig(c.cfg).UpdateFunctionCode(c.t.Context(), &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("millrace-" + function), ZipFile: raw}); err != nil {
		c.t.Fatalf("replace the code of %s: %v", function, err)
	}
}

// ends puts the clock forward, over the waits between tries, until a run ends.
func (c *trouble) ends(n int) {
	c.t.Helper()
	c.await(fmt.Sprintf("run %d gives up", n), func() bool {
		c.clock.jump(250 * time.Millisecond)
		_, found, err := c.ledger.Ended(c.t.Context(), pipeline, n)
		return err == nil && found
	})
}

// TestFaultyStepFunctions: a function that the state machine calls and that
// crashes or hangs is tried again, then the run fails; after the repair the next
// upload works.
func TestFaultyStepFunctions(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	for _, tt := range []struct {
		what, function string
		broken         func(function string) (repair func())
		error, cause   string
		log            string
	}{
		{"register crashes", "register", c.crashes, "Runtime.ExitError", "Runtime exited with error: exit status 1", "register"},
		{"startjob crashes", "startjob", c.crashes, "Runtime.ExitError", "Runtime exited with error: exit status 1", "startjob"},
		{"startjob times out", "startjob", c.timesOut, "Sandbox.Timedout", "Task timed out after 1.00 seconds", "startjob"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			c.t = t
			repair := tt.broken(tt.function)
			c.upload(flightRows(goodRows+c.runs, 1), "some.csv")
			n := c.next()
			c.ends(n)
			c.fails(n, tt.error, tt.cause)
			contains(t, "report", c.page(n), "millrace logs "+tt.log)
			repair()
			c.recovers()
		})
	}
}

// TestFaultySnapshot: runs that cannot even be planned end, a few in a row, and
// what they were for waits in the inbox for the next upload.
func TestFaultySnapshot(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	repair := c.crashes("snapshot")
	c.upload(flightRows(goodRows, 1), "some.csv")
	for range 3 {
		n := c.next()
		c.ends(n)
		c.fails(n, "Runtime.ExitError", "exit status 1")
		contains(t, "report", c.page(n), "No job was started", "millrace logs snapshot")
	}
	causes, err := c.ledger.PendingCauses(t.Context(), pipeline, statemachine.LaneTrain)
	if err != nil || len(causes) != 1 {
		t.Errorf("%d causes wait, want the upload's (%v)", len(causes), err)
	}
	repair()
	c.recovers()
	m, _, err := c.ledger.Run(t.Context(), pipeline, c.runs)
	if err != nil || len(m.Causes) != 2 {
		t.Errorf("run %d carries %d causes, want both uploads (%v)", c.runs, len(m.Causes), err)
	}
	c.prepared(c.runs, 2*goodRows)
}

// TestFaultyEventFunctions: what a function that events call cannot do is tried
// again, and then lies in the dead-letter queue; given to it again after the
// repair, everything goes on.
func TestFaultyEventFunctions(t *testing.T) {
	t.Parallel()
	for function, begin := range map[string]func(c *trouble) (run int){
		"newdata": func(c *trouble) int { return 0 },
		"jobcompleted": func(c *trouble) int {
			n := c.next()
			c.waitState(n, statemachine.StatePrepare)
			return n
		},
		"modelapproved": func(c *trouble) int {
			n := c.next()
			c.decide(n, events.Approved, "by the test")
			return n
		},
		"runended": func(c *trouble) int { return c.next() },
	} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			c := newTrouble(t, "by: policy, within: 1m", "by: "+map[bool]string{true: "person", false: "policy"}[function == "modelapproved"]+", within: 1h")
			broken := c.crashes
			if function == "newdata" {
				broken = c.timesOut
			}
			repair := broken(function)
			c.upload(flightRows(goodRows, 1), "some.csv")
			n := begin(c)
			dead := c.dead()
			repair()
			if function == "newdata" { // what the inbox does not know is in the bucket all the same
				c.upload(flightRows(goodRows, 3), "more.csv")
				c.trains(c.next())
				c.prepared(c.runs, 2*goodRows)
			}
			c.redeliver(dead)
			if n > 0 {
				c.trains(n)
			} else {
				c.completes(c.next(), statemachine.OutcomeNothingNew)
			}
			if function == "modelapproved" {
				return // the next version would wait for a person
			}
			c.recovers()
		})
	}
}

// deadLetter is what Lambda says of an event that it gave up.
type deadLetter struct {
	RequestContext struct {
		FunctionArn            string `json:"functionArn"`
		Condition              string `json:"condition"`
		ApproximateInvokeCount int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	RequestPayload json.RawMessage `json:"requestPayload"`
}

// dead waits for an event in the dead-letter queue, and takes it.
func (c *trouble) dead() deadLetter {
	c.t.Helper()
	url, err := c.sqs.GetQueueUrl(c.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("millrace-dead-letters")})
	if err != nil {
		c.t.Fatal(err)
	}
	var d deadLetter
	c.await("an event is given up", func() bool {
		c.clock.jump(250 * time.Millisecond)
		out, err := c.sqs.ReceiveMessage(c.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl, MaxNumberOfMessages: 1})
		if err != nil {
			c.t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return false
		}
		if err := json.Unmarshal([]byte(aws.ToString(out.Messages[0].Body)), &d); err != nil {
			c.t.Fatal(err)
		}
		_, err = c.sqs.DeleteMessage(c.t.Context(), &sqs.DeleteMessageInput{QueueUrl: url.QueueUrl, ReceiptHandle: out.Messages[0].ReceiptHandle})
		return err == nil
	})
	if d.RequestContext.Condition != "RetriesExhausted" || d.RequestContext.ApproximateInvokeCount != 3 {
		c.t.Errorf("given up as %+v, want after 3 tries", d.RequestContext)
	}
	return d
}

// redeliver gives an event that was given up to its function again.
func (c *trouble) redeliver(d deadLetter) {
	c.t.Helper()
	arn := strings.TrimSuffix(d.RequestContext.FunctionArn, ":$LATEST")
	out, err := lambda.NewFromConfig(c.cfg).Invoke(c.t.Context(), &lambda.InvokeInput{FunctionName: &arn, Payload: d.RequestPayload})
	if err != nil || out.FunctionError != nil {
		c.t.Fatalf("redeliver to %s: %v %s", arn, err, out.Payload)
	}
}
