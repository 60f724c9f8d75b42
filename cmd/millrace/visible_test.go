package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// TestNothingSteersTheTerminal: names and texts of others are shown, but do not
// clear the screen, name the window or write over what stands there.
func TestNothingSteersTheTerminal(t *testing.T) {
	const hostile = "p\x1b[2J\x1b]0;x\a\r\u009b1A"
	folder := filepath.Join(t.TempDir(), hostile)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "pipeline.yaml")
	if err := os.WriteFile(file, []byte("name: \"a\\e[2Jb\"\n\"c\\e[2J\": 1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"an answer": {"validate", file}, "in JSON": {"validate", "--json", file}, "an error": {"validate", file + "/nothing"},
	} {
		var out, told bytes.Buffer
		if code := run(t.Context(), args, &out, &told); code == 0 {
			t.Errorf("%s: exit code 0", name)
		}
		all := out.String() + told.String()
		if at := strings.IndexFunc(all, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); at >= 0 || !strings.Contains(all, `\u001b[2J`) {
			t.Errorf("%s: %q", name, all)
		}
		if name == "in JSON" && (!json.Valid(out.Bytes()) || !strings.Contains(decoded(out.Bytes()), hostile)) {
			t.Errorf("the JSON is %s", out.Bytes())
		}
	}
}

// decoded is all texts of a JSON value.
func decoded(raw []byte) string {
	var all strings.Builder
	d := json.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := d.Token()
		if err != nil {
			return all.String()
		}
		if s, ok := token.(string); ok {
			all.WriteString(s + "\n")
		}
	}
}
