package drift

import (
	"math"
	"slices"
	"sort"
)

// KLL's parameters, as Deequ has them.
const (
	SketchSize   = 2048
	SketchShrink = 0.64
)

// Sketch keeps the distribution of numbers in bounded memory (Karnin, Lang and
// Liberty, "Optimal Quantile Approximation in Streams", 2016). It holds every
// value exactly while there are fewer than about SketchSize of them. What
// chance decides in the paper, whether a compaction keeps the odd or the even
// items, alternates here: the same numbers in the same order give the same bytes.
type Sketch struct {
	levels [][]float64 // items of level i weigh 2^i
	odd    []bool      // what the next compaction of the level keeps
	size   int
	limit  int
	count  int64
}

// NewSketch is an empty sketch.
func NewSketch() *Sketch {
	s := &Sketch{}
	s.grow()
	return s
}

// Count is how many numbers were added.
func (s *Sketch) Count() int64 { return s.count }

// Add takes a number, which must not be NaN.
func (s *Sketch) Add(x float64) {
	s.levels[0] = append(s.levels[0], x)
	s.count++
	s.size++
	if s.size >= s.limit {
		s.compress()
	}
}

func (s *Sketch) grow() {
	s.levels = append(s.levels, nil)
	s.odd = append(s.odd, false)
	s.limit = 0
	for level := range s.levels {
		s.limit += s.capacity(level)
	}
}

// capacity of a level: the top one is the largest.
func (s *Sketch) capacity(level int) int {
	depth := float64(len(s.levels) - 1 - level)
	return max(2, int(math.Ceil(SketchSize*math.Pow(SketchShrink, depth))))
}

func (s *Sketch) compress() {
	for level := 0; level < len(s.levels); level++ {
		if len(s.levels[level]) < s.capacity(level) {
			continue
		}
		if level+1 == len(s.levels) {
			s.grow()
		}
		items := s.levels[level]
		slices.Sort(items)
		var rest []float64
		if len(items)%2 == 1 {
			rest = []float64{items[len(items)-1]}
			items = items[:len(items)-1]
		}
		from := 0
		if s.odd[level] {
			from = 1
		}
		s.odd[level] = !s.odd[level]
		for i := from; i < len(items); i += 2 {
			s.levels[level+1] = append(s.levels[level+1], items[i])
		}
		s.levels[level] = append(s.levels[level][:0], rest...)
		s.size -= len(items) / 2
		if s.size < s.limit {
			return
		}
	}
}

// Levels are the items of every level, sorted; those of level i weigh 2^i.
func (s *Sketch) Levels() [][]float64 {
	out := make([][]float64, len(s.levels))
	for i, items := range s.levels {
		out[i] = slices.Sorted(slices.Values(items))
		if out[i] == nil {
			out[i] = []float64{}
		}
	}
	return out
}

// Ranks is the sketch as a cumulative distribution.
func (s *Sketch) Ranks() *Ranks { return RanksOf(s.levels) }

// Ranks is a cumulative distribution of weighted numbers.
type Ranks struct {
	values  []float64 // sorted, each once
	through []float64 // weight of all values up to and including this one
}

// RanksOf makes the distribution of a sketch's levels, as statistics.json holds them.
func RanksOf(levels [][]float64) *Ranks {
	type item struct{ value, weight float64 }
	var items []item
	weight := 1.0
	for _, level := range levels {
		for _, v := range level {
			items = append(items, item{v, weight})
		}
		weight *= 2
	}
	sort.Slice(items, func(i, j int) bool { return items[i].value < items[j].value })
	r := &Ranks{}
	total := 0.0
	for _, it := range items {
		total += it.weight
		if n := len(r.values); n > 0 && r.values[n-1] == it.value {
			r.through[n-1] = total
			continue
		}
		r.values = append(r.values, it.value)
		r.through = append(r.through, total)
	}
	return r
}

// Total is the weight of all values.
func (r *Ranks) Total() float64 {
	if len(r.through) == 0 {
		return 0
	}
	return r.through[len(r.through)-1]
}

// Rank is the weight of the values below x, and of those equal to it when inclusive.
func (r *Ranks) Rank(x float64, inclusive bool) float64 {
	i := sort.Search(len(r.values), func(i int) bool {
		if inclusive {
			return r.values[i] > x
		}
		return r.values[i] >= x
	})
	if i == 0 {
		return 0
	}
	return r.through[i-1]
}

// Quantile is the smallest value with at least the share p of the weight at or
// below it; NaN when there is none.
func (r *Ranks) Quantile(p float64) float64 {
	if len(r.values) == 0 {
		return math.NaN()
	}
	want := p * r.Total()
	i := sort.Search(len(r.through), func(i int) bool { return r.through[i] >= want })
	return r.values[min(i, len(r.values)-1)]
}
