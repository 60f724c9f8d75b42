package table_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/deprecated"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
)

// memory is a file that can be read at any place.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func parquetSource(key string, raw []byte) table.Source {
	return table.Source{Key: key, Format: table.Parquet, Open: func() (io.ReadCloser, error) { return memory{bytes.NewReader(raw)}, nil }}
}

func writeParquet[T any](t testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := parquet.Write(&b, rows, options...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type wide struct {
	I8    int8             `parquet:"i8"`
	I64   *int64           `parquet:"i64"`
	U32   uint32           `parquet:"u32"`
	U64   uint64           `parquet:"u64"`
	F32   float32          `parquet:"f32"`
	F64   *float64         `parquet:"f64,dict"`
	Bool  *bool            `parquet:"bool"`
	Text  *string          `parquet:"text,dict"`
	Plain string           `parquet:"plain"`
	Dec   int32            `parquet:"dec,decimal(2:9)"`
	Dec64 int64            `parquet:"dec64,decimal(4:18)"`
	Date  int32            `parquet:"date,date"`
	Milli int64            `parquet:"milli,timestamp(millisecond)"`
	Micro *int64           `parquet:"micro,timestamp(microsecond:local)"`
	Nano  int64            `parquet:"nano,timestamp(nanosecond)"`
	Old   deprecated.Int96 `parquet:"old"`
}

func wideRows(n int) []wide {
	at := time.Date(2024, 2, 29, 23, 59, 58, 123456789, time.UTC)
	rows := make([]wide, n)
	for i := range rows {
		when := at.Add(time.Duration(i) * time.Hour)
		rows[i] = wide{I8: int8(i % 100), U32: math.MaxUint32 - uint32(i), U64: math.MaxUint64 - uint64(i), F32: float32(i) / 4, Plain: fmt.Sprintf("p,%d", i), Dec: int32(i*7 - 350), Dec64: int64(i) * 12345,
			Date: int32(i) - 5, Milli: when.UnixMilli(), Nano: when.UnixNano(), Old: deprecated.Int96{uint32(uint64(3600e9) & math.MaxUint32), uint32(uint64(3600e9) >> 32), uint32(2440588 + i)}}
		if i%3 > 0 {
			rows[i].I64, rows[i].F64 = new(int64(i)<<30), new(float64(i)*1.5)
			rows[i].Bool, rows[i].Text, rows[i].Micro = new(i%2 == 0), new(fmt.Sprintf("t%d", i%7)), new(when.UnixMicro())
		}
	}
	return rows
}

func TestParquetTypes(t *testing.T) {
	raw := writeParquet(t, wideRows(20_000), parquet.MaxRowsPerRowGroup(9_000), parquet.Compression(&parquet.Zstd))
	src := parquetSource("k.parquet", raw)
	tests := map[string]struct {
		kind features.Type
		rows map[int]string // text by row
	}{
		"i8":    {features.Integer, map[int]string{0: "0", 101: "1"}},
		"i64":   {features.Integer, map[int]string{0: "", 1: "1073741824"}},
		"u32":   {features.Integer, map[int]string{0: "4294967295", 5: "4294967290"}},
		"u64":   {features.Integer, map[int]string{0: "18446744073709551615"}},
		"f32":   {features.Number, map[int]string{1: "0.25", 4: "1"}},
		"f64":   {features.Number, map[int]string{0: "", 1: "1.5", 19_999: "29998.5"}},
		"bool":  {features.Boolean, map[int]string{0: "", 1: "false", 2: "true"}},
		"text":  {features.Text, map[int]string{0: "", 1: "t1", 8: "t1"}},
		"plain": {features.Text, map[int]string{0: "p,0", 12_345: "p,12345"}},
		"dec":   {features.Number, map[int]string{0: "-3.50", 49: "-0.07", 51: "0.07"}},
		"dec64": {features.Number, map[int]string{0: "0.0000", 1: "1.2345", 10_000: "12345.0000"}},
		"date":  {features.Time, map[int]string{0: "1969-12-27", 5: "1970-01-01"}},
		"milli": {features.Time, map[int]string{0: "2024-02-29T23:59:58.123Z"}},
		"micro": {features.Time, map[int]string{0: "", 1: "2024-03-01T00:59:58.123456Z"}},
		"nano":  {features.Time, map[int]string{0: "2024-02-29T23:59:58.123456789Z"}},
		"old":   {features.Time, map[int]string{0: "1970-01-01T01:00:00Z", 1: "1970-01-02T01:00:00Z"}},
	}
	l, err := table.Look(src)
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Names) != len(tests) {
		t.Errorf("columns are %v", l.Names)
	}
	for i, name := range l.Names {
		tt := tests[name]
		if l.Types[i] != tt.kind {
			t.Errorf("column %s is %v, want %v", name, l.Types[i], tt.kind)
		}
		row, found := 0, 0
		rows, err := table.Scan(context.Background(), src, []table.Want{{Name: name, Type: tt.kind}}, func(b *table.Batch) (int, error) { return 0, nil }, func(b *table.Batch, _ int) error {
			c := &b.Columns[0]
			for r := range b.Rows {
				if want, ok := tt.rows[row+r]; ok {
					found++
					if got := c.Cell(r); got != want || c.Empty(r) != (want == "") {
						t.Errorf("column %s, row %d is %q, want %q", name, row+r, got, want)
					}
				}
				// The number is that which reading the text gives.
				v, err := features.ParseValue(tt.kind, c.Cell(r))
				if tt.kind == features.Text || name == "u64" {
					continue
				}
				if err != nil || math.Float64bits(v.Number) != math.Float64bits(c.Value(r).Number) && !(v.IsMissing() && c.Missing(r)) {
					t.Fatalf("column %s, row %d: %v, and its text %q reads as %v (%v)", name, row+r, c.Value(r).Number, c.Cell(r), v.Number, err)
				}
			}
			row += b.Rows
			if name == "u64" && len(c.Wrong) != b.Rows {
				t.Errorf("%d of %d numbers beyond 2^53 are whole numbers", b.Rows-len(c.Wrong), b.Rows)
			}
			return nil
		})
		if err != nil || rows != 20_000 || found != len(tt.rows) {
			t.Errorf("column %s: %d rows, %d of them looked at: %v", name, rows, found, err)
		}
	}
}

func TestParquetPlaces(t *testing.T) {
	rows := wideRows(9_500)
	rows[9_100].Plain = "\xff"
	raw := writeParquet(t, rows, parquet.MaxRowsPerRowGroup(9_000))
	_, err := table.Read(context.Background(), []table.Source{parquetSource("k.parquet", raw)}, table.Options{Want: []string{"plain"}})
	if want := `k.parquet, row group 2, row 101, column "plain": the text is not UTF-8 (hint: write the column as UTF-8 text)`; err == nil || err.Error() != want {
		t.Errorf("error is %v, want %s", err, want)
	}
}

func TestParquetRefuses(t *testing.T) {
	type nested struct {
		ID   string         `parquet:"id"`
		List []int64        `parquet:"list,list"`
		Map  map[string]int `parquet:"map"`
		Some struct {
			X int64 `parquet:"x"`
		} `parquet:"some"`
		At int64 `parquet:"at,time(microsecond)"`
	}
	good := writeParquet(t, wideRows(100))
	odd := writeParquet(t, []nested{{ID: "a"}})
	tests := map[string]struct {
		raw  []byte
		want []string
		says string
	}{
		"empty":      {nil, nil, "k: the file is empty"},
		"CSV":        {[]byte("a,b\n1,2\n3,4\n5,6\n"), nil, "k: the file is not Parquet, and the pipeline reads Parquet"},
		"cut short":  {good[:len(good)-10], nil, "k: the file ends early"},
		"only ends":  {[]byte("PAR1PAR1PAR1"), nil, "k: the file is damaged"},
		"a list":     {odd, []string{"list"}, `k, column "list": the column is nested (a list, a map or a group), which is not supported`},
		"a map":      {odd, []string{"map"}, `k, column "map": the column is nested`},
		"a group":    {odd, []string{"some"}, `k, column "some": the column is nested`},
		"a time":     {odd, []string{"at"}, `k, column "at": the column is of type TIME`},
		"not there":  {good, []string{"i9"}, `k, column "i9": the column is missing; the file has i8, i64`},
		"LZ4":        {writeParquet(t, wideRows(100), parquet.Compression(&parquet.Lz4Raw)), []string{"i8"}, `k, row group 1, row 1, column "old": the column is compressed by LZ4_RAW, which is not supported (hint: compress it by snappy, zstd or gzip, or not at all)`},
		"footer":     {append(bytes.Clone(good[:len(good)-8]), "\xff\xff\xff\x7fPAR1"...), nil, "k: the file is damaged: its footer of 2147483647 bytes is longer than the file"},
		"encrypted":  {append([]byte("PARE"), good...), nil, "k: the file's footer is encrypted"},
		"whole file": {append(append([]byte("PAR1"), bytes.Repeat([]byte{0xff}, 100)...), "\x60\x00\x00\x00PAR1"...), nil, "k: the file is damaged"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := table.Read(context.Background(), []table.Source{parquetSource("k", tt.raw)}, table.Options{Want: tt.want, KeepAll: true})
			var problems table.Problems
			if !errors.As(err, &problems) || !strings.HasPrefix(err.Error(), tt.says) {
				t.Errorf("error is %v, want %s", err, tt.says)
			}
		})
	}
	tab, err := table.Read(context.Background(), []table.Source{parquetSource("k", odd)}, table.Options{Want: []string{"id"}, KeepAll: true})
	if err != nil || rows(tab) != "a\n" {
		t.Errorf("columns that nobody wants disturb: %v", err)
	}
}

// Files that disagree about a column's type are no table; whole numbers and
// others are.
func TestParquetSchemasOfSeveralFiles(t *testing.T) {
	type a struct{ X int64 }
	type b struct{ X float64 }
	type c struct{ X string }
	one, two, three := parquetSource("1", writeParquet(t, []a{{1}})), parquetSource("2", writeParquet(t, []b{{2.5}})), parquetSource("3", writeParquet(t, []c{{"x"}}))
	plan, err := table.MakePlan([]table.Source{one, two}, table.Options{KeepAll: true})
	if err != nil || plan.Types[0] != features.Number {
		t.Errorf("plan is %+v, %v", plan, err)
	}
	if _, err := table.MakePlan([]table.Source{one, three}, table.Options{KeepAll: true}); err == nil || !strings.HasPrefix(err.Error(), `3, column "X": the column is text, and it is integer in 1`) {
		t.Errorf("error is %v", err)
	}
}

// TestColumnsOfNull: what pyarrow and polars write for a column of which they have seen no
// value has no value, and is no disagreement with files that have some.
func TestColumnsOfNull(t *testing.T) {
	type some struct {
		ID      string `parquet:"id"`
		Nothing string `parquet:"nothing"`
		X       *float64
	}
	for _, name := range []string{"null-pyarrow", "null-polars"} {
		raw, err := os.ReadFile(filepath.Join("testdata", name+".parquet"))
		if err != nil {
			t.Fatal(err)
		}
		tab, err := table.Read(context.Background(), []table.Source{parquetSource("k", raw)}, table.Options{KeepAll: true})
		if err != nil {
			t.Fatal(err)
		}
		typed, err := tab.Types(context.Background(), nil)
		if err != nil || tab.Rows() != 300 || tab.Column("id").Cell(298) != "b" {
			t.Fatalf("%d rows, %v", tab.Rows(), err)
		}
		for row := range 300 {
			if !typed["nothing"].Missing(row) {
				t.Fatalf("row %d is %q", row, tab.Column("nothing").Cell(row))
			}
		}
		other := parquetSource("l", writeParquet(t, []some{{ID: "c", Nothing: "word"}}))
		for _, order := range [][]table.Source{{parquetSource("k", raw), other}, {other, parquetSource("k", raw)}} {
			plan, err := table.MakePlan(order, table.Options{Want: []string{"id", "nothing"}})
			if err != nil || plan.Types[1] != features.Text {
				t.Errorf("%s: plan is %+v, %v", name, plan, err)
			}
		}
		plan, err := table.MakePlan([]table.Source{parquetSource("k", raw)}, table.Options{Want: []string{"nothing"}})
		if err != nil || plan.Types[0] != features.Number {
			t.Errorf("%s: plan is %+v, %v", name, plan, err)
		}
	}
}

// TestBombs: a few bytes that unpack to more than there should be memory for.
func TestBombs(t *testing.T) {
	type one struct {
		X string `parquet:"x"`
	}
	rows := make([]one, 64)
	for i := range rows {
		rows[i].X = strings.Repeat("a", 1<<16)
	}
	for name, codec := range map[string]compress.Codec{"zstd": &parquet.Zstd, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "plain": &parquet.Uncompressed} {
		raw := writeParquet(t, rows, parquet.Compression(codec), parquet.PageBufferSize(16<<20))
		src := parquetSource("k", raw)
		if _, err := table.Read(context.Background(), []table.Source{src}, table.Options{KeepAll: true}); err != nil {
			t.Errorf("%s: a large page is refused: %v", name, err)
		}
		back := table.LimitPages(1 << 20)
		_, err := table.Read(context.Background(), []table.Source{src}, table.Options{KeepAll: true})
		back()
		if err == nil || !strings.HasPrefix(err.Error(), `k, row group 1, row 1, column "x": the file is damaged: a page of 4`) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err := z.Write(bytes.Repeat([]byte{0}, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]table.Source{
		"zstd": source("k", b.String()), "gzip": source("k", zip(t, strings.Repeat("x", 64<<20))), "zstd, cut": source("k", b.String()[:b.Len()/2]),
	} {
		_, err := table.Read(context.Background(), []table.Source{src}, table.Options{KeepAll: true})
		var problems table.Problems
		if !errors.As(err, &problems) || !strings.Contains(err.Error(), "the row is longer than") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// Every way to break a file ends in a problem or in rows, never in a panic.
func FuzzParquet(f *testing.F) {
	f.Add(writeParquet(f, wideRows(50)))
	f.Add(writeParquet(f, wideRows(300), parquet.MaxRowsPerRowGroup(100), parquet.Compression(&parquet.Zstd)))
	f.Add(writeParquet(f, wideRows(40), parquet.Compression(&parquet.Gzip)))
	f.Add(writeParquet(f, wideRows(40), parquet.Compression(&parquet.Snappy), parquet.DataPageVersion(1)))
	for _, name := range []string{"deltas-v2", "fallback-gzip", "empty-groups", "polars-snappy", "v2-zstd"} {
		raw, err := os.ReadFile("testdata/parquet/" + name + ".parquet")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) { readBroken(t, raw) })
}

func readBroken(t *testing.T, raw []byte) {
	t.Helper()
	tab, err := table.Read(context.Background(), []table.Source{parquetSource("k", raw)}, table.Options{KeepAll: true})
	var problems table.Problems
	if err != nil && (!errors.As(err, &problems) || len(problems) == 0) {
		t.Fatalf("error of another kind: %v", err)
	}
	if err == nil {
		if _, err := tab.Types(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBrokenParquet damages a byte of a file in turn: each with MILLRACE_ALL set.
func TestBrokenParquet(t *testing.T) {
	step := 7 // MILLRACE_ALL: every byte
	if os.Getenv("MILLRACE_ALL") != "" {
		step = 1
	}
	for _, raw := range [][]byte{writeParquet(t, wideRows(12)), writeParquet(t, wideRows(12), parquet.Compression(&parquet.Zstd), parquet.DataPageVersion(1))} {
		for i := 0; i < len(raw); i += step {
			for _, x := range []byte{0xff, 0x01, 0x80} {
				broken := bytes.Clone(raw)
				broken[i] ^= x
				readBroken(t, broken)
			}
		}
	}
}

func zstdText(t testing.TB, text string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(z.EncodeAll([]byte(text), nil))
}
