package drift

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math"
)

// Merge adds what another profile of the same column has seen. The same profiles
// merged in the same order give the same bytes; the mean and the squares by Chan,
// Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm", 1979.
func (p *NumericProfile) Merge(o *NumericProfile) {
	p.Missing += o.Missing
	if o.Present == 0 {
		return
	}
	n, m := float64(p.Present), float64(o.Present)
	d := o.mean - p.mean
	p.squares += o.squares + float64(float64(d*d)*float64(n*m/(n+m)))
	p.mean += float64(d * (m / (n + m)))
	p.sum += o.sum
	p.Present += o.Present
	p.Min, p.Max = min(p.Min, o.Min), max(p.Max, o.Max)
	p.Fractional = p.Fractional || o.Fractional
	p.Sketch.Merge(o.Sketch)
}

// Merge adds what another sketch holds.
func (s *Sketch) Merge(o *Sketch) {
	for len(s.levels) < len(o.levels) {
		s.grow()
	}
	for i, items := range o.levels {
		s.levels[i] = append(s.levels[i], items...)
	}
	s.size += o.size
	s.count += o.count
	for s.size >= s.limit {
		s.compress()
	}
}

// Merge adds what another profile of the same column has seen.
func (p *TextProfile) Merge(o *TextProfile) {
	p.Missing += o.Missing
	p.Present += o.Present
	switch {
	case p.counts != nil && o.counts != nil:
		for text, n := range o.counts {
			if sum := p.counts[text]; sum != nil {
				*sum += *n
			} else {
				p.counts[text] = new(*n)
			}
		}
		if len(p.counts) > MaxDistinct {
			p.overflow()
		}
		return
	case p.counts != nil:
		p.overflow()
	case o.counts != nil:
		for text := range o.counts {
			p.estimate.add(text)
		}
		return
	}
	for i, r := range o.estimate.registers {
		p.estimate.registers[i] = max(p.estimate.registers[i], r)
	}
}

// overflow goes over from counts to an estimate.
func (p *TextProfile) overflow() {
	for seen := range p.counts { // registers keep a maximum: the order does not show
		p.estimate.add(seen)
	}
	p.counts = nil
}

// numericState and textState are profiles on their way from one machine to another.
type numericState struct {
	Present, Missing   int64
	Fractional         bool
	Min, Max           uint64 // bits: an empty profile has infinities
	Mean, Squares, Sum float64
	Levels             [][]float64
	Odd                []bool
}

type textState struct {
	Present, Missing int64
	Counted          bool
	Counts           map[string]int64
	Registers        []uint8
}

// GobEncode writes the profile with all that later rows or a merge need.
func (p *NumericProfile) GobEncode() ([]byte, error) {
	return encode(numericState{p.Present, p.Missing, p.Fractional, math.Float64bits(p.Min), math.Float64bits(p.Max), p.mean, p.squares, p.sum, p.Sketch.levels, p.Sketch.odd})
}

// GobDecode reads what GobEncode wrote.
func (p *NumericProfile) GobDecode(raw []byte) error {
	var s numericState
	if err := gob.NewDecoder(bytes.NewReader(raw)).Decode(&s); err != nil {
		return fmt.Errorf("decode profile: %w", err)
	}
	*p = NumericProfile{Present: s.Present, Missing: s.Missing, Fractional: s.Fractional, Min: math.Float64frombits(s.Min), Max: math.Float64frombits(s.Max),
		mean: s.Mean, squares: s.Squares, sum: s.Sum, Sketch: &Sketch{}}
	for i, items := range s.Levels {
		p.Sketch.grow()
		p.Sketch.levels[i] = items
		p.Sketch.odd[i] = i < len(s.Odd) && s.Odd[i]
		p.Sketch.size += len(items)
		p.Sketch.count += int64(len(items)) << i
	}
	return nil
}

// GobEncode writes the profile with all that later rows or a merge need.
func (p *TextProfile) GobEncode() ([]byte, error) {
	s := textState{Present: p.Present, Missing: p.Missing, Counted: p.counts != nil, Counts: map[string]int64{}}
	for text, n := range p.counts {
		s.Counts[text] = *n
	}
	if p.counts == nil {
		s.Registers = p.estimate.registers[:]
	}
	return encode(s)
}

// GobDecode reads what GobEncode wrote.
func (p *TextProfile) GobDecode(raw []byte) error {
	var s textState
	if err := gob.NewDecoder(bytes.NewReader(raw)).Decode(&s); err != nil {
		return fmt.Errorf("decode profile: %w", err)
	}
	*p = TextProfile{Present: s.Present, Missing: s.Missing}
	if s.Counted {
		p.counts = map[string]*int64{}
		for text, n := range s.Counts {
			p.counts[text] = new(n)
		}
	}
	copy(p.estimate.registers[:], s.Registers)
	return nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return nil, fmt.Errorf("encode profile: %w", err)
	}
	return b.Bytes(), nil
}
