package prepare

import (
	"math"
	"strings"

	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/traps"
)

// observe notes what the evaluation looks for traps in and only preparation sees:
// the labels of each part by day, and rows that test and training share.
func (r *rows) observe() {
	d := r.def.Data
	for p := range partNames {
		var t traps.Tally
		at := math.NaN()
		for _, row := range r.parts[p] {
			if d.Time != "" {
				at = r.typed[d.Time].Numbers[row]
			}
			t.Add(r.label[row], at)
		}
		r.report.Parts[p].Spread, r.report.Parts[p].Days = t.Spread(), t.Days()
	}
	key := r.tab.Column(d.Key)
	var others []func(row int) string
	for _, name := range r.tab.Columns() {
		if name != d.Key {
			others = append(others, r.tab.Column(name).Cell)
		}
	}
	var rows, keys traps.Twins
	for p := range partNames {
		note, noteKey := rows.First, keys.First
		if p == 2 {
			note, noteKey = rows.Other, keys.Other
		}
		for _, row := range r.parts[p] {
			h := traps.Begin
			for _, cell := range others {
				h = h.Cell(cell(int(row)))
			}
			note(h.Sum())
			noteKey(traps.Begin.Cell(plainKey(key.Cell(int(row)))).Sum())
		}
	}
	r.report.Shared = &quality.Shared{Rows: rows.Shared(), Keys: keys.Shared()}
}

// plainKey is a key as people may write it: case, spaces and leading zeros are no difference.
func plainKey(key string) string {
	key = strings.ToLower(strings.Join(strings.Fields(key), ""))
	if plain := strings.TrimLeft(key, "0"); plain != "" {
		return plain
	}
	return key
}
