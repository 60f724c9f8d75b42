package definition_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
)

// docs/definition.md has every key that Parse takes, by the keys that Parse itself lists, and every function.
func TestReferenceIsComplete(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "definition.md"))
	if err != nil {
		t.Fatal(err)
	}
	reference := string(text)
	resources := map[string]bool{"instance": true, "count": true, "volume_gb": true, "max_runtime": true}
	for prefix, src := range map[string]string{
		"":            "zzzzz: 1",
		"data.":       "data: {zzzzz: 1}",
		"quality[].":  "quality: [{zzzzz: 1}]",
		"features[].": "features: [{zzzzz: 1}]",
		"split.":      "split: {zzzzz: 1}",
		"train.":      "train: {zzzzz: 1}",
		"evaluate.":   "evaluate: {zzzzz: 1}",
		"approve.":    "approve: {zzzzz: 1}",
		"release.":    "release: {zzzzz: 1}",
		"retrain.":    "retrain: {zzzzz: 1}",
	} {
		for _, key := range known(t, src) {
			want := "`" + prefix + key
			if resources[key] {
				want = "`." + key + "`"
			}
			if !strings.Contains(reference, want) {
				t.Errorf("the reference does not have %s", want)
			}
		}
	}
	for _, f := range features.Functions() {
		name, _, _ := strings.Cut(f, "(")
		if !strings.Contains(reference, "`"+name+"(") {
			t.Errorf("the reference does not have the function %s", f)
		}
	}
}

// known are the keys that Parse names when it meets another.
func known(t *testing.T, src string) []string {
	t.Helper()
	_, err := definition.Parse("p.yaml", []byte(src))
	var problems *definition.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	for _, p := range problems.List {
		if keys, ok := strings.CutPrefix(p.Hint, "the keys here are "); ok && strings.Contains(p.Message, "zzzzz") {
			return strings.Split(keys, ", ")
		}
	}
	t.Fatalf("no list of keys in %v", err)
	return nil
}
