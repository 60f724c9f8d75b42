package features_test

import (
	"fmt"
	"testing"

	"github.com/millrace-ml/millrace/shared/features"
)

// BenchmarkRow is 8 features over 300,000 rows, on one core: values to numbers,
// and cells to numbers.
func BenchmarkRow(b *testing.B) {
	p, problems := features.Compile([]features.Feature{
		{Name: "hour", Expr: "hour(at)"},
		{Name: "minute", Expr: "minute_of_day(at)"},
		{Name: "weekday", Expr: "weekday(at)"},
		{Name: "hundreds", Expr: "dist / 100"},
		{Name: "log", Expr: "log1p(dist)"},
		{Name: "far", Expr: "dist > 1000 ? 1 : 0"},
		{Name: "hub", Expr: `origin == "ORD" or origin == "DFW"`},
		{Name: "off", Expr: "abs(dist - 500)"},
	}, flightTypes, roles)
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	p, err := p.NewFit().Program()
	if err != nil {
		b.Fatal(err)
	}
	const rows = 300_000
	cells := make([][]string, rows)
	values := make([][]features.Value, rows)
	for i := range cells {
		cells[i] = []string{fmt.Sprintf("2001-%02d-%02d %02d:%02d:00", i%6+1, i%28+1, i%24, i%60), fmt.Sprint(200 + i%2500), []string{"ORD", "DFW", "ATL"}[i%3]}
		values[i] = make([]features.Value, 3)
		parse(b, p.Types(), cells[i], values[i])
	}
	out := make([]float32, len(p.Names()))
	b.Run("values", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			p.Row(values[i%rows], out)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("cells", func(b *testing.B) {
		b.ReportAllocs()
		types, row := p.Types(), make([]features.Value, 3)
		for i := range b.N {
			parse(b, types, cells[i%rows], row)
			p.Row(row, out)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}
