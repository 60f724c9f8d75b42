package table_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
)

type coded struct {
	Number float64  `parquet:"number,dict"`
	Text   string   `parquet:"text,dict"`
	Some   *float64 `parquet:"some,dict"`
}

// withCode gives a row of a file's eight another code, in all columns, with the
// checksums that go with it.
func withCode(t *testing.T, raw []byte) []byte {
	t.Helper()
	checksum := func(page []byte) []byte {
		return binary.AppendVarint(nil, int64(int32(crc32.ChecksumIEEE(page))))
	}
	patched := 0
	for _, levels := range []string{"\x02\x00\x00\x00\x10\x01", ""} {
		was := []byte(levels + "\x02\x03\x24\x49") // codes of 2 bits: 0 1 2 0, 1 2 0 1
		for row := range 8 {
			is := bytes.Clone(was)
			is[len(is)-2+row/4] |= 3 << (row % 4 * 2)
			if len(checksum(was)) != len(checksum(is)) {
				continue
			}
			patched += bytes.Count(raw, was)
			raw = bytes.ReplaceAll(bytes.ReplaceAll(raw, was, is), checksum(was), checksum(is))
			break
		}
	}
	if patched != 3 {
		t.Fatalf("%d pages patched", patched)
	}
	return raw
}

// TestCodesBeyondTheDictionary: a code that stands for nothing is damage. It is
// not a missing value, and not what happened to be in memory.
func TestCodesBeyondTheDictionary(t *testing.T) {
	rows := make([]coded, 8)
	for i := range rows {
		rows[i] = coded{float64(i%3) + 0.5, string(rune('a' + i%3)), new(float64(i % 3))}
	}
	raw := withCode(t, writeParquet(t, rows, parquet.DataPageVersion(1), parquet.DataPageStatistics(false)))
	for name, want := range map[string]table.Want{
		"number": {Name: "number", Type: features.Number}, "number as text": {Name: "number", Type: features.Text},
		"text": {Name: "text", Type: features.Text}, "some": {Name: "some", Type: features.Number}, "some as text": {Name: "some", Type: features.Text},
	} {
		for _, size := range []int{8, 5} {
			back := table.BatchRows(size)
			_, err := table.Scan(context.Background(), parquetSource("k", raw), []table.Want{want}, func(b *table.Batch) (int, error) { return 0, nil }, func(*table.Batch, int) error { return nil })
			back()
			if err == nil || !strings.Contains(err.Error(), "a value is not in the dictionary") {
				t.Errorf("%s, %d rows a batch: %v", name, size, err)
			}
		}
	}
}
