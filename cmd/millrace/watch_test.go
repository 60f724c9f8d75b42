package main

import (
	"slices"
	"testing"

	"github.com/millrace-ml/millrace/statemachine"
)

func TestWrap(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		width int
		want  []string
	}{
		"nothing":         {"", 10, []string{""}},
		"it fits":         {"one two", 7, []string{"one two"}},
		"one too many":    {"one two", 6, []string{"one", "two"}},
		"a long word":     {"see s3://bucket/key now", 8, []string{"see", "s3://bucket/key", "now"}},
		"line breaks":     {"one\n  two", 20, []string{"one two"}},
		"letters counted": {"é é é", 3, []string{"é é", "é"}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wrap(c.text, c.width); !slices.Equal(got, c.want) {
				t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
			}
		})
	}
}

func TestPlainCause(t *testing.T) {
	for name, c := range map[string]struct{ cause, want string }{
		"of a function":   {`{"errorMessage":"no such file","errorType":"DataRejected"}`, "no such file"},
		"with a trace":    {`{"errorMessage":"boom","errorType":"Runtime","stackTrace":[{"line":1}]}`, "boom"},
		"a sentence":      {"the approval expired", "the approval expired"},
		"other JSON":      {`{"Status":"Failed"}`, `{"Status":"Failed"}`},
		"JSON, no object": {`"text"`, `"text"`},
		"cut off":         {`{"errorMessage":"no su`, `{"errorMessage":"no su`},
		"nothing":         {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := statemachine.PlainCause(c.cause); got != c.want {
				t.Errorf("statemachine.PlainCause(%s) = %q, want %q", c.cause, got, c.want)
			}
		})
	}
}
