package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/millrace-ml/millrace/localcloud/wire/wiretest"
)

// TestScripts runs the scripts in testdata. Each has a folder as `make build`
// makes it first on its PATH, with the definition pipeline.yaml of the script
// (else smallFlights), and these commands beside testscript's own:
//
//	exits CODE COMMAND…  like exec, of a command that must end with the exit code
//	up [ARG…]            starts `millrace up` and waits for the URL that it prints, which is $ENDPOINT from then on
//	ended                waits until that has ended by itself, with exit code 0
//	powercut             kills it so that it can tidy nothing up, and waits until all that it started is gone too
//	rows FILE N MONTH    writes flights (see flightRows), gzipped if the name ends in .gz
//	begins NAME          waits until a run of flights begins after those told so far, and puts its number into $NAME
//	await N STATE        waits until run N of flights enters a state
//	training JOB         waits until the program of a training job runs
//	failed JOB REASON    fails unless a training job has failed for a reason that matches
//	take NAME            takes a port for the rest of the script, and puts its number into $NAME
//	fetch KEY FILE       writes an object of the ledger to a file
//	lines FILE N         fails unless the file has N lines
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setupScript,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": scriptExits, "up": scriptUp, "ended": scriptEnded, "powercut": scriptPowerCut, "rows": scriptRows,
			"begins": scriptBegins, "await": scriptAwait, "training": scriptTraining, "failed": scriptFailed, "take": scriptTake, "fetch": scriptFetch, "lines": scriptLines,
		},
	})
}

type upKey struct{}

func setupScript(env *testscript.Env) error {
	definition := filepath.Join(env.WorkDir, "pipeline.yaml")
	if _, err := os.Stat(definition); errors.Is(err, os.ErrNotExist) {
		definition = smallFlights
	}
	bin, err := newBin(filepath.Join(env.WorkDir, ".tmp"), definition)
	if err != nil {
		return err
	}
	env.Setenv("BARE_PATH", env.Getenv("PATH"))
	env.Setenv("PATH", bin+string(filepath.ListSeparator)+env.Getenv("PATH"))
	env.Setenv(wiretest.Folder, os.Getenv(wiretest.Folder))
	env.Values[upKey{}] = new(*upProcess)
	return nil
}

func current(ts *testscript.TestScript) **upProcess { return ts.Value(upKey{}).(**upProcess) }

// args checks the number of a command's arguments; most < 0 is any.
func wantArgs(ts *testscript.TestScript, neg bool, args []string, least, most int) {
	if neg || len(args) < least || most >= 0 && len(args) > most {
		ts.Fatalf("this command cannot be used so; see TestScripts")
	}
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, -1)
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != number(ts, args[0]) {
		ts.Fatalf("%s ended with exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

func scriptUp(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 0, -1)
	millrace, _, _ := strings.Cut(ts.Getenv("PATH"), string(filepath.ListSeparator))
	cmd := exec.Command(filepath.Join(millrace, "millrace"), append([]string{"up"}, args...)...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), scriptEnv(ts)
	up, err := startUp(cmd)
	ts.Check(err)
	ts.Setenv("ENDPOINT", up.endpoint)
	*current(ts) = up
	ts.Defer(func() {
		if *current(ts) == up {
			if err := up.stop(); err != nil {
				ts.Logf("%v", err)
			}
		}
	})
}

// scriptEnv is the script's environment, of what `millrace up` reads.
func scriptEnv(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "AWS_PROFILE", "AWS_REGION", wiretest.Folder} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

func scriptEnded(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 0, 0)
	up := *current(ts)
	*current(ts) = nil
	ts.Check(up.ended())
}

func scriptPowerCut(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 0, 0)
	up := *current(ts)
	*current(ts) = nil
	ts.Check(up.powerCut(ts.MkAbs(".")))
}

func scriptRows(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3, 3)
	raw := flightRows(number(ts, args[1]), number(ts, args[2]))
	if strings.HasSuffix(args[0], ".gz") {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write(raw)
		ts.Check(errors.Join(err, w.Close()))
		raw = b.Bytes()
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), raw, 0o644))
}

// scriptAwaits looks again and again until done says so.
func scriptAwaits(ts *testscript.TestScript, what string, done func(ctx context.Context, s *session) (bool, error)) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := newSession(ctx, localConfig(ts.Getenv("ENDPOINT")))
	ts.Check(err)
	for {
		ok, err := done(ctx, s)
		if err != nil {
			ts.Fatalf("%s: %v", what, err)
		}
		if ok {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func scriptBegins(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, 1)
	seen, _ := strconv.Atoi(ts.Getenv("SEEN"))
	scriptAwaits(ts, fmt.Sprintf("a run begins after run %d", seen), func(ctx context.Context, s *session) (bool, error) {
		n, err := firstRunAfter(ctx, s, seen)
		ts.Setenv("SEEN", strconv.Itoa(n))
		ts.Setenv(args[0], strconv.Itoa(n))
		return n > 0, err
	})
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, 2)
	n := number(ts, args[0])
	scriptAwaits(ts, fmt.Sprintf("run %d gets to %s", n, args[1]), func(ctx context.Context, s *session) (bool, error) {
		_, ended, err := s.ledger.Ended(ctx, pipeline, n)
		if err != nil {
			return false, err
		}
		states, err := statesOf(ctx, s, n)
		if err == nil && ended && !slices.Contains(states, args[1]) {
			err = fmt.Errorf("it ended after %v", states)
		}
		return slices.Contains(states, args[1]), err
	})
}

func scriptTraining(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, 1)
	scriptAwaits(ts, args[0]+" trains", func(ctx context.Context, s *session) (bool, error) {
		out, err := s.sagemaker.ListTrainingJobs(ctx, &sagemaker.ListTrainingJobsInput{NameContains: &args[0]})
		if err != nil || len(out.TrainingJobSummaries) == 0 {
			return false, err
		}
		job, err := s.sagemaker.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: out.TrainingJobSummaries[0].TrainingJobName})
		if err == nil && job.TrainingJobStatus != types.TrainingJobStatusInProgress {
			err = fmt.Errorf("it is %s already: %s", job.TrainingJobStatus, aws.ToString(job.FailureReason))
		}
		return err == nil && job.SecondaryStatus == types.SecondaryStatusTraining, err
	})
}

func scriptFailed(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, 2)
	scriptAwaits(ts, args[0]+" has failed", func(ctx context.Context, s *session) (bool, error) {
		job, err := s.sagemaker.DescribeTrainingJob(ctx, &sagemaker.DescribeTrainingJobInput{TrainingJobName: &args[0]})
		if err != nil {
			return false, err
		}
		reason := aws.ToString(job.FailureReason)
		if ok, err := regexp.MatchString(args[1], reason); err != nil || !ok || job.TrainingJobStatus != types.TrainingJobStatusFailed {
			return false, errors.Join(err, fmt.Errorf("it is %s: %q, which should match %q", job.TrainingJobStatus, reason, args[1]))
		}
		return true, nil
	})
}

func scriptTake(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
	_, port, err := net.SplitHostPort(ln.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

func scriptFetch(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, 2)
	scriptAwaits(ts, "fetch "+args[0], func(ctx context.Context, s *session) (bool, error) {
		bucket := s.ledger.Bucket()
		out, err := s.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &args[0]})
		if err != nil {
			return false, err
		}
		defer out.Body.Close()
		return true, writeFile(ts.MkAbs(args[1]), out.Body)
	})
}

func scriptLines(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, 2)
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); n != number(ts, args[1]) {
		ts.Fatalf("%s has %d lines, want %s", args[0], n, args[1])
	}
}
