package features

// Nearest gives the candidate that a person most likely meant by name, or "".
// The distance is Damerau-Levenshtein's (adjacent swaps count as one); at most a
// third of the name, and at least one letter, may differ.
func Nearest(name string, candidates []string) string {
	most := max(1, len(name)/3)
	best := ""
	for _, c := range candidates {
		if d := distance(name, c, most); d <= most && c != name {
			best, most = c, d-1
		}
	}
	return best
}

// distance gives the edits between two names, or more than most when they are too many.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most || len(a) > 100 || len(b) > 100 {
		return most + 1
	}
	before, previous, current := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(a); i++ {
		current[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			current[j] = d
		}
		before, previous, current = previous, current, before
	}
	return previous[len(b)]
}
