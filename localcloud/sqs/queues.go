package sqs

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// number is an attribute that is a whole number within bounds.
type number struct{ low, high, initial int }

var numbers = map[string]number{
	"DelaySeconds":                  {0, 900, 0},
	"MaximumMessageSize":            {1024, 1 << 20, 1 << 20},
	"MessageRetentionPeriod":        {60, 1_209_600, 345_600},
	"ReceiveMessageWaitTimeSeconds": {0, 20, 0},
	"VisibilityTimeout":             {0, 43_200, 30},
	"KmsDataKeyReusePeriodSeconds":  {60, 86_400, 300},
}

// redrive is a queue's RedrivePolicy.
type redrive struct {
	Target string      `json:"deadLetterTargetArn"`
	Max    json.Number `json:"maxReceiveCount"` // a number or a text
}

func parseRedrive(text string) (redrive, int, error) {
	var r redrive
	if text == "" {
		return r, 0, nil
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return r, 0, err
	}
	n, err := strconv.Atoi(r.Max.String())
	if err != nil || n < 1 || n > 1000 {
		return r, 0, fmt.Errorf("maxReceiveCount %q must be between 1 and 1000", r.Max)
	}
	return r, n, nil
}

// checkAttribute refuses what AWS refuses, and what is not supported here.
func (s *SQS) checkAttribute(name, value string) error {
	bad := func(why string) error {
		return wire.Errorf("InvalidAttributeValue", "Invalid value for the parameter %s. Reason: %s", name, why)
	}
	if n, ok := numbers[name]; ok {
		if v, err := strconv.Atoi(value); err != nil || v < n.low || v > n.high {
			return bad(fmt.Sprintf("it must be an integer from %d to %d", n.low, n.high))
		}
		return nil
	}
	switch name {
	case "Policy", "RedriveAllowPolicy":
		if value != "" && !json.Valid([]byte(value)) {
			return bad("it is not JSON")
		}
	case "RedrivePolicy":
		r, _, err := parseRedrive(value)
		if err != nil {
			return bad(err.Error())
		}
		if value != "" && !strings.HasPrefix(r.Target, "arn:aws:sqs:"+s.o.Region+":"+s.o.Account+":") {
			return bad("the dead-letter queue must be in the same account and region")
		}
	case "SqsManagedSseEnabled":
		if value != "true" && value != "false" {
			return bad("it must be true or false")
		}
	case "KmsMasterKeyId":
		s.o.Log.Warn("the local cloud keeps the messages of a queue without the KMS key it names", "key", value)
	case "FifoQueue":
		if value == "false" {
			return wire.Errorf("InvalidAttributeName", "Unknown Attribute FifoQueue.")
		}
		return wire.Errorf("UnsupportedOperation", "the local cloud does not support FIFO queues (attribute %s)", name)
	case "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit":
		return wire.Errorf("UnsupportedOperation", "the local cloud does not support FIFO queues (attribute %s)", name)
	default:
		return wire.Errorf("InvalidAttributeName", "Unknown Attribute %s.", name)
	}
	return nil
}

// find needs s.mu.
func (s *SQS) find(url *string) (*queue, error) {
	q, ok := s.byName[nameOf(url)]
	if !ok {
		return nil, wire.Errorf("QueueDoesNotExist", "The specified queue does not exist.")
	}
	return q, nil
}

func (q *queue) number(name string) int {
	if v, err := strconv.Atoi(q.Attributes[name]); err == nil {
		return v
	}
	return numbers[name].initial
}

func (s *SQS) createQueue(_ context.Context, in *awssqs.CreateQueueInput) (*awssqs.CreateQueueOutput, error) {
	name := aws.ToString(in.QueueName)
	if strings.HasSuffix(name, ".fifo") {
		return nil, wire.Errorf("UnsupportedOperation", "the local cloud does not support FIFO queues: %s", name)
	}
	if !nameForm.MatchString(name) {
		return nil, wire.Errorf("InvalidParameterValue", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	for _, k := range slices.Sorted(maps.Keys(in.Attributes)) {
		if err := s.checkAttribute(k, in.Attributes[k]); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, ok := s.byName[name]; ok {
		for _, k := range slices.Sorted(maps.Keys(in.Attributes)) {
			if q.Attributes[k] != in.Attributes[k] && !(numbers[k] != number{} && strconv.Itoa(q.number(k)) == in.Attributes[k]) {
				return nil, wire.Errorf("QueueNameExists", "A queue already exists with the same name and a different value for attribute %s", k)
			}
		}
		return &awssqs.CreateQueueOutput{QueueUrl: aws.String(s.url(name))}, nil
	}
	now := s.o.Clock.Now()
	if now.Before(s.gone[name]) {
		return nil, wire.Errorf("QueueDeletedRecently", "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
	}
	delete(s.gone, name)
	r := queueRecord{Name: name, Attributes: in.Attributes, Tags: in.Tags, Created: now, Modified: now}
	if err := s.queues.Put(name, r); err != nil {
		return nil, err
	}
	s.byName[name] = &queue{queueRecord: r, changed: make(chan struct{})}
	return &awssqs.CreateQueueOutput{QueueUrl: aws.String(s.url(name))}, nil
}

// pause is how long a deleted queue's name is not given again, and the least time
// between two purges.
const pause = time.Minute

func (s *SQS) deleteQueue(ctx context.Context, in *awssqs.DeleteQueueInput) (*awssqs.DeleteQueueOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if err := s.queues.Delete(q.Name); err != nil {
		return nil, err
	}
	delete(s.byName, q.Name)
	// CloudFormation, which is no request, waits on AWS before it says that a queue is gone.
	if wire.RequestID(ctx) != "" {
		s.gone[q.Name] = s.o.Clock.Now().Add(pause)
	}
	q.wake()
	return &awssqs.DeleteQueueOutput{}, s.drop(q, q.messages)
}

func (s *SQS) purgeQueue(_ context.Context, in *awssqs.PurgeQueueInput) (*awssqs.PurgeQueueOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	now := s.o.Clock.Now()
	if now.Before(q.purged.Add(pause)) {
		return nil, wire.Errorf("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.Name)
	}
	if err := s.drop(q, q.messages); err != nil {
		return nil, err
	}
	q.purged = now
	return &awssqs.PurgeQueueOutput{}, nil
}

func (s *SQS) getQueueURL(_ context.Context, in *awssqs.GetQueueUrlInput) (*awssqs.GetQueueUrlOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueName)
	if err != nil {
		return nil, err
	}
	return &awssqs.GetQueueUrlOutput{QueueUrl: aws.String(s.url(q.Name))}, nil
}

func (s *SQS) listQueues(_ context.Context, in *awssqs.ListQueuesInput) (*awssqs.ListQueuesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	urls := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		if strings.HasPrefix(name, aws.ToString(in.QueueNamePrefix)) {
			urls = append(urls, s.url(name))
		}
	}
	page, next, err := paged(urls, in.MaxResults, in.NextToken)
	if len(page) == 0 {
		page = nil // AWS leaves the list out
	}
	return &awssqs.ListQueuesOutput{QueueUrls: page, NextToken: next}, err
}

// listSources answers with a map: this one output of SQS has a lower-case member.
func (s *SQS) listSources(_ context.Context, in *awssqs.ListDeadLetterSourceQueuesInput) (*map[string]any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	urls := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.byName)) {
		if r, _, err := parseRedrive(s.byName[name].Attributes["RedrivePolicy"]); err == nil && r.Target == s.arn(q.Name) {
			urls = append(urls, s.url(name))
		}
	}
	page, next, err := paged(urls, in.MaxResults, in.NextToken)
	out := map[string]any{"queueUrls": page}
	if next != nil {
		out["NextToken"] = *next
	}
	return &out, err
}

func paged(all []string, limit *int32, token *string) ([]string, *string, error) {
	page, next, ok := wire.Page(all, func(url string) string { return url }, int(aws.ToInt32(limit)), token)
	if !ok {
		return nil, nil, wire.Errorf("InvalidParameterValue", "Invalid or expired next token.")
	}
	return page, next, nil
}

func (s *SQS) setAttributes(_ context.Context, in *awssqs.SetQueueAttributesInput) (*awssqs.SetQueueAttributesOutput, error) {
	for _, k := range slices.Sorted(maps.Keys(in.Attributes)) {
		if err := s.checkAttribute(k, in.Attributes[k]); err != nil {
			return nil, err
		}
	}
	return &awssqs.SetQueueAttributesOutput{}, s.change(in.QueueUrl, func(r *queueRecord) {
		next := maps.Clone(r.Attributes)
		if next == nil {
			next = map[string]string{}
		}
		for k, v := range in.Attributes {
			if v == "" {
				delete(next, k)
				continue
			}
			next[k] = v
		}
		r.Attributes = next
	})
}

func (s *SQS) change(url *string, f func(*queueRecord)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(url)
	if err != nil {
		return err
	}
	r := q.queueRecord
	f(&r)
	r.Modified = s.o.Clock.Now()
	if err := s.queues.Put(r.Name, r); err != nil {
		return err
	}
	q.queueRecord = r
	q.wake()
	return nil
}

func (s *SQS) getAttributes(_ context.Context, in *awssqs.GetQueueAttributesInput) (*awssqs.GetQueueAttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	if err := s.expire(q); err != nil {
		return nil, err
	}
	all := s.allAttributes(q)
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		if name == types.QueueAttributeNameAll {
			return &awssqs.GetQueueAttributesOutput{Attributes: all}, nil
		}
		known := false
		for _, v := range name.Values() {
			known = known || v == name
		}
		if !known {
			return nil, wire.Errorf("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
		if v, ok := all[string(name)]; ok {
			out[string(name)] = v
		}
	}
	return &awssqs.GetQueueAttributesOutput{Attributes: out}, nil
}

func (s *SQS) allAttributes(q *queue) map[string]string {
	visible, flying, delayed := 0, 0, 0
	now := s.o.Clock.Now()
	for _, m := range q.messages {
		switch {
		case !m.Visible.After(now):
			visible++
		case m.Receives > 0:
			flying++
		default:
			delayed++
		}
	}
	all := map[string]string{
		"QueueArn": s.arn(q.Name), "CreatedTimestamp": strconv.FormatInt(q.Created.Unix(), 10), "LastModifiedTimestamp": strconv.FormatInt(q.Modified.Unix(), 10),
		"ApproximateNumberOfMessages": strconv.Itoa(visible), "ApproximateNumberOfMessagesNotVisible": strconv.Itoa(flying), "ApproximateNumberOfMessagesDelayed": strconv.Itoa(delayed),
		"SqsManagedSseEnabled": "true",
	}
	for name, n := range numbers {
		all[name] = strconv.Itoa(n.initial)
	}
	maps.Copy(all, q.Attributes)
	if q.Attributes["KmsMasterKeyId"] != "" {
		all["SqsManagedSseEnabled"] = "false" // the one or the other
	} else {
		delete(all, "KmsDataKeyReusePeriodSeconds")
	}
	return all
}

func (s *SQS) tagQueue(_ context.Context, in *awssqs.TagQueueInput) (*awssqs.TagQueueOutput, error) {
	return &awssqs.TagQueueOutput{}, s.change(in.QueueUrl, func(r *queueRecord) {
		next := map[string]string{}
		maps.Copy(next, r.Tags)
		maps.Copy(next, in.Tags)
		r.Tags = next
	})
}

func (s *SQS) untagQueue(_ context.Context, in *awssqs.UntagQueueInput) (*awssqs.UntagQueueOutput, error) {
	return &awssqs.UntagQueueOutput{}, s.change(in.QueueUrl, func(r *queueRecord) {
		next := maps.Clone(r.Tags)
		for _, k := range in.TagKeys {
			delete(next, k)
		}
		r.Tags = next
	})
}

func (s *SQS) listTags(_ context.Context, in *awssqs.ListQueueTagsInput) (*awssqs.ListQueueTagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl)
	if err != nil {
		return nil, err
	}
	out := &awssqs.ListQueueTagsOutput{}
	if len(q.Tags) > 0 { // AWS leaves an empty map out
		out.Tags = maps.Clone(q.Tags)
	}
	return out, nil
}
