package main

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/statemachine"
)

// TestBadUploads: each fault of a file ends the run with a message that says
// what is wrong and where; the file is left out from then on, and the next good
// upload works.
func TestBadUploads(t *testing.T) {
	t.Parallel()
	rows := func(t *testing.T, old, with string) []byte { return edited(t, flightRows(60, 12), old, with) }
	cell := func(line int, column, value string) []byte { return withCell(flightRows(60, 12), line, column, value) }
	tests := map[string]struct {
		raw  func(t *testing.T) []byte
		want string
	}{
		"empty.csv":  {func(*testing.T) []byte { return nil }, "flights/raw/empty.csv: the file is empty"},
		"utf8.csv":   {func(t *testing.T) []byte { return rows(t, "200112-000002,", "200112-\xff00002,") }, "flights/raw/utf8.csv, line 3"},
		"cut.csv.gz": {func(t *testing.T) []byte { z := gzipped(t, flightRows(60, 12)); return z[:len(z)/2] }, "flights/raw/cut.csv.gz, line 24: the gzip stream ends early"},
		"missing.csv": {func(t *testing.T) []byte { return rows(t, ",distance,", ",distanze,") },
			`flights/raw/missing.csv, line 1, column "distance": the column is missing; the file has flight_id, departed_at, origin, destination, distanze, arrival_delay (hint: is "distanze" meant?)`},
		"length.csv":  {func(t *testing.T) []byte { return rows(t, "200112-000004,", "200112-000004,x,") }, "flights/raw/length.csv, line 5: the row has 7 values, the header has 6"},
		"twice.csv":   {func(t *testing.T) []byte { return rows(t, "200112-000007,", "200112-000003,") }, "flights/raw/twice.csv, line 8"},
		"type.csv":    {func(*testing.T) []byte { return cell(7, "distance", "far") }, `column "distance": 1 value is not of type integer; first: flights/raw/type.csv, line 7`},
		"range.csv":   {func(*testing.T) []byte { return cell(9, "distance", "99999") }, `column "distance": 1 value is outside 10 to 6000; first: flights/raw/range.csv, line 9`},
		"key.csv":     {func(*testing.T) []byte { return cell(4, "flight_id", "") }, `column "flight_id": 1 rows have no key; first: flights/raw/key.csv, line 4`},
		"time.csv":    {func(t *testing.T) []byte { return rows(t, "2001-12-", "2001-13-") }, `column "departed_at": 1 value is not of type time; first: flights/raw/time.csv, line 2`},
		"one-of.csv":  {func(t *testing.T) []byte { return rows(t, ",ORD,", ",ORF,") }, `column "origin": 1 value is not one of the 5 allowed; first: flights/raw/one-of.csv, line`},
		"renamed.csv": {func(*testing.T) []byte { return flightRows(goodRows, 2) }, "was a file uploaded twice under two names?"},
	}
	names := slices.Sorted(maps.Keys(tests))
	c := newTrouble(t)
	c.recovers()
	for _, name := range names {
		tt := tests[name]
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.upload(tt.raw(t), name)
			c.fails(c.next(), statemachine.ErrDataRejected, tt.want)
			c.recovers()
		})
	}
}

// withCell puts a value into a line (the header is line 1) of a column.
func withCell(raw []byte, line int, column, value string) []byte {
	lines := strings.Split(string(raw), "\n")
	cells := strings.Split(lines[line-1], ",")
	cells[slices.Index(strings.Split(lines[0], ","), column)] = value
	lines[line-1] = strings.Join(cells, ",")
	return []byte(strings.Join(lines, "\n"))
}

// TestReorderedColumns: the order of columns means nothing.
func TestReorderedColumns(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	var b strings.Builder
	for line := range bytes.Lines(flightRows(400, 1)) {
		cells := strings.Split(strings.TrimSpace(string(line)), ",")
		slices.Reverse(cells)
		b.WriteString(strings.Join(cells, ",") + "\n")
	}
	c.upload([]byte(b.String()), "reversed.csv")
	c.trains(c.next())
	c.prepared(c.runs, 400)
}

// TestUselessLabel: rows that all say the same teach nothing; with others they do.
func TestUselessLabel(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	raw := flightRows(400, 1)
	for line := 2; line <= 401; line++ {
		raw = withCell(raw, line, "arrival_delay", "0")
	}
	c.upload(raw, "punctual.csv")
	c.fails(c.next(), statemachine.ErrDataRejected, `column "late": the label is 0 in all 400 rows: there is nothing to learn`)
	c.recovers()
	c.prepared(c.runs, 400+goodRows)
}

// TestFewRows: what is too little alone is kept until there is more.
func TestFewRows(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	c.upload(flightRows(100, 1), "few.csv")
	c.fails(c.next(), statemachine.ErrDataRejected, "there are 100 rows to learn from, and at least 300 are needed")
	c.recovers()
	c.prepared(c.runs, 100+goodRows)
}

// TestNotForAPipeline: an upload that no pipeline reads is refused by an event,
// and no run begins.
func TestNotForAPipeline(t *testing.T) {
	t.Parallel()
	c := newTrouble(t)
	for key, want := range map[string]string{
		"flihgts/raw/jan.csv":  `flihgts/raw/jan.csv: no pipeline is named \"flihgts\" (there are: flights). Upload to <pipeline>/raw/ or <pipeline>/score/`,
		"jan.csv":              `jan.csv: no pipeline is named \"jan.csv\"`,
		"flights/jan.csv":      "flights/jan.csv: pipeline flights reads flights/raw/ (to learn) and flights/score/ (to score), not this place",
		"flights/rwa/jan.csv":  "flights/rwa/jan.csv: pipeline flights reads flights/raw/ (to learn)",
		"flights/raw/":         "",
		"flights/score/a b+c/": "",
	} {
		c.uploadBytes(map[bool][]byte{true: flightRows(10, 1), false: nil}[want != ""], key)
		if want == "" {
			continue // a folder, as consoles make them, is nothing to talk of
		}
		want = strings.NewReplacer("<", `\u003c`, ">", `\u003e`).Replace(want)
		c.awaitTold(events.TypeUploadRefused, want)
	}
	c.recovers()
	if c.runs != 1 {
		t.Errorf("run %d was the first to train: something refused began one", c.runs)
	}
}

// TestWrongDefinition: it is not deployed, and all that is wrong is told at once.
func TestWrongDefinition(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	raw, err := os.ReadFile(badInput)
	if err != nil {
		t.Fatal(err)
	}
	raw = edited(t, raw, "metric: auc", "metric: acu")
	raw = edited(t, raw, "hour(departed_at)", "hours(departed_at)")
	file := filepath.Join(dir, "pipeline.yaml")
	if err := os.WriteFile(file, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	bin, err := newBin(dir, file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = startCloud(t.Context(), cloudOptions{ephemeral: true, private: true, bin: bin})
	if err == nil {
		t.Fatal("it was deployed")
	}
	contains(t, "error", err.Error(), "nothing was deployed", "pipelines/flights/pipeline.yaml:18:24: features[0].expr", "did you mean hour?", "pipelines/flights/pipeline.yaml:27:20: evaluate.metric", "did you mean auc?")
}

// TestTakenPort: a port that is asked for and taken is told, with what helps.
func TestTakenPort(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port
	var out, talk bytes.Buffer
	code := run(t.Context(), []string{"up", "--ephemeral", "--empty", "--port", strconv.Itoa(port)}, &out, &talk)
	if code != 1 || out.Len() > 0 {
		t.Errorf("exit code %d, output %q", code, &out)
	}
	contains(t, "talk", talk.String(), fmt.Sprintf("port %d is taken by another program", port), "hint: leave out --port")
}

// prepared holds the number of rows that a run has learned from.
func (c *trouble) prepared(n, rows int) {
	c.t.Helper()
	step, _, found, err := c.ledger.Step(c.t.Context(), pipeline, n, statemachine.StepPrepare)
	if err != nil || !found || step.Facts["rows"] != float64(rows) {
		c.t.Errorf("run %d prepared %v, want %d rows (found %v, %v)", n, step.Facts, rows, found, err)
	}
}
