package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/statemachine"
)

// faulty puts a program in the worker's place that is the worker until a test
// says otherwise, see breaks.
func faulty(t *testing.T, bin string) {
	t.Helper()
	worker := filepath.Join(bin, "worker")
	if err := os.Rename(worker, filepath.Join(bin, "good-worker")); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nbin=%s\nif [ -e \"$bin/fault-$1\" ]; then . \"$bin/fault-$1\"; fi\nexec \"$bin/good-worker\" \"$@\"\n", bin)
	if err := os.WriteFile(worker, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// breaks makes the worker run some lines of shell at the begin of a step, until
// the function that it gives is called.
func (c *trouble) breaks(step, lines string) (repair func()) {
	c.t.Helper()
	file := filepath.Join(c.bin, "fault-"+step)
	if err := os.WriteFile(file+".new", []byte(lines+"\n"), 0o644); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		if err := os.Remove(file); err != nil {
			c.t.Fatal(err)
		}
	}
}

// TestFaultyJobs: a job that fails, hangs or does nothing ends the run with what
// it said, and the next one works.
func TestFaultyJobs(t *testing.T) {
	t.Parallel()
	const hang = "echo waiting for nothing >&2; trap '' TERM; sleep 1000 & wait; wait"
	tests := []struct {
		what, step, lines string
		hangs             bool
		error             string
		wants             []string
	}{
		{"prepare exits", "prepare", "echo no luck >&2; exit 3", false, statemachine.ErrJobFailed, []string{"prepare-0 failed: AlgorithmError: See job logs"}},
		{"prepare says nothing", "prepare", "exit 0", false, statemachine.ErrJobFailed, []string{"prepare-0 completed without saying what it did"}},
		{"prepare says nonsense", "prepare", `mkdir -p "$SAGEMAKER_BASE_DIR/output"; echo nonsense >"$SAGEMAKER_BASE_DIR/output/message"; exit 0`, false, statemachine.ErrJobFailed, []string{`its message is "nonsense`}},
		{"prepare hangs", "prepare", hang, true, statemachine.ErrJobStopped, []string{"prepare-0 was stopped: MaxRuntimeExceeded: the job exceeded its MaxRuntimeInSeconds of 60"}},
		{"train exits", "train", `mkdir -p "$SAGEMAKER_BASE_DIR/output"; echo "the disk is full" >"$SAGEMAKER_BASE_DIR/output/failure"; exit 1`, false, statemachine.ErrJobFailed, []string{"train-0", "the disk is full"}},
		{"train dies", "train", "kill -9 $$", false, statemachine.ErrJobFailed, []string{"train-0"}},
		{"train hangs", "train", hang, true, statemachine.ErrJobStopped, []string{"train-0", "train.max_runtime"}},
		{"train writes no model", "train", "exit 0", false, statemachine.ErrNoModel, []string{"train-0 completed but wrote no model: there is no file in s3://"}},
		{"evaluate exits", "evaluate", "exit 1", false, statemachine.ErrJobFailed, []string{"evaluate-0"}},
	}
	c := newTrouble(t)
	for _, tt := range tests {
		t.Run(tt.what, func(t *testing.T) {
			c.t = t
			repair := sync.OnceFunc(c.breaks(tt.step, tt.lines))
			defer repair()
			c.upload(flightRows(goodRows+c.runs, 1), "some.csv")
			n := c.next()
			if tt.hangs {
				c.hangs(n, tt.step)
			}
			c.fails(n, tt.error, tt.wants...)
			contains(t, "report", c.page(n), "What to do next", fmt.Sprintf("millrace logs %s/%d --step %s", pipeline, n, tt.step))
			repair()
			c.recovers()
		})
	}
}

// hangs waits until a step's program hangs, and lets its time run out.
func (c *trouble) hangs(n int, step string) {
	c.t.Helper()
	c.await("the program hangs", func() bool {
		_, out, _ := c.millrace("logs", fmt.Sprintf("%s/%d", pipeline, n), "--step", step)
		return strings.Contains(out, "waiting for nothing")
	})
	c.clock.jump(time.Minute)
	c.await("the program is killed", func() bool { // it ignores the polite request to end
		c.clock.jump(10 * time.Second)
		d, err := c.sfn.DescribeExecution(c.t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: aws.String(c.executionARN(pipeline, n))})
		return err == nil && d.Status != types.ExecutionStatusRunning
	})
}
