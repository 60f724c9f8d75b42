// Package quality holds uploaded rows against the definition's checks, and
// describes them. What it finds becomes a report; it never changes a row.
package quality

import (
	"fmt"
	"math"
	"strconv"

	"github.com/millrace-ml/millrace/worker/table"
)

// Severities of a finding.
const (
	Stop = "stop" // nothing is trained or scored
	Warn = "warn"
)

// Examples is how many places a finding names.
const Examples = 5

const examples = Examples

// Finding is one check that the data breaks.
type Finding struct {
	Severity string          `json:"severity"`
	Check    string          `json:"check"` // file | column | type | range | one_of | pattern | missing | unique | key | label | weight | time | rows | feature | window | known
	Column   string          `json:"column,omitempty"`
	Message  string          `json:"message"`
	Count    int             `json:"count,omitempty"` // of rows
	Share    float64         `json:"share,omitempty"` // of all rows
	Examples []table.Problem `json:"examples,omitempty"`

	files   map[string]int // rows that break the check, by the key of their file
	allowed float64        // share of rows that may
}

// Text is the finding in one line, with its first place.
func (f Finding) Text() string {
	text := f.Message
	if f.Column != "" {
		text = fmt.Sprintf("column %q: %s", f.Column, text)
	}
	if len(f.Examples) > 0 {
		e := f.Examples[0]
		e.Column = ""
		text += "; first: " + e.Error()
	}
	return text
}

// FromProblems makes findings of what the reader could not read.
func FromProblems(problems table.Problems) []Finding {
	out := make([]Finding, len(problems))
	for i, p := range problems {
		check := "file"
		if p.Column != "" {
			check = "column"
		}
		out[i] = Finding{Severity: Stop, Check: check, Message: p.Error()}
		if p.Key != "" {
			out[i].Blame(p.Key, 1)
		}
	}
	return out
}

// Repeated makes the finding of values that must be unique and are not.
func Repeated(check, column, severity string, rows int, files map[string]int, places []table.Problem) Finding {
	f := Finding{Check: check, Column: column, Examples: places}
	for key, n := range files {
		f.Blame(key, n)
		f.Count += n
	}
	f.Message = fmt.Sprintf("%s there more than once", are(f.Count, "value"))
	f.Share = share(f.Count, rows)
	return f.settle(severity, 0)
}

func are(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " is"
	}
	return fmt.Sprintf("%d %ss are", n, noun)
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func percent(x float64) string { return strconv.FormatFloat(math.Round(x*1e5)/1e3, 'f', -1, 64) + " %" }

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// Clip keeps a value short enough to be quoted in a message.
func Clip(s string) string {
	const most = 60
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most]) + "…"
}
