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

// Percent writes a share with two digits. Few are not none, and nearly all are
// not all.
func Percent(x float64) string {
	rounded := math.Round(x*1e4) / 100
	switch {
	case x > 0 && rounded == 0:
		return "< 0.01 %"
	case x < 1 && rounded == 100:
		return "> 99.99 %"
	}
	return strconv.FormatFloat(rounded, 'f', -1, 64) + " %"
}

// Number writes a number with five digits.
func Number(x float64) string { return strconv.FormatFloat(x, 'g', 5, 64) }
