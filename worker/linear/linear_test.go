package linear_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/linear"
)

var ctx = context.Background()

// generate makes y = 3 + 2a - 500b + noise, with a around 100, b around 0.01, c
// missing in a tenth of the rows (which adds 4 to y), d rarely 1 (which adds 5), and e constant.
func generate(rows int, seed uint64) (gbdt.Matrix, []float32) {
	rng := rand.New(rand.NewPCG(seed, 1))
	x := gbdt.Matrix{Rows: rows, Cols: 5, Data: make([]float32, 5*rows), Names: []string{"a", "b", "c", "d", "e"}}
	y := make([]float32, rows)
	for r := range rows {
		a, b, c, d := 100+rng.NormFloat64(), 0.01+0.001*rng.NormFloat64(), rng.NormFloat64(), 0.0
		v := 3 + 2*a - 500*b + 0.1*rng.NormFloat64()
		if rng.IntN(10) == 0 {
			c = math.NaN()
			v += 4
		}
		if rng.IntN(20) == 0 {
			d = 1
			v += 5
		}
		for i, value := range []float64{a, b, c, d, 7} {
			x.Data[i*rows+r] = float32(value)
		}
		y[r] = float32(v)
	}
	return x, y
}

// above makes classes of values.
func above(y []float32, limit, noise float64, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 2))
	out := make([]float32, len(y))
	for r, v := range y {
		if float64(v)+noise*rng.NormFloat64() > limit {
			out[r] = 1
		}
	}
	return out
}

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if !(math.Abs(got-want) <= by) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func TestTrainLinearFindsTheWeights(t *testing.T) {
	x, y := generate(20_000, 1)
	p := linear.DefaultParams()
	p.Bins = 0
	m, err := linear.TrainLinear(ctx, x, y, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "weight of a", m.Features[0].Weight, 2, 0.01)
	near(t, "weight of b", m.Features[1].Weight, -500, 3)
	near(t, "weight of c", m.Features[2].Weight, 0, 0.01)
	near(t, "missing c", m.Features[2].Missing, 4, 0.02)
	near(t, "missing a", m.Features[0].Missing, 200, 1)
	near(t, "weight of d", m.Features[3].Weight, 5, 0.02)
	near(t, "weight of e", m.Features[4].Weight, 0, 0)
	near(t, "intercept", m.Intercept, 3, 1)
	near(t, "a row", float64(m.PredictRow([]float32{101, 0.02, float32(math.NaN()), 1, 7})), 3+202-10+4+5, 0.1)
}

// At the optimum of a logistic model with an intercept the mean prediction is the
// mean label, and so is the mean over the rows of any column of zeros and ones.
func TestTrainLogisticIsCalibrated(t *testing.T) {
	x, raw := generate(20_000, 1)
	y := above(raw, 199, 2, 1)
	p := linear.DefaultParams()
	p.L2 = 1e-3
	m, err := linear.TrainLogistic(ctx, x, y, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]float32, x.Rows)
	m.Predict(x, out)
	var all, ones, allY, onesY, n, right float64
	for r := range out {
		all, allY = all+float64(out[r]), allY+float64(y[r])
		if x.Data[3*x.Rows+r] == 1 {
			ones, onesY, n = ones+float64(out[r]), onesY+float64(y[r]), n+1
		}
		if (out[r] > 0.5) == (y[r] == 1) {
			right++
		}
		if one := m.PredictRow([]float32{x.Data[r], x.Data[x.Rows+r], x.Data[2*x.Rows+r], x.Data[3*x.Rows+r], 7}); one != out[r] {
			t.Fatalf("row %d: %v alone, %v in a matrix", r, one, out[r])
		}
	}
	near(t, "mean prediction", all/float64(x.Rows), allY/float64(x.Rows), 1e-5)
	near(t, "mean prediction where d is 1", ones/n, onesY/n, 1e-4)
	if right/float64(x.Rows) < 0.75 {
		t.Errorf("only %v are right", right/float64(x.Rows))
	}
}

// A sum of curves, which no straight line follows, is found with bins; and steps are the
// weighted means of what is left in each bin.
func TestBinsFollowCurves(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 1))
	x := gbdt.Matrix{Rows: 20_000, Cols: 3, Data: make([]float32, 60_000), Names: []string{"a", "b", "c"}}
	y := make([]float32, x.Rows)
	for r := range y {
		a, b, c := 6*rng.Float64(), rng.Float64(), float64(rng.IntN(5))
		y[r] = float32(math.Sin(a) + (b-0.5)*(b-0.5) + c)
		if c == 3 {
			y[r] -= 9
		}
		for i, v := range []float64{a, b, c} {
			x.Data[i*x.Rows+r] = float32(v)
		}
		if rng.IntN(9) == 0 {
			x.Data[r] = float32(math.NaN())
		}
	}
	errorOf := map[int]float64{}
	for _, bins := range []int{0, 4, 32, 255} {
		p := linear.DefaultParams()
		p.Bins = bins
		m, err := linear.TrainLinear(ctx, x, y, nil, p)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, x.Rows)
		m.Predict(x, out)
		for r := range out {
			errorOf[bins] += float64(out[r]-y[r]) * float64(out[r]-y[r]) / float64(x.Rows)
		}
		if bins == 32 {
			f := m.Features[2]
			if len(f.Cuts) != 4 || len(f.Steps) != 5 {
				t.Fatalf("five values have cuts %v and steps %v", f.Cuts, f.Steps)
			}
			near(t, "from 2 to 3", f.Steps[3]-f.Steps[2], -8, 0.05)
			near(t, "from 0 to 4", f.Steps[4]-f.Steps[0], 4, 0.05)
			if again := m.PredictRow([]float32{-100, 100, 2.4}); again != m.PredictRow([]float32{0, 1, 2}) {
				t.Errorf("beyond what was seen: %v", again)
			}
		}
	}
	if !(errorOf[32] < 0.1*errorOf[0] && errorOf[32] < errorOf[4] && errorOf[255] < 1.01*errorOf[32]) {
		t.Errorf("squared errors by bins: %v", errorOf)
	}
}

// The hashes hold on every CPU kind. A change of them is a change of every baseline
// ever recorded.
func TestTrainGivesTheSameBytes(t *testing.T) {
	// No function and no product before a sum that CPU kinds could make differently.
	rng := rand.New(rand.NewPCG(4, 1))
	x := gbdt.Matrix{Rows: 20_000, Cols: 5, Data: make([]float32, 100_000)}
	raw, classes, weight := make([]float32, x.Rows), make([]float32, x.Rows), make([]float32, x.Rows)
	for r := range raw {
		a, b, c := rng.Float64(), rng.Float64(), float64(rng.IntN(7))
		v := a + rng.Float64()
		if b > 0.7 {
			v++
		}
		if c == 5 {
			v -= 2
		}
		raw[r], weight[r] = float32(v), float32(r%3)+0.5
		if v > 1 {
			classes[r] = 1
		}
		for i, value := range []float64{a, b, c, float64(rng.IntN(30) / 29), float64(rng.IntN(2))} {
			x.Data[i*x.Rows+r] = float32(value)
		}
		if rng.IntN(10) == 0 {
			x.Data[x.Rows*(1+r%4)+r] = float32(math.NaN())
		}
	}
	for name, c := range map[string]struct {
		train  func(context.Context, gbdt.Matrix, []float32, []float32, linear.Params) (*linear.Model, error)
		y      []float32
		weight []float32
		bins   int
		sha256 string
	}{
		"logistic":       {linear.TrainLogistic, classes, nil, 32, "b294877eb3e3568b298e8e73eb3f859f77e8182a35717e685133ff9e0a00f1e3"},
		"logistic lines": {linear.TrainLogistic, classes, weight, 0, "255ead7ef3577fca211f2dd1f1291bcd02aafced37bd9610fea818f186ef76ac"},
		"linear":         {linear.TrainLinear, raw, weight, 32, "6e45fe70e5c81c4ae2a716668a8661635c348d2c4a69f1abb577968fa23e3caf"},
	} {
		t.Run(name, func(t *testing.T) {
			p := linear.DefaultParams()
			p.Bins = c.bins
			for _, threads := range []int{1, 2, 4} {
				before := runtime.GOMAXPROCS(threads)
				m, err := c.train(ctx, x, c.y, c.weight, p)
				runtime.GOMAXPROCS(before)
				if err != nil {
					t.Fatal(err)
				}
				h := sha256.New()
				if err := m.WriteJSON(h); err != nil {
					t.Fatal(err)
				}
				if got := hex.EncodeToString(h.Sum(nil)); got != c.sha256 {
					t.Errorf("%d threads: model is %s, want %s", threads, got, c.sha256)
				}
			}
		})
	}
}

func TestWeightsAreCopies(t *testing.T) {
	x, raw := generate(2000, 3)
	y, weight := above(raw, 199, 2, 1), make([]float32, x.Rows)
	two := gbdt.Matrix{Cols: x.Cols}
	var twoY []float32
	for r := range weight {
		weight[r] = float32(r % 3)
	}
	for c := range x.Cols {
		for r, w := range weight {
			for range int(w) {
				two.Data = append(two.Data, x.Data[c*x.Rows+r])
				if c == 0 {
					twoY = append(twoY, y[r])
				}
			}
		}
	}
	two.Rows = len(twoY)
	a, err := linear.TrainLogistic(ctx, x, y, weight, linear.DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	b, err := linear.TrainLogistic(ctx, two, twoY, nil, linear.DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Features {
		near(t, "weight of "+a.Features[i].Name, a.Features[i].Weight, b.Features[i].Weight, 1e-3*(1+math.Abs(b.Features[i].Weight)))
	}
}

func TestSameBytesAndRoundTrip(t *testing.T) {
	x, raw := generate(30_000, 1)
	y := above(raw, 199, 2, 1)
	var first []byte
	for _, threads := range []int{1, 2, 4, 4} {
		before := runtime.GOMAXPROCS(threads)
		m, err := linear.TrainLogistic(ctx, x, y, nil, linear.DefaultParams())
		runtime.GOMAXPROCS(before)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := m.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b.Bytes()
		}
		if !bytes.Equal(first, b.Bytes()) {
			t.Fatalf("%d threads give another model", threads)
		}
	}
	m, err := linear.ReadJSON(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := m.WriteJSON(&again); err != nil || !bytes.Equal(first, again.Bytes()) {
		t.Errorf("written again the model differs (%v)", err)
	}
	if read, ok := m.(*linear.Model); !ok || read.Objective() != gbdt.Logistic || m.Fits(x) != nil {
		t.Errorf("read %T, fits: %v", m, m.Fits(x))
	}
}

func TestSeparableAndDullData(t *testing.T) {
	x := gbdt.Matrix{Rows: 4, Cols: 2, Data: []float32{1, 2, 3, 4, 5, 5, 5, 5}}
	m, err := linear.TrainLogistic(ctx, x, []float32{0, 0, 1, 1}, nil, linear.DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	if low, high := m.PredictRow([]float32{1, 5}), m.PredictRow([]float32{4, 5}); !(low < 0.3 && high > 0.7 && low > 0 && high < 1) {
		t.Errorf("predicts %v and %v", low, high)
	}
	m, err = linear.TrainLinear(ctx, gbdt.Matrix{Rows: 2, Cols: 1, Data: []float32{1, 1}}, []float32{4, 4}, nil, linear.DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	near(t, "constant", float64(m.PredictRow([]float32{9})), 4, 1e-6)
}

func TestTrainRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	type args struct {
		x    gbdt.Matrix
		y, w []float32
		p    linear.Params
	}
	for name, c := range map[string]struct {
		change func(a *args)
		want   string
	}{
		"no rows":          {func(a *args) { a.x, a.y = gbdt.Matrix{Cols: 1}, nil }, "0 rows"},
		"short data":       {func(a *args) { a.x.Data = a.x.Data[:3] }, "holds 3 values"},
		"names":            {func(a *args) { a.x.Names = []string{"a", "b"} }, "2 names"},
		"labels":           {func(a *args) { a.y = a.y[:3] }, "3 labels for 4 rows"},
		"NaN label":        {func(a *args) { a.y[1] = nan }, "label of row 1 is NaN"},
		"label 2":          {func(a *args) { a.y[1] = 2 }, "must be 0 or 1"},
		"one class":        {func(a *args) { a.y = make([]float32, 4) }, "two classes"},
		"weights":          {func(a *args) { a.w = []float32{1} }, "1 weights for 4 rows"},
		"negative weight":  {func(a *args) { a.w = []float32{1, -1, 1, 1} }, "weight of row 1 is -1"},
		"no weight":        {func(a *args) { a.w = make([]float32, 4) }, "all weights are 0"},
		"infinite feature": {func(a *args) { a.x.Data[2] = inf }, "infinite in row 2"},
		"penalty":          {func(a *args) { a.p.L2 = 0 }, "penalty L2 is 0"},
		"iterations":       {func(a *args) { a.p.Iterations = 0 }, "iterations is 0"},
		"one bin":          {func(a *args) { a.p.Bins = 1 }, "bins is 1, must be 0 or 2 to 255"},
		"many bins":        {func(a *args) { a.p.Bins = 256 }, "bins is 256"},
		"too few steps":    {func(a *args) { a.p.Iterations = 1; a.p.L2 = 1e-9; a.p.Bins = 0 }, "no optimum after 1 iterations"},
	} {
		t.Run(name, func(t *testing.T) {
			a := args{gbdt.Matrix{Rows: 4, Cols: 1, Data: []float32{1, 2, 3, 4}}, []float32{0, 1, 0, 1}, nil, linear.DefaultParams()}
			c.change(&a)
			_, err := linear.TrainLogistic(ctx, a.x, a.y, a.w, a.p)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	x, y := generate(100, 1)
	if _, err := linear.TrainLinear(cancelled, x, y, nil, linear.DefaultParams()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(`{"format":"millrace-linear-2","objective":"binary:logistic","intercept":1,"features":[{"name":"a","weight":0,"missing":2,"scale":1,"cuts":[1,2],"steps":[1,2,3]}]}`))
	f.Add([]byte(`{"format":"millrace-linear-1","objective":"binary:logistic","intercept":1,"features":[{"name":"a","weight":1,"missing":2,"scale":1}]}`))
	f.Add([]byte(`{"format":"millrace-linear-classes-1","classes":[` + strings.Repeat(`{"format":"millrace-linear-2","objective":"binary:logistic","intercept":1,"features":[{"name":"a","weight":1}]},`, 2) + `{"format":"millrace-linear-2","objective":"binary:logistic","features":[{"name":"a"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := linear.ReadJSON(bytes.NewReader(data))
		if err == nil {
			m.Predict(gbdt.Matrix{Rows: 1, Cols: 1, Data: []float32{1}}, make([]float32, 3))
		}
	})
}

func TestReadJSONRefuses(t *testing.T) {
	const good = `{"format":"millrace-linear-1","objective":"reg:squarederror","intercept":1,"features":[{"name":"a","weight":1,"missing":2,"scale":1}]}`
	for name, c := range map[string]struct{ old, new, want string }{
		"empty":     {good, "", "unexpected end"},
		"more":      {`]}`, `]} 1`, "invalid character '1' after top-level value"},
		"format":    {"linear-1", "linear-9", "format is"},
		"objective": {"reg:squarederror", "rank", "objective"},
		"unknown":   {`"weight"`, `"wait"`, "unknown field"},
		"features":  {`{"name":"a","weight":1,"missing":2,"scale":1}`, "", "no features"},
		"number":    {`"intercept":1`, `"intercept":1e999`, "cannot unmarshal"},
		"both":      {`"weight":1`, `"weight":1,"steps":[1,2],"cuts":[1]`, `feature "a": has a weight and steps`},
		"no steps":  {`"weight":1`, `"weight":0,"cuts":[1]`, "has 0 steps and 1 cuts"},
		"steps":     {`"weight":1`, `"weight":0,"steps":[1,2],"cuts":[1,2]`, "has 2 steps and 2 cuts"},
		"cuts":      {`"weight":1`, `"weight":0,"steps":[1,2,3],"cuts":[2,2]`, "has cut 2 after 2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := linear.ReadJSON(strings.NewReader(strings.Replace(good, c.old, c.new, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	row := func(m linear.Baseline, v float32) float32 {
		out := make([]float32, 1)
		m.Predict(gbdt.Matrix{Rows: 1, Cols: 1, Data: []float32{v}}, out)
		return out[0]
	}
	m, err := linear.ReadJSON(strings.NewReader(good))
	if err != nil || row(m, 3) != 4 {
		t.Errorf("the good one: %v, %v", m, err)
	}
	m, err = linear.ReadJSON(strings.NewReader(strings.Replace(good, `"weight":1`, `"weight":0,"steps":[1,2,3],"cuts":[1,2]`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[float32]float32{-9: 2, 0.9: 2, 1: 3, 1.9: 3, 2: 4, 99: 4} {
		if got := row(m, value); got != want {
			t.Errorf("%v is predicted %v, want %v", value, got, want)
		}
	}
}

// 200k rows of 5 numbers and 345 one-hot columns.
func BenchmarkTrainLogistic(b *testing.B) {
	x, raw := generate(200_000, 1)
	y := above(raw, 199, 2, 1)
	rng := rand.New(rand.NewPCG(1, 3))
	for _, size := range []int{5, 120, 220} {
		columns := make([]float32, size*x.Rows)
		for r := range x.Rows {
			columns[rng.IntN(size)*x.Rows+r] = 1
		}
		x.Data = append(x.Data, columns...)
		for range size {
			x.Names = append(x.Names, fmt.Sprint(len(x.Names)))
		}
		x.Cols += size
	}
	for b.Loop() {
		if _, err := linear.TrainLogistic(ctx, x, y, nil, linear.DefaultParams()); err != nil {
			b.Fatal(err)
		}
	}
}
