package spill_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/millrace-ml/millrace/worker/spill"
)

func read(t *testing.T, s *spill.Sorter) (out []string) {
	t.Helper()
	stream, err := s.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for {
		key, value, err := stream.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(key)+"="+string(value))
	}
}

// TestSort: whatever is kept in memory and in whatever order records come, they
// are read in the order of their keys, and again.
func TestSort(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var want []string
	var records [][2][]byte
	for i := range 5000 {
		key := fmt.Appendf(bytes.Repeat([]byte("same"), rng.IntN(4)), "%d", i)
		value := bytes.Repeat([]byte{'v'}, rng.IntN(40))
		records = append(records, [2][]byte{key, value})
		want = append(want, string(key)+"="+string(value))
	}
	records = append(records, [2][]byte{nil, nil}, [2][]byte{[]byte("a\x00"), []byte("zero")}, [2][]byte{[]byte("a"), bytes.Repeat([]byte("long"), 100_000)})
	for _, r := range records[5000:] {
		want = append(want, string(r[0])+"="+string(r[1]))
	}
	slices.SortFunc(want, func(a, b string) int {
		ka, _, _ := bytes.Cut([]byte(a), []byte("="))
		kb, _, _ := bytes.Cut([]byte(b), []byte("="))
		return bytes.Compare(ka, kb)
	})
	for name, budget := range map[string]int{"in memory": 1 << 30, "a few runs": 60_000, "many runs": 2_000, "one record at a time": 1} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "scratch")
			s := spill.New(dir, budget)
			rng.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
			for _, r := range records[:min(len(records), 5003)] {
				if err := s.Add(r[0], r[1]); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				if got := read(t, s); !slices.Equal(got, want) {
					t.Fatalf("%d records are not in order, want %d", len(got), len(want))
				}
			}
			if s.Records() != int64(len(want)) {
				t.Errorf("%d records", s.Records())
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%d files are left", len(left))
			}
		})
	}
}

func TestCutStreamIsAnError(t *testing.T) {
	var b bytes.Buffer
	w := spill.NewWriter(&b)
	if err := errors.Join(w.Write([]byte("key"), []byte("value")), w.Close()); err != nil {
		t.Fatal(err)
	}
	for n := range b.Len() {
		r := spill.NewReader(io.NopCloser(bytes.NewReader(b.Bytes()[:n])))
		var err error
		for err == nil {
			_, _, err = r.Next()
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes end with %v", n, err)
		}
	}
}
