package wire_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func TestPage(t *testing.T) {
	self := func(s string) string { return s }
	all := strings.Fields("b d f h j")
	first, next, ok := wire.Page(all, self, 2, nil)
	if !ok || next == nil || !slices.Equal(first, []string{"b", "d"}) {
		t.Fatalf("first page %v, %v", first, next)
	}
	for name, tc := range map[string]struct{ now, want string }{
		"nothing changed":        {"b d f h j", "f h"},
		"more before":            {"a b c d f h j", "f h"},
		"one less before":        {"d f h j", "f h"},
		"more behind":            {"b d e f h j", "e f"},
		"the last one went":      {"b f h j", "h j"}, // by its place: the only case that moves
		"all that were seen are": {"b d", ""},
		"nothing is left":        {"", ""},
	} {
		if got, _, ok := wire.Page(strings.Fields(tc.now), self, 2, next); !ok || strings.Join(got, " ") != tc.want {
			t.Errorf("%s: %v, want %s", name, got, tc.want)
		}
	}
	if rest, end, ok := wire.Page(all, self, 5, nil); !ok || end != nil || len(rest) != 5 {
		t.Errorf("one page: %v, %v", rest, end)
	}
	if rest, end, ok := wire.Page(all, self, 0, nil); !ok || end != nil || len(rest) != 5 {
		t.Errorf("no size: %v, %v", rest, end)
	}
	for _, bad := range []string{"", "3", "none", "LTEgYQ==", "YSBi"} {
		if _, _, ok := wire.Page(all, self, 2, &bad); ok {
			t.Errorf("the token %q was taken", bad)
		}
	}
}
