package eventbridge

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	eb "github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/millrace-ml/millrace/localcloud/eventbridge/policy"
	"github.com/millrace-ml/millrace/localcloud/pattern"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// The bounds of PutEvents.
const (
	maxBytes = 1 << 20 // of all entries together
)

// event is the envelope, in the order in which AWS writes it.
type event struct {
	Version    string          `json:"version"`
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Time       string          `json:"time"`
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail,omitempty"`
}

func (s *EventBridge) addEventOperations(w *wire.Service) {
	w.Add(
		wire.On(wire.Op("PutEvents", s.putEvents), func(in *eb.PutEventsInput) []string {
			var out []string
			seen := map[string]bool{}
			for _, e := range in.Entries {
				if arn := s.busARN(busName(e.EventBusName)); !seen[arn] {
					seen[arn] = true
					out = append(out, arn)
				}
			}
			return out
		}),
		wire.Op("TestEventPattern", s.testEventPattern),
	)
}

func (s *EventBridge) envelope(source, detailType string, at time.Time, resources []string, detail json.RawMessage) event {
	if resources == nil {
		resources = []string{}
	}
	return event{Version: "0", ID: s.o.NewID(), DetailType: detailType, Source: source, Account: s.o.Account, Time: at.UTC().Format("2006-01-02T15:04:05Z"),
		Region: s.o.Region, Resources: resources, Detail: detail}
}

// encode is JSON with <, > and & as they are: targets may read it as text.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (s *EventBridge) putEvents(ctx context.Context, in *eb.PutEventsInput) (*eb.PutEventsOutput, error) {
	if in.EndpointId != nil {
		return nil, invalid("the local cloud does not support global endpoints: %s", *in.EndpointId)
	}
	size := 0
	for i := range in.Entries {
		size += entrySize(&in.Entries[i])
	}
	if size > maxBytes {
		return nil, invalid("Total size of the entries in the request is over the limit.")
	}
	out := &eb.PutEventsOutput{Entries: make([]types.PutEventsResultEntry, len(in.Entries))}
	var all []*delivery
	for i := range in.Entries {
		id, deliveries, err := s.accept(ctx, &in.Entries[i])
		if err != nil {
			e := wire.AsError(err)
			out.Entries[i] = types.PutEventsResultEntry{ErrorCode: aws.String(e.Code), ErrorMessage: aws.String(e.Message)}
			out.FailedEntryCount++
			continue
		}
		out.Entries[i] = types.PutEventsResultEntry{EventId: aws.String(id)}
		all = append(all, deliveries...)
	}
	if err := s.send(all); err != nil {
		return nil, fmt.Errorf("keep events: %w", err)
	}
	return out, nil
}

// entrySize is the size of an entry as AWS counts it, in bytes.
func entrySize(e *types.PutEventsRequestEntry) int {
	n := len(aws.ToString(e.Source)) + len(aws.ToString(e.DetailType)) + len(aws.ToString(e.Detail))
	if e.Time != nil {
		n += 14
	}
	for _, r := range e.Resources {
		n += len(r)
	}
	return n
}

// accept checks an entry and finds where its event goes.
func (s *EventBridge) accept(ctx context.Context, in *types.PutEventsRequestEntry) (id string, to []*delivery, err error) {
	for _, p := range []struct {
		name  string
		value *string
	}{{"Source", in.Source}, {"DetailType", in.DetailType}, {"Detail", in.Detail}} {
		if aws.ToString(p.value) == "" {
			return "", nil, wire.Errorf("InvalidArgument", "Parameter %s is not valid. Reason: %s is a required argument.", p.name, p.name)
		}
	}
	if strings.HasPrefix(*in.Source, "aws.") {
		return "", nil, wire.Errorf("NotAuthorizedForSourceException", "Not authorized for the source.")
	}
	var detail map[string]json.RawMessage
	if json.Unmarshal([]byte(*in.Detail), &detail) != nil || detail == nil {
		return "", nil, wire.Errorf("MalformedDetail", "Detail is malformed.")
	}
	at := s.o.Clock.Now()
	if in.Time != nil {
		at = *in.Time
	}
	e := s.envelope(*in.Source, *in.DetailType, at, in.Resources, json.RawMessage(*in.Detail))
	raw, err := encode(e)
	if err != nil {
		return "", nil, wire.Errorf("MalformedDetail", "Detail is malformed.")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	name := busName(in.EventBusName)
	b, ok := s.bus[name]
	if !ok {
		// AWS takes such an event and drops it: so it is here, but not in silence.
		s.o.Log.Error("event put to an event bus that does not exist is dropped", "bus", name, "event_id", e.ID)
		return e.ID, nil, nil
	}
	if c := wire.CallerFrom(ctx); c.Account != "" && c.Account != s.o.Account && !policy.Allows(b.Policy, c, "events:PutEvents", s.busARN(name)) {
		return "", nil, wire.Errorf("AccessDeniedException", "User: %s is not authorized to perform: events:PutEvents on resource: %s because no resource-based policy allows the events:PutEvents action", c.ARN, s.busARN(name))
	}
	to, err = s.route(b, raw)
	return e.ID, to, err
}

// Emit puts an event of an AWS service on the default bus. It returns when the
// event is kept; an event that cannot be is logged.
func (s *EventBridge) Emit(_ context.Context, source, detailType string, resources []string, detail any) {
	if err := s.emit(source, detailType, resources, detail); err != nil {
		s.o.Log.Error("emit event", "source", source, "detail_type", detailType, "error", err)
	}
}

func (s *EventBridge) emit(source, detailType string, resources []string, detail any) error {
	body, err := encode(detail)
	if err != nil {
		return fmt.Errorf("encode detail: %w", err)
	}
	raw, err := encode(s.envelope(source, detailType, s.o.Clock.Now(), resources, body))
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	s.mu.RLock()
	to, err := s.route(s.bus[defaultBus], raw)
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	return s.send(to)
}

// route finds the targets of an event on a bus; needs s.mu for reading.
func (s *EventBridge) route(b *bus, raw json.RawMessage) ([]*delivery, error) {
	if len(b.order) == 0 {
		return nil, nil
	}
	flat, err := pattern.ParseEvent(raw)
	if err != nil {
		return nil, wire.Errorf("MalformedDetail", "Detail is malformed.")
	}
	var out []*delivery
	for _, r := range b.order {
		if r.pattern.Match(flat) {
			out = s.toTargets(out, r, raw)
		}
	}
	return out, nil
}

func (s *EventBridge) toTargets(out []*delivery, r *rule, raw json.RawMessage) []*delivery {
	now := s.o.Clock.Now()
	for _, t := range r.Targets {
		out = append(out, &delivery{ID: s.o.NewID(), Rule: r.Name, RuleARN: s.ruleARN(r.Bus, r.Name), Target: t, Event: raw, Received: now, Due: now})
	}
	return out
}

func (s *EventBridge) testEventPattern(_ context.Context, in *eb.TestEventPatternInput) (*eb.TestEventPatternOutput, error) {
	p, err := pattern.Compile(aws.ToString(in.EventPattern))
	if err != nil {
		return nil, wire.Errorf("InvalidEventPatternException", "%v", err)
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(aws.ToString(in.Event)), &fields) != nil || fields == nil {
		return nil, invalid("Parameter Event is not valid.")
	}
	for _, name := range []string{"id", "account", "source", "time", "region", "detail-type"} {
		if _, ok := fields[name]; !ok {
			return nil, invalid("Parameter Event is not valid.")
		}
	}
	e, err := pattern.ParseEvent([]byte(aws.ToString(in.Event)))
	if err != nil {
		return nil, invalid("Parameter Event is not valid.")
	}
	return &eb.TestEventPatternOutput{Result: p.Match(e)}, nil
}
