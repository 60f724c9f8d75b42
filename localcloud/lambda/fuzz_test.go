package lambda_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// FuzzCode gives any bytes as code: they are refused by name or unpacked below
// the function's folder, never anywhere else.
func FuzzCode(f *testing.F) {
	f.Add(zipOf(f, file{"bootstrap", 0o755, []byte("x")}))
	f.Add(zipOf(f, file{"../evil", 0o644, []byte("x")}, file{"a/b/c", 0o644, nil}))
	f.Add(zipOf(f, file{"link", 0o777 | fs.ModeSymlink, []byte("/etc/passwd")}))
	f.Add(zipOf(f, file{"dir/", 0o755 | fs.ModeDir, nil}, file{"dir", 0o644, []byte("x")}))
	f.Add([]byte("PK\x05\x06"))
	c := open(f, nil)
	parent := filepath.Dir(c.opts.Dir)
	f.Fuzz(func(t *testing.T, code []byte) {
		in, err := json.Marshal(map[string]any{"FunctionName": "f", "Role": role, "Runtime": "provided.al2023", "Handler": "h", "Code": map[string]any{"ZipFile": code}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Wire().Call(t.Context(), "CreateFunction", in)
		if e := new(wire.Error); err != nil && (!errors.As(err, &e) || e.HTTPStatus() >= 500) {
			t.Errorf("create: %v", err)
		}
		walked := filepath.WalkDir(parent, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.Type()&fs.ModeSymlink != 0 {
				t.Errorf("a link was made: %s", path)
			}
			inside := strings.HasPrefix(path, filepath.Join(c.opts.Dir, "f")) || strings.HasPrefix(path, filepath.Join(c.opts.Dir, ".scratch"))
			if path != parent && path != c.opts.Dir && !strings.HasPrefix(filepath.Base(path), "state.db") && !inside {
				t.Errorf("written outside: %s", path)
			}
			return nil
		})
		if walked != nil {
			t.Error(walked)
		}
		if err == nil {
			if _, err := c.Wire().Call(t.Context(), "DeleteFunction", []byte(`{"FunctionName":"f"}`)); err != nil {
				t.Error(err)
			}
		}
	})
}
