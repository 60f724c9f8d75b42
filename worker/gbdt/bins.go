package gbdt

import (
	"math"
	"slices"
)

const (
	// maxRows keeps row numbers in int32 and int64 histogram sums of 2^30 from overflowing.
	maxRows = 1 << 30
	// packWidth features of at most 256 bins share one uint32 per row.
	packWidth = 4
	// packBins is the number of bins a packed feature can have.
	packBins = 256
)

// Cuts part the numbers into bins: x is in bin number |{cut <= x}|. They ascend.
type Cuts []float32

// CutsOf puts about the same weight of the column's values into each of at most bins
// bins, but never parts equal values; missing values are passed over, and so are those
// without weight. nil weights are ones.
func CutsOf(column, weight []float32, bins int) Cuts {
	values, mass, _, few := countFew(column, weight)
	if !few {
		values, mass = countAll(column, weight)
	}
	return cutsBetween(values, mass, bins)
}

// Bin is the number of the bin that v, which is not NaN, is in.
func (c Cuts) Bin(v float32) int { return upperBound(c, v) }

// featureBins says how the values of one feature fall into bins. Values come
// first: value x is in bin number |{cut <= x}|. Missing values, if the feature has
// any, are in the last bin.
type featureBins struct {
	cuts    []float32
	missing bool
	group   int // index in binned.groups
	slot    int // position in a packed word
	offset  int // first cell of its slot in a histogram
	bundle  *bundlePlace
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

// bin is the bin of a value.
func (f *featureBins) bin(v float32) int {
	if v != v {
		return f.values()
	}
	return upperBound(f.cuts, v)
}

// binGroup is the unit of histogram work: slots, each with a feature or a bundle of
// features, whose bins lie together in memory, row by row.
type binGroup struct {
	features []int // ascending
	slots    int
	offsets  [packWidth]int // first cell of each slot
	words    []uint32       // packed: one byte per slot
	wide     []uint16       // or, for one feature of more than 256 bins
	from, to int            // its cells in a histogram
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
	for _, slot := range planSlots(x, b.features, c) {
		b.addSlot(slot)
	}
	c.each(len(b.groups), func(i int) {
		g := &b.groups[i]
		slices.Sort(g.features)
		for _, f := range g.features {
			g.fill(&b.features[f], x.Column(f))
		}
	})
	return b
}

// addSlot gives a slot a place in the last group, or in a new one.
func (b *binned) addSlot(s slotPlan) {
	wide := s.bins > packBins
	last := len(b.groups) - 1
	if wide || last < 0 || b.groups[last].wide != nil || b.groups[last].slots == packWidth {
		g := binGroup{from: b.cells}
		if wide {
			g.wide = make([]uint16, b.rows)
		} else {
			g.words = make([]uint32, b.rows)
		}
		b.groups = append(b.groups, g)
		last++
	}
	g := &b.groups[last]
	for _, f := range s.features {
		bf := &b.features[f]
		bf.group, bf.slot, bf.offset = last, g.slots, b.cells
	}
	g.features = append(g.features, s.features...)
	g.offsets[g.slots] = b.cells
	g.slots++
	b.cells += s.bins
	g.to = b.cells
}

// fill writes the bins of a feature into its slot, or its part of a shared one.
func (g *binGroup) fill(f *featureBins, column []float32) {
	shift := 8 * f.slot
	for r, v := range column {
		bin := f.bin(v)
		switch {
		case g.wide != nil:
			g.wide[r] = uint16(bin)
		case f.bundle != nil:
			g.words[r] |= uint32(f.bundle.toSlot(bin)) << shift
		default:
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
	values, mass, missing, few := countFew(column, weight)
	if !few {
		values, mass = countAll(column, weight)
	}
	if missing {
		maxBin--
	}
	return featureBins{cuts: cutsBetween(values, mass, maxBin), missing: missing}
}

// fewValues is how many distinct values are looked for before sorting.
const fewValues = 8

// countFew finds the distinct values of a column and the weight of each, if they are
// few. Weights are added in the order of rows, as countAll does.
func countFew(column, weight []float32) (values []float32, mass []float64, missing, few bool) {
	few = true
	for r, v := range column {
		if v != v {
			missing = true
			continue
		}
		w := 1.0
		if weight != nil {
			w = float64(weight[r])
		}
		if !few || w == 0 {
			continue
		}
		at := 0
		for at < len(values) && values[at] < v {
			at++
		}
		if at < len(values) && values[at] == v {
			mass[at] += w
			continue
		}
		if len(values) == fewValues {
			few = false
			continue
		}
		values = slices.Insert(values, at, v)
		mass = slices.Insert(mass, at, w)
	}
	return values, mass, missing, few
}

// countAll finds the distinct values of a column, ascending, and the weight of each.
func countAll(column, weight []float32) (values []float32, mass []float64) {
	keys := make([]uint64, 0, len(column))
	for r, v := range column {
		if v == v && (weight == nil || weight[r] != 0) {
			keys = append(keys, uint64(sortable(v))<<32|uint64(r))
		}
	}
	keys = radixSort(keys)
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
	return values, mass
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
