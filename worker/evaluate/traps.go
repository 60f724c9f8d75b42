package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/shared/features"
	"github.com/millrace-ml/millrace/worker/metrics"
	"github.com/millrace-ml/millrace/worker/report"
	"github.com/millrace-ml/millrace/worker/table"
	"github.com/millrace-ml/millrace/worker/traps"
)

// From where on a trap is set; docs/definition.md says these too.
const (
	aloneIs    = 0.98  // see traps.Alone
	tooGoodIs  = 0.999 // of the model's own metric
	laterShare = 0.01  // of rows
	keyShare   = 0.95  // of different values
	keyRows    = 100   // fewer values are easily all different
	sharedRows = 0.01  // of the test rows
	alikeRows  = 5     // rows to learn from for each that differs: they are alike by nature, not copies
	movedP     = 0.01
	aloneRows  = 20_000 // that are looked at
)

// Kinds of traps, in the order of reports.
const (
	trapAlone   = "alone"
	trapTooGood = "too-good"
	trapLater   = "later"
	trapKey     = "key"
	trapShared  = "shared"
	trapMoved   = "moved"
)

// findTraps looks for what makes the model seem better than it is.
func (j *judging) findTraps(ctx context.Context) error {
	found, err := j.aloneTraps(ctx)
	if err != nil {
		return err
	}
	found = append(found, j.tooGoodTrap(len(found) > 0)...)
	columns, err := j.columnTraps(ctx)
	if err != nil {
		return err
	}
	found = append(append(found, columns...), j.preparedTraps()...)
	for i := range found {
		found[i].Trusted = slices.Contains(j.def.Trusted, found[i].Name)
	}
	j.out.Traps = found
	return nil
}

// aloneTraps are features that need no others.
func (j *judging) aloneTraps(ctx context.Context) ([]Trap, error) {
	n := j.test.X.Rows
	picked := some(n, aloneRows)
	sample := j.sample.Subset(picked)
	values := make([]float64, len(picked))
	var out []Trap
	first := 0
	for _, f := range j.model.Spec.Features {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		width := 1
		if f.Encode == features.EncodeOneHot {
			width = len(j.model.Spec.Encodings[f.Name])
		}
		for i, row := range picked {
			values[i] = j.oneValue(int(row), first, width, f.Encode)
		}
		first += width
		strength := traps.Alone(sample.Kind, sample.Classes, sample.Label, values)
		if !(strength >= aloneIs) {
			continue
		}
		name := map[metrics.Kind]string{metrics.Binary: "AUC", metrics.Regression: "R²", metrics.Multiclass: "share of what chance leaves"}[sample.Kind]
		out = append(out, Trap{Kind: trapAlone, Name: f.Name, Numbers: map[string]Num{"strength": Num(strength), "from": aloneIs},
			Finding: fmt.Sprintf("the feature %s alone predicts the label almost perfectly (%s %s)", f.Name, name, short(strength)),
			Hint:    "is it known when the model is asked? If it comes from later, name its columns in data.known_after",
		})
	}
	return out, nil
}

// oneValue is a feature as one number: of a one-hot one the place of its 1.
func (j *judging) oneValue(row, first, width int, encode string) float64 {
	n := j.test.X.Rows
	if encode != features.EncodeOneHot {
		return float64(j.test.X.Data[first*n+row])
	}
	for c := range width {
		if j.test.X.Data[(first+c)*n+row] == 1 {
			return float64(c)
		}
	}
	return math.NaN()
}

func (j *judging) tooGoodTrap(explained bool) []Trap {
	name := map[metrics.Kind]string{metrics.Binary: "auc", metrics.Regression: "r2", metrics.Multiclass: "accuracy"}[j.sample.Kind]
	got := float64(j.out.Metrics[name].Value)
	if explained || !(got >= tooGoodIs) {
		return nil
	}
	return []Trap{{Kind: trapTooGood, Name: j.file.Definition.Data.Label.Name, Numbers: map[string]Num{"value": Num(got), "from": tooGoodIs},
		Finding: fmt.Sprintf("the model is too good to be true: %s %s", name, short(got)),
		Hint:    "several features together may hold the label; look at those of most importance",
	}}
}

// columnTraps are columns behind the features: times that lie later than the row's, and keys.
func (j *judging) columnTraps(ctx context.Context) ([]Trap, error) {
	declared, types := map[string]features.Type{}, j.model.Program.Types()
	var names []string
	for i, name := range j.model.Columns() {
		if j.rows.Has(name) {
			declared[name], names = types[i], append(names, name)
		}
	}
	own := j.file.Definition.Data.Time
	if own != "" {
		declared[own] = features.Time
	}
	typed, err := j.rows.Types(ctx, declared)
	if err != nil {
		return nil, err
	}
	var out, keys []Trap
	for _, name := range names {
		col := typed[name]
		switch col.Type {
		case features.Time:
			if own != "" && name != own {
				out = append(out, laterTrap(col, typed[own])...)
			}
		case features.Text, features.Integer, features.Number:
			keys = append(keys, j.keyTrap(col)...)
		}
	}
	return append(out, keys...), nil
}

func laterTrap(col, own *table.Typed) []Trap {
	later, both := 0, 0
	for i, at := range col.Numbers {
		if at != at || own.Numbers[i] != own.Numbers[i] {
			continue
		}
		both++
		if at > own.Numbers[i] {
			later++
		}
	}
	share := float64(later) / float64(max(1, both))
	if !(share > laterShare) {
		return nil
	}
	return []Trap{{Kind: trapLater, Name: col.Name, Numbers: map[string]Num{"share": Num(share), "rows": Num(both), "from": laterShare},
		Finding: fmt.Sprintf("the column %s lies after the row's own time %s in %s of the rows", col.Name, own.Name, report.Percent(share)),
		Hint:    "what happened later is not known when the model is asked: name it in data.known_after; if it is planned ahead, name it in evaluate.trusted",
	}}
}

func (j *judging) keyTrap(col *table.Typed) []Trap {
	present := 0
	texts, numbers := map[string]struct{}{}, map[float64]struct{}{}
	for row := range j.rows.Rows() {
		if col.Missing(row) {
			continue
		}
		present++
		if col.Type == features.Text {
			texts[col.Cell(row)] = struct{}{}
			continue
		}
		v := col.Numbers[row]
		if v != math.Trunc(v) {
			return nil // measured values are all different by nature
		}
		numbers[v] = struct{}{}
	}
	distinct := len(texts) + len(numbers)
	share := float64(distinct) / float64(max(1, present))
	if present < keyRows || share < keyShare {
		return nil
	}
	hint := "a model that reads a key learns rows by heart; leave it out"
	if col.Type != features.Text {
		hint += ", or name it in evaluate.trusted if it counts or measures something"
	}
	return []Trap{{Kind: trapKey, Name: col.Name, Numbers: map[string]Num{"share": Num(share), "rows": Num(present), "from": keyShare},
		Finding: fmt.Sprintf("the column %s looks like a key: %s of %s rows have a value that no other has", col.Name, report.Percent(share), report.Thousands(present)),
		Hint:    hint,
	}}
}

// preparedTraps are those that preparation counted.
func (j *judging) preparedTraps() []Trap {
	p := j.prepared
	if p == nil {
		return nil
	}
	d := j.file.Definition
	var out []Trap
	if s := p.Shared; s != nil {
		for _, c := range []struct {
			traps.Shared
			what string
		}{{s.Rows, "are also among the rows learned from, but for the key"}, {s.Keys, "have the key of a row learned from, but for case, spaces or leading zeros"}} {
			share := float64(c.Shared.Shared) / float64(max(1, c.Rows))
			if !(share > sharedRows) || c.Alike() >= alikeRows {
				continue
			}
			out = append(out, Trap{Kind: trapShared, Name: d.Data.Key, Numbers: map[string]Num{"share": Num(share), "rows": Num(c.Rows), "from": sharedRows},
				Finding: fmt.Sprintf("%s of the test rows %s", report.Percent(share), c.what),
				Hint:    "what was learned by heart is no test; remove the copies from the data, or put the key into evaluate.trusted if rows are alike by nature",
			})
		}
	}
	return append(out, j.movedTrap()...)
}

// movedTrap tells of a label that differs between the training and the test rows;
// of several classes, each of whose shares does.
func (j *judging) movedTrap() []Trap {
	moves, by := j.moves()
	var found []string
	numbers := map[string]Num{"from": movedP}
	for _, m := range moves {
		if !(m.P >= 0) { // too little to tell
			continue
		}
		if j.out.Moved == nil || m.P < j.out.Moved.P {
			j.out.Moved = &m
		}
		if m.P < movedP {
			what := "mean label"
			if m.Class != "" {
				what = "share of " + m.Class
			}
			found = append(found, fmt.Sprintf("the %s is %s in the training rows and %s in the test rows (p %s)", what, short(float64(m.Train)), short(float64(m.Test)), short(float64(m.P))))
		}
	}
	if len(found) == 0 {
		return nil
	}
	numbers["train"], numbers["test"], numbers["p"] = j.out.Moved.Train, j.out.Moved.Test, j.out.Moved.P
	return []Trap{{Kind: trapMoved, Name: j.file.Definition.Data.Label.Name, Numbers: numbers,
		Finding: "the target moved: by " + by + ", " + strings.Join(found, "; "),
		Hint:    "the model learned from other times; take newer rows (data.window), and look at the calibration",
	}}
}

// moves are how the label differs between the training and the test rows: of a
// number or a yes one, of several classes one each. by is what was taken as a unit
// of chance.
func (j *judging) moves() (moves []Move, by string) {
	if j.prepared == nil {
		return nil, ""
	}
	var parts [2]traps.Part
	for _, p := range j.prepared.Parts {
		of := traps.Part{Rows: p.Rows, Label: p.Label, Spread: p.Spread, Classes: p.Classes, Days: p.Days}
		switch p.Name {
		case "train":
			parts[0] = of
		case "test":
			parts[1] = of
		}
	}
	if parts[0].Rows == 0 || parts[1].Rows == 0 {
		return nil, ""
	}
	byTime, names := j.file.Definition.Split.By == "time", j.model.Spec.Classes
	var found []traps.Move
	if j.sample.Kind == metrics.Multiclass {
		if found = traps.MovedClasses(parts[0], parts[1], byTime); len(found) != len(names) {
			return nil, "" // an older preparation did not count them
		}
	} else {
		found = []traps.Move{traps.Moved(parts[0], parts[1], byTime)}
	}
	by = "single rows"
	for i, m := range found {
		if m.Days {
			by = "days"
		}
		move := Move{Train: Num(m.From), Test: Num(m.To), P: Num(m.P)}
		if len(names) > 0 {
			move.Class = names[i]
		}
		moves = append(moves, move)
	}
	return moves, by
}

// some are at most so many of n rows, evenly spread.
func some(n, most int) []int32 {
	k := min(n, most)
	picked := make([]int32, k)
	for i := range picked {
		picked[i] = int32(i * n / k)
	}
	return picked
}
