package wire

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
)

// Page cuts one answer out of a list; all of it when size is 0. A token names the
// last entry of the page before, by what is unlike any other, and its place: what
// comes or goes between two pages moves neither, unless it is that very entry.
// ok is false for a token that Page did not make.
func Page[T any](all []T, name func(T) string, size int, token *string) (page []T, next *string, ok bool) {
	from := 0
	if token != nil {
		raw, err := base64.URLEncoding.DecodeString(*token)
		place, last, found := strings.Cut(string(raw), " ")
		n, notNumber := strconv.Atoi(place)
		if err != nil || notNumber != nil || !found || n < 0 {
			return nil, nil, false
		}
		from = min(n, len(all))
		if i := slices.IndexFunc(all, func(e T) bool { return name(e) == last }); i >= 0 {
			from = i + 1
		}
	}
	if size <= 0 || from+size >= len(all) {
		return all[from:], nil, true
	}
	to := from + size
	next = new(string)
	*next = base64.URLEncoding.EncodeToString([]byte(strconv.Itoa(to) + " " + name(all[to-1])))
	return all[from:to], next, true
}
