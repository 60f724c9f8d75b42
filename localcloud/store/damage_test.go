package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/millrace-ml/millrace/localcloud/store"
)

// filled writes a file with small, large and many values, and gives its bytes
// and what is in it.
func filled(t testing.TB) ([]byte, map[string]thing) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := store.Open(path, store.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]thing{}
	for i, name := range []string{"svc/many", "svc/few", "svc/none", "svc/large"} {
		tb, err := store.NewTable[thing](s, name)
		if err != nil {
			t.Fatal(err)
		}
		values := map[string]thing{}
		for n := range []int{600, 3, 0, 4}[i] {
			values[fmt.Sprintf("k/%04d", n)] = thing{N: n, Text: strings.Repeat("x", []int{10, 10, 0, 9000}[i])}
		}
		if err := tb.PutAll(values); err != nil {
			t.Fatal(err)
		}
		for k, v := range values {
			want[name+" "+k] = v
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw, want
}

// contents reads everything of a file written by filled.
func contents(s *store.Store) (map[string]thing, error) {
	got := map[string]thing{}
	for _, name := range []string{"svc/many", "svc/few", "svc/none", "svc/large"} {
		tb, err := store.NewTable[thing](s, name)
		if err != nil {
			return nil, err
		}
		if err := tb.Scan("", func(k string, v thing) bool { got[name+" "+k] = v; return true }); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// resealed gives the file with a changed header that has a right checksum.
func resealed(raw []byte, change func(meta []byte)) []byte {
	raw = bytes.Clone(raw)
	for _, at := range []int{16, 4096 + 16} {
		m := raw[at : at+64]
		change(m)
		sum := fnv.New64a()
		sum.Write(m[:56])
		binary.NativeEndian.PutUint64(m[56:], sum.Sum64())
	}
	return raw
}

func TestOpen_Damaged(t *testing.T) {
	raw, _ := filled(t)
	if os.Getpagesize() != 4096 {
		t.Skip("NOT SUPPORTED: the offsets are for pages of 4,096 bytes")
	}
	for name, tt := range map[string]struct {
		raw  []byte
		want string
	}{
		"empty":            {nil, "cut off before the end of its headers"},
		"text":             {bytes.Repeat([]byte("some text\n"), 1000), "there is no header at byte 0"},
		"zeros":            {make([]byte, len(raw)), "there is no header at byte 0"},
		"one page":         {raw[:4096], "cut off before the end of its headers"},
		"half":             {raw[:len(raw)/2], "it is cut off: "},
		"two pages":        {raw[:8192], "it is cut off: 8192 bytes"},
		"first header":     {flipped(raw, 30*8), "the checksum of the header at byte 0 differs"},
		"second header":    {flipped(raw, (4096+70)*8), "the checksum of the header at byte 4096 differs"},
		"version":          {resealed(raw, func(m []byte) { m[4] = 7 }), "is of version 7, not 2"},
		"page size":        {resealed(raw, func(m []byte) { m[8] = 3 }), "its pages would have "},
		"root beyond file": {resealed(raw, func(m []byte) { binary.NativeEndian.PutUint64(m[16:], 1<<40) }), "is not among its"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			if err := os.WriteFile(path, tt.raw, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := store.Open(path, store.Options{})
			var damaged *store.Damaged
			if !errors.As(err, &damaged) {
				t.Fatalf("opened %v, %v", s, err)
			}
			for _, want := range []string{path + " is damaged: ", tt.want, "put back a copy"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, tt.raw) {
				t.Errorf("the file was changed: %v", err)
			}
		})
	}
}

// flipped gives the bytes with one bit turned.
func flipped(raw []byte, bit int) []byte {
	raw = bytes.Clone(raw)
	raw[bit/8] ^= 1 << (bit % 8)
	return raw
}

// A bit that turned anywhere is told of when the file is opened, unless it is
// where nothing is kept.
func TestOpen_AnyBitFlipped(t *testing.T) {
	raw, want := filled(t)
	rnd := rand.New(rand.NewPCG(7, 7))
	dir, refused := t.TempDir(), 0
	const rounds = 400
	for round := range rounds {
		bit := rnd.IntN(len(raw) * 8)
		path := filepath.Join(dir, fmt.Sprint(round))
		if err := os.WriteFile(path, flipped(raw, bit), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := store.Open(path, store.Options{NoSync: true})
		var damaged *store.Damaged
		switch {
		case errors.As(err, &damaged):
			refused++
			continue
		case err != nil:
			t.Fatalf("bit %d: %v", bit, err)
		}
		got, err := contents(s)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("bit %d: opened, and has %d of %d values: %v", bit, len(got), len(want), err)
		}
		tb, err := store.NewTable[thing](s, "svc/many")
		if err == nil {
			err = tb.Put("new", thing{N: round})
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Errorf("bit %d: cannot be written to: %v", bit, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d refused, of %d bytes", refused, rounds, len(raw))
	if refused < rounds/3 {
		t.Errorf("only %d of %d were refused", refused, rounds)
	}
}

// A file of another version of the program is not touched.
func TestOpen_OtherFormat(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(tx *bbolt.Tx) error
		want   string
	}{
		"older": {func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("about")) }, "its format is of before there were formats"},
		"newer": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("about")).Put([]byte("format"), store.Seal([]byte("format"), []byte("9")))
		}, "its format is 9"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			if err := open(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			db, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(db.Update(tt.change), db.Close()); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(path, store.Options{}); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// What an interrupted creation left is not taken for the file.
func TestOpen_CreationInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path+".new", []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	if err := table(t, s, "svc/a").Put("k", thing{N: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "state.db")
	s := open(b, path)
	tb := table(b, s, "svc/a")
	values := map[string]thing{}
	for n := range 20000 {
		values[fmt.Sprintf("k/%08d", n)] = thing{N: n, Text: strings.Repeat("x", 2000)}
	}
	if err := errors.Join(tb.PutAll(values), s.Close()); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		s, err := store.Open(path, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
