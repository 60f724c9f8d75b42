package quality

import (
	"maps"
	"slices"
)

// Blame counts rows that break the check against their file.
func (f *Finding) Blame(key string, rows int) {
	if f.files == nil {
		f.files = map[string]int{}
	}
	f.files[key] += rows
}

// AtFault are the keys of the files that break the check each on their own,
// sorted; rows are all rows of each file. A finding that is about all files
// together (too few rows, a constant label) blames none.
func (f Finding) AtFault(rows map[string]int) []string {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(f.files)) {
		if share(f.files[key], max(rows[key], f.files[key])) > f.allowed {
			keys = append(keys, key)
		}
	}
	return keys
}
