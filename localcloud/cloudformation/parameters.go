package cloudformation

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

// Parameters whose value is a name in the parameter store.
const (
	ssmString = "AWS::SSM::Parameter::Value<String>"
	ssmList   = "AWS::SSM::Parameter::Value<List<String>>"
	ssmCommas = "AWS::SSM::Parameter::Value<CommaDelimitedList>"
)

// storedType is the parameter store's type that a parameter's type is for; "" for none.
func storedType(kind string) string {
	return map[string]string{ssmString: "String", ssmList: "StringList", ssmCommas: "StringList"}[kind]
}

var parameterTypes = []string{"String", "Number", "List<Number>", "CommaDelimitedList", ssmString, ssmList, ssmCommas, "AWS::SSM::Parameter::Name"}

func (p *parameter) check(path string, out *problems) {
	if p == nil || !slices.Contains(parameterTypes, p.Type) {
		kind := ""
		if p != nil {
			kind = p.Type
		}
		out.add(path, "parameter type %q is not supported by the local cloud (%s)", kind, strings.Join(parameterTypes, ", "))
		return
	}
	if _, err := regexp.Compile(p.AllowedPattern); err != nil {
		out.add(path, "AllowedPattern: %v", err)
	}
}

// values gives every parameter its value: what is given, the previous value
// where asked for, or the default.
func (t *template) values(given []types.Parameter, previous map[string]string) (map[string]string, error) {
	out := map[string]string{}
	var unknown, missing []string
	for _, g := range given {
		name := aws.ToString(g.ParameterKey)
		if _, ok := t.Parameters[name]; !ok {
			unknown = append(unknown, name)
			continue
		}
		if aws.ToBool(g.UsePreviousValue) {
			if aws.ToString(g.ParameterValue) != "" {
				return nil, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true and non empty value for a parameter", name)
			}
			v, ok := previous[name]
			if !ok {
				return nil, invalid("Invalid input for parameter key %s. Cannot specify usePreviousValue as true for a parameter key not in the previous template", name)
			}
			out[name] = v
			continue
		}
		out[name] = aws.ToString(g.ParameterValue)
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, invalid("Parameters: [%s] do not exist in the template", strings.Join(unknown, ", "))
	}
	for _, name := range sortedKeys(t.Parameters) {
		if _, ok := out[name]; ok {
			continue
		}
		if t.Parameters[name].Default == nil {
			missing = append(missing, name)
			continue
		}
		out[name] = asString(t.Parameters[name].Default)
	}
	if len(missing) > 0 {
		return nil, invalid("Parameters: [%s] must have values", strings.Join(missing, ", "))
	}
	for _, name := range sortedKeys(out) {
		if err := t.Parameters[name].accept(name, out[name]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p *parameter) accept(name, value string) error {
	fail := func(format string, args ...any) error {
		if p.ConstraintDescription != "" {
			return invalid("Parameter %s failed to satisfy constraint: %s", name, p.ConstraintDescription)
		}
		return invalid("Parameter '"+name+"' "+format, args...)
	}
	if p.AllowedPattern != "" {
		if ok, err := regexp.MatchString("^(?:"+p.AllowedPattern+")$", value); err != nil || !ok {
			return fail("must match pattern %s", p.AllowedPattern)
		}
	}
	if len(p.AllowedValues) > 0 && !slices.ContainsFunc(p.AllowedValues, func(v any) bool { return asString(v) == value }) {
		var names []string
		for _, v := range p.AllowedValues {
			names = append(names, asString(v))
		}
		return fail("must be one of AllowedValues [%s]", strings.Join(names, ", "))
	}
	n := utf8.RuneCountInString(value)
	if low, err := strconv.Atoi(p.MinLength.String()); err == nil && n < low {
		return fail("must contain at least %d characters", low)
	}
	if high, err := strconv.Atoi(p.MaxLength.String()); err == nil && n > high {
		return fail("must contain at most %d characters", high)
	}
	if p.Type == "Number" {
		x, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fail("must be a number.")
		}
		if low, err := p.MinValue.Float64(); err == nil && x < low {
			return fail("must be a number not less than %v", low)
		}
		if high, err := p.MaxValue.Float64(); err == nil && x > high {
			return fail("must be a number not greater than %v", high)
		}
	}
	return nil
}

// fetch reads what parameters name in the parameter store, as the caller.
func (c *CloudFormation) fetch(ctx context.Context, t *template, values map[string]string) (map[string]string, error) {
	out := map[string]string{}
	var missing []string
	for _, name := range sortedKeys(values) {
		if storedType(t.Parameters[name].Type) == "" {
			continue
		}
		p, found, err := c.parameter(ctx, values[name])
		switch {
		case err != nil:
			return nil, err
		case !found:
			missing = append(missing, values[name])
		case p.Type != storedType(t.Parameters[name].Type):
			return nil, invalid("Parameters [%s] referenced by template have types not supported by CloudFormation.", values[name])
		default:
			out[name] = p.Value
		}
	}
	if len(missing) > 0 {
		return nil, invalid("Unable to fetch parameters [%s] from parameter store for this account.", strings.Join(missing, ","))
	}
	return out, nil
}

// resolved is a parameter's value as Ref gives it; fetched is what it names.
func (p *parameter) resolved(value, fetched string) any {
	switch p.Type {
	case ssmString:
		return fetched
	case ssmList, ssmCommas, "CommaDelimitedList", "List<Number>":
		if storedType(p.Type) != "" {
			value = fetched
		}
		out := []any{}
		if value == "" {
			return out
		}
		for _, s := range strings.Split(value, ",") {
			out = append(out, strings.TrimSpace(s))
		}
		return out
	}
	return value
}

func (p *parameter) secret() bool { return asString(p.NoEcho) == "true" }

// environment prepares the resolution of a stack's values.
func (c *CloudFormation) environment(t *template, s *stack, resource func(string) (*resourceRecord, bool)) (*environment, error) {
	e := &environment{
		exported: c.exported, imported: map[string]bool{}, stored: c.stored(s),
		pseudo: map[string]string{
			"AWS::AccountId": c.o.Account, "AWS::Region": c.o.Region, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
			"AWS::StackName": s.Name, "AWS::StackId": s.ID,
		},
		parameters: map[string]any{}, mappings: t.Mappings, conditions: map[string]bool{}, resource: resource,
	}
	for name, v := range s.Parameters {
		if p, ok := t.Parameters[name]; ok {
			e.parameters[name] = p.resolved(v, s.Fetched[name])
		}
	}
	for _, name := range sortedKeys(t.Conditions) {
		b, err := e.truth(t.Conditions, t.Conditions[name], []string{name})
		if err != nil {
			return nil, invalid("Template error: condition %s: %v", name, err)
		}
		e.conditions[name] = b
	}
	return e, nil
}

// checkRules evaluates the Rules section.
func (t *template) checkRules(e *environment) error {
	for _, name := range sortedKeys(t.Rules) {
		r := t.Rules[name]
		if r.RuleCondition != nil {
			applies, err := e.truth(t.Conditions, r.RuleCondition, nil)
			if err != nil {
				return invalid("Template error: rule %s: %v", name, err)
			}
			if !applies {
				continue
			}
		}
		for _, a := range r.Assertions {
			ok, err := e.truth(t.Conditions, a.Assert, nil)
			if err != nil {
				return invalid("Template error: rule %s: %v", name, err)
			}
			if !ok {
				return invalid("Template constraint violated: rule %s: %s", name, a.AssertDescription)
			}
		}
	}
	return nil
}
