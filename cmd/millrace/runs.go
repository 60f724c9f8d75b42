package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

// runLine is a run in the list.
type runLine struct {
	Run     string                `json:"run"`
	Kind    string                `json:"kind"`
	Status  types.ExecutionStatus `json:"status"`
	Outcome string                `json:"outcome,omitempty"` // of a run that succeeded
	Error   string                `json:"error,omitempty"`
	Cause   string                `json:"cause,omitempty"`
	Why     string                `json:"why"`
	Started time.Time             `json:"started"`
	Seconds float64               `json:"seconds"`
}

func runRuns(ctx context.Context, c *cli, args []string) error {
	fs := c.cloudFlags("runs", "[PIPELINE]", "Lists runs, newest first: what they did, and why.")
	max := fs.Int("n", 20, "at most so many")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return &usageError{"one pipeline, or all of them"}
	}
	for _, p := range rest {
		if err := s.known(p); err != nil {
			return err
		}
	}
	lines, err := s.runs(ctx, rest, *max)
	if err != nil {
		return err
	}
	return c.print(lines, func(w io.Writer) {
		if len(lines) == 0 {
			c.say("there is no run yet (hint: millrace upload %s FILE)", s.pipelines[0])
			return
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "RUN\tKIND\tSTATUS\tTOOK\tWHY")
		for _, l := range lines {
			why := l.Why
			if l.Error != "" {
				why = l.Error
				if l.Cause != "" {
					why += ": " + oneLine(l.Cause, mostCause)
				}
			}
			status := string(l.Status)
			if l.Outcome != "" {
				status = l.Outcome
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", l.Run, l.Kind, status, short(time.Duration(l.Seconds*float64(time.Second))), why)
		}
		t.Flush()
	})
}

func (s *session) runs(ctx context.Context, pipelines []string, max int) ([]runLine, error) {
	lines := []runLine{}
	in := &sfn.ListExecutionsInput{StateMachineArn: &s.stateMachine, MaxResults: 100}
	for {
		out, err := s.sfn.ListExecutions(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list executions: %w", err)
		}
		for _, e := range out.Executions {
			if len(lines) == max {
				return lines, nil
			}
			pipeline, run, ok := ledger.ParseExecutionName(aws.ToString(e.Name))
			if !ok || len(pipelines) > 0 && pipelines[0] != pipeline {
				continue
			}
			l, err := s.runLine(ctx, pipeline, run, e)
			if err != nil {
				return nil, err
			}
			lines = append(lines, l)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return lines, nil
		}
	}
}

func (s *session) runLine(ctx context.Context, pipeline string, run int, e types.ExecutionListItem) (runLine, error) {
	l := runLine{Run: fmt.Sprintf("%s/%d", pipeline, run), Status: e.Status, Started: aws.ToTime(e.StartDate)}
	stop := aws.ToTime(e.StopDate)
	if e.StopDate == nil {
		stop = s.now(ctx)
	}
	l.Seconds = max(0, stop.Sub(l.Started).Seconds()) // two clocks may differ a little
	m, found, err := s.ledger.Run(ctx, pipeline, run)
	if err != nil {
		return l, err
	}
	if l.Kind, l.Why = m.Kind, m.Why; !found {
		l.Kind, l.Why = "-", "waits for more uploads"
	}
	if e.Status == types.ExecutionStatusRunning {
		p, registered, err := s.ledger.Package(ctx, pipeline, run)
		if err != nil || !registered || p.Approved {
			return l, err
		}
		d, _, _, err := s.ledger.Decision(ctx, pipeline, p.Version)
		if err == nil && d.Status == "" {
			l.Why += fmt.Sprintf("; version %s/%d waits for a reviewer", pipeline, p.Version)
		}
		return l, err
	}
	d, err := s.sfn.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: e.ExecutionArn})
	if err != nil {
		return l, fmt.Errorf("describe run %s: %w", l.Run, err)
	}
	l.Outcome, l.Error, l.Cause = outcome(d), aws.ToString(d.Error), statemachine.PlainCause(aws.ToString(d.Cause))
	return l, nil
}

// mostCause is how much of a failure's cause the list shows, in characters.
const mostCause = 160

// oneLine is the beginning of a text, without line breaks.
func oneLine(text string, most int) string {
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
