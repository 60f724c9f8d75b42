package exact_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// kinds are CPUs other than the plain one: those that fuse products with sums, and those for
// which the standard library has other assembly.
var kinds = []struct {
	name     string
	arch     string
	env      []string
	emulator string // runs it on a machine of another architecture
	absent   string // what is printed where it cannot run
}{
	{name: "amd64 v1", arch: "amd64", env: []string{"GOAMD64=v1"}, emulator: "qemu-x86_64"},
	{name: "amd64 v3", arch: "amd64", env: []string{"GOAMD64=v3"}, emulator: "qemu-x86_64", absent: "can only be run on AMD64 processors"},
	{name: "arm64", arch: "arm64", emulator: "qemu-aarch64"},
}

// The tests that pin hashes of models are built for other kinds of CPU and run there, where
// they have to find the same hashes.
func TestSameBitsOnOtherCPUKinds(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			var program []string
			if kind.arch != runtime.GOARCH {
				if _, err := exec.LookPath(kind.emulator); err != nil {
					t.Skipf("left out: %s is not installed (qemu-user has it)", kind.emulator)
				}
				program = []string{kind.emulator}
			}
			for pkg, tests := range map[string]string{
				"exact":  "^TestSameBits$",
				"gbdt":   "^TestTrainGivesTheSameBytes$",
				"linear": "^TestTrainGivesTheSameBytes$",
			} {
				t.Run(pkg, func(t *testing.T) {
					binary := filepath.Join(t.TempDir(), "tests")
					build := exec.Command("go", "test", "-c", "-o", binary, "../"+pkg)
					build.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOARCH="+kind.arch), kind.env...)
					if out, err := build.CombinedOutput(); err != nil {
						t.Fatalf("build for %s: %v\n%s", kind.name, err, out)
					}
					args := append(program, binary, "-test.run="+tests, "-test.v")
					run := exec.Command(args[0], args[1:]...)
					run.Dir = "../" + pkg
					out, err := run.CombinedOutput()
					if kind.absent != "" && strings.Contains(string(out), kind.absent) {
						t.Skipf("left out: this machine is no %s", kind.name)
					}
					if err != nil || !strings.Contains(string(out), "--- PASS: "+strings.Trim(tests, "^$")) {
						t.Errorf("on %s: %v\n%s", kind.name, err, out)
					}
				})
			}
		})
	}
}
