package main

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"
	"golang.org/x/sys/unix"
)

// fill lets a process write no file beyond its first bytes, as on a full disk;
// make room with full == false.
func fill(t *testing.T, pid int, full bool) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	if full {
		limit.Cur = 4096
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
}

// A full disk: what cannot be kept is refused as AWS refuses what it cannot do,
// nothing that was acknowledged is lost, and once there is room it goes on.
func TestUp_FullDisk(t *testing.T) {
	t.Parallel()
	bin, err := newBin(t.TempDir(), smallFlights)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	empty := upCommand(t, dir, bin)
	empty.Args = append(empty.Args, "--empty")
	up := started(t, empty)
	p, ctx := plainAt(t, up.endpoint, 1), t.Context()
	small, large := []byte("small"), bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	_, err = p.s3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String("things")})
	if err := errors.Join(err, p.put("small", small), p.put("large", large)); err != nil {
		t.Fatal(err)
	}
	queue, err := p.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("q")})
	if err != nil {
		t.Fatal(err)
	}
	machine, err := p.sfn.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{Name: aws.String("m"), RoleArn: aws.String("arn:aws:iam::" + localAccount + ":role/r"), Definition: aws.String(
		`{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1,"Next":"B"},"B":{"Type":"Pass","Next":"C"},"C":{"Type":"Wait","Seconds":1,"End":true}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	begun, err := p.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: machine.StateMachineArn, Name: aws.String("before")})
	if err != nil {
		t.Fatal(err)
	}

	fill(t, up.cmd.Process.Pid, true)
	for what, try := range map[string]func() error{
		"a small object":         func() error { return p.put("refused/small", small) },
		"a large object":         func() error { return p.put("refused/large", large) },
		"an object over another": func() error { return p.put("small", []byte("other")) },
		"a message": func() error {
			_, err := p.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: aws.String("refused")})
			return err
		},
		"an execution": func() error {
			_, err := p.sfn.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: machine.StateMachineArn, Name: aws.String("refused")})
			return err
		},
	} {
		var answer *awshttp.ResponseError
		var api smithy.APIError
		if err := try(); !errors.As(err, &answer) || answer.HTTPStatusCode() < 500 || !errors.As(err, &api) || !slices.Contains([]string{"InternalError", "ServiceUnavailable"}, api.ErrorCode()) {
			t.Errorf("%s on a full disk: %v", what, err)
		}
	}
	c := &testCloud{t: t}
	c.await("the execution's step is not kept", func() bool { return strings.Contains(up.said.String(), "execution not saved; trying again") })
	for key, want := range map[string][]byte{"small": small, "large": large} {
		if got, err := p.get(key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s on a full disk: %d bytes, %v", key, len(got), err)
		}
	}
	if got := p.status(begun.ExecutionArn); got != types.ExecutionStatusRunning {
		t.Errorf("the execution is %s", got)
	}
	if said := up.said.String(); !strings.Contains(said, "the disk is full") || !strings.Contains(said, "state.db") || !strings.Contains(said, "index.db") {
		t.Errorf("the log does not tell: %s", said)
	}

	fill(t, up.cmd.Process.Pid, false)
	c.await("the execution goes on", func() bool { return p.status(begun.ExecutionArn) == types.ExecutionStatusSucceeded })
	if err := p.put("after", large); err != nil {
		t.Errorf("once there is room: %v", err)
	}
	if !strings.Contains(up.said.String(), "there is room on the disk again") {
		t.Error("the log does not tell that there is room again")
	}
	if err := up.stop(); err != nil {
		t.Fatal(err)
	}
	empty = upCommand(t, dir, bin)
	empty.Args = append(empty.Args, "--empty")
	up = started(t, empty)
	p = plainAt(t, up.endpoint, 0)
	for key, want := range map[string][]byte{"small": small, "large": large, "after": large} {
		if got, err := p.get(key); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s after the restart: %d bytes, %v", key, len(got), err)
		}
	}
	for _, key := range []string{"refused/small", "refused/large"} {
		var answer *awshttp.ResponseError
		if _, err := p.get(key); !errors.As(err, &answer) || answer.HTTPStatusCode() != http.StatusNotFound {
			t.Errorf("%s, which was refused: %v", key, err)
		}
	}
	if got := p.status(begun.ExecutionArn); got != types.ExecutionStatusSucceeded {
		t.Errorf("the execution is %s after the restart", got)
	}
}
