package logs

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// A filter pattern for messages in JSON: { $.level = "ERROR" && $.run.number > 7 }.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
//
//	expression = and { "||" and }
//	and        = term { "&&" term }
//	term       = "(" expression ")" | selector comparison
//	comparison = ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value | "IS" ( "NULL" | "TRUE" | "FALSE" ) | "EXISTS" | "NOT EXISTS"
//
// In a value without quotes, and in one with them, * stands for any text.

// jsonTest decides by a decoded message.
type jsonTest func(doc any) bool

var jsonToken = regexp.MustCompile(`^\s*(\|\||&&|!=|<=|>=|[=<>(){}]|"(?:[^"\\]|\\.)*"|\$(?:\.[A-Za-z0-9_\-]+|\[(?:[0-9]+|'[^']*'|"[^"]*")\])*|[^\s"=<>!(){}&|]+)`)

type jsonParser struct {
	text   string
	tokens []string
}

func parseJSONFilter(text string) (func(message string) bool, error) {
	p := &jsonParser{text: text}
	for rest := text; strings.TrimSpace(rest) != ""; {
		m := jsonToken.FindStringSubmatch(rest)
		if m == nil {
			return nil, p.wrong("near " + strings.TrimSpace(rest))
		}
		p.tokens, rest = append(p.tokens, m[1]), rest[len(m[0]):]
	}
	if n := len(p.tokens); n < 3 || p.tokens[n-1] != "}" {
		return nil, p.wrong("it must be { selector comparison }")
	}
	p.tokens = p.tokens[1 : len(p.tokens)-1]
	test, err := p.expression()
	if err != nil {
		return nil, err
	}
	if len(p.tokens) > 0 {
		return nil, p.wrong("near " + p.tokens[0])
	}
	return func(message string) bool {
		var doc any
		d := json.NewDecoder(strings.NewReader(message))
		d.UseNumber()
		return d.Decode(&doc) == nil && test(doc)
	}, nil
}

func (p *jsonParser) wrong(why string) error {
	return invalid("Invalid filter pattern %s: %s", p.text, why)
}

func (p *jsonParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *jsonParser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *jsonParser) expression() (jsonTest, error) {
	return p.joined("||", p.conjunction, func(a, b jsonTest) jsonTest { return func(doc any) bool { return a(doc) || b(doc) } })
}

func (p *jsonParser) conjunction() (jsonTest, error) {
	return p.joined("&&", p.term, func(a, b jsonTest) jsonTest { return func(doc any) bool { return a(doc) && b(doc) } })
}

func (p *jsonParser) joined(operator string, part func() (jsonTest, error), join func(a, b jsonTest) jsonTest) (jsonTest, error) {
	left, err := part()
	for err == nil && p.peek() == operator {
		p.next()
		var right jsonTest
		if right, err = part(); err == nil {
			left = join(left, right)
		}
	}
	return left, err
}

func (p *jsonParser) term() (jsonTest, error) {
	if p.peek() == "(" {
		p.next()
		test, err := p.expression()
		if err == nil && p.next() != ")" {
			err = p.wrong("a ) is missing")
		}
		return test, err
	}
	selector := p.next()
	if !strings.HasPrefix(selector, "$") || selector == "$" {
		return nil, p.wrong("a selector such as $.name is missing")
	}
	operator := p.next()
	switch strings.ToUpper(operator) {
	case "EXISTS":
		return func(doc any) bool { _, ok := selected(doc, selector); return ok }, nil
	case "NOT":
		if strings.ToUpper(p.next()) != "EXISTS" {
			return nil, p.wrong("after NOT comes EXISTS")
		}
		return func(doc any) bool { _, ok := selected(doc, selector); return !ok }, nil
	case "IS":
		want, ok := map[string]any{"NULL": nil, "TRUE": true, "FALSE": false}[strings.ToUpper(p.next())]
		if !ok {
			return nil, p.wrong("after IS comes NULL, TRUE or FALSE")
		}
		return func(doc any) bool { got, ok := selected(doc, selector); return ok && got == want }, nil
	case "=", "!=", "<", "<=", ">", ">=":
		return p.comparison(selector, operator)
	}
	return nil, p.wrong("after " + selector + " comes a comparison")
}

func (p *jsonParser) comparison(selector, operator string) (jsonTest, error) {
	value := p.next()
	if value == "" || strings.Contains("(){}=<>&&||", value) {
		return nil, p.wrong("a value is missing after " + operator)
	}
	number, notNumber := strconv.ParseFloat(value, 64)
	if notNumber == nil {
		compare := map[string]func(float64) bool{
			"=": func(x float64) bool { return x == number }, "!=": func(x float64) bool { return x != number },
			"<": func(x float64) bool { return x < number }, "<=": func(x float64) bool { return x <= number },
			">": func(x float64) bool { return x > number }, ">=": func(x float64) bool { return x >= number },
		}[operator]
		return func(doc any) bool {
			got, ok := selected(doc, selector)
			n, isNumber := got.(json.Number)
			x, err := strconv.ParseFloat(string(n), 64)
			if !isNumber || err != nil || math.IsNaN(x) {
				return ok && operator == "!="
			}
			return compare(x)
		}, nil
	}
	if operator != "=" && operator != "!=" {
		return nil, p.wrong(operator + " compares numbers")
	}
	if unquoted, err := strconv.Unquote(value); strings.HasPrefix(value, `"`) && err == nil {
		value = unquoted
	}
	parts := strings.Split(value, "*")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	like, err := regexp.Compile("(?s)^" + strings.Join(parts, ".*") + "$")
	if err != nil {
		return nil, p.wrong(err.Error())
	}
	return func(doc any) bool {
		got, ok := selected(doc, selector)
		text, isText := got.(string)
		return ok && (isText && like.MatchString(text)) == (operator == "=")
	}, nil
}

var selectorStep = regexp.MustCompile(`\.([A-Za-z0-9_\-]+)|\[([0-9]+)\]|\[['"]([^'"]*)['"]\]`)

// selected is what a selector names in a document, if it is there.
func selected(doc any, selector string) (any, bool) {
	for _, step := range selectorStep.FindAllStringSubmatch(selector, -1) {
		if step[2] != "" {
			list, _ := doc.([]any)
			i, err := strconv.Atoi(step[2])
			if err != nil || i >= len(list) {
				return nil, false
			}
			doc = list[i]
			continue
		}
		object, _ := doc.(map[string]any)
		next, ok := object[step[1]+step[3]]
		if !ok {
			return nil, false
		}
		doc = next
	}
	return doc, true
}
