// Package millrace_test holds what concerns the whole house.
package millrace_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/millrace-ml/millrace"

type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	GoFiles    []string
	Imports    []string // without those of tests
	Deps       []string // of all that is linked
}

func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := list()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	return all
}

// list asks once: it takes seconds.
var list = sync.OnceValues(func() ([]pkg, error) {
	// What a child process reads is unknown to the cache of test results, so the
	// folders are read here too.
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "testdata", "data", "node_modules"}, d.Name())) {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	raw, err := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,Imports,Deps", "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, err
	}
	var out []pkg
	for d := json.NewDecoder(strings.NewReader(string(raw))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
})

// ours is a package's path within the module; "" for those of others.
func ours(path string) string {
	if path == module {
		return "."
	}
	rest, _ := strings.CutPrefix(path, module+"/")
	if rest == path {
		return ""
	}
	return rest
}

func under(path string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(r string) bool { return path == r || strings.HasPrefix(path, r+"/") })
}

// pure packages touch no AWS; any part may use those that its rule allows.
var pure = []string{"shared/definition", "shared/recipe", "shared/features", "shared/hyperparameters", "shared/drift", "shared/jobs/jobfile"}

// rule says what the packages of one part may import of ours, and which modules
// of others they must not link.
type rule struct {
	part   []string
	except []string // packages below part that have a rule of their own
	may    []string
	never  []string // linked, directly or not
}

const (
	sdk  = "github.com/aws/aws-sdk-go-v2"
	cdk  = "github.com/aws/aws-cdk-go"
	jsii = "github.com/aws/jsii-runtime-go"
)

// For test support, which no program links, see TestTestSupportStaysInTests.
var support = []string{"shared/ledger/ledgertest", "shared/runs/runstest", "localcloud/wire/wiretest"}

func rules() []rule {
	aws := slices.Concat(pure, []string{"events", "statemachine", "shared/ledger", "shared/jobs", "shared/registry", "shared/awserr", "shared/bootstrap", "shared/runs"})
	return []rule{
		{part: []string{"events"}, never: []string{sdk, module}},
		{part: []string{"statemachine"}, may: []string{"events"}, never: []string{sdk}},
		{part: pure, may: slices.Concat(pure, []string{"events", "statemachine"}), never: []string{sdk, "github.com/aws"}},
		{part: []string{"shared"}, except: slices.Concat(pure, support), may: aws},
		{part: support, may: slices.Concat(aws, support, []string{"localcloud/wire"})},
		{part: []string{"functions"}, may: aws},
		{part: []string{"worker"}, may: append(slices.Clone(pure), "worker"), never: []string{sdk, "github.com/aws"}},
		{part: []string{"infra"}, may: []string{"infra", "events", "statemachine", "shared/definition"}, never: []string{sdk}},
		{part: []string{"localcloud"}, may: []string{"localcloud"}},
		{part: []string{"cmd"}, may: append(slices.Clone(aws), "cmd", "localcloud")},
	}
}

func TestImportRules(t *testing.T) {
	checked := map[string]bool{}
	all := packages(t)
	for _, r := range rules() {
		for _, p := range all {
			path := ours(p.ImportPath)
			if !under(path, r.part...) || under(path, r.except...) {
				continue
			}
			checked[path] = true
			for _, i := range p.Imports {
				if o := ours(i); o != "" && !under(o, r.may...) && !(under(path, "functions") && o == path) {
					t.Errorf("%s imports %s, which its part must not", path, o)
				}
			}
			for _, n := range r.never {
				at := slices.IndexFunc(p.Deps, func(d string) bool { return under(d, n) && !(n == module && d == p.ImportPath) })
				if at >= 0 {
					t.Errorf("%s links %s, which its part must not", path, p.Deps[at])
				}
			}
		}
	}
	for _, p := range all {
		if path := ours(p.ImportPath); !checked[path] && path != "." && !under(path, "internaldeps", "pipelines", "docs", "tools", "internal") {
			t.Errorf("no import rule is about %s", path)
		}
	}
}

// TestServicesOfTheLocalCloudDoNotMeet: they know each other only through what
// localcloud hands them.
func TestServicesOfTheLocalCloudDoNotMeet(t *testing.T) {
	shared := []string{"localcloud/wire", "localcloud/clock", "localcloud/store", "localcloud/faults", "localcloud/pattern", "localcloud/service"}
	parts := map[string][]string{"localcloud/stepfunctions": {"localcloud/asl"}}
	for _, p := range packages(t) {
		path := ours(p.ImportPath)
		if !under(path, "localcloud") || path == "localcloud" {
			continue
		}
		service := strings.Join(strings.SplitN(path, "/", 3)[:2], "/")
		for _, i := range p.Imports {
			if o := ours(i); o != "" && !under(o, service) && !under(o, shared...) && !under(o, parts[service]...) {
				t.Errorf("%s imports %s: services meet only in localcloud", path, o)
			}
		}
	}
}

// TestWhatProgramsLink: nothing but infra links the CDK; no program links what is
// for tests; functions are small.
func TestWhatProgramsLink(t *testing.T) {
	for _, p := range packages(t) {
		path := ours(p.ImportPath)
		if under(path, "internaldeps") {
			continue
		}
		for _, d := range p.Deps {
			switch {
			case under(d, cdk, jsii) && !under(path, "infra"):
				t.Errorf("%s links %s, which only infra may", path, d)
			case (d == "testing" || d == "net/http/httptest") && !under(path, support...):
				t.Errorf("%s links %s, which is for tests", path, d)
			case under(path, "functions") && (under(d, "github.com/versity/versitygw") || under(ours(d), "localcloud", "worker", "cmd", "infra")):
				t.Errorf("%s links %s, which no function may", path, d)
			}
		}
	}
}

// TestTestSupportStaysInTests: packages for tests are imported by tests alone.
func TestTestSupportStaysInTests(t *testing.T) {
	for _, p := range packages(t) {
		for _, d := range p.Deps {
			if under(ours(d), support...) && !under(ours(p.ImportPath), support...) {
				t.Errorf("%s links %s, which is for tests", ours(p.ImportPath), ours(d))
			}
		}
	}
}

// TestOneWayToAWS: the AWS configuration is loaded in two places only.
func TestOneWayToAWS(t *testing.T) {
	for _, p := range packages(t) {
		path := ours(p.ImportPath)
		if !slices.Contains(p.Imports, sdk+"/config") || under(path, "shared/bootstrap", "cmd/millrace", "internaldeps") {
			continue
		}
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "LoadDefaultConfig" {
					t.Errorf("%s/%s loads the AWS configuration", path, file)
				}
				return true
			})
		}
	}
}
