package runs

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/jobs"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/shared/recipe"
	"github.com/millrace-ml/millrace/statemachine"
)

// stepPlan is a step's job, and what it reads that must be written first.
type stepPlan struct {
	job      jobs.Job
	request  jobs.Request
	digest   string            // "" when the result is the run's own
	outputs  map[string]string // S3 URIs by name
	file     jobfile.File
	manifest []jobfile.DataFile // files that the job reads through a manifest
}

func (s *Steps) plan(ctx context.Context, run ledger.Run, step ledger.Step) (stepPlan, error) {
	prefix := s.Ledger.URI(ledger.RunKey(run.Pipeline, run.Run, step.Step)) + "/"
	p := stepPlan{
		job: jobs.Job{Pipeline: run.Pipeline, Run: run.Run, Step: step.Step, Attempt: step.Attempt, Image: s.Image, Role: s.Role,
			Config: prefix + "config/", Output: prefix},
		file: jobfile.File{Pipeline: run.Pipeline, Run: run.Run, Step: step.Step, Attempt: step.Attempt, Definition: run.Definition, Recipe: run.Digest},
	}
	if run.Recipe != nil { // not what was deployed meanwhile: the recipe names what made the model
		p.job.Image = run.Recipe.Image
	}
	p.file.Image = p.job.Image
	var err error
	switch step.Step {
	case statemachine.StepPrepare:
		err = s.planPrepare(ctx, run, &p)
	case statemachine.StepTrain:
		err = s.planTrain(ctx, run, &p)
	case statemachine.StepEvaluate:
		err = s.planEvaluate(ctx, run, &p)
	case statemachine.StepPrepareScores:
		err = s.planPrepareScores(ctx, run, &p)
	case statemachine.StepScore:
		err = s.planScore(ctx, run, &p)
	default:
		err = statemachine.Failf(statemachine.ErrInvalid, "no step is named %q", step.Step)
	}
	if p.outputs == nil {
		p.outputs = p.job.OutputURIs()
	}
	return p, err
}

func (s *Steps) manifestInput(p *stepPlan, files []jobfile.DataFile) jobs.Input {
	p.file.Dataset, p.manifest = &jobfile.Dataset{Files: files}, files
	return jobs.Input{Name: "data", URI: p.job.Output + "data.manifest", Manifest: true}
}

// machines are those of the definition, but no more than there are files: a
// machine without one has nothing to do.
func machines(r definition.Resources, files []jobfile.DataFile) definition.Resources {
	r.Count = max(1, min(r.Count, len(files)))
	return r
}

func (s *Steps) planPrepare(ctx context.Context, run ledger.Run, p *stepPlan) (err error) {
	if run.Recipe == nil {
		return statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has no recipe to prepare", run.Pipeline, run.Run)
	}
	inputs := []jobs.Input{s.manifestInput(p, run.Recipe.Dataset)}
	last, found, err := s.lastDataset(ctx, run, p)
	if err != nil {
		return err
	}
	if found {
		inputs = append(inputs, last)
	}
	for _, c := range run.Causes { // sorted by time
		p.file.Asked = &c.Time
	}
	if p.digest, err = run.Recipe.PrepareDigest(); err != nil {
		return err
	}
	// A check of freshness or drift depends on more than the recipe.
	asked := map[string]any{}
	for _, c := range run.Definition.Quality {
		if c.Fresh > 0 {
			asked["asked"] = p.file.Asked
		}
		if c.Drift != nil {
			asked["last"] = p.file.Last
		}
	}
	if len(asked) > 0 {
		asked["prepare"] = p.digest
		p.digest, err = recipe.Digest(asked)
	}
	p.request = p.job.Process(machines(run.Definition.Prepare, run.Recipe.Dataset), inputs...)
	return err
}

// lastDataset is the description of the dataset that the version in service was
// trained on; found is false when there is none.
func (s *Steps) lastDataset(ctx context.Context, run ledger.Run, p *stepPlan) (in jobs.Input, found bool, err error) {
	last, err := s.Ledger.PinService(ctx, run.Pipeline, run.Run, ledger.AsLast)
	if err != nil || !last.Found {
		return in, false, err
	}
	d, _, found, err := s.Ledger.Decision(ctx, run.Pipeline, last.Version)
	if err != nil || !found {
		return in, false, err
	}
	done, _, found, err := s.Ledger.Step(ctx, run.Pipeline, d.Run, statemachine.StepPrepare)
	if err != nil || !found || done.Outputs["quality"] == "" {
		return in, false, err
	}
	p.file.Last = &jobfile.Last{Version: last.Version, Run: d.Run}
	return jobs.Input{Name: "last", URI: done.Outputs["quality"]}, true, nil
}

func (s *Steps) planTrain(ctx context.Context, run ledger.Run, p *stepPlan) error {
	prepared, err := s.outputs(ctx, run, statemachine.StepPrepare)
	if err != nil {
		return err
	}
	p.digest, err = run.Recipe.TrainDigest()
	p.request = p.job.Train(run.Definition.Train, prepared)
	p.outputs = map[string]string{} // SageMaker chooses the model's place
	return err
}

func (s *Steps) planEvaluate(ctx context.Context, run ledger.Run, p *stepPlan) error {
	prepared, err := s.outputs(ctx, run, statemachine.StepPrepare)
	if err != nil {
		return err
	}
	trained, err := s.outputs(ctx, run, statemachine.StepTrain)
	if err != nil {
		return err
	}
	inputs := []jobs.Input{{Name: "model", URI: trained["model"]}, {Name: "test", URI: prepared["test"]}, {Name: "rows", URI: prepared["rows"]},
		{Name: "quality", URI: prepared["quality"]}}
	champion, err := s.Ledger.PinService(ctx, run.Pipeline, run.Run, ledger.AsChampion)
	if err != nil {
		return err
	}
	if champion.Found {
		p.file.Champion = &jobfile.Champion{Version: champion.Version, Metrics: champion.Metrics}
		inputs = append(inputs, jobs.Input{Name: "champion", URI: champion.ModelData})
		if champion.Baseline != "" { // versions in service since before that was noted have none
			inputs = append(inputs, jobs.Input{Name: "baseline", URI: prepared["baseline"]}, jobs.Input{Name: "champion-baseline", URI: champion.Baseline})
		}
	}
	p.digest, err = run.Recipe.EvaluateDigest(run.Definition.Evaluate, championDigest(champion))
	p.request = p.job.Process(run.Definition.Evaluate.Resources, inputs...)
	return err
}

// championDigest names the version to beat; versions that were not trained by
// Millrace are named by their ARN.
func championDigest(c ledger.Pinned) string {
	switch {
	case !c.Found:
		return ""
	case c.TrainDigest != "":
		return c.TrainDigest
	}
	return c.Package
}

// serving is the version that the run scores with: the same for all its steps,
// since rows are prepared for one model's columns.
func (s *Steps) serving(ctx context.Context, run ledger.Run) (ledger.Pinned, error) {
	serving, err := s.Ledger.PinService(ctx, run.Pipeline, run.Run, ledger.AsServing)
	if err == nil && !serving.Found {
		err = statemachine.Failf(statemachine.ErrInvalid, "no version of %s is in service", run.Pipeline)
	}
	return serving, err
}

func (s *Steps) planPrepareScores(ctx context.Context, run ledger.Run, p *stepPlan) error {
	serving, err := s.serving(ctx, run)
	if err != nil {
		return err
	}
	set, found, err := s.Ledger.Scores(ctx, run.Pipeline, run.Run)
	if err != nil {
		return err
	}
	if !found {
		return statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has no files to score", run.Pipeline, run.Run)
	}
	inputs := []jobs.Input{s.manifestInput(p, set.Files), {Name: "model", URI: serving.ModelData}}
	if serving.Baseline != "" {
		inputs = append(inputs, jobs.Input{Name: "baseline", URI: serving.Baseline})
	}
	p.request = p.job.Process(machines(run.Definition.Prepare, set.Files), inputs...)
	return nil
}

func (s *Steps) planScore(ctx context.Context, run ledger.Run, p *stepPlan) error {
	serving, err := s.serving(ctx, run)
	if err != nil {
		return err
	}
	rows, err := s.done(ctx, run, statemachine.StepPrepareScores)
	if err != nil {
		return err
	}
	p.job.Output = s.Ledger.URI(ledger.RunKey(run.Pipeline, run.Run, "scores")) + "/"
	p.outputs = map[string]string{"scores": p.job.Output}
	classes, _ := rows.Facts["classes"].(float64) // of the model; it has none when it gives one score
	p.request = p.job.Transform(serving.Model, rows.Outputs["batch"], int(classes), run.Definition.Release.Resources)
	return nil
}

// outputs are what an earlier step of the run wrote.
func (s *Steps) outputs(ctx context.Context, run ledger.Run, step string) (map[string]string, error) {
	done, err := s.done(ctx, run, step)
	return done.Outputs, err
}

// done is a step of the run that has its result.
func (s *Steps) done(ctx context.Context, run ledger.Run, step string) (ledger.Step, error) {
	done, _, found, err := s.Ledger.Step(ctx, run.Pipeline, run.Run, step)
	if err == nil && (!found || done.Status != ledger.StepDone) {
		err = statemachine.Failf(statemachine.ErrInvalid, "run %s/%d has no result of step %s", run.Pipeline, run.Run, step)
	}
	return done, err
}

// writeInputs writes job.json and the data manifest of a step.
func (s *Steps) writeInputs(ctx context.Context, p stepPlan) error {
	if p.request.Transform != nil {
		return nil
	}
	raw, err := p.file.Marshal()
	if err != nil {
		return err
	}
	key, _ := s.Ledger.Key(p.job.Config + jobfile.Name)
	if err := s.Ledger.PutBytes(ctx, key, raw, "application/json"); err != nil {
		return err
	}
	if p.manifest == nil {
		return nil
	}
	entries := []any{map[string]string{"prefix": s.Ledger.URI(ObjectsPrefix(p.job.Pipeline))}}
	for _, f := range p.manifest {
		entries = append(entries, f.Path)
	}
	manifest, err := json.Marshal(entries)
	if err != nil {
		return fmt.Errorf("encode manifest of %s: %w", p.job.Name(), err)
	}
	key, _ = s.Ledger.Key(p.job.Output + "data.manifest")
	return s.Ledger.PutBytes(ctx, key, manifest, "application/json")
}
