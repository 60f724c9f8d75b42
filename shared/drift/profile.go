package drift

import (
	"hash/fnv"
	"math"
	"math/bits"
	"sort"
	"strings"
)

// MaxDistinct is how many different texts are counted one by one; beyond it a
// column has an estimate of their number, and no counts.
const MaxDistinct = 10_000

// NumericProfile describes a column of numbers in bounded memory.
type NumericProfile struct {
	Present, Missing int64
	Fractional       bool // some value has a fraction
	Min, Max         float64
	mean, squares    float64 // Welford's
	sum              float64
	Sketch           *Sketch
}

// NewNumericProfile is an empty profile.
func NewNumericProfile() *NumericProfile {
	return &NumericProfile{Min: math.Inf(1), Max: math.Inf(-1), Sketch: NewSketch()}
}

// largest is the largest magnitude that is told apart: the squares of more, summed over
// many rows, would not fit a float64.
const largest = 1e140

// Add takes a value; NaN is a missing one.
func (p *NumericProfile) Add(x float64) {
	if x != x {
		p.Missing++
		return
	}
	x = min(max(x, -largest), largest)
	p.Present++
	p.sum += x
	d := x - p.mean
	p.mean += d / float64(p.Present)
	p.squares += float64(d * (x - p.mean)) // the conversion forbids a fused multiply-add
	p.Min, p.Max = min(p.Min, x), max(p.Max, x)
	p.Fractional = p.Fractional || x != math.Trunc(x)
	p.Sketch.Add(x)
}

// Mean of the values; 0 of none.
func (p *NumericProfile) Mean() float64 { return p.mean }

// Sum of the values.
func (p *NumericProfile) Sum() float64 { return p.sum }

// StdDev is the standard deviation of the values taken as the whole population.
func (p *NumericProfile) StdDev() float64 {
	if p.Present == 0 {
		return 0
	}
	return math.Sqrt(p.squares / float64(p.Present))
}

// TextProfile describes a column of texts in bounded memory.
type TextProfile struct {
	Present, Missing int64
	counts           map[string]*int64 // nil once there are too many; assigning to a map would keep the new key
	estimate         distinct
}

// NewTextProfile is an empty profile.
func NewTextProfile() *TextProfile { return &TextProfile{counts: map[string]*int64{}} }

// Add takes a value; the empty text is a missing one.
func (p *TextProfile) Add(text string) {
	if text == "" {
		p.Missing++
		return
	}
	p.Present++
	if p.counts != nil {
		if n := p.counts[text]; n != nil {
			*n++
			return
		}
		p.counts[strings.Clone(text)] = new(int64(1)) // text may be the memory of a reader
		if len(p.counts) <= MaxDistinct {
			return
		}
		p.overflow()
		return
	}
	p.estimate.add(text)
}

// Distinct is how many different texts there are: exact up to MaxDistinct, else
// an estimate with a standard error of 1.6 %.
func (p *TextProfile) Distinct() float64 {
	if p.counts != nil {
		return float64(len(p.counts))
	}
	return p.estimate.count()
}

// Counts are the texts and how often each was seen, the most frequent first;
// nil when there are more than MaxDistinct.
func (p *TextProfile) Counts() []TextBucket {
	if p.counts == nil {
		return nil
	}
	out := make([]TextBucket, 0, len(p.counts))
	for text, n := range p.counts {
		out = append(out, TextBucket{Value: text, Count: *n})
	}
	sort.Slice(out, func(i, j int) bool {
		if out[i].Count != out[j].Count {
			return out[i].Count > out[j].Count
		}
		return out[i].Value < out[j].Value
	})
	return out
}

// distinct estimates the number of different texts (Flajolet, Fusy, Gandouet and
// Meunier, "HyperLogLog", 2007) with 4,096 registers.
type distinct struct{ registers [1 << 12]uint8 }

func (d *distinct) add(text string) {
	h := fnv.New64a()
	h.Write([]byte(text))
	x := h.Sum64()
	// FNV's high bits are weak for short texts; this is MurmurHash3's finaliser.
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	at, rest := x>>52, x<<12|1<<11
	d.registers[at] = max(d.registers[at], uint8(bits.LeadingZeros64(rest)+1))
}

func (d *distinct) count() float64 {
	m := float64(len(d.registers))
	sum, zeros := 0.0, 0
	for _, r := range d.registers {
		sum += 1 / float64(uint64(1)<<r)
		if r == 0 {
			zeros++
		}
	}
	estimate := 0.7213 / (1 + 1.079/m) * m * m / sum
	if estimate <= 2.5*m && zeros > 0 {
		estimate = m * math.Log(m/float64(zeros))
	}
	return math.Round(estimate)
}
