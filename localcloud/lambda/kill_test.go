package lambda_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/millrace-ml/millrace/localcloud/lambda"
	"github.com/millrace-ml/millrace/localcloud/store"
)

// at opens a cloud whose state outlives the test that opens it.
func at(t *testing.T, dir string) *cloud {
	t.Helper()
	st, err := store.Open(filepath.Join(dir, "state.db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return open(t, func(o *lambda.Options) { o.Dir, o.Store = filepath.Join(dir, "lambda"), st })
}

// TestVictim is the process that TestKill kills; alone it does nothing.
func TestVictim(t *testing.T) {
	dir := os.Getenv("VICTIM_DIR")
	if dir == "" {
		return
	}
	c := at(t, dir)
	c.create(t, "f", func(in *api.CreateFunctionInput) { in.Timeout = aws.Int32(900) })
	c.send(t, "f", `{"do":"touch-sleep","text":"`+filepath.Join(dir, "mark")+`"}`)
	time.Sleep(time.Hour) // not select {}, which Go without cgo takes for a deadlock
}

func TestKill_AcceptedEventsRunAgainAndProcessesDie(t *testing.T) {
	dir := t.TempDir()
	mark := filepath.Join(dir, "mark")
	victim := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	victim.Env = append(os.Environ(), "VICTIM_DIR="+dir)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "the function to run", func() bool { return len(lines(mark)) == 1 })
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait()
	pid, err := strconv.Atoi(lines(mark)[0])
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		awaitTrue(t, "end of the function's process", func() bool { return gone(pid) })
	}
	stale := filepath.Join(dir, "lambda", "gone", "0123")
	if err := os.MkdirAll(stale, 0o700); err != nil {
		t.Fatal(err)
	}
	c := at(t, dir)
	if _, err := os.Stat(stale); err == nil {
		t.Error("code of a function that is no more was kept")
	}
	if err := c.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "the event to run again", func() bool { return len(lines(mark)) == 2 })
}
