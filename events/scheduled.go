package events

import (
	"fmt"
	"strings"
	"time"
)

// Source and detail-type of EventBridge's scheduled rules.
const (
	SourceSchedule = "aws.events"
	TypeScheduled  = "Scheduled Event"
)

// ScheduleRulePrefix begins the name of each pipeline's schedule rule; the
// pipeline's name follows. The event itself carries nothing but the rule.
const ScheduleRulePrefix = "millrace-schedule-"

// DailyRule is the name of the rule that lets all pipelines be looked after.
const DailyRule = "millrace-daily"

// Daily is the time to look after what was never told.
type Daily struct{ Due time.Time }

// Scheduled is a pipeline's schedule coming due.
type Scheduled struct {
	Pipeline string
	Due      time.Time // the same on every retry
}

func decodeScheduled(e Envelope) (any, error) {
	for _, arn := range e.Resources {
		if _, rule, ok := strings.Cut(arn, ":rule/"); ok {
			if rule == DailyRule {
				return Daily{Due: e.Time}, nil
			}
			if name, ok := strings.CutPrefix(rule, ScheduleRulePrefix); ok && name != "" {
				return Scheduled{Pipeline: name, Due: e.Time}, nil
			}
		}
	}
	return nil, fmt.Errorf("no resource is a rule named %s or %s<pipeline>: %q", DailyRule, ScheduleRulePrefix, e.Resources)
}
