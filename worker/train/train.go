// Package train is the train step: it fits the boosted trees, and the straight
// line that they have to beat, on what the prepare step wrote.
package train

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/hyperparameters"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/gbdt"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/linear"
	"github.com/millrace-ml/millrace/worker/matrix"
	"github.com/millrace-ml/millrace/worker/metrics"
)

// Run trains. Metric lines go to out, one a round, in the form of XGBoost's own:
// SageMaker reads metrics from a job's log by regular expressions. An error is
// also written to the failure file.
func Run(ctx context.Context, base job.Base, out io.Writer, log *slog.Logger) error {
	err := run(ctx, base, out, log)
	if err != nil {
		err = errors.Join(err, base.WriteFailure(err))
	}
	return err
}

// data is what a training job is given.
type data struct {
	file       *jobfile.File
	rawSpec    []byte
	spec       features.Spec
	params     gbdt.Params
	train      *gbdt.Rows
	validation *gbdt.Rows
}

func run(ctx context.Context, base job.Base, out io.Writer, log *slog.Logger) error {
	d, err := load(ctx, base)
	if err != nil {
		return err
	}
	log.Info("training begins", "pipeline", d.file.Pipeline, "run", d.file.Run, "rows", d.train.X.Rows, "features", d.train.X.Cols)
	metric := d.params.Metric()
	model, err := gbdt.Train(ctx, d.params, *d.train, d.validation,
		func(round int, train, valid float64) {
			fmt.Fprintf(out, "[%d] train-%s:%.6f validation-%s:%.6f\n", round, metric, train, metric, valid)
		})
	if err != nil {
		return fmt.Errorf("train trees: %w", err)
	}
	baseline, err := straight(ctx, d)
	if err != nil {
		return fmt.Errorf("train baseline: %w", err)
	}
	log.Info("training ended", "trees", model.NumTrees(), "best_iteration", model.BestIteration())
	return write(base, d, model, baseline)
}

// straight fits the baseline.
func straight(ctx context.Context, d *data) (linear.Baseline, error) {
	x, y, w, p := d.train.X, d.train.Label, d.train.Weight, linear.DefaultParams()
	switch d.params.Objective {
	case gbdt.Logistic:
		return linear.TrainLogistic(ctx, x, y, w, p)
	case gbdt.Softmax:
		return linear.TrainClasses(ctx, x, y, d.params.NumClass, w, p)
	}
	return linear.TrainLinear(ctx, x, y, w, p)
}

func load(ctx context.Context, base job.Base) (*data, error) {
	d := &data{}
	var err error
	if d.file, err = base.TrainingFile(); err != nil {
		return nil, err
	}
	if d.rawSpec, err = os.ReadFile(filepath.Join(base.Channel("prepared"), filepath.Base(bundle.SpecFile))); err != nil {
		return nil, fmt.Errorf("read channel prepared: %w", err)
	}
	if d.spec, _, err = features.Load(d.rawSpec); err != nil {
		return nil, fmt.Errorf("read channel prepared: %w", err)
	}
	given, err := base.Hyperparameters()
	if err != nil {
		return nil, err
	}
	if d.params, err = hyperparameters.ForPipeline(d.spec.Objective, len(d.spec.Classes), d.file.Definition.Train.Seed, given); err != nil {
		return nil, fmt.Errorf("read hyperparameters: %w", err)
	}
	weighed := d.file.Definition.Data.Weight != ""
	if d.train, err = matrix.ReadDir(ctx, base.Channel("train"), d.spec.FeatureNames, weighed); err != nil {
		return nil, fmt.Errorf("channel train: %w", err)
	}
	if d.validation, err = matrix.ReadDir(ctx, base.Channel("validation"), d.spec.FeatureNames, weighed); err != nil {
		return nil, fmt.Errorf("channel validation: %w", err)
	}
	return d, nil
}

// write fills the model folder.
func write(base job.Base, d *data, model *gbdt.Model, baseline linear.Baseline) error {
	files := map[string][]byte{bundle.SpecFile: d.rawSpec, bundle.RecipeFile: []byte(d.file.Recipe + "\n")}
	var b bytes.Buffer
	if err := model.WriteJSON(&b); err != nil {
		return fmt.Errorf("write model: %w", err)
	}
	files[bundle.ModelFile] = bytes.Clone(b.Bytes())
	b.Reset()
	if err := baseline.WriteJSON(&b); err != nil {
		return fmt.Errorf("write baseline: %w", err)
	}
	files[bundle.BaselineFile] = b.Bytes()
	if d.params.Objective == gbdt.Logistic {
		raw, err := json.Marshal(threshold(d, model))
		if err != nil {
			return fmt.Errorf("write threshold: %w", err)
		}
		files[bundle.ThresholdFile] = append(raw, '\n')
	}
	for name, raw := range files {
		if err := os.MkdirAll(filepath.Dir(base.Model(name)), 0o755); err != nil {
			return fmt.Errorf("make model folder: %w", err)
		}
		if err := os.WriteFile(base.Model(name), raw, 0o644); err != nil {
			return fmt.Errorf("write model folder: %w", err)
		}
	}
	return nil
}

// threshold is chosen on the validation rows, so that the test rows judge a
// decision that they did not make.
func threshold(d *data, model *gbdt.Model) bundle.Threshold {
	value, ok := metrics.ValueOf(d.file.Definition.Evaluate.Value)
	if !ok {
		return bundle.Threshold{Value: 0.5, Chosen: "0.5, since the definition has no value table"}
	}
	scores := make([]float32, d.validation.X.Rows)
	model.Predict(d.validation.X, scores)
	return bundle.Threshold{
		Value:  metrics.BestThreshold(d.validation.Label, scores, value),
		Chosen: "worth most by the value table on the validation rows",
	}
}
