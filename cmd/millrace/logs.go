package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/statemachine"
)

// logGroups are where the logs of each kind of job go.
var logGroups = map[string]string{
	"processing": "/aws/sagemaker/ProcessingJobs",
	"training":   "/aws/sagemaker/TrainingJobs",
	"transform":  "/aws/sagemaker/TransformJobs",
}

// jobSteps are the steps that are jobs, in their order.
var jobSteps = []string{statemachine.StepPrepare, statemachine.StepTrain, statemachine.StepEvaluate, statemachine.StepPrepareScores, statemachine.StepScore}

// logLine is one line of a log.
type logLine struct {
	Source string    `json:"source"` // a job or a function
	Time   time.Time `json:"time"`
	Text   string    `json:"text"`
}

func runLogs(ctx context.Context, c *cli, args []string) error {
	fs := c.cloudFlags("logs", "RUN | FUNCTION", "Prints what the jobs of a run (flights/1) or a function (newdata) logged.")
	step := fs.String("step", "", "only this step of the run, as in train")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return &usageError{"of which run or function?"}
	}
	if *step != "" && !slices.Contains(jobSteps, *step) {
		return &usageError{fmt.Sprintf("there is no step %q (there is: %s)", *step, strings.Join(jobSteps, ", "))}
	}
	var pipeline string
	var run int
	ofRun := strings.Contains(rest[0], "/")
	if ofRun {
		if pipeline, run, err = splitRef(rest[0]); err != nil {
			return err
		}
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	var lines []logLine
	hint := ""
	if ofRun {
		if err := s.began(ctx, pipeline, run); err != nil {
			return err
		}
		lines, err = s.runLog(ctx, pipeline, run, *step)
	} else {
		hint = " (functions: newdata, jobcompleted, modelapproved, runended, snapshot, startjob, register)"
		lines, err = s.streams(ctx, "/aws/lambda/millrace-"+rest[0], "", rest[0])
	}
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		c.say("%s has logged nothing%s", rest[0], hint)
	}
	return c.print(lines, func(w io.Writer) {
		for _, l := range lines {
			fmt.Fprintf(w, "%s %s  %s\n", l.Time.UTC().Format("15:04:05.000"), l.Source, l.Text)
		}
	})
}

func (s *session) runLog(ctx context.Context, pipeline string, run int, only string) ([]logLine, error) {
	lines := []logLine{}
	for _, step := range jobSteps {
		if only != "" && only != step {
			continue
		}
		st, _, found, err := s.ledger.Step(ctx, pipeline, run, step)
		if err != nil {
			return nil, err
		}
		if !found {
			continue
		}
		l, err := s.streams(ctx, logGroups[st.Kind], st.Job+"/", st.Job)
		if err != nil {
			return nil, err
		}
		lines = append(lines, l...)
	}
	return lines, nil
}

// streams reads the log streams of a group whose names begin with a prefix.
func (s *session) streams(ctx context.Context, group, prefix, source string) ([]logLine, error) {
	in := &cloudwatchlogs.FilterLogEventsInput{LogGroupName: &group}
	if prefix != "" {
		in.LogStreamNamePrefix = &prefix
	}
	lines := []logLine{}
	for {
		out, err := s.logs.FilterLogEvents(ctx, in)
		if awserr.IsNotFound(err) {
			return lines, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read log %s: %w", group, err)
		}
		for _, e := range out.Events {
			lines = append(lines, logLine{Source: source, Time: time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC(), Text: strings.TrimRight(aws.ToString(e.Message), "\n")})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			sort.SliceStable(lines, func(i, j int) bool { return lines[i].Time.Before(lines[j].Time) })
			return lines, nil
		}
	}
}
