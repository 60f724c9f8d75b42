package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/runs"
	"github.com/millrace-ml/millrace/statemachine"
)

// The demonstration: what it uploads of which pipeline, and who decides.
const (
	demoPipeline = "flights"
	demoReviewer = "the demonstration's reviewer"
)

var (
	demoLearn = []string{"2001-01.csv.gz", "2001-02.csv.gz", "2001-03.csv.gz"}
	demoScore = []string{"2001-04.csv.gz"}
)

// demoPatience is how long a run of the demonstration may take to begin.
const demoPatience = 30 * time.Second

func runDemo(ctx context.Context, c *cli, args []string) error {
	fs := c.flags("demo", "", "The main job on real data: starts a local cloud, deploys Millrace, uploads three months of flights,\nshows the run, approves the version, scores a fourth month. The cloud stays up until stopped.")
	once := fs.Bool("once", false, "stop the cloud at the end")
	dir := fs.String("dir", filepath.Join(stateFolder, "demo"), "state folder; emptied first")
	data := fs.String("data", filepath.Join("pipelines", demoPipeline, "data"), "folder with the months")
	port := fs.Int("port", 0, fmt.Sprintf("port on 127.0.0.1 (default %d, or the next free one)", defaultPort))
	if err := parseNone(fs, args); err != nil {
		return err
	}
	begun := time.Now()
	if err := noneRuns(ctx); err != nil { // before its state is emptied under it
		return err
	}
	if err := emptyState(*dir); err != nil {
		return err
	}
	up, err := startCloud(ctx, cloudOptions{dir: *dir, port: *port})
	if err != nil {
		return err
	}
	d := &demo{c: c, data: *data, begun: begun, endpoint: up.endpoint}
	if err := d.play(ctx, up.cfg); err != nil {
		return errors.Join(err, up.close())
	}
	if *once {
		return up.close()
	}
	c.say("\nThe local cloud stays up: Ctrl-C stops it.")
	return up.wait()
}

// emptyState removes what an earlier demonstration left, and nothing else.
func emptyState(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, "state.db")); err != nil {
		return fmt.Errorf("%s is not empty and is not the state of a local cloud: it is left alone (hint: --dir)", dir)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("empty %s: %w", dir, err)
	}
	return nil
}

type demo struct {
	c        *cli
	s        *session
	data     string
	begun    time.Time
	endpoint string
}

func (d *demo) play(ctx context.Context, cfg aws.Config) error {
	var err error
	if d.s, err = newSession(ctx, cfg); err != nil {
		return err
	}
	d.c.say("Local cloud at %s, stack %s deployed (%s)\n", d.endpoint, stackName, short(time.Since(d.begun)))
	first, err := d.learn(ctx)
	if err != nil {
		return err
	}
	second, err := d.score(ctx)
	if err != nil {
		return err
	}
	return d.results(ctx, first, second)
}

func (d *demo) upload(ctx context.Context, folder string, files []string) error {
	for _, f := range files {
		u, err := d.s.upload(ctx, demoPipeline, folder, filepath.Join(d.data, f))
		if err != nil {
			return err
		}
		d.c.say("  uploaded     %s", u.URI)
	}
	return nil
}

// learn uploads the months to learn from and sees the run through, as its reviewer too.
func (d *demo) learn(ctx context.Context) (run int, err error) {
	if err := d.upload(ctx, runs.RawFolder, demoLearn); err != nil {
		return 0, err
	}
	return d.follow(ctx, statemachine.LaneTrain, statemachine.OutcomeReleased, func(run int) error {
		p, _, err := d.s.ledger.Package(ctx, demoPipeline, run)
		if err != nil {
			return err
		}
		if err := d.s.registry.Decide(ctx, p.ARN, events.Approved, "approved by "+demoReviewer); err != nil {
			return err
		}
		d.c.say("  %-12s approved version %d, as %s", fmt.Sprintf("%s/%d", demoPipeline, run), p.Version, demoReviewer)
		return nil
	})
}

func (d *demo) score(ctx context.Context) (run int, err error) {
	d.c.say("")
	if err := d.upload(ctx, runs.ScoreFolder, demoScore); err != nil {
		return 0, err
	}
	return d.follow(ctx, statemachine.LaneServe, statemachine.OutcomeScored, nil)
}

// follow waits for the run that a lane begins, and watches it to its end.
func (d *demo) follow(ctx context.Context, lane, want string, approve func(run int) error) (int, error) {
	run, err := d.begins(ctx, lane)
	if err != nil {
		return 0, err
	}
	w := newWatcher(d.s, d.c.err)
	var refused error
	end, err := w.watch(ctx, demoPipeline, run, func(state string) {
		if state == statemachine.StateAwaitApproval && approve != nil {
			w.clear()
			refused = errors.Join(refused, approve(run))
		}
	})
	if err = errors.Join(err, refused); err != nil {
		return run, err
	}
	if end.Status != types.ExecutionStatusSucceeded || end.Outcome != want {
		return run, fmt.Errorf("run %s/%d ended as %s (%s), not as %s: %s", demoPipeline, run, end.Status, end.Outcome, want, end.Cause)
	}
	return run, nil
}

func (d *demo) begins(ctx context.Context, lane string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	for {
		lease, err := d.s.ledger.Lease(ctx, demoPipeline, lane)
		if err != nil {
			return 0, err
		}
		if lease.Held {
			return lease.Run, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no run began within %s of the upload (hint: millrace logs newdata)", demoPatience)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// results says where everything is and what to try next.
func (d *demo) results(ctx context.Context, first, second int) error {
	bucket := d.s.ledger.Bucket()
	prefix := ledger.RunKey(demoPipeline, second, "scores") + "/"
	out, err := d.s.s3.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		return fmt.Errorf("list scores: %w", err)
	}
	if len(out.Contents) == 0 {
		return fmt.Errorf("run %s/%d says that it scored, but there is nothing at %s", demoPipeline, second, d.s.ledger.URI(prefix))
	}
	scores := aws.ToString(out.Contents[0].Key)
	lines, sample, err := d.head(ctx, scores)
	if err != nil {
		return err
	}
	report, err := d.s.saveReport(ctx, demoPipeline, first, filepath.Join(stateFolder, fmt.Sprintf("report-%s-%d.html", demoPipeline, first)))
	if err != nil {
		return err
	}
	result := map[string]any{"endpoint": d.endpoint, "scores": d.s.ledger.URI(scores), "rows": lines, "report": report, "seconds": time.Since(d.begun).Seconds()}
	return d.c.print(result, func(w io.Writer) {
		fmt.Fprintf(w, `
Done in %s.
  scores   %s
           %s rows, as %s
  report   %s

Try next, in another terminal, in this folder:
  bin/millrace runs              # what ran, and why
  bin/millrace models            # versions, and which is in service
  bin/millrace upload flights pipelines/flights/data/2001-05.csv.gz
  bin/millrace watch             # a challenger, trained on more data
  bin/millrace approve flights/2 # if its report convinces you

The same with the aws CLI, or boto3:
%s
  aws s3 cp %s .
  aws stepfunctions get-execution-history --execution-arn \
    %s
  aws sagemaker list-model-packages --model-package-group-name %s
`, short(time.Since(d.begun)), d.s.ledger.URI(scores), grouped(int64(lines)), sample, report, exports(d.endpoint), d.s.ledger.URI(scores),
			d.s.executionARN(demoPipeline, first), demoPipeline)
	})
}

// head counts the lines of an object and gives the first.
func (d *demo) head(ctx context.Context, key string) (lines int, first string, err error) {
	bucket := d.s.ledger.Bucket()
	out, err := d.s.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return 0, "", fmt.Errorf("read scores: %w", err)
	}
	defer out.Body.Close()
	r := bufio.NewReader(out.Body)
	first, err = r.ReadString('\n')
	if err != nil {
		return 0, "", fmt.Errorf("read scores: %w", err)
	}
	lines = 1
	buf := make([]byte, 1<<16)
	for {
		n, err := r.Read(buf)
		lines += bytes.Count(buf[:n], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			return lines, strings.TrimSpace(first), nil
		}
		if err != nil {
			return 0, "", fmt.Errorf("read scores: %w", err)
		}
	}
}
