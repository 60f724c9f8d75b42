package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Limits of the trainer, as ratios to XGBoost's hist, or rows a second on one core.
const (
	smallTime, largeTime, largeMemory = 1.2, 1.5, 1.2
	aucApart                          = 0.001
	scoredRows                        = 300_000
)

// trainer measures training beside XGBoost, in processes that take turns, and scoring.
func trainer(ctx context.Context, o options, w io.Writer) ([]line, error) {
	if !o.goes {
		return nil, nil
	}
	fmt.Fprintln(w, "trainer: beside XGBoost's hist, 200 trees of depth 6, each side in processes of its own that take turns, the quickest of each:")
	lines, err := scoring(ctx, w)
	if err != nil {
		return lines, err
	}
	pythons := filepath.SplitList(os.Getenv("MILLRACE_XGBOOST_PYTHONS"))
	if len(pythons) == 0 {
		fmt.Fprintln(w, "  NOT MEASURED beside XGBoost: MILLRACE_XGBOOST_PYTHONS names no Python that has it (pip install xgboost-cpu==3.2.0)")
		return lines, nil
	}
	err = benchmarks(ctx, w, func(name string, m map[string]float64) {
		size, ok := strings.CutPrefix(name, "BenchmarkBesideXGBoost/")
		if !ok || !strings.Contains(size, "threads=2") {
			return
		}
		size, _, _ = strings.Cut(size, ",")
		limit := smallTime
		if strings.HasPrefix(size, "2000000") {
			limit = largeTime
			lines = append(lines, ratio("training "+size+", 2 threads, memory, to XGBoost", m["ours-MiB"], m["xgboost-MiB"], "MiB", largeMemory))
		}
		lines = append(lines, ratio("training "+size+", 2 threads, time, to XGBoost", m["ours-s"], m["xgboost-s"], "s", limit))
		apart := m["ours-auc"] - m["theirs-auc"]
		lines = append(lines, line{"training " + size + ", 2 threads, AUC, to XGBoost", fmt.Sprintf("%.4f, %.4f", m["ours-auc"], m["theirs-auc"]), fmt.Sprintf("-%.3f", aucApart), apart < -aucApart})
	}, "-bench", "BesideXGBoost", "-benchtime", "3x", "./worker/gbdt")
	return lines, err
}

// scoring is rows a second of 200 trees of depth 6, on one core.
func scoring(ctx context.Context, w io.Writer) (lines []line, err error) {
	err = benchmarks(ctx, w, func(name string, m map[string]float64) {
		if strings.HasPrefix(name, "BenchmarkPredict/core") {
			lines = append(lines, line{"scoring, 200 trees of depth 6, on one core", fmt.Sprintf("%.0f rows/s", m["rows/s"]), fmt.Sprintf("%d rows/s", scoredRows), m["rows/s"] < scoredRows})
		}
	}, "-bench", "Predict/core", "-benchtime", "1s", "./worker/gbdt")
	return lines, err
}

func ratio(what string, ours, theirs float64, unit string, limit float64) line {
	return line{what, fmt.Sprintf("%.2f (%.2f, %.2f %s)", ours/theirs, ours, theirs, unit), fmt.Sprintf("%.1f", limit), !(ours/theirs <= limit)}
}

// benchmarks runs Go benchmarks, prints their lines, and gives each one's metrics by unit.
func benchmarks(ctx context.Context, w io.Writer, each func(name string, metrics map[string]float64), args ...string) error {
	args = append([]string{"test", "-run", "^$"}, args...)
	fmt.Fprintf(w, "  go %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	found := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		l := lines.Text()
		switch {
		case strings.HasPrefix(l, "FAIL"), strings.HasPrefix(l, "---"):
			fmt.Fprintln(w, "  "+l)
		case strings.HasPrefix(l, "Benchmark"):
			fmt.Fprintln(w, "  "+l)
			fields := strings.Fields(l)
			metrics := map[string]float64{}
			for i := 2; i+1 < len(fields); i += 2 {
				if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
					metrics[fields[i+1]] = v
				}
			}
			if len(metrics) > 0 {
				found = true
				each(fields[0], metrics)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	if !found {
		return errors.New("no benchmark gave a figure")
	}
	return nil
}
