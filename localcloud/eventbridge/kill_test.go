package eventbridge_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// A kill between the answer to PutEvents and the delivery loses nothing: what
// is on disk at that moment is enough.
func TestAcknowledgedEventSurvivesKill(t *testing.T) {
	r := newRig(t)
	hang := make(chan struct{})
	entered := make(chan struct{}, 1)
	r.cloud.answers(func(called) error {
		entered <- struct{}{}
		<-hang
		return nil
	})
	r.rule(t, types.Target{Arn: aws.String(function)})
	out := r.put(t, `{"k":"v"}`)
	<-entered
	disk, err := os.ReadFile(filepath.Join(r.dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	close(hang)
	r.cloud.wait(t)

	after := &rig{clock: r.clock, cloud: &cloud{calls: make(chan called, 10)}, dir: t.TempDir(), ids: 1000}
	if err := os.WriteFile(filepath.Join(after.dir, "state.db"), disk, 0o600); err != nil {
		t.Fatal(err)
	}
	after.open(t, true)
	got := after.cloud.wait(t)
	if got.Service != "lambda" || !strings.Contains(event(t, got), `"id":"`+*out.Entries[0].EventId+`"`) {
		t.Errorf("called %+v", got)
	}
	after.awaitIdle(t)
	after.cloud.none(t)
}
