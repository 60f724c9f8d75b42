package asl

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// rule is one Choice rule: a comparison, or And, Or, Not over rules.
type rule struct {
	next   string
	assign *template

	and, or  []rule
	not      *rule
	variable *Path
	op       operator
	value    any
	valueAt  *Path
}

// operator compares; kind is what both sides must be.
type operator struct {
	kind  string // String, Numeric, Boolean, Timestamp, Matches, Is...
	holds func(order int) bool
}

var comparisons = map[string]func(int) bool{
	"Equals":            func(c int) bool { return c == 0 },
	"LessThan":          func(c int) bool { return c < 0 },
	"LessThanEquals":    func(c int) bool { return c <= 0 },
	"GreaterThan":       func(c int) bool { return c > 0 },
	"GreaterThanEquals": func(c int) bool { return c >= 0 },
}

var typeTests = map[string]func(v any) bool{
	"IsNull":    func(v any) bool { return v == nil },
	"IsString":  func(v any) bool { _, ok := v.(string); return ok },
	"IsNumeric": func(v any) bool { _, ok := v.(json.Number); return ok },
	"IsBoolean": func(v any) bool { _, ok := v.(bool); return ok },
	"IsTimestamp": func(v any) bool {
		s, ok := v.(string)
		if !ok {
			return false
		}
		_, err := parseTimestamp(s)
		return err == nil
	},
	"IsPresent": func(any) bool { return true },
}

// findOperator splits "NumericLessThanPath" into its operator and whether it ends in Path.
func findOperator(field string) (op operator, path, ok bool) {
	if _, is := typeTests[field]; is {
		return operator{kind: field}, false, true
	}
	if field == "StringMatches" {
		return operator{kind: "Matches"}, false, true
	}
	name, path := strings.CutSuffix(field, "Path")
	for _, kind := range []string{"String", "Numeric", "Boolean", "Timestamp"} {
		comparison, is := strings.CutPrefix(name, kind)
		holds, known := comparisons[comparison]
		if is && known && (kind != "Boolean" || comparison == "Equals") {
			return operator{kind: kind, holds: holds}, path, true
		}
	}
	return operator{}, false, false
}

func (p *parser) choice(st *state, r *reader) {
	list, ok := r.list("Choices")
	if r.required("Choices") && ok {
		r.filled("Choices", len(list))
	}
	for i, v := range list {
		loc := fmt.Sprintf("%s/Choices[%d]", r.loc, i)
		st.rules = append(st.rules, p.rule(r, loc, v, 0))
	}
	st.otherwise, _ = r.text("Default")
}

func (p *parser) rule(outer *reader, loc string, v any, depth int) rule {
	obj, ok := v.(*object)
	if !ok || depth > 50 {
		p.problem(loc, SchemaFailed, "Expected value of type Object, nested at most 50 deep")
		return rule{}
	}
	r := p.reader(loc, obj)
	r.jsonata = outer.jsonata
	ru := rule{}
	_, _ = r.text("Comment")
	if depth == 0 {
		ru.next, _ = r.text("Next")
		r.required("Next")
		ru.assign = r.assign()
	}
	switch name := r.operator(); name {
	case "":
	case "And", "Or":
		list, ok := r.list(name)
		if ok {
			r.filled(name, len(list))
		}
		var rules []rule
		for i, v := range list {
			rules = append(rules, p.rule(r, fmt.Sprintf("%s/%s[%d]", loc, name, i), v, depth+1))
		}
		if name == "And" {
			ru.and = rules
		} else {
			ru.or = rules
		}
	case "Not":
		v, _ := r.take("Not")
		not := p.rule(r, loc+"/Not", v, depth+1)
		ru.not = &not
	default:
		p.comparison(&ru, r, name)
	}
	r.rest("Condition", "Output")
	return ru
}

// operator finds the field that says what a rule compares; "" when there is not
// just one, which is a problem.
func (r *reader) operator() string {
	kinds := []string{"And", "Or", "Not", "Variable", "Condition"}
	var given, comparisons []string
	for _, k := range r.obj.sorted() {
		if _, _, ok := findOperator(k); ok {
			comparisons = append(comparisons, k)
		}
		if slices.Contains(kinds, k) {
			given = append(given, k)
		}
	}
	switch {
	case len(given) != 1:
		r.p.problem(r.loc, SchemaFailed, "The object must have only one of the following fields, [%s]", strings.Join(kinds, ", "))
	case given[0] == "Condition":
		return ""
	case given[0] != "Variable":
		return given[0]
	case len(comparisons) == 1:
		return comparisons[0]
	case len(comparisons) == 0:
		r.p.problem(r.loc, SchemaFailed, "A rule with a Variable has one comparison")
	default:
		r.p.problem(r.loc, SchemaFailed, onlyOne, "["+strings.Join(comparisons, ", ")+"]")
	}
	for _, k := range append(given, comparisons...) {
		r.used[k] = true
	}
	return ""
}

func (p *parser) comparison(ru *rule, r *reader, field string) {
	op, isPath, _ := findOperator(field)
	ru.op = op
	ru.variable = r.variable("Variable")
	if isPath {
		ru.valueAt = r.variable(field)
		return
	}
	ru.value, _ = r.take(field)
	want := ""
	switch op.kind {
	case "String", "Matches":
		if _, ok := ru.value.(string); !ok {
			want = "String"
		}
	case "Numeric":
		if _, ok := ru.value.(json.Number); !ok {
			want = "Number"
		}
	case "Timestamp":
		if s, ok := ru.value.(string); !ok {
			want = "Timestamp"
		} else if _, err := parseTimestamp(s); err != nil {
			want = "Timestamp"
		}
	default:
		if _, ok := ru.value.(bool); !ok {
			want = "Boolean"
		}
	}
	if want != "" {
		r.bad(field, SchemaFailed, "Expected value of type %s", want)
	}
}

// variable reads a path of a comparison.
func (r *reader) variable(field string) *Path {
	if src, _ := r.obj.get(field); src != nil {
		if text, ok := src.(string); ok && !strings.HasPrefix(text, "$") {
			r.used[field] = true
			r.bad(field, SchemaFailed, "Value is not a Reference Path: Reference path didn't start with '$'")
			return nil
		}
	}
	return r.reference(field)
}

// choiceError is a path of a rule that selects nothing.
type choiceError struct{ path *Path }

func (e *choiceError) Error() string {
	return "Invalid path '" + e.path.src + "': The choice state's condition path references an invalid value."
}

func (ru *rule) match(sc *scope) (bool, error) {
	switch {
	case ru.and != nil:
		for i := range ru.and {
			if ok, err := ru.and[i].match(sc); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	case ru.or != nil:
		for i := range ru.or {
			if ok, err := ru.or[i].match(sc); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	case ru.not != nil:
		ok, err := ru.not.match(sc)
		return !ok && err == nil, err
	}
	got, err := sc.path(ru.variable)
	if ru.op.kind == "IsPresent" {
		return (err == nil) == ru.value.(bool), nil
	}
	if err != nil {
		return false, &choiceError{ru.variable}
	}
	if test, ok := typeTests[ru.op.kind]; ok {
		return test(got) == ru.value.(bool), nil
	}
	want := ru.value
	if ru.valueAt != nil {
		if want, err = sc.path(ru.valueAt); err != nil {
			return false, &choiceError{ru.valueAt}
		}
	}
	return ru.op.compare(got, want), nil
}

// compare is false whenever a side is of another type.
func (op operator) compare(got, want any) bool {
	switch op.kind {
	case "Numeric":
		a, okA := got.(json.Number)
		b, okB := want.(json.Number)
		return okA && okB && op.holds(compareNumbers(a, b))
	case "Boolean":
		a, okA := got.(bool)
		b, okB := want.(bool)
		return okA && okB && a == b
	}
	a, okA := got.(string)
	b, okB := want.(string)
	if !okA || !okB {
		return false
	}
	switch op.kind {
	case "Matches":
		return wildcard(b, a)
	case "Timestamp":
		t, errA := parseTimestamp(a)
		u, errB := parseTimestamp(b)
		return errA == nil && errB == nil && op.holds(t.Compare(u))
	}
	return op.holds(strings.Compare(a, b))
}

// wildcard matches s against a pattern in which * is any text and \* a star.
func wildcard(pattern, s string) bool {
	var parts []string
	var cur strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern) && (pattern[i+1] == '*' || pattern[i+1] == '\\'):
			i++
			cur.WriteByte(pattern[i])
		case pattern[i] == '*':
			parts = append(parts, cur.String())
			cur.Reset()
		default:
			cur.WriteByte(pattern[i])
		}
	}
	last := cur.String()
	if len(parts) == 0 {
		return s == last
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, part := range parts[1:] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
