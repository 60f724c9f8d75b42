package sns

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const pageSize = 100

var nameForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

func (s *SNS) checkTopicAttribute(name, value string) error {
	switch name {
	case "DisplayName", "SignatureVersion", "TracingConfig":
		return nil
	case "Policy", "DeliveryPolicy":
		if value != "" && !json.Valid([]byte(value)) {
			return invalid("%s Reason: it is not JSON", name)
		}
		return nil
	case "KmsMasterKeyId":
		s.o.Log.Warn("the local cloud keeps the messages of a topic without the KMS key it names", "key", value)
		return nil
	case "FifoTopic":
		if value == "false" {
			return nil
		}
		return invalid("the local cloud does not support FIFO topics")
	}
	return invalid("AttributeName: the local cloud does not support the topic attribute %s", name)
}

func (s *SNS) createTopic(_ context.Context, in *awssns.CreateTopicInput) (*awssns.CreateTopicOutput, error) {
	name := aws.ToString(in.Name)
	if strings.HasSuffix(name, ".fifo") {
		return nil, invalid("the local cloud does not support FIFO topics: %s", name)
	}
	if !nameForm.MatchString(name) {
		return nil, invalid("Topic Name")
	}
	if in.DataProtectionPolicy != nil {
		return nil, invalid("the local cloud does not support DataProtectionPolicy")
	}
	for _, k := range slices.Sorted(maps.Keys(in.Attributes)) {
		if err := s.checkTopicAttribute(k, in.Attributes[k]); err != nil {
			return nil, err
		}
	}
	if err := distinct(in.Tags); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := s.arn(name)
	if t, ok := s.topic[arn]; ok {
		for k, v := range in.Attributes {
			if t.Attributes[k] != v && k != "FifoTopic" { // which can be false only
				return nil, invalid("Attributes Reason: Topic already exists with different attributes")
			}
		}
		if !maps.Equal(t.Tags, withTags(t.Tags, in.Tags)) { // some of the tags will do
			return nil, invalid("Tags Reason: Topic already exists with different tags")
		}
		return &awssns.CreateTopicOutput{TopicArn: &arn}, nil
	}
	t := topic{ARN: arn, Attributes: in.Attributes, Tags: withTags(nil, in.Tags)}
	return &awssns.CreateTopicOutput{TopicArn: &arn}, s.keep(t)
}

// keep needs s.mu.
func (s *SNS) keep(t topic) error {
	if err := s.topics.Put(t.ARN, t); err != nil {
		return err
	}
	s.topic[t.ARN] = t
	return nil
}

// deleteTopic deletes the subscriptions with it; a topic that is not there is no error.
func (s *SNS) deleteTopic(_ context.Context, in *awssns.DeleteTopicInput) (*awssns.DeleteTopicOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.TopicArn)
	if err != nil {
		return &awssns.DeleteTopicOutput{}, nil //nolint:nilerr // as AWS: idempotent
	}
	for _, v := range s.of(t.ARN) {
		if err := s.drop(v); err != nil {
			return nil, err
		}
	}
	if err := s.topics.Delete(t.ARN); err != nil {
		return nil, err
	}
	delete(s.topic, t.ARN)
	return &awssns.DeleteTopicOutput{}, nil
}

// drop needs s.mu.
func (s *SNS) drop(v subscription) error {
	if err := s.subscriptions.Delete(v.ARN); err != nil {
		return err
	}
	delete(s.subs, v.ARN)
	return nil
}

func (s *SNS) listTopics(_ context.Context, in *awssns.ListTopicsInput) (*awssns.ListTopicsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []types.Topic{}
	for _, arn := range slices.Sorted(maps.Keys(s.topic)) {
		all = append(all, types.Topic{TopicArn: aws.String(arn)})
	}
	page, next, err := paged(all, func(t types.Topic) string { return *t.TopicArn }, in.NextToken)
	return &awssns.ListTopicsOutput{Topics: page, NextToken: next}, err
}

func paged[T any](all []T, nameOf func(T) string, token *string) ([]T, *string, error) {
	page, next, ok := wire.Page(all, nameOf, pageSize, token)
	if !ok {
		return nil, nil, invalid("NextToken")
	}
	return page, next, nil
}

// defaultDelivery is how AWS delivers over HTTP unless told otherwise.
const defaultDelivery = `{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":20,"maxDelayTarget":20,"numRetries":3,"numMaxDelayRetries":0,"numNoDelayRetries":0,"numMinDelayRetries":0,"backoffFunction":"linear"},"disableSubscriptionOverrides":false,"defaultRequestPolicy":{"headerContentType":"text/plain; charset=UTF-8"}}}`

// defaultPolicy is the policy of a topic that was given none: the account may do all.
func (s *SNS) defaultPolicy(arn string) string {
	return `{"Version":"2008-10-17","Id":"__default_policy_ID","Statement":[{"Sid":"__default_statement_ID","Effect":"Allow","Principal":{"AWS":"*"},` +
		`"Action":["SNS:GetTopicAttributes","SNS:SetTopicAttributes","SNS:AddPermission","SNS:RemovePermission","SNS:DeleteTopic","SNS:Subscribe","SNS:ListSubscriptionsByTopic","SNS:Publish"],` +
		`"Resource":"` + arn + `","Condition":{"StringEquals":{"AWS:SourceOwner":"` + s.o.Account + `"}}}]}`
}

func (s *SNS) getTopicAttributes(_ context.Context, in *awssns.GetTopicAttributesInput) (*awssns.GetTopicAttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.TopicArn)
	if err != nil {
		return nil, err
	}
	confirmed, pending := 0, 0
	for _, v := range s.of(t.ARN) {
		if v.Pending {
			pending++
		} else {
			confirmed++
		}
	}
	out := map[string]string{"TopicArn": t.ARN, "Owner": s.o.Account, "DisplayName": "", "SubscriptionsConfirmed": strconv.Itoa(confirmed), "SubscriptionsPending": strconv.Itoa(pending), "SubscriptionsDeleted": "0",
		"Policy": s.defaultPolicy(t.ARN), "EffectiveDeliveryPolicy": defaultDelivery}
	maps.Copy(out, t.Attributes)
	if out["DeliveryPolicy"] != "" { // AWS merges the two
		delete(out, "EffectiveDeliveryPolicy")
	}
	return &awssns.GetTopicAttributesOutput{Attributes: out}, nil
}

func (s *SNS) setTopicAttributes(_ context.Context, in *awssns.SetTopicAttributesInput) (*awssns.SetTopicAttributesOutput, error) {
	name, value := aws.ToString(in.AttributeName), aws.ToString(in.AttributeValue)
	if err := s.checkTopicAttribute(name, value); err != nil {
		return nil, err
	}
	return &awssns.SetTopicAttributesOutput{}, s.change(in.TopicArn, func(t *topic) {
		next := map[string]string{}
		maps.Copy(next, t.Attributes)
		next[name] = value
		t.Attributes = next
	})
}

func (s *SNS) change(arn *string, f func(*topic)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(arn)
	if err != nil {
		return err
	}
	f(&t)
	return s.keep(t)
}

// distinct refuses tags of one key.
func distinct(tags []types.Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		if seen[aws.ToString(t.Key)] {
			return invalid("Duplicated keys are not allowed.")
		}
		seen[aws.ToString(t.Key)] = true
	}
	return nil
}

// errNoResource is what the operations on tags say of a topic that is not there.
var errNoResource = &wire.Error{Code: "ResourceNotFound", Status: 404, Message: "Resource does not exist"}

// changeTags is change for the operations on tags.
func (s *SNS) changeTags(arn *string, f func(*topic)) error {
	err := s.change(arn, f)
	if wire.HasCode(err, "NotFound") {
		return errNoResource
	}
	return err
}

func withTags(old map[string]string, tags []types.Tag) map[string]string {
	next := map[string]string{}
	maps.Copy(next, old)
	for _, t := range tags {
		next[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return next
}

func (s *SNS) tagResource(_ context.Context, in *awssns.TagResourceInput) (*awssns.TagResourceOutput, error) {
	if err := distinct(in.Tags); err != nil {
		return nil, err
	}
	return &awssns.TagResourceOutput{}, s.changeTags(in.ResourceArn, func(t *topic) { t.Tags = withTags(t.Tags, in.Tags) })
}

func (s *SNS) untagResource(_ context.Context, in *awssns.UntagResourceInput) (*awssns.UntagResourceOutput, error) {
	return &awssns.UntagResourceOutput{}, s.changeTags(in.ResourceArn, func(t *topic) {
		next := withTags(t.Tags, nil)
		for _, k := range in.TagKeys {
			delete(next, k)
		}
		t.Tags = next
	})
}

func (s *SNS) listTags(_ context.Context, in *awssns.ListTagsForResourceInput) (*awssns.ListTagsForResourceOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.topic[aws.ToString(in.ResourceArn)]
	if !ok {
		return nil, errNoResource
	}
	out := []types.Tag{}
	for _, k := range slices.Sorted(maps.Keys(t.Tags)) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(t.Tags[k])})
	}
	return &awssns.ListTagsForResourceOutput{Tags: out}, nil
}
