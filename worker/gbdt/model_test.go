package gbdt_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

func TestModelRoundTrip(t *testing.T) {
	for name, p := range map[string]gbdt.Params{
		"logistic": params(gbdt.Logistic, nil),
		"squared":  params(gbdt.SquaredError, nil),
		"deep":     params(gbdt.SquaredError, func(p *gbdt.Params) { p.MaxDepth = 12 }),
		"stump":    params(gbdt.Logistic, func(p *gbdt.Params) { p.Gamma = 1e9 }),
		"weighted": params(gbdt.Logistic, func(p *gbdt.Params) { p.ScalePosWeight = 2.5 }),
	} {
		t.Run(name, func(t *testing.T) {
			s := generate(5000, 4, 1, p.Objective)
			s.x.Names = []string{"a", "b=\"<é>\"", "c", "d"}
			m := train(t, p, s)
			written := modelBytes(t, m)
			again, err := gbdt.ReadJSON(bytes.NewReader(written))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(modelBytes(t, again), written) {
				t.Error("written again, the model differs")
			}
			if again.NumTrees() != m.NumTrees() || again.Objective() != p.Objective || !reflect.DeepEqual(again.FeatureNames(), s.x.Names) {
				t.Errorf("read %d trees, %s, %q", again.NumTrees(), again.Objective(), again.FeatureNames())
			}
			a, b := make([]float32, s.x.Rows), make([]float32, s.x.Rows)
			m.Predict(s.x, a)
			again.Predict(s.x, b)
			for r := range a {
				if a[r] != b[r] || a[r] != again.PredictRow(rowOf(s.x, r)) {
					t.Fatalf("row %d: %v trained, %v read, %v alone", r, a[r], b[r], again.PredictRow(rowOf(s.x, r)))
				}
			}
			g1, c1 := m.Importance()
			g2, c2 := again.Importance()
			if !reflect.DeepEqual(g1, g2) || !reflect.DeepEqual(c1, c2) {
				t.Error("importances differ")
			}
		})
	}
}

// The files in testdata were written by XGBoost itself, with its margins for some rows;
// the squared ones have pruned nodes left in them.
func TestReadsModelsOfXGBoost(t *testing.T) {
	files, err := filepath.Glob("testdata/xgboost-*.expected.json")
	if err != nil || len(files) != 15 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Rows        [][]*float32 `json:"rows"`
				MarginBits  []uint32     `json:"margin_bits"`
				Predictions []float32    `json:"prediction"`
			}
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			model, err := os.ReadFile(strings.Replace(file, ".expected", "", 1))
			if errors.Is(err, fs.ErrNotExist) {
				model, err = os.ReadFile(strings.Replace(file, ".expected.json", ".ubj", 1))
			}
			if err != nil {
				t.Fatal(err)
			}
			m, err := gbdt.ReadModel(bytes.NewReader(model))
			if err != nil {
				t.Fatal(err)
			}
			x := gbdt.Matrix{Rows: len(want.Rows), Cols: 3, Names: []string{"a", "b", "c"}, Data: make([]float32, 3*len(want.Rows))}
			for r, row := range want.Rows {
				for c, v := range row {
					x.Data[c*x.Rows+r] = float32(math.NaN())
					if v != nil {
						x.Data[c*x.Rows+r] = *v
					}
				}
			}
			if err := m.Fits(x); err != nil {
				t.Fatal(err)
			}
			outputs := max(1, m.NumClasses())
			margin, prediction := make([]float32, outputs*x.Rows), make([]float32, outputs*x.Rows)
			if len(margin) != len(want.MarginBits) {
				t.Fatalf("%d margins, XGBoost has %d", len(margin), len(want.MarginBits))
			}
			predict(m, x, margin, prediction)
			for r := range margin {
				if math.Float32bits(margin[r]) != want.MarginBits[r] {
					t.Errorf("row %d: margin %v, XGBoost has %v", r, margin[r], math.Float32frombits(want.MarginBits[r]))
				}
				if math.Abs(float64(prediction[r]-want.Predictions[r])) > 1e-7 {
					t.Errorf("row %d: prediction %v, XGBoost has %v", r, prediction[r], want.Predictions[r])
				}
			}
		})
	}
}

// predict is for models with classes and without.
func predict(m *gbdt.Model, x gbdt.Matrix, margin, prediction []float32) {
	if m.NumClasses() > 0 {
		m.PredictClassMargins(x, margin)
		m.PredictClasses(x, prediction)
		return
	}
	m.PredictMargin(x, margin)
	m.Predict(x, prediction)
}

// tiny is a model that ReadJSON takes: one split.
const tiny = `{"learner":{"attributes":{},"feature_names":["a","b"],"feature_types":[],"gradient_booster":{"model":{` +
	`"gbtree_model_param":{"num_parallel_tree":"1","num_trees":"1","size_leaf_vector":"0"},"tree_info":[0],"trees":[{` +
	`"base_weights":[0E0,-1E0,1E0],"categories":[],"default_left":[1,0,0],"id":0,"left_children":[1,-1,-1],"loss_changes":[5E0,0E0,0E0],` +
	`"parents":[2147483647,0,0],"right_children":[2,-1,-1],"split_conditions":[2.5E0,-1E0,1E0],"split_indices":[1,0,0],"split_type":[0,0,0],` +
	`"sum_hessian":[4E0,2E0,2E0],"tree_param":{"num_deleted":"0","num_feature":"2","num_nodes":"3","size_leaf_vector":"0"}}]},"name":"gbtree"},` +
	`"learner_model_param":{"base_score":"2.5E-1","num_class":"0","num_feature":"2"},"objective":{"name":"reg:squarederror"}},"version":[1,7,4]}`

func TestReadJSONTakesOtherSpellings(t *testing.T) {
	for name, edit := range map[string][2]string{
		"as is":              {"", ""},
		"list base score":    {`"2.5E-1"`, `"[2.5E-1]"`},
		"bare base score":    {`"2.5E-1"`, `0.25`},
		"boolean defaults":   {`[1,0,0],"id"`, `[true,false,false],"id"`},
		"no names":           {`["a","b"]`, `[]`},
		"best without score": {`"attributes":{}`, `"attributes":{"best_iteration":"0"}`},
		"newest version":     {`[1,7,4]`, `[3,2,0]`},
		"infinite elsewhere": {`"feature_names":["a","b"]`, `"feature_names":["NaN","\"Infinity"]`},
		"later tree_param":   {`"num_nodes":"3","size_leaf_vector":"0"`, `"num_nodes":"3","size_leaf_vector":"1"`},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := gbdt.ReadJSON(strings.NewReader(strings.Replace(tiny, edit[0], edit[1], 1)))
			if err != nil {
				t.Fatal(err)
			}
			nan := float32(math.NaN())
			for _, c := range []struct{ b, want float32 }{{2.4, -0.75}, {2.5, 1.25}, {nan, -0.75}} {
				if got := m.PredictRow([]float32{0, c.b}); got != c.want {
					t.Errorf("b=%v: %v, want %v", c.b, got, c.want)
				}
			}
			if m.BestIteration() != 0 {
				t.Errorf("best iteration %d", m.BestIteration())
			}
		})
	}
}

// XGBoost writes Infinity for a condition beyond values near the largest float32.
func TestReadsInfiniteConditions(t *testing.T) {
	for text, want := range map[string]float32{"Infinity": -0.75, "-Infinity": 1.25} {
		m, err := gbdt.ReadJSON(strings.NewReader(strings.Replace(tiny, "[2.5E0,", "["+text+",", 1)))
		if err != nil {
			t.Fatal(err)
		}
		written := modelBytes(t, m)
		if !bytes.Contains(written, []byte(`"split_conditions":[`+text+`,`)) {
			t.Errorf("%s is written in %s", text, written)
		}
		again, err := gbdt.ReadJSON(bytes.NewReader(written))
		if err != nil {
			t.Fatal(err)
		}
		condition, _ := strconv.ParseFloat(text, 32)
		packed, err := gbdt.ReadModel(strings.NewReader(strings.Replace(tinyUBJSON, floats(2.5, -1, 1), floats(float32(condition), -1, 1), 1)))
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range []*gbdt.Model{m, again, packed} {
			if got := m.PredictRow([]float32{0, math.MaxFloat32}); got != want {
				t.Errorf("%s, model %d: %v, want %v", text, i, got, want)
			}
		}
	}
}

// XGBoost 3.2 moves a logistic base score away from 0 and 1, where those before begin from
// just what is written.
func TestBaseScoresNearTheEnds(t *testing.T) {
	logistic := strings.Replace(tiny, "reg:squarederror", "binary:logistic", 1)
	for name, c := range map[string]struct {
		score, version string
		want           float32
	}{
		"3.2":    {"[5E-7]", "[3,2,0]", 1e-6},
		"3.2, 0": {"[0E0]", "[3,2,0]", 1e-6},
		"4, 1":   {"[1E0]", "[4,0,0]", 1 - 1e-6},
		"3.1":    {"[5E-7]", "[3,1,1]", 5e-7},
		"1.7":    {"5E-7", "[1,7,6]", 5e-7},
	} {
		m, err := gbdt.ReadJSON(strings.NewReader(strings.NewReplacer("2.5E-1", c.score, "[1,7,4]", c.version).Replace(logistic)))
		if err != nil || m.BaseScore() != c.want {
			t.Errorf("%s: %v, %v, want %v", name, m.BaseScore(), err, c.want)
		}
	}
}

// A name may be anything that a category is. XGBoost does not read the escapes of <, > and &.
func TestNamesAreWrittenAsTheyAre(t *testing.T) {
	s := generate(500, 3, 1, gbdt.Logistic)
	s.x.Names = []string{"shop=R&D <new> \u2028é", `tab	quote" back\`, "c"}
	m := train(t, params(gbdt.Logistic, nil), s)
	written := modelBytes(t, m)
	if want := "\"feature_names\":[\"shop=R&D <new> \u2028é\",\"tab\\tquote\\\" back\\\\\",\"c\"]"; !bytes.Contains(written, []byte(want)) {
		t.Errorf("%s is not in %.300s", want, written)
	}
	again, err := gbdt.ReadJSON(bytes.NewReader(written))
	if err != nil || !reflect.DeepEqual(again.FeatureNames(), s.x.Names) {
		t.Errorf("names %q, %v", again.FeatureNames(), err)
	}
}

// A few bytes for a tree must not become many in memory: reading stops at the first.
func TestManyHollowTrees(t *testing.T) {
	hollow := `{"learner":{"gradient_booster":{"model":{"trees":[` + strings.Repeat(`{},`, 5_000_000) + `{}]}}}}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := gbdt.ReadJSON(strings.NewReader(hollow))
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "tree 0: no nodes") {
		t.Errorf("error %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 10*uint64(len(hollow)) {
		t.Errorf("%d bytes for a file of %d", used, len(hollow))
	}
}

func TestReadJSONRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"empty":          {tiny, "  ", "file is empty"},
		"cut":            {`"version"`, ``, "decode JSON"},
		"more":           {`"version":[1,7,4]}`, `"version":[1,7,4]} {}`, "decode JSON"},
		"no model":       {tiny, `{"a":1}`, "not an XGBoost model"},
		"binary":         {tiny, "binf\x00\x00", "binary format"},
		"booster":        {`"gbtree"`, `"dart"`, `booster "dart" is not supported`},
		"objective":      {`reg:squarederror`, `rank:ndcg`, `objective "rank:ndcg" is not supported`},
		"classes":        {`"num_class":"0"`, `"num_class":"3"`, "3 classes"},
		"features":       {`"num_class":"0","num_feature":"2"`, `"num_class":"0","num_feature":"0"`, "num_feature is 0"},
		"names":          {`["a","b"]`, `["a"]`, "1 feature names for 2 features"},
		"tree count":     {`"num_trees":"1"`, `"num_trees":"2"`, "num_trees is 2, but there are 1 trees"},
		"forest":         {`"num_parallel_tree":"1"`, `"num_parallel_tree":"4"`, "num_parallel_tree 4"},
		"base score":     {`"2.5E-1"`, `"[1E0,2E0]"`, "base_score has 2 numbers"},
		"no base score":  {`"base_score":"2.5E-1",`, ``, "is not a number"},
		"NaN base score": {`"2.5E-1"`, `"NaN"`, "is not a number"},
		"logistic base":  {`"2.5E-1","num_class":"0","num_feature":"2"},"objective":{"name":"reg:squarederror"`, `"2E0","num_feature":"2"},"objective":{"name":"binary:logistic"`, "not between 0 and 1"},
		"short array":    {`"sum_hessian":[4E0,2E0,2E0]`, `"sum_hessian":[4E0,2E0]`, "tree 0: sum_hessian has 2 entries for 3 nodes"},
		"node count":     {`"num_nodes":"3"`, `"num_nodes":"5"`, "num_nodes is 5"},
		"child range":    {`"left_children":[1,`, `"left_children":[7,`, "child 7 is not one of 3 nodes"},
		"negative child": {`"left_children":[1,`, `"left_children":[-2,`, "child -2"},
		"cycle":          {`"left_children":[1,`, `"left_children":[0,`, "two parents or is the root"},
		"one child":      {`"left_children":[1,-1,-1]`, `"left_children":[-1,-1,-1]`, "child -1"},
		"unreached":      {`"left_children":[1,-1,-1],"loss_changes":[5E0,0E0,0E0],"parents":[2147483647,0,0],"right_children":[2,`, `"left_children":[-1,-1,-1],"loss_changes":[5E0,0E0,0E0],"parents":[2147483647,0,0],"right_children":[-1,`, "2 nodes cannot be reached"},
		"feature range":  {`"split_indices":[1,`, `"split_indices":[2,`, "feature 2 is not one of 2"},
		"categorical":    {`"split_type":[0,`, `"split_type":[1,`, "categorical"},
		"float overflow": {`[2.5E0,`, `[1E99,`, "decode JSON"},
		"not a number":   {`[2.5E0,`, `["x",`, `"x" is not a number`},
		"quoted number":  {`[2.5E0,`, `["2.5",`, `"2.5" is not a number`},
		"nested numbers": {`[2.5E0,`, `[[2.5E0],`, "is not a number"},
		"no array":       {`[2.5E0,-1E0,1E0]`, `{"a":1}`, "is not an array"},
		"NaN condition":  {`[2.5E0,`, `[NaN,`, "tree 0: node 0: the condition is not a number"},
		"infinite leaf":  {`[2.5E0,-1E0,`, `[2.5E0,-Infinity,`, "tree 0: node 1: the leaf's value is -Inf"},
		"infinite gain":  {`[5E0,0E0,`, `[Infinity,0E0,`, "are infinite or not a number"},
		"NaN category":   {`"categories":[],"default_left":[1,0,0],"id":0,"left_children":[1,-1,-1],"loss_changes":[5E0,0E0,0E0],"parents":[2147483647,0,0],"right_children":[2,-1,-1],"split_conditions":[2.5E0`, `"categories":[1],"default_left":[1,0,0],"id":0,"left_children":[1,-1,-1],"loss_changes":[5E0,0E0,0E0],"parents":[2147483647,0,0],"right_children":[2,-1,-1],"split_conditions":[NaN`, "categorical splits are not supported"},
		"no feature":     {`"split_indices":[1,`, `"split_indices":[-1,`, "feature -1 is below 0"},
		"trees no array": {`"trees":[{`, `"trees":7,"trees_":[{`, "trees are not an array"},
		"best iteration": {`"attributes":{}`, `"attributes":{"best_iteration":"1","best_score":"0"}`, "best_iteration"},
		"best score":     {`"attributes":{}`, `"attributes":{"best_iteration":"0","best_score":"x"}`, "best_score"},
		"class of tree":  {`"tree_info":[0]`, `"tree_info":[1]`, "tree 0 is for class 1"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(tiny, c.old, c.new, 1)
			if text == tiny {
				t.Fatal("the edit did not change the model")
			}
			_, err := gbdt.ReadJSON(strings.NewReader(text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// Whatever is read must predict and be written and read again, the same.
func FuzzReadJSON(f *testing.F) {
	f.Add([]byte(tiny))
	f.Add([]byte(strings.Replace(tiny, "[2.5E0,", "[-Infinity,", 1)))
	f.Add([]byte(strings.Replace(tiny, `"2.5E-1"`, `"[2.5E-1]"`, 1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := gbdt.ReadJSON(bytes.NewReader(data))
		if err != nil {
			return
		}
		if m.NumFeatures() > 1000 {
			return
		}
		row := make([]float32, m.NumFeatures())
		want := m.PredictRow(row)
		x, out := gbdt.Matrix{Rows: 1, Cols: len(row), Data: row}, make([]float32, 1)
		m.Predict(x, out)
		again, err := gbdt.ReadJSON(bytes.NewReader(modelBytes(t, m)))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if got := again.PredictRow(row); math.Float32bits(got) != math.Float32bits(want) && got == got || math.Float32bits(out[0]) != math.Float32bits(want) && want == want {
			t.Errorf("predicts %v, %v in a matrix, %v when read again", want, out[0], got)
		}
	})
}

func TestPredictOnDataThatDoesNotFit(t *testing.T) {
	s := generate(500, 4, 1, gbdt.Logistic)
	s.x.Names = []string{"a", "b", "c", "d"}
	m := train(t, params(gbdt.Logistic, nil), s)
	for name, c := range map[string]struct {
		x    gbdt.Matrix
		want string
	}{
		"fewer columns": {gbdt.Matrix{Rows: 1, Cols: 3, Data: make([]float32, 3)}, "3 columns, want 4"},
		"wrong size":    {gbdt.Matrix{Rows: 1, Cols: 4, Data: make([]float32, 3)}, "holds 3 values"},
		"other order":   {gbdt.Matrix{Rows: 1, Cols: 4, Data: make([]float32, 4), Names: []string{"b", "a", "c", "d"}}, `named "b", want "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := m.Fits(c.x); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if len(c.x.Names) > 0 {
				return // only Fits looks at names
			}
			out := []float32{1}
			if m.Predict(c.x, out); out[0] == out[0] {
				t.Errorf("predicted %v, want NaN", out[0])
			}
		})
	}
	if got := m.PredictRow([]float32{1}); got == got {
		t.Errorf("a short row is predicted %v, want NaN", got)
	}
	m.Predict(gbdt.Matrix{Cols: 4}, nil) // no rows: nothing to do
}

func TestPredictIsSafeForConcurrentUse(t *testing.T) {
	s := generate(9001, 4, 1, gbdt.Logistic)
	m := train(t, params(gbdt.Logistic, nil), s)
	want := make([]float32, s.x.Rows)
	m.Predict(s.x, want)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			out := make([]float32, s.x.Rows)
			m.Predict(s.x, out)
			if !reflect.DeepEqual(out, want) {
				t.Error("predictions differ")
			}
		})
	}
	wg.Wait()
}

func TestImportanceFindsTheSignal(t *testing.T) {
	gain, cover := train(t, params(gbdt.SquaredError, nil), generate(20_000, 6, 1, gbdt.SquaredError)).Importance()
	for f := range gain {
		signal := f < 3 // the generator uses the first three columns
		for other := range gain {
			if signal && other >= 3 && gain[f] <= gain[other] {
				t.Errorf("gain %v of feature %d is not above %v of noise %d", gain[f], f, gain[other], other)
			}
		}
		if !(cover[f] > 0) {
			t.Errorf("cover of feature %d is %v", f, cover[f])
		}
	}
}
