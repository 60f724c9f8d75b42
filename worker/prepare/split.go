package prepare

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"slices"

	"github.com/millrace-ml/millrace/worker/quality"
)

// arrange puts the rows that count into their one order: by time, then key.
func (r *rows) arrange(ctx context.Context) error {
	d := r.def.Data
	var times []float64
	newest := math.Inf(-1)
	if d.Time != "" {
		times = r.typed[d.Time].Numbers
		for _, t := range times {
			newest = max(newest, t)
		}
	}
	oldest := math.Inf(-1)
	if d.Window > 0 && times != nil {
		oldest = newest - d.Window.Seconds()
	}
	outside := 0
	for row, y := range r.label {
		switch {
		case times != nil && !(times[row] > oldest):
			outside++
		case !math.IsNaN(y):
			r.order = append(r.order, int32(row))
		}
	}
	if outside > 0 {
		r.warn("window", d.Time, fmt.Sprintf("%d rows are older than the window of %v before the newest row and are left out", outside, d.Window))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	key := r.tab.Column(d.Key)
	slices.SortFunc(r.order, func(a, b int32) int {
		if times != nil {
			if ta, tb := times[a], times[b]; ta != tb {
				if ta < tb {
					return -1
				}
				return 1
			}
		}
		return compare(key.Cell(int(a)), key.Cell(int(b)))
	})
	if len(r.order) == 0 || len(r.order) < d.MinimumRows {
		r.stop("rows", "", fmt.Sprintf("there are %d rows to learn from, and at least %d are needed", len(r.order), max(1, d.MinimumRows)))
		return nil
	}
	first := r.label[r.order[0]]
	if !slices.ContainsFunc(r.order, func(row int32) bool { return r.label[row] != first }) {
		r.stop("label", d.Label.Name, fmt.Sprintf("the label is %v in all %d rows: there is nothing to learn", first, len(r.order)))
	}
	return nil
}

// split divides the rows into train, validation and test.
func (r *rows) split() error {
	s, n := r.def.Split, len(r.order)
	switch s.By {
	case "time":
		if r.def.Data.Time == "" {
			return fmt.Errorf("check definition: split by time needs data.time")
		}
		test := int(math.Round(s.Test * float64(n)))
		validation := int(math.Round(s.Validation * float64(n)))
		train := max(0, n-test-validation)
		r.parts = [3][]int32{r.order[:train], r.order[train : train+validation], r.order[train+validation:]}
	case "random":
		key := r.tab.Column(r.def.Data.Key)
		for _, row := range r.order {
			switch u := Chance(s.Seed, key.Cell(int(row))); {
			case u < s.Test:
				r.parts[2] = append(r.parts[2], row)
			case u < s.Test+s.Validation:
				r.parts[1] = append(r.parts[1], row)
			default:
				r.parts[0] = append(r.parts[0], row)
			}
		}
	default:
		return fmt.Errorf("check definition: split by %q is neither time nor random", s.By)
	}
	for p, name := range partNames {
		r.part(name, r.parts[p])
	}
	return nil
}

// part notes a part in the report, and whether it can be used.
func (r *rows) part(name string, rows []int32) {
	note := quality.Part{Name: name, Rows: len(rows)}
	defer func() { r.report.Parts = append(r.report.Parts, note) }()
	if len(rows) == 0 {
		r.stop("rows", "", fmt.Sprintf("of %d rows none is left for the %s part", len(r.order), name))
		return
	}
	sum, same := 0.0, true
	for _, row := range rows {
		sum += r.label[row]
		same = same && r.label[row] == r.label[rows[0]]
	}
	note.Label = sum / float64(len(rows))
	if t := r.def.Data.Time; t != "" {
		low, high := math.Inf(1), math.Inf(-1)
		for _, row := range rows {
			low, high = min(low, r.typed[t].Numbers[row]), max(high, r.typed[t].Numbers[row])
		}
		note.From, note.To = quality.Instant(low), quality.Instant(high)
	}
	r.unseen(name, rows)
	if same {
		r.stop("label", r.def.Data.Label.Name, fmt.Sprintf("the label is %v in all %d rows of the %s part: nothing can be learned or judged by it", r.label[rows[0]], len(rows), name))
	}
}

// Chance is a number in [0, 1) that depends on the seed and the key alone, so
// that a row stays in its part however many rows there are and in what order.
func Chance(seed int64, key string) float64 {
	h := fnv.New64a()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(seed))
	h.Write(b[:])
	h.Write([]byte(key))
	x := h.Sum64()
	// FNV's high bits are weak for short keys; this is MurmurHash3's finaliser.
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}

// unseen warns of classes that no training row has: nothing can be learned of them.
func (r *rows) unseen(part string, rows []int32) {
	classes := r.def.Data.Label.Classes
	if part != partNames[0] || len(classes) == 0 {
		return
	}
	seen := make([]bool, len(classes))
	for _, row := range rows {
		seen[int(r.label[row])] = true
	}
	for i, class := range classes {
		if !seen[i] {
			r.warn("label", r.def.Data.Label.Name, fmt.Sprintf("no row of the training part has the class %s: the model cannot learn it", class))
		}
	}
}
