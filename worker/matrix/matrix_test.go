package matrix_test

import (
	"bytes"
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/matrix"
)

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadDir(t *testing.T) {
	dir := write(t, map[string]string{"b.csv": "1,,2.5\n", "a.csv": "0,1,-0.125\n1,3e-5,7", ".hidden": "x"})
	l, err := matrix.ReadDir(context.Background(), dir, []string{"p", "q"}, false)
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for r := range l.X.Rows {
		b = matrix.AppendRow(b, []float32{l.Label[r]}, []float32{l.X.Column(0)[r], l.X.Column(1)[r]})
	}
	if want := "0,1,-0.125\n1,3e-05,7\n1,,2.5\n"; string(b) != want {
		t.Errorf("rows are %q, want %q", b, want)
	}
}

func TestReadDirRefuses(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing":    {nil, "there is no file"},
		"no label":   {map[string]string{"a": "1,2\n,2\n"}, "a line 2: the label is missing"},
		"too many":   {map[string]string{"a": "1,2,3\n"}, "a line 1: more than 2 values"},
		"too few":    {map[string]string{"a": "1,2\n", "b": "1\n"}, "b line 1: 1 values, want 2"},
		"text":       {map[string]string{"a": "1,x\n"}, `a line 1: value 2: "x" is not a number`},
		"infinity":   {map[string]string{"a": "1,inf\n"}, `"inf" is not a number`},
		"overflow":   {map[string]string{"a": "1,1e60\n"}, `"1e60" is not a number`},
		"lone point": {map[string]string{"a": "1,.\n"}, `"." is not a number`},
		"lone minus": {map[string]string{"a": "1,-\n"}, `"-" is not a number`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := matrix.ReadDir(context.Background(), write(t, tt.files), []string{"p"}, false)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %s", err, tt.want)
			}
		})
	}
}

// FuzzRoundTrip holds that every finite number survives the file bit for bit.
func FuzzRoundTrip(f *testing.F) {
	for _, v := range []float32{0, 1, -1, 0.1, 16777216, 123456.7, 1e-45, 3.4e38, 0.3333333, 999999, 1e6, -1e-7} {
		f.Add(math.Float32bits(v))
	}
	f.Fuzz(func(t *testing.T, bits uint32) {
		v := math.Float32frombits(bits)
		if v != v || math.IsInf(float64(v), 0) {
			return
		}
		dir := t.TempDir()
		b := matrix.AppendRow(nil, []float32{1}, []float32{v, -v})
		if bytes.Count(b, []byte{','}) != 2 {
			t.Fatalf("row is %q", b)
		}
		if err := os.WriteFile(filepath.Join(dir, "a"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := matrix.ReadDir(context.Background(), dir, []string{"p", "q"}, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.X.Data[0]; got != v {
			t.Errorf("%v became %v by %q", v, got, b)
		}
	})
}
