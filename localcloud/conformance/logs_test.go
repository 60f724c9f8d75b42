package conformance_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
)

const (
	logsAPI      = "https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_"
	filterSyntax = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html"
)

// group makes a log group with streams.
func (c *call) group(streams ...string) string {
	c.Helper()
	name := "/" + c.name()
	try(c.logs.CreateLogGroup(c.ctx, &cwl.CreateLogGroupInput{LogGroupName: &name})).ok(c)
	c.after(func(ctx context.Context) error {
		_, err := c.logs.DeleteLogGroup(ctx, &cwl.DeleteLogGroupInput{LogGroupName: &name})
		return err
	})
	for _, s := range streams {
		try(c.logs.CreateLogStream(c.ctx, &cwl.CreateLogStreamInput{LogGroupName: &name, LogStreamName: &s})).ok(c)
	}
	return name
}

// write puts messages a millisecond apart, the first an hour ago and offset later.
func (c *call) write(group, stream string, offset int, messages ...string) (at int64) {
	c.Helper()
	at = time.Now().Add(-time.Hour).Truncate(time.Hour).UnixMilli() + int64(offset)
	var events []types.InputLogEvent
	for i, m := range messages {
		events = append(events, types.InputLogEvent{Timestamp: aws.Int64(at + int64(i)), Message: aws.String(m)})
	}
	try(c.logs.PutLogEvents(c.ctx, &cwl.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream, LogEvents: events})).ok(c)
	return at
}

func texts(events []types.OutputLogEvent) string {
	var all []string
	for _, e := range events {
		all = append(all, *e.Message)
	}
	return strings.Join(all, " ")
}

// found are the messages that a filter finds, once there are as many as wanted:
// on an account a search sees them some seconds late.
func (c *call) found(in *cwl.FilterLogEventsInput, want string) {
	c.Helper()
	got := ""
	for tries := 0; tries < 1 || *account != "" && tries < 20 && got != want; tries++ {
		var all []string
		pages := cwl.NewFilterLogEventsPaginator(c.logs, in)
		for pages.HasMorePages() {
			for _, e := range try(pages.NextPage(c.ctx)).ok(c).Events {
				all = append(all, *e.Message)
			}
		}
		if got = strings.Join(all, " "); got != want && *account != "" {
			time.Sleep(3 * time.Second)
		}
	}
	equal(c, str(in.FilterPattern), got, want)
}

var logsBehaviours = []behaviour{
	{id: "logs.delete-stream", says: "a deleted stream is gone with its events, and deleting it again is ResourceNotFoundException", source: logsAPI + "DeleteLogStream.html", run: func(c *call) {
		group := c.group("a", "b")
		drop := func() result[*cwl.DeleteLogStreamOutput] {
			return try(c.logs.DeleteLogStream(c.ctx, &cwl.DeleteLogStreamInput{LogGroupName: &group, LogStreamName: ref("a")}))
		}
		drop().ok(c)
		streams := try(c.logs.DescribeLogStreams(c.ctx, &cwl.DescribeLogStreamsInput{LogGroupName: &group})).ok(c).LogStreams
		if len(streams) != 1 || *streams[0].LogStreamName != "b" {
			c.Errorf("streams: %+v", streams)
		}
		drop().fails(c, 400, "ResourceNotFoundException", "The specified log stream does not exist.")
	}},
	{id: "logs.tags.group", says: "the older calls tag a group by its name, and the newer ones tell the same tags", source: logsAPI + "TagLogGroup.html", run: func(c *call) {
		group := c.group()
		//lint:ignore SA1019 older clients still call it, and AWS still answers
		try(c.logs.TagLogGroup(c.ctx, &cwl.TagLogGroupInput{LogGroupName: &group, Tags: map[string]string{"a": "1", "b": "2"}})).ok(c)
		//lint:ignore SA1019 older clients still call it, and AWS still answers
		try(c.logs.UntagLogGroup(c.ctx, &cwl.UntagLogGroupInput{LogGroupName: &group, Tags: []string{"a"}})).ok(c)
		//lint:ignore SA1019 older clients still call it, and AWS still answers
		older := try(c.logs.ListTagsLogGroup(c.ctx, &cwl.ListTagsLogGroupInput{LogGroupName: &group})).ok(c).Tags
		newer := try(c.logs.ListTagsForResource(c.ctx, &cwl.ListTagsForResourceInput{ResourceArn: ref(c.arn("logs", "log-group:"+group))})).ok(c).Tags
		equal(c, "tags", []any{older, newer}, "[map[b:2] map[b:2]]")
	}},
	{id: "logs.create-group.exists", says: "a group of a name that is taken is ResourceAlreadyExistsException", source: logsAPI + "CreateLogGroup.html", run: func(c *call) {
		try(c.logs.CreateLogGroup(c.ctx, &cwl.CreateLogGroupInput{LogGroupName: ref(c.group())})).fails(c, 400, "ResourceAlreadyExistsException", "The specified log group already exists")
	}},
	{id: "logs.create-group.name", says: "a group's name has letters, digits and . - _ / # alone", source: logsAPI + "CreateLogGroup.html", run: func(c *call) {
		try(c.logs.CreateLogGroup(c.ctx, &cwl.CreateLogGroupInput{LogGroupName: ref("a b")})).fails(c, 400, "InvalidParameterException", "failed to satisfy constraint")
	}},
	{id: "logs.delete-group.missing", says: "a group that is not there is ResourceNotFoundException", source: logsAPI + "DeleteLogGroup.html", run: func(c *call) {
		try(c.logs.DeleteLogGroup(c.ctx, &cwl.DeleteLogGroupInput{LogGroupName: ref(c.name())})).fails(c, 400, "ResourceNotFoundException", "The specified log group does not exist.")
	}},
	{id: "logs.describe-groups.prefix", says: "groups are listed by prefix, in the order of names, with both forms of their ARN", source: logsAPI + "LogGroup.html", run: func(c *call) {
		name := c.group()
		out := try(c.logs.DescribeLogGroups(c.ctx, &cwl.DescribeLogGroupsInput{LogGroupNamePrefix: &name})).ok(c)
		g := out.LogGroups[0]
		equal(c, "group", []string{str(g.LogGroupName), str(g.Arn), str(g.LogGroupArn), string(g.LogGroupClass)},
			[]string{name, c.arn("logs", "log-group:"+name+":*"), c.arn("logs", "log-group:"+name), "STANDARD"})
		if g.RetentionInDays != nil || g.CreationTime == nil {
			c.Errorf("group: %+v", g)
		}
	}},
	{id: "logs.describe-groups.both", says: "a prefix and a pattern exclude each other", source: recorded + "logs/test_logs_groups.snapshot.json", run: func(c *call) {
		try(c.logs.DescribeLogGroups(c.ctx, &cwl.DescribeLogGroupsInput{LogGroupNamePrefix: ref("a"), LogGroupNamePattern: ref("b")})).
			fails(c, 400, "InvalidParameterException", "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}},
	{id: "logs.describe-groups.pages", says: "groups come in pages, and one that is deleted between them moves none", source: logsAPI + "DescribeLogGroups.html", run: func(c *call) {
		prefix := "/" + c.name() + "-"
		for _, end := range []string{"a", "b", "c"} {
			name := prefix + end
			try(c.logs.CreateLogGroup(c.ctx, &cwl.CreateLogGroupInput{LogGroupName: &name})).ok(c)
			c.after(func(ctx context.Context) error {
				_, err := c.logs.DeleteLogGroup(ctx, &cwl.DeleteLogGroupInput{LogGroupName: &name})
				return err
			})
		}
		in := &cwl.DescribeLogGroupsInput{LogGroupNamePrefix: &prefix, Limit: aws.Int32(2)}
		first := try(c.logs.DescribeLogGroups(c.ctx, in)).ok(c)
		equal(c, "first", len(first.LogGroups), 2)
		try(c.logs.DeleteLogGroup(c.ctx, &cwl.DeleteLogGroupInput{LogGroupName: ref(prefix + "a")})).ok(c)
		in.NextToken = first.NextToken
		second := try(c.logs.DescribeLogGroups(c.ctx, in)).ok(c)
		if len(second.LogGroups) != 1 || *second.LogGroups[0].LogGroupName != prefix+"c" || second.NextToken != nil {
			c.Errorf("second page: %+v", second)
		}
	}},
	{id: "logs.put-retention", says: "retention is set, shown and taken away", source: logsAPI + "PutRetentionPolicy.html", run: func(c *call) {
		g := c.group()
		shown := func() int64 {
			return num(try(c.logs.DescribeLogGroups(c.ctx, &cwl.DescribeLogGroupsInput{LogGroupNamePrefix: &g})).ok(c).LogGroups[0].RetentionInDays)
		}
		try(c.logs.PutRetentionPolicy(c.ctx, &cwl.PutRetentionPolicyInput{LogGroupName: &g, RetentionInDays: aws.Int32(30)})).ok(c)
		equal(c, "set", shown(), 30)
		try(c.logs.DeleteRetentionPolicy(c.ctx, &cwl.DeleteRetentionPolicyInput{LogGroupName: &g})).ok(c)
		equal(c, "taken away", shown(), -1)
		try(c.logs.PutRetentionPolicy(c.ctx, &cwl.PutRetentionPolicyInput{LogGroupName: &g, RetentionInDays: aws.Int32(31)})).fails(c, 400, "InvalidParameterException")
	}},
	{id: "logs.create-stream.exists", says: "a stream of a name that is taken is ResourceAlreadyExistsException", source: logsAPI + "CreateLogStream.html", run: func(c *call) {
		g := c.group("s")
		try(c.logs.CreateLogStream(c.ctx, &cwl.CreateLogStreamInput{LogGroupName: &g, LogStreamName: ref("s")})).fails(c, 400, "ResourceAlreadyExistsException", "The specified log stream already exists")
	}},
	{id: "logs.describe-streams.order", says: "streams are listed by name, by prefix, or backwards", source: logsAPI + "DescribeLogStreams.html", run: func(c *call) {
		g := c.group("b/1", "a", "b/2")
		names := func(in cwl.DescribeLogStreamsInput) (all []string) {
			in.LogGroupName = &g
			for _, s := range try(c.logs.DescribeLogStreams(c.ctx, &in)).ok(c).LogStreams {
				all = append(all, *s.LogStreamName)
			}
			return all
		}
		equal(c, "names", names(cwl.DescribeLogStreamsInput{}), "[a b/1 b/2]")
		equal(c, "prefix", names(cwl.DescribeLogStreamsInput{LogStreamNamePrefix: ref("b/")}), "[b/1 b/2]")
		equal(c, "backwards", names(cwl.DescribeLogStreamsInput{Descending: aws.Bool(true)}), "[b/2 b/1 a]")
	}},
	{id: "logs.describe-streams.by-time", says: "the order by last event excludes a prefix", source: logsAPI + "DescribeLogStreams.html", run: func(c *call) {
		try(c.logs.DescribeLogStreams(c.ctx, &cwl.DescribeLogStreamsInput{LogGroupName: ref(c.group("s")), OrderBy: types.OrderByLastEventTime, LogStreamNamePrefix: ref("s")})).
			fails(c, 400, "InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
	}},
	{id: "logs.describe-streams.identifier", says: "a group is named by its ARN too, but not by both", source: recorded + "logs/test_logs_streams.snapshot.json", run: func(c *call) {
		g := c.group("s")
		arn := c.arn("logs", "log-group:"+g)
		equal(c, "streams", len(try(c.logs.DescribeLogStreams(c.ctx, &cwl.DescribeLogStreamsInput{LogGroupIdentifier: &arn})).ok(c).LogStreams), 1)
		try(c.logs.DescribeLogStreams(c.ctx, &cwl.DescribeLogStreamsInput{LogGroupIdentifier: &g, LogGroupName: &g})).fails(c, 400, "ValidationException", "LogGroup name and LogGroup ARN are mutually exclusive parameters.")
	}},
	{id: "logs.put-events.missing", says: "events for a stream that is not there are ResourceNotFoundException", source: recorded + "logs/test_logs_events.snapshot.json", run: func(c *call) {
		g := c.group()
		try(c.logs.PutLogEvents(c.ctx, &cwl.PutLogEventsInput{LogGroupName: &g, LogStreamName: ref("none"), LogEvents: []types.InputLogEvent{{Message: ref("x"), Timestamp: aws.Int64(time.Now().UnixMilli())}}})).
			fails(c, 400, "ResourceNotFoundException", "The specified log stream does not exist.")
	}},
	{id: "logs.put-events.order", says: "events out of order are InvalidParameterException", source: recorded + "logs/test_logs_events.snapshot.json", run: func(c *call) {
		g, now := c.group("s"), time.Now().UnixMilli()
		try(c.logs.PutLogEvents(c.ctx, &cwl.PutLogEventsInput{LogGroupName: &g, LogStreamName: ref("s"), LogEvents: []types.InputLogEvent{{Message: ref("b"), Timestamp: &now}, {Message: ref("a"), Timestamp: aws.Int64(now - 1)}}})).
			fails(c, 400, "InvalidParameterException", "Log events in a single PutLogEvents request must be in chronological order.")
	}},
	{id: "logs.put-events.rejected", says: "events that are too old or too new are told, the rest is taken", source: logsAPI + "PutLogEvents.html", run: func(c *call) {
		g, now := c.group("s"), time.Now()
		at := func(d time.Duration) types.InputLogEvent {
			return types.InputLogEvent{Message: ref(d.String()), Timestamp: aws.Int64(now.Add(d).UnixMilli())}
		}
		old := try(c.logs.PutLogEvents(c.ctx, &cwl.PutLogEventsInput{LogGroupName: &g, LogStreamName: ref("s"), LogEvents: []types.InputLogEvent{at(-15 * 24 * time.Hour)}})).ok(c).RejectedLogEventsInfo
		if old == nil || num(old.TooOldLogEventEndIndex) != 1 {
			c.Errorf("too old: %+v", old)
		}
		young := try(c.logs.PutLogEvents(c.ctx, &cwl.PutLogEventsInput{LogGroupName: &g, LogStreamName: ref("s"), LogEvents: []types.InputLogEvent{at(0), at(3 * time.Hour)}})).ok(c).RejectedLogEventsInfo
		if young == nil || num(young.TooNewLogEventStartIndex) != 1 {
			c.Errorf("too new: %+v", young)
		}
	}},
	{id: "logs.get-events.pages", says: "events are read from the head in pages; at the end the forward token stays the same", source: logsAPI + "GetLogEvents.html", run: func(c *call) {
		g := c.group("s")
		c.write(g, "s", 0, "1", "2", "3")
		in := &cwl.GetLogEventsInput{LogGroupName: &g, LogStreamName: ref("s"), StartFromHead: aws.Bool(true), Limit: aws.Int32(2)}
		var out *cwl.GetLogEventsOutput
		c.eventually("the events", func() bool { out = try(c.logs.GetLogEvents(c.ctx, in)).ok(c); return len(out.Events) == 2 })
		equal(c, "first", texts(out.Events), "1 2")
		in.NextToken = out.NextForwardToken
		out = try(c.logs.GetLogEvents(c.ctx, in)).ok(c)
		equal(c, "second", texts(out.Events), "3")
		in.NextToken = out.NextForwardToken
		out = try(c.logs.GetLogEvents(c.ctx, in)).ok(c)
		equal(c, "third", []any{texts(out.Events), str(out.NextForwardToken) == *in.NextToken}, "[ true]")
	}},
	{id: "logs.get-events.tail", says: "without the head the newest events come, and the backward token leads to those before", source: logsAPI + "GetLogEvents.html", run: func(c *call) {
		g := c.group("s")
		c.write(g, "s", 0, "1", "2", "3")
		in := &cwl.GetLogEventsInput{LogGroupName: &g, LogStreamName: ref("s"), Limit: aws.Int32(2)}
		var out *cwl.GetLogEventsOutput
		c.eventually("the events", func() bool { out = try(c.logs.GetLogEvents(c.ctx, in)).ok(c); return len(out.Events) == 2 })
		equal(c, "last", texts(out.Events), "2 3")
		in.NextToken = out.NextBackwardToken
		equal(c, "before", texts(try(c.logs.GetLogEvents(c.ctx, in)).ok(c).Events), "1")
	}},
	{id: "logs.get-events.window", says: "start counts, end does not", source: logsAPI + "GetLogEvents.html", run: func(c *call) {
		g := c.group("s")
		at := c.write(g, "s", 0, "1", "2", "3")
		in := &cwl.GetLogEventsInput{LogGroupName: &g, LogStreamName: ref("s"), StartTime: aws.Int64(at + 1), EndTime: aws.Int64(at + 2)}
		var got string
		c.eventually("the events", func() bool { got = texts(try(c.logs.GetLogEvents(c.ctx, in)).ok(c).Events); return got != "" })
		equal(c, "events", got, "2")
	}},
	{id: "logs.get-events.token.invalid", says: "a token that is none is InvalidParameterException", source: recorded + "logs/test_logs_events.snapshot.json", run: func(c *call) {
		g := c.group("s")
		try(c.logs.GetLogEvents(c.ctx, &cwl.GetLogEventsInput{LogGroupName: &g, LogStreamName: ref("s"), NextToken: ref("none")})).fails(c, 400, "InvalidParameterException", "The specified nextToken is invalid.")
		try(c.logs.FilterLogEvents(c.ctx, &cwl.FilterLogEventsInput{LogGroupName: &g, NextToken: ref("none")})).fails(c, 400, "InvalidParameterException", "The specified nextToken is invalid.")
	}},
	{id: "logs.get-events.limit", says: "a limit above 10,000 is InvalidParameterException", source: recorded + "logs/test_logs_events.snapshot.json", run: func(c *call) {
		g := c.group("s")
		try(c.logs.GetLogEvents(c.ctx, &cwl.GetLogEventsInput{LogGroupName: &g, LogStreamName: ref("s"), Limit: aws.Int32(10001)})).
			fails(c, 400, "InvalidParameterException", "Value '10001' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 10000")
	}},
	{id: "logs.filter.terms", says: "all terms must occur, in their case; a phrase is quoted, - excludes, ? asks for one of several", source: filterSyntax, run: func(c *call) {
		g := c.group("a", "b")
		c.write(g, "a", 0, "ERROR-disk", "INFO-all-well")
		c.write(g, "b", 10, "ERROR-net", "WARN-disk")
		for pattern, want := range map[string]string{"": "ERROR-disk INFO-all-well ERROR-net WARN-disk", `"ERROR"`: "ERROR-disk ERROR-net", `"error"`: "",
			`"ERROR" "disk"`: "ERROR-disk", `?"WARN" ?"INFO"`: "INFO-all-well WARN-disk", `"disk" -"ERROR"`: "WARN-disk"} {
			c.found(&cwl.FilterLogEventsInput{LogGroupName: &g, FilterPattern: &pattern}, want)
		}
	}},
	{id: "logs.filter.json", says: "messages in JSON are chosen by their members", source: filterSyntax, run: func(c *call) {
		g := c.group("a")
		c.write(g, "a", 0, `{"level":"ERROR","run":{"n":7}}`, `{"level":"INFO","run":{"n":8}}`, `"level":"ERROR"`)
		for pattern, want := range map[string]string{`{ $.level = "ERROR" }`: `{"level":"ERROR","run":{"n":7}}`, `{ $.run.n > 7 }`: `{"level":"INFO","run":{"n":8}}`,
			`{ $.run.n >= 7 && $.level = "E*" }`: `{"level":"ERROR","run":{"n":7}}`, `{ $.gone IS TRUE || ($.run.n = 8) }`: `{"level":"INFO","run":{"n":8}}`} {
			c.found(&cwl.FilterLogEventsInput{LogGroupName: &g, FilterPattern: &pattern}, want)
		}
	}},
	{id: "logs.filter.streams", says: "a search names streams or a prefix of them, not both", source: logsAPI + "FilterLogEvents.html", run: func(c *call) {
		g := c.group("a/1", "b")
		c.write(g, "a/1", 0, "one")
		c.write(g, "b", 5, "two")
		c.found(&cwl.FilterLogEventsInput{LogGroupName: &g, LogStreamNames: []string{"b"}}, "two")
		c.found(&cwl.FilterLogEventsInput{LogGroupName: &g, LogStreamNamePrefix: ref("a/")}, "one")
		try(c.logs.FilterLogEvents(c.ctx, &cwl.FilterLogEventsInput{LogGroupName: &g, LogStreamNamePrefix: ref("a"), LogStreamNames: []string{"b"}})).fails(c, 400, "InvalidParameterException")
	}},
	{id: "logs.filter.pages", says: "a search comes in pages over all streams, by time, and no event comes twice", source: logsAPI + "FilterLogEvents.html", run: func(c *call) {
		g := c.group("a", "b")
		for i := range 6 {
			c.write(g, []string{"a", "b"}[i%2], i, fmt.Sprint(i))
		}
		c.found(&cwl.FilterLogEventsInput{LogGroupName: &g, Limit: aws.Int32(4)}, "0 1 2 3 4 5")
	}},
	{id: "logs.filter.missing", says: "a search in a group that is not there is ResourceNotFoundException", source: logsAPI + "FilterLogEvents.html", run: func(c *call) {
		try(c.logs.FilterLogEvents(c.ctx, &cwl.FilterLogEventsInput{LogGroupName: ref(c.name())})).fails(c, 400, "ResourceNotFoundException", "The specified log group does not exist.")
	}},
	{id: "logs.tags", says: "a group's tags are set, listed and taken away by its ARN", source: logsAPI + "TagResource.html", run: func(c *call) {
		arn := c.arn("logs", "log-group:"+c.group())
		try(c.logs.TagResource(c.ctx, &cwl.TagResourceInput{ResourceArn: &arn, Tags: map[string]string{"a": "1", "b": "2"}})).ok(c)
		try(c.logs.UntagResource(c.ctx, &cwl.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"a"}})).ok(c)
		equal(c, "tags", try(c.logs.ListTagsForResource(c.ctx, &cwl.ListTagsForResourceInput{ResourceArn: &arn})).ok(c).Tags, "map[b:2]")
	}},
}
