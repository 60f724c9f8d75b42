package definition

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/winebarrel/cronplan"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/shared/hyperparameters"
)

var (
	pipelineName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	instanceType = regexp.MustCompile(`^ml\.[a-z0-9-]+\.(nano|micro|small|medium|large|[0-9]*xlarge|metal)$`)
	parameter    = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,256}$`)
	rate         = regexp.MustCompile(`^rate\(([1-9][0-9]{0,5}) (minutes?|hours?|days?)\)$`)
)

// lessIsBetter and moreIsBetter are the metrics, by direction.
var (
	moreIsBetter = []string{"auc", "ovr_auc", "accuracy", "macro_f1", "r2"}
	lessIsBetter = []string{"logloss", "brier", "rmse", "mae"}
	ofRegression = []string{"rmse", "mae", "r2"}
	ofClasses    = []string{"ovr_auc", "logloss", "accuracy", "macro_f1"} // several
)

const (
	maxClasses  = 15             // $[0,-15,…,-1] is the longest OutputFilter within SageMaker's 63 characters
	jobRuntime  = 24 * time.Hour // the longest a job may run
	maxSpotWait = 7 * day        // the longest that spot machines may take, with the running
)

func (r *reader) definition(root value) Definition {
	f := root.fields([]string{"name", "data", "quality", "features", "split", "prepare", "train", "evaluate", "approve", "release", "retrain"}, "monitor")
	d := Definition{Name: f.require("name", "the folder's name").text("")}
	if d.Name != "" && !pipelineName.MatchString(d.Name) {
		f.get("name").reject("a pipeline's name", "small letters, digits and -, beginning with a letter, at most 32")
	}
	d.Data = r.data(f.require("data", "data: {key: …, label: …} describes the uploaded rows"))
	d.Quality = r.quality(f.get("quality"), d.Data)
	d.Features = r.features(f.require("features", "a list of {name: …, expr: …}"), d)
	d.Split = r.split(f.get("split"), d.Data)
	d.Prepare = r.job(f.get("prepare"), "ml.m5.xlarge", 100)
	gate := f.require("evaluate", "evaluate: {metric: auc, at_least: 0.7} is the gate")
	d.Evaluate = r.evaluate(gate, d.Data)
	r.trusted(gate, d)
	d.Train = r.train(f.get("train"), d.Objective(), len(d.Data.Label.Classes))
	approve := f.get("approve").fields([]string{"by", "within"}, "role")
	d.Approve = Approve{
		By:     approve.get("by").choice("person", "person", "policy"),
		Within: approve.get("within").duration(7*day, time.Minute, 364*day),
	}
	d.Release = r.release(f.get("release"))
	retrain := f.get("retrain").fields([]string{"quiet", "schedule"})
	d.Retrain = Retrain{
		Quiet:    retrain.get("quiet").duration(time.Minute, 0, day),
		Schedule: r.schedule(retrain.get("schedule")),
	}
	return d
}

func (r *reader) data(v value) Data {
	f := v.fields([]string{"format", "key", "time", "label", "weight", "minimum_rows", "window", "known_after"})
	d := Data{
		Format:      f.get("format").choice("csv", "csv", "parquet"),
		Time:        f.get("time").text(""),
		MinimumRows: int(f.get("minimum_rows").integer(1000, 10, 1<<40)),
		Window:      f.get("window").duration(0, time.Minute, 100*365*day),
		KnownAfter:  f.get("known_after").texts(),
	}
	if !v.given() {
		return d
	}
	d.Key = f.require("key", "the column that names a row; where there is none, add one, such as the row's number").text("")
	label := f.require("label", "the column to foretell, or {name: …, expr: …}")
	switch label.node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		l := label.fields([]string{"name", "expr", "classes"})
		d.Label.Name = l.require("name", "").text("")
		d.Label.Expr = l.get("expr").text("")
		classes := l.get("classes")
		d.Label.Classes = classes.texts()
		switch n := len(d.Label.Classes); {
		case classes.given() && n < 3:
			r.problem(classes.at, "give a yes or no an expression instead, like expr: kind == \"a\"", "%d classes are less than 3", n)
		case n > maxClasses:
			r.problem(classes.at, "put rare ones together", "%d classes are more than %d, the most whose scores a batch transform's filter can name", n, maxClasses)
		}
		r.labelExpression(l.get("expr"), d)
	default:
		d.Label.Name = label.text("")
	}
	d.Weight = r.weight(f.get("weight"), d)
	if d.Window > 0 && d.Time == "" {
		r.problem(f.get("window").at, "name the column of the rows' time as data.time", "a window needs to know the time of a row")
	}
	for _, name := range d.KnownAfter {
		if name == d.Key || name == d.Time {
			r.problem(f.get("known_after").at, "", "%s is the key or the time, which every row to be scored has", quote(name))
		}
	}
	for _, twice := range []struct{ what, column, other, otherColumn string }{
		{"label", d.Label.Name, "key", d.Key}, {"time", d.Time, "key", d.Key}, {"time", d.Time, "label", d.Label.Name},
	} {
		if twice.column != "" && twice.column == twice.otherColumn {
			r.problem(f.get(twice.what).at, "", "%s is also the %s", quote(twice.column), twice.other)
		}
	}
	return d
}

func (r *reader) labelExpression(expr value, d Data) {
	if d.Label.Expr == "" {
		return
	}
	types := map[string]features.Type{}
	if d.Time != "" {
		types[d.Time] = features.Time
	}
	columns, problems := features.CheckExpression(d.Label.Expr, types)
	if len(d.Label.Classes) > 0 {
		// The formula has the expression once for each class; once is enough to say what is wrong.
		if t := features.TypeOf(d.Label.Expr, types); t == features.Text || t == features.Unknown {
			problems = slices.DeleteFunc(problems, func(p features.Problem) bool { return t == features.Text })
		} else {
			r.problem(expr.at, "an expression that gives the class's name as text", "gives a %s, and the classes are text", t)
		}
	}
	for _, p := range problems {
		r.problem(expr.within(p.Offset), p.Hint, "%s", p.Message)
	}
	if slices.Contains(columns, d.Label.Name) && d.Label.Name != "" {
		r.problem(expr.at, "give the label a name that no column has", "the label %s is made of a column of its own name", quote(d.Label.Name))
	}
	if slices.Contains(columns, d.Key) && d.Key != "" {
		r.problem(expr.at, "", "the label reads the key %s", quote(d.Key))
	}
}

// weight reads how much rows count in training.
func (r *reader) weight(v value, d Data) string {
	expr := v.text("")
	if expr == "" {
		return ""
	}
	types := map[string]features.Type{}
	if d.Time != "" {
		types[d.Time] = features.Time
	}
	columns, problems := features.CheckExpression(expr, types)
	for _, p := range problems {
		r.problem(v.within(p.Offset), p.Hint, "%s", p.Message)
	}
	switch {
	case len(problems) > 0:
	case len(columns) == 0:
		r.problem(v.at, "name a column, or leave it out", "every row has the same weight")
	case d.Label.Expr != "" && slices.Contains(columns, d.Label.Name):
		r.problem(v.at, "write the label's expression out", "the weight reads the label %s, which is computed; uploads do not have it", quote(d.Label.Name))
	case slices.Contains(columns, d.Key):
		r.problem(v.at, "a key names a row", "the weight reads the key %s", quote(d.Key))
	}
	return expr
}

func (r *reader) quality(v value, data Data) []Check {
	var checks []Check
	seen := map[string]bool{}
	for _, item := range v.list() {
		if all, is := r.checkOfAll(item, data); is {
			checks = append(checks, all)
			continue
		}
		f := item.fields([]string{"column", "type", "range", "one_of", "pattern", "missing", "unique", "severity", "tolerance"})
		c := Check{
			Column:    f.require("column", "").text(""),
			Type:      f.get("type").choice("", features.TypeNames()...),
			Range:     r.bounds(f.get("range")),
			Pattern:   f.get("pattern").text(""),
			Unique:    f.get("unique").boolean(false),
			Severity:  f.get("severity").choice("stop", "stop", "warn"),
			Tolerance: f.get("tolerance").number(0, 0, 1),
		}
		for _, word := range f.get("one_of").list() {
			if s, ok := word.scalar(); ok {
				c.OneOf = append(c.OneOf, s)
			}
		}
		if m := f.get("missing"); m.given() {
			mf := m.fields([]string{"at_most"})
			c.Missing = &Missing{AtMost: mf.require("at_most", "a share, like 0.01").number(0, 0, 1)}
		}
		if c.Pattern != "" {
			if _, err := regexp.Compile(c.Pattern); err != nil {
				f.get("pattern").reject("a regular expression", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			}
		}
		r.checkCheck(f, c, data)
		if c.Column != "" && seen[c.Column] {
			r.problem(f.get("column").at, "put all its checks into one entry", "column %s has checks already", quote(c.Column))
		}
		seen[c.Column] = true
		checks = append(checks, c)
	}
	return checks
}

// ofAll are the rules on all rows together.
var ofAll = []string{"rows", "fresh", "drift"}

// checkOfAll reads an entry that is about all rows together.
func (r *reader) checkOfAll(item value, data Data) (c Check, is bool) {
	if item.anyNode("column") != nil || !slices.ContainsFunc(ofAll, func(rule string) bool { return item.anyNode(rule) != nil }) {
		return c, false
	}
	f := item.fields(append(slices.Clone(ofAll), "severity"))
	c.Severity = f.get("severity").choice("stop", "stop", "warn")
	if rows := r.bounds(f.get("rows")); rows != nil {
		c.Rows = &[2]int64{int64(rows[0]), int64(rows[1])}
		if rows[0] < 0 || rows[0] != math.Trunc(rows[0]) || rows[1] != math.Trunc(rows[1]) || rows[1] > 1<<53 {
			r.problem(f.get("rows").at, "write [least, most], both allowed", "rows are counted: whole numbers from 0")
		}
	}
	if fresh := f.get("fresh"); fresh.given() {
		c.Fresh = fresh.duration(0, time.Minute, 100*365*day)
		if data.Time == "" {
			r.problem(fresh.at, "name the column of the rows' time as data.time", "freshness needs to know the time of a row")
		}
	}
	if d := f.get("drift"); d.given() {
		df := d.fields([]string{"distance", "significance", "columns"})
		c.Drift = &Drift{
			Distance:     df.get("distance").number(0.1, 0, 1),
			Significance: df.get("significance").number(0.001, 1e-12, 0.5),
			Columns:      df.get("columns").texts(),
		}
		for _, name := range c.Drift.Columns {
			if name == data.Key || name == data.Time {
				r.problem(df.get("columns").at, "", "%s is the key or the time, which always differs", quote(name))
			}
		}
	}
	return c, true
}

// checkCheck holds what must agree within one quality check.
func (r *reader) checkCheck(f fields, c Check, data Data) {
	numeric := c.Type == "" || c.Type == "number" || c.Type == "integer"
	if c.Range != nil && !numeric {
		r.problem(f.get("range").at, "", "a range needs a number, and the column is declared %s", c.Type)
	}
	if c.Column == data.Time && data.Time != "" && c.Type != "" && c.Type != "time" {
		r.problem(f.get("type").at, "write type: time", "the column is data.time, so it is not a %s", c.Type)
	}
	if c.Column == data.Label.Name && data.Label.Expr != "" && c.Column != "" {
		r.problem(f.get("column").at, "check the columns it is made of", "the label is computed; uploads do not have it")
	}
	for _, rule := range []string{"type", "range", "one_of", "pattern", "missing", "unique"} {
		if _, written := f.keysAt[rule]; written {
			return
		}
	}
	if f.isMapping {
		r.problem(f.at, "add type, range, one_of, pattern, missing or unique", "checks nothing")
	}
}

func (r *reader) bounds(v value) *[2]float64 {
	if !v.given() {
		return nil
	}
	items := v.list()
	if len(items) != 2 {
		if _, isList := v.node.(*ast.SequenceNode); isList {
			r.problem(v.at, "write [lowest, highest], both allowed", "a range has two numbers, not %d", len(items))
		}
		return nil
	}
	b := [2]float64{items[0].number(0, math.Inf(-1), math.Inf(1)), items[1].number(0, math.Inf(-1), math.Inf(1))}
	if b[0] > b[1] {
		r.problem(v.at, "the lowest comes first", "the range %s to %s is empty", short(b[0]), short(b[1]))
	}
	return &b
}

func (r *reader) features(v value, d Definition) []Feature {
	var defs []Feature
	var at []fields
	items := v.list()
	for _, item := range items {
		if _, isText := item.node.(*ast.StringNode); isText {
			item.reject("a mapping", fmt.Sprintf("write {name: %s}", item.text("")))
			continue
		}
		f := item.fields([]string{"name", "expr", "encode"}, "aggregate", "by", "window")
		def := Feature{Name: f.require("name", "").text("")}
		def.Expr = f.get("expr").text(def.Name)
		def.Encode = f.get("encode").text("")
		if def.Name == "" || f.get("aggregate").given() {
			continue
		}
		defs, at = append(defs, def), append(at, f)
	}
	if len(items) == 0 {
		if _, isList := v.node.(*ast.SequenceNode); isList {
			r.problem(v.at, "", "a model needs at least one feature")
		}
		return defs
	}
	if len(defs) == 0 {
		return defs
	}
	for _, p := range features.Check(defs, d.Types(), d.Roles()) {
		f := at[p.Feature]
		where := f.get(p.Field)
		if !where.given() { // the expression is the name itself, or the encoding is left out
			where = f.get("name")
			where.at.path = join(f.at.path, p.Field)
		}
		r.problem(where.within(p.Offset), p.Hint, "%s", p.Message)
	}
	return defs
}

func (r *reader) split(v value, data Data) Split {
	f := v.fields([]string{"by", "validation", "test", "seed"})
	standard := "random"
	if data.Time != "" {
		standard = "time"
	}
	s := Split{
		By:         f.get("by").choice(standard, "time", "random"),
		Validation: f.get("validation").number(0.1, 0, 1),
		Test:       f.get("test").number(0.2, 0, 1),
		Seed:       f.get("seed").integer(1, 0, math.MaxInt32),
	}
	if s.By == "time" && data.Time == "" {
		r.problem(f.get("by").at, "name the column of the rows' time as data.time, or split by random", "a split by time needs to know the time of a row")
	}
	for _, share := range []struct {
		name  string
		value float64
	}{{"validation", s.Validation}, {"test", s.Test}} {
		if share.value == 0 || share.value == 1 {
			r.problem(f.get(share.name).at, "a tenth or two is usual", "%s leaves rows for only one purpose", short(share.value))
		}
	}
	if sum := s.Validation + s.Test; sum >= 1 && s.Validation < 1 && s.Test < 1 {
		r.problem(f.at, "", "validation and test take %s of the rows, and training gets none", short(math.Round(sum*1e6)/1e6))
	}
	return s
}

// resourceKeys are the keys of a job's machine.
var resourceKeys = []string{"instance", "count", "volume_gb", "max_runtime"}

// job reads a section that has nothing but a machine of its own.
func (r *reader) job(v value, standard string, most int64) Resources {
	return r.resources(v.fields(resourceKeys, "script", "image", "framework"), standard, most)
}

// resources reads the machine of a job; most is the largest number of machines.
func (r *reader) resources(f fields, standard string, most int64) Resources {
	res := Resources{
		Instance:   f.get("instance").text(standard),
		VolumeGB:   int(f.get("volume_gb").integer(30, 1, 16384)),
		MaxRuntime: f.get("max_runtime").duration(time.Hour, time.Minute, jobRuntime),
	}
	if !instanceType.MatchString(res.Instance) {
		hint := "like ml.m5.xlarge"
		if instanceType.MatchString("ml." + res.Instance) {
			hint = "did you mean ml." + res.Instance + "?"
		}
		f.get("instance").reject("an instance type", hint)
	}
	count := f.get("count")
	res.Count = int(count.integer(1, 1, 100))
	if int64(res.Count) > most {
		r.problem(count.at, fmt.Sprintf("write %d", most), "this version does not support more than %d machine here yet", most)
	}
	return res
}

func (r *reader) train(v value, objective string, classes int) Train {
	f := v.fields(append([]string{"algorithm", "seed", "hyperparameters", "spot", "max_wait"}, resourceKeys...), "script", "framework", "version", "image", "tune")
	t := Train{
		Resources: r.resources(f, "ml.m5.xlarge", 100),
		Algorithm: f.get("algorithm").choice("builtin", "builtin"),
		Seed:      f.get("seed").integer(1, 0, math.MaxInt32),
		Spot:      f.get("spot").boolean(false),
	}
	if t.Count > 1 {
		r.problem(f.get("count").at, "write 1, and a larger instance; what outgrows one machine needs XGBoost's framework image, which SageMaker distributes (framework: xgboost, which this version does not run yet)",
			"the built-in trainer works on one machine")
	}
	wait := f.get("max_wait")
	t.MaxWait = wait.duration(2*t.MaxRuntime, time.Minute, maxSpotWait)
	switch {
	case !t.Spot && wait.given():
		r.problem(wait.at, "write spot: true, or leave it out", "only spot machines are waited for")
	case !t.Spot:
		t.MaxWait = 0
	case t.MaxWait < t.MaxRuntime:
		r.problem(wait.at, "it holds the waiting and the running", "%s is less than max_runtime, %s", formatDuration(t.MaxWait), formatDuration(t.MaxRuntime))
	}
	t.Hyperparameters = r.hyperparameters(f.get("hyperparameters"), objective, classes, t.Seed)
	return t
}

func (r *reader) hyperparameters(v value, objective string, classes int, seed int64) map[string]string {
	h := v.anyFields()
	var given map[string]string
	for _, key := range h.keys {
		if !parameter.MatchString(key) {
			r.problem(h.keysAt[key], "letters, digits, _ . and -", "%s is not a hyperparameter's name", quote(key))
			continue
		}
		s, ok := h.get(key).scalar()
		if !ok {
			continue
		}
		if len(s) > 2500 {
			r.problem(h.get(key).at, "", "is longer than the 2500 characters that SageMaker takes")
		}
		if given == nil {
			given = map[string]string{}
		}
		given[key] = s
	}
	if len(h.keys) > 90 { // SageMaker takes 100 with those that Millrace adds
		r.problem(h.at, "", "%d hyperparameters are more than 90", len(h.keys))
	}
	var wrong *hyperparameters.Error
	if _, err := hyperparameters.ForPipeline(objective, classes, seed, given); errors.As(err, &wrong) {
		for _, p := range wrong.Problems {
			at, ok := h.keysAt[p.Name]
			if !ok {
				at = h.at
			}
			r.problem(at, "", "%s", p.Text)
		}
	}
	return given
}

func (r *reader) evaluate(v value, data Data) Evaluate {
	known := append([]string{"metric", "at_least", "at_most", "beat_champion_by", "confidence", "slices", "value", "leaks", "trusted"}, resourceKeys...)
	f := v.fields(known, "script", "image")
	unbounded := math.Inf(1)
	e := Evaluate{
		Resources:      r.resources(f, "ml.m5.xlarge", 1),
		BeatChampionBy: f.get("beat_champion_by").number(0, -unbounded, unbounded),
		Confidence:     f.get("confidence").number(0.95, 0.5, 0.999),
		Slices:         f.get("slices").texts(),
		Leaks:          f.get("leaks").choice("warn", "warn", "stop"),
		Trusted:        f.get("trusted").texts(),
	}
	if v.given() {
		metric := f.require("metric", "auc for a yes or no, rmse for a number, ovr_auc for several classes")
		e.Metric = metric.choice("", append(slices.Clone(moreIsBetter), lessIsBetter...)...)
		switch several := len(data.Label.Classes) > 0; {
		case several && e.Metric != "" && !slices.Contains(ofClasses, e.Metric):
			r.problem(metric.at, strings.Join(ofClasses, ", "), "%s is not a metric of several classes", e.Metric)
		case !several && slices.Contains([]string{"ovr_auc", "macro_f1"}, e.Metric):
			r.problem(metric.at, "auc for a yes or no", "%s is of several classes, and the label has none (data.label.classes)", e.Metric)
		}
		if slices.Contains(ofRegression, e.Metric) && features.TypeOf(data.Label.Expr, nil) == features.Boolean {
			r.problem(metric.at, "auc, logloss, accuracy or brier", "%s is of numbers, and the label is a yes or no", e.Metric)
		}
	}
	if least := f.get("at_least"); least.given() {
		n := least.number(0, -unbounded, unbounded)
		e.AtLeast = &n
		if slices.Contains(lessIsBetter, e.Metric) {
			r.problem(least.at, "write at_most", "less %s is better, so a least is no bar", e.Metric)
		} else if slices.Contains(moreIsBetter, e.Metric) && n > 1 {
			r.problem(least.at, "", "%s is never more than 1", e.Metric)
		}
	}
	if most := f.get("at_most"); most.given() {
		n := most.number(0, -unbounded, unbounded)
		e.AtMost = &n
		if slices.Contains(moreIsBetter, e.Metric) {
			r.problem(most.at, "write at_least", "more %s is better, so a most is no bar", e.Metric)
		} else if slices.Contains(lessIsBetter, e.Metric) && n < 0 {
			r.problem(most.at, "", "%s is never less than 0", e.Metric)
		}
	}
	for i, column := range e.Slices {
		if column == data.Key || column == data.Label.Name {
			r.problem(r.value(f.get("slices").list()[i].node, fmt.Sprintf("evaluate.slices[%d]", i)).at, "slice by a column that many rows share", "%s is the key or the label", quote(column))
		}
	}
	worth := f.get("value")
	w := worth.fields([]string{"tp", "fp", "tn", "fn"})
	for _, key := range w.keys {
		if slices.Contains([]string{"tp", "fp", "tn", "fn"}, key) && w.get(key).given() {
			if e.Value == nil {
				e.Value = map[string]float64{}
			}
			e.Value[key] = w.get(key).number(0, -unbounded, unbounded)
		}
	}
	if worth.given() && len(data.Label.Classes) > 0 {
		r.problem(worth.at, "leave it out", "value is of hits and false alarms, and the label has several classes")
	} else if worth.given() && slices.Contains(ofRegression, e.Metric) {
		r.problem(worth.at, "leave it out", "value is of hits and false alarms, and %s is of numbers", e.Metric)
	}
	return e
}

// trusted holds that what a person trusts is there: a name written wrongly would trust nothing.
func (r *reader) trusted(gate value, d Definition) {
	known := []string{d.Data.Key, d.Data.Label.Name}
	for _, f := range d.Features {
		known = append(append(known, f.Name), features.Reads(f.Expr)...)
	}
	for _, name := range d.Evaluate.Trusted {
		if slices.Contains(known, name) {
			continue
		}
		hint := "name a feature, a column that one reads, the key or the label"
		if near := features.Nearest(name, known); near != "" {
			hint = "did you mean " + near + "?"
		}
		r.problem(r.value(gate.anyNode("trusted"), join(gate.at.path, "trusted")).at, hint, "%s can set no trap: the model does not read it", quote(name))
	}
}

func (r *reader) release(v value) Release {
	f := v.fields(append([]string{"as"}, resourceKeys...), "canary", "shadow", "rollback", "serverless", "scale", "capture")
	if as := f.get("as"); as.given() {
		if n, ok := as.node.(*ast.StringNode); ok && slices.Contains([]string{"realtime", "serverless", "async"}, n.Value) {
			r.problem(as.at, "write as: batch", "this version does not support %s yet", n.Value)
			f.byKey["as"] = value{r: r, at: as.at}
		}
	}
	return Release{As: f.get("as").choice("batch", "batch"), Resources: r.resources(f, "ml.m5.xlarge", 1)}
}

// schedule is EventBridge's grammar: rate(value unit) or cron(six fields).
func (r *reader) schedule(v value) string {
	s := v.text("")
	const example = `like rate(7 days) or cron(0 6 ? * MON *)`
	if s == "" {
		return ""
	}
	if inner, ok := strings.CutPrefix(s, "cron("); ok && strings.HasSuffix(inner, ")") {
		if _, err := cronplan.Parse(strings.TrimSuffix(inner, ")")); err != nil {
			v.reject("a schedule", err.Error())
		}
		return s
	}
	m := rate.FindStringSubmatch(s)
	switch {
	case m == nil && strings.HasPrefix(s, "rate("):
		v.reject("a schedule", "a rate is rate(1 minute), rate(6 hours), rate(7 days): whole, and not 0")
	case m == nil:
		v.reject("a schedule", example)
	case (m[1] == "1") == strings.HasSuffix(m[2], "s"):
		want := strings.TrimSuffix(m[2], "s")
		if m[1] != "1" {
			want += "s"
		}
		v.reject("a schedule", fmt.Sprintf("AWS wants rate(%s %s)", m[1], want))
	}
	return s
}
