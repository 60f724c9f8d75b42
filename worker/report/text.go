package report

import (
	"math"
	"strconv"
)

// Thousands writes 1234567 as 1,234,567.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Percent writes a share with two digits.
func Percent(x float64) string {
	return strconv.FormatFloat(math.Round(x*1e4)/100, 'f', -1, 64) + " %"
}

// Number writes a number with five digits.
func Number(x float64) string { return strconv.FormatFloat(x, 'g', 5, 64) }
