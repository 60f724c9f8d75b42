package prepare

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/millrace-ml/millrace/worker/quality"
)

// maxRefused bounds the keys that the message has room for, in bytes. Those that
// do not fit are refused by the next run, which meets them again.
const maxRefused = 600

// refused are the keys of the files that stop the run each by themselves: later
// runs leave them out until a new version comes.
func (u *upload) refused() []string {
	rows, bad := map[string]int{}, map[string]bool{}
	for _, f := range u.report.Files {
		rows[f.Key] = f.Rows
	}
	for _, f := range u.report.Findings {
		if f.Severity != quality.Stop {
			continue
		}
		for _, key := range f.AtFault(rows) {
			bad[key] = true
		}
	}
	var keys []string
	room := maxRefused
	for _, key := range slices.Sorted(maps.Keys(bad)) {
		raw, _ := json.Marshal(key) // as the message has it, with its escapes
		if room -= len(raw) + 1; room < 0 {
			break
		}
		keys = append(keys, key)
	}
	return keys
}
