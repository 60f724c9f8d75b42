package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Limits of the local cloud.
const (
	transitions      = 100_000 // a second, of the interpreter
	hundredOverWire  = 0.5     // seconds
	thousandInMemory = 500     // MB
	goroutinesLeft   = 0
)

// figures are a benchmark's metrics by unit, of several runs.
type figures map[string][]float64

// median is of a unit's runs; others load the machine, so that one tells little.
func (f figures) median(unit string) float64 {
	all := slices.Sorted(slices.Values(f[unit]))
	if len(all) == 0 {
		return 0
	}
	return all[len(all)/2]
}

// medians runs benchmarks several times.
func medians(ctx context.Context, w io.Writer, args ...string) (map[string]figures, error) {
	all := map[string]figures{}
	err := benchmarks(ctx, w, func(name string, m map[string]float64) {
		name, _ = strings.CutSuffix(name, fmt.Sprintf("-%d", runtime.GOMAXPROCS(0)))
		if all[name] == nil {
			all[name] = figures{}
		}
		for unit, v := range m {
			all[name][unit] = append(all[name][unit], v)
		}
	}, args...)
	return all, err
}

// peer is another interpreter, and what to do to have it here.
type peer struct{ benchmark, name, variable, install string }

var interpreters = []peer{
	{"aws-local-stepfunctions", "npm's aws-local-stepfunctions", "MILLRACE_ASL_PEER", "npm install --prefix FOLDER aws-local-stepfunctions@3.0.0, MILLRACE_ASL_PEER=FOLDER"},
	{"moto", "moto as shipped", "MILLRACE_ASL_MOTO", "pip install 'moto[stepfunctions]==5.2.1', MILLRACE_ASL_MOTO=PYTHON"},
	{"moto_with_paths_cached", "moto with its path parser cached", "MILLRACE_ASL_MOTO", ""},
}

// states measures Step Functions: the interpreter beside others, executions over
// the wire, and many at once.
func states(ctx context.Context, o options, w io.Writer) ([]line, error) {
	if !o.goes {
		return nil, nil
	}
	fmt.Fprintln(w, "state machines: a loop of Pass and Choice states, its history kept, in process, beside other interpreters; executions of three Pass states\n"+
		"  through the SDK and a socket, one after the other, with the state on disk; 1,000 executions at once, each with ten waits and ten tasks; medians of 5")
	got, err := medians(ctx, w, "-bench", "Transitions|Peers", "-benchtime", "300ms", "-count", "5", "./localcloud/asl")
	if err != nil {
		return nil, err
	}
	ours := got["BenchmarkTransitions"].median("transitions/s")
	lines := []line{{"interpreter, Pass and Choice, history kept", fmt.Sprintf("%.0f transitions/s", ours), fmt.Sprintf("%d transitions/s", transitions), ours < transitions}}
	for _, p := range interpreters {
		theirs := got["BenchmarkPeers/"+p.benchmark].median("transitions/s")
		switch {
		case theirs > 0:
			lines = append(lines, line{what: "  the same in " + p.name, got: fmt.Sprintf("%.0f transitions/s (%.0f times slower)", theirs, ours/theirs)})
		case os.Getenv(p.variable) == "" && p.install != "":
			fmt.Fprintf(w, "  NOT MEASURED beside %s: %s\n", p.name, p.install)
			lines = append(lines, line{what: "  the same in " + p.name, got: "NOT MEASURED: " + p.install})
		}
	}
	got, err = medians(ctx, w, "-bench", "ExecutionsOverTheWire", "-benchtime", "100x", "-count", "5", "./localcloud/stepfunctions")
	if err != nil {
		return lines, err
	}
	hundred := got["BenchmarkExecutionsOverTheWire"].median("ns/op") * 100 / 1e9
	lines = append(lines, line{"100 executions of three states over the wire, on disk", fmt.Sprintf("%.2f s", hundred), fmt.Sprintf("%.1f s", hundredOverWire), hundred >= hundredOverWire})
	if got, err = medians(ctx, w, "-bench", "ThousandExecutions", "-benchtime", "1x", "-count", "3", "./localcloud/stepfunctions"); err != nil {
		return lines, err
	}
	memory, left := got["BenchmarkThousandExecutions"].median("MB"), got["BenchmarkThousandExecutions"].median("goroutines-left")
	return append(lines,
		line{"1,000 executions at once, ten waits and ten tasks each: memory", fmt.Sprintf("%.0f MB", memory), fmt.Sprintf("%d MB", thousandInMemory), memory >= thousandInMemory},
		line{"  goroutines left at the end", fmt.Sprintf("%.0f", left), fmt.Sprint(goroutinesLeft), left > goroutinesLeft}), nil
}

// objects measures S3 through the one port.
func objects(ctx context.Context, o options, w io.Writer) ([]line, error) {
	if !o.goes {
		return nil, nil
	}
	fmt.Fprintln(w, "objects: 4 KiB through the SDK and the port, 16 clients at once; and one object of 1 GiB beside the disk's own speed,\n"+
		"  a file of the same size written and flushed, and read, in turns; medians of 3")
	got, err := medians(ctx, w, "-bench", "Object4K", "-benchtime", "1s", "-count", "3", "./localcloud")
	if err != nil {
		return nil, err
	}
	var lines []line
	for _, of := range []struct{ benchmark, what string }{
		{"BenchmarkPutObject4K/durable", "S3, put of 4 KiB, flushed to disk"}, {"BenchmarkPutObject4K/ephemeral", "S3, put of 4 KiB, ephemeral"}, {"BenchmarkGetObject4K", "S3, get of 4 KiB"},
	} {
		if ns := got[of.benchmark].median("ns/op"); ns > 0 {
			lines = append(lines, line{what: of.what, got: fmt.Sprintf("%.0f/s", 1e9/ns)})
		}
	}
	if got, err = medians(ctx, w, "-bench", "GiB", "-benchtime", "3x", "./localcloud"); err != nil {
		return lines, err
	}
	gib := got["BenchmarkGiB"]
	return append(lines,
		line{what: "S3, 1 GiB up", got: fmt.Sprintf("%.0f MB/s, %.0f %% of the disk's write and flush", gib.median("up-MB/s"), gib.median("%-of-write"))},
		line{what: "S3, 1 GiB down", got: fmt.Sprintf("%.0f MB/s, %.0f %% of the disk's read", gib.median("down-MB/s"), gib.median("%-of-read"))}), nil
}
