package pattern_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/pattern"
)

const flight = `{"id":"7","source":"acme.flights","detail-type":"Landed","resources":["arn:a","arn:b"],
 "":{"inside":"x"},"detail":{"late":true,"gate":null,"delay":12.50,"big":123456789012345,"ip":"10.1.2.3","six":"2001:DB8:0::1","carrier":"Delta","path":"s3://raw/2001/jan.csv","star":"a*b\\c",
 "tags":[],"empty":"","street":"STRASSE","way":"strasse","sigma":"σ","rocket":"🚀","legs":[{"from":"ATL","to":"DFW","n":[1,2]},{"from":"ORD","to":"LAX","n":[3]}],"crew":[[{"name":"x","rank":1}],[{"name":"y","rank":2}]]}}`

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
		"what follows the pattern is not read":  {`{"source":["acme.flights"]} {`, true},
		"a number beyond a float64's digits":    {`{"detail":{"delay":[12.5000000000000000001]}}`, false},
		"a number written as an exponent":       {`{"detail":{"delay":[125e-1]}}`, true},
		"upper case is two letters":             {`{"detail":{"street":[{"equals-ignore-case":"straße"}]}}`, true},
		"they are in upper case only":           {`{"detail":{"way":[{"equals-ignore-case":"straße"}]}}`, false},
		"the other sigma":                       {`{"detail":{"sigma":[{"equals-ignore-case":"ς"}]}}`, false},
		"half characters ignoring case":         {`{"detail":{"rocket":[{"equals-ignore-case":"🚀"}]}}`, false},
		"zeros in an address are decimal":       {`{"detail":{"ip":["010.001.2.3"]}}`, true},
		"an IPv4 address written as IPv6":       {`{"detail":{"ip":["::ffff:a01:203"]}}`, true},
		"an empty name in the pattern":          {`{"":{"source":["acme.flights"]}}`, true},
		"an empty name in the event":            {`{"inside":["x"]}`, false},
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
		"nothing":                    {``, "Filter is not an object"},
		"cut off":                    {`{"a":["b"]`, "Unexpected end-of-input"},
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
		"cidr of no address":         {`{"a":[{"cidr":"10.0.0.256/8"}]}`, "Invalid IP address: 10.0.0.256"},
		"numeric beyond a float64":   {`{"a":[{"numeric":["=",0.12345678901234567890]}]}`, "Cannot compare number : 0.12345678901234567890"},
		"anything-but no prefixes":   {`{"a":[{"anything-but":{"prefix":[]}}]}`, "either all values are number or string"},
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

// The place is how far AWS's reader is when it sees what is wrong: behind the quote
// of a string that it does not need, behind the beginning of a name's value.
func TestInvalidIsWordedAsAWSDoes(t *testing.T) {
	long := strings.Repeat("x", 600)
	for name, tc := range map[string]struct{ pattern, reason, place string }{
		"a string":               {`{"a": "b"}`, `"a" must be an object or an array`, `"{"a": "b"}"; line: 1, column: 8]`},
		"a number":               {`{"a": 12}`, `"a" must be an object or an array`, `"{"a": 12}"; line: 1, column: 9]`},
		"a name":                 {`{"a": [{"PREFIX": ["b"]}]}`, "Unrecognized match type PREFIX", `"{"a": [{"PREFIX": ["b"]}]}"; line: 1, column: 20]`},
		"a line":                 {"{\"a\":\n []}", "Empty arrays are not allowed", "\"{\"a\":\n []}\"; line: 2, column: 4]"},
		"columns are UTF-16":     {`{"🚀é": []}`, "Empty arrays are not allowed", `"{"🚀é": []}"; line: 1, column: 11]`},
		"a text that was read":   {`{"a": [{"wildcard": "**"}]}`, "Consecutive wildcard characters at pos 1", `"{"a": [{"wildcard": "**"}]}"; line: 1, column: 25]`},
		"a control character":    {"{\"a\": [\t{}]}", "Match expression name not found", "\"{\"a\": [\\u0009{}]}\"; line: 1, column: 11]"},
		"a long pattern":         {`{"a": [], "b": ["` + long + `"]}`, "Empty arrays are not allowed", `"{"a": [], "b": ["` + long[:483] + `"[truncated 120 chars]; line: 1, column: 9]`},
		"no JSON":                {`no`, "Unrecognized token 'no': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')", `"no"; line: 1, column: 3]`},
		"a value that is none":   {`{"a": +}`, "Unexpected character ('+' (code 43)): expected a valid value (JSON String, Number, Array, Object or token 'null', 'true' or 'false')", `"{"a": +}"; line: 1, column: 7]`},
		"another quote":          {`{'a': []}`, "Unexpected character (''' (code 39)): was expecting double-quote to start field name", `"{'a': []}"; line: 1, column: 2]`},
		"a bracket that is none": {`{"a": ["b"}`, `Unexpected close marker '}': expected ']' (for Array starting at [Source: (String)"{"a": ["b"}"; line: 1, column: 7])`, `"{"a": ["b"}"; line: 1, column: 11]`},
		"no comma":               {`{"a": ["b" "c"]}`, `Unexpected character ('"' (code 34)): was expecting comma to separate Array entries`, `"{"a": ["b" "c"]}"; line: 1, column: 12]`},
		"no colon":               {`{"a" ["b"]}`, "Unexpected character ('[' (code 91)): was expecting a colon to separate field name and value", `"{"a" ["b"]}"; line: 1, column: 6]`},
		"a zero too many":        {`{"a": [01]}`, "Invalid numeric value: Leading zeroes not allowed", `"{"a": [01]}"; line: 1, column: 9]`},
		"cut off":                {`{"a": ["b"]`, `Unexpected end-of-input: expected close marker for Object (start marker at [Source: (String)"{"a": ["b"]"; line: 1, column: 1])`, `"{"a": ["b"]"; line: 1, column: 12]`},
		"a string cut off":       {`{"a": ["b`, "Unexpected end-of-input: was expecting closing quote for a string value", `"{"a": ["b"; line: 1, column: 10]`},
		"a name cut off":         {`{"a`, "Unexpected end-of-input in field name", `"{"a"; line: 1, column: 4]`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := pattern.Compile(tc.pattern)
			if want := "Event pattern is not valid. Reason: " + tc.reason + "\n at [Source: (String)" + tc.place; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
	_, err := pattern.Compile(`{"a":[{"cidr":"10.0.0.0"}]}`)
	if err == nil || err.Error() != "Event pattern is not valid. Reason: Malformed CIDR, one '/' required" {
		t.Errorf("an address is told without a place: %v", err)
	}
	_, err = pattern.Compile(`{"a":[{"anything-but":[true]}]}`)
	if err == nil || strings.Count(err.Error(), `"; line: 1, column: 28]`) != 2 {
		t.Errorf("the place in a list is told twice: %v", err)
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
