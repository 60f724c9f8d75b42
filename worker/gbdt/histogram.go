package gbdt

// gradient is a row's first and second derivative of the loss, in fixed point.
type gradient struct{ g, h int32 }

// cell is a histogram's sum over the rows in one bin.
type cell struct{ g, h int64 }

// histogramSize is the length of a histogram's buffer: the last packBins cells are
// room for views of packBins cells, and for slots that a word does not use.
func (b *binned) histogramSize() int { return b.cells + packBins }

// sumGroup fills the cells of one group with the sums over rows.
func (b *binned) sumGroup(g *binGroup, hist []cell, rows []int32, grad []gradient) {
	clear(hist[g.from:g.to])
	if g.wide != nil {
		sumWide(hist[g.from:g.to], g.wide, rows, grad)
		return
	}
	slots := g.offsets
	for i := g.slots; i < packWidth; i++ {
		slots[i] = b.cells
	}
	if g.slots == 1 {
		sumPacked1(hist, slots[0], g.words, rows, grad)
		return
	}
	if g.slots == 2 {
		sumPacked2(hist, slots, g.words, rows, grad)
		return
	}
	sumPacked4(hist, slots, g.words, rows, grad)
}

// The views are arrays, so that a byte needs no bounds check.

func sumPacked4(hist []cell, slots [packWidth]int, words []uint32, rows []int32, grad []gradient) {
	h0 := (*[packBins]cell)(hist[slots[0]:])
	h1 := (*[packBins]cell)(hist[slots[1]:])
	h2 := (*[packBins]cell)(hist[slots[2]:])
	h3 := (*[packBins]cell)(hist[slots[3]:])
	for _, r := range rows {
		w, p := words[r], grad[r]
		g, h := int64(p.g), int64(p.h)
		c := &h0[uint8(w)]
		c.g += g
		c.h += h
		c = &h1[uint8(w>>8)]
		c.g += g
		c.h += h
		c = &h2[uint8(w>>16)]
		c.g += g
		c.h += h
		c = &h3[uint8(w>>24)]
		c.g += g
		c.h += h
	}
}

func sumPacked2(hist []cell, slots [packWidth]int, words []uint32, rows []int32, grad []gradient) {
	h0 := (*[packBins]cell)(hist[slots[0]:])
	h1 := (*[packBins]cell)(hist[slots[1]:])
	for _, r := range rows {
		w, p := words[r], grad[r]
		g, h := int64(p.g), int64(p.h)
		c := &h0[uint8(w)]
		c.g += g
		c.h += h
		c = &h1[uint8(w>>8)]
		c.g += g
		c.h += h
	}
}

func sumPacked1(hist []cell, slot int, words []uint32, rows []int32, grad []gradient) {
	h0 := (*[packBins]cell)(hist[slot:])
	for _, r := range rows {
		p := grad[r]
		c := &h0[uint8(words[r])]
		c.g += int64(p.g)
		c.h += int64(p.h)
	}
}

func sumWide(hist []cell, bins []uint16, rows []int32, grad []gradient) {
	for _, r := range rows {
		p := grad[r]
		c := &hist[bins[r]]
		c.g += int64(p.g)
		c.h += int64(p.h)
	}
}

// subtract takes the cells of small from those of big.
func subtract(big, small []cell) {
	small = small[:len(big)]
	for i := range big {
		big[i].g -= small[i].g
		big[i].h -= small[i].h
	}
}

// histogramPool hands out buffers again; a round needs a few dozen.
type histogramPool struct {
	size int
	free [][]cell
	live int
}

func (p *histogramPool) get() []cell {
	p.live++
	if n := len(p.free); n > 0 {
		h := p.free[n-1]
		p.free = p.free[:n-1]
		return h
	}
	return make([]cell, p.size)
}

func (p *histogramPool) put(h []cell) {
	if h != nil {
		p.live--
		p.free = append(p.free, h)
	}
}
