package asl

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxDefinition is the longest definition, in characters.
const MaxDefinition = 1 << 20

// Problem is one thing wrong with a definition.
type Problem struct {
	Code     string // as AWS's diagnostics: SCHEMA_VALIDATION_FAILED, ...
	Message  string
	Location string // /States/Name/Field; of what is no JSON line and column
}

func (p Problem) String() string {
	switch {
	case p.Code == MissingEnd:
		return p.Code + ": " + p.Message + " at null" // AWS's word for no place
	case p.Location == "", p.Code == InvalidJSON: // which has it in the message
		return p.Code + ": " + p.Message
	}
	return p.Code + ": " + p.Message + " at " + p.Location
}

// DefinitionError holds everything that is wrong with a definition.
type DefinitionError struct{ Problems []Problem }

func (e *DefinitionError) Error() string {
	parts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		parts[i] = p.String()
	}
	return strings.Join(parts, ", ")
}

// The codes of problems.
const (
	InvalidJSON       = "INVALID_JSON_DESCRIPTION"
	SchemaFailed      = "SCHEMA_VALIDATION_FAILED"
	MissingTransition = "MISSING_TRANSITION_TARGET"
	MissingEnd        = "MISSING_END_STATE"
	DuplicateState    = "DUPLICATE_STATE_NAME"
	InvalidState      = "INVALID_STATE_NAME"
	InvalidVariable   = "INVALID_VARIABLE_NAME"
	ReservedVariable  = "RESERVED_VARIABLE_NAME"
	Unsupported       = "UNSUPPORTED_BY_LOCAL_CLOUD"
)

// Parse reads a definition in the Amazon States Language (JSONPath). Its error
// is a *DefinitionError with every problem; what AWS knows and this
// interpreter does not is a problem too, never ignored.
func Parse(definition []byte) (*Machine, error) {
	fail := func(code, format string, args ...any) (*Machine, error) {
		return nil, &DefinitionError{[]Problem{{Code: code, Message: fmt.Sprintf(format, args...)}}}
	}
	if n := utf8.RuneCount(definition); n > MaxDefinition {
		return fail(SchemaFailed, "The definition has %d characters; the most is %d", n, MaxDefinition)
	}
	obj, problem := definitionIn(string(definition))
	if problem != nil {
		return nil, &DefinitionError{[]Problem{*problem}}
	}
	p := &parser{machine: &Machine{}, names: map[string]bool{}}
	r := p.reader("", obj)
	p.machine.Comment, _ = r.text("Comment")
	r.oneOf("Version", "1.0")
	p.jsonata = r.queryLanguage()
	if n, ok := r.whole("TimeoutSeconds", 0, maxSeconds); ok {
		p.machine.TimeoutSeconds = n
	}
	p.machine.top = p.program(r)
	r.rest()
	if len(p.problems) > 0 {
		return nil, p.problemsInOrder()
	}
	return p.machine, nil
}

// definitionIn reads the JSON object of a definition.
func definitionIn(text string) (*object, *Problem) {
	v, err := decode(text, true)
	obj, ok := v.(*object)
	switch {
	case strings.TrimSpace(text) == "", err == nil && !ok:
		return nil, &Problem{Code: SchemaFailed, Message: "Definition must be a valid JSON object"}
	case err != nil:
		fault, at := wordFault(text, err)
		line, column := strings.Count(text[:at], "\n")+1, at-strings.LastIndex(text[:at], "\n")
		source := fmt.Sprintf("[Source: (String)%q; line: %d, column: %d]", shortened(text), line, column)
		return nil, &Problem{Code: InvalidJSON, Message: fault + "\n at " + source, Location: source}
	}
	return obj, nil
}

// shortened is the beginning of a long text, and how much of it is left out.
func shortened(text string) string {
	const most = 500
	if len(text) <= most {
		return text
	}
	return fmt.Sprintf("%s[truncated %d chars]", text[:most], len(text)-most)
}

const maxSeconds = 99_999_999

type parser struct {
	machine  *Machine
	problems []Problem
	names    map[string]bool // state names are unique in a whole machine
	depth    int
	jsonata  bool // the machine's query language, which states inherit
}

// problemsInOrder is by place, and what has none last.
func (p *parser) problemsInOrder() *DefinitionError {
	sort.SliceStable(p.problems, func(i, j int) bool {
		a, b := p.problems[i].Location, p.problems[j].Location
		return a != "" && (b == "" || a < b)
	})
	return &DefinitionError{p.problems}
}

func (p *parser) problem(loc, code, format string, args ...any) {
	p.problems = append(p.problems, Problem{Code: code, Message: fmt.Sprintf(format, args...), Location: loc})
}

// reader takes the fields of one object, and knows which were never taken.
type reader struct {
	p    *parser
	loc  string
	obj  *object
	used map[string]bool
	// jsonata says that the fields are meant for that query language.
	jsonata bool
}

func (p *parser) reader(loc string, obj *object) *reader {
	return &reader{p: p, loc: loc, obj: obj, used: map[string]bool{}, jsonata: p.jsonata}
}

func (r *reader) bad(field, code, format string, args ...any) {
	r.p.problem(r.loc+"/"+field, code, format, args...)
}

func (r *reader) take(field string) (any, bool) {
	v, ok := r.obj.get(field)
	r.used[field] = true
	return v, ok
}

func (r *reader) has(field string) bool { return r.obj.has(field) }

// required tells whether all these fields are there.
func (r *reader) required(fields ...string) bool {
	var missing []string
	for _, f := range fields {
		if !r.has(f) {
			missing = append(missing, f)
		}
	}
	if len(missing) > 0 {
		r.p.problem(cmp.Or(r.loc, "/"), SchemaFailed, "These fields are required: [%s]", strings.Join(missing, ", "))
	}
	return len(missing) == 0
}

// filled tells whether a list or object that has n members has any.
func (r *reader) filled(field string, n int) bool {
	if n == 0 {
		r.bad(field, SchemaFailed, "Value cannot be empty")
	}
	return n > 0
}

func (r *reader) text(field string) (string, bool) {
	v, ok := r.take(field)
	if !ok {
		return "", false
	}
	s, ok := v.(string)
	if !ok {
		r.bad(field, SchemaFailed, "Expected value of type String")
	}
	return s, ok
}

func (r *reader) whole(field string, least, most int64) (int64, bool) {
	v, ok := r.take(field)
	if !ok {
		return 0, false
	}
	n, ok := integer(v)
	if !ok {
		r.bad(field, SchemaFailed, "Expected value of type Integer")
		return 0, false
	}
	switch {
	case n < least:
		r.bad(field, SchemaFailed, "Minimum value is %d", least)
		return 0, false
	case n > most:
		r.bad(field, SchemaFailed, "Maximum value is %d", most)
		return 0, false
	}
	return n, true
}

func (r *reader) object(field string) (*object, bool) {
	v, ok := r.take(field)
	if !ok {
		return nil, false
	}
	o, ok := v.(*object)
	if !ok {
		r.bad(field, SchemaFailed, "Expected value of type Object")
	}
	return o, ok
}

func (r *reader) list(field string) ([]any, bool) {
	v, ok := r.take(field)
	if !ok {
		return nil, false
	}
	l, ok := v.([]any)
	if !ok {
		r.bad(field, SchemaFailed, "Expected value of type Array")
	}
	return l, ok
}

// oneOf reads a text that is one of the values.
func (r *reader) oneOf(field string, values ...string) string {
	text, ok := r.text(field)
	if ok && !slices.Contains(values, text) {
		r.bad(field, SchemaFailed, "Value should be one of the following: [%s]", strings.Join(values, ", "))
		return ""
	}
	return text
}

func (r *reader) path(field string) *Path {
	src, ok := r.text(field)
	if !ok {
		return nil
	}
	path, err := ParsePath(src)
	if err != nil {
		r.bad(field, SchemaFailed, "Value must be a valid JSONPath.")
		return nil
	}
	return path
}

// reference reads a path to one value, of the input, the context object or a variable.
func (r *reader) reference(field string) *Path {
	path := r.path(field)
	if path != nil && !path.definite {
		r.bad(field, SchemaFailed, "Value is not a Reference Path: %s may select several values", path)
		return nil
	}
	return path
}

// numberPath reads a path to one value of the input or of a variable, such as
// TimeoutSecondsPath; unlike others it does not reach the context object.
func (r *reader) numberPath(field string) *Path {
	path := r.reference(field)
	if path != nil && path.root == rootContext {
		r.bad(field, SchemaFailed, "Value is not a Reference Path: %s is in the context object", path)
		return nil
	}
	return path
}

func (r *reader) ioPath(field string) ioPath {
	if v, ok := r.obj.get(field); ok && v == nil {
		r.used[field] = true
		return ioPath{none: true}
	}
	return ioPath{path: r.path(field)}
}

// resultPath reads ResultPath: nil, false is $; nil, true is null.
func (r *reader) resultPath() (*Path, bool) {
	v, ok := r.obj.get("ResultPath")
	if !ok {
		return nil, false
	}
	if v == nil {
		r.used["ResultPath"] = true
		return nil, true
	}
	src, ok := r.text("ResultPath")
	if !ok {
		return nil, false
	}
	path, err := ParseReferencePath(src)
	switch {
	case !strings.HasPrefix(src, "$"):
		r.bad("ResultPath", SchemaFailed, "Value must be a valid JSONPath.")
	case err != nil:
		r.bad("ResultPath", SchemaFailed, "Value is not a Reference Path: %v", err)
	}
	return path, false
}

func (r *reader) template(field string) *template {
	v, ok := r.take(field)
	if !ok {
		return nil
	}
	return compileTemplate(v, r.loc+"/"+field, func(loc, format string, args ...any) {
		r.p.problem(loc, SchemaFailed, format, args...)
	})
}

func (r *reader) assign() *template {
	o, ok := r.object("Assign")
	if !ok {
		return nil
	}
	for _, k := range o.sorted() {
		switch name := strings.TrimSuffix(k, ".$"); {
		case name == "states":
			r.bad("Assign", ReservedVariable, "Cannot assign to reserved variable '$states'.")
		case utf8.RuneCountInString(name) > 80:
			r.bad("Assign", InvalidVariable, "Invalid variable name '%s': the variable name has more than 80 characters.", name)
		case !variableName(name):
			r.bad("Assign", InvalidVariable, "Invalid variable name '%s': the variable name contains invalid characters.", name)
		}
	}
	return r.template("Assign")
}

// variableName tells whether a name is an identifier by Unicode's rules.
func variableName(name string) bool {
	for i, c := range name {
		first := unicode.IsLetter(c) || unicode.Is(unicode.Nl, c)
		if !first && (i == 0 || !unicode.In(c, unicode.Nd, unicode.Mn, unicode.Mc, unicode.Pc)) {
			return false
		}
	}
	return name != ""
}

// queryLanguage tells whether the language is JSONata, which is a problem.
func (r *reader) queryLanguage() bool {
	if !r.has("QueryLanguage") {
		return r.jsonata
	}
	q := r.oneOf("QueryLanguage", "JSONPath", "JSONata")
	if q == "JSONata" {
		r.bad("QueryLanguage", Unsupported, "The query language %s is not supported; only JSONPath is", q)
	}
	return q == "JSONata"
}

// unsupported fields are known to AWS; the message says so, field by field.
var unsupported = map[string]string{
	"Credentials": "calling with another role is not supported",
	"ItemReader":  "distributed Map is not supported", "ItemBatcher": "distributed Map is not supported",
	"ResultWriter": "distributed Map is not supported", "Label": "distributed Map is not supported",
	"ToleratedFailureCount": "distributed Map is not supported", "ToleratedFailureCountPath": "distributed Map is not supported",
	"ToleratedFailurePercentage": "distributed Map is not supported", "ToleratedFailurePercentagePath": "distributed Map is not supported",
}

// ofJSONata are the fields that only that query language has.
var ofJSONata = []string{"Arguments", "Output", "Items", "Condition"}

// rest reports the fields that nothing took. known are those that AWS has in
// that place and the interpreter has not.
func (r *reader) rest(known ...string) {
	for _, k := range r.obj.sorted() {
		switch {
		case r.used[k]:
		case !slices.Contains(known, k):
			r.p.problem(cmp.Or(r.loc, "/"), SchemaFailed, "Field '%s' is not supported", k)
		case !slices.Contains(ofJSONata, k):
			r.bad(k, Unsupported, "The field %q: %s", k, unsupported[k])
		case r.jsonata:
			r.bad(k, Unsupported, "The field %q: JSONata is not supported", k)
		default:
			r.p.problem(r.loc, SchemaFailed, "The QueryLanguage is set to 'JSONPath', but field '%s' is only supported for the 'JSONata' QueryLanguage", k)
		}
	}
}

// program reads StartAt and States.
func (p *parser) program(r *reader) *program {
	pr := &program{states: map[string]*state{}}
	start, hasStart := r.text("StartAt")
	pr.start = start
	states, ok := r.object("States")
	if r.required("States", "StartAt"); !ok || !r.filled("States", len(states.names)) {
		return pr
	}
	if p.depth++; p.depth > 50 {
		r.bad("States", Unsupported, "States are nested deeper than 50")
		return pr
	}
	defer func() { p.depth-- }()
	for _, name := range states.sorted() {
		loc := r.loc + "/States/" + name
		switch {
		case name == "":
			p.problem(loc, InvalidState, "The state name is empty")
		case utf8.RuneCountInString(name) > 80:
			p.problem(loc, InvalidState, "The state name '%s' exceeds the 80-character limit allowed by the service", name)
		case p.names[name]:
			p.problem(loc, DuplicateState, "Duplicate State name: %s", name)
		}
		p.names[name] = true
		def, _ := states.get(name)
		obj, ok := def.(*object)
		if !ok {
			p.problem(loc, SchemaFailed, "Expected value of type Object")
			continue
		}
		pr.states[name] = p.state(name, p.reader(loc, obj))
	}
	if !hasStart {
		return pr
	}
	if pr.states[start] == nil {
		r.bad("StartAt", MissingTransition, "Missing 'Next' target: %s", start)
	}
	p.transitions(r.loc, pr)
	return pr
}

// transitions checks that every target exists and every state has a way in. Only
// the machine itself, no branch, must have a state that ends it; when it has none
// AWS says nothing of ways in.
func (p *parser) transitions(loc string, pr *program) {
	aimed := map[string]bool{}
	ends := false
	for name, st := range pr.states {
		ends = ends || st.end || st.kind == Succeed || st.kind == Fail
		for _, t := range st.targets() {
			if t.state != "" && pr.states[t.state] == nil {
				p.problem(loc+"/States/"+name+"/"+t.field, MissingTransition, "Missing 'Next' target: %s", t.state)
			}
			aimed[t.state] = aimed[t.state] || t.state != name
		}
	}
	if loc == "" && !ends {
		wrong := func(o Problem) bool { return o.Code != MissingTransition }
		if !slices.ContainsFunc(p.problems, wrong) { // else it may be that state's fault
			p.problems = append(p.problems, Problem{Code: MissingEnd, Message: "Workflow has no terminal state"})
		}
		return
	}
	seen := map[string]bool{}
	pr.walk(pr.start, seen)
	// As AWS, name only the first of a way that nothing leads to; of a circle the first by name.
	for _, circles := range []bool{false, true} {
		for _, name := range sortedKeys(pr.states) {
			if !seen[name] && (circles || !aimed[name]) {
				p.problem(loc+"/States/"+name, MissingTransition, "State \"%s\" is not reachable.", name)
				pr.walk(name, seen)
			}
		}
	}
}

// walk marks a state and all that follow.
func (pr *program) walk(name string, seen map[string]bool) {
	for todo := []string{name}; len(todo) > 0; todo = todo[1:] {
		st := pr.states[todo[0]]
		if st == nil || seen[todo[0]] {
			continue
		}
		seen[todo[0]] = true
		for _, t := range st.targets() {
			todo = append(todo, t.state)
		}
	}
}

type target struct{ field, state string }

func (st *state) targets() []target {
	var out []target
	if st.next != "" {
		out = append(out, target{"Next", st.next})
	}
	if st.otherwise != "" {
		out = append(out, target{"Default", st.otherwise})
	}
	for i, r := range st.rules {
		out = append(out, target{fmt.Sprintf("Choices[%d]/Next", i), r.next})
	}
	for i, c := range st.catch {
		out = append(out, target{fmt.Sprintf("Catch[%d]/Next", i), c.next})
	}
	return out
}

func floatOf(v any) (float64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}
