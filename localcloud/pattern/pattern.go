// Package pattern decides whether an event matches an EventBridge event
// pattern, and whether a message passes SNS's filter policy. It follows the grammar and the semantics of AWS's own matcher
// (aws/event-ruler): a pattern is an object of arrays, fields are ANDed, the
// values of one array are ORed, arrays in the event are transparent but two
// fields of one pattern never match in different elements of the same array.
//
// A pattern is compiled once; matching allocates little and never fails.
package pattern

import (
	"sort"
	"strings"
)

// maxBranches bounds how many combinations the $or of one pattern may make.
const maxBranches = 1000

// Pattern is a compiled event pattern, safe for concurrent use.
type Pattern struct{ branches []branch }

// branch is one way to match: every field must match.
type branch struct {
	fields []field // sorted by path
}

// field is what one path of the event must be: any of the matchers, or absent.
type field struct {
	path     string
	matchers []matcher
	absent   bool // {"exists": false} is among the alternatives
}

// Compile reads a pattern; its error is an *Invalid.
func Compile(source string) (*Pattern, error) { return compile(&parser{source: source}) }

// CompileFilter reads a filter policy of SNS, whose matcher is of an earlier time: it
// has no wildcards, and negates no operator but a prefix.
func CompileFilter(source string) (*Pattern, error) {
	return compile(&parser{source: source, filter: true})
}

func compile(p *parser) (*Pattern, error) {
	branches, err := p.pattern()
	if err != nil {
		return nil, err
	}
	out := &Pattern{}
	for _, b := range branches {
		fields := make([]field, 0, len(b))
		for path, alternatives := range b {
			f := field{path: path}
			for _, m := range alternatives {
				if _, ok := m.(absence); ok {
					f.absent = true
					continue
				}
				f.matchers = append(f.matchers, m)
			}
			fields = append(fields, f)
		}
		sort.Slice(fields, func(i, j int) bool { return fields[i].path < fields[j].path })
		out.branches = append(out.branches, branch{fields: fields})
	}
	for _, b := range out.branches {
		for _, f := range b.fields {
			if tooComplex(f.matchers) {
				return nil, &Invalid{Reason: "Rule is too complex - try using fewer wildcard characters or fewer repeating character sequences after a wildcard character"}
			}
		}
	}
	return out, nil
}

// Combinations is how many ways to match the pattern tells apart, as SNS counts: of
// each branch the alternatives of its fields multiplied, each times its level.
func (p *Pattern) Combinations() int {
	sum := 0
	for _, b := range p.branches {
		n := 1
		for _, f := range b.fields {
			alternatives := len(f.matchers)
			if f.absent {
				alternatives++
			}
			n *= alternatives * (1 + strings.Count(f.path, "."))
		}
		sum += n
	}
	return sum
}

// Match reports whether the event matches.
func (p *Pattern) Match(e *Event) bool {
	for i := range p.branches {
		if p.branches[i].match(e) {
			return true
		}
	}
	return false
}

// match looks for one value for each field such that no two of them come from
// different elements of the same array.
func (b *branch) match(e *Event) bool {
	s := search{branch: b, event: e}
	for i, f := range b.fields {
		values := e.fields[f.path]
		if len(values) == 0 && !f.absent {
			return false
		}
		for _, v := range values {
			for _, m := range v.arrays {
				s.lastUse(m.array, i)
			}
		}
	}
	return s.from(0, nil)
}

// search is one match under way.
type search struct {
	branch *branch
	event  *Event
	last   map[int]int // array → the last field whose values lie in it
	failed map[string]bool
}

func (s *search) lastUse(array, field int) {
	if s.last == nil {
		s.last = map[int]int{}
	}
	s.last[array] = field
}

// from matches the fields from i on, given the array elements settled so far.
func (s *search) from(i int, settled []member) bool {
	if i == len(s.branch.fields) {
		return true
	}
	var memo string
	if len(settled) > 0 {
		memo = memoKey(i, settled)
		if s.failed[memo] {
			return false
		}
	}
	f := &s.branch.fields[i]
	if s.step(i, f, settled) {
		return true
	}
	if memo != "" {
		if s.failed == nil {
			s.failed = map[string]bool{}
		}
		s.failed[memo] = true
	}
	return false
}

func (s *search) step(i int, f *field, settled []member) bool {
	present := false
	for j := range s.event.fields[f.path] {
		v := &s.event.fields[f.path][j]
		next, ok := consistent(settled, v.arrays)
		if !ok {
			continue
		}
		present = true
		if matchAny(f.matchers, v) && s.from(i+1, s.still(next, i)) {
			return true
		}
	}
	return f.absent && !present && s.from(i+1, s.still(settled, i))
}

// still keeps the arrays that a later field can still clash with, so that
// independent arrays do not multiply.
func (s *search) still(settled []member, i int) []member {
	for _, m := range settled {
		if s.last[m.array] > i {
			continue
		}
		kept := make([]member, 0, len(settled))
		for _, m := range settled {
			if s.last[m.array] > i {
				kept = append(kept, m)
			}
		}
		return kept
	}
	return settled
}

func matchAny(matchers []matcher, v *value) bool {
	for _, m := range matchers {
		if m.match(v) {
			return true
		}
	}
	return false
}

func memoKey(i int, settled []member) string {
	key := make([]byte, 0, 4+8*len(settled))
	key = appendInt(key, i)
	for _, m := range settled {
		key = appendInt(appendInt(key, m.array), m.index)
	}
	return string(key)
}

func appendInt(b []byte, n int) []byte {
	return append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}
