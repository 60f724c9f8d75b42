package logs

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// The bounds of PutLogEvents and of a page.
const (
	eventOverhead = 26 // bytes that AWS adds to each event's size
	maxPutBytes   = 1 << 20
	maxPage       = 10_000
	maxPageBytes  = 1 << 20
	hour          = int64(3_600_000) // ms
)

func (s *Logs) putEvents(_ context.Context, in *cwl.PutLogEventsInput) (*cwl.PutLogEventsOutput, error) {
	size, last := 0, int64(math.MinInt64)
	for _, e := range in.LogEvents {
		if *e.Timestamp < last {
			return nil, invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
		last = *e.Timestamp
		size += len(*e.Message) + eventOverhead
	}
	if size > maxPutBytes {
		return nil, invalid("Upload too large: %d bytes exceeds limit of %d", size, maxPutBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.stream(in.LogStreamName, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	times, messages, rejected := s.accept(st, in.LogEvents)
	if err := s.append(st, times, messages); err != nil {
		return nil, err
	}
	if err := s.flush(); err != nil {
		return nil, err
	}
	return &cwl.PutLogEventsOutput{NextSequenceToken: aws.String(sequenceToken(st)), RejectedLogEventsInfo: rejected}, nil
}

// accept sorts out the events that AWS does not take: older than 14 days or
// than the group keeps, or more than two hours in the future.
func (s *Logs) accept(st *stream, events []types.InputLogEvent) (times []int64, messages []string, rejected *types.RejectedLogEventsInfo) {
	now := s.o.Clock.Now().UnixMilli()
	expired := s.oldest(s.byName[st.Group])
	for i, e := range events {
		info := types.RejectedLogEventsInfo{}
		if rejected != nil {
			info = *rejected
		}
		switch t := *e.Timestamp; {
		case t < expired:
			info.ExpiredLogEventEndIndex = aws.Int32(int32(i + 1))
		case t < now-14*24*hour:
			info.TooOldLogEventEndIndex = aws.Int32(int32(i + 1))
		case t > now+2*hour:
			if info.TooNewLogEventStartIndex == nil {
				info.TooNewLogEventStartIndex = aws.Int32(int32(i))
			}
		default:
			times = append(times, t)
			messages = append(messages, *e.Message)
			continue
		}
		rejected = &info
	}
	return times, messages, rejected
}

// sequenceToken is what old clients want; nobody checks it any more.
func sequenceToken(st *stream) string {
	n := 0
	if k := len(st.Chunks); k > 0 {
		n = st.Chunks[k-1].No<<20 + st.Chunks[k-1].Events
	}
	return fmt.Sprintf("%056d", n)
}

// window turns the optional bounds of a request into [from, to).
func window(from, to *int64) (int64, int64) {
	lo, hi := int64(0), int64(math.MaxInt64)
	if from != nil {
		lo = *from
	}
	if to != nil {
		hi = *to
	}
	return lo, hi
}

func (s *Logs) getEvents(_ context.Context, in *cwl.GetLogEventsInput) (*cwl.GetLogEventsOutput, error) {
	limit := maxPage
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if in.LogGroupName != nil && in.LogGroupIdentifier != nil {
		return nil, errBothNames
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.stream(in.LogStreamName, in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	from, to := window(in.StartTime, in.EndTime)
	all, err := s.read(st, from, to)
	if err != nil {
		return nil, err
	}
	lo, hi, err := page(all, limit, aws.ToBool(in.StartFromHead), in.NextToken)
	if err != nil {
		return nil, err
	}
	out := &cwl.GetLogEventsOutput{Events: []types.OutputLogEvent{}, NextForwardToken: aws.String(fmt.Sprintf("f/%056d/s", hi)), NextBackwardToken: aws.String(fmt.Sprintf("b/%056d/s", lo))}
	for _, e := range all[lo:hi] {
		out.Events = append(out.Events, types.OutputLogEvent{Timestamp: aws.Int64(e.time), IngestionTime: aws.Int64(e.ingested), Message: aws.String(e.message)})
	}
	return out, nil
}

// page finds the events of one answer: after a forward token, before a
// backward one, else the first or the last. At an end the token stays the same.
func page(all []logEvent, limit int, head bool, token *string) (lo, hi int, err error) {
	forward := head
	lo, hi = 0, len(all)
	if token != nil {
		parts := strings.Split(*token, "/")
		n := -1
		if len(parts) == 3 {
			n, err = strconv.Atoi(parts[1])
		}
		if err != nil || n < 0 || parts[0] != "f" && parts[0] != "b" {
			return 0, 0, invalid("The specified nextToken is invalid.")
		}
		n = min(n, len(all))
		if forward = parts[0] == "f"; forward {
			lo = n
		} else {
			hi = n
		}
	}
	bytes := 0
	if forward {
		end := lo
		for end < len(all) && end-lo < limit {
			if bytes += len(all[end].message) + eventOverhead; bytes > maxPageBytes && end > lo {
				break
			}
			end++
		}
		return lo, end, nil
	}
	begin := hi
	for begin > 0 && hi-begin < limit {
		if bytes += len(all[begin-1].message) + eventOverhead; bytes > maxPageBytes && begin < hi {
			break
		}
		begin--
	}
	return begin, hi, nil
}

func (s *Logs) filterEvents(_ context.Context, in *cwl.FilterLogEventsInput) (*cwl.FilterLogEventsOutput, error) {
	match, err := parseFilter(aws.ToString(in.FilterPattern))
	if err != nil {
		return nil, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != nil {
		return nil, invalid("logStreamNamePrefix and logStreamNames are mutually exclusive parameters.")
	}
	limit := int32(maxPage)
	if in.Limit != nil {
		limit = *in.Limit
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	streams, err := s.chosen(in)
	if err != nil {
		return nil, err
	}
	from, to := window(in.StartTime, in.EndTime)
	found := []types.FilteredLogEvent{}
	for _, st := range streams {
		all, err := s.read(st, from, to)
		if err != nil {
			return nil, err
		}
		for _, e := range all {
			if match(e.message) {
				found = append(found, types.FilteredLogEvent{LogStreamName: aws.String(e.stream), Timestamp: aws.Int64(e.time), IngestionTime: aws.Int64(e.ingested),
					Message: aws.String(e.message), EventId: aws.String(e.id)})
			}
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return *found[i].Timestamp < *found[j].Timestamp })
	out := &cwl.FilterLogEventsOutput{SearchedLogStreams: []types.SearchedLogStream{}}
	out.Events, out.NextToken, err = paged(found, func(e types.FilteredLogEvent) string { return *e.EventId }, &limit, maxPage, in.NextToken)
	return out, err
}

// chosen are the streams that a search names; needs s.mu.
func (s *Logs) chosen(in *cwl.FilterLogEventsInput) ([]*stream, error) {
	g, err := s.group(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	var out []*stream
	if len(in.LogStreamNames) > 0 {
		for _, name := range in.LogStreamNames {
			st, ok := g.streams[name]
			if !ok {
				return nil, wire.Errorf("ResourceNotFoundException", "The specified log stream does not exist.")
			}
			out = append(out, st)
		}
		return out, nil
	}
	for _, name := range slices.Sorted(maps.Keys(g.streams)) {
		if strings.HasPrefix(name, aws.ToString(in.LogStreamNamePrefix)) {
			out = append(out, g.streams[name])
		}
	}
	return out, nil
}
