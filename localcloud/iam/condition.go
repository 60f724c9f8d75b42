package iam

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// condition is one operator with one key.
type condition struct {
	operator string // without prefix and suffix
	key      string // lower case
	values   []string
	negated  bool   // StringNot…: no value may match
	ifExists bool   // holds as well when the key is absent
	each     string // "ForAnyValue", "ForAllValues" or ""
}

// operators compare a value of the request with one of the policy. Those with
// Not are the negation of the others.
var operators = map[string]func(have, want string) bool{
	"StringEquals":             func(have, want string) bool { return have == want },
	"StringEqualsIgnoreCase":   strings.EqualFold,
	"StringLike":               func(have, want string) bool { return match(want, have) },
	"ArnEquals":                matchARN,
	"ArnLike":                  matchARN,
	"Bool":                     strings.EqualFold,
	"NumericEquals":            numeric(func(a, b float64) bool { return a == b }),
	"NumericLessThan":          numeric(func(a, b float64) bool { return a < b }),
	"NumericLessThanEquals":    numeric(func(a, b float64) bool { return a <= b }),
	"NumericGreaterThan":       numeric(func(a, b float64) bool { return a > b }),
	"NumericGreaterThanEquals": numeric(func(a, b float64) bool { return a >= b }),
}

func numeric(compare func(a, b float64) bool) func(have, want string) bool {
	return func(have, want string) bool {
		a, err := strconv.ParseFloat(have, 64)
		b, err2 := strconv.ParseFloat(want, 64)
		return err == nil && err2 == nil && compare(a, b)
	}
}

// matchARN compares an ARN's six parts one by one, wildcards within each.
func matchARN(have, want string) bool {
	h, w := strings.SplitN(have, ":", 6), strings.SplitN(want, ":", 6)
	if len(h) != 6 || len(w) != 6 {
		return want == "*"
	}
	for i := range h {
		if !match(w[i], h[i]) {
			return false
		}
	}
	return true
}

func parseConditions(raw map[string]map[string]texts) ([]condition, error) {
	var out []condition
	for name, keys := range raw {
		c := condition{}
		operator := name
		if each, rest, ok := strings.Cut(name, ":"); ok {
			if each != "ForAnyValue" && each != "ForAllValues" {
				return nil, fmt.Errorf("invalid condition operator %q", name)
			}
			c.each, operator = each, rest
		}
		operator, c.ifExists = strings.CutSuffix(operator, "IfExists")
		if _, ok := operators[operator]; !ok && operator != "Null" {
			plain := strings.Replace(operator, "Not", "", 1)
			if _, ok := operators[plain]; !ok || plain == operator || plain == "Bool" || (strings.HasPrefix(plain, "Numeric") && plain != "NumericEquals") {
				return nil, fmt.Errorf("condition operator %q is not supported by the local cloud", name)
			}
			operator, c.negated = plain, true
		}
		if operator == "Null" && (c.ifExists || c.each != "") {
			return nil, fmt.Errorf("invalid condition operator %q", name)
		}
		c.operator = operator
		for key, values := range keys {
			for _, v := range values {
				if strings.Contains(v, "${") {
					return nil, fmt.Errorf("policy variables are not supported by the local cloud: %q", v)
				}
			}
			c.key, c.values = strings.ToLower(key), values
			out = append(out, c)
		}
	}
	return out, nil
}

func (c condition) holds(conditions map[string][]string) bool {
	have, there := conditions[c.key]
	if c.operator == "Null" {
		return slices.Contains(c.values, strconv.FormatBool(!there))
	}
	if !there || len(have) == 0 {
		// Negated operators and ForAllValues hold for an absent key, as on AWS.
		return c.ifExists || c.each == "ForAllValues" || (c.negated && c.each == "")
	}
	ok := func(v string) bool {
		matched := slices.ContainsFunc(c.values, func(want string) bool { return operators[c.operator](v, want) })
		return matched != c.negated
	}
	if c.each == "ForAnyValue" {
		return slices.ContainsFunc(have, ok)
	}
	return !slices.ContainsFunc(have, func(v string) bool { return !ok(v) })
}
