package sns

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

const pendingARN = "PendingConfirmation"

// redrive is a subscription's RedrivePolicy.
type redrive struct {
	Target string `json:"deadLetterTargetArn"`
}

// checkSubscriptionAttribute refuses what a subscription cannot have; where is
// what errors call the attributes.
func checkSubscriptionAttribute(protocol, where, name, value string) error {
	switch name {
	case "RawMessageDelivery":
		raw := strings.EqualFold(value, "true")
		if !raw && !strings.EqualFold(value, "false") {
			return invalid("%sRawMessageDelivery: Invalid value [%s]. Must be true or false.", where, value)
		}
		if raw && protocol != "sqs" {
			return invalid("%sDelivery protocol [%s] does not support raw message delivery.", where, protocol)
		}
		return nil
	case "FilterPolicy":
		return nil // read with its scope
	case "FilterPolicyScope":
		if value != scopeAttributes && value != scopeBody {
			return invalid("FilterPolicyScope: Invalid value [%s]. Please use either MessageBody or MessageAttributes", value)
		}
		return nil
	case "RedrivePolicy":
		var r redrive
		if value != "" && !json.Valid([]byte(value)) {
			return invalid("%sRedrivePolicy: %s", where, unparsed(value))
		}
		if value != "" && (json.Unmarshal([]byte(value), &r) != nil || !strings.HasPrefix(r.Target, "arn:aws:sqs:")) {
			return invalid("%sRedrivePolicy: deadLetterTargetArn is an invalid arn", where)
		}
		return nil
	case "DeliveryPolicy", "ReplayPolicy", "SubscriptionRoleArn":
		return invalid("AttributeName: the local cloud does not support the subscription attribute %s", name)
	}
	return invalid("AttributeName")
}

// initial are attributes that every subscription has.
var initial = map[string]string{"RawMessageDelivery": "false", "FilterPolicyScope": scopeAttributes}

// kept are attributes as they are kept and told: a switch has one spelling.
func kept(attributes map[string]string) map[string]string {
	next := maps.Clone(attributes)
	if raw, ok := next["RawMessageDelivery"]; ok {
		next["RawMessageDelivery"] = strings.ToLower(raw)
	}
	return next
}

func (s *SNS) subscribe(ctx context.Context, in *awssns.SubscribeInput) (*awssns.SubscribeOutput, error) {
	protocol, endpoint := aws.ToString(in.Protocol), aws.ToString(in.Endpoint)
	for _, k := range slices.Sorted(maps.Keys(in.Attributes)) {
		if err := checkSubscriptionAttribute(protocol, "Attributes Reason: ", k, in.Attributes[k]); err != nil {
			return nil, err
		}
	}
	if _, err := filter(in.Attributes, "Attributes Reason: FilterPolicy: "); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.TopicArn)
	if err != nil {
		return nil, err
	}
	asked := kept(in.Attributes)
	v := subscription{Protocol: protocol, Endpoint: endpoint, Attributes: asked, Principal: wire.CallerFrom(ctx).ARN, Created: s.o.Clock.Now()}
	switch protocol {
	case "sqs":
		if !strings.HasPrefix(endpoint, "arn:aws:sqs:") || strings.HasSuffix(endpoint, ".fifo") {
			return nil, invalid("SQS endpoint ARN")
		}
	case "lambda":
		if !strings.HasPrefix(endpoint, "arn:aws:lambda:") {
			return nil, invalid("Lambda endpoint ARN")
		}
	case "email", "email-json", "http", "https":
		if endpoint == "" {
			return nil, invalid("Endpoint")
		}
		v.Pending = true
	default:
		return nil, invalid("the local cloud does not support the protocol %q (supported: sqs, lambda; email, email-json, http and https stay pending)", protocol)
	}
	for _, old := range s.of(t.ARN) {
		if old.Protocol == protocol && old.Endpoint == endpoint {
			for k, v := range asked {
				if cmp.Or(old.Attributes[k], initial[k]) != v {
					return nil, invalid("Attributes Reason: Subscription already exists with different attributes")
				}
			}
			return &awssns.SubscribeOutput{SubscriptionArn: old.told(in.ReturnSubscriptionArn)}, nil
		}
	}
	v.Topic, v.ARN = t.ARN, t.ARN+":"+s.o.NewID()
	if err := s.subscriptions.Put(v.ARN, v); err != nil {
		return nil, err
	}
	s.subs[v.ARN] = v
	if v.Pending {
		s.o.Log.Warn("the local cloud never confirms this subscription: nothing is sent to it", "topic", t.ARN, "protocol", protocol, "endpoint", endpoint)
	}
	return &awssns.SubscribeOutput{SubscriptionArn: v.told(in.ReturnSubscriptionArn)}, nil
}

// told is what Subscribe answers: a pending subscription hides its ARN.
func (v subscription) told(always bool) *string {
	if v.Pending && !always {
		return aws.String("pending confirmation")
	}
	return aws.String(v.ARN)
}

func (s *SNS) unsubscribe(_ context.Context, in *awssns.UnsubscribeInput) (*awssns.UnsubscribeOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := aws.ToString(in.SubscriptionArn)
	switch n := strings.Count(arn, ":") + 1; {
	case arn == "":
		return nil, invalid("SubscriptionArn Reason: no value for required parameter")
	case n < 6:
		return nil, invalid("SubscriptionArn Reason: An ARN must have at least 6 elements, not %d", n)
	case n < 7:
		return nil, invalid("SubscriptionId")
	}
	v, ok := s.subs[arn]
	if !ok {
		return &awssns.UnsubscribeOutput{}, nil
	}
	return &awssns.UnsubscribeOutput{}, s.drop(v)
}

func (s *SNS) shown(all []subscription) []types.Subscription {
	out := []types.Subscription{}
	for _, v := range all {
		arn := v.ARN
		if v.Pending {
			arn = pendingARN
		}
		out = append(out, types.Subscription{SubscriptionArn: &arn, TopicArn: aws.String(v.Topic), Protocol: aws.String(v.Protocol), Endpoint: aws.String(v.Endpoint), Owner: aws.String(s.o.Account)})
	}
	return out
}

func subscriptionARN(v subscription) string { return v.ARN }

func (s *SNS) listSubscriptions(_ context.Context, in *awssns.ListSubscriptionsInput) (*awssns.ListSubscriptionsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page, next, err := paged(s.of(""), subscriptionARN, in.NextToken)
	return &awssns.ListSubscriptionsOutput{Subscriptions: s.shown(page), NextToken: next}, err
}

func (s *SNS) listByTopic(_ context.Context, in *awssns.ListSubscriptionsByTopicInput) (*awssns.ListSubscriptionsByTopicOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.find(in.TopicArn)
	if err != nil {
		return nil, err
	}
	page, next, err := paged(s.of(t.ARN), subscriptionARN, in.NextToken)
	return &awssns.ListSubscriptionsByTopicOutput{Subscriptions: s.shown(page), NextToken: next}, err
}

func (s *SNS) getSubscriptionAttributes(_ context.Context, in *awssns.GetSubscriptionAttributesInput) (*awssns.GetSubscriptionAttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.subs[aws.ToString(in.SubscriptionArn)]
	if !ok {
		return nil, notFound("Subscription does not exist")
	}
	pending := "false"
	if v.Pending {
		pending = "true"
	}
	out := map[string]string{"SubscriptionArn": v.ARN, "TopicArn": v.Topic, "Protocol": v.Protocol, "Endpoint": v.Endpoint, "Owner": s.o.Account, "PendingConfirmation": pending,
		"RawMessageDelivery": "false", "ConfirmationWasAuthenticated": "true"}
	if v.Principal != "" {
		out["SubscriptionPrincipal"] = v.Principal
	}
	maps.Copy(out, v.Attributes)
	if v.Attributes["FilterPolicy"] == "" { // without a policy nothing has a scope
		delete(out, "FilterPolicy")
		delete(out, "FilterPolicyScope")
	} else if v.Attributes["FilterPolicyScope"] == "" {
		out["FilterPolicyScope"] = scopeAttributes
	}
	return &awssns.GetSubscriptionAttributesOutput{Attributes: out}, nil
}

func (s *SNS) setSubscriptionAttributes(_ context.Context, in *awssns.SetSubscriptionAttributesInput) (*awssns.SetSubscriptionAttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.subs[aws.ToString(in.SubscriptionArn)]
	if !ok {
		return nil, notFound("Subscription does not exist")
	}
	name, value := aws.ToString(in.AttributeName), aws.ToString(in.AttributeValue)
	if err := checkSubscriptionAttribute(v.Protocol, "", name, value); err != nil {
		return nil, err
	}
	next := map[string]string{}
	maps.Copy(next, v.Attributes)
	next[name] = value
	if _, err := filter(next, "FilterPolicy: "); err != nil {
		return nil, err
	}
	v.Attributes = kept(next)
	if err := s.subscriptions.Put(v.ARN, v); err != nil {
		return nil, err
	}
	s.subs[v.ARN] = v
	return &awssns.SetSubscriptionAttributesOutput{}, nil
}
