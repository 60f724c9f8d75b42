package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// goBenchmarks runs the benchmarks of the parts whose speed people feel: objects
// through the port, features of a row, training and scoring.
func goBenchmarks(ctx context.Context, o options, w io.Writer) ([]line, error) {
	if !o.goes {
		return nil, nil
	}
	args := []string{"test", "-run", "^$", "-bench", ".", "-benchtime", "300ms", "-benchmem", "./localcloud", "./shared/features", "./worker/gbdt"}
	fmt.Fprintf(w, "Go benchmarks: go %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if l := lines.Text(); strings.HasPrefix(l, "Benchmark") || strings.HasPrefix(l, "FAIL") || strings.HasPrefix(l, "---") {
			fmt.Fprintln(w, "  "+l)
		}
	}
	return nil, cmd.Wait()
}
