package statemachine_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/statemachine"
)

type state struct {
	Type, Next, Default, Resource string
	Parameters, Result            any
	Choices                       []struct{ Variable, StringEquals, Next string }
	Retry                         []struct{ ErrorEquals []string }
	Catch                         []struct {
		ErrorEquals []string
		Next        string
	}
	ResultPath string
}

func definition(t *testing.T) (start string, states map[string]state) {
	t.Helper()
	var d struct {
		StartAt string
		States  map[string]state
	}
	if err := json.Unmarshal([]byte(statemachine.Definition), &d); err != nil {
		t.Fatal(err)
	}
	return d.StartAt, d.States
}

// constants are the string constants of the package, by the prefix of their names.
func constants(t *testing.T, prefix string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "statemachine.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			v := s.(*ast.ValueSpec)
			for i, n := range v.Names {
				if !strings.HasPrefix(n.Name, prefix) || i >= len(v.Values) {
					continue
				}
				text, err := strconv.Unquote(v.Values[i].(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				out[text] = n.Name
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("no constant begins with %s", prefix)
	}
	return out
}

func TestStateConstantsAreStates(t *testing.T) {
	start, states := definition(t)
	for name, constant := range constants(t, "State") {
		if _, ok := states[name]; !ok {
			t.Errorf("%s is %q, which is no state of the definition", constant, name)
		}
	}
	reached := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if name == "" || reached[name] {
			return
		}
		s, ok := states[name]
		if !ok {
			t.Errorf("a state leads to %q, which is none", name)
			return
		}
		reached[name] = true
		visit(s.Next)
		visit(s.Default)
		for _, c := range s.Choices {
			visit(c.Next)
		}
		for _, c := range s.Catch {
			visit(c.Next)
		}
	}
	visit(start)
	for name := range states {
		if !reached[name] {
			t.Errorf("no way leads to state %s", name)
		}
	}
}

// TestErrorNamesAreKnown: Retry and Catch match by name, so a name that nobody
// uses is a branch that never runs.
func TestErrorNamesAreKnown(t *testing.T) {
	_, states := definition(t)
	ours := constants(t, "Err")
	for name, s := range states {
		var used []string
		for _, r := range s.Retry {
			used = append(used, r.ErrorEquals...)
		}
		for _, c := range s.Catch {
			used = append(used, c.ErrorEquals...)
		}
		for _, e := range used {
			service := slices.ContainsFunc([]string{"States.", "Lambda.", "Runtime.", "Sandbox."}, func(p string) bool { return strings.HasPrefix(e, p) })
			if !service && ours[e] == "" {
				t.Errorf("state %s names the error %q, which is neither a constant nor a service's", name, e)
			}
		}
	}
}

// TestEveryTaskCatchesEverything: nothing fails silently, and a function's
// passing trouble is tried again before a run fails for it.
func TestEveryTaskCatchesEverything(t *testing.T) {
	_, states := definition(t)
	for name, s := range states {
		if s.Type != "Task" {
			continue
		}
		if len(s.Catch) == 0 || !slices.Equal(s.Catch[len(s.Catch)-1].ErrorEquals, []string{"States.ALL"}) {
			t.Errorf("task %s does not catch States.ALL last", name)
		}
		function := strings.Contains(s.Resource, "Function}") || strings.Contains(s.Resource, "lambda:invoke")
		retried := slices.ContainsFunc(s.Retry, func(r struct{ ErrorEquals []string }) bool {
			return slices.Contains(r.ErrorEquals, statemachine.ErrTransient)
		})
		if function && !retried {
			t.Errorf("task %s does not try again after %s", name, statemachine.ErrTransient)
		}
	}
}

func TestSubstitutionsAreThoseOfTheDefinition(t *testing.T) {
	used := map[string]bool{}
	for _, m := range regexp.MustCompile(`\$\{(\w+)\}`).FindAllStringSubmatch(statemachine.Definition, -1) {
		used[m[1]] = true
	}
	names := constants(t, "Subst")
	for name := range used {
		if names[name] == "" {
			t.Errorf("the definition has ${%s}, and no constant names it", name)
		}
	}
	for name, constant := range names {
		if !used[name] {
			t.Errorf("%s names ${%s}, which the definition does not have", constant, name)
		}
	}
}

// TestStepsActionsKindsAndOutcomes: what the definition passes, compares with and
// results in are the constants that Go code uses, all of them.
func TestStepsActionsKindsAndOutcomes(t *testing.T) {
	_, states := definition(t)
	found := map[string]map[string]bool{"Step": {}, "Action": {}, "Kind": {}, "Outcome": {}}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, prefix := range map[string]string{"step": "Step", "action": "Action"} {
				if text, ok := v[key].(string); ok {
					found[prefix][text] = true
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	for _, s := range states {
		walk(s.Parameters)
		if text, ok := s.Result.(string); ok && s.ResultPath == "$.outcome" {
			found["Outcome"][text] = true
		}
		for _, c := range s.Choices {
			if c.Variable == "$.snapshot.kind" {
				found["Kind"][c.StringEquals] = true
			}
		}
	}
	found["Kind"][statemachine.KindNothing] = true // the default
	for prefix, texts := range found {
		names := constants(t, prefix)
		for text := range texts {
			if names[text] == "" {
				t.Errorf("the definition has %q, and no %s constant is that", text, prefix)
			}
		}
		for text, name := range names {
			if !texts[text] {
				t.Errorf("%s is %q, which the definition does not have", name, text)
			}
		}
	}
}
