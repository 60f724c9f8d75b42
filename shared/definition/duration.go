package definition

import (
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// units from the largest: a chain must go down.
var units = []struct {
	name string
	size time.Duration
}{{"w", 7 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}

// parseDuration reads whole weeks, days, hours, minutes and seconds, like 90s, 90d or 1d12h.
func parseDuration(s string) (time.Duration, bool) {
	var total time.Duration
	rest, next := s, 0
	for rest != "" {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 0 || digits > 9 || digits == len(rest) {
			return 0, false
		}
		n, err := strconv.ParseInt(rest[:digits], 10, 64)
		if err != nil {
			return 0, false
		}
		unit := next
		for unit < len(units) && units[unit].name != rest[digits:digits+1] {
			unit++
		}
		if unit == len(units) {
			return 0, false
		}
		if n > int64(1<<62/units[unit].size) {
			return 0, false
		}
		if total += time.Duration(n) * units[unit].size; total < 0 {
			return 0, false
		}
		rest, next = rest[digits+1:], unit+1
	}
	return total, s != ""
}

// formatDuration writes what parseDuration reads, without weeks.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range units[1:] {
		if n := d / u.size; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10) + u.name)
			d -= n * u.size
		}
	}
	return b.String()
}
