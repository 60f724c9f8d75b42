package definition

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a definition. Line and Column count from 1, in characters.
type Problem struct {
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Path    string `json:"path,omitempty"` // like split.validation or features[3].expr
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Problems is everything wrong with one definition, in the order of the file.
type Problems struct {
	File string    `json:"file"`
	List []Problem `json:"problems"`
}

// Error lists all problems, one a line:
//
//	pipelines/flights/pipeline.yaml:12:9: split.validation: 1.3 is not between 0 and 1 (hint: …)
func (p *Problems) Error() string {
	var b strings.Builder
	for i, problem := range p.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, problem.Line, problem.Column)
		if problem.Path != "" {
			b.WriteString(problem.Path + ": ")
		}
		b.WriteString(problem.Message)
		if problem.Hint != "" {
			fmt.Fprintf(&b, " (hint: %s)", problem.Hint)
		}
	}
	return b.String()
}

func (p *Problems) sort() {
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
