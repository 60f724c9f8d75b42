package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// What evaluation promises at 95 % confidence, in percent, and on how many
// samples worker/evaluate's BenchmarkPlanted counts wrong promotions, a quarter of
// them for right ones, unless MILLRACE_PLANTED says otherwise.
const (
	wrongAtMost  = 2.5
	rightAtLeast = 95.0
	usualSamples = 400
)

// wilson is the interval that holds the true share, in percent, with 95 %
// confidence, of one seen in n samples (Wilson 1927).
func wilson(percent float64, n int) (low, high float64) {
	const z = 1.959964
	p, m := percent/100, float64(n)
	middle, reach := p+z*z/(2*m), z*math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return 100 * max(0, (middle-reach)/(1+z*z/m)), 100 * min(1, (middle+reach)/(1+z*z/m))
}

// planted runs the evaluate step on many samples of models whose difference is
// known, and counts which are promoted.
func planted(ctx context.Context, o options, w io.Writer) ([]line, error) {
	if !o.goes {
		return nil, nil
	}
	samples := usualSamples
	if given := os.Getenv("MILLRACE_PLANTED"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 4 {
			return nil, fmt.Errorf("read MILLRACE_PLANTED: %q is not a number of 4 or more", given)
		}
		samples = n
	}
	args := []string{"test", "-run", "^$", "-bench", "Planted", "-benchtime", "1x", "./worker/evaluate"}
	fmt.Fprintf(w, "planted cases: go %s\n  the share of %d samples in which a model that is no better, worse, or hurts a slice is promoted\n", strings.Join(args, " "), samples)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	shares := map[string]map[string]float64{"wrongly-promoted-%": {}, "promoted-%": {}}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fields := strings.Fields(lines.Text()) // BenchmarkPlanted/worse-2 1 123 ns/op 0.25 wrongly-promoted-%
		if len(fields) < 6 || shares[fields[5]] == nil {
			continue
		}
		share, err := strconv.ParseFloat(fields[4], 64)
		if err != nil {
			continue
		}
		name := strings.TrimPrefix(fields[0], "BenchmarkPlanted/")
		if cpus := strings.LastIndexByte(name, '-'); cpus > 0 {
			name = name[:cpus] // go test ends it with their number
		}
		shares[fields[5]][name] = share
		n := samples
		if fields[5] == "promoted-%" {
			n /= 4
		}
		low, high := wilson(share, n)
		fmt.Fprintf(w, "  %-32s %5.1f %% %s (%.1f to %.1f)\n", name, share, strings.TrimSuffix(fields[5], "-%"), low, high)
	}
	err = cmd.Wait() // it fails when a promise is broken, too
	wrong, right := shares["wrongly-promoted-%"], shares["promoted-%"]
	if len(wrong) == 0 || len(right) == 0 {
		return nil, fmt.Errorf("no share was printed: %w", err)
	}
	worst, least, sum := 0.0, 100.0, 0.0
	for _, s := range wrong {
		worst, sum = max(worst, s), sum+s
	}
	for _, s := range right {
		least = min(least, s)
	}
	// The worst of many cases lies above the promise by chance; their mean hardly does.
	mean := sum / float64(len(wrong))
	wrong3, right3 := errors3(wrongAtMost, samples), errors3(rightAtLeast, samples/4)
	return []line{
		{what: fmt.Sprintf("wrong promotions, mean of %d planted cases", len(wrong)), got: fmt.Sprintf("%.1f %%", mean), limit: fmt.Sprintf("%.1f %%", wrongAtMost), missed: mean > wrongAtMost},
		{what: "wrong promotions, worst case", got: fmt.Sprintf("%.1f %%", worst), limit: fmt.Sprintf("%.1f %% and 3 standard errors, %.1f %%", wrongAtMost, wrongAtMost+wrong3), missed: worst > wrongAtMost+wrong3},
		{what: "right promotions, least case", got: fmt.Sprintf("%.1f %%", least), limit: fmt.Sprintf("%.0f %% less 3 standard errors, %.1f %%", rightAtLeast, rightAtLeast-right3), missed: least < rightAtLeast-right3},
	}, nil
}

// errors3 are three standard errors of a share seen in n samples, in percent.
func errors3(percent float64, n int) float64 {
	return 3 * math.Sqrt(percent*(100-percent)/float64(n))
}
