// Package traps finds what makes a model look better than it is: labels that
// leak into features, rows that training and test share, a target that moved.
// What rows are looked at one by one is kept in bounded memory, and the same
// rows give the same findings.
package traps

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/millrace-ml/millrace/worker/metrics"
)

const day = 86400 // seconds

// Day is the labels of a part's rows of one day.
type Day struct {
	Day   string  `json:"day"` // 2006-01-02, in UTC
	Rows  int     `json:"rows"`
	Label float64 `json:"label"` // mean

	Classes []int `json:"classes,omitempty"` // rows of each of several classes
}

// Tally counts the labels of a part, by day where rows have a time.
type Tally struct {
	Classes int // labels are so many classes, from 0; 0 when they are numbers

	rows         int
	sum, squares float64
	days         map[int64]*Day // Label is the sum here
}

// maxDays bounds what a Tally remembers; later days of longer parts are not told apart from the last.
const maxDays = 10_000

// Add counts a row; at is Unix seconds, NaN without a time.
func (t *Tally) Add(label, at float64) {
	t.rows++
	t.sum += label
	t.squares += label * label
	if math.IsNaN(at) {
		return
	}
	if t.days == nil {
		t.days = map[int64]*Day{}
	}
	key := int64(math.Floor(at / day))
	d := t.days[key]
	if d == nil {
		if len(t.days) == maxDays {
			return
		}
		d = &Day{Day: time.Unix(key*day, 0).UTC().Format(time.DateOnly)}
		t.days[key] = d
	}
	d.Rows++
	d.Label += label
	if t.Classes > 0 {
		if d.Classes == nil {
			d.Classes = make([]int, t.Classes)
		}
		d.Classes[int(label)]++
	}
}

// Days are the days in order, with the mean of the labels of each.
func (t *Tally) Days() []Day {
	var out []Day
	for _, key := range slices.Sorted(maps.Keys(t.days)) {
		d := *t.days[key]
		d.Label /= float64(d.Rows)
		out = append(out, d)
	}
	return out
}

// Spread is the labels' standard deviation.
func (t *Tally) Spread() float64 {
	n := float64(t.rows)
	return math.Sqrt(max(0, t.squares/n-t.sum/n*t.sum/n))
}

// twinsKept bounds the hashes that Twins remembers of a part.
const twinsKept = 1 << 20

// Twins finds the share of a part's rows that another part has too, by hashes
// of them. Of many rows it looks at a sample: those whose hash ends in zeros, so
// that a row and its twin are both in it or both out.
type Twins struct {
	mask  uint64
	first map[uint64]int // rows by hash
	other map[uint64]int // rows by hash
}

// Shared is what Twins found.
type Shared struct {
	Rows   int `json:"rows"`   // of the other part, looked at
	Shared int `json:"shared"` // of them, that the first part has too

	Learned   int `json:"learned"`   // rows of the first part, looked at
	Different int `json:"different"` // of them
}

// Alike is how often the first part has each of its rows, on average.
func (s Shared) Alike() float64 { return float64(s.Learned) / float64(max(1, s.Different)) }

// First notes a row of the part that was learned from.
func (t *Twins) First(hash uint64) {
	if t.first == nil {
		t.first = map[uint64]int{}
	}
	if hash&t.mask == 0 {
		t.first[hash]++
		t.thin(len(t.first))
	}
}

// Other notes a row of the part that judges.
func (t *Twins) Other(hash uint64) {
	if t.other == nil {
		t.other = map[uint64]int{}
	}
	if hash&t.mask == 0 {
		t.other[hash]++
		t.thin(len(t.other))
	}
}

// thin halves the sample when it has grown too large.
func (t *Twins) thin(size int) {
	if size <= twinsKept {
		return
	}
	t.mask = t.mask<<1 | 1
	maps.DeleteFunc(t.first, func(h uint64, _ int) bool { return h&t.mask != 0 })
	maps.DeleteFunc(t.other, func(h uint64, _ int) bool { return h&t.mask != 0 })
}

// Shared counts the twins.
func (t *Twins) Shared() Shared {
	s := Shared{Different: len(t.first)}
	for _, n := range t.first {
		s.Learned += n
	}
	for h, n := range t.other {
		s.Rows += n
		if _, twin := t.first[h]; twin {
			s.Shared += n
		}
	}
	return s
}

// Hash is a row's hash, made of its cells one by one; Begin is that of no cell.
type Hash uint64

// Begin is FNV-1a's offset.
const Begin Hash = 0xcbf29ce484222325

// Cell adds a cell.
func (h Hash) Cell(text string) Hash {
	for i := range len(text) {
		h = (h ^ Hash(text[i])) * 0x100000001b3
	}
	return (h ^ 0xff) * 0x100000001b3 // no byte of UTF-8: where the cell ends
}

// Sum is the hash with its bits mixed (MurmurHash3's finaliser): FNV's last ones are weak.
func (h Hash) Sum() uint64 {
	x := uint64(h)
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// Move is how far the mean label of a part lies from that of another.
type Move struct {
	From, To float64 // the means
	P        float64 // of such a difference by chance; NaN when it cannot be told
	Days     bool    // whether days were taken as what differs by chance, else single rows
}

// fewDays is with how many days in each part these say how days differ.
const fewDays = 4

// Part is what Moved and MovedClasses need of a part.
type Part struct {
	Rows    int
	Label   float64
	Spread  float64
	Classes []int // rows of each
	Days    []Day
}

// of is the part with one of several classes for a yes, all others for a no.
func (p Part) of(class int) Part {
	share := float64(p.Classes[class]) / float64(max(1, p.Rows))
	out := Part{Rows: p.Rows, Label: share, Spread: math.Sqrt(share * (1 - share)), Days: make([]Day, len(p.Days))}
	for i, d := range p.Days {
		out.Days[i] = Day{Day: d.Day, Rows: d.Rows}
		if class < len(d.Classes) {
			out.Days[i].Label = float64(d.Classes[class]) / float64(max(1, d.Rows))
		}
	}
	return out
}

// MovedClasses is Moved of each class's share, with p corrected for their number
// by Holm's method. A class for which there is too little to tell has NaN.
func MovedClasses(from, to Part, byTime bool) []Move {
	out := make([]Move, min(len(from.Classes), len(to.Classes)))
	var tested []int
	var p []float64
	for c := range out {
		out[c] = Moved(from.of(c), to.of(c), byTime)
		if !math.IsNaN(out[c].P) {
			tested, p = append(tested, c), append(p, out[c].P)
		}
	}
	corrected, _ := metrics.Holm(p, 1)
	for i, c := range tested {
		out[c].P = corrected[i]
	}
	return out
}

// Moved tests whether the label of two parts differs, by Welch's t test: of the
// days' means where rows are split by time, since the rows of a day are alike, else of
// the rows.
func Moved(from, to Part, byTime bool) Move {
	m := Move{From: from.Label, To: to.Label, P: math.NaN(), Days: byTime && min(len(from.Days), len(to.Days)) >= fewDays}
	var v [2]float64 // variance of the mean
	var n [2]float64 // that many draws
	for i, p := range []Part{from, to} {
		if !m.Days {
			n[i] = float64(p.Rows)
			v[i] = p.Spread * p.Spread / max(1, n[i]-1)
			continue
		}
		v[i], n[i] = ofDays(p.Days)
	}
	if byTime && !m.Days || min(n[0], n[1]) < 2 || v[0]+v[1] <= 0 {
		return m
	}
	t := (m.To - m.From) / math.Sqrt(v[0]+v[1])
	df := (v[0] + v[1]) * (v[0] + v[1]) / (v[0]*v[0]/(n[0]-1) + v[1]*v[1]/(n[1]-1))
	m.P = twoSided(t, df)
	return m
}

// ofDays is the variance of the mean over days of different size, and Kish's
// number of days of equal size that tell as much.
func ofDays(days []Day) (variance, effective float64) {
	rows, sum, weights := 0.0, 0.0, 0.0
	for _, d := range days {
		n := float64(d.Rows)
		rows, sum, weights = rows+n, sum+n*d.Label, weights+n*n
	}
	squares := 0.0
	for _, d := range days {
		e := float64(d.Rows) * (d.Label - sum/rows)
		squares += e * e
	}
	k := float64(len(days))
	return squares / (rows * rows) * k / max(1, k-1), rows * rows / weights
}

// ranked are positions by rising value; those without one come first.
func ranked(values []float64) []int32 {
	order := make([]int32, len(values))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Or(cmp.Compare(values[a], values[b]), cmp.Compare(a, b)) })
	return order
}
