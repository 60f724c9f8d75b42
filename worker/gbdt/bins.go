package gbdt

import (
	"math"
)

const (
	// maxRows keeps row numbers in int32 and int64 histogram sums of 2^30 from overflowing.
	maxRows = 1 << 30
	// packWidth features of at most 256 bins share one uint32 per row.
	packWidth = 4
	// packBins is the number of bins a packed feature can have.
	packBins = 256
)

// featureBins says how the values of one feature fall into bins. Values come
// first: value x is in bin number |{cut <= x}|. Missing values, if the feature has
// any, are in the last bin.
type featureBins struct {
	cuts    []float32
	missing bool
	group   int // index in binned.groups
	slot    int // position in a packed word
	offset  int // first cell in a histogram
}

// values is the number of bins that hold values.
func (f *featureBins) values() int { return len(f.cuts) + 1 }

// count is the number of bins, with that of missing values.
func (f *featureBins) count() int {
	if f.missing {
		return f.values() + 1
	}
	return f.values()
}

// binGroup is the unit of histogram work: consecutive features whose bins lie
// together in memory, row by row.
type binGroup struct {
	first, n int      // features first to first+n-1
	words    []uint32 // packed: one byte per feature
	wide     []uint16 // or, for one feature of more than 256 bins
	from, to int      // its cells in a histogram
}

// binned is a training matrix turned into bin numbers.
type binned struct {
	rows     int
	features []featureBins
	groups   []binGroup
	cells    int // in a histogram
}

// newBinned chooses the cuts of every feature and bins the matrix.
func newBinned(x Matrix, weight []float32, maxBin int, c *crew) *binned {
	b := &binned{rows: x.Rows, features: make([]featureBins, x.Cols)}
	c.each(x.Cols, func(f int) {
		b.features[f] = chooseCuts(x.Column(f), weight, maxBin)
	})
	for f := range b.features {
		bf := &b.features[f]
		wide := bf.count() > packBins
		last := len(b.groups) - 1
		if wide || last < 0 || b.groups[last].wide != nil || b.groups[last].n == packWidth {
			g := binGroup{first: f, from: b.cells}
			if wide {
				g.wide = make([]uint16, x.Rows)
			} else {
				g.words = make([]uint32, x.Rows)
			}
			b.groups = append(b.groups, g)
			last++
		}
		g := &b.groups[last]
		bf.group, bf.slot, bf.offset = last, g.n, b.cells
		g.n++
		b.cells += bf.count()
		g.to = b.cells
	}
	c.each(len(b.groups), func(i int) {
		g := &b.groups[i]
		for f := g.first; f < g.first+g.n; f++ {
			fillBins(g, &b.features[f], x.Column(f))
		}
	})
	return b
}

func fillBins(g *binGroup, f *featureBins, column []float32) {
	shift := 8 * f.slot
	for r, v := range column {
		bin := f.values()
		if v == v {
			bin = upperBound(f.cuts, v)
		}
		if g.wide != nil {
			g.wide[r] = uint16(bin)
		} else {
			g.words[r] |= uint32(bin) << shift
		}
	}
}

// upperBound counts the cuts that are <= v.
func upperBound(cuts []float32, v float32) int {
	lo, n := 0, len(cuts)
	for n > 0 {
		half := n / 2
		if cuts[lo+half] <= v {
			lo += half + 1
			n -= half + 1
		} else {
			n = half
		}
	}
	return lo
}

// chooseCuts puts about the same weight into each of at most maxBin bins (the bin
// of missing values counts), but never parts equal values. nil weights are ones.
func chooseCuts(column, weight []float32, maxBin int) featureBins {
	keys := make([]uint64, 0, len(column))
	var out featureBins
	for r, v := range column {
		if v != v {
			out.missing = true
			continue
		}
		if weight != nil && weight[r] == 0 {
			continue
		}
		keys = append(keys, uint64(sortable(v))<<32|uint64(r))
	}
	keys = radixSort(keys)
	var values []float32
	var mass []float64
	for i, k := range keys {
		w := 1.0
		if weight != nil {
			w = float64(weight[uint32(k)])
		}
		if i > 0 && k>>32 == keys[i-1]>>32 {
			mass[len(mass)-1] += w
			continue
		}
		values = append(values, unsortable(uint32(k>>32)))
		mass = append(mass, w)
	}
	if out.missing {
		maxBin--
	}
	out.cuts = cutsBetween(values, mass, maxBin)
	return out
}

// cutsBetween walks over the distinct values and closes a bin when it has its
// share of what is left. A value heavier than a share gets a bin of its own.
func cutsBetween(values []float32, mass []float64, maxBin int) []float32 {
	if len(values) < 2 || maxBin < 2 {
		return nil
	}
	var cuts []float32
	if len(values) <= maxBin {
		for i := range len(values) - 1 {
			cuts = append(cuts, between(values[i], values[i+1]))
		}
		return cuts
	}
	total := 0.0
	for _, m := range mass {
		total += m
	}
	share := total / float64(maxBin)
	rest, restBins := total, maxBin
	heavy := make([]bool, len(values))
	for i, m := range mass {
		if m >= share {
			heavy[i] = true
			rest -= m
			restBins--
		}
	}
	if restBins > 0 {
		share = rest / float64(restBins)
	}
	inBin := 0.0
	for i := range len(values) - 1 {
		inBin += mass[i]
		if !heavy[i] {
			rest -= mass[i]
		}
		if !heavy[i] && inBin < share && !(heavy[i+1] && inBin >= share/2) {
			continue
		}
		cuts = append(cuts, between(values[i], values[i+1]))
		if len(cuts) == maxBin-1 {
			break
		}
		inBin = 0
		if !heavy[i] {
			restBins--
			if restBins > 0 {
				share = rest / float64(restBins)
			}
		}
	}
	return cuts
}

// between is a cut c with a < c <= b, halfway where float32 allows.
func between(a, b float32) float32 {
	mid := float32((float64(a) + float64(b)) / 2)
	if mid <= a {
		return b
	}
	return mid
}

// sortable maps a float to bits that compare as the float does; -0 becomes 0.
func sortable(v float32) uint32 {
	bits := math.Float32bits(v)
	if v == 0 {
		bits = 0
	}
	if bits>>31 != 0 {
		return ^bits
	}
	return bits | 1<<31
}

func unsortable(u uint32) float32 {
	if u>>31 != 0 {
		return math.Float32frombits(u &^ (1 << 31))
	}
	return math.Float32frombits(^u)
}

// radixSort sorts by the upper 32 bits, keeping the order of equals.
func radixSort(keys []uint64) []uint64 {
	other := make([]uint64, len(keys))
	for shift := 32; shift < 64; shift += 11 {
		var counts [2048]int
		for _, k := range keys {
			counts[k>>shift&2047]++
		}
		if len(keys) > 0 && counts[keys[0]>>shift&2047] == len(keys) {
			continue
		}
		sum := 0
		for i, n := range counts {
			counts[i] = sum
			sum += n
		}
		for _, k := range keys {
			d := k >> shift & 2047
			other[counts[d]] = k
			counts[d]++
		}
		keys, other = other, keys
	}
	return keys
}
