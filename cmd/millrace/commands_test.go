package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/millrace-ml/millrace/localcloud"
)

// In an empty cloud each: the commonest commands of the AWS CLI, all of boto3's
// paginators and waiters, and what reads tables from S3. They are left out, or
// required, as in TestClients; MILLRACE_DATA_PYTHON is a Python with pandas, s3fs and pyarrow.
func TestEmptyCloud(t *testing.T) {
	data := cmp.Or(os.Getenv("MILLRACE_DATA_PYTHON"), "python3")
	for name, client := range map[string]struct{ has, run []string }{
		"commands": {[]string{"aws", "--version"}, []string{"bash", "commands.sh"}},
		"pages":    {[]string{"python3", "-c", "import boto3"}, []string{"python3", "pages.py", filepath.Join("..", "..", "..", "docs", "supported-operations.md")}},
		"data":     {[]string{data, "-c", "import boto3, pandas, s3fs, pyarrow"}, []string{data, "data.py"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := exec.CommandContext(t.Context(), client.has[0], client.has[1:]...).CombinedOutput(); err != nil {
				if os.Getenv("MILLRACE_TEST_CLIENTS") == "required" {
					t.Fatalf("%s is required and not there: %v\n%s", client.has[0], err, out)
				}
				t.Skipf("LEFT OUT: %s is not installed here (%v); CI runs this", client.has[0], err)
			}
			folder := t.TempDir()
			cmd := exec.CommandContext(t.Context(), client.run[0], append(client.run[1:], folder)...)
			cmd.Dir = "testdata"
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "PYTHONDONTWRITEBYTECODE=1", "AWS_ENDPOINT_URL=" + emptyCloud(t),
				"AWS_DEFAULT_REGION=" + localRegion, "AWS_ACCESS_KEY_ID=" + localKey, "AWS_SECRET_ACCESS_KEY=" + localKey, "AWS_EC2_METADATA_DISABLED=true"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

// emptyCloud serves a cloud with nothing in it, whose image "program" is
// testdata/program.py, and returns its address.
func emptyCloud(t *testing.T) string {
	t.Helper()
	program, err := filepath.Abs(filepath.Join("testdata", "program.py"))
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := localcloud.New(t.Context(), localcloud.Options{Ephemeral: true, Images: map[string]string{"program": program}})
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
	return "http://" + l.Addr().String()
}
