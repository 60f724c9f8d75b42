package definition_test

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/shared/features"
)

const small = `name: flights
data: {key: id, label: late}
features:
  - name: distance
evaluate: {metric: auc}
`

const full = `# every key
name: flights-2
data:
  format: csv
  key: id
  time: at
  label: {name: late, expr: "delay > 15"}
  weight: "delay > 60 ? 2 : 1"
  minimum_rows: 500
  window: 90d
  known_after: [landed_at]
quality:
  - {column: distance, type: number, range: [0, 6e3], missing: {at_most: 0.01}, tolerance: 0.001}
  - {rows: [1000, 5e6], severity: warn}
  - {fresh: 2d, drift: {distance: 0.2, columns: [distance]}}
  - {column: origin, type: text, one_of: [ATL, ORD, 7, true], pattern: "[A-Z]{3}|7|true", severity: warn}
  - {column: id, unique: true}
features:
  - {name: hour, expr: hour(at)}
  - {name: origin, encode: onehot}
  - {name: far, expr: "distance > 1000 ? 1 : 0"}
split: {by: random, validation: 0.15, test: 0.25, seed: 9}
prepare: {instance: ml.c5.4xlarge, count: 1, volume_gb: 50, max_runtime: 2h}
train:
  algorithm: builtin
  instance: ml.m5.2xlarge
  seed: 11
  max_runtime: 1d
  hyperparameters: {max_depth: 6, eta: 0.10, tree_method: hist, gamma: 1e-05}
evaluate: {metric: logloss, at_most: 0.5, beat_champion_by: -0.01, confidence: 0.9, slices: [origin], value: {tp: 40, fp: -5.5}, leaks: stop, trusted: [distance, far], instance: ml.m5.large}
approve: {by: policy, within: 1d12h}
release: {as: batch, instance: ml.m5.xlarge, volume_gb: 10}
retrain: {quiet: 2s, schedule: cron(0 6 ? * MON *)}
`

func number(f float64) *float64 { return &f }

func TestParse(t *testing.T) {
	standard := definition.Resources{Instance: "ml.m5.xlarge", Count: 1, VolumeGB: 30, MaxRuntime: time.Hour}
	with := func(instance string, gb int, limit time.Duration) definition.Resources {
		return definition.Resources{Instance: instance, Count: 1, VolumeGB: gb, MaxRuntime: limit}
	}
	for name, c := range map[string]struct {
		src  string
		want definition.Definition
	}{
		"defaults": {small, definition.Definition{
			Name:     "flights",
			Data:     definition.Data{Format: "csv", Key: "id", Label: definition.Label{Name: "late"}, MinimumRows: 1000},
			Features: []definition.Feature{{Name: "distance", Expr: "distance"}},
			Split:    definition.Split{By: "random", Validation: 0.1, Test: 0.2, Seed: 1},
			Prepare:  standard,
			Train:    definition.Train{Resources: standard, Algorithm: "builtin", Seed: 1},
			Evaluate: definition.Evaluate{Resources: standard, Metric: "auc", Confidence: 0.95, Leaks: "warn"},
			Approve:  definition.Approve{By: "person", Within: 168 * time.Hour},
			Release:  definition.Release{As: "batch", Resources: standard},
			Retrain:  definition.Retrain{Quiet: time.Minute},
		}},
		"everything": {full, definition.Definition{
			Name: "flights-2",
			Data: definition.Data{Format: "csv", Key: "id", Time: "at", Label: definition.Label{Name: "late", Expr: "delay > 15"}, Weight: "delay > 60 ? 2 : 1", MinimumRows: 500, Window: 90 * 24 * time.Hour, KnownAfter: []string{"landed_at"}},
			Quality: []definition.Check{
				{Column: "distance", Type: "number", Range: &[2]float64{0, 6000}, Missing: &definition.Missing{AtMost: 0.01}, Severity: "stop", Tolerance: 0.001},
				{Rows: &[2]int64{1000, 5_000_000}, Severity: "warn"},
				{Fresh: 48 * time.Hour, Drift: &definition.Drift{Distance: 0.2, Significance: 0.001, Columns: []string{"distance"}}, Severity: "stop"},
				{Column: "origin", Type: "text", OneOf: []string{"ATL", "ORD", "7", "true"}, Pattern: "[A-Z]{3}|7|true", Severity: "warn"},
				{Column: "id", Unique: true, Severity: "stop"},
			},
			Features: []definition.Feature{{Name: "hour", Expr: "hour(at)"}, {Name: "origin", Expr: "origin", Encode: "onehot"}, {Name: "far", Expr: "distance > 1000 ? 1 : 0"}},
			Split:    definition.Split{By: "random", Validation: 0.15, Test: 0.25, Seed: 9},
			Prepare:  with("ml.c5.4xlarge", 50, 2*time.Hour),
			Train: definition.Train{Resources: with("ml.m5.2xlarge", 30, 24*time.Hour), Algorithm: "builtin", Seed: 11,
				Hyperparameters: map[string]string{"max_depth": "6", "eta": "0.1", "tree_method": "hist", "gamma": "1e-05"}},
			Evaluate: definition.Evaluate{Resources: with("ml.m5.large", 30, time.Hour), Metric: "logloss", AtMost: number(0.5), BeatChampionBy: -0.01,
				Confidence: 0.9, Slices: []string{"origin"}, Value: map[string]float64{"tp": 40, "fp": -5.5}, Leaks: "stop", Trusted: []string{"distance", "far"}},
			Approve: definition.Approve{By: "policy", Within: 36 * time.Hour},
			Release: definition.Release{As: "batch", Resources: with("ml.m5.xlarge", 10, time.Hour)},
			Retrain: definition.Retrain{Quiet: 2 * time.Second, Schedule: "cron(0 6 ? * MON *)"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := definition.Parse("pipeline.yaml", []byte(c.src))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got\n%+v\nwant\n%+v", *got, c.want)
			}
			data, err := got.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			var again definition.Definition
			if err := json.Unmarshal(data, &again); err != nil || !reflect.DeepEqual(again, c.want) {
				t.Errorf("through JSON: %v\n%+v", err, again)
			}
		})
	}
}

// Each case is the small definition with one thing replaced, and its problems, line:column: path: text.
func TestProblems(t *testing.T) {
	for name, c := range map[string]struct {
		old, new string
		want     []string
	}{
		"unknown key":          {"name: flights", "name: flights\nsplits: {}", []string{`2:1: unknown key "splits" (hint: did you mean split?)`}},
		"unknown inner key":    {"label: late", "label: late, tiem: at", []string{`2:30: data: unknown key "tiem" (hint: did you mean time?)`}},
		"unknown far key":      {"name: flights", "name: flights\nwibble: 1", []string{`2:1: unknown key "wibble" (hint: the keys here are name, data, quality`}},
		"duplicate key":        {"name: flights", "name: flights\nname: other", []string{`2:1: name: name is there twice, first in line 1 (hint: keep one of them)`}},
		"no name":              {"name: flights\n", "", []string{`1:1: name is missing`}},
		"empty name":           {"name: flights", "name: ''", []string{`1:7: name: is empty`}},
		"null":                 {"name: flights", "name:", []string{`1:1: name: has no value`}},
		"bad name":             {"name: flights", "name: Flights", []string{`1:7: name: "Flights" is not a pipeline's name`}},
		"name is a number":     {"name: flights", "name: 7", []string{`1:7: name: 7 is not text (hint: put it in quotes)`}},
		"no key":               {"key: id, ", "", []string{`2:7: data: key is missing`}},
		"key is the label":     {"key: id", "key: late", []string{`2:26: data.label: "late" is also the key`}},
		"format":               {"key: id", "key: id, format: xlsx", []string{`2:25: data.format: "xlsx" is not csv or parquet`}},
		"two classes":          {"label: late", "label: {name: kind, classes: [a, b]}", []string{`2:46: data.label.classes: 2 classes are less than 3`, `evaluate.metric: auc is not a metric of several classes (hint: ovr_auc, logloss, accuracy, macro_f1)`}},
		"many classes":         {"label: late", "label: {name: kind, classes: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]}", []string{`16 classes are more than 15`, `auc is not a metric of several`}},
		"class twice":          {"label: late", "label: {name: kind, classes: [a, b, a]}", []string{`2 classes are less than 3`, `data.label.classes[2]: "a" is there twice`, `auc is not a metric of several`}},
		"classes of numbers":   {"label: late", "label: {name: kind, expr: a * 2, classes: [a, b, c]}", []string{`data.label.expr: gives a number, and the classes are text`, `auc is not a metric of several`}},
		"metric of classes":    {"metric: auc", "metric: macro_f1", []string{`macro_f1 is of several classes, and the label has none`}},
		"value of classes":     {"label: late}\nfeatures:\n  - name: distance\nevaluate: {metric: auc", "label: {name: kind, classes: [a, b, c]}}\nfeatures:\n  - name: distance\nevaluate: {metric: logloss, value: {tp: 1}", []string{`value is of hits and false alarms, and the label has several classes`}},
		"classes' objective":   {"label: late}\nfeatures:\n  - name: distance\nevaluate: {metric: auc", "label: {name: kind, classes: [a, b, c]}}\ntrain: {hyperparameters: {num_class: 4}}\nfeatures:\n  - name: distance\nevaluate: {metric: logloss", []string{`train.hyperparameters.num_class: num_class is 4, and the label has 3 classes: leave it out`}},
		"minimum":              {"key: id", "key: id, minimum_rows: 1", []string{`2:31: data.minimum_rows: 1 is not between 10 and 1099511627776`}},
		"minimum fraction":     {"key: id", "key: id, minimum_rows: 20.5", []string{`data.minimum_rows: 20.5 is not a whole number`}},
		"window without time":  {"key: id", "key: id, window: 3d", []string{`a window needs to know the time of a row`}},
		"window without unit":  {"key: id", "key: id, time: at, window: 3", []string{`data.window: 3 is not a duration (hint: write it with its unit`}},
		"window nonsense":      {"key: id", "key: id, time: at, window: 3 days", []string{`data.window: "3 days" is not a duration`}},
		"window too long":      {"key: id", "key: id, time: at, window: 40000d", []string{`is not between 1m and 36500d`}},
		"label expression":     {"label: late", "label: {name: late, expr: dealy >}", []string{`2:50: data.label.expr: the expression ends too early`}},
		"label of text":        {"label: late", `label: {name: late, expr: lower(x)}`, []string{`data.label.expr: gives a text`}},
		"label of itself":      {"label: late", "label: {name: late, expr: late > 1}", []string{`is made of a column of its own name`}},
		"data is text":         {"data: {key: id, label: late}", "data: here", []string{`2:7: data: "here" is not a mapping`}},
		"features are names":   {"- name: distance", "- distance", []string{`4:5: features[0]: "distance" is not a mapping (hint: write {name: distance})`}},
		"metric in capitals":   {"metric: auc", "metric: AUC", []string{`"AUC" is not auc, ovr_auc, accuracy, macro_f1, r2, logloss, brier, rmse or mae (hint: did you mean auc?)`}},
		"comma in a mapping":   {"- name: distance", "- {name: far, expr: max(a, 1)}", []string{`the expression ends too early`, `unknown key "1)" (hint: text with a comma in it must be in quotes where { } are around it)`}},
		"features is a map":    {"  - name: distance", "  name: distance", []string{`4:3: features: a mapping is not a list`}},
		"no features":          {"features:\n  - name: distance", "features: []", []string{`3:11: features: a model needs at least one feature`}},
		"feature syntax":       {"- name: distance", "- {name: far, expr: distance >}", []string{`4:33: features[0].expr: the expression ends too early`}},
		"quoted expression":    {"- name: distance", `- {name: far, expr: "hour(x) + horu(x)"}`, []string{`4:34: features[0].expr: there is no function "horu" (hint: did you mean hour?)`}},
		"feature reads key":    {"- name: distance", "- {name: a, expr: 1 + id}", []string{`4:25: features[0].expr: reads the key "id"`}},
		"feature reads label":  {"- name: distance", "- name: late", []string{`4:11: features[0].expr: reads the label "late"`}},
		"feature leaks":        {"label: late}\nfeatures:\n  - name: distance", "label: {name: late, expr: delay > 15}}\nfeatures:\n  - name: delay", []string{`features[0].expr: reads "delay", of which the label is made`}},
		"feature twice":        {"- name: distance", "- name: distance\n  - {name: distance, expr: a}", []string{`5:12: features[1].name: "distance" is also the name of feature 1`}},
		"feature name":         {"- name: distance", "- {name: a b, expr: a}", []string{`features[0].name: "a b" is not a name`}},
		"encoding":             {"- name: distance", "- {name: a, encode: one-hot}", []string{`4:23: features[0].encode: "one-hot" is not an encoding (hint: did you mean onehot?)`}},
		"text needs encoding":  {"- name: distance", "- {name: a, expr: lower(b)}", []string{`features[0].encode: the feature is text and has no encoding`}},
		"aggregate":            {"- name: distance", "- {name: a, aggregate: mean(late), by: [x], window: 168h}", []string{`4:15: features[0].aggregate: this version does not support aggregate yet`, "does not support by yet", "does not support window yet"}},
		"declared type":        {"features:\n  - name: distance", "quality: [{column: c, type: time}]\nfeatures:\n  - {name: a, expr: c * 2}", []string{`features[0].expr: * needs a number, this is a time`}},
		"check twice":          {"features:", "quality: [{column: c, type: time}, {column: c, type: time}]\nfeatures:", []string{`quality[1].column: column "c" has checks already`}},
		"check type":           {"features:", "quality: [{column: c, type: numbr}]\nfeatures:", []string{`quality[0].type: "numbr" is not number, integer, text, time or boolean (hint: did you mean number?)`}},
		"check nothing":        {"features:", "quality: [{column: c}]\nfeatures:", []string{`3:11: quality[0]: checks nothing`}},
		"check range":          {"features:", "quality: [{column: c, range: [5, 1]}]\nfeatures:", []string{`the range 5 to 1 is empty`}},
		"check range of one":   {"features:", "quality: [{column: c, range: [5]}]\nfeatures:", []string{`a range has two numbers, not 1`}},
		"check range of text":  {"features:", "quality: [{column: c, type: text, range: [1, 5]}]\nfeatures:", []string{`a range needs a number, and the column is declared text`}},
		"check pattern":        {"features:", "quality: [{column: c, pattern: 'a('}]\nfeatures:", []string{`quality[0].pattern: "a(" is not a regular expression (hint: missing closing )`}},
		"check share":          {"features:", "quality: [{column: c, missing: {at_most: 2%}}]\nfeatures:", []string{`"2%" is not a number (hint: write a share of 1, like 0.01 for 1%)`}},
		"check severity":       {"features:", "quality: [{column: c, unique: yes, severity: fatal}]\nfeatures:", []string{`quality[0].unique: "yes" is not true or false (hint: write true or false)`, `"fatal" is not stop or warn`}},
		"check of the label":   {"label: late}", "label: {name: late, expr: delay > 1}}\nquality: [{column: late, type: number}]", []string{`the label is computed`}},
		"split share":          {"features:", "split: {validation: 1.3}\nfeatures:", []string{`3:21: split.validation: 1.3 is not between 0 and 1`}},
		"split all":            {"features:", "split: {validation: 0.5, test: 0.5}\nfeatures:", []string{`split: validation and test take 1 of the rows`}},
		"split nothing":        {"features:", "split: {test: 0}\nfeatures:", []string{`split.test: 0 leaves rows for only one purpose`}},
		"split by time":        {"features:", "split: {by: time}\nfeatures:", []string{`a split by time needs to know the time of a row`}},
		"split by key":         {"features:", "split: {by: key}\nfeatures:", []string{`"key" is not time or random`}},
		"split seed":           {"features:", "split: {seed: -1}\nfeatures:", []string{`split.seed: -1 is not between 0 and 2147483647`}},
		"instance":             {"features:", "prepare: {instance: m5.xlarge}\nfeatures:", []string{`prepare.instance: "m5.xlarge" is not an instance type (hint: did you mean ml.m5.xlarge?)`}},
		"count":                {"features:", "train: {count: 4}\nfeatures:", []string{`3:16: train.count: the built-in trainer works on one machine (hint: write 1, and a larger instance; what outgrows one machine needs XGBoost's framework image`}},
		"spot wait":            {"features:", "train: {spot: true, max_runtime: 2h, max_wait: 90m}\nfeatures:", []string{`train.max_wait: 1h30m is less than max_runtime, 2h`}},
		"wait for what":        {"features:", "train: {max_wait: 90m}\nfeatures:", []string{`3:19: train.max_wait: only spot machines are waited for (hint: write spot: true`}},
		"hyperparameter":       {"features:", "train: {hyperparameters: {max_dept: 3, eta: 7}}\nfeatures:", []string{`3:27: train.hyperparameters.max_dept: max_dept is unknown (did you mean max_depth?)`, `3:40: train.hyperparameters.eta: eta must be above 0 and at most 1, is 7`}},
		"other objective":      {"features:", "train: {hyperparameters: {objective: 'reg:squarederror'}}\nfeatures:", []string{`objective reg:squarederror does not fit the pipeline's metric, which wants binary:logistic`}},
		"runtime":              {"features:", "train: {max_runtime: 8d}\nfeatures:", []string{`"8d" is not between 1m and 1d`}},
		"script":               {"features:", "train: {script: train.py, framework: xgboost}\nfeatures:", []string{`3:9: train.script: this version does not support script yet`, `train.framework: this version does not support framework yet`}},
		"image":                {"features:", "train: {image: x}\nfeatures:", []string{`train.image: this version does not support image yet`}},
		"algorithm":            {"features:", "train: {algorithm: lightgbm}\nfeatures:", []string{`"lightgbm" is not builtin`}},
		"hyperparameter list":  {"features:", "train: {hyperparameters: {a: [1]}}\nfeatures:", []string{`train.hyperparameters.a: a list is not text, a number, true or false`}},
		"hyperparameter name":  {"features:", "train: {hyperparameters: {'a b': 1}}\nfeatures:", []string{`"a b" is not a hyperparameter's name`}},
		"no metric":            {"metric: auc", "at_least: 0.5", []string{`evaluate: metric is missing`}},
		"no evaluate":          {"evaluate: {metric: auc}\n", "", []string{`evaluate is missing`}},
		"metric of numbers":    {"label: late}\nfeatures:\n  - name: distance\nevaluate: {metric: auc", "label: {name: late, expr: delay > 15}}\nfeatures:\n  - name: distance\nevaluate: {metric: mae", []string{`5:20: evaluate.metric: mae is of numbers, and the label is a yes or no`}},
		"metric":               {"metric: auc", "metric: acc", []string{`"acc" is not auc, ovr_auc, accuracy, macro_f1, r2, logloss, brier, rmse or mae (hint: did you mean auc?)`}},
		"wrong direction":      {"metric: auc", "metric: auc, at_most: 0.7", []string{`evaluate.at_most: more auc is better, so a most is no bar (hint: write at_least)`}},
		"wrong direction less": {"metric: auc", "metric: rmse, at_least: 0.7", []string{`evaluate.at_least: less rmse is better`}},
		"impossible bar":       {"metric: auc", "metric: auc, at_least: 70", []string{`auc is never more than 1`}},
		"rows":                 {"features:", "quality: [{rows: [5, 2.5]}]\nfeatures:", []string{"quality[0].rows: the range 5 to 2.5 is empty", "rows are counted: whole numbers from 0"}},
		"fresh without time":   {"features:", "quality: [{fresh: 2d}]\nfeatures:", []string{"quality[0].fresh: freshness needs to know the time of a row"}},
		"drift":                {"features:", "quality: [{drift: {distance: 2, sinificance: 1}}]\nfeatures:", []string{`quality[0].drift: unknown key "sinificance" (hint: did you mean significance?)`, "quality[0].drift.distance: 2 is not between 0 and 1"}},
		"drift of the key":     {"features:", "quality: [{drift: {columns: [distance, id]}}]\nfeatures:", []string{`quality[0].drift.columns: "id" is the key or the time, which always differs`}},
		"rows of a column":     {"features:", "quality: [{column: distance, rows: [1, 2]}]\nfeatures:", []string{"quality[0]: checks nothing", `quality[0]: unknown key "rows"`}},
		"confidence":           {"metric: auc", "metric: auc, confidence: 95", []string{`95 is not between 0.5 and 0.999`}},
		"slice by key":         {"metric: auc", "metric: auc, slices: [id, id]", []string{`evaluate.slices[1]: "id" is there twice`, `evaluate.slices[0]: "id" is the key or the label`}},
		"leaks":                {"metric: auc", "metric: auc, leaks: off", []string{`evaluate.leaks: "off" is not warn or stop`}},
		"trusted":              {"metric: auc", "metric: auc, trusted: [distanze]", []string{`5:34: evaluate.trusted: "distanze" can set no trap: the model does not read it (hint: did you mean distance?)`}},
		"known after":          {"label: late}", "label: late, known_after: [id, distance]}", []string{`2:43: data.known_after: "id" is the key or the time`, `reads "distance", which data.known_after names`}},
		"weight of nothing":    {"label: late", "label: late, weight: 2 * 3", []string{`2:38: data.weight: every row has the same weight (hint: name a column, or leave it out)`}},
		"weight by the key":    {"label: late", "label: late, weight: id * 2", []string{`data.weight: the weight reads the key "id"`}},
		"weight of text":       {"label: late", "label: late, weight: lower(zone)", []string{`data.weight: `}},
		"weight is broken":     {"label: late", "label: late, weight: distance *", []string{`data.weight: the expression ends too early`}},
		"weight by the label":  {"label: late", "label: {name: late, expr: delay > 15}, weight: late * 2", []string{`data.weight: the weight reads the label "late", which is computed`}},
		"weight as feature":    {"label: late", "label: late, weight: 'column(\"distance\")'", []string{`features[0].expr: reads "distance", by which rows are weighed`}},
		"weight as a feature":  {"label: late", "label: late, weight: distance", []string{`features[0].expr: reads "distance", by which rows are weighed (hint: it says how much a row counts`}},
		"value of regression":  {"metric: auc", "metric: mae, value: {tp: 1}", []string{`value is of hits and false alarms`}},
		"value key":            {"metric: auc", "metric: auc, value: {tpr: 1}", []string{`evaluate.value: unknown key "tpr" (hint: did you mean tp?)`}},
		"not finite":           {"metric: auc", "metric: auc, at_least: .inf", []string{`is not`}},
		"approve":              {"features:", "approve: {by: nobody, within: 500d}\nfeatures:", []string{`"nobody" is not person or policy`, `"500d" is not between 1m and 364d`}},
		"realtime":             {"features:", "release: {as: realtime, canary: {percent: 10}, shadow: false}\nfeatures:", []string{`3:15: release.as: this version does not support realtime yet (hint: write as: batch)`, `release.canary: this version`, `release.shadow: this version`}},
		"monitor":              {"features:", "monitor: {every: 1h}\nfeatures:", []string{`3:1: monitor: this version does not support monitor yet`}},
		"schedule":             {"features:", "retrain: {schedule: weekly}\nfeatures:", []string{`retrain.schedule: "weekly" is not a schedule (hint: like rate(7 days)`}},
		"rate plural":          {"features:", "retrain: {schedule: rate(1 days)}\nfeatures:", []string{`AWS wants rate(1 day)`}},
		"rate singular":        {"features:", "retrain: {schedule: rate(7 day)}\nfeatures:", []string{`AWS wants rate(7 days)`}},
		"rate of nothing":      {"features:", "retrain: {schedule: rate(0 days)}\nfeatures:", []string{`whole, and not 0`}},
		"cron":                 {"features:", "retrain: {schedule: cron(0 6 * * MON *)}\nfeatures:", []string{`either day-of-month or day-of-week must be '?'`}},
		"anchor":               {"name: flights", "name: &n flights", []string{`1:7: anchors (&) and aliases (*) are not supported`}},
		"tag":                  {"name: flights", "name: !!str flights", []string{`1:7: tags (!) are not supported`}},
		"merge":                {"name: flights", "name: flights\n<<: {a: b}", []string{`2:1: merge keys (<<) are not supported`}},
		"number as key":        {"name: flights", "name: flights\n7: a", []string{`2:1: the key "7" is not text`}},
		"two documents":        {"evaluate:", "---\nevaluate:", []string{`there is more than one document`}},
		"colon in text":        {"- name: distance", "- {name: a}\n  - name: b\n    expr: a > 1 ? 1 : 0", []string{`not YAML: mapping value is not allowed in this context (hint: text with ": " in it must be in quotes)`}},
		"unclosed":             {"label: late}", "label: late", []string{`not YAML: `}},
		"tab":                  {"  - name", "\t- name", []string{`4:1: not YAML: a tab cannot indent (hint: use spaces)`}},
		"not UTF-8":            {"name: flights", "name: flights\n# \xff", []string{`2:1: the file is not UTF-8`}},
		"everything at once": {small, "data: {key: id}\nfeatures: [{name: a, expr: 'x +'}]\nevaluate: {metric: auc, at_most: 1}\nsplit: {test: 7}\n", []string{
			"1:1: name is missing", "1:7: data: label is missing", "2:32: features[0].expr: the expression ends too early", "3:34: evaluate.at_most: more auc", "4:15: split.test: 7 is not between"}},
	} {
		t.Run(name, func(t *testing.T) {
			src := strings.Replace(small, c.old, c.new, 1)
			if src == small {
				t.Fatal("the case replaces nothing")
			}
			_, err := definition.Parse("p.yaml", []byte(src))
			var problems *definition.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("no problems in\n%s", src)
			}
			lines := strings.Split(problems.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Errorf("got %d problems, want %d", len(lines), len(c.want))
			}
			for _, want := range c.want {
				if !strings.Contains(problems.Error(), want) {
					t.Errorf("want %s", want)
				}
			}
			if t.Failed() {
				t.Logf("got\n%s\nfor\n%s", problems, src)
			}
			if !strings.HasPrefix(lines[0], "p.yaml:") {
				t.Errorf("no file's name in %s", lines[0])
			}
		})
	}
	if _, err := definition.Parse("p.yaml", nil); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("nothing: %v", err)
	}
	if _, err := definition.Parse("p.yaml", []byte("# only talk\n")); err == nil || !strings.Contains(err.Error(), "the file is empty") {
		t.Errorf("a comment: %v", err)
	}
	if _, err := definition.Parse("p.yaml", []byte("just text")); err == nil || !strings.Contains(err.Error(), "not a mapping") {
		t.Errorf("text: %v", err)
	}
	if _, err := definition.Parse("p.yaml", []byte(strings.Repeat("#", 300<<10))); err == nil || !strings.Contains(err.Error(), "are allowed") {
		t.Errorf("large: %v", err)
	}
}

// TestDeepNesting: what the parser would need gigabytes for is refused before it.
func TestDeepNesting(t *testing.T) {
	const n = 200 << 10
	for _, opener := range []string{"[", "{", "{a: ", "- ", "? ", "a: ["} {
		if _, err := definition.Parse("p.yaml", []byte(strings.Repeat(opener, n/len(opener)))); err == nil || !strings.Contains(err.Error(), "p.yaml:1:1: nested more than 12 deep") {
			t.Errorf("%q: %.200v", opener, err)
		}
	}
	ruler := "# " + strings.Repeat("-", 1000) + "\n"
	if _, err := definition.Parse("p.yaml", []byte(ruler+small)); err != nil {
		t.Errorf("a ruler: %v", err)
	}
}

func TestProblemsAsJSON(t *testing.T) {
	_, err := definition.Parse("p.yaml", []byte(small+"split: {test: 7}\n"))
	data, err := json.Marshal(err)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"file":"p.yaml","problems":[{"line":6,"column":15,"path":"split.test","message":"7 is not between 0 and 1"}]}`
	if string(data) != want {
		t.Errorf("got %s", data)
	}
}

func TestLoad(t *testing.T) {
	tree := fstest.MapFS{
		"pipelines/flights/pipeline.yaml": {Data: []byte(small)},
		"pipelines/wrong/pipeline.yaml":   {Data: []byte(small)},
		"pipelines/empty/README.md":       {Data: []byte("nothing")},
	}
	names, err := definition.Names(tree)
	if err != nil || !reflect.DeepEqual(names, []string{"flights", "wrong"}) {
		t.Errorf("names %v, %v", names, err)
	}
	if d, err := definition.Load(tree, "flights"); err != nil || d.Name != "flights" {
		t.Errorf("flights: %v, %v", d, err)
	}
	_, err = definition.Load(tree, "wrong")
	if want := `pipelines/wrong/pipeline.yaml:1:7: name: "flights" is not the folder's name, wrong (hint: write name: wrong, or rename the folder)`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := definition.Load(tree, "empty"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("empty: %v", err)
	}
	if _, err := definition.Load(tree, "../flights"); err == nil {
		t.Error("a path was taken for a name")
	}
}

func TestDigest(t *testing.T) {
	digest := func(src string) string {
		d, err := definition.Parse("p.yaml", []byte(src))
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one := digest(small)
	if same := digest("# talk\n" + small + "retrain: {quiet: 60s}\nsplit: {test: 0.20}\n"); same != one {
		t.Error("the same meaning has another digest")
	}
	if other := digest(small + "split: {test: 0.21}\n"); other == one {
		t.Error("another meaning has the same digest")
	}
}

func TestDerived(t *testing.T) {
	d, err := definition.Parse("p.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]features.Type{"distance": features.Number, "origin": features.Text, "id": features.Text, "at": features.Time}
	if got := d.Types(); !reflect.DeepEqual(got, want) {
		t.Errorf("types %v", got)
	}
	if d.Objective() != "binary" || d.Evaluate.MoreIsBetter() || d.Roles().Label.Expr != "delay > 15" {
		t.Errorf("objective %s, more %v, roles %+v", d.Objective(), d.Evaluate.MoreIsBetter(), d.Roles())
	}
	d.Evaluate.Metric = "r2"
	if d.Objective() != "regression" || !d.Evaluate.MoreIsBetter() {
		t.Error("r2 is of regression, and more is better")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(full))
	for _, s := range []string{"", "a: &x [*x]", "? a\n: b", "- - - a", "name: {a: {b: [c, {d: e}]}}", "features: [{name: a, expr: \"\\u0041 +\"}]", "a: |\n  b\n c", "%YAML 1.2\n---\nname: x", "quality: [~, 1, {}]", "features: [~]\nevaluate: {slices: [~]}", "features:\n -\n - name:"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		d, err := definition.Parse("p.yaml", src)
		var problems *definition.Problems
		switch {
		case err == nil:
			if _, err := d.Digest(); err != nil {
				t.Error(err)
			}
		case !errors.As(err, &problems) || len(problems.List) == 0:
			t.Errorf("an error that is no list of problems: %v", err)
		default:
			for _, p := range problems.List {
				if p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("a problem without a place: %+v", p)
				}
			}
		}
	})
}

func TestByteOrderMark(t *testing.T) {
	plain, err := definition.Parse("pipeline.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	marked, err := definition.Parse("pipeline.yaml", []byte("\xEF\xBB\xBF"+small))
	if err != nil || !reflect.DeepEqual(plain, marked) {
		t.Errorf("got %+v, %v", marked, err)
	}
}
