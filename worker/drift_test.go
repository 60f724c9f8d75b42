package main_test

import (
	"bytes"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/worker/evaluate"
)

// longer finds distances, to put 30 on them.
var longer = regexp.MustCompile(`,(\d\.\d)`)

// What the rows learned from differ in from those of the version in service is
// told by column.
func TestDriftAgainstTheVersionInService(t *testing.T) {
	old := newPlatform(t, trips(), map[string][]byte{"trips/raw/jan.csv": tripRows(1, 3000)})
	before := old.prepare()
	trained, _ := old.train(before)
	champion := old.tarOf(trained)
	for name, tt := range map[string]struct {
		change func(p *platform)
		want   map[string]bool // column: drifted
		note   string
	}{
		"the same kind of rows": {func(*platform) {}, map[string]bool{"at": false, "distance": false, "zone": false}, ""},
		"another share of a zone": {func(p *platform) {
			p.files["trips/raw/feb.csv"] = bytes.ReplaceAll(tripRows(2, 3000), []byte("north"), []byte("south"))
		}, map[string]bool{"at": false, "distance": false, "zone": true}, ""},
		"longer trips": {func(p *platform) {
			p.def.Quality = nil
			p.files["trips/raw/feb.csv"] = []byte(longer.ReplaceAllString(string(tripRows(2, 3000)), ",3$1"))
		}, map[string]bool{"at": false, "distance": true, "zone": false}, ""},
		"a new column": {func(p *platform) {
			p.files["trips/raw/feb.csv"] = withColumn(t, tripRows(2, 3000), "wind", func(i int, _ func(string) string) string { return strings.Repeat("1", 1+i%3) })
			p.def.Features = append(p.def.Features, definition.Feature{Name: "wind"})
		}, map[string]bool{"at": false, "distance": false, "zone": false, "wind": false}, "the version in service does not read it"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlatform(t, trips(), map[string][]byte{"trips/raw/feb.csv": tripRows(2, 3000)})
			p.before = before
			tt.change(p)
			prepared := p.prepare()
			trained, _ := p.train(prepared)
			base, e := p.evaluate(prepared, p.tarOf(trained), champion)
			got := map[string]evaluate.Drift{}
			for _, d := range e.Drift {
				got[d.Column] = d
				if d.Drifted != tt.want[d.Column] || d.Column == "wind" && d.Note != tt.note {
					t.Errorf("%s: %+v", d.Column, d)
				}
			}
			if len(got) != len(tt.want) {
				t.Errorf("columns are %v, want %v", got, tt.want)
			}
			zone := got["zone"]
			if tt.want["zone"] {
				// A third of the rows: their share is in no other.
				if math.Abs(float64(zone.Distance)-1.0/3) > 0.04 || zone.Texts[0].Now > 0 && zone.Texts[0].Then > 0.5 {
					t.Errorf("zone is %+v", zone)
				}
			}
			if page := string(p.read(base, "processing", "output", "evaluation", "report.html")); !strings.Contains(page, "<h2>Drift</h2>") {
				t.Error("the page does not tell")
			}
		})
	}
	// Without the champion's statistics there is nothing to tell.
	old.before = ""
	base, e := old.evaluate(before, champion, champion)
	if page := string(old.read(base, "processing", "output", "evaluation", "report.html")); e.Drift != nil || strings.Contains(page, "<h2>Drift</h2>") {
		t.Errorf("drift is %+v", e.Drift)
	}
}
