package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// With AWS's own clients alone, each in a cloud of its own: the main loop, every
// supported operation once, and every constraint of their inputs broken. Where a
// client is not installed its test is left out, unless MILLRACE_TEST_CLIENTS is
// "required", as in CI.
func TestClients(t *testing.T) {
	for name, client := range map[string]struct {
		has  []string // tells whether the client is there
		loop []string
	}{
		"boto3":   {[]string{"python3", "-c", "import boto3"}, []string{"python3", filepath.Join("testdata", "loop.py")}},
		"every":   {[]string{"python3", "-c", "import boto3"}, []string{"python3", filepath.Join("testdata", "every.py"), filepath.Join("..", "..", "docs", "supported-operations.md")}},
		"refused": {[]string{"python3", "-c", "import boto3"}, []string{"python3", filepath.Join("testdata", "refused.py"), filepath.Join("..", "..", "docs", "supported-operations.md")}},
		"aws":     {[]string{"aws", "--version"}, []string{"bash", filepath.Join("testdata", "loop.sh")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, err := exec.CommandContext(t.Context(), client.has[0], client.has[1:]...).CombinedOutput(); err != nil {
				if os.Getenv("MILLRACE_TEST_CLIENTS") == "required" {
					t.Fatalf("%s is required and not there: %v\n%s", name, err, out)
				}
				t.Skipf("LEFT OUT: %s is not installed here (%v); CI runs this", name, err)
			}
			bin, err := newBin(t.TempDir(), smallFlights)
			if err != nil {
				t.Fatal(err)
			}
			c := serveCloud(t, cloudOptions{bin: bin, faults: true}) // a job that is to be stopped is slowed down
			folder := t.TempDir()
			write(t, filepath.Join(folder, "learn.csv.gz"), gzipped(t, flightRows(3000, 1)))
			write(t, filepath.Join(folder, "score.csv"), flightRows(500, 2))
			cmd := exec.CommandContext(t.Context(), client.loop[0], append(client.loop[1:], folder)...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "PYTHONDONTWRITEBYTECODE=1", "AWS_ENDPOINT_URL=" + c.up.endpoint,
				"AWS_DEFAULT_REGION=" + localRegion, "AWS_ACCESS_KEY_ID=" + localKey, "AWS_SECRET_ACCESS_KEY=" + localKey, "AWS_EC2_METADATA_DISABLED=true"}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%s", out)
		})
	}
}

func write(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
