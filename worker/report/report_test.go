package report_test

import (
	"bytes"
	"encoding/xml"
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
				{Title: text, XLabel: text, YLabel: text, Caption: text, Diagonal: true, Lines: []report.Line{{Name: text, X: []float64{0, 1}, Y: []float64{0, 2}, Points: true}, {Name: text, X: []float64{0}, Y: []float64{1}}}},
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
	if n := strings.Count(got, "<script"); n != 1 {
		t.Errorf("%d script elements, want the data's alone", n)
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

// A lone chart is as large as one among others, and what scrolls on a screen is
// whole on paper.
func TestStyle(t *testing.T) {
	got := write(t, page("x"))
	if !strings.Contains(got, ".charts { display: grid; grid-template-columns: repeat(auto-fill,") {
		t.Error("a lone chart fills the row")
	}
	_, print, _ := strings.Cut(got, "@media print")
	for _, want := range []string{".scroll { overflow: visible; }", ".charts { grid-template-columns: 1fr 1fr; }"} {
		if !strings.Contains(print, want) {
			t.Errorf("the style for print lacks %q", want)
		}
	}
}
