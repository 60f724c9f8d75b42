package gbdt_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/millrace-ml/millrace/shared/hyperparameters"
	"github.com/millrace-ml/millrace/worker/gbdt"
)

// sample is generated data: a nonlinear signal on some columns, noise on others,
// missing values in column 1, few distinct values in column 2.
type sample struct {
	x     gbdt.Matrix
	label []float32
}

func generate(rows, cols int, seed uint64, objective string) sample {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := gbdt.Matrix{Rows: rows, Cols: cols, Data: make([]float32, rows*cols)}
	label := make([]float32, rows)
	for r := range rows {
		for c := range cols {
			v := float64(rng.Float64()*4) - 2
			if c == 2 {
				v = float64(rng.IntN(7))
			}
			x.Data[c*rows+r] = float32(v)
		}
		a, b, k := float64(x.Data[r]), float64(x.Data[rows+r]), x.Data[2*rows+r]
		score := float64(a*b) - a + float64(0.5*b*b*b)
		if k == 3 || k == 5 {
			score += 1.5
		}
		noise := rng.Float64() + rng.Float64() + rng.Float64() - 1.5
		if rng.IntN(10) == 0 {
			x.Data[rows+r] = float32(math.NaN())
			score -= 0.5
		}
		label[r] = float32(score + noise)
		if objective == gbdt.Logistic {
			label[r] = 0
			if score+float64(2*noise) > 0.5 {
				label[r] = 1
			}
		}
	}
	return sample{x, label}
}

func params(objective string, set func(*gbdt.Params)) gbdt.Params {
	p := hyperparameters.Default()
	p.Objective = objective
	p.Rounds = 30
	p.Threads = 1
	if set != nil {
		set(&p)
	}
	return p
}

func train(t testing.TB, p gbdt.Params, s sample) *gbdt.Model {
	t.Helper()
	m, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: s.x, Label: s.label}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// withOneHot keeps numeric columns of s and adds one-hot columns for made-up
// categories of the given sizes, skewed to the first ones.
func withOneHot(s sample, numeric int, sizes ...int) sample {
	rng := rand.New(rand.NewPCG(11, 1))
	rows := s.x.Rows
	out := sample{label: s.label, x: gbdt.Matrix{Rows: rows, Cols: numeric, Data: s.x.Data[: numeric*rows : numeric*rows]}}
	for _, size := range sizes {
		columns := make([]float32, size*rows)
		for r := range rows {
			columns[min(rng.IntN(size), rng.IntN(size))*rows+r] = 1
		}
		out.x.Data = append(out.x.Data, columns...)
		out.x.Cols += size
	}
	return out
}

// classes turns labels into n classes of about the same size, if n is not 0.
func classes(s sample, n int) sample {
	if n == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(s.label))
	label := make([]float32, len(s.label))
	for r, v := range s.label {
		for k := 1; k < n; k++ {
			if v >= sorted[k*len(sorted)/n] {
				label[r] = float32(k)
			}
		}
	}
	return sample{s.x, label}
}

// splitAt parts the rows in two.
func splitAt(s sample, row int) (first, rest sample) {
	first.x, rest.x = s.x, s.x
	first.x.Rows, rest.x.Rows = row, s.x.Rows-row
	first.x.Data, rest.x.Data = nil, nil
	for c := range s.x.Cols {
		column := s.x.Column(c)
		first.x.Data = append(first.x.Data, column[:row]...)
		rest.x.Data = append(rest.x.Data, column[row:]...)
	}
	first.label, rest.label = s.label[:row], s.label[row:]
	return first, rest
}
