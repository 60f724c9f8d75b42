package quality

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/table"
	"github.com/millrace-ml/millrace/worker/traps"
)

// Report is quality/report.json: what a preparation found in the data.
type Report struct {
	Pipeline string     `json:"pipeline"`
	Run      int        `json:"run"`
	Step     string     `json:"step"`
	OK       bool       `json:"ok"`
	Verdict  string     `json:"verdict"` // one sentence
	Files    []FileNote `json:"files"`
	Rows     int        `json:"rows"` // in the files
	Parts    []Part     `json:"parts,omitempty"`
	Shared   *Shared    `json:"shared,omitempty"`
	Drift    *Drift     `json:"drift,omitempty"`
	Findings []Finding  `json:"findings"`
	Columns  []Summary  `json:"columns,omitempty"`
}

// FileNote is one uploaded file.
type FileNote struct {
	Key       string `json:"key"`
	VersionID string `json:"version_id,omitempty"`
	SHA256    string `json:"sha256,omitempty"`
	Bytes     int64  `json:"bytes"`
	Rows      int    `json:"rows,omitempty"`
}

// Part is the rows that one use of the data got.
type Part struct {
	Name  string  `json:"name"` // train | validation | test | batch
	Rows  int     `json:"rows"`
	Label float64 `json:"label"` // mean of the label
	From  string  `json:"from,omitempty"`
	To    string  `json:"to,omitempty"`

	// Effective is how many rows of one weight say as much, by Kish; 0: rows are not weighed.
	Effective float64 `json:"effective,omitempty"`

	Spread  float64     `json:"spread,omitempty"`  // standard deviation of the label
	Classes []int       `json:"classes,omitempty"` // rows of each of several classes, whose mean says nothing
	Days    []traps.Day `json:"days,omitempty"`
}

// Shared counts the test rows that are also among those learned from: as rows but
// for the key, and by keys that are written in another way.
type Shared struct {
	Rows traps.Shared `json:"rows"`
	Keys traps.Shared `json:"keys"`
}

// Summary describes one column over all rows.
type Summary struct {
	Name      string             `json:"name"`
	Type      string             `json:"type"`
	Role      string             `json:"role,omitempty"` // key | time | label
	Present   int64              `json:"present"`
	Missing   int64              `json:"missing"`
	Distinct  *float64           `json:"distinct,omitempty"` // text
	Top       []drift.TextBucket `json:"top,omitempty"`      // text: the most frequent values
	Min       *float64           `json:"min,omitempty"`      // a time: Unix seconds
	Quartiles *[3]float64        `json:"quartiles,omitempty"`
	Max       *float64           `json:"max,omitempty"`
	Mean      *float64           `json:"mean,omitempty"`
	StdDev    *float64           `json:"std_dev,omitempty"`
	Histogram *Histogram         `json:"histogram,omitempty"`
}

// Histogram is shares of the values in equal bins. The outermost hundredth of the
// values is left out, so that a few odd ones do not flatten the rest.
type Histogram struct {
	Low    float64   `json:"low"`
	High   float64   `json:"high"`
	Shares []float64 `json:"shares"`
}

const bins = 24

func histogram(r *drift.Ranks) *Histogram {
	h := &Histogram{Low: r.Quantile(0.005), High: r.Quantile(0.995), Shares: make([]float64, bins)}
	if h.Low == h.High {
		return nil
	}
	below := r.Rank(h.Low, false)
	for i := range h.Shares {
		through := r.Rank(h.Low+float64((h.High-h.Low)*float64(i+1)/bins), i == bins-1)
		h.Shares[i] = (through - below) / r.Total()
		below = through
	}
	return h
}

// top is how many values of a text column are shown.
const top = 10

// Stops tells whether a finding stops the run.
func Stops(findings []Finding) bool {
	for _, f := range findings {
		if f.Severity == Stop {
			return true
		}
	}
	return false
}

// Conclude sets the verdict by the findings.
func (r *Report) Conclude() {
	stops, warnings, first := 0, 0, ""
	for _, f := range r.Findings {
		if f.Severity != Stop {
			warnings++
			continue
		}
		if stops++; first == "" {
			first = f.Text()
		}
	}
	r.OK = stops == 0
	switch {
	case stops == 1:
		r.Verdict = first
	case stops > 1:
		r.Verdict = fmt.Sprintf("%s (and %d more)", first, stops-1)
	case warnings == 1:
		r.Verdict = "The data passed every check that stops a run; there is 1 warning."
	case warnings > 1:
		r.Verdict = fmt.Sprintf("The data passed every check that stops a run; there are %d warnings.", warnings)
	default:
		r.Verdict = "The data passed every check."
	}
}

// Describe summarises the named columns.
func Describe(ctx context.Context, tab *table.Table, typed map[string]*table.Typed, names []string, roles map[string]string) ([]Summary, error) {
	out := make([]Summary, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, runtime.GOMAXPROCS(0)))
	for i, name := range names {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			out[i] = summarise(tab, typed[name])
			out[i].Role = roles[name]
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("describe columns: %w", err)
	}
	return out, nil
}

func summarise(tab *table.Table, col *table.Typed) Summary {
	p := NewProfile(col.Name, col.Type)
	if p.Text != nil {
		col.Each(0, tab.Rows(), func(_ int, cell string) { p.Text.Add(cell) })
	} else {
		for _, v := range col.Numbers {
			p.Numeric.Add(v)
		}
	}
	return p.Summary()
}

// Profile describes a column while its rows go by, in bounded memory.
type Profile struct {
	Name    string
	Type    features.Type
	Numeric *drift.NumericProfile // of all types but text
	Text    *drift.TextProfile
}

// NewProfile makes an empty profile.
func NewProfile(name string, t features.Type) *Profile {
	p := &Profile{Name: name, Type: t}
	if t == features.Text {
		p.Text = drift.NewTextProfile()
	} else {
		p.Numeric = drift.NewNumericProfile()
	}
	return p
}

// Add adds a batch's rows.
func (p *Profile) Add(c *table.BatchColumn, rows int) {
	if p.Text != nil {
		for row := range rows {
			p.Text.Add(c.Cell(row))
		}
		return
	}
	for _, v := range c.Numbers {
		p.Numeric.Add(v)
	}
}

// Merge adds what a profile of later rows has seen.
func (p *Profile) Merge(later *Profile) {
	if p.Text != nil {
		p.Text.Merge(later.Text)
	} else {
		p.Numeric.Merge(later.Numeric)
	}
}

// Summary is what the report says of the column.
func (p *Profile) Summary() Summary {
	s := Summary{Name: p.Name, Type: p.Type.String()}
	if t := p.Text; t != nil {
		distinct, counts := t.Distinct(), t.Counts()
		s.Present, s.Missing, s.Distinct = t.Present, t.Missing, &distinct
		if float64(t.Present) > distinct { // a column of names has no values worth showing
			s.Top = counts[:min(len(counts), top)]
		}
		return s
	}
	n := p.Numeric
	s.Present, s.Missing = n.Present, n.Missing
	if n.Present == 0 {
		return s
	}
	ranks := n.Sketch.Ranks()
	mean, sd := n.Mean(), n.StdDev()
	s.Min, s.Max, s.Mean, s.StdDev = &n.Min, &n.Max, &mean, &sd
	s.Quartiles = &[3]float64{ranks.Quantile(0.25), ranks.Quantile(0.5), ranks.Quantile(0.75)}
	s.Histogram = histogram(ranks)
	return s
}

// Instant writes Unix seconds as a time in UTC; "" for NaN.
func Instant(seconds float64) string {
	if math.IsNaN(seconds) {
		return ""
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*1e9)).UTC().Format(time.RFC3339)
}
