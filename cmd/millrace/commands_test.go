package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/millrace-ml/millrace/localcloud"
)

// The commonest commands of the AWS CLI, in an empty cloud. It is left out, or
// required, as TestClients is.
func TestCommands(t *testing.T) {
	t.Parallel()
	if out, err := exec.CommandContext(t.Context(), "aws", "--version").CombinedOutput(); err != nil {
		if os.Getenv("MILLRACE_TEST_CLIENTS") == "required" {
			t.Fatalf("the AWS CLI is required and not there: %v\n%s", err, out)
		}
		t.Skipf("LEFT OUT: the AWS CLI is not installed here (%v); CI runs this", err)
	}
	cloud, err := localcloud.New(t.Context(), localcloud.Options{Ephemeral: true})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- cloud.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, cloud.Close()); err != nil {
			t.Error(err)
		}
	})
	script, err := filepath.Abs(filepath.Join("testdata", "commands.sh"))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", script, folder)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "PYTHONDONTWRITEBYTECODE=1", "AWS_ENDPOINT_URL=http://" + l.Addr().String(),
		"AWS_DEFAULT_REGION=" + localRegion, "AWS_ACCESS_KEY_ID=" + localKey, "AWS_SECRET_ACCESS_KEY=" + localKey, "AWS_EC2_METADATA_DISABLED=true"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
