package prepare_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/prepare"
)

// outputs prepares generated rows and gives all files that come of it.
func outputs(t *testing.T, def *definition.Definition) map[string]string {
	t.Helper()
	base := job.Base(filepath.Join(t.TempDir(), "opt", "ml"))
	f := jobfile.File{Pipeline: def.Name, Run: 1, Step: "prepare", Definition: *def, Dataset: &jobfile.Dataset{}}
	for i := range 3 {
		var b bytes.Buffer
		b.WriteString("id,at,zone,x,late\n")
		for k := range 2000 {
			n := k*7919%2000 + 2000*i
			fmt.Fprintf(&b, "key-%d,%s,zone %d,%d.5,%d\n", n, time.Unix(int64(n*7919%100_000), 0).UTC().Format(time.RFC3339), n%7, n%1000, n*31%5/4)
		}
		name := fmt.Sprintf("%d.csv", i)
		write(t, b.Bytes(), base.Input("data"), name)
		f.Dataset.Files = append(f.Dataset.Files, jobfile.DataFile{Key: "p/raw/" + name, Path: name})
	}
	raw, err := f.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	write(t, raw, base.Input("config"), jobfile.Name)
	if err := prepare.Run(context.Background(), base, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	dir := os.DirFS(filepath.Join(string(base), "processing", "output"))
	err = fs.WalkDir(dir, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(dir, path)
		out[path] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(string(base), "processing", "scratch")); err == nil {
		t.Error("files of sorting are left")
	}
	return out
}

func write(t *testing.T, raw []byte, dir, name string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSortingOnDisk: rows that do not fit in memory, by far, give the same bytes.
func TestSortingOnDisk(t *testing.T) {
	for name, split := range map[string]string{"by time": "time", "at random": "random"} {
		t.Run(name, func(t *testing.T) {
			def, err := definition.Parse("pipeline.yaml", []byte(`
name: p
data: {key: id, time: at, label: late}
quality: [{column: zone, unique: true, severity: warn}]
features: [{name: hour, expr: hour(at)}, {name: x}, {name: zone, encode: onehot}]
split: {by: `+split+`}
evaluate: {metric: auc}
`))
			if err != nil {
				t.Fatal(err)
			}
			want := outputs(t, def)
			if len(want["train/train.csv"]) < 10_000 || len(want["rows/test-rows.csv"]) < 10_000 {
				t.Fatalf("outputs are %v", want)
			}
			defer prepare.SortInMemory(20_000)()
			if got := outputs(t, def); !maps.Equal(got, want) {
				t.Error("the outputs differ")
			}
		})
	}
}
