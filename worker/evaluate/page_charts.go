package evaluate

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/millrace-ml/millrace/worker/report"
)

var unit = report.Axis{Low: 0, High: 1}

func chartsSection(e *Evaluation) (report.Section, bool) {
	var charts report.Charts
	if len(e.Curves.ROC) > 0 {
		charts = append(charts, rocChart(e), prChart(e))
	}
	if len(e.Curves.Calibration) > 0 {
		charts = append(charts, calibrationChart(e))
	}
	if len(e.Curves.Scores) > 0 {
		charts = append(charts, scoresChart(e))
	}
	if len(e.Curves.Residuals) > 0 {
		charts = append(charts, residualsChart(e))
	}
	return report.Section{Title: "How it scores", Lead: "Every chart is of the test rows, which the model has not seen.", Blocks: []report.Block{charts}}, len(charts) > 0
}

// rivals are the lines of the model and of those beside it, in their colours.
func rivals(e *Evaluation, own []Point, of func(*Rival) []Point) []report.Line {
	x, y := xy(own)
	lines := []report.Line{{Name: "this model", X: x, Y: y}}
	if c := e.Champion; c != nil && of(c) != nil {
		x, y := xy(of(c))
		lines = append(lines, report.Line{Name: fmt.Sprintf("version %d", c.Version), Colour: 1, X: x, Y: y})
	}
	if b := e.Baseline; b != nil && of(b) != nil {
		x, y := xy(of(b))
		lines = append(lines, report.Line{Name: "linear baseline", Colour: 2, X: x, Y: y, Dashed: true})
	}
	return lines
}

func rocChart(e *Evaluation) report.Chart {
	c := report.Chart{
		Title: "ROC", XLabel: "false positive rate", YLabel: "true positive rate", X: unit, Y: unit, Diagonal: true,
		Lines:   rivals(e, e.Curves.ROC, func(r *Rival) []Point { return r.ROC }),
		Caption: fmt.Sprintf("Of a row that is %s and one that is not, drawn at random, the model scores the right one higher in %s of cases. The dotted diagonal is a coin.", e.Label, report.Percent(round(float64(e.Metrics["auc"].Value), 3))),
	}
	return c
}

func prChart(e *Evaluation) report.Chart {
	c := report.Chart{
		Title: "Precision and recall", XLabel: "recall: share of all yes that is found", YLabel: "precision", X: unit, Y: unit,
		Lines: rivals(e, e.Curves.PR, func(r *Rival) []Point { return r.PR }),
	}
	rate := float64(e.LabelMean)
	precision, recall := float64(e.Metrics["precision"].Value), float64(e.Metrics["recall"].Value)
	c.Lines = append(c.Lines, report.Line{Name: "yes to all", Colour: 2, X: []float64{0, 1}, Y: []float64{rate, rate}})
	if !math.IsNaN(precision) && e.Threshold != nil {
		c.Marks = []report.Mark{{X: recall, Y: precision, Text: "threshold " + short(float64(e.Threshold.Value))}}
		c.Caption = fmt.Sprintf("At the threshold of %s, %s of the rows that the model calls %s are, and it finds %s of those that are.",
			short(float64(e.Threshold.Value)), report.Percent(round(precision, 3)), e.Label, report.Percent(round(recall, 3)))
	}
	return c
}

func calibrationChart(e *Evaluation) report.Chart {
	var x, y []float64
	for _, b := range e.Curves.Calibration {
		x, y = append(x, float64(b.Score)), append(y, float64(b.Label))
	}
	c := report.Chart{
		Title: "Calibration", XLabel: "mean score of a tenth of the rows", YLabel: "mean label", Diagonal: true,
		Lines:   []report.Line{{Name: "this model", X: x, Y: y, Points: true}},
		Caption: "Each point is a tenth of the rows, by score. Where it lies on the dotted diagonal, what was foretold came true; below it, scores are too high.",
	}
	low, high := min(slices.Min(x), slices.Min(y)), max(slices.Max(x), slices.Max(y))
	if e.Objective == "binary" {
		low, high = 0, min(1, math.Ceil(high*10+0.5)/10)
		c.Caption += fmt.Sprintf(" Scores are off by %s on average.", short(float64(e.Metrics["calibration_error"].Value)))
	}
	if low < high {
		c.X, c.Y = report.Axis{Low: low, High: high}, report.Axis{Low: low, High: high}
	}
	return c
}

func scoresChart(e *Evaluation) report.Chart {
	c := report.Chart{Title: "Scores by label", XLabel: "score", YLabel: "share of the label's rows",
		Caption: "The less the two shapes overlap, the better the model tells them apart."}
	if e.Objective != "binary" {
		c = report.Chart{Title: "Residuals", XLabel: "label less prediction", YLabel: "share of rows",
			Caption: "How far predictions are off. A good shape is narrow and has its middle at 0; without the outermost hundredth of the rows."}
	} else if e.Threshold != nil {
		c.Marks = []report.Mark{{X: float64(e.Threshold.Value), Y: math.NaN(), Text: "yes from " + short(float64(e.Threshold.Value))}}
	}
	for i, s := range e.Curves.Scores {
		b := report.Bars{Name: s.Name, Colour: 1 - i, Low: float64(s.Low), High: float64(s.High)}
		if e.Objective == "binary" {
			b.Name = [2]string{"not " + e.Label, e.Label}[i]
		} else {
			b.Colour = 0
		}
		for _, v := range s.Shares {
			b.Heights = append(b.Heights, float64(v))
		}
		c.Bars = append(c.Bars, b)
	}
	return c
}

func residualsChart(e *Evaluation) report.Chart {
	var x, y []float64
	for _, b := range e.Curves.Residuals {
		x, y = append(x, float64(b.Score)), append(y, float64(b.Label))
	}
	return report.Chart{
		Title: "Residuals by prediction", XLabel: "mean prediction of a tenth of the rows", YLabel: "mean of label less prediction",
		Lines:   []report.Line{{Name: "this model", X: x, Y: y, Points: true}, {Name: "no bias", Colour: 2, Dashed: true, X: []float64{slices.Min(x), slices.Max(x)}, Y: []float64{0, 0}}},
		Caption: "Where the line is above 0 the model says too little, below it too much.",
	}
}

func valueSection(e *Evaluation) (report.Section, bool) {
	v := e.Value
	if v == nil {
		return report.Section{}, false
	}
	t := report.Table{Head: []string{"Decisions by", "Per 1,000 rows", "This model is worth more by"}, Numeric: []bool{false, true, true}, Stack: true}
	thousand := func(n Num) string { return figure(1000 * float64(n)) }
	gain := func(d Estimate) report.Cell {
		d = Estimate{1000 * d.Value, 1000 * d.Low, 1000 * d.High}
		return report.Cell{Text: signed(float64(d.Value)), Note: between(d), Tone: tone(d)}
	}
	t.Rows = append(t.Rows, []report.Cell{{Text: "this model"}, {Text: thousand(v.Model)}, {}},
		[]report.Cell{{Text: "no model", Note: v.Policy}, {Text: thousand(v.NoModel)}, gain(v.Gain)})
	if v.Champion != nil {
		t.Rows = append(t.Rows, []report.Cell{{Text: fmt.Sprintf("version %d", e.Champion.Version), Note: "in service"}, {Text: thousand(*v.Champion)}, gain(*v.OverChampion)})
	}
	x, y := xy(v.Curve)
	for i := range y {
		y[i] *= 1000
	}
	c := report.Chart{Title: "Value by threshold", XLabel: "threshold: a score of so much or more is a yes", YLabel: "value per 1,000 rows", X: unit,
		Lines:   []report.Line{{Name: "this model", X: x, Y: y}, {Name: "no model", Colour: 2, Dashed: true, X: []float64{0, 1}, Y: []float64{1000 * float64(v.NoModel), 1000 * float64(v.NoModel)}}},
		Caption: "The threshold was chosen before these rows were seen. A flat top means that its exact place matters little.",
	}
	if e.Threshold != nil && float64(e.Threshold.Value) <= 1 {
		c.Marks = []report.Mark{{X: float64(e.Threshold.Value), Y: 1000 * float64(v.Model), Text: "threshold " + short(float64(e.Threshold.Value))}}
	}
	var worth string
	for _, name := range []string{"tp", "fp", "fn", "tn"} {
		if n, ok := v.Table[name]; ok {
			worth += fmt.Sprintf(" %s %s,", map[string]string{"tp": "a hit", "fp": "a false alarm", "fn": "a miss", "tn": "a rightful no"}[name], short(n))
		}
	}
	return report.Section{Title: "What decisions are worth", Lead: "By the definition's value table:" + worth[:len(worth)-1] + ".", Blocks: []report.Block{t, report.Charts{c}}}, true
}

// labelChart shows the label by day: what is learned from, what is judged on.
func labelChart(e *Evaluation) (report.Chart, bool) {
	c := report.Chart{Title: "Mean label by day", YLabel: "mean " + e.Label, XLabel: "day"}
	class := -1
	if len(e.Classes) > 0 {
		if e.Moved == nil {
			return c, false
		}
		class = slices.Index(e.Classes, e.Moved.Class)
		c.Title, c.YLabel = "Share of "+e.Moved.Class+" by day", "share of rows"
	}
	low, high := math.Inf(1), math.Inf(-1)
	for i, p := range e.Data.Parts {
		l := report.Line{Name: p.Name, Colour: []int{2, 1, 0}[i%3]}
		for _, d := range p.Days {
			at, err := time.Parse(time.DateOnly, d.Day)
			if err != nil {
				continue
			}
			x := float64(at.Unix()) / 86400
			if n := len(l.X); n > 0 && x-l.X[n-1] > 3 { // days without rows
				l.X, l.Y = append(l.X, math.NaN()), append(l.Y, math.NaN())
			}
			low, high = min(low, x), max(high, x)
			y := d.Label
			if class >= 0 && class < len(d.Classes) {
				y = float64(d.Classes[class]) / float64(max(1, d.Rows))
			}
			l.X, l.Y = append(l.X, x), append(l.Y, y)
		}
		if len(l.X) > 1 {
			c.Lines = append(c.Lines, l)
		}
	}
	if len(c.Lines) == 0 || !(low < high) {
		return c, false
	}
	c.X = report.Axis{Low: low, High: high, Ticks: []report.TickMark{}}
	for i := range 4 {
		at := math.Round(low + (high-low)*(0.5+float64(i))/4)
		c.X.Ticks = append(c.X.Ticks, report.TickMark{At: at, Text: time.Unix(int64(at)*86400, 0).UTC().Format("2 Jan")})
	}
	c.Caption = "If the test rows' line lies elsewhere than the training rows', the target moved."
	if m := e.Moved; m != nil {
		c.Caption = fmt.Sprintf("%s in the training rows, %s in the test rows; a difference as large comes by chance with p = %s.", short(float64(m.Train)), short(float64(m.Test)), short(float64(m.P)))
	}
	return c, true
}

func round(x float64, digits int) float64 {
	scale := math.Pow(10, float64(digits))
	return math.Round(x*scale) / scale
}

func xy(points []Point) (x, y []float64) {
	for _, p := range points {
		x, y = append(x, float64(p.X)), append(y, float64(p.Y))
	}
	return x, y
}
