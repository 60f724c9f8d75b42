// Command bench measures the speed and the size of Millrace on this machine and
// prints them with the machine and the method. It judges nothing: a limit that
// is missed is marked, and the exit code stays 0. It is 1 when something could
// not be measured.
//
// Run it at the root of the checkout after `make build`, or by `make bench`.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// options say what to measure, and how often.
type options struct {
	bin    string // what `make build` makes
	data   string // months of flights
	demos  int
	starts int // of each function
	events int
	goes   bool // Go's benchmarks too
}

// line is a row of the table.
type line struct {
	what, got, limit string
	missed           bool
}

func main() {
	if os.Getenv(reportVariable) != "" {
		serveAsFunction() // this program is the function that the events go to
		return
	}
	var o options
	flag.StringVar(&o.bin, "bin", "bin", "folder with what `make build` makes")
	flag.StringVar(&o.data, "data", filepath.Join("pipelines", "flights", "data"), "folder with the months of flights")
	flag.IntVar(&o.demos, "demos", 3, "how often to run the demonstration")
	flag.IntVar(&o.starts, "starts", 20, "how often to start each function")
	flag.IntVar(&o.events, "events", 300, "how many events to put")
	flag.BoolVar(&o.goes, "go", true, "run Go's benchmarks too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, w io.Writer) error {
	for _, path := range []*string{&o.bin, &o.data} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
		*path = abs
	}
	fmt.Fprintf(w, "machine  %s\nbegun    with %s\n\n", machine(), load())
	var lines []line
	var failed []string
	for _, m := range []struct {
		name    string
		measure func(context.Context, options, io.Writer) ([]line, error)
	}{{"demonstration", demo}, {"cold starts", coldStarts}, {"event to function", eventLatency}, {"state machines", states}, {"objects", objects}, {"reading", reading}, {"preparing", preparing}, {"trainer", trainer}, {"planted cases", planted}, {"Go benchmarks", goBenchmarks}} {
		if err := ctx.Err(); err != nil {
			return err
		}
		l, err := m.measure(ctx, o, w)
		lines = append(lines, l...)
		if err != nil {
			fmt.Fprintf(w, "  NOT MEASURED: %v\n", err)
			failed = append(failed, m.name)
		}
		fmt.Fprintln(w)
	}
	table(w, lines)
	fmt.Fprintf(w, "\nended    with %s\n", load())
	if len(failed) > 0 {
		return fmt.Errorf("could not be measured: %s", strings.Join(failed, ", "))
	}
	return nil
}

func table(w io.Writer, lines []line) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tMEASURED\tLIMIT\t")
	for _, l := range lines {
		verdict := "ok"
		switch {
		case l.limit == "":
			verdict = ""
		case l.missed:
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.what, l.got, l.limit, verdict)
	}
	t.Flush()
}

// machine describes the machine; what cannot be told is left out.
func machine() string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		parts = append([]string{model}, parts...)
	}
	if total := field("/proc/meminfo", "MemTotal"); total != "" {
		var kib int64
		if _, err := fmt.Sscan(total, &kib); err == nil {
			parts = append(parts, fmt.Sprintf("%.1f GiB of memory", float64(kib)/(1<<20)))
		}
	}
	return strings.Join(append(parts, runtime.GOOS+"/"+runtime.GOARCH, runtime.Version()), ", ")
}

// field is the value of a line `name : value` in a file of /proc.
func field(file, name string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for l := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func load() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "an unknown load"
	}
	return "load " + strings.Join(strings.Fields(string(raw))[:3], " ")
}

// quantile is the q-quantile of the durations, by the nearest rank.
func quantile(all []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	rank := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// ms writes a duration in milliseconds.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
