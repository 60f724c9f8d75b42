package table_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
)

func source(key, text string) table.Source {
	return table.Source{Key: key, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
}

func zip(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// rows joins a table's cells with | and ends rows with a line feed.
func rows(tab *table.Table) string {
	var b strings.Builder
	for r := range tab.Rows() {
		for i, name := range tab.Columns() {
			if i > 0 {
				b.WriteByte('|')
			}
			b.WriteString(tab.Column(name).Cell(r))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestReadForms(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"plain":                 {"a,b\n1,x\n2,y\n", "1|x\n2|y\n"},
		"no end of line":        {"a,b\n1,x\n2,y", "1|x\n2|y\n"},
		"CRLF":                  {"a,b\r\n1,x\r\n2,y\r\n", "1|x\n2|y\n"},
		"BOM":                   {"\xEF\xBB\xBFa,b\n1,x\n", "1|x\n"},
		"blank lines":           {"a,b\n\n1,x\n\n\n2,y\n\n", "1|x\n2|y\n"},
		"other order":           {"b,a\nx,1\n", "1|x\n"},
		"spaces in header":      {" b , a\nx,1\n", "1|x\n"},
		"quotes":                {"a,b\n\"1\",\"x, \"\"y\"\"\"\n", "1|x, \"y\"\n"},
		"quoted line feed":      {"a,b\n1,\"x\ny\"\n2,z\n", "1|x\ny\n2|z\n"},
		"quoted empty":          {"a,b\n\"\",\"\"\n", "|\n"},
		"quoted comma and more": {"a,b\n\"1,5\",\n", "1,5|\n"},
		"empty cells":           {"a,b\n,\n1,\n", "|\n1|\n"},
		"unicode":               {"a,b\nÅ,日本\n", "Å|日本\n"},
	}
	for name, tt := range tests {
		for form, in := range map[string]string{"text": tt.in, "gzip": zip(t, tt.in), "zstd": zstdText(t, tt.in), "pzstd": "\x50\x2a\x4d\x18\x04\x00\x00\x00size" + zstdText(t, tt.in)} {
			t.Run(name+" "+form, func(t *testing.T) {
				tab, err := table.Read(context.Background(), []table.Source{source("k", in)}, table.Options{Want: []string{"a", "b"}})
				if err != nil {
					t.Fatal(err)
				}
				if got := rows(tab); got != tt.want {
					t.Errorf("rows are\n%q\nwant\n%q", got, tt.want)
				}
			})
		}
	}
}

func TestReadRefuses(t *testing.T) {
	long := strings.Repeat("x", table.MaxLine+10)
	tests := map[string]struct {
		in   string
		want string // the error begins with
	}{
		"empty":              {"", "k: the file is empty"},
		"blank":              {"\n\n", "k: the file is empty"},
		"empty gzip":         {zip(t, ""), "k: the file is empty"},
		"truncated gzip":     {zip(t, "a,b\n"+manyRows(5000))[:5000], "k, line "},
		"gzip header alone":  {zip(t, "a,b\n1,2\n")[:4], "k: the gzip stream is damaged at its beginning: it ends early"},
		"gzip checksum":      {breakTail(zip(t, "a,b\n1,2\n")), "k, line 3: the gzip stream is damaged"},
		"empty zstd":         {zstdText(t, ""), "k: the file is empty"},
		"truncated zstd":     {zstdText(t, "a,b\n"+manyRows(5000))[:5000], "k: the zstd stream is damaged at its beginning: it ends early"},
		"zstd that is cut":   {zstdText(t, "a,b\n"+manyRows(500_000))[:2_000_000], "k, line "},
		"zstd window":        {"\x28\xb5\x2f\xfd\x00\xf8\x01\x00\x00", "k: the zstd stream is damaged at its beginning: window size"},
		"Parquet":            {"PAR1....PAR1", "k: the file is Parquet, and the pipeline reads CSV"},
		"workbook":           {"PK\x03\x04....", "k: the file is a ZIP archive"},
		"bzip2":              {"BZh91AY&SY", "k: the file is compressed by bzip2 or xz"},
		"xz":                 {"\xfd7zXZ\x00", "k: the file is compressed by bzip2 or xz"},
		"carriage returns":   {"a,b\r1,2\r3,4\r", "k, line 1: the lines end with carriage returns alone (hint: save the file with line feeds)"},
		"UTF-16":             {"\xFF\xFEa\x00", "k: the file is UTF-16"},
		"not UTF-8":          {"a,b\n1,x\n2,\xff\xfe\n", "k, line 3: the text is not UTF-8"},
		"not UTF-8 quoted":   {"a,b\n1,\"\xff\"\n", "k, line 2: the text is not UTF-8"},
		"too few values":     {"a,b\n1,x\n2\n", "k, line 3: the row has 1 values, the header has 2"},
		"too many values":    {"a,b\n1,x,\n", "k, line 2: the row has 3 values, the header has 2"},
		"missing column":     {"a,c\n1,x\n", `k, line 1, column "b": the column is missing; the file has a, c`},
		"slip":               {"a,B\n1,x\n", `k, line 1, column "b": the column is missing; the file has a, B (hint: is "B" meant?)`},
		"semicolons":         {"a;b\n1;2\n", `k, line 1, column "a": the column is missing; the file has a;b (hint: separate the columns with commas)`},
		"duplicate column":   {"a,b,a\n1,x,2\n", `k, line 1, column "a": the header names this column twice, at 1 and 3`},
		"unnamed column":     {",a,b\n0,1,x\n", "k, line 1: column 1 of the header has no name"},
		"open quote":         {"a,b\n1,\"x\n2,y\n", "k, line 2: a quote is opened and never closed"},
		"text after quote":   {"a,b\n\"1\"x,2\n", "k, line 2: text follows a closing quote"},
		"quote within value": {"a,b\nx\"y,2\n", "k, line 2: a quote stands within a value that is not quoted"},
		"long row":           {"a,b\n" + long + ",1\n", "k, line 2: the row is longer than"},
		"long quoted row":    {"a,b\n\"" + strings.Repeat("x\n", table.MaxLine) + "\",1\n", "k, line 2: the row is longer than"},
		"many columns":       {strings.Repeat("a,", table.MaxColumns) + "b\n", "k, line 1: the header has 4097 columns"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := table.Read(context.Background(), []table.Source{source("k", tt.in)}, table.Options{Want: []string{"a", "b"}})
			var problems table.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error is %v, want problems", err)
			}
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error is\n%s\nwant it to begin\n%s", err, tt.want)
			}
		})
	}
}

func manyRows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,%d\n", i*7919%104729, i*i%99991)
	}
	return b.String()
}

func breakTail(s string) string {
	b := []byte(s)
	b[len(b)-8] ^= 0xff
	return string(b)
}

func TestTruncatedGzipSaysSo(t *testing.T) {
	whole := zip(t, "a,b\n"+manyRows(5000))
	_, err := table.Read(context.Background(), []table.Source{source("k", whole[:len(whole)/2])}, table.Options{})
	if err == nil || !strings.Contains(err.Error(), "the gzip stream ends early") {
		t.Errorf("error is %v", err)
	}
}

func TestReadManyFiles(t *testing.T) {
	a := source("a.csv", "id,x,only\n1,5,p\n2,6,q\n")
	b := source("b.csv", "x,extra,id\n7,e,3\n")
	for name, sources := range map[string][]table.Source{"in order": {a, b}, "reversed": {b, a}} {
		t.Run(name, func(t *testing.T) {
			tab, err := table.Read(context.Background(), sources, table.Options{Want: []string{"id", "x"}, KeepAll: true})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := rows(tab), "1|5\n2|6\n3|7\n"; got != want {
				t.Errorf("rows are %q, want %q", got, want)
			}
			if key, line := tab.Where(2); key != "b.csv" || line != 2 {
				t.Errorf("row 2 is at %s:%d", key, line)
			}
			var warned []string
			for _, w := range tab.Warnings {
				warned = append(warned, w.Error())
			}
			want := []string{
				`b.csv, column "extra": the pipeline does not use this column, and only 1 of 2 files have it`,
				`a.csv, column "only": the pipeline does not use this column, and only 1 of 2 files have it`,
			}
			if !slices.Equal(warned, want) {
				t.Errorf("warnings are %q, want %q", warned, want)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	_, err := table.Read(context.Background(), []table.Source{
		source("a.csv", "id\n"+strings.Repeat("1,2\n", 50)), source("b.csv", "id\n1\n2,3\n"),
	}, table.Options{Want: []string{"id"}})
	var problems table.Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	if len(problems) != table.MaxProblems+2 {
		t.Errorf("%d problems, want %d", len(problems), table.MaxProblems+2)
	}
	if last := problems[len(problems)-1]; last.Key != "b.csv" || last.Line != 3 {
		t.Errorf("last problem is %v", last)
	}
	if want := "a.csv, line 2: the row has 2 values, the header has 1 (and 21 more)"; err.Error() != want {
		t.Errorf("error is %q, want %q", err, want)
	}
}

func TestWhereAfterBlankAndLongRows(t *testing.T) {
	tab, err := table.Read(context.Background(), []table.Source{source("k", "a\n\n1\n\"x\ny\"\n\n2\n3\n")}, table.Options{KeepAll: true})
	if err != nil {
		t.Fatal(err)
	}
	for row, want := range []int{3, 4, 7, 8} {
		if _, line := tab.Where(row); line != want {
			t.Errorf("row %d is at line %d, want %d", row, line, want)
		}
	}
}

func TestTypes(t *testing.T) {
	almost := "x\n" + strings.Repeat("1.5\n", 99) + "abc\n"
	tests := map[string]struct {
		in       string
		declared features.Type
		want     features.Type
		wrong    int
	}{
		"integer":          {in: "x\n1\n-2\n\n3\n", want: features.Integer},
		"number":           {in: "x\n1\n2.5\n", want: features.Number},
		"time":             {in: "x\n2001-01-01T00:00:00Z\n2001-01-02 10:00:00\n", want: features.Time},
		"boolean":          {in: "x\ntrue\nfalse\n", want: features.Boolean},
		"text":             {in: "x\nORD\nATL\n", want: features.Text},
		"text and numbers": {in: "x\nORD\n1\n2\n", want: features.Text},
		"without a value":  {in: "x,y\n,1\n,2\n", want: features.Number},
		"nearly a number":  {in: almost, want: features.Number, wrong: 1},
		"declared text":    {in: "x\n1\n", declared: features.Text, want: features.Text},
		"declared integer": {in: "x\n1\n2.5\nx\n", declared: features.Integer, want: features.Integer, wrong: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tab, err := table.Read(context.Background(), []table.Source{source("k", tt.in)}, table.Options{Want: []string{"x"}})
			if err != nil {
				t.Fatal(err)
			}
			declared := map[string]features.Type{}
			if tt.declared != features.Unknown {
				declared["x"] = tt.declared
			}
			typed, err := tab.Types(context.Background(), declared)
			if err != nil {
				t.Fatal(err)
			}
			x := typed["x"]
			if x.Type != tt.want || x.Wrong != tt.wrong {
				t.Errorf("type %v with %d wrong cells, want %v with %d", x.Type, x.Wrong, tt.want, tt.wrong)
			}
		})
	}
}

// TestLongFiles holds files of many blocks, with and without quotes that blocks
// could cut, against the standard library.
func TestLongFiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, odds := range map[string]int{"plain": 0, "some quotes": 100, "many quotes": 2} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			w := csv.NewWriter(&text)
			_ = w.Write([]string{"a", "b", "c"})
			for i := range 60_000 {
				row := []string{strconv.Itoa(i), strings.Repeat("x", rng.IntN(20)), "é"}
				if odds > 0 && rng.IntN(odds) == 0 {
					row[1] = strings.Repeat("\"\n,", rng.IntN(5)) + strings.Repeat("z", rng.IntN(2000/odds))
				}
				_ = w.Write(row)
			}
			w.Flush()
			if text.Len() < 1<<20 {
				t.Fatalf("the file has only %d bytes", text.Len())
			}
			want, err := csv.NewReader(bytes.NewReader(text.Bytes())).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			line := 2
			for _, src := range []table.Source{source("k", text.String()), source("k", zip(t, text.String())), source("k", strings.ReplaceAll(text.String(), "é\n", "é\r\n"))} {
				tab, err := table.Read(context.Background(), []table.Source{src}, table.Options{Want: []string{"c", "b", "a"}})
				if err != nil || tab.Rows() != len(want)-1 {
					t.Fatalf("%d rows, want %d: %v", tab.Rows(), len(want)-1, err)
				}
				line = 2
				for row := range tab.Rows() {
					w := want[row+1]
					if tab.Column("a").Cell(row) != w[0] || tab.Column("b").Cell(row) != w[1] || tab.Column("c").Cell(row) != w[2] {
						t.Fatalf("row %d differs", row)
					}
					if _, at := tab.Where(row); at != line {
						t.Fatalf("row %d is at line %d, want %d", row, at, line)
					}
					line += 1 + strings.Count(w[1], "\n")
				}
			}
		})
	}
}

// FuzzCells holds the fast reading of cells against that of requests.
func FuzzCells(f *testing.F) {
	for _, cell := range []string{"1", "-1", "+1", "1.5", "-0.0", ".5", "5.", ".", "-", "1e3", "123456789012345", "1234567890123456", "0.12345678901234", "nan", "inf", "0x1", "1_0", "2001-01-01", "2001-02-30", "true", " 1", "00012.50"} {
		f.Add(cell)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		if strings.ContainsAny(cell, "\",\n\r") || !utf8.ValidString(cell) {
			return
		}
		types := []features.Type{features.Number, features.Integer, features.Time, features.Boolean, features.Text}
		src := source("k", "a,b\n"+strings.Repeat(cell+",z\n", 3))
		for _, kind := range types {
			want, wrong := features.ParseValue(kind, cell)
			_, err := table.Scan(context.Background(), src, []table.Want{{Name: "a", Type: kind}}, func(*table.Batch) (int, error) { return 0, nil }, func(b *table.Batch, _ int) error {
				for row := range b.Rows {
					got := b.Columns[0].Value(row)
					if math.Float64bits(got.Number) != math.Float64bits(want.Number) && !(got.IsMissing() && want.IsMissing()) || got.Text != want.Text {
						t.Errorf("%q as %v is %v, want %v", cell, kind, got, want)
					}
				}
				if (wrong != nil) != (len(b.Columns[0].Wrong) == b.Rows) {
					t.Errorf("%q as %v: %d of %d wrong, and reading says %v", cell, kind, len(b.Columns[0].Wrong), b.Rows, wrong)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add("a,b\n1,2\n", "a,b\n\"x\ny\",\"\"\"\"\n")
	f.Add("\xEF\xBB\xBFa\r\n\"1\"\r\n", "a\n\n\n1")
	f.Add("\x1f\x8b\x08", "a,a\n")
	f.Add(zstdText(f, "a,b\n1,2\n"), "a,b\n\xff,1\n")
	f.Fuzz(func(t *testing.T, one, two string) {
		tab, err := table.Read(context.Background(), []table.Source{source("one", one), source("two", two)}, table.Options{KeepAll: true})
		var problems table.Problems
		if err != nil {
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		if _, err := tab.Types(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		line, key := 0, ""
		for r := range tab.Rows() {
			k, l := tab.Where(r)
			if k == key && l <= line {
				t.Fatalf("row %d of %s is at line %d, the row before at %d", r, k, l, line)
			}
			key, line = k, l
		}
		rows(tab)
	})
}

func BenchmarkRead(b *testing.B) {
	var text strings.Builder
	text.WriteString("f0,f1,f2,f3,f4,f5,f6,f7,f8,f9,f10,f11,i0,i1,i2,i3,c0,c1,c2,t\n")
	for r := range 100_000 {
		for c := range 12 {
			fmt.Fprintf(&text, "%.5f,", float64((r*7919+c*104729)%1000003)/997)
		}
		for c := range 4 {
			fmt.Fprintf(&text, "%d,", (r*31+c)%100000)
		}
		fmt.Fprintf(&text, "cat%d,ORD,x%d,2001-01-%02dT%02d:%02d:00Z\n", r%50, r%7, r%28+1, r%24, r%60)
	}
	src := []table.Source{source("k", text.String())}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		tab, err := table.Read(context.Background(), src, table.Options{KeepAll: true})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tab.Types(context.Background(), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
