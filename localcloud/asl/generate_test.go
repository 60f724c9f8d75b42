package asl_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes state machines that end: each goes on to later states only.
type generator struct {
	r     *rand.Rand
	n     int // names given
	names []string
	tasks map[string]taskScript
	calls bool // Task states are wanted; without them also nothing that moto does not follow
	depth int
}

// taskScript is what a Task state's function does.
type taskScript struct {
	Fails  int    `json:"fails"` // so many calls, then it answers
	Error  string `json:"error"`
	Cause  string `json:"cause"`
	Echo   bool   `json:"echo"`
	Result any    `json:"result"`
}

type object = map[string]any

func (g *generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func pick[T any](g *generator, from ...T) T { return from[g.r.IntN(len(from))] }

// input has the same fields always, so that paths find something.
func (g *generator) input() object {
	return object{
		"n": pick[any](g, 0, 1, -3, 2.5, 10), "s": pick[any](g, "a", "b*", "", "2026-03-01T10:00:00Z"), "b": g.chance(50), "z": nil,
		"l": pick[any](g, []any{}, []any{1, 2, 3}, []any{"x", "y"}, []any{object{"n": 1, "s": "p"}, object{"n": 2, "s": "q"}}),
		"o": object{"n": g.r.IntN(5), "s": "in", "o": object{"deep": pick[any](g, 1, "d", nil)}},
		"t": pick[any](g, "2026-03-01T10:00:00Z", g.unless("2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00Z"), "2020-01-01T00:00:00Z"),
	}
}

// unless gives what moto follows where moto is asked: it knows no times in other
// zones than UTC, no ranges downwards and no escaped star.
func (g *generator) unless(wanted, followed string) string {
	if g.calls {
		return wanted
	}
	return followed
}

func (g *generator) path() string {
	return pick(g, "$", "$.n", "$.s", "$.b", "$.z", "$.l", "$.o", "$.t", "$.o.n", "$.o.s", "$.o.o", "$.o.o.deep", "$['n']", "$.o['s']", "$.l[0]", "$.l[*]", "$.r", "$.r.n", "$.missing")
}

// found is a path that the input has; later states may have lost it.
func (g *generator) found() string {
	return pick(g, "$", "$.n", "$.s", "$.b", "$.z", "$.l", "$.o", "$.t", "$.o.n", "$.o.s", "$.o.o.deep", "$['o']['n']")
}

func (g *generator) value() any {
	return pick[any](g, 1, -2, 3.5, "text", true, nil, []any{1, "a", nil}, object{"n": 7, "s": "v"}, object{}, []any{}, object{"l": []any{object{"n": 1}}})
}

func (g *generator) intrinsic() string {
	return pick(g,
		"States.Format('a {} b {}', $.n, $.s)", "States.Format('{}', $.b)", "States.Array($.n, $.s, 'x', 3)", "States.ArrayLength($.l)", "States.ArrayContains($.l, 2)",
		"States.ArrayGetItem($.l, 0)", "States.ArrayRange(1, 9, 3)", g.unless("States.ArrayRange(5, 1, -2)", "States.ArrayRange(1, 5, 2)"), "States.ArrayPartition($.l, 2)", "States.ArrayUnique(States.Array(1, 1, 2))", "States.MathAdd($.o.n, 2)",
		"States.StringSplit('a,b,c', ',')", "States.JsonToString($.o)", "States.StringToJson('{\"a\":[1,2]}')", "States.JsonMerge($.o, $.o.o, false)", "States.Base64Encode('hi')",
		"States.Base64Decode('aGk=')", "States.Hash('x', 'SHA-256')", "States.Format('{}', States.ArrayLength(States.Array(1, $.n)))")
}

func (g *generator) template() object {
	t := object{}
	for i := range 1 + g.r.IntN(3) {
		switch name := fmt.Sprintf("p%d", i); g.r.IntN(5) {
		case 0:
			t[name] = g.value()
		case 1:
			t[name] = object{"in.$": g.found(), "k": 1}
		case 2:
			t[name+".$"] = g.intrinsic()
		case 3:
			t[name+".$"] = g.path()
		default:
			t[name+".$"] = g.found()
		}
	}
	return t
}

// flow adds the fields that shape data; with results also those of what works.
func (g *generator) flow(st object, results bool) {
	if g.chance(15) {
		st["InputPath"] = pick[any](g, g.found(), g.found(), nil)
	}
	if g.chance(10) {
		st["OutputPath"] = pick[any](g, "$", "$", g.path(), nil)
	}
	if !results {
		return
	}
	if g.chance(75) {
		st["ResultPath"] = pick[any](g, "$.r", "$.r", "$.o.r", "$.new.deep", "$", nil)
	}
}

func (g *generator) condition(depth int) object {
	if depth < 2 && g.chance(20) {
		switch g.r.IntN(3) {
		case 0:
			return object{"And": []any{g.condition(depth + 1), g.condition(depth + 1)}}
		case 1:
			return object{"Or": []any{g.condition(depth + 1), g.condition(depth + 1)}}
		}
		return object{"Not": g.condition(depth + 1)}
	}
	compare := pick(g, "Equals", "LessThan", "GreaterThan", "LessThanEquals", "GreaterThanEquals")
	switch g.r.IntN(8) {
	case 0:
		// A rule looks at one value.
		return object{"Variable": strings.Replace(g.path(), "[*]", "[0]", 1), "IsPresent": g.chance(50)}
	case 1:
		return object{"Variable": g.found(), pick(g, "IsNull", "IsString", "IsNumeric", "IsBoolean", "IsTimestamp"): g.chance(50)}
	case 2:
		return object{"Variable": "$.s", "StringMatches": pick(g, "a*", "*", g.unless("b\\*", "b*"), "x")}
	case 3:
		return object{"Variable": "$.t", "Timestamp" + compare: "2026-03-01T09:30:00Z"}
	case 4:
		return object{"Variable": "$.b", "BooleanEquals": g.chance(50)}
	case 5:
		return object{"Variable": "$.s", "String" + compare: pick(g, "a", "b")}
	case 6:
		return object{"Variable": "$.n", "Numeric" + compare + "Path": pick(g, "$.o.n", "$.n")}
	}
	return object{"Variable": g.found(), "Numeric" + compare: pick[any](g, 1, 2.5, 0)}
}

func (g *generator) handlers(st object, next []string) {
	errorNames := func() []any {
		return []any{pick[any](g, "Boom", "Other", "States.ALL", "States.TaskFailed")}
	}
	if g.chance(40) {
		st["Retry"] = []any{object{"ErrorEquals": errorNames(), "MaxAttempts": g.r.IntN(3), "IntervalSeconds": 1}}
	}
	if g.chance(50) && len(next) > 0 {
		c := object{"ErrorEquals": errorNames(), "Next": pick(g, next...)}
		if g.chance(60) {
			c["ResultPath"] = pick[any](g, "$.e", "$", nil)
		}
		st["Catch"] = []any{c}
	}
}

// machine makes StartAt and States.
func (g *generator) machine() object {
	g.depth++
	defer func() { g.depth-- }()
	names := make([]string, 1+g.r.IntN(4))
	for i := range names {
		g.n++
		names[i] = fmt.Sprintf("S%d", g.n)
	}
	g.names = append(g.names, names...)
	states := object{}
	for i, name := range names {
		states[name] = g.state(name, names[i+1:])
	}
	keep := object{}
	reach(states, names[0], keep)
	return object{"StartAt": names[0], "States": keep}
}

// reach copies what can be reached: other states are refused.
func reach(states object, name string, keep object) {
	if _, done := keep[name]; done {
		return
	}
	st := states[name].(object)
	keep[name] = st
	for _, field := range []string{"Next", "Default"} {
		if next, ok := st[field].(string); ok {
			reach(states, next, keep)
		}
	}
	for _, field := range []string{"Choices", "Catch"} {
		list, _ := st[field].([]any)
		for _, e := range list {
			reach(states, e.(object)["Next"].(string), keep)
		}
	}
}

func (g *generator) state(name string, next []string) object {
	kinds := []string{"Pass", "Pass", "Pass", "Wait", "Succeed", "Fail"}
	if len(next) > 0 {
		kinds = append(kinds, "Choice", "Choice", "Choice", "Pass", "Pass", "Pass", "Pass")
	}
	if g.depth < 3 {
		kinds = append(kinds, "Parallel", "Map", "Map")
	}
	if g.calls {
		kinds = append(kinds, "Task", "Task", "Task")
	}
	kind := pick(g, kinds...)
	st := object{"Type": kind}
	switch kind {
	case "Succeed":
		g.flow(st, false)
		return st
	case "Fail":
		if g.chance(80) {
			st["Error"], st["Cause"] = pick(g, "Boom", "Other", "Fatal"), "because"
		}
		return st
	case "Choice":
		rule := g.condition(0)
		rule["Next"] = pick(g, next...)
		st["Choices"] = []any{rule}
		if g.chance(85) {
			st["Default"] = pick(g, next...)
		}
		g.flow(st, false)
		return st
	case "Pass":
		if g.chance(40) {
			if st["Result"] = g.value(); st["Result"] == nil {
				st["Result"] = "nil" // what AWS makes of null is not known
			}
		} else if g.chance(70) {
			st["Parameters"] = g.template()
		}
		g.flow(st, true)
	case "Wait":
		st["Seconds"] = 0
		g.flow(st, false)
	case "Task":
		st["Resource"] = taskARN
		if g.chance(40) {
			st["Parameters"] = g.template()
		}
		g.script(name)
	case "Parallel":
		branches := make([]any, 1+g.r.IntN(3))
		for i := range branches {
			branches[i] = g.machine()
		}
		st["Branches"] = branches
	case "Map":
		st["ItemProcessor"] = g.machine()
		st["ItemsPath"] = pick(g, "$.l", "$.l", "$.l", "$.r", "$")
		st["MaxConcurrency"] = 1
		if g.chance(40) {
			st["ItemSelector"] = object{"v.$": "$$.Map.Item.Value", "i.$": "$$.Map.Item.Index", "from.$": g.found()}
		}
	}
	if kind == "Task" || kind == "Parallel" || kind == "Map" {
		g.flow(st, true)
		if g.chance(15) {
			st["ResultSelector"] = object{"sel.$": "$", "c": 1}
		}
		g.handlers(st, next)
	}
	if len(next) == 0 || g.chance(10) {
		st["End"] = true
	} else {
		st["Next"] = pick(g, next...)
	}
	return st
}

func (g *generator) script(name string) {
	t := taskScript{Error: pick(g, "Boom", "Other"), Cause: "because", Echo: g.chance(60), Result: g.value()}
	if g.chance(40) {
		t.Fails = 99
		if g.depth == 1 { // elsewhere it is open which call is the last to fail
			t.Fails = pick(g, 1, 2, 99)
		}
	}
	g.tasks[name] = t
}
