package asl

import "slices"

// object is a JSON object whose members keep the order of their text. Like all
// values it is shared, and not changed once others have it.
type object struct {
	names  []string
	values []any
	index  map[string]int // by name; nil when there are few
}

// few is up to how many members a search in order is the fastest.
const few = 12

// members makes an object of names and values in turn.
func members(pairs ...any) *object {
	o := &object{}
	for i := 0; i < len(pairs); i += 2 {
		o.set(pairs[i].(string), pairs[i+1])
	}
	return o
}

func (o *object) find(name string) int {
	if o.index != nil {
		if i, ok := o.index[name]; ok {
			return i
		}
		return -1
	}
	return slices.Index(o.names, name)
}

func (o *object) get(name string) (any, bool) {
	if i := o.find(name); i >= 0 {
		return o.values[i], true
	}
	return nil, false
}

func (o *object) has(name string) bool { return o.find(name) >= 0 }

// set replaces a member in its place, or adds it as the last; only for an
// object that nobody else has yet.
func (o *object) set(name string, v any) {
	if i := o.find(name); i >= 0 {
		o.values[i] = v
		return
	}
	o.names, o.values = append(o.names, name), append(o.values, v)
	switch {
	case o.index != nil:
		o.index[name] = len(o.names) - 1
	case len(o.names) > few:
		o.index = indexOf(o.names)
	}
}

func indexOf(names []string) map[string]int {
	index := make(map[string]int, len(names)+1)
	for i, n := range names {
		index[n] = i
	}
	return index
}

// with is a copy in which a member is replaced or added.
func (o *object) with(name string, v any) *object {
	if i := o.find(name); i >= 0 {
		values := slices.Clone(o.values)
		values[i] = v
		return &object{o.names, values, o.index}
	}
	out := o.copy(1)
	out.set(name, v)
	return out
}

// copy has room for so many more members.
func (o *object) copy(more int) *object {
	out := &object{names: make([]string, len(o.names), len(o.names)+more), values: make([]any, len(o.values), len(o.values)+more)}
	copy(out.names, o.names)
	copy(out.values, o.values)
	if o.index != nil {
		out.index = indexOf(out.names)
	}
	return out
}

// sorted are the names in alphabetical order.
func (o *object) sorted() []string { return slices.Sorted(slices.Values(o.names)) }
