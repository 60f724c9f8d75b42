// Package sqs is Amazon SQS in the local cloud: standard queues, kept on disk,
// with visibility, long polling, delays, redrive and queue policies. FIFO
// queues are refused.
package sqs

import (
	"context"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Options are what SQS needs of its surroundings.
type Options struct {
	service.Base
	// Endpoint is the URL that queue URLs begin with; nil or "" gives AWS's own.
	Endpoint func() string
	// PolicyAllows evaluates a queue's policy for service principals and other
	// accounts; nil allows them nothing.
	PolicyAllows func(policy string, c wire.Caller, action, resource string) bool
}

// SQS is the service.
type SQS struct {
	o        Options
	queues   *store.Table[queueRecord]
	messages *store.Table[place]

	mu     sync.Mutex
	byName map[string]*queue
	gone   map[string]time.Time // name → when it may be taken again; not kept
	free   []string             // places in the messages table that can be used again
	places int
	seq    uint64
	done   chan struct{} // closed at Close
	closed bool
}

// queueRecord is a queue as kept.
type queueRecord struct {
	Name       string
	Attributes map[string]string // what was set
	Tags       map[string]string `json:",omitempty"`
	Created    time.Time
	Modified   time.Time
}

// message is a message as kept.
type message struct {
	Queue         string
	Seq           uint64
	ID            string
	Body          string
	Attributes    map[string]types.MessageAttributeValue `json:",omitempty"`
	Trace         string                                 `json:",omitempty"`
	Group         string                                 `json:",omitempty"`
	Sender        string
	Sent          time.Time
	Visible       time.Time // from when it can be received
	Receives      int
	FirstReceived time.Time
	Receipt       string `json:",omitempty"` // of the latest receive
	Source        string `json:",omitempty"` // ARN of the queue it was dead in

	place string
}

// place is a key of the messages table. Places are used again, so that any
// change of several messages, deletion too, is one write.
type place struct {
	Message *message `json:",omitempty"`
}

// queue is a queue in use; guarded by SQS.mu.
type queue struct {
	queueRecord
	messages []*message    // by Seq
	purged   time.Time     // not kept
	changed  chan struct{} // closed and renewed when a message may have become visible
}

// New opens the service on its state.
func New(o Options) (*SQS, error) {
	s := &SQS{o: o, byName: map[string]*queue{}, gone: map[string]time.Time{}, done: make(chan struct{})}
	var err error
	if s.queues, err = store.NewTable[queueRecord](o.Store, "sqs/queues"); err != nil {
		return nil, err
	}
	if s.messages, err = store.NewTable[place](o.Store, "sqs/messages"); err != nil {
		return nil, err
	}
	err = s.queues.Scan("", func(_ string, r queueRecord) bool {
		s.byName[r.Name] = &queue{queueRecord: r, changed: make(chan struct{})}
		return true
	})
	if err != nil {
		return nil, err
	}
	err = s.messages.Scan("", func(key string, p place) bool {
		s.places++
		var q *queue
		if p.Message != nil {
			q = s.byName[p.Message.Queue]
		}
		if q == nil {
			s.free = append(s.free, key)
			return true
		}
		p.Message.place = key
		q.messages = append(q.messages, p.Message)
		s.seq = max(s.seq, p.Message.Seq)
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, q := range s.byName {
		sort.Slice(q.messages, func(i, j int) bool { return q.messages[i].Seq < q.messages[j].Seq })
	}
	return s, nil
}

// Close ends what waits for messages.
func (s *SQS) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.done)
	}
	return nil
}

// Wire is the service's table of operations.
func (s *SQS) Wire() *wire.Service {
	w := &wire.Service{Name: "sqs", Protocol: wire.JSON10, Target: "AmazonSQS", QueryCodes: true, Authorize: s.authorize, Log: s.o.Log, Model: model.Of("sqs")}
	arn := func(url *string) []string { return []string{s.arn(nameOf(url))} }
	w.Add(
		wire.On(wire.Op("CreateQueue", s.createQueue), func(in *awssqs.CreateQueueInput) []string { return arn(in.QueueName) }),
		wire.On(wire.Op("DeleteQueue", s.deleteQueue), func(in *awssqs.DeleteQueueInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("GetQueueUrl", s.getQueueURL), func(in *awssqs.GetQueueUrlInput) []string { return arn(in.QueueName) }),
		wire.On(wire.Op("GetQueueAttributes", s.getAttributes), func(in *awssqs.GetQueueAttributesInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("SetQueueAttributes", s.setAttributes), func(in *awssqs.SetQueueAttributesInput) []string { return arn(in.QueueUrl) }),
		wire.Op("ListQueues", s.listQueues),
		wire.On(wire.Op("ListDeadLetterSourceQueues", s.listSources), func(in *awssqs.ListDeadLetterSourceQueuesInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("PurgeQueue", s.purgeQueue), func(in *awssqs.PurgeQueueInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("TagQueue", s.tagQueue), func(in *awssqs.TagQueueInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("UntagQueue", s.untagQueue), func(in *awssqs.UntagQueueInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("ListQueueTags", s.listTags), func(in *awssqs.ListQueueTagsInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("SendMessage", s.sendMessage), func(in *awssqs.SendMessageInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("ReceiveMessage", s.receiveMessage), func(in *awssqs.ReceiveMessageInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("DeleteMessage", s.deleteMessage), func(in *awssqs.DeleteMessageInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("ChangeMessageVisibility", s.changeVisibility), func(in *awssqs.ChangeMessageVisibilityInput) []string { return arn(in.QueueUrl) }),
	)
	w.Add(
		wire.On(wire.Op("SendMessageBatch", s.sendBatch), func(in *awssqs.SendMessageBatchInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("DeleteMessageBatch", s.deleteBatch), func(in *awssqs.DeleteMessageBatchInput) []string { return arn(in.QueueUrl) }),
		wire.On(wire.Op("ChangeMessageVisibilityBatch", s.changeBatch), func(in *awssqs.ChangeMessageVisibilityBatchInput) []string { return arn(in.QueueUrl) }),
	)
	return w
}

// authorize asks for a batch what IAM knows: the single operation.
func (s *SQS) authorize(ctx context.Context, action, resource string) error {
	if s.o.Authorize == nil {
		return nil
	}
	return s.o.Authorize(ctx, strings.TrimSuffix(action, "Batch"), resource)
}

// permit lets in services and other accounts that the queue's policy names.
func (s *SQS) permit(ctx context.Context, q *queue, action string) error {
	c := wire.CallerFrom(ctx)
	if c.Service == "" && (c.Account == "" || c.Account == s.o.Account) {
		return nil
	}
	if s.o.PolicyAllows != nil && s.o.PolicyAllows(q.Attributes["Policy"], c, "sqs:"+action, s.arn(q.Name)) {
		return nil
	}
	who := c.ARN
	if c.Service != "" {
		who = c.Service
	}
	return &wire.Error{Code: "AccessDenied", Status: http.StatusForbidden,
		Message: fmt.Sprintf("User: %s is not authorized to perform: sqs:%s on resource: %s because no resource-based policy allows the sqs:%s action", who, strings.ToLower(action), s.arn(q.Name), strings.ToLower(action))}
}

func (s *SQS) arn(name string) string {
	return "arn:aws:sqs:" + s.o.Region + ":" + s.o.Account + ":" + name
}

func (s *SQS) url(name string) string {
	base := ""
	if s.o.Endpoint != nil {
		base = strings.TrimSuffix(s.o.Endpoint(), "/")
	}
	if base == "" {
		base = "https://sqs." + s.o.Region + ".amazonaws.com"
	}
	return base + "/" + s.o.Account + "/" + name
}

// nameOf is the queue's name in a queue URL, or the name itself.
func nameOf(url *string) string {
	if url == nil {
		return ""
	}
	return (*url)[strings.LastIndexByte(*url, '/')+1:]
}
