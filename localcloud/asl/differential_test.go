package asl_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

// machineCase is a state machine with its input and what its tasks do.
type machineCase struct {
	ID         int                   `json:"id"`
	Definition object                `json:"definition"`
	Input      any                   `json:"input"`
	Tasks      map[string]taskScript `json:"tasks"`
	Names      []string              `json:"names"`
}

// ending is how an interpreter ended a case.
type ending struct {
	ID     int             `json:"id"`
	Status string          `json:"status"`
	Output json.RawMessage `json:"output"`
	Error  string          `json:"error"`
	Cause  string          `json:"cause"`
	Path   []string        `json:"path"`

	broken bool // a branch or iteration failed: how far its siblings came is open
}

func generate(seed uint64, id int, calls bool) machineCase {
	g := &generator{r: rand.New(rand.NewPCG(seed, uint64(id))), tasks: map[string]taskScript{}, calls: calls} //nolint:gosec // a test's dice
	input := any(g.input())
	if g.chance(5) {
		input = g.value()
	}
	return machineCase{ID: id, Definition: g.machine(), Input: input, Tasks: g.tasks, Names: g.names}
}

// ours runs a case here.
func ours(t testing.TB, c machineCase, reload bool) ending {
	t.Helper()
	definition, err := json.Marshal(c.Definition)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(c.Input)
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	d := drive(t, string(definition), string(input), reload, func(_ int, call asl.Call) outcome {
		script := c.Tasks[call.State]
		calls[call.State]++
		switch {
		case calls[call.State] <= script.Fails:
			return outcome{fail: asl.Failure{Error: script.Error, Cause: script.Cause}}
		case script.Echo:
			return outcome{result: call.Parameters}
		}
		raw, err := json.Marshal(script.Result)
		if err != nil {
			t.Fatal(err)
		}
		return outcome{result: string(raw)}
	})
	e := ending{ID: c.ID, Status: string(d.status), Error: d.err, Cause: d.cause}
	if d.status == asl.Succeeded {
		e.Output = json.RawMessage(d.output)
	}
	open := 0
	for _, ev := range d.events {
		switch {
		case strings.HasSuffix(ev.Type, "StateEntered"):
			e.Path = append(e.Path, ev.Name)
		case ev.Type == asl.ParallelStateStarted || ev.Type == asl.MapStateStarted:
			open++
		case ev.Type == asl.ParallelStateSucceeded || ev.Type == asl.MapStateSucceeded:
			open--
		}
	}
	e.broken = open != 0
	return e
}

// Whatever the machine: it ends, in a status of AWS's, the same way each time,
// and also when it is saved and restored at each wait.
func TestRandomMachines(t *testing.T) {
	for id := range 1000 {
		c := generate(1, id, true)
		first := ours(t, c, false)
		if first.Status != "SUCCEEDED" && first.Status != "FAILED" {
			t.Errorf("machine %d ended %s", id, first.Status)
		}
		for _, reload := range []bool{false, true} {
			again := ours(t, c, reload)
			if why := differs(first, again, false); why != "" {
				t.Errorf("machine %d with reload %t: %s", id, reload, why)
			}
		}
	}
}

// differs tells the first difference of two endings. Concurrent branches enter
// their states in an order that AWS leaves open; it is not compared.
func differs(a, b ending, namesOnly bool) string {
	if a.Status != b.Status {
		return fmt.Sprintf("status %s (%s: %s), %s (%s: %s)", a.Status, a.Error, a.Cause, b.Status, b.Error, b.Cause)
	}
	if !namesOnly && a.Error != b.Error {
		return fmt.Sprintf("error %s (%s), %s (%s)", a.Error, a.Cause, b.Error, b.Cause)
	}
	if a.Status == "SUCCEEDED" && !same(wordless(a.Output), wordless(b.Output)) {
		return fmt.Sprintf("output %s, %s", a.Output, b.Output)
	}
	p, q := append([]string{}, a.Path...), append([]string{}, b.Path...)
	sort.Strings(p)
	sort.Strings(q)
	if a.Status == "SUCCEEDED" && !a.broken && strings.Join(p, " ") != strings.Join(q, " ") {
		return fmt.Sprintf("path %v, %v", a.Path, b.Path)
	}
	return ""
}

// wordless is an output without the causes of the language's own errors, whose
// words are AWS's here and their own elsewhere.
func wordless(output json.RawMessage) string {
	var v any
	if json.Unmarshal(output, &v) != nil {
		return string(output)
	}
	strip(v)
	raw, err := json.Marshal(v)
	if err != nil {
		return string(output)
	}
	return string(raw)
}

func strip(v any) {
	switch v := v.(type) {
	case object:
		if name, ok := v["Error"].(string); ok && strings.HasPrefix(name, "States.") {
			delete(v, "Cause")
		}
		for _, e := range v {
			strip(e)
		}
	case []any:
		for _, e := range v {
			strip(e)
		}
	}
}

// peers are other interpreters; each needs something that is not of this
// repository, and is left out without it.
var peers = []struct {
	name    string
	calls   bool
	command func() *exec.Cmd // nil: not here
	sample  int              // how many machines, when nobody says
}{
	{"aws-local-stepfunctions", true, func() *exec.Cmd {
		dir := os.Getenv("MILLRACE_ASL_PEER") // a folder with node_modules/aws-local-stepfunctions
		if _, err := os.Stat(dir + "/node_modules/aws-local-stepfunctions"); dir == "" || err != nil {
			return nil
		}
		cmd := exec.Command("node", "testdata/peer.mjs")
		cmd.Env = append(os.Environ(), "PEER="+dir)
		return cmd
	}, 2000},
	{"moto", false, func() *exec.Cmd {
		python := os.Getenv("MILLRACE_ASL_MOTO") // a Python that has moto[stepfunctions]
		if python == "" {
			return nil
		}
		cmd := exec.Command(python, "testdata/peer_moto.py")
		cmd.Env = append(os.Environ(), "CACHE_PATHS=1") // quicker, with the same results
		return cmd
	}, 400},
}

// TestDifferential compares with the peers where they follow, a sample by
// default, and more by
//
//	MILLRACE_ASL_PEER=<folder> MILLRACE_ASL_MOTO=<python> MILLRACE_ASL_CASES=10000 MILLRACE_ASL_SEED=7 go test -run Differential
func TestDifferential(t *testing.T) {
	seed := number(t, "MILLRACE_ASL_SEED", 1)
	for _, peer := range peers {
		cmd := peer.command()
		if cmd == nil {
			if os.Getenv("MILLRACE_TEST_CLIENTS") == "required" {
				t.Errorf("%s is not here", peer.name)
			}
			t.Logf("%s is not here: nothing was compared with it", peer.name)
			continue
		}
		var list []machineCase
		for id := range number(t, "MILLRACE_ASL_CASES", peer.sample) {
			list = append(list, generate(uint64(seed), id, peer.calls)) //nolint:gosec // not negative
		}
		odd := compare(t, peer.name, list, answers(t, cmd, list))
		// Which of its threads is first changes from run to run: what has no reason
		// is asked again, a few at a time. A difference that is one stays.
		for range 2 {
			if len(odd) == 0 || len(odd) > 20 {
				break
			}
			list = nil
			for _, o := range odd {
				list = append(list, o.machineCase)
			}
			odd = compare(t, peer.name, list, answers(t, peer.command(), list))
		}
		for _, o := range odd[:min(20, len(odd))] {
			raw, err := json.Marshal(o.machineCase)
			if err != nil {
				t.Fatal(err)
			}
			t.Errorf("%s, machine %d: ours, theirs: %s\n%s", peer.name, o.ID, o.why, raw)
		}
	}
}

// unexplained is a case that ends differently for no known reason.
type unexplained struct {
	machineCase
	why string
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s is no number", name, text)
	}
	return n
}

func answers(t *testing.T, cmd *exec.Cmd, list []machineCase) []ending {
	t.Helper()
	var in bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, c := range list {
		c.Definition = plain(c.Definition).(object)
		if err := enc.Encode(c); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Stdin, cmd.Stderr = &in, io.Discard
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	var all []ending
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e ending
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("read %q: %v", lines.Text(), err)
		}
		all = append(all, e)
	}
	if len(all) != len(list) {
		t.Fatalf("%s answered %d of %d", cmd, len(all), len(list))
	}
	return all
}

func compare(t *testing.T, peer string, list []machineCase, theirs []ending) (odd []unexplained) {
	t.Helper()
	explained, equal := map[string]int{}, 0
	for i, c := range list {
		mine := ours(t, c, false)
		why := differs(mine, theirs[i], false)
		if why == "" {
			equal++
			continue
		}
		if reason := explain(t, peer, c, mine, theirs[i]); reason != "" {
			explained[reason]++
			continue
		}
		odd = append(odd, unexplained{c, why})
	}
	t.Logf("%s: %d machines, %d equal, %d differ without a reason; with one: %v", peer, len(list), equal, len(odd), explained)
	return odd
}

// explain tells a difference that is known not to be ours.
func explain(t *testing.T, peer string, c machineCase, mine, theirs ending) string {
	t.Helper()
	// What was caught or tried again counts too.
	bare := c
	bare.Definition = uncaught(c.Definition).(object)
	for _, mine := range []ending{mine, ours(t, bare, false)} {
		for _, known := range quirks {
			if strings.HasPrefix(known.reason, "moto") == (peer == "moto") && known.holds(c, mine, theirs) {
				return known.reason
			}
		}
	}
	// Of branches that fail, one is first: where AWS leaves open which, any may be.
	for try := range uint64(64) {
		dice := rand.New(rand.NewPCG(try, 0)) //nolint:gosec // a test's dice
		other, changed := delayed(c.Definition, dice)
		if !changed {
			return ""
		}
		late := c
		late.Definition = other.(object)
		got := ours(t, late, false)
		got.Path = slices.DeleteFunc(got.Path, func(name string) bool { return strings.HasPrefix(name, "late-") })
		if differs(got, theirs, false) == "" {
			return "which branch fails first is open"
		}
	}
	return ""
}

// quirks are what peers are known to do otherwise than AWS.
var quirks = []struct {
	reason string
	holds  func(c machineCase, mine, theirs ending) bool
}{
	{"a Fail state without an error is given one", func(_ machineCase, mine, theirs ending) bool {
		return mine.Error == "" && theirs.Error == "FailStateError" || bytes.Contains(theirs.Output, []byte(`"FailStateError"`))
	}},
	{"a result is put into what is no object", func(_ machineCase, mine, _ ending) bool {
		return mine.Error == "States.ResultPathMatchFailure"
	}},
	{"[*] of an empty array is refused", func(_ machineCase, _, theirs ending) bool {
		return strings.HasSuffix(theirs.Cause, "[*]' does not point to a value")
	}},
	{"$ is refused when it is null", func(_ machineCase, _, theirs ending) bool {
		return theirs.Cause == "Path expression '$' does not point to a value"
	}},
	{"an index out of bounds is no error", func(_ machineCase, mine, _ ending) bool {
		return strings.Contains(mine.Cause+string(mine.Output), "'States.ArrayGetItem(")
	}},
	{"States.JsonMerge changes its argument", func(c machineCase, _, _ ending) bool {
		return strings.Contains(fmt.Sprint(c.Definition), "States.JsonMerge")
	}},
	{"texts of objects have their members in another order", func(c machineCase, mine, theirs ending) bool {
		return strings.Contains(fmt.Sprint(c.Definition), "States.JsonToString") && len(mine.Output) > 0 && sameLetters(mine.Output, theirs.Output)
	}},
	{"events of branches in branches are lost", func(_ machineCase, mine, theirs ending) bool {
		return mine.Status == theirs.Status && same(string(mine.Output), string(theirs.Output)) && len(theirs.Path) < len(mine.Path) && within(theirs.Path, mine.Path)
	}},
	{"moto's output is text that is no JSON, or left out when it is null", func(_ machineCase, mine, theirs ending) bool {
		return theirs.Status == "REFUSED" && strings.HasPrefix(theirs.Cause, "JSONDecodeError") || theirs.Status == "SUCCEEDED" && string(mine.Output) == "null" && len(theirs.Output) == 0
	}},
	{"moto has its own error when a Map has no array", func(_ machineCase, mine, theirs ending) bool {
		return strings.Contains(mine.Cause, "must point to array") && theirs.Error == "States.QueryEvaluationError"
	}},
	{"no choice that matches is States.NoChoiceMatched, which can be caught", func(_ machineCase, mine, _ ending) bool {
		return strings.HasSuffix(mine.Cause, "The state does not point to a next state.")
	}},
	{"moto takes a choice's missing value for false", func(_ machineCase, mine, _ ending) bool {
		return strings.Contains(mine.Cause, "The choice state's condition path references an invalid value")
	}},
	{"moto loses the name of an error inside a branch", func(_ machineCase, _, theirs ending) bool {
		return strings.Contains(theirs.Cause, "Custom Error Names MUST NOT begin with the prefix 'States.'")
	}},
	{"moto puts a result into what is no object", func(_ machineCase, mine, _ ending) bool {
		return mine.Error == "States.ResultPathMatchFailure"
	}},
	{"moto catches States.Runtime, which AWS does not", func(c machineCase, mine, theirs ending) bool {
		return mine.Error == "States.Runtime" && strings.Contains(fmt.Sprint(c.Definition), "Catch:") && (theirs.Status == "SUCCEEDED" || len(theirs.Path) > len(mine.Path))
	}},
	{"moto has no name for a failed function", func(_ machineCase, mine, theirs ending) bool {
		return mine.Error == "States.IntrinsicFailure" && theirs.Error == "States.Runtime" && regexp.MustCompile(`^\w+Error\(`).MatchString(theirs.Cause)
	}},
	{"any path into null is null", func(_ machineCase, mine, _ ending) bool {
		return strings.HasSuffix(mine.Cause, "could not be found in the input 'null'")
	}},
}

func sameLetters(a, b []byte) bool {
	p, q := slices.Clone(a), slices.Clone(b)
	slices.Sort(p)
	slices.Sort(q)
	return bytes.Equal(p, q)
}

// within tells whether each name of part is in whole, as often at least.
func within(part, whole []string) bool {
	left := map[string]int{}
	for _, name := range whole {
		left[name]++
	}
	for _, name := range part {
		if left[name]--; left[name] < 0 {
			return false
		}
	}
	return true
}

// delayed has every Parallel state wait in all branches but one, which the dice choose.
func delayed(v any, dice *rand.Rand) (any, bool) {
	changed := false
	switch v := v.(type) {
	case object:
		out := object{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			var c bool
			out[k], c = delayed(v[k], dice)
			changed = changed || c
		}
		branches, ok := out["Branches"].([]any)
		if !ok || len(branches) < 2 {
			return out, changed
		}
		first := dice.IntN(len(branches))
		for i, b := range branches {
			if i == first {
				continue
			}
			branch := b.(object)
			start := branch["StartAt"].(string)
			late := "late-" + start
			branch["States"].(object)[late] = object{"Type": "Wait", "Seconds": 1, "Next": start}
			branch["StartAt"] = late
		}
		return out, true
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			var c bool
			out[i], c = delayed(e, dice)
			changed = changed || c
		}
		return out, changed
	}
	return v, false
}

// uncaught is the definition without its catchers and retriers.
func uncaught(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for k, e := range v {
			if k != "Catch" && k != "Retry" {
				out[k] = uncaught(e)
			}
		}
		if states, ok := out["States"].(object); ok {
			keep := object{}
			reach(states, out["StartAt"].(string), keep)
			out["States"] = keep
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = uncaught(e)
		}
		return out
	}
	return v
}

// numeric has a comparison of numbers ask for a number first.
func numeric(rule object, operator string) object {
	out := object{"And": []any{object{"Variable": rule["Variable"], "IsNumeric": true}, object{"Variable": rule["Variable"], operator: rule[operator]}}}
	if next, ok := rule["Next"]; ok {
		out["Next"] = next
	}
	return out
}

// plain is a definition that means the same, without what a peer has wrong:
// ResultPath $, type tests for false, numbers compared with anything, and
// States.TaskFailed, which here stands for as much as States.ALL.
func plain(v any) any {
	switch v := v.(type) {
	case object:
		out := object{}
		for k, e := range v {
			if k != "ResultPath" || e != "$" {
				out[k] = plain(e)
			}
		}
		for k := range out {
			if strings.HasPrefix(k, "Numeric") {
				return numeric(out, k)
			}
		}
		for _, test := range []string{"IsPresent", "IsNull", "IsString", "IsNumeric", "IsBoolean", "IsTimestamp"} {
			if out[test] == false {
				out["Not"] = object{"Variable": out["Variable"], test: true}
				delete(out, test)
				delete(out, "Variable")
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = plain(e)
		}
		return out
	case string:
		if v == "States.TaskFailed" {
			return "States.ALL"
		}
	}
	return v
}
