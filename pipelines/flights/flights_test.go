// Package flights_test holds the shipped pipeline to what its README says.
package flights_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
)

var months = map[string]int{
	"2001-01": 105361, "2001-02": 95152, "2001-03": 106545, "2001-04": 104108, "2001-05": 107789, "2001-06": 104786,
}

func pipeline(t *testing.T) *definition.Definition {
	t.Helper()
	d, err := definition.Load(os.DirFS(filepath.Join("..", "..")), "flights")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every file: its sums, its rows, every cell of its declared type, times in order and in the month, keys unique.
func TestData(t *testing.T) {
	sums := readSums(t)
	d := pipeline(t)
	types := d.Types()
	columns := []string{"flight_id", "departed_at", "origin", "destination", "distance", "arrival_delay"}
	keys := map[string]bool{}
	late, total := 0, 0
	for _, month := range []string{"2001-01", "2001-02", "2001-03", "2001-04", "2001-05", "2001-06"} {
		text := unpack(t, month, sums)
		reader := csv.NewReader(bytes.NewReader(text))
		reader.ReuseRecord = true
		header, err := reader.Read()
		if err != nil || !slices.Equal(header, columns) {
			t.Fatalf("%s: header %v, %v", month, header, err)
		}
		rows, last := 0, ""
		for {
			cells, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			rows++
			var delay features.Value
			for i, cell := range cells {
				v, err := features.ParseValue(types[columns[i]], cell)
				if err != nil || v.IsMissing() {
					t.Fatalf("%s row %d: %s is %q: %v", month, rows, columns[i], cell, err)
				}
				delay = v
			}
			if at := cells[1]; at < last || !strings.HasPrefix(at, month) && at != "2001-07-01 00:00:00" {
				t.Fatalf("%s row %d: departed at %s, after %s", month, rows, at, last)
			}
			last = strings.Clone(cells[1])
			keys[strings.Clone(cells[0])] = true
			if delay.Number > 15 {
				late++
			}
		}
		if rows != months[month] {
			t.Errorf("%s: %d rows, want %d", month, rows, months[month])
		}
		total += rows
	}
	if total != 623741 || len(keys) != total {
		t.Errorf("%d rows with %d keys, want 623741", total, len(keys))
	}
	if rate := fmt.Sprintf("%.3f", float64(late)/float64(total)); rate != "0.229" {
		t.Errorf("%s of the flights are late, the README says 0.229", rate)
	}
}

func readSums(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open(filepath.Join("data", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sums := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		sum, name, _ := strings.Cut(lines.Text(), "  ")
		sums[name] = sum
	}
	if len(sums) != 2*len(months) {
		t.Fatalf("%d sums", len(sums))
	}
	return sums
}

func unpack(t *testing.T, month string, sums map[string]string) []byte {
	t.Helper()
	name := month + ".csv.gz"
	packed, err := os.ReadFile(filepath.Join("data", name))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for what, data := range map[string][]byte{name: packed, month + ".csv": text} {
		if got := fmt.Sprintf("%x", sha256.Sum256(data)); got != sums[what] {
			t.Errorf("%s has the sum %s, SHA256SUMS says %s", what, got, sums[what])
		}
	}
	return text
}

// The features compile, and none can see what is known only after landing.
func TestFeaturesDoNotKnowTheFuture(t *testing.T) {
	d := pipeline(t)
	p, problems := features.Compile(d.Features, d.Types(), d.Roles())
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if want := []string{"departed_at", "distance", "origin", "destination"}; !slices.Equal(p.Columns(), want) {
		t.Errorf("the features read %v, want %v", p.Columns(), want)
	}
	leak := append(slices.Clone(d.Features), features.Feature{Name: "delay", Expr: "arrival_delay"})
	if _, problems := features.Compile(leak, d.Types(), d.Roles()); len(problems) != 1 || !strings.Contains(problems[0].Message, "of which the label is made") {
		t.Errorf("arrival_delay as a feature: %v", problems)
	}
}
