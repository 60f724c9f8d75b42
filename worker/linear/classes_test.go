package linear_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/linear"
	"github.com/millrace-ml/millrace/worker/metrics"
)

// bands are rows of one number, whose class is told by its third of the range.
func bands(rows int) (gbdt.Matrix, []float32) {
	x, y := gbdt.Matrix{Rows: rows, Cols: 1, Names: []string{"a"}, Data: make([]float32, rows)}, make([]float32, rows)
	for r := range rows {
		x.Data[r] = float32(r*7919%rows) / float32(rows)
		y[r] = float32(int(3 * x.Data[r]))
	}
	return x, y
}

func TestClasses(t *testing.T) {
	x, y := bands(600)
	for name, classes := range map[string]int{"all seen": 3, "one never seen": 4} {
		t.Run(name, func(t *testing.T) {
			m, err := linear.TrainClasses(ctx, x, y, classes, nil, linear.DefaultParams())
			if err != nil {
				t.Fatal(err)
			}
			out := make([]float32, classes*x.Rows)
			m.Predict(x, out)
			right := 0
			for r := range x.Rows {
				row, sum := out[r*classes:(r+1)*classes], 0.0
				for _, p := range row {
					sum += float64(p)
				}
				if math.Abs(sum-1) > 1e-5 {
					t.Fatalf("row %d: %v add up to %v", r, row, sum)
				}
				if metrics.Likeliest(row) == int(y[r]) {
					right++
				}
				if classes == 4 && !(row[3] > 0 && row[3] < 1e-3) {
					t.Fatalf("row %d: a class never seen has %v", r, row[3])
				}
			}
			if right < 540 {
				t.Errorf("%d of 600 rows are told right", right)
			}
			var first, second bytes.Buffer
			if err := m.WriteJSON(&first); err != nil {
				t.Fatal(err)
			}
			back, err := linear.ReadJSON(bytes.NewReader(first.Bytes()))
			if err != nil {
				t.Fatal(err)
			}
			again := make([]float32, len(out))
			if back.Predict(x, again); back.WriteJSON(&second) != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Error("what was read is written otherwise")
			}
			for i := range out {
				if out[i] != again[i] {
					t.Fatalf("number %d is %v after reading, was %v", i, again[i], out[i])
				}
			}
		})
	}
}

func TestClassesRefuse(t *testing.T) {
	x, y := bands(30)
	for name, c := range map[string]struct {
		y       []float32
		classes int
		want    string
	}{
		"two classes":        {y, 2, "2 classes, want at least 3"},
		"a class too many":   {y, 3, ""},
		"beyond the classes": {append([]float32{3}, y[1:]...), 3, "label of row 0 is 3, must be a class from 0 to 2"},
		"between classes":    {append([]float32{0.5}, y[1:]...), 3, "label of row 0 is 0.5"},
		"only one":           {make([]float32, 30), 3, "all labels are the same"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := linear.TrainClasses(ctx, x, c.y, c.classes, nil, linear.DefaultParams())
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	const one = `{"format":"millrace-linear-2","objective":"binary:logistic","intercept":1,"features":[{"name":"a","weight":1,"missing":0,"scale":1}]}`
	const good = `{"format":"millrace-linear-classes-1","classes":[` + one + `,` + one + `,` + one + `]}`
	for name, c := range map[string]struct{ text, want string }{
		"good":            {good, ""},
		"two":             {strings.Replace(good, one+`,`, "", 1), "2 classes"},
		"another kind":    {strings.Replace(good, "binary:logistic", "reg:squarederror", 1), "class 0: objective is reg:squarederror"},
		"more features":   {strings.Replace(good, `[{"name":"a"`, `[{"name":"b"},{"name":"a"`, 1), "class 1 has 1 features, class 0 has 2"},
		"unknown members": {strings.Replace(good, `"weight"`, `"wait"`, 1), "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := linear.ReadJSON(strings.NewReader(c.text))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	m, err := linear.ReadJSON(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	out := []float32{0}
	if m.Predict(x, out); out[0] == out[0] {
		t.Errorf("too small an output holds %v", out[0])
	}
}
