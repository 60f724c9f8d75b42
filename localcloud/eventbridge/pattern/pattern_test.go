package pattern_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/eventbridge/pattern"
)

const flight = `{"id":"7","source":"acme.flights","detail-type":"Landed","resources":["arn:a","arn:b"],
 "detail":{"late":true,"gate":null,"delay":12.50,"big":123456789012345,"ip":"10.1.2.3","six":"2001:DB8:0::1","carrier":"Delta","path":"s3://raw/2001/jan.csv","star":"a*b\\c",
 "tags":[],"empty":"","legs":[{"from":"ATL","to":"DFW","n":[1,2]},{"from":"ORD","to":"LAX","n":[3]}],"crew":[[{"name":"x","rank":1}],[{"name":"y","rank":2}]]}}`

func TestMatch(t *testing.T) {
	tests := map[string]struct {
		pattern string
		want    bool
	}{
		"fields are ANDed":                      {`{"source":["acme.flights"],"detail":{"late":[true]}}`, true},
		"one field wrong":                       {`{"source":["acme.flights"],"detail":{"late":[false]}}`, false},
		"values are ORed":                       {`{"detail-type":["Left","Landed"]}`, true},
		"case counts":                           {`{"detail-type":["landed"]}`, false},
		"null matches null":                     {`{"detail":{"gate":[null]}}`, true},
		"the text null does not":                {`{"detail":{"gate":["null"]}}`, false},
		"an empty string":                       {`{"detail":{"empty":[""]}}`, true},
		"a number by value":                     {`{"detail":{"delay":[12.5]}}`, true},
		"a number is no string":                 {`{"detail":{"delay":["12.50"]}}`, false},
		"a number that is long":                 {`{"detail":{"big":[123456789012345]}}`, true},
		"any element of an array":               {`{"resources":["arn:b"]}`, true},
		"no element":                            {`{"resources":["arn:c"]}`, false},
		"dots join names":                       {`{"detail.carrier":["Delta"]}`, true},
		"prefix":                                {`{"detail":{"path":[{"prefix":"s3://raw/"}]}}`, true},
		"prefix, another case":                  {`{"detail":{"path":[{"prefix":"S3://"}]}}`, false},
		"prefix ignoring case":                  {`{"detail":{"path":[{"prefix":{"equals-ignore-case":"S3://RAW"}}]}}`, true},
		"prefix of a number":                    {`{"detail":{"delay":[{"prefix":"12"}]}}`, false},
		"suffix":                                {`{"detail":{"path":[{"suffix":".csv"}]}}`, true},
		"suffix ignoring case":                  {`{"detail":{"path":[{"suffix":{"equals-ignore-case":".CSV"}}]}}`, true},
		"suffix longer than the value":          {`{"detail":{"carrier":[{"suffix":{"equals-ignore-case":"a long delta"}}]}}`, false},
		"equals ignoring case":                  {`{"detail":{"carrier":[{"equals-ignore-case":"dELTA"}]}}`, true},
		"exists":                                {`{"detail":{"carrier":[{"exists":true}]}}`, true},
		"exists with null":                      {`{"detail":{"gate":[{"exists":true}]}}`, true},
		"exists only for leaves":                {`{"detail":{"legs":[{"exists":true}]}}`, false},
		"an empty array is absent":              {`{"detail":{"tags":[{"exists":true}]}}`, false},
		"not exists":                            {`{"detail":{"pilot":[{"exists":false}]}}`, true},
		"not exists, but it does":               {`{"detail":{"carrier":[{"exists":false}]}}`, false},
		"absent or a value":                     {`{"detail":{"carrier":[{"exists":false},"Delta"]}}`, true},
		"anything but":                          {`{"detail":{"carrier":[{"anything-but":"United"}]}}`, true},
		"anything but that":                     {`{"detail":{"carrier":[{"anything-but":["United","Delta"]}]}}`, false},
		"anything but, with nothing there":      {`{"detail":{"pilot":[{"anything-but":"x"}]}}`, false},
		"anything but, in an array":             {`{"resources":[{"anything-but":"arn:a"}]}`, true},
		"anything but a number":                 {`{"detail":{"delay":[{"anything-but":[12.5,7]}]}}`, false},
		"anything but a number, on a string":    {`{"detail":{"carrier":[{"anything-but":7}]}}`, true},
		"anything but prefixes":                 {`{"detail":{"path":[{"anything-but":{"prefix":["s3:","gs:"]}}]}}`, false},
		"anything but a suffix":                 {`{"detail":{"path":[{"anything-but":{"suffix":".gz"}}]}}`, true},
		"anything but ignoring case":            {`{"detail":{"carrier":[{"anything-but":{"equals-ignore-case":"DELTA"}}]}}`, false},
		"anything but a wildcard":               {`{"detail":{"path":[{"anything-but":{"wildcard":"*/2001/*"}}]}}`, false},
		"numeric between":                       {`{"detail":{"delay":[{"numeric":[">=",12.5,"<",13]}]}}`, true},
		"numeric at an open bound":              {`{"detail":{"delay":[{"numeric":[">",12.5]}]}}`, false},
		"numeric equal":                         {`{"detail":{"delay":[{"numeric":["=",1.25e1]}]}}`, true},
		"numeric below":                         {`{"detail":{"delay":[{"numeric":["<=",12.4]}]}}`, false},
		"numeric on a word":                     {`{"detail":{"late":[{"numeric":["<",5]}]}}`, false},
		"cidr":                                  {`{"detail":{"ip":[{"cidr":"10.0.0.0/8"}]}}`, true},
		"cidr elsewhere":                        {`{"detail":{"ip":[{"cidr":"10.2.0.0/16"}]}}`, false},
		"cidr of the other family":              {`{"detail":{"ip":[{"cidr":"::/0"}]}}`, false},
		"cidr on no address":                    {`{"detail":{"carrier":[{"cidr":"0.0.0.0/0"}]}}`, false},
		"an address in another spelling":        {`{"detail":{"six":["2001:db8::1"]}}`, true},
		"wildcard":                              {`{"detail":{"path":[{"wildcard":"s3://*/2001/*.csv"}]}}`, true},
		"wildcard matching nothing":             {`{"detail":{"carrier":[{"wildcard":"De*lta"}]}}`, true},
		"wildcard pieces may not overlap":       {`{"detail":{"carrier":[{"wildcard":"Delt*lta"}]}}`, false},
		"wildcard without a star":               {`{"detail":{"carrier":[{"wildcard":"Delta"}]}}`, true},
		"escaped star and backslash":            {`{"detail":{"star":[{"wildcard":"a\\*b\\\\*"}]}}`, true},
		"or":                                    {`{"$or":[{"source":["x"]},{"detail":{"late":[true]}}]}`, true},
		"or, neither":                           {`{"$or":[{"source":["x"]},{"detail":{"late":[false]}}]}`, false},
		"or inside an object":                   {`{"detail":{"late":[true],"$or":[{"carrier":["x"]},{"delay":[{"numeric":[">",10]}]}]}}`, true},
		"or and or":                             {`{"$or":[{"source":["x"]},{"id":["7"]}],"detail":{"$or":[{"late":[false]},{"gate":[null]}]}}`, true},
		"or nested":                             {`{"$or":[{"$or":[{"id":["1"]},{"id":["7"]}]},{"id":["2"]}]}`, true},
		"both fields in one element":            {`{"detail":{"legs":{"from":["ATL"],"to":["DFW"]}}}`, true},
		"fields of two elements":                {`{"detail":{"legs":{"from":["ATL"],"to":["LAX"]}}}`, false},
		"an array within an element":            {`{"detail":{"legs":{"from":["ORD"],"n":[3]}}}`, true},
		"an array within the other element":     {`{"detail":{"legs":{"from":["ORD"],"n":[2]}}}`, false},
		"arrays of arrays":                      {`{"detail":{"crew":{"name":["y"],"rank":[2]}}}`, true},
		"arrays of arrays, mixed":               {`{"detail":{"crew":{"name":["x"],"rank":[2]}}}`, false},
		"two arrays do not bind each other":     {`{"detail":{"legs":{"from":["ATL"]},"crew":{"rank":[2]}}}`, true},
		"a pattern deeper than the event":       {`{"detail":{"carrier":{"name":["Delta"]}}}`, false},
		"a path given twice: the last one":      {`{"source":["x"],"source":["acme.flights"]}`, true},
		"a name with a slash and an emoji, too": {`{"detail":{"a/b🚀":[{"exists":false}]}}`, true},
	}
	event, err := pattern.ParseEvent([]byte(flight))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := pattern.Compile(tc.pattern)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Match(event); got != tc.want {
				t.Errorf("match %s: got %v, want %v", tc.pattern, got, tc.want)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := map[string]struct{ pattern, reason string }{
		"no object":                  {`["a"]`, "Filter is not an object"},
		"nothing":                    {``, "Unexpected end-of-input"},
		"cut off":                    {`{"a":["b"]`, "Unexpected end-of-input"},
		"two values":                 {`{"a":["b"]} {}`, "Unexpected data after"},
		"an empty object":            {`{}`, "Empty objects are not allowed"},
		"an empty object inside":     {`{"a":{}}`, "Empty objects are not allowed"},
		"an empty array":             {`{"a":[]}`, "Empty arrays are not allowed"},
		"an array in an array":       {`{"a":[["b"]]}`, "Match value must be String, number, true, false, or null"},
		"a bare value":               {`{"a":"b"}`, `"a" must be an object or an array`},
		"an unknown operator":        {`{"a":[{"contains":"b"}]}`, "Unrecognized match type contains"},
		"an operator's case":         {`{"a":[{"Prefix":"b"}]}`, "Unrecognized match type Prefix"},
		"a reserved word":            {`{"a":[{"regex":"b"}]}`, "Unrecognized match type regex"},
		"an empty expression":        {`{"a":[{}]}`, "Match expression name not found"},
		"two operators":              {`{"a":[{"prefix":"b","suffix":"c"}]}`, "Only one key allowed"},
		"prefix of a number":         {`{"a":[{"prefix":1}]}`, "prefix match pattern must be a string"},
		"prefix of a list":           {`{"a":[{"prefix":["b"]}]}`, "prefix match pattern must be a string"},
		"prefix with a wildcard":     {`{"a":[{"prefix":{"wildcard":"b"}}]}`, "Unsupported prefix pattern: wildcard"},
		"suffix of null":             {`{"a":[{"suffix":null}]}`, "suffix match pattern must be a string"},
		"ignore-case of a list":      {`{"a":[{"equals-ignore-case":["b"]}]}`, "equals-ignore-case match pattern must be a string"},
		"exists of a string":         {`{"a":[{"exists":"true"}]}`, "exists match pattern must be either true or false."},
		"cidr without a mask":        {`{"a":[{"cidr":"10.0.0.0"}]}`, "one '/' required"},
		"cidr of one host":           {`{"a":[{"cidr":"10.0.0.0/32"}]}`, "IPv4 mask bits must be < 32"},
		"cidr of a name":             {`{"a":[{"cidr":"host/8"}]}`, "Nonstandard IP address: host"},
		"cidr of a number":           {`{"a":[{"cidr":10}]}`, "must be a string"},
		"wildcard twice":             {`{"a":[{"wildcard":"x**"}]}`, "Consecutive wildcard characters"},
		"wildcard escape":            {`{"a":[{"wildcard":"x\\y"}]}`, "Invalid escape character"},
		"wildcard of a list":         {`{"a":[{"wildcard":["x"]}]}`, "wildcard match pattern must be a string"},
		"too complex":                {`{"a":[{"wildcard":"*:*:*:*:*:*:event-bus/*"}]}`, "Rule is too complex"},
		"too complex by repetition":  {`{"a":[{"wildcard":"*aaaaaaaaaaaaaaaaaaaa"}]}`, "Rule is too complex"},
		"numeric without a list":     {`{"a":[{"numeric":"> 5"}]}`, "Value of numeric must be an array."},
		"numeric operator":           {`{"a":[{"numeric":["!=",5]}]}`, "Unrecognized numeric range operator: !="},
		"numeric of a string":        {`{"a":[{"numeric":[">","5"]}]}`, "Value of > must be numeric"},
		"numeric half a range":       {`{"a":[{"numeric":[">",5,"<"]}]}`, "Value of < must be numeric"},
		"numeric backwards":          {`{"a":[{"numeric":["<",5,">",1]}]}`, "Too many elements"},
		"numeric empty range":        {`{"a":[{"numeric":[">",5,"<",5]}]}`, "Bottom must be less than top"},
		"numeric beyond the limit":   {`{"a":[{"numeric":[">",5000000001]}]}`, "between -5.0E9 and 5.0E9"},
		"numeric three bounds":       {`{"a":[{"numeric":[">",1,"<",5,"<",6]}]}`, "Too many terms"},
		"anything-but null":          {`{"a":[{"anything-but":null}]}`, "must be an array or single string/number value"},
		"anything-but nothing":       {`{"a":[{"anything-but":[]}]}`, "either all values are number or string"},
		"anything-but a mix":         {`{"a":[{"anything-but":["b",1]}]}`, "mixed type is not supported"},
		"anything-but a word":        {`{"a":[{"anything-but":[true]}]}`, "start|null|boolean is not supported"},
		"anything-but numeric":       {`{"a":[{"anything-but":{"numeric":[">",1]}}]}`, "Unsupported anything-but pattern: numeric"},
		"anything-but empty prefix":  {`{"a":[{"anything-but":{"prefix":""}}]}`, "Null prefix/suffix not allowed"},
		"anything-but number prefix": {`{"a":[{"anything-but":{"prefix":1}}]}`, "prefix/suffix match pattern must be a string"},
		"or of one":                  {`{"$or":[{"a":["b"]}]}`, "at least 2 Objects"},
		"or of an object":            {`{"$or":{"a":["b"]}}`, "It must be an Array"},
		"or of strings":              {`{"$or":["a","b"]}`, "Only JSON object is allowed"},
		"or over an operator":        {`{"a":{"$or":[{"prefix":["b"]},{"c":["d"]}]}}`, "reserved fieldName"},
		"or without end":             {orBomb(), "Too many $or combinations"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := pattern.Compile(tc.pattern)
			var invalid *pattern.Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("compile %s: got %v, want an *Invalid", tc.pattern, err)
			}
			if !strings.Contains(invalid.Reason, tc.reason) {
				t.Errorf("reason %q, want %q", invalid.Reason, tc.reason)
			}
			if !strings.HasPrefix(err.Error(), "Event pattern is not valid. Reason: ") {
				t.Errorf("worded %q", err)
			}
		})
	}
}

func orBomb() string {
	var b strings.Builder
	b.WriteString(`{"x":["y"]`)
	for i := range 12 {
		fmt.Fprintf(&b, `,"n%d":{"$or":[{"a":["1"]},{"b":["2"]}]}`, i)
	}
	b.WriteString("}")
	return b.String()
}

// A pattern that can only fail must not try every combination of the elements of arrays.
func TestMatchManyArrays(t *testing.T) {
	var event, source strings.Builder
	event.WriteString(`{"z":"no"`)
	source.WriteString(`{"z":["yes"]`)
	for i := range 8 {
		fmt.Fprintf(&event, `,"a%d":[`, i)
		for j := range 50 {
			fmt.Fprintf(&event, `%s{"k":%d,"v":%d}`, map[bool]string{true: ","}[j > 0], j, j)
		}
		event.WriteString("]")
		fmt.Fprintf(&source, `,"a%d":{"k":[{"exists":true}],"v":[{"exists":true}]}`, i)
	}
	p, err := pattern.Compile(source.String() + "}")
	if err != nil {
		t.Fatal(err)
	}
	e, err := pattern.ParseEvent([]byte(event.String() + "}"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Match(e) {
		t.Error("matched an event whose z is another")
	}
}

func TestParseEventRefuses(t *testing.T) {
	for name, raw := range map[string]string{"empty": "", "array": "[]", "cut off": `{"a":`, "two values": `{} {}`, "text": `"a"`} {
		t.Run(name, func(t *testing.T) {
			if _, err := pattern.ParseEvent([]byte(raw)); err == nil {
				t.Errorf("accepted %q", raw)
			}
		})
	}
}

func FuzzCompileAndMatch(f *testing.F) {
	f.Add(`{"a":[{"anything-but":{"wildcard":["*x*","y"]}}],"$or":[{"b":[1]},{"c":{"d":[null]}}]}`, flight)
	f.Add(`{"detail":{"legs":{"from":[{"prefix":{"equals-ignore-case":"a"}}],"n":[{"numeric":[">",0,"<=",3]}]}}}`, flight)
	f.Add(`{"detail":{"ip":[{"cidr":"10.0.0.0/8"}],"x":[{"exists":false}]}}`, flight)
	f.Fuzz(func(t *testing.T, source, event string) {
		p, err := pattern.Compile(source)
		if err != nil {
			var invalid *pattern.Invalid
			if !errors.As(err, &invalid) {
				t.Fatalf("compile %q: %v is no *Invalid", source, err)
			}
			return
		}
		e, err := pattern.ParseEvent([]byte(event))
		if err != nil {
			return
		}
		first, again := p.Match(e), p.Match(e)
		if first != again {
			t.Fatal("matching is not deterministic")
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	p, err := pattern.Compile(`{"source":["acme.flights"],"detail":{"path":[{"prefix":"s3://"}],"legs":{"from":["ORD"],"to":["LAX"]}}}`)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		e, err := pattern.ParseEvent([]byte(flight))
		if err != nil || !p.Match(e) {
			b.Fatal("no match", err)
		}
	}
}
