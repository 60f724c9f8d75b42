package recipe_test

import (
	"testing"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/shared/recipe"
)

func def() definition.Definition {
	r := definition.Resources{Instance: "ml.m5.large", Count: 1, VolumeGB: 10, MaxRuntime: time.Hour}
	return definition.Definition{
		Name: "flights", Data: definition.Data{Format: "csv", Key: "id", Label: definition.Label{Name: "late"}, MinimumRows: 10},
		Quality: []definition.Check{{Column: "distance", Type: "number", Severity: "stop"}}, Features: []features.Feature{{Name: "hour", Expr: "hour(at)"}},
		Split: definition.Split{By: "time", Test: 0.2, Seed: 7}, Prepare: r,
		Train:    definition.Train{Resources: r, Algorithm: "builtin", Seed: 7, Hyperparameters: map[string]string{"eta": "0.1", "max_depth": "6", "num_round": "50"}},
		Evaluate: definition.Evaluate{Resources: r, Metric: "auc", Confidence: 0.95},
	}
}

func files() []jobfile.DataFile {
	return []jobfile.DataFile{
		{Key: "flights/raw/a.csv", VersionID: "v1", SHA256: "aa", Size: 1, Path: "aa/a.csv"},
		{Key: "flights/raw/b.csv", VersionID: "v2", SHA256: "bb", Size: 2, Path: "bb/b.csv"},
	}
}

func digests(t *testing.T, d definition.Definition, f []jobfile.DataFile, image string) (all, prepare, train, evaluate string) {
	t.Helper()
	r := recipe.New(d, f, image)
	var errs [4]error
	all, errs[0] = r.Digest()
	prepare, errs[1] = r.PrepareDigest()
	train, errs[2] = r.TrainDigest()
	evaluate, errs[3] = r.EvaluateDigest(d.Evaluate, "champion")
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return all, prepare, train, evaluate
}

// TestDigestsStayWhatTheyAre: a recipe's name is kept for years. When this changes,
// recipe.Version must.
func TestDigestsStayWhatTheyAre(t *testing.T) {
	all, prepare, train, evaluate := digests(t, def(), files(), "image@sha256:1")
	want := [4]string{
		"59ff9407dd454df55725dec71763e87efce8159a4f660afee589eac3b69958cf",
		"0f63763bb1ebbed35b5fb464798d47ff757c713c5888fa204d54a52d6da7f4b5",
		"957b53ad7f6f19a11d7c005a7e2cb412e0d4fc1006258ea3c30a0a6298f9cfb8",
		"1b8632447e01ef99cb41a9b5921a62ffce9e1828d490a5d1ee5878a21f8ec4df",
	}
	if got := [4]string{all, prepare, train, evaluate}; got != want {
		t.Errorf("digests are %q, want %q", got, want)
	}
	canonical, err := recipe.Digest(map[string]any{"b": 1, "a": []any{1.0, "é", nil, 1e21}})
	// printf '{"a":[1,"é",null,1e+21],"b":1}' | sha256sum
	if err != nil || canonical != "350164037b2b95b71d7f2f090fc238c69e98131d5e035460a3085a939cfcf486" {
		t.Errorf("the digest of canonical JSON is %s, %v", canonical, err)
	}
}

// TestEachPartCountsWhereItIsRead: a change of a part changes the digests of the
// steps that read it, and of no other.
func TestEachPartCountsWhereItIsRead(t *testing.T) {
	all, prepare, train, evaluate := digests(t, def(), files(), "image@sha256:1")
	tests := map[string]struct {
		change                        func(d *definition.Definition, f []jobfile.DataFile, image *string)
		all, prepare, train, evaluate bool // changed
	}{
		"nothing":             {func(*definition.Definition, []jobfile.DataFile, *string) {}, false, false, false, false},
		"a file's content":    {func(_ *definition.Definition, f []jobfile.DataFile, _ *string) { f[1].SHA256 = "cc" }, true, true, true, true},
		"a file's name":       {func(_ *definition.Definition, f []jobfile.DataFile, _ *string) { f[1].Key = "flights/raw/c.csv" }, true, true, true, true},
		"a file's version id": {func(_ *definition.Definition, f []jobfile.DataFile, _ *string) { f[1].VersionID = "v9" }, true, false, false, false},
		"data":                {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Data.MinimumRows++ }, true, true, true, true},
		"quality":             {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Quality[0].Severity = "warn" }, true, true, true, true},
		"a feature":           {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Features[0].Expr = "day(at)" }, true, true, true, true},
		"the split's seed":    {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Split.Seed++ }, true, true, true, true},
		"the image":           {func(_ *definition.Definition, _ []jobfile.DataFile, i *string) { *i = "image@sha256:2" }, true, true, true, true},
		"the training seed":   {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Train.Seed++ }, true, false, true, true},
		"a hyperparameter": {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) {
			d.Train.Hyperparameters["eta"] = "0.2"
		}, true, false, true, true},
		"the training machine":   {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Train.Instance = "ml.m5.4xlarge" }, true, false, false, false},
		"the preparing machine":  {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Prepare.Count = 2 }, false, false, false, false},
		"the gate":               {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Evaluate.Confidence = 0.9 }, false, false, false, true},
		"the evaluating machine": {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Evaluate.Instance = "x" }, false, false, false, false},
		"who approves":           {func(d *definition.Definition, _ []jobfile.DataFile, _ *string) { d.Approve.By = "policy" }, false, false, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for range 20 { // maps are walked in another order each time
				d, f, image := def(), files(), "image@sha256:1"
				tt.change(&d, f, &image)
				a, p, tr, e := digests(t, d, f, image)
				if got, want := [4]bool{a != all, p != prepare, tr != train, e != evaluate}, [4]bool{tt.all, tt.prepare, tt.train, tt.evaluate}; got != want {
					t.Fatalf("changed are (all, prepare, train, evaluate) %v, want %v", got, want)
				}
			}
		})
	}
	r := recipe.New(def(), files(), "image@sha256:1")
	if other, err := r.EvaluateDigest(def().Evaluate, "another champion"); err != nil || other == evaluate {
		t.Errorf("the champion does not count: %v", err)
	}
}

// TestRulesDigest: a file that broke the rules is read anew when those change, and
// not when anything else does.
func TestRulesDigest(t *testing.T) {
	base, err := recipe.RulesDigest(def())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*definition.Definition)
		want   bool
	}{
		"quality":         {func(d *definition.Definition) { d.Quality[0].Severity = "warn" }, true},
		"data":            {func(d *definition.Definition) { d.Data.Key = "other" }, true},
		"features":        {func(d *definition.Definition) { d.Features = nil }, true},
		"hyperparameters": {func(d *definition.Definition) { d.Train.Hyperparameters = nil }, false},
		"quiet period":    {func(d *definition.Definition) { d.Retrain.Quiet = time.Hour }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := def()
			tt.change(&d)
			if got, err := recipe.RulesDigest(d); err != nil || (got != base) != tt.want {
				t.Errorf("changed %v, %v, want %v", got != base, err, tt.want)
			}
		})
	}
}
