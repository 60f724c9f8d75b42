package gbdt_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

// long is a length or an integer as XGBoost writes it.
func long(n int) string { return "L" + string(binary.BigEndian.AppendUint64(nil, uint64(n))) }

func key(name string) string { return long(len(name)) + name }

func text(s string) string { return "S" + long(len(s)) + s }

func floats(values ...float32) string {
	var raw []byte
	for _, v := range values {
		raw = binary.BigEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return "[$d#" + long(len(values)) + string(raw)
}

func ints(values ...int32) string {
	var raw []byte
	for _, v := range values {
		raw = binary.BigEndian.AppendUint32(raw, uint32(v))
	}
	return "[$l#" + long(len(values)) + string(raw)
}

// tinyUBJSON is the tiny model.
var tinyUBJSON = "{" + key("learner") + "{" + key("feature_names") + "[#" + long(2) + text("a") + text("b") +
	key("gradient_booster") + "{" + key("model") + "{" + key("gbtree_model_param") + "{" + key("num_trees") + text("1") + "}" +
	key("tree_info") + ints(0) + key("trees") + "[#" + long(1) + "{" +
	key("base_weights") + floats(0, -1, 1) + key("default_left") + "[$U#" + long(3) + "\x01\x00\x00" +
	key("left_children") + ints(1, -1, -1) + key("loss_changes") + floats(5, 0, 0) + key("right_children") + ints(2, -1, -1) +
	key("split_conditions") + floats(2.5, -1, 1) + key("split_indices") + ints(1, 0, 0) + key("sum_hessian") + floats(4, 2, 2) +
	key("tree_param") + "{" + key("num_deleted") + text("0") + key("num_nodes") + text("3") + "}" +
	"}}" + key("name") + text("gbtree") + "}" +
	key("learner_model_param") + "{" + key("base_score") + text("2.5E-1") + key("num_feature") + text("2") + "}" +
	key("objective") + "{" + key("name") + text("reg:squarederror") + "}}}"

func TestReadUBJSONTakesOtherSpellings(t *testing.T) {
	for name, edit := range map[string][2]string{
		"as is":             {"", ""},
		"no-ops":            {key("tree_info"), "NN" + key("tree_info")},
		"small integers":    {ints(1, -1, -1), "[i\x01i\xffI\xff\xff]"},
		"typed strings":     {"[#" + long(2) + text("a") + text("b"), "[$S#i\x02i\x01ai\x01b"},
		"characters":        {text("a") + text("b"), "CaCb"},
		"doubles":           {floats(4, 2, 2), "[D\x40\x10\x00\x00\x00\x00\x00\x00D\x40\x00\x00\x00\x00\x00\x00\x00D\x40\x00\x00\x00\x00\x00\x00\x00]"},
		"truth":             {"[$U#" + long(3) + "\x01\x00\x00", "[TFF]"},
		"counted object":    {"{" + key("num_trees") + text("1") + "}", "{#i\x01" + key("num_trees") + text("1")},
		"typed object":      {"{" + key("num_trees") + text("1") + "}", "{$i#i\x01" + key("num_trees") + "\x01"},
		"nothing":           {key("tree_info"), key("other") + "Z" + key("tree_info")},
		"number base score": {text("2.5E-1"), "d\x3e\x80\x00\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := gbdt.ReadModel(strings.NewReader(strings.Replace(tinyUBJSON, edit[0], edit[1], 1)))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []struct{ b, want float32 }{{2.4, -0.75}, {2.5, 1.25}, {float32(math.NaN()), -0.75}} {
				if got := m.PredictRow([]float32{0, c.b}); got != c.want {
					t.Errorf("b=%v: %v, want %v", c.b, got, c.want)
				}
			}
			if got := m.FeatureNames(); len(got) != 2 || got[0] != "a" || got[1] != "b" {
				t.Errorf("names %q", got)
			}
		})
	}
}

func TestReadUBJSONRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"more":             {tinyUBJSON, tinyUBJSON + "Z", "1 bytes after the model"},
		"not a model":      {tinyUBJSON, "{" + key("a") + "i\x01}", "not an XGBoost model"},
		"other objective":  {text("reg:squarederror"), text("rank:ndcg"), `objective "rank:ndcg"`},
		"child range":      {ints(1, -1, -1), ints(7, -1, -1), "child 7 is not one of 3 nodes"},
		"unknown type":     {ints(0), "Q", `'Q' is not a type`},
		"big number":       {ints(0), "[Hi\x011]", "high-precision"},
		"typed nothing":    {ints(0), "[$Z#" + long(1<<40), `containers of type 'Z'`},
		"typed containers": {ints(0), "[$[#i\x01", `containers of type '['`},
		"type, no count":   {ints(0), "[$i\x00", "a type but no count"},
		"long array":       {ints(0), "[$l#" + long(1<<60), "length 1152921504606846976"},
		"negative length":  {ints(0), "[#" + long(-1), "length -1"},
		"text for length":  {ints(0), "[#S", `a length begins with 'S'`},
		"infinite":         {floats(4, 2, 2), floats(4, float32(math.Inf(1)), 2), "sum_hessian are infinite or not a number"},
		"not a number":     {floats(4, 2, 2), floats(4, float32(math.NaN()), 2), "sum_hessian are infinite or not a number"},
		"text":             {text("a"), text("\xff"), "not UTF-8"},
		"character":        {text("a"), "C\xff", "not ASCII"},
		"twice":            {key("tree_info"), key("name") + "Z" + key("name") + "Z" + key("tree_info"), `"name" is twice`},
		"deep":             {ints(0), strings.Repeat("[", 40), "more than 32 deep"},
	} {
		t.Run(name, func(t *testing.T) {
			edited := strings.Replace(tinyUBJSON, c.old, c.new, 1)
			if edited == tinyUBJSON {
				t.Fatal("the edit did not change the model")
			}
			_, err := gbdt.ReadModel(strings.NewReader(edited))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		for n := range tinyUBJSON {
			if _, err := gbdt.ReadModel(strings.NewReader(tinyUBJSON[:n])); err == nil {
				t.Errorf("the first %d bytes are a model", n)
			}
		}
	})
	t.Run("pickle", func(t *testing.T) {
		_, err := gbdt.ReadModel(strings.NewReader("\x80\x04\x95"))
		if err == nil || !strings.Contains(err.Error(), "pickle") {
			t.Errorf("error %v", err)
		}
	})
}

// Whatever is read is written, read and predicted the same, in the other format.
func FuzzReadUBJSON(f *testing.F) {
	f.Add([]byte(tinyUBJSON))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := gbdt.ReadUBJSON(bytes.NewReader(data))
		if err != nil || m.NumFeatures() > 1000 {
			return
		}
		again, err := gbdt.ReadModel(bytes.NewReader(modelBytes(t, m)))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		x := gbdt.Matrix{Rows: 1, Cols: m.NumFeatures(), Data: make([]float32, m.NumFeatures())}
		n := max(1, m.NumClasses())
		a, b, unused := make([]float32, n), make([]float32, n), make([]float32, n)
		predict(m, x, a, unused)
		predict(again, x, b, unused)
		for k := range a {
			if math.Float32bits(a[k]) != math.Float32bits(b[k]) && a[k] == a[k] {
				t.Errorf("output %d: %v, read again %v", k, a[k], b[k])
			}
		}
	})
}
