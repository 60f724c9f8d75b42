package evaluate

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/worker/metrics"
	"github.com/millrace-ml/millrace/worker/report"
)

// decide holds an evaluation against the definition's rules. A number counts
// only as far as its interval reaches on the side of caution: a model that
// merely may be good enough is not.
func decide(e *Evaluation, def definition.Evaluate) (Decision, error) {
	m, err := metrics.Find(def.Metric)
	if err != nil {
		return Decision{}, err
	}
	if math.IsNaN(float64(e.Metrics[m.Name].Value)) {
		// Nothing can be held against a number that is not there, so nothing would be broken either.
		return Decision{Why: fmt.Sprintf("%s cannot be measured: the test rows have only one label", m.Name), Rules: []Rule{}}, nil
	}
	var rules []Rule
	if r, ok := barRule(e, def, m); ok {
		rules = append(rules, r)
	}
	if e.Champion != nil {
		rules = append(rules, championRule(e, def, m, len(rules) > 0))
	}
	if e.Baseline != nil {
		rules = append(rules, baselineRule(e, m))
	}
	if e.Value != nil {
		rules = append(rules, valueRule(e))
	}
	if r, ok := sliceRule(e, def); ok {
		rules = append(rules, r)
	}
	if def.Leaks == "stop" {
		rules = append(rules, leaksRule(e))
	}
	d := Decision{Promote: true, Rules: rules}
	var good, bad []string
	for _, r := range rules {
		if r.Passed {
			good = append(good, r.Finding)
		} else {
			bad = append(bad, r.Finding)
			d.Promote = false
		}
	}
	switch {
	case len(bad) > 0:
		d.Why = strings.Join(bad, "; ")
	case len(good) > 0:
		d.Why = strings.Join(good, "; ")
	default:
		d.Why = "the definition has no rule to break"
	}
	return d, nil
}

func barRule(e *Evaluation, def definition.Evaluate, m metrics.Metric) (Rule, bool) {
	got := e.Metrics[m.Name]
	share := percent(float64(e.Confidence))
	r := Rule{Name: "bar", Numbers: map[string]Num{"value": got.Value, "low": got.Low, "high": got.High}}
	switch {
	case m.More && def.AtLeast != nil:
		r.Rule = fmt.Sprintf("%s is at least %s with %s confidence", m.Name, short(*def.AtLeast), share)
		r.Numbers["at_least"] = Num(*def.AtLeast)
		r.Passed = float64(got.Low) >= *def.AtLeast
	case !m.More && def.AtMost != nil:
		r.Rule = fmt.Sprintf("%s is at most %s with %s confidence", m.Name, short(*def.AtMost), share)
		r.Numbers["at_most"] = Num(*def.AtMost)
		r.Passed = float64(got.High) <= *def.AtMost
	default:
		return Rule{}, false
	}
	verb := "meets"
	if !r.Passed {
		verb = "does not surely meet"
	}
	bar := def.AtLeast
	if !m.More {
		bar = def.AtMost
	}
	r.Finding = fmt.Sprintf("%s %s %s the bar of %s", m.Name, span(got), verb, short(*bar))
	return r, true
}

func championRule(e *Evaluation, def definition.Evaluate, m metrics.Metric, hasBar bool) Rule {
	c := e.Champion
	r := Rule{Name: "champion", Rule: fmt.Sprintf("%s is better than version %d's on the same rows by more than %s with %s confidence",
		m.Name, c.Version, short(def.BeatChampionBy), percent(float64(e.Confidence)))}
	if c.Metrics == nil {
		// A version that cannot read today's data cannot serve it either: the bar alone decides.
		r.Passed = hasBar
		r.Finding = fmt.Sprintf("version %d cannot be compared: %s", c.Version, c.Note)
		return r
	}
	d := c.BetterBy[m.Name]
	r.Numbers = map[string]Num{"better_by": d.Value, "low": d.Low, "high": d.High, "beat_champion_by": Num(def.BeatChampionBy), "champion": c.Metrics[m.Name].Value}
	r.Passed = float64(d.Low) > def.BeatChampionBy
	verb := "is not surely better than"
	switch {
	case d.Low == 0 && d.High == 0:
		verb = "is the same as"
	case float64(d.Low) > 0:
		verb = "is better than"
	case r.Passed: // beat_champion_by is negative
		verb = "is close enough to"
	case float64(d.High) < 0:
		verb = "is worse than"
	}
	r.Finding = fmt.Sprintf("%s %s version %d's %s on the same rows: by %s", m.Name, verb, c.Version, short(float64(c.Metrics[m.Name].Value)), span(d))
	return r
}

func baselineRule(e *Evaluation, m metrics.Metric) Rule {
	d := e.Baseline.BetterBy[m.Name]
	r := Rule{
		Name: "baseline", Rule: fmt.Sprintf("the linear baseline is not surely better by %s", m.Name),
		Passed:  !(float64(d.High) < 0),
		Numbers: map[string]Num{"better_by": d.Value, "low": d.Low, "high": d.High, "baseline": e.Baseline.Metrics[m.Name].Value},
	}
	verb := "beats"
	switch {
	case !r.Passed:
		verb = "loses to"
	case !(float64(d.Low) > 0):
		verb = "does not surely beat"
	}
	r.Finding = fmt.Sprintf("the model %s the linear baseline by %s %s", verb, m.Name, span(d))
	return r
}

// valueRule holds the model against having none: whatever its metric, decisions
// by it must not be worth less than saying the same to all.
func valueRule(e *Evaluation) Rule {
	v := e.Value
	r := Rule{
		Name: "value", Rule: "decisions by the model are not surely worth less than " + v.Policy,
		Passed:  !(float64(v.Gain.High) < 0),
		Numbers: map[string]Num{"model": v.Model, "no_model": v.NoModel, "gain": v.Gain.Value, "low": v.Gain.Low, "high": v.Gain.High},
	}
	verb := "are worth more than"
	switch {
	case !r.Passed:
		verb = "are worth less than"
	case v.Gain.Low == 0 && v.Gain.High == 0:
		verb = "are those of"
	case !(float64(v.Gain.Low) > 0):
		verb = "are not surely worth more than"
	}
	r.Finding = fmt.Sprintf("the model's decisions %s %s: by %s a row", verb, v.Policy, span(v.Gain))
	return r
}

// sliceRule names the smallest slice that it compared: how far down it looked.
func sliceRule(e *Evaluation, def definition.Evaluate) (Rule, bool) {
	if e.Champion == nil || len(def.Slices) == 0 {
		return Rule{}, false
	}
	r := Rule{
		Name: "slices", Passed: true, Numbers: map[string]Num{},
		Rule: fmt.Sprintf("no slice of %d rows or more falls significantly behind the version in service (Holm's correction for their number)", sliceRows),
	}
	var fallen []string
	var smallest *Slice
	compared := 0
	for i, s := range e.Slices {
		if s.BetterBy == nil {
			continue
		}
		compared++
		if smallest == nil || s.Rows < smallest.Rows {
			smallest = &e.Slices[i]
		}
		if s.Falls {
			fallen = append(fallen, fmt.Sprintf("%s=%s by %s", s.Column, s.Value, short(-float64(s.BetterBy.Value))))
		}
	}
	if compared == 0 {
		r.Numbers["compared"], r.Numbers["not_compared"] = 0, Num(len(e.Slices))
		r.Finding = fmt.Sprintf("none of %d slices can be compared: ", len(e.Slices))
		if e.Champion.Metrics == nil {
			r.Finding += "the version in service cannot"
		} else {
			r.Finding += "they are too small"
		}
		return r, true
	}
	r.Numbers["compared"], r.Numbers["fallen"] = Num(compared), Num(len(fallen))
	r.Numbers["not_compared"], r.Numbers["smallest_rows"] = Num(len(e.Slices)-compared), Num(smallest.Rows)
	r.Passed = len(fallen) == 0
	r.Finding = fmt.Sprintf("none of %d slices falls behind", compared)
	if !r.Passed {
		r.Finding = fmt.Sprintf("%d of %d slices fall behind: %s", len(fallen), compared, strings.Join(fallen, ", "))
	}
	r.Finding += fmt.Sprintf(" (the smallest is %s=%s with %s rows", smallest.Column, smallest.Value, report.Thousands(smallest.Rows))
	if left := len(e.Slices) - compared; left > 0 {
		r.Finding += fmt.Sprintf("; %d with too few are not compared", left)
	}
	r.Finding += ")"
	return r, true
}

// leaksRule holds the model back as long as a leak or trap is not mended or trusted.
func leaksRule(e *Evaluation) Rule {
	r := Rule{Name: "leaks", Rule: "there is no leak or trap but in what the definition trusts", Numbers: map[string]Num{}}
	var found []string
	for _, t := range e.Traps {
		if !t.Trusted {
			found = append(found, t.Finding)
		}
	}
	r.Numbers["found"], r.Numbers["trusted"] = Num(len(found)), Num(len(e.Traps)-len(found))
	r.Passed = len(found) == 0
	r.Finding = "no leak or trap was found"
	if !r.Passed {
		r.Finding = strings.Join(found, "; ")
	}
	return r
}

// span writes an estimate as 0.745 (0.731 to 0.758).
func span(e Estimate) string {
	return fmt.Sprintf("%s (%s to %s)", short(float64(e.Value)), short(float64(e.Low)), short(float64(e.High)))
}

// short writes a number with the digits a person reads.
func short(x float64) string {
	switch a := math.Abs(x); {
	case math.IsNaN(x):
		return "n/a"
	case a == 0:
		return "0"
	case a >= 1e6 || a < 1e-4:
		return strconv.FormatFloat(x, 'g', 3, 64)
	case a >= 100:
		return trim(strconv.FormatFloat(x, 'f', 1, 64))
	case a >= 10:
		return trim(strconv.FormatFloat(x, 'f', 2, 64))
	}
	return trim(strconv.FormatFloat(x, 'f', 4, 64))
}

// trim takes off the zeros that say nothing.
func trim(s string) string {
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}

func percent(x float64) string { return short(x*100) + " %" }
