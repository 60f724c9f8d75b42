package sagemaker_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sm "github.com/aws/aws-sdk-go-v2/service/sagemaker"
)

func TestRestart(t *testing.T) {
	c := open(t, func(s *setup) { s.Slots = 3 })
	arn := c.version(t, nil)
	c.model(t, "serve-slow")
	c.s3.put("s3://data/in/a.csv", "a")
	if _, err := c.CreateTrainingJob(t.Context(), training("done", "train")); err != nil {
		t.Fatal(err)
	}
	c.ended("Training", "done")
	for name, create := range map[string]func() error{
		"train/": func() error { _, err := c.CreateTrainingJob(t.Context(), training("train", "deaf")); return err },
		"process/": func() error {
			_, err := c.CreateProcessingJob(t.Context(), processing("process", "graceful"))
			return err
		},
		"score/": func() error { _, err := c.CreateTransformJob(t.Context(), transform()); return err },
	} {
		if err := create(); err != nil {
			t.Fatal(err)
		}
		c.logs.wait(name, "ready")
	}
	if _, err := c.CreateTrainingJob(t.Context(), training("waiting", "train")); err != nil {
		t.Fatal(err)
	}
	child := childPid(t, c.logs.text("train/"))
	for _, name := range []string{"train", "process", "score"} {
		for _, e := range c.events.of(name) {
			if e.Detail["FailureReason"] != nil {
				t.Fatalf("%s did not run on: %v", name, e.Detail)
			}
		}
	}
	c.close(t)
	gone(t, child)

	c = reopen(t, c.dir, c.s3, nil)
	const reason = "InternalServerError: the local cloud was stopped while the job ran"
	for kind, name := range map[string]string{"Training": "train", "Processing": "process", "Transform": "score"} {
		e := c.ended(kind, name)
		if got, _ := e.Detail["FailureReason"].(string); e.Detail[kind+"JobStatus"] != "Failed" || !strings.HasPrefix(got, reason) {
			t.Errorf("%s: %v", kind, e.Detail)
		}
	}
	if j, err := c.DescribeTrainingJob(t.Context(), &sm.DescribeTrainingJobInput{TrainingJobName: aws.String("train")}); err != nil || !strings.HasPrefix(aws.ToString(j.FailureReason), reason) {
		t.Errorf("%v %v", j, err)
	}
	if e := c.ended("Training", "waiting"); e.Detail["TrainingJobStatus"] != "Completed" {
		t.Errorf("the job that waited for a slot: %v", e.Detail)
	}
	if n := len(c.events.of("done")); n != 0 {
		t.Errorf("%d events of a job that had ended", n)
	}
	if p, err := c.DescribeModelPackage(t.Context(), &sm.DescribeModelPackageInput{ModelPackageName: aws.String(arn)}); err != nil || p.ModelApprovalStatus != "PendingManualApproval" {
		t.Errorf("%+v %v", p, err)
	}
	if got := c.version(t, nil); got != packageARN+"2" {
		t.Errorf("next version %s", got)
	}
	list, err := c.ListTrainingJobs(t.Context(), &sm.ListTrainingJobsInput{})
	if err != nil || len(list.TrainingJobSummaries) != 3 {
		t.Errorf("%+v %v", list, err)
	}
}

func TestImagePinnedByDigestSurvivesARebuild(t *testing.T) {
	program := t.TempDir() + "/worker"
	build := func(extra string) (image string) {
		t.Helper()
		self, err := os.ReadFile("/proc/self/exe")
		if errors.Is(err, os.ErrNotExist) {
			path, perr := os.Executable()
			if perr != nil {
				t.Fatal(perr)
			}
			self, err = os.ReadFile(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		self = append(self, extra...)
		if err := os.Remove(program); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, self, 0o755); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(self)
		return "000000000000.dkr.ecr.us-east-1.amazonaws.com/worker@sha256:" + hex.EncodeToString(sum[:])
	}
	first := build("one")
	c := open(t, func(s *setup) { s.Images = map[string]string{"worker": program} })
	run := func(name, image string) event {
		t.Helper()
		in := training(name, "train")
		in.AlgorithmSpecification.TrainingImage = aws.String(image)
		if _, err := c.CreateTrainingJob(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		return c.ended("Training", name)
	}
	if e := run("a", first); e.Detail["TrainingJobStatus"] != "Completed" {
		t.Fatalf("%v", e.Detail["FailureReason"])
	}
	second := build("two")
	for name, image := range map[string]string{"b": second, "c": first} {
		if e := run(name, image); e.Detail["TrainingJobStatus"] != "Completed" {
			t.Errorf("%s: %v", name, e.Detail["FailureReason"])
		}
	}
}

func TestCloseLeavesNoProcess(t *testing.T) {
	c := open(t, nil)
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "deaf")); err != nil {
		t.Fatal(err)
	}
	child := childPid(t, c.logs.wait("job/", "ready"))
	c.close(t)
	gone(t, child)
}

// crashEnv makes the test binary play a whole cloud that runs a job in the
// state folder named, and tells on stdout when the job runs.
const crashEnv = "TEST_CLOUD"

func TestKilledCloud(t *testing.T) {
	if dir := os.Getenv(crashEnv); dir != "" {
		playCloud(t, dir)
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestKilledCloud$")
	cmd.Env = append(os.Environ(), crashEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "job runs as "); ok {
			if pid, err = strconv.Atoi(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if pid == 0 {
		t.Fatal("the cloud never ran its job")
	}
	if runtime.GOOS == "linux" {
		gone(t, pid) // the parent-death signal: nobody else could end it
	} else {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	c := reopen(t, dir, &buckets{objects: map[string][]byte{}, denied: map[string]bool{}, callers: map[string]bool{}}, nil)
	if e := c.ended("Training", "job"); e.Detail["TrainingJobStatus"] != "Failed" || !strings.Contains(e.Detail["FailureReason"].(string), "the local cloud was stopped") {
		t.Errorf("%v", e.Detail)
	}
}

// playCloud runs a job until it is killed.
func playCloud(t *testing.T, dir string) {
	c := reopen(t, dir, &buckets{objects: map[string][]byte{}, denied: map[string]bool{}, callers: map[string]bool{}}, nil)
	if _, err := c.CreateTrainingJob(t.Context(), training("job", "pid")); err != nil {
		t.Fatal(err)
	}
	log := c.logs.wait("job/", "ready")
	pid, _, _ := strings.Cut(log, "\n")
	fmt.Println("job runs as " + pid)
	time.Sleep(time.Hour) // not select {}, which Go without cgo takes for a deadlock
}
