package table_test

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
)

type lentRow struct {
	Whole   int64    `parquet:"whole"`
	Decimal float64  `parquet:"decimal"`
	Maybe   *float64 `parquet:"maybe"`
	Word    string   `parquet:"word,dict"`
}

// TestParquetAcrossPages reads columns whose batches lie within a page, or across
// several, as the sizes of pages and row groups have it. The values are looked at
// in fold, when later batches have been read already.
func TestParquetAcrossPages(t *testing.T) {
	const rows = 50_000
	in := make([]lentRow, rows)
	for i := range in {
		in[i] = lentRow{Whole: int64(i) * 7, Decimal: float64(i) / 8, Word: strings.Repeat("w", i%37) + fmt.Sprint(i%50)}
		if i < 20_000 || i%5 > 0 { // the first batches have all
			in[i].Maybe = new(float64(-i))
		}
	}
	in[30_000].Decimal, in[30_001].Decimal = math.Inf(1), math.NaN()
	in[40_000].Whole, in[40_001].Whole, in[40_002].Whole, in[40_003].Whole = 1<<53, 1<<53+2, math.MinInt64, math.MaxInt64
	wrong := map[string][]int{"decimal": {30_000}, "whole": {40_001, 40_002, 40_003}}
	want := []table.Want{{Name: "whole", Type: features.Integer}, {Name: "decimal", Type: features.Number}, {Name: "maybe", Type: features.Number}, {Name: "word", Type: features.Text}}
	for name, options := range map[string][]parquet.WriterOption{
		"one page":     {parquet.PageBufferSize(64 << 20)},
		"short pages":  {parquet.PageBufferSize(40_000), parquet.Compression(&parquet.Snappy)},
		"short groups": {parquet.MaxRowsPerRowGroup(9_001), parquet.Compression(&parquet.Zstd)},
	} {
		t.Run(name, func(t *testing.T) {
			src := parquetSource("k.parquet", writeParquet(t, in, options...))
			at, faults := 0, map[string][]int{}
			_, err := table.Scan(context.Background(), src, want, func(*table.Batch) (int, error) { return 0, nil }, func(b *table.Batch, _ int) error {
				for row := range b.Rows {
					r := in[at+row]
					numbers := []float64{float64(r.Whole), r.Decimal, math.NaN()}
					if r.Maybe != nil {
						numbers[2] = *r.Maybe
					}
					for i, x := range numbers {
						c := &b.Columns[i]
						if slices.Contains(wrong[c.Name], at+row) {
							x = math.NaN()
						}
						if got := c.Numbers[row]; got != x && !(math.IsNaN(got) && math.IsNaN(x)) {
							return fmt.Errorf("row %d, column %s is %v, want %v", at+row, c.Name, got, x)
						}
					}
					if got := b.Columns[3].Cell(row); got != r.Word {
						return fmt.Errorf("row %d is %q, want %q", at+row, got, r.Word)
					}
				}
				for i := range b.Columns {
					for _, row := range b.Columns[i].Wrong {
						faults[b.Columns[i].Name] = append(faults[b.Columns[i].Name], at+row)
					}
				}
				at += b.Rows
				return nil
			})
			if err != nil || at != rows {
				t.Fatalf("%d rows, %v", at, err)
			}
			if fmt.Sprint(faults) != fmt.Sprint(wrong) {
				t.Errorf("rows not of their type are %v, want %v", faults, wrong)
			}
		})
	}
}

func TestAppendAll(t *testing.T) {
	texts := []lentRow{{Word: "a"}, {Word: ""}, {Word: "a longer text than others"}, {Word: "a"}, {Whole: -5, Word: "é"}}
	for name, src := range map[string]table.Source{
		"parquet": parquetSource("k.parquet", writeParquet(t, texts)),
		"csv":     source("k.csv", "whole,word\n0,a\n0,\n0,a longer text than others\n0,a\n-5,é\n"),
	} {
		t.Run(name, func(t *testing.T) {
			want := []table.Want{{Name: "word", Type: features.Text}, {Name: "whole"}}
			all := []string{"a||a longer text than others|a|é|", "0|0|0|0|-5|"}
			rows, err := table.Scan(context.Background(), src, want, func(b *table.Batch) (int, error) {
				for i := range b.Columns {
					text, ends := b.Columns[i].AppendAll([]byte("before"), []uint32{6}, b.Rows)
					var got bytes.Buffer
					for row, end := range ends[1:] {
						got.Write(text[ends[row]:end])
						got.WriteByte('|')
					}
					if got.String() != all[i] || !bytes.HasPrefix(text, []byte("before")) || int(ends[len(ends)-1]) != len(text) {
						t.Errorf("column %s is %q (%q, %v), want %q", want[i].Name, got.String(), text, ends, all[i])
					}
				}
				return 0, nil
			}, func(*table.Batch, int) error { return nil })
			if err != nil || rows != len(texts) {
				t.Fatalf("%d rows, %v", rows, err)
			}
		})
	}
}
