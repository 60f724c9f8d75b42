package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// faulty puts a program in the worker's place that is the worker until a test
// says otherwise, see breaks.
func faulty(t *testing.T, bin string) {
	t.Helper()
	worker := filepath.Join(bin, "worker")
	if err := os.Rename(worker, filepath.Join(bin, "good-worker")); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\nbin=%s\nif [ -e \"$bin/fault-$1\" ]; then . \"$bin/fault-$1\"; fi\nexec \"$bin/good-worker\" \"$@\"\n", bin)
	if err := os.WriteFile(worker, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

// breaks makes the worker run some lines of shell at the begin of a step, until
// the function that it gives is called.
func (c *trouble) breaks(step, lines string) (repair func()) {
	c.t.Helper()
	file := filepath.Join(c.bin, "fault-"+step)
	if err := os.WriteFile(file+".new", []byte(lines+"\n"), 0o644); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		c.t.Helper()
		if err := os.Remove(file); err != nil {
			c.t.Fatal(err)
		}
	}
}
