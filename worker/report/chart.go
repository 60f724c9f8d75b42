package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Chart is drawn as SVG.
type Chart struct {
	Title   string
	Caption string
	XLabel  string
	YLabel  string
	X, Y    Axis
	Lines   []Line
	Bars    []Bars
	Spans   []Span // drawn instead of lines and bars: one row each, Y is not used
	// Diagonal draws the line from corner to corner; Zero a line at X = 0.
	Diagonal bool
	Zero     bool
}

// Axis is a range of values; an empty one is taken from the data.
type Axis struct{ Low, High float64 }

// Line joins points.
type Line struct {
	Name   string
	X, Y   []float64
	Points bool // draws the points, too
}

// Bars is a histogram over equal bins.
type Bars struct {
	Name      string
	Low, High float64
	Heights   []float64
}

// Span is a value with an interval.
type Span struct {
	Name             string
	Value, Low, High float64
	Colour           int // 0, 1 or 2
}

// Sizes in the units of the drawing.
const (
	chartWidth  = 400
	chartHeight = 270
	left        = 44
	right       = 12
	top         = 28
	bottom      = 40
	spanHeight  = 22
	spanLeft    = 110
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
		return left + (x-c.X.Low)/(c.X.High-c.X.Low)*(chartWidth-left-right),
			chartHeight - bottom - (y-c.Y.Low)/(c.Y.High-c.Y.Low)*(chartHeight-top-bottom)
	}
	if c.Diagonal {
		low, high := max(c.X.Low, c.Y.Low), min(c.X.High, c.Y.High)
		x1, y1 := plot(low, low)
		x2, y2 := plot(high, high)
		p.f(`<path class="guide" d="M%s %sL%s %s"/>`, coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2))
	}
	for i, b := range c.Bars {
		b.draw(p, plot, i)
	}
	for i, l := range c.Lines {
		l.draw(p, plot, i+len(c.Bars))
	}
	c.legend(p)
	p.f(`</svg>`)
	return template.HTML(p.String()), nil
}

func (c Chart) open(p *pen, height int) {
	p.f(`<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, chartWidth, height, html.EscapeString(c.Title))
	p.text(0, 13, "title", "start", c.Title)
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
	if x == (Axis{}) {
		x = around(xs)
	}
	if y == (Axis{}) {
		y = around(ys)
	}
	return x, y
}

func around(values []float64) Axis {
	a := Axis{math.Inf(1), math.Inf(-1)}
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			a.Low, a.High = min(a.Low, v), max(a.High, v)
		}
	}
	if a.Low > a.High {
		return Axis{0, 1}
	}
	if a.Low == a.High {
		return Axis{a.Low - 0.5, a.High + 0.5}
	}
	s := step(a)
	return Axis{math.Floor(a.Low/s+1e-9) * s, math.Ceil(a.High/s-1e-9) * s}
}

// step is a round distance that divides the axis into four to nine parts.
func step(a Axis) float64 {
	raw := (a.High - a.Low) / 5
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 5} {
		if raw <= m*unit {
			return m * unit
		}
	}
	return 10 * unit
}

func ticks(a Axis) []float64 {
	s := step(a)
	var out []float64
	for i := math.Ceil(a.Low/s - 1e-9); i*s <= a.High+s*1e-9; i++ {
		out = append(out, i*s)
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
		y := base - (t-c.Y.Low)/(c.Y.High-c.Y.Low)*height
		p.f(`<path class="grid" d="M%d %sH%d"/>`, left, coordinate(y), chartWidth-right)
		p.text(left-5, y+4, "", "end", Tick(t, step(c.Y)))
	}
	for _, t := range ticks(c.X) {
		x := left + (t-c.X.Low)/(c.X.High-c.X.Low)*width
		p.text(x, base+14, "", "middle", Tick(t, step(c.X)))
	}
	p.f(`<path class="axis" d="M%d %sH%d"/>`, left, coordinate(base), chartWidth-right)
	p.text(left+width/2, chartHeight-9, "", "middle", c.XLabel)
	p.text(chartWidth-right, 13, "", "end", c.YLabel)
}

func (l Line) draw(p *pen, plot func(x, y float64) (float64, float64), colour int) {
	p.f(`<path class="line c%d" d="`, colour%3)
	for i := range l.X {
		x, y := plot(l.X[i], l.Y[i])
		command := "L"
		if i == 0 {
			command = "M"
		}
		p.f(`%s%s %s`, command, coordinate(x), coordinate(y))
	}
	p.f(`"/>`)
	if l.Points {
		for i := range l.X {
			x, y := plot(l.X[i], l.Y[i])
			p.f(`<circle class="f%d" cx="%s" cy="%s" r="3.2"/>`, colour%3, coordinate(x), coordinate(y))
		}
	}
}

func (b Bars) draw(p *pen, plot func(x, y float64) (float64, float64), colour int) {
	width := (b.High - b.Low) / float64(len(b.Heights))
	_, base := plot(b.Low, 0)
	p.f(`<path class="f%d area" d="M`, colour%3)
	x, _ := plot(b.Low, 0)
	p.f(`%s %s`, coordinate(x), coordinate(base))
	for i, h := range b.Heights {
		x1, y := plot(b.Low+float64(i)*width, h)
		x2, _ := plot(b.Low+float64(i+1)*width, h)
		p.f(`L%s %sL%s %s`, coordinate(x1), coordinate(y), coordinate(x2), coordinate(y))
	}
	x, _ = plot(b.High, 0)
	p.f(`L%s %sZ"/>`, coordinate(x), coordinate(base))
}

// legend names lines and bars when there is more than one.
func (c Chart) legend(p *pen) {
	var names []string
	for _, b := range c.Bars {
		names = append(names, b.Name)
	}
	for _, l := range c.Lines {
		names = append(names, l.Name)
	}
	if len(names) < 2 {
		return
	}
	for i, name := range names {
		y := float64(top + 12 + 15*i)
		p.f(`<rect class="f%d" x="%d" y="%s" width="9" height="9" rx="2"/>`, i%3, chartWidth-right-13, coordinate(y-8.5))
		p.text(chartWidth-right-18, y, "", "end", name)
	}
}

// spans draws values with their intervals, one row each.
func (c Chart) spans() template.HTML {
	height := top + spanHeight*len(c.Spans) + bottom
	x := c.X
	if x == (Axis{}) {
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
		return spanLeft + (min(max(v, x.Low), x.High)-x.Low)/(x.High-x.Low)*(chartWidth-spanLeft-right)
	}
	p := &pen{}
	c.open(p, height)
	base := float64(height - bottom)
	for _, t := range ticks(x) {
		p.f(`<path class="grid" d="M%s %dV%s"/>`, coordinate(place(t)), top, coordinate(base))
		p.text(place(t), base+14, "", "middle", Tick(t, step(x)))
	}
	if c.Zero {
		p.f(`<path class="zero" d="M%s %dV%s"/>`, coordinate(place(0)), top, coordinate(base))
	}
	for i, s := range c.Spans {
		y := float64(top+spanHeight*i) + spanHeight/2
		p.text(spanLeft-8, y+4, "", "end", shorten(s.Name, 17))
		if !math.IsNaN(s.Low) && !math.IsNaN(s.High) {
			p.f(`<path class="line c%d" d="M%s %sH%s"/>`, s.Colour%3, coordinate(place(s.Low)), coordinate(y), coordinate(place(s.High)))
		}
		if !math.IsNaN(s.Value) {
			p.f(`<circle class="f%d" cx="%s" cy="%s" r="4"/>`, s.Colour%3, coordinate(place(s.Value)), coordinate(y))
		}
	}
	p.text(spanLeft+float64(chartWidth-spanLeft-right)/2, float64(height-9), "", "middle", c.XLabel)
	p.f(`</svg>`)
	return template.HTML(p.String())
}

func shorten(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
