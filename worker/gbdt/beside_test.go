package gbdt_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

// besideFolder makes this binary train once, on what is in a folder, as partner.py does.
const besideFolder = "MILLRACE_GBDT_BESIDE"

func TestMain(m *testing.M) {
	if folder := os.Getenv(besideFolder); folder != "" {
		if err := trainBeside(folder); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// besideRequest is request.json with one case.
type besideRequest struct {
	Rows, Cols int
	TrainRows  int `json:"train_rows"`
	Cases      []struct {
		Name   string
		Rounds int
		Params struct{ NThread int }
	}
}

// besideResult is what either side says of its training.
type besideResult struct {
	Version string  `json:"version"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Before  int     `json:"before_kib"` // memory, once the data is there
	Peak    int     `json:"peak_kib"`
}

// used is the CPU's seconds so far, and the most memory in KiB.
func used() (float64, int) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds(), int(usage.Maxrss)
}

// trainBeside trains on the first rows of the folder's data and writes margins for all.
func trainBeside(folder string) error {
	raw, err := os.ReadFile(filepath.Join(folder, "request.json"))
	if err != nil {
		return err
	}
	var request besideRequest
	if err := json.Unmarshal(raw, &request); err != nil {
		return err
	}
	data := filepath.Join(folder, "data.f32")
	first, err := loadRows(data, request.Rows, request.Cols, request.TrainRows)
	if err != nil {
		return err
	}
	label, err := loadFloats(filepath.Join(folder, request.Cases[0].Name+".label.f32"))
	if err != nil {
		return err
	}
	p := params(gbdt.Logistic, func(p *gbdt.Params) {
		p.Rounds, p.Eta, p.Threads = request.Cases[0].Rounds, 0.1, request.Cases[0].Params.NThread
	})
	start := time.Now()
	cpu, before := used()
	m, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: first, Label: label[:request.TrainRows]}, nil, nil)
	if err != nil {
		return err
	}
	result := besideResult{Version: "ours", Seconds: time.Since(start).Seconds(), Before: before}
	result.CPU, result.Peak = used()
	result.CPU -= cpu
	all, err := loadRows(data, request.Rows, request.Cols, request.Rows)
	if err != nil {
		return err
	}
	margin := make([]float32, all.Rows)
	m.PredictMargin(all, margin)
	if err := saveFloats(filepath.Join(folder, "ours.margin"), margin); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// loadRows reads the first rows of a file of columns, without a second copy in memory.
func loadRows(file string, rows, cols, first int) (gbdt.Matrix, error) {
	x := gbdt.Matrix{Rows: first, Cols: cols, Data: make([]float32, first*cols)}
	f, err := os.Open(file)
	if err != nil {
		return x, err
	}
	defer f.Close()
	chunk := make([]byte, 1<<16)
	for c := range cols {
		from := io.NewSectionReader(f, int64(c)*int64(rows)*4, int64(first)*4)
		for column := x.Column(c); len(column) > 0; {
			n := min(len(column), len(chunk)/4)
			if _, err := io.ReadFull(from, chunk[:4*n]); err != nil {
				return x, err
			}
			for i := range n {
				column[i] = math.Float32frombits(binary.LittleEndian.Uint32(chunk[4*i:]))
			}
			column = column[n:]
		}
	}
	return x, nil
}

// BenchmarkBesideXGBoost trains alternately here and in XGBoost, each in a process of its
// own, 200 trees of depth 6, and reports the quickest of each. On a machine with other work
// compare the CPU's seconds on one thread: XGBoost's threads wait by spinning.
//
//	MILLRACE_XGBOOST_PYTHONS=... go test -run '^$' -bench Beside -benchtime 3x ./worker/gbdt
func BenchmarkBesideXGBoost(b *testing.B) {
	python := "python3"
	if list := filepath.SplitList(os.Getenv("MILLRACE_XGBOOST_PYTHONS")); len(list) > 0 {
		python = list[len(list)-1]
	}
	if out, err := exec.Command(python, "testdata/partner.py", "version").CombinedOutput(); err != nil {
		b.Skipf("left out: %s has no XGBoost: %v\n%s", python, err, out)
	}
	for _, size := range []struct{ rows, cols, threads int }{{200_000, 8, 1}, {200_000, 8, 2}, {2_000_000, 30, 1}, {2_000_000, 30, 2}} {
		b.Run(fmt.Sprintf("%dx%d,threads=%d", size.rows, size.cols, size.threads), func(b *testing.B) {
			folder := b.TempDir()
			s := writeBeside(b, folder, size.rows, size.cols, size.threads)
			var ours, theirs []besideResult
			for b.Loop() {
				us := exec.Command(os.Args[0])
				us.Env = append(os.Environ(), besideFolder+"="+folder)
				ours = append(ours, runBeside(b, us))
				theirs = append(theirs, runBeside(b, exec.Command(python, "-W", "ignore", "testdata/partner.py", "bench", folder)))
			}
			best := func(results []besideResult) besideResult {
				return slices.MinFunc(results, func(a, b besideResult) int {
					return int(math.Copysign(1, a.Seconds-b.Seconds))
				})
			}
			us, them := best(ours), best(theirs)
			b.ReportMetric(us.Seconds, "ours-s")
			b.ReportMetric(them.Seconds, "xgboost-s")
			b.ReportMetric(us.CPU, "ours-cpu-s")
			b.ReportMetric(them.CPU, "xgboost-cpu-s")
			b.ReportMetric(float64(us.Peak)/1024, "ours-MiB")
			b.ReportMetric(float64(them.Peak)/1024, "xgboost-MiB")
			for _, side := range []string{"ours", "theirs"} {
				margin, err := loadFloats(filepath.Join(folder, side+".margin"))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(auc(margin[size.rows:], s.label[size.rows:]), side+"-auc")
			}
			b.Logf("XGBoost %s; ours %+v, XGBoost %+v", them.Version, us, them)
		})
	}
}

// writeBeside writes data with a quarter more rows than are trained on.
func writeBeside(b *testing.B, folder string, rows, cols, threads int) sample {
	s := generate(rows+rows/4, cols, 1, gbdt.Logistic)
	for file, values := range map[string][]float32{"data.f32": s.x.Data, "logistic.label.f32": s.label} {
		if err := saveFloats(filepath.Join(folder, file), values); err != nil {
			b.Fatal(err)
		}
	}
	request, err := json.Marshal(map[string]any{
		"rows": s.x.Rows, "cols": cols, "train_rows": rows, "cases": []exchanged{{
			Name: "logistic", Rounds: 200,
			Params: map[string]any{"objective": gbdt.Logistic, "eta": 0.1, "max_depth": 6, "nthread": threads},
		}},
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "request.json"), request, 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func runBeside(b *testing.B, c *exec.Cmd) besideResult {
	var errors strings.Builder
	c.Stderr = &errors
	out, err := c.Output()
	var r besideResult
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		b.Fatalf("%v\n%s%s", err, out, errors.String())
	}
	return r
}

// auc is the share of pairs of a 1 and a 0 that the scores order rightly.
func auc(score, label []float32) float64 {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(math.Copysign(1, float64(score[a]-score[b]))) })
	var ones, zeros, ranks float64
	for rank, i := range order {
		if label[i] == 1 {
			ones++
			ranks += float64(rank + 1)
		} else {
			zeros++
		}
	}
	return (ranks - ones*(ones+1)/2) / (ones * zeros)
}
