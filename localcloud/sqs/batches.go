package sqs

import (
	"context"
	"regexp"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxBatchBytes is the size of all messages of a batch together.
const maxBatchBytes = 1 << 20

var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkBatch refuses a batch of an action whose entries cannot be told apart.
func checkBatch(action string, ids []string) error {
	if len(ids) == 0 {
		return wire.Errorf("EmptyBatchRequest", "There should be at least one %sBatchRequestEntry in the request.", action)
	}
	if len(ids) > 10 {
		return wire.Errorf("TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent %d.", len(ids))
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if !idForm.MatchString(id) {
			return wire.Errorf("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[id] {
			return wire.Errorf("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}

func failed(id *string, err error) types.BatchResultErrorEntry {
	e := wire.AsError(err)
	return types.BatchResultErrorEntry{Id: id, Code: aws.String(e.Code), Message: aws.String(e.Message), SenderFault: e.HTTPStatus() < 500}
}

// open finds the queue of a batch and lets the caller in; needs s.mu.
func (s *SQS) open(ctx context.Context, url *string, action string, ids []string) (*queue, error) {
	if err := checkBatch(action, ids); err != nil {
		return nil, err
	}
	q, err := s.find(url)
	if err != nil {
		return nil, err
	}
	return q, s.permit(ctx, q, action)
}

func (s *SQS) sendBatch(ctx context.Context, in *awssqs.SendMessageBatchInput) (*awssqs.SendMessageBatchOutput, error) {
	ids, size := make([]string, len(in.Entries)), 0
	for i := range in.Entries {
		ids[i] = aws.ToString(in.Entries[i].Id)
		size += entrySize(&in.Entries[i])
	}
	if size > maxBatchBytes {
		return nil, wire.Errorf("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxBatchBytes, size)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(ctx, in.QueueUrl, "SendMessage", ids)
	if err != nil {
		return nil, err
	}
	out := &awssqs.SendMessageBatchOutput{}
	var all []*message
	for i := range in.Entries {
		m, err := s.newMessage(ctx, q, "entries."+strconv.Itoa(i+1)+".member.", &in.Entries[i])
		if err != nil {
			out.Failed = append(out.Failed, failed(in.Entries[i].Id, err))
			continue
		}
		all = append(all, m)
		out.Successful = append(out.Successful, types.SendMessageBatchResultEntry{Id: in.Entries[i].Id, MessageId: &m.ID, MD5OfMessageBody: aws.String(md5Hex(m.Body)), MD5OfMessageAttributes: md5OfAttributes(m.Attributes), MD5OfMessageSystemAttributes: m.md5OfSystem()})
	}
	return out, s.enqueue(q, all)
}

func (s *SQS) deleteBatch(ctx context.Context, in *awssqs.DeleteMessageBatchInput) (*awssqs.DeleteMessageBatchOutput, error) {
	ids := make([]string, len(in.Entries))
	for i := range in.Entries {
		ids[i] = aws.ToString(in.Entries[i].Id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(ctx, in.QueueUrl, "DeleteMessage", ids)
	if err != nil {
		return nil, err
	}
	out := &awssqs.DeleteMessageBatchOutput{}
	gone := map[*message]bool{}
	var list []*message
	for _, e := range in.Entries {
		m, err := q.receipt(e.ReceiptHandle, s.o.Clock.Now())
		if err != nil {
			out.Failed = append(out.Failed, failed(e.Id, err))
			continue
		}
		if m != nil && !gone[m] {
			gone[m] = true
			list = append(list, m)
		}
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: e.Id})
	}
	return out, s.drop(q, list)
}

func (s *SQS) changeBatch(ctx context.Context, in *awssqs.ChangeMessageVisibilityBatchInput) (*awssqs.ChangeMessageVisibilityBatchOutput, error) {
	ids := make([]string, len(in.Entries))
	for i := range in.Entries {
		ids[i] = aws.ToString(in.Entries[i].Id)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.open(ctx, in.QueueUrl, "ChangeMessageVisibility", ids)
	if err != nil {
		return nil, err
	}
	out := &awssqs.ChangeMessageVisibilityBatchOutput{}
	for _, e := range in.Entries {
		if err := s.setVisibility(q, e.ReceiptHandle, e.VisibilityTimeout); err != nil {
			out.Failed = append(out.Failed, failed(e.Id, err))
			continue
		}
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: e.Id})
	}
	return out, nil
}
