package asl_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

// The members of an object keep the order of their text, the definition's
// included; what is added comes last, what is replaced keeps its place.
func TestOrderOfMembers(t *testing.T) {
	var many []string
	for i := range 40 {
		many = append(many, fmt.Sprintf(`"m%d":%d`, 40-i, i))
	}
	for name, tc := range map[string]struct{ definition, input, want string }{
		"input taken apart":      {pass(`"InputPath":"$.b",`), `{"a":1,"b":{"z":1, "y":2.0, "x":[{"d":1,"c":2}]}}`, `{"z":1,"y":2.0,"x":[{"d":1,"c":2}]}`},
		"many members":           {pass(`"InputPath":"$.b",`), `{"b":{` + strings.Join(many, ",") + `}}`, `{` + strings.Join(many, ",") + `}`},
		"many, one replaced":     {pass(`"Result":9,"ResultPath":"$.m40",`), `{` + strings.Join(many, ",") + `}`, `{` + strings.Replace(strings.Join(many, ","), `"m40":0`, `"m40":9`, 1) + `}`},
		"template":               {pass(`"Parameters":{"z":1,"b.$":"$.q","a":{"y.$":"$.p","x":null}},`), `{"p":1,"q":2}`, `{"z":1,"b":2,"a":{"y":1,"x":null}}`},
		"many in a template":     {pass(`"Parameters":{` + strings.Join(many, ",") + `,"a.$":"$"},`), `7`, `{` + strings.Join(many, ",") + `,"a":7}`},
		"result added":           {pass(`"Result":{"d":1,"c":2},"ResultPath":"$.b.r",`), `{"z":1,"b":{"y":2},"a":3}`, `{"z":1,"b":{"y":2,"r":{"d":1,"c":2}},"a":3}`},
		"result in place":        {pass(`"Result":0,"ResultPath":"$.z",`), `{"z":1,"a":3}`, `{"z":0,"a":3}`},
		"merged":                 {pass(`"Parameters":{"v.$":"States.JsonMerge($.p,$.q,false)"},"OutputPath":"$.v",`), `{"p":{"b":1,"a":2},"q":{"c":3,"b":4}}`, `{"b":4,"a":2,"c":3}`},
		"wildcard":               {pass(`"InputPath":"$.*",`), `{"z":1,"a":2}`, `[1,2]`},
		"given twice":            {pass(`"InputPath":"$",`), `{"z":1,"a":2,"z":3}`, `{"z":1,"a":2,"z":3}`},
		"given twice, and taken": {pass(`"InputPath":"$.o",`), `{"o":{"z":1,"a":2,"z":3}}`, `{"z":3,"a":2}`},
		"error":                  {task(`"Catch":[{"ErrorEquals":["States.ALL"],"Next":"Caught","ResultPath":"$.a"}],`), `{"z":1}`, `{"z":1,"a":{"Error":"Unexpected","Cause":"c"}}`},
		"context": {pass(`"Parameters":{"v.$":"$$"},"OutputPath":"$.v",`), `{}`, `{"Execution":{"Id":"arn:aws:states:us-east-1:000000000000:execution:m:e","Input":{},"Name":"e",` +
			`"RoleArn":"arn:aws:iam::000000000000:role/r","StartTime":"2026-03-01T10:00:00.000Z","RedriveCount":0},"StateMachine":{"Id":"arn:aws:states:us-east-1:000000000000:stateMachine:m","Name":"m"},` +
			`"State":{"EnteredTime":"2026-03-01T10:00:00.000Z","Name":"P"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			d := drive(t, tc.definition, tc.input, false, func(int, asl.Call) outcome {
				return outcome{fail: asl.Failure{Error: "Unexpected", Cause: "c"}}
			})
			if d.output != tc.want {
				t.Errorf("%s (%s %s)\nwant %s", d.output, d.err, d.cause, tc.want)
			}
		})
	}
}
