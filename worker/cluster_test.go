package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/prepare"
)

// shards lays out a job of several machines, each with its share of the uploads,
// dealt out by of.
func (p *platform) shards(machines int, step string, of func(i int) int) []job.Base {
	p.tb.Helper()
	keys := slices.Sorted(maps.Keys(p.files))
	var hosts []string
	for range machines {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.tb.Fatal(err)
		}
		hosts = append(hosts, l.Addr().String())
		l.Close()
	}
	var bases []job.Base
	for m, host := range hosts {
		base := p.begin(jobfile.File{Step: step}, processing...)
		d := p.dataset(base, keys)
		for i, f := range d.Files {
			if of(i) != m {
				if err := os.RemoveAll(filepath.Dir(filepath.Join(base.Input("data"), f.Path))); err != nil {
					p.tb.Fatal(err)
				}
			}
		}
		p.begun(base, jobfile.File{Step: step, Dataset: d})
		raw, err := json.Marshal(map[string]any{"current_host": host, "hosts": hosts})
		if err != nil {
			p.tb.Fatal(err)
		}
		p.write(base, raw, "config", "resourceconfig.json")
		bases = append(bases, base)
	}
	return bases
}

// together runs a step on all machines at once, and gives their errors.
func (p *platform) together(bases []job.Base, run func(base job.Base) error) []error {
	errs := make([]error, len(bases))
	var g errgroup.Group
	for i, base := range bases {
		g.Go(func() error {
			errs[i] = base.Process(func() error { return run(base) })
			return nil
		})
	}
	_ = g.Wait()
	return errs
}

func (p *platform) prepareOn(bases []job.Base) {
	p.tb.Helper()
	for i, err := range p.together(bases, func(base job.Base) error { return prepare.Run(context.Background(), base, p.log) }) {
		if err != nil {
			p.tb.Fatalf("machine %d: %v", i+1, err)
		}
	}
}

// outputs are the digests of what machines wrote, as the bucket will have it.
func outputs(tb testing.TB, bases []job.Base) map[string]string {
	all := map[string]string{}
	for _, base := range bases {
		dir := filepath.Join(string(base), "processing", "output")
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		for name, d := range digest(tb, dir) {
			if all[name] != "" {
				tb.Errorf("two machines wrote %s", name)
			}
			all[name] = d
		}
	}
	return all
}

func manyTrips(t *testing.T, format string) *platform {
	files := map[string][]byte{}
	for m := range 5 {
		raw := tripRows(1, 4000)
		raw = []byte(strings.ReplaceAll(strings.ReplaceAll(string(raw), "T1-", fmt.Sprintf("M%d-", m)), "2025-01-", fmt.Sprintf("2025-0%d-", m+1)))
		if format == "parquet" {
			raw = tripsParquet(t, raw)
		}
		files[fmt.Sprintf("trips/raw/%d", m)] = raw
	}
	p := newPlatform(t, trips(), files)
	p.def.Data.Format = format
	p.def.Quality = append(p.def.Quality, definition.Check{Column: "delay", Unique: true, Severity: "warn"})
	return p
}

// TestMachinesGiveTheSameOutputs: one, two or three machines, whoever has which
// file, write the same bytes, and one of them each.
func TestMachinesGiveTheSameOutputs(t *testing.T) {
	for name, change := range map[string]func(p *platform){
		"csv, by time": func(p *platform) {},
		"at random": func(p *platform) {
			p.def.Split.By = "random"
			p.def.Data.Window = 100 * 24 * 3600e9
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := manyTrips(t, "csv")
			change(p)
			alone := p.prepare()
			want := outputs(t, []job.Base{alone})
			if m := p.message(alone); m["ok"] != true || want["train/train.csv"] == "" || want["quality/report.html"] == "" {
				t.Fatalf("one machine says %v and writes %v", m, want)
			}
			for shares, of := range map[string]func(int) int{
				"one":                         func(int) int { return 0 },
				"two":                         func(i int) int { return i % 2 },
				"three":                       func(i int) int { return i % 3 },
				"three, uneven":               func(i int) int { return min(i, 2) },
				"two, and the first has none": func(int) int { return 1 },
			} {
				machines := map[string]int{"one": 1, "two": 2, "two, and the first has none": 2}[shares]
				if machines == 0 {
					machines = 3
				}
				bases := p.shards(machines, "prepare", of)
				p.prepareOn(bases)
				if got := outputs(t, bases); !maps.Equal(got, want) {
					t.Errorf("%s: outputs differ: %v, want %v", shares, got, want)
				}
				for _, base := range bases {
					if got, one := string(p.read(base, "output", "message")), string(p.read(alone, "output", "message")); got != one {
						t.Errorf("%s: message is %s, want %s", shares, got, one)
					}
					if left, err := os.ReadDir(filepath.Join(string(base), "processing", "scratch")); err == nil {
						t.Errorf("%s: %d files are left in the scratch folder", shares, len(left))
					}
				}
			}
		})
	}
}

func TestMachinesScoreTheSame(t *testing.T) {
	p := manyTrips(t, "parquet")
	trained, _ := p.train(p.prepare())
	model := p.tarOf(trained)
	run := func(machines int) map[string]string {
		bases := p.shards(machines, "prepare-scores", func(i int) int { return i % machines })
		for _, base := range bases {
			p.write(base, model, "processing", "input", "model", "model.tar.gz")
		}
		for _, err := range p.together(bases, func(base job.Base) error { return prepare.RunScores(context.Background(), base, p.log) }) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if machines > 1 {
			if files, err := os.ReadDir(filepath.Join(string(bases[1]), "processing", "output", "batch")); err != nil || len(files) == 0 {
				t.Errorf("the second machine wrote nothing: %v", err)
			}
		}
		return outputs(t, bases)
	}
	want := run(1)
	if len(want) != 7 {
		t.Fatalf("outputs are %v", want)
	}
	for _, machines := range []int{2, 3} {
		if got := run(machines); !maps.Equal(got, want) {
			t.Errorf("%d machines: outputs are %v, want %v", machines, got, want)
		}
	}
}

// Faults of the data and of machines reach everyone who waits.
func TestMachinesFailTogether(t *testing.T) {
	t.Run("a fault of the data on another machine", func(t *testing.T) {
		p := manyTrips(t, "csv")
		p.files["trips/raw/3"] = []byte(strings.Replace(string(p.files["trips/raw/3"]), "M3-00007,", "M0-00007,", 1))
		bases := p.shards(3, "prepare", func(i int) int { return i % 3 })
		p.prepareOn(bases)
		for _, base := range bases {
			m := p.message(base)
			if text, _ := m["message"].(string); m["error"] != "DataRejected" || !strings.Contains(text, `repeat that of another row`) || !strings.Contains(text, `trips/raw/3, line 9: "M0-00007" is also in trips/raw/0, line 9`) {
				t.Errorf("message is %v", m)
			}
		}
	})
	t.Run("a file of another version", func(t *testing.T) {
		p := manyTrips(t, "csv")
		bases := p.shards(2, "prepare", func(i int) int { return i % 2 })
		found, err := filepath.Glob(filepath.Join(bases[1].Input("data"), "*", "3"))
		if err != nil || len(found) != 1 {
			t.Fatalf("files are %v, %v", found, err)
		}
		if err := os.WriteFile(found[0], tripRows(9, 10), 0o600); err != nil {
			t.Fatal(err)
		}
		for i, err := range p.together(bases, func(base job.Base) error { return prepare.Run(context.Background(), base, p.log) }) {
			if err == nil || !strings.Contains(err.Error(), "another version of the object") {
				t.Errorf("machine %d says %v", i+1, err)
			}
		}
	})
	t.Run("a file that nobody has", func(t *testing.T) {
		p := manyTrips(t, "csv")
		bases := p.shards(2, "prepare", func(i int) int { return i % 3 })
		for i, err := range p.together(bases, func(base job.Base) error { return prepare.Run(context.Background(), base, p.log) }) {
			if err == nil || !strings.Contains(err.Error(), "it was brought to no machine of the job") {
				t.Errorf("machine %d says %v", i+1, err)
			}
		}
	})
	t.Run("a caller of another job", func(t *testing.T) {
		p := manyTrips(t, "csv")
		bases := p.shards(2, "prepare", func(i int) int { return i % 2 })
		var config struct {
			Hosts []string `json:"hosts"`
		}
		if err := json.Unmarshal(p.read(bases[1], "config", "resourceconfig.json"), &config); err != nil {
			t.Fatal(err)
		}
		slices.Sort(config.Hosts)
		errs := p.together(append(bases, job.Base("")), func(base job.Base) error {
			if base != "" {
				return prepare.Run(context.Background(), base, p.log)
			}
			for { // as soon as the second one listens
				conn, err := net.Dial("tcp", config.Hosts[1])
				if err != nil {
					continue
				}
				defer conn.Close()
				if _, err := conn.Write(make([]byte, 33)); err != nil {
					return err
				}
				if n, err := conn.Read(make([]byte, 1)); n > 0 || err == nil {
					return fmt.Errorf("it was answered")
				}
				return nil
			}
		})
		for i, err := range errs {
			if err != nil {
				t.Errorf("%d: %v", i+1, err)
			}
		}
	})
}
