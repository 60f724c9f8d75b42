package stepfunctions_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Recordings have words where values differ from run to run, and <placeholders>
// in texts.
var (
	placeholder = regexp.MustCompile(`<(?:[^<>]|<[^<>]*>)*>`)
	anything    = map[string]bool{"timestamp": true, "date": true, "datetime": true, "lambda_function_name": true}
	ignored     = map[string]bool{"timestamp": true, "roleArn": true, "RoleArn": true, "Date": true, "X-Amzn-Trace-Id": true, "x-amzn-RequestId": true, "RequestId": true, "Content-Length": true}
	accountID   = regexp.MustCompile(`\b\d{12}\b`)
)

// differences is the first difference between two histories, "" for none. What
// ran at once is recorded without ids, in no order of its own, and not whole: of
// that each recorded event must be there.
func differences(want, got []map[string]any) string {
	at := slices.IndexFunc(want, atOnce)
	if at < 0 {
		return inOrder(want, got)
	}
	after := len(want) - 1
	for after >= 0 && !atOnce(want[after]) {
		after--
	}
	tail := len(want) - 1 - after
	if len(got) < at+tail {
		return fmt.Sprintf("%d events, want %d at least", len(got), len(want))
	}
	if d := inOrder(want[:at], got[:at]); d != "" {
		return d
	}
	if d := inOrder(want[after+1:], got[len(got)-tail:]); d != "" {
		return d
	}
	rest := slices.Clone(got[at : len(got)-tail])
	for _, w := range want[at : after+1] {
		w = without(w)
		i := slices.IndexFunc(rest, func(g map[string]any) bool { return differ("", w, without(g)) == "" })
		if i < 0 {
			return fmt.Sprintf("nothing like %v", w)
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return ""
}

func atOnce(e map[string]any) bool { _, list := e["id"].([]any); return list }

func without(e map[string]any) map[string]any {
	e = maps.Clone(e)
	delete(e, "id")
	delete(e, "previousEventId")
	return e
}

func inOrder(want, got []map[string]any) string {
	for i, w := range want {
		if i >= len(got) {
			return fmt.Sprintf("%d events, want %d", len(got), len(want))
		}
		if d := differ(fmt.Sprintf("#%v %v", w["id"], w["type"]), w, got[i]); d != "" {
			return d
		}
	}
	if len(got) > len(want) {
		return fmt.Sprintf("%d events, want %d", len(got), len(want))
	}
	return ""
}

// value reads JSON in a text, as recordings do with inputs and outputs.
func value(v any) any {
	text, ok := v.(string)
	if !ok {
		return v
	}
	var in any
	if text != "" && strings.ContainsAny(text[:1], `{["-0123456789tfn`) && json.Unmarshal([]byte(text), &in) == nil {
		return in
	}
	return v
}

func differ(path string, want, got any) string {
	if text, ok := want.(string); ok && (anything[text] || placeholder.MatchString(text)) {
		return unlike(path, text, got)
	}
	if text, ok := got.(string); ok {
		got = accountID.ReplaceAllString(text, "111111111111")
	}
	want, got = value(want), value(got)
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for _, k := range slices.Sorted(maps.Keys(w)) {
			if _, has := g[k]; !has {
				return path + "." + k + " is missing"
			}
			if ignored[k] {
				continue
			}
			if d := differ(path+"."+k, w[k], g[k]); d != "" {
				return d
			}
		}
		for _, k := range slices.Sorted(maps.Keys(g)) {
			if _, has := w[k]; !has {
				return path + "." + k + " is extra"
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			if d := differ(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); d != "" {
				return d
			}
		}
		return ""
	case string:
		if anything[w] || placeholder.MatchString(w) { // it was inside JSON in a text
			return unlike(path, w, got)
		}
	}
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return fmt.Sprintf("%s is %.300v, want %.300v", path, got, want)
}

func unlike(path, pattern string, got any) string {
	switch got.(type) {
	case map[string]any, []any:
		return path + " is no text"
	}
	text := accountID.ReplaceAllString(fmt.Sprint(got), "111111111111")
	if anything[pattern] {
		return ""
	}
	var b strings.Builder
	last := 0
	for _, at := range placeholder.FindAllStringIndex(pattern, -1) {
		b.WriteString(regexp.QuoteMeta(pattern[last:at[0]]) + ".*")
		last = at[1]
	}
	b.WriteString(regexp.QuoteMeta(pattern[last:]))
	if regexp.MustCompile("(?s)^" + b.String() + "$").MatchString(text) {
		return ""
	}
	return fmt.Sprintf("%s is %.300s, want %s", path, text, pattern)
}
