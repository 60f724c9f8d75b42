package eventbridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/store"
)

// delivery is an event on its way to one target of one rule.
type delivery struct {
	ID       string
	Rule     string // name
	RuleARN  string
	Target   types.Target
	Event    json.RawMessage
	Received time.Time // when the event came in: its age counts from here
	Due      time.Time // the next attempt
	Attempts int       // made so far
	Code     string    `json:",omitempty"` // of the last failure
	Message  string    `json:",omitempty"`

	slot string
}

// slot is a place in the journal's table. Places are used again, so that the
// end of one delivery and the begin of others are one write to the disk.
type slot struct {
	Delivery *delivery `json:",omitempty"`
}

var errClosed = errors.New("event delivery has ended")

// journal keeps deliveries on disk. Changes that come while the disk is busy
// are written together.
type journal struct {
	table *store.Table[slot]
	log   *slog.Logger

	mu      sync.Mutex
	changed map[string]slot
	waiting []chan error
	free    []string
	slots   int
	loaded  []*delivery
	closed  bool

	wake chan struct{}
	done chan struct{}
}

func openJournal(st *store.Store, log *slog.Logger) (*journal, error) {
	table, err := store.NewTable[slot](st, "events/deliveries")
	if err != nil {
		return nil, err
	}
	j := &journal{table: table, log: log, changed: map[string]slot{}, wake: make(chan struct{}, 1), done: make(chan struct{})}
	err = table.Scan("", func(key string, s slot) bool {
		j.slots++
		if s.Delivery == nil {
			j.free = append(j.free, key)
			return true
		}
		s.Delivery.slot = key
		j.loaded = append(j.loaded, s.Delivery)
		return true
	})
	if err != nil {
		return nil, err
	}
	go j.run()
	return j, nil
}

// pending are the deliveries found at the start, the oldest first; once.
func (j *journal) pending() []*delivery {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := j.loaded
	j.loaded = nil
	sort.SliceStable(out, func(i, k int) bool { return out[i].Received.Before(out[k].Received) })
	return out
}

// add takes deliveries in; the result comes when they are on disk.
func (j *journal) add(deliveries []*delivery) <-chan error {
	result := make(chan error, 1)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		result <- errClosed
		return result
	}
	for _, d := range deliveries {
		if n := len(j.free); n > 0 {
			d.slot, j.free = j.free[n-1], j.free[:n-1]
		} else {
			d.slot = fmt.Sprintf("%08d", j.slots)
			j.slots++
		}
		kept := *d
		j.changed[d.slot] = slot{&kept}
	}
	j.waiting = append(j.waiting, result)
	j.poke()
	return result
}

// update keeps a delivery's state, soon.
func (j *journal) update(d *delivery) {
	j.mu.Lock()
	defer j.mu.Unlock()
	kept := *d
	j.changed[d.slot] = slot{&kept}
	j.poke()
}

// remove forgets a delivery, soon.
func (j *journal) remove(d *delivery) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.changed[d.slot] = slot{}
	j.free = append(j.free, d.slot)
	j.poke()
}

func (j *journal) poke() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *journal) run() {
	defer close(j.done)
	for range j.wake {
		j.mu.Lock()
		changed, waiting, closed := j.changed, j.waiting, j.closed
		j.changed, j.waiting = map[string]slot{}, nil
		j.mu.Unlock()
		var err error
		if len(changed) > 0 {
			err = j.table.PutAll(changed)
		}
		if err != nil {
			j.log.Error("write deliveries", "error", err)
			j.restore(changed, closed)
		}
		for _, w := range waiting {
			w <- err
		}
		if closed {
			return
		}
	}
}

// writeAgain is how long the journal waits after a write that failed.
const writeAgain = time.Second

// restore takes back what could not be written, to be written later. What was
// changed since then stands.
func (j *journal) restore(changed map[string]slot, closed bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for key, s := range changed {
		if _, newer := j.changed[key]; !newer {
			j.changed[key] = s
		}
	}
	if !closed {
		clock.Real{}.AfterFunc(writeAgain, j.poke) // the machine's time: this is about the disk
	}
}

func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.poke()
	j.mu.Unlock()
	<-j.done
	return nil
}
