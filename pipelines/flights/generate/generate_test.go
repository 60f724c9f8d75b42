package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The generator must refuse a source that is not the one its files are made of.
func TestRefusesAnotherSource(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "generate")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	source := filepath.Join(dir, "flights-3m.parquet")
	if err := os.WriteFile(source, []byte("PAR1 but not these flights"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"other source": {[]string{"-out", dir, source}, 1, "verify source"},
		"no file":      {[]string{"-out", dir, source + ".gone"}, 1, "read source"},
		"no argument":  {nil, 2, "usage"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(program, c.args...)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.want) {
				t.Errorf("got %v, exit code %d, want %d and %q:\n%s", err, cmd.ProcessState.ExitCode(), c.code, c.want, out)
			}
		})
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.gz")); err != nil || len(files) > 0 {
		t.Errorf("it wrote %v", files)
	}
}
