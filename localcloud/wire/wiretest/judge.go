package wiretest

import (
	"embed"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
)

// Folder is the environment variable that names the folder to record into. It is
// set while Judged runs, for the tests' child processes too.
const Folder = "MILLRACE_RECORD_WIRE"

//go:embed *.py
var scripts embed.FS

// Judged runs tests (m.Run) while what they send and receive is recorded,
// and then has the record judged by botocore's models; it gives the exit code. A
// folder that Folder names is kept. Where there is no Python with botocore it
// only runs the tests, unless MILLRACE_TEST_CLIENTS is "required", as in CI.
func Judged(run func() int) int {
	if out, err := exec.Command("python3", "-c", "import botocore").CombinedOutput(); err != nil {
		if os.Getenv("MILLRACE_TEST_CLIENTS") == "required" {
			fmt.Printf("FAIL: botocore is required and not there: %v\n%s\n", err, out)
			return 1
		}
		fmt.Println("LEFT OUT: no botocore here to judge what went over the wire; CI does")
		return run()
	}
	folder := os.Getenv(Folder)
	if folder == "" {
		var err error
		if folder, err = os.MkdirTemp("", "millrace-wire-"); err != nil {
			fmt.Println("FAIL:", err)
			return 1
		}
		defer os.RemoveAll(folder)
		os.Setenv(Folder, folder)
		defer os.Unsetenv(Folder)
	}
	code := run()
	report, err := Judge(folder)
	fmt.Print(report)
	if err != nil {
		fmt.Println("FAIL: the wire:", err)
		return 1
	}
	return code
}

// Judge holds a folder's records against botocore's models, and tells every
// violation. No record is no violation.
func Judge(folder string) (report string, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "wire-*.jsonl"))
	if err != nil || len(files) == 0 {
		return "", err
	}
	program, err := os.MkdirTemp("", "millrace-wire-")
	if err != nil {
		return "", fmt.Errorf("judge the record in %s: %w", folder, err)
	}
	defer os.RemoveAll(program)
	if err := os.CopyFS(program, scripts); err != nil {
		return "", fmt.Errorf("judge the record in %s: %w", folder, err)
	}
	cmd := exec.Command("python3", append([]string{filepath.Join(program, "validate.py")}, files...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("judge the record in %s: %w", folder, err)
	}
	return string(out), err
}

// Around records into the folder that Folder names; without one it is nil.
func Around() func(http.Handler) http.Handler {
	folder := os.Getenv(Folder)
	if folder == "" {
		return nil
	}
	r, err := NewRecorder(folder)
	if err != nil {
		panic(err)
	}
	return r.Around
}
