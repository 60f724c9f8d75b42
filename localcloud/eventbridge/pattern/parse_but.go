package pattern

import (
	"strconv"
)

// anythingBut reads the value of anything-but: a string, a number, a list of
// either, or an object with one of the operators that it can negate.
func (p *parser) anythingBut(t token) (matcher, error) {
	op := ""
	if t.kind == '{' {
		name, err := p.next()
		if err != nil {
			return nil, err
		}
		switch name.text {
		case "equals-ignore-case", "prefix", "suffix", "wildcard":
			op = name.text
		default:
			if name.kind == '}' {
				return nil, p.fail("Anything-But expression name not found")
			}
			return nil, p.fail("Unsupported anything-but pattern: %s", name.text)
		}
		if t, err = p.next(); err != nil {
			return nil, err
		}
	}
	not, err := p.butValues(op, t)
	if err != nil {
		return nil, err
	}
	if op != "" {
		end, err := p.next()
		if err != nil {
			return nil, err
		}
		if end.kind != '}' {
			return nil, p.fail("Too many elements in numeric expression")
		}
	}
	return anythingBut{not}, nil
}

// butValues reads one value, or a list of them.
func (p *parser) butValues(op string, t token) ([]matcher, error) {
	if t.kind != '[' && t.kind != '"' && t.kind != '0' {
		return nil, p.fail("Value of anything-but must be an array or single string/number value.")
	}
	if t.kind != '[' {
		m, _, err := p.butValue(op, t)
		return []matcher{m}, err
	}
	var out []matcher
	strings, numbers := false, false
	for {
		t, err := p.next()
		if err != nil {
			return nil, err
		}
		if t.kind == ']' {
			break
		}
		m, number, err := p.butValue(op, t)
		if err != nil {
			return nil, err
		}
		numbers = numbers || number
		strings = strings || !number
		out = append(out, m)
	}
	if strings == numbers {
		return nil, p.fail("Inside anything but list, either all values are number or string, mixed type is not supported")
	}
	return out, nil
}

func (p *parser) butValue(op string, t token) (m matcher, number bool, err error) {
	if op == "" {
		switch t.kind {
		case '"':
			return exactText{kindString, t.text}, false, nil
		case '0':
			n, err := p.number(t.text)
			return exactNumber{n, t.text}, true, err
		}
		return nil, false, p.fail("Inside anything but list, start|null|boolean is not supported.")
	}
	if t.kind != '"' {
		switch op {
		case "equals-ignore-case":
			return nil, false, p.fail("Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.")
		case "wildcard":
			return nil, false, p.fail("wildcard match pattern must be a string")
		}
		return nil, false, p.fail("prefix/suffix match pattern must be a string")
	}
	switch op {
	case "prefix", "suffix":
		if t.text == "" {
			return nil, false, p.fail("Null prefix/suffix not allowed")
		}
		if op == "prefix" {
			return prefix{text: t.text}, false, nil
		}
		return suffix{text: t.text}, false, nil
	}
	m, err = p.ofString(op, t.text)
	return m, false, err
}

// number reads a number that AWS can compare.
func (p *parser) number(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < -numericLimit || n > numericLimit {
		return 0, p.fail("Value must be between -5.0E9 and 5.0E9, inclusive")
	}
	return n, nil
}

// numeric reads ["op", n] or ["> or >=", n, "< or <=", n], whose first token is t.
func (p *parser) numeric(t token) (matcher, error) {
	if t.kind != '[' {
		return nil, p.fail("Value of numeric must be an array.")
	}
	op, err := p.next()
	if err != nil {
		return nil, err
	}
	if op.kind != '"' {
		return nil, p.fail("Invalid member in numeric match: %s", op.text)
	}
	switch op.text {
	case "=", ">", ">=", "<", "<=":
	default:
		return nil, p.fail("Unrecognized numeric range operator: %s", op.text)
	}
	n, err := p.operand(op.text, "equals")
	if err != nil {
		return nil, err
	}
	after, err := p.next()
	if err != nil {
		return nil, err
	}
	var m numericRange
	switch op.text {
	case "=":
		m = numericRange{low: &n, high: &n}
	case "<", "<=":
		m = numericRange{high: &n, openHigh: op.text == "<"}
	default:
		m = numericRange{low: &n, openLow: op.text == ">"}
		if after.kind != ']' {
			return p.numericTop(m, after)
		}
	}
	if after.kind != ']' {
		return nil, p.fail("Too many elements in numeric expression")
	}
	return m, nil
}

func (p *parser) operand(op, equals string) (float64, error) {
	t, err := p.next()
	if err != nil {
		return 0, err
	}
	if t.kind != '0' {
		if op == "=" {
			op = equals
		}
		return 0, p.fail("Value of %s must be numeric", op)
	}
	return p.number(t.text)
}

// numericTop completes a range that has its lower bound.
func (p *parser) numericTop(m numericRange, op token) (matcher, error) {
	if op.kind != '"' {
		return nil, p.fail("Bad value in numeric range: %s", op.text)
	}
	if op.text != "<" && op.text != "<=" {
		return nil, p.fail("Bad numeric range operator: %s", op.text)
	}
	top, err := p.operand(op.text, "=")
	if err != nil {
		return nil, err
	}
	end, err := p.next()
	if err != nil {
		return nil, err
	}
	if end.kind != ']' {
		return nil, p.fail("Too many terms in numeric range expression")
	}
	if *m.low >= top {
		return nil, p.fail("Bottom must be less than top")
	}
	m.high, m.openHigh = &top, op.text == "<"
	return m, nil
}
