package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The limits of the demonstration.
const (
	demoWithin = 30 * time.Second
	demoMemory = 1 << 30 // bytes
	sampleEach = 50 * time.Millisecond
)

// demo measures the main job: its time, and the memory of all its processes.
func demo(ctx context.Context, o options, w io.Writer) ([]line, error) {
	fmt.Fprintf(w, "demonstration: `millrace demo --once` in an empty folder, from its start to its end, %d times;\n"+
		"  memory is the sum of the resident sets of all its processes (pages that they share count in each), looked at every %s\n", o.demos, sampleEach)
	var times []time.Duration
	var most int64
	for range o.demos {
		took, peak, err := oneDemo(ctx, o)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(w, "  %.1f s, %s\n", took.Seconds(), peak)
		times, most = append(times, took), max(most, peak.bytes)
	}
	if len(times) == 0 {
		return nil, nil
	}
	worst := quantile(times, 1)
	lines := []line{{what: "demonstration, time (median, most)", got: fmt.Sprintf("%.1f s, %.1f s", quantile(times, 0.5).Seconds(), worst.Seconds()),
		limit: fmt.Sprintf("%.0f s", demoWithin.Seconds()), missed: worst >= demoWithin}}
	if most == 0 {
		return lines, fmt.Errorf("memory: there is no /proc here")
	}
	return append(lines, line{what: "demonstration, memory (most)", got: mib(most), limit: mib(demoMemory), missed: most >= demoMemory}), nil
}

func mib(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// peak is the moment of most memory.
type peak struct {
	bytes     int64
	processes int
	at        time.Duration
}

func (p peak) String() string {
	return fmt.Sprintf("%s in %d processes after %.1f s", mib(p.bytes), p.processes, p.at.Seconds())
}

func oneDemo(ctx context.Context, o options) (took time.Duration, most peak, err error) {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return 0, most, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin, "millrace"), "demo", "--once", "--json", "--data", o.data)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var said bytes.Buffer
	cmd.Dir, cmd.Stderr = dir, &said
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, most, fmt.Errorf("start the demonstration: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(sampleEach)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			if err != nil {
				return 0, most, fmt.Errorf("run the demonstration: %w\n%s", err, said.String())
			}
			return time.Since(begun), most, nil
		case <-tick.C:
			if now := resident(cmd.Process.Pid); now.bytes > most.bytes {
				most = now
				most.at = time.Since(begun)
			}
		}
	}
}

// resident sums the memory of a process and all below it.
func resident(root int) (sum peak) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return sum
	}
	children := map[int][]int{}
	pages := map[int]int64{}
	for _, file := range stats {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended meanwhile
		}
		// The name, in parentheses, may hold anything.
		rest := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
		if len(rest) < 22 {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			continue
		}
		parent, _ := strconv.Atoi(rest[1])
		pages[pid], _ = strconv.ParseInt(rest[21], 10, 64)
		children[parent] = append(children[parent], pid)
	}
	for todo := []int{root}; len(todo) > 0; todo = todo[1:] {
		if n, ok := pages[todo[0]]; ok {
			sum.bytes += n * int64(os.Getpagesize())
			sum.processes++
		}
		todo = append(todo, children[todo[0]]...)
	}
	return sum
}
