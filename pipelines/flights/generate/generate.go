package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
)

// sourceSum is the SHA-256 of data/flights-3m.parquet in vega-datasets 3.2.1.
const sourceSum = "dbeb920c90f59b6ccaff823dcc3d08f25a97fa1ce128d93f40be4e931f5900b0"

// hubs are the five origins that are kept.
var hubs = []string{"ATL", "DFW", "EWR", "LAX", "ORD"}

var months = []string{"2001-01", "2001-02", "2001-03", "2001-04", "2001-05", "2001-06"}

// end is the last departure in the source, which covers January to June: the five
// flights of that moment are kept with June.
var end = time.Date(2001, time.July, 1, 0, 0, 0, 0, time.UTC)

// flight is a row of the source. The times are local to the origin, without a zone.
type flight struct {
	Date        time.Time `parquet:"date,timestamp(microsecond:local)"`
	Delay       *int64    `parquet:"delay"`
	Distance    *int64    `parquet:"distance"`
	Origin      string    `parquet:"origin"`
	Destination string    `parquet:"destination"`
}

// generate writes a file a month into the folder out, and verifies or records their sums.
func generate(source, out string, record bool) error {
	flights, err := read(source)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, month := range months {
		text, rows := table(flights, month)
		packed, err := compress(text)
		if err != nil {
			return fmt.Errorf("compress %s: %w", month, err)
		}
		name := month + ".csv.gz"
		if err := os.WriteFile(filepath.Join(out, name), packed, 0o644); err != nil {
			return fmt.Errorf("write month: %w", err)
		}
		fmt.Fprintf(&sums, "%x  %s.csv\n%x  %s\n", sha256.Sum256(text), month, sha256.Sum256(packed), name)
		slog.Info("month written", "month", month, "rows", rows, "bytes", len(packed))
	}
	file := filepath.Join(out, "SHA256SUMS")
	if record {
		return os.WriteFile(file, []byte(sums.String()), 0o644)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("verify sums: %w", err)
	}
	return verify(sums.String(), string(want))
}

// verify compares sums line by line. Another version of Go may compress to other
// bytes; that is told apart from other rows.
func verify(got, want string) error {
	if got == want {
		return nil
	}
	wanted := strings.Split(want, "\n")
	for _, line := range strings.Split(got, "\n") {
		if !strings.HasSuffix(line, ".gz") && !slices.Contains(wanted, line) {
			return fmt.Errorf("verify sums: the rows of %s are not those of SHA256SUMS", line[max(0, strings.LastIndex(line, " ")+1):])
		}
	}
	return errors.New("verify sums: the rows are the same, the compressed bytes are not (another version of Go?)")
}

// read verifies the source and gives the flights of the five hubs, by time and
// otherwise in the source's order.
func read(source string) ([]flight, error) {
	data, err := os.ReadFile(source)
	if err != nil {
		return nil, fmt.Errorf("read source: %w", err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256(data)); sum != sourceSum {
		return nil, fmt.Errorf("verify source %s: its SHA-256 is %s, not %s", source, sum, sourceSum)
	}
	reader := parquet.NewGenericReader[flight](bytes.NewReader(data))
	defer reader.Close()
	var flights []flight
	batch := make([]flight, 10_000)
	for {
		clear(batch)
		n, err := reader.Read(batch)
		for _, f := range batch[:n] {
			if slices.Contains(hubs, f.Origin) {
				flights = append(flights, f)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read source %s: %w", source, err)
		}
	}
	slices.SortStableFunc(flights, func(a, b flight) int { return cmp.Compare(a.Date.Unix(), b.Date.Unix()) })
	return flights, nil
}

// table is a month as CSV. A flight's id is its month and its place in it.
func table(flights []flight, month string) (text []byte, rows int) {
	var b bytes.Buffer
	b.WriteString("flight_id,departed_at,origin,destination,distance,arrival_delay\n")
	for _, f := range flights {
		if monthOf(f.Date.UTC()) != month {
			continue
		}
		rows++
		fmt.Fprintf(&b, "%s-%06d,%s,%s,%s,%s,%s\n", strings.ReplaceAll(month, "-", ""), rows,
			f.Date.UTC().Format("2006-01-02 15:04:05"), f.Origin, f.Destination, number(f.Distance), number(f.Delay))
	}
	return b.Bytes(), rows
}

func monthOf(t time.Time) string {
	if t.Equal(end) {
		t = t.Add(-time.Nanosecond)
	}
	return t.Format("2006-01")
}

// number writes an optional number; missing is empty.
func number(n *int64) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

// compress leaves name and time out of the header, so that the same rows give the same bytes.
func compress(text []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
