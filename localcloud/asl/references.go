package asl

import (
	"maps"
	"slices"
)

// References lists, sorted, the variables that each state names; a state that
// names none is not there.
func (m *Machine) References() map[string][]string {
	all := map[string][]string{}
	if m.top.references(all); len(all) == 0 {
		return nil
	}
	return all
}

func (pr *program) references(into map[string][]string) {
	for name, st := range pr.states {
		found := variables{}
		for _, p := range []*Path{st.input.path, st.output.path, st.resultPath, st.timeoutPath, st.beatsAt, st.secondsAt, st.timestampAt, st.items, st.concurrencyAt} {
			found.path(p)
		}
		for _, t := range []*template{st.parameters, st.resultSelector, st.assign} {
			found.template(t)
		}
		found.expr(st.errorAt)
		found.expr(st.causeAt)
		for i := range st.rules {
			found.rule(&st.rules[i])
		}
		for _, c := range st.catch {
			found.path(c.resultPath)
			found.template(c.assign)
		}
		if len(found) > 0 {
			into[name] = slices.Sorted(maps.Keys(found))
		}
		for _, b := range st.branches {
			b.references(into)
		}
	}
}

// variables is a set of names.
type variables map[string]bool

func (v variables) path(p *Path) {
	if p != nil && p.root == rootVariable {
		v[p.variable] = true
	}
}

func (v variables) expr(e *expr) {
	if e == nil {
		return
	}
	v.path(e.path)
	v.call(e.call)
}

func (v variables) call(c *call) {
	if c == nil {
		return
	}
	for _, a := range c.args {
		v.path(a.path)
		v.call(a.call)
	}
}

func (v variables) template(t *template) {
	if t == nil || t.constant {
		return
	}
	v.expr(t.expr)
	for _, sub := range t.array {
		v.template(sub)
	}
	for _, sub := range t.fields {
		v.template(sub)
	}
}

func (v variables) rule(r *rule) {
	v.template(r.assign)
	v.path(r.variable)
	v.path(r.valueAt)
	for _, list := range [][]rule{r.and, r.or} {
		for i := range list {
			v.rule(&list[i])
		}
	}
	if r.not != nil {
		v.rule(r.not)
	}
}
