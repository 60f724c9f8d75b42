// Package matrix is the form in which prepared rows travel from job to job: CSV
// without a header, the label first, then the row's weight if rows are weighed, then
// one number per feature, nothing where one is missing. It is what AWS's XGBoost
// container reads, too (with csv_weights=1 where rows are weighed).
package matrix

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"unsafe"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

// AppendRow appends a row in the file's form; head is the label and, if rows are weighed,
// the weight.
func AppendRow(b []byte, head, row []float32) []byte {
	b = appendNumber(b, head[0])
	for _, v := range head[1:] {
		b = appendNumber(append(b, ','), v)
	}
	for _, v := range row {
		b = appendNumber(append(b, ','), v)
	}
	return append(b, '\n')
}

func appendNumber(b []byte, v float32) []byte {
	switch {
	case v != v:
		return b
	case v == 0:
		return append(b, '0')
	case v == 1:
		return append(b, '1')
	case v > -1e6 && v < 1e6 && v == float32(int32(v)):
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, float64(v), 'g', -1, 32)
}

// ReadDir reads all files of a folder, in the order of their names. names are the
// features' names and decide how many columns a row has; weighed says that rows have
// weights.
func ReadDir(ctx context.Context, dir string, names []string, weighed bool) (*gbdt.Rows, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read channel: %w", err)
	}
	var files []string
	for _, e := range entries {
		if !e.IsDir() && e.Name()[0] != '.' {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(files)
	if len(files) == 0 {
		return nil, fmt.Errorf("read channel %s: there is no file", dir)
	}
	return readFiles(ctx, files, names, weighed)
}

func readFiles(ctx context.Context, files, names []string, weighed bool) (*gbdt.Rows, error) {
	texts, rows := make([][]byte, len(files)), 0
	for i, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read rows: %w", err)
		}
		if n := len(raw); n > 0 && raw[n-1] != '\n' {
			raw = append(raw, '\n')
		}
		texts[i] = raw
		rows += bytes.Count(raw, []byte{'\n'})
	}
	out := &gbdt.Rows{
		Label: make([]float32, rows),
		X:     gbdt.Matrix{Rows: rows, Cols: len(names), Data: make([]float32, rows*len(names)), Names: names},
	}
	if weighed {
		out.Weight = make([]float32, rows)
	}
	row := 0
	for i, text := range texts {
		for line := 1; len(text) > 0; line++ {
			if line&0xfff == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			end := bytes.IndexByte(text, '\n')
			if err := parse(out, row, text[:end]); err != nil {
				return nil, fmt.Errorf("read rows: %s line %d: %w", filepath.Base(files[i]), line, err)
			}
			row++
			text = text[end+1:]
		}
	}
	return out, nil
}

func parse(out *gbdt.Rows, row int, line []byte) error {
	before := 1 // values before the features
	if out.Weight != nil {
		before = 2
	}
	for at := 0; ; at++ {
		if at >= before+out.X.Cols {
			return fmt.Errorf("more than %d values", before+out.X.Cols)
		}
		cell, rest, more := bytes.Cut(line, []byte{','})
		v, err := number(cell)
		if err != nil {
			return fmt.Errorf("value %d: %w", at+1, err)
		}
		switch {
		case at >= before:
			out.X.Data[(at-before)*out.X.Rows+row] = v
		case v != v:
			return fmt.Errorf("the %s is missing", [2]string{"label", "weight"}[at])
		case at == 0:
			out.Label[row] = v
		default:
			out.Weight[row] = v
		}
		if !more {
			if at+1 < before+out.X.Cols {
				return fmt.Errorf("%d values, want %d", at+1, before+out.X.Cols)
			}
			return nil
		}
		line = rest
	}
}

var pow10 = [...]float32{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}

// number reads a float32. Numbers of up to seven digits need one division of
// two exact numbers, which rounds as it should; the rest is strconv's.
func number(cell []byte) (float32, error) {
	if len(cell) == 0 {
		return float32(math.NaN()), nil
	}
	mantissa, fraction, dot, i := uint32(0), 0, false, 0
	negative := cell[0] == '-'
	if negative {
		i = 1
	}
	simple := len(cell)-i > 0 && len(cell)-i <= 8
	for ; simple && i < len(cell); i++ {
		switch c := cell[i]; {
		case c >= '0' && c <= '9':
			mantissa = mantissa*10 + uint32(c-'0')
			if dot {
				fraction++
			}
		case c == '.' && !dot && len(cell) > 1+i:
			dot = true
		default:
			simple = false
		}
	}
	if simple && mantissa < 1<<24 {
		v := float32(mantissa) / pow10[fraction]
		if negative {
			v = -v
		}
		return v, nil
	}
	v, err := strconv.ParseFloat(unsafe.String(&cell[0], len(cell)), 32)
	if err != nil || math.IsInf(v, 0) || v != v {
		return 0, fmt.Errorf("%q is not a number", cell)
	}
	return float32(v), nil
}
