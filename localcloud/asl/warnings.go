package asl

import (
	"fmt"
	"sort"
	"strings"
)

// The codes of warnings: a definition that has only these is valid.
const (
	StaticResult = "PASS_RESULT_IS_STATIC"
	NoTimeout    = "NO_TIMEOUT"
	NoData       = "NO_DOLLAR"
)

// Warnings lists what is valid in a machine but likely not meant, by location.
func (m *Machine) Warnings() []Problem {
	var w []Problem
	m.top.warnings("", m.TimeoutSeconds > 0, &w)
	sort.SliceStable(w, func(i, j int) bool { return w[i].Location < w[j].Location })
	return w
}

func (pr *program) warnings(loc string, bounded bool, w *[]Problem) {
	warn := func(at, code, format string, args ...any) {
		*w = append(*w, Problem{Code: code, Message: fmt.Sprintf(format, args...), Location: at})
	}
	for _, name := range sortedKeys(pr.states) {
		st := pr.states[name]
		at := loc + "/States/" + name
		if st.result != nil {
			expressions(st.result.value, at+"/Result", func(where string) {
				warn(where, StaticResult, "The Result of a Pass state is static: a field ending in .$ is not evaluated here. Use Parameters instead")
			})
		}
		if r := st.resource; r != nil && (r.WaitsForToken() || r.AwaitsJob()) && !bounded &&
			st.timeout == 0 && st.heartbeat == 0 && st.timeoutPath == nil && st.beatsAt == nil {
			warn(at, NoTimeout, "The task waits for up to a year when nothing answers: give it TimeoutSeconds or HeartbeatSeconds")
		}
		for field, t := range map[string]*template{"Parameters": st.parameters, "ResultSelector": st.resultSelector, "Assign": st.assign} {
			if t != nil {
				pathsInText(t, at+"/"+field, func(where string) {
					warn(where, NoData, "The field's value looks like a path or an intrinsic function, but its name does not end in .$")
				})
			}
		}
		for i, b := range st.branches {
			below := fmt.Sprintf("%s/Branches[%d]", at, i)
			if st.kind == Map {
				below = at + "/ItemProcessor"
			}
			b.warnings(below, bounded, w)
		}
	}
}

// expressions finds fields named like expressions in a constant.
func expressions(v any, loc string, found func(loc string)) {
	switch v := v.(type) {
	case *object:
		for i, k := range v.names {
			if text, ok := v.values[i].(string); ok && strings.HasSuffix(k, ".$") && looksLikeExpression(text) {
				found(loc + "/" + k)
				continue
			}
			expressions(v.values[i], loc+"/"+k, found)
		}
	case []any:
		for i, e := range v {
			expressions(e, fmt.Sprintf("%s[%d]", loc, i), found)
		}
	}
}

// pathsInText finds constants that look like expressions in a template.
func pathsInText(t *template, loc string, found func(loc string)) {
	if text, ok := t.value.(string); ok && t.constant && looksLikeExpression(text) {
		found(loc)
		return
	}
	for i, field := range t.fields {
		pathsInText(field, loc+"/"+t.names[i], found)
	}
	for i, e := range t.array {
		pathsInText(e, fmt.Sprintf("%s[%d]", loc, i), found)
	}
}

func looksLikeExpression(text string) bool {
	if text == "$" || strings.HasPrefix(text, "$.") || strings.HasPrefix(text, "$$.") || strings.HasPrefix(text, "States.") {
		_, err := parseExpr(text)
		return err == nil
	}
	return false
}
