package store_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/store"
)

type thing struct {
	N    int
	Text string `json:",omitempty"`
}

func open(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func table(t testing.TB, s *store.Store, name string) *store.Table[thing] {
	t.Helper()
	tb, err := store.NewTable[thing](s, name)
	if err != nil {
		t.Fatal(err)
	}
	return tb
}

func TestTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "state.db")
	s := open(t, path)
	a, b := table(t, s, "svc/a"), table(t, s, "svc/b")
	if _, ok, err := a.Get("x"); ok || err != nil {
		t.Errorf("get nothing: %v, %v", ok, err)
	}
	if err := a.PutAll(map[string]thing{"k/1": {N: 1}, "k/2": {N: 2}, "l": {N: 3}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Put("k/1", thing{N: 9}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	a, b = table(t, s, "svc/a"), table(t, s, "svc/b")
	if v, ok, err := a.Get("k/1"); !ok || err != nil || v.N != 1 {
		t.Errorf("after reopening: %+v, %v, %v", v, ok, err)
	}
	if v, _, _ := b.Get("k/1"); v.N != 9 {
		t.Errorf("tables are mixed up: %+v", v)
	}
	var keys []string
	if err := a.Scan("k/", func(k string, _ thing) bool { keys = append(keys, k); return true }); err != nil || !slices.Equal(keys, []string{"k/1", "k/2"}) {
		t.Errorf("scan: %v, %v", keys, err)
	}
	keys = nil
	if err := a.Scan("", func(k string, _ thing) bool { keys = append(keys, k); return len(keys) < 2 }); err != nil || len(keys) != 2 {
		t.Errorf("scan that stops: %v, %v", keys, err)
	}
	if err := errors.Join(a.Delete("k/1"), a.Delete("never")); err != nil {
		t.Error(err)
	}
	if _, ok, _ := a.Get("k/1"); ok {
		t.Error("deleted and still there")
	}
}

func TestUpdate(t *testing.T) {
	a := table(t, open(t, filepath.Join(t.TempDir(), "state.db")), "a")
	refused := errors.New("refused")
	add := func(v thing, ok bool) (thing, error) {
		if !ok {
			v.Text = "new"
		}
		v.N++
		if v.N > 2 {
			return v, refused
		}
		return v, nil
	}
	for i, want := range []error{nil, nil, refused} {
		if _, err := a.Update("k", add); !errors.Is(err, want) {
			t.Errorf("update %d: %v, want %v", i, err, want)
		}
	}
	if v, _, _ := a.Get("k"); v.N != 2 || v.Text != "new" {
		t.Errorf("a refused update was kept: %+v", v)
	}
}

func TestConcurrentUpdates(t *testing.T) {
	a := table(t, open(t, filepath.Join(t.TempDir(), "state.db")), "a")
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for range 4 {
				if _, err := a.Update("counter", func(v thing, _ bool) (thing, error) { v.N++; return v, nil }); err != nil {
					t.Error(err)
				}
				if err := a.Put(fmt.Sprint("own", i), thing{N: i}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if v, _, _ := a.Get("counter"); v.N != 128 {
		t.Errorf("counted %d of 128", v.N)
	}
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open(t, path)
	if _, err := store.Open(path, store.Options{}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("second opening: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	bad, err := store.NewTable[any](s, "bad")
	if err != nil {
		t.Fatal(err)
	}
	if err := bad.PutAll(map[string]any{"a": 1, "b": func() {}}); err == nil {
		t.Error("a function was stored")
	}
	if _, ok, _ := bad.Get("a"); ok {
		t.Error("half of a refused write was kept")
	}
	if err := bad.Put("text", "x"); err != nil {
		t.Fatal(err)
	}
	numbers, err := store.NewTable[int](s, "bad")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := numbers.Get("text"); err == nil {
		t.Error("a text was read as a number")
	}
	if _, err := numbers.Update("text", func(n int, _ bool) (int, error) { return n, nil }); err == nil {
		t.Error("a text was updated as a number")
	}
	if err := numbers.Scan("", func(string, int) bool { return true }); err == nil {
		t.Error("a text was scanned as a number")
	}
}

func BenchmarkPut(b *testing.B) {
	a := table(b, open(b, filepath.Join(b.TempDir(), "state.db")), "a")
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if err := a.Put(fmt.Sprint(i%1000), thing{N: i}); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkPutAlone(b *testing.B) {
	a := table(b, open(b, filepath.Join(b.TempDir(), "state.db")), "a")
	for i := 0; b.Loop(); i++ {
		if err := a.Put(fmt.Sprint(i%1000), thing{N: i}); err != nil {
			b.Error(err)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "state.db"))
	a := table(t, s, "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Put("k", thing{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("write after closing: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestPanicReachesItsCaller(t *testing.T) {
	a := table(t, open(t, filepath.Join(t.TempDir(), "state.db")), "a")
	func() {
		defer func() {
			if recover() != "mine" {
				t.Error("the panic was lost")
			}
		}()
		_, _ = a.Update("k", func(thing, bool) (thing, error) { panic("mine") })
	}()
	if err := a.Put("k", thing{N: 1}); err != nil {
		t.Errorf("the store does not go on: %v", err)
	}
}
