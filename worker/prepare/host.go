package prepare

import (
	"context"
	"math"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/spill"
	"github.com/millrace-ml/millrace/worker/table"
)

// host is a machine of the job, which has some of the files. The first one leads:
// it tells all of them (itself too) what to do, file by file, and puts what they
// find together in the order of the files, so that who has which file does not show.
type host interface {
	// held lists the files that the host has, by their place in the dataset.
	held(context.Context) ([]int, error)
	look(ctx context.Context, files []int) ([]looked, error)
	infer(context.Context, inferring) ([]inferred, error)
	check(context.Context, checking) ([]checked, error)
	// sorted reads what check has sorted: rows, or the values of a unique column
	// by its place.
	sorted(ctx context.Context, what int) (spill.Stream, error)
	write(context.Context, writing) error
	// finish ends the host's part.
	finish(context.Context, ending) error
}

// sortedRows names the rows among what a host has sorted.
const sortedRows = -1

// looked is a file's layout.
type looked struct {
	Layout   *table.Layout
	Problems table.Problems
}

// inferring asks how the cells of columns read.
type inferring struct {
	Files []int
	Names []string
}

// inferred is the answer for one file.
type inferred struct {
	File     int
	Kinds    []table.Kinds // by name
	Problems table.Problems
}

// checking asks to hold rows against the definition, and to sort them when they
// are to be learned from.
type checking struct {
	Files  []int
	Names  []string                 // all columns
	Types  map[string]features.Type // of those that have one
	Used   []string
	Unique []string // columns whose values are sorted to find repeated ones
	Learn  bool     // rows have labels, and are sorted
	Key    string
	Lines  bool // no cell may go over several lines
}

// checked is what one file's rows are like.
type checked struct {
	File                int
	Rows                int
	Problems            table.Problems
	Tally               quality.Tally
	Keyless, Timeless   quality.Broken
	Odd                 quality.Broken   // labels that the objective cannot have
	Weightless          quality.Broken   // rows with a label whose weight is none
	Lines               []quality.Broken // cells over several lines, by used column
	Labelled, Unlabeled int
	Newest              float64 // time; -Inf: none
	Profiles            []*quality.Profile
}

func newChecked(file int, c checking) *checked {
	out := &checked{File: file, Newest: math.Inf(-1), Lines: make([]quality.Broken, len(c.Used))}
	for _, name := range c.Used {
		out.Profiles = append(out.Profiles, quality.NewProfile(name, c.Types[name]))
	}
	return out
}

// writing asks to write files' rows to score.
type writing struct {
	Names []string
	Types map[string]features.Type
	To    map[int]string // names of the outputs, by file
}
