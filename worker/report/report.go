// Package report writes pages for people: one HTML file each, with its charts as
// inline SVG and its data as JSON, no script and nothing to fetch. It knows no
// metrics and no pipelines; who has something to say fills a Page.
package report

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

// Tones colour a verdict, a tile or a word.
const (
	Good = "good"
	Bad  = "bad"
	Warn = "warn"
	Calm = ""
)

// Page is one report. All texts are escaped.
type Page struct {
	Title    string
	Kicker   string // above the title: what this is a report of
	Tone     string
	Headline string // the verdict in a few words
	Verdict  string // and in a sentence or two
	Tiles    []Tile
	Sections []Section
	Footer   []Fact
	Data     any // of the charts, for programs
}

// Tile is a number worth a glance.
type Tile struct{ Label, Value, Note, Tone string }

// Fact is a name and a value.
type Fact struct{ Name, Value string }

// Section is a part of a page.
type Section struct {
	Title  string
	Lead   string
	Blocks []Block
}

// Block is a Table, Charts, Facts or Notes.
type Block interface{ kind() string }

// Table is rows of text. Columns marked in Numeric are aligned as numbers. On a
// phone one that Stacks shows each row as a card; others scroll sideways in themselves.
type Table struct {
	Head    []string
	Numeric []bool
	Stack   bool
	Rows    [][]Cell
}

// Cell is a table's cell.
type Cell struct {
	Text string
	Note string // below it, smaller
	Tone string
	Bar  float64 // 0 to 1: drawn behind the text; negative for the other colour
}

// Charts stand beside each other where there is room.
type Charts []Chart

// Facts are names and values.
type Facts []Fact

// Notes are sentences.
type Notes []Note

// Note is a sentence with a tone and, below it, smaller ones.
type Note struct {
	Text  string
	Tone  string
	Badge string
	More  []string
}

func (Table) kind() string  { return "table" }
func (Charts) kind() string { return "charts" }
func (Facts) kind() string  { return "facts" }
func (Notes) kind() string  { return "notes" }

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"kind":   func(b Block) string { return b.kind() },
	"style":  func() template.CSS { return template.CSS(pageStyle) },
	"svg":    func(c Chart) (template.HTML, error) { return c.svg() },
	"legend": func(c Chart) []key { return c.legend() },
	"data":   func(c Chart) (template.HTML, error) { return c.data() },
	"head": func(t Table, i int) string {
		if i < len(t.Head) {
			return t.Head[i]
		}
		return ""
	},
	"bar": func(x float64) template.CSS { return template.CSS(fmt.Sprintf("width:%.1f%%", 100*min(1, max(x, -x)))) },
	"numeric": func(t Table, i int) bool {
		return i < len(t.Numeric) && t.Numeric[i]
	},
}).Parse(pageSource))

// Write writes the page; the same page gives the same bytes.
func (p *Page) Write(w io.Writer) error {
	data, err := json.Marshal(p.Data) // escapes <, > and &: safe within a script element
	if err != nil {
		return fmt.Errorf("encode report data of %q: %w", p.Title, err)
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, struct {
		*Page
		JSON template.HTML
	}{p, template.HTML(`<script type="application/json" id="data">` + string(data) + `</script>`)}); err != nil {
		return fmt.Errorf("write report %q: %w", p.Title, err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write report %q: %w", p.Title, err)
	}
	return nil
}
