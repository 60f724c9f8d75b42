package linear

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/millrace-ml/millrace/worker/gbdt"
)

// Baseline is a trained model of either kind: a *Model or a *Classes.
type Baseline interface {
	// Fits tells whether the model can predict from x.
	Fits(x gbdt.Matrix) error
	// Predict writes the scores of every row to out: one, or one for each class.
	Predict(x gbdt.Matrix, out []float32)
	// WriteJSON writes the model; the bytes depend on the model only.
	WriteJSON(w io.Writer) error
}

// Classes tells several classes apart: of each a logistic model against all others, whose
// probabilities are made to add up to 1.
type Classes struct{ Each []*Model }

// unseen is the intercept of a class that no training row has: a probability of one in a million.
var unseen = math.Log(1e-6)

// TrainClasses fits the probability of each class. y has a class from 0 to classes-1 for
// every row; weight is nil or has a number >= 0 for every row.
func TrainClasses(ctx context.Context, x gbdt.Matrix, y []float32, classes int, weight []float32, p Params) (*Classes, error) {
	if classes < 3 {
		return nil, fmt.Errorf("check training data: %d classes, want at least 3", classes)
	}
	rows := make([]int, classes)
	for r, v := range y {
		class := int(v)
		if float32(class) != v || class < 0 || class >= classes {
			return nil, fmt.Errorf("check training data: label of row %d is %v, must be a class from 0 to %d", r, v, classes-1)
		}
		rows[class]++
	}
	c := &Classes{Each: make([]*Model, classes)}
	own := make([]float32, len(y))
	for class := range c.Each {
		if rows[class] == len(y) {
			return nil, errors.New("check training data: all labels are the same: two classes are needed")
		}
		for r, v := range y {
			own[r] = 0
			if int(v) == class {
				own[r] = 1
			}
		}
		if rows[class] == 0 { // fitted to the others' rows, so that its features have their names
			c.Each[class] = &Model{objective: gbdt.Logistic, Intercept: unseen, Features: names(x)}
			continue
		}
		var err error
		if c.Each[class], err = TrainLogistic(ctx, x, own, weight, p); err != nil {
			return nil, fmt.Errorf("class %d against the others: %w", class, err)
		}
	}
	return c, nil
}

func names(x gbdt.Matrix) []Feature {
	f := make([]Feature, x.Cols)
	for i := range f {
		f[i].Name = fmt.Sprintf("f%d", i)
		if len(x.Names) > 0 {
			f[i].Name = x.Names[i]
		}
	}
	return f
}

// Fits tells whether the model can predict from x.
func (c *Classes) Fits(x gbdt.Matrix) error { return c.Each[0].Fits(x) }

// Predict writes the probability of each class, row by row. Data of another shape than
// Fits wants gets NaN.
func (c *Classes) Predict(x gbdt.Matrix, out []float32) {
	k := len(c.Each)
	if c.Fits(x) != nil || len(out) != k*x.Rows {
		for i := range out {
			out[i] = float32(math.NaN())
		}
		return
	}
	own := make([]float32, x.Rows)
	for class, m := range c.Each {
		m.Predict(x, own)
		for r, v := range own {
			out[r*k+class] = v
		}
	}
	for row := range x.Rows {
		sum := 0.0
		for _, v := range out[row*k : (row+1)*k] {
			sum += float64(v)
		}
		for i, v := range out[row*k : (row+1)*k] {
			if sum > 0 {
				out[row*k+i] = float32(float64(v) / sum)
			} else {
				out[row*k+i] = 1 / float32(k)
			}
		}
	}
}

const classesFormat = "millrace-linear-classes-1"

type classesFile struct {
	Format  string      `json:"format"`
	Classes []modelFile `json:"classes"`
}

// WriteJSON writes the model; the bytes depend on the model only.
func (c *Classes) WriteJSON(w io.Writer) error {
	f := classesFile{Format: classesFormat}
	for _, m := range c.Each {
		f.Classes = append(f.Classes, modelFile{format, m.objective, m.Intercept, m.Features})
	}
	return writeFile(w, f)
}

func (f classesFile) classes() (*Classes, error) {
	if len(f.Classes) < 3 {
		return nil, fmt.Errorf("%d classes, want at least 3", len(f.Classes))
	}
	c := &Classes{}
	for i, file := range f.Classes {
		m, err := file.model()
		switch {
		case err != nil:
			return nil, fmt.Errorf("class %d: %w", i, err)
		case m.objective != gbdt.Logistic:
			return nil, fmt.Errorf("class %d: objective is %s, want %s", i, m.objective, gbdt.Logistic)
		case i > 0 && len(m.Features) != len(c.Each[0].Features):
			return nil, fmt.Errorf("class %d has %d features, class 0 has %d", i, len(m.Features), len(c.Each[0].Features))
		}
		c.Each = append(c.Each, m)
	}
	return c, nil
}

// ReadJSON reads what either kind of model wrote, and refuses anything else.
func ReadJSON(r io.Reader) (Baseline, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxModelBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read linear model: %w", err)
	}
	if len(raw) > maxModelBytes {
		return nil, fmt.Errorf("read linear model: more than %d bytes", maxModelBytes)
	}
	var b Baseline
	var kind struct {
		Format string `json:"format"`
	}
	if err = json.Unmarshal(raw, &kind); err == nil && kind.Format == classesFormat {
		var f classesFile
		if err = strict(raw, &f); err == nil {
			b, err = f.classes()
		}
	} else if err == nil {
		var f modelFile
		if err = strict(raw, &f); err == nil {
			b, err = f.model()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read linear model: %w", err)
	}
	return b, nil
}

func strict(raw []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(to)
}
