package table_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
)

// besideFile makes this binary read a file once, as polars_beside.py does.
const besideFile = "MILLRACE_TABLE_BESIDE"

func TestMain(m *testing.M) {
	if file := os.Getenv(besideFile); file != "" {
		if err := readBeside(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// besideResult is what either side says of its reading.
type besideResult struct {
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"`
	Rows    int     `json:"rows"`
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func readBeside(path string) error {
	src := table.Source{Key: path, Format: table.CSV, Open: func() (io.ReadCloser, error) { return os.Open(path) }}
	if strings.HasSuffix(path, ".parquet") {
		src.Format = table.Parquet
	}
	// The first time brings the file into the cache. Its memory is used again, as
	// polars uses again what Python lets go of.
	before, err := readTyped(src, nil)
	if err != nil {
		return err
	}
	cpu, begin := cpuSeconds(), time.Now()
	rows, err := readTyped(src, before)
	if err != nil {
		return err
	}
	took := besideResult{Seconds: time.Since(begin).Seconds(), CPU: cpuSeconds() - cpu}
	for _, piece := range rows {
		took.Rows += piece.rows
	}
	return json.NewEncoder(os.Stdout).Encode(took)
}

// kept is a piece of all columns in memory.
type kept struct {
	rows    int
	columns []keptColumn
}

type keptColumn struct {
	numbers []float64
	text    []byte
	ends    []uint32
}

// readTyped reads all columns by their types into memory, which before has.
func readTyped(src table.Source, before []*kept) (all []*kept, err error) {
	l, err := table.Look(src)
	if err != nil {
		return nil, err
	}
	var want []table.Want
	for _, name := range l.Names {
		kind := map[byte]features.Type{'f': features.Number, 'i': features.Integer, 'c': features.Text, 't': features.Time}[name[0]]
		want = append(want, table.Want{Name: name, Type: kind})
	}
	var lock sync.Mutex
	room := func() *kept {
		lock.Lock()
		defer lock.Unlock()
		if len(before) == 0 {
			return &kept{columns: make([]keptColumn, len(want))}
		}
		k := before[0]
		before = before[1:]
		return k
	}
	_, err = table.Scan(context.Background(), src, want, func(b *table.Batch) (*kept, error) {
		k := room()
		k.rows = b.Rows
		for i := range b.Columns {
			c, out := &b.Columns[i], &k.columns[i]
			if len(c.Wrong) > 0 {
				return nil, fmt.Errorf("column %s: %s", c.Name, c.Mistake(c.Wrong[0]))
			}
			if c.Numbers != nil {
				out.numbers = append(out.numbers[:0], c.Numbers...)
				continue
			}
			out.text, out.ends = c.AppendAll(out.text[:0], out.ends[:0], b.Rows)
		}
		return k, nil
	}, func(_ *table.Batch, k *kept) error {
		all = append(all, k)
		return nil
	})
	return all, err
}

// BenchmarkBesidePolars reads the same file alternately here and in polars, each in
// a process of its own that has read it once before: 1,000,000 rows of 12 decimal
// numbers, 4 whole ones, 3 texts and a time, all by their types and into memory, with
// all threads on both sides. Polars finds the types by the first rows, here they
// are declared. It reports the medians.
//
//	MILLRACE_POLARS_PYTHON=... go test -run '^$' -bench BesidePolars -benchtime 7x ./worker/table
func BenchmarkBesidePolars(b *testing.B) {
	python := os.Getenv("MILLRACE_POLARS_PYTHON")
	if python == "" {
		python = "python3"
	}
	version, err := exec.Command(python, "testdata/polars_beside.py", "version").CombinedOutput()
	if err != nil {
		b.Skipf("left out: %s has no polars: %v\n%s", python, err, version)
	}
	text := filepath.Join(b.TempDir(), "wide.csv")
	writeWide(b, text, 1_000_000)
	columns := strings.TrimSuffix(text, ".csv") + ".parquet"
	if out, err := exec.Command(python, "testdata/polars_beside.py", "write", text, columns).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for _, file := range []string{text, columns} {
		format := strings.TrimPrefix(filepath.Ext(file), ".")
		b.Run(format, func(b *testing.B) {
			var ours, theirs []besideResult
			for b.Loop() {
				us := exec.Command(os.Args[0])
				us.Env = append(os.Environ(), besideFile+"="+file)
				ours = append(ours, runBeside(b, us))
				theirs = append(theirs, runBeside(b, exec.Command(python, "testdata/polars_beside.py", format, file)))
			}
			us, them := median(ours), median(theirs)
			b.ReportMetric(float64(ours[0].Rows)/us.Seconds, "ours-rows/s")
			b.ReportMetric(float64(theirs[0].Rows)/them.Seconds, "polars-rows/s")
			b.ReportMetric(us.CPU, "ours-cpu-s")
			b.ReportMetric(them.CPU, "polars-cpu-s")
			b.Logf("polars %s; ours %+v, polars %+v", strings.TrimSpace(string(version)), us, them)
		})
	}
}

// median is that of each figure.
func median(all []besideResult) besideResult {
	of := func(figure func(besideResult) float64) float64 {
		var values []float64
		for _, r := range all {
			values = append(values, figure(r))
		}
		slices.Sort(values)
		return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
	}
	return besideResult{of(func(r besideResult) float64 { return r.Seconds }), of(func(r besideResult) float64 { return r.CPU }), all[0].Rows}
}

func runBeside(b *testing.B, c *exec.Cmd) besideResult {
	var errors strings.Builder
	c.Stderr = &errors
	out, err := c.Output()
	var r besideResult
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil || r.Rows != 1_000_000 {
		b.Fatalf("%v, %d rows\n%s%s", err, r.Rows, out, errors.String())
	}
	return r
}

func writeWide(b *testing.B, file string, rows int) {
	f, err := os.Create(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for c := range 12 {
		fmt.Fprintf(w, "f%d,", c)
	}
	w.WriteString("i0,i1,i2,i3,c0,c1,c2,t\n")
	rng := rand.New(rand.NewPCG(1, 2))
	for range rows {
		for range 12 {
			fmt.Fprintf(w, "%.5f,", rng.Float64()*1000-300)
		}
		for range 4 {
			fmt.Fprintf(w, "%d,", rng.IntN(100_000))
		}
		fmt.Fprintf(w, "cat%d,%s,x%d,2001-%02d-%02dT%02d:%02d:%02dZ\n", rng.IntN(50), []string{"ORD", "ATL", "DFW"}[rng.IntN(3)], rng.IntN(1000), rng.IntN(12)+1, rng.IntN(28)+1, rng.IntN(24), rng.IntN(60), rng.IntN(60))
	}
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
}
