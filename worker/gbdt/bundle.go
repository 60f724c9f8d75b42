package gbdt

// One-hot columns are nearly always 0, and never two of them 1 in a row. Features
// whose uncommon bins never meet in a row share a slot, so that a hundred of
// them cost as much as one. Sums are exact, so the model is the same as without.

const (
	// bundleBins is the most bins that a feature in a bundle may have.
	bundleBins = 8
	// openBundles is how many bundles a feature is tried in.
	openBundles = 32
)

// bundlePlace is a feature's part of a shared slot. Slot bin 0 means that all features
// of the bundle are in their common bins; each has bins of its own for the others.
type bundlePlace struct {
	common int
	first  int // slot bin of the first bin that is not common
}

// toSlot is the slot bin of one of the feature's bins.
func (p *bundlePlace) toSlot(bin int) int {
	switch {
	case bin == p.common:
		return 0
	case bin < p.common:
		return p.first + bin
	}
	return p.first + bin - 1
}

// cells gives the feature's cells in a node with sums total, from those of its slot.
func (p *bundlePlace) cells(slot []cell, total cell, into []cell) {
	rest := total
	for b := range into {
		if b == p.common {
			continue
		}
		c := slot[p.toSlot(b)]
		into[b] = c
		rest.g -= c.g
		rest.h -= c.h
	}
	into[p.common] = rest
}

// slotPlan is one slot: a feature alone, or a bundle.
type slotPlan struct {
	features []int
	bins     int
}

// bitmap is a set of rows.
type bitmap []uint64

func (b bitmap) meets(other bitmap) bool {
	for i, w := range b {
		if w&other[i] != 0 {
			return true
		}
	}
	return false
}

func (b bitmap) add(other bitmap) {
	for i, w := range other {
		b[i] |= w
	}
}

// planSlots shares out the features over slots, in the order of first features.
func planSlots(x Matrix, features []featureBins, c *crew) []slotPlan {
	type bundle struct {
		slot int
		rows bitmap
	}
	var slots []slotPlan
	var open []bundle
	// Features are looked at in batches, to bound the memory of their bitmaps.
	const batch = 64
	places := make([]*bundlePlace, batch)
	maps := make([]bitmap, batch)
	for start := 0; start < len(features); start += batch {
		n := min(batch, len(features)-start)
		c.each(n, func(i int) {
			places[i], maps[i] = uncommonRows(&features[start+i], x.Column(start+i))
		})
		for i := range n {
			f, place, rows := start+i, places[i], maps[i]
			if place == nil {
				slots = append(slots, slotPlan{[]int{f}, features[f].count()})
				continue
			}
			features[f].bundle = place
			own := features[f].count() - 1
			found := false
			for _, b := range open {
				s := &slots[b.slot]
				if s.bins+own <= packBins && !b.rows.meets(rows) {
					place.first = s.bins
					s.bins += own
					s.features = append(s.features, f)
					b.rows.add(rows)
					found = true
					break
				}
			}
			if found {
				continue
			}
			place.first = 1
			slots = append(slots, slotPlan{[]int{f}, 1 + own})
			open = append(open, bundle{len(slots) - 1, rows})
			if len(open) > openBundles {
				open = open[1:]
			}
		}
	}
	return slots
}

// uncommonRows finds a feature's common bin and the rows that are not in it; nil if
// it cannot be in a bundle.
func uncommonRows(f *featureBins, column []float32) (*bundlePlace, bitmap) {
	bins := f.count()
	if bins < 2 || bins > bundleBins {
		return nil, nil
	}
	var counts [bundleBins]int
	for _, v := range column {
		counts[f.bin(v)]++
	}
	common := 0
	for b, n := range counts {
		if n > counts[common] {
			common = b
		}
	}
	if counts[common] < len(column)/2 {
		return nil, nil
	}
	rows := make(bitmap, blocks(len(column), 64))
	for r, v := range column {
		if f.bin(v) != common {
			rows[r/64] |= 1 << (r % 64)
		}
	}
	return &bundlePlace{common: common}, rows
}
