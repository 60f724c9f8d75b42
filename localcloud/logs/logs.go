// Package logs is Amazon CloudWatch Logs in the local cloud: log groups,
// streams and events, and a writer through which other services log.
//
// Events are kept in chunks of about 64 KiB. A stream keeps a bounded amount
// and forgets its oldest chunks beyond that.
package logs

import (
	"fmt"
	"sort"
	"sync"
	"time"

	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// The bounds of what is kept.
const (
	chunkBytes  = 64 << 10
	streamBytes = 32 << 20 // of one stream: its oldest chunks go beyond that
)

// Logs is the service.
type Logs struct {
	o       service.Base
	groups  *store.Table[groupRecord]
	streams *store.Table[streamRecord]
	chunks  *store.Table[chunk]

	mu     sync.Mutex
	byName map[string]*group
	lastID int64
	// Streams with events that are not on disk yet, and the timer that will write them.
	dirty  map[*stream]bool
	timer  *time.Timer
	closed bool
}

// groupRecord is a log group as kept.
type groupRecord struct {
	Name      string
	Created   time.Time
	Retention int32             `json:",omitempty"` // days; 0 is for ever
	Class     string            `json:",omitempty"`
	Tags      map[string]string `json:",omitempty"`
}

// streamRecord is a log stream as kept, with what its chunks hold.
type streamRecord struct {
	Group, Name string
	ID          int64 // names its chunks
	Created     time.Time
	Ingested    int64 `json:",omitempty"` // when the last event came, epoch ms
	Chunks      []span
}

// span is what a chunk holds.
type span struct {
	No          int
	Events      int
	Bytes       int64
	First, Last int64 // epoch ms
}

// chunk is some events of a stream, in the order in which they came.
type chunk struct {
	Times    []int64 // epoch ms
	Ingested []int64 // epoch ms
	Messages []string
}

// group and stream are guarded by Logs.mu.
type group struct {
	groupRecord
	streams map[string]*stream
}

type stream struct {
	streamRecord
	last chunk // the chunk that is being filled: the content of the last span
}

// New opens the service on its state.
func New(o service.Base) (*Logs, error) {
	s := &Logs{o: o, byName: map[string]*group{}, dirty: map[*stream]bool{}}
	var err error
	if s.groups, err = store.NewTable[groupRecord](o.Store, "logs/groups"); err != nil {
		return nil, err
	}
	if s.streams, err = store.NewTable[streamRecord](o.Store, "logs/streams"); err != nil {
		return nil, err
	}
	if s.chunks, err = store.NewTable[chunk](o.Store, "logs/chunks"); err != nil {
		return nil, err
	}
	return s, s.load()
}

func (s *Logs) load() error {
	err := s.groups.Scan("", func(_ string, r groupRecord) bool {
		s.byName[r.Name] = &group{groupRecord: r, streams: map[string]*stream{}}
		return true
	})
	if err != nil {
		return err
	}
	var all []*stream
	err = s.streams.Scan("", func(_ string, r streamRecord) bool {
		s.lastID = max(s.lastID, r.ID)
		if g := s.byName[r.Group]; g != nil {
			st := &stream{streamRecord: r}
			g.streams[r.Name] = st
			all = append(all, st)
		}
		return true
	})
	if err != nil {
		return err
	}
	for _, st := range all {
		if err := s.recover(st); err != nil {
			return err
		}
	}
	return nil
}

// recover reads the chunks that are newer than the stream's record: a kill may
// have come between the two writes.
func (s *Logs) recover(st *stream) error {
	no := 0
	if n := len(st.Chunks); n > 0 {
		no = st.Chunks[n-1].No
		st.Chunks = st.Chunks[:n-1]
	}
	for ; ; no++ {
		c, ok, err := s.chunks.Get(st.chunkKey(no))
		if err != nil {
			return err
		}
		if !ok {
			return nil
		}
		st.last = c
		st.Chunks = append(st.Chunks, c.span(no))
		if n := len(c.Ingested); n > 0 {
			st.Ingested = max(st.Ingested, c.Ingested[n-1])
		}
	}
}

func (c *chunk) span(no int) span {
	sp := span{No: no, Events: len(c.Times)}
	for i, t := range c.Times {
		if i == 0 || t < sp.First {
			sp.First = t
		}
		sp.Last = max(sp.Last, t)
		sp.Bytes += int64(len(c.Messages[i])) + eventOverhead
	}
	return sp
}

func (st *stream) chunkKey(no int) string { return fmt.Sprintf("%012d/%08d", st.ID, no) }

// append adds events to a stream in memory; needs s.mu. flush writes them.
func (s *Logs) append(st *stream, times []int64, messages []string) error {
	now := s.o.Clock.Now().UnixMilli()
	st.Ingested = now
	for i, t := range times {
		n := len(st.Chunks)
		if n == 0 || st.Chunks[n-1].Bytes >= chunkBytes {
			if n > 0 && s.dirty[st] {
				if err := s.flush(st); err != nil { // the full chunk leaves memory
					return err
				}
				n = len(st.Chunks)
			}
			no := 0
			if n > 0 {
				no = st.Chunks[n-1].No + 1
			}
			st.last = chunk{}
			st.Chunks = append(st.Chunks, span{No: no, First: t, Last: t})
			n++
		}
		sp := &st.Chunks[n-1]
		sp.Events++
		sp.Bytes += int64(len(messages[i])) + eventOverhead
		sp.First, sp.Last = min(sp.First, t), max(sp.Last, t)
		st.last.Times = append(st.last.Times, t)
		st.last.Ingested = append(st.last.Ingested, now)
		st.last.Messages = append(st.last.Messages, messages[i])
		s.dirty[st] = true
	}
	return nil
}

// flush writes the streams that changed; needs s.mu. What cannot be written
// stays to be written.
func (s *Logs) flush(streams ...*stream) error {
	if len(streams) == 0 {
		for st := range s.dirty {
			streams = append(streams, st)
		}
	}
	if len(streams) == 0 {
		return nil
	}
	chunks, records := map[string]chunk{}, map[string]streamRecord{}
	for _, st := range streams {
		if len(st.Chunks) == 0 {
			continue
		}
		if err := s.trim(st); err != nil {
			return err
		}
		chunks[st.chunkKey(st.Chunks[len(st.Chunks)-1].No)] = st.last
		records[st.key()] = st.streamRecord
	}
	if err := s.chunks.PutAll(chunks); err != nil {
		return err
	}
	if err := s.streams.PutAll(records); err != nil {
		return err
	}
	for _, st := range streams {
		delete(s.dirty, st)
	}
	return nil
}

// trim forgets the oldest chunks of a stream: those beyond its size, and those
// beyond its group's retention.
func (s *Logs) trim(st *stream) error {
	total := st.bytes()
	oldest := s.oldest(s.byName[st.Group])
	for len(st.Chunks) > 1 && (total > streamBytes || st.Chunks[0].Last < oldest) {
		total -= st.Chunks[0].Bytes
		if err := s.chunks.Delete(st.chunkKey(st.Chunks[0].No)); err != nil {
			return err
		}
		st.Chunks = append([]span(nil), st.Chunks[1:]...)
	}
	return nil
}

// oldest is the time before which a group's events have expired, epoch ms.
func (s *Logs) oldest(g *group) int64 {
	if g == nil || g.Retention == 0 {
		return 0
	}
	return s.o.Clock.Now().AddDate(0, 0, -int(g.Retention)).UnixMilli()
}

func (st *stream) key() string { return st.Group + "\x00" + st.Name }

func (st *stream) bytes() int64 {
	var n int64
	for _, sp := range st.Chunks {
		n += sp.Bytes
	}
	return n
}

// logEvent is one event as read.
type logEvent struct {
	stream         string
	time, ingested int64
	message        string
	id             string
}

// read is a stream's events within [from, to), by time; needs s.mu.
func (s *Logs) read(st *stream, from, to int64) ([]logEvent, error) {
	from = max(from, s.oldest(s.byName[st.Group]))
	var out []logEvent
	for i, sp := range st.Chunks {
		if sp.Last < from || sp.First >= to {
			continue
		}
		c := st.last
		if i < len(st.Chunks)-1 {
			var err error
			if c, _, err = s.chunks.Get(st.chunkKey(sp.No)); err != nil {
				return nil, err
			}
		}
		for j, t := range c.Times {
			if t >= from && t < to {
				out = append(out, logEvent{stream: st.Name, time: t, ingested: c.Ingested[j], message: c.Messages[j],
					id: fmt.Sprintf("%020d%012d%08d%08d", t, st.ID, sp.No, j)})
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].time < out[j].time })
	return out, nil
}

// Close writes what is not on disk yet.
func (s *Logs) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	return s.flush()
}

// Wire is the service's table of operations.
func (s *Logs) Wire() *wire.Service {
	w := &wire.Service{Name: "logs", Protocol: wire.JSON11, Target: "Logs_20140328", Lower: true, Authorize: s.o.Authorize, Log: s.o.Log, Model: model.Of("logs")}
	group := func(names ...*string) []string {
		for _, n := range names {
			if n != nil {
				return []string{s.arn(groupName(*n)) + ":*"}
			}
		}
		return nil
	}
	w.Add(
		wire.On(wire.Op("CreateLogGroup", s.createGroup), func(in *cwl.CreateLogGroupInput) []string { return group(in.LogGroupName) }),
		wire.On(wire.Op("DeleteLogGroup", s.deleteGroup), func(in *cwl.DeleteLogGroupInput) []string { return group(in.LogGroupName) }),
		wire.Op("DescribeLogGroups", s.describeGroups),
		wire.On(wire.Op("PutRetentionPolicy", s.putRetention), func(in *cwl.PutRetentionPolicyInput) []string { return group(in.LogGroupName) }),
		wire.On(wire.Op("DeleteRetentionPolicy", s.deleteRetention), func(in *cwl.DeleteRetentionPolicyInput) []string { return group(in.LogGroupName) }),
		wire.On(wire.Op("CreateLogStream", s.createStream), func(in *cwl.CreateLogStreamInput) []string {
			return streamResource(group(in.LogGroupName), in.LogStreamName)
		}),
		wire.On(wire.Op("DeleteLogStream", s.deleteStream), func(in *cwl.DeleteLogStreamInput) []string {
			return streamResource(group(in.LogGroupName), in.LogStreamName)
		}),
		wire.On(wire.Op("DescribeLogStreams", s.describeStreams), func(in *cwl.DescribeLogStreamsInput) []string {
			return group(in.LogGroupName, in.LogGroupIdentifier)
		}),
		wire.On(wire.Op("PutLogEvents", s.putEvents), func(in *cwl.PutLogEventsInput) []string {
			return streamResource(group(in.LogGroupName), in.LogStreamName)
		}),
		wire.On(wire.Op("GetLogEvents", s.getEvents), func(in *cwl.GetLogEventsInput) []string {
			return streamResource(group(in.LogGroupName, in.LogGroupIdentifier), in.LogStreamName)
		}),
		wire.On(wire.Op("FilterLogEvents", s.filterEvents), func(in *cwl.FilterLogEventsInput) []string {
			return group(in.LogGroupName, in.LogGroupIdentifier)
		}),
		wire.On(wire.Op("TagResource", s.tagResource), func(in *cwl.TagResourceInput) []string { return group(in.ResourceArn) }),
		wire.On(wire.Op("UntagResource", s.untagResource), func(in *cwl.UntagResourceInput) []string { return group(in.ResourceArn) }),
		wire.On(wire.Op("ListTagsForResource", s.listTags), func(in *cwl.ListTagsForResourceInput) []string { return group(in.ResourceArn) }),
		wire.On(wire.Op("TagLogGroup", s.tagGroup), func(in *cwl.TagLogGroupInput) []string { return group(in.LogGroupName) }),
		wire.On(wire.Op("UntagLogGroup", s.untagGroup), func(in *cwl.UntagLogGroupInput) []string { return group(in.LogGroupName) }),
		wire.On(wire.Op("ListTagsLogGroup", s.listGroupTags), func(in *cwl.ListTagsLogGroupInput) []string { return group(in.LogGroupName) }),
	)
	return w
}
