package gbdt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

func modelBytes(t testing.TB, m *gbdt.Model) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := m.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The hashes hold on every CPU kind: run with GOAMD64=v3, or GOARCH=arm64 under an
// emulator, to see it. A change of them is a change of every model ever recorded.
func TestTrainGivesTheSameBytes(t *testing.T) {
	weighted := generate(20_000, 6, 3, gbdt.Logistic)
	weights := make([]float32, weighted.x.Rows)
	for i := range weights {
		weights[i] = float32(i%5) / 2
	}
	for name, c := range map[string]struct {
		params gbdt.Params
		data   sample
		weight []float32
		sha256 string
	}{
		"logistic": {
			params: params(gbdt.Logistic, func(p *gbdt.Params) { p.Eta = 0.1 }),
			data:   withOneHot(generate(20_000, 6, 3, gbdt.Logistic), 6, 5, 40),
			sha256: "18780273690b6a5808db4ac61bdbcd5749ed75a31fa93bea491ce19a887975db",
		},
		"logistic, sampled and weighted": {
			params: params(gbdt.Logistic, func(p *gbdt.Params) {
				p.Subsample, p.ColsampleByTree, p.ScalePosWeight, p.Seed, p.Gamma = 0.7, 0.6, 1.7, 42, 0.3
			}),
			data: weighted, weight: weights,
			sha256: "c2592acc9e26f0ec9e35fc5de30e622e18b842c054fe5b4dddf5e046e4b54980",
		},
		"squared error, wide bins": {
			params: params(gbdt.SquaredError, func(p *gbdt.Params) { p.MaxBin, p.MaxDepth = 1000, 9 }),
			data:   generate(20_000, 6, 4, gbdt.SquaredError),
			sha256: "b48554924408148e61536b83baf2a8ae701e43915755ab8c90959b97363ca7e4",
		},
		"softmax, sampled": {
			params: params(gbdt.Softmax, func(p *gbdt.Params) { p.NumClass, p.Subsample, p.Rounds, p.MaxDepth = 4, 0.8, 10, 5 }),
			data:   classes(generate(20_000, 6, 4, gbdt.Softmax), 4),
			sha256: "94e7455078d60035949c29aa54bdfabcc74e5db0f58f3834edf5bad2120d800c",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, threads := range []int{1, 2, 4, 4} {
				c.params.Threads = threads
				m, err := gbdt.Train(context.Background(), c.params, gbdt.Rows{X: c.data.x, Label: c.data.label, Weight: c.weight}, nil, nil)
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256(modelBytes(t, m))
				if got := hex.EncodeToString(sum[:]); got != c.sha256 {
					t.Errorf("%d threads: model is %s, want %s", threads, got, c.sha256)
				}
			}
		})
	}
}

// treeJSON is what the tests look at in a model file.
type treeJSON struct {
	DefaultLeft []int     `json:"default_left"`
	Left        []int     `json:"left_children"`
	Right       []int     `json:"right_children"`
	Condition   []float32 `json:"split_conditions"`
	Feature     []int     `json:"split_indices"`
	Cover       []float32 `json:"sum_hessian"`
	Gain        []float32 `json:"loss_changes"`
}

func treesOf(t testing.TB, m *gbdt.Model) []treeJSON {
	t.Helper()
	var file struct {
		Learner struct {
			Booster struct {
				Model struct {
					Trees []treeJSON `json:"trees"`
				} `json:"model"`
			} `json:"gradient_booster"`
		} `json:"learner"`
	}
	if err := json.Unmarshal(modelBytes(t, m), &file); err != nil {
		t.Fatal(err)
	}
	return file.Learner.Booster.Model.Trees
}

// walk is XGBoost's rule, written from its documentation: the nodes on a row's way.
func (tr *treeJSON) walk(row []float32) []int {
	path := []int{0}
	for n := 0; tr.Left[n] >= 0; {
		v := row[tr.Feature[n]]
		left := v < tr.Condition[n]
		if math.IsNaN(float64(v)) {
			left = tr.DefaultLeft[n] == 1
		}
		if n = tr.Right[n]; left {
			n = tr.Left[path[len(path)-1]]
		}
		path = append(path, n)
	}
	return path
}

func rowOf(x gbdt.Matrix, r int) []float32 {
	row := make([]float32, x.Cols)
	for c := range row {
		row[c] = x.Data[c*x.Rows+r]
	}
	return row
}

// With squared error a node's hessian is its number of rows and a leaf is the mean
// of what is left to explain: both are recomputed here from the raw values, so any
// error in bins, bundles, missing values, partition or subtraction shows.
func TestTreesAgreeWithTheData(t *testing.T) {
	for name, set := range map[string]func(*gbdt.Params){
		"plain":        nil,
		"few bins":     func(p *gbdt.Params) { p.MaxBin = 5 },
		"wide bins":    func(p *gbdt.Params) { p.MaxBin = 2000 },
		"deep":         func(p *gbdt.Params) { p.MaxDepth = 14 },
		"some columns": func(p *gbdt.Params) { p.ColsampleByTree = 0.3 },
	} {
		t.Run(name, func(t *testing.T) {
			s := withOneHot(generate(20_000, 5, 9, gbdt.SquaredError), 5, 3, 30, 4)
			p := params(gbdt.SquaredError, set)
			p.Rounds, p.Threads = 8, 2
			m := train(t, p, s)
			margin := make([]float32, s.x.Rows)
			for r := range margin {
				margin[r] = m.BaseScore()
			}
			features := map[int]bool{}
			for i, tr := range treesOf(t, m) {
				count, residual := make([]float32, len(tr.Left)), make([]float64, len(tr.Left))
				leaf := make([]int, s.x.Rows)
				for r := range s.x.Rows {
					for _, n := range tr.walk(rowOf(s.x, r)) {
						count[n]++
						residual[n] += float64(s.label[r]) - float64(margin[r])
						leaf[r] = n
					}
				}
				for n := range tr.Left {
					if tr.Cover[n] != count[n] {
						t.Fatalf("tree %d node %d: cover %v, but %v rows reach it", i, n, tr.Cover[n], count[n])
					}
					if tr.Left[n] >= 0 {
						features[tr.Feature[n]] = true
						l, r := tr.Left[n], tr.Right[n]
						part := func(n int) float64 { return residual[n] * residual[n] / (float64(count[n]) + p.Lambda) }
						want := part(l) + part(r) - part(n)
						if math.Abs(want-float64(tr.Gain[n])) > 1e-3*want+1e-3 {
							t.Fatalf("tree %d node %d: gain %v, want %v", i, n, tr.Gain[n], want)
						}
						continue
					}
					want := p.Eta * residual[n] / (float64(count[n]) + p.Lambda)
					if math.Abs(want-float64(tr.Condition[n])) > 1e-5 {
						t.Fatalf("tree %d leaf %d: value %v, want %v", i, n, tr.Condition[n], want)
					}
				}
				for r := range margin {
					margin[r] += tr.Condition[leaf[r]]
				}
			}
			if len(features) < 5 {
				t.Errorf("only %d features are split on", len(features))
			}
			got := make([]float32, s.x.Rows)
			m.PredictMargin(s.x, got)
			for r := range got {
				if got[r] != margin[r] {
					t.Fatalf("row %d: margin %v, want %v", r, got[r], margin[r])
				}
				if one := m.PredictRow(rowOf(s.x, r)); one != margin[r] {
					t.Fatalf("row %d: PredictRow %v, want %v", r, one, margin[r])
				}
			}
		})
	}
}

// The first split of one feature is checked against trying every way.
func TestFirstSplitIsTheBest(t *testing.T) {
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		x, label []float32
		below    float32 // values below it go left
		missLeft int
	}{
		"two values":           {[]float32{0, 0, 1, 1}, []float32{0, 0, 9, 9}, 0.5, 1},
		"step":                 {[]float32{1, 2, 3, 4, 5}, []float32{0, 0, 0, 9, 9}, 3.5, 1},
		"missing go right":     {[]float32{1, 2, 3, 4, nan}, []float32{0, 0, 9, 9, 9}, 2.5, 0},
		"missing go left":      {[]float32{1, 2, 3, 4, nan}, []float32{0, 0, 9, 9, 0}, 2.5, 1},
		"missing against rest": {[]float32{1, 2, 1, 2, nan}, []float32{0, 0, 0, 0, 9}, math.MaxFloat32, 0},
		"neighbouring floats":  {[]float32{1, 1.0000001, 1, 1.0000001}, []float32{0, 9, 0, 9}, 1.0000001, 1},
		"negative":             {[]float32{-3, -2, -1, 0}, []float32{9, 0, 0, 0}, -2.5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := params(gbdt.SquaredError, func(p *gbdt.Params) { p.Rounds, p.MaxDepth = 1, 1 })
			m := train(t, p, sample{gbdt.Matrix{Rows: len(c.x), Cols: 1, Data: c.x}, c.label})
			tr := treesOf(t, m)[0]
			if len(tr.Left) != 3 || tr.Condition[0] != c.below || tr.DefaultLeft[0] != c.missLeft {
				t.Errorf("tree %+v, want a split at %v, missing left %d", tr, c.below, c.missLeft)
			}
		})
	}
}

func TestTrainLearnsAndStops(t *testing.T) {
	for _, objective := range []string{gbdt.Logistic, gbdt.SquaredError} {
		t.Run(objective, func(t *testing.T) {
			s, v := generate(4000, 6, 1, objective), generate(4000, 6, 2, objective)
			p := params(objective, func(p *gbdt.Params) { p.Rounds, p.EarlyStoppingRounds = 500, 5 })
			var trains, valids []float64
			m, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: s.x, Label: s.label}, &gbdt.Rows{X: v.x, Label: v.label}, func(round int, train, valid float64) {
				if round != len(trains) {
					t.Errorf("round %d reported after %d", round, len(trains)-1)
				}
				trains, valids = append(trains, train), append(valids, valid)
			})
			if err != nil {
				t.Fatal(err)
			}
			best := 0
			for i, got := range valids {
				if got < valids[best] {
					best = i
				}
			}
			if len(valids) != best+6 || m.NumTrees() != best+1 || m.BestIteration() != best {
				t.Errorf("%d rounds, %d trees, best %d: want 5 rounds after round %d and a model that ends there",
					len(valids), m.NumTrees(), m.BestIteration(), best)
			}
			if score, ok := m.BestScore(); !ok || score != valids[best] {
				t.Errorf("best score %v, want %v", score, valids[best])
			}
			if got := metric(m, v); math.Abs(got-valids[best]) > 1e-6 {
				t.Errorf("predictions have %v, progress said %v", got, valids[best])
			}
			if valids[best] > 0.8*valids[0] || trains[len(trains)-1] >= trains[0] {
				t.Errorf("nothing was learned: train %v to %v, valid %v to %v", trains[0], trains[len(trains)-1], valids[0], valids[best])
			}
			p.EarlyStoppingRounds, p.Rounds = 0, best+1
			full := train(t, p, s)
			if got, want := metric(full, s), trains[best]; math.Abs(got-want) > 1e-6 {
				t.Errorf("predictions on training rows have %v, progress said %v", got, want)
			}
		})
	}
}

// metric is logloss or rmse of the predictions, with the standard library's functions.
func metric(m *gbdt.Model, s sample) float64 {
	out := make([]float32, s.x.Rows)
	m.Predict(s.x, out)
	sum := 0.0
	for r, p := range out {
		if m.Objective() == gbdt.SquaredError {
			sum += (float64(p) - float64(s.label[r])) * (float64(p) - float64(s.label[r]))
		} else if s.label[r] == 1 {
			sum -= math.Log(float64(p))
		} else {
			sum -= math.Log(1 - float64(p))
		}
	}
	if m.Objective() == gbdt.SquaredError {
		return math.Sqrt(sum / float64(len(out)))
	}
	return sum / float64(len(out))
}

// copied has every row as often as it weighs.
func copied(s sample, weight []float32) sample {
	var out sample
	out.x.Cols = s.x.Cols
	for r, y := range s.label {
		for range int(weight[r]) {
			out.label = append(out.label, y)
		}
	}
	out.x.Rows = len(out.label)
	for c := range s.x.Cols {
		for r, v := range s.x.Column(c) {
			for range int(weight[r]) {
				out.x.Data = append(out.x.Data, v)
			}
		}
	}
	return out
}

// quarters weighs rows 0 to 3 in turn.
func quarters(rows int) []float32 {
	weight := make([]float32, rows)
	for r := range weight {
		weight[r] = float32(r % 4)
	}
	return weight
}

func TestValidationWeightsAreCopies(t *testing.T) {
	for _, objective := range []string{gbdt.Logistic, gbdt.SquaredError, gbdt.Softmax} {
		t.Run(objective, func(t *testing.T) {
			p, s := softmax(3000, 1)
			_, v := softmax(5000, 2)
			if objective != gbdt.Softmax {
				p, s, v = params(objective, nil), generate(3000, 4, 1, objective), generate(5000, 4, 2, objective)
			}
			weight := quarters(v.x.Rows)
			twice := copied(v, weight)
			var metrics [2][]float64
			for i, valid := range []gbdt.Rows{{X: v.x, Label: v.label, Weight: weight}, {X: twice.x, Label: twice.label}} {
				if _, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: s.x, Label: s.label}, &valid, func(_ int, _, metric float64) {
					metrics[i] = append(metrics[i], metric)
				}); err != nil {
					t.Fatal(err)
				}
			}
			for round, got := range metrics[0] {
				if want := metrics[1][round]; !(math.Abs(got-want) <= 1e-9*want) {
					t.Fatalf("round %d: %v with weights, %v with copies", round, got, want)
				}
			}
		})
	}
}

func TestWeightsAreCopies(t *testing.T) {
	for _, objective := range []string{gbdt.Logistic, gbdt.SquaredError} {
		t.Run(objective, func(t *testing.T) {
			s := generate(3000, 4, 1, objective)
			weight := quarters(s.x.Rows)
			p := params(objective, nil)
			m, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: s.x, Label: s.label, Weight: weight}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			a, b := make([]float32, s.x.Rows), make([]float32, s.x.Rows)
			m.Predict(s.x, a)
			train(t, p, copied(s, weight)).Predict(s.x, b)
			for r := range a {
				if math.Abs(float64(a[r]-b[r])) > 1e-4 {
					t.Fatalf("row %d: %v with weights, %v with copies", r, a[r], b[r])
				}
			}
		})
	}
}

func TestTrainRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	good := func() (gbdt.Matrix, []float32) {
		return gbdt.Matrix{Rows: 4, Cols: 2, Data: []float32{1, 2, 3, 4, 5, 6, 7, nan}, Names: []string{"a", "b"}}, []float32{0, 1, 0, 1}
	}
	for name, c := range map[string]struct {
		change func(p *gbdt.Params, x *gbdt.Matrix, y *[]float32, w *[]float32)
		want   string
	}{
		"no rows":               {func(_ *gbdt.Params, x *gbdt.Matrix, y, _ *[]float32) { x.Rows, x.Data, *y = 0, nil, nil }, "no rows"},
		"no columns":            {func(_ *gbdt.Params, x *gbdt.Matrix, _, _ *[]float32) { x.Cols, x.Data, x.Names = 0, nil, nil }, "no columns"},
		"negative":              {func(_ *gbdt.Params, x *gbdt.Matrix, _, _ *[]float32) { x.Rows, x.Cols = -4, -2 }, "negative size"},
		"short data":            {func(_ *gbdt.Params, x *gbdt.Matrix, _, _ *[]float32) { x.Data = x.Data[:7] }, "holds 7 values"},
		"infinite feature":      {func(_ *gbdt.Params, x *gbdt.Matrix, _, _ *[]float32) { x.Data[5] = inf }, `feature "b" is +Inf in row 1`},
		"largest float":         {func(_ *gbdt.Params, x *gbdt.Matrix, _, _ *[]float32) { x.Data[1] = -math.MaxFloat32 }, `feature "a" is -3.4028235e+38 in row 1`},
		"few names":             {func(_ *gbdt.Params, x *gbdt.Matrix, _, _ *[]float32) { x.Names = x.Names[:1] }, "2 columns and 1 names"},
		"same names":            {func(_ *gbdt.Params, x *gbdt.Matrix, _, _ *[]float32) { x.Names[1] = "a" }, `both named "a"`},
		"short labels":          {func(_ *gbdt.Params, _ *gbdt.Matrix, y, _ *[]float32) { *y = (*y)[:3] }, "3 labels for 4 rows"},
		"NaN label":             {func(_ *gbdt.Params, _ *gbdt.Matrix, y, _ *[]float32) { (*y)[2] = nan }, "label of row 2 is NaN"},
		"infinite label":        {func(_ *gbdt.Params, _ *gbdt.Matrix, y, _ *[]float32) { (*y)[2] = inf }, "label of row 2 is +Inf"},
		"label 2":               {func(_ *gbdt.Params, _ *gbdt.Matrix, y, _ *[]float32) { (*y)[2] = 2 }, "must be 0 or 1"},
		"one class":             {func(_ *gbdt.Params, _ *gbdt.Matrix, y, _ *[]float32) { *y = []float32{1, 1, 1, 1} }, "all labels are 1"},
		"one class with weight": {func(_ *gbdt.Params, _ *gbdt.Matrix, _, w *[]float32) { *w = []float32{1, 0, 1, 0} }, "all labels are 0"},
		"no weight":             {func(_ *gbdt.Params, _ *gbdt.Matrix, _, w *[]float32) { *w = make([]float32, 4) }, "all weights are 0"},
		"short weights":         {func(_ *gbdt.Params, _ *gbdt.Matrix, _, w *[]float32) { *w = make([]float32, 3) }, "3 weights for 4 rows"},
		"negative weight":       {func(_ *gbdt.Params, _ *gbdt.Matrix, _, w *[]float32) { *w = []float32{1, -1, 1, 1} }, "weight of row 1 is -1"},
		"NaN weight":            {func(_ *gbdt.Params, _ *gbdt.Matrix, _, w *[]float32) { *w = []float32{1, nan, 1, 1} }, "weight of row 1 is NaN"},
		"parameters":            {func(p *gbdt.Params, _ *gbdt.Matrix, _, _ *[]float32) { p.Eta, p.MaxDepth = 0, 99 }, "eta must be above 0 and at most 1, is 0; max_depth must be 1 to 24, is 99"},
		"stop blindly":          {func(p *gbdt.Params, _ *gbdt.Matrix, _, _ *[]float32) { p.EarlyStoppingRounds = 3 }, "needs validation data"},
	} {
		t.Run(name, func(t *testing.T) {
			p := params(gbdt.Logistic, nil)
			x, y := good()
			var w []float32
			c.change(&p, &x, &y, &w)
			_, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: x, Label: y, Weight: w}, nil, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	t.Run("validation columns", func(t *testing.T) {
		x, y := good()
		v, vy := good()
		v.Names = []string{"b", "a"}
		_, err := gbdt.Train(context.Background(), params(gbdt.Logistic, nil), gbdt.Rows{X: x, Label: y}, &gbdt.Rows{X: v, Label: vy}, nil)
		if err == nil || !strings.Contains(err.Error(), `validation: column 0 is named "b", want "a"`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("validation weights", func(t *testing.T) {
		x, y := good()
		_, err := gbdt.Train(context.Background(), params(gbdt.Logistic, nil), gbdt.Rows{X: x, Label: y}, &gbdt.Rows{X: x, Label: y, Weight: make([]float32, 4)}, nil)
		if err == nil || !strings.Contains(err.Error(), "validation: all weights are 0") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		x, y := good()
		rounds := 0
		_, err := gbdt.Train(ctx, params(gbdt.Logistic, nil), gbdt.Rows{X: x, Label: y}, nil, func(int, float64, float64) {
			if rounds++; rounds == 3 {
				cancel()
			}
		})
		if !errors.Is(err, context.Canceled) || rounds != 3 {
			t.Errorf("error %v after %d rounds", err, rounds)
		}
	})
}

// Data that says nothing still gives a model: the mean.
func TestTrainOnDullData(t *testing.T) {
	nan := float32(math.NaN())
	for name, column := range map[string][]float32{
		"constant":    {3, 3, 3, 3},
		"all missing": {nan, nan, nan, nan},
	} {
		t.Run(name, func(t *testing.T) {
			s := sample{gbdt.Matrix{Rows: 4, Cols: 1, Data: column}, []float32{0, 1, 1, 1}}
			for _, objective := range []string{gbdt.Logistic, gbdt.SquaredError} {
				got := train(t, params(objective, nil), s).PredictRow([]float32{1})
				if math.Abs(float64(got)-0.75) > 1e-6 {
					t.Errorf("%s: predicts %v, want 0.75", objective, got)
				}
			}
		})
	}
	t.Run("one row", func(t *testing.T) {
		s := sample{gbdt.Matrix{Rows: 1, Cols: 1, Data: []float32{1}}, []float32{5}}
		if got := train(t, params(gbdt.SquaredError, nil), s).PredictRow([]float32{9}); got != 5 {
			t.Errorf("predicts %v, want 5", got)
		}
	})
	t.Run("huge labels", func(t *testing.T) {
		s := sample{gbdt.Matrix{Rows: 4, Cols: 1, Data: []float32{1, 2, 3, 4}}, []float32{-1e30, 1e30, 1e-30, 1e30}}
		m := train(t, params(gbdt.SquaredError, func(p *gbdt.Params) { p.MinChildWeight = 0 }), s)
		if _, err := gbdt.ReadJSON(bytes.NewReader(modelBytes(t, m))); err != nil {
			t.Error(err)
		}
		got := m.PredictRow([]float32{1})
		if math.IsNaN(float64(got)) || math.IsInf(float64(got), 0) {
			t.Errorf("predicts %v", got)
		}
	})
}
