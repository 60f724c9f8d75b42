package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace-ml/millrace/shared/awserr"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

func runReport(ctx context.Context, c *cli, args []string) error {
	fs := c.cloudFlags("report", "RUN", "Fetches the report of a run: of its evaluation, else of its data's quality, else of how it ended.")
	open := fs.Bool("open", false, "open it in the browser")
	to := fs.String("o", "", "file to write (default: report-PIPELINE-NUMBER.html in the state folder)")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return &usageError{"of which run?"}
	}
	pipeline, run, err := splitRef(rest[0])
	if err != nil {
		return err
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	if *to == "" {
		*to = filepath.Join(stateFolder, fmt.Sprintf("report-%s-%d.html", pipeline, run))
	}
	file, err := s.saveReport(ctx, pipeline, run, *to)
	if err != nil {
		return err
	}
	if *open {
		if err := openInBrowser(ctx, file); err != nil {
			c.say("%v; open the file yourself", err)
		}
	}
	return c.print(map[string]any{"report": file}, func(w io.Writer) { fmt.Fprintln(w, file) })
}

// saveReport writes the report that says most about a run to a file.
func (s *session) saveReport(ctx context.Context, pipeline string, run int, file string) (string, error) {
	bucket := s.ledger.Bucket()
	for _, uri := range s.reportURIs(ctx, pipeline, run) {
		key, ok := s.ledger.Key(uri)
		if !ok {
			continue
		}
		out, err := s.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
		if awserr.IsNotFound(err) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("read report: %w", err)
		}
		defer out.Body.Close()
		return file, writeFile(file, out.Body)
	}
	if err := s.began(ctx, pipeline, run); err != nil {
		return "", err
	}
	return "", fmt.Errorf("run %s/%d has no report yet (hint: millrace watch %s/%d)", pipeline, run, pipeline, run)
}

// reportURIs are where a run's reports are, the one that says most first.
func (s *session) reportURIs(ctx context.Context, pipeline string, run int) []string {
	var uris []string
	howItEnded := s.ledger.URI(ledger.RunKey(pipeline, run, "end.html"))
	if end, _, err := s.ledger.Ended(ctx, pipeline, run); err == nil && saysMost(end.Error) {
		uris = append(uris, howItEnded)
	}
	for _, r := range []struct{ step, output string }{
		{statemachine.StepEvaluate, "evaluation"}, {statemachine.StepPrepareScores, "quality"}, {statemachine.StepPrepare, "quality"},
	} {
		st, _, found, err := s.ledger.Step(ctx, pipeline, run, r.step)
		if err == nil && found && st.Outputs[r.output] != "" {
			uris = append(uris, st.Outputs[r.output]+"report.html")
		}
	}
	return append(uris, howItEnded)
}

// saysMost tells whether the page of how a run ended says more than what its
// jobs reported: they know nothing of a failure that is not in the data or the model.
func saysMost(failure string) bool {
	switch failure {
	case "", statemachine.ErrDataRejected, statemachine.ErrApprovalRejected, statemachine.ErrApprovalExpired:
		return false
	}
	return true
}

func writeFile(file string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return fmt.Errorf("write report: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// browserWithin is how long an opener is listened to: one that shows the file
// itself goes on, and one that cannot says so at once.
const browserWithin = 2 * time.Second

// openInBrowser hands a file to the desktop's opener.
func openInBrowser(ctx context.Context, file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return fmt.Errorf("open report: %w", err)
	}
	name := "xdg-open"
	if runtime.GOOS == "darwin" {
		name = "open"
	}
	cmd := exec.Command(name, file) // not of ctx: the browser stays when this program ends
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("open %s by %s: %w", file, name, err)
		}
	case <-time.After(browserWithin):
	case <-ctx.Done():
	}
	return nil
}
