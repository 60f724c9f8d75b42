// Package faults lets things go wrong on purpose: events that come twice, late,
// in another order or not at all, calls that are throttled or fail or whose
// answer is lost, functions that are killed, jobs that fail or take long.
//
// A fault says where it can be met (On), what must be so there (Match), what
// happens then (Do), and how often (Skip, Count, Rate). The services ask at each
// such moment whether they meet one. Everything is counted, so that the same
// faults on the same course of things are met at the same moments.
//
// All methods may be called on a nil Set, which holds no faults.
package faults

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Where a fault can be met.
const (
	OnEvent      = "event"      // an event sets out to a target of a rule
	OnCall       = "call"       // an operation of a service is called, on the wire or by another service
	OnInvocation = "invocation" // a function's process has taken a request
	OnJob        = "job"        // a job begins to run
)

// What a fault does.
const (
	Duplicate = "duplicate" // event: it comes twice, the second time after Seconds
	Delay     = "delay"     // event: it comes after Seconds
	Drop      = "drop"      // event: it does not come
	Reorder   = "reorder"   // event: it comes after the rule's next one, or after Seconds
	Throttle  = "throttle"  // call: the service's own throttling error
	Fail      = "fail"      // call: Code, Status and Message; job: FailureReason Message
	Cut       = "cut"       // call: the connection ends without an answer
	Kill      = "kill"      // call: the function's process that makes it is killed; invocation: the one that has it
	Slow      = "slow"      // job: it takes Seconds longer
	Interrupt = "interrupt" // training job on spot machines: its machine is taken away, and the next one comes after Seconds
)

// Match says at which moments a fault can be met. A member that is left out
// matches everything; * in a text stands for any characters.
type Match struct {
	// Of an event.
	Source     string `json:"source,omitempty"`
	DetailType string `json:"detail_type,omitempty"`
	Rule       string `json:"rule,omitempty"`
	// Of a call.
	Service   string `json:"service,omitempty"` // as in signatures: s3, states, …
	Operation string `json:"operation,omitempty"`
	Caller    string `json:"caller,omitempty"` // a function's name, a role's, root, or a service's principal
	Call      int    `json:"call,omitempty"`   // which one in the function's invocation, from 1
	// Of an invocation.
	Function string `json:"function,omitempty"`
	// Of a job.
	Kind string `json:"kind,omitempty"` // processing, training, transform
	Job  string `json:"job,omitempty"`  // its name
}

// Fault is something that goes wrong, and when.
type Fault struct {
	ID    string `json:"id"`
	On    string `json:"on"`
	Match Match  `json:"match"`
	Do    string `json:"do"`
	// After lets fail, cut and kill come when the call has taken effect, or when
	// the function has done its work but its answer is not taken yet.
	After   bool    `json:"after,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	Code    string  `json:"code,omitempty"`
	Status  int     `json:"status,omitempty"`
	Message string  `json:"message,omitempty"`
	// The first Skip moments pass; of the others it is met at Count (0: all), each
	// with the probability Rate (0: always), drawn from Seed.
	Skip  int     `json:"skip,omitempty"`
	Count int     `json:"count,omitempty"`
	Rate  float64 `json:"rate,omitempty"`
	Seed  uint64  `json:"seed,omitempty"`
}

// Wait is Seconds.
func (f *Fault) Wait() time.Duration { return time.Duration(f.Seconds * float64(time.Second)) }

// Hold is a fault that is laid, and what came of it so far.
type Hold struct {
	Fault
	Matched int `json:"matched"` // moments that it matched
	Hits    int `json:"hits"`    // moments at which it was met
}

// Seen is how often something happened at which a fault can be met. Its Match is
// exact.
type Seen struct {
	On    string `json:"on"`
	Match Match  `json:"match"`
	Count int    `json:"count"`
}

type held struct {
	Hold
	draw *rand.Rand
}

type moment struct {
	on string
	Match
}

// Set holds the faults of a cloud. It lives in memory only.
type Set struct {
	log *slog.Logger

	mu     sync.Mutex
	faults []*held // in the order in which they were laid
	seen   map[moment]int
	last   int // number of the last id that was made
}

// New makes an empty Set.
func New(log *slog.Logger) *Set { return &Set{log: log, seen: map[moment]int{}} }

// Errors of Put and Remove.
var (
	ErrInvalid = errors.New("invalid fault")
	ErrExists  = errors.New("there is a fault of this id")
	ErrUnknown = errors.New("there is no fault of this id")
)

// Add lays a fault; one without an id gets one.
func (s *Set) Add(f Fault) (Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f.ID == "" {
		s.last++
		if id := "fault-" + strconv.Itoa(s.last); s.find(id) < 0 {
			f.ID = id
		}
	}
	if s.find(f.ID) >= 0 {
		return Hold{}, fmt.Errorf("add fault %s: %w", f.ID, ErrExists)
	}
	return s.put(f, len(s.faults))
}

// Put lays a fault in place of the one of its id, if there is one. Its counts
// begin anew.
func (s *Set) Put(f Fault) (Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(f.ID)
	if i < 0 {
		i = len(s.faults)
	}
	return s.put(f, i)
}

// put needs s.mu.
func (s *Set) put(f Fault, at int) (Hold, error) {
	if err := f.check(); err != nil {
		return Hold{}, err
	}
	h := &held{Hold: Hold{Fault: f}, draw: rand.New(rand.NewPCG(f.Seed, 0))}
	if at == len(s.faults) {
		s.faults = append(s.faults, h)
	} else {
		s.faults[at] = h
	}
	return h.Hold, nil
}

func (s *Set) find(id string) int {
	return slices.IndexFunc(s.faults, func(h *held) bool { return h.ID == id })
}

// Get gives a fault by its id.
func (s *Set) Get(id string) (Hold, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.find(id); i >= 0 {
		return s.faults[i].Hold, nil
	}
	return Hold{}, fmt.Errorf("get fault %s: %w", id, ErrUnknown)
}

// Remove takes a fault away.
func (s *Set) Remove(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(id)
	if i < 0 {
		return fmt.Errorf("remove fault %s: %w", id, ErrUnknown)
	}
	s.faults = slices.Delete(s.faults, i, i+1)
	return nil
}

// Clear takes all faults away, and forgets what was seen.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	clear(s.seen)
}

// List gives the faults in the order in which they were laid, and what was seen
// since the begin or the last Clear, sorted.
func (s *Set) List() (faults []Hold, seen []Seen) {
	s.mu.Lock()
	defer s.mu.Unlock()
	faults, seen = []Hold{}, []Seen{}
	for _, h := range s.faults {
		faults = append(faults, h.Hold)
	}
	for m, n := range s.seen {
		seen = append(seen, Seen{On: m.on, Match: m.Match, Count: n})
	}
	slices.SortFunc(seen, func(a, b Seen) int {
		return cmp.Compare(a.On+a.Match.String(), b.On+b.Match.String())
	})
	return faults, seen
}

// Meet counts a moment, of which at tells everything, and gives the fault that
// is met there: the first one that is due; nil is none. To kill needs a process
// that can be killed, and to interrupt a spot machine: able says that there is one.
func (s *Set) Meet(on string, at Match, able bool) *Fault {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := at
	kept.Call = 0 // or each would be an entry of its own
	s.seen[moment{on, kept}]++
	var met *held
	for _, h := range s.faults {
		if h.On != on || (h.Do == Kill || h.Do == Interrupt) && !able || !h.Match.matches(at) {
			continue
		}
		if h.due() && met == nil {
			h.Hits++
			met = h
		}
	}
	if met == nil {
		return nil
	}
	s.log.Warn("fault is met", "fault", met.ID, "on", on, "do", met.Do, "after", met.After, "hit", met.Hits, "at", at.String())
	f := met.Fault
	return &f
}

// due counts a moment that matches, and tells whether the fault is met there.
func (h *held) due() bool {
	h.Matched++
	drawn := h.Rate == 0 || h.draw.Float64() < h.Rate // every time, so that a moment's draw does not hang on others
	return drawn && h.Matched > h.Skip && (h.Count == 0 || h.Hits < h.Count)
}

func (m Match) matches(at Match) bool {
	return (m.Call == 0 || m.Call == at.Call) &&
		glob(m.Source, at.Source) && glob(m.DetailType, at.DetailType) && glob(m.Rule, at.Rule) &&
		glob(m.Service, at.Service) && glob(m.Operation, at.Operation) && glob(m.Caller, at.Caller) &&
		glob(m.Function, at.Function) && glob(m.Kind, at.Kind) && glob(m.Job, at.Job)
}

// String is m as JSON.
func (m Match) String() string {
	raw, _ := json.Marshal(m) // texts and a number
	return string(raw)
}

// glob reports whether text is what pattern says; "" says nothing, and * stands
// for any characters.
func glob(pattern, text string) bool {
	if pattern == "" {
		return true
	}
	// The place after the last * and the text it has been given so far.
	star, from, p, t := -1, 0, 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p++
			t++
		case star >= 0:
			from++
			p, t = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// throttled are the errors of the services that do not throttle by a
// ThrottlingException.
var throttled = map[string]wire.Error{
	"s3":             {Code: "SlowDown", Status: http.StatusServiceUnavailable, Message: "Please reduce your request rate."},
	"lambda":         {Code: "TooManyRequestsException", Status: http.StatusTooManyRequests, Message: "Rate Exceeded."},
	"sns":            {Code: "Throttling", Status: http.StatusBadRequest, Message: "Rate exceeded"},
	"sqs":            {Code: "RequestThrottled", Status: http.StatusBadRequest, Message: "Rate exceeded"},
	"iam":            {Code: "Throttling", Status: http.StatusBadRequest, Message: "Rate exceeded"},
	"sts":            {Code: "Throttling", Status: http.StatusBadRequest, Message: "Rate exceeded"},
	"cloudformation": {Code: "Throttling", Status: http.StatusBadRequest, Message: "Rate exceeded"},
}

// internal are the errors of the services whose internal error has another name
// than InternalFailure.
var internal = map[string]wire.Error{
	"s3":     {Code: "InternalError", Message: "We encountered an internal error. Please try again."},
	"lambda": {Code: "ServiceException", Message: "An error occurred and the request cannot be processed."},
}

// Err is what a call of a service gets that meets the fault, by throttle or fail.
func (f *Fault) Err(service string) *wire.Error {
	if f.Do == Throttle {
		e, ok := throttled[service]
		if !ok {
			e = wire.Error{Code: "ThrottlingException", Status: http.StatusBadRequest, Message: "Rate exceeded"}
		}
		return &e
	}
	e, ok := internal[service]
	if !ok {
		e = wire.Error{Code: "InternalFailure", Message: "The request processing has failed because of an unknown error, exception or failure."}
	}
	e.Status = http.StatusInternalServerError
	if f.Code != "" {
		e = wire.Error{Code: f.Code, Status: http.StatusBadRequest, Message: "The fault " + f.ID + " was met."}
	}
	e.Status = cmp.Or(f.Status, e.Status)
	e.Message = cmp.Or(f.Message, e.Message)
	return &e
}
