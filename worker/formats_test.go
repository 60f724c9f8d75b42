package main_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/prepare"
)

type trip struct {
	Trip     string    `parquet:"trip"`
	At       time.Time `parquet:"at,timestamp(microsecond)"`
	Zone     string    `parquet:"zone,dict"`
	Distance *float64  `parquet:"distance"`
	Delay    float64   `parquet:"delay"`
}

// tripsParquet is a CSV file of trips as Parquet.
func tripsParquet(t *testing.T, text []byte) []byte {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) float64 {
		x, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	var rows []trip
	for _, r := range records[1:] {
		at, err := time.Parse(time.RFC3339, r[1])
		if err != nil {
			t.Fatal(err)
		}
		row := trip{Trip: r[0], At: at, Zone: r[2], Delay: number(r[4])}
		if r[3] != "" {
			row.Distance = new(number(r[3]))
		}
		rows = append(rows, row)
	}
	var b bytes.Buffer
	if err := parquet.Write(&b, rows, parquet.MaxRowsPerRowGroup(700), parquet.Compression(&parquet.Snappy)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFormatsGiveTheSameRows: the same rows as CSV, CSV by zstd and Parquet make
// the same rows to learn from, and the model of one scores files of the others.
func TestFormatsGiveTheSameRows(t *testing.T) {
	jan, feb := tripRows(1, 3000), tripRows(2, 3000)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	plain := newPlatform(t, trips(), map[string][]byte{"trips/raw/jan.csv": jan, "trips/raw/feb.csv": feb})
	prepared := plain.prepare()
	want := digest(t, filepath.Join(string(prepared), "processing", "output", "train"))
	trained, _ := plain.train(prepared)
	model := plain.tarOf(trained)
	var batch []byte
	for name, tt := range map[string]struct {
		format string
		files  map[string][]byte
	}{
		"CSV":     {"csv", plain.files},
		"zstd":    {"csv", map[string][]byte{"trips/raw/jan.csv.zst": z.EncodeAll(jan, nil), "trips/raw/feb": z.EncodeAll(feb, nil)}},
		"Parquet": {"parquet", map[string][]byte{"trips/raw/jan.parquet": tripsParquet(t, jan), "trips/raw/feb.parquet": tripsParquet(t, feb)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t, trips(), tt.files)
			p.def.Data.Format = tt.format
			base := p.prepare()
			if m := p.message(base); m["ok"] != true || m["rows"] != 6000.0 {
				t.Fatalf("message is %v", m)
			}
			if got := digest(t, filepath.Join(string(base), "processing", "output", "train")); got["train.csv"] != want["train.csv"] {
				t.Error("the training rows differ")
			}
			scores := p.begin(jobfile.File{Step: "prepare-scores"}, processing...)
			keys := []string{}
			for key := range tt.files {
				keys = append(keys, key)
			}
			p.begun(scores, jobfile.File{Step: "prepare-scores", Dataset: p.dataset(scores, keys)})
			p.write(scores, model, "processing", "input", "model", "model.tar.gz")
			if err := scores.Process(func() error { return prepare.RunScores(context.Background(), scores, p.log) }); err != nil {
				t.Fatal(err)
			}
			if m := p.message(scores); m["ok"] != true || m["rows"] != 6000.0 || m["files"] != 2.0 {
				t.Fatalf("message is %v", m)
			}
			// Parquet holds numbers, of which 11.0 is written 11.
			got := bytes.ReplaceAll(p.read(scores, "processing", "output", "batch", "jan.csv"), []byte(".0,"), []byte(","))
			if batch == nil {
				batch = got
			}
			if !bytes.Equal(got, batch) {
				t.Errorf("the rows to score differ: %.80s", got)
			}
		})
	}
}

func TestFilesOfTheOtherFormatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		format, want string
		raw          []byte
	}{
		"Parquet for CSV": {"csv", "trips/raw/jan: the file is Parquet, and the pipeline reads CSV (hint: write data.format: parquet, or upload CSV)", tripsParquet(t, tripRows(1, 10))},
		"CSV for Parquet": {"parquet", "trips/raw/jan: the file is not Parquet, and the pipeline reads Parquet (hint: write data.format: csv, or upload Parquet)", tripRows(1, 10)},
	} {
		p := newPlatform(t, trips(), map[string][]byte{"trips/raw/jan": tt.raw})
		p.def.Data.Format = tt.format
		if m := p.message(p.prepare()); m["error"] != "DataRejected" || m["message"] != tt.want {
			t.Errorf("%s: message is %v, want %s", name, m, tt.want)
		}
	}
}
