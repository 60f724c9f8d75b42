package pattern

import (
	"sort"
)

// maxComplexity is how many wildcard prefixes one input may match at once. AWS
// does not publish its number; this one refuses the pattern its guide calls too
// complex (*:*:*:*:*:event-bus/*) and accepts the guide's repaired ones.
const maxComplexity = 10

// maxStates bounds the work of finding that out.
const maxStates = 20_000

// tooComplex reports whether some input could match more than maxComplexity
// prefixes of the wildcards at once: the measure of event-ruler's evaluator.
func tooComplex(matchers []matcher) bool {
	var a automaton
	for _, m := range matchers {
		switch m := m.(type) {
		case wildcard:
			a.add(m)
		case anythingBut:
			for _, not := range m.not {
				if w, ok := not.(wildcard); ok {
					a.add(w)
				}
			}
		}
	}
	return a.exceeds(maxComplexity)
}

// automaton is the wildcards as one nondeterministic automaton: a state is a
// byte of a piece that was read, or a star that was entered.
type automaton struct {
	star []bool // the state is a star: it stays on any byte
	char []byte
	next []int // the following state, -1 at the end
	head []int // where each wildcard begins
}

func (a *automaton) add(m wildcard) {
	if len(m.pieces) == 1 {
		return // nothing is ambiguous without a star
	}
	a.head = append(a.head, len(a.star))
	for i, piece := range m.pieces {
		if i > 0 {
			a.state(true, 0)
		}
		for j := range len(piece) {
			a.state(false, piece[j])
		}
	}
	a.next[len(a.next)-1] = -1
}

func (a *automaton) state(star bool, char byte) {
	a.star, a.char = append(a.star, star), append(a.char, char)
	a.next = append(a.next, len(a.star))
}

// exceeds walks the sets of states that inputs can reach.
func (a *automaton) exceeds(limit int) bool {
	if len(a.head) == 0 {
		return false
	}
	start := map[int]bool{}
	for _, h := range a.head {
		if a.star[h] {
			start[h] = true
		}
	}
	seen := map[string]bool{}
	// The virtual first set also offers each wildcard's first byte.
	queue := []stateSet{{states: start, first: true}}
	for len(queue) > 0 {
		set := queue[0]
		queue = queue[1:]
		if len(set.states) > limit {
			return true
		}
		for _, b := range a.bytes(set) {
			next := a.after(set, b)
			key := setKey(next)
			if len(next) == 0 || seen[key] {
				continue
			}
			if len(seen) >= maxStates {
				return true
			}
			seen[key] = true
			queue = append(queue, stateSet{states: next})
		}
	}
	return false
}

type stateSet struct {
	states map[int]bool
	first  bool
}

// follow are the states that could come next on a byte of their own.
func (a *automaton) follow(set stateSet) []int {
	var out []int
	if set.first {
		for _, h := range a.head {
			if !a.star[h] {
				out = append(out, h)
			}
		}
	}
	for s := range set.states {
		if n := a.next[s]; n >= 0 && !a.star[n] {
			out = append(out, n)
		}
	}
	return out
}

// bytes are the inputs worth trying: all others only keep the stars.
func (a *automaton) bytes(set stateSet) []byte {
	var tried [256]bool
	var out []byte
	for _, n := range a.follow(set) {
		if !tried[a.char[n]] {
			tried[a.char[n]] = true
			out = append(out, a.char[n])
		}
	}
	return out
}

func (a *automaton) after(set stateSet, b byte) map[int]bool {
	next := map[int]bool{}
	for s := range set.states {
		if a.star[s] {
			next[s] = true
		}
	}
	for _, n := range a.follow(set) {
		if a.char[n] != b {
			continue
		}
		next[n] = true
		// A star after this byte is entered at once: it may match nothing.
		if star := a.next[n]; star >= 0 && a.star[star] {
			next[star] = true
		}
	}
	return next
}

func setKey(set map[int]bool) string {
	states := make([]int, 0, len(set))
	for s := range set {
		states = append(states, s)
	}
	sort.Ints(states)
	key := make([]byte, 0, 4*len(states))
	for _, s := range states {
		key = appendInt(key, s)
	}
	return string(key)
}
