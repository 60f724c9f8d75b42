package logs

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	cwl "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

var (
	groupForm  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	streamForm = regexp.MustCompile(`^[^:*]{1,512}$`)
	// retentions are the numbers of days that AWS offers.
	retentions = []int32{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)

func invalid(format string, args ...any) error {
	return wire.Errorf("InvalidParameterException", format, args...)
}

func (s *Logs) arn(group string) string {
	return "arn:aws:logs:" + s.o.Region + ":" + s.o.Account + ":log-group:" + group
}

// groupName is a group's name, given it or an ARN.
func groupName(text string) string {
	if _, rest, ok := strings.Cut(text, ":log-group:"); ok {
		name, _, _ := strings.Cut(rest, ":")
		return name
	}
	return text
}

func streamResource(group []string, stream *string) []string {
	if len(group) == 0 {
		return nil
	}
	return []string{strings.TrimSuffix(group[0], "*") + "log-stream:" + aws.ToString(stream)}
}

// group needs s.mu.
func (s *Logs) group(names ...*string) (*group, error) {
	for _, n := range names {
		if n == nil {
			continue
		}
		if g, ok := s.byName[groupName(*n)]; ok {
			return g, nil
		}
		return nil, wire.Errorf("ResourceNotFoundException", "The specified log group does not exist.")
	}
	return nil, invalid("1 validation error detected: a log group must be named")
}

// stream needs s.mu.
func (s *Logs) stream(name *string, groups ...*string) (*stream, error) {
	g, err := s.group(groups...)
	if err != nil {
		return nil, err
	}
	st, ok := g.streams[aws.ToString(name)]
	if !ok {
		return nil, wire.Errorf("ResourceNotFoundException", "The specified log stream does not exist.")
	}
	return st, nil
}

func (s *Logs) createGroup(_ context.Context, in *cwl.CreateLogGroupInput) (*cwl.CreateLogGroupOutput, error) {
	name := aws.ToString(in.LogGroupName)
	if in.KmsKeyId != nil || aws.ToBool(in.DeletionProtectionEnabled) {
		return nil, invalid("the local cloud does not support kmsKeyId and deletionProtectionEnabled of a log group: %s", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.byName[name]; taken {
		return nil, wire.Errorf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	_, err := s.makeGroup(groupRecord{Name: name, Class: string(in.LogGroupClass), Tags: in.Tags})
	return &cwl.CreateLogGroupOutput{}, err
}

// makeGroup needs s.mu.
func (s *Logs) makeGroup(r groupRecord) (*group, error) {
	r.Created = s.o.Clock.Now()
	if err := s.groups.Put(r.Name, r); err != nil {
		return nil, err
	}
	g := &group{groupRecord: r, streams: map[string]*stream{}}
	s.byName[r.Name] = g
	return g, nil
}

func (s *Logs) deleteGroup(_ context.Context, in *cwl.DeleteLogGroupInput) (*cwl.DeleteLogGroupOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(in.LogGroupName)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(g.streams)) {
		if err := s.removeStream(g, g.streams[name]); err != nil {
			return nil, err
		}
	}
	if err := s.groups.Delete(g.Name); err != nil {
		return nil, err
	}
	delete(s.byName, g.Name)
	return &cwl.DeleteLogGroupOutput{}, nil
}

// removeStream needs s.mu. The chunks go first: what is left after a kill is found again.
func (s *Logs) removeStream(g *group, st *stream) error {
	for _, sp := range st.Chunks {
		if err := s.chunks.Delete(st.chunkKey(sp.No)); err != nil {
			return err
		}
	}
	if err := s.streams.Delete(st.key()); err != nil {
		return err
	}
	delete(g.streams, st.Name)
	delete(s.dirty, st)
	return nil
}

func (s *Logs) describeGroups(_ context.Context, in *cwl.DescribeLogGroupsInput) (*cwl.DescribeLogGroupsOutput, error) {
	if in.LogGroupNamePattern != nil && in.LogGroupNamePrefix != nil {
		return nil, invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []types.LogGroup{}
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		g := s.byName[name]
		if !strings.HasPrefix(name, aws.ToString(in.LogGroupNamePrefix)) || !strings.Contains(strings.ToLower(name), strings.ToLower(aws.ToString(in.LogGroupNamePattern))) {
			continue
		}
		if len(in.LogGroupIdentifiers) > 0 && !slices.ContainsFunc(in.LogGroupIdentifiers, func(id string) bool { return groupName(id) == name }) {
			continue
		}
		var bytes int64
		for _, st := range g.streams {
			bytes += st.bytes()
		}
		class := types.LogGroupClass(g.Class)
		if class == "" {
			class = types.LogGroupClassStandard
		}
		out := types.LogGroup{LogGroupName: aws.String(name), Arn: aws.String(s.arn(name) + ":*"), LogGroupArn: aws.String(s.arn(name)), CreationTime: aws.Int64(g.Created.UnixMilli()),
			MetricFilterCount: aws.Int32(0), StoredBytes: aws.Int64(bytes), LogGroupClass: class, DeletionProtectionEnabled: aws.Bool(false)}
		if g.Retention > 0 {
			out.RetentionInDays = aws.Int32(g.Retention)
		}
		all = append(all, out)
	}
	page, next, err := paged(all, func(g types.LogGroup) string { return *g.LogGroupName }, in.Limit, 50, in.NextToken)
	return &cwl.DescribeLogGroupsOutput{LogGroups: page, NextToken: next}, err
}

// changeGroup changes a group's record and keeps it.
func (s *Logs) changeGroup(name *string, change func(*groupRecord)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return err
	}
	r := g.groupRecord
	change(&r)
	if err := s.groups.Put(r.Name, r); err != nil {
		return err
	}
	g.groupRecord = r
	return nil
}

func (s *Logs) putRetention(_ context.Context, in *cwl.PutRetentionPolicyInput) (*cwl.PutRetentionPolicyOutput, error) {
	days := aws.ToInt32(in.RetentionInDays)
	if !slices.Contains(retentions, days) {
		return nil, invalid("1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", days, retentions)
	}
	return &cwl.PutRetentionPolicyOutput{}, s.changeGroup(in.LogGroupName, func(r *groupRecord) { r.Retention = days })
}

func (s *Logs) deleteRetention(_ context.Context, in *cwl.DeleteRetentionPolicyInput) (*cwl.DeleteRetentionPolicyOutput, error) {
	return &cwl.DeleteRetentionPolicyOutput{}, s.changeGroup(in.LogGroupName, func(r *groupRecord) { r.Retention = 0 })
}

func (s *Logs) createStream(_ context.Context, in *cwl.CreateLogStreamInput) (*cwl.CreateLogStreamOutput, error) {
	name := aws.ToString(in.LogStreamName)
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(in.LogGroupName)
	if err != nil {
		return nil, err
	}
	if _, taken := g.streams[name]; taken {
		return nil, wire.Errorf("ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	_, err = s.makeStream(g, name)
	return &cwl.CreateLogStreamOutput{}, err
}

// makeStream needs s.mu.
func (s *Logs) makeStream(g *group, name string) (*stream, error) {
	s.lastID++
	st := &stream{streamRecord: streamRecord{Group: g.Name, Name: name, ID: s.lastID, Created: s.o.Clock.Now()}}
	if err := s.streams.Put(st.key(), st.streamRecord); err != nil {
		return nil, err
	}
	g.streams[name] = st
	return st, nil
}

func (s *Logs) deleteStream(_ context.Context, in *cwl.DeleteLogStreamInput) (*cwl.DeleteLogStreamOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.stream(in.LogStreamName, in.LogGroupName)
	if err != nil {
		return nil, err
	}
	return &cwl.DeleteLogStreamOutput{}, s.removeStream(s.byName[st.Group], st)
}

func (s *Logs) describeStreams(_ context.Context, in *cwl.DescribeLogStreamsInput) (*cwl.DescribeLogStreamsOutput, error) {
	byTime := in.OrderBy == types.OrderByLastEventTime
	if byTime && in.LogStreamNamePrefix != nil {
		return nil, invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	if in.LogGroupName != nil && in.LogGroupIdentifier != nil {
		return nil, errBothNames
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	all := []types.LogStream{}
	for _, name := range slices.Sorted(maps.Keys(g.streams)) {
		if !strings.HasPrefix(name, aws.ToString(in.LogStreamNamePrefix)) {
			continue
		}
		st := g.streams[name]
		out := types.LogStream{LogStreamName: aws.String(name), Arn: aws.String(s.arn(g.Name) + ":log-stream:" + name), CreationTime: aws.Int64(st.Created.UnixMilli())}
		//lint:ignore SA1019 AWS still says it, and zero: it stopped counting
		out.StoredBytes = aws.Int64(0)
		if len(st.Chunks) > 0 {
			first, last := st.Chunks[0].First, st.Chunks[0].Last
			for _, sp := range st.Chunks {
				first, last = min(first, sp.First), max(last, sp.Last)
			}
			out.FirstEventTimestamp, out.LastEventTimestamp, out.LastIngestionTime = &first, &last, aws.Int64(st.Ingested)
		}
		all = append(all, out)
	}
	if byTime {
		sort.SliceStable(all, func(i, j int) bool {
			return aws.ToInt64(all[i].LastEventTimestamp) < aws.ToInt64(all[j].LastEventTimestamp)
		})
	}
	if aws.ToBool(in.Descending) {
		slices.Reverse(all)
	}
	page, next, err := paged(all, func(st types.LogStream) string { return *st.LogStreamName }, in.Limit, 50, in.NextToken)
	return &cwl.DescribeLogStreamsOutput{LogStreams: page, NextToken: next}, err
}

var errBothNames = wire.Errorf("ValidationException", "LogGroup name and LogGroup ARN are mutually exclusive parameters.")

func paged[T any](all []T, nameOf func(T) string, limit *int32, usual int, token *string) ([]T, *string, error) {
	if limit != nil {
		usual = int(*limit)
	}
	page, next, ok := wire.Page(all, nameOf, usual, token)
	if !ok {
		return nil, nil, invalid("The specified nextToken is invalid.")
	}
	return page, next, nil
}

func (s *Logs) tag(name *string, tags map[string]string) error {
	return s.changeGroup(name, func(r *groupRecord) {
		next := map[string]string{}
		maps.Copy(next, r.Tags)
		maps.Copy(next, tags)
		r.Tags = next
	})
}

func (s *Logs) untag(name *string, keys []string) error {
	return s.changeGroup(name, func(r *groupRecord) {
		next := map[string]string{}
		maps.Copy(next, r.Tags)
		for _, k := range keys {
			delete(next, k)
		}
		r.Tags = next
	})
}

func (s *Logs) tags(name *string) (map[string]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.group(name)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	maps.Copy(out, g.Tags)
	return out, nil
}

func (s *Logs) tagResource(_ context.Context, in *cwl.TagResourceInput) (*cwl.TagResourceOutput, error) {
	return &cwl.TagResourceOutput{}, s.tag(in.ResourceArn, in.Tags)
}

func (s *Logs) untagResource(_ context.Context, in *cwl.UntagResourceInput) (*cwl.UntagResourceOutput, error) {
	return &cwl.UntagResourceOutput{}, s.untag(in.ResourceArn, in.TagKeys)
}

func (s *Logs) listTags(_ context.Context, in *cwl.ListTagsForResourceInput) (*cwl.ListTagsForResourceOutput, error) {
	tags, err := s.tags(in.ResourceArn)
	return &cwl.ListTagsForResourceOutput{Tags: tags}, err
}

func (s *Logs) tagGroup(_ context.Context, in *cwl.TagLogGroupInput) (*cwl.TagLogGroupOutput, error) {
	return &cwl.TagLogGroupOutput{}, s.tag(in.LogGroupName, in.Tags)
}

func (s *Logs) untagGroup(_ context.Context, in *cwl.UntagLogGroupInput) (*cwl.UntagLogGroupOutput, error) {
	return &cwl.UntagLogGroupOutput{}, s.untag(in.LogGroupName, in.Tags)
}

func (s *Logs) listGroupTags(_ context.Context, in *cwl.ListTagsLogGroupInput) (*cwl.ListTagsLogGroupOutput, error) {
	tags, err := s.tags(in.LogGroupName)
	return &cwl.ListTagsLogGroupOutput{Tags: tags}, err
}
