package gbdt_test

import (
	"bytes"
	"context"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

func softmax(rows int, seed uint64) (gbdt.Params, sample) {
	p := params(gbdt.Softmax, func(p *gbdt.Params) { p.NumClass = 3 })
	return p, classes(generate(rows, 5, seed, gbdt.Softmax), 3)
}

// classLoss is mlogloss, with the standard library's functions.
func classLoss(m *gbdt.Model, s sample) float64 {
	out := make([]float32, s.x.Rows*m.NumClasses())
	m.PredictClasses(s.x, out)
	sum := 0.0
	for r, y := range s.label {
		sum -= math.Log(float64(out[r*m.NumClasses()+int(y)]))
	}
	return sum / float64(s.x.Rows)
}

func TestSoftmaxLearnsAndStops(t *testing.T) {
	p, s := softmax(6000, 1)
	_, v := softmax(4000, 2)
	p.Rounds, p.EarlyStoppingRounds, p.Threads = 500, 5, 2
	var trains, valids []float64
	m, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: s.x, Label: s.label}, &gbdt.Rows{X: v.x, Label: v.label}, func(_ int, train, valid float64) {
		trains, valids = append(trains, train), append(valids, valid)
	})
	if err != nil {
		t.Fatal(err)
	}
	best := len(valids) - 6
	if m.NumTrees() != 3*(best+1) || m.BestIteration() != best || m.NumClasses() != 3 {
		t.Errorf("%d trees, best round %d of %d, %d classes", m.NumTrees(), m.BestIteration(), len(valids), m.NumClasses())
	}
	if got := classLoss(m, v); math.Abs(got-valids[best]) > 1e-6 {
		t.Errorf("predictions have %v, progress said %v", got, valids[best])
	}
	if valids[best] > 0.7*math.Log(3) || trains[len(trains)-1] >= trains[0] {
		t.Errorf("nothing was learned: train %v to %v, valid %v", trains[0], trains[len(trains)-1], valids[best])
	}
	p.EarlyStoppingRounds, p.Rounds = 0, best+1
	if got := classLoss(train(t, p, s), s); math.Abs(got-trains[best]) > 1e-6 {
		t.Errorf("predictions on training rows have %v, progress said %v", got, trains[best])
	}
}

// The first round's leaves are recomputed from the raw labels: all classes begin at 1/3.
func TestSoftmaxLeavesAgreeWithTheData(t *testing.T) {
	p, s := softmax(5000, 3)
	p.Rounds = 1
	for class, tr := range treesOf(t, train(t, p, s)) {
		g, h := make([]float64, len(tr.Left)), make([]float64, len(tr.Left))
		for r, y := range s.label {
			for _, n := range tr.walk(rowOf(s.x, r)) {
				g[n] += 1.0 / 3
				if int(y) == class {
					g[n]--
				}
				h[n] += 2.0 / 3 * 2 / 3
			}
		}
		for n, left := range tr.Left {
			if math.Abs(h[n]-float64(tr.Cover[n])) > 1e-4*h[n] {
				t.Fatalf("class %d node %d: cover %v, want %v", class, n, tr.Cover[n], h[n])
			}
			if want := -p.Eta * g[n] / (h[n] + p.Lambda); left < 0 && math.Abs(want-float64(tr.Condition[n])) > 1e-5 {
				t.Fatalf("class %d leaf %d: %v, want %v", class, n, tr.Condition[n], want)
			}
		}
	}
}

func TestSoftmaxPredictsTheSameEveryWay(t *testing.T) {
	p, s := softmax(5000, 1)
	s.x.Names = []string{"a", "b", "c", "d", "e"}
	m := train(t, p, s)
	again, err := gbdt.ReadModel(bytes.NewReader(modelBytes(t, m)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(modelBytes(t, again), modelBytes(t, m)) {
		t.Error("written again, the model differs")
	}
	a, b, alone := make([]float32, 3*s.x.Rows), make([]float32, 3*s.x.Rows), make([]float32, 3)
	m.PredictClasses(s.x, a)
	again.PredictClasses(s.x, b)
	if !reflect.DeepEqual(a, b) {
		t.Error("read again, the model predicts otherwise")
	}
	for r := range s.x.Rows {
		again.PredictRowClasses(rowOf(s.x, r), alone)
		if !reflect.DeepEqual(alone, a[3*r:3*r+3]) {
			t.Fatalf("row %d: %v alone, %v in a matrix", r, alone, a[3*r:3*r+3])
		}
		if sum := alone[0] + alone[1] + alone[2]; math.Abs(float64(sum)-1) > 1e-6 {
			t.Fatalf("row %d adds up to %v", r, sum)
		}
	}
}

// What has no single score says so, and what has no classes.
func TestPredictionsOfTheWrongKindAreNaN(t *testing.T) {
	p, s := softmax(500, 1)
	many := train(t, p, s)
	one := train(t, params(gbdt.Logistic, nil), generate(500, 5, 1, gbdt.Logistic))
	row := rowOf(s.x, 0)
	for name, do := range map[string]func(out []float32){
		"margin of many":     func(out []float32) { many.PredictMargin(s.x, out) },
		"value of many":      func(out []float32) { many.Predict(s.x, out) },
		"row of many":        func(out []float32) { out[0] = many.PredictRow(row) },
		"classes of one":     func(out []float32) { one.PredictClasses(s.x, out) },
		"row classes of one": func(out []float32) { one.PredictRowClasses(row, out[:1]) },
		"too few values":     func(out []float32) { many.PredictClasses(s.x, out) },
		"short row":          func(out []float32) { many.PredictRowClasses(row[:3], out[:3]) },
	} {
		t.Run(name, func(t *testing.T) {
			out := make([]float32, s.x.Rows)
			if do(out); out[0] == out[0] {
				t.Errorf("predicted %v, want NaN", out[0])
			}
		})
	}
}

func TestSoftmaxWeightsAreCopies(t *testing.T) {
	p, s := softmax(3000, 1)
	weight := s.label // for each class
	m, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: s.x, Label: s.label, Weight: weight}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b := make([]float32, 3*s.x.Rows), make([]float32, 3*s.x.Rows)
	m.PredictClasses(s.x, a)
	train(t, p, copied(s, weight)).PredictClasses(s.x, b)
	for i := range a {
		if math.Abs(float64(a[i]-b[i])) > 1e-4 {
			t.Fatalf("value %d: %v with weights, %v with copies", i, a[i], b[i])
		}
	}
}

func TestSoftmaxRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		labels []float32
		weight []float32
		want   string
	}{
		"class 3":               {[]float32{0, 1, 2, 3}, nil, "label of row 3 is 3, must be a class from 0 to 2"},
		"negative":              {[]float32{0, -1, 2, 1}, nil, "label of row 1 is -1"},
		"half":                  {[]float32{0, 1.5, 2, 1}, nil, "label of row 1 is 1.5"},
		"one class":             {[]float32{2, 2, 2, 2}, nil, "all labels are 2"},
		"one class with weight": {[]float32{2, 2, 1, 0}, []float32{1, 1, 0, 0}, "all labels are 2"},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := softmax(10, 1)
			x := gbdt.Matrix{Rows: 4, Cols: 1, Data: []float32{1, 2, 3, 4}}
			_, err := gbdt.Train(context.Background(), p, gbdt.Rows{X: x, Label: c.labels, Weight: c.weight}, nil, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestReadRefusesSoftmaxModels(t *testing.T) {
	p, s := softmax(100, 1)
	p.Rounds, p.MaxDepth = 1, 1
	good := string(modelBytes(t, train(t, p, s)))
	for name, c := range map[string]struct{ old, new, want string }{
		"no classes":    {`"num_class":"3","num_feature"`, `"num_class":"0","num_feature"`, "0 classes"},
		"many classes":  {`"num_class":"3","num_feature"`, `"num_class":"999999999","num_feature"`, "999999999 classes"},
		"other classes": {`"softmax_multiclass_param":{"num_class":"3"}`, `"softmax_multiclass_param":{"num_class":"4"}`, "the objective has 4 classes, num_class is 3"},
		"order":         {`"tree_info":[0,1,2]`, `"tree_info":[0,2,1]`, "tree 1 is for class 2, want 1"},
		"uneven":        {`"num_class":"3","num_feature":"5","num_target":"1"},"objective":{"name":"multi:softprob","softmax_multiclass_param":{"num_class":"3"}}`, `"num_class":"4","num_feature":"5"},"objective":{"name":"multi:softprob","softmax_multiclass_param":{"num_class":"4"}}`, "3 trees cannot be shared out over 4 classes"},
		"base scores":   {`"base_score":"5E-01"`, `"base_score":"[1E0,2E0]"`, "base_score has 2 numbers, want one for every output (3)"},
		"rounds":        {`"tree_info":`, `"iteration_indptr":[0,1,2,3],"tree_info":`, "iteration_indptr has 4 entries for 1 rounds"},
		"round":         {`"tree_info":`, `"iteration_indptr":[0,2],"tree_info":`, "round 1 begins with tree 2, want 3"},
		"best":          {`"attributes":{}`, `"attributes":{"best_iteration":"1"}`, "not one of 1 rounds"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatal("the edit did not change the model")
			}
			_, err := gbdt.ReadModel(strings.NewReader(text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}
