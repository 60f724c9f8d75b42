// Package bundle is a trained model with everything needed to ask it: the files
// of SageMaker's model folder, or of the model.tar.gz made of it.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/linear"
)

// Names of the files. AWS's XGBoost container takes every file at the top of the model
// folder for a model (and averages them), so that only the model may be there.
const (
	ModelFile     = "xgboost-model" // as that container calls it
	SpecFile      = "millrace/serving.json"
	BaselineFile  = "millrace/baseline.json"
	ThresholdFile = "millrace/threshold.json"
	RecipeFile    = "millrace/recipe.txt"
)

// Limits of what is read: a model.tar.gz comes from a bucket, and may be anything.
const (
	maxEntry = 1 << 30 // bytes
	maxTotal = 4 << 30
)

// ErrNoModel means that there is no model file.
var ErrNoModel = errors.New("there is no model in it")

// Threshold is the score from which a binary model says yes.
type Threshold struct {
	Value  float64 `json:"threshold"`
	Chosen string  `json:"chosen"` // how, for a person
}

// Bundle is a model that can be asked.
type Bundle struct {
	Spec      features.Spec
	Program   *features.Program // nil of a model that XGBoost's container trained
	Model     *gbdt.Model
	Baseline  linear.Baseline // nil without baseline.json
	Threshold *Threshold
}

// FromDir reads a model folder. One without serving.json is a model that XGBoost's own
// container trained: it has no Program, and a row of it is the features themselves.
func FromDir(dir string) (*Bundle, error) {
	files := map[string][]byte{}
	for _, name := range []string{ModelFile, SpecFile, BaselineFile, ThresholdFile} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read model folder: %w", err)
		}
		files[name] = raw
	}
	read := from
	if files[SpecFile] == nil && files[ModelFile] != nil {
		if old := filepath.Base(SpecFile); exists(filepath.Join(dir, old)) {
			return nil, fmt.Errorf("read model folder %s: %s lies beside the model, as an older Millrace had it: train the model again", dir, old)
		}
		read = bare
	}
	b, err := read(files)
	if err != nil {
		return nil, fmt.Errorf("read model folder %s: %w", dir, err)
	}
	return b, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// FromTar reads a model.tar.gz.
func FromTar(in io.Reader) (*Bundle, error) {
	files, err := untar(in)
	if err == nil {
		var b *Bundle
		if b, err = from(files); err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("read model.tar.gz: %w", err)
}

// OpenTar is FromTar of a file.
func OpenTar(at string) (*Bundle, error) {
	f, err := os.Open(at)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	defer f.Close()
	return FromTar(f)
}

func untar(in io.Reader) (map[string][]byte, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	files, total := map[string][]byte{}, int64(0)
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		switch name {
		case ModelFile, SpecFile, BaselineFile, ThresholdFile:
		default:
			continue // never written anywhere, so a path that leads out does no harm
		}
		if total += h.Size; h.Size > maxEntry || total > maxTotal {
			return nil, fmt.Errorf("%s has %d bytes, which is too large", name, h.Size)
		}
		raw, err := io.ReadAll(io.LimitReader(t, maxEntry))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = raw
	}
}

// bare makes a bundle of a model alone.
func bare(files map[string][]byte) (*Bundle, error) {
	m, err := gbdt.ReadModel(bytes.NewReader(files[ModelFile]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ModelFile, err)
	}
	b := &Bundle{Model: m, Spec: features.Spec{Objective: objectives[m.Objective()], Columns: m.FeatureNames()}}
	if len(b.Spec.Columns) == 0 {
		for i := range m.NumFeatures() {
			b.Spec.Columns = append(b.Spec.Columns, fmt.Sprintf("f%d", i))
		}
	}
	for i := range m.NumClasses() {
		b.Spec.Classes = append(b.Spec.Classes, strconv.Itoa(i))
	}
	return b, nil
}

// objectives are ours, by XGBoost's.
var objectives = map[string]string{gbdt.Logistic: "binary", gbdt.SquaredError: "regression", gbdt.Softmax: "multiclass"}

func from(files map[string][]byte) (*Bundle, error) {
	if files[ModelFile] == nil {
		return nil, fmt.Errorf("%w: no file %s", ErrNoModel, ModelFile)
	}
	if files[SpecFile] == nil {
		return nil, fmt.Errorf("%w: no file %s", ErrNoModel, SpecFile)
	}
	b := &Bundle{}
	var err error
	if b.Spec, b.Program, err = features.Load(files[SpecFile]); err != nil {
		return nil, fmt.Errorf("%s: %w", SpecFile, err)
	}
	if b.Model, err = gbdt.ReadModel(bytes.NewReader(files[ModelFile])); err != nil {
		return nil, fmt.Errorf("%s: %w", ModelFile, err)
	}
	names := b.Program.Names()
	if err := b.Model.Fits(gbdt.Matrix{Cols: len(names), Names: names}); err != nil {
		return nil, fmt.Errorf("%s was not trained on the features of %s: %w", ModelFile, SpecFile, err)
	}
	if objectives[b.Model.Objective()] != b.Spec.Objective {
		return nil, fmt.Errorf("%s is %s, %s says %s", ModelFile, b.Model.Objective(), SpecFile, b.Spec.Objective)
	}
	if got, want := b.Model.NumClasses(), len(b.Spec.Classes); got != want {
		return nil, fmt.Errorf("%s has %d classes, %s names %d", ModelFile, got, SpecFile, want)
	}
	if raw := files[BaselineFile]; raw != nil {
		if b.Baseline, err = linear.ReadJSON(bytes.NewReader(raw)); err != nil {
			return nil, fmt.Errorf("%s: %w", BaselineFile, err)
		}
	}
	if raw := files[ThresholdFile]; raw != nil {
		b.Threshold = &Threshold{}
		if err := json.Unmarshal(raw, b.Threshold); err != nil {
			return nil, fmt.Errorf("%s: %w", ThresholdFile, err)
		}
		if math.IsNaN(b.Threshold.Value) || b.Threshold.Value < 0 || b.Threshold.Value > 2 {
			return nil, fmt.Errorf("%s: threshold %v is no probability", ThresholdFile, b.Threshold.Value)
		}
	}
	return b, nil
}

// Columns are the raw columns of a row that is asked about, without the key.
func (b *Bundle) Columns() []string { return b.Program.Columns() }

// Width is how many scores a row gets: one, or one for each class.
func (b *Bundle) Width() int { return max(1, len(b.Spec.Classes)) }

// Scores asks the model about rows: Width numbers a row, the first row's first.
func (b *Bundle) Scores(x gbdt.Matrix) []float32 {
	out := make([]float32, x.Rows*b.Width())
	if len(b.Spec.Classes) > 0 {
		b.Model.PredictClasses(x, out)
	} else {
		b.Model.Predict(x, out)
	}
	return out
}
