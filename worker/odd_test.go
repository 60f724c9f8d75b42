package main_test

import (
	"strconv"
	"testing"

	"github.com/millrace-ml/millrace/shared/definition"
)

// TestOddNumbers: columns of numbers that can hardly be told from each other, or
// whose sums no number holds, are prepared, learned from, judged and shown.
func TestOddNumbers(t *testing.T) {
	columns := map[string][]float64{
		"narrow": {0.3, 0.30000000000000004},
		"keys":   {1e17, 1e17 + 16, 1e17 + 32},
		"wide":   {-1.7e308, 0, 1.7e308},
		"large":  {1.7e308, 1.6e308},
		"small":  {0, 5e-324, 1e-323},
		"single": {3.4e38, -3.4e38, 1},
	}
	raw := tripRows(1, 2000)
	p := newPlatform(t, trips(), nil)
	for name, values := range columns {
		raw = withColumn(t, raw, name, func(i int, _ func(string) string) string {
			return strconv.FormatFloat(values[i%len(values)], 'g', -1, 64)
		})
		p.def.Features = append(p.def.Features, definition.Feature{Name: name})
	}
	p.files = map[string][]byte{"trips/raw/jan.csv": raw}
	prepared := p.prepare()
	if m := p.message(prepared); m["ok"] != true {
		t.Fatalf("prepare says %v", m)
	}
	trained, _ := p.train(prepared)
	model := p.tarOf(trained)
	base, _ := p.evaluate(prepared, model, model)
	if m := p.message(base); m["ok"] != true {
		t.Errorf("evaluate says %v", m)
	}
}
