package main_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
)

// TestRefusedFilesAreThoseAtFault: the message names the files that later runs
// must leave out, and no file that is good by itself.
func TestRefusedFilesAreThoseAtFault(t *testing.T) {
	const jan, feb = "trips/raw/jan.csv", "trips/raw/feb.csv.gz"
	tests := map[string]struct {
		change func(p *platform)
		want   any
	}{
		"unreadable":             {func(p *platform) { p.files[jan] = []byte("a,\xff\n") }, []any{jan}},
		"a column is missing":    {edit("distance", "distanze"), []any{jan}},
		"one value out of range": {func(p *platform) { edit("T1-00007,", "T1-00007,2025-01-03T00:00:00Z,north,999,1\nX,")(p) }, []any{jan}},
		"no key":                 {edit("T1-00007,", ","), []any{jan}},
		"the same rows twice, under a later name": {func(p *platform) { p.files["trips/raw/jan2.csv"] = p.files[jan] }, []any{"trips/raw/jan2.csv"}},
		"more than the tolerance in one file, less in the other": {func(p *platform) {
			p.def.Quality[0] = definition.Check{Column: "distance", Type: "number", Range: &[2]float64{0, 100}, Severity: "stop", Tolerance: 0.01}
			rows := strings.Split(string(p.files[jan]), "\n")
			for i := 1; i <= 600; i++ {
				cells := strings.Split(rows[i], ",")
				cells[3] = "-1"
				rows[i] = strings.Join(cells, ",")
			}
			p.files[jan] = []byte(strings.Join(rows, "\n"))
		}, []any{jan}},
		"every file breaks it":    {func(p *platform) { p.def.Quality[0].Range = &[2]float64{0, 1} }, []any{feb, jan}},
		"too few rows in all":     {func(p *platform) { p.def.Data.MinimumRows = 10_000 }, nil},
		"nothing to learn in all": {func(p *platform) { p.def.Data.Label.Expr = "delay > 1000" }, nil},
		"more names than the message has room for": {func(p *platform) {
			for i := range 60 {
				p.files[fmt.Sprintf("trips/raw/<%02d>-with-a-long-name-that-takes-room.csv", i)] = nil
			}
		}, 9},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t, trips(), tripFiles())
			tt.change(p)
			m := p.message(p.prepare())
			if m["error"] != "DataRejected" {
				t.Fatalf("message is %v", m)
			}
			if n, ok := tt.want.(int); ok {
				if got, _ := m["refused"].([]any); len(got) != n || m["message"] == "" {
					t.Errorf("%d files refused, want %d: %v", len(got), n, m)
				}
				return
			}
			if !reflect.DeepEqual(m["refused"], tt.want) && !(m["refused"] == nil && tt.want == nil) {
				raw, _ := json.Marshal(m)
				t.Errorf("message is %s, want refused %v", raw, tt.want)
			}
		})
	}
}
