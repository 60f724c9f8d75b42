// Package hyperparameters is what the built-in trainer can be asked for, by
// XGBoost's names: a definition is checked with it before anything runs, and the
// trainer reads its parameters with it.
package hyperparameters

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Objectives.
const (
	Logistic     = "binary:logistic"
	SquaredError = "reg:squarederror"
	// Softmax has NumClass classes, labelled 0, 1, 2 and so on, and a tree a round for
	// each. multi:softmax, whose trees are the same, is refused: it hides the probabilities.
	Softmax = "multi:softprob"
)

// MaxClasses bounds NumClass.
const MaxClasses = 4096

// MaxMagnitude bounds numbers so that no sum or float32 overflows.
const MaxMagnitude float64 = 1 << 100

// Params are the training parameters, by XGBoost's meaning of them. Start from
// Default: the zero value is refused by Train.
type Params struct {
	// Objective is Logistic, SquaredError or Softmax.
	Objective string
	// NumClass is the number of classes with Softmax, else 0.
	NumClass int
	// Rounds is the number of trees (num_round), of each class with Softmax.
	Rounds int
	// Eta shrinks every leaf, in (0, 1].
	Eta float64
	// Lambda is the L2 penalty on leaf weights.
	Lambda float64
	// Gamma is the least gain of a split.
	Gamma float64
	// MinChildWeight is the least sum of hessians in a child.
	MinChildWeight float64
	// Subsample is the share of rows that each tree sees, in (0, 1].
	Subsample float64
	// ColsampleByTree is the share of features that each tree sees, in (0, 1].
	ColsampleByTree float64
	// ScalePosWeight multiplies the weight of rows labelled 1; Logistic only.
	ScalePosWeight float64
	// MaxDepth is the depth of the trees, 1 to 24.
	MaxDepth int
	// MaxBin bounds the bins of a feature, that of missing values included; 2 to 65535.
	MaxBin int
	// Seed chooses the samples of rows and features.
	Seed int64
	// EarlyStoppingRounds, if not 0, ends training when the metric on the validation
	// data has not improved for that many rounds; the model is cut at its best round.
	EarlyStoppingRounds int
	// Threads is the number of threads, 0 for one per CPU. It never changes the model.
	Threads int
	// BaseScore is the prediction before the first tree; nil for the mean label. With
	// Softmax it is the margin of every class; nil for 0.5.
	BaseScore *float64
	// EvalMetric is "logloss", "rmse" or "mlogloss", by the objective, or empty.
	EvalMetric string
}

// Default has XGBoost's defaults, and 100 rounds.
func Default() Params {
	return Params{
		Objective: SquaredError, Rounds: 100, Eta: 0.3, Lambda: 1, MinChildWeight: 1,
		Subsample: 1, ColsampleByTree: 1, ScalePosWeight: 1, MaxDepth: 6, MaxBin: 256,
	}
}

// ForPipeline reads the hyperparameters of a pipeline whose model learns objective,
// "binary", "regression" or "multiclass" with so many classes. Those that SageMaker's toolkit reserves for itself are passed
// over; seed, objective and num_class come from the pipeline unless they are given, and what
// contradicts the pipeline is refused. The error is an *Error.
func ForPipeline(objective string, classes int, seed int64, given map[string]string) (Params, error) {
	h := map[string]string{}
	for name, text := range given {
		if !strings.HasPrefix(name, "sagemaker_") && name != "_tuning_objective_metric" {
			h[name] = text
		}
	}
	want := map[string]string{"binary": Logistic, "regression": SquaredError, "multiclass": Softmax}[objective]
	if _, given := h["objective"]; !given {
		h["objective"] = want
	}
	if _, given := h["num_class"]; !given && classes > 0 {
		h["num_class"] = strconv.Itoa(classes)
	}
	if h["seed"] == "" && h["random_state"] == "" {
		h["seed"] = strconv.FormatInt(seed, 10)
	}
	p, err := Parse(h)
	if err != nil {
		return p, err
	}
	if p.Objective != want {
		return p, &Error{Problems: []Problem{{"objective", fmt.Sprintf("objective %s does not fit the pipeline's metric, which wants %s", p.Objective, want)}}}
	}
	if want == Softmax && p.NumClass != classes {
		return p, &Error{Problems: []Problem{{"num_class", fmt.Sprintf("num_class is %d, and the label has %d classes: leave it out", p.NumClass, classes)}}}
	}
	return p, nil
}

// Problem is one thing wrong with a set of parameters.
type Problem struct {
	Name string // as it was given; the parameter's own name if it was not
	Text string // names the parameter
}

// Error lists every problem found in a set of parameters.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.Text
	}
	return "invalid training parameters: " + strings.Join(texts, "; ")
}

// setters parse one parameter each, by XGBoost's name.
var setters = map[string]func(p *Params, text string) error{
	"objective":             func(p *Params, s string) error { p.Objective = s; return nil },
	"num_class":             func(p *Params, s string) error { return setInt(&p.NumClass, s) },
	"num_round":             func(p *Params, s string) error { return setInt(&p.Rounds, s) },
	"eta":                   func(p *Params, s string) error { return setFloat(&p.Eta, s) },
	"lambda":                func(p *Params, s string) error { return setFloat(&p.Lambda, s) },
	"gamma":                 func(p *Params, s string) error { return setFloat(&p.Gamma, s) },
	"max_depth":             func(p *Params, s string) error { return setInt(&p.MaxDepth, s) },
	"min_child_weight":      func(p *Params, s string) error { return setFloat(&p.MinChildWeight, s) },
	"subsample":             func(p *Params, s string) error { return setFloat(&p.Subsample, s) },
	"colsample_bytree":      func(p *Params, s string) error { return setFloat(&p.ColsampleByTree, s) },
	"scale_pos_weight":      func(p *Params, s string) error { return setFloat(&p.ScalePosWeight, s) },
	"max_bin":               func(p *Params, s string) error { return setInt(&p.MaxBin, s) },
	"early_stopping_rounds": func(p *Params, s string) error { return setInt(&p.EarlyStoppingRounds, s) },
	"nthread":               func(p *Params, s string) error { return setInt(&p.Threads, s) },
	"eval_metric":           func(p *Params, s string) error { p.EvalMetric = s; return nil },
	"seed": func(p *Params, s string) error {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return errors.New("must be a whole number")
		}
		p.Seed = v
		return nil
	},
	"base_score": func(p *Params, s string) error {
		p.BaseScore = new(float64)
		return setFloat(p.BaseScore, s)
	},
}

// aliases are XGBoost's other names.
var aliases = map[string]string{
	"learning_rate": "eta", "reg_lambda": "lambda", "min_split_loss": "gamma", "reg_alpha": "alpha",
	"num_boost_round": "num_round", "n_estimators": "num_round", "random_state": "seed", "n_jobs": "nthread",
}

// fixed are parameters whose only supported values are those listed, of numbers in any
// spelling.
var fixed = map[string][]string{
	"tree_method":       {"hist", "auto"},
	"booster":           {"gbtree"},
	"grow_policy":       {"depthwise"},
	"sampling_method":   {"uniform"},
	"alpha":             {"0"},
	"max_leaves":        {"0"},
	"max_delta_step":    {"0"},
	"colsample_bylevel": {"1"},
	"colsample_bynode":  {"1"},
	"num_parallel_tree": {"1"},
	"device":            {"cpu"},
}

// absent are the other parameters that XGBoost or its container documents.
var absent = strings.Fields(`
	verbosity silent gpu_id validate_parameters disable_default_eval_metric seed_per_iteration
	updater refresh_leaf process_type predictor sketch_eps sketch_ratio
	monotone_constraints interaction_constraints feature_weights multi_strategy
	enable_categorical max_cat_to_onehot max_cat_threshold max_cached_hist_node extmem_single_page
	single_precision_histogram deterministic_histogram
	sample_type normalize_type rate_drop one_drop skip_drop feature_selector top_k
	tweedie_variance_power huber_slope quantile_alpha
	aft_loss_distribution aft_loss_distribution_scale
	lambdarank_pair_method lambdarank_num_pair_per_sample lambdarank_normalization
	lambdarank_score_normalization lambdarank_unbiased lambdarank_bias_norm lambdarank_diff_normalization ndcg_exp_gain
	lambda_bias csv_weights dsplit prob_buffer_row save_model_on_termination use_dask_gpu_training
`)

// isOneOf tells whether a value is one of those allowed, of which numbers may be spelt in
// other ways.
func isOneOf(text string, allowed []string) bool {
	if v, err := strconv.ParseFloat(text, 64); err == nil {
		text = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return slices.Contains(allowed, text)
}

// Parse reads parameters by XGBoost's names; those left out have XGBoost's
// defaults. The error is a *Error with all problems, each with its parameter.
func Parse(in map[string]string) (Params, error) {
	p := Default()
	var problems []Problem
	given := make(map[string]string, len(in)) // canonical name to the name used
	names := slices.Sorted(maps.Keys(in))
	failed := make(map[string]bool)
	for _, used := range names {
		name, text := used, strings.TrimSpace(in[used])
		if canonical, ok := aliases[name]; ok {
			name = canonical
		}
		if other, twice := given[name]; twice {
			problems = append(problems, Problem{used, fmt.Sprintf("%s and %s are the same parameter: give one", other, used)})
			continue
		}
		given[name] = used
		if allowed, ok := fixed[name]; ok {
			if !isOneOf(text, allowed) {
				problems = append(problems, Problem{used, fmt.Sprintf("%s=%q is not supported: only %s is", used, text, strings.Join(allowed, " or "))})
			}
			continue
		}
		set, ok := setters[name]
		if !ok && slices.Contains(absent, name) {
			instead := "leave it out"
			if name == "csv_weights" { // of AWS's container
				instead += ", and say data.weight"
			}
			problems = append(problems, Problem{used, used + " is not supported by the built-in trainer: " + instead})
			continue
		}
		if !ok {
			problems = append(problems, Problem{used, used + " is unknown" + hint(used)})
			continue
		}
		if err := set(&p, text); err != nil {
			problems = append(problems, Problem{used, fmt.Sprintf("%s=%q %v", used, text, err)})
			failed[name] = true
		}
	}
	for _, pr := range p.problems() {
		if !failed[pr.Name] {
			pr.Name = cmp.Or(given[pr.Name], pr.Name)
			problems = append(problems, pr)
		}
	}
	if len(problems) > 0 {
		return Params{}, &Error{Problems: problems}
	}
	return p, nil
}

// problems says what is wrong with the values, apart from the data.
func (p Params) problems() []Problem {
	var out []Problem
	need := func(ok bool, name, format string, args ...any) {
		if !ok {
			out = append(out, Problem{name, name + " " + fmt.Sprintf(format, args...)})
		}
	}
	atLeast0 := func(v float64, name string) {
		need(v >= 0 && v <= math.MaxFloat32, name, "must be a number of at least 0, is %v", v)
	}
	share := func(v float64, name string) {
		need(v > 0 && v <= 1, name, "must be above 0 and at most 1, is %v", v)
	}
	metric, known := Metrics[p.Objective]
	if p.Objective == "multi:softmax" {
		need(false, "objective", "multi:softmax is not supported: %s has the same trees, and all probabilities", Softmax)
	} else {
		need(known, "objective", "must be %s, %s or %s, is %q", Logistic, SquaredError, Softmax, p.Objective)
	}
	need(p.Rounds >= 1 && p.Rounds <= 1_000_000, "num_round", "must be 1 to 1000000, is %d", p.Rounds)
	share(p.Eta, "eta")
	atLeast0(p.Lambda, "lambda")
	atLeast0(p.Gamma, "gamma")
	atLeast0(p.MinChildWeight, "min_child_weight")
	share(p.Subsample, "subsample")
	share(p.ColsampleByTree, "colsample_bytree")
	need(p.ScalePosWeight > 0 && p.ScalePosWeight <= MaxMagnitude, "scale_pos_weight", "must be above 0, is %v", p.ScalePosWeight)
	need(p.MaxDepth >= 1 && p.MaxDepth <= 24, "max_depth", "must be 1 to 24, is %d", p.MaxDepth)
	need(p.MaxBin >= 2 && p.MaxBin <= 65535, "max_bin", "must be 2 to 65535, is %d", p.MaxBin)
	need(p.EarlyStoppingRounds >= 0, "early_stopping_rounds", "must be at least 0, is %d", p.EarlyStoppingRounds)
	need(p.Threads >= 0 && p.Threads <= 1024, "nthread", "must be 0 (all) to 1024, is %d", p.Threads)
	if known {
		need(p.EvalMetric == "" || p.EvalMetric == metric, "eval_metric", "must be %s with %s, is %q", metric, p.Objective, p.EvalMetric)
	}
	if known && p.Objective != Logistic {
		need(p.ScalePosWeight == 1, "scale_pos_weight", "has no meaning with %s", p.Objective)
	}
	if p.Objective == Softmax {
		need(p.NumClass >= 2 && p.NumClass <= MaxClasses, "num_class", "must be 2 to %d with %s, is %d", MaxClasses, p.Objective, p.NumClass)
	} else if known {
		need(p.NumClass == 0 || p.NumClass == 1, "num_class", "has no meaning with %s", p.Objective)
	}
	if p.BaseScore != nil {
		v := float64(float32(*p.BaseScore))
		if p.Objective == Logistic {
			need(v >= 1e-6 && v <= 1-1e-6, "base_score", "must be 0.000001 to 0.999999 with %s, is %v", p.Objective, *p.BaseScore)
		} else {
			need(math.Abs(v) <= MaxMagnitude, "base_score", "must be a finite number, is %v", *p.BaseScore)
		}
	}
	return out
}

// Metrics are the objectives and the metric of each.
var Metrics = map[string]string{Logistic: "logloss", SquaredError: "rmse", Softmax: "mlogloss"}

// Metric is the name of the metric that Progress is told, by the objective.
func (p Params) Metric() string { return Metrics[p.Objective] }

// Outputs is the number of trees in a round.
func (p Params) Outputs() int {
	if p.Objective == Softmax {
		return p.NumClass
	}
	return 1
}

// Check says what is wrong with the values, apart from the data; the error is an *Error.
func (p Params) Check() error {
	if problems := p.problems(); len(problems) > 0 {
		return &Error{Problems: problems}
	}
	return nil
}

func setInt(to *int, s string) error {
	v, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return errors.New("must be a whole number")
	}
	*to = int(v)
	return nil
}

func setFloat(to *float64, s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
		return errors.New("must be a number")
	}
	*to = v
	return nil
}

// hint names the known parameter nearest to an unknown one, if any is near.
func hint(name string) string {
	var known []string
	for k := range setters {
		known = append(known, k)
	}
	for k := range aliases {
		known = append(known, k)
	}
	for k := range fixed {
		known = append(known, k)
	}
	sort.Strings(known)
	best, bestDistance := "", len(name)/3+2
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
