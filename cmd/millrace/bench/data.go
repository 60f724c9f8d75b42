package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
)

// Limits of reading, as ratios to polars' rows a second; and of the memory that
// preparing three times the rows may take.
const (
	csvSpeed, parquetSpeed = 1.5, 1.0
	memoryOfThreeTimes     = 1.2
)

// reading measures reading files beside polars, in processes that take turns.
func reading(ctx context.Context, o options, w io.Writer) ([]line, error) {
	if !o.goes {
		return nil, nil
	}
	fmt.Fprintln(w, "reading: 1,000,000 rows of 20 columns by their types, all threads on both sides, each side in processes that take turns, medians of 7:")
	if os.Getenv("MILLRACE_POLARS_PYTHON") == "" {
		fmt.Fprintln(w, "  NOT MEASURED beside polars: MILLRACE_POLARS_PYTHON names no Python that has it (pip install polars==1.44.2)")
		return nil, nil
	}
	var lines []line
	err := benchmarks(ctx, w, func(name string, m map[string]float64) {
		limit, format := csvSpeed, "CSV"
		if strings.Contains(name, "/parquet") {
			limit, format = parquetSpeed, "Parquet"
		}
		speed := m["ours-rows/s"] / m["polars-rows/s"]
		lines = append(lines, line{"reading " + format + ", rows a second, to polars", fmt.Sprintf("%.2f (%.0f, %.0f rows/s; %.2f, %.2f CPU s)", speed, m["ours-rows/s"], m["polars-rows/s"], m["ours-cpu-s"], m["polars-cpu-s"]),
			fmt.Sprintf("%.1f", limit), !(speed >= limit)})
	}, "-bench", "BesidePolars", "-benchtime", "7x", "./worker/table")
	return lines, err
}

// preparing measures the most memory of preparing 4,000,000 rows, which fill every
// buffer there is, and three times that.
func preparing(ctx context.Context, o options, w io.Writer) ([]line, error) {
	fmt.Fprintln(w, "preparing: `worker prepare` on generated files of 400,000 rows each, the most memory of the process (ru_maxrss)")
	var most [2]float64
	for i, files := range []int{10, 30} {
		peak, took, err := prepareRows(ctx, o, files)
		if err != nil {
			return nil, err
		}
		most[i] = peak
		fmt.Fprintf(w, "  %10d rows  %7.0f MiB  %5.1f s\n", files*rowsOfFile, peak, took.Seconds())
	}
	return []line{{"preparing 12,000,000 rows, memory, to 4,000,000", fmt.Sprintf("%.2f (%.0f, %.0f MiB)", most[1]/most[0], most[1], most[0]), fmt.Sprintf("%.1f", memoryOfThreeTimes), !(most[1]/most[0] <= memoryOfThreeTimes)}}, nil
}

const rowsOfFile = 400_000

// prepareRows runs the prepare step of a pipeline over generated files, and gives
// the most memory it took, in MiB.
func prepareRows(ctx context.Context, o options, files int) (peak float64, took time.Duration, err error) {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	def, err := definition.Parse("pipeline.yaml", []byte(`
name: bench
data: {key: id, time: at, label: {name: late, expr: delay > 12}}
features:
  - {name: hour, expr: hour(at)}
  - {name: distance}
  - {name: speed}
  - {name: zone, encode: onehot}
evaluate: {metric: auc}
`))
	if err != nil {
		return 0, 0, err
	}
	f := jobfile.File{Pipeline: "bench", Run: 1, Step: "prepare", Definition: *def, Dataset: &jobfile.Dataset{}}
	for i := range files {
		one, err := writeRows(filepath.Join(dir, "opt", "ml", "processing", "input", "data"), i)
		if err != nil {
			return 0, 0, err
		}
		f.Dataset.Files = append(f.Dataset.Files, one)
	}
	raw, err := f.Marshal()
	if err == nil {
		config := filepath.Join(dir, "opt", "ml", "processing", "input", "config")
		err = errors.Join(os.MkdirAll(config, 0o755), os.WriteFile(filepath.Join(config, jobfile.Name), raw, 0o600))
	}
	if err != nil {
		return 0, 0, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(o.bin, "worker"), "prepare")
	cmd.Env = append(os.Environ(), "SAGEMAKER_BASE_DIR="+filepath.Join(dir, "opt", "ml"))
	begun := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, 0, fmt.Errorf("worker prepare: %w\n%s", err, out)
	}
	took = time.Since(begun)
	message, err := os.ReadFile(filepath.Join(dir, "opt", "ml", "output", "message"))
	if want := fmt.Sprintf(`"rows":%d`, files*rowsOfFile); err != nil || !strings.Contains(string(message), want) {
		return 0, 0, fmt.Errorf("worker prepare says %s, not %s: %w", message, want, err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, errors.New("the system does not say how much memory a process took")
	}
	return float64(usage.Maxrss) / 1024, took, nil
}

// writeRows writes a month of generated rows.
func writeRows(dir string, month int) (jobfile.DataFile, error) {
	name := fmt.Sprintf("%02d.csv", month)
	f := jobfile.DataFile{Key: "bench/raw/" + name, Path: name}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return f, err
	}
	out, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return f, err
	}
	defer out.Close()
	sum := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(out, sum), 1<<20)
	fmt.Fprintln(w, "id,at,zone,distance,speed,remark,delay")
	rng := rand.New(rand.NewPCG(uint64(month), 1))
	begin := time.Date(2024, time.Month(1+month), 1, 0, 0, 0, 0, time.UTC)
	for i := range rowsOfFile {
		at := begin.Add(time.Duration(rng.IntN(28*24*3600)) * time.Second)
		fmt.Fprintf(w, "trip-%02d-%07d,%s,zone %d,%.3f,%.4f,%016x%016x,%.2f\n", month, i, at.Format(time.RFC3339), rng.IntN(40), rng.ExpFloat64()*10, rng.Float64()*120, rng.Uint64(), rng.Uint64(), rng.ExpFloat64()*10)
	}
	if err := w.Flush(); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return f, nil
}
