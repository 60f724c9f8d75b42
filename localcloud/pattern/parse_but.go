package pattern

import "errors"

// anythingBut reads the value of anything-but: a string, a number, a list of
// either, or an object with one of the operators that it can negate.
func (p *parser) anythingBut(t token) (matcher, error) {
	op := ""
	if t.kind == '{' {
		name, err := p.next()
		if err != nil {
			return nil, err
		}
		switch {
		case name.text == "prefix", !p.filter && (name.text == "equals-ignore-case" || name.text == "suffix" || name.text == "wildcard"):
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
			return nil, p.tooMany()
		}
	}
	return anythingBut{not}, nil
}

// butValues reads one value, or a list of them.
func (p *parser) butValues(op string, t token) ([]matcher, error) {
	if p.filter && op != "" && t.kind != '"' {
		return nil, p.fail("prefix match pattern must be a string")
	}
	if t.kind != '[' && t.kind != '"' && t.kind != '0' {
		return nil, p.fail("Value of anything-but must be an array or single string/number value.")
	}
	values, err := []token{t}, error(nil)
	if t.kind == '[' {
		values, err = p.butList(op)
	} else if err = p.butFits(op, t); err == nil {
		p.whole(t)
	}
	if err != nil {
		return nil, err
	}
	out := make([]matcher, len(values))
	for i, v := range values {
		m, err := p.butValue(op, v)
		if err != nil {
			return nil, err
		}
		out[i] = m
	}
	return out, nil
}

// butList reads a list's values up to its end.
func (p *parser) butList(op string) (values []token, err error) {
	strings, numbers := false, false
	for {
		t, err := p.next()
		if err != nil {
			return nil, twice(err)
		}
		if t.kind == ']' {
			break
		}
		if err := p.butFits(op, t); err != nil {
			return nil, twice(err)
		}
		if op == "" && t.kind == '0' {
			if _, err := compared(t.text); err != nil {
				return nil, p.fail("%v", err)
			}
		}
		numbers = numbers || t.kind == '0'
		strings = strings || t.kind == '"'
		values = append(values, t)
	}
	if strings == numbers { // of the other operators an empty list has no reader in AWS's machine
		return nil, p.fail("Inside anything but list, either all values are number or string, mixed type is not supported")
	}
	return values, nil
}

// twice tells the place once more, as AWS does where it wraps what failed in a list.
func twice(err error) error {
	e := (*Invalid)(nil)
	if !errors.As(err, &e) || e.At == nil {
		return err
	}
	return &Invalid{Reason: e.Reason + "\n at " + e.At.String(), At: e.At}
}

// butFits tells whether anything-but takes a value.
func (p *parser) butFits(op string, t token) error {
	if t.kind == '"' {
		if (op == "prefix" || op == "suffix") && t.text == "" {
			p.whole(t)
			return p.fail("Null prefix/suffix not allowed")
		}
		return nil
	}
	switch op {
	case "":
		if t.kind != '0' {
			return p.fail("Inside anything but list, start|null|boolean is not supported.")
		}
		return nil
	case "equals-ignore-case":
		return p.fail("Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.")
	case "wildcard":
		return p.fail("wildcard match pattern must be a string")
	}
	return p.fail("prefix/suffix match pattern must be a string")
}

func (p *parser) butValue(op string, t token) (matcher, error) {
	switch op {
	case "prefix":
		return prefix{text: t.text}, nil
	case "suffix":
		return suffix{text: t.text}, nil
	case "":
		if t.kind == '0' {
			n, err := compared(t.text)
			if err != nil {
				return nil, &Invalid{Reason: err.Error()}
			}
			return exactNumber{n, t.text}, nil
		}
		return exactText{kindString, t.text}, nil
	}
	return p.ofString(op, t.text)
}
