package report_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/worker/report"
)

const hostile = `"><script>alert(1)</script>&'</title>`

func page(text string) *report.Page {
	return &report.Page{
		Title: text, Kicker: text, Tone: report.Good, Headline: text, Verdict: text,
		Tiles: []report.Tile{{Label: text, Value: text, Note: text}},
		Sections: []report.Section{{Title: text, Lead: text, Blocks: []report.Block{
			report.Table{Head: []string{text}, Numeric: []bool{true}, Rows: [][]report.Cell{{{Text: text, Note: text, Bar: -0.5}}}},
			report.Facts{{Name: text, Value: text}},
			report.Notes{{Text: text, Badge: text, More: []string{text}}},
			report.Charts{
				{Title: text, XLabel: text, YLabel: text, Caption: text, Diagonal: true, Marks: []report.Mark{{X: 0.9, Y: 0, Text: text}, {X: 0.1, Y: math.NaN(), Text: text}, {X: math.NaN(), Y: 1, Text: text}, {X: 7, Y: 1, Text: text}}, Lines: []report.Line{{Name: text, X: []float64{0, 1}, Y: []float64{0, 2}, Points: true}, {Name: text, X: []float64{0}, Y: []float64{1}}}},
				{Title: text, Bars: []report.Bars{{Name: text, Low: -1, High: 1, Heights: []float64{0.5, 0.25}}, {Name: text, Low: 0, High: 1, Heights: []float64{1}}}},
				{Title: text, Zero: true, Spans: []report.Span{{Name: text, Value: 1, Low: -1, High: math.NaN()}, {Name: text, Value: math.NaN(), Low: 0, High: 1}}},
			},
		}}},
		Footer: []report.Fact{{Name: text, Value: text}},
		Data:   map[string]string{"text": text},
	}
}

func write(t *testing.T, p *report.Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEverythingIsEscaped(t *testing.T) {
	got := write(t, page(hostile))
	if strings.Contains(got, "<script>") || strings.Contains(got, "alert(1)</script>") {
		t.Error("the page holds the script")
	}
	if n := strings.Count(got, "</title>"); n != 1 {
		t.Errorf("%d ends of the title", n)
	}
	if n, data := strings.Count(got, "<script"), strings.Count(got, `<script type="application/json"`); n != 4 || data != n {
		t.Errorf("%d script elements, %d of them data; want the data of the page and of its three charts", n, data)
	}
}

func TestNothingIsFetched(t *testing.T) {
	got := write(t, page("x"))
	for _, pattern := range []string{`https?://`, `src=`, `href=`, `@import`, `url\(`, `\son[a-z]+=`} {
		if m := regexp.MustCompile(pattern).FindString(got); m != "" {
			t.Errorf("the page holds %q", m)
		}
	}
	for _, want := range []string{"prefers-color-scheme: dark", "@media print", `name="viewport"`, `default-src 'none'`, `type="application/json"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Every drawing is well-formed and has no number that is none.
func TestDrawings(t *testing.T) {
	got := write(t, page(hostile))
	drawings := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(got, -1)
	if len(drawings) != 3 {
		t.Fatalf("%d drawings, want 3", len(drawings))
	}
	for _, svg := range drawings {
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, `"-0"`) || strings.Contains(svg, ">-0<") {
			t.Errorf("bad number in %s", svg)
		}
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
		}
	}
}

func TestChartsOfOddData(t *testing.T) {
	for name, c := range map[string]report.Chart{
		"one value":     {Lines: []report.Line{{X: []float64{3}, Y: []float64{3}}}},
		"nothing":       {},
		"no height":     {Bars: []report.Bars{{Low: 0, High: 1, Heights: []float64{0, 0}}}},
		"huge":          {Lines: []report.Line{{X: []float64{-1e300, 1e300}, Y: []float64{0, 1e-300}}}},
		"a gap":         {Lines: []report.Line{{X: []float64{1, 2, math.NaN(), 4, 5}, Y: []float64{1, 2, math.NaN(), 1, math.NaN()}, Points: true}}},
		"equal spans":   {Spans: []report.Span{{Name: "a", Value: 2, Low: 2, High: 2}}},
		"spans of none": {Spans: []report.Span{{Name: "a", Value: math.NaN(), Low: math.NaN(), High: math.NaN()}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := write(t, &report.Page{Sections: []report.Section{{Blocks: []report.Block{report.Charts{c}}}}})
			if strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
				t.Errorf("bad number in %s", got[strings.Index(got, "<svg"):])
			}
		})
	}
	err := (&report.Page{Sections: []report.Section{{Blocks: []report.Block{report.Charts{{Lines: []report.Line{{X: []float64{1}}}}}}}}}).Write(io.Discard)
	if err == nil {
		t.Error("a line of one x and no y is drawn")
	}
}

// TestChartsOfNarrowData: values that differ by next to nothing, or by more than
// there are numbers, are drawn as well, in little time and memory.
func TestChartsOfNarrowData(t *testing.T) {
	for name, r := range map[string][2]float64{
		"one step of a float64": {0.3, 0.30000000000000004},
		"keys":                  {1e17, 1e17 + 16},
		"more keys":             {-9007199254741000, -9007199254740990},
		"next to zero":          {0, 5e-324},
		"all there are":         {-math.MaxFloat64, math.MaxFloat64},
		"large":                 {1e300, 1e300 * (1 + 1e-15)},
	} {
		t.Run(name, func(t *testing.T) {
			heights := []float64{0.5, 0.5}
			for kind, c := range map[string]report.Chart{
				"given axis": {X: report.Axis{Low: r[0], High: r[1]}, Bars: []report.Bars{{Low: r[0], High: r[1], Heights: heights}}},
				"own axis":   {Bars: []report.Bars{{Low: r[0], High: r[1], Heights: heights}}},
				"spans":      {Spans: []report.Span{{Name: "s", Value: r[0], Low: r[0], High: r[1]}}},
			} {
				got := write(t, &report.Page{Sections: []report.Section{{Blocks: []report.Block{report.Charts{c}}}}})
				drawing := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindString(got)
				if n := strings.Count(drawing, "<text"); n < 2 || n > 40 {
					t.Errorf("%s: %d texts", kind, n)
				}
				if odd := regexp.MustCompile(`NaN|Inf`).FindString(drawing); odd != "" {
					t.Errorf("%s: %s in %s", kind, odd, drawing)
				}
			}
		})
	}
}

func TestTick(t *testing.T) {
	for _, tt := range []struct {
		x, step float64
		want    string
	}{{0.30000000000000004, 0.1, "0.3"}, {-1e-17, 0.2, "0"}, {20, 5, "20"}, {0.25, 0.05, "0.25"}, {150000, 50000, "1.5e+05"}} {
		if got := report.Tick(tt.x, tt.step); got != tt.want {
			t.Errorf("%v by %v is %q, want %q", tt.x, tt.step, got, tt.want)
		}
	}
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{0: "0 %", 1: "100 %", 0.5: "50 %", 0.12345: "12.35 %", 1.0 / 414_847: "< 0.01 %", 1 - 1.0/414_847: "> 99.99 %", 0.0001: "0.01 %"} {
		if got := report.Percent(share); got != want {
			t.Errorf("%v is %q, want %q", share, got, want)
		}
	}
}

// Beside every drawing are its numbers, as they are.
func TestNumbersBesideDrawings(t *testing.T) {
	got := write(t, page(hostile))
	var charts []struct {
		Chart  string
		Series []map[string]any
	}
	for _, m := range regexp.MustCompile(`(?s)</svg>\s*<script type="application/json">(.*?)</script>`).FindAllStringSubmatch(got, -1) {
		charts = append(charts, struct {
			Chart  string
			Series []map[string]any
		}{})
		if err := json.Unmarshal([]byte(m[1]), &charts[len(charts)-1]); err != nil {
			t.Fatalf("%v in %s", err, m[1])
		}
	}
	if len(charts) != 3 {
		t.Fatalf("%d charts with data, want 3", len(charts))
	}
	for _, c := range charts {
		if c.Chart != hostile || len(c.Series) != 2 || c.Series[0]["name"] != hostile {
			t.Errorf("data is %+v", c)
		}
	}
	if y := charts[0].Series[0]["y"]; fmt.Sprint(y) != "[0 2]" {
		t.Errorf("y is %v", y)
	}
	if s := charts[2].Series[0]; s["low"] != -1.0 || s["high"] != nil {
		t.Errorf("span is %v; what is no number is null", s)
	}
}

// Lines and bars that are several are named beside the drawing, in their colours.
func TestLegend(t *testing.T) {
	line := func(name string, colour int) report.Line {
		return report.Line{Name: name, Colour: colour, X: []float64{0, 1}, Y: []float64{0, 1}, Dashed: colour == 2}
	}
	one := write(t, &report.Page{Sections: []report.Section{{Blocks: []report.Block{report.Charts{{Lines: []report.Line{line("alone", 0)}}}}}}})
	if strings.Contains(one, `<p class="legend">`) {
		t.Error("a line alone has a legend")
	}
	two := write(t, &report.Page{Sections: []report.Section{{Blocks: []report.Block{report.Charts{{Lines: []report.Line{line("a", 1), line("b", 2)}}}}}}})
	for _, want := range []string{`<i class="b1"></i>a</span>`, `<i class="b2 dashed"></i>b</span>`, `class="line c1"`, `class="line c2 dashed"`} {
		if !strings.Contains(two, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

// What scrolls on a screen is whole on paper, and headings stay with what they head.
func TestStyle(t *testing.T) {
	got := write(t, page("x"))
	_, print, _ := strings.Cut(got, "@media print")
	for _, want := range []string{".scroll { overflow: visible; }", ".charts { grid-template-columns: 1fr 1fr;", ".head, h2, h3, thead { break-after: avoid; }"} {
		if !strings.Contains(print, want) {
			t.Errorf("the style for print lacks %q", want)
		}
	}
}
