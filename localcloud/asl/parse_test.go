package asl_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

func TestParseRefuses(t *testing.T) {
	ok := `"Z":{"Type":"Succeed"}`
	for name, tc := range map[string]struct {
		definition string
		locations  string // of all problems, sorted
	}{
		"empty":                 {``, ""},
		"not an object":         {`[]`, ""},
		"twice the same name":   {`{"StartAt":"A","StartAt":"A"}`, `[Source: (String)"{\"StartAt\":\"A\",\"StartAt\":\"A\"}"; line: 1, column: 16]`},
		"no states":             {`{"StartAt":"A"}`, "/"},
		"states that are empty": {`{"StartAt":"A","States":{}}`, "/States"},
		"no start":              {`{"States":{` + ok + `}}`, "/"},
		"unknown top field":     {`{"StartAt":"Z","Stats":1,"States":{` + ok + `}}`, "/"},
		"JSONata":               {`{"StartAt":"Z","QueryLanguage":"JSONata","States":{` + ok + `}}`, "/QueryLanguage"},
		"JSONata in a state":    {`{"StartAt":"A","States":{"A":{"Type":"Pass","QueryLanguage":"JSONata","Output":"{% 1 %}","End":true}}}`, "/States/A/Output /States/A/QueryLanguage"},
		"unreachable":           {`{"StartAt":"Z","States":{` + ok + `,"Y":{"Type":"Succeed"}}}`, "/States/Y"},
		"unknown type":          {`{"StartAt":"A","States":{"A":{"Type":"Pause"}}}`, "/States/A/Type"},
		"neither next nor end":  {`{"StartAt":"A","States":{"A":{"Type":"Pass"}}}`, "/States/A"},
		"bad path":              {`{"StartAt":"A","States":{"A":{"Type":"Pass","InputPath":"a.b","End":true}}}`, "/States/A/InputPath"},
		"result path not exact": {`{"StartAt":"A","States":{"A":{"Type":"Pass","ResultPath":"$.a[*]","End":true}}}`, "/States/A/ResultPath"},
		"bad function":          {`{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"x.$":"States.Nothing()"},"End":true}}}`, "/States/A/Parameters"},
		"path not text":         {`{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"l":[{"x.$":1}]},"End":true}}}`, "/States/A/Parameters/l[0]"},
		"function for a cause":  {`{"StartAt":"A","States":{"A":{"Type":"Fail","CausePath":"States.MathAdd(1,2)"}}}`, "/States/A/CausePath"},
		"seconds of context":    {`{"StartAt":"A","States":{"A":{"Type":"Wait","SecondsPath":"$$.Execution.Input.n","End":true}}}`, "/States/A/SecondsPath"},
		"two waits":             {`{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1,"SecondsPath":"$.x","End":true}}}`, "/States/A"},
		"two operators":         {`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.a","IsNull":true,"IsString":true,"Next":"Z"}]},` + ok + `}}`, "/States/A/Choices[0]"},
		"operand type":          {`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"$.a","NumericEquals":"1","Next":"Z"}]},` + ok + `}}`, "/States/A/Choices[0]/NumericEquals"},
		"States.ALL not alone":  {`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:lambda:r:1:function:f","Retry":[{"ErrorEquals":["States.ALL","X"]}],"End":true}}}`, "/States/A/Retry[0]/ErrorEquals"},
		"activity":              {`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:states:r:1:activity:a","End":true}}}`, "/States/A/Resource"},
		"another role":          {`{"StartAt":"A","States":{"A":{"Type":"Task","Credentials":{"RoleArn":"x"},"Resource":"arn:aws:lambda:r:1:function:f","End":true}}}`, "/States/A/Credentials"},
		"distributed map": {`{"StartAt":"A","States":{"A":{"Type":"Map","ItemReader":{},"ItemProcessor":{"ProcessorConfig":{"Mode":"DISTRIBUTED","ExecutionType":"STANDARD"},"StartAt":"Z","States":{` + ok + `}},"End":true}}}`,
			"/States/A/ItemProcessor/ProcessorConfig/Mode /States/A/ItemReader"},
		"same name inside": {`{"StartAt":"A","States":{"A":{"Type":"Parallel","Branches":[{"StartAt":"A","States":{"A":{"Type":"Succeed"}}}],"End":true}}}`, "/States/A/Branches[0]/States/A"},
		"all at once": {`{"StartAt":"A","States":{"A":{"Type":"Wait","Next":"B"},"B":{"Type":"Task","Resource":"x","TimeoutSeconds":0,"Next":"C"}}}`,
			"/States/A /States/B/Next /States/B/Resource /States/B/TimeoutSeconds"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := asl.Parse([]byte(tc.definition))
			var bad *asl.DefinitionError
			if !errors.As(err, &bad) {
				t.Fatalf("accepted, or %v", err)
			}
			var at []string
			for _, p := range bad.Problems {
				at = append(at, p.Location)
			}
			sort.Strings(at)
			if got := strings.Join(at, " "); got != tc.locations {
				t.Errorf("problems at %q, want %q: %v", got, tc.locations, err)
			}
		})
	}
}

func TestTasksAreListed(t *testing.T) {
	m, err := asl.Parse([]byte(`{"StartAt":"P","States":{"P":{"Type":"Parallel","End":true,"Branches":[{"StartAt":"T","States":{"T":{"Type":"Task","End":true,"Resource":"arn:aws:states:::aws-sdk:sagemaker:describeTrainingJob.sync:2"}}}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got := m.Tasks()
	if len(got) != 1 || got[0].Location != "/States/P/Branches[0]/States/T" || got[0].Resource.Service != "aws-sdk:sagemaker" ||
		got[0].Resource.Action != "describeTrainingJob" || got[0].Resource.Pattern != "sync:2" {
		t.Errorf("tasks %+v", got)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, s := range []string{"$", "$$.a", "$x.y", "$.a['b'][0]", "$..a[*]", "$[?(@.a == 'x' && !(@.b))]", "$[-1:]", "$[0,1]", "$['a','b']", "$.a.length()", "$[?(@ =~ /a/i)]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		p, err := asl.ParsePath(src)
		if err != nil {
			return
		}
		if p.String() != src {
			t.Errorf("%q reads back as %q", src, p)
		}
		if _, err := asl.ParsePath(p.String()); err != nil {
			t.Errorf("%q parses once only: %v", src, err)
		}
	})
}

// What Parse accepts runs to an end or a wait without a panic.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Parameters":{"x.$":"States.Format('{}', $.a)"},"End":true}}}`,
		`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Not":{"Variable":"$.a","IsNull":true},"Next":"B"}],"Default":"B"},"B":{"Type":"Wait","Seconds":1,"End":true}}}`,
		`{"StartAt":"A","States":{"A":{"Type":"Map","ItemProcessor":{"StartAt":"B","States":{"B":{"Type":"Fail","Error":"x"}}},"Catch":[{"ErrorEquals":["x"],"Next":"C"}],"End":true},"C":{"Type":"Succeed"}}}`,
		`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"arn:aws:lambda:r:1:function:f","TimeoutSecondsPath":"$.a","Retry":[{"ErrorEquals":["States.ALL"]}],"ResultPath":"$.a[0]","End":true}}}`,
	} {
		f.Add(s, `{"a":[1,"x",null]}`)
	}
	f.Fuzz(func(t *testing.T, definition, input string) {
		m, err := asl.Parse([]byte(definition))
		if err != nil {
			return
		}
		x, err := asl.NewExecution(m, info(), input, sources())
		if err != nil {
			return
		}
		x.Begin(start)
		for range 20 {
			p := x.Take()
			for _, c := range p.Calls {
				_ = x.Succeed(start, c.ID, `{"r":[1]}`)
			}
			at, ok := x.NextDue()
			if !ok {
				break
			}
			saved, err := x.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			if x, err = asl.Restore(m, saved, sources()); err != nil {
				t.Fatal(err)
			}
			x.Due(at)
		}
	})
}

// What AWS takes, though it may look odd.
func TestParseTakes(t *testing.T) {
	const task = `{"StartAt":"T","States":{"T":{"Type":"Task","Resource":"` + taskARN + `",%s"End":true}}}`
	for name, definition := range map[string]string{
		"a branch that never ends":   `{"StartAt":"M","States":{"M":{"Type":"Map","ItemProcessor":{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Pass","Next":"A"}}},"End":true}}}`,
		"no pause before a retry":    fmt.Sprintf(task, `"Retry":[{"ErrorEquals":["States.ALL"],"IntervalSeconds":0,"MaxDelaySeconds":31622400}],`),
		"no time limit, said so":     `{"StartAt":"A","TimeoutSeconds":0,"States":{"A":{"Type":"Succeed"}}}`,
		"any concurrency":            `{"StartAt":"M","States":{"M":{"Type":"Map","MaxConcurrency":9223372036854775807,"ItemProcessor":{"StartAt":"A","States":{"A":{"Type":"Succeed"}}},"End":true}}}`,
		"a variable in any alphabet": `{"StartAt":"A","States":{"A":{"Type":"Pass","Assign":{"größe_1":1},"End":true}}}`,
	} {
		if _, err := asl.Parse([]byte(definition)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The words are AWS's.
func TestProblemsInWords(t *testing.T) {
	for definition, want := range map[string]string{
		``:                                  "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object",
		`[]`:                                "SCHEMA_VALIDATION_FAILED: Definition must be a valid JSON object",
		`{}`:                                "SCHEMA_VALIDATION_FAILED: These fields are required: [States, StartAt] at /",
		"not a definition":                  "INVALID_JSON_DESCRIPTION: Unrecognized token 'not': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')\n at [Source: (String)\"not a definition\"; line: 1, column: 4]",
		`{"StartAt":"A","States":{"A":{}}}`: "SCHEMA_VALIDATION_FAILED: These fields are required: [Type] at /States/A",
		`{"StartAt":"A","States":{"A":{"Type":"Pause"}}}`:                                                                                                   "SCHEMA_VALIDATION_FAILED: The field 'Type' should have one of these values: [Task, Wait, Pass, Succeed, Fail, Choice, Parallel, Map] at /States/A/Type",
		`{"StartAt":"A","States":{"A":{"Type":"Parallel","Branches":[],"End":true}}}`:                                                                       "SCHEMA_VALIDATION_FAILED: Value cannot be empty at /States/A/Branches",
		`{"StartAt":"A","States":{"A":{"Type":"Wait","Timestamp":"2026-03-01 10:00","End":true}}}`:                                                          "SCHEMA_VALIDATION_FAILED: String does not match RFC3339 timestamp at /States/A/Timestamp",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Pass","Next":"A"},"C":{"Type":"Pass","Next":"A"}}}`:                           "MISSING_END_STATE: Workflow has no terminal state at null",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"}}}`:                                                                                         "MISSING_TRANSITION_TARGET: Missing 'Next' target: B at /States/A/Next, MISSING_END_STATE: Workflow has no terminal state at null",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B"},"B":{"Type":"Pass","Next":"A"},"C":{"Type":"Pass","End":true}}}`:                           "MISSING_TRANSITION_TARGET: State \"C\" is not reachable. at /States/C",
		`{"StartAt":"A","States":{"Pass One":{"Type":"Pass","Next":"Last"},"Last":{"Type":"Succeed"}}}`:                                                     "MISSING_TRANSITION_TARGET: Missing 'Next' target: A at /StartAt, MISSING_TRANSITION_TARGET: State \"Pass One\" is not reachable. at /States/Pass One",
		`{"StartAt":"A","States":{"A":{"Type":"Succeed"},"B":{"Type":"Pass","Next":"C"},"C":{"Type":"Pass","Next":"B"}}}`:                                   "MISSING_TRANSITION_TARGET: State \"B\" is not reachable. at /States/B",
		`{"StartAt":"A","States":{"A":{"Type":"Parallel","TimeoutSeconds":5,"Branches":[{"StartAt":"B","States":{"B":{"Type":"Fail"}}}],"End":true}}}`:      "SCHEMA_VALIDATION_FAILED: Field 'TimeoutSeconds' is not supported at /States/A",
		`{"StartAt":"A","States":{"A":{"Type":"Map","ItemProcessor":{"QueryLanguage":"JSONata","StartAt":"B","States":{"B":{"Type":"Fail"}}},"End":true}}}`: "SCHEMA_VALIDATION_FAILED: Field 'QueryLanguage' is not supported at /States/A/ItemProcessor",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Output":1,"End":true}}}`:                                                                              "SCHEMA_VALIDATION_FAILED: The QueryLanguage is set to 'JSONPath', but field 'Output' is only supported for the 'JSONata' QueryLanguage at /States/A",
		`{"StartAt":"A","QueryLanguage":"jsonpath","States":{"A":{"Type":"Succeed"}}}`:                                                                      "SCHEMA_VALIDATION_FAILED: Value should be one of the following: [JSONPath, JSONata] at /QueryLanguage",
		`{"StartAt":"A","States":{"A":{"Type":"Pass"}}}`:                                                                                                    "SCHEMA_VALIDATION_FAILED: This object should have only one of the following fields: [Next, End] at /States/A",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Next":"B","End":true},"B":{"Type":"Succeed"}}}`:                                                       "SCHEMA_VALIDATION_FAILED: There should only be one of the following fields: [Next, End] at /States/A",
		`{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1,"Timestamp":"2026-03-01T10:00:00Z","End":true}}}`:                                          "SCHEMA_VALIDATION_FAILED: There should only be one of the following fields: [SecondsPath, Seconds, TimestampPath, Timestamp] at /States/A",
		`{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":-1,"End":true}}}`:                                                                            "SCHEMA_VALIDATION_FAILED: Minimum value is 0 at /States/A/Seconds",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","OutputPath":"Test","End":true}}}`:                                                                     "SCHEMA_VALIDATION_FAILED: Value must be a valid JSONPath. at /States/A/OutputPath",
		`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"Variable":"Test","IsNull":true,"Next":"B"}]},"B":{"Type":"Fail"}}}`:                     "SCHEMA_VALIDATION_FAILED: Value is not a Reference Path: Reference path didn't start with '$' at /States/A/Choices[0]/Variable",
		`{"StartAt":"A","States":{"A":{"Type":"Choice","Choices":[{"IsNull":true,"Next":"B"}]},"B":{"Type":"Fail"}}}`:                                       "SCHEMA_VALIDATION_FAILED: The object must have only one of the following fields, [And, Or, Not, Variable, Condition] at /States/A/Choices[0]",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Assign":{"v.$":"Test"},"End":true}}}`:                                                                 "SCHEMA_VALIDATION_FAILED: The value for the field 'v.$' must be a valid JSONPath or a valid intrinsic function call at /States/A/Assign",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Assign":{"states":1},"End":true}}}`:                                                                   "RESERVED_VARIABLE_NAME: Cannot assign to reserved variable '$states'. at /States/A/Assign",
		`{"StartAt":"A","States":{"A":{"Type":"Pass","Assign":{"a-b":1},"End":true}}}`:                                                                      "INVALID_VARIABLE_NAME: Invalid variable name 'a-b': the variable name contains invalid characters. at /States/A/Assign",
		`{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"x","End":true}}}`:                                                                          "SCHEMA_VALIDATION_FAILED: Value is not a valid resource ARN at /States/A/Resource",
		`{"StartAt":"A","States":{"A":{"Type":"Parallel","Branches":[{"StartAt":"A","States":{"A":{"Type":"Fail"}}}],"End":true}}}`:                         "DUPLICATE_STATE_NAME: Duplicate State name: A at /States/A/Branches[0]/States/A",
	} {
		if _, err := asl.Parse([]byte(definition)); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", definition, err, want)
		}
	}
}

func TestFaultInJSON(t *testing.T) {
	const value = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
	for text, want := range map[string]string{
		`{"a":1}`: "", `"text"`: "",
		`not some json`: "Unrecognized token 'not': was expecting " + value,
		`{"a":tru}`:     "Unrecognized token 'tru': was expecting " + value,
		`{'a':1}`:       "Unexpected character (''' (code 39)): was expecting double-quote to start field name",
		`{"a":1,'b':2}`: "Unexpected character (''' (code 39)): was expecting double-quote to start field name",
		`[1,'b']`:       "Unexpected character (''' (code 39)): expected a valid value " + value,
	} {
		if got := asl.FaultInJSON(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{``, `{`, `[1,`, `"a`, `1 2`, "{\"a\":\x01}", `{"a"}`} {
		if asl.FaultInJSON(text) == "" {
			t.Errorf("%q has no fault", text)
		}
	}
}

func TestReferences(t *testing.T) {
	m, err := asl.Parse([]byte(`{"StartAt":"P","States":{
		"P":{"Type":"Pass","InputPath":"$in","Parameters":{"a.$":"$b","l":[{"c.$":"States.Format('{} {}', $d.x, States.MathAdd($e, 1))"}],"f":"$not"},"OutputPath":"$out","Next":"C"},
		"C":{"Type":"Choice","Choices":[{"And":[{"Variable":"$g","StringEqualsPath":"$h"},{"Not":{"Variable":"$i","IsNull":true}}],"Assign":{"z.$":"$j"},"Next":"M"}],"Default":"W"},
		"W":{"Type":"Wait","SecondsPath":"$k","Next":"F"},
		"F":{"Type":"Fail","ErrorPath":"$m","CausePath":"States.Format('{}', $n)"},
		"M":{"Type":"Map","ItemsPath":"$o","MaxConcurrencyPath":"$p","ItemSelector":{"i.$":"$q"},"ItemProcessor":{"StartAt":"I","States":{"I":{"Type":"Pass","Assign":{"r.$":"$s"},"End":true}}},"Next":"T"},
		"T":{"Type":"Task","Resource":"` + taskARN + `","TimeoutSecondsPath":"$t","HeartbeatSecondsPath":"$u","ResultSelector":{"v.$":"$v"},
			"Catch":[{"ErrorEquals":["States.ALL"],"Assign":{"w.$":"$w"},"Next":"None"}],"Next":"None"},
		"None":{"Type":"Pass","Assign":{"a":1},"End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(m.References())
	want := `{"C":["g","h","i","j"],"F":["m","n"],"I":["s"],"M":["o","p","q"],"P":["b","d","e","in","out"],"T":["t","u","v","w"],"W":["k"]}`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
