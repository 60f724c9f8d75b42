package eventbridge

import (
	"encoding/json"

	"github.com/millrace-ml/millrace/localcloud/faults"
)

// faulty lets deliveries meet the faults that are laid for them, before they
// are kept: some come twice, late, or not at all.
func (s *EventBridge) faulty(all []*delivery) []*delivery {
	var out []*delivery
	for _, d := range all {
		var e event
		_ = json.Unmarshal(d.Event, &e) // it was made here
		f := s.o.Faults.Meet(faults.OnEvent, faults.Match{Source: e.Source, DetailType: e.DetailType, Rule: d.Rule}, false)
		if f == nil {
			out = append(out, d)
			continue
		}
		switch f.Do {
		case faults.Drop:
			continue
		case faults.Duplicate:
			again := *d
			again.ID, again.Due = s.o.NewID(), d.Due.Add(f.Wait())
			out = append(out, &again)
		case faults.Delay:
			d.Due = d.Due.Add(f.Wait())
		case faults.Reorder:
			d.Due = d.Due.Add(f.Wait())
			s.mu.Lock()
			s.held[d.RuleARN] = append(s.held[d.RuleARN], d)
			s.mu.Unlock()
		}
		out = append(out, d)
	}
	return out
}

// release lets those go that have let d pass.
func (s *EventBridge) release(d *delivery) {
	s.mu.Lock()
	held := s.held[d.RuleARN]
	delete(s.held, d.RuleARN)
	var due []*delivery
	for _, h := range held {
		// One whose time has come goes by itself.
		if stop := s.timers[h]; stop != nil && stop() {
			delete(s.timers, h)
			due = append(due, h)
		}
	}
	s.mu.Unlock()
	for _, h := range due {
		s.later(h, 0)
	}
}
