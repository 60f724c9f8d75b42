// Package sns is Amazon SNS in the local cloud: standard topics with
// subscriptions of SQS queues and Lambda functions. Subscriptions of people
// (email) and of web servers (http) stay pending, and nothing is sent to them.
//
// A message is handed to its subscribers before Publish answers. What fails for
// a passing reason is kept on disk and tried again.
package sns

import (
	"context"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/google/uuid"

	"github.com/millrace-ml/millrace/localcloud/service"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Service is SNS's service principal.
const Service = "sns.amazonaws.com"

// Options are what SNS needs of its surroundings.
type Options struct {
	service.Base
	// Call runs an operation of another service; the caller is in ctx.
	Call func(ctx context.Context, service, operation string, input []byte) ([]byte, error)
	// PolicyAllows evaluates a topic's policy for service principals and other
	// accounts; nil allows them nothing.
	PolicyAllows func(policy string, c wire.Caller, action, resource string) bool
	NewID        func() string // ids of messages and subscriptions; nil: random UUIDs
}

// SNS is the service.
type SNS struct {
	o             Options
	topics        *store.Table[topic]
	subscriptions *store.Table[subscription]
	retries       *store.Table[delivery]

	mu      sync.Mutex
	topic   map[string]topic        // by ARN
	subs    map[string]subscription // by ARN
	timers  map[string]func() bool  // by delivery
	started bool
	closed  bool
	work    sync.WaitGroup
	ctx     context.Context // ends at Close
	cancel  context.CancelFunc
}

// topic is a topic as kept.
type topic struct {
	ARN        string
	Attributes map[string]string `json:",omitempty"`
	Tags       map[string]string `json:",omitempty"`
}

// subscription is a subscription as kept.
type subscription struct {
	ARN        string
	Topic      string
	Protocol   string
	Endpoint   string
	Principal  string            `json:",omitempty"` // who subscribed
	Pending    bool              `json:",omitempty"` // never confirmed: nothing is delivered
	Attributes map[string]string `json:",omitempty"`
	Created    time.Time
}

// New opens the service on its state.
func New(o Options) (*SNS, error) {
	if o.NewID == nil {
		o.NewID = uuid.NewString
	}
	s := &SNS{o: o, topic: map[string]topic{}, subs: map[string]subscription{}, timers: map[string]func() bool{}}
	var err error
	if s.topics, err = store.NewTable[topic](o.Store, "sns/topics"); err != nil {
		return nil, err
	}
	if s.subscriptions, err = store.NewTable[subscription](o.Store, "sns/subscriptions"); err != nil {
		return nil, err
	}
	if s.retries, err = store.NewTable[delivery](o.Store, "sns/retries"); err != nil {
		return nil, err
	}
	if err := s.topics.Scan("", func(k string, t topic) bool { s.topic[k] = t; return true }); err != nil {
		return nil, err
	}
	if err := s.subscriptions.Scan("", func(k string, v subscription) bool { s.subs[k] = v; return true }); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Start goes on with deliveries that had failed before. Call it when all
// services can be called.
func (s *SNS) Start() error {
	var waiting []delivery
	if err := s.retries.Scan("", func(_ string, d delivery) bool { waiting = append(waiting, d); return true }); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return nil
	}
	s.started = true
	for _, d := range waiting {
		s.later(d)
	}
	return nil
}

// Close ends retries; they go on when the cloud starts again.
func (s *SNS) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, stop := range s.timers {
		stop()
	}
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
	return nil
}

// Wire is the service's table of operations.
func (s *SNS) Wire() *wire.Service {
	w := &wire.Service{Name: "sns", Protocol: wire.Query, Version: "2010-03-31", Namespace: "http://sns.amazonaws.com/doc/2010-03-31/", Authorize: s.authorize, Log: s.o.Log, Model: model.Of("sns")}
	one := func(arn *string) []string { return []string{aws.ToString(arn)} }
	w.Add(
		wire.On(wire.Op("CreateTopic", s.createTopic), func(in *awssns.CreateTopicInput) []string { return []string{s.arn(aws.ToString(in.Name))} }),
		wire.On(wire.Op("DeleteTopic", s.deleteTopic), func(in *awssns.DeleteTopicInput) []string { return one(in.TopicArn) }),
		wire.Op("ListTopics", s.listTopics),
		wire.On(wire.Op("GetTopicAttributes", s.getTopicAttributes), func(in *awssns.GetTopicAttributesInput) []string { return one(in.TopicArn) }),
		wire.On(wire.Op("SetTopicAttributes", s.setTopicAttributes), func(in *awssns.SetTopicAttributesInput) []string { return one(in.TopicArn) }),
		wire.On(wire.Op("Subscribe", s.subscribe), func(in *awssns.SubscribeInput) []string { return one(in.TopicArn) }),
		wire.On(wire.Op("Unsubscribe", s.unsubscribe), func(in *awssns.UnsubscribeInput) []string { return one(in.SubscriptionArn) }),
		wire.Op("ListSubscriptions", s.listSubscriptions),
		wire.On(wire.Op("ListSubscriptionsByTopic", s.listByTopic), func(in *awssns.ListSubscriptionsByTopicInput) []string { return one(in.TopicArn) }),
		wire.On(wire.Op("GetSubscriptionAttributes", s.getSubscriptionAttributes), func(in *awssns.GetSubscriptionAttributesInput) []string { return one(in.SubscriptionArn) }),
		wire.On(wire.Op("SetSubscriptionAttributes", s.setSubscriptionAttributes), func(in *awssns.SetSubscriptionAttributesInput) []string { return one(in.SubscriptionArn) }),
		wire.On(wire.Op("Publish", s.publish), func(in *awssns.PublishInput) []string { return one(topicOf(in)) }),
		wire.On(wire.Op("PublishBatch", s.publishBatch), func(in *awssns.PublishBatchInput) []string { return one(in.TopicArn) }),
		wire.On(wire.Op("TagResource", s.tagResource), func(in *awssns.TagResourceInput) []string { return one(in.ResourceArn) }),
		wire.On(wire.Op("UntagResource", s.untagResource), func(in *awssns.UntagResourceInput) []string { return one(in.ResourceArn) }),
		wire.On(wire.Op("ListTagsForResource", s.listTags), func(in *awssns.ListTagsForResourceInput) []string { return one(in.ResourceArn) }),
	)
	return w
}

// authorize asks for a batch what IAM knows: sns:Publish. SNS words a refusal
// with a code of its own.
func (s *SNS) authorize(ctx context.Context, action, resource string) error {
	if s.o.Authorize == nil {
		return nil
	}
	err := s.o.Authorize(ctx, strings.TrimSuffix(action, "Batch"), resource)
	if err == nil {
		return nil
	}
	e := *wire.AsError(err)
	if strings.HasPrefix(e.Code, "AccessDenied") {
		e.Code, e.Status = "AuthorizationError", http.StatusForbidden
	}
	return &e
}

// permit lets in services and other accounts that the topic's policy names.
func (s *SNS) permit(ctx context.Context, t topic) error {
	c := wire.CallerFrom(ctx)
	if c.Service == "" && (c.Account == "" || c.Account == s.o.Account) {
		return nil
	}
	if s.o.PolicyAllows != nil && s.o.PolicyAllows(t.Attributes["Policy"], c, "sns:Publish", t.ARN) {
		return nil
	}
	who := c.ARN
	if c.Service != "" {
		who = c.Service
	}
	return &wire.Error{Code: "AuthorizationError", Status: http.StatusForbidden,
		Message: fmt.Sprintf("User: %s is not authorized to perform: SNS:Publish on resource: %s because no resource-based policy allows the SNS:Publish action", who, t.ARN)}
}

func (s *SNS) arn(name string) string {
	return "arn:aws:sns:" + s.o.Region + ":" + s.o.Account + ":" + name
}

// find needs s.mu.
func (s *SNS) find(arn *string) (topic, error) {
	t, ok := s.topic[aws.ToString(arn)]
	if n := strings.Count(aws.ToString(arn), ":") + 1; !ok && n < 6 {
		return t, invalid("TopicArn Reason: An ARN must have at least 6 elements, not %d", n)
	}
	if !ok && !strings.HasPrefix(*arn, "arn:aws:sns:"+s.o.Region+":") {
		return t, invalid("TopicArn")
	}
	if !ok {
		return t, notFound("Topic does not exist")
	}
	return t, nil
}

// of are a topic's subscriptions, the oldest first; needs s.mu.
func (s *SNS) of(topicARN string) []subscription {
	var out []subscription
	for _, v := range s.subs {
		if topicARN == "" || v.Topic == topicARN {
			out = append(out, v)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		if !out[i].Created.Equal(out[j].Created) {
			return out[i].Created.Before(out[j].Created)
		}
		return out[i].ARN < out[j].ARN
	})
	return out
}

func notFound(format string, args ...any) error {
	return &wire.Error{Code: "NotFound", Status: http.StatusNotFound, Message: fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return wire.Errorf("InvalidParameter", "Invalid parameter: "+format, args...)
}
