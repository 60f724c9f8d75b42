package linear

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/millrace-ml/millrace/worker/exact"
	"github.com/millrace-ml/millrace/worker/gbdt"
)

// format names the file and its version.
const format = "millrace-linear-2"

// oldFormat is the one before features had steps. It is read, too.
const oldFormat = "millrace-linear-1"

// maxModelBytes bounds the file that ReadJSON takes.
const maxModelBytes = 256 << 20

// Model is a trained or loaded model, safe for concurrent use as long as nobody
// changes it.
type Model struct {
	objective string
	// Intercept is the score when every feature is 0.
	Intercept float64
	Features  []Feature
}

// Feature is what one column adds to the score.
type Feature struct {
	Name string `json:"name"`
	// Weight is multiplied with the value.
	Weight float64 `json:"weight"`
	// Steps, instead of a weight, are what a value in each of the bins that Cuts make adds.
	Steps []float64 `json:"steps,omitempty"`
	Cuts  gbdt.Cuts `json:"cuts,omitempty"`
	// Missing is added instead when the value is missing.
	Missing float64 `json:"missing"`
	// Scale is the standard deviation in training, 0 if the column did not vary:
	// |Weight| * Scale compares features. With steps it is that of what they add.
	Scale float64 `json:"scale"`
}

// Objective is gbdt.Logistic or gbdt.SquaredError.
func (m *Model) Objective() string { return m.objective }

// Fits tells whether the model can predict from x.
func (m *Model) Fits(x gbdt.Matrix) error {
	if x.Cols != len(m.Features) || x.Rows < 0 || len(x.Data) != x.Rows*x.Cols {
		return fmt.Errorf("match data to model: matrix of %d rows x %d columns with %d values, want %d columns",
			x.Rows, x.Cols, len(x.Data), len(m.Features))
	}
	for c, name := range x.Names {
		if c >= len(m.Features) || name != m.Features[c].Name {
			return fmt.Errorf("match data to model: column %d is named %q", c, name)
		}
	}
	return nil
}

// Predict writes a probability (logistic) or value (linear) for every row of x to
// out. Data of another shape than Fits wants gets NaN.
func (m *Model) Predict(x gbdt.Matrix, out []float32) {
	if x.Cols != len(m.Features) || len(x.Data) != x.Rows*x.Cols || len(out) != x.Rows {
		for i := range out {
			out[i] = float32(math.NaN())
		}
		return
	}
	each((x.Rows+rowBlock-1)/rowBlock, func(b int) {
		first := b * rowBlock
		scores := make([]float64, min(rowBlock, x.Rows-first))
		for i := range scores {
			scores[i] = m.Intercept
		}
		for c, f := range m.Features {
			if f.Weight == 0 && f.Missing == 0 && f.Steps == nil {
				continue
			}
			for i, v := range x.Column(c)[first : first+len(scores)] {
				scores[i] += f.adds(v)
			}
		}
		for i, s := range scores {
			out[first+i] = m.transform(s)
		}
	})
}

// PredictRow predicts one row of one value per feature; NaN for another length.
func (m *Model) PredictRow(row []float32) float32 {
	if len(row) != len(m.Features) {
		return float32(math.NaN())
	}
	score := m.Intercept
	for c, f := range m.Features {
		if f.Weight != 0 || f.Missing != 0 || f.Steps != nil {
			score += f.adds(row[c])
		}
	}
	return m.transform(score)
}

// check tells whether the fields agree with each other.
func (f *Feature) check() error {
	if f.Steps == nil && f.Cuts == nil {
		return nil
	}
	if f.Weight != 0 {
		return errors.New("has a weight and steps")
	}
	if len(f.Steps) != len(f.Cuts)+1 {
		return fmt.Errorf("has %d steps and %d cuts", len(f.Steps), len(f.Cuts))
	}
	for i := 1; i < len(f.Cuts); i++ {
		if f.Cuts[i-1] >= f.Cuts[i] {
			return fmt.Errorf("has cut %v after %v", f.Cuts[i], f.Cuts[i-1])
		}
	}
	return nil
}

func (f *Feature) adds(v float32) float64 {
	if v != v {
		return f.Missing
	}
	if f.Steps != nil {
		return f.Steps[f.Cuts.Bin(v)]
	}
	return float64(f.Weight * float64(v))
}

func (m *Model) transform(score float64) float32 {
	if m.objective == gbdt.Logistic {
		return float32(1 / (1 + exact.Exp(-score)))
	}
	return float32(score)
}

type modelFile struct {
	Format    string    `json:"format"`
	Objective string    `json:"objective"`
	Intercept float64   `json:"intercept"`
	Features  []Feature `json:"features"`
}

// WriteJSON writes the model; the bytes depend on the model only.
func (m *Model) WriteJSON(w io.Writer) error {
	return writeFile(w, modelFile{format, m.objective, m.Intercept, m.Features})
}

func writeFile(w io.Writer, f any) error {
	data, err := json.MarshalIndent(f, "", "  ")
	if err == nil {
		_, err = w.Write(append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write linear model: %w", err)
	}
	return nil
}

func (f modelFile) model() (*Model, error) {
	switch {
	case f.Format != format && f.Format != oldFormat:
		return nil, fmt.Errorf("format is %.40q, want %q", f.Format, format)
	case f.Objective != gbdt.Logistic && f.Objective != gbdt.SquaredError:
		return nil, fmt.Errorf("objective %.40q is not supported", f.Objective)
	case len(f.Features) == 0:
		return nil, errors.New("no features")
	}
	for i := range f.Features {
		if err := f.Features[i].check(); err != nil {
			return nil, fmt.Errorf("feature %.40q: %w", f.Features[i].Name, err)
		}
	}
	return &Model{objective: f.Objective, Intercept: f.Intercept, Features: f.Features}, nil
}
