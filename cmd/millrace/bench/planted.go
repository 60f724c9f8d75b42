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

// What evaluation promises at 95 % confidence, in percent, and of how many
// samples worker/evaluate's BenchmarkPlanted takes the shares.
const (
	wrongAtMost  = 2.5
	rightAtLeast = 95.0
	wrongSamples = 400
)

// planted runs the evaluate step on many samples of models whose difference is
// known, and counts which are promoted.
func planted(ctx context.Context, o options, w io.Writer) ([]line, error) {
	if !o.goes {
		return nil, nil
	}
	args := []string{"test", "-run", "^$", "-bench", "Planted", "-benchtime", "1x", "./worker/evaluate"}
	fmt.Fprintf(w, "planted cases: go %s\n  the share of %d samples in which a model that is no better, worse, or hurts a slice is promoted\n", strings.Join(args, " "), wrongSamples)
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
		fmt.Fprintf(w, "  %-30s %5.1f %% %s\n", name, share, strings.TrimSuffix(fields[5], "-%"))
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
	error3 := 3 * 100 * math.Sqrt(wrongAtMost/100*(1-wrongAtMost/100)/wrongSamples)
	return []line{
		{what: fmt.Sprintf("wrong promotions, mean of %d planted cases", len(wrong)), got: fmt.Sprintf("%.1f %%", mean), limit: fmt.Sprintf("%.1f %%", wrongAtMost), missed: mean > wrongAtMost},
		{what: "wrong promotions, worst case", got: fmt.Sprintf("%.1f %%", worst), limit: fmt.Sprintf("%.1f %% and 3 standard errors, %.1f %%", wrongAtMost, wrongAtMost+error3), missed: worst > wrongAtMost+error3},
		{what: "right promotions, least case", got: fmt.Sprintf("%.1f %%", least), limit: fmt.Sprintf("%.0f %%", rightAtLeast), missed: least < rightAtLeast},
	}, nil
}
