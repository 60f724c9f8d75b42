package eventbridge

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/winebarrel/cronplan"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// schedule tells when a rule is due.
type schedule interface {
	// after is the first due time after t, for a rule that exists since then;
	// zero when there is none.
	after(t, since time.Time) time.Time
}

type rate time.Duration

func (r rate) after(t, since time.Time) time.Time {
	if t.Before(since) {
		return since.Add(time.Duration(r))
	}
	periods := t.Sub(since)/time.Duration(r) + 1
	return since.Add(periods * time.Duration(r))
}

type cron struct{ expression *cronplan.Expression }

func (c cron) after(t, _ time.Time) time.Time {
	// Next counts the minute it is given as one that may match.
	return c.expression.Next(t.UTC().Truncate(time.Minute).Add(time.Minute))
}

var rateForm = regexp.MustCompile(`^rate\((\d+) (minute|hour|day)(s?)\)$`)

func parseSchedule(text string) (schedule, error) {
	if m := rateForm.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n < 1 || (n == 1) != (m[3] == "") {
			return nil, fmt.Errorf("parse schedule %q: one is singular, more are plural", text)
		}
		unit := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[m[2]]
		if n > int(1<<62/unit) {
			return nil, fmt.Errorf("parse schedule %q: too long", text)
		}
		return rate(time.Duration(n) * unit), nil
	}
	inner, ok := strings.CutPrefix(text, "cron(")
	inner, closed := strings.CutSuffix(inner, ")")
	if !ok || !closed {
		return nil, fmt.Errorf("parse schedule %q: want rate(…) or cron(…)", text)
	}
	e, err := cronplan.Parse(inner)
	if err != nil {
		return nil, fmt.Errorf("parse schedule %q: %w", text, err)
	}
	return cron{e}, nil
}

// arm sets the timer of a scheduled rule; needs s.mu.
func (s *EventBridge) arm(r *rule, now time.Time) {
	if r.schedule == nil || !r.enabled() || !s.started || s.closed {
		return
	}
	due := r.schedule.after(now, r.Since)
	if due.IsZero() {
		return
	}
	r.stop = clock.Lazy(s.o.Clock, due.Sub(now), func() { s.fire(r, due) })
}

func (r *rule) disarm() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

// fire sends a rule's Scheduled Event, whose time is the time it was due.
func (s *EventBridge) fire(r *rule, due time.Time) {
	s.mu.Lock()
	current := !s.closed && s.bus[r.Bus] != nil && s.bus[r.Bus].rules[r.Name] == r
	if current {
		now := s.o.Clock.Now()
		if now.Before(due) {
			now = due
		}
		s.arm(r, now)
	}
	s.mu.Unlock()
	if !current {
		return
	}
	raw, err := encode(s.envelope("aws.events", "Scheduled Event", due, []string{s.ruleARN(r.Bus, r.Name)}, json.RawMessage("{}")))
	if err != nil {
		s.o.Log.Error("make scheduled event", "rule", r.Name, "error", err)
		return
	}
	if err := s.send(s.toTargets(nil, r, raw)); err != nil {
		s.o.Log.Error("send scheduled event", "rule", r.Name, "error", err)
	}
}
