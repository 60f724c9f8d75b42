// Package eventbridge is Amazon EventBridge in the local cloud: event buses,
// rules by pattern and by schedule, and the delivery of events to targets.
//
// Delivery is at least once and asynchronous. An event is on disk before the
// call that put it returns, so that one that was acknowledged survives a kill;
// the first attempt does not wait for the disk.
package eventbridge

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/faults"
	"github.com/millrace-ml/millrace/localcloud/pattern"
	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Service is EventBridge's service principal.
const Service = "events.amazonaws.com"

const defaultBus = "default"

// Options are what EventBridge needs of its surroundings.
type Options struct {
	service.Base
	// Call runs an operation of another service; the caller is in ctx.
	Call   func(ctx context.Context, service, operation string, input []byte) ([]byte, error)
	NewID  func() string  // ids of events and deliveries; nil: random UUIDs
	Jitter func() float64 // in [0,1), spreads retries; nil: random
	Faults *faults.Set    // nil: none
}

// EventBridge is the service.
type EventBridge struct {
	o     Options
	buses *store.Table[busRecord]
	rules *store.Table[ruleRecord]
	queue *journal

	mu      sync.RWMutex
	bus     map[string]*bus
	timers  map[*delivery]func() bool
	held    map[string][]*delivery // that let the next one of their rule (ARN) pass
	started bool
	closed  bool

	ctx    context.Context // ends at Close; deliveries run under it
	cancel context.CancelFunc
	// Attempts under way; idle is closed and renewed when there are none.
	running int
	idle    chan struct{}
}

// busRecord is an event bus as kept.
type busRecord struct {
	Name        string
	Description string `json:",omitempty"`
	Policy      string `json:",omitempty"`
	Created     time.Time
	Modified    time.Time
	Tags        map[string]string `json:",omitempty"`
}

// ruleRecord is a rule as kept, with its targets.
type ruleRecord struct {
	Name, Bus   string
	Description string `json:",omitempty"`
	Pattern     string `json:",omitempty"`
	Schedule    string `json:",omitempty"`
	RoleARN     string `json:",omitempty"`
	State       types.RuleState
	Since       time.Time // a rate counts from here
	Targets     []types.Target
	Tags        map[string]string `json:",omitempty"`
}

// bus is a bus with its rules; guarded by EventBridge.mu.
type bus struct {
	busRecord
	rules map[string]*rule
	order []*rule // enabled rules with a pattern, by name
}

// rule is a rule ready to use. It is replaced, never changed.
type rule struct {
	ruleRecord
	pattern  *pattern.Pattern
	schedule schedule
	stop     func() bool // of the schedule's timer
}

// New opens the service on its state. Nothing is delivered until Start, so
// that the services it calls can be made after it.
func New(o Options) (*EventBridge, error) {
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	if o.Jitter == nil {
		o.Jitter = mathrand.Float64
	}
	s := &EventBridge{o: o, bus: map[string]*bus{}, timers: map[*delivery]func() bool{}, held: map[string][]*delivery{}}
	var err error
	if s.buses, err = store.NewTable[busRecord](o.Store, "events/buses"); err != nil {
		return nil, err
	}
	if s.rules, err = store.NewTable[ruleRecord](o.Store, "events/rules"); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		return nil, err
	}
	if s.queue, err = openJournal(o.Store, o.Log); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

func (s *EventBridge) load() error {
	now := s.o.Clock.Now()
	s.bus[defaultBus] = &bus{busRecord: busRecord{Name: defaultBus, Created: now, Modified: now}, rules: map[string]*rule{}}
	err := s.buses.Scan("", func(_ string, r busRecord) bool {
		s.bus[r.Name] = &bus{busRecord: r, rules: map[string]*rule{}}
		return true
	})
	if err != nil {
		return err
	}
	var broken error
	err = s.rules.Scan("", func(_ string, r ruleRecord) bool {
		ready, err := prepare(r)
		if err != nil {
			broken = fmt.Errorf("load rule %s/%s: %w", r.Bus, r.Name, err)
			return false
		}
		if b, ok := s.bus[r.Bus]; ok {
			b.rules[r.Name] = ready
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, b := range s.bus {
		b.sort()
	}
	return broken
}

// prepare compiles a rule's pattern and schedule.
func prepare(r ruleRecord) (*rule, error) {
	ready := &rule{ruleRecord: r}
	var err error
	if r.Pattern != "" {
		if ready.pattern, err = pattern.Compile(r.Pattern); err != nil {
			return nil, wire.Errorf("InvalidEventPatternException", "%v", err)
		}
	}
	if r.Schedule != "" {
		if ready.schedule, err = parseSchedule(r.Schedule); err != nil {
			return nil, wire.Errorf("ValidationException", "Parameter ScheduleExpression is not valid.")
		}
	}
	return ready, nil
}

func (r *rule) enabled() bool { return r.State != types.RuleStateDisabled }

// sort renews the list that events are matched against.
func (b *bus) sort() {
	b.order = b.order[:0:0]
	for _, r := range b.rules {
		if r.pattern != nil && r.enabled() {
			b.order = append(b.order, r)
		}
	}
	sort.Slice(b.order, func(i, j int) bool { return b.order[i].Name < b.order[j].Name })
}

// Start delivers what was still to be delivered when the cloud stopped, and
// begins the schedules. Call it when all services can be called.
func (s *EventBridge) Start() {
	s.mu.Lock()
	if s.started || s.closed {
		s.mu.Unlock()
		return
	}
	s.started = true
	for _, r := range s.bus[defaultBus].rules {
		s.arm(r, s.o.Clock.Now())
	}
	s.mu.Unlock()
	for _, d := range s.queue.pending() {
		s.later(d, d.Due.Sub(s.o.Clock.Now()))
	}
}

// Run is Start and, when ctx ends, Close.
func (s *EventBridge) Run(ctx context.Context) error {
	s.Start()
	<-ctx.Done()
	return s.Close()
}

// Close ends deliveries; what was not delivered is when the cloud starts again.
func (s *EventBridge) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	for _, stop := range s.timers {
		stop()
	}
	for _, b := range s.bus {
		for _, r := range b.rules {
			r.disarm()
		}
	}
	s.mu.Unlock()
	s.cancel()
	if err := s.Idle(context.Background()); err != nil {
		return err
	}
	return s.queue.close()
}

// Idle waits until no delivery is being attempted: each has ended, or waits on
// the clock for its next attempt.
func (s *EventBridge) Idle(ctx context.Context) error {
	for {
		s.mu.Lock()
		running, idle := s.running, s.idle
		s.mu.Unlock()
		if running == 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// began and ended count attempts; began needs s.mu.
func (s *EventBridge) began() {
	if s.running == 0 {
		s.idle = make(chan struct{})
	}
	s.running++
}

func (s *EventBridge) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running--; s.running == 0 {
		close(s.idle)
	}
}

// Wire is the service's table of operations.
func (s *EventBridge) Wire() *wire.Service {
	w := &wire.Service{Name: "events", Protocol: wire.JSON11, Target: "AWSEvents", Authorize: s.o.Authorize, Log: s.o.Log, Model: model.Of("events")}
	s.addBusOperations(w)
	s.addRuleOperations(w)
	s.addEventOperations(w)
	return w
}

func (s *EventBridge) arn(resource string) string {
	return "arn:aws:events:" + s.o.Region + ":" + s.o.Account + ":" + resource
}

func (s *EventBridge) busARN(name string) string { return s.arn("event-bus/" + name) }

func (s *EventBridge) ruleARN(bus, name string) string {
	if bus == defaultBus {
		return s.arn("rule/" + name)
	}
	return s.arn("rule/" + bus + "/" + name)
}

// busName reads a bus parameter: a name, an ARN, or nothing for the default bus.
func busName(p *string) string {
	if p == nil || *p == "" {
		return defaultBus
	}
	if _, name, ok := strings.Cut(*p, ":event-bus/"); ok {
		return name
	}
	return *p
}

// findBus needs s.mu.
func (s *EventBridge) findBus(name string) (*bus, error) {
	b, ok := s.bus[name]
	if !ok {
		return nil, wire.Errorf("ResourceNotFoundException", "Event bus %s does not exist.", name)
	}
	return b, nil
}

// findRule needs s.mu.
func (s *EventBridge) findRule(busName, name string) (*bus, *rule, error) {
	b, err := s.findBus(busName)
	if err != nil {
		return nil, nil, err
	}
	r, ok := b.rules[name]
	if !ok {
		return nil, nil, wire.Errorf("ResourceNotFoundException", "Rule %s does not exist on EventBus %s.", name, busName)
	}
	return b, r, nil
}
