package stepfunctions

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/millrace-ml/millrace/localcloud/asl"
	"github.com/millrace-ml/millrace/localcloud/clock"
)

// starting holds the record of an execution until its first update is kept.
func (s *StepFunctions) starting(e execution) { s.news.begin(e) }

func (s *StepFunctions) started(arn string) { s.news.begun(arn) }

// keep writes an update's events and the execution's record in one transaction.
func (s *StepFunctions) keep(u asl.Update) error {
	first := len(u.Events) > 0 && (u.Events[0].ID == 1 || u.Events[0].Type == asl.ExecutionRedriven)
	e, ok := s.news.beginning(u.Info.ARN)
	if !first || !ok {
		var err error
		if e, err = s.execution(u.Info.ARN); err != nil {
			return err
		}
	}
	e.Status, e.Output, e.Failure, e.Snapshot = u.Status, u.Output, u.Failure, u.Snapshot
	if n := len(u.Events); n > 0 {
		e.LastEvent = u.Events[n-1].ID
	}
	if u.Status != asl.Running {
		e.Stopped = u.At
	}
	record, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode execution %s: %w", u.Info.ARN, err)
	}
	values := map[string]rawJSON{"e/" + u.Info.ARN: record}
	if len(u.Events) > 0 {
		batch, err := json.Marshal(u.Events)
		if err != nil {
			return fmt.Errorf("encode history of %s: %w", u.Info.ARN, err)
		}
		values[fmt.Sprintf("h/%s/%08d", u.Info.ARN, u.Events[0].ID)] = batch
	}
	if err := s.executions.PutAll(values); err != nil {
		return err
	}
	if first {
		s.started(u.Info.ARN)
		begun := e
		begun.Status, begun.Output, begun.Failure = asl.Running, "", nil
		s.news.add(begun)
	}
	if e.Status != asl.Running {
		s.news.add(e)
		s.Changed(u.Info.ARN)
	}
	return nil
}

// announcer tells EventBridge how executions stand, in order and apart from
// the engine, and marks ends as told: an end that was not told before a crash
// is told by the next process.
type announcer struct {
	s      *StepFunctions
	mu     sync.Mutex
	wake   *sync.Cond
	queue  []execution
	busy   func() // lets go of the clock when the queue is told
	start  map[string]execution
	told   []execution // ends, not yet marked
	stop   func() bool // the timer that marks them
	closed bool
	done   chan struct{}
}

func newAnnouncer(s *StepFunctions) *announcer {
	a := &announcer{s: s, start: map[string]execution{}, done: make(chan struct{})}
	a.wake = sync.NewCond(&a.mu)
	go a.run()
	return a
}

func (a *announcer) begin(e execution) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.start[e.Info.ARN] = e
}

func (a *announcer) begun(arn string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.start, arn)
}

func (a *announcer) beginning(arn string) (execution, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.start[arn]
	return e, ok
}

func (a *announcer) add(e execution) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queue = append(a.queue, e); a.busy == nil {
		_, a.busy = clock.Hold(context.Background(), a.s.o.Clock, "changes of executions are told")
	}
	a.wake.Signal()
}

// close tells what is still queued, then ends.
func (a *announcer) close() {
	a.mu.Lock()
	a.closed = true
	a.wake.Signal()
	a.mu.Unlock()
	<-a.done
}

func (a *announcer) run() {
	defer close(a.done)
	for {
		a.mu.Lock()
		for len(a.queue) == 0 && !a.closed {
			a.wake.Wait()
		}
		batch, told := a.queue, a.busy
		a.queue, a.busy = nil, nil
		a.mu.Unlock()
		if len(batch) == 0 {
			a.mark()
			return
		}
		for _, e := range batch {
			a.s.emit(e)
			if e.Status != asl.Running {
				a.tell(e)
			}
		}
		told()
	}
}

// markAfter is how long ends that were told wait to be marked together; one
// that is not marked is told again after a crash.
const markAfter = time.Second

// tell notes an end that was told, and takes a deleted machine away.
func (a *announcer) tell(e execution) {
	a.mu.Lock()
	a.told = append(a.told, e)
	if len(a.told) == 1 {
		// The machine's time, not the cloud's clock: this is about the disk.
		a.stop = clock.Real{}.AfterFunc(markAfter, a.mark)
	}
	a.mu.Unlock()
	if err := a.s.removeIfIdle(e.Info.MachineARN); err != nil {
		a.s.o.Log.Error("deleted state machine not removed", "state_machine_arn", e.Info.MachineARN, "error", err)
	}
}

// mark keeps that ends were told.
func (a *announcer) mark() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.mu.Lock()
	told := a.told
	a.told = nil
	if a.stop != nil {
		a.stop()
	}
	a.mu.Unlock()
	marked := map[string]rawJSON{}
	for _, e := range told {
		now, err := a.s.execution(e.Info.ARN)
		if err != nil || now.Status == asl.Running || now.RedriveCount != e.RedriveCount {
			continue // its state machine was deleted, or it was redriven
		}
		now.Announced = true
		if raw, err := json.Marshal(now); err == nil {
			marked["e/"+e.Info.ARN] = raw
		}
	}
	if len(marked) == 0 {
		return
	}
	if err := a.s.executions.PutAll(marked); err != nil {
		a.s.o.Log.Error("executions' ends are told but not marked", "error", err)
	}
}

// maxEventData is how many bytes of input and output an event carries.
const maxEventData = 248 * 1024

type included struct {
	Included bool `json:"included"`
}

// statusChange is the detail of "Step Functions Execution Status Change".
type statusChange struct {
	ExecutionArn           string    `json:"executionArn"`
	StateMachineArn        string    `json:"stateMachineArn"`
	Name                   string    `json:"name"`
	Status                 string    `json:"status"`
	StartDate              int64     `json:"startDate"` // epoch milliseconds
	StopDate               *int64    `json:"stopDate"`
	Input                  *string   `json:"input"`
	Output                 *string   `json:"output"`
	StateMachineVersionArn *string   `json:"stateMachineVersionArn"`
	StateMachineAliasArn   *string   `json:"stateMachineAliasArn"`
	RedriveCount           int32     `json:"redriveCount"`
	RedriveDate            *int64    `json:"redriveDate"`
	RedriveStatus          string    `json:"redriveStatus"`
	RedriveStatusReason    *string   `json:"redriveStatusReason"`
	InputDetails           *included `json:"inputDetails"`
	OutputDetails          *included `json:"outputDetails"`
	Error                  *string   `json:"error"`
	Cause                  *string   `json:"cause"`
}

func (s *StepFunctions) emit(e execution) {
	d := statusChange{
		ExecutionArn: e.Info.ARN, StateMachineArn: e.Info.MachineARN, Name: e.Info.Name, Status: string(e.Status),
		StartDate: e.Info.Started.UnixMilli(), RedriveCount: e.RedriveCount, Input: &e.Input, InputDetails: &included{true},
		StateMachineVersionArn: notEmpty(e.Version), StateMachineAliasArn: notEmpty(e.Alias),
	}
	status, why := s.redriveStatus(e)
	d.RedriveStatus, d.RedriveStatusReason = string(status), why
	if at := e.redriven(); at != nil {
		millis := at.UnixMilli()
		d.RedriveDate = &millis
	}
	if e.Status != asl.Running {
		stopped := e.Stopped.UnixMilli()
		d.StopDate = &stopped
	}
	if e.Status == asl.Succeeded {
		d.Output, d.OutputDetails = &e.Output, &included{true}
	}
	if f := e.Failure; f != nil {
		d.Error, d.Cause = notEmpty(f.Error), notEmpty(f.Cause)
	}
	if escaped(e.Input)+escaped(e.Output) > maxEventData {
		d.Input, d.InputDetails = nil, &included{false}
		if escaped(e.Output) > maxEventData {
			d.Output, d.OutputDetails = nil, &included{false}
		}
	}
	s.o.Emit(context.Background(), "aws.states", "Step Functions Execution Status Change", []string{e.Info.ARN}, d)
}

// escaped is the length of a text inside a JSON string.
func escaped(text string) int {
	raw, err := json.Marshal(text)
	if err != nil {
		return len(text)
	}
	return len(raw)
}
