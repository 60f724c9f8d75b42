package sns

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Retries go on as long as AWS's do for its own services, with a simpler rhythm.
const (
	firstRetry   = time.Second
	longestRetry = 10 * time.Minute
	giveUpAfter  = 23 * 24 * time.Hour
)

// queueURL is a URL for a queue's ARN; SQS looks only at its path.
func queueURL(arn string) string {
	p := strings.SplitN(arn, ":", 6)
	return "https://sqs." + p[3] + ".amazonaws.com/" + p[4] + "/" + p[5]
}

// passing reports whether a failure may not happen again.
func passing(err error) bool {
	var e *wire.Error
	if !errors.As(err, &e) {
		return true
	}
	return e.HTTPStatus() >= 500 || strings.Contains(e.Code, "Throttl") || strings.Contains(e.Code, "TooManyRequests")
}

// call makes the request as SNS, on behalf of the topic.
func (s *SNS) call(d delivery) error {
	if s.o.Call == nil {
		return wire.Errorf("ValidationException", "no other service to deliver to")
	}
	ctx := wire.WithCaller(s.ctx, wire.Caller{Account: s.o.Account, ARN: d.Topic, Service: Service})
	_, err := s.o.Call(ctx, d.Service, d.Operation, d.Input)
	return err
}

// hand makes the first attempt. One that may succeed later is kept on disk
// before the publisher gets its answer.
func (s *SNS) hand(d delivery) error {
	err := s.call(d)
	if err == nil {
		return nil
	}
	if !passing(err) {
		s.bury(d, err)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.again(d, err)
}

// again keeps a delivery for its next attempt; needs s.mu.
func (s *SNS) again(d delivery, why error) error {
	wait := longestRetry
	if d.Attempts < 10 {
		wait = min(firstRetry<<d.Attempts, longestRetry)
	}
	d.Attempts++
	d.Due = s.o.Clock.Now().Add(wait)
	s.o.Log.Warn("message delivery failed, will be retried", "subscription", d.Subscription, "attempt", d.Attempts, "wait", wait.String(), "error", why)
	if err := s.retries.Put(d.ID, d); err != nil {
		return err
	}
	s.later(d)
	return nil
}

// later sets the timer of a delivery; needs s.mu.
func (s *SNS) later(d delivery) {
	if s.closed || !s.started {
		return
	}
	s.timers[d.ID] = s.o.Clock.AfterFunc(max(0, d.Due.Sub(s.o.Clock.Now())), func() {
		s.mu.Lock()
		delete(s.timers, d.ID)
		if s.closed {
			s.mu.Unlock()
			return
		}
		s.work.Add(1)
		s.mu.Unlock()
		defer s.work.Done()
		s.retry(d)
	})
}

func (s *SNS) retry(d delivery) {
	err := s.call(d)
	if s.ctx.Err() != nil {
		return // closing: it stays kept
	}
	if err != nil && passing(err) && s.o.Clock.Now().Sub(d.Since) < giveUpAfter {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.again(d, err); err != nil {
			s.o.Log.Error("keep message for retry", "subscription", d.Subscription, "error", err)
			d.Attempts++
			s.later(d) // it is kept as it was before
		}
		return
	}
	if err != nil {
		s.bury(d, err)
	}
	if err := s.retries.Delete(d.ID); err != nil {
		s.o.Log.Error("forget delivered message", "subscription", d.Subscription, "error", err)
	}
}

// bury sends what could not be delivered to the subscription's dead-letter queue.
func (s *SNS) bury(d delivery, why error) {
	s.mu.Lock()
	policy := s.subs[d.Subscription].Attributes["RedrivePolicy"]
	s.mu.Unlock()
	var r redrive
	if policy == "" || json.Unmarshal([]byte(policy), &r) != nil {
		s.o.Log.Error("message lost: its subscription has no dead-letter queue", "subscription", d.Subscription, "error", why)
		return
	}
	ctx := wire.WithCaller(context.WithoutCancel(s.ctx), wire.Caller{Account: s.o.Account, ARN: d.Topic, Service: Service})
	in := map[string]any{"QueueUrl": queueURL(r.Target), "MessageBody": d.Body}
	if len(d.Attributes) > 0 {
		in["MessageAttributes"] = d.Attributes
	}
	_, err := s.o.Call(ctx, "sqs", "SendMessage", encode(in))
	if err != nil {
		s.o.Log.Error("message lost: its dead-letter queue did not take it", "subscription", d.Subscription, "queue", r.Target, "reason", why, "error", err)
	}
}
