package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/millrace-ml/millrace/localcloud/wire/wiretest"
)

// TestMain makes this binary the command `millrace` too, for scripts, and
// `without-xattr` (see runWithoutXattr), and has all that goes over the wire
// judged by botocore's models.
func TestMain(m *testing.M) {
	testscript.Main(judged{m}, map[string]func(){"millrace": func() {
		around = wiretest.Around()
		main()
	}, "without-xattr": runWithoutXattr})
}

type judged struct{ m *testing.M }

func (j judged) Run() int {
	return wiretest.Judged(func() int {
		around = wiretest.Around()
		return j.m.Run()
	})
}

var functionNames = []string{"jobcompleted", "modelapproved", "newdata", "register", "runended", "snapshot", "startjob"}

// programs builds the worker and the functions, once. The folder outlives the
// test, so that Go links again only what changed.
var programs = sync.OnceValues(func() (folder string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return "", err
	}
	// Checkouts do not share a folder: each would undo the other's work.
	folder = filepath.Join(cache, "millrace-test", strings.ReplaceAll(strings.Trim(root, "/"), "/", "-"))
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s", "-tags", "lambda.norpc", "-o", folder + string(filepath.Separator), "./worker"}
	for _, f := range functionNames {
		args = append(args, "./functions/"+f)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return folder, nil
})

// newBin makes a folder in dir like bin/ of `make build`, with a definition file
// in the place of the shipped pipeline's, and this binary as millrace.
func newBin(dir, definition string) (bin string, err error) {
	built, err := programs()
	if err != nil {
		return "", err
	}
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	bin = filepath.Join(dir, "bin")
	snapshot, err := filepath.Abs(filepath.Join("..", "..", "infra", "stack", "snapshot"))
	if err != nil {
		return "", err
	}
	files := map[string]string{
		filepath.Join(bin, "millrace"): self,
		filepath.Join(bin, "worker"):   filepath.Join(built, "worker"),
	}
	for _, name := range []string{"Millrace.template.json", "Millrace.assets.json"} {
		files[filepath.Join(bin, "assembly", name)] = filepath.Join(snapshot, name)
	}
	for _, f := range functionNames {
		folder := filepath.Join(bin, "functions", f)
		files[filepath.Join(folder, "bootstrap")] = filepath.Join(built, f)
		files[filepath.Join(folder, "pipelines", "flights", "pipeline.yaml")] = definition
	}
	for to, from := range files {
		if err := place(from, to); err != nil {
			return "", err
		}
	}
	return bin, nil
}

// place links a file to another name, or copies it where that cannot be. It is
// no symbolic link: the program finds what belongs to it beside itself.
func place(from, to string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}
