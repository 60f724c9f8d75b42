// Package evaluate is the evaluate step: it judges a new model on rows that
// neither it nor its threshold has seen, beside the version in service and a
// linear baseline, and decides by the definition's rules. The decision is a record
// with its numbers, and a page for the person who approves.
package evaluate

import (
	"math"
	"strconv"

	"github.com/millrace-ml/millrace/shared/definition"
	"github.com/millrace-ml/millrace/worker/metrics"
	"github.com/millrace-ml/millrace/worker/quality"
)

// Num is a number in evaluation.json: ten significant digits, null when it is
// not defined.
type Num float64

// MarshalJSON writes NaN and infinities as null.
func (n Num) MarshalJSON() ([]byte, error) {
	x := float64(n)
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return []byte("null"), nil
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 10, 64), 64)
	if err != nil {
		return nil, err
	}
	return strconv.AppendFloat(nil, rounded+0, 'g', -1, 64), nil
}

// UnmarshalJSON reads null as NaN.
func (n *Num) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		*n = Num(math.NaN())
		return nil
	}
	x, err := strconv.ParseFloat(string(raw), 64)
	*n = Num(x)
	return err
}

// Estimate is a number and its confidence interval.
type Estimate struct {
	Value Num `json:"value"`
	Low   Num `json:"low"`
	High  Num `json:"high"`
}

func estimate(i metrics.Interval) Estimate {
	return Estimate{Num(i.Value), Num(i.Low), Num(i.High)}
}

// Evaluation is evaluation.json.
type Evaluation struct {
	Pipeline   string              `json:"pipeline"`
	Run        int                 `json:"run"`
	Recipe     string              `json:"recipe,omitempty"`
	Image      string              `json:"image,omitempty"`   // of the program that made this, by digest
	Label      string              `json:"label"`             // what is foretold
	Objective  string              `json:"objective"`         // binary | regression | multiclass
	Classes    []string            `json:"classes,omitempty"` // multiclass: the labels 0, 1, 2 and so on
	Metric     string              `json:"metric"`            // that decides
	Confidence Num                 `json:"confidence"`
	Rows       int                 `json:"rows"`
	LabelMean  Num                 `json:"label_mean"` // null with several classes
	From       string              `json:"from,omitempty"`
	To         string              `json:"to,omitempty"`
	Bootstrap  Bootstrap           `json:"bootstrap"`
	Threshold  *Threshold          `json:"threshold,omitempty"`
	Metrics    map[string]Estimate `json:"metrics"`
	Baseline   *Rival              `json:"baseline,omitempty"`
	Champion   *Rival              `json:"champion,omitempty"`
	Value      *ValueStory         `json:"value,omitempty"`
	Slices     []Slice             `json:"slices,omitempty"`
	Traps      []Trap              `json:"traps,omitempty"`
	Importance []Importance        `json:"importance"`
	Curves     Curves              `json:"curves"`
	Columns    []quality.Summary   `json:"columns,omitempty"` // that the model reads, over the test rows
	Moved      *Move               `json:"moved,omitempty"`   // how the label of the test rows differs from that learned from
	Drift      []Drift             `json:"drift,omitempty"`   // against what the version in service learned from
	Data       *quality.Report     `json:"data,omitempty"`    // of the preparation, without its columns
	Method     Method              `json:"method"`
	Notes      []string            `json:"notes,omitempty"`
	Decision   Decision            `json:"decision"`
}

// Method is how the model was made, as far as the definition says.
type Method struct {
	Trees           int               `json:"trees"`
	Hyperparameters map[string]string `json:"hyperparameters,omitempty"`
	Seed            int64             `json:"seed"`
	Split           definition.Split  `json:"split"`

	Features []definition.Feature `json:"features"`
}

// Bootstrap says how the intervals were made.
type Bootstrap struct {
	Replicates int    `json:"replicates"`
	Seed       int64  `json:"seed"`
	Block      string `json:"block"` // day | hour | row: what is drawn as a whole
	Blocks     int    `json:"blocks"`
}

// Threshold is the score from which the model's answer counts as yes.
type Threshold struct {
	Value  Num    `json:"value"`
	Chosen string `json:"chosen"`
}

// Rival is another model on the same rows.
type Rival struct {
	Version  int                 `json:"version,omitempty"`
	Recorded map[string]Num      `json:"recorded,omitempty"` // at its own evaluation, on other rows
	Metrics  map[string]Estimate `json:"metrics,omitempty"`  // on these rows; absent when it cannot score them
	BetterBy map[string]Estimate `json:"better_by,omitempty"`
	ROC      []Point             `json:"roc,omitempty"`
	PR       []Point             `json:"pr,omitempty"`
	Note     string              `json:"note,omitempty"` // why it cannot be compared
}

// ValueStory is what decisions are worth per row by the value table.
type ValueStory struct {
	Table        map[string]float64 `json:"table"`
	Model        Num                `json:"model"`
	NoModel      Num                `json:"no_model"` // the better of always yes and always no
	Policy       string             `json:"policy"`   // which of them: yes to all | no to all
	Gain         Estimate           `json:"gain"`     // of the model over none
	Champion     *Num               `json:"champion,omitempty"`
	OverChampion *Estimate          `json:"over_champion,omitempty"`
	Curve        []Point            `json:"curve,omitempty"` // threshold, value per row on the test rows
}

// Slice is the rows with one value of a column.
type Slice struct {
	Column    string    `json:"column"`
	Value     string    `json:"value"`
	Rows      int       `json:"rows"`
	LabelMean Num       `json:"label_mean"`
	Metric    *Estimate `json:"metric,omitempty"`
	Champion  *Num      `json:"champion,omitempty"`
	BetterBy  *Estimate `json:"better_by,omitempty"` // corrected for the number of slices
	P         *Num      `json:"p,omitempty"`         // that it only seems to be behind, by chance; corrected likewise
	Falls     bool      `json:"falls,omitempty"`     // significantly behind the champion
	Note      string    `json:"note,omitempty"`
}

// Move is the mean labels of the training and the test rows; of several classes,
// the share of the one that differs most surely.
type Move struct {
	Class string `json:"class,omitempty"`
	Train Num    `json:"train"`
	Test  Num    `json:"test"`
	P     Num    `json:"p"` // of a difference as large by chance; corrected for the number of classes
}

// Trap is a reason why the model may look better than it is.
type Trap struct {
	Kind    string         `json:"kind"` // alone | too-good | later | key | shared | moved
	Name    string         `json:"name"` // of the feature, column, key or label
	Finding string         `json:"finding"`
	Hint    string         `json:"hint"`
	Numbers map[string]Num `json:"numbers"`           // from: where such a trap begins
	Trusted bool           `json:"trusted,omitempty"` // by the definition: told, and never in the way
}

// Importance is how much the deciding metric suffers when a feature is shuffled.
type Importance struct {
	Feature string `json:"feature"`
	Loss    Num    `json:"loss"`
	Gain    Num    `json:"gain"` // mean loss reduction of the trees' splits on it
}

// Curves are the points of the report's charts.
type Curves struct {
	ROC         []Point  `json:"roc,omitempty"`         // false positive rate, true positive rate
	PR          []Point  `json:"pr,omitempty"`          // recall, precision
	Calibration []Bin    `json:"calibration,omitempty"` // tenths of the rows by score
	Scores      []Spread `json:"scores,omitempty"`      // of each class; of values: residuals
	Residuals   []Bin    `json:"residuals,omitempty"`   // of values: tenths of the rows by score, and the mean of label less score
	Classes     []Class  `json:"classes,omitempty"`     // of several classes
	Confusion   [][]int  `json:"confusion,omitempty"`   // of several classes: rows by class and by what was said
}

// Class is how one of several classes is told from the rest.
type Class struct {
	Name      string  `json:"name"`
	Rows      int     `json:"rows"`
	AUC       Num     `json:"auc"`
	Precision Num     `json:"precision"`
	Recall    Num     `json:"recall"`
	F1        Num     `json:"f1"`
	ROC       []Point `json:"roc,omitempty"`
}

// Point is a point of a curve.
type Point struct {
	X Num `json:"x"`
	Y Num `json:"y"`
}

// Bin is a tenth of the rows: their mean score and mean label.
type Bin struct {
	Rows  int `json:"rows"`
	Score Num `json:"score"`
	Label Num `json:"label"`
}

// Spread is a histogram over equal bins.
type Spread struct {
	Name   string `json:"name"`
	Low    Num    `json:"low"`
	High   Num    `json:"high"`
	Shares []Num  `json:"shares"`
}

// Decision is the record of the gate.
type Decision struct {
	Promote bool   `json:"promote"`
	Why     string `json:"why"`
	Rules   []Rule `json:"rules"`
}

// Rule is one rule of the gate.
type Rule struct {
	Name    string         `json:"name"` // bar | champion | baseline | value | slices | leaks
	Rule    string         `json:"rule"` // in words
	Passed  bool           `json:"passed"`
	Finding string         `json:"finding"` // in words
	Numbers map[string]Num `json:"numbers,omitempty"`
}
