package table_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
)

// TestParquetVariants reads what pyarrow and polars wrote (testdata/variants.py)
// as the library's own reader does: every cell's text, and the number that it
// reads as; in batches that end within pages, and in ones that span them.
func TestParquetVariants(t *testing.T) {
	files, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, rows := range []int{8 << 10, 333, 64} {
		back := table.BatchRows(rows)
		for _, file := range files {
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(file), rows), func(t *testing.T) {
				raw, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				known := map[string]func(int) string{"yes": yes}
				if strings.Contains(file, "empty-groups") { // other rows
					known = nil
				}
				sameAsLibrary(t, raw, known)
			})
		}
		back()
	}
}

// TestParquetEncodings does so with what the library itself writes.
func TestParquetEncodings(t *testing.T) {
	defer table.BatchRows(500)()
	type encoded struct {
		A int64   `parquet:"a,delta"`
		B *int32  `parquet:"b,optional"`
		C string  `parquet:"c,delta"`
		D *string `parquet:"d,optional,dict"`
		E float64 `parquet:"e,split"`
		G int64   `parquet:"g,dict"`
		H *bool   `parquet:"h,optional"`
	}
	rows := make([]encoded, 3000)
	for i := range rows {
		rows[i] = encoded{A: int64(i*i) - 1e15, C: fmt.Sprintf("%05d-%d", i/3, i), E: float64(i) / 8, G: int64(i % 70)}
		if i%3 > 0 {
			rows[i].B, rows[i].D, rows[i].H = new(int32(i*-77)), new(strings.Repeat("d", i%40)), new(i%5 == 0)
		}
	}
	for name, codec := range map[string]parquet.WriterOption{"snappy": parquet.Compression(&parquet.Snappy), "zstd": parquet.Compression(&parquet.Zstd), "gzip": parquet.Compression(&parquet.Gzip), "none": parquet.Compression(&parquet.Uncompressed)} {
		for version := 1; version <= 2; version++ {
			t.Run(fmt.Sprintf("%s/%d", name, version), func(t *testing.T) {
				sameAsLibrary(t, writeParquet(t, rows, codec, parquet.DataPageVersion(version), parquet.PageBufferSize(3000), parquet.MaxRowsPerRowGroup(1700)), nil)
			})
		}
	}
}

// yes is the cell of the column yes of testdata/variants.py. The library reads a
// long run of one boolean as false.
func yes(i int) string {
	if i%8 == 0 && (i <= 500 || i >= 800) || i > 1000 && i < 1030 {
		return ""
	}
	return strconv.FormatBool(i%3 == 0 || i > 1300)
}

// TestPrefixBombs: texts that begin as those before them may be few bytes, and
// very many when they are written out.
func TestPrefixBombs(t *testing.T) {
	type one struct {
		X string `parquet:"x,delta"`
	}
	rows := make([]one, 5000)
	for i := range rows {
		rows[i].X = strings.Repeat("a", 1000)
	}
	raw := writeParquet(t, rows, parquet.PageBufferSize(16<<20))
	src := parquetSource("k", raw)
	tab, err := table.Read(context.Background(), []table.Source{src}, table.Options{KeepAll: true})
	if err != nil || tab.Rows() != 5000 || tab.Column("x").Cell(4999) != rows[0].X {
		t.Fatal(err)
	}
	defer table.LimitPages(1 << 20)()
	_, err = table.Read(context.Background(), []table.Source{src}, table.Options{KeepAll: true})
	if want := `k, row group 1, row 1, column "x": the file is damaged: a page unpacks to more than 1048576 bytes`; len(raw) > 1<<20 || err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%d bytes: error is %v", len(raw), err)
	}
}

// sameAsLibrary compares all cells with those of the library's reader, except for
// columns whose cells are known.
func sameAsLibrary(t *testing.T, raw []byte, known map[string]func(row int) string) {
	t.Helper()
	src := parquetSource("k", raw)
	f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := table.Look(src)
	if err != nil || len(l.Names) != len(f.Root().Columns()) {
		t.Fatalf("columns are %v: %v", l, err)
	}
	var want []table.Want
	var cells [][]string
	for i, name := range l.Names {
		want = append(want, table.Want{Name: name, Type: l.Types[i]})
		cells = append(cells, libraryCells(t, f, f.Root().Column(name)))
	}
	at := 0
	rows, err := table.Scan(context.Background(), src, want, func(b *table.Batch) ([][]string, error) {
		all := make([][]string, len(b.Columns))
		for i := range b.Columns {
			c := &b.Columns[i]
			text, ends := c.AppendAll(nil, nil, b.Rows)
			from := uint32(0)
			for row := range b.Rows {
				cell := string(text[from:ends[row]])
				from = ends[row]
				if cell != c.Cell(row) || cell != string(c.Append(nil, row)) || (cell == "") != c.Empty(row) {
					return nil, fmt.Errorf("column %s, row %d is %q and %q", c.Name, row, cell, c.Cell(row))
				}
				v, wrong := features.ParseValue(c.Type, cell)
				if got := c.Value(row); wrong != nil || got.IsMissing() != v.IsMissing() || !v.IsMissing() && got != v {
					return nil, fmt.Errorf("column %s, row %d is %v, and its text %q reads as %v (%v)", c.Name, row, got, cell, v, wrong)
				}
				all[i] = append(all[i], cell)
			}
			if len(c.Wrong) > 0 {
				return nil, fmt.Errorf("column %s: rows %v are wrong", c.Name, c.Wrong)
			}
		}
		return all, nil
	}, func(b *table.Batch, all [][]string) error {
		for i := range all {
			for row, cell := range all[i] {
				right := cells[i][at+row]
				if f := known[want[i].Name]; f != nil {
					right = f(at + row)
				}
				if cell != right {
					return fmt.Errorf("column %s, row %d is %q, want %q", want[i].Name, at+row, cell, right)
				}
			}
		}
		at += b.Rows
		return nil
	})
	if err != nil || int64(rows) != f.NumRows() {
		t.Fatalf("%d rows of %d: %v", rows, f.NumRows(), err)
	}
}

// libraryCells are a column's cells as the library reads them, as text.
func libraryCells(t *testing.T, f *parquet.File, c *parquet.Column) (out []string) {
	t.Helper()
	for _, group := range f.RowGroups() {
		pages := group.ColumnChunks()[c.Index()].Pages()
		for {
			page, err := pages.ReadPage()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("column %s: %v", c.Name(), err)
			}
			values := make([]parquet.Value, page.NumValues())
			if n, err := page.Values().ReadValues(values); n < len(values) {
				t.Fatalf("column %s: %v", c.Name(), err)
			}
			for _, v := range values {
				out = append(out, libraryCell(c, v))
			}
			parquet.Release(page)
		}
		pages.Close()
	}
	return out
}

func libraryCell(c *parquet.Column, v parquet.Value) string {
	var logical format.LogicalTypeValue
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	if v.IsNull() {
		return ""
	}
	switch l := logical.(type) {
	case *format.DateType:
		return time.Unix(int64(v.Int32())*86400, 0).UTC().Format(time.DateOnly)
	case *format.TimestampType:
		return time.Unix(0, 0).Add(time.Duration(v.Int64()) * l.Unit.Value.Duration()).UTC().Format(time.RFC3339Nano)
	case *format.DecimalType:
		return new(big.Rat).SetFrac(whole(v), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(l.Scale)), nil)).FloatString(int(l.Scale))
	case *format.IntType:
		if !l.IsSigned {
			return strconv.FormatUint(uint64(v.Uint32()), 10)
		}
	}
	switch v.Kind() {
	case parquet.Int96:
		at := v.Int96()
		days, nanos := int64(at[2])-2440588, int64(uint64(at[1])<<32|uint64(at[0]))
		return time.Unix(days*86400, nanos).UTC().Format(time.RFC3339Nano)
	case parquet.Float:
		return strconv.FormatFloat(float64(v.Float()), 'g', -1, 64)
	case parquet.Double:
		return strconv.FormatFloat(v.Double(), 'g', -1, 64)
	case parquet.ByteArray:
		return string(v.ByteArray())
	}
	return v.String()
}

// whole is the number that a decimal has without its point.
func whole(v parquet.Value) *big.Int {
	switch v.Kind() {
	case parquet.Int32:
		return big.NewInt(int64(v.Int32()))
	case parquet.Int64:
		return big.NewInt(v.Int64())
	}
	var high [8]byte
	raw := v.ByteArray()
	if raw[0]&0x80 != 0 {
		high = [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	copy(high[8-len(raw):], raw)
	return big.NewInt(int64(binary.BigEndian.Uint64(high[:])))
}
