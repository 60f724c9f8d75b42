package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/hyperparameters"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/linear"
)

// trained is the files of a tiny model.
func trained(tb testing.TB) map[string]string {
	tb.Helper()
	p, problems := features.Compile([]features.Feature{{Name: "x", Expr: "x"}}, map[string]features.Type{"x": features.Number}, features.Roles{Key: "id"})
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	fitted, err := p.NewFit().Program()
	if err != nil {
		tb.Fatal(err)
	}
	spec, err := fitted.Spec("trips", "binary").Marshal()
	if err != nil {
		tb.Fatal(err)
	}
	x := gbdt.Matrix{Rows: 4, Cols: 1, Data: []float32{0, 1, 2, 3}, Names: []string{"x"}}
	y := []float32{0, 0, 1, 1}
	params := hyperparameters.Default()
	params.Objective, params.Rounds, params.MinChildWeight = gbdt.Logistic, 2, 0
	m, err := gbdt.Train(context.Background(), params, gbdt.Rows{X: x, Label: y}, nil, nil)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := linear.TrainLogistic(context.Background(), x, y, nil, linear.DefaultParams())
	if err != nil {
		tb.Fatal(err)
	}
	var model, baseline bytes.Buffer
	if err := errors.Join(m.WriteJSON(&model), l.WriteJSON(&baseline)); err != nil {
		tb.Fatal(err)
	}
	return map[string]string{
		bundle.SpecFile: string(spec), bundle.ModelFile: model.String(), bundle.BaselineFile: baseline.String(),
		bundle.ThresholdFile: `{"threshold":0.25,"chosen":"by hand"}`,
	}
}

func pack(tb testing.TB, files map[string]string) []byte {
	tb.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// A folder of before the files had a folder of their own must not pass for a model of
// XGBoost's container, whose rows are other columns.
func TestFromDirOfAnOlderLayout(t *testing.T) {
	dir, files := t.TempDir(), trained(t)
	write(t, filepath.Join(dir, bundle.ModelFile), files[bundle.ModelFile])
	if b, err := bundle.FromDir(dir); err != nil || b.Program != nil {
		t.Fatalf("the model alone: %v", err)
	}
	write(t, filepath.Join(dir, "serving.json"), files[bundle.SpecFile])
	if _, err := bundle.FromDir(dir); err == nil || !strings.Contains(err.Error(), "train the model again") {
		t.Errorf("error is %v", err)
	}
}

func TestFromTarAndDir(t *testing.T) {
	files, dir := trained(t), t.TempDir()
	inTar := map[string]string{"./code/inference.py": "print()", "../../evil": "x"}
	for name, text := range files {
		inTar["./"+name] = text
		write(t, filepath.Join(dir, name), text)
	}
	one, err := bundle.FromTar(bytes.NewReader(pack(t, inTar)))
	if err != nil {
		t.Fatal(err)
	}
	two, err := bundle.FromDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*bundle.Bundle{one, two} {
		if b.Spec.Objective != "binary" || b.Threshold == nil || b.Threshold.Value != 0.25 || b.Baseline == nil || b.Columns()[0] != "x" {
			t.Errorf("bundle is %+v", b)
		}
		if low, high := b.Model.PredictRow([]float32{0}), b.Model.PredictRow([]float32{3}); !(low < high) {
			t.Errorf("scores are %v and %v", low, high)
		}
	}
}

func TestFromTarRefuses(t *testing.T) {
	change := func(name, text string) []byte {
		files := trained(t)
		files[name] = text
		if text == "" {
			delete(files, name)
		}
		return pack(t, files)
	}
	good := trained(t)
	tests := map[string]struct {
		in   []byte
		want string
	}{
		"not gzip":        {[]byte("this is no archive"), "gzip"},
		"cut short":       {pack(t, good)[:60], "EOF"},
		"no model":        {change(bundle.ModelFile, ""), "there is no model in it: no file xgboost-model"},
		"no spec":         {change(bundle.SpecFile, ""), "no file millrace/serving.json"},
		"broken spec":     {change(bundle.SpecFile, "{"), "serving.json"},
		"broken model":    {change(bundle.ModelFile, `{"learner":{}}`), "xgboost-model"},
		"broken line":     {change(bundle.BaselineFile, "{"), "baseline.json"},
		"bad threshold":   {change(bundle.ThresholdFile, `{"threshold":-1}`), "is no probability"},
		"text threshold":  {change(bundle.ThresholdFile, `no`), "threshold.json"},
		"other feature":   {change(bundle.ModelFile, strings.Replace(good[bundle.ModelFile], `"feature_names":["x"]`, `"feature_names":["z"]`, 1)), `xgboost-model was not trained on the features of millrace/serving.json: match data to model: column 0 is named "x", want "z"`},
		"more features":   {change(bundle.ModelFile, strings.NewReplacer(`"feature_names":["x"]`, `"feature_names":["x","z"]`, `"num_feature":"1","num_target"`, `"num_feature":"2","num_target"`).Replace(good[bundle.ModelFile])), `matrix has 1 columns, want 2`},
		"other objective": {change(bundle.SpecFile, strings.Replace(good[bundle.SpecFile], `"binary"`, `"regression"`, 1)), "serving.json says regression"},
		"other classes":   {change(bundle.SpecFile, strings.Replace(good[bundle.SpecFile], `"binary"`, `"multiclass","classes":["a","b","c"]`, 1)), "serving.json says multiclass"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := bundle.FromTar(bytes.NewReader(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := bundle.FromTar(bytes.NewReader(change(bundle.ModelFile, ""))); !errors.Is(err, bundle.ErrNoModel) {
		t.Errorf("error is %v, want ErrNoModel", err)
	}
}

// FuzzFromTar holds that no archive makes it panic.
func FuzzFromTar(f *testing.F) {
	f.Add(pack(f, trained(f)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b, err := bundle.FromTar(bytes.NewReader(raw)); err == nil {
			b.Model.PredictRow(make([]float32, b.Model.NumFeatures()))
		}
	})
}
