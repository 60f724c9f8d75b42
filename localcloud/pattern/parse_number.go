package pattern

import (
	"errors"
	"math/big"
	"strconv"
	"strings"
)

// numericLimit is the largest magnitude that AWS documents to compare numbers at.
const numericLimit = 5e9

// compared reads a number that AWS can compare: within the limits, and with no
// more digits than a float64 tells apart.
func compared(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < -numericLimit || n > numericLimit {
		return 0, errors.New("Value must be between -5.0E9 and 5.0E9, inclusive") //nolint:staticcheck // AWS's wording
	}
	if !told(text, n) {
		return 0, errors.New("Cannot compare number : " + text) //nolint:staticcheck // AWS's wording
	}
	return n, nil
}

// told reports whether a float64's shortest form is the number that the text is.
func told(text string, n float64) bool {
	short := strconv.FormatFloat(n, 'g', -1, 64)
	if short == text {
		return true
	}
	digits, _, _ := strings.Cut(strings.ToLower(text), "e")
	if n == 0 || len(text) > 400 { // an exponent may be too large to write out; of zeros nobody writes so many
		return n == 0 && !strings.ContainsAny(digits, "123456789")
	}
	a, ok := new(big.Rat).SetString(text)
	b, _ := new(big.Rat).SetString(short)
	return ok && a.Cmp(b) == 0
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
	operand, err := p.next()
	if err != nil {
		return nil, err
	}
	switch op.text {
	case "=", ">", ">=", "<", "<=":
	default:
		return nil, p.fail("Unrecognized numeric range operator: %s", op.text)
	}
	if operand.kind != '0' {
		return nil, p.fail("Value of %s must be numeric", map[bool]string{false: op.text, true: "equals"}[op.text == "="])
	}
	after, err := p.next()
	if err != nil {
		return nil, err
	}
	if after.kind != ']' {
		if op.text == ">" || op.text == ">=" {
			return p.numericTop(op, operand, after)
		}
		return nil, p.tooMany()
	}
	n, err := compared(operand.text)
	if err != nil {
		return nil, p.fail("%v", err)
	}
	switch op.text {
	case "=":
		return numericRange{low: &n, high: &n}, nil
	case "<", "<=":
		return numericRange{high: &n, openHigh: op.text == "<"}, nil
	}
	return numericRange{low: &n, openLow: op.text == ">"}, nil
}

// numericTop completes a range that has its lower bound.
func (p *parser) numericTop(low, bottom, op token) (matcher, error) {
	if op.kind != '"' {
		return nil, p.fail("Bad value in numeric range: %s", op.text)
	}
	if op.text != "<" && op.text != "<=" {
		p.whole(op)
		return nil, p.fail("Bad numeric range operator: %s", op.text)
	}
	top, err := p.next()
	if err != nil {
		return nil, err
	}
	if top.kind != '0' {
		return nil, p.fail("Value of %s must be numeric", op.text)
	}
	end, err := p.next()
	if err != nil {
		return nil, err
	}
	if end.kind != ']' {
		return nil, p.fail("Too many terms in numeric range expression")
	}
	from, err := compared(bottom.text)
	if err != nil {
		return nil, p.fail("%v", err)
	}
	to, err := compared(top.text)
	if err != nil {
		return nil, p.fail("%v", err)
	}
	if from >= to {
		return nil, p.fail("Bottom must be less than top")
	}
	return numericRange{low: &from, openLow: low.text == ">", high: &to, openHigh: op.text == "<"}, nil
}

// tooMany is AWS's word for whatever stands where an expression should end.
func (p *parser) tooMany() error { return p.fail("Too many elements in numeric expression") }
