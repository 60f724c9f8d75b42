package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/shared/definition"
)

// checked is the verdict on one definition.
type checked struct {
	File     string               `json:"file"`
	OK       bool                 `json:"ok"`
	Problems []definition.Problem `json:"problems"`
}

func runValidate(_ context.Context, c *cli, args []string) error {
	fs := c.flags("validate", "[DIR|FILE]…", "Checks pipeline definitions (default: all below pipelines/). Every problem is told, with line and column.")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	files, err := definitionFiles(rest)
	if err != nil {
		return err
	}
	var all []checked
	bad := 0
	for _, file := range files {
		v, err := check(file)
		if err != nil {
			return err
		}
		if !v.OK {
			bad++
		}
		all = append(all, v)
	}
	err = c.print(all, func(w io.Writer) {
		for _, v := range all {
			if v.OK {
				fmt.Fprintf(w, "%s: ok\n", v.File)
				continue
			}
			fmt.Fprintln(w, &definition.Problems{File: v.File, List: v.Problems})
		}
	})
	if err == nil && bad > 0 {
		return &findingError{}
	}
	return err
}

func check(file string) (checked, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return checked{}, fmt.Errorf("read definition: %w", err)
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return checked{}, fmt.Errorf("find definition: %w", err)
	}
	v := checked{File: file, Problems: []definition.Problem{}}
	_, err = definition.Parse(filepath.Base(filepath.Dir(abs)), src)
	var problems *definition.Problems
	switch {
	case err == nil:
		v.OK = true
	case errors.As(err, &problems):
		v.Problems = problems.List
	default:
		return v, err
	}
	return v, nil
}

// definitionFiles finds the definitions that the arguments mean.
func definitionFiles(args []string) ([]string, error) {
	if len(args) == 0 {
		files, err := filepath.Glob(filepath.Join("pipelines", "*", "pipeline.yaml"))
		if err != nil || len(files) == 0 {
			return nil, errors.New("there is no pipelines/*/pipeline.yaml here (hint: name a folder or a file)")
		}
		return files, nil
	}
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, fmt.Errorf("find definition: %w", err)
		}
		if info.IsDir() {
			arg = filepath.Join(arg, "pipeline.yaml")
		}
		files = append(files, arg)
	}
	return files, nil
}

// checkDefinitions refuses to deploy definitions that the functions could not
// work with: they would crash, and no run could say why.
func checkDefinitions(a *assembly) error {
	seen := map[string]bool{}
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(a.assets)) {
		files, err := filepath.Glob(filepath.Join(a.assets[key].path, "pipelines", "*", "pipeline.yaml"))
		if err != nil {
			return fmt.Errorf("find definitions in %s: %w", a.dir, err)
		}
		for _, file := range files {
			pipeline := filepath.Base(filepath.Dir(file))
			if seen[pipeline] { // each function has the same ones
				continue
			}
			seen[pipeline] = true
			v, err := check(file)
			if err != nil {
				return err
			}
			if !v.OK {
				problems = append(problems, &definition.Problems{File: v.File, List: v.Problems})
			}
		}
	}
	if len(problems) > 0 {
		return fmt.Errorf("nothing was deployed, since a definition is wrong (hint: `millrace validate` before a build):\n%w", errors.Join(problems...))
	}
	return checkTemplate(a, slices.Sorted(maps.Keys(seen)))
}

// checkTemplate refuses functions that have pipelines which the template does
// not know: it grants them nothing, and their runs would fail one by one.
func checkTemplate(a *assembly, built []string) error {
	var t struct {
		Outputs struct{ Pipelines struct{ Value any } }
	}
	if err := json.Unmarshal(a.template, &t); err != nil {
		return fmt.Errorf("read template of %s: %w", a.dir, err)
	}
	text, ok := t.Outputs.Pipelines.Value.(string)
	var known []string
	if !ok || json.Unmarshal([]byte(text), &known) != nil {
		return nil // not a template of Millrace, or not a plain one
	}
	unknown := slices.DeleteFunc(built, func(p string) bool { return slices.Contains(known, p) })
	if len(unknown) == 0 {
		return nil
	}
	return fmt.Errorf("nothing was deployed: the template in %s does not know %s, only %s (hint: `make snapshot build`; synthesizing needs Node)",
		a.dir, strings.Join(unknown, ", "), strings.Join(known, ", "))
}
