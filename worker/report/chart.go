package report

import (
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Chart is drawn as SVG, with its numbers beside it as JSON.
type Chart struct {
	Title   string
	Caption string // what it means, in a sentence
	XLabel  string
	YLabel  string
	X, Y    Axis
	Lines   []Line
	Bars    []Bars
	Spans   []Span // drawn instead of lines and bars: one row each, Y is not used
	Marks   []Mark
	// Diagonal draws the line from corner to corner; Zero a line at X = 0.
	Diagonal bool
	Zero     bool
}

// Axis is a range of values; an empty one is taken from the data.
type Axis struct {
	Low, High float64
	Ticks     []TickMark // nil: round numbers
}

func (a Axis) empty() bool { return a.Low == 0 && a.High == 0 }

// part is where a value stands on the axis: 0 at its beginning, 1 at its end.
func (a Axis) part(x float64) float64 {
	width := a.High - a.Low
	switch {
	case math.IsInf(width, 0): // there is no such number, but of the half
		return (x/2 - a.Low/2) / (a.High/2 - a.Low/2)
	case width == 0:
		return 0.5
	}
	return (x - a.Low) / width
}

// narrow tells an axis whose values can hardly be told from each other: counting
// its steps would not come to an end.
func (a Axis) narrow() bool {
	return !(step(a) > 1e-12*max(math.Abs(a.Low), math.Abs(a.High)))
}

// TickMark is a text at a place of an axis.
type TickMark struct {
	At   float64
	Text string
}

// Line joins points; one that is NaN is a gap.
type Line struct {
	Name   string
	Colour int // 0, 1 or 2
	X, Y   []float64
	Points bool // draws the points, too
	Dashed bool
}

// Bars is a histogram over equal bins.
type Bars struct {
	Name      string
	Colour    int // 0, 1 or 2
	Low, High float64
	Heights   []float64
}

// Span is a value with an interval.
type Span struct {
	Name             string
	Value, Low, High float64
	Colour           int // 0, 1 or 2
}

// Mark points at a place, or with an Y that is NaN at a place of the X axis.
type Mark struct {
	X, Y float64
	Text string
}

// Sizes in the units of the drawing.
const (
	chartWidth  = 400
	chartHeight = 262
	left        = 44
	right       = 14
	top         = 22
	bottom      = 42
	spanTop     = 6
	spanHeight  = 24
	spanLeft    = 124
)

type pen struct{ strings.Builder }

func (p *pen) f(format string, args ...any) { fmt.Fprintf(p, format, args...) }

func (p *pen) text(x, y float64, class, anchor, s string) {
	p.f(`<text x="%s" y="%s" text-anchor="%s"`, coordinate(x), coordinate(y), anchor)
	if class != "" {
		p.f(` class="%s"`, class)
	}
	p.f(`>%s</text>`, html.EscapeString(s))
}

func coordinate(x float64) string {
	return strconv.FormatFloat(math.Round(x*10)/10+0, 'f', -1, 64)
}

func (c Chart) svg() (template.HTML, error) {
	for _, l := range c.Lines {
		if len(l.X) != len(l.Y) {
			return "", fmt.Errorf("draw chart %q: line %q has %d x and %d y", c.Title, l.Name, len(l.X), len(l.Y))
		}
	}
	if len(c.Spans) > 0 {
		return c.spans(), nil
	}
	c.X, c.Y = c.fit()
	p := &pen{}
	c.open(p, chartHeight)
	c.axes(p)
	plot := func(x, y float64) (float64, float64) {
		return left + c.X.part(x)*(chartWidth-left-right), chartHeight - bottom - c.Y.part(y)*(chartHeight-top-bottom)
	}
	if c.Diagonal {
		low, high := max(c.X.Low, c.Y.Low), min(c.X.High, c.Y.High)
		x1, y1 := plot(low, low)
		x2, y2 := plot(high, high)
		p.f(`<path class="guide" d="M%s %sL%s %s"/>`, coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2))
	}
	for _, b := range c.Bars {
		b.draw(p, plot)
	}
	for i := range c.Lines { // the first line is what the chart is about: on top
		c.Lines[len(c.Lines)-1-i].draw(p, plot)
	}
	for _, m := range c.Marks {
		m.draw(p, c, plot)
	}
	p.f(`</svg>`)
	return template.HTML(p.String()), nil
}

func (c Chart) open(p *pen, height int) {
	p.f(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartWidth, height, html.EscapeString(c.Title))
}

// draw puts a mark's text where there is more room.
func (m Mark) draw(p *pen, c Chart, plot func(x, y float64) (float64, float64)) {
	x, y := plot(m.X, m.Y)
	if math.IsNaN(x) || x < left-1 || x > chartWidth-right+1 {
		return
	}
	anchor, by := "start", 8.0
	if x > chartWidth*0.6 {
		anchor, by = "end", -8.0
	}
	if math.IsNaN(m.Y) {
		p.f(`<path class="guide" d="M%s %dV%d"/>`, coordinate(x), top, chartHeight-bottom)
		p.text(x+by, top+9, "mark", anchor, m.Text)
		return
	}
	p.f(`<circle class="ring" cx="%s" cy="%s" r="4.5"/>`, coordinate(x), coordinate(y))
	at := y + 16
	if at > chartHeight-bottom-4 {
		at = y - 10
	}
	p.text(x+by, at, "mark", anchor, m.Text)
}

// fit widens empty axes to the data and to whole steps.
func (c Chart) fit() (x, y Axis) {
	x, y = c.X, c.Y
	var xs, ys []float64
	for _, l := range c.Lines {
		xs, ys = append(xs, l.X...), append(ys, l.Y...)
	}
	for _, b := range c.Bars {
		xs, ys = append(xs, b.Low, b.High), append(append(ys, 0), b.Heights...)
	}
	if x.empty() {
		x = around(xs)
	}
	if y.empty() {
		y = around(ys)
	}
	return x, y
}

func around(values []float64) Axis {
	a := Axis{Low: math.Inf(1), High: math.Inf(-1)}
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			a.Low, a.High = min(a.Low, v), max(a.High, v)
		}
	}
	if a.Low > a.High {
		return Axis{High: 1}
	}
	if a.Low == a.High {
		return Axis{Low: a.Low - 0.5, High: a.High + 0.5}
	}
	if a.narrow() {
		return a
	}
	s := step(a)
	return Axis{Low: max(-math.MaxFloat64, math.Floor(a.Low/s+1e-9)*s), High: min(math.MaxFloat64, math.Ceil(a.High/s-1e-9)*s)}
}

// step is a round distance that divides the axis into four to nine parts.
func step(a Axis) float64 {
	raw := a.High/5 - a.Low/5
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*unit {
			return m * unit
		}
	}
	return 10 * unit
}

func ticks(a Axis) []TickMark {
	if a.Ticks != nil {
		return a.Ticks
	}
	s := step(a)
	if a.narrow() {
		return []TickMark{{a.Low, Tick(a.Low, s)}, {a.High, Tick(a.High, s)}}
	}
	var out []TickMark
	for i := math.Ceil(a.Low/s - 1e-9); i <= a.High/s+1e-9; i++ {
		out = append(out, TickMark{i * s, Tick(i*s, s)})
	}
	return out
}

// Tick writes a number as an axis has it.
func Tick(x, step float64) string {
	if math.Abs(x) < step/1e6 {
		return "0"
	}
	if math.Abs(x) >= 1e5 || step < 1e-4 {
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	return strconv.FormatFloat(x, 'f', max(0, int(math.Ceil(-math.Log10(step)-1e-9))), 64)
}

func (c Chart) axes(p *pen) {
	width, height := float64(chartWidth-left-right), float64(chartHeight-top-bottom)
	base := float64(chartHeight - bottom)
	for _, t := range ticks(c.Y) {
		y := base - c.Y.part(t.At)*height
		p.f(`<path class="grid" d="M%d %sH%d"/>`, left, coordinate(y), chartWidth-right)
		p.text(left-6, y+4, "", "end", t.Text)
	}
	for _, t := range ticks(c.X) {
		x := left + c.X.part(t.At)*width
		p.text(x, base+16, "", "middle", t.Text)
	}
	p.f(`<path class="axis" d="M%d %sH%d"/>`, left, coordinate(base), chartWidth-right)
	p.text(left+width/2, chartHeight-7, "", "middle", c.XLabel)
	p.text(0, 11, "", "start", c.YLabel)
}

func (l Line) draw(p *pen, plot func(x, y float64) (float64, float64)) {
	dashed := ""
	if l.Dashed {
		dashed = " dashed"
	}
	p.f(`<path class="line c%d%s" d="`, l.Colour%3, dashed)
	command := "M"
	for i := range l.X {
		if math.IsNaN(l.X[i]) || math.IsNaN(l.Y[i]) {
			command = "M"
			continue
		}
		x, y := plot(l.X[i], l.Y[i])
		p.f(`%s%s %s`, command, coordinate(x), coordinate(y))
		command = "L"
	}
	p.f(`"/>`)
	if l.Points {
		for i := range l.X {
			x, y := plot(l.X[i], l.Y[i])
			if math.IsNaN(x) || math.IsNaN(y) {
				continue
			}
			p.f(`<circle class="f%d" cx="%s" cy="%s" r="3.2"/>`, l.Colour%3, coordinate(x), coordinate(y))
		}
	}
}

func (b Bars) draw(p *pen, plot func(x, y float64) (float64, float64)) {
	edge := func(i int) float64 {
		share := float64(i) / float64(len(b.Heights))
		return b.Low*(1-share) + b.High*share
	}
	_, base := plot(b.Low, 0)
	p.f(`<path class="f%d area" d="M`, b.Colour%3)
	x, _ := plot(b.Low, 0)
	p.f(`%s %s`, coordinate(x), coordinate(base))
	for i, h := range b.Heights {
		x1, y := plot(edge(i), h)
		x2, _ := plot(edge(i+1), h)
		p.f(`L%s %sL%s %s`, coordinate(x1), coordinate(y), coordinate(x2), coordinate(y))
	}
	x, _ = plot(b.High, 0)
	p.f(`L%s %sZ"/>`, coordinate(x), coordinate(base))
}

// key is an entry of a legend.
type key struct {
	Name   string
	Colour int
	Dashed bool
}

// legend names lines and bars when there is more than one.
func (c Chart) legend() []key {
	var out []key
	for _, b := range c.Bars {
		out = append(out, key{b.Name, b.Colour % 3, false})
	}
	for _, l := range c.Lines {
		out = append(out, key{l.Name, l.Colour % 3, l.Dashed})
	}
	if len(out) < 2 {
		return nil
	}
	return out
}

// data is the drawing's numbers as JSON; what is no number is null.
func (c Chart) data() (template.HTML, error) {
	type series map[string]any
	var all []series
	for _, l := range c.Lines {
		all = append(all, series{"name": l.Name, "x": numbers(l.X), "y": numbers(l.Y)})
	}
	for _, b := range c.Bars {
		all = append(all, series{"name": b.Name, "from": numbers([]float64{b.Low})[0], "to": numbers([]float64{b.High})[0], "heights": numbers(b.Heights)})
	}
	for _, s := range c.Spans {
		v := numbers([]float64{s.Value, s.Low, s.High})
		all = append(all, series{"name": s.Name, "value": v[0], "low": v[1], "high": v[2]})
	}
	raw, err := json.Marshal(map[string]any{"chart": c.Title, "x": c.XLabel, "y": c.YLabel, "series": all}) // escapes <, > and &
	if err != nil {
		return "", fmt.Errorf("encode data of chart %q: %w", c.Title, err)
	}
	return template.HTML(`<script type="application/json">` + string(raw) + `</script>`), nil
}

// numbers are values with six digits; nil for those that are none.
func numbers(values []float64) []any {
	out := make([]any, len(values))
	for i, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			short, _ := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
			out[i] = short
		}
	}
	return out
}

// spans draws values with their intervals, one row each.
func (c Chart) spans() template.HTML {
	height := spanTop + spanHeight*len(c.Spans) + bottom
	x := c.X
	if x.empty() {
		var values []float64
		for _, s := range c.Spans {
			values = append(values, s.Value, s.Low, s.High)
		}
		if c.Zero {
			values = append(values, 0)
		}
		x = around(values)
	}
	place := func(v float64) float64 {
		return spanLeft + x.part(min(max(v, x.Low), x.High))*(chartWidth-spanLeft-right)
	}
	p := &pen{}
	c.open(p, height)
	base := float64(height - bottom)
	for _, t := range ticks(x) {
		p.f(`<path class="grid" d="M%s %dV%s"/>`, coordinate(place(t.At)), spanTop, coordinate(base))
		p.text(place(t.At), base+16, "", "middle", t.Text)
	}
	if c.Zero {
		p.f(`<path class="zero" d="M%s %dV%s"/>`, coordinate(place(0)), spanTop, coordinate(base))
	}
	for i, s := range c.Spans {
		y := float64(spanTop+spanHeight*i) + spanHeight/2
		p.text(0, y+4, "name", "start", shorten(s.Name, 19))
		if !math.IsNaN(s.Low) && !math.IsNaN(s.High) {
			p.f(`<path class="line c%d" d="M%s %sH%s"/>`, s.Colour%3, coordinate(place(s.Low)), coordinate(y), coordinate(place(s.High)))
		}
		if !math.IsNaN(s.Value) {
			p.f(`<circle class="f%d" cx="%s" cy="%s" r="4"/>`, s.Colour%3, coordinate(place(s.Value)), coordinate(y))
		}
	}
	p.text(spanLeft+float64(chartWidth-spanLeft-right)/2, float64(height-7), "", "middle", c.XLabel)
	p.f(`</svg>`)
	return template.HTML(p.String())
}

func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
