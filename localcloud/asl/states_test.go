package asl_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

func TestPaths(t *testing.T) {
	const in = `{"a":{"b c":[10,20,30],"n":1.50},"list":[{"k":"x","v":1},{"k":"y","v":2},{"k":"x","v":3}],"s":"text"}`
	for path, want := range map[string]string{
		"$":                                   in,
		"$.a.n":                               `1.50`,
		"$.a['b c'][1]":                       `20`,
		"$['a'][\"b c\"][-1]":                 `30`,
		"$.a['b c'][0:2]":                     `[10,20]`,
		"$.a['b c'][1:]":                      `[20,30]`,
		"$.a['b c'][0,2]":                     `[10,30]`,
		"$.list[*].v":                         `[1,2,3]`,
		"$..v":                                `[1,2,3]`,
		"$.list[?(@.k == 'x')].v":             `[1,3]`,
		"$.list[?(@.v >= 2 && @.k != 'y')]":   `[{"k":"x","v":3}]`,
		"$.list[?(!(@.v < 3) || @.v == 1)].v": `[1,3]`,
		"$.list[?(@.k =~ /X/i)].v":            `[1,3]`,
		"$.list[?(@.none)]":                   `[]`,
		"$.list.length()":                     `3`,
		"$.nothing[*]":                        `[]`,
		"$$.Execution.Name":                   `"e"`,
		"$$.StateMachine.Name":                `"m"`,
		"$$.Execution.StartTime":              `"2026-03-01T10:00:00.000Z"`,
	} {
		d := drive(t, pass(fmt.Sprintf(`"Parameters":{"v.$":%q},`, path)), in, false, noTask)
		if want = `{"v":` + want + `}`; !same(d.output, want) || strings.Contains(want, "1.50") && !strings.Contains(d.output, "1.50") {
			t.Errorf("%s gives %s %s %s, want %s", path, d.output, d.err, d.cause, want)
		}
	}
}

// A backslash is itself in a quoted name, but before the quote or another one.
func TestNamesWithBackslashes(t *testing.T) {
	in := `{"a\\\"b\"":1,"it's":2,"c\\d":3}`
	for path, want := range map[string]string{`$['a\"b"']`: `1`, `$['it\'s']`: `2`, `$['c\\d']`: `3`, `$['c\d']`: `3`} {
		d := drive(t, pass(fmt.Sprintf(`"Parameters":{"v.$":%q},`, path)), in, false, noTask)
		if !same(d.output, `{"v":`+want+`}`) {
			t.Errorf("%s gives %s %s, want %s", path, d.output, d.cause, want)
		}
	}
}

func TestPathsThatSelectNothing(t *testing.T) {
	for name, tc := range map[string]struct{ fields, cause string }{
		"context":     {`"Parameters":{"v.$":"$$.no"},`, `The JSONPath '$$.no' specified for the field 'v.$' could not be found in the input '{"Execution":{"Id":`},
		"field":       {`"Parameters":{"v.$":"$.no"},`, `The JSONPath '$.no' specified for the field 'v.$' could not be found in the input '{"a":1}'`},
		"input":       {`"InputPath":"$.no.more",`, `Invalid path '$.no.more' : Missing property in path $['no']`},
		"output":      {`"OutputPath":"$.no",`, `Invalid path '$.no' : No results for path: $['no']`},
		"index":       {`"Result":[1],"OutputPath":"$[3]",`, `Index out of bounds`},
		"result path": {`"InputPath":"$.a","ResultPath":"$.a.b",`, `Unable to apply`},
	} {
		t.Run(name, func(t *testing.T) {
			d := drive(t, pass(tc.fields), `{"a":1}`, false, noTask)
			want := "An error occurred while executing the state 'P' (entered at the event id #2). "
			if d.status != asl.Failed || !strings.HasPrefix(d.cause, want) || !strings.Contains(d.cause, tc.cause) {
				t.Errorf("%s, %s: %s; want the cause %s", d.status, d.err, d.cause, tc.cause)
			}
			if got := types(d.events); got != "ExecutionStarted PassStateEntered ExecutionFailed" {
				t.Errorf("history %s", got)
			}
		})
	}
}

func TestIntrinsicFunctions(t *testing.T) {
	const in = `{"a":[1,2,2,3],"o":{"b":1,"a":[1]},"s":"a-b+c","f":1.5,"q":"it's {}"}`
	for call, want := range map[string]string{
		`States.Array($.s, 1, null, true)`:                             `["a-b+c",1,null,true]`,
		`States.ArrayPartition($.a, 3)`:                                `[[1,2,2],[3]]`,
		`States.ArrayContains($.a, 3)`:                                 `true`,
		`States.ArrayRange(1, 9, 4)`:                                   `[1,5,9]`,
		`States.ArrayRange(3, 1, -1)`:                                  `[3,2,1]`,
		`States.ArrayGetItem($.a, 3)`:                                  `3`,
		`States.ArrayLength($.a)`:                                      `4`,
		`States.ArrayUnique($.a)`:                                      `[1,2,3]`,
		`States.Base64Encode('hi')`:                                    `"aGk="`,
		`States.Base64Decode('aGk=')`:                                  `"hi"`,
		`States.Hash('abc', 'SHA-1')`:                                  `"a9993e364706816aba3e25717850c26c9cd0d89d"`,
		`States.Hash('abc', 'MD5')`:                                    `"900150983cd24fb0d6963f7d28e17f72"`,
		`States.JsonMerge($.o, States.StringToJson('{"b":2}'), false)`: `{"a":[1],"b":2}`,
		`States.JsonToString($.o)`:                                     `"{\"b\":1,\"a\":[1]}"`,
		`States.MathAdd($.f, -0.5)`:                                    `2`,
		`States.MathRandom(4, 8)`:                                      `6`,
		`States.StringSplit($.s, '+-')`:                                `["a","b","c"]`,
		`States.StringToJson('1.50')`:                                  `1.50`,
		`States.UUID()`:                                                `"id-1"`,
		`States.Format('{} is {}, \{\} {}', $.q, $.o, $.f)`:            `"it's {} is {b=1, a=[1]}, {} 1.5"`,
		`States.Format('it\'s {}', States.ArrayLength($.a))`:           `"it's 4"`,
	} {
		d := drive(t, pass(fmt.Sprintf(`"Parameters":{"v.$":%q},`, call)), in, false, noTask)
		if !same(d.output, `{"v":`+want+`}`) {
			t.Errorf("%s gives %s %s %s, want %s", call, d.output, d.err, d.cause, want)
		}
	}
	for call, cause := range map[string]string{
		`States.ArrayGetItem($.a, 9)`:            "out of bounds",
		`States.ArrayRange(0, 2000, 1)`:          "more than 1000",
		`States.JsonMerge($.o, $.o, true)`:       "shallow",
		`States.StringToJson('{')`:               "The function 'States.StringToJson('{')' had the following error: Unexpected end-of-input",
		`States.StringToJson('not so')`:          "had the following error: Unrecognized token 'not': was expecting",
		`States.MathAdd(9223372036854775807, 1)`: "the sum of 9223372036854775807 and 1 is out of range",
		`States.Format('{}')`:                    "more {}",
		`States.Hash('a', 'CRC')`:                "CRC",
		`States.MathAdd('a', 1)`:                 "must be a number",
		`States.ArrayPartition($.a, 0)`:          "positive",
	} {
		d := drive(t, pass(fmt.Sprintf(`"Parameters":{"v.$":%q},`, call)), in, false, noTask)
		if d.err != "States.IntrinsicFailure" || !strings.Contains(d.cause, cause) {
			t.Errorf("%s gives %s %s: %s, want %s", call, d.output, d.err, d.cause, cause)
		}
	}
}

func TestInputAndOutput(t *testing.T) {
	for name, tc := range map[string]struct{ fields, want string }{
		"result at a path": {`"Result":5,"ResultPath":"$.x.y",`, `{"a":{"b":1},"x":{"y":5}}`},
		"result discarded": {`"Result":5,"ResultPath":null,`, `{"a":{"b":1}}`},
		"null input":       {`"InputPath":null,`, `{}`},
		"null output":      {`"OutputPath":null,`, `{}`},
		"input path":       {`"InputPath":"$.a","ResultPath":"$.got","OutputPath":"$.got",`, `{"b":1}`},
		"nested template":  {`"Parameters":{"l":[{"x.$":"$.a.b"},"$.a"],"k":{"c":true}},`, `{"l":[{"x":1},"$.a"],"k":{"c":true}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if d := drive(t, pass(tc.fields), `{"a":{"b":1}}`, false, noTask); !same(d.output, tc.want) {
				t.Errorf("output %s (%s %s), want %s", d.output, d.err, d.cause, tc.want)
			}
		})
	}
}

func TestChoice(t *testing.T) {
	for rule, want := range map[string]bool{
		`"Variable":"$.n","NumericEquals":1`:                                                        true,
		`"Variable":"$.n","NumericLessThanPath":"$.big"`:                                            true,
		`"Variable":"$.big","NumericEquals":9007199254740992`:                                       false,
		`"Variable":"$.s","StringMatches":"a*\\*z"`:                                                 true,
		`"Variable":"$.s","StringMatches":"*y"`:                                                     false,
		`"Variable":"$.s","StringGreaterThanEquals":"a"`:                                            true,
		`"Variable":"$.s","NumericEquals":1`:                                                        false,
		`"Variable":"$.t","TimestampLessThan":"2026-01-01T00:00:01+01:00"`:                          false,
		`"Variable":"$.t","TimestampEquals":"2026-01-01T01:00:00+01:00"`:                            true,
		`"Variable":"$.t","IsTimestamp":true`:                                                       true,
		`"Variable":"$.s","IsTimestamp":false`:                                                      true,
		`"Variable":"$.no","IsPresent":false`:                                                       true,
		`"Variable":"$.z","IsNull":true`:                                                            true,
		`"Variable":"$.b","BooleanEquals":false`:                                                    true,
		`"And":[{"Variable":"$.no","IsPresent":true},{"Variable":"$.no","IsNull":true}]`:            false,
		`"Or":[{"Variable":"$.b","IsString":true},{"Not":{"Variable":"$.b","BooleanEquals":true}}]`: true,
	} {
		definition := `{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{` + rule + `,"Next":"Y"}],"Default":"N"},
			"Y":{"Type":"Pass","Result":true,"End":true},"N":{"Type":"Pass","Result":false,"End":true}}}`
		d := drive(t, definition, `{"n":1.0,"big":9007199254740993,"s":"ab*z","t":"2026-01-01T00:00:00Z","z":null,"b":false}`, false, noTask)
		if d.output != fmt.Sprint(want) {
			t.Errorf("%s: %s %s %s, want %t", rule, d.output, d.err, d.cause, want)
		}
	}
	one := func(rule string) string {
		return `{"StartAt":"C","States":{"C":{"Type":"Choice","Choices":[{` + rule + `,"Next":"Y"}]},"Y":{"Type":"Succeed"}}}`
	}
	if d := drive(t, one(`"Variable":"$.n","NumericEquals":2`), `{"n":1}`, false, noTask); d.err != "States.Runtime" || !strings.HasSuffix(d.cause, "(entered at the event id #2). Failed to transition out of the state. The state does not point to a next state.") {
		t.Errorf("no rule matches: %s %s", d.err, d.cause)
	}
	if d := drive(t, one(`"Variable":"$.no","NumericEquals":2`), `{"n":1}`, false, noTask); d.err != "States.Runtime" || !strings.Contains(d.cause, "Invalid path '$.no'") {
		t.Errorf("no variable: %s %s", d.err, d.cause)
	}
}

func TestWait(t *testing.T) {
	for fields, want := range map[string]time.Duration{
		`"Seconds":90`:                            90 * time.Second,
		`"SecondsPath":"$.s"`:                     30 * time.Second,
		`"Timestamp":"2026-03-01T11:00:00+01:00"`: 0,
		`"Timestamp":"2026-03-08T10:00:00Z"`:      7 * 24 * time.Hour,
		`"Timestamp":"2094-03-19T13:14:07Z"`:      math.MaxInt32 * time.Second,
		`"TimestampPath":"$.t"`:                   time.Second / 2,
	} {
		for _, reload := range []bool{false, true} {
			d := drive(t, `{"StartAt":"W","States":{"W":{"Type":"Wait",`+fields+`,"End":true}}}`, `{"s":30,"t":"2026-03-01T10:00:00.5Z"}`, reload, noTask)
			if d.status != asl.Succeeded || d.took != want {
				t.Errorf("%s took %v (%s %s), want %v", fields, d.took, d.err, d.cause, want)
			}
		}
	}
	for fields, cause := range map[string]string{
		`"SecondsPath":"$.x"`:                "The SecondsPath parameter cannot be parsed as a long value: $.x == soon",
		`"SecondsPath":"$.n"`:                "The SecondsPath parameter references a negative value: $.n == -1",
		`"SecondsPath":"$.no"`:               "The SecondsPath parameter does not reference an input value: $.no",
		`"TimestampPath":"$.no"`:             "The TimestampPath parameter does not reference an input value: $.no",
		`"Timestamp":"2094-03-19T13:14:08Z"`: "Wait state delay is too long.",
		`"TimestampPath":"$.x"`:              "does not reference a valid ISO-8601 extended offset date-time format string: $.x == soon",
	} {
		d := drive(t, `{"StartAt":"W","States":{"W":{"Type":"Wait",`+fields+`,"End":true}}}`, `{"x":"soon","n":-1}`, false, noTask)
		if d.err != "States.Runtime" || !strings.Contains(d.cause, cause) {
			t.Errorf("%s: %s %s", fields, d.err, d.cause)
		}
	}
}

func TestFail(t *testing.T) {
	for fields, want := range map[string]asl.Failure{
		`"Error":"E","Cause":"c"`:                                   {Error: "E", Cause: "c"},
		`"ErrorPath":"$.e","CausePath":"States.Format('{}!', $.e)"`: {Error: "X", Cause: "X!"},
		`"Comment":"nothing said"`:                                  {},
		`"ErrorPath":"$.no"`: {Error: "States.Runtime", Cause: "An error occurred while executing the state 'F' (entered at the event id #2). " +
			`The JSONPath '$.no' specified for the field 'ErrorPath' could not be found in the input '{"e":"X"}'`},
	} {
		d := drive(t, `{"StartAt":"F","States":{"F":{"Type":"Fail",`+fields+`}}}`, `{"e":"X"}`, false, noTask)
		if d.status != asl.Failed || d.err != want.Error || d.cause != want.Cause {
			t.Errorf("%s fails with %s: %s", fields, d.err, d.cause)
		}
	}
}

func TestTaskErrors(t *testing.T) {
	boom := func(int, asl.Call) outcome { return outcome{fail: asl.Failure{Error: "Boom", Cause: "why"}} }
	silent := func(int, asl.Call) outcome { return outcome{silent: true} }
	retry := func(extra string) string { return `"Retry":[{"ErrorEquals":["Boom"]` + extra + `}],` }
	for name, tc := range map[string]struct {
		fields string
		task   func(int, asl.Call) outcome
		calls  int
		took   time.Duration
		status asl.Status
		err    string
		output string
	}{
		"fails":                 {"", boom, 1, 0, asl.Failed, "Boom", ""},
		"default retries":       {retry(""), boom, 4, 7 * time.Second, asl.Failed, "Boom", ""},
		"no retry":              {retry(`,"MaxAttempts":0`), boom, 1, 0, asl.Failed, "Boom", ""},
		"most delay":            {retry(`,"IntervalSeconds":10,"MaxDelaySeconds":15`), boom, 4, 40 * time.Second, asl.Failed, "Boom", ""},
		"half by jitter":        {retry(`,"IntervalSeconds":10,"BackoffRate":1,"JitterStrategy":"FULL"`), boom, 4, 15 * time.Second, asl.Failed, "Boom", ""},
		"another error":         {`"Retry":[{"ErrorEquals":["Bang"]}],`, boom, 1, 0, asl.Failed, "Boom", ""},
		"task failed":           {`"Retry":[{"ErrorEquals":["States.TaskFailed"],"MaxAttempts":1}],`, boom, 2, time.Second, asl.Failed, "Boom", ""},
		"caught":                {`"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Caught"}],`, boom, 1, 0, asl.Succeeded, "", `{"Error":"Boom","Cause":"why"}`},
		"caught at a path":      {`"Catch":[{"ErrorEquals":["Boom"],"ResultPath":"$.e","Next":"Caught"}],`, boom, 1, 0, asl.Succeeded, "", `{"n":5,"e":{"Error":"Boom","Cause":"why"}}`},
		"caught and dropped":    {`"Catch":[{"ErrorEquals":["Boom"],"ResultPath":null,"Next":"Caught"}],`, boom, 1, 0, asl.Succeeded, "", `{"n":5}`},
		"timeout":               {`"TimeoutSeconds":3,`, silent, 1, 3 * time.Second, asl.Failed, "States.Timeout", ""},
		"timeout by path":       {`"TimeoutSecondsPath":"$.n",`, silent, 1, 5 * time.Second, asl.Failed, "States.Timeout", ""},
		"heartbeat":             {`"HeartbeatSeconds":2,`, silent, 1, 2 * time.Second, asl.Failed, "States.Timeout", ""},
		"timeout is no failure": {`"TimeoutSeconds":3,"Catch":[{"ErrorEquals":["States.TaskFailed"],"Next":"Caught"}],`, silent, 1, 3 * time.Second, asl.Failed, "States.Timeout", ""},
		"heartbeat caught":      {`"HeartbeatSeconds":3,"Catch":[{"ErrorEquals":["States.HeartbeatTimeout"],"Next":"Caught"}],`, silent, 1, 3 * time.Second, asl.Succeeded, "", `{"Error":"States.Timeout","Cause":""}`},
		"heartbeat, a timeout":  {`"HeartbeatSeconds":3,"Catch":[{"ErrorEquals":["States.Timeout"],"Next":"Caught"}],`, silent, 1, 3 * time.Second, asl.Succeeded, "", `{"Error":"States.Timeout","Cause":""}`},
		"timeout, no heartbeat": {`"TimeoutSeconds":3,"Catch":[{"ErrorEquals":["States.HeartbeatTimeout"],"Next":"Caught"}],`, silent, 1, 3 * time.Second, asl.Failed, "States.Timeout", ""},
		"caught, nameless":      {`"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Caught"}],`, func(int, asl.Call) outcome { return outcome{} }, 1, 0, asl.Succeeded, "", `{"Error":null,"Cause":null}`},
		"runtime not caught":    {`"OutputPath":"$.no","Catch":[{"ErrorEquals":["States.ALL"],"Next":"Caught"}],`, func(int, asl.Call) outcome { return outcome{result: "1"} }, 1, 0, asl.Failed, "States.Runtime", ""},
		"too large":             {"", func(int, asl.Call) outcome { return outcome{result: `"` + strings.Repeat("x", asl.MaxPayload) + `"`} }, 1, 0, asl.Failed, "States.DataLimitExceeded", ""},
		"second time lucky": {retry(`,"IntervalSeconds":2`), func(n int, _ asl.Call) outcome {
			if n == 1 {
				return outcome{fail: asl.Failure{Error: "Boom"}}
			}
			return outcome{result: "true"}
		}, 2, 2 * time.Second, asl.Succeeded, "", "true"},
	} {
		if !strings.Contains(tc.fields, `"Caught"`) {
			tc.fields += `"Catch":[{"ErrorEquals":["Never"],"Next":"Caught"}],`
		}
		for _, reload := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reload %t", name, reload), func(t *testing.T) {
				d := drive(t, task(tc.fields), `{"n":5}`, reload, tc.task)
				if d.status != tc.status || d.err != tc.err || len(d.calls) != tc.calls || d.took != tc.took || tc.output != "" && !same(d.output, tc.output) {
					t.Errorf("%s %s (%s) %s after %d calls and %v; want %s %s %s after %d and %v", d.status, d.err, d.cause, d.output, len(d.calls), d.took,
						tc.status, tc.err, tc.output, tc.calls, tc.took)
				}
			})
		}
	}
}

func TestRetryCountAndToken(t *testing.T) {
	definition := `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"arn:aws:states:::sqs:sendMessage.waitForTaskToken",
		"Parameters":{"t.$":"$$.Task.Token","n.$":"$$.State.RetryCount"},"Retry":[{"ErrorEquals":["States.ALL"]}],"End":true}}}`
	d := drive(t, definition, `{}`, false, func(n int, c asl.Call) outcome {
		if want := fmt.Sprintf(`{"t":"id-%d","n":%d}`, n, n-1); c.Parameters != want || c.ID != fmt.Sprintf("id-%d", n) {
			t.Errorf("call %d has %s under %s, want %s", n, c.Parameters, c.ID, want)
		}
		if n < 3 {
			return outcome{fail: asl.Failure{Error: "X"}}
		}
		return outcome{result: `"ok"`}
	})
	want := "ExecutionStarted TaskStateEntered TaskScheduled TaskStarted TaskFailed TaskScheduled TaskStarted TaskFailed TaskScheduled TaskStarted TaskSucceeded TaskStateExited ExecutionSucceeded"
	if got := types(d.events); got != want || d.events[2].ResourceType != "sqs" || d.events[2].Resource != "sendMessage.waitForTaskToken" {
		t.Errorf("history %s, want %s", got, want)
	}
}
