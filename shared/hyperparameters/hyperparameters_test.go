package hyperparameters_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/shared/hyperparameters"
)

func TestParseParams(t *testing.T) {
	got, err := hyperparameters.Parse(map[string]string{
		"objective": "binary:logistic", "num_round": "200", "learning_rate": "0.1", "lambda": "2", "gamma": "0.5",
		"alpha": "0", "max_depth": "8", "min_child_weight": "3", "subsample": "0.8", "colsample_bytree": "0.7",
		"max_bin": "128", "seed": "7", "early_stopping_rounds": "10", "eval_metric": "logloss", "scale_pos_weight": "4",
		"nthread": "2", "tree_method": "hist", "base_score": "0.25", "max_delta_step": "0.00", "colsample_bynode": "1.0",
	})
	if err != nil {
		t.Fatal(err)
	}
	base := 0.25
	want := hyperparameters.Params{
		Objective: hyperparameters.Logistic, Rounds: 200, Eta: 0.1, Lambda: 2, Gamma: 0.5, MaxDepth: 8, MinChildWeight: 3,
		Subsample: 0.8, ColsampleByTree: 0.7, MaxBin: 128, Seed: 7, EarlyStoppingRounds: 10, EvalMetric: "logloss",
		ScalePosWeight: 4, Threads: 2, BaseScore: &base,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, err := hyperparameters.Parse(nil); err != nil || !reflect.DeepEqual(got, hyperparameters.Default()) {
		t.Errorf("nothing given: %+v, %v", got, err)
	}
}

func TestParseParamsRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		in   map[string]string
		want []string
	}{
		"typing error":    {map[string]string{"max_dept": "3"}, []string{"max_dept is unknown (did you mean max_depth?)"}},
		"nothing near":    {map[string]string{"importance_type": "gain"}, []string{"importance_type is unknown"}},
		"XGBoost's":       {map[string]string{"monotone_constraints": "(1)"}, []string{"monotone_constraints is not supported by the built-in trainer: leave it out"}},
		"the container's": {map[string]string{"csv_weights": "1"}, []string{"csv_weights is not supported by the built-in trainer: leave it out, and say data.weight"}},
		"not a number": {map[string]string{"eta": "fast", "max_depth": "6.5"}, []string{
			`eta="fast" must be a number`, `max_depth="6.5" must be a whole number`}},
		"not finite": {map[string]string{"lambda": "NaN", "gamma": "inf"}, []string{
			`gamma="inf" must be a number`, `lambda="NaN" must be a number`}},
		"out of range": {map[string]string{"eta": "2", "subsample": "0", "max_bin": "1", "num_round": "0", "lambda": "-1"}, []string{
			"num_round must be 1 to 1000000, is 0", "eta must be above 0 and at most 1, is 2", "lambda must be a number of at least 0, is -1",
			"subsample must be above 0 and at most 1, is 0", "max_bin must be 2 to 65535, is 1"}},
		"unsupported value": {map[string]string{"tree_method": "exact", "alpha": "1"}, []string{
			`alpha="1" is not supported: only 0 is`, `tree_method="exact" is not supported: only hist or auto is`}},
		"twice": {map[string]string{"eta": "0.1", "learning_rate": "0.2"}, []string{"eta and learning_rate are the same parameter: give one"}},
		"unknown objective": {map[string]string{"objective": "rank:ndcg"}, []string{
			`objective must be binary:logistic, reg:squarederror or multi:softprob, is "rank:ndcg"`}},
		"softmax": {map[string]string{"objective": "multi:softmax", "num_class": "3"}, []string{
			"objective multi:softmax is not supported: multi:softprob has the same trees, and all probabilities"}},
		"no classes": {map[string]string{"objective": "multi:softprob", "eval_metric": "merror", "scale_pos_weight": "2"}, []string{
			`eval_metric must be mlogloss with multi:softprob, is "merror"`, "scale_pos_weight has no meaning with multi:softprob",
			"num_class must be 2 to 4096 with multi:softprob, is 0"}},
		"too many classes": {map[string]string{"objective": "binary:logistic", "num_class": "3"}, []string{"num_class has no meaning with binary:logistic"}},
		"contradictions": {map[string]string{"objective": "reg:squarederror", "eval_metric": "logloss", "scale_pos_weight": "2"}, []string{
			`eval_metric must be rmse with reg:squarederror, is "logloss"`, "scale_pos_weight has no meaning with reg:squarederror"}},
		"base score": {map[string]string{"objective": "binary:logistic", "base_score": "1"}, []string{
			"base_score must be 0.000001 to 0.999999 with binary:logistic, is 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hyperparameters.Parse(c.in)
			var pe *hyperparameters.Error
			if !errors.As(err, &pe) {
				t.Fatalf("error %v", err)
			}
			var got []string
			for _, p := range pe.Problems {
				got = append(got, p.Text)
				if _, given := c.in[p.Name]; !given && !strings.HasPrefix(p.Text, p.Name+" ") {
					t.Errorf("%q is said of %q", p.Text, p.Name)
				}
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("problems\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
