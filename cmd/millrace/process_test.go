package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// upProcess is a `millrace up` in a process of its own.
type upProcess struct {
	endpoint string
	cmd      *exec.Cmd
	said     said       // its stderr
	done     chan error // how it ended
}

// said is what a process says, to be read while it says more.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// startUp starts a `millrace up` and waits for the URL that it prints.
func startUp(cmd *exec.Cmd) (*upProcess, error) {
	up := &upProcess{cmd: cmd, done: make(chan error, 1)}
	cmd.Stderr = &up.said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	go func() { up.done <- cmd.Wait() }()
	if err != nil {
		return nil, fmt.Errorf("millrace up printed no URL: %v: %v\n%s", err, <-up.done, up.said.String())
	}
	up.endpoint = strings.TrimSpace(url)
	return up, nil
}

// ended waits until it has ended by itself, in good order.
func (up *upProcess) ended() error {
	select {
	case err := <-up.done:
		if err != nil {
			return fmt.Errorf("millrace up ended: %w\n%s", err, up.said.String())
		}
		return nil
	case <-time.After(patience):
		up.cmd.Process.Kill()
		<-up.done
		return fmt.Errorf("millrace up goes on")
	}
}

// stop asks it to end, and waits until it has.
func (up *upProcess) stop() error {
	if err := up.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return up.ended()
}

// powerCut kills it so that it can tidy nothing up, and waits until all that it
// started in a folder is gone too.
func (up *upProcess) powerCut(dir string) error {
	if err := up.cmd.Process.Kill(); err != nil {
		return err
	}
	<-up.done
	deadline := time.Now().Add(patience)
	for left := processesIn(dir); len(left) > 0; left = processesIn(dir) {
		if time.Now().After(deadline) {
			return fmt.Errorf("processes of the killed cloud go on: %v", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// processesIn names the processes whose working folder is in dir; none where
// there is no /proc.
func processesIn(dir string) []string {
	var found []string
	folders, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, f := range folders {
		if cwd, err := os.Readlink(f); err == nil && strings.HasPrefix(cwd, dir) {
			found = append(found, filepath.Base(filepath.Dir(f))+" in "+cwd)
		}
	}
	return found
}

// upIn starts `millrace up` of a folder made with newBin on the folder "state"
// in dir, through another program if one is given. The test's end stops it.
func upIn(t *testing.T, dir, bin string, through ...string) *upProcess {
	t.Helper()
	return started(t, upCommand(t, dir, bin, through...))
}

// started starts a command of upCommand, to which more arguments may have been
// added. The test's end stops it.
func started(t *testing.T, cmd *exec.Cmd) *upProcess {
	t.Helper()
	up, err := startUp(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if up.cmd.ProcessState == nil {
			up.cmd.Process.Signal(syscall.SIGTERM)
			<-up.done
		}
	})
	return up
}

// upCommand is the command that upIn starts.
func upCommand(t *testing.T, dir, bin string, through ...string) *exec.Cmd {
	t.Helper()
	words := append(through, filepath.Join(bin, "millrace"), "up", "--dir", filepath.Join(dir, "state"))
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), words[0], words[1:]...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir}
	return cmd
}

// sessionAt makes the clients to a cloud.
func sessionAt(t *testing.T, endpoint string) *session {
	t.Helper()
	s, err := newSession(t.Context(), localConfig(endpoint))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain is the clients to a cloud without Millrace in it.
type plain struct {
	t   *testing.T
	s3  *s3.Client
	sfn *sfn.Client
	sqs *sqs.Client
}

// plainAt makes clients that ask so many times; 0 is as often as they do.
func plainAt(t *testing.T, endpoint string, attempts int) *plain {
	t.Helper()
	cfg := localConfig(endpoint)
	cfg.RetryMaxAttempts = attempts
	return &plain{t: t, s3: s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }), sfn: sfn.NewFromConfig(cfg), sqs: sqs.NewFromConfig(cfg)}
}

func (p *plain) put(key string, raw []byte) error {
	_, err := p.s3.PutObject(p.t.Context(), &s3.PutObjectInput{Bucket: aws.String("things"), Key: &key, Body: bytes.NewReader(raw)})
	return err
}

func (p *plain) get(key string) ([]byte, error) {
	out, err := p.s3.GetObject(p.t.Context(), &s3.GetObjectInput{Bucket: aws.String("things"), Key: &key})
	if err != nil {
		return nil, err
	}
	defer out.Body.Close()
	return io.ReadAll(out.Body)
}

func (p *plain) status(arn *string) types.ExecutionStatus {
	p.t.Helper()
	out, err := p.sfn.DescribeExecution(p.t.Context(), &sfn.DescribeExecutionInput{ExecutionArn: arn})
	if err != nil {
		p.t.Fatal(err)
	}
	return out.Status
}
